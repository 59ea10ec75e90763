"""One function for each kind of figure of a table; a table without rows gives an empty panel that
says so.
"""

import textwrap
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.report import labels
from lib.report.layout import (
    beside,
    handles_of,
    label_ends,
    legend_beside,
    outer_labels,
    panels,
    plain_logs,
)

VOICES = 5  # curves of a panel that speak; of more, only those that a room says do
EVEN_PER_ROW = 4  # panels in a row where four are all
LETTERS = 78  # that stand side by side above the panels of a row
PANEL_WIDTHS = {1: 4.6, 2: 3.2}  # inches, by panels in a row

# --------------------------------------------------------------------------- curves of methods


def voices(methods: Iterable[str]) -> list[str]:
    """The methods whose curves are drawn in colour, all where they are few; the others are grey."""
    different = labels.methods_in(methods)
    if len(different) <= VOICES:
        return different
    return [method for method in different if method in labels.SPEAKING]


def described(numbers: pd.DataFrame, below: str) -> tuple[str, dict[str, str]]:
    """What stands below a title, and how methods are written: with their number of seeds where
    these differ.

    Args:
        numbers: columns dataset, method and n.
        below: first line.
    """
    if numbers.empty:
        return below, {}
    counts = sorted(set(numbers["n"]))
    names = {method: labels.method_name(method) for method in labels.methods_in(numbers["method"])}
    if len(counts) == 1:
        below += f" · {seeds(counts)}"
    else:
        for method, of_method in numbers.groupby("method"):
            names[method] += f", {seeds(*_by_dataset(of_method))}"
    silent = [names[method] for method in names if method not in voices(names)]
    if silent:
        below += f"\ngrey: {'; '.join(silent)}"
    return below.removeprefix(" · "), names


def seeds(*counts: Iterable[int]) -> str:
    """Numbers of seeds as they are written, those of each data set in its turn: "n = 5",
    "one seed", "n = 3 to 5", "n = 5 and 3".
    """
    ranges = {}
    for of_dataset in counts:
        ends = dict.fromkeys([min(of_dataset), max(of_dataset)])
        ranges[" to ".join(map(str, ends))] = None
    return "one seed" if list(ranges) == ["1"] else f"n = {' and '.join(ranges)}"


def _by_dataset(numbers: pd.DataFrame) -> list[list[int]]:
    """The numbers of seeds that there are of each data set, in their order."""
    return [list(counts) for _, counts in numbers.groupby("dataset", sort=False)["n"]]


def _look(method: str, methods: Iterable[str], name: str, n: int) -> labels.Look:
    """How a method is drawn among others; fainter where it is but one seed."""
    look = labels.method(method) | {"label": name, "lw": 1.4}
    if method not in voices(methods):
        look |= {"color": labels.GREY, "ls": "-", "lw": 0.9, "label": "_", "zorder": 1}
    if n == 1:
        look |= {"alpha": 0.5, "lw": 0.9}
    return look


def _mean_and_band(
    ax: Axes,
    x: pd.Series,
    numbers: pd.DataFrame,
    look: labels.Look,
) -> None:
    """A curve of means, and one standard deviation to either side of it."""
    mean, sd = numbers["mean"], numbers["sd"].fillna(0)
    ax.plot(x, mean, **look)
    band = {"color": look["color"], "alpha": 0.15, "lw": 0}
    ax.fill_between(x, mean - sd, mean + sd, **band)


def method_curves(ax: Axes, numbers: pd.DataFrame, x: str, names: dict[str, str]) -> None:
    """A curve of means with its band for each method.

    Args:
        ax: the panel.
        numbers: of :func:`over_seeds`, of one panel.
        x: column.
        names: {method: how it is written}, of all panels, see :func:`described`.
    """
    for method in labels.methods_in(numbers["method"]):
        line = numbers[numbers["method"] == method].sort_values(x)
        look = _look(method, names, names[method], line["n"].max())
        _mean_and_band(ax, line[x], line, look)


def over_seeds(
    table: pd.DataFrame,
    keys: list[str],
    y: str,
) -> pd.DataFrame:
    """Mean, sd and n over seeds of what each seed has as mean of its draws.

    Args:
        table: columns seed and those named.
        keys: columns of the groups.
        y: column of the numbers.
    Returns: the columns of the groups, mean, sd, n.
    """
    draws = table.groupby([*keys, "seed"], sort=False)[y]
    of_seeds = draws.mean().groupby(keys, sort=False)
    numbers = of_seeds.agg(mean="mean", sd="std", n="count")
    return numbers.reset_index()


def _different(values: Iterable) -> list:
    return list(dict.fromkeys(values))


# --------------------------------------------------------------------------- accuracy and cost


def accuracy_curves(
    curves: pd.DataFrame,
    title: str,
    below: str = "",
    published: pd.DataFrame | None = None,
) -> Figure:
    """Test accuracy against epoch, one panel a data set; line: mean over seeds, band: ± sd. Curves
    are named at their ends; what ends below the axis is named there.

    Args:
        curves: columns dataset, method, epoch, mean, sd, n; none gives an empty panel that says so.
        title, below: see :func:`lib.report.layout.head`; n is added.
        published: columns dataset, method, epoch, accuracy: open circles, as far as our epochs go.
    """
    groups = curves.groupby("dataset", sort=False)
    below, names = described(curves, below or "mean ± sd over seeds")
    fig, axs = panels(len(groups), 4.4, 3.6, title, below, per_row=2)
    plt.setp(axs, xlabel="epoch", ylabel="test accuracy")
    for ax, (dataset, ours) in zip(axs, groups, strict=False):
        method_curves(ax, ours, "epoch", names)
        if published is not None:
            same = published["dataset"] == dataset
            same &= published["epoch"] <= ours["epoch"].max()
            _circles(ax, published[same & published["method"].isin(ours["method"])])
        ax.set_title(labels.dataset(dataset))
        _accuracy_axes(ax, ours)
        _name_ends(ax, ours, names)
    outer_labels(axs, per_row=2)
    return fig


def _circles(ax: Axes, published: pd.DataFrame) -> None:
    for method, points in published.groupby("method", sort=False):
        look = {"color": labels.method(method)["color"], "marker": "o", "mfc": "none"}
        ax.plot(points["epoch"], points["accuracy"], ls="none", **look)


def _accuracy_axes(ax: Axes, curves: pd.DataFrame) -> None:
    """Percent, from the worst method that speaks, late in training, on."""
    speaking = curves[curves["method"].isin(voices(curves["method"]))]
    late = speaking[speaking["epoch"] > 0.1 * speaking["epoch"].max()]
    top = curves["mean"] + curves["sd"].fillna(0)
    ax.set_ylim(late["mean"].min() - 0.002, top.max() + 0.002)
    ax.yaxis.set_major_locator(ticker.MaxNLocator(steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=1))
    ax.xaxis.set_major_locator(ticker.MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))


def _name_ends(ax: Axes, curves: pd.DataFrame, names: dict[str, str]) -> None:
    """Name the curves that speak at their ends, and those that end below the axis."""
    bottom, _ = ax.get_ylim()
    ends, hidden = [], []
    for method in labels.methods_in(curves["method"]):
        line = curves[curves["method"] == method].sort_values("epoch")
        last = line["mean"].iloc[-1]
        if last < bottom:
            hidden.append(f"{labels.method_name(method)} ({last:.1%})")
        elif method in voices(names):
            ends.append((names[method], labels.method(method)["color"], last))
    label_ends(ax, ends)
    if hidden:
        text = "below:\n" + "\n".join(hidden)
        where = {"transform": ax.transAxes, "ha": "right", "va": "bottom"}
        ax.text(0.98, 0.02, text, fontsize="x-small", color="#555555", **where)


# ------------------------------------------------------------------ perturbations and differences


def perturbed_curves(
    table: pd.DataFrame,
    x: str,
    y: str,
    panel: str,
    title: str,
    below: str = "",
    **options: Any,
) -> tuple[Figure, pd.DataFrame]:
    """Curves of all methods: for each data set a panel for each value of a column, in rows.

    Line: mean over seeds, of each the mean over its draws; band: ± sd over seeds.

    Args:
        table: columns dataset, method, seed, the ones named by x, y and panel; none gives an empty
            figure that says so.
        x, y, panel: columns.
        title, below: see :func:`lib.report.layout.head`; n is added.
        options: ``xlabel`` and ``ylabel``, and what else :meth:`matplotlib.axes.Axes.set` takes.
    Returns: the figure; the numbers drawn: mean, sd and n.
    """
    numbers = over_seeds(table, ["dataset", panel, "method", x], y)
    cells = list(product(_different(numbers["dataset"]), _different(numbers[panel])))
    below, names = described(numbers, below or "mean ± sd over seeds")
    per_row = _per_row(len(_different(numbers[panel])))
    fig, axs = _cells(cells, per_row, title, below, sharey=True)
    for ax, (dataset, column) in zip(axs, cells, strict=False):
        chosen = (numbers["dataset"] == dataset) & (numbers[panel] == column)
        method_curves(ax, numbers[chosen], x, names)
        ax.set(**options)
        ax.set_title(textwrap.fill(labels.name(column), LETTERS // per_row), fontsize="small")
        ax.set_xlabel(textwrap.fill(options.get("xlabel", x), LETTERS // per_row), fontsize="small")
        ylabel = textwrap.fill(options.get("ylabel", y), 18)
        ax.set_ylabel(f"{beside(labels.dataset(dataset))}\n{ylabel}", fontsize="small")
        _perturbed_axes(ax, options)
    outer_labels(axs, per_row)
    if cells:
        legend_beside(fig, in_order(handles_of(axs), names))
    return fig, numbers


def _cells(
    cells: list[tuple], per_row: int, title: str, below: str, **options: bool
) -> tuple[Figure, list[Axes]]:
    """A panel for each pair of a data set and something else."""
    width = PANEL_WIDTHS.get(per_row, 2.4)
    height = 2.3 if len(cells) > per_row else 2.8  # heading and footer take as much of one row
    return panels(len(cells), width, height, title, below, margin=1.9, per_row=per_row, **options)


def _per_row(n: int) -> int:
    """Panels in a row where each data set has n of them: so that its own begin a row."""
    if n <= EVEN_PER_ROW:
        return max(1, n)
    return 3 if n % 3 == 0 else EVEN_PER_ROW


def in_order(handles: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """What a legend shows, in the order of the methods.

    Args:
        handles: of :func:`lib.report.layout.handles_of`.
        names: of :func:`described`.
    """
    return {name: handles[name] for name in names.values() if name in handles}


def _perturbed_axes(ax: Axes, options: Mapping[str, Any]) -> None:
    """From 0 to 1 unless the options say otherwise; plain numbers."""
    plain_logs(ax)
    if not {"yscale", "ylim"} & options.keys():
        ax.set_ylim(0, 1.02)
