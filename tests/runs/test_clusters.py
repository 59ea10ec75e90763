"""Runs on a Dask cluster of real processes: the records of the loop, whatever is lost."""

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import distributed
import pytest

from lib.runs import cluster as clusters
from lib.runs.executors import RunsFailed, sweep
from lib.runs.workers import WorkersLost
from tests import processes
from tests.checkouts import ROOT, variables
from tests.runs import counting
from tests.runs.counting import Counting
from tests.runs.test_executors import BAD, RUNS
from tests.stored import contents

PARENT = Counting("counting", seed=7)
CHILDREN = [Counting("further", seed=seed, parent=PARENT) for seed in range(3)]


@contextlib.contextmanager
def started_in(folder, n_workers):
    """A scheduler and its workers in processes of their own; its process, and the address."""
    scheduler = "-m distributed.cli.dask_scheduler --no-dashboard --port 0 --host 127.0.0.1"
    worker = f"-m distributed.cli.dask_worker --nthreads 1 --nworkers {n_workers}"
    options = {"env": variables(PYTHONPATH=str(ROOT)), "text": True, "cwd": folder}
    with contextlib.ExitStack() as opened:

        def start(words, **log):
            process = subprocess.Popen([sys.executable, *words.split()], **options, **log)
            opened.enter_context(process)
            opened.callback(process.kill)
            return process

        first = start(scheduler, stderr=subprocess.PIPE)
        lines = iter(first.stderr.readline, "")
        (address,) = next(found for line in lines if (found := re.findall(r"tcp://\S+", line)))
        threading.Thread(target=first.stderr.read, daemon=True).start()
        start(f"{worker} {address}", stderr=subprocess.DEVNULL)
        yield first, address


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of the scheduler of two workers, which are started in a folder of their own."""
    with started_in(tmp_path_factory.mktemp("workers"), 2) as (_, address):
        yield address


def follow_orders(run, workspace):
    """Counts. At the fifth step it follows the file that its variant names: it kills a process, by
    its number (0: itself), or writes its own number and stays for as long as it may.
    """
    path = Path(run.variant)

    def progress(done):
        workspace.progress(done)
        orders = path.read_text().split()
        if done < 5 or not orders:
            return
        if orders[0] == "stay":
            path.with_suffix(".staying").touch()
            try:
                while True:
                    workspace.progress(done)
                    time.sleep(0.02)
            finally:
                path.with_suffix(".ended").touch()
        path.write_text(" ".join(orders[1:]))
        os.kill(int(orders[0]) or os.getpid(), signal.SIGKILL)

    return counting.count(run, dataclasses.replace(workspace, progress=progress))


def ordered(folder, orders="", **fields):
    """A run that follows these orders."""
    path = folder / f"orders-{fields.get('seed', 0)}"
    path.write_text(orders)
    return Counting("ordered", variant=str(path), **{"steps": 8, **fields})


@pytest.fixture
def store(tmp_path):
    """A store of what counts, of what counts further from its records, and of what may be lost."""
    load = {"make": counting.count_and_load}
    parent = counting.experiment(keeps=counting.keep_steps, **load)
    twin = counting.experiment("twin", same_runs_as=("counting",), **load)
    child = counting.experiment("further", make=counting.count_further, parents=("counting",))
    following = counting.experiment("ordered", make=follow_orders)
    return counting.store(tmp_path, parent, twin, child, following)


def alone(folder, runs):
    """The contents of the records of runs that a loop makes, without orders."""
    experiments = [counting.experiment(name) for name in ("counting", "ordered")]
    made = sweep(counting.store(folder / "alone", *experiments), runs, progress=False)
    return [contents(record) for record in made]


# ----------------------------------------------------------------------------------- the records


def test_cluster_gives_the_records_of_the_loop(store, cluster, tmp_path, capsys):
    with pytest.raises(RunsFailed, match=r"1 of 4 runs failed\. counting \(fixed, .*cannot count"):
        sweep(store, [*RUNS, BAD], scheduler=cluster)
    records = store.records(RUNS)
    assert [contents(record) for record in records] == alone(tmp_path, RUNS)
    assert {record.environment["threads"] for record in records} == {1}
    assert re.search(r"^workers of the cluster: \d, see http", capsys.readouterr().err, re.M)


def test_records_are_all_that_comes_back_and_none_stays_with_a_worker(store, cluster):
    sweep(store, RUNS, scheduler=cluster, progress=False)
    of_runs = {f"{run.name}{end}" for run in RUNS for end in ("", ".lock")}
    assert {path.name for path in store.runs.iterdir()} == of_runs

    def left(dask_worker):
        return [str(path) for path in Path(dask_worker.local_directory).rglob("records.jsonl")]

    with distributed.Client(cluster, set_as_default=False) as client:
        assert [*client.run(left).values()] == [[], []]


@pytest.mark.parametrize("stored", ["whole", "whole and shipped", "nowhere"])
def test_runs_get_the_record_that_they_start_from(stored, store, cluster):
    if stored != "nowhere":
        parent = store.run(PARENT)
        made = parent.path.stat().st_mtime_ns
    if stored == "whole and shipped":
        store.ship(parent)  # without the array that is asked for
    records = sweep(store, CHILDREN, scheduler=cluster, progress=False)
    whole = store.stored(PARENT, whole=True)
    assert {record.environment["parent"] for record in records} == {
        whole.metrics["digest"].iloc[-1]
    }
    assert stored == "nowhere" or whole.path.stat().st_mtime_ns == made


def test_run_of_another_experiment_is_taken_over(store, cluster):
    original = store.run(RUNS[0])
    twin = dataclasses.replace(RUNS[0], experiment="twin")
    (record,) = sweep(store, [twin], scheduler=cluster, progress=False)
    assert record.environment["same_run_as"] == original.config.name


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("code", "0", r"its code is \w{12}, here 0"),
        ("numerics", 0, r"its numerics is \d, here 0"),
        ("torch", "0.1", r"its torch is \S+, here 0\.1"),
        ("digits", "0", r"its digits is \w{12}, here 0"),
        ("library", "0", "its library is None, here 0"),
    ],
)
def test_worker_that_differs_is_refused_by_name(name, value, words, store, cluster, monkeypatch):
    facts = clusters._facts("digits") | {name: value}
    monkeypatch.setattr(clusters, "_facts", lambda _: facts)
    with pytest.raises(WorkersLost, match=rf"^worker tcp://\S+ cannot be used: {words}$"):
        sweep(store, RUNS, scheduler=cluster, progress=False)
    assert store.records(RUNS) == []


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://a:b:c"])
def test_scheduler_that_does_not_answer_is_named(address, store, monkeypatch):
    monkeypatch.setattr(clusters, "PATIENCE", "100ms")
    with pytest.raises(OSError, match=f"no scheduler answers at {address}: start one, or mend"):
        sweep(store, RUNS, scheduler=address, progress=False)


# ------------------------------------------------------------------------------- what gets lost


@pytest.mark.slow
@pytest.mark.faults("killed at any moment")
def test_run_of_a_killed_worker_is_made_elsewhere(store, cluster, tmp_path):
    run = ordered(tmp_path, "0")
    (record,) = sweep(store, [run], scheduler=cluster, progress=False)
    assert Path(run.variant).read_text() == "" and record.environment["begun"] == 0
    assert [contents(record)] == alone(tmp_path, [run])


@pytest.mark.faults("killed at any moment")
def test_worker_ends_a_run_that_nobody_waits_for(store, cluster, tmp_path):
    run = ordered(tmp_path, "stay")
    with clusters.connected(store, cluster, print) as pool:
        pool.submit(run)
        processes.wait_until(Path(run.variant).with_suffix(".staying").exists)
    processes.wait_until(Path(run.variant).with_suffix(".ended").exists)


@pytest.mark.slow
@pytest.mark.faults("killed at any moment")
def test_sweep_that_loses_the_scheduler_goes_on(store, tmp_path):
    """Nothing that was finished is made again, and the bits are those of one process."""
    with started_in(tmp_path, 1) as (scheduler, address):
        runs = [*RUNS, ordered(tmp_path, f"{scheduler.pid}", seed=9)]
        with pytest.raises(WorkersLost, match="the scheduler is gone: no record is lost"):
            sweep(store, runs, scheduler=address, progress=False)
    finished = {record.path: record.path.stat().st_mtime_ns for record in store.records(runs)}
    assert len(finished) == len(RUNS)
    records = sweep(store, runs, progress=False)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert [contents(record) for record in records] == alone(tmp_path, runs)
