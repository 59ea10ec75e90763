"""The run that trains a network of linear layers, sparse or dense."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lib import activations, data, models, train
from lib._boundary import check_known, check_number, check_whole
from lib.evolution import Evolution
from lib.runs.environment import dense_device
from lib.runs.experiment import Workspace
from papers.shared import trained
from papers.shared.inheritance import INHERITED, inherit_
from papers.shared.own_rules import OwnRule
from papers.shared.training import Training


@dataclass(frozen=True)
class SparseTraining(Training):
    """Training of one network of linear layers, as literals; :class:`Training` has what all have.

    Args:
        hidden: widths of the hidden layers; input and output follow from the data.
        density, er_epsilon: links of every hidden layer; neither: dense.
        activation, dropout, draw, start, sparse_output, published_srelu: see
            :func:`lib.models.mlp`.
        optimiser: "sgd", or "nesterov".
        epochs, batch_size, learning_rate, schedule, momentum, weight_decay, augmentation,
            averaging: see :class:`lib.train.Settings`.
        drop: None for a static support, else, as grow, drop_fraction, decay, new_std,
            regrow_dropped, reset_state, last_epoch, gradient_batches, density_schedule,
            final_share, schedule_end, redistribution: see :class:`lib.evolution.Evolution`. A
            function of your own is held as an :class:`papers.shared.own_rules.OwnRule`, so that the
            record's name covers its source.
        per_pixel: standardise every pixel by itself (the authors' code), not all by one mean and
            std.
        inherits: what it takes of its parent, see :func:`papers.shared.inheritance.inherit_`:
            "support", "degrees" or "largest".
    Raises: ValueError if a field is of another type or contradicts another.
    """

    UNSHARED: ClassVar[tuple[str, ...]] = (*Training.UNSHARED, "inherits")

    hidden: tuple[int, ...] = (1000, 1000, 1000)
    density: float | None = None
    er_epsilon: float | None = None
    activation: str = "srelu"
    dropout: float = 0.3
    draw: str = "exact"
    start: str | float = "he"
    sparse_output: bool = False
    published_srelu: bool = False
    optimiser: str = "sgd"
    epochs: int = 150
    batch_size: int = 128
    learning_rate: float = 0.1
    schedule: str = "cosine"
    momentum: float = 0.9
    weight_decay: float = 2e-4
    drop: str | None = None
    grow: str = "random"
    drop_fraction: float = 0.3
    decay: str = "constant"
    new_std: float = 0.0
    regrow_dropped: bool = True
    reset_state: bool = False
    last_epoch: str = "remove"
    gradient_batches: int = 8
    per_pixel: bool = False
    inherits: str | None = None
    augmentation: float = 0.0
    averaging: float = 0.0
    density_schedule: str = "constant"
    final_share: float = 1.0
    schedule_end: float = 0.75
    redistribution: str | None = None

    def __post_init__(self) -> None:
        for name in ("drop", "grow"):
            rule = getattr(self, name)
            if callable(rule) and not isinstance(rule, OwnRule):
                object.__setattr__(self, name, OwnRule.of(rule))
        super().__post_init__()
        if self.density is not None and self.er_epsilon is not None:
            raise ValueError(
                f"density = {self.density} and er_epsilon = {self.er_epsilon}: give one of them,"
                " and None for the other, as er_epsilon=None"
            )
        sparse = self.density or self.er_epsilon
        if sparse and self.method in ("dense", "dense_small"):
            raise ValueError(f"method {self.method!r} has all links: give no density or er_epsilon")

    def check(self) -> None:
        """Refuse what is out of range, or would change nothing. Raises ValueError."""
        super().check()
        for i, width in enumerate(self.hidden):
            check_whole(f"hidden[{i}]", width, least=1)
        if self.density is not None:
            check_number("density", self.density, "(0, 1]")
        if self.er_epsilon is not None:
            check_number("er_epsilon", self.er_epsilon, "(0, inf)")
        is_sparse = self.density is not None or self.er_epsilon is not None
        if is_sparse and not self.hidden and not self.sparse_output:
            raise ValueError(
                f"hidden = () leaves no sparse layer to method {self.method!r}: give widths, as"
                " (1000, 1000)"
            )
        if not is_sparse:
            self.check_unused(["draw", "sparse_output"], "a dense network")
        check_known("activation", self.activation, activations.UNITS)
        if self.activation != "srelu":
            self.check_unused(["published_srelu"], f"activation {self.activation!r}")
        check_number("dropout", self.dropout, "[0, 1)")
        if self.parent is not None:
            check_known("inherits", self.inherits, INHERITED)
        elif self.inherits is not None:
            raise ValueError(
                f"inherits = {self.inherits!r} without a parent: choose a method that has one, or"
                " leave it out"
            )
        elif self.drop is None:
            self.check_unused(self.fields_of(Evolution), "links that stay (drop = None)")

    def settings(self) -> train.Settings:
        """How to train; raises ValueError if a value is out of range."""
        check_known("optimiser", self.optimiser, ("sgd", "nesterov"))
        evolution = None
        if self.drop is not None:
            evolution = Evolution(**self.fields_of(Evolution))
        fields = self.fields_of(train.Settings)
        nesterov = self.optimiser == "nesterov"
        return train.Settings(**fields, evolution=evolution, nesterov=nesterov)

    def device(self) -> torch.device:
        """Where it is trained: a dense network on that of :func:`dense_device`."""
        is_dense = self.density is None and self.er_epsilon is None
        return dense_device() if is_dense else super().device()

    def widths(self, split: data.Split) -> tuple[int, ...]:
        """Input, hidden and output widths of the network for the data."""
        return (split.n_features, *self.hidden, split.n_classes)

    def model(
        self, widths: Sequence[int], standardisation: tuple[Tensor, Tensor] | None = None
    ) -> nn.Sequential:
        """The untrained network, float32; its links do not depend on the standardisation."""
        fields = self.fields_of(models.mlp)
        return models.mlp(widths, **fields, standardisation=standardisation).float()

    def standardisation(self, split: data.Split) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation that the network takes its input by."""
        if not self.per_pixel:
            return super().standardisation(split)
        x = split.x_train.flatten(1)
        std = x.std(0)
        return x.mean(0), std.where(std > 0, 1.0)

    def prepare_(self, model: nn.Sequential, split: data.Split, workspace: Workspace) -> None:
        """Give the network what it inherits from its parent."""
        if self.parent is not None:
            parent = workspace.record_of(self.parent, trained.holds_network)
            inherit_(model, parent, self.inherits, start=self.start, seed=self.seed)
