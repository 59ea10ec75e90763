"""The numbers of [Mocanu2018] beside ours: Table 3, and the authors' log on CIFAR-10."""

from collections.abc import Sequence

import pandas as pd

from lib.papers.shared.claims import chosen
from lib.paths import REFERENCE
from lib.report import labels, tables
from lib.runs.record import Record

MODELS = {  # of Table 3, and ours beside each
    "SET-MLP": ["set"],
    "MLP_FixProb": ["fixed", "fixed_final"],
    "MLP": ["dense"],
}
THEIRS = {"n_weights": "paper: weights", "accuracy_percent": "paper: best on test"}
OURS = [
    "dataset",
    "method",
    "settings",
    "links at the end",
    "n",
    "epochs",
    "best on test",
    "last epoch",
]


def beside_table_3(summary: pd.DataFrame) -> pd.DataFrame:
    """The paper's Table 3 with our numbers beside each row, – where nothing was run.

    Source: [Mocanu2018] Table 3.

    Args:
        summary: of :func:`lib.report.tables.summary`.
    """
    theirs = pd.read_csv(REFERENCE / "set_table3_mlp.csv")
    methods = theirs["model"].map(MODELS)
    theirs = theirs.assign(method=methods).explode("method").rename(columns=THEIRS)
    theirs["method"] = theirs["method"].map(labels.method_name)
    theirs = theirs[["dataset", *THEIRS.values(), "method"]]
    ours = summary.reindex(columns=OURS)
    ours["dataset"] = _as_printed(summary["dataset"])
    both = theirs.merge(ours, how="left").astype(object)
    return both.where(both.notna(), "–")


def _as_printed(dataset: pd.Series) -> pd.Series:
    """Names of data sets as the paper prints them."""
    name = dataset.str.partition(",")[0]
    return name.str.replace("-", "")


def authors_log() -> pd.DataFrame:
    """The log of the authors' run on CIFAR-10: columns dataset, method, epoch, accuracy."""
    log = pd.read_csv(REFERENCE / "set_authors_cifar10_log.csv")
    log["accuracy"] = log.pop("accuracy_percent") / 100
    return log.assign(dataset="cifar10")


def beside_log(records: Sequence[Record]) -> pd.DataFrame:
    """Our accuracies on CIFAR-10 (:func:`lib.report.tables.at_epochs`) at the epochs of the
    authors' log, and theirs, percent.

    Args:
        records: with the published settings.
    """
    log = authors_log()
    large = chosen(records, dataset="cifar10")
    ours = tables.at_epochs(large, sorted(log["epoch"].unique()))
    method = log["method"].map(labels.method_name)
    theirs = pd.DataFrame({"method": method, "epoch": log["epoch"]})
    theirs["authors' log"] = 100 * log["accuracy"]
    return ours.merge(theirs, how="left")
