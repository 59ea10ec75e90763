r"""Inputs changed on purpose or by accident: adversarial attacks, noise and corruptions.

Three kinds: attacks of a fixed radius (:func:`fgsm`, :func:`pgd`, :func:`apgd`, :func:`square`,
:func:`ensemble`, and :func:`one_pixel`) look for an adversarial point, one that the model takes for
another class, near an example; attacks of minimal norm (:func:`deepfool`, :func:`carlini_wagner`,
:func:`boundary`) look for the closest one; :func:`gaussian_noise` and :func:`corrupt` know nothing
of the model. All attacks

- leave examples that are misclassified at the start as they are;
- stay inside the bounds of the pixels and inside the radius at every iterate;
- work on a frozen copy: the model is never changed, and no gradient of a weight is computed;
- take the examples in batches of 1000, and stop working on one that is broken;
- return, of a fixed radius, the first adversarial point of an example, else the point of highest
  loss; of minimal norm the closest adversarial point, else the example itself.
"""

import copy
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

BATCH = 1000  # examples, or candidates of one example, that go through the model at a time
STARTS = 100  # random inputs among which the Boundary attack looks for an adversarial one
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of a square's area, in 10,000
CHECKPOINTS = (0.22, 0.41, 0.57, 0.7, 0.8, 0.87, 0.93, 0.99)  # of Auto-PGD, in its steps

Bounds = tuple[float, float]  # lowest and highest value of a pixel
UNIT = (0.0, 1.0)

# ----------------------------------------------------------------------------------- losses


def margin(z: Tensor, y: Tensor) -> Tensor:
    r"""Best wrong logit minus the right one, positive where the example is misclassified.

    .. math:: \max_{j \ne y} z_j - z_y

    Source: [Carlini2017], Section VI-A (the objective f, up to its sign).

    Args:
        z: (B, K) float logits.
        y: (B,) int64 classes.
    Returns: (B,) float.
    """
    right, wrong = _right_and_wrong(z, y)
    return wrong.amax(1) - right


def log_odds(z: Tensor, y: Tensor) -> Tensor:
    r"""Log-odds of the wrong classes: the cross-entropy L, as an attack maximises it.

    .. math:: \log \sum_{j \ne y} e^{z_j} - z_y = \log(e^L - 1)

    Source: ours. It increases strictly with L, so the maximisers and the direction of the gradient
    are the same; but it neither saturates nor underflows where a network is very confident, which
    removes gradient masking by saturation. Arguments as in :func:`margin`.
    """
    right, wrong = _right_and_wrong(z, y)
    return wrong.logsumexp(1) - right


def difference_of_logits_ratio(z: Tensor, y: Tensor) -> Tensor:
    r"""DLR loss, which neither a shift nor a positive scale of the logits changes.

    .. math:: - \frac{z_y - \max_{j \ne y} z_j}{z_{\pi_1} - z_{\pi_3}}

    with :math:`\pi` the order of descending logits; where the first three are equal the denominator
    is taken as 1.

    Source: [Croce2020a], Section 4 (DLR loss). Arguments as in :func:`margin`; K is at least 3.
    """
    top = z.topk(3, dim=1).values
    spread = top[:, 0] - top[:, 2]
    return margin(z, y) / torch.where(spread > 0, spread, 1)


def _right_and_wrong(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) logits of the classes ``y``, and (B, K) logits without them (minus infinity)."""
    right = z.gather(1, y[:, None])
    return right.squeeze(1), z.scatter(1, y[:, None], -math.inf)


LOSSES = {"ce": log_odds, "dlr": difference_of_logits_ratio, "margin": margin}

# -------------------------------------------------------------------------------- arguments

_LEAST = dict.fromkeys(("radius", "step_size", "overshoot", "confidence", "noise_std"), 0)
_LEAST |= dict.fromkeys(("steps", "search_steps", "restarts", "queries"), 1)
_LEAST |= {"learning_rate": 1e-9, "initial_constant": 1e-9}
_KNOWN = {"norm": ("linf", "l2"), "loss": tuple(LOSSES), "severity": (1, 2, 3, 4, 5)}


def _require(met: bool, problem: str) -> None:
    if not met:
        raise ValueError(problem)


def _check(x: Tensor, bounds: Bounds = UNIT, **settings: Any) -> None:
    """Raise ValueError on a setting out of range or unknown, and on an x that is not in bounds."""
    for name, value in settings.items():
        if name in _LEAST and value is not None:
            advice = f"give a finite number from {_LEAST[name]} on"
            valid = _LEAST[name] <= value < math.inf
            _require(valid, f"{name} = {value} is out of range: {advice}")
        if name in _KNOWN:
            advice = f"give one of {', '.join(map(str, _KNOWN[name]))}"
            _require(value in _KNOWN[name], f"{name} = {value!r} is unknown: {advice}")
    valid = x.ndim > 1 and x.numel() > 0 and x.is_floating_point()
    advice = "give one or more floats (B, features...)"
    _require(valid, f"x is {x.dtype} of shape {tuple(x.shape)}: {advice}")
    valid = -math.inf < bounds[0] < bounds[1] < math.inf and (x.clamp(*bounds) == x).all()
    advice = f"that hold x, from {x.min()} to {x.max()}"
    _require(valid, f"bounds = {bounds} do not fit: give (low, high) with low < high {advice}")


def _frozen(model: nn.Module, x: Tensor, y: Tensor, loss: str = "ce") -> nn.Sequential:
    """The model on flat examples, a copy without gradients of weights.

    Raises ValueError if it is in training mode, or ``y`` does not fit ``x`` and the logits.
    """
    _require(not any(m.training for m in model.modules()), "training mode: call model.eval() first")
    valid = y.shape == x.shape[:1] and not y.is_floating_point() and y.dtype != torch.bool
    advice = f"give an integer class for each of the {len(x)} examples"
    _require(valid, f"y is {y.dtype} of shape {tuple(y.shape)}: {advice}")
    frozen = nn.Sequential(nn.Unflatten(1, x.shape[1:]), copy.deepcopy(model)).requires_grad_(False)
    k = frozen(x[:1].detach().flatten(1)).shape[1]
    advice = "give another loss, or a model with more logits"
    _require(k >= 2 + (loss == "dlr"), f"loss {loss!r} of {k} logits is undefined: {advice}")
    _require(0 <= y.min() <= y.max() < k, f"y has {y.min()} to {y.max()}: give 0 to {k - 1}")
    return frozen


def _attack(run: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The attack whose core is ``run``, which sees a frozen model and the flat examples (B, n) of
    a batch that are classified correctly.
    """

    @functools.wraps(run)
    def attack(model: nn.Module, x: Tensor, y: Tensor, **settings: Any) -> Tensor:
        _check(x, **settings)
        frozen = _frozen(model, x, y, settings.get("loss", "ce"))
        flat, y = x.detach().flatten(1), y.long()
        x_adv = flat.clone()
        correct = (~_is_wrong(frozen, flat, y)).nonzero().squeeze(1)
        for rows in correct.split(BATCH) if len(correct) else ():
            with torch.no_grad():
                x_adv[rows] = run(frozen, flat[rows], y[rows], **settings)
        return x_adv.view_as(x)

    return attack


# ---------------------------------------------------------------------------- common moves


def _is_wrong(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([model(part).argmax(1) for part in x.split(BATCH)]) != y


def _draw(law: Callable, shape: Sequence[int], like: Tensor, generator: Generator) -> Tensor:
    return law(shape, generator=generator, dtype=like.dtype, device=generator.device).to(like)


def _signs(shape: Sequence[int], like: Tensor, generator: Generator) -> Tensor:
    return 2 * _draw(torch.rand, shape, like, generator).round() - 1


class _Ball(NamedTuple):
    """Where an attack may go: within the radius of x and inside the bounds."""

    radius: float
    norm: str
    bounds: Bounds

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """Inside the radius, then the bounds: as x is in bounds, this never leads away from it."""
        delta, r = x_adv - x, self.radius
        delta = delta.clamp(-r, r) if self.norm == "linf" else delta.renorm(2, 0, r)
        return (x + delta).clamp(*self.bounds)

    def draw(self, x: Tensor, generator: Generator) -> Tensor:
        """Uniform within the radius, then clipped."""
        if self.norm == "linf":
            delta = 2 * _draw(torch.rand, x.shape, x, generator) - 1
        else:
            length = _draw(torch.rand, (len(x), 1), x, generator) ** (1 / x.shape[1])
            delta = length * F.normalize(_draw(torch.randn, x.shape, x, generator))
        return self.project(x + self.radius * delta, x)

    def ascend(self, x: Tensor, step_size: float | Tensor, grad_x: Tensor) -> Tensor:
        """A step from x in the direction of steepest ascent; none where the gradient is 0."""
        if self.norm == "linf":
            return x + step_size * grad_x.sign()
        return x + step_size * F.normalize(grad_x, eps=torch.finfo(x.dtype).tiny)


class _Best:
    """For each example the first point of highest score, which is infinite if adversarial."""

    def __init__(self, x: Tensor) -> None:
        self.x = x.clone()
        self.score = x.new_full((len(x),), -math.inf)

    def unbroken(self, times: int) -> Iterator[Tensor]:
        """The examples not broken, as often as asked, or until there are none."""
        while times > 0 and len(rows := (self.score < math.inf).nonzero().squeeze(1)):
            yield rows
            times -= 1

    def keep_(self, rows: Tensor, x: Tensor, score: Tensor) -> None:
        better = score > self.score[rows]
        self.x[rows[better]], self.score[rows[better]] = x[better], score[better]


def _score(model: nn.Module, x: Tensor, y: Tensor, loss: str = "margin", stop=True) -> Tensor:
    """(B,) loss, or infinity where x is adversarial and the attack is to stop there."""
    z = model(x)
    return LOSSES[loss](z, y).masked_fill((z.argmax(1) != y) & stop, math.inf)


@torch.enable_grad()
def _score_and_gradient(model, x, y, loss: str, stop: bool = True) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    score = _score(model, x, y, loss, stop)
    return score.detach(), torch.autograd.grad(score.sum(), x)[0]


# --------------------------------------------------------------- attacks of a fixed radius


@_attack
def fgsm(model: nn.Module, x: Tensor, y: Tensor, *, radius: float, norm: str = "linf",
         bounds: Bounds = UNIT) -> Tensor:  # fmt: skip
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
    ball = _Ball(radius, norm, bounds)
    _, grad_x = _score_and_gradient(model, x, y, "ce")
    return ball.project(ball.ascend(x, radius, grad_x), x)


@_attack
def pgd(model: nn.Module, x: Tensor, y: Tensor, *, radius: float, norm: str = "linf",
        steps: int = 40, step_size: float | None = None, restarts: int = 1, loss: str = "ce",
        early_stop: bool = True, generator: Generator,
        bounds: Bounds = UNIT) -> Tensor:  # fmt: skip
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
            that are to fool other models should.
        generator: source of randomness.
        model, x, y, radius, norm, bounds: as in :func:`fgsm`.
    Returns: like x. Raises: ValueError as :func:`fgsm`, and for "dlr" with less than 3 classes.
    """
    ball, best = _Ball(radius, norm, bounds), _Best(x)
    step_size = radius / 10 if step_size is None else step_size
    for _ in best.unbroken(restarts):
        x_t = ball.draw(x, generator)
        for rows in best.unbroken(steps + 1):
            score, grad_x = _score_and_gradient(model, x_t[rows], y[rows], loss, early_stop)
            best.keep_(rows, x_t[rows], score)
            x_t[rows] = ball.project(ball.ascend(x_t[rows], step_size, grad_x), x[rows])
    return best.x


@_attack
def apgd(model: nn.Module, x: Tensor, y: Tensor, *, radius: float, norm: str = "linf",
         loss: str = "ce", steps: int = 100, restarts: int = 1, generator: Generator,
         bounds: Bounds = UNIT) -> Tensor:  # fmt: skip
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
    ball, best = _Ball(radius, norm, bounds), _Best(x)
    at = sorted({0, *(math.ceil(fraction * steps) for fraction in CHECKPOINTS)})
    intervals = dict(zip(at[1:], torch.tensor(at).diff().tolist(), strict=True))
    for _ in best.unbroken(restarts):
        top = _Best(x)  # of this restart
        top.score[best.score == math.inf] = math.inf
        x_t = x_before = ball.draw(x, generator)
        f_t, f_mark = (torch.full_like(top.score, value) for value in (math.inf, -math.inf))
        grad_x, grad_max, n_rises = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(f_t)
        eta, halved = torch.full_like(f_t, 2 * radius)[:, None], torch.zeros_like(f_t).bool()
        for t, rows in enumerate(top.unbroken(steps + 1)):
            f_before, f_t = f_t, f_t.clone()
            f_t[rows], grad_x[rows] = _score_and_gradient(model, x_t[rows], y[rows], loss)
            n_rises = n_rises + (f_t > f_before)
            grad_max = torch.where((f_t > top.score)[:, None], grad_x, grad_max)
            top.keep_(rows, x_t[rows], f_t[rows])
            if t in intervals:
                halved = (n_rises < 0.75 * intervals[t]) | (~halved & (top.score <= f_mark))
                back, f_t = halved[:, None], torch.where(halved, top.score, f_t)
                x_t, grad_x = torch.where(back, top.x, x_t), torch.where(back, grad_max, grad_x)
                eta = torch.where(back, eta / 2, eta)
                n_rises, f_mark = torch.zeros_like(n_rises), top.score.clone()
            z = ball.project(ball.ascend(x_t, eta, grad_x), x)
            alpha = 1 if t == 0 else 0.75
            moved = x_t + alpha * (z - x_t) + (1 - alpha) * (x_t - x_before)
            x_t, x_before = ball.project(moved, x), x_t
        best.keep_(torch.arange(len(x), device=x.device), top.x, top.score)
    return best.x


@_attack
def square(model: nn.Module, x: Tensor, y: Tensor, *, radius: float, queries: int = 1000,
           generator: Generator, bounds: Bounds = UNIT) -> Tensor:  # fmt: skip
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
    ball, best = _Ball(radius, "linf", bounds), _Best(x)
    channels, height, width = _image_shape(model[0].unflattened_size)
    for query, rows in enumerate(best.unbroken(queries)):
        halvings = sum(mark < query * 10_000 / queries for mark in HALVINGS)
        side = max(round(math.sqrt(0.8 * height * width / 2**halvings)), 1)
        sides = (min(side, height), min(side, width)) if query else (height, width)
        window = _window(x[rows], (height, width), sides, generator)
        window = window[:, None].expand(-1, channels, -1, -1).flatten(1)
        signs = _signs((len(rows), channels, 1, 1 if query else width), x, generator)
        signs = signs.expand(-1, -1, height, width).flatten(1)
        new, turned = (ball.project(x[rows] + s * radius, x[rows]) for s in (signs, -signs))
        changed = (window & (new != best.x[rows])).any(1, keepdim=True)
        x_t = torch.where(window, torch.where(changed, new, turned), best.x[rows])
        best.keep_(rows, x_t, _score(model, x_t, y[rows]))
    return best.x


def _image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """(C, H, W) of an example, which may be a row of a square grey image."""
    if len(shape) == 1 and math.isqrt(shape[0]) ** 2 == shape[0]:
        shape = (math.isqrt(shape[0]), math.isqrt(shape[0]))
    advice = "give (B, H, W), (B, C, H, W), or (B, n) with n a square number"
    _require(len(shape) in (2, 3), f"examples of shape {tuple(shape)} are no images: {advice}")
    return (1, *shape)[-3:]


def _window(x: Tensor, shape: Sequence[int], sides: Sequence[int], generator: Generator) -> Tensor:
    """(B, H, W) bool: a window of the given sides, anywhere in each image."""
    inside = []
    for length, side in zip(shape, sides, strict=True):
        first = (_draw(torch.rand, (len(x), 1), x, generator) * (length - side + 1)).floor()
        place = torch.arange(length, device=x.device) - first
        inside.append((place >= 0) & (place < side))
    return inside[0][:, :, None] & inside[1][:, None, :]


def ensemble(model: nn.Module, x: Tensor, y: Tensor, *, radius: float, steps: int = 100,
             queries: int = 1000, generator: Generator,
             bounds: Bounds = UNIT) -> tuple[Tensor, dict[str, Tensor]]:  # fmt: skip
    """APGD on the cross-entropy, APGD on DLR and Square in turn, on what is not yet broken.

    Source: ours, after [Croce2020a], Section 6.
    Departs: this is not AutoAttack, which has targeted APGD-DLR and FAB too, and 5,000 queries.

    Args:
        steps, queries: of each APGD; of Square.
        model, x, y, radius, generator, bounds: as in :func:`square`.
    Returns: points like x, and for "apgd_ce", "apgd_dlr" and "square" a (B,) bool: whether the
        example is broken after that attack, by it, before it or from the start.
    Raises: ValueError as :func:`square`, and for less than 3 classes.
    """
    _image_shape(x.shape[1:])
    x_adv, wrong, broken = x, is_adversarial(model, x, y), {}
    for name, attack in {"apgd_ce": apgd, "apgd_dlr": apgd, "square": square}.items():
        how = {"queries": queries} if attack is square else {"steps": steps, "loss": name[5:]}
        start = x.detach().clone()
        start[wrong] = x_adv[wrong]  # misclassified, so left as they are
        x_adv = attack(model, start, y, radius=radius, generator=generator, bounds=bounds, **how)
        wrong = broken[name] = is_adversarial(model, x_adv, y)
    return x_adv, broken


@_attack
def one_pixel(model: nn.Module, x: Tensor, y: Tensor, *,
              values: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
              bounds: Bounds = UNIT) -> Tensor:  # fmt: skip
    """The worst change of one pixel: of all pixels and all ``values`` the one of highest margin.

    Source: [Su2019], Section III.
    Departs: exhaustive, hence stronger, for these values, than the differential evolution there. A
    pixel is one entry of x: grey images.

    Args:
        values: what a pixel may become, inside ``bounds``.
        model, x, y, bounds: as in :func:`fgsm`.
    Returns: like x, with at most one entry of an example changed; the change of highest
        :func:`margin`, adversarial or not.
    Raises: ValueError as :func:`fgsm`, and if there is no value or one is outside of the bounds.
    """
    valid = len(values) and bounds[0] <= min(values) <= max(values) <= bounds[1]
    _require(valid, f"values = {values} do not fit: give one or more inside of {bounds}")
    each, worst = torch.eye(x.shape[1], dtype=torch.bool, device=x.device), []
    for example, label in zip(x, y, strict=True):
        changed = torch.cat([torch.where(each, value, example) for value in values])
        score = torch.cat([_score(model, p, label.expand(len(p))) for p in changed.split(BATCH)])
        worst.append(changed[score.argmax()])
    return torch.stack(worst)


# ------------------------------------------------------------------ attacks of minimal norm


@_attack
def deepfool(model: nn.Module, x: Tensor, y: Tensor, *, norm: str = "l2", steps: int = 50,
             overshoot: float = 0.02, bounds: Bounds = UNIT) -> Tensor:  # fmt: skip
    r"""Steps to the nearest boundary of the linearised classifier, until the class changes.

    .. math::
        l = \arg\min_{j \ne y} \frac{|f_j|}{\|w_j\|_q}, \qquad
        f_j = z_j - z_y, \quad w_j = \nabla_x f_j, \qquad
        \delta = \frac{|f_l|}{\|w_l\|_2^2} w_l \;\text{ or }\; \frac{|f_l|}{\|w_l\|_1} sign(w_l)

    with q = 2 for "l2" and 1 for "linf"; x moves by 1 + overshoot times :math:`\delta`, clipped.

    Source: [MoosaviDezfooli2016], Algorithm 2 and Section 3.3.
    Departs: the bounds; and a step is longer by 1e-5, for clipped steps alone may come ever closer
    to a boundary without crossing it.

    Args:
        steps: linearisations at most, each a backward pass for each class.
        overshoot: at least 0.
        model, x, y, norm, bounds: as in :func:`fgsm`.
    Returns: like x; the first adversarial point, or x where none was found.
    Raises: ValueError as :func:`fgsm`.
    """
    best, x_t = _Best(x), x.clone()
    for rows in best.unbroken(steps):
        f, w = _linearised(model, x_t[rows], y[rows])
        size = w.norm(p=2 if norm == "l2" else 1, dim=2)
        far, nearest = torch.where(size > 0, f.abs() / size, math.inf).min(1, keepdim=True)
        w = w.take_along_dim(nearest[:, :, None], 1).squeeze(1)  # (B, n)
        unit = w / size.gather(1, nearest) if norm == "l2" else w.sign()
        step = torch.where(far < math.inf, (far + 1e-5) * unit, 0)
        x_t[rows] = (x_t[rows] + (1 + overshoot) * step).clamp(*bounds)
        best.keep_(rows, x_t[rows], _score(model, x_t[rows], y[rows]))
    return torch.where((best.score == math.inf)[:, None], best.x, x)


@torch.enable_grad()
def _linearised(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(B, K) logits less those of ``y``, infinite at y, and their (B, K, n) gradients."""
    x = x.detach().requires_grad_()
    z = model(x)
    grads = [torch.autograd.grad(z_k.sum(), x, retain_graph=True)[0] for z_k in z.unbind(1)]
    w = torch.stack(grads, 1)
    f = (z - z.gather(1, y[:, None])).detach().scatter(1, y[:, None], math.inf)
    return f, w - w.take_along_dim(y[:, None, None], 1)


@_attack
def carlini_wagner(model: nn.Module, x: Tensor, y: Tensor, *, steps: int = 1000,
                   search_steps: int = 9, learning_rate: float = 0.01,
                   initial_constant: float = 0.001, confidence: float = 0.0,
                   bounds: Bounds = UNIT) -> Tensor:  # fmt: skip
    r"""Carlini and Wagner's L2 attack: Adam on distance and margin, and a search for their balance.

    .. math::
        \min_w \|x' - x\|_2^2 + c \max(z_y - \max_{j \ne y} z_j + \kappa, 0), \qquad
        x' = low + (high - low) \tfrac{1}{2} (\tanh w + 1)

    Source: [Carlini2017], Section VI-A.
    Departs: untargeted. Only differences of logits enter, so that a constant added to all of them
    changes nothing. A pixel at a bound starts at w = ±7.25, where tanh is flat: with few steps it
    hardly moves, and the distances found on images with a black background are too large.

    Args:
        steps: of Adam for each c; fewer if a tenth of them brings no example progress.
        search_steps: values of c tried: ten times larger until one breaks, then by bisection.
        learning_rate: of Adam, in w.
        initial_constant: the first c.
        confidence: :math:`\kappa`, the margin that an adversarial point must have.
        model, x, y, bounds: as in :func:`fgsm`.
    Returns: like x; the closest adversarial point found, or x. Raises: ValueError as :func:`fgsm`.
    """
    (low, high), best, rows = bounds, _Best(x), torch.arange(len(x), device=x.device)
    lower, upper = x.new_zeros(len(x)), x.new_full((len(x),), math.inf)
    constant = torch.full_like(lower, initial_constant)
    for _ in range(search_steps):
        w = torch.atanh(0.999999 * (2 * (x - low) / (high - low) - 1))  # finite at the bounds
        adam = torch.optim.Adam([w.requires_grad_()], lr=learning_rate)
        found, before = torch.zeros_like(rows, dtype=torch.bool), torch.full_like(upper, math.inf)
        for step in range(steps):
            with torch.enable_grad():
                x_t = low + (high - low) * (w.tanh() + 1) / 2
                z = model(x_t)
                gain, squares = margin(z, y), (x_t - x).square().sum(1)
                loss = squares + constant * (confidence - gain).clamp(min=0)
                (w.grad,) = torch.autograd.grad(loss.sum(), w)
            broken = (z.argmax(1) != y) & (gain >= confidence)
            best.keep_(rows[broken], x_t[broken].clamp(low, high), -squares[broken])
            found |= broken
            if step % math.ceil(steps / 10) == 0:
                if not (loss < 0.9999 * before).any():
                    break
                before = loss
            adam.step()
        lower, upper = torch.where(found, lower, constant), torch.where(found, constant, upper)
        constant = torch.where(upper < math.inf, (lower + upper) / 2, 10 * constant)
    return best.x


@_attack
def boundary(model: nn.Module, x: Tensor, y: Tensor, *, steps: int = 1000, generator: Generator,
             bounds: Bounds = UNIT) -> Tensor:  # fmt: skip
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
    (low, high), near, far = bounds, x, x
    for _ in range(STARTS):
        drawn = low + (high - low) * _draw(torch.rand, x.shape, x, generator)
        far = torch.where(_is_wrong(model, far, y)[:, None], far, drawn)
    for _ in range(25):
        middle = (near + far) / 2
        broken = _is_wrong(model, middle, y)[:, None]
        near, far = torch.where(broken, near, middle), torch.where(broken, middle, far)
    x_adv = torch.where(_is_wrong(model, far, y)[:, None], far, x)
    delta, epsilon = (x.new_full((len(x), 1), 0.1) for _ in range(2))
    for _ in range(steps):
        away = x_adv - x
        noise = _draw(torch.randn, x.shape, x, generator)
        noise = noise - (noise * F.normalize(away)).sum(1, True) * F.normalize(away)
        noise = F.normalize(noise) * delta * away.norm(dim=1, keepdim=True)
        sphere = (x + (away + noise) / (1 + delta.square()).sqrt()).clamp(low, high)
        closer = sphere + epsilon * (x - sphere)
        on_sphere = _is_wrong(model, sphere, y)[:, None]
        kept = on_sphere & _is_wrong(model, closer, y)[:, None]
        x_adv = torch.where(kept, closer, x_adv)
        delta = delta * torch.exp(0.2 * (on_sphere.to(x) - 0.5))
        epsilon = (epsilon * torch.exp(0.2 * (kept.to(x) - 0.25) * on_sphere)).clamp(max=0.5)
    return x_adv


# -------------------------------------------------------------------- noise and corruptions


def gaussian_noise(x: Tensor, noise_std: float, *, generator: Generator,
                   bounds: Bounds = UNIT) -> Tensor:  # fmt: skip
    """``x`` plus normal noise, clipped to the bounds; so near a bound its spread is smaller.

    Source: [Mu2019], which begins with it.

    Args:
        x: (B, features...) float, inside ``bounds``.
        noise_std: standard deviation before clipping, in the unit of x.
        generator: source of randomness.
    Returns: like x. Raises: ValueError if an argument is out of range.
    """
    _check(x, bounds, noise_std=noise_std)
    return (x + noise_std * _draw(torch.randn, x.shape, x, generator)).clamp(*bounds)


def _shot_noise(x: Tensor, generator: Generator, *, photons: float) -> Tensor:
    return torch.poisson(photons * x.to(generator.device), generator=generator).to(x) / photons


def _impulse_noise(x: Tensor, generator: Generator, *, fraction: float) -> Tensor:
    u = _draw(torch.rand, x.shape, x, generator)
    return torch.where(u < fraction, (u < fraction / 2).to(x), x)


def _brightness(x: Tensor, generator: Generator, *, added: float) -> Tensor:
    return x + added


def _stripe(x: Tensor, generator: Generator, *, columns: float) -> Tensor:
    place = (torch.arange(x.shape[3], device=x.device) + 0.5) * 28 / x.shape[3]
    return torch.where((place < columns) | (place > 28 - columns), 1 - x, x)


def _warp(x: Tensor, generator: Generator, *, radians: float = 0.0, slope: float = 0.0,
          scale: float = 1.0, pixels: float = 0.0) -> Tensor:  # fmt: skip
    """Images (B, C, H, W) read at an affine map of their square [-1, 1] x [-1, 1]; 0 outside."""
    side, other = _signs((2, len(x), 1), x, generator)
    cos, sin, shift = math.cos(radians) / scale, math.sin(radians) * side, pixels / 14
    rows = (side * 0 + cos, slope * side - sin, shift * side, sin, side * 0 + cos, shift * other)
    grid = F.affine_grid(torch.cat(rows, 1).view(-1, 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


CORRUPTIONS: dict[str, tuple[Callable[..., Tensor], str, tuple[float, ...]]] = {
    "shot_noise": (_shot_noise, "photons", (60, 25, 12, 5, 3)),  # of a white pixel
    "impulse_noise": (_impulse_noise, "fraction", (0.03, 0.06, 0.09, 0.17, 0.27)),  # of the pixels
    "brightness": (_brightness, "added", (0.1, 0.2, 0.3, 0.4, 0.5)),  # black is 0 and white 1
    "stripe": (_stripe, "columns", (2, 3, 4, 5.5, 7)),  # of 28, inverted on the left and right
    "rotate": (_warp, "radians", (0.2, 0.4, 0.6, 0.8, 1.0)),  # to a random side
    "shear": (_warp, "slope", (0.2, 0.4, 0.6, 0.8, 1.0)),  # columns a row, to a random side
    "scale": (_warp, "scale", (0.9, 0.8, 0.7, 0.6, 0.5)),  # of the size
    "translate": (_warp, "pixels", (1, 2, 3, 4, 5)),  # of 28, along both axes
}
_KNOWN["corruption"] = tuple(CORRUPTIONS)


def corrupt(x: Tensor, name: str, severity: int, *, generator: Generator,
            bounds: Bounds = UNIT) -> Tensor:  # fmt: skip
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
    _check(x, bounds, corruption=name, severity=severity)
    (law, unit, amounts), (low, high) = CORRUPTIONS[name], bounds
    images = (x.reshape(-1, *_image_shape(x.shape[1:])) - low) / (high - low)
    corrupted = law(images, generator, **{unit: amounts[severity - 1]})
    return (low + (high - low) * corrupted).clamp(low, high).view_as(x)


# --------------------------------------------------------------------------------- measures


def is_adversarial(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Whether the model takes each example for another class: (B,) bool.

    Source: ours. ``x`` (B, features...), ``y`` (B,); ValueError if they do not fit the model.
    """
    return _is_wrong(_frozen(model, x, y), x.detach().flatten(1), y)


def distance(x_adv: Tensor, x: Tensor, norm: str) -> Tensor:
    """(B,) distance of each example in the norm "linf", "l2" or "l0" (entries that differ).

    Source: ours. Raises ValueError if the shapes differ or the norm is unknown.
    """
    orders = {"linf": math.inf, "l2": 2, "l0": 0}
    _require(norm in orders, f"norm = {norm!r} is unknown: give one of {', '.join(orders)}")
    _require(x_adv.shape == x.shape, f"x_adv {tuple(x_adv.shape)} has not the shape of x")
    return (x_adv - x).flatten(1).norm(p=orders[norm], dim=1)
