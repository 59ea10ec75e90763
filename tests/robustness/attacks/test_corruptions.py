"""Noise and corruptions against their distributions and the places pixels go to."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from lib.robustness import attacks
from tests.robustness.attacks.cases import seeded

each_corruption = pytest.mark.parametrize("name", attacks.CORRUPTIONS)


@each_corruption
def test_corruption_grows_with_its_severity_inside_the_bounds(images, name):
    corrupt = partial(attacks.corrupt, images, name)
    corrupted = [corrupt(severity, generator=seeded()) for severity in range(1, 6)]
    changes = [attacks.distance(c, images, "l2").mean().item() for c in corrupted]
    if name in ("fog", "spatter"):  # of which only the mildest and the strongest can be told apart
        changes = [changes[0], changes[-1]]
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


@each_corruption
def test_corruption_takes_images_of_any_size(name):
    x = torch.rand(3, 3, 20, 28, generator=seeded(), dtype=torch.float32)
    corrupted = attacks.corrupt(x, name, 3, generator=seeded())
    assert corrupted.shape == x.shape and corrupted.dtype == x.dtype
    assert torch.isfinite(corrupted).all() and not torch.equal(corrupted, x)


@pytest.mark.parametrize("name", ["rotate", "shear"])
def test_long_image_is_turned_and_sheared_in_pixels(name):
    """By one radian, and by one column a row: a point beside the middle, to either side."""
    x = torch.zeros(1, 41, 81)
    x[0, 20 - 3 : 20 + 4, 40 + 7 : 40 + 14] = 1  # 10 columns to the right, or in the middle
    if name == "shear":
        x = x.roll((10, -10), (1, 2))  # 10 rows below
    turned = attacks.corrupt(x, name, 5, generator=seeded())[0]
    rows, columns = (turned.nonzero() - torch.tensor([20, 40])).double().mT
    place = [(turned[turned > 0] * axis).sum() / turned.sum() for axis in (rows, columns)]
    if name == "rotate":
        assert abs(place[0]) == pytest.approx(10 * math.sin(1), abs=0.3)
        assert place[1] == pytest.approx(10 * math.cos(1), abs=0.3)
    else:
        assert place[0] == pytest.approx(10, abs=0.3)
        assert abs(place[1]) == pytest.approx(10, abs=0.3)


def test_spatter_is_blurred_noise_above_a_threshold(images):
    x = images[:3].numpy()
    noise = 0.65 + 0.3 * torch.randn(3, 1, 28, 28, generator=seeded()).squeeze(1).numpy()
    wet = gaussian_filter(noise, (0, 2, 2), mode="nearest") > 0.68
    mud = gaussian_filter(wet.astype(float), (0, 0.5, 0.5), mode="nearest")
    mud[mud < 0.8] = 0
    desired = (1 - mud) * x + mud * 63 / 255
    spattered = attacks.corrupt(images[:3], "spatter", 3, generator=seeded())
    assert 0.05 < (mud > 0).mean() < 0.5
    np.testing.assert_allclose(spattered.numpy(), desired, atol=1e-12)


def test_glass_blur_swaps_pixels_one_after_the_other(images):
    std, reach, rounds = 0.9, 2, 1
    generator = seeded()
    desired = gaussian_filter(images[:2].numpy(), (0, std, std), mode="nearest")
    for _ in range(rounds):
        for row in range(28 - reach, reach, -1):
            swapped = torch.rand(28 - 2 * reach, 1, 2, generator=generator) < 0.5
            offsets = torch.randint(-reach, reach, (28 - 2 * reach, 2, 2), generator=generator)
            for step, column in enumerate(range(28 - reach, reach, -1)):
                for i in swapped[step, 0].nonzero().flatten().tolist():
                    there = row + int(offsets[step, 0, i]), column + int(offsets[step, 1, i])
                    here = desired[i, row, column]
                    desired[i, row, column] = desired[i][there]
                    desired[i][there] = here
    desired = gaussian_filter(desired, (0, std, std), mode="nearest")
    blurred = attacks.corrupt(images[:2], "glass_blur", 2, generator=seeded())
    np.testing.assert_allclose(blurred.numpy(), desired, atol=1e-12)


def test_motion_blur_adds_shifted_images(images):
    angles = (torch.rand(3, 1, generator=seeded()).flatten() - 0.5) * math.pi / 2
    weights = np.exp(-(np.arange(31) ** 2) / (2 * 8**2))
    blurred = attacks.corrupt(images[:3], "motion_blur", 3, generator=seeded())
    for image, angle, result in zip(images, angles.tolist(), blurred, strict=False):
        padded, desired = np.pad(image.numpy(), 31, mode="edge"), np.zeros((28, 28))
        for i, weight in enumerate(weights / weights.sum()):
            down, right = (math.ceil(i * f(angle) - 0.5) for f in (math.sin, math.cos))
            desired += weight * padded[31 + down : 59 + down, 31 + right : 59 + right]
        np.testing.assert_allclose(result.numpy(), desired, atol=1e-12)


@pytest.mark.parametrize(("severity", "thickness", "decay"), [(1, 1.5, 2), (4, 2.5, 1.5)])
def test_fog_swings_less_on_finer_grids(severity, thickness, decay):
    white = torch.ones(64, 28, 28)
    foggy = attacks.corrupt(white, "fog", severity, generator=seeded())
    heights = (foggy * (1 + thickness) - 1) / thickness
    assert heights.min() >= 0 and heights.max() <= 1
    variances = []
    for step in (2, 4):  # of the grid; swings are the same on all of it, whatever is coarser
        corners = heights[:, 0:25:step, 0:25:step]
        middle = heights[:, step // 2 : 24 : step, step // 2 : 24 : step]
        sums = corners[:, :-1, :-1] + corners[:, 1:, :-1] + corners[:, :-1, 1:] + corners[:, 1:, 1:]
        swings = middle - sums / 4
        variances.append((swings**2).mean())
        even = swings.abs().max() / swings.std()
        assert even < 1.8  # of an even distribution: the square root of 3
    # of a variance of n even numbers the relative error is the square root of .8 / n
    error = math.sqrt(0.8 / (64 * 144) + 0.8 / (64 * 36))
    assert variances[1] / variances[0] == pytest.approx(decay**4, rel=5 * error)
    dark = attacks.corrupt(torch.zeros(2, 28, 28), "fog", severity, generator=seeded())
    assert not dark.any()


def brightness_of_line(start, end):
    """Of each pixel, in loops."""
    (left, top), (right, bottom) = start, end
    image = np.zeros((28, 28))
    for row in range(28):
        for column in range(math.floor(left), math.ceil(right)):
            apart = abs(row - top - (bottom - top) / (right - left) * (column - left))
            image[row, column] = max(0, 1 + math.log(1 - apart / 2.3)) if apart < 2.3 else 0
    return image


def test_dotted_line_is_seen_in_every_other_pair_of_columns():
    begin, end = torch.randint(0, 27, (2, 2), generator=seeded()).tolist()
    lines = attacks.corrupt(torch.zeros(2, 28, 28), "dotted_line", 1, generator=seeded())
    for line, places in zip(lines.numpy(), zip(begin, end, strict=True), strict=True):
        desired = brightness_of_line((0, places[0]), (27, places[1]))
        desired[:, [c for c in range(28) if c % 4 < 2]] = 0
        np.testing.assert_allclose(line, desired, atol=1e-12)


def test_zigzag_goes_two_pixels_to_both_sides_of_a_line():
    generator = seeded()
    begin = torch.randint(0, 27, (1,), generator=generator).item()
    rise = torch.randint(-5, 5, (1,), generator=generator).item()
    turn = complex(23, rise) / math.hypot(23, rise)
    length, turns = math.hypot(23, rise), [0, 2 + 2j, 6 - 2j, 10 + 2j, 14 - 2j, 18 + 2j, 22 - 2j]
    turns = [2 + begin * 1j + turn * p for p in [*turns, complex(length, -1 / (length - 20))]]
    desired = np.zeros((28, 28))
    for a, b in zip(turns, turns[1:], strict=False):
        desired += brightness_of_line((a.real, a.imag), (b.real, b.imag))
    zigzag = attacks.corrupt(torch.zeros(1, 28, 28), "zigzag", 1, generator=seeded())
    assert rise and desired.max() > 1
    np.testing.assert_allclose(zigzag[0].numpy(), desired.clip(0, 1), atol=1e-12)


def test_gaussian_noise_has_its_standard_deviation_and_is_clipped():
    grey = torch.full((100, 400), 0.5)
    noisy = attacks.gaussian_noise(grey, 0.05, generator=seeded())
    assert abs(noisy.mean() - 0.5) < 5 * 0.05 / 200
    assert abs(noisy.var() / 0.05**2 - 1) < 5 * math.sqrt(2 / 40_000)
    dark = attacks.gaussian_noise(torch.zeros(100, 400), 0.05, generator=seeded())
    assert dark.min() == 0
    assert abs((dark == 0).double().mean() - 0.5) < 5 * 0.5 / 200
