"""Rates of units are those that were best; networks that points are transferred from."""

import pytest

from papers import STORE
from papers.splash import experiments
from papers.splash.experiments import accuracy, substitute


def test_rates_of_units_are_the_best_that_were_tried():
    runs = experiments.tuning("paper")
    records = STORE.records(runs)
    assert len(records) == len(runs) == 3 * 3 * len(experiments.UNITS)
    tried = {}
    for record in records:
        by_rate = tried.setdefault(record.config.method, {})
        accuracies = by_rate.setdefault(record.config.learning_rate, [])
        accuracies.append(record.metrics["valid_accuracy"].iloc[-1])
    best = {}
    for unit, by_rate in tried.items():
        best[unit] = max(by_rate, key=lambda rate: sum(by_rate[rate]))
    common = accuracy("paper")[0].learning_rate
    others = {unit: rate for unit, rate in best.items() if rate != common}
    assert others == experiments.OWN_RATES


@pytest.mark.parametrize("unit", experiments.PAIR)
def test_substitute_is_of_another_seed_and_the_same_for_all_units(unit):
    runs = [r for r in accuracy("paper") if (r.network, r.dataset) == ("lenet5", "mnist")]
    for run in runs:
        found = substitute(run, unit)
        assert found.method == unit and found.seed == (run.seed + 1) % 5
        assert found in runs
    held = [run for run in experiments.held("paper") if run.dataset == "mnist" and run.seed == 2]
    of_plain = next(run for run in runs if run.seed == 2)
    assert {substitute(run, unit).name for run in held} == {substitute(of_plain, unit).name}


@pytest.mark.parametrize("unit", experiments.PAIR)
def test_substitute_of_a_single_seed_is_trained_besides(unit):
    run = accuracy("smoke")[0]
    found = substitute(run, unit)
    assert found.method == unit and found.seed != run.seed
