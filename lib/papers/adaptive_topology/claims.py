"""What our records say about the claims of [Sulyok2026], in the unit of each claim."""

from collections.abc import Sequence
from functools import partial

import pandas as pd

from lib.papers.adaptive_topology import readings
from lib.papers.shared.claims import chosen
from lib.report.intervals import LEVEL, Measurement, t_interval
from lib.report.tables import paired_differences
from lib.report.verdicts import Claim
from lib.runs.record import Record

Records = Sequence[Record]
DATASETS = ("mnist", "fashion_mnist")
ROBUSTNESS = ("R03", "R04", "R05")


def accuracy_gap(records: Records, dataset: str) -> Measurement | None:
    """R01, R02: dense minus adaptive sparse test accuracy at equal widths and epochs, points."""
    runs = chosen(records, experiment="adaptive_topology", variant="tuned")
    differences = paired_differences(runs, dataset, ("dense", "set"))
    return t_interval(differences) if differences else None


def robustness(records: Records, claim: str) -> Measurement | None:
    """R03, R04, R05: the primary reading for SET at the longest training, the worse data set.

    Intervals of both data sets are simultaneous; "data" if one was not run.
    """
    reading = readings.primary(claim)
    level = 1 - (1 - LEVEL) / len(DATASETS)
    found = []
    for group in readings.groups(readings.at_equal_length(records)):
        pairs = group.pairs("set", reading.rival)
        if pairs:
            found.append(reading.measure(pairs, level))
    return worst_of(found)


def headline_readings(records: Records, claim: str) -> pd.DataFrame:
    """Every reading of a claim at the longest training, see :mod:`readings`."""
    return readings.table(readings.at_equal_length(records), claim)


def worst_of(found: Sequence[Measurement]) -> Measurement | None:
    """The worst of the measurements on each data set, of a quantity that should be large."""
    if not found:
        return None
    limit = "" if len(found) >= len(DATASETS) else "data"
    return Measurement(
        min(one.value for one in found),
        min(one.low for one in found),
        min(one.high for one in found),
        min(one.n for one in found),
        limit,
    )


CLAIMS: dict[str, Claim] = {
    "R01": Claim(("adaptive_topology",), partial(accuracy_gap, dataset="mnist")),
    "R02": Claim(("adaptive_topology",), partial(accuracy_gap, dataset="fashion_mnist")),
}
for _claim in ROBUSTNESS:
    CLAIMS[_claim] = Claim(
        ("robustness_summary",),
        partial(robustness, claim=_claim),
        readings=partial(headline_readings, claim=_claim),
    )
