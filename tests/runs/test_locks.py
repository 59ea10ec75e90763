"""Locks of runs: one holder, never waited for, free when let go."""

import pytest

from lib.runs import locks


@pytest.fixture
def two(tmp_path):
    """Two that want locks in one folder; all are let go after the test."""
    first, second = locks.Locks(tmp_path / "runs"), locks.Locks(tmp_path / "runs")
    yield first, second
    first.free_all()
    second.free_all()


def test_lock_has_one_holder(two):
    first, second = two
    assert first.take("a") and "a" in first
    assert not second.take("a") and "a" not in second
    assert second.take("b")
    first.free("a")
    assert second.take("a") and "a" not in first


def test_all_are_let_go_at_once(two):
    first, second = two
    assert first.take("a") and first.take("b")
    first.free_all()
    assert second.take("a") and second.take("b")


def test_lock_of_one_that_waits_is_the_same(two):
    first, _ = two
    with locks.held(first.folder / "a.lock"):
        assert not first.take("a")
    assert first.take("a")
