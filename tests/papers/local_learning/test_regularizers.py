"""Penalties against autograd, closed forms and the formulas of the released code."""

import pytest
import torch
from torch import nn

from papers.local_learning import networks, regularizers
from papers.local_learning.regularizers import Jacobian, Spectral, SquaredWeights


@pytest.fixture
def network(generator):
    return networks.perceptron(6, 5, 3, generator=generator)


@pytest.fixture
def x(generator):
    return torch.randn(40, 6, generator=generator)


def squared_norms(function, x):
    """(B,) squared Frobenius norms of the Jacobians, by torch."""
    return (
        torch.func.vmap(torch.func.jacrev(lambda v: function(v[None])[0]))(x).square().sum((1, 2))
    )


# ----------------------------------------------------------------------------------- weights


def test_squared_weights_are_those_of_all_parameters(network, x):
    parameters = [network.linear.weight, network.readout.weight, network.readout.bias]
    desired = 0.1 * sum((p**2).sum() for p in parameters)
    actual = SquaredWeights(coupling=0.1)(network, x)
    torch.testing.assert_close(actual, desired)


# ---------------------------------------------------------------------------------- Jacobian


@pytest.mark.parametrize("part", ["hidden", "activations", "logits"])
def test_exact_jacobian_is_that_of_autograd(network, x, part):
    function = network if part == "logits" else getattr(network, part)
    desired = squared_norms(function, x).mean()
    actual = Jacobian(coupling=2.0, part=part)(network, x)
    torch.testing.assert_close(actual, 2 * desired)


def test_jacobian_of_powers_is_that_of_autograd(x, generator):
    weight = torch.randn(5, 6, generator=generator)
    network = networks.krotov_hopfield_network(weight, 3, power=4.5, generator=generator)
    actual = regularizers.activation_jacobian(network.linear.weight, network.activation, x)
    torch.testing.assert_close(actual, squared_norms(network.activations, x))


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_closed_form_of_the_logits_is_that_of_autograd_with_its_gradient(x, power, generator):
    network = networks.perceptron(6, 5, 3, generator=generator)
    network.activation = networks.Power(power)
    arguments = network.linear.weight, network.readout.weight, network.activation
    closed = regularizers.logits_jacobian(*arguments, x)
    looped = squared_norms(network, x)
    torch.testing.assert_close(closed, looped)
    closed_gradient = torch.autograd.grad(closed.mean(), arguments[:2])
    torch.testing.assert_close(closed_gradient, torch.autograd.grad(looped.mean(), arguments[:2]))


def projected(function, x, generator):
    """What the released code takes for the squared norm: three random projections, of which the
    second and third have unit length over the whole batch.
    """
    x = x.detach().requires_grad_()
    z = function(x)
    total = 0
    for i in range(3):
        v = torch.randn(z.shape, generator=generator, dtype=z.dtype)
        v = v / v.norm(dim=1, keepdim=True) if i == 0 else v / v.norm()
        (product,) = torch.autograd.grad(z, x, v, retain_graph=True)
        total = total + product.square().sum()
    return (total * z.shape[1] / (3 * len(z))).item()


def test_released_penalty_is_what_its_projections_estimate(generator):
    """On average of batches of 1,000."""
    network = networks.perceptron(300, 200, 10, generator=generator)
    x = torch.rand(1000, 300, generator=generator)
    estimates = [projected(network.hidden, x, generator) for _ in range(5)]
    actual = Jacobian.released(coupling=1.0)(network, x).item()
    assert actual == pytest.approx(sum(estimates) / 5, rel=2e-3)


# ---------------------------------------------------------------------------------- spectrum


@pytest.mark.parametrize("sizes", [[50], [20, 20, 10], [1, 49]])
def test_covariance_of_batches_is_that_of_all(sizes, generator):
    values = torch.randn(50, 4, generator=generator) * 0.01 + 100
    actual = regularizers.accumulated_covariance(values.split(sizes))
    torch.testing.assert_close(actual, values.t().cov(), rtol=1e-9, atol=0)


def test_covariance_of_float32_is_accumulated_in_float64(generator):
    values = (torch.randn(1000, 3, generator=generator) + 1000).float()
    actual = regularizers.accumulated_covariance(values.split(100))
    torch.testing.assert_close(actual, values.double().t().cov(), rtol=1e-9, atol=0)


def test_released_covariance_is_of_the_last_batch_nearly_uncentred(generator):
    batches = torch.randn(60, 4, generator=generator).add(3).split(20)
    shifted = batches[-1] - 0.5
    mean = shifted.mean(0)
    desired = (shifted.t() @ shifted - torch.outer(mean, mean) / 60) / 59
    actual = regularizers.last_batch_covariance(iter(batches), 0.5)
    torch.testing.assert_close(actual, desired)
    centred = regularizers.accumulated_covariance(batches)
    assert actual.trace() > centred.trace()


def test_released_variances_are_the_diagonal_of_the_released_covariance(generator):
    values = torch.randn(30, 4, generator=generator)
    directions = torch.linalg.qr(torch.randn(4, 4, generator=generator)).Q
    covariance = regularizers.last_batch_covariance([values], 0.02)
    desired = (directions.t() @ covariance @ directions).diagonal()
    actual = regularizers.variances_along(values, directions, covariance="last_batch")
    torch.testing.assert_close(actual, desired)


def test_law_goes_through_its_first_rank_whatever_the_scale_of_the_spectrum():
    n = torch.arange(1.0, 21)
    eigenvalues = n**-1.5
    small = regularizers.spectral_distance(eigenvalues, first=5)
    large = regularizers.spectral_distance(1000 * eigenvalues, first=5)
    torch.testing.assert_close(small, large)
    fixed = regularizers.spectral_distance(1000 * eigenvalues, first=5, scale=1.0)
    assert fixed > 1000 * large


def test_distance_worked_by_hand():
    """Ratios to the law 4 / n through rank 1 are 1, 1.5, .75 and -1: the last is left out."""
    eigenvalues = torch.tensor([4.0, 3.0, 1.0, -1.0])
    actual = regularizers.spectral_distance(eigenvalues, first=1)
    assert actual.item() == pytest.approx((0.5**2 + 0.5 + 0.25**2) / 4)
    released = regularizers.spectral_distance(eigenvalues, first=0, scale=4.0, positive_only=False)
    assert released.item() == pytest.approx((0.5**2 + 0.5 + 0.25**2 + 2**2) / 4)


def test_no_gradient_flows_through_the_scale():
    eigenvalues = torch.tensor([4.0, 3.0, 1.0], requires_grad=True)
    regularizers.spectral_distance(eigenvalues, first=1).backward()
    assert eigenvalues.grad[0] == 0 and (eigenvalues.grad[1:] != 0).all()


class Rotated(nn.Module):
    """A network whose hidden units are mixed by an orthogonal matrix."""

    def __init__(self, network, rotation):
        super().__init__()
        self.network, self.rotation = network, rotation

    def hidden(self, x):
        return self.network.hidden(x) @ self.rotation


def test_penalty_is_invariant_to_rotations(network, x, generator):
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=generator)).Q
    penalty = Spectral(first=2)
    penalty.begin(x)
    desired = penalty(network, x[:20])
    penalty.forget()
    actual = penalty(Rotated(network, rotation), x[:20])
    assert desired > 0.01
    torch.testing.assert_close(actual, desired)


def test_penalty_of_all_images_is_the_distance_of_their_spectrum(network, x):
    eigenvalues = torch.linalg.eigvalsh(network.hidden(x).t().cov()).flip(0)
    desired = 3 * regularizers.spectral_distance(eigenvalues, first=2)
    penalty = Spectral(coupling=3.0, first=2)
    penalty.begin(x)
    torch.testing.assert_close(penalty(network, x), desired)


def test_directions_are_kept_until_the_epoch_ends(network, x, generator):
    penalty = Spectral(first=2)
    penalty.begin(x)
    before = penalty(network, x)
    other = networks.perceptron(6, 5, 3, generator=generator)
    stale = penalty(other, x)
    penalty.forget()
    fresh = penalty(other, x)
    assert not torch.isclose(stale, fresh)
    penalty.forget()
    torch.testing.assert_close(penalty(network, x), before)


def test_released_penalty_has_a_fixed_scale_and_takes_small_batches(network, x):
    penalty = Spectral.released()
    penalty.begin(x)
    covariance = regularizers.last_batch_covariance([network.hidden(x)], x.mean())
    directions = regularizers.principal_directions(covariance)
    hidden = network.hidden(x[:3])
    eigenvalues = regularizers.variances_along(hidden, directions, covariance="last_batch")
    ratio = eigenvalues * torch.arange(1.0, 6) - 1
    desired = (ratio**2 + ratio.clamp(min=0)).sum() / 5
    torch.testing.assert_close(penalty(network, x[:3]), desired)


# --------------------------------------------------------------------------------- bad input


def test_batch_too_small_for_the_spectrum_is_refused(network, x):
    penalty = Spectral(first=2)
    penalty.begin(x)
    with pytest.raises(ValueError, match="a batch of 7 is too small .* 5 units: give at least 8"):
        penalty(network, x[:7])


@pytest.mark.parametrize(("first", "scale"), [(0, None), (-1, 1.0), (4, None)])
def test_rank_outside_the_spectrum_is_refused(first, scale):
    with pytest.raises(ValueError, match=f"first = {first} is out of range: give a rank from"):
        regularizers.spectral_distance(torch.ones(4), first=first, scale=scale)


def test_logits_of_a_network_that_normalises_are_refused(x, generator):
    network = networks.perceptron(6, 5, 3, batch_norm=True, generator=generator)
    with pytest.raises(ValueError, match="depend on the whole batch"):
        Jacobian(part="logits")(network, x)
