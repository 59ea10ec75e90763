r"""The two networks of the paper, one hidden layer each, and their training.

Inputs are images divided by their own p-norm, p = 3 (:func:`unit_norm`): pixels of CIFAR-10 are
then about .07. A perturbation's radius or norm is in these units wherever the network is attacked
as it is; :func:`on_pixels` puts the division in front, and radii are in pixels again.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib import train
from lib.data import Split
from lib.layers import SparseLinear
from lib.papers.local_learning.krotov_hopfield import overlap_weights
from lib.papers.local_learning.regularizers import Penalty
from lib.settings import History, Settings

PUBLISHED_EPOCHS = 1000
RATES = ((30, 1e-3), (90, 5e-4), (120, 2e-4), (160, 1e-4))  # up to which epoch which rate
LAST_RATE = 1e-5
FEATURE_BATCH = 1000


# -------------------------------------------------------------------------------- the inputs


def unit_norm(x: Tensor, norm_order: float = 3.0) -> Tensor:
    r"""(B, n_in) float, images divided by their own norm, :math:`v / \|v\|_p`.

    Source: [Holzhausen2025], the released code.

    Args:
        x: (B, ...) float, flattened here.
        norm_order: p.
    Raises: ValueError if an image is all zeros.
    """
    x = x.flatten(1)
    length = torch.linalg.vector_norm(x, norm_order, dim=1)
    if (length == 0).any():
        i = int((length == 0).nonzero()[0])
        raise ValueError(f"image {i} has norm 0: it cannot be scaled to 1, leave it out")
    return x / length[:, None]


class UnitNorm(nn.Module):
    """:func:`unit_norm` as the first step of a network, (B, ...) -> (B, n_in)."""

    def __init__(self, norm_order: float = 3.0) -> None:
        super().__init__()
        self.norm_order = norm_order

    def forward(self, x: Tensor) -> Tensor:
        return unit_norm(x, self.norm_order)

    def extra_repr(self) -> str:
        return f"norm_order={self.norm_order:g}"


def unit_norm_split(split: Split, norm_order: float = 3.0) -> Split:
    """The same data with every image flattened and divided by its own norm."""
    parts = {}
    for name in ("x_train", "x_valid", "x_test"):
        x = getattr(split, name)
        if x is not None:
            parts[name] = unit_norm(x, norm_order)
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

    def extra_repr(self) -> str:
        return f"{self.n:g}"


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

    def extra_repr(self) -> str:
        return f"n_in={self.weight.shape[1]}, n_units={self.weight.shape[0]}"


def krotov_hopfield_network(
    weight: Tensor,
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
        weight: (n_units, n_in) float, W as it was learned.
        n_classes: number of logits.
        norm_order: p of the rule.
        power: n.
        generator: of the read-out's start.
    """
    frozen = Frozen(overlap_weights(weight, norm_order))
    network = HiddenLayer(frozen, len(weight), n_classes, power=power, generator=generator)
    return network.to(weight)


def sparse_krotov_hopfield_network(
    layer: SparseLinear,
    n_classes: int,
    *,
    norm_order: float = 3.0,
    power: float = 4.5,
    generator: torch.Generator,
) -> HiddenLayer:
    """The same of a layer that was learned on its links, see
    :mod:`lib.papers.local_learning.sparse_rule`; the links are kept as such.
    """
    frozen = SparseLinear(
        layer.in_features,
        layer.out_features,
        support=layer.support,
        bias=False,
        start=0.0,
        generator=generator,
        dtype=layer.values.dtype,
    )
    frozen.replace_values_(overlap_weights(layer.values.detach(), norm_order))
    frozen.values.requires_grad_(False)
    n_units = layer.out_features
    network = HiddenLayer(frozen, n_units, n_classes, power=power, generator=generator)
    return network.to(layer.values)


def perceptron(
    n_in: int,
    n_units: int,
    n_classes: int,
    *,
    batch_norm: bool = False,
    power: float = 1.0,
    generator: torch.Generator,
) -> HiddenLayer:
    r"""The network that back-propagation trains: xW without bias, ReLU, a read-out.

    Weights start as :math:`N(0, 2 / n_{in})` ([He2015]).

    Source: [Holzhausen2025], the released code, SHLP.

    Args:
        n_in, n_units, n_classes: widths.
        batch_norm: whether the activations are normalised; only with the spectral penalty.
        power: n of the activation.
        generator: of the start.
    """
    linear = nn.Linear(n_in, n_units, bias=False)
    nn.init.normal_(linear.weight, std=math.sqrt(2 / n_in), generator=generator)
    return HiddenLayer(
        linear, n_units, n_classes, power=power, batch_norm=batch_norm, generator=generator
    )


def on_pixels(network: nn.Module, norm_order: float = 3.0) -> nn.Sequential:
    """The network of images as they are, each divided by its norm as the first step."""
    return nn.Sequential(UnitNorm(norm_order), network)


# ------------------------------------------------------------------------------- the training


@dataclass(frozen=True)
class Published(Settings):
    r"""How the read-outs and the perceptrons are trained, by Adam.

    The rate falls in steps after epochs 30, 90, 120 and 160, and stays at 1e-5 for what is left of
    1,000: fewer epochs are the first of these. ``scaled`` puts the steps at the same parts of the
    training instead, :math:`30 T / 1000` and so on, so that most of a short one is at 1e-5 too.

    Source: [Holzhausen2025], the released code.

    Args:
        law: "steps"; "spectral": 1e-3 to epoch 90, then :math:`e^{-(t - 90) / 30}` of it; or
            "constant": 1e-3, of the read-out of a locally learned layer.
        scaled: whether the steps are scaled to the number of epochs.
    Raises: ValueError if the law is unknown, or a value is out of range.
    """

    batch_size: int = 1000
    learning_rate: float = RATES[0][1]
    schedule: str = "constant"
    momentum: float = 0.0
    weight_decay: float = 0.0
    law: str = "steps"
    scaled: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.law not in ("steps", "spectral", "constant"):
            raise ValueError(f"law {self.law!r} is unknown: give 'steps', 'spectral' or 'constant'")

    def learning_rate_at_epoch(self, epoch: int) -> float:
        """Learning rate of epoch ``epoch``, from 1."""
        if self.law == "constant":
            return self.learning_rate
        published = float(epoch)
        if self.scaled:
            published *= PUBLISHED_EPOCHS / self.epochs
        factor = self.learning_rate / RATES[0][1]
        if self.law == "spectral":
            return self.learning_rate * math.exp(-max(0.0, published - 90) / 30)
        for last, rate in RATES:
            if published <= last:
                return factor * rate
        return factor * LAST_RATE


def fit_network(
    network: nn.Module,
    split: Split,
    settings: Published,
    *,
    seed: int,
    penalty: Penalty | None = None,
    evaluate_test: bool = True,
    checkpoint: Path | None = None,
    stop_after: int | None = None,
    on_epoch: Callable[[History], None] | None = None,
    measure: Callable[[nn.Module], dict[str, Any]] | None = None,
) -> History:
    """Train a network by Adam on its cross-entropy, and a penalty if there is one.

    Source: [Holzhausen2025], the released code; the loop is :func:`lib.train.fit`.

    Args:
        network: trained in place.
        split: images divided by their norms, see :func:`unit_norm_split`.
        settings: how to train.
        seed: of the order of the images and of the penalty's projections.
        penalty: see :mod:`lib.papers.local_learning.regularizers`.
        evaluate_test, checkpoint, stop_after, on_epoch, measure: of :func:`lib.train.fit`.
    Returns: the history.
    Raises: as :func:`lib.train.fit`, and ValueError if a batch is too small for the penalty.
    """
    penalty = penalty or Penalty()
    penalty.begin(split.x_train.to(next(network.parameters())))

    def objective(model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        return F.cross_entropy(model(x), y) + penalty(model, x, generator=generator)

    def after_epoch(history: History) -> None:
        penalty.forget()
        if on_epoch is not None:
            on_epoch(history)

    trained = [p for p in network.parameters() if p.requires_grad]
    return train.fit(
        network,
        split,
        settings,
        seed=seed,
        objective=objective,
        optimiser=torch.optim.Adam(trained, lr=settings.learning_rate),
        evaluate_test=evaluate_test,
        checkpoint=checkpoint,
        stop_after=stop_after,
        on_epoch=after_epoch,
        measure=measure,
    )


def fit_readout(
    network: HiddenLayer, split: Split, settings: Published, *, seed: int, **options: Any
) -> History:
    """Train the read-out alone, on the activations of the hidden layer, computed once.

    Args:
        network: its read-out is trained in place.
        split: images divided by their norms.
        settings, seed, options: of :func:`fit_network`.
    Returns: the history.
    """
    return fit_network(
        network.readout, activation_split(network, split), settings, seed=seed, **options
    )


@torch.no_grad()
def activation_split(network: HiddenLayer, split: Split) -> Split:
    """The same data with the activations of the hidden layer, (N, n_units), for images."""
    like = network.readout.weight
    parts = {}
    for name in ("x_train", "x_valid", "x_test"):
        x = getattr(split, name)
        if x is not None:
            batches = x.to(like).split(FEATURE_BATCH)
            parts[name] = torch.cat([network.activations(batch) for batch in batches])
    return replace(split, **parts)
