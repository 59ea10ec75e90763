"""Differences written beside each other."""

import math

import pandas as pd

from lib.report import tables


def test_differences_stand_in_a_column_a_measure_and_a_star_marks_small_corrected_p_values():
    rows = [
        ("mnist", "both", "accuracy", 0.321, 0.1, 0.5, 5, 0.049),
        ("mnist", "both", "area", -0.02, -math.inf, math.inf, 1, math.nan),
        ("digits", "one", "accuracy", 1, 1, 1, 2, 0.05),
    ]
    columns = ["dataset", "contrast", "measure", "value", "low", "high", "n", "p_holm"]
    table = tables.written_contrasts(pd.DataFrame(rows, columns=columns))
    assert [*table] == ["accuracy", "area"]
    assert table.loc["mnist", "both"].tolist() == [
        "0.32 [0.10, 0.50] n=5 *",
        "-0.02 [-inf, inf] n=1",
    ]
    assert table.loc["digits", "one"].tolist()[0] == "1.00 [1.00, 1.00] n=2"
    assert table["area"].isna().tolist() == [False, True]
