r"""Penalties that are added to the loss: squared weights, squared Jacobian, distance of the
spectrum from a power law. Each as its source has it, and as the released code of [Holzhausen2025]
has it.

The networks are those of :mod:`papers.local_learning.networks`: ``hidden`` is linear in the
input, so that its Jacobian is the weight matrix whatever the input.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

COVARIANCE_BATCH = 1000
FLATTENED = (1 + 2 / 1000) / 3  # of the squared norm, what the released projections estimate
BATCH_PER_UNIT = 1.5  # examples that a spectrum needs for each unit
RELEASED_SHIFT = 0.02  # subtracted from hidden values before their products are summed


class Penalty:
    """A term added to the loss of a batch; this one is 0."""

    def begin(self, images: Tensor) -> None:
        """Told of the training images, (N, n_in), before the first epoch."""

    def forget(self) -> None:
        """Told that an epoch has ended."""

    def __call__(self, model: nn.Module, x: Tensor) -> Tensor:
        """Scalar, of a batch (B, n_in)."""
        return x.new_zeros(())


# ------------------------------------------------------------------------------------ weights


@dataclass
class SquaredWeights(Penalty):
    r"""Sum of all squared parameters, biases and read-out too: :math:`\beta \sum_P \|P\|_2^2`.

    Source: [Holzhausen2025], the released code.

    Args:
        coupling: :math:`\beta`.
    """

    coupling: float = 5e-4

    def __call__(self, model: nn.Module, x: Tensor) -> Tensor:
        total = x.new_zeros(())
        for parameter in model.parameters():
            total = total + parameter.square().sum()
        return self.coupling * total


# ----------------------------------------------------------------------------------- Jacobian


def _slopes(weight: Tensor, activation: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    r"""(B, n_units) float, :math:`f'(h)`, of which a gradient can be taken."""
    hidden = x @ weight.t()
    if not hidden.requires_grad:
        hidden.requires_grad_()
    (slope,) = torch.autograd.grad(activation(hidden).sum(), hidden, create_graph=True)
    return slope


def activation_jacobian(
    weight: Tensor, activation: Callable[[Tensor], Tensor], x: Tensor
) -> Tensor:
    r"""(B,) float, :math:`\|J_b\|_F^2 = \sum_\mu f'(h_{b\mu})^2 \|W_\mu\|^2` of activated units.

    Args:
        weight: (n_units, n_in) float.
        activation: f, element by element.
        x: (B, n_in) float.
    """
    return _slopes(weight, activation, x).square() @ weight.square().sum(1)


def logits_jacobian(
    weight: Tensor, readout: Tensor, activation: Callable[[Tensor], Tensor], x: Tensor
) -> Tensor:
    r"""(B,) float, :math:`\|J_b\|_F^2` of the logits of one hidden layer, without a backward pass
    for each of them.

    .. math:: J_b = A \, diag(s_b) \, W, \qquad
        \|J_b\|_F^2 = s_b^T \big[(A^T A) \circ (W W^T)\big] s_b, \qquad s_b = f'(h_b)

    Args:
        weight: (n_units, n_in) float, W.
        readout: (C, n_units) float, A.
        activation: f, element by element.
        x: (B, n_in) float.
    """
    slope = _slopes(weight, activation, x)
    products = (readout.t() @ readout) * (weight @ weight.t())  # (n_units, n_units)
    return ((slope @ products) * slope).sum(1)


@dataclass
class Jacobian(Penalty):
    r"""Mean squared Frobenius norm of the Jacobian, :math:`\beta \frac{1}{B} \sum_b \|J_b\|_F^2`.

    Source: [Hoffman2019], for the logits, without its factor of one half.

    Args:
        coupling: :math:`\beta`.
        part: what is differentiated: "hidden" (before the activation), "activations" or "logits".
    Raises: ValueError at the first batch for the logits of a network that normalises its
        activations.
    """

    coupling: float = 1e-3
    part: str = "logits"

    @classmethod
    def released(cls, coupling: float = 1e-3) -> "Jacobian":
        """The penalty of the released code of [Holzhausen2025].

        It estimates the squared norm by three random projections, of which two have unit length
        over the whole batch of 1,000 instead of for each example: on average :data:`FLATTENED` of
        it. As the hidden layer is linear, this is a third of its squared weights; here that mean is
        taken, without projections.
        """
        return cls(coupling * FLATTENED, part="hidden")

    def __call__(self, model: nn.Module, x: Tensor) -> Tensor:
        weight = model.linear.weight
        if self.part == "hidden":
            return self.coupling * weight.square().sum()  # linear in x: J = W
        if self.part == "activations":
            return self.coupling * activation_jacobian(weight, model.activation, x).mean()
        if not isinstance(model.norm, nn.Identity):
            raise ValueError("the logits depend on the whole batch: give a network without norm")
        squared = logits_jacobian(weight, model.readout.weight, model.activation, x)
        return self.coupling * squared.mean()


# ----------------------------------------------------------------------------------- spectrum


def accumulated_covariance(batches: Iterable[Tensor]) -> Tensor:
    r"""(h, h) float64, centred covariance :math:`\frac{1}{N - 1} \sum_b (h_b - \bar h)(\cdot)^T`.

    Values are shifted by the mean of the first batch before their products are summed, in float64.

    Args:
        batches: (B, h) float each, two examples or more in all.
    """
    shift = None
    n = 0
    for batch in batches:
        values = batch.detach().double()
        if shift is None:
            shift = values.mean(0)
            total = torch.zeros_like(shift)
            products = values.new_zeros(len(shift), len(shift))
        values = values - shift
        total += values.sum(0)
        products.addmm_(values.t(), values)
        n += len(values)
    products.addr_(total, total, alpha=-1 / n)
    return products.div_(n - 1)


def last_batch_covariance(batches: Iterable[Tensor], shift: float | Tensor) -> Tensor:
    r"""(h, h) float64, what the released code takes for the covariance: the last batch over N.

    .. math:: \frac{1}{N - 1} \left(S^T S - \bar s \bar s^T / N \right)

    of the shifted values S of the *last* batch, as each batch overwrites the one before; and as the
    mean stands where the sum should, they are nearly uncentred.

    Source: [Holzhausen2025], the released code.

    Args:
        batches: (B, h) float each.
        shift: what is subtracted; there, the mean of the first batch of *inputs*.
    """
    n = 0
    for batch in batches:
        values = batch.detach().double() - shift
        n += len(values)
    mean = values.mean(0)
    products = values.t() @ values
    products.addr_(mean, mean, alpha=-1 / n)
    return products / (n - 1)


def principal_directions(covariance: Tensor) -> Tensor:
    """(h, h) float, eigenvectors as columns, that of the largest eigenvalue first."""
    return torch.linalg.eigh(covariance).eigenvectors.flip(1)


def variances_along(hidden: Tensor, directions: Tensor, *, covariance: str = "centred") -> Tensor:
    r"""(h,) float, :math:`\lambda_n = (V^T C V)_{nn}` of a batch.

    Source: [Nassar2020].
    Departs: ``"last_batch"`` has the covariance of the released code of [Holzhausen2025], nearly
    uncentred, see :func:`last_batch_covariance`.

    Args:
        hidden: (B, h) float.
        directions: (h, h) float, V.
        covariance: "centred" or "last_batch".
    """
    n = len(hidden)
    if covariance == "centred":
        centred = hidden - hidden.mean(0)
        return (centred @ directions).square().sum(0) / (n - 1)
    shifted = (hidden - RELEASED_SHIFT) @ directions
    return (shifted.square().sum(0) - shifted.mean(0).square() / n) / (n - 1)


def spectral_distance(
    eigenvalues: Tensor,
    *,
    first: int = 10,
    scale: float | None = None,
    positive_only: bool = True,
) -> Tensor:
    r"""Scalar, how far a spectrum is from a power law beyond a rank; above the law costs more.

    .. math:: \frac{1}{h} \sum_{n > \tau, \lambda_n > 0}
        \left(\frac{\lambda_n}{\gamma_n} - 1\right)^2 +
        \max\left(0, \frac{\lambda_n}{\gamma_n} - 1\right),
        \qquad \gamma_n = \kappa / n

    Source: [Nassar2020].

    Args:
        eigenvalues: (h,) float, largest first.
        first: :math:`\tau`, the rank, from 1, whose eigenvalue the law goes through; 0 only with a
            scale.
        scale: :math:`\kappa`; None: :math:`\lambda_\tau \tau`, without gradient.
        positive_only: whether eigenvalues that are not above 0 are left out.
    Raises: ValueError if ``first`` is out of range.
    """
    n_units = len(eigenvalues)
    lowest = 1 if scale is None else 0
    if not lowest <= first < n_units:
        raise ValueError(
            f"first = {first} is out of range: give a rank from {lowest} to {n_units - 1}"
        )
    if scale is None:
        scale = eigenvalues[first - 1].detach() * first
    n = torch.arange(1, n_units + 1, device=eigenvalues.device, dtype=eigenvalues.dtype)
    excess = eigenvalues / (scale * n**-1.0) - 1
    terms = excess.square() + excess.relu()
    counted = n > first
    if positive_only:
        counted = counted & (eigenvalues > 0)
    return torch.where(counted, terms, 0).sum() / n_units


@dataclass
class Spectral(Penalty):
    r"""Distance of the spectrum of the units from a power law, see :func:`spectral_distance`.

    The directions are those of the covariance of all training images, found anew in each epoch; the
    variances along them are of the batch.

    Source: [Nassar2020].

    The released code of [Holzhausen2025] is :meth:`released`: a fixed scale, every rank, and a
    covariance of the last batch, nearly uncentred.

    Args:
        coupling: :math:`\beta`.
        first, scale: of :func:`spectral_distance`.
        covariance: "centred" or "last_batch".
        batch_per_unit: fewest examples of a batch for each unit.
    """

    coupling: float = 1.0
    first: int = 10
    scale: float | None = None
    covariance: str = "centred"
    batch_per_unit: float = BATCH_PER_UNIT
    _images: Tensor | None = field(default=None, repr=False)
    _directions: Tensor | None = field(default=None, repr=False)

    @classmethod
    def released(cls, coupling: float = 1.0) -> "Spectral":
        """The penalty of the released code."""
        return cls(
            coupling=coupling,
            first=0,
            scale=1.0,
            covariance="last_batch",
            batch_per_unit=0.0,
        )

    def begin(self, images: Tensor) -> None:
        self._images = images
        self._directions = None

    def forget(self) -> None:
        self._directions = None

    def __call__(self, model: nn.Module, x: Tensor) -> Tensor:
        values = model.hidden(x)
        n_examples, n_units = values.shape
        needed = max(2, math.ceil(self.batch_per_unit * n_units))
        if n_examples < needed:
            raise ValueError(
                f"a batch of {n_examples} is too small for the spectrum of {n_units} units: give"
                f" at least {needed}, and a batch size that divides the number of images"
            )
        if self._directions is None:
            self._directions = self.directions(model).to(values)
        eigenvalues = variances_along(values, self._directions, covariance=self.covariance)
        distance = spectral_distance(
            eigenvalues,
            first=self.first,
            scale=self.scale,
            positive_only=self.covariance == "centred",
        )
        return self.coupling * distance

    @torch.no_grad()
    def directions(self, model: nn.Module) -> Tensor:
        """(h, h) float64, the directions of the hidden units over the images of :meth:`begin`."""
        batches = self._images.split(COVARIANCE_BATCH)
        values = map(model.hidden, batches)
        if self.covariance == "centred":
            covariance = accumulated_covariance(values)
        else:
            covariance = last_batch_covariance(values, batches[0].mean())
        return principal_directions(covariance)
