"""Everything that decides a result, as frozen dataclasses of literals, and its name."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from lib import data, models, train
from lib.evolution import Evolution
from lib.names import check_known

RECIPE = 1  # raise when the meaning of training changes: every record is then made anew
STUDY_RECIPE = 1  # the same for what a study measures


@dataclass(frozen=True)
class Config:
    """Everything that decides the result of one run, as literals.

    The hash of a record covers the experiment, the seed, the recipe, the data set actually loaded
    and the fields that differ from their defaults, so that a new field with a default keeps old
    records valid.

    Args:
        experiment, method, variant: names; the method and the variant label tables and figures.
        dataset: name for :func:`lib.data.load`.
        hidden: widths of the hidden layers; input and output follow from the data.
        density, er_epsilon: links of every hidden layer; neither: dense.
        activation, dropout, draw, start, sparse_output, published_srelu: see
            :func:`lib.models.mlp`.
        optimiser: "sgd", or "nesterov".
        epochs, batch_size, learning_rate, schedule, momentum, weight_decay, augmentation: see
            :class:`lib.train.Settings`.
        drop: None for a static support, else, as grow, drop_fraction, decay, new_std,
            regrow_dropped, reset_state, last_epoch, gradient_batches: see
            :class:`lib.evolution.Evolution`.
        validation: validation examples taken out of the training part; 0: all data are trained on.
        evaluate_test: False in tuning, which must not see the test part.
        limit: training examples used; None for all.
        per_pixel: standardise every pixel by itself (the authors' code), not all by one mean and
            std.
        fallback: data set that stands in where ``dataset`` cannot be had (not part of the
            identity).
        seed: of everything random.
        parent: run whose trained network this one starts from, itself trained where it is absent.
        inherits: what of it, see :func:`lib.records.inherit_`: "support", "degrees" or "largest".
    Raises: ValueError if a field is of another type or contradicts another.
    """

    experiment: str
    dataset: str = "mnist"
    method: str = "set"
    variant: str = "tuned"
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
    fallback: str | None = None
    seed: int = 0
    parent: "Config | None" = None
    inherits: str | None = None
    augmentation: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.parent, dict):  # as read from a file
            object.__setattr__(self, "parent", Config(**self.parent))
        for field in (f for f in dataclasses.fields(self) if f.name != "parent"):
            value = _as_declared(field.name, field.type, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if self.density is not None and self.er_epsilon is not None:
            raise ValueError(
                f"density = {self.density} and er_epsilon = {self.er_epsilon}: give one of them"
            )
        if self.method in ("dense", "dense_small") and (self.density or self.er_epsilon):
            raise ValueError(f"method {self.method!r} has all links: give no density or er_epsilon")

    @property
    def name(self) -> str:
        """Folder of the record: experiment and hash of the identity."""
        identity = {"experiment": self.experiment, "dataset": self.dataset, "seed": self.seed}
        identity["recipe"] = RECIPE
        if isinstance(self, Study):
            identity["study_recipe"] = STUDY_RECIPE
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name != "fallback" and value != field.default:
                identity[field.name] = value.name if field.name == "parent" else value
        text = json.dumps(identity, sort_keys=True)
        return f"{self.experiment}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def with_changes(self, changes: dict[str, Any]) -> "Config":
        """The same with some fields changed, its parent's too where the parent has them.

        Raises: ValueError naming the nearest field.
        """
        names = [field.name for field in dataclasses.fields(self)]
        for key in changes:
            check_known("key", key, names)
        parent = self.parent
        if parent is not None:
            shared = {k: v for k, v in changes.items() if k not in _OWN_FIELDS}
            parent = parent.with_changes(shared)
        return dataclasses.replace(self, parent=parent, **changes)

    def settings(self) -> train.Settings:
        """How to train; raises ValueError if a value is out of range."""
        evolution = None if self.drop is None else Evolution(**_shared(self, Evolution))
        check_known("optimiser", self.optimiser, ("sgd", "nesterov"))
        how = {"evolution": evolution, "nesterov": self.optimiser == "nesterov"}
        return train.Settings(**_shared(self, train.Settings), **how)

    def widths(self, split: data.Split) -> tuple[int, ...]:
        """Input, hidden and output widths of the network for the data."""
        return (split.n_features, *self.hidden, split.n_classes)

    def model(
        self, widths: Sequence[int], standardisation: tuple[Tensor, Tensor] | None = None
    ) -> nn.Sequential:
        """The untrained network, float32; its links do not depend on the standardisation."""
        names = (
            "density er_epsilon activation dropout draw start sparse_output published_srelu seed"
        )
        chosen = {name: getattr(self, name) for name in names.split()}
        return models.mlp(widths, standardisation=standardisation, **chosen).float()

    def standardisation(self, split: data.Split) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation that the network takes its input by."""
        if not self.per_pixel:
            return split.standardisation()
        x = split.x_train.flatten(1)
        std = x.std(0)
        return x.mean(0), std.where(std > 0, torch.ones_like(std))


@dataclass(frozen=True)
class Study(Config):
    """A measurement on a trained network, its ``parent``; see :mod:`lib.robustness`.

    What is measured is named by ``experiment``; data set, method and seed are those of the parent,
    the other fields of training have no effect. Images come from the test part, or from the
    validation part where the parent has one.

    Args:
        images: number of images, a stratified subset that is the same for every network.
        draws: repetitions where the perturbation is random.
        points: of a grid of fractions from 0 to 1.
        radii, radii_l2: of attacks in L-infinity and in L2.
        steps, restarts, queries: of the attacks.
    """

    epochs: int = 1
    images: int = 2000
    draws: int = 10
    points: int = 21
    radii: tuple[float, ...] = ()
    radii_l2: tuple[float, ...] = ()
    steps: int = 40
    restarts: int = 1
    queries: int = 1000


def _as_declared(name: str, declared: Any, value: Any) -> Any:
    """The value in the declared type: 20 is 20.0 for a float, a list of widths is a tuple.

    Raises: ValueError naming field and value if it is of another type.
    """
    kinds = get_args(declared) or (declared,)
    if name == "hidden" or name.startswith("radii"):
        kind, example = (int, "(1000, 1000)") if name == "hidden" else (float, "(0.1, 0.2)")
        if isinstance(value, list | tuple) and all(type(n) in (int, kind) for n in value):
            return tuple(map(kind, value))
        raise ValueError(f"{name} = {value!r} is of the wrong type: give numbers, as {example}")
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) in kinds:
        return value
    words = " or ".join("None" if k is type(None) else k.__name__ for k in kinds)
    raise ValueError(f"{name} = {value!r} is of the wrong type: give {words}")


_OWN_FIELDS = {f.name for f in dataclasses.fields(Study)} - {
    f.name for f in dataclasses.fields(Config)
}
_OWN_FIELDS |= {"experiment", "method", "variant", "parent", "inherits"}


def _shared(config: Config, target: type) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(target)}
    return {k: v for k, v in vars(config).items() if k in names}
