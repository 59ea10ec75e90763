"""The table of a model's layers: links, parameters and multiply-adds, counted by hand."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from lib import models
from lib.layers import SparseLinear
from lib.sparsify import summary


def column(table, name):
    return table[name].to_dict()


@pytest.fixture
def sparse(generator):
    """Twenty percent of 10 x 8."""
    return SparseLinear(10, 8, density=0.2, generator=generator)


@pytest.mark.parametrize(("density", "links"), [(None, (600, 400, 200)), (0.2, (120, 80, 200))])
def test_network_has_a_row_for_each_layer_and_the_total(density, links):
    net = models.mlp([30, 20, 20, 10], density=density, activation="relu")
    table = summary(net, (7, 30)).table
    first, *others = links  # no gradient at the pixels
    names = ["linear1", "linear2", "linear3", "total"]
    assert column(table, "links") == dict(zip(names, (*links, sum(links)), strict=True))
    parameters = [n + biases for n, biases in zip(links, (20, 20, 10), strict=True)]
    assert list(table["parameters"]) == [*parameters, sum(parameters)]
    assert list(table["forward"]) == [7 * n for n in (*links, sum(links))]
    steps = [7 * 2 * first, *(7 * 3 * n for n in others)]
    assert list(table["step"]) == [*steps, sum(steps)]
    assert list(table["shape"]) == ["20 x 30", "20 x 20", "10 x 20", ""]


def test_shares_are_those_of_the_same_layers_with_all_links():
    table = summary(models.mlp([30, 20, 20, 10], density=0.2), (7, 30)).table
    assert table["density"]["linear1"] == table["forward_share"]["linear1"] == 0.2
    assert table["forward_share"]["total"] == table["density"]["total"] == 400 / 1200
    assert table["step_share"]["total"] == (2 * 120 + 3 * 280) / (2 * 600 + 3 * 600)


def test_convolution_norm_and_sparse_layer_of_a_user_are_counted(generator):
    last = SparseLinear(8 * 36, 10, density=0.1, generator=generator)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), last)
    table = summary(model, (2, 3, 8, 8)).table
    conv = 2 * 36 * 8 * 3 * 9
    assert column(table, "forward") == {"0": conv, "1": 0, "4": 576, "total": conv + 576}
    assert column(table, "step") == {"0": 2 * conv, "1": 0, "4": 1728, "total": 2 * conv + 1728}
    assert column(table, "parameters") == {"0": 224, "1": 16, "4": 298, "total": 538}


@pytest.mark.parametrize("is_frozen", [False, True])
def test_attention_is_counted_with_its_products(is_frozen):
    model = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).requires_grad_(not is_frozen)
    row = summary(model, (2, 5, 16)).table.loc["self_attn"]
    inputs, outputs, heads = 10 * 16 * 48, 10 * 16 * 16, 2 * (2 * 2 * 5 * 5 * 8)
    backward = 0 if is_frozen else inputs + 2 * outputs + 2 * heads
    assert row["forward"] == inputs + outputs + heads
    assert row["step"] == row["forward"] + backward


class Towers(nn.Module):
    """Two inputs meet; a parameter and a product are the model's own."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.top = nn.Linear(10, 20), nn.Linear(30, 20), nn.Linear(20, 5)
        self.matrix = nn.Parameter(torch.ones(5, 4))

    def forward(self, x, *, other):
        return {"logits": self.top((self.left(x) + self.right(other)).relu()) @ self.matrix}


def test_products_belong_to_the_module_that_makes_them():
    table = summary(Towers(), (7, 10), other=torch.rand(7, 30)).table
    steps = {"Towers": 7 * 20 * 3, "left": 7 * 200 * 2, "right": 7 * 600 * 2, "top": 7 * 100 * 3}
    assert column(table, "step") == steps | {"total": sum(steps.values())}


def test_layer_used_twice_or_weights_shared_are_stored_once_and_multiply_twice(generator):
    layer = SparseLinear(8, 8, density=0.25, generator=generator)
    row = summary(nn.Sequential(layer, nn.ReLU(), layer), (3, 8)).table.loc["total"]
    assert (row["links"], row["parameters"], row["forward"]) == (16, 24, 2 * 3 * 16)
    assert row["step"] == (2 + 3) * 3 * 16
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    model[1].weight = model[0].weight
    table = summary(model, (3, 8)).table
    assert list(table["links"]) == list(table["parameters"]) == [64, 64, 64]
    assert table["density"]["total"] == 1 and table["forward"]["total"] == 3 * 128


@pytest.mark.parametrize("law", [weight_norm, orthogonal, spectral_norm])
def test_parametrized_layer_has_the_links_that_it_multiplies_by(law):
    table = summary(nn.Sequential(law(nn.Linear(5, 5)), law(nn.Linear(5, 5))), (2, 5)).table
    assert (table["links"]["0"], table["links"]["total"]) == (25, 50)
    assert table["forward"]["0"] == table["forward"]["1"] == 2 * 25


def test_pass_that_is_computed_again_belongs_to_its_layer(sparse):
    class Again(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = sparse

        def forward(self, x):
            return checkpoint(self.layer, x, use_reentrant=False)

    table = summary(Again(), (3, 10)).table
    assert column(table, "step") == {"layer": 3 * 3 * 16, "total": 3 * 3 * 16}


@pytest.mark.parametrize(
    ("make", "shapes"),
    [
        (lambda: nn.LSTM(4, 3), [(5, 2, 4)]),
        (lambda: nn.Sequential(nn.Conv1d(4, 2, 2), nn.Linear(1, 3)), [(5, 4, 2)]),
        (lambda: nn.TransformerDecoderLayer(8, 2, 16), [(5, 2, 8), (3, 2, 8)]),
    ],
)
def test_total_is_that_of_torch(make, shapes, monkeypatch):
    model = make()
    total = summary(model, *shapes).table["forward"]["total"]
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)  # it counts no LSTM of oneDNN
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(*map(torch.zeros, shapes))
    assert 2 * total == counter.get_total_flops() > 0


def test_model_stays_as_it_is(sparse):
    model = nn.Sequential(sparse, nn.BatchNorm1d(8), nn.Dropout()).train()
    model[0].values.grad = torch.ones(16)
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    summary(model, (1, 10))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training and torch.equal(model[0].values.grad, torch.ones(16))
    assert model[0].bias.grad is None and torch.equal(torch.get_rng_state(), random)


def test_whole_table_is_printed(sparse):
    shown = summary(nn.Sequential(nn.Linear(2000, 10), nn.PReLU(), sparse), (1, 2000))
    lines = [line.split() for line in repr(shown).splitlines()]
    assert lines[1] == ["0", "Linear", "10", "x", "2000", "20,000", "100.00%", "20,010"] + [
        *("20,000", "40,000", "100.00%", "100.00%")
    ]
    assert lines[3][-1] == "20.00%" and [line[0] for line in lines[1:]] == ["0", "1", "2", "total"]
    assert "<table" in shown._repr_html_() and "20,010" in shown._repr_html_()


def test_model_without_layers_has_a_total_of_nothing():
    table = summary(nn.ReLU(), (2, 3)).table
    assert list(table.index) == ["total"] and table["forward"]["total"] == 0


def test_model_that_returns_no_tensor_is_refused():
    class Text(nn.Linear):
        def forward(self, x):
            return "text"

    with pytest.raises(ValueError, match="the model returns a str: return tensors"):
        summary(Text(3, 2), (1, 3))


@pytest.mark.parametrize("groups", [1, 4, 64])
def test_grouped_convolution_counts_each_gradient_once(groups):
    first, second = nn.Conv2d(3, 64, 1), nn.Conv2d(64, 64, 3, padding=1, groups=groups)
    table = summary(nn.Sequential(first, second), (1, 3, 16, 16)).table
    ends, grouped = 256 * 64 * 3, 256 * 64 * (64 // groups) * 9
    assert table["forward"].tolist() == [ends, grouped, ends + grouped]
    assert table["step"].tolist() == [2 * ends, 3 * grouped, 2 * ends + 3 * grouped]
