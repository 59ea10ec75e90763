"""Rivals of a searched mask: masks of as many features drawn at random, or chosen from the
data in one training, and a head whose links evolve while it is trained.
"""

import numpy as np
import torch
from torch import Tensor

from lib import evolution, models, train
from lib.data import Split
from papers.pruning.heads import Head, HeadSettings
from papers.pruning.tasks import Task

PENALTIES = 16  # on the path, from where no feature is left to a hundredth of that
PATH_STEPS = 60  # of descent at each penalty


def leading_mask(order: np.ndarray, count: int) -> np.ndarray:
    """(len(order),) bool, the mask of so many features that stand first in an order."""
    mask = np.zeros(len(order), dtype=bool)
    mask[order[:count]] = True
    return mask


def magnitude_order(full: Head) -> np.ndarray:
    r"""Features by the norm of their weights in the full head, the largest first.

    .. math:: \lVert w_{i \cdot} \rVert_2

    Source: [Han2015], Section 3, for whole features.

    Args:
        full: a head that reads all features.
    """
    norms = full.weight_in.norm(dim=1).numpy()
    return np.argsort(-norms, kind="stable")


def penalty_order(x: Tensor, y: Tensor, n_classes: int) -> np.ndarray:
    r"""Features in the order in which they come into a linear classifier as a penalty falls.

    .. math:: \min_W \; \frac{1}{N} \sum_n \mathrm{CE}(W^T x_n, y_n)
        + \lambda \sum_i \lVert w_{i \cdot} \rVert_2

    from the :math:`\lambda` at which none is left downwards, by proximal gradient steps on
    standardised features. Those that come in at the same penalty stand by their norm there, those
    that never do by the norm of their gradient at the end.

    Source: [Yuan2006] Section 2 (groups are the weights of a feature), [Beck2009] Section 3.

    Args:
        x: (N, n_features) features of the training examples.
        y: (N,) int64 classes.
        n_classes: of the output.
    Returns: (n_features,) int64.
    """
    x = x.double()
    spread = x.std(dim=0)
    x = (x - x.mean(dim=0)) / torch.where(spread > 0, spread, 1.0)
    target = torch.nn.functional.one_hot(y, n_classes).double()
    n = len(x)
    weight = torch.zeros(x.shape[1], n_classes, dtype=torch.float64)
    step = 2 * n / float(torch.linalg.matrix_norm(x, 2)) ** 2  # 1 / (Lipschitz constant)
    at_zero = x.T @ (1 / n_classes - target) / n
    largest = float(at_zero.norm(dim=1).max())
    entry = np.full(x.shape[1], PENALTIES)  # at which penalty each feature came in
    strength = np.zeros(x.shape[1])
    for place, penalty in enumerate(largest * np.geomspace(1, 1e-2, PENALTIES)):
        for _ in range(PATH_STEPS):
            gradient = x.T @ ((x @ weight).softmax(1) - target) / n
            weight = _shrunk(weight - step * gradient, step * penalty)
        norms = weight.norm(dim=1).numpy()
        new = (norms > 0) & (entry == PENALTIES)
        entry[new], strength[new] = place, norms[new]
    absent = entry == PENALTIES
    strength[absent] = gradient.norm(dim=1).numpy()[absent]
    return np.lexsort((-strength, entry))


def _shrunk(weight: Tensor, threshold: float) -> Tensor:
    """Rows with norms less by a threshold, zero below it."""
    norms = weight.norm(dim=1, keepdim=True)
    return weight * (1 - threshold / norms.clamp(min=1e-300)).clamp(min=0)


def set_head(task: Task, density: float, settings: HeadSettings, *, seed: int) -> Head:
    """A head whose first layer is sparse, its links evolved by SET after every epoch.

    It reads any feature by some links; a mask of the same density has as many links, all of fewer
    features. It is trained for all of ``settings.epochs``, its rate falls along a cosine, and no
    loss stops it.

    Source: [Mocanu2018], Algorithm 1.

    Args:
        task: its features.
        density: share of the links of the first layer that it has at any time, in (0, 1].
        settings: width, learning rate, momentum, weight decay, batch size and epochs.
        seed: of links, weights and the order of the examples.
    """
    sizes = (task.n_features, settings.n_hidden, task.n_classes)
    model = models.mlp(sizes, density=density, activation="relu", dropout=0.0, seed=seed).float()
    split = Split(
        x_train=task.x["train"].float(),
        y_train=task.y["train"],
        x_test=task.x["valid"].float(),
        y_test=task.y["valid"],
        x_valid=None,
        y_valid=None,
        name="features",
        source="features",
        sha256="",
    )
    train.fit(
        model,
        split,
        train.Settings(
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=True,
            weight_decay=settings.weight_decay,
            evolution=evolution.Evolution(decay="cosine", last_epoch="keep"),
        ),
        seed=seed + 1,
        evaluate_test=False,
    )
    return _as_head(model, task.n_features, settings.n_hidden)


def _as_head(model: torch.nn.Module, n_features: int, n_hidden: int) -> Head:
    """A trained network of one hidden layer as a head."""
    first, last = model.linear1, model.linear2
    weight = first.to_dense().detach().T.contiguous()  # (n_features, n_hidden)
    links = np.zeros(n_hidden * n_features, dtype=bool)
    links[first.support.keys.numpy()] = True
    return Head(
        inputs=torch.arange(n_features),
        units=torch.arange(n_hidden),
        weight_in=weight,
        bias_in=first.bias.detach().clone(),
        weight_out=last.to_dense().detach().T.contiguous(),
        bias_out=last.bias.detach().clone(),
        mask=links.reshape(n_hidden, n_features).T,
        epochs=0,
        loss=float("nan"),
    )
