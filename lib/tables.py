"""Tables as the notebooks show them."""

from collections.abc import Sequence
from functools import partial
from itertools import product

import numpy as np
import pandas as pd

from lib import claims, records
from lib.intervals import t_interval
from lib.plotting import CONTRASTS, METHODS, NETWORKS, label
from lib.records import Record


def _histories(found: Sequence[Record]) -> pd.DataFrame:
    """The metrics of all records in one table, with their data set and method."""
    parts = [r.metrics.assign(dataset=r.config.dataset, method=r.config.method) for r in found]
    columns = ["dataset", "method", "epoch", "test_accuracy"]
    return pd.concat(parts) if parts else pd.DataFrame(columns=columns, dtype=float)


def _mean_sd(values: pd.Series, digits: int) -> str:
    sd = f" ± {values.std():.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{sd}"


def curves(found: Sequence[Record]) -> pd.DataFrame:
    """Test accuracy by epoch: mean, standard deviation and n over seeds, by data set and method."""
    grouped = _histories(found).groupby(["dataset", "method", "epoch"], sort=False)
    return grouped["test_accuracy"].agg(mean="mean", sd="std", n="count").reset_index()


def summary(found: Sequence[Record]) -> pd.DataFrame:
    """Accuracy and links by data set and method, mean ± sd over n seeds; accuracies in percent."""
    accuracies = {"last_accuracy": "last epoch", "best_on_test_accuracy": "best on test"}
    accuracies["final_accuracy"] = "after the last update"
    if not found:
        return pd.DataFrame(columns=["dataset", "method", "n", *accuracies.values()])
    rows = []
    keys = ["experiment", "dataset", "architecture", "variant", "method", "epochs"]
    table = records.table(found)
    for names, part in table.groupby(keys, sort=False):
        _, dataset, architecture, variant, method, epochs = names
        row = {"dataset": label(dataset), "network": architecture}
        if table["variant"].nunique() > 1:
            row["settings"] = variant
        row |= {"method": METHODS[method]["label"], "n": len(part), "epochs": epochs}
        row["links in training"] = f"{part['links_training'].mean():,.0f}"
        row["links at the end"] = f"{part['links_final'].mean():,.0f}"
        row |= {name: _mean_sd(100 * part[column], 2) for column, name in accuracies.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def paired(found: Sequence[Record], pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Accuracy of one method minus another (:func:`lib.claims.paired`), points, with 95 %
    t-interval and n; *epochs* are those compared.
    """
    rows = []
    datasets = dict.fromkeys(record.config.dataset for record in found)
    runs = {(r.config.dataset, r.config.method): r for r in found}
    for dataset, pair in product(datasets, pairs):
        if differences := claims.paired(found, dataset, pair):
            interval = t_interval(differences)
            points = [round(x, 2) for x in (interval.value, interval.low, interval.high)]
            points[1:] = points[1:] if interval.n > 1 else (None, None)
            name = " minus ".join(METHODS[method]["label"] for method in pair)
            epochs = claims.compared_epochs([runs[dataset, method] for method in pair])
            compared = ", ".join(map(str, epochs))
            rows.append((label(dataset), name, compared, *points, interval.n))
    columns = ["dataset", "difference", "epochs", "points", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def mean_table(numbers: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """Mean ± sd over n seeds of every measure (column), by data set, network and method.

    Args:
        numbers: rows of :func:`lib.robustness.sum_up`.
        digits: after the point.
    """
    keys = ["dataset", "network", "method"]
    numbers = numbers.assign(dataset=numbers["dataset"].map(label))

    text = partial(_mean_sd, digits=digits)
    wide = numbers.pivot_table("value", keys, "measure", aggfunc=text, sort=False)
    wide.insert(0, "n", numbers.groupby(keys, sort=False)["seed"].nunique())
    wide = wide.reset_index()
    order = wide["method"].map(list(METHODS).index), wide["network"], wide["dataset"]
    wide["method"] = [METHODS[m]["label"] for m in wide["method"]]
    wide["network"] = wide["network"].map(lambda name: NETWORKS.get(name, name))
    return wide.iloc[np.lexsort(order)].reset_index(drop=True)


def slopes(found: Sequence[Record], epochs: int) -> pd.DataFrame:
    """Slope of the mean test accuracy over the last epochs, in points an epoch, of every method;
    over the last fifth of a run where that is shorter.
    """
    rows = []
    for (dataset, method), line in curves(found).groupby(["dataset", "method"], sort=False):
        end = line["epoch"].max()
        last = line[line["epoch"] > end - min(epochs, max(2, end // 5))]
        slope = 100 * np.polyfit(last["epoch"], last["mean"], 1)[0] if len(last) > 1 else np.nan
        rows.append((label(dataset), METHODS[method]["label"], len(last), slope))
    return pd.DataFrame(rows, columns=["dataset", "method", "epochs", "slope"])


def at_epochs(found: Sequence[Record], epochs: Sequence[int]) -> pd.DataFrame:
    """Test accuracy of every method at some epochs, percent: mean, 95 % t-interval over seeds, n.

    Epochs that no run reached are left out, and so is the interval of a single seed.
    """
    rows = []
    table = _histories(found).loc[lambda t: t["epoch"].isin(list(epochs))]
    for (dataset, method, epoch), part in table.groupby(["dataset", "method", "epoch"], sort=False):
        got = t_interval(100 * part["test_accuracy"])
        bounds = (got.low, got.high) if got.n > 1 else (None, None)
        rows.append((label(dataset), METHODS[method]["label"], epoch, got.value, *bounds, got.n))
    return pd.DataFrame(rows, columns=["dataset", "method", "epoch", "mean", "low", "high", "n"])


def flags(numbers: pd.DataFrame, checks: pd.DataFrame) -> list[str]:
    """For each row of a :func:`mean_table` the checks of lib.robustness.check_attacks that a
    network of it fails; "none" where all pass.
    """
    failed = checks[~checks["passed"].astype(bool)]
    labels = failed["method"].map(lambda m: METHODS[m]["label"])
    networks = failed["network"].map(lambda name: NETWORKS.get(name, name))
    keys = zip(failed["dataset"].map(label), networks, labels, strict=True)
    found = pd.Series(failed["check"].to_numpy(), index=list(keys), dtype=object)
    rows = numbers[["dataset", "network", "method"]].itertuples(index=False, name=None)
    return [
        "; ".join(dict.fromkeys(found[[k == row for k in found.index]])) or "none" for row in rows
    ]


def flagged(differences: pd.DataFrame, checks: pd.DataFrame) -> list[bool]:
    """For each row of :func:`lib.intervals.contrasts` whether a network of either side fails a
    check of :func:`lib.robustness.check_attacks`.
    """
    failed = checks[~checks["passed"].astype(bool)]
    found = set(failed[["dataset", "network", "method"]].itertuples(index=False, name=None))
    rows = differences[["dataset", "network", "contrast"]].itertuples(index=False, name=None)
    return [any((d, n, m) in found for m in CONTRASTS[c]) for d, n, c in rows]
