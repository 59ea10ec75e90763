"""The run that trains a network with one kind of unit, and what its record holds."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import activations, convnets, data, models, train
from lib.activations import Splash, splash_units
from lib.evolution import Evolution
from lib.names import check_known
from lib.papers.shared import trained
from lib.robustness.defences import Adversarial
from lib.runs.config import Run
from lib.runs.experiment import Contents, Workspace
from lib.runs.record import Record

SET_MLP = "sparse_mlp"
NETWORKS = (*convnets.NETWORKS, SET_MLP)
MLP_DROPOUT = 0.1  # of "sparse_mlp", as chosen for SET on this network
PLACING = 1000  # training examples at whose quantiles hinges are placed
UNITS = "units."  # first part of the names of arrays of coefficients


@dataclass(frozen=True)
class UnitTraining(Run):
    """Training of one network; the method is its unit, a name of :data:`lib.activations.UNITS`.

    Args:
        network: of :data:`lib.convnets.NETWORKS`, or "sparse_mlp": layers that evolve by SET.
        n_hinges, start, bounded, decayed: of SPLASH, see :class:`lib.activations.Splash`.
        positions: hinges of SPLASH on one side; none: those of its number.
        quantiles: whether hinges are placed at quantiles of 1,000 training examples.
        norm, dropout, logit_scale, enlarge: see :func:`lib.convnets.convnet`.
        hidden, er_epsilon: widths and links of "sparse_mlp".
        epochs, batch_size, learning_rate, schedule, momentum, weight_decay, augmentation: see
            :class:`lib.settings.Settings`.
        adversarial_radius: L-infinity radius of the points that are trained on, see
            :class:`lib.robustness.defences.Adversarial`; 0: the examples themselves.
        adversarial_steps: of the ascent.
        validation: validation examples taken out of the training part.
        evaluate_test: False in tuning, which must not see the test part.
        limit, test_images: examples used of the training and of the test part; None for all.
    Raises: ValueError if a field is of another type.
    """

    DIGITS: ClassVar[str] = "%.7g"

    method: str = "relu"
    network: str = "lenet5"
    n_hinges: int = 7
    positions: tuple[float, ...] = ()
    quantiles: bool = False
    start: str = "relu"
    bounded: bool = False
    decayed: bool = False
    norm: bool = True
    dropout: bool = False
    logit_scale: float | None = None
    enlarge: int = 1
    hidden: tuple[int, ...] = (1000, 1000, 1000)
    er_epsilon: float = 20.0
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 0.1
    schedule: str = "one_cycle"
    momentum: float = 0.9
    weight_decay: float = 2e-4
    augmentation: float = 0.0
    adversarial_radius: float = 0.0
    adversarial_steps: int = 2
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
        check_known("network", self.network, NETWORKS)
        activations.make(self.method, 1, **self.options())
        self.settings()
        self.objectives()

    def options(self) -> dict[str, Any]:
        """What the unit is made with."""
        if self.method != "splash":
            return {}
        return {
            "n_hinges": self.n_hinges,
            "positions": self.positions or None,
            "start": self.start,
            "bounded": self.bounded,
            "decayed": self.decayed,
        }

    def settings(self) -> train.Settings:
        """How to train. Raises ValueError if a value is out of range."""
        names = {field.name for field in dataclasses.fields(train.Settings)}
        fields = {name: value for name, value in vars(self).items() if name in names}
        evolution = Evolution(decay="cosine") if self.network == SET_MLP else None
        return train.Settings(**fields, evolution=evolution)

    def objectives(self) -> dict[str, train.Objective]:
        """What :func:`lib.train.fit` is given besides the settings."""
        if self.adversarial_radius == 0:
            return {}
        return {"objective": Adversarial(self.adversarial_radius, steps=self.adversarial_steps)}

    def split(self) -> data.Split:
        """The data, as many as asked for, classes in proportion."""
        split = data.load_once(self.dataset, validation=self.validation, limit=self.limit)
        if self.test_images is None:
            return split
        x, y = stratified(split.x_test, split.y_test, self.test_images)
        return dataclasses.replace(split, x_test=x, y_test=y)

    def model(
        self,
        image: Sequence[int],
        n_classes: int,
        standardisation: tuple[Tensor, Tensor] | None = None,
    ) -> nn.Sequential:
        """The untrained network, float32.

        Args:
            image: shape of an example.
            n_classes: number of logits.
            standardisation: (mean, std) of the training part.
        """
        unit = {"activation": self.method, "options": self.options(), "seed": self.seed}
        unit["standardisation"] = standardisation
        if self.network == SET_MLP:
            widths = (int(np.prod(image)), *self.hidden, n_classes)
            return models.mlp(
                widths, er_epsilon=self.er_epsilon, dropout=MLP_DROPOUT, **unit
            ).float()
        check_known("network", self.network, NETWORKS)
        network = convnets.convnet(
            self.network,
            tuple(image),
            n_classes,
            norm=self.norm,
            dropout=self.dropout,
            logit_scale=self.logit_scale,
            enlarge=self.enlarge,
            **unit,
        )
        return network.float()

    def check_table(self, metrics: pd.DataFrame) -> None:
        """Refuse a table that lacks epochs. Raises ValueError."""
        if len(metrics) != self.epochs:
            raise ValueError(f"its table holds {len(metrics)} of {self.epochs} epochs")


def stratified(x: Tensor, y: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """n examples and their labels, classes in proportion, always the same ones; smaller sets lie
    within larger ones.
    """
    order = data.stratified_order(len(y), y.numpy())
    first = torch.from_numpy(order[:n].copy())
    return x[first], y[first]


# --------------------------------------------------------------------------------- what it makes


def make(run: UnitTraining, workspace: Workspace) -> Contents:
    """Train the network of a run, from its checkpoint if there is one."""
    return _made(run, workspace)


def replay(run: UnitTraining, workspace: Workspace, epochs: int) -> Contents:
    """Train the network of a run for its first epochs."""
    contents = _made(run, workspace, stop_after=epochs)
    shapes = {n: array for n, array in contents.arrays.items() if n.startswith(UNITS)}
    return Contents(contents.metrics, shapes, {})


def _made(run: UnitTraining, workspace: Workspace, stop_after: int | None = None) -> Contents:
    split = run.split()
    image = tuple(split.x_train.shape[1:])
    model = run.model(image, split.n_classes, split.standardisation())
    if run.quantiles:
        activations.place_hinges_(model, split.x_train[:PLACING])
    start = _coefficients(model)
    history = train.fit(
        model,
        split,
        run.settings(),
        **run.objectives(),
        seed=run.seed,
        evaluate_test=run.evaluate_test,
        checkpoint=workspace.folder / "checkpoint.pt",
        stop_after=stop_after,
        on_epoch=lambda history: workspace.progress(len(history.metrics)),
        measure=lambda model: {"units": _coefficients(model)},
    )
    epochs = [start, *(row["units"] for row in history.metrics)]
    arrays = {}
    for name in start:
        arrays[UNITS + name] = np.array([units[name] for units in epochs], dtype=np.float32)
    for name, unit in splash_units(model).items():
        arrays[f"hinges.{name}"] = unit.hinges.numpy()
    for name, tensor in model.state_dict().items():
        arrays[trained.STATE + name] = tensor.numpy()
    facts = {
        "architecture": run.network,
        "image": list(image),
        "classes": split.n_classes,
        "parameters": convnets.count_parameters(model),
        "final": history.final,
        "seconds": round(history.seconds, 1),
        "clock": history.clock,
        "data": {"source": split.source, "sha256": split.sha256},
    }
    return Contents(pd.DataFrame(history.metrics).drop(columns="units"), arrays, facts)


def _coefficients(model: nn.Module) -> dict[str, list]:
    """The coefficients that every SPLASH unit uses, (2, m) each, by its name."""
    return {name: unit.used.tolist() for name, unit in splash_units(model).items()}


# --------------------------------------------------------------------------- what a record holds


def holds_network(record: Record) -> bool:
    """Whether a record holds the whole trained network."""
    return any(name.startswith(trained.STATE) for name in record.arrays)


def keep_units(record: Record, name: str) -> bool:
    """What is shipped: the learned shapes, without the weights."""
    return name.startswith((UNITS, "hinges."))


def network(record: Record) -> nn.Sequential:
    """The trained network, in evaluation mode.

    Raises: ValueError if the record does not hold it.
    """
    if not holds_network(record):
        raise ValueError(
            f"record {record.path} does not hold the network: train it on this machine, in a"
            " notebook with retrain = True"
        )
    state = trained.state(record)
    facts = record.environment
    constants = state["standardise.mean"], state["standardise.std"]
    model = record.config.model(facts["image"], facts["classes"], constants)
    model.load_state_dict(state)
    return model.eval()


def learned_units(record: Record) -> dict[str, Splash]:
    """The SPLASH units of a record as they were learned, by layer; none for other units."""
    units = {}
    for name, array in record.arrays.items():
        if name.startswith(UNITS):
            layer = name.removeprefix(UNITS)
            units[layer] = unit_of(array[-1], record.arrays[f"hinges.{layer}"])
    return units


def unit_of(coefficients: np.ndarray, hinges: np.ndarray) -> Splash:
    """The unit of these (2, m) coefficients and (m,) hinges."""
    unit = Splash(2 * len(hinges) - 1, positions=hinges.tolist())
    with torch.no_grad():
        unit.coefficients.copy_(torch.from_numpy(np.array(coefficients)))
    return unit


def numbers(record: Record) -> dict[str, Any]:
    """What the summary says of a trained network; accuracies that were not evaluated are None."""
    test = record.metrics["test_accuracy"]
    row = {"optimiser": "sgd", "epochs": record.config.epochs}
    row["final_accuracy"] = record.environment["final"]["test_accuracy"]
    if test.notna().all():
        row["best_on_test_accuracy"] = test.max()
        row["last_accuracy"] = test.iloc[-1]
    return row
