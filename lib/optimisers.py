"""The optimiser of a model, which of its parameters decay, and how many steps it takes."""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from .activations import Splash
from .layers import SparseLinear
from .names import check_number
from .settings import Settings

# kinds of modules whose parameters, but biases, are weights of links
LINKED = SparseLinear | nn.Linear | nn.Bilinear | nn.MultiheadAttention
LINKED |= nn.RNNBase | nn.RNNCellBase | nn.Conv1d | nn.Conv2d | nn.Conv3d
LINKED |= nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
STEPS: WeakKeyDictionary[torch.optim.Optimizer, int] = WeakKeyDictionary()  # where they are counted


def make_optimiser(model: nn.Module, settings: Settings) -> torch.optim.SGD:
    """SGD of the settings, with the weight decay of :func:`decay_groups`."""
    return torch.optim.SGD(
        decay_groups(model, settings.weight_decay),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        fused=True,
    )


def decay_groups(
    model: nn.Module, weight_decay: float, *, also: Sequence[type[nn.Module]] = ()
) -> list[dict[str, Any]]:
    """Two parameter groups for an optimiser of torch: those that decay, and all others.

    Weights of sparse, linear, convolutional, recurrent and attention layers decay. Biases,
    normalisations, embeddings and activations do not, nor do parameters of modules of other kinds.
    A parameter that two modules share decays if it is the weight of one of them. Units of SPLASH
    decay only if they were made with ``decayed``.

    Args:
        model: may lie in a wrapper, as ``DistributedDataParallel``.
        weight_decay: of the first group, 0 or more.
        also: further kinds of modules whose parameters decay, biases excepted.
    Raises: ValueError if the weight decay is out of range.

    Example:
        >>> optimiser = torch.optim.AdamW(decay_groups(model, 0.05), lr=1e-3)
    """
    check_number("weight_decay", weight_decay, "[0, inf)")
    weights = _decayed(model, tuple(also))
    decayed = [p for p in model.parameters() if id(p) in weights]
    others = [p for p in model.parameters() if id(p) not in weights]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},  # AdamW's own is not 0
    ]


def motion(
    optimiser: torch.optim.SGD, parameters: Sequence[nn.Parameter]
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """What a compiled step of SGD needs: rates (n, 3) of learning, momentum and weight decay, in
    the dtype of the parameters, and the momentum of each, flat, 0 before the first step.
    """
    groups = {id(p): group for group in optimiser.param_groups for p in group["params"]}
    rates, momenta = [], []
    for parameter in parameters:
        group = groups[id(parameter)]
        rates.append([group["lr"], group["momentum"], group["weight_decay"]])
        momenta.append(momentum(optimiser, parameter).numpy().reshape(-1))
    return np.array(rates, momenta[0].dtype), tuple(momenta)


def momentum(optimiser: torch.optim.SGD, parameter: nn.Parameter) -> Tensor:
    """That of a parameter, in the optimiser's state; 0 before the first step."""
    state = optimiser.state[parameter]
    if state.get("momentum_buffer") is None:
        state["momentum_buffer"] = torch.zeros_like(parameter.detach())
    return state["momentum_buffer"]


def count_steps(optimiser: torch.optim.Optimizer) -> None:
    """Count the steps of an optimiser in :data:`STEPS` from now on, if they are not counted yet."""
    if optimiser not in STEPS:
        STEPS[optimiser] = 0
        optimiser.register_step_post_hook(count)


def count(optimiser: torch.optim.Optimizer, *_: Any) -> None:
    """Count a step, after it, and mark the gradients that it has used."""
    found_inf = getattr(optimiser, "found_inf", None)
    if found_inf is not None and float(found_inf) > 0:
        return  # a gradient scaler skips this step of a fused optimiser
    STEPS[optimiser] = STEPS.get(optimiser, 0) + 1
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.used_at = parameter.grad._version


def waits(parameter: nn.Parameter) -> bool:
    """Whether a parameter has a gradient that no counted step of its optimiser has used."""
    grad = parameter.grad
    if grad is None or getattr(grad, "used_at", None) == grad._version:
        return False
    return bool(grad.any())  # zero_grad(set_to_none=False) writes zeros


def _decayed(model: nn.Module, also: tuple[type[nn.Module], ...]) -> set[int]:
    """The ids of the parameters that hold the weights of links, or coefficients that decay too."""
    weights = set()
    for module in model.modules():
        if isinstance(module, LINKED) or isinstance(module, also):
            own = dict(module.named_parameters(recurse=False))
            if is_parametrized(module):
                own |= module.parametrizations.named_parameters()
            weights |= {id(parameter) for name, parameter in own.items() if "bias" not in name}
        elif isinstance(module, Splash) and module.decayed:
            weights.add(id(module.coefficients))
    return weights
