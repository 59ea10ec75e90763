"""How the networks of SET are trained where it is not by the plain loss: a penalty on the weights,
softened labels, steps that are aware of sharpness.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib import kernels, train
from lib._boundary import check_number
from lib.robustness.perturb import linear_layers, name_of_weights
from papers.set.sharpness import SharpnessAware
from papers.shared.sparse_training import SparseTraining


@dataclass(frozen=True)
class Lasso:
    r"""The loss with an L1 penalty on the weights of links, an objective of
    :func:`lib.train.fit`.

    .. math:: L(w) + \lambda \sum_k |w_k|

    Source: the L1 regularisation of [Mocanu2018], Fig. 6. Its subgradient at 0 is 0.

    Args:
        coupling: :math:`\lambda`, not negative.
    Raises: ValueError if it is out of range.
    """

    coupling: float

    def __post_init__(self) -> None:
        check_number("l1", self.coupling, "[0, inf)")

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Loss and penalty: a scalar; x (B, features...), y (B,)."""
        with kernels.on_threads(1):  # a long sum depends on their number
            penalty = torch.stack([weights.abs().sum() for weights in link_weights(model)]).sum()
        return F.cross_entropy(model(x), y) + self.coupling * penalty


def link_weights(model: nn.Module) -> list[Tensor]:
    """The weights of all linear layers, sparse and dense."""
    layers = linear_layers(model, output=True).values()
    return [layer.get_parameter(name_of_weights(layer)) for layer in layers]


@dataclass(frozen=True)
class RegularisedTraining(SparseTraining):
    """Training with a penalty, with softened labels, or aware of sharpness.

    Args:
        l1: coupling of :class:`Lasso`; 0: none.
        label_smoothing: the part of every label that is spread over all classes, in [0, 1), as
            [Szegedy2016], Section 7.
        sharpness: radius of :class:`papers.set.sharpness.SharpnessAware`; 0: none. Links grow by
            the gradient of the loss at the weights as they are, its labels softened as in training.
    Raises: ValueError if l1 is given together with another.
    """

    l1: float = 0.0
    label_smoothing: float = 0.0
    sharpness: float = 0.0

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        super().check()
        for name in ("label_smoothing", "sharpness"):
            check_number(name, getattr(self, name), "[0, 1)")
        if self.l1 > 0 and (self.label_smoothing > 0 or self.sharpness > 0):
            raise ValueError(f"l1 = {self.l1} with another objective: give one of them")
        self.objectives()

    def objectives(self) -> dict[str, train.Objective]:
        """Objectives that a step lowers, where they are not the plain loss."""
        penalised = Lasso(self.l1)
        if self.l1 > 0:
            return {"objective": penalised}
        softened = partial(_softened, self.label_smoothing)
        if self.sharpness > 0:
            flat = SharpnessAware(self.sharpness, self.label_smoothing)
            return {"objective": flat, "grow_objective": softened}
        return {"objective": softened} if self.label_smoothing > 0 else {}


def _softened(
    smoothing: float, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
) -> Tensor:
    return F.cross_entropy(model(x), y, label_smoothing=smoothing)
