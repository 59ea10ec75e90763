r"""The three products of a sparse layer, on one index layout and feature-major activations.

A layer with weights :math:`W` of shape (n_out, n_in) stores only its ``nnz`` links. With the batch
as columns (*feature-major*: ``x`` is (n_in, B), contiguous) training needs three products, and
each is the derivative of the other two, so the set is closed under differentiation:

* ``spmm``             y = W x             the output,
* ``spmm_transposed``  z = Wᵀ g            the gradient at the input,
* ``sddmm``            d_k = g[row_k] · x[col_k]   the gradient of the links, and of nothing else.

Every product has a compiled form (numba) and a plain torch form of the same meaning; the device
and the dtype choose, or :func:`use_implementation` names one. Every row of a result belongs to one
thread, so results do not depend on the number of threads, which is torch's
(``torch.set_num_threads``).
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import numba
import numpy as np
import scipy.sparse
import torch
from torch import Tensor

numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]  # omp: the pool torch runs on
_threads = torch.get_num_threads()
numba.get_num_threads()  # starts the pool, and with it sets torch's number of threads to all cores
torch.set_num_threads(_threads)
INDEX = torch.int32
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}  # not nnan, ninf: a diverging run must be seen
jit = numba.njit(parallel=True, fastmath=FASTMATH, error_model="numpy", nogil=True, cache=True)
inline = numba.njit(inline="always", fastmath=FASTMATH, error_model="numpy")

_implementation = "auto"


# ------------------------------------------------------------------------------- the support


class Support(NamedTuple):
    """The links of a layer: CSR over output neurons, and the transposed index of the same links.

    Made and checked by :func:`make_support`; ``perm[k]`` is the position, in the order of the CSR,
    of the k-th link in the order of the transposed index.

    Source: compressed sparse rows as in scipy.sparse; the links of [Mocanu2018], Methods.
    """

    n_in: int
    n_out: int
    crow: Tensor  # (n_out + 1,) int32, first link of each output neuron
    col: Tensor  # (nnz,) int32, input neuron of each link
    tcrow: Tensor  # (n_in + 1,) int32
    trow: Tensor  # (nnz,) int32
    perm: Tensor  # (nnz,) int32

    @property
    def nnz(self) -> int:
        """Number of links."""
        return self.col.numel()

    @property
    def row(self) -> Tensor:
        """(nnz,) int32, output neuron of each link."""
        rows = torch.arange(self.n_out, dtype=INDEX, device=self.crow.device)
        return rows.repeat_interleave(self.crow.diff(), output_size=self.nnz)

    @property
    def keys(self) -> Tensor:
        """(nnz,) int64, ascending: row · n_in + col, one number for each link."""
        return self.row.long() * self.n_in + self.col


def make_support(rows: Tensor, cols: Tensor, n_in: int, n_out: int) -> Support:
    """Return the checked support of the links (rows[k], cols[k]).

    Source: ours, in the layout of scipy.sparse.

    Args:
        rows: (nnz,) integer, output neuron of each link, in [0, n_out).
        cols: (nnz,) integer, input neuron of each link, in [0, n_in).
        n_in, n_out: widths, at least 1.
    Returns: the support, on the device of ``rows``; links keep their order.
    Raises: ValueError if a width, a dtype, a shape, an index, the order (by row, then column) or a
        repeat is wrong.
    """
    limit = torch.iinfo(INDEX).max
    for name, width in (("n_in", n_in), ("n_out", n_out)):
        if not 1 <= width < limit:
            raise ValueError(
                f"{name} = {width} is out of range: give a width from 1 to {limit - 1}"
            )
    if rows.ndim != 1 or rows.shape != cols.shape or len(rows) > limit:
        raise ValueError(
            f"rows {tuple(rows.shape)} and cols {tuple(cols.shape)}: give two vectors of equal"
            " length"
        )
    for name, index, width in (("rows", rows, n_out), ("cols", cols, n_in)):
        if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
            raise ValueError(f"{name} has dtype {index.dtype}: give integers")
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < width:
            bad = int(index.min()) if index.min() < 0 else int(index.max())
            raise ValueError(f"{name} holds {bad}, outside [0, {width})")
    step = (rows.long() * n_in + cols.long()).diff()
    if (step == 0).any():
        at = int((step == 0).nonzero()[0])
        raise ValueError(
            f"link ({int(rows[at])}, {int(cols[at])}) is repeated: give each link once"
        )
    if (step < 0).any():
        at = int((step < 0).nonzero()[0])
        raise ValueError(f"link {at + 1} is out of order: sort the links by row, then by column")
    crow = np.zeros(n_out + 1, np.int32)
    np.cumsum(np.bincount(rows.cpu().numpy(), minlength=n_out), out=crow[1:])
    return _index(torch.from_numpy(crow).to(rows.device), cols.to(INDEX), n_in, n_out)


def _index(crow: Tensor, col: Tensor, n_in: int, n_out: int) -> Support:
    """Complete a checked CSR by its transposed index (scipy's counting sort, O(nnz + n_in))."""
    csr = scipy.sparse.csr_array(
        (np.arange(col.numel(), dtype=np.int32), col.cpu().numpy(), crow.cpu().numpy()),
        shape=(n_out, n_in),
    )
    csc = csr.tocsc()
    transposed = (csc.indptr, csc.indices, csc.data)
    tensors = (torch.from_numpy(a.astype(np.int32, copy=False)).to(col.device) for a in transposed)
    return Support(n_in, n_out, crow, col, *tensors)


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
def _value(values, order, k):
    return values[order[k]] if order.size else values[k]


@jit
def _spmm_numba(crow, col, order, values, x, bias, y):
    for r in numba.prange(crow.shape[0] - 1):
        y_r = y[r]
        y_r[:] = bias[r] if bias.size else 0
        k, end = crow[r], crow[r + 1]
        while (
            k + 4 <= end
        ):  # four links for each pass over the row: the row is read and written less
            w0, w1 = _value(values, order, k), _value(values, order, k + 1)
            w2, w3 = _value(values, order, k + 2), _value(values, order, k + 3)
            x0, x1, x2, x3 = x[col[k]], x[col[k + 1]], x[col[k + 2]], x[col[k + 3]]
            for b in range(y.shape[1]):
                y_r[b] += w0 * x0[b] + w1 * x1[b] + w2 * x2[b] + w3 * x3[b]
            k += 4
        while k < end:
            w0, x0 = _value(values, order, k), x[col[k]]
            for b in range(y.shape[1]):
                y_r[b] += w0 * x0[b]
            k += 1


@jit
def _sddmm_numba(crow, col, x, grad_y, d):
    for r in numba.prange(crow.shape[0] - 1):
        g = grad_y[r]
        k, end = crow[r], crow[r + 1]
        while k + 4 <= end:
            x0, x1, x2, x3 = x[col[k]], x[col[k + 1]], x[col[k + 2]], x[col[k + 3]]
            s0 = s1 = s2 = s3 = g.dtype.type(0)
            for b in range(x.shape[1]):
                s0 += g[b] * x0[b]
                s1 += g[b] * x1[b]
                s2 += g[b] * x2[b]
                s3 += g[b] * x3[b]
            d[k], d[k + 1], d[k + 2], d[k + 3] = s0, s1, s2, s3
            k += 4
        while k < end:
            x0, s0 = x[col[k]], g.dtype.type(0)
            for b in range(x.shape[1]):
                s0 += g[b] * x0[b]
            d[k] = s0
            k += 1


@jit
def _gather_numba(data, index, x):
    tile = 16
    for t in numba.prange((x.shape[0] + tile - 1) // tile):
        for b in range(x.shape[1]):
            row = data[index[b]]
            for f in range(t * tile, min(x.shape[0], (t + 1) * tile)):
                x[f, b] = row[f]


_NO_ORDER = np.empty(0, np.int32)


def _spmm(crow, col, order, values, x, bias):
    """Y = bias + W x on the CSR (crow, col), whose k-th value is values[order[k]]; order may be
    None.
    """
    n_out = crow.numel() - 1
    if compiled(x):
        y = x.new_empty(n_out, x.shape[1])
        _spmm_numba(
            crow.numpy(),
            col.numpy(),
            _NO_ORDER if order is None else order.numpy(),
            values.detach().numpy(),
            x.detach().numpy(),
            np.empty(0, y.numpy().dtype) if bias is None else bias.detach().numpy(),
            y.numpy(),
        )
        return y
    y = x.new_zeros(n_out, x.shape[1]) if bias is None else bias[:, None].repeat(1, x.shape[1])
    row = torch.arange(n_out, device=x.device).repeat_interleave(
        crow.diff(), output_size=col.numel()
    )
    weights = values if order is None else values[order]
    return y.index_add_(0, row, weights[:, None] * x[col])


def _sddmm(support, x, grad_y):
    if compiled(x):
        d = x.new_empty(support.nnz)
        crow, col = support.crow.numpy(), support.col.numpy()
        _sddmm_numba(crow, col, x.detach().numpy(), grad_y.detach().numpy(), d.numpy())
        return d
    return (x[support.col] * grad_y[support.row]).sum(1)


# ------------------------------------------------------ each product is the others' derivative


class _Spmm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, support, values, x, bias):
        ctx.support = support
        ctx.save_for_backward(values, x)
        return _spmm(support.crow, support.col, None, values, x, bias)

    @staticmethod
    def backward(ctx, grad_y):
        values, x = ctx.saved_tensors
        _, needs_values, needs_x, needs_bias = ctx.needs_input_grad
        grad_y = grad_y.contiguous()
        return (
            None,
            sddmm(ctx.support, x, grad_y) if needs_values else None,
            spmm_transposed(ctx.support, values, grad_y) if needs_x else None,
            grad_y.sum(1) if needs_bias else None,
        )


class _SpmmTransposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, support, values, grad_y):
        ctx.support = support
        ctx.save_for_backward(values, grad_y)
        return _spmm(support.tcrow, support.trow, support.perm, values, grad_y, None)

    @staticmethod
    def backward(ctx, grad_z):
        values, grad_y = ctx.saved_tensors
        grad_z = grad_z.contiguous()
        return None, sddmm(ctx.support, grad_z, grad_y), spmm(ctx.support, values, grad_z)


class _Sddmm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, support, x, grad_y):
        ctx.support = support
        ctx.save_for_backward(x, grad_y)
        return _sddmm(support, x, grad_y)

    @staticmethod
    def backward(ctx, grad_d):
        x, grad_y = ctx.saved_tensors
        grad_d = grad_d.contiguous()
        return None, spmm_transposed(ctx.support, grad_d, grad_y), spmm(ctx.support, grad_d, x)


def _check(name: str, x: Tensor, n: int) -> Tensor:
    if x.ndim != 2 or x.shape[0] != n:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: give ({n}, B), the batch as columns")
    if x.shape[1] == 0:
        raise ValueError(f"{name} has batch width 0: give at least one example")
    return x.contiguous()


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
    _check_values(values, support)
    if bias is not None and bias.shape != (support.n_out,):
        raise ValueError(f"bias has shape {tuple(bias.shape)}: give ({support.n_out},)")
    return _Spmm.apply(support, values, _check("x", x, support.n_in), bias)


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
    _check_values(values, support)
    return _SpmmTransposed.apply(support, values, _check("grad_y", grad_y, support.n_out))


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
    x, grad_y = _check("x", x, support.n_in), _check("grad_y", grad_y, support.n_out)
    if x.shape[1] != grad_y.shape[1]:
        raise ValueError(f"x has {x.shape[1]} columns and grad_y {grad_y.shape[1]}: give one batch")
    return _Sddmm.apply(support, x, grad_y)


def _check_values(values: Tensor, support: Support) -> None:
    if values.shape != (support.nnz,):
        raise ValueError(
            f"values has shape {tuple(values.shape)}: the support has {support.nnz} links"
        )


def gather(data: Tensor, index: Tensor) -> Tensor:
    """Rows ``index`` of a data matrix as the columns of a feature-major batch.

    Source: ours: ``data[index].T`` in contiguous memory.

    Args:
        data: (N, n) float, contiguous.
        index: (B,) int64, in [0, N).
    Returns: (n, B) float, contiguous.
    Raises: IndexError if an index is out of range.
    """
    if len(index) and not 0 <= int(index.min()) <= int(index.max()) < len(data):
        raise IndexError(f"index holds a row outside [0, {len(data)})")
    if not compiled(data):
        return data[index].t().contiguous()
    x = data.new_empty(data.shape[1], len(index))
    _gather_numba(data.numpy(), index.numpy(), x.numpy())
    return x
