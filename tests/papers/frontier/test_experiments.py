"""Starts differ in their links alone; what chooses sees no test image."""

import dataclasses

import pytest

from lib.names import PROFILES
from lib.papers import EXPERIMENTS
from lib.papers.frontier import experiments
from lib.papers.frontier.training import StartTraining


def differences(run, other):
    names = [field.name for field in dataclasses.fields(StartTraining)]
    return {name for name in names if getattr(run, name) != getattr(other, name)} - {"stand_in"}


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


def test_networks_have_one_link_in_a_hundred():
    run = experiments.on_test("paper")[0]
    links = [round(run.density * a * b) for a, b in ((3072, 3072),) * 3]
    assert links == [94372] * 3
    assert sum(links) + 10 * 3072 < 320_000
