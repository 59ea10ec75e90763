"""Losses of a compiled step, and their gradients at the outputs of a tile."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import rows
from .chains import CannotCompile
from .loops import formula, serial
from .passes import exponential

PLAIN, WEIGHTED, BINARY, SQUARED = 0, 1, 2, 3
OF_NUMBERS = {  # losses of numbers, of which a model may have one an example
    F.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
    F.binary_cross_entropy: nn.BCELoss,
    F.mse_loss: nn.MSELoss,
    F.l1_loss: nn.L1Loss,
    F.smooth_l1_loss: nn.SmoothL1Loss,
    F.huber_loss: nn.HuberLoss,
}
MODULES = {F.cross_entropy: nn.CrossEntropyLoss, **OF_NUMBERS}
KNOWN = (nn.CrossEntropyLoss, nn.BCEWithLogitsLoss, nn.MSELoss)  # to a compiled step
ONE_OUTPUT = (
    "the model has one output, and cross-entropy needs one a class: for two classes give the step"
    " the loss nn.BCEWithLogitsLoss() and y.float(), for numbers nn.MSELoss()"
)


class Law(NamedTuple):
    """A mean loss over a batch, as the passes take it.

    Attributes:
        kind: plain cross-entropy, one with weights or smoothing, binary with logits, or squares.
        smoothing: of the labels.
        weights: (n_out,) float32, of the classes, or of the positive examples of an output.
    """

    kind: int
    smoothing: float
    weights: np.ndarray


def law_of(loss: Callable[[Tensor, Tensor], Tensor], n_out: int) -> Law:
    """The law of a loss of torch, of so many outputs. Raises CannotCompile for another one."""
    if isinstance(loss, type):
        raise CannotCompile(f"the loss is a class: give one that is made, as {loss.__name__}()")
    module = loss
    for function, make in MODULES.items():
        if loss is function:
            module = make()
    kind = type(module)
    if kind not in KNOWN:
        name = getattr(loss, "__name__", kind.__name__)
        raise CannotCompile(
            f"the loss {name} is none that a compiled step knows: give a cross-entropy of classes,"
            " a binary one with logits or the mean square of torch, or train by autograd"
        )
    if module.reduction != "mean":
        raise CannotCompile(f"reduction = {module.reduction!r} of the loss: give 'mean'")
    weights, smoothing = getattr(module, "weight", None), 0.0
    number = SQUARED if kind is nn.MSELoss else BINARY
    if kind is nn.CrossEntropyLoss:
        smoothing = module.label_smoothing
        number = PLAIN if weights is None and smoothing == 0 else WEIGHTED
        if 0 <= module.ignore_index < n_out:
            raise CannotCompile(f"the loss ignores class {module.ignore_index}: train by autograd")
    elif weights is not None:
        raise CannotCompile("the loss has weights of examples: train by autograd")
    else:
        weights = getattr(module, "pos_weight", None)
    if weights is None:
        weights = torch.ones(n_out)
    weights = weights.detach()
    if weights.ndim > 1 or weights.numel() not in (1, n_out):
        raise CannotCompile(
            f"the loss has weights of shape {tuple(weights.shape)}: give ({n_out},)"
        )
    return Law(number, smoothing, weights.expand(n_out).float().contiguous().numpy())


def options_of(loss: Callable) -> list:
    """What a loss may change between steps, for comparison."""
    if not isinstance(loss, nn.Module):
        return []
    tensors = [getattr(loss, name, None) for name in ("weight", "pos_weight")]
    versions = [(id(one), one._version) for one in tensors if one is not None]
    names = ("reduction", "label_smoothing", "ignore_index")
    return [*versions, *[getattr(loss, name, None) for name in names]]


def is_of_classes(law: Law) -> bool:
    """True if labels are numbers of classes."""
    return law.kind in (PLAIN, WEIGHTED)


def matched(loss: Callable, outputs: Tensor, targets: Tensor) -> Tensor:
    """The loss of a batch; of outputs (B, 1) and targets (B,), which torch would broadcast to
    (B, B), as numbers of one shape.
    """
    if isinstance(loss, tuple(OF_NUMBERS.values())) or any(loss is one for one in OF_NUMBERS):
        if outputs.shape == (*targets.shape, 1):
            outputs = outputs.squeeze(-1)
        targets = targets.to(outputs.dtype)
        if outputs.shape != targets.shape:  # torch would broadcast one of them
            raise ValueError(
                f"y has shape {tuple(targets.shape)}: give {tuple(outputs.shape)}, that of the"
                " outputs"
            )
    is_of_classes = type(loss) is nn.CrossEntropyLoss or loss is F.cross_entropy
    if is_of_classes and outputs.shape[1:] == (1,):  # the loss would be 0 for class 0
        raise ValueError(ONE_OUTPUT)
    return loss(outputs, targets)


# ------------------------------------------------------------------------------- on a tile


@formula
def share_out(memory, grads, y, g, n_out, tile):
    """Rows of exp(z - the largest z) of the outputs z; returns the largest, and the sum."""
    n = rows.lanes(tile)
    largest = rows.load(memory, y, tile)
    for i in range(1, n_out):
        largest = rows.most(rows.load(memory, y + i * n, tile), largest)
    s = rows.filled(0, tile)
    for i in range(n_out):
        e = exponential(rows.sub(rows.load(memory, y + i * n, tile), largest), tile)
        s = rows.add(s, e)
        rows.store(grads, g + i * n, e)
    return largest, s


@serial
def plain_gradient(memory, grads, y, g, n_classes, labels, starts, begin, n_valid, width, tile):
    r"""Sum of the cross-entropies of a tile's examples, and the gradient of their mean over the
    batch at the logits.

    .. math:: \ln \sum_j e^{z_j} - z_y, \qquad (e^{z_i} / \sum_j e^{z_j} - [i = y]) / B

    y, g: places of the logits in memory and of their gradient in grads, n_classes + 2 rows, of
    which the last two hold the largest logits and the sums of exponentials meanwhile.
    """
    n = rows.lanes(tile)
    largest, s = share_out(memory, grads, y, g, n_classes, tile)
    share = rows.div(rows.filled(1 / width, tile), s)
    share = rows.where(rows.first(n_valid, tile), share)
    for i in range(n_classes):
        rows.store(grads, g + i * n, rows.mul(rows.load(grads, g + i * n, tile), share))
    m_place, s_place = g + n_classes * n, g + (n_classes + 1) * n
    rows.store(grads, m_place, largest)
    rows.store(grads, s_place, s)
    part, loss = rows.number(1 / width, tile), 0.0
    for b in range(n_valid):
        label = labels[starts[begin + b]]
        of_label = memory[y + label * n + b]
        loss += np.log(grads[s_place + b]) + (grads[m_place + b] - of_label)
        grads[g + label * n + b] -= part
    return loss


@serial
def weighted_gradient(
    memory, grads, y, g, n_classes, labels, starts, begin, n_valid, law, whole, tile
):
    r"""The same with weights of classes w and label smoothing s.

    .. math:: t_i = (1 - s) w_y [i = y] + s w_i / C, \qquad
        \sum_i t_i (\ln \sum_j e^{z_j} - z_i), \qquad
        (p_i \sum_j t_j - t_i) / \sum_b w_{y_b}

    whole: the sum of the weights of the labels of the batch, by which the mean divides.
    """
    n = rows.lanes(tile)
    largest, s = share_out(memory, grads, y, g, n_classes, tile)
    m_place, s_place = g + n_classes * n, g + (n_classes + 1) * n
    rows.store(grads, m_place, largest)
    rows.store(grads, s_place, s)
    all_weights = 0.0
    for i in range(n_classes):
        all_weights += law.weights[i]
    loss, smooth = 0.0, law.smoothing / n_classes
    for b in range(n):
        if b >= n_valid:
            for i in range(n_classes):
                grads[g + i * n + b] = 0
            continue
        label = labels[starts[begin + b]]
        of_label = (1 - law.smoothing) * law.weights[label]
        total = of_label + smooth * all_weights
        log = np.log(grads[s_place + b]) + grads[m_place + b]
        for i in range(n_classes):
            t = smooth * law.weights[i] + (of_label if i == label else 0.0)
            loss += t * (log - memory[y + i * n + b])
            p = grads[g + i * n + b] / grads[s_place + b]
            grads[g + i * n + b] = (p * total - t) / whole
    return loss


@serial
def output_gradient(memory, grads, y, g, n_out, targets, starts, begin, n_valid, law, whole, tile):
    r"""Sum of the losses of each output z at its target t, and the gradient of their mean.

    .. math:: (z - t)^2, \qquad \text{or} \quad (1 - t) z + (1 + (w - 1) t) \ln(1 + e^{-z})

    whole: how many numbers the mean is of.
    """
    n, loss = rows.lanes(tile), 0.0
    for b in range(n):
        for i in range(n_out):
            if b >= n_valid:
                grads[g + i * n + b] = 0
                continue
            z = np.float64(memory[y + i * n + b])
            t = np.float64(targets[starts[begin + b] * n_out + i])
            if law.kind == SQUARED:
                loss += (z - t) ** 2
                slope = 2 * (z - t)
            else:
                weight = 1 + (law.weights[i] - 1) * t
                e = np.exp(-abs(z))
                loss += (1 - t) * z + weight * (np.log1p(e) + max(-z, 0.0))
                p = 1 / (1 + e) if z > 0 else e / (1 + e)
                slope = 1 - t + weight * (p - 1)
            grads[g + i * n + b] = slope / whole
    return loss


NO_CLASSES, NO_TARGETS = np.empty(0, np.int64), np.empty(0, np.float32)


def labels_of(y: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Classes (N,) int64 and targets (N · n_out,) float32 of all examples, one of both empty: a
    compiled loop takes both whatever the loss is, and so is compiled once.
    """
    array = y.detach().numpy().reshape(-1)
    return (NO_CLASSES, array) if y.is_floating_point() else (array, NO_TARGETS)


@serial
def divisor(law, labels, starts, n_out):
    """What the mean over a batch divides by."""
    classes, _ = labels
    if law.kind == PLAIN:
        return np.float64(len(starts))
    if law.kind != WEIGHTED:
        return np.float64(len(starts) * n_out)
    whole = 0.0
    for start in starts:
        whole += law.weights[classes[start]]
    return whole


@serial
def loss_gradient(
    memory, grads, y, g, n_out, labels, starts, begin, n_valid, width, law, whole, tile
):
    """Sum of the losses of a tile's examples, and the gradient of the mean at the outputs.

    y, g: places of the outputs in memory and of their gradient in grads, n_out + 2 rows.
    labels: of all examples, as :func:`labels_of` has them, of which ``starts`` are the batch.
    """
    classes, targets = labels
    if law.kind == PLAIN:
        return plain_gradient(
            memory, grads, y, g, n_out, classes, starts, begin, n_valid, width, tile
        )
    if law.kind == WEIGHTED:
        return weighted_gradient(
            memory, grads, y, g, n_out, classes, starts, begin, n_valid, law, whole, tile
        )
    return output_gradient(
        memory, grads, y, g, n_out, targets, starts, begin, n_valid, law, whole, tile
    )
