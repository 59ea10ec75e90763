"""What a step lowers besides the plain loss: the penalty."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import layers, models
from papers.set.training import Lasso, RegularisedTraining, link_weights


def network():
    return models.mlp((6, 5, 3), density=0.5, dropout=0.0, activation="relu", seed=1)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(8, 6, generator=generator), torch.arange(8) % 3


def gradients(model, loss):
    return torch.autograd.grad(loss, [p for _, p in sorted(model.named_parameters())])


def test_penalty_adds_the_signs_of_the_weights_of_links_to_their_gradient(batch):
    model, coupling = network(), 0.7
    with torch.no_grad():
        model.linear1.values[:2] = 0.0  # the subgradient there is 0
    x, y = batch
    plain = gradients(model, F.cross_entropy(model(x), y))
    penalised = gradients(model, Lasso(coupling)(model, x, y, torch.Generator()))
    names = sorted(name for name, _ in model.named_parameters())
    for name, before, after in zip(names, plain, penalised, strict=True):
        values = dict(model.named_parameters())[name]
        desired = coupling * values.sign() if name.endswith("values") else 0 * values
        torch.testing.assert_close(after - before, desired)


def test_weights_of_links_are_those_of_linear_layers_alone():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(4, 3), layers.SparseLinear(3, 2, density=1))
    found = link_weights(model)
    assert [tuple(weights.shape) for weights in found] == [(3, 4), (6,)]


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"l1": -1e-7}, "l1 = -1e-07 is out of range: give a finite number from 0"),
        ({"l1": float("nan")}, "l1 = nan is out of range"),
        ({"label_smoothing": 1.0}, "label_smoothing = 1.0 is out of range: give a number in"),
        ({"sharpness": -0.1}, "sharpness = -0.1 is out of range: give a number in"),
        ({"l1": 0.1, "sharpness": 0.1}, "l1 = 0.1 with another objective: give one of them"),
    ],
)
def test_training_that_cannot_be_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        RegularisedTraining("accuracy_tuning", **fields).check()
