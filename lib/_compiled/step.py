"""A whole training step in one compiled call: batch, forward, loss, backward and the optimiser.

A tile of the batch goes through all of it on one thread, without waiting for another; then what the
tiles add up to is summed in their order, and the parameters descend. Memory is
laid out once for the links and the size of the batch. What
:class:`CompiledStep` cannot run goes the general way, by autograd over the same passes.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor, nn

from .. import activations, evolution, kernels, layers
from ..evolution import AVERAGE, held_by
from ..models import MLP, has_hooks, hooks_of
from . import launch, layout, passes, rows
from .hinges import check_hinges
from .loops import formula, parallel, serial
from .memory import INDEX, at

LOOPS_OFF = "this process was forked, or the loops are off: train by autograd"
KINDS = "Standardise, SparseLinear, ReLU, LeakyReLU, AllReLU, SReLU, Splash and Dropout"


class CannotCompile(ValueError):
    """A model or an optimiser that :class:`CompiledStep` does not take: the sentence says why."""


class ParameterRow(NamedTuple):
    """A parameter in an update: addresses, and how it descends.

    Attributes:
        values, momentum, average: addresses; 0 where nothing is averaged.
        inverse: address of the place of each link in the transposed order, in which the sums of its
            gradient are; 0 where they are in the order of the parameter.
        n: how many numbers it has.
        d: place of its gradient in the sums.
        is_pieces: whether it is that of SReLU.
        rate, factor, decay, is_nesterov: learning rate, momentum, weight decay, and whether the
            momentum is Nesterov's.
    """

    values: int
    momentum: int
    average: int
    inverse: int
    n: int
    d: int
    is_pieces: int = 0
    rate: float = 0.0
    factor: float = 0.0
    decay: float = 0.0
    is_nesterov: int = 0


FLOATS = ("rate", "factor", "decay")
PARAMETER_ROW = np.dtype(
    [(f, np.float64 if f in FLOATS else np.intp) for f in ParameterRow._fields]
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
def update(parameter, begin, end, sums, averaging, tile):
    """The numbers begin to end of a parameter, from the gradient over the batch."""
    zero, n = rows.number(0, tile), parameter.n
    rate, factor = rows.number(parameter.rate, tile), rows.number(parameter.factor, tile)
    decay, lerp = rows.number(parameter.decay, tile), rows.number(averaging, tile)
    w, m = at(parameter.values, zero, n), at(parameter.momentum, zero, n)
    nesterov = parameter.is_nesterov != 0
    d = sums[parameter.d : parameter.d + n]
    if parameter.inverse != 0:
        inverse = at(parameter.inverse, INDEX, n)
        for k in range(begin, end):
            g = d[inverse[k]]
            w[k], m[k] = descended(w[k], m[k], g, rate, factor, decay, nesterov)
    else:
        for k in range(begin, end):
            w[k], m[k] = descended(w[k], m[k], d[k], rate, factor, decay, nesterov)
    if parameter.average != 0:
        average = at(parameter.average, zero, n)
        for k in range(begin, end):
            average[k] += lerp * (w[k] - average[k])


@serial
def run_tile(table, x, y, starts, standard, memory, masks, sums, t, width, tile):
    """A tile through the network and back; the sum of its losses."""
    n = rows.lanes(tile)
    begin, n_valid = t * n, min(n, width - t * n)
    first, last, n_in = table[1], table[-2], table[0].n_out
    passes.gather(memory, first.x * n, x, starts, begin, n_valid, n_in, tile)
    if standard.shape[0]:
        for j in range(n_in):
            place = first.x * n + j * n
            row = rows.sub(rows.load(memory, place, tile), standard[0, j])
            row = rows.where(rows.first(n_valid, tile), row)
            rows.store(memory, place, rows.div(row, standard[1, j]))
    passes.forward_layers(table[1:-1], memory, masks, begin, width, tile)
    loss = passes.loss_gradient(
        memory,
        memory,
        last.y * n,
        table[-1].g * n,
        last.n_out,
        y,
        starts,
        begin,
        n_valid,
        width,
        tile,
    )
    passes.backward_layers(table, memory, memory, masks, sums, tile)
    return loss


NO_EXAMPLE, NO_CLASS = -1.0, -2.0  # in place of a loss


@serial
def refusal(starts, y, n_classes):
    """Number in place of the loss if an example or a class does not exist; else 0."""
    for b in range(len(starts)):
        if not 0 <= starts[b] < len(y):
            return NO_EXAMPLE
        if not 0 <= y[starts[b]] < n_classes:
            return NO_CLASS
    return 0.0


@parallel
def input_gradient(
    table, x, y, starts, standard, memory, masks, sums, grad_x, width, n_slots, tile
):
    """The gradient at x (B, n_in), flat, of the mean loss of a batch, into grad_x; returns 0, or
    :data:`NO_CLASS`.

    Args:
        table: as in :func:`train_step`, with places of the gradient at the input, none of those of
            parameters, and the weights of all layers in both orders.
        starts: numbers from 0 on, at least as many as examples and as inputs.
        width: B.
        x, y, standard, memory, masks, sums, n_slots: as in :func:`train_step`.
    """
    n, n_in = rows.lanes(tile), table[0].n_out
    n_tiles, bottom = -(-width // n), table[0].g * n
    refused = refusal(starts[:width], y, table[-1].n_in)
    if refused != 0:
        return refused
    for c in numba.prange(n_slots):
        passes.order_weights(table, np.int64(c), n_slots, tile)
    for s in numba.prange(n_slots):
        slot = np.int64(s)
        first, last = passes.part_of(slot, n_slots, n_tiles)
        for t in range(first, last):
            own, bits = memory[slot], masks[slot]
            run_tile(table, x, y, starts, standard, own, bits, sums[0], t, width, tile)
            if standard.shape[0]:
                for j in range(n_in):
                    row = rows.load(own, bottom + j * n, tile)
                    rows.store(own, bottom + j * n, rows.div(row, standard[1, j]))
            begin, n_valid = t * n, min(n, width - t * n)
            passes.scatter(own, bottom, grad_x, starts, begin, n_valid, n_in, tile)
    return refused


@parallel
def train_step(
    table,
    x,
    y,
    starts,
    standard,
    memory,
    masks,
    sums,
    parameters,
    averaging,
    n_slots,
    n_chunks,
    tile,
):
    """Mean loss of a batch, and the descent of the parameters unless it is not finite;
    :data:`NO_EXAMPLE` or :data:`NO_CLASS` if there is none of such a number.

    Args:
        table: (n + 2,) of LAYER, see :func:`lib._compiled.passes.backward_layers`.
        x, y: all examples, flat, and their classes.
        starts: (B,) which of them are the batch.
        standard: (2, n_in) mean and deviation of each input, or (0, 0).
        memory, masks: of each slot; gradients take the place of the outputs.
        sums: of each tile.
        parameters: of PARAMETER_ROW.
        averaging: what the averages take of the new weights.
        n_slots, n_chunks: how many tiles run at a time, and parts of what is updated.
    """
    n, width = rows.lanes(tile), len(starts)
    zero = rows.number(0, tile)
    n_tiles, n_sums = -(-width // n), sums.shape[0]
    losses = np.zeros(n_tiles)
    refused = refusal(starts, y, table[-1].n_in)
    if refused != 0:
        return refused
    for c in numba.prange(n_chunks):
        passes.order_weights(table, np.int64(c), n_chunks, tile)
    start = 0
    while start < n_tiles:
        place, count = passes.tiles_from(start, n_tiles, n_sums)
        n_parts = min(n_slots, count)
        for s in numba.prange(n_parts):
            slot = np.int64(s)
            first, last = passes.part_of(slot, n_parts, count)
            for i in range(first, last):
                t = start + i
                losses[t] = run_tile(
                    table,
                    x,
                    y,
                    starts,
                    standard,
                    memory[slot],
                    masks[slot],
                    sums[place + i],
                    t,
                    width,
                    tile,
                )
        passes.add_up(sums, place + count, n_chunks)
        start += count
    loss = 0.0
    for t in range(n_tiles):
        loss += losses[t]
    if not np.isfinite(loss):
        return loss / width
    for c in numba.prange(n_chunks):
        chunk = np.int64(c)
        for i in range(len(parameters)):
            parameter = parameters[i]
            if not parameter.is_pieces:
                begin, end = passes.part_of(chunk, n_chunks, parameter.n)
                update(parameter, begin, end, sums[0], averaging, tile)
                continue
            n_units = parameter.n // 4
            begin, end = passes.part_of(chunk, n_chunks, n_units)
            pieces = at(parameter.values, zero, (4, n_units))
            of_pieces = sums[0, parameter.d : parameter.d + parameter.n].reshape(4, n_units)
            passes.make_pieces_gradients(of_pieces, pieces, begin, end)
            for first in range(0, parameter.n, n_units):
                update(parameter, first + begin, first + end, sums[0], averaging, tile)
    return loss / width


def is_compiled() -> bool:
    """True if this machine has compiled a step before, so that it is only loaded."""
    return any(Path(train_step.stats.cache_path).glob("step.train_step-*.nbi"))


# ------------------------------------------------------------------------------- what it runs


class _Part(NamedTuple):
    """A layer of the chain: its modules."""

    linear: layers.SparseLinear
    unit: nn.Module | None
    dropout: layers.Dropout | None


class CompiledStep:
    """A training step of a model on the cross-entropy of its logits, as one call.

    The same numbers, to rounding, as autograd and ``optimiser.step()``. The page docs/SPEED.md says
    what it takes beside these and beside dense layers.

    Links may be replaced between steps (:func:`lib.evolution.evolve_`), weights changed in place,
    modules put in evaluation mode. A loss that is not finite is returned before any update, and is
    no step of the averages; dropout goes on by a step all the same, as in a forward pass.

    No graph is built, whatever the grad mode: ``x`` and the parameters get no ``grad``. Hooks on
    all modules at once and ``torch.autocast`` do not count. The momentum is kept in the state also
    where it is 0, and then is the last gradient.

    Args:
        model: an ``nn.Sequential``, as :func:`lib.models.mlp` makes it: perhaps a Standardise, then
            SparseLinear layers, each with an activation and a Dropout or without, the last without
            either; on a CPU, in float32.
        optimiser: torch.optim.SGD of all its parameters; rate, momentum and decay of each group are
            read at every step, and its state holds the momentum as ever.
        average: a :class:`lib.train.WeightAverage` of this model, if its weights are averaged.
    Raises: CannotCompile, a ValueError, naming what it cannot run.

    Example:
        >>> net = models.mlp((784, 1000, 10), density=0.01)
        >>> step = CompiledStep(net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9))
        >>> loss = step(torch.rand(128, 784), torch.randint(10, (128,)))
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        average: Any = None,
    ) -> None:
        self.model, self.optimiser, self.average = model, optimiser, average
        self._take_over()

    def __getstate__(self) -> tuple:
        """A copy looks at its own model, and lays out its own memory."""
        return self.model, self.optimiser, self.average

    def __setstate__(self, state: tuple) -> None:
        self.model, self.optimiser, self.average = state
        self._take_over()

    def _take_over(self) -> None:
        """Look at the model and the optimiser as they are. Raises CannotCompile."""
        self.standardise, self.parts = _parts_of(self.model)
        _check_optimiser(self.model, self.optimiser, self.average)
        self._plan: _Plan | None = None
        self._modules = list(self.model._modules.values())
        everything = [self.model, *self._modules]
        self._own = [module._parameters for module in everything]
        self._n_own = sum(map(len, self._own))
        self._named = [
            (own, *pair) for own in self._own for pair in own.items() if pair[1] is not None
        ]
        self._hooks = [hooks for module in everything for hooks in hooks_of(module)]
        self._splash = [*activations.splash_units(self.model).values()]
        self._of_optimiser = hooks_of_optimiser(self.optimiser)
        self._n_of_optimiser = sum(map(len, self._of_optimiser))

    def _is_as_it_was(self) -> bool:
        """True if modules, parameters and hooks are those that were looked at; in some
        microseconds.
        """
        if [*self.model._modules.values()] != self._modules or any(self._hooks):
            return False
        if any(unit.bounded for unit in self._splash):
            return False
        for own, name, p in self._named:
            if own.get(name) is not p or not p.requires_grad:
                return False
            if p._backward_hooks or p._post_accumulate_grad_hooks:
                return False
        before, after = self._of_optimiser
        n_hooks = len(before) + len(after)
        return n_hooks == self._n_of_optimiser and sum(map(len, self._own)) == self._n_own

    def __call__(self, x: Tensor, y: Tensor, index: Tensor | None = None) -> float:
        """Take a step; return the mean loss before it.

        Args:
            x: (N, features...) float32, contiguous.
            y: (N,) int64 classes.
            index: (B,) int64, which of the examples are the batch; None: all.
        Raises: ValueError if a shape, a dtype, a device or a class does not fit; CannotCompile if
            the model or the optimiser has become one that :class:`CompiledStep` does not take, as
            by a hook or a frozen parameter.
        """
        self._check(x, y, index)
        starts = np.arange(len(x)) if index is None else index.contiguous().numpy()
        loss = self._plan_for(len(starts)).run(x, y, starts)
        if loss == NO_EXAMPLE:
            raise ValueError(f"index holds {_outside(index, len(x))}: there are {len(x)} examples")
        if loss == NO_CLASS:
            raise self._no_class(y if index is None else y[index])
        return loss

    def gradient_at(self, x: Tensor, y: Tensor) -> Tensor:
        """The gradient of the mean loss at x, like x, of the model in evaluation mode; an attack
        follows it. No step is taken.

        Args:
            x: (B, features...) float32, contiguous.
            y: (B,) int64 classes.
        Raises: as a step.
        """
        self._check(x, y, None)
        grad_x = torch.empty_like(x, requires_grad=False)
        if self._plan_for(len(x)).find_gradient(x, y, grad_x) == NO_CLASS:
            raise self._no_class(y)
        return grad_x

    def _plan_for(self, width: int) -> "_Plan":
        """For a batch of so many examples. Raises CannotCompile."""
        if not self._is_as_it_was():
            self._take_over()
        if width == 1:
            numba.set_num_threads(1)  # one example is the work of one thread
        else:
            launch.match_threads()
        if self._plan is None or not self._plan.fits(width):
            self._plan = _Plan(self, width)
        return self._plan

    def _no_class(self, labels: Tensor) -> ValueError:
        n = self.parts[-1].linear.out_features
        return ValueError(
            f"y holds class {_outside(labels, n)}: the model has {n} classes, 0 to {n - 1}"
        )

    def takes_classes(self, y: Tensor) -> bool:
        """True if these (N,) labels are classes of the model, int64."""
        n = self.parts[-1].linear.out_features
        return y.dtype == torch.int64 and y.ndim == 1 and bool(((y >= 0) & (y < n)).all())

    def _check(self, x: Tensor, y: Tensor, index: Tensor | None) -> None:
        n_in = self.parts[0].linear.in_features
        if not launch.runs_compiled(self.parts[0].linear.values):
            raise CannotCompile(LOOPS_OFF)
        for name, tensor, dtype in (("x", x, torch.float32), ("y", y, torch.int64)):
            if tensor.dtype != dtype or not tensor.is_cpu or not tensor.is_contiguous():
                raise ValueError(
                    f"{name} is {tensor.dtype} on {tensor.device}: give contiguous {dtype} on a"
                    f" CPU, as {name}.to('cpu', {dtype}).contiguous()"
                )
        if x.ndim < 2 or x.shape[1:].numel() != n_in or len(x) == 0:
            raise ValueError(f"x has shape {tuple(x.shape)}: give (N, {n_in}), N at least 1")
        if y.shape != (len(x),):
            raise ValueError(f"y has shape {tuple(y.shape)}: give ({len(x)},)")
        if index is None:
            return
        if index.dtype != torch.int64 or not index.is_cpu:
            raise ValueError(f"index is {index.dtype} on {index.device}: give torch.int64 on a CPU")
        if index.ndim != 1 or len(index) == 0:
            raise ValueError(f"index has shape {tuple(index.shape)}: give (B,), B at least 1")


def _outside(numbers: Tensor, n: int) -> int:
    """The first of the numbers that is not in [0, n)."""
    return int(numbers[(numbers < 0) | (numbers >= n)][0])


def _parts_of(model: nn.Module) -> tuple[layers.Standardise | None, list[_Part]]:
    """The layers of a chain. Raises CannotCompile."""
    if type(model).forward not in (nn.Sequential.forward, MLP.forward):
        raise CannotCompile(f"{type(model).__name__} is no nn.Sequential: train it by autograd")
    if has_hooks(model):
        raise CannotCompile("the model has hooks: remove them, or train by autograd")
    standardise, parts = None, []
    for name, module in model._modules.items():  # one that is there twice included
        if has_hooks(module):
            raise CannotCompile(f"{name} has hooks: remove them, or train by autograd")
        kind = type(module)
        if kind is layers.Standardise and not parts and standardise is None:
            standardise = module
        elif kind is layers.SparseLinear:
            parts.append(_Part(module, None, None))
        elif kind is activations.Splash and module.bounded:
            raise CannotCompile(
                f"{name} is a bounded Splash, which divides its coefficients: train by autograd"
            )
        elif kind in UNITS and parts and parts[-1].unit is None and parts[-1].dropout is None:
            parts[-1] = parts[-1]._replace(unit=module)
        elif kind is layers.Dropout and parts and parts[-1].dropout is None:
            parts[-1] = parts[-1]._replace(dropout=module)
        else:
            raise CannotCompile(
                f"{name} is {kind.__name__}, which a compiled step does not run there: it runs"
                f" {KINDS} in this order; train by autograd"
            )
    if not parts or parts[-1].unit is not None or parts[-1].dropout is not None:
        raise CannotCompile("the last module is no SparseLinear: end with the layer of the logits")
    of_parts = [id(p) for part in parts for p in _parameters_of(part)]
    if len(set(of_parts)) != len(of_parts):
        raise CannotCompile("layers share parameters: train by autograd")
    for name, parameter in model.named_parameters():
        if id(parameter) not in of_parts:
            raise CannotCompile(
                f"{name} is of no layer that a compiled step runs: train by autograd"
            )
        if not parameter.requires_grad:
            raise CannotCompile(f"{name} is frozen: train by autograd")
        if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
            raise CannotCompile(f"{name} has hooks: remove them, or train by autograd")
        if parameter.dtype != torch.float32 or not parameter.is_cpu:
            raise CannotCompile(
                f"{name} is {parameter.dtype} on {parameter.device}: a compiled step takes float32"
                " on a CPU"
            )
        if not launch.runs_compiled(parameter):
            raise CannotCompile(LOOPS_OFF)
    _check_widths(standardise, parts)
    return standardise, parts


def _check_widths(standardise: layers.Standardise | None, parts: list[_Part]) -> None:
    """Raise CannotCompile unless each layer takes what the one before returns."""
    n = parts[0].linear.in_features
    if standardise is not None:
        for constant in (standardise.mean, standardise.std):
            if constant.numel() not in (1, n):
                raise CannotCompile(
                    f"Standardise has {constant.numel()} features, linear takes {n}"
                )
    for linear, unit, _ in parts:
        if linear.in_features != n:
            raise CannotCompile(f"{n} values meet a layer of {linear.in_features} inputs")
        n = linear.out_features
        if type(unit) is activations.SReLU and unit.pieces.shape != (4, n):
            raise CannotCompile(f"{n} values meet a SReLU of {unit.pieces.shape[1]} neurons")


UNITS = (nn.ReLU, nn.LeakyReLU, activations.AllReLU, activations.SReLU, activations.Splash)
LEARNED = (activations.SReLU, activations.Splash)  # have one parameter


def _parameters_of(part: _Part) -> list[nn.Parameter]:
    found = [part.linear.values]
    if part.linear.bias is not None:
        found.append(part.linear.bias)
    if part.unit is not None:
        found += part.unit.parameters()
    return found


def _check_optimiser(model: nn.Module, optimiser: torch.optim.Optimizer, average: Any) -> None:
    """Raise CannotCompile unless it is SGD of all parameters of the model, and of no others."""
    if type(optimiser) is not torch.optim.SGD:
        raise CannotCompile(f"{type(optimiser).__name__} is no torch.optim.SGD: train by autograd")
    if average is not None and (average.model is not model or average.optimiser is not optimiser):
        raise CannotCompile("the average is that of another model or optimiser")
    if average is not None and not average.is_even:
        raise CannotCompile("some weights began to learn later than others: train by autograd")
    own = {id(p) for p in model.parameters()}
    if own != held_by(optimiser):
        raise CannotCompile("the optimiser has not just the parameters of the model")
    for group in optimiser.param_groups:
        for option in OPTIONS:
            if group[option]:
                raise CannotCompile(f"SGD with {option} = {group[option]}: train by autograd")
    before, after = hooks_of_optimiser(optimiser)
    n_hooks = len(before) + len(after) - (evolution.count in after.values())
    if average is None and n_hooks > 0:
        raise CannotCompile("the optimiser has hooks: remove them, or train by autograd")
    if average is not None and n_hooks != 1:
        raise CannotCompile(f"the optimiser has {n_hooks} hooks: give it that of the average alone")


OPTIONS = ("maximize", "dampening", "differentiable")  # of SGD, which a compiled step has not


def hooks_of_optimiser(optimiser: torch.optim.Optimizer) -> tuple[dict, dict]:
    """Dictionaries of the optimiser's hooks before and after a step."""
    return optimiser._optimizer_step_pre_hooks, optimiser._optimizer_step_post_hooks


class _Plan:
    """Memory and tables of a step, for links as they are and one size of batch."""

    def __init__(self, step: CompiledStep, width: int) -> None:
        self.step, self.width = step, width
        self.supports = [part.linear.support for part in step.parts]
        self.index = [tensor for support in self.supports for tensor in support[2:]]
        self.index_addresses = [tensor.data_ptr() for tensor in self.index]
        self.n_chunks = numba.get_num_threads()
        chain = [_layer_of(part) for part in step.parts]
        self.held: list[Any] = [chain]  # what addresses point to
        needed = [False]
        for part in step.parts:
            needed += True, part.linear.bias is not None, type(part.unit) in LEARNED
        n_in = step.parts[0].linear.in_features
        plan = layout.Plan(chain, n_in, width, torch.float32, needed=needed, in_place=True)
        self.tile, self.table = plan.tile, launch.filled(plan, chain, torch.float32)
        self.parameters: list[nn.Parameter] = []
        parameter_rows = []
        for i, (part, layer) in enumerate(zip(step.parts, chain, strict=True)):
            place, inverse = plan.places[i + 1], 0
            if layer.support.nnz != part.linear.nnz:
                raise ValueError(f"{part.linear.nnz} weights for {layer.support.nnz} links")
            if i in plan.ordered:
                self.table["ordered"][i + 1], inverse = self._other_order(layer.support)
            self.parameters += _parameters_of(part)
            parameter_rows.append((inverse, part.linear.nnz, place.d_values, 0))
            if layer.bias is not None:
                parameter_rows.append((0, layer.bias.numel(), place.d_bias, 0))
            if type(part.unit) in LEARNED:
                is_srelu = layer.srelu is not None
                parameter_rows.append((0, layer.pieces.numel(), place.d_pieces, is_srelu))
        self.is_dropped = self.table["is_dropped"]
        self.keys, self.flips = self.table["key"], self.table["flip"]
        self.parameter_rows = np.zeros(len(parameter_rows), PARAMETER_ROW)
        for row, fields in zip(self.parameter_rows, parameter_rows, strict=True):
            for name, value in zip(("inverse", "n", "d", "is_pieces"), fields, strict=True):
                row[name] = value
        self._allocate(plan)
        self.standard = _mean_and_std(step.standardise, n_in)
        self.dropouts = []
        for i, part in enumerate(step.parts, start=1):
            if part.dropout is not None and part.dropout.p > 0:
                self.dropouts.append((i, part.dropout))
        buffers = {} if step.standardise is None else step.standardise._buffers
        self.buffers = buffers, [*buffers.values()]
        self.leaky = [p.unit for p in step.parts if isinstance(p.unit, nn.LeakyReLU)]
        self.splash = [p.unit for p in step.parts if type(p.unit) is activations.Splash]
        self.held += [unit.hinges for unit in self.splash]  # so that others have another id
        self.all_dropouts = [p.dropout for p in step.parts if p.dropout is not None]
        self.constants = self._constants()
        self.first_ordered: Tensor | None = None  # weights of the first layer in the other order
        self.states: list[dict] = []
        self.addresses: list[int] = []
        self.settings: list[tuple] = []

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
        self.memory = torch.zeros(self.n_slots, floats, dtype=torch.float32).numpy()
        self.masks = np.zeros((self.n_slots, 8 * plan.n_masks), np.uint8)
        self.sums = torch.zeros(n_sums, plan.n_sums, dtype=torch.float32).numpy()

    def fits(self, width: int) -> bool:
        """True if it is for such a batch, and the links are still those that it was made for."""
        if width != self.width or self.n_chunks != numba.get_num_threads():
            return False
        for part, support in zip(self.step.parts, self.supports, strict=True):
            if part.linear.support is not support:
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
        return constants + [dropout.p for dropout in self.all_dropouts]

    def run(self, x: Tensor, y: Tensor, starts: np.ndarray) -> float:
        """Take a step, see :class:`CompiledStep`."""
        self._read_optimiser()
        table = self.table
        for i, dropout in self.dropouts:
            law = dropout.next_law()
            self.is_dropped[i] = law is not None
            if law is not None:
                self.keys[i], self.flips[i] = law.key, law.flip
        averaging = self._averaging()
        loss = train_step(
            table,
            x.detach().numpy().reshape(-1),
            y.numpy(),
            starts,
            self.standard,
            self.memory,
            self.masks,
            self.sums,
            self.parameter_rows,
            averaging,
            self.n_slots,
            self.n_chunks,
            self.tile,
        )
        if math.isfinite(loss) and loss >= 0:
            self.step.optimiser._opt_called = True  # what torch's schedulers ask for
            if self.step.optimiser in evolution.STEPS:
                evolution.count(self.step.optimiser)
            if self.step.average is not None:
                self.step.average.count_step()
        return loss

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
            x.detach().numpy().reshape(-1),
            y.numpy(),
            layout.counted(max(self.width, table["n_out"][0])),
            self.standard,
            self.memory,
            self.masks,
            self.sums,
            grad_x.numpy().reshape(-1),
            self.width,
            self.n_slots,
            self.tile,
        )

    def _read_optimiser(self) -> None:
        """Take over the addresses and the settings of the parameters where they have changed."""
        optimiser = self.step.optimiser
        self.states = [optimiser.state[parameter] for parameter in self.parameters]
        try:
            addresses = [
                address
                for parameter, state in zip(self.parameters, self.states, strict=True)
                for address in (parameter.data_ptr(), state["momentum_buffer"].data_ptr())
            ]
        except (KeyError, AttributeError):  # before the first step
            for parameter in self.parameters:
                momentum(optimiser, parameter)
            return self._read_optimiser()
        if addresses != self.addresses:
            self._write_addresses(addresses)
        settings = [
            (float(g["lr"]), g["momentum"], g["weight_decay"], g["nesterov"])
            + (g["maximize"], g["dampening"], g["differentiable"])
            for g in optimiser.param_groups
        ]
        if settings != self.settings:
            self._write_settings(settings)

    def _write_addresses(self, addresses: list[int]) -> None:
        """Raises TypeError or ValueError if the memory there is not that of the parameters."""
        triples = zip(self.parameters, self.states, self.parameter_rows, strict=True)
        for parameter, state, row in triples:
            n = row["n"]
            for name, tensor in (("values", parameter), ("momentum", state["momentum_buffer"])):
                launch.addresses(torch.float32, tensor)
                if tensor.numel() != n or not tensor.is_contiguous():
                    raise ValueError(
                        f"the {name} of a parameter have shape {tuple(tensor.shape)}, not {n}"
                        " numbers, contiguous: where a state with other links was loaded, load the"
                        " optimiser's state too, or make a new optimiser"
                    )
        self.addresses = addresses
        self.parameter_rows["values"] = addresses[0::2]
        self.parameter_rows["momentum"] = addresses[1::2]
        parameter_rows = iter(self.parameter_rows)
        for i, part in enumerate(self.step.parts, start=1):
            place = self.table[i]
            place["values"] = next(parameter_rows)["values"]
            if part.linear.bias is not None:
                place["bias"] = next(parameter_rows)["values"]
            if type(part.unit) in LEARNED:
                place["pieces"] = next(parameter_rows)["values"]

    def _write_settings(self, settings: list[tuple]) -> None:
        step = self.step
        _check_optimiser(step.model, step.optimiser, step.average)
        of_parameters = {}
        for group, setting in zip(step.optimiser.param_groups, settings, strict=True):
            of_parameters |= {id(parameter): setting for parameter in group["params"]}
        for row, parameter in zip(self.parameter_rows, self.parameters, strict=True):
            rate, factor, decay, nesterov, *_ = of_parameters[id(parameter)]
            row["rate"], row["factor"] = rate, factor
            row["decay"], row["is_nesterov"] = decay, nesterov
        self.settings = settings

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


def _layer_of(part: _Part) -> kernels.Layer:
    linear, unit, dropout = part
    layer = linear.links()
    if unit is not None:
        layer = layer._replace(**activations.fields_of(unit, linear.out_features, layer.values))
    if layer.hinges is not None:
        check_hinges(layer.hinges, layer.splash)
        layer = layer._replace(hinges=layer.hinges.contiguous())
    if dropout is not None and dropout.p > 0:
        layer = layer._replace(law=launch.dropout_law(dropout.p, dropout.seed, 0))
    return kernels.Layer(*(part.detach() if torch.is_tensor(part) else part for part in layer))


def _mean_and_std(standardise: layers.Standardise | None, n_in: int) -> np.ndarray:
    """(2, n_in) mean and deviation of each input, (0, 0) without any."""
    if standardise is None:
        return np.empty((0, 0), np.float32)
    both = standardise.mean.expand(n_in), standardise.std.expand(n_in)
    return torch.stack(both).float().numpy()
