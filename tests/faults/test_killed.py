"""Killed by ``kill -9`` at random moments, work goes on and ends in the same bits."""

from itertools import islice

import pytest

from tests.faults import victims

SHORT, LONG = 5, 20  # moments of each kind of work
TRIES = 5  # moments drawn for one at which the work is still on
IN_A_ROW = 5  # kills of one piece of work, after which another is begun

pytestmark = pytest.mark.faults("killed at any moment")
each = pytest.mark.parametrize("victim", victims.VICTIMS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Of a kind of work, what it leaves when nothing happens, and the seconds it takes."""
    found = {}

    def made(victim):
        if victim not in found:
            folder = tmp_path_factory.mktemp(victim)
            seconds = victims.finish(victim, folder)
            left = victims.VICTIMS[victim].left(folder)
            assert left != {}
            found[victim] = left, seconds
        return found[victim]

    return made


def assert_same_bits_after(n, victim, undisturbed, folder):
    """Kill the work n times while it is on, each time where it has come to, and let it end."""
    desired, seconds = undisturbed(victim)
    left = victims.VICTIMS[victim].left
    hits = begun = in_a_row = 0
    for share in islice(victims.shares(victim), TRIES * n):
        place = folder / f"round {begun}"
        place.mkdir(exist_ok=True)
        running = victims.kill(victim, place, share * seconds)
        for name, digest in left(place).items():
            assert desired[name] == digest, f"{name} after {hits} kills"
        hits, in_a_row = hits + running, in_a_row + running
        if not running or in_a_row == IN_A_ROW:  # it was over: begin another, and kill it sooner
            seconds *= 1.0 if running else max(share, 0.3)
            begun, in_a_row = begun + 1, 0
        if hits == n:
            break
    assert hits == n
    for place in folder.iterdir():
        victims.finish(victim, place)
        assert left(place) == desired
        remains = [path for path in place.rglob("*") if path.suffix in (".part", ".work")]
        assert remains == [] and list(place.rglob(".rendering")) == []


@each
def test_work_killed_at_five_random_moments_ends_in_the_same_bits(victim, undisturbed, tmp_path):
    """Work that is killed goes on where it was, and ends in the bits of work left alone."""
    assert_same_bits_after(SHORT, victim, undisturbed, tmp_path)


@pytest.mark.slow
@each
def test_work_killed_at_twenty_random_moments_ends_in_the_same_bits(victim, undisturbed, tmp_path):
    """The same, at twenty moments of each kind of work."""
    assert_same_bits_after(LONG, victim, undisturbed, tmp_path)
