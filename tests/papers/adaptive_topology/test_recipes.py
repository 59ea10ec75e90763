"""Recipes of robust training: what they change, that all methods get them, what is measured."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lib.papers import EXPERIMENTS
from lib.papers.adaptive_topology import networks, recipes
from lib.papers.adaptive_topology.readings import half_at
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
        ("averaged weights", {}),
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


def test_plain_recipe_is_the_plain_training():
    run = of("plain")
    plain = networks.shorter("paper")
    twin = next(o for o in plain if (o.method, o.dataset, o.seed) == ("rigl", "mnist", 0))
    desired = dataclasses.replace(twin, epochs=run.epochs).settings()
    assert run.settings() == desired and run.objectives() == {}


def test_robust_training_is_read_back_from_its_file():
    run = of("both")
    again = from_fields(run.fields_to_write())
    assert again == run and again.name == run.name


def test_half_is_where_half_of_the_clean_accuracy_is_left():
    curve = pd.Series([0.9, 0.6, 0.3, 0.1], index=[0, 0.4, 0.6, 1.0])
    assert half_at(0.9, curve) == pytest.approx(0.5)
    assert half_at(0.9, curve + 0.5) == 1.0


def test_experiments_are_known():
    for name in ("make_it_robust", "robust_summary"):
        assert len(EXPERIMENTS[name].runs("paper")) == len(RUNS)
    assert np.unique([run.name for run in RUNS]).size == len(RUNS)
