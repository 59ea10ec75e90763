"""The passes over tiles on tensors, the threads they run on, and when they are used.

Results do not depend on the number of threads, which is torch's (``torch.set_num_threads``).
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numba
import numpy as np
import torch
from torch import Tensor
from torch.utils import flop_counter

from .._boundary import check_known, check_number
from . import layout, loops, memory, passes

Step = TypeVar("Step")

NO_LINKS = (None, None, None)  # for the loops of lib.sampling: what has no links
NO_MASKS = torch.empty(1, 0, dtype=torch.uint8)
EMPTY = 1  # stands for the address of a tensor of no values
PLAIN = (Tensor, torch.nn.Parameter)  # types whose memory is known
ZEROS = {torch.float32: np.float32(0), torch.float64: np.float64(0)}

_implementation = "auto"
_is_forked = False


def _note_fork() -> None:
    """Threads do not come along, and GNU OpenMP starts no others: torch would wait for its own."""
    global _is_forked
    _is_forked = True
    torch.set_num_threads(1)


os.register_at_fork(after_in_child=_note_fork)


# ------------------------------------------------------------------ choice of implementation


@contextlib.contextmanager
def use_implementation(name: str) -> Iterator[None]:
    """Run the kernels of the enclosed block as ``"numba"``, ``"torch"`` or ``"auto"`` (by device
    and dtype).

    Raises: ValueError for another name.
    """
    global _implementation
    check_known("implementation", name, ("auto", "numba", "torch"))
    previous = _implementation
    _implementation = name
    try:
        yield
    finally:
        _implementation = previous


def runs_compiled(x: Tensor) -> bool:
    """True if kernels on ``x`` run compiled: float32 or float64 on a CPU, unless a setting says
    otherwise, or this process was forked (as a worker of a ``DataLoader`` is).

    Raises: RuntimeError if ``"numba"`` was asked for and cannot be.
    """
    possible = x.is_cpu and x.dtype in (torch.float32, torch.float64)
    if _is_forked:
        if _implementation == "numba":
            raise RuntimeError(
                "the compiled kernels do not run in a forked process: start it by spawn, or"
                " use_implementation('auto')"
            )
        return False
    if _implementation == "numba" and not possible:
        raise RuntimeError(
            f"the compiled kernels take float32 and float64 on a CPU, not {x.dtype} on {x.device}:"
            " use_implementation('auto')"
        )
    return possible and _implementation != "torch"


def check_dtype(name: str, x: Tensor, other: str, like: Tensor) -> None:
    """Raise ValueError unless both are of one dtype, and both or none on a CPU."""
    if x.is_cpu != like.is_cpu:
        raise ValueError(
            f"{name} is on {x.device} and {other} on {like.device}: give both on one device"
        )
    if x.dtype != like.dtype:
        raise ValueError(
            f"{name} is {x.dtype} and {other} {like.dtype}:"
            f" give both in one dtype, as {name}.to({like.dtype})"
        )


def is_autocast(x: Tensor) -> bool:
    """True if torch.autocast may change the dtype of ``x``: never that of float64."""
    if x.dtype not in (torch.float16, torch.bfloat16, torch.float32):
        return False
    return torch.is_autocast_enabled(x.device.type)


def is_traced() -> bool:
    """True if a transform of ``torch.func`` runs the code on stand-ins for tensors, which have no
    memory for the compiled loops.
    """
    # what torch.autograd.Function asks; torch.func has no public name for it
    return torch._C._are_functorch_transforms_active()


def is_observed() -> bool:
    """True if a mode of torch sees each operation, as ``FlopCounterMode`` does; never where torch
    makes a graph.
    """
    return not torch.compiler.is_compiling() and torch._C._len_torch_dispatch_stack() > 0


# --------------------------------------------------------------------------- what passes cost


@torch.library.custom_op("sparse_adaptive::multiply_adds", mutates_args=())
def multiply_adds(n: int) -> None:
    """Nothing: tells ``FlopCounterMode`` how much loops multiply that are no operation of torch, as
    those of a backward pass.
    """


@flop_counter.register_flop_formula(torch.ops.sparse_adaptive.multiply_adds)
def _(n, **_):
    return 2 * n


def forward_products(layers: Sequence[tuple]) -> int:
    """Multiply-adds of :func:`forward` for one example: one a link."""
    return sum(layer.support.col.numel() for layer in layers if layer.support is not None)


def backward_products(layers: Sequence[tuple], needed: Sequence[bool]) -> int:
    """Multiply-adds of :func:`backward` for one example: one a link for the gradient of the
    weights, one for that of the input, which also the layers below need.
    """
    needs_x, *needed = needed
    products = 0
    for i, layer in enumerate(layers):
        of_layer = needed[3 * i : 3 * i + 3]
        if layer.support is not None:
            products += (needs_x + of_layer[0]) * layer.support.col.numel()
        needs_x = needs_x or any(of_layer)
    return products


# ------------------------------------------------------------------------------------ threads


def match_threads() -> int:
    """Let the compiled loops of this thread run on as many threads as torch does; return these."""
    threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    if numba.get_num_threads() != threads:
        numba.set_num_threads(threads)
    return threads


@contextlib.contextmanager
def on_threads(number: int) -> Iterator[None]:
    """Run the enclosed block on so many of torch's threads; on one, dense products give the same
    bits on every machine size.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


TRIALS = 4  # steps on all threads, and as many on one, from which `paced` chooses


def paced(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps of a loop, each with torch's threads set to one or to all, whichever a few of its
    steps show to be faster.

    Threads wait for each other. Beside another busy process two take ten times as long as one, in
    which they mostly wait; elsewhere half as long. After a first step, which may lay out memory,
    :data:`TRIALS` steps on all threads are timed, then likewise on one. The steps that follow get
    the number that was faster, and so does what comes after the loop: enclose both in
    ``on_threads(torch.get_num_threads())``.
    For what does not depend on the number of threads.
    """
    most = chosen = torch.get_num_threads()
    seconds = {1: 0.0, most: 0.0}
    for i, step in enumerate(steps):
        is_on_one = TRIALS < i <= 2 * TRIALS + 1
        is_timed = 0 < i <= 2 * TRIALS + 1 and i != TRIALS + 1
        threads = 1 if is_on_one else chosen
        torch.set_num_threads(threads)
        start = time.perf_counter()
        yield step
        if is_timed:
            seconds[threads] += time.perf_counter() - start
        if i == 2 * TRIALS + 1:
            chosen = min(seconds, key=seconds.get)
    torch.set_num_threads(chosen)


# ------------------------------------------------------------------------------------ dropout


class DropoutLaw(NamedTuple):
    """Which values a dropout keeps, by their index in feature-major memory; see
    :func:`dropout_law`.

    Kept where ``mix(index + key) ^ flip >= threshold``, unsigned 32-bit integers all; the kept
    values are multiplied by ``scale``.
    """

    threshold: int
    scale: float
    key: int
    flip: int


def dropout_law(p: float, seed: int, step: int) -> DropoutLaw:
    """Dropout of probability ``p``, in [0, 1), of one layer, by its seed, in one step.

    A counter-based generator, keyed by a hash of seed and step.

    Raises: ValueError if ``p`` is out of range.
    """
    check_number("p", p, "[0, 1)", "a dropout probability in [0, 1)")
    threshold = int(p * 2**32)
    scale = 1 / (1 - p)
    return DropoutLaw(threshold, scale, *key_and_flip(seed, step))


def key_and_flip(seed: int, step: int) -> tuple[int, int]:
    """Two words of 32 bits, a hash of seed and step."""
    words = key_and_flip_bytes(seed, step)
    return int.from_bytes(words[:4], "little"), int.from_bytes(words[4:], "little")


def key_and_flip_bytes(seed: int, step: int) -> bytes:
    """Their eight bytes."""
    return hashlib.blake2b(b"%d %d" % (seed, step), digest_size=8).digest()


# -------------------------------------------------------------------- the passes, on tensors


def feature_major(x: Tensor) -> Tensor:
    """The columns (n, B) of ``x`` (B, n), contiguous; a copy unless ``x`` is feature-major."""
    columns = x.resolve_neg().t()
    if columns.is_contiguous():
        return columns
    match_threads()
    copied = x.new_empty(columns.shape)
    loops.transposed(array(columns.t()), array(copied))
    return copied


class Kept(NamedTuple):
    """Memory that a forward pass leaves for the backward pass: (tiles, numbers) memory and (tiles,
    bytes) masks, as :func:`lay_out` orders them; of an activation or a dropout alone its input, and
    no masks. Besides the number of inputs, and whether they lay in the memory example by example.
    """

    memory: Tensor
    masks: Tensor
    n_in: int
    is_rows: bool = False


def forward(layers: Sequence[tuple], x: Tensor, *, keep: bool) -> tuple[Tensor, Kept | None]:
    """Layers after each other, in one call.

    Args:
        layers: each a :class:`lib.kernels.Layer` of contiguous tensors of the dtype of x, whose
            memory nobody else frees meanwhile.
        x: (B, n_in) float.
        keep: whether to keep what :func:`backward` reads.
    Returns: the output, (n_out, B) float, contiguous; and what is kept.
    """
    width, n_in = x.shape
    is_alone = is_unit(layers)
    if is_alone and x.t().is_contiguous():
        y = _unit_forward(layers[0], x.resolve_neg().t())
        return y, Kept(x, NO_MASKS, n_in, False) if keep else None
    if is_alone and keep:
        y, _ = forward(layers, x, keep=False)
        return y, Kept(x, NO_MASKS, n_in, True)
    plan = layout.planned(layers, n_in, width, x.dtype, keep=keep)
    return run_forward(plan, filled(plan, layers, x.dtype), x, keep=keep)


def run_forward(
    plan: layout.Plan, table: np.ndarray, x: Tensor, *, keep: bool
) -> tuple[Tensor, Kept | None]:
    """:func:`forward` by the plan of its layers and the table that :func:`filled` makes of it."""
    width, n_in = x.shape
    tile, n_tiles = plan.tile, layout.n_tiles(width, plan.tile)
    x, is_rows = _rows_or_columns(x)
    n_slots = min(n_tiles, _threads_for(n_tiles, 0))
    n_kept = n_tiles if keep else n_slots
    kept = Kept(
        x.new_empty(n_kept, plan.n_rows * tile.lanes),
        torch.empty(n_kept, 8 * plan.n_masks, dtype=torch.uint8),
        n_in,
        is_rows,
    )
    y = x.new_empty(plan.places[-1].n_out, width)
    passes.forward_tiles(
        table[1:-1],
        array(x),
        layout.counted(width),
        is_rows,
        array(kept.memory),
        array(kept.masks),
        array(y.view(-1)),
        width,
        n_slots,
        keep,
        passes.forward_of(tile),
        tile,
    )
    return y, kept if keep else None


def kept_shapes(layers: Sequence[tuple], x: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shapes of the memory and the masks that :func:`forward` keeps beside x (B, n_in)."""
    if is_unit(layers):
        return (1, 0), (1, 0)
    width, n_in = x.shape
    tile = layout.tile_for(x.dtype, width)  # no plan: in a graph links have no memory
    _, n_rows, n_masks = layout.lay_out(layers, layout.widths_of(layers, n_in), keep=True)
    n_tiles = layout.n_tiles(width, tile)
    return (n_tiles, n_rows * tile.lanes), (n_tiles, 8 * n_masks)


ADDRESSES = ("values", "bias", "pieces", "hinges")  # of a layer's tensors, in the table


def filled(plan: layout.Plan, layers: Sequence[tuple], dtype: torch.dtype) -> np.ndarray:
    """A copy of the table of a plan, with the present addresses of the layers' parameters and the
    present laws of their dropouts.
    """
    table = plan.table.copy()
    found = [addresses_of(layer, dtype) for layer in layers]
    for name, column in zip(ADDRESSES, zip(*found, strict=True), strict=True):
        table[name][1:-1] = column
    for i, layer in enumerate(layers, start=1):
        if layer.law is not None:
            for name, value in layer.law._asdict().items():
                table[name][i] = value
    return table


SMALL = 2**16  # links, or fewer, are copied by one thread


def _threads_for(n_tiles: int, n_links: int) -> int:
    """Let the compiled loops run on as many threads as have work: a tile is the work of one."""
    if n_tiles == 1 and n_links <= SMALL:
        if numba.get_num_threads() != 1:
            numba.set_num_threads(1)
        return 1
    return match_threads()


def is_unit(layers: Sequence[tuple]) -> bool:
    """True if they are one without links, a ReLU, an SReLU or a dropout alone."""
    if len(layers) != 1 or layers[0].support is not None or layers[0].splash is not None:
        return False
    layer = layers[0]
    return layer.is_relu or layer.srelu is not None or layer.law is not None


def _unit_table(layer: tuple, n: int, dtype: torch.dtype) -> np.ndarray:
    found = dict(zip(ADDRESSES, addresses_of(layer, dtype), strict=True))
    return np.array([layout.place_of(layer, n)._replace(**found)], memory.LAYER)


def _unit_forward(layer: tuple, columns: Tensor) -> Tensor:
    """(n, B) output of an activation or a dropout alone, of contiguous columns (n, B)."""
    n, width = columns.shape
    y = torch.empty_like(columns)
    match_threads()
    passes.forward_unit(
        _unit_table(layer, n, y.dtype),
        array(columns.view(-1)),
        array(y.view(-1)),
        width,
        *layout.unit_tiles(y.dtype),
    )
    return y


def _unit_backward(
    layer: tuple, kept: Kept, grad_y: Tensor, needed: Sequence[bool]
) -> list[Tensor | None]:
    """Gradients of an activation or a dropout alone, as :func:`backward` returns them."""
    grad_y = feature_major(grad_y.t())
    columns = grad_y  # a dropout's gradient does not depend on its input
    if layer.srelu is not None or layer.is_relu:
        columns = feature_major(kept.memory)
    grad_x = torch.empty_like(grad_y)
    n, width = grad_y.shape
    n_chunks = -(-width // passes.CHUNK)
    sums = grad_y.new_empty(n_chunks if needed[3] else 0, 4, n)
    match_threads()
    passes.backward_unit(
        _unit_table(layer, n, grad_y.dtype),
        array(columns.view(-1)),
        array(grad_y.view(-1)),
        array(grad_x.view(-1)),
        array(sums),
        width,
        *layout.unit_tiles(grad_y.dtype),
    )
    grad_pieces = None
    if needed[3]:
        if n_chunks > 1:
            passes.add_up_rows(array(sums.view(n_chunks, -1)), n_chunks, 1)
        passes.pieces_gradients(array(sums[0]), array(layer.srelu))
        grad_pieces = sums[0].clone()
    return [grad_x if needed[0] else None, None, None, grad_pieces]


def _rows_or_columns(x: Tensor) -> tuple[Tensor, bool]:
    """The memory of x (B, n) in one row, and whether it is that of x rather than of its columns."""
    x = x.resolve_neg()
    if lies_in_rows(x):
        return x.contiguous().view(-1), True
    return x.t().view(-1), False


def lies_in_rows(x: Tensor) -> bool:
    """True if x (B, n) is read example by example: all but what is feature-major alone."""
    return x.is_contiguous() or not x.t().is_contiguous()


def backward(
    layers: Sequence[tuple], kept: Kept, grad_y: Tensor, needed: Sequence[bool]
) -> list[Tensor | None]:
    """Gradients of layers after each other, in one call.

    Args:
        layers: as in :func:`forward`.
        kept: what it kept.
        grad_y: (n_out, B) float, the gradient at the output.
        needed: whether a gradient is needed, in the order of those that are returned.
    Returns: the gradients at x, (n_in, B) in the memory format of x, and at values, bias and
        parameters of the activation of each layer, None where none is needed.
    """
    if is_unit(layers):
        return _unit_backward(layers[0], kept, grad_y, needed)
    dtype, width = grad_y.dtype, grad_y.shape[1]
    if is_observed():
        multiply_adds(backward_products(layers, needed) * width)
    plan = layout.planned(layers, kept.n_in, width, dtype, needed=tuple(needed))
    tile, n_tiles = plan.tile, layout.n_tiles(width, plan.tile)
    grad_y, y_is_rows = _rows_or_columns(grad_y.t())
    threads = _threads_for(n_tiles, plan.n_links)
    n_slots = min(n_tiles, threads)
    table = filled(plan, layers, dtype)
    # weights in the other order, then their gradients
    ordered = {i: torch.empty_like(layers[i].values) for i in plan.ordered}
    for i, tensor in ordered.items():
        table["ordered"][i + 1] = addresses(dtype, tensor)[0]
    sums = grad_y.new_empty(layout.n_sums(plan.n_sums, width, tile), plan.n_sums)
    grads = grad_y.new_empty(n_slots, plan.n_grads * tile.lanes)
    shape = (width, kept.n_in) if kept.is_rows else (kept.n_in, width)
    grad_x = grad_y.new_empty(shape if needed[0] else 0)
    passes.backward_tiles(
        table,
        array(grad_y),
        y_is_rows,
        array(kept.memory.contiguous()),
        array(kept.masks.contiguous()),
        array(grads),
        array(sums),
        array(grad_x.view(-1)),
        kept.is_rows,
        layout.counted(max(width, kept.n_in)),
        width,
        n_slots,
        threads,
        passes.backward_of(tile),
        tile,
    )
    found = [None]
    if needed[0]:
        found[0] = grad_x.t() if kept.is_rows else grad_x
    for i, place in enumerate(plan.places[1:-1]):
        d_values = d_bias = d_pieces = None
        if place.d_values >= 0:
            d_values = ordered.get(i)
            if d_values is None:
                d_values = sums[0, place.d_values : place.d_values + place.n_links].clone()
        if place.d_bias >= 0:
            d_bias = sums[0, place.d_bias : place.d_bias + place.n_out].clone()
        if place.d_pieces >= 0:
            pieces = layers[i].pieces
            of_pieces = sums[0, place.d_pieces : place.d_pieces + pieces.numel()]
            d_pieces = of_pieces.clone().view(pieces.shape)
        found += d_values, d_bias, d_pieces
    return found


def addresses_of(layer: tuple, dtype: torch.dtype) -> list[int]:
    """Addresses of the parameters and the hinges of a layer."""
    return addresses(dtype, layer.values, layer.bias, layer.pieces, layer.hinges)


def addresses(dtype: torch.dtype, *tensors: Tensor | None) -> list[int]:
    """Addresses of the memory of contiguous tensors, 0 for None: a tenth of the time that arrays of
    it take.

    The caller holds the memory: a tensor that others can give other memory is detached first.

    Raises: TypeError for a tensor without memory of its own on a CPU, or of another dtype.
    """
    found = []
    for tensor in tensors:
        if tensor is None:
            found.append(0)
            continue
        is_plain = type(tensor) in PLAIN and tensor.dtype is dtype and tensor.is_cpu
        address = tensor.data_ptr() if is_plain and not tensor.is_neg() else 0
        found.append(address or _checked_address(tensor, dtype))
    return found


def _checked_address(tensor: Tensor, dtype: torch.dtype) -> int:
    """Address of a tensor of a kind of its own, or of no values. Raises TypeError."""
    reason = f"it is {tensor.dtype} on {tensor.device}, and they take {dtype} on a CPU"
    if tensor.dtype is dtype and tensor.is_cpu:
        try:
            tensor.detach().numpy()
            if tensor.numel() == 0:
                return EMPTY
            if tensor.data_ptr() != 0:
                return tensor.data_ptr()
            reason = "its memory was freed"
        except (RuntimeError, TypeError) as error:
            reason = str(error)
    raise TypeError(
        f"the compiled loops cannot read the memory of a {type(tensor).__name__}: give plain"
        f" tensors ({reason})"
    )


def array(tensor: Tensor | None) -> np.ndarray | None:
    """The memory of a tensor, for the compiled loops."""
    if tensor is None:
        return None
    if tensor.requires_grad:
        tensor = tensor.detach()
    return tensor.numpy()
