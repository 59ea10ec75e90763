"""Spectra of layers, exponents by range, layers as they learn, what it takes to fool a network."""

import textwrap
from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.report import labels
from lib.report.figures import described, in_order, method_curves, over_seeds
from lib.report.layout import beside, handles_of, legend_beside, log_x, panels

MARKED = "#dddddd"  # of ranks that are fitted
MARKERS = "os^DvP"


def spectra(
    table: pd.DataFrame,
    title: str,
    below: str = "",
    *,
    ranks: tuple[int, int] = (10, 500),
) -> tuple[Figure, pd.DataFrame]:
    """Eigenvalues relative to the largest against their rank, on logarithmic axes, a panel for each
    value of the column panel; line: mean of the logarithms over seeds, band: ± sd.

    Args:
        table: columns dataset, panel, method, seed, rank, share; none gives an empty figure that
            says so.
        title, below: see :func:`lib.report.layout.head`; n is added.
        ranks: that are fitted, marked.
    Returns: the figure; the numbers drawn: mean, sd (decimal logarithms) and n, at some 40 ranks,
        as far as all seeds of a curve reach.
    """
    if table.empty:
        return panels(0, 4, 3, title, below)[0], table
    kept = {round(rank) for rank in np.geomspace(1, table["rank"].max(), 60)}
    chosen = table[table["rank"].isin(kept)]
    chosen = chosen.assign(log_share=np.log10(chosen["share"]))
    numbers = over_seeds(chosen, ["dataset", "panel", "method", "rank"], "log_share")
    seeds = numbers.groupby(["panel", "method"])["n"].transform("max")
    numbers = numbers[numbers["n"] == seeds]
    names_of_panels = list(dict.fromkeys(numbers["panel"]))
    below, names = described(numbers, below or "mean ± sd over seeds")
    per_row = min(3, len(names_of_panels))
    fig, axs = panels(
        len(names_of_panels), 2.6, 2.9, title, below, margin=2, per_row=per_row, sharey=True
    )
    for ax, panel in zip(axs, names_of_panels, strict=False):
        ax.axvspan(*ranks, color=MARKED, alpha=0.4, lw=0, zorder=0)
        method_curves(ax, numbers[numbers["panel"] == panel], "rank", names)
        log_x(ax, ticker.FixedLocator([1, 10, 100, 1000]))
        ax.yaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        ax.yaxis.set_major_formatter(lambda power, _: _power_of_ten(power))
        ax.tick_params(axis="y", labelsize="small")
        ax.set_title(textwrap.fill(panel, 16), fontsize="small")
        ax.set_xlabel("rank", fontsize="small")
    for ax in axs[::per_row]:
        ax.set_ylabel("eigenvalue / largest", fontsize="small")
    legend_beside(fig, in_order(handles_of(axs), names))
    return fig, numbers


def _power_of_ten(power: float) -> str:
    """As "0.01"; from the fourth on as "10⁻⁴"."""
    return f"{10.0**power:g}" if power > -4 else f"$10^{{{power:.0f}}}$"


def exponents_by_range(
    table: pd.DataFrame, title: str, below: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """The exponent by every range of ranks, a row each, a panel for ordinary and for weighted fits;
    bars: ± sd over seeds.

    Args:
        table: columns dataset, method, seed, range, weighted, value; none gives an empty panel.
        title, below: see :func:`lib.report.layout.head`; n is added.
    Returns: the figure; the numbers drawn: mean, sd and n.
    """
    numbers = over_seeds(table, ["dataset", "weighted", "range", "method"], "value")
    below, names = _described(numbers, below or "mean ± sd over seeds")
    weightings = list(dict.fromkeys(numbers["weighted"]))
    ranges = list(dict.fromkeys(numbers["range"]))
    fig, axs = panels(
        len(weightings),
        3,
        1.8 + 0.4 * len(ranges),
        title,
        below,
        margin=3,
        sharey=True,
        sharex=True,
    )
    for ax, weighted in zip(axs, weightings, strict=False):
        of_panel = numbers[numbers["weighted"] == weighted]
        for k, method in enumerate(names):
            rows = of_panel[of_panel["method"] == method]
            shift = 0.13 * (k - (len(names) - 1) / 2)
            place = [-ranges.index(name) - shift for name in rows["range"]]
            look = labels.method(method) | {"label": names[method], "ls": "none"}
            bars = {"marker": MARKERS[k % len(MARKERS)], "ms": 4.5, "capsize": 2}
            ax.errorbar(rows["mean"], place, xerr=rows["sd"].fillna(0), **(look | bars))
        ax.set_yticks(-np.arange(len(ranges)), ranges, fontsize="small")
        ax.set_title("weighted by 1 / rank" if weighted else "every rank alike", fontsize="small")
        ax.set_xlabel("exponent")
        ax.grid(axis="y", color="#eeeeee")
    if len(numbers):
        legend_beside(fig, in_order(handles_of(axs), names))
    return fig, numbers


def courses(
    table: pd.DataFrame,
    x: str,
    measures: Mapping[str, str],
    title: str,
    below: str = "",
    *,
    xlabel: str,
    log: bool = False,
    height: float = 2.1,
) -> tuple[Figure, pd.DataFrame]:
    """Measures of layers as they learn, a panel with an axis of its own each; rows: data sets.

    Args:
        table: columns dataset, method, seed, the one named by x, and the measures; none gives an
            empty figure that says so.
        x: column.
        measures: {column: label of its axis}.
        title, below: see :func:`lib.report.layout.head`; n is added.
        xlabel: of the axis of x.
        log: whether that is logarithmic; 0 is then left out.
        height: of a panel, inches.
    Returns: the figure; the numbers drawn: mean, sd and n.
    """
    parts = []
    for measure in measures:
        part = table[["dataset", "method", "seed", x, measure]] if len(table) else table
        if len(part):
            parts.append(part.rename(columns={measure: "value"}).assign(measure=measure))
    long = pd.concat(parts).dropna(subset=["value"]) if parts else pd.DataFrame()
    if long.empty:
        return panels(0, 4, 3, title, below)[0], long
    if log:
        long = long[long[x] > 0]
    numbers = over_seeds(long, ["dataset", "measure", "method", x], "value")
    cells = list(product(labels.datasets_in(numbers["dataset"]), measures))
    below, names = described(numbers, below or "mean ± sd over seeds")
    per_row = min(4, len(measures))
    fig, axs = panels(len(cells), 2.3, height, title, below, margin=1.2, per_row=per_row)
    for ax, (dataset, measure) in zip(axs, cells, strict=False):
        of_panel = (numbers["dataset"] == dataset) & (numbers["measure"] == measure)
        method_curves(ax, numbers[of_panel], x, names)
        if log:
            log_x(ax, ticker.LogLocator())
        ax.tick_params(labelsize="small")
        if dataset == cells[0][0]:
            ax.set_title(measures[measure], fontsize="small")
        if measure == next(iter(measures)):
            ax.set_ylabel(beside(labels.dataset(dataset)), fontsize="small")
        if dataset == cells[-1][0]:
            ax.set_xlabel(xlabel, fontsize="small")
    if len(names) > 1:
        legend_beside(fig, in_order(handles_of(axs), names))
    return fig, numbers


def norms_against_accuracy(
    table: pd.DataFrame,
    attacks: Mapping[str, str],
    title: str,
    below: str = "",
    *,
    xlabel: str = "median L2 norm",
    own_axes: bool = False,
) -> tuple[Figure, pd.DataFrame]:
    """Accuracy against what it takes to fool a network, a panel for each attack, a row for each
    data set and network; hollow where the numbers are published.

    Args:
        table: columns dataset, network, method, seed, measure ("accuracy" or an attack), value,
            published (bool); none gives an empty figure that says so.
        attacks: {measure: as people read it}.
        title, below: see :func:`lib.report.layout.head`; n is added.
        xlabel: of the norms.
        own_axes: whether each panel has an axis of its own for the norms, a linear one, instead of
            a logarithmic one for each attack.
    Returns: the figure; the numbers drawn: mean, sd and n.
    """
    if table.empty:
        return panels(0, 4, 3, title, below)[0], table
    keys = ["dataset", "network", "published", "method", "measure"]
    numbers = over_seeds(table, keys, "value")
    ours = numbers[~numbers["published"]]
    below, names = _described(ours if len(ours) else numbers, below or "bars: sd over seeds")
    places = (ours if len(ours) else numbers)[["dataset", "network"]].drop_duplicates()
    rows = list(places.itertuples(index=False, name=None))
    cells = list(product(rows, attacks))
    fig, axs = panels(
        len(cells),
        2.2,
        2.2,
        title,
        below,
        margin=1.9,
        per_row=len(attacks),
        sharey="row",
        sharex=False if own_axes else "col",
    )
    for ax, ((dataset, network), attack) in zip(axs, cells, strict=False):
        of_row = (numbers["dataset"] == dataset) & (numbers["network"] == network)
        _points(ax, numbers[of_row | numbers["published"]], attack, names)
        if own_axes:
            ax.xaxis.set_major_locator(ticker.MaxNLocator(4, steps=[1, 2, 5, 10]))
        else:
            log_x(ax, ticker.LogLocator(subs=(1, 2, 5)))
        if (dataset, network) == rows[0]:
            ax.set_title(attacks[attack], fontsize="small")
        if (dataset, network) == rows[-1]:
            ax.set_xlabel(xlabel, fontsize="small")
        if attack == next(iter(attacks)):
            name = ", ".join(filter(None, (labels.dataset(dataset), network)))
            ax.set_ylabel(f"{beside(name)}\ntest accuracy", fontsize="small")
    legend_beside(fig, in_order(handles_of(axs), names))
    return fig, numbers


def _described(numbers: pd.DataFrame, below: str) -> tuple[str, dict[str, str]]:
    """As :func:`lib.report.figures.described`, where every method has its colour."""
    below, names = described(numbers, below)
    return below.split("\ngrey:")[0], names


def _points(ax: Axes, numbers: pd.DataFrame, attack: str, names: dict[str, str]) -> None:
    """A point with its bars for each method."""
    for k, method in enumerate(names):
        for published, rows in numbers[numbers["method"] == method].groupby("published"):
            by_measure = rows.drop_duplicates("measure").set_index("measure")
            if not {"accuracy", attack} <= set(by_measure.index):
                continue
            x, y = by_measure.loc[attack], by_measure.loc["accuracy"]
            look = labels.method(method) | {"ls": "none", "marker": MARKERS[k % len(MARKERS)]}
            look |= {"label": "_" if published else names.get(method, "_"), "ms": 6, "capsize": 2}
            if published:
                look |= {"mfc": "white", "alpha": 0.7}
            errors = np.nan_to_num([x["sd"], y["sd"]])
            ax.errorbar(x["mean"], y["mean"], errors[1], errors[0], **look)
    ax.tick_params(labelsize="x-small")
