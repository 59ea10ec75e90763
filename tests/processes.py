"""Processes that tests kill, forked from one that has imported what takes longest to import.

Our compiled loops are not among it: they start threads, after which nothing may be forked.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess

import psutil
import torch

from lib.runs import executors

CONTEXT = multiprocessing.get_context("forkserver")
THIRD = ["torch", "numba", "pandas", "scipy.stats", "sklearn.datasets", "seaborn", "powerlaw"]
THIRD += ["networkx", "papermill", "ipykernel.kernelapp"]
TRAINING = "torch._dynamo"  # imported by the first optimiser
CONTEXT.set_forkserver_preload([*THIRD, TRAINING, "lib.runs.executors"])


def start_run(store, run, *, held=False):
    """A process that makes a run, and our end of a pipe through which it sends its progress; held,
    it waits for an answer to each.
    """
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_make, args=(store, run, theirs, held))
    process.start()
    theirs.close()
    return process, ours


def _make(store, run, pipe, held):
    gc.freeze()  # no time is spent on looking for garbage in what was imported
    torch.set_num_threads(1)

    def tell(done):
        pipe.send(done)
        if held:
            pipe.recv()

    store.run(run, progress=tell)


def kill_after(store, run, steps):
    """Make a run in a process that is killed when so many steps are done."""
    process, pipe = start_run(store, run, held=True)
    for _ in range(steps):
        pipe.recv()
        pipe.send("go on")
    if steps:
        pipe.recv()
    process.kill()
    process.join()


def messages(pipe):
    """All that a process has sent before it ended."""
    received = []
    try:
        while True:
            received.append(pipe.recv())
    except EOFError:
        return received


@contextlib.contextmanager
def sweeping(store, runs, jobs) -> Iterator[BaseProcess]:
    """A process that sweeps, leader of a group of processes, which are ended at last."""
    process = CONTEXT.Process(target=_sweep, args=(store, runs, jobs))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        with contextlib.suppress(ProcessLookupError):  # as it should be: there is no group left
            os.killpg(process.pid, signal.SIGKILL)
        process.join()


def _sweep(store, runs, jobs):
    gc.freeze()  # no time is spent on looking for garbage in what was imported
    os.setpgrp()
    try:
        executors.sweep(store, runs, jobs=jobs, progress=False)
    except KeyboardInterrupt:
        sys.exit(130)


def wait_until(true: Callable[[], bool], seconds: float = 600.0) -> None:
    """Wait for something to come true; fail if it does not."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def is_alive(pid):
    """Whether a process runs; one that ended may still be listed."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
