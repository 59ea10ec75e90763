"""Data sets are what their names say, whatever the disc and the network do."""

import contextlib
import gzip
import hashlib
import http.server
import io
import re
import socket
import tarfile
import threading

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from lib import data

KEYS = ("x_train", "y_train", "x_test", "y_test")


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Empty folders in place of the real ones, and no network."""
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("SPARSE_DATA_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(data, "RAW", tmp_path / "raw")
    monkeypatch.setattr(data, "_silent", [])
    with socket.socket() as nobody:  # bound, so that no one else can listen there
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        monkeypatch.setattr(data, "_FOLDERS", dict.fromkeys(data._FOLDERS, address))
        yield


@pytest.fixture
def own(tmp_path):
    return tmp_path / "own"


@pytest.fixture
def table(rng):
    """A small higgs_sample whose first feature numbers the examples; a quarter is of class 1."""
    x = rng.normal(size=(150, 28)).astype(np.float32)
    x[:, 0] = np.arange(150)
    y = (np.arange(150) % 4 == 0).astype(np.uint8)
    return {"x_train": x[:120], "y_train": y[:120], "x_test": x[120:], "y_test": y[120:]}


@pytest.fixture
def stored(own, table):
    np.savez(own / "higgs_sample.npz", **table)
    return own / "higgs_sample.npz"


def replace(path, arrays, save=np.savez):
    save(path.with_name("new.npz"), **arrays)
    path.with_name("new.npz").replace(path)


def numbers(x):
    """The examples of the table that these rows are."""
    return x[:, 0].int().tolist()


def test_arrays_come_back_as_they_were_stored(stored, table):
    split = data.load("higgs_sample")
    actual = [getattr(split, key).numpy() for key in KEYS]
    assert [a.dtype for a in actual] == [np.float32, np.int64] * 2
    assert all(map(np.array_equal, actual, (table[key] for key in KEYS)))
    assert (split.x_valid, split.y_valid, split.notice) == (None, None, "")
    assert (split.name, split.requested, split.source) == (*["higgs_sample"] * 2, "SPARSE_DATA_DIR")
    assert (split.n_features, split.n_classes, split.path) == (28, 2, str(stored))


def test_tensors_belong_to_the_caller(stored):
    data.load("higgs_sample").x_train.zero_()
    assert data.load("higgs_sample").x_train.any()


def test_file_that_was_replaced_is_read_again(stored, table):
    data.load("higgs_sample")
    replace(stored, table | {"x_test": table["x_test"] + 1})
    assert_array_equal(data.load("higgs_sample").x_test, table["x_test"] + 1)


def test_repr_names_the_set_its_sizes_and_its_source(stored):
    split = data.load("higgs_sample", validation=20)
    desired = "Split(higgs_sample, 28, 100 train, 30 test, 20 validation, from SPARSE_DATA_DIR)"
    assert repr(split) == desired


@pytest.mark.parametrize(("name", "labels"), [("madelon", [-1, 1]), ("coil20", range(1, 21))])
def test_labels_start_at_zero(own, rng, name, labels):
    n_features = {"madelon": 500, "coil20": 1024}[name]
    x, y = rng.uniform(size=(40, n_features)), np.resize(labels, 40)
    np.savez(own / f"{name}.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    split = data.load(name)
    assert_array_equal(split.y_test, np.resize(np.arange(len(labels)), 40))
    assert split.n_classes == len(labels)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float64])
def test_binary_sets_are_zeros_and_ones_without_labels(own, rng, dtype):
    x = rng.integers(0, 2, (20, 123))
    arrays = {f"x_{part}": x[i:].astype(dtype) for i, part in enumerate(("train", "test", "valid"))}
    np.savez(own / "adult.npz", **arrays)
    split = data.load("adult", limit=20)
    assert_array_equal(split.x_valid, x[2:])
    assert split.x_train.dtype == torch.float32
    assert (split.y_train, split.y_test, split.y_valid, split.n_classes) == (None, None, None, 0)
    with pytest.raises(ValueError, match="published part"):
        data.load("adult", validation=5)


def test_digits_are_scikit_learns_divided_by_sixteen():
    split, published = data.load("digits"), load_digits()
    rows = torch.cat([split.x_train, split.x_test]).flatten(1) * 16
    rows = torch.cat([rows, torch.cat([split.y_train, split.y_test])[:, None]], dim=1)
    desired = np.column_stack([published.data, published.target])
    assert_array_equal(np.unique(rows, axis=0), np.unique(desired, axis=0))
    assert split.x_train.shape == (1438, 8, 8) and split.x_test.shape == (359, 8, 8)
    assert split.source == "scikit-learn"


@pytest.mark.parametrize("part", ["test", "valid", "train"])
@pytest.mark.parametrize("n", [359, 100, 13])
def test_draws_hold_the_classes_in_proportion(n, part):
    options = {"valid": {"validation": n}, "train": {"limit": n}}.get(part, {})
    whole = load_digits().target if part == "test" else data.load("digits").y_train
    drawn = getattr(data.load("digits", **options), f"y_{part}")
    share = np.bincount(whole) / len(whole)
    # a class is at most 1/2 from its place in line, and the lines end within 10/2 of each other
    assert (abs(np.bincount(drawn, minlength=10) - len(drawn) * share) <= 0.5 + 5 * share).all()


def test_unequal_classes_stay_unequal(stored):
    split = data.load("higgs_sample", validation=40, limit=20)
    assert (int(split.y_valid.sum()), int(split.y_train.sum())) == (10, 5)


def test_validation_part_leaves_the_training_part(stored):
    split = data.load("higgs_sample", validation=40)
    assert len(split.x_valid) == len(split.y_valid) == 40
    assert sorted(numbers(split.x_train) + numbers(split.x_valid)) == list(range(120))
    assert numbers(split.x_test) == list(range(120, 150))


def test_examples_keep_their_labels(stored):
    split = data.load("higgs_sample", validation=40, limit=30)
    assert_array_equal(split.y_valid, split.x_valid[:, 0] % 4 == 0)
    assert_array_equal(split.y_train, split.x_train[:, 0] % 4 == 0)


@pytest.mark.parametrize("limit", [None, 10])
def test_validation_part_is_fixed(stored, limit):
    before = numbers(data.load("higgs_sample", validation=40).x_valid)
    torch.manual_seed(1)
    assert numbers(data.load("higgs_sample", validation=40, limit=limit).x_valid) == before


def test_smaller_limit_keeps_a_subset(stored):
    small, large = (data.load("higgs_sample", validation=40, limit=n).x_train for n in (10, 30))
    assert len(small) == 10 and len(large) == 30
    assert set(numbers(small)) < set(numbers(large))


def test_limit_above_the_training_part_keeps_all(stored):
    assert numbers(data.load("higgs_sample", limit=1000).x_train) == list(range(120))


@pytest.mark.parametrize("options", [{"validation": 120}, {"validation": -1}, {"limit": 0}])
def test_numbers_out_of_range_are_refused(stored, options):
    (name, value) = next(iter(options.items()))
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        data.load("higgs_sample", **options)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", [np.uint8, ">i4", np.int64])
def test_sha256_is_that_of_the_content(stored, table, save, dtype):
    desired = data.load("higgs_sample").sha256
    replace(stored, table | {"y_train": table["y_train"].astype(dtype)}, save)
    assert data.load("higgs_sample", validation=3, limit=7).sha256 == desired
    replace(stored, table | {"y_train": 1 - table["y_train"]}, save)
    assert data.load("higgs_sample").sha256 != desired


def test_own_folder_comes_before_raw(stored, table):
    data.RAW.mkdir()
    np.savez(data.RAW / "higgs_sample.npz", **table)
    assert data.load("higgs_sample").source == "SPARSE_DATA_DIR"
    stored.unlink()
    assert data.load("higgs_sample").source == "data/raw"


# standardisation


def test_tables_are_standardised_by_feature_and_constants_vanish(own, table):
    table["x_train"][:, 3], table["x_train"][:, 5] = 0.1, 1e6
    np.savez(own / "higgs_sample.npz", **table)
    split = data.load("higgs_sample", validation=20)
    mean, std = split.standardisation()
    x, constant = split.x_train.double(), [3, 5]
    assert mean.dtype == std.dtype == torch.float32
    assert_allclose(mean, x.mean(0), rtol=1e-6)
    assert_allclose(std, x.std(0, correction=0).index_fill(0, torch.tensor(constant), 1), rtol=1e-6)
    assert not ((split.x_train - mean) / std)[:, constant].any()


def image_split(x, name):
    x = torch.as_tensor(x, dtype=torch.float32)
    y = torch.zeros(len(x), dtype=torch.int64)
    return data.Split(x, y, x[:1] + 9, y[:1], None, None, name, name, "a test", "")


@pytest.mark.parametrize(("name", "shape"), [("digits", (8, 8)), ("coil20", (1024,))])
def test_grey_images_are_standardised_by_one_pair(rng, name, shape):
    x = rng.uniform(size=(50, *shape))
    mean, std = image_split(x, name).standardisation()
    assert mean.shape == std.shape == ()
    assert_allclose([mean, std], [x.mean(), x.std()], rtol=1e-6)


def test_colour_images_are_standardised_by_channel(rng):
    x = rng.uniform(size=(50, 3, 4, 4)) * np.array([1, 2, 3])[:, None, None]
    mean, std = image_split(x, "cifar10").standardisation()
    assert_allclose(mean, x.mean((0, 2, 3)).repeat(16), rtol=1e-6)
    assert_allclose(std, x.std((0, 2, 3)).repeat(16), rtol=1e-6)


# names, and data sets that cannot be had


@pytest.mark.parametrize("option", ["name", "fallback"])
@pytest.mark.parametrize(
    ("name", "nearest"),
    [("MNIST", "mnist"), ("FashionMNIST", "fashion_mnist"), ("cifar-10", "cifar10"), ("", "")],
)
def test_unknown_name_is_refused_with_the_nearest(option, name, nearest):
    with pytest.raises(ValueError, match=f"unknown data set '{name}': did you mean '{nearest}"):
        data.load(**{"name": "digits", option: name})


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_missing_set_is_an_error_with_three_ways_out(own, name):
    ways = rf"{name} .*SPARSE_DATA_DIR \(now {own}\).* {name}.npz.* data/raw.* network"
    with pytest.raises(data.DataUnavailable, match=ways):
        data.load(name)


def test_missing_set_without_address_is_an_error_with_two_ways_out():
    with pytest.raises(data.DataUnavailable, match="adult.*SPARSE_DATA_DIR.*data/raw$"):
        data.load("adult")


def test_fallback_says_so():
    split = data.load("mnist", limit=100, fallback="digits")
    assert (split.name, split.requested, len(split.x_train)) == ("digits", "mnist", 100)
    assert split.notice == "digits stands in for mnist, which could not be had"
    assert split.sha256 == data.load("digits").sha256


def test_fallback_gives_at_most_a_fifth_to_validation():
    assert len(data.load("mnist", validation=100, fallback="digits").x_valid) == 100
    assert len(data.load("mnist", validation=5000, fallback="digits").x_valid) == 1438 // 5


def test_fallback_is_left_alone_when_the_set_is_there(stored):
    split = data.load("higgs_sample", fallback="digits")
    assert (split.name, split.notice) == ("higgs_sample", "")


def test_fallback_does_not_hide_a_damaged_file(own):
    (own / "mnist.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="mnist.npz"):
        data.load("mnist", fallback="digits")


# files that are damaged or hold something else


def first_row(value):
    return lambda x: np.concatenate([np.full_like(x[:1], value), x[1:]])


@pytest.mark.parametrize(
    ("key", "change", "wrong"),
    [
        ("x_train", first_row(np.nan), r"x_train has values in \[nan, nan\]"),
        ("x_test", first_row(np.inf), "x_test has values in .* inf"),
        ("x_train", lambda x: x.astype(np.float64) * 1e39, "x_train has values"),
        ("x_train", lambda x: x[:, :27], r"x_train has shape \(120, 27\), not \('N', 28\)"),
        ("x_train", lambda x: x[:0], r"x_train has shape \(0, 28\)"),
        ("x_train", lambda x: x[0, 0], r"x_train has shape \(\)"),
        ("x_test", lambda x: x.astype(str), "x_test is of type <U32"),
        ("x_test", lambda x: x.astype(complex), "x_test is of type complex"),
        ("x_test", lambda x: x.astype(object), "Object arrays"),
        ("y_train", lambda y: y[1:], r"y_train is uint8 of shape \(119,\), not .* \(120,\)"),
        ("y_train", lambda y: y.astype(float), "y_train is float64"),
        ("y_test", lambda y: y + 1, r"y_test has the label 2, which is not in \[0, 1\]"),
    ],
)
def test_wrong_array_is_named(stored, table, key, change, wrong):
    np.savez(stored, **table | {key: change(table[key])})
    with pytest.raises(ValueError, match=f"{stored} .*{wrong}.*; delete or replace it"):
        data.load("higgs_sample")


@pytest.mark.parametrize("key", KEYS)
def test_missing_array_is_named(stored, table, key):
    del table[key]
    np.savez(stored, **table)
    with pytest.raises(ValueError, match=f"{key} is missing"):
        data.load("higgs_sample")


def test_validation_array_without_labels_is_refused(stored, table):
    np.savez(stored, **table, x_valid=table["x_test"])
    with pytest.raises(ValueError, match="y_valid is missing"):
        data.load("higgs_sample")


@pytest.mark.parametrize("value", [2, 0.5, -1])
def test_value_that_is_not_binary_is_named(own, value):
    x = np.full((3, 123), value)
    np.savez(own / "adult.npz", x_train=x, x_test=x)
    with pytest.raises(ValueError, match="x_train has .* in .0, 1."):
        data.load("adult")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_part_of_the_images_is_refused(own, name):
    x = np.zeros((7, *data._KINDS[name].shape), np.uint8)
    np.savez(own / f"{name}.npz", x_train=x, y_train=x[:, 0], x_test=x, y_test=x[:, 0])
    with pytest.raises(ValueError, match=r"x_train has shape \(7, .*, not \([56]0000, "):
        data.load(name)


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-1],
        lambda b: b[: len(b) // 2],
        lambda b: b[1000:],
        lambda b: b"",
        lambda b: b"PK",
    ],
)
def test_broken_file_is_named(stored, damage):
    stored.write_bytes(damage(stored.read_bytes()))
    with pytest.raises(ValueError, match=f"{stored} is not a whole higgs_sample"):
        data.load("higgs_sample")


@pytest.mark.parametrize("share", np.linspace(0, 0.999, 50).tolist())
def test_flipped_bits_are_never_read(stored, share):
    desired, content = data.load("higgs_sample").sha256, bytearray(stored.read_bytes())
    content[int(share * len(content))] ^= 0x55
    stored.with_name("new").write_bytes(content)
    stored.with_name("new").replace(stored)
    with contextlib.suppress(ValueError):  # some bytes, such as dates, mean nothing
        assert data.load("higgs_sample").sha256 == desired


def test_folder_in_place_of_a_file_is_named(own):
    (own / "mnist.npz").mkdir()
    with pytest.raises(ValueError, match="mnist.npz"):
        data.load("mnist")


def test_images_other_than_the_published_say_so(own, monkeypatch, small):
    np.savez(own / "mnist.npz", **small)
    monkeypatch.delitem(data._CONTENT_SHA256, "mnist")
    assert data.load("mnist").notice == ""
    monkeypatch.setitem(data._CONTENT_SHA256, "mnist", "0" * 64)
    assert "mnist.npz differs from the published mnist" in data.load("mnist").notice


# download


@pytest.fixture
def small(rng, monkeypatch):
    """A small mnist, that passes for the real one."""
    kind = data._KINDS["mnist"]._replace(n_train=6, n_test=4)
    monkeypatch.setitem(data._KINDS, "mnist", kind)
    x = rng.integers(0, 256, (10, 28, 28), dtype=np.uint8)
    y = np.arange(10, dtype=np.uint8)
    return {"x_train": x[:6], "y_train": y[:6], "x_test": x[6:], "y_test": y[6:]}


@pytest.fixture
def server(monkeypatch):
    """Contents by path, as a local server sends them; `cut` bytes are promised but not sent."""

    class Handler(http.server.BaseHTTPRequestHandler):
        contents, cut, asked = {}, 0, []

        def do_GET(self):
            self.asked.append(self.path)
            content = self.contents.get(self.path, b"")
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) - self.cut])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        address = f"http://127.0.0.1:{http_server.server_port}/"
        monkeypatch.setattr(data, "_FOLDERS", dict.fromkeys(data._FOLDERS, address))
        threading.Thread(target=http_server.serve_forever, args=(0.01,)).start()
        yield Handler
        http_server.shutdown()


@pytest.fixture
def publisher(server, small, monkeypatch):
    """The server, with the small mnist in the files of the real one."""
    heads = {"x": bytes(16), "y": bytes(8)}
    files = [gzip.compress(heads[key[0]] + small[key].tobytes()) for key in KEYS]
    names = [f"/{name}-ubyte.gz" for name in data._IDX_FILES]
    server.contents = dict(zip(names, files, strict=True))
    sha256 = hashlib.sha256(b"".join(files)).hexdigest()
    monkeypatch.setitem(data._FILES_SHA256, "mnist", sha256)
    monkeypatch.delitem(data._CONTENT_SHA256, "mnist")
    return server


def test_download_is_converted_once(publisher, small):
    first, second = data.load("mnist"), data.load("mnist")
    assert (first.source, second.source) == ("download", "data/raw")
    assert len(publisher.asked) == 4
    assert_array_equal(second.x_train, (small["x_train"] / np.float32(255)))
    assert_array_equal(second.y_test, small["y_test"])
    assert [path.name for path in data.RAW.iterdir()] == ["mnist.npz"]


def tar_gz(contents):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def test_cifar10_is_read_from_its_binary_archive(server, rng, monkeypatch):
    monkeypatch.setitem(
        data._KINDS, "cifar10", data._KINDS["cifar10"]._replace(n_train=10, n_test=2)
    )
    rows = rng.integers(0, 10, (12, 3073), dtype=np.uint8)
    names = ["test_batch", *(f"data_batch_{i}" for i in (5, 4, 3, 2, 1))]  # not in their order
    parts = [rows[10:], *(rows[2 * i : 2 * i + 2] for i in (4, 3, 2, 1, 0))]
    archive = tar_gz(
        {f"cifar-10-batches-bin/{n}.bin": p.tobytes() for n, p in zip(names, parts, strict=True)}
    )
    server.contents = {"/cifar-10-binary.tar.gz": archive}
    monkeypatch.setitem(data._FILES_SHA256, "cifar10", hashlib.sha256(archive).hexdigest())
    split = data.load("cifar10")
    assert_array_equal(torch.cat([split.y_train, split.y_test]), rows[:, 0])
    assert_array_equal(split.x_train.flatten(1), rows[:10, 1:] / np.float32(255))
    assert split.x_test.shape == (2, 3, 32, 32)


@pytest.fixture
def rows(rng, monkeypatch):
    """(10, 29) label and features of a small higgs, that passes for the full one."""
    kind = data._KINDS["higgs"]._replace(n_train=7, n_test=3)
    monkeypatch.setitem(data._KINDS, "higgs", kind)
    return np.column_stack([np.arange(10) % 2, rng.normal(size=(10, 28))]).astype(np.float32)


def csv_gz(rows):
    """The rows as the publisher writes them."""
    file = io.StringIO()
    np.savetxt(file, rows, fmt="%.18e", delimiter=",")
    return gzip.compress(file.getvalue().encode())


def test_higgs_is_fetched_by_its_name_and_its_last_rows_are_the_test_part(server, rows):
    server.contents = {"/HIGGS.csv.gz": csv_gz(rows)}
    (row,) = data.where(["higgs"])
    assert (row["source"], row["n_train"], row["n_test"], row["status"]) == ("download", 7, 3, "ok")
    split = data.load("higgs")
    assert_array_equal(torch.cat([split.x_train, split.x_test]), rows[:, 1:])
    assert_array_equal(torch.cat([split.y_train, split.y_test]), rows[:, 0])
    assert (len(split.x_test), split.source, len(server.asked)) == (3, "data/raw", 1)
    assert [path.name for path in data.RAW.iterdir()] == ["higgs.npz"]


def test_higgs_is_parsed_in_chunks(rows, monkeypatch):
    read_csv = data.pd.read_csv

    def in_threes(file, **options):
        return read_csv(file, **options | {"chunksize": 3})

    monkeypatch.setattr(data.pd, "read_csv", in_threes)
    arrays = data._from_higgs_csv(io.BytesIO(csv_gz(rows)))
    assert_array_equal(np.concatenate([arrays["x_train"], arrays["x_test"]]), rows[:, 1:])


def test_higgs_is_never_fetched_by_accident(server, rows, own):
    server.contents = {"/HIGGS.csv.gz": csv_gz(rows)}
    ways = rf"2.6 GB: .*python -m lib data higgs, .*\(now {own}\).* higgs.npz, .* data/raw$"
    with pytest.raises(data.DataUnavailable, match=ways):
        data.load("higgs")
    assert data.load("higgs", fallback="digits").name == "digits"
    (row,) = (row for row in data.where() if row["dataset"] == "higgs")
    assert row["source"] is None and "2.6 GB" in row["status"]
    assert "/HIGGS.csv.gz" not in server.asked


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda r: csv_gz(r[1:]), r"x_test has shape \(2, 28\), not \(3, 28\)"),
        (lambda r: csv_gz(r[[*range(10), 9]]), r"x_test has shape \(4, 28\)"),
        (lambda r: csv_gz(r[:, :28]), r"x_train has shape \(7, 27\)"),
        (lambda r: csv_gz(r[:, :1]), r"x_train has shape \(7, 0\)"),
        (lambda r: csv_gz(np.where(r == r[4, 5], np.nan, r)), "x_train has values"),
        (lambda r: csv_gz(np.where(r == r[8, 9], np.inf, r)), "x_test has values"),
        (lambda r: csv_gz(r + 0.5), "there is the label 0.5, which is not in .0, 1."),
        (lambda r: csv_gz(r - 1), "there is the label -1.0"),
        (lambda r: csv_gz(r)[:-900], "HIGGS.csv.gz is not whole"),
        (lambda r: csv_gz(r)[:900] + bytes(100) + csv_gz(r)[1000:], "HIGGS.csv.gz is not whole"),
        (lambda r: gzip.compress(b"<html>"), "HIGGS.csv.gz is not whole"),
        (lambda r: gzip.compress(b""), "HIGGS.csv.gz is not whole"),
        (lambda r: b"<html>", "[Nn]ot a gzip"),
    ],
)
def test_higgs_that_is_not_whole_is_not_stored(server, rows, change, wrong):
    server.contents = {"/HIGGS.csv.gz": change(rows)}
    (row,) = data.where(["higgs"])
    assert row["source"] is None and row["status"].startswith("higgs could not be had from")
    assert re.search(wrong, row["status"]) and list(data.RAW.iterdir()) == []


def test_higgs_that_breaks_off_leaves_nothing(server, rows):
    server.contents, server.cut = {"/HIGGS.csv.gz": csv_gz(rows)}, 1
    assert "broke off 1 bytes before its end" in data.where(["higgs"])[0]["status"]
    assert list(data.RAW.iterdir()) == []


def test_damaged_higgs_is_named_and_not_fetched_again(server, rows, own):
    server.contents = {"/HIGGS.csv.gz": csv_gz(rows)}
    data.where(["higgs"])
    path = data.RAW / "higgs.npz"
    path.write_bytes(path.read_bytes()[:-100])
    assert data.where(["higgs"])[0]["status"].startswith(f"damaged: {path} is not a whole higgs")
    with pytest.raises(ValueError, match="higgs.npz is not a whole higgs"):
        data.load("higgs", fallback="digits")
    assert len(server.asked) == 1


def test_other_content_is_refused(publisher):
    publisher.contents["/t10k-labels-idx1-ubyte.gz"] += b"more"
    with pytest.raises(data.DataUnavailable, match="sha256 [0-9a-f]{64}, not [0-9a-f]{64}"):
        data.load("mnist")
    assert not data.RAW.exists()


def test_download_that_breaks_off_leaves_nothing_and_can_be_repeated(publisher):
    publisher.cut = 1
    with pytest.raises(data.DataUnavailable, match="broke off 1 bytes before its end"):
        data.load("mnist")
    assert not data.RAW.exists()
    publisher.cut = 0
    assert data.load("mnist").source == "download"


def test_full_disc_leaves_nothing(publisher, monkeypatch):
    def fill(file, **_):
        file.write(b"PK")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", fill)
    with pytest.raises(data.DataUnavailable, match="no space left"):
        data.load("mnist")
    assert list(data.RAW.iterdir()) == []


def test_refused_request_is_not_taken_for_silence(server):
    with pytest.raises(data.DataUnavailable, match="404"):
        data.load("mnist")
    with pytest.raises(data.DataUnavailable, match="404"):
        data.load("cifar10")


def test_silent_network_is_given_up_once(monkeypatch):
    monkeypatch.setattr(data, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and never says a word
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(data, "_FOLDERS", dict.fromkeys(data._FOLDERS, address))
        with pytest.raises(data.DataUnavailable, match="no answer|timed out"):
            data.load("mnist")
        monkeypatch.setattr(data, "TIMEOUT", 600)
        with pytest.raises(data.DataUnavailable, match="asked once a process"):
            data.load("fashion_mnist")


def test_name_look_up_that_hangs_is_given_up(monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(data, "TIMEOUT", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait() and [])
    with pytest.raises(data.DataUnavailable, match="no answer"):
        data.load("mnist")
    released.set()


# the report


def test_where_says_what_is_there_and_why_the_rest_is_not(stored):
    there, absent = data.where(["higgs_sample", "adult"])
    digest = data.load("higgs_sample").sha256
    desired = ("higgs_sample", "SPARSE_DATA_DIR", str(stored), 120, 30, "28", digest, "ok")
    assert tuple(there.values()) == desired
    assert "SPARSE_DATA_DIR" in absent.pop("status")
    assert absent == dict.fromkeys(absent, None) | {"dataset": "adult"}
    assert there.keys() == absent.keys() | {"status"}


def test_where_reports_all_sets_and_goes_on_after_a_damaged_one(own):
    (own / "mnist.npz").write_bytes(b"")
    rows = {row["dataset"]: row for row in data.where()}
    assert tuple(rows) == data.NAMES
    assert "delete or replace" in rows["mnist"]["status"]
    assert rows["digits"]["status"] == "ok" and rows["digits"]["shape"] == "8x8"


def test_where_fetches_what_it_can(publisher):
    assert [row["source"] for row in data.where(["mnist"])] == ["download"]


def test_where_refuses_an_unknown_name():
    with pytest.raises(ValueError, match="'nips'"):
        data.where(["digits", "nibs"])


def test_data_set_is_here_where_its_file_is(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "RAW", tmp_path / "raw")
    monkeypatch.setenv("SPARSE_DATA_DIR", str(tmp_path))
    assert data.is_here("digits") and not data.is_here("cifar10")
    (tmp_path / "cifar10.npz").touch()
    assert data.is_here("cifar10") and not data.is_here("mnist")
