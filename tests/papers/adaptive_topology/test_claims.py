"""The claims: pairs, readings in closed form, thresholds, the worse data set."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from lib.report.intervals import Measurement, direction, t_interval
from lib.report.verdicts import published
from lib.runs.record import Record
from papers import CLAIMS
from papers.adaptive_topology import claims
from papers.adaptive_topology.studies import AREA_UNITS
from papers.shared.sparse_training import SparseTraining
from papers.shared.study import study_of

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
    return np.round(drawn * AREA_UNITS).astype(np.uint16)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def reading(claim, name=None):
    """The reading of that name; the primary one."""
    wanted = claim, name or claims.PRIMARY[claim][0]
    (found,) = (one for one in claims.READINGS if (one.claim, one.name) == wanted)
    return found


# accuracy


# pairs


def test_networks_are_those_of_the_longest_training_and_width_1000():
    records = [
        summary("set"),
        summary("set", epochs=20, experiment="training_length"),
        summary("set", experiment="adaptive_topology_1568"),
        summary("set", experiment="other_dropouts", dropout=0.3),
    ]
    found = claims.kept(records, lambda record: np.ones(1), ("set",))
    assert found["trained"].tolist() == ["adaptive_topology", "other_dropouts"]


def pairs(records, rival, at_rivals_dropout=False):
    """(dropout of the rule, that of its rival) of each pair."""
    measure = claims.Reading("", "", dropout_of, (), ">", 0)
    rows = claims.compared(records, measure, rival, at_rivals_dropout)
    gaps = [float(images[0]) for images in rows["images"]]
    return list(zip(rows["dropout"], np.round(rows["dropout"] - gaps, 9), strict=True))


def dropout_of(record):
    return np.array([record.config.parent.dropout])


def test_pairs_are_of_the_seeds_that_both_have():
    records = [summary("set", seed) for seed in range(3)] + [summary("dense", 2)]
    rows = claims.compared(records, claims.Reading("", "", dropout_of, (), ">", 0), "dense")
    assert rows["seed"].tolist() == [2]


def test_fixed_support_is_the_one_of_equal_dropout():
    fields = {"experiment": "other_dropouts", "dropout": 0.3}
    records = [summary("set", dropout=0.3), summary("fixed"), summary("fixed", **fields)]
    assert pairs(records, "fixed") == [(0.3, 0.3)]
    assert pairs(records[:2], "fixed") == []


def test_rule_is_taken_with_the_dropout_of_its_rival_where_that_is_asked():
    other = {"experiment": "other_dropouts"}
    records = [summary("set"), summary("set", dropout=0.3, **other), summary("dense", dropout=0.3)]
    records += [summary("fixed", dropout=0.3), summary("fixed", **other)]
    for rival in ("dense", "fixed"):
        assert pairs(records, rival, at_rivals_dropout=True) == [(0.3, 0.3)]
    assert pairs(records, "dense") == [(0.1, 0.3)]
    assert pairs(records, "fixed") == [(0.1, 0.1)]


def five(rng, method, dataset="mnist", **means):
    made = []
    for seed in range(5):
        arrays = {series: areas(rng, mean) for series, mean in means.items()}
        made.append(summary(method, seed, dataset=dataset, arrays=arrays))
    return made


def test_reading_with_the_dropout_of_the_rival_stands_only_where_it_differs(rng):
    means = {"shuffle": 0.4, "shuffle within sign": 0.4}
    alike = five(rng, "set", **means) + five(rng, "fixed", **means)
    names = claims.readings(alike, "R05")["reading"]
    assert len(names) == 2 and not names.str.contains(claims.BOTH).any()
    arrays = {series: areas(rng, mean) for series, mean in means.items()}
    of_set = [alike[0], summary("set", experiment="other_dropouts", dropout=0.3, arrays=arrays)]
    of_fixed = [
        summary("fixed", dropout=0.3, arrays=arrays),
        summary("fixed", experiment="other_dropouts", arrays=arrays),
    ]
    names = claims.readings(of_set + of_fixed, "R05")["reading"]
    assert len(names) == 4 and names.str.contains(claims.BOTH).sum() == 2


# what is measured


def measured(records, one, rival="", method="set"):
    rows = claims.compared(records, one, rival).query("method == @method")
    return claims.crossed_interval(rows, 0.95)


def test_lost_points_are_those_of_the_curve():
    records = []
    for seed in range(5):
        curve = {0.0: 0.9, 0.1: 0.88 - seed / 100, 0.2: 0.5, 0.3: 0.2}
        records.append(summary("set", seed, curves={"removal": curve}))
    found = measured(records, reading("R03", "points lost with 10% of the links removed"))
    desired = t_interval([2, 3, 4, 5, 6])
    assert (found.value, found.high) == pytest.approx((desired.value, desired.high))


def test_lost_points_of_a_fraction_that_was_not_measured_are_open():
    curves = {"removal": {0.0: 0.9, 0.5: 0.5, 1.0: 0.1}}
    records = [summary("set", seed, curves=curves) for seed in range(5)]
    found = measured(records, reading("R03", "points lost with 10% of the links removed"))
    assert direction(found, "<=", "5") == "open"


def test_half_radius_beyond_what_was_tried_leaves_the_reading_open():
    records = [summary(m, seed, curves={"pgd linf": {0.1: 0.8, 0.2: 0.7}})
               for m in ("set", "dense") for seed in range(5)]  # fmt: skip
    assert direction(measured(records, reading("R04"), "dense"), ">=", "0.9") == "open"
    assert np.isnan(claims.robustness(records, "R04").value)


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
        arrays[series] = np.full(N, round((area + more) * AREA_UNITS), dtype=np.uint16)
    for attack, kept in KEPT.items():
        arrays[attack] = np.arange(N) < kept + 25 * more
    curves = {"removal": {0.0: 1.0, 0.1: 0.98, 0.2: 0.93, 0.3: 0.81}}
    for norm, half in HALVED.items():
        curves[f"pgd {norm}"] = {2 * half * (1 + more): 0.0}
    return summary(method, seed, arrays=arrays, curves=curves)


RECORDS = [made(method, seed) for method in MORE for seed in range(5)]
CASES = [(one, rival) for one in claims.READINGS for rival in one.rivals or ("",)]


def expected(one, rival):
    if not rival:
        return {"10%": 2, "20%": 7, "30%": 19}[one.name.split("with ")[1][:3]]
    more = MORE[rival]
    if one.is_ratio:
        return 1 / (1 + more)
    if one.name.startswith("points under"):
        return -100 * 25 * more / N
    if one.name == "area, equal number of links left":
        return (0.50 - 0.70 - more) / 0.9
    return -more / 0.9


def test_value_of_every_reading_in_closed_form():
    for one, rival in CASES:
        found = measured(RECORDS, one, rival)
        assert found.value == pytest.approx(expected(one, rival)) and found.n == 5, (one, rival)


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
    measure = reading(claim, name).measure
    ours = made("set", 0)
    before = measure(ours).mean()
    for other in [*AREAS, *KEPT]:
        if other != series:
            ours.arrays[other] = ours.arrays[other] * 0
    assert measure(ours).mean() == before
    ours.arrays[series] = ours.arrays[series] * 0
    assert measure(ours).mean() < before


# verdicts


@pytest.mark.parametrize("claim", claims.PRIMARY)
def test_verdict_judges_a_reading_with_the_threshold_of_the_table(claim):
    one, row = reading(claim), published().set_index("id").loc[claim]
    assert claims.PRIMARY[claim][1] in one.rivals
    assert (one.comparison, one.threshold) == (row["comparison"], float(row["threshold"]))


def test_claim_without_one_data_set_has_no_lower_bound(rng):
    records = five(rng, "set", shuffle=0.7) + five(rng, "fixed", shuffle=0.5)
    found = CLAIMS["R05"].measure(records)
    assert found.low == -np.inf and found.n == 5 and found.value > 0.1 and found.at == "MNIST"
    records += five(rng, "set", "fashion_mnist", shuffle=0.4)
    records += five(rng, "fixed", "fashion_mnist", shuffle=0.5)
    worse = CLAIMS["R05"].measure(records)
    assert worse.high < 0 and worse.value == pytest.approx(-0.125, abs=0.05)
    assert worse.at == "Fashion-MNIST"


def test_bounds_that_are_not_known_decide_nothing():
    bounds = [(np.nan, np.nan), (np.nan, 2.0), (-2.0, np.nan)]
    for (low, high), comparison in product(bounds, ["<", "<=", ">", ">=", "=="]):
        for threshold in ("-3", "0", "3"):
            found = direction(Measurement(0.0, low, high, 5), comparison, threshold)
            assert found == "open", (low, high, comparison, threshold)
