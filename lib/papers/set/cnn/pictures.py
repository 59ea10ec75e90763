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
DRAWN = 0.98  # of the values are within the colours of a panel


def links_of_channels(
    records: Sequence[Record], title: str, below: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """The links of every channel in each epoch over their mean, one panel a network; the most
    useful channels of the last epoch at the top, colours on a scale of ratios of its own.

    Args:
        records: whose networks; none gives an empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    Returns: the figure; columns panel, rank (0: the most useful channel), epoch, links (over the
        mean).
    """
    fig, axs = panels(len(records), 3.4, 3.2, title, below, margin=1, sharey=True)
    maps = {labels.method_name(record.config.method): _ranked(record) for record in records}
    rows = []
    for ax, (name, image) in zip(axs, maps.items(), strict=False):
        times = np.exp(np.quantile(np.abs(np.log(image.clip(1e-3))), DRAWN))
        scale = LogNorm(1 / times, times)
        drawn = ax.imshow(image, aspect="auto", cmap=SIGNED, norm=scale)
        ax.set(title=name, xlabel="epoch")
        ax.set_ylabel("channels, most useful first", fontsize="small")
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        bar = fig.colorbar(drawn, ax=ax, label="links ÷ mean", extend="both")
        ticks = np.geomspace(1 / times, times, 5)
        bar.ax.yaxis.set_major_locator(ticker.FixedLocator(list(ticks)))
        bar.ax.yaxis.set_major_formatter(ticker.FormatStrFormatter("%.2f"))
        bar.ax.yaxis.set_minor_locator(ticker.NullLocator())
        for (rank, epoch), links in np.ndenumerate(image):
            rows.append((name, rank, epoch, float(links)))
    if maps:
        axs[-1].set_ylabel("")
    return fig, pd.DataFrame(rows, columns=COLUMNS)


def _ranked(record: Record) -> np.ndarray:
    """(C, epochs + 1) links over their mean, by falling usefulness at the end."""
    links = record.arrays[f"{ARRAYS}{LINKS}"]
    useful = record.arrays[f"{ARRAYS}{USEFULNESS}"][-1]
    order = np.argsort(-useful, kind="stable")
    return (links / links.mean(1, keepdims=True)).T[order]
