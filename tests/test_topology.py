"""Graphs, degrees and paths against networkx."""

import itertools

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
    graph = topology.to_networkx(topology.to_matrices(supports))
    assert graph.number_of_nodes() == 12 + 15 + 9
    assert graph.number_of_edges() == sum(support.nnz for support in supports)
    row, col = int(supports[1].row[0]), int(supports[1].col[0])
    assert graph.has_edge((1, col), (2, row)) and nx.is_directed_acyclic_graph(graph)


def test_graph_of_a_model_has_its_weights():
    model = models.mlp((6, 8, 3), density=0.4)
    graph, dense = topology.to_networkx(model), model.linear1.to_dense().detach().numpy()
    inputs, hidden = ([(layer, i) for i in range(n)] for layer, n in enumerate((6, 8)))
    part = nx.to_numpy_array(graph, [*inputs, *hidden])
    np.testing.assert_array_equal(part[:6, 6:].T, dense)
    assert {data["layer"] for _, data in graph.nodes(data=True)} == {0, 1, 2}


def test_largest_degrees_are_reached_by_a_complete_network():
    widths = [5, 7, 6, 4, 3]
    arrays = {}
    for i, (n_in, n_out) in enumerate(itertools.pairwise(widths[:-1]), start=1):
        arrays[f"linear{i}.in_degree.0"] = np.full(n_out, n_in)
        arrays[f"linear{i}.out_degree.0"] = np.full(n_in, n_out)
    largest = topology.largest_degrees(widths)
    found = {name: max(links) for name, links in topology.degree_sequences(arrays, 0).items()}
    assert found == {name: largest[name] for name in found}


def test_degree_sequences_are_those_of_the_graph(supports):
    arrays = {}
    for name, support in zip(("linear1", "linear2"), supports, strict=True):
        arrays[f"{name}.in_degree.7"] = support.crow.diff().numpy().astype(np.int16)
        arrays[f"{name}.out_degree.7"] = support.tcrow.diff().numpy().astype(np.int16)
    graph = topology.to_networkx(topology.to_matrices(supports))
    actual = topology.degree_sequences(arrays, 7)
    desired = [[graph.degree[layer, i] for i in range(n)] for layer, n in enumerate((12, 15, 9))]
    for name, degrees in zip(("inputs", "hidden 1", "hidden 2"), desired, strict=True):
        np.testing.assert_array_equal(actual[name], degrees)
    into, out = ([side[1, i] for i in range(15)] for side in (graph.in_degree, graph.out_degree))
    np.testing.assert_array_equal(actual["hidden 1 in"], into)
    np.testing.assert_array_equal(actual["hidden 1 out"], out)


def test_layers_that_do_not_follow_each_other_are_refused(supports):
    with pytest.raises(ValueError, match="give consecutive layers"):
        topology.to_networkx(topology.to_matrices(supports[::-1]))


def test_support_without_links_gives_isolated_nodes():
    none = torch.empty(0, dtype=torch.int64)
    graph = topology.to_networkx(topology.to_matrices([make_support(none, none, 3, 4)]))
    assert nx.number_of_isolates(graph) == 7


@pytest.fixture
def degrees(supports):
    """Of two layers, as records hold them."""
    pairs = enumerate(supports, start=1)
    pointers = {
        f"linear{i}.{side}.7": pointer
        for i, support in pairs
        for side, pointer in (("in_degree", support.crow), ("out_degree", support.tcrow))
    }
    return {name: pointer.diff().numpy().astype(np.int16) for name, pointer in pointers.items()}


def test_random_degrees_keep_widths_and_links_of_every_layer(degrees, generator):
    drawn = topology.random_degrees(degrees, 7, generator=generator)
    assert {n: len(k) for n, k in drawn.items()} == {n: len(k) for n, k in degrees.items()}
    assert {n: k.sum() for n, k in drawn.items()} == {n: k.sum() for n, k in degrees.items()}
    assert not any(np.array_equal(drawn[name], degrees[name]) for name in degrees)
    again = topology.random_degrees(degrees, 7, generator=torch.Generator().manual_seed(1))
    assert not np.array_equal(again["linear1.in_degree.7"], drawn["linear1.in_degree.7"])


def test_random_degrees_are_of_the_epoch_asked_for(degrees, generator):
    thinner = {name.replace(".7", ".final"): k // 2 for name, k in degrees.items()}
    assert (
        topology.random_degrees(thinner | degrees, 7, generator=generator).keys() == degrees.keys()
    )
    assert topology.random_degrees(degrees, "final", generator=generator) == {}


def test_random_degrees_of_complete_layers_are_complete(generator):
    full = {"linear1.in_degree.0": np.full(4, 6), "linear1.out_degree.0": np.full(6, 4)}
    drawn = topology.random_degrees(full, 0, generator=generator)
    assert {name: k.tolist() for name, k in drawn.items()} == {
        n: k.tolist() for n, k in full.items()
    }


# paths and components

DENSITIES = [0.05, 0.1, 0.2, 0.5, 1.0]  # the first two leave inputs without a path
each_density = pytest.mark.parametrize("density", DENSITIES)


def layered(density):
    """Matrices of a network of three layers, and its graph with inputs and outputs."""
    generator = torch.Generator().manual_seed(0)
    widths = [(6, 8), (8, 7), (7, 4)]
    supports = [evolution.random_support(*w, density, generator=generator) for w in widths]
    model = torch.nn.Sequential(*(SparseLinear(s.n_in, s.n_out, support=s) for s in supports))
    graph = topology.to_networkx(topology.to_matrices(supports))
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
