"""Readings of a claim as texts."""

import pandas as pd
import pytest

from lib.report import labels, tables

COLUMNS = [
    "reading",
    "rival",
    "rule",
    "dataset",
    "value",
    "low",
    "high",
    "n",
    "holds if",
    "verdict",
]


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
