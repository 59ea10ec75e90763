r"""The three products of a sparse layer, and whole layers in one pass, on one index layout and
feature-major activations.

A layer with weights :math:`W` of shape (n_out, n_in) stores only its ``nnz`` links. With the batch
as columns (*feature-major*: ``x`` is (n_in, B), contiguous) training needs three products, and
each is the derivative of the other two, so the set is closed under differentiation:

* ``spmm``             y = W x             the output,
* ``spmm_transposed``  z = Wᵀ g            the gradient at the input,
* ``sddmm``            d_k = g[row_k] · x[col_k]   the gradient of the links, and of nothing else.

:func:`chain` runs layers after each other: of every output neuron at once its links, bias,
activation and dropout, while its row is in the cache.

Everything has a compiled form (numba) and a plain torch form of the same meaning; the device and
the dtype choose, or :func:`use_implementation` names one. Every row of a result belongs to one
thread, so results do not depend on the number of threads, which is torch's
(``torch.set_num_threads``). What the compiled kernels inline stays in this file: numba looks for
changes there alone before it takes a kernel from its cache.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from lib.support import Support

numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]  # omp: the pool torch runs on
_threads = torch.get_num_threads()
numba.get_num_threads()  # starts the pool, and with it sets torch's number of threads to all cores
torch.set_num_threads(_threads)
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}  # not nnan, ninf: a diverging run must be seen
jit = numba.njit(parallel=True, fastmath=FASTMATH, error_model="numpy", nogil=True, cache=True)
inline = numba.njit(inline="always", fastmath=FASTMATH, error_model="numpy")

_implementation = "auto"


# ------------------------------------------------------------------ choice of implementation


@contextlib.contextmanager
def use_implementation(name: str) -> Iterator[None]:
    """Run the kernels of the enclosed block as ``"numba"``, ``"torch"`` or ``"auto"`` (by device
    and dtype).

    Source: ours, a setting.

    Raises: ValueError for another name.
    """
    global _implementation
    if name not in ("auto", "numba", "torch"):
        raise ValueError(f"implementation {name!r} is unknown: give 'auto', 'numba' or 'torch'")
    previous, _implementation = _implementation, name
    try:
        yield
    finally:
        _implementation = previous


def compiled(x: Tensor) -> bool:
    """Whether kernels on ``x`` run compiled: float32 or float64 on a CPU, unless a setting says
    otherwise.

    Source: ours, a setting. Compiled kernels then use as many threads as torch.

    Raises: RuntimeError if ``"numba"`` was asked for and ``x`` is of another device or dtype.
    """
    possible = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    if _implementation == "numba" and not possible:
        raise RuntimeError(
            f"the compiled kernels take float32 and float64 on a CPU, not {x.dtype} on {x.device}:"
            " use_implementation('auto')"
        )
    if _implementation == "torch" or not possible:
        return False
    threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    if numba.get_num_threads() != threads:
        numba.set_num_threads(threads)
    return True


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run the enclosed block on one thread, so that dense products give the same bits on every
    machine size.

    Source: ours, a setting.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# -------------------------------------------------------------------------- compiled kernels


@inline
def _link(col, order, values, x, k):
    """Weight of link k, and the row of x that it reads."""
    return values[k] if order is None else values[order[k]], x[col[k]]


@inline
def _add_links(k, end, col, order, values, x, y_r):
    """y_r += the links k to end, eight in each pass over the row."""
    width = y_r.shape[0]
    while k + 8 <= end:
        w0, x0 = _link(col, order, values, x, k)
        w1, x1 = _link(col, order, values, x, k + 1)
        w2, x2 = _link(col, order, values, x, k + 2)
        w3, x3 = _link(col, order, values, x, k + 3)
        w4, x4 = _link(col, order, values, x, k + 4)
        w5, x5 = _link(col, order, values, x, k + 5)
        w6, x6 = _link(col, order, values, x, k + 6)
        w7, x7 = _link(col, order, values, x, k + 7)
        for b in range(width):
            half = w0 * x0[b] + w1 * x1[b] + w2 * x2[b] + w3 * x3[b]
            y_r[b] += half + (w4 * x4[b] + w5 * x5[b] + w6 * x6[b] + w7 * x7[b])
        k += 8
    while k + 2 <= end:
        w0, x0 = _link(col, order, values, x, k)
        w1, x1 = _link(col, order, values, x, k + 1)
        for b in range(width):
            y_r[b] += w0 * x0[b] + w1 * x1[b]
        k += 2
    if k < end:
        w0, x0 = _link(col, order, values, x, k)
        for b in range(width):
            y_r[b] += w0 * x0[b]


@inline
def _dot_links(k, end, col, x, g, d):
    """d[k] = g · x[col[k]] for the links k to end, four at a time."""
    zero = g.dtype.type(0)
    while k + 4 <= end:
        x0, x1, x2, x3 = x[col[k]], x[col[k + 1]], x[col[k + 2]], x[col[k + 3]]
        s0 = s1 = s2 = s3 = zero
        for b in range(g.shape[0]):
            s0 += g[b] * x0[b]
            s1 += g[b] * x1[b]
            s2 += g[b] * x2[b]
            s3 += g[b] * x3[b]
        d[k], d[k + 1], d[k + 2], d[k + 3] = s0, s1, s2, s3
        k += 4
    while k < end:
        x0, s0 = x[col[k]], zero
        for b in range(g.shape[0]):
            s0 += g[b] * x0[b]
        d[k] = s0
        k += 1


@inline
def _pieces(srelu, r):
    """Both thresholds of neuron r, each with the change of slope beyond it."""
    t_left, a_left, width, a_right = srelu[0, r], srelu[1, r], srelu[2, r], srelu[3, r]
    one = srelu.dtype.type(1)
    return t_left, a_left - one, t_left + abs(width), a_right - one


@inline
def _srelu_row(z, srelu, r, y):
    low, left, high, right = _pieces(srelu, r)
    zero = z.dtype.type(0)
    for b in range(z.shape[0]):
        v = z[b]
        y[b] = v + left * min(v - low, zero) + right * max(v - high, zero)


@inline
def _srelu_grad_row(z, srelu, r, g, grads):
    """Turn g, the gradient at the output, into that at the input; grads[:, r]: bias, parameters."""
    low, left, high, right = _pieces(srelu, r)
    zero = z.dtype.type(0)
    total = below = below_x = above = above_x = zero
    for b in range(z.shape[0]):
        g_b, x_low, x_high = g[b], z[b] - low, z[b] - high
        g_low = g_b if x_low <= zero else zero
        g_high = g_b if x_high >= zero else zero
        below += g_low
        below_x += g_low * x_low
        above += g_high
        above_x += g_high * x_high
        g[b] = g_b + left * g_low + right * g_high
        total += g[b]
    grads[0, r], grads[1, r], grads[2, r] = total, -left * below - right * above, below_x
    grads[3, r], grads[4, r] = -right * above * np.sign(srelu[2, r]), above_x


@inline
def _mix(h):
    """A bijection of 32 bits in which every input bit reaches every output bit (two rounds)."""
    h = np.uint32(np.uint32(h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D))
    h = np.uint32(np.uint32(h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(h ^ (h >> np.uint32(16)))


@inline
def _dropout_row(y, r, law):
    threshold, scale, zero = np.uint32(law[0]), y.dtype.type(law[1]), y.dtype.type(0)
    first = np.uint32(np.uint32(r * y.shape[0]) + np.uint32(law[2]))
    flip = np.uint32(law[3])
    for b in range(y.shape[0]):
        keep = np.uint32(_mix(np.uint32(first + np.uint32(b))) ^ flip) >= threshold
        y[b] = y[b] * scale if keep else zero


@jit
def _forward_numba(crow, col, order, values, x, bias, srelu, law, z, y):
    """For each row in turn: links and bias into z, activation into y, dropout; without the parts
    that are None.
    """
    for r in numba.prange(y.shape[0]):
        z_r, y_r = z[r], y[r]
        if crow is not None:
            z_r[:] = 0 if bias is None else bias[r]
            _add_links(crow[r], crow[r + 1], col, order, values, x, z_r)
        if srelu is not None:
            _srelu_row(z_r, srelu, r, y_r)
        if law is not None:
            if srelu is None:
                y_r[:] = z_r
            _dropout_row(y_r, r, law)


@jit
def _backward_numba(crow, col, x, z, srelu, law, g, d, grads):
    """For each row in turn: dropout, activation and its parameters, bias, links; g, the gradient at
    the output, becomes that before the activation.
    """
    for r in numba.prange(g.shape[0]):
        g_r = g[r]
        if law is not None:
            _dropout_row(g_r, r, law)
        if srelu is not None:
            _srelu_grad_row(z[r], srelu, r, g_r, grads)
        if crow is not None:
            _dot_links(crow[r], crow[r + 1], col, x, g_r, d)


@jit
def _transpose_numba(x, columns):
    for r in numba.prange(columns.shape[0]):
        for b in range(columns.shape[1]):
            columns[r, b] = x[b, r]


# -------------------------------------------------- one layer, compiled and in plain torch


class DropoutLaw(NamedTuple):
    """Which values a dropout keeps, by their index in feature-major memory; see
    :func:`dropout_law`.

    Source: ours. Kept where ``mix(index + key) ^ flip >= threshold``, unsigned 32-bit integers all;
    the kept values are multiplied by ``scale``.
    """

    threshold: int
    scale: float
    key: int
    flip: int


def dropout_law(p: float, seed: int, step: int) -> DropoutLaw:
    """Dropout of probability ``p``, in [0, 1), of one layer, by its seed, in one step.

    Source: ours: a counter-based generator, keyed by a hash of seed and step.
    Raises: ValueError if ``p`` is out of range.
    """
    if not 0 <= p < 1:
        raise ValueError(f"p = {p} is out of range: give a dropout probability in [0, 1)")
    words = hashlib.blake2b(b"%d %d" % (seed, step), digest_size=8).digest()
    key, flip = int.from_bytes(words[:4], "little"), int.from_bytes(words[4:], "little")
    return DropoutLaw(int(p * 2**32), 1 / (1 - p), key, flip)


class Layer(NamedTuple):
    """Links, bias, activation and dropout of one layer of a :func:`chain`; what is None is left
    out.

    Source: the layer of [Mocanu2018], Methods. ``values`` (nnz,) and ``bias`` (n_out,) as in
    :func:`spmm`; ``srelu`` (4, n_out) as in :func:`srelu`; ``law`` of the dropout.
    """

    support: Support | None = None
    values: Tensor | None = None
    bias: Tensor | None = None
    srelu: Tensor | None = None
    law: DropoutLaw | None = None


def _array(tensor: Tensor | None) -> np.ndarray | None:
    if tensor is not None and tensor.requires_grad:
        tensor = tensor.detach()
    return None if tensor is None else tensor.numpy()


def _columns(x):
    """The columns (n, B) of x (B, n), contiguous; a copy unless x is feature-major."""
    columns = x.t()
    if not columns.is_contiguous():
        columns = x.new_empty(columns.shape)
        _transpose_numba(_array(x), _array(columns))
    return columns


NO_LINKS = (None, None, None)


def _forward(index, values, x, bias, srelu, law):
    """Values before the activation, and the output; one tensor if there is no activation."""
    y = x.new_empty(x.shape[0] if index is NO_LINKS else len(index[0]) - 1, x.shape[1])
    z = x if index is NO_LINKS else y if srelu is None else torch.empty_like(y)
    floats = map(_array, (values, x, bias, srelu))
    _forward_numba(*index, *floats, law and tuple(law), _array(z), _array(y))
    return z, y


def _backward_(index, x, z, srelu, law, g):
    """Gradients of links (nnz,) and of bias and activation (5, n); g becomes that before the
    activation.
    """
    d = None if index is NO_LINKS else x.new_empty(len(index[1]))
    grads = None if srelu is None else x.new_empty(5, len(g))
    floats, results = map(_array, (x, z, srelu)), map(_array, (g, d, grads))
    _backward_numba(*index[:2], *floats, law and tuple(law), *results)
    return d, grads


def _spmm(support, values, x, transposed=False):
    if compiled(x):
        index = support.by_column if transposed else support.by_row
        return _forward(index, values, x, None, None, None)[1]
    row, col, n_out = support.row, support.col, support.n_out
    if transposed:
        row, col, n_out = col, row, support.n_in
    return x.new_zeros(n_out, x.shape[1]).index_add_(0, row, values[:, None] * x[col])


def _sddmm(support, x, grad_y):
    if compiled(x):
        return _backward_(support.by_row, x, None, None, None, grad_y)[0]
    return (x[support.col] * grad_y[support.row]).sum(1)


def _srelu(x, parameters):
    t_left, a_left, width, a_right = parameters[:, :, None]  # (n, 1) each
    left, right = (x - t_left).clamp(max=0), (x - (t_left + width.abs())).clamp(min=0)
    return x + (a_left - 1) * left + (a_right - 1) * right


def _dropout(x, law):
    h = torch.arange(law.key, law.key + x.numel(), device=x.device).view(x.shape) & 0xFFFFFFFF
    h = (h ^ (h >> 16)) * 0x7FEB352D & 0xFFFFFFFF
    h = (h ^ (h >> 15)) * 0x846CA68B & 0xFFFFFFFF
    keep = (h ^ (h >> 16) ^ law.flip) >= law.threshold
    return torch.where(keep, x * law.scale, torch.zeros_like(x))


# ------------------------------------------------------ each product is the others' derivative


def _product(support, values, x, grad_y):
    """The one of the three that is None."""
    if grad_y is None:
        return _spmm(support, values, x)
    if x is None:
        return _spmm(support, values, grad_y, transposed=True)
    return _sddmm(support, x, grad_y)


class _Product(torch.autograd.Function):
    """Derivative of the form sum_k w_k · x[col_k] · g[row_k] by the one of w, x, g that is None.

    The gradients at the two others are derivatives of the same form.
    """

    @staticmethod
    def forward(ctx, support, *factors):
        ctx.support = support
        ctx.save_for_backward(*factors)
        return _product(support, *factors)

    @staticmethod
    def backward(ctx, grad):
        factors = [grad.contiguous() if f is None else f for f in ctx.saved_tensors]
        grads = [None, None, None]
        for i, needed in enumerate(ctx.needs_input_grad[1:]):
            if needed:
                others = [None if j == i else factor for j, factor in enumerate(factors)]
                grads[i] = _Product.apply(ctx.support, *others)
        return None, *grads


class _Chain(torch.autograd.Function):
    """Layers after each other as one node of the graph.

    Inputs: support and law of each layer, whether to keep what the gradient needs, x (B, n), and
    values, bias and srelu of each layer. The output is (n, B).
    """

    @staticmethod
    def forward(ctx, fixed, keep, x, *tensors):
        y, kept = _columns(x), []
        for (support, law), (values, bias, srelu) in zip(fixed, _threes(tensors), strict=True):
            index = NO_LINKS if support is None else support.by_row
            z, out = _forward(index, values, y, bias, srelu, law)
            kept += [y, None if srelu is None else z] if keep else []
            y = out
        ctx.fixed = fixed
        ctx.save_for_backward(x, *tensors, *kept)
        return y

    @staticmethod
    def backward(ctx, grad_y):
        n = len(ctx.fixed)
        (x, *tensors), kept = ctx.saved_tensors[: 1 + 3 * n], ctx.saved_tensors[1 + 3 * n :]
        if torch.is_grad_enabled():  # the gradient will be differentiated: take the definition's
            return None, None, *_differentiable_gradients(ctx, x, tensors, grad_y)
        needs_x, *needed = ctx.needs_input_grad[2:]
        g, grads = grad_y.clone(memory_format=torch.contiguous_format), []
        for i in reversed(range(n)):
            support, law = ctx.fixed[i]
            values, bias, srelu = tensors[3 * i : 3 * i + 3]
            index = support.by_row if needed[3 * i] else NO_LINKS
            d, grad_unit = _backward_(index, kept[2 * i], kept[2 * i + 1], srelu, law, g)
            grad_bias = None if bias is None else g.sum(1) if srelu is None else grad_unit[0]
            grads = [d, grad_bias, None if srelu is None else grad_unit[1:], *grads]
            if support is not None and (i > 0 or needs_x):
                g = _product(support, values, None, g)
        return None, None, g.t() if needs_x else None, *grads


def _threes(tensors):
    return zip(tensors[0::3], tensors[1::3], tensors[2::3], strict=True)


def _composed(fixed, x, tensors):
    """The definition of a chain, product by product; it can be differentiated any number of
    times.
    """
    y = x.t()
    for (support, law), (values, bias, srelu) in zip(fixed, _threes(tensors), strict=True):
        y = y.contiguous() if support is None else spmm(support, values, y, bias)
        y = y if srelu is None else _srelu(y, srelu)
        y = y if law is None else _dropout(y, law)
    return y


def _differentiable_gradients(ctx, x, tensors, grad_y):
    needed = ctx.needs_input_grad[2:]  # by aliases: one input may depend on another
    x, *tensors = inputs = [None if t is None else t.view_as(t) for t in (x, *tensors)]
    wanted = [t for t, n in zip(inputs, needed, strict=True) if n]
    y = _composed(ctx.fixed, x, tensors)
    found = iter(torch.autograd.grad(y, wanted, grad_y, create_graph=True))
    return [next(found) if n else None for n in needed]


def _check(name: str, x: Tensor, n: int) -> None:
    if x.ndim != 2 or x.shape[0] != n:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: give ({n}, B), the batch as columns")
    if x.shape[1] == 0:
        raise ValueError(f"{name} has batch width 0: give at least one example")


def spmm(support: Support, values: Tensor, x: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Output of a sparse layer, before its activation.

    .. math:: y_{i,b} = \beta_i + \sum_{k: row_k = i} w_k \, x_{col_k, b}

    Source: the sparsely connected layer of [Mocanu2018], Methods.

    Args:
        support: the links.
        values: (nnz,) float, weight :math:`w_k` of each link.
        x: (n_in, B) float, the batch as columns.
        bias: (n_out,) float, :math:`\beta`, or None.
    Returns: (n_out, B) float, contiguous.
    Raises: ValueError if a shape does not fit or the batch is empty.
    """
    _check_layer(support, values, bias)
    _check("x", x, support.n_in)
    y = _Product.apply(support, values, x.contiguous(), None)
    return y if bias is None else y + bias[:, None]


def spmm_transposed(support: Support, values: Tensor, grad_y: Tensor) -> Tensor:
    r"""Gradient of the loss at the input of a sparse layer.

    .. math:: z_{j,b} = \sum_{k: col_k = j} w_k \, g_{row_k, b}

    Source: chain rule for the layer of [Mocanu2018], Methods.

    Args:
        support: the links.
        values: (nnz,) float.
        grad_y: (n_out, B) float, the gradient :math:`g` at the output.
    Returns: (n_in, B) float, contiguous.
    Raises: ValueError if a shape does not fit or the batch is empty.
    """
    _check_layer(support, values)
    _check("grad_y", grad_y, support.n_out)
    return _Product.apply(support, values, None, grad_y.contiguous())


def sddmm(support: Support, x: Tensor, grad_y: Tensor) -> Tensor:
    r"""Gradient of the loss with respect to the stored weights only.

    .. math:: d_k = \sum_b g_{row_k, b} \, x_{col_k, b}

    Source: chain rule for the layer of [Mocanu2018], Methods.
    Departs: the (n_out, n_in) gradient is never formed; summed over the batch.

    Args:
        support: the links.
        x: (n_in, B) float, input of the layer.
        grad_y: (n_out, B) float, gradient at its output.
    Returns: (nnz,) float, in the order of the support.
    Raises: ValueError if a shape does not fit, the batch sizes differ or are 0.
    """
    _check("x", x, support.n_in)
    _check("grad_y", grad_y, support.n_out)
    if x.shape[1] != grad_y.shape[1]:
        raise ValueError(f"x has {x.shape[1]} columns and grad_y {grad_y.shape[1]}: give one batch")
    return _Product.apply(support, None, x.contiguous(), grad_y.contiguous())


def srelu(x: Tensor, parameters: Tensor) -> Tensor:
    """S-shaped rectified linear unit, with the formula of :class:`lib.activations.SReLU`.

    Source: [Jin2016].

    Args:
        x: (B, n) float.
        parameters: (4, n) float, t_left, a_left, width and a_right of each neuron.
    Returns: (B, n) float, feature-major.
    """
    return chain(x, [Layer(srelu=parameters)])


def dropout(x: Tensor, law: DropoutLaw) -> Tensor:
    """The values of ``x`` (B, n) float that the law keeps, scaled; the others are 0.

    Source: [Srivastava2014]; the mask is recomputed in the backward pass, never stored.
    """
    return chain(x, [Layer(law=law)])


def chain(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """Layers after each other, each in one pass over its neurons: links, bias, activation, dropout.

    The same as :func:`spmm`, :func:`srelu` and :func:`dropout` in turn. Backward is two passes a
    layer: dropout, activation and links of each output neuron, then the gradient at the input.

    Source: the layers of [Mocanu2018], Methods; that a layer is one pass is ours.

    Args:
        x: (B, n_in) float, fastest if feature-major.
        layers: of matching widths, on the device and in the dtype of ``x``.
    Returns: (B, n_out) float, feature-major.
    Raises: ValueError if a shape does not fit or the batch is empty.
    """
    if layers and (x.ndim != 2 or x.shape[0] == 0):
        raise ValueError(f"x has shape {tuple(x.shape)}, batch width 0 or no batch: give (B, n_in)")
    layers = [layer for layer in layers if any(part is not None for part in layer)]
    if not layers:
        return x
    n = x.shape[1]
    for support, values, bias, parameters, _ in layers:
        if support is not None:
            if support.n_in != n:
                raise ValueError(f"{n} values meet a layer of {support.n_in} inputs")
            _check_layer(support, values, bias)
            n = support.n_out
        elif values is not None or bias is not None:
            raise ValueError("values or bias without a support: give the links too")
        if parameters is not None and parameters.shape != (4, n):
            raise ValueError(f"srelu has shape {tuple(parameters.shape)}: give (4, {n})")
    fixed = [(layer.support, layer.law) for layer in layers]
    tensors = [tensor for layer in layers for tensor in layer[1:4]]
    if not compiled(x):
        return _composed(fixed, x, tensors).t()
    return _Chain.apply(fixed, torch.is_grad_enabled(), x, *tensors).t()


def _check_layer(support: Support, values: Tensor, bias: Tensor | None = None) -> None:
    if values.shape != (support.nnz,):
        raise ValueError(
            f"values has shape {tuple(values.shape)}: the support has {support.nnz} links"
        )
    if bias is not None and bias.shape != (support.n_out,):
        raise ValueError(f"bias has shape {tuple(bias.shape)}: give ({support.n_out},)")
