"""Growth rules: each with the course that was chosen and with the other, and at four densities."""

import dataclasses

import pytest

from lib.papers.set import growth
from lib.papers.shared.methods import GROWTH
from lib.runs.experiment import PROFILES


@pytest.mark.parametrize("profile", PROFILES)
def test_growth_rules_are_compared_with_a_fixed_support(profile):
    runs = growth.growth_rules(profile)
    assert {run.method for run in runs} == {*GROWTH, "fixed"}
    assert {run.density for run in runs} == {0.01}
    assert {run.drop is None for run in runs if run.method == "fixed"} == {True}


@pytest.mark.parametrize("profile", PROFILES)
def test_other_course_is_that_which_was_not_chosen(profile):
    chosen = [run for run in growth.growth_rules(profile) if run.drop is not None]
    others = growth.other_decay(profile)
    assert len(others) == len(chosen) > 0
    for run, other in zip(chosen, others, strict=True):
        assert {run.decay, other.decay} == {"constant", "cosine"}
        assert other.variant == other.decay and other.experiment == "other_decay"
        same = {"experiment": run.experiment, "decay": run.decay, "variant": run.variant}
        assert dataclasses.replace(other, **same) == run
        if run.stand_in is not None:
            assert other.stand_in.decay == growth.OTHER[run.stand_in.decay]


@pytest.mark.parametrize("profile", PROFILES)
def test_densities_are_tried_with_both_rules(profile):
    runs = growth.densities(profile)
    pairs = {(run.density, run.method) for run in runs}
    assert pairs == {(d, m) for d in growth.DENSITIES[profile] for m in ("set", "rigl")}
    assert {run.epochs for run in runs} == {growth.DENSITIES_EPOCHS[profile]}
