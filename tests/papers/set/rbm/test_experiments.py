"""The runs of machines: what each profile has, and what validation chose of what was tried."""

import pytest

from papers import EXPERIMENTS, STORE
from papers.set.rbm import experiments, studies
from papers.set.rbm.experiments import TRIED, TUNED, dna
from papers.shared.claims import chosen


def test_runs_start_from_the_links_of_table_2():
    links = {}
    for run in experiments.dna("paper"):
        if (run.hidden, run.seed, run.variant) == ((250,), 0, "grid"):
            links[run.method] = run.machine(180).n_links
    assert links == {"set": 4730, "fixed": 4730, "fixed_final": 3440, "dense": 45_000}


@pytest.mark.parametrize(
    ("hidden", "method"), [(hidden, method) for hidden in TUNED for method in TUNED[hidden]]
)
def test_tuned_settings_are_those_that_validation_chose(hidden, method):
    key = "tried", method, (hidden,)
    runs = [run for run in dna("paper") if (run.variant, run.method, run.hidden) == key]
    tried = studies.machines(STORE.records(runs))
    rates, decays = TRIED[hidden].values()
    assert len(tried) == len(rates) * len(decays)
    best = tried.loc[tried["valid"].idxmax()]
    assert {name: best[name] for name in TRIED[hidden]} == TUNED[hidden][method]


def best_tried(records, fields):
    """Of what was tried, the fields of the machine that validation likes best, by method; the first
    of equal ones. Machines whose likelihood is impossible are left out.
    """
    tried = chosen(records, variant="tried")
    table = studies.machines(tried).dropna(subset="valid")
    best = table.groupby("method", sort=False)["valid"].idxmax()
    return {
        method: {name: getattr(tried[place].config, name) for name in fields}
        for method, place in best.items()
    }


@pytest.mark.parametrize("method", experiments.WIDE_METHODS)
def test_wide_machines_are_chosen_as_the_records_say(method):
    """Nothing is chosen before all that was tried with a method is there."""
    tried = [run for run in experiments.wide("paper") if run.variant == "tried"]
    tried = [run for run in tried if run.method == method]
    if not all(STORE.holds(run) for run in tried):
        assert method not in experiments.WIDE_TUNED
        return
    best = best_tried(STORE.records(tried), tuple(experiments.WIDE_TRIED))
    assert best == {method: experiments.WIDE_TUNED[method]}


@pytest.mark.parametrize("method", experiments.WIDE_METHODS)
def test_more_rates_are_tried_as_long_as_the_best_is_at_an_end(method):
    tried = [run for run in experiments.wide("paper") if run.variant == "tried"]
    tried = [run for run in tried if run.method == method]
    rates = list(experiments.WIDE_TRIED["learning_rate"])
    for beyond in experiments.WIDE_RATES_BEYOND[method]:
        runs = [run for run in tried if run.learning_rate in rates and STORE.holds(run)]
        best = best_tried(STORE.records(runs), ("learning_rate",))[method]["learning_rate"]
        assert best == (min(rates) if beyond < min(rates) else max(rates))
        rates.append(beyond)


def test_no_rival_of_the_wide_machines_is_tried_with_fewer_settings_than_set(monkeypatch):
    monkeypatch.setitem(experiments.WIDE_TUNED, "set", {"learning_rate": 0.01})
    runs = experiments.wide("paper")
    settings = {}
    for run in runs:
        assert (run.dataset, run.hidden, run.cd_steps) == ("mnist", (2500,), 1)
        if run.variant == "tried":
            setting = run.learning_rate, run.weight_decay, run.visible_start
            settings.setdefault(run.method, set()).add(setting)
    numbers = {method: len(tried) for method, tried in settings.items()}
    assert numbers == {"set": 16, "fixed": 20, "dense": 28}
    assert len(settings["set"] & settings["fixed"] & settings["dense"]) == 12
    tuned = [run for run in runs if run.variant == "tuned" and run.method == "set"]
    assert [(run.seed, run.epochs, run.learning_rate) for run in tuned] == [
        (seed, experiments.WIDE_EPOCHS, 0.01) for seed in range(3)
    ]


def test_wide_machines_that_are_tried_are_not_tested():
    tried = [run for run in experiments.wide("paper") if run.variant == "tried"]
    assert tried and not any(run.evaluate_test for run in tried)


def test_studies_are_of_machines_whose_degrees_are_kept():
    for name in ("rbm_scale_free", "rbm_visible"):
        for run in EXPERIMENTS[name].runs("paper"):
            assert run.parent.er_epsilon is not None and run.hidden == run.parent.hidden
