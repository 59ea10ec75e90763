"""Verdicts on P01 to P04 from made-up records: what decides, what is named as the obstacle."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest

from lib.papers.splash import claims
from lib.papers.splash.experiments import TEN
from lib.report.verdicts import published, verdict_of
from lib.runs.record import Record
from tests.papers.splash.made import SMALL, studied, trained

TABLE = published()
NOISE = (-0.002, -0.001, 0.0, 0.001, 0.002)


def verdict(claim, measurement):
    return verdict_of(claim, measurement, TABLE)


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
    assert found.value == 0 and verdict("P01", found) == "reproduced"
    assert claims.grounded([]) is None


# P02


def test_first_in_every_cell_is_reproduced():
    found = claims.share_of_first_ranks(everywhere(0.95))
    assert (found.value, found.low, found.high, found.n) == (1, 1, 1, 5)
    assert verdict("P02", found) == "reproduced"


def test_last_in_every_cell_is_not_reproduced():
    found = claims.share_of_first_ranks(everywhere(0.85))
    assert (found.value, found.high) == (0, 0) and verdict("P02", found) == "not reproduced"


def test_cells_cut_short_leave_it_open_for_epochs():
    records = cell() + cell("cifar10", epochs=15)
    found = claims.share_of_first_ranks(records)
    assert (found.value, found.low, found.high) == (1, 1 / 12, 1)
    assert verdict("P02", found) == "inconclusive (epochs)"


def test_cells_not_run_leave_it_open_for_data():
    assert verdict("P02", claims.share_of_first_ranks(cell())) == "inconclusive (data)"


def test_half_of_the_cells_surely_lost_decide_whatever_is_missing():
    records = []
    for place in claims.CELLS[:6]:
        records += cell(*place, splash=0.85)
    found = claims.share_of_first_ranks(records)
    assert found.high == 0.5 and verdict("P02", found) == "not reproduced"


def test_few_seeds_are_named():
    found = claims.share_of_first_ranks(everywhere(0.95, seeds=3))
    assert verdict("P02", found) == "inconclusive (seeds)"


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
    assert points.groupby("attack")["value"].mean().to_dict() == pytest.approx(
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


def far_from_the_nearest(records, attack):
    """Of these networks studies of minimal norm in which an attack stops too early."""
    studies = []
    for record in records:
        arrays = {"l2.smallest": np.ones(4)}
        for name in ("carlini_wagner", "deepfool", "boundary"):
            arrays[f"l2.{name}"] = np.full(4, 1.5 if name == attack else 1.05)
        run = dataclasses.replace(record.config, experiment="unit_minimal")
        rows = pd.DataFrame({"measure": ["carlini_wagner", "deepfool", "boundary"]})
        rows = rows.assign(norm="l2", radius=1.5, value=0.2 if run.method == "relu" else 0.9)
        studies.append(types.SimpleNamespace(config=run, metrics=rows, arrays=arrays))
    return studies


def test_attacks_that_stop_short_judge_nothing():
    records = attacked({"pgd": 0.1, "apgd_ce": 0.1, "square": 0.1})
    table = claims.gains(records + far_from_the_nearest(records, "boundary"))
    assert set(table["attack"]) == {"pgd", "apgd_ce", "square", "carlini_wagner", "deepfool"}


def test_cells_that_the_paper_does_not_have_do_not_decide():
    large = dict.fromkeys(("pgd", "apgd_ce", "square"), 0.4)
    elsewhere = attacked(large, dataset="fashion_mnist")
    assert claims.largest_gain(elsewhere) is None and claims.both_boxes(elsewhere) is None
    assert set(claims.gain_readings(elsewhere)["verdict"]) == {"reproduced"}


def test_readings_of_cells_cut_short_are_open():
    records = attacked({"pgd": 0.2, "apgd_ce": 0.2, "square": 0.2}, dataset="cifar10", epochs=15)
    found = pd.concat([claims.gain_readings(records), claims.box_readings(records)])
    assert found["verdict"].str.contains("epochs").all()


def test_a_gain_that_large_is_reproduced_whatever_was_not_run():
    found = claims.largest_gain(attacked({"pgd": 0.1, "apgd_ce": 0.1, "square": 0.4}))
    assert found.value == pytest.approx(40) and verdict("P03", found) == "reproduced"


def test_a_smaller_gain_is_open_for_what_was_not_run():
    found = claims.largest_gain(attacked({"pgd": 0.1, "apgd_ce": 0.1, "square": 0.1}))
    assert verdict("P03", found) == "inconclusive (data, architectures)"


def test_a_smaller_gain_is_open_for_epochs_where_cells_are_cut_short():
    small = {"pgd": 0.1, "apgd_ce": 0.1, "square": 0.1}
    records = attacked(small) + attacked(small, dataset="cifar10", epochs=15)
    assert verdict("P03", claims.largest_gain(records)) == "inconclusive (epochs, architectures)"


def test_intervals_of_the_largest_gain_are_simultaneous():
    one = attacked({"pgd": 0.1, "apgd_ce": -0.1, "square": -0.1})
    for record in one:
        record.metrics = record.metrics[record.metrics["measure"] == "pgd"]
    alone = claims.largest_gain(one)
    together = claims.largest_gain(attacked({"pgd": 0.1, "apgd_ce": -0.1, "square": -0.1}))
    assert together.value == pytest.approx(alone.value) and together.low < alone.low


def test_networks_of_the_comparisons_do_not_enter_the_claims():
    records = attacked(
        {"pgd": 0.9, "apgd_ce": 0.9, "square": 0.9}, base=0.05, parent="unit_defended"
    )
    assert claims.largest_gain(records) is None and claims.both_boxes(records) is None


@pytest.mark.parametrize(
    ("white", "black", "desired"),
    [
        (0.1, 0.1, "inconclusive (data)"),  # as far as it was run it holds
        (0.1, -0.1, "not reproduced"),
        (-0.1, 0.1, "not reproduced"),
    ],
)
def test_the_smaller_gain_of_both_boxes_decides(white, black, desired):
    found = claims.both_boxes(attacked({"pgd": white, "apgd_ce": white, "square": black}))
    assert found.value == pytest.approx(100 * min(white, black))
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
    assert found["verdict"].tolist() == ["not reproduced", "reproduced"]
    assert set(claims.box_readings(records)["verdict"]) == {"reproduced"}


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
    every = dict.fromkeys((*claims.WORST["open"], "square"), [0, 1])
    for record in records:
        with_images(record, **every, transfer=[1] if record.config.method == "relu" else [0, 1])
    names = claims.gain_readings(records)["reading"]
    assert names.tolist()[-1] == "worst of five attacks in L∞, points, LeNet-5"
    boxes = claims.box_readings(records).set_index("reading")["value"]
    assert boxes["worst of the open box in L∞, points, LeNet-5"] == 0
    assert boxes["worst of the black box in L∞, points, LeNet-5"] == 25


def test_claims_without_records_are_not_run():
    assert [claim.measure([]) for claim in claims.CLAIMS.values()] == [None] * 4
    for claim in claims.CLAIMS.values():
        assert claim.readings is None or claim.readings([]).empty
