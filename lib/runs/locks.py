"""Locks of runs, freed by the kernel when the process that holds them ends, however it ends."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO

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


class Locks:
    """Several locks, taken one by one, never waited for.

    Args:
        folder: where their files lie, ``<name>.lock``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, IO] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def take(self, name: str) -> bool:
        """Whether a lock is held from now on: False if anybody, also this object, held it.

        Raises: lib.files.NotWritten if there is no room for its file.
        """
        path = self.folder / f"{name}.lock"
        with explained(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._files[name] = file
        return True

    def free(self, name: str) -> None:
        """Let a lock go, if it is held."""
        file = self._files.pop(name, None)
        if file is not None:
            file.close()

    def free_all(self) -> None:
        """Let all go."""
        for name in list(self._files):
            self.free(name)
