"""The paper's numbers, as printed, beside ours."""

import pandas as pd
import pytest

from lib.papers.set import published
from lib.papers.shared.labels import LABELS
from lib.papers.shared.sparse_training import SparseTraining
from lib.report import labels
from lib.runs.record import Record

labels.add(LABELS)


@pytest.fixture
def summary():
    row = {"method": "SET", "settings": "tuned", "n": 5, "epochs": 150, "last epoch": "98.96"}
    sizes = {"links at the end": "90,979", "best on test": "99.00"}
    datasets = ["MNIST", "CIFAR-10", "Fashion-MNIST", "HIGGS, sample of 25,977"]
    return pd.DataFrame([{"dataset": dataset, **row, **sizes} for dataset in datasets])


def test_numbers_of_the_paper_are_those_printed(summary):
    table = published.beside_table_3(summary)
    row = table[(table["dataset"] == "MNIST") & (table["method"] == "SET")].iloc[0]
    assert row["paper: best on test"] == 98.74  # [Mocanu2018] Table 3
    assert row["paper: weights"] == 89797


@pytest.mark.parametrize("dataset", ["MNIST", "CIFAR10", "HIGGS"])
def test_ours_stand_beside_the_same_data_set(summary, dataset):
    table = published.beside_table_3(summary)
    ours = table[table["dataset"] == dataset].set_index("method")
    assert ours.loc["SET", "last epoch"] == "98.96"
    assert ours.loc["dense", "last epoch"] == "–"


def test_fixed_support_of_the_paper_stands_beside_both_of_ours(summary):
    table = published.beside_table_3(summary)
    fixed = table[table["paper: best on test"] == 97.68]
    assert fixed["method"].tolist() == ["fixed random support", "fixed, SET's final links"]


def test_log_is_in_fractions():
    log = published.authors_log()
    assert [*log] == ["method", "epoch", "accuracy", "dataset"]
    assert log["accuracy"].between(0, 1).all()
    assert set(log["dataset"]) == {"cifar10"}


def test_our_epochs_stand_beside_the_log():
    metrics = pd.DataFrame({"epoch": range(1, 11), "test_accuracy": 0.25})
    run = SparseTraining("set_mlp", dataset="cifar10", method="set", variant="published", epochs=10)
    table = published.beside_log([Record(run, metrics, {}, {})])
    assert table["epoch"].tolist() == [1, 10]
    assert table["mean"].tolist() == [25, 25]
    assert table["authors' log"].tolist() == pytest.approx([17.1, 42.8])


def test_other_data_sets_have_no_log():
    metrics = pd.DataFrame({"epoch": [1], "test_accuracy": [0.25]})
    run = SparseTraining("set_mlp", dataset="digits", method="set", epochs=1)
    assert published.beside_log([Record(run, metrics, {}, {})]).empty
