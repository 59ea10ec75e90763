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


@pytest.mark.parametrize(("norm", "dual", "loss"), [("l2", 2, "ce"), ("linf", 1, "margin")])
def test_bisected_pgd_is_within_a_percent_of_the_affine_optimum(norm, dual, loss):
    model = affine(n_classes=3)
    x, y = near_the_middle(model)
    settings = {"norm": norm, "loss": loss, "bisections": 12, "steps": 40}
    x_adv = attacks.bisected_pgd(model, x, y, radius=5.0, generator=seeded(), **settings)
    assert attacks.is_adversarial(model, x_adv, y).all()
    ratio = attacks.distance(x_adv, x, norm) / exact_distances(model, x, y, dual)
    assert ratio.min() >= 1 - 1e-9 and ratio.max() <= 1.01


def test_closest_of_ten_bisections_is_the_exact_distance_of_a_relu_network(relu_network):
    net, x, y, exact = relu_network
    attack = partial(attacks.bisected_pgd, net, x, y, norm="linf", loss="margin", radius=1.0)
    points = {seed: attack(bisections=12, generator=seeded(seed)) for seed in range(10)}
    x_adv, _ = attacks.closest(net, x, y, points, "linf")
    assert attacks.is_adversarial(net, x_adv, y).all()
    ratio = attacks.distance(x_adv, x, "linf") / torch.tensor(exact)
    assert ratio.min() >= 1 - 1e-9 and ratio.max() <= 1.01


def test_bisected_pgd_finds_nothing_beyond_its_radius():
    model = affine()
    x, y = near_the_middle(model)
    exact = exact_distances(model, x, y, 2)
    radius = exact.median().item()
    x_adv = attacks.bisected_pgd(model, x, y, radius=radius, generator=seeded())
    distances = attacks.distance(x_adv, x, "l2")
    assert distances.max() <= radius and (distances[exact > radius] == 0).all()
    assert (distances[exact < 0.9 * radius] > 0).all()


def test_bisected_pgd_comes_closer_where_a_larger_ball_had_missed_the_nearest_class():
    """The nearest class lies at .1 on the right. On the left PGD climbs to one beyond the radius,
    and then finds the former in a ball that it had left without a point.
    """
    model = torch.nn.Linear(2, 3).eval()
    model.weight.data = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    model.bias.data = torch.tensor([0.0, -0.6, -0.1])
    x, y = torch.full((40, 2), 0.5), torch.zeros(40, dtype=torch.long)
    settings = {"radius": 0.4, "loss": "margin", "bisections": 12}
    x_adv = attacks.bisected_pgd(model, x, y, generator=seeded(), **settings)
    ratio = attacks.distance(x_adv, x, "l2") / 0.1
    assert ratio.min() >= 1 and ratio.max() <= 1.01


@pytest.mark.parametrize("shift", [0, -1000])  # all logits negative
def test_carlini_wagner_is_within_a_percent_of_the_affine_optimum(shift):
    model = affine(shift=shift)
    x, y = near_the_middle(model)
    x_adv = attacks.carlini_wagner(model, x, y, steps=300)
    assert attacks.is_adversarial(model, x_adv, y).all()
    ratio = attacks.distance(x_adv, x, "l2") / exact_distances(model, x, y, 2)
    assert ratio.min() >= 1 - 1e-9 and ratio.max() <= 1.01


def test_carlini_wagner_of_few_steps_is_stronger_than_one_that_starts_at_the_bounds(trained):
    """With one constant, as torchattacks has it, where pixels of value 0 and 1 start there."""
    net, x, y = trained
    x, y = x[:100], y[:100]
    settings = {"steps": 50, "search_steps": 1, "initial_constant": 1.0}
    ours, theirs = (
        attacks.carlini_wagner(net, x, y, start_margin=margin, **settings)
        for margin in (0.01, 1e-9)
    )
    broken = [attacks.is_adversarial(net, x_adv, y) for x_adv in (ours, theirs)]
    assert broken[0].sum() > broken[1].sum()
    both = broken[0] & broken[1] & ~attacks.is_adversarial(net, x, y)
    distances = [attacks.distance(x_adv, x, "l2")[both] for x_adv in (ours, theirs)]
    assert distances[0].median() <= distances[1].median()


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


FOOLBOX = foolbox.attacks
PAIRS = {
    "deepfool": (attacks.deepfool, FOOLBOX.L2DeepFoolAttack(candidates=None), "l2"),
    "deepfool_linf": (
        partial(attacks.deepfool, norm="linf"),
        FOOLBOX.LinfDeepFoolAttack(candidates=None),
        "linf",
    ),
    "carlini_wagner": (
        partial(attacks.carlini_wagner, steps=100),
        FOOLBOX.L2CarliniWagnerAttack(steps=100),
        "l2",
    ),
    "boundary": (with_seed(attacks.boundary, steps=500), FOOLBOX.BoundaryAttack(steps=500), "l2"),
}


@pytest.mark.parametrize(("ours", "theirs", "norm"), PAIRS.values(), ids=PAIRS)
def test_minimal_attacks_come_as_close_as_those_of_foolbox(trained, ours, theirs, norm):
    net, x, y = trained
    right = ~attacks.is_adversarial(net, x, y) & (torch.arange(len(x)) < 60)
    trained = net, x[right], y[right]
    x_adv = ours(*trained)
    assert succeeded(x_adv, trained) == 1
    desired = attacks.distance(from_foolbox(theirs, trained), x[right], norm).median()
    assert attacks.distance(x_adv, x[right], norm).median() <= 1.02 * desired
