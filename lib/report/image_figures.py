"""Rows of grey images, and such rows that move."""

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from lib.report import figures

GREYS = 8  # of an animation: few make a small file
SCALE = 3  # screen pixels a pixel


def image_rows(
    rows: Mapping[str, np.ndarray], title: str, *, signed: bool = False
) -> tuple[Figure, pd.DataFrame]:
    """Images side by side, a row a name.

    Args:
        rows: {name: (n, height, width)}, in [0, 1] unless signed; none gives an empty panel that
            says so.
        title: of the figure.
        signed: whether values are about 0, each row on a scale of its own.
    Returns: the figure; columns name, image, row, column, value.
    """
    if not rows:
        fig, _ = figures.panels(0, 8, 2, title)
        return fig, pd.DataFrame(columns=["name", "image", "row", "column", "value"])
    size = 8, 0.5 + 0.8 * len(rows)
    fig, axs = plt.subplots(len(rows), 1, figsize=size, squeeze=False)
    fig.suptitle(title)
    tables = []
    for ax, (name, images) in zip(axs[:, 0], rows.items(), strict=True):
        top = max(float(np.abs(images).max()), 1e-12) if signed else 1
        look = {"cmap": "vlag" if signed else "Greys", "vmin": -top if signed else 0, "vmax": top}
        ax.imshow(_strip(images), **look)
        ax.set(xticks=[], yticks=[])
        ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize="small")
        tables.append(_table(name, images))
    sns.despine(fig, left=True, bottom=True)
    return fig, pd.concat(tables, ignore_index=True)


def animation(frames: np.ndarray) -> bytes:
    """A GIF of rows of images, without an end.

    Args:
        frames: (frames, n, height, width) in [0, 1], 1 black.
    """
    pages = []
    for images in frames:
        levels = np.round((1 - _strip(images)) * (GREYS - 1)) * (255 / (GREYS - 1))
        pixels = levels.astype(np.uint8).repeat(SCALE, 0).repeat(SCALE, 1)
        pages.append(Image.fromarray(pixels).quantize(GREYS))
    file = io.BytesIO()
    pages[0].save(file, "GIF", save_all=True, append_images=pages[1:], duration=150, loop=0)
    return file.getvalue()


def _strip(images: np.ndarray) -> np.ndarray:
    """(height, width) images beside each other with a column between them."""
    padded = np.pad(images, ((0, 0), (0, 0), (0, 1)))
    return np.concatenate(list(padded), axis=1)


def _table(name: str, images: np.ndarray) -> pd.DataFrame:
    index = np.indices(images.shape).reshape(3, -1)
    columns = dict(zip(("image", "row", "column"), index, strict=True))
    return pd.DataFrame({"name": name, **columns, "value": images.ravel()})
