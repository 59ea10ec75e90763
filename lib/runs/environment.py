"""Commit, numerics, versions and hardware of this process."""

import contextlib
import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lib._boundary import IS_REPOSITORY, LIBRARY, PAPERS, ROOT
from lib.checkpoints import NUMERICS

CPU_FACTS = Path("/proc/cpuinfo")  # Linux
PACKAGES = ("torch", "numba", "numpy", "scipy", "scikit-learn", "pymoo")
DENSE_DEVICE = "SPARSE_DENSE_DEVICE"


def environment() -> dict[str, Any]:
    """Commit, numerics, versions and hardware of this process, a hash that tells its code apart
    from that of its commit, and the number of threads, now.
    """
    return lasting() | {"threads": torch.get_num_threads()}


@cache
def lasting() -> dict[str, Any]:
    """Facts of the environment that stay while a process runs."""
    versions = {name: version(name) for name in PACKAGES}
    changed = _git("status", "--porcelain", "--untracked-files=no", LIBRARY, PAPERS)
    cpu = platform.processor()
    with contextlib.suppress(OSError):
        for line in CPU_FACTS.read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.split(":")[1].strip()
    return {
        "commit": _git("rev-parse", "--verify", "-q", "HEAD") or None,
        "code_sha256": code_sha256(LIBRARY, PAPERS),
        "dirty": bool(changed),
        "numerics": NUMERICS,
        "versions": {"python": platform.python_version(), **versions},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu,
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def dense_device() -> torch.device:
    """Where dense networks are trained: on the CPU, or on the device that the environment variable
    ``SPARSE_DENSE_DEVICE`` names, as cuda. Sparse ones stay on the CPU, for which their loops are.

    Raises: ValueError if torch finds no such device on this machine.
    """
    name = os.environ.get(DENSE_DEVICE) or "cpu"
    try:
        torch.zeros(1, device=name).cpu()  # not so on "meta", which holds no numbers
        return torch.device(name)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"{DENSE_DEVICE} is {name!r}, and torch {torch.__version__} finds no such device here:"
            " unset it to train dense networks on the CPU"
        ) from error


def name_of(device: torch.device) -> str:
    """Name of a device in a record: that of its hardware where that is a GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def code_sha256(*folders: Path) -> str:
    """Hash of the names and contents of all modules in folders, however deep they lie. Hidden ones
    do not count: editors keep copies in hidden folders.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder).as_posix()
            if "/." in f"/{name}":
                continue
            digest.update(name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _git(*words: str | Path) -> str:
    """Answer of git; "" without git or a repository of our own: one that an unpacked copy lies in
    is another's.
    """
    if not (IS_REPOSITORY and (ROOT / ".git").exists()):
        return ""
    with contextlib.suppress(OSError):
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip()
    return ""
