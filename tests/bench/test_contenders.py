"""The contenders compute the same, with the same links."""

import pytest
import torch
from torch import nn

from lib import bench, layers, models
from lib.activations import SReLU
from lib.bench import contenders

LINKS = {"er_epsilon": 2.0}
WIDTHS = (12, 20, 20, 20, 3)
PARTS = ("batch", "forward", "loss", "backward", "optimiser")


@pytest.fixture
def support():
    return contenders.layer_support(60, 50, 0.1)


# products


@pytest.mark.parametrize("product", ["spmm", "spmm_transposed"])
def test_contenders_compute_the_same_product(product, support):
    calls = bench.products(support)[product]
    desired = calls["dense"]()
    torch.testing.assert_close(calls["modular"](), desired)
    torch.testing.assert_close(calls["torch_sparse"](), desired)


def test_contenders_compute_the_same_weight_gradient(support):
    calls = bench.products(support)["sddmm"]
    desired = calls["dense"]()[support.row.long(), support.col.long()]
    torch.testing.assert_close(calls["modular"](), desired)
    torch.testing.assert_close(calls["torch_sparse"]().values(), desired)


def test_layer_that_is_measured_has_its_density(support):
    assert (support.n_in, support.n_out) == (60, 50)
    assert support.nnz == 300


@pytest.mark.parametrize("transposed", [False, True])
def test_csr_holds_every_weight_in_its_place(transposed, support):
    values = torch.arange(1.0, support.nnz + 1)
    desired = torch.zeros(50, 60)
    desired[support.row.long(), support.col.long()] = values
    if transposed:
        desired = desired.t()
    actual = bench.csr(support, values, transposed).to_dense()
    assert torch.equal(actual, desired)


def test_floor_has_every_product_but_the_gradient_at_the_pixels():
    calls = contenders.floor_calls((12, 20, 20, 10))
    assert len(calls) == 2 * (3 * 3 - 1)
    assert "0 spmm_transposed modular" not in calls


def test_floor_has_all_links_of_the_output_layer():
    calls = contenders.floor_calls((12, 20, 20, 10))
    weights = calls["2 sddmm torch_sparse"]().values()
    assert len(weights) == 20 * 10


# layers


def outputs_and_gradients(layer, x):
    x = x.clone().requires_grad_()
    y = layer(x)
    y.square().sum().backward()
    return [y, x.grad, layer.values.grad, layer.bias.grad]


def test_torch_sparse_layer_is_ours(support, generator):
    theirs = bench.TorchSparseLinear(60, 50, support=support, generator=generator)
    ours = layers.SparseLinear(60, 50, support=support)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(7, 60, generator=torch.Generator().manual_seed(1))
    actual = outputs_and_gradients(theirs, x)
    desired = outputs_and_gradients(ours, x)
    torch.testing.assert_close(actual, desired)


def test_plain_srelu_is_ours():
    x = torch.linspace(-2, 2, 101)[:, None].repeat(1, 3)
    torch.testing.assert_close(bench.PlainSReLU(3)(x), SReLU(3)(x))


def test_plain_srelu_has_the_gradients_of_ours():
    x = torch.linspace(-2, 2, 100)[:, None].repeat(1, 3)  # 100: none at a kink
    gradients = []
    for unit in (bench.PlainSReLU(3), SReLU(3)):
        inputs = x.clone().requires_grad_()
        unit(inputs).square().sum().backward()
        gradients.append(inputs.grad)
    torch.testing.assert_close(*gradients)


def test_masked_layer_has_no_gradient_off_its_mask():
    layer = bench.MaskedLinear(30, 20, density=0.2)
    layer(torch.randn(5, 30)).sum().backward()
    assert (layer.weight.grad[layer.mask == 0] == 0).all()


def test_masked_layer_has_the_links_of_its_density():
    layer = bench.MaskedLinear(30, 20, density=0.2)
    assert layer.mask.shape == (20, 30)
    assert layer.mask.sum() == 120


# networks


@pytest.mark.parametrize("contender", contenders.names())
def test_every_contender_trains(contender):
    step = bench.Trainer(contender, WIDTHS, **LINKS)
    for module in step.net.modules():
        if isinstance(module, layers.Dropout | nn.Dropout):
            module.p = 0.0
    step.x, step.y = step.x[:3], torch.arange(3)  # three examples can be learned by heart
    step.optimiser.param_groups[0]["lr"] = 0.1
    losses = [step() for _ in range(150)]
    assert losses[-1] < 0.5 * losses[0]
    counts = {part: len(times) for part, times in step.parts.items()}
    assert counts == dict.fromkeys(PARTS, 150)


@pytest.mark.parametrize("contender", contenders.names())
def test_every_contender_takes_and_gives_batches(contender):
    net = bench.network(contender, WIDTHS, **LINKS)
    assert net(torch.rand(5, 12)).shape == (5, 3)


@pytest.mark.parametrize("contender", ["modular", "torch_sparse", "masked"])
def test_sparse_contenders_have_the_links_of_ours(contender):
    desired = models.count_links(bench.network("fused", WIDTHS, **LINKS))
    net = bench.network(contender, WIDTHS, **LINKS)
    spared = 0
    for module in net:
        if isinstance(module, bench.MaskedLinear):
            spared += int((module.mask == 0).sum())
    assert models.count_links(net) - spared == desired


@pytest.mark.parametrize("contender", ["dense", "dense_modules"])
def test_dense_contenders_have_all_links(contender):
    desired = 12 * 20 + 20 * 20 + 20 * 20 + 20 * 3
    net = bench.network(contender, WIDTHS, **LINKS)
    assert models.count_links(net) == desired


def test_unknown_contender_is_refused():
    with pytest.raises(ValueError, match="unknown contender 'fussed': did you mean 'fused'"):
        bench.network("fussed", WIDTHS, **LINKS)


def test_sparselab_is_left_out_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(contenders.importlib.util, "find_spec", lambda name: None)
    assert "sparselab" not in contenders.names()
    assert {*contenders.names(), "sparselab"} == set(contenders.BUILDERS)


def test_sparselab_is_a_contender_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(contenders.importlib.util, "find_spec", lambda name: name)
    assert contenders.names() == list(contenders.BUILDERS)


@pytest.mark.parametrize(("contender", "fused"), [("fused", True), ("dense_modules", False)])
def test_plain_torch_has_the_default_optimiser(contender, fused):
    step = bench.Trainer(contender, WIDTHS, **LINKS)
    assert step.optimiser.defaults["fused"] is fused


def test_step_draws_as_many_examples_as_a_batch_has(monkeypatch):
    step = bench.Trainer("fused", WIDTHS, batch=4, **LINKS)
    shapes = []
    step.net.register_forward_pre_hook(lambda module, inputs: shapes.append(inputs[0].shape))
    step()
    assert shapes == [(4, 12)]
