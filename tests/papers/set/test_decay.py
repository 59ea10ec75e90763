"""Without weight decay: nothing else changes, and leads are those of networks of as many links."""

import dataclasses

import pandas as pd
import pytest

from lib import papers
from lib.papers.set import decay
from lib.papers.shared.sparse_training import SparseTraining
from lib.runs.record import Record


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_every_network_without_decay_has_its_like_with_it(profile):
    with_decay = []
    for experiment in decay.compared(profile):
        with_decay += papers.EXPERIMENTS[experiment].runs(profile)
    runs = decay.without_decay(profile)
    assert runs and len(set(runs)) == len(runs)
    for run in runs:
        (like,) = [other for other in with_decay if other.with_changes(decay.WITHOUT) == run]
        assert (like.weight_decay, run.weight_decay) == (2e-4, 0.0)
        found = {field.name for field in dataclasses.fields(run)} - {"stand_in"}
        changed = {name for name in found if getattr(run, name) != getattr(like, name)}
        assert changed == {"experiment", "variant", "weight_decay"}
        if run.stand_in is not None:
            assert (run.stand_in.weight_decay, run.stand_in.dataset) == (0.0, "digits")


def test_paper_profile_has_five_seeds_of_evolving_and_fixed_links_on_both_sets():
    seeds = {}
    for run in decay.without_decay("paper"):
        place = run.dataset, run.er_epsilon, run.density, run.method
        seeds.setdefault(place, set()).add(run.seed)
    assert all(of_network == {0, 1, 2, 3, 4} for of_network in seeds.values())
    few = {(dataset, method) for dataset, _, density, method in seeds if density == 0.01}
    both = ("mnist", "fashion_mnist")
    assert few == {(dataset, m) for dataset in both for m in ("set", "rigl", "fixed")}


def record(method, seed, last, *, without, dataset="mnist", links=100, **fields):
    run = SparseTraining(
        "adaptive_topology", dataset=dataset, method=method, seed=seed, density=0.01, **fields
    )
    run = run.with_changes(decay.WITHOUT) if without else run
    metrics = pd.DataFrame({"links": [links, links - 30], "test_accuracy": [0.5, last]})
    return Record(run, metrics, {}, {"final": {}})


def test_leads_are_paired_by_seed_in_each_reading():
    records = [
        record("set", 0, 0.95, without=False),
        record("set", 1, 0.97, without=False),
        record("fixed", 0, 0.90, without=False),
        record("fixed", 1, 0.94, without=False),
        record("set", 0, 0.94, without=True),
        record("set", 1, 0.94, without=True),
        record("fixed", 0, 0.93, without=True),
        record("fixed", 1, 0.95, without=True),
        record("fixed", 1, 0.10, without=False, epochs=20),  # not of a network without decay
    ]
    found = decay.leads(records)
    assert set(found["name"]) == {"SET, 100 links"}
    values = dict(zip(found["series"], found["value"], strict=True))
    assert values == {
        "both with weight decay": pytest.approx(4),  # 5 and 3
        "both without": pytest.approx(0),  # 1 and -1
        "the fixed support alone without": pytest.approx(2),  # 2 and 2
    }
    assert set(found["n"]) == {2}
    gained = decay.gains(records).set_index("contrast")["value"]
    assert gained.to_dict() == {"SET": pytest.approx(-2), "fixed random support": pytest.approx(2)}
    assert decay.leads([]).empty and decay.gains([]).empty


def test_networks_of_other_numbers_of_links_are_not_compared():
    records = [
        record("set", 0, 0.95, without=True, links=100),
        record("fixed", 0, 0.90, without=True, links=200),
    ]
    assert decay.leads(records).empty
