"""What the claims of several papers take from records."""

import pandas as pd

from lib.runs.record import Record
from papers.shared.claims import chosen
from papers.shared.sparse_training import SparseTraining


def record(experiment="tuning", accuracies=(0.1,), **fields):
    fields = {"method": "dense", "variant": "epochs", **fields}
    metrics = pd.DataFrame({"valid_accuracy": accuracies})
    return Record(SparseTraining(experiment, **fields), metrics, {}, {})


def test_chosen_records_have_all_the_labels_in_their_order():
    records = [record(seed=seed, dataset=d) for d in ("mnist", "digits") for seed in range(2)]
    assert chosen(records, dataset="digits") == records[2:]
    assert chosen(records, dataset="mnist", seed=1) == records[1:2]
    assert chosen(records) == records and chosen(records, dataset="cifar10") == []
