"""Recipes of robust training: what they change, that all methods get them, what is measured."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lib.papers import EXPERIMENTS
from lib.papers.adaptive_topology import recipes
from lib.robustness.defences import Adversarial, DropConnect
from lib.runs.config import from_fields
from lib.runs.experiment import PROFILES
from lib.runs.record import Record

RUNS = recipes.configs("paper")
SAME = {  # of all recipes: how the network is made and stepped
    *("hidden", "density", "activation", "start", "optimiser", "batch_size", "schedule"),
    *("momentum", "weight_decay", "drop", "grow", "drop_fraction", "decay", "validation"),
}


def of(recipe, method="rigl", dataset="mnist"):
    wanted = recipe, method, dataset, 0
    (found,) = (r for r in RUNS if (r.variant, r.method, r.dataset, r.seed) == wanted)
    return found


@pytest.mark.parametrize(
    ("recipe", "desired"),
    [
        ("weights averaged", {}),
        ("growth by attacked examples", {"grow_objective": Adversarial(0.1, steps=2)}),
        ("links left out", {"objective": DropConnect(0.5)}),
        ("attacked examples", {"objective": Adversarial(0.1, steps=2)}),
        ("both", {"objective": DropConnect(0.5, Adversarial(0.1, steps=2))}),
    ],
)
def test_recipe_gives_its_objectives(recipe, desired):
    assert of(recipe).objectives() == desired


@pytest.mark.parametrize("recipe", recipes.RECIPES_OF["dense"])
def test_dense_and_sparse_networks_get_the_same_recipe(recipe):
    sparse, dense = of(recipe), of(recipe, "dense")
    assert sparse.objectives() == dense.objectives()
    for name in ("learning_rate", "dropout", "averaging", "epochs", "schedule", "weight_decay"):
        assert getattr(sparse, name) == getattr(dense, name), name


@pytest.mark.parametrize("profile", PROFILES)
def test_radius_is_that_of_the_data_set(profile):
    for run in recipes.configs(profile):
        assert run.adversarial_radius in (0, recipes.TRAINED_RADIUS[run.dataset])


@pytest.mark.parametrize("recipe", recipes.RECIPES)
def test_recipe_changes_nothing_but_what_it_says(recipe):
    (tuned,) = (
        run
        for run in recipes.tuned("paper")
        if (run.method, run.dataset, run.seed) == ("rigl", "mnist", 0)
    )
    run = of(recipe)
    for field in dataclasses.fields(tuned):
        if field.name not in {*recipes.RECIPES[recipe], "variant", "experiment", "epochs"}:
            assert getattr(run, field.name) == getattr(tuned, field.name), field.name
    assert not SAME & {*recipes.RECIPES[recipe]}


def test_what_was_tried_sees_no_test_examples_and_holds_each_choice():
    tried = recipes.tried("paper")
    assert not any(run.evaluate_test for run in tried) and all(run.validation for run in tried)
    for recipe in recipes.TRIED:
        for dataset in ("mnist", "fashion_mnist"):
            chosen = of(recipe, dataset=dataset)
            same = [
                run
                for run in tried
                if run.dataset == dataset
                and run.objectives() == chosen.objectives()
                and run.learning_rate == chosen.learning_rate
                and (run.epochs, run.dropout) == (chosen.epochs, chosen.dropout)
            ]
            assert len(same) == 1, (recipe, dataset)


def summary(accuracy, run=None):
    """A made-up summary of a network that keeps all but a fifth and loses half at .6 removed."""
    run = run or of("links left out")
    (study,) = (s for s in recipes.studies("paper") if s.parent == run)
    rows = [("removal", f, 0, 0.1 + 0.8 * max(0.0, 1 - f / 1.2)) for f in np.linspace(0, 1, 21)]
    metrics = pd.DataFrame(rows, columns=["measure", "strength", "draw", "value"])
    arrays = {
        "clean": np.array([True] * 9 + [False]),
        "removal": np.full(10, 5000, dtype=np.uint16),
        "ensemble linf": np.array([True] * 7 + [False] * 3),
    }
    facts = {"final": {"test_accuracy": accuracy}, "architecture": "784-1000-10"}
    return Record(study, metrics, arrays, facts)


def test_gains_are_read_off_the_summaries():
    found = recipes.gains([summary(0.95)]).set_index("measure")
    assert (found["recipe"] == "links left out").all() and (found["method"] == "rigl").all()
    assert found["value"]["accuracy"] == 0.95 and found["value"]["ensemble"] == 0.7
    assert found["value"]["half fraction"] == pytest.approx(0.6)
    assert found["value"]["removal area"] == pytest.approx((0.5 - 0.1) / (0.9 - 0.1))


def test_accuracy_on_validation_is_that_of_the_images():
    record = summary(None, recipes.tried("paper")[0])
    found = recipes.gains([record]).set_index("measure")
    assert found["value"]["accuracy"] == 0.9
    assert recipes.of_tests([record, summary(0.9)])[0].config.variant == "links left out"


def test_robust_training_is_read_back_from_its_file():
    run = of("both")
    again = from_fields(run.fields_to_write())
    assert again == run and again.name == run.name


def test_every_network_has_its_study():
    parents = [run.parent.name for run in EXPERIMENTS["robust_summary"].runs("paper")]
    networks = [*RUNS, *recipes.tuned("paper"), *recipes.tried("paper")]
    assert sorted(parents) == sorted(run.name for run in networks)
    assert np.unique(parents).size == len(parents)


def test_recipes_are_drawn_as_methods_beside_each_other():
    rows = [("rigl", "tuned"), ("rigl", "weights averaged"), ("dense", "both")]
    curves = pd.DataFrame(rows, columns=["method", "variant"])
    found = recipes.beside_each_other(curves)
    assert list(found["method"]) == ["tuned", "both"] and list(found["panel"]) == ["RigL", "dense"]
    assert set(found["method"]) <= set(recipes.LOOKS)
