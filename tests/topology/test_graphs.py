"""Matrices and graphs of models, their components and paths against networkx."""

import copy
import itertools

import networkx as nx
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy import sparse

from lib import models, topology
from lib.topology import structure
from tests.topology.conftest import layered

each_density = pytest.mark.parametrize("density", [0.1, 0.5])  # .1 leaves inputs without a path


def neurons(layer, width):
    """Nodes of one layer of a graph."""
    return [(layer, index) for index in range(width)]


def network(density):
    """Matrices of a network of three layers, and its graph with inputs and outputs."""
    matrices = topology.to_matrices(layered(density))
    return matrices, topology.to_networkx(matrices), (neurons(0, 6), neurons(3, 4))


def edges(matrices):
    """Every link as an edge of the graph, in the order of the matrices."""
    every = []
    for layer, matrix in enumerate(matrices):
        for row, col in zip(*matrix.tocoo().coords, strict=True):
            every.append(((layer, col), (layer + 1, row)))
    return every


# matrices and graphs


@pytest.mark.parametrize("density", [0.3, None], ids=["sparse", "dense"])
def test_adjacency_marks_or_has_the_weights_that_are_not_zero(density):
    model = models.mlp((6, 8, 3), density=density)
    weight = model.linear1.values if density else model.linear1.weight.view(-1)
    weight.data[:5] = 0
    first, last = topology.adjacency(model)
    dense = model.linear1.to_dense() if density else model.linear1.weight
    assert_array_equal(first.toarray(), dense.detach().numpy() != 0)
    assert first.nnz == len(weight) - 5 and first.has_canonical_format
    assert last.shape == (3, 8) and last.nnz == 24 and last.dtype == np.float64
    weighted, _ = topology.adjacency(model, weighted=True)
    assert_array_equal(weighted.toarray(), dense.detach().numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matrices_share_no_memory_with_the_network(dtype):
    model = models.mlp((6, 8, 3), density=0.4).to(dtype)
    sparse, dense = models.mlp((6, 8, 3), density=1.0).to(dtype), models.mlp((6, 8, 3)).to(dtype)
    before = [copy.deepcopy(network.state_dict()) for network in (model, sparse, dense)]
    matrices = topology.to_matrices([model.linear1.support, sparse.linear1.support])
    for network in (model, sparse, dense):
        matrices += topology.adjacency(network, weighted=True)
    for matrix in matrices:
        for array in (matrix.data, matrix.indices, matrix.indptr):
            array[:] = 0
    for network, state in zip((model, sparse, dense), before, strict=True):
        assert all(torch.equal(network.state_dict()[name], was) for name, was in state.items())


def test_graph_of_a_model_has_its_weights():
    model = models.mlp((6, 8, 3), density=0.4)
    graph = topology.to_networkx(model)
    dense = model.linear1.to_dense().detach().numpy()
    nodes = neurons(0, 6) + neurons(1, 8)
    weights = nx.to_numpy_array(graph, nodes)
    assert_array_equal(weights[:6, 6:].T, dense)
    assert {data["layer"] for _, data in graph.nodes(data=True)} == {0, 1, 2}


def test_directed_graph_is_that_of_networkx(supports):
    matrices = topology.to_matrices(supports)
    nodes = neurons(0, 12) + neurons(1, 15) + neurons(2, 9)
    desired = nx.to_numpy_array(topology.to_networkx(matrices), nodes)
    actual = topology.directed_graph(matrices)
    assert_array_equal(actual.toarray().T, desired)


FORMATS = {
    "csr_array": sparse.csr_array,
    "csr_matrix": sparse.csr_matrix,
    "coo_array": sparse.coo_array,
    "coo_matrix": sparse.coo_matrix,
    "csc_array": sparse.csc_array,
    "lil_matrix": sparse.lil_matrix,
    "dense": lambda matrix: matrix.toarray(),
}
OF_MATRICES = {
    "to_networkx": lambda matrices: dict(topology.to_networkx(matrices).edges),
    "directed_graph": lambda matrices: topology.directed_graph(matrices).toarray(),
    "largest_component": topology.largest_component,
    "count_paths": topology.count_paths,
    "link_degree": topology.link_degree,
    "link_betweenness": topology.link_betweenness,
    "joined": lambda matrices: structure.joined(matrices).toarray(),
    "measures": lambda matrices: structure.measures(matrices, seed=0),
}


def made_by_hand():
    """Two layers in COO: halves that add up to a link, stored zeros, and a link that cancels."""
    first = [0.5, 0.5, 1, 0, 1, -1], ([0, 0, 1, 2, 2, 2], [1, 1, 0, 0, 1, 1])
    last = [0, 1, 0.75, 0.25], ([0, 1, 0, 0], [2, 0, 1, 1])
    return [sparse.coo_array(first, shape=(3, 2)), sparse.coo_array(last, shape=(2, 3))]


@pytest.mark.parametrize(
    ("function", "kind"),
    [*zip(OF_MATRICES.values(), itertools.cycle(FORMATS.values()))],
    ids=OF_MATRICES,
)
def test_matrices_made_by_hand_count_as_their_dense_form(kind, function):
    layers = made_by_hand()
    plain = [sparse.csr_array(layer.toarray()) for layer in layers]
    assert [layer.nnz for layer in plain] == [2, 2]
    assert_equal(function([kind(layer) for layer in layers]), function(plain))


def test_stored_zeros_and_repeated_entries_stay_in_what_was_given():
    data, col, crow = np.array([0.5, 0.5, 0.0]), np.array([1, 1, 0]), np.array([0, 2, 3])
    matrix = sparse.csr_array((data, col, crow), shape=(2, 2))
    assert topology.link_degree([matrix])[0].tolist() == [1.0]
    assert matrix.nnz == 3 and matrix.data.tolist() == [0.5, 0.5, 0.0]


# components and paths


@each_density
def test_largest_component_is_that_of_the_graph(density):
    matrices, graph, _ = network(density)
    components = nx.connected_components(graph.to_undirected())
    largest = max(components, key=len)
    assert topology.largest_component(matrices) == len(largest) / 25


@each_density
def test_paths_are_those_of_the_graph(density):
    matrices, graph, (inputs, outputs) = network(density)
    n_paths = 0
    for source in inputs:
        n_paths += len(list(nx.all_simple_paths(graph, source, outputs)))
    assert topology.count_paths(matrices) == n_paths


@each_density
def test_link_degrees_are_those_of_the_graph(density):
    matrices, graph, _ = network(density)
    desired = [graph.degree[u] * graph.degree[v] for u, v in edges(matrices)]
    actual = np.concatenate(topology.link_degree(matrices))
    assert_array_equal(actual, desired)


@each_density
def test_link_betweenness_is_that_of_the_graph(density):
    matrices, graph, (inputs, outputs) = network(density)
    centrality = nx.edge_betweenness_centrality_subset(graph, inputs, outputs, normalized=False)
    desired = [centrality[edge] for edge in edges(matrices)]
    actual = np.concatenate(topology.link_betweenness(matrices))
    assert_allclose(actual, desired, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("measure", ["count_paths", "directed_graph"])
def test_matrices_that_do_not_follow_each_other_are_refused(measure):
    matrices, _, _ = network(0.5)
    with pytest.raises(ValueError, match="layer 1 takes 8 inputs but layer 0 has 4 outputs"):
        getattr(topology, measure)(matrices[::-1])
    with pytest.raises(ValueError, match="no matrices: give one for each layer"):
        getattr(topology, measure)([])


@pytest.mark.parametrize("measure", ["count_paths", "link_degree", "link_betweenness"])
def test_weights_are_not_counted_as_links(measure):
    matrices, _, _ = network(0.5)
    with pytest.raises(ValueError, match="other weights than 1, and links are counted"):
        getattr(topology, measure)([0.5 * matrix for matrix in matrices])
