"""Kernels of notebooks, forked from a process that has imported what takes longest to import.

A kernel so made differs from one that is started in nothing but the seconds that this takes:
its variables, its folder and its arguments are those that it would have. The process that is forked
computes nothing, and has one thread.
"""

import gc
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from jupyter_client import AsyncKernelManager

# none of ours: the compiled loops start a pool of threads, after which nothing may be forked
IMPORTED = [
    *("torch", "numba", "pandas", "scipy.stats", "sklearn.datasets", "seaborn", "networkx"),
    *("ipykernel.kernelapp", "psutil", "tqdm"),
    "torch._dynamo",  # which the first optimiser imports
]


def is_possible() -> bool:
    """True if kernels can be forked: on Linux, from a process whose libraries start no threads."""
    return sys.platform == "linux" and os.environ.get("OMP_NUM_THREADS") == "1"


class Kernel:
    """Has what jupyter_client asks of a process.

    Args:
        words: arguments of the kernel.
        variables: its environment.
        folder: in which it works.
        context: of multiprocessing, that forks.
        forget: packages that it imports anew.
    """

    stdin = stdout = stderr = None

    def __init__(
        self,
        words: list[str],
        variables: dict[str, str],
        folder: str,
        context: Any,
        forget: tuple[str, ...] = (),
    ) -> None:
        ours, theirs = context.Pipe()
        words = [*words, f"--IPKernelApp.parent_handle={os.getpid()}"]
        given = (words, variables, folder, forget, theirs)
        self.process = context.Process(target=_serve, args=given)
        self.process.start()
        theirs.close()
        ours.recv()  # it leads a group of its own, which is what gets the signals
        self.pid = self.process.pid

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self.process.exitcode

    def wait(self) -> int:
        """Its exit status, when it has ended."""
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal to it alone."""
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Manager(AsyncKernelManager):
    """Starts the kernel of a notebook by a fork."""

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        folder = str(options.get("cwd") or os.getcwd())
        _, _, _, *words = kernel_cmd  # after python -m ipykernel_launcher
        local = self.provisioner
        local.process = Kernel(words, options["env"], folder, context)
        local.pid = local.pgid = local.process.pid
        local.cwd = folder
        self._reconcile_connection_info(local.connection_info)


def _serve(
    words: list[str],
    variables: dict[str, str],
    folder: str,
    forget: tuple[str, ...],
    pipe: Connection,
) -> None:
    """Be a kernel, whose libraries find what they would have found if it had imported them."""
    gc.freeze()  # to look through all that was imported takes a tenth of a second each time
    from ipykernel import kernelapp

    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.setsid()
    pipe.send("begun")
    pipe.close()
    multiprocessing.set_start_method(None, force=True)  # that of a process which none has made
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    for name in [name for name in sys.modules if name.split(".")[0] in forget]:
        del sys.modules[name]
    sys.argv = ["ipykernel_launcher.py", *words]
    import matplotlib  # now that the environment is its own
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
    kernelapp.launch_new_instance()


def _end_with_parent() -> None:
    """End this kernel when its parent is gone; ipykernel looks at what it was forked from."""
    multiprocessing.parent_process().join()
    os._exit(1)
