"""Pictures of activation units: what function each layer has learned, and how steep layers are."""

from collections.abc import Iterator, Sequence
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import colors, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.report import labels
from lib.report.figures import described, in_order, method_curves, over_seeds
from lib.report.layout import AROUND, handles_of, legend_beside, outer_labels, panels, plain_logs

PER_ROW = 4  # panels
SIDE = 2.1  # inches, of a panel of a unit
PAST = "#cccccc"
KINDS = {"linear": "constant of the layer", "unit": "constant of the unit"}


def learned_shapes(shapes: pd.DataFrame, title: str, below: str = "") -> Figure:
    """The function of every layer, a panel each, a line an epoch: the first grey, the later the
    more in the colour of SPLASH.

    Args:
        shapes: columns layer, epoch, x, y; none gives an empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    """
    fig, of_layers = _panels(shapes, title, below)
    last = max(1, shapes["epoch"].max()) if of_layers else 1
    scale = colors.Normalize(0, last)
    color = colors.LinearSegmentedColormap.from_list("epochs", [PAST, _now()["color"]])
    for layer, ax in of_layers.items():
        of_layer = shapes[shapes["layer"] == layer]
        for epoch, line in of_layer.groupby("epoch"):
            ax.plot(line["x"], line["y"], color=color(scale(epoch)), lw=1.2)
    if shapes["epoch"].nunique() > 1:
        mappable = plt.cm.ScalarMappable(scale, color)
        whole = ticker.MaxNLocator(integer=True)
        fig.colorbar(mappable, ax=[*of_layers.values()], label="epoch", ticks=whole)
    return fig


def shapes_over_epochs(
    shapes: pd.DataFrame, title: str, below: str = "", epochs: Sequence[int] | None = None
) -> Iterator[Figure]:
    """The frames of a moving picture of :func:`learned_shapes`: the function after an epoch, the
    start in grey.

    Args:
        shapes, title, below: as there; the epoch is added.
        epochs: of the frames; None: all.
    """
    if epochs is None:
        epochs = sorted(shapes["epoch"].unique())
    if not len(epochs):
        yield _panels(shapes, title, below)[0]
    for epoch in epochs:
        written = f"{below} · epoch {epoch}".removeprefix(" · ")
        fig, of_layers = _panels(shapes, title, written)
        for layer, ax in of_layers.items():
            of_layer = shapes[shapes["layer"] == layer]
            start = of_layer[of_layer["epoch"] == of_layer["epoch"].min()]
            now = of_layer[of_layer["epoch"] == epoch]
            ax.plot(start["x"], start["y"], color=PAST, lw=1.5)
            ax.plot(now["x"], now["y"], **_now(), lw=2)
        yield fig


def _now() -> labels.Look:
    return labels.method("splash")


def _name(layer: str) -> str:
    return layer.replace("activation", "unit ")


def _panels(shapes: pd.DataFrame, title: str, below: str) -> tuple[Figure, dict[str, Axes]]:
    """A panel for each layer, of equal axes."""
    layers = list(dict.fromkeys(shapes["layer"]))
    n_rows = max(1, -(-len(layers) // PER_ROW))
    options = {"per_row": PER_ROW, "sharex": True, "sharey": True}
    fig, axs = panels(len(layers), SIDE, SIDE + AROUND / n_rows, title, below, **options)
    if not layers:
        return fig, {}
    of_layers = dict(zip(layers, axs, strict=True))
    for layer, ax in of_layers.items():
        ax.set_title(_name(layer))
        ax.set_ylim(shapes["y"].min() - 0.1, shapes["y"].max() + 0.1)
        ax.set(xlabel="input", ylabel="output")
        ax.axhline(0, color="#eeeeee", lw=1, zorder=0)
        ax.axvline(0, color="#eeeeee", lw=1, zorder=0)
    outer_labels(axs, PER_ROW)
    return fig, of_layers


def layer_constants(constants: pd.DataFrame, title: str, below: str = "") -> Figure:
    """The Lipschitz constant of every layer (above) and unit (below) in the order of the network,
    a column a data set; line: mean over seeds, band: ± sd.

    Args:
        constants: columns dataset, method, seed, kind ("linear" or "unit"), layer, value; none
            gives an empty figure that says so.
        title, below: see :func:`lib.report.layout.head`; n is added.
    """
    datasets = list(dict.fromkeys(constants["dataset"]))
    cells = list(product(KINDS, datasets))
    numbers = over_seeds(constants, ["dataset", "kind", "method", "layer"], "value")
    below, names = described(numbers, below or "mean ± sd over seeds")
    per_row = max(1, len(datasets))
    fig, axs = panels(len(cells), 3.4, 2.9, title, below, margin=1.9, per_row=per_row)
    for ax, (kind, dataset) in zip(axs, cells, strict=False):
        chosen = (numbers["dataset"] == dataset) & (numbers["kind"] == kind)
        _constants(ax, numbers[chosen], names)
        ax.set(title=labels.dataset(dataset), ylabel=KINDS[kind])
    if cells:
        legend_beside(fig, in_order(handles_of(axs), names))
    return fig


def _constants(ax: Axes, numbers: pd.DataFrame, names: dict[str, str]) -> None:
    layers = list(dict.fromkeys(numbers["layer"]))
    place = numbers["layer"].map(layers.index)
    method_curves(ax, numbers.assign(place=place), "place", names)
    ax.set_yscale("log")
    plain_logs(ax)
    written = [_name(layer) for layer in layers]
    ax.set_xticks(range(len(layers)), written, rotation=45, ha="right", fontsize="small")


def matched_gaps(table: pd.DataFrame, title: str, below: str = "") -> Figure:
    """Differences by kind of comparison with 95 % intervals, a row each, a panel a data set.

    Args:
        table: columns dataset, match, mean, low, high; none gives an empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    """
    datasets = labels.datasets_in(table["dataset"])
    matches = list(dict.fromkeys(table["match"]))
    fig, axs = panels(len(datasets), 3.2, 3.2, title, below, margin=2, sharex=True, sharey=True)
    for ax, dataset in zip(axs, datasets, strict=False):
        rows = table[table["dataset"] == dataset]
        place = [-matches.index(match) for match in rows["match"]]
        bars = rows["mean"] - rows["low"], rows["high"] - rows["mean"]
        ax.axvline(0, color="#bbbbbb", lw=1, zorder=0)
        look = _now() | {"ls": "none"}
        ax.errorbar(rows["mean"], place, xerr=np.nan_to_num(bars, posinf=0), marker="o", **look)
        ax.set_yticks(-np.arange(len(matches)), matches)
        ax.set(title=labels.dataset(dataset), xlabel="SPLASH − ReLU (points)")
        ax.margins(y=0.2)
    return fig
