"""Verdicts: intervals against scipy and closed forms, every comparison, every limit."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib import claims
from lib.claims import Measurement

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
    assert claims.judge(measurement, comparison, threshold) == verdict


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
    assert claims.judge(Measurement(low, low, low + 1, n, limit), ">=", "1") == verdict


def test_unknown_comparison_is_refused():
    with pytest.raises(ValueError, match="comparison '=>' is unknown"):
        claims.judge(Measurement(0, 0, 0), "=>", "1")


def test_interval_is_scipys(rng):
    samples = rng.normal(3, 2, 7)
    desired = stats.ttest_1samp(samples, 0).confidence_interval(0.95)
    actual = claims.t_interval(samples)
    np.testing.assert_allclose([actual.low, actual.high], [desired.low, desired.high])
    assert actual.value == pytest.approx(samples.mean()) and actual.n == 7


def test_interval_covers_the_mean_nineteen_times_in_twenty(rng):
    draws = (claims.t_interval(rng.normal(1, 3, 5)) for _ in range(2000))
    covered = sum(m.low <= 1 <= m.high for m in draws)
    assert abs(covered / 2000 - 0.95) < 5 * math.sqrt(0.95 * 0.05 / 2000)


def test_one_sample_decides_nothing():
    measurement = claims.t_interval([5.0])
    assert (measurement.low, measurement.high) == (-INF, INF)


def test_differences_are_paired_by_seed(monkeypatch):
    rows = [("set", 0, 0.98), ("set", 1, 0.97), ("fixed", 1, 0.96), ("fixed", 2, 0.5)]
    table = pd.DataFrame(rows, columns=["method", "seed", "last_accuracy"]).assign(dataset="mnist")
    monkeypatch.setattr(claims.records, "table", lambda found: table)
    assert claims.paired([], "mnist", ("set", "fixed")) == pytest.approx([1.0])
    assert claims.paired([], "mnist", ("set", "dense")) == []


def test_every_published_claim_has_a_verdict_row():
    table = claims.verdicts("smoke")
    assert list(table["id"]) == list(claims.published()["id"])
    assert set(claims.QUANTITIES) <= set(table["id"])
    columns = "id paper statement verdict value low high n profile published"
    assert list(table.columns) == columns.split()


def test_claims_without_runs_are_not_run():
    table = claims.verdicts("smoke", ["P02", "S41"])
    assert set(table["verdict"]) == {"not run"} and table["value"].isna().all()


def test_links_grow_linearly_with_width():
    row = claims.verdicts("smoke", ["S02"]).iloc[0]
    assert row["value"] == pytest.approx(1, abs=1e-3) and row["verdict"] == "reproduced"


def test_initial_link_count_has_the_error_of_a_binomial_draw():
    n, p = 1000**2, 0.04
    spread = math.sqrt(n * p * (1 - p)) / (n * p) * math.sqrt(2 / math.pi)  # mean of |normal|
    row = claims.verdicts("smoke", ["S06"]).iloc[0]
    assert row["value"] == pytest.approx(spread, rel=0.4) and row["n"] == 100


@pytest.mark.parametrize(("profile", "ids"), [("papper", None), ("paper", ["S99"])])
def test_unknown_names_are_refused(profile, ids):
    with pytest.raises(ValueError, match="did you mean"):
        claims.verdicts(profile, ids)


# robustness


def gaps(sets, rivals, datasets=("mnist",)):
    """Rows of one measure for two methods, a value a seed."""
    sides = (("set", sets), ("dense", rivals))
    rows = [(d, m, seed, v) for d in datasets for m, vs in sides for seed, v in enumerate(vs)]
    table = pd.DataFrame(rows, columns=["dataset", "method", "seed", "value"])
    return table.assign(measure="area", network="adaptive_topology")


def test_contrast_has_the_paired_interval_of_scipy():
    sets, rivals = [0.5, 0.6, 0.4, 0.7], [0.4, 0.45, 0.42, 0.5, 0.9]  # the last seed has no pair
    (row,) = claims.contrasts(gaps(sets, rivals), {"x": ("set", "dense")}).to_dict("records")
    desired = stats.ttest_rel(sets, rivals[:4]).confidence_interval()
    assert (row["low"], row["high"]) == pytest.approx((desired.low, desired.high))
    assert row["n"] == 4 and row["value"] == pytest.approx(np.mean(sets) - np.mean(rivals[:4]))


def test_contrast_without_a_common_seed_is_left_out():
    assert claims.contrasts(gaps([1.0], []), {"x": ("set", "dense")}).empty


@pytest.mark.parametrize(("datasets", "limit"), [(("mnist",), "data"), (("mnist", "b"), "")])
def test_robustness_claim_is_that_of_the_worse_data_set(datasets, limit, monkeypatch):
    table = pd.DataFrame({"dataset": datasets, "value": 0.3, "low": 0.2, "high": 0.4, "n": 5})
    table.loc[0, ["value", "low", "high"]] = -0.1, -0.3, 0.1
    monkeypatch.setattr(claims, "robustness_gaps", lambda claim, profile: table)
    desired = Measurement(-0.1, -0.3, 0.1, 5, limit)
    assert claims.QUANTITIES["R03"]("paper") == desired


def test_robustness_claims_are_judged_on_each_data_set(monkeypatch):
    table = gaps([0.5, 0.6, 0.55, 0.5, 0.6], [0.5] * 5, ("mnist", "fashion_mnist"))
    table = table.assign(measure="removal area random")
    monkeypatch.setattr(claims.robustness, "sum_up", lambda found: table)
    rows = claims.robustness_gaps("R03", "paper")
    assert list(rows["verdict"]) == ["reproduced"] * 2
    half = stats.t.ppf(0.9875, 4) * np.std([0, 0.1, 0.05, 0, 0.1], ddof=1) / 5**0.5
    assert rows["high"].to_numpy() - rows["value"].to_numpy() == pytest.approx(half)


def test_contrast_keeps_networks_apart():
    table = pd.concat([gaps([1.0], [0.0]), gaps([3.0], [0.0]).assign(network="other")])
    rows = claims.contrasts(table, {"x": ("set", "dense")})
    assert dict(zip(rows["network"], rows["value"], strict=True)) == {
        "adaptive_topology": 1.0, "other": 3.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("gains", "high", "limit"), [((0.98, 0.99), 1.5, ""), ((0.98,), 0.5, "epochs")]
)
def test_accuracy_gap_allows_for_what_longer_training_gains(gains, high, limit, monkeypatch):
    gap = Measurement(0.1, -0.3, 0.5, 5)
    monkeypatch.setattr(claims, "_difference", lambda *_: gap)
    tried = [c for c in claims.experiments.configs("tuning", "paper") if c.variant == "epochs"]
    mnist = [c for c in tried if c.dataset == "mnist"]
    found = [
        claims.Record(c, pd.DataFrame({"valid_accuracy": [0.1, v]}), {}, {}, None)
        for c, v in zip(mnist, gains, strict=False)
    ]
    monkeypatch.setattr(claims.records, "records", lambda configs: found)
    measured = claims.QUANTITIES["R01"]("paper")
    assert (measured.high, measured.limit) == (pytest.approx(high), limit)
