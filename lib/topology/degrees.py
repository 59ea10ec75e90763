"""Degrees of neurons: the table of them, the sequences of its groups, and their distributions.

A table of degrees has one row for each layer, side and epoch:

- ``layer``: name of the layer; layers come in the order of the model,
- ``side``: "in", the links of each output neuron, or "out", those of each input neuron,
- ``epoch``: after which epoch, an int, or "final",
- ``links``: (width,) integer array, for the neurons of that side.

The dense output layer has no rows: it gives every neuron below it the same number of links. From
the rows of one epoch come the *groups* of neurons: "inputs", and for every hidden layer, counted
from 1, "hidden 1" with all links, "hidden 1 in" and "hidden 1 out" with those of one side.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd

COLUMNS = ["layer", "side", "epoch", "links"]
NAME = re.compile(r"(.+)\.(in|out)_degree\.(\d+|final)")
T = TypeVar("T")

# ------------------------------------------------------------------------------------ the table


def from_names(arrays: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The table of degrees that are stored as arrays with names.

    Args:
        arrays: (width,) each, named layer.in_degree.epoch and layer.out_degree.epoch, as
            "linear1.in_degree.0" or "linear1.out_degree.final"; other names are left out.
    Returns: columns layer, side, epoch, links; rows in the order of the arrays.
    """
    rows = []
    for name, links in arrays.items():
        match = NAME.fullmatch(name)
        if match is None:
            continue
        layer, side, epoch = match.groups()
        if epoch != "final":
            epoch = int(epoch)
        rows.append((layer, side, epoch, links))
    return pd.DataFrame(rows, columns=COLUMNS)


def recorded_epochs(degrees: pd.DataFrame) -> list[int | str]:
    """The epochs of a table of degrees, in order, "final" last where it has one.

    Args:
        degrees: columns layer, side, epoch, links.
    """
    epochs = degrees["epoch"].unique().tolist()
    return sorted(epochs, key=lambda epoch: math.inf if epoch == "final" else epoch)


def degrees_at(
    degrees: pd.DataFrame,
    layer: str,
    side: str,
    epoch: int | str,
) -> np.ndarray:
    """The links of the neurons on one side of a layer after one epoch.

    Args:
        degrees: columns layer, side, epoch, links.
        layer: its name.
        side: "in" for the output neurons of the layer, "out" for its input neurons.
        epoch: which epoch, or "final".
    Returns: (width,) integers, as the table holds them.
    Raises: ValueError if there is no such row, with the recorded epochs.
    """
    wanted = layer, side, epoch
    for *recorded, links in degrees[COLUMNS].itertuples(index=False):
        if tuple(recorded) == wanted:
            return links
    layers = degrees["layer"].unique().tolist()
    raise ValueError(
        f"no degrees of layer {layer!r}, side {side!r}, after epoch {epoch!r}: recorded are layers"
        f" {layers}, epochs {recorded_epochs(degrees)}"
    )


# ----------------------------------------------------------------------------------- the groups


def degree_sequences(degrees: pd.DataFrame, epoch: int | str) -> dict[str, np.ndarray]:
    """Links of every neuron, by group: the inputs, and hidden layer by hidden layer all links, the
    links in and the links out.

    Source: the neuron degrees of [Mocanu2018], Methods, which are those of hidden neurons.
    Departs: the dense output layer gives every neuron of the last hidden layer the same number of
    links; they are not counted.

    Args:
        degrees: columns layer, side, epoch, links.
        epoch: which epoch, or "final".
    Returns: "inputs", "hidden 1", "hidden 1 in", "hidden 1 out", "hidden 2", … (of the last layer
        only all its links), each (width,) int64; empty if the epoch was not recorded.
    Raises: ValueError if a layer lacks one of its sides.
    """
    layers = degrees["layer"][degrees["epoch"] == epoch].unique()
    if len(layers) == 0:
        return {}
    sequences = {"inputs": degrees_at(degrees, layers[0], "out", epoch).astype(int)}
    for number, (layer, above) in enumerate(itertools.pairwise(layers), start=1):
        group = f"hidden {number}"
        into = degrees_at(degrees, layer, "in", epoch).astype(int)
        out = degrees_at(degrees, above, "out", epoch).astype(int)
        sequences[group] = into + out
        sequences[f"{group} in"] = into
        sequences[f"{group} out"] = out
    last = degrees_at(degrees, layers[-1], "in", epoch)
    sequences[f"hidden {len(layers)}"] = last.astype(int)
    return sequences


def hidden_groups(groups: Mapping[str, T]) -> dict[str, T]:
    """The groups of hidden layers with all their links, without those of one side.

    Args:
        groups: a value for each group, as :func:`degree_sequences` or :func:`largest_degrees`.
    Returns: those of "hidden 1", "hidden 2", …
    """
    hidden = {}
    for number in itertools.count(1):
        group = f"hidden {number}"
        if group not in groups:
            return hidden
        hidden[group] = groups[group]


def largest_degrees(widths: Sequence[int]) -> dict[str, int]:
    """The number of links that a neuron of each group of :func:`degree_sequences` could have.

    Args:
        widths: input, hidden and output widths; the output layer does not count.
    Returns: for every group the width of the layers next to it.
    """
    largest = {"inputs": widths[1]}
    counted = [*widths[:-1], 0]
    for number in range(1, len(widths) - 1):
        group = f"hidden {number}"
        below = counted[number - 1]
        above = counted[number + 1]
        largest[group] = below + above
        largest[f"{group} in"] = below
        largest[f"{group} out"] = above
    return largest


# ---------------------------------------------------------------------------- the distributions


def ccdf(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Complementary cumulative distribution: the share of neurons with at least k links.

    Source: [Clauset2009] Section 2.

    Args:
        degrees: (n,).
    Returns: every k that occurs, ascending, and the share for each.
    """
    k, count = np.unique(degrees, return_counts=True)
    at_least = count[::-1].cumsum()[::-1]
    return k, at_least / len(degrees)
