"""Tables of settings: axes, what differs along them, and the rule for small profiles."""

import papers
from papers.shared.methods import tabled
from papers.shared.tables import SMALL, grid, part
from papers.splash.training import UnitTraining


def test_lists_are_combined_and_tuples_are_values():
    points = grid({"method": ["set", "rigl"], "hidden": (9, 9), "seed": range(2)}, {})
    found = [(point["method"], point["seed"]) for point in points]
    assert found == [("set", 0), ("set", 1), ("rigl", 0), ("rigl", 1)]
    assert {point["hidden"] for point in points} == {(9, 9)}


def test_dicts_have_values_by_method_and_axes_among_them():
    settings = {"method": ["set", "dense"], "seed": {"dense": range(1), "others": range(2)}}
    points = grid({**settings, "epochs": {"dense": 8, "others": 60}}, {})
    found = [(point["method"], point["seed"], point["epochs"]) for point in points]
    assert found == [("set", 0, 60), ("set", 1, 60), ("dense", 0, 8)]


def test_differences_follow_their_value_and_may_widen_an_axis():
    settings = {"variant": ["a", "b"], "seed": [0], "rate": 0.1}
    points = grid(settings, {"variant": {"b": {"rate": 0.3, "seed": [0, 1]}}})
    found = [(point["variant"], point["seed"], point["rate"]) for point in points]
    assert found == [("a", 0, 0.1), ("b", 0, 0.3), ("b", 1, 0.3)]


def test_variant_names_the_settings_of_its_run():
    points = grid({"variant": "rate {rate:g}", "rate": [0.1, 0.3]}, {})
    assert [point["variant"] for point in points] == ["rate 0.1", "rate 0.3"]


def test_small_profiles_follow_the_rule_but_for_their_exceptions():
    paper = {"dataset": ["mnist"], "epochs": 150, "seed": range(5), "dropout": 0.3}
    table = part(paper, smoke={"epochs": 1})
    assert table["paper"] == paper
    assert table["smoke"] == {**SMALL["smoke"], "epochs": 1, "dropout": 0.3}
    assert table["quick"] == {**paper, **SMALL["quick"]}
    assert "smoke" not in part(paper, smoke=None)
    assert part(paper, quick="smoke")["quick"] == part(paper)["smoke"]


def test_runs_have_the_stand_in_of_their_profile_alone():
    table = part({"dataset": ["mnist"], "epochs": 9, "seed": range(2)}, smoke=None)
    (run,) = tabled("x", "quick", table, {"paper": {"seed": [7]}}, kind=UnitTraining)
    assert (run.dataset, run.epochs, run.seed) == ("mnist", 3, 0)
    assert run.stand_in == run.with_changes({"dataset": "digits"})
    paper, smoke = (tabled("x", name, table, kind=UnitTraining) for name in ("paper", "smoke"))
    assert [run.stand_in for run in paper] == [None, None] and smoke == []


def test_one_table_shows_every_setting_of_an_experiment():
    shown = papers.settings("set_mlp")
    rows = shown.table.set_index(["dataset", "method", "variant"])
    row = rows.loc["mnist", "set", "tuned"]
    assert (row["dropout"], row["learning_rate"], row["seeds"]) == ("0.1", "0.3", "0–4")
    assert "drop_fraction 0.3" in shown.line and "drop_fraction" not in rows


def test_rows_of_settings_stand_for_all_runs():
    for name, experiment in papers.EXPERIMENTS.items():
        shown = papers.settings(name, "smoke")
        assert 1 <= len(shown.table) <= len(experiment.runs("smoke")), name
