"""Every fair reading of what [Sulyok2026] claims of robustness.

The abstract names no comparator, fraction or radius. A reading fixes them: what is measured, on
which rule of evolution, against which rival, and from where on it holds. The thresholds are ours.
Those against dense networks were set before these were trained as long; how SET and the fixed
support compare was known. One reading of each claim is its :func:`primary` one, which its verdict
judges for SET.

A fixed support is the control for the topology: it is taken with the dropout of the network that it
is compared with (``other_dropouts``). Other rivals have the settings chosen for them. Where the
dropout chosen for a fixed support or a dense network differs from that of the rule, readings take
both with that dropout too.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from lib.papers.adaptive_topology.attacking import HEADLINE_RADIUS
from lib.papers.adaptive_topology.summary import AREA_UNITS
from lib.papers.shared import trained
from lib.papers.shared.sparse_training import SparseTraining
from lib.report.intervals import LEVEL, Measurement, direction, t_interval
from lib.report.statistics import two_way_interval
from lib.runs.record import Record

Records = Sequence[Record]
Pairs = list[tuple[Record, Record]]
Measure = Callable[[Pairs, float], Measurement]

RULES = ("set", "rigl")
RIVALS = ("fixed", "dense_small", "dense_pruned", "dense")
LOST = (0.1, 0.2, 0.3)  # fractions of the links
BOTH = "both with the rival's dropout"


# ------------------------------------------------------------------------- summaries of networks


@dataclass(frozen=True)
class Group:
    """Summaries (``robustness_summary``) of networks that were trained for equally many epochs on
    one data set, by method and seed; those of the rules and the fixed support with every dropout.
    """

    dataset: str
    epochs: int
    summaries: dict[str, dict[int, Record]] = field(default_factory=dict)
    by_dropout: dict[tuple[str, float, int], Record] = field(default_factory=dict)

    def pairs(self, method: str, rival: str, at_rivals_dropout: bool = False) -> Pairs:
        """The summaries of both methods at each seed that both have.

        Args:
            method, rival: names; a fixed support is taken with the method's dropout.
            at_rivals_dropout: whether the method is taken with the dropout that was chosen for its
                rival instead.
        """
        found = []
        for seed, ours in sorted(self.summaries.get(method, {}).items()):
            theirs = self.summaries.get(rival, {}).get(seed)
            if at_rivals_dropout and theirs is not None:
                ours = self.by_dropout.get((method, theirs.config.parent.dropout, seed))
            elif rival == "fixed":
                theirs = self.by_dropout.get((rival, ours.config.parent.dropout, seed))
            if ours is not None and theirs is not None:
                found.append((ours, theirs))
        return found


TUNED = ("adaptive_topology", "training_length")  # of width 1000, by the training experiment
NETWORKS = (*TUNED, "other_dropouts")


def groups(records: Iterable[Record]) -> list[Group]:
    """The groups that the summaries of networks of width 1000 fall into."""
    found: dict[tuple[str, int], Group] = {}
    for record in records:
        run = record.config
        if run.parent.experiment not in NETWORKS:
            continue
        place = run.dataset, epochs_of(run.parent)
        group = found.setdefault(place, Group(*place))
        if run.parent.experiment in TUNED:
            group.summaries.setdefault(run.method, {})[run.seed] = record
        group.by_dropout[run.method, run.parent.dropout, run.seed] = record
    return list(found.values())


def epochs_of(run: SparseTraining) -> int:
    """How long a network was trained; of one that inherits weights, how long these were, before it
    trained on.
    """
    return run.parent.epochs if run.inherits == "largest" else run.epochs


def curve(record: Record, measure: str) -> pd.Series:
    """The values of a measure of a summary by strength, draws averaged."""
    rows = record.metrics[record.metrics["measure"] == measure]
    return rows.groupby("strength")["value"].mean()


def outcomes(record: Record, name: str) -> np.ndarray:
    """(n_images,) float: of each image what an array of a summary says, areas as fractions."""
    array = record.arrays[name]
    if array.dtype == bool:
        return array.astype(float)
    return array / AREA_UNITS


def relative_areas(record: Record, series: str) -> np.ndarray:
    r"""(n_images,) float whose mean is the relative area of a series, and whose spread is that of
    the area over images, to first order:

    .. math::
        \phi_i = R + \frac{(a_i - 1/K) - R (o_i - 1/K)}{\bar o - 1/K}, \qquad
        R = \frac{\bar a - 1/K}{\bar o - 1/K}

    with :math:`a_i` the area under the curve of an image and :math:`o_i` whether the whole network
    has it right.
    """
    chance = 1 / trained.widths(record)[-1]
    areas = outcomes(record, series) - chance
    whole = outcomes(record, "clean") - chance
    relative = areas.mean() / whole.mean()
    return relative + (areas - relative * whole) / whole.mean()


def half_radius(record: Record, norm: str) -> float:
    """Radius at which PGD leaves half of the accuracy, interpolated; nan where more is left at the
    largest radius tried.
    """
    attacked = curve(record, f"pgd {norm}")
    radii = np.concatenate([[0.0], attacked.index])
    left = np.concatenate([[outcomes(record, "clean").mean()], attacked])
    below = np.flatnonzero(left < left[0] / 2)
    if not len(below):
        return math.nan
    ends = [below[0], below[0] - 1]  # np.interp wants rising abscissae
    return float(np.interp(left[0] / 2, left[ends], radii[ends]))


# ----------------------------------------------------------------------------------- the readings


@dataclass(frozen=True)
class Reading:
    """One way to read a claim.

    Args:
        claim: its id.
        name: what is measured, in words.
        rival: method that the rule is compared with; None for an absolute reading.
        measure: (pairs of summaries, of the rule and its rival; level of the interval) -> the
            measurement.
        comparison, threshold: as in the table of claims.
        at_rivals_dropout: whether the rule is taken with the dropout chosen for its rival.
    """

    claim: str
    name: str
    rival: str | None
    measure: Measure
    comparison: str
    threshold: str
    at_rivals_dropout: bool = False


def lost(fraction: float) -> Measure:
    """Points of accuracy lost when a fraction of the links is removed at random."""

    def measure(pairs: Pairs, level: float) -> Measurement:
        losses = []
        for record, _ in pairs:
            accuracies = curve(record, "removal")
            left = accuracies[np.isclose(accuracies.index, fraction)]
            if left.empty:  # of a coarser grid
                return Measurement(math.nan, -math.inf, math.inf, len(pairs))
            losses.append(100 * (accuracies.iloc[0] - left.iloc[0]))
        return t_interval(losses, level=level)

    return measure


def area_gap(series: str, rival_series: str | None = None) -> Measure:
    """Relative area under the curve of a series, rule minus rival; over seeds and images."""

    def measure(pairs: Pairs, level: float) -> Measurement:
        gaps = []
        for ours, theirs in pairs:
            of_rival = relative_areas(theirs, rival_series or series)
            gaps.append(relative_areas(ours, series) - of_rival)
        return two_way_interval(np.array(gaps), level=level)

    return measure


def points_under_pgd(pairs: Pairs, level: float) -> Measurement:
    """Points of accuracy under PGD at the headline radius, rule minus rival; seeds and images."""
    name = f"pgd linf {HEADLINE_RADIUS[pairs[0][0].config.dataset]:g}"
    return _points(pairs, name, level)


def points_under_ensemble(pairs: Pairs, level: float) -> Measurement:
    """As :func:`points_under_pgd`, under the ensemble."""
    return _points(pairs, "ensemble linf", level)


def _points(pairs: Pairs, name: str, level: float) -> Measurement:
    gaps = [outcomes(ours, name) - outcomes(theirs, name) for ours, theirs in pairs]
    return two_way_interval(100 * np.array(gaps), level=level)


def radius_ratio(norm: str) -> Measure:
    """Radius of half accuracy under PGD, rule divided by rival; over seeds. Unbounded where the
    largest radius tried leaves more than half to one of them.
    """

    def measure(pairs: Pairs, level: float) -> Measurement:
        ratios = [half_radius(ours, norm) / half_radius(theirs, norm) for ours, theirs in pairs]
        if np.isnan(ratios).any():
            return Measurement(math.nan, -math.inf, math.inf, len(ratios))
        return t_interval(ratios, level=level)

    return measure


def _readings() -> list[Reading]:
    """All of them, in the order of the tables."""
    found = []
    for fraction in LOST:
        name = f"points lost with {fraction:.0%} of the links removed"
        found.append(Reading("R03", name, None, lost(fraction), "<=", "5"))
    for rival in RIVALS:
        found.append(
            Reading("R03", "area, links removed", rival, area_gap("removal"), ">=", "-0.05")
        )
    found += _at_rivals_dropout("R03", "area, links removed", area_gap("removal"), "-0.05")
    left = area_gap("removal", "removal, equal number left")
    found.append(Reading("R03", "area, equal number of links left", "dense", left, ">=", "-0.05"))
    rescaled = area_gap("removal, rescaled")
    for rival in RIVALS:
        found.append(Reading("R03", "area, removed and rescaled", rival, rescaled, ">=", "-0.05"))
    for norm, symbol in (("linf", "L∞"), ("l2", "L2")):
        for rival in RIVALS:
            name = f"radius of half accuracy, {symbol}, ratio"
            found.append(Reading("R04", name, rival, radius_ratio(norm), ">=", "0.9"))
        found += _at_rivals_dropout("R04", name, radius_ratio(norm), "0.9")
    for attack, measure in (("PGD", points_under_pgd), ("the ensemble", points_under_ensemble)):
        for rival in RIVALS:
            name = f"points under {attack} at the headline radius"
            found.append(Reading("R04", name, rival, measure, ">=", "-5"))
        found += _at_rivals_dropout("R04", name, measure, "-5")
    for series, name in (
        ("shuffle", "area, weights shuffled"),
        ("shuffle within sign", "area, shuffled within signs"),
    ):
        found.append(Reading("R05", name, "fixed", area_gap(series), ">", "0"))
        name = f"{name}, {BOTH}"
        found.append(Reading("R05", name, "fixed", area_gap(series), ">", "0", True))
    return found


def _at_rivals_dropout(claim: str, name: str, measure: Measure, threshold: str) -> list[Reading]:
    found = []
    for rival in ("fixed", "dense"):
        found.append(Reading(claim, f"{name}, {BOTH}", rival, measure, ">=", threshold, True))
    return found


READINGS = _readings()
PRIMARY_NAMES = {  # claim: name and rival; notebooks 21 to 23 say why
    "R03": ("area, links removed", "dense"),
    "R04": ("radius of half accuracy, L∞, ratio", "dense"),
    "R05": ("area, weights shuffled", "fixed"),
}


def primary(claim: str) -> Reading:
    """The reading that the verdict of a claim judges."""
    wanted = claim, *PRIMARY_NAMES[claim]
    (found,) = (r for r in READINGS if (r.claim, r.name, r.rival) == wanted)
    return found


def table(records: Iterable[Record], claim: str | None = None) -> pd.DataFrame:
    """Every reading, a row for each rule, data set and length of training.

    Args:
        records: of ``robustness_summary``.
        claim: an id; None for all.
    Returns: columns claim, reading, rival, rule, dataset, epochs, value, low, high, n, holds if
        (comparison and threshold), verdict. Intervals are of 95 % each: of areas and of points
        under attack over seeds and images, else over seeds.
    """
    rows = []
    for group in groups(records):
        for reading in READINGS:
            if claim in (None, reading.claim):
                rows += _rows(reading, group)
    measured = ["value", "low", "high", "n"]
    named = ["claim", "reading", "rival", "rule", "dataset", "epochs"]
    return pd.DataFrame(rows, columns=[*named, *measured, "holds if", "verdict"])


def _rows(reading: Reading, group: Group) -> list[tuple]:
    rows = []
    for rule in RULES:
        rival = reading.rival or rule
        pairs = group.pairs(rule, rival, reading.at_rivals_dropout)
        if reading.at_rivals_dropout and _networks(pairs) == _networks(group.pairs(rule, rival)):
            continue  # the dropouts that were chosen are the same
        if not pairs:
            continue
        found = reading.measure(pairs, LEVEL)
        rows.append(
            (
                reading.claim,
                reading.name,
                reading.rival or "",
                rule,
                group.dataset,
                group.epochs,
                found.value,
                found.low,
                found.high,
                found.n,
                f"{reading.comparison} {reading.threshold}",
                direction(found, reading.comparison, reading.threshold),
            )
        )
    return rows


def _networks(pairs: Pairs) -> list[tuple[str, str]]:
    return [(ours.config.name, theirs.config.name) for ours, theirs in pairs]


def tuned(records: Iterable[Record]) -> list[Record]:
    """The summaries of networks of width 1000 with the settings that were chosen for them."""
    return [record for record in records if record.config.parent.experiment in TUNED]


def at_equal_length(records: Iterable[Record]) -> list[Record]:
    """The summaries of the networks that were trained longest."""
    records = list(records)
    longest = max((epochs_of(record.config.parent) for record in records), default=0)
    return [record for record in records if epochs_of(record.config.parent) == longest]
