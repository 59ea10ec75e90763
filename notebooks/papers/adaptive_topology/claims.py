"""Measurements of the claims of [Sulyok2026], in the unit of each claim.

Of robustness the abstract names no comparator, fraction or radius. A reading fixes them: what is
measured, on which rule of evolution, against which rival, and from where on it holds. The
thresholds are ours. Those against dense networks were set before these were trained as long; how
SET and the fixed support compare was known.

A fixed support is the control for the topology: it is taken with the dropout of the network that it
is compared with (``other_dropouts``). Other rivals have the settings chosen for them. Where these
differ in dropout from the rule, it is taken with the dropout of the rival too.

What a verdict judges is the reading named in :data:`PRIMARY`; what a reading compares stands in
:data:`READINGS`. The sentence of the verdict is in ``SAYS``.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.report import claims as kit
from lib.report import labels
from lib.report.claims import against, intervals, largest, scaled, smallest
from lib.report.frames import NETWORK, facts, tidy
from lib.report.intervals import Measurement, t_interval, two_way_interval
from lib.report.tables import Records
from lib.report.verdicts import Claim
from lib.runs.record import Record
from papers.adaptive_topology.experiments import HEADLINE_RADIUS
from papers.adaptive_topology.studies import half_radius, outcomes, relative_areas

COLUMNS = [  # of readings
    *("claim", "reading", "rival", "rule", "dataset", "epochs"),
    *("value", "low", "high", "n", "holds if", "verdict"),
]
TUNED, OTHER_DROPOUTS = "adaptive_topology", "other_dropouts"  # networks of the longest training
OURS = "setting ours: the abstract gives none"
SILENT = "the abstract names neither measure nor setting, and fair readings disagree"


def accuracy_gap(records: Records, dataset: str) -> Measurement | None:
    """R01, R02: dense minus SET in test accuracy, at equal widths and epochs, points."""
    accuracy = tidy(records).query("variant == 'tuned' and measure == 'test_accuracy'")
    ends = accuracy.query("dataset == @dataset and epoch == epochs")
    gaps = against(ends, "set").query("method == 'dense'")
    return scaled(largest(intervals(gaps, ["dataset"])), 100)


# ------------------------------------------------------------------------- readings of robustness

Measure = Callable[[Record], np.ndarray]  # (n_images,), or (1,): one number of a network
RULES = ("set", "rigl")
RIVALS = ("fixed", "dense_small", "dense_pruned", "dense")
WITH_OTHER_DROPOUT = ("fixed", "dense")  # rivals with whose dropout the rules were trained, too
BOTH = "both with the rival's dropout"


def area(series: str) -> Measure:
    """The relative area under the curve of a series, by image."""
    return partial(relative_areas, series=series)


def points(outcome: str) -> Measure:
    """Accuracy under an attack at the headline radius in points, by image."""

    def measure(record: Record) -> np.ndarray:
        headline = HEADLINE_RADIUS[record.config.dataset]
        return 100 * outcomes(record, outcome.format(headline=headline))

    return measure


def radius(norm: str) -> Measure:
    """The radius at which PGD leaves half of the accuracy."""
    return lambda record: np.array([half_radius(record, norm)])


def lost(fraction: float) -> Measure:
    """Points lost when a fraction of the links is removed; nan where that was not measured."""

    def measure(record: Record) -> np.ndarray:
        rows = record.metrics[record.metrics["measure"] == "removal"]
        left = rows.groupby(rows["strength"].round(9))["value"].mean()
        return np.array([100 * (left[0.0] - left.get(fraction, np.nan))])

    return measure


class Reading(NamedTuple):
    """One way to read a claim.

    Args:
        claim: its id.
        name: what is measured, in words.
        measure: of a rule and of its rival.
        rivals: methods that a rule is compared with; none: an absolute reading.
        comparison, threshold: from where on it holds.
        of_rival: the measure of the rival where that is another one.
        is_ratio: whether rule and rival are divided, not subtracted.
        at_rivals_dropout: whether rules are also taken with the dropout chosen for the rival.
    """

    claim: str
    name: str
    measure: Measure
    rivals: tuple[str, ...]
    comparison: str
    threshold: float
    of_rival: Measure | None = None
    is_ratio: bool = False
    at_rivals_dropout: bool = False


READINGS = (
    Reading("R03", "points lost with 10% of the links removed", lost(0.1), (), "<=", 5),
    Reading("R03", "points lost with 20% of the links removed", lost(0.2), (), "<=", 5),
    Reading("R03", "points lost with 30% of the links removed", lost(0.3), (), "<=", 5),
    Reading(
        *("R03", "area, links removed", area("removal"), RIVALS, ">=", -0.05),
        at_rivals_dropout=True,
    ),
    Reading(
        *("R03", "area, equal number of links left", area("removal"), ("dense",), ">=", -0.05),
        of_rival=area("removal, equal number left"),
    ),
    Reading("R03", "area, removed and rescaled", area("removal, rescaled"), RIVALS, ">=", -0.05),
    Reading(
        *("R04", "radius of half accuracy, L∞, ratio", radius("linf"), RIVALS, ">=", 0.9),
        is_ratio=True,
        at_rivals_dropout=True,
    ),
    Reading(
        *("R04", "radius of half accuracy, L2, ratio", radius("l2"), RIVALS, ">=", 0.9),
        is_ratio=True,
        at_rivals_dropout=True,
    ),
    Reading(
        *("R04", "points under PGD at the headline radius", points("pgd linf {headline:g}")),
        *(RIVALS, ">=", -5),
        at_rivals_dropout=True,
    ),
    Reading(
        *("R04", "points under the ensemble at the headline radius", points("ensemble linf")),
        *(RIVALS, ">=", -5),
        at_rivals_dropout=True,
    ),
    Reading(
        *("R05", "area, weights shuffled", area("shuffle"), ("fixed",), ">", 0),
        at_rivals_dropout=True,
    ),
    Reading(
        *("R05", "area, shuffled within signs", area("shuffle within sign"), ("fixed",), ">", 0),
        at_rivals_dropout=True,
    ),
)
PRIMARY = {  # name and rival of the reading that a verdict judges; notebooks 21 to 23 say why
    "R03": ("area, links removed", "dense"),
    "R04": ("radius of half accuracy, L∞, ratio", "dense"),
    "R05": ("area, weights shuffled", "fixed"),
}


def kept(records: Records, measure: Measure, methods: Sequence[str]) -> pd.DataFrame:
    """Kept accuracy of the networks of the longest training, a row each.

    Args:
        records: of ``robustness_summary``.
        measure, methods: of which networks what is taken.
    Returns: columns of :func:`lib.report.frames.facts`, dropout, images (what the measure gives).
    """
    rows = []
    for record in records:
        named = facts(record, "dropout")
        if named["trained"] in (TUNED, OTHER_DROPOUTS) and named["method"] in methods:
            rows.append({**named, "images": measure(record)})
    columns = ["experiment", *NETWORK, "dropout", "images"]
    return pd.DataFrame(rows, columns=columns)


def compared(
    records: Records, reading: Reading, rival: str = "", at_rivals_dropout: bool = False
) -> pd.DataFrame:
    """Each rule beside its rival, paired by data set and seed: rows of :func:`kept`, images being
    the difference or the ratio, value its mean.

    Args:
        records: of ``robustness_summary``.
        reading: what is compared.
        rival: a method; a fixed support is taken with the dropout of the rule.
        at_rivals_dropout: take the rule with the dropout that was chosen for its rival, where that
            is another one.
    """
    ours = kept(records, reading.measure, RULES)
    chosen = "trained != @TUNED" if at_rivals_dropout else "trained == @TUNED"
    ours = ours.query(chosen)
    if rival:
        theirs = kept(records, reading.of_rival or reading.measure, (rival,))
        keys = ["dataset", "seed"]
        if rival == "fixed" or at_rivals_dropout:
            keys.append("dropout")
        if rival != "fixed" or at_rivals_dropout:
            theirs = theirs.query("trained == @TUNED")
        pairs = ours.merge(theirs, on=keys, suffixes=("", "_of_rival"))
        first, second = pairs["images"], pairs["images_of_rival"]
        ours = pairs.assign(images=first / second if reading.is_ratio else first - second)
    return ours.assign(value=ours["images"].map(np.mean))


def crossed_interval(rows: pd.DataFrame, level: float) -> Measurement:
    """The mean, with its interval for other seeds and other images; over seeds where there is one
    number of each, and unbounded where one is unknown.
    """
    images = np.stack(rows["images"])
    if np.isnan(images).any():
        return Measurement(math.nan, -math.inf, math.inf, len(images))
    if images.shape[1] == 1:
        return t_interval(images[:, 0], level=level)
    return two_way_interval(images, level=level)


def readings(records: Records, claim: str) -> pd.DataFrame:
    """Every reading of a claim, a row for each rival, rule and data set; intervals of 95 % each.

    Returns: columns claim, reading, rival, rule, dataset, epochs, value, low, high, n, "holds if",
        verdict.
    """
    parts = []
    for reading in (one for one in READINGS if one.claim == claim):
        cases = [(rival, False) for rival in reading.rivals or ("",)]
        if reading.at_rivals_dropout:
            cases += [(rival, True) for rival in reading.rivals if rival in WITH_OTHER_DROPOUT]
        for rival, at_rivals in cases:
            rows = compared(records, reading, rival, at_rivals)
            by = ["method", "dataset", "epochs"]
            found = intervals(rows, by, family=1, estimate=crossed_interval)
            name = f"{reading.name}, {BOTH}" if at_rivals else reading.name
            found = found.assign(reading=name, rival=rival).rename(columns={"method": "rule"})
            parts.append(kit.readings(found, claim, reading.comparison, reading.threshold))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def robustness(records: Records, claim: str) -> Measurement | None:
    """R03, R04, R05: the primary reading for SET, the worse data set, intervals of both
    simultaneous; without a lower bound if one was not run.
    """
    name, rival = PRIMARY[claim]
    (reading,) = (one for one in READINGS if (one.claim, one.name) == (claim, name))
    rows = compared(records, reading, rival).query("method == 'set'")
    by_dataset = intervals(rows, ["dataset"], family=2, estimate=crossed_interval)
    worst = smallest(by_dataset, {"dataset": labels.dataset}, total=2)
    return worst and replace(worst, undecidable=SILENT)


CLAIMS = {
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
for _claim, _says in SAYS.items():
    CLAIMS[_claim] = Claim(
        ("robustness_summary",),
        partial(robustness, claim=_claim),
        _says,
        OURS,
        readings=partial(readings, claim=_claim),
    )
