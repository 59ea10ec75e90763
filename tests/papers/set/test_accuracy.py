"""Recipes for accuracy: each changes what its name says, for all methods, and sees no test."""

import dataclasses

import pandas as pd
import pytest

from lib.papers.set import accuracy, experiments
from lib.papers.set.training import RegularisedTraining
from lib.papers.shared.sparse_training import SparseTraining
from lib.runs.record import Record


def record(recipe, method, valid):
    run = RegularisedTraining("accuracy_tuning", dataset="mnist", method=method, variant=recipe)
    return Record(run, pd.DataFrame({"valid_accuracy": [0.5, valid]}), {}, {"final": {}})


def test_gains_are_points_above_the_method_as_tuned():
    records = [
        record(experiments.TUNED, "set", 0.9),
        record("labels softened", "set", 0.92),
        record("labels softened", "dense", 0.95),
    ]
    table = accuracy.gains(records).set_index(["method", "recipe"])["gain"]
    assert table["set", "labels softened"] == pytest.approx(2)
    assert pd.isna(table["dense", "labels softened"])
    assert "92.00 (+2.00)" in accuracy.beside_each_other(accuracy.gains(records)).to_numpy()


def test_gains_of_every_method_stand_by_recipe_with_intervals_over_seeds():
    records = []
    for seed, tuned, softened in ((0, 0.90, 0.92), (1, 0.91, 0.92)):
        for recipe, valid in ((experiments.TUNED, tuned), ("labels softened", softened)):
            made = record(recipe, "rigl", valid)
            records.append(
                dataclasses.replace(made, config=dataclasses.replace(made.config, seed=seed))
            )
    records.append(record("labels softened", "dense", 0.95))  # not run as tuned: no gain
    (row,) = accuracy.gap_rows(accuracy.gains(records)).to_dict("records")
    assert (row["dataset"], row["name"], row["series"]) == ("mnist", "labels softened", "RigL")
    assert (row["value"], row["n"]) == (pytest.approx(1.5), 2)
    half = 12.706 * 0.5  # t-quantile, one degree of freedom, times the standard error of 2 and 1
    assert [row["low"], row["high"]] == pytest.approx([1.5 - half, 1.5 + half], rel=1e-3)
    assert accuracy.gap_rows(accuracy.gains([])).empty


def outcome(recipe, seed, accuracies):
    fields = {"dataset": "mnist", "method": "rigl", "seed": seed}
    if recipe == experiments.TUNED:
        run = SparseTraining("adaptive_topology_1568", variant="tuned", **fields)
    else:
        run = RegularisedTraining("accuracy_by_recipe", variant=recipe, **fields)
    return Record(run, pd.DataFrame({"test_accuracy": accuracies}), {}, {"final": {}})


def test_recipes_are_paired_by_seed_with_the_method_as_tuned():
    records = [
        outcome(experiments.TUNED, 0, [0.91, 0.90]),
        outcome(experiments.TUNED, 1, [0.92, 0.93]),
        outcome(experiments.TOGETHER, 0, [0.91, 0.92]),
        outcome(experiments.TOGETHER, 1, [0.95, 0.94]),
        outcome(experiments.TOGETHER, 2, [0.95, 0.99]),
    ]
    table = accuracy.outcomes(records)
    assert table["value"].to_list() == pytest.approx([90, 93, 92, 94, 99])
    (row,) = accuracy.above_tuned(table).to_dict("records")
    contrast = f"{experiments.TOGETHER} − {experiments.TUNED}"
    assert (row["network"], row["contrast"], row["n"]) == ("RigL", contrast, 2)
    assert row["value"] == pytest.approx(1.5)
