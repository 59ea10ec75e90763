"""Verdicts on P01 to P04 from made-up records: what decides, what is left open."""

import numpy as np
import pandas as pd
import pytest

from lib.report.frames import tidy
from lib.runs.record import Record
from papers.splash import claims
from papers.splash.experiments import TEN
from tests.papers.judging import judged as verdict
from tests.papers.splash.made import SMALL, studied, trained

NOISE = (-0.002, -0.001, 0.0, 0.001, 0.002)


def cell(dataset="mnist", network="lenet5", splash=0.95, seeds=5, **fields):
    """All ten units on a data set; SPLASH at this accuracy, the others at .9."""
    records = []
    for unit in TEN:
        level = splash if unit == "splash" else 0.9
        for seed in range(seeds):
            records.append(trained(unit, seed, level + NOISE[seed], dataset, network, **fields))
    return records


def everywhere(splash, **fields):
    records = []
    for dataset, network in claims.CELLS:
        records += cell(dataset, network, splash, **fields)
    return records


# P01


def test_learned_and_random_units_are_grounded():
    coefficients = np.ones((2, 2, 4), np.float32)
    arrays = {"units.activation1": coefficients, "hinges.activation1": np.array([0, 1, 2, 2.5])}
    found = claims.grounded([Record(SMALL, pd.DataFrame(), arrays, {})])
    assert found.value == 0 and verdict("P01", found) == "holds"


# P02


def test_first_in_every_cell_holds():
    found = claims.share_of_first_ranks(everywhere(0.95))
    assert (found.value, found.low, found.high, found.n) == (1, 1, 1, 5)
    assert verdict("P02", found) == "holds"


def test_cells_cut_short_decide_nothing():
    records = cell() + cell("cifar10", epochs=15)
    found = claims.share_of_first_ranks(records)
    assert (found.value, found.low, found.high, found.at) == (1, 1 / 12, 1, "2 of 12")
    assert verdict("P02", found) == "open"
    short = cell("cifar10", splash=0.85, epochs=15)
    assert claims.share_of_first_ranks(short).high == 1


def test_cells_are_cut_short_by_images_or_epochs():
    def short(dataset, **fields):
        return claims.cut_short(tidy([trained("relu", 0, 0.9, dataset, **fields)], "limit"))

    assert short("cifar10", epochs=99) == {("cifar10", "lenet5")} and short("mnist", limit=5000)
    assert not short("cifar10", epochs=100) and not short("mnist", epochs=10)


@pytest.mark.parametrize("fields", [{"epochs": 15, "seeds": 1}, {"seeds": 2}], ids=str)
def test_cells_that_decide_nothing_take_nothing_from_those_that_do(fields):
    records = []
    for place in claims.CELLS[:7]:
        records += cell(*place)
    found = claims.share_of_first_ranks(records + cell(*claims.CELLS[7], splash=0.1, **fields))
    assert (found.low, found.high, found.n) == (7 / 12, 1, 5)
    assert verdict("P02", found) == "holds"


def test_half_of_the_cells_surely_lost_decide_whatever_is_missing():
    records = []
    for place in claims.CELLS[:6]:
        records += cell(*place, splash=0.85)
    found = claims.share_of_first_ranks(records)
    assert found.high == 0.5 and verdict("P02", found) == "fails"


@pytest.mark.parametrize(("seeds", "desired"), [(2, "open"), (3, "holds")])
def test_fewer_than_three_seeds_decide_nothing(seeds, desired):
    found = claims.share_of_first_ranks(everywhere(0.95, seeds=seeds))
    assert found.n == seeds and verdict("P02", found) == desired


def test_a_cell_without_all_ten_units_does_not_count():
    few = [record for record in cell() if record.config.method != "maxout"]
    assert claims.share_of_first_ranks(few) is None


# P03 and P04


def attacked(gain, base=0.4, seeds=5, dataset="mnist", **fields):
    """ReLU keeps ``base`` under three attacks, SPLASH more by ``gain`` of each."""
    records = []
    for seed in range(seeds):
        relu = dict.fromkeys(("pgd", "apgd_ce", "square"), base + NOISE[seed])
        ours = {attack: kept + gain[attack] for attack, kept in relu.items()}
        ours["pgd"] += NOISE[-1 - seed]
        records.append(studied("relu", seed, relu, dataset, **fields))
        records.append(studied("splash", seed, ours, dataset, **fields))
    return records


def test_gains_are_paired_differences_in_points_or_relative():
    records = attacked({"pgd": 0.1, "apgd_ce": 0.1, "square": 0.2})
    points = claims.gains(records)
    assert points.groupby("measure")["value"].mean().to_dict() == pytest.approx(
        {"pgd": 10, "apgd_ce": 10, "square": 20}
    )
    relative = claims.gain_readings(records).iloc[1]
    assert relative["value"] == pytest.approx(20 / 0.4)  # of square


def test_relative_gain_over_nearly_nothing_is_left_out():
    records = attacked({"pgd": 0.1, "apgd_ce": 0.1, "square": 0.1}, base=0.02)
    assert len(claims.gains(records)) == 15
    (reading,) = claims.gain_readings(records)["reading"]
    assert "points" in reading


def test_no_seed_is_left_out_for_what_its_own_relu_keeps():
    records = attacked({"pgd": 0.1, "apgd_ce": 0.1, "square": 0.1}, base=0.051)
    assert claims.gain_readings(records)["n"].tolist() == [5, 5]


def test_where_a_network_was_attacked_again_the_second_attack_judges():
    small, large = (dict.fromkeys(("pgd", "apgd_ce", "square"), gain) for gain in (0.1, 0.2))
    first = attacked(large) + attacked(large, dataset="fashion_mnist")
    again = attacked(small, study="unit_worst")
    for record in first + again:
        with_images(record, square=[0] if record.config.method == "relu" else [0, 1])
    for record in again:
        with_images(record, square=[0, 1])
    for records in (first + again, again + first):
        rows = claims.gains(records).groupby("dataset")
        assert rows["value"].mean().to_dict() == pytest.approx({"mnist": 10, "fashion_mnist": 20})
        assert set(rows.size()) == {15}
        worst = claims.worst_gains(records, ("square",)).groupby("dataset")["value"]
        assert worst.mean().to_dict() == {"mnist": 0, "fashion_mnist": 25}
    half = [record for record in again if record.config.method == "splash"]
    rows = claims.gains(first + half)  # never 100 images of one unit and 1,000 of the other
    assert set(rows["dataset"]) == {"fashion_mnist"}


def test_readings_of_cells_cut_short_tell_their_epochs_and_are_judged_at_those():
    gain = {"pgd": 0.2, "apgd_ce": 0.2, "square": 0.2}
    short = attacked(gain, dataset="cifar10", epochs=15)
    found = pd.concat([claims.gain_readings(short), claims.box_readings(short)])
    whole = attacked(gain, dataset="cifar10")
    other = pd.concat([claims.gain_readings(whole), claims.box_readings(whole)])
    assert set(found["epochs"]) == {15} and set(other["epochs"]) == {100}
    assert found["verdict"].tolist() == other["verdict"].tolist()
    assert set(found["verdict"]) == {"holds", "fails"}


def test_a_gain_that_large_holds_whatever_was_not_run():
    found = claims.largest_gain(attacked({"pgd": 0.1, "apgd_ce": 0.1, "square": 0.4}))
    assert found.value == pytest.approx(40) and verdict("P03", found) == "holds"
    assert found.at == "Square, MNIST"


def test_networks_of_the_comparisons_do_not_enter_the_claims():
    records = attacked(
        {"pgd": 0.9, "apgd_ce": 0.9, "square": 0.9}, base=0.05, parent="unit_defended"
    )
    assert claims.largest_gain(records) is None and claims.both_boxes(records) is None


@pytest.mark.parametrize(
    ("white", "black", "desired"),
    [(0.1, 0.1, "holds"), (0.1, -0.1, "fails"), (-0.1, 0.1, "fails")],
)
def test_the_smaller_gain_of_both_boxes_decides(white, black, desired):
    gain = {"pgd": white, "apgd_ce": white, "square": black}
    records = []
    for dataset, network in claims.CELLS:
        records += attacked(gain, dataset=dataset, network=network)
    found = claims.both_boxes(records)
    assert found.value == pytest.approx(100 * min(white, black)) and found.n == 5
    assert verdict("P04", found) == desired


def test_without_black_box_attacks_p04_is_not_run():
    records = attacked({"pgd": 0.1, "apgd_ce": 0.1, "square": 0.1})
    for record in records:
        record.metrics = record.metrics[record.metrics["measure"] != "square"]
    assert claims.both_boxes(records) is None


def test_readings_say_points_and_per_cent_for_every_cell():
    records = attacked({"pgd": 0.2, "apgd_ce": 0.1, "square": 0.1})
    found = claims.gain_readings(records).set_index("reading")
    assert found["value"].tolist() == pytest.approx([20, 50.0], rel=0.01)
    assert found["verdict"].tolist() == ["fails", "holds"]
    assert set(claims.box_readings(records)["verdict"]) == {"holds"}


def with_images(record, **withstood):
    """The record with the images that withstand each attack, of four."""
    for attack, images in withstood.items():
        record.arrays[f"right.{attack}"] = np.isin(np.arange(4), images)
    return record


def test_worst_case_keeps_the_images_that_withstand_every_attack():
    relu, ours = studied("relu", 0, {"pgd": 0.5}), studied("splash", 0, {"pgd": 0.5})
    with_images(relu, square=[0, 1], transfer=[1, 2])  # one of four withstands both
    with_images(ours, square=[0, 1, 3], transfer=[0, 1, 3])
    found = claims.worst_gains([relu, ours], ("square", "transfer"))
    assert found[["value", "base"]].to_numpy().tolist() == [[50.0, 25.0]]
    assert claims.worst_gains([relu, ours], ("square", "pgd")).empty


def test_readings_of_the_worst_case_stand_beside_those_of_the_mean():
    records = attacked({"pgd": 0.1, "apgd_ce": 0.1, "square": 0.1})
    every = dict.fromkeys((*claims.ALL_OF["open"], "square"), [0, 1])
    for record in records:
        with_images(record, **every, transfer=[1] if record.config.method == "relu" else [0, 1])
    names = claims.gain_readings(records)["reading"]
    assert names.tolist()[-1] == "worst of five attacks in L∞, points, LeNet-5"
    boxes = claims.box_readings(records).set_index("reading")["value"]
    assert boxes["worst of the open box in L∞, points, LeNet-5"] == 0
    assert boxes["worst of the black box in L∞, points, LeNet-5"] == 25
