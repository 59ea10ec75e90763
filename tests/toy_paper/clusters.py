"""k-means, which is no network: its own kind of run, and its own loop with a checkpoint."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from lib import checkpoints, data
from lib.report.intervals import Measurement, t_interval
from lib.report.labels import Labels, look
from lib.runs.config import Run
from lib.runs.experiment import Contents, Experiment, Workspace
from lib.runs.record import Record

LABELS = Labels({"k_means": look("k-means", "#332288", "-")}, {"clusters": "10 clusters"})


@dataclass(frozen=True)
class Clustering(Run):
    """Lloyd's algorithm, from centres that are examples drawn by the seed."""

    dataset: str = "digits"
    method: str = "k_means"
    centres: int = 10
    steps: int = 10

    @property
    def size(self) -> int:
        """Progress is counted in steps."""
        return self.steps


def runs(profile: str) -> list[Clustering]:
    """Five seeds in every profile."""
    return [Clustering("clusters", seed=seed) for seed in range(5)]


def make(run: Clustering, workspace: Workspace) -> Contents:
    """Move the centres, from the start or from a checkpoint."""
    start = time.perf_counter()
    split = data.load(run.dataset)
    x = split.x_train.flatten(1)
    checkpoint = workspace.folder / "checkpoint.pt"
    state = begin(run, x, checkpoint)
    for step in range(len(state["explained"]), run.steps):
        state["centres"], explained = moved(state["centres"], x)
        state["explained"].append(explained)
        checkpoints.save(checkpoint, state)
        workspace.progress(step + 1)
    table = pd.DataFrame({"step": range(1, run.steps + 1), "explained": state["explained"]})
    facts = {
        "architecture": f"{x.shape[1]}, {run.centres} centres",
        "seconds": round(time.perf_counter() - start, 1),
        "data": {"source": split.source, "sha256": split.sha256},
    }
    return Contents(table, {"centres": state["centres"].numpy()}, facts)


def begin(run: Clustering, x: Tensor, checkpoint: Path) -> dict[str, Any]:
    """Where the checkpoint left off, or centres that are examples."""
    if checkpoint.exists():
        return checkpoints.load(checkpoint)
    generator = torch.Generator().manual_seed(run.seed)
    chosen = torch.randperm(len(x), generator=generator)[: run.centres]
    return {"centres": x[chosen], "explained": []}


def moved(centres: Tensor, x: Tensor) -> tuple[Tensor, float]:
    """Every centre at the mean of its examples, and the fraction of the variance explained by the
    centres there were.
    """
    distances, nearest = torch.cdist(x, centres).min(dim=1)
    explained = 1 - distances.square().mean() / x.var(0, correction=0).sum()
    means = centres.clone()
    for centre in nearest.unique():
        means[centre] = x[nearest == centre].mean(0)
    return means, explained.item()


def numbers(record: Record) -> dict[str, Any]:
    """What the summary says of a run."""
    return {"epochs": record.config.steps}


def explained(records: Sequence[Record]) -> Measurement | None:
    """Claim T01: the fraction of the variance that the clusters explain in the end."""
    if not records:
        return None
    return t_interval([record.metrics["explained"].iloc[-1] for record in records])


CLUSTERS = Experiment("clusters", runs, make, numbers)
