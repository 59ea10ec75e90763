"""Degrees and links of trained networks, beside those of their random start: what notebooks 10 and
14 draw.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from lib import topology
from lib.papers.shared import trained
from lib.papers.shared.claims import chosen
from lib.report import labels
from lib.report.network_figures import Groups
from lib.runs.record import Record
from lib.topology import power_law

SPREAD = ["dataset", "method", "seed", "epoch", "neurons", "ratio"]
SPREAD_EPOCHS = (1, 2, 5, 10, 20, 50, 100, 150)
RANK_EPOCHS = (0, 5, 10, 20, 50, "final")
NEAREST = "hidden 2"  # of the published networks, the layer nearest to the claim on exponents

Epoch = int | str
Sequences = dict[str, np.ndarray]  # {"inputs" or "hidden 1", …: (width,) degrees}


def sequences(record: Record, epoch: Epoch) -> Sequences:
    """Links of the inputs and all links of the hidden neurons; empty if the epoch was not recorded.

    Args:
        record: of a trained network.
        epoch: which epoch, or "final".
    """
    degrees = trained.degrees(record)
    groups = topology.degree_sequences(degrees, epoch)
    if not groups:
        return {}
    hidden = topology.hidden_groups(groups)
    return {"inputs": groups["inputs"], **hidden}


# -------------------------------------------------------------------------------- start and end


def tails(networks: Sequence[Record], dataset: str, seed: int) -> Groups:
    """Degrees of SET at the end, at the random start and with random drop, a panel a layer; in the
    last panel those of a layer with the published settings.

    Args:
        networks: records of trained networks.
        dataset, seed: of those that are shown.
    """
    shown = chosen(networks, dataset=dataset, seed=seed)
    usual = chosen(shown, experiment="adaptive_topology")
    panels: dict[str, Sequences] = {}
    for record in chosen(usual, method="set"):
        start = sequences(record, 0)
        for layer, end in sequences(record, "final").items():
            panels[layer] = {
                "SET, end": end,
                "random start": start[layer],
            }
    for record in chosen(usual, method="set_random_removal"):
        for layer, end in sequences(record, "final").items():
            panels[layer]["SET, random drop"] = end
    for record in chosen(shown, method="set", variant="published"):
        end, start = sequences(record, "final"), sequences(record, 0)
        panels[f"{NEAREST}, ε = 20, published"] = {
            "SET, end": end[NEAREST],
            "random start": start[NEAREST],
        }
    return panels


# ----------------------------------------------------------------------------------- over epochs


def spread(records: Iterable[Record]) -> pd.DataFrame:
    """Variance over mean of the degrees after some epochs.

    Args:
        records: of trained networks.
    Returns: columns dataset, method, seed, epoch, neurons, ratio.
    """
    rows = []
    for record in records:
        run = record.config
        names = run.dataset, run.method, run.seed
        for epoch in SPREAD_EPOCHS:
            for neurons, degrees in sequences(record, epoch).items():
                ratio = degrees.var() / degrees.mean()
                rows.append((*names, epoch, neurons, ratio))
    return pd.DataFrame(rows, columns=SPREAD)


def rank_correlations(records: Iterable[Record]) -> pd.DataFrame:
    """p of the rank correlation of degree and frequency
    (:func:`lib.topology.power_law.frequency_correlation`), median over hidden layers and seeds.

    Args:
        records: of trained networks.
    Returns: a row for each network, settings and dataset, a column an epoch.
    """
    keys = ["network", "settings", "dataset", "epoch"]
    rows = []
    for record in records:
        run = record.config
        network = labels.network(run.experiment)
        names = network, run.variant, labels.dataset(run.dataset)
        for epoch in RANK_EPOCHS:
            layers = topology.hidden_groups(sequences(record, epoch))
            for degrees in layers.values():
                p = power_law.frequency_correlation(degrees)
                rows.append((*names, epoch, p))
    table = pd.DataFrame(rows, columns=[*keys, "p"])
    medians = table.groupby(keys, sort=False)["p"].median()
    return medians.unstack()
