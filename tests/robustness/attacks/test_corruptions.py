"""Noise and corruptions against their distributions and the places pixels go to."""

import math
from functools import partial

import pytest
import torch

from lib.robustness import attacks
from tests.robustness.attacks.cases import seeded

each_corruption = pytest.mark.parametrize("name", attacks.CORRUPTIONS)


@each_corruption
def test_corruption_grows_with_its_severity_inside_the_bounds(images, name):
    corrupt = partial(attacks.corrupt, images, name)
    corrupted = [corrupt(severity, generator=seeded()) for severity in range(1, 6)]
    changes = [attacks.distance(c, images, "l2").mean().item() for c in corrupted]
    assert 0 < changes[0] and sorted(set(changes)) == changes
    assert all(c.min() >= 0 and c.max() <= 1 and c.shape == images.shape for c in corrupted)


@each_corruption
def test_corruption_follows_its_generator_and_the_bounds(images, name):
    corrupt = partial(attacks.corrupt, name=name, severity=3)
    desired = corrupt(images, generator=seeded())
    rows = corrupt(images.flatten(1), generator=seeded())
    scaled = corrupt(4 * images - 1, generator=seeded(), bounds=(-1.0, 3.0))
    assert torch.equal(rows, desired.flatten(1))
    torch.testing.assert_close(scaled, 4 * desired - 1)
    random = name not in ("brightness", "stripe", "scale")
    assert torch.equal(desired, corrupt(images, generator=seeded(1))) != random


def test_geometric_corruptions_move_a_single_pixel_as_stated():
    x = torch.zeros(200, 28, 28)
    x[:, 13, 13] = 1
    moved = attacks.corrupt(x, "translate", 2, generator=seeded())
    places = moved.flatten(1).argmax(1)
    desired = {28 * (13 + a) + 13 + b for a in (-2, 2) for b in (-2, 2)}
    assert set(places.tolist()) == desired
    torch.testing.assert_close(moved.sum((1, 2)), torch.ones(200))


def test_impulse_noise_hits_the_stated_fraction_evenly():
    x = torch.full((100, 28, 28), 0.5)
    noisy = attacks.corrupt(x, "impulse_noise", 5, generator=seeded())
    n = x.numel()
    p = 0.27 / 2
    counts = torch.stack([(noisy == value).sum() for value in (0, 1)]).double()
    assert ((counts - n * p).abs() < 5 * math.sqrt(n * p * (1 - p))).all()  # 5 standard errors
    assert counts.sum() + (noisy == 0.5).sum() == n


def test_shot_noise_has_the_variance_of_counts():
    x = torch.full((100, 28, 28), 0.3)
    noisy = attacks.corrupt(x, "shot_noise", 1, generator=seeded())
    n = x.numel()
    variance = 0.3 / 60  # of a Poisson number of mean 18, over 60
    assert abs(noisy.mean() - 0.3) < 5 * math.sqrt(variance / n)
    assert abs(noisy.var() / variance - 1) < 5 * math.sqrt((2 + 1 / 18) / n)


def test_gaussian_noise_has_its_standard_deviation_and_is_clipped():
    grey = torch.full((100, 400), 0.5)
    noisy = attacks.gaussian_noise(grey, 0.05, generator=seeded())
    assert abs(noisy.mean() - 0.5) < 5 * 0.05 / 200
    assert abs(noisy.var() / 0.05**2 - 1) < 5 * math.sqrt(2 / 40_000)
    dark = attacks.gaussian_noise(torch.zeros(100, 400), 0.05, generator=seeded())
    assert dark.min() == 0
    assert abs((dark == 0).double().mean() - 0.5) < 5 * 0.5 / 200


@pytest.mark.parametrize(("name", "severity"), [("fog", 1), ("rotate", 0), ("rotate", 6)])
def test_unknown_corruptions_are_refused(images, name, severity):
    with pytest.raises(ValueError, match="is unknown: give one of"):
        attacks.corrupt(images, name, severity, generator=seeded())


@pytest.mark.parametrize("noise_std", [-0.1, math.inf, math.nan])
def test_noise_out_of_range_is_refused(images, noise_std):
    with pytest.raises(ValueError, match=f"noise_std = {noise_std} is out of range"):
        attacks.gaussian_noise(images, noise_std, generator=seeded())
