"""Contents of the record of a trained network: its links, degrees and weights, and its numbers.

Names of arrays: ``layer.in_degree.epoch`` and ``layer.out_degree.epoch`` for degrees,
``layer.links.epoch`` for links, ``state.name`` for the final state dict, ``best.name`` for that of
the best validation epoch. They are made and taken apart here and in
:func:`lib.topology.degrees.from_names`, nowhere else.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib.runs.experiment import CLOCK
from lib.runs.record import Record
from lib.support import Support, support_from_csr, support_from_keys
from lib.topology.degrees import from_names

STATE = "state."
BEST = "best."
WEIGHTS = (".values", ".weight")  # of sparse and of dense layers


def named_degrees(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Rows of :class:`lib.train.History` as named arrays."""
    return {f"{row['layer']}.{row['side']}_degree.{row['epoch']}": row["links"] for row in rows}


def named_links(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Rows of :class:`lib.train.History` as named arrays."""
    return {f"{row['layer']}.links.{row['epoch']}": row["keys"] for row in rows}


def holds_network(record: Record) -> bool:
    """True if a record holds the whole trained network."""
    states = [name for name in record.arrays if name.startswith(STATE)]
    return any(name.endswith(WEIGHTS) for name in states)


def holds_degrees(record: Record) -> bool:
    """True if a record holds degrees."""
    return any("_degree." in name for name in record.arrays)


def holds_links(record: Record) -> bool:
    """True if a record holds the links of recorded epochs, or those of a support that is fixed."""
    if record.config.drop is None:
        return holds_degrees(record)
    return any(".links." in name for name in record.arrays)


def widths(record: Record) -> tuple[int, ...]:
    """Input, hidden and output widths."""
    return tuple(int(width) for width in record.environment["architecture"].split("-"))


def degrees(record: Record) -> pd.DataFrame:
    """Links of every neuron: columns layer, side, epoch, links, see :mod:`lib.topology.degrees`."""
    return from_names(record.arrays)


def links_at(record: Record, epoch: int | str) -> dict[str, Tensor]:
    """The links of each layer that could evolve after a recorded epoch, as (nnz,) int64 keys."""
    end = f".links.{epoch}"
    keys = {}
    for name, array in record.arrays.items():
        if name.endswith(end):
            keys[name.removesuffix(end)] = torch.from_numpy(array).long()
    return keys


def link_epochs(record: Record) -> list[int | str]:
    """The epochs at which links were recorded, in order; "final" alone for a fixed support."""
    if record.config.drop is None:
        return ["final"]
    recorded = {name.rpartition(".links.")[2] for name in record.arrays if ".links." in name}
    return [*sorted(int(epoch) for epoch in recorded - {"final"}), "final"]


def state(arrays: Mapping[str, np.ndarray], prefix: str = STATE) -> dict[str, Tensor]:
    """The state dict of the trained network, as far as the arrays of its record hold it."""
    tensors = {}
    for name, array in arrays.items():
        if name.startswith(prefix):
            tensor = torch.from_numpy(array)
            narrow = tensor.dtype == torch.int16  # as shipped
            tensors[name.removeprefix(prefix)] = tensor.int() if narrow else tensor
    return tensors


def supports(record: Record) -> dict[str, Support]:
    """The links at the end of each sparse layer, by layer; empty where they were not kept."""
    tensors = state(record.arrays)
    layers = [name.removesuffix(".crow") for name in tensors if name.endswith(".crow")]
    by_layer = {}
    for layer, (n_in, n_out) in zip(layers, pairwise(widths(record)), strict=False):
        crow, col = tensors[f"{layer}.crow"].long(), tensors[f"{layer}.col"].long()
        by_layer[layer] = support_from_csr(crow, col, n_in, n_out)
    return by_layer


def supports_at(record: Record, epoch: int | str) -> list[Support]:
    """The links of every hidden layer after an epoch or "final".

    Raises: ValueError if the record does not hold them.
    """
    pairs = list(pairwise(widths(record)[:-1]))
    keys = links_at(record, epoch)
    if keys:
        layers = zip(keys.values(), pairs, strict=False)
        return [support_from_keys(of_layer, *pair) for of_layer, pair in layers]
    at_end = list(supports(record).values())
    if epoch == "final" and at_end:
        return at_end[: len(pairs)]
    raise ValueError(
        f"record {record.config.name} does not hold the links after epoch {epoch}: give another"
        " record; links are stored of sparse networks, of few seeds and epochs"
    )


def network(record: Record) -> nn.Sequential:
    """The trained network after its last update, in evaluation mode.

    Raises: ValueError if the record does not hold the whole network.
    """
    tensors = state(record.arrays)
    try:
        standardisation = tensors["standardise.mean"], tensors["standardise.std"]
        made_for = record.config.recorded_widths(record.environment)
        model = record.config.model(made_for, standardisation)
        model.load_state_dict(tensors)
    except (KeyError, RuntimeError) as error:
        raise ValueError(
            f"record {record.path} does not hold the whole network: train it on this machine, in a"
            " notebook with retrain = True"
        ) from error
    return model.eval()


def numbers(record: Record) -> dict[str, Any]:
    """Numbers of a trained network for the summary; accuracies that were not evaluated are None."""
    history, final = record.metrics, record.environment["final"]
    test, valid = history["test_accuracy"], history["valid_accuracy"]
    row = {
        "optimiser": record.config.optimiser,
        "epochs": record.config.epochs,
        "final_accuracy": final["test_accuracy"],
        "links_training": int(history["links"].iloc[-1]),
        "links_final": final["links"],
    }
    if test.notna().all():
        row["best_on_test_accuracy"] = test.max()
        row["last_accuracy"] = test.iloc[-1]
        if valid.notna().all():
            row["best_accuracy"] = test[valid.idxmax()]
    return row


def keep_links(record: Record, name: str) -> bool:
    """Shipped arrays of a trained network: degrees, and of seed 0 the final links."""
    if "_degree." in name:
        return True
    linked = name.startswith(STATE) and name.endswith((".crow", ".col"))
    return linked and record.config.seed == 0


def keep_clock(record: Record, name: str) -> bool:
    """Shipped arrays where time is compared: the seconds of each epoch as well."""
    return name == CLOCK or keep_links(record, name)


def keep_sparse_networks(record: Record, name: str) -> bool:
    """Shipped arrays where sparse networks are to be used: degrees, and these networks whole."""
    if name.startswith(STATE):
        return any(other.endswith(".crow") for other in record.arrays)
    return "_degree." in name
