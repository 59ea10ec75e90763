"""Masked heads on frozen features, a whole population trained at once.

A head is features → hidden ReLU units → classes. A mask takes from it whole features (as shipped),
whole hidden units, or single links of its first layer; what is masked is cut out, not multiplied by
zero, so that a small head costs little. Heads of like size stand in one tensor and take their
steps together, each from its own first weights and in its own order of examples, so that a head
comes out as it would alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lib._boundary import check_known, check_number, check_whole

MODES = ("features", "hidden", "links")
STOPS = ("validation", "training")
TOGETHER = 8 << 20  # entries of the first layers and the inputs of heads trained together


@dataclass(frozen=True)
class HeadSettings:
    r"""How every head of a population is trained: SGD with Nesterov's momentum on cross-entropy.

    .. math:: v \leftarrow \mu v - \eta_t g, \quad w \leftarrow w + \mu v - \eta_t g, \quad
        \eta_t = \eta / (1 + \gamma t)

    with g the gradient, and on weights also :math:`\lambda w`.

    Source: [Sutskever2013] Section 2, in the form that looks ahead of the current weights.

    Args:
        n_hidden: ReLU units.
        learning_rate: :math:`\eta`.
        decay: :math:`\gamma`, a step t.
        momentum: :math:`\mu`.
        weight_decay: :math:`\lambda`, on the weights, not on the biases.
        batch_size: examples a step.
        epochs: at most.
        patience: epochs without improvement by ``min_delta`` after which a head stops.
        min_delta: smallest improvement of the loss that counts.
        stop_on: the loss looked at, "validation" or "training" (as released).
    """

    n_hidden: int = 512
    learning_rate: float = 0.05
    decay: float = 1e-6
    momentum: float = 0.9
    weight_decay: float = 0.005
    batch_size: int = 64
    epochs: int = 40
    patience: int = 4
    min_delta: float = 1e-5
    stop_on: str = "validation"

    def __post_init__(self) -> None:
        check_known("loss to stop on", self.stop_on, STOPS)
        check_number("learning_rate", self.learning_rate, "(0, inf)")
        for name in ("n_hidden", "batch_size", "epochs", "patience"):
            check_whole(name, getattr(self, name), least=1)
        check_number("momentum", self.momentum, "[0, 1)")
        check_number("decay", self.decay, "[0, inf)")
        check_number("weight_decay", self.weight_decay, "[0, inf)")
        check_number("min_delta", self.min_delta, "[-inf, inf)")  # -inf: every epoch improves


@dataclass(frozen=True, eq=False)
class Head:
    """A trained head, only what its mask left.

    Args:
        inputs: (k,) int64, the features that it reads.
        units: (h,) int64, the hidden units that have inputs; the others are gone, bias and all.
        weight_in: (k, h), zero where a single link is masked.
        bias_in: (h,).
        weight_out: (h, n_classes).
        bias_out: (n_classes,).
        mask: bool, as given to :func:`train`.
        epochs: that were trained.
        loss: the smallest that early stopping saw; the weights are those of its epoch.
    """

    inputs: Tensor
    units: Tensor
    weight_in: Tensor
    bias_in: Tensor
    weight_out: Tensor
    bias_out: Tensor
    mask: np.ndarray
    epochs: int
    loss: float

    def logits(self, x: Tensor) -> Tensor:
        """(B, n_classes) logits of (B, n_features) features."""
        hidden = torch.relu(x[:, self.inputs] @ self.weight_in + self.bias_in)  # (B, h)
        return hidden @ self.weight_out + self.bias_out

    @property
    def active_fraction(self) -> float:
        """Share of ones in the mask."""
        return float(self.mask.mean())


def mask_shape(mode: str, n_features: int, n_hidden: int) -> tuple[int, ...]:
    """Shape of one mask: (n_features,), (n_hidden,) or (n_features, n_hidden)."""
    if mode == "features":
        return (n_features,)
    if mode == "hidden":
        return (n_hidden,)
    return (n_features, n_hidden)


def train(
    x: Tensor,
    y: Tensor,
    masks: np.ndarray,
    seeds: Sequence[int],
    *,
    mode: str,
    n_classes: int,
    settings: HeadSettings,
    valid: tuple[Tensor, Tensor] | None = None,
) -> list[Head]:
    """One trained head a mask, in the order of the masks.

    A head depends on its mask and seed alone, up to rounding: not on the others of its population.
    Two heads of one seed start from the same weights, where both have a link.

    Source: [Poyatos2023] Section 3 for the masks; a bias goes with the last input of its unit.

    Args:
        x: (N, n_features) float32 or float64 features of the training examples.
        y: (N,) int64 classes.
        masks: (P, *mask_shape) bool, one a head; all zeros leaves the biases of the output.
        seeds: P whole numbers, of the first weights and the order of the examples.
        mode: what is masked, one of :data:`MODES`.
        n_classes: of the output.
        settings: of the training.
        valid: features and classes on which early stopping looks.
    """
    task = _Task(x, y, valid, n_classes, settings)
    supports = [_support(mask, mode, x.shape[1], settings.n_hidden) for mask in masks]
    heads: dict[int, Head] = {}
    for numbers in _groups(supports, len(x)):
        chosen = [supports[number] for number in numbers]
        group = _Group(task, chosen, [int(seeds[number]) for number in numbers])
        for place, head in group.trained(masks[numbers]).items():
            heads[numbers[place]] = head
    return [heads[number] for number in range(len(masks))]


def accuracies(heads: Sequence[Head], x: Tensor, y: Tensor) -> np.ndarray:
    """(P,) share of right answers of every head on (B, n_features) features and (B,) classes."""
    return (predictions(heads, x) == y.numpy()).mean(axis=1)


def predictions(heads: Sequence[Head], x: Tensor) -> np.ndarray:
    """(P, B) class that every head finds in (B, n_features) features."""
    return np.stack([head.logits(x).argmax(1).numpy() for head in heads])


# ------------------------------------------------------------------------------ what is left


@dataclass(frozen=True, eq=False)
class _Support:
    """The first layer under a mask; links: (k, h) bool, None where all of these are."""

    inputs: Tensor
    units: Tensor
    links: Tensor | None


def _support(mask: np.ndarray, mode: str, n_features: int, n_hidden: int) -> _Support:
    """The part that a mask leaves: no unit without inputs, no feature without links."""
    links = None
    if mode == "features":
        inputs, units = mask, np.full(n_hidden, mask.any())
    elif mode == "hidden":
        inputs, units = np.full(n_features, mask.any()), mask
    else:
        inputs, units = mask.any(axis=1), mask.any(axis=0)
        links = torch.from_numpy(mask[np.ix_(inputs, units)])
    places = torch.from_numpy(np.flatnonzero(inputs)), torch.from_numpy(np.flatnonzero(units))
    return _Support(*places, links)


def _groups(supports: Sequence[_Support], n_examples: int) -> list[list[int]]:
    """Numbers of the heads that are trained together: of like size, and not too much memory."""
    order = sorted(range(len(supports)), key=lambda i: (len(supports[i].inputs), i))
    groups: list[list[int]] = []
    room = 0
    for number in reversed(order):  # the largest first: the others of its group are padded to it
        support = supports[number]
        if room <= 0:
            groups.append([])
            room = TOGETHER
            size = len(support.inputs) * (len(support.units) + n_examples)
        groups[-1].append(number)
        room -= max(size, 1)
    return groups


# -------------------------------------------------------------------------------- the training


@dataclass(frozen=True, eq=False)
class _Task:
    """Data that all heads are trained on."""

    x: Tensor
    y: Tensor
    valid: tuple[Tensor, Tensor] | None
    n_classes: int
    settings: HeadSettings


class _Group:
    """Heads that take their steps together, padded with zeros to the size of the largest.

    What is padded stays zero: a padded input is 0, and a padded unit is ReLU(0), with weights to
    the classes of 0.
    """

    def __init__(self, task: _Task, supports: Sequence[_Support], seeds: Sequence[int]) -> None:
        self.task = task
        self.supports = supports
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.places = list(range(len(supports)))  # of the heads that are still trained
        k = max(len(support.inputs) for support in supports)
        h = max(len(support.units) for support in supports)
        n_heads, n_classes, dtype = len(supports), task.n_classes, task.x.dtype
        shapes = ((k, h), (1, h), (h, n_classes), (1, n_classes))
        self.parameters = [torch.zeros(n_heads, *shape, dtype=dtype) for shape in shapes]
        self.velocities = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.links = None
        if supports[0].links is not None:
            self.links = torch.zeros(n_heads, k, h, dtype=dtype)
        self.x = _padded(task.x, supports, k)
        self.x_valid = None
        if task.settings.stop_on == "validation":
            self.x_valid = _padded(task.valid[0], supports, k)
        for place in self.places:
            self._start(place)
        self.best = [parameter.clone() for parameter in self.parameters]

    def _start(self, place: int) -> None:
        """First weights of a head: those of the full one that its mask leaves."""
        support = self.supports[place]
        n_inputs, n_units = len(support.inputs), len(support.units)
        sizes = (self.task.x.shape[1], self.task.settings.n_hidden, self.task.n_classes)
        weight_in, weight_out = _first_weights(sizes, self.generators[place])
        left = weight_in[support.inputs][:, support.units]
        if self.links is not None:
            left = left * support.links
            self.links[place, :n_inputs, :n_units] = support.links
        self.parameters[0][place, :n_inputs, :n_units] = left
        self.parameters[2][place, :n_units] = weight_out[support.units]

    def trained(self, masks: np.ndarray) -> dict[int, Head]:
        """{place: head}, each at the epoch at which its loss was smallest."""
        settings = self.task.settings
        n_heads = len(self.places)
        smallest = torch.full((n_heads,), torch.inf, dtype=self.task.x.dtype)
        waited = torch.zeros(n_heads, dtype=torch.int64)
        heads: dict[int, Head] = {}
        step = 0
        for epoch in range(1, settings.epochs + 1):
            step, loss = self._epoch(step)
            if self.x_valid is not None:
                _, log_p = _forward(self.parameters, self.x_valid)
                loss = _cross_entropy(log_p, self.task.valid[1].expand(len(self.places), -1))
            better = loss < smallest - settings.min_delta
            smallest = torch.where(better, loss, smallest)
            waited = torch.where(better, 0, waited + 1)
            for parameter, best in zip(self.parameters, self.best, strict=True):
                best[better] = parameter[better]
            done = waited >= settings.patience
            if epoch == settings.epochs:
                done = torch.ones_like(done)
            for row in done.nonzero().flatten().tolist():
                place = self.places[row]
                heads[place] = self._head(row, masks[place], epoch, float(smallest[row]))
            if done.any():
                smallest, waited = smallest[~done], waited[~done]
                self._keep(~done)
            if not self.places:
                break
        return heads

    def _epoch(self, step: int) -> tuple[int, Tensor]:
        """Number of steps taken so far, and the mean loss (P,) of the batches of this epoch."""
        task, settings = self.task, self.task.settings
        n = len(task.x)
        orders = [torch.randperm(n, generator=self.generators[p]) for p in self.places]
        order = torch.stack(orders)  # (P, N)
        rows = torch.arange(len(self.places))[:, None]
        total = torch.zeros(len(self.places), dtype=task.x.dtype)
        for batch in order.split(settings.batch_size, dim=1):
            rate = settings.learning_rate / (1 + settings.decay * step)
            loss = self._step(self.x[rows, batch], task.y[batch], rate)
            total += loss * batch.shape[1]
            step += 1
        return step, total / n

    def _step(self, x: Tensor, y: Tensor, rate: float) -> Tensor:
        """One step of all heads on (P, B, k) features and (P, B) classes; their losses (P,)."""
        _, _, weight_out, _ = self.parameters
        hidden, log_p = _forward(self.parameters, x)
        error = log_p.exp()  # (P, B, classes)
        error.scatter_add_(2, y[..., None], torch.full_like(error[..., :1], -1.0))
        error /= x.shape[1]
        back = torch.bmm(error, weight_out.mT)  # (P, B, h)
        back *= hidden > 0
        gradients = (
            torch.bmm(x.mT, back),
            back.sum(1, keepdim=True),
            torch.bmm(hidden.mT, error),
            error.sum(1, keepdim=True),
        )
        if self.links is not None:
            gradients[0].mul_(self.links)
        settings = self.task.settings
        triples = zip(self.parameters, self.velocities, gradients, strict=True)
        for number, (parameter, velocity, gradient) in enumerate(triples):
            if number in (0, 2) and settings.weight_decay:  # no decay of biases
                gradient.add_(parameter, alpha=settings.weight_decay)
            velocity.mul_(settings.momentum).sub_(gradient, alpha=rate)
            parameter.add_(velocity, alpha=settings.momentum).sub_(gradient, alpha=rate)
        return _cross_entropy(log_p, y)

    def _keep(self, rows: Tensor) -> None:
        """Only these heads are trained on."""
        self.places = [p for p, kept in zip(self.places, rows.tolist(), strict=True) if kept]
        for name in ("parameters", "velocities", "best"):
            setattr(self, name, [tensor[rows] for tensor in getattr(self, name)])
        for name in ("links", "x", "x_valid"):
            tensor = getattr(self, name)
            if tensor is not None:
                setattr(self, name, tensor[rows])

    def _head(self, row: int, mask: np.ndarray, epochs: int, loss: float) -> Head:
        support = self.supports[self.places[row]]
        n_inputs, n_units = len(support.inputs), len(support.units)
        weight_in, bias_in, weight_out, bias_out = (best[row] for best in self.best)
        return Head(
            inputs=support.inputs,
            units=support.units,
            weight_in=weight_in[:n_inputs, :n_units].clone(),
            bias_in=bias_in[0, :n_units].clone(),
            weight_out=weight_out[:n_units].clone(),
            bias_out=bias_out[0].clone(),
            mask=mask,
            epochs=epochs,
            loss=loss,
        )


def _padded(x: Tensor, supports: Sequence[_Support], k: int) -> Tensor:
    """(P, N, k) features that each head reads, then zeros."""
    padded = torch.zeros(len(supports), len(x), k, dtype=x.dtype)
    for row, support in zip(padded, supports, strict=True):
        row[:, : len(support.inputs)] = x[:, support.inputs]
    return padded


def _first_weights(
    sizes: tuple[int, int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    r"""Weights of a full head, uniform in :math:`\pm\sqrt{6 / (n_{in} + n_{out})}`.

    Source: [Glorot2010] Eq. (16).
    """
    n_in, n_hidden, n_out = sizes
    weights = []
    for shape in ((n_in, n_hidden), (n_hidden, n_out)):
        bound = (6 / sum(shape)) ** 0.5
        drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
        weights.append((2 * drawn - 1) * bound)
    return weights[0], weights[1]


def _forward(parameters: Sequence[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden activations (P, B, h) and log-probabilities (P, B, classes) of (P, B, k) features."""
    weight_in, bias_in, weight_out, bias_out = parameters
    hidden = torch.baddbmm(bias_in, x, weight_in).relu_()
    logits = torch.baddbmm(bias_out, hidden, weight_out)
    return hidden, logits.log_softmax(2)


def _cross_entropy(log_p: Tensor, y: Tensor) -> Tensor:
    """(P,) mean over the batch."""
    return -log_p.gather(2, y[..., None])[..., 0].mean(1)
