"""Records of networks that were never trained, for tests of tables and pictures."""

import numpy as np
import pandas as pd

from lib.runs.record import Record
from papers.shared import trained
from papers.shared.sparse_training import SparseTraining


def learned(accuracies, links=100, **fields) -> Record:
    """A record with these test accuracies by epoch."""
    epochs = range(1, len(accuracies) + 1)
    history = {
        "epoch": epochs,
        "test_accuracy": accuracies,
        "valid_accuracy": accuracies,
        "train_loss": [1 / epoch for epoch in epochs],
        "links": links,
    }
    final = {"test_accuracy": accuracies[-1], "links": 70}
    facts = {"architecture": "9-4-4-4-10", "seconds": 60.0, "final": final}
    run = SparseTraining("made", epochs=len(accuracies), **fields)
    return Record(run, pd.DataFrame(history), {}, facts, numbers=trained.numbers)


def linked(layers, epochs=("final",), **fields) -> Record:
    """A record of the degrees of matrices (n_out, n_in) of zeros and ones, equal at all epochs."""
    arrays = {}
    for number, matrix in enumerate(map(np.array, layers), start=1):
        for epoch in epochs:
            arrays[f"linear{number}.in_degree.{epoch}"] = matrix.sum(axis=1)
            arrays[f"linear{number}.out_degree.{epoch}"] = matrix.sum(axis=0)
    run = SparseTraining("made", **fields)
    return Record(run, pd.DataFrame(), arrays, {})
