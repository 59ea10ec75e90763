"""Memory by its address: how a layer is passed to the compiled loops.

Who changes a function here also changes :mod:`lib.loops` and :mod:`lib.hinges`, which inline them:
numba looks for changes in their files alone before it takes a loop from its cache.
"""

from typing import NamedTuple

import numba
import numpy as np

INDEX = np.uint32(0)  # unsigned, as numba then looks for no negative index


class Place(NamedTuple):
    """A layer of a pass: its sizes, the addresses of its arrays, 0 for none, and the law of its
    dropout.
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
    bias: int = 0
    srelu: int = 0
    x: int = 0
    z: int = 0
    y: int = 0
    g: int = 0
    grad_values: int = 0
    grad_bias: int = 0
    grad_srelu: int = 0
    is_dropped: int = 0
    threshold: int = 0
    scale: float = 1.0
    key: int = 0
    flip: int = 0


LAYER = np.dtype([(name, np.float64 if name == "scale" else np.intp) for name in Place._fields])

# ------------------------------------------------------------------------- memory by its address


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
def above_of(layer, zero, width):
    """The same by its inputs, with the order of the values, and the gradient at its outputs."""
    tcrow, trow = at(layer.tcrow, INDEX, layer.n_in + 1), at(layer.trow, INDEX, layer.n_links)
    perm, values = at(layer.perm, INDEX, layer.n_links), at(layer.values, zero, layer.n_links)
    return tcrow, trow, perm, values, at(layer.g, zero, (layer.n_out, width))


@numba.njit(inline="always")
def unit_of(layer, zero):
    """Parameters of its activation, and the law of its dropout."""
    law = layer.threshold, layer.scale, layer.key, layer.flip
    return at(layer.srelu, zero, (4, layer.n_out)), law


@numba.njit(inline="always")
def gradients_of(layer, zero):
    """Those of its values, bias and activation."""
    of_values = at(layer.grad_values, zero, layer.n_links)
    of_bias = at(layer.grad_bias, zero, layer.n_out)
    return of_values, of_bias, at(layer.grad_srelu, zero, (4, layer.n_out))
