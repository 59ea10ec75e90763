"""How much a network can stretch a change of its input: the Lipschitz constant of every layer."""

import copy
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .._boundary import check_whole
from ..activations import APL, Maxout, Splash, SReLU
from ..layers import Dropout, Scale, SparseLinear, Standardise
from ..models import Subsample, check_evaluating
from .attacks.losses import margin

WEIGHTED = (nn.Conv2d, nn.Linear, SparseLinear, Subsample)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.SiLU, APL, SReLU)
RESHAPING = (nn.Flatten, nn.Unflatten, nn.Identity)
RESHAPING += (nn.Dropout, nn.Dropout2d, Dropout)  # nothing, in evaluation
STEADY = (*RESHAPING, nn.ZeroPad2d, nn.AdaptiveAvgPool2d)  # a constant of 1 at most
STEADY += (nn.Sequential,)  # an empty one
SCALES = (Standardise, nn.Upsample, Scale)
GRID = torch.linspace(-8, 8, 3201)  # where the slope of a smooth unit is looked for


def operator_norm(
    function: Callable[[Tensor], Tensor],
    shape: torch.Size,
    *,
    steps: int = 50,
    generator: torch.Generator,
) -> float:
    r"""The largest singular value of the linear part A of an affine function, by power iteration.

    .. math:: v \leftarrow A^T A v / \|A^T A v\|_2, \qquad \sigma = \|A v\|_2

    Source: [Miyato2018], Section 2.1, here of the whole operator, not of its matrix of kernels.

    Args:
        function: affine, of one tensor; its value is one too.
        shape: of its argument.
        steps: of the iteration.
        generator: source of randomness, of the first v.
    Returns: a lower bound that rises to the norm; 0 for a constant.
    Raises: ValueError if there is no step.
    """
    check_whole("steps", steps, least=1)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
    with torch.enable_grad():
        y = function(x)
    v = x.detach()
    sigma = 0.0
    for _ in range(steps):
        with torch.no_grad():
            image = function(v / v.norm()) - function(torch.zeros_like(v))  # A v
        sigma = image.norm().item()
        if sigma == 0:
            return 0.0
        (v,) = torch.autograd.grad(y, x, image, retain_graph=True)
        v = v / v.norm()
    return sigma


def lipschitz_constants(
    model: nn.Module, x: Tensor, *, steps: int = 50, generator: torch.Generator
) -> dict[str, dict[str, float]]:
    """The Lipschitz constants in L2 of the layers of a network, in the order of their calls; each
    call of a layer counts.

    A linear layer includes the normalisation of its output, as in evaluation. A normalisation of
    anything else is a linear layer of its own. Left out is what only scales: images that are
    standardised or enlarged, and logits that are multiplied. What a module adds to its
    children, as a shortcut or a function, is not counted; a layer whose output is normalised in one
    branch and used as it is in another has the constant of the first.

    Args:
        model: in evaluation mode; it is not changed.
        x: (1, features...) float, an example, for the shapes.
        steps, generator: of :func:`operator_norm`.
    Returns: "linear" and "unit", of each the constant by the name of the module, the second one of
        a module "conv1" as "conv1 (call 2)".
    Raises: ValueError if the model is in training mode or has a module whose constant is not known.
    """
    check_evaluating(model)
    for name, module in model.named_modules():
        is_known = _is_unit(module) or isinstance(module, (*WEIGHTED, *NORMS, *STEADY, *SCALES))
        of_weights = "parametrizations" in name.split(".")  # as of a spectral normalisation
        if not (is_known or of_weights or [*module.children()]):
            kind = type(module).__name__
            raise ValueError(
                f"how much module {name!r} ({kind}) stretches is not known: give a model without it"
            )
    with torch.no_grad():
        model(x.to(next(model.parameters(), x)))  # weights that it computes can be copied now
    model = copy.deepcopy(model).double().requires_grad_(False)
    groups, units = _called(model, x.double())
    linear = {}
    for name, group in groups.items():
        function = nn.Sequential(*group.modules)
        linear[name] = operator_norm(function, group.shape, steps=steps, generator=generator)
    return {"linear": linear, "unit": {name: steepest_slope(u) for name, u in units.items()}}


@dataclass
class _Group:
    """A linear layer, and the changes of shape and normalisations of its output."""

    modules: list[nn.Module]
    shape: torch.Size  # of its input
    output: Tensor
    version: int  # of the output, which a function may change in place

    def gave(self, x: Tensor) -> bool:
        return x is self.output and x._version == self.version


def _called(model: nn.Module, x: Tensor) -> tuple[dict[str, _Group], dict[str, nn.Module]]:
    """The linear layers and the units that compute an example, by name, in the order of the calls;
    a later call of a module has its number in the name.
    """
    groups: dict[str, _Group] = {}
    units: dict[str, nn.Module] = {}
    handles = []
    for name, module in model.named_modules():

        def record(module, args, kwargs, output, name=name):
            if _is_unit(module):
                units[_of_call(name, units)] = module
                return
            x = (*args, *kwargs.values())[0]
            found = [group for group in groups.values() if group.gave(x)]
            if found and isinstance(module, (*NORMS, *RESHAPING)):
                found[0].modules.append(module)
                found[0].output, found[0].version = output, output._version
            elif isinstance(module, (*WEIGHTED, *NORMS)):
                group = _Group([module], x.shape, output, output._version)
                groups[_of_call(name, groups)] = group

        if _is_unit(module) or isinstance(module, (*WEIGHTED, *NORMS, *RESHAPING)):
            handles.append(module.register_forward_hook(record, with_kwargs=True))
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return groups, units


def _of_call(name: str, calls: Iterable[str]) -> str:
    """The name of the next call of a module."""
    names = (name if n == 1 else f"{name} (call {n})" for n in itertools.count(1))
    return next(each for each in names if each not in calls)


def _is_unit(module: nn.Module) -> bool:
    return isinstance(module, (*ELEMENTWISE, Splash, Maxout, nn.MaxPool2d))


def steepest_slope(unit: nn.Module) -> float:
    """The Lipschitz constant of a unit: exact for SPLASH, APL, SReLU, ELU and maxout, a bound for a
    maximum of windows, else the steepest slope on a fine grid from -8 to 8.

    Source: closed form for [Tavakoli2021], the sums of its coefficients.
    """
    if isinstance(unit, nn.MaxPool2d):  # a pixel lies in as many windows at most
        spacing = unit.stride // np.gcd(unit.stride, unit.dilation)
        each_way = np.ceil(unit.kernel_size / spacing) * np.ones(2)
        return float(np.sqrt(each_way.prod()))
    if isinstance(unit, Splash):
        return unit.lipschitz()
    if isinstance(unit, Maxout):
        return 1.0
    if isinstance(unit, nn.ELU):
        return max(1.0, abs(unit.alpha))
    if isinstance(unit, SReLU):
        between = (unit.width != 0).to(unit.width)  # slope 1, where the thresholds differ
        return float(torch.stack([unit.a_left, between, unit.a_right]).detach().abs().max())
    if isinstance(unit, APL):
        return float(_slopes_of_pieces(unit).abs().max())
    n = 1
    for parameter in unit.parameters():
        n = parameter.shape[-1]
    like = next(unit.parameters(), GRID.double())
    x = GRID.to(like)[:, None].repeat(1, n).requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(unit(x.clone()).sum(), x)  # it may write to what it gets
    return float(slope.abs().max())


@torch.no_grad()
def _slopes_of_pieces(unit: APL) -> Tensor:
    """(2, S + 1, n) float, slopes on the left and on the right of 0 and of every hinge."""
    kinks = torch.cat([torch.zeros_like(unit.hinges[:1]), unit.hinges])  # (S + 1, n)
    a, b = unit.slopes[:, None], unit.hinges[:, None]  # (S, 1, n)
    left = (kinks > 0).to(a) - (a * (kinks <= b)).sum(0)
    right = (kinks >= 0).to(a) - (a * (kinks < b)).sum(0)
    return torch.stack([left, right])


def margins_and_gradients(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    r"""Margin m by which every example is classified correctly, and its gradient.

    .. math:: m = z_y - \max_{j \ne y} z_j, \qquad \nabla_x m

    To first order an example is lost at the L2 distance :math:`m / \|\nabla_x m\|_2`, and at the
    distance :math:`m / \|\nabla_x m\|_1` in L-infinity.

    Args:
        model: (B, features...) -> (B, K) logits, in evaluation mode.
        x, y: (B, features...) float and (B,) classes.
    Returns: (B,) and (B, n) float, the gradient flat.
    Raises: ValueError if the model is in training mode.
    """
    check_evaluating(model)
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        m = -margin(model(x), y)
        (grad_x,) = torch.autograd.grad(m.sum(), x)
    return m.detach(), grad_x.flatten(1)


def product(constants: dict[str, float]) -> float:
    """The product of the constants of all layers: with those of its units a bound of that of a
    network without shortcuts, up to what its layers without weights do (standardisation, pooling,
    scale).

    Returns: a float, infinite where it overflows.
    """
    return math.prod(constants.values())
