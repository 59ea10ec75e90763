"""The rule of competing hidden units by hand, its laws, its runs, and what became of them."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats

from papers.local_learning import krotov_hopfield as rule
from papers.local_learning.krotov_hopfield import KrotovHopfield

SMALL = KrotovHopfield(n_units=12, epochs=4, batch_size=10)


@pytest.fixture
def weight(generator):
    return torch.randn(8, 5, generator=generator)


@pytest.fixture
def x(generator):
    return torch.rand(30, 5, generator=generator)


def update_by_definition(weight, x, order, rank, anti_hebbian):
    """The sum over samples and units, written out."""
    total = torch.zeros_like(weight)
    for v in x:
        overlap = (weight.sign() * weight.abs().pow(order - 1) * v).sum(1)
        ranked = overlap.argsort(descending=True).tolist()
        signals = {ranked[0]: 1.0, ranked[rank - 1]: -anti_hebbian}
        for unit, g in signals.items():
            total[unit] += g * (v - overlap[unit] * weight[unit])
    return total


@pytest.mark.parametrize("order", [1.5, 2, 3, 4])
def test_overlap_is_the_inner_product_of_its_order(weight, x, order):
    desired = torch.einsum("bi,ui->bu", x, weight.sign() * weight.abs() ** (order - 1))
    torch.testing.assert_close(rule.overlaps(x, weight, norm_order=order), desired)


@pytest.mark.parametrize(("order", "rank"), [(2, 2), (3, 2), (3, 5)])
def test_update_of_a_batch_is_the_sum_over_its_samples(weight, x, order, rank):
    desired = update_by_definition(weight, x, order, rank, 0.4)
    actual = rule.summed_update(weight, x, norm_order=order, rank=rank)
    torch.testing.assert_close(actual, desired)


def test_second_unit_unlearns_what_the_first_learns_worked_by_hand():
    weight = torch.tensor([[2.0, 0.0], [0.0, -1.0], [1.0, 1.0]])
    v = torch.tensor([[1.0, 1.0]])  # overlaps 4, -1 and 2 of order 3
    actual = rule.summed_update(weight, v, norm_order=3, anti_hebbian=0.5)
    desired = [[1.0 - 8.0, 1.0], [0.0, 0.0], [-0.5 * (1 - 2), -0.5 * (1 - 2)]]
    assert actual.tolist() == desired


@pytest.mark.parametrize(("step_size", "dtype"), [(0.02, torch.float32), (0.3, torch.float64)])
def test_largest_change_is_the_step_size_exactly(weight, x, step_size, dtype):
    step = rule.learning_step(weight.to(dtype), x.to(dtype), step_size=step_size)
    assert step.abs().max() == torch.tensor(step_size, dtype=dtype)


def test_step_of_no_update_is_zero():
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    step = rule.learning_step(
        weight, torch.tensor([[1.0, 0.0]]), step_size=0.1, norm_order=2, anti_hebbian=0.0
    )
    assert not step.any()


@pytest.mark.parametrize("order", [2, 3])
def test_norms_of_learned_units_are_one(order, generator):
    centres = torch.rand(4, 20, generator=generator)
    images = centres.repeat(25, 1) + 0.05 * torch.rand(100, 20, generator=generator)
    sizes = {"n_units": 4, "epochs": 200, "batch_size": 20}
    settings = KrotovHopfield(**sizes, norm_order=order, anti_hebbian=0.0)
    weight = rule.learn(images, settings, seed=0).weight
    won = rule.overlaps(images, weight, norm_order=order).argmax(1).unique()
    lengths = weight[won].abs().pow(order).sum(1).pow(1 / order)
    torch.testing.assert_close(lengths, torch.ones_like(lengths), atol=0, rtol=0.01)


# ------------------------------------------------------------------------------------- runs


def test_step_sizes_fall_linearly_from_the_first():
    settings = dataclasses.replace(SMALL, step_size=0.4)
    actual = [settings.step_size_at_epoch(epoch) for epoch in (1, 2, 3, 4)]
    assert actual == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_every_image_is_in_one_minibatch_of_an_epoch(generator):
    x = torch.arange(25.0)[:, None]
    batches = list(rule.minibatches(x, 10, generator=generator))
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert torch.cat(batches).flatten().sort().values.tolist() == list(range(25))
    assert torch.cat(batches).flatten().tolist() != list(range(25))


def test_first_epoch_of_a_run_is_steps_from_a_normal_start(x):
    settings = dataclasses.replace(SMALL, epochs=1, batch_size=len(x))
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(12, 5, generator=generator)
    desired = start + rule.learning_step(start, x, step_size=0.02)
    torch.testing.assert_close(rule.learn(x, settings, seed=3).weight, desired)


# --------------------------------------------------------------------- what became of a run


def test_acceptance_counts_units_off_the_norm_and_negative_ones():
    weight = torch.full((20, 1), 1.0)
    weight[0] = 1.02
    assert rule.acceptance(weight) == (0.05, 1.0, 0)
    assert rule.acceptance(weight).accepted
    weight[1] = 0.98
    assert rule.acceptance(weight) == (0.1, 0.98, 0)
    assert not rule.acceptance(weight).accepted
    weight[1] = -1.0
    assert rule.acceptance(weight) == (0.05, -1.0, 1)
    assert not rule.acceptance(weight).accepted


@pytest.mark.parametrize(
    ("weight", "desired"),
    [
        (torch.eye(4), 4),
        (torch.ones(4, 7), 1),
        (torch.eye(4)[[0, 0, 1, 1]] * 3, 2),
        (torch.diag(torch.tensor([1.0, 1.0, 0.0, 0.0])), 2),  # zeros are no direction
    ],
)
def test_effective_units_count_directions(weight, desired):
    assert rule.effective_units(rule.cosines(weight)) == pytest.approx(desired)


@pytest.mark.parametrize(("cosine", "desired"), [(0.71, 0.4), (0.989, 0.4), (0.991, 0.8)])
def test_units_that_point_as_another_one_are_duplicated(cosine, desired):
    weight = torch.eye(5)
    weight[1] = 3 * weight[0]
    weight[3, 2], weight[3, 3] = cosine, math.sqrt(1 - cosine**2)
    assert rule.duplicated_fraction(rule.cosines(weight)) == pytest.approx(desired)


# --------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_units", 1),
        ("step_size", 0.0),
        ("anti_hebbian", -0.1),
        ("rank", 13),
        ("norm_order", 1.0),
    ],
)
def test_settings_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} = {value} is out of range: give"):
        dataclasses.replace(SMALL, **{field: value})


@pytest.mark.parametrize(
    ("settings", "seed", "sentence"),
    [
        (SMALL, 1, "is of seed = 0, not 1"),
        (dataclasses.replace(SMALL, step_size=0.5), 0, "step_size = .*, not 0.5"),
    ],
)
def test_checkpoint_of_another_run_is_refused(x, settings, seed, sentence, tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    rule.learn(x, SMALL, seed=0, checkpoint=checkpoint)
    with pytest.raises(ValueError, match=sentence):
        rule.learn(x, settings, seed=seed, checkpoint=checkpoint)
    with pytest.raises(ValueError, match="is of other data"):
        rule.learn(x + 1, SMALL, seed=0, checkpoint=checkpoint)


# ---------------------------------------------------------------------- units that did not learn


def layer(log_variances, rng, n_in=400):
    """Units whose weights have these variances exactly."""
    weight = torch.from_numpy(rng.standard_normal((len(log_variances), n_in)))
    weight = (weight - weight.mean(1, keepdim=True)) / weight.std(1, keepdim=True)
    return weight * torch.from_numpy(np.exp(log_variances / 2))[:, None]


def test_log_variance_is_natural_and_of_a_sample():
    weight = torch.tensor([[1.0, 3.0], [0.0, 2 * math.sqrt(2 * math.e)]])
    desired = torch.tensor([math.log(2), math.log(4) + 1])
    torch.testing.assert_close(rule.log_variances(weight), desired)


def test_units_of_the_upper_group_are_pruned(rng):
    learned, not_learned = rng.normal(-7.5, 0.1, 300), rng.normal(-5.5, 0.1, 40)
    weight = layer(np.concatenate([learned, not_learned]), rng)
    pruned = rule.prune_by_mixture(weight)
    assert pruned.n_components == 2
    assert pruned.kept.tolist() == [True] * 300 + [False] * 40
    assert math.log(pruned.threshold) == pytest.approx(-6.5, abs=0.05)  # the midpoint
    assert torch.equal(pruned.weight[:300], weight[:300]) and not pruned.weight[300:].any()


def one_group(n=500):
    """Quantiles of a normal distribution, without the chance of a draw."""
    return -7.1 + 0.2 * stats.norm.ppf((np.arange(n) + 0.5) / n)


def test_one_group_is_left_alone(rng):
    weight = layer(one_group(), rng)
    pruned = rule.prune_by_mixture(weight)
    assert pruned.n_components == 1 and pruned.threshold == math.inf
    assert pruned.kept.all() and torch.equal(pruned.weight, weight)


def test_mixture_that_was_refused_prunes_one_group_too(rng):
    pruned = rule.prune_by_mixture(layer(one_group(), rng), last_fitted=True)
    assert pruned.n_components == 2 and pruned.threshold < math.inf


def test_published_starts_miss_a_group_far_above_them(rng):
    values = np.concatenate([rng.normal(-7.5, 0.1, 300), rng.normal(-5.5, 0.1, 40)])
    missed = np.sort(rule.select_mixture(values, last_fitted=True).means_[:, 0])
    assert len(missed) == 2 and missed.max() < -7
    found = np.sort(rule.select_mixture(values).means_[:, 0])
    assert found == pytest.approx([-7.5, -5.5], abs=0.05)


@pytest.mark.parametrize("centres", [(-7.5,), (-8.2, -6.2), (-8.4, -7.1, -5.8)])
def test_number_of_groups_is_recovered(centres, rng):
    values = np.concatenate([rng.normal(centre, 0.12, 400) for centre in centres])
    mixture = rule.select_mixture(values)
    assert np.sort(mixture.means_[:, 0]) == pytest.approx(centres, abs=0.05)


def test_units_that_never_learned_are_pruned_though_they_are_not_fitted(rng):
    log_variances = np.concatenate([rng.normal(-7.5, 0.1, 200), rng.normal(-6, 0.1, 50), [0.0]])
    pruned = rule.prune_by_mixture(layer(log_variances, rng))
    assert pruned.kept.tolist() == [True] * 200 + [False] * 51


def test_layer_that_has_not_learned_is_refused(rng):
    with pytest.raises(
        ValueError, match="0 units have a log-variance in .*, has the layer learned"
    ):
        rule.prune_by_mixture(layer(np.zeros(20), rng))
