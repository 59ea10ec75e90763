"""log Z by annealing against exact values, and what an estimate says of itself."""

import math
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from lib.support import make_support
from papers.set.rbm import ais, exact
from tests.oracles import seeded
from tests.papers.set.rbm.machines import machine

LINKS = [{}, {"density": 0.4}]


def data_of(rbm, n=1000):
    return exact.samples(rbm, n, generator=seeded(7))


def estimated(rbm, temperatures, chains=100, seed=1, **options):
    base = ais.base_of(data_of(rbm))
    betas = ais.schedule(temperatures)
    return ais.forward(rbm, base, betas, chains=chains, seed=seed, **options)


@pytest.mark.parametrize("links", LINKS, ids=str)
def test_without_weights_every_chain_is_exact(links):
    rbm = machine(30, 25, **links)
    rbm.weights.data.zero_()
    base = ais.Base(rbm.visible_bias.detach().clone(), 0)
    softplus = torch.nn.functional.softplus
    desired = softplus(rbm.visible_bias).sum() + softplus(rbm.hidden_bias).sum()
    estimate = ais.forward(rbm, base, ais.schedule(50), chains=10, seed=0)
    assert abs(estimate.value - desired.item()) < 1e-10
    assert estimate.sd < 1e-10 and abs(estimate.ess - 10) < 1e-9


@pytest.mark.parametrize("links", LINKS, ids=str)
@pytest.mark.parametrize(("temperatures", "tolerance"), [(1000, 0.05), (10_000, 0.01)])
def test_small_machines_are_estimated_as_enumerated(temperatures, tolerance, links):
    rbm = machine(40, 12, std=0.7, **links)
    estimate = estimated(rbm, temperatures)
    error = abs(estimate.value - exact.log_z(rbm))
    assert error <= min(tolerance, 4 * estimate.se + 0.02)


@pytest.mark.parametrize("seed", range(3))
def test_enumerated_value_lies_between_forward_and_reverse(seed):
    rbm = machine(30, 10, std=1.5, seed=10 * seed)
    x = data_of(rbm, 4000)
    base, betas = ais.base_of(x), ais.schedule(20)
    below = ais.forward(rbm, base, betas, chains=2000, seed=seed)
    above = ais.reverse(rbm, base, betas, x[:2000], seed=seed)
    value = exact.log_z(rbm)
    assert below.value - 3 * below.se <= value <= above.value + 3 * above.se
    assert below.sd > 0.1 < above.sd  # chains differ: the bracket is not that of two exact values


def test_weights_are_unbiased_and_their_mean_logarithm_is_below():
    rbm = machine(20, 8, std=1.2)
    base = ais.base_of(data_of(rbm))
    log_weights = ais.forward_weights(rbm, base, ais.schedule(5), chains=4000, seed=2)
    log_z0 = torch.nn.functional.softplus(base.log_odds).sum() + 8 * math.log(2)
    relative = log_weights + log_z0 - exact.log_z(rbm)
    ratio = relative.exp()
    se = ratio.std() / math.sqrt(4000)
    assert abs(ratio.mean() - 1) < 4 * se and relative.std() > 0.2
    assert relative.mean() < -4 * relative.std() / math.sqrt(4000)


def test_blocks_of_many_neurons_are_the_sum_of_theirs():
    """50,000 + 50,000 units in blocks of 2 + 2: the exact sum is that of 25,000 small ones."""
    n = 25_000
    first = 2 * torch.arange(n)
    rows = torch.stack([first, first, first + 1, first + 1], 1).flatten()
    cols = torch.stack([first, first + 1, first, first + 1], 1).flatten()
    rbm = machine(2 * n, 2 * n, support=make_support(rows, cols, 2 * n, 2 * n))
    a, c = (bias.detach().view(n, 2) for bias in (rbm.visible_bias, rbm.hidden_bias))
    w = rbm.weights.detach().view(n, 2, 2)  # (block, hidden, visible)
    bits = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    energies = torch.einsum("hj,nji,vi->nhv", bits, w, bits)
    energies += (c @ bits.t())[:, :, None] + (a @ bits.t())[:, None, :]
    desired = energies.flatten(1).logsumexp(1).sum()
    p = (energies.flatten(1).softmax(1).view(n, 4, 4).sum(1)) @ bits
    base = ais.Base(p.flatten().logit(), 0)
    estimate = ais.forward(rbm, base, ais.schedule(100), chains=10, seed=3)
    # the spread of the log weights, s, lets their mean lie s²/2 low, and 10 chains bound little
    assert abs(estimate.value + estimate.sd**2 / 2 - desired) < 6 * estimate.sd
    assert estimate.sd < 1e-4 * desired


def test_another_package_says_the_same_of_a_dense_machine():
    with warnings.catch_warnings(action="ignore"):  # it compiles by torch.jit
        from rbms.bernoulli_bernoulli.classes import BBRBM
        from rbms.partition_function.ais import compute_partition_function_ais
        from rbms.partition_function.exact import compute_partition_function_rbm
    rbm = machine(16, 10, std=0.8)
    biases = rbm.visible_bias.detach(), rbm.hidden_bias.detach()
    other = BBRBM(rbm.to_dense().t().contiguous(), *biases)
    states = exact._states(torch.arange(2**10), 10)
    theirs = compute_partition_function_rbm(other, states)
    assert_allclose(exact.log_z(rbm), theirs, rtol=1e-12)
    torch.manual_seed(0)
    annealed = float(compute_partition_function_ais(500, 300, other))
    ours = estimated(rbm, 300, chains=500)
    assert abs(ours.value - annealed) < 8 * ours.se + 0.02  # their base is another


def test_chains_agree_however_they_are_computed():
    rbm = machine(40, 12, density=0.4)
    base, betas = ais.base_of(data_of(rbm)), ais.schedule(20)
    sparse = ais.forward_weights(rbm, base, betas, chains=30, seed=0)
    twin = machine(40, 12)
    twin.links.weight.data = rbm.to_dense()
    twin.visible_bias.data, twin.links.bias.data = rbm.visible_bias.data, rbm.hidden_bias.data
    dense = ais.forward_weights(twin, base, betas, chains=30, seed=0)
    assert_allclose(sparse, dense, rtol=1e-10)


def test_machine_in_float32_is_estimated_in_float64_and_stays_as_it_is():
    rbm = machine(40, 12, density=0.4).float()
    base = ais.base_of(torch.randint(2, (50, 40), generator=seeded(0)))
    estimate = ais.forward(rbm, base, ais.schedule(200), seed=0)
    assert rbm.weights.dtype == torch.float32 and rbm.weights.requires_grad
    assert abs(estimate.value - exact.log_z(rbm)) < 4 * estimate.se + 0.02


# schedules and bases


def test_published_schedule_has_the_published_temperatures():
    betas = ais.schedule(14_503)
    assert (len(betas), betas[500], betas[4501], betas[-1]) == (14_503, 0.5, 0.9, 1)
    assert int((betas > 0.9).sum()) == 10_000 and (betas.diff() >= 0).all()


GREY = torch.full((3, 4), 0.3)
BETAS = ais.schedule(10)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ais.schedule(1), "1 temperatures are too few: give at least 2"),
        (lambda: ais.base_of(GREY), "holds 0.3"),
        (lambda: ais.log_likelihood(machine(4, 3), ais.LogZ(*[0] * 6), GREY, 0.0), "holds 0.3"),
        (
            lambda: ais.reverse(machine(4, 3), ais.Base(torch.zeros(4), 0), BETAS, GREY, seed=0),
            "the samples holds 0.3",
        ),
    ],
)
def test_what_cannot_be_annealed_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_constant_columns_are_clipped_and_said():
    x = torch.tensor([[0.0, 1, 1], [0, 1, 0], [0, 1, 1], [0, 1, 0]])
    base = ais.base_of(x)
    assert_allclose(base.log_odds.sigmoid(), [1 / 8, 7 / 8, 0.5])
    assert base.clipped == 2 and base.notice.startswith("2 of 3 features are constant")
    assert ais.base_of(x[:, 2:]).notice == ""


# likelihoods


def test_likelihood_of_every_state_sums_to_one():
    rbm = machine(8, 6)
    states = exact._states(torch.arange(2**8), 8)
    estimate = ais.LogZ(exact.log_z(rbm), 0, 0, 1, 2, 2)
    log_p = [ais.log_likelihood(rbm, estimate, v[None], 0.0).value for v in states]
    assert_allclose(np.exp(log_p).sum(), 1, rtol=1e-12)


def test_log_z_too_low_makes_a_likelihood_impossible():
    rbm, x = machine(8, 6), torch.eye(8)
    low = ais.LogZ(exact.log_z(rbm) - 50, 0, 0, 1, 2, 2)
    ceiling = exact.ceiling(x)
    assert not ais.log_likelihood(rbm, low, x, ceiling).is_possible
    assert ais.log_likelihood(
        rbm, ais.LogZ(exact.log_z(rbm), 0, 0, 1, 2, 2), x, ceiling
    ).is_possible
