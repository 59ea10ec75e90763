"""Data sets by name: found, fetched, verified and split; never silently substituted.

A data set is one file, ``<name>.npz``, with the numeric arrays ``x_train, y_train, x_test, y_test``
and, where published, ``x_valid, y_valid`` (no ``y`` for unlabelled sets). It is looked for in the
folder that the environment variable ``SPARSE_DATA_DIR`` names, then in ``data/raw``. MNIST,
Fashion-MNIST and CIFAR-10 are otherwise downloaded, verified, and converted to ``data/raw`` once;
``higgs``, of 2.6 GB, only by ``python -m lib data higgs``. ``digits`` ships with scikit-learn.
"""

import gzip
import hashlib
import io
import math
import os
import tarfile
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import lru_cache
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from lib.names import check_known

RAW = Path(__file__).resolve().parents[1] / "data" / "raw"
TIMEOUT = 5.0  # seconds of silence after which a server is given up

Arrays = dict[str, np.ndarray]


class DataUnavailable(RuntimeError):
    """A known data set is neither on this machine nor to be downloaded now."""


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Training, test and validation part of one data set, and where they came from.

    Args:
        x_train: (N, features...) float32; images in [0, 1], binary sets 0 or 1, tables as stored.
        y_train: (N,) int64 from 0; None for an unlabelled set.
        x_test, y_test: the same for the test part.
        x_valid, y_valid: the same for the validation part; None without one.
        name: the data set actually loaded.
        requested: the data set asked for.
        source: ``SPARSE_DATA_DIR``, ``data/raw``, ``download`` or ``scikit-learn``.
        sha256: of the content of the whole set, before it was divided or limited; independent of
            how the file is compressed and of the integer type of its labels.
        path: of the file; None for scikit-learn.
        notice: one line to be said with every result; empty when there is nothing to say.
    """

    x_train: Tensor
    y_train: Tensor | None
    x_test: Tensor
    y_test: Tensor | None
    x_valid: Tensor | None
    y_valid: Tensor | None
    name: str
    requested: str
    source: str
    sha256: str
    path: str | None = None
    notice: str = ""

    @property
    def n_features(self) -> int:
        """Number of features of one example, flattened."""
        return math.prod(self.x_train.shape[1:])

    @property
    def n_classes(self) -> int:
        """Number of classes of the training and test parts together; 0 for an unlabelled set."""
        labels = [y for y in (self.y_train, self.y_test) if y is not None]
        return max((int(y.max()) + 1 for y in labels), default=0)

    def standardisation(self) -> tuple[Tensor, Tensor]:
        r"""Mean and standard deviation of the training part, for :math:`(x - \mu) / \sigma`.

        One pair for grey images, one a channel for colour images, one a feature for tables. Where
        all values are the same :math:`\sigma = 1`, so that they become 0.

        Returns: two float32 tensors that broadcast to (B, n_features): scalars for grey images,
            otherwise (n_features,).
        """
        grey = self.x_train.ndim == 3 or self.name == "coil20"  # coil20 stores images as rows
        groups = 1 if grey else self.x_train.shape[1]  # channels, or features
        x = self.x_train.numpy().reshape(len(self.x_train), groups, -1)
        # float64 on one thread: the same bits for any number of threads, and no copy of x
        mean = x.mean(axis=(0, 2), dtype=np.float64)
        mean_square = np.einsum("ngk,ngk->g", x, x, dtype=np.float64) / (len(x) * x.shape[2])
        std = np.sqrt(np.maximum(mean_square - mean**2, 0))
        std[x.min(axis=(0, 2)) == x.max(axis=(0, 2))] = 1
        mean, std = (v[0] if grey else v.repeat(x.shape[2]) for v in (mean, std))
        return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)

    def __repr__(self) -> str:
        parts = {"train": self.x_train, "test": self.x_test, "validation": self.x_valid}
        sizes = [f"{len(x)} {part}" for part, x in parts.items() if x is not None]
        shape = "x".join(map(str, self.x_train.shape[1:]))
        return f"Split({self.name}, {shape}, {', '.join(sizes)}, from {self.source})"


class _Kind(NamedTuple):
    """What the file of a data set must hold."""

    shape: tuple[int, ...]  # of one example
    labels: Sequence[int] = ()  # as stored, in the order of 0, 1, ...; empty if unlabelled
    dtype: type = np.float32  # uint8: whole numbers
    top: int | None = None  # values lie in [0, top] and are divided by it; None: any finite value
    n_train: int | None = None
    n_test: int | None = None


_IMAGES = (range(10), np.uint8, 255)
_BINARY = dict(adult=123, connect4=126, dna=180, mushrooms=112, nips=500, ocr_letters=128, web=300)
_KINDS = {
    "digits": _Kind((8, 8), range(10), np.uint8, 16),
    "mnist": _Kind((28, 28), *_IMAGES, 60_000, 10_000),
    "fashion_mnist": _Kind((28, 28), *_IMAGES, 60_000, 10_000),
    "cifar10": _Kind((3, 32, 32), *_IMAGES, 50_000, 10_000),
    **{name: _Kind((n_features,), (), np.uint8, 1) for name, n_features in _BINARY.items()},
    "higgs": _Kind((28,), range(2), n_train=10_500_000, n_test=500_000),
    "higgs_sample": _Kind((28,), range(2)),
    "coil20": _Kind((1024,), range(1, 21), np.float32, 1),
    "madelon": _Kind((500,), (-1, 1)),
}
NAMES = tuple(_KINDS)
_WITHOUT_TEST = ("digits", "coil20")  # no published split
_KEYS = ("x_train", "y_train", "x_test", "y_test", "x_valid", "y_valid")

_IDX_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
_FOLDERS = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "cifar10": "https://www.cs.toronto.edu/~kriz/",
    "higgs": "https://archive.ics.uci.edu/ml/machine-learning-databases/00280/",
}
_FILES_SHA256 = {  # of the files fetched, one after the other
    "mnist": "227111746c1956b229de0ae762b7dbf2885be3ac547ca613501aaed94e0a39d0",
    "fashion_mnist": "1ad69a47dbce37a98443e5e5628a031b5910be879d3589e945a1519f805aa28c",
    "cifar10": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
}
_CONTENT_SHA256 = {  # `Split.sha256` of the published data, where it is known
    "mnist": "6b9389681de69aa3543234f90cfff674694a75574863d387d5470acc56b72383",
    "fashion_mnist": "16cb8cbbc62fcdccb15cc65ea714c2eab2a82d601df80d5b625600fc313828b5",
}
_silent: list[str] = []  # addresses that did not answer: the network is asked once a process


def load(
    name: str, *, validation: int = 0, limit: int | None = None, fallback: str | None = None
) -> Split:
    """The data set of this name, verified, its training part divided and limited as asked.

    All draws are stratified and fixed by seed 0, whatever the seed of a run. A set without a
    published split gives a fifth of its examples to the test part.

    Args:
        name: one of `NAMES`.
        validation: number of examples that leave the training part for the validation part. A
            fallback gives at most a fifth of its training part.
        limit: largest number of training examples kept once the validation part has left. A
            smaller limit keeps a subset of what a larger one keeps.
        fallback: the data set that stands in, and says so in `Split.notice`, if ``name`` cannot
            be had. A damaged file is an error all the same.

    Returns: the split; its tensors belong to the caller.

    Raises:
        ValueError: if a name is unknown, the file is damaged or does not hold this data set, the
            set has a published validation part already, or a number asked for is out of range.
        DataUnavailable: if the data set cannot be had and there is no fallback.
    """
    require_known(name, name if fallback is None else fallback)
    try:
        arrays, origin = _find(name)
    except DataUnavailable:
        if fallback is None:
            raise
        validation = min(validation, len(load(fallback).x_train) // 5)
        split = load(fallback, validation=validation, limit=limit)
        notices = (f"{fallback} stands in for {name}, which could not be had", split.notice)
        return replace(split, requested=name, notice="; ".join(filter(None, notices)))
    n_train, sha256 = len(arrays["x_train"]), origin["sha256"]
    differs = sha256 != _CONTENT_SHA256.get(name, sha256)
    notice = f"{origin['path']} differs from the published {name}, sha256 {sha256}"
    if validation and "x_valid" in arrays:
        raise ValueError(f"validation is {validation}, but {name} has a published part; ask for 0")
    if not 0 <= validation < n_train:
        raise ValueError(f"validation is {validation}; {name} has {n_train} training examples")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; keep at least 1 training example, or None for all")
    if validation:
        arrays = _move(arrays, validation, "valid")
    if limit is not None:
        arrays = _move(arrays, limit, "train")
    tensors = dict.fromkeys(_KEYS) | {key: torch.tensor(array) for key, array in arrays.items()}
    for x in {"x_train", "x_test", "x_valid"} & arrays.keys():
        tensors[x] = tensors[x].float().div_(_KINDS[name].top or 1)
    return Split(**tensors, name=name, requested=name, **origin, notice=notice if differs else "")


def where(names: Iterable[str] = ()) -> list[dict[str, str | int | None]]:
    """Where each data set comes from, fetching what can be fetched; one flat row each.

    Args:
        names: data sets, from `NAMES`; none means all, and then ``higgs`` is not fetched.

    Returns: rows of dataset, source, path, n_train, n_test, shape (of one example), sha256 and
        status: ``ok``, what is to be said about the content, or why the set cannot be had
            (``damaged: …`` for a file that is there but wrong), and
        then what is not known is None. So is the path of a set that comes with scikit-learn.

    Raises: ValueError if a name is unknown.
    """
    require_known(*(names := list(names)))
    return [_row(name, asked=bool(names)) for name in names or NAMES]


def _row(name: str, asked: bool) -> dict[str, str | int | None]:
    row = dict.fromkeys(("dataset", "source", "path", "n_train", "n_test", "shape", "sha256"))
    try:
        _, origin = _find(name, asked)  # `load` would not fetch a large set
        split = load(name)
    except (DataUnavailable, ValueError) as error:
        damaged = "damaged: " if isinstance(error, ValueError) else ""
        return row | {"dataset": name, "status": f"{damaged}{error}"}
    row |= origin | {"dataset": name, "n_train": len(split.x_train), "n_test": len(split.x_test)}
    shape = "x".join(map(str, split.x_train.shape[1:]))
    return row | {"shape": shape, "status": split.notice or "ok"}


def require_known(*names: str) -> None:
    """Raise ValueError, with the nearest name, unless every name is one of `NAMES`."""
    for name in names:
        check_known("data set", name, NAMES)


def is_here(name: str) -> bool:
    """Whether the data set is on this machine, so that nothing would be fetched."""
    return name == "digits" or any(path.exists() for path in _paths(name).values())


def _paths(name: str) -> dict[str, Path]:
    """Where the file of a data set may lie, by source."""
    folders = {"SPARSE_DATA_DIR": os.environ.get("SPARSE_DATA_DIR"), "data/raw": RAW}
    return {source: Path(folder, f"{name}.npz") for source, folder in folders.items() if folder}


def _find(name: str, asked: bool = False) -> tuple[Arrays, dict[str, str | None]]:
    """Arrays of the data set, and sha256, source and path, from the first place that has it.

    ``asked``: whether a person asked for this very set, so that it may be fetched though large.
    """
    if name == "digits":
        arrays, sha256 = _digits()
        return arrays, {"sha256": sha256, "source": "scikit-learn", "path": None}
    paths = _paths(name)
    source = next((source for source, path in paths.items() if path.exists()), "download")
    path = (paths[source] if source in paths else _download(name, asked)).resolve()
    arrays, sha256 = _read(name, path, (path.stat().st_mtime_ns, path.stat().st_ino))
    return arrays, {"sha256": sha256, "source": source, "path": str(path)}


@lru_cache(maxsize=1)
def _digits() -> tuple[Arrays, str]:
    from sklearn.datasets import load_digits  # a second to import, and seldom needed

    digits = load_digits()
    return _verified("digits", {"x_train": digits.images, "y_train": digits.target})


@lru_cache(maxsize=4)
def _read(name: str, path: Path, version: tuple[int, int]) -> tuple[Arrays, str]:
    """Arrays of a file, and the sha256 of its content; ValueError if it is damaged."""
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            return _verified(name, {key: file[key] for key in _KEYS if key in file.files})
    except Exception as error:  # whatever a damaged file makes zipfile and numpy say
        raise ValueError(f"{path} is not a whole {name}: {error}; delete or replace it") from error


def _verified(name: str, arrays: Arrays) -> tuple[Arrays, str]:
    """x as uint8 or float32, y from 0, with a test part; and the sha256 of the content before."""
    kind, verified, digest = _KINDS[name], {}, hashlib.sha256()
    for part, n in (("train", kind.n_train), ("test", kind.n_test), ("valid", None)):
        x, y = f"x_{part}", f"y_{part}"
        optional = part == "valid" or (part == "test" and name in _WITHOUT_TEST)
        if optional and x not in arrays:
            continue
        if missing := [key for key in ((x, y) if kind.labels else (x,)) if key not in arrays]:
            raise ValueError(f"{missing[0]} is missing")
        verified[x] = _verified_x(x, arrays[x], kind, n)
        if kind.labels:
            verified[y] = _verified_y(y, arrays[y], kind, len(arrays[x]))
    for key, array in verified.items():
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(array))
    if "x_test" not in verified:
        verified = _move(verified, round(len(verified["x_train"]) / 5), "test")
    return verified, digest.hexdigest()


def _verified_x(key: str, x: np.ndarray, kind: _Kind, n: int | None) -> np.ndarray:
    if x.shape != (n or max((1, *x.shape[:1])), *kind.shape):
        raise ValueError(f"{key} has shape {x.shape}, not {(n or 'N', *kind.shape)}")
    if x.dtype.kind not in "buif":
        raise ValueError(f"{key} is of type {x.dtype}, not numeric")
    largest = np.finfo(np.float32).max
    low, high = (-largest, largest) if kind.top is None else (0, kind.top)
    if not (low <= x.min() and x.max() <= high):  # so NaN is refused
        raise ValueError(f"{key} has values in [{x.min()}, {x.max()}], not in [{low}, {high}]")
    if kind.dtype is np.uint8 and x.dtype.kind == "f" and (x % 1).any():
        raise ValueError(f"{key} has fractions, not whole numbers in [{low}, {high}]")
    return x.astype(kind.dtype, copy=False)


def _verified_y(key: str, y: np.ndarray, kind: _Kind, n: int) -> np.ndarray:
    if y.shape != (n,) or y.dtype.kind not in "iu":
        raise ValueError(f"{key} is {y.dtype} of shape {y.shape}, not integer of shape {(n,)}")
    if (strange := np.setdiff1d(y, kind.labels)).size:
        raise ValueError(f"{key} has the label {strange[0]}, which is not in {[*kind.labels]}")
    return np.searchsorted(kind.labels, y).astype(np.int64)


def stratified_order(n: int, y: np.ndarray | None) -> np.ndarray:
    r"""Fixed random order of n examples, of which every beginning holds the classes in proportion.

    .. math:: order = argsort_i (r_i + 1/2) / m_{y_i}

    with :math:`r_i` the random rank of example i in its class and :math:`m_c` the size of class c.
    """
    order = np.random.default_rng(0).permutation(n)
    if y is None:
        return order
    members = pd.Series(order).groupby(y[order])
    place = (members.cumcount() + 0.5) / members.transform("size")
    return order[np.argsort(place, kind="stable")]


def _move(arrays: Arrays, n: int, part: str) -> Arrays:
    """The first n training examples, in stratified order, as ``part``; train: only they remain."""
    order = stratified_order(len(arrays["x_train"]), arrays.get("y_train"))
    first, others = np.sort(order[:n]), np.sort(order[n:])
    for v in ("x", "y") if "y_train" in arrays else ("x",):
        train = arrays[f"{v}_train"]
        arrays = arrays | {f"{v}_train": train[others]} | {f"{v}_{part}": train[first]}
    return arrays


def _from_idx(*files: bytes) -> Arrays:
    flat = [np.frombuffer(gzip.decompress(file), np.uint8) for file in files]
    x_train, x_test = (images[16:].reshape(-1, 28, 28) for images in flat[::2])
    return {"x_train": x_train, "y_train": flat[1][8:], "x_test": x_test, "y_test": flat[3][8:]}


def _from_cifar_archive(file: bytes) -> Arrays:
    with tarfile.open(fileobj=io.BytesIO(file)) as archive:
        names = sorted(name for name in archive.getnames() if name.endswith(".bin"))  # test last
        rows = b"".join(archive.extractfile(name).read() for name in names)
    rows = np.frombuffer(rows, np.uint8).reshape(-1, 1 + 3 * 32 * 32)  # a label, then the pixels
    x, y, n = rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0], _KINDS["cifar10"].n_train
    return {"x_train": x[:n], "y_train": y[:n], "x_test": x[n:], "y_test": y[n:]}


def _from_higgs_csv(file: BinaryIO) -> Arrays:
    """The rows of a compressed text, a label and 28 features each; the last are the test part."""
    options = dict(compression="gzip", header=None, dtype=np.float32, chunksize=100_000)
    with pd.read_csv(file, **options) as reader:
        chunks = tqdm(reader, desc="rows of higgs / 100,000", leave=False, delay=1)
        rows = np.concatenate([chunk.to_numpy() for chunk in chunks])
    x, y, kind = rows[:, 1:], rows[:, 0], _KINDS["higgs"]
    if (strange := y[~np.isin(y, kind.labels)]).size:  # before a fraction would be cut off
        raise ValueError(f"there is the label {strange[0]}, which is not in {[*kind.labels]}")
    y, n = y.astype(np.uint8), kind.n_train
    return {"x_train": x[:n], "y_train": y[:n], "x_test": x[n:], "y_test": y[n:]}


def _download(name: str, asked: bool) -> Path:
    """Path of the file made from what the publisher sends; DataUnavailable if nothing comes."""
    now = os.environ.get("SPARSE_DATA_DIR") or "unset"
    ways = f"set SPARSE_DATA_DIR (now {now}) to a folder holding {name}.npz, or put it in data/raw"
    if name not in _FOLDERS:
        raise DataUnavailable(f"{name} is not here and has no single published address: {ways}")
    if name == "higgs" and not asked:
        fetch = f"fetch it by python -m lib data {name}"
        raise DataUnavailable(f"{name} is not here and is a download of 2.6 GB: {fetch}, {ways}")
    folder = _FOLDERS[name]
    try:
        arrays = _fetch_higgs(folder) if name == "higgs" else _fetch_images(name, folder)
        return _store(name, arrays)
    except (OSError, HTTPException) as error:
        reason = f"{name} could not be had from {folder} ({str(error) or 'no answer'})"
        raise DataUnavailable(f"{reason}: {ways}, or connect to the network") from error


def _fetch_images(name: str, folder: str) -> Arrays:
    """The images at this address, of which the sha256 is known."""
    cifar = name == "cifar10"
    files = ["cifar-10-binary.tar.gz"] if cifar else [f"{file}-ubyte.gz" for file in _IDX_FILES]
    contents = [b"".join(_fetch(folder + file)) for file in files]
    sha256 = hashlib.sha256(b"".join(contents)).hexdigest()
    if sha256 != _FILES_SHA256[name]:
        raise OSError(f"{folder} sent sha256 {sha256}, not {_FILES_SHA256[name]}")
    return _from_cifar_archive(*contents) if cifar else _from_idx(*contents)


def _fetch_higgs(folder: str) -> Arrays:
    """The table at this address, verified by its content, as no sha256 is known."""
    RAW.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=RAW) as file:  # it may be larger than the memory
        file.writelines(_fetch(folder + "HIGGS.csv.gz"))
        file.seek(0)
        try:
            _verified("higgs", arrays := _from_higgs_csv(file))
        except (ValueError, EOFError, zlib.error) as error:
            raise OSError(f"HIGGS.csv.gz is not whole: {error}") from error
    return arrays


def _store(name: str, arrays: Arrays) -> Path:
    path, part = RAW / f"{name}.npz", RAW / f".{name}.{os.getpid()}.part"
    RAW.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays)
        return part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _fetch(url: str) -> Iterator[bytes]:
    """Content of an address, in blocks; OSError if it is silent for `TIMEOUT` or breaks off."""
    if _silent:
        raise OSError(f"no answer from {_silent[0]}; a network is asked once a process")
    try:
        reply = _open(url)
    except urllib.error.HTTPError as error:  # an answer, though not the file
        error.close()
        raise
    except OSError:
        _silent.append(url)
        raise
    progress = tqdm.wrapattr(reply, "read", reply.length, desc=url, leave=False, delay=1)
    with reply, progress as file:
        yield from iter(lambda: file.read(1 << 16), b"")
    if reply.length:
        raise OSError(f"{url} broke off {reply.length} bytes before its end")


def _open(url: str) -> HTTPResponse:
    """Reply of a server; asked for in a thread, as the look-up of its name has no time-out."""
    reply = Future()

    def ask() -> None:
        try:
            reply.set_result(urllib.request.urlopen(url, timeout=TIMEOUT))
        except Exception as error:
            reply.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return reply.result(TIMEOUT)
