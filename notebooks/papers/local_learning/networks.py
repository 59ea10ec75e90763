"""Networks with one hidden layer, learned locally or by backpropagation, and what they see.

Every image is divided by its own p-norm first, p = 3 (:func:`unit_norm`): pixels of CIFAR-10 are
then about .07. A perturbation's radius or norm is in this unit wherever a network is attacked as it
is; :func:`on_pixels` puts the division in front, and radii are in pixels again.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.data import Split
from lib.layers import SparseLinear
from lib.support import Support
from papers.local_learning import krotov_hopfield as kh

# -------------------------------------------------------------------------------- the inputs


def unit_norm(x: Tensor) -> Tensor:
    r"""(B, n_in) float, images divided by their own 3-norm, :math:`v / \|v\|_3`.

    Source: [Holzhausen2025], the released code.

    Args:
        x: (B, ...) float, flattened here.
    Raises: ValueError if an image is all zeros.
    """
    x = x.flatten(1)
    length = torch.linalg.vector_norm(x, 3.0, dim=1)
    if (length == 0).any():
        i = int((length == 0).nonzero()[0])
        raise ValueError(f"image {i} has norm 0: it cannot be scaled to 1, leave it out")
    return x / length[:, None]


class UnitNorm(nn.Module):
    """:func:`unit_norm` as the first step of a network, (B, ...) -> (B, n_in)."""

    def forward(self, x: Tensor) -> Tensor:
        return unit_norm(x)


def mapped(split: Split, function: Callable[[Tensor], Tensor]) -> Split:
    """The data with this function of the images of each part, as :func:`unit_norm`."""
    parts = {}
    for name in ("x_train", "x_valid", "x_test"):
        x = getattr(split, name)
        if x is not None:
            parts[name] = function(x)
    return replace(split, **parts)


# ------------------------------------------------------------------------------- the networks


class Power(nn.Module):
    r"""The activation :math:`max(0, x)^n`.

    Source: [Krotov2019].

    Args:
        n: the power, at least 1.
    Raises: ValueError if the power is below 1.
    """

    def __init__(self, n: float) -> None:
        super().__init__()
        if not 1 <= n < math.inf:
            raise ValueError(f"n = {n} is out of range: give a power of at least 1")
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        """Float of any shape -> the same."""
        positive = x.relu()
        return positive if self.n == 1 else positive.pow(self.n)


class HiddenLayer(nn.Module):
    r"""One hidden layer and a linear read-out.

    .. math:: z = f(h) A^T + b, \qquad h = x W^T

    Source: [Holzhausen2025], both models of the released code.

    Args:
        linear: of the hidden layer, (B, n_in) -> (B, n_units), without bias.
        n_units, n_classes: widths.
        power: n of the activation, see :class:`Power`.
        batch_norm: whether the activations are normalised over the batch before the read-out.
        generator: of the read-out's start, uniform in :math:`\pm 1 / \sqrt{n_{units}}`.
    """

    def __init__(
        self,
        linear: nn.Module,
        n_units: int,
        n_classes: int,
        *,
        power: float = 1.0,
        batch_norm: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.linear = linear
        self.activation = Power(power)
        self.norm = nn.BatchNorm1d(n_units) if batch_norm else nn.Identity()
        self.readout = nn.Linear(n_units, n_classes)
        limit = 1 / math.sqrt(n_units)
        for parameter in self.readout.parameters():
            nn.init.uniform_(parameter, -limit, limit, generator=generator)

    def hidden(self, x: Tensor) -> Tensor:
        """(B, ...) float -> (B, n_units) float, h, before the activation."""
        return self.linear(x.flatten(1))

    def activations(self, x: Tensor) -> Tensor:
        """(B, ...) float -> (B, n_units) float, f(h), before any normalisation."""
        return self.activation(self.hidden(x))

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) float -> (B, n_classes) logits."""
        return self.readout(self.norm(self.activations(x)))


class Frozen(nn.Module):
    """A linear layer that does not learn: its weights are a buffer.

    Args:
        weight: (n_units, n_in) float.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in) float -> (B, n_units) float."""
        return F.linear(x, self.weight)


def krotov_hopfield_network(
    layer: Tensor | SparseLinear,
    n_classes: int,
    *,
    norm_order: float = 3.0,
    power: float = 4.5,
    generator: torch.Generator,
) -> HiddenLayer:
    r"""The network of a locally learned layer: frozen overlaps, :math:`max(0, I)^n`, a read-out.

    The hidden layer computes the overlaps of the rule, :math:`x (sign(W) |W|^{p-1})^T`, and not
    :math:`x W^T`: so does the released code.

    Source: [Holzhausen2025], the released code; [Krotov2019].

    Args:
        layer: (n_units, n_in) float, W as it was learned; or a layer learned on its links, which
            are kept as such.
        n_classes: number of logits.
        norm_order: p of the rule.
        power: n.
        generator: of the read-out's start.
    """
    if isinstance(layer, SparseLinear):
        values = layer.values.detach()
        frozen = on_support(layer.support, kh.overlap_weights(values, norm_order), generator)
        frozen.values.requires_grad_(False)
        n_units = layer.out_features
    else:
        values, n_units = layer, len(layer)
        frozen = Frozen(kh.overlap_weights(layer, norm_order))
    network = HiddenLayer(frozen, n_units, n_classes, power=power, generator=generator)
    return network.to(values)


def on_support(support: Support, values: Tensor, generator: torch.Generator) -> SparseLinear:
    """A sparse layer without bias of these links and values; what the generator draws for its start
    is overwritten.
    """
    layer = SparseLinear(
        support.n_in,
        support.n_out,
        support=support,
        bias=False,
        start=0.0,
        generator=generator,
        dtype=values.dtype,
    )
    layer.replace_values_(values)
    return layer


def perceptron(
    n_in: int, n_units: int, n_classes: int, *, batch_norm: bool = False, generator: torch.Generator
) -> HiddenLayer:
    r"""The network that back-propagation trains: xW without bias, ReLU, a read-out.

    Weights start as :math:`N(0, 2 / n_{in})` ([He2015]).

    Source: [Holzhausen2025], the released code, SHLP.

    Args:
        n_in, n_units, n_classes: widths.
        batch_norm: whether the activations are normalised; only with the spectral penalty.
        generator: of the start.
    """
    linear = nn.Linear(n_in, n_units, bias=False)
    nn.init.normal_(linear.weight, std=math.sqrt(2 / n_in), generator=generator)
    return HiddenLayer(linear, n_units, n_classes, batch_norm=batch_norm, generator=generator)


def on_pixels(network: nn.Module) -> nn.Sequential:
    """The network of images as they are, each divided by its norm as the first step."""
    return nn.Sequential(UnitNorm(), network)
