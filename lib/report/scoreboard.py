"""All claims at a glance: a cell a claim, in the colour of its verdict."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from lib.report.layout import legend_beside, panels

COLORS = {  # by the first words of a verdict; with a sign, for those who see no colours
    "reproduced": ("#7fcdbb", "✓"),
    "not reproduced": ("#e78ac3", "✗"),
    "inconclusive": ("#fee08b", "?"),
    "not run": ("#eeeeee", ""),
}
PER_ROW = 16  # cells
CELL = 0.42  # inches


def scoreboard(table: pd.DataFrame, title: str, below: str = "") -> Figure:
    """The claims of each paper in rows of cells.

    Args:
        table: columns id, paper, verdict, as :func:`lib.report.verdicts.verdicts` gives them.
        title, below: see :func:`lib.report.layout.head`.
    """
    papers = list(dict.fromkeys(table["paper"]))
    places, height = [], 0.0
    for paper in papers:
        ids = table.loc[table["paper"] == paper, "id"]
        height += 0.7
        for i, claim in enumerate(ids):
            row, column = divmod(i, PER_ROW)
            places.append((claim, column, height + row))
        height += 1 + (len(ids) - 1) // PER_ROW
    fig, (ax,) = panels(1, CELL * PER_ROW, CELL * height + 0.7, title, below, margin=1.6)
    ax.set(xlim=(0, PER_ROW), ylim=(height, 0), aspect="equal")
    ax.set_axis_off()
    verdicts = table.set_index("id")["verdict"]
    for claim, x, y in places:
        _cell(ax, claim, verdicts[claim], x, y)
    for paper in papers:
        first = table.loc[table["paper"] == paper, "id"].iloc[0]
        (y,) = (y for claim, _, y in places if claim == first)
        ax.text(0.05, y - 0.12, paper, fontsize="small", color="#555555")
    counts = verdicts.map(kind).value_counts()
    handles = {}
    for name, (color, sign) in COLORS.items():
        text = f"{sign} {name} ({counts.get(name, 0)})".strip()
        handles[text] = Patch(facecolor=color, edgecolor="white")
    legend_beside(fig, handles)
    return fig


def kind(verdict: str) -> str:
    """A verdict without what limits it."""
    return verdict.partition(" (")[0]


def _cell(ax: Axes, claim: str, verdict: str, x: float, y: float) -> None:
    color, sign = COLORS[kind(verdict)]
    ax.add_patch(Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, color=color, lw=0))
    middle = {"ha": "center", "va": "center"}
    ax.text(x + 0.5, y + 0.36, claim, fontsize=7, **middle)
    ax.text(x + 0.5, y + 0.7, sign, fontsize=7, color="#333333", **middle)
