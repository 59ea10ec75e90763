"""Tables: mean and sd, differences, and words that people read."""

import numpy as np
import pandas as pd
import pytest

from lib.report import labels, tables
from lib.runs.record import Record
from papers.shared import trained
from papers.shared.sparse_training import SparseTraining
from tests.papers.splash.made import studied


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


def test_one_value_is_written_without_a_spread():
    assert tables.mean_sd(pd.Series([1.0, 3.0])) == "2.00 ± 1.41 (2)"
    assert tables.mean_sd(pd.Series([1.0])) == "1.00 (1)"
    assert tables.mean_sd(pd.Series([-0.001, 0.0])) == "0.00 ± 0.00 (2)"


def test_seeds_without_a_number_are_counted():
    assert tables.mean_sd(pd.Series([90.0, np.nan])) == "90.00 (1 of 2)"
    assert tables.mean_sd(pd.Series([np.nan, np.nan])) == "–"


def test_settings_are_the_fields_of_runs_each_combination_once(found):
    table = tables.settings(found, ["method", "epochs", "hidden"])
    assert table["method"].tolist() == ["set", "fixed"] and table["seeds"].tolist() == [2, 1]
    assert table["hidden"].tolist() == [(1000, 1000, 1000)] * 2


def test_settings_of_a_study_and_of_its_network_stand_in_one_table():
    record = studied("relu", 0, {"pgd": 0.5})
    fields = ["experiment", "radii", "epochs"]
    (row,) = tables.settings([record], fields).to_dict("records")
    own = {"experiment": record.config.experiment, "radii": record.config.radii}
    assert row == own | {"epochs": 100, "seeds": 1}


def test_numbers_of_all_sizes_are_rounded():
    table = pd.DataFrame({"a": [24011530.4, 0.0331], "b": [np.nan, 275.2]})
    assert tables.rounded(table).to_numpy().tolist() == [["24,011,530", "–"], ["0.033", "275"]]


def test_zero_alone_is_rounded_to_zero():
    table = pd.DataFrame({"a": [0.0, -0.0, 0.00023, -0.0001, 0.0019]})
    desired = ["0.000", "0.000", "0.00023", "-0.0001", "0.002"]
    assert tables.rounded(table)["a"].tolist() == desired


def test_names_of_experiments_are_written_as_their_networks():
    table = pd.DataFrame({"trained": ["adaptive_topology"], "seed": [0]}).set_index("trained")
    assert tables.named(table).index.tolist() == ["width 1000"]


def test_a_folded_table_is_whole_under_its_line():
    folded = tables.Folded(pd.DataFrame({"n": range(80)}), "seeds < 21")
    html = folded._repr_html_()
    assert "<summary>seeds &lt; 21 (80 rows)</summary>" in html and html.count("<tr") == 81
    assert repr(folded).splitlines()[0] == "seeds < 21" and "79" in repr(folded)


# names as people read them


def test_names_are_written_in_columns_index_and_head():
    table = pd.DataFrame({"dataset": ["mnist"], "method": ["set"], "value": [1.5]})
    written = tables.named(table)
    assert written.to_dict("records") == [{"dataset": "MNIST", "method": "SET", "value": 1.5}]
    assert table["dataset"].tolist() == ["mnist"]
    wide = table.pivot_table("value", "dataset", "method")
    written = tables.named(wide)
    assert (written.index.tolist(), written.columns.tolist()) == (["MNIST"], ["SET"])
    both = table.set_index(["dataset", "value"])
    assert tables.named(both).index.tolist() == [("MNIST", 1.5)]
    assert tables.named(table[["value"]]).equals(table[["value"]])


def test_what_has_no_data_set_stays_without_a_name():
    table = pd.DataFrame({"dataset": pd.Categorical(["mnist", None]), "value": 1})
    written = tables.named(table)["dataset"]
    assert written[0] == "MNIST" and written.isna().tolist() == [False, True]


# readings of a claim

COLUMNS = [*"reading rival rule dataset value low high n".split(), "holds if", "verdict"]


def test_reading_says_its_interval_and_whether_it_holds():
    rows = [
        ("area", "dense", "set", "mnist", -0.16, -0.2, -0.12, 5, ">= -0.05", "fails"),
        ("area", "dense", "rigl", "mnist", 0.1, 0.05, 0.15, 5, ">= -0.05", "holds"),
        ("area", "", "set", "mnist", 0.0, -0.1, 0.1, 5, ">= -0.05", "open"),
        ("area", "", "rigl", "mnist", 0.0, float("nan"), 0.1, 1, ">= -0.05", "open"),
    ]
    table = tables.written_readings(pd.DataFrame(rows, columns=COLUMNS))
    assert table.to_numpy().tolist() == [
        ["-0.16 [-0.2, -0.12] fails", "0.1 [0.05, 0.15] holds"],
        ["0 [-0.1, 0.1] open", "0, n = 1"],
    ]
    assert list(table.index.get_level_values("rival")) == [labels.method_name("dense"), ""]
    rules = [labels.method_name(rule) for rule in ("set", "rigl")]
    assert list(table.columns.get_level_values("rule")) == rules


def test_readings_without_rival_or_randomness_are_written():
    row = ("area", float("nan"), "set", "mnist", 1.0, 1.0, 1.0, None, ">= 0.5", "holds")
    table = tables.written_readings(pd.DataFrame([row], columns=COLUMNS))
    assert table.to_numpy().tolist() == [["1 [1, 1] holds"]]
    with pytest.raises(ValueError, match="column 'reading' has empty cells"):
        tables.written_readings(pd.DataFrame([(None, *row[1:])], columns=COLUMNS))
