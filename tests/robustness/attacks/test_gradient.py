"""Gradient attacks against exact distances, each other and foolbox."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib.robustness import attacks
from lib.robustness.attacks import iterates
from tests.robustness.attacks.cases import (
    affine,
    exact_distances,
    foolbox,
    from_foolbox,
    near_the_middle,
    seeded,
    succeeded,
)


@pytest.mark.parametrize(
    ("attack", "loss", "norm", "dual", "quantile"),
    [
        (attacks.pgd, "ce", "linf", 1, 0.1),
        (attacks.pgd, "dlr", "l2", 2, 0.5),
        (attacks.pgd, "margin", "linf", 1, 0.9),
        (attacks.apgd, "ce", "l2", 2, 0.9),
        (attacks.apgd, "dlr", "linf", 1, 0.5),
        (attacks.apgd, "margin", "l2", 2, 0.1),
    ],
)
def test_robust_accuracy_is_exact_on_an_affine_classifier(attack, loss, norm, dual, quantile):
    model = affine(n_classes=3)
    x, y = near_the_middle(model, n=60)
    distances = exact_distances(model, x, y, dual)
    radius = distances.quantile(quantile).item()
    clear = (distances / radius - 1).abs() > 0.02
    settings = {"radius": radius, "norm": norm, "loss": loss, "restarts": 3}
    x_adv = attack(model, x, y, generator=seeded(), **settings)
    broken = attacks.is_adversarial(model, x_adv, y)
    assert clear.sum() >= 50
    assert torch.equal(broken[clear], distances[clear] < radius)


@pytest.mark.parametrize(("scale", "quantile"), [(1, 0.2), (1000, 0.8)])  # 1000: it saturates
@pytest.mark.parametrize("attack", [attacks.fgsm, partial(attacks.pgd, generator=seeded())])
def test_fgsm_and_pgd_are_optimal_on_a_binary_affine_classifier(attack, scale, quantile):
    model = affine(n_classes=2, scale=scale)
    x, y = near_the_middle(model, n=100)
    distances = exact_distances(model, x, y, 1)
    radius = distances.quantile(quantile).item()
    x_adv = attack(model, x, y, radius=radius)
    clear = (distances / radius - 1).abs() > 1e-3
    broken = attacks.is_adversarial(model, x_adv, y)
    assert torch.equal(broken[clear], distances[clear] < radius)


@pytest.mark.parametrize(("factor", "desired"), [(0.95, 0), (1.05, 6)])
def test_apgd_breaks_just_beyond_the_exact_distance(relu_network, factor, desired):
    net, x, y, exact = relu_network
    assert 0.01 < min(exact) and max(exact) < 1
    generator = seeded()
    attack = partial(attacks.apgd, net, restarts=10, steps=50, loss="margin", generator=generator)
    points = []
    for example, label, radius in zip(x.split(1), y.split(1), exact, strict=True):
        points.append(attack(example, label, radius=factor * radius))
    assert attacks.is_adversarial(net, torch.cat(points), y).sum() == desired


def test_attack_without_early_stop_goes_on_to_a_higher_loss():
    model = affine()
    x, y = near_the_middle(model)
    attack = partial(attacks.pgd, model, x, y, radius=0.3, steps=20)
    first = attack(generator=seeded())
    best = attack(generator=seeded(), early_stop=False)
    first_loss = attacks.log_odds(model(first), y).detach()
    best_loss = attacks.log_odds(model(best), y).detach()
    assert attacks.is_adversarial(model, best, y).all() and (best_loss >= first_loss).all()
    assert (best_loss > first_loss + 1).float().mean() > 0.5


@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.05), ("l2", 0.25)])
def test_fgsm_and_pgd_break_as_much_as_those_of_foolbox(trained, norm, radius):
    net, x, y = trained
    fast = {
        "linf": foolbox.attacks.LinfFastGradientAttack,
        "l2": foolbox.attacks.L2FastGradientAttack,
    }
    slow = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}
    desired = succeeded(from_foolbox(fast[norm](), trained, radius), trained)
    x_adv = attacks.fgsm(net, x, y, radius=radius, norm=norm)
    assert succeeded(x_adv, trained) >= desired - 0.01
    theirs = slow[norm](steps=40, abs_stepsize=radius / 10)
    desired = succeeded(from_foolbox(theirs, trained, radius), trained)
    x_adv = attacks.pgd(net, x, y, radius=radius, norm=norm, steps=40, generator=seeded())
    assert succeeded(x_adv, trained) >= desired - 0.01


@pytest.mark.parametrize("attack", [attacks.apgd, attacks.pgd])
def test_dlr_of_two_classes_is_refused(attack):
    model = affine(n_classes=2)
    x, y = near_the_middle(model)
    with pytest.raises(ValueError, match="loss 'dlr' of 2 logits is undefined"):
        attack(model, x, y, radius=0.1, loss="dlr", generator=seeded())


def margin_and_gradient(model, x, y):
    x = x.clone().requires_grad_()
    z = model(x[None])[0]
    margin = max(z[k] for k in range(len(z)) if k != y) - z[y]
    margin.backward()
    return margin.item(), x.grad


def in_ball(z, x, radius, norm):
    delta = z - x
    if norm == "linf":
        delta = delta.clamp(-radius, radius)
    elif delta.norm() > radius:
        delta = radius * delta / delta.norm()
    return (x + delta).clamp(0, 1)


def auto_pgd(model, x, y, start, radius, norm, n):
    """Algorithm 1 of [Croce2020a] on the margin, for one example: the best of the points 0 to n, or
    the first adversarial one. As in the authors' code the best point takes the place of that of the
    checkpoint, in the paper's listing of the next.
    """
    percents = [0, 22]  # the checkpoints
    while percents[-1] < 100:
        percents.append(percents[-1] + max(percents[-1] - percents[-2] - 3, 6))
    checkpoints = [math.ceil(percent * n / 100) for percent in percents]
    eta, points, losses, rises = 2 * radius, [start], [], []
    best, best_before, was_halved = (-math.inf, None, None), None, True
    for k in range(n + 1):
        f, grad_x = margin_and_gradient(model, points[k], y)
        if f > 0:
            return points[k]
        if k > 0:
            rises.append(f > losses[-1])
        if f > best[0]:
            best = f, points[k], grad_x
        if k in checkpoints[1:]:
            since = k - checkpoints[checkpoints.index(k) - 1]
            seldom_rose = sum(rises[-since:]) < 0.75 * since
            was_halved = seldom_rose or (not was_halved and best_before == best[0])
            best_before = best[0]
            if was_halved:
                eta = eta / 2
                f, points[k], grad_x = best
        losses.append(f)
        direction = grad_x.sign() if norm == "linf" else F.normalize(grad_x, dim=0)
        z = in_ball(points[k] + eta * direction, x, radius, norm)
        if k > 0:
            z = points[k] + 0.75 * (z - points[k]) + 0.25 * (points[k] - points[k - 1])
        points.append(in_ball(z, x, radius, norm))
    return best[1]


@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.05), ("l2", 0.15)])
def test_auto_pgd_is_the_algorithm_of_its_paper(norm, radius):
    model = nn.Sequential(nn.Linear(10, 20), nn.Tanh(), nn.Linear(20, 4)).eval()
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=seeded(parameter.numel()))
    x = torch.rand(10, 10, generator=seeded(7))
    y = model(x).argmax(1)
    settings = {"radius": radius, "norm": norm, "loss": "margin", "steps": 30}
    actual = attacks.apgd(model, x, y, generator=seeded(), **settings)
    start = iterates.Ball(radius, norm, (0.0, 1.0)).draw(x, seeded())
    desired = [
        auto_pgd(model, *example, radius, norm, 30) for example in zip(x, y, start, strict=True)
    ]
    torch.testing.assert_close(actual, torch.stack(desired), rtol=0, atol=1e-6)


# some pixels


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_pgd_on_some_pixels_is_exact_on_an_affine_classifier(norm, dual):
    """The distance is that of the classifier that sees these pixels alone."""
    model = affine(n_classes=2)
    x, y = near_the_middle(model, n=60)
    pixels = torch.arange(x.shape[1]) % 3 > 0
    z = model(x).detach()
    margin = (z.gather(1, y[:, None]) - z.gather(1, 1 - y[:, None])).squeeze(1)
    slope = (model.weight[0] - model.weight[1])[pixels].norm(p=dual)
    distances = (margin / slope).detach()
    radius = distances.median().item()
    x_adv = attacks.pgd(
        model, x, y, radius=radius, norm=norm, pixels=pixels, restarts=3, generator=seeded()
    )
    clear = (distances / radius - 1).abs() > 0.02
    broken = attacks.is_adversarial(model, x_adv, y)
    assert torch.equal(broken[clear], distances[clear] < radius)
