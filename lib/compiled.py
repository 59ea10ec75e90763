"""The passes of :mod:`lib.loops` on tensors, the threads they run on, and when they are used.

Results do not depend on the number of threads, which is torch's (``torch.set_num_threads``).
"""

import contextlib
import functools
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numba
import numpy as np
import torch
from torch import Tensor

from lib import loops, memory

Step = TypeVar("Step")

NO_LINKS = (None, None, None)  # for the loops of lib.sampling: what has no links
EMPTY = 1  # stands for the address of a tensor of no values
TILE = 256  # examples at a time: the values of a layer of some thousand neurons stay in the cache
PLAIN = (Tensor, torch.nn.Parameter)  # types whose memory is known
ZEROS = {torch.float32: np.float32(0), torch.float64: np.float64(0)}

_implementation = "auto"


# ------------------------------------------------------------------ choice of implementation


@contextlib.contextmanager
def use_implementation(name: str) -> Iterator[None]:
    """Run the kernels of the enclosed block as ``"numba"``, ``"torch"`` or ``"auto"`` (by device
    and dtype).

    Raises: ValueError for another name.
    """
    global _implementation
    if name not in ("auto", "numba", "torch"):
        raise ValueError(f"implementation {name!r} is unknown: give 'auto', 'numba' or 'torch'")
    previous = _implementation
    _implementation = name
    try:
        yield
    finally:
        _implementation = previous


def runs_compiled(x: Tensor) -> bool:
    """Whether kernels on ``x`` run compiled: float32 or float64 on a CPU, unless a setting says
    otherwise.

    Raises: RuntimeError if ``"numba"`` was asked for and ``x`` is of another device or dtype.
    """
    possible = x.is_cpu and x.dtype in (torch.float32, torch.float64)
    if _implementation == "numba" and not possible:
        raise RuntimeError(
            f"the compiled kernels take float32 and float64 on a CPU, not {x.dtype} on {x.device}:"
            " use_implementation('auto')"
        )
    return possible and _implementation != "torch"


def is_autocast(x: Tensor) -> bool:
    """Whether torch.autocast may change the dtype of ``x``: never that of float64."""
    if x.dtype not in (torch.float16, torch.bfloat16, torch.float32):
        return False
    return torch.is_autocast_enabled(x.device.type)


def is_traced() -> bool:
    """Whether torch runs the code on stand-ins for tensors: in a transform of ``torch.func`` or in
    ``torch.export``. Such tensors have no memory for the compiled loops.
    """
    # what torch.autograd.Function asks; torch.func has no public name for it
    return torch._C._are_functorch_transforms_active() or torch.compiler.is_exporting()


def outside_graphs(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which ``torch.compile`` calls as it is, between its graphs.

    This is ``torch.compiler.disable``, which takes a second to import, only where it is needed.
    """
    disabled = torch._disable_dynamo(function)  # imports it at the first call

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return disabled(*args, **kwargs)
        return function(*args, **kwargs)

    return called


# ------------------------------------------------------------------------------------ threads


def match_threads() -> None:
    """Let the compiled loops of this thread run on as many threads as torch does."""
    threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    if numba.get_num_threads() != threads:
        numba.set_num_threads(threads)


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
    which they mostly wait; elsewhere half as long. After the first step :data:`TRIALS` steps on all
    threads are timed, then as many on one; the steps that follow get the number that was faster,
    and so does what comes after the loop: enclose both in ``on_threads(torch.get_num_threads())``.
    For what does not depend on the number of threads.
    """
    most = chosen = torch.get_num_threads()
    seconds = {1: 0.0, most: 0.0}
    for i, step in enumerate(steps):
        is_timed = 0 < i <= 2 * TRIALS
        threads = 1 if is_timed and i > TRIALS else chosen
        torch.set_num_threads(threads)
        start = time.perf_counter()
        yield step
        if is_timed:
            seconds[threads] += time.perf_counter() - start
        if i == 2 * TRIALS:
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
    if not 0 <= p < 1:
        raise ValueError(f"p = {p} is out of range: give a dropout probability in [0, 1)")
    threshold = int(p * 2**32)
    scale = 1 / (1 - p)
    return DropoutLaw(threshold, scale, *key_and_flip(seed, step))


def key_and_flip(seed: int, step: int) -> tuple[int, int]:
    """Two words of 32 bits, a hash of seed and step."""
    words = hashlib.blake2b(b"%d %d" % (seed, step), digest_size=8).digest()
    return int.from_bytes(words[:4], "little"), int.from_bytes(words[4:], "little")


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


def output(layers: Sequence[tuple], x: Tensor) -> Tensor:
    """The output (n_out, B) of rows x (B, n_in), of which nothing is kept.

    Where sparse layers follow each other :data:`TILE` examples at a time, or one more, go through
    them, if there are twice as many; a dropout, whose law numbers all of them, gets them at once.
    """
    n_sparse = sum(layer.support is not None for layer in layers)
    is_dropped = any(layer.law is not None for layer in layers)
    if n_sparse < 2 or is_dropped or len(x) < 2 * TILE:
        return forward(layers, feature_major(x), keep=False)[0]
    y = x.new_empty(_widths(layers, x.shape[1])[-1], len(x))
    starts = range(0, len(x) - 1, TILE)  # no part of one example, which sums in another order
    for start, end in zip(starts, [*starts[1:], len(x)], strict=True):
        part, _ = forward(layers, feature_major(x[start:end]), keep=False)
        y[:, start:end] = part
    return y


def forward(layers: Sequence[tuple], x: Tensor, *, keep: bool) -> tuple[Tensor, list]:
    """Layers after each other, in one call.

    Args:
        layers: each a :class:`lib.kernels.Layer` of contiguous tensors of the dtype of x, whose
            memory nobody else frees meanwhile.
        x: (n_in, B) float, contiguous.
        keep: whether to keep what :func:`backward` reads.
    Returns: the output, (n_out, B) float, contiguous; and of each layer, if kept, its input and the
        values before its activation, None without one.
    """
    widths = _widths(layers, len(x))
    spare = _Alternating(x, max(widths[1:-1], default=0))
    places = []
    states = []  # what the addresses point to
    y = x
    for i, layer in enumerate(layers):
        inputs, n = y, widths[i + 1]
        is_own = keep or i == len(layers) - 1
        y = x.new_empty(n, x.shape[1]) if is_own else spare.rows(n)
        z = inputs if layer.support is None else y
        if keep and z is y and layer.srelu is not None:
            z = torch.empty_like(y)
        states.append((inputs, None if layer.srelu is None else z))
        places.append(_place(layer, n, x.dtype, inputs, z, y))
    match_threads()
    loops.forward_layers(ZEROS[x.dtype], x.shape[1], np.array(places, memory.LAYER))
    return y, states if keep else []


def backward(
    layers: Sequence[tuple],
    kept: Sequence[tuple[Tensor | None, Tensor | None]],
    grad_y: Tensor,
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of layers after each other, in one call.

    Args:
        layers: as in :func:`forward`.
        kept: what it kept, contiguous; of a layer without activation whose values need no gradient,
            the input may be None.
        grad_y: (n_out, B) float, the gradient at the output.
        needed: whether a gradient is needed, in the order of those that are returned.
    Returns: the gradients at x, (n_in, B), and at values, bias and srelu of each layer, None where
        none is needed.
    """
    needs_x, *needed = needed
    width, dtype = grad_y.shape[1], grad_y.dtype
    if layers[-1].srelu is None and layers[-1].law is None:
        g = grad_y.resolve_neg().contiguous()
    else:
        g = grad_y.clone(memory_format=torch.contiguous_format)  # the loops change it
    inner = [layer.support.n_in for layer in layers[1:] if layer.support is not None]
    spare = _Alternating(grad_y, max(inner, default=0))
    at_ends = [g]  # with spare what the addresses point to
    places = [memory.Place()]
    grads: list[Tensor | None] = [None] * len(needed)
    for i in reversed(range(len(layers))):
        support = layers[i].support
        own = [None, None, None]
        for k, parameter in enumerate(layers[i][1:4]):
            if needed[3 * i + k]:
                own[k] = grad_y.new_empty(support.nnz if k == 0 else parameter.shape)
        grads[3 * i : 3 * i + 3] = own
        places.append(_place(layers[i], len(g), dtype, *kept[i], g=g, grads=own))
        if not needs_x and not any(needed[: 3 * i]):
            break
        if support is not None:
            g = spare.rows(support.n_in) if i > 0 else grad_y.new_empty(support.n_in, width)
            at_ends.append(g)
    of_input = memory.Place(n_out=len(g), g=addresses(dtype, g)[0]) if needs_x else memory.Place()
    places.append(of_input)
    match_threads()
    loops.backward_layers(ZEROS[dtype], width, np.array(places[::-1], memory.LAYER))
    return [g if needs_x else None, *grads]


def _widths(layers: Sequence[tuple], n: int) -> list[int]:
    """Numbers of neurons: of the input, and after each layer."""
    widths = [n]
    for layer in layers:
        widths.append(widths[-1] if layer.support is None else layer.support.n_out)
    return widths


class _Alternating:
    """Memory for a series of matrices of which two live at a time, of up to ``most`` rows as wide
    as those of ``like``.
    """

    def __init__(self, like: Tensor, most: int) -> None:
        self.like, self.most = like, most
        self.last: Tensor | None = None
        self.before: Tensor | None = None

    def rows(self, n: int) -> Tensor:
        """The next of the series, of n rows, in the memory of the one before the last."""
        memory = self.before
        if memory is None:
            memory = self.like.new_empty(self.most, self.like.shape[1])
        self.last, self.before = memory, self.last
        return memory[:n]


def _place(
    layer: tuple,
    n: int,
    dtype: torch.dtype,
    x: Tensor | None,
    z: Tensor | None,
    y: Tensor | None = None,
    g: Tensor | None = None,
    grads: Sequence[Tensor | None] = (None, None, None),
) -> tuple:
    """The fields of :class:`lib.memory.Place` of a :class:`lib.kernels.Layer` of n neurons."""
    support, values, bias, srelu, law = layer
    links = (n, n, 0, 0, 0, 0, 0, 0) if support is None else support.place
    dropout = (0, 0, 1.0, 0, 0) if law is None else (1, *law)
    return *links, *addresses(dtype, values, bias, srelu, x, z, y, g, *grads), *dropout


def addresses(dtype: torch.dtype, *tensors: Tensor | None) -> list[int]:
    """Of the memory of contiguous tensors, 0 for None: a tenth of the time that arrays of it take.

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
    """That of a tensor of a kind of its own, or of no values. Raises TypeError."""
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


def plain(law: tuple | None) -> tuple | None:
    """The law without its names, of which numba would make another type."""
    return law and tuple(law)
