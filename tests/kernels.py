"""Kernels of notebooks, forked from the process that has imported what takes longest to import.

A kernel so made differs from one that is started in nothing but the seconds that this takes: its
variables, its folder and its arguments are those that it would have, and the library is its own.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import pytest
from jupyter_client.provisioning import local_provisioner

from tests.processes import CONTEXT

LAUNCHER = ["-m", "ipykernel_launcher"]
OURS = ("lib", "tests")


class Kernel:
    """Has what jupyter_client asks of a process."""

    stdin = stdout = stderr = None

    def __init__(self, words: list[str], env: dict[str, str], cwd: str | None) -> None:
        ours, theirs = CONTEXT.Pipe()
        words = [*words, f"--IPKernelApp.parent_handle={os.getpid()}"]
        self.process = CONTEXT.Process(target=_serve, args=(words, env, cwd, theirs))
        self.process.start()
        theirs.close()
        ours.recv()  # it leads a group of its own, which is what gets the signals
        self.pid = self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@contextmanager
def forked(*options: str) -> Iterator[None]:
    """The kernels that are started here are forked, with these options, and ended at last."""
    kernels = []

    def launch(
        words: list[str], env: dict[str, str], cwd: str | None = None, **others: Any
    ) -> Kernel:
        assert words[1:3] == LAUNCHER, f"{words} starts no kernel of Python"
        if "stderr" in others:
            others["stderr"].close()  # a file of nbval's that nothing else closes
        kernels.append(Kernel([*words[3:], *options], env, cwd))
        return kernels[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_provisioner, "launch_kernel", launch)
        try:
            yield
        finally:
            for kernel in kernels:
                kernel.process.kill()
                kernel.process.join()


def _serve(words: list[str], variables: dict[str, str], cwd: str | None, pipe: Connection) -> None:
    """Be a kernel."""
    from ipykernel import kernelapp

    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.setsid()
    pipe.send("begun")
    pipe.close()
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd or os.getcwd())
    for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
        del sys.modules[name]  # it reads the variables when it is imported
    sys.argv = ["ipykernel_launcher.py", *words]
    _adapt(variables)
    kernelapp.launch_new_instance()


def _end_with_parent() -> None:
    """End this kernel when its parent is gone; ipykernel looks at what it was forked from."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _adapt(variables: dict[str, str]) -> None:
    """Let libraries find what they would have found if they were imported in a kernel."""
    import matplotlib
    import pandas as pd
    import threadpoolctl
    import torch

    if "OMP_NUM_THREADS" in variables:
        threads = int(variables["OMP_NUM_THREADS"])
        torch.set_num_threads(threads)
        threadpoolctl.threadpool_limits(threads)
    inline = "module://matplotlib_inline.backend_inline"
    matplotlib.rcParams["backend"] = variables.get("MPLBACKEND", inline)
    pd.set_option("display.max_columns", 20)  # of a terminal: as many as its width has room for
