r"""How layers are learned locally, and how networks with one hidden layer are trained.

A layer is looked at after some of its epochs: its spectrum, what a read-out makes of it, and how
many units have left their start. A network leaves its weights after the last epoch, as released,
and those of the best validation epoch.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib import data, train
from lib._boundary import check_known, check_number, check_whole
from lib.data import Split
from lib.layers import SparseLinear
from lib.runs.config import Run
from lib.runs.experiment import Contents, Workspace
from lib.runs.record import Record
from lib.support import support_from_csr
from lib.train import History, Settings
from papers.local_learning import krotov_hopfield as kh
from papers.local_learning import networks, regularizers, spectra
from papers.local_learning.regularizers import Penalty
from papers.shared import trained
from papers.shared.training import Training

RELEASED, CORRECTED = "as released", "corrected"  # protocols
RATES = ((30, 1e-3), (90, 5e-4), (120, 2e-4), (160, 1e-4))  # up to which epoch which rate
LAST_RATE = 1e-5
FEATURE_BATCH = 1000

LOOKED_AT = (0, 1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 250, 300, 400, 500, 700, 1000)
FIELDS = "fields."  # first part of the names of arrays of receptive fields
N_FIELDS = 20  # units whose weights are shipped
PROBE = {"images": 5000, "epochs": 30}  # of the read-out by which a layer is looked at
SPECTRUM_IMAGES = 5000
CHANGED = 0.9  # cosine with its start, below which a unit has changed

METHODS = ("kh", "bp", "l2", "jreg", "jreg_units", "specreg")
PENALTIES: dict[str, Callable[[float], Penalty]] = {
    "none": lambda coupling: Penalty(),
    "weights": regularizers.SquaredWeights,
    "hidden, as released": regularizers.Jacobian.released,
    "activations": lambda coupling: regularizers.Jacobian(coupling, part="activations"),
    "logits": lambda coupling: regularizers.Jacobian(coupling, part="logits"),
    "spectrum, as released": regularizers.Spectral.released,
    "spectrum": regularizers.Spectral,
}


# ---------------------------------------------------------------------------- how a network learns


@dataclass(frozen=True)
class Published(Settings):
    r"""How the read-outs and the perceptrons are trained, by Adam.

    The rate falls in steps after epochs 30, 90, 120 and 160, and stays at 1e-5 for what is left of
    1,000: fewer epochs are the first of these.

    Source: [Holzhausen2025], the released code.

    Args:
        law: "steps"; "spectral": 1e-3 to epoch 90, then :math:`e^{-(t - 90) / 30}` of it; or
            "constant": 1e-3, of the read-out of a locally learned layer.
    Raises: ValueError if the law is unknown, or a value is out of range.
    """

    batch_size: int = 1000
    learning_rate: float = RATES[0][1]
    schedule: str = "constant"
    momentum: float = 0.0
    weight_decay: float = 0.0
    law: str = "steps"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_known("law", self.law, ("steps", "spectral", "constant"))

    def learning_rate_at_epoch(self, epoch: int) -> float:
        """Learning rate of epoch ``epoch``, from 1."""
        if self.law == "constant":
            return self.learning_rate
        if self.law == "spectral":
            return self.learning_rate * math.exp(-max(0.0, epoch - 90) / 30)
        factor = self.learning_rate / RATES[0][1]
        for last, rate in RATES:
            if epoch <= last:
                return factor * rate
        return factor * LAST_RATE


def fit_network(
    network: nn.Module,
    split: Split,
    settings: Published,
    *,
    seed: int,
    penalty: Penalty | None = None,
    on_epoch: Callable[[History], None] | None = None,
    **options: Any,
) -> History:
    """Train a network by Adam on its cross-entropy, and a penalty if there is one.

    Source: [Holzhausen2025], the released code; the loop is :func:`lib.train.fit`.

    Args:
        network: trained in place.
        split: images divided by their norms, see :func:`unit_norm`.
        settings: how to train.
        seed: of the order of the images.
        penalty: see :mod:`papers.local_learning.regularizers`.
        on_epoch, options: of :func:`lib.train.fit`.
    Returns: the history.
    Raises: as :func:`lib.train.fit`, and ValueError if a batch is too small for the penalty.
    """
    penalty = penalty or Penalty()
    penalty.begin(split.x_train.to(next(network.parameters())))

    def objective(model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        return F.cross_entropy(model(x), y) + penalty(model, x)

    def after_epoch(history: History) -> None:
        penalty.forget()
        if on_epoch is not None:
            on_epoch(history)

    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=settings.learning_rate)
    options |= {"objective": objective, "optimiser": optimiser, "on_epoch": after_epoch}
    return train.fit(network, split, settings, seed=seed, **options)


def fit_readout(
    network: networks.HiddenLayer, split: Split, settings: Published, *, seed: int, **options: Any
) -> History:
    """Train the read-out alone, on the activations of the hidden layer, computed once.

    Args:
        network: its read-out is trained in place.
        split: images divided by their norms.
        settings, seed, options: of :func:`fit_network`.
    Returns: the history.
    """

    @torch.no_grad()
    def activations(x: Tensor) -> Tensor:
        batches = x.to(network.readout.weight).split(FEATURE_BATCH)
        return torch.cat([network.activations(batch) for batch in batches])

    of_units = networks.mapped(split, activations)
    return fit_network(network.readout, of_units, settings, seed=seed, **options)


# ------------------------------------------------------------------------- layers learned locally


@dataclass(frozen=True)
class LocalLayer(Run):
    """A layer learned by the rule of Krotov and Hopfield, without labels.

    Args:
        n_units, epochs, batch_size, step_size, norm_order, rank, anti_hebbian: see
            :class:`papers.local_learning.krotov_hopfield.KrotovHopfield`.
        density: fraction of links, for a sparse layer; None: all.
        evolving: whether the links of a sparse layer evolve.
        limit: images learned from; None for all.
    """

    DIGITS: ClassVar[str] = "%.6g"

    method: str = "kh"
    variant: str = "as released"
    n_units: int = 500
    epochs: int = 300
    batch_size: int = 1000
    step_size: float = 0.02
    norm_order: float = 3.0
    rank: int = 2
    anti_hebbian: float = 0.4
    density: float | None = None
    evolving: bool = False
    limit: int | None = None

    @property
    def size(self) -> int:
        """Progress is counted in epochs."""
        return self.epochs

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        self.settings()
        if self.density is not None:
            check_number("density", self.density, "(0, 1]")
        elif self.evolving:
            raise ValueError("evolving = True without a density: give one, or evolving = False")
        if self.limit is not None:
            check_whole("limit", self.limit, least=1)

    def settings(self) -> kh.KrotovHopfield:
        """How it learns. Raises ValueError if a value is out of range."""
        return kh.KrotovHopfield(**self.fields_of(kh.KrotovHopfield))

    def untrained(self, n_in: int) -> Tensor | SparseLinear:
        """The layer before its first epoch, float32."""
        generator = torch.Generator().manual_seed(self.seed)
        options = {"density": self.density, "generator": generator, "dtype": torch.float32}
        return kh.start_of(self.settings(), n_in, **options)

    def check_table(self, metrics: pd.DataFrame) -> None:
        """Refuse a table that lacks epochs. Raises ValueError."""
        if len(metrics) != self.epochs + 1:
            raise ValueError(f"its table holds {len(metrics)} of {self.epochs + 1} epochs")


def make_layer(run: LocalLayer, workspace: Workspace) -> Contents:
    """Learn the layer of a run, from its checkpoint if there is one."""
    start = time.perf_counter()
    split = data.load_once(run.dataset, limit=run.limit)
    images = networks.unit_norm(split.x_train.float())
    look = _Look(run)
    learned = kh.learn(
        images,
        run.settings(),
        seed=run.seed,
        density=run.density,
        evolution=kh.EVOLUTION if run.evolving else None,
        checkpoint=workspace.folder / "checkpoint.pt",
        measure=lambda layer, epoch: look(layer) if epoch in (*LOOKED_AT, run.epochs) else {},
        on_epoch=lambda learned: workspace.progress(learned.epoch),
    )
    rows = [*learned.metrics, {"epoch": 0, **look(run.untrained(images.shape[1]))}]
    arrays = {}
    for row in rows:
        if "fields" in row:
            arrays[f"{FIELDS}{row['epoch']}"] = row.pop("fields").numpy()
    for name, tensor in kh.named_tensors(learned.layer).items():
        arrays[f"layer.{name}"] = tensor.numpy()
    facts = {
        "architecture": f"{images.shape[1]}-{run.n_units}",
        "final": {"probe_accuracy": learned.metrics[-1]["probe_accuracy"]},
        "seconds": round(time.perf_counter() - start, 1),
        "data": {"source": split.source, "sha256": split.sha256},
    }
    return Contents(pd.DataFrame(rows).sort_values("epoch", ignore_index=True), arrays, facts)


class _Look:
    """A look at a layer: its spectrum, what a read-out makes of it, units that have changed, and
    weights of the first units.
    """

    def __init__(self, run: LocalLayer) -> None:
        self.run = run
        n_validation = 5000 if run.dataset != "digits" else 200
        split = data.load_once(run.dataset, validation=n_validation, limit=PROBE["images"])
        self.split = networks.mapped(split, networks.unit_norm)
        self.images = networks.unit_norm(split.x_test[:SPECTRUM_IMAGES].float())
        self.start = kh.dense_weights(run.untrained(self.images.shape[1]))

    def __call__(self, layer: Tensor | SparseLinear) -> dict[str, Any]:
        weight, norm_order = kh.dense_weights(layer), self.run.norm_order
        overlaps = kh.overlaps(self.images, weight, norm_order=norm_order)
        eigenvalues = spectra.covariance_eigenvalues(overlaps)
        fit = spectra.fit(eigenvalues, spectra.within(spectra.RANGE, eigenvalues))
        cosine = torch.cosine_similarity(weight, self.start, dim=1)
        network = networks.krotov_hopfield_network(
            weight,
            self.split.n_classes,
            norm_order=norm_order,
            generator=torch.Generator().manual_seed(self.run.seed),
        )
        settings = Published(epochs=PROBE["epochs"], batch_size=500, law="constant")
        history = fit_readout(
            network, self.split, settings, seed=self.run.seed, evaluate_test=False
        )
        return {
            "exponent": float(fit.exponent),
            "r_squared": float(fit.r_squared),
            "changed": (cosine < CHANGED).double().mean().item(),
            "mean_norm": kh.norms(weight, norm_order).mean().item(),
            "probe_accuracy": max(row["valid_accuracy"] for row in history.metrics),
            "fields": weight[:N_FIELDS].half().float().clone(),
        }


def keep_fields(record: Record, name: str) -> bool:
    """Shipped arrays of a layer: receptive fields of seed 0."""
    return name.startswith(FIELDS) and record.config.seed == 0


def holds_layer(record: Record) -> bool:
    """True if a record holds the weights of its locally learned layer."""
    return any(name.startswith("layer.") for name in record.arrays)


def holds_layer_or_network(record: Record) -> bool:
    """True if a record holds the weights of its layer, or of its network."""
    return holds_layer(record) or trained.holds_network(record)


def layer_of(record: Record) -> Tensor | SparseLinear:
    """The layer that was learned, of a record that holds it."""
    arrays = record.arrays
    if "layer.weight" in arrays:
        return torch.from_numpy(arrays["layer.weight"])
    n_in = int(record.environment["architecture"].split("-")[0])
    return _sparse_layer(arrays, n_in, record.config.n_units, "layer.")


def _sparse_layer(arrays: Mapping[str, Any], n_in: int, n_units: int, start: str) -> SparseLinear:
    """The sparse layer whose links and values have names that start so."""
    crow, col = (torch.as_tensor(arrays[f"{start}{name}"]).long() for name in ("crow", "col"))
    support = support_from_csr(crow, col, n_in, n_units)
    values = torch.as_tensor(arrays[f"{start}values"]).float()
    return networks.on_support(support, values, torch.Generator())


# --------------------------------------------------------------------------- networks trained


@dataclass(frozen=True)
class HiddenNetwork(Training):
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
        pruned: how the units of the parent of high variance are found, which are set to zero: "as
            released", "corrected", or "", none; see ``prune_by_mixture`` of
            :mod:`papers.local_learning.krotov_hopfield`.
        epochs, batch_size, law: see :class:`Published`.
        validation: examples taken out of the training part, by which the best epoch is chosen.
    Raises: ValueError if a field is of another type.
    """

    DIGITS: ClassVar[str] = "%.6g"
    UNSHARED: ClassVar[tuple[str, ...]] = (
        *Training.UNSHARED,
        "epochs",
        "batch_size",
        "limit",
        "seed",
    )

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

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        check_known("method", self.method, METHODS)
        check_known("penalty", self.penalty, PENALTIES)
        check_known("pruned", self.pruned, ("", "as released", "corrected"))
        if (self.method == "kh") != (self.parent is not None):
            raise ValueError(
                f"method {self.method!r} with parent {self.parent!r}: give a layer to 'kh' alone"
            )
        if self.penalty == "none":
            if self.method not in ("kh", "bp"):
                raise ValueError(f"method {self.method!r} without a penalty: give it one")
            self.check_unused(["coupling"], "penalty 'none'")
        if self.method == "bp":
            self.check_unused(["penalty"], "method 'bp'")
        unused = ["batch_norm"] if self.method == "kh" else ["power", "pruned"]
        self.check_unused(unused, f"method {self.method!r}")
        super().check()

    def settings(self) -> Published:
        """How to train. Raises ValueError if a value is out of range."""
        return Published(**self.fields_of(Published))

    def split(self) -> data.Split:
        """The data, every image divided by its norm."""
        return networks.mapped(super().split(), networks.unit_norm)

    def generator(self) -> torch.Generator:
        """Generator of the weights at the start."""
        return torch.Generator().manual_seed(self.seed)

    def untrained(self, n_in: int, n_classes: int) -> networks.HiddenLayer:
        """The network of a method that learns its hidden layer by back-propagation, at the start,
        float32.
        """
        options = {"batch_norm": self.batch_norm, "generator": self.generator()}
        return networks.perceptron(n_in, self.n_units, n_classes, **options).float()


def make_network(run: HiddenNetwork, workspace: Workspace) -> Contents:
    """Train the network of a run, from its checkpoint if there is one."""
    split = run.split()
    facts: dict[str, Any] = {}
    if run.parent is None:
        network = run.untrained(split.n_features, split.n_classes)
        fit = fit_network
    else:
        network, facts = _on_layer(run, workspace, split.n_classes)
        fit = fit_readout
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
        arrays[f"{trained.BEST}{within}{name}"] = tensor.numpy()
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
            facts["final"][name] = train.accuracy(model, split.x_test, split.y_test)
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
    weight, norm_order = kh.dense_weights(layer), run.parent.norm_order
    test = kh.acceptance(weight, norm_order=norm_order)
    facts = {
        "accepted": test.accepted,
        "off_norm_fraction": test.off_norm_fraction,
        "effective_units": kh.effective_units(kh.cosines(weight)),
        "pruned_units": 0,
    }
    if run.pruned:
        try:
            pruned = kh.prune_by_mixture(layer, last_fitted=run.pruned == RELEASED)
        except ValueError:  # too few units have a variance for which mixtures are fitted
            pass
        else:
            layer, facts["pruned_units"] = pruned.weight, int((~pruned.kept).sum())
    network = networks.krotov_hopfield_network(
        layer, n_classes, norm_order=norm_order, power=run.power, generator=run.generator()
    )
    return network, facts


def network_of(record: Record, which: str = "last") -> networks.HiddenLayer:
    """The trained network, in evaluation mode.

    Args:
        record: of a :class:`HiddenNetwork`.
        which: "last", after the last epoch, or "best", of the best validation epoch.
    Raises: ValueError if the record does not hold it.
    """
    if not trained.holds_network(record):
        raise ValueError(
            f"record {record.path} does not hold the network: train it on this machine, in a"
            " notebook with retrain = True"
        )
    return _rebuilt(record.config, record.arrays, record.environment["architecture"], which)


def _rebuilt(
    run: HiddenNetwork, arrays: Mapping[str, np.ndarray], architecture: str, which: str
) -> networks.HiddenLayer:
    check_known("weights", which, ("last", "best"))
    state = trained.state(arrays)
    if which == "best":
        state |= trained.state(arrays, trained.BEST)
    n_in, n_units, n_classes = map(int, architecture.split("-"))
    if run.method != "kh":
        model = run.untrained(n_in, n_classes)
    else:
        if "linear.weight" in state:
            linear = networks.Frozen(state["linear.weight"])
        else:
            linear = _sparse_layer(state, n_in, n_units, "linear.")
        options = {"power": run.power, "generator": run.generator()}
        model = networks.HiddenLayer(linear, n_units, n_classes, **options).float()
    model.load_state_dict(state)
    return model.eval()


def network_numbers(record: Record) -> dict[str, Any]:
    """Numbers of a network for the summary."""
    final = record.environment["final"]
    return {
        "optimiser": "adam",
        "epochs": record.config.epochs,
        "best_accuracy": final["best_test_accuracy"],
        "last_accuracy": final["test_accuracy"],
        "final_accuracy": final["test_accuracy"],
    }
