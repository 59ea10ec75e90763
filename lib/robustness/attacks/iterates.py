"""How attacks move and choose: points scored by a loss, kept in a ball, the best remembered."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from .losses import LOSSES, is_misclassified
from .setting import Bounds, draw, gradients, note_gradient_


class Ball(NamedTuple):
    """Where an attack may go: within the radius of x and inside the bounds.

    The radius is a number, or (B, 1): that of each example. Only some of the pixels may change
    where they are given, as (n,) bool.
    """

    radius: float | Tensor
    norm: str
    bounds: Bounds
    pixels: Tensor | None = None

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Inside the radius, then the bounds: as x is in bounds, this never leads away from it."""
        delta = x_adv - x
        if self.pixels is not None:
            delta = delta * self.pixels
        if self.norm == "linf":
            delta = delta.clamp(-self.radius, self.radius)
        else:
            length = delta.norm(dim=1, keepdim=True)
            delta = torch.where(length > self.radius, delta * (self.radius / length), delta)
        return (x + delta).clamp(*self.bounds)

    def of(self, rows: Tensor) -> "Ball":
        """The balls of some of the examples."""
        if isinstance(self.radius, Tensor):
            return self._replace(radius=self.radius[rows])
        return self

    def draw(self, x: Tensor, generator: Generator) -> Tensor:
        """Uniform within the radius, then clipped."""
        if self.norm == "linf":
            delta = 2 * draw(torch.rand, x.shape, x, generator) - 1
        else:
            n = x.shape[1]
            volume = draw(torch.rand, (len(x), 1), x, generator)
            length = volume ** (1 / n)
            delta = length * F.normalize(draw(torch.randn, x.shape, x, generator))
        return self.project(x + self.radius * delta, x)

    def ascend(self, x: Tensor, step_size: float | Tensor, grad_x: Tensor) -> Tensor:
        """A step from x in the direction of steepest ascent; none where the gradient is 0."""
        if self.pixels is not None:
            grad_x = grad_x * self.pixels
        if self.norm == "linf":
            direction = grad_x.sign()
        else:
            tiny = torch.finfo(x.dtype).tiny
            direction = F.normalize(grad_x, eps=tiny)
        return x + step_size * direction


class Best:
    """For each example the first point of highest score, which is infinite if adversarial."""

    def __init__(self, x: Tensor) -> None:
        self.x = x.clone()
        self.score = x.new_full((len(x),), -math.inf)

    @property
    def broken(self) -> Tensor:
        """(B,) bool, whether an adversarial point of the example is known."""
        return self.score == math.inf

    def unbroken(self, times: int) -> Iterator[Tensor]:
        """The positions of what is not broken, as often as asked, or until nothing is left."""
        for _ in range(times):
            rows = (~self.broken).nonzero().squeeze(1)
            if not len(rows):
                return
            yield rows

    def keep_(self, rows: Tensor, x: Tensor, score: Tensor) -> None:
        """Remember the points of these examples whose score is higher than before."""
        better = score > self.score[rows]
        self.x[rows[better]] = x[better]
        self.score[rows[better]] = score[better]


def score(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    loss: str = "margin",
    early_stop: bool = True,
) -> Tensor:
    """(B,) loss, or infinity where x is adversarial and the attack is to stop there."""
    z = model(x)
    value = LOSSES[loss](z, y)
    adversarial = is_misclassified(z, y)
    if not early_stop:
        return value
    return value.masked_fill(adversarial, math.inf)


@torch.enable_grad()
def score_and_gradient(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    loss: str,
    early_stop: bool = True,
) -> tuple[Tensor, Tensor]:
    """(B,) :func:`score`, and (B, n) its gradient, which is 0 where the score is infinite."""
    x = x.detach().requires_grad_()
    value = score(model, x, y, loss, early_stop)
    (grad_x,) = gradients(value, x)
    return value.detach(), grad_x


def climb_(
    best: Best,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    start: Tensor,
    *,
    ball: Ball,
    step_sizes: Tensor,
    loss: str,
    early_stop: bool = True,
) -> None:
    """Projected gradient ascent from ``start``, until broken; the best iterates go to ``best``.

    ``step_sizes`` is (B, steps + 1), or (1, steps + 1) for all examples; after the last iterate
    there is no step.
    """
    x_t = start
    step_sizes = step_sizes.expand(len(x), -1)
    for rows, step_size in zip(best.unbroken(step_sizes.shape[1]), step_sizes.T, strict=False):
        x_rows = x_t[rows]
        score, grad_x = score_and_gradient(model, x_rows, y[rows], loss, early_stop)
        note_gradient_(model, grad_x, rows)
        best.keep_(rows, x_rows, score)
        stepped = ball.ascend(x_rows, step_size[rows, None], grad_x)
        x_t[rows] = ball.of(rows).project(stepped, x[rows])
