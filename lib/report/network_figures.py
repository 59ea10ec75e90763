"""Pictures of links: of layers, of an update, of the inputs."""

import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy.sparse
import seaborn as sns
from matplotlib import colors
from matplotlib.figure import Figure

from lib.report.labels import SEQUENTIAL
from lib.report.layout import WIDTH, beside, head, panels

CELL = 25  # neurons
LETTER = 0.08  # inches, of a small title

Groups = Mapping[str, Mapping[str, np.ndarray]]  # {panel: {line: (n,) numbers}}

# ------------------------------------------------------------------------------------ networks


def adjacency_pictures(
    layers: Mapping[str, scipy.sparse.csr_array], title: str, below: str = ""
) -> tuple[Figure, pd.DataFrame]:
    """The links of layers in cells of 25 × 25 neurons, output neurons downwards, one panel a layer;
    white where there are none.

    Args:
        layers: {panel: (n_out, n_in), in the order in which neurons are to be shown}; none gives an
            empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    Returns: the figure; columns panel, row, column (of a cell), density (links over possible ones).
    """
    fig, axs = panels(len(layers), 2.8, 3.1, title, below)
    rows = []
    for ax, (panel, matrix) in zip(axs, layers.items(), strict=False):
        n_out, n_in = matrix.shape
        edges = [np.unique([*range(0, n, CELL), n]) for n in matrix.shape]  # the last may be narrow
        links, *_ = np.histogram2d(*matrix.tocoo().coords, bins=edges)
        density = links / np.outer(*map(np.diff, edges))  # over those that a cell could have
        image = ax.pcolormesh(
            *edges[::-1],
            np.where(density > 0, density, np.nan),
            cmap=SEQUENTIAL,
            norm=colors.LogNorm(1e-3, 1),
        )
        ax.set(xlabel="input neuron", ylabel="output neuron")
        ax.set(title=panel, yinverted=True)
        ax.set_box_aspect(n_out / n_in)
        for (row, column), share in np.ndenumerate(density):
            rows.append((panel, row, column, float(share)))
    if layers:
        fig.colorbar(image, ax=axs, label="share of possible links")
    columns = ["panel", "row", "column", "density"]
    return fig, pd.DataFrame(rows, columns=columns)


# -------------------------------------------------------------------------------------- inputs


def input_maps(maps: Groups, title: str, below: str = "") -> tuple[Figure, pd.DataFrame]:
    """The links of every pixel of square images: a grid of panels with one colour scale.

    Args:
        maps: {row: {column: (n,) links of each pixel, row by row}}; none gives an empty panel that
            says so.
        title, below: see :func:`lib.report.layout.head`.
    Returns: the figure; columns network, shown, row, column, value.
    """
    if not maps:
        fig, _ = panels(0, 4, 3, title, below)
        return fig, pd.DataFrame()
    n_rows, n_columns = len(maps), max(map(len, maps.values()))
    size = min(WIDTH, 1.2 + 2.1 * n_columns), 0.9 + 1.9 * n_rows
    fig, axs = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False)
    plt.setp(axs, xticks=[], yticks=[])
    sns.despine(fig, left=True, bottom=True)
    head(fig, title, below)
    letters = int(fig.get_figwidth() / axs.shape[1] / LETTER)
    top = max(values.max() for columns in maps.values() for values in columns.values())
    rows = []
    for line, (network, columns) in zip(axs, maps.items(), strict=True):
        line[0].set_ylabel(beside(network), fontsize="small")
        for ax, (shown, values) in zip(line, columns.items(), strict=False):
            side = int(len(values) ** 0.5)
            square = values.reshape(side, side)
            image = ax.imshow(square, cmap=SEQUENTIAL, vmin=0, vmax=top)
            lines = [*shown.split("\n"), f"{(values == 0).sum()} unlinked"]
            text = "\n".join(textwrap.fill(line, letters) for line in lines)
            ax.set_title(text, fontsize="small")
            for (row, column), value in np.ndenumerate(square):
                rows.append((network, shown, row, column, value))
    fig.colorbar(image, ax=axs, label="links of a pixel", shrink=0.8)
    columns = ["network", "shown", "row", "column", "value"]
    return fig, pd.DataFrame(rows, columns=columns)
