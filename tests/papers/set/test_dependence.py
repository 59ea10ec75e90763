"""The claims on what SET depends on, from records whose answers are known."""

import math

import pandas as pd
import pytest

from lib.papers.set import ablation, dependence
from lib.papers.shared import trained
from lib.papers.shared.sparse_training import SparseTraining
from lib.report.intervals import t_interval
from lib.runs.record import Record
from tests.papers.judging import judged

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
    for name, percent in zip(ablation.SETTINGS, percents, strict=True):
        records += made(percent, method, name, dataset="fashion_mnist", **fields)
    return records


BEST, WORSE = 88.0, 85.0
AS_CLAIMED = [BEST if name in dependence.CLAIMED_BEST else WORSE for name in ablation.SETTINGS]


def test_l1_costs_the_gap_between_the_best_settings():
    found = dependence.cost_of_l1(settings(AS_CLAIMED))
    assert found.value == pytest.approx(WORSE - BEST) and found.n == 5
    assert judged("S32", found) == "holds"
    assert judged("S32", dependence.cost_of_l1(settings([WORSE] * 12))) == "fails"


def test_claimed_settings_rank_first_only_where_all_others_are_behind():
    found = dependence.rank_of_claimed(settings(AS_CLAIMED))
    assert (found.value, found.low, found.high) == (1, 1, 1)
    assert judged("S33", found) == "holds"
    turned = [173 - percent for percent in AS_CLAIMED]
    found = dependence.rank_of_claimed(settings(turned))
    assert (found.value, found.low, found.high) == (11, 11, 11)
    assert judged("S33", found) == "fails"


def test_rank_is_open_while_the_lead_of_another_setting_narrows():
    behind = [173 - percent for percent in AS_CLAIMED]
    records = settings(behind, epochs=4)
    for record in records:
        if record.config.variant in dependence.CLAIMED_BEST:
            record.metrics.loc[2, "test_accuracy"] -= 0.01  # after three of four epochs
    found = dependence.rank_of_claimed(records)
    assert (found.value, found.low, found.high) == (11, 1, 11)
    assert judged("S33", found) == "open"
    for record in records:
        if record.config.variant in dependence.CLAIMED_BEST:
            record.metrics.loc[2, "test_accuracy"] += 0.009  # a thirtieth more is no narrowing
    assert judged("S33", dependence.rank_of_claimed(records)) == "fails"


def test_rank_is_open_where_seeds_do_not_agree():
    noisy = settings(AS_CLAIMED)
    name = next(name for name in ablation.SETTINGS if name not in dependence.CLAIMED_BEST)
    for record in noisy:
        if record.config.variant == name:  # as good in the mean, from seed to seed anything
            record.metrics["test_accuracy"] = 0.88 + (record.config.seed - 2) * 0.02
    found = dependence.rank_of_claimed(noisy)
    assert (found.low, found.high) == (1, 2)


def test_settings_won_counts_those_ahead_and_bounds_those_open():
    ours = settings([86.0] * 12)
    theirs = settings([85.0] * 10 + [87.0] * 2, "fixed")
    found = dependence.settings_won([*ours, *theirs])
    assert (found.value, found.low, found.high, found.n) == (10, 10, 10, 5)
    assert judged("S35", found) == "fails"
    found = dependence.settings_won([*ours, *settings([85.0] * 12, "fixed")])
    assert judged("S35", found) == "holds"


def test_settings_won_are_those_ahead_at_a_level_that_holds_for_twelve():
    sure = t_interval(SPREAD, level=1 - 0.05 / 12)
    half, plain = sure.high - sure.value, t_interval(SPREAD)
    assert plain.high - plain.value < half
    for lead, won in ((1.1, 12), (0.9, 0)):
        percent = 86.0 - lead * half + sure.value
        theirs = settings([percent] * 12, "fixed", wobble=OTHER)
        assert dependence.settings_won([*settings([86.0] * 12), *theirs]).low == won


def test_worst_gap_to_dense_is_that_of_settings_trained_as_long():
    ours = settings([86.0] * 12, epochs=4)
    short = settings([95.0] * 12, "dense", epochs=3)[:50]
    theirs = [*short, *settings([87.0] * 12, "dense", epochs=4, wobble=OTHER)[50:]]
    found = dependence.worst_gap([*ours, *theirs])
    worst = t_interval(SPREAD, level=1 - 0.05 / 12)
    assert (found.value, found.low) == (pytest.approx(-1 + worst.value), -math.inf)
    assert found.high == pytest.approx(-1 + worst.high) and found.n == 5
    assert judged("S34", found) == "fails"
    level = [*ours, *settings([85.0] * 12, "dense", epochs=4)]
    assert judged("S34", dependence.worst_gap(level)) == "holds"
    assert judged("S34", dependence.worst_gap(level[:70])) == "open"
    assert dependence.worst_gap([*ours, *short]) is None


def test_worst_gap_to_dense_is_open_while_it_narrows():
    ours = settings([86.0] * 12, epochs=4)
    theirs = settings([87.0] * 12, "dense", epochs=4)
    for record in theirs:
        record.metrics.loc[2, "test_accuracy"] += 0.001  # a gap of 1.1 after three epochs of four
    assert judged("S34", dependence.worst_gap([*ours, *theirs])) == "fails"
    for record in theirs:
        record.metrics.loc[2, "test_accuracy"] += 0.001  # 1.2
    found = dependence.worst_gap([*ours, *theirs])
    assert (found.value, found.high) == (pytest.approx(-1), math.inf)
    assert judged("S34", found) == "open"


def test_gaps_are_told_after_every_length_of_a_rival():
    ours = settings([86.0] * 12, epochs=6)
    theirs = settings([87.0] * 12, "dense", epochs=2)
    name = ablation.LONG_DENSE[0]
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
    for named in ablation.NAMED:
        percents.append(85.0 + sum(parts.get(part, 0.0) for part in named))
    records = settings(percents)
    rows = dependence.effect_rows([*records, *made(70.0, "fixed", ablation.SETTINGS[0])])
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
        longer = record.config.variant in ablation.LONG_DENSE
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
    ours = settings([86.0 - name.endswith("L2") for name in ablation.SETTINGS])
    theirs = settings([85.0 - 3 * name.endswith("L2") for name in ablation.SETTINGS], "fixed")
    rows = dependence.effect_rows([*ours, *theirs]).set_index(["series", "name"])["value"]
    assert rows["SET − fixed support (epoch 3)", "L2 − none"] == pytest.approx(2)
    assert rows["SET − fixed support (epoch 3)", "L1 − none"] == pytest.approx(0)


def test_effects_are_compared_at_equal_epochs_alone_and_may_be_means_of_several():
    ours = settings([86.0 - name.endswith("L2") for name in ablation.SETTINGS], epochs=4)
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
    name = ablation.SETTINGS[0]
    rows = dependence.lead_rows([*ours, *theirs], [name])
    assert set(rows["variant"]) == {name} and set(rows["dataset"]) == {"fashion_mnist"}
    assert len(rows) == 5 * (3 + 2)
    leads = {of: found["value"].tolist() for of, found in rows.groupby(["method", "seed"])}
    assert leads["fixed", 2] == pytest.approx([0, 2, 2])  # all begin at the same accuracy
    assert leads["fixed", 3] == pytest.approx([0, 3, 2])
    assert leads["dense", 0] == pytest.approx([0, -1])
    later = dependence.lead_rows([*ours, *theirs], first=2)
    assert later["epoch"].min() == 2 and set(later["variant"]) == set(ablation.LONG_DENSE)


def cells(percent_of):
    records = []
    for er_epsilon in ablation.ER_EPSILONS:
        for fraction in ablation.DROP_FRACTIONS:
            percent = percent_of(er_epsilon, fraction)
            fields = {"er_epsilon": er_epsilon, "drop_fraction": fraction}
            records += made(percent, variant=f"{er_epsilon} {fraction}", **fields)
    return records


def test_range_over_links_and_drop_fractions_is_that_of_the_means():
    found = dependence.range_of_accuracy(cells(lambda er_epsilon, fraction: 98 + fraction))
    assert found.value == pytest.approx(0.4) and judged("S40", found) == "holds"
    found = dependence.range_of_accuracy(cells(lambda er_epsilon, fraction: 96 + 4 * fraction))
    assert found.value == pytest.approx(1.6) and judged("S40", found) == "fails"
    narrowing = cells(lambda er_epsilon, fraction: 96 + 4 * fraction)
    for record in narrowing:
        off = 0.001 * (record.config.drop_fraction - 0.3) * 100
        record.metrics.loc[1, "test_accuracy"] += off
    found = dependence.range_of_accuracy(narrowing)
    assert (found.value, found.low) == (pytest.approx(1.6), 0)
    assert judged("S40", found) == "open"
    few = made(98.0, er_epsilon=1.0, drop_fraction=0.3)  # is not of the claim
    assert dependence.range_of_accuracy(few) is None


def test_cost_of_random_removal_is_paired_on_cifar10_alone():
    other = (0.0, 0.0, 0.0, 0.0, 0.001)
    records = made(60.0, dataset="cifar10") + made(99.0)
    records += made(50.0, "set_random_removal", dataset="cifar10", wobble=other)
    found = dependence.cost_of_random_removal(records)
    desired = 100 * (sum(WOBBLE) - sum(other)) / 5 + 10
    assert found.value == pytest.approx(desired) and found.n == 5
    assert judged("S41", found) == "holds"


@pytest.mark.parametrize(("percent", "verdict"), [(12.0, "holds"), (15.0, "open"), (40.0, "fails")])
def test_dropping_the_largest_is_judged_by_the_accuracy_at_the_end(percent, verdict):
    records = made(percent, "set_largest_removal", dataset="cifar10")
    assert judged("S42", dependence.accuracy_without_largest(records)) == verdict


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
