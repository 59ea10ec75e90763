"""Runs on the workers of a Dask cluster: processes of this machine or of others.

If all workers see the folder of records, as those of this machine do, they make their runs there: a
run whose worker is lost goes on elsewhere from its checkpoint. Otherwise a worker makes its runs in
a scratch folder: the record that a run starts from is sent there, its own is sent back.
"""

import contextlib
import dataclasses
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Self

import dask
import distributed
import torch

from lib import _boundary, data
from lib._boundary import check_known
from lib.runs import agenda
from lib.runs.agenda import Answer, ClusterLost, Pool
from lib.runs.config import Run
from lib.runs.environment import environment
from lib.runs.records import Files, Store

PLACES = ("local", "ssh", "slurm")  # where a cluster can be started
RETRIES = 2  # of a run that its worker cannot make, for example because its disk is full
PROTOCOLS = ("tcp", "tls", "ws", "wss", "ucx")  # of the address of a scheduler
PATIENCE = "10s"  # in which a scheduler must answer
ALONE = 60.0  # seconds to wait for a first worker before saying so
LOCK = "lock"  # in the folder of a sweep, held by its client
SETTINGS = {
    "distributed.admin.large-graph-warning-threshold": "4 GiB",  # a run brings records
    "distributed.scheduler.allowed-failures": 2,  # with a third worker a run is given up
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,  # LeNet-5: half as fast
    "distributed.worker.multiprocessing-method": "spawn",  # after a fork OpenMP would end it
    "distributed.worker.profile.enabled": False,  # it looks at every process 100 times a second
}
SLURM = {  # of a job, unless jobqueue.yaml says
    "cores": 1,
    "processes": 1,
    "memory": "4 GiB",
    "walltime": "24:00:00",
}


# ----------------------------------------------------------------------------- where runs are made


@dataclass(frozen=True)
class Cluster:
    """Where runs are made.

    Args:
        place: "local" (this machine), "ssh", "slurm", or the address of a scheduler that runs
            already.
        workers: how many are started: of "local" (default: a core each), of "slurm", on each host
            of "ssh" (default: 1).
        hosts: of "ssh"; the scheduler runs on the first one too.
    """

    place: str
    workers: int | None = None
    hosts: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The cluster that ``local[:N]``, ``ssh:HOST[,HOST...][:N]``, ``slurm:N`` or an address as
        ``tcp://10.0.0.1:8786`` names. Raises ValueError for anything else.
        """
        if "://" in text:
            check_known("protocol of a scheduler", text.partition("://")[0], PROTOCOLS)
            return cls(text)
        place, *words = text.split(":")
        check_known("cluster", place, PLACES)
        workers = int(words.pop()) if words and words[-1].isdecimal() else None
        hosts = tuple(words.pop(0).split(",")) if place == "ssh" and words else ()
        complete = {"local": True, "ssh": all(hosts) and hosts, "slurm": workers}[place]
        if words or not complete or workers == 0:
            raise ValueError(
                f"scheduler {text!r} is unknown: give local:N, ssh:HOST,HOST:N, slurm:N or an"
                " address, as tcp://10.0.0.1:8786"
            )
        return cls(place, workers, hosts)


@contextlib.contextmanager
def connected(cluster: Cluster, folder: Path) -> Iterator[distributed.Client]:
    """A client of a cluster; what was started for it ends with the block.

    Args:
        cluster: which.
        folder: for the files of workers of this machine.
    Raises: OSError if no scheduler answers; RuntimeError if SLURM takes no job.
    """
    opened = contextlib.ExitStack()
    opened.callback(logging.disable, logging.root.manager.disable)
    logging.disable(logging.CRITICAL)  # what goes wrong is a sentence
    try:
        with _without_interruption():
            opened.enter_context(dask.config.set(SETTINGS))
            place = cluster.place
            if place in PLACES:
                place = opened.enter_context(_started(cluster, folder))
            try:
                client = distributed.Client(place, timeout=PATIENCE, set_as_default=False)
            except (OSError, ValueError) as error:  # of no answer, of an address that is none
                raise OSError(
                    f"no scheduler answers at {cluster.place}: start one, or mend the address"
                ) from error
            opened.enter_context(client)
        yield client
    finally:
        with _without_interruption():
            opened.close()


@contextlib.contextmanager
def _without_interruption() -> Iterator[None]:
    """Ctrl-C waits for the end of the block. Threads that are started in it, and the processes that
    these start, never see one.
    """
    came = []
    resource_tracker.ensure_running()  # else the first process would, and unblock the signal
    handler = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if came:
        raise KeyboardInterrupt


def _started(
    cluster: Cluster, folder: Path
) -> contextlib.AbstractContextManager[distributed.deploy.Cluster]:
    """The cluster, started anew. Raises RuntimeError if SLURM takes no job."""
    if cluster.place == "local":
        return _started_here(cluster.workers or os.cpu_count() or 1, folder)
    quiet = {"silence_logs": logging.CRITICAL}
    if cluster.place == "ssh":
        worker = {"nthreads": 1, "n_workers": cluster.workers or 1, "memory_limit": None}
        return distributed.SSHCluster(
            [cluster.hosts[0], *cluster.hosts],
            worker_options=worker,
            scheduler_options={"port": 0, "dashboard_address": ":0"},
            remote_python=sys.executable,
            **quiet,
        )
    from dask_jobqueue import SLURMCluster

    dask.config.update_defaults({"jobqueue": {"slurm": SLURM}})
    jobs = SLURMCluster(
        python=sys.executable, scheduler_options={"dashboard_address": ":0"}, **quiet
    )
    asked = {"input": jobs.job_script(), "capture_output": True, "text": True}
    try:
        subprocess.run(["sbatch", "--test-only"], check=True, **asked)
    except (OSError, subprocess.CalledProcessError) as error:
        jobs.close()
        reason = " ".join(str(getattr(error, "stderr", error)).split())
        raise RuntimeError(
            f"SLURM takes no job ({reason}): run the command where SLURM's commands are, and mend"
            " jobqueue.yaml, see docs/CLUSTER.md"
        ) from error
    jobs.adapt(minimum=cluster.workers, maximum=cluster.workers)  # what ends is started again
    return jobs


@contextlib.contextmanager
def _started_here(n_workers: int, folder: Path) -> Iterator[distributed.LocalCluster]:
    """A cluster of this machine, which writes in the folder. Its workers end at once, whatever they
    do: records are whole, and what an interrupted run loses is in its checkpoint.
    """
    with (
        dask.config.set({"temporary-directory": str(folder.resolve())}),
        distributed.LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address="127.0.0.1:0",
            security=True,  # others who use this machine are kept out
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        try:
            yield cluster
        finally:
            for nanny in cluster.workers.values():
                nanny.close_gracefully()  # it does not start its worker again
                if nanny.pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(nanny.pid, signal.SIGKILL)


# ------------------------------------------------------------------------------------- the client


@dataclass(frozen=True)
class Sweep:
    """What the runs of a sweep share.

    Attributes:
        store: that of the client.
        token: name of a folder in its folder of runs, in which the client holds a lock.
        datasets: names of the data sets of the runs.
        facts: the client's, see :func:`_facts`.
        shared: whether runs are made in that store.
    """

    store: Store
    token: str
    datasets: tuple[str, ...]
    facts: dict[str, Any]
    shared: bool


@contextlib.contextmanager
def workers(
    store: Store, runs: Iterable[Run], cluster: Cluster, say: Callable[[str], None]
) -> Iterator[Pool]:
    """The workers of a cluster, once there is one and all can be used.

    Raises: ClusterLost if one has other code, versions or data; NotWritten if there is no room for
        a record; as :func:`connected`.
    """
    folder = store.runs / f".sweep-{uuid.uuid4().hex[:12]}"
    with contextlib.ExitStack() as opened:
        with _boundary.locked(store.runs / ".sweeps.lock"):  # until the new folder has its lock
            for left in store.runs.glob(".sweep-*"):  # of commands that were killed
                if not _boundary.is_locked(left / LOCK):
                    shutil.rmtree(left, ignore_errors=True)
            opened.callback(shutil.rmtree, folder, ignore_errors=True)
            opened.enter_context(_boundary.locked(folder / LOCK))
        client = opened.enter_context(connected(cluster, folder))
        if cluster.place != "local":
            say(f"the cluster is watched at {client.dashboard_link}")
        try:
            client.wait_for_workers(1, timeout=ALONE)
        except TimeoutError:
            say(f"no worker has come for {ALONE:.0f} s: docs/CLUSTER.md says where to look")
            client.wait_for_workers(1)
        datasets = tuple(sorted({run.dataset for run in runs}))
        sweep = Sweep(store, folder.name, datasets, _facts(datasets), shared=True)
        answers = client.run(check, sweep, on_error="return")
        for address, answer in answers.items():
            if isinstance(answer, ClusterLost):
                raise answer
            if isinstance(answer, Exception):
                raise ClusterLost(f"worker {address} cannot be used: {answer}") from answer
        if not all(answers.values()):
            sweep = dataclasses.replace(sweep, shared=False)
            say(f"workers do not use {store.runs}: a run that is lost begins anew elsewhere")
        executor = client.get_executor(retries=RETRIES)

        def submit(run: Run) -> Future[Answer]:
            key = f"{run.name}-{uuid.uuid4().hex}"
            given = {} if sweep.shared else _given(store, run)
            return executor.submit(make, sweep, run, given, key=key)

        def slots() -> int:
            with contextlib.suppress(OSError):
                if client.status == "running":
                    return max(1, len(client.nthreads()))
            return 1  # where there is no worker a run waits for one

        yield Pool(submit, slots, lambda: client.status == "running")


def _given(store: Store, run: Run) -> dict[Run, Files]:
    """The records that a run starts from or is the very same as, of those that are whole here."""
    others = store.twins(run)
    parent = agenda.parent_of(run)
    if parent is not None:
        others.append(parent)
    folders = {other: store.runs / other.name for other in others}
    return {other: _files(folder) for other, folder in folders.items() if folder.is_dir()}


def _files(folder: Path) -> Files:
    """The files of a record."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ------------------------------------------------------------------------------------ the workers

_one = threading.Lock()  # a process makes one run at a time, whatever threads it has


def _facts(datasets: Iterable[str]) -> dict[str, Any]:
    """What must be the same on client and workers: code, versions, the content of data sets."""
    own = environment()
    facts = {"code": own["code_sha256"][:12], "numerics": own["numerics"], **own["versions"]}
    for name in datasets:
        with contextlib.suppress(data.DataUnavailable):
            facts[name] = data.origin(name)["sha256"][:12]
    return facts


def check(sweep: Sweep, dask_worker: distributed.Worker) -> bool:
    """Whether this worker, which Dask names, sees the store of a sweep, and its locks.

    Raises: ClusterLost if it has other code, versions or data.
    """
    torch.set_num_threads(1)
    ours = _facts(sweep.datasets)
    words = []
    for name, theirs in sweep.facts.items():
        if name not in ours:
            words.append(f"it has no {name}")
        elif ours[name] != theirs:
            words.append(f"its {name} is {ours[name]}, here {theirs}")
    if words:
        raise ClusterLost(f"worker {dask_worker.address} cannot be used: {' and '.join(words)}")
    return _boundary.is_locked(sweep.store.runs / sweep.token / LOCK)  # by the client


def make(sweep: Sweep, run: Run, given: dict[Run, Files]) -> Answer:
    """Make a run in the store of the sweep, or in the scratch folder of the worker with the records
    that are given: then the files of its record are returned, and neither stays there.

    Raises: what another worker may not meet, as OSError; ClusterLost as :func:`check`.
    """
    worker = distributed.get_worker()
    key = worker.get_current_task()

    def progress(done: int) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing":
            raise CancelledError("nobody waits for the run any more")
        agenda.note(store, run, done)

    with _one:
        if not check(sweep, worker) and sweep.shared:
            raise ClusterLost(f"worker {worker.address} does not see {sweep.store.runs}")
        store = sweep.store
        if not sweep.shared:
            scratch = Path(worker.local_directory, sweep.token)
            store = dataclasses.replace(store, runs=scratch, results=_boundary.RESULTS)
        try:
            for other, files in given.items():
                store.accept(other, files)
            store.make(run, progress=progress)
            return None if sweep.shared else _files(store.runs / run.name)
        except (ValueError, RuntimeError) as error:
            return str(error)  # the run fails wherever it is made
        finally:
            if not sweep.shared:
                for one in (run, *given):
                    shutil.rmtree(store.runs / one.name, ignore_errors=True)
