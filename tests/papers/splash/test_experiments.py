"""Which networks the profiles train: pairs, lengths, what is held, substitutes."""

import pytest

from lib.runs.experiment import PROFILES
from papers import STORE
from papers.splash import experiments
from papers.splash.experiments import accuracy, substitute
from tests.papers.made import same_but


@pytest.mark.parametrize("profile", PROFILES)
def test_units_of_a_cell_differ_in_the_unit_alone(profile):
    by_place = {}
    for run in accuracy(profile):
        by_place.setdefault((run.network, run.dataset, run.seed), []).append(run)
    for runs in by_place.values():
        fields = [same_but(run, ("method", "stand_in")) for run in runs]
        assert all(other == fields[0] for other in fields)
        assert {"relu", "splash"} <= {run.method for run in runs}


@pytest.mark.parametrize("variant", experiments.VARIANTS)
def test_variants_change_what_they_say(variant):
    (run,) = (r for r in experiments.ablation("paper") if (r.variant, r.seed) == (variant, 0))
    for name, value in experiments.VARIANTS[variant].items():
        assert getattr(run, name) == value
    (plain,) = (
        r
        for r in accuracy("paper")
        if (r.network, r.dataset, r.method, r.seed) == ("lenet5", run.dataset, "splash", 0)
    )
    others = ("experiment", "variant", *experiments.VARIANTS[variant])
    assert same_but(run, others) == same_but(plain, others)


def test_tuning_sees_no_test_examples():
    runs = experiments.tuning("paper")
    assert {(run.evaluate_test, run.validation) for run in runs} == {(False, 5000)}


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


@pytest.mark.parametrize("profile", PROFILES)
def test_units_at_their_own_rates_differ_in_the_rate_alone(profile):
    plain = accuracy(profile)
    for run in experiments.own_rates(profile):
        assert run.learning_rate == experiments.OWN_RATES[run.method]
        others = ("experiment", "variant", "learning_rate", "stand_in")
        assert same_but(run, others) in [same_but(other, others) for other in plain]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_network_of_the_comparisons_is_attacked_once(profile):
    parents = [study.parent.name for study in experiments.attacked(profile)]
    trained = experiments.lengths(profile) + experiments.held(profile)
    wanted = {run.name for run in trained + experiments.defended(profile)}
    assert len(parents) == len(set(parents)) and wanted <= set(parents)


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
