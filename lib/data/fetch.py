"""Where the file of a data set lies, and how it is made from what its publisher sends."""

import logging
import shutil
import sys
import threading
import time
import warnings
import zlib
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from .. import _boundary
from .._boundary import RAW, NotWritten, explained, named_folder, whole
from .formats import DataSet, Download, verified

try:
    with warnings.catch_warnings(action="ignore"):  # it misses a bar of notebooks that is not used
        import pooch
        from tqdm import tqdm
except ImportError:  # of a wheel without the extra `downloads`
    pooch, tqdm = None, object

TIMEOUT = 5.0  # seconds of silence after which a server is given up
BLOCK = 1024  # bytes written at a time
PATIENCE = 30.0  # seconds for which a server may be slow
SLOWEST = 2000.0  # bytes a second that it must send on average after that
LARGEST, LARGEST_ASKED = 3e8, 3e9  # bytes of a file, of one that is fetched only when asked for

_silent: list[str] = []  # addresses that did not answer: the network is asked once a process


class DataUnavailable(RuntimeError):
    """A known data set is neither on this machine nor to be downloaded now."""


def places(name: str) -> dict[str, Path]:
    """Where the file of a data set may lie, by source, the first place first."""
    paths = {}
    own = named_folder("SPARSE_DATA_DIR")
    if own is not None:
        paths["SPARSE_DATA_DIR"] = own / f"{name}.npz"
    paths["data/raw"] = RAW / f"{name}.npz"
    return paths


def download(dataset: DataSet, *, asked: bool) -> Path:
    """Path of the file in ``data/raw``, made from what the publisher sends. Where another
    process downloads it, that is waited for.

    Args:
        dataset: what to download.
        asked: whether a person asked for this very set, so that it may be fetched though large.

    Raises: DataUnavailable, with the ways to get the set, if nothing whole comes;
        lib._boundary.NotWritten if there is no room for it.
    """
    name, source = dataset.name, dataset.download
    now = named_folder("SPARSE_DATA_DIR") or "unset"
    if isinstance(now, Path) and not now.is_dir():
        now = f"{now}, no such folder"
    ways = f"set SPARSE_DATA_DIR (now {now}) to a folder holding {name}.npz, or put it in data/raw"
    if source is None:
        raise DataUnavailable(f"{name} is not here and has no single published address: {ways}")
    if source.size and not asked:
        reason = f"{name} is not here and is a download of {source.size}"
        raise DataUnavailable(f"{reason}: fetch it by python -m lib data {name}, {ways}")
    if pooch is None:
        reason = f"{name} is not here, and pooch or tqdm, which fetch it, are not installed"
        raise DataUnavailable(f"{reason}: pip install 'sparse-adaptive[downloads]', or {ways}")
    path = RAW / f"{name}.npz"
    try:
        _ask(source.address + source.files[0])
        with explained(path):
            RAW.mkdir(parents=True, exist_ok=True)
        waiting = f"{name} is being downloaded by another process, which is waited for"
        with _boundary.locked(RAW / f".{name}.lock", waiting=waiting):
            if not path.exists():  # else another process has made it meanwhile
                with whole(path) as part:
                    _fetch(dataset, source, part)
        return path
    except NotWritten as error:
        raise NotWritten(f"{error}; or {ways}") from error
    except OSError as error:
        answer = str(error) or "no answer"
        if "Max retries exceeded" in answer:  # of requests, which names all its parts
            answer = "no connection"
        reason = f"{name} could not be had from {source.address} ({answer})"
        raise DataUnavailable(f"{reason}: {ways}, or connect to the network") from error


def _fetch(dataset: DataSet, source: Download, target: Path) -> None:
    """Write the file of a data set, from what its publisher sends into a folder beside it.

    Raises: OSError if something else comes.
    """
    folder = RAW / f".{dataset.name}"
    shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
    try:
        folder.mkdir()
        paths = []
        for file, sha256 in zip(source.files, source.sha256, strict=True):
            paths.append(folder / file)
            largest = LARGEST_ASKED if source.size else LARGEST
            _retrieve(source.address + file, sha256, paths[-1], largest)
        try:
            arrays = source.read(dataset, paths)
            verified(dataset, arrays)
        except (ValueError, RuntimeError, EOFError, zlib.error) as error:
            raise OSError(f"{', '.join(source.files)} is not whole: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    with target.open("wb") as file:
        np.savez(file, **arrays)


def _ask(url: str) -> None:
    """Return as soon as a server answers, whatever it says.

    It is asked in a thread, as the look-up of its name has no time-out.

    Raises: OSError if it, or another one before, is silent for `TIMEOUT` or cannot be reached.
    """
    if _silent:
        raise OSError(f"no answer from {_silent[0]}; a network is asked once a process")
    answer = Future()

    def ask() -> None:
        head = pooch.HTTPDownloader(timeout=TIMEOUT)
        try:
            answer.set_result(head(url, None, None, check_only=True))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer.result(TIMEOUT)
    except OSError:
        _silent.append(url)
        raise


def _retrieve(url: str, sha256: str | None, path: Path, largest: float) -> None:
    """Fetch one file; OSError if it breaks off, is slow or too large, or has another sha256."""
    pooch.get_logger().setLevel(logging.WARNING)  # it would name every file

    def keep_compressed(response: Any, **options: Any) -> None:
        """Some servers call the compression of the file itself an encoding: it is not undone."""
        response.raw.headers.pop("Content-Encoding", None)

    with _Progress(url, largest) as progress:
        downloader = pooch.HTTPDownloader(
            progressbar=progress,
            chunk_size=BLOCK,
            timeout=TIMEOUT,
            headers={"Accept-Encoding": "identity"},
            hooks={"response": keep_compressed},
        )
        try:
            pooch.retrieve(url, sha256, path.name, path.parent, downloader=downloader)
        except OSError as error:
            if "IncompleteRead" not in str(error):
                raise
            raise OSError(f"{url} broke off before its end") from error
        except ValueError as error:  # another hash
            raise OSError(f"{url} sent something else: {error}") from error


class _Progress(tqdm):
    """A bar that appears after a second, and gives up a server that is slow or sends too much.

    pooch sets its total, counts what has come, and resets it at the end.
    """

    def __init__(self, url: str, largest: float) -> None:
        often = 0.1 if sys.stderr.isatty() else 10.0  # seconds between two lines of a log
        looks = dict(unit="B", unit_scale=True, leave=False, delay=1, mininterval=often)
        super().__init__(total=1, desc=url, **looks)
        self.largest = largest
        self.began = time.monotonic()

    def __bool__(self) -> bool:
        """Also of a server that does not say how much it sends; tqdm's own is false of 0 bytes."""
        return True

    def update(self, n: float = 1) -> bool | None:
        if self.n > self.largest:
            raise OSError(f"{self.desc} is larger than {self.largest:g} bytes")
        seconds = time.monotonic() - self.began
        if seconds > PATIENCE and self.n < SLOWEST * seconds:
            raise OSError(f"{self.desc} sends less than {SLOWEST:g} bytes a second")
        return super().update(n)

    def reset(self, total: float | None = None) -> None:
        self.n = 0  # tqdm's own would show the bar at once
