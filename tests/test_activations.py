"""Activations against their piecewise definitions, finite differences and each other."""

import math

import pytest
import torch
from torch import nn

from lib import activations, kernels
from lib.activations import AllReLU, SReLU
from tests.test_kernels import printed_srelu

# neurons: the start, wide, shifted with negative width, steep, flat outside, no middle part
T_LEFT = [0.0, -1.0, 0.5, -0.25, -0.5, 0.125]
A_LEFT = [0.2, 0.1, -0.3, 1.5, 0.0, 0.7]
WIDTH = [0.4, 2.0, -1.0, 0.5, 1.0, 0.0]
A_RIGHT = [0.2, 1.0, 0.5, 2.0, 0.0, -0.4]
PIECES = ("t_left", "a_left", "width", "a_right")


@pytest.fixture
def unit():
    return of_pieces(torch.tensor([T_LEFT, A_LEFT, WIDTH, A_RIGHT]))


def of_pieces(pieces):
    """A unit with these (4, n) parameters."""
    unit = SReLU(pieces.shape[1])
    unit.load_state_dict({"pieces": pieces})
    return unit


def at_thresholds(unit):
    """(6, n): at, just below and just above both thresholds of every neuron."""
    low = unit.t_left.detach()
    at = torch.stack([low, low + unit.width.detach().abs()])
    return torch.cat([at, at.nextafter(at - 1), at.nextafter(at + 1)])


def everywhere(unit, generator):
    return torch.cat([at_thresholds(unit), 3 * torch.randn(129, 6, generator=generator)])


# SReLU


def test_rows_of_the_one_parameter_are_named_as_in_the_equation(unit):
    assert dict(unit.named_parameters()).keys() == {"pieces"} and unit.pieces.shape == (4, 6)
    rows = torch.stack([getattr(unit, name) for name in PIECES])
    assert torch.equal(rows, torch.tensor([T_LEFT, A_LEFT, WIDTH, A_RIGHT]))


def test_start_is_the_named_one_for_every_neuron():
    desired = torch.tensor([SReLU.START[name] for name in PIECES])[:, None].expand(4, 3)
    assert SReLU.START.keys() == set(PIECES) and torch.equal(SReLU(3).pieces, desired)
    assert repr(SReLU(3)) == "SReLU(3)"


def test_srelu_is_its_definition(unit, implementation, generator):
    x = everywhere(unit, generator)
    torch.testing.assert_close(unit(x), printed_srelu(x, *unit.pieces), rtol=1e-14, atol=1e-14)


def test_srelu_gradients_are_those_of_the_definition(unit, implementation, generator):
    x = everywhere(unit, generator)[:, :5]  # the closed pieces of the sixth neuron overlap
    unit = of_pieces(unit.pieces.detach()[:, :5])
    x = torch.cat([x, -x]).requires_grad_()
    grad_y = torch.randn(x.shape, generator=generator)
    actual = torch.autograd.grad(unit(x), (x, unit.pieces), grad_y)
    desired = torch.autograd.grad(
        printed_srelu(x, *unit.pieces), (x, unit.pieces), grad_y
    )  # at a threshold, that of the closed outer piece
    torch.testing.assert_close(actual, desired, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("x", "slope", "t_left", "a_left", "width", "a_right"),
    [  # t_left .5, a_left .25, t_right 1.5, a_right .75; from the outside at both thresholds
        (0.5, 0.25, 0.75, 0, 0, 0),
        (1.5, 0.75, 0.25, 0, -0.25, 0),
        (1.0, 1, 0, 0, 0, 0),
        (-0.5, 0.25, 0.75, -1, 0, 0),
        (3.5, 0.75, 0.25, 0, -0.25, 2),
    ],
)
def test_derivatives_are_one_sided_at_the_thresholds(
    x, slope, t_left, a_left, width, a_right, implementation
):
    unit = of_pieces(torch.tensor([[0.5], [0.25], [-1.0], [0.75]]))
    x = torch.tensor([[x]], requires_grad=True)
    grad_x, grad_pieces = torch.autograd.grad(unit(x).sum(), (x, unit.pieces))
    assert grad_x.item() == slope
    assert grad_pieces[:, 0].tolist() == [t_left, a_left, width, a_right]


def value_and_gradients(unit, x):
    x = x.clone().requires_grad_()
    y = unit(x)
    return [y, *torch.autograd.grad(y.square().sum(), (x, unit.pieces))]


def test_srelu_is_feature_major_and_hides_no_nan(implementation):
    x = torch.tensor([[math.nan, math.inf, -math.inf, 1.0]])
    y = SReLU(4)(x)
    assert y.t().is_contiguous()
    assert y.isfinite().tolist() == [[False, False, False, True]]


def test_start_as_published_is_uniform_within_its_ranges(generator):
    n = 10_000
    unit = SReLU(n).start_as_published_(generator=generator)
    assert not unit.t_left.any() and (unit.a_right == 1).all()
    assert 0 <= unit.a_left.min() and unit.a_left.max() < 1
    assert 0 <= unit.width.min() and unit.width.max() < 5
    assert abs(unit.a_left.mean() - 0.5) < 5 / math.sqrt(12 * n)  # 5 standard errors
    assert abs(unit.width.mean() - 2.5) < 5 * 5 / math.sqrt(12 * n)


# All-ReLU and the choice by name


@pytest.mark.parametrize(
    ("layer", "sign", "alpha"), [(1, 1, 0.6), (2, -1, 0.25), (3, 1, 0.25), (4, -1, 0.6)]
)
def test_all_relu_alternates_its_slope_from_layer_to_layer(layer, sign, alpha):
    x = torch.tensor([-2.0, -1e-300, 0.0, 1e-300, 3.0], requires_grad=True)
    y = AllReLU(layer, alpha)(x)
    desired = torch.where(x > 0, x, sign * alpha * x)
    torch.testing.assert_close(y, desired, rtol=1e-15, atol=0)
    (grad_x,) = torch.autograd.grad(y.sum(), x)
    assert grad_x.tolist() == [sign * alpha] * 3 + [1, 1]  # at 0, that of the left piece


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("SReLU", {}, "unknown activation 'SReLU': did you mean"),
        ("", {}, "unknown activation '': known are"),
        ("relu", {"k": 2}, "unknown option of relu 'k': none is known"),
        ("maxout", {"K": 2}, "unknown option of maxout 'K': did you mean 'k'"),
        ("apl", {"n": 2}, "unknown option of apl 'n': known are n_hinges"),
        ("splash", {"hinges": 2}, "unknown option of splash 'hinges': did you mean 'n_hinges'"),
    ],
)
def test_unknown_activations_and_options_are_refused(name, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        activations.make(name, 5, 1, **options)


# other activations as SReLU

RELUS = [nn.ReLU(), nn.ReLU(inplace=True), nn.LeakyReLU(0.3), AllReLU(1), AllReLU(2, 0.25)]


@pytest.mark.parametrize("relu", RELUS, ids=str)
def test_relu_as_srelu_has_its_values_and_gradients(relu, implementation, generator):
    kinks = torch.tensor([[0.0, -0.0, 1e-300, -1e-300, 1e300, -1e300]])
    x = torch.cat([kinks, 3 * torch.randn(129, 6, generator=generator)]).requires_grad_()
    y, desired = kernels.srelu(x, activations.as_srelu(relu, 6, x)), relu(x.clone())
    torch.testing.assert_close(y, desired, rtol=1e-14, atol=0)
    grad_y = torch.randn(x.shape, generator=generator)
    actual, desired = (torch.autograd.grad(out, x, grad_y)[0] for out in (y, desired))
    torch.testing.assert_close(actual, desired, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_pieces_of_a_relu_are_constants_of_the_dtype_wanted_and_of_srelu_its_own(dtype, unit):
    pieces = activations.as_srelu(AllReLU(2), 5, torch.ones(3, dtype=dtype))
    assert pieces.shape == (4, 5) and pieces.dtype == dtype and not pieces.requires_grad
    assert activations.as_srelu(unit, 6, torch.ones(1)) is unit.pieces


class OtherReLU(nn.ReLU):
    """A subclass, which may compute anything."""


@pytest.mark.parametrize(
    "module", [nn.Tanh(), nn.ReLU6(), nn.PReLU(), nn.GELU(), nn.Identity(), OtherReLU()], ids=str
)
def test_other_functions_are_not_srelu(module):
    assert activations.as_srelu(module, 5, torch.ones(1)) is None


@pytest.mark.gpu
def test_srelu_on_a_gpu_agrees_with_the_cpu(unit, generator):
    x = everywhere(unit, generator)
    desired = value_and_gradients(unit, x)
    actual = value_and_gradients(unit.cuda(), x.cuda())
    torch.testing.assert_close([tensor.cpu() for tensor in actual], desired)
