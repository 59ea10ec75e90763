"""What our records say about the claims of [Sulyok2026], in the unit of each claim."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from lib.papers.adaptive_topology import readings
from lib.papers.shared.claims import chosen
from lib.report.intervals import LEVEL, Measurement, judge, t_interval
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

    Intervals of both data sets are simultaneous; "data" if one was not run, "settings" if the
    verdict is another one where SET has the dropout that was chosen for its rival.
    """
    reading = readings.primary(claim)
    groups = readings.groups(readings.at_equal_length(records))
    found = _worse(reading, [group.pairs("set", reading.rival) for group in groups])
    alike = []
    for group in groups:
        pairs = group.pairs("set", reading.rival, at_rivals_dropout=True)
        alike.append(pairs or group.pairs("set", reading.rival))
    other = _worse(reading, alike)
    if found is not None and _verdict(reading, found) != _verdict(reading, other):
        return replace(found, limit="settings")
    return found


def _worse(reading: readings.Reading, pairs: Iterable[readings.Pairs]) -> Measurement | None:
    level = 1 - (1 - LEVEL) / len(DATASETS)
    return worst_of([reading.measure(of_dataset, level) for of_dataset in pairs if of_dataset])


def _verdict(reading: readings.Reading, found: Measurement) -> str:
    return judge(found, reading.comparison, reading.threshold)


def headline_readings(records: Records, claim: str) -> pd.DataFrame:
    """Every reading of a claim at the longest training, see :mod:`readings`."""
    return readings.table(readings.at_equal_length(records), claim)


def worst_of(found: Sequence[Measurement]) -> Measurement | None:
    """The worst of the measurements on each data set, of a quantity that should be large."""
    if not found:
        return None
    limits = [one.limit for one in found]
    if len(found) < len(DATASETS):
        limits.insert(0, "data")
    return Measurement(
        min((one.value for one in found if not math.isnan(one.value)), default=math.nan),
        min(one.low for one in found),
        min(one.high for one in found),
        min(one.n for one in found),
        ", ".join(dict.fromkeys(filter(None, limits))),
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
