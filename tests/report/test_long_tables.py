"""Tables: names as people read them."""

import pandas as pd

from lib.report import tables


def test_named_table_has_the_names_people_read():
    table = pd.DataFrame({"dataset": ["mnist", "new"], "method": "new", "value": 1})
    named = tables.named(table)
    assert named["dataset"].tolist() == ["MNIST", "new"]
    assert named["method"].tolist() == ["new", "new"]
    assert table["dataset"].tolist() == ["mnist", "new"]


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


def test_what_has_no_data_set_stays_without_a_name():
    table = pd.DataFrame({"dataset": pd.Categorical(["mnist", None]), "value": 1})
    written = tables.named(table)["dataset"]
    assert written[0] == "MNIST" and written.isna().tolist() == [False, True]
