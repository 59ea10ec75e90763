"""How much like the training data a head finds an example, and how well that tells strangers.

"Robustness" of the paper is this detection of strange images, not accuracy under attack; accuracy
under noise and under an attack of the features are here too, under their own names.
"""

import numpy as np
import scipy
import torch
from torch import Generator, Tensor, nn

from lib.names import check_known
from lib.papers.pruning.heads import Head
from lib.robustness.attacks.gradient import fgsm

SCORES = ("softmax", "odin", "energy")
TEMPERATURE = 1000.0  # of softmax and ODIN, as released
ODIN_RADIUS = 0.01  # of the move of the features
GRID = np.arange(99, -1, -1) / 100  # of true positive rates, as released


def score(
    head: Head,
    x: Tensor,
    name: str = "softmax",
    *,
    temperature: float | None = None,
    radius: float = ODIN_RADIUS,
) -> np.ndarray:
    """Score of every example, high for what is like the training data.

    Args:
        head: that scores.
        x: (B, n_features).
        name: "softmax", the largest softmax (as released, where it is called ODIN), "odin" or
            "energy".
        temperature: T; None: 1000, for "energy" 1.
        radius: epsilon of "odin".
    Returns: (B,) float64.
    Raises: ValueError, with the nearest score, if it is not one of :data:`SCORES`.
    """
    check_known("score", name, SCORES)
    if name == "energy":
        return negative_energy(head.logits(x), 1.0 if temperature is None else temperature)
    if temperature is None:
        temperature = TEMPERATURE
    if name == "odin":
        x = moved_to_be_surer(head, x, temperature=temperature, radius=radius)
    return largest_softmax(head.logits(x), temperature)


def largest_softmax(logits: Tensor, temperature: float = TEMPERATURE) -> np.ndarray:
    r"""Largest probability of a class at a temperature.

    .. math:: \max_i \frac{e^{z_i / T}}{\sum_j e^{z_j / T}}

    Source: [Liang2018] Section 3; at T = 1 the score of [Hendrycks2017].

    Args:
        logits: z, (B, K).
        temperature: T; for a large one the order is that of :math:`\max_i z_i - \bar z`.
    Returns: (B,) float64, in [1/K, 1].
    """
    return (logits.double() / temperature).softmax(1).amax(1).numpy()


def negative_energy(logits: Tensor, temperature: float = 1.0) -> np.ndarray:
    r"""The free energy of an example, negative, so that it is high for the training data.

    .. math:: -E(x) = T \log \sum_i e^{z_i / T}

    Source: [Liu2020b] Section 3.

    Args:
        logits: z, (B, K).
        temperature: T.
    Returns: (B,) float64.
    """
    return temperature * (logits.double() / temperature).logsumexp(1).numpy()


def moved_to_be_surer(
    head: Head, x: Tensor, *, temperature: float = TEMPERATURE, radius: float = ODIN_RADIUS
) -> Tensor:
    r"""The features, moved a little so that the head is surer of what it finds.

    .. math:: \tilde x = x - \epsilon \, sign(-\nabla_x \log \max_i S_i(x; T))

    Source: [Liang2018] Section 3.
    Departs: x are the frozen features, not the pixels.

    Args:
        head: whose softmax S is at temperature T.
        x: (B, n_features).
        temperature: T.
        radius: epsilon, in units of the features.
    Returns: like x.
    """
    moving = x.detach().clone().requires_grad_()
    sureness = (head.logits(moving) / temperature).log_softmax(1).amax(1).sum()
    (gradient,) = torch.autograd.grad(sureness, moving)
    return x + radius * gradient.sign()


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
    Raises: ValueError if one of them is empty or a score is not a number.
    """
    inside, outside = _checked(inside), _checked(outside)
    n, m = len(inside), len(outside)
    ranks = scipy.stats.rankdata(np.concatenate([inside, outside]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def auroc_released(inside: np.ndarray, outside: np.ndarray) -> float:
    """The area as released: a trapezoid over true positive rates .99, .98, ... 0.

    The false positive rate at a true positive rate t is the share of strangers that score at least
    the (1 - t) quantile of the data. The first point is set to (1, 1) and the last to (0, 0),
    whatever the scores. Kept to show what the grid costs; arguments as in :func:`auroc`.
    """
    inside, outside = _checked(inside), _checked(outside)
    thresholds = np.quantile(inside, 1 - GRID)
    false_rate = (outside[None, :] >= thresholds[:, None]).mean(axis=1)
    true_rate = GRID.copy()
    true_rate[0] = false_rate[0] = 1
    true_rate[-1] = false_rate[-1] = 0
    return float(np.trapezoid(true_rate[::-1], false_rate[::-1]))


def _checked(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not scores.size or np.isnan(scores).any():
        raise ValueError(f"scores of shape {scores.shape}: give at least one, and numbers alone")
    return scores


# ---------------------------------------------------------------------- under noise and attack


def noise_accuracy(
    head: Head, x: Tensor, y: Tensor, *, noise_std: float, generator: Generator, repeats: int = 4
) -> float:
    """Share of right answers when Gaussian noise is added to the features.

    Args:
        head: that answers.
        x: (B, n_features).
        y: (B,) int64 classes.
        noise_std: standard deviation, in units of the features.
        generator: of the noise. A head of fewer features meets the same noise in those it has.
        repeats: draws of the noise.
    """
    right = 0.0
    for _ in range(repeats):
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        found = head.logits(x + noise_std * noise).argmax(1)
        right += float((found == y).double().mean())
    return right / repeats


class _Model(nn.Module):
    """A head, as attacks take it."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head.logits(x)


def adversarial_accuracy(head: Head, x: Tensor, y: Tensor, *, radius: float) -> float:
    """Share of right answers when every feature moves by at most ``radius`` against the head, in
    one step and within the range of the features: :func:`lib.robustness.attacks.gradient.fgsm`.
    """
    bounds = (float(x.min()), float(x.max()))
    moved = fgsm(_Model(head).eval(), x, y, radius=radius, bounds=bounds)
    return float((head.logits(moved).argmax(1) == y).double().mean())
