"""All claims at a glance: a cell a claim, in the colour of its verdict."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from lib.report.layout import legend_beside, panels

COLORS = {  # by verdict; with a sign, for those who see no colours
    "holds": ("#7fcdbb", "✓"),
    "fails": ("#e78ac3", "✗"),
    "open": ("#fee08b", "?"),
    "undecidable": ("#c6c6e8", "–"),
    "not testable": ("#d9d9d9", "∅"),
    "not run": ("#f4f4f4", ""),
}
SHORT = ("smaller", "toy")  # scales that are hatched
HATCH = "////"
PER_ROW = 16  # cells
CELL = 0.42  # inches


def scoreboard(table: pd.DataFrame, title: str, below: str = "") -> Figure:
    """The claims of each paper in rows of cells.

    Args:
        table: columns id, paper, verdict, scale of :func:`lib.report.verdicts.verdicts`.
        title, below: see :func:`lib.report.layout.head`.
    """
    places, headings, height = [], [], 0.0
    for paper, claims in table.groupby("paper", sort=False):
        height += 0.7
        headings.append((paper, height))
        for i, claim in enumerate(claims.to_dict("records")):
            row, column = divmod(i, PER_ROW)
            places.append((claim, column, height + row))
        height += 1 + (len(claims) - 1) // PER_ROW
    fig, (ax,) = panels(1, CELL * PER_ROW, CELL * height + 0.7, title, below, margin=1.6)
    ax.set(xlim=(0, PER_ROW), ylim=(height, 0), aspect="equal")
    ax.set_axis_off()
    for claim, x, y in places:
        color, sign = COLORS[claim["verdict"]]
        look = {"facecolor": color, "edgecolor": "#ffffff", "lw": 0}
        look["hatch"] = HATCH if claim["scale"].startswith(SHORT) else None
        ax.add_patch(Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, **look))
        middle = {"ha": "center", "va": "center"}
        ax.text(x + 0.5, y + 0.36, claim["id"], fontsize=7, **middle)
        ax.text(x + 0.5, y + 0.7, sign, fontsize=7, color="#333333", **middle)
    for paper, y in headings:
        ax.text(0.05, y - 0.12, paper, fontsize="small", color="#555555")
    counts = table["verdict"].value_counts()
    handles = {}
    for name, (color, sign) in COLORS.items():
        text = f"{sign} {name} ({counts.get(name, 0)})".strip()
        handles[text] = Patch(facecolor=color, edgecolor="white")
    handles["smaller than the paper's"] = Patch(facecolor="white", edgecolor="#999999", hatch=HATCH)
    legend_beside(fig, handles)
    return fig
