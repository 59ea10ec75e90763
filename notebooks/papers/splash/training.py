"""The run that trains a network with one kind of unit, and what its record holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lib import activations, data, models, train
from lib._boundary import check_known
from lib.activations import Splash, splash_units
from lib.evolution import Evolution
from lib.robustness.defences import Adversarial
from lib.runs.experiment import Workspace
from lib.runs.record import Record
from papers.shared.training import Training, Watch

SET_MLP = "sparse_mlp"
NETWORKS = (*models.NETWORKS, SET_MLP)
OF_CONVNETS = ("norm", "dropout", "logit_scale", "enlarge")  # fields that SET_MLP has no use for
MLP_DROPOUT = 0.1  # of "sparse_mlp", as chosen for SET on this network
PLACING = 1000  # training examples at whose quantiles hinges are placed
UNITS = "units."  # first part of the names of arrays of coefficients
HINGES = "hinges."  # and of hinges


@dataclass(frozen=True)
class UnitTraining(Training):
    """Training of one network; the method is its unit, a name of :data:`lib.activations.UNITS`.

    Args:
        network: of :data:`lib.models.NETWORKS`, or "sparse_mlp": layers that evolve by SET.
        n_hinges, start, bounded, decayed: of SPLASH, see :class:`lib.activations.Splash`.
        positions: hinges of SPLASH on one side; none: those of its number.
        quantiles: whether hinges are placed at quantiles of 1,000 training examples.
        norm, dropout, logit_scale, enlarge: see :func:`lib.models.convnet`.
        hidden, er_epsilon: widths and links of "sparse_mlp".
        epochs, batch_size, learning_rate, schedule, momentum, weight_decay, augmentation: see
            :class:`lib.train.Settings`.
        adversarial_radius: L-infinity radius of the points that are trained on, see
            :class:`lib.robustness.defences.Adversarial`; 0: the examples themselves.
        adversarial_steps: of the ascent.
    Raises: ValueError if a field is of another type.
    """

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

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        check_known("network", self.network, NETWORKS)
        activations.make(self.method, 1, **self.options())
        if self.network == SET_MLP:
            self.check_unused(OF_CONVNETS, f"network {SET_MLP!r}")
        else:
            self.check_unused(["hidden", "er_epsilon"], f"network {self.network!r}")
        if self.method != "splash":  # bounded and quantiles are set for all units
            unused = "n_hinges", "positions", "start", "decayed"
            self.check_unused(unused, f"unit {self.method!r}")
        if self.quantiles:
            self.check_unused(["positions"], "hinges at quantiles")
        if self.adversarial_radius == 0:
            self.check_unused(["adversarial_steps"], "training without an adversarial_radius")
        super().check()
        self.objectives()

    def options(self) -> dict[str, Any]:
        """Options that the unit is made with."""
        if self.method != "splash":
            return {}
        return {**self.fields_of(Splash), "positions": self.positions or None}

    def settings(self) -> train.Settings:
        """How to train. Raises ValueError if a value is out of range."""
        evolution = Evolution(decay="cosine") if self.network == SET_MLP else None
        return train.Settings(**self.fields_of(train.Settings), evolution=evolution)

    def objectives(self) -> dict[str, train.Objective]:
        """Arguments of :func:`lib.train.fit` besides the settings."""
        if self.adversarial_radius == 0:
            return {}
        return {"objective": Adversarial(self.adversarial_radius, steps=self.adversarial_steps)}

    def model(
        self, widths: Sequence[int], standardisation: tuple[Tensor, Tensor] | None = None
    ) -> nn.Sequential:
        """The untrained network, float32, for the shape of an image and the number of classes."""
        *image, n_classes = widths
        unit = {"activation": self.method, "options": self.options(), "seed": self.seed}
        unit["standardisation"] = standardisation
        if self.network == SET_MLP:
            widths = (int(np.prod(image)), *self.hidden, n_classes)
            return models.mlp(
                widths, er_epsilon=self.er_epsilon, dropout=MLP_DROPOUT, **unit
            ).float()
        check_known("network", self.network, NETWORKS)
        options = {**self.fields_of(models.convnet), **unit}
        return models.convnet(self.network, tuple(image), n_classes, **options).float()

    def prepare_(self, model: nn.Sequential, split: data.Split, workspace: Workspace) -> None:
        """Place the hinges of SPLASH where its inputs lie, if asked for."""
        if self.quantiles:
            activations.place_hinges_(model, split.x_train[:PLACING])

    def watch(self, split: data.Split) -> Watch:
        """Notes the coefficients that every SPLASH unit uses, (2, m) each, by its name."""
        return _coefficients

    def watched(self, rows: list[dict[str, Any]], model: nn.Sequential) -> dict[str, np.ndarray]:
        """The coefficients, (epochs + 1, 2, m) of each SPLASH unit, and its (m,) hinges."""
        arrays = {}
        for name, unit in splash_units(model).items():
            arrays[UNITS + name] = np.array([row["units"][name] for row in rows], np.float32)
            arrays[HINGES + name] = unit.hinges.numpy()
        return arrays

    def facts(self, split: data.Split, model: nn.Sequential) -> dict[str, Any]:
        """Its network and what that is made for."""
        return {
            **super().facts(split, model),
            "architecture": self.network,
            "image": list(split.x_train.shape[1:]),
            "classes": split.n_classes,
            "parameters": models.count_parameters(model),
        }

    def recorded_widths(self, facts: dict[str, Any]) -> tuple[int, ...]:
        """The shape of an image and the number of classes, from what a record says."""
        return (*facts["image"], facts["classes"])


def _coefficients(model: nn.Module) -> dict[str, Any]:
    units = splash_units(model)
    return {"units": {name: unit.used.tolist() for name, unit in units.items()}}


# --------------------------------------------------------------------------- what a record holds


def keep_units(record: Record, name: str) -> bool:
    """Shipped arrays: the learned shapes, without the weights."""
    return name.startswith((UNITS, HINGES))


def learned_units(record: Record) -> dict[str, Splash]:
    """The SPLASH units of a record as they were learned, by layer; none for other units."""
    units = {}
    for name, array in record.arrays.items():
        if name.startswith(UNITS):
            layer = name.removeprefix(UNITS)
            units[layer] = unit_of(array[-1], record.arrays[HINGES + layer])
    return units


def unit_of(coefficients: np.ndarray, hinges: np.ndarray) -> Splash:
    """The unit of these (2, m) coefficients and (m,) hinges."""
    unit = Splash(2 * len(hinges) - 1, positions=hinges.tolist())
    with torch.no_grad():
        unit.coefficients.copy_(torch.from_numpy(np.array(coefficients)))
    return unit


def numbers(record: Record) -> dict[str, Any]:
    """Numbers of a trained network for the summary; accuracies that were not evaluated are None."""
    test = record.metrics["test_accuracy"]
    row = {"optimiser": "sgd", "epochs": record.config.epochs}
    row["final_accuracy"] = record.environment["final"]["test_accuracy"]
    if test.notna().all():
        row["best_on_test_accuracy"] = test.max()
        row["last_accuracy"] = test.iloc[-1]
    return row
