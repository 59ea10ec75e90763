"""Images as such: what a network is shown."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from lib.report import labels
from lib.report.layout import AROUND, WIDTH, panels

PICTURE = 1.45  # inches
KEY = "red above 0, blue below"
STRIP = 1.0  # inches, of a row of images and its name
ENLARGED = 10  # times, changes that fool


def fooling_images(table: pd.DataFrame, title: str, below: str = "") -> Figure:
    """An image and what fools each network, a row a data set; the class seen and the distance stand
    above, and below the change from the first image of the row, enlarged.

    Args:
        table: columns dataset, name, seen (class), distance (L2), pixels ((n,) from 0 to 1, of a
            square image); none gives an empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    """
    groups = [rows.to_dict("records") for _, rows in table.groupby("dataset", sort=False)]
    per_row = max(map(len, groups), default=1)
    n = 2 * per_row * len(groups)
    below = " · ".join(filter(None, [below, f"lower rows: the change, {ENLARGED} times, {KEY}"]))
    fig, axs = panels(n, PICTURE, PICTURE + 0.4, title, below, per_row=per_row)
    for ax in axs[:n]:
        ax.set_axis_off()
    for line, rows in enumerate(groups):
        first = 2 * per_row * line
        for i, row in enumerate(rows):
            side = int(len(row["pixels"]) ** 0.5)
            ax = axs[first + i]
            ax.imshow(row["pixels"].reshape(side, side), cmap="gray", vmin=0, vmax=1)
            seen = labels.class_name(row["dataset"], row["seen"])
            distance = [f"L2 {row['distance']:.2f}"] if row["distance"] else []
            lines = [row["name"].replace(", ", ",\n"), seen, *distance]
            ax.set_title("\n".join(lines), fontsize="x-small")
            if i > 0:
                change = ENLARGED * (row["pixels"] - rows[0]["pixels"])
                ax = axs[first + per_row + i]
                ax.imshow(change.reshape(side, side), cmap="RdBu_r", vmin=-1, vmax=1)
    return fig


def image_rows(
    rows: Mapping[str, np.ndarray],
    title: str,
    below: str = "",
    *,
    signed: bool = False,
    per_line: int | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Images side by side, a row a name.

    Args:
        rows: {name: (n, height, width)}, from 0, black, to 1, white; none gives an empty panel that
            says so.
        title, below: see :func:`lib.report.layout.head`.
        signed: whether values are about 0, which is white; below it they are blue, above it red,
            each row on a scale of its own. The figure says so.
        per_line: images beside each other, as many lines as that takes; None: all of a row.
    Returns: the figure; columns name, image, row, column, value.
    """
    lines = [math.ceil(len(images) / (per_line or len(images))) for images in rows.values()]
    height = STRIP * max(lines, default=1) + AROUND / max(1, len(rows))
    if signed:
        below = " · ".join(filter(None, [below, KEY]))
    fig, axs = panels(len(rows), WIDTH, height, title, below, per_row=1)
    tables = []
    for ax, (name, images) in zip(axs, rows.items(), strict=False):
        colormap, bottom, top = "gray", 0.0, 1.0
        if signed:
            top = max(float(np.abs(images).max()), 1e-12)
            colormap, bottom = "RdBu_r", -top
        ax.imshow(
            _strip(images, per_line or len(images)),
            cmap=colormap,
            vmin=bottom,
            vmax=top,
            interpolation="nearest",
        )
        ax.set_title(name, fontsize="small", loc="left")
        ax.set_axis_off()
        ax.set_anchor("W")
        index = np.indices(images.shape).reshape(3, -1)
        columns = dict(zip(("image", "row", "column"), index, strict=True))
        values = images.ravel().round(4)
        tables.append(pd.DataFrame({"name": name, **columns, "value": values}))
    if not tables:
        return fig, pd.DataFrame(columns=["name", "image", "row", "column", "value"])
    return fig, pd.concat(tables, ignore_index=True)


def _strip(images: np.ndarray, per_line: int) -> np.ndarray:
    """(height, width) images beside each other, with a column behind each that is not drawn."""
    from lib.data.vision import make_grid  # two seconds to import, and needed by few pictures

    tiles = torch.tensor(images, dtype=torch.float64)[:, None]
    tiles = F.pad(tiles, (0, 1), value=math.nan)
    return make_grid(tiles, nrow=per_line, padding=0)[0].numpy()


def seen_regions(
    images: np.ndarray, maps: np.ndarray, hidden: np.ndarray, title: str, below: str = ""
) -> Figure:
    """Images, where features see something on them, and what of them was hidden: a row each.

    Args:
        images: (n, 1 or 3, H, W) uint8; none gives an empty panel that says so.
        maps: (n, H, W), from 0.
        hidden: (n, H, W) bool.
        title, below: see :func:`lib.report.layout.head`.
    """
    n = len(images)
    fig, axs = panels(3 * n, 2.2, 2.2, title, below, per_row=max(1, n))
    for i in range(n):
        picture = np.moveaxis(images[i], 0, -1)
        if picture.shape[-1] == 1:
            picture = np.repeat(picture, 3, axis=-1)
        scale = 255 / max(1, int(images.max())) if images.max() <= 16 else 1
        picture = (picture * scale).astype(np.uint8)
        mean = picture.mean(axis=(0, 1)).round().astype(np.uint8)
        axs[i].imshow(picture)
        axs[n + i].imshow(picture)
        axs[n + i].imshow(maps[i].astype(float), cmap=labels.SEQUENTIAL, alpha=0.6)
        axs[2 * n + i].imshow(np.where(hidden[i][..., None], mean, picture))
    for ax in axs if n else ():
        ax.set(xticks=[], yticks=[])
    for row, name in enumerate(("image", "where they see", "hidden") if n else ()):
        axs[row * n].set_ylabel(name, fontsize="small")
    return fig
