"""Masked heads trained together are what each would be alone, and what torch's own SGD makes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from papers.pruning import heads
from papers.pruning.heads import HeadSettings

N_FEATURES, N_CLASSES = 7, 3
SETTINGS = HeadSettings(
    n_hidden=5,
    learning_rate=0.1,
    decay=0.0,
    weight_decay=0.01,
    batch_size=8,
    epochs=6,
    patience=6,
    stop_on="training",
)
FIELDS = ("weight_in", "bias_in", "weight_out", "bias_out")
each_mode = pytest.mark.parametrize("mode", heads.MODES)


@pytest.fixture
def examples(rng):
    x = torch.from_numpy(rng.normal(size=(30, N_FEATURES)))
    y = torch.from_numpy(rng.integers(0, N_CLASSES, 30))
    return x, y


@pytest.fixture
def strangers(rng):
    x = torch.from_numpy(rng.normal(size=(12, N_FEATURES)))
    return x, torch.from_numpy(rng.integers(0, N_CLASSES, 12))


def masks_of(rng, mode, n=9, density=0.6):
    return rng.random((n, *heads.mask_shape(mode, N_FEATURES, SETTINGS.n_hidden))) < density


def train(examples, masks, seeds, mode="features", settings=SETTINGS, valid=None):
    options = dict(mode=mode, n_classes=N_CLASSES, settings=settings, valid=valid)
    return heads.train(*examples, np.asarray(masks), seeds, **options)


def full_mask(mask, mode):
    """(n_features, n_hidden) links of a mask."""
    if mode == "links":
        return torch.from_numpy(mask)
    whole = torch.ones(N_FEATURES, SETTINGS.n_hidden, dtype=torch.bool)
    gene = torch.from_numpy(mask)
    return whole & (gene[:, None] if mode == "features" else gene)


class Masked(torch.nn.Module):
    """The published head: the kernel times the mask, a bias masked where its unit has no input."""

    def __init__(self, mask, mode, seed):
        super().__init__()
        sizes = (N_FEATURES, SETTINGS.n_hidden, N_CLASSES)
        self.generator = torch.Generator().manual_seed(seed)
        first = heads._first_weights(sizes, self.generator)
        self.weight_in, self.weight_out = map(torch.nn.Parameter, first)
        self.bias_in = torch.nn.Parameter(torch.zeros(sizes[1]))
        self.bias_out = torch.nn.Parameter(torch.zeros(sizes[2]))
        self.mask = full_mask(mask, mode)

    def forward(self, x):
        has_inputs = self.mask.any(0)
        hidden = torch.relu(x @ (self.weight_in * self.mask) + self.bias_in * has_inputs)
        return hidden @ self.weight_out + self.bias_out

    def fit(self, x, y, settings):
        weights, biases = [self.weight_in, self.weight_out], [self.bias_in, self.bias_out]
        groups = [{"params": weights, "weight_decay": settings.weight_decay}, {"params": biases}]
        options = dict(lr=settings.learning_rate, momentum=settings.momentum, nesterov=True)
        optimiser = torch.optim.SGD(groups, **options)
        for _ in range(settings.epochs):
            order = torch.randperm(len(x), generator=self.generator)
            for batch in order.split(settings.batch_size):
                optimiser.zero_grad()
                F.cross_entropy(self(x[batch]), y[batch]).backward()
                optimiser.step()
        return self


def assert_same(one, other, tolerance=1e-9):
    """Two heads with the same weights."""
    for name in FIELDS:
        desired = getattr(other, name)
        torch.testing.assert_close(getattr(one, name), desired, atol=tolerance, rtol=tolerance)


@each_mode
def test_heads_trained_together_are_those_trained_alone(rng, examples, mode):
    masks = masks_of(rng, mode)
    seeds = [int(seed) for seed in rng.integers(0, 100, len(masks))]
    for number, head in enumerate(train(examples, masks, seeds, mode)):
        (alone,) = train(examples, masks[[number]], [seeds[number]], mode)
        assert_same(head, alone)


def test_heads_that_stop_at_their_own_epochs_are_those_trained_alone(rng, examples, strangers):
    settings = replace(SETTINGS, epochs=40, patience=2, stop_on="validation", learning_rate=0.3)
    masks = masks_of(rng, "features")
    together = train(examples, masks, range(9), settings=settings, valid=strangers)
    assert len({head.epochs for head in together}) > 1
    for number, head in enumerate(together):
        (alone,) = train(examples, masks[[number]], [number], settings=settings, valid=strangers)
        assert head.epochs == alone.epochs
        assert head.loss == pytest.approx(alone.loss, rel=1e-9)
        assert_same(head, alone)


def test_heads_of_many_small_groups_are_those_of_one(rng, examples, monkeypatch):
    masks = masks_of(rng, "features")
    together = train(examples, masks, range(9))
    monkeypatch.setattr(heads, "TOGETHER", 1)
    alone = train(examples, masks, range(9))
    torch.testing.assert_close(
        torch.stack([head.logits(examples[0]) for head in together]),
        torch.stack([head.logits(examples[0]) for head in alone]),
    )


@each_mode
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_head_is_the_published_one_trained_by_torch(rng, examples, strangers, mode, weight_decay):
    settings = replace(SETTINGS, min_delta=-torch.inf, weight_decay=weight_decay)
    mask = masks_of(rng, mode, n=1)
    (head,) = train(examples, mask, [3], mode, settings)
    desired = Masked(mask[0], mode, 3).fit(*examples, settings)
    torch.testing.assert_close(head.logits(strangers[0]), desired(strangers[0]).detach())


def test_empty_mask_among_others_is_trained_as_alone(rng, examples):
    masks = masks_of(rng, "features", n=3)
    masks[1] = False
    assert_same(train(examples, masks, [0, 1, 2])[1], train(examples, masks[[1]], [1])[0])


def test_unit_without_inputs_loses_its_bias_and_a_unit_with_one_keeps_it(examples):
    mask = np.ones((1, N_FEATURES, SETTINGS.n_hidden), bool)
    mask[0, :, 1] = False
    mask[0, 1:, 3] = False
    (head,) = train(examples, mask, [0], "links")
    assert head.units.tolist() == [0, 2, 3, 4] and len(head.bias_in) == 4
    assert head.bias_in[2] != 0 and not head.weight_in[1:, 2].any()


def test_learning_rate_decays_with_the_steps(examples):
    # the bias of an empty head on full batches has a gradient of closed form
    settings = replace(SETTINGS, momentum=0.0, decay=0.5, epochs=3, batch_size=30, patience=9)
    (head,) = train(examples, np.zeros((1, N_FEATURES), bool), [0], settings=settings)
    bias = np.zeros(N_CLASSES)
    shares = np.bincount(examples[1]) / len(examples[1])
    for rate in (0.1 / 1, 0.1 / 1.5, 0.1 / 2):
        bias -= rate * (np.exp(bias) / np.exp(bias).sum() - shares)
    np.testing.assert_allclose(head.bias_out, bias, atol=1e-12)


def test_head_keeps_the_weights_of_its_smallest_validation_loss(rng, examples, strangers):
    settings = replace(SETTINGS, epochs=30, patience=30, stop_on="validation", learning_rate=0.5)
    options = dict(settings=settings, valid=strangers)
    (head,) = train(examples, np.ones((1, N_FEATURES), bool), [0], **options)
    loss = F.cross_entropy(head.logits(strangers[0]), strangers[1])
    assert float(loss) == pytest.approx(head.loss)
    shorter = [replace(settings, epochs=n, min_delta=0.0) for n in (1, 5, 30)]
    losses = [
        train(examples, np.ones((1, N_FEATURES), bool), [0], settings=one, valid=strangers)[0].loss
        for one in shorter
    ]
    assert losses == sorted(losses, reverse=True)


def test_patience_counts_epochs_without_improvement(examples, strangers):
    settings = replace(SETTINGS, epochs=50, patience=3, min_delta=100.0, stop_on="validation")
    (head,) = train(
        examples, np.ones((1, N_FEATURES), bool), [0], settings=settings, valid=strangers
    )
    assert head.epochs == 4  # the first improves on infinity, then three do not


def test_seed_decides_and_nothing_else(examples):
    masks = np.ones((3, N_FEATURES), bool)
    torch.manual_seed(1)
    first, second, third = train(examples, masks, [5, 5, 6])
    assert_same(first, second, 0)
    assert not torch.allclose(first.weight_in, third.weight_in)


def test_first_weights_are_glorots():
    weight_in, weight_out = heads._first_weights((300, 200, 4), torch.Generator().manual_seed(0))
    bounds = (6 / 500) ** 0.5, (6 / 204) ** 0.5
    assert 0.99 * bounds[0] < float(weight_in.abs().max()) <= bounds[0]
    assert float(weight_out.abs().max()) <= bounds[1]
    # variance of a uniform number; 60,000 of them have it to well within 2 %
    assert float(weight_in.var()) == pytest.approx(bounds[0] ** 2 / 3, rel=0.02)


def test_single_precision_stays_single(examples):
    x, y = examples[0].float(), examples[1]
    (head,) = train((x, y), np.ones((1, N_FEATURES), bool), [0])
    assert head.logits(x).dtype == torch.float32
