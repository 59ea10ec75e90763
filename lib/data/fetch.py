"""Where the file of a data set lies, and how it is made from what its publisher sends."""

import contextlib
import logging
import os
import sys
import tempfile
import threading
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from http.client import IncompleteRead
from pathlib import Path
from typing import Any, Self

import numpy as np
from tqdm import tqdm

from lib.data.formats import Arrays, DataSet, verified
from lib.paths import RAW

with warnings.catch_warnings(action="ignore"):  # it misses a bar of notebooks that is not used
    import pooch

TIMEOUT = 5.0  # seconds of silence after which a server is given up
BLOCK = 1 << 16  # bytes written at a time
PATIENCE = 30.0  # seconds in which a server must send a block
LARGEST, LARGEST_ASKED = 3e8, 3e9  # bytes of a file, of one that is fetched only when asked for

_silent: list[str] = []  # addresses that did not answer: the network is asked once a process


class DataUnavailable(RuntimeError):
    """A known data set is neither on this machine nor to be downloaded now."""


def places(name: str) -> dict[str, Path]:
    """Where the file of a data set may lie, by source, the first place first."""
    paths = {}
    own = os.environ.get("SPARSE_DATA_DIR")
    if own:
        paths["SPARSE_DATA_DIR"] = Path(own, f"{name}.npz")
    paths["data/raw"] = RAW / f"{name}.npz"
    return paths


def download(dataset: DataSet, *, asked: bool) -> Path:
    """Path of the file in ``data/raw``, made from what the publisher sends.

    Args:
        dataset: what to download.
        asked: whether a person asked for this very set, so that it may be fetched though large.

    Raises: DataUnavailable, with the ways to get the set, if nothing whole comes.
    """
    name, source = dataset.name, dataset.download
    now = os.environ.get("SPARSE_DATA_DIR") or "unset"
    ways = f"set SPARSE_DATA_DIR (now {now}) to a folder holding {name}.npz, or put it in data/raw"
    if source is None:
        raise DataUnavailable(f"{name} is not here and has no single published address: {ways}")
    if source.size and not asked:
        reason = f"{name} is not here and is a download of {source.size}"
        raise DataUnavailable(f"{reason}: fetch it by python -m lib data {name}, {ways}")
    try:
        return _store(name, _fetch(dataset))
    except OSError as error:
        answer = str(error) or "no answer"
        reason = f"{name} could not be had from {source.address} ({answer})"
        raise DataUnavailable(f"{reason}: {ways}, or connect to the network") from error


def _fetch(dataset: DataSet) -> Arrays:
    """Arrays of the files at the address of a data set; OSError if they are not whole."""
    source = dataset.download
    _ask(source.address + source.files[0])
    RAW.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RAW, prefix=f".{dataset.name}.") as folder:
        paths = []
        for file, sha256 in zip(source.files, source.sha256, strict=True):
            path = Path(folder, file)
            largest = LARGEST_ASKED if source.size else LARGEST
            _retrieve(source.address + file, sha256, path, largest)
            paths.append(path)
        try:
            arrays = source.read(dataset, paths)
            verified(dataset, arrays)
        except (ValueError, EOFError, zlib.error) as error:
            files = ", ".join(source.files)
            raise OSError(f"{files} is not whole: {error}") from error
    return arrays


def _store(name: str, arrays: Arrays) -> Path:
    """Path of the new file, which appears whole or not at all."""
    path = RAW / f"{name}.npz"
    part = RAW / f".{name}.{os.getpid()}.part"
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays)
        return part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _ask(url: str) -> None:
    """Return as soon as a server answers, whatever it says.

    It is asked in a thread, as the look-up of its name has no time-out.

    Raises: OSError if it, or another one before, is silent for `TIMEOUT` or cannot be reached.
    """
    if _silent:
        raise OSError(f"no answer from {_silent[0]}; a network is asked once a process")
    answer = Future()
    threading.Thread(target=_answer, args=(url, answer), daemon=True).start()
    try:
        answer.result(TIMEOUT)
    except OSError:
        _silent.append(url)
        raise


def _answer(url: str, answer: Future) -> None:
    """Give the future what comes of asking for a file's head."""
    ask = pooch.HTTPDownloader(timeout=TIMEOUT)
    try:
        answer.set_result(ask(url, None, None, check_only=True))
    except Exception as error:
        answer.set_exception(error)


def _retrieve(url: str, sha256: str | None, path: Path, largest: float) -> None:
    """Fetch one file; OSError if it breaks off, is slow or too large, or has another sha256."""
    pooch.get_logger().setLevel(logging.WARNING)  # it would name every file
    often = 0.1 if sys.stderr.isatty() else 10.0  # seconds between two lines of a log
    with (
        _Progress(
            total=1, desc=url, unit="B", unit_scale=True, leave=False, delay=1, mininterval=often
        ) as progress,
        _Patience() as patience,
    ):
        progress.on_block, progress.largest = patience.encourage, largest
        downloader = pooch.HTTPDownloader(
            progressbar=progress,
            chunk_size=BLOCK,
            timeout=TIMEOUT,
            headers={"Accept-Encoding": "identity"},
            hooks={"response": [_keep_compressed, patience.watch]},
        )
        try:
            pooch.retrieve(url, sha256, path.name, path.parent, downloader=downloader)
        except OSError as error:
            if patience.lost:
                seconds = f"{PATIENCE:g} seconds"
                raise OSError(f"{url} sent less than {BLOCK} bytes in {seconds}") from error
            missing = _missing_bytes(error)
            if missing is None:
                raise
            raise OSError(f"{url} broke off {missing} bytes before its end") from error
        except ValueError as error:  # another hash
            raise OSError(f"{url} sent something else: {error}") from error


def _keep_compressed(response: Any, **options: Any) -> None:
    """Some servers call it an encoding that the file itself is compressed; not to be undone."""
    response.raw.headers.pop("Content-Encoding", None)


def _missing_bytes(error: BaseException | None) -> int | None:
    """Number of bytes that a server had promised and not sent; None where that is not the reason.

    The reason lies below the errors of the layers through which it came.
    """
    while error is not None:
        if isinstance(error, IncompleteRead):
            return error.expected
        error = error.__context__
    return None


class _Patience:
    """Gives a server up that sends bytes so slowly that none of its silences is too long."""

    def __init__(self) -> None:
        self.lost = False
        self._raw: Any = None  # what is being read
        self._ended = False
        self._encouraged = threading.Event()
        self._watcher = threading.Thread(target=self._wait, daemon=True)

    def watch(self, response: Any, **options: Any) -> None:
        """From now on this response must bring a block from time to time."""
        self._raw = response.raw
        self.encourage()

    def encourage(self) -> None:
        """A block has come."""
        self._encouraged.set()

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._encouraged.set()
        self._watcher.join()

    def _wait(self) -> None:
        while self._encouraged.wait(PATIENCE):
            if self._ended:
                return
            self._encouraged.clear()
        self.lost = True
        with contextlib.suppress(OSError, RuntimeError, ValueError, AttributeError):  # it has ended
            self._raw.shutdown()  # whoever reads it sees it end


class _Progress(tqdm):
    """A bar that appears after its delay only; pooch sets its total, and resets it at the end."""

    on_block: Callable[[], None]
    largest: float  # bytes that are read at most

    def __bool__(self) -> bool:
        """Also of a server that does not say how much it sends; tqdm's own is false of 0 bytes."""
        return True

    def update(self, n: float = 1) -> bool | None:
        self.on_block()
        if self.n + n > self.largest + BLOCK:
            raise OSError(f"{self.desc} is larger than {self.largest:g} bytes")
        return super().update(n)

    def reset(self, total: float | None = None) -> None:
        self.n = 0  # tqdm's own would show the bar at once
