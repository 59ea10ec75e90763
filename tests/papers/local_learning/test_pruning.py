"""Units of high variance are found where there are two groups, and only there."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from lib.papers.local_learning import pruning


def layer(log_variances, rng, n_in=400):
    """Units whose weights have these variances exactly."""
    weight = torch.from_numpy(rng.standard_normal((len(log_variances), n_in)))
    weight = (weight - weight.mean(1, keepdim=True)) / weight.std(1, keepdim=True)
    return weight * torch.from_numpy(np.exp(log_variances / 2))[:, None]


def test_log_variance_is_natural_and_of_a_sample():
    weight = torch.tensor([[1.0, 3.0], [0.0, 2 * math.sqrt(2 * math.e)]])
    desired = torch.tensor([math.log(2), math.log(4) + 1])
    torch.testing.assert_close(pruning.log_variances(weight), desired)


def test_units_of_the_upper_group_are_pruned(rng):
    learned, not_learned = rng.normal(-7.5, 0.1, 300), rng.normal(-5.5, 0.1, 40)
    weight = layer(np.concatenate([learned, not_learned]), rng)
    pruned = pruning.prune_by_mixture(weight)
    assert pruned.n_components == 2
    assert pruned.kept.tolist() == [True] * 300 + [False] * 40
    assert math.log(pruned.threshold) == pytest.approx(-6.5, abs=0.05)  # the midpoint
    assert torch.equal(pruned.weight[:300], weight[:300]) and not pruned.weight[300:].any()


def one_group(n=500):
    """Quantiles of a normal distribution, without the chance of a draw."""
    return -7.1 + 0.2 * stats.norm.ppf((np.arange(n) + 0.5) / n)


def test_one_group_is_left_alone(rng):
    weight = layer(one_group(), rng)
    pruned = pruning.prune_by_mixture(weight)
    assert pruned.n_components == 1 and pruned.threshold == math.inf
    assert pruned.kept.all() and torch.equal(pruned.weight, weight)


def test_mixture_that_was_refused_prunes_one_group_too(rng):
    pruned = pruning.prune_by_mixture(layer(one_group(), rng), last_fitted=True)
    assert pruned.n_components == 2 and pruned.threshold < math.inf


def test_published_starts_miss_a_group_far_above_them(rng):
    values = np.concatenate([rng.normal(-7.5, 0.1, 300), rng.normal(-5.5, 0.1, 40)])
    missed = np.sort(pruning.select_mixture(values, last_fitted=True).means_[:, 0])
    assert len(missed) == 2 and missed.max() < -7
    found = np.sort(pruning.select_mixture(values).means_[:, 0])
    assert found == pytest.approx([-7.5, -5.5], abs=0.05)


@pytest.mark.parametrize("centres", [(-7.5,), (-8.2, -6.2), (-8.4, -7.1, -5.8)])
def test_number_of_groups_is_recovered(centres, rng):
    values = np.concatenate([rng.normal(centre, 0.12, 400) for centre in centres])
    mixture = pruning.select_mixture(values)
    assert np.sort(mixture.means_[:, 0]) == pytest.approx(centres, abs=0.05)


def test_units_that_never_learned_are_pruned_though_they_are_not_fitted(rng):
    log_variances = np.concatenate([rng.normal(-7.5, 0.1, 200), rng.normal(-6, 0.1, 50), [0.0]])
    pruned = pruning.prune_by_mixture(layer(log_variances, rng))
    assert pruned.kept.tolist() == [True] * 200 + [False] * 51


def test_fixed_threshold_is_on_the_variance(rng):
    pruned = pruning.prune_by_variance(layer(np.log([0.0014, 0.0016]), rng))
    assert pruned.kept.tolist() == [True, False] and pruned.n_components == 0


def test_layer_that_has_not_learned_is_refused(rng):
    with pytest.raises(
        ValueError, match="0 units have a log-variance in .*, has the layer learned"
    ):
        pruning.prune_by_mixture(layer(np.zeros(20), rng))
