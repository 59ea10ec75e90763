"""The compiled loops over a sparse layer: links, bias, activation, dropout, binary units.

A pass goes over the rows of feature-major memory, of each output neuron its links, bias,
activation and dropout while its row is in the cache. Every row of a result belongs to one thread,
so results do not depend on the number of threads.

All that the loops inline stays in this file, but for those of :mod:`lib.memory`: numba looks for
changes there alone before it takes a loop from its cache.
"""

import numba
import numpy as np
import torch

from lib.memory import above_of, at, gradients_of, links_of, unit_of

numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]  # omp: the pool torch runs on
_threads = torch.get_num_threads()
numba.get_num_threads()  # starts the pool, and with it sets torch's number of threads to all cores
torch.set_num_threads(_threads)
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}  # not nnan, ninf: a diverging run must be seen
jit = numba.njit(parallel=True, fastmath=FASTMATH, error_model="numpy", nogil=True, cache=True)
sequence = numba.njit(error_model="numpy", nogil=True, cache=True)  # of calls of what is jit
inline = numba.njit(inline="always", fastmath=FASTMATH, error_model="numpy")

BLOCK = 64  # units whose ratios, of 1/2 to 2 each, are multiplied before a logarithm is taken

# -------------------------------------------------------------------------- links of one row


@inline
def _link(col, order, values, x, k):
    """Weight of link k, and the row of x that it reads."""
    return values[k] if order is None else values[order[k]], x[col[k]]


@inline
def _add_links(k, end, col, order, values, x, y_r):
    """y_r += the links k to end, eight in each pass over the row."""
    width = y_r.shape[0]
    while k + 8 <= end:
        w0, x0 = _link(col, order, values, x, k)
        w1, x1 = _link(col, order, values, x, k + 1)
        w2, x2 = _link(col, order, values, x, k + 2)
        w3, x3 = _link(col, order, values, x, k + 3)
        w4, x4 = _link(col, order, values, x, k + 4)
        w5, x5 = _link(col, order, values, x, k + 5)
        w6, x6 = _link(col, order, values, x, k + 6)
        w7, x7 = _link(col, order, values, x, k + 7)
        for b in range(width):
            half = w0 * x0[b] + w1 * x1[b] + w2 * x2[b] + w3 * x3[b]
            y_r[b] += half + (w4 * x4[b] + w5 * x5[b] + w6 * x6[b] + w7 * x7[b])
        k += 8
    while k + 2 <= end:
        w0, x0 = _link(col, order, values, x, k)
        w1, x1 = _link(col, order, values, x, k + 1)
        for b in range(width):
            y_r[b] += w0 * x0[b] + w1 * x1[b]
        k += 2
    if k < end:
        w0, x0 = _link(col, order, values, x, k)
        for b in range(width):
            y_r[b] += w0 * x0[b]


@inline
def _sum_links(k, end, col, order, values, x):
    """What the links k to end sum to for one example, x (n_in,)."""
    total = x.dtype.type(0)
    for i in range(np.uint64(k), np.uint64(end)):
        w, x_i = _link(col, order, values, x, i)
        total += w * x_i
    return total


@inline
def _dot_links(k, end, col, x, g, d):
    """d[k] = g · x[col[k]] for the links k to end, four at a time."""
    zero = g.dtype.type(0)
    while k + 4 <= end:
        x0, x1, x2, x3 = x[col[k]], x[col[k + 1]], x[col[k + 2]], x[col[k + 3]]
        s0 = s1 = s2 = s3 = zero
        for b in range(g.shape[0]):
            s0 += g[b] * x0[b]
            s1 += g[b] * x1[b]
            s2 += g[b] * x2[b]
            s3 += g[b] * x3[b]
        d[k], d[k + 1], d[k + 2], d[k + 3] = s0, s1, s2, s3
        k += 4
    while k < end:
        x0, s0 = x[col[k]], zero
        for b in range(g.shape[0]):
            s0 += g[b] * x0[b]
        d[k] = s0
        k += 1


@inline
def _spread_links(k, end, col, x, g, d):
    """d[k] = g · x[col[k]] for the links k to end and one example, x (n_in,)."""
    for i in range(np.uint64(k), np.uint64(end)):
        d[i] = g * x[col[i]]


@inline
def _contrast_links(k, end, col, x, g, y, m, d):
    """d[k] = g · x[col[k]] - m · y[col[k]] for the links k to end, four at a time; x and y may be
    of different widths.
    """
    zero, common = g.dtype.type(0), min(g.shape[0], m.shape[0])
    while k + 4 <= end:
        x0, x1, x2, x3 = x[col[k]], x[col[k + 1]], x[col[k + 2]], x[col[k + 3]]
        y0, y1, y2, y3 = y[col[k]], y[col[k + 1]], y[col[k + 2]], y[col[k + 3]]
        s0 = s1 = s2 = s3 = zero
        for b in range(common):
            s0 += g[b] * x0[b] - m[b] * y0[b]
            s1 += g[b] * x1[b] - m[b] * y1[b]
            s2 += g[b] * x2[b] - m[b] * y2[b]
            s3 += g[b] * x3[b] - m[b] * y3[b]
        for b in range(common, g.shape[0]):
            s0 += g[b] * x0[b]
            s1 += g[b] * x1[b]
            s2 += g[b] * x2[b]
            s3 += g[b] * x3[b]
        for b in range(common, m.shape[0]):
            s0 -= m[b] * y0[b]
            s1 -= m[b] * y1[b]
            s2 -= m[b] * y2[b]
            s3 -= m[b] * y3[b]
        d[k], d[k + 1], d[k + 2], d[k + 3] = s0, s1, s2, s3
        k += 4
    while k < end:
        x0, y0, s0 = x[col[k]], y[col[k]], zero
        for b in range(common):
            s0 += g[b] * x0[b] - m[b] * y0[b]
        for b in range(common, g.shape[0]):
            s0 += g[b] * x0[b]
        for b in range(common, m.shape[0]):
            s0 -= m[b] * y0[b]
        d[k] = s0
        k += 1


@inline
def _sum_row(x):
    total = x.dtype.type(0)
    for b in range(x.shape[0]):
        total += x[b]
    return total


# ------------------------------------------------------------------- activation of one row


@inline
def _pieces(srelu, r):
    """Both thresholds of neuron r, each with the change of slope beyond it."""
    t_left, a_left, width, a_right = srelu[0, r], srelu[1, r], srelu[2, r], srelu[3, r]
    one = srelu.dtype.type(1)
    return t_left, a_left - one, t_left + abs(width), a_right - one


@inline
def _srelu_row(z, srelu, r, y):
    low, left, high, right = _pieces(srelu, r)
    zero = z.dtype.type(0)
    for b in range(z.shape[0]):
        v = z[b]
        y[b] = v + left * min(v - low, zero) + right * max(v - high, zero)


@inline
def _srelu_grad_row(z, srelu, r, g, is_wanted, grads):
    """Turn g, the gradient at the output, into that at the input; grads[:, r]: of parameters."""
    low, left, high, right = _pieces(srelu, r)
    zero = z.dtype.type(0)
    below = below_x = above = above_x = zero
    for b in range(z.shape[0]):
        g_b, x_low, x_high = g[b], z[b] - low, z[b] - high
        g_low = g_b if x_low <= zero else zero
        g_high = g_b if x_high >= zero else zero
        below += g_low
        below_x += g_low * x_low
        above += g_high
        above_x += g_high * x_high
        g[b] = g_b + left * g_low + right * g_high
    if is_wanted:
        grads[0, r], grads[1, r] = -left * below - right * above, below_x
        grads[2, r], grads[3, r] = -right * above * np.sign(srelu[2, r]), above_x


# ---------------------------------------------------------------------- dropout of one row


@inline
def _mix(h):
    """A bijection of 32 bits in which every input bit reaches every output bit (two rounds)."""
    h = np.uint32(np.uint32(h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D))
    h = np.uint32(np.uint32(h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(h ^ (h >> np.uint32(16)))


@inline
def _dropout_row(y, r, law):
    threshold, scale, zero = np.uint32(law[0]), y.dtype.type(law[1]), y.dtype.type(0)
    first = np.uint32(np.uint32(r * y.shape[0]) + np.uint32(law[2]))
    flip = np.uint32(law[3])
    for b in range(y.shape[0]):
        keep = np.uint32(_mix(np.uint32(first + np.uint32(b))) ^ flip) >= threshold
        y[b] = y[b] * scale if keep else zero


# ------------------------------------------------------------------ binary units of one row


def _decay(x):
    """exp(-x), x >= 0, to rounding, in operations that run on many numbers at once: 2**-k from the
    bits of the exponent, the rest by its Taylor series. From 87 (float32) or 708 on, exp of that.
    """


@numba.extending.overload(_decay, inline="always")
def _decay_of(x):
    return _decay_float32 if x == numba.float32 else _decay_float64


def _decay_float32(x):
    x = min(x, np.float32(87))
    k = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    r = k * np.float32(0.6931471805599453) - x
    one = np.float32(1)
    e = one + r * np.float32(1 / 6)
    e = one + r * e * np.float32(1 / 5)
    e = one + r * e * np.float32(1 / 4)
    e = one + r * e * np.float32(1 / 3)
    e = one + r * e * np.float32(1 / 2)
    scale = np.int32((np.int32(127) - np.int32(k)) << np.int32(23))
    return (one + r * e) * scale.view(np.float32)


def _decay_float64(x):
    x = min(x, 708.0)
    k = np.floor(x * 1.4426950408889634 + 0.5)
    r = k * 0.6931471805599453 - x
    e = 1 + r * (1 / 12)
    e = 1 + r * e * (1 / 11)
    e = 1 + r * e * (1 / 10)
    e = 1 + r * e * (1 / 9)
    e = 1 + r * e * (1 / 8)
    e = 1 + r * e * (1 / 7)
    e = 1 + r * e * (1 / 6)
    e = 1 + r * e * (1 / 5)
    e = 1 + r * e * (1 / 4)
    e = 1 + r * e * (1 / 3)
    e = 1 + r * e * (1 / 2)
    scale = np.int64((np.int64(1023) - np.int64(k)) << np.int64(52))
    return (1 + r * e) * scale.view(np.float64)


@inline
def _inputs_row(crow, col, order, values, x, r, z):
    """z = what the links of unit r sum to; row r of x where there are none."""
    if crow is None:
        z[:] = x[r]
    else:
        z[:] = 0
        _add_links(crow[r], crow[r + 1], col, order, values, x, z)


@inline
def _logistic_row(y, slope, bias):
    """y = 1 / (1 + exp(-slope · y - bias))."""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    for b in range(y.shape[0]):
        z = slope * y[b] + bias
        e = _decay(abs(z))
        y[b] = (one if z >= zero else e) / (one + e)


@inline
def _sample_row(p, r, law, s):
    """s = 1 with the probabilities p of unit r, else 0."""
    first = np.uint32(np.uint32(r * p.shape[0]) + np.uint32(law[0]))
    flip = np.uint32(law[1])
    unit, half = p.dtype.type(2.0**-32), p.dtype.type(2.0**-33)
    for b in range(p.shape[0]):
        bits = _mix(np.uint32(_mix(np.uint32(first + np.uint32(b))) + flip))
        s[b] = p.dtype.type(p[b] > p.dtype.type(bits) * unit + half)


@inline
def _temper_row(y, bias, before, after, gain, ratio):
    """y becomes the probabilities at the slope ``after``; what the units gain by the change of
    slope goes to gain, over that change, and to the product of ratios.
    """
    zero, one = y.dtype.type(0), y.dtype.type(1)
    for b in range(y.shape[0]):
        z = y[b] + bias
        e_before, e_after = _decay(before * abs(z)), _decay(after * abs(z))
        gain[b] += max(z, zero)
        ratio[b] *= (one + e_after) / (one + e_before)
        y[b] = (one if z >= zero else e_after) / (one + e_after)


# --------------------------------------------------------------------- passes over all rows


@sequence
def forward_layers(zero, width, layers):
    """Layers after each other, of each its links, bias, activation and dropout; z is what the
    activation gets, y the output.

    Args:
        zero: a 0 of the dtype.
        width: B, of the batch.
        layers: (n,) of LAYER.
    """
    for i in range(len(layers)):
        layer = layers[i]
        parts = layer.crow != 0, layer.bias != 0, layer.srelu != 0, layer.is_dropped != 0
        bias = at(layer.bias, zero, layer.n_out)
        x = at(layer.x, zero, (layer.n_in, width))
        z = at(layer.z, zero, (layer.n_out, width))
        y = at(layer.y, zero, (layer.n_out, width))
        _forward_rows(parts, links_of(layer, zero), x, bias, unit_of(layer, zero), z, y)


@jit
def _forward_rows(parts, links, x, bias, unit, z, y):
    """For each row in turn: links and bias into z, activation into y, dropout; those that are among
    the parts.
    """
    has_links, has_bias, has_srelu, is_dropped = parts
    crow, col, values = links
    srelu, law = unit
    is_single, flat = x.shape[1] == 1, x.reshape(-1)
    for r in numba.prange(y.shape[0]):
        z_r, y_r = z[r], y[r]
        if has_links:
            z_r[:] = bias[r] if has_bias else 0
            if is_single:
                z_r[0] += _sum_links(crow[r], crow[r + 1], col, None, values, flat)
            else:
                _add_links(crow[r], crow[r + 1], col, None, values, x, z_r)
        if has_srelu:
            _srelu_row(z_r, srelu, r, y_r)
        elif not has_links:
            y_r[:] = z_r
        if is_dropped:
            _dropout_row(y_r, r, law)


@sequence
def backward_layers(zero, width, layers):
    """The gradients of layers after each other, from the last to the first: where two meet, g by
    the links of the upper one, then what _backward_rows does to the lower one.

    Args:
        zero, width: as in forward_layers.
        layers: (n + 2,) of LAYER, with one before the first, whose g is that of the input, and one
            after the last.
    """
    for i in range(len(layers) - 2, -1, -1):
        lower, upper = layers[i], layers[i + 1]
        if lower.g == 0:
            continue
        parts = upper.tcrow != 0, lower.srelu != 0, lower.is_dropped != 0
        wanted = lower.grad_values != 0, lower.grad_bias != 0, lower.grad_srelu != 0
        above, grads = above_of(upper, zero, width), gradients_of(lower, zero)
        x = at(lower.x, zero, (lower.n_in, width))
        z = at(lower.z, zero, (lower.n_out, width))
        g = at(lower.g, zero, (lower.n_out, width))
        links, unit = links_of(lower, zero), unit_of(lower, zero)
        _backward_rows(parts, above, links, x, z, unit, g, wanted, *grads)


@jit
def _backward_rows(parts, above, links, x, z, unit, g, wanted, d, d_bias, d_srelu):
    """For each row in turn: g, the gradient at the output, by the links above; dropout and
    activation, with which g becomes the gradient before it; and of links, bias and activation the
    gradients that are wanted. What it writes are arguments of their own: numba drops writes to what
    a loop unpacks and nobody reads.
    """
    has_links, has_srelu, is_dropped = parts
    wants_links, wants_bias, wants_srelu = wanted
    tcrow, trow, perm, values_above, g_above = above
    crow, col, _ = links
    srelu, law = unit
    is_single, flat, flat_above = g.shape[1] == 1, x.reshape(-1), g_above.reshape(-1)
    for r in numba.prange(g.shape[0]):
        g_r = g[r]
        if has_links and is_single:
            g_r[0] = _sum_links(tcrow[r], tcrow[r + 1], trow, perm, values_above, flat_above)
        elif has_links:
            g_r[:] = 0
            _add_links(tcrow[r], tcrow[r + 1], trow, perm, values_above, g_above, g_r)
        if is_dropped:
            _dropout_row(g_r, r, law)
        if has_srelu:
            _srelu_grad_row(z[r], srelu, r, g_r, wants_srelu, d_srelu)
        if wants_bias:
            d_bias[r] = _sum_row(g_r)
        if wants_links and is_single:
            _spread_links(crow[r], crow[r + 1], col, flat, g_r[0], d)
        elif wants_links:
            _dot_links(crow[r], crow[r + 1], col, x, g_r, d)


@jit
def unit_rows(crow, col, order, values, x, bias, slope, law, p, s, drawn):
    """For each unit in turn: links, logistic function into p, and if drawn a sample into s; without
    links x is what they sum to.
    """
    for r in numba.prange(p.shape[0]):
        p_r = p[r]
        _inputs_row(crow, col, order, values, x, r, p_r)
        _logistic_row(p_r, p.dtype.type(slope), bias[r])
        if drawn:
            _sample_row(p_r, r, law, s[r])


@jit
def tempered_rows(crow, col, order, values, x, bias, slopes, law, s, gains):
    """As unit_rows, sampled at the second slope; gains[i], 0 before: of BLOCK units."""
    before, after = s.dtype.type(slopes[0]), s.dtype.type(slopes[1])
    for i in numba.prange(gains.shape[0]):
        gain, ratio = gains[i], np.ones_like(gains[i])
        for r in range(i * BLOCK, min((i + 1) * BLOCK, s.shape[0])):
            s_r = s[r]
            _inputs_row(crow, col, order, values, x, r, s_r)
            _temper_row(s_r, bias[r], before, after, gain, ratio)
            _sample_row(s_r, r, law, s_r)
        for b in range(gain.shape[0]):
            gain[b] = (after - before) * gain[b] + np.log(ratio[b])


@sequence
def descent_rows(rows, columns, values, biases, v, start, laws, units, grads):
    """The gradients of contrastive divergence in one call: sweeps of the chains, which begin at
    ``start`` where that is given and else at v, and the statistics of both.

    Args:
        rows, columns: index of a support, by row and by column.
        values: of its links.
        biases: of the inputs and of the outputs of the layer.
        v: the batch.
        start: where the chains are, or None.
        laws: of the passes that sample, in their order.
        units: p, h, w, q: probabilities of the outputs given v, samples of theirs, samples of the
            inputs, and probabilities of the outputs given these.
        grads: of values and of both biases.
    """
    crow, col, order = rows
    tcrow, trow, perm = columns
    down_bias, up_bias = biases
    p, h, w, q = units
    d, d_down, d_up = grads
    law = [(laws[i, 0], laws[i, 1]) for i in range(laws.shape[0])]
    unit_rows(crow, col, order, values, v, up_bias, 1.0, law[0], p, h, True)
    g, i = h, 1
    if start is not None:
        g, i = np.empty_like(q), 2
        unit_rows(crow, col, order, values, start, up_bias, 1.0, law[1], g, g, True)
    unit_rows(tcrow, trow, perm, values, g, down_bias, 1.0, law[i], w, w, True)
    for k in range(i + 1, len(law), 2):
        unit_rows(crow, col, order, values, w, up_bias, 1.0, law[k], g, g, True)
        unit_rows(tcrow, trow, perm, values, g, down_bias, 1.0, law[k + 1], w, w, True)
    _statistics_rows(crow, col, values, up_bias, v, p, w, q, d, d_up)
    _mean_differences(w, v, d_down)


@jit
def _statistics_rows(crow, col, values, bias, v, p, w, q, d, d_bias):
    """For each output in turn: its probabilities q given w; then of its links and its bias the mean
    products with w minus those of p with v.
    """
    for r in numba.prange(q.shape[0]):
        q_r = q[r]
        _inputs_row(crow, col, None, values, w, r, q_r)
        _logistic_row(q_r, q.dtype.type(1), bias[r])
        means = q_r * (1 / q.dtype.type(q.shape[1])), p[r] * (1 / p.dtype.type(p.shape[1]))
        _contrast_links(crow[r], crow[r + 1], col, w, means[0], v, means[1], d)
        d_bias[r] = means[0].sum() - means[1].sum()


@jit
def _mean_differences(x, y, d):
    """d[r] = mean of row r of x minus that of y."""
    for r in numba.prange(d.shape[0]):
        d[r] = x[r].mean() - y[r].mean()


@jit
def gathered(x, index, columns):
    """columns[j, b] = x[index[b], j]."""
    for j in numba.prange(columns.shape[0]):
        for b in range(columns.shape[1]):
            columns[j, b] = x[index[b], j]


@jit
def transposed(x, columns):
    for r in numba.prange(columns.shape[0]):
        for b in range(columns.shape[1]):
            columns[r, b] = x[b, r]
