"""Estimates with their intervals over seeds, and what an interval says about a threshold."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95
MIN_SEEDS = 5  # fewer: inconclusive at best


@dataclass(frozen=True)
class Measurement:
    """What our records say about the quantity of a claim, in the claim's unit.

    Args:
        value: the estimate.
        low, high: its 95 % interval, or the bounds of a count.
        n: units (seeds, or draws) behind it; None for a quantity without randomness.
        limit: why the verdict could still change: "" (it cannot), "data" (part of the claim's data
            sets were run: they can only add what is missing), or else, as "epochs" (shorter than
            the paper) or "settings" (other settings decide it).
    """

    value: float
    low: float
    high: float
    n: int | None = None
    limit: str = ""


def exact(value: float, limit: str = "") -> Measurement:
    """A quantity that has no randomness."""
    return Measurement(value, value, value, None, limit)


def t_interval(
    samples: Sequence[float],
    limit: str = "",
    *,
    level: float = LEVEL,
) -> Measurement:
    """Mean of independent units with its two-sided t-interval; unbounded below two units."""
    samples = np.asarray(samples, float)
    n, mean = len(samples), float(np.mean(samples))
    if n < 2:
        return Measurement(mean, -math.inf, math.inf, n, limit)
    quantile = stats.t.ppf((1 + level) / 2, n - 1)
    half = quantile * samples.std(ddof=1) / math.sqrt(n)
    return Measurement(mean, mean - half, mean + half, n, limit)


def judge(
    measurement: Measurement,
    comparison: str,
    threshold: str,
) -> str:
    """The verdict: "reproduced", "not reproduced" or "inconclusive" with its reason.

    A claim is decided if the whole interval lies on one side of the threshold. Fewer than five
    seeds are inconclusive at best, and so is a claim that the missing data sets or epochs could
    turn.

    Raises: ValueError for an unknown comparison.
    """
    always, ever = _outcome(measurement, comparison, threshold)
    if measurement.n is not None and measurement.n < MIN_SEEDS:
        return "inconclusive (seeds)"
    if always and not measurement.limit:
        return "reproduced"
    if not ever and measurement.limit in ("", "data"):
        return "not reproduced"
    if measurement.limit:
        return f"inconclusive ({measurement.limit})"
    return "inconclusive"


def _outcome(
    measurement: Measurement,
    comparison: str,
    threshold: str,
) -> tuple[bool, bool]:
    """Whether the comparison is true on the whole interval, and whether somewhere on it."""
    low, high = measurement.low, measurement.high
    first, _, last = threshold.partition("..")
    bound, top = float(first), float(last or first)
    within = bound <= low and high <= top
    touching = low <= top and bound <= high
    outcomes = {
        ">=": (low >= bound, high >= bound),
        "<=": (high <= bound, low <= bound),
        ">": (low > bound, high > bound),
        "<": (high < bound, low < bound),
        "==": (low == bound == high, low <= bound <= high),
        "between": (within, touching),
    }
    if comparison not in outcomes:
        known = ", ".join(outcomes)
        raise ValueError(f"comparison {comparison!r} is unknown: {known}")
    return outcomes[comparison]


def contrasts(
    table: pd.DataFrame,
    pairs: Mapping[str, tuple[str, str]],
    *,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Differences between methods, paired by seed, with t-intervals, for every measure.

    Args:
        table: columns dataset, network, method, seed, measure, value: a measure of a run a row.
        pairs: {name of the contrast: (method, minus method)}.
        level: of the intervals.
    Returns: columns dataset, network, measure, contrast, value, low, high, n; pairs without a
        common seed are left out.
    """
    keys = ["dataset", "network", "measure"]
    columns = [*keys, "contrast", "value", "low", "high", "n"]
    rows = []
    for key, values in table.groupby(keys, sort=False):
        by_seed = values.pivot_table("value", "seed", "method")
        for contrast, (method, other) in pairs.items():
            both = by_seed.reindex(columns=[method, other]).dropna()
            if both.empty:
                continue
            differences = both[method] - both[other]
            mean = t_interval(differences, level=level)
            interval = (mean.value, mean.low, mean.high, mean.n)
            rows.append((*key, contrast, *interval))
    return pd.DataFrame(rows, columns=columns)
