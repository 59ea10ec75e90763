"""The compiled loops over layers of binary stochastic units, on tiles of a batch.

A tile of examples goes through all passes of its chains on one thread, without waiting for others.
Then the products of both ends of a link are summed over the tiles, in their order. So results do
not depend on the number of threads. The pass over a tile reads the links from the second level of
the cache, and its states, a register of AVX-512 a unit, from the first.

States are flat arrays of (tiles, units, lanes). Lanes beyond the batch hold no example:
probabilities and samples are 0 there.
"""

import numba
import numpy as np

from . import passes, rows
from .loops import cached, formula, parallel, serial
from .passes import exponential
from .step import descended

LANES = 16  # examples of a tile
BLOCK = 64  # units whose ratios, of 1/2 to 2 each, are multiplied before a logarithm is taken
UNITS = 32  # whose statistics are the work of one thread at a time
ONE, TWO, THREE, FOUR = np.arange(1, 5, dtype=np.uint64)
sequence = cached(error_model="numpy", nogil=True)  # of calls of what is parallel

# ------------------------------------------------------------------------- formulas of one row


@formula
def _negative(z):
    """-abs(z)."""
    return rows.least(z, rows.mul(z, -1))


@formula
def _logistic(z, e, tile):
    """1 / (1 + exp(-z)), where e = exp(-abs(z))."""
    one = rows.filled(1, tile)
    return rows.div(rows.either(rows.at_least(z, 0), one, e), rows.add(one, e))


@formula
def _sampled(p, r, law, span, tile):
    """1 with the probabilities p of unit r, else 0."""
    start, _, batch = span
    index = np.uint32(np.uint32(r * batch + start) + np.uint32(law[0]))
    return rows.where(
        rows.above(p, rows.uniforms(index, np.uint32(law[1]), tile)), rows.filled(1, tile)
    )


@formula
def _other_end(x, start, col, k, tile):
    """The row of the unit at the other end of link k, in the tile of x that begins at a row."""
    return rows.load(x, (start + np.intp(col[k])) * rows.lanes(tile), tile)


def _weight(order, values, k):
    """Weight of link k."""


@numba.extending.overload(_weight, jit_options={"forceinline": True})
def _weight_of(order, values, k):
    if isinstance(order, numba.types.NoneType):
        return lambda order, values, k: values[k]
    return lambda order, values, k: values[order[k]]


@formula
def _add_link(k, col, order, values, x, start, z, tile):
    return rows.fma(_weight(order, values, k), _other_end(x, start, col, k, tile), z)


def _inputs(crow, col, order, values, x, start, r, tile):
    """Sum of the links of unit r in the tile of x that begins at row ``start``; row r of that
    tile where there are no links.
    """


@numba.extending.overload(_inputs, jit_options={"forceinline": True, "error_model": "numpy"})
def _inputs_by(crow, col, order, values, x, start, r, tile):
    return _row if isinstance(crow, numba.types.NoneType) else _sum_links


def _row(crow, col, order, values, x, start, r, tile):
    return rows.load(x, (start + r) * rows.lanes(tile), tile)


def _sum_links(crow, col, order, values, x, start, r, tile):
    """Four sums, of every fourth link each."""
    k, end = np.uint64(crow[r]), np.uint64(crow[r + 1])
    a = b = c = d = rows.filled(0, tile)
    while k + FOUR <= end:
        a = _add_link(k, col, order, values, x, start, a, tile)
        b = _add_link(k + ONE, col, order, values, x, start, b, tile)
        c = _add_link(k + TWO, col, order, values, x, start, c, tile)
        d = _add_link(k + THREE, col, order, values, x, start, d, tile)
        k += FOUR
    while k < end:
        a = _add_link(k, col, order, values, x, start, a, tile)
        k += ONE
    return rows.add(rows.add(a, b), rows.add(c, d))


# --------------------------------------------------------------------------- passes over a tile


@serial
def _pack(states, start, x, span, tile):
    """From row ``start`` on the examples of a span of the columns x (n, B)."""
    begin, count, width = span
    place = start * rows.lanes(tile)
    passes.pack(states, place, x.reshape(-1), x.shape[0], width, begin, count, tile)


@serial
def _unpack(states, start, x, span, tile):
    """The opposite of _pack."""
    begin, count, width = span
    place = start * rows.lanes(tile)
    passes.unpack(states, place, x.reshape(-1), x.shape[0], width, begin, count, tile)


@serial
def _gather(x, index, span, states, start, tile):
    """states = the examples of a span, which are the rows of x (N, n) that the index names."""
    begin, count, _ = span
    n = rows.lanes(tile)
    for b in range(count):
        x_b = x[index[begin + b]]
        for r in range(x.shape[1]):
            states[(start + r) * n + b] = x_b[r]
    for b in range(count, n):
        for r in range(x.shape[1]):
            states[(start + r) * n + b] = 0


@serial
def _units(links, values, x, begin, bias, slope, law, span, scale, p, s, start, tile):
    """For each unit in turn: links, logistic function; the probabilities times a scale into p, and
    samples into s unless that is empty.

    Args:
        links: index of the links of these units, compressed rows, and the order of the values.
        begin: first row of the tile of x.
        span: of the tile.
        start: first row of the tile of p and s.
    """
    crow, col, order = links
    is_example, n = rows.first(span[1], tile), rows.lanes(tile)
    for r in range(bias.shape[0]):
        z = _inputs(crow, col, order, values, x, begin, r, tile)
        z = rows.fma(slope, z, rows.filled(bias[r], tile))
        p_r = rows.where(is_example, _logistic(z, exponential(_negative(z), tile), tile))
        rows.store(p, (start + r) * n, rows.mul(p_r, scale))
        if len(s) > 0:
            rows.store(s, (start + r) * n, _sampled(p_r, r, law, span, tile))


@formula
def _span(t, batch, tile):
    """Extent of tile t: its first example, how many it has, and how many there are in all."""
    n = rows.lanes(tile)
    return t * n, min(n, batch - t * n), batch


@formula
def _tiles(batch, tile):
    return -(-batch // rows.lanes(tile))


# ------------------------------------------------------------------------ passes over all tiles


@parallel
def unit_rows(links, values, x, bias, slope, law, units, p, s, tile):
    """Probabilities p (n, B), and samples s, of units whose links read x; without links x is what
    they sum to.

    Args:
        links, slope, law: as in _units.
        units: memory for states, of x, p and s; the last empty where nothing is drawn.
    """
    n_in, n_out, batch = x.shape[0], p.shape[0], p.shape[1]
    of_x, of_p, of_s = units
    for t in numba.prange(_tiles(batch, tile)):
        span, begin, start = _span(t, batch, tile), t * n_in, t * n_out
        _pack(of_x, begin, x, span, tile)
        _units(links, values, of_x, begin, bias, slope, law, span, 1.0, of_p, of_s, start, tile)
        _unpack(of_p, start, p, span, tile)
        if len(of_s) > 0:
            _unpack(of_s, start, s, span, tile)


@parallel
def tempered_rows(links, values, x, bias, slopes, law, units, s, gains, tile):
    """As unit_rows, sampled at the second slope; gains (B,): what the units gain by the change of
    slope.
    """
    n_in, n_out, batch = x.shape[0], s.shape[0], s.shape[1]
    of_x, of_s = units
    for t in numba.prange(_tiles(batch, tile)):
        span, begin, start = _span(t, batch, tile), t * n_in, t * n_out
        _pack(of_x, begin, x, span, tile)
        _temper(links, values, of_x, begin, bias, slopes, law, span, gains, of_s, start, tile)
        _unpack(of_s, start, s, span, tile)


@serial
def _temper(links, values, x, begin, bias, slopes, law, span, gains, s, start, tile):
    """Write for the units of a tile gains, and samples s at the second slope; as in _units."""
    crow, col, order = links
    before, after = slopes
    n = rows.lanes(tile)
    whole, logarithms = rows.filled(0, tile), np.empty(n, x.dtype)
    for r_0 in range(0, bias.shape[0], BLOCK):
        ratio = rows.filled(1, tile)
        for r in range(r_0, min(r_0 + BLOCK, bias.shape[0])):
            z = rows.add(_inputs(crow, col, order, values, x, begin, r, tile), bias[r])
            e_before = exponential(rows.mul(_negative(z), before), tile)
            e_after = exponential(rows.mul(_negative(z), after), tile)
            whole = rows.fma(after - before, rows.most(z, 0), whole)
            ratio = rows.mul(ratio, rows.div(rows.add(e_after, 1), rows.add(e_before, 1)))
            p = _logistic(z, e_after, tile)
            rows.store(s, (start + r) * n, _sampled(p, r, law, span, tile))
        rows.store(logarithms, 0, ratio)
        for b in range(n):
            logarithms[b] = np.log(logarithms[b])
        whole = rows.add(whole, rows.load(logarithms, 0, tile))
    rows.store(logarithms, 0, whole)
    gains[span[0] : span[0] + span[1]] = logarithms[: span[1]]


@sequence
def descend(
    by_row, by_column, values, biases, x, order, batch, laws, persistent, units, grads, motion, tile
):
    """Steps of contrastive divergence, each of a batch: chains, statistics, and the descent of
    weights and biases along them.

    Args:
        by_row, by_column: index of a support, by row and by column.
        values: of its links.
        biases: of the inputs and of the outputs of the layer.
        x: (N, n_in) of any dtype, 0 or 1, the examples.
        order: (n,) those of the batches one after another.
        batch: examples of a batch; the last may have fewer.
        laws: (steps, passes, 2) of the passes that sample, in their order.
        persistent: number of particles, whose states w holds, or 0: chains begin at the batch.
        units: states v, p, h, w, q: the batch; probabilities of the outputs given v, over minus the
            number of examples; samples of outputs; where the chains are; and probabilities of the
            outputs given w, over the number of chains.
        grads: of values and of both biases, where those of the last step are left.
        motion: whether to descend along them; the rates of the three parameters, see _move; their
            momenta.
    """
    for i in range(laws.shape[0]):
        index = order[i * batch : (i + 1) * batch]
        chains = persistent if persistent else len(index)
        _chain_tiles(by_row, by_column, values, biases, x, index, laws[i], persistent, units, tile)
        _descend_rows(by_row, values, biases, len(index), chains, units, grads, motion, tile)


@parallel
def _chain_tiles(by_row, by_column, values, biases, x, index, laws, persistent, units, tile):
    """For each tile in turn: the batch, p and samples given it; sweeps of the chains; q."""
    down_bias, up_bias = biases
    v, p, h, w, q = units
    n_in, n_out, examples = len(down_bias), len(up_bias), len(index)
    chains = persistent if persistent else examples
    tiles_of_data, tiles_of_chains = _tiles(examples, tile), _tiles(chains, tile)
    for t in numba.prange(max(tiles_of_data, tiles_of_chains)):
        i, j, k = t * n_in, t * n_out, 1  # the rows of both sides, and the next law
        if t < tiles_of_data:
            span, scale = _span(t, examples, tile), -1 / examples
            _gather(x, index, span, v, i, tile)
            _units(by_row, values, v, i, up_bias, 1.0, laws[0], span, scale, p, h, j, tile)
        if t < tiles_of_chains:
            span, scale = _span(t, chains, tile), 1 / chains
            if persistent:
                _units(by_row, values, w, i, up_bias, 1.0, laws[k], span, 1.0, h, h, j, tile)
                k += 1
            while k < len(laws):
                _units(by_column, values, h, j, down_bias, 1.0, laws[k], span, 1.0, w, w, i, tile)
                k += 1
                if k < len(laws):
                    _units(by_row, values, w, i, up_bias, 1.0, laws[k], span, 1.0, h, h, j, tile)
                    k += 1
            _units(by_row, values, w, i, up_bias, 1.0, laws[0], span, scale, q, q[:0], j, tile)


@parallel
def _descend_rows(by_row, values, biases, examples, chains, units, grads, motion, tile):
    """For some units in turn, of either side: the gradients of their biases, and of the outputs
    those of their links; then the descent along them.
    """
    crow, col, _ = by_row
    down_bias, up_bias = biases
    v, p, _, w, q = units
    of_values, of_down, of_up = grads
    is_moving, rates, momenta = motion
    n_in, n_out = len(down_bias), len(up_bias)
    sides = _tiles(examples, tile), _tiles(chains, tile)
    for i in numba.prange(-(-max(n_in, n_out) // UNITS)):
        begin, end = i * UNITS, min((i + 1) * UNITS, n_in)
        for r in range(begin, end):
            of_data = _sum_of(v, r, n_in, sides[0], -1 / examples, rows.filled(0, tile), tile)
            of_down[r] = rows.total(_sum_of(w, r, n_in, sides[1], 1 / chains, of_data, tile))
        if is_moving and begin < end:
            _move(down_bias, momenta[1], of_down, begin, end, rates[1])
        end = min((i + 1) * UNITS, n_out)
        for r in range(begin, end):
            of_data = _sum_of(p, r, n_out, sides[0], 1.0, rows.filled(0, tile), tile)
            of_up[r] = rows.total(_sum_of(q, r, n_out, sides[1], 1.0, of_data, tile))
            _contrast(crow[r], crow[r + 1], col, r, (n_in, n_out), sides, units, of_values, tile)
        if is_moving and begin < end:
            _move(up_bias, momenta[2], of_up, begin, end, rates[2])
            _move(values, momenta[0], of_values, crow[begin], crow[end], rates[0])


@formula
def _sum_of(states, r, n, tiles, scale, whole, tile):
    """The whole, and the states of unit r of n times a scale, lane by lane over the tiles."""
    for t in range(tiles):
        whole = rows.fma(scale, rows.load(states, (t * n + r) * rows.lanes(tile), tile), whole)
    return whole


@formula
def _four_products(k, col, x, y, r, widths, tiles, sums, tile):
    """The sums, and the products of both ends of the four links of output r from k on, lane by lane
    over the tiles.
    """
    n_in, n_out = widths
    a, b, c, d = sums
    for t in range(tiles):
        y_t, start = rows.load(y, (t * n_out + r) * rows.lanes(tile), tile), t * n_in
        a = rows.fma(y_t, _other_end(x, start, col, k, tile), a)
        b = rows.fma(y_t, _other_end(x, start, col, k + ONE, tile), b)
        c = rows.fma(y_t, _other_end(x, start, col, k + TWO, tile), c)
        d = rows.fma(y_t, _other_end(x, start, col, k + THREE, tile), d)
    return a, b, c, d


@formula
def _products(k, col, x, y, r, widths, tiles, products, tile):
    """As _four_products, of one link."""
    n_in, n_out = widths
    for t in range(tiles):
        y_t = rows.load(y, (t * n_out + r) * rows.lanes(tile), tile)
        products = rows.fma(y_t, _other_end(x, t * n_in, col, k, tile), products)
    return products


@serial
def _contrast(begin, end, col, r, widths, sides, units, d, tile):
    """d[k] = the mean product of both ends of link k of the chains, minus that of the data, of the
    links begin to end of output r: four at a time, of which the last four may overlap others.
    """
    v, p, _, w, q = units
    zero = rows.filled(0, tile)
    begin, end = np.uint64(begin), np.uint64(end)
    if end - begin < FOUR:
        for k in range(begin, end):
            of_data = _products(k, col, v, p, r, widths, sides[0], zero, tile)
            d[k] = rows.total(_products(k, col, w, q, r, widths, sides[1], of_data, tile))
        return
    k = begin
    while k < end:
        k = min(k, end - FOUR)
        sums = _four_products(k, col, v, p, r, widths, sides[0], (zero, zero, zero, zero), tile)
        sums = _four_products(k, col, w, q, r, widths, sides[1], sums, tile)
        rows.store(d, k, rows.totals4(*sums))
        k += FOUR


@serial
def _move(x, momentum, d, begin, end, rates):
    """The descent of the entries begin to end of a parameter x along its gradient d.

    Args:
        rates: learning rate, factor of the momentum, weight decay.
    """
    rate, factor, decay = rates[0], rates[1], rates[2]
    for k in range(np.uint64(begin), np.uint64(end)):
        x[k], momentum[k] = descended(x[k], momentum[k], d[k], rate, factor, decay, False)


@parallel
def pack_columns(x, states, tile):
    """states = the columns x (n, B)."""
    for t in numba.prange(_tiles(x.shape[1], tile)):
        _pack(states, t * x.shape[0], x, _span(t, x.shape[1], tile), tile)


@parallel
def unpack_columns(states, x, tile):
    """The opposite of :func:`pack_columns`."""
    for t in numba.prange(_tiles(x.shape[1], tile)):
        _unpack(states, t * x.shape[0], x, _span(t, x.shape[1], tile), tile)


@parallel
def gathered(x, index, columns):
    """columns[j, b] = x[index[b], j]."""
    for j in numba.prange(columns.shape[0]):
        for b in range(columns.shape[1]):
            columns[j, b] = x[index[b], j]
