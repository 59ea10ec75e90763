"""What training costs on the clock: the tables and the picture of notebook 02."""

from collections.abc import Sequence

import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.report import labels
from lib.report.labels import look
from lib.report.layout import handles_of, legend_beside, panels
from lib.runs.record import Record

COLUMNS = ["dataset", "variant", "seed", "epoch", "seconds", "test_accuracy"]
GROUPS = ["dataset", "variant"]
RUN = [*GROUPS, "seed"]
LOOKS = {  # variants of `time_to_accuracy`
    "tuned": look("SET", "#0173b2", "-"),
    "equal time": look("dense, few epochs", "#000000", ":"),
    "longer": look("dense, more epochs", "#949494", "--"),
}
NAMES = {variant: drawn["label"] for variant, drawn in LOOKS.items()}

Records = Sequence[Record]

# -------------------------------------------------------------------------------------- tables


def accuracies(records: Records) -> pd.DataFrame:
    """Test accuracy and seconds of training so far after every epoch of every run.

    Returns: columns dataset, variant, seed, epoch, seconds, test_accuracy.
    """
    parts = []
    for record in records:
        epochs = record.metrics[["epoch", "test_accuracy"]]
        for name in RUN:
            field = getattr(record.config, name)
            epochs = epochs.assign(**{name: field})
        clock = record.environment["clock"]
        parts.append(epochs.assign(seconds=clock))
    if parts:
        return pd.concat(parts, ignore_index=True)[COLUMNS]
    return pd.DataFrame(columns=COLUMNS)


def machines(records: Records) -> str:
    """Threads and processor of every machine that has trained."""
    texts = set()
    for record in records:
        facts = record.environment
        texts.add(f"{facts['threads']} threads, {facts['cpu']}")
    return ", ".join(sorted(texts))


def time_to_accuracy(table: pd.DataFrame, above: float) -> pd.DataFrame:
    """The end of the runs, and the seconds after which they stay above an accuracy.

    Args:
        table: of :func:`accuracies`.
        above: test accuracy, as a fraction.
    Returns: by dataset and variant: seconds and accuracy at the end (mean over seeds), sd, n;
        seconds to stay above (mean), of the slowest, and seeds that get there.
    """
    in_order = table.sort_values("epoch")
    last = in_order.groupby(RUN, sort=False).tail(1)
    ends = last.groupby(GROUPS, sort=False).agg(
        seconds=("seconds", "mean"),
        accuracy=("test_accuracy", "mean"),
        sd=("test_accuracy", "std"),
        n=("seed", "count"),
    )
    from_the_end = table[::-1].groupby(RUN)["test_accuracy"]
    lowest_from_here_on = from_the_end.cummin()[::-1]
    stays = table[lowest_from_here_on >= above]
    first = stays.groupby(RUN, as_index=False)["seconds"].min()
    columns = {
        f"seconds to stay above {100 * above:g} %": ("seconds", "mean"),
        "slowest": ("seconds", "max"),
        "seeds": ("seed", "count"),
    }
    times = first.groupby(GROUPS).agg(**columns)
    return ends.join(times)


# ------------------------------------------------------------------------------------- picture


def accuracy_against_time(table: pd.DataFrame, title: str, below: str = "") -> Figure:
    """Test accuracy against seconds of training, a panel a data set; line: mean over seeds after
    each epoch, band: ± sd, point: the last epoch.

    Args:
        table: of :func:`accuracies`; none gives an empty panel that says so.
        title, below: see :func:`lib.report.layout.head`.
    """
    groups = table.groupby("dataset", sort=False)
    fig, axs = panels(len(groups), 3.5, 3.4, title, below, margin=2, per_row=2)
    for ax, (dataset, runs) in zip(axs, groups, strict=False):
        for variant, lines in runs.groupby("variant", sort=False):
            _line(ax, lines, LOOKS[variant])
        _axes(ax, runs["test_accuracy"])
        ax.set_title(labels.dataset(dataset))
    if len(table):
        legend_beside(fig, handles_of(axs))
    return fig


def _line(ax: Axes, lines: pd.DataFrame, drawn: labels.Look) -> None:
    """The mean of all seeds, named in the legend, and a point at its end."""
    n_epochs, n = lines["epoch"].max(), lines["seed"].nunique()
    of_epochs = lines.groupby("epoch")
    seconds = of_epochs["seconds"].mean()
    accuracy = of_epochs["test_accuracy"].agg(["mean", "std"]).fillna(0)
    label = f"{drawn['label']} ({n_epochs} epochs, n = {n})"
    ax.plot(seconds, accuracy["mean"], lw=1.4, **drawn | {"label": label})
    low, high = accuracy["mean"] - accuracy["std"], accuracy["mean"] + accuracy["std"]
    ax.fill_between(seconds, low, high, color=drawn["color"], alpha=0.15, lw=0)
    ax.plot(seconds.iloc[-1], accuracy["mean"].iloc[-1], "o", color=drawn["color"], ms=4)


def _axes(ax: Axes, accuracy: pd.Series) -> None:
    low, top = accuracy.quantile(0.15), accuracy.max()
    ax.set(xlabel="seconds of training", ylabel="test accuracy")
    ax.set(xscale="log", ylim=(low, top + 0.05 * (top - low)))
    seconds = ticker.LogLocator(subs=(1, 3))
    ax.xaxis.set_major_locator(seconds)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    round_steps = ticker.MaxNLocator(steps=[1, 2, 5, 10])
    percent = ticker.PercentFormatter(1, decimals=1)
    ax.yaxis.set_major_locator(round_steps)
    ax.yaxis.set_major_formatter(percent)
