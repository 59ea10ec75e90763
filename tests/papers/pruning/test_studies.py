"""What studies say of records with given tables."""

import types

import numpy as np
import pytest

from lib.report.claims import against
from lib.report.frames import tidy
from papers.pruning import studies

from .made import searched, studied

TWO = [(0.5, 0.5, 0.5), (0.9, 0.8, 0.7), (0.4, 0.9, 0.4)]


def test_volume_after_more_evaluations_is_that_of_the_boxes_so_far():
    table = studies.hypervolumes([searched(0, TWO, population=2, evaluations=3)], steps=2)
    boxes = [0.5**3 + 0.9 * 0.2 * 0.7 - 0.5 * 0.2 * 0.5] * 2
    np.testing.assert_allclose(table["value"], boxes)
    assert list(table["evaluations"]) == [2, 3]


def test_relation_of_objectives_that_rise_together_is_one():
    rising = [(0.5 + i / 20, 0.1 + i / 20, 0.6 + i / 20) for i in range(5)]
    table = studies.relations([searched(0, rising)]).set_index("pair")["value"]
    assert table[list(studies.PAIRS)].tolist() == pytest.approx([1, 1, 1])
    assert np.isnan(table["accuracy and AUROC, density held"])


def test_front_presses_the_correlation_below_zero_when_the_density_is_held(rng):
    # nothing is related to anything: what is left on the front, selection has made
    records = [searched(seed, rng.random((200, 3))) for seed in range(5)]
    held = {}
    for of_front in (True, False):
        table = studies.relations(records, of_front=of_front)
        held[of_front] = table[table["pair"] == studies.HELD]["value"].mean()
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


def test_chosen_member_is_the_sparsest_of_the_most_accurate_on_validation():
    gains = studies.chosen_gains([studied(0, FRONT)]).set_index("seeds")
    assert gains["density"].tolist() == [0.1, 0.1]
    assert gains.loc["as searched", "value"] == pytest.approx(82 - 81)
    assert gains.loc["fresh seeds", "value"] == pytest.approx(77 - 76)


def test_the_frame_pairs_rivals_at_the_same_member_and_seed():
    rivals = [
        {"kind": "random", "member": 1, "seed": 1, "test_accuracy": 0.70, "test_auroc": 0.4},
        {"kind": "random", "member": 0, "seed": 1, "test_accuracy": 0.10},
    ]
    heads = tidy([studied(0, FRONT + rivals)]).query("kind in ['fresh', 'random']")
    keys = ["dataset", "measure", "member", "own seed"]
    gaps = against(heads, "fresh", by="kind", keys=keys).set_index("measure")["value"]
    assert gaps["test_accuracy"] == pytest.approx(0.70 - 0.76)
    assert gaps["test_auroc"] == pytest.approx(0.4 - 0.5)


def voted(low, valid, **test):
    return [
        {"kind": kind, "low": low, "n": 4, "valid_accuracy": valid, "test_accuracy": accuracy}
        for kind, accuracy in test.items()
    ]


def percent(records, by="accuracy"):
    """Test accuracy of the vote and of its rivals, and how many vote."""
    table = studies.chosen_votes(records, by).query("measure == 'accuracy'")
    return table.set_index("who")["value"], table["voters"].unique().tolist()


@pytest.mark.parametrize(("by", "desired"), [("accuracy", (60, 45)), ("auroc", (90, 75))])
def test_vote_is_chosen_on_validation_images_by_either_measure(by, desired):
    rows = voted(50, 0.8, vote=0.9, best=0.8, mean=0.7, alike=0.75)
    rows += voted(60, 0.9, vote=0.6, best=0.5, mean=0.4, alike=0.45)
    rows = [{**row, "valid_auroc": 1 - row["valid_accuracy"]} for row in rows]
    found, voters = percent([studied(0, FRONT + rows)], by)
    assert voters == [4]
    assert (found["vote"], found["alike"]) == pytest.approx(desired)


def test_rival_of_a_vote_is_the_best_of_the_whole_front_on_validation():
    front = [{**row, "valid_auroc": row["density"]} for row in FRONT[:3]]  # member 2 is the best
    rows = voted(50, 0.8, vote=0.9, best=0.5, mean=0.4, alike=0.75)
    found, _ = percent([studied(0, front + rows)])
    # of members 0 and 1, equal on validation, the sparser; member 2 is the best on test
    assert found["front_accuracy"] == pytest.approx(82)
    assert (found["front_auroc"], found["best"]) == pytest.approx((95, 50))


def test_front_without_votes_has_none():
    assert studies.chosen_votes([studied(0, FRONT)]).empty


def test_overstatement_is_the_gain_where_masks_were_judged_minus_that_elsewhere():
    rows = [
        {"kind": "front", "seed": 10_000, "valid_accuracy": 0.95, "test_accuracy": 0.85},
        {"kind": "front", "seed": 10_000, "valid_accuracy": 0.90, "test_accuracy": 0.99},
        {"kind": "full", "seed": 10_000, "valid_accuracy": 0.90, "test_accuracy": 0.86},
    ]
    table = studies.overstatement([studied(0, rows)]).set_index("measure")
    assert table.loc["accuracy", "value"] == pytest.approx((95 - 90) - (85 - 86))
    assert table.loc["auroc", "value"] == pytest.approx(0)


def kept(seed, masks, dataset="rsmas", mode="features"):
    """A record of a search whose front has these masks."""
    packed = np.packbits(np.asarray(masks, dtype=bool), axis=1)
    config = types.SimpleNamespace(dataset=dataset, seed=seed, mode=mode)
    environment = {"architecture": f"{len(masks[0])}-8-3"}
    return types.SimpleNamespace(config=config, arrays={"masks": packed}, environment=environment)


def test_masks_are_those_of_each_run():
    masks = [[[1, 0, 1], [0, 0, 1]], [[1, 1, 1]]]
    found = studies.masks_by_run([kept(seed, of_run) for seed, of_run in enumerate(masks)])
    assert [of_run.tolist() for of_run in found["rsmas"]] == masks
    with pytest.raises(ValueError, match="mode = 'hidden': give a search whose masks are of feat"):
        studies.masks_by_run([kept(0, masks[0], mode="hidden")])


def test_nothing_run_gives_empty_tables():
    of_searches = studies.hypervolumes, studies.relations, studies.pooled_relations
    of_fronts = studies.chosen_gains, studies.chosen_votes, studies.overstatement
    for table in (*of_searches, *of_fronts):
        assert table([]).empty
