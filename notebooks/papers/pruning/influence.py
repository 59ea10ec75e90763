"""Features that many masks of the fronts keep, against what masks of the same densities would."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

DRAWS = 2000  # of permutations


def most_kept(masks: np.ndarray, n: int) -> np.ndarray:
    """The n features that most of (M, n_features) masks keep; of several the first, ascending."""
    counts = masks.sum(axis=0)
    return np.sort(np.argsort(-counts, kind="stable")[:n])


def p_values_of_runs(
    counts: np.ndarray, *, rng: np.random.Generator, draws: int = DRAWS
) -> np.ndarray:
    r"""Probability that the most kept of all features is kept so often where runs agree by chance
    alone, for each feature: corrected for all of them at once.

    In each draw the counts of every run are permuted among the features, which keeps how the masks
    of a run hang together; p is that of the largest sum.

    Source: [Nichols2002], single threshold test by the maximal statistic.

    Args:
        counts: (R, n_features), how many masks of each run keep each feature.
        rng: of the draws.
        draws: of permutations.
    Returns: (n_features,), at least 1 / (draws + 1).
    """
    totals = counts.sum(axis=0)
    largest = np.empty(draws)
    for i in range(draws):
        largest[i] = rng.permuted(counts, axis=1).sum(axis=0).max()
    at_least = draws - np.searchsorted(np.sort(largest), totals, side="left")
    return (1 + at_least) / (1 + draws)


class Agreement(NamedTuple):
    """How much runs agree on what they keep.

    Attributes:
        value: mean correlation of the counts of two runs.
        chance_sd: standard deviation of the same where runs agree by chance alone; its mean is 0.
        p: probability of at least the value by chance, at least 1 / (draws + 1).
    """

    value: float
    chance_sd: float
    p: float


def agreement(counts: np.ndarray, *, rng: np.random.Generator, draws: int = DRAWS) -> Agreement:
    r"""The mean correlation of the counts of every two runs, against that where the counts of every
    run are permuted among the features.

    .. math:: \bar r = \frac{2}{R (R - 1)} \sum_{r < s} \mathrm{corr}(c_r, c_s)

    One test of all features together, which sees what is too little in each of them for
    :func:`p_values_of_runs`.

    Args:
        counts: (R, n_features), how many masks of each run keep each feature; two runs or more.
        rng: of the draws.
        draws: of permutations.
    """
    n_runs, n_features = counts.shape
    spread = counts.std(axis=1, keepdims=True)
    scores = (counts - counts.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)

    def mean_correlation(scores: np.ndarray) -> float:
        all_pairs = np.square(scores.sum(axis=0)).sum() - np.square(scores).sum()
        return float(all_pairs / (n_features * n_runs * (n_runs - 1)))

    value = mean_correlation(scores)
    permuted = [mean_correlation(rng.permuted(scores, axis=1)) for _ in range(draws)]
    at_least = int(np.sum(np.array(permuted) >= value - 1e-12))  # equal up to rounding
    return Agreement(value, float(np.std(permuted)), (1 + at_least) / (1 + draws))


def counts_of(masks: Iterable[np.ndarray]) -> np.ndarray:
    """(R, n_features) how many masks of each run keep each feature."""
    return np.stack([of_run.sum(axis=0) for of_run in masks])
