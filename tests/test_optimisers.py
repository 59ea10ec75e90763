"""Which parameters decay, by the kind of their module, under any optimiser of torch."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

from lib.activations import Splash, SReLU
from lib.layers import SparseLinear
from lib.train import decay_groups


class Own(nn.Module):
    """A module of a user, with a matrix of its own."""

    def __init__(self):
        super().__init__()
        self.matrix, self.bias = nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3))


class Wrapper(nn.Module):
    """As DistributedDataParallel, which needs processes."""

    def __init__(self, module):
        super().__init__()
        self.module = module


def names(model, **how):
    """Of the parameters that decay."""
    decayed, others = decay_groups(model, 0.5, **how)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.5, 0)
    assert len(decayed["params"]) + len(others["params"]) == len([*model.parameters()])
    return [name for name, p in model.named_parameters() if any(p is q for q in decayed["params"])]


@pytest.mark.parametrize(
    ("module", "decayed"),
    [
        (SparseLinear(4, 3, density=0.5), ["values"]),
        (nn.Linear(4, 3), ["weight"]),
        (nn.Conv2d(2, 3, 2), ["weight"]),
        (nn.ConvTranspose2d(2, 3, 2), ["weight"]),
        (nn.MultiheadAttention(4, 2, add_bias_kv=True), ["in_proj_weight", "out_proj.weight"]),
        (prune.identity(nn.Linear(4, 3), "weight"), ["weight_orig"]),
        (prune.identity(SparseLinear(4, 3, density=0.5), "values"), ["values_orig"]),
        (prune.identity(nn.Linear(4, 3), "bias"), ["weight"]),
        (weight_norm(nn.Linear(4, 3)), [f"parametrizations.weight.original{i}" for i in (0, 1)]),
        (nn.LSTM(4, 3), ["weight_ih_l0", "weight_hh_l0"]),
        (nn.GRUCell(4, 3), ["weight_ih", "weight_hh"]),
        (nn.Bilinear(2, 3, 4), ["weight"]),
        (nn.Embedding(4, 3), []),
        (nn.GroupNorm(1, 3), []),
        (nn.BatchNorm1d(3), []),
        (nn.PReLU(), []),
        (SReLU(3), []),
        (Splash(), []),
        (Splash(decayed=True), ["coefficients"]),
        (Own(), []),
    ],
    ids=lambda value: type(value).__name__,
)
def test_weight_decay_acts_by_kind_of_module(module, decayed):
    assert names(Wrapper(nn.Sequential(module))) == [f"module.0.{name}" for name in decayed]


@pytest.mark.parametrize("also", [(Own,), (Own, nn.Embedding)])
def test_further_kinds_decay_but_their_biases(also):
    model = nn.Sequential(Own(), nn.Embedding(4, 3))
    assert names(model, also=also) == ["0.matrix", "1.weight"][: len(also)]


def test_embedding_that_is_the_weight_of_the_last_layer_decays_once():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5))
    model[1].weight = model[0].weight
    assert names(model) == ["0.weight"]


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD, torch.optim.Adam])
def test_frozen_weights_stay_and_biases_do_not_decay(kind):
    model = nn.Sequential(SparseLinear(4, 3, density=0.5), nn.Linear(3, 3))
    nn.init.ones_(model[0].bias)
    model[1].requires_grad_(False)
    before = [p.detach().clone() for p in model.parameters()]
    optimiser = kind(decay_groups(model, 0.5), lr=0.1)
    for p in (model[0].values, model[0].bias):
        p.grad = torch.zeros_like(p)
    optimiser.step()
    is_changed = [not torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True)]
    assert is_changed == [True, False, False, False]


@pytest.mark.parametrize("bad", [-0.1, float("nan")])
def test_weight_decay_out_of_range_is_refused(bad):
    with pytest.raises(ValueError, match="weight_decay"):
        decay_groups(nn.Linear(2, 2), bad)
