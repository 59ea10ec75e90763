"""Recipes of robust training: what they change, that all methods get them, what is measured."""

import dataclasses

import numpy as np
import pytest

from lib.papers import EXPERIMENTS
from lib.papers.adaptive_topology import recipes
from lib.robustness.defences import Adversarial, DropConnect
from lib.runs.config import from_fields
from lib.runs.experiment import PROFILES

RUNS = recipes.configs("paper")


def of(recipe, method="rigl", dataset="mnist"):
    wanted = recipe, method, dataset, 0
    found = [run for run in RUNS if (run.variant, run.method, run.dataset, run.seed) == wanted]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("recipe", "desired"),
    [
        ("plain", {}),
        ("weights not averaged", {}),
        ("growth by attacked examples", {"grow_objective": Adversarial(0.1, steps=2)}),
        ("links left out", {"objective": DropConnect(0.5)}),
        ("attacked examples", {"objective": Adversarial(0.1, steps=2)}),
        ("both", {"objective": DropConnect(0.5, Adversarial(0.1, steps=2))}),
    ],
)
def test_recipe_gives_its_objectives(recipe, desired):
    assert of(recipe).objectives() == desired


@pytest.mark.parametrize("recipe", recipes.MAIN)
def test_dense_and_sparse_networks_get_the_same_recipe(recipe):
    sparse, dense = of(recipe), of(recipe, "dense")
    assert sparse.objectives() == dense.objectives() and sparse.epochs == dense.epochs


@pytest.mark.parametrize("profile", PROFILES)
def test_radius_is_that_of_the_data_set(profile):
    for run in recipes.configs(profile):
        assert run.adversarial_radius in (0, recipes.TRAINED_RADIUS[run.dataset])


@pytest.mark.parametrize("recipe", recipes.RECIPES)
def test_recipe_changes_nothing_else(recipe):
    plain, run = of("plain"), of(recipe)
    changed = {*recipes.RECIPES[recipe], "variant"}
    for field in dataclasses.fields(plain):
        same = getattr(run, field.name) == getattr(plain, field.name)
        assert same == (field.name not in changed) or recipe == "plain"


@pytest.mark.parametrize("method", ["set", "dense"])
def test_methods_are_trained_with_the_same_settings(method):
    names = ("learning_rate", "dropout", "averaging", "epochs", "schedule", "weight_decay")
    ours, theirs = of("plain"), of("plain", method)
    assert [getattr(ours, name) for name in names] == [getattr(theirs, name) for name in names]


def test_robust_training_is_read_back_from_its_file():
    run = of("both")
    again = from_fields(run.fields_to_write())
    assert again == run and again.name == run.name


def test_experiments_are_known():
    for name in ("make_it_robust", "robust_summary"):
        assert len(EXPERIMENTS[name].runs("paper")) == len(RUNS)
    assert np.unique([run.name for run in RUNS]).size == len(RUNS)
