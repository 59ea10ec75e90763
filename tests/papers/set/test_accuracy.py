"""Recipes for accuracy: each changes what its name says, for all methods, and sees no test."""

import dataclasses

import pandas as pd
import pytest

from lib import papers
from lib.papers.set import accuracy
from lib.papers.set.regularised import RegularisedTraining
from lib.papers.shared.sparse_training import SparseTraining
from lib.runs.record import Record

RUNS = accuracy.tried("paper")


def differences(run, other):
    """The fields in which two runs differ, and the values of the first."""
    fields = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
    return {name: value for name, value in fields.items() if getattr(other, name) != value}


def fields_of(recipe, method, dataset):
    """What a recipe asks for, its parts together."""
    parts = (recipe,)
    if recipe == accuracy.TOGETHER:
        parts = accuracy.HELPFUL[method, dataset]
    asked = {}
    for part in parts:
        asked |= accuracy.RECIPES[part]
    return asked


@pytest.mark.parametrize("method", ["rigl", "set", "fixed", "dense"])
@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_recipe_changes_what_its_name_says_and_nothing_else(method, dataset):
    of_method = {run.variant: run for run in RUNS if (run.method, run.dataset) == (method, dataset)}
    tuned = of_method.pop(accuracy.TUNED)
    together = {accuracy.TOGETHER} if (method, dataset) in accuracy.HELPFUL else set()
    same = {"dropout .3"} if method == "dense" else set()  # was chosen for it
    assert set(of_method) == set(accuracy.RECIPES) - {accuracy.TUNED} - same | together
    for recipe, run in of_method.items():
        asked = fields_of(recipe, method, dataset)
        asked = {name: value for name, value in asked.items() if getattr(tuned, name) != value}
        if recipe == accuracy.LONGER:
            asked["epochs"] = 120
        assert differences(run, tuned) == {"variant": recipe, **asked}


def test_test_images_are_not_seen_and_epochs_are_equal():
    assert all(run.validation == 5000 and not run.evaluate_test for run in RUNS)
    assert {run.epochs for run in RUNS if run.variant != accuracy.LONGER} == {60}


def test_dense_networks_take_the_settings_chosen_for_dense():
    (run, *_) = [run for run in RUNS if run.method == "dense"]
    assert run.density is None and (run.learning_rate, run.dropout) == (0.3, 0.3)
    assert run.hidden == (1000, 1000, 1000)  # where they were chosen


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"label_smoothing": 1.0}, "label_smoothing = 1.0 is out of range: give one in"),
        ({"sharpness": -0.1}, "sharpness = -0.1 is out of range: give one in"),
        ({"l1": 0.1, "sharpness": 0.1}, "l1 = 0.1 with another objective: give one of them"),
    ],
)
def test_training_that_cannot_be_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        RegularisedTraining("accuracy_tuning", **fields).check()


def record(recipe, method, valid):
    run = RegularisedTraining("accuracy_tuning", dataset="mnist", method=method, variant=recipe)
    return Record(run, pd.DataFrame({"valid_accuracy": [0.5, valid]}), {}, {"final": {}})


def test_gains_are_points_above_the_method_as_tuned():
    records = [
        record(accuracy.TUNED, "set", 0.9),
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
        for recipe, valid in ((accuracy.TUNED, tuned), ("labels softened", softened)):
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
    if recipe == accuracy.TUNED:
        run = SparseTraining("adaptive_topology_1568", variant="tuned", **fields)
    else:
        run = RegularisedTraining("accuracy_by_recipe", variant=recipe, **fields)
    return Record(run, pd.DataFrame({"test_accuracy": accuracies}), {}, {"final": {}})


def test_recipes_are_paired_by_seed_with_the_method_as_tuned():
    records = [
        outcome(accuracy.TUNED, 0, [0.91, 0.90]),
        outcome(accuracy.TUNED, 1, [0.92, 0.93]),
        outcome(accuracy.TOGETHER, 0, [0.91, 0.92]),
        outcome(accuracy.TOGETHER, 1, [0.95, 0.94]),
        outcome(accuracy.TOGETHER, 2, [0.95, 0.99]),
    ]
    table = accuracy.outcomes(records)
    assert table["value"].to_list() == pytest.approx([90, 93, 92, 94, 99])
    (row,) = accuracy.above_tuned(table).to_dict("records")
    contrast = f"{accuracy.TOGETHER} − {accuracy.TUNED}"
    assert (row["network"], row["contrast"], row["n"]) == ("RigL", contrast, 2)
    assert row["value"] == pytest.approx(1.5)


@pytest.fixture(scope="module")
def stored():
    """Validation accuracies of the stored records, and what each brings over as tuned."""
    return accuracy.gains(papers.STORE.records(RUNS)).round(2)


@pytest.mark.parametrize("method, dataset", accuracy.HELPFUL)
def test_helpful_recipes_are_those_that_gained_on_stored_validation_images(stored, method, dataset):
    found = stored[(stored["method"] == method) & (stored["dataset"] == dataset)]
    single = found[~found["recipe"].isin([accuracy.LONGER, accuracy.TOGETHER])]
    assert set(single["recipe"]) == set(accuracy.RECIPES) - {accuracy.LONGER}
    helpful = single.loc[single["gain"] >= accuracy.HELP, "recipe"]
    assert set(accuracy.HELPFUL[method, dataset]) == set(helpful)


def test_final_recipes_are_those_of_every_method_that_gained_by_one(stored):
    single = stored[stored["recipe"] != accuracy.LONGER]
    gained = single.groupby(["method", "dataset"])["gain"].max() >= accuracy.HELP
    assert set(gained.index[gained]) == set(accuracy.FINAL)


@pytest.mark.parametrize("method, dataset", accuracy.FINAL)
def test_final_recipes_are_the_best_on_stored_validation_images(stored, method, dataset):
    found = stored[(stored["method"] == method) & (stored["dataset"] == dataset)]
    found = found[found["recipe"] != accuracy.LONGER].set_index("recipe")["value"]
    best = tuple(found.index[found == found.max()])
    fields = [fields_of(recipe, method, dataset) for recipe in best]
    if any("sharpness" in of_recipe for of_recipe in fields):
        best = (*best, accuracy.LONGER)
    assert accuracy.FINAL[method, dataset] == best


def test_final_networks_differ_from_those_as_tuned_in_the_recipe_alone():
    wide = papers.EXPERIMENTS["adaptive_topology_1568"].runs("paper")
    found = {(run.dataset, run.method, run.seed): run for run in wide}
    seeds = {}
    for run in accuracy.final("paper"):
        tuned = found[run.dataset, run.method, run.seed]
        asked = {"experiment": "accuracy_by_recipe", "variant": run.variant}
        asked |= fields_of(run.variant, run.method, run.dataset)
        if run.variant == accuracy.LONGER:
            asked["epochs"] = 300
        assert differences(run, tuned.as_kind(RegularisedTraining)) == asked
        assert run.validation == 0 and run.evaluate_test
        seeds.setdefault((run.dataset, run.variant), set()).add(run.seed)
    assert all(of_recipe == {0, 1, 2, 3, 4} for of_recipe in seeds.values())


@pytest.mark.parametrize("profile", ["smoke", "quick"])
def test_small_final_networks_have_their_like_as_tuned(profile):
    wide = papers.EXPERIMENTS["adaptive_topology_1568"].runs(profile)
    found = {(run.dataset, run.method, run.seed): run.epochs for run in wide}
    runs = accuracy.final(profile)
    assert {run.variant for run in runs} == {"sharpness-aware", accuracy.LONGER}
    for run in runs:
        times = 2 if run.variant == accuracy.LONGER else 1
        assert run.epochs == times * found[run.dataset, run.method, run.seed]
        if run.stand_in is not None:
            assert (run.stand_in.variant, run.stand_in.dataset) == (run.variant, "digits")


def test_recipes_train_in_smoke(store):
    runs = [run for run in accuracy.tried("smoke") if run.method == "rigl"]
    for run in runs:
        assert store.run(run).metrics["valid_accuracy"].iloc[-1] > 0.2
    assert len({store.run(run).metrics["train_loss"].iloc[0] for run in runs}) == len(runs)
    assert papers.EXPERIMENTS["accuracy_tuning"].configs("smoke")
