"""The runs of SET-MLP: which data sets and settings, and what is left out where it is not here."""

import dataclasses

import pytest

from lib import data
from lib.papers import EXPERIMENTS
from lib.papers.set import mlp


def test_quick_profile_leaves_out_what_would_be_fetched_first(monkeypatch):
    monkeypatch.setattr(data, "is_here", lambda name: name == "higgs_sample")
    found = {run.dataset for run in EXPERIMENTS["set_mlp"].runs("quick")}
    assert found == {"mnist", "fashion_mnist", "higgs_sample"}
    paper = {run.dataset for run in EXPERIMENTS["set_mlp"].runs("paper")}
    assert "cifar10" in paper and "higgs" not in paper
    monkeypatch.setattr(data, "is_here", lambda name: True)
    assert "higgs" in {run.dataset for run in EXPERIMENTS["set_mlp"].runs("paper")}


def test_published_settings_are_those_of_the_paper_on_mnist():
    runs = [run for run in mlp.configs("paper") if run.dataset == "mnist"]
    published = [run for run in runs if run.variant == "published"]
    settings = {(run.learning_rate, run.batch_size, run.schedule) for run in published}
    assert settings == {(0.01, 100, "constant")}
    assert {(run.method, run.epochs) for run in published} == {("set", 300), ("fixed", 100)}


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_set_is_run_against_dense_for_as_long_and_for_longer(profile):
    runs = EXPERIMENTS["time_to_accuracy"].runs(profile)
    epochs = {run.variant: run.epochs for run in runs if run.dataset in ("mnist", "digits")}
    assert list(epochs) == ["tuned", "equal time", "longer"]
    assert epochs["equal time"] < epochs["longer"] < epochs["tuned"]
    assert EXPERIMENTS["time_to_accuracy"].same_runs_as == ()


def test_timed_networks_are_those_of_set_mlp_for_fewer_epochs():
    timed = [run for run in mlp.timed("paper") if (run.method, run.seed) == ("set", 0)]
    trained = mlp.configs("paper")
    for run in timed:
        same = dataclasses.replace(run, experiment="set_mlp", epochs=150)
        assert same in trained


def test_stand_in_of_quick_runs_is_digits_where_there_is_one():
    runs = mlp.configs("quick")
    assert {run.stand_in.dataset for run in runs if run.stand_in} == {"digits"}
    tuned = [run for run in runs if run.dataset.endswith("mnist")]
    assert all(run.stand_in is not None for run in tuned) and len(tuned) > 10
