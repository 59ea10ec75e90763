"""Contrastive divergence: its gradient, what is learned, links that evolve, exact resume."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from lib import train
from lib._compiled import launch
from lib.evolution import Evolution
from lib.train import Settings
from papers.set.rbm import ais, exact
from papers.set.rbm.contrastive_divergence import Chains, _Learner, fit
from tests.oracles import seeded
from tests.papers.set.rbm.machines import bars_and_stripes, machine, moments

SETTINGS = Settings(4, batch_size=7, learning_rate=0.05, schedule="constant")
SET = Settings(4, batch_size=7, learning_rate=0.05, schedule="constant", evolution=Evolution())


def rows(n=30, width=20, seed=3):
    return torch.randint(2, (n, width), generator=seeded(seed)).double()


def sparse(seed=0):
    return machine(20, 15, std=0.1, seed=seed, density=0.3)


def weights_after(settings, **options):
    rbm = sparse()
    fit(rbm, rows(), settings, seed=1, **options)
    return rbm.to_dense()


# the gradient


def test_step_of_long_chains_follows_the_gradient_of_the_likelihood():
    """CD-200 of 20,000 chains is the exact gradient to its sampling error."""
    rbm, x = machine(6, 5, std=0.7), rows(10, 6)
    before = rbm.to_dense().clone()
    products, *_ = moments(rbm)
    positive = rbm.hidden_probabilities(x).t() @ x / len(x)
    plain = {"momentum": 0.0, "weight_decay": 0.0, "schedule": "constant"}
    settings = Settings(1, batch_size=20_000, learning_rate=0.1, **plain)
    fit(rbm, x.repeat(2000, 1), settings, seed=0, chains=Chains(200))
    actual = (rbm.to_dense() - before) / 0.1
    assert_allclose(actual, positive - products, atol=4 * 0.5 / math.sqrt(20_000))


def test_momentum_and_decay_are_those_of_sgd():
    """Two steps without a gradient: the weights decay, with the momentum of the first step."""
    rbm = sparse()
    start = rbm.weights.detach().clone()
    learner = _Learner(rbm, rows(), SETTINGS, Chains(), 0)
    rate, decay, momentum = 0.05, 2e-4, 0.9
    for _ in range(2):
        for parameter in rbm.parameters():
            parameter.grad = torch.zeros_like(parameter)
        learner.optimiser.step()
    once = start * (1 - rate * decay)
    velocity = momentum * decay * start + decay * once
    assert_allclose(rbm.weights.detach(), once - rate * velocity, rtol=1e-12)
    assert torch.equal(rbm.hidden_bias, sparse().hidden_bias)


# what is learned


@pytest.mark.parametrize("links", [{}, {"density": 0.8}], ids=str)
def test_bars_and_stripes_are_learned(links):
    x, rbm = bars_and_stripes(3), machine(9, 16, std=0.1, **links)
    steps = {"batch_size": 16, "learning_rate": 0.05, "schedule": "cosine", "weight_decay": 0.0}
    fit(rbm, x, Settings(4000, **steps), seed=0, chains=Chains(5, persistent=True))
    likelihood = -rbm.free_energy(x).mean().item() - exact.log_z(rbm)
    assert exact.ceiling(x) > likelihood > exact.ceiling(x) - 0.3


# links


def test_links_evolve_between_epochs_and_are_removed_after_the_last():
    rbm = sparse()
    n = rbm.weights.numel()
    table = []

    def evaluate(rbm, epoch):
        table.append((rbm.weights.numel(), rbm.n_links))
        return {}

    history = fit(rbm, rows(), SET, seed=1, evaluate=evaluate, at_epochs=range(5))
    assert [links for links, _ in table] == [n, n, n, rbm.weights.numel()]
    assert all(0.68 * n < kept < 0.75 * n for _, kept in table)
    assert [row["links"] for row in history.metrics] == [n] * 4
    assert history.final["links"] == rbm.n_links == history.metrics[-1]["kept"]
    assert [row["epoch"] for row in history.degrees[::2]] == [0, 1, 2, 4, "final"]


def test_survivors_keep_their_momentum():
    rbm = sparse()
    learner = _Learner(rbm, rows(), SET, Chains(), 1)
    learner._step(rows(7).t().contiguous())
    state = learner.optimiser.state[rbm.weights]["momentum_buffer"]
    before = dict(zip(rbm.links.support.keys.tolist(), state.tolist(), strict=True))
    learner._update_links(1, False)
    state = learner.optimiser.state[rbm.weights]["momentum_buffer"]
    after = dict(zip(rbm.links.support.keys.tolist(), state.tolist(), strict=True))
    weights = dict(zip(after, rbm.weights.tolist(), strict=True))
    kept = [key for key, weight in weights.items() if weight != 0]
    assert all(after[key] == before[key] for key in kept) and 60 < len(kept) < 70
    assert all(after[key] == 0 for key in after if key not in kept)


def test_fixed_and_dense_links_stay():
    rbm, dense = sparse(), machine(20, 15)
    keys = rbm.links.support.keys
    fit(rbm, rows(), SETTINGS, seed=1)
    fit(dense, rows(), SET, seed=1)
    assert torch.equal(rbm.links.support.keys, keys) and dense.n_links == 300


def test_a_hundred_thousand_units_of_either_side_are_trained():
    """Memory and time of the links: the matrix would take 40 GB."""
    n = 100_000
    generator = seeded(0)
    rbm = machine(n, n, std=0.05, density=10 / n)
    x = torch.bernoulli(torch.full((4, n), 0.1), generator=generator)
    settings = Settings(2, batch_size=4, learning_rate=0.01, evolution=Evolution())
    fit(rbm, x, settings, seed=0)
    assert rbm.n_links == pytest.approx(0.7 * 10 * n, rel=0.02)  # links that never met a 1 go too


# exactness


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("settings", [SETTINGS, SET], ids=["fixed", "set"])
def test_interrupted_training_goes_on_to_the_same_bits(settings, persistent, tmp_path):
    path = tmp_path / "checkpoint.pt"
    options = {"chains": Chains(2, persistent)}
    whole = weights_after(settings, **options)
    for stop_after in (1, 3, 3, None):
        interrupted = weights_after(settings, **options, checkpoint=path, stop_after=stop_after)
    assert torch.equal(interrupted, whole)


def test_evaluation_changes_no_bit():
    whole = weights_after(SET)
    watched = weights_after(SET, evaluate=lambda rbm, epoch: {"valid": 0.0}, at_epochs=range(5))
    assert torch.equal(watched, whole)


def test_row_of_an_evaluation_keeps_its_own_columns():
    how = {"seed": 1, "evaluate": lambda rbm, epoch: {"valid": np.float64(-1.0)}}
    (row,) = fit(sparse(), rows(), SET, **how).metrics
    assert type(row["valid"]) is float
    how["evaluate"] = lambda rbm, epoch: {"links": 5}
    with pytest.raises(ValueError, match="evaluate returns 'links', which the row has"):
        fit(sparse(), rows(), SET, **how)


def test_best_machine_is_that_of_the_largest_validation_likelihood():
    values = {1: -5.0, 2: None, 3: -2.0, 4: -2.0}
    states = {}

    def evaluate(rbm, epoch):
        states[epoch] = rbm.to_dense().clone()
        return {"valid": values[epoch]}

    rbm = sparse()
    history = fit(rbm, rows(), SET, seed=1, evaluate=evaluate, at_epochs=range(5))
    rbm.load_state_dict(history.best_state)
    assert torch.equal(rbm.to_dense(), states[3])


@pytest.mark.parametrize("batch_size", [7, 20])
def test_threads_change_no_bit(batch_size):
    settings = dataclasses.replace(SET, batch_size=batch_size)
    one = weights_after(settings)
    with launch.on_threads(2):
        assert torch.equal(weights_after(settings), one)


@pytest.mark.parametrize(
    ("batch_size", "chains", "nesterov"),
    [
        (7, Chains(), False),
        (20, Chains(), True),
        (7, Chains(2, persistent=True), True),
        (20, Chains(2, persistent=True), False),
    ],
    ids=str,
)
def test_compiled_epochs_are_those_of_plain_torch(batch_size, chains, nesterov):
    settings = dataclasses.replace(SET, batch_size=batch_size, nesterov=nesterov)
    actual = weights_after(settings, chains=chains)
    with launch.use_implementation("torch"):
        desired = weights_after(settings, chains=chains)
    assert_allclose(actual, desired, rtol=1e-9, atol=1e-12)


@pytest.mark.gpu
def test_machine_on_a_gpu_learns_and_is_estimated():
    rbm, x = machine(20, 15, std=0.1).to("cuda"), rows()
    fit(rbm, x, SETTINGS, seed=1)
    estimate = ais.forward(rbm, ais.base_of(x), ais.schedule(200), seed=0)
    assert abs(estimate.value - exact.log_z(rbm.cpu())) < 4 * estimate.se + 0.02


# bad input


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"averaging": 0.9}, "averaging = 0.9 is not for a machine"),
        ({"augmentation": 1.0}, "augmentation = 1.0 is not for a machine"),
        ({"evolution": Evolution(drop="weight_and_gradient")}, "needs gradients of a loss"),
        ({"evolution": Evolution(grow="gradient")}, "needs gradients of a loss"),
        ({"evolution": Evolution(redistribution="momentum")}, "changes the number of links"),
        (
            {"evolution": Evolution(density_schedule="cubic", final_share=0.5)},
            "density_schedule = 'cubic' .* changes the number of links",
        ),
    ],
    ids=str,
)
def test_settings_that_the_loop_does_not_follow_are_refused_before_the_first_epoch(
    changes, sentence
):
    rbm = sparse()
    before = rbm.to_dense()
    with pytest.raises(ValueError, match=sentence):
        fit(rbm, rows(), dataclasses.replace(SETTINGS, **changes), seed=0)
    assert torch.equal(rbm.to_dense(), before)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Chains(0), "CD-0 is out of range: give at least one sweep"),
        (lambda: fit(sparse(), rows() / 2, SETTINGS, seed=0), "x_train holds 0.5: an RBM takes 0"),
        (
            lambda: fit(sparse(), rows(width=19), SETTINGS, seed=0),
            "x_train has 19 features: the machine takes 20",
        ),
    ],
)
def test_bad_chains_and_data_are_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_rules_see_which_share_of_the_training_is_done():
    seen = []

    def noting(site, fraction, *, generator):
        seen.append(site.done)
        return site.values == 0

    settings = dataclasses.replace(SETTINGS, evolution=Evolution(drop=noting))
    fit(sparse(), rows(), settings, seed=0)
    assert seen == [epoch / SETTINGS.epochs for epoch in range(1, SETTINGS.epochs + 1)]


def test_diverging_training_is_named():
    rbm = sparse()
    rbm.weights.data[3] = float("nan")
    with pytest.raises(train.Diverged, match="no longer finite after epoch 1, at learning rate"):
        fit(rbm, rows(), SETTINGS, seed=0)


def test_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    weights_after(SETTINGS, checkpoint=path, stop_after=1)
    with pytest.raises(ValueError, match="learning_rate = .*, not 0.001: give that value"):
        weights_after(dataclasses.replace(SETTINGS, learning_rate=0.001), checkpoint=path)
    with pytest.raises(ValueError, match="steps = 1, not 3"):
        weights_after(SETTINGS, chains=Chains(3), checkpoint=path)
