"""Kernels of notebooks, forked (:mod:`lib.command.forked`) from what tests have imported; the
library is their own.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from jupyter_client.provisioning import local_provisioner

from lib.command.forked import Kernel
from tests.processes import CONTEXT

LAUNCHER = ["-m", "ipykernel_launcher"]
OURS = ("lib", "tests")  # they read the variables when they are imported


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
        words = [*words[3:], *options]
        kernels.append(Kernel(words, env, cwd or os.getcwd(), CONTEXT, OURS))
        return kernels[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # tests run beside each other
        patch.setattr(local_provisioner, "launch_kernel", launch)
        try:
            yield
        finally:
            for kernel in kernels:
                kernel.process.kill()
                kernel.process.join()
