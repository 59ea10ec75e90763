"""How the links of trained networks are arranged: the pictures and tables of notebook 17."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import scipy.sparse
import torch

from lib import topology
from lib.papers.set import links
from lib.papers.set.links import Runs
from lib.papers.shared import trained
from lib.report import labels, tables
from lib.runs.record import Record
from lib.topology import structure

Matrix = scipy.sparse.csr_array
Order = Callable[[Matrix], tuple[np.ndarray, np.ndarray]]  # of the outputs, of the inputs
START = "fixed"  # the method whose networks all others start from
SUMMARY = {  # column: (column of the rows, how it is summed up)
    "value": ("value", "mean"),
    "null": ("null_mean", "mean"),
    "ratio": ("ratio", "mean"),
    "ratio sd": ("ratio", "std"),
    "n": ("seed", "size"),
    "z": ("z", "mean"),
    "z min": ("z", "min"),
    "z max": ("z", "max"),
    "n of z": ("z", "count"),
}
DIGITS = {"value": 3, "ratio": 3, "z": 1}
OVERLAP = "overlap "
LIKENESS = ["by name", "by name, same degrees", "matched", "matched, same degrees"]

# -------------------------------------------------------------------------------------- pictures


def degree_order(matrix: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """The outputs and the inputs of a layer (n_out, n_in), those with most links first."""
    links_in, links_out = matrix.sum(axis=1), matrix.sum(axis=0)
    return (-links_in).argsort(kind="stable"), (-links_out).argsort(kind="stable")


def ordered_layers(
    runs: Runs,
    dataset: str,
    methods: Sequence[str],
    seed: int,
    layer: int,
    order: Order,
) -> dict[str, Matrix]:
    """The links at the end of one layer of a network of each method, its neurons in some order.

    Args:
        runs: the networks.
        dataset, methods, seed: which of them.
        layer: counted from 1.
        order: gives that of outputs and inputs, as :func:`degree_order`.
    Returns: by method, for :func:`lib.report.network_figures.adjacency_pictures`.
    """
    layers = {}
    for method in methods:
        supports = trained.supports_at(runs[dataset, method, seed], "final")
        matrix = topology.to_matrices(supports)[layer - 1]
        down, right = order(matrix)
        name = "random start" if method == START else labels.method_name(method)
        layers[name] = matrix[down][:, right]
    return layers


# ---------------------------------------------------------------------------------- beside nulls


def beside_nulls(table: pd.DataFrame) -> pd.DataFrame:
    """The measures that have nulls, in words, and their ratio to the mean of the nulls.

    Args:
        table: :func:`lib.papers.set.links.table` of the studies `network_structure`.
    """
    measured = table.dropna(subset=["n_nulls"])
    return measured.assign(
        measure=measured["measure"].str.replace("_", " "),
        ratio=measured["value"] / measured["null_mean"],
    )


def summary(measured: pd.DataFrame) -> pd.DataFrame:
    """Every measure over seeds (:data:`SUMMARY`), by data set, method and epoch."""
    keys = ["dataset", "method", "epoch", "measure"]
    groups = measured.groupby(keys, sort=False)
    return groups.agg(**SUMMARY).reset_index()


def at_end(summary: pd.DataFrame) -> pd.DataFrame:
    """Value, ratio and z of every measure (row) at the end, a column a method."""
    ends = tables.named(links.at_end(summary))
    wide = ends.pivot(index=["measure", "dataset"], columns="method", values=list(DIGITS))
    return wide.round({column: DIGITS[column[0]] for column in wide})


def in_steps(
    measured: pd.DataFrame, measures: Sequence[str], methods: Sequence[str]
) -> pd.DataFrame:
    """Some measures at the start (step 0), in training (1) and at the end (2); the start of these
    methods is the fixed random network.
    """
    chosen = measured[measured["measure"].isin(measures)]
    is_start = chosen["method"] == START
    evolved = chosen[~is_start]
    at_end = evolved["epoch"].astype(str) == "final"
    parts = [evolved.assign(step=1 + at_end)]
    for method in methods:
        parts.append(chosen[is_start].assign(step=0, method=method))
    return pd.concat(parts)


def turnover(table: pd.DataFrame) -> pd.DataFrame:
    """Overlaps of the links of evolving networks after each recorded epoch.

    Args:
        table: :func:`lib.papers.set.links.table` of the studies `network_structure`.
    Returns: its rows, and what the overlap is with as column ``what``.
    """
    evolved = links.during_training(table[table["method"] != START])
    overlaps = evolved[evolved["measure"].str.startswith(OVERLAP)]
    return overlaps.assign(what=overlaps["measure"].str.removeprefix(OVERLAP))


# -------------------------------------------------------------------------------------- likeness


def likeness(runs: Runs, seed: int, *, generator: torch.Generator) -> pd.DataFrame:
    """Overlap of the links at the end of one network and each that differs in its seed alone: as
    they are and after matching the hidden neurons; and the same with the links of the other
    switched at random.

    Args:
        runs: the networks.
        seed: of the one.
        generator: of the switches.
    Returns: columns dataset, method, layer and :data:`LIKENESS`; a row a layer of a pair.
    """
    rows = []
    for (dataset, method, other), record in runs.items():
        if other == seed:
            continue
        names = labels.dataset(dataset), labels.method_name(method)
        of_layers = _likeness(runs[dataset, method, seed], record, generator)
        for layer, overlaps in enumerate(of_layers, start=1):
            rows.append((*names, layer, *overlaps))
    return pd.DataFrame(rows, columns=["dataset", "method", "layer", *LIKENESS])


def _likeness(first: Record, second: Record, generator: torch.Generator) -> list[tuple]:
    """The overlaps of :data:`LIKENESS`, layer by layer."""
    ours = trained.supports_at(first, "final")
    others = trained.supports_at(second, "final")
    switched = []
    for support in others:
        null, _ = topology.switch_links(support, generator=generator)
        switched.append(null)
    our_matrices = topology.to_matrices(ours)
    by_name, matched = [], []
    for supports in (others, switched):
        by_name.append(list(map(structure.overlap, ours, supports)))
        matrices = topology.to_matrices(supports)
        matched.append(structure.matched_overlap(our_matrices, matrices))
    return list(zip(*by_name, *matched, strict=True))
