"""Files of data sets: what they must hold, and their arrays, read and verified."""

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from .._boundary import extra, refusing_damage

Arrays = dict[str, np.ndarray]

KEYS = ("x_train", "y_train", "x_test", "y_test", "x_valid", "y_valid", "group")
CSV_ROWS = 100_000  # parsed at a time


@dataclass(frozen=True, eq=False)
class Download:
    """The files that the publisher of a data set gives away.

    Args:
        address: of the folder that holds them, with a slash at its end.
        files: their names, in the order in which ``read`` takes them.
        sha256: of each file; None: not compared, so that the content alone is verified.
        read: the arrays of a data set, from the paths of its files.
        size: of a download so large that it is fetched only when asked for, as "2.6 GB".
    """

    address: str
    files: tuple[str, ...]
    sha256: tuple[str | None, ...]
    read: Callable[["DataSet", Sequence[Path]], Arrays]
    size: str = ""


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set: what its file must hold, and where it is published.

    Args:
        name: by which it is loaded.
        shape: of one example.
        labels: as stored, in the order of 0, 1, ...; empty if unlabelled.
        dtype: of the features kept in memory; uint8: whole numbers.
        top: values lie in [0, top] and are divided by it; None: any finite value.
        n_train, n_test: number of examples; None: any.
        has_test: whether a test part is published.
        grey_rows: whether the examples are grey images, stored as rows.
        has_group: whether the file tells, as ``group``, which training examples belong together,
            so that they come into one part.
        in_order: whether neighbours in the file may show one thing, so that a part is a whole
            stretch of it.
        classes: what people call the labels; empty where the labels say it.
        notice: what is to be said of the data with every result.
        content_sha256: `Split.sha256` of the published data; None where it is not known.
        download: None without a single published address.
    """

    name: str
    shape: tuple[int, ...]
    labels: Sequence[int] = ()
    dtype: type = np.float32
    top: int | None = None
    n_train: int | None = None
    n_test: int | None = None
    has_test: bool = True
    grey_rows: bool = False
    has_group: bool = False
    in_order: bool = False
    classes: tuple[str, ...] = ()
    notice: str = ""
    content_sha256: str | None = None
    download: Download | None = None


# verification


def verified(dataset: DataSet, arrays: Arrays) -> Arrays:
    """The arrays of a data set: x as uint8 or float32, y as int64 from 0.

    Raises: ValueError, naming the array, if one is missing or holds what this set cannot hold.
    """
    optional = {"valid"} if dataset.has_test else {"valid", "test"}
    low, high = 0, dataset.top
    if high is None:
        high = np.finfo(np.float32).max
        low = -high
    n_examples = {"train": dataset.n_train, "test": dataset.n_test, "valid": None}
    parts = [part for part in n_examples if part not in optional or f"x_{part}" in arrays]
    values = ("x", "y") if dataset.labels else ("x",)
    needed = [f"{value}_{part}" for part in parts for value in values]
    if dataset.has_group:
        needed.append("group")
    missing = [key for key in needed if key not in arrays]
    if missing:
        raise ValueError(f"{missing[0]} is missing, of the arrays {', '.join(needed)}")
    checked = {}
    for part in parts:
        key, n_desired = f"x_{part}", n_examples[part]
        x = arrays[key]
        n = n_desired or max((1, *x.shape[:1]))  # one at least
        if x.shape != (n, *dataset.shape):
            desired = (n_desired or "N", *dataset.shape)
            raise ValueError(f"{key} has shape {x.shape}, not {desired}")
        if x.dtype.kind not in "buif":
            raise ValueError(f"{key} is of type {x.dtype}, not numeric")
        smallest, largest = x.min(), x.max()
        if not (low <= smallest and largest <= high):  # so NaN is refused
            raise ValueError(f"{key} has values in [{smallest}, {largest}], not in [{low}, {high}]")
        if dataset.dtype is np.uint8 and x.dtype.kind == "f" and (x % 1).any():
            raise ValueError(f"{key} has fractions, not whole numbers in [{low}, {high}]")
        checked[key] = x.astype(dataset.dtype, copy=False)
        if dataset.labels:
            key = f"y_{part}"
            y = _whole_numbers(arrays, key, n)
            strange = np.setdiff1d(y, dataset.labels)
            if strange.size:
                known = [*dataset.labels]
                raise ValueError(f"{key} has the label {strange[0]}, which is not in {known}")
            checked[key] = np.searchsorted(dataset.labels, y).astype(np.int64)
    if dataset.has_group:
        group = _whole_numbers(arrays, "group", len(checked["x_train"]))
        checked["group"] = group.astype(np.int64)
    return checked


def _whole_numbers(arrays: Arrays, key: str, n: int) -> np.ndarray:
    values = arrays[key]
    if values.shape != (n,) or values.dtype.kind not in "iu":
        is_now = f"{values.dtype} of shape {values.shape}"
        raise ValueError(f"{key} is {is_now}, not integer of shape {(n,)}")
    return values


def content_sha256(arrays: Arrays) -> str:
    """Hexadecimal sha256 of the names and values of verified arrays, in their order."""
    digest = hashlib.sha256()
    for key, array in arrays.items():
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


# our own file of a data set, and the one that comes with scikit-learn


def read_npz(dataset: DataSet, path: Path) -> tuple[Arrays, str]:
    """Verified arrays of ``<name>.npz`` and the sha256 of their content; not to be modified.

    Raises: ValueError if the file is damaged or does not hold this data set.
    """
    status = path.stat()
    return _read_npz(dataset, path, (status.st_mtime_ns, status.st_ino))


@lru_cache(maxsize=4)
def _read_npz(dataset: DataSet, path: Path, version: tuple[int, int]) -> tuple[Arrays, str]:
    """Read once, until the file is replaced, so that its time or its inode is another."""
    arrays = {}
    with refusing_damage(
        lambda error: f"{path} is not a whole {dataset.name}: {error}; delete or replace it"
    ):
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            for key in KEYS:
                if key in file.files:
                    arrays[key] = file[key]
        arrays = verified(dataset, arrays)
    return arrays, content_sha256(arrays)


@lru_cache(maxsize=1)
def read_digits(dataset: DataSet) -> tuple[Arrays, str]:
    """Verified arrays of scikit-learn's digits and the sha256 of their content."""
    with extra("data"):
        from sklearn.datasets import load_digits  # a second to import, and seldom needed

    digits = load_digits()
    arrays = {"x_train": digits.images, "y_train": digits.target}
    arrays = verified(dataset, arrays)
    return arrays, content_sha256(arrays)


# the files of the publishers


def read_torchvision(kind: str, dataset: DataSet, paths: Sequence[Path]) -> Arrays:
    """The files as a class of torchvision's data sets reads them.

    Those of CIFAR are pickles. torchvision reads them only after it has compared their checksums.

    Args:
        kind: name of the class.
        dataset: what the files hold.
        paths: of the files, in a folder of their own, where they are unpacked.
    """
    with extra("downloads"):
        from .vision import datasets  # two seconds to import, and needed by a download alone

    read = getattr(datasets, kind)
    folder = paths[0].parent
    if issubclass(read, datasets.MNIST):  # it looks for its files below the folder
        raw = folder / kind / "raw"
        raw.mkdir(parents=True)
        for path in paths:
            path.rename(raw / path.name)
    arrays = {}
    for part in ("train", "test"):
        examples = read(folder, train=part == "train", download=True)  # it is here: only unpacked
        x = np.asarray(examples.data)
        arrays[f"x_{part}"] = np.moveaxis(x, -1, 1) if x.ndim == 4 else x  # channels first
        arrays[f"y_{part}"] = np.asarray(examples.targets, np.uint8)
    return arrays


def read_labelled_csv(dataset: DataSet, paths: Sequence[Path]) -> Arrays:
    """The rows of a compressed text, a label and then the features each.

    Raises: ValueError, EOFError or zlib.error if the text is not whole.
    """
    (path,) = paths
    options = dict(compression="gzip", header=None, dtype=np.float32)
    title = f"rows of {dataset.name} / {CSV_ROWS:,}"
    chunks = []
    with extra("downloads"):
        import pandas as pd  # a third of a second, which plain training need not wait for
        from tqdm import tqdm

    with pd.read_csv(path, chunksize=CSV_ROWS, **options) as reader:
        for chunk in tqdm(reader, desc=title, leave=False, delay=1):
            chunks.append(chunk.to_numpy())
    rows = np.concatenate(chunks)
    x, y = rows[:, 1:], rows[:, 0]
    strange = y[~np.isin(y, dataset.labels)]
    if strange.size:  # before a fraction would be cut off
        known = [*dataset.labels]
        raise ValueError(f"there is the label {strange[0]}, which is not in {known}")
    n = dataset.n_train
    assert n is not None, f"{dataset.name}: where the test part begins is not known"
    y = y.astype(np.uint8)
    return {"x_train": x[:n], "y_train": y[:n], "x_test": x[n:], "y_test": y[n:]}
