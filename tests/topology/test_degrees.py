"""Tables of degrees, the sequences of their groups and their distributions."""

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from lib import topology
from lib.topology import degrees as tables
from tests.topology.conftest import names_of

# the table


def test_table_has_a_row_for_each_name():
    first, last = np.array([1, 2]), np.array([3])
    arrays = {"linear1.in_degree.10": first, "linear1.out_degree.final": last}
    table = tables.from_names(arrays)
    assert table.columns.tolist() == ["layer", "side", "epoch", "links"]
    assert table["layer"].tolist() == ["linear1", "linear1"]
    assert table["side"].tolist() == ["in", "out"]
    assert table["epoch"].tolist() == [10, "final"]
    assert table["links"][0] is first and table["links"][1] is last


@pytest.mark.parametrize(
    "name",
    ["linear1.links.0", "in_degree.0", "linear1.in_degree.best"],
)
def test_names_that_are_no_degrees_are_left_out(name):
    table = tables.from_names({name: np.ones(3), "linear2.out_degree.0": np.ones(3)})
    assert table["layer"].tolist() == ["linear2"]


def test_table_of_nothing_has_no_epochs():
    table = tables.from_names({})
    assert table.empty and topology.recorded_epochs(table) == []
    assert topology.degree_sequences(table, "final") == {}


def test_layers_keep_the_order_of_their_names():
    arrays = {f"linear{i}.in_degree.0": np.ones(i) for i in (2, 10, 1)}
    table = tables.from_names(arrays)
    assert table["layer"].tolist() == ["linear2", "linear10", "linear1"]


@pytest.mark.parametrize(
    ("epochs", "desired"),
    [
        ([10, "final", 2, 0], [0, 2, 10, "final"]),
        (["final"], ["final"]),
        ([5, 5, 1], [1, 5]),
    ],
)
def test_epochs_are_in_order_with_the_final_one_last(epochs, desired):
    assert topology.recorded_epochs(pd.DataFrame({"epoch": epochs})) == desired


def test_degrees_at_are_the_links_of_one_row(supports):
    arrays = names_of(supports, 7) | names_of(supports[::-1], "final")
    table = tables.from_names(arrays)
    actual = topology.degrees_at(table, "linear2", "out", 7)
    assert actual is arrays["linear2.out_degree.7"]
    actual = topology.degrees_at(table, "linear1", "in", "final")
    assert actual is arrays["linear1.in_degree.final"]


@pytest.mark.parametrize(
    ("row", "missing"),
    [
        (("linear3", "in", 7), "layer 'linear3', side 'in', after epoch 7"),
        (("linear1", "in", "last"), "layer 'linear1', side 'in', after epoch 'last'"),
    ],
)
def test_missing_degrees_are_named_with_what_is_recorded(row, missing, supports):
    table = tables.from_names(names_of(supports, "final") | names_of(supports, 7))
    recorded = r"recorded are layers \['linear1', 'linear2'\], epochs \[7, 'final'\]"
    with pytest.raises(ValueError, match=f"no degrees of {missing}: {recorded}"):
        topology.degrees_at(table, *row)


# the groups


def test_degree_sequences_are_those_of_the_graph(supports):
    graph = topology.to_networkx(topology.to_matrices(supports))
    actual = topology.degree_sequences(tables.from_names(names_of(supports, 7)), 7)
    assert list(actual) == ["inputs", "hidden 1", "hidden 1 in", "hidden 1 out", "hidden 2"]
    assert {links.dtype for links in actual.values()} == {np.dtype(np.int64)}
    groups = [("inputs", 12), ("hidden 1", 15), ("hidden 2", 9)]
    for layer, (name, width) in enumerate(groups):
        desired = [graph.degree[layer, i] for i in range(width)]
        assert_array_equal(actual[name], desired)
    into = [graph.in_degree[1, i] for i in range(15)]
    out = [graph.out_degree[1, i] for i in range(15)]
    assert_array_equal(actual["hidden 1 in"], into)
    assert_array_equal(actual["hidden 1 out"], out)


def test_hidden_groups_are_found_beyond_nine():
    largest = topology.largest_degrees([3] * 14)
    names = [f"hidden {i}" for i in range(1, 13)]
    assert list(topology.hidden_groups(largest)) == names


def test_largest_degrees_are_reached_by_a_complete_network():
    widths = [5, 7, 6, 4, 3]
    arrays = {}
    for i, (n_in, n_out) in enumerate(itertools.pairwise(widths[:-1]), start=1):
        arrays[f"linear{i}.in_degree.0"] = np.full(n_out, n_in)
        arrays[f"linear{i}.out_degree.0"] = np.full(n_in, n_out)
    largest = topology.largest_degrees(widths)
    sequences = topology.degree_sequences(tables.from_names(arrays), 0)
    assert set(sequences) == set(largest) - {"hidden 3 in", "hidden 3 out"}
    for name, links in sequences.items():
        assert max(links) == largest[name]


# the distributions


def test_ccdf_is_the_share_with_at_least_as_many_links(rng):
    degrees = rng.poisson(3, 200)
    k, share = topology.ccdf(degrees)
    assert_array_equal(k, sorted(set(degrees)))
    at_least = degrees >= k[:, None]
    assert_array_equal(share, at_least.mean(axis=1))
