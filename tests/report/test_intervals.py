"""Intervals against scipy and closed forms, every comparison, every limit."""

import math

import numpy as np
import pytest
from scipy import stats

from lib.report import intervals
from lib.report.intervals import Measurement

INF = math.inf


@pytest.mark.parametrize(
    ("comparison", "threshold", "low", "high", "verdict"),
    [
        (">=", "1", 1.0, 2.0, "holds"),
        (">=", "1", 0.5, 2.0, "open"),
        (">=", "1", 0.0, 0.9, "fails"),
        ("<=", "1", 0.0, 1.0, "holds"),
        ("<=", "1", 1.1, 2.0, "fails"),
        (">", "0", 0.0, 1.0, "open"),
        (">", "0", 0.1, 1.0, "holds"),
        (">", "0", -1.0, 0.0, "fails"),
        ("<", "0", -1.0, -0.1, "holds"),
        ("<", "0", 0.0, 0.1, "fails"),
        ("==", "3", 3.0, 3.0, "holds"),
        ("==", "3", 2.0, 4.0, "open"),
        ("==", "3", 1.0, 2.0, "fails"),
        ("between", "2..3", 2.0, 3.0, "holds"),
        ("between", "2..3", 1.9, 2.5, "open"),
        ("between", "2..3", 3.1, 4.0, "fails"),
    ],
)
def test_direction_follows_the_whole_interval(comparison, threshold, low, high, verdict):
    measurement = Measurement((low + high) / 2, low, high, 5)
    assert intervals.direction(measurement, comparison, threshold) == verdict


@pytest.mark.parametrize(
    ("low", "n", "verdict"),
    [
        (2.0, 2, "open"),
        (-3.0, 2, "open"),
        (2.0, 3, "holds"),
        (-3.0, 3, "fails"),
        (2.0, None, "holds"),
    ],
)
def test_fewer_than_three_seeds_have_no_direction(low, n, verdict):
    assert intervals.direction(Measurement(low, low, low + 1, n), ">=", "1") == verdict


def test_an_infinite_bound_leaves_a_claim_open_on_its_side():
    assert intervals.direction(Measurement(0, -1, INF, 5), ">=", "1") == "open"
    assert intervals.direction(Measurement(2, 1, INF, 5), ">=", "1") == "holds"


def test_unknown_comparison_is_refused():
    with pytest.raises(ValueError, match="unknown comparison '=>'"):
        intervals.direction(Measurement(0, 0, 0), "=>", "1")


def test_interval_is_scipys(rng):
    samples = rng.normal(3, 2, 7)
    desired = stats.ttest_1samp(samples, 0).confidence_interval(0.95)
    actual = intervals.t_interval(samples)
    np.testing.assert_allclose([actual.low, actual.high], [desired.low, desired.high])
    assert actual.value == pytest.approx(samples.mean()) and actual.n == 7


def test_interval_covers_the_mean_nineteen_times_in_twenty(rng):
    covered = 0
    for _ in range(2000):
        interval = intervals.t_interval(rng.normal(1, 3, 5))
        covered += interval.low <= 1 <= interval.high
    sd = math.sqrt(0.95 * 0.05 / 2000)
    assert abs(covered / 2000 - 0.95) < 5 * sd


def test_interval_of_a_higher_level_is_wider(rng):
    samples = rng.normal(3, 2, 7)
    desired = stats.ttest_1samp(samples, 0).confidence_interval(0.99)
    actual = intervals.t_interval(samples, level=0.99)
    np.testing.assert_allclose([actual.low, actual.high], [desired.low, desired.high])


def test_one_sample_decides_nothing():
    measurement = intervals.t_interval([5.0])
    assert (measurement.low, measurement.high) == (-INF, INF)


def test_quantity_without_randomness_is_its_own_interval():
    assert intervals.exact(3.0) == Measurement(3.0, 3.0, 3.0)
    assert intervals.direction(intervals.exact(3.0), "==", "3") == "holds"


# ratios


def test_ratio_interval_holds_the_ratios_that_no_paired_test_refuses():
    rng = np.random.default_rng(0)
    bases = rng.normal(0.4, 0.05, 6)
    samples = 0.5 * bases + rng.normal(0.02, 0.03, 6)
    found = intervals.ratio_interval(samples, bases, level=0.9)
    assert found.value == pytest.approx(samples.mean() / bases.mean()) and found.n == 6
    for bound in (found.low, found.high):
        assert stats.ttest_1samp(samples - bound * bases, 0).pvalue == pytest.approx(0.1)
    inside = (found.low + found.high) / 2
    assert stats.ttest_1samp(samples - inside * bases, 0).pvalue > 0.1


def test_ratio_to_a_base_that_could_be_nothing_is_unbounded():
    found = intervals.ratio_interval([1.0, 2.0, 3.0], [-1.0, 1.0, 0.5])
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert intervals.ratio_interval([1.0], [2.0]).high == math.inf
