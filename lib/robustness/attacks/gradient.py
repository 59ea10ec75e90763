"""Attacks of a fixed radius that follow the gradient of the loss with respect to the input."""

import itertools
import math

import torch
from torch import Generator, Tensor, nn

from ..._boundary import check_type
from .iterates import Ball, Best, climb_, score_and_gradient
from .setting import UNIT, Bounds, attack, note_gradient_

CHECKPOINTS = (0.22, 0.41, 0.57, 0.7, 0.8, 0.87, 0.93, 0.99)  # of Auto-PGD, in its steps
RISING = 0.75  # fraction of steps between checkpoints that must raise the loss
MOMENTUM = 0.75  # alpha of Auto-PGD: weight of the step, against that of the last move


@attack
def fgsm(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    radius: float,
    norm: str = "linf",
    bounds: Bounds = UNIT,
) -> Tensor:
    r"""Fast gradient sign method: one full step along the sign of the gradient, clipped.

    .. math:: x + r \, sign(\nabla_x L(x, y))

    Source: [Goodfellow2015], Section 4.
    Departs: L is :func:`log_odds`; for "l2" the step is along the gradient divided by its norm.

    Args:
        model: takes x and returns (B, K) logits; in evaluation mode.
        x: (B, features...) float, inside ``bounds``.
        y: (B,) integer classes from 0 to K - 1.
        radius: r, at least 0, in the unit of x.
        norm: "linf" or "l2".
        bounds: lowest and highest value of a pixel.
    Returns: like x; one point for each example, adversarial or not.
    Raises: ValueError if an argument is out of range, unknown or does not fit the others, or the
        model is in training mode.
    """
    ball = Ball(radius, norm, bounds)
    _, grad_x = score_and_gradient(model, x, y, "ce")
    note_gradient_(model, grad_x)
    stepped = ball.ascend(x, radius, grad_x)
    return ball.project(stepped, x)


@attack
def pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    radius: float,
    norm: str = "linf",
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    loss: str = "ce",
    early_stop: bool = True,
    pixels: Tensor | None = None,
    generator: Generator,
    bounds: Bounds = UNIT,
) -> Tensor:
    r"""Projected gradient descent from a random start in the ball.

    .. math:: x_{t+1} = \Pi \left(x_t + \alpha \, sign(\nabla_x L(x_t, y))\right)

    Source: [Madry2018], Section 2.1.
    Departs: L is :func:`log_odds` unless asked otherwise; for "l2" the gradient is divided by its
    norm.

    Args:
        steps: gradient steps of a restart; the start is an iterate too.
        step_size: :math:`\alpha`, in the unit of x; None for a tenth of the radius.
        restarts: random starts; later ones only for what is not broken.
        loss: "ce", "dlr" or "margin", see :data:`LOSSES`.
        early_stop: False goes on beyond the first adversarial point, to the highest loss, as points
            that are to fool other models should. Examples that this model takes for another class
            stay as they are, so leave them out when you count.
        pixels: (n,) bool, those that may change; None: all. In "l2" a random start is then nearer.
        generator: source of randomness.
        model, x, y, radius, norm, bounds: as in :func:`fgsm`.
    Returns: like x. Raises: ValueError as :func:`fgsm`, and for "dlr" with less than 3 classes.
    """
    if step_size is None:
        step_size = radius / 10
    if pixels is not None:
        check_type("pixels", pixels, Tensor)
        if pixels.dtype != torch.bool or pixels.shape != x.shape[1:]:
            raise ValueError(
                f"pixels is {pixels.dtype} of shape {tuple(pixels.shape)}: give bool of"
                f" {x.shape[1]}"
            )
    ball = Ball(radius, norm, bounds, pixels)
    best = Best(x)
    for _ in best.unbroken(restarts):
        climb_(
            best,
            model,
            x,
            y,
            ball.draw(x, generator),
            ball=ball,
            step_sizes=x.new_full((1, steps + 1), step_size),
            loss=loss,
            early_stop=early_stop,
        )
    return best.x


@attack
def apgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    radius: float,
    norm: str = "linf",
    loss: str = "ce",
    steps: int = 100,
    restarts: int = 1,
    generator: Generator,
    bounds: Bounds = UNIT,
) -> Tensor:
    r"""Auto-PGD: momentum, and a step size that halves, back at the best point, when stuck.

    .. math::
        z = \Pi(x_t + \eta \, d(\nabla_x L)), \qquad
        x_{t+1} = \Pi(x_t + \alpha (z - x_t) + (1 - \alpha)(x_t - x_{t-1}))

    with d the sign or the unit vector, :math:`\eta = 2 r` at first and :math:`\alpha = 0.75`, 1 in
    the first step. At checkpoints :math:`\eta` halves if fewer than three quarters of the steps
    since the last one raised the loss, or if it was kept then and the best loss has not risen.

    Source: [Croce2020a], Section 3 and Algorithm 1.
    Departs: L is :func:`log_odds` for "ce"; the start is uniform in the ball.

    Args:
        model, x, y, radius, norm, loss, steps, restarts, generator, bounds: as in :func:`pgd`.
    Returns: like x. Raises: ValueError as :func:`pgd`.
    """
    ball = Ball(radius, norm, bounds)
    best = Best(x)
    ends = sorted({0, *(math.ceil(fraction * steps) for fraction in CHECKPOINTS)})
    intervals = {end: end - begin for begin, end in itertools.pairwise(ends)}
    everything = torch.arange(len(x), device=x.device)
    for _ in best.unbroken(restarts):
        top = Best(x)  # of this restart
        top.score[best.broken] = math.inf
        step_size = _StepSize(2 * radius, top.score)
        x_t = x_before = ball.draw(x, generator)
        f_t = torch.full_like(top.score, math.inf)
        grad_x, grad_top = torch.zeros_like(x), torch.zeros_like(x)
        for t, rows in enumerate(top.unbroken(steps + 1)):
            f_before = f_t
            f_t = f_t.clone()
            f_t[rows], grad_x[rows] = score_and_gradient(model, x_t[rows], y[rows], loss)
            note_gradient_(model, grad_x[rows], rows)
            step_size.n_rises = step_size.n_rises + (f_t > f_before)
            highest = f_t > top.score
            grad_top = torch.where(highest[:, None], grad_x, grad_top)
            top.keep_(rows, x_t[rows], f_t[rows])

            if t in intervals:
                stuck = step_size.halve_where_stuck_(intervals[t], top.score)
                f_t = torch.where(stuck, top.score, f_t)
                x_t = torch.where(stuck[:, None], top.x, x_t)
                grad_x = torch.where(stuck[:, None], grad_top, grad_x)

            alpha = MOMENTUM if t > 0 else 1
            z = ball.project(ball.ascend(x_t, step_size.eta, grad_x), x)
            moved = x_t + alpha * (z - x_t) + (1 - alpha) * (x_t - x_before)
            x_before = x_t
            x_t = ball.project(moved, x)
        best.keep_(everything, top.x, top.score)
    return best.x


class _StepSize:
    """The step size of each example, halved at the checkpoints where its ascent is stuck."""

    def __init__(self, start: float, like: Tensor) -> None:
        self.eta = torch.full_like(like, start)[:, None]  # (B, 1)
        self.n_rises = torch.zeros_like(like)  # of the loss, since the last checkpoint
        self.halved = torch.zeros_like(like).bool()  # at the last checkpoint
        self.top_score = torch.full_like(like, -math.inf)  # at the last checkpoint

    def halve_where_stuck_(self, interval: int, top_score: Tensor) -> Tensor:
        """(B,) bool, where the step size has been halved: the two conditions of Section 3."""
        seldom_rose = self.n_rises < RISING * interval
        no_progress = ~self.halved & (top_score <= self.top_score)
        self.halved = seldom_rose | no_progress
        self.eta = torch.where(self.halved[:, None], self.eta / 2, self.eta)
        self.n_rises = torch.zeros_like(self.n_rises)
        self.top_score = top_score.clone()
        return self.halved
