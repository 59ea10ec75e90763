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
