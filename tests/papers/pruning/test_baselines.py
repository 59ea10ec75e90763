"""Masks that no search found."""

import numpy as np
import pytest
import torch
from scipy import optimize

from lib import models
from papers.pruning import baselines, heads
from papers.pruning.heads import HeadSettings

from .made import N_CLASSES, N_FEATURES, N_TELLING, task

SETTINGS = HeadSettings(n_hidden=16, epochs=10, batch_size=16)


@pytest.fixture
def known():
    return task()


def test_leading_mask_keeps_the_first_of_an_order():
    order = np.array([2, 0, 1])
    assert baselines.leading_mask(order, 0).tolist() == [False, False, False]
    assert baselines.leading_mask(order, 2).tolist() == [True, False, True]


def test_magnitude_order_is_by_the_norm_of_the_rows(known):
    full = heads.train(
        known.x["train"],
        known.y["train"],
        np.ones((1, N_FEATURES), dtype=bool),
        [0],
        mode="features",
        n_classes=N_CLASSES,
        settings=SETTINGS,
        valid=(known.x["valid"], known.y["valid"]),
    )[0]
    order = baselines.magnitude_order(full)
    norms = (full.weight_in**2).sum(dim=1)[order]
    assert (norms.diff() <= 0).all() and sorted(order) == list(range(N_FEATURES))


def test_penalty_lets_telling_features_in_first(known):
    order = baselines.penalty_order(known.x["train"], known.y["train"], N_CLASSES)
    assert set(order[:N_TELLING]) == set(range(N_TELLING))
    assert sorted(order) == list(range(N_FEATURES))


def test_penalty_at_which_the_first_feature_comes_in_is_the_largest_gradient(known):
    # of the convex problem nothing is left exactly while no norm of a gradient exceeds the penalty
    x, y = known.x["train"].double(), known.y["train"]
    x = (x - x.mean(dim=0)) / x.std(dim=0)
    target = torch.nn.functional.one_hot(y, N_CLASSES).double()
    norms = (x.T @ (1 / N_CLASSES - target) / len(x)).norm(dim=1)
    penalty = 0.9 * float(norms.max())

    def loss(flat):
        weight = torch.from_numpy(flat).reshape(N_FEATURES, N_CLASSES).requires_grad_()
        value = torch.nn.functional.cross_entropy(x @ weight, y)
        value = value + penalty * (weight.square().sum(dim=1) + 1e-12).sqrt().sum()
        value.backward()
        return value.item(), weight.grad.numpy().ravel()

    start = 1e-3 * np.ones(N_FEATURES * N_CLASSES)
    found = optimize.minimize(loss, start, jac=True).x.reshape(N_FEATURES, N_CLASSES)
    left = np.flatnonzero(np.linalg.norm(found, axis=1) > 1e-3)
    order = baselines.penalty_order(known.x["train"], known.y["train"], N_CLASSES)
    assert set(left) <= set(order[: len(left) + 1]) and int(norms.argmax()) in left


def test_set_head_has_as_many_links_as_asked_and_learns(known):
    head = baselines.set_head(known, 0.25, SETTINGS, seed=0)
    assert head.mask.sum() == round(0.25 * N_FEATURES * SETTINGS.n_hidden)
    assert heads.accuracies([head], known.x["test"], known.y["test"])[0] > 0.8


def test_head_of_a_network_answers_as_the_network(known):
    sizes = (N_FEATURES, SETTINGS.n_hidden, N_CLASSES)
    model = models.mlp(sizes, density=0.5, activation="relu", dropout=0.0, seed=1).float()
    head = baselines._as_head(model, N_FEATURES, SETTINGS.n_hidden)
    x = known.x["test"]
    torch.testing.assert_close(head.logits(x), model(x).detach(), rtol=1e-4, atol=1e-4)


def test_shrunk_rows_are_shorter_by_the_threshold_or_gone():
    weight = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    actual = baselines._shrunk(weight, 1.0)
    torch.testing.assert_close(actual, torch.tensor([[2.4, 3.2], [0.0, 0.0], [0.0, 0.0]]))
