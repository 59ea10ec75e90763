"""Measures of networks of layers against networkx, closed forms and planted structure."""

import functools
import math

import networkx as nx
import numpy as np
import pytest
import torch
from scipy import sparse

from lib import evolution, models, structure, topology
from lib.support import make_support

WIDTHS = [(6, 8), (8, 7), (7, 4)]
GRAPH_MEASURES = [
    "four_cycles",
    "four_cycle_clustering",
    "path_lengths",
    "mean_path_length",
    "assortativity",
    "core_numbers",
    "rich_club",
]
# the first two leave neurons without links and several components
each_density = pytest.mark.parametrize("density", [0.1, 0.15, 0.3, 0.6, 1.0])
each_measure = pytest.mark.parametrize("name", [*GRAPH_MEASURES, "modularity"])


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def layered(density, widths=WIDTHS, seed=0):
    """Supports of a random network."""
    generator = seeded(seed)
    return [evolution.random_support(*w, density, generator=generator) for w in widths]


def both(density):
    """A random network as a graph of ours and of networkx."""
    supports = layered(density)
    network = topology.to_networkx(topology.to_matrices(supports)).to_undirected()
    return structure.joined(topology.to_matrices(supports)), network


def support_of(mask):
    return make_support(*torch.as_tensor(mask).nonzero(as_tuple=True), mask.shape[1], mask.shape[0])


def complete(n, m):
    return structure.joined([sparse.csr_array(np.ones((m, n)))])


def blocks(n_blocks, width):
    """A layer of complete blocks with no links between them."""
    return sparse.csr_array(np.kron(np.eye(n_blocks), np.ones((width, width))))


def measure(name, graph):
    extra = {"seed": 0} if name == "modularity" else {}
    return getattr(structure, name)(graph, **extra)


# one graph


@each_density
def test_joined_is_the_adjacency_of_the_graph(density):
    graph, network = both(density)
    np.testing.assert_array_equal(graph.toarray(), nx.to_numpy_array(network))


def test_matrices_of_supports_are_those_of_the_model():
    model = models.mlp((6, 8, 3), density=0.4)
    desired = topology.adjacency(model)[0]
    (actual,) = topology.to_matrices([model.linear1.support])
    np.testing.assert_array_equal(actual.toarray(), desired.toarray())


@pytest.mark.parametrize(("n", "m"), [(3, 3), (2, 2), (2, 7), (5, 4), (1, 6)])
def test_complete_layer_has_a_four_cycle_for_each_pair_of_pairs(n, m):
    assert structure.four_cycles(complete(n, m)) == math.comb(n, 2) * math.comb(m, 2)


def test_three_by_three_has_nine_four_cycles():
    assert structure.four_cycles(complete(3, 3)) == 9


@each_density
def test_four_cycles_are_those_that_networkx_lists(density):
    graph, network = both(density)
    desired = sum(len(cycle) == 4 for cycle in nx.simple_cycles(network, length_bound=4))
    assert structure.four_cycles(graph) == desired


@each_density
def test_four_cycle_clustering_is_that_of_networkx(density):
    graph, network = both(density)
    desired = nx.bipartite.robins_alexander_clustering(network)
    assert structure.four_cycle_clustering(graph) == pytest.approx(desired, rel=1e-14)


def test_clustering_of_the_southern_women_is_the_published_one():
    graph = nx.to_scipy_sparse_array(nx.davis_southern_women_graph())
    assert round(structure.four_cycle_clustering(graph), 3) == 0.468  # documentation of networkx


@each_density
def test_path_lengths_are_those_of_networkx(density):
    graph, network = both(density)
    lengths = [
        d for _, reached in nx.all_pairs_shortest_path_length(network) for d in reached.values()
    ]
    desired = np.bincount(lengths)[1:]
    np.testing.assert_array_equal(structure.path_lengths(graph), desired)
    mean = np.mean([d for d in lengths if d])
    assert structure.mean_path_length(graph) == pytest.approx(mean, rel=1e-14)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 511, 512, 513, 1100])
def test_path_lengths_of_a_chain_are_its_closed_form(n):
    chain = nx.to_scipy_sparse_array(nx.path_graph(n + 1))
    np.testing.assert_array_equal(structure.path_lengths(chain), 2 * np.arange(n, 0, -1))


@pytest.mark.parametrize("density", [0.0005, 0.002, 0.01])
def test_path_lengths_of_a_larger_network_are_those_of_scipy(density):
    supports = layered(density, [(500, 700), (700, 300)])
    graph = structure.joined(topology.to_matrices(supports))
    distances = sparse.csgraph.shortest_path(graph, unweighted=True)
    lengths = distances[np.isfinite(distances)].astype(int)
    np.testing.assert_array_equal(structure.path_lengths(graph), np.bincount(lengths)[1:])


@each_density
def test_assortativity_is_that_of_networkx(density):
    graph, network = both(density)
    desired = nx.degree_assortativity_coefficient(network)
    assert structure.assortativity(graph) == pytest.approx(desired, rel=1e-11, abs=1e-13)


@each_density
def test_core_numbers_are_those_of_networkx(density):
    graph, network = both(density)
    desired = nx.core_number(network)
    np.testing.assert_array_equal(structure.core_numbers(graph), [desired[n] for n in network])


@each_density
@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_rich_club_is_that_of_networkx_at_the_quantile(density, share):
    graph, network = both(density)
    degrees = sorted(degree for _, degree in network.degree)
    k = min(k for k in degrees if np.mean(np.array(degrees) > k) <= share)
    desired = nx.rich_club_coefficient(network, normalized=False).get(k, np.nan)
    np.testing.assert_equal(structure.rich_club(graph, share), desired)


@pytest.mark.parametrize("n_blocks", [2, 4, 5])
def test_modularity_of_separate_blocks_is_one_less_a_share(n_blocks):
    graph = structure.joined([blocks(n_blocks, 6)])
    assert structure.modularity(graph, seed=0) == pytest.approx(1 - 1 / n_blocks, rel=1e-12)


@each_density
def test_modularity_is_that_of_the_partition_of_networkx(density):
    graph, network = both(density)
    numbered = nx.convert_node_labels_to_integers(network)
    partition = nx.community.louvain_communities(numbered, seed=3)
    desired = nx.community.modularity(numbered, partition)
    assert structure.modularity(graph, seed=3) == pytest.approx(desired, rel=1e-12)


@pytest.mark.parametrize("name", ["four_cycle_clustering", "mean_path_length", "assortativity"])
def test_measure_without_links_is_nan(name):
    assert np.isnan(measure(name, sparse.csr_array((5, 5))))


@pytest.mark.parametrize(
    ("name", "matrix"),
    [
        ("four_cycle_clustering", np.ones((1, 4))),  # a star has no path of three links
        ("assortativity", np.eye(4)),
        ("rich_club", np.ones((4, 4))),  # no neuron has more links than the others
    ],
)
def test_measure_of_a_degenerate_layer_is_nan(name, matrix):
    assert np.isnan(measure(name, structure.joined([sparse.csr_array(matrix)])))


@pytest.mark.parametrize("matrix", ["lower", "loops", "weights", "oblong"])
@each_measure
def test_what_is_no_graph_is_refused(name, matrix):
    graph = complete(3, 3)
    bad = {"lower": sparse.tril(graph), "loops": graph + sparse.eye_array(6)}
    bad |= {"weights": graph * 2, "oblong": graph[:4]}
    with pytest.raises(ValueError, match="give what joined returns"):
        measure(name, bad[matrix].tocsr())


@pytest.mark.parametrize("share", [0, 1, -0.1, math.nan])
def test_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=f"share = {share} is out of range"):
        structure.rich_club(complete(3, 3), share)


# one network


@each_density
def test_measures_are_those_of_networkx(density):
    supports = layered(density)
    network = topology.to_networkx(topology.to_matrices(supports)).to_undirected()
    actual = structure.measures(topology.to_matrices(supports), seed=0)
    cores = list(nx.core_number(network).values())
    assert actual["largest_core_number"] == max(cores)
    assert actual["largest_core_size"] == cores.count(max(cores))
    assert actual["largest_component"] == len(max(nx.connected_components(network), key=len)) / 25
    desired = nx.bipartite.robins_alexander_clustering(network)
    assert actual["four_cycle_clustering"] == pytest.approx(desired, rel=1e-14)
    assert {type(value) for value in actual.values()} == {float}


def test_complete_network_has_all_its_paths():
    matrices = topology.to_matrices(layered(1.0))
    assert structure.measures(matrices, seed=0)["n_paths"] == 6 * 8 * 7 * 4


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32])
def test_dtype_of_the_matrices_does_not_matter(dtype):
    matrices = topology.to_matrices(layered(0.8, [(300, 20), (20, 9)]))  # more than int8 counts
    others = [matrix.astype(dtype) for matrix in matrices]
    assert structure.measures(others, seed=0) == structure.measures(matrices, seed=0)
    flipped = [matrices[0][::-1], matrices[1][:, ::-1]]
    assert structure.matched_overlap(others, flipped).tolist() == [1, 1]


def test_network_without_links_has_measures():
    empty = [sparse.csr_array((m, n)) for n, m in WIDTHS]
    actual = structure.measures(empty, seed=0)
    zeros = {"largest_core_number", "n_paths"}
    assert {name for name, value in actual.items() if value == 0} == zeros
    assert actual["largest_core_size"] == 25 and actual["largest_component"] == 1 / 25
    assert sum(map(np.isnan, actual.values())) == len(actual) - 4


def test_measures_without_a_seed_leave_out_the_communities():
    matrices = topology.to_matrices(layered(0.3))
    with_seed, without = (structure.measures(matrices, seed=seed) for seed in (0, None))
    assert np.isnan(without.pop("modularity")) and with_seed.pop("modularity") > 0
    assert with_seed == without


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        ([], "no matrices: give one for each layer"),
        ([np.ones((3, 2)), np.ones((3, 2))], "layer 1 takes 2 inputs but layer 0 has 3 outputs"),
        ([np.full((3, 2), 0.5)], "has other weights than 1"),
    ],
)
@pytest.mark.parametrize("of", ["joined", "measures", "matched_overlap"])
def test_what_are_no_layers_is_refused(of, matrices, message):
    layers = [sparse.csr_array(matrix) for matrix in matrices]
    arguments = {"measures": {"seed": 0}, "matched_overlap": {"second": layers}}.get(of, {})
    with pytest.raises(ValueError, match=message):
        getattr(structure, of)(layers, **arguments)


# beside nulls


@functools.cache
def nulls_of_a_random_network():
    supports = layered(0.1, [(60, 50), (50, 40)])
    return structure.beside_nulls(supports, 20, generator=seeded(1)).set_index("measure")


def test_nulls_keep_the_links_of_every_neuron_in_every_layer(monkeypatch):
    seen, measures = [], structure.measures
    monkeypatch.setattr(
        structure, "measures", lambda m, seed: seen.append(m) or measures(m, seed=seed)
    )
    structure.beside_nulls(layered(0.3), 4, generator=seeded(1))
    degrees = [[m.sum(axis=axis).tolist() for m in network for axis in (0, 1)] for network in seen]
    assert degrees == [degrees[0]] * 5
    assert len({tuple(network[0].toarray().ravel()) for network in seen}) == 5


def test_value_is_the_measure_of_the_network():
    supports = layered(0.3)
    table = structure.beside_nulls(supports, 2, generator=seeded(1)).set_index("measure")
    desired = structure.measures(topology.to_matrices(supports), seed=0)
    assert dict(table["value"].drop("small_world_sigma")) == desired


def test_random_network_is_like_its_nulls():
    table = nulls_of_a_random_network()
    assert table["z"].abs().max() < 4  # t with 19 degrees of freedom: 1 in 1,300
    assert table["z"].notna().sum() >= 7


def test_sigma_of_the_nulls_is_around_one():
    mean = nulls_of_a_random_network().loc["small_world_sigma", "null_mean"]
    spread = nulls_of_a_random_network().loc["small_world_sigma", "null_sd"]
    assert abs(mean - 1) < 4 * spread / math.sqrt(20)


def test_sigma_is_the_ratio_of_the_ratios():
    table = nulls_of_a_random_network()
    clustering, length = (
        table.loc[name, "value"] / table.loc[name, "null_mean"]
        for name in ("four_cycle_clustering", "mean_path_length")
    )
    sigma = table.loc["small_world_sigma", "value"]
    assert sigma == pytest.approx(clustering / length, rel=1e-12)


def test_planted_communities_are_far_from_their_nulls(rng):
    inside = np.kron(np.eye(4), np.ones((12, 12)))
    masks = [rng.random(inside.shape) < 0.4 * inside + 0.03 for _ in range(2)]
    supports = [support_of(mask) for mask in masks]
    table = structure.beside_nulls(supports, 20, generator=seeded(1)).set_index("measure")
    assert table.loc["four_cycle_clustering", "z"] > 10 and table.loc["modularity", "z"] > 10
    assert (
        table.loc["small_world_sigma", "value"] > 1.5 and table.loc["small_world_sigma", "z"] > 10
    )


@pytest.mark.parametrize(("n_nulls", "n_known"), [(0, 0), (1, 1), (2, 2)])
def test_few_nulls_have_no_spread_and_none_no_mean(n_nulls, n_known):
    table = structure.beside_nulls(layered(0.3), n_nulls, generator=seeded(1))
    known = table[["null_mean", "null_sd"]].notna()
    assert known.all().sum() == n_known == known.any().sum()
    assert table["z"].notna().any() == (n_nulls > 1)


def test_network_that_cannot_change_has_no_z():
    table = structure.beside_nulls(layered(1.0), 3, generator=seeded(1))
    assert (table["null_sd"].fillna(0) == 0).all() and table["z"].isna().all()
    assert table.set_index("measure").loc["small_world_sigma", "value"] == pytest.approx(1)


def test_same_generator_gives_the_same_table():
    first, second = (structure.beside_nulls(layered(0.3), 3, generator=seeded(5)) for _ in range(2))
    assert first.equals(second)


def test_nulls_without_a_seed_leave_out_the_communities():
    table = structure.beside_nulls(layered(0.3), 3, generator=seeded(5), seed=None)
    assert table.loc[table["measure"] == "modularity"].iloc[0, 1:].isna().all()


def test_negative_number_of_nulls_is_refused():
    with pytest.raises(ValueError, match="n_nulls = -1 is out of range"):
        structure.beside_nulls(layered(0.3), -1, generator=seeded(0))


# two networks


def test_overlap_with_itself_is_one_and_with_the_rest_zero():
    mask = torch.rand(9, 7, generator=seeded(0)) < 0.4
    assert structure.overlap(support_of(mask), support_of(mask)) == 1
    assert structure.overlap(support_of(mask), support_of(~mask)) == 0


def test_overlap_is_the_share_of_the_union():
    first, second = (torch.rand(9, 7, generator=seeded(seed)) < 0.4 for seed in (0, 1))
    desired = float((first & second).sum() / (first | second).sum())
    assert structure.overlap(support_of(first), support_of(second)) == desired


def test_overlap_of_random_supports_is_hypergeometric():
    n, m, generator = 40 * 30, 300, seeded(0)
    draw = functools.partial(evolution.random_support, 40, 30, m / n, generator=generator)
    jaccards = np.array([structure.overlap(draw(), draw()) for _ in range(100)])
    shared = 2 * m * jaccards / (1 + jaccards)
    error = math.sqrt(m * (m / n) * (1 - m / n) * (n - m) / (n - 1) / 100)
    assert abs(shared.mean() - m * m / n) < 4 * error


def test_overlap_of_nothing_is_nan():
    assert np.isnan(structure.overlap(*[support_of(torch.zeros(3, 2))] * 2))


def test_supports_of_different_widths_are_refused():
    with pytest.raises(ValueError, match=r"widths \(6, 8\) and \(8, 7\) differ: give equal ones"):
        structure.overlap(*layered(0.3)[:2])


def test_matched_overlap_recovers_permuted_neurons(rng):
    matrices = topology.to_matrices(layered(0.3, [(30, 20), (20, 25), (25, 15)]))
    orders = [np.arange(30), *(rng.permutation(n) for n in (20, 25, 15))]
    permuted = [m[orders[i + 1]][:, orders[i]] for i, m in enumerate(matrices)]
    assert structure.matched_overlap(matrices, permuted).tolist() == [1, 1, 1]
    by_name = [(a * b).sum() / (a + b > 0).sum() for a, b in zip(matrices, permuted, strict=True)]
    assert max(by_name) < 0.5


def test_matched_overlap_is_at_least_that_by_name():
    pair = [layered(0.2, [(30, 20)], seed) for seed in (0, 1)]
    (actual,) = structure.matched_overlap(*map(topology.to_matrices, pair))
    assert structure.overlap(pair[0][0], pair[1][0]) < actual < 1


def test_matched_overlap_by_hand():
    first = sparse.csr_array([[1, 1, 0, 0], [0, 0, 1, 1]])
    second = sparse.csr_array([[0, 0, 1, 0], [1, 1, 0, 1]])  # swapped, and one link astray
    assert structure.matched_overlap([first], [second]).tolist() == [3 / 5]


def test_matched_overlap_of_different_shapes_is_refused():
    first, second, third = topology.to_matrices(layered(0.3))
    with pytest.raises(ValueError, match="differ: give equal ones"):
        structure.matched_overlap([first, second], [first])
    with pytest.raises(ValueError, match=r"\[\(8, 6\)\] and \[\(4, 7\)\] differ"):
        structure.matched_overlap([first], [third])


# order of a layer


def planted(rng):
    """A layer of two blocks with some links between, shuffled; the block of each row and column."""
    rows, cols = (
        rng.permutation(np.repeat([0, 1], 20)),
        rng.permutation(np.repeat([0, 1], [25, 15])),
    )
    same = rows[:, None] == cols
    return (rng.random(same.shape) < np.where(same, 0.5, 0.05)).astype(float), rows, cols


def test_spectral_order_recovers_two_planted_blocks(rng):
    matrix, rows, cols = planted(rng)
    by_row, by_col = structure.spectral_order(sparse.csr_array(matrix))
    assert np.abs(np.diff(rows[by_row])).sum() == 1 == np.abs(np.diff(cols[by_col])).sum()
    assert rows[by_row[0]] == cols[by_col[0]] == rows[0]


def test_spectral_order_puts_neurons_without_links_last(rng):
    matrix, *_ = planted(rng)
    matrix[[3, 8]] = 0
    matrix[:, [0, 7]] = 0
    by_row, by_col = structure.spectral_order(sparse.csr_array(matrix))
    assert by_row[-2:].tolist() == [3, 8] and by_col[-2:].tolist() == [0, 7]
    assert sorted(by_row) == list(range(40)) == sorted(by_col)


def test_spectral_order_separates_components():
    matrix = blocks(2, 4).tocsr()[[0, 4, 1, 5, 2, 6, 3, 7]]
    by_row, by_col = structure.spectral_order(matrix)
    assert by_row.tolist() == [0, 2, 4, 6, 1, 3, 5, 7] and by_col.tolist() == list(range(8))


@pytest.mark.parametrize("matrix", [np.ones((3, 4)), np.zeros((3, 4)), np.ones((1, 2))], ids=str)
def test_spectral_order_of_equal_neurons_is_their_own(matrix):
    by_row, by_col = structure.spectral_order(sparse.csr_array(matrix))
    assert by_row.tolist() == list(range(len(matrix)))
    assert by_col.tolist() == list(range(matrix.shape[1]))


def test_spectral_order_refuses_weights():
    with pytest.raises(ValueError, match="has other weights than 1"):
        structure.spectral_order(sparse.csr_array(np.full((3, 2), 0.5)))
