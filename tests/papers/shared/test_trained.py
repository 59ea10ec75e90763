"""What the record of a trained network holds: links, degrees, weights, and what is shipped."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from lib import data, train
from papers.shared import trained
from tests.papers.made import BASE, GRADIENT


def test_restored_network_has_the_accuracy_of_its_record(store):
    record = store.run(BASE)
    split = data.load("digits")
    accuracy = train.accuracy(trained.network(record), split.x_test, split.y_test)
    assert accuracy == record.environment["final"]["test_accuracy"]


def test_network_is_not_restored_from_a_record_without_its_weights(store):
    store.ship(store.run(BASE))
    shipped = store.stored(BASE)
    with pytest.raises(ValueError, match="does not hold the whole network"):
        trained.network(shipped)
    assert not trained.holds_network(shipped)
    assert trained.holds_network(store.stored(BASE, whole=True))


def test_shipped_record_keeps_degrees_links_and_metrics(store):
    record = store.run(BASE)
    store.ship(record)
    shipped = store.stored(BASE)
    assert {name.split(".")[0] for name in shipped.arrays} == {"linear1", "linear2", "state"}
    assert not any(name.endswith(".values") or ".links." in name for name in shipped.arrays)
    degrees = [name for name in record.arrays if "_degree." in name]
    assert degrees
    assert all(np.array_equal(shipped.arrays[name], record.arrays[name]) for name in degrees)
    assert trained.holds_degrees(shipped) and not trained.holds_links(shipped)
    assert trained.holds_links(record)
    pd.testing.assert_frame_equal(shipped.metrics, record.metrics)
    supports = {name: s.nnz for name, s in trained.supports(shipped).items()}
    assert supports == {name: s.nnz for name, s in trained.supports(record).items()}
    assert shipped.path == store.results / "made"
    assert store.stored(BASE, whole=True).path == record.path


@pytest.mark.parametrize(("experiment", "seed", "kept"), [("tuning", 0, 0), ("made", 1, 0)])
def test_shipped_record_keeps_no_links_where_none_are_needed(experiment, seed, kept, store):
    run = dataclasses.replace(BASE, experiment=experiment, seed=seed, epochs=1)
    store.ship(store.run(run))
    arrays = store.stored(run).arrays
    assert sum(name.startswith("state") for name in arrays) == kept


def test_shipped_record_of_the_robustness_network_keeps_values(store):
    run = dataclasses.replace(BASE, experiment="adaptive_topology", seed=2, epochs=1)
    record = store.run(run)
    store.ship(record)
    shipped = store.stored(run)
    np.testing.assert_array_equal(
        shipped.arrays["state.linear1.values"], record.arrays["state.linear1.values"]
    )
    assert trained.holds_network(shipped)


def test_dense_robustness_network_is_not_shipped(store):
    changes = {"experiment": "adaptive_topology", "density": None, "drop": None, "epochs": 1}
    run = dataclasses.replace(BASE, **changes)
    store.ship(store.run(run))
    assert not any(name.startswith("state.") for name in store.stored(run).arrays)


def test_links_were_recorded_at_epochs_in_their_order(store):
    record = store.run(BASE)
    assert trained.link_epochs(record) == [0, 1, 2, 5, 6, "final"]
    keys = trained.links_at(record, "final")
    assert list(keys) == ["linear1", "linear2"]
    for layer, support in list(trained.supports(record).items())[:2]:
        assert torch.equal(keys[layer], support.keys.long())
    assert trained.links_at(record, 3) == {}


def test_summary_has_no_best_accuracy_without_validation(store):
    numbers = trained.numbers(store.run(BASE))
    assert "best_accuracy" not in numbers
    assert numbers["last_accuracy"] <= numbers["best_on_test_accuracy"]


def test_best_accuracy_is_that_of_the_best_validation_epoch(store):
    record = store.run(GRADIENT)
    best = record.metrics.set_index("epoch")["valid_accuracy"].idxmax()
    desired = record.metrics.set_index("epoch")["test_accuracy"][best]
    assert trained.numbers(record)["best_accuracy"] == desired


def test_test_accuracies_are_none_where_they_were_not_evaluated(store):
    run = dataclasses.replace(GRADIENT, evaluate_test=False)
    numbers = store.run(run).summary()
    names = ["best_accuracy", "best_on_test_accuracy", "last_accuracy"]
    assert [numbers[name] for name in names] == [None] * 3


@pytest.mark.parametrize("is_kept", [False, True])
def test_shipped_record_keeps_the_seconds_of_each_epoch_where_time_is_compared(is_kept, store):
    keeps = trained.keep_clock if is_kept else trained.keep_links
    experiment = dataclasses.replace(store.experiments[BASE.experiment], keeps=keeps)
    store = dataclasses.replace(store, experiments={BASE.experiment: experiment})
    record = store.run(BASE)
    store.ship(record)
    assert len(record.environment["clock"]) == len(record.metrics)
    assert ("clock" in store.shipped.stored(BASE).environment) == is_kept
