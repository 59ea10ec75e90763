"""Convolutional networks against the papers' parameter counts, and each other's first outputs."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import activations, data, models, train
from lib.activations import AllReLU
from lib.models import PartialConv2d, Subsample, convnet, count_parameters
from lib.train import Settings

CIFAR = (3, 32, 32)
SMALL = {"lenet5": (28, 28), "all_cnn": (3, 12, 12), "resnet20": (4, 4), "nin": (3, 8, 8)}
each_network = pytest.mark.parametrize("name", models.NETWORKS)


def parameters_of(net, kind):
    """The number of parameters of each module of a kind."""
    return [count_parameters(m) for m in net.modules() if isinstance(m, kind)]


# parameter counts of the papers


def test_lenet5_has_the_parameters_of_each_layer_of_the_paper():
    net = convnet("lenet5", (28, 28), 10, norm=False)
    assert parameters_of(net, nn.Conv2d) == [156, 1_516, 48_120]  # C1, C3, C5
    assert parameters_of(net, Subsample) == [12, 32]  # S2, S4
    assert parameters_of(net, nn.Linear)[0] == 10_164  # F6
    assert count_parameters(net) - 850 == 60_000  # without the output, which is fixed there


ALL_CNN = [(3, 96, 9), (96, 96, 9), (96, 96, 9), (96, 192, 9), (192, 192, 9), (192, 192, 9)]
ALL_CNN += [(192, 192, 9), (192, 192, 1), (192, 10, 1)]
NIN = [(3, 192, 25), (192, 160, 1), (160, 96, 1), (96, 192, 25), (192, 192, 1), (192, 192, 1)]
NIN += [(192, 192, 9), (192, 192, 1), (192, 10, 1)]


@pytest.mark.parametrize(  # millions: Springenberg2015
    ("name", "layers", "digits", "millions"), [("all_cnn", ALL_CNN, 1, 1.4), ("nin", NIN, 0, 1)]
)
def test_networks_have_the_parameters_of_the_papers(name, layers, digits, millions):
    net = convnet(name, CIFAR, 10, norm=False)
    assert count_parameters(net) == sum(n_in * n * size + n for n_in, n, size in layers)
    assert round(count_parameters(net) / 1e6, digits) == millions


def test_resnet20_has_the_parameters_of_the_paper():
    net = convnet("resnet20", CIFAR, 10)
    assert round(count_parameters(net) / 1e6, 2) == 0.27  # He2016, Table 6: .27 M
    assert len(parameters_of(net, nn.Conv2d | nn.Linear)) == 20


@pytest.mark.parametrize(("name", "n_hinges"), [("lenet5", 3), ("resnet20", 7)])
def test_splash_adds_one_coefficient_more_than_hinges_a_unit(name, n_hinges):
    options = {"n_hinges": n_hinges}
    relu = convnet(name, CIFAR, 10)
    net = convnet(name, CIFAR, 10, activation="splash", options=options)
    n_units = len(activations.splash_units(net))
    assert n_units == len([m for m in relu.modules() if isinstance(m, nn.ReLU)])
    assert count_parameters(net) - count_parameters(relu) == (n_hinges + 1) * n_units


# pairs


@pytest.mark.parametrize(
    ("name", "norm"),
    [("lenet5", True), ("lenet5", False), ("all_cnn", True), ("resnet20", True), ("nin", False)],
)
def test_splash_starts_as_the_relu_network_to_the_bit(name, norm, generator):
    x = torch.rand(5, *SMALL[name], generator=generator)
    nets = [convnet(name, SMALL[name], 10, activation=a, norm=norm) for a in ("relu", "splash")]
    assert torch.equal(nets[0](x), nets[1](x))
    assert torch.equal(nets[0].eval()(x), nets[1].eval()(x))


@pytest.mark.parametrize("activation", ["splash", "all_relu", "tanh"])
def test_networks_of_a_seed_have_the_same_weights(activation):
    nets = [convnet("resnet20", (8, 8), 10, activation=a, seed=3) for a in ("relu", activation)]
    weights = [dict(net.named_parameters()) for net in nets]
    assert all(torch.equal(weights[1][name], value) for name, value in weights[0].items())


@pytest.mark.parametrize(
    ("name", "layer", "fan_in"), [("all_cnn", "conv2", 864), ("nin", "conv4", 2400)]
)
def test_weights_start_with_the_variance_of_he(name, layer, fan_in):
    weight = getattr(convnet(name, CIFAR, 10), layer).weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.02)


# what they compute


@pytest.mark.parametrize(
    ("name", "activation"),
    list(zip(itertools.cycle(models.NETWORKS), activations.UNITS, strict=False)),
)
def test_every_network_learns_with_every_unit(name, activation, generator):
    net = convnet(name, SMALL[name], 3, activation=activation, dropout=True)
    x, y = torch.rand(4, *SMALL[name], generator=generator), torch.arange(4) % 3
    logits = net(x)
    F.cross_entropy(logits, y).backward()
    assert logits.shape == (4, 3)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@each_network
def test_every_network_is_as_wide_as_the_pieces_of_maxout_ask_for(name, generator):
    net = convnet(name, SMALL[name], 3, activation="maxout", options={"k": 3})
    assert net(torch.rand(2, *SMALL[name], generator=generator)).shape == (2, 3)


@each_network
def test_slopes_of_all_relu_alternate_from_unit_to_unit(name):
    net = convnet(name, SMALL[name], 3, activation="all_relu")
    slopes = [m.negative_slope for m in net.modules() if isinstance(m, AllReLU)]
    assert slopes[::2] == [0.6] * len(slopes[::2]) and slopes[1::2] == [-0.6] * len(slopes[1::2])


@each_network
def test_flat_images_are_images(name, generator):
    net = convnet(name, SMALL[name], 10).eval()
    x = torch.rand(3, *SMALL[name], generator=generator)
    assert torch.equal(net(x.flatten(1)), net(x))


def test_images_are_standardised_in_the_network_and_enlarged_after_it(generator):
    x = torch.rand(6, 8, 8, generator=generator)
    constants = torch.tensor(0.4), torch.tensor(0.2)
    net = convnet("lenet5", (8, 8), 10, enlarge=4, standardisation=constants).eval()
    plain = convnet("lenet5", (32, 32), 10).eval()
    desired = plain(((x - 0.4) / 0.2).repeat_interleave(4, 1).repeat_interleave(4, 2))
    torch.testing.assert_close(net(x), desired)


def test_partial_convolution_is_a_convolution_with_missing_kernels(generator):
    sees = ((0, 2), (1,), (0, 1, 2))
    layer = PartialConv2d(3, sees, 3)
    layer.weight.data = torch.randn(6, 3, 3, generator=generator)
    dense = torch.zeros(3, 3, 3, 3)
    kernels = iter(layer.weight.detach())
    for row, maps in enumerate(sees):
        for column in maps:
            dense[row, column] = next(kernels)
    x = torch.randn(2, 3, 7, 7, generator=generator)
    torch.testing.assert_close(layer(x), F.conv2d(x, dense, layer.bias))


@pytest.mark.parametrize("shape", [(3, 2, 6, 8), (2, 2, 5, 7)])
def test_subsampling_sums_as_pooling_does_to_the_bit(shape, generator):
    x = torch.randn(shape, generator=generator, dtype=torch.float32, requires_grad=True)
    actual, desired = 4 * Subsample(2).float()(x), 4 * F.avg_pool2d(x, 2)
    assert torch.equal(actual, desired)
    along = torch.randn(actual.shape, generator=generator, dtype=torch.float32)
    gradients = [torch.autograd.grad(y, x, along)[0] for y in (actual, desired)]
    assert torch.equal(*gradients)


def test_subsampling_is_its_definition(generator):
    layer = Subsample(2)
    layer.weight.data, layer.bias.data = torch.tensor([[2.0], [-1.0]]), torch.tensor([0.5, 0.0])
    x = torch.randn(1, 2, 4, 4, generator=generator)
    four = x[:, :, 0::2, 0::2] + x[:, :, 1::2, 0::2] + x[:, :, 0::2, 1::2] + x[:, :, 1::2, 1::2]
    desired = torch.stack([2 * four[:, 0] + 0.5, -four[:, 1]], 1)
    torch.testing.assert_close(layer(x), desired)


def test_shortcut_takes_every_other_pixel_and_pads_maps(generator):
    block = models.Residual(nn.Conv2d(2, 5, 1, stride=2), nn.Identity(), 3, 2)
    x = torch.randn(3, 2, 4, 4, generator=generator)
    shortcut = block(x) - block.branch(x)
    torch.testing.assert_close(shortcut[:, :2], x[:, :, ::2, ::2])
    assert shortcut[:, 2:].abs().max() < 1e-12


def test_dropout_of_images_is_inverted_dropout_of_every_value():
    layer = models.ImageDropout(0.25, seed=1)
    x = torch.ones(20, 5, 16, 16)
    y = layer(x)
    assert set(y.unique().tolist()) == {0.0, 1 / 0.75}
    assert (y == 0).double().mean().item() == pytest.approx(0.25, abs=0.01)  # 4 s.d. of 25,600
    assert not torch.equal(layer(x), y) and torch.equal(layer.eval()(x), x)


def test_held_norms_are_1_and_the_logits_scaled():
    net = convnet("lenet5", (28, 28), 10, norm=False, logit_scale=7.0)
    net.train()(torch.rand(4, 28, 28))
    norms = [
        torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item()
        for layer in net.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear | Subsample)
    ]
    assert len(norms) == 7 and norms == pytest.approx([1.0] * 7, abs=0.02)
    assert net.scale.factor == 7


def test_networks_do_not_depend_on_the_generator_of_torch():
    nets = []
    for other in (1, 2):
        torch.manual_seed(other)
        nets.append(convnet("lenet5", (28, 28), 10, norm=False, logit_scale=1.0))
    x = torch.rand(2, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(nets[0](x), nets[1](x))


@pytest.mark.parametrize("activation", ["relu", "splash", "maxout"])
def test_shortcut_passes_what_a_silent_branch_leaves(activation):
    net = convnet("resnet20", (3, 8, 8), 10, activation=activation)
    block = net.block1.eval()
    for p in block.branch.parameters():
        p.data.zero_()
    x = torch.rand(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    unit = activations.make(activation, 16)
    pixels = x.movedim(1, -1).reshape(-1, 16)
    seen = pixels.repeat_interleave(activations.pieces(activation), dim=1)
    torch.testing.assert_close(block(x).movedim(1, -1).reshape(-1, 16), unit(seen))


@each_network
@pytest.mark.parametrize("larger", [0, 3])
def test_least_images_and_odd_ones_fit(name, larger):
    side = models.LEAST_SIDE[name] + larger
    net = convnet(name, (side, side), 10).eval()
    assert net(torch.zeros(2, side, side)).shape == (2, 10)


def test_network_is_trained_on_grey_images():
    split = data.load("digits", limit=300)
    net = convnet(
        "resnet20", (8, 8), 10, activation="splash", standardisation=split.standardisation()
    )
    how = Settings(3, learning_rate=0.1, schedule="one_cycle", batch_size=50)
    history = train.fit(net, split, how, seed=0)
    assert history.metrics[-1]["train_loss"] < 0.6 * history.metrics[0]["train_loss"]


@pytest.mark.parametrize(
    ("name", "image", "options", "sentence"),
    [
        ("lenet", (28, 28), {}, "unknown network 'lenet': did you mean 'lenet5'"),
        ("lenet5", (8, 8), {}, "8 x 8 are too small for lenet5: give sides of at least 28, or en"),
        ("nin", (3, 3, 3), {}, "3 x 3 are too small for nin: give sides of at least 4"),
        ("all_cnn", (28, 20), {}, r"all_cnn takes square images, not \(28, 20\): give \(H, W\)"),
        ("lenet5", (0, 28, 28), {}, r"image\[0\] = 0 is out of range: give a whole number"),
        ("resnet20", (64,), {}, r"resnet20 takes square images, not \(64,\)"),
        ("lenet5", (28, 28), {"activation": "splsh"}, "unknown activation 'splsh': did you mean"),
        ("lenet5", (28, 28), {"logit_scale": 2.0}, "with normalisation: give norm = False"),
        ("lenet5", (28, 28), {"norm": False, "logit_scale": 0.0}, "logit_scale = 0.0 is out of"),
    ],
)
def test_what_does_not_fit_is_refused(name, image, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        convnet(name, image, 10, **options)
