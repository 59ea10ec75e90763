"""Recipes for accuracy: each changes what its name says, for all methods, and sees no test; without
weight decay nothing else changes.
"""

import dataclasses

import pandas as pd
import pytest

import papers
from lib.report.frames import tidy
from papers.set import experiments
from papers.set.training import RegularisedTraining

WITHOUT = {"experiment": "without_decay", "variant": "no decay", "weight_decay": 0.0}
RUNS = experiments.recipes_tried("paper")


def differences(run, other):
    """The fields in which two runs differ, and the values of the first."""
    fields = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
    return {name: value for name, value in fields.items() if getattr(other, name) != value}


def fields_of(recipe, method, dataset):
    """What a recipe asks for, its parts together."""
    parts = (recipe,)
    if recipe == experiments.TOGETHER:
        parts = experiments.HELPFUL[method, dataset]
    asked = {}
    for part in parts:
        asked |= experiments.RECIPES[part]
    return asked


@pytest.mark.parametrize("method", ["rigl", "set", "fixed", "dense"])
@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_recipe_changes_what_its_name_says_and_nothing_else(method, dataset):
    of_method = {run.variant: run for run in RUNS if (run.method, run.dataset) == (method, dataset)}
    tuned = of_method.pop(experiments.TUNED)
    together = {experiments.TOGETHER} if (method, dataset) in experiments.HELPFUL else set()
    same = {"dropout .3"} if method == "dense" else set()  # was chosen for it
    assert set(of_method) == set(experiments.RECIPES) - {experiments.TUNED} - same | together
    for recipe, run in of_method.items():
        asked = fields_of(recipe, method, dataset)
        asked = {name: value for name, value in asked.items() if getattr(tuned, name) != value}
        if recipe == experiments.LONGER:
            asked["epochs"] = 120
        assert differences(run, tuned) == {"variant": recipe, **asked}


def test_test_images_are_not_seen_and_epochs_are_equal():
    assert all(run.validation == 5000 and not run.evaluate_test for run in RUNS)
    assert {run.epochs for run in RUNS if run.variant != experiments.LONGER} == {60}


def test_dense_networks_take_the_settings_chosen_for_dense():
    (run, *_) = [run for run in RUNS if run.method == "dense"]
    assert run.density is None and (run.learning_rate, run.dropout) == (0.3, 0.3)
    assert run.hidden == (1000, 1000, 1000)  # where they were chosen


@pytest.fixture(scope="module")
def stored():
    """Validation accuracies of the stored records, percent, and what each brings over as tuned."""
    rows = tidy(papers.STORE.records(RUNS)).query("measure == 'valid_accuracy' and epoch == epochs")
    wide = rows.pivot(index=["method", "dataset"], columns="variant", values="value") * 100
    gain = wide.sub(wide[experiments.TUNED], axis=0).stack().rename("gain")
    table = pd.concat([wide.stack().rename("value"), gain], axis=1).round(2)
    return table.reset_index(names=["method", "dataset", "recipe"])


@pytest.mark.parametrize("method, dataset", experiments.HELPFUL)
def test_helpful_recipes_are_those_that_gained_on_stored_validation_images(stored, method, dataset):
    found = stored[(stored["method"] == method) & (stored["dataset"] == dataset)]
    single = found[~found["recipe"].isin([experiments.LONGER, experiments.TOGETHER])]
    assert set(single["recipe"]) == set(experiments.RECIPES) - {experiments.LONGER}
    helpful = single.loc[single["gain"] >= 0.1, "recipe"]
    assert set(experiments.HELPFUL[method, dataset]) == set(helpful)


def test_final_recipes_are_those_of_every_method_that_gained_by_one(stored):
    single = stored[stored["recipe"] != experiments.LONGER]
    gained = single.groupby(["method", "dataset"])["gain"].max() >= 0.1
    assert set(gained.index[gained]) == set(experiments.FINAL)


@pytest.mark.parametrize("method, dataset", experiments.FINAL)
def test_final_recipes_are_the_best_on_stored_validation_images(stored, method, dataset):
    found = stored[(stored["method"] == method) & (stored["dataset"] == dataset)]
    found = found[found["recipe"] != experiments.LONGER].set_index("recipe")["value"]
    best = tuple(found.index[found == found.max()])
    fields = [fields_of(recipe, method, dataset) for recipe in best]
    if any("sharpness" in of_recipe for of_recipe in fields):
        best = (*best, experiments.LONGER)
    assert experiments.FINAL[method, dataset] == best


def test_final_networks_differ_from_those_as_tuned_in_the_recipe_alone():
    wide = papers.EXPERIMENTS["adaptive_topology_1568"].runs("paper")
    found = {(run.dataset, run.method, run.seed): run for run in wide}
    seeds = {}
    for run in experiments.recipes_on_test("paper"):
        tuned = found[run.dataset, run.method, run.seed]
        asked = {"experiment": "accuracy_by_recipe", "variant": run.variant}
        asked |= fields_of(run.variant, run.method, run.dataset)
        if run.variant == experiments.LONGER:
            asked["epochs"] = 300
        assert differences(run, tuned.as_kind(RegularisedTraining)) == asked
        assert run.validation == 0 and run.evaluate_test
        seeds.setdefault((run.dataset, run.variant), set()).add(run.seed)
    assert all(of_recipe == {0, 1, 2, 3, 4} for of_recipe in seeds.values())


@pytest.mark.parametrize("profile", ["smoke", "quick"])
def test_small_final_networks_have_their_like_as_tuned(profile):
    wide = papers.EXPERIMENTS["adaptive_topology_1568"].runs(profile)
    found = {(run.dataset, run.method, run.seed): run.epochs for run in wide}
    runs = experiments.recipes_on_test(profile)
    assert {run.variant for run in runs} == {"sharpness-aware", experiments.LONGER}
    for run in runs:
        times = 2 if run.variant == experiments.LONGER else 1
        assert run.epochs == times * found[run.dataset, run.method, run.seed]
        if run.stand_in is not None:
            assert (run.stand_in.variant, run.stand_in.dataset) == (run.variant, "digits")


def test_every_recipe_trains_otherwise(store):
    runs = [run for run in experiments.recipes_tried("smoke") if run.method == "rigl"]
    small = [run.with_changes({"hidden": (20,), "epochs": 1, "limit": 200}) for run in runs]
    assert len({store.run(run).metrics["train_loss"].iloc[0] for run in small}) == len(runs)


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_every_network_without_decay_has_its_like_with_it(profile):
    with_decay = []
    for experiment in [*experiments.WITH_DECAY, experiments.WIDE]:
        with_decay += papers.EXPERIMENTS[experiment].runs(profile)
    runs = experiments.without_decay(profile)
    assert runs and len(set(runs)) == len(runs)
    for run in runs:
        (like,) = [other for other in with_decay if other.with_changes(WITHOUT) == run]
        assert (like.weight_decay, run.weight_decay) == (2e-4, 0.0)
        found = {field.name for field in dataclasses.fields(run)} - {"stand_in"}
        changed = {name for name in found if getattr(run, name) != getattr(like, name)}
        assert changed == {"experiment", "variant", "weight_decay"}
        if run.stand_in is not None:
            assert (run.stand_in.weight_decay, run.stand_in.dataset) == (0.0, "digits")


def test_paper_profile_has_five_seeds_of_evolving_and_fixed_links_on_both_sets():
    seeds = {}
    for run in experiments.without_decay("paper"):
        place = run.dataset, run.er_epsilon, run.density, run.method
        seeds.setdefault(place, set()).add(run.seed)
    assert all(of_network == {0, 1, 2, 3, 4} for of_network in seeds.values())
    few = {(dataset, method) for dataset, _, density, method in seeds if density == 0.01}
    both = ("mnist", "fashion_mnist")
    assert few == {(dataset, m) for dataset in both for m in ("set", "rigl", "fixed")}
    more = {(dataset, method) for dataset, epsilon, _, method in seeds if epsilon == 20}
    assert more == {(dataset, m) for dataset in both for m in ("set", "fixed")}
