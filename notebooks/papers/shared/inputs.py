"""Where the links of the inputs of trained networks lie."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lib import topology
from lib.report import labels
from lib.runs.record import Record
from papers.shared import trained

Maps = dict[str, dict[str, np.ndarray]]  # {row: {column: (n_in,) numbers}}, of input_maps
MAP_EPOCHS: dict[int | str, str] = {epoch: f"epoch {epoch}" for epoch in (0, 2, 5, 10, 20, 50)}
MAP_EPOCHS["final"] = "end"


def input_links(record: Record, epoch: int | str) -> np.ndarray:
    """(n_in,) links of every input to the first hidden layer after an epoch, or "final".

    Raises: ValueError if the record does not hold them.
    """
    degrees = _degrees(record)
    first = degrees["layer"].iloc[0]
    return topology.degrees_at(degrees, first, "out", epoch)


def _degrees(record: Record) -> pd.DataFrame:
    """Links of every neuron. Raises ValueError if the record holds none."""
    degrees = trained.degrees(record)
    if degrees.empty:
        raise ValueError(
            f"record {record.config.name} holds no degrees: give one of an experiment that stores"
            " them, and of a network with sparse layers"
        )
    return degrees


def maps_at_end(records: Iterable[Record]) -> Maps:
    """The links of every input at the end: a row a data set, a column a method, for
    :func:`lib.report.network_figures.input_maps`.

    Raises: ValueError if two records have one data set and method.
    """
    maps: Maps = {}
    for record in records:
        run = record.config
        row = maps.setdefault(labels.dataset(run.dataset), {})
        method = labels.method_name(run.method)
        if method in row:
            raise ValueError(f"two records of {method} on {run.dataset}: give those of one seed")
        row[method] = input_links(record, "final")
    return maps


def maps_over_epochs(records: Iterable[Record]) -> Maps:
    """The links of every input at the recorded ones of :data:`MAP_EPOCHS`: a row a method, a column
    an epoch, for :func:`lib.report.animation.input_frames`.

    Raises: ValueError if two records have one method.
    """
    maps: Maps = {}
    for record in records:
        method = labels.method_name(record.config.method)
        if method in maps:
            raise ValueError(f"two records of {method}: give those of one data set and seed")
        recorded = topology.recorded_epochs(_degrees(record))
        maps[method] = {
            heading: input_links(record, epoch)
            for epoch, heading in MAP_EPOCHS.items()
            if epoch in recorded
        }
    return maps


def alive(record: Record, epoch: int | str) -> dict[str, np.ndarray]:
    """Which neurons can pass something on after an epoch, or "final": inputs with a link, hidden
    neurons with links to both sides; the dense output layer gives one to every neuron below it.

    Source: the active neurons of [Zhang2025]; theirs are those left after removal.

    Returns: {"inputs", "hidden 1", ...: (n,) bool}.
    Raises: ValueError if the record does not hold their links.
    """
    degrees = _degrees(record)
    layers = list(dict.fromkeys(degrees["layer"]))
    found = {"inputs": topology.degrees_at(degrees, layers[0], "out", epoch) > 0}
    for k, layer in enumerate(layers, start=1):
        working = topology.degrees_at(degrees, layer, "in", epoch) > 0
        if k < len(layers):
            working &= topology.degrees_at(degrees, layers[k], "out", epoch) > 0
        found[f"hidden {k}"] = working
    return found
