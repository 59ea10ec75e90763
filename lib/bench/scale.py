"""What a cluster costs: very many runs that do next to nothing, in this process and on its workers.

What is measured is then all overhead: of writing records, of sending them, of scheduling.
"""

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from lib.paths import RESULTS
from lib.runs import clusters, executors
from lib.runs.clusters import Cluster
from lib.runs.config import Run
from lib.runs.environment import environment
from lib.runs.experiment import Contents, Experiment, Workspace
from lib.runs.records import Store

STORED = RESULTS / "cluster.json"
RUNS = 2000
ALONE = 10  # of so many runs one is made in this process, for comparison
QUARTERS = (0.25, 0.5, 0.75, 1.0)  # of the runs, after which memory is noted
COLUMNS = (
    *("place", "runs", "workers", "seconds", "ms_a_run", "client_cpu_ms_a_run", "record_bytes"),
    *("memory_after", "client_mb", "worker_mb", "cores", "cpu"),
)


@dataclass(frozen=True)
class Tiny(Run):
    """A run of one step that adds a thousand numbers."""

    dataset: str = "digits"


def no_runs(profile: str) -> list[Run]:
    """Of an experiment that is in no profile."""
    return []


def make(run: Tiny, workspace: Workspace) -> Contents:
    """A table of one row, and an array of four kilobytes."""
    numbers = np.random.default_rng(run.seed).standard_normal(1000, dtype=np.float32)
    table = pd.DataFrame({"step": [1], "total": [float(numbers.sum())]})
    workspace.progress(1)
    facts = {"seconds": 0.0, "data": {"sha256": "none"}}
    return Contents(table, {"numbers": numbers}, facts)


TINY = Experiment("tiny", no_runs, make)


def measure_cluster(cluster: Cluster, n_runs: int = RUNS) -> pd.DataFrame:
    """Seconds, work of the client and memory while a cluster makes runs that do nothing.

    The scheduler of a cluster that is started here is part of the client's process, as long as it
    is not one by ssh.

    Args:
        cluster: measured with records in the store, where workers see it, and over the wire.
        n_runs: how many.
    Returns: columns :data:`COLUMNS`; for each place (this process, the cluster's workers by way of
        the store, and over the wire) a row a quarter of the runs; memory (MB, resident) is that
        of the client and the largest of the workers after a fraction ``memory_after`` of the
        runs, and None where it is not measured.
    """
    rows = _timed("this process", None, max(1, n_runs // ALONE))
    with clusters.connected(cluster) as client:
        address = client.scheduler.address
        _timed("to warm up", Cluster(address), 20, client)
        rows += _timed("workers, shared store", Cluster(address), n_runs, client)
        rows += _timed("workers, over the wire", Cluster(address, wire=True), n_runs, client)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _timed(
    place: str, cluster: Cluster | None, n_runs: int, client: Any = None
) -> list[dict[str, Any]]:
    """Rows of one place."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store({"tiny": TINY}, Path(folder, "runs"), Path(folder, "results"))
        runs = [Tiny("tiny", seed=seed) for seed in range(n_runs)]
        with _watched(store, n_runs, client) as memory:
            begun, worked = time.perf_counter(), time.process_time()
            executors.sweep(store, runs, cluster=cluster)
            seconds, work = time.perf_counter() - begun, time.process_time() - worked
        size = sum(path.stat().st_size for path in (store.runs / runs[0].name).iterdir())
    row = dict.fromkeys(COLUMNS)
    row |= {
        "place": place,
        "runs": n_runs,
        "workers": len(clusters.workers_of(client)) if client else 1,
        "seconds": seconds,
        "ms_a_run": 1000 * seconds / n_runs,
        "client_cpu_ms_a_run": 1000 * work / n_runs,
        "record_bytes": size,
        "cores": os.cpu_count(),
        "cpu": environment()["cpu"],
    }
    if not memory:
        return [row]
    return [row | noted for noted in memory]


@contextlib.contextmanager
def _watched(store: Store, n_runs: int, client: Any) -> Iterator[list[dict[str, float]]]:
    """Notes the memory of client and workers while records arrive in a store."""
    memory: list[dict[str, float]] = []
    if client is None:
        yield memory
        return
    ended = threading.Event()

    def note(fraction: float) -> None:
        memory.append({"memory_after": fraction, **_memory(client)})

    watcher = threading.Thread(target=_watch, args=(store, n_runs, note, ended))
    watcher.start()
    try:
        yield memory
    finally:
        ended.set()
        watcher.join()


def _watch(
    store: Store, n_runs: int, note: Callable[[float], None], ended: threading.Event
) -> None:
    waiting = list(QUARTERS)
    while waiting:
        last = ended.wait(0.2)
        n_records = sum(path.suffix == "" for path in store.runs.glob("tiny-*"))
        while waiting and (last or n_records >= waiting[0] * n_runs):
            note(waiting.pop(0))


def _memory(client: Any) -> dict[str, float]:
    found = clusters.workers_of(client).values()
    largest = max((facts["metrics"]["memory"] for facts in found), default=0)
    own = psutil.Process().memory_info().rss
    return {"client_mb": own / 1e6, "worker_mb": largest / 1e6}


def stored() -> pd.DataFrame:
    """What was measured last, see ``data/results/cluster.json``; empty if nothing was."""
    if not STORED.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.read_json(STORED)
