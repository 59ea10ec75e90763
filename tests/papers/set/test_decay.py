"""Without weight decay: nothing else changes, and leads are those of networks of as many links."""

import dataclasses

import pandas as pd
import pytest

from lib.papers.set import decay
from lib.papers.set.training import RegularisedTraining
from lib.papers.shared.sparse_training import SparseTraining
from lib.runs.record import Record


def record(method, seed, last, *, without, dataset="mnist", links=100, **fields):
    run = SparseTraining(
        "adaptive_topology", dataset=dataset, method=method, seed=seed, density=0.01, **fields
    )
    run = (
        run.with_changes(
            {"experiment": "without_decay", "variant": "no decay", "weight_decay": 0.0}
        )
        if without
        else run
    )
    metrics = pd.DataFrame({"links": [links, links - 30], "test_accuracy": [0.999, last]})
    return Record(run, metrics, {}, {"final": {}})


PAIRED = [
    ("set", False, 0.95, 0.97),  # method, without decay, accuracy by seed
    ("fixed", False, 0.90, 0.94),
    ("set", True, 0.94, 0.96),
    ("fixed", True, 0.93, 0.97),
]


def paired(**fields):
    """SET and fixed links with two seeds."""
    found = []
    for method, without, *by_seed in PAIRED:
        for seed, last in enumerate(by_seed):
            found.append(record(method, seed, last, without=without, **fields))
    return found


def test_leads_are_paired_by_seed_in_each_reading():
    records = paired()
    records.append(record("fixed", 1, 0.10, without=False, epochs=20))  # of no network without it
    found = decay.leads(records)
    assert set(found["name"]) == {"SET, 100 links"}
    values = dict(zip(found["series"], found["value"], strict=True))
    assert values == {
        "both with weight decay": pytest.approx(4),  # 5 and 3
        "both without": pytest.approx(0),  # 1 and -1
        "the fixed support alone without": pytest.approx(1),  # 2 and 0
    }
    assert set(found["n"]) == {2}
    gained = decay.gains(records).set_index("contrast")["value"]
    assert gained.to_dict() == {"SET": pytest.approx(-1), "fixed random support": pytest.approx(3)}
    rows = decay.narrowing(records).to_dict("records")
    assert [(row["contrast"], row["network"]) for row in rows] == [
        ("SET", "100 links"),
        ("mean", "all"),
    ]
    assert all((row["value"], row["n"]) == (pytest.approx(4), 2) for row in rows)  # 5 - 1, 3 + 1
    assert decay.narrowing([]).empty
    assert decay.leads([]).empty and decay.gains([]).empty


def test_data_sets_and_numbers_of_links_stand_by_themselves():
    records = paired() + paired(dataset="fashion_mnist") + paired(links=200, activation="relu")
    found = decay.leads(records)
    places = set(zip(found["dataset"], found["name"], strict=True))
    assert places == {
        ("mnist", "SET, 100 links"),
        ("mnist", "SET, 200 links"),
        ("fashion_mnist", "SET, 100 links"),
    }
    assert len(found) == len(places) * len(decay.READINGS)


def test_recipes_without_decay_count_and_others_do_not():
    changes = {"experiment": "accuracy_by_recipe", "variant": "no decay"}
    records = []
    for made in paired():
        run = made.config
        if run.weight_decay == 0:
            run = run.as_kind(RegularisedTraining, **changes)
        records.append(dataclasses.replace(made, config=run))
    others = []
    for made in paired():
        if made.config.weight_decay > 0:
            run = made.config.as_kind(RegularisedTraining, sharpness=0.05)
            others.append(dataclasses.replace(made, config=run))
    table = decay.leads(paired())
    pd.testing.assert_frame_equal(decay.leads(records), table)
    pd.testing.assert_frame_equal(decay.leads(records + others), table)


def test_mean_narrowing_takes_the_seeds_that_all_networks_have():
    records = []
    for method, dataset, seed, lead in (
        ("set", "mnist", 0, 0.04),
        ("rigl", "mnist", 0, 0.02),
        ("set", "mnist", 1, 0.03),
        ("rigl", "mnist", 1, 0.03),
        ("set", "mnist", 2, 0.50),  # without its like
    ):
        records.append(record(method, seed, 0.9 + lead, without=False, dataset=dataset))
        records.append(record(method, seed, 0.9, without=True, dataset=dataset))
    for seed in range(3):
        for without in (False, True):
            records.append(record("fixed", seed, 0.9, without=without))
    found = decay.narrowing(records).set_index("contrast")
    assert found.loc["mean", "n"] == 2
    assert found.loc["mean", "value"] == pytest.approx(3)
    assert found.loc["SET", "n"] == 3


def test_networks_of_other_numbers_of_links_are_not_compared():
    records = [
        record("set", 0, 0.95, without=True, links=100),
        record("fixed", 0, 0.90, without=True, links=200),
    ]
    assert decay.leads(records).empty
