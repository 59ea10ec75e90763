"""Numbers with intervals about 0, a row a name."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.figure import Figure

from lib.report import labels
from lib.report.figures import seeds
from lib.report.layout import (
    AROUND,
    PER_ROW,
    handles_of,
    legend_beside,
    outer_labels,
    panels,
)

LETTERS = 22  # of a line above a panel
SERIES = (
    {"marker": "o", "mfc": "#333333"},
    {"marker": "s", "mfc": "white"},
    {"marker": "^", "mfc": "#999999"},
    {"marker": "D", "mfc": "white"},
)
APART, SPREAD = 0.26, 0.6  # rows, at most: of two series next to each other, of all of a name


def gaps(
    table: pd.DataFrame,
    xlabel: str,
    title: str,
    below: str = "",
    *,
    panel: str = "dataset",
    sharex: bool = True,
) -> Figure:
    """Numbers with intervals about 0: a row a name, up to four series, a panel a data set or a
    value of another column. A name without numbers in a panel says so there.

    Args:
        table: columns name, series, value, low, high, n, and the one named by panel; none gives an
            empty panel that says so.
        xlabel: what the numbers are.
        title, below: see :func:`lib.report.layout.head`; n is added.
        panel: column.
        sharex: whether all panels have one scale.
    """
    shown = labels.datasets_in(table[panel])
    of_panels = [table[table[panel] == value] for value in shown]
    if shown:
        below = f"{below} · {seeds(*(rows['n'] for rows in of_panels))}"
    names = list(dict.fromkeys(table["name"]))
    series = list(dict.fromkeys(table["series"]))
    looks = dict(zip(series, SERIES, strict=False))
    apart = min(APART, SPREAD / max(1, len(series) - 1))
    of_name = max(0.3, 0.15 * len(series))  # inches
    height = 0.8 + of_name * max(2, len(names))
    n_rows = max(1, -(-len(shown) // PER_ROW))
    height += AROUND / n_rows
    options = {"margin": 2.6 if len(series) == 1 else 3.8, "sharey": True, "sharex": sharex}
    width = 2.4 if len(shown) > 1 else 3.6
    fig, axs = panels(len(shown), width, height, title, below, **options)
    for ax, value, in_panel in zip(axs, shown, of_panels, strict=False):
        ax.axvline(0, color="#bbbbbb", lw=1, zorder=0)
        here = [one for one in series if one in set(in_panel["series"])]
        for i, one in enumerate(here):
            rows = _of(in_panel, series=one)
            lift = apart * ((len(here) - 1) / 2 - i)
            place = [-names.index(name) + lift for name in rows["name"]]
            bars = np.array([rows["value"] - rows["low"], rows["high"] - rows["value"]])
            look = {"color": "#333333", "ls": "none", "ms": 4, "lw": 1.2, **looks[one]}
            bars = np.where(np.isfinite(bars), bars, 0.0)
            ax.errorbar(rows["value"], place, xerr=bars, label=one, **look)
        named = set(in_panel["name"])
        text = {"va": "center", "color": "#777777", "fontsize": "x-small"}
        for i, name in enumerate(names):
            if name not in named:
                ax.annotate("no number", (0.03, -i), xycoords=("axes fraction", "data"), **text)
        ax.set_yticks(-np.arange(len(names)), names, fontsize="small")
        ax.set_title(textwrap.fill(labels.dataset(value), LETTERS), fontsize="small")
        ax.set_xlabel(xlabel, fontsize="small")
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}".replace("-", "\N{MINUS SIGN}"))
        ax.tick_params(axis="x", labelsize="small")
        ax.grid(axis="y", color="#eeeeee")
        ax.set_axisbelow(True)
        ax.set_ylim(0.5 - len(names), 0.5)
    outer_labels(axs)
    for ax in axs:
        ax.tick_params(axis="x", labelbottom=True)  # the last row may be short
    if len(series) > 1:
        legend_beside(fig, handles_of(axs))
    return fig


def _of(table: pd.DataFrame, **values: str) -> pd.DataFrame:
    """The rows with these values of some columns."""
    for name, value in values.items():
        table = table[table[name] == value]
    return table
