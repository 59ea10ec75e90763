"""The benchmark (:mod:`lib.bench`) as notebooks show it: tables and pictures of its rows."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.bench import BATCH
from lib.report import labels
from lib.report.layout import handles_of, head, legend_beside, panels

MEASURES = ("training_step", "epoch", "predict_1", "predict_1024")
QUARTILES = "#cc0000"

# -------------------------------------------------------------------------------------- tables


def name_of(contender: str) -> str:
    """How a contender is written."""
    return labels.CONTENDERS[contender]["label"]


def machines(table: pd.DataFrame) -> str:
    """Threads and processor of every machine that has measured rows of a table."""
    facts = table[["threads", "cpu"]]
    different = facts.drop_duplicates()
    texts = []
    for threads, cpu in different.itertuples(index=False):
        texts.append(f"{threads} threads, {cpu}")
    return ", ".join(texts)


def memory(table: pd.DataFrame) -> str:
    """Latency and bandwidth of the memory, as far as a table has them: what times are read beside.

    Args:
        table: of :func:`lib.bench.obtain`, "contenders".
    """
    rows = table[table["contender"] == "machine"]
    texts = []
    for row in rows.to_dict("records"):
        name, unit = row["measure"].split(", ")
        texts.append(f"{name} {row['median_ms']:.3g} {unit}")
    return "memory: " + (", ".join(texts) or "not measured")


def medians(table: pd.DataFrame) -> pd.DataFrame:
    """Milliseconds of every contender (row) for the whole steps, epochs and predictions measured.

    Args:
        table: of :func:`lib.bench.obtain`, "contenders".
    """
    rows = table[table["measure"].isin(MEASURES)]
    wide = rows.pivot_table("median_ms", "contender", "measure")
    measured = [measure for measure in MEASURES if measure in wide]
    return wide[measured]


def epoch_over_steps(medians: pd.DataFrame, n: int = 60_000) -> pd.Series:
    """An epoch of n examples over the training steps that it has, alone, by contender; without
    rows where no epoch was measured.

    Args:
        medians: of :func:`medians`.
        n: examples of the epoch.
    """
    name = "epoch / its training steps alone"
    if "epoch" not in medians:
        return pd.Series(name=name, dtype=float)
    n_steps = -(-n // BATCH)  # the last batch may be smaller
    steps = n_steps * medians["training_step"]
    ratio = medians["epoch"] / steps
    return ratio.dropna().rename(name)


def cost_of_a_link(steps: pd.DataFrame) -> pd.DataFrame:
    """Our training step against width, and the nanoseconds of each link.

    Args:
        steps: of :func:`lib.bench.obtain`, "steps".
    Returns: columns n, links, median_ms, ns_a_link.
    """
    chosen = steps["measure"] == "training_step"
    chosen &= steps["contender"] == "fused"
    ours = steps[chosen]
    nanoseconds = 1e6 * ours["median_ms"] / ours["links"]
    ours = ours.assign(ns_a_link=nanoseconds.round(1))
    return ours[["n", "links", "median_ms", "ns_a_link"]]


def speedup(products: pd.DataFrame) -> pd.DataFrame:
    """How many times faster than dense our products are, a row a density, a column a product.

    Args:
        products: of :func:`lib.bench.obtain`, "products", against density.
    """
    columns = ["measure", "contender"]
    costs = products.pivot_table("median_ms", "density", columns)
    ratios = {}
    for product in products["measure"].unique():
        of_product = costs[product]
        ratios[product] = of_product["dense"] / of_product["fused"]
    return pd.DataFrame(ratios)


# ------------------------------------------------------------------------------------ pictures


def step_bars(steps: pd.DataFrame, title: str, below: str = "") -> Figure:
    """A bar a contender, in the order of the rows, with quartiles and the multiple of our time:
    median and quartiles of the ratios of rounds, or, where those were not kept, of the medians.

    Args:
        steps: columns contender, median_ms, low_ms, high_ms, perhaps ratio, ratio_low, ratio_high;
            none gives an empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    """
    if steps.empty:
        fig, _ = panels(0, 8, 4, title, below)
        return fig
    fig, ax = plt.subplots(figsize=(8, 4))
    medians = steps.set_index("contender")["median_ms"]
    for place, row in enumerate(steps.to_dict("records")):
        _step_bar(ax, -place, row, medians["fused"])
    places = [-place for place in range(len(steps))]
    ax.set_yticks(places, steps["contender"].map(name_of))
    ax.set_xlabel("milliseconds a training step (×: of ours, median over rounds of their ratios)")
    head(fig, title, below)
    ax.margins(x=0.4)
    return fig


def _step_bar(ax: Axes, y: int, row: dict, ours: float) -> None:
    median, low, high = row["median_ms"], row["low_ms"], row["high_ms"]
    look = labels.CONTENDERS[row["contender"]]
    quartiles = [[median - low], [high - median]]
    colors = {"color": look["color"], "ecolor": QUARTILES}
    ax.barh(y, median, xerr=quartiles, **colors)
    ratio = row.get("ratio", np.nan)
    text = f"  {median:.2f} ms"
    if ratio == row.get("ratio_low") == row.get("ratio_high"):  # ours, in every round
        text += f" · {ratio:.1f} ×"
    elif np.isnan(ratio):
        text += f" · {median / ours:.1f} ×"
    else:
        text += f" · {ratio:.1f} × ({row['ratio_low']:.1f} to {row['ratio_high']:.1f})"
    ax.text(high, y, text, va="center")


def parts_of_a_step(parts: pd.DataFrame, title: str, below: str = "") -> Figure:
    """What part of a training step takes how long, a bar a contender.

    Args:
        parts: columns contender, measure (the part), median_ms; none gives an empty panel that
            says so.
        title, below: see :func:`lib.report.layout.head`.
    """
    if parts.empty:
        fig, _ = panels(0, 8, 3, title, below)
        return fig
    costs = parts.pivot_table("median_ms", "contender", "measure", sort=False)
    whole = costs.sum(axis=1)
    costs.index = [name_of(contender) for contender in costs.index]
    fig, ax = plt.subplots(figsize=(8, 3))
    costs.plot.barh(stacked=True, ax=ax, colormap=labels.SEQUENTIAL, edgecolor="white")
    for place, ms in enumerate(whole):
        ax.text(ms, place, f"  {ms:.2f} ms", va="center")
    ax.margins(x=0.15)
    ax.legend(fontsize="small", loc="lower right")
    ax.set(xlabel="milliseconds of a training step", ylabel="")
    head(fig, title, below)
    return fig


def parts_against_batch(parts: pd.DataFrame, title: str, below: str = "") -> Figure:
    """Shares of our training step, a bar a batch, the whole in milliseconds above it.

    *Activation, dropout, calls* is what the passes take beyond their products alone.

    Args:
        parts: columns contender, batch, measure (a part, or "products"), median_ms; without
            products an empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    """
    ours = parts[parts["contender"] == "fused"]
    if "products" not in set(ours["measure"]):
        fig, _ = panels(0, 8, 3, title, below)
        return fig
    costs = ours.pivot_table("median_ms", "batch", "measure")
    passes = costs["forward"] + costs["backward"]
    whole = passes + costs[["batch", "loss", "optimiser"]].sum(axis=1)
    products = np.minimum(costs["products"], passes)  # alone they may take longer: calls of Python
    segments = {  # colours as in parts_of_a_step
        "drawing a batch": costs["batch"],
        "products": products,
        "loss": costs["loss"],
        "activation, dropout, calls": passes - products,
        "optimiser": costs["optimiser"],
    }
    shares = pd.DataFrame(segments).div(whole, axis=0)
    shares.index = shares.index.astype(int)  # a table with other rows has floats
    fig, (ax,) = panels(1, 4.6, 3.6, title, below, margin=2.6)
    shares.plot.bar(stacked=True, ax=ax, colormap=labels.SEQUENTIAL, edgecolor="white", rot=0)
    for place, ms in enumerate(whole):
        ax.text(place, 1.02, f"{ms:.3g} ms", ha="center", fontsize="x-small")
    ax.yaxis.set_major_formatter(ticker.PercentFormatter(1))
    ax.set(xlabel="examples in a batch", ylabel="share of a training step")
    ax.get_legend().remove()
    legend_beside(fig, dict(reversed(handles_of([ax]).items())))
    return fig
