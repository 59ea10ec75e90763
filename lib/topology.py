"""Analysis of supports: graphs, degrees and paths. Nothing here changes a network."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import networkx as nx
import numpy as np
import pandas as pd
import scipy.sparse
import torch
from torch import nn

from lib.evolution import random_support
from lib.layers import SparseLinear
from lib.support import Support


def to_networkx(network: nn.Module | list[scipy.sparse.csr_array]) -> nx.DiGraph:
    """The linear layers of a model as a directed graph, from inputs to outputs.

    Source: the layered graph of [Mocanu2018], Fig. 1.

    Args:
        network: a model, or its layers as matrices (n_out, n_in), see :func:`adjacency`.
    Returns: nodes (layer, index) with attribute ``layer``, an edge with attribute ``weight`` for
        each weight that is not 0.
    Raises: ValueError if there are no layers or they are not consecutive.
    """
    matrices = adjacency(network, weighted=True) if isinstance(network, nn.Module) else network
    graph = nx.DiGraph()
    for layer, width in enumerate(_widths(matrices)):
        graph.add_nodes_from(((layer, i) for i in range(width)), layer=layer)
    for layer, matrix in enumerate(matrices):
        links = zip(*matrix.tocoo().coords, matrix.data, strict=True)
        weighted = (((layer, int(c)), (layer + 1, int(r)), float(w)) for r, c, w in links)
        graph.add_weighted_edges_from(weighted)
    return graph


def adjacency(model: nn.Module, *, weighted: bool = False) -> list[scipy.sparse.csr_array]:
    """The links of each linear layer of a model as a matrix, in order.

    Source: the layered graph of [Mocanu2018], Fig. 1.

    Args:
        model: any model with :class:`~lib.layers.SparseLinear` or nn.Linear layers.
        weighted: whether a link is its weight; else it is 1.
    Returns: for each layer (n_out, n_in) float64, with an entry where the weight is not 0; rows and
        columns ascend.
    """
    linear = (m for m in model.modules() if isinstance(m, SparseLinear | nn.Linear))
    return [_nonzero(layer, weighted) for layer in linear]


def to_matrices(supports: list[Support]) -> list[scipy.sparse.csr_array]:
    """The links of each support as a matrix of zeros and ones, as :func:`adjacency` of a model.

    Source: ours.

    Args:
        supports: links of each layer, of any device.
    Returns: for each layer (n_out, n_in) float64.
    """
    index = [(s.col.cpu().numpy(), s.crow.cpu().numpy(), (s.n_out, s.n_in)) for s in supports]
    return [scipy.sparse.csr_array((np.ones(len(c)), c, r), shape=n) for c, r, n in index]


def _nonzero(layer: SparseLinear | nn.Linear, weighted: bool) -> scipy.sparse.csr_array:
    if isinstance(layer, SparseLinear):
        shape, values = (layer.n_out, layer.n_in), layer.values.detach()
        kept = values != 0
        row, col, values = layer.support.row[kept], layer.support.col[kept], values[kept]
    else:
        shape, weight = tuple(layer.weight.shape), layer.weight.detach()
        row, col = weight.nonzero(as_tuple=True)
        values = weight[row, col]
    row, col, values = (array.cpu().numpy() for array in (row, col, values))
    data = values.astype(float) if weighted else np.ones(len(row))
    return scipy.sparse.csr_array((data, (row, col)), shape=shape)


def _widths(matrices: list[scipy.sparse.csr_array]) -> list[int]:
    if not matrices:
        raise ValueError("no matrices: give one for each layer")
    for layer, (below, above) in enumerate(zip(matrices[:-1], matrices[1:], strict=True), start=1):
        if above.shape[1] != below.shape[0]:
            raise ValueError(
                f"layer {layer} takes {above.shape[1]} inputs but layer {layer - 1} has"
                f" {below.shape[0]} outputs: give consecutive layers"
            )
    return [matrices[0].shape[1], *(matrix.shape[0] for matrix in matrices)]


def directed_network(matrices: list[scipy.sparse.csr_array]) -> scipy.sparse.csr_array:
    """The whole network as one matrix, its neurons numbered layer by layer from the inputs on.

    Source: the layered graph of [Mocanu2018], Fig. 1.

    Args:
        matrices: (n_out, n_in) each, see :func:`adjacency`.
    Returns: (n, n) over all n neurons, inputs and outputs included; the entry of a link is in the
        row of its upper and the column of its lower neuron.
    Raises: ValueError if there are no layers or they are not consecutive.
    """
    widths = _widths(matrices)
    blocks = scipy.sparse.block_diag(matrices)
    row, col = blocks.coords
    links = blocks.data, (row + widths[0], col)
    return scipy.sparse.csr_array(links, shape=(sum(widths), sum(widths)))


def largest_component(matrices: list[scipy.sparse.csr_array]) -> float:
    """Share of all neurons, inputs and outputs included, in the largest connected component.

    Source: the relative size s of [Schneider2011].

    Args:
        matrices: (n_out, n_in) each, see :func:`adjacency`; directions do not count.
    Returns: share, in (0, 1].
    Raises: ValueError if there are no layers or they are not consecutive.
    """
    network = directed_network(matrices)
    _, labels = scipy.sparse.csgraph.connected_components(network, directed=False)
    return float(np.bincount(labels).max() / len(labels))


def count_paths(matrices: list[scipy.sparse.csr_array]) -> float:
    r"""Number of paths from any input to any output.

    .. math:: 1^T A_L \cdots A_2 A_1 1

    Source: ours, powers of an adjacency matrix count walks.

    Args:
        matrices: (n_out, n_in) each, :math:`A_1` first, see :func:`adjacency`.
    Returns: the number as float64, exact to 2⁵³.
    Raises: ValueError if there are no layers or they are not consecutive.
    """
    paths = np.ones(_widths(matrices)[0])  # that end at each neuron
    for matrix in matrices:
        paths = matrix @ paths
    return float(paths.sum())


def link_degree(matrices: list[scipy.sparse.csr_array]) -> list[np.ndarray]:
    """Degree of each link: the product of the degrees of the two neurons it joins.

    Source: the edge degree of [Holme2002]; the degree of a neuron is its links in plus links out.

    Args:
        matrices: (n_out, n_in) each, see :func:`adjacency`.
    Returns: for each layer (nnz,) float64, in the order of its CSR.
    Raises: ValueError if there are no layers or they are not consecutive.
    """
    degrees = [np.zeros(width) for width in _widths(matrices)]
    for layer, matrix in enumerate(matrices):
        degrees[layer] += matrix.sum(axis=0)
        degrees[layer + 1] += matrix.sum(axis=1)
    ends = [matrix.tocoo().coords for matrix in matrices]
    return [degrees[i][col] * degrees[i + 1][row] for i, (row, col) in enumerate(ends)]


def link_betweenness(matrices: list[scipy.sparse.csr_array]) -> list[np.ndarray]:
    r"""Betweenness of each link for paths from inputs s to outputs t.

    .. math:: b_{uv} = \sum_{s,t} \frac{a_{us} \, b_{tv}}{\sigma_{st}}

    with :math:`a_{us}` the number of paths from s to u, :math:`b_{tv}` from v to t and
    :math:`\sigma_{st}` from s to t; pairs without a path add nothing. In a layered network all
    paths from s to t are equally long, hence all are shortest.

    Source: the edge betweenness of [Girvan2002], not halved, between inputs and outputs only.

    Args:
        matrices: (n_out, n_in) each, see :func:`adjacency`.
    Returns: for each layer (nnz,) float64, in the order of its CSR.
    Raises: ValueError if there are no layers or they are not consecutive.
    """
    to_outputs = [np.eye(_widths(matrices)[-1])]  # paths from each neuron to each output
    for matrix in reversed(matrices):
        to_outputs.insert(0, matrix.T @ to_outputs[0])  # (width, K)
    sigma = to_outputs[0]  # (n_in, K)
    share = np.divide(1, sigma, out=np.zeros_like(sigma), where=sigma > 0)
    betweenness = []
    for matrix, onwards in zip(matrices, to_outputs[1:], strict=True):
        row, col = matrix.tocoo().coords
        betweenness.append(np.einsum("kt,kt->k", share[col], onwards[row]))
        share = matrix @ share  # sum over s of a_us / sigma_st, (width, K)
    return betweenness


def degree_sequences(degrees: dict[str, np.ndarray], epoch: int | str) -> dict[str, np.ndarray]:
    """Links of every neuron, by group: the inputs, and hidden layer by hidden layer all links, the
    links in and the links out.

    Source: the neuron degrees of [Mocanu2018], Methods, which are those of hidden neurons.
    Departs: the dense output layer gives every neuron of the last hidden layer the same number of
    links; they are not counted.

    Args:
        degrees: arrays named layer.in_degree.epoch and layer.out_degree.epoch, as records hold
            them.
        epoch: which epoch, or "final".
    Returns: "inputs", "hidden 1", "hidden 1 in", "hidden 1 out", "hidden 2", … (of the last layer
        only all its links), each (width,) int64; empty if the epoch was not recorded.
    """
    names = [n.removesuffix(f".in_degree.{epoch}") for n in degrees]
    names = sorted({n for n in names if "." not in n}, key=_number)
    sides = "in_degree", "out_degree"
    inward, outward = ([degrees[f"{n}.{s}.{epoch}"].astype(int) for n in names] for s in sides)
    sequences = {"inputs": outward[0]} if names else {}
    for i, (into, out) in enumerate(zip_longest(inward, outward[1:]), start=1):
        sequences[f"hidden {i}"] = into if out is None else into + out
        if out is not None:
            sequences |= {f"hidden {i} in": into, f"hidden {i} out": out}
    return sequences


def random_degrees(
    degrees: dict[str, np.ndarray], epoch: int | str, *, generator: torch.Generator
) -> dict[str, np.ndarray]:
    """Degrees of random layers (:func:`lib.evolution.random_support`) with as many links as those
    of a network.

    Source: the Erdős–Rényi start of [Mocanu2018], Eq. (1), at another number of links.

    Args:
        degrees: arrays of a record, named layer.in_degree.epoch and layer.out_degree.epoch.
        epoch: which of the recorded ones, or "final".
        generator: source of randomness, on the CPU.
    Returns: arrays of the same names, of this epoch; those of a layer without links as they are.
    """
    drawn = {name: links for name, links in degrees.items() if name.endswith(f"_degree.{epoch}")}
    for name in [n for n in drawn if ".in_degree." in n and drawn[n].any()]:
        other = name.replace("in_degree", "out_degree")
        n_in, n_out, links = len(degrees[other]), len(degrees[name]), degrees[name].sum()
        support = random_support(n_in, n_out, links / (n_in * n_out), generator=generator)
        drawn |= {name: support.crow.diff().numpy(), other: support.tcrow.diff().numpy()}
    return drawn


def _number(layer: str) -> int:
    return int(layer.removeprefix("linear"))


def largest_degrees(widths: Sequence[int]) -> dict[str, int]:
    """The number of links that a neuron of each group of :func:`degree_sequences` could have.

    Source: ours.

    Args:
        widths: input, hidden and output widths; the output layer does not count.
    Returns: for every group the width of the layers next to it.
    """
    bounds, reach = {"inputs": widths[1]}, [*widths[:-1], 0]
    for i, (into, out) in enumerate(zip(reach, reach[2:], strict=False), start=1):
        bounds |= {f"hidden {i}": into + out, f"hidden {i} in": into, f"hidden {i} out": out}
    return bounds


def ccdf(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Complementary cumulative distribution: the share of neurons with at least k links.

    Source: [Clauset2009] Section 2.

    Args:
        degrees: (n,).
    Returns: every k that occurs, ascending, and the share for each.
    """
    k, count = np.unique(degrees, return_counts=True)
    return k, count[::-1].cumsum()[::-1] / len(degrees)


def ccdf_table(sequences: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """The :func:`ccdf` of many sequences as a table.

    Source: ours.

    Args:
        sequences: {panel: {line: (n,) degrees}}.
    Returns: columns panel, line, k, share.
    """
    rows = [
        (panel, line, k, share)
        for panel, lines in sequences.items()
        for line, degrees in lines.items()
        for k, share in zip(*ccdf(degrees), strict=True)
    ]
    return pd.DataFrame(rows, columns=["panel", "line", "k", "share"])


def active_neurons(degrees: dict[str, np.ndarray], epoch: int | str) -> dict[str, float]:
    """Share of the neurons of each hidden layer that have a link in and a link out.

    Source: the percentage of active neurons of [Zhang2025]; theirs counts neurons left after
    removal. Links to a dense output layer are there for all.

    Args:
        degrees: arrays of a record, named layer.in_degree.epoch and layer.out_degree.epoch.
        epoch: which of the recorded ones, or "final".
    Returns: {"hidden 1": share, …}.
    """
    sequences = degree_sequences(degrees, epoch)
    active = {name: links > 0 for name, links in sequences.items() if name[-1].isdigit()}
    for name in active:
        for side in (f"{name} in", f"{name} out"):
            active[name] &= sequences.get(side, sequences[name]) > 0
    return {name: float(neurons.mean()) for name, neurons in active.items()}
