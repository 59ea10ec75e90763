"""Degrees of made networks of two hidden layers, whose links are known."""

import numpy as np
import pandas as pd
import pytest

from lib.papers.set import degrees
from lib.papers.shared.labels import LABELS
from lib.papers.shared.sparse_training import SparseTraining
from lib.report import labels
from lib.runs.record import Record
from lib.topology import power_law

labels.add(LABELS)

START = {"linear1.out": [1, 1, 1], "linear1.in": [2, 1], "linear2.out": [1, 1], "linear2.in": [2]}
END = {"linear1.out": [3, 0, 0], "linear1.in": [3, 0], "linear2.out": [2, 0], "linear2.in": [2]}


def arrays_at(epoch, links) -> dict[str, np.ndarray]:
    return {f"{name}_degree.{epoch}": np.array(of_layer) for name, of_layer in links.items()}


def network(method="set", experiment="adaptive_topology", variant="tuned", **arrays) -> Record:
    run = SparseTraining(experiment, dataset="mnist", method=method, variant=variant)
    arrays = arrays_at(0, START) | arrays_at("final", END) | arrays
    return Record(run, pd.DataFrame(), arrays, {"architecture": "3-2-1-10"})


def as_lists(panels):
    return {
        panel: {line: values.tolist() for line, values in lines.items()}
        for panel, lines in panels.items()
    }


def test_sequences_are_of_inputs_and_whole_hidden_neurons():
    found = degrees.sequences(network(), "final")
    assert {name: links.tolist() for name, links in found.items()} == {
        "inputs": [3, 0, 0],
        "hidden 1": [5, 0],
        "hidden 2": [2],
    }


def test_epoch_that_was_not_recorded_has_no_sequences():
    assert degrees.sequences(network(), 7) == {}


def test_tails_stand_beside_start_and_random_drop():
    control = network("set_random_removal", **arrays_at("final", START))
    panels = as_lists(degrees.tails([network(), control], "mnist", 0))
    assert panels["inputs"] == {
        "SET, end": [3, 0, 0],
        "random start": [1, 1, 1],
        "SET, random drop": [1, 1, 1],
    }


def test_tails_end_with_the_published_settings():
    published = network(experiment="set_mlp", variant="published")
    panels = as_lists(degrees.tails([network(), published], "mnist", 0))
    assert list(panels)[-1] == "hidden 2, ε = 20, published"
    assert panels["hidden 2, ε = 20, published"]["SET, end"] == [2]


@pytest.mark.parametrize("choice", [("digits", 0), ("mnist", 1)])
def test_tails_of_what_was_not_run_are_none(choice):
    assert degrees.tails([network()], *choice) == {}


def test_spread_is_variance_over_mean():
    record = network(**arrays_at(1, START), **arrays_at(2, END))
    table = degrees.spread([record]).set_index(["epoch", "neurons"])["ratio"]
    assert table[1, "inputs"] == 0
    assert table[2, "inputs"] == pytest.approx(2.0)  # of 3, 0, 0: variance 2, mean 1
    assert sorted(set(table.index.get_level_values("epoch"))) == [1, 2]


def test_rank_correlation_is_the_median_over_hidden_layers():
    links = [np.repeat([1, 2, 3, 4], n) for n in ([9, 5, 2, 1], [1, 2, 5, 9])]
    none = np.zeros(17, int)
    arrays = {
        "linear1.out_degree.5": none,
        "linear1.in_degree.5": links[0],
        "linear2.out_degree.5": none,
        "linear2.in_degree.5": links[1],
    }
    table = degrees.rank_correlations([network(**arrays)])
    desired = np.median([power_law.frequency_correlation(of_layer) for of_layer in links])
    assert table.loc[("width 1000", "tuned", "MNIST"), 5] == pytest.approx(desired)


def trained_record(keep_links: bool) -> Record:
    """The untrained network as if it were the end: start and end agree."""
    run = SparseTraining("set_mlp", dataset="digits", method="set", hidden=(20, 10), density=0.1)
    widths = (64, *run.hidden, 10)
    arrays = {}
    if keep_links:
        state = run.model(widths).state_dict()
        arrays = {f"state.{name}": tensor.numpy() for name, tensor in state.items()}
    facts = {"architecture": "-".join(map(str, widths))}
    return Record(run, pd.DataFrame(), arrays, facts)
