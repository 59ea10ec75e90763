"""Runs on clusters of real processes: the records of the loop, whatever is lost on the way."""

import dataclasses
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import psutil
import pytest

from lib.runs import clusters, dispatch, executors, sites
from lib.runs.clusters import Cluster
from lib.runs.executors import RunsFailed, sweep
from lib.runs.progress import Progress
from tests import processes
from tests.checkouts import ROOT, started, variables
from tests.runs import counting
from tests.runs.counting import Counting
from tests.runs.test_executors import BAD, RUNS, contents

LONG = Counting("counting", steps=30, pause=0.04)
PARENT = Counting("counting", seed=7)
CHILDREN = [Counting("further", seed=seed, parent=PARENT) for seed in range(3)]


class Listener(Progress):
    """Keeps what is said."""

    lines: list[str] = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture
def said(monkeypatch):
    """The lines said, those of one test."""
    monkeypatch.setattr(Listener, "lines", [])
    monkeypatch.setattr(executors, "Progress", Listener)
    return Listener.lines


@pytest.fixture
def impatient(monkeypatch):
    """A client that asks often, each time for checkpoints."""
    monkeypatch.setattr(sites, "CHECKPOINTS", 0.0)
    monkeypatch.setattr(sites, "SHARE", 1.0)
    monkeypatch.setattr(dispatch, "ASKING", 0.1)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Of a cluster of two processes that were started in a folder of their own."""
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("workers"))
    try:
        with clusters.connected(Cluster(kind="local", workers=2)) as client:
            os.chdir(before)
            yield client
    finally:
        os.chdir(before)


@pytest.fixture
def cluster(client):
    """That cluster, both processes there and with what takes longest to import."""

    def are_there():
        answers = client.run(importlib.import_module, "lib.runs.workers", on_error="ignore")
        return len(answers) == 2

    processes.wait_until(are_there, seconds=120)
    return Cluster(client.scheduler.address)


def store_of(folder):
    """A store of what counts, and of what counts further from its records."""
    parent = counting.experiment(make=counting.count_and_load, keeps=counting.keep_steps)
    same = {"make": counting.count_and_load, "same_runs_as": ("counting",)}
    twin = counting.experiment("twin", **same)
    child = counting.experiment("further", make=counting.count_further, parents=("counting",))
    return counting.store(folder, parent, twin, child)


@pytest.fixture
def seen(tmp_path):
    """A store that workers see."""
    return store_of(tmp_path)


@pytest.fixture
def unseen(tmp_path, monkeypatch):
    """A store that only a process in its folder sees: the path to it is relative."""
    monkeypatch.chdir(tmp_path)
    return store_of(tmp_path.relative_to(tmp_path))


@pytest.fixture(params=["seen", "unseen"])
def either(request):
    return request.getfixturevalue(request.param)


# ----------------------------------------------------------------------------------- the records


def test_cluster_gives_the_records_of_the_loop(either, cluster, said, tmp_path):
    alone = sweep(store_of(tmp_path / "alone"), RUNS, progress=False)
    with pytest.raises(RunsFailed, match=r"1 of 4 runs failed\. counting \(fixed, .*cannot count"):
        sweep(either, [*RUNS, BAD], cluster=cluster, progress=False)
    records = either.records(RUNS)
    assert [contents(record) for record in records] == [contents(record) for record in alone]
    assert {record.environment["threads"] for record in records} == {1}
    what = "sees" if either.runs.is_absolute() else "does not use"
    assert re.match(
        rf"the cluster is watched at http.*\nworker . \(tcp.*\) {what} ", "\n".join(said)
    )


def test_records_are_all_that_comes_over_the_wire(unseen, cluster):
    sweep(unseen, RUNS, cluster=cluster, progress=False)
    names = {run.name for run in RUNS}
    locks = {f"{run.name}.lock" for run in RUNS}
    assert {path.name for path in unseen.runs.iterdir()} == names | locks


@pytest.mark.parametrize("keeps_whole", [True, False])
def test_stored_record_is_sent_to_the_runs_that_start_from_it(keeps_whole, unseen, cluster):
    record = unseen.run(PARENT)
    digest, written = record.metrics["digest"].iloc[-1], record.path.stat().st_mtime_ns
    if keeps_whole:
        unseen.ship(record)  # without the array that is asked for
    records = sweep(unseen, CHILDREN, cluster=cluster, progress=False)
    assert [record.environment["parent"] for record in records] == [digest] * 3
    assert (unseen.runs / PARENT.name).stat().st_mtime_ns == written


def test_record_that_runs_start_from_is_made_where_there_is_none(unseen, cluster):
    records = sweep(unseen, CHILDREN, cluster=cluster, progress=False)
    digest = unseen.stored(PARENT).metrics["digest"].iloc[-1]
    assert [record.environment["parent"] for record in records] == [digest] * 3


def test_run_of_another_experiment_is_taken_over(unseen, cluster):
    original = unseen.run(RUNS[0])
    twin = dataclasses.replace(RUNS[0], experiment="twin")
    (record,) = sweep(unseen, [twin], cluster=cluster, progress=False)
    assert record.environment["same_run_as"] == original.config.name


def test_data_set_is_sent_once_to_each_worker(seen, cluster, said, tmp_path, monkeypatch):
    rows = np.eye(180, dtype=np.uint8)
    np.savez(tmp_path / "dna.npz", x_train=rows, x_test=rows)
    monkeypatch.setenv("SPARSE_DATA_DIR", str(tmp_path))
    first, second = (Counting("counting", dataset="dna", seed=seed) for seed in range(2))
    (record,) = sweep(seen, [first], cluster=cluster, progress=False)
    assert record.environment["data"]["n_train"] == 180
    assert any("is sent dna" in line for line in said)
    said.clear()
    processes.wait_until(lambda: sweep(seen, [second], cluster=cluster, progress=False))
    assert len([line for line in said if "is sent dna" in line]) <= 1


# ------------------------------------------------------------------------------- what gets lost


def kill_when(true, find_pid):
    """Kill a process in the background, as soon as something is true."""

    def watch():
        processes.wait_until(true, seconds=120)
        os.kill(find_pid(), signal.SIGKILL)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def counted(store, run):
    """Steps in the checkpoint that the client has."""
    checkpoint = store.work_of(run) / "checkpoint.json"
    return len(json.loads(checkpoint.read_text())) if checkpoint.exists() else 0


@pytest.mark.faults("killed at any moment")
def test_run_of_a_killed_worker_goes_on_elsewhere(either, cluster, said, impatient, tmp_path):
    pid = either.work_of(LONG) / "pid"
    killing = kill_when(lambda: counted(either, LONG) >= 5, lambda: int(pid.read_text()))
    (record,) = sweep(either, [LONG], cluster=cluster, progress=False)
    killing.join()
    assert 5 <= record.environment["begun"] < LONG.steps
    assert contents(record) == contents(store_of(tmp_path / "alone").run(LONG))
    assert [line for line in said if re.fullmatch(r"worker . \(.*\) is lost: .*", line)]
    (line,) = (line for line in said if "goes on elsewhere" in line)
    assert re.match(rf"{LONG.name} \(\d+ of 30 steps done\)", line)


@pytest.fixture
def fragile():
    """A scheduler, in a process of its own, and the address of it and its one worker."""
    preloaded = ["--no-dashboard", "--preload", "lib.runs.workers"]
    scheduler = ["-m", "distributed.cli.dask_scheduler", "--port", "0", *preloaded]
    worker = ["-m", "distributed.cli.dask_worker", "--no-nanny", "--nthreads", "1", *preloaded]
    environment = variables(PYTHONPATH=str(ROOT))
    log = {"stderr": subprocess.PIPE, "text": True}
    words = [sys.executable, *scheduler, "--host", "127.0.0.1"]
    with subprocess.Popen(words, env=environment, **log) as first:
        lines = iter(first.stderr.readline, "")
        (address,) = next(found for line in lines if (found := re.findall(r"tcp://\S+", line)))
        threading.Thread(target=first.stderr.read, daemon=True).start()
        words = [sys.executable, *worker, address]
        with subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL) as second:
            yield first, address
            second.kill()
        first.kill()


@pytest.mark.faults("killed at any moment")
def test_dead_scheduler_loses_nothing(fragile, unseen, impatient, tmp_path):
    scheduler, address = fragile
    killing = kill_when(lambda: counted(unseen, LONG) >= 5, lambda: scheduler.pid)
    with pytest.raises(dispatch.ClusterLost, match="the scheduler is gone: nothing is lost"):
        sweep(unseen, [LONG], cluster=Cluster(address), progress=False)
    killing.join()
    assert unseen.stored(LONG) is None
    (record,) = sweep(unseen, [LONG], progress=False)
    assert record.environment["begun"] >= 5
    assert contents(record) == contents(store_of(tmp_path / "alone").run(LONG))


SWEEPING = """
from pathlib import Path
from types import SimpleNamespace
from lib import command
from lib.runs import executors
from lib.runs.clusters import Cluster
from tests.runs import counting, test_clusters

store = counting.store(Path({folder!r}))
cluster = Cluster(kind="local", workers=1)
sweep = lambda: executors.sweep(store, [test_clusters.LONG], cluster=cluster)
command.cli = SimpleNamespace(main=sweep)  # else all papers are imported
raise SystemExit(command.main())
"""
SENTENCE = (
    "interrupted: records and checkpoints that came back are kept, the same command continues"
)


@pytest.mark.faults("killed at any moment")
@pytest.mark.parametrize("begun", [0, 5])
def test_interrupted_cluster_ends_with_a_sentence_and_goes_on(begun, tmp_path):
    """Ctrl-C, while the workers start or while they work, leaves none of them, and no traceback."""
    store = counting.store(tmp_path)
    code = SWEEPING.format(folder=str(tmp_path))
    with started(ROOT, "-c", code, PYTHONPATH=str(ROOT)) as process:
        ours = psutil.Process(process.pid)
        processes.wait_until(lambda: len(ours.children()) == 2, seconds=120)  # and a tracker
        processes.wait_until(lambda: counted(store, LONG) >= begun, seconds=120)
        workers = ours.children()
        for one in (ours, *workers):  # as a terminal does
            one.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [line for line in said.splitlines() if not is_of_the_log(line)] == [SENTENCE]
    processes.wait_until(lambda: not any(processes.is_alive(one.pid) for one in workers))
    (record,) = sweep(store, [LONG], progress=False)
    assert begun <= record.environment["begun"] < LONG.steps


def is_of_the_log(line):
    """Whether a line says how far a sweep on a cluster is."""
    return re.match(r"\d+/30 epochs|worker . \(.*\) sees|the cluster is watched", line)


def test_workers_of_another_numerics_are_refused_by_name(seen, cluster, monkeypatch):
    ours = dispatch.environment()
    other = ours | {"numerics": ours["numerics"] + 1}
    monkeypatch.setattr(dispatch, "environment", lambda: other)
    reason = f"its numerics is {ours['numerics']}, here {other['numerics']}"
    with pytest.raises(dispatch.ClusterLost, match=rf"is refused: {reason}; .*: {reason}$"):
        sweep(seen, RUNS, cluster=cluster, progress=False)


def test_workers_with_other_versions_are_refused_by_name(seen, cluster, monkeypatch):
    other = dispatch.environment() | {"code_sha256": "0"}
    other["versions"] = other["versions"] | {"torch": "0.1"}
    monkeypatch.setattr(dispatch, "environment", lambda: other)
    reason = r"its code is another and its torch is \S+, here 0\.1"
    name = r"worker . \(tcp://\S+\) is refused"
    with pytest.raises(dispatch.ClusterLost, match=rf"{name}: {reason}; {name}: {reason}$"):
        sweep(seen, RUNS, cluster=cluster, progress=False)
