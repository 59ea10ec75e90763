"""Attacks that change pixels and look, without gradients: Square and one pixel."""

import math

import torch
from torch import Generator, Tensor, nn

from .iterates import Ball, Best, score
from .setting import (
    BATCH,
    UNIT,
    Bounds,
    attack,
    draw,
    draw_signs,
    image_shape,
)

SCALE = 10_000  # queries for which the schedule is stated
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of a square's area, in these
AREA = 0.8  # of the first squares, as a fraction of the image


@attack
def square(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    radius: float,
    queries: int = 1000,
    generator: Generator,
    bounds: Bounds = UNIT,
) -> Tensor:
    r"""Square attack in L-infinity: random search over squares of ±radius, without gradients.

    From vertical stripes of ±radius; each query sets one random square of an image to ±radius of
    the example, and is kept if it raises :func:`margin`. The area of the square is a fraction of
    the image that starts at 0.8 and halves by the schedule of the paper.

    Source: [Andriushchenko2020], Algorithms 1 and 2.
    Departs: the schedule, stated for 10,000 queries, is rescaled to ``queries``; signs that would
    leave a square unchanged are turned round, not drawn again.

    Args:
        x: images (B, H, W) or (B, C, H, W), or rows (B, n) of square images.
        queries: of the model for each example.
        model, y, radius, generator, bounds: as in :func:`pgd`.
    Returns: like x. Raises: ValueError as :func:`fgsm`, and if x holds no images.
    """
    ball = Ball(radius, "linf", bounds)
    best = Best(x)
    channels, height, width = image_shape(model[0].unflattened_size)
    for query, rows in enumerate(best.unbroken(queries)):
        if query == 0:  # vertical stripes, over the whole image
            sides = height, width
            n_columns = width
        else:
            side = _side(query * SCALE / queries, height * width)
            sides = min(side, height), min(side, width)
            n_columns = 1
        in_rows = _interval(x[rows], height, sides[0], generator)
        in_columns = _interval(x[rows], width, sides[1], generator)
        window = in_rows[:, None, :, None] & in_columns[:, None, None, :]
        window = window.expand(-1, channels, -1, -1).flatten(1)
        signs = draw_signs((len(rows), channels, 1, n_columns), x, generator)
        signs = signs.expand(-1, -1, height, width).flatten(1)

        new = ball.project(x[rows] + signs * radius, x[rows])
        turned = ball.project(x[rows] - signs * radius, x[rows])
        changed = (window & (new != best.x[rows])).any(1, keepdim=True)
        new = torch.where(changed, new, turned)
        x_t = torch.where(window, new, best.x[rows])
        best.keep_(rows, x_t, score(model, x_t, y[rows]))
    return best.x


def _side(query: float, n_pixels: int) -> int:
    """Side of the square, in an image of so many pixels, at a query out of 10,000."""
    halvings = [mark for mark in HALVINGS if mark < query]
    area = AREA * n_pixels / 2 ** len(halvings)
    return max(round(math.sqrt(area)), 1)


def _interval(x: Tensor, length: int, side: int, generator: Generator) -> Tensor:
    """(B, length) bool: so many neighbours in a row, anywhere."""
    u = draw(torch.rand, (len(x), 1), x, generator)
    first = (u * (length - side + 1)).floor()
    place = torch.arange(length, device=x.device) - first
    return (place >= 0) & (place < side)


@attack
def one_pixel(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    bounds: Bounds = UNIT,
) -> Tensor:
    """The worst change of one pixel: of all pixels and five values, evenly from the lowest to the
    highest, the one of highest margin.

    Source: [Su2019], Section III.
    Departs: exhaustive, hence stronger, for these values, than the differential evolution there. A
    pixel is one entry of x: grey images.

    Args:
        model, x, y, bounds: as in :func:`fgsm`.
    Returns: like x, with at most one entry of an example changed; the change of highest
        :func:`margin`, adversarial or not.
    Raises: ValueError as :func:`fgsm`.
    """
    low, high = bounds
    values = [(1 - share) * low + share * high for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    each_entry = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
    worst = []
    for example, label in zip(x, y, strict=True):
        changes = torch.cat([torch.where(each_entry, value, example) for value in values])
        scores = []
        for points in changes.split(BATCH):
            scores.append(score(model, points, label.expand(len(points)), early_stop=False))
        worst.append(changes[torch.cat(scores).argmax()])
    return torch.stack(worst)
