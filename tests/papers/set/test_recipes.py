"""Recipes for accuracy: those chosen gained on validation images."""

import pandas as pd
import pytest

import papers
from lib.report.frames import tidy
from papers.set import experiments

RUNS = experiments.recipes_tried("paper")


def fields_of(recipe, method, dataset):
    """What a recipe asks for, its parts together."""
    parts = (recipe,)
    if recipe == experiments.TOGETHER:
        parts = experiments.HELPFUL[method, dataset]
    asked = {}
    for part in parts:
        asked |= experiments.RECIPES[part]
    return asked


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


def test_every_recipe_trains_otherwise(store):
    runs = [run for run in experiments.recipes_tried("smoke") if run.method == "rigl"]
    small = [run.with_changes({"hidden": (20,), "epochs": 1, "limit": 200}) for run in runs]
    assert len({store.run(run).metrics["train_loss"].iloc[0] for run in small}) == len(runs)
