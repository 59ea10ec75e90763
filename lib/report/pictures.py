"""Images as such: what a network is shown."""

import pandas as pd
from matplotlib.figure import Figure

from lib.report import labels
from lib.report.layout import panels

PICTURE = 1.45  # inches


def fooling_images(table: pd.DataFrame, title: str, below: str = "") -> Figure:
    """An image and what fools each network, a row a data set; the class seen and the distance stand
    above.

    Args:
        table: columns dataset, name, seen (class), distance (L2), pixels ((n,) from 0 to 1, of a
            square image); none gives an empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    """
    per_row = int(table.groupby("dataset").size().max()) if len(table) else 1
    fig, axs = panels(len(table), PICTURE, PICTURE + 0.75, title, below, per_row=per_row)
    for ax, row in zip(axs, table.to_dict("records"), strict=False):
        side = int(len(row["pixels"]) ** 0.5)
        ax.imshow(row["pixels"].reshape(side, side), cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        lines = [row["name"].replace(", ", ",\n"), labels.class_name(row["dataset"], row["seen"])]
        if row["distance"]:
            lines.append(f"L2 {row['distance']:.2f}")
        ax.set_title("\n".join(lines), fontsize="x-small")
    return fig
