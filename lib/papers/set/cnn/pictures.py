"""The picture of links that follow channels."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from lib.papers.set.cnn.channels import ARRAYS, LINKS, USEFULNESS
from lib.report import labels
from lib.report.labels import SIGNED
from lib.report.layout import panels
from lib.runs.record import Record

COLUMNS = ["panel", "rank", "epoch", "links"]
TIMES = 2.0  # the mean; further away colours do not change


def links_of_channels(
    records: Sequence[Record], title: str, below: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """The links of every channel in each epoch over their mean, one panel a network; the most
    useful channels of the last epoch at the top.

    Args:
        records: whose networks; none gives an empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    Returns: the figure; columns panel, rank (0: the most useful channel), epoch, links (over the
        mean).
    """
    fig, axs = panels(len(records), 3.4, 3.2, title, below, margin=1, sharey=True)
    maps = {labels.method_name(record.config.method): _ranked(record) for record in records}
    scale = LogNorm(1 / TIMES, TIMES)
    rows = []
    for ax, (name, image) in zip(axs, maps.items(), strict=False):
        drawn = ax.imshow(image, aspect="auto", cmap=SIGNED, norm=scale)
        ax.set(title=name, xlabel="epoch", ylabel="channels, by usefulness")
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        for (rank, epoch), links in np.ndenumerate(image):
            rows.append((name, rank, epoch, float(links)))
    if maps:
        axs[-1].set_ylabel("")
        bar = fig.colorbar(drawn, ax=axs, label="links over the mean", extend="max")
        bar.ax.yaxis.set_major_locator(ticker.FixedLocator([0.5, 0.7, 1, 1.4, 2]))
        bar.ax.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        bar.ax.yaxis.set_minor_locator(ticker.NullLocator())
    return fig, pd.DataFrame(rows, columns=COLUMNS)


def _ranked(record: Record) -> np.ndarray:
    """(C, epochs + 1) links over their mean, by falling usefulness at the end."""
    links = record.arrays[f"{ARRAYS}{LINKS}"]
    useful = record.arrays[f"{ARRAYS}{USEFULNESS}"][-1]
    order = np.argsort(-useful, kind="stable")
    return (links / links.mean(1, keepdims=True)).T[order]
