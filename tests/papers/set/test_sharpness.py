"""Sharpness-aware steps against finite differences and closed forms."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import data, models, train
from lib._compiled import launch
from lib.evolution import Evolution
from papers.set.sharpness import SharpnessAware

RADIUS = 0.3


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(7, 5, generator=generator), torch.arange(7) % 3


def test_weights_that_the_loss_does_not_reach_change_nothing(batch):
    model, desired = network(), SharpnessAware(RADIUS)(network(), *batch, torch.Generator())
    model.register_parameter("unused", nn.Parameter(torch.ones(2)))
    assert torch.equal(SharpnessAware(RADIUS)(model, *batch, torch.Generator()), desired)


def network(density=None):
    return models.mlp((5, 6, 3), density=density, dropout=0.0, activation="tanh", seed=1)


def loss_of(model, x, y):
    return F.cross_entropy(model(x), y)


@pytest.mark.parametrize("n_frozen", [0, 1])
@pytest.mark.parametrize("density", [None, 0.5], ids=["dense", "sparse"])
def test_loss_and_gradient_are_those_of_weights_moved_up_the_gradient(density, n_frozen, batch):
    x, y = batch
    model, moved = network(density), network(density)
    for parameter in list(model.parameters())[:n_frozen]:
        parameter.requires_grad_(False)
    parameters, of_moved = (list(net.parameters())[n_frozen:] for net in (model, moved))
    gradients = torch.autograd.grad(loss_of(model, x, y), parameters)
    norm = torch.sqrt(sum((gradient**2).sum() for gradient in gradients))
    with torch.no_grad():
        for parameter, gradient in zip(of_moved, gradients, strict=True):
            parameter += RADIUS * gradient / norm
    desired = loss_of(moved, x, y)
    actual = SharpnessAware(RADIUS)(model, x, y, torch.Generator())
    torch.testing.assert_close(actual, desired)
    found = torch.autograd.grad(actual, parameters)
    torch.testing.assert_close(found, torch.autograd.grad(desired, of_moved))


def test_weights_and_their_gradients_are_left_as_they_were(batch):
    model = network(0.5)
    before = [parameter.clone() for parameter in model.parameters()]
    SharpnessAware(RADIUS)(model, *batch, torch.Generator())
    for parameter, value in zip(model.parameters(), before, strict=True):
        assert parameter.equal(value) and parameter.grad is None


def test_labels_are_softened(batch):
    x, y = batch
    model = network()
    smoothed = SharpnessAware(1e-12, label_smoothing=0.2)(model, x, y, torch.Generator())
    share = F.one_hot(y, 3).to(x.dtype) * 0.8 + 0.2 / 3
    desired = -(share * model(x).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(smoothed, desired)


def test_a_flat_loss_is_no_failure():
    model = nn.Linear(2, 2)
    nn.init.zeros_(model.weight)
    loss = SharpnessAware(RADIUS)(model, torch.zeros(2, 2), torch.tensor([0, 1]), None)
    loss.backward()
    assert loss.isfinite() and model.weight.grad.isfinite().all()


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        (torch.float32, 1.0),
        (torch.float64, 1e-11),
        (torch.float32, 1e-21),
        (torch.float32, 1e-36),
        (torch.float64, 1e-36),
    ],
)
def test_no_move_is_longer_than_the_radius(dtype, size, monkeypatch):
    """For L = size · |w| the loss at the moved weights is size · (|w| + ρ)."""
    model = nn.Linear(2, 1, bias=False, dtype=dtype)
    model.weight.data = torch.tensor([[3.0, 4.0]], dtype=dtype)
    monkeypatch.setattr(F, "cross_entropy", lambda logits, y, label_smoothing: size * logits.norm())
    loss = SharpnessAware(RADIUS)(model, torch.eye(2, dtype=dtype), None, torch.Generator())
    move = loss.item() / size - 5
    assert -1e-5 < move < RADIUS + 1e-5
    if size > 1e-12:
        assert move == pytest.approx(RADIUS, abs=1e-5)


def test_threads_change_no_bit(batch):
    x, y = torch.randn(7, 300, generator=torch.Generator().manual_seed(1)), batch[1]
    model = models.mlp((300, 1000, 3), density=0.5, dropout=0.0, seed=1)  # sums of 150,000 values
    losses = []
    for threads in (1, 2):
        with launch.on_threads(threads):
            losses.append(SharpnessAware(RADIUS)(model, x, y, torch.Generator()).item())
    assert losses[0] == losses[1]


def test_training_by_it_learns_and_evolves():
    split = data.load("digits", limit=400)
    net = models.mlp((64, 40, 10), density=0.2, standardisation=split.standardisation(), seed=0)
    settings = train.Settings(epochs=12, evolution=Evolution())
    history = train.fit(net, split, settings, seed=1, objective=SharpnessAware(0.05))
    assert history.metrics[-1]["test_accuracy"] > 0.7
