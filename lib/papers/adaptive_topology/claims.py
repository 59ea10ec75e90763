"""What our records say about the claims of [Sulyok2026], in the unit of each claim."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from lib.papers.adaptive_topology.numbers import sum_up
from lib.papers.shared.claims import chosen, longer_training
from lib.report.intervals import LEVEL, Measurement, contrasts, t_interval
from lib.report.tables import paired_differences
from lib.report.verdicts import Claim, published, verdict_of
from lib.runs.record import Record

Records = Sequence[Record]
DATASETS = ("mnist", "fashion_mnist")


def accuracy_gap(records: Records, dataset: str) -> Measurement | None:
    """R01, R02: dense minus adaptive sparse test accuracy at equal widths, points, the upper bound
    with an allowance for longer training of the dense network.
    """
    runs = chosen(records, experiment="adaptive_topology", variant="tuned")
    differences = paired_differences(runs, dataset, ("dense", "set"))
    if not differences:
        return None
    gap = t_interval(differences)
    allowance = longer_training(records, dataset)
    if allowance is None:
        return replace(gap, limit="epochs")
    return replace(gap, high=gap.high + allowance)


@dataclass(frozen=True)
class Kept:
    """What SET keeps, compared with a rival.

    Args:
        study: experiment that measures it.
        measure: see :func:`lib.papers.adaptive_topology.numbers.sum_up`.
        unit: 100 for points.
        rival: method.
    """

    study: str
    measure: str
    unit: int
    rival: str


ROBUSTNESS = {
    "R03": Kept("link_removal", "removal area random", 1, "dense"),
    "R04": Kept("attack_curves", "pgd", 100, "dense"),
    "R05": Kept("weight_shuffling", "layer shuffle", 100, "fixed"),
}


def robustness_gaps(records: Records, claim: str) -> pd.DataFrame:
    """R03, R04 or R05 on each data set: SET minus its rival at width 1000, paired by seed.

    Args:
        records: of the study that the claim names.
        claim: its id.
    Returns: rows as of :func:`lib.report.intervals.contrasts` (area of R03; points of R04, R05),
        with simultaneous 95 % intervals of both data sets, and the verdict on each.
    """
    gaps = gaps_of(_numbers(records, claim), claim)
    table = published()
    intervals = gaps[["value", "low", "high", "n"]].itertuples(index=False)
    gaps["verdict"] = [verdict_of(claim, Measurement(*row), table) for row in intervals]
    return gaps


def _numbers(records: Records, claim: str) -> pd.DataFrame:
    return sum_up(chosen(records, experiment=ROBUSTNESS[claim].study))


def gaps_of(numbers: pd.DataFrame, claim: str) -> pd.DataFrame:
    """The rows of :func:`robustness_gaps`, without verdicts, for rows of
    :func:`lib.papers.adaptive_topology.numbers.sum_up`.
    """
    kept = ROBUSTNESS[claim]
    numbers = numbers[numbers["network"] == "adaptive_topology"]
    numbers = numbers[numbers["measure"] == kept.measure]
    numbers = numbers[numbers["method"].isin(["set", kept.rival])]
    numbers = numbers.assign(value=kept.unit * numbers["value"])
    pair = {f"SET − {kept.rival}": ("set", kept.rival)}
    return contrasts(numbers, pair, level=1 - (1 - LEVEL) / len(DATASETS))


def robustness_gap(records: Records, claim: str) -> Measurement | None:
    """The worst of both data sets; "data" if one was not run."""
    return worst_of(gaps_of(_numbers(records, claim), claim))


def worst_of(gaps: pd.DataFrame) -> Measurement | None:
    """The worst of the data sets of :func:`robustness_gaps`."""
    if gaps.empty:
        return None
    worst = gaps[["value", "low", "high"]].min()
    limit = "" if len(gaps) >= len(DATASETS) else "data"
    return Measurement(*worst, int(gaps["n"].min()), limit)


ACCURACY = ("adaptive_topology", "tuning")
CLAIMS: dict[str, Claim] = {
    "R01": Claim(ACCURACY, partial(accuracy_gap, dataset="mnist")),
    "R02": Claim(ACCURACY, partial(accuracy_gap, dataset="fashion_mnist")),
}
for _claim, _kept in ROBUSTNESS.items():
    CLAIMS[_claim] = Claim((_kept.study,), partial(robustness_gap, claim=_claim))
