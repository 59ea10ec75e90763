"""Scores and areas agree with their formulas, with closed cases and with scikit-learn."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.metrics import roc_auc_score

from papers.pruning import ood_detection
from papers.pruning.heads import Head

Z = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [1000.0, 0.0, -1000.0]], dtype=torch.float64)


def head_of(weight_in, weight_out, bias_out=None):
    """A head whose weights are given."""
    weight_in, weight_out = torch.tensor(weight_in), torch.tensor(weight_out)
    n_inputs, n_units = weight_in.shape
    return Head(
        inputs=torch.arange(n_inputs),
        units=torch.arange(n_units),
        weight_in=weight_in,
        bias_in=torch.zeros(n_units),
        weight_out=weight_out,
        bias_out=torch.zeros(weight_out.shape[1]) if bias_out is None else torch.tensor(bias_out),
        mask=np.ones(n_inputs, bool),
        epochs=1,
        loss=0.0,
    )


@pytest.fixture
def head(rng):
    return head_of(rng.normal(size=(6, 40)), rng.normal(size=(40, 3)), rng.normal(size=3))


@pytest.fixture
def x(rng):
    return torch.from_numpy(rng.normal(size=(20, 6)))


@pytest.fixture
def drawn(rng):
    """Scores of 40 and 60 examples, with many ties."""
    return rng.integers(0, 8, 40) / 8, rng.integers(0, 6, 60) / 8


def test_largest_softmax_is_the_formula():
    powers = np.exp((Z.numpy() - Z.numpy().max(1, keepdims=True)) / 1000)
    desired = powers.max(1) / powers.sum(1)
    assert_allclose(ood_detection.largest_softmax(Z), desired, rtol=1e-12)


def test_single_precision_does_not_tie_the_scores_at_temperature_1000(rng):
    z = torch.from_numpy(rng.normal(size=(300, 14))).float()
    assert len(np.unique(ood_detection.largest_softmax(z))) == 300


def test_auroc_is_scikit_learns_with_ties(drawn):
    inside, outside = drawn
    truth = np.repeat([1, 0], [len(inside), len(outside)])
    assert ood_detection.auroc(*drawn) == pytest.approx(roc_auc_score(truth, np.concatenate(drawn)))


def test_released_area_is_the_exact_one_up_to_its_grid(rng):
    inside, outside = rng.normal(1, 1, 5000), rng.normal(0, 1, 5000)
    actual = ood_detection.auroc_released(inside, outside)
    # below the rate of .99 and at the forced ends at most a strip of 1/100 is lost
    assert actual == pytest.approx(ood_detection.auroc(inside, outside), abs=0.011)


def test_released_area_calls_equal_scores_well_told_or_not_by_its_forced_ends():
    # every false positive rate is 1 but the last, which is forced to 0: the last trapezoid is all
    assert ood_detection.auroc_released(np.ones(9), np.ones(9)) == pytest.approx(0.005)
    assert ood_detection.auroc(np.ones(9), np.ones(9)) == 0.5


def test_noise_of_nothing_is_the_plain_accuracy_and_much_noise_is_chance(head, x):
    x = x.repeat(50, 1)
    y = head.logits(x).argmax(1)
    options = {"generator": torch.Generator().manual_seed(0)}
    assert ood_detection.noise_accuracy(head, x, y, noise_std=0.0, **options) == 1
    assert ood_detection.noise_accuracy(head, x, y, noise_std=100.0, **options) < 0.7


def test_heads_meet_the_same_noise(head, x):
    y = head.logits(x).argmax(1)
    first, second = (
        ood_detection.noise_accuracy(
            head, x, y, noise_std=1.0, generator=torch.Generator().manual_seed(5)
        )
        for _ in range(2)
    )
    assert first == second < 1
