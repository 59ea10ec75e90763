"""Augmented images against flips, rolls and scipy's rotation, and the statistics of the draws."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from torch.testing import assert_close

from lib.data.augment import augment
from tests.oracles import seeded


def images(*shape, dtype=torch.float64):
    return torch.rand(*shape, dtype=dtype, generator=seeded(1))


@pytest.fixture
def transformed(monkeypatch):
    """One image transformed as told, in degrees and fractions of its sides, not at random."""

    def transform(x, angle=0.0, right=0.0, down=0.0, mirrored=False, strength=1.0):
        chosen = torch.tensor([angle / 10, right / 0.1, down / 0.1]) / strength
        draws = torch.cat([(chosen + 1) / 2, torch.tensor([0.0 if mirrored else 0.999])])
        monkeypatch.setattr(torch, "rand", lambda *_, **__: draws[:, None])
        return augment(x[None, None], generator=None, strength=strength)[0, 0]

    return transform


# laws


@pytest.mark.parametrize(("dtype", "strength"), [(torch.float32, 1.0), (torch.float64, 0.3)])
def test_shape_type_and_range_are_kept(generator, dtype, strength):
    x = images(50, 3, 9, 7, dtype=dtype) * 2 - 1
    actual = augment(x, generator=generator, strength=strength)
    rounding = 8 * torch.finfo(dtype).eps  # of four weights and their sum, values below 1
    assert (actual.shape, actual.dtype) == (x.shape, x.dtype)
    assert x.min() - rounding <= actual.min() and actual.max() <= x.max() + rounding


def test_input_is_not_modified_and_strength_zero_is_the_identity(generator):
    x = images(5, 3, 8, 8)
    before = x.clone()
    augment(x, generator=generator).zero_()
    actual = augment(x, generator=generator, strength=0)
    assert torch.equal(actual, before)
    actual.zero_()
    assert torch.equal(x, before)


def test_same_generator_same_batch_and_other_seed_other_batch():
    x = images(5, 3, 8, 8)
    first, second, other = (augment(x, generator=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.isclose(first, other).flatten(1).all(1).any()


def test_images_of_a_batch_differ_and_channels_of_an_image_do_not(generator):
    actual = augment(images(1, 1, 8, 8).expand(5, 3, 8, 8), generator=generator)
    assert torch.equal(actual[:, 0], actual[:, 2])
    assert len(torch.unique(actual[:, 0], dim=0)) == 5


@pytest.mark.parametrize(("dtype", "strength"), [(torch.float32, 0.0), (torch.float64, 0.5)])
def test_number_of_draws_depends_on_the_batch_only(dtype, strength):
    generators = seeded(0), seeded(0)
    augment(images(7, 3, 8, 8), generator=generators[0])
    augment(images(7, 1, 5, 9, dtype=dtype), generator=generators[1], strength=strength)
    assert torch.equal(*(generator.get_state() for generator in generators))


# each part against its oracle


@pytest.mark.parametrize("shape", [(30, 20), (20, 31)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_all_parts_together_are_the_documented_map(transformed, shape, mirrored):
    x, angle, right, down = images(*shape), math.radians(7), 0.08, -0.05
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = np.array([[cos, sin], [-sin, cos]])  # of (row, column): p to q
    matrix = rotation * [1, -1 if mirrored else 1]
    centre, t = (np.array(shape) - 1) / 2, np.array([down, right]) * shape
    offset = centre - matrix @ centre - rotation @ t
    desired = ndimage.affine_transform(x.numpy(), matrix, offset, order=1, mode="nearest")
    actual = transformed(x, 7, right, down, mirrored)
    assert_close(actual, torch.tensor(desired), rtol=0, atol=1e-9)


# the statistics of the draws


def recovered(n, generator, strength):
    """(n,) angle in degrees, shifts as fractions, mirrored or not: what happened to n images.

    The images hold their own coordinates, which bilinear interpolation reproduces, so that the
    output is q = R (M p - t) itself.
    """
    column, row = torch.meshgrid(torch.arange(-15.0, 16), torch.arange(-10.0, 11), indexing="xy")
    x = torch.stack([column, row]).expand(n, 2, 21, 31)
    q = augment(x, generator=generator, strength=strength)
    centre, below, beside = q[:, :, 10, 15], q[:, :, 11, 15], q[:, :, 10, 16]
    sin, cos = (centre - below)[:, 0], (below - centre)[:, 1]
    right, down = -cos * centre[:, 0] - sin * centre[:, 1], sin * centre[:, 0] - cos * centre[:, 1]
    return sin.atan2(cos).rad2deg(), right / 31, down / 21, (beside - centre)[:, 0] < 0


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_draws_are_uniform_independent_and_half_mirrored(generator, strength):
    n = 4000
    *draws, mirrored = (v.numpy() for v in recovered(n, generator, strength))
    scaled = np.stack(draws) / np.array([10, 0.1, 0.1])[:, None] / strength
    assert min(stats.kstest(v, stats.uniform(-1, 2).cdf).pvalue for v in scaled) > 1e-3
    share = strength / 2
    assert abs(mirrored.mean() - share) < 4 * math.sqrt(share * (1 - share) / n)  # 4 sd, binomial
    correlations = np.corrcoef([*scaled, mirrored])[np.triu_indices(4, 1)]
    assert abs(correlations).max() < 4 / math.sqrt(n)  # 4 sd of no correlation


# errors


@pytest.mark.parametrize("x", [torch.zeros(3, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)])
def test_what_is_no_batch_of_images_is_refused(generator, x):
    with pytest.raises(ValueError, match=r"x is torch.* of shape \(.*8, 8\): give floats"):
        augment(x, generator=generator)
