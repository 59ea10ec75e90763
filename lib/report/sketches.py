"""Pictures of the smallest demonstrations: a few matrices; nothing over seeds."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from lib.report.labels import GREY, SEQUENTIAL, SIGNED
from lib.report.layout import panels

SIZE = 1.9  # inches of a matrix


def matrices(shown: Mapping[str, np.ndarray], title: str, quantity: str, below: str = "") -> Figure:
    """Matrices, or grey images, beside each other on one colour scale; what is nan stays white.

    Args:
        shown: {what stands above: (rows, columns)}, one or more. Numbers of both signs get a scale
            that is symmetric about 0.
        title, below: see :func:`lib.report.layout.head`.
        quantity: what the numbers are.
    """
    fig, axs = panels(len(shown), SIZE, SIZE + 0.7, title, below, margin=0.9, per_row=5)
    pool = np.concatenate([np.ravel(matrix) for matrix in shown.values()])
    low, high = np.nanmin(pool), np.nanmax(pool)
    looks = {"cmap": SEQUENTIAL, "vmin": low, "vmax": high}
    if low < 0 < high:
        top = max(-low, high)
        looks = {"cmap": SIGNED, "vmin": -top, "vmax": top}
    for ax, (name, matrix) in zip(axs, shown.items(), strict=True):
        image = ax.imshow(matrix, **looks)
        ax.set(xticks=[], yticks=[])
        ax.set_title(name, fontsize="small")
        ax.spines[:].set(visible=True, color=GREY)
    fig.colorbar(image, ax=axs, label=quantity, shrink=0.7)
    return fig
