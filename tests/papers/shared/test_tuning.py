"""Tuning: the same grid for every method, on validation data alone, and the best is chosen."""

import pytest

from lib.runs.experiment import PROFILES
from papers import EXPERIMENTS, STORE
from papers.shared import methods, tuning


@pytest.mark.parametrize("profile", PROFILES)
def test_tuning_never_evaluates_the_test_part(profile):
    runs = EXPERIMENTS["tuning"].runs(profile)
    assert not any(run.evaluate_test for run in runs)
    assert all(run.validation > 0 for run in runs)


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


def test_every_method_of_a_grid_is_tried_with_the_same_values():
    for place, parts in tuning.GRIDS.items():
        runs = tuning.grid(*place, "paper")
        for methods_of_part, _, values in parts:
            for name in values.keys() - {"decay"}:  # not of links that stay
                for method in methods_of_part:
                    tried = {getattr(run, name) for run in runs if run.method == method}
                    assert {*values[name]} <= tried, (place, method, name)


@pytest.mark.parametrize("profile", ["smoke", "quick"])
def test_other_profiles_try_little_and_on_digits(profile):
    runs = tuning.configs(profile)
    assert {run.dataset for run in runs} == {"digits"} and {run.epochs for run in runs} == {1}
    assert len(runs) < len(tuning.configs("paper")) / 5
