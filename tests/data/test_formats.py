"""Files hold what their names say, or are refused by name."""

import contextlib
import errno

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal

from lib import data
from lib.data import formats, sets


def replace(path, arrays, save=np.savez):
    save(path.with_name("new.npz"), **arrays)
    path.with_name("new.npz").replace(path)


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


@pytest.mark.parametrize(("save", "dtype"), [(np.savez, ">i4"), (np.savez_compressed, np.int64)])
def test_sha256_is_that_of_the_content(stored, table, save, dtype):
    desired = data.load("higgs_sample").sha256
    replace(stored, table | {"y_train": table["y_train"].astype(dtype)}, save)
    assert data.load("higgs_sample", validation=3, limit=7).sha256 == desired
    replace(stored, table | {"y_train": 1 - table["y_train"]}, save)
    assert data.load("higgs_sample").sha256 != desired


def first_row(value):
    return lambda x: np.concatenate([np.full_like(x[:1], value), x[1:]])


@pytest.mark.faults("damaged data")
@pytest.mark.parametrize(
    ("key", "change", "wrong"),
    [
        ("x_train", first_row(np.nan), r"x_train has values in \[nan, nan\]"),
        ("x_test", first_row(np.inf), "x_test has values in .* inf"),
        ("x_train", lambda x: x.astype(np.float64) * 1e39, "x_train has values"),
        ("x_train", lambda x: x[:, :27], r"x_train has shape \(120, 27\), not \('N', 28\)"),
        ("x_train", lambda x: x[:0], r"x_train has shape \(0, 28\)"),
        ("x_test", lambda x: x.astype(str), "x_test is of type <U32"),
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


@pytest.mark.faults("damaged data")
@pytest.mark.parametrize("key", ["x_train", "y_test"])
def test_missing_array_is_named(stored, table, key):
    del table[key]
    np.savez(stored, **table)
    needed = "of the arrays x_train, y_train, x_test, y_test; delete or replace it"
    with pytest.raises(ValueError, match=f"{key} is missing, {needed}"):
        data.load("higgs_sample")


@pytest.mark.faults("damaged data")
@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("adult", 2, "x_train has .* in .0, 1."),
        ("adult", 0.5, "x_train has .* in .0, 1."),
        ("mnist", 0, r"x_train has shape \(7, .*, not \(60000, "),
        ("cifar10", 0, r"x_train has shape \(7, .*, not \(50000, "),
    ],
)
def test_values_and_numbers_of_examples_of_another_set_are_refused(own, name, value, sentence):
    x = np.full((7, *sets.SETS[name].shape), value, type(value) if value else np.uint8)
    labels = {} if name == "adult" else {"y_train": x[:, 0], "y_test": x[:, 0]}
    np.savez(own / f"{name}.npz", x_train=x, x_test=x, **labels)
    with pytest.raises(ValueError, match=sentence):
        data.load(name)


@pytest.mark.faults("damaged data")
@pytest.mark.parametrize("kept", [slice(500), slice(1000, None), slice(0), slice(2)])
def test_broken_file_is_named(stored, kept):
    stored.write_bytes(stored.read_bytes()[kept])
    with pytest.raises(ValueError, match=f"{stored} is not a whole higgs_sample"):
        data.load("higgs_sample")


@pytest.mark.faults("damaged data")
@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EMFILE, "Too many open files")])
def test_file_that_cannot_be_opened_now_is_not_called_damaged(stored, table, error, monkeypatch):
    def fail(*_, **__):
        raise error

    own = stored.with_name("own.npz")
    np.savez(own, x=table["x_train"], y=table["y_train"])
    monkeypatch.setattr(np, "load", fail)
    for name in ("higgs_sample", own):
        with pytest.raises(type(error)):
            data.load(name)


@pytest.mark.faults("damaged data")
@pytest.mark.parametrize(
    "share", [0, 0.5, 0.999, *(pytest.param(i / 50, marks=pytest.mark.slow) for i in range(1, 50))]
)
def test_flipped_bits_are_never_read(stored, share):
    desired, content = data.load("higgs_sample").sha256, bytearray(stored.read_bytes())
    content[int(share * len(content))] ^= 0x55
    stored.with_name("new").write_bytes(content)
    stored.with_name("new").replace(stored)
    with contextlib.suppress(ValueError):  # some bytes, such as dates, mean nothing
        assert data.load("higgs_sample").sha256 == desired


@pytest.mark.faults("damaged data")
def test_folder_in_place_of_a_file_is_named(own):
    (own / "mnist.npz").mkdir()
    with pytest.raises(ValueError, match="mnist.npz"):
        data.load("mnist")


def test_higgs_is_parsed_in_chunks(rows, monkeypatch, tmp_path):
    path = tmp_path / "HIGGS.csv.gz"
    pd.DataFrame(rows).to_csv(path, header=False, index=False, float_format="%.18e")
    monkeypatch.setattr(formats, "CSV_ROWS", 3)
    arrays = formats.read_labelled_csv(sets.SETS["higgs"], [path])
    assert_array_equal(np.concatenate([arrays["x_train"], arrays["x_test"]]), rows[:, 1:])
