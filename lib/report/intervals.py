"""Estimates with their intervals over seeds, and what an interval says of a threshold."""

import math
from collections.abc import Sequence

import numpy as np
import scipy

from lib.names import check_known
from lib.report.measurement import LEVEL, MIN_SEEDS, Measurement


def exact(value: float) -> Measurement:
    """A quantity that has no randomness."""
    return Measurement(value, value, value)


def t_interval(samples: Sequence[float], *, level: float = LEVEL) -> Measurement:
    """Mean of independent units with its two-sided t-interval; unbounded below two units."""
    samples = np.asarray(samples, float)
    n, mean = len(samples), float(np.mean(samples))
    if n < 2:
        return Measurement(mean, -math.inf, math.inf, n)
    quantile = scipy.stats.t.ppf((1 + level) / 2, n - 1)
    half = quantile * samples.std(ddof=1) / math.sqrt(n)
    return Measurement(mean, mean - half, mean + half, n)


def ratio_interval(
    samples: Sequence[float],
    bases: Sequence[float],
    *,
    level: float = LEVEL,
) -> Measurement:
    """The mean of samples over that of their bases, paired, both uncertain.

    The interval holds every ratio r for which the mean of samples - r · bases could be 0; where
    the mean base could itself be 0 it is unbounded. Source: [Fieller1954].
    """
    samples, bases = np.asarray(samples, float), np.asarray(bases, float)
    n = len(samples)
    ratio = float(samples.mean() / bases.mean())
    if n < 2:
        return Measurement(ratio, -math.inf, math.inf, n)
    quantile = scipy.stats.t.ppf((1 + level) / 2, n - 1)
    spread = np.cov(samples, bases) * quantile**2 / n
    square = bases.mean() ** 2 - spread[1, 1]
    linear = samples.mean() * bases.mean() - spread[0, 1]
    constant = samples.mean() ** 2 - spread[0, 0]
    if square <= 0:
        return Measurement(ratio, -math.inf, math.inf, n)
    half = math.sqrt(max(linear**2 - square * constant, 0.0))
    return Measurement(ratio, (linear - half) / square, (linear + half) / square, n)


def direction(measurement: Measurement, comparison: str, threshold: str) -> str:
    """What an interval says of a threshold: "holds" or "fails" if all of it lies on one side, else
    "open", and so whatever rests on fewer than three seeds or has a bound that is not known (nan).

    Args:
        measurement: n counts seeds; None for a quantity without randomness.
        comparison: ">=", "<=", ">", "<", "==" or "between".
        threshold: a number, of between two, as "0.95..1.05".
    Raises: ValueError for an unknown comparison.
    """
    always, ever = _outcome(measurement, comparison, threshold)
    if measurement.n is not None and measurement.n < MIN_SEEDS:
        return "open"
    if math.isnan(measurement.low) or math.isnan(measurement.high):
        return "open"
    if always:
        return "holds"
    return "open" if ever else "fails"


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
    check_known("comparison", comparison, outcomes)
    return outcomes[comparison]
