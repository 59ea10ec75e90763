"""Processes that make runs, and those of this machine."""

import contextlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

import torch

from lib.data import DataUnavailable
from lib.runs.config import Run
from lib.runs.records import Files, Store

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # one each


class WorkersLost(RuntimeError):
    """A worker or the scheduler is gone, or a worker cannot be used."""


class Pool(NamedTuple):
    """Processes that make runs.

    Attributes:
        submit: makes a run; gives the files of its record, or None if the record is in the store.
        slots: how many runs can be made side by side now.
        is_there: whether what has been submitted can still end.
    """

    submit: Callable[[Run], Future[Files | None]]
    slots: Callable[[], int]
    is_there: Callable[[], bool]


def sources(store: Store, run: Run) -> list[Run]:
    """The run that one starts from, and the very same run of other experiments."""
    parent = parent_of(run)
    return store.twins(run) + ([] if parent is None else [parent])


def parent_of(run: Run) -> Run | None:
    """The run that one starts from; None if there is none, or no data for it, as it will say."""
    with contextlib.suppress(DataUnavailable):
        return run.parent and run.parent.resolved()
    return None


@contextlib.contextmanager
def processes(store: Store, jobs: int) -> Iterator[Pool]:
    """Processes of this machine, which end with the block or with this process, whatever they do:
    what an interrupted run loses is in its checkpoint.
    """
    from joblib.externals.loky import ProcessPoolExecutor

    executor = ProcessPoolExecutor(
        jobs, initializer=_begin_worker, initargs=(os.getpid(),), env=dict.fromkeys(THREADS, "1")
    )
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to them too
    try:
        executor.submit(int)  # the first call starts them all
    finally:
        signal.signal(signal.SIGINT, handler)
    try:
        with warnings.catch_warnings():
            # loky starts a new process in place of one whose memory has grown
            warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
            yield Pool(partial(executor.submit, _make, store), lambda: jobs, lambda: True)
    finally:
        executor.shutdown(kill_workers=True)


def _begin_worker(caller: int) -> None:
    torch.set_num_threads(1)

    def end_with_caller() -> None:
        while os.getppid() == caller:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=end_with_caller, daemon=True).start()


def _make(store: Store, run: Run) -> None:
    """Make a run in a process of its own, in the store that it shares with the caller."""

    def note(done: int) -> None:
        with contextlib.suppress(OSError):  # the run itself says what it cannot write
            (store.work_of(run) / "progress").write_text(str(done))

    store.make(run, progress=note)


def begun(store: Store, runs: Iterable[Run]) -> dict[Run, int]:
    """Steps done by each run in progress, as its process has noted."""
    steps = {}
    for run in runs:
        with contextlib.suppress(OSError, ValueError):
            steps[run] = int((store.work_of(run) / "progress").read_text())
    return steps
