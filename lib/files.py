"""Files that appear whole or not at all, and sentences for what cannot be written."""

import contextlib
import errno
import glob
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

PART = ".part"  # end of the name of a file that is not whole
FULL = (errno.ENOSPC, errno.EDQUOT)
TOO_LARGE = (errno.EFBIG,)
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
NOT_OF_FILE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM, errno.EIO)
GO_ON = "repeat the command, which goes on from there"


class NotWritten(OSError):
    """A file could not be written; what was there before is as it was."""


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write to, of this process alone, which takes its place when it is
    complete; if it never is, nothing is left of it. What killed processes left of it is removed.
    A link stays one: the file that it leads to is written.

    Raises: NotWritten as in :func:`explained`, and as :func:`check_regular`.
    """
    check_regular(path)
    path = path.resolve()
    remove_halves(path)
    part = half_of(path)
    try:
        with explained(path):
            yield part
            part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def check_regular(path: Path) -> None:
    """Raise NotWritten if something is there that is no regular file, as a device or a named pipe,
    in whose place a file would come, or if there is no folder for it.
    """
    if path.exists() and not path.is_file():
        raise NotWritten(f"{path} is no regular file: name one, or a file that is not there yet")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise NotWritten(f"{path} cannot be written, as {folder} is no folder: make it first")


def half_of(path: Path) -> Path:
    """A temporary path beside the file or folder, which is renamed to it at the end."""
    return path.with_name(f"{path.name}.{os.getpid()}{PART}")


def remove_halves(path: Path) -> None:
    """Remove what processes that are gone have left of a file or folder."""
    for half in path.parent.glob(f"{glob.escape(path.name)}.*{PART}"):
        _, _, process = half.name.removesuffix(PART).rpartition(".")
        if process.isdecimal() and not _is_alive(int(process)):
            if half.is_dir():
                shutil.rmtree(half, ignore_errors=True)
                continue
            with contextlib.suppress(OSError):
                half.unlink()


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Whatever keeps the enclosed block from writing ``path`` is said in one sentence, which names
    the file that an error names, if that is elsewhere.

    Raises: NotWritten for a full disk, a limit or a read-only place; other errors pass.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # RuntimeError: torch hides what its file has said
        cause = _cause(error)
        sentence = _sentence(_named(cause, path), cause.errno) if cause else None
        if sentence is None:
            raise
        raise NotWritten(sentence) from error


def _cause(error: BaseException | None) -> OSError | None:
    """The first OSError among an error and those below it."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def _named(error: OSError, path: Path) -> Path:
    """The file that an error names; ``path`` for none, its halves, its neighbours and folders."""
    if not isinstance(error.filename, str):
        return path
    named, folder = Path(error.filename), path.parent.resolve()
    named = named.parent.resolve() / named.name
    is_near = named.is_relative_to(folder) or folder.is_relative_to(named)
    return path if is_near else named


def _sentence(path: Path, number: int | None) -> str | None:
    if number in FULL:
        return f"no space is left to write {path}: free some and {GO_ON}"
    if number in TOO_LARGE:
        return f"{path} is larger than this process may write: raise `ulimit -f` and {GO_ON}"
    if number in READ_ONLY:
        return (
            f"{path} cannot be written, as its place is read-only: allow it, or name another by"
            f" SPARSE_RUNS_DIR, SPARSE_RESULTS_DIR or SPARSE_FIGURES_DIR, and {GO_ON}"
        )
    return None


def is_damage(error: BaseException) -> bool:
    """Whether what reading a file raised says that its content is wrong, and not that this process
    has no memory, no right to read it, or too many open files: then the file may be good.
    """
    if isinstance(error, OSError):
        return error.errno not in NOT_OF_FILE
    has_no_memory = isinstance(error, MemoryError) or "can't allocate memory" in str(error)  # torch
    return not has_no_memory


@contextlib.contextmanager
def refusing_damage(
    sentence: Callable[[BaseException], str], kinds: tuple[type[BaseException], ...] = (Exception,)
) -> Iterator[None]:
    """What the block raises because a file that it reads is damaged, is a ValueError.

    Args:
        sentence: of that error, made of what was raised.
        kinds: of errors by which damage shows itself.
    Raises: ValueError; what says nothing of the content, as :func:`is_damage` tells, passes.
    """
    try:
        yield
    except kinds as error:
        if not is_damage(error):
            raise
        raise ValueError(sentence(error)) from error


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_alive(process: int) -> bool:
    """Whether a process of this machine has this number."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True
