"""Runs on the workers of a Dask cluster that the user has started.

Workers need no disk in common with the caller: a worker makes its runs in its scratch folder, the
record that a run starts from is sent there, and the record of the run is sent back.
"""

import contextlib
import dataclasses
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import dask
import distributed
import torch

from lib import _boundary, data
from lib.runs.config import Run
from lib.runs.environment import environment
from lib.runs.records import Files, Store
from lib.runs.workers import Pool, WorkersLost, sources

PATIENCE = "10s"  # in which a scheduler must answer
SETTINGS = {"distributed.admin.large-graph-warning-threshold": "4 GiB"}  # a run brings records


# ------------------------------------------------------------------------------------- the caller


@contextlib.contextmanager
def connected(store: Store, scheduler: str, say: Callable[[str], None]) -> Iterator[Pool]:
    """The workers of a cluster.

    Args:
        store: of the records that runs start from.
        scheduler: its address, as tcp://10.0.0.1:8786.
        say: takes a line about the cluster.
    Raises: OSError if no scheduler answers.
    """
    with dask.config.set(SETTINGS):
        try:
            client = distributed.Client(scheduler, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:  # of no answer, of an address that is none
            raise OSError(
                f"no scheduler answers at {scheduler}: start one, or mend the address"
            ) from error
        with client:
            say(f"workers of the cluster: {len(client.nthreads())}, see {client.dashboard_link}")
            executor = client.get_executor()

            def submit(run: Run) -> Future[Files]:
                key = f"{run.name}-{uuid.uuid4().hex}"
                folders = {other: store.runs / other.name for other in sources(store, run)}
                given = {other: _files(at) for other, at in folders.items() if at.is_dir()}
                return executor.submit(make, _facts(run.dataset), store, run, given, key=key)

            def slots() -> int:
                with contextlib.suppress(OSError):
                    return max(1, len(client.nthreads()))
                return 1

            yield Pool(submit, slots, lambda: client.status == "running")


def _files(folder: Path) -> Files:
    """The files of a record."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _facts(dataset: str) -> dict[str, Any]:
    """Facts that must be the same on caller and worker: code, versions, the content of the data
    set.
    """
    own = environment()
    facts = {"code": own["code_sha256"][:12], "numerics": own["numerics"], **own["versions"]}
    with contextlib.suppress(data.DataUnavailable):
        facts[dataset] = data.origin(dataset)["sha256"][:12]
    return facts


# ------------------------------------------------------------------------------------ the workers

_one = threading.Lock()  # a process makes one run at a time, whatever threads it has


def make(facts: dict[str, Any], store: Store, run: Run, given: dict[Run, Files]) -> Files:
    """Make a run in the scratch folder of this worker, with the records that are given.

    Returns: the files of its record, which does not stay here.
    Raises: WorkersLost if the worker has other code, versions or data than the caller.
    """
    worker = distributed.get_worker()
    key = worker.get_current_task()
    ours = _facts(run.dataset)
    for name, theirs in facts.items():
        if ours.get(name) != theirs:
            raise WorkersLost(
                f"worker {worker.address} cannot be used: its {name} is {ours.get(name)}, here"
                f" {theirs}"
            )

    def progress(done: int) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing":
            raise CancelledError("nobody waits for the run any more")

    with _one:
        torch.set_num_threads(1)
        scratch = Path(worker.local_directory, "runs")
        store = dataclasses.replace(store, runs=scratch, results=_boundary.RESULTS)
        for other, files in given.items():
            store.accept(other, files)
        try:
            store.make(run, progress=progress)
            return _files(scratch / run.name)
        finally:
            for one in (run, *given):
                shutil.rmtree(scratch / one.name, ignore_errors=True)
