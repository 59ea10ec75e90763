"""Starts differ in their links alone; what chooses sees no test image."""

from itertools import pairwise

import pytest

from lib._boundary import PROFILES
from papers import EXPERIMENTS
from papers.adaptive_topology.experiments import networks
from papers.frontier import experiments
from papers.shared import trained
from tests.papers.made import differences


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", ["cifar10_start", "cifar10_start_tuning"])
def test_starts_differ_in_their_links_alone(name, profile):
    runs = EXPERIMENTS[name].runs(profile)
    (random, local, shuffled) = (
        next(run for run in runs if run.variant == start) for start in experiments.STARTS
    )
    assert differences(random, local) == {"variant", "reaches"}
    assert differences(local, shuffled) == {"variant", "shuffled"}


def test_methods_differ_in_whether_links_move():
    runs = [
        run
        for run in experiments.on_test("paper")
        if (run.variant, run.seed) == (experiments.LOCAL, 0)
    ]
    assert differences(*runs) == {"method", "drop", "grow", "decay"}


def test_chosen_on_validation_images_and_reported_on_all_training_images():
    tuning, reported = experiments.on_validation("paper"), experiments.on_test("paper")
    assert {(run.validation, run.evaluate_test) for run in tuning} == {(5000, False)}
    assert {(run.validation, run.limit, run.test_images) for run in reported} == {(0, None, None)}
    assert {run.seed for run in reported if run.method == "rigl"} == set(range(5))


@pytest.mark.parametrize("lever", experiments.START_LEVERS)
def test_a_lever_is_one_change_of_the_training_that_it_is_compared_with(lever):
    (usual,) = (
        run
        for run in experiments.on_validation("paper")
        if (run.variant, run.seed, run.learning_rate) == (experiments.LOCAL, 0, 0.1)
    )
    (run,) = (run for run in experiments.levers_of_start("paper") if run.variant == lever)
    assert differences(run, usual) == {"experiment", "variant", *experiments.START_LEVERS[lever]}


@pytest.mark.parametrize("lever", experiments.START_LEVERS)
def test_there_are_more_near_pairs_of_neurons_than_links(lever):
    (run,) = (run for run in experiments.levers_of_start("paper") if run.variant == lever)
    layers = pairwise([channels for channels, *_ in run.grids((3, 32, 32))])
    for (below, above), reach in zip(layers, run.reaches, strict=True):
        near = 32 * (2 * reach + 1) - reach * (reach + 1)  # pairs along one side of the image
        assert below * above * near**2 > run.density * below * above * 1024**2


def test_longer_training_on_all_images_has_the_settings_of_one_that_was_tried():
    tried, reported = experiments.longer_tuning("paper"), experiments.longer_on_test("paper")
    assert {(run.validation, run.evaluate_test, run.epochs) for run in tried} == {
        (5000, False, 200)
    }
    assert [run.seed for run in reported] == list(range(5))
    (same,) = (r for r in tried if (r.variant, r.seed) == (experiments.LONGER_CHOSEN, 0))
    assert differences(reported[0], same) == {"experiment", "validation", "evaluate_test"}
    (usual,) = (
        run
        for run in experiments.on_test("paper")
        if (run.method, run.variant, run.seed) == ("fixed", experiments.LOCAL, 0)
    )
    changed = {"experiment", "variant", "epochs", "averaging"}
    assert differences(reported[0], usual) == changed


def test_networks_have_one_link_in_a_hundred_or_fewer():
    runs = experiments.on_test("paper") + experiments.levers_of_start("paper")
    for run in runs + experiments.longer_tuning("paper") + experiments.longer_on_test("paper"):
        links = [round(run.density * a * b) for a, b in pairwise((3072, *run.hidden))]
        assert sum(links) == pytest.approx(3 * 94372, abs=1) and run.density <= 0.01
        assert sum(links) + 10 * 3072 < 320_000


@pytest.mark.parametrize("profile", PROFILES)
def test_other_degrees_are_all_that_differs_from_the_usual_network(profile):
    usual = networks(profile, ("rigl", "set"))
    usual = {(run.dataset, run.method, run.seed): run for run in usual}
    runs = experiments.start_degrees(profile)
    for run in runs:
        same = usual[run.dataset, run.method, run.seed]
        assert differences(same, run) - {"experiment", "variant"} <= {
            "exponent",
            "inherits",
            "parent",
        }
        assert (run.exponent is None) == (run.parent == same)
    seeds = {run.seed for run in runs}
    assert len(runs) == 2 * len(experiments.DEGREES) * len(seeds)
    assert seeds == set(range(5)) or profile != "paper"


def test_runs_start_with_the_degrees_or_the_links_of_the_end(store):
    (of_degrees, of_links) = (
        run
        for run in experiments.start_degrees("smoke")
        if run.method == "rigl" and run.parent is not None
    )
    shorter = [run.with_changes({"epochs": 1}) for run in (of_degrees, of_links)]
    parent = store.run(shorter[0].parent)
    at_end = degrees_at(parent, "final")
    for run in shorter:
        record = store.run(run)
        assert degrees_at(record, 0) == at_end
        kept = {name for name in record.arrays if experiments.keep_some_degrees(record, name)}
        assert len(kept) == 2 * 3 * 3 and "linear1.in_degree.0" in kept


def degrees_at(record, epoch):
    """Degrees after an epoch, by layer and side."""
    rows = trained.degrees(record).query("epoch == @epoch")
    return {(row.layer, row.side): row.links.tolist() for row in rows.itertuples()}
