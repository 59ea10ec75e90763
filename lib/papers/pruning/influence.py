"""Features that many masks of the fronts keep, against what masks of the same densities would."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.papers.pruning import evolving
from lib.papers.pruning.regions import most_kept
from lib.report.labels import datasets_in
from lib.report.measurement import LEVEL
from lib.report.statistics import holm
from lib.runs.record import Record

DRAWS = 2000  # of permutations
MOST = 10  # features that the paper looks at
BINS = 40  # of the share of masks that keep a feature
COLUMNS = (
    *("dataset", "runs", "masks", "features", "mean density", "most kept", "random masks"),
    *("beyond masks", "beyond runs", "agreement", "sd by chance", "p", "shared"),
    "shared by chance",
)
OBSERVED = "fronts found"
BINOMIAL = "masks at random"
PERMUTED = "runs agree by chance"


def masks_by_run(records: Iterable[Record]) -> list[np.ndarray]:
    """(M, n_features) bool masks of the front of each record."""
    found = []
    for record in records:
        n_features = int(record.environment["architecture"].split("-")[0])
        found.append(evolving.front_masks(record, n_features))
    return found


def poisson_binomial(probabilities: np.ndarray) -> np.ndarray:
    """(M + 1,) probability of so many successes in M trials, each with its own probability."""
    law = np.ones(1)
    for p in probabilities:
        law = np.convolve(law, [1 - p, p])
    return law


def p_values_of_masks(counts: np.ndarray, densities: np.ndarray) -> np.ndarray:
    """Probability that at least so many of independent random masks of these densities keep a
    feature, for each feature.

    Masks of one front descend from one another, so that they are not independent: these values are
    too small. See :func:`p_values_of_runs`.
    """
    tail = np.cumsum(poisson_binomial(densities)[::-1])[::-1]
    return np.clip(tail[counts], 0, 1)


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
    at_least = np.searchsorted(np.sort(largest), totals, side="left")
    return (1 + draws - at_least) / (1 + draws)


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
    at_least = int(np.sum(np.array(permuted) >= value))
    return Agreement(value, float(np.std(permuted)), (1 + at_least) / (1 + draws))


def shared(chosen: Sequence[np.ndarray]) -> float:
    """How many features two runs have both chosen, mean over all pairs of two runs or more."""
    numbers = [len(np.intersect1d(one, other)) for one, other in combinations(chosen, 2)]
    return float(np.mean(numbers))


def counts_of(masks: Iterable[np.ndarray]) -> np.ndarray:
    """(R, n_features) how many masks of each run keep each feature."""
    return np.stack([of_run.sum(axis=0) for of_run in masks])


def summary(records: Iterable[Record], *, seed: int = 0) -> pd.DataFrame:
    """What is kept more often than by chance, a row a data set.

    Returns: columns dataset, runs, masks, features, mean density, most kept (share of masks, mean
        of the ten most kept features), random masks (the same of independent masks), beyond masks
        and beyond runs (features below .05 by :func:`p_values_of_masks` after Holm's correction,
        and by :func:`p_values_of_runs`), agreement, its sd by chance and its p
        (:func:`agreement`), shared (of the ten that each run keeps most often, those of two runs)
        and shared by chance.
    """
    rows = []
    for dataset, masks in _by_dataset(records).items():
        together = np.concatenate(masks)
        counts = counts_of(masks)
        totals = counts.sum(axis=0)
        densities = together.mean(axis=1)
        rng = np.random.default_rng(seed)
        alike = rng.random(together.shape) < densities[:, None]
        of_masks = holm(p_values_of_masks(totals, densities))
        of_runs = p_values_of_runs(counts, rng=rng)
        agreed = agreement(counts, rng=rng)
        rows.append(
            {
                "dataset": dataset,
                "runs": len(masks),
                "masks": len(together),
                "features": together.shape[1],
                "mean density": densities.mean(),
                "most kept": _mean_of_most(totals) / len(together),
                "random masks": _mean_of_most(alike.sum(axis=0)) / len(together),
                "beyond masks": int((of_masks < 1 - LEVEL).sum()),
                "beyond runs": int((of_runs < 1 - LEVEL).sum()),
                "agreement": agreed.value,
                "sd by chance": agreed.chance_sd,
                "p": agreed.p,
                "shared": shared([most_kept(of_run, MOST) for of_run in masks]),
                "shared by chance": MOST**2 / together.shape[1],
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def lines(records: Iterable[Record], *, seed: int = 0) -> pd.DataFrame:
    """How many features are kept by which share of the masks, and by how many under both laws of
    chance: columns dataset, line, kept (middle of a bin), features.
    """
    parts = []
    edges = np.linspace(0, 1, BINS + 1)
    for dataset, masks in _by_dataset(records).items():
        together = np.concatenate(masks)
        counts = counts_of(masks)
        n_masks, n_features = together.shape
        shares = np.arange(n_masks + 1) / n_masks
        law = poisson_binomial(together.mean(axis=1))
        rng = np.random.default_rng(seed)
        permuted = [rng.permuted(counts, axis=1).sum(axis=0) for _ in range(20)]
        numbers = {
            OBSERVED: np.histogram(counts.sum(axis=0) / n_masks, edges)[0],
            BINOMIAL: n_features * np.histogram(shares, edges, weights=law)[0],
            PERMUTED: np.histogram(np.concatenate(permuted) / n_masks, edges)[0] / len(permuted),
        }
        for line, features in numbers.items():
            middle = (edges[:-1] + edges[1:]) / 2
            part = pd.DataFrame({"kept": middle, "features": features})
            parts.append(part.assign(dataset=dataset, line=line))
    columns = ["dataset", "line", "kept", "features"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _by_dataset(records: Iterable[Record]) -> dict[str, list[np.ndarray]]:
    records = list(records)
    found = {}
    for dataset in datasets_in(record.config.dataset for record in records):
        of_set = [record for record in records if record.config.dataset == dataset]
        found[dataset] = masks_by_run(of_set)
    return found


def _mean_of_most(totals: np.ndarray) -> float:
    return float(np.sort(totals)[-MOST:].mean())
