"""Measures as they change in training, a panel each."""

from collections.abc import Mapping
from itertools import product

import pandas as pd
from matplotlib import ticker
from matplotlib.figure import Figure

from lib.report import labels
from lib.report.figures import described, in_order, method_curves, over_seeds
from lib.report.layout import beside, handles_of, legend_beside, log_x, panels


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
