"""Claims of records with given numbers."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest

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


def test_readings_allow_what_the_claim_allows():
    threshold = float(TABLE.set_index("id").loc["E01", "threshold"])
    assert claims.ALLOWED == threshold


def test_votes_are_judged_on_the_plain_division_alone():
    records = [voting(seed, 2 + seed / 10, 1) for seed in range(5)]
    before = claims.vote_readings(records)
    for record in [voting(seed, -5, -5) for seed in range(5)]:
        run = dataclasses.replace(record.config, variant="near duplicates together")
        records.append(types.SimpleNamespace(**{**vars(record), "config": run}))
    pd.testing.assert_frame_equal(claims.vote_readings(records), before)


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
    readings = claims.relation_readings([searched(0, first), searched(1, second)])
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
