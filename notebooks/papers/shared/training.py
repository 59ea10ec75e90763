"""Training of one network by :func:`lib.train.fit` as a run: what all kinds of it share.

A kind derives from :class:`Training`, adds the fields that decide its result and makes the model.
Data, settings, checkpoints, what a record holds and how it is trained again stand here alone.
"""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import pandas as pd
from torch import Tensor, nn

from lib import data, train
from lib._boundary import check_whole
from lib.runs.config import Run
from lib.runs.experiment import CLOCK, Contents, Experiment, Workspace
from lib.runs.record import Record
from papers.shared import trained

Kind = TypeVar("Kind", bound="Training")
Watch = Callable[[nn.Module], dict[str, Any]]


@dataclass(frozen=True)
class Training(Run):
    """Training of one network, as literals; :class:`lib.runs.config.Run` has what all runs have.

    A kind must have ``model``, and ``settings`` where fields do not have the names of
    :class:`lib.train.Settings`.

    Args:
        epochs: passes over the training part.
        validation: validation examples taken out of the training part; 0: all data are trained on.
        evaluate_test: False in tuning, which must not see the test part.
        limit, test_images: examples used of the training and of the test part; None for all.
    Raises: ValueError if a field is of another type.
    """

    DIGITS: ClassVar[str] = "%.7g"  # those of float32

    epochs: int = 10
    validation: int = 0
    evaluate_test: bool = True
    limit: int | None = None
    test_images: int | None = None

    @property
    def size(self) -> int:
        """Progress is counted in epochs."""
        return self.epochs

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        self.settings()
        check_whole("validation", self.validation, least=0)
        for name in ("limit", "test_images"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), least=1)

    def check_table(self, metrics: pd.DataFrame) -> None:
        """Refuse a table that lacks epochs. Raises ValueError."""
        if len(metrics) != self.epochs:
            raise ValueError(f"its table holds {len(metrics)} of {self.epochs} epochs")

    def as_kind(self, kind: type[Kind], **changes: Any) -> Kind:
        """This training as another kind of run, with changes."""
        fields = {name: getattr(self, name) for name in self.field_names()}
        return kind(**{**fields, **changes})

    # -------------------------------------------------------------------------- how it trains

    def settings(self) -> train.Settings:
        """How to train. Raises ValueError if a value is out of range."""
        return train.Settings(**self.fields_of(train.Settings))

    def objectives(self) -> dict[str, train.Objective]:
        """Arguments of :func:`lib.train.fit` besides the settings."""
        return {}

    def split(self) -> data.Split:
        """The data, as many as asked for, classes in proportion."""
        split = data.load_once(self.dataset, validation=self.validation, limit=self.limit)
        if self.test_images is None:
            return split
        x, y = data.stratified(split.x_test, split.y_test, self.test_images)
        return dataclasses.replace(split, x_test=x, y_test=y)

    def standardisation(self, split: data.Split) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation that the network takes its input by."""
        return split.standardisation()

    def widths(self, split: data.Split) -> tuple[int, ...]:
        """Widths of the network by its data: the shape of an example and the number of classes."""
        return (*split.x_train.shape[1:], split.n_classes)

    def model(
        self, widths: Sequence[int], standardisation: tuple[Tensor, Tensor] | None = None
    ) -> nn.Sequential:
        """The untrained network, float32, for widths of :meth:`widths`."""
        raise NotImplementedError(f"{type(self).__name__} has no model")

    def prepare_(self, model: nn.Sequential, split: data.Split, workspace: Workspace) -> None:
        """Change the untrained network by the data or by the parent, before the first epoch."""

    def watch(self, split: data.Split) -> Watch | None:
        """Notes of the network before the first epoch and after each; None: none."""
        return None

    # --------------------------------------------------------------------- what its record holds

    def watched(self, rows: list[dict[str, Any]], model: nn.Sequential) -> dict[str, np.ndarray]:
        """Arrays of what was noted, a row before the first epoch and one after each."""
        return {}

    def facts(self, split: data.Split, model: nn.Sequential) -> dict[str, Any]:
        """Facts of the untrained network and its data, for the record."""
        return {
            "architecture": "-".join(map(str, self.widths(split))),
            "data": {"source": split.source, "sha256": split.sha256},
        }

    def recorded_widths(self, facts: dict[str, Any]) -> tuple[int, ...]:
        """The widths of :meth:`widths`, from what a record says."""
        return tuple(int(width) for width in facts["architecture"].split("-"))


def make(run: Training, workspace: Workspace, stop_after: int | None = None) -> Contents:
    """Train the network of a run, from its checkpoint if there is one: to the end, or for so many
    epochs.
    """
    split = run.split()
    model = run.model(run.widths(split), run.standardisation(split))
    run.prepare_(model, split, workspace)
    model.to(run.device())
    facts = run.facts(split, model)
    watch = run.watch(split)
    at_start = {} if watch is None else watch(model)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fit goes by autograd")  # as convolutional networks do
        history = train.fit(
            model,
            split,
            run.settings(),
            **run.objectives(),
            seed=run.seed,
            evaluate_test=run.evaluate_test,
            checkpoint=workspace.checkpoint(run.device()),
            stop_after=stop_after,
            on_epoch=lambda history: workspace.progress(len(history.metrics)),
            measure=watch,
        )
    tensors = trained.named_degrees(history.degrees) | trained.named_links(history.links)
    tensors |= {trained.STATE + name: tensor for name, tensor in model.state_dict().items()}
    for name, tensor in (history.best_state or {}).items():
        tensors[trained.BEST + name] = tensor
    arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    if watch is not None:
        arrays |= run.watched([at_start, *history.metrics], model)
    facts |= {"final": history.final, "seconds": round(history.seconds, 1), CLOCK: history.clock}
    metrics = pd.DataFrame(history.metrics).drop(columns=list(at_start))
    return Contents(metrics, arrays, facts)


def replay(run: Training, workspace: Workspace, epochs: int) -> Contents:
    """Train the network of a run for its first epochs: their rows, and the arrays of these."""
    contents = make(run, workspace, stop_after=epochs)
    arrays = {}
    for name, array in contents.arrays.items():
        if not name.startswith((trained.STATE, trained.BEST)):
            arrays[name] = array
    return Contents(contents.metrics, arrays, {})


def training(
    name: str,
    configs: Callable[[str], list[Training]],
    keeps: Callable[[Record, str], bool] = trained.keep_links,
    numbers: Callable[[Record], dict[str, Any]] = trained.numbers,
    **relations: tuple[str, ...],
) -> Experiment:
    """The experiment that trains these networks; relations: its parents, and same_runs_as."""
    return Experiment(name, configs, make, numbers=numbers, keeps=keeps, replay=replay, **relations)
