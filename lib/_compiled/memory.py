"""Memory by its address: how layers are passed to the compiled loops."""

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np

INDEX = np.uint32(0)  # unsigned, as numba then looks for no negative index
NONE = -1  # a place that there is not


class Place(NamedTuple):
    """A layer of a pass over tiles.

    Attributes:
        n_in, n_out, n_links: sizes.
        crow, col, tcrow, trow, perm: addresses of its index, 0 without links.
        values, ordered, bias: addresses of the weights in the order of the links, of the same in
            the order of the transposed index, and of the biases; 0 for none.
        unit, pieces: its activation, of ``passes``, and the address of its parameters; of batch
            normalisation that of the numbers of the batch.
        hinges, n_hinges: address and number of the hinges of SPLASH on one side.
        constant: alpha of ELU, or what a normalisation adds to a variance.
        mean, variance, share: of batch normalisation, addresses of the running numbers, 0 for none,
            and what these take of a new batch.
        is_dropped, threshold, scale, key, flip: whether there is a dropout, and its law.
        x, z, y: rows of a tile's memory at which its input, what its activation gets and its output
            begin.
        g: row of a tile's gradients at which the gradient at its output begins.
        bits: row of a tile's masks at which those of its dropout begin.
        d_values, d_bias, d_pieces: places in a tile's sums of the gradients of its parameters,
            :data:`NONE` where they are not wanted.
    """

    n_in: int = 0
    n_out: int = 0
    n_links: int = 0
    crow: int = 0
    col: int = 0
    tcrow: int = 0
    trow: int = 0
    perm: int = 0
    values: int = 0
    ordered: int = 0
    bias: int = 0
    unit: int = 0
    pieces: int = 0
    hinges: int = 0
    n_hinges: int = 0
    constant: float = 0.0
    mean: int = 0
    variance: int = 0
    share: float = 0.0
    is_dropped: int = 0
    threshold: int = 0
    scale: float = 1.0
    key: int = 0
    flip: int = 0
    x: int = 0
    z: int = 0
    y: int = 0
    g: int = NONE
    bits: int = 0
    d_values: int = NONE
    d_bias: int = NONE
    d_pieces: int = NONE


def record(names: Sequence[str], floats: Sequence[str] = ()) -> np.dtype:
    """A record of integers, and of some numbers in float64."""
    return np.dtype([(name, np.float64 if name in floats else np.intp) for name in names])


LAYER = record(Place._fields, ("constant", "share", "scale"))


@numba.extending.intrinsic
def _pointer(context, address, like):
    """The address as a pointer to values of the type of ``like``."""

    def cast(context, builder, signature, values):
        return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

    return numba.types.CPointer(like)(numba.types.intp, like), cast


@numba.njit(inline="always")
def at(address, like, shape):
    """The contiguous array of values like ``like`` that begins at the address."""
    return numba.carray(_pointer(address, like), shape)


@numba.njit(inline="always")
def links_of(layer, zero):
    """Index of the links of a layer of LAYER by its outputs, and their values."""
    crow, col = at(layer.crow, INDEX, layer.n_out + 1), at(layer.col, INDEX, layer.n_links)
    return crow, col, at(layer.values, zero, layer.n_links)


@numba.njit(inline="always")
def transposed_links_of(layer, zero):
    """Index of the links of a layer of LAYER by its inputs, and their values."""
    tcrow, trow = at(layer.tcrow, INDEX, layer.n_in + 1), at(layer.trow, INDEX, layer.n_links)
    return tcrow, trow, at(layer.ordered, zero, layer.n_links)
