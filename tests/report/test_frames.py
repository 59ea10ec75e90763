"""The tidy frame and what is told from it, on numbers whose answer is known."""

import math

import pandas as pd
import pytest

from lib.report import frames, publishing
from lib.report.claims import against, at_common, intervals, largest, share, smallest
from lib.report.frames import tidy
from lib.report.intervals import Measurement, exact
from lib.report.labels import AXES
from tests.papers.splash.made import studied, trained

CELL = {"dataset": "mnist", "network": "lenet5", "measure": "kept"}


def rows(method, values):
    frame = pd.DataFrame({"seed": range(len(values)), "value": values})
    return frame.assign(method=method, **CELL)


def test_a_study_and_its_network_are_in_the_frame():
    frame = tidy([studied("relu", 0, {"pgd": 0.5}, accuracy=0.8)], "limit")
    values = frame.set_index("measure")["value"]
    assert values.to_dict() == {"pgd": 0.5, "final test_accuracy": 0.8}
    assert set(frame["trained"]) == {"unit_accuracy"} and {*frame["network"]} == {"lenet5"}


def test_an_accuracy_that_was_not_evaluated_is_no_row():
    (accuracy,) = tidy([trained("relu", 0, None), trained("relu", 1, 0.5)]).dropna()["value"]
    assert accuracy == 0.5 and tidy([trained("relu", 0, None)]).empty


def test_what_a_record_says_in_a_list_is_no_row():
    record = trained("relu", 0, 0.5)
    record.environment["final"]["squared_weights"] = [1.0, 2.0]
    assert set(tidy([record])["measure"]) == {"final test_accuracy"}


def test_without_records_there_is_a_frame_without_rows():
    assert {*AXES, "measure", "value"} <= {*tidy([])} and tidy([]).empty


def test_rows_are_those_of_the_metrics_with_what_names_their_network():
    frame = frames.rows([studied("relu", 0, {"pgd": 0.5}), studied("splash", 1, {"pgd": 0.6})])
    assert frame[["method", "seed", "measure", "value"]].values.tolist() == [
        ["relu", 0, "pgd", 0.5],
        ["splash", 1, "pgd", 0.6],
    ]
    assert frames.rows([]).empty and {"trained", "dataset"} <= {*frames.rows([])}


def test_columns_of_the_metrics_are_not_taken_for_what_names_the_network():
    record = studied("relu", 0, {"pgd": 0.5})
    record.metrics["seed"] = 7
    (row,) = frames.rows([record]).to_dict("records")
    assert (row["seed"], row["own seed"]) == (0, 7)


def test_groups_without_a_name_are_refused():
    frame = rows("relu", [1.0, 2.0, 3.0]).assign(network=None)
    with pytest.raises(ValueError, match="column 'network' has empty cells"):
        intervals(frame, ["dataset", "network"])
    with pytest.raises(ValueError, match="column 'network' has empty cells"):
        at_common(frame, "seed", "value", "relu", "splash")


def test_member_of_few_seeds_leaves_a_count_decided():
    values = {"a": [1.0, 1.1, 1.2], "b": [2.0, 2.1, 2.2, 2.3], "c": [1.0]}
    frame = pd.concat([rows("splash", of).assign(dataset=name) for name, of in values.items()])
    found = share(intervals(frame, ["dataset"]), ">", 0, total=4)
    assert (found.value, found.low, found.high, found.n) == (3, 2, 4, 3)
    assert found.unrun  # a fourth member, and a bound of the third
    whole = share(intervals(frame.query("dataset != 'c'"), ["dataset"]), ">", 0, total=2)
    assert not whole.unrun
    assert share(intervals(frame.query("dataset != 'b'"), ["dataset"]), ">", 0, total=2).unrun
    alone = share(intervals(frame.query("dataset == 'c'"), ["dataset"]), ">", 0, total=4)
    assert (alone.low, alone.high, alone.n) == (0, 4, 1)


def test_differences_are_paired_by_seed():
    frame = pd.concat([rows("relu", [1.0, 2.0, 3.0]), rows("splash", [2.0, 4.0])])
    gaps = against(frame, "relu")
    assert gaps["value"].tolist() == [1, 2] and gaps["base"].tolist() == [1, 2]
    found = intervals(gaps, ["method"])
    assert found["value"].tolist() == [1.5] and largest(found) == smallest(found)


def test_differences_keep_the_order_of_categories():
    frame = pd.concat([rows("relu", [1.0]), rows("swish", [2.0]), rows("elu", [3.0])])
    kind = pd.CategoricalDtype(["swish", "relu", "elu"], ordered=True)
    gaps = against(frame.astype({"method": kind}), "relu")
    assert gaps["method"].dtype == kind and set(gaps["method"]) == {"swish", "elu"}


def test_two_rows_of_a_seed_are_refused_where_an_interval_would_count_both():
    frame = pd.concat([rows("splash", [1.0, 2.0, 3.0])] * 9)
    with pytest.raises(ValueError, match="two numbers where one is expected, at .*'seed': 0"):
        intervals(frame, ["method"])
    assert intervals(frame.drop(columns="seed"), ["method"])["n"].item() == 27


def test_extreme_of_joined_tables_names_its_own_member():
    one, other = (
        intervals(rows("splash", values).assign(dataset=name), ["dataset"])
        for name, values in {"mnist": [1.0, 1.1, 1.2], "cifar10": [2.0, 2.1, 2.2]}.items()
    )
    joined, at = pd.concat([one, other]), {"dataset": str}
    assert largest(joined, at).at == "cifar10" and smallest(joined, at).at == "mnist"


def test_extreme_has_an_unknown_bound_where_a_member_has():
    table = intervals(rows("splash", [1.0, 1.1, 1.2]), ["method"])
    unknown = pd.concat([table, table.assign(low=math.nan, high=math.nan)])
    found = smallest(unknown)
    assert math.isnan(found.low) and math.isnan(found.high) and found.value == pytest.approx(1.1)


def test_quantities_without_randomness_have_no_number_of_seeds():
    found = intervals(rows("splash", [1.0]), ["method"], estimate=lambda rows, level: exact(2.0))
    assert largest(found) == exact(2.0) and share(found, ">", 0, total=1).n is None
    seeds = intervals(rows("relu", [1.0, 2.0, 3.0]), ["method"])
    assert largest(pd.concat([found, seeds])).n == 3


def test_empty_keys_are_kept_where_rows_become_one():
    table = pd.DataFrame({"density": [0.1, None], "seed": 0, "draw": 0, "value": [1.0, 2.0]})
    assert frames.mean_over(table, "draw")["value"].tolist() == [1, 2]
    assert frames.over_seeds(table.drop(columns="draw"))["mean"].tolist() == [1, 2]


def test_more_intervals_together_are_wider():
    gaps = against(
        pd.concat([rows("relu", [1.0, 2.0, 3.0]), rows("splash", [2.0, 4.0, 5.0])]), "relu"
    )
    one, many = (intervals(gaps, ["method"], family=n)["low"].item() for n in (1, 9))
    assert many < one


def test_another_estimate_than_the_mean_has_no_p_of_the_mean():
    def median(rows, level):
        return Measurement(rows["value"].median(), 0.5, 3.5, len(rows))

    frame = rows("splash", [1.0, 2.0, 3.0])
    found = intervals(frame, ["method"], estimate=median)
    assert found["value"].item() == 2 and found[["p", "p_holm"]].isna().all(axis=None)
    assert intervals(frame, ["method"])[["p", "p_holm"]].notna().all(axis=None)


@pytest.mark.parametrize(("at", "place", "value"), [(1.0, 3.0, 0.5), (0.5, 2.5, 0.25)])
def test_curves_are_read_where_both_have_a_point(at, place, value):
    frame = pd.DataFrame({"x": [1, 3, 2, 4], "kept": [0.0, 1.0, 0.5, 0.5], "seed": 0})
    frame = frame.assign(method=["splash", "splash", "relu", "relu"], **CELL)
    (found,) = at_common(frame, "x", "kept", "splash", "relu", at=at).to_dict("records")
    assert (found["at"], found["value"]) == (place, pytest.approx(value))
    again = pd.concat([frame, frame.assign(kept=frame["kept"] + 2 * (frame["method"] == "splash"))])
    (mean,) = at_common(again, "x", "kept", "splash", "relu", at=at)["value"]
    assert mean == pytest.approx(value + 1)
    frame["x"] += 9 * (frame["method"] == "relu")
    assert at_common(frame, "x", "kept", "splash", "relu").empty


def test_training_records_have_their_epochs_in_the_frame():
    record = trained("relu", 0, 0.9)
    record.metrics = pd.DataFrame({"epoch": [1, 2], "test_accuracy": [0.8, 0.9]})
    frame = tidy([record]).query("measure == 'test_accuracy'")
    assert frame["value"].tolist() == [0.8, 0.9] and frame["epoch"].tolist() == [1, 2]


@pytest.mark.parametrize("table", [frames.tidy, frames.rows])
def test_field_of_a_study_is_a_column_and_one_that_neither_has_is_refused(table):
    record = studied("relu", 0, {"pgd": 0.5})
    found = table([record], "radii", "learning_rate")
    assert found["radii"].iloc[0] == record.config.radii
    assert found["learning_rate"].iloc[0] == record.config.parent.learning_rate
    with pytest.raises(ValueError, match="unknown field 'cd_steps'"):  # of another kind of run
        table([record], "cd_steps")


@pytest.mark.parametrize("table", [frames.tidy, frames.rows])
def test_field_that_no_run_has_is_refused_and_a_known_column_not_repeated(table):
    record = studied("relu", 0, {"pgd": 0.5})
    with pytest.raises(ValueError, match="unknown field 'learning_rat': did you mean 'learning_ra"):
        table([record], "learning_rat")
    assert list(table([record], "limit", "epochs", "limit")) == list(table([record], "limit"))


def test_two_numbers_of_a_seed_are_refused_where_seeds_are_counted(monkeypatch):
    table = pd.DataFrame({"method": "set", "seed": [0, 0], "value": [1.0, 3.0]})
    with pytest.raises(ValueError, match="two numbers where one is expected, at .*'seed': 0"):
        frames.over_seeds(table)
    monkeypatch.setattr(publishing, "_current", {"profile": "smoke"})
    assert frames.over_seeds(table)["n"].tolist() == [2]


def test_mean_sd_and_n_over_seeds():
    table = pd.DataFrame({"method": "set", "seed": [0, 1, 2], "value": [1.0, 3.0, math.nan]})
    (row,) = frames.over_seeds(table).to_dict("records")
    assert row == {"method": "set", "mean": 2, "sd": pytest.approx(2**0.5), "n": 2}


def test_frame_in_order_sorts_methods_as_legends_do_and_finds_a_fraction_by_its_number():
    table = pd.DataFrame({"method": ["dense", "set"], "dataset": "mnist", "strength": 0.1 * 3})
    table["fine"] = 0.123
    ordered = frames.in_order(table).query("strength == 0.3").sort_values("method")
    assert ordered["method"].tolist() == ["set", "dense"] and {*ordered["fine"]} == {0.123}
