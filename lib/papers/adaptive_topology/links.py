"""Which neurons still have links when training ends, for notebook 20."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from lib import topology
from lib.papers.shared import trained
from lib.runs.record import Record

NEURONS = ("pixels", "hidden 1", "hidden 2", "hidden 3")


def linked_neurons(records: Iterable[Record]) -> pd.DataFrame:
    """Share of the pixels that still have a link, and of the neurons of each hidden layer that
    still have an input, mean over seeds.

    Args:
        records: of training; those of dense networks, without degrees, are left out.
    Returns: columns pixels, hidden 1, hidden 2, hidden 3; index experiment, dataset, method.
    """
    rows: list[dict[str, Any]] = []
    for record in records:
        if trained.holds_degrees(record):
            run = record.config
            names = {"experiment": run.experiment, "dataset": run.dataset, "method": run.method}
            rows.append(names | _linked(trained.degrees(record)))
    keys = ["experiment", "dataset", "method"]
    shares = pd.DataFrame(rows, columns=[*keys, *NEURONS])
    return shares.groupby(keys, sort=False).mean()


def _linked(degrees: pd.DataFrame) -> dict[str, float]:
    layers = degrees["layer"].unique()
    sides = [(layers[0], "out")]
    sides += [(layer, "in") for layer in layers]
    shares = {}
    for name, (layer, side) in zip(NEURONS, sides, strict=False):
        links = topology.degrees_at(degrees, layer, side, "final")
        shares[name] = (links > 0).mean()
    return shares
