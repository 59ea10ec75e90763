"""Pictures of supports and degrees: distributions, networks, maps of the input."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
import scipy.sparse
import seaborn as sns
from matplotlib import ticker
from matplotlib.figure import Figure

from lib import plotting, power_law

LAWS = (  # looks, in the order of lib.power_law.fitted_curves
    {"color": "#d55e00", "ls": "-"},
    {"color": "#56b4e9", "ls": "--"},
    {"color": "#029e73", "ls": "-."},
    {"color": "#cc78bc", "ls": (0, (5, 1))},
    {"color": "#8a6d00", "ls": (0, (3, 1, 1, 1))},
    {"color": "#0173b2", "ls": ":"},
)


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


def input_maps(
    maps: Mapping[str, Mapping[str, np.ndarray]], title: str
) -> tuple[Figure, pd.DataFrame]:
    """Links of every pixel of square images: a grid of panels with one colour scale.

    Args:
        maps: {row: {column: (n,) links of each pixel, row by row}}; none gives an empty panel that
            says so.
        title: of the figure.
    Returns: the figure; columns network, shown, row, column, links.
    """
    if not maps:
        return plotting.panels(0, 4, 3, title)[0], pd.DataFrame()
    shape = len(maps), max(map(len, maps.values()))
    size = 1.2 + 2.1 * shape[1], 0.7 + 2.3 * shape[0]
    fig, axs = plt.subplots(*shape, figsize=size, squeeze=False)
    fig.suptitle(title)
    rows = []
    top = max(links.max() for columns in maps.values() for links in columns.values())
    for ax in axs.flat:
        ax.set(xticks=[], yticks=[])
        sns.despine(ax=ax, left=True, bottom=True)
    for line, (name, columns) in zip(axs, maps.items(), strict=True):
        line[0].set_ylabel(name)
        for ax, (shown, links) in zip(line, columns.items(), strict=False):
            square = links.reshape([int(len(links) ** 0.5)] * 2)
            rows += [(name, shown, *place, n) for place, n in np.ndenumerate(square)]
            image = ax.imshow(square, cmap="cividis", vmin=0, vmax=top)
            ax.set_title(f"{shown}\n{(links == 0).sum()} without links", fontsize="small")
    fig.colorbar(image, ax=axs, label="links of a pixel", shrink=0.8)
    return fig, pd.DataFrame(rows, columns=["network", "shown", "row", "column", "links"])


def fitted_tails(
    sequences: Mapping[str, Mapping[str, np.ndarray]], title: str
) -> tuple[Figure, pd.DataFrame]:
    """Complementary cumulative degree distributions with every law that was fitted to the first
    sequence of each panel, from its xmin (dotted line) on; the others stand beside it in grey.

    Args:
        sequences: {panel: {name: (n,) degrees}}; none gives an empty panel that says so.
        title: of the figure.
    Returns: the figure; columns panel, law, k, share.
    """
    fig, axs = plotting.panels(len(sequences), 3.3, 4.4, title, sharey=True)
    axs[0].set_ylabel("share of neurons with ≥ k links")
    parts = [pd.DataFrame(columns=["panel", "law", "k", "share"])]
    for ax, (panel, lines) in zip(axs, sequences.items(), strict=False):
        for i, (name, degrees) in reversed(list(enumerate(lines.items()))):
            style = {"color": "#aaaaaa" if i else "black", "ms": 3 if i else 4, "mfc": "none"}
            k, share = ccdf(degrees)
            ax.plot(k[k > 0], share[k > 0], "osv^"[i], **style, mew=0.6, label=name)
        parts += [long_table({panel: lines}).rename(columns={"line": "law"})]
        try:
            tail = power_law.fit_tail(degrees)
        except ValueError as error:  # too small to be fitted
            ax.text(0.5, 0.5, str(error).partition(":")[0], transform=ax.transAxes, wrap=True)
            continue
        curves = power_law.fitted_curves(degrees, tail)
        for (law, part), look in zip(curves.groupby("law", sort=False), LAWS, strict=True):
            ax.plot(part["k"], part["share"], lw=1.4, label=law, **look)
        ax.axvline(tail.xmin, color="#555555", ls=":", lw=0.8)
        ax.set(yscale="log", ylim=(0.5 / len(degrees), 1.5), xlabel="links of a neuron, k")
        ax.set_title(f"{panel}\nα = {tail.exponent:.1f}, {tail.n_tail} of {len(degrees)} in tail")
        plotting.log_x(ax, ticker.LogLocator(subs=(1, 2, 5)))
        parts.append(curves.assign(panel=panel))
    if sequences:
        fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return fig, pd.concat(parts, ignore_index=True)


def adjacency_pictures(
    layers: Mapping[str, scipy.sparse.csr_array], title: str
) -> tuple[Figure, pd.DataFrame]:
    """The links of layers as points, output neurons downwards, one panel a layer.

    Args:
        layers: {panel: (n_out, n_in), reordered as they are to be shown}; none gives an empty panel
            that says so.
        title: of the figure.
    Returns: the figure; columns panel, row, column of every link.
    """
    fig, axs = plotting.panels(len(layers), 4.4, 4.9, title)
    parts = [pd.DataFrame(columns=["panel", "row", "column"])]
    for ax, (panel, matrix) in zip(axs, layers.items(), strict=False):
        ax.spy(matrix, markersize=0.7, color="#0173b2", rasterized=True, aspect="auto")
        ax.set(title=panel, xlabel="input neuron, reordered", ylabel="output neuron, reordered")
        ax.tick_params(top=False, labeltop=False, bottom=True, labelbottom=True)
        row, column = matrix.tocoo().coords
        parts.append(pd.DataFrame({"panel": panel, "row": row, "column": column}))
    return fig, pd.concat(parts, ignore_index=True)


def evidence_map(table: pd.DataFrame, title: str) -> Figure:
    """Fitted exponents against the share of neurons in the tail, a panel a group of networks.

    Filled: the power law is plausible (p ≥ 0.1) and no alternative is favoured; the band holds the
    exponents of scale-free networks.

    Args:
        table: rows of :func:`lib.power_law.evidence` with a column group; none gives an empty panel
            that says so.
        title: of the figure.
    """
    groups = table.groupby("group", sort=False)
    fig, axs = plotting.panels(len(groups), 2.6, 3.8, title, sharey=True, sharex=True)
    axs[0].set_ylabel("neurons in the tail")
    for ax, (group, part) in zip(axs, groups, strict=False):
        ax.axvspan(*power_law.SCALE_FREE, color="#fee391", lw=0)
        ax.axhline(power_law.LONG_TAIL, color="#999999", ls=":", lw=1)
        accepted = (part["p"] >= power_law.REJECT_BELOW) & (part["unbeaten"] == True)  # noqa: E712
        for kept, look in ((~accepted, {"mfc": "none"}), (accepted, {"mfc": "#0173b2"})):
            shown = part[kept]
            ax.plot(shown["exponent"], shown["n_tail"], "o", ms=4, mec="#0173b2", mew=0.7, **look)
        ax.set(yscale="log", title=group, xlabel="exponent α")
        plotting.log_x(ax, ticker.FixedLocator([2, 3, 5, 10, 20, 50, 100]))
    return fig
