"""Accuracy by the number of links: methods end with equal links."""

import dataclasses

import pytest

from lib import models
from papers.frontier import experiments


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
