"""Analysis of supports: graphs, degrees and a first power-law fit. Nothing here changes a
network.
"""

import warnings
from typing import Any

import networkx as nx
import numpy as np
import powerlaw

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
