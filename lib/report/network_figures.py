"""Pictures of supports and degrees: distributions, networks, maps of the input."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy.sparse
import seaborn as sns
from matplotlib import colors, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib import topology
from lib.report.labels import GREY, SEQUENTIAL
from lib.report.layout import (
    WIDTH,
    beside,
    handles_of,
    head,
    legend_beside,
    log_x,
    outer_labels,
    panels,
)
from lib.support import Support
from lib.topology import power_law

LAWS = (  # looks, in the order of lib.topology.power_law.fitted_curves; no colour of a method
    {"color": "#cc3311", "ls": "-"},
    {"color": "#332288", "ls": "--"},
    {"color": "#117733", "ls": "-."},
    {"color": "#aa4499", "ls": (0, (5, 1))},
    {"color": "#997700", "ls": (0, (3, 1, 1, 1))},
    {"color": "#4477aa", "ls": ":"},
)
SHARE_LABEL = "share of neurons with ≥ k links"
DEGREE_LABEL = "links of a neuron, k"
EXPONENT_TICKS = [2, 3, 5, 10, 20, 50, 100]
DARK = "#333333"
BAND = "#fee391"  # exponents of scale-free networks
CELL = 25  # neurons
CHANGES = {  # of an update; no colour of a method
    "kept": {"marker": "o", "ms": 5, "color": "#bbbbbb"},
    "dropped": {"marker": "x", "ms": 7, "mew": 2, "color": "#cc3311"},
    "grown": {"marker": "P", "ms": 7, "color": "#332288"},
}

Groups = Mapping[str, Mapping[str, np.ndarray]]  # {panel: {line: (n,) numbers}}
Pair = tuple[np.ndarray, np.ndarray]

# ------------------------------------------------------------------------------------- degrees


def _drawable_ccdf(degrees: np.ndarray) -> Pair:
    """The points of :func:`lib.topology.ccdf` that a logarithmic axis has a place for."""
    k, share = topology.ccdf(degrees)
    return k[k > 0], share[k > 0]


def _log_degrees(ax: Axes) -> None:
    log_x(ax, ticker.LogLocator(subs=(1, 3)))


def fitted_tails(sequences: Groups, title: str, below: str = "") -> tuple[Figure, pd.DataFrame]:
    """Complementary cumulative degree distributions with every law that was fitted to the first
    sequence of each panel, from its xmin (dotted line) on; the others stand beside it in grey.

    Args:
        sequences: {panel: {name: (n,) degrees}}; none gives an empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    Returns: the figure; columns panel, law, k, share.
    """
    fig, axs = panels(len(sequences), 2.6, 3.6, title, below, margin=1.8, sharey=True)
    axs[0].set_ylabel(SHARE_LABEL)
    handles: dict[str, Line2D] = {}
    measured = topology.ccdf_table(sequences)
    tables = [measured.rename(columns={"line": "law"})]
    for ax, (panel, lines) in zip(axs, sequences.items(), strict=False):
        handles |= _measured_tails(ax, lines)
        degrees = next(iter(lines.values()))
        ax.set(xlabel=DEGREE_LABEL, yscale="log")
        ax.set_ylim(0.5 / len(degrees), 1.5)
        try:
            tail = power_law.fit_tail(degrees)
        except ValueError as error:  # too small to be fitted
            reason = str(error).partition(":")[0]
            ax.set_title(f"{panel}\n{reason}", fontsize="small")
            continue
        size = f"{tail.n_tail} of {len(degrees)}"
        ax.set_title(f"{panel}\nα = {tail.exponent:.1f} from\n{size}", fontsize="small")
        curves = power_law.fitted_curves(degrees, tail)
        handles |= _fitted_laws(ax, curves)
        ax.axvline(tail.xmin, color="#555555", ls=":", lw=0.8)
        _log_degrees(ax)
        tables.append(curves.assign(panel=panel))
    if sequences:
        legend_beside(fig, handles)
    return fig, pd.concat(tables, ignore_index=True)


def _measured_tails(ax: Axes, lines: Mapping[str, np.ndarray]) -> dict[str, Line2D]:
    """Draw the sequences as symbols, the first one, in black, above the others."""
    handles = {}
    for i, name in reversed(list(enumerate(lines))):
        look = {"color": GREY, "ms": 3}
        if i == 0:
            look = {"color": "black", "ms": 4}
        look |= {"marker": "osv^"[i], "ls": "none"}
        k, share = _drawable_ccdf(lines[name])
        (points,) = ax.plot(k, share, mfc="none", mew=0.6, **look)
        handles[name] = points
    return handles


def _fitted_laws(ax: Axes, curves: pd.DataFrame) -> dict[str, Line2D]:
    handles = {}
    by_law = curves.groupby("law", sort=False)
    for (law, curve), look in zip(by_law, LAWS, strict=True):
        (line,) = ax.plot(curve["k"], curve["share"], lw=1.4, **look)
        handles[law] = line
    return handles


def evidence_map(table: pd.DataFrame, title: str, below: str = "") -> Figure:
    """Fitted exponents against the neurons in the tail, a panel a group of networks.

    Filled: the power law is plausible (p ≥ 0.1) and no alternative is favoured; the band holds the
    exponents of scale-free networks.

    Args:
        table: rows of :func:`lib.topology.power_law.evidence` with a column group; none gives an
            empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    """
    groups = table.groupby("group", sort=False)
    fig, axs = panels(len(groups), 3, 3, title, below, sharey=True, sharex=True)
    plt.setp(axs, ylabel="neurons in the tail")
    for ax, (group, fits) in zip(axs, groups, strict=False):
        ax.axvspan(*power_law.SCALE_FREE, color=BAND, lw=0)
        ax.axhline(power_law.LONG_TAIL, color="#999999", ls=":", lw=1)
        plausible = fits["p"] >= power_law.REJECT_BELOW
        accepted = plausible & fits["unbeaten"].eq(True)
        _exponents(ax, fits[~accepted], mfc="none")
        _exponents(ax, fits[accepted], mfc=DARK)
        ax.set(yscale="log", title=group, xlabel="exponent α")
        log_x(ax, ticker.FixedLocator(EXPONENT_TICKS))
    outer_labels(axs)
    return fig


def _exponents(ax: Axes, fits: pd.DataFrame, mfc: str) -> None:
    ax.plot(
        fits["exponent"],
        fits["n_tail"],
        marker="o",
        ls="none",
        ms=4,
        mfc=mfc,
        mec=DARK,
        mew=0.7,
    )


# ------------------------------------------------------------------------------------ networks


def adjacency_pictures(
    layers: Mapping[str, scipy.sparse.csr_array], title: str, below: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """The links of layers in cells of 25 × 25 neurons, output neurons downwards, one panel a layer;
    white where there are none.

    Args:
        layers: {panel: (n_out, n_in), in the order in which neurons are to be shown}; none gives an
            empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    Returns: the figure; columns panel, row, column (of a cell), density (links over possible ones).
    """
    fig, axs = panels(len(layers), 2.8, 3.1, title, below)
    rows = []
    for ax, (panel, matrix) in zip(axs, layers.items(), strict=False):
        n_out, n_in = matrix.shape
        edges = (_cell_edges(n_out), _cell_edges(n_in))
        density = _cell_density(matrix, edges)
        image = ax.pcolormesh(
            *edges[::-1],
            np.where(density > 0, density, np.nan),
            cmap=SEQUENTIAL,
            norm=colors.LogNorm(1e-3, 1),
        )
        ax.set(xlabel="input neuron", ylabel="output neuron")
        ax.set(title=panel, yinverted=True)
        ax.set_box_aspect(n_out / n_in)
        for (row, column), share in np.ndenumerate(density):
            rows.append((panel, row, column, float(share)))
    if layers:
        fig.colorbar(image, ax=axs, label="share of possible links")
    columns = ["panel", "row", "column", "density"]
    return fig, pd.DataFrame(rows, columns=columns)


def _cell_edges(n: int) -> np.ndarray:
    """Where the cells of n neurons begin and end; the last one may be narrow."""
    return np.unique([*range(0, n, CELL), n])


def _cell_density(matrix: scipy.sparse.csr_array, edges: Pair) -> np.ndarray:
    """Links of each cell over those that it could have."""
    rows, columns = matrix.tocoo().coords
    links, *_ = np.histogram2d(rows, columns, bins=edges)
    heights, widths = map(np.diff, edges)
    return links / np.outer(heights, widths)


def update_picture(
    before: Support, after: Support, title: str, below: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """One update of the links of a layer: which were dropped, which grew, which stayed.

    Args:
        before, after: its links.
        title, below: see :func:`lib.report.layout.head`.
    Returns: the figure; columns output, input, what ("kept", "dropped", "grown").
    """
    n_out, n_in = before.n_out, before.n_in
    old, new = before.keys.numpy(), after.keys.numpy()
    kinds = {
        "kept": np.intersect1d(old, new),
        "dropped": np.setdiff1d(old, new),
        "grown": np.setdiff1d(new, old),
    }
    fig, (ax,) = panels(1, 0.2 * n_in, 0.2 * n_out + 0.9, title, below, margin=1.8)
    parts = []
    for what, keys in kinds.items():
        outputs, inputs = np.divmod(keys, n_in)
        ax.plot(inputs, outputs, ls="none", label=f"{what} ({len(keys)})", **CHANGES[what])
        parts.append(pd.DataFrame({"output": outputs, "input": inputs, "what": what}))
    ax.set(xlabel="input neuron", ylabel="output neuron", aspect="equal")
    ax.set(xlim=(-0.7, n_in - 0.3), ylim=(n_out - 0.3, -0.7))
    legend_beside(fig, handles_of([ax]))
    return fig, pd.concat(parts, ignore_index=True)


# -------------------------------------------------------------------------------------- inputs


def input_maps(
    maps: Groups, title: str, quantity: str = "links of a pixel", below: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """A number of every pixel of square images: a grid of panels with one colour scale.

    Args:
        maps: {row: {column: (n,) numbers from 0, of each pixel, row by row}}; none gives an empty
            panel that says so.
        title, below: see :func:`lib.report.layout.head`.
        quantity: what the numbers are.
    Returns: the figure; columns network, shown, row, column, value.
    """
    if not maps:
        fig, _ = panels(0, 4, 3, title, below)
        return fig, pd.DataFrame()
    fig, axs = _image_grid(maps)
    head(fig, title, below)
    top, rows = 0, []
    for columns in maps.values():
        for values in columns.values():
            top = max(top, values.max())
    for line, (network, columns) in zip(axs, maps.items(), strict=True):
        line[0].set_ylabel(beside(network), fontsize="small")
        for ax, (shown, values) in zip(line, columns.items(), strict=False):
            side = int(len(values) ** 0.5)
            square = values.reshape(side, side)
            image = ax.imshow(square, cmap=SEQUENTIAL, vmin=0, vmax=top)
            text = shown
            if "links" in quantity:
                text += f"\n{(values == 0).sum()} unlinked"
            ax.set_title(text, fontsize="small")
            for (row, column), value in np.ndenumerate(square):
                rows.append((network, shown, row, column, value))
    fig.colorbar(image, ax=axs, label=quantity, shrink=0.8)
    columns = ["network", "shown", "row", "column", "value"]
    return fig, pd.DataFrame(rows, columns=columns)


def _image_grid(maps: Groups) -> tuple[Figure, np.ndarray]:
    n_rows = len(maps)
    n_columns = max(map(len, maps.values()))
    fig, axs = plt.subplots(
        n_rows,
        n_columns,
        figsize=(min(WIDTH, 1.2 + 2.1 * n_columns), 0.9 + 1.9 * n_rows),
        squeeze=False,
    )
    plt.setp(axs, xticks=[], yticks=[])
    sns.despine(fig, left=True, bottom=True)
    return fig, axs
