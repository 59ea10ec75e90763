"""What is read of the links of trained networks: how far they reach, how many a neuron has."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from lib.papers.frontier.experiments import DEGREES, IMAGES, RANDOM
from lib.papers.shared import trained
from lib.runs.record import Record


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
    r"""How far the degrees of networks are from those of networks with a random start: on each side
    of each layer, the share of the links that must be moved until the neurons, in ascending order
    of their links, have as many as those of the other network.

    .. math:: \frac{\sum_i |k_{(i)} - l_{(i)}|}{\sum_i k_i + \sum_i l_i}

    with the degrees k and l of the two; this is the Wasserstein distance of both distributions over
    twice the mean degree. It is averaged over the networks with a random start that have the same
    method and another seed. A network with a random start is compared to the same ones: if a start
    is forgotten, its networks end no further away than those.

    Args:
        records: of ``start_degrees``.
        usual: of ``adaptive_topology``, among others those with a random start.
    Returns: columns dataset, method, start, seed, layer, side ("in" or "out"), epoch, value. No
        rows where only one seed was run.
    """
    trained_alike = {(record.config.method, record.config.dataset) for record in records}
    ascending: dict[tuple, dict[tuple, np.ndarray]] = {}
    for record in [*usual, *records]:
        run = record.config
        if (run.method, run.dataset) not in trained_alike:
            continue
        start = run.variant if run.variant in DEGREES else RANDOM
        of_run = ascending.setdefault((run.dataset, run.method, start, run.seed), {})
        for layer, side, epoch, links in trained.degrees(record).itertuples(index=False):
            epoch = run.epochs if epoch == "final" else epoch
            of_run[layer, side, epoch] = np.sort(links.astype(np.int64))
    rows = []
    for (dataset, method, start, seed), of_run in ascending.items():
        others = []
        for network, other in ascending.items():
            if network[:3] == (dataset, method, RANDOM) and network[3] != seed:
                others.append(other)
        for place, k in of_run.items():
            distances = []
            for other in others:
                apart = np.abs(k - other[place]).sum()
                distances.append(apart / (k.sum() + other[place].sum()))
            if distances:
                rows.append((dataset, method, start, seed, *place, np.mean(distances)))
    named = ["dataset", "method", "start", "seed", "layer", "side", "epoch", "value"]
    return pd.DataFrame(rows, columns=named)
