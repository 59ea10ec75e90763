"""One function for each kind of figure of a table; a table without rows gives an empty panel that
says so.
"""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.report import labels

SHARED_AXIS = {
    "n": "neurons of a layer",
    "density": "density",
    "batch": "examples in a batch",
}
CROWDED = 5  # with more methods, lines leave no room for a legend
DATASET_LOOKS = (("#0173b2", "o"), ("#de8f05", "s"))  # colour and marker of two in one panel

# ------------------------------------------------------------------------------ panels and axes


def panels(
    n: int,
    width: float,
    height: float,
    title: str,
    margin: float = 0,
    **options: bool,
) -> tuple[Figure, np.ndarray]:
    """A figure with n panels in a row; for n = 0 one empty panel that says so.

    Args:
        n: number of panels.
        width, height: of each panel, inches.
        title: of the figure.
        margin: inches more, for all panels together.
        options: sharex and sharey of :func:`matplotlib.pyplot.subplots`.
    Returns: the figure; its max(1, n) panels.
    """
    columns = max(1, n)
    size = (margin + width * columns, height)
    options |= {"figsize": size, "squeeze": False}
    fig, axs = plt.subplots(1, columns, **options)
    fig.suptitle(title)
    if n == 0:
        _say_not_run(axs[0, 0])
    return fig, axs[0]


def _say_not_run(ax: Axes) -> None:
    ax.set(xticks=[], yticks=[])
    ax.text(
        0.5,
        0.5,
        "not run",
        fontsize="large",
        ha="center",
        va="center",
        transform=ax.transAxes,
    )


def log_x(ax: Axes, locator: ticker.Locator) -> None:
    """Make the horizontal axis logarithmic, with plain numbers where the locator says."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(ticker.NullFormatter())
    ax.tick_params(axis="x", labelsize="small")


def _different(values: Iterable) -> list:
    """The values without repeats, in the order in which they came."""
    return list(dict.fromkeys(values))


def _mean_and_band(
    ax: Axes,
    x: pd.Series,
    numbers: pd.DataFrame,
    look: labels.Look,
    alpha: float,
) -> None:
    """A curve of means, and one standard deviation to either side of it."""
    mean, sd = numbers["mean"], numbers["sd"]
    ax.plot(x, mean, **look)
    ax.fill_between(
        x,
        mean - sd,
        mean + sd,
        color=look["color"],
        alpha=alpha,
        lw=0,
    )


# --------------------------------------------------------------------------- accuracy and cost


def accuracy_curves(
    curves: pd.DataFrame,
    title: str,
    published: pd.DataFrame | None = None,
) -> Figure:
    """Test accuracy against epoch, one panel a data set; line: mean over seeds, band: ± sd.

    Args:
        curves: columns dataset, method, epoch, mean, sd, n; none gives an empty panel that says so.
        title: what is compared; n and profile are added.
        published: columns dataset, method, epoch, accuracy: open circles, as far as our epochs go.
    """
    groups = curves.groupby("dataset", sort=False)
    fig, axs = panels(len(groups), 5, 4, title, margin=2)
    plt.setp(axs, xlabel="epoch")
    plt.setp(axs, ylabel="test accuracy, mean ± sd")
    for ax, (dataset, ours) in zip(axs, groups, strict=False):
        for method, line in ours.groupby("method", sort=False):
            look = labels.method(method)
            look["label"] += f" (n = {line['n'].max()})"
            _mean_and_band(ax, line["epoch"], line, look, alpha=0.2)
            if published is not None:
                same = published["dataset"] == dataset
                same &= published["method"] == method
                same &= published["epoch"] <= ours["epoch"].max()
                _circles(ax, published[same], look["color"])
        ax.set_title(labels.dataset(dataset))
        _accuracy_axes(ax, ours)
    return fig


def _circles(ax: Axes, published: pd.DataFrame, color: str) -> None:
    ax.plot(
        published["epoch"],
        published["accuracy"],
        color=color,
        marker="o",
        mfc="none",
        ls="none",
    )


def _accuracy_axes(ax: Axes, curves: pd.DataFrame) -> None:
    """Percent, from the worst method late in training on: what comes before is cut off."""
    late = curves[curves["epoch"] > 0.1 * curves["epoch"].max()]
    top = curves["mean"] + curves["sd"].fillna(0)
    ax.set_ylim(late["mean"].min() - 0.002, top.max() + 0.002)
    percent = ticker.PercentFormatter(1, decimals=1)
    ax.yaxis.set_major_locator(ticker.MaxNLocator(steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(percent)
    where = {"loc": "lower right"}
    n_ticks = "auto"
    if curves["method"].nunique() > CROWDED:
        where = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
        n_ticks = 4
    ax.legend(fontsize="small", **where)
    epochs = ticker.MaxNLocator(n_ticks, integer=True)
    ax.xaxis.set_major_locator(epochs)


def cost_curves(table: pd.DataFrame, against: str, title: str) -> Figure:
    """A panel a measure against "n", "density" or "batch": median, bars from quartile to quartile.

    Args:
        table: rows of lib.bench.obtain; none gives an empty panel that says so.
        against: column of the horizontal axis.
        title: of the figure.
    """
    groups = table.groupby("measure", sort=False)
    fig, axs = panels(len(groups), 4.3, 3.8, title)
    for ax, (measure, costs) in zip(axs, groups, strict=False):
        for contender, line in costs.groupby("contender", sort=False):
            line = line.sort_values(against)
            median = line["median_ms"]
            bars = (median - line["low_ms"], line["high_ms"] - median)
            look = labels.CONTENDERS[contender]
            ax.errorbar(line[against], median, bars, ms=5, **look)
        _cost_axes(ax, measure, against, costs[against].unique())
    if len(table):
        axs[0].legend(fontsize="small")
    return fig


def _cost_axes(
    ax: Axes,
    measure: str,
    against: str,
    ticks: np.ndarray,
) -> None:
    unit = "milliseconds"
    if measure == "peak_memory":
        unit = "MiB above torch and kernels"
    ax.set(xlabel=SHARED_AXIS[against], ylabel=unit)
    ax.set_title(measure.replace("_", " "))
    ax.set_yscale("log")
    log_x(ax, ticker.FixedLocator(sorted(ticks)))
    if len(ticks) > 6:
        ax.tick_params(axis="x", labelrotation=45)


# ------------------------------------------------------------------ perturbations and differences


def perturbed_curves(
    table: pd.DataFrame,
    x: str,
    y: str,
    panel: str,
    title: str,
    **options: Any,
) -> tuple[Figure, pd.DataFrame]:
    """Curves of all methods: a row of panels for each data set, a panel for each value of a column.

    Line: mean over seeds, of each the mean over its draws; band: ± sd over seeds.

    Args:
        table: columns dataset, method, seed, the ones named by x, y and panel; none gives an empty
            figure that says so.
        x, y, panel: columns.
        title: of the figure.
        options: ``xlabel`` and ``ylabel``, and what else :meth:`matplotlib.axes.Axes.set` takes.
    Returns: the figure; the numbers drawn: mean, sd and n.
    """
    keys = ["dataset", panel, "method", x]
    numbers = _over_seeds(table, keys, y)
    datasets = _different(numbers["dataset"])
    columns = _different(numbers[panel])
    fig, axs = _grid(len(datasets), len(columns))
    fig.suptitle(f"{title} · {_seeds(numbers)}")
    ylabel = options.get("ylabel", y)
    cells = product(datasets, columns)
    for ax, (dataset, column) in zip(axs.flat, cells, strict=False):
        chosen = numbers["dataset"] == dataset
        chosen &= numbers[panel] == column
        _method_curves(ax, numbers[chosen], x)
        ax.set(title=column, **options)
        ax.set_ylabel(f"{labels.dataset(dataset)}\n{ylabel}")
        if dataset != datasets[0]:
            ax.set_title("")
        if column != columns[0]:
            ax.set_ylabel("")
        _perturbed_axes(ax, options)
    if datasets:
        _legend_of_methods(fig, numbers["method"])
    return fig, numbers


def measures_against(
    table: pd.DataFrame,
    x: str,
    measures: Mapping[str, str],
    title: str,
    xlabel: str,
) -> tuple[Figure, pd.DataFrame]:
    """Several measures of all methods against a few values of one quantity: a row of panels for
    each data set, a panel with an axis of its own for each measure.

    Line: mean over seeds; bar: ± sd.

    Args:
        table: columns dataset, method, seed, measure, value, and the one named by x; none gives an
            empty figure that says so.
        x: column.
        measures: {measure: label of its axis}.
        title, xlabel: of the figure, of the axis of x.
    Returns: the figure; the numbers drawn: mean, sd and n.
    """
    chosen = table[table["measure"].isin(list(measures))]
    numbers = _over_seeds(chosen, ["dataset", "measure", "method", x], "value")
    datasets = _different(numbers["dataset"])
    fig, axs = _grid(len(datasets), len(measures), sharey=False)
    fig.suptitle(f"{title} · {_seeds(numbers)}")
    for row, dataset in zip(axs, datasets, strict=False):
        for ax, (measure, ylabel) in zip(row, measures.items(), strict=True):
            of_panel = (numbers["dataset"] == dataset) & (numbers["measure"] == measure)
            _method_points(ax, numbers[of_panel], x)
            ax.set(title=labels.dataset(dataset), ylabel=ylabel, xlabel=xlabel)
            ax.label_outer(remove_inner_ticks=False)
            ax.set_ylabel(ylabel)
    if datasets:
        _legend_of_methods(fig, numbers["method"])
    return fig, numbers


def _method_points(ax: Axes, numbers: pd.DataFrame, x: str) -> None:
    for method in labels.methods_in(numbers["method"]):
        line = numbers[numbers["method"] == method].sort_values(x)
        look = labels.method(method) | {"lw": 1.3, "marker": "o", "ms": 3.5, "capsize": 2}
        ax.errorbar(line[x], line["mean"], line["sd"].fillna(0), **look)
    ax.set_xscale("log")
    log_x(ax, ticker.FixedLocator(sorted(set(numbers[x]))))


def _over_seeds(
    table: pd.DataFrame,
    keys: list[str],
    y: str,
) -> pd.DataFrame:
    """Mean, sd and n over seeds of what each seed has as mean of its draws."""
    draws = table.groupby([*keys, "seed"], sort=False)[y]
    seeds = draws.mean().groupby(keys, sort=False)
    numbers = seeds.agg(mean="mean", sd="std", n="count")
    return numbers.reset_index()


def _seeds(numbers: pd.DataFrame) -> str:
    if numbers.empty:
        return "not run"
    counts = sorted(set(numbers["n"]))
    return f"n = {' or '.join(map(str, counts))} seeds"


def _grid(n_rows: int, n_columns: int, sharey: bool | str = "row") -> tuple[Figure, np.ndarray]:
    n_rows, n_columns = max(1, n_rows), max(1, n_columns)
    width = max(7.5, 2.2 + 2.6 * n_columns)
    height = 0.9 + 2.3 * n_rows
    return plt.subplots(
        n_rows,
        n_columns,
        figsize=(width, height),
        squeeze=False,
        sharex="col",
        sharey=sharey,
    )


def _method_curves(ax: Axes, numbers: pd.DataFrame, x: str) -> None:
    numbers = numbers.fillna({"sd": 0})
    for method in labels.methods_in(numbers["method"]):
        line = numbers[numbers["method"] == method]
        line = line.sort_values(x)
        look = labels.method(method) | {"lw": 1.3}
        _mean_and_band(ax, line[x], line, look, alpha=0.15)


def _perturbed_axes(ax: Axes, options: Mapping[str, Any]) -> None:
    """Labels at the outer panels alone; from 0 to 1 unless the options say otherwise."""
    ax.label_outer()
    if "log" in options.get("xscale", ""):
        ax.xaxis.set_major_formatter("{x:g}")
    if not {"yscale", "ylim"} & options.keys():
        ax.set_ylim(0, 1.02)


def _legend_of_methods(fig: Figure, methods: Iterable[str]) -> None:
    """One legend beside all panels, in the order of the labels."""
    handles = {}
    for ax in fig.axes:
        for line, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles[label] = line
    ordered = labels.methods_in(methods)
    texts = [labels.method_name(method) for method in ordered]
    lines = [handles[text] for text in texts]
    where = "outside right center"
    fig.legend(lines, texts, loc=where, fontsize="small")


def effects(
    table: pd.DataFrame,
    measures: Mapping[str, str],
    title: str,
) -> Figure:
    """Differences between methods with 95 % intervals, a panel a measure, a row a contrast; a point
    without a bar comes from one seed.

    Args:
        table: rows of :func:`lib.report.intervals.contrasts`; none gives an empty figure that says
            so.
        measures: {measure: label of the axis}.
        title: of the figure.
    """
    measured = set(table["measure"])
    shown = [name for name in measures if name in measured]
    contrasts = labels.contrasts_in(table["contrast"])
    n_lines = max(3, len(contrasts))
    size = (2.4, 1.4 + 0.34 * n_lines)
    fig, axs = panels(len(shown), *size, title, margin=3.2, sharey=True)
    for ax, measure in zip(axs, shown, strict=False):
        ax.axvline(0, color="#bbbbbb", lw=1, zorder=0)
        measured = table[table["measure"] == measure]
        for i, dataset in enumerate(_different(table["dataset"])):
            differences = measured[measured["dataset"] == dataset]
            color, marker = DATASET_LOOKS[i % 2]
            name = labels.dataset(dataset)
            look = labels.look(name, color, "none", marker=marker)
            lift = 0.14 * (1 - 2 * i)  # the first above the line
            _draw_effects(ax, differences, contrasts, lift, look)
        ax.set(xlabel=measures[measure])
        ax.set_yticks(-np.arange(len(contrasts)), contrasts)
        ax.grid(axis="y", color="#eeeeee")
        ax.set_axisbelow(True)
    if shown:
        handles, texts = axs[0].get_legend_handles_labels()
        fig.legend(handles, texts, loc="outside upper right", ncols=2)
    return fig


def _draw_effects(
    ax: Axes,
    differences: pd.DataFrame,
    contrasts: list[str],
    lift: float,
    look: labels.Look,
) -> None:
    """Points with their intervals; each on the line of its contrast, lifted a little."""
    lines = [-contrasts.index(name) for name in differences["contrast"]]
    value = differences["value"]
    ax.errorbar(
        value,
        np.array(lines) + lift,
        xerr=(value - differences["low"], differences["high"] - value),
        lw=1.3,
        ms=4,
        **look,
    )


def transfer_matrices(table: pd.DataFrame, title: str) -> Figure:
    """Accuracy of each network (column) on attacks found on each (row), a panel a data set.

    Args:
        table: columns dataset, source, target, accuracy; none gives an empty panel.
        title: of the figure.
    """
    groups = table.groupby("dataset", sort=False)
    fig, axs = panels(len(groups), 6.2, 5.4, title)
    for ax, (dataset, transfer) in zip(axs, groups, strict=False):
        _transfer_matrix(ax, transfer)
        ax.set_title(labels.dataset(dataset))
        ax.set(xlabel="accuracy of", ylabel="attack found on")
        ax.tick_params(axis="x", labelrotation=40)
        plt.setp(ax.get_xticklabels(), ha="right")
    return fig


def _transfer_matrix(ax: Axes, transfer: pd.DataFrame) -> None:
    sources = labels.methods_in(transfer["source"])
    targets = labels.methods_in(transfer["target"])
    square = transfer.pivot_table("accuracy", "source", "target")
    square = square.reindex(index=sources, columns=targets)
    sns.heatmap(
        square,
        ax=ax,
        xticklabels=[labels.method_name(name) for name in targets],
        yticklabels=[labels.method_name(name) for name in sources],
        cbar=False,
        cmap="cividis",
        vmin=0,
        vmax=1,
        annot=True,
        fmt=".2f",
        annot_kws={"size": 8},
    )
