"""A training step of a model with sparse convolutions: from its input to what its last convolution
feeds it runs on tiles (:mod:`lib._compiled.maps`), the rest and the optimiser by torch.

``torch.fx`` writes down what a model calls. From the first convolution on this becomes a list of
operations, as long as they are known and one value alone leaves them: the *backbone*. What comes
before and behind it are two graphs of torch's own.
"""

import inspect
import math
import operator
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from .. import layers
from . import chains, launch, losses, maps
from .chains import NO_STEP, CannotCompile, name_of
from .convolution import SPARE, Geometry, Maps, Plan, aligned, maps_of
from .maps import CONVOLUTION, INPUT, KEEP, LANES, LINEAR_PIECES, MAX, MEAN, NONE, OUTPUT
from .step import Step, check_tensors

SHAPES = 2  # batches of other sizes whose memory is kept: the last one of an epoch is smaller

# ------------------------------------------------------------------------- what a model does


class Term(NamedTuple):
    """What an operation wrote, behind its normalisation; every so many rows and columns of it, and
    channels of zeros before and after.
    """

    of: "Operation"
    stride: tuple[int, int] = (1, 1)
    before: int = 0
    after: int = 0

    @property
    def is_whole(self) -> bool:
        return self[1:] == ((1, 1), 0, 0)


class Value(NamedTuple):
    """A unit, of a number and a constant, of the sum of one term or two, the first one whole."""

    terms: tuple[Term, ...]
    unit: tuple[int, float] = (LINEAR_PIECES, 1.0)

    @property
    def is_sum(self) -> bool:
        """True without a unit."""
        return self.unit == (LINEAR_PIECES, 1.0)

    @property
    def is_stored(self) -> bool:
        """True if it is what an operation wrote, which may be read several times."""
        (term, *others) = self.terms
        is_alone = not others and term.is_whole and self.is_sum
        return is_alone and term.of.kind != CONVOLUTION


@dataclass(eq=False)
class Operation:
    """Reads a value and writes maps; see :mod:`lib._compiled.maps` for kinds.

    Attributes:
        module: the convolution or the pooling.
        norm: batch normalisation of what it writes.
    """

    kind: int
    value: Value | None = None
    module: nn.Module | None = None
    norm: nn.BatchNorm2d | None = None

    @property
    def settings(self) -> Any:
        """What a pooling or a normalisation was laid out for, which may change later."""
        if self.kind in (MAX, MEAN):
            return POOLINGS[type(self.module)](self.module)
        return self.norm is not None and _is_of_batch(self.norm)


class Backbone:
    """The operations of a model, and torch's graphs of what comes before and behind them.

    Args:
        model: as :func:`lib.train.compiled_step` takes it.
    Raises: CannotCompile, naming the first thing that does not fit.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model, self.units = model, []
        graph = chains.graph_of(model, "", _is_leaf)
        kinds = "output", "placeholder"  # of these, the input alone is used
        nodes = [node for node in graph.nodes if node.op not in kinds or node.users]
        convolutions = nn.Conv2d, layers.SparseConv2d
        first = next((node for node in nodes if _calls(model, node, *convolutions)), None)
        if first is None or not first.all_input_nodes:
            raise CannotCompile(f"no convolution of the model is called by itself: it {NO_STEP}")
        entry = first.all_input_nodes[0]
        begin = nodes.index(entry) + 1
        for node in nodes[:begin]:
            if _learns(model, node):
                raise CannotCompile(
                    f"{name_of(node)} learns before the first convolution, and gets no gradient"
                    " from a compiled step: freeze it, or train by autograd"
                )
        known = self._read(nodes[begin:], entry)
        end, exit_ = self._cut(nodes, begin, begin + known, entry)
        self._read(nodes[begin:end], entry)  # again, without what lies behind the cut
        value = self.values[exit_]
        if not value.is_stored:
            value = self._kept(value)
        self.operations.append(Operation(OUTPUT, value))
        self.stem = _graph_of(model, nodes[:begin], [], entry)
        inputs = [node for node in nodes[:begin] if node.op == "placeholder"]
        (result,) = next(node for node in graph.nodes if node.op == "output").args
        if not isinstance(result, fx.Node):
            raise CannotCompile(f"the model returns {type(result).__name__}, and not one tensor")
        self.head = _graph_of(model, nodes[end:], [*inputs, exit_], result)

    def _read(self, nodes: Sequence[fx.Node], entry: fx.Node) -> int:
        """Make operations of nodes, the first ones that are known; returns how many."""
        source = Operation(INPUT)
        self.operations, self.values = [source], {entry: Value((Term(source),))}
        for i, node in enumerate(nodes):
            value = self._value_of(node) if node.users else None
            if value is None:
                return i
            if len(node.users) > 1 and not value.is_stored:
                if not value.terms[0].is_whole:
                    return i
                value = self._kept(value)
            self.values[node] = value
        return len(nodes)

    def _cut(
        self, nodes: list[fx.Node], begin: int, end: int, entry: fx.Node
    ) -> tuple[int, fx.Node]:
        """Where the backbone ends, the last place at which one value leaves it; and that value."""
        unknown = nodes[end] if end < len(nodes) else None
        for stop in range(end, begin, -1):
            inside = {*nodes[begin:stop]}
            leaving = [node for node in inside if any(user not in inside for user in node.users)]
            if any(_calls(self.model, node, layers.SparseConv2d) for node in nodes[stop:]):
                break
            if len(leaving) != 1 or any(user not in inside for user in entry.users):
                continue
            if self.values[leaving[0]].terms[0].is_whole:
                return stop, leaving[0]
        what = "a value that leaves in two ways" if unknown is None else name_of(unknown)
        if unknown is not None and unknown.op == "call_module":
            what += f" ({type(self.model.get_submodule(unknown.target)).__name__})"
        raise CannotCompile(f"the model calls {what} before its last convolution, which {NO_STEP}")

    def _kept(self, value: Value) -> Value:
        self.operations.append(Operation(KEEP, value))
        return Value((Term(self.operations[-1]),))

    # ---- one node

    def _value_of(self, node: fx.Node) -> Value | None:
        """What a node gives; None if it is not known."""
        inputs = [self.values.get(one) for one in node.all_input_nodes]
        if not inputs or None in inputs or self._changes_another(node):
            return None
        if node.op == "call_module":
            return self._of_module(self.model.get_submodule(node.target), inputs[0])
        if node.target in SUMS and len(node.args) == 2 and not node.kwargs:
            return self._sum(inputs)
        if node.target in SHORTCUTS:
            return SHORTCUTS[node.target](self, inputs[0], *node.args[1:], *node.kwargs.values())
        make = FUNCTIONS.get(node.target)
        if make is None or len(inputs) != 1:
            return None
        return self._of_module(make(*node.args, **node.kwargs), inputs[0])

    def _changes_another(self, node: fx.Node) -> bool:
        """True if it writes over a value that others read, or that is a view of theirs."""
        module = self.model.get_submodule(node.target) if node.op == "call_module" else None
        is_said = any(isinstance(one, bool) and one for one in (*node.args, *node.kwargs.values()))
        is_in_place = node.target in IN_PLACE or getattr(module, "inplace", False)
        if not (is_in_place or (node.op != "call_module" and node.target in FUNCTIONS and is_said)):
            return False
        written = node.all_input_nodes[0]
        is_view = written.target is operator.getitem
        if written.op == "call_module":
            is_view = isinstance(self.model.get_submodule(written.target), nn.Identity)
        return is_view or len(written.users) > 1

    def _of_module(self, module: nn.Module, value: Value) -> Value | None:
        kind = type(module)
        term = value.terms[0]
        if kind is nn.Identity:
            return value
        if kind is nn.BatchNorm2d:
            is_behind_one = value.is_sum and len(value.terms) == 1 and term.is_whole
            if not is_behind_one or term.of.kind != CONVOLUTION or term.of.norm is not None:
                return None
            term.of.norm = module
            return value
        if not term.is_whole:
            return None
        if kind in UNITS and value.is_sum:
            self.units.append((module, unit_of(module)))
            return Value(value.terms, unit_of(module))
        if kind in (nn.Conv2d, layers.SparseConv2d):
            if geometry_of(module) is None:
                return None
            operation = Operation(CONVOLUTION, value, module)
        elif kind in POOLINGS:
            if POOLINGS[kind](module) is None:
                return None
            operation = Operation(MAX if kind is nn.MaxPool2d else MEAN, value, module)
        else:
            return None
        self.operations.append(operation)
        return Value((Term(operation),))

    def _term(self, value: Value) -> Term:
        """The value as a term of a sum."""
        if len(value.terms) > 1 or not value.is_sum:
            value = self._kept(value)
        return value.terms[0]

    def _sum(self, values: list[Value]) -> Value | None:
        if len(values) != 2:  # of a value and itself, or a number
            return None
        terms = [self._term(value) for value in values]
        if terms[0].of is terms[1].of:
            return None
        terms.sort(key=lambda term: (not term.is_whole, term.of.kind != CONVOLUTION))
        return Value(tuple(terms)) if terms[0].is_whole else None

    def _sliced(self, value: Value, index: Any) -> Value | None:
        """Every so many rows and columns: ``x[:, :, ::2, ::2]``."""
        if index[:1] == (Ellipsis,):
            index = (slice(None), slice(None), *index[1:])
        if len(index) != 4 or any(not isinstance(one, slice) for one in index):
            return None
        if any(one.start not in (None, 0) or one.stop is not None for one in index):
            return None
        images, channels, *stride = (one.step or 1 for one in index)
        term = self._term(value)
        if (images, channels) != (1, 1) or not term.is_whole or min(stride) < 1:
            return None
        return Value((term._replace(stride=tuple(stride)),))

    def _padded(
        self, value: Value, pad: Sequence[int], mode: str = "constant", fill: float | None = 0
    ) -> Value | None:
        """Channels of zeros before and after: ``F.pad(x, (0, 0, 0, 0, 8, 8))``."""
        if mode != "constant" or fill or len(pad) != 6 or any(pad[:4]) or min(pad) < 0:
            return None
        term = self._term(value)
        if term.before or term.after:
            return None
        return Value((term._replace(before=pad[4], after=pad[5]),))


SUMS = (operator.add, operator.iadd, torch.add, "add", "add_")
IN_PLACE = (operator.iadd, "add_", "relu_")
SHORTCUTS: dict[Any, Callable] = {
    operator.getitem: Backbone._sliced,
    F.pad: Backbone._padded,
}
UNITS = (nn.ReLU, nn.LeakyReLU, nn.GELU, *chains.SMOOTH)


def unit_of(module: nn.Module) -> tuple[int, float]:
    """Number and constant of a unit."""
    if isinstance(module, nn.ReLU):
        return LINEAR_PIECES, 0.0
    if isinstance(module, nn.LeakyReLU):
        return LINEAR_PIECES, module.negative_slope
    return chains.smooth_unit(module)


def _window(module: nn.Module) -> Any:
    """Of a pooling as most are; None for others."""
    if module.ceil_mode or getattr(module, "dilation", 1) not in (1, (1, 1)):
        return None
    if getattr(module, "return_indices", False) or getattr(module, "divisor_override", None):
        return None
    kernel, stride, padding = (
        one if isinstance(one, tuple) else (one, one)
        for one in (module.kernel_size, module.stride, module.padding)
    )
    is_mean = isinstance(module, nn.AvgPool2d)
    if is_mean and any(padding):
        return None
    return kernel, stride, padding


POOLINGS: dict[Any, Callable] = {
    nn.MaxPool2d: _window,
    nn.AvgPool2d: _window,
    nn.AdaptiveAvgPool2d: lambda module: () if module.output_size in (1, (1, 1)) else None,
}
FUNCTIONS: dict[Any, Callable[..., nn.Module]] = {
    function: make
    for function, make in chains.FUNCTIONS.items()
    if function not in ("view", "reshape", "contiguous", "flatten", torch.flatten, F.dropout)
}
FUNCTIONS |= {
    "relu_": chains.module_like(nn.ReLU),
    F.max_pool2d: chains.module_like(nn.MaxPool2d),
    F.avg_pool2d: chains.module_like(nn.AvgPool2d),
    F.adaptive_avg_pool2d: chains.module_like(nn.AdaptiveAvgPool2d),
}


def geometry_of(module: nn.Module) -> Geometry | None:
    """Of a convolution; None if it is one that the loops do not run."""
    if isinstance(module, nn.Conv2d):
        if not layers.can_be_sparse(module):
            return None
        sizes = module.in_channels, module.out_channels, module.kernel_size, module.stride
        geometry = layers.convolution_geometry(*sizes, module.padding)
    else:
        geometry = module.geometry
    return geometry if geometry.stride[1] <= 2 else None


def _is_leaf(module: nn.Module) -> bool:
    return chains.is_of_a_library(module) and not isinstance(module, nn.Sequential)


def _calls(model: nn.Module, node: fx.Node, *kinds: type[nn.Module]) -> bool:
    """True if a node calls a module of one of these kinds."""
    return node.op == "call_module" and isinstance(model.get_submodule(node.target), kinds)


def _learns(model: nn.Module, node: fx.Node) -> bool:
    """True if a node reads a parameter that learns."""
    if node.op == "call_module":
        return any(p.requires_grad for p in model.get_submodule(node.target).parameters())
    if node.op != "get_attr":
        return False
    owner, _, name = node.target.rpartition(".")
    return getattr(getattr(model.get_submodule(owner), name), "requires_grad", False)


def _graph_of(
    model: nn.Module, nodes: Sequence[fx.Node], inputs: Sequence[fx.Node], result: fx.Node
) -> fx.GraphModule:
    """Torch's own run of some nodes, from the values of others, to one value."""
    graph, now = fx.Graph(), {}
    for node in inputs:
        now[node] = graph.placeholder(f"given_{len(now)}")
    for node in nodes:
        for one in node.all_input_nodes:
            if one not in now:
                raise CannotCompile(
                    f"the model reads {one.name} behind its last convolution, which {NO_STEP}"
                )
        now[node] = graph.node_copy(node, lambda one: now[one])
    graph.output(now[result])
    return fx.GraphModule(model, graph)


# ------------------------------------------------------------------------- in memory


class Program:
    """The operations of a backbone for inputs of one shape, in memory.

    Args:
        backbone: its operations.
        shape: (B, C, H, W).
        n_slots: tiles that run at a time.
    Raises: CannotCompile if shapes do not fit.
    """

    def __init__(self, backbone: Backbone, shape: tuple[int, ...], n_slots: int) -> None:
        self.backbone, self.shape, self.n_slots = backbone, shape, n_slots
        self.width, self.n_tiles = shape[0], -(-shape[0] // LANES)
        self.operations = backbone.operations
        self.number = {one: i for i, one in enumerate(self.operations)}
        self.supports = [_support_of(one) for one in self.operations]
        self.units = [unit for _, unit in backbone.units]
        self.settings = [one.settings for one in self.operations]
        self.rows = np.zeros(len(self.operations), maps.OPERATION)
        self._size = 0
        self._slots: dict[tuple[str, Maps], int] = {}
        self.held: list[Any] = []  # what addresses point to
        self.out: list[Maps] = []  # of each operation
        for operation, row in zip(self.operations, self.rows, strict=True):
            self._lay_out(operation, row)
        self._lay_out_terms()
        self._lay_out_gradients()
        self.memory = aligned(self._size + SPARE)
        for row, m in zip(self.rows, self.out, strict=True):
            self._at(row["affine"], m.channels)[:] = 1
        self.regions = self._regions()
        self.backward_regions = self._backward_regions()

    def fits(self, n_slots: int) -> bool:
        """True if links, units, poolings and normalisations are those that it was made for, and as
        many tiles run.
        """
        if [one.settings for one in self.operations] != self.settings:
            return False
        units = [unit_of(module) for module, _ in self.backbone.units]
        supports = [_support_of(one) for one in self.operations]
        same = all(a is b for a, b in zip(supports, self.supports, strict=True))
        return same and units == self.units and n_slots == self.n_slots

    def _at(self, place: int, *shape: int) -> np.ndarray:
        return self.memory[place : place + math.prod(shape)].reshape(shape)

    # ---- where all is

    def _take(self, n: int) -> int:
        """A place for so many numbers."""
        place = self._size
        self._size += -(-n // LANES) * LANES
        return place

    def _slot(self, name: str, m: Maps) -> tuple[int, int]:
        """Place and size of room in the memory of each thread, which operations on maps of this
        border share.
        """
        size = -(-(m.channels * m.plane * LANES + SPARE) // LANES) * LANES
        if (name, m) not in self._slots:
            self._slots[name, m] = self._take(self.n_slots * size)
        return self._slots[name, m], size

    def _lay_out(self, operation: Operation, row: Any) -> None:
        """Sizes of an operation, and where its maps and its index are."""
        row["kind"], row["moments"] = operation.kind, NONE
        if operation.kind == INPUT:
            out = maps_of(*self.shape[1:])
        else:
            out = self._maps_of(operation.value)
            row["value"], row["n_terms"] = out, len(operation.value.terms)
            row["unit"], row["slope"] = operation.value.unit
        if operation.kind == CONVOLUTION:
            out = self._lay_out_convolution(operation, row, out)
        elif operation.kind in (MAX, MEAN):
            out = self._lay_out_pooling(operation, row, out)
        row["shape"]["y"], row["size"] = out, out.channels * out.plane * LANES
        row["maps"] = self._take(self.n_tiles * row["size"])
        row["affine"], row["mean"] = self._take(2 * out.channels), self._take(out.channels)
        row["sums"] = self._take(2 * self.n_tiles * out.channels)
        self.out.append(out)

    def _maps_of(self, value: Value) -> Maps:
        """Of a value, without a border."""
        sizes = []
        for term in value.terms:
            m = self.out[self.number[term.of]]
            n_rows, n_columns = -(-m.height // term.stride[0]), -(-m.width // term.stride[1])
            sizes.append((term.before + m.channels + term.after, n_rows, n_columns))
        if len(set(sizes)) > 1:
            raise CannotCompile(f"a sum of maps {sizes[0]} and {sizes[1]}, which {NO_STEP}")
        return maps_of(*sizes[0])

    def _lay_out_convolution(self, operation: Operation, row: Any, m: Maps) -> Maps:
        geometry = geometry_of(operation.module)
        if m.channels != geometry.n_in or min(geometry.size_of_output(m.height, m.width)) < 1:
            sizes = m.channels, m.height, m.width
            raise ValueError(f"maps of {sizes} do not fit {operation.module}")
        support, norm = _support_of(operation), operation.norm
        n_weights = geometry.n_out * geometry.n_in * math.prod(geometry.kernel)
        keys = np.arange(n_weights) if support is None else support.keys.numpy()
        plan = Plan(geometry, keys, LANES * self.n_tiles, m.height, m.width)
        row["shape"], row["n_links"] = tuple(plan.shape), len(keys)
        row["value"] = plan.shape.x
        row["x"], row["x_size"] = self._slot("x", plan.shape.x)
        row["g"], row["g_size"] = self._slot("g", plan.shape.g)
        row["d"], row["d_size"] = self._slot("d", maps_of(1, 1, -(-plan.n_sums // LANES)))
        row["links_size"] = -(-(len(keys) + 4) // LANES) * LANES
        row["links"] = self._take(self.n_tiles * row["links_size"])
        for name, index in (("forward", plan.forward_index), ("backward", plan.backward_index)):
            arrays = *index, np.empty(len(keys), np.float32)
            self.held += arrays
            first, *others = (one.ctypes.data for one in arrays)
            row[name] = first, len(index.first), *others
        row["normal"], row["has_norm"] = self._take(3 * geometry.n_out), norm is not None
        deviations = np.empty(geometry.n_out)
        self.held.append(deviations)
        row["deviations"] = deviations.ctypes.data
        if norm is not None and _is_of_batch(norm):
            row["moments"] = self._take(2 * self.n_tiles * geometry.n_out)
            if self.width * plan.shape.y.height * plan.shape.y.width == 1:
                raise ValueError(
                    "batch normalisation gets one value of each channel, and needs two: give larger"
                    " batches, or a batch_size that does not leave one example for the last batch"
                    " of an epoch"
                )
        return plan.shape.y

    def _lay_out_pooling(self, operation: Operation, row: Any, m: Maps) -> Maps:
        window = operation.settings
        if window is None:
            raise CannotCompile(f"{operation.module} of the model {NO_STEP}")
        kernel, stride, padding = window or ((m.height, m.width), (1, 1), (0, 0))
        sizes = [
            (n + 2 * p - k) // s + 1
            for n, k, s, p in zip((m.height, m.width), kernel, stride, padding, strict=True)
        ]
        if min(sizes) < 1:
            raise ValueError(
                f"maps of ({m.height}, {m.width}) are smaller than a pooling's {kernel}"
            )
        row["shape"]["run"]["stride_y"], row["shape"]["run"]["stride_x"] = stride
        row["kernel_y"], row["kernel_x"] = kernel
        row["top"], row["left"] = padding
        row["x"], row["x_size"] = self._slot("x", m)
        return maps_of(m.channels, *sizes)

    def _lay_out_terms(self) -> None:
        terms = []
        for operation, row in zip(self.operations, self.rows, strict=True):
            row["term"] = len(terms)
            for j, term in enumerate(operation.value.terms if operation.value else ()):
                k = self.number[term.of]
                m, of = self.out[k], self.rows[k]
                terms.append(
                    (of["maps"], NONE, of["size"], of["affine"], of["mean"], of["sums"])
                    + (m.channels, m.height, m.width, term.before, *term.stride, 0)
                    + (j > 0 and term.of.kind == CONVOLUTION,)
                )
        self.terms = np.array(terms, maps.TERM)

    def _lay_out_gradients(self) -> None:
        """Where the gradients at maps and values are; memory that is read no more is used again."""
        begun: dict[int, int] = {}  # of each operation whose maps have a gradient, where
        free: dict[int, list[int]] = {}  # by size

        def place_of(k: int) -> int:
            if k not in begun:
                size = int(self.rows[k]["size"])
                again = free.get(size)
                begun[k] = again.pop() if again else self._take(self.n_tiles * size)
            return begun[k]

        for i in range(len(self.operations) - 1, 0, -1):
            value, row = self.operations[i].value, self.rows[i]
            numbers = [self.number[term.of] for term in value.terms]
            have_begun = [k in begun for k in numbers]
            row["gradient"] = own = begun.pop(i, NONE)
            row["passes_on"] = not value.is_stored
            if value.is_stored or (row["kind"] != KEEP and not have_begun[0]):
                row["value_gradient"] = place_of(numbers[0])
                row["value_size"], row["adds"] = self.rows[numbers[0]]["size"], have_begun[0]
            elif row["kind"] == KEEP:  # in place
                row["value_gradient"], row["value_size"] = own, row["size"]
                begun.setdefault(numbers[0], own)
            else:
                row["is_shared"] = True
                row["value_gradient"], row["value_size"] = self._slot("e", self.out[numbers[0]])
            if not row["is_shared"] and self._has_one_gradient(i, begun):
                begun[numbers[1]] = row["value_gradient"]
            for j, k in enumerate(numbers):
                term = self.terms[row["term"] + j]
                term["gradient"], term["adds"] = place_of(k), have_begun[j]
            if own != NONE and own not in begun.values():
                free.setdefault(int(row["size"]), []).append(own)

    def _has_one_gradient(self, i: int, begun: dict[int, int]) -> bool:
        """True if both terms of a sum, whose gradients are equal, can have them in one place.

        The second term's operation, and all that adds to its gradient, must come after that of the
        first one backwards. And the first one must not write over its gradient, as KEEP does. A
        convolution as the second term needs sums, which are taken where a gradient is written.
        """
        terms = self.operations[i].value.terms
        if len(terms) == 1 or not terms[1].is_whole or terms[1].of.kind == CONVOLUTION:
            return False
        first, second = (self.number[term.of] for term in terms)
        if second > first or terms[0].of.kind == KEEP:
            return False
        readers = defaultdict(list)
        for j, operation in enumerate(self.operations):
            for term in operation.value.terms if operation.value else ():
                readers[self.number[term.of]].append(j)
        is_read_first = all(j == i or j < first for j in readers[second])
        is_alike = self.out[first] == self.out[second] and readers[first] == [i]
        return second not in begun and is_alike and is_read_first

    def _regions(self) -> np.ndarray:
        """Operations that run without waiting for all tiles: a normalisation waits."""
        cuts = [0]
        for i, operation in enumerate(self.operations):
            terms = operation.value.terms if operation.value else ()
            read = [self.number[t.of] for t in terms if t.of.norm and _is_of_batch(t.of.norm)]
            if any(k >= cuts[-1] for k in read):
                cuts.append(i)
        return np.column_stack([cuts, [*cuts[1:], len(self.operations)]])

    def _backward_regions(self) -> np.ndarray:
        """The same backwards: a normalisation waits for the sums of what reads it."""
        cuts = [len(self.operations)]
        last_reader = {}
        for i, operation in enumerate(self.operations):
            for term in operation.value.terms if operation.value else ():
                last_reader.setdefault(term.of, i)  # the first one is the last to run backwards
        for i in range(len(self.operations) - 1, -1, -1):
            norm = self.operations[i].norm
            waits = norm is not None and _is_of_batch(norm)
            if waits and last_reader[self.operations[i]] < cuts[-1]:
                cuts.append(i + 1)
        return np.column_stack([[*cuts[1:], 0], cuts])

    # ---- a step

    def _check_sizes(self) -> None:
        """Raise ValueError if a parameter has not as many numbers as the loops read."""
        for operation, row, m in zip(self.operations, self.rows, self.out, strict=True):
            if operation.kind != CONVOLUTION:
                continue
            norm = operation.norm
            sizes = [None if one is None else one.numel() for one in _parameters_of(operation)]
            wanted = row["n_links"], *[m.channels] * 3
            fitting = all(n in (None, need) for n, need in zip(sizes, wanted, strict=True))
            if not fitting or (norm is not None and norm.num_features != m.channels):
                behind = "" if norm is None else f" and {norm}"
                raise ValueError(
                    f"parameters of {operation.module}{behind} do not fit {m.channels} maps: make"
                    f" all of them for {m.channels}"
                )

    def forward(self, x: np.ndarray) -> np.ndarray:
        """What the backbone gives for images (B, C, H, W); running statistics follow."""
        self._read_parameters()
        m = self.out[-1]
        outputs = np.empty((self.width, m.channels, m.height, m.width), np.float32)
        maps.forward_pass(
            self.rows, self.regions, self.terms, self.memory, x.reshape(-1), outputs.reshape(-1),
            self.width, self.n_slots, maps.parts()[0], maps.TILE,
        )  # fmt: skip
        return outputs

    def backward(self, grad_y: np.ndarray) -> list[tuple[nn.Parameter, Tensor]]:
        """Parameters and their gradients, from that at the output of the last forward pass."""
        self.grads = []  # what addresses point to
        for operation, row in zip(self.operations, self.rows, strict=True):
            if operation.kind == CONVOLUTION:
                for name, p in zip(PARAMETERS, _parameters_of(operation), strict=True):
                    row["grad_" + name] = 0
                    if p is not None and p.requires_grad:
                        grad = torch.empty(p.shape, dtype=torch.float32)
                        self.grads.append((p, grad))
                        row["grad_" + name] = grad.data_ptr()
        maps.backward_pass(
            self.rows, self.backward_regions, self.terms, self.memory, grad_y.reshape(-1),
            self.width, self.n_slots, maps.parts()[1], maps.TILE,
        )  # fmt: skip
        return self.grads

    def _read_parameters(self) -> None:
        """Take over addresses, which may have changed, and what running numbers take of a batch."""
        self._check_sizes()
        self.parameters = []  # what addresses point to
        for operation, row in zip(self.operations, self.rows, strict=True):
            if operation.kind != CONVOLUTION:
                continue
            norm, found = operation.norm, _parameters_of(operation)
            if found[1] is None:
                found[1] = found[0].new_zeros(operation.module.out_channels)
            held = [None if p is None else p.detach().contiguous() for p in found]
            self.parameters += held
            addresses = launch.addresses(torch.float32, *held)
            for name, address in zip(PARAMETERS, addresses, strict=True):
                row[name] = address
            if norm is not None:
                row["epsilon"], row["share"] = norm.eps, 0.0
                row["running_mean"], row["running_variance"] = chains.running_numbers(norm)
                if norm.training and norm.track_running_stats and row["running_mean"]:
                    row["share"] = chains.share_of_batch(norm)


def _support_of(operation: Operation) -> Any:
    """Its links; None for a dense convolution, and what is none."""
    return getattr(operation.module, "support", None)


PARAMETERS = "values", "bias", "gamma", "beta"


def _parameters_of(operation: Operation) -> list[Tensor | None]:
    """Of :data:`PARAMETERS` those that a convolution and its normalisation have."""
    module, norm = operation.module, operation.norm
    weights = module.values if isinstance(module, layers.SparseConv2d) else module.weight
    of_norm = (None, None) if norm is None else (norm.weight, norm.bias)
    return [weights, module.bias, *of_norm]


def _is_of_batch(norm: nn.BatchNorm2d) -> bool:
    """True if it normalises by the batch, not by what it kept."""
    return norm.training or norm.running_mean is None


# ------------------------------------------------------------------------------- the step


class BackboneStep(Step):
    """A training step of a model with sparse convolutions; made by :func:`lib.train.compiled_step`,
    which says what it takes. Its optimiser is torch's own, so any fits, and the hook of a
    :class:`~lib.train.WeightAverage` follows it.
    """

    finds_gradients_at_inputs = False

    def _read_model(self) -> None:
        closure = inspect.signature(self.optimiser.step).parameters.get("closure")
        if closure is not None and closure.default is closure.empty:
            raise CannotCompile(f"{type(self.optimiser).__name__} needs a closure, which {NO_STEP}")
        backbone = Backbone(self.model)
        for operation in backbone.operations:
            if operation.norm is not None:
                chains.running_numbers(operation.norm)
        for name, p in self.model.named_parameters():
            chains.check_place(name, p)
        self._backbone = backbone
        self._programs: dict[tuple[int, ...], Program] = {}

    def fitting(self, x: Tensor, y: Tensor) -> Tensor | None:
        """Labels as a step takes them. Raises CannotCompile if the model does not take such
        examples.
        """
        Program(self._backbone, tuple(self._images_of(x[:2]).shape), 1)
        return y

    def __call__(self, x: Tensor, y: Tensor, index: Tensor | None = None) -> float:
        """Take a step; return the mean loss before it.

        Args:
            x: (N, features...) float32, as the model takes it.
            y: (N, ...) labels of the loss.
            index: (B,) int64, which of the examples are the batch; None: all.
        Raises: ValueError if a shape or a dtype does not fit; CannotCompile if the model has become
            one that the step does not take, as by a hook.
        """
        check_tensors(x, y, index)
        if len(x) != len(y):
            raise ValueError(f"y has {len(y)} labels, and x {len(x)} examples: give as many")
        if index is not None:
            x, y = x.index_select(0, index), y.index_select(0, index)
        if self._is_watched():
            return self._descend(losses.matched(self.loss, self.model(x), y))
        if not self._snapshot.holds():
            self._take_over()
        images = self._images_of(x)
        program = self._program_for(tuple(images.shape))
        features = torch.from_numpy(program.forward(images.numpy())).requires_grad_()
        outputs = self._backbone.head(x, features.clone())  # which it may write over
        loss = losses.matched(self.loss, outputs, y)

        def of_backbone() -> list[tuple[nn.Parameter, Tensor]]:
            if features.grad is None:  # behind a detach
                return []
            return program.backward(features.grad.contiguous().numpy())

        return self._descend(loss, of_backbone)

    def _images_of(self, x: Tensor) -> Tensor:
        """What the first convolution gets. Raises ValueError if it is no batch of images."""
        with torch.no_grad():
            images = self._backbone.stem(x).contiguous()
        if images.dtype != torch.float32 or images.ndim != 4 or len(images) == 0:
            raise ValueError(
                f"the first convolution gets {images.dtype} of shape {tuple(images.shape)}: give"
                " (B, C, height, width) float32"
            )
        return images

    def _program_for(self, shape: tuple[int, ...]) -> Program:
        n_slots = min(launch.match_threads(), -(-shape[0] // LANES))
        program = self._programs.get(shape)
        if program is None or not program.fits(n_slots):
            if len(self._programs) >= SHAPES:
                self._programs.clear()
            program = self._programs[shape] = Program(self._backbone, shape, n_slots)
        return program
