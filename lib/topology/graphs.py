"""The linear layers of a model as matrices and as one graph; its components, paths and links."""

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from torch import nn

from ..layers import SparseLinear
from ..support import Support

Matrices = list[sparse.csr_array]  # the layers of a network, (n_out, n_in) each; or arrays

# --------------------------------------------------------------------------- matrices and graphs


def adjacency(model: nn.Module, *, weighted: bool = False) -> Matrices:
    """The links of each linear layer of a model as a matrix, in order.

    Source: the layered graph of [Mocanu2018], Fig. 1.

    Args:
        model: any model with :class:`~lib.layers.SparseLinear` or nn.Linear layers.
        weighted: whether a link is its weight; else it is 1.
    Returns: for each layer (n_out, n_in) float64, with an entry where the weight is not 0; rows and
        columns ascend.
    """
    matrices = []
    for module in model.modules():
        if isinstance(module, SparseLinear):
            matrix = _matrix(module.support, module.values.detach().double().cpu().numpy())
            matrix.eliminate_zeros()
        elif isinstance(module, nn.Linear):
            matrix = sparse.csr_array(module.weight.detach().double().cpu().numpy())
        else:
            continue
        if not weighted:
            matrix.data.fill(1)
        matrices.append(matrix)
    return matrices


def to_matrices(supports: list[Support]) -> Matrices:
    """The links of each support as a matrix of zeros and ones, as :func:`adjacency` of a model.

    Args:
        supports: links of each layer, of any device.
    Returns: for each layer (n_out, n_in) float64.
    """
    return [_matrix(support, np.ones(support.nnz)) for support in supports]


def _matrix(support: Support, values: np.ndarray) -> sparse.csr_array:
    """(n_out, n_in), with memory of its own."""
    index = support.col.cpu().numpy(), support.crow.cpu().numpy()
    shape = support.n_out, support.n_in
    return sparse.csr_array((values, *index), shape=shape, copy=True)


def to_networkx(layers: nn.Module | Matrices) -> nx.DiGraph:
    """The linear layers of a model as a directed graph, from inputs to outputs.

    Source: the layered graph of [Mocanu2018], Fig. 1.

    Args:
        layers: a model, or its layers as matrices (n_out, n_in), see :func:`adjacency`.
    Returns: nodes (layer, index) with attribute ``layer``, an edge with attribute ``weight`` for
        each weight that is not 0.
    Raises: ValueError if there are no layers or they are not consecutive.
    """
    if isinstance(layers, nn.Module):
        layers = adjacency(layers, weighted=True)
    matrices, widths = _consecutive(layers)
    graph = nx.DiGraph()
    for layer, width in enumerate(widths):
        for index in range(width):
            graph.add_node((layer, index), layer=layer)
    for layer, matrix in enumerate(matrices):
        row, col = matrix.tocoo().coords
        for r, c, weight in zip(row.tolist(), col.tolist(), matrix.data, strict=True):
            graph.add_edge((layer, c), (layer + 1, r), weight=float(weight))
    return graph


def directed_graph(matrices: Matrices) -> sparse.csr_array:
    """The graph of a whole network as one matrix, neurons numbered layer by layer from the inputs.

    Source: the layered graph of [Mocanu2018], Fig. 1.

    Args:
        matrices: (n_out, n_in) each, see :func:`adjacency`.
    Returns: (n, n) over all n neurons, inputs and outputs included; the entry of a link is in the
        row of its upper and the column of its lower neuron.
    Raises: ValueError if there are no layers or they are not consecutive.
    """
    matrices, widths = _consecutive(matrices)
    blocks = sparse.block_diag(matrices)
    row, col = blocks.coords
    upper = row + widths[0]  # outputs of the first layer come after the inputs
    n = sum(widths)
    return sparse.csr_array((blocks.data, (upper, col)), shape=(n, n))


def _consecutive(matrices: Matrices) -> tuple[Matrices, list[int]]:
    """The :func:`canonical` matrices, and the widths of their layers."""
    if not len(matrices):
        raise ValueError("no matrices: give one for each layer")
    matrices = [canonical(matrix) for matrix in matrices]
    widths = [matrices[0].shape[1]]
    for layer, matrix in enumerate(matrices):
        n_out, n_in = matrix.shape
        if n_in != widths[-1]:
            raise ValueError(
                f"layer {layer} takes {n_in} inputs but layer {layer - 1} has"
                f" {widths[-1]} outputs: give consecutive layers"
            )
        widths.append(n_out)
    return matrices, widths


def _counted(matrices: Matrices) -> tuple[Matrices, list[int]]:
    """Result of :func:`_consecutive` as zeros and ones."""
    matrices, widths = _consecutive(matrices)
    if any((matrix.data != 1).any() for matrix in matrices):
        raise ValueError(
            "a matrix has other weights than 1, and links are counted: leave out weighted=True"
        )
    return matrices, widths


def canonical(matrix: ArrayLike | sparse.sparray | sparse.spmatrix) -> sparse.csr_array:
    """A copy in which each link is stored once: what a matrix holds twice is added up, and stored
    zeros are no links, as in its ``toarray()``.
    """
    matrix = sparse.csr_array(matrix, copy=True)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


# -------------------------------------------------------------------------- components and paths


def largest_component(matrices: Matrices) -> float:
    """Share of all neurons, inputs and outputs included, in the largest connected component.

    Source: the relative size s of [Schneider2011].

    Args:
        matrices: (n_out, n_in) each, see :func:`adjacency`; directions do not count.
    Returns: share, in (0, 1].
    Raises: ValueError if there are no layers or they are not consecutive.
    """
    graph = directed_graph(matrices)
    _, labels = sparse.csgraph.connected_components(graph, directed=False)
    sizes = np.bincount(labels)
    return float(sizes.max() / len(labels))


def count_paths(matrices: Matrices) -> float:
    r"""Number of paths from any input to any output.

    .. math:: 1^T A_L \cdots A_2 A_1 1

    as powers of an adjacency matrix count walks.

    Args:
        matrices: (n_out, n_in) each, :math:`A_1` first, see :func:`adjacency`.
    Returns: the number as float64, exact to 2⁵³.
    Raises: ValueError if there are no layers, they are not consecutive or a weight is not 1.
    """
    matrices, widths = _counted(matrices)
    paths = np.ones(widths[0])  # that end at each neuron
    for matrix in matrices:
        paths = matrix @ paths
    return float(paths.sum())


# ---------------------------------------------------------------------------- measures of links


def link_degree(matrices: Matrices) -> list[np.ndarray]:
    """Degree of each link: the product of the degrees of the two neurons it joins.

    Source: the edge degree of [Holme2002]; the degree of a neuron is its links in plus links out.

    Args:
        matrices: (n_out, n_in) each, see :func:`adjacency`.
    Returns: for each layer (nnz,) float64, in the order of its CSR.
    Raises: ValueError if there are no layers, they are not consecutive or a weight is not 1.
    """
    matrices, widths = _counted(matrices)
    degrees = [np.zeros(width) for width in widths]
    for layer, matrix in enumerate(matrices):
        degrees[layer] += matrix.sum(axis=0)
        degrees[layer + 1] += matrix.sum(axis=1)
    products = []
    for layer, matrix in enumerate(matrices):
        row, col = matrix.tocoo().coords
        products.append(degrees[layer][col] * degrees[layer + 1][row])
    return products


def link_betweenness(matrices: Matrices) -> list[np.ndarray]:
    r"""Betweenness of each link for paths from inputs s to outputs t.

    .. math:: b_{uv} = \sum_{s,t} \frac{a_{us} \, b_{tv}}{\sigma_{st}}

    with :math:`a_{us}` the number of paths from s to u, :math:`b_{tv}` from v to t and
    :math:`\sigma_{st}` from s to t; pairs without a path add nothing. In a layered network all
    paths from s to t are equally long, hence all are shortest.

    Source: the edge betweenness of [Girvan2002], not halved, between inputs and outputs only.

    Args:
        matrices: (n_out, n_in) each, see :func:`adjacency`.
    Returns: for each layer (nnz,) float64, in the order of its CSR.
    Raises: ValueError if there are no layers, they are not consecutive or a weight is not 1.
    """
    matrices, widths = _counted(matrices)
    to_outputs = [np.eye(widths[-1])]  # paths from each neuron to each output
    for matrix in reversed(matrices):
        to_outputs.insert(0, matrix.T @ to_outputs[0])  # (width, K)
    sigma = to_outputs[0]  # (n_in, K)
    share = np.divide(1, sigma, out=np.zeros_like(sigma), where=sigma > 0)
    betweenness = []
    for matrix, onwards in zip(matrices, to_outputs[1:], strict=True):
        row, col = matrix.tocoo().coords
        of_links = np.einsum("kt,kt->k", share[col], onwards[row])
        betweenness.append(of_links)
        share = matrix @ share  # sum over s of a_us / sigma_st, (width, K)
    return betweenness
