"""Where the layers of a chain lie in the memory of a tile, for the compiled passes.

A tile's *memory* holds, a row a neuron, the input and of each layer what its activation gets and
its output; its *gradients* likewise those at the outputs; its *sums* what it adds to the gradients
of the parameters.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from . import memory, passes
from .memory import NONE, Place
from .rows import TILES, Tile

NAMES = {torch.float32: "float32", torch.float64: "float64"}  # of the dtypes of tiles
PADDING = 16  # numbers after the sums of a layer's links, which are written by fours
SUMS = 8  # tiles whose sums are kept at a time, fewer where they have more than
LARGEST = 2**26  # numbers in all


def tile_for(dtype: torch.dtype, width: int) -> Tile:
    """The tiles of a batch of so many examples: of 1, 16 or 64."""
    return tile_of(dtype, 1 if width == 1 else 16 if width <= 16 else 64)


def tile_of(dtype: torch.dtype, lanes: int) -> Tile:
    """Tiles of so many examples."""
    return TILES[NAMES[dtype], lanes]


def unit_tiles(dtype: torch.dtype) -> tuple[Tile, Tile]:
    """Tiles of an activation or a dropout alone: for most of the values of a neuron, and for the
    rest.
    """
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
            y = free = free + _kept_rows(layer, n)
            free += n
        else:
            z = y = most if x == 0 else 0
        places.append(Rows(x, z, y, bits))
        x = y
        bits += 0 if layer.law is None else n
    return places, free if keep else 2 * most, bits


def _kept_rows(layer: tuple, n: int) -> int:
    """Rows besides its output that the gradients of a layer of n neurons need."""
    if layer.unit is not None and layer.unit[0] == passes.LAYER_NORM:
        return n + 1  # with that of the inverse deviations
    return n if layer.unit is not None or layer.pieces is not None else 0


class Plan:
    """Where the layers of a chain lie in a tile, as the compiled passes read it.

    Attributes:
        tile: of the batch.
        places: of each layer, with one before the first and one after the last, see
            :func:`lib._compiled.passes.backward_layers`.
        table: the same as (n + 2,) of LAYER; addresses of parameters are still to be written.
        ordered: which layers need their weights in the order of the transposed index.
        n_rows, n_masks, n_grads: rows of a tile's memory, masks and gradients.
        n_sums: numbers that a tile adds to the gradients of parameters.
        n_links: of all layers.

    Args:
        layers: each a :class:`lib.kernels.Layer`.
        n_in: width of the input.
        width: examples of the batch.
        dtype: of the passes.
        keep: whether the memory keeps what a backward pass reads.
        needed: whether a gradient is needed of the input, and of values, bias and parameters of the
            activation of each layer; empty for a forward pass.
        in_place: whether gradients take the place of outputs, and those at the last output, with
            two rows for the loss, come after them.
    """

    def __init__(
        self,
        layers: Sequence[tuple],
        n_in: int,
        width: int,
        dtype: torch.dtype,
        *,
        keep: bool = True,
        needed: Sequence[bool] = (),
        in_place: bool = False,
    ) -> None:
        self.tile = tile_for(dtype, width)
        widths = widths_of(layers, n_in)
        rows, self.n_rows, self.n_masks = lay_out(layers, widths, keep=keep)
        needs_x, *needed = needed or [False] * (1 + 3 * len(layers))
        most, n_out = max(widths), widths[-1]
        lowest = 0  # no gradient is needed below
        while not needs_x and lowest < len(layers) and not any(needed[3 * lowest :][:3]):
            lowest += 1
        turns = [i % 2 * most for i in range(len(layers) + 1)]  # two halves, by turns
        if in_place:
            turns = [*[at.y for at in rows[:-1]], self.n_rows, self.n_rows]
            self.n_rows += n_out + 2
        self.places = [Place(n_out=n_in, g=most if needs_x else NONE)]
        self.ordered = []
        self.n_sums = 0
        for i, (layer, n, at) in enumerate(zip(layers, widths[1:], rows, strict=True)):
            wants_values, wants_bias, wants_pieces = needed[3 * i : 3 * i + 3]
            if layer.support is not None and (i > lowest or needs_x):
                self.ordered.append(i)
            place = place_of(layer, n)._replace(
                **at._asdict(),
                g=turns[i] if i >= lowest else NONE,
                d_values=self._take(n if layer.support is None else layer.support.nnz)
                if wants_values
                else NONE,
                d_bias=self._take(n) if wants_bias else NONE,
                d_pieces=self._take(layer.pieces.numel()) if wants_pieces else NONE,
            )
            self.places.append(place)
        last = Place(n_in=n_out, n_out=n_out, x=rows[-1].y, g=turns[-1])
        self.places.append(last)
        self.table = np.array(self.places, memory.LAYER)
        self.n_grads = 2 * most
        self.n_links = sum(place.n_links for place in self.places)

    def _take(self, n: int) -> int:
        """The place of the next n numbers in the sums."""
        place = self.n_sums
        self.n_sums += -(-n // PADDING) * PADDING + PADDING
        return place


def place_of(layer: tuple, n_out: int) -> Place:
    """Links, activation and dropout of a layer of so many neurons."""
    links = (n_out, n_out, 0, 0, 0, 0, 0, 0) if layer.support is None else layer.support.place
    place = Place(*links)
    if layer.hinges is not None:
        place = place._replace(unit=passes.SPLASH, n_hinges=layer.hinges.numel())
    elif layer.srelu is not None:
        place = place._replace(unit=passes.SRELU)
    elif layer.is_relu:
        place = place._replace(unit=passes.RELU)
    elif layer.unit is not None:
        unit, constant = layer.unit
        place = place._replace(unit=unit, constant=constant)
    if layer.law is not None:
        place = place._replace(is_dropped=1, **layer.law._asdict())
    return place


PLANS = 256  # that are kept
_plans: dict[tuple, Plan] = {}


def planned(
    layers: Sequence[tuple],
    n_in: int,
    width: int,
    dtype: torch.dtype,
    *,
    keep: bool = True,
    needed: tuple[bool, ...] = (),
) -> Plan:
    """The :class:`Plan` of a pass over these layers. It is made once and kept: whatever it depends
    on is in its key, the addresses of the links among that.
    """
    key: list[Any] = [n_in, width, dtype, keep, needed]
    for layer in layers:
        links = None if layer.support is None else layer.support.place
        n_hinges = 0 if layer.hinges is None else layer.hinges.numel()
        key += links, layer.bias is None, layer.srelu is None, layer.law is None, layer.is_relu
        key.append(n_hinges)
    plan = _plans.get(key := tuple(key))
    if plan is None:
        if len(_plans) >= PLANS:
            _plans.clear()
        plan = _plans[key] = Plan(layers, n_in, width, dtype, keep=keep, needed=needed)
    return plan


_counted = np.arange(1024, dtype=np.int32)


def counted(n: int) -> np.ndarray:
    """(n,) int32: 0, 1, …"""
    global _counted
    if len(_counted) < n:
        _counted = np.arange(2 * n, dtype=np.int32)
    return _counted[:n]
