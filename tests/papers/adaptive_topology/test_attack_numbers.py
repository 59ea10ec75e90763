"""Numbers of attacks and noise, one a row, and how many networks pass a check."""

import pandas as pd
import pytest

from lib.papers.adaptive_topology import attacking, checks, networks, numbers
from lib.papers.shared.sparse_training import SparseTraining
from lib.papers.shared.study import Study, study_of
from lib.runs.record import Record

COLUMNS = ["dataset", "network", "method", "seed", "measure", "value"]
EVERY = (numbers.ensemble_by_radius, numbers.attack_by_attack, numbers.corruptions)


def attacked(rows: list[tuple[str, float, float]]) -> Record:
    """A record of an attacked network: attack, multiple of the headline radius, accuracy."""
    run = Study("attack_ensemble", dataset="mnist", parent=SparseTraining("adaptive_topology"))
    metrics = pd.DataFrame(rows, columns=["attack", "radius", "accuracy"])
    metrics["radius"] *= attacking.HEADLINE_RADIUS["mnist"]
    return Record(run, metrics, {}, {})


def by_measure(table: pd.DataFrame) -> dict[str, float]:
    assert [*table] == COLUMNS
    return dict(zip(table["measure"], table["value"], strict=True))


@pytest.mark.parametrize("measures", EVERY, ids=lambda measures: measures.__name__)
def test_no_records_have_no_numbers(measures):
    table = measures([])
    assert table.empty and [*table] == COLUMNS


def test_ensemble_is_what_its_last_attack_leaves_at_each_radius():
    rows = [("none", 0, 0.9), ("apgd_ce", 1, 0.6), ("square", 1, 0.5), ("square", 1.5, 0.2)]
    table = numbers.ensemble_by_radius([attacked(rows)])
    assert by_measure(table) == {"0 × headline": 0.9, "1 × headline": 0.5, "1.5 × headline": 0.2}
    assert set(table["network"]) == {"adaptive_topology"}


def test_attacks_are_compared_at_the_headline_radius():
    rows = [("none", 0, 0.9), ("fgsm", 1, 0.7), ("square", 1, 0.5), ("square", 2, 0.1)]
    rows.append(("pgd steps", 1, 0.6))
    table = numbers.attack_by_attack([attacked(rows)])
    assert by_measure(table) == {"FGSM": 0.7, "then Square": 0.5}


def test_corruptions_are_averaged_over_their_severities():
    rows = [("gaussian noise", 1, 0.9), ("gaussian noise", 3, 0.7), ("shot_noise", 1, 0.6)]
    table = numbers.corruptions([attacked([*rows, ("pgd", 1, 0.1)])])
    assert by_measure(table) == pytest.approx({"gaussian noise": 0.8, "shot_noise": 0.6})


def test_fractions_become_points_and_areas_stay():
    table = pd.DataFrame({"measure": ["accuracy", "area"], "value": [0.5, 0.25]})
    assert numbers.in_points(table, ["accuracy"])["value"].tolist() == [50, 0.25]
    assert table["value"].tolist() == [0.5, 0.25]


def test_counts_are_those_of_networks_that_pass():
    table = pd.DataFrame({"check": ["b", "a", "b"], "worst": [0.0, 0.5, 0.002]})
    counts = checks.counts(table.assign(passed=[True, False, True]))
    assert [*counts.index] == ["b", "a"]
    assert counts.loc["b"].tolist() == [2, 2, 0.002]
    assert counts.loc["a"].tolist() == [1, 0, 0.5]


def test_pixels_are_told_apart_by_the_length_of_training():
    run = networks.shorter("paper")[0]
    rows = [("all", 784, 0.1, 0.5), ("linked", 300, 0.1, 0.6), ("random", 300, 0.1, 0.7)]
    metrics = pd.DataFrame(rows, columns=["pixels", "number", "radius", "accuracy"])
    table = numbers.pixels([Record(study_of("attack_pixels", run), metrics, {}, {})])
    assert by_measure(table) == {
        "all pixels": 0.5,
        "those RigL keeps": 0.6,
        "as many at random": 0.7,
    }
    assert set(table["network"]) == {f"{run.epochs} epochs"}
