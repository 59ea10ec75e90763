"""Readings of the claims: areas by image, radii of half accuracy, pairs, thresholds, counts."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lib.papers.adaptive_topology import claims, readings
from lib.papers.shared.sparse_training import SparseTraining
from lib.papers.shared.study import study_of
from lib.report.intervals import direction, t_interval
from lib.report.statistics import two_way_interval
from lib.report.verdicts import published
from lib.runs.record import Record
from tests.papers.judging import row_of

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
    assert (measured.low, measured.high) == (-np.inf, np.inf) and np.isnan(measured.value)
    assert direction(measured, ">=", "0.9") == "open"


def test_ratio_of_radii_is_judged_as_a_ratio():
    curves = [{"pgd linf": {0.1: half, 0.2: 0.0}} for half in (0.0, 0.9)]
    pairs = [(summary("set", curves=curves[0]), summary("dense", curves=curves[1]))] * 5
    measured = readings.primary("R04").measure(pairs, 0.95)
    assert measured.value == pytest.approx(0.05 / 0.15)
    row = published().set_index("id").loc["R04"]
    assert direction(measured, row["comparison"], row["threshold"]) == "fails"


def test_lost_points_of_a_fraction_that_was_not_measured_are_open():
    record = summary(curves={"removal": {0.0: 0.9, 0.5: 0.5, 1.0: 0.1}})
    measured = readings.lost(0.1)([(record, record)] * 5, 0.95)
    assert (measured.low, measured.high, measured.n) == (-np.inf, np.inf, 5)
    assert direction(measured, "<=", "5") == "open"


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


def test_rule_is_taken_with_the_dropout_of_its_rival_where_that_is_asked():
    other = {"experiment": "other_dropouts"}
    records = [summary("set"), summary("set", dropout=0.3, **other), summary("dense", dropout=0.3)]
    records += [summary("fixed", dropout=0.3), summary("fixed", **other)]
    (group,) = readings.groups(records)
    for rival in ("dense", "fixed"):
        ((ours, theirs),) = group.pairs("set", rival, at_rivals_dropout=True)
        assert ours.config.parent.dropout == theirs.config.parent.dropout == 0.3
    ((ours, theirs),) = group.pairs("set", "dense")
    assert (ours.config.parent.dropout, theirs.config.parent.dropout) == (0.1, 0.3)
    ((ours, theirs),) = group.pairs("set", "fixed")
    assert ours.config.parent.dropout == theirs.config.parent.dropout == 0.1


def five(rng, method, dataset="mnist", **means):
    made = []
    for seed in range(5):
        arrays = {series: areas(rng, mean) for series, mean in means.items()}
        made.append(summary(method, seed, dataset=dataset, arrays=arrays))
    return made


def test_reading_with_the_dropout_of_the_rival_stands_only_where_it_differs(rng):
    means = {"shuffle": 0.4, "shuffle within sign": 0.4}
    alike = five(rng, "set", **means) + five(rng, "fixed", **means)
    names = readings.table(alike, "R05")["reading"]
    assert len(names) == 2 and not names.str.contains(readings.BOTH).any()
    arrays = {series: areas(rng, mean) for series, mean in means.items()}
    of_set = [alike[0], summary("set", experiment="other_dropouts", dropout=0.3, arrays=arrays)]
    of_fixed = [
        summary("fixed", dropout=0.3, arrays=arrays),
        summary("fixed", experiment="other_dropouts", arrays=arrays),
    ]
    names = readings.table(of_set + of_fixed, "R05")["reading"]
    assert len(names) == 4 and names.str.contains(readings.BOTH).sum() == 2


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
    assert better.low == -np.inf and better.n == 5 and better.value > 0.1
    assert (better.at, row_of("R05", better)["direction"]) == ("MNIST", "open")
    records += five(rng, "set", "fashion_mnist", shuffle=0.4)
    records += five(rng, "fixed", "fashion_mnist", shuffle=0.5)
    worse = claims.CLAIMS["R05"].measure(records)
    assert worse.high < 0 and worse.value == pytest.approx(-0.125, abs=0.05)
    row = row_of("R05", worse)
    assert (worse.at, row["direction"]) == ("Fashion-MNIST", "fails")
    assert (row["verdict"], row["reason"]) == ("undecidable", claims.SILENT)


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


# what each reading reads, in closed form

AREAS = {  # of every image, for the rule; a rival has its share more of each
    "removal": 0.50,
    "removal, rescaled": 0.60,
    "removal, equal number left": 0.70,
    "shuffle": 0.30,
    "shuffle within sign": 0.40,
}
MORE = {"set": 0.0, "fixed": 0.04, "dense_small": 0.08, "dense_pruned": 0.12, "dense": 0.16}
KEPT = {"pgd linf 0.095": 30, "ensemble linf": 20}  # images, of 40; a rival keeps 25 * MORE more
HALVED = {"linf": 0.10, "l2": 1.0}  # radius; of a rival 1 + MORE times as large


def made(method, seed):
    """A network that has all images right, and loses them as the tables above say."""
    more = MORE[method]
    arrays = {"clean": np.ones(N, bool)}
    for series, area in AREAS.items():
        arrays[series] = np.full(N, round((area + more) * readings.AREA_UNITS), dtype=np.uint16)
    for attack, kept in KEPT.items():
        arrays[attack] = np.arange(N) < kept + 25 * more
    curves = {"removal": {0.0: 1.0, 0.1: 0.98, 0.2: 0.93, 0.3: 0.81}}
    for norm, half in HALVED.items():
        curves[f"pgd {norm}"] = {2 * half * (1 + more): 0.0}
    return summary(method, seed, arrays=arrays, curves=curves)


def expected(reading):
    if reading.rival is None:
        return {"10%": 2, "20%": 7, "30%": 19}[reading.name.split("with ")[1][:3]]
    more = MORE[reading.rival]
    if "ratio" in reading.name:
        return 1 / (1 + more)
    if reading.name.startswith("points under"):
        return -100 * 25 * more / N
    if reading.name == "area, equal number of links left":
        return (0.50 - 0.70 - more) / 0.9
    return -more / 0.9


TUNED = [one for one in readings.READINGS if not one.at_rivals_dropout]


@pytest.mark.parametrize("reading", TUNED, ids=lambda one: f"{one.claim} {one.name} {one.rival}")
def test_value_of_every_reading_in_closed_form(reading):
    records = [made(method, seed) for method in MORE for seed in range(5)]
    (group,) = readings.groups(records)
    pairs = group.pairs("set", reading.rival or "set")
    found = reading.measure(pairs, 0.95)
    assert (found.value, found.n) == (pytest.approx(expected(reading)), 5)


@pytest.mark.parametrize(
    ("claim", "name", "series"),
    [
        ("R03", "area, links removed", "removal"),
        ("R03", "area, removed and rescaled", "removal, rescaled"),
        ("R05", "area, weights shuffled", "shuffle"),
        ("R05", "area, shuffled within signs", "shuffle within sign"),
        ("R04", "points under PGD at the headline radius", "pgd linf 0.095"),
        ("R04", "points under the ensemble at the headline radius", "ensemble linf"),
    ],
)
def test_reading_follows_the_measurement_that_it_names_alone(claim, name, series):
    wanted = [one for one in readings.READINGS if (one.claim, one.name) == (claim, name)]
    assert {one.rival for one in wanted} <= {*readings.RIVALS}
    pairs = [(made("set", 0), made("fixed", 0))] * 5
    before = wanted[0].measure(pairs, 0.95).value
    ours = made("set", 0)
    for other in [*AREAS, *KEPT]:
        if other != series:
            ours.arrays[other] = ours.arrays[other] * 0
    assert wanted[0].measure([(ours, made("fixed", 0))] * 5, 0.95).value == before
    ours.arrays[series] = ours.arrays[series] * 0
    assert wanted[0].measure([(ours, made("fixed", 0))] * 5, 0.95).value < before


@pytest.mark.parametrize(("claim", "rival"), [("R03", "dense"), ("R04", "dense"), ("R05", "fixed")])
def test_primary_reading_is_against_the_rival_that_the_notebooks_name(claim, rival):
    assert readings.primary(claim).rival == rival


def test_thresholds_are_those_of_their_kind():
    found = {}
    for reading in readings.READINGS:
        kind = "ratio" if "ratio" in reading.name else reading.name.split()[0].strip(",")
        found.setdefault((reading.claim, kind), set()).add((reading.comparison, reading.threshold))
    assert found == {
        ("R03", "points"): {("<=", "5")},
        ("R03", "area"): {(">=", "-0.05")},
        ("R04", "ratio"): {(">=", "0.9")},
        ("R04", "points"): {(">=", "-5")},
        ("R05", "area"): {(">", "0")},
    }


def test_pruned_network_is_as_long_trained_as_what_it_was_pruned_from():
    run = SparseTraining("adaptive_topology", "mnist", "dense_pruned", epochs=50)
    dense = SparseTraining("adaptive_topology", "mnist", "dense", epochs=150)
    run = dataclasses.replace(run, inherits="largest", parent=dense)
    assert readings.epochs_of(run) == 150


def test_verdict_is_the_worse_data_set_by_simultaneous_intervals(rng):
    records, by_dataset = [], []
    for dataset, mean in (("mnist", 0.4), ("fashion_mnist", 0.45)):
        sides = [
            five(rng, method, dataset, removal=level)
            for method, level in (("set", mean), ("dense", 0.6))
        ]
        records += sides[0] + sides[1]
        by_dataset.append(area_gap_of(*sides))
    found = claims.robustness(records, "R03")
    assert found.low == pytest.approx(min(one.low for one in by_dataset))
    assert found.high == pytest.approx(min(one.high for one in by_dataset))
    assert found.value == pytest.approx(min(one.value for one in by_dataset))


def area_gap_of(ours, theirs):
    gaps = []
    for a, b in zip(ours, theirs, strict=True):
        gaps.append(readings.relative_areas(a, "removal") - readings.relative_areas(b, "removal"))
    return two_way_interval(np.array(gaps), level=0.975)
