"""Checks of attacks: which tables they doubt, and which rows are flagged."""

import numpy as np
import pandas as pd
import pytest

from lib.papers.adaptive_topology import checks
from lib.report import labels, tables
from tests.papers.adaptive_topology.measuring import record

ENSEMBLE = {
    ("apgd_dlr", 0.1): 0.5, ("square", 0.1): 0.5, ("square alone", 0.1): 0.8,
    ("pgd", 0.1): 0.5, ("fgsm", 0.1): 0.6, ("pgd steps", 0.1): 0.5, ("pgd", 1.0): 0.0,
    ("pgd, logits scaled", 0.1): 0.5,
    ("zero gradient", 0.0): 0.0,
}  # fmt: skip


def checked(**changes):
    """The checks that fail for a table of the ensemble with some accuracies changed."""
    numbers = {**ENSEMBLE, **{tuple(k): v for k, v in changes.get("to", [])}}
    rows = [{"attack": a, "radius": r, "accuracy": v} for (a, r), v in numbers.items()]
    rows += [{"attack": "pgd steps", "radius": 0.1, "accuracy": changes.get("more_steps", 0.5)}]
    table = checks.check_attacks([], [record("attack_ensemble", rows, radii=(0.1,))])
    return list(table[~table["passed"]]["check"])


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        ({"more_steps": 0.505}, []),
        ({"more_steps": 0.52}, ["stronger with steps"]),
        ({"to": [(("pgd", 1.0), 0.1)]}, ["all broken at radius 1"]),
        ({"to": [(("square alone", 0.1), 0.4)]}, ["white box as strong as black box"]),
        ({"to": [(("pgd, logits scaled", 0.1), 0.4)]}, ["no scale of the logits breaks more"]),
        ({"to": [(("pgd, logits scaled", 0.1), 0.7)]}, []),
        ({"to": [(("pgd", 0.1), 0.4)]}, ["ensemble as strong as PGD with restarts"]),
        ({"to": [(("zero gradient", 0.0), 0.02)]}, ["no zero gradients"]),
    ],
)
def test_violated_check_is_flagged(changes, failed):
    assert checked(**changes) == failed


@pytest.mark.parametrize(
    ("pgd", "failed"),
    [
        ([0.8, 0.5], []),
        ([0.8, 0.72], ["iterative attack as strong as one step"]),
        ([0.4, 0.5], ["stronger with radius"]),
    ],
)
def test_curves_are_checked_against_one_step_and_smaller_radii(pgd, failed):
    rows = {"attack": ["fgsm", "fgsm", "pgd", "pgd"], "norm": "linf", "radius": [0.1, 0.2] * 2}
    table = checks.check_attacks(
        [record("attack_curves", rows | {"accuracy": [0.85, 0.7, *pgd]})], []
    )
    assert list(table[~table["passed"]]["check"]) == failed


@pytest.mark.parametrize(
    ("distances", "failed"),
    [
        ([0.05, 0.3], []),  # half of the images are beyond .1, and half survive PGD
        ([0.3, 0.3], ["minimal norms as small as PGD's"]),
    ],
)
def test_minimal_norms_are_checked_against_pgd_on_the_same_images(distances, failed):
    rows = {"attack": ["fgsm", "pgd"], "norm": "linf", "radius": 0.1, "accuracy": [0.8, 0.75]}
    arrays = {"minimal.linf": np.array(distances)}
    arrays["pgd.linf.0.1"] = np.array([False, True, True, True])
    found = [record("attack_curves", rows, arrays, radii=(0.1, 0.2))]
    table = checks.check_attacks(found, [])
    assert list(table[~table["passed"]]["check"]) == failed and len(table) == 3


@pytest.mark.parametrize(
    "arrays",
    [{}, {"minimal.linf": np.zeros(2)}, {"pgd.linf.0.1": np.ones(4, dtype=bool)}],
    ids=["none", "distances", "outcomes"],
)
def test_records_without_minimal_norms_or_outcomes_lack_their_check(arrays):
    rows = {"attack": ["fgsm", "pgd"], "norm": "linf", "radius": 0.1, "accuracy": [0.8, 0.75]}
    table = checks.check_attacks([record("attack_curves", rows, arrays, radii=(0.1,))], [])
    assert len(table) == 2


def test_transfer_stronger_than_the_white_box_is_flagged():
    def found(method, own, other):
        rows = {"attack": "transfer", "target": ["set", "fixed"], "accuracy": [own, other]}
        return record("attack_minimal", rows, method=method)

    table = checks.check_attacks([], [], [found("set", 0.5, 0.9), found("fixed", 0.3, 0.4)])
    assert dict(zip(table["method"], table["passed"], strict=True)) == {"set": False, "fixed": True}


def test_radii_of_both_norms_are_checked_in_their_order():
    rows = {"norm": ["l2"] * 2 + ["linf"] * 3, "radius": [0.2, 0.5, 0.01, 0.1, 0.2]}
    rows["accuracy"] = [0.9, 0.5, 0.9, 0.5, 0.1]
    table = pd.concat([pd.DataFrame(rows | {"attack": name}) for name in ("fgsm", "pgd")])
    found = checks.check_attacks([record("attack_curves", table)], [])
    assert found["passed"].all()


@pytest.fixture
def numbers():
    """Of SET on two seeds and of a fixed support."""
    rows = [("set", 0, 0.9), ("set", 1, 0.4), ("fixed", 0, 0.1)]
    table = pd.DataFrame(rows, columns=["method", "seed", "value"])
    return table.assign(dataset="mnist", network="made", measure="area")


def test_flags_name_the_checks_that_a_network_fails(numbers):
    table = tables.mean_table(numbers, digits=2)
    found = numbers.assign(check="zero gradients", passed=[True, False, True])
    assert table["method"].tolist() == ["SET", "fixed random support"]
    assert checks.flags(table, found) == ["zero gradients", "none"]
    assert checks.flags(table, found[found["passed"]]) == ["none", "none"]


def test_differences_are_flagged_where_either_side_fails_a_check(numbers):
    found = numbers.assign(check="zero gradients", passed=[True, False, False])
    contrasts = list(labels.CONTRASTS)
    rows = pd.DataFrame({"dataset": "mnist", "network": "made", "contrast": contrasts})
    pairs = labels.CONTRASTS.values()
    assert checks.flagged(rows, found) == ["set" in pair or "fixed" in pair for pair in pairs]
    others = rows.assign(dataset="fashion_mnist")
    assert checks.flagged(others, found) == [False] * len(contrasts)
