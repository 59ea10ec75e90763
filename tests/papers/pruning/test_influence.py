"""How often features are kept by chance."""

import numpy as np
import pytest
from scipy import stats

from papers.pruning import influence


def test_feature_that_every_run_keeps_is_found(rng):
    counts = rng.binomial(10, 0.2, size=(10, 50))
    counts[:, 7] = 10
    p = influence.p_values_of_runs(counts, rng=rng, draws=500)
    assert p[7] == pytest.approx(1 / 501) and np.sort(p)[1] > 0.05


def test_masks_alike_within_a_run_are_no_evidence_of_agreement(rng):
    # each run keeps ten copies of one random mask: independent masks would never agree so much
    masks = [np.repeat(rng.random((1, 200)) < 0.3, 10, axis=0) for _ in range(4)]
    counts = influence.counts_of(masks)
    of_masks = stats.binom.sf(counts.sum(axis=0) - 1, 40, counts.sum() / counts.size / 10)
    by_runs = influence.p_values_of_runs(counts, rng=rng, draws=200)
    assert of_masks.min() * 200 < 1e-3 and by_runs.min() > 0.05


def test_agreement_is_the_mean_correlation_of_two_runs(rng):
    counts = rng.binomial(10, 0.3, size=(4, 60))
    correlations = np.corrcoef(counts)[np.triu_indices(4, 1)]
    actual = influence.agreement(counts, rng=rng, draws=10).value
    assert actual == pytest.approx(correlations.mean())


def test_agreement_too_small_for_any_one_feature_is_found(rng):
    # every run prefers the same half of the features a little
    shares = np.where(np.arange(400) % 2, 0.48, 0.52)
    counts = rng.binomial(20, shares, size=(10, 400))
    found = influence.agreement(counts, rng=rng, draws=999)
    assert found.p == 1 / 1000 and found.value > 3 * found.chance_sd
    assert influence.p_values_of_runs(counts, rng=rng, draws=999).min() > 0.05


@pytest.mark.parametrize("n_features", [3, 7, 20])
def test_permutations_that_agree_as_much_count(rng, n_features):
    # two runs keep one feature alone, the same: by chance this has probability 1 / n
    counts = np.zeros((2, n_features), dtype=int)
    counts[:, 0] = 1
    p = 1 / n_features
    actual = influence.agreement(counts, rng=rng, draws=2000).p
    assert actual == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 2000))


def test_spread_of_agreement_by_chance_is_that_of_independent_pairs(rng):
    # correlations of permuted features have variance 1 / (n - 1), those of R (R - 1) / 2 pairs none
    counts = rng.binomial(10, 0.5, size=(6, 100))
    desired = 1 / np.sqrt(99 * 15)
    actual = influence.agreement(counts, rng=rng, draws=2000).chance_sd
    assert actual == pytest.approx(desired, rel=4 / np.sqrt(2 * 2000))


def test_most_kept_features_are_those_of_most_masks_the_first_of_equals():
    masks = np.array([[1, 0, 1, 0], [1, 0, 1, 1], [0, 0, 1, 1]], dtype=bool)
    np.testing.assert_array_equal(influence.most_kept(masks, 2), [0, 2])
