"""Tables: mean and sd, differences, and words that people read."""

import numpy as np
import pandas as pd
import pytest

from lib.papers.shared import trained
from lib.papers.shared.sparse_training import SparseTraining
from lib.report import tables
from lib.runs.record import Record


def learned(accuracies, method="set", seed=0):
    """A record with these test accuracies by epoch."""
    metrics = {"epoch": range(1, len(accuracies) + 1), "test_accuracy": accuracies, "links": 100}
    metrics = pd.DataFrame(metrics).assign(valid_accuracy=np.nan)
    environment = {"architecture": "784-10-10", "seconds": 1.0}
    environment["final"] = {"test_accuracy": accuracies[-1], "links": 70}
    run = SparseTraining("made", method=method, seed=seed)
    return Record(run, metrics, {}, environment, numbers=trained.numbers)


@pytest.fixture
def found():
    adaptive = [learned([0.90, 0.92, 0.94]), learned([0.92, 0.94, 0.98], seed=1)]
    return [*adaptive, learned([0.80, 0.85, 0.90], "fixed")]


def test_curves_are_mean_and_sample_deviation_over_seeds(found):
    table = tables.curves(found).set_index(["method", "epoch"])
    row = table.loc["set", 3]
    assert row["mean"] == pytest.approx(0.96) and row["n"] == 2
    assert row["sd"] == pytest.approx(np.std([0.94, 0.98], ddof=1))


def test_curves_of_no_records_are_none():
    table = tables.curves([])
    assert table.empty and [*table] == ["dataset", "method", "epoch", "mean", "sd", "n"]


def test_summary_states_links_accuracy_and_n(found):
    table = tables.summary(found).set_index("method")
    assert table.loc["SET", "last epoch"] == "96.00 ± 2.83" and table.loc["SET", "n"] == 2
    assert table.loc["fixed random support", "last epoch"] == "90.00"
    assert table.loc["SET", "links at the end"] == "70"


def test_paired_differences_are_in_points(found):
    table = tables.paired(found, [("set", "fixed"), ("set", "dense")])
    assert table["points"].tolist() == [4.0] and table["n"].tolist() == [1]


def test_settings_are_the_fields_of_runs_each_combination_once(found):
    table = tables.settings(found, ["method", "epochs", "hidden"])
    assert table["method"].tolist() == ["set", "fixed"] and table["seeds"].tolist() == [2, 1]
    assert table["hidden"].tolist() == [(1000, 1000, 1000)] * 2


def trained_at(method, seed, accuracies, schedule="cosine"):
    fields = {"method": method, "seed": seed, "schedule": schedule, "epochs": len(accuracies)}
    metrics = pd.DataFrame({"test_accuracy": accuracies})
    return Record(SparseTraining("x", **fields), metrics, {}, {})


def test_pairs_are_seeds_that_both_methods_have():
    rows = [("set", 0, 0.98), ("set", 1, 0.97), ("fixed", 1, 0.96), ("fixed", 2, 0.5)]
    found = [trained_at(method, seed, [0.1, accuracy]) for method, seed, accuracy in rows]
    assert tables.paired_differences(found, "mnist", ("set", "fixed")) == pytest.approx([1.0])
    assert tables.paired_differences(found, "mnist", ("set", "dense")) == []
    assert tables.paired_differences(found, "cifar10", ("set", "fixed")) == []


@pytest.mark.parametrize(("schedule", "points"), [("constant", -10.0), ("cosine", 20.0)])
def test_unequal_runs_are_compared_at_equal_epochs_only_at_a_constant_rate(schedule, points):
    found = [trained_at("set", 0, [0.4, 0.7], schedule), trained_at("dense", 0, [0.5], schedule)]
    assert tables.paired_differences(found, "mnist", ("set", "dense")) == pytest.approx([points])


def test_a_folded_table_is_whole_under_its_line():
    folded = tables.Folded(pd.DataFrame({"n": range(20)}), "seeds < 21")
    html = folded._repr_html_()
    assert "<summary>seeds &lt; 21 (20 rows)</summary>" in html and html.count("<tr") == 21
    assert repr(folded).splitlines()[0] == "seeds < 21" and "19" in repr(folded)
