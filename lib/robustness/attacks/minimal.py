"""Attacks of minimal norm, which look for the adversarial point closest to an example."""

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from .iterates import Ball, Best, climb_, score
from .losses import is_misclassified, margin
from .setting import (
    STARTS,
    UNIT,
    Bounds,
    attack,
    distance,
    draw,
    gradients,
    is_wrong,
    note_gradient_,
)

BISECTIONS = 14  # of the line from there to the example; more would end within rounding of it


@attack
def deepfool(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str = "l2",
    steps: int = 50,
    overshoot: float = 0.02,
    bounds: Bounds = UNIT,
) -> Tensor:
    r"""Steps to the nearest boundary of the linearised classifier, until the class changes.

    .. math::
        l = \arg\min_{j \ne y} \frac{|f_j|}{\|w_j\|_q}, \qquad
        f_j = z_j - z_y, \quad w_j = \nabla_x f_j, \qquad
        \delta = \frac{|f_l|}{\|w_l\|_2^2} w_l \;\text{ or }\; \frac{|f_l|}{\|w_l\|_1} sign(w_l)

    with q = 2 for "l2" and 1 for "linf"; x moves by 1 + overshoot times :math:`\delta`, clipped.

    Source: [MoosaviDezfooli2016], Algorithm 2 and Section 3.3.
    Departs: the bounds; the overshoot is part of every step; and a step is longer by 1e-5, for
    clipped steps alone may come ever closer to a boundary without crossing it.

    Args:
        steps: linearisations at most, each a backward pass for each class.
        overshoot: at least 0.
        model, x, y, norm, bounds: as in :func:`fgsm`.
    Returns: like x; the first adversarial point, or x where none was found.
    Raises: ValueError as :func:`fgsm`.
    """
    best = Best(x)
    x_t = x.clone()
    for rows in best.unbroken(steps):
        f, w = _linearised(model, x_t[rows], y[rows])
        note_gradient_(model, w.abs().amax(1), rows)
        delta = _to_nearest_boundary(f, w, norm)
        stepped = x_t[rows] + (1 + overshoot) * delta
        x_t[rows] = stepped.clamp(*bounds)
        best.keep_(rows, x_t[rows], score(model, x_t[rows], y[rows]))
    return torch.where(best.broken[:, None], best.x, x)


@torch.enable_grad()
def _linearised(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(B, K) logits less those of ``y``, infinite at y, and their (B, K, n) gradients."""
    x = x.detach().requires_grad_()
    y = y[:, None]
    z = model(x)
    grads = []
    for z_k in z.unbind(1):
        (grad_x,) = gradients(z_k, x, retain_graph=True)
        grads.append(grad_x)
    w = torch.stack(grads, 1)
    w = w - w.take_along_dim(y[:, :, None], 1)
    f = (z - z.gather(1, y)).detach()
    return f.scatter(1, y, math.inf), w


def _to_nearest_boundary(f: Tensor, w: Tensor, norm: str) -> Tensor:
    """(B, n) step to the nearest hyperplane f + w · step = 0; none where all gradients are 0."""
    dual = 2 if norm == "l2" else 1
    size = w.norm(p=dual, dim=2)
    distances = torch.where(size > 0, f.abs() / size, math.inf)
    length, nearest = distances.min(1, keepdim=True)
    w = w.take_along_dim(nearest[:, :, None], 1).squeeze(1)  # (B, n)
    if norm == "l2":
        unit = w / size.gather(1, nearest)
    else:
        unit = w.sign()
    return torch.where(length < math.inf, (length + 1e-5) * unit, 0)


@attack
def carlini_wagner(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 1000,
    search_steps: int = 9,
    learning_rate: float = 0.01,
    initial_constant: float = 0.001,
    confidence: float = 0.0,
    start_margin: float = 0.01,
    bounds: Bounds = UNIT,
) -> Tensor:
    r"""Carlini and Wagner's L2 attack: Adam on distance and margin, and a search for their balance.

    .. math::
        \min_w \|x' - x\|_2^2 + c \max(z_y - \max_{j \ne y} z_j + \kappa, 0), \qquad
        x' = low + (high - low) \tfrac{1}{2} (\tanh w + 1)

    Source: [Carlini2017], Section VI-A.
    Departs: untargeted. Only differences of logits enter, so that a constant added to all of them
    changes nothing. Pixels start a little nearer to the middle: at a bound tanh is flat, so that a
    black background would hardly move in few steps. The authors' code has a ``start_margin`` of
    1e-6, which breaks fewer images in 50 to 200 steps.

    Args:
        steps: of Adam for each c; fewer if a tenth of them brings no example progress.
        search_steps: values of c tried: ten times larger until one breaks, then by bisection.
        learning_rate: of Adam, in w.
        initial_constant: the first c.
        confidence: :math:`\kappa`, the margin that an adversarial point must have.
        start_margin: share of its distance from the middle of the bounds by which a pixel starts
            nearer to it, in (0, 1).
        model, x, y, bounds: as in :func:`fgsm`.
    Returns: like x; the closest adversarial point found, or x. Raises: ValueError as :func:`fgsm`.
    """
    low, high = bounds
    start = torch.atanh((1 - start_margin) * (2 * (x - low) / (high - low) - 1))
    best = Best(x)
    lower = x.new_zeros(len(x))
    upper = x.new_full((len(x),), math.inf)
    constant = torch.full_like(lower, initial_constant)
    tenth = math.ceil(steps / 10)
    for _ in range(search_steps):
        w = start.clone().requires_grad_()
        adam = torch.optim.Adam([w], lr=learning_rate)
        broken = torch.zeros_like(y, dtype=torch.bool)
        loss_before = torch.full_like(constant, math.inf)
        for step in range(steps):
            with torch.enable_grad():
                x_t = low + (high - low) * (w.tanh() + 1) / 2  # inside the bounds but for rounding
                seen = x_t.view_as(x_t)  # its gradient is without that of the distance
                z = model(seen)
                gain = margin(z, y)
                squares = (x_t - x).square().sum(1)
                loss = squares + constant * (confidence - gain).clamp(min=0)
                w.grad, grad_x = gradients(loss, w, seen)

            note_gradient_(model, grad_x)
            adversarial = is_misclassified(z, y) & (gain >= confidence)
            rows = adversarial.nonzero().squeeze(1)
            best.keep_(rows, x_t[rows].clamp(*bounds), -squares[rows])
            broken |= adversarial
            if step % tenth == 0:
                if not (loss < 0.9999 * loss_before).any():
                    break
                loss_before = loss
            adam.step()
        lower = torch.where(broken, lower, constant)
        upper = torch.where(broken, constant, upper)
        middle = (lower + upper) / 2
        constant = torch.where(upper < math.inf, middle, 10 * constant)
    return best.x


@attack
def bisected_pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str = "l2",
    radius: float,
    start: Tensor | None = None,
    bisections: int = 8,
    steps: int = 20,
    loss: str = "ce",
    generator: Generator,
    bounds: Bounds = UNIT,
) -> Tensor:
    r"""The least radius at which PGD succeeds, by bisection for each example.

    From the ball of half the distance of the closest point known, or of ``radius`` where none is.
    Of n steps, step t is :math:`\tfrac{r}{2} (1 - t / n)` long. PGD starts by turns from a random
    point of the ball and from the closest point known, moved into it. At last the line from what
    was found to the example is bisected.

    Args:
        radius: tried first where no adversarial point is known; then nothing farther is looked
            for.
        start: points like x that other attacks found; an adversarial one is the first known.
        bisections: radii tried for each example.
        steps: of PGD at each radius.
        model, x, y, norm, loss, generator, bounds: as in :func:`pgd`.
    Returns: like x; the closest adversarial point found, never farther than that of ``start``, or x
        where none was found.
    Raises: ValueError as :func:`pgd`, and if ``start`` does not fit x or the bounds.
    """
    closest = Best(x)  # its score is the negative distance
    if start is not None:
        _keep_closer_(closest, start, is_wrong(model, start, y), x, norm)
    lower = torch.zeros_like(closest.score)
    for turn in range(bisections):
        upper = -closest.score
        trial = torch.where(upper < math.inf, (lower + upper) / 2, radius)[:, None]
        ball = Ball(trial, norm, bounds)
        x_0 = ball.project(closest.x, x) if turn % 2 else ball.draw(x, generator)
        step_sizes = trial / 2 * torch.linspace(1, 0, steps + 1).to(x)  # (B, steps + 1)

        found = Best(x)
        climb_(found, model, x, y, x_0, ball=ball, step_sizes=step_sizes, loss=loss)
        _keep_closer_(closest, found.x, found.broken, x, norm)
        lower = torch.where(found.broken, lower, trial.squeeze(1))
        lower = torch.where(lower < -closest.score, lower, 0)  # PGD had missed a closer point
    return _bisected(model, x, closest.x, y)


def _keep_closer_(closest: Best, points: Tensor, broken: Tensor, x: Tensor, norm: str) -> None:
    """Remember the adversarial points, those of the (B,) bool examples ``broken``, that are closer
    than before.
    """
    rows = broken.nonzero().squeeze(1)
    closest.keep_(rows, points[rows], -distance(points[rows], x[rows], norm))


@attack
def boundary(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 1000,
    generator: Generator,
    bounds: Bounds = UNIT,
) -> Tensor:
    r"""Boundary attack in L2: a random walk along the boundary towards x; sees classes only.

    From a uniformly random adversarial input, drawn to x by bisection. Each step first moves at
    right angles to the direction of x, by :math:`\delta` times the distance and then back to that
    distance, then to x by the fraction :math:`\epsilon`; it is kept if both are adversarial.

    Source: [Brendel2018], Section 2 and Algorithm 1.
    Departs: both lengths are adapted after every step of each example, so as to succeed in a half
    and in a quarter of the steps, not over windows of steps.

    Args:
        steps: of the walk, two queries of the model each.
        model, x, y, generator, bounds: as in :func:`pgd`.
    Returns: like x; the closest adversarial point found, or x if none of 100 random inputs is
        adversarial. Raises: ValueError as :func:`fgsm`.
    """
    low, high = bounds
    far = x
    for _ in range(STARTS):
        drawn = low + (high - low) * draw(torch.rand, x.shape, x, generator)
        far = torch.where(is_wrong(model, far, y)[:, None], far, drawn)
    x_adv = _bisected(model, x, far, y)
    delta = x.new_full((len(x), 1), 0.1)
    epsilon = x.new_full((len(x), 1), 0.1)
    for _ in range(steps):
        noise = draw(torch.randn, x.shape, x, generator)
        sphere = _step_on_sphere(x_adv, x, delta, noise).clamp(*bounds)
        closer = sphere + epsilon * (x - sphere)
        sphere_wrong = is_wrong(model, sphere, y)[:, None]
        both_wrong = sphere_wrong & is_wrong(model, closer, y)[:, None]
        x_adv = torch.where(both_wrong, closer, x_adv)

        delta = delta * torch.exp(0.2 * (sphere_wrong.to(x) - 0.5))
        success = both_wrong.to(x) - 0.25
        epsilon = epsilon * torch.exp(0.2 * success * sphere_wrong)
        epsilon = epsilon.clamp(max=0.5)
    return x_adv


def _bisected(model: nn.Module, x: Tensor, far: Tensor, y: Tensor) -> Tensor:
    """(B, n) adversarial points between x and ``far``, at a boundary; x if there are none."""
    near = x
    for _ in range(BISECTIONS):
        middle = (near + far) / 2
        broken = is_wrong(model, middle, y)[:, None]
        near = torch.where(broken, near, middle)
        far = torch.where(broken, middle, far)
    return torch.where(is_wrong(model, far, y)[:, None], far, x)


def _step_on_sphere(x_adv: Tensor, x: Tensor, delta: Tensor, noise: Tensor) -> Tensor:
    """A step from x_adv at right angles to x, by delta times the distance, and back to it."""
    away = x_adv - x
    direction = F.normalize(away)
    along = (noise * direction).sum(1, keepdim=True)
    noise = F.normalize(noise - along * direction)
    noise = noise * delta * away.norm(dim=1, keepdim=True)
    return x + (away + noise) / (1 + delta.square()).sqrt()
