"""How much like the training data a head finds an example, and how well that tells strangers.

"Robustness" of the paper is this detection of strange images, not accuracy under attack. The
released code calls its score ODIN, but does not move the input: it is the largest softmax alone.
"""

import numpy as np
import scipy
import torch
from torch import Generator, Tensor

from papers.pruning.heads import Head

TEMPERATURE = 1000.0  # as released
NOISE_DRAWS = 4
GRID = np.arange(99, -1, -1) / 100  # of true positive rates, as released


def largest_softmax(logits: Tensor) -> np.ndarray:
    r"""Largest probability of a class at a temperature of 1,000.

    .. math:: \max_i \frac{e^{z_i / T}}{\sum_j e^{z_j / T}}

    Source: [Liang2018] Section 3; its order is nearly that of :math:`\max_i z_i - \bar z`. At T = 1
    it would be the score of [Hendrycks2017].

    Args:
        logits: z, (B, K).
    Returns: (B,) float64, in [1/K, 1].
    """
    return (logits.double() / TEMPERATURE).softmax(1).amax(1).numpy()


# ------------------------------------------------------------------------- how well it tells


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    r"""Probability that an example of the data scores above a stranger, ties counted one half.

    .. math:: \frac{1}{n m} \left(\sum_{i \le n} R_i - \frac{n (n + 1)}{2}\right)

    with :math:`R_i` the mean rank of example i of the data among all n + m. This is the area under
    the whole curve of true against false positive rates, without a grid.

    Source: [Mann1947], the statistic U.

    Args:
        inside: (n,) scores of examples of the data, at least one.
        outside: (m,) scores of strangers, at least one.
    Returns: in [0, 1]; 1/2 where all are equal, 1 where every example scores above every stranger.
    """
    n, m = len(inside), len(outside)
    ranks = scipy.stats.rankdata(np.concatenate([inside, outside]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def auroc_released(inside: np.ndarray, outside: np.ndarray) -> float:
    """The area as released: a trapezoid over true positive rates .99, .98, ... 0.

    The false positive rate at a true positive rate t is the share of strangers that score at least
    the (1 - t) quantile of the data. The first point is set to (1, 1) and the last to (0, 0),
    whatever the scores. Kept to show what the grid costs; arguments as in :func:`auroc`.
    """
    thresholds = np.quantile(inside, 1 - GRID)
    false_rate = (outside[None, :] >= thresholds[:, None]).mean(axis=1)
    true_rate = GRID.copy()
    true_rate[0] = false_rate[0] = 1
    true_rate[-1] = false_rate[-1] = 0
    return float(np.trapezoid(true_rate[::-1], false_rate[::-1]))


# --------------------------------------------------------------------------------- under noise


def noise_accuracy(
    head: Head, x: Tensor, y: Tensor, *, noise_std: float, generator: Generator
) -> float:
    """Share of right answers when Gaussian noise is added to the features, in
    :data:`NOISE_DRAWS` draws.

    Args:
        head: that answers.
        x: (B, n_features).
        y: (B,) int64 classes.
        noise_std: standard deviation, in units of the features.
        generator: of the noise. A head of fewer features meets the same noise in those it has.
    """
    right = 0.0
    for _ in range(NOISE_DRAWS):
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        found = head.logits(x + noise_std * noise).argmax(1)
        right += float((found == y).double().mean())
    return right / NOISE_DRAWS
