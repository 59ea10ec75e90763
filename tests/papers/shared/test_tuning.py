"""Tuning: the best of what was tried is chosen."""

import pytest

from papers import STORE
from papers.shared import methods, tuning


def chosen_and_tried():
    """(experiment, method) of every chosen setting."""
    return [pytest.param(*key, id="-".join(key)) for key in methods.CHOSEN]


def tuned(experiment, method, dataset="mnist"):
    """The runs that decide a method's settings at the network of an experiment: of the grid, those
    that trained longest.
    """
    tried = [run for run in tuning.grid(experiment, dataset, "paper") if run.method == method]
    if experiment == "adaptive_topology":  # after a constant fraction links would be fewer
        tried = [run for run in tried if run.drop is None or run.decay == "cosine"]
    longest = max(run.epochs for run in tried)
    return [run for run in tried if run.epochs == longest]


def tuned_methods(experiment, dataset="mnist"):
    return {run.method for run in tuning.grid(experiment, dataset, "paper")}


@pytest.mark.parametrize(("experiment", "method"), chosen_and_tried())
def test_chosen_settings_are_the_best_of_the_stored_grid(experiment, method):
    chosen = methods.CHOSEN[experiment, method]
    if method not in tuned_methods(experiment):
        pytest.skip("takes the settings of another method or network, see the table in lib")
    tried = tuned(experiment, method)
    found = STORE.records(tried)
    diverged = {"dense": 2}.get(method, 0)  # have no record: rate .5, dropout .5
    assert len(found) == len(tried) - diverged
    best = max(found, key=lambda record: record.metrics["valid_accuracy"].iloc[-1])
    assert {key: getattr(best.config, key) for key in chosen} == chosen


@pytest.mark.parametrize("key", methods.CHOSEN_ON, ids="-".join)
def test_settings_of_a_data_set_are_the_best_of_its_own_grid(key):
    experiment, method, dataset = key
    dataset = {"higgs": "higgs_sample"}.get(dataset, dataset)
    if method not in tuned_methods(experiment, dataset):
        pytest.skip("takes the settings of another method, see the table in lib")
    tried = tuned(experiment, method, dataset)
    found = STORE.records(tried)
    assert len(found) == len(tried)
    best = max(found, key=lambda record: record.metrics["valid_accuracy"].iloc[-1])
    chosen = methods.CHOSEN_ON[key]
    assert {name: getattr(best.config, name) for name in chosen} == chosen
