"""Training of machines: records by the store, exact resume after a kill, bad input, examples."""

import dataclasses

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from lib import data
from papers.set.rbm import exact, training
from papers.set.rbm.training import RBMTraining

TINY = {
    "experiment": "set_rbm_dna",
    "dataset": "digits",
    "hidden": (12,),
    "epochs": 5,
    "limit": 60,
    "validation": 100,
    "temperatures": 30,
    "final_temperatures": 60,
    "chains": 10,
    "er_epsilon": 4.0,
    "drop": "sign",
}


def test_record_holds_likelihoods_links_and_the_machine(store):
    run = RBMTraining(**TINY)
    record = store.run(run)
    assert record.metrics["epoch"].tolist() == [1, 2, 5] == run.evaluated_epochs
    final = record.environment["final"]
    rbm = training.machine_of(record)
    assert rbm.n_links == final["best"]["links"] <= final["links"]
    x = training.binarised(data.load("digits", validation=100))["test"]
    full = final["best"]["full"]
    likelihood = -rbm.double().free_energy(x.double()).mean().item() - full["value"]
    assert_allclose(full["test"], likelihood, rtol=1e-9)
    assert abs(full["value"] - exact.log_z(rbm)) < 4 * full["se"] + 0.05
    assert record.environment["ceilings"]["test"] == pytest.approx(exact.ceiling(x))
    assert record.summary()["links_training"] == 4 * (64 + 12)
    best = record.metrics.loc[record.metrics["valid"].idxmax(), "epoch"]
    assert final["best_epoch"] == best


def test_shipped_record_gives_the_machine_back(store):
    run = RBMTraining(**TINY)
    whole = store.run(run)
    store.ship(whole)
    shipped = store.stored(run)
    assert not any(name.startswith("state.") for name in shipped.arrays)
    first, second = map(training.machine_of, (whole, shipped))
    assert torch.equal(first.to_dense(), second.to_dense())


def test_record_without_a_machine_is_refused(store):
    record = store.run(RBMTraining(**TINY, seed=1))
    store.ship(record)
    with pytest.raises(ValueError, match="does not hold the machine: train it on this machine"):
        training.machine_of(store.stored(record.config))


def test_dense_machine_alone_is_trained_where_dense_networks_are(monkeypatch):
    monkeypatch.setattr(training, "dense_device", lambda: torch.device("meta"))
    assert RBMTraining("set_rbm", method="dense").device().type == "meta"
    assert RBMTraining("set_rbm", er_epsilon=11.0).device().type == "cpu"


# bad input


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hidden": (5, 5)}, r"hidden = \(5, 5\): give one number of hidden units"),
        ({"hidden": (0,)}, r"hidden = \(0,\)"),
        ({"method": "dense"}, "method 'dense' has all links: give no er_epsilon"),
        ({"er_epsilon": None}, "drop = 'sign' needs links that evolve: give an er_epsilon"),
        ({"cd_steps": 0}, "CD-0 is out of range: give at least one sweep"),
        ({"chains": 1}, "chains = 1 is out of range: give at least 2"),
        ({"temperatures": 1}, "1 temperatures are too few: give at least 2"),
        ({"drop": "weakest"}, "unknown drop 'weakest'"),
        ({"drop": "weight_and_gradient"}, "drop = 'weight_and_gradient' .* needs gradients"),
        ({"er_epsilon": -1.0}, "er_epsilon = -1.0 is out of range"),
        ({"start": float("nan")}, "start = nan is out of range"),
        ({"drop": None, "drop_fraction": 0.6}, "drop_fraction = 0.6 is not used by"),
    ],
    ids=str,
)
def test_runs_out_of_range_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(RBMTraining(**TINY), **changes).check()


def test_machine_without_a_possible_likelihood_is_kept_and_said(store, monkeypatch):
    monkeypatch.setattr(exact, "ceiling", lambda x: -1e9)
    record = store.run(RBMTraining(**TINY))
    assert record.environment["final"]["best_epoch"] == TINY["epochs"]
    assert not record.environment["final"]["best"]["full"]["test_possible"]
    assert (record.metrics["impossible"] == 3).all()
    last = {name: record.arrays[f"state.{name}"] for name in ("visible_bias", "links.bias")}
    for name, array in last.items():
        assert np.array_equal(record.arrays[f"best.{name}"], array)


# examples


def test_grey_values_are_sampled_once():
    split = data.load("digits", validation=100)
    first, second = training.binarised(split), training.binarised(split)
    assert all(torch.equal(first[part], second[part]) for part in training.PARTS)
    x, grey = first["train"], split.x_train.flatten(1)
    assert set(x.unique().tolist()) == {0, 1}
    spread = (grey * (1 - grey)).sum().sqrt()
    assert abs((x - grey).sum()) < 4 * spread


def test_values_that_are_no_probabilities_are_refused():
    split = data.load("digits")
    bad = dataclasses.replace(split, x_train=2 * split.x_train)
    with pytest.raises(ValueError, match="x_train of digits holds"):
        training.binarised(bad)


def test_tuning_never_sees_the_test_part():
    run = RBMTraining(**TINY, evaluate_test=False)
    parts = {"train": torch.zeros(4, 64), "valid": torch.ones(3, 64), "test": torch.ones(2, 64)}
    assert set(training.estimator_of(run, parts).parts) == {"train", "valid"}
