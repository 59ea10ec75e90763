"""Replays: the first epochs of stored records, made anew and compared to the last digit."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest
import torch

from lib import data
from lib.checkpoints import LAST_COMMITS, NUMERICS
from lib.runs import replay
from lib.runs.experiment import Contents
from lib.runs.record import Record
from tests.papers import made
from tests.papers.made import BASE, GRADIENT
from tests.runs import counting
from tests.runs.counting import Counting
from tests.stored import rewrite

SHORT = dataclasses.replace(BASE, epochs=3)
HEIR = dataclasses.replace(SHORT, method="child", drop=None, parent=SHORT, inherits="support")
RUN = Counting("counting")


def replay_two(store, record, **fields):
    """The row of a record whose environment has these fields besides its own."""
    environment = record.environment | fields
    (row,) = replay.replay(store, [dataclasses.replace(record, environment=environment)], 2)
    return row


def changed(record, column, epoch, change):
    """The record with another value in one place of its table."""
    metrics = record.metrics.copy()
    metrics.loc[epoch - 1, column] = change(metrics.loc[epoch - 1, column])
    return dataclasses.replace(record, table=metrics)


def in_last_digit(value):
    return np.nextafter(value, 9.0)


@pytest.fixture
def store(tmp_path):
    return made.store(tmp_path)


@pytest.fixture
def record(store):
    return store.run(SHORT)


# ------------------------------------------------------------------------------------- outcomes


@pytest.mark.parametrize("run", [SHORT, GRADIENT, HEIR], ids=["set", "rigl", "heir"])
def test_honest_record_has_the_same_bits(run, store):
    row = replay_two(store, store.run(run))
    assert (row["outcome"], row["epochs"], row["note"]) == ("same bits", 2, None)
    assert row["record"] == run.name


@pytest.mark.parametrize(
    ("column", "epoch", "change", "outcome"),
    [
        ("train_loss", 2, in_last_digit, "same to rounding"),
        ("train_loss", 1, lambda loss: 1.0009 * loss, "same to rounding"),
        ("train_loss", 1, lambda loss: 1.0011 * loss, "differs"),
        ("train_loss", 3, lambda loss: 2 * loss, "same bits"),  # was not replayed
        ("test_accuracy", 2, lambda accuracy: accuracy - 0.0019, "same to rounding"),
        ("test_accuracy", 2, lambda accuracy: accuracy - 0.1, "differs"),
        ("valid_accuracy", 1, lambda accuracy: 0.5, "differs"),  # was not evaluated
        ("learning_rate", 2, in_last_digit, "differs"),
        ("links", 1, lambda links: links + 1, "differs"),
        ("replaced", 1, lambda links: links - 1, "differs"),
    ],
)
def test_changed_value_is_found(column, epoch, change, outcome, record, store):
    altered = changed(record, column, epoch, change)
    row = replay_two(store, altered)
    assert row["outcome"] == outcome
    assert outcome == "same bits" or row["note"].startswith(f"{column} ")


@pytest.mark.parametrize("name", ["linear1.links.2", "linear2.in_degree.1"])
def test_changed_link_is_found(name, record, store):
    arrays = dict(record.arrays)
    arrays[name] = arrays[name] + 1
    row = replay_two(store, dataclasses.replace(record, arrays=arrays))
    assert (row["outcome"], row["note"]) == ("differs", f"{name} is another array")


def test_a_column_that_is_lost_differs_and_a_new_one_does_not_count():
    old = pd.DataFrame({"train_loss": [1.0, 2.0], "extra": [1, 1]})
    compare = functools.partial(replay.compare, Record(RUN, old, {}, {}))
    assert compare(Contents(old.assign(new=1), {}, {}))["outcome"] == "same bits"
    row = compare(Contents(old.drop(columns="extra"), {}, {}))
    assert row["outcome"] == "differs" and row["note"].startswith("extra ")


def test_what_is_missing_on_both_sides_is_the_same():
    old = pd.DataFrame({"epoch": [1, 2], "note": [None, "a"], "valid_accuracy": [np.nan, 0.5]})
    array = np.array([[1.0, np.nan], [np.nan, 2.0]])
    record = Record(RUN, old, {"rates": array}, {})
    assert replay.compare(record, Contents(old, {"rates": array}, {}))["outcome"] == "same bits"
    other = np.array([[1.0, np.nan], [np.nan, 3.0]])
    row = replay.compare(record, Contents(old, {"rates": other}, {}))
    assert (row["outcome"], row["note"]) == ("differs", "rates is another array")


# --------------------------------------------------------------------------- what it is made with


def test_row_says_where_a_record_was_made(record, store):
    versions = record.environment["versions"] | {"torch": "1.0"}
    facts = {"dirty": True, "commit": "abc", "cpu": "abacus", "versions": versions}
    row = replay_two(store, record, **facts)
    assert (row["dirty"], row["commit"], row["cpu"], row["torch"]) == (True, "abc", "abacus", "1.0")
    assert row["changed_here"] == "torch, cpu"
    assert replay_two(store, record)["changed_here"] == ""


@pytest.mark.parametrize(("named", "used"), [(2, 2), (1, 1), (None, 1)])
def test_threads_are_those_that_the_record_names(named, used, store):
    seen = []

    def replay_and_look(run, workspace, epochs):
        seen.append(torch.get_num_threads())
        return Contents(pd.DataFrame({"epoch": [1, 2]}), {}, {})

    store.experiments["made"] = dataclasses.replace(made.MADE, replay=replay_and_look)
    record = Record(SHORT, pd.DataFrame({"epoch": [1, 2, 3]}), {}, facts_of_digits())
    assert replay_two(store, record, threads=named)["outcome"] == "same bits"
    assert seen == [used] and torch.get_num_threads() == 1


def facts_of_digits():
    return {"data": {"sha256": data.load("digits").sha256}, "numerics": NUMERICS}


def test_progress_is_told_and_each_outcome_said(record, store, capsys):
    replay.replay(store, [record, record], 2)
    err = capsys.readouterr().err
    assert err.count("made set digits seed 0: same bits\n") == 2 and "4/4 epochs" in err


# ------------------------------------------------------------------------- what cannot be replayed

COMMIT = LAST_COMMITS[1]
GPU = "a GPU made it, and cpu would train it here"


@pytest.mark.parametrize(
    ("facts", "note"),
    [
        ({"device": "a GPU"}, GPU),
        ({"device": None, "cpu": "a CPU, trained on a GPU"}, GPU),  # as earlier records say it
        (
            {"numerics": 1, "commit": "abc"},
            f"it is of numerics 1, this code of 2: replay it at commit {COMMIT} (git worktree add"
            f" ../numerics-1 {COMMIT}), or at abc, which made it",
        ),
        ({"numerics": None, "commit": "abc"}, "it is of numerics 1, this code of 2: replay it"),
        ({"numerics": 3}, "it is of numerics 3, this code of 2: replay it with a version of"),
        ({"data": {"sha256": "of others"}}, "digits here is not what the record was made from"),
    ],
)
def test_record_of_something_else_is_not_trained_and_says_why(facts, note, record, store):
    store.experiments["made"] = dataclasses.replace(made.MADE, replay=None)
    known = {name: fact for name, fact in (record.environment | facts).items() if fact is not None}
    row = replay.replay_one(store, dataclasses.replace(record, environment=known), 2)
    assert (row["outcome"], row["epochs"]) == ("not replayed", 0) and row["note"].startswith(note)


def test_heir_is_replayed_whatever_the_numerics_of_its_parent(store):
    """It starts from the weights that are stored."""
    record = store.run(HEIR)
    path = store.stored(SHORT).path
    rewrite(path, SHORT.name, environment=lambda facts: facts | {"numerics": 1})
    assert store.stored(SHORT).numerics == 1 and record.numerics == 2
    assert replay_two(store, record)["outcome"] == "same bits"


def test_heir_of_a_parent_that_is_not_here_is_not_replayed(store, tmp_path):
    record = store.run(HEIR)
    row = replay_two(made.store(tmp_path / "elsewhere"), record)
    assert (row["outcome"], row["epochs"]) == ("not replayed", 0)
    assert row["note"] == f"its parent {SHORT.name} is not stored whole on this machine"
    assert not (tmp_path / "elsewhere").exists()


def test_record_of_a_rule_that_is_not_here_is_not_replayed(record, store):
    run = dataclasses.replace(record.config, drop="mine-1bcba33b0339")
    row = replay.replay_one(store, dataclasses.replace(record, config=run), 2)
    assert row["outcome"] == "not replayed"
    assert row["note"].startswith("unknown drop 'mine-1bcba33b0339'")


def test_missing_data_are_named(record, store, monkeypatch):
    def unavailable(name):
        raise data.DataUnavailable(f"{name} is nowhere")

    monkeypatch.setattr(data, "origin", unavailable)
    row = replay_two(store, record)
    assert (row["outcome"], row["note"]) == ("not replayed", "digits is nowhere")


def test_training_that_fails_now_differs(record, store):
    bad = dataclasses.replace(record, config=dataclasses.replace(SHORT, learning_rate=1e9))
    row = replay_two(store, bad)
    assert row["outcome"] == "differs" and row["note"].startswith("training fails: ")


# -------------------------------------------------------------------------------------- choosing


def runs_of_paper(profile):
    """Two seeds of a method, in the profile quick of two."""
    methods = ("set", "fixed")[: 1 + (profile == "quick")]
    return [Counting("counting", method=name, seed=seed) for name in methods for seed in (1, 0)]


@pytest.fixture
def counted(tmp_path):
    """A store of runs of the profiles paper and quick and of none, one of them dirty."""
    store = counting.store(tmp_path, counting.experiment(configs=runs_of_paper))
    runs = [*runs_of_paper("quick"), Counting("counting", steps=2)]
    facts = store.run(runs[0]).environment
    for run in runs:
        changed = facts | {"dirty": run == runs[0]}
        rewrite(store.run(run).path, run.name, environment=lambda _, changed=changed: changed)
    return store


@pytest.mark.parametrize(
    ("profile", "options", "chosen"),
    [
        ("paper", {}, [("set", 0)]),
        ("paper", {"every": True}, [("set", 1), ("set", 0)]),
        ("paper", {"dirty": True}, [("set", 1)]),
        ("quick", {}, [("set", 0), ("fixed", 0)]),
        ("custom", {}, [("set", 0)]),
        ("smoke", {"dirty": True, "every": True}, [("set", 1)]),
    ],
)
def test_lowest_seed_of_each_method_is_chosen_unless_all_are(profile, options, chosen, counted):
    records = replay.choose_records(counted, "counting", profile, **options)
    assert [(record.config.method, record.config.seed) for record in records] == chosen
