"""One style, one function for each kind of figure, and files that do not change when nothing
changed.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

from lib import claims
from lib.records import ROOT, Record

FIGURES = Path(os.environ.get("SPARSE_FIGURES_DIR", ROOT / "figures"))
LABELS = {
    "set": "SET",
    "rigl": "RigL",
    "fixed": "fixed random support",
    "dense": "dense",
    "dense_small": "dense, equal links",
}
STYLES = {
    "set": ("#0173b2", "-"),
    "rigl": ("#029e73", "--"),
    "fixed": ("#de8f05", "-."),
    "dense": ("#000000", ":"),
    "dense_small": ("#949494", (0, (1, 1))),
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
DATASETS = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
DATASETS["digits"] = "digits (scikit-learn, 8 × 8)"


def use_style() -> None:
    """Set the style of every figure: colour-blind palette, readable sizes, reproducible files."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind")
    mpl.rcParams.update(
        {
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
    )


def save_figure(fig: Figure, name: str, notebook: str, profile: str, data: pd.DataFrame) -> Path:
    """Write figures/<profile>/<notebook>/<name> as svg and png, and as csv the numbers behind it.

    Returns: the path of the png. Unchanged numbers give unchanged files.
    """
    folder = FIGURES / profile / notebook
    folder.mkdir(parents=True, exist_ok=True)
    fig.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
    fig.savefig(folder / f"{name}.png", metadata={"Software": None})
    save_table(data, name, notebook, profile)
    return folder / f"{name}.png"


def save_table(data: pd.DataFrame, name: str, notebook: str, profile: str) -> None:
    """Write figures/<profile>/<notebook>/<name>.csv."""
    folder = FIGURES / profile / notebook
    folder.mkdir(parents=True, exist_ok=True)
    data.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")


def label(dataset: str) -> str:
    """How a data set is written in a figure."""
    return DATASETS.get(dataset, dataset)


def curves(found: Sequence[Record]) -> pd.DataFrame:
    """Test accuracy by epoch: mean, standard deviation and n over seeds, by data set and method."""
    rows = [
        record.metrics.assign(dataset=record.config.dataset, method=record.config.method)
        for record in found
    ]
    if not rows:
        return pd.DataFrame(columns=["dataset", "method", "epoch", "mean", "sd", "n"])
    grouped = pd.concat(rows).groupby(["dataset", "method", "epoch"], sort=False)["test_accuracy"]
    return grouped.agg(mean="mean", sd="std", n="count").reset_index()


def accuracy_curves(found: Sequence[Record], title: str, floor: float | None = None) -> Figure:
    """Test accuracy against epoch, one panel a data set; line: mean over seeds, band: ± sd.

    Args:
        found: records; none gives an empty panel that says so.
        title: what is compared; n and profile are added.
        floor: lower end of the axis; None: the axis holds the last nine tenths of the epochs.
    """
    table = curves(found)
    datasets = list(table["dataset"].unique()) or [""]
    fig, axs = plt.subplots(1, len(datasets), figsize=(2 + 5 * len(datasets), 4), squeeze=False)
    for ax, dataset in zip(axs[0], datasets, strict=True):
        part = table[table["dataset"] == dataset]
        for method, line in part.groupby("method", sort=False):
            colour, dashes = STYLES[method]
            n = int(line["n"].max())
            text = f"{LABELS[method]} (n = {n})"
            ax.plot(line["epoch"], line["mean"], color=colour, ls=dashes, label=text)
            low, high = line["mean"] - line["sd"], line["mean"] + line["sd"]
            ax.fill_between(line["epoch"], low, high, color=colour, alpha=0.2, lw=0)
        if not part.empty:
            late = part[part["epoch"] > 0.1 * part["epoch"].max()]
            bottom = late["mean"].min() if floor is None else floor
            top = (part["mean"] + part["sd"].fillna(0)).max()
            ax.set_ylim(bottom - 0.002, top + 0.002)
            ax.legend(loc="lower right", fontsize="small")
        ax.set(xlabel="epoch", ylabel="test accuracy, mean ± sd", title=label(dataset))
        ax.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if part.empty:
            empty(ax)
    fig.suptitle(title)
    return fig


def empty(ax: Axes, text: str = "not run") -> None:
    """Say in the middle of a panel that there is nothing to show."""
    ax.set(xticks=[], yticks=[])
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, fontsize="large")


def ccdf(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of neurons with at least k links, for every k that occurs."""
    k, count = np.unique(degrees, return_counts=True)
    return k, count[::-1].cumsum()[::-1] / len(degrees)


def degree_distributions(
    sequences: Mapping[str, Mapping[str, np.ndarray]], title: str, log_x: bool = True
) -> Figure:
    """Complementary cumulative degree distributions, one panel a group, one line a sequence.

    Args:
        sequences: {panel: {line: (n,) degrees}}.
        title: of the figure.
        log_x: logarithmic degree axis; neurons without links are then stated, not drawn.
    """
    n = max(1, len(sequences))
    fig, axs = plt.subplots(1, n, figsize=(4.2 * n, 3.8), squeeze=False, sharey=True)
    if not sequences:
        empty(axs[0, 0])
    palette = sns.color_palette("colorblind")
    markers = ["o", "s", "^", "v", "D"]
    for ax, (panel, lines) in zip(axs[0], sequences.items(), strict=True):
        for i, (name, degrees) in enumerate(lines.items()):
            k, share = ccdf(degrees)
            isolated = int((degrees == 0).sum())
            if log_x and isolated:
                k, share = k[1:], share[1:]
            text = f"{name}, {isolated} without links" if isolated else name
            ax.plot(k, share, marker=markers[i], ms=3, lw=1, color=palette[i], label=text)
        ax.set(xlabel="links of a neuron, k", title=panel, yscale="log")
        if log_x:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.tick_params(axis="x", labelsize="small")
        ax.legend(fontsize="x-small", loc="lower left")
    axs[0, 0].set_ylabel("share of neurons with ≥ k links")
    fig.suptitle(title)
    return fig


def summary_table(found: Sequence[Record]) -> pd.DataFrame:
    """Accuracy and links by data set and method, mean ± sd over n seeds; accuracies in percent."""
    summaries = pd.DataFrame([record.summary() for record in found])
    columns = {"last_accuracy": "last epoch", "best_on_test_accuracy": "best on test"}
    columns["final_accuracy"] = "after the last update"
    rows = []
    if summaries.empty:
        return pd.DataFrame(columns=["dataset", "method", "n", *columns.values()])
    for (dataset, architecture, method), part in summaries.groupby(
        ["dataset", "architecture", "method"], sort=False
    ):
        row = {"dataset": label(dataset), "network": architecture, "method": LABELS[method]}
        row |= {"n": len(part), "epochs": int(part["epochs"].iloc[0])}
        row["links in training"] = f"{part['links_training'].mean():,.0f}"
        row["links at the end"] = f"{part['links_final'].mean():,.0f}"
        for column, name in columns.items():
            mean, sd = 100 * part[column].mean(), 100 * part[column].std()
            row[name] = f"{mean:.2f} ± {sd:.2f}" if len(part) > 1 else f"{mean:.2f}"
        rows.append(row)
    return pd.DataFrame(rows)


def paired_table(found: Sequence[Record], pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Accuracy of one method minus another at the last epoch, points, with 95 % t-interval and
    n.
    """
    rows = []
    for dataset in dict.fromkeys(record.config.dataset for record in found):
        for pair in pairs:
            differences = claims.paired(found, dataset, pair)
            if not differences:
                continue
            interval = claims.t_interval(differences)
            rows.append(
                {
                    "dataset": label(dataset),
                    "difference": f"{LABELS[pair[0]]} minus {LABELS[pair[1]]}",
                    "points": round(interval.value, 2),
                    "low": round(interval.low, 2),
                    "high": round(interval.high, 2),
                    "n": interval.n,
                }
            )
    return pd.DataFrame(rows, columns=["dataset", "difference", "points", "low", "high", "n"])


def long_table(sequences: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """The numbers behind :func:`degree_distributions`: panel, line, k, share with at least k."""
    rows = [
        pd.DataFrame(dict(zip(("k", "share"), ccdf(degrees), strict=True))).assign(
            panel=panel, line=line
        )
        for panel, lines in sequences.items()
        for line, degrees in lines.items()
    ]
    columns = ["panel", "line", "k", "share"]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def network_pictures(
    graphs: Mapping[str, nx.DiGraph], n_shown: int, title: str
) -> tuple[Figure, pd.DataFrame]:
    """The best connected neurons of every layer and the links among them, one panel a graph.

    Args:
        graphs: {panel: graph of lib.topology.to_networkx}.
        n_shown: neurons shown of each layer.
        title: of the figure.
    Returns: the figure; the nodes shown with their degrees.
    """
    n = max(1, len(graphs))
    fig, axs = plt.subplots(1, n, figsize=(4.5 * n, 3.4), squeeze=False)
    fig.suptitle(title)
    if not graphs:
        empty(axs[0, 0])
        return fig, pd.DataFrame(columns=["panel", "layer", "index", "degree"])
    rows = []
    top = max(max(dict(graph.degree).values()) for graph in graphs.values())
    for ax, (name, graph) in zip(axs[0], graphs.items(), strict=True):
        layers = sorted(set(nx.get_node_attributes(graph, "layer").values()))
        position = {}
        for layer in layers:
            members = [node for node in graph if node[0] == layer]
            members = sorted(members, key=lambda node: (-graph.degree[node], node))[:n_shown]
            position |= {node: (layer, -i) for i, node in enumerate(members)}
        shown = graph.subgraph(position)
        order = list(position)
        degrees = [graph.degree[node] for node in order]
        rows += [
            {"panel": name, "layer": n[0], "index": n[1], "degree": d}
            for n, d in zip(order, degrees, strict=True)
        ]
        links = nx.draw_networkx_edges(
            shown, position, ax=ax, arrows=False, width=0.8, edge_color="#aaaaaa"
        )
        if shown.number_of_edges():
            links.set_rasterized(True)
        dots = nx.draw_networkx_nodes(
            shown, position, nodelist=order, node_size=30, node_color=degrees, cmap="cividis_r",
            vmin=0, vmax=top, ax=ax,
        )  # fmt: skip
        names = ["inputs", *(f"hidden {i}" for i in layers[1:])]
        ax.set_xticks(layers, names)
        ax.tick_params(bottom=True, labelbottom=True)
        ax.set_title(f"{name}: {shown.number_of_edges():,} links among those shown")
        sns.despine(ax=ax, left=True, bottom=True)
    fig.colorbar(dots, ax=axs[0], label="links of a neuron, whole network")
    return fig, pd.DataFrame(rows)


def input_maps(found: Sequence[Record], title: str) -> tuple[Figure, pd.DataFrame]:
    """Links of every input pixel after the last update, one panel a record, one colour scale.

    Args:
        found: records of sparse networks on square images, as seed 0 of several methods.
        title: of the figure.
    Returns: the figure; columns dataset, method, row, column, links.
    """
    name = "linear1.out_degree.final"
    maps = {(r.config.dataset, r.config.method): r.arrays[name] for r in found}
    n = max(1, len(maps))
    fig, axs = plt.subplots(1, n, figsize=(3 * n, 3.4), squeeze=False)
    top = max((links.max() for links in maps.values()), default=1)
    rows = []
    for ax, ((dataset, method), links) in zip(axs[0], maps.items(), strict=False):
        side = int(len(links) ** 0.5)
        image = ax.imshow(links.reshape(side, side), cmap="cividis", vmin=0, vmax=top)
        without = int((links == 0).sum())
        ax.set_title(f"{label(dataset)}, {LABELS[method]}\n{without} pixels without links")
        ax.set_axis_off()
        at = np.indices((side, side)).reshape(2, -1)
        rows.append(
            pd.DataFrame({"row": at[0], "column": at[1], "links": links}).assign(
                dataset=dataset, method=method
            )
        )
    if maps:
        fig.colorbar(image, ax=axs[0], label="links of a pixel", shrink=0.8)
    else:
        empty(axs[0, 0])
    fig.suptitle(title)
    table = pd.concat(rows) if rows else pd.DataFrame()
    return fig, table


def cost_curves(table: pd.DataFrame, against: str, title: str) -> Figure:
    """A panel a measure against "n", "density" or "batch": median, bars from quartile to quartile.

    Args:
        table: rows of lib.bench.obtain; none gives an empty panel that says so.
        against: column of the horizontal axis.
        title: of the figure.
    """
    axis = {"n": "neurons of a layer", "density": "density", "batch": "examples in a batch"}
    measures = list(table["measure"].unique()) or [""]
    fig, axs = plt.subplots(1, len(measures), figsize=(4.3 * len(measures), 3.8), squeeze=False)
    for ax, name in zip(axs[0], measures, strict=True):
        part = table[table["measure"] == name]
        for contender, line in part.groupby("contender", sort=False):
            line = line.sort_values(against)
            median = line["median_ms"]
            bars = (median - line["low_ms"], line["high_ms"] - median)
            ax.errorbar(line[against], median, bars, ms=5, **CONTENDERS[contender])
        if part.empty:
            empty(ax)
        unit = "MiB above an empty process" if name == "peak_memory" else "milliseconds"
        ax.set(xscale="log", yscale="log", xlabel=axis[against], title=name.replace("_", " "))
        ax.set_ylabel(unit)
        ax.xaxis.set_major_locator(FixedLocator(sorted(part[against].unique())))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.tick_params(axis="x", labelsize="small", labelrotation=45 if len(part) > 20 else 0)
    if len(table):
        axs[0, 0].legend(fontsize="small")
    fig.suptitle(title)
    return fig
