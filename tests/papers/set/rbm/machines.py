"""Machines and data that tests of several modules take."""

import itertools

import torch

from papers.set.rbm.model import RBM
from tests.oracles import seeded


def machine(n_visible, n_hidden, std=1.0, seed=0, **links):
    """A machine of random weights and biases, float64."""
    rbm = RBM(n_visible, n_hidden, generator=seeded(seed), start=std, dtype=torch.float64, **links)
    for b in (rbm.visible_bias, rbm.hidden_bias):
        b.data = std * torch.randn(len(b), generator=seeded(seed + 1), dtype=torch.float64)
    return rbm


def brute_force(rbm):
    """All states of both sides and their unnormalised log-probabilities, one by one."""
    weights = rbm.to_dense()
    pairs = itertools.product(
        itertools.product((0.0, 1.0), repeat=rbm.n_visible),
        itertools.product((0.0, 1.0), repeat=rbm.n_hidden),
    )
    states, energies = [], []
    for v, h in pairs:
        v, h = torch.tensor(v), torch.tensor(h)
        states.append((v, h))
        energies.append(v @ rbm.visible_bias + h @ rbm.hidden_bias + h @ weights @ v)
    return states, torch.stack(energies).detach()


def moments(rbm):
    """Expectations of both ends of every link together (n_hidden, n_visible), of v and of h."""
    states, log_p = brute_force(rbm)
    p = log_p.softmax(0)
    v, h = (torch.stack(side) for side in zip(*states, strict=True))
    return (p[:, None] * h).t() @ v, p @ v, p @ h


def bars_and_stripes(side):
    """(N, side²) every image whose rows, or columns, are all equal: each of the two times once."""
    images = []
    for bits in itertools.product((0.0, 1.0), repeat=side):
        row = torch.tensor(bits).expand(side, side)
        images += [row.flatten(), row.t().flatten()]
    return torch.stack(images)
