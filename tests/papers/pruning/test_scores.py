"""Scores and areas agree with their formulas, with closed cases and with scikit-learn."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.metrics import roc_auc_score

from lib.papers.pruning import scores
from lib.papers.pruning.heads import Head

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


@pytest.mark.parametrize("temperature", [1.0, 7.0, 1000.0])
def test_largest_softmax_is_the_formula(temperature):
    powers = np.exp((Z.numpy() - Z.numpy().max(1, keepdims=True)) / temperature)
    desired = powers.max(1) / powers.sum(1)
    assert_allclose(scores.largest_softmax(Z, temperature), desired, rtol=1e-12)


def test_softmax_at_a_high_temperature_orders_by_largest_less_mean_logit(rng):
    z = torch.from_numpy(rng.normal(size=(30, 4)))
    desired = (z.amax(1) - z.mean(1)).argsort()
    assert (np.argsort(scores.largest_softmax(z, 1e6)) == desired.numpy()).all()


def test_single_precision_does_not_tie_the_scores_at_temperature_1000(rng):
    z = torch.from_numpy(rng.normal(size=(300, 14))).float()
    assert len(np.unique(scores.largest_softmax(z))) == 300


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_energy_is_the_formula_and_does_not_overflow(temperature):
    actual = scores.negative_energy(Z, temperature)
    small = temperature * np.log(np.exp(Z[:2].numpy() / temperature).sum(1))
    assert_allclose(actual, [*small, 1000.0], rtol=1e-12)


def test_odin_moves_each_feature_by_the_radius_to_where_the_softmax_is_larger(head, x):
    moved = scores.moved_to_be_surer(head, x, temperature=10.0, radius=1e-4)
    before = scores.largest_softmax(head.logits(x), 10.0)
    assert_allclose(abs(moved - x), 1e-4, rtol=1e-6)
    assert (scores.largest_softmax(head.logits(moved), 10.0) > before).all()


def test_odin_moves_along_finite_differences(head, x):
    step, row = 1e-6, x[:1]
    moves = step * torch.eye(6)
    up = scores.largest_softmax(head.logits(row + moves), 10.0)
    down = scores.largest_softmax(head.logits(row - moves), 10.0)
    moved = scores.moved_to_be_surer(head, row, temperature=10.0, radius=0.5)
    assert_allclose((moved - row)[0] / 0.5, np.sign(up - down))


def test_odin_leaves_features_alone_that_the_head_does_not_read(rng):
    head = head_of(rng.normal(size=(4, 5)), rng.normal(size=(5, 3)))
    x = torch.from_numpy(rng.normal(size=(7, 6)))
    assert torch.equal(scores.moved_to_be_surer(head, x, radius=0.5)[:, 4:], x[:, 4:])


@pytest.mark.parametrize("name", scores.SCORES)
def test_score_by_name_is_that_of_its_function(head, x, name):
    z = head.logits(x)
    moved = scores.moved_to_be_surer(head, x)
    desired = {
        "softmax": scores.largest_softmax(z),
        "odin": scores.largest_softmax(head.logits(moved)),
        "energy": scores.negative_energy(z),
    }
    assert_allclose(scores.score(head, x, name), desired[name])


def test_unknown_score_is_refused_with_the_nearest(head, x):
    with pytest.raises(ValueError, match="unknown score 'energie': did you mean 'energy'"):
        scores.score(head, x, "energie")


def test_auroc_is_scikit_learns_with_ties(drawn):
    inside, outside = drawn
    truth = np.repeat([1, 0], [len(inside), len(outside)])
    assert scores.auroc(*drawn) == pytest.approx(roc_auc_score(truth, np.concatenate(drawn)))


def test_auroc_is_the_share_of_pairs_in_order(drawn):
    inside, outside = drawn
    above = inside[:, None] > outside
    ties = inside[:, None] == outside
    assert scores.auroc(inside, outside) == pytest.approx((above + ties / 2).mean())


@pytest.mark.parametrize(
    ("inside", "outside", "desired"),
    [
        ([3.0, 2.0], [1.0, 0.0, -1.0], 1.0),
        ([0.0], [1.0, 2.0], 0.0),
        ([1.0, 1.0, 1.0], [1.0, 1.0], 0.5),
        ([2.0, 0.0], [1.0], 0.5),
    ],
)
def test_auroc_of_closed_cases(inside, outside, desired):
    assert scores.auroc(inside, outside) == desired


def test_auroc_and_its_mirror_add_to_one(drawn):
    assert scores.auroc(*drawn) + scores.auroc(*drawn[::-1]) == pytest.approx(1)


@pytest.mark.parametrize("area", [scores.auroc, scores.auroc_released])
@pytest.mark.parametrize("wrong", [[], [np.nan], [[1.0]]])
def test_scores_that_are_none_are_refused(area, wrong):
    with pytest.raises(ValueError, match="give at least one, and numbers alone"):
        area(wrong, [1.0])


def test_released_area_is_the_exact_one_up_to_its_grid(rng):
    inside, outside = rng.normal(1, 1, 5000), rng.normal(0, 1, 5000)
    actual = scores.auroc_released(inside, outside)
    # below the rate of .99 and at the forced ends at most a strip of 1/100 is lost
    assert actual == pytest.approx(scores.auroc(inside, outside), abs=0.011)


def test_released_area_calls_equal_scores_well_told_or_not_by_its_forced_ends():
    # every false positive rate is 1 but the last, which is forced to 0: the last trapezoid is all
    assert scores.auroc_released([1.0] * 9, [1.0] * 9) == pytest.approx(0.005)
    assert scores.auroc([1.0] * 9, [1.0] * 9) == 0.5


def test_noise_of_nothing_is_the_plain_accuracy_and_much_noise_is_chance(head, x):
    y = head.logits(x).argmax(1)
    generator = torch.Generator().manual_seed(0)
    options = dict(generator=generator, repeats=200)
    assert scores.noise_accuracy(head, x, y, noise_std=0.0, **options) == 1
    assert scores.noise_accuracy(head, x, y, noise_std=100.0, **options) < 0.7


def test_heads_meet_the_same_noise(head, x):
    y = head.logits(x).argmax(1)
    first, second = (
        scores.noise_accuracy(head, x, y, noise_std=1.0, generator=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert first == second < 1


def test_attack_of_a_linear_margin_is_decided_by_radius_times_the_l1_norm():
    # two classes, logits (h, 0) with h = relu(x1 + 2 x2): the margin falls by 3 radius
    head = head_of([[1.0], [2.0]], [[1.0, 0.0]], [0.0, 3.0])
    x = torch.tensor([[2.0, 2.0], [4.0, 4.0], [0.0, 0.0]])  # margins 3, 9, and class 1
    y = torch.tensor([0, 0, 1])
    assert scores.adversarial_accuracy(head, x, y, radius=0.9) == 1
    assert scores.adversarial_accuracy(head, x, y, radius=1.1) == pytest.approx(2 / 3)
