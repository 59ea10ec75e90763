"""Killed by ``kill -9`` at random moments, work goes on and ends in the same bits."""

from itertools import islice

import pytest

from tests.faults import victims

MOMENTS = 20  # of each kind of work
TRIES = 5  # moments drawn for one at which the work is still on
IN_A_ROW = 5  # kills of one piece of work, after which another is begun

pytestmark = [pytest.mark.faults("killed at any moment"), pytest.mark.slow]
# the quick one is tests/papers/test_same_bits


@pytest.mark.parametrize("victim", victims.VICTIMS)
def test_work_killed_at_twenty_random_moments_ends_in_the_same_bits(victim, tmp_path):
    """Work that is killed goes on where it was, and ends in the bits of work left alone."""
    left = victims.VICTIMS[victim].left
    seconds = victims.finish(victim, tmp_path / "undisturbed")
    desired = left(tmp_path / "undisturbed")
    assert desired != {}
    hits = begun = in_a_row = 0
    for share in islice(victims.shares(victim), TRIES * MOMENTS):
        place = tmp_path / f"round {begun}"
        running = victims.kill(victim, place, share * seconds)
        for name, digest in left(place).items():
            assert desired[name] == digest, f"{name} after {hits} kills"
        hits, in_a_row = hits + running, in_a_row + running
        if not running or in_a_row == IN_A_ROW:  # it was over: begin another, and kill it sooner
            seconds *= 1.0 if running else max(share, 0.3)
            begun, in_a_row = begun + 1, 0
        if hits == MOMENTS:
            break
    assert hits == MOMENTS
    for place in tmp_path.iterdir():
        victims.finish(victim, place)
        assert left(place) == desired
        remains = [path for path in place.rglob("*") if path.suffix in (".part", ".work")]
        assert remains == [] and list(place.rglob(".rendering")) == []
