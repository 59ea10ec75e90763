"""Layers and networks as runs: what is recorded, read back, refused."""

import dataclasses

import numpy as np
import pytest
import torch

from lib.papers.local_learning import layers, recipes, training
from lib.papers.local_learning.training import HiddenNetwork

(LAYER, _) = recipes.layers("kh", "smoke")
SPARSE = recipes.sparse_layers("smoke")[0]
NETWORKS = recipes.networks("bio_networks", "smoke")


@pytest.fixture(autouse=True)
def float32():
    """Layers and networks are learned in it."""
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def of_method():
    return {run.method: run for run in NETWORKS}


def test_a_layer_is_looked_at_from_its_start_to_its_last_epoch(store):
    record = store.run(LAYER)
    assert list(record.metrics["epoch"]) == [0, 1, 2]
    assert record.metrics["exponent"].notna().all()
    assert record.metrics["changed"].iloc[0] == 0
    fields = record.arrays[f"{layers.FIELDS}2"]
    learned = layers.layer_of(record)
    np.testing.assert_allclose(fields, learned[: len(fields)].numpy(), rtol=1e-3, atol=1e-6)


def test_the_start_is_that_of_the_rule():
    start = layers.start_of(LAYER, 64)
    desired = torch.randn(30, 64, generator=torch.Generator().manual_seed(LAYER.seed))
    assert torch.equal(start, desired)


def test_a_sparse_layer_is_read_back_with_its_links(store):
    record = store.run(SPARSE)
    layer = layers.layer_of(record)
    assert layer.density == pytest.approx(SPARSE.density, abs=1e-3)
    np.testing.assert_array_equal(layer.values.detach(), record.arrays["layer.values"])


def test_a_read_out_keeps_the_layer_of_its_parent(store, of_method):
    run = dataclasses.replace(of_method["kh"], power=1.0)
    record = store.run(run)
    weight = layers.layer_of(store.run(run.parent))
    network = training.network(record)
    x = torch.rand(5, 64)
    torch.testing.assert_close(network.hidden(x), x @ (weight * weight.abs()).T)


@pytest.mark.parametrize("which", ["last", "best"])
def test_a_network_is_read_back_as_it_was_evaluated(store, of_method, which):
    run = of_method["l2"]
    record = store.run(run)
    split = run.split()
    actual = training.accuracy(training.network(record, which), split.x_test, split.y_test)
    name = {"last": "test_accuracy", "best": "best_test_accuracy"}[which]
    assert actual == record.environment["final"][name]


def test_a_record_without_weights_is_refused(store, of_method):
    record = dataclasses.replace(store.run(of_method["bp"]), arrays={})
    with pytest.raises(ValueError, match="does not hold the network"):
        training.network(record)


def test_a_layer_is_given_to_local_learning_alone():
    with pytest.raises(ValueError, match="give a layer to 'kh' alone"):
        HiddenNetwork("bio_networks", method="kh").check()
