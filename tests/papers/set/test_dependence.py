"""The claims on what SET depends on, from records whose answers are known."""

import pandas as pd
import pytest

from lib.runs.record import Record
from papers.set import claims, experiments
from papers.shared import trained
from papers.shared.sparse_training import SparseTraining
from tests.papers.judging import judged

SEEDS = range(5)
WOBBLE = (0.0, 0.001, -0.001, 0.002, -0.002)  # of the seeds, the same for all


def made(percent, method="set", variant="", epochs=3, **fields):
    """Five records that end at an accuracy, with the same wobble by seed."""
    records = []
    for seed in SEEDS:
        run = SparseTraining(
            "set_ablation",
            method=method,
            variant=variant,
            seed=seed,
            epochs=epochs,
            schedule="constant",
            **fields,
        )
        last = percent / 100 + WOBBLE[seed]
        table = {"epoch": range(1, epochs + 1), "links": 50}
        table["test_accuracy"] = [0.1, *[last] * (epochs - 1)]
        facts = {"final": {"test_accuracy": last - 0.01, "links": 35}, "architecture": "784-9-10"}
        records.append(Record(run, pd.DataFrame(table), {}, facts, numbers=trained.numbers))
    return records


def settings(percents, method="set", **fields):
    records = []
    for name, percent in zip(experiments.SETTINGS, percents, strict=True):
        records += made(percent, method, name, dataset="fashion_mnist", **fields)
    return records


BEST, WORSE = 88.0, 85.0
AS_CLAIMED = [BEST if name in claims.CLAIMED_BEST else WORSE for name in experiments.SETTINGS]


def test_rank_is_open_while_the_lead_of_another_setting_narrows():
    behind = [173 - percent for percent in AS_CLAIMED]
    records = settings(behind, epochs=4)
    for record in records:
        if record.config.variant in claims.CLAIMED_BEST:
            record.metrics.loc[2, "test_accuracy"] -= 0.01  # after three of four epochs
    found = claims.rank_of_claimed(records)
    assert found.value == 11 and judged("S33", found) == "open"
    for record in records:
        if record.config.variant in claims.CLAIMED_BEST:
            record.metrics.loc[2, "test_accuracy"] += 0.009  # a thirtieth more is no narrowing
    assert judged("S33", claims.rank_of_claimed(records)) == "fails"


def test_settings_won_are_read_at_other_epochs_too():
    ours = settings([86.0] * 12, epochs=20)
    theirs = settings([85.0] * 12, "fixed", epochs=20)
    for record in ours:
        record.metrics.loc[9, "test_accuracy"] += 0.02  # the best epoch is the tenth
    for record in theirs:
        record.metrics.loc[3, "test_accuracy"] += 0.015  # the fourth, a fifth of all
        record.metrics.loc[19, "test_accuracy"] += 0.015  # the last alone, of two in the last tenth
    rows = claims.settings_won_readings([*ours, *theirs]).set_index("reading")
    assert rows["value"].to_dict() == {
        "last epoch": 0,
        "after the last removal": 12,
        "mean of the last tenth of the epochs": 12,
        "best epoch on test images": 12,
        "a fifth of the epochs": 0,
    }
    assert (rows["verdict"] == "holds").tolist() == (rows["value"] == 12).tolist()
    assert claims.settings_won([*ours, *theirs]).value == rows["value"]["last epoch"]
    assert claims.settings_won_readings([]).empty
    assert claims.settings_won_readings(ours).empty


def test_worst_gap_to_dense_is_that_of_settings_trained_as_long():
    ours = settings([86.0] * 12, epochs=4)
    short = settings([95.0] * 12, "dense", epochs=3)[:50]
    theirs = [*short, *settings([87.0] * 12, "dense", epochs=4)[50:]]
    assert claims.worst_gap([*ours, *theirs]).value == pytest.approx(-1)
    assert claims.worst_gap([*ours, *short]) is None


def test_worst_gap_to_dense_is_open_while_it_narrows():
    ours = settings([86.0] * 12, epochs=4)
    theirs = settings([87.0] * 12, "dense", epochs=4)
    for record in theirs:
        record.metrics.loc[2, "test_accuracy"] += 0.001  # a gap of 1.1 after three epochs of four
    assert judged("S34", claims.worst_gap([*ours, *theirs])) == "fails"
    for record in theirs:
        record.metrics.loc[2, "test_accuracy"] += 0.001  # 1.2
    assert judged("S34", claims.worst_gap([*ours, *theirs])) == "open"


def cells(percent_of):
    records = []
    for er_epsilon in experiments.ER_EPSILONS:
        for fraction in experiments.DROP_FRACTIONS:
            percent = percent_of(er_epsilon, fraction)
            fields = {"er_epsilon": er_epsilon, "drop_fraction": fraction}
            records += made(percent, variant=f"{er_epsilon} {fraction}", **fields)
    return records


def test_range_over_links_and_drop_fractions_needs_all_of_them():
    assert claims.range_of_accuracy(cells(lambda er_epsilon, fraction: 98)[:-5]) is None


def test_cost_of_random_removal_is_open_while_it_narrows():
    ours = made(60.0, dataset="cifar10", epochs=4)
    random = made(50.0, "set_random_removal", dataset="cifar10", epochs=4)
    assert judged("S41", claims.cost_of_random_removal([*ours, *random])) == "holds"
    for record in random:
        record.metrics.loc[2, "test_accuracy"] -= 0.02  # a gap of 12 after three epochs of four
    found = claims.cost_of_random_removal([*ours, *random])
    assert found.value == pytest.approx(10) and judged("S41", found) == "open"
