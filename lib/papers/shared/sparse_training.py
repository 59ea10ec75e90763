"""The run that trains a network of linear layers, sparse or dense, and what its record holds."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import data, models, train
from lib.evolution import Evolution
from lib.names import check_known
from lib.papers.shared import trained
from lib.papers.shared.inheritance import inherit_
from lib.runs.config import Run
from lib.runs.experiment import Contents, Experiment, Workspace
from lib.runs.record import Record

Kind = TypeVar("Kind", bound="SparseTraining")


@dataclass(frozen=True)
class SparseTraining(Run):
    """Training of one network, as literals; :class:`lib.runs.config.Run` has what all runs have.

    Args:
        hidden: widths of the hidden layers; input and output follow from the data.
        density, er_epsilon: links of every hidden layer; neither: dense.
        activation, dropout, draw, start, sparse_output, published_srelu: see
            :func:`lib.models.mlp`.
        optimiser: "sgd", or "nesterov".
        epochs, batch_size, learning_rate, schedule, momentum, weight_decay, augmentation,
            averaging: see :class:`lib.train.Settings`.
        drop: None for a static support, else, as grow, drop_fraction, decay, new_std,
            regrow_dropped, reset_state, last_epoch, gradient_batches: see
            :class:`lib.evolution.Evolution`.
        validation: validation examples taken out of the training part; 0: all data are trained on.
        evaluate_test: False in tuning, which must not see the test part.
        limit: training examples used; None for all.
        per_pixel: standardise every pixel by itself (the authors' code), not all by one mean and
            std.
        inherits: what it takes of its parent, see :func:`lib.papers.shared.inheritance.inherit_`:
            "support", "degrees" or "largest".
    Raises: ValueError if a field is of another type or contradicts another.
    """

    UNSHARED: ClassVar[tuple[str, ...]] = (*Run.UNSHARED, "inherits")
    DIGITS: ClassVar[str] = "%.7g"  # those of float32

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
    validation: int = 0
    evaluate_test: bool = True
    limit: int | None = None
    per_pixel: bool = False
    inherits: str | None = None
    augmentation: float = 0.0
    averaging: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.density is not None and self.er_epsilon is not None:
            raise ValueError(
                f"density = {self.density} and er_epsilon = {self.er_epsilon}: give one of them"
            )
        sparse = self.density or self.er_epsilon
        if sparse and self.method in ("dense", "dense_small"):
            raise ValueError(f"method {self.method!r} has all links: give no density or er_epsilon")

    @property
    def size(self) -> int:
        """Progress is counted in epochs."""
        return self.epochs

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        self.settings()

    def as_kind(self, kind: type[Kind], **changes: Any) -> Kind:
        """The same training as another kind of run, with changes."""
        fields = {name: getattr(self, name) for name in self.field_names()}
        return kind(**{**fields, **changes})

    def settings(self) -> train.Settings:
        """How to train; raises ValueError if a value is out of range."""
        check_known("optimiser", self.optimiser, ("sgd", "nesterov"))
        evolution = None
        if self.drop is not None:
            evolution = Evolution(**self._fields_of(Evolution))
        fields = self._fields_of(train.Settings)
        nesterov = self.optimiser == "nesterov"
        return train.Settings(**fields, evolution=evolution, nesterov=nesterov)

    def objectives(self) -> dict[str, train.Objective]:
        """What :func:`lib.train.fit` is given besides the settings."""
        return {}

    def _fields_of(self, target: type) -> dict[str, Any]:
        names = {field.name for field in dataclasses.fields(target)}
        return {name: value for name, value in vars(self).items() if name in names}

    def widths(self, split: data.Split) -> tuple[int, ...]:
        """Input, hidden and output widths of the network for the data."""
        return (split.n_features, *self.hidden, split.n_classes)

    def model(
        self, widths: Sequence[int], standardisation: tuple[Tensor, Tensor] | None = None
    ) -> nn.Sequential:
        """The untrained network, float32; its links do not depend on the standardisation."""
        network = models.mlp(
            widths,
            density=self.density,
            er_epsilon=self.er_epsilon,
            activation=self.activation,
            dropout=self.dropout,
            draw=self.draw,
            start=self.start,
            sparse_output=self.sparse_output,
            published_srelu=self.published_srelu,
            seed=self.seed,
            standardisation=standardisation,
        )
        return network.float()

    def standardisation(self, split: data.Split) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation that the network takes its input by."""
        if not self.per_pixel:
            return split.standardisation()
        x = split.x_train.flatten(1)
        std = x.std(0)
        return x.mean(0), std.where(std > 0, torch.ones_like(std))

    def check_table(self, metrics: pd.DataFrame) -> None:
        """Refuse a table that lacks epochs. Raises ValueError."""
        if len(metrics) != self.epochs:
            raise ValueError(f"its table holds {len(metrics)} of {self.epochs} epochs")


def make(run: SparseTraining, workspace: Workspace) -> Contents:
    """Train the network of a run, from its checkpoint if there is one."""
    split = _split(run)
    model, history = _trained(run, split, workspace)
    facts = {
        "architecture": "-".join(map(str, run.widths(split))),
        "final": history.final,
        "seconds": round(history.seconds, 1),
        "clock": history.clock,
        "data": {"source": split.source, "sha256": split.sha256},
    }
    arrays = _as_arrays(_recorded(history) | _states(history, model))
    return Contents(pd.DataFrame(history.metrics), arrays, facts)


def replay(run: SparseTraining, workspace: Workspace, epochs: int) -> Contents:
    """Train the network of a run for its first epochs: their rows, degrees and links."""
    _, history = _trained(run, _split(run), workspace, stop_after=epochs)
    return Contents(pd.DataFrame(history.metrics), _as_arrays(_recorded(history)), {})


def _split(run: SparseTraining) -> data.Split:
    return data.load_once(run.dataset, validation=run.validation, limit=run.limit)


def _trained(
    run: SparseTraining, split: data.Split, workspace: Workspace, stop_after: int | None = None
) -> tuple[nn.Sequential, train.History]:
    """The network of a run, trained to the end or for so many epochs, and the history of that."""
    model = run.model(run.widths(split), run.standardisation(split))
    checkpoint = workspace.folder / "checkpoint.pt"
    if run.parent is not None and not checkpoint.exists():
        parent = workspace.record_of(run.parent, trained.holds_network)
        inherit_(model, parent, run.inherits, start=run.start, seed=run.seed)
    history = train.fit(
        model,
        split,
        run.settings(),
        **run.objectives(),
        seed=run.seed,
        evaluate_test=run.evaluate_test,
        checkpoint=checkpoint,
        stop_after=stop_after,
        on_epoch=lambda history: workspace.progress(len(history.metrics)),
    )
    return model, history


# What a record holds of a run, named as :mod:`lib.papers.shared.trained` reads it.


def _recorded(history: train.History) -> dict[str, Tensor]:
    """Degrees and links after the recorded epochs."""
    return trained.named_degrees(history.degrees) | trained.named_links(history.links)


def _states(history: train.History, model: nn.Module) -> dict[str, Tensor]:
    """The network at the end, and at the best validation epoch."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensors[f"state.{name}"] = tensor
    for name, tensor in (history.best_state or {}).items():
        tensors[f"best.{name}"] = tensor
    return tensors


def _as_arrays(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def training(
    name: str,
    configs: Callable[[str], list[SparseTraining]],
    keeps: Callable[[Record, str], bool] = trained.keep_links,
    **relations: tuple[str, ...],
) -> Experiment:
    """The experiment that trains these networks; relations: its parents, and same_runs_as."""
    return Experiment(
        name,
        configs,
        make,
        numbers=trained.numbers,
        keeps=keeps,
        replay=replay,
        **relations,
    )
