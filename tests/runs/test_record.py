"""Records: one flat row each, with what every experiment has and what one adds."""

import dataclasses

import pandas as pd
import pytest

from lib.runs.record import SUMMARY, Record, summaries
from tests.runs.counting import Counting

RUN = Counting("counting", method="fixed", variant="published", seed=3)
FACTS = {"architecture": "64-40-10", "seconds": 2.5, "commit": "of no interest"}
RECORD = Record(RUN, pd.DataFrame({"step": [1]}), {}, FACTS)


def test_summary_has_the_promised_fields_in_their_order():
    fields = "experiment dataset architecture method variant optimiser epochs seed profile"
    fields += " best_accuracy best_on_test_accuracy last_accuracy final_accuracy links_training"
    fields += " links_final seconds record"
    assert list(RECORD.summary()) == list(SUMMARY) == fields.split()


def test_summary_says_which_run_it_is_and_nothing_that_was_not_measured():
    said = {name: value for name, value in RECORD.summary().items() if value is not None}
    assert said == {
        "experiment": "counting",
        "dataset": "digits",
        "architecture": "64-40-10",
        "method": "fixed",
        "variant": "published",
        "seed": 3,
        "profile": "custom",
        "seconds": 2.5,
        "record": RUN.name,
    }


def test_experiment_adds_its_numbers_to_the_summary():
    def numbers(record):
        return {"final_accuracy": 0.5, "epochs": record.config.steps}

    summary = dataclasses.replace(RECORD, numbers=numbers).summary()
    assert (summary["final_accuracy"], summary["epochs"]) == (0.5, 4)
    assert list(summary) == list(SUMMARY)


def test_summaries_are_a_table_of_one_row_a_record():
    other = dataclasses.replace(RECORD, config=dataclasses.replace(RUN, seed=4), profile="paper")
    table = summaries([RECORD, other])
    assert list(table) == list(SUMMARY)
    assert table["seed"].tolist() == [3, 4] and table["profile"].tolist() == ["custom", "paper"]


def test_number_that_no_summary_has_is_refused_with_the_nearest():
    record = dataclasses.replace(RECORD, numbers=lambda record: {"second": 1.0})
    with pytest.raises(ValueError, match="'second': did you mean 'seconds'"):
        summaries([record])


def test_table_is_read_once_when_it_is_asked_for():
    read = []

    def table():
        read.append(1)
        return pd.DataFrame({"step": [1, 2]})

    record = Record(RUN, table, {}, FACTS)
    assert not read
    assert len(record.metrics) == len(record.metrics) == 2
    assert len(read) == 1
