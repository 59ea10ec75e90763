"""Pictures of activation units: what function each layer has learned, and how steep layers are."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.report import figures, labels

COLUMNS = 4  # panels in a row at most
PAST = "#cccccc"


def learned_shapes(shapes: pd.DataFrame, title: str) -> Figure:
    """The function of every layer, a panel each, a line an epoch, from light to dark.

    Args:
        shapes: columns layer, epoch, x, y; none gives an empty panel that says so.
        title: of the figure.
    """
    fig, panels = _panels(shapes, title)
    last = shapes["epoch"].max()
    colors = plt.get_cmap("viridis_r")
    for layer, ax in panels.items():
        of_layer = shapes[shapes["layer"] == layer]
        for epoch, line in of_layer.groupby("epoch"):
            ax.plot(line["x"], line["y"], color=colors(epoch / max(1, last)), lw=1.2)
    if panels:
        scale = plt.Normalize(0, max(1, last))
        fig.colorbar(plt.cm.ScalarMappable(scale, colors), ax=[*panels.values()], label="epoch")
    return fig


def shapes_over_epochs(
    shapes: pd.DataFrame, title: str, epochs: Sequence[int] | None = None
) -> list[Figure]:
    """The frames of a moving picture of :func:`learned_shapes`: the function after an epoch, the
    start in grey.

    Args:
        shapes, title: as there.
        epochs: of the frames; None: all.
    """
    if epochs is None:
        epochs = sorted(shapes["epoch"].unique())
    if not len(epochs):
        return [_panels(shapes, title)[0]]
    frames = []
    for epoch in epochs:
        fig, panels = _panels(shapes, f"{title} · epoch {epoch}")
        for layer, ax in panels.items():
            of_layer = shapes[shapes["layer"] == layer]
            start = of_layer[of_layer["epoch"] == of_layer["epoch"].min()]
            now = of_layer[of_layer["epoch"] == epoch]
            ax.plot(start["x"], start["y"], color=PAST, lw=1.5)
            ax.plot(now["x"], now["y"], **labels.method("splash"), lw=2)
        frames.append(fig)
    return frames


def _panels(shapes: pd.DataFrame, title: str) -> tuple[Figure, dict[str, Axes]]:
    """A panel for each layer, of equal axes."""
    layers = list(dict.fromkeys(shapes["layer"]))
    if not layers:
        fig, _ = figures.panels(0, 8, 3, title)
        return fig, {}
    n_columns = min(COLUMNS, len(layers))
    n_rows = -(-len(layers) // n_columns)
    size = (2.2 * n_columns + 0.8, 2.1 * n_rows + 0.5)
    fig, axs = plt.subplots(
        n_rows, n_columns, figsize=size, squeeze=False, sharex=True, sharey=True
    )
    fig.suptitle(title)
    for ax in axs.flat[len(layers) :]:
        ax.set_visible(False)
    panels = dict(zip(layers, axs.flat, strict=False))
    for layer, ax in panels.items():
        ax.set_title(layer.replace("activation", "unit "))
        ax.set_ylim(shapes["y"].min() - 0.1, shapes["y"].max() + 0.1)
        ax.axhline(0, color="#eeeeee", lw=1, zorder=0)
        ax.axvline(0, color="#eeeeee", lw=1, zorder=0)
        ax.label_outer()
    axs[-1, 0].set(xlabel="input", ylabel="output")
    return fig, panels


def layer_constants(constants: pd.DataFrame, title: str) -> Figure:
    """The Lipschitz constant of every layer (above) and unit (below) in the order of the network,
    a column a data set; line: mean over seeds, band: ± sd.

    Args:
        constants: columns dataset, method, seed, kind ("linear" or "unit"), layer, value; none
            gives an empty figure that says so.
        title: of the figure.
    """
    datasets = list(dict.fromkeys(constants["dataset"]))
    if not datasets:
        fig, _ = figures.panels(0, 8, 3, title)
        return fig
    size = (4.2 * len(datasets) + 1.5, 5.2)
    fig, axs = plt.subplots(2, len(datasets), figsize=size, squeeze=False)
    fig.suptitle(title)
    for column, dataset in enumerate(datasets):
        for ax, kind in zip(axs[:, column], ("linear", "unit"), strict=True):
            chosen = constants["dataset"] == dataset
            chosen &= constants["kind"] == kind
            _constants(ax, constants[chosen])
            ax.set_ylabel(f"constant of the {kind}")
        axs[0, column].set_title(labels.dataset(dataset))
    axs[0, 0].legend(fontsize="small")
    return fig


def _constants(ax: Axes, constants: pd.DataFrame) -> None:
    layers = list(dict.fromkeys(constants["layer"]))
    for method in labels.methods_in(constants["method"]):
        of_method = constants[constants["method"] == method]
        groups = of_method.groupby("layer")["value"]
        mean, sd = groups.mean().reindex(layers), groups.std().reindex(layers).fillna(0)
        look = labels.method(method)
        place = np.arange(len(layers))
        ax.plot(place, mean, marker="o", ms=4, **look)
        ax.fill_between(place, mean - sd, mean + sd, color=look["color"], alpha=0.15, lw=0)
    ax.set_yscale("log")
    ax.set_xticks(range(len(layers)), layers, rotation=45, ha="right", fontsize="small")


def matched_gaps(table: pd.DataFrame, title: str) -> Figure:
    """Differences by kind of comparison with 95 % intervals, a row each, a panel a data set.

    Args:
        table: columns dataset, match, mean, low, high; none gives an empty panel that says so.
        title: of the figure.
    """
    groups = table.groupby("dataset", sort=False)
    fig, axs = figures.panels(len(groups), 4.2, 2.8, title, margin=2.5, sharey=True)
    for ax, (dataset, rows) in zip(axs, groups, strict=False):
        place = -np.arange(len(rows))
        bars = rows["mean"] - rows["low"], rows["high"] - rows["mean"]
        ax.axvline(0, color="#bbbbbb", lw=1, zorder=0)
        look = labels.method("splash") | {"ls": "none"}
        ax.errorbar(rows["mean"], place, xerr=np.nan_to_num(bars, posinf=0), marker="o", **look)
        ax.set_yticks(place, rows["match"])
        ax.set(title=labels.dataset(dataset), xlabel="SPLASH − ReLU (points under PGD)")
        ax.margins(y=0.2)
    return fig
