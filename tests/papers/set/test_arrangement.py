"""How links are arranged: orders, rows beside nulls, turnover and likeness of seeds."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from lib.papers.set import arrangement, links
from lib.support import random_support
from lib.topology import structure, to_matrices
from tests.papers.untrained import with_links

FIRST = [[0, 1, 0], [1, 1, 1], [0, 0, 0]]
SECOND = [[1, 1, 0], [0, 1, 1]]
ROWS = [  # method, epoch, measure, value, null_mean, z, n_nulls
    ("fixed", "final", "rich_club", 1.0, 2.0, 0.0, 20),
    ("set", "10", "rich_club", 3.0, 2.0, 1.0, 20),
    ("set", "final", "rich_club", 5.0, 2.0, 2.0, 20),
    ("set", "final", "n_paths", 5.0, 5.0, 0.0, 20),
    ("fixed", "final", "overlap with start, layer 1", 1.0, np.nan, np.nan, np.nan),
    ("set", "0", "overlap with start, layer 1", 1.0, np.nan, np.nan, np.nan),
    ("set", "final", "overlap with start, layer 1", 0.1, np.nan, np.nan, np.nan),
]


@pytest.fixture
def table():
    columns = ["method", "epoch", "measure", "value", "null_mean", "z", "n_nulls"]
    seeds = [pd.DataFrame(ROWS, columns=columns).assign(seed=seed) for seed in (0, 1)]
    return pd.concat(seeds).assign(dataset="mnist")


@pytest.fixture
def measured(table):
    return arrangement.beside_nulls(table)


# pictures


def test_neurons_with_most_links_come_first():
    down, right = arrangement.degree_order(scipy.sparse.csr_array(np.array(FIRST)))
    assert down.tolist() == [1, 0, 2]
    assert right.tolist() == [1, 0, 2]


@pytest.mark.parametrize(("layer", "links_in"), [(1, [3, 1, 0]), (2, [2, 2])])
def test_layers_are_shown_in_their_order(layer, links_in):
    fields = {"dataset": "mnist", "drop": "sign"}
    runs = links.by_run([with_links([FIRST, SECOND], **fields, method=m) for m in ("set", "fixed")])
    layers = arrangement.ordered_layers(
        runs, "mnist", ["fixed", "set"], 0, layer, arrangement.degree_order
    )
    assert list(layers) == ["random start", "SET"]
    assert layers["SET"].sum(axis=1).tolist() == links_in


# beside nulls


def test_measures_without_nulls_are_left_out(measured):
    assert set(measured["measure"]) == {"rich club", "n paths"}
    assert measured["ratio"].tolist() == [0.5, 1.5, 2.5, 1] * 2


def test_table_that_was_given_stays_as_it_is(table):
    before = table.copy()
    arrangement.beside_nulls(table)
    pd.testing.assert_frame_equal(table, before)


def test_summary_is_over_seeds(measured):
    summary = arrangement.summary(measured)
    assert (summary["n"] == 2).all() and len(summary) == 4
    wide = arrangement.at_end(summary)
    assert wide.loc[("rich club", "MNIST"), ("ratio", "SET")] == 2.5
    assert wide.loc[("rich club", "MNIST"), ("z", "fixed random support")] == 0


def test_start_of_every_method_is_the_fixed_network(measured):
    steps = arrangement.in_steps(measured, ["rich club"], ["set"])
    assert set(steps["method"]) == {"set"}
    assert steps.groupby("step")["value"].first().to_dict() == {0: 1.0, 1: 3.0, 2: 5.0}


def test_turnover_is_that_of_evolving_networks_in_training(table):
    turnover = arrangement.turnover(table)
    assert turnover["epoch"].tolist() == [0, 0]
    assert set(turnover["what"]) == {"with start, layer 1"}


# likeness


@pytest.fixture
def runs(generator):
    """Two seeds of a network of two layers."""
    records = []
    for seed in (0, 1):
        supports = [random_support(20, 20, 0.1, generator=generator) for _ in range(2)]
        layers = [matrix.toarray() for matrix in to_matrices(supports)]
        records.append(with_links(layers, dataset="mnist", drop="sign", seed=seed))
    return links.by_run(records)


def test_likeness_has_a_row_a_layer_of_every_other_seed(runs, generator):
    table = arrangement.likeness(runs, 0, generator=generator)
    assert table[["dataset", "method"]].drop_duplicates().values.tolist() == [["MNIST", "SET"]]
    assert table["layer"].tolist() == [1, 2]
    layers = [arrangement.trained.supports_at(record, "final") for record in runs.values()]
    desired = list(map(structure.overlap, *layers))
    assert table["by name"].tolist() == desired
    matched = structure.matched_overlap(*map(to_matrices, layers))
    assert table["matched"].tolist() == pytest.approx(list(matched))


def test_likeness_of_equal_networks_is_whole_by_name_and_matched(runs, generator):
    first = runs["mnist", "set", 0]
    equal = {("mnist", "set", 0): first, ("mnist", "set", 1): first}
    table = arrangement.likeness(equal, 0, generator=generator)
    assert (table[["by name", "matched"]] == 1).all(axis=None)
    assert (table["by name, same degrees"] < 1).all()


def test_likeness_repeats_itself_with_the_same_generator(runs):
    tables = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(1)
        tables.append(arrangement.likeness(runs, 0, generator=generator))
    pd.testing.assert_frame_equal(*tables)
