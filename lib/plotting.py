"""One style, one function for each kind of figure of a table, and files that do not change when
nothing changed.
"""

import io
import os
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython import display
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
FIGURES = Path(os.environ.get("SPARSE_FIGURES_DIR", ROOT / "figures"))
METHODS = {  # of the experiments, as matplotlib draws them
    "set": {"label": "SET", "color": "#0173b2", "ls": "-"},
    "rigl": {"label": "RigL", "color": "#029e73", "ls": "--"},
    "preferential": {"label": "preferential attachment", "color": "#56b4e9", "ls": (0, (5, 1))},
    "ch3_l3": {"label": "CH3-L3", "color": "#882255", "ls": (0, (3, 1, 1, 1, 1, 1))},
    "fixed": {"label": "fixed random support", "color": "#de8f05", "ls": "-."},
    "fixed_final": {"label": "fixed, SET's final links", "color": "#8a6d00", "ls": (0, (4, 2))},
    "dense": {"label": "dense", "color": "#000000", "ls": ":"},
    "dense_small": {"label": "small dense, equal links", "color": "#949494", "ls": (0, (1, 1))},
    "dense_pruned": {"label": "dense, pruned", "color": "#8c510a", "ls": (0, (5, 1))},
    "set_retrained": {"label": "SET's links retrained", "color": "#56b4e9", "ls": "-"},
    "set_rewired": {"label": "same, rewired", "color": "#cc78bc", "ls": "--"},
    "set_random_removal": {
        "label": "SET, random drop",
        "color": "#d55e00",
        "ls": (0, (3, 1, 1, 1)),
    },
}
CONTRASTS = {  # name of each question: a method, minus another
    "adaptive: SET − fixed": ("set", "fixed"),
    "adaptive: RigL − fixed": ("rigl", "fixed"),
    "what is dropped: SET − random drop": ("set", "set_random_removal"),
    "topology: SET's links retrained − fixed": ("set_retrained", "fixed"),
    "beyond degrees: retrained − rewired": ("set_retrained", "set_rewired"),
    "weights on it: SET − retrained": ("set", "set_retrained"),
    "sparsity: fixed − dense": ("fixed", "dense"),
    "sparsity: pruned − dense": ("dense_pruned", "dense"),
    "both: SET − dense": ("set", "dense"),
    "size: small dense − dense": ("dense_small", "dense"),
    "equal links: SET − small dense": ("set", "dense_small"),
}
CONTENDERS = {  # of the benchmark, as matplotlib draws them
    "fused": {"label": "this library", "color": "#0173b2", "marker": "o", "ls": "-"},
    "modular": {"label": "this library, by modules", "color": "#56b4e9", "marker": "o", "ls": "-"},
    "torch_sparse": {"label": "torch.sparse", "color": "#de8f05", "marker": "s", "ls": "--"},
    "sparselab": {"label": "sparselab", "color": "#cc78bc", "marker": "D", "ls": "--"},
    "masked": {"label": "masked dense", "color": "#949494", "marker": "v", "ls": ":"},
    "dense_modules": {"label": "dense, plain", "color": "#555555", "marker": "<", "ls": ":"},
    "dense": {"label": "dense", "color": "#000000", "marker": "^", "ls": ":"},
    "floor": {"label": "floor: products alone", "color": "#029e73", "marker": ".", "ls": "-"},
}
NETWORKS = {"adaptive_topology": "width 1000", "adaptive_topology_1568": "width 1568"}
NETWORKS["set_mlp"] = "ε = 20"
DATASETS = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
DATASETS |= {"higgs": "HIGGS", "higgs_sample": "HIGGS, sample of 25,977"}
DATASETS["digits"] = "digits (scikit-learn, 8 × 8)"


def use_style() -> None:
    """Set the style of every figure: colour-blind palette, readable sizes, reproducible files."""
    chosen = {
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": "medium",
        "figure.constrained_layout.use": True,
        "figure.dpi": 72,
        "legend.frameon": False,
        "savefig.dpi": 110,
        "svg.fonttype": "none",
        "svg.hashsalt": "companion",
    }
    sns.set_theme(style="ticks", palette="colorblind", rc=chosen)


def save_figure(fig: Figure, name: str, notebook: str, profile: str, data: pd.DataFrame) -> Path:
    """Write figures/<profile>/<notebook>/<name> as svg and png, and as csv the numbers behind it.

    Returns: the path of the png. Unchanged numbers give unchanged files.
    """
    save_table(data, name, notebook, profile)
    folder = FIGURES / profile / notebook
    fig.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
    fig.savefig(folder / f"{name}.png", metadata={"Software": None})
    return folder / f"{name}.png"


def show(fig: Figure) -> None:
    """Display a figure in a notebook, in 64 colours, which keeps the notebook small; close it."""
    full, small = io.BytesIO(), io.BytesIO()
    fig.savefig(full, dpi=fig.dpi)
    Image.open(full).convert("RGB").quantize(64).save(small, "png", optimize=True)
    display.display(display.Image(small.getvalue()))
    plt.close(fig)


def save_table(data: pd.DataFrame, name: str, notebook: str, profile: str) -> None:
    """Write figures/<profile>/<notebook>/<name>.csv."""
    folder = FIGURES / profile / notebook
    folder.mkdir(parents=True, exist_ok=True)
    data.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")


def label(dataset: str) -> str:
    """How a data set is written in a figure."""
    return DATASETS.get(dataset, dataset)


def panels(
    n: int, width: float, height: float, title: str, margin: float = 0, **options: bool
) -> tuple[Figure, np.ndarray]:
    """A figure with n panels in a row; for n = 0 one empty panel that says so.

    Args:
        n: number of panels.
        width, height: of each panel, inches.
        title: of the figure.
        margin: inches more, for all panels together.
        options: sharex and sharey of :func:`matplotlib.pyplot.subplots`.
    Returns: the figure; its max(1, n) panels.
    """
    size = (margin + width * max(1, n), height)
    fig, axs = plt.subplots(1, max(1, n), figsize=size, squeeze=False, **options)
    fig.suptitle(title)
    if n == 0:
        axs[0, 0].set(xticks=[], yticks=[])
        middle = {"ha": "center", "va": "center", "transform": axs[0, 0].transAxes}
        axs[0, 0].text(0.5, 0.5, "not run", fontsize="large", **middle)
    return fig, axs[0]


def log_x(ax: Axes, locator: ticker.Locator) -> None:
    """Make the horizontal axis logarithmic, with plain numbers where the locator says."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(ticker.NullFormatter())
    ax.tick_params(axis="x", labelsize="small")


def accuracy_curves(
    curves: pd.DataFrame, title: str, published: pd.DataFrame | None = None
) -> Figure:
    """Test accuracy against epoch, one panel a data set; line: mean over seeds, band: ± sd.

    Args:
        curves: of :func:`lib.tables.curves`, columns dataset, method, epoch, mean, sd, n; none
            gives an empty panel that says so.
        title: what is compared; n and profile are added.
        published: columns dataset, method, epoch, accuracy: open circles, as far as our epochs go.
    """
    groups = curves.groupby("dataset", sort=False)
    fig, axs = panels(len(groups), 5, 4, title, margin=2)
    plt.setp(axs, xlabel="epoch", ylabel="test accuracy, mean ± sd")
    for ax, (dataset, part) in zip(axs, groups, strict=False):
        for method, line in part.groupby("method", sort=False):
            style = METHODS[method]
            text = f"{style['label']} (n = {line['n'].max()})"
            ax.plot(line["epoch"], line["mean"], **style | {"label": text})
            low, high = line["mean"] - line["sd"], line["mean"] + line["sd"]
            ax.fill_between(line["epoch"], low, high, color=style["color"], alpha=0.2, lw=0)
            if published is not None:
                theirs = published[published["dataset"] == dataset]
                theirs = theirs[theirs["method"] == method]
                theirs = theirs[theirs["epoch"] <= part["epoch"].max()]
                style = {"color": style["color"], "mfc": "none", "marker": "o", "ls": "none"}
                ax.plot(theirs["epoch"], theirs["accuracy"], **style)
        late = part[part["epoch"] > 0.1 * part["epoch"].max()]  # what comes before is cut off
        top = (part["mean"] + part["sd"].fillna(0)).max()
        ax.set(ylim=(late["mean"].min() - 0.002, top + 0.002), title=label(dataset))
        beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}  # where lines leave no room
        crowded = part["method"].nunique() > 5
        ax.legend(fontsize="small", **(beside if crowded else {"loc": "lower right"}))
        ax.yaxis.set_major_locator(ticker.MaxNLocator(steps=[1, 2, 5, 10]))
        ax.yaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=1))
        ax.xaxis.set_major_locator(ticker.MaxNLocator(4 if crowded else "auto", integer=True))
    return fig


def cost_curves(table: pd.DataFrame, against: str, title: str) -> Figure:
    """A panel a measure against "n", "density" or "batch": median, bars from quartile to quartile.

    Args:
        table: rows of lib.bench.obtain; none gives an empty panel that says so.
        against: column of the horizontal axis.
        title: of the figure.
    """
    axis = {"n": "neurons of a layer", "density": "density", "batch": "examples in a batch"}
    groups = table.groupby("measure", sort=False)
    fig, axs = panels(len(groups), 4.3, 3.8, title)
    for ax, (name, part) in zip(axs, groups, strict=False):
        for contender, line in part.groupby("contender", sort=False):
            line = line.sort_values(against)
            median = line["median_ms"]
            bars = (median - line["low_ms"], line["high_ms"] - median)
            ax.errorbar(line[against], median, bars, ms=5, **CONTENDERS[contender])
        unit = "MiB above torch and kernels" if name == "peak_memory" else "milliseconds"
        ax.set(yscale="log", xlabel=axis[against], ylabel=unit, title=name.replace("_", " "))
        log_x(ax, ticker.FixedLocator(sorted(part[against].unique())))
        ax.tick_params(axis="x", labelrotation=45 if part[against].nunique() > 6 else 0)
    if len(table):
        axs[0].legend(fontsize="small")
    return fig


def perturbed_curves(
    table: pd.DataFrame, x: str, y: str, panel: str, title: str, **labels: Any
) -> tuple[Figure, pd.DataFrame]:
    """Curves of all methods: a row of panels for each data set, a panel for each value of a column.

    Line: mean over seeds, of each the mean over its draws; band: ± sd over seeds.

    Args:
        table: columns dataset, method, seed, the ones named by x, y and panel; none gives an empty
            figure that says so.
        x, y, panel: columns.
        title: of the figure.
        labels: ``xlabel`` and ``ylabel``, and what else :meth:`matplotlib.axes.Axes.set` takes.
    Returns: the figure; the numbers drawn: mean, sd and n.
    """
    keys = ["dataset", panel, "method", x]
    numbers = table.groupby([*keys, "seed"], sort=False)[y].mean().groupby(keys, sort=False)
    numbers = numbers.agg(mean="mean", sd="std", n="count").reset_index()
    rows, columns = (list(dict.fromkeys(numbers[name])) for name in ("dataset", panel))
    shape = max(1, len(rows)), max(1, len(columns))
    size = max(7.5, 2.2 + 2.6 * shape[1]), 0.9 + 2.3 * shape[0]
    fig, axs = plt.subplots(*shape, figsize=size, squeeze=False, sharex="col", sharey="row")
    seeds = " or ".join(map(str, sorted({*numbers["n"]})))
    fig.suptitle(f"{title} · n = {seeds} seeds" if rows else f"{title} · not run")
    for ax, (dataset, name) in zip(axs.flat, product(rows, columns), strict=False):
        part = numbers[(numbers["dataset"] == dataset) & (numbers[panel] == name)]
        for method in (m for m in METHODS if m in set(part["method"])):
            line = part[part["method"] == method].sort_values(x)
            ax.plot(line[x], line["mean"], lw=1.3, **METHODS[method])
            low, high = line["mean"] - line["sd"].fillna(0), line["mean"] + line["sd"].fillna(0)
            ax.fill_between(line[x], low, high, color=METHODS[method]["color"], alpha=0.15, lw=0)
        first_row, first_column = dataset == rows[0], name == columns[0]
        ax.set(title=name if first_row else "", **labels)
        ax.set_ylabel(f"{label(dataset)}\n{labels.get('ylabel', y)}" if first_column else "")
        ax.label_outer()
        if "log" in labels.get("xscale", ""):
            ax.xaxis.set_major_formatter("{x:g}")
        if not {"yscale", "ylim"} & labels.keys():
            ax.set_ylim(0, 1.02)
    if rows:
        handles = {h.get_label(): h for ax in axs.flat for h in ax.get_lines()}
        order = [style["label"] for style in METHODS.values() if style["label"] in handles]
        where = {"loc": "outside right center", "fontsize": "small"}
        fig.legend([handles[name] for name in order], order, **where)
    return fig, numbers


def effects(table: pd.DataFrame, measures: Mapping[str, str], title: str) -> Figure:
    """Differences between methods with 95 % intervals, a panel a measure, a row a contrast; a point
    without a bar comes from one seed.

    Args:
        table: rows of :func:`lib.intervals.contrasts`; none gives an empty figure that says so.
        measures: {measure: label of the axis}.
        title: of the figure.
    """
    shown = [name for name in measures if name in set(table["measure"])]
    names = [name for name in CONTRASTS if name in set(table["contrast"])]
    height = 1.4 + 0.34 * max(3, len(names))
    fig, axs = panels(len(shown), 2.4, height, title, margin=3.2, sharey=True)
    datasets = list(dict.fromkeys(table["dataset"]))
    for ax, measure in zip(axs, shown, strict=False):
        ax.axvline(0, color="#bbbbbb", lw=1, zorder=0)
        for i, dataset in enumerate(datasets):
            part = table[(table["dataset"] == dataset) & (table["measure"] == measure)]
            at = np.array([-names.index(c) for c in part["contrast"]]) + 0.14 * (1 - 2 * i)
            bars = part["value"] - part["low"], part["high"] - part["value"]
            style = {"color": ("#0173b2", "#de8f05")[i % 2], "marker": "os"[i % 2], "ms": 4}
            shape = {"ls": "none", "lw": 1.3, "label": label(dataset)}
            ax.errorbar(part["value"], at, xerr=bars, **style, **shape)
        ax.set(xlabel=measures[measure], yticks=-np.arange(len(names)), yticklabels=names)
        ax.grid(axis="y", color="#eeeeee")
        ax.set_axisbelow(True)
    if shown:
        fig.legend(*axs[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return fig


def transfer_matrices(table: pd.DataFrame, title: str) -> Figure:
    """Accuracy of each network (column) on attacks found on each (row), a panel a data set.

    Args:
        table: columns dataset, source, target, accuracy; none gives an empty panel.
        title: of the figure.
    """
    groups = table.groupby("dataset", sort=False)
    fig, axs = panels(len(groups), 6.2, 5.4, title)
    for ax, (dataset, part) in zip(axs, groups, strict=False):
        order = [m for m in METHODS if m in set(part["source"])]
        square = part.pivot_table(index="source", columns="target", values="accuracy")
        square = square.reindex(
            index=order, columns=[m for m in METHODS if m in set(part["target"])]
        )
        names = [[METHODS[m]["label"] for m in side] for side in (square.columns, square.index)]
        style = {"cmap": "cividis", "vmin": 0, "vmax": 1, "annot": True, "fmt": ".2f"}
        style["annot_kws"] = {"size": 8}
        sns.heatmap(square, ax=ax, xticklabels=names[0], yticklabels=names[1], cbar=False, **style)
        ax.set(xlabel="accuracy of", ylabel="attack found on", title=label(dataset))
        ax.tick_params(axis="x", labelrotation=40)
        plt.setp(ax.get_xticklabels(), ha="right")
    return fig
