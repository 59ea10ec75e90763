"""Accuracy on the clock: runs that rise and fall, seconds that are known."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from lib.papers.set import clock
from lib.papers.shared import trained
from lib.papers.shared.sparse_training import SparseTraining
from lib.report import publishing
from lib.runs.record import Record


@pytest.fixture(autouse=True)
def style():
    publishing.use_style()
    yield
    plt.close("all")


def timed(accuracies, *, variant="tuned", method="set", seed=0, seconds=2.0) -> Record:
    """A record whose epochs take the same time."""
    n = len(accuracies)
    metrics = pd.DataFrame({"epoch": range(1, n + 1), "test_accuracy": accuracies})
    metrics = metrics.assign(valid_accuracy=float("nan"), links=100)
    facts = {
        "architecture": "784-10-10",
        "clock": [seconds * epoch for epoch in range(1, n + 1)],
        "seconds": seconds * n,
        "threads": 1,
        "cpu": "a cpu",
        "final": {"test_accuracy": accuracies[-1], "links": 70},
    }
    run = SparseTraining(
        "time_to_accuracy",
        dataset="mnist",
        method=method,
        variant=variant,
        seed=seed,
        epochs=n,
    )
    return Record(run, metrics, {}, facts, numbers=trained.numbers)


@pytest.fixture
def runs():
    """One that falls back below .9 once, one that stays above it sooner, one that never does."""
    return [
        timed([0.8, 0.95, 0.85, 0.96]),
        timed([0.8, 0.91, 0.93, 0.94], seed=1),
        timed([0.5, 0.6], variant="longer", method="dense", seconds=10.0),
    ]


def test_accuracies_have_a_row_an_epoch(runs):
    table = clock.accuracies(runs)
    assert [*table] == clock.COLUMNS
    assert len(table) == 4 + 4 + 2
    assert table["seconds"].tolist()[-2:] == [10, 20]


def test_end_is_the_mean_over_seeds(runs):
    table = clock.time_to_accuracy(clock.accuracies(runs), above=0.9)
    row = table.loc["mnist", "tuned"]
    assert row["accuracy"] == pytest.approx(0.95)
    assert row["seconds"] == 8
    assert row["n"] == 2


def test_run_that_falls_back_stays_above_from_its_last_crossing(runs):
    table = clock.time_to_accuracy(clock.accuracies(runs), above=0.9)
    row = table.loc["mnist", "tuned"]
    assert row["seconds to stay above 90 %"] == (8 + 4) / 2
    assert row["slowest"] == 8
    assert row["seeds"] == 2


def test_run_that_never_gets_there_has_no_time(runs):
    table = clock.time_to_accuracy(clock.accuracies(runs), above=0.9)
    assert table.loc[("mnist", "longer"), ["slowest", "seeds"]].isna().all()


def test_machines_are_named_once(runs):
    assert clock.machines(runs) == "1 threads, a cpu"
    assert clock.machines([]) == ""


def test_picture_has_the_mean_of_the_seeds_and_its_end_for_each_variant(runs):
    table = clock.accuracies(runs)
    (ax,) = clock.accuracy_against_time(table, "title").axes
    lines = [line for line in ax.lines if len(line.get_xdata()) > 1]
    ends = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    assert len(lines) == 2 and sorted(ends) == [8, 20]
    of_set = table[table["variant"] == "tuned"].groupby("epoch")["test_accuracy"].mean()
    assert lines[0].get_ydata().tolist() == pytest.approx(of_set.tolist())


def test_legend_names_each_variant_once(runs):
    fig = clock.accuracy_against_time(clock.accuracies(runs), "title")
    names = [text.get_text() for text in fig.legends[0].get_texts()]
    assert sorted(names) == ["SET (4 epochs, n = 2)", "dense, more epochs (2 epochs, n = 1)"]


def test_picture_of_no_runs_says_so():
    fig = clock.accuracy_against_time(clock.accuracies([]), "title")
    assert [text.get_text() for text in fig.axes[0].texts] == ["not run"]
