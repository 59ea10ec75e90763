"""Rows of a tile, one function after the other, against numpy and exact fractions."""

from fractions import Fraction

import numba
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lib._compiled import launch, rows
from tests.test_kernels import kept

TILES = list(rows.TILES.values())
each_tile = pytest.mark.parametrize("tile", TILES, ids=str)
each_width = pytest.mark.parametrize("tile", [t for t in TILES if t.dtype == "float32"], ids=str)
SPECIAL = [0.0, -0.0, 1.5, -2.5, np.nan, np.inf, -np.inf, 1e30]

compiled_here = numba.njit(error_model="numpy")


def numbers(tile, rng, n=1):
    """n rows one after the other, at an address that is no multiple of a row."""
    return rng.normal(size=n * tile.lanes + 1).astype(tile.dtype)[1:]


def pairs(tile, n=64):
    """All pairs of special numbers, as whole rows of x and of y."""
    x, y = np.meshgrid(SPECIAL, SPECIAL)
    return x.reshape(-1)[:n].astype(tile.dtype), y.reshape(-1)[:n].astype(tile.dtype)


# memory and numbers


@compiled_here
def _constants(y, x, tile):
    rows.store(y, 0, rows.filled(x, tile))
    rows.store(y, rows.lanes(tile), rows.filled(rows.number(2 * x, tile), tile))


@each_tile
def test_row_of_one_number_holds_it_in_every_lane(tile):
    y = np.zeros(2 * tile.lanes + 1, tile.dtype)
    _constants(y, 0.1, tile)
    desired = np.repeat(np.array([0.1, 0.2], tile.dtype), tile.lanes)
    assert_array_equal(y, [*desired, 0])  # and nothing beyond


@compiled_here
def _copy(x, y, tile):
    for i in range(0, len(x), rows.lanes(tile)):
        rows.store(y, i, rows.load(x, i, tile))


@each_tile
def test_rows_are_loaded_and_stored_at_any_place(tile, rng):
    x, y = numbers(tile, rng, 3), np.zeros(3 * tile.lanes + 1, tile.dtype)
    _copy(x, y[1:], tile)
    assert_array_equal(y[1:], x)
    assert y[0] == 0


@compiled_here
def _double_narrow(x, tile):
    narrow = rows.narrow(tile, 4)
    row = rows.load(x, 0, narrow)
    rows.store(x, 0, rows.add(row, row))
    return rows.lanes(narrow)


@each_tile
def test_narrow_tile_has_the_first_lanes(tile, rng):
    x = numbers(tile, rng)
    before, n = x.copy(), min(4, tile.lanes)
    assert _double_narrow(x, tile) == n
    assert_array_equal(x, [*(2 * before[:n]), *before[n:]])


# lane by lane


@compiled_here
def _arithmetic(x, y, z, tile):
    n = rows.lanes(tile)
    a, b = rows.load(x, 0, tile), rows.load(y, 0, tile)
    rows.store(z, 0, rows.add(a, b))
    rows.store(z, n, rows.sub(a, b))
    rows.store(z, 2 * n, rows.mul(a, b))
    rows.store(z, 3 * n, rows.div(a, b))
    rows.store(z, 4 * n, rows.add(a, 3))
    rows.store(z, 5 * n, rows.floor(a))
    rows.store(z, 6 * n, rows.absolute(a))


@each_tile
def test_arithmetic_is_that_of_numpy(tile, rng):
    x, y = 10 * numbers(tile, rng), numbers(tile, rng)
    z = np.empty(7 * tile.lanes, tile.dtype)
    _arithmetic(x, y, z, tile)
    desired = [x + y, x - y, x * y, x / y, x + 3, np.floor(x), np.abs(x)]
    assert_array_equal(z, np.concatenate(desired))


@compiled_here
def _fused(a, x, y, z, tile):
    n = rows.lanes(tile)
    of_x, of_y = rows.load(x, 0, tile), rows.load(y, 0, tile)
    rows.store(z, 0, rows.fma(rows.filled(a, tile), of_x, of_y))
    rows.store(z, n, rows.fma(a, of_x, of_y))
    for i in range(n):
        z[2 * n + i] = rows.fused(a, x[i], y[i])


def nearest(x, dtype):
    """The number of a dtype that is nearest to a fraction: by exact distances."""
    near = dtype(float(x))
    found = [np.nextafter(near, dtype(-np.inf)), near, np.nextafter(near, dtype(np.inf))]
    return min(found, key=lambda number: abs(Fraction(float(number)) - x))


@each_tile
def test_multiply_add_is_rounded_once(tile, rng):
    """a · x ≈ 1 and y ≈ -1, so that the product's rounding would be most of the result."""
    dtype = np.dtype(tile.dtype).type
    a, x = dtype(1 / 3), (3 + 1e-3 * numbers(tile, rng)).astype(dtype)
    y, z = -a * x, np.empty(3 * tile.lanes, dtype)
    _fused(a, x, y, z, tile)
    exact = [
        Fraction(float(a)) * Fraction(float(s)) + Fraction(float(t))
        for s, t in zip(x, y, strict=True)
    ]
    assert_array_equal(z, 3 * [nearest(e, dtype) for e in exact])
    assert any(exact)


@compiled_here
def _limits(x, y, z, tile):
    n = rows.lanes(tile)
    for i in range(0, len(x), n):
        a, b = rows.load(x, i, tile), rows.load(y, i, tile)
        rows.store(z[0], i, rows.least(a, b))
        rows.store(z[1], i, rows.most(a, b))
        rows.store(z[2], i, rows.least(a, 0))
        rows.store(z[3], i, rows.most(a, 0))


@each_tile
def test_limits_keep_the_nan_of_the_first(tile):
    """Where the first is nan they are nan; where the second alone is, they are the first."""
    x, y = pairs(tile)
    z = np.empty((4, 64), tile.dtype)
    _limits(x, y, z, tile)
    other = np.where(np.isnan(y), x, y)
    desired = np.minimum(x, other), np.maximum(x, other), np.minimum(x, 0), np.maximum(x, 0)
    assert_array_equal(z, desired)


@compiled_here
def _compare(x, y, z, tile):
    for i in range(0, len(x), rows.lanes(tile)):
        a, b, one = rows.load(x, i, tile), rows.load(y, i, tile), rows.filled(1, tile)
        rows.store(z[0], i, rows.where(rows.at_most(a, b), one))
        rows.store(z[1], i, rows.where(rows.at_least(a, b), one))
        rows.store(z[2], i, rows.where(rows.above(a, b), one))
        rows.store(z[3], i, rows.where(rows.above(a, 0), b))


@each_tile
def test_comparisons_hold_for_no_nan(tile):
    x, y = pairs(tile)
    z = np.empty((4, 64), tile.dtype)
    _compare(x, y, z, tile)
    assert_array_equal(z, [x <= y, x >= y, x > y, np.where(x > 0, y, 0)])


@compiled_here
def _first(n, z, tile):
    rows.store(z, 0, rows.where(rows.first(n, tile), rows.filled(7, tile)))


@each_width
@pytest.mark.parametrize("n", [0, 1, 5, 16, 63, 64])
def test_first_lanes_are_those_before_a_number(tile, n):
    z = np.empty(tile.lanes, tile.dtype)
    _first(n, z, tile)
    assert_array_equal(z, np.where(np.arange(tile.lanes) < n, 7, 0))


@compiled_here
def _powers(x, z, tile):
    for i in range(0, len(x), rows.lanes(tile)):
        rows.store(z, i, rows.power_of_two(rows.load(x, i, tile)))


@each_tile
def test_powers_of_two_are_exact_for_all_normal_numbers(tile):
    limits = np.finfo(tile.dtype)
    x = np.arange(limits.minexp, limits.maxexp)
    x = np.resize(x, -(-len(x) // 64) * 64)  # whole rows
    z = np.empty(len(x), tile.dtype)
    _powers(x.astype(tile.dtype), z, tile)
    assert_array_equal(z, np.ldexp(1.0, x))


# the hash of dropout


@compiled_here
def _kept(index, flip, threshold, z, bits, tile):
    for i in range(0, len(z), rows.lanes(tile)):
        mask = rows.kept(np.uint32(index + np.uint32(i)), flip, threshold, tile)
        rows.store(z, i, rows.where(mask, rows.filled(1, tile)))
        rows.store_bits(bits, i, mask)


@compiled_here
def _again(z, bits, tile):
    for i in range(0, len(z), rows.lanes(tile)):
        rows.store(z, i, rows.where(rows.load_bits(bits, i, tile), rows.filled(1, tile)))


@each_tile
@pytest.mark.parametrize("key", [0, 2**31 - 30, 2**32 - 70])  # the index passes 2**32
def test_mask_is_that_of_the_published_hash_and_is_kept_bit_by_bit(tile, key):
    law = launch.DropoutLaw(int(0.4 * 2**32), 1 / 0.6, key, 2**31 + 5)
    z, again = np.empty((2, 128), tile.dtype)
    bits = np.full(128 + 8, 255, np.uint8)
    _kept(np.uint32(law.key), law.flip, law.threshold, z, bits, tile)
    desired = kept(law, 128, 1)[:, 0]
    assert_array_equal(z, desired)
    _again(again, bits, tile)
    assert_array_equal(again, desired)
    n_bytes = max(1, tile.lanes // 8)
    assert_array_equal(
        np.unpackbits(bits[:n_bytes], bitorder="little")[: tile.lanes], z[: tile.lanes]
    )
    assert (bits[128 - tile.lanes + n_bytes :] == 255).all()  # nothing beyond


# sums over the lanes


@compiled_here
def _sums(x, y, z, tile):
    n = rows.lanes(tile)
    a = rows.load(x, 0, tile)
    b0, b1 = rows.load(y, 0, tile), rows.load(y, n, tile)
    b2, b3 = rows.load(y, 2 * n, tile), rows.load(y, 3 * n, tile)
    z[0, 0], z[0, 1], z[0, 2], z[0, 3] = (
        rows.dot(a, b0),
        rows.dot(a, b1),
        rows.dot(a, b2),
        rows.dot(a, b3),
    )
    rows.store(z[1], 0, rows.dots4(a, b0, b1, b2, b3))
    z[2, 0], z[2, 1], z[2, 2], z[2, 3] = (
        rows.total(b0),
        rows.total(b1),
        rows.total(b2),
        rows.total(b3),
    )
    rows.store(z[3], 0, rows.totals4(b0, b1, b2, b3))


@each_tile
def test_sums_are_those_of_numpy_and_four_at_once_have_their_bits(tile, rng):
    x, y = numbers(tile, rng), numbers(tile, rng, 4)
    z = np.empty((4, 4), tile.dtype)
    _sums(x, y, z, tile)
    assert_array_equal(z[1], z[0])
    assert_array_equal(z[3], z[2])
    four = y.reshape(4, -1).astype(np.longdouble)
    allowed = (
        7 * np.finfo(tile.dtype).eps
    )  # log2(64) + 1 roundings of each term, at most half an eps
    assert (np.abs(z[0] - four @ x) <= allowed * np.abs(four * x).sum(1)).all()
    assert (np.abs(z[2] - four.sum(1)) <= allowed * np.abs(four).sum(1)).all()


@each_tile
def test_whole_numbers_are_summed_exactly(tile):
    x, y = np.arange(1, tile.lanes + 1), np.arange(4 * tile.lanes)
    z = np.empty((4, 4), tile.dtype)
    _sums(x.astype(tile.dtype), y.astype(tile.dtype), z, tile)
    four = y.reshape(4, -1)
    assert_array_equal(z, [four @ x, four @ x, four.sum(1), four.sum(1)])


@compiled_here
def _scatter(x, z, stride, tile):
    a, b = rows.load(x, 0, tile), rows.load(x, rows.lanes(tile), tile)
    rows.scatter4(z, 3, stride, rows.totals4(a, b, a, b))


@each_tile
@pytest.mark.parametrize("stride", [1, 7])
def test_four_numbers_are_written_a_stride_apart(tile, stride):
    x, z = np.repeat(np.array([1.0, 2.0], tile.dtype), tile.lanes), np.zeros(30, tile.dtype)
    _scatter(x, z, stride, tile)
    desired = np.zeros(30)
    desired[3 : 4 + 3 * stride : stride] = np.array([1, 2, 1, 2]) * tile.lanes
    assert_array_equal(z, desired)


# transposition


@compiled_here
def _transpose(target, source, starts, stride, offset, step):
    rows.transpose16(target, 5, stride, source, starts, 2, offset, step)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("index", ["int32", "int64", "uint32"])
@pytest.mark.parametrize("stride", [16, 64])
def test_sixteen_examples_are_transposed(dtype, index, stride, rng):
    source = rng.normal(size=(40, 23)).astype(dtype)
    starts = rng.permutation(40)[:20].astype(index)
    target = np.zeros(5 + 16 * stride, dtype)
    _transpose(target, source.reshape(-1), starts, stride, 4, 23)
    written = target[5:].reshape(16, stride)
    assert_array_equal(written[:, :16], source[starts[2:18], 4:20].T)
    assert not target[:5].any() and not written[:, 16:].any()
