"""Pictures of supports and degrees: distributions, networks, maps of the input."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
import scipy.sparse
import seaborn as sns
from matplotlib import colors, ticker
from matplotlib.figure import Figure

from lib import plotting, power_law, topology

LAWS = (  # looks, in the order of lib.power_law.fitted_curves
    {"color": "#d55e00", "ls": "-"},
    {"color": "#56b4e9", "ls": "--"},
    {"color": "#029e73", "ls": "-."},
    {"color": "#cc78bc", "ls": (0, (5, 1))},
    {"color": "#8a6d00", "ls": (0, (3, 1, 1, 1))},
    {"color": "#0173b2", "ls": ":"},
)


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
            k, share = topology.ccdf(degrees)
            isolated = int((degrees == 0).sum())
            text = f"{name}, {isolated} without links" if isolated else name
            ax.plot(k[k > 0], share[k > 0], marker="os^vD"[i], ms=3, lw=1, label=text)
        ax.set(xlabel="links of a neuron, k", title=panel, yscale="log")
        plotting.log_x(ax, ticker.LogLocator(subs=(1, 2, 5)))
        ax.legend(fontsize="x-small", loc="lower left")
    return fig


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
    maps: Mapping[str, Mapping[str, np.ndarray]], title: str, quantity: str = "links of a pixel"
) -> tuple[Figure, pd.DataFrame]:
    """A number of every pixel of square images: a grid of panels with one colour scale.

    Args:
        maps: {row: {column: (n,) numbers from 0, of each pixel, row by row}}; none gives an empty
            panel that says so.
        title: of the figure.
        quantity: what the numbers are.
    Returns: the figure; columns network, shown, row, column, value.
    """
    if not maps:
        return plotting.panels(0, 4, 3, title)[0], pd.DataFrame()
    shape = len(maps), max(map(len, maps.values()))
    size = 1.2 + 2.1 * shape[1], 0.7 + 2.3 * shape[0]
    fig, axs = plt.subplots(*shape, figsize=size, squeeze=False)
    fig.suptitle(title)
    rows = []
    top = max(values.max() for columns in maps.values() for values in columns.values())
    plt.setp(axs, xticks=[], yticks=[])
    sns.despine(fig, left=True, bottom=True)
    for line, (name, columns) in zip(axs, maps.items(), strict=True):
        line[0].set_ylabel(name)
        for ax, (shown, values) in zip(line, columns.items(), strict=False):
            square = values.reshape([int(len(values) ** 0.5)] * 2)
            rows += [(name, shown, *place, n) for place, n in np.ndenumerate(square)]
            image = ax.imshow(square, cmap="cividis", vmin=0, vmax=top)
            isolated = f"\n{(values == 0).sum()} without links" if "links" in quantity else ""
            ax.set_title(f"{shown}{isolated}", fontsize="small")
    fig.colorbar(image, ax=axs, label=quantity, shrink=0.8)
    return fig, pd.DataFrame(rows, columns=["network", "shown", "row", "column", "value"])


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
    drawn, parts = {}, [topology.ccdf_table(sequences).rename(columns={"line": "law"})]
    for ax, (panel, lines) in zip(axs, sequences.items(), strict=False):
        for i, (name, degrees) in reversed(list(enumerate(lines.items()))):
            style = {"color": "#aaaaaa" if i else "black", "ms": 3 if i else 4, "mfc": "none"}
            k, share = topology.ccdf(degrees)
            drawn[name] = ax.plot(k[k > 0], share[k > 0], "osv^"[i], **style, mew=0.6)[0]
        ax.set(yscale="log", ylim=(0.5 / len(degrees), 1.5), xlabel="links of a neuron, k")
        try:
            tail = power_law.fit_tail(degrees)
        except ValueError as error:  # too small to be fitted
            ax.set_title(f"{panel}\n{str(error).partition(':')[0]}", fontsize="small")
            continue
        ax.set_title(f"{panel}\nα = {tail.exponent:.1f}, {tail.n_tail} of {len(degrees)} in tail")
        curves = power_law.fitted_curves(degrees, tail)
        for (law, part), look in zip(curves.groupby("law", sort=False), LAWS, strict=True):
            drawn[law] = ax.plot(part["k"], part["share"], lw=1.4, **look)[0]
        ax.axvline(tail.xmin, color="#555555", ls=":", lw=0.8)
        plotting.log_x(ax, ticker.LogLocator(subs=(1, 2, 5)))
        parts.append(curves.assign(panel=panel))
    if sequences:
        fig.legend(drawn.values(), drawn, loc="outside lower center", ncols=4)
    return fig, pd.concat(parts, ignore_index=True)


def adjacency_pictures(
    layers: Mapping[str, scipy.sparse.csr_array], title: str
) -> tuple[Figure, pd.DataFrame]:
    """The links of layers in cells of 25 × 25 neurons, output neurons downwards, one panel a layer;
    white where there are none.

    Args:
        layers: {panel: (n_out, n_in), in the order in which neurons are to be shown}; none gives an
            empty panel that says so.
        title: of the figure.
    Returns: the figure; columns panel, row, column (of a cell), density (links over possible ones).
    """
    fig, axs = plotting.panels(len(layers), 3.2, 3.6, title)
    rows = []
    for ax, (panel, matrix) in zip(axs, layers.items(), strict=False):
        edges = [np.unique([*range(0, n, 25), n]) for n in matrix.shape]  # the last may be narrow
        links = np.histogram2d(*matrix.tocoo().coords, bins=edges)[0]
        density = links / np.outer(*map(np.diff, edges))
        norm = colors.LogNorm(1e-3, 1)
        image = ax.pcolormesh(
            *edges[::-1], np.where(links, density, np.nan), cmap="cividis_r", norm=norm
        )
        ax.set(title=panel, xlabel="input neuron", ylabel="output neuron", yinverted=True)
        ax.set_box_aspect(matrix.shape[0] / matrix.shape[1])
        rows += [(panel, *cell, float(share)) for cell, share in np.ndenumerate(density)]
    if layers:
        fig.colorbar(image, ax=axs, label="share of possible links")
    return fig, pd.DataFrame(rows, columns=["panel", "row", "column", "density"])


def evidence_map(table: pd.DataFrame, title: str) -> Figure:
    """Fitted exponents against the neurons in the tail, a panel a group of networks.

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
        accepted = (part["p"] >= power_law.REJECT_BELOW) & part["unbeaten"].eq(True)
        for kept, look in ((~accepted, {"mfc": "none"}), (accepted, {"mfc": "#0173b2"})):
            look |= {"data": part[kept], "ms": 4, "mec": "#0173b2", "mew": 0.7}
            ax.plot("exponent", "n_tail", "o", **look)
        ax.set(yscale="log", title=group, xlabel="exponent α")
        plotting.log_x(ax, ticker.FixedLocator([2, 3, 5, 10, 20, 50, 100]))
    return fig
