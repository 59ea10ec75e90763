r"""Objectives of robust training, for :func:`lib.train.fit`.

Each takes (model, inputs, classes, generator) and returns a scalar. They act on any network, sparse
or dense.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from .. import kernels
from .._boundary import check_number, check_whole
from ..models import evaluating
from ..train import Gradient
from .attacks.iterates import Ball
from .attacks.setting import UNIT, Bounds, check_examples, check_settings
from .certified import margins
from .perturb import check_own_weights, linear_layers, name_of_weights

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class DropConnect:
    r"""Cross-entropy of the network without a random part of its links, another at every step.

    .. math:: L(x, y; \, m \odot w), \qquad m_k \sim Bernoulli(1 - f), \qquad f \sim U(0, f_{max})

    Weights that are left are not scaled up: the network learns to work with fewer links as it is.
    The output layer keeps its links.

    Source: [Wan2013], Section 3, the training.
    Departs: the fraction is drawn at each step; one mask serves the whole batch; no sampling when
    the network is used.

    Args:
        largest: :math:`f_{max}`, in [0, 1].
        attacked: how the inputs are changed first, if at all.
    Raises: ValueError if the fraction is out of range, or inputs are changed by :class:`Trades`;
        when called, if the weights of a layer are computed from others or two layers share them.
    """

    largest: float
    attacked: "Adversarial | None" = None

    def __post_init__(self) -> None:
        check_number("largest", self.largest, "[0, 1]")
        if isinstance(self.attacked, Trades):
            raise ValueError("attacked is Trades, which has a loss of its own: give Adversarial")

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: Generator) -> Tensor:
        fraction = self.largest * float(torch.rand((), generator=generator))
        weights = {}
        for name, weight in weights_of_links(model).items():
            weights[name] = masked(weight, fraction, generator=generator)
        if self.attacked is not None:
            x = self.attacked.ascend(model, x, y, generator, weights)
        return F.cross_entropy(functional_call(model, weights, (x,)), y)

    def at_epoch(self, epoch: int) -> "DropConnect":
        """The objective of an epoch, from 1."""
        if self.attacked is None:
            return self
        return replace(self, attacked=self.attacked.at_epoch(epoch))


@dataclass(frozen=True)
class Adversarial:
    r"""Cross-entropy at points that raise it, found by projected gradient ascent at every step.

    .. math:: \max_{\|x' - x\| \le r} L(x', y)

    Source: [Madry2018], Section 2; with one step of 1.25 r, [Wong2020], Algorithm 3.
    Departs: the ascent takes the network without dropout.

    Args:
        radius: r, in the unit of the inputs.
        norm: "linf" or "l2".
        steps: of the ascent, from a random start in the ball.
        step_size: relative to the radius; None: 1.25 for one step, else 2.5 / steps.
        bounds: lowest and highest value of a pixel.
        growing_epochs: over which the radius grows linearly to its full size; 0: it is full from
            the first epoch.
    Raises: ValueError if a value is out of range.
    """

    radius: float
    norm: str = "linf"
    steps: int = 1
    step_size: float | None = None
    bounds: Bounds = UNIT
    growing_epochs: int = 0

    def __post_init__(self) -> None:
        settings = {name: getattr(self, name) for name in ("radius", "norm", "steps", "step_size")}
        check_settings(settings)
        check_whole("growing_epochs", self.growing_epochs, least=0)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: Generator) -> Tensor:
        return F.cross_entropy(model(self.ascend(model, x, y, generator)), y)

    def at_epoch(self, epoch: int) -> "Adversarial":
        """The objective of an epoch, from 1."""
        share = min(epoch / self.growing_epochs, 1) if self.growing_epochs else 1
        return replace(self, radius=share * self.radius)

    def ascend(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        generator: Generator,
        weights: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Like x: points within the radius, for the model with these weights instead of its own."""
        parameters = {name: p.detach() for name, p in model.named_parameters()}
        for name, values in (weights or {}).items():
            parameters[name] = values.detach()

        def logits_at(x: Tensor) -> Tensor:
            return functional_call(model, parameters, (x,))

        with evaluating(model):
            raised = self._raised(logits_at, x, y)

            def gradient_at(x: Tensor, y: Tensor) -> Tensor:
                x = x.requires_grad_()
                return torch.autograd.grad(raised(logits_at(x)), x)[0]

            return self.perturbed(x, y, generator, gradient_at)

    def _raised(self, logits_at: Map, x: Tensor, y: Tensor) -> Map:
        """Scalar that the ascent raises, as a function of the logits (B, n_classes) at changed
        examples; ``logits_at`` gives those at any.
        """
        return lambda logits: F.cross_entropy(logits, y)

    def perturbed(
        self, x: Tensor, y: Tensor, generator: Generator, gradient_at: Gradient
    ) -> Tensor:
        """Like x: points within the radius; ``gradient_at`` gives the gradient of the loss.

        Raises: ValueError if x is beyond the bounds by more than rounding, as of augmentation.
        """
        low, high = self.bounds
        slack = 1e-5 * (high - low)
        if x.min() < low - slack or x.max() > high + slack:
            check_examples(x, self.bounds)
        ball = Ball(self.radius, self.norm, self.bounds)
        relative = self.step_size
        if relative is None:
            relative = 1.25 if self.steps == 1 else 2.5 / self.steps
        flat = x.flatten(1)
        x_t = ball.draw(flat, generator)
        for _ in range(self.steps):
            grad_x = gradient_at(x_t.view_as(x), y).view_as(x_t)
            stepped = ball.ascend(x_t, self.radius * relative, grad_x)
            x_t = ball.project(stepped, flat)
        return x_t.view_as(x)


@dataclass(frozen=True)
class Trades(Adversarial):
    r"""Cross-entropy at the examples, and how much the answers differ at points where they differ
    most.

    .. math:: L(x, y) + \beta \max_{\|x' - x\| \le r} KL(p(x) \, \| \, p(x'))

    with the probabilities p of the classes.

    Source: [Zhang2019], Algorithm 1, with the divergence that the authors' code has as loss.
    Departs: the ascent starts anywhere in the ball, not next to the example.

    Args:
        beta: :math:`\beta`, from 0 on.
        radius, norm, steps, step_size, bounds, growing_epochs: as of :class:`Adversarial`.
    Raises: ValueError if a value is out of range.
    """

    beta: float = 6.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("beta", self.beta, "[0, inf)")

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: Generator) -> Tensor:
        points = self.ascend(model, x, y, generator)
        logits = model(x)
        return F.cross_entropy(logits, y) + self.beta * divergence(logits, model(points))

    def _raised(self, logits_at: Map, x: Tensor, y: Tensor) -> Map:
        """The divergence from the answers at the examples."""
        with torch.no_grad():
            at_examples = logits_at(x)
        return partial(divergence, at_examples)


def divergence(logits: Tensor, others: Tensor) -> Tensor:
    r"""Kullback-Leibler divergence of the probabilities of classes, the mean over examples.

    .. math:: KL(p \, \| \, q) = \sum_k p_k \, (\log p_k - \log q_k)

    Args:
        logits, others: (B, n_classes) float, of p and of q.
    """
    log_p, log_q = F.log_softmax(logits, 1), F.log_softmax(others, 1)
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


@dataclass(frozen=True)
class Certified:
    r"""Cross-entropy, in part of the logits and in part of the worst ones that cannot be ruled out
    within a radius.

    .. math:: \kappa \, L(z, y) + (1 - \kappa) \, L(-m, y)

    with the logits z and the lower bounds m of :func:`lib.robustness.certified.margins`. The radius
    grows from 0, and :math:`\kappa` falls from 1, linearly by epochs.

    Source: [Gowal2018], Section 3, the loss and its schedules.
    Departs: schedules go by epochs, not by steps.

    Args:
        radius: in L-infinity, in the unit of the inputs, at the end of the growth.
        kappa: :math:`\kappa` then, in [0, 1].
        plain_epochs: epochs at the radius 0 before it grows.
        growing_epochs: epochs over which it grows.
        bounds: lowest and highest value of a pixel.
    Raises: ValueError if a value is out of range.
    """

    radius: float
    kappa: float = 0.5
    plain_epochs: int = 0
    growing_epochs: int = 1
    bounds: Bounds = UNIT

    def __post_init__(self) -> None:
        check_settings({"radius": self.radius})
        check_number("kappa", self.kappa, "[0, 1]")
        check_whole("plain_epochs", self.plain_epochs, least=0)
        check_whole("growing_epochs", self.growing_epochs, least=1)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, generator: Generator) -> Tensor:
        loss = F.cross_entropy(model(x), y)
        if self.kappa == 1:
            return loss
        worst = F.cross_entropy(-margins(model, x, y, self.radius, box=self.bounds), y)
        return self.kappa * loss + (1 - self.kappa) * worst

    def at_epoch(self, epoch: int) -> "Certified":
        """The objective of an epoch, from 1."""
        share = min(max(epoch - self.plain_epochs, 0) / self.growing_epochs, 1)
        return replace(self, radius=share * self.radius, kappa=1 - share * (1 - self.kappa))


def weights_of_links(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that hold the weights of links, by name, but for those of the output layer.

    Raises ValueError if the weights of a layer are computed from others or two share them.
    """
    layers = linear_layers(model)
    check_own_weights(layers)
    weights = {}
    for name, layer in layers.items():
        parameter = name_of_weights(layer)
        weights[f"{name}.{parameter}"] = getattr(layer, parameter)
    return weights


def masked(weight: Tensor, fraction: float, *, generator: Generator) -> Tensor:
    """``weight`` with each value zero with probability ``fraction``, the others as they are."""
    seed = int(torch.randint(2**62, (), generator=generator))
    law = kernels.dropout_law(fraction, seed, 0)._replace(scale=1.0)
    return kernels.dropout(weight.reshape(-1, 1), law).view_as(weight)
