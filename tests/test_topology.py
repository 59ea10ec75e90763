"""Graphs and degrees against networkx; generated power laws are recovered."""

import networkx as nx
import numpy as np
import pytest
import torch

from lib import evolution, topology
from lib.support import make_support


@pytest.fixture
def supports(generator):
    widths = [(12, 15), (15, 9)]
    return [evolution.random_support(*w, 0.2, generator=generator) for w in widths]


def test_graph_has_every_link_once(supports):
    graph = topology.to_networkx(supports)
    assert graph.number_of_nodes() == 12 + 15 + 9
    assert graph.number_of_edges() == sum(support.nnz for support in supports)
    row, col = int(supports[1].row[0]), int(supports[1].col[0])
    assert graph.has_edge((1, col), (2, row)) and nx.is_directed_acyclic_graph(graph)


def test_hidden_degrees_are_those_of_the_graph(supports):
    arrays = {}
    for name, support in zip(("linear1", "linear2"), supports, strict=True):
        arrays[f"{name}.in_degree.7"] = support.crow.diff().numpy().astype(np.int16)
        arrays[f"{name}.out_degree.7"] = support.tcrow.diff().numpy().astype(np.int16)
    graph = topology.to_networkx(supports)
    actual = topology.hidden_degrees(arrays, 7)
    for layer, name in ((1, "linear1"), (2, "linear2")):
        width = len(actual[name])
        np.testing.assert_array_equal(actual[name], [graph.degree[layer, i] for i in range(width)])


def test_layers_that_do_not_follow_each_other_are_refused(supports):
    with pytest.raises(ValueError, match="give consecutive layers"):
        topology.to_networkx(supports[::-1])


@pytest.mark.parametrize("exponent", [2.1, 2.5, 3.5])
def test_exponent_of_a_generated_power_law_is_recovered(exponent, rng):
    degrees = rng.zipf(exponent, 5000)
    fit = topology.fit_power_law(degrees[degrees < 10**6])
    assert abs(fit["exponent"] - exponent) < 4 * fit["standard_error"]  # four standard errors


def test_random_degrees_get_a_steep_fit(rng):
    assert topology.fit_power_law(rng.poisson(45, 1000))["exponent"] > 5


def test_fit_counts_its_tail(rng):
    degrees = rng.zipf(2.5, 500)
    fit = topology.fit_power_law(degrees)
    assert fit["n_tail"] == (degrees >= fit["xmin"]).sum() and fit["n"] == 500


@pytest.mark.parametrize(
    "degrees", [np.full(100, 7), np.arange(1, 20), np.zeros(100)], ids=["equal", "few", "zeros"]
)
def test_degenerate_degrees_are_refused(degrees):
    with pytest.raises(ValueError, match="too few for a power-law fit"):
        topology.fit_power_law(degrees)


def test_support_without_links_gives_isolated_nodes():
    none = torch.empty(0, dtype=torch.int64)
    graph = topology.to_networkx([make_support(none, none, 3, 4)])
    assert nx.number_of_isolates(graph) == 7
