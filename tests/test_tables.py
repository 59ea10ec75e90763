"""Tables of the robustness study: mean and sd, flags, slopes."""

import pandas as pd
import pytest

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
