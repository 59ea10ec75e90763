"""Images that fool a network with the least change found: what `attack_minimal` keeps of them."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from lib.report import labels
from lib.runs.record import Record


def fooled(records: Iterable[Record], image: int, methods: Sequence[str]) -> pd.DataFrame:
    """One image, and its nearest adversarial point for each network.

    Args:
        records: of `attack_minimal`.
        image: which of those kept.
        methods: of the networks, in their order; without a record, left out.
    Returns: columns dataset, name (of the network; "as it is" for the image itself), seen (class),
        distance (L2), pixels ((n,) float, row by row); a row a picture.
    """
    rows = []
    for dataset, of_dataset in _by_dataset(records).items():
        shown = [of_dataset[method] for method in methods if method in of_dataset]
        if not shown:
            continue
        arrays = shown[0].arrays
        before = arrays["example.pixels"][image]
        rows.append((dataset, "as it is", int(arrays["example.classes"][image]), 0.0, before))
        for record in shown:
            after = record.arrays["example.changed"][image]
            seen = int(record.arrays["example.seen"][image])
            distance = float(np.linalg.norm(after - before))
            name = labels.method_name(record.config.method)
            rows.append((dataset, name, seen, distance, after))
    return pd.DataFrame(rows, columns=["dataset", "name", "seen", "distance", "pixels"])


def _by_dataset(records: Iterable[Record]) -> dict[str, dict[str, Record]]:
    """Records that hold examples, by data set and method."""
    found: dict[str, dict[str, Record]] = {}
    for record in records:
        if "example.pixels" in record.arrays:
            found.setdefault(record.config.dataset, {})[record.config.method] = record
    return found
