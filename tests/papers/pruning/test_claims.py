"""Claims of records with given numbers."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest

from lib.report import labels
from lib.report.verdicts import published
from papers.pruning import claims
from papers.pruning.claims import CLAIMS
from papers.pruning.studies import RegionStudy
from tests.papers import judging

from .made import SMALL, searched, studied

TABLE = published()


def judged(claim, records):
    return judging.judged(claim, CLAIMS[claim].measure(records))


def direction(claim, records):
    return judging.row_of(claim, CLAIMS[claim].measure(records))["direction"]


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


def hidden(seed, kept, moved, others=0.8, dataset="rsmas", variant="corrected"):
    names = {"dataset": dataset, "method": "nsga2", "variant": variant, "seed": seed}
    run = RegionStudy("mask_regions", parent=SMALL, **names)
    kinds = {"nothing": 0.9, "kept": kept, "moved": moved, "others": others}
    metrics = pd.DataFrame({"kind": kinds.keys(), "accuracy": kinds.values()})
    return types.SimpleNamespace(config=run, metrics=metrics, arrays={}, environment={})


def voting(seed, gain, gain_auroc, dataset="rsmas"):
    """A vote that gains so much over the best of its front, more over the best of those that vote,
    and nothing over the member that is best on test, which nobody may know.
    """
    front = [
        {"valid_accuracy": 0.9, "test_accuracy": 0.8, "valid_auroc": 0.6, "test_auroc": 0.6},
        {"valid_accuracy": 0.7, "test_accuracy": 0.6, "valid_auroc": 0.9, "test_auroc": 0.7},
        {"valid_accuracy": 0.5, "test_accuracy": 0.99, "valid_auroc": 0.5, "test_auroc": 0.99},
    ]
    rows = [{"kind": "front", "member": i, **row} for i, row in enumerate(front)]
    vote = {"test_accuracy": 0.8 + gain / 100, "test_auroc": 0.7 + gain_auroc / 100}
    rows.append({"kind": "vote", "low": 50, "n": 3, **vote})
    for kind in ("best", "mean", "alike"):
        of_voters = {"test_accuracy": 0.5, "test_auroc": 0.4}
        rows.append({"kind": kind, "low": 50, "n": 3, **of_voters})
    return studied(seed, rows, dataset)


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ((-3, -2), "fails"),
        ((2, 3), "open"),  # a data set that was not run could be worse
        ((-3, 3), "fails"),
        ((-0.15, 3), "open"),  # as accurate, within what S01 allows as well
        ((-0.25, 3), "fails"),
    ],
)
def test_accuracy_is_judged_on_the_worst_data_set(gains, verdict):
    records = [accurate(seed, gains[0] + seed / 1e4) for seed in range(5)]
    records += [accurate(seed, gains[1] + seed / 1e4, "cifar10") for seed in range(5)]
    assert judged("E01", records) == verdict
    worst = CLAIMS["E01"].measure(records)
    assert worst.at == labels.dataset("rsmas") and worst.low == -np.inf < worst.high < np.inf
    assert judged("E01", records[:2] + records[5:]) == "open"  # of two runs


def test_readings_allow_what_the_claim_allows():
    threshold = float(TABLE.set_index("id").loc["E01", "threshold"])
    assert claims.ALLOWED == threshold


def test_accuracy_of_another_variant_is_not_counted():
    records = [accurate(seed, -3) for seed in range(5)]
    changed = []
    for record in records:
        run = types.SimpleNamespace(**{**vars(record.config), "variant": "as released"})
        contents = {"metrics": record.metrics, "arrays": {}, "environment": {}}
        changed.append(types.SimpleNamespace(config=run, **contents))
    assert CLAIMS["E01"].measure(changed) is None


def test_votes_are_judged_on_the_plain_division_alone():
    records = [voting(seed, 2 + seed / 10, 1) for seed in range(5)]
    before = claims.vote_readings(records)
    for record in [voting(seed, -5, -5) for seed in range(5)]:
        run = dataclasses.replace(record.config, variant="near duplicates together")
        records.append(types.SimpleNamespace(**{**vars(record), "config": run}))
    pd.testing.assert_frame_equal(claims.vote_readings(records), before)


def test_one_unrelated_pair_refutes_the_relation():
    # density rises with accuracy, AUROC stands in no order with either
    auroc = [0.6, 0.9, 0.5, 0.8, 0.7, 0.65, 0.85]
    values = [(0.5 + i / 20, 0.1 + i / 20, auroc[i]) for i in range(7)]
    records = [related(seed, values) for seed in range(5)]
    assert CLAIMS["E02"].measure(records).value < 0.3 and judged("E02", records) == "fails"


def test_objectives_that_oppose_each_other_are_not_directly_related():
    values = [(0.5 + i / 20, 0.1 + i / 20, 0.9 - i / 20) for i in range(7)]  # all on the front
    records = [related(seed, values) for seed in range(5)]
    assert CLAIMS["E02"].measure(records).value == pytest.approx(-1)
    assert judged("E02", records) == "fails"
    readings = claims.relation_readings(records).set_index("reading")
    assert readings.loc["accuracy and AUROC, front of a run", "verdict"] == "fails"


def test_weak_relations_of_both_signs_do_not_add_up_to_one():
    rising = [(0.5 + i / 20, 0.1 + i / 20, 0.2 + i / 20) for i in range(7)]
    falling = [(x, density, 0.9 - auroc) for x, density, auroc in rising]
    records = [related(seed, rising if seed % 2 else falling) for seed in range(10)]
    assert CLAIMS["E02"].measure(records).value == pytest.approx(0)
    assert judged("E02", records) == "open"


def of_density(rng, n=200):
    """Masks whose accuracy and AUROC are related by their density alone."""
    densities = np.linspace(0.05, 0.95, n)
    noise = 0.1 * rng.normal(size=(2, n))
    return np.stack([densities + noise[0], densities, densities + noise[1]], axis=1)


def test_relation_by_density_alone_is_none_over_all_masks_when_it_is_held(rng):
    records = [searched(seed, of_density(rng), "random_search") for seed in range(5)]
    readings = claims.relation_readings(records).set_index("reading")["value"]
    assert readings["accuracy and AUROC, all masks"] > 0.8
    error = 1 / np.sqrt(5 * 200)
    assert abs(readings["accuracy and AUROC, density held, all masks"]) < 4 * error


def test_pooled_fronts_are_one_front_without_an_interval():
    first = [(0.5, 0.1, 0.5), (0.6, 0.2, 0.6), (0.7, 0.3, 0.8)]
    second = [(0.55, 0.15, 0.7), (0.58, 0.2, 0.59), (0.7, 0.3, 0.79)]  # the last two dominated
    readings = claims.relation_readings([related(0, first), related(1, second)])
    row = readings.set_index("reading").loc["accuracy and AUROC, fronts of all runs pooled"]
    # accuracies .5 .55 .6 .7, AUROC .5 .7 .6 .8: ranks 1 2 3 4 and 1 3 2 4
    assert row["value"] == pytest.approx(0.8)
    assert (row["n"], row["verdict"]) == (1, "open")


def test_regions_are_judged_against_the_same_regions_elsewhere():
    records = [hidden(seed, kept=0.5 + seed / 100, moved=0.7) for seed in range(5)]
    assert CLAIMS["E03"].measure(records).value == pytest.approx(18)
    assert judged("E03", records) == "open"  # others could be worse
    readings = claims.region_readings(records)
    assert readings["value"].tolist() == pytest.approx([18, 28])
    assert set(readings["verdict"]) == {"holds"}


def test_other_divisions_of_the_images_are_readings_of_their_own():
    records = [hidden(seed, kept=0.5 + seed / 100, moved=0.7) for seed in range(5)]
    grouped = "near duplicates together"
    records += [hidden(seed, kept=0.7, moved=0.6, variant=grouped) for seed in range(5)]
    assert CLAIMS["E03"].measure(records).value == pytest.approx(18)
    readings = claims.region_readings(records).set_index("reading")["value"]
    words = f"loss minus that of the same regions elsewhere, {grouped}"
    assert readings[words] == pytest.approx(-10) and len(readings) == 4


def test_losses_that_could_go_either_way_are_open():
    records = [hidden(seed, kept=0.6 + 0.1 * (seed % 2), moved=0.65) for seed in range(6)]
    assert judged("E03", records) == "open"
    records = [hidden(seed, kept=0.8 + seed / 100, moved=0.6) for seed in range(6)]
    assert judged("E03", records) == "fails"


def test_vote_is_held_against_the_best_of_its_front_in_each_objective():
    records = [voting(seed, 2 + seed / 10, -1 - seed / 10) for seed in range(5)]
    assert judged("E04", records) == "undecidable"  # the paper does not say how a vote is chosen
    measured = CLAIMS["E04"].measure(records)
    assert measured.value == pytest.approx(-1.2)
    assert direction("E04", records) == "fails"
    readings = claims.vote_readings(records).set_index("reading")["value"]
    assert readings["vote minus the front's most accurate, accuracy"] == pytest.approx(2.2)
    assert readings["vote minus the front's best in AUROC, AUROC"] == pytest.approx(-1.2)
    assert readings["vote minus the most accurate that votes, accuracy"] == pytest.approx(32.2)


def test_vote_that_gains_both_is_open_until_all_data_sets_are_run():
    records = [voting(seed, 2 + seed / 10, 1 + seed / 10) for seed in range(5)]
    assert direction("E04", records) == "open"
    records += [voting(seed, 2 + seed / 10, -1 - seed / 10, "cifar10") for seed in range(5)]
    assert direction("E04", records) == "fails"
    assert CLAIMS["E04"].measure(records).at == labels.dataset("cifar10")
