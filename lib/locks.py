"""Locks of files, freed by the kernel when the process that holds them ends, however it ends."""

import contextlib
import errno
import fcntl
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .files import NotWritten, explained

UNLOCKED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextlib.contextmanager
def held(path: Path, *, waiting: str = "") -> Iterator[None]:
    """Hold an advisory lock while the block runs; wait for it where another holds it.

    Args:
        path: the file that is locked; it and its folder are made.
        waiting: a sentence for the log, if another holds it.
    Raises: lib.files.NotWritten if there is no room for the file, or its file system has no locks.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        try:
            _lock(file, waiting)
        except OSError as error:
            if error.errno not in UNLOCKED:
                raise
            raise NotWritten(
                f"{path} cannot be locked, as its file system has no locks: use a folder of another"
                " one, and repeat the command"
            ) from error
        yield


def _lock(file: IO, waiting: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if waiting:
            logging.getLogger(__name__).warning(waiting)
        fcntl.flock(file, fcntl.LOCK_EX)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock. Where its file cannot be opened nobody is seen to do so."""
    with contextlib.suppress(OSError), path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
