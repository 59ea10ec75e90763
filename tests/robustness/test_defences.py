"""Objectives of robust training: expectations, closed forms of affine models, a hand-made case."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import models, train
from lib._compiled.step import CompiledStep
from lib.layers import SparseLinear
from lib.models import mlp
from lib.robustness.certified import margins
from lib.robustness.defences import (
    Adversarial,
    Certified,
    DropConnect,
    Trades,
    divergence,
    masked,
    weights_of_links,
)
from lib.support import make_support


@pytest.fixture(params=[None, 0.5], ids=["dense", "sparse"])
def model(request):
    return mlp((6, 8, 7, 3), density=request.param, dropout=0.0, seed=1)


@pytest.fixture
def batch(generator):
    return torch.rand(20, 6, generator=generator), torch.arange(20) % 3


def affine(weight):
    """A dense layer with these weights and no biases."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight
    return layer


# DropConnect


def test_masked_weights_are_themselves_or_zero(generator):
    weight = torch.randn(5000, generator=generator)
    left = masked(weight, 0.3, generator=generator)
    is_zero = left == 0
    assert torch.equal(left[~is_zero], weight[~is_zero])
    assert abs(is_zero.double().mean() - 0.3) < 5 * (0.3 * 0.7 / 5000) ** 0.5


def test_drop_connect_refuses_weights_that_it_would_not_drop(batch, generator):
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3))
    model[1].weight = model[0].weight
    with pytest.raises(ValueError, match="layers '0' and '1' share their weights: name one"):
        DropConnect(0.5)(model, *batch, generator)
    model[1] = nn.utils.parametrizations.weight_norm(nn.Linear(6, 6))
    with pytest.raises(ValueError, match="weights of layer '1' are computed from other param"):
        DropConnect(0.5)(model, *batch, generator)


def test_drop_connect_takes_weights_column_after_column(batch, generator):
    model = nn.Sequential(affine(torch.ones(6, 5).t()), nn.Linear(5, 3))
    DropConnect(1.0)(model, *batch, generator).backward()
    assert model[0].weight.grad.shape == (5, 6)


@pytest.mark.parametrize("objective", [Adversarial(0.1), Trades(0.1)])
def test_inputs_beyond_the_bounds_are_refused(model, batch, objective, generator):
    x, y = batch
    with pytest.raises(ValueError, match=r"bounds = \(0.0, 1.0\) do not fit"):
        objective(model, 2 * x, y, generator)


def test_inputs_beyond_the_bounds_by_rounding_are_taken(model, batch, generator):
    x, y = batch
    x[0, 0] = 1 + 1e-7
    assert torch.isfinite(Adversarial(0.1)(model, x, y, generator))


@pytest.mark.parametrize("objective", [DropConnect(0.0), Adversarial(0.0), Trades(0.0, beta=2.5)])
def test_objective_of_nothing_is_the_cross_entropy(objective, model, batch, generator):
    actual = objective(model, *batch, generator)
    torch.testing.assert_close(actual, F.cross_entropy(model(batch[0]), batch[1]))


def test_drop_connect_of_everything_leaves_biases_and_output_layer(model, batch, generator):
    weights = {name: torch.zeros_like(w) for name, w in weights_of_links(model).items()}
    bare = torch.func.functional_call(model, weights, (batch[0],))
    assert len(weights) == 2 and torch.equal(bare, bare[:1].expand_as(bare))
    drawn = [DropConnect(1.0)(model, *batch, generator).item() for _ in range(50)]
    assert min(drawn) < F.cross_entropy(bare, batch[1]).item() < max(drawn)


def test_drop_connect_has_no_gradient_at_links_left_out(batch, generator):
    model = mlp((6, 8, 3), density=1.0, dropout=0.0, seed=1)
    seen = []
    for _ in range(40):
        model.zero_grad()
        DropConnect(0.7)(model, *batch, generator).backward()
        seen.append(model.linear1.values.grad == 0)
    assert 0.1 < torch.stack(seen).double().mean() < 0.6  # half of .7 in the mean, more by ReLUs


# adversarial points


@pytest.mark.parametrize(
    ("kind", "steps", "norm"),
    [(Adversarial, 1, "linf"), (Adversarial, 4, "l2"), (Trades, 4, "linf"), (Trades, 1, "l2")],
)
def test_adversarial_points_stay_in_ball_and_bounds(model, batch, generator, norm, steps, kind):
    x, y = batch
    points = kind(0.2, norm, steps).ascend(model, x, y, generator)
    order = torch.inf if norm == "linf" else 2
    assert (points - x).norm(p=order, dim=1).max() <= 0.2 + 1e-6
    assert points.min() >= 0 and points.max() <= 1


def test_ascent_of_an_affine_model_ends_in_the_worst_corner(generator):
    weight = torch.tensor([[1.0, -2.0, 3.0], [0.5, 1.0, -1.0]])
    x, y = torch.full((4, 3), 0.5), torch.tensor([0, 0, 1, 1])
    points = Adversarial(0.1, steps=5).ascend(affine(weight), x, y, generator)
    away = (weight[1] - weight[0]).sign()
    desired = 0.5 + 0.1 * torch.stack([away, away, -away, -away])
    torch.testing.assert_close(points, desired)


def test_ascent_leaves_modes_and_gradients_also_after_a_failure(model, batch, generator):
    model.train()
    model.activation1.eval()
    modes = [module.training for module in model.modules()]
    Adversarial(0.1).ascend(model, *batch, generator)
    assert [module.training for module in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(IndexError):
        Adversarial(0.1).ascend(model, batch[0], batch[1] + 7, generator)
    assert [module.training for module in model.modules()] == modes


REFUSED = {
    "radius = -1.0 is out of range": lambda: Adversarial(-1.0),
    "unknown norm 'l3'": lambda: Adversarial(0.1, norm="l3"),
    "steps = 0 is out of range": lambda: Adversarial(0.1, steps=0),
    "step_size = -3.0 is out of range": lambda: Adversarial(0.1, step_size=-3.0),
    "growing_epochs = -1 is out of range": lambda: Adversarial(0.1, growing_epochs=-1),
    "beta = inf is out of range": lambda: Trades(0.1, beta=float("inf")),
    "largest = 1.5 is out of range": lambda: DropConnect(1.5),
    "attacked is Trades, which has a loss of its own": lambda: DropConnect(0.5, Trades(0.1)),
    "kappa = 1.5 is out of range": lambda: Certified(0.1, kappa=1.5),
    "growing_epochs = 0 is out of range": lambda: Certified(0.1, growing_epochs=0),
    "plain_epochs = -1 is out of range": lambda: Certified(0.1, plain_epochs=-1),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_objective_out_of_range_is_refused(sentence):
    with pytest.raises(ValueError, match=sentence):
        REFUSED[sentence]()


def test_radius_grows_by_epochs_to_its_full_size():
    growing = Adversarial(0.3, growing_epochs=4)
    radii = [growing.at_epoch(epoch).radius for epoch in (1, 2, 4, 9)]
    assert radii == pytest.approx([0.075, 0.15, 0.3, 0.3])
    assert Adversarial(0.3).at_epoch(1) == Adversarial(0.3)
    without_links = DropConnect(0.5, growing).at_epoch(2)
    assert without_links == DropConnect(0.5, growing.at_epoch(2))
    assert DropConnect(0.5).at_epoch(2) == DropConnect(0.5)


# TRADES


def test_divergence_is_that_of_kullback_and_leibler(generator):
    logits, others = torch.randn(2, 30, 5, generator=generator)
    p, q = (torch.distributions.Categorical(logits=z) for z in (logits, others))
    desired = torch.distributions.kl_divergence(p, q).mean()
    torch.testing.assert_close(divergence(logits, others), desired)


def test_trades_weighs_cross_entropy_and_divergence(model, batch):
    x, y = batch
    objective = Trades(0.2, steps=3, beta=2.5)
    points = objective.ascend(model, x, y, torch.Generator().manual_seed(7))
    clean = F.cross_entropy(model(x), y)
    actual = objective(model, x, y, torch.Generator().manual_seed(7))
    torch.testing.assert_close(actual, clean + 2.5 * divergence(model(x), model(points)))


def test_trades_ascent_ends_at_a_corner_where_the_answer_differs_most(generator):
    weight = torch.tensor([[1.0, -2.0, 3.0], [-1.0, 2.0, -3.0]])
    model, x = affine(weight), torch.full((60, 3), 0.5)
    points = Trades(0.1, steps=6).ascend(model, x, torch.zeros(60, dtype=torch.long), generator)
    corner = 0.1 * weight[0].sign()
    assert {tuple(p.tolist()) for p in (points - x).sign()} == {
        tuple(corner.sign().tolist()),
        tuple((-corner).sign().tolist()),
    }
    torch.testing.assert_close((points - x).abs(), corner.abs().expand(60, 3))


def test_adversarial_growth_takes_what_attacked_examples_need():
    """Example A (pixels 0 and 1) is right by far until it is attacked, B (pixels 0 and 2) is less
    so: the clean gradient asks for a link from pixel 2, that of attacked examples from pixel 1.
    """
    layer = SparseLinear(
        3, 2, support=make_support(torch.tensor([0]), torch.tensor([0]), 3, 2), bias=False
    )
    layer.replace_values_(torch.tensor([8.0]))
    net = models.MLP()
    net.add_module("linear1", layer)
    x = torch.tensor([[0.5, 1.0, 0.0], [0.3, 0.0, 0.8]]).repeat(200, 1)
    y = torch.zeros(400, dtype=torch.long)
    clean = _growth_gradient(net, x, y, None)
    attacked = _growth_gradient(net, x, y, Adversarial(0.5, steps=3))
    assert clean[2] > clean[1] and attacked[1] > attacked[2]


def _growth_gradient(net, x, y, objective):
    """(n_in,) absolute gradient of the weights from each pixel to class 0."""
    generator = torch.Generator().manual_seed(2)
    seen = train.collect(net, x, y, 400, 4, generator, objective=objective)["linear1"]
    return (seen["grad_y"] @ seen["x"].t())[0].abs()


@pytest.mark.parametrize("recipe", [DropConnect(0.5, Adversarial(0.1)), Adversarial(0.1, steps=2)])
def test_objectives_are_drawn_from_the_generator_alone(model, batch, recipe):
    twice = [recipe(model, *batch, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*twice)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_points_by_the_compiled_step_are_those_of_autograd(norm):
    torch.set_default_dtype(torch.float32)
    model = mlp((6, 8, 7, 3), density=0.5, dropout=0.4, seed=1)
    step = CompiledStep(model, torch.optim.SGD(model.parameters(), 0.1))
    x, y = torch.rand(20, 6, generator=torch.Generator().manual_seed(4)), torch.arange(20) % 3
    attack = Adversarial(0.2, norm, steps=3)
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    actual = attack.perturbed(x, y, generators[0], step.gradient_at)
    torch.testing.assert_close(actual, attack.ascend(model, x, y, generators[1]))
    assert torch.equal(generators[0].get_state(), generators[1].get_state())


class Regularised(Adversarial):
    """Inherits the points and computes another loss."""

    def __call__(self, model, x, y, generator):
        return super().__call__(model, x, y, generator) + model(x).square().mean()


@pytest.mark.parametrize("kind", [Adversarial, Regularised])
def test_objective_of_its_own_is_not_replaced_by_cross_entropy(kind):
    assert train._perturbs(kind(0.1)) == (kind is Adversarial)
    assert not train._perturbs(DropConnect(0.5)) and not train._perturbs(Trades(0.1))


# certified training


def test_certified_goes_from_the_cross_entropy_to_the_worst_logits(model, batch, generator):
    whole = Certified(0.2, kappa=0.25, plain_epochs=2, growing_epochs=4)
    clean = F.cross_entropy(model(batch[0]), batch[1])
    at_epochs = {2: (0, 1), 4: (0.1, 0.625), 6: (0.2, 0.25), 9: (0.2, 0.25)}
    for epoch, (radius, kappa) in at_epochs.items():
        worst = F.cross_entropy(-margins(model, *batch, radius), batch[1])
        actual = whole.at_epoch(epoch)(model, *batch, generator)
        torch.testing.assert_close(actual, kappa * clean + (1 - kappa) * worst)


def test_growth_in_certified_training_follows_centers_and_examples():
    """Not the radii: where there is no link, |w| has no gradient."""
    model = mlp((4, 5, 3), density=0.5, activation="relu", dropout=0.0, seed=1)
    x, y = torch.rand(30, 4, generator=torch.Generator().manual_seed(2)), torch.arange(30) % 3
    objective, draw = Certified(0.1, kappa=0.25), torch.Generator().manual_seed(3)
    seen = train.collect(model, x, y, 8, 1, draw, objective=objective)["linear1"]
    actual = seen["grad_y"] @ seen["x"].t()
    index = torch.randint(30, (8,), generator=draw.manual_seed(3))
    x, y = x[index], y[index]
    first, last = model.linear1, model.linear2
    weight, bias = first.to_dense().detach().requires_grad_(), first.bias
    logits = F.linear(F.linear(x, weight, bias).relu(), last.to_dense(), last.bias)
    lower, upper = (x - 0.1).clamp(min=0), (x + 0.1).clamp(max=1)
    center = F.linear((lower + upper) / 2, weight, bias)
    spread = F.linear((upper - lower) / 2, weight.detach().abs())
    low, high = (center - spread).relu(), (center + spread).relu()
    apart = last.to_dense()[y][:, None] - last.to_dense()  # (B, K, n)
    least = ((low + high)[:, None] * apart - (high - low)[:, None] * apart.abs()).sum(2) / 2
    least = least + last.bias[y][:, None] - last.bias
    loss = 0.25 * F.cross_entropy(logits, y) + 0.75 * F.cross_entropy(-least, y)
    (desired,) = torch.autograd.grad(loss, weight)
    torch.testing.assert_close(actual, desired)
