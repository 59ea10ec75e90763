"""Intervals and p-values against scipy, closed forms and simulated tables of seeds and images; all
comparisons and limits.
"""

import math

import numpy as np
import pytest
from scipy import stats

from lib.report import intervals
from lib.report.intervals import Measurement

INF, NAN = math.inf, math.nan


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


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_interval_is_scipys(level, rng):
    samples = rng.normal(3, 2, 7)
    desired = stats.ttest_1samp(samples, 0).confidence_interval(level)
    actual = intervals.t_interval(samples, level=level)
    np.testing.assert_allclose([actual.low, actual.high], [desired.low, desired.high])
    assert actual.value == pytest.approx(samples.mean()) and actual.n == 7


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


# seeds and images


def normal_tables(shape, seeds, images, rng):
    """Outcomes of mean 0; effects of these standard deviations, that of the rest is 1."""
    n, n_seeds, n_images = shape
    of_seeds = seeds * rng.normal(size=(n, n_seeds, 1))
    of_images = images * rng.normal(size=(n, 1, n_images))
    return of_seeds + of_images + rng.normal(size=shape)


def is_covered(outcomes, mean):
    """Whether the interval of each table holds the mean."""
    return np.abs(outcomes.mean((-2, -1)) - mean) <= intervals._half_width(outcomes)


@pytest.mark.parametrize(
    ("spreads", "n_images"),  # of the effects of seeds and of images, beside a rest of 1
    [
        ((0.5, 0.2), 200),
        ((0.02, 2.0), 1000),
        ((0.15, 1.0), 200),  # equal parts of the variance
        ((0.3, 1.0), 1000),
    ],
)
def test_two_way_interval_covers_the_mean_nineteen_times_in_twenty(spreads, n_images, rng):
    n = 5_000_000 // (5 * n_images)  # standard error of a share of .95: .003 to .007
    tables = normal_tables((n, 5, n_images), *spreads, rng)
    assert 0.93 <= is_covered(tables, 0).mean() <= 0.97


@pytest.mark.parametrize("spreads", [(0.1, 1.0), (0.1, 2.0), (0.3, 0.5)], ids=str)
def test_two_way_interval_covers_the_share_of_correct_images(spreads, rng):
    correct = normal_tables((5000, 5, 200), *spreads, rng) > 0.5
    share = stats.norm.sf(0.5 / math.hypot(1, *spreads))
    assert 0.93 <= is_covered(correct.astype(float), share).mean() <= 0.97


def test_two_way_interval_is_wide_where_neither_seeds_nor_images_matter(rng):
    assert is_covered(normal_tables((5000, 5, 200), 0, 0, rng), 0).mean() >= 0.95


def test_two_way_interval_by_hand():
    found = intervals.two_way_interval([[1, 2, 3], [3, 4, 8]])
    total = 13.5 + 6.5 - 1.5
    df = total**2 / (13.5**2 / 1 + 6.5**2 / 2 + 1.5**2 / 2)
    half = stats.t.ppf(0.975, df) * math.sqrt(total / 6)
    assert (found.value, found.n) == (3.5, 2)
    assert (found.low, found.high) == pytest.approx((3.5 - half, 3.5 + half))


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("turned", [False, True], ids=["seeds", "images"])
def test_two_way_interval_of_one_effect_is_a_t_interval(turned, level, rng):
    means = rng.normal(size=5)
    outcomes = np.repeat(means[:, None], 7, axis=1)
    if turned:
        outcomes = outcomes.T
    found = intervals.two_way_interval(outcomes, level=level)
    desired = intervals.t_interval(means, level=level)
    assert (found.low, found.high) == pytest.approx((desired.low, desired.high))


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1)], ids=str)
def test_one_seed_or_one_image_bounds_nothing(shape):
    found = intervals.two_way_interval(np.ones(shape))
    assert found == Measurement(1.0, -INF, INF, shape[0])


def test_outcomes_that_are_all_equal_leave_no_doubt():
    found = intervals.two_way_interval(np.ones((5, 30), bool))
    assert found == Measurement(1.0, 1.0, 1.0, 5)


# shares


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (1, 5), (5, 5), (3, 7), (0, 1), (60, 99)])
@pytest.mark.parametrize("level", [0.95, 0.99])
def test_share_has_the_exact_interval_of_scipy(successes, n, level):
    found = intervals.share_interval(successes, n, level=level)
    desired = stats.binomtest(successes, n).proportion_ci(level, method="exact")
    assert (found.low, found.high) == pytest.approx((desired.low, desired.high), abs=1e-12)
    assert (found.value, found.n) == (successes / n, n)


# p-values


def test_p_value_is_that_of_scipy(rng):
    differences = rng.normal(0.5, 1, 6)
    desired = stats.ttest_1samp(differences, 0).pvalue
    assert intervals.p_value(differences) == pytest.approx(desired)
    assert intervals.p_value(-differences) == pytest.approx(desired)


@pytest.mark.parametrize(
    ("differences", "p"), [([], NAN), ([2.0], NAN), ([0.0] * 5, 1), ([2.0] * 5, 0), ([-1, 1], 1)]
)
def test_p_value_where_there_is_no_spread_or_one_seed(differences, p):
    assert intervals.p_value(differences) == pytest.approx(p, nan_ok=True)


@pytest.mark.parametrize(
    ("p_values", "desired"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 3 x .01, 2 x .03, 4 x .005
        ([0.01, NAN, 0.04, 0.03, 0.005, NAN], [0.03, NAN, 0.06, 0.06, 0.02, NAN]),
        ([0.9, 0.6, 0.02], [1.0, 1.0, 0.06]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([0.3], [0.3]),
        ([NAN], [NAN]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values, desired):
    np.testing.assert_allclose(intervals.holm(p_values), desired)
