"""Tables: mean and sd, flags, slopes, accuracies at epochs."""

import pandas as pd
import pytest
from scipy import stats

from lib import experiments, plotting, records, tables


@pytest.fixture
def perturbed():
    """Two draws of each of two seeds of SET, one of a fixed support, at one strength."""
    rows = [("set", 0, 0.9), ("set", 0, 0.7), ("set", 1, 0.4), ("set", 1, 0.6), ("fixed", 0, 0.1)]
    table = pd.DataFrame(rows, columns=["method", "seed", "accuracy"])
    return table.assign(dataset="mnist", kind="one", strength=0.5)


def test_mean_table_and_flags_name_the_network(perturbed):
    numbers = perturbed.rename(columns={"accuracy": "value"}).assign(network="made", measure="area")
    table = tables.mean_table(numbers.groupby("seed").head(1), digits=2)
    assert table["method"].tolist() == ["SET"] and table["area"].tolist() == ["0.65 ± 0.35"]
    checks = numbers.assign(check="zero gradients", passed=[True, False, True, True, False])
    assert tables.flags(table, checks) == ["zero gradients"]
    assert tables.flags(table, checks[checks["passed"]]) == ["none"]
    rows = pd.DataFrame({"dataset": "mnist", "network": "made", "contrast": [*plotting.CONTRASTS]})
    contrasts = ("set" in pair or "fixed" in pair for pair in plotting.CONTRASTS.values())
    assert tables.flagged(rows, checks) == list(contrasts)


def learned(accuracies):
    """A record with these test accuracies by epoch."""
    metrics = {"epoch": range(1, len(accuracies) + 1), "test_accuracy": accuracies}
    config = experiments.Config("made", method="set")
    return records.Record(config, pd.DataFrame(metrics), {}, {}, None)


@pytest.mark.parametrize(("epochs", "slope"), [(2, 1.0), (3, 1.0), (99, 1.0)])
def test_slope_is_in_points_an_epoch_of_the_last_fifth_at_most(epochs, slope):
    found = [learned([0.5] * 12 + [0.90, 0.91, 0.92])]
    assert tables.slopes(found, epochs)["slope"].tolist() == pytest.approx([slope])


@pytest.fixture
def learned_twice():
    return [learned([0.1, 0.5]), learned([0.2, 0.6])]


def test_accuracy_at_epochs_has_the_interval_of_scipy(learned_twice):
    table = tables.at_epochs(learned_twice, [2, 50])
    (row,) = table.to_dict("records")
    low, high = stats.t.interval(0.95, 1, loc=55, scale=stats.sem([50, 60]))
    assert (row["epoch"], row["n"], row["mean"]) == (2, 2, 55)
    assert (row["low"], row["high"]) == pytest.approx((low, high))
    assert tables.at_epochs([], [1]).empty


def test_single_seed_has_no_interval_at_an_epoch(learned_twice):
    (row,) = tables.at_epochs(learned_twice[:1], [1]).to_dict("records")
    assert row["low"] is None and row["high"] is None
