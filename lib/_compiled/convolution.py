"""A convolution by its links, forward and backward, on tiles of examples.

The maps of a tile lie as (channels, height, width, examples), with a border of zeros. What a block
of output pixels needs of a link, some neighbouring pixels of all examples of the tile, is one
contiguous run of numbers: one row of :mod:`lib._compiled.rows`. Nothing is copied (no im2col).

    forward,  block of output map o:   y = bias_o + sum_k w_k · run(x, place + offset_k)
    backward, block of input map c:    for each link of c, one load of the run g of its output:
                                           e += w_k · g      stays in registers
                                           d_k += g · x      16 lanes a link, in the first cache

The input of a convolution of strides (s, t) has s · t phases. Each phase of the gradient at the
input is a convolution of stride 1 of the gradient at the output.

A thread packs a tile of images, computes with it and unpacks it, while it is in the cache.
"""

from collections import defaultdict
from typing import NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from . import rows
from .loops import parallel, serial
from .memory import record
from .passes import part_of
from .rows import I64, PIECE, Row, Tile, _fused, _lanes_of, _pointer, _transposed, lanes

L1, L2 = 1 << 15, 1 << 20  # bytes of a core's caches
LEAST_LINKS = 8  # of an output map to a group of input maps
REGISTERS = 8  # vector registers of a block
MOST = 128  # pixels of a block
SPARE = 256  # numbers after the maps of a tile, which the last block may read

# ------------------------------------------------------------ some pixels of a row as one value
# A *block* is the type of so many neighbouring pixels of a tile, or of every step-th.


@intrinsic(prefer_literal=True)
def part(typing, tile, parts):
    """The block that fills all registers, or one of ``parts`` times fewer pixels, at least one."""
    n = max(min(REGISTERS * PIECE // tile.lanes, MOST) // parts.literal_value, 1)
    return rows.TileType(tile.dtype, tile.lanes, tile.step, n)(tile, parts), rows.of_type


@intrinsic
def neighbours(typing, block):
    """The block of as many neighbouring pixels."""
    block_of_one = rows.TileType(block.dtype, block.lanes, 1, block.pixels)
    return block_of_one(block), rows.of_type


@intrinsic
def row_tile(typing, block):
    """A tile of as many lanes as the block has numbers."""
    return rows.TileType(block.dtype, block.lanes * block.pixels)(block), rows.of_type


pixels = rows.size_of_tile("pixels")


def _places(builder, pointer, block):
    """Pointers to the vectors that a block consists of, and the type of these."""
    n, count = (block.pixels, 1) if block.step == 1 else (1, block.pixels)
    scalar = pointer.type.pointee
    vector = ir.VectorType(scalar, n * block.lanes)
    starts = [ir.Constant(I64, i * block.step * block.lanes) for i in range(count)]
    return [builder.bitcast(builder.gep(pointer, [i]), vector.as_pointer()) for i in starts]


@intrinsic
def load(typing, array, index, block):
    """The pixels from an element of a flat array on."""

    def generate(context, builder, signature, values):
        pointer = _pointer(context, builder, array, *values[:2], signature.args[1])
        parts = [builder.load(place, align=4) for place in _places(builder, pointer, block)]
        while len(parts) > 1:  # joined by halves
            size = 2 * parts[0].type.count
            parts = [
                _lanes_of(builder, parts[i], parts[i + 1], range(size))
                for i in range(0, len(parts), 2)
            ]
        return parts[0]

    return Row(block.dtype, block.lanes * block.pixels)(array, index, block), generate


@intrinsic
def store(typing, array, index, row, block):
    """Write pixels."""

    def generate(context, builder, signature, values):
        pointer = _pointer(context, builder, array, *values[:2], signature.args[1])
        for i, place in enumerate(_places(builder, pointer, block)):
            n = place.type.pointee.count
            own = _lanes_of(builder, values[2], values[2], range(i * n, (i + 1) * n))
            builder.store(own, place, align=4)
        return context.get_dummy_value()

    return types.void(array, index, row, block), generate


@intrinsic
def folded(typing, x, y):
    """x · y of two rows, folded to as many lanes as a piece has; two chains of sums."""
    row = Row(x.dtype, min(x.lanes, PIECE))

    def generate(context, builder, signature, values):
        starts = range(0, x.lanes, row.lanes)
        a, b = ([_lanes_of(builder, v, v, range(i, i + row.lanes)) for i in starts] for v in values)
        chains = []
        for first in range(min(2, len(a))):
            whole = builder.fmul(a[first], b[first])
            for i in range(first + 2, len(a), 2):
                whole = _fused(builder, a[i], b[i], whole)
            chains.append(whole)
        return chains[0] if len(chains) == 1 else builder.fadd(*chains)

    return row(x, y), generate


@intrinsic
def exchange16(typing, target, to0, to1, to_step, source, from0, from1, from_step):
    """16 x 16 numbers, transposed: rows i < 8 begin at place0 + i · step, the others at
    place1 + (i - 8) · step, in the target and in the source.
    """

    def generate(context, builder, signature, values):
        def pointers(array, value, ints, int_types):
            place0, place1, step = (
                context.cast(builder, value, typ, types.intp)
                for value, typ in zip(ints, int_types, strict=True)
            )
            data = context.make_array(array)(context, builder, value).data
            vector = ir.VectorType(context.get_value_type(array.dtype), 16)
            for i in range(16):
                shift = builder.mul(step, ir.Constant(I64, i % 8))
                start = builder.add(place0 if i < 8 else place1, shift)
                yield builder.bitcast(builder.gep(data, [start]), vector.as_pointer())

        args = signature.args
        sources = pointers(source, values[4], values[5:], args[5:])
        loaded = [builder.load(pointer, align=4) for pointer in sources]
        targets = pointers(target, values[0], values[1:4], args[1:4])
        for row, pointer in zip(_transposed(builder, loaded), targets, strict=True):
            builder.store(row, pointer, align=4)
        return context.get_dummy_value()

    signature = types.void(target, to0, to1, to_step, source, from0, from1, from_step)
    return signature, generate


# ------------------------------------------------------------------------------- how maps lie


class Maps(NamedTuple):
    """Maps of a tile: (channels, rows, columns, lanes), the border within rows and columns."""

    channels: int
    height: int  # without the border, as width
    width: int
    rows: int
    columns: int
    place: int  # pixels before the first that is not of the border

    @property
    def plane(self) -> int:
        """Pixels from a map to the next."""
        return self.rows * self.columns


def maps_of(
    channels: int, height: int, width: int, top: int = 0, left: int = 0, bottom: int = 0,
    right: int = 0,
) -> Maps:  # fmt: skip
    """Maps with a border of so many pixels at each side."""
    columns = left + width + right
    rows = top + height + bottom
    return Maps(channels, height, width, rows, columns, top * columns + left)


class Geometry(NamedTuple):
    """A convolution; of two numbers the first is that of the height.

    padding: top, left, bottom, right.
    """

    n_in: int
    n_out: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]

    def size_of_output(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output; below 1 if the kernel is larger than the image."""
        top, left, bottom, right = self.padding
        n_rows = (height + top + bottom - self.kernel[0]) // self.stride[0] + 1
        return n_rows, (width + left + right - self.kernel[1]) // self.stride[1] + 1


class Run(NamedTuple):
    """How the loops go over maps."""

    out_height: int  # in the forward pass
    out_width: int
    top: int  # padding
    left: int
    stride_y: int
    stride_x: int
    n_in_groups: int
    n_out_groups: int
    band: int  # rows of the gradient at the input that are computed together


class Shape(NamedTuple):
    """A convolution: maps of the input x, the output y and the gradients at them, e and g, in
    pixels; the loops take a record of :data:`SHAPE`.
    """

    x: Maps
    y: Maps
    g: Maps
    e: Maps
    run: Run


MAPS = record(Maps._fields)
SHAPE = np.dtype([(name, MAPS) for name in "xyge"] + [("run", record(Run._fields))])


class Index(NamedTuple):
    """Links in the order of a pass: where those of a map begin, where they read, and which they
    are.
    """

    first: np.ndarray
    offset: np.ndarray
    perm: np.ndarray


# --------------------------------------------------------------------------------- the passes


@serial
def forward_row(s, x, x_row, y, y_row, index, values, bias, column, block):
    """Pixels of an output row from a column on, of all output maps, as long as a block fits;
    returns the next column.
    """
    n, one = lanes(block), np.uint64(1)
    plane, n_out = s.y.rows * s.y.columns * n, s.y.channels
    out = neighbours(block)
    while column + pixels(block) <= s.run.out_width:
        base, place = x_row + column * s.run.stride_x * n, y_row + column * n
        for i in range(s.run.n_in_groups):
            group = np.uint64(i * n_out)
            for o in range(np.uint64(n_out)):
                to = place + np.int64(o) * plane
                z = rows.filled(bias[o], row_tile(out)) if i == 0 else load(y, to, out)
                for k in range(index.first[group + o], index.first[group + o + one]):
                    z = rows.fma(values[k], load(x, base + np.int64(index.offset[k]), block), z)
                store(y, to, z, out)
        column += pixels(block)
    return column


@serial
def forward_tile(s, x, y, index, values, bias, tile):
    """All output maps of a tile. A block of pixels of all maps comes before the next block: what it
    reads is in the first cache then.
    """
    for row in range(s.run.out_height):
        at = row * s.run.stride_y * s.x.columns * lanes(tile), y, row * s.y.columns * lanes(tile)
        column = forward_row(s, x, *at, index, values, bias, 0, part(tile, 1))
        column = forward_row(s, x, *at, index, values, bias, column, part(tile, 2))
        column = forward_row(s, x, *at, index, values, bias, column, part(tile, 4))
        forward_row(s, x, *at, index, values, bias, column, part(tile, 128))


@serial
def backward_row(s, x, x_row, e, e_row, g, g_row, links, count, index, values, d, column, block):
    """The gradient at pixels of an input row from a column of its phase on, as long as a block
    fits, and what they add to the gradients of links; returns the next column.

    links: first, end, and whether the gradient at the input begins with them.
    """
    n, (begin, end, is_first) = lanes(block), links
    near = neighbours(block)
    piece = rows.narrow(row_tile(block), PIECE)
    while column + pixels(block) <= count:
        own = load(x, x_row + column * s.run.stride_x * n, block)
        to = e_row + column * s.run.stride_x * n
        eps = rows.filled(np.float32(0), row_tile(block)) if is_first else load(e, to, block)
        place = np.int64(0)
        for k in range(np.uint64(begin), np.uint64(end)):
            one = load(g, g_row + column * n + np.int64(index.offset[k]), near)
            eps = rows.fma(values[k], one, eps)
            rows.store(d, place, rows.add(rows.load(d, place, piece), folded(own, one)))
            place += PIECE
        store(e, to, eps, block)
        column += pixels(block)
    return column


@serial
def add_sums(d, sums, begin, end, tile):
    """Sums over the lanes, added to those of the links, four at a time; there is room after them,
    where 0 is added.
    """
    piece = rows.narrow(row_tile(part(tile, 1)), PIECE)
    four = rows.narrow(piece, 4)
    for k in range(begin, end, 4):
        place = (k - begin) * PIECE
        own = rows.totals4(
            rows.load(d, place, piece),
            rows.load(d, place + PIECE, piece),
            rows.load(d, place + 2 * PIECE, piece),
            rows.load(d, place + 3 * PIECE, piece),
        )
        rows.store(sums, k, rows.add(rows.load(sums, k, four), own))


@serial
def backward_band(s, x, e, g, index, values, d, sums, group, top, end, begins, tile):
    """Rows top to end of all input maps: their gradient, and what they add to that of the links to
    a group of output maps. A map has its links by the phases of the stride. The gradient at the
    input begins with this group, or is added to.
    """
    n, phase = lanes(tile), group * s.x.channels * s.run.stride_y * s.run.stride_x
    for c in range(s.x.channels):
        for a in range(s.run.stride_y):
            for b in range(s.run.stride_x):
                links = np.int64(index.first[phase]), np.int64(index.first[phase + 1]), begins
                phase += 1
                if links[0] == links[1] and not begins:
                    continue
                d[: (links[1] - links[0] + 3) * PIECE] = 0
                left = (b - s.run.left) % s.run.stride_x  # first column of the phase, as row is
                count = -(-(s.x.width - left) // s.run.stride_x)
                for row in range(top + (a - top - s.run.top) % s.run.stride_y, end, s.run.stride_y):
                    in_x = c * s.x.rows * s.x.columns + s.x.place + row * s.x.columns + left
                    in_e = c * s.e.rows * s.e.columns + row * s.e.columns + left
                    in_g = (row + s.run.top - a) // s.run.stride_y * s.g.columns
                    in_g += (left + s.run.left - b) // s.run.stride_x
                    at = x, in_x * n, e, in_e * n, g, in_g * n, links, count, index, values, d
                    column = backward_row(s, *at, 0, part(tile, 1))
                    column = backward_row(s, *at, column, part(tile, 2))
                    column = backward_row(s, *at, column, part(tile, 4))
                    backward_row(s, *at, column, part(tile, 128))
                add_sums(d, sums, links[0], links[1], tile)


@serial
def move_maps(images, begin, n_valid, own, maps, is_packed, n):
    """Images begin to begin + n_valid of (B, C, H, W), flat, into a tile of n lanes, or, if it is
    packed, out of it. Lanes without an image become 0; the border is left as it is.
    """
    h, w = maps.height, maps.width
    together = n_valid // 16 * 16 if w % 8 == 0 and h * w % 16 == 0 else 0
    size = maps.channels * h * w
    for c in range(maps.channels):
        first = c * maps.rows * maps.columns + maps.place
        for b in range(0, together, 16):
            for j in range(0, h * w, 16):
                p0 = (first + j // w * maps.columns + j % w) * n + b
                p1 = (first + (j + 8) // w * maps.columns + (j + 8) % w) * n + b
                q0 = (begin + b) * size + c * h * w + j
                if is_packed:
                    exchange16(images, q0, q0 + 8 * size, size, own, p0, p1, n)
                else:
                    exchange16(own, p0, p1, n, images, q0, q0 + 8 * size, size)
        if together == n:
            continue
        for row in range(h):
            for column in range(w):
                p = (first + row * maps.columns + column) * n
                q = begin * size + (c * h + row) * w + column
                for b in range(together, n_valid):
                    if is_packed:
                        images[q + b * size] = own[p + b]
                    else:
                        own[p + b] = images[q + b * size]
                if not is_packed:
                    own[p + n_valid : p + n] = 0


@serial
def reordered(values, perm, ordered):
    for k in range(len(perm)):
        ordered[k] = values[perm[k]]


@serial
def forward_slot(s, images, outputs, width, begin, end, index, values, bias, x, y, tile):
    """Tiles begin to end of a batch."""
    n = lanes(tile)
    for t in range(begin, end):
        n_valid = min(n, width - t * n)
        move_maps(images, t * n, n_valid, x, s.x, False, n)
        forward_tile(s, x, y, index, values, bias, tile)
        move_maps(outputs, t * n, n_valid, y, s.y, True, n)


@parallel
def forward_images(shape, images, outputs, width, index, values, bias, ordered, xs, ys, tile):
    """The convolution of (B, C, H, W), flat.

    shape: (1,) of SHAPE; xs, ys: (threads, numbers) room for a tile each.
    """
    n_slots = xs.shape[0]
    n_tiles = -(-width // lanes(tile))
    reordered(values, index.perm, ordered)
    for i in numba.prange(n_slots):
        slot = np.int64(i)
        first, last = part_of(slot, n_slots, n_tiles)
        tiles = images, outputs, width, first, last
        forward_slot(shape[0], *tiles, index, ordered, bias, xs[slot], ys[slot], tile)


@serial
def backward_slot(
    s, images, grad_y, grad_x, width, begin, end, index, values, x, g, e, d, sums, tile
):
    """Tiles begin to end of a batch."""
    n = lanes(tile)
    for t in range(begin, end):
        n_valid = min(n, width - t * n)
        move_maps(images, t * n, n_valid, x, s.x, False, n)
        move_maps(grad_y, t * n, n_valid, g, s.g, False, n)
        sums[t] = 0
        for group in range(s.run.n_out_groups):
            for top in range(0, s.x.height, s.run.band):
                where = group, top, min(top + s.run.band, s.x.height), group == 0
                backward_band(s, x, e, g, index, values, d, sums[t], *where, tile)
        move_maps(grad_x, t * n, n_valid, e, s.e, True, n)


@parallel
def backward_images(
    shape, images, grad_y, grad_x, width, index, values, grad, ordered, xs, gs, es, d, sums, tile,
):  # fmt: skip
    """The gradients at the input (B, C, H, W), flat, and of the links.

    d: (threads, numbers); sums: (tiles, links + 3), added in the order of the tiles.
    """
    n_slots, n_tiles = xs.shape[0], sums.shape[0]
    reordered(values, index.perm, ordered)
    for i in numba.prange(n_slots):
        slot = np.int64(i)
        first, last = part_of(slot, n_slots, n_tiles)
        tiles = images, grad_y, grad_x, width, first, last
        memory = xs[slot], gs[slot], es[slot], d[slot]
        backward_slot(shape[0], *tiles, index, ordered, *memory, sums, tile)
    for k in range(len(grad)):
        whole = sums[0, k]
        for t in range(1, n_tiles):
            whole += sums[t, k]
        grad[index.perm[k]] = whole


# ------------------------------------------------------------------------------------- a layer


def aligned(*shape: int) -> np.ndarray:
    """Zeros that begin at a cache line."""
    size = int(np.prod(shape))
    raw = np.zeros(size + 16, np.float32)
    start = -raw.ctypes.data % 64 // 4
    return raw[start : start + size].reshape(shape)


class Plan:
    """The index and the memory of a convolution of batches of one size.

    Args:
        geometry: of the convolution.
        keys: (nnz,) int64, ascending: the links, positions of (n_out, n_in · k · k') flattened.
        batch, height, width: of the input.
    """

    def __init__(
        self, geometry: Geometry, keys: np.ndarray, batch: int, height: int, width: int
    ) -> None:
        n_in, n_out, (kh, kw), (sy, sx), (top, left, bottom, right) = geometry
        out_height, out_width = geometry.size_of_output(height, width)
        is_flat = batch <= 2 and sy == sx == 1  # one example: lanes are the pixels of all rows
        self.lanes = 1 if is_flat else 16
        self.batch, self.n_links, self.keys = batch, len(keys), keys
        self.n_tiles = -(-batch // self.lanes)
        x = maps_of(n_in, height, width, top, left, bottom, right)
        y = maps_of(n_out, out_height, out_width)
        run = out_height, out_width
        if is_flat:  # with what lies between the rows
            long = -(-((out_height - 1) * x.columns + out_width) // 32) * 32
            spare = -(-long // x.columns) - out_height
            y = maps_of(n_out, out_height, out_width, bottom=spare, right=x.columns - out_width)
            run = 1, long
        above, before = max(0, -(-(kh - 1 - top) // sy)), max(0, -(-(kw - 1 - left) // sx))
        below = max(0, (height - 1 + top) // sy - out_height + 1)
        after = max(0, (width - 1 + left) // sx - out_width + 1)
        g = maps_of(n_out, out_height, out_width, above, before, below, after)
        e = maps_of(n_in, height, width)
        in_group = self._input_group(geometry, run[1])
        out_group, band = self._bands(geometry, height, width, g.columns)
        groups = -(-n_in // in_group), -(-n_out // out_group)
        self.shape = Shape(x, y, g, e, Run(*run, top, left, sy, sx, *groups, band))
        self.record = np.array([self.shape], SHAPE)
        o, c, dy, dx = np.unravel_index(keys, (n_out, n_in, kh, kw))
        forward = c // in_group * n_out + o
        in_x = c * x.plane + dy * x.columns + dx
        self.forward_index = self._index(forward, in_x, self.shape.run.n_in_groups * n_out)
        phase = ((o // out_group * n_in + c) * sy + dy % sy) * sx + dx % sx
        in_g = o * g.plane + g.place - dy // sy * g.columns - dx // sx
        n_phases = self.shape.run.n_out_groups * n_in * sy * sx
        self.backward_index = self._index(phase, in_g, n_phases)
        longest = int(np.diff(self.backward_index.first.astype(np.int64)).max(initial=1))
        self.n_sums = (longest + 4) * PIECE
        self.tile = Tile("float32", self.lanes, sx)
        # memory of earlier calls that no call uses now: two threads may share a layer
        self._free: dict[tuple[str, int], list[list]] = defaultdict(list)

    def _index(self, row: np.ndarray, offset: np.ndarray, n_rows: int) -> Index:
        perm = np.argsort(row, kind="stable")
        first = np.searchsorted(row[perm], np.arange(n_rows + 1)).astype(np.uint64)
        offset = offset[perm] * self.lanes
        is_small = abs(offset).max(initial=0) < 2**31
        offset = offset.astype(np.int32 if is_small else np.int64)
        return Index(first, offset, perm.astype(np.uint32))

    def _input_group(self, geometry: Geometry, out_width: int) -> int:
        """Input maps of a group: as many as the first cache holds of what a block reads, and more
        where an output map would have too few links to them.
        """
        n_in, n_out, (kh, kw), (_, sx), _ = geometry
        pixels = min(REGISTERS * PIECE // self.lanes, MOST, out_width)
        window = kh * ((pixels - 1) * sx + kw) * self.lanes * 4
        group = max(L1 // window, LEAST_LINKS * n_out * n_in // max(self.n_links, 1), 1)
        return n_in if group * 3 // 2 >= n_in else group

    def _bands(self, geometry: Geometry, height: int, width: int, columns: int) -> tuple[int, int]:
        """Output maps of a group, and rows of a band of the backward pass, by rough cycles a link:
        the gradient at the output that they read fits the second cache.
        """
        n_in, n_out, (kh, _), (sy, sx), _ = geometry
        n_links = max(self.n_links, 1)
        best = None
        for n_rows in (1, 2, 3, 4, 6, 8, 12, 16, 24, height):
            band = min(n_rows * sy, height)
            read = -(-band // sy) + (kh - 1) // sy
            maps = max(L2 * 5 // 8 // (read * columns * self.lanes * 4), 1)
            maps = -(-n_out // -(-n_out // maps))  # equal groups
            halo = read / -(-band // sy)
            blocks = band * width / (sy * sx) / (PIECE * REGISTERS / self.lanes)
            cycles = 10 / blocks + 200 * n_in * n_out / maps / n_links
            cycles += 80 * halo * n_out / n_links
            if best is None or (cycles, band) < best[:2]:
                best = cycles, band, maps
        return best[2], best[1]

    def _room(self, n_slots: int, *maps: Maps) -> list[np.ndarray]:
        """Room for the weights in the order of a pass, and for a tile of each of these maps."""
        of_maps = [aligned(n_slots, m.channels * m.plane * self.lanes + SPARE) for m in maps]
        return [np.empty(self.n_links, np.float32), *of_maps]

    def forward(
        self, x: np.ndarray, values: np.ndarray, bias: np.ndarray, y: np.ndarray, n_threads: int
    ) -> None:
        """Write the output (B, n_out, H', W') of an input (B, n_in, H, W), both contiguous."""
        s, free = self.shape, self._free["forward", n_threads]
        memory = free.pop() if free else self._room(n_threads, s.x, s.y)
        forward_images(
            self.record, x.reshape(-1), y.reshape(-1), self.batch, self.forward_index, values, bias,
            *memory, self.tile,
        )  # fmt: skip
        free.append(memory)

    def backward(
        self, x: np.ndarray, values: np.ndarray, grad_y: np.ndarray, grad_x: np.ndarray,
        grad: np.ndarray, n_threads: int,
    ) -> None:  # fmt: skip
        """Write the gradients at the input and of the links."""
        s, free = self.shape, self._free["backward", n_threads]
        if free:
            memory = free.pop()
        else:
            sums = aligned(n_threads, self.n_sums), aligned(self.n_tiles, self.n_links + 3)
            memory = [*self._room(n_threads, s.x, s.g, s.e), *sums]
        backward_images(
            self.record, x.reshape(-1), grad_y.reshape(-1), grad_x.reshape(-1), self.batch,
            self.backward_index, values, grad, *memory, self.tile,
        )  # fmt: skip
        free.append(memory)
