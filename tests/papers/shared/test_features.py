"""Features are computed once, are those of their images and weights, and go on after a stop."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from lib import data
from lib.data import fetch, sets
from papers.shared import backbone, features

SIDE = 32


class Killed(BaseException):
    """As a process that is stopped."""


class Counting(torch.nn.Module):
    """A 1x1 convolution, that counts the images it sees and stops at some number of them."""

    def __init__(self):
        super().__init__()
        self.seen, self.stop_at = 0, None

    def forward(self, x):
        self.seen += len(x)
        if self.stop_at is not None and self.seen > self.stop_at:
            raise Killed
        return torch.cat([x, x**2], dim=1)


@pytest.fixture
def network():
    return Counting()


@pytest.fixture
def place(tmp_path, monkeypatch, network):
    """Empty folders, and a network of six features as mobilenet_v2."""
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("SPARSE_DATA_DIR", str(tmp_path / "own"))
    monkeypatch.setattr(fetch, "RAW", tmp_path / "raw")
    monkeypatch.setattr(features, "RAW", tmp_path / "raw")
    extractor = backbone.Extractor(
        "mobilenet_v2", network, lambda images: images.float() / 255, 6, "weights"
    )
    monkeypatch.setattr(backbone, "extractor", lambda name: extractor)
    features.load.cache_clear()
    yield tmp_path / "own"
    features.load.cache_clear()


@pytest.fixture
def stored(place, rng, monkeypatch):
    """100 small hands of three classes, 80 to train."""
    entry = replace(sets.SETS["rps28"], shape=(3, 4, 4))
    monkeypatch.setitem(sets.SETS, "rps28", entry)
    monkeypatch.setitem(features.SOURCES, "rps28", features.Source(side=SIDE))
    x = rng.integers(0, 256, (100, 3, 4, 4), dtype=np.uint8)
    y = np.resize(np.arange(3, dtype=np.uint8), 100)
    arrays = {"x_train": x[:80], "y_train": y[:80], "x_test": x[80:], "y_test": y[80:]}
    np.savez(place / "rps28.npz", **arrays)
    return arrays


def archive(place):
    return place / "features_mobilenet_v2_rps28.npz"


def desired_features(x):
    """Means of the enlarged image and of its square."""
    large = backbone.enlarged(torch.from_numpy(x), SIDE).float() / 255
    return torch.cat([large, large**2], dim=1).mean((2, 3))


def test_features_are_those_of_the_enlarged_images(stored):
    split = features.load("rps28")
    torch.testing.assert_close(split.x_test, desired_features(stored["x_test"]))
    assert_array_equal(split.y_test, stored["y_test"])
    assert (split.n_features, split.n_classes) == (6, 3)


def test_parts_are_those_of_the_data_set(stored):
    split = features.load("rps28")
    images = data.load("rps28", validation=16, scaled=False)
    torch.testing.assert_close(split.x_train, desired_features(images.x_train.numpy()))
    torch.testing.assert_close(split.x_valid, desired_features(images.x_valid.numpy()))
    assert torch.equal(split.y_valid, images.y_valid)


def test_stored_features_are_not_computed_again(place, stored, network):
    first = features.load("rps28")
    features.load.cache_clear()
    second = features.load("rps28")
    assert network.seen == 100 and torch.equal(first.x_train, second.x_train)
    assert not archive(place).with_suffix(".part").exists()


def test_what_is_interrupted_goes_on_from_its_checkpoint(place, stored, network, monkeypatch):
    monkeypatch.setattr(features, "SECONDS", -1.0)
    network.stop_at = 50
    with pytest.raises(Killed):
        features.load("rps28")
    assert not archive(place).exists()
    network.seen, network.stop_at = 0, None
    split = features.load("rps28")
    assert network.seen == 100 - 48  # three batches of 16 were done
    torch.testing.assert_close(split.x_test, desired_features(stored["x_test"]))


def test_damaged_checkpoint_costs_the_work_and_nothing_else(place, stored, network):
    archive(place).with_suffix(".part").write_bytes(b"")
    features.load("rps28")
    assert network.seen == 100


def test_checkpoint_of_other_images_is_not_continued(place, stored, network, monkeypatch):
    monkeypatch.setattr(features, "SECONDS", -1.0)
    network.stop_at = 50
    with pytest.raises(Killed):
        features.load("rps28")
    np.savez(place / "rps28.npz", **stored | {"x_test": stored["x_test"] // 2})
    network.seen, network.stop_at = 0, None
    features.load("rps28")
    assert network.seen == 100


@pytest.mark.parametrize("kind", ["weights", "images"])
def test_features_of_other_weights_or_images_are_refused(place, stored, kind):
    features.load("rps28")
    features.load.cache_clear()
    with np.load(archive(place)) as file:
        arrays = dict(file)
    np.savez(archive(place), **arrays | {f"{kind}_sha256": "0" * 64})
    with pytest.raises(ValueError, match=f"made of other {kind} .sha256 00000000….*delete it"):
        features.load("rps28")


def test_damaged_archive_is_refused(place, stored):
    archive(place).write_bytes(b"no archive")
    with pytest.raises(ValueError, match="no whole archive of features: delete it"):
        features.load("rps28")


def test_other_side_is_another_hash(stored, monkeypatch):
    before = features.images("rps28").sha256
    monkeypatch.setitem(features.SOURCES, "rps28", features.Source(side=2 * SIDE))
    assert features.images("rps28").sha256 != before


def test_features_are_here_where_images_and_weights_or_features_are(place, stored):
    assert not features.is_here("rps28")
    (place / "mobilenet_v2_imagenet.npz").touch()
    assert features.is_here("rps28")
    (place / "mobilenet_v2_imagenet.npz").unlink()
    features.load("rps28")
    assert features.is_here("rps28")
    (place / "rps28.npz").unlink()
    assert not features.is_here("rps28")


def test_set_that_is_not_here_is_unavailable_and_an_unknown_one_refused(place):
    with pytest.raises(data.DataUnavailable, match="rsmas is not here"):
        features.load("rsmas")
    with pytest.raises(ValueError, match="unknown data set with features 'rsma': did you mean"):
        features.load("rsma")


def test_class_with_fewer_images_than_parts_is_refused(place, stored):
    y = stored["y_train"].copy()
    y[y == 2] = 0
    y[5] = 2
    np.savez(place / "rps28.npz", **stored | {"y_train": y})
    with pytest.raises(ValueError, match="class 2 of rps28 has no image in the valid part"):
        features.load("rps28")


def test_large_set_is_cut_in_proportion(place, stored, monkeypatch):
    source = features.Source(side=SIDE, n_train=30, n_test=9)
    monkeypatch.setitem(features.SOURCES, "rps28", source)
    split = features.load("rps28")
    assert len(split.x_train) + len(split.x_valid) == 30
    assert np.bincount(split.y_test).tolist() == [3, 3, 3]
    drawn = np.sort(data.stratified_order(20, stored["y_test"].astype(np.int64))[:9])
    torch.testing.assert_close(split.x_test, desired_features(stored["x_test"][drawn]))


# digits and strangers


@pytest.fixture
def low():
    return features.load("digits_low", "tiny")


@pytest.fixture
def high():
    return features.load("digits_high", "tiny")


def test_digits_are_five_of_ten(low, high):
    assert low.n_classes == high.n_classes == 5
    n = sum(len(part) for s in (low, high) for part in (s.x_train, s.x_valid, s.x_test))
    assert n == 1797 and low.n_features == high.n_features == 32


def test_tiny_features_are_never_stored(low, tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSE_DATA_DIR", str(tmp_path))
    features.load.cache_clear()
    assert torch.equal(features.load("digits_low", "tiny").x_test, low.x_test)
    assert not list(tmp_path.iterdir())


def numbered(name, counts):
    """A split whose features number the set and the class."""
    y = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
    x = torch.stack([torch.full((len(y),), float(name)), y.double()], dim=1)
    return data.Split(x, y, x, y, x, y, str(name), "tiny", "")


def test_strangers_come_evenly_by_set_and_class():
    splits = [numbered(0, [30, 30]), numbered(1, [2, 50, 9]), numbered(2, [40])]
    found = features.strangers(splits, 25, "valid").numpy()
    pairs = itertools.product(range(3), range(3))
    counts = {pair: int((found == pair).all(axis=1).sum()) for pair in pairs}
    assert [sum(counts[s, c] for c in range(3)) for s in range(3)] == [9, 8, 8]
    assert {counts[0, 0], counts[0, 1]} == {4, 5}
    assert [counts[1, c] for c in range(3)] == [2, 3, 3]


def test_set_with_too_few_images_gives_all_it_has():
    assert len(features.strangers([numbered(0, [3]), numbered(1, [9])], 10, "test")) == 8
