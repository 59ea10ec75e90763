"""Tables of the evidence: rows whose shares can be counted by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from lib.papers.set import evidence
from lib.papers.shared.labels import LABELS
from lib.papers.shared.sparse_training import SparseTraining
from lib.papers.shared.study import study_of
from lib.report import labels
from lib.runs.record import Record

labels.add(LABELS)

ROW = {
    "network": "width 1000",
    "dataset": "MNIST",
    "group": "SET",
    "method": "set",
    "seed": 0,
    "epoch": "final",
    "kind": "network",
    "neurons": "hidden 1",
    "n": 100,
    "isolated": 20,
    "domain": "inside",
    "exponent": 2.5,
    "standard_error": 0.1,
    "xmin": 3,
    "n_tail": 60,
    "p": 0.5,
    "unbeaten": True,
    "strong": True,
    "best": "power law",
    "package_exponent": 2.4,
    "package_xmin": 3,
}
REJECTED = {"p": 0.0, "unbeaten": False, "strong": False, "exponent": 6.0, "best": "binomial"}
UNFITTED = dict.fromkeys(("exponent", "standard_error", "p", "unbeaten", "strong"), math.nan)


def rows(*changes) -> pd.DataFrame:
    return pd.DataFrame([ROW | change for change in changes])


@pytest.fixture
def found():
    return rows(
        {"epoch": 2, "strong": False},
        {"epoch": 10},
        {},
        {"seed": 1, "neurons": "hidden 2", **REJECTED},
        {"method": "fixed", "group": "fixed random support"},
        {"kind": "random", **REJECTED},
        {"kind": "power law 2.5", "package_xmin": 4},
        {"kind": "power law 2.5", "domain": "mean degree 40.0 above √n = 10.0", **REJECTED},
    )


def test_table_has_names_that_people_read():
    parent = SparseTraining("set_mlp", dataset="mnist", method="set", variant="published")
    run = study_of("scale_free", parent, variant="published")
    neurons = ["inputs", "hidden 1", "hidden 1 in", "hidden 1 out"]
    record = Record(run, pd.DataFrame({"neurons": neurons}), {}, {})
    table = evidence.table([record])
    assert table["neurons"].tolist() == neurons[:2]
    row = table.iloc[0]
    names = row["network"], row["dataset"], row["group"]
    assert names == ("ε = 20, published", "MNIST", "SET")


def test_end_is_that_of_trained_networks(found):
    ends = evidence.at_end(found)
    assert len(ends) == 3
    assert set(ends["kind"]) == {"network"}


def test_seeds_are_counted_once(found):
    table = evidence.seeds(evidence.at_end(found))
    assert table["seeds"].tolist() == [2, 1]


def test_layers_of_all_seeds_are_summed_up(found):
    ends = evidence.at_end(found)
    row = evidence.by_layer(ends).iloc[0]
    assert row["neurons"] == "hidden" and row["n"] == 2
    assert row["without links"] == 0.2
    assert (row["α"], row["α min"], row["α max"]) == (4.25, 2.5, 6.0)
    assert row["plausible"] == row["unbeaten"] == row["strong"] == 0.5


def test_sequence_without_a_fit_counts_as_no_evidence():
    row = evidence.by_layer(rows({}, UNFITTED)).iloc[0]
    assert row["n"] == 2
    assert row["strong"] == row["unbeaten"] == 0.5
    assert row["α"] == 2.5


def test_categories_are_those_of_the_groups(found):
    table = evidence.categories(evidence.at_end(found)).set_index("group")
    assert table.loc["SET", "strong"] == 0.5
    assert table.loc["fixed random support", "category"] == "Strongest"


def test_epochs_stand_in_order_and_the_end_last(found):
    table = evidence.strong_over_epochs(found)
    assert [*table] == ["2", "10", "final"]
    assert table.to_numpy().tolist() == [[0, 1, 0.5]]


def test_map_shows_evolved_networks_beside_controls(found):
    table = evidence.with_controls(found)
    groups = table["group"].value_counts().to_dict()
    assert groups == {
        "evolved networks, all rules": 2,
        "random, equal links": 1,
        "drawn power laws": 2,
    }


def test_map_leaves_out_exponents_at_the_bound():
    table = evidence.with_controls(rows({}, {"standard_error": np.nan}))
    assert len(table) == 1


def test_power_is_the_share_of_known_laws_that_is_recognised(found):
    table = evidence.power(found)
    assert table["strong"].to_dict() == {
        ("random", True): 0,
        ("power law 2.5", True): 1,
        ("power law 2.5", False): 0,
    }
    assert table["n"].tolist() == [1, 1, 1]


def test_fits_of_the_package_stand_beside_ours(found):
    table = evidence.beside_package(found)
    assert table.loc[("power law 2.5", "SET"), "other_xmin"] == 0.5
    assert table.loc[("network", "SET"), "other_xmin"] == 0
    assert table.loc[("random", "SET"), "exponent"] == 6
