"""What the claims of several papers take from records."""

import pandas as pd
import pytest

from lib.papers.shared.claims import chosen, longer_training
from lib.papers.shared.sparse_training import SparseTraining
from lib.runs.record import Record


def record(experiment="tuning", accuracies=(0.1,), **fields):
    fields = {"method": "dense", "variant": "epochs", **fields}
    metrics = pd.DataFrame({"valid_accuracy": accuracies})
    return Record(SparseTraining(experiment, **fields), metrics, {}, {})


def test_chosen_records_have_all_the_labels_in_their_order():
    records = [record(seed=seed, dataset=d) for d in ("mnist", "digits") for seed in range(2)]
    assert chosen(records, dataset="digits") == records[2:]
    assert chosen(records, dataset="mnist", seed=1) == records[1:2]
    assert chosen(records) == records and chosen(records, dataset="cifar10") == []


@pytest.mark.parametrize(
    ("last", "points"),
    [((0.98, 0.99), 1.0), ((0.99, 0.98), 0.0), ((0.5, 0.98, 0.985), 0.5)],
)
def test_longer_training_gains_what_the_last_doubling_gained(last, points):
    records = [record(accuracies=(0.1, v), epochs=10 * 2**i) for i, v in enumerate(last)]
    assert longer_training(records[::-1], "mnist") == pytest.approx(points)


@pytest.mark.parametrize(
    "other", [{}, {"dataset": "digits"}, {"variant": "grid"}, {"experiment": "set_mlp"}]
)
def test_longer_training_that_was_not_tried_has_no_gain(other):
    records = [record(epochs=10), *[record(epochs=20, **other)] * bool(other)]
    assert longer_training(records, "mnist") is None
