"""Claims on accuracy at equal training; those on robustness are in ``test_readings``."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.papers import CLAIMS, EXPERIMENTS
from lib.papers.adaptive_topology import claims
from lib.papers.shared.sparse_training import SparseTraining
from lib.report.intervals import Measurement, direction
from lib.runs.record import Record


@pytest.mark.parametrize(("n", "low"), [(1, -np.inf), (2, -0.3)])
def test_robustness_claim_is_that_of_the_worse_data_set(n, low):
    found = [Measurement(-0.1, -0.3, 0.1, 5, at="one"), Measurement(0.3, 0.2, 0.4, 6, at="two")]
    assert claims.worst_of(found[:n]) == Measurement(-0.1, low, 0.1, 5, at="one")


def test_a_data_set_that_was_not_run_could_only_be_worse():
    assert claims.worst_of([]) is None
    up, down = Measurement(0.3, 0.2, 0.4, 5), Measurement(-0.3, -0.4, -0.2, 5)
    assert direction(claims.worst_of([up]), ">", "0") == "open"
    assert direction(claims.worst_of([up, up]), ">", "0") == "holds"
    assert direction(claims.worst_of([down]), ">", "0") == "fails"


@pytest.mark.parametrize("turned", [False, True])
def test_data_set_that_nothing_bounds_leaves_the_claim_without_a_lower_bound(turned):
    unknown = Measurement(float("nan"), -np.inf, np.inf, 5)
    found = [unknown, Measurement(0.5, 0.4, 0.6, 5)]
    worst = claims.worst_of(found[::-1] if turned else found)
    assert worst == Measurement(0.5, -np.inf, 0.6, 5)
    assert direction(worst, ">=", "0.3") == "open"
    assert direction(worst, ">=", "0.9") == "fails"  # whatever the other is
    assert direction(claims.worst_of([unknown, unknown]), ">=", "0.9") == "open"


@pytest.mark.parametrize("comparison", ["<", "<=", ">", ">=", "=="])
@pytest.mark.parametrize(("low", "high"), [(np.nan, np.nan), (np.nan, 2.0), (-2.0, np.nan)])
def test_bounds_that_are_not_known_decide_nothing(comparison, low, high):
    for threshold in ("-3", "0", "3"):
        assert direction(Measurement(0.0, low, high, 5), comparison, threshold) == "open"


def trained(experiment, method, accuracy, **fields):
    metrics = {"test_accuracy": [0.1, accuracy], "valid_accuracy": [0.1, accuracy]}
    run = SparseTraining(experiment, method=method, **fields)
    return Record(run, pd.DataFrame(metrics), {}, {})


def test_accuracy_gap_is_dense_minus_set_in_points():
    records = []
    for seed, gap in enumerate([0.003, -0.001, 0.001, 0.0, 0.002]):
        records.append(trained("adaptive_topology", "dense", 0.9 + gap, seed=seed))
        records.append(trained("adaptive_topology", "set", 0.9, seed=seed))
    measured = CLAIMS["R01"].measure(records)
    half = stats.t.ppf(0.975, 4) * np.std([0.3, -0.1, 0.1, 0, 0.2], ddof=1) / 5**0.5
    ends = (measured.value, measured.low, measured.high)
    assert ends == pytest.approx((0.1, 0.1 - half, 0.1 + half)) and measured.undecidable == ""


def test_accuracy_gap_is_of_the_data_set_that_the_claim_names():
    records = [trained("adaptive_topology", m, 0.9, dataset="mnist") for m in ("set", "dense")]
    assert CLAIMS["R01"].measure(records).n == 1
    assert CLAIMS["R02"].measure(records) is None


def test_accuracy_is_compared_after_equally_many_epochs():
    runs = EXPERIMENTS["adaptive_topology"].runs("paper")
    assert {run.epochs for run in runs if run.method in ("set", "dense")} == {150}
