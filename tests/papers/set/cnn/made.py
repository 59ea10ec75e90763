"""Small runs on digits, and records of networks that were never trained."""

import dataclasses

import numpy as np
import pandas as pd

from lib.runs.record import Record
from papers.set.cnn.training import CnnTraining, TopTraining
from papers.shared import trained as trained_records

SMALL = CnnTraining(
    "set_cnn",
    dataset="digits",
    method="rigl",
    drop="magnitude",
    grow="gradient",
    filters=(4, 6),
    hidden=(24, 20),
    er_epsilon=3.0,
    enlarge=2,
    epochs=3,
    batch_size=32,
    limit=96,
    test_images=50,
    augmentation=1.0,
)
TOP = TopTraining(
    "set_on_features",
    dataset="digits",
    extractor="tiny",
    method="set",
    drop="sign",
    hidden=(24, 20),
    er_epsilon=3.0,
    epochs=2,
)


def trained(method, seed, accuracies, **fields):
    """A record of a network on CIFAR-10 with these test accuracies after its epochs."""
    fields = {"dataset": "cifar10", "epochs": len(accuracies), **fields}
    run = CnnTraining("set_cnn", method=method, seed=seed, **fields)
    table = {"test_accuracy": accuracies, "valid_accuracy": np.nan, "links": 100}
    facts = {"final": {"test_accuracy": accuracies[-1] - 0.01, "links": 70}}
    return Record(run, pd.DataFrame(table), {}, facts, numbers=trained_records.numbers)


def watched(method, links, useful, seed=0):
    """A record with these links and usefulness of channels, (epochs + 1, C) each."""
    record = trained(method, seed, [0.5])
    arrays = {"channels.links": np.array(links), "channels.usefulness": np.array(useful)}
    return dataclasses.replace(record, arrays=arrays)
