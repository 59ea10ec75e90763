"""A loaded data set is what its name says, divided and limited as asked."""

import gzip
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from lib import data
from lib.data import fetch, formats, sets

KEYS = ("x_train", "y_train", "x_test", "y_test")


def numbers(x):
    """The examples of the table that these rows are."""
    return x[:, 0].int().tolist()


def test_arrays_come_back_as_they_were_stored(stored, table):
    split = data.load("higgs_sample")
    actual = [getattr(split, key).numpy() for key in KEYS]
    assert [a.dtype for a in actual] == [np.float32, np.int64] * 2
    assert all(map(np.array_equal, actual, (table[key] for key in KEYS)))
    assert (split.x_valid, split.y_valid, split.notice) == (None, None, "")
    assert (split.name, split.source) == ("higgs_sample", "SPARSE_DATA_DIR")
    assert (split.n_features, split.n_classes, split.path) == (28, 2, str(stored))


def test_split_is_loaded_once_while_it_is_the_same(stored):
    once = data.load_once("higgs_sample", validation=20)
    assert data.load_once("higgs_sample", validation=20) is once
    assert torch.equal(once.x_valid, data.load("higgs_sample", validation=20).x_valid)
    assert len(data.load_once("higgs_sample", limit=10).x_train) == 10


def test_other_data_of_the_same_name_are_loaded(stored, table):
    before = data.load_once("higgs_sample").x_train
    np.savez(stored, **{**table, "x_train": table["x_train"] + 1})
    assert torch.equal(data.load_once("higgs_sample").x_train, torch.tensor(table["x_train"] + 1))
    assert not torch.equal(before, data.load_once("higgs_sample").x_train)


def test_repr_names_the_set_its_sizes_and_its_source(stored):
    split = data.load("higgs_sample", validation=20)
    desired = "Split(higgs_sample, 28, 100 train, 30 test, 20 validation, from SPARSE_DATA_DIR)"
    assert repr(split) == desired


def test_digits_are_scikit_learns_divided_by_sixteen():
    split, published = data.load("digits"), load_digits()
    rows = torch.cat([split.x_train, split.x_test]).flatten(1) * 16
    rows = torch.cat([rows, torch.cat([split.y_train, split.y_test])[:, None]], dim=1)
    desired = np.column_stack([published.data, published.target])
    assert_array_equal(np.unique(rows, axis=0), np.unique(desired, axis=0))
    assert split.x_train.shape == (1438, 8, 8) and split.x_test.shape == (359, 8, 8)
    assert split.source == "scikit-learn"


@pytest.mark.parametrize(("part", "n"), [("test", 359), ("valid", 100), ("train", 13)])
def test_draws_hold_the_classes_in_proportion(n, part):
    options = {"valid": {"validation": n}, "train": {"limit": n}}.get(part, {})
    whole = load_digits().target if part == "test" else data.load("digits").y_train
    drawn = getattr(data.load("digits", **options), f"y_{part}")
    share = np.bincount(whole) / len(whole)
    # a class is at most 1/2 from its place in line, and the lines end within 10/2 of each other
    assert (abs(np.bincount(drawn, minlength=10) - len(drawn) * share) <= 0.5 + 5 * share).all()


def test_validation_part_leaves_the_training_part(stored):
    split = data.load("higgs_sample", validation=40)
    assert len(split.x_valid) == len(split.y_valid) == 40
    assert sorted(numbers(split.x_train) + numbers(split.x_valid)) == list(range(120))
    assert numbers(split.x_test) == list(range(120, 150))


def test_examples_keep_their_labels(stored):
    split = data.load("higgs_sample", validation=40, limit=30)
    assert_array_equal(split.y_valid, split.x_valid[:, 0] % 4 == 0)
    assert_array_equal(split.y_train, split.x_train[:, 0] % 4 == 0)


def test_class_of_the_validation_part_alone_is_counted():
    split = data.from_arrays(torch.randn(40, 2), torch.arange(40) % 2, validation=8)
    for known in (split, replace(split, classes=())):
        other = replace(known, y_train=0 * split.y_train, y_test=0 * split.y_test)
        assert other.n_classes == 2


def test_validation_part_is_fixed_and_a_smaller_limit_keeps_a_subset(stored):
    splits = []
    for limit in (10, 30, None):
        torch.manual_seed(limit or 1)
        splits.append(data.load("higgs_sample", validation=40, limit=limit))
    assert len({tuple(numbers(split.x_valid)) for split in splits}) == 1
    small, large, _ = (set(numbers(split.x_train)) for split in splits)
    assert (len(small), len(large)) == (10, 30) and small < large


@pytest.mark.parametrize("options", [{"validation": 120}, {"validation": -1}, {"limit": 0}])
def test_numbers_out_of_range_are_refused(stored, options):
    (name, value) = next(iter(options.items()))
    with pytest.raises(ValueError, match=f"{name} (is|=) {value}"):
        data.load("higgs_sample", **options)


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


@pytest.mark.parametrize("base", [1.5e6, 1e7])
def test_columns_far_from_0_have_their_standard_deviation(base):
    """As places of a map, and times."""
    x = base + torch.arange(60_000.0)[:, None] % 3
    mean, std = image_split(x, "own").standardisation()
    assert_allclose(mean, [base + 1], rtol=1e-6)
    assert_allclose(std, [(2 / 3) ** 0.5], rtol=1e-6)


def image_split(x, name):
    x = torch.as_tensor(x, dtype=torch.float32)
    y = torch.zeros(len(x), dtype=torch.int64)
    return data.Split(x, y, x[:1] + 9, y[:1], None, None, name, name, "a test", "")


@pytest.mark.parametrize(("name", "shape"), [("digits", (8, 8)), ("coil20", (1024,))])
def test_grey_images_are_standardised_by_one_pair_and_colours_by_channel(rng, name, shape):
    x = rng.uniform(size=(50, *shape))
    mean, std = image_split(x, name).standardisation()
    assert mean.shape == std.shape == ()
    assert_allclose([mean, std], [x.mean(), x.std()], rtol=1e-6)
    x = rng.uniform(size=(50, 3, 4, 4)) * np.array([1, 2, 3])[:, None, None]
    mean, std = image_split(x, "cifar10").standardisation()
    assert_allclose(mean, x.mean((0, 2, 3)).repeat(16), rtol=1e-6)
    assert_allclose(std, x.std((0, 2, 3)).repeat(16), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MNIST", "did you mean 'mnist'"),
        ("FashionMNIST", "did you mean 'fashion_mnist'"),
        ("", "known are "),
    ],
)
def test_unknown_name_is_refused_with_the_nearest(name, hint):
    with pytest.raises(ValueError, match=f"unknown data set '{name}': {hint}"):
        data.load(name)


def test_notice_says_what_stands_in(stored, monkeypatch):
    monkeypatch.setattr(sets.torch, "tensor", None)  # nothing is made of the arrays
    said = data.notice("mnist", fallback="digits")
    assert said.startswith("digits stands in for mnist, as mnist could not be had from http://")
    assert said.endswith("or put it in data/raw, or connect to the network")
    assert data.notice("higgs_sample", fallback="digits") == data.notice("higgs_sample") == ""
    with pytest.raises(data.DataUnavailable):
        data.notice("mnist")
    with pytest.raises(ValueError, match="unknown data set 'digit': did you mean 'digits'"):
        data.notice("higgs_sample", fallback="digit")


def test_fallback_does_not_hide_a_damaged_file(own):
    (own / "mnist.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="mnist.npz"):
        data.notice("mnist", fallback="digits")


def test_new_data_set_is_one_entry(server, rng, monkeypatch):
    rows = rng.integers(0, 2, (5, 3)).astype(np.float32)
    text = "\n".join(",".join(map(str, row)) for row in rows)
    server.contents = {"/points.csv.gz": gzip.compress(text.encode())}
    source = formats.Download(
        sets.SETS["mnist"].download.address,
        files=("points.csv.gz",),
        sha256=(None,),
        read=formats.read_labelled_csv,
    )
    entry = formats.DataSet("points", (2,), labels=range(2), n_train=3, n_test=2, download=source)
    monkeypatch.setitem(sets.SETS, "points", entry)
    monkeypatch.setattr(sets, "NAMES", ("points",))
    (row,) = data.where()
    assert (row["source"], row["shape"], row["status"]) == ("download", "2", "ok")
    split = data.load("points")
    assert_array_equal(torch.cat([split.x_train, split.x_test]), rows[:, 1:])


def test_images_other_than_the_published_say_so(own, alter, small):
    np.savez(own / "mnist.npz", **small)
    alter("mnist", content_sha256=None)
    assert data.load("mnist").notice == ""
    alter("mnist", content_sha256="0" * 64)
    assert "mnist.npz differs from the published mnist" in data.load("mnist").notice


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


def test_data_set_is_here_where_its_file_is(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "RAW", tmp_path / "raw")
    monkeypatch.setenv("SPARSE_DATA_DIR", str(tmp_path))
    assert data.is_here("digits") and not data.is_here("cifar10")
    (tmp_path / "cifar10.npz").touch()
    assert data.is_here("cifar10") and not data.is_here("mnist")


# sets of photographs


@pytest.fixture
def photographs(own, rng, alter):
    """Stores a set of small pictures whose first pixel numbers the examples."""

    def store(name, y, **more):
        alter(name, shape=(3, 2, 2))
        x = rng.integers(0, 256, (len(y), 3, 2, 2), dtype=np.uint8)
        x[:, 0, 0, 0] = np.arange(len(y))
        np.savez(own / f"{name}.npz", x_train=x, y_train=np.asarray(y, np.uint8), **more)
        return x

    return store


def places(x):
    return x[:, 0, 0, 0].tolist()


def test_pictures_stay_whole_numbers_where_asked(photographs):
    x = photographs("citrus_leaves", np.arange(100) % 4)
    whole = data.load("citrus_leaves", scaled=False).x_train
    assert whole.dtype == torch.uint8
    assert_array_equal(whole, x[places(whole)])
    assert_allclose(data.load("citrus_leaves").x_train, whole / 255, rtol=1e-6)


def test_leaves_are_divided_by_stretches_of_the_file(photographs):
    photographs("citrus_leaves", np.repeat(np.arange(4), 10))
    split = data.load("citrus_leaves", validation=8, scaled=False)
    first, last = np.arange(0, 40, 10), np.arange(10, 50, 10)
    assert places(split.x_test) == sorted([*(last - 2), *(last - 1)])
    assert places(split.x_valid) == sorted([*(last - 4), *(last - 3)])
    assert places(split.x_train) == sorted(np.add.outer(first, np.arange(6)).flatten())


@pytest.fixture
def eyes(photographs):
    """200 eyes of owners who show one to four of them; the owner by number of the eye."""
    owner = np.repeat(np.arange(80), np.resize([1, 4, 2, 3], 80))[:200] * 7
    photographs("eye_fundus", owner % 4, group=owner)
    return owner


def test_eyes_of_one_owner_come_into_one_part(eyes):
    split = data.load("eye_fundus", validation=30, limit=90, scaled=False)
    parts = [set(eyes[places(x)]) for x in (split.x_train, split.x_valid, split.x_test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert_array_equal(split.group, eyes[places(split.x_train)])
    # a part is larger than asked for by at most a group less one
    assert 40 <= len(split.x_test) <= 43 and 30 <= len(split.x_valid) <= 33


@pytest.mark.parametrize(
    ("more", "said"),
    [({}, "group is miss"), ({"group": np.arange(99)}, ""), ({"group": np.arange(100.0)}, "")],
)
def test_eyes_without_the_number_of_their_owner_are_refused(photographs, more, said):
    photographs("eye_fundus", np.arange(100) % 4, **more)
    sentence = f"eye_fundus.npz is not a whole eye_fundus: {said or 'group is'}"
    with pytest.raises(ValueError, match=sentence):
        data.load("eye_fundus")


@pytest.mark.parametrize("name", ["rsmas", "citrus_leaves", "rps28", "eye_fundus"])
def test_photographs_have_a_name_a_label_and_are_absent_by_name(name):
    entry = sets.SETS[name]
    assert len(set(entry.classes)) == len(entry.labels)
    with pytest.raises(fetch.DataUnavailable, match=f"{name} is not here and has no single"):
        data.load(name)
