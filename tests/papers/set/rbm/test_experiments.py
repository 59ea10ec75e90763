"""The runs of SET-RBM: records by the store, exact resume after a kill, profiles, bad input."""

import dataclasses

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from lib.papers import EXPERIMENTS
from lib.papers.set.rbm import exact, experiments, images
from lib.papers.set.rbm.experiments import RBMTraining
from lib.runs.config import from_fields
from lib.runs.records import Store
from tests.processes import kill_after

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


@pytest.fixture
def store(tmp_path):
    return Store(EXPERIMENTS, tmp_path / "runs", tmp_path / "results")


def test_record_holds_likelihoods_links_and_the_machine(store):
    run = RBMTraining(**TINY)
    record = store.run(run)
    assert record.metrics["epoch"].tolist() == [1, 2, 5] == run.evaluated_epochs
    final = record.environment["final"]
    rbm = experiments.machine_of(record)
    assert rbm.n_links == final["best"]["links"] <= final["links"]
    x = images.binarised(experiments.data.load("digits", validation=100))["test"]
    full = final["best"]["full"]
    likelihood = -rbm.double().free_energy(x.double()).mean().item() - full["value"]
    assert_allclose(full["test"], likelihood, rtol=1e-9)
    assert abs(full["value"] - exact.log_z(rbm)) < 4 * full["se"] + 0.05
    assert record.environment["ceilings"]["test"] == pytest.approx(exact.ceiling(x))
    assert record.summary()["links_training"] == 4 * (64 + 12)


def test_best_machine_is_chosen_on_validation(store):
    record = store.run(RBMTraining(**TINY))
    best = record.metrics.loc[record.metrics["valid"].idxmax(), "epoch"]
    assert record.environment["final"]["best_epoch"] == best


def test_killed_run_goes_on_to_the_same_record(store, tmp_path, monkeypatch):
    run = RBMTraining(**TINY)
    whole = store.run(run)
    other = Store(EXPERIMENTS, tmp_path / "others", tmp_path / "results")
    monkeypatch.setattr(experiments.learning, "CHECKPOINT_SECONDS", 0.0)
    kill_after(other, run, 3)
    assert (other.runs / run.name).with_suffix(".work").is_dir()
    resumed = other.run(run)
    assert resumed.metrics.equals(whole.metrics)
    assert set(resumed.arrays) == set(whole.arrays)
    assert all(np.array_equal(resumed.arrays[name], whole.arrays[name]) for name in whole.arrays)


def test_shipped_record_gives_the_machine_back(store):
    run = RBMTraining(**TINY)
    whole = store.run(run)
    store.ship(whole)
    shipped = store.stored(run)
    assert not any(name.startswith("state.") for name in shipped.arrays)
    first, second = map(experiments.machine_of, (whole, shipped))
    assert torch.equal(first.to_dense(), second.to_dense())


def test_record_without_a_machine_is_refused(store):
    record = store.run(RBMTraining(**TINY, seed=1))
    store.ship(record)
    with pytest.raises(ValueError, match="does not hold the machine: train it on this machine"):
        experiments.machine_of(store.stored(record.config))


def test_run_is_read_from_its_fields():
    run = RBMTraining(**TINY)
    assert from_fields(run.fields_to_write()) == run
    assert run.name == "set_rbm_dna-" + run.name.rpartition("-")[2]


def test_dense_machine_on_a_gpu_only_where_it_is_large():
    run = RBMTraining("set_rbm", method="dense", hidden=(2500,))
    assert run.device(784) == ("cuda" if torch.cuda.is_available() else "cpu")
    assert run.device(100) == "cpu"
    assert RBMTraining("set_rbm", hidden=(2500,), er_epsilon=11.0).device(784) == "cpu"


# profiles


def test_paper_profile_has_the_nine_settings_with_five_seeds():
    runs = [run for run in experiments.dna("paper") if run.variant == "grid"]
    counts = {}
    for run in runs:
        key = run.method, run.hidden, run.cd_steps
        counts[key] = counts.get(key, 0) + 1
    assert set(counts.values()) == {5} and len(counts) == 9 * 4
    assert {run.er_epsilon for run in runs} == {11.0, 8.0, None}


def test_every_set_of_table_2_has_three_seeds_of_every_method():
    runs = experiments.table_2("paper")
    for dataset in experiments.TABLE_2:
        for method in experiments.METHODS:
            chosen = [run for run in runs if (run.dataset, run.method) == (dataset, method)]
            assert len({run.seed for run in chosen}) >= 3


def test_runs_start_from_the_links_of_table_2():
    links = {}
    for run in experiments.dna("paper"):
        if (run.hidden, run.seed, run.variant) == ((250,), 0, "grid"):
            links[run.method] = run.machine(180).n_links
    assert links == {"set": 4730, "fixed": 4730, "fixed_final": 3440, "dense": 45_000}


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
        ({"epochs": 0}, "epochs = 0 is out of range"),
        ({"drop": "weakest"}, "unknown drop 'weakest'"),
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
    split = experiments.data.load("digits", validation=100)
    first, second = images.binarised(split), images.binarised(split)
    assert all(torch.equal(first[part], second[part]) for part in images.PARTS)
    x, grey = first["train"], split.x_train.flatten(1)
    assert set(x.unique().tolist()) == {0, 1}
    spread = (grey * (1 - grey)).sum().sqrt()
    assert abs((x - grey).sum()) < 4 * spread


def test_values_that_are_no_probabilities_are_refused():
    split = experiments.data.load("digits")
    bad = dataclasses.replace(split, x_train=2 * split.x_train)
    with pytest.raises(ValueError, match="x_train of digits holds"):
        images.binarised(bad)


def test_silhouettes_are_turned_and_inverted():
    image = torch.zeros(28, 28)
    image[3, 5] = 1  # row, column
    stored = (1 - image).t().reshape(1, -1)  # by column, 1 is the background
    assert torch.equal(images.upright(stored, "caltech28")[0], image)
    assert np.argmax(images.turned(image.t().flatten().numpy(), "caltech28")) == 3 * 28 + 5
    assert torch.equal(images.upright(image.reshape(1, -1), "mnist")[0], image)


def test_rows_that_are_no_images_are_refused():
    assert images.upright(torch.zeros(2, 128), "ocr_letters").shape == (2, 16, 8)
    with pytest.raises(ValueError, match="dna has 180 features: its rows are no square images"):
        images.upright(torch.zeros(1, 180), "dna")


def test_wide_machines_that_are_tried_never_see_the_test_part():
    tried = [run for run in experiments.wide("paper") if run.variant == "tried"]
    assert tried and not any(run.evaluate_test for run in tried)
    (small,) = experiments.wide("smoke")
    parts = {"train": torch.zeros(4, 64), "valid": torch.ones(3, 64), "test": torch.ones(2, 64)}
    assert set(experiments._judge(small, parts).parts) == {"train", "valid"}
