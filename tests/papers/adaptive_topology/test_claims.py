"""Claims on accuracy at equal training; those on robustness are in ``test_readings``."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.papers import CLAIMS, EXPERIMENTS
from lib.papers.adaptive_topology import claims
from lib.papers.shared.sparse_training import SparseTraining
from lib.report.intervals import Measurement, judge
from lib.runs.record import Record


@pytest.mark.parametrize(("n", "limit"), [(1, "data"), (2, "")])
def test_robustness_claim_is_that_of_the_worse_data_set(n, limit):
    found = [Measurement(-0.1, -0.3, 0.1, 5), Measurement(0.3, 0.2, 0.4, 6)][:n]
    assert claims.worst_of(found) == Measurement(-0.1, -0.3, 0.1, 5, limit)


@pytest.mark.parametrize("turned", [False, True])
def test_what_limits_either_data_set_limits_the_claim(turned):
    found = [Measurement(float("nan"), -np.inf, np.inf, 5, "radii"), Measurement(0.5, 0.4, 0.6, 5)]
    worst = claims.worst_of(found[::-1] if turned else found)
    assert worst == Measurement(0.5, -np.inf, 0.6, 5, "radii")
    assert judge(worst, ">=", "0.9") == "inconclusive (radii)"


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
    assert ends == pytest.approx((0.1, 0.1 - half, 0.1 + half)) and measured.limit == ""


def test_accuracy_gap_is_of_the_data_set_that_the_claim_names():
    records = [trained("adaptive_topology", m, 0.9, dataset="mnist") for m in ("set", "dense")]
    assert CLAIMS["R01"].measure(records).n == 1
    assert CLAIMS["R02"].measure(records) is None


def test_accuracy_is_compared_after_equally_many_epochs():
    runs = EXPERIMENTS["adaptive_topology"].runs("paper")
    assert {run.epochs for run in runs if run.method in ("set", "dense")} == {150}
