r"""How large a perturbation must be to fool a network: sizes and norms at which it first does.

Every image is divided by its own L3 norm before a network of this room sees it: pixels are about
.07, and all sizes and norms are in this unit, not in that of pixels from 0 to 1. A size is the
standard deviation of noise, or the largest change of a pixel; the critical norm is the L2 norm of
the perturbation of the smallest size that fools.

Two protocols. *As released*: noise drawn anew at every size and never clipped; gradient attacks
clipped to [0, 1] once, at the end; no random start; images that nothing fooled are dropped before
the median. *Corrected*: every iterate stays between black and white; PGD starts at random; the
gradient is that of a loss that neither saturates nor underflows; and an image that nothing fooled
keeps the largest norm that was tried, as a censored value.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from lib.robustness.attacks.iterates import score_and_gradient
from lib.robustness.attacks.setting import draw, frozen, is_wrong

N_SIZES = 400
STEPS = 20  # of PGD
RELEASED_STEP = 1e-2  # of PGD; for sizes below it, a tenth of the size
NOISE_SIZES = np.logspace(-6, np.log(2.5), N_SIZES)  # up to 8.2; 2.5 was probably meant
GRADIENT_SIZES = np.logspace(-6, -1.5, N_SIZES)
PIXEL_SIZES = np.logspace(-4, 1, N_SIZES)  # where pixels go from 0 to 1

Move = Callable[[Tensor, Tensor], Tensor]  # (m,) rows, (m, 1) sizes -> (m, n) perturbed images


class Critical(NamedTuple):
    """First radius that fooled each image.

    Attributes:
        size: (B,) the smallest size tried that fools; where none does, the largest tried.
        norm: (B,) L2 norm of the perturbation of this size.
        fooled: (B,) bool. Where it is not, size and norm are lower bounds; not so of
            :func:`noise`, which tries the largest size first, though a smaller one may fool.
    """

    size: Tensor
    norm: Tensor
    fooled: Tensor


# ----------------------------------------------------------------------------------- as released


def released_noise(
    model: nn.Module, x: Tensor, y: Tensor, *, sizes: np.ndarray, generator: Generator
) -> Critical:
    r"""Gaussian noise drawn anew at each size, :math:`x + \epsilon n`, not clipped.

    The more sizes are tried the smaller is the first that fools, as each has a chance of its own.

    Args:
        model: takes (B, n) images and returns (B, K) logits; in evaluation mode.
        x: (B, n) float, classified correctly.
        y: (B,) integer classes.
        sizes: ascending.
        generator: source of randomness.
    """
    model = frozen(model, x, y)

    def move(rows: Tensor, size: Tensor) -> Tensor:
        return x[rows] + size * draw(torch.randn, x[rows].shape, x, generator)

    return _first(model, x, y, move, sizes)


def released_fgsm(model: nn.Module, x: Tensor, y: Tensor, *, sizes: np.ndarray) -> Critical:
    r"""One step along the sign of the gradient of cross-entropy, clipped to [0, 1].

    Where the loss underflows the gradient is 0 and nothing moves.
    Arguments as in :func:`released_noise`.
    """
    model = frozen(model, x, y)
    direction = _cross_entropy_gradient(model, x, y).sign()

    def move(rows: Tensor, size: Tensor) -> Tensor:
        return (x[rows] + size * direction[rows]).clamp(0, 1)

    return _first(model, x, y, move, sizes)


def released_pgd(
    model: nn.Module, x: Tensor, y: Tensor, *, sizes: np.ndarray, steps: int = STEPS
) -> Critical:
    r"""Steps of .01 along the sign of the gradient, of a tenth of the size where the size is below
    .01, each projected into the ball; clipped to [0, 1] after the last.

    Departs: the first size that fools is found by bisection of the 400, which is the same where a
    larger size fools whenever a smaller does.

    Args:
        steps: of the ascent.
        model, x, y, sizes: as in :func:`released_noise`.
    """
    model = frozen(model, x, y)

    def move(rows: Tensor, size: Tensor) -> Tensor:
        step = torch.where(size < RELEASED_STEP, 0.1 * size, torch.full_like(size, RELEASED_STEP))
        delta = torch.zeros_like(x[rows])
        for _ in range(steps):
            gradient = _cross_entropy_gradient(model, x[rows] + delta, y[rows])
            delta = (delta + step * gradient.sign()).clamp(-size, size)
        return (x[rows] + delta).clamp(0, 1)

    return _by_bisection(model, x, y, move, sizes)


# ------------------------------------------------------------------------------------- corrected


def noise(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    white: Tensor | float,
    sizes: np.ndarray,
    generator: Generator,
) -> Critical:
    r"""Gaussian noise of one direction for each image, clipped: where the line leaves the class.

    .. math:: clip(x + \epsilon n, 0, white), \qquad n \sim N(0, 1)

    Args:
        white: the largest value of a pixel, of each image (B, 1) or of all.
        model, x, y, sizes, generator: as in :func:`released_noise`.
    """
    model = frozen(model, x, y)
    white = _of_each(white, x)
    direction = draw(torch.randn, x.shape, x, generator)

    def move(rows: Tensor, size: Tensor) -> Tensor:
        return _clipped(x[rows] + size * direction[rows], white[rows])

    return _by_bisection(model, x, y, move, sizes)


def fgsm(
    model: nn.Module, x: Tensor, y: Tensor, *, white: Tensor | float, sizes: np.ndarray
) -> Critical:
    r"""One step along the sign of the gradient of the log-odds, clipped, at every size.

    Source: [Goodfellow2015], Section 4.
    Arguments as in :func:`noise`.
    """
    model = frozen(model, x, y)
    white = _of_each(white, x)
    direction = score_and_gradient(model, x, y, "ce", early_stop=False)[1].sign()

    def move(rows: Tensor, size: Tensor) -> Tensor:
        return _clipped(x[rows] + size * direction[rows], white[rows])

    return _first(model, x, y, move, sizes)


def pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    white: Tensor | float,
    sizes: np.ndarray,
    steps: int = STEPS,
    generator: Generator,
) -> Critical:
    r"""Projected gradient ascent of the log-odds from a random start, clipped at every step; the
    least size at which it succeeds, by bisection.

    Source: [Madry2018], Section 2.1.
    Departs: steps of 2.5 sizes over their number.

    Args:
        steps: of the ascent.
        model, x, y, white, sizes, generator: as in :func:`noise`.
    """
    model = frozen(model, x, y)
    white = _of_each(white, x)

    def move(rows: Tensor, size: Tensor) -> Tensor:
        centre = x[rows]
        start = 2 * draw(torch.rand, centre.shape, x, generator) - 1
        point = _clipped(centre + size * start, white[rows])
        for _ in range(steps):
            gradient = score_and_gradient(model, point, y[rows], "ce", early_stop=False)[1]
            delta = point + 2.5 / steps * size * gradient.sign() - centre
            point = _clipped(centre + delta.clamp(-size, size), white[rows])
        return point

    return _by_bisection(model, x, y, move, sizes)


# ------------------------------------------------------------------------------- the smallest size


@torch.no_grad()
def _first(model: nn.Module, x: Tensor, y: Tensor, move: Move, sizes: np.ndarray) -> Critical:
    """Every size, ascending, on the images that none has fooled yet."""
    found = _nothing(x)
    for size in torch.as_tensor(sizes).to(x):
        rows = (~found.fooled).nonzero().squeeze(1)
        if not len(rows):
            break
        tried = size.expand(len(rows))
        wrong, norm = _outcome(model, x, y, rows, move(rows, tried[:, None]))
        found.size[rows], found.norm[rows], found.fooled[rows] = tried, norm, wrong
    return found


@torch.no_grad()
def _by_bisection(
    model: nn.Module, x: Tensor, y: Tensor, move: Move, sizes: np.ndarray
) -> Critical:
    """The smallest size, taking it that larger ones fool whenever smaller ones do."""
    sizes = torch.as_tensor(sizes).to(x)
    found = _nothing(x)
    below = torch.zeros(len(x), dtype=torch.long, device=x.device)  # none under it fools
    above = torch.full_like(below, len(sizes) - 1)  # fools, if any does
    rows = torch.arange(len(x), device=x.device)
    place = above
    while len(rows):
        tried = sizes[place[rows]]
        wrong, norm = _outcome(model, x, y, rows, move(rows, tried[:, None]))
        unknown = ~found.fooled[rows]
        take = rows[wrong | unknown]
        found.size[take] = tried[wrong | unknown]
        found.norm[take] = norm[wrong | unknown]
        found.fooled[rows] |= wrong
        above[rows[wrong]] = place[rows[wrong]]
        below[rows[~wrong]] = place[rows[~wrong]] + 1
        place = (below + above) // 2
        rows = (found.fooled & (below < above)).nonzero().squeeze(1)
    return found


def _outcome(
    model: nn.Module, x: Tensor, y: Tensor, rows: Tensor, points: Tensor
) -> tuple[Tensor, Tensor]:
    """(m,) bool whether each point is misclassified, and (m,) how far it is from its image."""
    return is_wrong(model, points, y[rows]), (points - x[rows]).norm(dim=1)


def _nothing(x: Tensor) -> Critical:
    return Critical(x.new_zeros(len(x)), x.new_zeros(len(x)), x.new_zeros(len(x)).bool())


@torch.enable_grad()
def _cross_entropy_gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    loss = F.cross_entropy(model(x), y, reduction="sum")
    return torch.autograd.grad(loss, x)[0]


def _of_each(white: Tensor | float, x: Tensor) -> Tensor:
    return torch.as_tensor(white).to(x).expand(len(x), 1)


def _clipped(points: Tensor, white: Tensor) -> Tensor:
    """Between black and white."""
    return torch.minimum(points.clamp(min=0), white)


# ------------------------------------------------------------------------ medians, with censoring


def median_of_fooled(norms: np.ndarray, fooled: np.ndarray) -> float:
    """The median of the images that were fooled, as released; nan where none was."""
    return float(np.median(norms[fooled])) if fooled.any() else np.nan


def survival(norms: np.ndarray, fooled: np.ndarray) -> pd.DataFrame:
    r"""The share of images that need more than a norm, those never fooled as censored.

    .. math:: S(r) = \prod_{r_i \le r} \Big(1 - \frac{d_i}{n_i}\Big)

    with :math:`d_i` images fooled at the norm :math:`r_i` and :math:`n_i` neither fooled nor given
    up below it.

    Source: [Kaplan1958], the product-limit estimate.

    Args:
        norms: (n,) critical norms, or the largest tried.
        fooled: (n,) bool.
    Returns: columns norm, share.
    Raises: ValueError without images.
    """
    if not len(norms):
        raise ValueError("no image is left: give critical norms of one image or more")
    observed = scipy.stats.CensoredData.right_censored(
        np.asarray(norms, float), ~np.asarray(fooled)
    )
    curve = scipy.stats.ecdf(observed).sf
    return pd.DataFrame({"norm": curve.quantiles, "share": curve.probabilities})


def median(norms: np.ndarray, fooled: np.ndarray) -> float:
    """The norm at which half of the images are fooled, by :func:`survival`; infinite where fewer
    than half ever are.
    """
    curve = survival(norms, fooled)
    half = curve["norm"][curve["share"] <= 0.5 + 1e-12]
    return float(half.iloc[0]) if len(half) else np.inf
