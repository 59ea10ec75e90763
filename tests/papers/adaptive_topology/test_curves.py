"""Rows of figures: shares and means of the rows of the studies; none of no records."""

import pandas as pd
import pytest

from lib.papers.adaptive_topology import curves, numbers

NETWORK = {"dataset": "mnist", "method": "set", "seed": 0}
EVERY = (
    curves.percolation,
    curves.shuffled,
    curves.links_left,
    curves.noise_and_signs,
    curves.under_pgd,
)


def rows(**columns) -> pd.DataFrame:
    return pd.DataFrame(columns | NETWORK)


@pytest.mark.parametrize("curve", EVERY, ids=lambda curve: curve.__name__)
def test_no_records_give_no_rows(curve):
    assert curve(numbers.tables([])).empty


def test_percolation_puts_the_component_below_the_accuracy():
    removals = rows(draw=0, fraction=[0, 1], accuracy=[0.9, 0.1], component=[1, 0.2])
    long = curves.percolation(removals)
    assert long["value"].tolist() == [0.9, 0.1, 1, 0.2]
    assert long["variable"].tolist() == 2 * ["accuracy"] + 2 * ["share in largest component"]
    assert long["fraction"].tolist() == [0, 1, 0, 1]


def test_shuffles_of_all_layers_are_named_by_what_keeps_together():
    shuffles = rows(kind=["shuffle", "shuffle", "noise"], scope=["all", "linear1", "all"])
    kept = curves.shuffled(shuffles.assign(within=["sign", "all", "all"]))
    assert kept["within"].tolist() == ["within each sign"]


def test_links_left_are_those_that_random_removal_has_not_taken():
    removals = rows(order="random", fraction=[0, 0.5, 1], removed=[0, 7, 14])
    others = removals.assign(order="ascending")
    dense = removals.assign(method="dense", removed=[0, 700, 1400])
    left = curves.links_left(pd.concat([removals, others, dense]))
    assert left["method"].tolist() == ["set", "set", "dense", "dense"]
    assert left["left"].tolist() == [14, 7, 1400, 700]


def test_links_left_are_the_mean_over_seeds():
    removals = rows(order="random", fraction=[0.5, 0.5, 1, 1], removed=[6, 8, 20, 21])
    left = curves.links_left(removals.assign(seed=[0, 1, 0, 1]))
    assert left["left"].tolist() == [14, 14]


def test_noise_and_signs_leave_out_other_changes():
    kinds = ["shuffle", "noise", "switch links", "flip signs"]
    kept = curves.noise_and_signs(rows(kind=kinds, strength=[1, 2, 3, 4]))
    assert kept["strength"].tolist() == [2, 4]
    assert kept["kind"].tolist() == ["noise (in sd of weights)", "signs flipped (fraction)"]


def test_curve_under_pgd_starts_without_attack_in_both_norms():
    attacked = rows(
        attack=["none", "fgsm", "pgd", "pgd", "pgd", "pgd"],
        norm=["", "linf", "linf", "linf", "l2", "l2"],
        radius=[0, 0.1, 0.15, 0.2, 3, 4],
        accuracy=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
    )
    drawn = curves.under_pgd(attacked).sort_values("radius")
    by_norm = drawn.groupby("norm")["accuracy"].apply(list)
    assert by_norm.to_dict() == {"PGD, L∞": [0.9, 0.7], "PGD, L2": [0.9, 0.5]}
