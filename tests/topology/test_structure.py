"""Measures of networks of layers against networkx, closed forms and planted structure."""

import functools
import itertools

import networkx as nx
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy import sparse

from lib import topology
from lib.support import make_support
from lib.topology import structure
from tests.oracles import seeded
from tests.topology.conftest import WIDTHS, layered

GRAPH_MEASURES = [
    "four_cycles",
    "four_cycle_clustering",
    "path_lengths",
    "mean_path_length",
    "assortativity",
    "core_numbers",
    "rich_club",
]
# the first leaves neurons without links and several components
each_density = pytest.mark.parametrize("density", [0.1, 0.6])
each_measure = pytest.mark.parametrize("name", [*GRAPH_MEASURES, "modularity"])


def both(density):
    """A random network as a graph of ours and of networkx."""
    matrices = topology.to_matrices(layered(density))
    oracle = topology.to_networkx(matrices).to_undirected()
    return structure.joined(matrices), oracle


def support_of(mask):
    n_out, n_in = mask.shape
    rows, cols = torch.as_tensor(mask).nonzero(as_tuple=True)
    return make_support(rows, cols, n_in, n_out)


def complete(n, m):
    return structure.joined([sparse.csr_array(np.ones((m, n)))])


def measure(name, graph):
    function = getattr(structure, name)
    if name == "modularity":
        return function(graph, seed=0)
    return function(graph)


# one graph


def lengths_of_paths(graph):
    """Of the shortest ones between different nodes."""
    reached = [
        length for _, of in nx.all_pairs_shortest_path_length(graph) for length in of.values()
    ]
    return np.array(reached)[np.array(reached) > 0]


def four_cycles_of(graph):
    return sum(len(cycle) == 4 for cycle in nx.simple_cycles(graph, length_bound=4))


ORACLES = {
    "adjacency": (lambda graph: graph.toarray(), nx.to_numpy_array),
    "four_cycles": (structure.four_cycles, four_cycles_of),
    "four_cycle_clustering": (
        structure.four_cycle_clustering,
        nx.bipartite.robins_alexander_clustering,
    ),
    "path_lengths": (
        structure.path_lengths,
        lambda graph: np.bincount(lengths_of_paths(graph))[1:],
    ),
    "mean_path_length": (structure.mean_path_length, lambda graph: lengths_of_paths(graph).mean()),
    "assortativity": (structure.assortativity, nx.degree_assortativity_coefficient),
    "core_numbers": (structure.core_numbers, lambda graph: [*nx.core_number(graph).values()]),
}


@each_density
@pytest.mark.parametrize(("ours", "theirs"), ORACLES.values(), ids=ORACLES)
def test_measure_is_that_of_networkx(ours, theirs, density):
    graph, oracle = both(density)
    assert_allclose(ours(graph), theirs(oracle), rtol=1e-11, atol=1e-13)


@each_measure
def test_graph_made_by_hand_counts_as_its_dense_form(name):
    links, _ = both(0.3)
    row, col = links.tocoo().coords
    halves = [np.full(2 * links.nnz, 0.5), np.zeros(3)]  # of each link, and three that are none
    places = [np.r_[row, row, [0, 0, 20]], np.r_[col, col, [0, 20, 0]]]
    graph = sparse.coo_matrix((np.concatenate(halves), places), shape=links.shape)
    assert_equal(measure(name, graph), measure(name, links))


@pytest.mark.parametrize("n", [1, 64, 65, 513])
def test_path_lengths_of_a_chain_are_its_closed_form(n):
    chain = nx.to_scipy_sparse_array(nx.path_graph(n + 1))
    desired = 2 * np.arange(n, 0, -1)
    assert_array_equal(structure.path_lengths(chain), desired)


@pytest.mark.parametrize("density", [0.1, 0.3, 0.6, 1.0])
def test_rich_club_is_that_of_networkx_at_the_quantile(density):
    graph, oracle = both(density)
    degrees = np.array([degree for _, degree in oracle.degree])
    exceeding = (degrees > degrees[:, None]).mean(axis=1)  # share of neurons above each
    k = degrees[exceeding <= 0.1].min()
    coefficients = nx.rich_club_coefficient(oracle, normalized=False)
    desired = coefficients.get(k, np.nan)
    assert_equal(structure.rich_club(graph), desired)


@each_density
def test_modularity_is_that_of_the_partition_of_networkx(density):
    graph, oracle = both(density)
    numbered = nx.convert_node_labels_to_integers(oracle)
    partition = nx.community.louvain_communities(numbered, seed=3)
    desired = nx.community.modularity(numbered, partition)
    actual = structure.modularity(graph, seed=3)
    assert actual == pytest.approx(desired, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "matrix"),
    [
        ("four_cycle_clustering", np.zeros((2, 3))),
        ("mean_path_length", np.zeros((2, 3))),
        ("assortativity", np.zeros((2, 3))),
        ("four_cycle_clustering", np.ones((1, 4))),  # a star has no path of three links
        ("assortativity", np.eye(4)),
        ("rich_club", np.ones((4, 4))),  # no neuron has more links than the others
    ],
)
def test_measure_of_a_degenerate_layer_is_nan(name, matrix):
    graph = structure.joined([sparse.csr_array(matrix)])
    assert np.isnan(measure(name, graph))


@pytest.mark.parametrize(
    ("name", "matrix"),
    [*zip(GRAPH_MEASURES, itertools.cycle(["lower", "loops", "weights", "oblong"]))],
)
def test_what_is_no_graph_is_refused(name, matrix):
    graph = complete(3, 3)
    bad = {
        "lower": sparse.tril(graph),
        "loops": graph + sparse.eye_array(6),
        "weights": graph * 2,
        "oblong": graph[:4],
    }
    with pytest.raises(ValueError, match="give what joined returns"):
        measure(name, bad[matrix].tocsr())


# one network


@each_density
def test_measures_are_those_of_networkx(density):
    matrices = topology.to_matrices(layered(density))
    oracle = topology.to_networkx(matrices).to_undirected()
    actual = structure.measures(matrices, seed=0)
    cores = list(nx.core_number(oracle).values())
    component = max(nx.connected_components(oracle), key=len)
    assert actual["largest_core_number"] == max(cores)
    assert actual["largest_core_size"] == cores.count(max(cores))
    assert actual["largest_component"] == len(component) / 25
    for name in set(ORACLES) & set(actual):
        ours, theirs = ORACLES[name]
        assert actual[name] == pytest.approx(theirs(oracle), rel=1e-11)
    assert set(map(type, actual.values())) == {float}


def test_complete_network_has_all_its_paths():
    matrices = topology.to_matrices(layered(1.0))
    assert structure.measures(matrices, seed=0)["n_paths"] == 6 * 8 * 7 * 4


@pytest.mark.parametrize("dtype", [bool, np.int8])
def test_dtype_of_the_matrices_does_not_matter(dtype):
    supports = layered(0.8, [(300, 20), (20, 9)])  # more than int8 counts
    matrices = topology.to_matrices(supports)
    others = [matrix.astype(dtype) for matrix in matrices]
    desired = structure.measures(matrices, seed=0)
    assert structure.measures(others, seed=0) == desired


def test_network_without_links_has_measures():
    empty = [sparse.csr_array((m, n)) for n, m in WIDTHS]
    actual = structure.measures(empty, seed=0)
    known = {name: value for name, value in actual.items() if not np.isnan(value)}
    assert known == {
        "largest_core_number": 0,
        "largest_core_size": 25,
        "n_paths": 0,
        "largest_component": 1 / 25,
    }


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        ([], "no matrices: give one for each layer"),
        ([np.ones((3, 2)), np.ones((3, 2))], "layer 1 takes 2 inputs but layer 0 has 3 outputs"),
        ([np.full((3, 2), 0.5)], "has other weights than 1"),
    ],
)
def test_what_are_no_layers_is_refused(matrices, message):
    with pytest.raises(ValueError, match=message):
        structure.joined(list(map(sparse.csr_array, matrices)))


# beside nulls


def table_of(supports, n_nulls):
    """The measures of a network beside its nulls, a row by name."""
    table = structure.beside_nulls(supports, n_nulls, generator=seeded(1))
    return table.set_index("measure")


@functools.cache
def nulls_of_a_random_network():
    return table_of(layered(0.1, [(60, 50), (50, 40)]), 20)


def test_nulls_keep_the_links_of_every_neuron_in_every_layer(monkeypatch):
    measures = structure.measures
    degrees, first_layers = [], set()

    def watched(matrices, seed):
        sums = []
        for matrix in matrices:
            sums += [matrix.sum(axis=0).tolist(), matrix.sum(axis=1).tolist()]
        degrees.append(sums)
        first_layers.add(tuple(matrices[0].toarray().ravel()))
        return measures(matrices, seed=seed)

    monkeypatch.setattr(structure, "measures", watched)
    structure.beside_nulls(layered(0.3), 4, generator=seeded(1))
    assert degrees == [degrees[0]] * 5
    assert len(first_layers) == 5


@pytest.mark.parametrize(("step", "spread"), [(1e-13, 0.0), (1e-11, 1e-11)])
def test_a_spread_of_rounding_is_none(step, spread, monkeypatch):
    values = iter([1.0, 1.0, 1 + step, 1 + 2 * step])
    names = structure.measures(topology.to_matrices(layered(0.3)), seed=0)
    monkeypatch.setattr(
        structure, "measures", lambda matrices, seed: dict.fromkeys(names, next(values))
    )
    null_sd = table_of(layered(0.3), 3)["null_sd"].drop("small_world_sigma")
    assert_allclose(null_sd, spread, rtol=1e-3, atol=0)


def test_value_is_the_measure_of_the_network():
    supports = layered(0.3)
    table = table_of(supports, 2)
    desired = structure.measures(topology.to_matrices(supports), seed=0)
    assert dict(table["value"].drop("small_world_sigma")) == desired


def test_random_network_is_like_its_nulls():
    table = nulls_of_a_random_network()
    assert table["z"].abs().max() < 4  # t with 19 degrees of freedom: 1 in 1,300
    assert table["z"].notna().sum() >= 7


def test_sigma_is_the_ratio_of_the_ratios():
    table = nulls_of_a_random_network()
    relative = table["value"] / table["null_mean"]
    desired = relative["four_cycle_clustering"] / relative["mean_path_length"]
    sigma = table.loc["small_world_sigma", "value"]
    assert sigma == pytest.approx(desired, rel=1e-12)


def test_planted_communities_are_far_from_their_nulls(rng):
    inside = np.kron(np.eye(4), np.ones((12, 12)))
    masks = [rng.random(inside.shape) < 0.4 * inside + 0.03 for _ in range(2)]
    supports = [support_of(mask) for mask in masks]
    table = table_of(supports, 20)
    far = ["four_cycle_clustering", "modularity", "small_world_sigma"]
    assert (table.loc[far, "z"] > 10).all()
    assert table.loc["small_world_sigma", "value"] > 1.5


@pytest.mark.parametrize(("n_nulls", "n_known"), [(0, 0), (1, 1), (2, 2)])
def test_few_nulls_have_no_spread_and_none_no_mean(n_nulls, n_known):
    table = table_of(layered(0.3), n_nulls)
    known = table[["null_mean", "null_sd"]].notna()
    assert known.all().sum() == n_known == known.any().sum()
    assert table["z"].notna().any() == (n_nulls > 1)


def test_network_that_cannot_change_has_no_z():
    table = table_of(layered(1.0), 3)
    assert (table["null_sd"].fillna(0) == 0).all()
    assert table["z"].isna().all()
    assert table.loc["small_world_sigma", "value"] == pytest.approx(1)


# two networks


def test_overlap_is_the_share_of_the_union():
    first = torch.rand(9, 7, generator=seeded(0)) < 0.4
    second = torch.rand(9, 7, generator=seeded(1)) < 0.4
    desired = float((first & second).sum() / (first | second).sum())
    actual = structure.overlap(support_of(first), support_of(second))
    assert actual == desired


def test_overlap_of_nothing_is_nan():
    assert np.isnan(structure.overlap(*[support_of(torch.zeros(3, 2))] * 2))


def test_supports_of_different_widths_are_refused():
    with pytest.raises(ValueError, match=r"widths \(6, 8\) and \(8, 7\) differ: give equal ones"):
        structure.overlap(*layered(0.3)[:2])
