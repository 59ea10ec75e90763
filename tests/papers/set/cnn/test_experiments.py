"""What is run in which profile, and what a step costs."""

import dataclasses

import pytest
import torch

from lib.papers import STORE
from lib.papers.set.cnn import costs, experiments, network
from lib.papers.set.cnn.training import TOPS

PAIRED = (
    "experiment",
    "method",
    "learning_rate",
    "er_epsilon",
    "drop",
    "grow",
    "decay",
    "stand_in",
)


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
@pytest.mark.parametrize("runs_of", [experiments.convolutional, experiments.on_features])
def test_tops_of_a_seed_differ_in_their_links_alone(profile, runs_of):
    runs = runs_of(profile)
    for seed in {run.seed for run in runs}:
        of_seed = [run for run in runs if run.seed == seed]
        assert [run.method for run in of_seed] == list(TOPS)
        same = []
        for run in of_seed:
            fields = run.fields_to_write()
            same.append({name: value for name, value in fields.items() if name not in PAIRED})
        assert all(fields == same[0] for fields in same)
        links = {run.method: run.er_epsilon for run in of_seed}
        assert links.pop("dense") is None and len(set(links.values())) == 1


def test_paper_profile_is_the_published_network_on_augmented_images():
    runs = experiments.convolutional("paper")
    assert {run.seed for run in runs} == {0, 1, 2} and {run.dataset for run in runs} == {"cifar10"}
    for run in runs:
        assert run.epochs >= 15 and run.augmentation == 1 and run.dropout == 0.3
        assert run.filters == (32, 64, 128) and run.hidden == (2048, 2048)


def test_tuning_sees_no_test_images():
    for run in experiments.tuning("paper") + experiments.tuning("smoke"):
        assert run.validation > 0 and not run.evaluate_test


@pytest.mark.parametrize("method", TOPS)
def test_chosen_rate_is_the_best_of_the_stored_ones(method):
    tried = [run for run in experiments.tuning("paper") if run.method == method]
    found = STORE.records(tried)
    assert len(found) == len(experiments.RATES)
    best = max(found, key=lambda record: record.metrics["valid_accuracy"].iloc[-1])
    assert experiments.CHOSEN_RATES[method] == best.config.learning_rate
    assert min(experiments.RATES) < best.config.learning_rate < max(experiments.RATES)


def test_quick_runs_have_digits_to_stand_in():
    assert {run.stand_in.dataset for run in experiments.convolutional("quick")} == {"digits"}


# costs


@pytest.fixture
def small():
    torch.set_default_dtype(torch.float32)
    (run,) = experiments.measured("smoke")
    return dataclasses.replace(run, rounds=1, turn=0.0)


def test_memory_held_is_that_of_the_weights_and_the_index(small):
    dense = small.model(costs.DENSE)
    n = sum(p.numel() for p in dense.top.parameters())
    assert costs.held_mib(dense.top) * 2**20 == 3 * 4 * n
    sparse = small.model(costs.SPARSE).top
    links = sum(layer.nnz for layer in sparse if hasattr(layer, "nnz"))
    n = sum(p.numel() for p in sparse.parameters())
    assert costs.held_mib(sparse) * 2**20 >= 3 * 4 * n + 3 * 4 * links  # col, trow, perm


def test_step_of_a_part_is_that_of_sgd(small):
    net = small.model(costs.DENSE)
    net.top.eval()  # no dropout, but PartStep trains
    x = torch.rand(4, net.top.linear1.in_features).requires_grad_()
    step = costs.PartStep(net.top, x)
    before = net.top.linear3.bias.clone()
    step()
    torch.testing.assert_close(before - net.top.linear3.bias, torch.full((10,), 4e-6))


def test_update_replaces_links_and_keeps_their_number(small):
    net = small.model(costs.SPARSE).train()
    x = torch.rand(4, *small.image)
    layer = net.top.linear1
    before, nnz = layer.support.keys.clone(), layer.nnz
    costs.Update(net, "rigl", x)()
    assert layer.nnz == nnz and not torch.equal(before, layer.support.keys)


def test_network_measured_in_the_paper_profile_is_the_published_one():
    (run,) = experiments.measured("paper")
    assert (run.image, run.filters) == ((3, 32, 32), network.FILTERS)
    assert (run.hidden, run.er_epsilon) == (network.HIDDEN, network.ER_EPSILON)
