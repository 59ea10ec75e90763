"""Lipschitz constants against singular values, closed forms and finite differences."""

import pytest
import torch
from torch import nn

from lib import activations, models
from lib.robustness.lipschitz import (
    lipschitz_constants,
    margins_and_gradients,
    operator_norm,
    product,
    steepest_slope,
)


def largest_singular_value(function, shape):
    """Of the Jacobian, entry by entry."""
    zero = torch.zeros(shape)
    columns = []
    for k in range(zero.numel()):
        unit = torch.zeros(shape)
        unit.view(-1)[k] = 1
        columns.append((function(unit) - function(zero)).flatten())
    return torch.linalg.svdvals(torch.stack(columns, 1))[0].item()


FUNCTIONS = {
    "linear": (nn.Linear(7, 5), (1, 7)),
    "convolution": (nn.Conv2d(2, 3, 3, padding=1), (1, 2, 6, 6)),
    "stride": (nn.Conv2d(2, 3, 3, stride=2), (1, 2, 7, 7)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operator_norm_is_the_largest_singular_value(name, generator):
    function, shape = FUNCTIONS[name]
    function = function.double().requires_grad_(False)
    for p in function.parameters():
        p.copy_(torch.randn(p.shape, generator=generator))
    actual = operator_norm(function, shape, steps=300, generator=generator)
    assert actual == pytest.approx(largest_singular_value(function, shape), rel=1e-3)


def test_operator_norm_of_a_constant_is_0(generator):
    assert operator_norm(lambda x: 0 * x + 3, (4,), generator=generator) == 0


def diagonal(*values):
    layer = nn.Linear(len(values), len(values), bias=False)
    layer.weight.data = torch.diag(torch.tensor(values))
    return layer


def scaling(*values):
    """A normalisation that multiplies by these values, but for its small number."""
    norm = nn.BatchNorm1d(len(values), eps=1e-12)
    norm.weight.data = torch.tensor(values)
    return norm


TWICE = {  # a module that is called twice, what comes between, the product of all constants
    "linear": (diagonal(2.0, 1.0), nn.ReLU(), 4.0),
    "unit": (nn.LeakyReLU(3.0), diagonal(1.0, 1.0), 9.0),
    "normalisation": (scaling(5.0, 1.0), nn.ReLU(), 25.0),
    "a sequence": (nn.Sequential(diagonal(2.0, 1.0), nn.LeakyReLU(3.0)), nn.Flatten(), 36.0),
}


@pytest.mark.parametrize("name", TWICE)
def test_module_that_is_called_twice_counts_twice(name, generator):
    module, between, desired = TWICE[name]
    net = nn.Sequential(module, between, module).eval()
    found = lipschitz_constants(net, torch.rand(1, 2), generator=generator)
    bound = product(found["linear"]) * product(found["unit"])
    assert bound == pytest.approx(desired, rel=1e-4)


class Registered(nn.Module):
    """A linear layer, registered first, and a normalisation, called as ``compute`` says."""

    def __init__(self, compute):
        super().__init__()
        self.fc, self.norm, self.compute = diagonal(2.0, 1.0), scaling(1.0, 10.0), compute

    def forward(self, x):
        return self.compute(self.fc, self.norm, x)


COMPUTED = {  # the largest product of slopes of the two, and how they are called
    "normalised before": (20.0, lambda fc, norm, x: fc(norm(x).relu())),
    "normalised behind a function": (20.0, lambda fc, norm, x: norm(fc(x).relu())),
    "normalised behind a change in place": (20.0, lambda fc, norm, x: norm(fc(x).relu_())),
    "normalised behind an addition in place": (20.0, lambda fc, norm, x: norm(fc(x).add_(x))),
    "normalised at once": (10.0, lambda fc, norm, x: norm(fc(x))),
    "inputs by name": (10.0, lambda fc, norm, x: norm(input=fc(input=x))),
    "not called": (2.0, lambda fc, norm, x: fc(x)),
}


@pytest.mark.parametrize("name", COMPUTED)
def test_layers_count_in_the_order_of_their_calls(name, generator):
    desired, compute = COMPUTED[name]
    net = Registered(compute).eval()
    found = lipschitz_constants(net, torch.rand(1, 2), generator=generator)
    assert product(found["linear"]) == pytest.approx(desired, rel=1e-4)


def test_normalisation_of_a_convolution_that_is_flattened_belongs_to_it(generator):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.BatchNorm1d(32)).eval()
    net[2].weight.data = torch.rand(32, generator=generator)
    x = torch.rand(1, 1, 6, 6)
    found = lipschitz_constants(net, x, steps=500, generator=generator)
    desired = largest_singular_value(net, x.shape)
    assert found["linear"] == {"0": pytest.approx(desired, rel=1e-3)}


@pytest.mark.parametrize("seed", range(6))
def test_no_random_chain_stretches_more_than_its_bound(seed):
    """Layers, normalisations, units and changes of shape, any of them more than once."""
    drawn = torch.Generator().manual_seed(seed)
    parts = [nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.LeakyReLU(3.0), nn.Tanh()]
    parts += [nn.Flatten(), nn.Dropout(0.5)]
    for p in nn.ModuleList(parts).parameters():
        p.data = 2 * torch.randn(p.shape, generator=drawn)
    order = torch.randint(len(parts), (7,), generator=drawn)
    net = nn.Sequential(*[parts[i] for i in order]).double().eval()
    x = torch.randn(500, 4, generator=drawn)
    other = x + 1e-3 * torch.randn(500, 4, generator=drawn)
    stretched = ((net(other) - net(x)).norm(dim=1) / (other - x).norm(dim=1)).max()
    found = lipschitz_constants(net, x[:1], steps=500, generator=drawn)
    assert 0 < stretched <= product(found["linear"]) * product(found["unit"]) * (1 + 1e-6)


TRAINED, SMOOTH = nn.Sequential(nn.Dropout()), nn.Sequential(nn.Linear(4, 4), nn.GELU()).eval()
REFUSED = [
    (lambda x, g: operator_norm(SMOOTH[0], (1, 4), steps=0, generator=g), "steps = 0 is out of"),
    (lambda x, g: lipschitz_constants(TRAINED, x, generator=g), "training mode: call model.eval"),
    (lambda x, g: margins_and_gradients(TRAINED, x, x), "in training mode: call model.eval"),
    (lambda x, g: lipschitz_constants(SMOOTH, x, generator=g), r"'1' \(GELU\) stretches is not"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_what_cannot_be_measured_is_refused(call, sentence, generator):
    with pytest.raises(ValueError, match=sentence):
        call(torch.rand(1, 4), generator)


@pytest.mark.parametrize(
    ("pool", "desired"),
    [
        (nn.MaxPool2d(3, 2), 2.0),  # the pixel is in two windows each way
        (nn.MaxPool2d(2), 1.0),
        (nn.MaxPool2d(3, 2, dilation=2), 3.0),
        (nn.MaxPool2d((3, 1), (1, 1)), 3**0.5),
    ],
)
def test_windows_that_overlap_stretch(pool, desired, generator):
    net = nn.Sequential(pool, nn.Flatten()).eval()
    x = torch.zeros(1, 1, 13, 13)
    x[..., 6, 6] = 1.0
    (constant,) = lipschitz_constants(net, x, generator=generator)["unit"].values()
    assert constant == pytest.approx(desired) == net(x).norm().item()


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of the earlier ones
@pytest.mark.parametrize(
    "normalise",
    [nn.utils.spectral_norm, nn.utils.weight_norm, nn.utils.parametrizations.weight_norm],
)
def test_layer_that_computes_its_weights_is_measured_after_a_training_step(normalise, generator):
    net = nn.Sequential(normalise(nn.Linear(4, 3)))
    net(torch.rand(5, 4)).sum().backward()
    found = lipschitz_constants(net.eval(), torch.rand(1, 4), steps=300, generator=generator)
    desired = torch.linalg.svdvals(net[0].weight)[0].item()
    assert found["linear"] == {"0": pytest.approx(desired, rel=1e-3)}


def test_sparse_layers_have_constants_too(generator):
    net = models.mlp((9, 8, 7, 3), density=0.5, activation="relu").eval()
    found = lipschitz_constants(net, torch.rand(1, 9), steps=300, generator=generator)
    desired = [
        torch.linalg.svdvals(layer.to_dense())[0].item() for layer in (net.linear1, net.linear2)
    ]
    assert list(found["linear"].values())[:2] == pytest.approx(desired, rel=1e-3)


SLOPES = dict.fromkeys("relu leaky_relu prelu tanh elu maxout apl splash srelu".split(), 1.0)
SLOPES |= {"sigmoid": 0.25, "swish": 1.09984}  # closed forms; of swish at x = 2.39936


@pytest.mark.parametrize("name", SLOPES)
def test_steepest_slope_of_a_unit_is_known(name):
    unit = activations.make(name, 3)
    assert steepest_slope(unit) == pytest.approx(SLOPES[name], rel=1e-5)


@pytest.mark.parametrize("alpha", [0.5, 3.0])
def test_steepest_slope_of_elu_is_at_its_kink(alpha):
    assert steepest_slope(nn.ELU(alpha)) == max(1.0, alpha)


@pytest.mark.parametrize(
    ("pieces", "desired"),  # t_left, a_left, width, a_right
    [
        ((0.0, 0.2, 0.001, 0.5), 1.0),  # between points of any grid
        ((-20.0, -3.0, 40.0, 0.5), 3.0),  # beyond it
        ((0.0, 0.2, 0.0, -0.5), 0.5),  # no middle
    ],
)
def test_steepest_slope_of_srelu_is_that_of_its_pieces(pieces, desired):
    unit = activations.SReLU(2)
    unit.pieces.data[:, 1] = torch.tensor(pieces)
    unit.pieces.data[:, 0] = torch.tensor([0.0, 0.1, 0.0, 0.1])
    assert steepest_slope(unit) == pytest.approx(desired)


@pytest.mark.parametrize("reach", [0.001, 1.0, 100.0])
def test_steepest_slope_of_apl_is_that_of_its_pieces(reach, generator):
    unit = activations.APL(5, n_hinges=3)
    unit.slopes.data = torch.randn(3, 5, generator=generator)
    unit.hinges.data = reach * torch.randn(3, 5, generator=generator)
    kinks = torch.cat([torch.zeros(1, 5), unit.hinges.detach()]).sort(0).values
    x = torch.cat([kinks[:1] - reach, kinks, kinks[-1:] + reach])  # ends of all pieces
    slopes = unit(x).detach().diff(dim=0) / x.diff(dim=0)
    assert steepest_slope(unit) == pytest.approx(slopes.abs().max().item())


def test_margins_and_gradients_of_a_linear_network(generator):
    net = models.mlp((6, 3)).eval()
    x = torch.rand(20, 6, generator=generator)
    z, w = net(x).detach(), net.linear1.weight.detach()
    y = z.argmax(1)
    m, gradient = margins_and_gradients(net, x, y)
    second = z.topk(2).indices[:, 1]
    torch.testing.assert_close(m, z.topk(2).values.diff().neg().squeeze(1))
    torch.testing.assert_close(gradient, w[y] - w[second])


@pytest.mark.parametrize("unit", [nn.ReLU, nn.SiLU])
def test_units_that_write_in_place_are_measured(unit, generator):
    linear = nn.Linear(4, 4)
    x = torch.rand(1, 4)
    found = [
        lipschitz_constants(
            nn.Sequential(linear, unit(inplace=inplace)).eval(), x, generator=generator
        )["unit"]
        for inplace in (True, False)
    ]
    assert found[0] == found[1] and found[0]["1"] >= 1
