"""What is exact: log Z against sums over every state and published values, bounds of data."""

import math

import pytest
import torch
from numpy.testing import assert_allclose

from lib.support import make_support
from papers.set.rbm import ais, exact
from tests.oracles import seeded
from tests.papers.set.rbm.machines import bars_and_stripes, brute_force, machine, moments


@pytest.mark.parametrize("links", [{}, {"density": 0.3}, {"density": 1 / 20}], ids=str)
@pytest.mark.parametrize("widths", [(5, 4), (4, 5)], ids=str)
def test_log_z_is_the_sum_over_every_state(widths, links):
    rbm = machine(*widths, **links)
    _, log_p = brute_force(rbm)
    assert_allclose(exact.log_z(rbm), log_p.logsumexp(0), rtol=1e-13)


def test_chain_is_eliminated_leaf_by_leaf():
    """v0 - h0 - v1 - h1 - … of 15 + 15 units, by two-by-two transfer matrices."""
    n = 15
    rows = torch.arange(n).repeat_interleave(2)[: 2 * n - 1]
    cols = torch.arange(2 * n - 1).add(1).div(2, rounding_mode="floor")
    rbm = machine(n, n, support=make_support(rows, cols, n, n))
    biases = torch.stack([rbm.visible_bias, rbm.hidden_bias]).t().flatten().detach()
    weights = rbm.weights.detach()  # in the order of the chain
    log_sums = torch.stack([torch.zeros(()), biases[0]])  # of what lies behind, by the state
    for b, w in zip(biases[1:], weights, strict=True):
        off = log_sums.logsumexp(0)
        on = b + torch.logaddexp(log_sums[0], log_sums[1] + w)
        log_sums = torch.stack([off, on])
    assert_allclose(exact.log_z(rbm), log_sums.logsumexp(0), rtol=1e-12)


def test_samples_have_the_moments_of_the_machine():
    rbm = machine(6, 5)
    _, of_v, _ = moments(rbm)
    v = exact.samples(rbm, 20_000, generator=seeded(2))
    z = (v.mean(0) - of_v) / (of_v * (1 - of_v) / 20_000).sqrt()
    assert z.abs().max() < 4


@pytest.mark.parametrize(("side", "published"), [(2, -1.732867951), (3, -2.5993), (4, -3.3791)])
def test_ceiling_of_bars_and_stripes_is_the_published_one(side, published):
    """PyDeep's documentation gives 2 x 2, each image as often as it is a bar or a stripe."""
    assert_allclose(exact.ceiling(bars_and_stripes(side)), published, atol=5e-5)


def test_ceiling_of_different_rows_is_their_number():
    rows = torch.eye(50)
    assert_allclose(exact.ceiling(rows), -math.log(50))
    assert exact.ceiling(rows[:1].expand(9, -1)) == 0


def test_independent_units_give_minus_their_entropies_on_their_own_data():
    x = torch.randint(2, (200, 5), generator=seeded(0)).double()
    p = x.mean(0)
    entropy = -(p * p.log() + (1 - p) * (1 - p).log()).sum()
    assert_allclose(exact.independent_units(ais.base_of(x).log_odds, x), -entropy, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: exact.log_z(machine(25, 21)), "21 units are too many to enumerate: give 20 at"),
        (
            lambda: exact.samples(machine(3, 21), 1, generator=seeded(0)),
            "21 units are too many",
        ),
        (lambda: exact.ceiling(torch.full((2, 2), 0.5)), "x holds 0.5"),
    ],
)
def test_what_cannot_be_computed_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
