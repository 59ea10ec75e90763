"""Recipes of robust training: their objectives and looks."""

import dataclasses

import pytest

from lib.robustness.defences import Adversarial, DropConnect
from papers.adaptive_topology import experiments, labels

RUNS = experiments.robust("paper")


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


@pytest.mark.parametrize("changes", [{"drop": "sign", "grow": "random"}, {"drop": None}], ids=str)
def test_a_radius_of_growth_is_refused_where_no_link_grows_by_gradient(changes):
    static = {"grow": "random", "drop_fraction": 0.3, "decay": "constant"}
    run = dataclasses.replace(of("growth by attacked examples"), **{**static, **changes})
    with pytest.raises(ValueError, match="grow_radius = 0.1 changes nothing"):
        run.check()


def test_every_recipe_that_is_drawn_has_a_look():
    assert set(labels.RECIPES) == {"tuned", *experiments.RECIPES} - {"weights averaged"}
