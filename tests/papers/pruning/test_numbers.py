"""Numbers of records with given tables."""

import numpy as np
import pytest

from lib.papers.pruning import numbers

from .made import searched, studied

TWO = [(0.5, 0.5, 0.5), (0.9, 0.8, 0.7), (0.4, 0.9, 0.4)]


def test_volume_after_more_evaluations_is_that_of_the_boxes_so_far():
    table = numbers.volumes([searched(0, TWO, population=2, evaluations=3)], steps=2)
    boxes = [0.5**3 + 0.9 * 0.2 * 0.7 - 0.5 * 0.2 * 0.5] * 2
    np.testing.assert_allclose(table["value"], boxes)
    assert list(table["evaluations"]) == [2, 3]


def test_last_volume_is_that_of_all_masks():
    table = numbers.last_volumes([searched(0, TWO, population=2), searched(1, TWO, population=2)])
    assert list(table["evaluations"]) == [3, 3] and list(table["seed"]) == [0, 1]


def test_evaluated_masks_say_whether_they_are_on_the_front():
    table = numbers.evaluated([searched(0, TWO)])
    assert list(table["front"]) == [True, True, False]


def test_attained_accuracy_is_the_best_of_the_masks_that_small():
    table = numbers.attained([searched(0, TWO)], "accuracy", at=[0.1, 0.5, 1.0])
    np.testing.assert_array_equal(table["value"], [np.nan, 0.5, 0.9])


def test_relation_of_objectives_that_rise_together_is_one():
    rising = [(0.5 + i / 20, 0.1 + i / 20, 0.6 + i / 20) for i in range(5)]
    table = numbers.relations([searched(0, rising)]).set_index("pair")["value"]
    assert table[list(numbers.PAIRS)].tolist() == pytest.approx([1, 1, 1])
    assert np.isnan(table["accuracy and AUROC, density held"])


def test_front_presses_the_correlation_below_zero_when_the_density_is_held(rng):
    # nothing is related to anything: what is left on the front, selection has made
    records = [searched(seed, rng.random((200, 3))) for seed in range(5)]
    held = {}
    for of_front in (True, False):
        table = numbers.relations(records, of_front=of_front)
        held[of_front] = table[table["pair"] == numbers.HELD]["value"].mean()
    assert held[True] < -0.3
    assert abs(held[False]) < 4 / np.sqrt(5 * 200)


FRONT = [
    {"kind": "front", "member": 0, "density": 0.2, "valid_accuracy": 0.9, "test_accuracy": 0.80},
    {"kind": "front", "member": 1, "density": 0.1, "valid_accuracy": 0.9, "test_accuracy": 0.82},
    {"kind": "front", "member": 2, "density": 0.9, "valid_accuracy": 0.8, "test_accuracy": 0.95},
    {"kind": "fresh", "member": 1, "seed": 1, "test_accuracy": 0.76},
    {"kind": "fresh", "member": 1, "seed": 2, "test_accuracy": 0.78},
    {"kind": "full", "member": -1, "seed": 10_000, "test_accuracy": 0.81},
    {"kind": "full", "member": -1, "seed": 1, "test_accuracy": 0.75},
    {"kind": "full", "member": -1, "seed": 2, "test_accuracy": 0.77},
]


def test_selected_member_is_the_sparsest_of_the_most_accurate_on_validation():
    [row] = numbers.selected([studied(0, FRONT)]).to_dict("records")
    assert row["density"] == 0.1
    assert row["gain"] == pytest.approx(82 - 81)
    assert row["gain_fresh"] == pytest.approx(77 - 76)


def test_rivals_are_compared_at_the_same_member_and_seed():
    rivals = [
        {"kind": "random", "member": 1, "seed": 1, "test_accuracy": 0.70, "test_auroc": 0.4},
        {"kind": "random", "member": 0, "seed": 1, "test_accuracy": 0.10},
    ]
    [row] = numbers.at_equal_density([studied(0, FRONT + rivals)]).to_dict("records")
    assert row["kind"] == "random"
    assert row["accuracy"] == pytest.approx(6) and row["auroc"] == pytest.approx(10)


def test_rivals_that_are_too_sparse_are_left_out():
    rows = [
        {"kind": "fresh", "member": 3, "seed": 1, "density": 0.04},
        {"kind": "random", "member": 3, "seed": 1, "density": 0.04},
    ]
    assert numbers.at_equal_density([studied(0, FRONT + rows)]).empty


def voted(low, valid, **test):
    return [
        {"kind": kind, "low": low, "n": 4, "valid_accuracy": valid, "test_accuracy": accuracy}
        for kind, accuracy in test.items()
    ]


def test_vote_is_chosen_on_validation_images():
    rows = voted(50, 0.8, vote=0.9, best=0.8, mean=0.7, alike=0.75)
    rows += voted(60, 0.9, vote=0.6, best=0.5, mean=0.4, alike=0.45)
    [row] = numbers.chosen_votes([studied(0, FRONT + rows)]).to_dict("records")
    assert (row["low"], row["n"]) == (60, 4)
    assert row["accuracy vote"] == pytest.approx(60)
    assert row["accuracy alike"] == pytest.approx(45)


def test_vote_can_be_chosen_by_auroc_instead():
    rows = voted(50, 0.8, vote=0.9, best=0.8, mean=0.7, alike=0.75)
    rows += voted(60, 0.9, vote=0.6, best=0.5, mean=0.4, alike=0.45)
    rows = [{**row, "valid_auroc": 1 - row["valid_accuracy"]} for row in rows]
    [row] = numbers.chosen_votes([studied(0, FRONT + rows)], by="auroc").to_dict("records")
    assert (row["low"], row["accuracy vote"]) == (50, pytest.approx(90))


def test_rival_of_a_vote_is_the_best_of_the_whole_front_on_validation():
    front = [{**row, "valid_auroc": row["density"]} for row in FRONT[:3]]  # member 2 is the best
    rows = voted(50, 0.8, vote=0.9, best=0.5, mean=0.4, alike=0.75)
    [row] = numbers.chosen_votes([studied(0, front + rows)]).to_dict("records")
    # of members 0 and 1, equal on validation, the sparser; member 2 is the best on test
    assert row["accuracy front_accuracy"] == pytest.approx(82)
    assert row["accuracy front_auroc"] == pytest.approx(95)
    assert row["accuracy best"] == pytest.approx(50)


def test_overstatement_is_the_gain_where_masks_were_judged_minus_that_elsewhere():
    rows = [
        {"kind": "front", "seed": 10_000, "valid_accuracy": 0.95, "test_accuracy": 0.85},
        {"kind": "front", "seed": 10_000, "valid_accuracy": 0.90, "test_accuracy": 0.99},
        {"kind": "full", "seed": 10_000, "valid_accuracy": 0.90, "test_accuracy": 0.86},
    ]
    table = numbers.overstatement([studied(0, rows)]).set_index("objective")
    assert table.loc["accuracy", "value"] == pytest.approx((95 - 90) - (85 - 86))
    assert table.loc["auroc", "value"] == pytest.approx(0)


def test_nothing_run_gives_empty_tables():
    assert numbers.volumes([]).empty and numbers.relations([]).empty
    assert numbers.pooled_relations([]).empty and numbers.relation_gaps([]).empty
    assert numbers.selected([]).empty and numbers.at_equal_density([]).empty
    assert numbers.chosen_votes([]).empty and numbers.overstatement([]).empty
    assert numbers.evaluated([]).empty and numbers.attained([], "accuracy", at=[0.5]).empty
