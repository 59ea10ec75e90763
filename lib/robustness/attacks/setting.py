"""Setting of an attack: checked settings, examples in bounds, a frozen model, random numbers."""

import copy
import functools
import inspect
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ..._boundary import check_known, check_number, check_type, check_whole
from ...kernels import require_tensor
from ...models import check_evaluating
from .losses import LOSSES, is_misclassified, log_odds

Bounds = tuple[float, float]  # lowest and highest value of a pixel

UNIT: Bounds = (0.0, 1.0)
STARTS = 100  # random inputs among which an adversarial one, or one with a gradient, is looked for
BATCH = 1000  # examples, or candidates of one example, that go through the model at a time

NORMS = ("linf", "l2")
WHOLE = ("steps", "bisections", "search_steps", "restarts", "queries")  # from 1 on
CLASSES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
RANGES = {
    "radius": "[0, inf)",
    "step_size": "[0, inf)",
    "overshoot": "[0, inf)",
    "confidence": "[0, inf)",
    "learning_rate": "(0, inf)",
    "initial_constant": "(0, inf)",
    "start_margin": "(0, 1)",
}
ALL = slice(None)  # rows
NO_GRADIENT = (
    "no gradient arrives at the input, as if the model rounded it: give square or boundary, which"
    " need no gradients, or a smooth model"
)


def say(sentence: str, level: int = logging.WARNING) -> None:
    """Log what a result does not show; Python writes warnings to stderr unless told otherwise."""
    logging.getLogger(__package__).log(level, sentence)


def attack(core: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The attack of any examples, made of its ``core``, which sees a frozen model and the flat
    examples (B, n) of a batch that are classified correctly. A core that follows gradients gives
    them to :func:`note_gradient_`.
    """

    signature = inspect.signature(core)

    @functools.wraps(core)
    def attack_examples(model: nn.Module, x: Tensor, y: Tensor, **settings: Any) -> Tensor:
        signature.bind_partial(model, x, y, **settings)  # none is unknown
        if "generator" in signature.parameters:
            check_type("generator", settings.get("generator"), Generator)
        arguments = signature.bind(model, x, y, **settings)  # all are there
        check_settings(settings)
        bounds = settings.get("bounds", UNIT)
        check_examples(x, bounds)
        arguments.apply_defaults()
        if "bisections" not in signature.parameters:  # its radius is that of a search
            _check_radius(arguments.arguments, bounds)
        start = settings.get("start")
        _check_start(start, x, bounds)
        model = frozen(model, x, y, settings.get("loss", "ce"))
        flat = x.detach().flatten(1)
        y = y.long()
        x_adv = flat.clone()
        n_blind = 0
        correct = (~is_wrong(model, flat, y)).nonzero().squeeze(1)
        for rows in correct.split(BATCH) if len(correct) else ():
            model.bounds, model.has_gradient = bounds, None
            of_rows = dict(settings)
            if start is not None:
                of_rows["start"] = start.detach().flatten(1)[rows]
            with torch.no_grad():
                x_adv[rows] = core(model, flat[rows], y[rows], **of_rows)
                n_blind += _count_blind(model, x_adv[rows], y[rows])
        if n_blind:
            say(
                f"{core.__name__} saw only zero gradients for {n_blind} of {len(x)} examples and"
                " broke none of these, which proves nothing: try square or boundary, which need no"
                " gradients",
                logging.WARNING if 2 * n_blind >= len(x) else logging.INFO,
            )
        return x_adv.view_as(x)

    return attack_examples


# ------------------------------------------------------------------------------------- checks


def check_settings(settings: dict[str, Any]) -> None:
    """Raise ValueError on a setting of an attack that is out of range or unknown."""
    for name, value in settings.items():
        if name in WHOLE:
            check_whole(name, value, least=1)
        if name in RANGES and not (name == "step_size" and value is None):
            check_number(name, value, RANGES[name])
        if name == "norm":
            check_known(name, value, NORMS)
        if name == "loss":
            check_known(name, value, LOSSES)


def check_examples(x: Tensor, bounds: Bounds) -> None:
    """Raise ValueError unless x holds floats (B, features...) inside of finite bounds."""
    require_tensor(x, "x")
    shape = tuple(x.shape)
    if len(shape) < 2 or not x.numel() or not x.is_floating_point():
        advice = "give one or more floats (B, features...)"
        raise ValueError(f"x is {x.dtype} of shape {shape}: {advice}")
    if not isinstance(bounds, Sequence) or len(bounds) != 2:
        raise ValueError(f"bounds = {bounds!r} do not fit: give (low, high)")
    low, high = bounds
    valid = -math.inf < low < high < math.inf
    if not valid or not (x.clamp(low, high) == x).all():
        advice = "give (low, high) with low < high that hold x"
        values = f"from {x.min()} to {x.max()}"
        raise ValueError(f"bounds = {bounds} do not fit: {advice}, {values}")


def _check_radius(settings: Mapping[str, Any], bounds: Bounds) -> None:
    """Raise ValueError on a radius that lets a pixel take any value, as one of 0 to 255."""
    low, high = bounds
    radius = settings.get("radius", 0.0)
    if settings.get("norm", "linf") == "linf" and radius > high - low:
        raise ValueError(
            f"radius = {radius:g} is larger than the bounds ({low:g}, {high:g}) are wide: give it"
            " in units of the pixels of x, as 8 / 255"
        )


def _check_start(start: Tensor | None, x: Tensor, bounds: Bounds) -> None:
    if start is None:
        return
    if start.shape != x.shape or start.dtype != x.dtype:
        advice = f"give {x.dtype} of the shape {tuple(x.shape)} of x"
        raise ValueError(f"start is {start.dtype} of shape {tuple(start.shape)}: {advice}")
    check_examples(start, bounds)


def check_classes(x: Tensor, y: Tensor, n_classes: int) -> None:
    """Raise ValueError unless y holds one of the classes for each example."""
    require_tensor(y, "y")
    if y.dtype not in CLASSES or y.shape != x.shape[:1]:
        advice = f"give an integer class for each of the {len(x)} examples"
        raise ValueError(f"y is {y.dtype} of shape {tuple(y.shape)}: {advice}")
    if len(y) and not 0 <= y.min() <= y.max() < n_classes:
        raise ValueError(f"y has {y.min()} to {y.max()}: give 0 to {n_classes - 1}")


# --------------------------------------------------------------------------- model and examples


def frozen(model: nn.Module, x: Tensor, y: Tensor, loss: str = "ce") -> nn.Sequential:
    """The model on flat examples, a copy without gradients of weights.

    Raises ValueError if it is in training mode, or ``y`` does not fit ``x`` and the logits.
    """
    check_model(model, x, y, loss)  # first: weights that it computes can be copied afterwards
    return _of_flat(copy.deepcopy(model), x).requires_grad_(False)


def _of_flat(model: nn.Module, x: Tensor) -> nn.Sequential:
    """The model, the same module, on examples of the shape of ``x`` that are flat."""
    return nn.Sequential(nn.Unflatten(1, x.shape[1:]), model)


def check_model(model: nn.Module, x: Tensor, y: Tensor, loss: str = "ce") -> int:
    """The number of classes.

    Raises ValueError if the model is in training mode, or ``y`` does not fit ``x`` and the logits.
    """
    check_evaluating(model)
    with torch.no_grad():
        z = model(x[:1].detach())
    if z.ndim != 2 or z.shape[1] < 2:
        raise ValueError(
            f"the model gives {tuple(z.shape)} for one example: give a logit for each of the"
            " classes, (B, K), as (0, z) for one output z"
        )
    n_classes = z.shape[1]
    if loss == "dlr" and n_classes < 3:
        advice = "give another loss, or a model with more logits"
        raise ValueError(f"loss {loss!r} of {n_classes} logits is undefined: {advice}")
    check_classes(x, y, n_classes)
    return n_classes


def gradients(value: Tensor, *inputs: Tensor, retain_graph: bool = False) -> tuple[Tensor, ...]:
    """The gradient of the sum of ``value`` with respect to each input, 0 where it is nan: no step
    leads to nan.

    Raises ValueError if no gradient arrives at an input.
    """
    found = (None,)
    if value.requires_grad:
        found = torch.autograd.grad(
            value.sum(), inputs, retain_graph=retain_graph, allow_unused=True
        )
    if any(grad is None for grad in found):
        raise ValueError(NO_GRADIENT)
    return tuple(grad.nan_to_num(0.0) for grad in found)


def note_gradient_(model: nn.Module, grad_x: Tensor, rows: Tensor | slice = ALL) -> None:
    """Remember which examples had a gradient other than 0; ``rows`` are those of ``grad_x``, at
    first all of the batch.

    Raises ValueError if the model is a step function.
    """
    if model.has_gradient is None:
        if not grad_x.any() and _is_step_function(model, grad_x):
            raise ValueError(NO_GRADIENT)
        model.has_gradient = torch.zeros_like(grad_x[:, 0], dtype=torch.bool)
    model.has_gradient[rows] |= grad_x.any(1)


def _count_blind(model: nn.Module, x_adv: Tensor, y: Tensor) -> int:
    """Number of examples that an attack did not break while all gradients of them were 0."""
    if model.has_gradient is None:  # the attack needs none
        return 0
    blind = ~model.has_gradient
    return int((~is_wrong(model, x_adv[blind], y[blind])).sum()) if blind.any() else 0


@torch.enable_grad()
def _is_step_function(model: nn.Module, like: Tensor) -> bool:
    """True if all gradients at random inputs are 0, though their logits differ."""
    low, high = model.bounds
    u = draw(torch.rand, (STARTS, like.shape[1]), like, Generator().manual_seed(0))
    points = (low + (high - low) * u).requires_grad_()
    z = model(points)
    (grad_x,) = gradients(log_odds(z, z.argmax(1)), points)
    return not grad_x.any() and bool((z != z[0]).any())


def is_wrong(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """(B,) bool, whether the model takes each flat example for another class.

    Raises ValueError if a logit is nan.
    """
    return is_misclassified(torch.cat([model(batch) for batch in x.split(BATCH)]), y)


def image_shape(shape: torch.Size) -> tuple[int, int, int]:
    """(C, H, W) of an example, which may be a row of a square grey image.

    Raises ValueError if it is no image.
    """
    if len(shape) == 3:
        return tuple(shape)
    if len(shape) == 2:
        return (1, *shape)
    side = math.isqrt(math.prod(shape))
    if len(shape) != 1 or side**2 != shape[0]:
        advice = "give (B, H, W), (B, C, H, W), or (B, n) with n a square number"
        raise ValueError(f"examples of shape {tuple(shape)} are no images: {advice}")
    return 1, side, side


def draw(law: Callable, shape: tuple[int, ...], like: Tensor, generator: Generator) -> Tensor:
    """Random numbers of torch.rand or torch.randn, of the dtype and on the device of ``like``."""
    drawn = law(shape, generator=generator, dtype=like.dtype, device=generator.device)
    return drawn.to(like)


def draw_signs(shape: tuple[int, ...], like: Tensor, generator: Generator) -> Tensor:
    """Random signs, 1 or -1, of the dtype and on the device of ``like``."""
    return 2 * draw(torch.rand, shape, like, generator).round() - 1


# ------------------------------------------------------------------------------------ measures


def is_adversarial(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """True if the model takes each example for another class: (B,) bool.

    ``x`` (B, features...), ``y`` (B,); ValueError if they do not fit the model, or if an example or
    a logit is nan.
    """
    check_model(model, x, y)
    n_unknown = int(x.flatten(1).isnan().any(1).sum())
    if n_unknown:
        raise ValueError(f"x has nan in {n_unknown} of {len(x)} examples: leave them out")
    of_flat = _of_flat(model, x)
    with torch.no_grad():
        return is_wrong(of_flat, x.detach().flatten(1), y)


def adversarial_distance(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    x_adv: Tensor,
    norm: str,
) -> Tensor:
    """(B,) :func:`distance` of what an attack returned; infinite where that is not adversarial, nan
    where it is nan.

    Raises ValueError as :func:`distance` and :func:`is_adversarial`.
    """
    distances = distance(x_adv, x, norm)
    unknown = ~x_adv.isfinite().flatten(1).all(1)
    points = x_adv.clone()
    points[unknown] = x[unknown]
    distances[~is_adversarial(model, points, y)] = math.inf
    distances[unknown] = math.nan
    return distances


def closest(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    points: Mapping[str, Tensor],
    norm: str,
) -> tuple[Tensor, list[str]]:
    """For each example the closest adversarial point of several attacks, and which one found it.

    Args:
        model, x, y: as in :func:`fgsm`.
        points: name of an attack -> what it returned, like x; points that are nan are left out.
        norm: "linf", "l2" or "l0".
    Returns: points like x, x itself where no attack found one; and a name for each example, of the
        first attack of the equally close, "none" where there is none.
    Raises: ValueError as :func:`adversarial_distance`.
    """
    distances = []
    for x_adv in points.values():
        of_attack = adversarial_distance(model, x, y, x_adv, norm)
        distances.append(of_attack.nan_to_num(math.inf, posinf=math.inf))
    least, which = torch.stack(distances).min(0)
    found = least < math.inf
    candidates = torch.stack([*points.values(), x])
    which = torch.where(found, which, len(points))
    names = [*points, "none"]
    everything = torch.arange(len(x), device=x.device)
    return candidates[which, everything], [names[position] for position in which.tolist()]


def distance(x_adv: Tensor, x: Tensor, norm: str) -> Tensor:
    """(B,) distance of each example in the norm "linf", "l2" or "l0" (entries that differ).

    Raises ValueError if the shapes differ or the norm is unknown.
    """
    orders = {"linf": math.inf, "l2": 2, "l0": 0}
    check_known("norm", norm, orders)
    if x_adv.shape != x.shape:
        raise ValueError(f"x_adv {tuple(x_adv.shape)} has not the shape of x")
    delta = (x_adv - x).flatten(1)
    return delta.norm(p=orders[norm], dim=1)
