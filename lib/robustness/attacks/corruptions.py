"""Inputs changed by accident: noise and corruptions, which know nothing of the model."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ...names import check_type
from .setting import (
    UNIT,
    Bounds,
    check_examples,
    draw,
    draw_signs,
    image_shape,
    require_known,
    require_least,
)

WIDTH = 28  # of the images for which the corruptions are stated


def gaussian_noise(
    x: Tensor,
    noise_std: float,
    *,
    generator: Generator,
    bounds: Bounds = UNIT,
) -> Tensor:
    """``x`` plus normal noise, clipped to the bounds; so near a bound its spread is smaller.

    Source: [Mu2019], which begins with it.

    Args:
        x: (B, features...) float, inside ``bounds``.
        noise_std: standard deviation before clipping, in the unit of x.
        generator: source of randomness.
    Returns: like x. Raises: ValueError if an argument is out of range.
    """
    require_least("noise_std", noise_std, 0)
    check_type("generator", generator, Generator)
    check_examples(x, bounds)
    noise = draw(torch.randn, x.shape, x, generator)
    return (x + noise_std * noise).clamp(*bounds)


# ------------------------------------------------------- changes of images (B, C, H, W) in [0, 1]


def _shot_noise(x: Tensor, photons: float, generator: Generator) -> Tensor:
    """Poisson numbers of photons, so many on average for a white pixel."""
    expected = photons * x.to(generator.device)
    counted = torch.poisson(expected, generator=generator)
    return counted.to(x) / photons


def _impulse_noise(x: Tensor, fraction: float, generator: Generator) -> Tensor:
    """A fraction of the pixels is black or white."""
    u = draw(torch.rand, x.shape, x, generator)
    white = u < fraction / 2
    return torch.where(u < fraction, white.to(x), x)


def _brightness(x: Tensor, added: float, generator: Generator) -> Tensor:
    """Every pixel is brighter."""
    return x + added


def _stripe(x: Tensor, columns: float, generator: Generator) -> Tensor:
    """So many columns of 28, on the left and on the right, are inverted."""
    width = x.shape[3]
    columns_to_here = torch.arange(width, device=x.device) + 0.5
    place = columns_to_here * WIDTH / width
    inverted = (place < columns) | (place > WIDTH - columns)
    return torch.where(inverted, 1 - x, x)


def _rotate(x: Tensor, radians: float, generator: Generator) -> Tensor:
    """Turned to a random side."""
    side, _ = _sides(x, generator)
    none = torch.zeros_like(side)
    cos = torch.full_like(side, math.cos(radians))
    sin = math.sin(radians) * side
    return _warp(x, [cos, -sin, none], [sin, cos, none])


def _shear(x: Tensor, slope: float, generator: Generator) -> Tensor:
    """Rows moved to a random side, by so many columns a row."""
    side, _ = _sides(x, generator)
    none = torch.zeros_like(side)
    one = torch.ones_like(side)
    return _warp(x, [one, slope * side, none], [none, one, none])


def _scale(x: Tensor, scale: float, generator: Generator) -> Tensor:
    """Shrunk to so much of the size."""
    side, _ = _sides(x, generator)
    none = torch.zeros_like(side)
    wider = torch.full_like(side, 1 / scale)
    return _warp(x, [wider, none, none], [none, wider, none])


def _translate(x: Tensor, pixels: float, generator: Generator) -> Tensor:
    """Moved by so many pixels of 28 along both axes, to random sides."""
    side, other = _sides(x, generator)
    none = torch.zeros_like(side)
    one = torch.ones_like(side)
    shift = pixels / (WIDTH / 2)
    return _warp(x, [one, none, shift * side], [none, one, shift * other])


def _sides(x: Tensor, generator: Generator) -> Tensor:
    """(2, B, 1) random signs, two for each image."""
    return draw_signs((2, len(x), 1), x, generator)


def _warp(x: Tensor, across: list[Tensor], down: list[Tensor]) -> Tensor:
    """Images read at an affine map of their square [-1, 1] x [-1, 1]; 0 outside.

    Args:
        across, down: rows of the map, each three (B, 1) coefficients of column, row and 1.
    """
    coefficients = torch.cat([*across, *down], 1)
    theta = coefficients.view(-1, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


# ---------------------------------------------------------------------------------- corruptions


class Corruption(NamedTuple):
    """A change of images (B, C, H, W), black 0 and white 1, by an amount for each severity."""

    change: Callable[[Tensor, float, Generator], Tensor]
    amounts: tuple[float, ...]  # of severity 1 to 5


CORRUPTIONS = {
    "shot_noise": Corruption(_shot_noise, (60, 25, 12, 5, 3)),
    "impulse_noise": Corruption(_impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27)),
    "brightness": Corruption(_brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "stripe": Corruption(_stripe, (2, 3, 4, 5.5, 7)),
    "rotate": Corruption(_rotate, (0.2, 0.4, 0.6, 0.8, 1.0)),
    "shear": Corruption(_shear, (0.2, 0.4, 0.6, 0.8, 1.0)),
    "scale": Corruption(_scale, (0.9, 0.8, 0.7, 0.6, 0.5)),
    "translate": Corruption(_translate, (1, 2, 3, 4, 5)),
}
SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(
    x: Tensor,
    name: str,
    severity: int,
    *,
    generator: Generator,
    bounds: Bounds = UNIT,
) -> Tensor:
    """Images with one of the :data:`CORRUPTIONS`, clipped to the bounds.

    Source: [Mu2019], with the amounts of the authors' code for every severity.
    Departs: eight of their fifteen. The stripe has one severity there, our 5; a shear moves rows
    sideways only; each image of a batch has its own signs; lengths scale with the image.

    Args:
        x: images (B, H, W) or (B, C, H, W), or rows (B, n) of square images.
        name: of the corruption.
        severity: 1 (mild) to 5.
        generator: source of randomness.
        bounds: black, which fills what comes from outside, and white.
    Returns: like x. Raises: ValueError if an argument is out of range or unknown.
    """
    require_known("corruption", name, CORRUPTIONS)
    require_known("severity", severity, SEVERITIES)
    check_type("generator", generator, Generator)
    check_examples(x, bounds)
    low, high = bounds
    shape = image_shape(x.shape[1:])
    images = (x.reshape(-1, *shape) - low) / (high - low)
    change, amounts = CORRUPTIONS[name]
    changed = change(images, amounts[severity - 1], generator)
    corrupted = low + (high - low) * changed
    return corrupted.clamp(low, high).view_as(x)
