"""Estimates with their intervals, what an interval says of a
threshold, p-values and their correction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

LEVEL = 0.95
MIN_SEEDS = 3  # fewer have no direction


@dataclass(frozen=True)
class Measurement:
    """Measured quantity of a claim, in the claim's unit.

    Args:
        value: the estimate.
        low, high: its 95 % interval, or the bounds of a count; infinite where what was not run
            could still move it.
        n: units (seeds, or draws) behind it; None for a quantity without randomness.
        undecidable: what the paper leaves out, where the answer hangs on it; "" if on nothing.
        at: where it was found, as the data set of the worst case, for the sentence of the claim.
        unrun: whether runs that were not made widen a finite bound.
    """

    value: float
    low: float
    high: float
    n: int | None = None
    undecidable: str = ""
    at: str = ""
    unrun: bool = False


# -------------------------------------------------------------------------------------------- seeds


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


def family_level(family: int) -> float:
    """The level of each of so many intervals that hold together at :data:`LEVEL` (Bonferroni)."""
    return 1 - (1 - LEVEL) / family


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


# ------------------------------------------------------------------------- seeds and images


def two_way_interval(
    outcomes: np.ndarray,
    *,
    level: float = LEVEL,
) -> Measurement:
    r"""Mean of the outcomes, with an interval for other seeds *and* other images.

    Seeds and images are crossed random effects, :math:`y_{si} = \mu + a_s + b_i + e_{si}`:

    .. math:: \bar y \pm t_\nu \sqrt v, \qquad
        v = \frac{M_{seeds} + M_{images} - M_{rest}}{S I}, \qquad
        \nu = \frac{(S I v)^2}{\sum_k M_k^2 / \nu_k}

    M are the mean squares. Where their sum in v is below the larger of the first two, that one
    takes its place. :math:`\nu` is at least the smaller of S and I, minus one.

    Source: [Satterthwaite1946], the degrees of freedom of a sum of mean squares.
    Departs: not the pigeonhole bootstrap [Owen2007], which draws seeds and images anew: its
        variance is too large by up to twice that of the rest, and five seeds are too few to draw
        from.

    With five seeds and hundreds of images it covers in 94 to 98 of 100 simulated cases, most where
    seeds hardly differ; with three seeds in 92 to 98. Like every t-interval of few seeds it covers
    less where their means are skewed, as shares near 0 or 1 that differ much between seeds are; nor
    is it cut to [0, 1].

    Args:
        outcomes: (n_seeds, n_images) float or bool, one of every seed on every image: correct or
            not, or the difference of two methods paired by seed and image.
        level: of the interval.
    Returns: n is the number of seeds; with a single seed or a single image nothing bounds the mean,
        as in :func:`t_interval`.
    """
    outcomes = np.asarray(outcomes, float)
    mean, n_seeds = float(outcomes.mean()), len(outcomes)
    if min(outcomes.shape) < 2:
        return Measurement(mean, -math.inf, math.inf, n_seeds)
    half = float(_half_width(outcomes, level=level))
    return Measurement(mean, mean - half, mean + half, n_seeds)


def _half_width(outcomes: np.ndarray, *, level: float = LEVEL) -> np.ndarray:
    """Half of the interval of :func:`two_way_interval`, of many tables at once.

    Args:
        outcomes: (..., n_seeds, n_images) float, at least two of each.
        level: of the interval.
    Returns: (...,) float.
    """
    n_seeds, n_images = outcomes.shape[-2:]
    of_seeds = outcomes.mean(-1)  # (..., n_seeds)
    of_images = outcomes.mean(-2)  # (..., n_images)
    mean = of_seeds.mean(-1)
    rest = outcomes - of_seeds[..., None] - of_images[..., None, :] + mean[..., None, None]
    df_seeds, df_images = n_seeds - 1, n_images - 1
    seeds = n_images * of_seeds.var(-1, ddof=1)  # mean squares
    images = n_seeds * of_images.var(-1, ddof=1)
    neither = (rest**2).sum((-2, -1)) / (df_seeds * df_images)
    total = np.maximum(seeds + images - neither, np.maximum(seeds, images))
    spread = seeds**2 / df_seeds + images**2 / df_images + neither**2 / (df_seeds * df_images)
    tiny = np.finfo(float).tiny  # all outcomes are equal
    df = np.maximum(total**2 / np.maximum(spread, tiny), min(df_seeds, df_images))
    variance = total / (n_seeds * n_images)
    return scipy.stats.t.ppf((1 + level) / 2, df) * np.sqrt(variance)


# ------------------------------------------------------------------------------------ shares


def share_interval(successes: int, n: int, *, level: float = LEVEL) -> Measurement:
    """Share of independent units with its exact interval. If none of five succeeds, the share
    may still be .522, at the level .95.

    Source: [Clopper1934]: each end is the share at which so many successes, or further from it,
        have the probability (1 - level) / 2; quantiles of beta laws. It covers at least as often.

    Args:
        successes: from 0 to n.
        n: independent units, as seeds.
        level: of the interval.
    """
    failures, outside = n - successes, (1 - level) / 2
    low, high = 0.0, 1.0
    if successes > 0:
        low = float(scipy.stats.beta.ppf(outside, successes, failures + 1))
    if failures > 0:
        high = float(scipy.stats.beta.ppf(1 - outside, successes + 1, failures))
    return Measurement(successes / n, low, high, n)


# ---------------------------------------------------------------------------------- p-values


def p_value(differences: Sequence[float]) -> float:
    """Two-sided p of Student's t-test that the mean of independent differences is 0.

    Returns: nan for fewer than two; where all are equal 1 if they are 0, else 0.
    """
    differences = np.asarray(differences, float)
    n = len(differences)
    if n < 2:
        return math.nan
    mean, sd = differences.mean(), differences.std(ddof=1)
    if sd == 0:
        return float(mean == 0)
    return float(2 * scipy.stats.t.sf(abs(mean) / sd * math.sqrt(n), n - 1))


def holm(p_values: Sequence[float]) -> np.ndarray:
    r"""The p-values of a family of tests, adjusted so that comparing all with .05 errs in any of
    them in at most 5 % of the cases, however they depend on each other.

    .. math:: \tilde p_{(k)} = \min\Big(1, \max_{j \le k} \, (m - j + 1) \, p_{(j)}\Big)

    Source: [Holm1979], the sequentially rejective procedure.

    Args:
        p_values: (n,) in [0, 1]; nan is a test that was not made: not one of the m.
    Returns: (n,) float, in their order; nan where they are.
    """
    p = np.asarray(p_values, float)
    made = np.flatnonzero(~np.isnan(p))
    ascending = made[np.argsort(p[made], kind="stable")]
    left = np.arange(len(ascending), 0, -1)  # tests not yet rejected
    adjusted = np.full(len(p), math.nan)
    largest = np.maximum.accumulate(left * p[ascending])
    adjusted[ascending] = np.minimum(largest, 1)
    return adjusted


# --------------------------------------------------------------------------------------- thresholds


def direction(measurement: Measurement, comparison: str, threshold: str) -> str:
    """Direction of an interval against a threshold: "holds" or "fails" if all of it lies on one
    side, else "open", and so whatever rests on fewer than three seeds or has a bound that is not
    known (nan).

    Args:
        measurement: n counts seeds; None for a quantity without randomness.
        comparison: ">=", "<=", ">", "<", "==" or "between".
        threshold: a number, of between two, as "0.95..1.05".
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
    """Truth of the comparison on the whole interval, and somewhere on it."""
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
    return outcomes[comparison]
