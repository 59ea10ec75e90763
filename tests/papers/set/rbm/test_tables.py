"""Likelihoods as tables: chosen by validation, beside Table 2, with what is not told apart."""

import math

import numpy as np
import pandas as pd
import pytest

from lib.papers import STORE
from lib.papers.set.rbm import experiments, tables
from lib.papers.set.rbm.experiments import TRIED, TUNED, dna
from tests.papers.set.rbm.records import record, seeds

NOISE = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])


def test_outcome_is_that_of_the_best_machine_by_the_full_schedule():
    one = record("set", test=-83.0, short=-82.5, valid=-84.0, curve=(-90, -82, -86))
    (row,) = tables.outcomes([one]).to_dict("records")
    assert (row["test"], row["valid"], row["test_short"]) == (-83, -84, -82.5)
    assert (row["best_on_test"], row["last_test"], row["links"]) == (-82, -86, 3311)


def test_impossible_likelihood_is_missing_and_counted():
    (row,) = tables.outcomes([record("dense", test=-5.01)]).to_dict("records")
    assert math.isnan(row["test"]) and row["impossible"] == 1
    summary = tables.summary(tables.outcomes(seeds("dense", [-5.01, -5.02])))
    assert summary.empty


def test_settings_are_chosen_by_validation_not_by_test():
    runs = seeds("set", [-80.0, -80.0], hidden=(100,), valid=-90.0)
    runs += seeds("set", [-85.0, -86.0], hidden=(500,), valid=-84.0)
    runs += seeds("set", [-70.0], hidden=(250,), valid=-60.0, variant="longer")
    best = tables.selected(tables.outcomes(runs))
    assert best["hidden"].tolist() == [500, 500] and best["test"].tolist() == [-85, -86]


def test_tuned_machine_is_chosen_where_it_is_better_on_validation():
    runs = seeds("dense", [-94.0, -94.2])
    runs += seeds("dense", [-88.0, -88.1], variant="tuned", weight_decay=0.02)
    runs += seeds("dense", [-70.0], variant="tried", learning_rate=0.03)
    outcomes = tables.outcomes(runs)
    assert tables.selected(outcomes)["decay"].tolist() == [0.02, 0.02]
    assert tables.selected(outcomes, tables.PUBLISHED)["decay"].tolist() == [2e-4, 2e-4]


@pytest.mark.parametrize(
    ("hidden", "method"), [(hidden, method) for hidden in TUNED for method in TUNED[hidden]]
)
def test_tuned_settings_are_those_that_validation_chose(hidden, method):
    key = "tried", method, (hidden,)
    runs = [run for run in dna("paper") if (run.variant, run.method, run.hidden) == key]
    tried = tables.outcomes(STORE.records(runs))
    rates, decays = TRIED[hidden]
    assert len(tried) == len(rates) * len(decays)
    best = tried.loc[tried["valid"].idxmax()]
    assert (best["rate"], best["decay"]) == TUNED[hidden][method]


def test_the_best_tried_is_what_validation_likes_best():
    runs = seeds("dense", [-94.0], variant="tried", learning_rate=0.003)
    runs += seeds("dense", [-88.0], variant="tried", learning_rate=0.03, visible_start="means")
    runs += seeds("dense", [-70.0], variant="tuned", learning_rate=0.1)  # was not tried
    runs += seeds("set", [-90.0], variant="tried", learning_rate=0.01)
    assert tables.best_tried(runs, ("learning_rate", "visible_start")) == {
        "dense": {"learning_rate": 0.03, "visible_start": "means"},
        "set": {"learning_rate": 0.01, "visible_start": "zeros"},
    }


def test_wide_machines_are_chosen_as_the_records_say():
    """Nothing is chosen before all that was tried is there."""
    tried = [run for run in experiments.wide("paper") if run.variant == "tried"]
    if not all(STORE.holds(run) for run in tried):
        assert not experiments.WIDE_TUNED
        return
    best = tables.best_tried(STORE.records(tried), tuple(experiments.WIDE_TRIED))
    assert best == experiments.WIDE_TUNED


def test_every_method_of_the_wide_machines_is_tried_with_the_same_settings(monkeypatch):
    monkeypatch.setitem(experiments.WIDE_TUNED, "set", {"learning_rate": 0.01})
    runs = experiments.wide("paper")
    settings = {}
    for run in runs:
        assert (run.dataset, run.hidden, run.cd_steps) == ("mnist", (2500,), 1)
        if run.variant == "tried":
            setting = run.learning_rate, run.weight_decay, run.visible_start
            settings.setdefault(run.method, []).append(setting)
    assert len(settings["set"]) == 12 == len(set(settings["set"]))
    assert settings["set"] == settings["fixed"] == settings["dense"]
    tuned = [run for run in runs if run.variant == "tuned" and run.method == "set"]
    assert [(run.seed, run.epochs, run.learning_rate) for run in tuned] == [
        (seed, experiments.WIDE_EPOCHS, 0.01) for seed in range(3)
    ]


def test_settings_tried_stand_side_by_side():
    runs = seeds("dense", [-94.0], variant="tried")
    runs += seeds("dense", [-88.0], variant="tried", weight_decay=0.02)
    table = tables.tried(tables.outcomes(runs))
    assert table["dense"].tolist() == [-94.0, -88.0]


def test_summary_has_a_row_a_method_with_its_spread():
    runs = seeds("set", [-82.0, -83.0]) + seeds("fixed", [-87.0])
    table = tables.summary(tables.outcomes(runs))
    assert table["method"].tolist() == ["SET", "fixed random support"]
    assert table["test"].tolist() == ["-82.50 ± 0.71", "-87.00"]
    assert table["n"].tolist() == [2, 1]


def test_tables_of_nothing_are_empty():
    nothing = tables.outcomes([])
    assert tables.summary(nothing).empty and tables.ranked(nothing).empty
    assert tables.curves([]).empty


def test_table_2_has_ours_beside_it():
    runs = seeds("set", [-82.0, -83.0]) + seeds("fixed_final", [-90.0])
    table = tables.beside_table_2(tables.outcomes(runs), runs).set_index(["dataset", "ours"])
    ours = table.loc["DNA", "SET"]
    assert ours["paper"] == -82.51 and ours["ours: nats"] == "-82.50 ± 0.71"
    assert table.loc[("DNA", "fixed, SET's final links"), "ours: nats"] == "-90.00"
    assert set(table.loc["RCV1", "ours: nats"]) == {"–"}
    assert len(table) == 44 + 11  # Table 2, and the fixed support twice


def test_impossible_number_of_the_paper_is_remarked():
    runs = seeds("dense", [-15.0], dataset="connect4", variant="one setting")
    runs[0].environment["ceilings"]["test"] = -10.77
    table = tables.beside_table_2(tables.outcomes(runs), runs)
    remarks = table.set_index(["dataset", "paper's model"])["remark"]
    assert remarks["Connect4", "RBM"].startswith("the paper's is impossible")
    assert not remarks["Connect4", "XBM"].startswith("the paper's")


def test_links_of_table_2_are_eight_and_seven_point_seven():
    """.7 · 11 for SET but in one row, where digits may be swapped; 8 throughout."""
    counts = tables.link_counts()
    assert len(counts) == 11 and (counts["RBM_FixProb"] == 8).all()
    usual = counts["SET-RBM"].drop("CalTech 101 Silhouettes 16x16")
    assert usual.to_numpy() == pytest.approx(7.7, abs=2e-3)


@pytest.mark.parametrize(
    ("short", "se", "apart"),
    [(-80.0, 0.1, True), (-84.9, 0.1, False), (-88.0, 0.1, False), (-80.0, 3.0, False)],
    ids=["both agree", "short too near", "short disagrees", "too rough"],
)
def test_differences_are_told_apart_by_both_schedules(short, se, apart):
    runs = seeds("set", -80 + NOISE, short=short, se=se) + seeds("fixed", -85 + NOISE, se=se)
    (row,) = tables.ranked(tables.outcomes(runs)).to_dict("records")
    assert row["told apart"] == apart
    assert row["nats"] == pytest.approx(5) and row["n"] == 5


def test_differences_are_paired_by_seed():
    runs = [record("set", 0, -80.0), record("set", 1, -70.0)]
    runs += [record("fixed", 1, -75.0), record("fixed", 2, -20.0)]
    (row,) = tables.ranked(tables.outcomes(runs)).to_dict("records")
    assert (row["nats"], row["n"]) == (5, 1) and math.isnan(row["low"])


def test_curves_have_a_panel_a_setting():
    runs = [record("set", curve=(-90, -85), cd_steps=3), record("dense", variant="tried")]
    runs.append(record("dense", curve=(-90, -86, -84), variant="long", epochs=3))
    desired = {
        "dataset": ["CD-3"] * 2,
        "setting": ["250 hidden"] * 2,
        "method": ["set"] * 2,
        "seed": [0, 0],
        "epoch": [1, 2],
        "test": [-90, -85],
    }
    pd.testing.assert_frame_equal(tables.curves(runs), pd.DataFrame(desired), check_dtype=False)
    assert tables.curves(runs, "long")["test"].tolist() == [-90, -86, -84]
