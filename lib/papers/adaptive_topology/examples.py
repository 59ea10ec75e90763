"""Images that fool a network with the least change found: what `attack_minimal` keeps of them."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from lib.report import labels
from lib.runs.record import Record


def fooled(records: Iterable[Record], methods: Sequence[str]) -> pd.DataFrame:
    """The most :func:`typical` image of each data set, and its nearest adversarial point for each
    network.

    Args:
        records: of `attack_minimal`.
        methods: of the networks, in their order; without a record, left out.
    Returns: columns dataset, name (of the network; "as it is" for the image itself), seen (class),
        distance (L2), pixels ((n,) float, row by row); a row a picture.
    """
    rows = []
    for dataset, of_dataset in _by_dataset(records).items():
        shown = [of_dataset[method] for method in methods if method in of_dataset]
        if not shown:
            continue
        arrays, image = shown[0].arrays, typical(shown)
        before = arrays["example.pixels"][image]
        rows.append((dataset, "as it is", int(arrays["example.classes"][image]), 0.0, before))
        for record in shown:
            after = record.arrays["example.changed"][image]
            seen = int(record.arrays["example.seen"][image])
            distance = float(np.linalg.norm(after - before))
            name = labels.method_name(record.config.method)
            rows.append((dataset, name, seen, distance, after))
    return pd.DataFrame(rows, columns=["dataset", "name", "seen", "distance", "pixels"])


def typical(records: Sequence[Record]) -> int:
    """Which of the images kept is fooled at distances nearest to the medians of all of them, by the
    mean over networks of the logarithms.

    Args:
        records: of `attack_minimal`, one or more that keep the same images.
    """
    apart = []
    for record in records:
        moved = record.arrays["example.changed"] - record.arrays["example.pixels"]
        distances = np.linalg.norm(moved, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):  # a distance of 0 was wrong before
            apart.append(np.abs(np.log(distances / np.median(distances))))
    return int(np.nan_to_num(np.mean(apart, axis=0), nan=np.inf).argmin())


def _by_dataset(records: Iterable[Record]) -> dict[str, dict[str, Record]]:
    """Records that hold examples, by data set and method."""
    found: dict[str, dict[str, Record]] = {}
    for record in records:
        if "example.pixels" in record.arrays:
            found.setdefault(record.config.dataset, {})[record.config.method] = record
    return found
