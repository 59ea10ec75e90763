"""Links of the trained networks at the end: maps of the input, neurons that are still linked."""

import numpy as np
import pandas as pd
import pytest

from lib.papers.adaptive_topology import links
from lib.papers.shared.labels import LABELS
from lib.papers.shared.sparse_training import SparseTraining
from lib.report import labels
from lib.runs.record import Record

labels.add(LABELS)


def trained_network(method: str = "set", seed: int = 0, **degrees: list[int]) -> Record:
    """A record of 4 pixels and layers of 2, 2 and 2 neurons, all with one link but some."""
    arrays = {"linear1.out_degree.0": np.full(4, 9)}
    for layer, n_in in (("linear1", 4), ("linear2", 2), ("linear3", 2)):
        arrays[f"{layer}.in_degree.final"] = np.ones(2, int)
        arrays[f"{layer}.out_degree.final"] = np.ones(n_in, int)
    for name, values in degrees.items():
        arrays[f"{name}_degree.final"] = np.array(values)
    run = SparseTraining("adaptive_topology", method=method, seed=seed)
    return Record(run, pd.DataFrame(), arrays, {})


def dense_network() -> Record:
    return Record(SparseTraining("adaptive_topology", method="dense"), pd.DataFrame(), {}, {})


def test_no_records_have_no_shares():
    shares = links.linked_neurons([])
    assert shares.empty and [*shares] == ["pixels", "hidden 1", "hidden 2", "hidden 3"]


def test_linked_neurons_are_shares_of_pixels_and_of_inputs_of_hidden_neurons():
    degrees = {"linear1.out": [0, 3, 1, 0], "linear3.in": [0, 4]}
    shares = links.linked_neurons([trained_network(**degrees)])
    assert shares.loc["adaptive_topology", "mnist", "set"].tolist() == [0.5, 1, 1, 0.5]


def test_linked_neurons_are_averaged_over_seeds():
    empty = trained_network(seed=1, **{"linear1.in": [0, 0]})
    shares = links.linked_neurons([trained_network(), empty, dense_network()])
    assert len(shares) == 1
    assert shares["hidden 1"].tolist() == pytest.approx([0.5])
