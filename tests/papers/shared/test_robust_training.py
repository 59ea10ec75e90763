"""Recipes of robust training: what they change, that all methods get them, what is measured."""

import dataclasses

import numpy as np
import pytest

from lib.robustness.defences import Adversarial, DropConnect
from lib.runs.experiment import PROFILES
from papers import EXPERIMENTS
from papers.adaptive_topology import experiments, labels

RUNS = experiments.robust("paper")
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


@pytest.mark.parametrize("recipe", experiments.RECIPES_OF["dense"])
def test_dense_and_sparse_networks_get_the_same_recipe(recipe):
    sparse, dense = of(recipe), of(recipe, "dense")
    assert sparse.objectives() == dense.objectives()
    for name in ("learning_rate", "dropout", "averaging", "epochs", "schedule", "weight_decay"):
        assert getattr(sparse, name) == getattr(dense, name), name


@pytest.mark.parametrize("profile", PROFILES)
def test_radius_is_that_of_the_data_set(profile):
    for run in experiments.robust(profile):
        assert run.adversarial_radius in (0, experiments.TRAINED_RADIUS[run.dataset])


@pytest.mark.parametrize("recipe", experiments.RECIPES)
def test_recipe_changes_nothing_but_what_it_says(recipe):
    (tuned,) = (
        run
        for run in experiments.tuned("paper")
        if (run.method, run.dataset, run.seed) == ("rigl", "mnist", 0)
    )
    run = of(recipe)
    for field in dataclasses.fields(tuned):
        if field.name not in {*experiments.RECIPES[recipe], "variant", "experiment", "epochs"}:
            assert getattr(run, field.name) == getattr(tuned, field.name), field.name
    assert not SAME & {*experiments.RECIPES[recipe]}


def test_what_was_tried_sees_no_test_examples_and_holds_each_choice():
    tried = experiments.recipes_tried("paper")
    assert not any(run.evaluate_test for run in tried) and all(run.validation for run in tried)
    for recipe in experiments.RECIPES_TRIED:
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


@pytest.mark.parametrize("changes", [{"drop": "sign", "grow": "random"}, {"drop": None}], ids=str)
def test_a_radius_of_growth_is_refused_where_no_link_grows_by_gradient(changes):
    static = {"grow": "random", "drop_fraction": 0.3, "decay": "constant"}
    run = dataclasses.replace(of("growth by attacked examples"), **{**static, **changes})
    with pytest.raises(ValueError, match="grow_radius = 0.1 changes nothing"):
        run.check()


def test_every_network_has_its_study():
    parents = [run.parent.name for run in EXPERIMENTS["robust_summary"].runs("paper")]
    networks = [*RUNS, *experiments.tuned("paper"), *experiments.recipes_tried("paper")]
    assert sorted(parents) == sorted(run.name for run in networks)
    assert np.unique(parents).size == len(parents)


def test_every_recipe_that_is_drawn_has_a_look():
    assert set(labels.RECIPES) == {"tuned", *experiments.RECIPES} - {"weights averaged"}
