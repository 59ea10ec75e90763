"""How a network is trained, and what that leaves: what :func:`lib.train.fit` takes and returns."""

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from .evolution import Evolution
from .names import check_known, check_number, check_type, check_whole

SCHEDULES = ("constant", "step", "cosine", "one_cycle")
PEAK = 0.3  # of the epochs: where the rate of one cycle is highest


@dataclass(frozen=True)
class Settings:
    """How a network is trained, by SGD unless :func:`lib.train.fit` is given another optimiser.

    Args:
        epochs: passes over the training part, at least 1.
        batch_size: examples a step; the last batch of an epoch may be smaller, and for batch
            normalisation must not be a single example.
        learning_rate: at the first epoch; of one cycle, the highest.
        schedule: "constant", "step" (a tenth from half of the epochs on, a hundredth from three
            quarters on), "cosine" (towards 0) or "one_cycle" (up to it over three tenths of the
            epochs, then down towards 0, both linearly; [Smith2018], without its momentum).
        momentum: of SGD, in [0, 1).
        nesterov: whether the momentum is Nesterov's.
        weight_decay: of the weights of links only, times the learning rate (as in torch). The
            authors' SciPy code subtracts wd · w without rate and momentum, from biases too: not
            offered.
        augmentation: strength of the random rotations, shifts and mirrorings of training images, in
            [0, 1], see :func:`lib.data.augment.augment`; 0: none.
        averaging: decay of the moving average of the weights, see
            :class:`lib.averaging.WeightAverage`, in [0, 1): that is what is evaluated after each
            epoch and left in the model; 0: none.
        evolution: how links evolve after each epoch; None for a static support.
    Raises: ValueError if a value is out of range.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 0.1
    schedule: str = "cosine"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 2e-4
    augmentation: float = 0.0
    averaging: float = 0.0
    evolution: Evolution | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            check_whole(name, getattr(self, name), least=1)
            object.__setattr__(self, name, int(getattr(self, name)))  # numpy's too
        for name, interval in (
            ("learning_rate", "(0, inf)"),
            ("momentum", "[0, 1)"),
            ("weight_decay", "[0, inf)"),
            ("augmentation", "[0, 1]"),
            ("averaging", "[0, 1)"),
        ):
            check_number(name, getattr(self, name), interval)
            object.__setattr__(self, name, float(getattr(self, name)))
        check_known("schedule", self.schedule, SCHEDULES)
        check_type("nesterov", self.nesterov, bool)
        if self.evolution is not None:
            check_type("evolution", self.evolution, Evolution)
            falls = self.evolution.density_schedule != "constant"
            if falls and self.evolution.after_last_epoch == "keep" and self.epochs == 1:
                raise ValueError(
                    "epochs = 1 with a density_schedule leaves no update of the links: give at"
                    " least 2, or last_epoch='evolve'"
                )
        if self.nesterov and self.momentum == 0:
            raise ValueError("momentum = 0 with nesterov: give a positive momentum")

    def learning_rate_at_epoch(self, epoch: int) -> float:
        """Learning rate of epoch ``epoch``, from 1."""
        done = (epoch - 1) / self.epochs
        if self.schedule == "cosine":
            return self.learning_rate * (1 + math.cos(math.pi * done)) / 2
        if self.schedule == "one_cycle":
            middle = (epoch - 0.5) / self.epochs  # of the epoch
            return self.learning_rate * min(middle / PEAK, (1 - middle) / (1 - PEAK))
        if self.schedule == "constant" or done < 0.5:
            return self.learning_rate
        if done < 0.75:
            return self.learning_rate * 0.1
        return self.learning_rate * 0.01


@dataclass
class History:
    """What a run leaves besides the trained model.

    Attributes:
        metrics: one dict an epoch: epoch, learning_rate, train_loss, valid_accuracy, test_accuracy
            (before the update of the links; None where not evaluated, NaN where undefined, see
            :func:`lib.train.accuracy`), links (trained with),
            replaced (links replaced after the epoch).
        final: test_accuracy (None where not evaluated) and links after what the last epoch's rule
            does.
        degrees: one dict for each sparse layer, side and epoch of 0, 1, 2, 5, … and the last, and
            "final": layer (its name in the model), side ("in": links of every output neuron;
            "out": links of every input neuron), epoch, links ((width,) int16, int32 where needed).
        links: one dict for each sparse layer and each of these epochs: layer, epoch, keys ((nnz,)
            int32, int64 where needed, row · n_in + col).
        best_state: state dict at the best validation epoch (the first of equals), None without a
            validation part.
        seconds: training and evaluation, all sittings together.
        clock: seconds at the end of each epoch.
    """

    metrics: list[dict[str, Any]] = field(default_factory=list)
    final: dict[str, Any] = field(default_factory=dict)
    degrees: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    best_state: dict[str, Tensor] | None = None
    seconds: float = 0.0
    clock: list[float] = field(default_factory=list)
