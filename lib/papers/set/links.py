"""Rows and records of links, chosen: what notebook 15 and the machines read."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from lib.runs.record import Record

Runs = dict[tuple[str, str, int], Record]  # by data set, method and seed


def table(records: Iterable[Record]) -> pd.DataFrame:
    """The rows of several studies, with the columns dataset, network (experiment of the trained
    network), variant, method and seed.
    """
    parts = []
    for record in records:
        run = record.config
        names: dict[str, Any] = {"network": run.parent.experiment, "dataset": run.dataset}
        names |= {"variant": run.variant, "method": run.method, "seed": run.seed}
        parts.append(record.metrics.assign(**names))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def at_end(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table of studies that describe the end."""
    return table[table["epoch"].astype(str) == "final"]


def during_training(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table of studies that describe an epoch; epochs are integers."""
    rows = table[table["epoch"].astype(str) != "final"]
    return rows.assign(epoch=rows["epoch"].astype(int))


def by_run(records: Iterable[Record]) -> Runs:
    """The records by data set, method and seed."""
    runs = {}
    for record in records:
        run = record.config
        runs[run.dataset, run.method, run.seed] = record
    return runs


def seeds_of(runs: Runs, dataset: str, method: str) -> list[Record]:
    """Those of one data set and method, a network a seed."""
    found = []
    for key, record in runs.items():
        if key[:2] == (dataset, method):
            found.append(record)
    return found
