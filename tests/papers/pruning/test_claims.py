"""Claims of records with given numbers."""

import types

import numpy as np
import pandas as pd
import pytest

from lib.papers.pruning import claims
from lib.papers.pruning.claims import CLAIMS
from lib.papers.pruning.regions import RegionStudy
from lib.report.verdicts import published, verdict_of

from .made import SMALL, searched, studied

TABLE = published()


def judged(claim, records):
    return verdict_of(claim, CLAIMS[claim].measure(records), TABLE)


def accurate(seed, gain, dataset="rsmas"):
    rows = [
        {"kind": "front", "test_accuracy": 0.8 + gain / 100},
        {"kind": "fresh", "seed": 1, "test_accuracy": 0.8 + gain / 100},
        {"kind": "full", "member": -1, "seed": 10_000 + seed, "test_accuracy": 0.8},
        {"kind": "full", "member": -1, "seed": 1, "test_accuracy": 0.8},
    ]
    return studied(seed, rows, dataset)


def related(seed, values, dataset="rsmas"):
    return searched(seed, values, dataset=dataset)


def hidden(seed, kept, moved, others=0.8, dataset="rsmas"):
    run = RegionStudy("mask_regions", parent=SMALL, dataset=dataset, method="nsga2", seed=seed)
    kinds = {"nothing": 0.9, "kept": kept, "moved": moved, "others": others}
    metrics = pd.DataFrame({"kind": kinds.keys(), "accuracy": kinds.values()})
    return types.SimpleNamespace(config=run, metrics=metrics, arrays={}, environment={})


def voting(seed, gain, gain_auroc, dataset="rsmas"):
    rows = []
    for kind, more in (("vote", 1), ("best", 0), ("mean", 0), ("alike", 0)):
        accuracy = {"test_accuracy": 0.8 + more * gain / 100}
        auroc = {"test_auroc": 0.7 + more * gain_auroc / 100}
        rows.append({"kind": kind, "low": 50, "n": 3, **accuracy, **auroc})
    return studied(seed, rows, dataset)


def test_least_of_groups_has_simultaneous_bounds():
    groups = {"a": [1.0, 2.0, 3.0], "b": [0.0, 4.0, 8.0], "c": [np.nan]}
    found = claims.least(groups)
    alone = claims.least({"b": groups["b"]})
    assert found.value == 2 and found.n == 3
    assert found.low < alone.low < found.value


def test_missing_records_measure_nothing():
    assert [claim.measure([]) for claim in CLAIMS.values()] == [None] * 4
    assert all(claim.readings([]).empty for claim in CLAIMS.values())


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [((-3, -2), "not reproduced"), ((2, 3), "inconclusive (data)"), ((-3, 3), "inconclusive")],
)
def test_accuracy_is_judged_on_the_worst_data_set(gains, verdict):
    records = [accurate(seed, gains[0] + seed / 10) for seed in range(5)]
    records += [accurate(seed, gains[1] + seed / 10, "cifar10") for seed in range(5)]
    expected = verdict if gains != (-3, 3) else "not reproduced"
    assert judged("E01", records) == expected


def test_accuracy_of_another_variant_is_not_counted():
    records = [accurate(seed, -3) for seed in range(5)]
    changed = []
    for record in records:
        run = types.SimpleNamespace(**{**vars(record.config), "variant": "as released"})
        changed.append(types.SimpleNamespace(config=run, metrics=record.metrics, arrays={}))
    assert CLAIMS["E01"].measure(changed) is None


def test_one_unrelated_pair_refutes_the_relation():
    # density rises with accuracy, AUROC stands in no order with either
    auroc = [0.6, 0.9, 0.5, 0.8, 0.7, 0.65, 0.85]
    values = [(0.5 + i / 20, 0.1 + i / 20, auroc[i]) for i in range(7)]
    measured = CLAIMS["E02"].measure([related(seed, values) for seed in range(5)])
    assert measured.value < 0.3 and judged("E02", [related(s, values) for s in range(5)]) == (
        "not reproduced"
    )


def test_strange_relation_that_is_the_density_alone_is_seen_when_it_is_held():
    rng = np.random.default_rng(0)
    densities = np.linspace(0.05, 0.95, 40)
    values = np.stack(
        [
            densities**0.5 + 0.05 * rng.normal(size=40),
            densities,
            densities + 0.05 * rng.normal(size=40),
        ],
        axis=1,
    )
    readings = claims.relation_readings([related(seed, values) for seed in range(5)])
    held = readings[readings["reading"].str.contains("held")]
    plain = readings[readings["reading"].str.endswith("accuracy and AUROC")]
    assert plain["value"].item() > 0.8 and held["value"].item() < 0.4


def test_regions_are_judged_against_the_same_regions_elsewhere():
    records = [hidden(seed, kept=0.5 + seed / 100, moved=0.7) for seed in range(5)]
    assert CLAIMS["E03"].measure(records).value == pytest.approx(18)
    assert judged("E03", records) == "inconclusive (data)"
    readings = claims.region_readings(records)
    assert readings["value"].tolist() == pytest.approx([18, 28])


def test_vote_that_gains_accuracy_and_loses_auroc_is_refuted():
    records = [voting(seed, 2 + seed / 10, -1 - seed / 10) for seed in range(5)]
    measured = CLAIMS["E04"].measure(records)
    assert measured.value == pytest.approx(-1.2)
    assert judged("E04", records) == "not reproduced"
    assert len(claims.vote_readings(records)) == 6
