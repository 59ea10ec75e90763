"""SPLASH, APL and maxout as units: special cases, symmetry, recovery, starts, refusals."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import activations, models
from lib.activations import APL, Maxout, Splash

each_s = pytest.mark.parametrize("n_hinges", [1, 7, 11])


def everywhere(generator):
    """Around the hinges and over several standard deviations."""
    at = torch.tensor([0.0, 0.625, 1.0, 1.25, 5 / 6, 5 / 3, 1.875, 2.0, 2.5])
    at = torch.cat([at, -at])
    near = [at.nextafter(at + 1), at.nextafter(at - 1)]
    return torch.cat([at, *near, 3 * torch.randn(200, generator=generator)])


def unit_of(n_hinges, right=(), left=()):
    """A unit with these first coefficients, the others 0."""
    unit = Splash(n_hinges)
    with torch.no_grad():
        unit.coefficients.zero_()
        unit.coefficients[0, : len(right)] = torch.tensor(right)
        unit.coefficients[1, : len(left)] = torch.tensor(left)
    return unit


def drawn(n_hinges, generator):
    unit = Splash(n_hinges)
    unit.coefficients.data = torch.randn(unit.coefficients.shape, generator=generator)
    return unit


SPECIAL = {
    "relu": ([1.0], [], F.relu),
    "leaky relu": ([1.0], [-0.3], lambda x: F.leaky_relu(x, 0.3)),
    "absolute value": ([1.0], [1.0], torch.abs),
    "identity": ([1.0], [-1.0], lambda x: x),
}


@pytest.mark.parametrize(("name", "n_hinges"), list(zip(SPECIAL, (1, 7, 11, 7), strict=True)))
def test_special_coefficients_are_known_functions(name, n_hinges, generator):
    right, left, desired = SPECIAL[name]
    x = everywhere(generator)
    assert torch.equal(unit_of(n_hinges, right, left)(x), desired(x))


@each_s
def test_unit_is_grounded_whatever_its_coefficients(n_hinges, generator):
    for _ in range(20):
        unit = drawn(n_hinges, generator)
        unit.coefficients.data *= 1e6
        assert unit(torch.tensor([0.0, -0.0])).tolist() == [0, 0]


@each_s
def test_a_layer_has_one_coefficient_more_than_hinges(n_hinges):
    assert sum(p.numel() for p in Splash(n_hinges).parameters()) == n_hinges + 1
    assert len(torch.cat([Splash(n_hinges).hinges, -Splash(n_hinges).hinges]).unique()) == n_hinges


@each_s
def test_lipschitz_constant_is_the_steepest_slope(n_hinges, generator):
    unit = drawn(n_hinges, generator)
    x = torch.linspace(-4, 4, 4001)
    y = unit(x).detach()
    assert unit.lipschitz() == pytest.approx(float((y.diff() / x.diff()).abs().max()), rel=1e-9)


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_bounded_unit_is_as_steep_as_relu_at_most(scale, generator):
    unit, free = Splash(bounded=True), Splash()
    unit.coefficients.data = scale * torch.randn(2, 4, generator=generator)
    free.load_state_dict(unit.state_dict())
    x = everywhere(generator)
    desired = free(x) / max(1.0, free.lipschitz())
    torch.testing.assert_close(unit(x), desired, rtol=1e-12, atol=1e-12)
    assert unit.lipschitz() <= 1 + 1e-12


@pytest.mark.parametrize(
    ("options", "desired"),
    [
        ({}, F.relu),
        ({"bounded": True}, F.relu),
        ({"start": "leaky_relu"}, lambda x: F.leaky_relu(x, 0.01)),
        ({"start": "linear"}, lambda x: x),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unit_starts_as_it_says_to_the_bit(options, desired, dtype, generator):
    x = everywhere(generator).to(dtype)
    assert torch.equal(Splash(**options).to(dtype)(x), desired(x))


# hinges


def test_seven_hinges_are_those_remembered_of_the_paper_and_others_evenly_spaced():
    assert activations.hinge_positions(7) == (0, 1, 2, 2.5)
    assert activations.hinge_positions(5) == (0, 1.25, 2.5)
    assert activations.hinge_positions(1) == (0,)


def test_hinges_at_quantiles_divide_the_data_into_equal_parts(generator):
    x = torch.randn(40, 100, generator=generator)
    hinges = activations.hinges_at_quantiles(x, 4)
    parts = torch.bucketize(x.abs().flatten(), hinges, right=True).bincount()
    assert hinges[0] == 0 and parts[1:].tolist() == [1000] * 4


def test_hinges_are_placed_once_by_what_each_unit_sees(generator):
    net = models.mlp((20, 15, 15, 3), activation="splash", dropout=0.5, seed=0)
    twin = models.mlp((20, 15, 15, 3), activation="relu", dropout=0.0, seed=0)
    x = torch.rand(64, 20, generator=generator)
    activations.place_hinges_(net, x)
    assert net.training and torch.equal(net.eval()(x), twin.eval()(x))
    inputs = twin.linear2(twin.activation1(twin.linear1(x)))
    desired = activations.hinges_at_quantiles(inputs, 4)
    torch.testing.assert_close(net.activation2.hinges, desired)
    alone = activations.Splash()
    activations.place_hinges_(alone, inputs)
    torch.testing.assert_close(alone.hinges, desired)


def test_hinges_behind_a_normalisation_divide_what_it_gives_in_training(generator):
    net = models.convnet("lenet5", (28, 28), 10, activation="splash", seed=0)
    x = torch.rand(200, 28, 28, generator=generator)
    before = copy.deepcopy(net.norm1.state_dict())
    net.norm2.eval()
    activations.place_hinges_(net, x)
    assert net.training and net.norm1.training and not net.norm2.training
    net.train()
    torch.testing.assert_close(net.norm1.state_dict(), before)
    seen = []
    net.activation1.register_forward_pre_hook(lambda unit, inputs: seen.append(inputs[0]))
    net(x)
    parts = torch.bucketize(seen[0].abs().flatten(), net.activation1.hinges, right=True)
    shares = parts.bincount()[1:] / parts.numel()
    assert (shares - 0.25).abs().max() < 0.001


def test_hinges_may_be_given_as_whole_numbers(generator):
    x = torch.randn(50, generator=generator)
    whole, same = Splash(positions=(0, 1, 2, 3)), Splash(positions=(0.0, 1.0, 2.0, 3.0))
    assert torch.equal(whole(x), same(x))


def test_unit_is_found_by_its_name():
    net = models.mlp((8, 6, 4, 2), activation="splash", options={"n_hinges": 3})
    assert list(activations.splash_units(net)) == ["activation1", "activation2"]
    assert repr(net.activation1) == "Splash(hinges=(0, 2.5), bounded=False)"


# the others


def test_apl_is_its_definition(generator):
    unit = APL(3, n_hinges=2)
    a, b = (torch.randn(2, 3, generator=generator) for _ in range(2))
    unit.load_state_dict({"slopes": a, "hinges": b})
    x = torch.randn(50, 3, generator=generator)
    desired = x.clamp(min=0)
    for s in range(2):
        desired = desired + a[s] * torch.maximum(torch.zeros(()), -x + b[s])
    torch.testing.assert_close(unit(x), desired)
    assert torch.equal(APL(3)(x), x.relu())  # as it starts


def test_maxout_is_the_largest_of_its_pieces(generator):
    x = torch.randn(4, 9, 6, generator=generator)
    desired = torch.stack([x[..., 0::2], x[..., 1::2]]).amax(0)
    assert torch.equal(Maxout()(x), desired)


@pytest.mark.parametrize("name", activations.UNITS)
def test_every_unit_works_in_a_network_and_learns(name, generator):
    net = models.mlp((8, 6, 6, 3), density=0.5, activation=name, seed=0)
    x, y = torch.randn(30, 8, generator=generator), torch.arange(30) % 3
    F.cross_entropy(net(x), y).backward()
    assert net(x).shape == (30, 3)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_layers_are_as_wide_as_the_pieces_of_maxout_ask_for(generator):
    net = models.mlp((8, 6, 5, 3), activation="maxout", options={"k": 4})
    assert net.linear1.out_features == 24 and net.linear2.out_features == 20
    assert net(torch.randn(7, 8, generator=generator)).shape == (7, 3)


FORMULAS = {  # of torch's own
    "relu": lambda x: torch.maximum(x, 0 * x),
    "leaky_relu": lambda x: torch.where(x > 0, x, 0.01 * x),
    "prelu": lambda x: torch.where(x > 0, x, 0.25 * x),
    "tanh": lambda x: 1 - 2 / (1 + (2 * x).exp()),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "elu": lambda x: torch.where(x > 0, x, x.exp() - 1),
    "swish": lambda x: x / (1 + (-x).exp()),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_units_of_torch_are_the_published_formulas(name, generator):
    x = torch.randn(50, 4, generator=generator)
    unit = activations.make(name, 4)
    torch.testing.assert_close(unit(x), FORMULAS[name](x))
    assert isinstance(unit, nn.Module) and activations.pieces(name) == 1


def at_quantiles(x):
    return lambda: activations.hinges_at_quantiles(x, 4)


REFUSED = [
    (lambda: Splash(6), "S = 6 hinges cannot be symmetric: give a positive odd number, as 7"),
    (lambda: Splash(positions=(0, 2, 1, 3)), r"hinges \(0, 2, 1, 3\) do not ascend from 0: give"),
    (lambda: Splash(positions=(-1, 0, 1, 3)), r"hinges \(-1, 0, 1, 3\) do not ascend from 0"),
    (lambda: Splash(positions=(0, 1, 2, float("nan"))), "do not ascend from 0"),
    (lambda: Splash(positions=(0, 1)), "2 hinge positions for S = 7: give 4"),
    (lambda: Splash(start="rellu"), "unknown start 'rellu': did you mean 'relu'"),
    (at_quantiles(torch.full((10, 10), 2.0)), r"\(0, 2, 2, 2\) do not ascend from 0.*data that"),
    (lambda: Maxout()(torch.ones(3, 5)), "5 values cannot be divided by 2 pieces"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_what_cannot_be_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
