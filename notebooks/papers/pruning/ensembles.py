"""Votes of differently pruned heads, beside the best and the mean of those that vote."""

from collections.abc import Sequence

import numpy as np
import scipy

PERCENTILE_PAIRS = tuple((low, low + 10) for low in range(50, 90, 5))  # (50, 60) ... (85, 95)


def majority_vote(votes: np.ndarray) -> np.ndarray:
    """The class that most members find; of several, the lowest.

    Source: [Poyatos2023] Section 5, the ensembles of the Pareto front.

    Args:
        votes: (P, B) classes from 0 that the members find, at least one member.
    Returns: (B,) of the type of the votes.
    """
    return scipy.stats.mode(votes, axis=0).mode


def members_between(accuracy: np.ndarray, low: float, high: float) -> np.ndarray:
    """Numbers of the heads whose accuracy lies between two percentiles of all, ends included.

    Source: [Poyatos2023] Section 5.
    Departs: the accuracy is that on validation examples; the authors' is that on the test part.

    Args:
        accuracy: (P,) of every head.
        low, high: percentiles, 0 to 100.
    Returns: (n,) int64, in order; there may be none.
    """
    accuracy = np.asarray(accuracy)
    bottom, top = np.percentile(accuracy, [low, high])
    return np.flatnonzero((bottom <= accuracy) & (accuracy <= top))


def chosen(
    accuracy: np.ndarray, pairs: Sequence[tuple[float, float]] = PERCENTILE_PAIRS
) -> dict[tuple[float, float], np.ndarray]:
    """{percentiles: numbers of the heads between them}, of those pairs that have two or more."""
    found = {}
    for low, high in pairs:
        members = members_between(accuracy, low, high)
        if len(members) > 1:
            found[low, high] = members
    return found
