"""What is read of the links of trained networks: how far they reach."""

from itertools import pairwise

import numpy as np
import pandas as pd

from lib.papers.frontier.experiments import IMAGES
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
