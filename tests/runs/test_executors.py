"""Executors: the same records however many work, failures told at the end, nothing lost."""

import contextlib
import dataclasses
import os
import signal
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import pytest

from lib.runs import executors, workers
from lib.runs.executors import RunsFailed, obtain, sweep
from lib.runs.progress import Progress
from lib.runs.records import Store
from lib.runs.workers import Pool, WorkersLost
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


def test_sweep_makes_what_is_missing(made):
    stamp = made.run(RUNS[0]).path.stat().st_mtime_ns
    records = sweep(made, RUNS, progress=False)
    assert records[0].path.stat().st_mtime_ns == stamp and len(records) == 3


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
    shown, shares = [], []

    class Watched(Progress):
        def show(self, done, text, share):
            shown.append((self.total, done, text))
            shares.append(share)

    monkeypatch.setattr(executors, "Progress", Watched)
    made.run(RUNS[1])
    with pytest.raises(RunsFailed):
        sweep(made, [*RUNS, BAD], progress=False)
    assert {total for total, _, _ in shown} == {12}
    done = [done for _, done, _ in shown]
    assert done == sorted(done) and done[-1] == 12
    assert shown[1] == (12, 1, "3 runs left: set digits seed 0")
    assert shown[-1] == (12, 12, "0 runs left")
    assert shares == sorted(shares) and shares[-1] == 1 and shares[1] < 0.25


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


def test_workers_tell_every_library_to_take_one_thread(monkeypatch, tmp_path):
    given = {}

    def noted(jobs, **options):
        given.update(options["env"])
        raise BrokenProcessPool

    monkeypatch.setattr("joblib.externals.loky.ProcessPoolExecutor", noted)
    store = Store({}, tmp_path / "runs", tmp_path / "results")
    with pytest.raises(BrokenProcessPool), workers.processes(store, 2):
        pass
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    assert given == dict.fromkeys(names, "1")


def workers_of(made):
    """The processes that make runs; each has written who it is."""
    return {int(path.read_text()) for path in made.runs.glob("*.work/pid") if path.read_text()}


def counted(made):
    """Steps of the runs that have begun."""
    notes = [path.read_text() for path in made.runs.glob("*.work/progress")]
    return [int(note) for note in notes if note]


@pytest.mark.slow
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


# ----------------------------------------------------------------------------- futures, in order

PARENT = Counting("counting", seed=9)
CHILDREN = [Counting("further", seed=seed, parent=PARENT) for seed in range(2)]
TWIN = dataclasses.replace(CHILDREN[0], experiment="twin")


@pytest.fixture
def family(tmp_path):
    """A store of runs, of what starts from them, and of the very same for another experiment."""
    further = {"make": counting.count_further}
    twin = counting.experiment("twin", same_runs_as=("further",), **further)
    child = counting.experiment("further", **further)
    return counting.store(tmp_path, counting.experiment(), child, twin)


def ended(outcome):
    """A future with a result or an error, or one that was cancelled for want of either."""
    future = Future()
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    elif outcome == "cancelled":
        future.cancel()
        future.set_running_or_notify_cancel()
    else:
        future.set_result(outcome)
    return future


@pytest.fixture
def pool(monkeypatch):
    """Sets what submits the runs of a sweep side by side."""

    def set_pool(submit, slots=9, is_there=lambda: True):
        pool = Pool(submit, lambda: slots, is_there)
        monkeypatch.setattr(executors, "processes", lambda *_: contextlib.nullcontext(pool))
        return {"jobs": 2, "progress": False}

    return set_pool


def test_nothing_is_submitted_before_what_it_starts_from_is_stored(family, pool):
    """Nor before the very same run of another experiment."""
    submitted = []

    def submit(run):
        submitted.append((run, {path.parent.name for path in family.runs.glob("*/*.jsonl")}))
        return ended(family.make(run))

    sweep(family, [*CHILDREN, TWIN], **pool(submit))
    parent, child = PARENT.name, CHILDREN[0].name
    assert [run for run, _ in submitted] == [PARENT, *CHILDREN, TWIN]
    (_, before), (_, first), (_, second), (_, last) = submitted
    assert before == set() and first == {parent} <= second and {parent, child} <= last


def test_a_stored_parent_is_not_made_again(family, pool):
    family.run(PARENT)
    submitted = []
    sweep(family, CHILDREN, **pool(lambda run: submitted.append(run) or ended(family.make(run))))
    assert submitted == CHILDREN


def test_a_run_whose_parent_fails_says_so_alone(family, pool):
    def submit(run):
        try:
            return ended(family.make(run))
        except ValueError as error:
            return ended(error)

    bad = dataclasses.replace(PARENT, fails_at=2)
    children = [dataclasses.replace(child, parent=bad) for child in CHILDREN]
    with pytest.raises(RunsFailed) as failure:
        sweep(family, children, **pool(submit))
    assert str(failure.value).startswith("2 of 2 runs failed. ")
    assert str(failure.value).count("cannot count to 2") == 2


@pytest.mark.faults("killed at any moment")
@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("cancelled", "the scheduler is gone: no record is lost"),
        (BrokenProcessPool(), "a worker process was killed, perhaps because memory is short"),
        (WorkersLost("a worker cannot be used"), "a worker cannot be used"),
    ],
)
def test_what_came_with_the_loss_of_a_worker_is_stored(lost, said, made, pool, tmp_path):
    """So is the sentence of what failed."""
    elsewhere = counting.store(tmp_path / "elsewhere")
    outcomes = {BAD.name: ValueError("cannot count"), RUNS[0].name: lost}
    for run in RUNS[1:]:
        folder = elsewhere.run(run).path
        outcomes[run.name] = {path.name: path.read_bytes() for path in folder.iterdir()}
    how = pool(lambda run: ended(outcomes[run.name]))
    with pytest.raises(WorkersLost, match=rf"^{said}.*; counting \(fixed.*cannot count$"):
        sweep(made, [*RUNS, BAD], **how)
    assert [record.config for record in made.records(RUNS)] == RUNS[1:]


@pytest.mark.faults("killed at any moment")
def test_scheduler_that_ends_while_a_result_is_fetched_is_named(made, pool):
    """Such a result never comes."""
    answers = iter([True])
    how = pool(lambda _: Future(), is_there=lambda: next(answers, False))
    with pytest.raises(WorkersLost, match="the scheduler is gone"):
        sweep(made, RUNS, **how)


@pytest.mark.faults("killed at any moment")
@pytest.mark.ci
def test_a_killed_worker_is_named_and_nothing_is_lost(made):
    """The same command goes on, with what was finished and with the checkpoints of the others."""
    kill = counting.experiment(make=counting.count_and_kill)
    runs = [Counting("counting", method="killer", seed=1), RUNS[0]]
    store = dataclasses.replace(made, experiments={"counting": kill})
    with pytest.raises(WorkersLost, match="a worker process was killed"):
        sweep(store, runs, jobs=2, progress=False)
    records = sweep(made, runs, progress=False)
    assert [record.environment["begun"] for record in records][0] == 3
