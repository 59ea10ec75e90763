"""Attacks of minimal norm against the exact distances of affine classifiers, and foolbox."""

from functools import partial

import pytest
import torch

from lib.robustness import attacks
from tests.robustness.attacks.cases import (
    MINIMAL,
    affine,
    each_minimal,
    exact_distances,
    foolbox,
    from_foolbox,
    near_the_middle,
    seeded,
    succeeded,
    with_seed,
)


@pytest.mark.parametrize(("norm", "dual"), [("l2", 2), ("linf", 1)])
def test_deepfool_is_exact_but_for_the_overshoot_on_an_affine_classifier(norm, dual):
    model = affine()
    x, y = near_the_middle(model)
    x_adv = attacks.deepfool(model, x, y, norm=norm, overshoot=0.02)
    actual = attacks.distance(x_adv, x, norm)
    desired = 1.02 * exact_distances(model, x, y, dual)
    torch.testing.assert_close(actual, desired, rtol=1e-3, atol=1.1e-5)
    assert attacks.is_adversarial(model, x_adv, y).all()


@pytest.mark.parametrize("shift", [0, -1000])  # all logits negative
def test_carlini_wagner_is_within_a_percent_of_the_affine_optimum(shift):
    model = affine(shift=shift)
    x, y = near_the_middle(model)
    x_adv = attacks.carlini_wagner(model, x, y, steps=300)
    assert attacks.is_adversarial(model, x_adv, y).all()
    ratio = attacks.distance(x_adv, x, "l2") / exact_distances(model, x, y, 2)
    assert ratio.min() >= 1 - 1e-9 and ratio.max() <= 1.01


def test_boundary_attack_comes_near_the_affine_optimum():
    model = affine()
    x, y = near_the_middle(model)
    x_adv = attacks.boundary(model, x, y, steps=3000, generator=seeded())
    assert attacks.is_adversarial(model, x_adv, y).all()
    ratio = attacks.distance(x_adv, x, "l2") / exact_distances(model, x, y, 2)
    assert ratio.min() >= 1 - 1e-9 and ratio.median() <= 1.05


def test_confidence_is_reached():
    model = affine()
    x, y = near_the_middle(model)
    x_adv = attacks.carlini_wagner(model, x, y, steps=200, confidence=2.0)
    assert (attacks.margin(model(x_adv), y) >= 2 - 1e-9).all()


@each_minimal
def test_minimal_attacks_return_an_adversarial_point_or_the_example(small, name):
    model, x, y = small
    x_adv = MINIMAL[name](model, x, y)
    moved = attacks.distance(x_adv, x, "linf") > 0
    broken = attacks.is_adversarial(model, x_adv, y)
    assert torch.equal(moved[3:], broken[3:]) and moved[3:].all()


@pytest.mark.parametrize(
    ("ours", "theirs", "norm"),
    [
        (
            attacks.deepfool,
            foolbox.attacks.L2DeepFoolAttack(candidates=None),
            "l2",
        ),
        (
            partial(attacks.deepfool, norm="linf"),
            foolbox.attacks.LinfDeepFoolAttack(candidates=None),
            "linf",
        ),
        (
            partial(attacks.carlini_wagner, steps=200),
            foolbox.attacks.L2CarliniWagnerAttack(steps=200),
            "l2",
        ),
        (
            with_seed(attacks.boundary, steps=500),
            foolbox.attacks.BoundaryAttack(steps=500),
            "l2",
        ),
    ],
    ids=["deepfool", "deepfool_linf", "carlini_wagner", "boundary"],
)
def test_minimal_attacks_come_as_close_as_those_of_foolbox(trained, ours, theirs, norm):
    net, x, y = trained
    right = ~attacks.is_adversarial(net, x, y) & (torch.arange(len(x)) < 60)
    trained = net, x[right], y[right]
    x_adv = ours(*trained)
    assert succeeded(x_adv, trained) == 1
    desired = attacks.distance(from_foolbox(theirs, trained), x[right], norm).median()
    assert attacks.distance(x_adv, x[right], norm).median() <= 1.02 * desired
