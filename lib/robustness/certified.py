r"""Certificates by interval bound propagation.

An attack that fails proves nothing: a better one may come. A certificate is a proof that no point
within a radius, in L-infinity, has another class. It is sufficient and not necessary: what lacks
one may still withstand every attack.

Every neuron gets an interval that holds its value for all inputs within the radius. Intervals go
through the modules of a network one after the other, as their centers c and radii r. An affine
layer gives

.. math:: c' = W c + \beta, \qquad r' = |W| \, r

and a unit the smallest interval that holds its image. Each of these is exact; what is lost is that
neurons depend on each other.

Source: [Gowal2018], Section 3.
Departs: units need not be monotonic. Sums are rounded: a bound holds up to the rounding of the
network's own dtype.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from .. import kernels, layers
from ..activations import as_srelu
from ..layers import SparseLinear, Standardise
from ..models import MLP
from ..support import every_link
from .attacks.losses import is_misclassified
from .attacks.setting import (
    BATCH,
    UNIT,
    Bounds,
    check_classes,
    check_examples,
    check_settings,
)

LINEAR = (SparseLinear, layers.Linear, nn.Linear)
DROPOUT = (layers.Dropout, nn.Dropout)
Interval = tuple[Tensor, Tensor]  # centers and radii (B, n), or lowest and highest values


@parametrize.cached()  # weights that are computed stay the same from their product to their sizes
def bounds(model: nn.Sequential, x: Tensor, radius: float, *, box: Bounds = UNIT) -> Interval:
    r"""Lower and upper bounds of all outputs, over the inputs within a radius of each example.

    .. math:: l_i \le z_i(x') \le u_i \qquad \text{for all } x' \text{ with }
        \|x' - x\|_\infty \le r, \text{ inside the box}

    Source: [Gowal2018], Section 3.

    Args:
        model: an ``nn.Sequential`` or :class:`~lib.models.MLP` of
            :class:`~lib.layers.Standardise`, linear layers, sparse or dense, ReLU, leaky ReLU,
            All-ReLU, SReLU, and dropout, which is the identity here; flattening may be the first.
            A layer may compute its weights, as of ``spectral_norm``.
        x: (B, features...) float, inside the box.
        radius: r, in L-infinity, in the unit of x.
        box: lowest and highest value of a pixel.
    Returns: two of (B, n_out) float; gradients flow to x and to the parameters.
    Raises: ValueError if the model is of another class, if another module is in it, named, or if a
        value is out of range.
    """
    center, spread = _propagated(_modules_of(model), x, radius, box)
    return center - spread, center + spread


@parametrize.cached()
def margins(
    model: nn.Sequential, x: Tensor, y: Tensor, radius: float, *, box: Bounds = UNIT
) -> Tensor:
    r"""Lower bounds of how far the logit of the right class is above each other one.

    .. math:: m_j = (W_y - W_j) c + \beta_y - \beta_j - |W_y - W_j| \, r
        \le \min_{x'} z_y(x') - z_j(x')

    with the intervals below the last layer. They are above the differences of :func:`bounds`, as
    both logits come of the same neurons.

    Source: [Gowal2018], Section 3, the last layer merged with what is to be proved.

    Args:
        model, x, radius, box: as in :func:`bounds`; the last module is linear.
        y: (B,) int64, classes.
    Returns: (B, K) float, 0 at y.
    Raises: ValueError as :func:`bounds`, if the last module is not linear, or if y is not one class
        for each example.
    """
    *before, (name, last) = _modules_of(model)
    kind = parametrize.type_before_parametrizations(last)
    if kind not in LINEAR:
        raise ValueError(f"module {name} is a {type(last).__name__}: the last one must be linear")
    check_classes(x, y, last.out_features)
    center, spread = _propagated(before, x, radius, box)
    z = last(center)  # (B, K)
    weight = last.to_dense() if kind is SparseLinear else last.weight
    apart = (weight[:, None] - weight).abs().flatten(0, 1)  # (K K, n), of all pairs of classes
    if kind is SparseLinear:  # a dense product would add in an order that threads change
        n_pairs, n = apart.shape
        pairs = every_link(n, n_pairs, apart.device)
        lost = kernels.chain(spread, [kernels.Layer(pairs, apart.flatten())])
    else:
        lost = F.linear(spread, apart)
    y = y.long()
    rows = torch.arange(len(y), device=y.device)
    return z.gather(1, y[:, None]) - z - lost.unflatten(1, (len(weight), -1))[rows, y]


@torch.no_grad()
def is_certified(
    model: nn.Sequential, x: Tensor, y: Tensor, *, radius: float, box: Bounds = UNIT
) -> Tensor:
    """True if the model is proved to give each example its class, whatever happens to the pixels
    within the radius.

    Args: as in :func:`margins`. Returns: (B,) bool. Raises: ValueError as :func:`margins`, and if a
        logit is nan.
    """
    certified = []
    for inputs, classes in zip(x.split(BATCH), y.split(BATCH), strict=True):
        least = margins(model, inputs, classes, radius, box=box)
        if least.isnan().any():  # of overflow no certificate, of the logits themselves a refusal
            is_misclassified(bounds(model, inputs, 0.0, box=box)[0], classes)
        certified.append((least.scatter(1, classes[:, None].long(), torch.inf) > 0).all(1))
    return torch.cat(certified)


def srelu_interval(lower: Tensor, upper: Tensor, pieces: Tensor) -> Interval:
    """The smallest intervals that hold the images of SReLU: its lowest and highest values at both
    ends and at the thresholds between them, as it is linear elsewhere. A slope may be negative.

    Args:
        lower, upper: (B, n) float, ends of the intervals.
        pieces: (4, n) float, parameters as in :func:`lib.kernels.srelu`.
    Returns: two of (B, n) float.
    """
    t_left, _, width, _ = pieces
    at_lower, at_upper = kernels.srelu(lower, pieces), kernels.srelu(upper, pieces)
    lowest, highest = torch.minimum(at_lower, at_upper), torch.maximum(at_lower, at_upper)
    for threshold in (t_left, t_left + width.abs()):  # where f(x) = x
        is_inside = (lower < threshold) & (threshold < upper)
        value = torch.where(is_inside, threshold, at_lower)
        lowest, highest = torch.minimum(lowest, value), torch.maximum(highest, value)
    return lowest, highest


def _modules_of(model: nn.Sequential) -> list[tuple[str, nn.Module]]:
    """The modules in the order in which they compute, one that is used twice two times."""
    if type(model) not in (nn.Sequential, MLP):
        raise ValueError(
            f"the model is a {type(model).__name__}, whose order of computation is not known: give"
            " an nn.Sequential or an MLP"
        )
    return list(model._modules.items())


def _propagated(
    modules: Iterable[tuple[str, nn.Module]], x: Tensor, radius: float, box: Bounds
) -> Interval:
    """Centers and radii of the intervals behind the last of the modules."""
    check_settings({"radius": radius})
    check_examples(x, box)
    flat = x.flatten(1)
    lower, upper = (flat - radius).clamp(min=box[0]), (flat + radius).clamp(max=box[1])
    center, spread = _middle(lower, upper)
    for i, (name, module) in enumerate(modules):
        kind = parametrize.type_before_parametrizations(module)
        if i == 0 and kind is nn.Flatten:
            continue
        if kind is Standardise:
            center, spread = module(center), spread / module.std
        elif kind is SparseLinear:
            sizes = kernels.Layer(module.support, module.values.abs())
            center, spread = module(center), kernels.chain(spread, [sizes])
        elif kind in LINEAR:
            center, spread = module(center), F.linear(spread, module.weight.abs())
        elif kind is nn.ReLU:
            center, spread = _middle((center - spread).relu(), (center + spread).relu())
        elif (pieces := as_srelu(module, center.shape[1], center)) is not None:
            center, spread = _middle(*srelu_interval(center - spread, center + spread, pieces))
        elif kind not in DROPOUT:
            raise ValueError(
                f"module {name} is a {kind.__name__}, for which there are no bounds: give"
                " Standardise, linear layers, ReLU, leaky ReLU, All-ReLU, SReLU and dropout, after"
                " Flatten or not"
            )
    return center, spread


def _middle(lower: Tensor, upper: Tensor) -> Interval:
    return (lower + upper) / 2, (upper - lower) / 2
