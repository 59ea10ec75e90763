"""Readings of the claims: areas by image, radii of half accuracy, pairs, thresholds, counts."""

import numpy as np
import pandas as pd
import pytest

from lib.papers.adaptive_topology import claims, readings
from lib.papers.shared.sparse_training import SparseTraining
from lib.papers.shared.study import study_of
from lib.report.intervals import judge, t_interval
from lib.report.statistics import two_way_interval
from lib.report.verdicts import published
from lib.runs.record import Record

N = 40  # images


def summary(method="set", seed=0, *, dataset="mnist", experiment="adaptive_topology", **values):
    """A record of ``robustness_summary`` with the given curves, areas and outcomes, of a network
    with the given fields.
    """
    given = {name: value for name, value in values.items() if name in ("epochs", "dropout")}
    fields = {"epochs": 150, "dropout": 0.1, "seed": seed, **given}
    parent = SparseTraining(experiment, dataset, method, **fields)
    rows = [("accuracy", 0.0, 0, 0.9), ("margin", 0.0, 0, 1.0)]
    for measure, curve in values.pop("curves", {}).items():
        rows += [(measure, strength, 0, value) for strength, value in curve.items()]
    table = pd.DataFrame(rows, columns=["measure", "strength", "draw", "value"])
    arrays = {"clean": np.arange(N) < 0.9 * N}
    for name, value in values.pop("arrays", {}).items():
        arrays[name] = value
    facts = {"architecture": "784-1000-10"}
    return Record(study_of("robustness_summary", parent), table, arrays, facts)


def areas(rng, mean):
    """(N,) stored areas of images."""
    drawn = np.clip(rng.normal(mean, 0.2, N), 0, 1)
    return np.round(drawn * readings.AREA_UNITS).astype(np.uint16)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_relative_areas_average_to_the_area_of_the_curve(rng):
    record = summary(arrays={"removal": areas(rng, 0.5)})
    mean = record.arrays["removal"].mean() / readings.AREA_UNITS
    relative = (mean - 0.1) / (0.9 - 0.1)
    assert readings.relative_areas(record, "removal").mean() == pytest.approx(relative)


def test_relative_areas_spread_as_the_ratio_does_over_images(rng):
    """Against the spread of the ratio itself when images are drawn anew (bootstrap)."""
    record = summary(arrays={"removal": areas(rng, 0.5)})
    stored = record.arrays["removal"] / readings.AREA_UNITS
    drawn = rng.integers(N, size=(20000, N))
    ratios = (stored[drawn].mean(1) - 0.1) / (record.arrays["clean"][drawn].mean(1) - 0.1)
    by_image = readings.relative_areas(record, "removal")
    assert by_image.std() / N**0.5 == pytest.approx(ratios.std(), rel=0.1)


def test_half_radius_is_interpolated():
    record = summary(curves={"pgd linf": {0.1: 0.6, 0.2: 0.3}})
    assert readings.half_radius(record, "linf") == pytest.approx(0.15)


def test_half_radius_beyond_what_was_tried_leaves_the_reading_open():
    record = summary(curves={"pgd linf": {0.1: 0.8, 0.2: 0.7}})
    assert np.isnan(readings.half_radius(record, "linf"))
    measured = readings.radius_ratio("linf")([(record, record)] * 5, 0.95)
    assert judge(measured, ">=", "0.9") == "inconclusive (radii)"


def test_ratio_of_radii_is_judged_as_a_ratio():
    curves = [{"pgd linf": {0.1: half, 0.2: 0.0}} for half in (0.0, 0.9)]
    pairs = [(summary("set", curves=curves[0]), summary("dense", curves=curves[1]))] * 5
    measured = readings.primary("R04").measure(pairs, 0.95)
    assert measured.value == pytest.approx(0.05 / 0.15)
    row = published().set_index("id").loc["R04"]
    assert judge(measured, row["comparison"], row["threshold"]) == "not reproduced"


def test_lost_points_of_a_fraction_that_was_not_measured_are_open():
    record = summary(curves={"removal": {0.0: 0.9, 0.5: 0.5, 1.0: 0.1}})
    measured = readings.lost(0.1)([(record, record)] * 5, 0.95)
    assert judge(measured, "<=", "5") == "inconclusive (fractions)"


def test_groups_hold_one_data_set_and_length_of_width_1000():
    records = [
        summary("set"),
        summary("dense"),
        summary("set", epochs=20, experiment="training_length"),
        summary("set", dataset="fashion_mnist"),
        summary("set", experiment="adaptive_topology_1568"),
    ]
    found = {
        (group.dataset, group.epochs): set(group.summaries) for group in readings.groups(records)
    }
    desired = {("mnist", 150): {"set", "dense"}, ("mnist", 20): {"set"}}
    assert found == desired | {("fashion_mnist", 150): {"set"}}


def test_pairs_are_of_the_seeds_that_both_have():
    records = [summary("set", seed) for seed in range(3)] + [summary("dense", 2)]
    (group,) = readings.groups(records)
    ((ours, theirs),) = group.pairs("set", "dense")
    assert ours.config.seed == theirs.config.seed == 2


def test_fixed_support_is_the_one_of_equal_dropout():
    fields = {"experiment": "other_dropouts", "dropout": 0.3}
    records = [summary("set", dropout=0.3), summary("fixed"), summary("fixed", **fields)]
    (group,) = readings.groups(records)
    ((_, theirs),) = group.pairs("set", "fixed")
    assert theirs.config.parent.dropout == 0.3
    (group,) = readings.groups(records[:2])
    assert group.pairs("set", "fixed") == []


def five(rng, method, dataset="mnist", **means):
    made = []
    for seed in range(5):
        arrays = {series: areas(rng, mean) for series, mean in means.items()}
        made.append(summary(method, seed, dataset=dataset, arrays=arrays))
    return made


def test_area_is_the_difference_of_relative_areas(rng):
    ours, theirs = five(rng, "set", removal=0.4), five(rng, "dense", removal=0.6)
    found = readings.primary("R03").measure(list(zip(ours, theirs, strict=True)), 0.95)
    stored = [[one.arrays["removal"].mean() for one in side] for side in (ours, theirs)]
    relative = (np.mean(stored, axis=1) / readings.AREA_UNITS - 0.1) / (0.9 - 0.1)
    assert found.value == pytest.approx(relative[0] - relative[1])
    spread = 0.2 * 2**0.5 / 0.8  # of the images' differences, each about the others' mean
    assert found.high - found.low == pytest.approx(2 * 2 * spread / (5 * N) ** 0.5, rel=0.35)


def test_area_is_compared_over_seeds_and_images(rng):
    ours, theirs = five(rng, "set", removal=0.4), five(rng, "dense", removal=0.6)
    found = readings.primary("R03").measure(list(zip(ours, theirs, strict=True)), 0.95)
    gaps = []
    for one, other in zip(ours, theirs, strict=True):
        gap = readings.relative_areas(one, "removal") - readings.relative_areas(other, "removal")
        gaps.append(gap)
    assert found == two_way_interval(np.array(gaps), level=0.95)


def test_lost_points_are_those_of_the_curve():
    records = []
    for seed in range(5):
        curve = {0.0: 0.9, 0.1: 0.88 - seed / 100, 0.2: 0.5, 0.3: 0.2}
        records.append(summary("set", seed, curves={"removal": curve}))
    found = readings.lost(0.1)([(record, record) for record in records], 0.95)
    desired = t_interval([2, 3, 4, 5, 6])
    assert (found.value, found.high) == pytest.approx((desired.value, desired.high))


def test_claim_is_judged_by_its_primary_reading_on_the_worse_data_set(rng):
    records = five(rng, "set", shuffle=0.7) + five(rng, "fixed", shuffle=0.5)
    better = claims.CLAIMS["R05"].measure(records)
    assert better.limit == "data" and better.n == 5 and better.value > 0.1
    records += five(rng, "set", "fashion_mnist", shuffle=0.4)
    records += five(rng, "fixed", "fashion_mnist", shuffle=0.5)
    worse = claims.CLAIMS["R05"].measure(records)
    assert worse.limit == "" and worse.high < 0 and worse.value == pytest.approx(-0.125, abs=0.05)


@pytest.mark.parametrize("claim", claims.ROBUSTNESS)
def test_robustness_claim_without_records_is_not_measured(claim):
    assert claims.CLAIMS[claim].measure([]) is None
    assert claims.CLAIMS[claim].readings([]).empty


def test_readings_of_a_claim_are_those_at_the_longest_training(rng):
    arrays = {"shuffle": areas(rng, 0.5), "shuffle within sign": areas(rng, 0.6)}
    records = []
    for method in ("set", "fixed"):
        records.append(summary(method, arrays=arrays))
        short = summary(method, arrays=arrays, epochs=20, experiment="training_length")
        records.append(short)
    rows = claims.CLAIMS["R05"].readings(records)
    assert set(rows["epochs"]) == {150} and set(rows["rule"]) == {"set"} and len(rows) == 2
    assert set(readings.table(records, "R05")["epochs"]) == {20, 150}


@pytest.mark.parametrize("claim", readings.PRIMARY_NAMES)
def test_every_claim_has_one_primary_reading(claim):
    reading = readings.primary(claim)
    row = published().set_index("id").loc[claim]
    assert reading.claim == claim
    assert (reading.comparison, reading.threshold) == (row["comparison"], row["threshold"])
