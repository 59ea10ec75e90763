"""Data of one's own: loaded as given, and refused where they would spoil a result."""

import errno
import re
import shutil
import struct
import sys
import zlib
from collections import defaultdict
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from numpy.testing import assert_array_equal
from PIL import Image

from lib import data
from lib.report import labels
from lib.runs.config import Run, from_fields


@pytest.fixture
def frame(rng):
    """60 rows of three kinds of flowers; the first feature numbers them."""
    kinds = np.array(["iris", "rose", "aster"])[np.arange(60) % 3]
    return pd.DataFrame({"number": range(60), "length": rng.normal(size=60), "kind": kinds})


@pytest.fixture
def desired(frame):
    """sha256 of what any table of these flowers holds."""
    return data.from_arrays(frame[["number", "length"]], frame["kind"]).sha256


@pytest.fixture
def csv(frame, tmp_path):
    frame.to_csv(tmp_path / "flowers.csv", index=False)
    return tmp_path / "flowers.csv"


def written(csv, frame, names, row):
    """The path of the table in this form: a line of names, and how a row is written."""
    csv.write_text("\n".join([names, *(row.format(*cells) for cells in frame.to_numpy())]))
    return csv


def refused(call, message):
    """The sentence by which a call is refused."""
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    return str(refusal.value)


@pytest.fixture
def pixels(rng):
    """Twenty grey images of 8 x 6 pixels."""
    return rng.integers(0, 256, (20, 6, 8), dtype=np.uint8)


@pytest.fixture
def pets(pixels, tmp_path):
    """A folder of these images, ten for each of two classes."""
    for i, image in enumerate(pixels):
        folder = tmp_path / "pets" / ("cat" if i < 10 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i:02}.png")
    return tmp_path / "pets"


def numbers(x):
    """The rows of the table that these examples are."""
    return x[:, 0].int().tolist()


# --------------------------------------------------------------------------------- what is loaded


def test_table_comes_back_with_its_classes(csv, frame):
    split = data.from_csv(csv, target="kind")
    assert split.classes == ("aster", "iris", "rose")
    assert sorted(numbers(split.x_train) + numbers(split.x_test)) == [*range(60)]
    for x, y in ((split.x_train, split.y_train), (split.x_test, split.y_test)):
        assert [split.classes[i] for i in y] == frame["kind"][numbers(x)].tolist()
        assert_array_equal(x[:, 1].numpy(), frame["length"][numbers(x)].to_numpy(np.float32))


def test_test_part_is_a_fifth_by_class_and_fixed(csv):
    split = data.from_csv(csv, target="kind", validation=12)
    for y, n in ((split.y_train, 12), (split.y_test, 4), (split.y_valid, 4)):
        assert y.bincount().tolist() == [n] * 3
    assert_array_equal(split.x_test, data.from_csv(csv, target="kind").x_test)


def test_test_part_of_ones_own_is_kept(frame):
    x, y = frame[["number", "length"]], frame["kind"]
    split = data.from_arrays(x[:40], y[:40], x_test=x[40:], y_test=y[40:])
    assert (numbers(split.x_train), numbers(split.x_test)) == ([*range(40)], [*range(40, 60)])
    other = {"x_test": x[["length", "number"]][40:], "y_test": y[40:]}
    message = "column 0 is 'number' in x and 'length' in x_test"
    refused(lambda: data.from_arrays(x[:40], y[:40], **other), message)


@pytest.mark.parametrize("label", [int, float, bool, np.uint8])
def test_labels_of_one_kind_may_be_objects(rng, label):
    x, y = rng.normal(size=(30, 4)), np.arange(30) % 2
    objects = np.array([label(one) for one in y], object)
    assert data.from_arrays(x, objects).sha256 == data.from_arrays(x, y).sha256
    assert data.from_arrays(x, pd.Series(objects)).sha256 == data.from_arrays(x, y).sha256


@pytest.mark.parametrize("as_given", [np.asarray, torch.tensor, pd.DataFrame, np.ma.array, list])
def test_arrays_of_any_kind_give_the_same_split(rng, as_given):
    x, y = rng.normal(size=(30, 4)), np.arange(30) % 3 - 1
    split = data.from_arrays(as_given(x), y)
    assert split.classes == ("-1", "0", "1")
    assert split.sha256 == data.from_arrays(x, y).sha256
    assert split.x_train.dtype == torch.float32
    assert split.y_train.dtype == torch.int64


FILES = {  # name of the file, how it is written, and the options that it needs
    "commas": ("flowers.csv", {}, {}),
    "tabs": ("flowers.tsv", {"sep": "\t"}, {}),
    "semicolons": ("flowers.csv.gz", {"sep": ";"}, {}),
    "bars": ("flowers.csv", {"sep": "|"}, {}),
    "blanks": ("flowers.tsv", {"sep": " "}, {}),
    "any ending": ("flowers.DAT", {"sep": ";"}, {}),
    "xz": ("flowers.csv.xz", {"sep": ";"}, {}),
    "bz2": ("flowers.csv.bz2", {}, {"sep": ","}),
    "zip": ("flowers.csv.zip", {}, {"delimiter": ","}),
    "latin-1": ("flowers.csv", {"encoding": "latin-1"}, {"encoding": "latin-1"}),
    "utf-16": ("flowers.csv", {"encoding": "utf-16"}, {"encoding": "utf-16", "sep": ","}),
    "mark": ("flowers.csv", {"encoding": "utf-8-sig"}, {"engine": "python"}),
    "decimal commas": ("flowers.csv", {"sep": ";", "decimal": ","}, {"decimal": ","}),
}


@pytest.mark.parametrize(("name", "written", "options"), FILES.values(), ids=FILES)
def test_table_in_any_file_is_read(frame, desired, tmp_path, name, written, options):
    path = tmp_path / name
    frame.rename(columns={"length": "Länge"}).to_csv(path, index=False, **written)
    assert data.from_csv(path, "kind", **options).sha256 == desired
    if not options and path.name.endswith(data.own.TABLES):
        assert data.load(f"{path}:kind").sha256 == desired


FORMS = {
    "another separator in quotes": ('"number; of; it","length; cm",kind', "{},{},{}"),
    "commas in quotes": ('"number, of, it";"length, cm";kind', "{};{};{}"),
    "commas without quotes": ("number (a, b);length (c, d);kind", "{};{};{}"),
    "blanks in names": ("number of it,length in cm,kind", "{},{},{}"),
    "blanks behind the separator": ("number of it, length in cm,kind", "{}, {},{}"),
    "byte order mark": ("\ufeffnumber,length,kind", "{},{},{}"),
    "byte order mark and quotes": ('\ufeff"number; a","length; b",kind', "{},{},{}"),
    "wavelengths": ("850,852.5,kind", "{},{},{}"),
    "runs of blanks": ("  number length   kind ", " {}   {} {}  "),
    "quoted classes": ("number,length,kind", '{},{},"{}"'),
    "sign of a comment": ("#number,length,kind", "{},{},{}"),
    "separator at the end of rows": ("number,length,kind", "{},{},{},"),
}


@pytest.mark.parametrize(("names", "row"), FORMS.values(), ids=FORMS)
def test_table_of_any_form_is_read(csv, frame, desired, names, row):
    split = data.load(f"{written(csv, frame, names, row)}:kind")
    assert split.sha256 == desired
    assert split.notice == ""


@pytest.mark.parametrize("kind", ["dry;light;warm", "dry|light", "dry light warm", "dry, light"])
def test_separator_within_a_class_is_none(csv, frame, kind):
    frame.assign(kind=frame["kind"].replace("iris", kind)).to_csv(csv, index=False)
    assert data.load(f"{csv}:kind").classes == ("aster", kind, "rose")


NAMELESS = [
    ("number,length,kind,", "{},{},{}", "Unnamed: 3"),
    ("number,length,kind,", "{},{},{},", "Unnamed: 3"),
    ("number;length;kind;;", "{};{};{};;", "Unnamed: 3"),
    (",number,length,kind", ",{},{},{}", "Unnamed: 0"),
    ("number,,length,kind", "{},,{},{}", "Unnamed: 1"),
]


@pytest.mark.parametrize(("names", "row", "column"), NAMELESS)
def test_column_without_name_and_values_is_left_out_and_said(
    csv, frame, desired, names, row, column
):
    path, said = (
        written(csv, frame, names, row),
        "have neither name nor values and are left out, as",
    )
    split = data.load(f"{path}:kind")
    assert split.sha256 == desired and f"{said} {column}" in split.notice
    csv.write_text("\n".join(f"{a},{b},{c}," for a, b, c in frame.to_numpy()))
    split = data.from_csv(csv, 2, header=None)
    assert split.sha256 == desired and f"1 columns {said} 3" in split.notice


@pytest.mark.parametrize(
    ("order", "separator"),
    [
        (["mass", "length", "kind"], ","),
        (["kind", "mass", "length"], ";"),
        (["mass", "kind", "length"], "\t"),
        (["mass", "length", "kind"], "|"),
        (["kind", "mass", "length"], "   "),
        (["mass", "kind", "length"], ", "),
    ],
)
def test_table_without_names_keeps_its_first_row(csv, frame, order, separator):
    rows = frame.assign(mass=frame["number"] % 7)[order].to_numpy()
    csv.write_text("\n".join(separator.join(map(str, row)) for row in rows))
    with pytest.raises(ValueError, match="first line, which looks like an example.*header=None"):
        data.load(f"{csv}:iris")
    split = data.from_csv(csv, order.index("kind"), header=None)
    assert len(split.x_train) + len(split.x_test) == 60


FIRST_LINES = {
    "numbers": ("1,7,0\n2,8,1\n3,9,0\n", {}),
    "given separator": ("1;7;a\n2;8;b\n3;9;a\n", {"sep": ";"}),
    "decimal commas": ("1,5;7;a\n2,5;8;b\n3,5;9;a\n", {"decimal": ","}),
    "one number twice": ("1.5,1.5,a\n2,2.5,b\n3,3.5,a\n", {}),
    "one class twice": ("7,a,a\n8,b,b\n9,a,a\n", {}),
    "names left out": ("x1,7,a\nx2,8,b\nx3,9,a\n", {"usecols": [1, 2]}),
    "names of examples": ("x1,7,a\nx2,8,b\nx3,9,a\nx3,9,a\n", {}),
    "dates": ("2024-01-01;7;a\n2024-01-02;8;b\n2024-01-03;9;a\n2024-01-04;9;a\n", {}),
    "question mark": ("?,7,a\n1,8,b\n2,9,a\n", {"na_values": "?"}),
    "missing number": (",7,a\n1,8,b\n2,9,a\n", {}),
    "missing word": ("7,NA,a\n1,8,b\n2,9,a\n", {}),
    "truth values": ("True,7,a\nFalse,8,b\nTrue,9,a\n", {}),
    "thousands": ("1,000;0.5;a\n2,5;8;b\n3;9;a\n", {"sep": ";", "thousands": ","}),
    "dash": ("-,7,a\n1,8,b\n2,9,a\n", {"na_values": ["-"]}),
    "mark of a missing number": ("#N/A,0.5,a\n1,8,b\n2,9,a\n", {}),
    "infinite": ("inf,0.5,a\n1,8,b\n2,9,a\n", {}),
    "small numbers": ("-1e-3,7,a\n+.5,8,b\n1.,9,a\n", {"dtype": {"7": float}}),
    "target by name": ("1,7,a\n2,8,b\n3,9,a\n", {"target": "kind"}),
    "target by number": ("1,7,a\n2,8,b\n3,9,a\n", {"target": 2}),
}


@pytest.mark.parametrize(("text", "options"), FIRST_LINES.values(), ids=FIRST_LINES)
def test_example_in_place_of_names_is_refused(csv, text, options):
    csv.write_text(text)
    options = {"target": "a"} | options
    refused(lambda: data.from_csv(csv, **options), "looks like an example: add a line of names")


def test_names_are_given_where_a_table_has_none(csv, frame):
    frame.to_csv(csv, index=False, header=False)
    desired = data.from_csv(csv, 2, header=None).sha256
    assert data.from_csv(csv, "kind", names=["number", "length", "kind"]).sha256 == desired
    assert data.from_csv(csv, "2", names=["0", "1", "2"]).sha256 == desired
    assert data.from_csv(csv, 2, names=range(3)).sha256 == desired


DTYPES = {
    "of a feature": {"number": float},
    "of the classes": {"kind": int},
    "of both": {"kind": "float64", "number": "float32"},
    "categories": {"kind": "category"},
    "one": float,
    "one by name": "float64",
    "one of NumPy": np.dtype("float64"),
    "text": str,
    "all categories": "category",
    "others": defaultdict(lambda: float),
    "others and classes": defaultdict(lambda: float, kind=float),
    "nullable": {"number": "Int64", "kind": "Int64"},
}


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_type_of_columns_merges_no_classes(csv, frame, dtype):
    frame.assign(kind=["007", "7", "8"] * 20).to_csv(csv, index=False)
    split = data.from_csv(csv, "kind", dtype=dtype)
    assert split.classes == ("007", "7", "8")
    assert split.sha256 == data.from_csv(csv, "kind").sha256


def test_types_that_are_given_are_not_changed(csv):
    dtype = {"number": float}
    data.from_csv(csv, "kind", dtype=dtype)
    assert dtype == {"number": float}


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({"engine": "python"}, lambda text: text),
        ({"sep": "::"}, lambda text: text.replace(",", "::")),
        ({"sep": ", "}, lambda text: text.replace(",", ", ")),
        ({"sep": "\t+"}, lambda text: text.replace(",", "\t\t")),
        ({"sep": r"\s*;\s*"}, lambda text: text.replace(",", " ; ")),
        ({"sep": None}, lambda text: text.replace(",", ";")),
        ({"delimiter": "||"}, lambda text: text.replace(",", "||")),
        ({"skipfooter": 1}, lambda text: f"{text}60 rows\n"),
        ({"skipfooter": 2}, lambda text: f"{text.replace(',', ';')}60 rows\nend\n"),
        ({"converters": {"kind": str.strip}}, lambda text: text.replace("rose", "rose ")),
    ],
)
def test_options_that_need_another_engine_of_pandas_are_followed(csv, desired, options, change):
    options = {key: re.escape(value) if value == "||" else value for key, value in options.items()}
    csv.write_text(change(csv.read_text()))
    split = data.from_csv(csv, "kind", **options)
    assert split.sha256 == desired


def test_truth_values_beside_numbers_are_features(frame):
    mixed = frame[["number"]].assign(is_long=frame["length"] > 0)
    split = data.from_arrays(mixed, frame["kind"])
    assert split.sha256 == data.from_arrays(mixed.astype(float), frame["kind"]).sha256


ONE_NUMBER, BLANKS = "differs from .* as a number is written", "differs .* by blanks"
LONG = "1234567890123456789"


@pytest.mark.parametrize(
    ("kinds", "why"),
    [
        *((kinds, ONE_NUMBER) for kinds in (["1", "1.0", "2"], ["0", "2", "0.0"])),
        *((kinds, ONE_NUMBER) for kinds in (["1.50", "1.5", "x"], ["7", "+7", "9"])),
        *((["mid", "big one", twin], BLANKS) for twin in (" mid", "mid ", "mid\t", "big  one")),
    ],
)
def test_labels_that_are_one_number_or_differ_by_blanks_are_refused(csv, frame, kinds, why):
    frame.assign(kind=kinds * 20).to_csv(csv, index=False)
    refused(lambda: data.from_csv(csv, "kind"), rf"row \d of the data: the label .* {why}")
    of_arrays = rf"row \d of x and y: the label .* {why}"
    refused(lambda: data.from_arrays(frame[["length"]], kinds * 20), of_arrays)


@pytest.mark.parametrize(
    ("kinds", "classes"),
    [
        (["1_0", "10", "x"], ("10", "1_0", "x")),
        (["00", "0", "x"], ("0", "00", "x")),
        (["a", "A", "x"], ("A", "a", "x")),
        ([f"{LONG}0", f"{LONG}1", "a"], (f"{LONG}0", f"{LONG}1", "a")),
        (["mid", "big one", " small"], (" small", "big one", "mid")),
        (["9", "10", "-1"], ("-1", "9", "10")),  # numbers are in their order
        ([9.0, 10.0, -1.0], ("-1", "9", "10")),
    ],
)
def test_labels_that_are_written_apart_are_classes(csv, frame, kinds, classes):
    frame.assign(kind=kinds * 20).to_csv(csv, index=False)
    assert data.from_csv(csv, "kind").classes == classes


def test_numbers_that_float32_rounds_may_be_used(rng):
    x = rng.random((20_000, 1))  # some of so many are equal in float32
    assert len(np.unique(x.astype(np.float32))) < len(x)
    assert data.from_arrays(x, np.arange(20_000) % 2).n_classes == 2
    assert data.from_arrays(np.arange(20)[:, None] * 2**25, np.arange(20) % 2).n_classes == 2


def test_folder_without_pillow_says_what_to_install(pets, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ValueError, match="pillow, by which .* not installed: pip install pillow"):
        data.from_folder(pets)


def test_folder_comes_back_in_parts_of_its_images(pets, pixels):
    split = data.from_folder(pets)
    assert (split.classes, split.x_train.shape) == (("cat", "dog"), (16, 6, 8))
    given = {image.tobytes(): int(i >= 10) for i, image in enumerate(pixels)}
    for x, y in ((split.x_train, split.y_train), (split.x_test, split.y_test)):
        found = [given[image.tobytes()] for image in (x * 255).round().byte().numpy()]
        assert found == y.tolist()
    assert data.load(f"{pets}/", scaled=False).x_train.dtype == torch.uint8


def test_images_are_fitted_to_a_side_and_coloured_where_one_is(pets, rng):
    colours = rng.integers(0, 256, (30, 20, 3), dtype=np.uint8)
    Image.fromarray(colours).save(pets / "dog" / "colours.jpg")
    split = data.load(f"{pets}:5")
    assert split.x_train.shape == (17, 3, 5, 5)
    assert 0 <= split.x_train.min() <= split.x_train.max() <= 1


@pytest.fixture
def two_classes(tmp_path):
    """The folder of two classes, and the path in it of the i-th image, in turn of the one and the
    other.
    """
    folder = tmp_path / "both"
    for name in "ab":
        (folder / name).mkdir(parents=True)
    return folder, lambda i, ending="png": folder / "ab"[i % 2] / f"{i:02}.{ending}"


def drawn(mode, opaque):
    """A black cross on a transparent ground, whose ink and ground are one black where they can."""
    alpha = Image.fromarray((255 * opaque).astype(np.uint8))
    black = Image.new("L", alpha.size)
    if mode in ("LA", "RGBA"):
        return Image.merge(mode, [black] * (len(mode) - 1) + [alpha]), {}
    if mode.startswith("P"):
        image = Image.fromarray(opaque.astype(np.uint8), "P")
        image.putpalette([0, 0, 0, 0, 0, 0])
        return image, {"transparency": 0 if mode == "P by its index" else b"\x00\xff"}
    key = {"L": 9, "RGB": (9, 9, 9), "1": 255}[mode]
    grey = Image.fromarray(np.where(opaque, 0, 255 if mode == "1" else 9).astype(np.uint8))
    return grey.convert(mode), {"transparency": key}


MODES = ["RGBA", "LA", "P by its bytes", "P by its index", "L", "RGB", "1"]


@pytest.mark.parametrize(
    ("mode", "side", "ending"),
    [*((mode, None, "png") for mode in MODES), ("RGBA", 8, "png")]
    + [("RGBA", None, "webp"), ("RGBA", None, "gif")],
)
def test_transparent_ground_is_white(rng, two_classes, mode, side, ending):
    folder, path_of = two_classes
    inks = rng.random((12, 8, 8)) < 0.5
    for i, ink in enumerate(inks):
        image, options = drawn(mode, ink)
        image.save(path_of(i, ending), lossless=True, **options)
    split = data.from_folder(folder, side=side)
    x = torch.cat([split.x_train, split.x_test])
    x = x if x.ndim == 3 else x[:, 0]
    assert {image.numpy().tobytes() for image in x} == {
        (1 - ink).astype(np.float32).tobytes() for ink in inks
    }
    assert split.notice.count(f"12 images are transparent and laid on white, as 00.{ending}") == 1


def test_half_transparent_ink_is_half_white(pets):
    ink = np.zeros((6, 8, 2), np.uint8)
    ink[..., 1] = 51  # a fifth of the ink
    Image.fromarray(ink, "LA").save(pets / "cat" / "drawn.png")
    split = data.from_folder(pets)
    images = torch.cat([split.x_train, split.x_test])
    assert (images == 204 / 255).all((1, 2)).sum() == 1


def png(shape, bits, kind, rows, *others):
    """A PNG of a form that pillow does not write.

    Source: the PNG specification, 11.2.1 IHDR, 11.2.3 IDAT.

    Args: height and width; bits of a number; 0 for grey and 2 for colours; bytes of each row; names
        and contents of further chunks.
    """
    height, width = shape
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)),
        *others,
        (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))),
        (b"IEND", b""),
    ]
    content = b"\x89PNG\r\n\x1a\n"
    for name, inner in chunks:
        body = name + inner
        content += struct.pack(">I", len(inner)) + body + struct.pack(">I", zlib.crc32(body))
    return content


@pytest.mark.parametrize(("bits", "key"), [(1, 1), (2, 0), (4, 9)])
def test_transparent_ground_of_few_bits_is_white(two_classes, bits, key):
    """Source: the PNG specification, 11.3.1.1 tRNS."""
    folder, path_of = two_classes
    top = 2**bits - 1
    rows = np.random.default_rng(0).integers(0, 2**bits, (12, 8))
    rows[:, :2] = key, top - key
    for i, row in enumerate(rows):
        packed = sum(pixel << bits * k for k, pixel in enumerate(reversed(row.tolist())))
        transparent = (b"tRNS", struct.pack(">H", key))
        path_of(i).write_bytes(png((1, 8), bits, 0, [packed.to_bytes(bits, "big")], transparent))
    split = data.from_folder(folder)
    desired = np.where(rows == key, 1, rows / top).astype(np.float32)
    x = torch.cat([split.x_train, split.x_test])[:, 0]
    assert {row.numpy().tobytes() for row in x} == {row.tobytes() for row in desired}


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_opaque_alpha_changes_nothing(pets, mode):
    before = data.from_folder(pets)
    for file in pets.rglob("*.png"):
        Image.open(file).convert(mode).save(file)
    split = data.from_folder(pets)
    assert split.notice == ""
    assert_array_equal(split.x_train.reshape(16, -1, 6, 8)[:, 0], before.x_train)


def test_images_that_become_equal_name_the_cause(two_classes):
    folder, path_of = two_classes
    for i in range(8):
        white = np.full((4, 4, 2), 255, np.uint8)
        white[..., 1] = 255 * (np.arange(16).reshape(4, 4) == i)
        Image.fromarray(white, "LA").save(path_of(i))
    message = "nothing can be learnt .*8 images are transparent and laid on white"
    with pytest.raises(ValueError, match=message):
        data.from_folder(folder)


@pytest.mark.parametrize("ending", ["tiff", "png", "gif"])
def test_further_images_of_a_file_are_left_out_and_said(pets, pixels, ending):
    frames = [Image.fromarray(255 - image) for image in pixels[:5]]
    for i in range(2):
        frames[0].save(pets / "cat" / f"film{i}.{ending}", save_all=True, append_images=frames[1:])
    split = data.from_folder(pets)
    assert len(split.x_train) + len(split.x_test) == 22
    message = f"8 images are left out, as only the first of a file is taken, as film0.{ending}"
    assert message in split.notice


def test_image_is_turned_upright(pets, pixels):
    turned = Image.fromarray(np.rot90(pixels[0]).copy())
    exif = turned.getexif()
    exif[0x0112] = 6  # orientation: to be turned by 90 degrees clockwise to be seen
    turned.save(pets / "cat" / "00.png", exif=exif)
    assert data.from_folder(pets).sha256 == data.load(f"{pets}/").sha256
    images = torch.cat([data.from_folder(pets).x_train, data.from_folder(pets).x_test])
    assert (images * 255).round().byte().numpy().tobytes().find(pixels[0].tobytes()) >= 0


def test_class_that_begins_with_an_underscore_is_one(pets):
    (pets / "dog").rename(pets / "_dog")
    for hidden in (".hidden", "__MACOSX"):
        (pets / hidden).mkdir()
    assert data.from_folder(pets).classes == ("_dog", "cat")


def test_what_is_no_image_is_left_out_and_said(pets):
    (pets / "cat" / "notes.txt").write_text("a fine cat")
    (pets / "cat" / ".DS_Store").write_text("")
    shutil.copytree(pets / "dog", pets / "cat" / ".thumbs")
    assert len(data.from_folder(pets).x_train) == 16
    assert "1 files are no images and left out, as notes.txt" in data.from_folder(pets).notice


def test_arrays_of_a_file_are_loaded_by_its_path(rng, tmp_path):
    x, y = rng.normal(size=(30, 4)), np.arange(30) % 3
    np.savez(tmp_path / "mine.npz", x=x[:20], y=y[:20], x_test=x[20:], y_test=y[20:])
    for path in (tmp_path / "mine.npz", str(tmp_path / "mine.npz")):
        split = data.load(path)
        assert_array_equal(split.x_test, x[20:].astype(np.float32))
    assert (split.source, split.path) == ("own", str(tmp_path / "mine.npz"))


def test_path_object_is_a_path_however_short(pets, monkeypatch):
    monkeypatch.chdir(pets.parent)
    assert data.load(Path("pets")).sha256 == data.load("./pets").sha256


def test_constant_feature_is_said_and_vanishes(frame):
    x = frame[["number", "length"]].assign(site=3.5)
    split = data.from_arrays(x, frame["kind"])
    assert split.notice == "arrays: the same in all rows, so without use: feature 2"
    assert split.standardisation()[1][2] == 1


def test_black_corners_of_images_are_not_worth_a_word(rng):
    x = rng.integers(0, 256, (20, 4, 4), dtype=np.uint8)
    x[:, 0, 0] = 0
    assert data.from_arrays(x, np.arange(20) % 2).notice == ""


# ------------------------------------------------------------------------------- a path as a name


def test_run_is_named_by_the_content_wherever_it_lies(csv, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    moved = csv.rename(tmp_path / "elsewhere" / "moved.csv")
    before = Run("one", dataset=f"{moved}:kind")
    again = moved.rename(csv)
    after = Run("one", dataset=f"{again}:kind")
    assert before.name == after.name
    assert before.dataset.rpartition("#")[2] == data.load(after.dataset).sha256[:12]


def test_other_content_is_another_run(csv, frame):
    before = Run("one", dataset=f"{csv}:kind")
    frame.assign(length=0.5 * frame["length"]).to_csv(csv, index=False)
    assert Run("one", dataset=f"{csv}:kind").name != before.name
    with pytest.raises(ValueError, match="is not what was trained on"):
        data.load(before.dataset)


def test_same_numbers_in_another_shape_are_another_run(rng, tmp_path):
    x, y = rng.random((60, 64), dtype=np.float32), np.arange(60) % 3
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    np.savez(tmp_path / "images.npz", x=x.reshape(60, 8, 8), y=y)
    rows, images = (Run("one", dataset=str(tmp_path / name)) for name in ("rows.npz", "images.npz"))
    assert rows.name != images.name
    assert data.load(rows.dataset).sha256 == data.from_arrays(x, y).sha256


def test_record_is_read_where_the_file_is_gone(csv):
    run = Run("one", dataset=f"{csv}:kind")
    csv.unlink()
    assert from_fields(run.fields_to_write()).name == run.name
    with pytest.raises(ValueError, match="is not there"):
        data.load(run.dataset)


def test_change_of_the_data_set_takes_a_path(csv, monkeypatch):
    monkeypatch.chdir(csv.parent)
    changed = Run("one").with_changes({"dataset": "flowers.csv:kind"})
    assert changed.dataset.startswith(f"{csv}:kind#")
    assert changed.with_changes({"seed": 1}).dataset == changed.dataset
    assert changed.can_be_had()
    assert labels.dataset(changed.dataset) == "flowers.csv"


def test_where_lists_ones_own(csv):
    [row] = data.where([f"{csv}:kind"])
    assert (row["n_train"], row["n_test"], row["source"], row["status"]) == (48, 12, "own", "ok")


@pytest.mark.parametrize(
    ("name", "is_path"),
    [
        *[("digits", False), ("mnist", False), ("iris", False)],
        *[("iris.csv:species", True), ("iris.TSV", True), ("a.npz", True), ("./pets", True)],
        *[("pets/:64", True), ("/data/pets", True), ("iris.csv:a/b", True)],
    ],
)
def test_paths_are_told_from_names(name, is_path):
    assert data.own.is_path(name) == is_path


# -------------------------------------------------------------------------------- what is refused


def in_row(column, value):
    """The table with this value in row 8 of a column."""

    def changed(frame):
        frame = frame.astype({column: object})
        frame.loc[7, column] = value
        return frame

    return changed


BAD_TABLES = {
    "timestamps": (
        lambda frame: frame.assign(length=1_700_000_000 + frame["number"]),
        "length has 60 different values, and 1 in float32: subtract its mean",
    ),
    "missing feature": (in_row("length", None), "row 8 of the data: length is nan"),
    "infinite feature": (in_row("length", "inf"), "row 8 of the data: length is inf"),
    "too large": (in_row("length", 1e300), r"row 8 of the data: length is 1e\+300: scale it"),
    "text": (in_row("length", "long"), "row 8 of the data: length is 'long', not a number"),
    "missing label": (in_row("kind", None), "row 8 of the data: the label is missing"),
    "alone": (in_row("kind", "Iris"), "row 8 of the data: the label Iris is the only one"),
    "one class": (lambda frame: frame.assign(kind="rose"), "has one class only, rose"),
    "no classes": (
        lambda frame: frame.assign(kind=range(60)),
        "60 different labels in 60 rows, so they are no classes",
    ),
    "measured": (
        lambda frame: frame.assign(kind=frame["length"]),
        r"row 1 of the data: the label \S+ is no class",
    ),
    "nothing else": (lambda frame: frame[["kind"]], "no column besides kind"),
    "nothing to learn": (
        lambda frame: frame.assign(number=1, length=2),
        "all rows have the same features",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_table_that_spoils_a_result_is_refused_by_row(csv, frame, change, message):
    change(frame).to_csv(csv, index=False)
    said = refused(lambda: data.load(f"{csv}:kind"), message)
    assert str(csv) in said and "\n" not in said


BAD_TEXTS = {
    "numbered rows": (",a,kind\n0,2,x\n1,3,y\n", "a first column without a name"),
    "long row": ("a,b,kind\n1,2,x\n3,4,y,5\n", "line 3, saw 4"),
    "rows longer than the names": ("a,kind\n1,2,x\n3,4,y\n", "[Ll]ength of header"),
    "target twice": ("a,kind,kind\n1,x,2\n3,y,4\n", "has the column kind twice"),
    "empty": ("", "No columns"),
    "comment": ("# of flowers\na,b,kind\n1,2,x\n3,4,y\n", "above the names, comment= or skiprows="),
    "comment in commas": ("# a, b, c\na,b,kind\n1,2,x\n3,4,y\n", "comment, .* comment= or skip"),
    "longer comment": ("% a, b, c, d\na,b,kind\n1,2,x\n3,4,y\n", "comment, .* comment= or skip"),
    "title": ("Flowers\n\na;b;kind\n1;2;x\n3;4;y\n", "above the names, comment= or skiprows="),
    "only names": ("a,b,kind\n", r"x has shape \(0, 2\)"),
    "no such column": ("a,b\n1,x\n", "has no column 'kind': name one, as table.csv:b"),
}


@pytest.mark.parametrize(("text", "message"), BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_text_that_is_no_table_is_refused(csv, text, message):
    csv.write_text(text)
    assert str(csv) in refused(lambda: data.load(f"{csv}:kind"), message)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"\xff\xfe\x00", {}, "cannot be read as a table in UTF-8"),
        (b",,\n,,\n", {"header": 0}, "flowers.csv"),
        (b",\n", {"header": None}, "flowers.csv"),
        (b"  \n", {"header": 0}, "flowers.csv"),
    ],
)
def test_bytes_that_are_no_table_are_refused(csv, content, options, message):
    csv.write_bytes(content)
    refused(lambda: data.from_csv(csv, 1, **options), message)


X, Y = np.arange(24.0).reshape(12, 2), np.arange(12) % 2
IMAGES = np.arange(12 * 16, dtype=np.uint8).reshape(12, 4, 4)
LETTERS = pd.DataFrame({"a": range(12), "b": [*"ab"] * 6})
STRINGS = Y.astype(str).astype(np.dtypes.StringDType())
SERIES = np.linspace(-1, 2, 12 * 6 * 3).reshape(12, 6, 3)


def beside(x, y):
    """The options that make these the test part."""
    return {"x_test": x, "y_test": y}


BAD_ARRAYS = {
    "fewer examples": (X[:10], Y, {}, "y has 12 labels, but there are 10 examples"),
    "fewer labels": (X, Y[:10], {}, "y has 10 labels, but there are 12 examples"),
    "one-hot": (X, np.eye(2)[Y], {}, r"y has shape \(12, 2\), not \(12,\): .*argmax\(1\) of"),
    "column": (X, Y[:, None], {}, r"y has shape \(12, 1\), .* np.asarray\(y\).ravel\(\)$"),
    "column of text": (X, Y[:, None].astype(str), {}, r"np.asarray\(y\).ravel\(\)$"),
    "column of a table": (X, pd.DataFrame({"y": Y}), {}, r"np.asarray\(y\).ravel\(\)$"),
    "one feature": (X[:, 0], Y, {}, r"x has shape \(12,\): give \(N, features...\)"),
    "nothing": (X[:0], Y[:0], {}, r"x has shape \(0, 2\)"),
    "text": (X.astype(str), Y, {}, "x is of type <U32, not numeric"),
    "series of text": (pd.Series([*"ab"] * 6), Y, {}, "x is of type .*, not numeric"),
    "table of text": (LETTERS, Y, {}, "arrays, row 0 of x and y: b is 'a', not a number: replace"),
    "sparse": (scipy.sparse.eye_array(4), [0, 0, 1, 1], {}, r"x is a sparse .* \.toarray\(\)"),
    "sparse tensor": (torch.eye(4).to_sparse(), Y[:4], {}, r"x is a sparse .* \.to_dense\(\)"),
    "sparse labels": (X, torch.tensor(Y).to_sparse(), {}, r"y is a sparse .* \.to_dense\(\)"),
    "bytes": (X, Y.astype("S"), {}, r"y is of type \|S21: .*\[label.decode\(\) for label in y\]"),
    "strings of NumPy": (X, STRINGS, {}, r"y is of type StringDType\(\): .*\[str\(label\) for"),
    "tuples": (X, pd.Series([(0, 1), (1, 0)] * 6), {}, "y holds tuple: give whole numbers or text"),
    "days": (X, pd.Series([date(2026, 1, 1), date(2026, 1, 2)] * 6), {}, "y holds date: give"),
    "truth values and text": (X, np.array([True, "True"] * 6, object), {}, "y holds bool and str"),
    "numbers of two kinds": (X, np.array([1, 2.0] * 6, object), {}, "y holds float and int"),
    "time series": (SERIES, Y, {}, r"give as rows, np.reshape\(x, \(len\(x\), -1\)\)"),
    "volumes": (torch.full((12, 1, 4, 4, 4), 7.0), Y, {}, r"np.reshape\(x, \(len\(x\), -1\)\)"),
    "ragged": ([[1, 2], [3]], [0, 1], {}, "x is no array"),
    "nan": (np.where(X == 7, np.nan, X), Y, {}, "row 3 of x and y: feature 1 is nan"),
    "timestamps": (1.7e9 + X, Y, {}, "arrays: x: feature 0 has 12 different values, and 1 in"),
    "ids": (2**25 + X.astype(int), Y, {}, "feature 0 has 12 different values, and 7 in float32"),
    "masked": (np.ma.masked_equal(X, 7), Y, {}, "x has masked entries: fill them in"),
    "masked labels": (X, np.ma.masked_equal(Y, 1), {}, "y has masked entries: fill them in"),
    "mixed labels": (X, ["a", 1] * 6, {}, "y holds text and other labels"),
    "fraction": (X, Y + 0.5, {}, "row 0 of x and y: the label 0.5 is no class"),
    "text in the test part": (X, Y, beside(X, Y.astype(str)), "y_test holds text and y numbers"),
    "numbers in it": (X, Y.astype(str), beside(X, Y), "y holds text and y_test numbers: give one"),
    "dates": (X, Y.astype("datetime64[D]"), {}, r"y is of type datetime64\[D\]"),
    "pixels": (IMAGES.astype(float), Y, {}, r"x has pixels in \[0.0, 191.0\]"),
    "channels last": (np.zeros((12, 8, 8, 3)), Y, {}, r"give x.transpose\(0, 3, 1, 2\)"),
    "half a test part": (X, Y, {"x_test": X}, "give x_test and y_test, or neither"),
    "new class": (X, Y, beside(X, Y + 1), "row 1 of x_test and y_test: the label 2 is not one of"),
    "other features": (X, Y, beside(X[:, :1], Y), r"an example of x_test has shape \(1,\)"),
    "other type": (IMAGES, Y, beside(IMAGES / 255, Y), "x and x_test are images of different typ"),
    "name of a set": (X, Y, {"name": "mnist"}, "name 'mnist' is that of a data set"),
    "much validation": (X, Y, {"validation": 10}, "arrays has 10 training examples"),
}


@pytest.mark.parametrize(("x", "y", "options", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_arrays_that_spoil_a_result_are_refused(x, y, options, message):
    refused(lambda: data.from_arrays(x, y, **options), message)


def saved(path, **arrays):
    """The path of these arrays beside a table."""
    np.savez(path.with_name("mine.npz"), **arrays)
    return str(path.with_name("mine.npz"))


REFUSED = [
    (lambda csv: data.from_csv(csv, "kind", chunksize=10), "as a whole: leave out chunksize"),
    (lambda csv: data.from_csv(csv, "kind", engine="pyarrow"), "pyarrow: leave out engine"),
    (lambda csv: data.from_csv(f"{csv}:kind", "kind"), "flowers.csv:kind is not there"),
    (lambda csv: data.from_csv(f"{csv}.csv", "kind"), "csv is not there: give the path of a table"),
    (lambda csv: data.load(f"{csv}.csv:kind"), "csv is not there: give the path of a table"),
    (lambda csv: data.load(""), "unknown data set ''.* or a path of your own, as table"),
    (lambda csv: data.load(saved(csv, x=X, y=Y) + ":64"), "no images to fit to a side: leave out"),
    (lambda csv: data.load(saved(csv, a=X, b=Y)), "holds a, b: give x and y"),
    (lambda csv: data.load(saved(csv, x=X, x_train=X, y=Y)), "holds x, x_train, y: give x and y"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_cannot_be_followed_is_refused(csv, call, message):
    refused(lambda: call(csv), message)


def deep(dtype, ending):
    pixels = np.zeros((6, 8), dtype)
    return lambda path: Image.fromarray(pixels).save(path / "dog" / f"deep.{ending}")


def cut_off(path):
    (path / "dog" / "12.png").write_bytes((path / "dog" / "12.png").read_bytes()[:60])


OF_MODE = r"deep.{} is no readable image .*its mode is {}, .* save it as uint8, or"
BAD_IMAGES = {
    "cut off": (cut_off, "dog/12.png is no readable image"),
    "link that leads nowhere": (
        lambda path: (path / "cat" / "link.png").symlink_to(path / "none.png"),
        r"cat/link.png is no readable image .*: replace or delete",
    ),
    "another size": (
        lambda path: Image.new("L", (9, 6)).save(path / "dog" / "wide.png"),
        "wide.png has 9 x 6 pixels.* give a side",
    ),
    "16 bits": (deep(np.uint16, "png"), OF_MODE.format("png", "I;16")),
    "16 bits in turn": (deep(">u2", "tif"), OF_MODE.format("tif", "I;16B")),
    "32 bits": (deep(np.int32, "tiff"), OF_MODE.format("tiff", "I")),
    "floats": (deep(np.float32, "tiff"), OF_MODE.format("tiff", "F")),
}


@pytest.mark.parametrize(("change", "message"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_image_that_does_not_fit_is_refused_by_name(pets, change, message):
    change(pets)
    refused(lambda: data.load(f"{pets}/"), message)


def test_image_that_cannot_be_opened_now_is_not_called_unreadable(pets, monkeypatch):
    """Nobody is told to delete a good image."""
    error = OSError(errno.EMFILE, "Too many open files")
    monkeypatch.setattr("PIL.Image.open", lambda *_, **__: (_ for _ in ()).throw(error))
    with pytest.raises(OSError, match="Too many open files"):
        data.load(f"{pets}/")


BAD_FOLDERS = {
    "no class": ([], "has no folder in it"),
    "one class": (["cat/1.png", "cat/2.png"], "has one class only, cat"),
    "empty class": (["cat/1.png", "dog/"], "dog has no image"),
    "parts": (["train/cat/1.png", "test/cat/1.png"], "has the parts test, train, not classes"),
    "longer names of parts": (
        ["Training/cat/1.png", "testing/cat/1.png", "validation/dog/2.png"],
        "has the parts Training, testing, validation, not classes",
    ),
}


@pytest.mark.parametrize(("files", "message"), BAD_FOLDERS.values(), ids=BAD_FOLDERS)
def test_folder_that_is_no_data_set_is_refused(tmp_path, files, message):
    (tmp_path / "images").mkdir()
    for name in files:
        file = tmp_path / "images" / name
        (file if name.endswith("/") else file.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            Image.new("L", (4, 4)).save(file)
    with pytest.raises(ValueError, match=message):
        data.load(f"{tmp_path}/images")


@pytest.mark.parametrize(("name", "path"), [("pets", "pets/"), ("pets:5", "pets/:5")])
def test_folder_without_a_slash_is_told_how_to_be_one(pets, monkeypatch, name, path):
    monkeypatch.chdir(pets.parent)
    with pytest.raises(ValueError, match=f"pets is a folder: a slash says so, as {path}$"):
        data.load(name)
    assert data.load(path).classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["u.data:kind", "./u.data"])
def test_table_of_another_ending_is_said_to_be_there(csv, monkeypatch, name):
    csv.rename(csv.parent / "u.data")
    monkeypatch.chdir(csv.parent)
    refused(lambda: data.load(name), "u.data is there, but ends in none of .*: rename a table, or")
    assert data.from_csv("u.data", "kind").classes == ("aster", "iris", "rose")


@pytest.mark.parametrize("name", ["missing.csv:kind", "./missing", "missing.npz", "./missing:a"])
def test_path_that_leads_nowhere_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="missing.* is not there"):
        Run("one", dataset=name)
    assert not data.is_here(name)


def test_numbers_that_are_names_are_taken_where_header_says_so(tmp_path):
    lines = ["0,1,2", *(f"{i % 2},{i},{i * i}" for i in range(60))]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="if these are names, header=0"):
        data.from_csv(tmp_path / "a.csv", "0")
    split = data.from_csv(tmp_path / "a.csv", "0", header=0)
    assert len(split.x_train) + len(split.x_test) == 60 and split.n_features == 2


@pytest.mark.parametrize("ending", ["png", "ppm"])
def test_colours_of_16_bits_are_refused(ending, two_classes):
    folder, path_of = two_classes
    pixels = np.zeros((4, 4, 3), ">u2")
    content = b"P6\n4 4\n65535\n" + pixels.tobytes()
    if ending == "png":
        content = png((4, 4), 16, 2, [row.tobytes() for row in pixels])
    for i in range(2):
        path_of(i, ending).write_bytes(content)
    with pytest.raises(ValueError, match="of more than 8 bits a channel"):
        data.from_folder(folder)
