"""The frozen networks are the published ones, fed as they were trained."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn import functional as F

from lib import data
from lib.data import fetch, vision
from papers.shared import backbone

PLACES = [fetch.RAW, Path(os.environ.get("SPARSE_DATA_DIR") or fetch.RAW)]


def at_hand(name):
    """Path of a file where data sets are; the test is skipped where it is not."""
    for place in PLACES:
        if (place / name).exists():
            return place / name
    return pytest.skip(f"{name} is neither in SPARSE_DATA_DIR nor in data/raw")


@pytest.fixture
def images(generator):
    return torch.randint(0, 256, (2, 3, 64, 64), generator=generator, dtype=torch.uint8)


@pytest.fixture
def network(generator):
    """MobileNetV2 with random weights."""
    network = vision.mobilenet_v2().float().eval().requires_grad_(False)
    for parameter in network.parameters():
        values = torch.randn(parameter.shape, generator=generator) * 0.2
        parameter.copy_(values)
    return network


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Empty folders in place of those of this machine."""
    monkeypatch.setenv("SPARSE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(fetch, "RAW", tmp_path / "raw")
    return tmp_path


def test_logits_of_eight_photographs_are_those_that_came_with_the_weights():
    path = at_hand("mobilenet_v2_imagenet.npz")
    with np.load(at_hand("selftest.npz")) as file:
        photographs, desired = torch.from_numpy(file["x"]), file["logits"]
    with np.load(path) as file:
        classifier = {k[-6:].strip("."): file[k] for k in file.files if k.startswith("classif")}
    weight, bias = classifier["weight"], classifier["1.bias"]
    pooled = backbone._from_npz(path).pooled(photographs).numpy()
    assert_allclose(pooled @ weight.T.astype(np.float32) + bias, desired, atol=1e-4)


def test_mean_of_the_map_is_the_pooled_feature(images):
    extractor = backbone._from_npz(at_hand("mobilenet_v2_imagenet.npz"))
    maps = extractor.maps(images)
    assert maps.shape == (2, 1280, 2, 2)
    assert_allclose(maps.mean((2, 3)), extractor.pooled(images), atol=1e-5)


def test_map_stands_as_the_image_does():
    extractor = backbone._from_npz(at_hand("mobilenet_v2_imagenet.npz"))
    grey = torch.full((1, 3, 128, 128), 128, dtype=torch.uint8)
    marked = grey.clone()
    marked[:, :, :32, 96:] = torch.arange(32, dtype=torch.uint8) * 8  # above, on the right
    change = (extractor.maps(marked) - extractor.maps(grey)).abs().sum(1)[0]
    assert change[:2, 2:].sum() > change.sum() / 2  # a quarter of the map


def test_pixels_go_to_plus_and_minus_one_turned_round():
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    images[0, :, 0, 1] = 255
    x = backbone.turned_to_unit_range(images)
    assert (float(x.min()), float(x.max())) == (-1, 1)
    assert torch.equal((x > 0)[0, 0].nonzero(), torch.tensor([[31, 30]]))


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(1, 1, 64, 64, dtype=torch.uint8),
        torch.zeros(1, 3, 60, 64, dtype=torch.uint8),
        torch.zeros(3, 64, 64, dtype=torch.uint8),
        torch.zeros(1, 3, 64, 64),
    ],
)
def test_other_images_are_refused(wrong):
    shape = re.escape(str(tuple(wrong.shape)))
    with pytest.raises(ValueError, match=rf"images are {wrong.dtype} of shape {shape}: give uint8"):
        backbone.turned_to_unit_range(wrong)


def test_weights_that_are_not_here_are_named_with_the_ways_to_them(own):
    assert not backbone.is_here("mobilenet_v2")
    with pytest.raises(data.DataUnavailable, match="imagenet.npz is not here: set SPARSE_DATA_DIR"):
        backbone.extractor("mobilenet_v2")


def test_file_that_holds_no_network_is_refused(own):
    np.savez(own / "mobilenet_v2_imagenet.npz", weight=np.zeros(3))
    with pytest.raises(ValueError, match="holds no MobileNetV2: delete or replace it"):
        backbone.extractor("mobilenet_v2")


def test_weights_are_read_from_the_file(own, network, images):
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    np.savez(own / "mobilenet_v2_imagenet.npz", **state)
    found = backbone.extractor("mobilenet_v2")
    desired = network.features(backbone.turned_to_unit_range(images)).mean((2, 3))
    assert_allclose(found.pooled(images), desired)
    assert backbone.is_here("mobilenet_v2") and len(found.sha256) == 64


@pytest.fixture(autouse=True)
def nothing_cached():
    backbone._from_npz.cache_clear()


@pytest.mark.parametrize("side", [28, 32, 50, 200])
def test_enlarged_image_has_the_bits_of_torchs_interpolation(generator, side):
    images = torch.randint(0, 256, (4, 3, side, side), generator=generator, dtype=torch.uint8)
    how = dict(size=(64, 64), mode="bilinear", align_corners=False)
    desired = F.interpolate(images.float(), **how).round().byte()
    assert torch.equal(backbone.enlarged(images, 64), desired)


def test_tiny_network_is_the_same_each_time_and_tells_its_digits():
    tiny = backbone.extractor("tiny")
    backbone._tiny.cache_clear()
    assert backbone.extractor("tiny").sha256 == tiny.sha256
    parameters = list(tiny.network.parameters())
    assert not any(parameter.requires_grad for parameter in parameters)
    split = data.load("digits", scaled=False)
    x, y = tiny.pooled(split.x_train[:, None]).numpy(), split.y_train.numpy()
    means = np.stack([x[y == label].mean(axis=0) for label in range(10)])
    nearest = ((x[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == y).mean() > 0.6  # by nearest class mean; chance is a tenth
