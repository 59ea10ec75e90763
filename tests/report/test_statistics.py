"""Statistics against scipy, closed forms and simulated tables of seeds and images."""

import math

import numpy as np
import pytest
from scipy import stats

from lib.report import intervals, statistics
from lib.report.measurement import Measurement

INF, NAN = math.inf, math.nan

# seeds and images


def normal_tables(shape, seeds, images, rng):
    """Outcomes of mean 0; effects of these standard deviations, that of the rest is 1."""
    n, n_seeds, n_images = shape
    of_seeds = seeds * rng.normal(size=(n, n_seeds, 1))
    of_images = images * rng.normal(size=(n, 1, n_images))
    return of_seeds + of_images + rng.normal(size=shape)


def is_covered(outcomes, mean):
    """Whether the interval of each table holds the mean."""
    return np.abs(outcomes.mean((-2, -1)) - mean) <= statistics.half_width(outcomes)


SPREADS = {  # of the effects of seeds and of images, beside a rest of 1
    "seeds": (0.5, 0.2),
    "images": (0.02, 2.0),
    "both, equal parts of the variance": (0.15, 1.0),
    "both, mostly seeds": (0.3, 1.0),
}


@pytest.mark.parametrize("n_images", [200, 1000])
@pytest.mark.parametrize("spreads", SPREADS.values(), ids=SPREADS)
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


def test_interval_over_seeds_alone_misses_the_images(rng):
    tables = normal_tables((2000, 5, 200), 0.02, 2.0, rng)
    of_seeds = tables.mean(-1)
    half = stats.t.ppf(0.975, 4) * of_seeds.std(-1, ddof=1) / 5**0.5
    assert (np.abs(of_seeds.mean(-1)) <= half).mean() < 0.75


def test_mean_squares_of_a_table_by_hand():
    squares = statistics.mean_squares(np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 8.0]]))
    # means 2, 5 and 2, 3, 5.5; what is left is .5, .5, -1 and the opposite
    assert squares.seeds == pytest.approx(3 * 4.5)
    assert squares.images == pytest.approx(2 * 3.25)
    assert squares.rest == pytest.approx(3.0 / 2)
    assert squares.df == (1, 2, 2)


def test_two_way_interval_by_hand():
    found = statistics.two_way_interval([[1, 2, 3], [3, 4, 8]])
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
    found = statistics.two_way_interval(outcomes, level=level)
    desired = intervals.t_interval(means, level=level)
    assert (found.low, found.high) == pytest.approx((desired.low, desired.high))


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1)], ids=str)
def test_one_seed_or_one_image_bounds_nothing(shape):
    found = statistics.two_way_interval(np.ones(shape))
    assert found == Measurement(1.0, -INF, INF, shape[0])


def test_outcomes_that_are_all_equal_leave_no_doubt():
    found = statistics.two_way_interval(np.ones((5, 30), bool))
    assert found == Measurement(1.0, 1.0, 1.0, 5)


@pytest.mark.parametrize(
    ("outcomes", "message"),
    [
        (np.ones(5), r"shape \(5,\)"),
        (np.ones((0, 4)), r"shape \(0, 4\)"),
        (np.ones((2, 3, 4)), "shape"),
        ([[1.0, NAN], [0.0, 1.0]], "not finite"),
    ],
)
def test_outcomes_that_are_no_full_table_are_refused(outcomes, message):
    with pytest.raises(ValueError, match=message):
        statistics.two_way_interval(outcomes)


# shares


@pytest.mark.parametrize("level", [0.9, 0.95, 0.975])
@pytest.mark.parametrize(("successes", "n"), [(0, 5), (1, 5), (5, 5), (3, 7), (0, 1), (60, 99)])
def test_share_has_the_exact_interval_of_scipy(successes, n, level):
    found = statistics.share_interval(successes, n, level=level)
    desired = stats.binomtest(successes, n).proportion_ci(level, method="exact")
    assert (found.low, found.high) == pytest.approx((desired.low, desired.high), abs=1e-12)
    assert (found.value, found.n) == (successes / n, n)


def test_none_of_five_bounds_a_share_in_closed_form():
    found = statistics.share_interval(0, 5)
    assert found.low == 0.0
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 5))


@pytest.mark.parametrize(("successes", "n"), [(6, 5), (-1, 5), (0, 0)])
def test_successes_that_are_no_share_are_refused(successes, n):
    with pytest.raises(ValueError, match=f"{successes} of {n} is no share"):
        statistics.share_interval(successes, n)


# p-values


def test_p_value_is_that_of_scipy(rng):
    differences = rng.normal(0.5, 1, 6)
    desired = stats.ttest_1samp(differences, 0).pvalue
    assert statistics.p_value(differences) == pytest.approx(desired)
    assert statistics.p_value(-differences) == pytest.approx(desired)


@pytest.mark.parametrize(
    ("differences", "p"), [([], NAN), ([2.0], NAN), ([0.0] * 5, 1), ([2.0] * 5, 0), ([-1, 1], 1)]
)
def test_p_value_where_there_is_no_spread_or_one_seed(differences, p):
    assert statistics.p_value(differences) == pytest.approx(p, nan_ok=True)


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
    np.testing.assert_allclose(statistics.holm(p_values), desired)


def test_holm_lies_between_the_p_values_and_bonferroni(rng):
    p_values = rng.uniform(0, 0.2, 20)
    adjusted = statistics.holm(p_values)
    assert (adjusted >= p_values).all() and (adjusted <= np.minimum(20 * p_values, 1)).all()
    assert (np.argsort(adjusted[np.argsort(p_values)], kind="stable") == np.arange(20)).all()


def test_holm_errs_in_one_family_of_twenty(rng):
    families = rng.uniform(size=(4000, 10))  # p-values where nothing differs
    smallest = np.apply_along_axis(statistics.holm, 1, families).min(axis=1)
    desired = 1 - (1 - 0.05 / 10) ** 10
    sd = math.sqrt(desired * (1 - desired) / 4000)
    assert abs((smallest < 0.05).mean() - desired) < 4 * sd


@pytest.mark.parametrize("wrong", [-0.1, 1.1])
def test_p_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f"p = {wrong} is out of range"):
        statistics.holm([0.5, wrong, NAN])
