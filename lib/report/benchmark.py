"""The benchmark (:mod:`lib.bench`) as notebooks and pages show it: pictures and tables of rows."""

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.figure import Figure

from lib.report import labels
from lib.report.layout import WIDTH, handles_of, legend_beside, log_x, panels, plain

QUARTILES = "#cc0000"
WIDE = 100  # largest over smallest, from which on no numbers stand between powers of ten
LEGEND = 1.6  # inches beside curves
POINT = ["density", "batch", "n_in", "n", "threads"]
SHARED_AXIS = {
    "n": "neurons of a layer",
    "density": "density",
    "batch": "examples in a batch",
}
COSTS = {  # measures that want more than their name: title and unit
    "peak_memory": ("memory above torch and kernels", "peak, MiB"),
    "cd1_step": ("CD-1 step", "milliseconds"),
}

# -------------------------------------------------------------------------------------- tables


def name_of(contender: str) -> str:
    """How a contender is written."""
    return labels.CONTENDERS[contender]["label"]


def machines(table: pd.DataFrame) -> str:
    """Threads and processor of every machine that has measured rows of a table."""
    texts = []
    for cpu, rows in table.groupby("cpu", sort=False):
        threads = " and ".join(str(number) for number in sorted(set(rows["threads"]), reverse=True))
        texts.append(f"{threads} threads, {cpu}")
    return ", ".join(texts)


def multiples(table: pd.DataFrame) -> pd.DataFrame:
    """How many times as long as ours the others take, a row a point and a column a contender:
    medians over rounds of the ratios, with quartiles; of ours and of the floor milliseconds.

    Args:
        table: rows of :func:`lib.bench.obtain`, one measure.
    """
    rows = table.assign(text=[_in_text(row) for row in table.to_dict("records")])
    rows["contender"] = rows["contender"].map(name_of)
    order = [look["label"] for look in labels.CONTENDERS.values()]
    wide = rows.pivot_table("text", POINT, "contender", aggfunc="first", dropna=False)
    wide = wide.dropna(how="all").dropna(how="all", axis=1)
    return wide[[name for name in order if name in wide]].fillna("–")


def _in_text(row: dict) -> str:
    if row["contender"] == "floor" or row["ratio_low"] == row["ratio"] == row["ratio_high"] == 1:
        return f"{row['median_ms']:.3g} ms"
    return f"{row['ratio']:.3g} ({row['ratio_low']:.3g} to {row['ratio_high']:.3g})"


# ------------------------------------------------------------------------------------ pictures


def step_bars(steps: pd.DataFrame, title: str, below: str = "") -> Figure:
    """A panel a density, in it a bar a contender, the shortest first, with quartiles and the
    multiple of our time in the same rounds.

    Args:
        steps: columns contender, density, median_ms, low_ms, high_ms, ratio; none gives an empty
            panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    """
    groups = steps.groupby("density")
    fig, axs = panels(len(groups), 4.6, 3.8, title, below, margin=0.4)
    for ax, (density, rows) in zip(axs, groups, strict=False):
        rows = rows.sort_values("median_ms")
        for place, row in enumerate(rows.to_dict("records")):
            median, low, high = row["median_ms"], row["low_ms"], row["high_ms"]
            color = labels.CONTENDERS[row["contender"]]["color"]
            quartiles = [[median - low], [high - median]]
            ax.barh(-place, median, xerr=quartiles, color=color, ecolor=QUARTILES)
            text = f"  {median:.2g} ms" if median < 10 else f"  {median:.0f} ms"
            ratio = row["ratio"]
            if row["contender"] not in ("fused", "floor") and not np.isnan(ratio):
                text += f" · {ratio:.2g} ×" if ratio < 10 else f" · {ratio:.0f} ×"
            ax.text(high, -place, text, va="center", fontsize="small")
        places = [-place for place in range(len(rows))]
        ax.set_yticks(places, rows["contender"].map(name_of), fontsize="small")
        ax.set_title(f"{100 * density:.3g} % of the links", fontsize="medium")
        ax.set_xlabel("milliseconds (× ours)")
        ax.margins(x=0.45)
    return fig


def cost_curves(table: pd.DataFrame, against: str, title: str, below: str = "") -> Figure:
    """A panel a measure against "n", "density" or "batch": median, bars from quartile to quartile.

    Args:
        table: rows of lib.bench.obtain; none gives an empty panel that says so.
        against: column of the horizontal axis.
        title, below: see :func:`lib.report.layout.head`.
    """
    groups = table.groupby("measure", sort=False)
    width = (WIDTH - LEGEND) / max(1, len(groups))
    fig, axs = panels(len(groups), width, 3.4, title, below, margin=LEGEND)
    for ax, (measure, costs) in zip(axs, groups, strict=False):
        for contender, line in costs.groupby("contender", sort=False):
            line = line.sort_values(against)
            median = line["median_ms"]
            bars = (median - line["low_ms"], line["high_ms"] - median)
            look = labels.CONTENDERS[contender]
            ax.errorbar(line[against], median, bars, ms=5, **look)
        name, unit = COSTS.get(measure, (measure.replace("_", " "), "milliseconds"))
        ax.set(title=name, xlabel=SHARED_AXIS[against], ylabel=unit)
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        subs = (1,) if high > WIDE * low else (1, 2, 5)
        ax.yaxis.set_major_locator(ticker.LogLocator(subs=subs, numticks=12))
        ax.yaxis.set_major_formatter(plain)
        ax.yaxis.set_minor_formatter(ticker.NullFormatter())
        ticks = sorted(costs[against].unique())
        log_x(ax, ticker.FixedLocator(ticks))
        if len(ticks) > 4:
            ax.tick_params(axis="x", labelrotation=45)
    if len(table):
        legend_beside(fig, handles_of(axs))
    return fig
