"""Tables as the notebooks show them."""

import html
import re
from collections.abc import Sequence
from itertools import product

import pandas as pd

from lib.paths import REFERENCE
from lib.report import labels
from lib.report.intervals import t_interval
from lib.runs.environment import environment
from lib.runs.record import Record, summaries

Records = Sequence[Record]
WRITTEN = {"dataset": labels.dataset, "method": labels.method_name, "network": labels.network}
SIGNIFICANT = 0.05  # p, corrected for the family
ACCURACIES = {  # columns of a summary, as a table names them
    "last_accuracy": "last epoch",
    "best_on_test_accuracy": "best on test",
    "final_accuracy": "after the last update",
}


def _histories(records: Records) -> pd.DataFrame:
    """The metrics of all records in one table, with their data set and method."""
    parts = []
    for record in records:
        run = record.config
        parts.append(record.metrics.assign(dataset=run.dataset, method=run.method))
    if parts:
        return pd.concat(parts)
    columns = ["dataset", "method", "epoch", "test_accuracy"]
    return pd.DataFrame(columns=columns, dtype=float)


def _mean_sd(values: pd.Series, digits: int) -> str:
    """As "0.912 ± 0.003"; "–" where no seed has the number, and of how many where some have."""
    known = values.dropna()
    if known.empty:
        return "–"
    text = f"{known.mean():.{digits}f}"
    if len(known) > 1:
        text += f" ± {known.std():.{digits}f}"
    return text if len(known) == len(values) else f"{text} ({len(known)} of {len(values)})"


def curves(records: Records) -> pd.DataFrame:
    """Test accuracy by epoch: mean, standard deviation and n over seeds, by data set and method."""
    grouped = _histories(records).groupby(["dataset", "method", "epoch"], sort=False)
    return grouped["test_accuracy"].agg(mean="mean", sd="std", n="count").reset_index()


def summary(records: Records) -> pd.DataFrame:
    """Accuracy and links by data set and method, mean ± sd over n seeds; accuracies in percent."""
    if not records:
        return pd.DataFrame(columns=["dataset", "method", "n", *ACCURACIES.values()])
    table = summaries(records)
    several = table["variant"].nunique() > 1
    keys = ["experiment", "dataset", "architecture", "variant", "method", "epochs"]
    rows = []
    for (_, dataset, architecture, variant, method, epochs), group in table.groupby(
        keys, sort=False
    ):
        row = {"dataset": labels.dataset(dataset), "network": architecture}
        if several:
            row["settings"] = variant
        row |= {"method": labels.method_name(method), "n": len(group), "epochs": epochs}
        row["links in training"] = f"{group['links_training'].mean():,.0f}"
        row["links at the end"] = f"{group['links_final'].mean():,.0f}"
        for column, name in ACCURACIES.items():
            row[name] = _mean_sd(100 * group[column], 2)
        rows.append(row)
    return pd.DataFrame(rows)


def settings(records: Records, columns: Sequence[str]) -> pd.DataFrame:
    """Fields of the runs, a row for each combination, and how many seeds have it."""
    fields = [vars(record.config) for record in records]
    table = pd.DataFrame(fields, columns=[*columns, "seed"])
    groups = table.groupby(list(columns), sort=False, dropna=False)
    return groups["seed"].nunique().rename("seeds").reset_index()


# ------------------------------------------------------------------------------ pairs of methods


def paired_differences(records: Records, dataset: str, methods: tuple[str, str]) -> list[float]:
    """First minus second method, in points of test accuracy, for every seed that has both.

    At the last epoch of each; where both learn at a constant rate, at the last that both reached.
    """
    runs = {}
    for record in records:
        run = record.config
        if run.dataset == dataset:
            runs[run.method, run.seed] = record
    differences = []
    for seed in sorted({seed for _, seed in runs}):
        pair = [runs[method, seed] for method in methods if (method, seed) in runs]
        if len(pair) == 2:
            first, second = map(_accuracy_at, pair, compared_epochs(pair))
            differences.append(100 * (first - second))
    return differences


def _accuracy_at(record: Record, epoch: int) -> float:
    return record.metrics["test_accuracy"].iloc[epoch - 1]


def compared_epochs(pair: Records) -> list[int]:
    """The epochs at which :func:`paired_differences` compares two runs."""
    ends = [len(record.metrics) for record in pair]
    if all(record.config.schedule == "constant" for record in pair):
        return [min(ends)] * len(ends)
    return ends


def paired(records: Records, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Accuracy of one method minus another (:func:`paired_differences`), points, with 95 %
    t-interval and n; *epochs* are those compared.
    """
    runs = {(record.config.dataset, record.config.method): record for record in records}
    datasets = dict.fromkeys(record.config.dataset for record in records)
    rows = []
    for dataset, pair in product(datasets, pairs):
        differences = paired_differences(records, dataset, pair)
        if not differences:
            continue
        gain = t_interval(differences)
        points = [round(gain.value, 2), None, None]
        if gain.n > 1:
            points[1:] = round(gain.low, 2), round(gain.high, 2)
        epochs = compared_epochs([runs[dataset, method] for method in pair])
        name = " minus ".join(map(labels.method_name, pair))
        compared = ", ".join(map(str, epochs))
        rows.append((labels.dataset(dataset), name, compared, *points, gain.n))
    columns = ["dataset", "difference", "epochs", "points", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def written_contrasts(
    differences: pd.DataFrame, columns: Sequence[str] = ("measure",)
) -> pd.DataFrame:
    """Every difference as a text, as "0.32 [0.17, 0.46] n=5 *": a row a contrast, a column a
    measure; the star marks those whose p_holm is below .05, corrected for all of the table.

    Args:
        differences: rows of :func:`lib.report.intervals.contrasts`.
        columns: whose values are side by side, "measure" or "network" or both.
    """
    texts = []
    for row in differences.to_dict("records"):
        interval = f"[{row['low']:.2f}, {row['high']:.2f}]"
        star = " *" if row["p_holm"] < SIGNIFICANT else ""
        texts.append(f"{row['value']:.2f} {interval} n={row['n']}{star}")
    table = differences.assign(text=texts)
    rows = ["dataset", "contrast"]
    wide = table.pivot_table("text", rows, list(columns), aggfunc="first", sort=False)
    return named(wide.fillna(""))


def written_readings(readings: pd.DataFrame) -> pd.DataFrame:
    """Every reading of a claim as a text, as "-0.16 [-0.20, -0.12] fails", or "-0.16, n = 1": a row
    a reading, a column a rule and a data set.

    Args:
        readings: columns reading, rival, rule, dataset, value, low, high, holds if, verdict, as
            :func:`lib.report.verdicts.readings` gives them.
    """
    texts = []
    for row in readings.to_dict("records"):
        interval = f"[{row['low']:.3g}, {row['high']:.3g}]"
        measured = f"{row['value']:.3g} {interval} {row['verdict']}"
        texts.append(measured if row["n"] > 1 else f"{row['value']:.3g}, n = 1")
    table = readings.assign(
        text=texts,
        rival=readings["rival"].map(lambda name: labels.method_name(name) if name else ""),
        rule=readings["rule"].map(labels.method_name),
        dataset=readings["dataset"].map(labels.dataset),
    )
    rows = ["reading", "rival", "holds if"]
    wide = table.pivot_table("text", rows, ["rule", "dataset"], aggfunc="first", sort=False)
    return wide.fillna("")


# ------------------------------------------------------------------------------- many measures


def this_machine() -> pd.DataFrame:
    """Commit, versions and hardware, as a notebook ends with them."""
    return pd.Series(environment(), name="this machine").to_frame()


# ------------------------------------------------------------------------------- long tables


class Folded:
    """A long table under one line, which unfolds it where a notebook is read in a browser.

    Args:
        table: what is folded.
        line: what it holds.
    """

    def __init__(self, table: pd.DataFrame, line: str):
        self.table = table
        self.line = line

    def __repr__(self) -> str:
        return f"{self.line}\n{self.table!r}"

    def _repr_html_(self) -> str:
        line = html.escape(f"{self.line} ({len(self.table)} rows)")
        return f"<details><summary>{line}</summary>{self.table._repr_html_()}</details>"


class Sentences:
    """A table of texts, read from the left and in full, without its index.

    Args:
        table: what is shown.
    """

    LEFT = "<style>.sentences th, .sentences td {text-align: left !important}</style>"

    def __init__(self, table: pd.DataFrame):
        self.table = table

    def __repr__(self) -> str:
        rows = [self.table.columns, *self.table.to_numpy()]
        return "\n".join("   ".join(map(str, row)) for row in rows)

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None):
            return self.LEFT + self.table.to_html(index=False, border=0, classes="sentences")


def minus(text: str) -> str:
    """The text with minus signs in place of hyphens before numbers."""
    return re.sub(r"(?<![\w])-(?=[\d.])", "−", text)


def named(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its data sets, methods and networks as people read them, in columns as in
    levels of the index and of the head.
    """
    for name, written in WRITTEN.items():
        if name in table.columns:
            table = table.assign(**{name: table[name].map(written)})
        if name in table.index.names:
            table = table.rename(index=written, level=name)
        if name in table.columns.names:
            table = table.rename(columns=written, level=name)
    return table


def means(numbers: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Mean of the column value with its 95 % t-interval, by groups.

    Args:
        numbers: column value, a row a seed, and those of the groups.
        keys: columns of the groups.
    Returns: the columns of the groups, mean, low, high, n.
    """
    rows = []
    for key, group in numbers.groupby(list(keys), sort=False):
        mean = t_interval(group["value"])
        rows.append((*key, mean.value, mean.low, mean.high, mean.n))
    return pd.DataFrame(rows, columns=[*keys, "mean", "low", "high", "n"])


def side_by_side(means: pd.DataFrame, index: Sequence[str]) -> pd.DataFrame:
    """The rows of :func:`means` as texts, a column a method, in the order of the rows.

    Args:
        means: columns method, mean, low, high, and those of the index.
        index: columns that name the rows.
    """
    texts = []
    for row in means.itertuples():
        texts.append(f"{row.mean:.2f} [{row.low:.2f}, {row.high:.2f}]")
    wide = means.assign(text=texts).pivot(index=list(index), columns="method", values="text")
    return wide[means["method"].unique()]


def spread(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Mean, standard deviation and number of every other column, by groups.

    Returns: the groups as index; columns "name mean", "name std", "name count".
    """
    table = rows.groupby(list(keys), sort=False).agg(["mean", "std", "count"])
    table.columns = [" ".join(column) for column in table.columns]
    return table


def related_results(architecture: str) -> pd.DataFrame:
    """Published test accuracies of a network, percent, with their uncertainty: a row a method, a
    column a data set.

    Args:
        architecture: as data/reference/related_results.csv names it.
    """
    results = pd.read_csv(REFERENCE / "related_results.csv")
    chosen = results["architecture"] == architecture
    chosen &= results["metric"] == "test_accuracy_percent"
    numbers = ["value", "uncertainty"]
    return results[chosen].pivot_table(index="method", columns="dataset", values=numbers)
