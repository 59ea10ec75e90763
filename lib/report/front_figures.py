"""Fronts of masks: what runs attain, how far their members lie from others, what features see."""

import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.report import labels
from lib.report.figures import described, in_order, method_curves, over_seeds, seeds
from lib.report.layout import (
    AROUND,
    PER_ROW,
    handles_of,
    legend_beside,
    log_x,
    outer_labels,
    panels,
    plain_logs,
)

WIDE, TALL = 2.3, 1.75  # inches, of a panel
LETTERS = 22  # of a line above a panel
FEWEST = 0.5  # features that are drawn
DENSITIES = ticker.FixedLocator([0.01, 0.1, 1])
SERIES = (
    {"marker": "o", "mfc": "#333333"},
    {"marker": "s", "mfc": "white"},
    {"marker": "^", "mfc": "#999999"},
    {"marker": "D", "mfc": "white"},
)
APART, SPREAD = 0.26, 0.6  # rows, at most: of two series next to each other, of all of a name
SHARES = (0.9, 0.5, 0.1)  # of the runs that attain the lower end of a band, its line, its end
MANY = 0.12  # opacity of points that are many
BANDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)  # densities between which heads are averaged
FEW = 3  # heads: fewer have no mean


def attainment(
    table: pd.DataFrame, level: pd.DataFrame, ylabel: str, title: str, below: str = ""
) -> Figure:
    """The best value within each limit of density, a panel a data set.

    Line: what half of the runs attain; band: what nine in ten and what one in ten do, from the
    worst value of the panel on where fewer than nine in ten attain anything. A dotted line is one
    head that has no limit.

    Args:
        table: columns dataset, method, seed, density, value; none gives an empty panel that says
            so.
        level: columns dataset, value, of the full head.
        ylabel: what the value is.
        title, below: see :func:`lib.report.layout.head`; n is added.
    """
    fig, of_sets = _row(table, title, _with_runs(table, below))
    for dataset, ax in of_sets.items():
        chosen = _of(table, dataset=dataset)
        for method in labels.methods_in(chosen["method"]):
            of_method = chosen[chosen["method"] == method]
            _attained(ax, of_method, method, worst=chosen["value"].min())
        full = _of(level, dataset=dataset)["value"]
        if len(full):
            look = labels.method("full")
            ax.axhline(full.mean(), color=look["color"], ls=look["ls"], label=look["label"])
        log_x(ax, DENSITIES)
        ax.set_xlabel("density at most", fontsize="small")
        ax.set_ylabel(ylabel, fontsize="small")
    return _finished(fig, of_sets)


def _attained(ax: Axes, runs: pd.DataFrame, method: str, worst: float) -> None:
    """Line and band of a method; the band begins at ``worst`` where some attain nothing."""
    rows = []
    for density, of_runs in runs.groupby("density")["value"]:
        rows.append((density, *(_attained_by(share, of_runs) for share in SHARES)))
    shares = pd.DataFrame(rows, columns=["density", "low", "middle", "high"]).set_index("density")
    shares = shares.dropna(subset="high")
    look = labels.method(method) | {"marker": ""}
    middle = shares["middle"].dropna()
    ax.step(middle.index, middle, where="post", lw=1.4, **look)
    band = {"step": "post", "color": look["color"], "alpha": 0.15, "lw": 0}
    ax.fill_between(shares.index, shares["low"].fillna(worst), shares["high"], **band)


def _attained_by(share: float, values: pd.Series) -> float:
    """The best value that a share of the runs attain; nan if fewer attain any."""
    best_first = values.sort_values(ascending=False, na_position="last").to_numpy()
    return best_first[math.ceil(share * len(values)) - 1]


def over_evaluations(table: pd.DataFrame, ylabel: str, title: str, below: str = "") -> Figure:
    """A number of every search against its evaluations, a panel a data set; line: mean over runs,
    band: ± sd.

    Args:
        table: columns dataset, method, seed, evaluations, value; none gives an empty panel that
            says so.
        ylabel: what the number is.
        title, below: see :func:`lib.report.layout.head`; n is added.
    """
    numbers = over_seeds(table, ["dataset", "method", "evaluations"], "value")
    below, names = described(numbers, below or "mean ± sd over runs")
    fig, of_sets = _row(table, title, below)
    for dataset, ax in of_sets.items():
        method_curves(ax, numbers[numbers["dataset"] == dataset], "evaluations", names)
        for line in ax.lines:
            line.set_marker("")
        ax.set_xlabel("evaluations", fontsize="small")
        ax.set_ylabel(ylabel, fontsize="small")
    return _finished(fig, of_sets, names)


def clouds(table: pd.DataFrame, column: str, ylabel: str, title: str, below: str = "") -> Figure:
    """Heads by density and what they reach, a panel a data set.

    Points: heads; lines: their means between the densities of :data:`BANDS`; a dotted line is the
    mean of heads that read everything.

    Args:
        table: columns dataset, method, seed, density and the one named; none gives an empty panel
            that says so.
        column: what they reach.
        ylabel: its name.
        title, below: see :func:`lib.report.layout.head`; n is added.
    """
    fig, of_sets = _row(table, title, _with_runs(table, below), width=2.9, height=2.3)
    for dataset, ax in of_sets.items():
        for method in labels.methods_in(table["method"]):
            heads = _of(table, dataset=dataset, method=method)
            look = labels.method(method)
            if method == "full":
                ax.axhline(
                    heads[column].mean(), color=look["color"], ls=look["ls"], label=look["label"]
                )
                continue
            points = look | {"label": "_", "ls": "none", "ms": 2.5, "mew": 0.6, "alpha": MANY}
            ax.plot(heads["density"], heads[column], **points)
            means = _banded(heads, column)
            ax.plot(means["density"], means[column], **look, ms=4.5, lw=1.5, zorder=3)
        log_x(ax, DENSITIES)
        ax.set_xlim(right=1)
        ax.set_xlabel("density", fontsize="small")
        ax.set_ylabel(ylabel, fontsize="small")
    return _finished(fig, of_sets)


def _banded(heads: pd.DataFrame, column: str) -> pd.DataFrame:
    """Means of the density and of a column, a row for each band of densities with enough heads."""
    bands = heads[["density", column]].groupby(np.digitize(heads["density"], BANDS))
    return bands.mean()[bands.size() >= FEW]


def space(table: pd.DataFrame, title: str, below: str = "") -> Figure:
    """The fronts of one data set in three dimensions, runs together, a panel a method.

    Args:
        table: columns method, density, accuracy, auroc; none gives an empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    """
    if table.empty:
        fig, _ = panels(0, 4.6, 3.4, title, below)
        return fig
    methods = labels.methods_in(table["method"])
    options = {"subplot_kw": {"projection": "3d"}}
    fig, axs = panels(len(methods), 4.4, 3.9, title, below, **options)
    axes = ["density", "accuracy", "auroc"]
    limits = dict(zip(axes, table[axes].agg(["min", "max"]).to_numpy().T, strict=True))
    for ax, method in zip(axs, methods, strict=True):
        points = table[table["method"] == method]
        look = labels.method(method)
        ax.scatter(
            *(points[axis] for axis in axes),
            color=look["color"],
            marker=look.get("marker", "o"),
            s=8,
            depthshade=False,
        )
        ax.set(xlim=limits["density"], ylim=limits["accuracy"], zlim=limits["auroc"])
        ax.set_xlabel("density", fontsize="small")
        ax.set_ylabel("accuracy", fontsize="small")
        ax.set_zlabel("AUROC", fontsize="small")
        ax.set_title(look["label"], fontsize="small")
        ax.tick_params(labelsize="small")
        ax.view_init(elev=22, azim=-60)
        ax.set_box_aspect(None, zoom=0.9)
    return fig


def gaps(
    table: pd.DataFrame,
    xlabel: str,
    title: str,
    below: str = "",
    *,
    panel: str = "dataset",
    sharex: bool = True,
) -> Figure:
    """Numbers with intervals about 0: a row a name, up to four series, a panel a data set or a
    value of another column. A name without numbers in a panel says so there.

    Args:
        table: columns name, series, value, low, high, n, and the one named by panel; none gives an
            empty panel that says so.
        xlabel: what the numbers are.
        title, below: see :func:`lib.report.layout.head`; n is added.
        panel: column.
        sharex: whether all panels have one scale.
    """
    shown = labels.datasets_in(table[panel])
    of_panels = [table[table[panel] == value] for value in shown]
    if shown:
        below = f"{below} · {seeds(*(rows['n'] for rows in of_panels))}"
    names = list(dict.fromkeys(table["name"]))
    series = list(dict.fromkeys(table["series"]))
    looks = dict(zip(series, SERIES, strict=False))
    apart = min(APART, SPREAD / max(1, len(series) - 1))
    of_name = max(0.3, 0.15 * len(series))  # inches
    height = 0.8 + of_name * max(2, len(names))
    n_rows = max(1, -(-len(shown) // PER_ROW))
    height += AROUND / n_rows
    options = {"margin": 2.6 if len(series) == 1 else 3.8, "sharey": True, "sharex": sharex}
    width = 2.4 if len(shown) > 1 else 3.6
    fig, axs = panels(len(shown), width, height, title, below, **options)
    for ax, value, in_panel in zip(axs, shown, of_panels, strict=False):
        ax.axvline(0, color="#bbbbbb", lw=1, zorder=0)
        here = [one for one in series if one in set(in_panel["series"])]
        for i, one in enumerate(here):
            rows = _of(in_panel, series=one)
            lift = apart * ((len(here) - 1) / 2 - i)
            place = [-names.index(name) + lift for name in rows["name"]]
            bars = np.array([rows["value"] - rows["low"], rows["high"] - rows["value"]])
            look = {"color": "#333333", "ls": "none", "ms": 4, "lw": 1.2, **looks[one]}
            bars = np.where(np.isfinite(bars), bars, 0.0)
            ax.errorbar(rows["value"], place, xerr=bars, label=one, **look)
        named = set(in_panel["name"])
        text = {"va": "center", "color": "#777777", "fontsize": "x-small"}
        for i, name in enumerate(names):
            if name not in named:
                ax.annotate("no number", (0.03, -i), xycoords=("axes fraction", "data"), **text)
        ax.set_yticks(-np.arange(len(names)), names, fontsize="small")
        ax.set_title(textwrap.fill(labels.dataset(value), LETTERS), fontsize="small")
        ax.set_xlabel(xlabel, fontsize="small")
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}".replace("-", "\N{MINUS SIGN}"))
        ax.tick_params(axis="x", labelsize="small")
        ax.grid(axis="y", color="#eeeeee")
        ax.set_axisbelow(True)
        ax.set_ylim(0.5 - len(names), 0.5)
    outer_labels(axs)
    for ax in axs:
        ax.tick_params(axis="x", labelbottom=True)  # the last row may be short
    if len(series) > 1:
        legend_beside(fig, handles_of(axs))
    return fig


def kept_features(table: pd.DataFrame, title: str, below: str = "") -> Figure:
    """How many features are kept by so many masks, beside what masks of the same densities would:
    a panel a data set.

    Args:
        table: columns dataset, line (name of the line), kept (share of masks), features (number);
            none gives an empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    """
    fig, of_sets = _row(table, title, below)
    found = labels.method("nsga2")
    looks = ({"color": found["color"], "ls": "-"}, {"color": "#333333", "ls": ":"})
    looks += ({"color": "#949494", "ls": "--"},)
    for dataset, ax in of_sets.items():
        rows = table[table["dataset"] == dataset]
        for look, (name, line) in zip(looks, rows.groupby("line", sort=False), strict=False):
            drawn = line["features"].where(line["features"] >= FEWEST)
            ax.step(line["kept"], drawn, where="mid", label=name, lw=1.3, **look)
        ax.set_yscale("log")
        plain_logs(ax)
        ax.yaxis.set_minor_locator(ticker.NullLocator())
        ax.set_xlabel("kept by a share of masks", fontsize="small")
        ax.set_ylabel("features", fontsize="small")
    return _finished(fig, of_sets)


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
    fig, axs = panels(3 * n, 1.7, 1.8, title, below, per_row=max(1, n))
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
    rows: Sequence[str] = ("image", "where they see", "hidden")
    for row, name in enumerate(rows if n else ()):
        axs[row * n].set_ylabel(name, fontsize="small")
    return fig


def _with_runs(table: pd.DataFrame, below: str) -> str:
    """A line with the numbers of runs of each data set of a table."""
    if table.empty:
        return below
    runs = table.groupby("dataset")["seed"].nunique()
    return f"{below} · {seeds(*([runs[dataset]] for dataset in labels.datasets_in(runs.index)))}"


def _of(table: pd.DataFrame, **values: str) -> pd.DataFrame:
    """The rows with these values of some columns."""
    for name, value in values.items():
        table = table[table[name] == value]
    return table


def _row(
    table: pd.DataFrame, title: str, below: str, *, width: float = WIDE, height: float = TALL
) -> tuple[Figure, dict[str, Axes]]:
    """A figure with a panel for each data set of a table, by its name."""
    datasets = labels.datasets_in(table["dataset"])
    n_rows = max(1, -(-len(datasets) // PER_ROW))
    height += AROUND / n_rows
    fig, axs = panels(len(datasets), width, height, title, below, margin=2.1)
    of_sets = dict(zip(datasets, axs, strict=False))
    for dataset, ax in of_sets.items():
        ax.set_title(textwrap.fill(labels.dataset(dataset), LETTERS), fontsize="small")
        ax.tick_params(labelsize="small")
    return fig, of_sets


def _finished(
    fig: Figure, of_sets: Mapping[str, Axes], names: Mapping[str, str] | None = None
) -> Figure:
    """The figure with labels at its edges and one legend, methods in their order."""
    axs = list(of_sets.values())
    outer_labels(axs)
    if axs:
        handles = handles_of(axs)
        if names is None:
            ordered = [labels.method_name(name) for name in labels.METHOD_LOOKS]
            names = {name: name for name in (*ordered, *handles)}
        legend_beside(fig, in_order(handles, names))
    return fig
