"""Readings of the links of trained networks: how far they reach, how many a neuron has."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from lib.runs.record import Record
from papers.frontier.experiments import DEGREES, IMAGES, RANDOM
from papers.shared import trained


def density_by_distance(record: Record) -> pd.DataFrame:
    """Links at the end of training over positions, by distance along the further side of the image,
    of each hidden layer.

    Returns: columns layer, distance (pixels), density; no rows if the record holds no links.
    """
    run, parts = record.config, []
    supports = trained.supports(record)
    grids = pairwise(run.grids(IMAGES[run.dataset]))
    for (layer, support), (inputs, outputs) in zip(supports.items(), grids, strict=False):
        channels, height, width = outputs
        place = support.row.long() % (height * width), support.col.long() % (height * width)
        down = (place[0] // width - place[1] // width).abs()
        right = (place[0] % width - place[1] % width).abs()
        apart = down.maximum(right).numpy()
        distance = np.arange(max(height, width))
        within = _near_pairs(height, distance) * _near_pairs(width, distance)
        positions = channels * inputs[0] * np.diff(within, prepend=0)
        density = np.bincount(apart, minlength=len(distance)) / positions
        parts.append(pd.DataFrame({"layer": layer, "distance": distance, "density": density}))
    return pd.concat([pd.DataFrame(columns=["layer", "distance", "density"]), *parts])


def _near_pairs(n: int, distance: np.ndarray) -> np.ndarray:
    """Pairs of n places in a row, both orders and equal ones counted, at most so far apart."""
    d = distance.clip(max=n - 1)
    return (2 * d + 1) * n - d * (d + 1)


def degree_distances(records: Sequence[Record], usual: Sequence[Record]) -> pd.DataFrame:
    r"""How far the degrees of networks are from those that a random start ends with: on each side
    of each layer, the share of the links that must be moved until the neurons, in ascending order
    of their links, have as many as those of the other network.

    .. math:: \frac{\sum_i |k_{(i)} - l_{(i)}|}{\sum_i k_i + \sum_i l_i}

    with the degrees k after an epoch and l at the end of a run; this is the Wasserstein distance of
    both distributions over twice the mean degree. It is averaged over the runs from a random start
    with the same method and another seed. Networks with a random start are compared to the same
    runs: a start is forgotten if its networks end no further away than those.

    Args:
        records: of ``start_degrees``.
        usual: of ``adaptive_topology``, among others those with a random start.
    Returns: columns dataset, method, start, seed, layer, side ("in" or "out"), epoch, value. No
        rows where only one seed was run.
    """
    columns = ["dataset", "method", "start", "seed", "layer", "side", "epoch"]
    trained_alike = {(record.config.dataset, record.config.method) for record in records}
    parts = [pd.DataFrame(columns=[*columns, "links", "at_end"])] if not records else []
    for record in [*usual, *records]:
        run = record.config
        if (run.dataset, run.method) not in trained_alike:
            continue
        start = run.variant if run.variant in DEGREES else RANDOM
        of_run = {"dataset": run.dataset, "method": run.method, "start": start, "seed": run.seed}
        degrees = trained.degrees(record)
        degrees = degrees[degrees["epoch"] != run.epochs]  # after it zeros are removed: "final"
        at_end = degrees["epoch"] == "final"
        epoch = degrees["epoch"].where(~at_end, run.epochs).astype(int)
        parts.append(degrees.assign(**of_run, epoch=epoch, at_end=at_end))
    degrees = pd.concat(parts)
    ends = degrees[degrees["at_end"].astype(bool) & (degrees["start"] == RANDOM)]
    pairs = degrees.merge(ends, on=["dataset", "method", "layer", "side"], suffixes=("", "_at_end"))
    pairs = pairs[pairs["seed"] != pairs["seed_at_end"]]
    values = []
    for links, others in zip(pairs["links"], pairs["links_at_end"], strict=True):
        k, end = (np.sort(side.astype(np.int64)) for side in (links, others))
        values.append(np.abs(k - end).sum() / (k.sum() + end.sum()))
    pairs = pairs.assign(value=np.array(values, dtype=float))
    return pairs.groupby(columns, sort=False)["value"].mean().reset_index()
