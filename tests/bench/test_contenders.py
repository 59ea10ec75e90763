"""The contenders compute the same, with the same links."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lib import layers, models
from lib.bench import contenders
from lib.support import random_support

LINKS = {"er_epsilon": 2.0}
WIDTHS = (12, 20, 20, 20, 3)
RIVALS = ("sparselab", "sparseprop")


@pytest.fixture
def support():
    generator = torch.Generator().manual_seed(0)
    return random_support(60, 50, 0.1, generator=generator)


# products


@pytest.mark.parametrize("product", ["spmm", "spmm_transposed"])
def test_contenders_compute_the_same_product(product, support):
    calls = contenders.products(support)[product]
    desired = calls["dense"]()
    torch.testing.assert_close(calls["modular"](), desired)
    torch.testing.assert_close(calls["torch_sparse"](), desired)


def test_contenders_compute_the_same_weight_gradient(support):
    calls = contenders.products(support)["sddmm"]
    desired = calls["dense"]()[support.row.long(), support.col.long()]
    torch.testing.assert_close(calls["modular"](), desired)
    torch.testing.assert_close(calls["torch_sparse"]().values(), desired)


# layers


def outputs_and_gradients(layer, x):
    x = x.clone().requires_grad_()
    y = layer(x)
    y.square().sum().backward()
    return [y, x.grad, layer.values.grad, layer.bias.grad]


def test_torch_sparse_layer_is_ours(support, generator):
    theirs = contenders.TorchSparseLinear(60, 50, support=support, generator=generator)
    ours = layers.SparseLinear(60, 50, support=support)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(7, 60, generator=torch.Generator().manual_seed(1))
    actual = outputs_and_gradients(theirs, x)
    desired = outputs_and_gradients(ours, x)
    torch.testing.assert_close(actual, desired)


def test_masked_layer_has_no_gradient_off_its_mask():
    layer = contenders.MaskedLinear(30, 20, density=0.2)
    layer(torch.randn(5, 30)).sum().backward()
    assert (layer.weight.grad[layer.mask == 0] == 0).all()


# networks


@pytest.mark.parametrize("contender", contenders.names())
def test_every_contender_trains(contender):
    step = contenders.Trainer(contender, WIDTHS, **LINKS)
    for module in step.net.modules():
        if isinstance(module, layers.Dropout | nn.Dropout):
            module.p = 0.0
    step.x, step.y = step.x[:3], torch.arange(3)  # three examples can be learned by heart
    step.optimiser.param_groups[0]["lr"] = 0.1
    losses = [step() for _ in range(150)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("contender", ["modular", "torch_sparse", "masked"])
def test_sparse_contenders_have_the_links_of_ours(contender):
    desired = models.count_links(contenders.network("fused", WIDTHS, **LINKS))
    net = contenders.network(contender, WIDTHS, **LINKS)
    spared = 0
    for module in net.modules():
        if isinstance(module, contenders.MaskedLinear):
            spared += int((module.mask == 0).sum())
    assert models.count_links(net) - spared == desired


@pytest.mark.parametrize("contender", ["dense", "dense_modules"])
def test_dense_contenders_have_all_links(contender):
    desired = 12 * 20 + 20 * 20 + 20 * 20 + 20 * 3
    net = contenders.network(contender, WIDTHS, **LINKS)
    assert models.count_links(net) == desired


@pytest.mark.parametrize(("is_installed", "missing"), [(True, ()), (False, RIVALS)])
def test_rivals_are_contenders_where_they_are_installed(is_installed, missing, monkeypatch):
    monkeypatch.setattr(contenders, "is_installed", lambda rival: is_installed)
    desired = [name for name in contenders.CONTENDERS if name not in missing]
    assert contenders.names() == desired


def test_places_of_freed_layers_are_forgotten_before_sparselab_makes_one(monkeypatch):
    places = {"of a freed layer": "places"}
    ops = SimpleNamespace(_clear_transpose_cache=places.clear)
    stand_in = SimpleNamespace(ops=ops, SparseLinear=lambda *_, **__: dict(places))
    monkeypatch.setitem(sys.modules, "sparselab", stand_in)
    assert contenders.sparselab_layer(12, 20, density=0.2) == {}


@pytest.mark.skipif(not contenders.is_installed("sparseprop"), reason="make bench-rivals")
def test_sparseprop_computes_the_layer_that_it_is_given():
    layer = contenders.sparseprop_layer(32, 48, density=0.2)
    dense = layer.to_dense()
    x = torch.randn(16, 32, requires_grad=True)
    actual = torch.autograd.grad(layer(x).square().sum(), [x, layer.weight, layer.bias])
    desired = torch.autograd.grad(dense(x).square().sum(), [x, dense.weight, dense.bias])
    links = dense.weight.detach().nonzero(as_tuple=True)
    torch.testing.assert_close(actual, (desired[0], desired[1][links], desired[2]))


def test_threads_are_those_of_torch():
    before = torch.get_num_threads()
    contenders.set_threads(1)
    assert torch.get_num_threads() == 1
    contenders.set_threads(before)


@pytest.mark.parametrize("contender", ["dense_modules", "masked", "torch_sparse"])
def test_pass_of_a_layer_gives_the_gradients_of_input_and_parameters(contender):
    layer = contenders.LAYERS[contender](12, 20, density=0.2)
    x = torch.rand(5, 12)
    before = torch.get_rng_state()
    call = contenders.Pass(layer, x, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.get_rng_state(), before)
    assert not x.requires_grad
    x.requires_grad_()
    desired = torch.autograd.grad((layer(x) * call.grad_y).sum(), [x, *layer.parameters()])
    torch.testing.assert_close(call(), desired)


@pytest.mark.parametrize(("contender", "fused"), [("fused", True), ("dense_modules", False)])
def test_plain_torch_has_the_default_optimiser(contender, fused):
    step = contenders.Trainer(contender, WIDTHS, **LINKS)
    assert step.optimiser.defaults["fused"] is fused


def test_step_draws_as_many_examples_as_a_batch_has(monkeypatch):
    step = contenders.Trainer("fused", WIDTHS, batch=4, **LINKS)
    monkeypatch.setattr(step, "compiled", lambda x, y, index: len(index))
    assert step() == 4
    general = contenders.Trainer("modular", WIDTHS, batch=4, **LINKS)
    shapes = []
    general.net.register_forward_pre_hook(lambda module, inputs: shapes.append(inputs[0].shape))
    general()
    assert shapes == [(4, 12)]


def test_step_and_autograd_lower_the_loss_alike():
    losses = []
    for contender in ("fused", "modular"):
        step = contenders.Trainer(contender, WIDTHS, batch=8, density=0.5)
        torch.manual_seed(0)
        losses.append([step() for _ in range(5)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
