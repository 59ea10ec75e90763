"""Locks of runs; two openings of a file stand for two processes."""

from lib.runs import locks


def test_a_lock_is_held_while_its_block_runs(tmp_path):
    path = tmp_path / "run.lock"
    assert not locks.is_held(path)
    with locks.held(path):
        assert locks.is_held(path)
    assert path.exists() and not locks.is_held(path)
