"""The passes of :mod:`lib.loops` on tensors, the threads they run on, and when they are used.

Results do not depend on the number of threads, which is torch's (``torch.set_num_threads``).
"""

import contextlib
import functools
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import numba
import numpy as np
import torch
from torch import Tensor

from lib import loops

Step = TypeVar("Step")

NO_LINKS = (None, None, None)  # the index of a layer that is an activation or a dropout alone

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


# ------------------------------------------------- the passes, on tensors: match_threads() first


def feature_major(x: Tensor) -> Tensor:
    """The columns (n, B) of ``x`` (B, n), contiguous; a copy unless ``x`` is feature-major."""
    columns = x.t()
    if columns.is_contiguous():
        return columns
    columns = x.new_empty(columns.shape)
    loops.transposed(array(x), array(columns))
    return columns


def forward(
    index: tuple,
    values: Tensor | None,
    x: Tensor,
    bias: Tensor | None,
    srelu: Tensor | None,
    law: DropoutLaw | None,
) -> tuple[Tensor, Tensor]:
    """One layer: links, bias, activation and dropout, without those that are None.

    Args:
        index: ``by_row`` or ``by_column`` of a support, or NO_LINKS.
        values: (nnz,) float, in the order of the support.
        x: (n_in, B) float, contiguous.
        bias: (n_out,) float.
        srelu: (4, n_out) float.
        law: of the dropout.
    Returns: (n_out, B) float, contiguous: the values before the activation, and the output; one
        tensor if there is no activation.
    """
    if index is NO_LINKS:
        z = x
        y = x.new_empty(x.shape)
    else:
        n_out = len(index[0]) - 1
        y = x.new_empty(n_out, x.shape[1])
        z = y if srelu is None else torch.empty_like(y)
    loops.forward_rows(
        *index,
        array(values),
        array(x),
        array(bias),
        array(srelu),
        plain(law),
        array(z),
        array(y),
    )
    return z, y


def backward_(
    index: tuple,
    x: Tensor,
    z: Tensor | None,
    srelu: Tensor | None,
    law: DropoutLaw | None,
    g: Tensor,
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of one layer, from ``g``, which becomes the gradient before the activation.

    Args:
        index: ``by_row`` of the support, or NO_LINKS.
        x: (n_in, B) float, input of the layer.
        z: (n_out, B) float, values before the activation.
        srelu, law: as in :func:`forward`.
        g: (n_out, B) float, contiguous, the gradient at the output; changed in place.
    Returns: the gradient of the links, (nnz,) or None, and that of the bias and of the four
        activation parameters, (5, n_out) or None.
    """
    crow, col, _ = index
    d = None
    grads = None
    if col is not None:
        d = x.new_empty(len(col))
    if srelu is not None:
        grads = x.new_empty(5, len(g))
    loops.backward_rows(
        crow,
        col,
        array(x),
        array(z),
        array(srelu),
        plain(law),
        array(g),
        array(d),
        array(grads),
    )
    return d, grads


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
