"""Locks of runs, freed by the kernel when the process that holds them ends, however it ends."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from lib.files import explained


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold an advisory lock while the block runs; wait for it where another holds it.

    Raises: lib.files.NotWritten if there is no room for its file.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_held(path: Path) -> bool:
    """Whether a process holds the lock. Where its file cannot be opened nobody is seen to do so."""
    with contextlib.suppress(OSError), path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
