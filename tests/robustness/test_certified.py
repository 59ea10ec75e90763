"""Certificates against vertices, grids, exact distances by enumeration, and attacks."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import kernels
from lib._compiled import launch
from lib.activations import SReLU
from lib.layers import Linear, SparseLinear
from lib.models import mlp
from lib.robustness.certified import bounds, is_certified, margins, srelu_interval
from tests.robustness.enumeration import minimal_linf

UNITS = ["relu", "srelu", "all_relu"]


def network(activation="relu", density=0.6, widths=(3, 6, 5, 3), seed=0):
    """A small network whose SReLUs have thresholds and slopes of any sign."""
    standardisation = torch.tensor(0.3), torch.tensor(0.5)
    model = mlp(
        widths, density=density, activation=activation, standardisation=standardisation, seed=seed
    )
    generator = torch.Generator().manual_seed(seed)
    for module in model:
        if isinstance(module, SReLU):
            module.pieces.data = torch.randn(module.pieces.shape, generator=generator)
        elif getattr(module, "bias", None) is not None:
            module.bias.data = 0.3 * torch.randn(len(module.bias), generator=generator)
    return model.eval()


def corners(x, radius):
    """(2ⁿ, n), the corners of the box around one example, cut to pixels."""
    ends = [(max(0.0, v - radius), min(1.0, v + radius)) for v in x.tolist()]
    return torch.tensor(list(itertools.product(*ends)))


@pytest.mark.parametrize("make", [nn.Linear, lambda *widths: SparseLinear(*widths, density=0.6)])
def test_bounds_and_margins_of_an_affine_layer_are_reached_at_corners(make, generator):
    layer = make(4, 5)
    x, y = torch.rand(3, 4, generator=generator), torch.tensor([0, 3, 4])
    lower, upper = bounds(nn.Sequential(layer), x, 0.3)
    least = margins(nn.Sequential(layer), x, y, 0.3)
    for i, example in enumerate(x):
        z = layer(corners(example, 0.3))
        torch.testing.assert_close(lower[i], z.amin(0))
        torch.testing.assert_close(upper[i], z.amax(0))
        torch.testing.assert_close(least[i], (z[:, [y[i]]] - z).amin(0))


@pytest.mark.parametrize(
    ("activation", "density", "radius"),
    [("relu", None, 0.4), ("srelu", 0.6, 0.05), ("srelu", None, 0.4), ("all_relu", 0.6, 0.4)],
)
def test_points_of_the_box_lie_within_bounds_and_above_margins(
    activation, density, radius, generator
):
    model = network(activation, density)
    x, y = torch.rand(4, 3, generator=generator), torch.tensor([0, 1, 2, 0])
    lower, upper = bounds(model, x, radius)
    least = margins(model, x, y, radius)
    for i, example in enumerate(x):
        drawn = example + radius * (2 * torch.rand(500, 3, generator=generator) - 1)
        z = model(torch.cat([drawn.clamp(0, 1), corners(example, radius)]))
        assert (z >= lower[i] - 1e-12).all() and (z <= upper[i] + 1e-12).all()
        assert (z[:, [y[i]]] - z >= least[i] - 1e-12).all()


@pytest.mark.parametrize("activation", UNITS)
def test_radius_zero_gives_the_logits(activation, generator):
    model, x = network(activation), torch.rand(5, 3, generator=generator)
    z = model(x)
    for bound in bounds(model, x, 0.0):
        torch.testing.assert_close(bound, z)
    y = z.argmax(1)
    torch.testing.assert_close(margins(model, x, y, 0.0), z.amax(1, keepdim=True) - z)
    assert is_certified(model, x, y, radius=0.0).all()
    assert not is_certified(model, x, (y + 1) % 3, radius=0.0).any()


def test_image_of_srelu_is_that_of_a_dense_grid(generator):
    """Slopes of all signs, thresholds inside, outside and at the ends of the intervals."""
    slopes = torch.tensor(list(itertools.product([-2.0, -0.5, 0.0, 0.7, 1.5], repeat=2)))
    left, right = slopes.unbind(1)
    pieces = torch.stack([torch.full_like(left, -0.5), left, -torch.ones_like(left), right])
    lower = torch.tensor([-2.0, -2.0, -0.5, -0.4, 0.5, -3.0])[:, None].expand(-1, 25)
    upper = torch.tensor([2.0, -0.5, 0.5, 0.3, 0.5, -1.0])[:, None].expand(-1, 25)
    share = torch.linspace(0, 1, 1001)[:, None, None]
    points = torch.cat([lower + share * (upper - lower), pieces[0].expand(1, 6, 25)])
    points = torch.cat([points, (pieces[0] + 1).expand(1, 6, 25)]).clamp(lower, upper)
    values = kernels.srelu(points.flatten(0, 1), pieces).view(points.shape)
    smallest, largest = srelu_interval(lower, upper, pieces)
    torch.testing.assert_close(smallest, values.amin(0))
    torch.testing.assert_close(largest, values.amax(0))


@pytest.mark.parametrize("seed", range(2))
def test_certified_radius_is_at_most_the_exact_distance(seed):
    model = mlp((2, 4, 2), density=0.8, activation="relu", seed=seed).eval()
    plain = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    for layer, sparse in ((plain[0], model.linear1), (plain[2], model.linear2)):
        layer.weight.data, layer.bias.data = sparse.to_dense().detach(), sparse.bias.detach()
    x = torch.rand(2, 2, generator=torch.Generator().manual_seed(seed))
    y = model(x).argmax(1)
    for example, label in zip(x, y, strict=True):
        nearest = minimal_linf(plain, example.numpy(), int(label))
        radii = torch.linspace(0, 1, 101)
        proved = [
            is_certified(model, example[None], label[None], radius=r).item() for r in radii.tolist()
        ]
        certified = radii[proved].max()
        assert 0 <= certified <= nearest
        assert proved == sorted(proved, reverse=True)


@pytest.mark.parametrize("activation", UNITS)
def test_gradients_are_finite_differences(activation, generator):
    model = network(activation)
    x, y = torch.rand(4, 3, generator=generator), torch.arange(4) % 3
    parameters = list(model.parameters())

    def worst():
        return F.cross_entropy(-margins(model, x, y, 0.1), y) + bounds(model, x, 0.1)[0].sum()

    gradients = torch.autograd.grad(worst(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = torch.randn(parameter.shape, generator=generator)
        start, values = parameter.data.clone(), []
        for step in (1e-6, -1e-6):
            parameter.data = start + step * direction
            values.append(worst().item())
        parameter.data = start
        slope = (values[0] - values[1]) / 2e-6
        assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_bits_do_not_depend_on_threads(generator):
    model = mlp((30, 300, 300, 10), density=0.1, activation="relu", dropout=0.0, seed=1)
    x, y = torch.rand(256, 30, generator=generator), torch.arange(256) % 10
    gradients = []
    for threads in (1, 2):
        with launch.on_threads(threads):
            loss = F.cross_entropy(-margins(model, x, y, 0.1), y)
            gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    assert all(map(torch.equal, *gradients))


def test_dropout_is_the_identity_and_pixels_stay_in_their_box(generator):
    model, x = network(), torch.rand(2, 3, generator=generator)
    desired = bounds(model, x, 5.0)
    everything = bounds(model.train(), torch.full((1, 3), 0.5), 0.5)
    torch.testing.assert_close(desired[0][:1], everything[0])
    wider = bounds(model, x, 0.5, box=(-1.0, 2.0))
    assert (wider[0] < bounds(model, x, 0.5)[0]).any()


def test_a_unit_that_is_used_twice_counts_twice(generator):
    first, second, last = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 3)
    unit = nn.ReLU()
    shared = nn.Sequential(first, unit, second, unit, last)
    twins = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)
    x = torch.rand(5, 3, generator=generator)
    assert all(map(torch.equal, bounds(shared, x, 0.1), bounds(twins, x, 0.1)))
    torch.testing.assert_close(bounds(shared, x, 0.0)[0], shared(x))


COMPUTED = {
    "spectral_norm as a hook": nn.utils.spectral_norm,
    "weight_norm": nn.utils.parametrizations.weight_norm,
}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of the hook
@pytest.mark.parametrize("computing", COMPUTED.values(), ids=COMPUTED)
def test_layers_that_compute_their_weights_are_those_with_these_weights(computing, generator):
    model = nn.Sequential(computing(nn.Linear(5, 4)), nn.ReLU(), computing(Linear(4, 3)))
    x, y = torch.rand(6, 5, generator=generator), torch.tensor([0, 1, 2, 0, 1, 2])
    for _ in range(3):
        model(x)  # in training, which moves the vectors of a spectral norm
    plain = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    model.eval()(x)
    for i in (0, 2):
        plain[i].weight.data, plain[i].bias.data = model[i].weight.detach(), model[i].bias.detach()
    torch.testing.assert_close(bounds(model, x, 0.1), bounds(plain, x, 0.1))
    torch.testing.assert_close(margins(model, x, y, 0.1), margins(plain, x, y, 0.1))


def test_a_spectral_norm_in_training_is_one_matrix_in_its_centers_and_radii():
    layer = nn.Linear(4, 4, bias=False)
    layer.weight.data = torch.diag(torch.tensor([1.0, 0.99, 0.98, 0.97]))  # |W| is W
    nn.utils.parametrizations.spectral_norm(layer, n_power_iterations=1)
    lower, upper = bounds(nn.Sequential(layer), torch.full((1, 4), 0.5), 0.1)
    center, spread = (lower + upper) / 2, (upper - lower) / 2
    torch.testing.assert_close(center / 0.5, spread / 0.1)


@pytest.mark.parametrize(("place", "label"), [("weight", 0), ("bias", 2)])
def test_certificate_of_logits_that_are_nan_is_refused(place, label, generator):
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3))
    getattr(model[2], place).data[0] = torch.nan
    x = torch.rand(5, 4, generator=generator)
    assert bounds(model, x, 0.1)[0].isnan().any()
    with pytest.raises(ValueError, match="the logits of 5 of 5 inputs are nan"):
        is_certified(model, x, torch.full((5,), label), radius=0.1)


def test_bounds_that_overflow_certify_nothing(generator):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
    model[0].weight.data.fill_(1e308)
    model[0].bias.data = -model[0].weight.data.sum(1) / 4 * 1.9
    x = torch.full((2, 4), 0.1)
    y = model(x).argmax(1)
    assert not is_certified(model, x, y, radius=0.9).any()


def test_images_may_be_flattened_first(generator):
    model, x = network(), torch.rand(2, 1, 3, generator=generator)
    flattening = nn.Sequential(nn.Flatten(), *model)
    desired = bounds(nn.Sequential(*model), x, 0.1)
    assert all(map(torch.equal, bounds(flattening, x, 0.1), desired))


class Squared(nn.Sequential):
    def forward(self, x):
        return super().forward(x) ** 2


TANH, ENDING = mlp((3, 4, 2), activation="tanh"), nn.Sequential(nn.Linear(3, 2), nn.ReLU())
X, Y = torch.full((2, 3), 0.5), torch.tensor([0, 1])
REFUSED = [
    (lambda: margins(network(), X, Y[:1], 0.1), "an integer class for each of the 2 examples"),
    (lambda: margins(network(), X, Y.float(), 0.1), "an integer class for each of the 2 examples"),
    (lambda: margins(network(), X, 3 * Y, 0.1), "y has 0 to 3: give 0 to 2"),
    (lambda: bounds(Squared(nn.Linear(3, 2)), X, 0.1), "whose order of computation is not known"),
    (lambda: bounds(nn.ModuleList(TANH), X, 0.1), "whose order of computation is not known"),
    (lambda: bounds(TANH, X, 0.1), "module activation1 is a Tanh, for which there are no"),
    (lambda: margins(ENDING, X, Y, 0.1), "module 1 is a ReLU: the last one must be linear"),
    (lambda: bounds(network(), X, -1), "radius = -1 is out of range"),
    (lambda: bounds(network(), X + 1, 0.1), r"bounds = \(0.0, 1.0\) do not fit"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_what_cannot_be_bounded_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
