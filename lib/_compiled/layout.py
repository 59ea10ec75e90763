"""Where the layers of a chain lie in the memory of a tile, for the compiled passes.

A tile's *memory* holds, a row a neuron, the input and of each layer what its activation gets and
its output; its *gradients* likewise those at the outputs; its *sums* what it adds to the gradients
of the parameters.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from . import memory, passes
from .memory import NONE, Place
from .rows import TILES, Tile

NAMES = {torch.float32: "float32", torch.float64: "float64"}  # of the dtypes of tiles
PADDING = 16  # numbers after the sums of a layer's links, which are written by fours
LAW = ("threshold", "scale", "key", "flip")  # fields of a place that are those of a dropout
SUMS = 8  # tiles whose sums are kept at a time, fewer where they have more than
LARGEST = 2**26  # numbers in all


def tile_for(dtype: torch.dtype, width: int) -> Tile:
    """The tiles of a batch of so many examples: of 1, 16 or 64."""
    return tile_of(dtype, 1 if width == 1 else 16 if width <= 16 else 64)


def tile_of(dtype: torch.dtype, lanes: int) -> Tile:
    """Tiles of so many examples."""
    return TILES[NAMES[dtype], lanes]


def unit_tiles(dtype: torch.dtype) -> tuple[Tile, Tile]:
    """Of an activation or a dropout alone: for most of the values of a neuron, and for the rest."""
    return tile_of(dtype, 16), tile_of(dtype, 1)


def n_tiles(width: int, tile: Tile) -> int:
    """Tiles of a batch."""
    return -(-width // tile.lanes)


def n_sums(size: int, width: int, tile: Tile) -> int:
    """Tiles whose sums of so many numbers are kept at a time; it depends on sizes alone."""
    fitting = max(2, min(SUMS, LARGEST // max(1, size)))
    return min(n_tiles(width, tile), fitting)


class Rows(NamedTuple):
    """Where a layer begins in a tile's memory and gradients; see :class:`Place`."""

    x: int
    z: int
    y: int
    bits: int


def widths_of(layers: Sequence[tuple], n_in: int) -> list[int]:
    """Numbers of neurons: of the input, and after each layer."""
    widths = [n_in]
    for layer in layers:
        widths.append(widths[-1] if layer.support is None else layer.support.n_out)
    return widths


def lay_out(
    layers: Sequence[tuple], widths: list[int], *, keep: bool
) -> tuple[list[Rows], int, int]:
    """Rows of each layer, all rows of a tile's memory, and rows of masks.

    Args:
        layers: each a :class:`lib.kernels.Layer`.
        widths: of the input and after each layer.
        keep: whether all is kept; else two halves of the memory take turns.
    """
    places = []
    most = max(widths)
    x, free, bits = 0, widths[0], 0
    for i, layer in enumerate(layers):
        n = widths[i + 1]
        if keep:
            z = free
            y = free = free + n if layer.pieces is not None else free
            free += n
        else:
            z = y = most if x == 0 else 0
        places.append(Rows(x, z, y, bits))
        x = y
        bits += 0 if layer.law is None else n
    return places, free if keep else 2 * most, bits


class SumPlaces:
    """Hands out the places of parameters in a tile's sums."""

    def __init__(self) -> None:
        self.size = 0

    def take(self, n: int) -> int:
        """The place of the next n numbers."""
        place = self.size
        self.size += -(-n // PADDING) * PADDING + PADDING
        return place


def place_of(
    layer: tuple, n_out: int, rows: Rows, addresses: Sequence[int], **others: int
) -> tuple:
    """The fields of :class:`lib._compiled.memory.Place` of a layer.

    Args:
        layer: a :class:`lib.kernels.Layer`.
        n_out: its neurons.
        rows: of the layer.
        addresses: of its values, bias, parameters of the activation and hinges, 0 for none.
        others: fields of the place that the layer does not say.
    """
    links = (n_out, n_out, 0, 0, 0, 0, 0, 0) if layer.support is None else layer.support.place
    values, bias, pieces, hinges = addresses
    unit = passes.NO_UNIT
    if layer.hinges is not None:
        unit = passes.SPLASH
        others["n_hinges"] = layer.hinges.numel()
    elif layer.srelu is not None:
        unit = passes.SRELU
    elif layer.is_relu:
        unit = passes.RELU
    if layer.law is not None:
        others |= {"is_dropped": 1, **dict(zip(LAW, layer.law, strict=True))}
    return Place(
        *links,
        values=values,
        bias=bias,
        unit=unit,
        pieces=pieces,
        hinges=hinges,
        x=rows.x,
        z=rows.z,
        y=rows.y,
        bits=rows.bits,
        **others,
    )


def table_of(places: Sequence[tuple]) -> np.ndarray:
    """(n,) of LAYER."""
    return np.array(places, memory.LAYER)


_counted = np.arange(1024, dtype=np.int32)


def counted(n: int) -> np.ndarray:
    """(n,) int32: 0, 1, …"""
    global _counted
    if len(_counted) < n:
        _counted = np.arange(2 * n, dtype=np.int32)
    return _counted[:n]


EMPTY_PLACE = Place(g=NONE)
