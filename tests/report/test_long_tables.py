"""Tables of groups: names, means with intervals, spreads, published results."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.report import tables

KEYS = ["dataset", "method"]


@pytest.fixture
def numbers():
    """Two methods, one of them with three seeds."""
    rows = [("mnist", "a", 1.0), ("mnist", "a", 2.0), ("mnist", "a", 6.0), ("mnist", "b", 5.0)]
    return pd.DataFrame(rows, columns=[*KEYS, "value"])


def test_named_table_has_the_names_people_read():
    table = pd.DataFrame({"dataset": ["mnist", "new"], "method": "new", "value": 1})
    named = tables.named(table)
    assert named["dataset"].tolist() == ["MNIST", "new"]
    assert named["method"].tolist() == ["new", "new"]
    assert table["dataset"].tolist() == ["mnist", "new"]


def test_means_have_the_interval_of_scipy(numbers):
    row = tables.means(numbers, KEYS).iloc[0]
    values = [1, 2, 6]
    low, high = stats.t.interval(0.95, 2, loc=3, scale=stats.sem(values))
    assert row["mean"] == 3 and row["n"] == 3
    assert (row["low"], row["high"]) == pytest.approx((low, high))


def test_means_stand_side_by_side_as_texts(numbers):
    means = tables.means(numbers, KEYS)[::-1]
    wide = tables.side_by_side(means, ["dataset"])
    assert list(wide.columns) == ["b", "a"]  # as the rows come
    assert wide.loc["mnist", "a"] == "3.00 [-3.57, 9.57]"


def test_spread_is_mean_sample_deviation_and_count_of_every_column(numbers):
    spread = tables.spread(numbers.assign(twice=2 * numbers["value"]), KEYS)
    row = spread.loc[("mnist", "a")]
    assert list(spread.columns)[:3] == ["value mean", "value std", "value count"]
    assert row["twice std"] == pytest.approx(np.std([2, 4, 12], ddof=1))
    assert spread["value count"].tolist() == [3, 1]


def test_names_are_written_in_columns_index_and_head():
    table = pd.DataFrame({"dataset": ["mnist"], "method": ["set"], "value": [1.5]})
    written = tables.named(table)
    assert written.to_dict("records") == [{"dataset": "MNIST", "method": "SET", "value": 1.5}]
    wide = table.pivot_table("value", "dataset", "method")
    written = tables.named(wide)
    assert (written.index.tolist(), written.columns.tolist()) == (["MNIST"], ["SET"])
    both = table.set_index(["dataset", "value"])
    assert tables.named(both).index.tolist() == [("MNIST", 1.5)]
    assert tables.named(table[["value"]]).equals(table[["value"]])
