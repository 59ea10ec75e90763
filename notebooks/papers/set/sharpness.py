"""Sharpness-aware minimisation: an objective for :func:`lib.train.fit`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from lib import kernels
from lib._boundary import check_number
from lib.growth import unseen

SMALLEST_NORM = 1e-12  # far below it squares are 0 in float32


@dataclass(frozen=True)
class SharpnessAware:
    r"""Cross-entropy where it is highest nearby, to first order: at weights moved up the gradient.

    .. math:: L\left(w + \rho \frac{\nabla L(w)}{\|\nabla L(w)\|}\right)

    The gradient of a step is the one at the moved weights; that of the move itself is left out.
    A step costs two. Frozen weights stay where they are. Where the norm of the gradient is below
    1e-12, the move is shorter than :math:`\rho`.

    Source: [Foret2021], Equations 2 and 3.
    Departs: with dropout the two passes draw their own masks.

    Args:
        radius: :math:`\rho`, positive.
        label_smoothing: of the cross-entropy, in [0, 1].
    Raises: ValueError if a value is out of range.
    """

    radius: float
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_number("radius", self.radius, "(0, inf)")
        check_number("label_smoothing", self.label_smoothing, "[0, 1]")

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Tensor:
        """x (B, features...), y (B,) classes: a scalar."""
        weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
        with unseen():  # growth follows the gradient of the step, not that of the move
            loss = F.cross_entropy(model(x), y, label_smoothing=self.label_smoothing)
        gradients = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
        with kernels.on_threads(1):  # a long sum depends on their number
            norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
        step = self.radius / norm.clamp(min=max(SMALLEST_NORM, torch.finfo(norm.dtype).tiny))
        moved = {}
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
            moved[name] = weight + step * gradient
        logits = functional_call(model, moved, (x,))
        return F.cross_entropy(logits, y, label_smoothing=self.label_smoothing)
