"""The machine: conditionals, free energies and pseudo-likelihoods against scikit-learn and sums."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.neural_network import BernoulliRBM

from lib.support import random_support
from papers.set.rbm import model
from papers.set.rbm.model import RBM
from tests.oracles import seeded
from tests.papers.set.rbm.machines import brute_force, machine

KINDS = [{}, {"density": 0.3}, {"er_epsilon": 2.0}]


def twin_of(rbm):
    """scikit-learn's machine with our weights."""
    twin = BernoulliRBM(rbm.n_hidden)
    twin.components_ = rbm.to_dense().numpy()
    twin.intercept_visible_ = rbm.visible_bias.detach().numpy()
    twin.intercept_hidden_ = rbm.hidden_bias.detach().numpy()
    twin._n_features_out = rbm.n_hidden
    return twin


def rows(n, width, seed=0):
    return torch.randint(2, (n, width), generator=seeded(seed)).double()


@pytest.mark.parametrize("links", KINDS, ids=str)
def test_hidden_probabilities_are_scikit_learns(links):
    rbm, v = machine(20, 15, **links), rows(30, 20)
    desired = twin_of(rbm).transform(v.numpy())
    assert_allclose(rbm.hidden_probabilities(v), desired, rtol=1e-12)


@pytest.mark.parametrize("links", KINDS, ids=str)
def test_visible_probabilities_are_those_of_the_mirrored_machine(links):
    rbm, h = machine(20, 15, **links), rows(30, 15)
    twin = twin_of(rbm)
    twin.components_ = twin.components_.T
    twin.intercept_hidden_ = twin.intercept_visible_
    assert_allclose(rbm.visible_probabilities(h), twin.transform(h.numpy()), rtol=1e-12)


@pytest.mark.parametrize("links", KINDS, ids=str)
def test_free_energy_sums_the_hidden_states(links):
    rbm = machine(4, 5, **links)
    states, log_p = brute_force(rbm)
    for v in rows(3, 4):
        same = torch.tensor([torch.equal(v, other) for other, _ in states])
        desired = -log_p[same].logsumexp(0)
        assert_allclose(rbm.free_energy(v[None]), [desired], rtol=1e-12)


def test_free_energy_in_parts_is_the_whole(monkeypatch):
    rbm, v = machine(20, 15, density=0.3), rows(30, 20)
    whole = rbm.free_energy(v)
    monkeypatch.setattr(model, "ROWS", 7 * 15)
    assert_allclose(rbm.free_energy(v), whole, rtol=1e-14)


def test_links_count_without_zeros():
    rbm = machine(10, 8, density=0.5)
    rbm.weights.data[:7] = 0
    assert rbm.n_links == 40 - 7
    assert machine(10, 8).n_links == 80


def test_table_2_counts_the_links_of_the_start():
    rbm = RBM(180, 250, er_epsilon=11, generator=seeded(0))
    assert rbm.n_links == 11 * (180 + 250)
    assert abs(rbm.weights.std().item() - 0.05) < 4 * 0.05 / np.sqrt(2 * rbm.n_links)


def test_gibbs_sampling_reaches_the_distribution_of_the_machine():
    rbm = machine(3, 4, density=0.8)
    states, log_p = brute_force(rbm)
    codes = torch.tensor([int(v @ torch.tensor([4.0, 2, 1])) for v, _ in states])
    desired = torch.zeros(8).index_add(0, codes, log_p.softmax(0))
    v = model.gibbs(rbm, torch.zeros(20_000, 3), 40, seed=1)
    counts = torch.bincount((v @ torch.tensor([4.0, 2, 1])).long(), minlength=8)
    z = (counts - 20_000 * desired) / (20_000 * desired * (1 - desired)).sqrt()
    assert z.abs().max() < 4


def test_links_are_given_in_one_way():
    support = random_support(4, 3, 0.5, generator=seeded(0))
    with pytest.raises(ValueError, match="give one of density, er_epsilon"):
        RBM(4, 3, support=support, density=0.5, generator=seeded(0))


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (torch.tensor([[0.0, 0.5]]), "x holds 0.5: an RBM takes 0 and 1 only"),
        (torch.tensor([[0.0, -1.0]]), "x holds -1"),
        (torch.tensor([[float("nan"), 1.0]]), "x holds nan"),
        (torch.zeros(3), r"x has shape \(3,\): give rows"),
        (torch.zeros(0, 3), r"x has shape \(0, 3\): give rows"),
    ],
)
def test_what_is_not_binary_is_refused(x, sentence):
    with pytest.raises(ValueError, match=sentence):
        model.check_binary(x)
