"""The claims on what SET depends on, from records whose answers are known."""

import pandas as pd
import pytest

from lib.papers.set import dependence, experiments
from lib.papers.shared import trained
from lib.papers.shared.sparse_training import SparseTraining
from lib.report.intervals import t_interval
from lib.runs.record import Record

SEEDS = range(5)
WOBBLE = (0.0, 0.001, -0.001, 0.002, -0.002)  # of the seeds, the same for all
OTHER = (0.0, 0.002, 0.0, 0.001, 0.0)  # where differences are to be spread
SPREAD = [100 * (one - two) for one, two in zip(WOBBLE, OTHER, strict=True)]  # points


def made(percent, method="set", variant="", wobble=WOBBLE, epochs=3, **fields):
    """Five records that end at an accuracy, with the same wobble by seed."""
    records = []
    for seed in SEEDS:
        run = SparseTraining(
            "made",
            method=method,
            variant=variant,
            seed=seed,
            epochs=epochs,
            schedule="constant",
            **fields,
        )
        last = percent / 100 + wobble[seed]
        table = {"test_accuracy": [0.1, *[last] * (epochs - 1)], "links": 50}
        facts = {"final": {"test_accuracy": last - 0.01, "links": 35}}
        records.append(Record(run, pd.DataFrame(table), {}, facts, numbers=trained.numbers))
    return records


def settings(percents, method="set", **fields):
    records = []
    for name, percent in zip(experiments.SETTINGS, percents, strict=True):
        records += made(percent, method, name, dataset="fashion_mnist", **fields)
    return records


def test_gaps_are_told_after_every_length_of_a_rival():
    ours = settings([86.0] * 12, epochs=6)
    theirs = settings([87.0] * 12, "dense", epochs=2)
    name = experiments.LONG_DENSE[0]
    theirs = [record for record in theirs if record.config.variant != name]
    theirs += made(84.0, "dense", name, epochs=6, dataset="fashion_mnist")
    rows = dependence.gap_rows([*ours, *theirs]).set_index(["rival", "series", "name"])["value"]
    assert len(rows["SET − dense", "epoch 2"]) == 12
    assert rows["SET − dense", "epoch 2", name] == pytest.approx(2)
    theirs = [*theirs, *settings([85.0] * 12, "fixed", wobble=OTHER)]
    row = dependence.gap_rows([*ours, *theirs]).iloc[0]
    sure = t_interval(SPREAD, level=1 - 0.05 / 12)
    assert [row["low"], row["high"]] == pytest.approx([1 + sure.low, 1 + sure.high])
    assert set(rows.index.get_level_values("rival")) == {"SET − dense"}
    assert rows["SET − dense", "epoch 6"].to_dict() == {name: pytest.approx(2)}


def test_effect_of_a_choice_is_taken_over_all_settings_that_share_it():
    percents = []
    parts = {"ReLU": 2.0, "Nesterov": 0.5, "L1": 0.25, "L2": -1.0}
    for named in [name.split(", ") for name in experiments.SETTINGS]:
        percents.append(85.0 + sum(parts.get(part, 0.0) for part in named))
    records = settings(percents)
    rows = dependence.effect_rows([*records, *made(70.0, "fixed", list(experiments.SETTINGS)[0])])
    assert set(rows["series"]) == {"SET (epoch 3)"} and set(rows["n"]) == {5}
    effects = rows.set_index("name")["value"]
    desired = {
        "ReLU − SReLU": 2.0,
        "Nesterov − momentum": 0.5,
        "L1 − none": 0.25,
        "L2 − none": -1.0,
    }
    assert effects.to_dict() == pytest.approx(desired)


def test_effects_have_simultaneous_intervals_and_end_where_all_runs_have_been():
    records = []
    for i, record in enumerate(settings([86.0] * 12)):
        record.metrics["test_accuracy"] += 0.001 * (i * i % 7)
        longer = record.config.variant in experiments.LONG_DENSE
        if longer:
            record.metrics.loc[3] = record.metrics.loc[2]
            record.metrics.loc[3, "test_accuracy"] = 0.0
        records.append(record)
    rows = dependence.effect_rows(records).set_index("name")
    assert set(rows["series"]) == {"SET (epoch 3)"}
    by_name = dependence.by_variant(records, "set", 3)
    with_l2, without = (
        [sum(by_name[name][seed] for name in by_name if name.endswith(end)) / 4 for seed in SEEDS]
        for end in ("L2", "none")
    )
    differences = [one - other for one, other in zip(with_l2, without, strict=True)]
    sure = t_interval(differences, level=1 - 0.05 / 4)
    found = rows.loc["L2 − none", ["value", "low", "high"]].tolist()
    assert found == pytest.approx([sure.value, sure.low, sure.high]) and sure.low < sure.high


def test_what_a_choice_changes_of_the_lead_is_the_difference_of_its_effects():
    ours = settings([86.0 - name.endswith("L2") for name in experiments.SETTINGS])
    theirs = settings([85.0 - 3 * name.endswith("L2") for name in experiments.SETTINGS], "fixed")
    rows = dependence.effect_rows([*ours, *theirs]).set_index(["series", "name"])["value"]
    assert rows["SET − fixed support (epoch 3)", "L2 − none"] == pytest.approx(2)
    assert rows["SET − fixed support (epoch 3)", "L1 − none"] == pytest.approx(0)


def test_effects_are_compared_at_equal_epochs_alone_and_may_be_means_of_several():
    ours = settings([86.0 - name.endswith("L2") for name in experiments.SETTINGS], epochs=4)
    for record in ours:
        if record.config.variant.endswith("L2"):
            record.metrics.loc[2, "test_accuracy"] -= 0.01
    short = settings([87.0] * 12, "dense", epochs=3)
    rows = dependence.effect_rows([*ours, *short], over=2).set_index("name")
    assert set(rows["series"]) == {"SET (epoch 4)"}
    assert rows.loc["L2 − none", "value"] == pytest.approx(-1.5)
    assert dependence.effect_rows(settings([87.0] * 12, "fixed")).empty  # nothing to compare with
    longest = dependence.effect_rows(ours, over=10).set_index("name")["value"]
    assert longest["L2 − none"] == pytest.approx(-(0 + 1 + 2 + 1) / 4)  # all four epochs


def test_lead_is_told_at_every_epoch_of_the_settings_asked_for():
    ours = settings([86.0] * 12, epochs=3)
    theirs = settings([84.0] * 12, "fixed", epochs=3) + settings([87.0] * 12, "dense", epochs=2)
    for record in theirs:
        if record.config.method == "fixed" and record.config.seed == 3:
            record.metrics.loc[1, "test_accuracy"] -= 0.01
    name = list(experiments.SETTINGS)[0]
    rows = dependence.lead_rows([*ours, *theirs], [name])
    assert set(rows["variant"]) == {name} and set(rows["dataset"]) == {"fashion_mnist"}
    assert len(rows) == 5 * (3 + 2)
    leads = {of: found["value"].tolist() for of, found in rows.groupby(["method", "seed"])}
    assert leads["fixed", 2] == pytest.approx([0, 2, 2])  # all begin at the same accuracy
    assert leads["fixed", 3] == pytest.approx([0, 3, 2])
    assert leads["dense", 0] == pytest.approx([0, -1])
    later = dependence.lead_rows([*ours, *theirs], first=2)
    assert later["epoch"].min() == 2 and set(later["variant"]) == set(experiments.LONG_DENSE)


def test_variants_are_compared_at_the_end_and_after_the_last_update():
    records = made(80.0, variant="as in the paper") + made(81.0, variant="other", wobble=OTHER)
    records += made(80.0, variant="kept", last_epoch="keep")
    for record in records:
        if record.config.variant == "other":
            record.environment["final"]["test_accuracy"] += 0.01
    rows = dependence.variant_rows(records).set_index(["name", "series"])
    others = rows.loc["other", "value"]
    mean = sum(OTHER) - sum(WOBBLE)
    assert others["last epoch"] == pytest.approx(1 + 100 * mean / 5)
    assert others["after the last update"] == pytest.approx(2 + 100 * mean / 5)
    assert list(rows.loc["kept"].index) == ["after the last update"]  # the same until then
    sure = t_interval([1 - gap for gap in SPREAD], level=1 - 0.05 / 3)  # three numbers in all
    found = rows.loc[("other", "last epoch"), ["low", "high"]].tolist()
    assert found == pytest.approx([sure.low, sure.high])


def test_tables_of_no_records_have_their_columns():
    assert dependence.gap_rows([]).empty and dependence.variant_rows([]).empty
    assert dependence.lead_rows([]).empty and dependence.effect_rows([]).empty
    assert dependence.sensitivity_rows([]).empty and dependence.table([]).empty


def test_axis_spans_what_is_drawn_within_its_bounds():
    low, high = dependence.around(pd.Series([90.0, 99.9]))
    assert low < 90 and high == 100
    low, high = dependence.around(pd.Series([-5.0, 1.0]), dependence.POINTS)
    assert -7 < low < -5 and 1 < high < 3
    assert dependence.around(pd.Series(dtype=float)) == (0, 100)


def test_runs_of_one_name_are_those_of_its_method():
    records = made(80.0, variant="a") + made(70.0, "fixed", "a")
    assert dependence.by_variant(records, "fixed")["a"][0] == pytest.approx(70)
    first = dependence.by_variant(records, "set", epoch=1)["a"]
    assert set(first.values()) == {10.0}
