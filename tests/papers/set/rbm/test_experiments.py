"""The runs of machines: what each profile has, and what validation chose of what was tried."""

import pytest

from papers import STORE
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
