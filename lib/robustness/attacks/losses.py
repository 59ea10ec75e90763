"""Losses that attacks maximise: functions of logits and classes, high where the model is wrong."""

import math

import torch
from torch import Tensor


def margin(z: Tensor, y: Tensor) -> Tensor:
    r"""Best wrong logit minus the right one, positive where the example is misclassified.

    .. math:: \max_{j \ne y} z_j - z_y

    Source: [Carlini2017], Section VI-A (the objective f, up to its sign).

    Args:
        z: (B, K) float logits.
        y: (B,) int64 classes.
    Returns: (B,) float.
    """
    right, wrong = _right_and_wrong(z, y)
    return wrong.amax(1) - right


def is_misclassified(z: Tensor, y: Tensor) -> Tensor:
    """(B,) bool, whether the largest logit is that of another class than ``y``.

    Arguments as in :func:`margin`. Raises ValueError if a logit is nan: none is the largest then.
    """
    n_unknown = int(z.isnan().any(1).sum())
    if n_unknown:
        raise ValueError(
            f"the logits of {n_unknown} of {len(z)} inputs are nan, so the model gives them no"
            " class: look for nan in its weights, or for a division by 0"
        )
    return z.argmax(1) != y


def log_odds(z: Tensor, y: Tensor) -> Tensor:
    r"""Log-odds of the wrong classes: the cross-entropy L, as an attack maximises it.

    .. math:: \log \sum_{j \ne y} e^{z_j} - z_y = \log(e^L - 1)

    It increases strictly with L, so the maximisers and the direction of the gradient are the same;
    but it neither saturates nor underflows where a network is very confident, which removes
    gradient masking by saturation. Arguments as in :func:`margin`.
    """
    right, wrong = _right_and_wrong(z, y)
    return wrong.logsumexp(1) - right


def difference_of_logits_ratio(z: Tensor, y: Tensor) -> Tensor:
    r"""DLR loss, which neither a shift nor a positive scale of the logits changes.

    .. math:: - \frac{z_y - \max_{j \ne y} z_j}{z_{\pi_1} - z_{\pi_3}}

    with :math:`\pi` the order of descending logits; where the first three are equal the denominator
    is taken as 1.

    Source: [Croce2020a], Section 4 (DLR loss). Arguments as in :func:`margin`; K is at least 3.
    """
    top = z.topk(3, dim=1).values
    spread = top[:, 0] - top[:, 2]
    denominator = torch.where(spread > 0, spread, 1)
    return margin(z, y) / denominator


def _right_and_wrong(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) logits of the classes ``y``, and (B, K) logits without them (minus infinity)."""
    y = y[:, None]
    right = z.gather(1, y)
    wrong = z.scatter(1, y, -math.inf)
    return right.squeeze(1), wrong


LOSSES = {
    "ce": log_odds,
    "dlr": difference_of_logits_ratio,
    "margin": margin,
}
