"""Studies of a small trained network: inside their sanity checks, and what is read of them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from lib.report.claims import at_common
from lib.report.frames import tidy
from lib.runs.records import Store
from papers import EXPERIMENTS
from papers.splash import experiments, studies
from papers.splash.studies import BLACK, OPEN, under_attack
from tests.papers.splash.made import SMALL, studied

IMAGES = experiments.AMOUNTS["unit_robustness"]["smoke"]["images"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Of two small networks: the training and both studies."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    folder = tmp_path_factory.mktemp("attacked")
    store = Store(EXPERIMENTS, folder / "runs", folder / "results")
    found = []
    for method in ("relu", "splash"):
        run = dataclasses.replace(SMALL, method=method, learning_rate=0.05)
        for name in ("unit_robustness", "unit_minimal"):
            study = experiments.study_of(name, run, **experiments.AMOUNTS[name]["smoke"])
            found.append(store.run(study))
    torch.set_default_dtype(before)
    return found


def of(records, experiment):
    return [record for record in records if record.config.experiment == experiment]


def kept(record):
    """Accuracy by attack, as a fraction."""
    return under_attack([record]).set_index("measure")["value"] / 100


def test_every_attack_of_both_boxes_is_measured(records):
    rows = under_attack(records).query("measure not in ['clean', 'worst case']")
    assert set(rows["measure"]) == {*OPEN, *BLACK}
    assert rows.groupby(["method", "measure"], observed=True).size().eq(1).all()
    assert rows["attack"].notna().all() and rows["attack"].cat.ordered


def test_no_attack_raises_accuracy_and_shares_are_those_of_the_images(records):
    for record in of(records, "unit_robustness"):
        clean = record.arrays["right.clean"]
        rows = kept(record)
        for name in (*OPEN, *BLACK):
            if f"right.{name}" in record.arrays:
                right = record.arrays[f"right.{name}"]
                assert not (right & ~clean).any()
                assert rows[name] == pytest.approx(right.mean(), rel=1e-6)


def test_rows_at_the_headline_radius_are_chosen():
    record = studied("relu", 0, {"pgd": 0.4, "clean": 0.9})
    extra = record.metrics.assign(radius=2 * record.config.radii[0], value=0.1)
    farther = extra[extra["measure"] == "pgd"]
    record.metrics = pd.concat([record.metrics, farther])
    assert kept(record).to_dict() == pytest.approx({"pgd": 0.4, "clean": 0.9})


def test_checks_hold_on_small_networks(records):
    checked = studies.sanity_checks(of(records, "unit_robustness"))
    assert checked["check"].nunique() == 8 and len(checked) == 16
    sure = ["all broken at radius 1", "no zero gradients", "stronger with radius"]
    assert checked[checked["check"].isin(sure)]["passed"].all()


def test_a_weak_attack_is_flagged(records):
    (record, *_) = of(records, "unit_robustness")
    rows = record.metrics.copy()
    rows.loc[rows["measure"] == "zero gradient", "value"] = 0.1
    arrays = dict(record.arrays)
    for name in studies.GRADIENT:
        arrays[f"right.{name}"] = np.ones_like(arrays["right.square"])
    arrays["right.square"] = np.arange(IMAGES) >= 1  # Square breaks an image that gradients do not
    checked = studies.sanity_checks([dataclasses.replace(record, table=rows, arrays=arrays)])
    failed = checked[~checked["passed"]].set_index("check")["worst"]
    assert failed["what Square breaks gradients break"] == pytest.approx(1 / IMAGES)
    assert "no zero gradients" in failed


def test_worst_case_is_what_withstands_every_attack_of_the_norm(records):
    for record in of(records, "unit_robustness"):
        rows = kept(record)
        withstood = np.ones(IMAGES, bool)
        for name in ("fgsm", "pgd", "apgd_ce", "apgd_dlr", "square"):
            withstood &= record.arrays[f"right.{name}"]
            assert rows["worst case"] <= rows[name] + 1e-6
        assert rows["worst case"] == pytest.approx(withstood.mean())


def test_points_are_transferred_from_both_units(records):
    for record in of(records, "unit_robustness"):
        rows = record.metrics.set_index("measure")["value"]
        kept = np.ones(IMAGES, bool)
        for unit in experiments.PAIR:
            right = record.arrays[f"right.transfer from {unit}"]
            assert rows[f"transfer from {unit}"] == pytest.approx(right.mean())
            kept &= right
        np.testing.assert_array_equal(kept, record.arrays["right.transfer"])


def test_distances_are_compared_with_the_nearest(records):
    checked = studies.distance_checks(of(records, "unit_minimal"))
    assert len(checked) == 6 and (checked["worst"] >= -1e-6).all()


def test_smallest_distance_is_that_of_the_nearest_attack(records):
    for record in of(records, "unit_minimal"):
        names = ("carlini_wagner", "deepfool", "boundary", "bisected_pgd")
        nearest = np.min([record.arrays[f"l2.{name}"] for name in names], axis=0)
        np.testing.assert_allclose(record.arrays["l2.smallest"], nearest, rtol=1e-6)
        assert (record.arrays["l2.bisected_pgd"] <= record.arrays["l2.deepfool"] + 1e-6).all()


def test_constants_of_layers_and_their_products_agree(records):
    frame = tidy(of(records, "unit_robustness"))
    constants = studies.by_layer(frame)
    assert set(constants["of"]) == {"layer", "unit"}
    for method in ("relu", "splash"):
        own = constants[(constants["of"] == "layer") & (constants["method"] == method)]
        product = frame.query("measure == 'linear product' and method == @method")["value"]
        assert own["place"].iloc[0] == "conv1" and len(own) == 7
        assert own["value"].prod() == pytest.approx(product.item(), rel=1e-5)


# networks at equal accuracy and at equal slope over margin, on curves whose answer is known

LENGTHS = (1, 2, 4, 10)


def network(method, values, accuracy, epochs):
    """The study of a network; its five attacks leave the same images of ten."""
    record = studied(method, 0, values, epochs=epochs, accuracy=accuracy)
    for name in studies.IN_LINF:
        record.arrays[f"right.{name}"] = np.arange(10) < round(10 * values["pgd"])
    return record


def curve(method, kept_of, *, quality=1.0):
    """Networks of four lengths: longer ones are more accurate and steeper."""
    records = []
    for number, epochs in enumerate(LENGTHS):
        accuracy, slope = 0.8 + quality * 0.05 * number, 1.0 + number
        values = {"margin": 1.0, "slope": slope, "pgd": kept_of(accuracy, slope)}
        records.append(network(method, values, accuracy, epochs))
    return records


def gap(records, by, **where):
    rows = at_common(studies.networks(records), by, "kept", "splash", "relu", **where)
    return rows["value"].item()


def test_a_unit_that_is_only_more_accurate_is_no_more_robust_at_equal_accuracy():
    def keeps(accuracy, slope):
        return 2 * (accuracy - 0.7)

    assert gap(curve("relu", keeps) + curve("splash", keeps, quality=2), "accuracy") == (
        pytest.approx(0)
    )


def test_a_unit_that_is_only_flatter_is_no_more_robust_at_equal_slope_over_margin():
    def keeps(accuracy, slope):
        return 0.9 - 0.1 * slope

    flat = []
    for number, epochs in enumerate(LENGTHS):
        slope = number + 2  # over a margin of 3: another scale of the logits
        values = {"margin": 3.0, "slope": 3 * slope, "pgd": keeps(0, slope)}
        flat.append(network("splash", values, 0.8 + 0.05 * number, epochs))
    records = curve("relu", keeps) + flat
    assert gap(records, "slope over margin", at=0.5) == pytest.approx(0)
    assert gap(records, "accuracy") == pytest.approx(-10)


def test_a_row_a_network_says_what_it_keeps_in_percent():
    (row,) = studies.networks([curve("relu", lambda a, s: 0.3)[1]]).to_dict("records")
    assert (row["kept"], row["epochs"]) == (pytest.approx(30), 2)
    assert (row["accuracy"], row["slope over margin"]) == (pytest.approx(85), pytest.approx(2))


def test_units_after_every_epoch_are_drawn_from_their_coefficients():
    arrays = {
        "units.activation1": np.array([[[1.0, 0], [0, 0]], [[1, 1], [1, 0]]]),
        "hinges.activation1": np.array([0.0, 1.0]),
    }
    record = studied("splash", 0, {"clean": 0.9})
    record.arrays.update(arrays)
    shapes = studies.learned_shapes([record], np.array([-2.0, 2.0]))
    assert shapes["y"].tolist() == [0, 2, 2, 3] and shapes["epoch"].tolist() == [0, 0, 1, 1]
    assert shapes["lipschitz"].tolist() == [1, 1, 2, 2]


def test_without_records_there_is_nothing_to_read():
    readers = (under_attack, studies.sanity_checks, studies.distance_checks, studies.networks)
    assert all(read([]).empty for read in readers)
    assert studies.learned_shapes([], np.zeros(1)).empty and studies.by_layer(tidy([])).empty
