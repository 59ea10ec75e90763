r"""Structure of sparse networks: clustering, paths, cores, communities, beside networks drawn at
random with the same degrees; and how much two networks have in common.

A network is its consecutive layers, each a matrix (n_out, n_in) of zeros and ones as
:func:`lib.topology.graphs.adjacency` returns; its *graph* is :func:`joined` of them, with the links
as undirected ones. A graph of layers is bipartite and has no triangles, so clustering is measured
on four-cycles. Functions of a graph raise ValueError if it is not symmetric, links a neuron to
itself or holds anything but zeros and ones.
"""

import networkx as nx
import numpy as np
import pandas as pd
import scipy
import torch

from ..support import Support
from .graphs import (
    Matrices,
    canonical,
    count_paths,
    directed_graph,
    largest_component,
    to_matrices,
)
from .nulls import switch_links

Graph = scipy.sparse.csr_array  # (n, n), of all neurons of a network
TINY = 1e-12  # a spread below this part of the mean is one of rounding
RICHEST = 0.1  # share of the neurons of the rich club, at most

# ------------------------------------------------------------------------- the graph of a network


def joined(matrices: Matrices) -> Graph:
    """The graph of a whole network, without directions; neurons as in
    :func:`lib.topology.graphs.directed_graph`, layer by layer from the inputs on.

    Source: the layered graph of [Mocanu2018], Fig. 1.

    Args:
        matrices: (n_out, n_in) each, zeros and ones.
    Returns: (n, n) float64, symmetric, zeros and ones.
    Raises: ValueError if there are no layers, they are not consecutive or a weight is not 1.
    """
    upwards = directed_graph(matrices)
    return _checked(upwards + upwards.T)


def _checked(graph: Graph) -> Graph:
    graph = canonical(graph)
    is_one = (
        graph.shape[0] == graph.shape[1]
        and (graph.data == 1).all()
        and (graph != graph.T).nnz == 0
        and not graph.diagonal().any()
    )
    if not is_one:
        raise ValueError(
            f"the graph {graph.shape} is not symmetric, links a neuron to itself or has other"
            " weights than 1: give what joined returns for matrices of zeros and ones"
        )
    return graph.astype(np.float64, copy=False)  # in which all sums here are exact


# ------------------------------------------------------------------------- measures of a graph


def four_cycles(graph: Graph) -> int:
    r"""Number of cycles of four different neurons.

    .. math:: C_4 = \frac12 \sum_{i<j} \binom{k_{ij}}{2}
        = \frac18 \Big( \sum_{i,j} k_{ij}^2 - 2 \sum_i d_i^2 + \sum_i d_i \Big)

    with the common neighbours :math:`k = A A`, the degrees :math:`d_i = k_{ii}`; every cycle is
    found once at each of its two diagonals.

    Source: the C₄ of [Robins2004].

    Args:
        graph: (n, n), see :func:`joined`.
    Returns: the number; 0 without links. Memory: 12 bytes for each pair with common neighbours.
    """
    graph = _checked(graph)
    degrees = graph.sum(axis=0)
    common = (graph @ graph).data  # neighbours that each pair shares
    squares = degrees @ degrees
    eightfold = common @ common - 2 * squares + degrees.sum()
    return int(eightfold) // 8


def four_cycle_clustering(graph: Graph) -> float:
    r"""Share of the paths of three links that a fourth link closes.

    .. math:: C = \frac{4 \, C_4}{P_3}, \qquad P_3 = \sum_{\text{links } ij} (d_i - 1)(d_j - 1)

    Source: the clustering coefficient of [Robins2004]. The sum is :math:`P_3` in graphs without
    triangles, as all networks of layers are.

    Args:
        graph: (n, n), see :func:`joined`.
    Returns: C, in [0, 1]; nan if no path has three links (networkx returns 0).
    """
    graph = _checked(graph)
    others = graph.sum(axis=0) - 1
    paths = others @ (graph @ others) / 2
    if paths == 0:
        return np.nan
    return float(4 * four_cycles(graph) / paths)


def path_lengths(graph: Graph) -> np.ndarray:
    """Number of ordered pairs of different neurons at distance 1, 2, …, by breadth-first search.

    From 500 sources at once: a neuron holds one bit for each source that has reached it, and the
    next step reaches it from all sources that have reached a neighbour. The characteristic path
    length of [Watts1998] averages over these distances.

    Args:
        graph: (n, n), see :func:`joined`.
    Returns: (longest distance,) int64, empty without links; unconnected pairs are not counted.
    """
    graph = _checked(graph)
    # without links there is nothing to reach, and reduceat would give the bits of another
    linked = graph.sum(axis=0) > 0
    graph = graph[linked][:, linked]
    n = graph.shape[0]
    itself = np.eye(n, -(-n // 64) * 64, dtype=bool)
    at_start = np.packbits(itself, axis=1).view(np.uint64)  # (n, n_words)
    pairs = np.zeros(n, np.int64)
    for reached in np.array_split(at_start, n // 512 + 1, axis=1):  # parts that fit into the cache
        for distance in range(n):
            by_neighbours = reached[graph.indices]
            before = reached
            reached = before | np.bitwise_or.reduceat(by_neighbours, graph.indptr[:-1])
            new = np.bitwise_count(reached ^ before).sum(dtype=np.int64)
            if new == 0:
                break
            pairs[distance] += new
    return np.trim_zeros(pairs, "b")


def mean_path_length(graph: Graph) -> float:
    """Mean number of links on the shortest paths between connected pairs of different neurons.

    Source: the characteristic path length L of [Watts1998].
    Departs: pairs without a path are left out; the share that has one is the sum of
    :func:`path_lengths` over n (n − 1).

    Args:
        graph: (n, n), see :func:`joined`.
    Returns: L, at least 1; nan without links.
    """
    pairs = path_lengths(graph)
    if len(pairs) == 0:
        return np.nan
    lengths = np.arange(1, len(pairs) + 1)
    return float(pairs @ lengths / pairs.sum())


def assortativity(graph: Graph) -> float:
    r"""Correlation of the degrees at the two ends of the links.

    .. math:: r = \frac{M \sum_{ij} A_{ij} d_i d_j - (\sum_i d_i^2)^2}
        {M \sum_i d_i^3 - (\sum_i d_i^2)^2}, \qquad M = \sum_i d_i

    Source: the coefficient r of [Newman2002], over both directions of each link; exact sums.

    Args:
        graph: (n, n), see :func:`joined`.
    Returns: r, in [-1, 1]; nan without links and if all linked neurons have equal degrees.
    """
    graph = _checked(graph)
    degrees = graph.sum(axis=0)
    squared = int(degrees @ degrees) ** 2
    cubes = int((degrees**3).sum())
    products = int(degrees @ (graph @ degrees))  # of the two ends of each link
    covariance = graph.nnz * products - squared
    variance = graph.nnz * cubes - squared
    if variance == 0:
        return np.nan
    return covariance / variance


def core_numbers(graph: Graph) -> np.ndarray:
    """Core number of each neuron, the largest k such that it is in a k-core: a part of the graph in
    which every neuron has at least k links.

    Source: [Batagelj2003], as implemented by networkx.

    Args:
        graph: (n, n), see :func:`joined`.
    Returns: (n,) int64, 0 for neurons without links.
    """
    cores = nx.core_number(_as_networkx(graph))
    return np.array([cores[neuron] for neuron in range(len(cores))])


def _as_networkx(graph: Graph) -> nx.Graph:
    each_link_once = scipy.sparse.triu(_checked(graph))
    return nx.from_scipy_sparse_array(each_link_once)


def rich_club(graph: Graph) -> float:
    r"""Density of the links among the neurons with most links.

    .. math:: \phi(k) = \frac{2 E_{>k}}{N_{>k} (N_{>k} - 1)}

    over the :math:`N_{>k}` neurons with more than k links; k is the smallest degree which at most
    a tenth of all neurons exceed: the 0.9 quantile, numpy's ``inverted_cdf``. Neurons tied at k
    stay out.

    Source: [McAuley2007], not normalized; the choice of k is not theirs.
    Departs: neurons of one layer, or of layers that do not follow each other, cannot be linked, so
    the value means something only beside nulls, see :func:`beside_nulls`.

    Args:
        graph: (n, n), see :func:`joined`.
    Returns: the density, in [0, 1]; nan if fewer than two neurons have more than k links.
    """
    graph = _checked(graph)
    degrees = graph.sum(axis=0)
    k = np.quantile(degrees, 1 - RICHEST, method="inverted_cdf")
    rich = degrees > k
    n = int(rich.sum())
    if n < 2:
        return np.nan
    links_twice = graph[rich][:, rich].nnz
    return links_twice / (n * (n - 1))


def modularity(graph: Graph, *, seed: int) -> float:
    r"""Modularity of the communities that the Louvain method finds.

    .. math:: Q = \frac{1}{M} \sum_{ij} \Big(A_{ij} - \frac{d_i d_j}{M}\Big) \delta(c_i, c_j),
        \qquad M = \sum_i d_i

    Source: Q of [Newman2004], communities c of [Blondel2008], as implemented by networkx. A random
    graph has communities too, so compare with nulls.

    Args:
        graph: (n, n), see :func:`joined`.
        seed: of the order in which neurons are visited.
    Returns: Q, in [-1/2, 1); nan without links.
    """
    links = _as_networkx(graph)
    if not links.number_of_edges():
        return np.nan
    communities = nx.community.louvain_communities(links, seed=seed)
    return nx.community.modularity(links, communities)


# ------------------------------------------------------------------------ measures of a network


def measures(matrices: Matrices, *, seed: int) -> dict[str, float]:
    """All measures of a network, by name.

    Source: see the functions of the same names; :func:`lib.topology.graphs.count_paths` for
    ``n_paths`` and :func:`lib.topology.graphs.largest_component`.

    Args:
        matrices: (n_out, n_in) each, zeros and ones; ``n_paths`` ends at the last of them.
        seed: of the communities.
    Returns: floats; ``largest_core_size`` is the number of neurons with the
        ``largest_core_number``; nan as the functions say, e.g. without links.
    Raises: ValueError if there are no layers, they are not consecutive or a weight is not 1.
    """
    graph = joined(matrices)
    cores = core_numbers(graph)
    largest_core = cores.max()
    values = {
        "four_cycle_clustering": four_cycle_clustering(graph),
        "mean_path_length": mean_path_length(graph),
        "assortativity": assortativity(graph),
        "rich_club": rich_club(graph),
        "largest_core_number": largest_core,
        "largest_core_size": (cores == largest_core).sum(),
        "modularity": modularity(graph, seed=seed),
        "n_paths": count_paths(matrices),
        "largest_component": largest_component(matrices),
    }
    return {name: float(value) for name, value in values.items()}


def beside_nulls(
    supports: list[Support],
    n_nulls: int,
    *,
    generator: torch.Generator,
) -> pd.DataFrame:
    r"""The measures of a network beside those of random networks in which every neuron has the same
    number of links to the layer below and to the layer above.

    .. math:: z = \frac{x - \bar x_{null}}{s_{null}}, \qquad
        \sigma = \frac{C / \bar C_{null}}{L / \bar L_{null}}

    with the four-cycle clustering C and the mean path length L; :math:`\sigma` of a null is taken
    against the same means, so that it has a z as well.

    Source: nulls and z of [Maslov2002], by :func:`lib.topology.nulls.switch_links` with 10 switches
    a link; ``small_world_sigma`` of [Humphries2008].
    Departs: four-cycles, as networks of layers have no triangles, and nulls with equal degrees
    instead of the Erdős–Rényi graphs of [Humphries2008].

    Args:
        supports: links of each layer, consecutive.
        n_nulls: number of random networks, at least 0; with fewer than two there is no z.
        generator: source of randomness, on the CPU.
    Returns: a row for each of :func:`measures` and ``small_world_sigma``; columns measure, value,
        null_mean, null_sd (of a sample) and z (of no normal variable: the size of the largest core
        jumps when its number changes). Nan: all of the nulls without nulls, where one of
        them is nan, and z where null_sd is 0 (below 1e-12 of the mean, which is rounding).
    Raises: ValueError if there are no layers or they are not consecutive.
    """
    rows = [measures(to_matrices(supports), seed=0)]
    for _ in range(n_nulls):
        null = []
        for support in supports:
            switched, _ = switch_links(support, generator=generator)
            null.append(switched)
        rows.append(measures(to_matrices(null), seed=0))
    table = pd.DataFrame(rows)  # row 0 is the network, the others its nulls
    relative = table / table[1:].mean(skipna=False)
    sigma = relative["four_cycle_clustering"] / relative["mean_path_length"]
    table["small_world_sigma"] = sigma
    value = table.loc[0]
    mean = table[1:].mean(skipna=False)
    spread = table[1:].std(skipna=False)
    is_rounding = spread <= TINY * mean.abs()
    spread = spread.mask(is_rounding, 0.0)
    z = (value - mean) / spread.where(spread > 0)
    columns = {"value": value, "null_mean": mean, "null_sd": spread, "z": z}
    return pd.DataFrame(columns).rename_axis("measure").reset_index()


# --------------------------------------------------------------------------------- two networks


def overlap(first: Support, second: Support) -> float:
    r"""Jaccard index of the links of two supports.

    .. math:: J = \frac{|A \cap B|}{|A \cup B|}

    Source: [Jaccard1912].

    Args:
        first, second: of equal widths.
    Returns: J, in [0, 1]; nan if neither has links. Of two random supports with m links each among
        N positions about m / (2 N − m), as they share m² / N.
    Raises: ValueError if the widths differ.
    """
    if first[:2] != second[:2]:
        raise ValueError(f"widths {first[:2]} and {second[:2]} differ: give equal ones")
    shared = int(torch.isin(first.keys, second.keys).sum())
    union = first.nnz + second.nnz - shared
    return shared / union if union else np.nan
