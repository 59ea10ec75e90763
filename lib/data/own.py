"""Data of one's own: arrays, a table, a folder of images; checked, so that no mistake trains.

A path is a data set too, wherever a name is one::

    table.csv:species     the column "species" holds the classes, all others are features
    pets/:64              one folder a class; images are fitted into 64 x 64 pixels
    pets/                 the same, of images that have one size
    mine.npz              arrays x and y, and x_test and y_test if there is a test part

In a run's configuration the path is followed by ``#`` and the beginning of the sha256 of what it
holds, so that a file that changes does not pass for the one that was trained on.
"""

import contextlib
import hashlib
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..files import refusing_damage
from ..names import check_whole, extra
from .formats import Arrays, DataSet, content_sha256

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
DIGEST = 12  # hexadecimal digits of the sha256 in a name
SEPARATORS = ",;\t|"
IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision
PARTS = {"train", "training", "valid", "val", "validation", "dev", "eval", "test", "testing"}
GREY, COLOUR = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")

TABLE = re.compile(rf"(.+?(?:{'|'.join(map(re.escape, TABLES))}))(?::(.*))?", re.I | re.S)
FOLDER = re.compile(r"(.+?)(?::(\d+))?", re.S)
MARKED = re.compile(rf"(.*)#([0-9a-f]{{{DIGEST}}})", re.S)

Found = tuple[DataSet, Arrays]
Row = Callable[[int], str]  # how an example is named in a message


# ------------------------------------------------------------------------------ paths as names


def is_path(name: str) -> bool:
    """Whether a name of a data set is a path of one's own data."""
    path, _, _ = _parts(name)
    return "/" in name or path.lower().endswith((*TABLES, ".npz"))


def named(name: str) -> str:
    """A name as it is; of a path of one's own data, absolute and with the digest of what it holds.

    Raises: ValueError if the data cannot be used, see :func:`read`.
    """
    if not is_path(name):
        return name
    path, option, digest = _parts(name)
    if not digest:
        _, _, origin = read(name)
        digest = origin["sha256"][:DIGEST]
    option = option and f":{option}"
    return f"{Path(path).expanduser().absolute()}{option}#{digest}"


def identity(name: str) -> str:
    """What the hash of a run covers of its data set: the name, or the digest of one's own data,
    which may lie anywhere.
    """
    _, _, digest = _parts(name) if is_path(name) else ("", "", "")
    return f"#{digest}" if digest else name


def label(name: str) -> str:
    """How a data set is written: one's own by the last part of its path."""
    return Path(_parts(name)[0]).name if is_path(name) else name


def is_there(name: str) -> bool:
    """Whether there is something at a path."""
    path, _, _ = _parts(name)
    return Path(path).expanduser().exists()


def read(name: str) -> tuple[DataSet, Arrays, dict[str, str]]:
    """What a path holds, read once until a file changes, with its sha256, source and path.

    Raises: ValueError, naming file and row, if the data cannot be used, or are not those of the
        digest in the name.
    """
    text, option, digest = _parts(name)
    path = Path(text).expanduser().absolute()
    _check_there(path)
    version = []
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        with contextlib.suppress(OSError):  # as of a link that leads nowhere: its reader names it
            status = file.stat()
            version.append((str(file), status.st_mtime_ns, status.st_size, status.st_ino))
    dataset, arrays, sha256 = _read(path, option, tuple(version))
    if not sha256.startswith(digest):
        raise ValueError(
            f"{path} is not what was trained on (its sha256 begins with {sha256[:DIGEST]}, not"
            f" {digest}): restore it, or leave out what follows # in its name"
        )
    return dataset, arrays, {"sha256": sha256, "source": "own", "path": str(path)}


def _check_there(path: Path) -> None:
    if not path.exists():
        raise ValueError(f"{path} is not there: give the path of a table, a folder or an .npz")


def _parts(name: str) -> tuple[str, str, str]:
    """Path, option and digest of a name; the last two may be empty."""
    marked = MARKED.fullmatch(name)
    rest, digest = marked.groups() if marked else (name, "")
    matched = TABLE.fullmatch(rest) or FOLDER.fullmatch(rest)
    if matched is None:
        return rest, "", digest
    return matched[1], matched[2] or "", digest


@lru_cache(maxsize=2)
def _read(path: Path, option: str, version: tuple) -> tuple[DataSet, Arrays, str]:
    if path.is_dir():
        found = folder(path, int(option) if option else None)
    elif path.suffix.lower() == ".npz":
        if option:
            raise ValueError(f"{path} has no images to fit to a side: leave out :{option}")
        found = _npz(path)
    elif path.name.lower().endswith(TABLES):
        found = table(path, option or None)
    else:
        raise ValueError(f"{path} is no folder and ends in none of .npz, {', '.join(TABLES)}")
    return *found, sha256_of(found[1])


def sha256_of(arrays: Arrays) -> str:
    """Hexadecimal sha256 of one's own arrays: rows of 64 numbers are not images of 8 x 8."""
    forms = "".join(f"{array.dtype}{array.shape}" for array in arrays.values())
    return hashlib.sha256(f"{forms} {content_sha256(arrays)}".encode()).hexdigest()


# ---------------------------------------------------------------------------------- the readers


def table(path: Path, target: str | int | None, **options: Any) -> Found:
    """The rows of a table, whose column ``target`` holds the classes; see `sets.from_csv`."""
    with extra("data"):
        import pandas as pd  # a third of a second, which plain training need not wait for

    _check_there(path)
    in_pieces = {"chunksize", "iterator"} & options.keys()
    if in_pieces:
        raise ValueError(f"{path} is read as a whole: leave out {', '.join(sorted(in_pieces))}")
    if options.get("engine") == "pyarrow":
        raise ValueError(f"{path} cannot be read by the engine pyarrow: leave out engine")

    def says(error: BaseException) -> str:
        reason = str(error).strip() or type(error).__name__
        return (
            f"{path} cannot be read as a table in UTF-8: {reason}: mend the file, or give"
            " encoding= or sep= to from_csv"
        )

    kinds = (OSError, EOFError, ValueError, pd.errors.ParserWarning)
    with refusing_damage(says, kinds):
        usual = {"index_col": False, "dtype": {target: str}}
        if not {"sep", "delimiter"} & options.keys():
            usual["sep"] = _separator(path)
        options = usual | options
        separator = options.get("sep", options.get("delimiter"))
        if not {"engine", "skipfooter"} & options.keys() and len(separator or "") == 1:
            options = {"low_memory": False} | options  # other engines than that in C refuse it
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            frame = pd.read_csv(path, **options)  # the warning: rows longer than the names
    columns = [*frame.columns]
    if options.get("header", 0) is not None:
        if all(_is_number(str(column)) for column in columns):
            raise ValueError(
                f"{path} has numbers in its first line, where names of columns belong: add them, or"
                " use from_csv(..., header=None)"
            )
        if str(columns[0]).startswith("Unnamed:"):
            raise ValueError(
                f"{path} has a first column without a name, as numbers of rows: delete or name it"
            )
    if target not in columns:
        listed = ", ".join(map(str, columns[:20])) + (", ..." if len(columns) > 20 else "")
        asked = f"no column {target!r}" if target is not None else "no column of classes chosen"
        raise ValueError(
            f"{path} has {asked}: name one, as table.csv:{columns[-1]}; it has {listed}"
        )
    features = frame.drop(columns=target)
    if f"{target}.1" in columns:  # as pandas calls the second of one name
        raise ValueError(
            f"{path} has the column {target} twice, or one named {target}.1: rename one, or delete"
            " it"
        )
    if features.columns.empty:
        raise ValueError(f"{path} has no column besides {target}: is its separator {separator!r}?")

    def row(i: int) -> str:
        return f"{path}, row {i + 1} of the data"

    numbers = features.apply(pd.to_numeric, errors="coerce")
    text = numbers.isna() & features.notna()
    for i, j in np.argwhere(text.to_numpy())[:1]:
        raise ValueError(
            f"{row(i)}: {features.columns[j]} is {features.iat[i, j]!r}, not a number: replace it,"
            " or leave the column out"
        )
    y = _classes_of_column(frame[target]).to_numpy()
    return checked(numbers.to_numpy(np.float64), y, str(path), row=row, columns=[*features.columns])


def _classes_of_column(text: Any) -> Any:
    """The series of labels as numbers, or as text where numbers would make one of 007 and 7."""
    import pandas as pd

    numbers = pd.to_numeric(text, errors="coerce")
    if numbers.isna().any() or numbers.nunique() < text.nunique():
        return text
    is_written_so = numbers.dtype.kind in "iu" and (numbers.astype(str) == text).all()
    return numbers if numbers.dtype.kind == "f" or is_written_so else text


def _separator(path: Path) -> str:
    """The most frequent of the usual separators in the line of names."""
    import gzip

    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        line = file.readline()
    return max(SEPARATORS, key=line.count)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def folder(path: Path, side: int | None) -> Found:
    """Images, one folder a class; see `sets.from_folder`."""
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{path} holds images, and pillow, by which they are read, is not installed:"
            " pip install pillow"
        ) from error

    if not path.is_dir():
        raise ValueError(
            f"{path} is no folder: give one that has a folder of images for each class"
        )
    if side is not None:
        check_whole("side", side, least=1)
    folders = (one for one in path.iterdir() if one.is_dir() and one.name[0] != ".")
    classes = sorted(one for one in folders if one.name != "__MACOSX")  # of a zip file from a Mac
    if not classes:
        raise ValueError(f"{path} has no folder in it: give each class a folder of its images")
    if {one.name.lower() for one in classes} <= PARTS:
        names = ", ".join(one.name for one in classes)
        raise ValueError(f"{path} has the parts {names}, not classes: give the folder of one part")
    files, y, left_out = [], [], []
    for one in classes:
        of_class = []
        for file in sorted(one.rglob("*")):
            is_hidden = any(part.startswith(".") for part in file.relative_to(one).parts)
            if file.is_dir() or is_hidden:
                continue
            (of_class if file.suffix.lower() in IMAGES else left_out).append(file)
        if not of_class:
            raise ValueError(f"{one} has no image ({', '.join(IMAGES)}): add some or delete it")
        files += of_class
        y += [one.name] * len(of_class)
    images = []
    for file in files:
        with _readable(file), Image.open(file) as image:
            if image.mode not in (*GREY, *COLOUR):
                raise ValueError(f"its mode is {image.mode}, not 8 bits a channel")
            images.append(_fitted(image, side))
    is_grey = all(image.mode == "L" for image in images)
    sizes = [image.size for image in images]
    for file, size in zip(files, sizes, strict=True):
        if size != sizes[0]:
            raise ValueError(
                f"{file} has {size[0]} x {size[1]} pixels, {files[0].name} {sizes[0][0]} x"
                f" {sizes[0][1]}: give a side that all are fitted to, as {path.name}/:64"
            )
    mode = "L" if is_grey else "RGB"
    x = np.stack([np.asarray(image.convert(mode)) for image in images])
    if not is_grey:
        x = np.moveaxis(x, -1, 1)  # (N, 3, height, width)
    notice = ""
    if left_out:
        notice = f"{path}: {len(left_out)} files are no images and left out, as {left_out[0].name}"
    y = np.array(y)
    return checked(x, y, str(path), row=lambda i: str(files[i]), notice=notice)


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Whatever keeps an image from being read is a ValueError that names the file."""
    from PIL import Image

    kinds = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning)
    with (
        refusing_damage(
            lambda error: f"{file} is no readable image ({error}): replace or delete it", kinds
        ),
        warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
    ):
        yield


def _fitted(image: Any, side: int | None) -> Any:
    """The image upright, grey or in colours; with a side, its middle square scaled to that."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    image = image.convert("L" if image.mode in GREY else "RGB")
    return image if side is None else ImageOps.fit(image, (side, side))


def _npz(path: Path) -> Found:
    """The arrays of a file."""
    with (
        refusing_damage(lambda error: f"{path} is not a whole .npz without pickles: {error}"),
        np.load(path, allow_pickle=False) as file,
    ):
        arrays = dict(file)
    names = {key.removesuffix("_train"): array for key, array in arrays.items()}
    is_once = len(names) == len(arrays)  # not both x and x_train
    if is_once and {"x", "y"} <= names.keys() <= {"x", "y", "x_test", "y_test"}:
        return checked(**names, source=str(path))
    listed = ", ".join(arrays) or "nothing"
    raise ValueError(f"{path} holds {listed}: give x and y, and x_test and y_test if it has them")


# ------------------------------------------------------------------------------------ the checks


def _check_columns(x: Any, x_test: Any, source: str) -> None:
    """Refuse two tables of pandas whose features are not the same in the same order."""
    if not (hasattr(x, "columns") and hasattr(x_test, "columns")):
        return
    if len(x.columns) == len(x_test.columns) and not x.columns.equals(x_test.columns):
        i = int((x.columns != x_test.columns).argmax())
        raise ValueError(
            f"{source}: column {i} is {x.columns[i]!r} in x and {x_test.columns[i]!r} in x_test:"
            " give both tables the same columns in the same order"
        )


def checked(
    x: Any,
    y: Any,
    source: str,
    *,
    x_test: Any = None,
    y_test: Any = None,
    row: Row | None = None,
    columns: Sequence[Any] = (),
    notice: str = "",
) -> Found:
    """Examples and labels as a data set that `sets` divides; see `sets.from_arrays`.

    Args:
        x, y, x_test, y_test: as given.
        source: of the data, named in messages.
        row: name of an example in messages; None: its index in the array.
        columns: names of the features.
        notice: what is to be said of the data.
    Raises: ValueError naming source and row if something cannot be trained on.
    """
    if (x_test is None) != (y_test is None):
        raise ValueError(f"{source}: give x_test and y_test, or neither of them")
    _check_columns(x, x_test, source)
    arrays: Arrays = {}
    examples = {"": (x, y)} if x_test is None else {"": (x, y), "_test": (x_test, y_test)}
    classes: np.ndarray = np.empty(0)
    for part, (values, labels) in examples.items():
        row_of = row or (lambda i, part=part: f"{source}, row {i} of x{part} and y{part}")
        values = _features(values, f"{source}: x{part}", row_of, columns)
        labels = _labels(labels, len(values), f"{source}: y{part}", row_of)
        if part == "":
            classes = _classes(labels, f"{source}: y", row_of)
        else:
            if (labels.dtype.kind == "U") != (classes.dtype.kind == "U"):
                text, numbers = ("y", "y_test") if classes.dtype.kind == "U" else ("y_test", "y")
                raise ValueError(
                    f"{source}: {text} holds text and {numbers} numbers: give one kind in both"
                )
            strange = np.flatnonzero(~np.isin(labels, classes))
            if strange.size:
                i = strange[0]
                raise ValueError(
                    f"{row_of(i)}: the label {labels[i]!s} is not one of the training part"
                )
            if values.shape[1:] != arrays["x_train"].shape[1:]:
                shapes = f"{values.shape[1:]}, of x {arrays['x_train'].shape[1:]}"
                raise ValueError(
                    f"{source}: an example of x_test has shape {shapes}: make them equal"
                )
        key = part or "_train"
        arrays[f"x{key}"] = values
        arrays[f"y{key}"] = np.searchsorted(classes, labels).astype(np.int64)
    arrays, top = _of_one_type(arrays)
    said = [notice] if notice else []
    said += _constant(arrays["x_train"], source, columns)
    dataset = DataSet(
        source,
        shape=arrays["x_train"].shape[1:],
        labels=range(len(classes)),
        dtype=arrays["x_train"].dtype.type,
        top=top,
        has_test="x_test" in arrays,
        classes=tuple(map(str, classes)),
        notice="; ".join(said),
    )
    return dataset, arrays


def _array(values: Any, name: str) -> np.ndarray:
    if np.ma.is_masked(values):
        raise ValueError(f"{name} has masked entries: fill them in or leave their rows out")
    if hasattr(values, "toarray"):  # of SciPy
        raise ValueError(f"{name} is a sparse {type(values).__name__}: give it as .toarray()")
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} is no array ({error}): give rows of one length") from error


def _features(x: Any, name: str, row: Row, columns: Sequence[Any]) -> np.ndarray:
    """(N, features...) uint8 images, or float32."""
    given, x = x, _array(x, name)
    if x.dtype == object and hasattr(given, "columns"):  # of pandas: numbers beside truth values
        if all(getattr(dtype, "kind", "O") in "buif" for dtype in given.dtypes):
            x = given.to_numpy(np.float64, na_value=np.nan)
    if x.dtype.kind not in "buif":
        raise ValueError(f"{name} is of type {x.dtype}, not numeric: turn text into numbers first")
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(f"{name} has shape {x.shape}: give (N, features...), a row an example")
    if x.ndim == 4 and x.shape[1] > 4 >= x.shape[3]:
        raise ValueError(f"{name} has shape {x.shape}, channels last: give x.transpose(0, 3, 1, 2)")
    is_finite = np.isfinite(x)
    with np.errstate(over="ignore"):
        numbers = x if x.dtype == np.uint8 else x.astype(np.float32)
    fits = np.isfinite(numbers)
    if not fits.all():
        place = np.argwhere(~fits)[0]
        value, where = x[tuple(place)], ", ".join(map(str, place[1:]))
        feature = columns[place[1]] if columns else f"feature {where}"
        asked = "fill it in or leave the row out" if not is_finite[tuple(place)] else "scale it"
        raise ValueError(f"{row(place[0])}: {feature} is {value}: {asked}")
    if x.ndim == 2:
        _check_float32(x, numbers, name, columns)
    if x.ndim > 2 and x.dtype != np.uint8:
        low, high = x.min(), x.max()
        if low < 0 or high > 1:
            raise ValueError(
                f"{name} has pixels in [{low}, {high}] of type {x.dtype}: give [0, 1], or uint8"
            )
    return x if x.ndim > 2 and x.dtype == np.uint8 else numbers.astype(np.float32)


def _check_float32(x: np.ndarray, rounded: np.ndarray, name: str, columns: Sequence[Any]) -> None:
    """Raise ValueError where whole numbers of a column become equal in float32; of other numbers,
    of which a few always do, where half of them do.
    """
    for j in np.flatnonzero((x != rounded).any(axis=0)):
        n_given, n_left = len(np.unique(x[:, j])), len(np.unique(rounded[:, j]))
        is_whole = (x[:, j] % 1 == 0).all()
        if n_left < n_given and (is_whole or n_left <= n_given / 2):
            feature = columns[j] if columns else f"feature {j}"
            raise ValueError(
                f"{name}: {feature} has {n_given} different values, and {n_left} in float32:"
                " subtract its mean, or leave it out"
            )


def _labels(y: Any, n: int, name: str, row: Row) -> np.ndarray:
    """(N,) labels, whole numbers or text."""
    if isinstance(y, list | tuple) and 0 < sum(isinstance(label, str) for label in y) < len(y):
        raise ValueError(f"{name} holds text and other labels: give one kind throughout")
    y = _array(y, name)
    if y.ndim != 1:
        raise ValueError(
            f"{name} has shape {y.shape}, not ({n},): give a label a row, as argmax(1)"
        )
    if len(y) != n:
        raise ValueError(f"{name} has {len(y)} labels, but there are {n} examples: give one each")
    if y.dtype.kind in "OfU":
        with extra("data"):
            import pandas as pd

        is_missing = pd.isna(y) if y.dtype.kind == "f" else pd.isna(y) | (y == "")
        missing = np.flatnonzero(is_missing)
        if missing.size:
            raise ValueError(
                f"{row(missing[0])}: the label is missing: fill it in or leave it out; if it is the"
                " word NA or None in a file, give from_csv(..., keep_default_na=False)"
            )
    if y.dtype.kind == "f":
        fractions = np.flatnonzero(~(np.abs(y) < 2**53) | (y % 1 != 0))
        if fractions.size:
            i = fractions[0]
            raise ValueError(f"{row(i)}: the label {y[i]} is no class: give whole numbers or text")
        return y.astype(np.int64)
    if y.dtype.kind == "O":
        kinds = {type(label) for label in y.tolist()}
        if not all(issubclass(kind, str) for kind in kinds):
            listed = " and ".join(sorted(kind.__name__ for kind in kinds))
            raise ValueError(f"{name} holds {listed}: give whole numbers or text throughout")
        return y.astype(str)
    if y.dtype.kind not in "buiU":
        raise ValueError(f"{name} is of type {y.dtype}: give whole numbers or text")
    return y


def _classes(y: np.ndarray, name: str, row: Row) -> np.ndarray:
    """The classes, in their order."""
    classes, first, counts = np.unique(y, return_index=True, return_counts=True)
    if len(classes) == 1:
        raise ValueError(f"{name} has one class only, {classes[0]!s}: give two at least")
    if classes.dtype.kind == "U":
        plain = [" ".join(label.split()) for label in classes.tolist()]
        twins = np.setdiff1d(np.arange(len(classes)), np.unique(plain, return_index=True)[1])
        if twins.size:
            i = twins[0]
            raise ValueError(
                f"{row(first[i])}: the label {str(classes[i])!r} differs from another by blanks"
                " alone: remove them"
            )
    if len(classes) > len(y) / 2:
        raise ValueError(
            f"{name} has {len(classes)} different labels in {len(y)} rows, so they are no classes:"
            " choose another column, or group them"
        )
    alone = np.flatnonzero(counts == 1)
    if alone.size:
        i = alone[0]
        raise ValueError(
            f"{row(first[i])}: the label {classes[i]!s} is the only one of its class: correct it,"
            " or add examples"
        )
    return classes


def _of_one_type(arrays: Arrays) -> tuple[Arrays, int | None]:
    """The arrays, x of one type, and the largest pixel of whole numbers."""
    kinds = {array.dtype.type for key, array in arrays.items() if key.startswith("x")}
    if len(kinds) > 1:
        raise ValueError(
            "x and x_test are images of different types: give both as uint8, or as float"
        )
    return arrays, 255 if kinds == {np.uint8} else None


def _constant(x: np.ndarray, source: str, columns: Sequence[Any]) -> list[str]:
    """What is to be said of features that are the same in all rows of a table."""
    same = (x == x[:1]).all(axis=0)
    if same.all():
        raise ValueError(f"{source}: all rows have the same features, so nothing can be learnt")
    if x.ndim > 2 or not same.any():  # corners of images are often black
        return []
    numbers = np.flatnonzero(same)
    named = [str(columns[j]) if columns else f"feature {j}" for j in numbers[:5]]
    more = ", ..." if len(numbers) > 5 else ""
    return [f"{source}: the same in all rows, so without use: {', '.join(named)}{more}"]
