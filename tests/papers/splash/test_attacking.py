"""Studies of a small trained network: inside their sanity checks, and what the tables say."""

import dataclasses

import numpy as np
import pytest
import torch

from lib import data
from lib.papers import EXPERIMENTS
from lib.papers.splash import attacking, checks, experiments, numbers
from lib.papers.splash.attacking import BLACK, OPEN
from lib.runs.records import Store
from tests.papers.splash.made import SMALL

IMAGES = experiments.AMOUNTS["unit_robustness"]["smoke"]["images"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Of two small networks: the training and both studies."""
    torch.set_default_dtype(torch.float32)
    folder = tmp_path_factory.mktemp("attacked")
    store = Store(EXPERIMENTS, folder / "runs", folder / "results")
    found = []
    for method in ("relu", "splash"):
        run = dataclasses.replace(SMALL, method=method, learning_rate=0.05)
        for name in ("unit_robustness", "unit_minimal"):
            amounts = experiments.AMOUNTS[name]["smoke"]
            study = experiments._study(name, amounts, run)
            found.append(store.run(study))
    torch.set_default_dtype(torch.float64)
    return found


def of(records, experiment):
    return [record for record in records if record.config.experiment == experiment]


def test_every_attack_of_both_boxes_is_measured(records):
    table = numbers.under_attack(records)
    assert set(table["attack"]) == {*OPEN, *BLACK}
    assert table.groupby(["method", "attack"]).size().eq(1).all()


def test_no_attack_raises_accuracy_and_shares_are_those_of_the_images(records):
    for record in of(records, "unit_robustness"):
        clean = record.arrays["right.clean"]
        rows = numbers.at_headline([record]).set_index("measure")["value"]
        for name in (*OPEN, *BLACK):
            if f"right.{name}" in record.arrays:
                right = record.arrays[f"right.{name}"]
                assert not (right & ~clean).any()
                assert rows[name] == pytest.approx(right.mean(), rel=1e-6)


def test_checks_hold_on_small_networks(records):
    checked = checks.check_attacks(of(records, "unit_robustness"))
    assert checked["check"].nunique() == 8 and len(checked) == 16
    sure = ["all broken at radius 1", "no zero gradients", "stronger with radius"]
    assert checked[checked["check"].isin(sure)]["passed"].all()


def test_a_weak_attack_is_flagged(records):
    (record, *_) = of(records, "unit_robustness")
    rows = record.metrics.copy()
    rows.loc[rows["measure"] == "zero gradient", "value"] = 0.1
    arrays = dict(record.arrays)
    for name in checks.WHITE:
        arrays[f"right.{name}"] = np.ones_like(arrays["right.square"])
    arrays["right.square"] = np.arange(IMAGES) >= 1  # Square breaks an image that gradients do not
    checked = checks.check_attacks([dataclasses.replace(record, metrics=rows, arrays=arrays)])
    failed = checked[~checked["passed"]].set_index("check")["worst"]
    assert failed["what Square breaks gradients break"] == pytest.approx(1 / IMAGES)
    assert "no zero gradients" in failed


def test_worst_case_is_what_withstands_every_attack_of_the_norm(records):
    for record in of(records, "unit_robustness"):
        rows = numbers.at_headline([record]).set_index("measure")["value"]
        withstood = np.ones(IMAGES, bool)
        for name in ("fgsm", "pgd", "apgd_ce", "apgd_dlr", "square"):
            withstood &= record.arrays[f"right.{name}"]
            assert rows["worst case"] <= rows[name] + 1e-6
        assert rows["worst case"] == pytest.approx(withstood.mean())


def test_points_are_transferred_from_both_units(records):
    for record in of(records, "unit_robustness"):
        rows = numbers.at_headline([record]).set_index("measure")["value"]
        kept = np.ones(IMAGES, bool)
        for unit in experiments.PAIR:
            right = record.arrays[f"right.transfer from {unit}"]
            assert rows[f"transfer from {unit}"] == pytest.approx(right.mean())
            kept &= right
        np.testing.assert_array_equal(kept, record.arrays["right.transfer"])


def test_distances_are_compared_with_the_nearest(records):
    checked = checks.check_distances(of(records, "unit_minimal"))
    assert len(checked) == 6 and (checked["worst"] >= -1e-6).all()


def test_smallest_distance_is_that_of_the_nearest_attack(records):
    for record in of(records, "unit_minimal"):
        names = ("carlini_wagner", "deepfool", "boundary", "bisected_pgd")
        nearest = np.min([record.arrays[f"l2.{name}"] for name in names], axis=0)
        np.testing.assert_allclose(record.arrays["l2.smallest"], nearest, rtol=1e-6)
        assert (record.arrays["l2.bisected_pgd"] <= record.arrays["l2.deepfool"] + 1e-6).all()


def test_constants_of_layers_and_their_products_agree(records):
    constants = numbers.layer_constants(of(records, "unit_robustness"))
    for record in of(records, "unit_robustness"):
        method = record.config.method
        own = constants[(constants["method"] == method) & (constants["kind"] == "linear")]
        rows = record.metrics.set_index("measure")["value"]
        assert len(own) == 7
        assert own["value"].prod() == pytest.approx(rows["linear product"], rel=1e-5)


def test_images_are_of_the_validation_part_where_there_is_one():
    parent = dataclasses.replace(SMALL, validation=100)
    study = experiments._study("unit_robustness", {"images": 20}, parent)
    x, y = attacking.images(study)
    valid = data.load("digits", validation=100).x_valid
    assert all((valid == image).flatten(1).all(1).any() for image in x) and len(y) == 20
