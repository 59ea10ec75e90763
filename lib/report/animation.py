"""Moving pictures, stored as animated png: maps of the input over epochs, rows of images."""

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from PIL import Image

from lib.report import labels, pictures
from lib.report.layout import WIDTH, head

MILLISECONDS = 700  # of a frame
LAST = 2500  # of the last one
DPI = 90  # so that a figure is 810 pixels wide
HEIGHT = 3.1  # inches


def input_frames(
    maps: Mapping[str, Mapping[str, np.ndarray]], title: str, below: str = ""
) -> Iterator[Figure]:
    """A figure an epoch: a map of the input for each network, side by side, with one colour scale.

    Args:
        maps: {network: {epoch: (n,) numbers from 0, of each pixel, row by row}}; the epochs that
            all networks have are shown.
        title, below: see :func:`lib.report.layout.head`.
    """
    top = max(values.max() for columns in maps.values() for values in columns.values())
    shared = [
        epoch for epoch in next(iter(maps.values())) if all(epoch in c for c in maps.values())
    ]
    for epoch in shared:
        fig, axs = plt.subplots(1, len(maps), figsize=(WIDTH, HEIGHT), squeeze=False)
        for ax, (network, columns) in zip(axs[0], maps.items(), strict=True):
            side = int(len(columns[epoch]) ** 0.5)
            square = columns[epoch].reshape(side, side)
            image = ax.imshow(square, cmap=labels.SEQUENTIAL, vmin=0, vmax=top)
            ax.set(xticks=[], yticks=[])
            ax.set_title(f"{network}: {epoch}", fontsize="small")
        sns.despine(fig, left=True, bottom=True)
        fig.colorbar(image, ax=axs, label="links of a pixel", shrink=0.8)
        head(fig, title, below)
        yield fig


def image_frames(
    frames: Mapping[str, np.ndarray],
    title: str,
    below: str = "",
    *,
    signed: bool = False,
    per_line: int | None = None,
) -> Iterator[Figure]:
    """A figure a frame: images side by side, under the name of the frame.

    Args:
        frames: {name: (n, height, width) from 0, black, to 1, white}.
        title, below: see :func:`lib.report.layout.head`.
        signed, per_line: see :func:`lib.report.pictures.image_rows`.
    """
    how = {"signed": signed, "per_line": per_line}
    for name, images in frames.items():
        fig, _ = pictures.image_rows({name: images}, title, below, **how)
        yield fig


def write_animation(figures: Iterable[Figure], path: Path) -> None:
    """Write figures of one size as the frames of an animated png, in true colours, and close them;
    the last one stays longer, and is what a viewer shows that knows no animations. Unchanged
    figures give an unchanged file.
    """
    frames = []
    for fig in figures:
        png = io.BytesIO()
        fig.savefig(png, dpi=DPI)
        plt.close(fig)
        frames.append(Image.open(png).convert("RGB"))
    moving = {"save_all": True, "default_image": True, "append_images": frames, "loop": 0}
    times = [MILLISECONDS] * (len(frames) - 1) + [LAST]
    frames[-1].save(path, format="PNG", duration=times, optimize=True, **moving)
