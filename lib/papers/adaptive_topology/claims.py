"""What our records say about the claims of [Sulyok2026], in the unit of each claim."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from lib.papers.adaptive_topology import readings
from lib.papers.shared.claims import chosen
from lib.report import labels
from lib.report.intervals import LEVEL, Measurement, t_interval
from lib.report.tables import paired_differences
from lib.report.verdicts import Claim
from lib.runs.record import Record

Records = Sequence[Record]
DATASETS = ("mnist", "fashion_mnist")
ROBUSTNESS = ("R03", "R04", "R05")
OURS = "setting ours: the abstract gives none"
SILENT = "the abstract names neither measure nor setting, and fair readings disagree"


def accuracy_gap(records: Records, dataset: str) -> Measurement | None:
    """R01, R02: dense minus adaptive sparse test accuracy at equal widths and epochs, points."""
    runs = chosen(records, experiment="adaptive_topology", variant="tuned")
    differences = paired_differences(runs, dataset, ("dense", "set"))
    return t_interval(differences) if differences else None


def robustness(records: Records, claim: str) -> Measurement | None:
    """R03, R04, R05: the primary reading for SET at the longest training, the worse data set.

    Intervals of both data sets are simultaneous; without a lower bound if one was not run. The
    abstract names neither measure nor setting, so that no reading of ours is the paper's.
    """
    reading = readings.primary(claim)
    groups = readings.groups(readings.at_equal_length(records))
    level = 1 - (1 - LEVEL) / len(DATASETS)
    found = []
    for group in groups:
        pairs = group.pairs("set", reading.rival)
        if pairs:
            measured = reading.measure(pairs, level)
            found.append(replace(measured, at=labels.dataset(group.dataset)))
    worst = worst_of(found)
    return None if worst is None else replace(worst, undecidable=SILENT)


def headline_readings(records: Records, claim: str) -> pd.DataFrame:
    """Every reading of a claim at the longest training, see :mod:`readings`."""
    return readings.table(readings.at_equal_length(records), claim)


def worst_of(found: Sequence[Measurement]) -> Measurement | None:
    """The worst of the measurements on each data set, of a quantity that should be large."""
    if not found:
        return None
    known = [one for one in found if not math.isnan(one.value)]
    worst = min(known, key=lambda one: one.value, default=found[0])
    is_whole = len(found) == len(DATASETS)
    return Measurement(
        worst.value,
        min(one.low for one in found) if is_whole else -math.inf,
        min(one.high for one in found),
        min(one.n for one in found),
        at=worst.at,
    )


CLAIMS: dict[str, Claim] = {
    "R01": Claim(
        ("adaptive_topology",),
        partial(accuracy_gap, dataset="mnist"),
        "Dense minus SET is {value:.2f} points on MNIST.",
        OURS,
    ),
    "R02": Claim(
        ("adaptive_topology",),
        partial(accuracy_gap, dataset="fashion_mnist"),
        "Dense minus SET is {value:.2f} points on Fashion-MNIST.",
        OURS,
    ),
}
SAYS = {
    "R03": "As links are removed, SET minus dense is {value:.2f} of the area, on {at}.",
    "R04": "SET loses half of its accuracy at {value:.2f} times the radius of dense, on {at}.",
    "R05": "As weights are shuffled, SET minus fixed links is {value:.3f} of the area, on {at}.",
}
for _claim in ROBUSTNESS:
    CLAIMS[_claim] = Claim(
        ("robustness_summary",),
        partial(robustness, claim=_claim),
        SAYS[_claim],
        OURS,
        readings=partial(headline_readings, claim=_claim),
    )
