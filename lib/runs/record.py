"""The record of a run, and its summary as one flat row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib._boundary import check_known
from lib.checkpoints import UNNAMED
from lib.runs.config import Run

SUMMARY = (
    "experiment",
    "dataset",
    "architecture",
    "method",
    "variant",
    "optimiser",
    "epochs",
    "seed",
    "profile",
    "best_accuracy",
    "best_on_test_accuracy",
    "last_accuracy",
    "final_accuracy",
    "links_training",
    "links_final",
    "seconds",
    "record",
)


def no_numbers(record: "Record") -> dict[str, Any]:
    """No numbers, for an experiment whose summary has those of every record alone."""
    return {}


@dataclass(frozen=True)
class Record:
    """The record of a run. Accuracies are fractions.

    Attributes:
        config: the run, with the data set actually loaded.
        table: its table, or a function that reads it, called when :attr:`metrics` is first used.
        arrays: by name; those that the experiment keeps, or all of a run of this machine. Of a
            stored record they are read from its folder when the first one is asked for.
        environment: facts of the run, seconds, commit, versions, hardware, data.
        path: where it was read.
        profile: the one it belongs to, or "custom".
        numbers: what its experiment adds to the summary.
    """

    config: Run
    table: pd.DataFrame | Callable[[], pd.DataFrame]
    arrays: Mapping[str, np.ndarray]
    environment: dict[str, Any]
    path: Path | None = None
    profile: str = "custom"
    numbers: Callable[["Record"], dict[str, Any]] = no_numbers

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Its table, one row an epoch or a measurement."""
        return self.table() if callable(self.table) else self.table

    @property
    def numerics(self) -> int:
        """The numerics of the code that made it, see :mod:`lib.checkpoints`."""
        return self.environment.get("numerics", UNNAMED)

    def summary(self) -> dict[str, Any]:
        """The record as one flat object with the keys :data:`SUMMARY`; None where it has none."""
        row = dict.fromkeys(SUMMARY)
        row |= {
            "experiment": self.config.experiment,
            "dataset": self.config.dataset,
            "architecture": self.environment.get("architecture"),
            "method": self.config.method,
            "variant": self.config.variant,
            "seed": self.config.seed,
            "profile": self.profile,
            "seconds": self.environment.get("seconds"),
            "record": self.config.name,
        }
        for name, number in self.numbers(self).items():
            check_known(f"number of {self.config.experiment!r}", name, SUMMARY)
            row[name] = number
        return row


def summaries(records: Sequence[Record]) -> pd.DataFrame:
    """The summaries of records, one row each."""
    rows = [record.summary() for record in records]
    return pd.DataFrame(rows, columns=list(SUMMARY))
