"""Images of a batch, each randomly rotated, shifted and mirrored, for training on CIFAR-10."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .._boundary import check_number

ROTATION = 10.0  # largest angle, degrees
SHIFT = 0.1  # largest shift, as a fraction of the height and of the width


def augment(x: Tensor, *, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    r"""Images of a batch, each randomly rotated, shifted and mirrored.

    The output at p is the input at q, in pixels from the centre, to the right and downwards:

    .. math:: q = R_a (M p - t), \quad a \sim U(\pm 10° s), \; t \sim U(\pm 0.1 \, s \, (W, H))

    with :math:`R_a` the rotation by a, which turns the image anticlockwise, M the reflection of the
    horizontal axis, or with probability :math:`1 - s / 2` the identity, and s the strength.

    Source: [Mocanu2018], Table 3 (data augmentation of CIFAR-10), strengths of the authors'
    released CIFAR-10 code (rotation 10 degrees, shift .1 of the side, horizontal mirror).
    Departs: their Keras generator interpolates in its own way, and after standardisation; here
    bilinear, on pixels, border values repeated.

    Args:
        x: (B, C, H, W) float, images.
        generator: source of randomness, on the CPU; 4 B numbers are drawn, whatever the strength.
        strength: s in [0, 1]; 0 gives the very values back.
    Returns: (B, C, H, W) of the type of x, within the range of x up to rounding; a new tensor.
    Raises: ValueError if x is not 4-dimensional and floating, or strength not in [0, 1].
    """
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(f"x is {x.dtype} of shape {(*x.shape,)}: give floats (B, C, H, W)")
    check_number("strength", strength, "[0, 1]")
    draws = torch.rand(4, len(x), dtype=torch.float64, generator=generator)
    if strength == 0:
        return x.clone()
    angle, right, down = strength * (2 * draws[:3] - 1)  # each (B,), in ±strength
    mirrored = draws[3] < strength / 2
    height, width = x.shape[-2:]
    ratio, radians = height / width, angle * math.radians(ROTATION)
    cos, sin = radians.cos(), radians.sin()
    # where the sides of an image are 2 long, whatever its shape
    rotation = torch.stack([cos, -sin * ratio, sin / ratio, cos], dim=1).view(-1, 2, 2)
    shift = 2 * (torch.stack([right, down], dim=1) * SHIFT)[:, :, None]
    column = 1 - 2 * mirrored.to(rotation)
    mirror = torch.stack([column, torch.ones_like(column)], dim=1)
    q = torch.cat([rotation * mirror[:, None], -rotation @ shift], dim=2)  # (B, 2, 3), of p
    grid = F.affine_grid(q.to(x), x.shape, align_corners=False)  # (B, H, W, 2)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
