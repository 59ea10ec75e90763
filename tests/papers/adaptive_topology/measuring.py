"""Untrained small networks, their records, and studies of them."""

import types

import pandas as pd
import torch

from lib.runs.record import Record
from papers.shared.sparse_training import SparseTraining
from papers.shared.study import Study

SMALL = {
    "images": 60,
    "draws": 2,
    "points": 3,
    "steps": 4,
    "restarts": 1,
    "queries": 10,
    "bisections": 2,
}
WIDTHS = (64, 30, 30, 20, 10)


def training(density, method="set"):
    hidden = WIDTHS[1:-1]
    return SparseTraining("made", dataset="digits", method=method, hidden=hidden, density=density)


def network(density):
    standardisation = torch.tensor(0.3), torch.tensor(0.4)
    return training(density).model(WIDTHS, standardisation).eval()


def record_of(model):
    """The record of an untrained network."""
    sparse = "linear1.values" in model.state_dict()
    arrays = {f"state.{name}": value.numpy() for name, value in model.state_dict().items()}
    facts = {"architecture": "-".join(map(str, WIDTHS))}
    return Record(training(0.1 if sparse else None), pd.DataFrame(), arrays, facts)


def study(experiment, method="set", **fields):
    parent = SparseTraining("made", dataset="digits", method=method)
    fields = {**SMALL, **fields}
    return Study(experiment, dataset="digits", method=method, parent=parent, **fields)


def record(experiment, metrics, arrays=None, **fields):
    """What the summaries take of a record of a study: a table with given columns."""
    run = study(experiment, **{"hidden": (30, 30, 20), **fields})
    facts = {"architecture": "64-30-10"}
    return types.SimpleNamespace(
        config=run, metrics=pd.DataFrame(metrics), arrays=arrays or {}, environment=facts
    )
