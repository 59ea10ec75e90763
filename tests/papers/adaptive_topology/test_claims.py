"""Claims about robustness: the worse data set decides, and longer training is allowed for."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.papers import CLAIMS
from lib.papers.adaptive_topology import claims
from lib.papers.shared.sparse_training import SparseTraining
from lib.report.intervals import Measurement
from lib.runs.record import Record
from tests.papers.adaptive_topology.measuring import record


def gaps(sets, rivals, datasets=("mnist",)):
    """Rows of one measure for two methods, a value a seed."""
    sides = (("set", sets), ("dense", rivals))
    rows = [(d, m, seed, v) for d in datasets for m, vs in sides for seed, v in enumerate(vs)]
    table = pd.DataFrame(rows, columns=["dataset", "method", "seed", "value"])
    return table.assign(measure="area", network="adaptive_topology")


@pytest.mark.parametrize(("datasets", "limit"), [(("mnist",), "data"), (("mnist", "b"), "")])
def test_robustness_claim_is_that_of_the_worse_data_set(datasets, limit):
    table = pd.DataFrame({"dataset": datasets, "value": 0.3, "low": 0.2, "high": 0.4, "n": 5})
    table.loc[0, ["value", "low", "high"]] = -0.1, -0.3, 0.1
    assert claims.worst_of(table) == Measurement(-0.1, -0.3, 0.1, 5, limit)


@pytest.mark.parametrize("claim", claims.ROBUSTNESS)
def test_robustness_claim_without_records_is_not_measured(claim):
    assert CLAIMS[claim].experiments == (claims.ROBUSTNESS[claim].study,)
    assert CLAIMS[claim].measure([]) is None


def test_robustness_claims_are_judged_on_each_data_set():
    table = gaps([0.5, 0.6, 0.55, 0.5, 0.6], [0.5] * 5, ("mnist", "fashion_mnist"))
    rows = claims.gaps_of(table.assign(measure="removal area random"), "R03")
    assert list(rows["dataset"]) == ["mnist", "fashion_mnist"]
    half = stats.t.ppf(0.9875, 4) * np.std([0, 0.1, 0.05, 0, 0.1], ddof=1) / 5**0.5
    assert rows["high"].to_numpy() - rows["value"].to_numpy() == pytest.approx(half)


@pytest.mark.parametrize("change", [{"network": "made"}, {"measure": "f50"}])
def test_other_networks_and_measures_say_nothing_of_a_claim(change):
    table = gaps([0.5] * 5, [0.4] * 5).assign(**{"measure": "removal area random", **change})
    assert claims.gaps_of(table, "R03").empty


def test_robustness_claim_is_measured_from_the_records_of_its_study():
    def removal(method, seed, half):
        curve = {"fraction": [0, 0.5, 1], "accuracy": [0.9, half, 0.1]}
        curve |= {"scope": "all", "order": "random"}
        made = record("link_removal", curve, method=method, seed=seed)
        parent = made.config.parent.with_changes({"experiment": "adaptive_topology"})
        object.__setattr__(made.config, "parent", parent)
        return made

    records = [removal("set", seed, 0.7 + seed / 100) for seed in range(2)]
    records += [removal("dense", seed, 0.5) for seed in range(2)]
    measured = CLAIMS["R03"].measure(records)
    areas = [(0.2 + seed / 100) / 0.8 / 2 for seed in range(2)]
    assert measured.value == pytest.approx(np.mean(areas)) and measured.limit == "data"


# accuracy


def trained(experiment, method, accuracy, **fields):
    metrics = {"test_accuracy": [0.1, accuracy], "valid_accuracy": [0.1, accuracy]}
    run = SparseTraining(experiment, method=method, **fields)
    return Record(run, pd.DataFrame(metrics), {}, {})


@pytest.mark.parametrize(
    ("gains", "points", "limit"), [((0.98, 0.99), 1.0, ""), ((0.98,), 0.0, "epochs")]
)
def test_accuracy_gap_allows_for_what_longer_training_gains(gains, points, limit):
    records = []
    for seed, gap in enumerate([0.003, -0.001, 0.001, 0.0, 0.002]):
        records.append(trained("adaptive_topology", "dense", 0.9 + gap, seed=seed))
        records.append(trained("adaptive_topology", "set", 0.9, seed=seed))
    for epochs, accuracy in zip((10, 20), gains, strict=False):
        fields = {"variant": "epochs", "epochs": epochs}
        records.append(trained("tuning", "dense", accuracy, **fields))
    measured = CLAIMS["R01"].measure(records)
    half = stats.t.ppf(0.975, 4) * np.std([0.3, -0.1, 0.1, 0, 0.2], ddof=1) / 5**0.5
    assert measured.value == pytest.approx(0.1) and measured.low == pytest.approx(0.1 - half)
    assert (measured.high, measured.limit) == (pytest.approx(0.1 + half + points), limit)


def test_accuracy_gap_is_of_the_data_set_that_the_claim_names():
    records = [trained("adaptive_topology", m, 0.9, dataset="mnist") for m in ("set", "dense")]
    assert CLAIMS["R01"].measure(records).n == 1
    assert CLAIMS["R02"].measure(records) is None
