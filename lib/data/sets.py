"""A data set, once it is loaded: found, divided and limited as asked."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._boundary import check_known, check_whole
from . import fetch, formats, own
from .catalogue import NAMES, SETS
from .fetch import DataUnavailable
from .formats import Arrays, DataSet

_COLUMNS = ("dataset", "source", "path", "n_train", "n_test", "shape", "sha256")


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Training, test and validation part of one data set, and where they came from.

    Args:
        x_train: (N, features...) float32; images in [0, 1], binary sets 0 or 1, tables as stored.
            Loaded with ``scaled=False``: as stored, images as uint8.
        y_train: (N,) int64 from 0; None for an unlabelled set.
        x_test, y_test: the same for the test part.
        x_valid, y_valid: the same for the validation part; None without one.
        name: the data set.
        source: ``SPARSE_DATA_DIR``, ``data/raw``, ``download``, ``scikit-learn`` or ``own``.
        sha256: of the content of the whole set, before it was divided or limited; independent of
            how the file is compressed and of the integer type of its labels. For one's own
            data it covers the shapes too.
        path: of the file or folder; None for scikit-learn and arrays.
        notice: one line to be said with every result; empty when there is nothing to say.
        group: (N,) int64, equal for training examples that belong together, which come into one
            part of the data; None where nothing is known of them.
        classes: what people call the labels 0, 1, ...; empty where the labels say it.
    """

    x_train: Tensor
    y_train: Tensor | None
    x_test: Tensor
    y_test: Tensor | None
    x_valid: Tensor | None
    y_valid: Tensor | None
    name: str
    source: str
    sha256: str
    path: str | None = None
    notice: str = ""
    group: Tensor | None = None
    classes: tuple[str, ...] = ()

    @property
    def n_features(self) -> int:
        """Number of features of one example, flattened."""
        return math.prod(self.x_train.shape[1:])

    @property
    def n_classes(self) -> int:
        """Number of classes of all parts together; 0 for an unlabelled set."""
        n_classes = len(self.classes)
        for y in (self.y_train, self.y_test, self.y_valid):
            if y is not None:
                n_classes = max(n_classes, int(y.max()) + 1)
        return n_classes

    def standardisation(self) -> tuple[Tensor, Tensor]:
        r"""Mean and standard deviation of the training part, for :math:`(x - \mu) / \sigma`.

        One pair for grey images, one a channel for colour images, one a feature for tables. Where
        all values are the same :math:`\sigma = 1`, so that they become 0.

        Returns: two float32 tensors that broadcast to (B, n_features): scalars for grey images,
            otherwise (n_features,).
        """
        dataset = SETS.get(self.name)
        grey = self.x_train.ndim == 3 or (dataset is not None and dataset.grey_rows)
        n_groups = 1 if grey else self.x_train.shape[1]  # channels, or features
        x = self.x_train.numpy().reshape(len(self.x_train), n_groups, -1)
        size = x.shape[2]  # of a group
        # float64 on one thread: the same bits for any number of threads, and no copy of x
        mean = x.mean(axis=(0, 2), dtype=np.float64)
        square_sum = np.einsum("ngk,ngk->g", x, x, dtype=np.float64)
        variance = square_sum / (len(x) * size) - mean**2
        far = mean**2 > 1e4 * variance  # from 0: what is subtracted is nearly as large
        variance[far] = np.square(x[:, far] - mean[far, None]).mean(axis=(0, 2))
        std = np.sqrt(variance)
        constant = x.min(axis=(0, 2)) == x.max(axis=(0, 2))
        std[constant] = 1
        if grey:
            return _float32(mean[0]), _float32(std[0])
        return _float32(mean.repeat(size)), _float32(std.repeat(size))

    def __repr__(self) -> str:
        shape = _times(self.x_train.shape[1:])
        sizes = f"{len(self.x_train)} train, {len(self.x_test)} test"
        if self.x_valid is not None:
            sizes += f", {len(self.x_valid)} validation"
        return f"Split({self.name}, {shape}, {sizes}, from {self.source})"


def _float32(values: np.ndarray | float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _times(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def load(
    name: str | Path,
    *,
    validation: int = 0,
    limit: int | None = None,
    scaled: bool = True,
) -> Split:
    """The data set of this name, verified, its training part divided and limited as asked.

    All draws are stratified and fixed by seed 0, whatever the seed of a run. A set without a
    published split gives a fifth of its examples to the test part. Where groups of examples belong
    together, whole groups are drawn, and a part has about the number asked for. Where neighbours
    in the file may show one thing, a part is the last stretch of every class in its order.

    Args:
        name: one of `NAMES`, or a path of one's own data, see :mod:`lib.data.own`; a ``Path`` is
            always a path.
        validation: number of examples that leave the training part for the validation part.
        limit: largest number of training examples kept once the validation part has left. A
            smaller limit keeps a subset of what a larger one keeps.
        scaled: False leaves the examples as they are stored, images as uint8.

    Returns: the split; its tensors belong to the caller.

    Raises:
        ValueError: if a name is unknown, the file is damaged or does not hold this data set, the
            set has a published validation part already, or a number asked for is out of range.
        DataUnavailable: if the data set cannot be had.
    """
    name = str(name.expanduser().absolute() if isinstance(name, Path) else name)
    require_known(name)
    arrays, origin = _find(name)
    dataset = _data_set(name)
    return _split(dataset, arrays, origin, validation=validation, limit=limit, scaled=scaled)


def from_arrays(
    x: Any,
    y: Any,
    *,
    x_test: Any = None,
    y_test: Any = None,
    validation: int = 0,
    name: str = "arrays",
) -> Split:
    """A split of examples of one's own; a fifth of them, drawn by class and fixed, is for the test.

    Args:
        x: (N, features...) numbers, as an array, a tensor or a table of pandas; images are
            (N, height, width) or (N, channels, height, width), uint8 or in [0, 1].
        y: (N,) labels: whole numbers or text, numbered in their order, see `Split.classes`.
        x_test, y_test: the test part, where it is given.
        validation: as of :func:`load`.
        name: of the data in messages; not one of `NAMES`.
    Raises: ValueError, naming the row where there is one, for lengths that differ, values that are
        not finite, pixels out of range, labels that are missing or no classes, one class only, a
        class of one example, and examples that are all the same; for tables x and x_test whose
        columns differ.

    Example:
        >>> split = from_arrays([[0.0, 1], [1, 0], [2, 1], [3, 0], [4, 2]], list("aabba"))
        >>> split.classes, len(split.x_train), len(split.x_test)
        (('a', 'b'), 4, 1)
    """
    if name in NAMES:
        raise ValueError(f"name {name!r} is that of a data set: choose another")
    found = own.checked(x, y, name, x_test=x_test, y_test=y_test)
    return _own_split(*found, validation=validation)


def from_csv(
    path: str | Path,
    target: str | int,
    *,
    validation: int = 0,
    **options: Any,
) -> Split:
    """A split of the rows of a table; as a name, ``path.csv:target``.

    Args:
        path: of a text in UTF-8 of any ending, with the names of its columns in line 1.
        target: the column that holds the classes; all others are features, and numbers. Classes
            are told apart as they are written, whatever ``dtype`` says.
        validation: as of :func:`load`.
        options: of ``pandas.read_csv``, as ``sep``, ``decimal``, ``header``, ``encoding``. A comma,
            semicolon, tab, bar or blanks are otherwise told from the first lines.
    Raises: ValueError as :func:`from_arrays`, naming file, row and column; if line 1 looks like an
        example, which ``header=None`` makes it.
    """
    found = own.table(Path(path).expanduser().absolute(), target, **options)
    return _own_split(*found, validation=validation)


def from_folder(path: str | Path, *, side: int | None = None, validation: int = 0) -> Split:
    """A split of images in one folder a class; as a name, ``path/:side``.

    Images are turned upright, grey if all of them are, else in three colours. What is transparent
    becomes white, and of a file with several images the first is taken; both are said in
    `Split.notice`.

    Args:
        path: of the folder that holds one folder a class.
        side: pixels; the middle square of each image is scaled to it. None: all have one size.
        validation: as of :func:`load`.
    Raises: ValueError as :func:`from_arrays`, naming the file; for an image that cannot be read.
    """
    found = own.folder(Path(path).expanduser().absolute(), side)
    return _own_split(*found, validation=validation)


def _own_split(dataset: DataSet, arrays: Arrays, *, validation: int) -> Split:
    sha256 = own.sha256_of(arrays)
    path = dataset.name if Path(dataset.name).is_absolute() else None
    origin = {"sha256": sha256, "source": "own", "path": path}
    arrays = _with_test_part(dataset, arrays)
    return _split(dataset, arrays, origin, validation=validation)


def _split(
    dataset: DataSet,
    arrays: Arrays,
    origin: dict[str, str | None],
    *,
    validation: int,
    limit: int | None = None,
    scaled: bool = True,
) -> Split:
    """The training part divided and limited, and all as tensors."""
    check_whole("validation", validation, least=0)
    if limit is not None:
        check_whole("limit", limit, least=1)
    name = dataset.name
    n_train = len(arrays["x_train"])
    if validation and "x_valid" in arrays:
        raise ValueError(f"validation is {validation}, but {name} has a published part; ask for 0")
    if validation >= n_train:
        raise ValueError(f"validation is {validation}; {name} has {n_train} training examples")
    if validation:
        arrays = _divided(dataset, arrays, validation, "valid")
    if limit is not None:
        order = stratified_order(len(arrays["x_train"]), arrays.get("y_train"))
        kept = np.sort(order[:limit])
        of_training = {"x_train", "y_train", "group"} & arrays.keys()
        arrays = arrays | {key: arrays[key][kept] for key in of_training}
    tensors = dict.fromkeys(formats.KEYS)
    for key, array in arrays.items():
        if scaled and key.startswith("x"):
            tensors[key] = torch.tensor(array, dtype=torch.float32).div_(dataset.top or 1)
        else:
            tensors[key] = torch.tensor(array)
    said = _notice(dataset, origin)
    named = {"name": name, "classes": dataset.classes}
    return Split(**tensors, **named, **origin, notice=said)


def load_once(name: str, *, validation: int = 0, limit: int | None = None) -> Split:
    """As :func:`load`, for who changes no tensor: the last split is kept for whoever asks for it
    again, as run after run does.
    """
    return _load_once(name, validation, limit, origin(name)["sha256"])


@lru_cache(maxsize=1)
def _load_once(name: str, validation: int, limit: int | None, sha256: str) -> Split:
    """A split, kept as long as the content of its data set is the same."""
    return load(name, validation=validation, limit=limit)


def where(names: Iterable[str] = ()) -> list[dict[str, str | int | None]]:
    """Where each data set comes from, fetching what can be fetched; one flat row each.

    Args:
        names: data sets, from `NAMES`; none means all, and then ``higgs`` is not fetched.

    Returns: rows of dataset, source, path, n_train, n_test, shape (of one example), sha256 and
        status: ``ok``, what is to be said about the content, or why the set cannot be had
        (``damaged: …`` for a file that is there but wrong). What is not known then is None. So is
        the path of a set that comes with scikit-learn.

    Raises: ValueError if a name is unknown, or is a path that cannot be used.
    """
    names = list(names)
    require_known(*names)
    rows = []
    for name in names or NAMES:
        row = dict.fromkeys(_COLUMNS) | {"dataset": name}
        rows.append(row)
        try:
            arrays, found = _find(name, asked=bool(names))  # `load` would not fetch a large set
        except (DataUnavailable, OSError) as error:
            row["status"] = str(error)
        except ValueError as error:
            if own.is_path(name):
                raise
            row["status"] = f"damaged: {error}"
        else:
            row |= found
            row["n_train"] = len(arrays["x_train"])
            row["n_test"] = len(arrays["x_test"])
            row["shape"] = _times(arrays["x_train"].shape[1:])
            row["status"] = _notice(_data_set(name), found) or "ok"
    return rows


def origin(name: str) -> dict[str, str | None]:
    """Where a data set comes from: ``sha256`` of its content, ``source`` and ``path`` of its file
    (None for scikit-learn).

    Raises: as :func:`load`.
    """
    require_known(name)
    _, found = _find(name)
    return found


def require_known(*names: str) -> None:
    """Raise ValueError, with the nearest name, unless every name is one of `NAMES` or a path of
    one's own data.
    """
    for name in names:
        if own.is_path(name):
            continue
        try:
            check_known("data set", name, NAMES)
        except ValueError as error:
            there = own.misnamed(name)
            advice = f"; {there}" if there else ", or a path of your own, as table.csv:species"
            raise ValueError(f"{error}{advice}") from None


def is_here(name: str) -> bool:
    """True if the data set is on this machine, so that nothing would be fetched."""
    if own.is_path(name):
        return own.is_there(name)
    return name == "digits" or any(path.exists() for path in fetch.places(name).values())


def stratified_order(n: int, y: np.ndarray | None, *, shuffled: bool = True) -> np.ndarray:
    r"""Fixed order of n examples, of which every beginning holds the classes in proportion.

    .. math:: order = argsort_i (r_i + 1/2) / m_{y_i}

    with :math:`r_i` the rank of example i in its class and :math:`m_c` the size of class c. The
    rank is random, or, if not ``shuffled``, that from the last example to the first.
    """
    order = np.arange(n)[::-1]
    if shuffled:
        order = np.random.default_rng(0).permutation(n)
    if y is None:
        return order
    _, label, size = np.unique(y[order], return_inverse=True, return_counts=True)
    rank = np.empty(n)
    rank[np.argsort(label, kind="stable")] = np.arange(n) - np.repeat(np.cumsum(size) - size, size)
    place = (rank + 0.5) / size[label]
    return order[np.argsort(place, kind="stable")]


def stratified(x: Tensor, y: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The first n of :func:`stratified_order`: always the same examples, classes in proportion;
    fewer lie within more.

    Args:
        x: (N, ...) examples.
        y: (N,) classes.
        n: how many; all where there are fewer.
    Returns: (n, ...) examples and their (n,) classes.
    """
    first = torch.from_numpy(stratified_order(len(y), y.numpy())[:n].copy())
    return x[first], y[first]


def divide(name: str, arrays: Arrays, n: int, part: str) -> Arrays:
    """The arrays of a data set when about n training examples have left for another part.

    Args:
        name: of the data set, which says how it is divided, see :func:`load`.
        arrays: ``x_train``, of images or of what was computed from each, ``y_train`` where there
            are labels, and ``group`` where the set has groups.
        n: number of examples that leave.
        part: "valid" or "test".
    """
    return _divided(_data_set(name), arrays, n, part)


def _divided(dataset: DataSet, arrays: Arrays, n: int, part: str) -> Arrays:
    y = arrays.get("y_train")
    if dataset.has_group:
        leaves = _drawn_in_groups(arrays["group"], y, n)
    else:
        order = stratified_order(len(arrays["x_train"]), y, shuffled=not dataset.in_order)
        leaves = np.isin(np.arange(len(order)), order[:n])
    divided = dict(arrays)
    for values in ("x", "y"):
        train = arrays.get(f"{values}_train")
        if train is not None:
            divided[f"{values}_train"] = train[~leaves]
            divided[f"{values}_{part}"] = train[leaves]
    if "group" in arrays:
        divided["group"] = arrays["group"][~leaves]
    return divided


def _data_set(name: str) -> DataSet:
    """The :class:`DataSet` of this name."""
    if own.is_path(name):
        dataset, _, _ = own.read(name)
        return dataset
    return SETS[name]


def _find(name: str, asked: bool = False) -> tuple[Arrays, dict[str, str | None]]:
    """Arrays of the data set, and sha256, source and path, from the first place that has it.

    ``asked``: whether a person asked for this very set, so that it may be fetched though large.
    """
    dataset = _data_set(name)
    if own.is_path(name):
        dataset, arrays, origin = own.read(name)
    elif name == "digits":
        arrays, sha256 = formats.read_digits(dataset)
        origin = {"sha256": sha256, "source": "scikit-learn", "path": None}
    else:
        here = [place for place in fetch.places(name).items() if place[1].exists()]
        if not here:
            here = [("download", fetch.download(dataset, asked=asked))]
        source, path = here[0]
        path = path.resolve()
        arrays, sha256 = formats.read_npz(dataset, path)
        origin = {"sha256": sha256, "source": source, "path": str(path)}
    return _with_test_part(dataset, arrays), origin


def _with_test_part(dataset: DataSet, arrays: Arrays) -> Arrays:
    """The arrays, of which a fifth is for the test where no test part is published."""
    if "x_test" in arrays:
        return arrays
    n_test = round(len(arrays["x_train"]) / 5)
    return _divided(dataset, arrays, n_test, "test")


def notice(name: str, *, fallback: str | None = None) -> str:
    """Notice about the data set that would be loaded, see `Split.notice`, or about the
    fallback that stands in where it cannot be had, and why.

    Raises: as :func:`load`; for a damaged file all the same.
    """
    require_known(name, *([fallback] if fallback else []))
    try:
        return _notice(_data_set(name), origin(name))
    except DataUnavailable as error:
        if fallback is None:
            raise
        said = f"{fallback} stands in for {name}, as {error}"
        of_fallback = notice(fallback)
        return f"{said}; {of_fallback}" if of_fallback else said


def _notice(dataset: DataSet, origin: dict[str, str | None]) -> str:
    """Notice about the content."""
    if dataset.notice:
        return dataset.notice
    sha256 = origin["sha256"]
    if dataset.content_sha256 in (None, sha256):
        return ""
    return f"{origin['path']} differs from the published {dataset.name}, sha256 {sha256}"


def _drawn_in_groups(group: np.ndarray, y: np.ndarray, n: int) -> np.ndarray:
    """Which examples leave: whole groups, drawn by the class of their first example, until their
    number is n or, by part of a group, more.
    """
    _, first, member = np.unique(group, return_index=True, return_inverse=True)
    order = stratified_order(len(first), y[first])
    sizes = np.bincount(member)[order]
    before = np.cumsum(sizes) - sizes  # examples that the groups in front have
    return np.isin(member, order[before < n])
