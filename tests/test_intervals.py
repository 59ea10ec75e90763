"""Intervals against scipy and closed forms, every comparison, every limit."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib import intervals
from lib.intervals import Measurement

INF = math.inf


@pytest.mark.parametrize(
    ("comparison", "threshold", "low", "high", "verdict"),
    [
        (">=", "1", 1.0, 2.0, "reproduced"),
        (">=", "1", 0.5, 2.0, "inconclusive"),
        (">=", "1", 0.0, 0.9, "not reproduced"),
        ("<=", "1", 0.0, 1.0, "reproduced"),
        ("<=", "1", 1.1, 2.0, "not reproduced"),
        (">", "0", 0.0, 1.0, "inconclusive"),
        (">", "0", 0.1, 1.0, "reproduced"),
        (">", "0", -1.0, 0.0, "not reproduced"),
        ("<", "0", -1.0, -0.1, "reproduced"),
        ("<", "0", 0.0, 0.1, "not reproduced"),
        ("==", "3", 3.0, 3.0, "reproduced"),
        ("==", "3", 2.0, 4.0, "inconclusive"),
        ("==", "3", 1.0, 2.0, "not reproduced"),
        ("between", "2..3", 2.0, 3.0, "reproduced"),
        ("between", "2..3", 1.9, 2.5, "inconclusive"),
        ("between", "2..3", 3.1, 4.0, "not reproduced"),
    ],
)
def test_verdict_follows_the_whole_interval(comparison, threshold, low, high, verdict):
    measurement = Measurement((low + high) / 2, low, high, 5)
    assert intervals.judge(measurement, comparison, threshold) == verdict


@pytest.mark.parametrize(
    ("low", "n", "limit", "verdict"),
    [
        (2.0, 4, "", "inconclusive (seeds)"),
        (-3.0, 4, "", "inconclusive (seeds)"),
        (2.0, 5, "data", "inconclusive (data)"),
        (2.0, 5, "epochs", "inconclusive (epochs)"),
        (-3.0, 5, "epochs", "inconclusive (epochs)"),
        (2.0, 5, "settings", "inconclusive (settings)"),
        (-3.0, 5, "data, epochs", "inconclusive (data, epochs)"),
        (-3.0, 5, "data", "not reproduced"),
        (2.0, None, "", "reproduced"),
    ],
)
def test_few_seeds_data_and_epochs_limit_a_verdict(low, n, limit, verdict):
    assert intervals.judge(Measurement(low, low, low + 1, n, limit), ">=", "1") == verdict


def test_unknown_comparison_is_refused():
    with pytest.raises(ValueError, match="comparison '=>' is unknown"):
        intervals.judge(Measurement(0, 0, 0), "=>", "1")


def test_interval_is_scipys(rng):
    samples = rng.normal(3, 2, 7)
    desired = stats.ttest_1samp(samples, 0).confidence_interval(0.95)
    actual = intervals.t_interval(samples)
    np.testing.assert_allclose([actual.low, actual.high], [desired.low, desired.high])
    assert actual.value == pytest.approx(samples.mean()) and actual.n == 7


def test_interval_covers_the_mean_nineteen_times_in_twenty(rng):
    draws = (intervals.t_interval(rng.normal(1, 3, 5)) for _ in range(2000))
    covered = sum(m.low <= 1 <= m.high for m in draws)
    assert abs(covered / 2000 - 0.95) < 5 * math.sqrt(0.95 * 0.05 / 2000)


def test_one_sample_decides_nothing():
    measurement = intervals.t_interval([5.0])
    assert (measurement.low, measurement.high) == (-INF, INF)


# contrasts


def gaps(sets, rivals, datasets=("mnist",)):
    """Rows of one measure for two methods, a value a seed."""
    sides = (("set", sets), ("dense", rivals))
    rows = [(d, m, seed, v) for d in datasets for m, vs in sides for seed, v in enumerate(vs)]
    table = pd.DataFrame(rows, columns=["dataset", "method", "seed", "value"])
    return table.assign(measure="area", network="adaptive_topology")


def test_contrast_has_the_paired_interval_of_scipy():
    sets, rivals = [0.5, 0.6, 0.4, 0.7], [0.4, 0.45, 0.42, 0.5, 0.9]  # the last seed has no pair
    (row,) = intervals.contrasts(gaps(sets, rivals), {"x": ("set", "dense")}).to_dict("records")
    desired = stats.ttest_rel(sets, rivals[:4]).confidence_interval()
    assert (row["low"], row["high"]) == pytest.approx((desired.low, desired.high))
    assert row["n"] == 4 and row["value"] == pytest.approx(np.mean(sets) - np.mean(rivals[:4]))


def test_contrast_without_a_common_seed_is_left_out():
    assert intervals.contrasts(gaps([1.0], []), {"x": ("set", "dense")}).empty


def test_contrast_keeps_networks_apart():
    table = pd.concat([gaps([1.0], [0.0]), gaps([3.0], [0.0]).assign(network="other")])
    rows = intervals.contrasts(table, {"x": ("set", "dense")})
    assert dict(zip(rows["network"], rows["value"], strict=True)) == {
        "adaptive_topology": 1.0, "other": 3.0,
    }  # fmt: skip
