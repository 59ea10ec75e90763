"""Runs on clusters of real processes: the records of the loop, whatever is lost on the way."""

import contextlib
import dataclasses
import importlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import distributed
import psutil
import pytest
from distributed.security import Security

from lib import data
from lib._boundary import NotWritten
from lib.runs import agenda, executors
from lib.runs import cluster as clusters
from lib.runs.agenda import ClusterLost
from lib.runs.cluster import Cluster
from lib.runs.executors import RunsFailed, sweep
from lib.runs.progress import Progress
from tests import processes
from tests.checkouts import ROOT, started, variables
from tests.runs import counting
from tests.runs.counting import Counting
from tests.runs.test_executors import BAD, RUNS, contents

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
def client(tmp_path_factory):
    """Of two workers, which are started in a folder of their own, also where one was killed."""
    with started_in(tmp_path_factory.mktemp("workers"), 2) as (_, address):
        with clusters.connected(Cluster(address), tmp_path_factory.mktemp("none")) as client:
            yield client


@pytest.fixture
def cluster(client):
    """Those workers, both there and with what takes longest to import."""

    def are_there():
        answers = client.run(importlib.import_module, "lib.runs.cluster", on_error="ignore")
        return len(answers) == 2

    processes.wait_until(are_there)
    return Cluster(client.scheduler.address)


def count_beside(run, workspace):
    """Counts, and names the last digest of a run that is not its parent."""
    other = workspace.record_of(PARENT, counting.holds_large)
    contents = counting.count(run, workspace)
    contents.facts["other"] = other.metrics["digest"].iloc[-1]
    return contents


def count_with_orders(run, workspace):
    """Counts. From the fifth step on it does, a step each, what the file says that its variant
    names: "stay" lasts as long as the file is there, a number is that of a process to kill (0: its
    own; another one as soon as there is a record).
    """
    path = Path(run.variant)

    def progress(done):
        workspace.progress(done)
        orders = path.read_text().split() if path.exists() else []
        if done < 5 or not orders:
            return
        if orders[0] == "stay":
            while path.exists():
                workspace.progress(done)
                time.sleep(0.02)
            return
        pid = int(orders[0]) or os.getpid()
        if pid != os.getpid():
            processes.wait_until(lambda: any(workspace.folder.parent.glob("*/records.jsonl")))
        path.write_text(" ".join(orders[1:]))
        os.kill(pid, signal.SIGKILL)

    return counting.count(run, dataclasses.replace(workspace, progress=progress))


def fail(run, workspace):
    """Adds a line to the file that the variant names, and fails as the method says."""
    with Path(run.variant).open("a") as file:
        file.write("tried\n")
    raise {"of the run": RuntimeError, "of the place": OSError}[run.method](f"{run.method}")


def store_of(folder):
    """A store of what counts, and of what counts further from its records."""
    parent = counting.experiment(make=counting.count_and_load, keeps=counting.keep_steps)
    same = {"make": counting.count_and_load, "same_runs_as": ("counting",)}
    twin = counting.experiment("twin", **same)
    child = counting.experiment("further", make=counting.count_further, parents=("counting",))
    beside = counting.experiment("beside", make=count_beside)
    ordered = counting.experiment("ordered", make=count_with_orders)
    failing = counting.experiment("failing", make=fail)
    return counting.store(folder, parent, twin, child, beside, ordered, failing)


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
    does_not_use = [line for line in said if "workers do not use" in line]
    assert len(does_not_use) == (not either.runs.is_absolute())
    assert re.match("the cluster is watched at http", said[0])


def test_records_are_all_that_comes_over_the_wire(unseen, cluster):
    sweep(unseen, RUNS, cluster=cluster, progress=False)
    actual = {path.name for path in unseen.runs.iterdir()}
    of_runs = {f"{run.name}{end}" for run in RUNS for end in ("", ".lock")}
    assert actual == {".sweeps.lock", *of_runs}


def scratch_of(dask_worker):
    """The records in the scratch folder of a worker, of whatever sweep."""
    return [path.parent.name for path in Path(dask_worker.local_directory).rglob("records.jsonl")]


def test_no_record_that_was_sent_stays_with_a_worker(unseen, client, cluster):
    before = client.run(scratch_of)
    unseen.run(PARENT)
    sweep(unseen, CHILDREN, cluster=cluster, progress=False)
    assert client.run(scratch_of) == before


@pytest.mark.parametrize(("whose", "times"), [("of the run", 1), ("of the place", 3)])
def test_only_errors_of_the_place_are_tried_again(whose, times, either, cluster, tmp_path):
    run = Counting("failing", method=whose, variant=str(tmp_path / "tries"))
    with pytest.raises(RunsFailed, match=f"1 of 1 runs failed.*: {whose}$"):
        sweep(either, [run], cluster=cluster, progress=False)
    assert (tmp_path / "tries").read_text() == "tried\n" * times


@pytest.mark.faults("stale locks")
def test_what_killed_commands_left_is_removed(seen, cluster):
    left, other = seen.runs / ".sweep-left", seen.runs / ".sweep-other"
    left.mkdir(parents=True)
    (left / "lock").touch()
    with clusters._boundary.locked(other / "lock"):
        sweep(seen, RUNS[:1], cluster=cluster, progress=False)
        assert [*seen.runs.glob(".sweep-*")] == [other]


@pytest.mark.faults("stale locks")
def test_sweep_that_starts_is_not_taken_for_a_killed_one(seen, monkeypatch):
    """One at a time cleans up, makes its folder and locks it."""
    (seen.runs / ".sweep-left").mkdir(parents=True)
    held, is_held, steps = clusters._boundary.locked, clusters.locks.is_held, []

    def noted(does):
        def do(path, *_):
            steps.append((path.name, is_held(seen.runs / ".sweeps.lock")))
            return does(path)

        return do

    def connected(*_):
        steps.append(("connected", is_held(seen.runs / ".sweeps.lock")))
        raise OSError("enough")

    monkeypatch.setattr(clusters.locks, "held", noted(held))
    monkeypatch.setattr(clusters.locks, "is_held", noted(is_held))
    monkeypatch.setattr(clusters, "connected", connected)
    with (
        pytest.raises(OSError, match="enough"),
        clusters.workers(seen, [], Cluster("local"), print),
    ):
        pytest.fail("there is no cluster")
    lock = ("lock", True)
    assert steps == [(".sweeps.lock", False), lock, lock, ("connected", False)]
    assert [*seen.runs.glob(".sweep-*")] == []


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


def test_record_that_runs_ask_for_beside_their_parent_is_made(either, cluster, tmp_path):
    runs = [Counting("beside", seed=seed) for seed in range(3)]
    records = sweep(either, runs, cluster=cluster, progress=False)
    digest = store_of(tmp_path / "alone").run(PARENT).metrics["digest"].iloc[-1]
    assert [record.environment["other"] for record in records] == [digest] * 3


def test_child_of_a_failed_run_says_so(either, cluster):
    child = Counting("further", parent=Counting("counting", fails_at=2))
    with pytest.raises(RunsFailed, match="further .*: cannot count to 2"):
        sweep(either, [child], cluster=cluster, progress=False)


def test_run_of_another_experiment_is_taken_over(unseen, cluster):
    original = unseen.run(RUNS[0])
    twin = dataclasses.replace(RUNS[0], experiment="twin")
    (record,) = sweep(unseen, [twin], cluster=cluster, progress=False)
    assert record.environment["same_run_as"] == original.config.name


def test_workers_of_this_machine_keep_others_out_and_their_memory(tmp_path):
    """Where malloc gives memory back at every chance, convolutions take twice as long."""
    with clusters.connected(Cluster("local", 1), tmp_path) as client:
        (variables_of_worker,) = client.run(lambda: dict(os.environ)).values()
        stranger = Security.temporary()
        with pytest.raises(OSError, match="TLS certificate does not match"):
            distributed.Client(client.scheduler.address, security=stranger, timeout="1s")
    assert "MALLOC_TRIM_THRESHOLD_" not in variables_of_worker


def test_data_of_ones_own_are_those_of_the_workers(seen, cluster, tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("a,b\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    run = Counting("twin", dataset=f"{path}:b")
    (record,) = sweep(seen, [run], cluster=cluster, progress=False)
    assert record.environment["data"]["sha256"] == data.origin(f"{path}:b")["sha256"]


# ------------------------------------------------------------------------------- what gets lost


def ordered(folder, orders="", **fields):
    """A run with orders, see :func:`count_with_orders`."""
    path = folder / f"orders-{fields.get('seed', 0)}"
    path.write_text(orders)
    return Counting("ordered", variant=str(path), steps=30, **fields)


def alone(folder, runs):
    """The contents of the records of runs that are made by a loop, without orders."""
    store = counting.store(folder / "alone", counting.experiment("ordered"))
    return [contents(record) for record in sweep(store, runs, progress=False)]


@pytest.mark.faults("killed at any moment")
def test_run_of_a_killed_worker_goes_on_elsewhere(seen, cluster, tmp_path):
    run = ordered(tmp_path, "0")
    (record,) = sweep(seen, [run], cluster=cluster, progress=False)
    assert record.environment["begun"] == 5
    assert [contents(record)] == alone(tmp_path, [run])


@pytest.mark.faults("killed at any moment")
def test_run_of_a_killed_worker_is_made_anew_where_no_folder_is_shared(unseen, cluster, tmp_path):
    """Nothing but the record comes over the wire: another worker starts from nothing."""
    run = ordered(tmp_path, "0")
    (record,) = sweep(unseen, [run], cluster=cluster, progress=False)
    assert record.environment["begun"] == 0 and Path(run.variant).read_text() == ""
    assert [contents(record)] == alone(tmp_path, [run])


@pytest.mark.faults("killed at any moment")
def test_run_that_kills_its_workers_is_given_up_after_three(seen, tmp_path):
    """A run that ends three workers is named, and all others are made."""
    killer = ordered(tmp_path, "0 0 0 0", method="killer")
    others = [ordered(tmp_path, seed=seed) for seed in range(1, 7)]
    with pytest.raises(RunsFailed, match=r"1 of 7 runs failed\. .*killer.* 3 different workers"):
        sweep(seen, [killer, *others], jobs=2, progress=False)
    assert len(seen.records(others)) == 6 and Path(killer.variant).read_text() == "0"


@pytest.mark.faults("killed at any moment")
def test_sweep_that_loses_a_worker_and_then_the_scheduler_goes_on(seen, tmp_path):
    """Nothing that was finished is made again, and the bits are those of one process."""
    runs = [ordered(tmp_path, seed=seed) for seed in range(1, 10)]
    runs.append(ordered(tmp_path, "stay", seed=10))
    with started_in(tmp_path, 4) as (scheduler, address):
        runs.append(ordered(tmp_path, f"0 {scheduler.pid}"))
        with pytest.raises(ClusterLost, match="the scheduler is gone: no record is lost"):
            sweep(seen, runs, cluster=Cluster(address), progress=False)
    finished = {record.path: record.path.stat().st_mtime_ns for record in seen.records(runs)}
    assert 1 <= len(finished) < len(runs)
    Path(runs[-2].variant).unlink()
    records = sweep(seen, runs, progress=False)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert [contents(record) for record in records] == alone(tmp_path, runs)
    assert Path(runs[-1].variant).read_text() == ""  # both were killed


SWEEPING = """
from pathlib import Path
from types import SimpleNamespace
from lib import command
from lib.runs import executors
from lib.runs.cluster import Cluster
from tests.runs import test_clusters

folder = Path({folder!r})
store, runs = test_clusters.store_of(folder), [test_clusters.ordered(folder, "stay")]
sweep = lambda: executors.sweep(store, runs, cluster=Cluster("local", 1))
command.cli = SimpleNamespace(main=sweep)  # else all papers are imported
raise SystemExit(command.main())
"""
SENTENCE = "interrupted: nothing is lost, the same command continues"


@pytest.mark.faults("killed at any moment")
@pytest.mark.parametrize("begun", [0, 5])
def test_interrupted_cluster_ends_with_a_sentence_and_goes_on(begun, tmp_path):
    """Ctrl-C, while the workers start or while they work, leaves none of them, and no traceback."""
    store, run = store_of(tmp_path), ordered(tmp_path)
    code = SWEEPING.format(folder=str(tmp_path))
    with started(ROOT, "-c", code, PYTHONPATH=str(ROOT)) as process:
        ours = psutil.Process(process.pid)
        processes.wait_until(lambda: len(ours.children()) == 2)  # and a tracker
        processes.wait_until(lambda: agenda.begun(store, [run]).get(run, 0) == begun)
        workers = ours.children()
        for one in (ours, *workers):  # as a terminal does
            one.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert [line for line in said.splitlines() if not is_of_the_log(line)] == [SENTENCE]
    processes.wait_until(lambda: not any(processes.is_alive(one.pid) for one in workers))
    Path(run.variant).unlink()
    (record,) = sweep(store, [run], progress=False)
    assert begun <= record.environment["begun"] <= 5


def is_of_the_log(line):
    """Whether a line says how far a sweep on a cluster is."""
    return re.match(r"\d+/30 epochs|the cluster is watched", line)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"code_sha256": "0"}, r"its code is \w{12}, here 0"),
        ({"numerics": 0}, r"its numerics is \d, here 0"),
        ({"versions": {"torch": "0.1"}}, r"its torch is \S+, here 0\.1"),
    ],
)
def test_worker_with_other_code_or_versions_is_refused_by_name(
    changes, words, seen, cluster, monkeypatch
):
    other = clusters.environment() | changes
    monkeypatch.setattr(clusters, "environment", lambda: other)
    with pytest.raises(ClusterLost, match=rf"^worker tcp://\S+ cannot be used: {words}$"):
        sweep(seen, RUNS, cluster=cluster, progress=False)
    assert [path.name for path in seen.runs.iterdir()] == [".sweeps.lock"]


def test_worker_with_other_data_is_refused_by_name(seen, cluster, monkeypatch):
    monkeypatch.setattr(clusters.data, "origin", lambda _: {"sha256": "0"})
    with pytest.raises(ClusterLost, match=r"cannot be used: its digits is \w{12}, here 0$"):
        sweep(seen, RUNS, cluster=cluster, progress=False)


def test_worker_without_a_library_or_data_is_refused_by_name(seen, cluster, monkeypatch):
    monkeypatch.setattr(clusters, "_facts", lambda _: {"library": "0"})
    with pytest.raises(ClusterLost, match=r"^worker tcp://\S+ cannot be used: it has no library$"):
        sweep(seen, RUNS, cluster=cluster, progress=False)


def newer_check(sweep, dask_worker):
    """Needs what the code of the worker lacks."""
    raise AttributeError("module 'lib.runs' has no 'newer'")


def test_worker_whose_code_fails_to_answer_is_refused_by_name(seen, cluster, monkeypatch):
    monkeypatch.setattr(clusters, "check", newer_check)
    with pytest.raises(ClusterLost, match=r"^worker tcp://\S+ cannot be used: .* no 'newer'$"):
        sweep(seen, RUNS, cluster=cluster, progress=False)


def test_worker_that_comes_later_is_refused_by_name(seen, cluster, monkeypatch):
    monkeypatch.setattr(clusters, "check", lambda *_: True)  # that of the workers is not asked
    other = clusters.environment() | {"code_sha256": "0"}
    monkeypatch.setattr(clusters, "environment", lambda: other)
    with pytest.raises(ClusterLost, match=r"^worker tcp://\S+ cannot be used: its code is"):
        sweep(seen, RUNS, cluster=cluster, progress=False)


def test_store_without_locks_that_reach_workers_is_not_shared(seen, tmp_path):
    """As on a disk of several machines whose locks do not leave them."""
    sweep = clusters.Sweep(seen, "token", (), {}, shared=True)
    assert not clusters.check(sweep, None)
    (seen.runs / "token").mkdir(parents=True)
    (seen.runs / "token" / "lock").touch()
    assert not clusters.check(sweep, None)
    with clusters._boundary.locked(seen.runs / "token" / "lock"):
        assert clusters.check(sweep, None)


@pytest.mark.faults("a read-only store")
def test_sweep_of_a_read_only_place_is_refused_in_a_sentence(seen, monkeypatch):
    """The client of a cluster says which file it could not write, before it starts anything."""

    def refuse(path, *_):
        raise PermissionError(13, "read-only", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(NotWritten, match=r"\.sweeps\.lock cannot be written, as its place is"):
        sweep(seen, RUNS, cluster=Cluster("local", 1), progress=False)


# ------------------------------------------------------------------------------------- its words


@pytest.mark.parametrize(
    ("words", "cluster"),
    [
        ("tcp://10.0.0.1:8786", Cluster("tcp://10.0.0.1:8786")),
        ("local", Cluster("local")),
        ("local:2", Cluster("local", 2)),
        ("slurm:100", Cluster("slurm", 100)),
        ("ssh:me@a,b", Cluster("ssh", None, ("me@a", "b"))),
        ("ssh:a,b:16", Cluster("ssh", 16, ("a", "b"))),
    ],
)
def test_words_name_a_cluster(words, cluster):
    assert Cluster.parse(words) == cluster


@pytest.mark.parametrize("words", ["slurm", "ssh", "ssh:2", "ssh:a,,b", "local:a", "local:0", ""])
def test_incomplete_words_are_refused(words):
    with pytest.raises(ValueError, match=r"give local:N, ssh:HOST,HOST:N, slurm:N|unknown"):
        Cluster.parse(words)


def test_unknown_place_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'slurm'"):
        Cluster.parse("slrum:2")


def test_unknown_protocol_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="scheduler 'tpc': did you mean 'tcp'"):
        Cluster.parse("tpc://10.0.0.1:8786")


def test_address_that_is_none_is_told_in_a_sentence(tmp_path):
    with pytest.raises(OSError, match="no scheduler answers at tcp://a:b:c: start one, or mend"):
        with clusters.connected(Cluster.parse("tcp://a:b:c"), tmp_path):
            pass
