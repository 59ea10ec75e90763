"""Graphs, degrees and paths against networkx; generated power laws are recovered."""

import networkx as nx
import numpy as np
import pytest
import torch

from lib import evolution, models, topology
from lib.layers import SparseLinear
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


# paths and components

DENSITIES = [0.05, 0.1, 0.2, 0.5, 1.0]  # the first two leave inputs without a path
each_density = pytest.mark.parametrize("density", DENSITIES)


def layered(density):
    """Matrices of a network of three layers, and its graph with inputs and outputs."""
    generator = torch.Generator().manual_seed(0)
    widths = [(6, 8), (8, 7), (7, 4)]
    supports = [evolution.random_support(*w, density, generator=generator) for w in widths]
    model = torch.nn.Sequential(*(SparseLinear(s.n_in, s.n_out, support=s) for s in supports))
    graph = topology.to_networkx(supports)
    ends = [[(layer, i) for i in range(n)] for layer, n in ((0, 6), (3, 4))]
    return topology.adjacency(model), graph, ends


def edges(matrices):
    """Every link as an edge of the graph, in the order of the matrices."""
    links = [zip(*m.tocoo().coords, strict=True) for m in matrices]
    return [((i, c), (i + 1, r)) for i, layer in enumerate(links) for r, c in layer]


@pytest.mark.parametrize("density", [0.3, None], ids=["sparse", "dense"])
def test_adjacency_marks_the_weights_that_are_not_zero(density):
    model = models.mlp((6, 8, 3), density=density)
    weight = model.linear1.values if density else model.linear1.weight.view(-1)
    weight.data[:5] = 0
    first, last = topology.adjacency(model)
    dense = model.linear1.to_dense() if density else model.linear1.weight
    np.testing.assert_array_equal(first.toarray(), dense.detach().numpy() != 0)
    assert first.nnz == len(weight) - 5 and first.has_canonical_format
    assert last.shape == (3, 8) and last.nnz == 24 and last.dtype == np.float64


@each_density
def test_largest_component_is_that_of_the_graph(density):
    matrices, graph, _ = layered(density)
    sizes = [len(c) for c in nx.connected_components(graph.to_undirected())]
    assert topology.largest_component(matrices) == max(sizes) / 25


@each_density
def test_paths_are_those_of_the_graph(density):
    matrices, graph, (inputs, outputs) = layered(density)
    pairs = [nx.all_simple_paths(graph, s, outputs) for s in inputs]
    assert topology.count_paths(matrices) == sum(len(list(paths)) for paths in pairs)


@each_density
def test_link_degrees_are_those_of_the_graph(density):
    matrices, graph, _ = layered(density)
    desired = [graph.degree[u] * graph.degree[v] for u, v in edges(matrices)]
    np.testing.assert_array_equal(np.concatenate(topology.link_degree(matrices)), desired)


@each_density
def test_link_betweenness_is_that_of_the_graph(density):
    matrices, graph, (inputs, outputs) = layered(density)
    centrality = nx.edge_betweenness_centrality_subset(graph, inputs, outputs, normalized=False)
    desired = [centrality[edge] for edge in edges(matrices)]
    actual = np.concatenate(topology.link_betweenness(matrices))
    np.testing.assert_allclose(actual, desired, rtol=1e-12, atol=1e-12)


@each_density
def test_links_of_each_layer_share_the_connected_pairs(density):
    matrices, graph, (inputs, outputs) = layered(density)
    n_pairs = sum(nx.has_path(graph, s, t) for s in inputs for t in outputs)
    sums = [layer.sum() for layer in topology.link_betweenness(matrices)]
    np.testing.assert_allclose(sums, [n_pairs] * 3, rtol=1e-12)


def test_complete_network_has_its_closed_forms():
    matrices = topology.adjacency(models.mlp((20, 300, 200, 10)))
    assert topology.count_paths(matrices) == 20 * 300 * 200 * 10
    assert topology.largest_component(matrices) == 1
    actual = [(layer.min(), layer.max()) for layer in topology.link_betweenness(matrices)]
    desired = [20 * 10 / (a * b) for a, b in ((20, 300), (300, 200), (200, 10))]
    np.testing.assert_allclose(actual, np.stack([desired, desired], axis=1), rtol=1e-12)


def test_network_without_links_has_single_neurons_and_no_paths():
    matrices = [matrix * 0 for matrix in layered(1.0)[0]]
    empty = [type(matrix)(matrix.shape) for matrix in matrices]
    assert topology.largest_component(empty) == 1 / 25
    assert topology.count_paths(empty) == 0
    assert [len(layer) for layer in topology.link_betweenness(empty)] == [0, 0, 0]


@pytest.mark.parametrize(
    "measure", ["largest_component", "count_paths", "link_degree", "link_betweenness"]
)
def test_matrices_that_do_not_follow_each_other_are_refused(measure):
    matrices = layered(0.5)[0]
    with pytest.raises(ValueError, match="layer 1 takes 8 inputs but layer 0 has 4 outputs"):
        getattr(topology, measure)(matrices[::-1])
    with pytest.raises(ValueError, match="no matrices: give one for each layer"):
        getattr(topology, measure)([])


def test_active_neurons_have_links_on_both_sides():
    degrees = {
        "linear1.in_degree.final": np.array([1, 0, 2, 3]),
        "linear1.out_degree.final": np.array([3, 3]),
        "linear2.in_degree.final": np.array([0, 2]),
        "linear2.out_degree.final": np.array([1, 1, 0, 0]),
    }
    assert topology.active_neurons(degrees, "final") == {"hidden 1": 0.25, "hidden 2": 0.5}
    assert topology.active_neurons(degrees, 0) == {}
