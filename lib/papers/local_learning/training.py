"""The runs that train a network with one hidden layer, and what their records hold.

All images are divided by their own L3 norm first. A network leaves its weights after the last
epoch, as released, and those of the best validation epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import data
from lib.layers import SparseLinear
from lib.names import check_known
from lib.papers.local_learning import krotov_hopfield as kh
from lib.papers.local_learning import networks, regularizers
from lib.papers.local_learning.layers import dense_weights, holds_layer, layer_of, sparse_layer
from lib.papers.local_learning.pruning import prune_by_mixture
from lib.papers.shared import trained
from lib.runs.config import Run
from lib.runs.experiment import Contents, Workspace
from lib.runs.record import Record

BEST = "best."  # first part of the names of weights of the best validation epoch
METHODS = ("kh", "bp", "l2", "jreg", "jreg_units", "specreg")
# What three projections of which two are flattened estimate of the squared norm, on average, in the
# released batches of 1,000: see regularizers.projected_jacobian. Here it is not estimated.
FLATTENED = (1 + 2 / 1000) / 3
PENALTIES: dict[str, Any] = {
    "none": lambda coupling: regularizers.Penalty(),
    "weights": lambda coupling: regularizers.SquaredWeights(coupling),
    "hidden, as released": lambda coupling: regularizers.Jacobian(
        coupling * FLATTENED, part="hidden"
    ),
    "activations": lambda coupling: regularizers.Jacobian(coupling, part="activations"),
    "logits": lambda coupling: regularizers.Jacobian(coupling, part="logits"),
    "spectrum, as released": regularizers.Spectral.released,
    "spectrum": lambda coupling: regularizers.Spectral(coupling),
}


@dataclass(frozen=True)
class HiddenNetwork(Run):
    """A network with one hidden layer, trained by Adam; its method says how the layer came about.

    Args:
        method: "kh" (a read-out on a layer that was learned locally, its parent), "bp", "l2",
            "jreg" (of the Jacobian of the logits, or of hidden units as released), "jreg_units" (of
            the units after ReLU) or "specreg".
        n_units: of the hidden layer.
        penalty: of :data:`PENALTIES`.
        coupling: factor of the penalty.
        batch_norm: before the read-out.
        power: of the activation.
        pruned: how units of the parent that did not learn are found, which are set to zero: "as
            released", "corrected", see :func:`lib.papers.local_learning.pruning.prune_by_mixture`,
            or "", none.
        epochs, batch_size, law: see :class:`lib.papers.local_learning.networks.Published`.
        validation: examples taken out of the training part, by which the best epoch is chosen.
        evaluate_test: False in tuning, which must not see the test part.
        limit: training examples used; None for all.
    Raises: ValueError if a field is of another type.
    """

    DIGITS: ClassVar[str] = "%.6g"
    UNSHARED: ClassVar[tuple[str, ...]] = (*Run.UNSHARED, "epochs", "batch_size", "limit", "seed")

    method: str = "bp"
    variant: str = "as released"
    n_units: int = 500
    penalty: str = "none"
    coupling: float = 0.0
    batch_norm: bool = False
    power: float = 1.0
    pruned: str = ""
    epochs: int = 40
    batch_size: int = 1000
    law: str = "steps"
    validation: int = 5000
    evaluate_test: bool = True
    limit: int | None = None

    @property
    def size(self) -> int:
        """Progress is counted in epochs."""
        return self.epochs

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        check_known("method", self.method, METHODS)
        check_known("penalty", self.penalty, PENALTIES)
        check_known("pruned", self.pruned, ("", "as released", "corrected"))
        if (self.method == "kh") != (self.parent is not None):
            raise ValueError(
                f"method {self.method!r} with parent {self.parent!r}: give a layer to 'kh' alone"
            )
        self.settings()

    def settings(self) -> networks.Published:
        """How to train. Raises ValueError if a value is out of range."""
        return networks.Published(epochs=self.epochs, batch_size=self.batch_size, law=self.law)

    def split(self) -> data.Split:
        """The data, every image divided by its norm."""
        split = data.load_once(self.dataset, validation=self.validation, limit=self.limit)
        return networks.unit_norm_split(split)

    def generator(self) -> torch.Generator:
        """Of the weights at the start."""
        return torch.Generator().manual_seed(self.seed)

    def untrained(self, n_in: int, n_classes: int) -> networks.HiddenLayer:
        """The network of a method that learns its hidden layer by back-propagation, at the start,
        float32.
        """
        network = networks.perceptron(
            n_in,
            self.n_units,
            n_classes,
            batch_norm=self.batch_norm,
            power=self.power,
            generator=self.generator(),
        )
        return network.float()

    def check_table(self, metrics: pd.DataFrame) -> None:
        """Refuse a table that lacks epochs. Raises ValueError."""
        if len(metrics) != self.epochs:
            raise ValueError(f"its table holds {len(metrics)} of {self.epochs} epochs")


# ------------------------------------------------------------------------------ what it makes


def make_network(run: HiddenNetwork, workspace: Workspace) -> Contents:
    """Train the network of a run, from its checkpoint if there is one."""
    split = run.split()
    facts: dict[str, Any] = {}
    if run.parent is None:
        network = run.untrained(split.n_features, split.n_classes)
        fit = networks.fit_network
    else:
        network, facts = _on_layer(run, workspace, split.n_classes)
        fit = networks.fit_readout
    start = _squared_weights(network)
    history = fit(
        network,
        split,
        run.settings(),
        seed=run.seed,
        penalty=PENALTIES[run.penalty](run.coupling),
        evaluate_test=False,
        checkpoint=workspace.folder / "checkpoint.pt",
        on_epoch=lambda history: workspace.progress(len(history.metrics)),
    )
    arrays = {f"{trained.STATE}{name}": t.numpy() for name, t in network.state_dict().items()}
    within = "readout." if run.parent is not None else ""  # of a locally learned layer alone
    for name, tensor in (history.best_state or {}).items():
        arrays[f"{BEST}{within}{name}"] = tensor.numpy()
    valid = [row["valid_accuracy"] for row in history.metrics]
    facts |= {
        "architecture": f"{split.n_features}-{run.n_units}-{split.n_classes}",
        "final": {
            "test_accuracy": None,
            "best_test_accuracy": None,
            "best_epoch": None if valid[0] is None else int(np.argmax(valid)) + 1,
            "squared_weights": [start, _squared_weights(network)],
        },
        "seconds": round(history.seconds, 1),
        "data": {"source": split.source, "sha256": split.sha256},
    }
    if run.evaluate_test:
        for which, name in (("last", "test_accuracy"), ("best", "best_test_accuracy")):
            model = _rebuilt(run, arrays, facts["architecture"], which)
            facts["final"][name] = accuracy(model, split.x_test, split.y_test)
    return Contents(pd.DataFrame(history.metrics), arrays, facts)


def _squared_weights(network: networks.HiddenLayer) -> float:
    r""":math:`\|W\|_F^2` of the hidden layer, which is the squared norm of its Jacobian."""
    linear = network.linear
    weights = linear.values if isinstance(linear, SparseLinear) else linear.weight
    return float(weights.detach().double().square().sum())


def _on_layer(
    run: HiddenNetwork, workspace: Workspace, n_classes: int
) -> tuple[networks.HiddenLayer, dict[str, Any]]:
    """The untrained read-out on the layer of the parent, and what became of that layer."""
    layer = layer_of(workspace.record_of(run.parent, holds_layer))
    weight = dense_weights(layer)
    test = kh.acceptance(weight, norm_order=run.parent.norm_order)
    facts = {
        "accepted": test.accepted,
        "off_norm_fraction": test.off_norm_fraction,
        "effective_units": kh.effective_units(weight),
        "pruned_units": 0,
    }
    options = {
        "norm_order": run.parent.norm_order,
        "power": run.power,
        "generator": run.generator(),
    }
    if isinstance(layer, SparseLinear):
        return networks.sparse_krotov_hopfield_network(layer, n_classes, **options), facts
    if run.pruned:
        layer, facts["pruned_units"] = _pruned(layer, run.pruned == "as released")
    return networks.krotov_hopfield_network(layer, n_classes, **options), facts


def _pruned(weight: Tensor, as_released: bool) -> tuple[Tensor, int]:
    """The weights without units that did not learn, and how many these are; as they are where the
    variances of too few units lie where mixtures are looked for.
    """
    try:
        found = prune_by_mixture(weight, last_fitted=as_released)
    except ValueError:
        return weight, 0
    return found.weight, int((~found.kept).sum())


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of images that are classified correctly."""
    right = 0
    for images, classes in zip(x.split(1000), y.split(1000), strict=True):
        right += int((model(images).argmax(1) == classes).sum())
    return right / len(y)


# --------------------------------------------------------------------------- what a record holds


def holds_network(record: Record) -> bool:
    """Whether a record holds the whole trained network."""
    return any(name.startswith(trained.STATE) for name in record.arrays)


def network(record: Record, which: str = "last") -> networks.HiddenLayer:
    """The trained network, in evaluation mode.

    Args:
        record: of a :class:`HiddenNetwork`.
        which: "last", after the last epoch, or "best", of the best validation epoch.
    Raises: ValueError if the record does not hold it.
    """
    if not holds_network(record):
        raise ValueError(
            f"record {record.path} does not hold the network: train it on this machine, in a"
            " notebook with retrain = True"
        )
    return _rebuilt(record.config, record.arrays, record.environment["architecture"], which)


def _rebuilt(
    run: HiddenNetwork, arrays: Mapping[str, np.ndarray], architecture: str, which: str
) -> networks.HiddenLayer:
    check_known("weights", which, ("last", "best"))
    state = {}
    for start in (trained.STATE, BEST)[: 1 if which == "last" else 2]:
        for name, array in arrays.items():
            if name.startswith(start):
                state[name.removeprefix(start)] = torch.from_numpy(np.asarray(array))
    n_in, n_units, n_classes = map(int, architecture.split("-"))
    if run.method != "kh":
        model = run.untrained(n_in, n_classes)
    else:
        linear = _frozen(state, n_in, n_units)
        options = {"power": run.power, "generator": run.generator()}
        model = networks.HiddenLayer(linear, n_units, n_classes, **options).float()
    model.load_state_dict(state)
    return model.eval()


def _frozen(state: Mapping[str, Tensor], n_in: int, n_units: int) -> nn.Module:
    """The hidden layer that was learned locally."""
    if "linear.weight" in state:
        return networks.Frozen(state["linear.weight"])
    return sparse_layer(state, n_in, n_units, "linear.")


def network_numbers(record: Record) -> dict[str, Any]:
    """What the summary says of a network."""
    final = record.environment["final"]
    return {
        "optimiser": "adam",
        "epochs": record.config.epochs,
        "best_accuracy": final["best_test_accuracy"],
        "last_accuracy": final["test_accuracy"],
        "final_accuracy": final["test_accuracy"],
    }
