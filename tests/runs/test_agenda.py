"""The agenda of workers side by side: each run after what it starts from, no long one left over."""

import dataclasses
from dataclasses import dataclass

import pytest

from lib.runs.agenda import Agenda, with_parents
from lib.runs.executors import RunsFailed, sweep
from tests.runs import counting
from tests.runs.counting import Counting

PARENT = Counting("counting")
CHILDREN = [Counting("further", seed=seed, parent=PARENT) for seed in range(2)]
GRANDCHILD = Counting("further", parent=CHILDREN[0])


@dataclass(frozen=True)
class Other(Counting):
    """Counts as another kind of run."""


@pytest.fixture
def made(tmp_path):
    further = counting.experiment("further", make=counting.count_further)
    twin = counting.experiment("twin", same_runs_as=("counting",))
    return counting.store(tmp_path, counting.experiment(), further, twin)


def test_parents_come_before_what_starts_from_them(made):
    assert with_parents(made, [GRANDCHILD, CHILDREN[1]]) == [
        PARENT,
        CHILDREN[0],
        GRANDCHILD,
        CHILDREN[1],
    ]


def test_stored_parents_are_not_made_again(made):
    made.run(PARENT)
    assert with_parents(made, CHILDREN) == CHILDREN


def test_nothing_is_taken_before_what_it_starts_from_has_ended(made):
    agenda = Agenda(made, [PARENT, *CHILDREN])
    assert agenda.take() == PARENT and agenda.take() is None
    agenda.end(PARENT)
    assert [agenda.take(), agenda.take(), agenda.take()] == [*CHILDREN, None]


def test_the_very_same_run_of_another_experiment_waits(made):
    twin = dataclasses.replace(PARENT, experiment="twin")
    agenda = Agenda(made, [PARENT, twin])
    assert agenda.take() == PARENT and agenda.take() is None
    agenda.end(PARENT)
    assert agenda.take() == twin


def test_first_run_of_a_kind_is_made_beside_another_kind(made):
    second, other = Counting("counting", method="fixed"), Other("counting", method="other")
    agenda = Agenda(made, [PARENT, second, other])
    assert [agenda.take(), agenda.take(), agenda.take()] == [PARENT, other, second]


def test_of_a_seed_the_longest_comes_first(made, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    runs = [Counting("counting", method=name, seed=seed) for seed in range(2) for name in "abc"]
    agenda = Agenda(made, runs)
    a, b, c = (agenda.take() for _ in range(3))  # at 0, 1 and 2
    for run in (a, c, b):  # at 3, 4 and 5: after 3, 2 and 4
        agenda.end(run)
    assert [agenda.take().method for _ in range(3)] == ["b", "a", "c"]


def test_a_run_whose_parent_fails_says_so_alone(made):
    bad = dataclasses.replace(PARENT, fails_at=2)
    children = [dataclasses.replace(child, parent=bad) for child in CHILDREN]
    with pytest.raises(RunsFailed) as failure:
        sweep(made, children, jobs=2, progress=False)
    assert str(failure.value).startswith("2 of 2 runs failed. ")
    assert str(failure.value).count("cannot count to 2") == 2
