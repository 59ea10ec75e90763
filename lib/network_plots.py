"""Pictures of supports and degrees: distributions, networks, maps of the input."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import ticker
from matplotlib.figure import Figure

from lib import plotting


def ccdf(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of neurons with at least k links, for every k that occurs."""
    k, count = np.unique(degrees, return_counts=True)
    return k, count[::-1].cumsum()[::-1] / len(degrees)


def degree_distributions(sequences: Mapping[str, Mapping[str, np.ndarray]], title: str) -> Figure:
    """Complementary cumulative degree distributions, one panel a group, one line a sequence.

    Neurons without links have no place on the logarithmic axis: they are stated, not drawn.

    Args:
        sequences: {panel: {line: (n,) degrees}}; none gives an empty panel that says so.
        title: of the figure.
    """
    fig, axs = plotting.panels(len(sequences), 4.2, 3.8, title, sharey=True)
    axs[0].set_ylabel("share of neurons with ≥ k links")
    for ax, (panel, lines) in zip(axs, sequences.items(), strict=False):
        for i, (name, degrees) in enumerate(lines.items()):
            k, share = ccdf(degrees)
            isolated = int((degrees == 0).sum())
            text = f"{name}, {isolated} without links" if isolated else name
            ax.plot(k[k > 0], share[k > 0], marker="os^vD"[i], ms=3, lw=1, label=text)
        ax.set(xlabel="links of a neuron, k", title=panel, yscale="log")
        plotting.log_x(ax, ticker.LogLocator(subs=(1, 2, 5)))
        ax.legend(fontsize="x-small", loc="lower left")
    return fig


def long_table(sequences: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """The numbers behind :func:`degree_distributions`: panel, line, k, share with at least k."""
    rows = [
        (panel, line, k, share)
        for panel, lines in sequences.items()
        for line, degrees in lines.items()
        for k, share in zip(*ccdf(degrees), strict=True)
    ]
    return pd.DataFrame(rows, columns=["panel", "line", "k", "share"])


def network_pictures(
    graphs: Mapping[str, nx.DiGraph], n_shown: int, title: str
) -> tuple[Figure, pd.DataFrame]:
    """The best connected neurons of every layer and the links among them, one panel a graph.

    Args:
        graphs: {panel: graph of lib.topology.to_networkx}.
        n_shown: neurons shown of each layer.
        title: of the figure.
    Returns: the figure; the nodes shown with their degrees.
    """
    fig, axs = plotting.panels(len(graphs), 4.5, 3.4, title)
    rows = []
    top = max((degree for graph in graphs.values() for _, degree in graph.degree), default=0)
    for ax, (name, graph) in zip(axs, graphs.items(), strict=False):
        position = {}
        ranked = sorted(graph, key=lambda node: (-graph.degree[node], node))
        layers = sorted({layer for layer, _ in graph})
        for layer in layers:
            members = [node for node in ranked if node[0] == layer][:n_shown]
            position |= {node: (layer, -i) for i, node in enumerate(members)}
        degrees = [graph.degree[node] for node in position]
        rows += [(name, *node, degree) for node, degree in zip(position, degrees, strict=True)]
        shown = graph.subgraph(position)
        style = {"arrows": False, "width": 0.8, "edge_color": "#aaaaaa"}
        plt.setp(nx.draw_networkx_edges(shown, position, ax=ax, **style), rasterized=True)
        dots = nx.draw_networkx_nodes(
            shown, position, nodelist=list(position), node_size=30, node_color=degrees,
            cmap="cividis_r", vmin=0, vmax=top, ax=ax,
        )  # fmt: skip
        ax.set_xticks(layers, ["inputs", *(f"hidden {layer}" for layer in layers[1:])])
        ax.tick_params(bottom=True, labelbottom=True)
        ax.set_title(f"{name}: {shown.number_of_edges():,} links among those shown")
        sns.despine(ax=ax, left=True, bottom=True)
    if graphs:
        fig.colorbar(dots, ax=axs, label="links of a neuron, whole network")
    return fig, pd.DataFrame(rows, columns=["panel", "layer", "index", "degree"])


def input_maps(maps: Mapping[str, np.ndarray], title: str) -> tuple[Figure, pd.DataFrame]:
    """Links of every pixel of square images, one panel a network, one colour scale.

    Args:
        maps: {panel: (n,) links of each pixel, row by row}; none gives an empty panel that says so.
        title: of the figure.
    Returns: the figure; columns panel, row, column, links.
    """
    fig, axs = plotting.panels(len(maps), 3, 3.4, title)
    rows = []
    top = max((links.max() for links in maps.values()), default=1)
    for ax, (panel, links) in zip(axs, maps.items(), strict=False):
        square = links.reshape([int(len(links) ** 0.5)] * 2)
        rows += [(panel, *place, n) for place, n in np.ndenumerate(square)]
        image = ax.imshow(square, cmap="cividis", vmin=0, vmax=top)
        ax.set_title(f"{panel}\n{(links == 0).sum()} pixels without links")
        ax.set_axis_off()
    if maps:
        fig.colorbar(image, ax=axs, label="links of a pixel", shrink=0.8)
    return fig, pd.DataFrame(rows, columns=["panel", "row", "column", "links"])
