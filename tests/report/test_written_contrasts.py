"""Differences written beside each other."""

import math

import pandas as pd

from lib.report import labels, tables


def test_differences_stand_in_a_column_a_measure_and_a_star_marks_small_corrected_p_values():
    rows = [
        ("mnist", "both", "accuracy", 0.321, 0.1, 0.5, 5, 0.049),
        ("mnist", "both", "area", -0.02, -math.inf, math.inf, 1, math.nan),
        ("digits", "one", "accuracy", 1, 1, 1, 2, 0.05),
    ]
    columns = ["dataset", "contrast", "measure", "value", "low", "high", "n", "p_holm"]
    table = tables.written_contrasts(pd.DataFrame(rows, columns=columns))
    assert [*table] == ["accuracy", "area"]
    assert table.loc[labels.dataset("mnist"), "both"].tolist() == [
        "0.32 [0.10, 0.50] n=5 *",
        "-0.02 [-inf, inf] n=1",
    ]
    assert table.loc[labels.dataset("digits"), "one"].tolist()[0] == "1.00 [1.00, 1.00] n=2"
    assert table["area"].tolist()[1] == ""


def test_networks_stand_side_by_side_where_asked():
    rows = [("mnist", n, "both", "area", value, 0, 1, 5, 1.0) for n, value in (("a", 1), ("b", 2))]
    columns = ["dataset", "network", "contrast", "measure", "value", "low", "high", "n", "p_holm"]
    differences = pd.DataFrame(rows, columns=columns)
    table = tables.written_contrasts(differences, ("measure", "network"))
    assert [*table] == [("area", "a"), ("area", "b")]
    assert table["area", "b"].tolist() == ["2.00 [0.00, 1.00] n=5"]
