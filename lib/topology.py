"""Analysis of supports: graphs, degrees, paths and a first power-law fit. Nothing here changes a
network.
"""

import warnings
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import powerlaw
import scipy.sparse
from torch import nn

from lib.layers import SparseLinear
from lib.support import Support


def to_networkx(supports: list[Support]) -> nx.DiGraph:
    """The network of consecutive sparse layers as a directed graph, from inputs to outputs.

    Source: the layered graph of [Mocanu2018], Fig. 1.

    Args:
        supports: links of each layer; the outputs of one are the inputs of the next.
    Returns: nodes (layer, index) with attribute ``layer``, an edge for each link.
    Raises: ValueError if the widths do not follow each other.
    """
    graph = nx.DiGraph()
    widths = [supports[0].n_in, *(support.n_out for support in supports)]
    for layer, width in enumerate(widths):
        graph.add_nodes_from(((layer, i) for i in range(width)), layer=layer)
    for layer, support in enumerate(supports):
        if support.n_in != widths[layer]:
            raise ValueError(
                f"layer {layer} takes {support.n_in} inputs but layer {layer - 1} has"
                f" {widths[layer]} outputs: give consecutive layers"
            )
        rows, cols = support.row.tolist(), support.col.tolist()
        graph.add_edges_from(((layer, c), (layer + 1, r)) for r, c in zip(rows, cols, strict=True))
    return graph


def adjacency(model: nn.Module) -> list[scipy.sparse.csr_array]:
    """The links of each linear layer of a model as a matrix of zeros and ones, in order.

    Source: the layered graph of [Mocanu2018], Fig. 1.

    Args:
        model: any model with :class:`~lib.layers.SparseLinear` or nn.Linear layers.
    Returns: for each layer (n_out, n_in) float64, 1 where the weight is not 0; rows and columns
        ascend.
    """
    linear = (m for m in model.modules() if isinstance(m, SparseLinear | nn.Linear))
    return [_nonzero(layer) for layer in linear]


def _nonzero(layer: SparseLinear | nn.Linear) -> scipy.sparse.csr_array:
    if isinstance(layer, SparseLinear):
        shape, kept = (layer.n_out, layer.n_in), layer.values.detach() != 0
        links = layer.support.row[kept], layer.support.col[kept]
    else:
        shape, links = tuple(layer.weight.shape), layer.weight.detach().nonzero(as_tuple=True)
    row, col = (index.cpu().numpy() for index in links)
    return scipy.sparse.csr_array((np.ones(len(row)), (row, col)), shape=shape)


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


def largest_component(matrices: list[scipy.sparse.csr_array]) -> float:
    """Share of all neurons, inputs and outputs included, in the largest connected component.

    Source: the relative size s of [Schneider2011].

    Args:
        matrices: (n_out, n_in) each, see :func:`adjacency`; directions do not count.
    Returns: share, in (0, 1].
    Raises: ValueError if there are no layers or they are not consecutive.
    """
    first = np.cumsum([0, *_widths(matrices)])  # number of the first neuron of each layer
    ends = [matrix.tocoo().coords for matrix in matrices]
    row = np.concatenate([row + first[layer + 1] for layer, (row, _) in enumerate(ends)])
    col = np.concatenate([col + first[layer] for layer, (_, col) in enumerate(ends)])
    graph = scipy.sparse.csr_array((np.ones(len(row)), (row, col)), shape=(first[-1], first[-1]))
    _, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return float(np.bincount(labels).max() / first[-1])


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


def hidden_degrees(degrees: dict[str, np.ndarray], epoch: int | str) -> dict[str, np.ndarray]:
    """Degrees of hidden neurons, links in plus links out to a sparse layer, by hidden layer.

    Source: the hidden-neuron degrees of [Mocanu2018], Methods.
    Departs: the dense output layer gives every neuron of the last hidden layer the same number of
    links; they are not counted.

    Args:
        degrees: arrays named layer.in_degree.epoch and layer.out_degree.epoch, as records hold
            them.
        epoch: which epoch, or "final".
    Returns: for "linear1", "linear2", … the degrees of the neurons that layer feeds, int.
    Raises: KeyError if the epoch was not recorded.
    """
    layers = {name.split(".")[0] for name in degrees if ".in_degree." in name}
    layers = sorted(layers, key=lambda name: int(name.removeprefix("linear")))
    totals = {}
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        total = degrees[f"{layer}.in_degree.{epoch}"].astype(int)
        if following is not None:
            total = total + degrees[f"{following}.out_degree.{epoch}"]
        totals[layer] = total
    return totals


def active_neurons(degrees: dict[str, np.ndarray], epoch: int | str) -> dict[str, float]:
    """Share of the neurons of each hidden layer that have a link in and a link out.

    Source: the percentage of active neurons of [Zhang2025]; theirs counts neurons left after
    removal. Links to a dense output layer are there for all.

    Args:
        degrees: arrays of a record, named layer.in_degree.epoch and layer.out_degree.epoch.
        epoch: which of the recorded ones, or "final".
    Returns: {"hidden 1": share, …}.
    """
    names = sorted(n.split(".")[0] for n in degrees if n.endswith(f".in_degree.{epoch}"))
    active = {name: degrees[f"{name}.in_degree.{epoch}"] > 0 for name in names}
    for name, following in pairwise(names):
        active[name] &= degrees[f"{following}.out_degree.{epoch}"] > 0
    return {f"hidden {i}": float(active[name].mean()) for i, name in enumerate(names, start=1)}


def fit_power_law(degrees: np.ndarray) -> dict[str, Any]:
    r"""A first power-law fit of a degree sequence, :math:`P(k) \sim k^{-\gamma}` for k ≥ xmin.

    Source: [Clauset2009] Sections 3.1 and 3.3, as implemented by the package powerlaw.
    Departs: discrete likelihood, xmin by the Kolmogorov–Smirnov distance, exponent free in (1, 100]
    (the package's own range ends at 3). No goodness of fit and no test against alternatives: a
    random graph gets a fit too, so compare with one.

    Args:
        degrees: (n,) integer; zeros are left out, as a power law has none.
    Returns: n (neurons with links), exponent, its standard_error, xmin, n_tail (neurons from xmin
        on) and ks_distance; all but n are nan where the package finds no tail it can evaluate.
    Raises: ValueError if fewer than 50 neurons have links or all have the same number.
    """
    degrees = np.asarray(degrees)
    positive = degrees[degrees > 0]
    if len(positive) < 50 or len(np.unique(positive)) < 3:
        raise ValueError(
            f"{len(positive)} neurons with {len(np.unique(positive))} different numbers of links:"
            " too few for a power-law fit, give at least 50 neurons and 3 numbers"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns about each xmin it tries
        law = powerlaw.Fit(
            positive, discrete=True, verbose=0, parameter_ranges={"alpha": [1.01, 100]}
        ).power_law
    n_tail = int((positive >= law.xmin).sum())
    fit = {
        "exponent": float(law.alpha),
        "standard_error": float((law.alpha - 1) / np.sqrt(n_tail)),
        "xmin": int(law.xmin),
        "n_tail": n_tail,
        "ks_distance": float(law.D),
    }
    if fit["ks_distance"] >= 1:  # the package could not evaluate any tail
        fit = dict.fromkeys(fit, np.nan)
    return {"n": len(positive), **fit}
