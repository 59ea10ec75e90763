"""Attacks against exact minimal distances, brute force, each other and foolbox."""

import copy
import itertools
import math
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from lib import attacks, data, models, train

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of SciPy's, in foolbox
    import foolbox


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def affine(n_classes=10, n_in=64, scale=1.0, shift=0.0):
    """An affine classifier, its weights and its biases."""
    model = nn.Linear(n_in, n_classes)
    model.weight.data = scale * torch.randn(n_classes, n_in, generator=seeded(1))
    model.bias.data = shift + scale * torch.randn(n_classes, generator=seeded(2))
    return model.eval()


def near_the_middle(model, n=20, n_in=64):
    """Examples near .5, so that no bound is active, and the classes the model gives them."""
    x = 0.5 + 0.02 * torch.randn(n, n_in, generator=seeded(3))
    return x, model(x).argmax(1)


def exact_distances(model, x, y, dual):
    """Distance of each example to each other class of an affine classifier; infinite at y."""
    z, w = model(x).detach(), model.weight.detach()
    size = (w[y][:, None] - w).norm(p=dual, dim=2)
    return ((z.gather(1, y[:, None]) - z) / size).scatter(1, y[:, None], math.inf)


def exact(model, x, y, dual):
    return exact_distances(model, x, y, dual).min(1).values


FIXED = {
    "fgsm": attacks.fgsm,
    "fgsm_l2": partial(attacks.fgsm, norm="l2"),
    "pgd": lambda *a, **k: attacks.pgd(*a, steps=10, generator=seeded(), **k),
    "pgd_l2": lambda *a, **k: attacks.pgd(*a, steps=10, norm="l2", generator=seeded(), **k),
    "pgd_dlr": lambda *a, **k: attacks.pgd(*a, steps=10, loss="dlr", generator=seeded(), **k),
    "apgd": lambda *a, **k: attacks.apgd(*a, steps=20, restarts=2, generator=seeded(), **k),
    "apgd_l2": lambda *a, **k: attacks.apgd(*a, steps=20, norm="l2", generator=seeded(), **k),
    "apgd_dlr": lambda *a, **k: attacks.apgd(*a, steps=20, loss="dlr", generator=seeded(), **k),
    "square": lambda *a, **k: attacks.square(*a, queries=50, generator=seeded(), **k),
    "ensemble": lambda *a, **k: attacks.ensemble(*a, steps=10, queries=20, generator=seeded(), **k)[
        0
    ],
}
MINIMAL = {
    "deepfool": attacks.deepfool,
    "deepfool_linf": partial(attacks.deepfool, norm="linf"),
    "carlini_wagner": partial(attacks.carlini_wagner, steps=50, search_steps=5),
    "boundary": lambda *a, **k: attacks.boundary(*a, steps=100, generator=seeded(), **k),
}
ANY = {name: partial(attack, radius=0.1) for name, attack in FIXED.items()}
ANY |= MINIMAL | {"one_pixel": attacks.one_pixel}
each_fixed = pytest.mark.parametrize("name", FIXED)
each_minimal = pytest.mark.parametrize("name", MINIMAL)
each_attack = pytest.mark.parametrize("name", ANY)


@pytest.fixture(scope="module")
def trained():
    """A small network trained on the digits, and its test part, in float32."""
    torch.set_default_dtype(torch.float32)
    split = data.load("digits")
    net = models.mlp((64, 60, 10), density=0.3, standardisation=split.standardisation())
    train.fit(net, split, train.Settings(epochs=6, learning_rate=0.05), seed=0)
    return net.eval(), split.x_test, split.y_test


# affine classifiers: closed forms


@pytest.mark.parametrize(("norm", "dual"), [("l2", 2), ("linf", 1)])
def test_deepfool_is_exact_but_for_the_overshoot_on_an_affine_classifier(norm, dual):
    model = affine()
    x, y = near_the_middle(model)
    x_adv = attacks.deepfool(model, x, y, norm=norm, overshoot=0.02)
    actual, desired = attacks.distance(x_adv, x, norm), 1.02 * exact(model, x, y, dual)
    torch.testing.assert_close(actual, desired, rtol=1e-3, atol=1.1e-5)
    assert attacks.is_adversarial(model, x_adv, y).all()


@pytest.mark.parametrize("shift", [0, -1000])  # all logits negative
def test_carlini_wagner_is_within_a_percent_of_the_affine_optimum(shift):
    model = affine(shift=shift)
    x, y = near_the_middle(model)
    x_adv = attacks.carlini_wagner(model, x, y, steps=300)
    assert attacks.is_adversarial(model, x_adv, y).all()
    ratio = attacks.distance(x_adv, x, "l2") / exact(model, x, y, 2)
    assert ratio.min() >= 1 - 1e-9 and ratio.max() <= 1.01


def test_boundary_attack_comes_near_the_affine_optimum():
    model = affine()
    x, y = near_the_middle(model)
    x_adv = attacks.boundary(model, x, y, steps=3000, generator=seeded())
    assert attacks.is_adversarial(model, x_adv, y).all()
    ratio = attacks.distance(x_adv, x, "l2") / exact(model, x, y, 2)
    assert ratio.min() >= 1 - 1e-9 and ratio.median() <= 1.05


@pytest.mark.parametrize("attack", [attacks.pgd, attacks.apgd])
@pytest.mark.parametrize("loss", ["ce", "dlr", "margin"])
@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_robust_accuracy_is_exact_on_an_affine_classifier(attack, loss, norm, dual, quantile):
    model = affine(n_classes=3)
    x, y = near_the_middle(model, n=60)
    distances = exact(model, x, y, dual)
    radius = distances.quantile(quantile).item()
    clear = (distances / radius - 1).abs() > 0.02
    how = {"radius": radius, "norm": norm, "loss": loss, "restarts": 3, "generator": seeded()}
    broken = attacks.is_adversarial(model, attack(model, x, y, **how), y)
    assert clear.sum() >= 50
    assert torch.equal(broken[clear], distances[clear] < radius)


@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("scale", [1, 1000])  # 1000: the softmax saturates
@pytest.mark.parametrize("attack", [attacks.fgsm, partial(attacks.pgd, generator=seeded())])
def test_fgsm_and_pgd_are_optimal_on_a_binary_affine_classifier(attack, scale, quantile):
    model = affine(n_classes=2, scale=scale)
    x, y = near_the_middle(model, n=100)
    distances = exact(model, x, y, 1)
    radius = distances.quantile(quantile).item()
    x_adv = attack(model, x, y, radius=radius)
    clear = (distances / radius - 1).abs() > 1e-3
    broken = attacks.is_adversarial(model, x_adv, y)
    assert torch.equal(broken[clear], distances[clear] < radius)


# a network of one hidden layer: exact by enumeration


def smallest_radius(net, x, y, k, pattern):
    """Radius at which class k reaches y where the hidden units have this pattern of signs."""
    w, b, v, c = (p.detach().numpy() for p in net.parameters())
    slope = (v[k] - v[y]) * (pattern > 0)
    n, hidden, excess = len(x), w @ x + b, slope @ (w @ x + b) + c[k] - c[y]
    # of (delta, radius): the signs hold, the margin is at least 0, |delta| <= radius
    signs = np.column_stack([-pattern[:, None] * w, np.zeros(len(b))])
    size = np.block([[np.eye(n), -np.ones((n, 1))], [-np.eye(n), -np.ones((n, 1))]])
    a_ub = np.vstack([signs, np.append(-slope @ w, 0), size])
    b_ub = np.concatenate([pattern * hidden, [excess], np.zeros(2 * n)])
    box = [*zip(-x, 1 - x, strict=True), (0, None)]
    found = linprog(np.append(np.zeros(n), 1), A_ub=a_ub, b_ub=b_ub, bounds=box)
    return found.fun if found.status == 0 else math.inf


def minimal_linf(net, x, y):
    """Exact minimal distance for a ReLU network of one hidden layer: over all its patterns."""
    patterns = map(np.array, itertools.product([-1.0, 1.0], repeat=net[0].out_features))
    classes = set(range(net[2].out_features)) - {y}
    cases = itertools.product(classes, patterns)
    return min(smallest_radius(net, x, y, k, pattern) for k, pattern in cases)


@pytest.fixture(scope="module")
def relu_network():
    """A network with five hidden units, examples, and their exact distances in L-infinity."""
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double().eval()
    draw = partial(torch.randn, generator=seeded(1), dtype=torch.float64)
    net.load_state_dict({name: draw(value.shape) for name, value in net.state_dict().items()})
    net[0].bias.data -= net[0].weight.data.sum(1) / 2  # as for inputs about 0
    x = torch.rand(6, 4, generator=seeded(6), dtype=torch.float64)
    y = net(x).argmax(1)
    exact = [minimal_linf(net, a, b) for a, b in zip(x.numpy(), y.tolist(), strict=True)]
    return net, x, y, exact


@pytest.mark.parametrize(("factor", "desired"), [(0.95, 0), (1.05, 6)])
def test_apgd_breaks_just_beyond_the_exact_distance(relu_network, factor, desired):
    net, x, y, exact = relu_network
    assert 0.01 < min(exact) and max(exact) < 1
    how = {"restarts": 10, "steps": 50, "loss": "margin", "generator": seeded()}
    cases = zip(x.split(1), y.split(1), exact, strict=True)
    points = [attacks.apgd(net, a, b, radius=factor * r, **how) for a, b, r in cases]
    assert attacks.is_adversarial(net, torch.cat(points), y).sum() == desired


@pytest.mark.parametrize("name", [*FIXED, "deepfool_linf"])
def test_no_attack_beats_the_exact_distance(relu_network, name):
    net, x, y, exact = relu_network
    how = {"radius": 0.95 * min(exact)} if name in FIXED else {}
    x_adv = (FIXED | MINIMAL)[name](net, x, y, **how)
    broken = attacks.is_adversarial(net, x_adv, y)
    assert (attacks.distance(x_adv, x, "linf")[broken] >= torch.tensor(exact)[broken] - 1e-9).all()
    assert name == "deepfool_linf" or not broken.any()


# laws of every attack


@pytest.fixture
def small():
    """A sparse network in float64 on 6 x 6 images, some of them at the bounds, and classes of
    which a few are wrong.
    """
    scale = (torch.tensor(0.5), torch.tensor(0.3))
    model = models.mlp((36, 20, 4), density=0.3, standardisation=scale).eval()
    x = (1.4 * torch.rand(12, 6, 6, generator=seeded(8)) - 0.2).clamp(0, 1)
    y = model(x).argmax(1)
    y[:3] = (y[:3] + 1) % 4
    return model, x, y


class Changed(nn.Module):
    """A model with its logits passed through a function, and its inputs seen by another."""

    def __init__(self, model, logits=lambda z: z, see=lambda x: None):
        super().__init__()
        self.model, self.logits, self.see = model, logits, see
        self.eval()

    def forward(self, x):
        self.see(x)
        return self.logits(self.model(x))


@each_attack
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 2.0)])
def test_attack_keeps_shape_bounds_and_model(small, name, dtype, bounds):
    model, x, y = small[0].to(dtype), (bounds[0] + small[1] * 3).to(dtype), small[2]
    model, x = (small[0].to(dtype), small[1].to(dtype)) if bounds[0] == 0 else (model, x)
    before, example = copy.deepcopy(model.state_dict()), x.clone()
    values = {"values": bounds} if name == "one_pixel" else {}
    x_adv = ANY[name](model, x, y, bounds=bounds, **values)
    assert x_adv.shape == x.shape and x_adv.dtype == dtype and not x_adv.requires_grad
    assert x_adv.min() >= bounds[0] and x_adv.max() <= bounds[1] and torch.equal(x, example)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@each_attack
def test_misclassified_examples_are_returned_as_they_are(small, name):
    model, x, y = small
    x_adv = ANY[name](model, x, y)
    assert attacks.is_adversarial(model, x, y)[:3].all()
    assert torch.equal(x_adv[:3], x[:3]) and not torch.equal(x_adv[3:], x[3:])


@each_fixed
@pytest.mark.parametrize("radius", [0.003, 0.1, 0.7])
def test_every_iterate_is_inside_the_radius_and_the_bounds(small, name, radius):
    model, x, y = small[0], small[1][3:4], small[2][3:4]
    seen = []
    FIXED[name](Changed(model, see=seen.append), x, y, radius=radius)
    iterates = torch.cat(seen)
    norm = "l2" if name.endswith("l2") else "linf"
    assert attacks.distance(iterates, x.expand_as(iterates), norm).max() <= radius + 1e-6
    assert iterates.min() >= 0 and iterates.max() <= 1 and len(seen) > 2


@each_fixed
def test_radius_zero_is_the_identity(small, name):
    model, x, y = small
    assert torch.equal(FIXED[name](model, x, y, radius=0), x)


@each_minimal
def test_minimal_attacks_return_an_adversarial_point_or_the_example(small, name):
    model, x, y = small
    x_adv = MINIMAL[name](model, x, y)
    moved = attacks.distance(x_adv, x, "linf") > 0
    assert torch.equal(moved[3:], attacks.is_adversarial(model, x_adv, y)[3:]) and moved[3:].all()


@each_attack
@pytest.mark.parametrize("shift", [64, -64])
def test_constant_added_to_all_logits_changes_nothing(small, name, shift):
    model, x, y = small
    actual = ANY[name](Changed(model, lambda z: z + shift), x, y)
    torch.testing.assert_close(actual, ANY[name](model, x, y), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["pgd_dlr", "apgd_dlr", "deepfool", "deepfool_linf"])
def test_scale_of_the_logits_changes_nothing(small, name):
    model, x, y = small
    actual = ANY[name](Changed(model, lambda z: 1000 * z), x, y)
    torch.testing.assert_close(actual, ANY[name](model, x, y), rtol=0, atol=1e-6)


@each_attack
def test_network_without_weights_is_not_broken(small, name):
    _, x, _ = small
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 4)).eval()
    model[1].weight.data.zero_()
    y = model(x).argmax(1)
    x_adv = ANY[name](model, x, y)
    assert not attacks.is_adversarial(model, x_adv, y).any()
    assert name not in MINIMAL or torch.equal(x_adv, x)


@pytest.mark.parametrize("name", ["pgd", "apgd", "square", "boundary", "ensemble"])
def test_same_generator_gives_the_same_point_and_another_does_not(small, name):
    model, x, y = small
    how = {
        "boundary": {"steps": 50},
        "square": {"radius": 0.01, "queries": 50},
        "ensemble": {"radius": 0.01, "steps": 10, "queries": 20},
    }.get(name, {"radius": 0.01, "steps": 10})
    attack = partial(getattr(attacks, name), model, x, y, **how)
    a, b, c = (attack(generator=seeded(seed)) for seed in (0, 0, 1))
    a, b, c = ((t[0] if name == "ensemble" else t) for t in (a, b, c))
    assert torch.equal(a, b) and not torch.equal(a, c)


# single attacks


@pytest.mark.parametrize("loss", attacks.LOSSES)
def test_gradient_of_the_loss_is_that_of_finite_differences(small, loss):
    model, x, y = small
    frozen = copy.deepcopy(model).requires_grad_(False)
    x = (0.2 + 0.6 * x[3:]).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: attacks.LOSSES[loss](frozen(x), y[3:]), x)


def test_log_odds_follow_the_cross_entropy_and_do_not_saturate():
    z, y = torch.randn(50, 5, generator=seeded()), torch.arange(50) % 5
    loss = nn.functional.cross_entropy(z, y, reduction="none")
    torch.testing.assert_close(attacks.log_odds(z, y), loss.expm1().log())
    confident = torch.tensor([[1e4, 0.0, 0.0]], requires_grad=True)
    attacks.log_odds(confident, torch.tensor([0])).backward()
    torch.testing.assert_close(confident.grad, torch.tensor([[-1.0, 0.5, 0.5]]))


@pytest.mark.parametrize(
    ("z", "y", "desired"),
    [
        ([4.0, 3.0, 2.0, 0.0], 0, -0.5),
        ([4.0, 3.0, 2.0, 0.0], 2, 1.0),
        ([1.0, 1.0, 1.0, 1.0], 0, 0.0),
    ],
)
def test_dlr_is_that_of_a_table(z, y, desired):
    actual = attacks.difference_of_logits_ratio(torch.tensor([z]), torch.tensor([y]))
    assert actual.tolist() == [desired]


@pytest.mark.parametrize("name", ["square", "boundary", "one_pixel"])
def test_black_box_attacks_need_no_gradient(small, name):
    model, x, y = small
    classes = Changed(model, lambda z: nn.functional.one_hot(z.argmax(1), 4).double())
    x_adv = ANY[name](classes, x, y)
    assert attacks.is_adversarial(model, x_adv, y)[3:].any()
    if name == "boundary":  # it sees nothing but classes
        assert torch.equal(x_adv, MINIMAL[name](model, x, y))


@pytest.fixture
def square_queries():
    """What Square asks in 20 queries about one 20 x 20 image, where nothing raises the margin."""
    seen, x, y = [], torch.full((1, 20, 20), 0.5), torch.tensor([1])
    constant = nn.Sequential(nn.Flatten(), nn.Linear(400, 2)).eval()
    constant[1].weight.data.zero_()
    constant[1].bias.data = torch.tensor([0.0, 1.0])
    attacks.square(
        Changed(constant, see=seen.append), x, y, radius=0.1, queries=20, generator=seeded()
    )
    return torch.cat(seen[2:])


def test_square_starts_from_vertical_stripes(square_queries):
    stripes = square_queries[0]
    assert len(square_queries) == 20
    torch.testing.assert_close((stripes - 0.5).abs(), torch.full((20, 20), 0.1))
    assert (stripes == stripes[0]).all() and stripes.unique().numel() == 2


def test_every_query_of_square_changes_one_square_of_the_scheduled_side(square_queries):
    torch.testing.assert_close((square_queries - 0.5).abs(), torch.full((20, 20, 20), 0.1))
    changed = square_queries[1:] != square_queries[0]
    rows, columns = changed.any(2), changed.any(1)  # columns that had the sign do not change
    assert torch.equal(changed, rows[:, :, None] & columns[:, None, :])
    # area 320 / 2^k, k the marks of the paper below 500, 1000, ..., 9500
    desired = [6, 4, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1]
    assert rows.sum(1).tolist() == desired
    assert (columns.sum(1) <= torch.tensor(desired)).all()


def test_ensemble_is_cumulative_and_says_what_is_broken(small):
    model, x, y = small
    x_adv, broken = attacks.ensemble(model, x, y, radius=0.03, queries=50, generator=seeded())
    assert list(broken) == ["apgd_ce", "apgd_dlr", "square"]
    stages = torch.stack([attacks.is_adversarial(model, x, y), *broken.values()])
    assert (stages[1:] >= stages[:-1]).all() and 3 < stages[1].sum() < 12
    assert torch.equal(broken["square"], attacks.is_adversarial(model, x_adv, y))
    assert attacks.distance(x_adv, x, "linf").max() <= 0.03 + 1e-12


def test_one_pixel_agrees_with_brute_force():
    model, x = affine(n_classes=3, n_in=9), torch.rand(30, 9, generator=seeded(4))
    y, values = model(x).argmax(1), (0.0, 0.5, 1.0)
    x_adv = attacks.one_pixel(model, x, y, values=values)
    pixels = itertools.product(range(9), values)
    changes = [x.index_fill(1, torch.tensor([i]), value) for i, value in pixels]
    desired = torch.stack([attacks.margin(model(change), y) for change in changes]).amax(0)
    torch.testing.assert_close(attacks.margin(model(x_adv), y), desired)
    assert (attacks.distance(x_adv, x, "l0") <= 1).all() and (desired > 0).any()


def test_confidence_is_reached():
    model = affine()
    x, y = near_the_middle(model)
    x_adv = attacks.carlini_wagner(model, x, y, steps=200, confidence=2.0)
    assert (attacks.margin(model(x_adv), y) >= 2 - 1e-9).all()


def test_more_examples_than_a_batch_are_attacked_one_batch_after_the_other(monkeypatch, small):
    model, x, y = small
    whole = attacks.deepfool(model, x, y)
    monkeypatch.setattr(attacks, "BATCH", 5)
    torch.testing.assert_close(attacks.deepfool(model, x, y), whole)


def test_distances_are_those_of_a_table():
    x_adv, x = torch.tensor([[[3.0, 0.0], [-4.0, 0.0]]]), torch.zeros(1, 2, 2)
    actual = [attacks.distance(x_adv, x, norm).item() for norm in ("linf", "l2", "l0")]
    assert actual == [4, 5, 2]


# foolbox


def succeeded(x_adv, trained):
    net, _, y = trained
    return attacks.is_adversarial(net, x_adv, y).double().mean()


def from_foolbox(attack, trained, radius=None):
    net, x, y = trained
    with torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(0)
        warnings.simplefilter("ignore")
        model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
        return attack(model, x, y, epsilons=radius)[1]


@pytest.mark.parametrize("radius", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fgsm_and_pgd_break_as_much_as_those_of_foolbox(trained, norm, radius):
    net, x, y = trained
    radius = radius if norm == "linf" else 5 * radius
    fast = {
        "linf": foolbox.attacks.LinfFastGradientAttack,
        "l2": foolbox.attacks.L2FastGradientAttack,
    }
    slow = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}
    desired = succeeded(from_foolbox(fast[norm](), trained, radius), trained)
    assert succeeded(attacks.fgsm(net, x, y, radius=radius, norm=norm), trained) >= desired - 0.01
    theirs = slow[norm](steps=40, abs_stepsize=radius / 10)
    desired = succeeded(from_foolbox(theirs, trained, radius), trained)
    x_adv = attacks.pgd(net, x, y, radius=radius, norm=norm, steps=40, generator=seeded())
    assert succeeded(x_adv, trained) >= desired - 0.01


@pytest.mark.parametrize(
    ("ours", "theirs", "norm"),
    [
        (attacks.deepfool, foolbox.attacks.L2DeepFoolAttack(candidates=None), "l2"),
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
            lambda *a: attacks.boundary(*a, steps=500, generator=seeded()),
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


# noise and corruptions


@pytest.fixture
def images():
    """Smooth random images of 28 x 28 in [0, 1], dark at the edges."""
    coarse = torch.rand(60, 1, 9, 9, generator=seeded(9)) ** 2
    coarse = nn.functional.pad(coarse[:, :, 1:-1, 1:-1], (1, 1, 1, 1))
    return nn.functional.interpolate(coarse, (28, 28), mode="bilinear").squeeze(1)


each_corruption = pytest.mark.parametrize("name", attacks.CORRUPTIONS)


@each_corruption
def test_corruption_grows_with_its_severity_inside_the_bounds(images, name):
    severities = range(1, 6)
    corrupted = [attacks.corrupt(images, name, s, generator=seeded()) for s in severities]
    changes = [attacks.distance(c, images, "l2").mean().item() for c in corrupted]
    assert 0 < changes[0] and sorted(set(changes)) == changes
    assert all(c.min() >= 0 and c.max() <= 1 and c.shape == images.shape for c in corrupted)


@each_corruption
def test_corruption_follows_its_generator_and_the_bounds(images, name):
    corrupt = partial(attacks.corrupt, name=name, severity=3)
    desired = corrupt(images, generator=seeded())
    rows = corrupt(images.flatten(1), generator=seeded())
    scaled = corrupt(4 * images - 1, generator=seeded(), bounds=(-1.0, 3.0))
    assert torch.equal(rows, desired.flatten(1))
    torch.testing.assert_close(scaled, 4 * desired - 1)
    random = name not in ("brightness", "stripe", "scale")
    assert torch.equal(desired, corrupt(images, generator=seeded(1))) != random


def test_geometric_corruptions_move_a_single_pixel_as_stated():
    x = torch.zeros(200, 28, 28)
    x[:, 13, 13] = 1
    moved = attacks.corrupt(x, "translate", 2, generator=seeded())
    places = moved.flatten(1).argmax(1)
    assert set(places.tolist()) == {28 * (13 + a) + 13 + b for a in (-2, 2) for b in (-2, 2)}
    torch.testing.assert_close(moved.sum((1, 2)), torch.ones(200))


def test_impulse_noise_hits_the_stated_fraction_evenly():
    x = torch.full((100, 28, 28), 0.5)
    noisy = attacks.corrupt(x, "impulse_noise", 5, generator=seeded())
    n, p = x.numel(), 0.27 / 2
    counts = torch.stack([(noisy == value).sum() for value in (0, 1)]).double()
    assert ((counts - n * p).abs() < 5 * math.sqrt(n * p * (1 - p))).all()  # 5 standard errors
    assert counts.sum() + (noisy == 0.5).sum() == n


def test_shot_noise_has_the_variance_of_counts():
    x = torch.full((100, 28, 28), 0.3)
    noisy = attacks.corrupt(x, "shot_noise", 1, generator=seeded())
    n, variance = x.numel(), 0.3 / 60  # of a Poisson number of mean 18, over 60
    assert abs(noisy.mean() - 0.3) < 5 * math.sqrt(variance / n)
    assert abs(noisy.var() / variance - 1) < 5 * math.sqrt((2 + 1 / 18) / n)


def test_gaussian_noise_has_its_standard_deviation_and_is_clipped():
    noisy = attacks.gaussian_noise(torch.full((100, 400), 0.5), 0.05, generator=seeded())
    assert abs(noisy.mean() - 0.5) < 5 * 0.05 / 200
    assert abs(noisy.var() / 0.05**2 - 1) < 5 * math.sqrt(2 / 40_000)
    dark = attacks.gaussian_noise(torch.zeros(100, 400), 0.05, generator=seeded())
    assert dark.min() == 0 and abs((dark == 0).double().mean() - 0.5) < 5 * 0.5 / 200


# bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radius": -0.1}, "radius = -0.1 is out of range"),
        ({"radius": math.nan}, "radius = nan is out of range"),
        ({"radius": math.inf}, "radius = inf is out of range"),
        ({"steps": 0}, "steps = 0 is out of range"),
        ({"restarts": 0}, "restarts = 0 is out of range"),
        ({"step_size": -1}, "step_size = -1 is out of range"),
        ({"norm": "l1"}, "norm = 'l1' is unknown: give one of linf, l2"),
        ({"loss": "mse"}, "loss = 'mse' is unknown: give one of ce, dlr, margin"),
        ({"bounds": (1.0, 0.0)}, r"bounds = \(1.0, 0.0\) do not fit"),
        ({"bounds": (0.0, 0.5)}, "with low < high that hold x, from 0.0 to 1.0"),
        ({"x": torch.full((12, 6, 6), math.nan)}, "that hold x, from nan"),
        ({"x": torch.zeros(12, 6, 6, dtype=torch.uint8)}, "x is torch.uint8"),
        ({"x": torch.zeros(0, 6, 6), "y": torch.zeros(0).long()}, r"x is .* shape \(0, 6, 6\)"),
        ({"y": torch.zeros(11).long()}, r"of shape \(11,\): give an integer class"),
        ({"y": torch.zeros(12, 1).long()}, r"of shape \(12, 1\): give an integer class"),
        ({"y": torch.zeros(12)}, "y is torch.float"),
        ({"y": torch.full((12,), 4)}, "y has 4 to 4: give 0 to 3"),
        ({"y": torch.full((12,), -1)}, "y has -1 to -1: give 0 to 3"),
    ],
)
def test_bad_input_is_refused(small, change, message):
    model, x, y = small
    given = {"x": x, "y": y, "radius": 0.1, "generator": seeded()} | change
    with pytest.raises(ValueError, match=message):
        attacks.pgd(model, **given)


@each_attack
def test_model_in_training_mode_is_refused(small, name):
    model, x, y = small
    model[-1].train()
    with pytest.raises(ValueError, match=r"training mode: call model.eval\(\) first"):
        ANY[name](model, x, y)


@pytest.mark.parametrize("attack", [attacks.apgd, attacks.pgd])
def test_dlr_of_two_classes_is_refused(attack):
    model = affine(n_classes=2)
    x, y = near_the_middle(model)
    with pytest.raises(ValueError, match="loss 'dlr' of 2 logits is undefined"):
        attack(model, x, y, radius=0.1, loss="dlr", generator=seeded())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("square", {"queries": 0}),
        ("deepfool", {"overshoot": -1}),
        ("deepfool", {"norm": "l0"}),
        ("carlini_wagner", {"search_steps": 0}),
        ("carlini_wagner", {"learning_rate": 0}),
        ("carlini_wagner", {"confidence": -1}),
        ("one_pixel", {"values": (0.0, 2.0)}),
        ("one_pixel", {"values": ()}),
    ],
)
def test_settings_of_single_attacks_are_checked(small, name, change):
    model, x, y = small
    how = {"radius": 0.1, "generator": seeded()} if name == "square" else {}
    with pytest.raises(ValueError, match=f"{[*change][0]} = .*: give"):
        getattr(attacks, name)(model, x, y, **how, **change)


def test_square_and_corruptions_refuse_what_is_no_image():
    model = affine(n_in=8)
    x = torch.rand(4, 8, generator=seeded())
    with pytest.raises(ValueError, match=r"examples of shape \(8,\) are no images"):
        attacks.square(model, x, model(x).argmax(1), radius=0.1, generator=seeded())
    with pytest.raises(ValueError, match=r"examples of shape \(8,\) are no images"):
        attacks.corrupt(x, "rotate", 1, generator=seeded())


@pytest.mark.parametrize(("name", "severity"), [("fog", 1), ("rotate", 0), ("rotate", 6)])
def test_unknown_corruptions_are_refused(images, name, severity):
    with pytest.raises(ValueError, match="is unknown: give one of"):
        attacks.corrupt(images, name, severity, generator=seeded())


@pytest.mark.parametrize("noise_std", [-0.1, math.inf, math.nan])
def test_noise_out_of_range_is_refused(images, noise_std):
    with pytest.raises(ValueError, match=f"noise_std = {noise_std} is out of range"):
        attacks.gaussian_noise(images, noise_std, generator=seeded())


def test_distance_of_unequal_shapes_or_unknown_norm_is_refused(images):
    with pytest.raises(ValueError, match="has not the shape of x"):
        attacks.distance(images, images[0], "l2")
    with pytest.raises(ValueError, match="norm = 'l3' is unknown"):
        attacks.distance(images, images, "l3")


def test_attack_without_early_stop_goes_on_to_a_higher_loss():
    model = affine()
    x, y = near_the_middle(model)
    how = {"radius": 0.3, "generator": seeded(), "steps": 20}
    first = attacks.pgd(model, x, y, **how)
    best = attacks.pgd(model, x, y, early_stop=False, **how | {"generator": seeded()})
    losses = [attacks.log_odds(model(points), y).detach() for points in (first, best)]
    assert attacks.is_adversarial(model, best, y).all() and (losses[1] >= losses[0]).all()
    assert (losses[1] > losses[0] + 1).float().mean() > 0.5
