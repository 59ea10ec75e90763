"""The boundary of the library: checks of values that users give, and safe files.

An unknown name is refused with the nearest known one. Files appear whole or not at all. Locks are
freed by the kernel when the process that holds them ends, however it ends. Where the library was
installed from a wheel there is no repository: what is downloaded goes into the folder in which
Python was started.
"""

import contextlib
import difflib
import errno
import fcntl
import functools
import glob
import hashlib
import logging
import numbers
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

# ---------------------------------------------------------------------------------- values

PROFILES = ("smoke", "quick", "paper")
CUSTOM = "custom"  # the profile of records that are in no other
LARGEST_SEED = 2**62  # seeds that are made of it still fit into 64 bits
NEAR = 0.6  # likeness of two names, from 0 to 1, from which one is suggested
SHOWN = 12  # names of a list that a refusal shows


def check_known(kind: str, value: str, known: Iterable[str], advice: str = "") -> None:
    """Refuse an unknown name. Raises ValueError with the nearest known one, whatever the case of
    the letters, if one is near; the advice stands behind it.
    """
    names = list(known)
    if value in names:
        return
    if not names:
        raise ValueError(f"unknown {kind} {value!r}: none is known")
    by_lower_case = {name.lower(): name for name in names}
    nearest = difflib.get_close_matches(str(value).lower(), by_lower_case, n=1, cutoff=NEAR)
    hint = f" did you mean {by_lower_case[nearest[0]]!r}? Known:" if nearest else " known are"
    shown = ", ".join(names)
    if len(names) > SHOWN + 1:
        shown = f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} others"
    behind = f"; {advice}" if advice else ""
    raise ValueError(f"unknown {kind} {value!r}:{hint} {shown}{behind}")


def check_whole(name: str, value: Any, *, least: int, most: int | None = None) -> None:
    """Refuse what is no whole number in range, as 1.5, True and "3". Raises ValueError."""
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if is_whole and value >= least and (most is None or value <= most):
        return
    in_range = f"at least {least}" if most is None else f"from {least} to {most}"
    raise ValueError(f"{name} = {value!r} is out of range: give a whole number, {in_range}")


def check_number(name: str, value: Any, interval: str, advice: str | None = None) -> None:
    """Refuse what is no number in the interval, as "3", None and True. Raises ValueError.

    Args:
        name, value: of what is given.
        interval: as "[0, 1)" or "(0, inf)".
        advice: what to give; None: a number in the interval.
    """
    low, high = _ends(interval)
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if is_number:
        is_above = value >= low if interval[0] == "[" else value > low
        if is_above and (value <= high if interval[-1] == "]" else value < high):
            return
    if advice is None:
        advice = f"a number in {interval}"
        if interval.endswith(" inf)"):
            word = "from {} on" if interval[0] == "[" else "above {}"
            advice = "a finite number " + word.format(interval[1 : interval.index(",")])
    wrong = "out of range" if is_number else "of the wrong type"
    raise ValueError(f"{name} = {value!r} is {wrong}: give {advice}")


@functools.cache
def _ends(interval: str) -> tuple[float, float]:
    low, high = interval[1:-1].split(", ")
    return float(low), float(high)


def check_type(name: str, value: Any, kind: type) -> None:
    """Refuse a value of another type. Raises ValueError."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise ValueError(f"{name} = {value!r} is of the wrong type: give {article} {kind.__name__}")


def names_of_one(named: Mapping[str, object]) -> tuple[str, str] | None:
    """The first two names that stand for one object; None if each has its own."""
    first: dict[int, str] = {}
    for name, one in named.items():
        other = first.setdefault(id(one), name)
        if other != name:
            return other, name
    return None


def check_seed(seed: Any) -> int:
    """The seed, NumPy's as an int; what is none is refused. Raises ValueError."""
    check_whole("seed", seed, least=0, most=LARGEST_SEED)
    return int(seed)


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Around the import of a package that the wheel asks for only with an extra.

    Raises: ModuleNotFoundError that names the extra, if the package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is not installed: pip install 'sparse-adaptive[{name}]'",
            name=error.name,
        ) from error


# -------------------------------------------------------------------------------------------- files


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
    """True if what reading a file raised says that its content is wrong, and not that this process
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
    """Turn errors of the block that a damaged file causes into a ValueError.

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
    """True if a process of this machine has this number."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


# -------------------------------------------------------------------------------------------- locks


UNLOCKED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextlib.contextmanager
def locked(path: Path, *, waiting: str = "") -> Iterator[None]:
    """Hold an advisory lock while the block runs; wait for it where another holds it.

    Args:
        path: the file that is locked; it and its folder are made.
        waiting: a sentence for the log, if another holds it.
    Raises: NotWritten if there is no room for the file, or its file system has no locks.
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


# ------------------------------------------------------------------------------------------- places


def named_folder(variable: str) -> Path | None:
    """The folder that an environment variable names; None where it is unset or empty. The variable
    becomes absolute, as kernels and workers, which start in other folders, read it too.
    """
    if not os.environ.get(variable):
        return None
    named = Path(os.environ[variable]).expanduser().absolute()
    os.environ[variable] = str(named)
    return named


LIBRARY = Path(__file__).resolve().parent
IS_REPOSITORY = (LIBRARY.parent / "pyproject.toml").exists()
ROOT = LIBRARY.parent if IS_REPOSITORY else Path.cwd()
PAPERS = ROOT / "notebooks" / "papers"
REFERENCE = ROOT / "data" / "reference"
RAW = ROOT / "data" / "raw"
RUNS = named_folder("SPARSE_RUNS_DIR") or ROOT / "data" / "runs"
RESULTS = named_folder("SPARSE_RESULTS_DIR") or ROOT / "data" / "results"
FIGURES = named_folder("SPARSE_FIGURES_DIR") or ROOT / "figures"
named_folder("SPARSE_DATA_DIR")  # is read again whenever a data set is loaded
