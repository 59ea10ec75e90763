"""Images that fool networks, from the records of a study."""

import numpy as np
import pandas as pd
import pytest

from lib.papers.adaptive_topology import examples
from lib.papers.shared.sparse_training import SparseTraining
from lib.papers.shared.study import study_of
from lib.report import labels
from lib.runs.record import Record


def record(method, moved, dataset="mnist", **arrays):
    run = study_of("attack_minimal", SparseTraining("adaptive_topology", dataset, method))
    pixels = np.zeros((2, 4), dtype=np.float32)
    moved = np.reshape(moved, (-1, 1))
    held = {
        "example.pixels": pixels,
        "example.changed": pixels + np.float32(moved),
        "example.classes": np.array([3, 5], dtype=np.uint8),
        "example.seen": np.array([8, 6], dtype=np.uint8),
    }
    return Record(run, pd.DataFrame(), {**held, **arrays}, {})


def test_image_is_followed_by_what_fools_each_network():
    records = [record("dense", [9, 0.5]), record("set", [0, 0.1]), record("rigl", 0.2)]
    table = examples.fooled(records, ["set", "dense", "fixed"])
    assert table["name"].tolist() == [
        "as it is",
        labels.method_name("set"),
        labels.method_name("dense"),
    ]
    assert table["seen"].tolist() == [5, 6, 6]
    assert table["distance"].tolist() == pytest.approx([0, 0.2, 1])


def test_records_without_examples_are_left_out():
    old = record("set", 0.1)
    old.arrays.pop("example.pixels")
    assert examples.fooled([old], ["set"]).empty


def test_typical_image_is_fooled_at_the_median_distances():
    pixels = np.zeros((3, 4), dtype=np.float32)
    records = []
    for distances in ([0.4, 0.1, 0.2], [0.3, 0.9, 0.5]):
        changed = pixels + np.float32(distances)[:, None]
        records.append(record("set", 0, **{"example.pixels": pixels, "example.changed": changed}))
    assert examples.typical(records) == 2
    assert examples.typical(records[1:]) == 2 and examples.typical(records[:1]) == 2
