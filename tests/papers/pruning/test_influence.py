"""How often features are kept by chance."""

import numpy as np
import pytest
from scipy import stats

from lib.papers.pruning import influence


def test_equal_trials_give_the_binomial_law():
    actual = influence.poisson_binomial(np.full(12, 0.3))
    np.testing.assert_allclose(actual, stats.binom.pmf(np.arange(13), 12, 0.3))


def test_law_of_unequal_trials_has_their_mean_and_variance():
    p = np.array([0.1, 0.5, 0.9, 0.3])
    law = influence.poisson_binomial(p)
    k = np.arange(5)
    mean = law @ k
    assert mean == pytest.approx(p.sum())
    assert law @ (k - mean) ** 2 == pytest.approx((p * (1 - p)).sum())


def test_p_value_of_masks_is_the_upper_tail():
    densities = np.full(20, 0.4)
    actual = influence.p_values_of_masks(np.array([0, 8, 20]), densities)
    np.testing.assert_allclose(actual, stats.binom.sf([-1, 7, 19], 20, 0.4))


def test_runs_that_agree_by_chance_are_refuted_as_often_as_stated():
    # 200 families of 5 runs and 30 features; below .1 should be one in ten: 20 ± 4.2
    rng = np.random.default_rng(1)
    refuted = 0
    for _ in range(200):
        counts = rng.binomial(10, 0.5, size=(5, 30))
        refuted += influence.p_values_of_runs(counts, rng=rng, draws=99).min() <= 0.1
    assert abs(refuted - 20) < 4 * 4.3


def test_feature_that_every_run_keeps_is_found(rng):
    counts = rng.binomial(10, 0.2, size=(10, 50))
    counts[:, 7] = 10
    p = influence.p_values_of_runs(counts, rng=rng, draws=500)
    assert p[7] == pytest.approx(1 / 501) and np.sort(p)[1] > 0.05


def test_masks_alike_within_a_run_are_no_evidence_of_agreement(rng):
    # each run keeps ten copies of one random mask: independent masks would never agree so much
    masks = [np.repeat(rng.random((1, 200)) < 0.3, 10, axis=0) for _ in range(4)]
    counts = influence.counts_of(masks)
    densities = np.concatenate(masks).mean(axis=1)
    by_masks = influence.p_values_of_masks(counts.sum(axis=0), densities)
    by_runs = influence.p_values_of_runs(counts, rng=rng, draws=200)
    assert by_masks.min() * 200 < 1e-3 and by_runs.min() > 0.05
