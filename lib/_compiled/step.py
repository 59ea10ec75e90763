"""A whole training step in one compiled call: batch, forward, loss, backward and the optimiser.

A tile of the batch goes through all of it on one thread, without waiting for another; then what the
tiles add up to is summed in their order, and the parameters descend. Only a batch normalisation
lets all tiles wait for each other. Memory is laid out once for the links and the size of the batch.
What :class:`CompiledStep` cannot run goes the general way, by autograd over the same passes.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import activations, evolution, layers
from ..evolution import AVERAGE, LINK_STEPS, held_by
from . import chains, launch, layout, losses, passes, rows
from .chains import LOOPS_OFF, ONE_EXAMPLE, CannotCompile
from .loops import formula, parallel, serial
from .memory import INDEX, at, record

# A parameter in an update. An address is 0 for what there is not.
# values, momentum, average: addresses of its numbers, their momentum and their running average
# inverse: address of the place of each link in the transposed order, in which the sums of its
#     gradient are; 0 if these have the order of the parameter
# n: how many numbers it has
# d: where the sums of its gradient begin
# is_pieces: whether it is that of SReLU
# is_nesterov: whether the momentum is Nesterov's
# rate, factor, decay: learning rate, momentum and weight decay; for Adam factor is the first beta
# second: address of Adam's mean of squares, 0 for SGD; momentum is Adam's mean
# beta, eps: of Adam, the second beta, and what is added to the root
# is_decoupled: whether the decay is that of AdamW
# n_steps: how many steps it has made, with this one
# ages: address of the steps of each link, where an Evolver counts them
# corrections, n_corrections: address of Adam's corrections of both means, (2, n), and n
PARAMETER_ROW = record(
    (
        "values momentum average inverse n d is_pieces is_nesterov rate factor decay second beta"
        " eps is_decoupled n_steps ages corrections n_corrections"
    ).split(),
    floats=("rate", "factor", "decay", "beta", "eps"),
)

# -------------------------------------------------------------------------- the compiled step


@formula
def descended(w, m, g, rate, factor, decay, is_nesterov):
    r"""Weight and momentum after a step of SGD, with the roundings of torch's fused one.

    .. math:: d = g + \lambda w, \qquad m \leftarrow \mu m + d, \qquad w \leftarrow w - \eta m

    Nesterov's takes :math:`d + \mu m` for the last m.
    """
    d = rows.fused(decay, w, g)
    m = factor * m + d
    return rows.fused(-rate, rows.fused(factor, m, d) if is_nesterov else m, w), m


@serial
def update(parameter, begin, end, sums, scale, averaging, tile):
    """The numbers begin to end of a parameter, from scale times the gradient over the batch."""
    zero, n = rows.number(0, tile), parameter.n
    w, m = at(parameter.values, zero, n), at(parameter.momentum, zero, n)
    d = sums[parameter.d : parameter.d + n]
    inverse = at(parameter.inverse, INDEX, n)
    if parameter.second != 0:
        descend_by_adam(parameter, begin, end, w, m, d, inverse, scale, tile)
    else:
        rate, factor = rows.number(parameter.rate, tile), rows.number(parameter.factor, tile)
        decay, nesterov = rows.number(parameter.decay, tile), parameter.is_nesterov != 0
        if parameter.inverse != 0:
            for k in range(begin, end):
                g = scale * d[inverse[k]]
                w[k], m[k] = descended(w[k], m[k], g, rate, factor, decay, nesterov)
        else:
            for k in range(begin, end):
                w[k], m[k] = descended(w[k], m[k], scale * d[k], rate, factor, decay, nesterov)
    if parameter.average != 0:
        average, lerp = at(parameter.average, zero, n), rows.number(averaging, tile)
        for k in range(begin, end):
            average[k] += lerp * (w[k] - average[k])


@serial
def descend_by_adam(parameter, begin, end, w, m, d, inverse, scale, tile):
    r"""A step of Adam or AdamW; a link that has steps of its own is corrected by their number t.

    .. math::
        m \leftarrow m + (1 - \beta_1)(g - m), \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2

        w \leftarrow w - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Source: [Kingma2015], Algorithm 1; [Loshchilov2019] for the decay of AdamW.
    """
    zero, one, n = rows.number(0, tile), rows.number(1, tile), parameter.n
    v, ages = at(parameter.second, zero, n), at(parameter.ages, zero, n)
    corrections = at(parameter.corrections, zero, (2, parameter.n_corrections))
    rate, decay = rows.number(parameter.rate, tile), rows.number(parameter.decay, tile)
    beta1, beta2 = rows.number(parameter.factor, tile), rows.number(parameter.beta, tile)
    eps, shrink = rows.number(parameter.eps, tile), one
    if parameter.is_decoupled:
        shrink, decay = rows.number(1 - parameter.rate * parameter.decay, tile), zero
    t = parameter.n_steps
    of_mean, of_squares = rate * corrections[0, t], corrections[1, t]
    has_inverse, has_ages = parameter.inverse != 0, parameter.ages != 0
    for k in range(begin, end):
        g = scale * (d[inverse[k]] if has_inverse else d[k]) + decay * w[k]
        m[k] += (one - beta1) * (g - m[k])
        v[k] = beta2 * v[k] + (one - beta2) * (g * g)
        if has_ages:
            ages[k] += one
            t = min(np.int64(ages[k]), parameter.n_steps)
            of_mean, of_squares = rate * corrections[0, t], corrections[1, t]
        w[k] = shrink * w[k] - of_mean * m[k] / (np.sqrt(v[k]) * of_squares + eps)


@serial
def scale_of(parameters, sums, most, tile):
    """What the gradients are multiplied by, so that the norm of all is at most ``most``; as
    ``torch.nn.utils.clip_grad_norm_`` has it.
    """
    narrow = rows.narrow(tile, 16)
    if most == np.inf:
        return rows.number(1, tile)
    total = 0.0
    for i in range(len(parameters)):
        begin, end = parameters[i].d, parameters[i].d + parameters[i].n
        whole = begin + parameters[i].n // 16 * 16
        squares = rows.filled(0, narrow)
        for k in range(begin, whole, 16):
            g = rows.load(sums, k, narrow)
            squares = rows.fma(g, g, squares)
        total += rows.total(squares)
        for k in range(whole, end):
            total += sums[k] * sums[k]
    return rows.number(min(1.0, most / (np.sqrt(total) + 1e-6)), tile)


@serial
def finish_pieces(parameters, sums, tile):
    """Gradients of the parameters of each SReLU, from the sums over the batch."""
    zero = rows.number(0, tile)
    for i in range(len(parameters)):
        if parameters[i].is_pieces:
            n, n_units = parameters[i].n, parameters[i].n // 4
            pieces = at(parameters[i].values, zero, (4, n_units))
            d = sums[parameters[i].d : parameters[i].d + n].reshape(4, n_units)
            passes.make_pieces_gradients(d, pieces, 0, n_units)


@parallel
def descend(parameters, sums, most, averaging, n_chunks, tile):
    """All parameters, from the sums over the batch; ``most`` and ``averaging`` as in
    :func:`train_step`.
    """
    finish_pieces(parameters, sums, tile)
    scale = scale_of(parameters, sums, most, tile)
    for c in numba.prange(n_chunks):
        for i in range(len(parameters)):
            begin, end = passes.part_of(np.int64(c), n_chunks, parameters[i].n)
            update(parameters[i], begin, end, sums, scale, averaging, tile)


@serial
def fill_tile(table, x, starts, standard, memory, t, width, tile):
    """Gather and standardise the examples of a tile."""
    n = rows.lanes(tile)
    begin, n_valid = t * n, min(n, width - t * n)
    place, n_in = table[1].x * n, table[0].n_out
    passes.gather(memory, place, x, starts, begin, n_valid, n_in, tile)
    if standard.shape[0]:
        for j in range(n_in):
            row = rows.sub(rows.load(memory, place + j * n, tile), standard[0, j])
            row = rows.where(rows.first(n_valid, tile), row)
            rows.store(memory, place + j * n, rows.div(row, standard[1, j]))


@formula
def visit_tile(
    i, table, norms, x, y, starts, standard, memory, masks, sums, statistics, t, width, law, whole,
    forward, backward, tile,
):  # fmt: skip
    """A tile on its way through the network and back, as far as it goes without the other tiles.

    Each of n batch normalisations stops it twice: forwards for mean and deviation of its input over
    the batch, backwards for means of gradients. So a batch takes 2 n + 1 visits, of which this is
    number i.

    Returns: the sum of the losses of the tile on the visit that comes to the end of the network,
        else 0.
    """
    begin, n_norms = t * rows.lanes(tile), len(norms)
    n_valid = min(rows.lanes(tile), width - begin)
    loss = 0.0
    if i == 0:
        fill_tile(table, x, starts, standard, memory, t, width, tile)
    if i <= n_norms:
        first = norms[i - 1] if i > 0 else 1
        last = norms[i] if i < n_norms else len(table) - 1
        passes.run_forward(forward, (table[first:last], memory, masks, begin, width, tile))
        if i < n_norms:
            passes.add_statistics(table[last], memory, statistics[t], n_valid, tile)
            return loss
        n, last = rows.lanes(tile), table[-2]
        places = last.y * n, table[-1].g * n, last.n_out
        batch = y, starts, begin, n_valid, width
        loss = losses.loss_gradient(memory, memory, *places, *batch, law, whole, tile)
    below = 2 * n_norms - i  # normalisations that are still to come
    top = norms[below] if below < n_norms else len(table) - 1
    bottom = norms[below - 1] if below > 0 else 0
    if below < n_norms:
        passes.finish_batch_norm(table[top], memory, memory, n_valid, tile)
    passes.run_backward(backward, (table, top, bottom, memory, memory, masks, sums, tile))
    return loss


@serial
def meet(i, table, norms, statistics, sums, width, tile):
    """What the batch normalisation that stops all tiles after visit i takes from them."""
    below = 2 * len(norms) - i
    if i < len(norms):
        take_statistics(table[norms[i]], statistics, width, tile)
    elif below > 0:
        take_means(table[norms[below - 1]], sums, width, tile)


@serial
def take_statistics(layer, statistics, width, tile):
    """Mean and inverse deviation of each input over the batch, from those of its tiles in their
    order; and the running ones.

    Source: Chan, Golub and LeVeque for the sum of squares of two samples.
    """
    n, zero = rows.lanes(tile), rows.number(0, tile)
    of_batch = at(layer.pieces, zero, (4, layer.n_out))
    running_mean = at(layer.mean, zero, layer.n_out)
    running_variance = at(layer.variance, zero, layer.n_out)
    for r in range(layer.n_out):
        mean = squares = 0.0
        for t in range(statistics.shape[0]):
            n_valid, before = min(n, width - t * n), t * n
            change = statistics[t, 0, r] - mean
            mean += change * n_valid / (before + n_valid)
            squares += statistics[t, 1, r]
            squares += change * change * before * n_valid / (before + n_valid)
        of_batch[0, r] = mean
        of_batch[1, r] = 1 / np.sqrt(squares / width + layer.constant)
        if layer.mean != 0:
            running_mean[r] += layer.share * (mean - running_mean[r])
            running_variance[r] += layer.share * (squares / (width - 1) - running_variance[r])


@serial
def take_means(layer, sums, width, tile):
    """Means over the batch of the gradient at what was normalised, and of its product with that."""
    zero = rows.number(0, tile)
    of_batch = at(layer.pieces, zero, (4, layer.n_out))
    weight, has_weight = at(layer.values, zero, layer.n_out), layer.values != 0
    for r in range(layer.n_out):
        g = product = 0.0
        for t in range(sums.shape[0]):
            g += sums[t, layer.d_bias + r]
            product += sums[t, layer.d_values + r]
        w = weight[r] if has_weight else rows.number(1, tile)
        of_batch[2, r], of_batch[3, r] = w * g / width, w * product / width


NO_EXAMPLE, NO_CLASS = -1.0, -2.0  # in place of a loss


@serial
def refusal(starts, y, n_examples, n_classes, law):
    """Number in place of the loss if an example or a class does not exist; else 0."""
    classes, _ = y
    for b in range(len(starts)):
        if not 0 <= starts[b] < n_examples:
            return NO_EXAMPLE
        if law.kind <= losses.WEIGHTED and not 0 <= classes[starts[b]] < n_classes:
            return NO_CLASS
    return 0.0


@parallel
def input_gradient(
    table, norms, x, y, starts, standard, memory, masks, sums, statistics, grad_x, width, law,
    n_slots, forward, backward, tile,
):  # fmt: skip
    """The gradient at x (B, n_in), flat, of the mean loss of a batch, into grad_x; returns 0, or
    :data:`NO_CLASS`.

    Args:
        table: as in :func:`train_step`, with places of the gradient at the input, none of those of
            parameters, and the weights of all layers in both orders.
        starts: numbers from 0 on, at least as many as examples and as inputs.
        width: B.
        norms, x, y, standard, memory, masks, sums, statistics, law, n_slots, forward, backward: as
            in :func:`train_step`, without batch normalisations.
    """
    n, n_in = rows.lanes(tile), table[0].n_out
    n_tiles, bottom = -(-width // n), table[0].g * n
    refused = refusal(starts[:width], y, len(x) // n_in, table[-1].n_in, law)
    if refused != 0:
        return refused
    whole = losses.divisor(law, y, starts[:width], table[-1].n_in)
    for c in numba.prange(n_slots):
        passes.order_weights(table, np.int64(c), n_slots, tile)
    for s in numba.prange(n_slots):
        slot = np.int64(s)
        first, last = passes.part_of(slot, n_slots, n_tiles)
        for t in range(first, last):
            own = memory[slot]
            given = table, norms, x, y, starts, standard, own, masks[slot], sums[0], statistics
            visit_tile(0, *given, t, width, law, whole, forward, backward, tile)
            if standard.shape[0]:
                for j in range(n_in):
                    row = rows.load(own, bottom + j * n, tile)
                    rows.store(own, bottom + j * n, rows.div(row, standard[1, j]))
            begin, n_valid = t * n, min(n, width - t * n)
            passes.scatter(own, bottom, grad_x, starts, begin, n_valid, n_in, tile)
    return refused


@parallel
def train_step(
    table, norms, x, y, starts, standard, memory, masks, sums, statistics, parameters, averaging,
    law, most, n_slots, n_chunks, forward, backward, tile,
):  # fmt: skip
    """Mean loss of a batch, and the descent of the parameters unless it is not finite;
    :data:`NO_EXAMPLE` or :data:`NO_CLASS` if there is none of such a number.

    Args:
        table: (n + 2,) of LAYER, see :func:`lib._compiled.passes.backward_layers`.
        norms: places of the batch normalisations in the table.
        x: all examples, flat.
        y: their classes and targets, as :func:`losses.labels_of` has them.
        starts: (B,) which of them are the batch.
        standard: (2, n_in) mean and deviation of each input, or (0, 0).
        memory, masks: of each slot, or of each tile where there are batch normalisations; gradients
            take the place of the outputs.
        sums: of each tile; of fewer where there is no batch normalisation.
        statistics: (tiles, 2, n), n at least the width of each normalisation.
        parameters: of PARAMETER_ROW.
        averaging: what the averages take of the new weights.
        law: of the loss.
        most: norm of all gradients, to which they are clipped; infinite for none.
        n_slots, n_chunks: how many tiles run at a time, and parts of what is updated.
        forward, backward: addresses of the passes of a tile.
    """
    n, width, n_out = rows.lanes(tile), len(starts), table[-1].n_in
    n_tiles, n_sums = -(-width // n), sums.shape[0]
    tile_losses = np.zeros(n_tiles)
    refused = refusal(starts, y, len(x) // table[0].n_out, n_out, law)
    if refused != 0:
        return refused
    whole = losses.divisor(law, y, starts, n_out)
    for c in numba.prange(n_chunks):
        passes.order_weights(table, np.int64(c), n_chunks, tile)
    start = 0
    while start < n_tiles:
        place, count = passes.tiles_from(start, n_tiles, n_sums)
        n_parts = min(n_slots, count)
        for visit in range(2 * len(norms) + 1):
            for s in numba.prange(n_parts):
                slot = np.int64(s)
                first, last = passes.part_of(slot, n_parts, count)
                for i in range(first, last):
                    t = start + i
                    room = t if len(norms) > 0 else slot
                    own, bits = memory[room], masks[room]
                    given = table, norms, x, y, starts, standard, own, bits, sums[place + i]
                    tile_losses[t] += visit_tile(
                        visit, *given, statistics, t, width, law, whole, forward, backward, tile
                    )
            meet(visit, table, norms, statistics, sums, width, tile)
        passes.add_up(sums, place + count, n_chunks)
        start += count
    loss = 0.0
    for k in range(n_tiles):  # in their order
        loss += tile_losses[k]
    loss /= whole
    if not np.isfinite(loss):
        return loss
    descend(parameters, sums[0], most, averaging, n_chunks, tile)
    return loss


def is_compiled() -> bool:
    """True if this machine has compiled a step before, so that it is only loaded."""
    return any(Path(train_step.stats.cache_path).glob("step.train_step-*.nbi"))


# ------------------------------------------------------------------------------- what it runs


NO_INPUT_GRADIENT = "gradients at inputs need a linear layer first and no BatchNorm1d"


class Step:
    """A model, its optimiser and its loss, of which a compiled step is made; see
    :func:`lib.train.compiled_step`. A subclass looks at the model in ``_read_model``, when the step
    is made, copied, or called with a model that has changed.
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
        *,
        clip_norm: float | None = None,
        average: Any = None,
    ) -> None:
        self.__setstate__((model, optimiser, loss, clip_norm, average))

    def __getstate__(self) -> tuple:
        """A copy looks at its own model, and lays out its own memory."""
        return self.model, self.optimiser, self.loss, self.clip_norm, self.average

    def __setstate__(self, state: tuple) -> None:
        self.model, self.optimiser, self.loss, self.clip_norm, self.average = state
        self._take_over()

    def _take_over(self) -> None:
        """Look at the model and the optimiser as they are. Raises CannotCompile."""
        self._read_model()
        self._snapshot = chains.Snapshot(self.model)
        modules = self.model.modules()
        self._sparse = [module for module in modules if isinstance(module, layers.SparseLinear)]

    def _is_watched(self) -> bool:
        """True where an Evolver collects gradients at outputs of layers, which takes autograd."""
        return any(layer.watched_as is not None for layer in self._sparse)

    def _descend(
        self, loss: Tensor, others: Callable[[], list[tuple[nn.Parameter, Tensor]]] = list
    ) -> float:
        """Take a step along the gradients of a loss, unless it is not finite; return the loss.

        others: gives gradients that are not torch's, after the backward pass.
        """
        value = loss.item()
        if math.isfinite(value):
            self.optimiser.zero_grad()
            loss.backward()
            for parameter, grad in others():
                parameter.grad = grad if parameter.grad is None else parameter.grad + grad
            if self.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
            self.optimiser.step()
            self.optimiser.zero_grad()
        return value


class CompiledStep(Step):
    """A training step of a model as one call; made by :func:`lib.train.compiled_step`, which says
    what it takes.

    No graph is built, whatever the grad mode: ``x`` and the parameters get no ``grad``. Hooks on
    all modules at once and ``torch.autocast`` do not count. The momentum is kept in the state also
    where it is 0, and then is the last gradient.
    """

    def _read_model(self) -> None:
        self.standardise, self.parts, self.twins = chains.find_chain(self.model)
        self.law = losses.law_of(self.loss, self.parts[-1].width)
        _check_optimiser(self.model, self.optimiser, self.average)
        self._plan: _Plan | None = None
        self._of_loss = losses.options_of(self.loss)
        self._splash = [*activations.splash_units(self.model).values()]
        self._has_norms = any(isinstance(part.unit, nn.BatchNorm1d) for part in self.parts)
        self._of_optimiser = hooks_of_optimiser(self.optimiser)
        self._n_of_optimiser = sum(map(len, self._of_optimiser))

    def _is_as_it_was(self) -> bool:
        """True if the model, the loss and the hooks are those that were looked at; in some
        microseconds.
        """
        if not self._snapshot.holds() or losses.options_of(self.loss) != self._of_loss:
            return False
        if any(unit.bounded for unit in self._splash):
            return False
        return sum(map(len, self._of_optimiser)) == self._n_of_optimiser

    def __call__(self, x: Tensor, y: Tensor, index: Tensor | None = None) -> float:
        """Take a step; return the mean loss before it.

        Args:
            x: (N, features...) float32, contiguous.
            y: (N,) int64 classes; of a loss of numbers (N, n_out) float32, or (N,) of one output.
            index: (B,) int64, which of the examples are the batch; None: all.
        Raises: ValueError if a shape, a dtype, a device or a class does not fit; CannotCompile if
            the model or the optimiser has become one that :class:`CompiledStep` does not take, as
            by a hook or a frozen parameter.
        """
        check_tensors(x, y, index)
        if self._is_watched():
            if index is not None:
                x, y = x.index_select(0, index), y.index_select(0, index)
            return self._descend(losses.matched(self.loss, self.model(x), y))
        self._check(x, y, index)
        starts = np.arange(len(x)) if index is None else index.contiguous().numpy()
        loss = self._plan_for(len(starts)).run(x, y, starts)
        if loss == NO_EXAMPLE:
            raise ValueError(f"index holds {_outside(index, len(x))}: there are {len(x)} examples")
        if loss == NO_CLASS:
            raise self._no_class(y if index is None else y[index])
        return loss

    @property
    def finds_gradients_at_inputs(self) -> bool:
        """True if :meth:`gradient_at` runs for this model."""
        return self.parts[0].linear is not None and not self._has_norms

    def gradient_at(self, x: Tensor, y: Tensor) -> Tensor:
        """The gradient of the mean loss at x, like x, of the model in evaluation mode; an attack
        follows it. No step is taken.

        Args:
            x: (B, features...) float32, contiguous.
            y: (B,) int64 classes.
        Raises: as a step; CannotCompile if the model has batch normalisation, or does not begin
            with a linear layer.
        """
        check_tensors(x, y)
        self._check(x, y, None)
        if not self.finds_gradients_at_inputs:
            raise CannotCompile(f"{NO_INPUT_GRADIENT}: use autograd")
        grad_x = torch.empty_like(x, requires_grad=False)
        if self._plan_for(len(x)).find_gradient(x, y, grad_x) == NO_CLASS:
            raise self._no_class(y)
        return grad_x

    def _plan_for(self, width: int) -> "_Plan":
        """For a batch of so many examples. Raises CannotCompile."""
        if not self._is_as_it_was():
            self._take_over()
        for twin, follows in self.twins:
            twin.training, twin.p = follows.training, follows.p
        if width == 1:
            numba.set_num_threads(1)  # one example is the work of one thread
        else:
            launch.match_threads()
        if self._plan is None or not self._plan.fits(width):
            self._plan = _Plan(self, width)
        return self._plan

    def _no_class(self, labels: Tensor) -> ValueError:
        n = self.parts[-1].width
        return ValueError(
            f"y holds class {_outside(labels, n)}: the model has {n} classes, 0 to {n - 1}"
        )

    def fitting(self, x: Tensor, y: Tensor) -> Tensor | None:
        """Labels as the loss and the model take them: classes (N,) int64, or targets in float32;
        None if they do not fit.
        """
        n = self.parts[-1].width
        if not losses.is_of_classes(self.law):
            return y.float().contiguous() if y.shape[1:].numel() == n else None
        is_one_class = y.dtype == torch.int64 and y.ndim == 1
        return y if is_one_class and bool(((y >= 0) & (y < n)).all()) else None

    def _check(self, x: Tensor, y: Tensor, index: Tensor | None) -> None:
        n_in = chains.n_inputs(self.parts)
        if not launch.runs_compiled(self._sparse[0].values):
            raise CannotCompile(LOOPS_OFF)
        is_of_classes = losses.is_of_classes(self.law)
        if is_of_classes and self.parts[-1].width == 1:
            raise ValueError(losses.ONE_OUTPUT)
        of_labels = torch.int64 if is_of_classes else torch.float32
        for name, tensor, dtype in (("x", x, torch.float32), ("y", y, of_labels)):
            if tensor.dtype != dtype or not tensor.is_cpu or not tensor.is_contiguous():
                raise ValueError(
                    f"{name} is {tensor.dtype} on {tensor.device}: give contiguous {dtype} on a"
                    f" CPU, as {name}.to('cpu', {dtype}).contiguous()"
                )
        if x.ndim < 2 or x.shape[1:].numel() != n_in or len(x) == 0:
            raise ValueError(f"x has shape {tuple(x.shape)}: give (N, {n_in}), N at least 1")
        if self._has_norms and (len(x) if index is None else len(index)) == 1:
            raise ValueError(ONE_EXAMPLE)
        n_out = 1 if is_of_classes else self.parts[-1].width
        fitting = [(len(x),)] if n_out == 1 else []
        if not is_of_classes:
            fitting.append((len(x), n_out))
        if y.shape not in fitting:
            raise ValueError(f"y has shape {tuple(y.shape)}: give {fitting[0]}")
        if index is None:
            return
        if index.dtype != torch.int64 or not index.is_cpu:
            raise ValueError(f"index is {index.dtype} on {index.device}: give torch.int64 on a CPU")
        if index.ndim != 1 or len(index) == 0:
            raise ValueError(f"index has shape {tuple(index.shape)}: give (B,), B at least 1")


def check_tensors(x: Any, y: Any, index: Any = None) -> None:
    """Raise ValueError if one of the arguments of a step is no tensor, as an array of numpy."""
    for name, value in (("x", x), ("y", y), ("index", index)):
        if value is not None and not isinstance(value, Tensor):
            kind = type(value).__name__
            raise ValueError(f"{name} is a {kind}: give a tensor, as torch.as_tensor({name})")


def _running(norm: nn.BatchNorm1d) -> list[int]:
    """Addresses of the running numbers that follow the batch; 0 where there are none. Raises
    CannotCompile.
    """
    return chains.running_numbers(norm) if norm.track_running_stats else [0, 0]


def _outside(numbers: Tensor, n: int) -> int:
    """The first of the numbers that is not in [0, n)."""
    return int(numbers[(numbers < 0) | (numbers >= n)][0])


def _check_optimiser(model: nn.Module, optimiser: torch.optim.Optimizer, average: Any) -> None:
    """Raise CannotCompile unless it is SGD or Adam of all parameters of the model, and of no
    others.
    """
    if type(optimiser) not in REMEMBERED:
        raise CannotCompile(
            f"{type(optimiser).__name__} is no SGD, Adam or AdamW of torch: train by autograd"
        )
    if average is not None and (average.model is not model or average.optimiser is not optimiser):
        raise CannotCompile("the average is that of another model or optimiser")
    if average is not None and not average.is_even:
        raise CannotCompile("some weights began to learn later than others: train by autograd")
    own = {id(p) for p in model.parameters()}
    if own != held_by(optimiser):
        raise CannotCompile(
            "the optimiser has not just the parameters of the model: make it of all of them, after"
            " sparsify_"
        )
    for group in optimiser.param_groups:
        for option in OPTIONS:
            if group.get(option):
                kind = type(optimiser).__name__
                raise CannotCompile(f"{kind} with {option} = {group[option]}: train by autograd")
    before, after = hooks_of_optimiser(optimiser)
    own = [hook in after.values() for hook in (evolution.count, evolution.correct_new_links)]
    n_hooks = len(before) + len(after) - sum(own)
    if average is None and n_hooks > 0:
        raise CannotCompile("the optimiser has hooks: remove them, or train by autograd")
    if average is not None and n_hooks != 1:
        raise CannotCompile(f"the optimiser has {n_hooks} hooks: give it that of the average alone")


# of an optimiser, which a compiled step has not
OPTIONS = ("maximize", "dampening", "differentiable", "amsgrad", "capturable")
ADAM = ("exp_avg", "exp_avg_sq")  # names in the state
REMEMBERED = {
    torch.optim.SGD: ("momentum_buffer",),
    torch.optim.Adam: ADAM,
    torch.optim.AdamW: ADAM,
}
READ = ("momentum", "weight_decay", "nesterov", "betas", "eps", "decoupled_weight_decay")


def hooks_of_optimiser(optimiser: torch.optim.Optimizer) -> tuple[dict, dict]:
    """Dictionaries of the optimiser's hooks before and after a step."""
    return optimiser._optimizer_step_pre_hooks, optimiser._optimizer_step_post_hooks


class _Plan:
    """Memory and tables of a step, for links as they are and one size of batch."""

    def __init__(self, step: CompiledStep, width: int) -> None:
        self.step, self.width = step, width
        self.supports = [chains.support_of(part) for part in step.parts]
        self.index = [one for support in self.supports if support for one in support[2:]]
        self.index_addresses = [tensor.data_ptr() for tensor in self.index]
        self.n_chunks = numba.get_num_threads()
        chain = [chains.layer_of(part) for part in step.parts]
        self.held: list[Any] = [chain]  # what addresses point to
        needed = [False]
        for part, layer in zip(step.parts, chain, strict=True):
            is_norm = isinstance(part.unit, chains.NORMS)
            has_values, has_bias = layer.values is not None, layer.bias is not None
            needed += has_values or is_norm, has_bias or is_norm, type(part.unit) in chains.LEARNED
        n_in = chains.n_inputs(step.parts)
        plan = layout.Plan(chain, n_in, width, torch.float32, needed=needed, in_place=True)
        self.tile, self.table = plan.tile, launch.filled(plan, chain, torch.float32)
        self.passes = passes.forward_of(plan.tile), passes.backward_of(plan.tile)
        self.parameters: list[nn.Parameter] = []
        self.places: list[tuple[int, str]] = []  # of each, where the table has its address
        parameter_rows = []
        for i, (part, layer) in enumerate(zip(step.parts, chain, strict=True)):
            place, inverse = plan.places[i + 1], 0
            if layer.support is not None and layer.support.nnz != layer.values.numel():
                n = layer.values.numel()
                raise ValueError(f"{n} weights for {layer.support.nnz} links")
            if i in plan.ordered:
                self.table["ordered"][i + 1], inverse = self._other_order(layer.support)
            self.parameters += chains.parameters_of(part)
            learned = layer.pieces if type(part.unit) in chains.LEARNED else None
            for name, tensor, d, *more in (
                ("values", layer.values, place.d_values, inverse, 0),
                ("bias", layer.bias, place.d_bias, 0, 0),
                ("pieces", learned, place.d_pieces, 0, layer.srelu is not None),
            ):
                if tensor is not None:
                    self.places.append((i + 1, name))
                    parameter_rows.append((tensor.numel(), d, *more))
        self.parameter_rows = np.zeros(len(parameter_rows), PARAMETER_ROW)
        self.parameter_rows[["n", "d", "inverse", "is_pieces"]] = parameter_rows
        self._find_norms()
        self._allocate(plan)
        self.dropouts = []
        for i, part in enumerate(step.parts, start=1):
            if part.dropout is not None and part.dropout.p > 0:
                self.dropouts.append((i, part.dropout))
        buffers = {} if step.standardise is None else step.standardise._buffers
        self.buffers = buffers, [*buffers.values()]
        units = [part.unit for part in step.parts]
        self.leaky = [unit for unit in units if isinstance(unit, nn.LeakyReLU)]
        self.splash = [unit for unit in units if type(unit) is activations.Splash]
        self.smooth = [unit for unit, one in zip(units, chain, strict=True) if one.unit is not None]
        self.held += [unit.hinges for unit in self.splash]  # so that others have another id
        self.all_dropouts = [p.dropout for p in step.parts if p.dropout is not None]
        self.constants = self._constants()
        self.first_ordered: Tensor | None = None  # weights of the first layer in the other order
        self.states: list[dict] = []
        self.addresses: list[int] = []
        self.settings: list[tuple] = []
        self.corrections: dict[tuple, np.ndarray] = {}

    def _find_norms(self) -> None:
        """The batch normalisations, and memory for what they take of a batch."""
        found = {
            i: part.unit
            for i, part in enumerate(self.step.parts, start=1)
            if isinstance(part.unit, nn.BatchNorm1d)
        }
        for i, norm in found.items():
            self.table["mean"][i], self.table["variance"][i] = _running(norm)
            of_batch = torch.zeros(4, norm.num_features)
            self.table["pieces"][i] = of_batch.data_ptr()
            self.held.append(of_batch)
        self.norms, self.batch_norms = np.array([*found], np.int64), [*found.values()]

    def _other_order(self, support: Any) -> tuple[int, int]:
        """Addresses of memory for the weights in the transposed order, and of the place of each
        link in that.
        """
        ordered = torch.empty(support.nnz, dtype=torch.float32)
        inverse = np.empty(support.nnz, np.uint32)
        inverse[support.by_column[2]] = np.arange(support.nnz, dtype=np.uint32)
        self.held += [ordered, inverse]
        return ordered.data_ptr(), inverse.ctypes.data

    def _allocate(self, plan: layout.Plan) -> None:
        self.n_slots = min(layout.n_tiles(self.width, self.tile), numba.get_num_threads())
        # slots begin at other places of a page, as a cache holds few numbers of the same one
        floats = -(-plan.n_rows * self.tile.lanes // 1024) * 1024 + 64
        n_sums = layout.n_sums(plan.n_sums, self.width, self.tile)
        n_kept = self.n_slots
        if self.batch_norms:
            n_kept = n_sums = layout.n_tiles(self.width, self.tile)
        most = max([norm.num_features for norm in self.batch_norms], default=0)
        self.room = (  # see train_step
            _mean_and_std(self.step.standardise, chains.n_inputs(self.step.parts)),
            torch.zeros(n_kept, floats, dtype=torch.float32).numpy(),
            np.zeros((n_kept, 8 * plan.n_masks), np.uint8),
            torch.zeros(n_sums, plan.n_sums, dtype=torch.float32).numpy(),
            np.zeros((n_kept, 2, most), np.float32),
        )

    def fits(self, width: int) -> bool:
        """True if it is for such a batch, and the links are still those that it was made for."""
        if width != self.width or self.n_chunks != numba.get_num_threads():
            return False
        for part, support in zip(self.step.parts, self.supports, strict=True):
            if chains.support_of(part) is not support:
                return False
        if [tensor.data_ptr() for tensor in self.index] != self.index_addresses:  # was shared
            return False
        return self.constants == self._constants()

    def _constants(self) -> list:
        """Values that the plan copied from the modules besides links: versions of the
        standardisation, slopes, hinges, and probabilities of a dropout.
        """
        buffers, known = self.buffers
        constants: list[Any] = [id(buffers[name]) for name in buffers]
        constants += [buffer._version for buffer in known]
        constants += [unit.negative_slope for unit in self.leaky]
        constants += [(id(unit.hinges), unit.hinges._version) for unit in self.splash]
        constants += [chains.smooth_unit(unit) for unit in self.smooth]
        for norm in self.batch_norms:
            constants += _running(norm)
        return constants + [dropout.p for dropout in self.all_dropouts]

    def run(self, x: Tensor, y: Tensor, starts: np.ndarray) -> float:
        """Take a step, see :class:`CompiledStep`."""
        self._read_optimiser()
        table = self.table
        for i, dropout in self.dropouts:
            law = dropout.next_law()
            table["is_dropped"][i] = law is not None
            if law is not None:
                table["key"][i], table["flip"][i] = law.key, law.flip
        averaging = self._averaging()
        most = math.inf if self.step.clip_norm is None else float(self.step.clip_norm)
        for i, norm in zip(self.norms, self.batch_norms, strict=True):
            if norm.track_running_stats:  # what these take of the batch, which torch counts
                table["share"][i] = chains.share_of_batch(norm)
        loss = train_step(
            table,
            self.norms,
            x.detach().numpy().reshape(-1),
            losses.labels_of(y),
            starts,
            *self.room,
            self.parameter_rows,
            averaging,
            self.step.law,
            most,
            self.n_slots,
            self.n_chunks,
            *self.passes,
            self.tile,
        )
        if math.isfinite(loss) and loss not in (NO_EXAMPLE, NO_CLASS):
            self._count_step()
        return loss

    def _count_step(self) -> None:
        """Count a step that was taken, where those by autograd are counted."""
        optimiser = self.step.optimiser
        optimiser._opt_called = True  # what torch's schedulers ask for
        if REMEMBERED[type(optimiser)] is ADAM:
            for state in self.states:
                state["step"] += 1
        if optimiser in evolution.STEPS:
            evolution.count(optimiser)
        if self.step.average is not None:
            self.step.average.count_step()

    def find_gradient(self, x: Tensor, y: Tensor, grad_x: Tensor) -> float:
        """See :meth:`CompiledStep.gradient_at`."""
        self._read_optimiser()
        table = self.table.copy()
        table["g"][0] = table["x"][1]  # in the place of the input
        table["is_dropped"] = 0
        for name in ("d_values", "d_bias", "d_pieces"):
            table[name] = layout.NONE
        if self.first_ordered is None:
            self.first_ordered = torch.empty_like(self.parameters[0], requires_grad=False)
        table["ordered"][1] = self.first_ordered.data_ptr()
        return input_gradient(
            table,
            self.norms,
            x.detach().numpy().reshape(-1),
            losses.labels_of(y),
            layout.counted(max(self.width, table["n_out"][0])),
            *self.room,
            grad_x.numpy().reshape(-1),
            self.width,
            self.step.law,
            self.n_slots,
            *self.passes,
            self.tile,
        )

    def _read_optimiser(self) -> None:
        """Take over the addresses and the settings of the parameters where they have changed."""
        optimiser = self.step.optimiser
        names = REMEMBERED[type(optimiser)]
        self.states = [optimiser.state[parameter] for parameter in self.parameters]
        try:
            addresses = [
                address
                for parameter, state in zip(self.parameters, self.states, strict=True)
                for address in (
                    parameter.data_ptr(),
                    *[state[name].data_ptr() for name in names],
                    *([state[LINK_STEPS].data_ptr()] if LINK_STEPS in state else []),
                )
            ]
        except (KeyError, AttributeError):  # before the first step
            for parameter in self.parameters:
                begin(optimiser, parameter)
            return self._read_optimiser()
        if addresses != self.addresses:
            self._write_addresses(names)
            self.addresses = addresses
        settings = [
            (float(group["lr"]), *[group.get(name) for name in (*READ, *OPTIONS)])
            for group in optimiser.param_groups
        ]
        if settings != self.settings:
            self._write_settings(settings)
        if names is ADAM:
            self._write_steps()

    def _write_addresses(self, names: Sequence[str]) -> None:
        """Raises TypeError or ValueError if the memory there is not that of the parameters."""
        triples = zip(self.parameters, self.states, self.parameter_rows, strict=True)
        for (parameter, state, row), (i, place) in zip(triples, self.places, strict=True):
            columns = {"values": parameter, "momentum": state[names[0]]}
            if len(names) > 1:
                columns["second"] = state[names[1]]
            if LINK_STEPS in state:
                columns["ages"] = state[LINK_STEPS]
            for name, tensor in columns.items():
                (row[name],) = launch.addresses(torch.float32, tensor)
                if tensor.numel() != row["n"] or not tensor.is_contiguous():
                    raise ValueError(
                        f"the {name} of a parameter have shape {tuple(tensor.shape)}, not"
                        f" {row['n']} numbers, contiguous: where a state with other links was"
                        " loaded, load the optimiser's state too, or make a new optimiser"
                    )
            self.table[place][i] = row["values"]

    def _write_settings(self, settings: list[tuple]) -> None:
        step = self.step
        _check_optimiser(step.model, step.optimiser, step.average)
        of_parameters = {}
        for group in step.optimiser.param_groups:
            of_parameters |= {id(parameter): group for parameter in group["params"]}
        for row, parameter in zip(self.parameter_rows, self.parameters, strict=True):
            group = of_parameters[id(parameter)]
            row["rate"], row["decay"] = float(group["lr"]), group["weight_decay"]
            if REMEMBERED[type(step.optimiser)] is ADAM:
                row["factor"], row["beta"] = map(float, group["betas"])
                row["eps"], row["is_decoupled"] = group["eps"], group["decoupled_weight_decay"]
            else:
                row["factor"], row["is_nesterov"] = group["momentum"], group["nesterov"]
        self.settings = settings

    def _write_steps(self) -> None:
        """The steps that Adam has made with the coming one, and their corrections."""
        steps = [int(state["step"]) + 1 for state in self.states]
        for row, t in zip(self.parameter_rows, steps, strict=True):
            betas = row["factor"], row["beta"]
            known = self.corrections.get(betas)
            if known is None or known.shape[1] <= max(steps):
                known = self.corrections[betas] = _corrections(*betas, 2 * max(steps) + 64)
            row["n_steps"] = t
            row["corrections"], row["n_corrections"] = known.ctypes.data, known.shape[1]

    def _averaging(self) -> float:
        """Share of the new weights that the averages take in this step."""
        if self.step.average is None:
            return 0.0
        weight = self.step.average.weight_of_step()
        averages = []
        for parameter, state in zip(self.parameters, self.states, strict=True):
            average = state[AVERAGE]
            if average.shape != parameter.shape or not average.is_contiguous():
                raise ValueError(
                    f"an average has shape {tuple(average.shape)}, not the parameter's"
                )
            averages += launch.addresses(torch.float32, average)
        self.parameter_rows["average"] = averages
        return weight


def motion(
    optimiser: torch.optim.SGD, parameters: Sequence[nn.Parameter]
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """State of SGD for a compiled step: rates (n, 3) of learning, momentum and weight decay, in
    the dtype of the parameters, and the momentum of each, flat, 0 before the first step.
    """
    groups = {id(p): group for group in optimiser.param_groups for p in group["params"]}
    rates, momenta = [], []
    for parameter in parameters:
        group = groups[id(parameter)]
        rates.append([group["lr"], group["momentum"], group["weight_decay"]])
        momenta.append(momentum(optimiser, parameter).numpy().reshape(-1))
    return np.array(rates, momenta[0].dtype), tuple(momenta)


def momentum(optimiser: torch.optim.SGD, parameter: nn.Parameter) -> Tensor:
    """Momentum of a parameter, in the optimiser's state; 0 before the first step."""
    state = optimiser.state[parameter]
    if state.get("momentum_buffer") is None:
        state["momentum_buffer"] = torch.zeros_like(parameter.detach())
    return state["momentum_buffer"]


def begin(optimiser: torch.optim.Optimizer, parameter: nn.Parameter) -> None:
    """Give a parameter the state that the optimiser gives it at its first step."""
    if REMEMBERED[type(optimiser)] is not ADAM:
        momentum(optimiser, parameter)
        return
    state = optimiser.state[parameter]
    if "step" not in state:
        state["step"] = torch.tensor(0.0)
        for name in ADAM:
            state[name] = torch.zeros_like(parameter.detach())


def _corrections(beta1: float, beta2: float, n: int) -> np.ndarray:
    """(2, n) float32, by what Adam multiplies both means after 0, 1, … steps."""
    t = np.arange(1, n)
    of_mean, of_squares = 1 / (1 - beta1**t), 1 / np.sqrt(1 - beta2**t)
    return np.stack([np.insert(of_mean, 0, 0), np.insert(of_squares, 0, 0)]).astype(np.float32)


def _mean_and_std(standardise: layers.Standardise | None, n_in: int) -> np.ndarray:
    """(2, n_in) mean and deviation of each input, (0, 0) without any."""
    if standardise is None:
        return np.empty((0, 0), np.float32)
    both = standardise.mean.expand(n_in), standardise.std.expand(n_in)
    return torch.stack(both).float().numpy()
