"""Features that were never computed, and records of searches that were never made."""

import types

import numpy as np
import pandas as pd
import torch

from lib.data import Split
from papers.pruning import fronts, tasks
from papers.pruning.studies import COLUMNS, FrontStudy
from papers.pruning.training import MaskSearch, minimised

N_FEATURES, N_TELLING, N_CLASSES = 24, 6, 3


def split(seed=0, n=90, name="rsmas", shift=0.0, n_classes=N_CLASSES):
    """Three classes that the first six of 24 features tell."""
    rng = np.random.default_rng(seed)
    parts = {}
    for part in ("train", "valid", "test"):
        y = np.arange(n) % n_classes
        x = np.abs(rng.normal(size=(n, N_FEATURES))) + shift
        for label in range(n_classes):
            telling = slice(2 * label, 2 * label + 2)
            x[y == label, telling] += 2.5
        parts[f"x_{part}"] = torch.from_numpy(x).float()
        parts[f"y_{part}"] = torch.from_numpy(y)
    return Split(**parts, name=name, source="tiny", sha256="0")


def task(seed=0, n=90):
    """The task of such features, with strangers that are moved."""
    return tasks.of_split(split(seed, n), [split(seed + 1, n, "other", shift=1.5)])


SMALL = MaskSearch(
    "mask_search",
    dataset="digits",
    extractor="tiny",
    n_hidden=8,
    epochs=3,
    population=6,
    evaluations=14,
    train_images=60,
)


def searched(seed, table, method="nsga2", dataset="rsmas", variant="corrected", **fields):
    """A record of a search that found these accuracies, densities and AUROCs."""
    metrics = pd.DataFrame(table, columns=["accuracy", "density", "auroc"])
    run = MaskSearch(
        "mask_search", dataset=dataset, method=method, variant=variant, seed=seed, **fields
    )
    values = minimised(metrics.to_numpy(), run.measured)
    metrics.insert(0, "evaluation", np.arange(1, len(metrics) + 1))
    metrics["repeated"] = 0
    arrays = {"front": fronts.front(values)}
    return types.SimpleNamespace(config=run, metrics=metrics, arrays=arrays, environment={})


def studied(seed, rows, dataset="rsmas", method="nsga2", variant="corrected"):
    """A record of a study with these rows; what a row does not name is .5, its member 0."""
    parent = MaskSearch("mask_search", dataset=dataset, method=method, variant=variant, seed=seed)
    run = FrontStudy(
        "mask_fronts", parent=parent, dataset=dataset, method=method, variant=variant, seed=seed
    )
    plain = {name: 0.5 for name in COLUMNS if "_" in name or name == "density"}
    table = [{"member": 0, "seed": 0, "n": 1, "low": np.nan, **plain, **row} for row in rows]
    metrics = pd.DataFrame(table, columns=list(COLUMNS))
    return types.SimpleNamespace(config=run, metrics=metrics, arrays={}, environment={})
