"""A row of a tile as one value: LLVM vectors of any number of lanes as a type of numba.

A *tile* is some examples of a batch that go through a network together, feature-major: one row of
:attr:`Tile.lanes` numbers for each neuron. LLVM cuts a row of 64 floats into the registers of the
machine (4 of AVX-512, 8 of AVX2, 16 of NEON). Nothing here allows LLVM to change the order of a
sum, so that a formula has the same bits wherever it is inlined, and on every machine that fuses
multiply-adds.

The file holds all that speaks LLVM; formulas are in :mod:`lib._compiled.passes`.
"""

import functools
from typing import NamedTuple

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.extending import (
    NativeValue,
    intrinsic,
    register_model,
    typeof_impl,
    unbox,
)

PIECE = 16  # lanes to which a dot product is folded before they are summed
I32, I64 = ir.IntType(32), ir.IntType(64)


class Tile(NamedTuple):
    """How many examples a tile has, and what their numbers are: "float32" or "float64"; of images
    that a convolution reads every ``step``-th pixel, see :mod:`lib._compiled.convolution`.

    An argument of a compiled loop, which is compiled anew for each.
    """

    dtype: str
    lanes: int
    step: int = 1


class TileType(types.Opaque):
    """A :class:`Tile`, or so many pixels of one: all of it is known when a loop is compiled."""

    def __init__(self, dtype: types.Float, lanes: int, step: int = 1, pixels: int = 1) -> None:
        self.dtype, self.lanes, self.step, self.pixels = dtype, lanes, step, pixels
        super().__init__(f"Tile({dtype} x {lanes} by {step} x {pixels})")


register_model(TileType)(models.OpaqueModel)


@typeof_impl.register(Tile)
def _typeof_tile(tile, context):  # asked for at every call of a loop
    return _type_of(tile)


@functools.cache
def _type_of(tile):
    return TileType(getattr(types, tile.dtype), tile.lanes, tile.step)


@unbox(TileType)
def _unbox_tile(typ, value, context):
    return NativeValue(context.context.get_dummy_value())


class Row(types.Type):
    """``lanes`` numbers of a dtype; booleans are what comparisons say of each lane."""

    def __init__(self, dtype: types.Type, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(f"Row({dtype} x {lanes})")


@register_model(Row)
class _RowModel(models.PrimitiveModel):
    def __init__(self, manager, row):
        scalar = ir.IntType(1) if row.dtype == types.boolean else _scalar(manager, row.dtype)
        super().__init__(manager, row, ir.VectorType(scalar, row.lanes))


def _scalar(manager, dtype):
    return manager.lookup(dtype).get_value_type()


# ------------------------------------------------------------------------------ pieces of LLVM


def _constant(vector, numbers):
    return ir.Constant(vector, [ir.Constant(vector.element, n) for n in numbers])


def _spread(builder, scalar, lanes):
    """The scalar in every lane."""
    vector = ir.VectorType(scalar.type, lanes)
    nothing = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(nothing, scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(one, nothing, _constant(ir.VectorType(I32, lanes), [0] * lanes))


def _lanes_of(builder, a, b, lanes):
    """Lanes of two vectors, those of the second numbered after those of the first."""
    mask = _constant(ir.VectorType(I32, len(lanes)), lanes)
    return builder.shuffle_vector(a, b, mask)


def _row(context, builder, value, typ, row):
    """A row as it is, a number in every lane."""
    if isinstance(typ, Row):
        return value
    return _spread(builder, context.cast(builder, value, typ, row.dtype), row.lanes)


def _pointer(context, builder, array, value, index, index_type):
    """To an element of an array."""
    data = context.make_array(array)(context, builder, value).data
    return builder.gep(data, [context.cast(builder, index, index_type, types.intp)])


def _fused(builder, a, b, c):
    """a · b + c, rounded once where the machine can."""
    scalar = getattr(a.type, "element", a.type).intrinsic_name
    lanes = f"v{a.type.count}" if isinstance(a.type, ir.VectorType) else ""
    function = ir.FunctionType(a.type, [a.type] * 3)
    name = f"llvm.fmuladd.{lanes}{scalar}"
    return builder.call(builder.module.declare_intrinsic(name, (), function), [a, b, c])


# ---------------------------------------------------------------------------- memory and numbers


@intrinsic
def load(typing, array, index, tile):
    """The row that begins at an element of a flat array."""
    row = Row(array.dtype, tile.lanes)

    def generate(context, builder, signature, values):
        pointer = _pointer(context, builder, array, *values[:2], signature.args[1])
        vector = context.get_value_type(row)
        return builder.load(
            builder.bitcast(pointer, vector.as_pointer()), align=array.dtype.bitwidth // 8
        )

    return row(array, index, tile), generate


@intrinsic
def store(typing, array, index, row):
    """Write a row, which begins at an element of a flat array."""

    def generate(context, builder, signature, values):
        pointer = _pointer(context, builder, array, *values[:2], signature.args[1])
        vector = values[2].type
        builder.store(
            values[2],
            builder.bitcast(pointer, vector.as_pointer()),
            align=array.dtype.bitwidth // 8,
        )

    return types.void(array, index, row), generate


@intrinsic
def number(typing, x, tile):
    """A number in the dtype of the tile."""

    def generate(context, builder, signature, values):
        return context.cast(builder, values[0], x, tile.dtype)

    return tile.dtype(x, tile), generate


def of_type(context, builder, signature, values):
    """A tile, of which all is in its type."""
    return context.get_dummy_value()


@intrinsic(prefer_literal=True)
def narrow(typing, tile, n):
    """The tile of the first n lanes of this one, of all if it has fewer; n is a constant."""
    return TileType(tile.dtype, min(tile.lanes, n.literal_value))(tile, n), of_type


@intrinsic(prefer_literal=True)
def several(typing, tile, n):
    """The tile of n times as many lanes; n is a constant."""
    return TileType(tile.dtype, tile.lanes * n.literal_value)(tile, n), of_type


@intrinsic
def every_second(typing, tile):
    """The tile whose blocks are of every second pixel."""
    return TileType(tile.dtype, tile.lanes, 2)(tile), of_type


def size_of_tile(name):
    @intrinsic
    def size(typing, tile):
        def generate(context, builder, signature, values):
            return context.get_constant(types.intp, getattr(tile, name))

        return types.intp(tile), generate

    return size


lanes = size_of_tile("lanes")  # how many numbers a row has, or a pixel


@intrinsic
def filled(typing, x, tile):
    """A row of one number."""
    row = Row(tile.dtype, tile.lanes)

    def generate(context, builder, signature, values):
        return _row(context, builder, values[0], x, row)

    return row(x, tile), generate


# -------------------------------------------------------------------------------- lane by lane


@intrinsic
def fma(typing, a, b, c):
    """a · b + c, fused; a is a row or a number."""

    def generate(context, builder, signature, values):
        a_row = _row(context, builder, values[0], a, b)
        return _fused(builder, a_row, values[1], values[2])

    return c(a, b, c), generate


def _lane_by_lane(make, is_mask=False):
    """An operation on a row, and another or a number in every lane: ``make(builder, x, y)``."""

    @intrinsic
    def operation(typing, x, y):
        def generate(context, builder, signature, values):
            return make(builder, values[0], _row(context, builder, values[1], y, x))

        return (Row(types.boolean, x.lanes) if is_mask else x)(x, y), generate

    return operation


def _limit(sign):
    def make(builder, x, y):
        return builder.select(builder.fcmp_unordered(sign, x, y), x, y)

    return _lane_by_lane(make)


def _comparison(sign):
    return _lane_by_lane(lambda builder, x, y: builder.fcmp_ordered(sign, x, y), is_mask=True)


add, sub = _lane_by_lane(ir.IRBuilder.fadd), _lane_by_lane(ir.IRBuilder.fsub)
mul, div = _lane_by_lane(ir.IRBuilder.fmul), _lane_by_lane(ir.IRBuilder.fdiv)
least, most = _limit("<="), _limit(">=")  # nan where x is nan
at_most, at_least, above = map(_comparison, ("<=", ">=", ">"))  # no lane of nan


@intrinsic
def first(typing, n, tile):
    """The mask of the first n lanes."""

    def generate(context, builder, signature, values):
        vector = ir.VectorType(I32, tile.lanes)
        limit = context.cast(builder, values[0], n, types.int32)
        places = _constant(vector, range(tile.lanes))
        return builder.icmp_signed("<", places, _spread(builder, limit, tile.lanes))

    return Row(types.boolean, tile.lanes)(n, tile), generate


@intrinsic
def where(typing, mask, x):
    """x in the lanes of the mask, 0 in the others."""

    def generate(context, builder, signature, values):
        return builder.select(values[0], values[1], ir.Constant(values[1].type, None))

    return x(mask, x), generate


def _of_llvm(name):
    @intrinsic
    def operation(typing, x):
        def generate(context, builder, signature, values):
            vector = values[0].type
            function = ir.FunctionType(vector, [vector])
            whole_name = f"llvm.{name}.v{vector.count}{vector.element.intrinsic_name}"
            return builder.call(builder.module.declare_intrinsic(whole_name, (), function), values)

        return x(x), generate

    return operation


floor = _of_llvm("floor")  # the largest whole number of each lane that is not above it
absolute = _of_llvm("fabs")
root = _of_llvm("sqrt")


@intrinsic
def power_of_two(typing, x):
    """2 ** x of whole numbers x whose power is a normal number, from the bits of its exponent."""
    bits = x.dtype.bitwidth
    mantissa, bias = (23, 127) if bits == 32 else (52, 1023)

    def generate(context, builder, signature, values):
        whole = ir.VectorType(ir.IntType(bits), x.lanes)
        exponent = builder.fptosi(values[0], whole)
        exponent = builder.add(exponent, _constant(whole, [bias] * x.lanes))
        shifted = builder.shl(exponent, _constant(whole, [mantissa] * x.lanes))
        return builder.bitcast(shifted, values[0].type)

    return x(x), generate


# --------------------------------------------------------------------------- the hash of dropout


def _mixed(builder, h, vector):
    """lowbias32: every bit of the input reaches every bit of the output."""
    lanes = vector.count

    def constant(k):
        return _constant(vector, [k] * lanes)

    h = builder.mul(builder.xor(h, builder.lshr(h, constant(16))), constant(0x7FEB352D))
    h = builder.mul(builder.xor(h, builder.lshr(h, constant(15))), constant(0x846CA68B))
    return builder.xor(h, builder.lshr(h, constant(16)))


@intrinsic
def kept(typing, index, flip, threshold, tile):
    """Lanes in which mix(index) ^ flip >= threshold, for the indices index, index + 1, …; all are
    unsigned integers of 32 bits.

    Source: lowbias32 of Wellons' hash-prospector.
    """
    row = Row(types.boolean, tile.lanes)

    def generate(context, builder, signature, values):
        vector = ir.VectorType(I32, tile.lanes)
        numbers = []
        for value, typ in zip(values[:3], signature.args[:3], strict=True):
            word = context.cast(builder, value, typ, types.uint32)
            numbers.append(_spread(builder, word, tile.lanes))
        places = builder.add(numbers[0], _constant(vector, range(tile.lanes)))
        h = builder.xor(_mixed(builder, places, vector), numbers[1])
        return builder.icmp_unsigned(">=", h, numbers[2])

    return row(index, flip, threshold, tile), generate


@intrinsic
def store_bits(typing, array, index, mask):
    """Write a mask, a bit a lane, into bytes."""

    def generate(context, builder, signature, values):
        pointer = _pointer(context, builder, array, *values[:2], signature.args[1])
        word = ir.IntType(max(mask.lanes, 8))
        bits = builder.bitcast(values[2], ir.IntType(mask.lanes))
        bits = builder.zext(bits, word) if mask.lanes < 8 else bits
        builder.store(bits, builder.bitcast(pointer, word.as_pointer()), align=1)

    return types.void(array, index, mask), generate


@intrinsic
def load_bits(typing, array, index, tile):
    """The mask that :func:`store_bits` wrote."""
    row = Row(types.boolean, tile.lanes)

    def generate(context, builder, signature, values):
        pointer = _pointer(context, builder, array, *values[:2], signature.args[1])
        word = ir.IntType(max(tile.lanes, 8))
        bits = builder.load(builder.bitcast(pointer, word.as_pointer()), align=1)
        bits = builder.trunc(bits, ir.IntType(tile.lanes)) if tile.lanes < 8 else bits
        return builder.bitcast(bits, context.get_value_type(row))

    return row(array, index, tile), generate


# ---------------------------------------------------------------------------- sums over the lanes


def _folded(builder, x, lanes, to):
    """The second half added to the first until ``to`` lanes are left."""
    while lanes > to:
        half = lanes // 2
        low = _lanes_of(builder, x, x, range(half))
        high = _lanes_of(builder, x, x, range(half, lanes))
        x, lanes = builder.fadd(low, high), half
    return x


def _products(builder, x, y, lanes):
    """x · y, pieces of :data:`PIECE` lanes added from the first to the last."""
    if lanes <= PIECE:
        return builder.fmul(x, y)
    whole = None
    for start in range(0, lanes, PIECE):
        lanes_of_piece = range(start, start + PIECE)
        a = _lanes_of(builder, x, x, lanes_of_piece)
        b = _lanes_of(builder, y, y, lanes_of_piece)
        whole = builder.fmul(a, b) if whole is None else _fused(builder, a, b, whole)
    return whole


def _sum(builder, x, lanes):
    return builder.extract_element(_folded(builder, x, lanes, 1), ir.Constant(I32, 0))


def _sums(builder, rows, lanes):
    """The sums of the lanes of several vectors, as one vector; each sum is that of :func:`_sum`.

    Folded to as many lanes as there are vectors, they are transposed, halves by halves, and added.
    """
    n = len(rows)
    rows = [_folded(builder, row, lanes, n) for row in rows]
    step = n // 2
    while step:
        merged = []
        for i in range(step):
            x, y = rows[i], rows[i + step]
            low = [lane if not lane & step else n + (lane ^ step) for lane in range(n)]
            high = [lane ^ step if not lane & step else n + lane for lane in range(n)]
            a, b = _lanes_of(builder, x, y, low), _lanes_of(builder, x, y, high)
            merged.append(builder.fadd(a, b))
        rows, step = merged, step // 2
    return rows[0]


@intrinsic
def total(typing, x):
    """Sum of the lanes."""

    def generate(context, builder, signature, values):
        return _sum(builder, values[0], x.lanes)

    return x.dtype(x), generate


@intrinsic
def dot(typing, x, y):
    """Sum of the products of two rows."""

    def generate(context, builder, signature, values):
        return _sum(builder, _products(builder, *values, x.lanes), min(x.lanes, PIECE))

    return x.dtype(x, y), generate


@intrinsic
def dots4(typing, x, y0, y1, y2, y3):
    """The :func:`dot` of x with each of four rows, a row of four lanes."""

    def generate(context, builder, signature, values):
        rows = [_products(builder, values[0], y, x.lanes) for y in values[1:]]
        if x.lanes < 4:
            return _gathered(builder, [_sum(builder, row, x.lanes) for row in rows])
        return _sums(builder, rows, min(x.lanes, PIECE))

    return Row(x.dtype, 4)(x, y0, y1, y2, y3), generate


@intrinsic
def totals4(typing, x0, x1, x2, x3):
    """The :func:`total` of each of four rows, a row of four lanes."""

    def generate(context, builder, signature, values):
        if x0.lanes < 4:
            return _gathered(builder, [_sum(builder, x, x0.lanes) for x in values])
        return _sums(builder, values, x0.lanes)

    return Row(x0.dtype, 4)(x0, x1, x2, x3), generate


def _gathered(builder, numbers):
    row = ir.Constant(ir.VectorType(numbers[0].type, len(numbers)), ir.Undefined)
    for i, x in enumerate(numbers):
        row = builder.insert_element(row, x, ir.Constant(I32, i))
    return row


@intrinsic
def scatter4(typing, array, index, stride, row):
    """array[index + i · stride] = row[i], i < 4."""

    def generate(context, builder, signature, values):
        data = context.make_array(array)(context, builder, values[0]).data
        place, stride_ = (
            context.cast(builder, values[i], signature.args[i], types.intp) for i in (1, 2)
        )
        for i in range(4):
            x = builder.extract_element(values[3], ir.Constant(I32, i))
            builder.store(x, builder.gep(data, [place]))
            place = builder.add(place, stride_)

    return types.void(array, index, stride, row), generate


# ------------------------------------------------------------------------------- transposition


def _transposed(builder, rows):
    """n vectors of n lanes, n a power of 2, with rows and columns exchanged."""
    rows = list(rows)
    n = len(rows)
    step = n // 2
    while step:
        for i in range(n):
            if i & step:
                continue
            x, y = rows[i], rows[i + step]
            low = [lane if not lane & step else n + (lane ^ step) for lane in range(n)]
            high = [lane ^ step if not lane & step else n + lane for lane in range(n)]
            rows[i] = _lanes_of(builder, x, y, low)
            rows[i + step] = _lanes_of(builder, x, y, high)
        step //= 2
    return rows


@intrinsic
def transpose16(typing, target, place, stride, source, starts, begin, offset, step):
    """target[place + i · stride + j] = source[starts[begin + j] · step + offset + i], i, j < 16.

    Source and target are flat arrays of one dtype, ``starts`` integers.
    """

    def generate(context, builder, signature, values):
        place, stride, begin, offset, step = (
            context.cast(builder, values[i], signature.args[i], types.intp) for i in (1, 2, 5, 6, 7)
        )
        data, index = (
            context.make_array(array)(context, builder, values[i]).data
            for i, array in ((3, source), (4, starts))
        )
        vector = ir.VectorType(context.get_value_type(source.dtype), 16)
        align = source.dtype.bitwidth // 8
        rows = []
        for j in range(16):
            which = builder.load(builder.gep(index, [builder.add(begin, ir.Constant(I64, j))]))
            which = context.cast(builder, which, starts.dtype, types.intp)
            start = builder.add(builder.mul(which, step), offset)
            pointer = builder.bitcast(builder.gep(data, [start]), vector.as_pointer())
            rows.append(builder.load(pointer, align=align))
        out = context.make_array(target)(context, builder, values[0]).data
        for i, row in enumerate(_transposed(builder, rows)):
            start = builder.add(place, builder.mul(stride, ir.Constant(I64, i)))
            pointer = builder.bitcast(builder.gep(out, [start]), vector.as_pointer())
            builder.store(row, pointer, align=align)

    signature = types.void(target, place, stride, source, starts, begin, offset, step)
    return signature, generate


@intrinsic
def fused(typing, a, b, c):
    """a · b + c of three numbers of one dtype, rounded once where the machine can."""

    def generate(context, builder, signature, values):
        return _fused(builder, *values)

    return c(a, b, c), generate


TILES = {
    (dtype, lanes): Tile(dtype, lanes) for dtype in ("float32", "float64") for lanes in (1, 16, 64)
}


# ------------------------------------------------------------------------------- binary units


@intrinsic
def either(typing, mask, x, y):
    """x in the lanes of the mask, y in the others."""

    def generate(context, builder, signature, values):
        return builder.select(*values)

    return x(mask, x, y), generate


@intrinsic
def uniforms(typing, index, flip, tile):
    """(mix(mix(index) + flip) + 1/2) / 2**32 for the indices index, index + 1, …; index and flip
    are unsigned integers of 32 bits.
    """
    row = Row(tile.dtype, tile.lanes)

    def generate(context, builder, signature, values):
        vector = ir.VectorType(I32, tile.lanes)
        index, flip = (
            _spread(builder, context.cast(builder, value, typ, types.uint32), tile.lanes)
            for value, typ in zip(values[:2], signature.args[:2], strict=True)
        )
        places = builder.add(index, _constant(vector, range(tile.lanes)))
        bits = _mixed(builder, builder.add(_mixed(builder, places, vector), flip), vector)
        numbers = context.get_value_type(row)
        unit, half = (_constant(numbers, [2.0**-n] * tile.lanes) for n in (32, 33))
        return builder.fadd(builder.fmul(builder.uitofp(bits, numbers), unit), half)

    return row(index, flip, tile), generate
