"""The links of a layer on one index layout: compressed rows, and the transposed index beside."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

INDEX = torch.int32


class _Index(NamedTuple):
    n_in: int
    n_out: int
    crow: Tensor  # (n_out + 1,) int32, first link of each output neuron
    col: Tensor  # (nnz,) int32, input neuron of each link
    tcrow: Tensor  # (n_in + 1,) int32
    trow: Tensor  # (nnz,) int32
    perm: Tensor  # (nnz,) int32


class Support(_Index):
    """The links of a layer: CSR over output neurons, and the transposed index of the same links.

    Made and checked by :func:`make_support`; ``perm[k]`` is the position, in the order of the CSR,
    of the k-th link in the order of the transposed index.

    Source: compressed sparse rows as in scipy.sparse; the links of [Mocanu2018], Methods.
    """

    def __getstate__(self) -> None:
        """A copy makes its own arrays, of its own memory."""

    @cached_property
    def by_row(self) -> tuple:
        """``crow``, ``col`` and no order of the values, for the compiled kernels."""
        return *(t.numpy().view(np.uint32) for t in (self.crow, self.col)), None

    @cached_property
    def by_column(self) -> tuple:
        """``tcrow``, ``trow``, ``perm``; unsigned, as numba then looks for no negative index."""
        return tuple(t.numpy().view(np.uint32) for t in (self.tcrow, self.trow, self.perm))

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
    col = cols.cpu().numpy().astype(np.int32)
    links = np.arange(len(col), dtype=np.int32)  # to columns by scipy's counting sort, O(nnz)
    csc = scipy.sparse.csr_array((links, col, crow), shape=(n_out, n_in)).tocsc()
    arrays = crow, col, csc.indptr, csc.indices, csc.data
    index = (torch.from_numpy(a.astype(np.int32, copy=False)).to(rows.device) for a in arrays)
    return Support(n_in, n_out, *index)
