"""Where things stand in a figure: panels that wrap, a heading, a legend, a footer.

A figure is at most :data:`WIDTH` wide, so that a README shows it as large as it was drawn.
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

WIDTH = 9.0  # inches
PER_ROW = 3  # panels
EDGE = 0.08  # inches from the edge of a figure to its heading and footer
LINE = 0.23  # inches, of a line of the heading
FOOT = 0.2  # inches kept for the footer
PLAIN = "{x:,.7g}"  # how ticks are written: 0.001, 1,000
AROUND = 0.8  # inches, of a heading of two lines and the footer
SIDE = 21  # letters of a line beside a panel
GAP = 0.075  # between labels at the ends of lines, of the height of the panel

# ---------------------------------------------------------------------------------------- panels


def panels(
    n: int,
    width: float,
    height: float,
    title: str,
    below: str = "",
    *,
    margin: float = 0,
    per_row: int = PER_ROW,
    **options: bool | str,
) -> tuple[Figure, list[Axes]]:
    """A figure with n panels, as many in a row as fit; for n = 0 one empty panel that says so.

    Args:
        n: number of panels.
        width, height: of each panel, inches; less where a row would be wider than a figure.
        title, below: see :func:`head`.
        margin: inches more, for all panels of a row together.
        per_row: panels at most in a row.
        options: of :func:`matplotlib.pyplot.subplots`, as sharex and sharey.
    Returns: the figure; its max(1, n) panels, row by row.
    """
    columns = max(1, min(n, per_row))
    rows = max(1, math.ceil(n / columns))
    size = min(WIDTH, margin + width * columns), height * rows
    fig, axs = plt.subplots(rows, columns, figsize=size, squeeze=False, **options)
    shown, spare = axs.flat[: max(1, n)], axs.flat[max(1, n) :]
    for ax in spare:
        ax.set_axis_off()
    if len(spare) and options.get("sharex"):
        for ax in shown[-columns:]:  # nothing stands below
            ax.xaxis.set_tick_params(labelbottom=True)
    head(fig, title, below)
    if n == 0:
        say_not_run(shown[0])
    return fig, list(shown)


def say_not_run(ax: Axes) -> None:
    """Leave a panel empty, and say why."""
    ax.set(xticks=[], yticks=[])
    middle = {"ha": "center", "va": "center", "transform": ax.transAxes}
    ax.text(0.5, 0.5, "not run", fontsize="large", **middle)


def outer_labels(axs: Sequence[Axes], per_row: int = PER_ROW) -> None:
    """Keep the labels of the vertical axes in the first column, and those of the horizontal ones
    where nothing stands below.
    """
    for i, ax in enumerate(axs):
        if i % per_row:
            ax.set_ylabel("")
        if i + per_row < len(axs):
            ax.set_xlabel("")


def log_x(ax: Axes, locator: ticker.Locator) -> None:
    """Make the horizontal axis logarithmic, with short numbers where the locator says."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(lambda x, _: short(x))
    ax.xaxis.set_minor_formatter(ticker.NullFormatter())
    ax.tick_params(axis="x", labelsize="small")


def short(number: float) -> str:
    """A number in few letters: "500", "1k", "1.5k", but "2048"; from 5,000 on two digits of those
    that are not whole hundreds, "8.2k".
    """
    if number % 100 and number >= 5000:
        number = float(f"{number:.2g}")
    return f"{number:g}" if number < 1000 or number % 100 else f"{number / 1000:g}k"


def plain_logs(ax: Axes) -> None:
    """Write plain numbers on the logarithmic axes of a panel, also between powers of ten where it
    spans less than one.
    """
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() in ("log", "symlog"):
            axis.set_major_formatter(PLAIN)
        if axis.get_scale() == "log":
            axis.set_minor_formatter(ticker.LogFormatter())


def beside(text: str) -> str:
    """A text with its lines broken so that they can stand upright beside a panel."""
    lines: list[str] = []
    for line in text.splitlines():
        lines += textwrap.wrap(line, SIDE, break_on_hyphens=False, break_long_words=False)
    return "\n".join(lines)


# ---------------------------------------------------------------------------- heading and footer


def head(fig: Figure, title: str, below: str = "") -> None:
    """Write what a figure asks or says at its top left, and below it in grey what was measured, on
    how many seeds. A figure too narrow for that becomes wider.

    Args:
        fig: in constrained layout, which is told to keep the place free.
        title: a question or a claim, a line.
        below: lines; "" for none.
    """
    height = fig.get_figheight()
    n_lines = 1 + len(below.splitlines())
    _at_edge(fig, title, top=EDGE, size="large")
    _at_edge(fig, below, top=EDGE + 1.15 * LINE, size="small", color="#555555")
    widest = max(text.get_window_extent().width for text in fig.texts) / fig.dpi
    widest = 1.03 * widest + 2 * EDGE  # letters are a little wider at some resolutions
    fig.set_figwidth(max(fig.get_figwidth(), min(WIDTH, widest)))
    top = (EDGE + n_lines * LINE + 0.05) / height
    bottom = FOOT / height
    fig.get_layout_engine().set(rect=(0, bottom, 1, 1 - top - bottom))


def foot(fig: Figure, text: str) -> None:
    """Write where a figure comes from at its bottom right, small and grey."""
    edge = ScaledTranslation(-EDGE, EDGE / 2, fig.dpi_scale_trans)
    look = {"size": 6.5, "color": "#888888", "ha": "right", "va": "bottom"}
    written = fig.text(1, 0, text, transform=fig.transFigure + edge, **look)
    written.set_in_layout(False)


def _at_edge(fig: Figure, text: str, top: float, **look: str) -> None:
    edge = ScaledTranslation(EDGE, -top, fig.dpi_scale_trans)
    place = fig.transFigure + edge
    written = fig.text(0, 1, text, transform=place, ha="left", va="top", **look)
    written.set_in_layout(False)


# ---------------------------------------------------------------------------------------- legends


def legend_beside(fig: Figure, handles: Mapping[str, Artist]) -> None:
    """One legend: in the place that the last row leaves free where it fits, else at the right."""
    look = {"fontsize": "small", "handlelength": 2.6}
    for ax in [ax for ax in fig.axes if not (ax.axison or ax.has_data())][:1]:
        legend = ax.legend(handles.values(), handles, loc="center left", borderaxespad=0, **look)
        room, size = ax.get_window_extent(), legend.get_window_extent()
        if size.width <= room.width and size.height <= room.height:
            legend.set_in_layout(False)
            return
        legend.remove()
    fig.legend(handles.values(), handles, loc="outside right center", **look)


def handles_of(axs: Iterable[Axes]) -> dict[str, Artist]:
    """What the panels draw, by its label, each label once."""
    handles: dict[str, Artist] = {}
    for ax in axs:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    return handles


def label_ends(ax: Axes, ends: Sequence[tuple[str, str, float]]) -> None:
    """Write the names of curves at the right of a panel, each as near to its end as fits.

    Args:
        ax: the panel, with its limits set.
        ends: (name, colour, height of the end in the unit of the axis) of each curve.
    """
    if not ends:
        return
    ordered = sorted(ends, key=lambda end: end[2])
    bottom, top = ax.get_ylim()
    heights = [(height - bottom) / (top - bottom) for _, _, height in ordered]
    for (name, color, _), height in zip(ordered, spread(heights, GAP), strict=True):
        ax.annotate(
            name,
            (1.02, height),
            xycoords="axes fraction",
            color=color,
            fontsize="small",
            va="center",
            annotation_clip=False,
        )


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending heights moved apart as little as it takes for each gap to be wide enough: to the
    next at least ``gap``; the mean of those moved together stays.
    """
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _top(groups[-2], gap) + gap > _bottom(groups[-1], gap):
            last = groups.pop()
            groups[-1] += last
    places: list[float] = []
    for group in groups:
        first = _bottom(group, gap)
        places += list(first + gap * np.arange(len(group)))
    return places


def _bottom(group: Sequence[float], gap: float) -> float:
    return float(np.mean(group)) - gap * (len(group) - 1) / 2


def _top(group: Sequence[float], gap: float) -> float:
    return float(np.mean(group)) + gap * (len(group) - 1) / 2
