"""How far SET is above its rivals on every data set, as a picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.papers.set.rbm.tables import RIVALS
from lib.report import labels
from lib.report.layout import handles_of, legend_beside, panels, plain_logs

ROW = 0.42  # inches, of a data set
MARKERS = dict(zip(RIVALS, "sDo", strict=True))
LINEAR = 1.0  # nats, beyond which the axis is logarithmic
LARGEST = 300.0  # nats, where intervals of few seeds are cut


def differences(ranked: pd.DataFrame, title: str, below: str = "") -> Figure:
    """SET minus each rival, nats, with 95 % intervals over seeds: a row a data set; hollow where
    the estimates do not tell the two apart.

    Args:
        ranked: of :func:`lib.papers.set.rbm.tables.ranked`; none gives an empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    """
    datasets = list(ranked["dataset"].unique())
    height = 1.3 + ROW * max(3, len(datasets))
    fig, (ax,) = panels(min(1, len(datasets)), 5.4, height, title, below, margin=2.4)
    if not datasets:
        return fig
    ax.axvline(0, color="#bbbbbb", lw=1, zorder=0)
    for i, rival in enumerate(RIVALS):
        of_rival = ranked[ranked["SET minus"] == labels.method_name(rival)]
        look = labels.method(rival) | {"marker": MARKERS[rival], "ls": "none", "ms": 5}
        _points(ax, of_rival, datasets, 0.22 * (1 - i), look)
    ax.set_xscale("symlog", linthresh=LINEAR)
    plain_logs(ax)
    low, high = ax.get_xlim()
    ax.set_xlim(max(low, -LARGEST), min(high, LARGEST))
    ax.set_yticks(-np.arange(len(datasets)), datasets)
    ax.set_ylim(0.5 - len(datasets), 0.5)
    ax.grid(axis="y", color="#eeeeee")
    ax.set_axisbelow(True)
    ax.set_xlabel("nats that SET is above the rival (logarithmic beyond ±1)")
    legend_beside(fig, handles_of([ax]))
    return fig


def _points(
    ax: Axes, rows: pd.DataFrame, datasets: list[str], lift: float, look: labels.Look
) -> None:
    """A point with its interval for every data set, lifted a little off its line."""
    for row in rows.to_dict("records"):
        y = lift - datasets.index(row["dataset"])
        is_apart = row["told apart"]
        bars = [[row["nats"] - row["low"]], [row["high"] - row["nats"]]]
        fill = look["color"] if is_apart else "white"
        ax.errorbar(row["nats"], y, xerr=bars, mfc=fill, **look | {"lw": 1.3})
