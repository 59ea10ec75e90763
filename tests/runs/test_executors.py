"""Executors: the same records however many work, failures told at the end, nothing lost."""

import contextlib
import dataclasses
import os
import signal
from concurrent.futures import Future

import pytest

from lib.runs import cluster as clusters
from lib.runs import executors
from lib.runs.agenda import ClusterLost, Pool
from lib.runs.executors import RunsFailed, obtain, sweep
from lib.runs.progress import Progress
from tests import processes
from tests.runs import counting
from tests.runs.counting import Counting
from tests.stored import contents

RUNS = [Counting("counting", seed=seed) for seed in range(3)]
BAD = Counting("counting", method="fixed", fails_at=3)
LONG = [Counting("counting", seed=seed, steps=300, pause=0.1) for seed in range(3)]


@pytest.fixture
def made(tmp_path):
    return counting.store(tmp_path)


# ------------------------------------------------------------------------------- one by one


def test_sweep_returns_the_records_in_order_each_once(made):
    records = sweep(made, [RUNS[2], RUNS[0], RUNS[2]], progress=False)
    assert [record.config for record in records] == [RUNS[2], RUNS[0]]


def test_sweep_of_nothing_is_empty(made):
    assert sweep(made, [], jobs=2, progress=True) == []


def test_sweep_makes_what_is_missing(made):
    stamp = made.run(RUNS[0]).path.stat().st_mtime_ns
    records = sweep(made, RUNS, progress=False)
    assert records[0].path.stat().st_mtime_ns == stamp and len(records) == 3


def test_sweep_of_what_is_made_removes_what_a_killed_process_left(made):
    made.run(RUNS[0])
    made.work_of(RUNS[0]).mkdir()
    sweep(made, RUNS[:1], progress=False)
    assert not made.work_of(RUNS[0]).exists()


def test_first_seeds_come_first(made, monkeypatch):
    others = [dataclasses.replace(run, method="fixed") for run in RUNS]
    done = []
    make = type(made).make
    monkeypatch.setattr(type(made), "make", lambda *a, **k: done.append(a[1]) or make(*a, **k))
    sweep(made, [*RUNS, *others], progress=False)
    assert [run.seed for run in done] == [0, 0, 1, 1, 2, 2]


def test_sweep_does_the_others_when_a_run_fails(made):
    sentence = r"1 of 2 runs failed\. counting \(fixed, digits, seed 0\): cannot count to 3"
    with pytest.raises(RunsFailed, match=sentence):
        sweep(made, [BAD, RUNS[1]], progress=False)
    assert made.stored(RUNS[1]) is not None and made.stored(BAD) is None


def test_shipped_records_count_unless_said(made):
    made.ship(made.run(RUNS[0]))
    (made.runs / RUNS[0].name).rename(made.runs / "gone.old")
    (record,) = sweep(made, RUNS[:1], progress=False)
    assert record.path == made.results / "counting"
    (record,) = sweep(made, RUNS[:1], progress=False, ignore_shipped=True)
    assert record.path == made.runs / RUNS[0].name


def test_progress_counts_the_steps_of_what_is_missing(made, monkeypatch):
    shown = []

    class Watched(Progress):
        def show(self, done, text):
            shown.append((self.total, done, text))

    monkeypatch.setattr(executors, "Progress", Watched)
    made.run(RUNS[1])
    with pytest.raises(RunsFailed):
        sweep(made, [*RUNS, BAD], progress=False)
    assert {total for total, _, _ in shown} == {12}
    done = [done for _, done, _ in shown]
    assert done == sorted(done) and done[-1] == 12
    assert shown[1] == (12, 1, "3 runs left: set digits seed 0")
    assert shown[-1] == (12, 12, "0 runs left")


# ----------------------------------------------------------------------------------- obtaining


def profiled(profile):
    return RUNS[: {"smoke": 1, "quick": 2, "paper": 3}[profile]]


@pytest.fixture
def profiles(tmp_path):
    return counting.store(tmp_path, counting.experiment(configs=profiled))


def test_obtain_gives_what_is_stored_of_no_profile(profiles):
    assert obtain(profiles, "counting", "custom") == []
    record = profiles.run(RUNS[1].with_changes({"seed": 9}))
    assert [record.config for record in obtain(profiles, "counting", "custom")] == [record.config]


def test_obtain_makes_nothing_in_the_paper_profile(profiles):
    assert obtain(profiles, "counting", "paper") == []
    profiles.run(RUNS[1])
    assert [record.config for record in obtain(profiles, "counting", "paper")] == [RUNS[1]]


@pytest.mark.parametrize(("profile", "retrain", "n"), [("smoke", False, 1), ("paper", True, 3)])
def test_obtain_makes_what_is_missing_elsewhere(profile, retrain, n, profiles):
    records = obtain(profiles, "counting", profile, retrain=retrain)
    assert [record.config for record in records] == RUNS[:n]


def test_retraining_does_not_take_what_was_shipped(profiles):
    profiles.ship(profiles.run(RUNS[0]))
    (profiles.runs / RUNS[0].name).rename(profiles.runs / "gone.old")
    (shipped,) = obtain(profiles, "counting", "smoke")
    (again,) = obtain(profiles, "counting", "smoke", retrain=True)
    assert shipped.path == profiles.results / "counting"
    assert again.path == profiles.runs / RUNS[0].name


@pytest.mark.parametrize(
    ("experiment", "profile", "nearest"),
    [("countin", "paper", "counting"), ("counting", "smok", "smoke")],
)
def test_unknown_names_are_refused_with_the_nearest(experiment, profile, nearest, profiles):
    with pytest.raises(ValueError, match=f"did you mean {nearest!r}"):
        obtain(profiles, experiment, profile)


# -------------------------------------------------------------------------------- side by side


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory):
    """A store after a sweep in two processes in which one run of four failed, and what it said."""
    made = counting.store(tmp_path_factory.mktemp("two jobs"))
    with pytest.raises(RunsFailed) as failure:
        sweep(made, [*RUNS, BAD], jobs=2, progress=False)
    return made, str(failure.value)


def test_sweep_in_processes_gives_the_records_of_the_loop(side_by_side, made):
    parallel, _ = side_by_side
    for alone in sweep(made, RUNS, jobs=1, progress=False):
        assert contents(parallel.stored(alone.config)) == contents(alone)


def test_failures_in_processes_are_collected(side_by_side):
    made, said = side_by_side
    failed = "counting (fixed, digits, seed 0): cannot count to 3"
    assert said == f"1 of 4 runs failed. {failed}"
    assert len(made.records(RUNS)) == 3 and made.stored(BAD) is None


def test_workers_have_one_thread_each(side_by_side):
    made, _ = side_by_side
    assert {record.environment["threads"] for record in made.records(RUNS)} == {1}


def workers_of(made):
    """The processes that make runs; each has written who it is."""
    return {int(path.read_text()) for path in made.runs.glob("*.work/pid") if path.read_text()}


def counted(made):
    """Steps of the runs that have begun."""
    notes = [path.read_text() for path in made.runs.glob("*.work/progress")]
    return [int(note) for note in notes if note]


@pytest.mark.faults("killed at any moment")
@pytest.mark.parametrize("how", ["kill -9", "Ctrl-C"])
def test_workers_end_with_their_parent_and_nothing_is_lost(how, made):
    with processes.sweeping(made, LONG, jobs=2) as parent:
        processes.wait_until(lambda: len(counted(made)) == 2 and min(counted(made)) >= 2)
        workers, counted_before = workers_of(made), min(counted(made))
        assert len(workers) == 2 and parent.pid not in workers
        if how == "kill -9":
            parent.kill()
        else:
            os.killpg(parent.pid, signal.SIGINT)  # as a terminal does, to all of the group
        parent.join()
        assert parent.exitcode == {"kill -9": -signal.SIGKILL, "Ctrl-C": 130}[how]
        processes.wait_until(lambda: not any(map(processes.is_alive, workers)))
    assert made.records(LONG) == []
    rest = dataclasses.replace(LONG[0], pause=0.0)
    interrupted, continued = (
        (made.runs / run.name).with_suffix(".work") for run in (LONG[0], rest)
    )
    interrupted.rename(continued)
    (record,) = sweep(made, [rest], progress=False)
    assert record.environment["begun"] >= counted_before
    assert record.metrics["step"].tolist() == [*range(1, LONG[0].steps + 1)]


# -------------------------------------------------------------------------------- a lost cluster


def ended(outcome):
    """A future with a result or an error, or one that was cancelled for want of either."""
    future = Future()
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    elif outcome is None:
        future.cancel()
        future.set_running_or_notify_cancel()
    else:
        future.set_result(outcome)
    return future


@pytest.fixture
def pool(monkeypatch):
    """Sets the pool of the clusters that sweeps ask for."""

    def set_pool(pool):
        monkeypatch.setattr(clusters, "workers", lambda *_: contextlib.nullcontext(pool))
        return {"cluster": "lost", "progress": False}

    return set_pool


@pytest.mark.faults("killed at any moment")
@pytest.mark.parametrize("lost", [None, ClusterLost("a worker cannot be used")])
def test_what_came_with_the_loss_of_the_cluster_is_stored(lost, made, pool, tmp_path):
    """So is the sentence of what failed."""
    elsewhere = counting.store(tmp_path / "elsewhere")
    runs = [Counting("counting", seed=seed) for seed in range(6)]
    outcomes = {BAD.name: ValueError("cannot count"), runs[0].name: lost}
    for run in runs[1:]:
        folder = elsewhere.run(run).path
        outcomes[run.name] = {path.name: path.read_bytes() for path in folder.iterdir()}
    how = pool(Pool(lambda run: ended(outcomes[run.name]), lambda: 7, lambda: True))
    sentence = r"(is gone: no record is lost.*|cannot be used); counting \(fixed.*cannot count$"
    with pytest.raises(ClusterLost, match=sentence):
        sweep(made, [*runs, BAD], **how)
    assert [record.config for record in made.records(runs)] == runs[1:]


@pytest.mark.faults("killed at any moment")
def test_scheduler_that_ends_while_a_result_is_fetched_is_named(made, pool):
    """Such a result never comes."""
    answers = iter([True, True])
    how = pool(Pool(lambda _: Future(), lambda: 1, lambda: next(answers, False)))
    with pytest.raises(ClusterLost, match="the scheduler is gone"):
        sweep(made, RUNS, **how)
