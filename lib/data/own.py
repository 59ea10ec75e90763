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
import copy
import csv
import hashlib
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .._boundary import check_whole, extra, refusing_damage
from .formats import Arrays, DataSet, content_sha256

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
DIGEST = 12  # hexadecimal digits of the sha256 in a name
ENDINGS = (".npz", *TABLES)
OF_TEXT = ("encoding", "encoding_errors", "compression", "skiprows", "comment", "storage_options")
SEPARATORS = ",;\t|"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.I)
CODE = re.compile(r"[+-]?0\d")  # 007 is not 7
NAMELESS = re.compile(r"(Unnamed: )?\d+")  # as pandas names such a column
MISSING = re.compile(r"Unnamed: \d+|\?|#?N/?A|n/a|<NA>|-?[Nn]a[Nn]|NULL|null|None")
IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
PARTS = {"train", "training", "valid", "val", "validation", "dev", "eval", "test", "testing"}
GREY = ("1", "L", "LA")  # modes of pillow

TABLE = re.compile(rf"(.+?(?:{'|'.join(map(re.escape, TABLES))}))(?::(.*))?", re.I | re.S)
FOLDER = re.compile(r"(.*?)(?::(\d+))?", re.S)
MARKED = re.compile(rf"(.*)#([0-9a-f]{{{DIGEST}}})", re.S)

Found = tuple[DataSet, Arrays]
Row = Callable[[int], str]  # how an example is named in a message


# ------------------------------------------------------------------------------ paths as names


def is_path(name: str) -> bool:
    """True if a name of a data set is a path of one's own data."""
    return "/" in name or _parts(name)[0].lower().endswith(ENDINGS)


def named(name: str) -> str:
    """A name as it is; of a path of one's own data, absolute and with the digest of what it holds.

    Raises: ValueError if the data cannot be used, see :func:`read`.
    """
    if not is_path(name):
        return name
    path, option, digest = _parts(name)
    digest = digest or read(name)[2]["sha256"][:DIGEST]
    option = option and f":{option}"
    return f"{Path(path).expanduser().absolute()}{option}#{digest}"


def identity(name: str) -> str:
    """Identity of a data set in the hash of a run: the name, or the digest of one's own data,
    which may lie anywhere.
    """
    _, _, digest = _parts(name) if is_path(name) else ("", "", "")
    return f"#{digest}" if digest else name


def label(name: str) -> str:
    """How a data set is written: one's own by the last part of its path."""
    return Path(_parts(name)[0]).name if is_path(name) else name


def is_there(name: str) -> bool:
    """True if there is something at a path."""
    return Path(_parts(name)[0]).expanduser().exists()


def read(name: str) -> tuple[DataSet, Arrays, dict[str, str]]:
    """Contents of a path, read once until a file changes, with its sha256, source and path.

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


def misnamed(name: str) -> str:
    """Advice for a name that is no path of data, if something like it exists; else empty."""
    path, option, _ = _parts(name)
    if path and Path(path).is_dir():
        return f"{path} is a folder: a slash says so, as {path}/{option and ':'}{option}"
    file = path if Path(path).is_file() else path.rpartition(":")[0]
    if Path(file).is_file() and not file.lower().endswith(ENDINGS):
        listed = ", ".join(ENDINGS)
        return f"{file} is there, but ends in none of {listed}: rename a table, or use from_csv"
    return ""


def _check_there(path: Path) -> None:
    if not path.exists():
        nothing = f"{path} is not there: give the path of a table, a folder or an .npz"
        raise ValueError(misnamed(str(path)) or nothing)


def _parts(name: str) -> tuple[str, str, str]:
    """Path, option and digest of a name; the last two may be empty."""
    marked = MARKED.fullmatch(name)
    rest, digest = marked.groups() if marked else (name, "")
    path, option = (TABLE.fullmatch(rest) or FOLDER.fullmatch(rest)).groups(default="")
    return path, option, digest


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
        raise ValueError(misnamed(str(path)))
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
    dtype = options.get("dtype")
    if not isinstance(dtype, Mapping):  # one for all columns, or none
        dtype = {} if dtype is None else defaultdict(lambda kind=dtype: kind)
    dtype = copy.copy(dtype)
    dtype[target] = str  # numbers would make one class of 007 and 7
    with (
        refusing_damage(
            lambda error: (
                f"{path} cannot be read as a table in UTF-8: {str(error).strip()}: mend it, or give"
                " from_csv encoding=, sep= or, for comments above the names, comment= or skiprows="
            ),
            (OSError, EOFError, ValueError, csv.Error, pd.errors.ParserWarning),
        ),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("error", "Length of header")  # rows longer than the names
        warnings.filterwarnings("ignore", "Falling back|Both a converter and dtype")
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)
        if not {"sep", "delimiter", "dialect"} & options.keys():
            options["sep"] = _separator(path, options)
        frame = pd.read_csv(path, **{"index_col": False} | options | {"dtype": dtype})
    is_told = options.keys() & {"header", "names"}
    if not is_told and all(_may_be_value(str(name), frame[name], options) for name in frame):
        raise ValueError(
            f"{path} has numbers in its first line, which looks like an example: add a line of"
            " names, or use from_csv(..., header=None), with columns 0 to"
            f" {len(frame.columns) - 1}; if these are names, header=0"
        )
    nameless = [name for name in frame if NAMELESS.fullmatch(str(name))]
    empty = [name for name in nameless if frame[name].isna().all()]
    features = frame.drop(columns=empty)
    columns = [*map(str, features)] or [""]
    if columns[0].startswith("Unnamed:"):
        raise ValueError(
            f"{path} has a first column without a name: delete it, name it, or give"
            " index_col=0 if it numbers the rows"
        )
    if target not in features:
        listed = ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "")
        asked = f"no column {target!r}" if target is not None else "no column of classes chosen"
        raise ValueError(
            f"{path} has {asked}: name one, as table.csv:{columns[-1]}; it has {listed}; if line 1"
            " is a comment, give from_csv comment= or skiprows="
        )
    if f"{target}.1" in features:  # as pandas calls the second of one name
        raise ValueError(f"{path} has the column {target} twice, or {target}.1: rename one")
    y = _classes_of_column(features.pop(target)).to_numpy()
    if features.columns.empty:
        raise ValueError(f"{path} has no column besides {target}: if it has, give from_csv sep=")
    notice = _said(path, {"columns have neither name nor values and are left out": empty})

    def row(i: int) -> str:
        return f"{path}, row {i + 1} of the data"

    return checked(features, y, str(path), row=row, columns=[*features], notice=notice)


def _separator(path: Path, options: Mapping[str, Any]) -> str:
    """The separator that cuts the names, and most of the first lines alike; blanks if none does."""
    import pandas as pd

    whole = dict(sep="\x1f", header=None, quoting=csv.QUOTE_NONE, dtype=str, na_filter=False)
    kept = {key: options[key] for key in OF_TEXT if key in options}
    lines = pd.read_csv(path, nrows=50, **whole, **kept)[0]  # each a cell
    n_cells = {}
    for separator in SEPARATORS.replace(options.get("decimal", "."), ""):
        rows = csv.reader(lines, delimiter=separator, quotechar=options.get("quotechar", '"'))
        widths = [len(row) for row in rows]
        usual = max(widths, key=widths.count)
        if usual > 1:
            n_cells[separator] = widths[0] > 1, usual * widths.count(usual)
    return max(n_cells, key=n_cells.get, default=r"\s+")


def _may_be_value(name: str, column: Any, options: Mapping[str, Any]) -> bool:
    """True if the name of a column looks like one more value of it: a number above numbers, text
    that stands below it again or above text that differs from row to row, or nothing.
    """
    import pandas as pd

    cells = [name.strip(), name.rpartition(".")[0].strip()]  # pandas adds .1 to the second of one
    is_above_numbers = pd.to_numeric(column, errors="coerce").notna().any()
    numbers = pd.Series(cells).str.replace(options.get("thousands") or "", "", regex=False)
    numbers = numbers.str.replace(options.get("decimal", "."), ".", regex=False)
    if is_above_numbers and pd.to_numeric(numbers, errors="coerce").notna().any():
        return True
    text = column.astype(str).str.strip()
    missing = pd.Series([options.get("na_values", [])]).explode().astype(str).tolist()
    if MISSING.fullmatch(name) or name in missing or text.isin(cells).any():
        return True
    return not is_above_numbers and text.nunique() > len(text) / 2


def _classes_of_column(text: Any) -> Any:
    """The series of labels as numbers, or as text where numbers would make one of 007 and 7."""
    import pandas as pd

    numbers = pd.to_numeric(text, errors="coerce")
    if numbers.isna().any() or numbers.nunique() < text.nunique():
        return text
    is_written_so = numbers.dtype.kind in "iu" and (numbers.astype(str) == text).all()
    return numbers if numbers.dtype.kind == "f" or is_written_so else text


def _said(path: Path, found: Mapping[str, Sequence[Any]]) -> str:
    """Words about the columns or files that were found: their number and the first."""
    said = [f"{len(these)} {what}, as {these[0]}" for what, these in found.items() if these]
    return f"{path}: {'; '.join(said)}" if said else ""


def folder(path: Path, side: int | None) -> Found:
    """Images, one folder a class; see `sets.from_folder`."""
    try:
        from PIL import ImageOps
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{path} holds images, and pillow, by which they are read, is not installed:"
            " pip install pillow"
        ) from error

    if not path.is_dir():
        raise ValueError(f"{path} is no folder: give one with a folder of images for each class")
    if side is not None:
        check_whole("side", side, least=1)
    hidden = (".", "__MACOSX")  # the second of a zip file from a Mac
    classes = sorted(
        one for one in path.iterdir() if one.is_dir() and not one.name.startswith(hidden)
    )
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
            if not (file.is_dir() or is_hidden):
                (of_class if file.suffix.lower() in IMAGES else left_out).append(file)
        if not of_class:
            raise ValueError(f"{one} has no image ({', '.join(IMAGES)}): add some or delete it")
        files += of_class
        y += [one.name] * len(of_class)
    images, transparent, further = [], [], []
    for file in files:
        image, is_transparent, n_further = _image(file)
        images.append(ImageOps.fit(image, (side, side)) if side else image)
        transparent += [file.name] * is_transparent
        further += [file.name] * n_further
        if images[-1].size != images[0].size:
            raise ValueError(
                f"{file} has {image.width} x {image.height} pixels, {files[0].name}"
                f" {images[0].width} x {images[0].height}: give a side that all are fitted to, as"
                f" {path.name}/:64"
            )
    mode = "L" if all(image.mode == "L" for image in images) else "RGB"
    x = np.stack([np.asarray(image.convert(mode)) for image in images])
    if mode == "RGB":
        x = np.moveaxis(x, -1, 1)  # (N, 3, height, width)
    found = {
        "files are no images and left out": [file.name for file in left_out],
        "images are transparent and laid on white": transparent,
        "images are left out, as only the first of a file is taken": further,
    }
    notice = _said(path, found)
    return checked(x, np.array(y), str(path), row=lambda i: str(files[i]), notice=notice)


def _image(file: Path) -> tuple[Any, bool, int]:
    """An image upright, grey or in colours; whether parts of it were transparent, which are white
    now; and the number of further images in its file.

    Raises: ValueError that names the file, whatever keeps the image from being read.
    """
    from PIL import Image, ImageOps

    with (
        refusing_damage(
            lambda error: f"{file} is no readable image ({error}): replace or delete it",
            (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning),
        ),
        warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
        Image.open(file) as stored,
    ):
        kept_as = str(stored.tile[0][3]) if stored.tile else ""
        if stored.mode.startswith(("I", "F")) or ";16" in kept_as or "65535" in kept_as:
            raise ValueError(
                f"its mode is {stored.mode}, of more than 8 bits a channel: scale it to 0 to 255"
                " and save it as uint8, or give all to from_arrays as floats in [0, 1]"
            )
        scale = {"L;2": 85, "L;4": 17}.get(kept_as)
        if scale and "transparency" in stored.info:  # of few bits: pillow scales the pixels alone
            stored.info["transparency"] *= scale
        image, is_transparent = ImageOps.exif_transpose(stored), False
        if image.has_transparency_data:
            image, above = Image.new("RGBA", image.size, "white"), image.convert("RGBA")
            image.alpha_composite(above)
            is_transparent = above.getchannel("A").getextrema()[0] < 255
        image = image.convert("L" if stored.mode in GREY else "RGB")
        return image, is_transparent, getattr(stored, "n_frames", 1) - 1


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
    raise ValueError(f"{path} holds {', '.join(arrays)}: give x and y, or x_test and y_test too")


# ------------------------------------------------------------------------------------ the checks


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
    names = ([*getattr(table, "columns", ())] for table in (x, x_test))  # of pandas
    for i, (one, other) in enumerate(zip(*names, strict=False)):
        if one != other:
            raise ValueError(
                f"{source}: column {i} is {one!r} in x and {other!r} in x_test: give both tables"
                " the same columns in the same order"
            )
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
            for i in np.flatnonzero(~np.isin(labels, classes))[:1]:
                raise ValueError(
                    f"{row_of(i)}: the label {labels[i]!s} is not one of the training part"
                )
            if values.shape[1:] != arrays["x_train"].shape[1:]:
                shapes = f"{values.shape[1:]}, of x {arrays['x_train'].shape[1:]}"
                raise ValueError(f"{source}: an example of x_test has shape {shapes}: make it one")
        key = part or "_train"
        arrays[f"x{key}"] = values
        arrays[f"y{key}"] = np.searchsorted(classes, labels).astype(np.int64)
    kinds = {array.dtype.type for key, array in arrays.items() if key.startswith("x")}
    if len(kinds) > 1:
        raise ValueError("x and x_test are images of different types: give both as uint8 or float")
    dataset = DataSet(
        source,
        shape=arrays["x_train"].shape[1:],
        labels=range(len(classes)),
        dtype=arrays["x_train"].dtype.type,
        top=255 if kinds == {np.uint8} else None,
        has_test="x_test" in arrays,
        classes=tuple(map(str, classes)),
        notice=_noticed(arrays["x_train"], source, columns, notice),
    )
    return dataset, arrays


def _array(values: Any, name: str) -> np.ndarray:
    if np.ma.is_masked(values):
        raise ValueError(f"{name} has masked entries: fill them in or leave their rows out")
    if hasattr(values, "toarray"):  # of SciPy
        raise ValueError(f"{name} is a sparse {type(values).__name__}: give it as .toarray()")
    if isinstance(values, torch.Tensor):
        if values.layout != torch.strided:
            raise ValueError(f"{name} is a sparse tensor: give it as .to_dense()")
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} is no array ({error}): give rows of one length") from error


def _features(x: Any, name: str, row: Row, columns: Sequence[Any]) -> np.ndarray:
    """(N, features...) uint8 images, or float32."""
    given, x = x, _array(x, name)
    if x.dtype.kind not in "buif" and x.ndim == 2 and hasattr(given, "iloc"):  # of pandas
        import pandas as pd

        numbers = given.apply(pd.to_numeric, errors="coerce").where(given.notna())
        for i, j in np.argwhere((numbers.isna() & given.notna()).to_numpy())[:1]:
            raise ValueError(
                f"{row(i)}: {given.columns[j]} is {given.iat[i, j]!r}, not a number: replace it,"
                " or leave the column out"
            )
        x = numbers.to_numpy(np.float64, na_value=np.nan)
    if x.dtype.kind not in "buif":
        raise ValueError(f"{name} is of type {x.dtype}, not numeric: turn text into numbers first")
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(f"{name} has shape {x.shape}: give (N, features...), a row an example")
    if x.ndim == 4 and x.shape[1] > 4 >= x.shape[3]:
        raise ValueError(f"{name} has shape {x.shape}, channels last: give x.transpose(0, 3, 1, 2)")
    with np.errstate(over="ignore"):
        numbers = x if x.dtype == np.uint8 else x.astype(np.float32)
    for place in map(tuple, np.argwhere(~np.isfinite(numbers))[:1]):
        where = ", ".join(map(str, place[1:]))
        feature = columns[place[1]] if columns else f"feature {where}"
        asked = "scale it" if np.isfinite(x[place]) else "fill it in or leave the row out"
        raise ValueError(f"{row(place[0])}: {feature} is {x[place]}: {asked}")
    if x.ndim == 2:
        _check_float32(x, numbers, name, columns)
    elif x.dtype != np.uint8 and not 0 <= x.min() <= x.max() <= 1:
        raise ValueError(
            f"{name} has pixels in [{x.min()}, {x.max()}] of type {x.dtype}: give [0, 1], or uint8;"
            " what is no image, as a time series, give as rows, np.reshape(x, (len(x), -1))"
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
        how = "ravel()" if y.size == max(y.shape, default=0) else "argmax(1) of one-hot rows"
        raise ValueError(
            f"{name} has shape {y.shape}, not ({n},): give a label a row, as np.asarray(y).{how}"
        )
    if len(y) != n:
        raise ValueError(f"{name} has {len(y)} labels, but there are {n} examples: give one each")
    if y.dtype.kind in "OfU":
        with extra("data"):
            import pandas as pd

        for i in np.flatnonzero(pd.isna(y) | (y == ""))[:1]:
            raise ValueError(
                f"{row(i)}: the label is missing: fill it in or leave it out; if it is the"
                " word NA or None in a file, give from_csv(..., keep_default_na=False)"
            )
    if y.dtype.kind == "O":
        kinds = {type(label) for label in y.tolist()}
        is_text = all(issubclass(kind, str) for kind in kinds)
        if not is_text and (len(kinds) > 1 or not np.isscalar(y[0])):
            listed = " and ".join(sorted(kind.__name__ for kind in kinds))
            raise ValueError(f"{name} holds {listed}: give whole numbers or text throughout")
        y = np.array(y.tolist())
    if y.dtype.kind == "f":
        for i in np.flatnonzero(~(np.abs(y) < 2**53) | (y % 1 != 0))[:1]:
            raise ValueError(f"{row(i)}: the label {y[i]} is no class: give whole numbers or text")
        return y.astype(np.int64)
    if y.dtype.kind not in "buiU":
        text = "label.decode()" if y.dtype.kind == "S" else "str(label)"
        raise ValueError(
            f"{name} is of type {y.dtype}: give whole numbers or text, as [{text} for label in y]"
        )
    return y


def _classes(y: np.ndarray, name: str, row: Row) -> np.ndarray:
    """The classes, in their order."""
    classes, first, counts = np.unique(y, return_index=True, return_counts=True)
    if len(classes) == 1:
        raise ValueError(f"{name} has one class only, {classes[0]!s}: give two at least")
    if len(classes) > len(y) / 2:
        raise ValueError(
            f"{name} has {len(classes)} different labels in {len(y)} rows, so they are no classes:"
            " choose others, or group them"
        )
    if classes.dtype.kind == "U":
        known: dict[str | Decimal, str] = {}
        for i, label in enumerate(classes.tolist()):
            plain = " ".join(label.split())
            is_number = NUMBER.fullmatch(plain) and not CODE.match(plain)
            other = known.setdefault(Decimal(plain) if is_number else plain, label)
            if other != label:
                raise ValueError(
                    f"{row(first[i])}: the label {label!r} differs from {other!r} by blanks or as"
                    " a number is written, and by nothing else: write both alike, or codes with a"
                    " letter"
                )
    for i in np.flatnonzero(counts == 1)[:1]:
        raise ValueError(
            f"{row(first[i])}: the label {classes[i]!s} is the only one of its class: correct it,"
            " or add examples"
        )
    return classes


def _noticed(x: np.ndarray, source: str, columns: Sequence[Any], notice: str) -> str:
    """The notice, with the features that are the same in all rows of a table. Raises ValueError if
    all are.
    """
    same = (x == x[:1]).all(axis=0)
    if same.all():
        cause = f" ({notice})" if notice else ""
        raise ValueError(
            f"{source}: all rows have the same features, so nothing can be learnt{cause}"
        )
    if x.ndim > 2 or not same.any():  # corners of images are often black
        return notice
    numbers = np.flatnonzero(same)
    named = [str(columns[j]) if columns else f"feature {j}" for j in numbers[:5]]
    more = ", ..." if len(numbers) > 5 else ""
    useless = f"{source}: the same in all rows, so without use: {', '.join(named)}{more}"
    return f"{notice}; {useless}" if notice else useless
