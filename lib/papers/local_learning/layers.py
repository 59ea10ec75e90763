"""The runs that learn a layer locally, and what their records hold.

All images are divided by their own L3 norm first. A layer is looked at after some of its epochs:
its spectrum, what a read-out makes of it, and how many units have left their start.
"""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from torch import Tensor

from lib import checkpoints, data
from lib.layers import SparseLinear
from lib.papers.local_learning import krotov_hopfield as kh
from lib.papers.local_learning import networks, spectra
from lib.papers.local_learning.sparse_rule import EVOLUTION, learn_sparse
from lib.runs.config import Run
from lib.runs.experiment import Contents, Workspace
from lib.runs.record import Record
from lib.support import make_support

LOOKED_AT = (0, 1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 250, 300, 400, 500, 700, 1000)
FIELDS = "fields."  # first part of the names of arrays of receptive fields
N_FIELDS = 20  # units whose weights are shipped
PROBE = {"images": 5000, "epochs": 30}  # of the read-out by which a layer is looked at
SPECTRUM_IMAGES = 5000
CHANGED = 0.9  # cosine with its start, below which a unit has changed


@dataclass(frozen=True)
class LocalLayer(Run):
    """A layer learned by the rule of Krotov and Hopfield, without labels.

    Args:
        n_units, epochs, batch_size, step_size, norm_order, rank, anti_hebbian: see
            :class:`lib.papers.local_learning.krotov_hopfield.KrotovHopfield`.
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

    def settings(self) -> kh.KrotovHopfield:
        """How it learns. Raises ValueError if a value is out of range."""
        names = {field.name for field in dataclasses.fields(kh.KrotovHopfield)}
        return kh.KrotovHopfield(**{name: v for name, v in vars(self).items() if name in names})

    def check_table(self, metrics: pd.DataFrame) -> None:
        """Refuse a table that lacks epochs. Raises ValueError."""
        if len(metrics) != self.epochs + 1:
            raise ValueError(f"its table holds {len(metrics)} of {self.epochs + 1} epochs")


# ------------------------------------------------------------------------------ what it makes


def make_layer(run: LocalLayer, workspace: Workspace) -> Contents:
    """Learn the layer of a run, from its checkpoint if there is one."""
    start = time.perf_counter()
    split = data.load_once(run.dataset, limit=run.limit)
    images = networks.unit_norm(split.x_train.float())
    probed = _Probe(run)
    looks = _Looks(workspace.folder / "looks.pt")
    for epoch in looked_at(run.epochs):
        if epoch in looks.rows:
            continue
        layer, metrics = _learned(run, images, workspace, epoch)
        looks.add_(epoch, probed(layer))
    layer, metrics = _learned(run, images, workspace, run.epochs)
    table = pd.DataFrame([{"epoch": 0}, *metrics])
    seen = pd.DataFrame([{"epoch": epoch, **row} for epoch, row in looks.rows.items()])
    arrays = {FIELDS + str(epoch): fields.numpy() for epoch, fields in looks.fields.items()}
    if isinstance(layer, SparseLinear):
        for name, tensor in layer.state_dict().items():
            arrays[f"layer.{name}"] = tensor.numpy()
    else:
        arrays["layer.weight"] = layer.numpy()
    facts = {
        "architecture": f"{images.shape[1]}-{run.n_units}",
        "final": {"probe_accuracy": float(seen["probe_accuracy"].iloc[-1])},
        "seconds": round(time.perf_counter() - start, 1),
        "data": {"source": split.source, "sha256": split.sha256},
    }
    return Contents(table.merge(seen, on="epoch", how="left"), arrays, facts)


def looked_at(epochs: int) -> list[int]:
    """The epochs after which a layer is looked at, the last among them."""
    return [*(epoch for epoch in LOOKED_AT if epoch < epochs), epochs]


def _learned(
    run: LocalLayer, images: Tensor, workspace: Workspace, epoch: int
) -> tuple[Tensor | SparseLinear, list[dict[str, Any]]]:
    """The layer after an epoch, its weights or its links, and its table."""
    if epoch == 0:
        return start_of(run, images.shape[1]), []
    options = {
        "seed": run.seed,
        "checkpoint": workspace.folder / "checkpoint.pt",
        "stop_after": epoch,
        "on_epoch": lambda learned: workspace.progress(learned.epoch),
    }
    if run.density is None:
        learned = kh.learn(images, run.settings(), **options)
        return learned.weight, learned.metrics
    evolution = EVOLUTION if run.evolving else None
    sparse = learn_sparse(
        images, run.settings(), density=run.density, evolution=evolution, **options
    )
    return sparse.layer, sparse.metrics


def start_of(run: LocalLayer, n_in: int) -> Tensor | SparseLinear:
    """The layer before its first epoch."""
    generator = torch.Generator().manual_seed(run.seed)
    if run.density is None:
        return torch.randn(run.n_units, n_in, generator=generator, dtype=torch.float32)
    return SparseLinear(
        n_in,
        run.n_units,
        density=run.density,
        bias=False,
        start=1.0,
        generator=generator,
        dtype=torch.float32,
    )


def dense_weights(layer: Tensor | SparseLinear) -> Tensor:
    """(n_units, n_in) float, zeros where there is no link."""
    return layer.to_dense().detach() if isinstance(layer, SparseLinear) else layer


class _Looks:
    """What was seen of a layer after some epochs, kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        state = checkpoints.load(path) if path.exists() else {"rows": {}, "fields": {}}
        self.rows: dict[int, dict[str, float]] = state["rows"]
        self.fields: dict[int, Tensor] = state["fields"]

    def add_(self, epoch: int, seen: tuple[dict[str, float], Tensor]) -> None:
        row, self.fields[epoch] = seen
        self.rows[epoch] = {name: float(value) for name, value in row.items()}
        checkpoints.save(self.path, {"rows": self.rows, "fields": self.fields})


class _Probe:
    """Looks at a layer: its spectrum, what a read-out makes of it, and units that have changed."""

    def __init__(self, run: LocalLayer) -> None:
        self.run = run
        n_validation = 5000 if run.dataset != "digits" else 200
        split = data.load_once(run.dataset, validation=n_validation, limit=PROBE["images"])
        self.split = networks.unit_norm_split(split)
        self.images = networks.unit_norm(split.x_test[:SPECTRUM_IMAGES].float())
        self.start = dense_weights(start_of(run, self.images.shape[1]))

    def __call__(self, layer: Tensor | SparseLinear) -> tuple[dict[str, float], Tensor]:
        weight = dense_weights(layer)
        eigenvalues = spectra.covariance_eigenvalues(
            kh.overlaps(self.images, weight, norm_order=self.run.norm_order)
        )
        ranks = spectra.within(spectra.RANGE, eigenvalues)
        fit = spectra.fit(eigenvalues, ranks)
        cosine = torch.cosine_similarity(weight, self.start, dim=1)
        row = {
            "exponent": fit.exponent,
            "r_squared": fit.r_squared,
            "changed": (cosine < CHANGED).double().mean().item(),
            "mean_norm": kh.norms(weight, self.run.norm_order).mean().item(),
            "probe_accuracy": self._accuracy(weight),
        }
        return row, weight[:N_FIELDS].half().float().clone()

    def _accuracy(self, weight: Tensor) -> float:
        """Accuracy on validation images of a read-out that was trained for some epochs."""
        network = networks.krotov_hopfield_network(
            weight,
            self.split.n_classes,
            norm_order=self.run.norm_order,
            generator=torch.Generator().manual_seed(self.run.seed),
        )
        settings = networks.Published(epochs=PROBE["epochs"], batch_size=500, law="constant")
        history = networks.fit_readout(
            network, self.split, settings, seed=self.run.seed, evaluate_test=False
        )
        return max(row["valid_accuracy"] for row in history.metrics)


def keep_fields(record: Record, name: str) -> bool:
    """What is shipped of a layer: receptive fields of seed 0."""
    return name.startswith(FIELDS) and record.config.seed == 0


def holds_layer(record: Record) -> bool:
    """Whether a record holds the weights of its layer."""
    return any(name.startswith("layer.") for name in record.arrays)


def layer_of(record: Record) -> Tensor | SparseLinear:
    """The layer that was learned. Raises ValueError if the record does not hold it."""
    if not holds_layer(record):
        raise ValueError(
            f"record {record.path} does not hold the layer: learn it on this machine, in a notebook"
            " with retrain = True"
        )
    arrays = record.arrays
    if "layer.weight" in arrays:
        return torch.from_numpy(arrays["layer.weight"])
    n_in = int(record.environment["architecture"].split("-")[0])
    return sparse_layer(arrays, n_in, record.config.n_units, "layer.")


def sparse_layer(arrays: Mapping[str, Any], n_in: int, n_units: int, start: str) -> SparseLinear:
    """The sparse layer whose links and values have names that start so."""
    crow = torch.as_tensor(arrays[f"{start}crow"]).long()
    col = torch.as_tensor(arrays[f"{start}col"]).long()
    rows = torch.arange(n_units).repeat_interleave(crow.diff())
    layer = SparseLinear(
        n_in,
        n_units,
        support=make_support(rows, col, n_in, n_units),
        bias=False,
        start=0.0,
        generator=torch.Generator(),
        dtype=torch.float32,
    )
    layer.replace_values_(torch.as_tensor(arrays[f"{start}values"]).float())
    return layer


def layer_numbers(record: Record) -> dict[str, Any]:
    """What the summary says of a layer."""
    return {"epochs": record.config.epochs}
