"""What is chosen from tables and records of links."""

import pandas as pd

from lib.papers.set import links
from tests.papers.untrained import linked

TABLE = pd.DataFrame({"epoch": ["0", "10", "final"], "value": [1, 2, 3]})


def test_end_and_training_are_taken_apart():
    assert links.at_end(TABLE)["value"].tolist() == [3]
    during = links.during_training(TABLE)
    assert during["epoch"].tolist() == [0, 10] and during["value"].tolist() == [1, 2]


def test_epochs_that_were_read_as_numbers_are_training():
    table = pd.DataFrame({"epoch": [0, 10], "value": [1, 2]})
    assert links.at_end(table).empty
    assert links.during_training(table)["epoch"].tolist() == [0, 10]


def test_records_are_found_by_data_set_method_and_seed():
    records = [linked([], method="set"), linked([], method="fixed"), linked([], seed=1)]
    runs = links.by_run(records)
    assert list(runs) == [("mnist", "set", 0), ("mnist", "fixed", 0), ("mnist", "set", 1)]
    assert links.seeds_of(runs, "mnist", "set") == [records[0], records[2]]
