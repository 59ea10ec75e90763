"""Accuracy by the number of links: which runs are compared, and that they end with equal links."""

import dataclasses

import pytest

from lib import models
from papers.frontier import experiments
from tests.papers.made import differences

OF_RULE = {"drop", "grow", "decay", "drop_fraction", "density_schedule", "final_share"}
OF_LINKS = {"density", "er_epsilon", "hidden"}
OF_GRID = {"learning_rate", "weight_decay", "dropout"}


def test_methods_differ_in_their_rule_and_in_what_was_chosen_alone():
    first, *others = (run for run in experiments.links_curve("paper") if run.seed == 0)
    for other in others:
        assert differences(first, other) <= {"method", "variant"} | OF_RULE | OF_LINKS | OF_GRID


def test_every_method_is_tuned_by_the_same_grid_on_validation_images():
    grids = {}
    for run in experiments.links_curve_tuning("paper"):
        assert (run.validation, run.evaluate_test) == (5000, False)
        tried = (run.learning_rate, run.weight_decay, run.dropout, run.seed)
        grids.setdefault(run.method, []).append(tried)
        assert run.epochs == experiments.CURVE_SCALES["paper"]["epochs"]
    assert grids.keys() == experiments.CURVE_RULES.keys()
    assert len(set(grids["fixed"])) == 24 and all(grid == grids["fixed"] for grid in grids.values())


@pytest.mark.parametrize("density", experiments.CURVE_DENSITIES["paper"])
def test_methods_end_with_equal_links(density):
    """The small dense network with the largest width that has no more; at one link in a thousand
    a neuron more is three percent of the links.
    """
    runs = experiments.links_curve("paper")
    links = {}
    for run in runs:
        if run.variant == f"density {density:g}" and run.seed == 0:
            ends = dataclasses.replace(run, density=run.density and run.density * run.final_share)
            links[run.method] = models.count_links(ends.model((784, *run.hidden, 10)))
    small = links.pop("dense_small")
    assert links.keys() == experiments.CURVE_RULES.keys() - {"dense", "dense_small"}
    (sparse,) = set(links.values())
    assert 0.92 * sparse < small <= sparse


def test_number_of_links_falls_to_that_of_the_others(store):
    ends = {}
    for run in experiments.links_curve("smoke"):
        if run.variant == "density 0.05":
            history = store.run(dataclasses.replace(run, epochs=8)).metrics
            ends[run.method] = history["links"].iloc[[0, -1]].to_list()
    assert ends["granet"][1] == ends["rigl"][1] == ends["fixed"][1] == ends["fixed"][0]
    assert ends["granet"][0] > 1.5 * ends["granet"][1]
