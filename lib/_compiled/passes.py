r"""The formulas of a layer on a tile of examples, forwards and backwards: links, bias, activation,
normalisation and dropout.

A tile goes through all layers on one thread, while its rows are in the cache. What tiles add up to,
the gradients of parameters, is kept for each tile and summed in the order of the tiles, so that
results do not depend on the number of threads. Every formula stands here once, on rows of a tile
(:mod:`lib._compiled.rows`); the passes of autograd (``launch``) and the whole training step
(``step``) call the same ones.
"""

import functools

import numba
import numpy as np

from . import rows
from .loops import address_of, called, formula, parallel, serial
from .memory import INDEX, LAYER, at, links_of, transposed_links_of

NO_UNIT, RELU, SRELU, SPLASH = 0, 1, 2, 3  # activations of a layer
ELU, GELU, GELU_TANH, SILU, TANH, SIGMOID = 4, 5, 6, 7, 8, 9  # smooth ones, after its links
LAYER_NORM, BATCH_NORM = 10, 11  # of what has no links
OUTPUTS = 5  # of a dense layer that share the reading of a row of inputs
CHUNK = 16_384  # examples of a neuron whose gradients are summed together, without links
HINGED = 4096  # values of SPLASH whose gradients are summed together: they stay in the cache

# --------------------------------------------------------------------------------- formulas


@formula
def add_links(y, k, end, col, values, memory, x, tile):
    r"""y + \sum_k w_k x_{col_k} over the links k to end; the rows of x begin at its place."""
    n = rows.lanes(tile)
    for i in range(np.uint64(k), np.uint64(end)):
        y = rows.fma(values[i], rows.load(memory, x + np.int64(col[i]) * n, tile), y)
    return y


@formula
def relu(z):
    """max(z, 0)"""
    return rows.most(z, 0)


@formula
def pieces_of(pieces, i):
    """Both thresholds of neuron i, each with the change of slope beyond it."""
    t_left, width = pieces[0, i], pieces[2, i]
    one = type(t_left)(1)
    return t_left, pieces[1, i] - one, t_left + abs(width), pieces[3, i] - one


@formula
def srelu(z, low, left, high, right):
    """z + left · min(z - low, 0) + right · max(z - high, 0)"""
    y = rows.fma(left, rows.least(rows.sub(z, low), 0), z)
    return rows.fma(right, rows.most(rows.sub(z, high), 0), y)


@formula
def srelu_gradient(z, g, low, left, high, right):
    """The gradient at z, and what :func:`pieces_gradient` makes those of the parameters of, summed
    over the examples: g and g · (z - threshold), below the left and above the right one.
    """
    x_low, x_high = rows.sub(z, low), rows.sub(z, high)
    below, above = rows.where(rows.at_most(x_low, 0), g), rows.where(rows.at_least(x_high, 0), g)
    parts = below, rows.mul(below, x_low), above, rows.mul(above, x_high)
    return rows.fma(right, above, rows.fma(left, below, g)), parts


@formula
def pieces_gradient(below, below_x, above, above_x, pieces, i):
    """Gradients of t_left, a_left, width and a_right of neuron i."""
    _, left, _, right = pieces_of(pieces, i)
    return -left * below - right * above, below_x, -right * above * np.sign(pieces[2, i]), above_x


@formula
def hinges_of(layer, zero):
    """Hinges of SPLASH on one side, and the coefficients (2, m) to the right and to the left."""
    m = layer.n_hinges
    return at(layer.hinges, zero, m), at(layer.pieces, zero, (2, m))


@formula
def side(is_right, coefficients, s, tile):
    """The coefficient of hinge s in each lane, by its side of the origin."""
    right, left = rows.filled(coefficients[0, s], tile), rows.filled(coefficients[1, s], tile)
    return rows.either(is_right, right, left)


@formula
def beyond(size, hinge):
    """How far |z| is beyond a hinge, else 0: the hinge of the other side is 0 there."""
    return rows.most(rows.sub(size, hinge), 0)


@formula
def splash(z, hinges, coefficients, tile):
    r"""\sum_s a_s · max(|z| - b_s, 0), a_s those of the side of z"""
    size, is_right = rows.absolute(z), rows.above(z, 0)
    y = rows.filled(0, tile)
    for s in range(np.uint64(hinges.shape[0])):
        y = rows.fma(side(is_right, coefficients, s, tile), beyond(size, hinges[s]), y)
    return y


@formula
def splash_gradient(z, g, hinges, coefficients, tile):
    r"""The gradient at z: g · \sum_{s: |z| > b_s} a_s to the right, its negative to the left."""
    size, is_right = rows.absolute(z), rows.above(z, 0)
    slope = rows.filled(0, tile)
    for s in range(np.uint64(hinges.shape[0])):
        more = rows.add(slope, side(is_right, coefficients, s, tile))
        slope = rows.either(rows.above(size, hinges[s]), more, slope)
    turned = rows.sub(rows.filled(0, tile), slope)
    return rows.mul(rows.either(is_right, slope, turned), g)


@formula
def sides(z, g):
    """|z|, and g to the right and to the left of the origin, 0 on the other side."""
    g_right = rows.where(rows.above(z, 0), g)
    return rows.absolute(z), g_right, rows.sub(g, g_right)


@formula
def hinge_gradients(size, g_right, g_left, hinge, right, left):
    """The gradients of both coefficients of a hinge, with those of the rows before."""
    x = beyond(size, hinge)
    return rows.fma(g_right, x, right), rows.fma(g_left, x, left)


@formula
def dropped(y, scale, mask):
    """y / (1 - p) where the mask keeps it, else 0"""
    return rows.where(mask, rows.mul(y, scale))


def _series(tile):
    """The least argument of :func:`exponential`, and the coefficients of its Taylor series, without
    the 1.
    """


@numba.extending.overload(_series)
def _series_of(tile):
    least_argument, degree = (-87.0, 6) if tile.dtype == numba.float32 else (-708.0, 12)
    coefficients = tuple(float(1 / np.prod(np.arange(1.0, n + 1))) for n in range(degree, 0, -1))
    return lambda tile: (least_argument, coefficients)


@formula
def exponential_parts(x, tile):
    """e, r and 2**k with exp(x) = (1 + e r) 2**k, x <= 0, to rounding: 2**k from the bits of the
    exponent, the rest by its Taylor series. Below -87 (float32) or -708 those of that.
    """
    least_argument, coefficients = _series(tile)
    x = rows.most(x, least_argument)
    k = rows.floor(rows.fma(1.4426950408889634, x, rows.filled(0.5, tile)))
    r = rows.fma(-0.6931471805599453, k, x)
    e = rows.filled(coefficients[0], tile)
    for coefficient in coefficients[1:]:
        e = rows.fma(e, r, rows.filled(coefficient, tile))
    return e, r, rows.power_of_two(k)


@formula
def exponential(x, tile):
    """exp(x), x <= 0"""
    e, r, power = exponential_parts(x, tile)
    return rows.mul(rows.fma(e, r, rows.filled(1, tile)), power)


@formula
def exponential_less_one(x, tile):
    """exp(x) - 1, x <= 0, to rounding also near 0"""
    e, r, power = exponential_parts(x, tile)
    return rows.fma(rows.mul(e, r), power, rows.sub(power, 1))


@formula
def sigmoid(z, tile):
    """1 / (1 + exp(-z))"""
    e = exponential(rows.sub(rows.filled(0, tile), rows.absolute(z)), tile)
    above = rows.div(rows.filled(1, tile), rows.add(e, 1))
    return rows.either(rows.above(z, 0), above, rows.mul(e, above))


@formula
def tanh(z, tile):
    """(1 - exp(-2 |z|)) / (1 + exp(-2 |z|)), with the sign of z"""
    e = exponential_less_one(rows.mul(rows.absolute(z), -2), tile)
    t = rows.div(e, rows.add(e, 2))
    return rows.either(rows.above(z, 0), rows.sub(rows.filled(0, tile), t), t)


@formula
def normal(z, tile):
    r"""Distribution and density of the standard normal law, to 1e-7.

    .. math:: \Phi(-x) \approx (b_1 t + \dots + b_5 t^5) e^{-x^2 / 2} / 2, \qquad
        t = 1 / (1 + p x / \sqrt 2), \quad x \ge 0

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
    """
    size = rows.absolute(z)
    e = exponential(rows.mul(rows.mul(size, size), -0.5), tile)
    t = rows.div(rows.filled(1, tile), rows.add(rows.mul(size, 0.23164191), 1))
    tail = rows.filled(1.061405429, tile)
    for b in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail = rows.fma(tail, t, rows.filled(b, tile))
    tail = rows.mul(rows.mul(rows.mul(tail, t), e), 0.5)
    share = rows.either(rows.above(z, 0), rows.sub(rows.filled(1, tile), tail), tail)
    return share, rows.mul(e, 0.3989422804014327)


@formula
def smooth(unit, constant, z, tile):
    """A smooth unit and its slope at z.

    Source: [Hendrycks2016] for GELU and SiLU, [Clevert2016] for ELU.
    """
    one = rows.filled(1, tile)
    if unit == ELU:
        below = rows.mul(exponential_less_one(rows.least(z, 0), tile), constant)
        is_above = rows.above(z, 0)
        return rows.either(is_above, z, below), rows.either(
            is_above, one, rows.add(below, constant)
        )
    if unit == GELU:
        share, density = normal(z, tile)
        return rows.mul(z, share), rows.fma(z, density, share)
    if unit == GELU_TANH:  # z s, s the sigmoid of 2 u
        square = rows.mul(z, z)
        u = rows.mul(z, rows.fma(0.07135481282, square, rows.filled(1.5957691216, tile)))
        s = sigmoid(u, tile)
        slope = rows.fma(0.2140644385, square, rows.filled(1.5957691216, tile))
        change = rows.mul(rows.mul(s, rows.sub(one, s)), slope)
        return rows.mul(z, s), rows.fma(z, change, s)
    if unit == TANH:
        t = tanh(z, tile)
        return t, rows.sub(one, rows.mul(t, t))
    s = sigmoid(z, tile)
    change = rows.mul(s, rows.sub(one, s))
    if unit == SIGMOID:
        return s, change
    return rows.mul(z, s), rows.fma(z, change, s)


# ----------------------------------------------------------------------- a tile in and out


@formula
def gather(memory, place, x, starts, begin, n_valid, n_in, tile):
    """Rows of a tile from examples that lie one after the other: row j, lane b is
    x[starts[begin + b] · n_in + j]; lanes from n_valid on are 0.
    """
    n = rows.lanes(tile)
    together = n_valid // 16 * 16
    done = n_in // 16 * 16
    for j in range(0, done, 16):
        for b in range(0, together, 16):
            rows.transpose16(memory, place + j * n + b, n, x, starts, begin + b, j, n_in)
    for b in range(n_valid):
        start = np.int64(starts[begin + b]) * n_in
        for j in range(done if b < together else 0, n_in):
            memory[np.uint64(place + j * n + b)] = x[np.uint64(start + j)]
    if n_valid < n:
        for j in range(n_in):
            row = rows.load(memory, place + j * n, tile)
            rows.store(memory, place + j * n, rows.where(rows.first(n_valid, tile), row))


@formula
def pack(memory, place, columns, n_rows, width, begin, n_valid, tile):
    """Rows of a tile from feature-major columns (n_rows, width), from column ``begin`` on."""
    n = rows.lanes(tile)
    for r in range(n_rows):
        if n_valid == n:
            row = rows.load(columns, r * width + begin, tile)
        else:
            row = rows.filled(0, tile)
            rows.store(memory, place + r * n, row)
            for b in range(n_valid):
                memory[np.uint64(place + r * n + b)] = columns[np.uint64(r * width + begin + b)]
            row = rows.load(memory, place + r * n, tile)
        rows.store(memory, place + r * n, row)


@formula
def scatter(memory, place, x, starts, begin, n_valid, n_in, tile):
    """The other way round than :func:`gather`, into examples that follow each other: x[(begin + b)
    · n_in + j] is row j, lane b; ``starts`` counts from 0.
    """
    n = rows.lanes(tile)
    together = n_valid // 16 * 16
    done = n_in // 16 * 16
    for b in range(0, together, 16):
        for j in range(0, done, 16):
            to = (begin + b) * n_in + j
            rows.transpose16(x, to, n_in, memory, starts, j, place + b, n)
    for b in range(n_valid):
        for j in range(done if b < together else 0, n_in):
            x[np.uint64((begin + b) * n_in + j)] = memory[np.uint64(place + j * n + b)]


@formula
def unpack(memory, place, columns, n_rows, width, begin, n_valid, tile):
    """Feature-major columns from rows of a tile, the other way round."""
    n = rows.lanes(tile)
    for r in range(n_rows):
        if n_valid == n:
            rows.store(columns, r * width + begin, rows.load(memory, place + r * n, tile))
        else:
            for b in range(n_valid):
                columns[np.uint64(r * width + begin + b)] = memory[np.uint64(place + r * n + b)]


# ------------------------------------------------------------------- a layer, on one tile


@formula
def dropped_forward(layer, r, y, bits, begin, width, scale, tile):
    """The values of neuron r that the dropout keeps, which are noted in the bits."""
    index = np.uint32(np.uint32(r) * np.uint32(width) + np.uint32(begin))
    index = np.uint32(index + np.uint32(layer.key))
    mask = rows.kept(index, layer.flip, layer.threshold, tile)
    rows.store_bits(bits, (layer.bits + np.int64(r)) * 8, mask)
    return dropped(y, scale, mask)


@serial
def forward_layer(layer, memory, bits, begin, width, tile):
    """From the rows at layer.x those at layer.y; what the gradients need besides is kept.

    ``begin`` and ``width``: first example of the tile, and examples of the batch, which number the
    values of a dropout.
    """
    n, zero = rows.lanes(tile), rows.number(0, tile)
    crow, col, values = links_of(layer, zero)
    bias = at(layer.bias, zero, layer.n_out)
    pieces = at(layer.pieces, zero, (4, layer.n_out))
    hinges, coefficients = hinges_of(layer, zero)
    has_links, has_bias, unit = layer.crow != 0, layer.bias != 0, layer.unit
    x, z_place, y_place = layer.x * n, layer.z * n, layer.y * n
    scale = rows.number(layer.scale, tile)
    for r in range(np.uint64(layer.n_out)):
        place = np.int64(r) * n
        if has_links:
            z = rows.filled(bias[r] if has_bias else zero, tile)
            z = add_links(z, crow[r], crow[r + np.uint64(1)], col, values, memory, x, tile)
        else:
            z = rows.load(memory, x + place, tile)
        if unit == RELU:
            z = relu(z)
        elif unit == SRELU:
            rows.store(memory, z_place + place, z)
            low, left, high, right = pieces_of(pieces, r)
            z = srelu(z, low, left, high, right)
        elif unit == SPLASH:
            rows.store(memory, z_place + place, z)
            z = splash(z, hinges, coefficients, tile)
        elif unit > SPLASH:
            rows.store(memory, z_place + place, z)
            continue
        if layer.is_dropped:
            z = dropped_forward(layer, r, z, bits, begin, width, scale, tile)
        rows.store(memory, y_place + place, z)


@serial
def forward_smooth(layer, memory, bits, begin, width, tile):
    """From the rows at layer.z those at layer.y, by a smooth unit and a dropout."""
    n = rows.lanes(tile)
    scale, constant = rows.number(layer.scale, tile), rows.number(layer.constant, tile)
    for r in range(layer.n_out):
        y, _ = smooth(layer.unit, constant, rows.load(memory, (layer.z + r) * n, tile), tile)
        if layer.is_dropped:
            y = dropped_forward(layer, r, y, bits, begin, width, scale, tile)
        rows.store(memory, (layer.y + r) * n, y)


@serial
def forward_norm(layer, memory, bits, begin, width, tile):
    """From the rows at layer.x those at layer.y: normalised over the neurons of an example, or by
    the mean and the inverse deviation of the batch; weight and bias, if any, and dropout.

    The normalised rows stay at layer.z; those of an example have the inverse deviations after them.

    Source: [Ba2016]; [Ioffe2015].
    """
    n, zero, n_out = rows.lanes(tile), rows.number(0, tile), layer.n_out
    of_batch = at(layer.pieces, zero, (4, n_out))
    weight, bias = at(layer.values, zero, n_out), at(layer.bias, zero, n_out)
    scale, has_weight, has_bias = rows.number(layer.scale, tile), layer.values != 0, layer.bias != 0
    mean = inverse = rows.filled(0, tile)
    if layer.unit == LAYER_NORM:
        for r in range(n_out):
            mean = rows.add(mean, rows.load(memory, (layer.x + r) * n, tile))
        mean = rows.mul(mean, rows.number(1 / n_out, tile))
        square = rows.filled(0, tile)
        for r in range(n_out):
            d = rows.sub(rows.load(memory, (layer.x + r) * n, tile), mean)
            square = rows.fma(d, d, square)
        variance = rows.mul(square, rows.number(1 / n_out, tile))
        deviation = rows.root(rows.add(variance, rows.number(layer.constant, tile)))
        deviation = rows.most(deviation, rows.number(1e-30, tile))  # of lanes without an example
        inverse = rows.div(rows.filled(1, tile), deviation)
        rows.store(memory, (layer.z + n_out) * n, inverse)
    for r in range(n_out):
        if layer.unit == BATCH_NORM:
            mean = rows.filled(of_batch[0, r], tile)
            inverse = rows.filled(of_batch[1, r], tile)
        z = rows.mul(rows.sub(rows.load(memory, (layer.x + r) * n, tile), mean), inverse)
        rows.store(memory, (layer.z + r) * n, z)
        if has_weight:
            z = rows.mul(z, weight[r])
        if has_bias:
            z = rows.add(z, bias[r])
        if layer.is_dropped:
            z = dropped_forward(layer, r, z, bits, begin, width, scale, tile)
        rows.store(memory, (layer.y + r) * n, z)


@serial
def add_statistics(layer, memory, statistics, n_valid, tile):
    """Of each input of a batch normalisation the mean over a tile, and the sum of the squares of
    what differs from it, into statistics (2, n).
    """
    n, mask = rows.lanes(tile), rows.first(n_valid, tile)
    for r in range(layer.n_out):
        x = rows.where(mask, rows.load(memory, (layer.x + r) * n, tile))
        mean = rows.total(x) / n_valid
        d = rows.where(mask, rows.sub(x, mean))
        statistics[0, r], statistics[1, r] = mean, rows.dot(d, d)


@serial
def forward_dense_layer(layer, memory, tile):
    """Forward pass of a layer with all links and nothing behind them, some outputs at a time."""
    n, zero = rows.lanes(tile), rows.number(0, tile)
    n_in, n_out = layer.n_in, layer.n_out
    values = at(layer.values, zero, (n_out, n_in))
    bias = at(layer.bias, zero, n_out)
    has_bias = layer.bias != 0
    x, y = layer.x * n, layer.y * n
    r = 0
    while r < n_out:
        if r + OUTPUTS <= n_out:
            w0, w1, w2, w3, w4 = (
                values[r],
                values[r + 1],
                values[r + 2],
                values[r + 3],
                values[r + 4],
            )
            y0 = rows.filled(bias[r] if has_bias else zero, tile)
            y1 = rows.filled(bias[r + 1] if has_bias else zero, tile)
            y2 = rows.filled(bias[r + 2] if has_bias else zero, tile)
            y3 = rows.filled(bias[r + 3] if has_bias else zero, tile)
            y4 = rows.filled(bias[r + 4] if has_bias else zero, tile)
            for j in range(np.uint64(n_in)):
                x_j = rows.load(memory, x + np.int64(j) * n, tile)
                y0 = rows.fma(w0[j], x_j, y0)
                y1 = rows.fma(w1[j], x_j, y1)
                y2 = rows.fma(w2[j], x_j, y2)
                y3 = rows.fma(w3[j], x_j, y3)
                y4 = rows.fma(w4[j], x_j, y4)
            rows.store(memory, y + r * n, y0)
            rows.store(memory, y + (r + 1) * n, y1)
            rows.store(memory, y + (r + 2) * n, y2)
            rows.store(memory, y + (r + 3) * n, y3)
            rows.store(memory, y + (r + 4) * n, y4)
            r += OUTPUTS
        else:
            w0, y0 = values[r], rows.filled(bias[r] if has_bias else zero, tile)
            for j in range(np.uint64(n_in)):
                y0 = rows.fma(w0[j], rows.load(memory, x + np.int64(j) * n, tile), y0)
            rows.store(memory, y + r * n, y0)
            r += 1


@serial
def forward_layers(layers, memory, bits, begin, width, tile):
    for i in range(len(layers)):
        layer = layers[i]
        is_dense = layer.crow != 0 and layer.n_links == layer.n_in * layer.n_out
        if is_dense and layer.unit == NO_UNIT and not layer.is_dropped:
            forward_dense_layer(layer, memory, tile)
        elif layer.unit >= LAYER_NORM:
            forward_norm(layer, memory, bits, begin, width, tile)
        else:
            forward_layer(layer, memory, bits, begin, width, tile)
            if layer.unit > SPLASH:
                forward_smooth(layer, memory, bits, begin, width, tile)


@serial
def backward_layer(upper, lower, memory, grads, bits, sums, tile):
    """The gradient at the output of the lower layer by the links of the upper one, then by its own
    dropout and activation; with the rows of both at hand also the sums over the tile that are the
    gradients of the upper weights, in the order of the transposed index, and of the lower bias and
    activation.
    """
    n, zero = rows.lanes(tile), rows.number(0, tile)
    tcrow, trow, values = transposed_links_of(upper, zero)
    pieces = at(lower.pieces, zero, (4, lower.n_out))
    hinges, coefficients = hinges_of(lower, zero)
    has_links, unit = upper.crow != 0, lower.unit
    d, d_bias, d_pieces = upper.d_values, lower.d_bias, lower.d_pieces
    x_place, z_place = upper.x * n, lower.z * n
    g_upper, g_lower = upper.g * n, lower.g * n
    scale = rows.number(lower.scale, tile)
    one, four = np.uint64(1), np.uint64(4)
    for j in range(np.uint64(upper.n_in)):
        place = np.int64(j) * n
        if not has_links:
            g = rows.load(grads, g_upper + place, tile)
        elif d < 0:
            g = rows.filled(zero, tile)
            g = add_links(g, tcrow[j], tcrow[j + one], trow, values, grads, g_upper, tile)
        else:
            g = rows.filled(zero, tile)
            x = rows.load(memory, x_place + place, tile)
            k, end = np.uint64(tcrow[j]), np.uint64(tcrow[j + one])
            while k + four <= end:
                k1, k2, k3 = k + one, k + np.uint64(2), k + np.uint64(3)
                g0 = rows.load(grads, g_upper + np.int64(trow[k]) * n, tile)
                g1 = rows.load(grads, g_upper + np.int64(trow[k1]) * n, tile)
                g2 = rows.load(grads, g_upper + np.int64(trow[k2]) * n, tile)
                g3 = rows.load(grads, g_upper + np.int64(trow[k3]) * n, tile)
                g = rows.fma(values[k1], g1, rows.fma(values[k], g0, g))
                g = rows.fma(values[k3], g3, rows.fma(values[k2], g2, g))
                rows.store(sums, d + np.int64(k), rows.dots4(x, g0, g1, g2, g3))
                k += four
            while k < end:
                g0 = rows.load(grads, g_upper + np.int64(trow[k]) * n, tile)
                g = rows.fma(values[k], g0, g)
                sums[np.uint64(d) + k] = rows.dot(x, g0)
                k += one
        if unit == RELU:
            y = rows.load(memory, x_place + place, tile)
            if lower.is_dropped:
                g = rows.mul(g, scale)
            g = rows.where(rows.above(y, 0), g)
        else:
            if lower.is_dropped:
                mask = rows.load_bits(bits, (lower.bits + np.int64(j)) * 8, tile)
                g = dropped(g, scale, mask)
            if unit == SRELU:
                z = rows.load(memory, z_place + place, tile)
                low, left, high, right = pieces_of(pieces, j)
                g, (below, below_x, above, above_x) = srelu_gradient(z, g, low, left, high, right)
                if d_pieces >= 0:
                    four_sums = rows.totals4(below, below_x, above, above_x)
                    rows.scatter4(sums, d_pieces + np.int64(j), lower.n_out, four_sums)
        if d_bias >= 0 and unit < SPLASH:
            sums[np.uint64(d_bias) + j] = rows.total(g)
        rows.store(grads, g_lower + place, g)
    if unit >= LAYER_NORM:
        backward_norm(lower, memory, grads, sums, tile)
    elif unit > SPLASH:
        backward_smooth(lower, memory, grads, sums, tile)
    elif unit == SPLASH:
        size = np.int64(upper.n_in) * n
        of_pieces = sums[:0]
        if d_pieces >= 0:
            of_pieces = sums[d_pieces : d_pieces + 2 * hinges.shape[0]]
            of_pieces[:] = zero
        inputs, of_inputs = memory[z_place : z_place + size], grads[g_lower : g_lower + size]
        backward_splash(hinges, coefficients, inputs, of_inputs, of_inputs, of_pieces, tile)
        if d_bias >= 0:
            for j in range(np.uint64(upper.n_in)):
                g = rows.load(grads, g_lower + np.int64(j) * n, tile)
                sums[np.uint64(d_bias) + j] = rows.total(g)


@serial
def backward_smooth(layer, memory, grads, sums, tile):
    """The gradient at the output of a smooth unit becomes that at its input, in place; the sums
    over the tile are the gradients of the biases before it.
    """
    n, constant = rows.lanes(tile), rows.number(layer.constant, tile)
    for r in range(layer.n_out):
        _, slope = smooth(layer.unit, constant, rows.load(memory, (layer.z + r) * n, tile), tile)
        g = rows.mul(rows.load(grads, (layer.g + r) * n, tile), slope)
        rows.store(grads, (layer.g + r) * n, g)
        if layer.d_bias >= 0:
            sums[layer.d_bias + r] = rows.total(g)


@serial
def backward_norm(layer, memory, grads, sums, tile):
    r"""The gradient at the output of a layer normalisation becomes that at its input, in place; the
    sums over the tile are the gradients of weight and bias.

    .. math:: h = w g, \qquad (h - \bar h - \hat x \, \overline{h \hat x}) / \sigma

    Of a batch normalisation only h is made: its means are those of the batch, and
    :func:`finish_batch_norm` goes on.
    """
    n, zero, n_out = rows.lanes(tile), rows.number(0, tile), layer.n_out
    weight = at(layer.values, zero, n_out)
    mean = mean_x = rows.filled(0, tile)
    for r in range(n_out):
        g, x = rows.load(grads, (layer.g + r) * n, tile), rows.load(memory, (layer.z + r) * n, tile)
        if layer.d_values >= 0:
            sums[layer.d_values + r] = rows.dot(g, x)
        if layer.d_bias >= 0:
            sums[layer.d_bias + r] = rows.total(g)
        if layer.values != 0:
            g = rows.mul(g, weight[r])
        rows.store(grads, (layer.g + r) * n, g)
        mean, mean_x = rows.add(mean, g), rows.fma(g, x, mean_x)
    if layer.unit == BATCH_NORM:
        return
    share = rows.number(1 / n_out, tile)
    mean, mean_x = rows.mul(mean, share), rows.mul(mean_x, share)
    inverse = rows.load(memory, (layer.z + n_out) * n, tile)
    for r in range(n_out):
        g, x = rows.load(grads, (layer.g + r) * n, tile), rows.load(memory, (layer.z + r) * n, tile)
        g = rows.sub(rows.sub(g, mean), rows.mul(x, mean_x))
        rows.store(grads, (layer.g + r) * n, rows.mul(g, inverse))


@serial
def finish_batch_norm(layer, memory, grads, n_valid, tile):
    """The gradient at the input of a batch normalisation, by the means over the batch."""
    n, zero = rows.lanes(tile), rows.number(0, tile)
    of_batch, mask = at(layer.pieces, zero, (4, layer.n_out)), rows.first(n_valid, tile)
    for r in range(layer.n_out):
        g, x = rows.load(grads, (layer.g + r) * n, tile), rows.load(memory, (layer.z + r) * n, tile)
        g = rows.sub(rows.sub(g, of_batch[2, r]), rows.mul(x, of_batch[3, r]))
        rows.store(grads, (layer.g + r) * n, rows.where(mask, rows.mul(g, of_batch[1, r])))


@formula
def add_totals(sums, place, x0, x1, x2, x3):
    """Add the totals of four rows to four sums."""
    sums[place] += rows.total(x0)
    sums[place + 1] += rows.total(x1)
    sums[place + 2] += rows.total(x2)
    sums[place + 3] += rows.total(x3)


@serial
def backward_splash(hinges, coefficients, x, grad_y, grad_x, sums, tile):
    """Gradients of SPLASH at values x, in whole rows, from grad_y, which grad_x may be; of the
    coefficients are added to the 2 m sums, unless these are empty.

    A pass over some values takes four hinges, so that what it sums stays in registers.
    """
    narrow = rows.narrow(tile, 16)
    n, m = rows.lanes(narrow), hinges.shape[0]
    for start in range(0, x.shape[0], HINGED):
        end = min(start + HINGED, x.shape[0])
        s = 0 if sums.shape[0] > 0 else m
        while s + 4 <= m:
            b0, b1, b2, b3 = hinges[s], hinges[s + 1], hinges[s + 2], hinges[s + 3]
            r0 = r1 = r2 = r3 = l0 = l1 = l2 = l3 = rows.filled(0, narrow)
            for i in range(start, end, n):
                size, right, left = sides(rows.load(x, i, narrow), rows.load(grad_y, i, narrow))
                r0, l0 = hinge_gradients(size, right, left, b0, r0, l0)
                r1, l1 = hinge_gradients(size, right, left, b1, r1, l1)
                r2, l2 = hinge_gradients(size, right, left, b2, r2, l2)
                r3, l3 = hinge_gradients(size, right, left, b3, r3, l3)
            add_totals(sums, s, r0, r1, r2, r3)
            add_totals(sums, m + s, l0, l1, l2, l3)
            s += 4
        while s < m:
            r0 = l0 = rows.filled(0, narrow)
            for i in range(start, end, n):
                size, right, left = sides(rows.load(x, i, narrow), rows.load(grad_y, i, narrow))
                r0, l0 = hinge_gradients(size, right, left, hinges[s], r0, l0)
            sums[s] += rows.total(r0)
            sums[m + s] += rows.total(l0)
            s += 1
        for i in range(start, end, rows.lanes(tile)):
            z, g = rows.load(x, i, tile), rows.load(grad_y, i, tile)
            rows.store(grad_x, i, splash_gradient(z, g, hinges, coefficients, tile))


@serial
def links_gradient(layer, memory, grads, sums, tile):
    """Sums over the tile that are the gradients of the weights, in the order of the links: for a
    layer whose input needs no gradient. Four sums are written at a time. Where a neuron has fewer
    links left, the last one is repeated; the next neuron writes over what is too much, or it falls
    into the padding after the layer.
    """
    n, zero = rows.lanes(tile), rows.number(0, tile)
    crow, col, _ = links_of(layer, zero)
    d, x, g_place = layer.d_values, layer.x * n, layer.g * n
    one = np.uint64(1)
    for r in range(np.uint64(layer.n_out)):
        g = rows.load(grads, g_place + np.int64(r) * n, tile)
        k, end = np.uint64(crow[r]), np.uint64(crow[r + one])
        while k < end:
            last = end - one
            k1, k2 = min(k + one, last), min(k + np.uint64(2), last)
            k3 = min(k + np.uint64(3), last)
            x0 = rows.load(memory, x + np.int64(col[k]) * n, tile)
            x1 = rows.load(memory, x + np.int64(col[k1]) * n, tile)
            x2 = rows.load(memory, x + np.int64(col[k2]) * n, tile)
            x3 = rows.load(memory, x + np.int64(col[k3]) * n, tile)
            rows.store(sums, d + np.int64(k), rows.dots4(g, x0, x1, x2, x3))
            k += np.uint64(4)


@serial
def backward_layers(layers, top, bottom, memory, grads, bits, sums, tile):
    """The gradients of layers ``top`` to ``bottom + 1``, from the one at the output of the first,
    which is in place, to the one at the output of layer ``bottom``.

    layers: with one before the first, whose output is the input, and one after the last, whose
    input is the output, neither with links; where the first layer to have a gradient has none at
    its input, the one before it has no place for it.
    """
    for i in range(top, bottom, -1):
        if layers[i - 1].g >= 0:
            backward_layer(layers[i], layers[i - 1], memory, grads, bits, sums, tile)
        else:
            if layers[i].crow != 0 and layers[i].d_values >= 0:
                links_gradient(layers[i], memory, grads, sums, tile)
            break


def _forward_signature(tile):
    numbers, bits = numba.types.Array(tile.dtype, 1, "C"), numba.uint8[::1]
    return numba.void(LAYERS, numbers, bits, numba.intp, numba.intp, tile)


def _backward_signature(tile):
    numbers, bits = numba.types.Array(tile.dtype, 1, "C"), numba.uint8[::1]
    return numba.void(LAYERS, numba.intp, numba.intp, numbers, numbers, bits, numbers, tile)


LAYERS = numba.typeof(np.zeros(0, LAYER))
run_forward, run_backward = called(_forward_signature), called(_backward_signature)


@functools.cache
def forward_of(tile: rows.Tile) -> int:
    """Address of :func:`forward_layers` for such tiles."""
    return address_of(forward_layers, _forward_signature(numba.typeof(tile)))


@functools.cache
def backward_of(tile: rows.Tile) -> int:
    """Address of :func:`backward_layers` for such tiles."""
    return address_of(backward_layers, _backward_signature(numba.typeof(tile)))


# ------------------------------------------------------------------------- all tiles of a batch


@formula
def part_of(i, n_parts, size):
    """Begin and end of part i of so many equal parts of 0, …, size - 1."""
    return i * size // n_parts, (i + 1) * size // n_parts


@formula
def tiles_from(start, n_tiles, n_sums):
    """Where the sums of the next tiles begin, after sums[0] with those of all tiles before, and how
    many tiles find room.
    """
    place = min(start, 1)
    return place, min(n_sums - place, n_tiles - start)


@parallel
def forward_tiles(
    layers, x, starts, is_rows, memory, bits, y, width, n_slots, is_kept, forward, tile
):
    """A batch through the layers.

    Args:
        layers: (n,) of LAYER.
        x: the batch, flat: rows that ``starts`` numbers if is_rows, else columns (n_in, width).
        memory, bits: of each tile if is_kept, else of each slot.
        y: (n_out, width) flat, the result.
        n_slots: how many tiles there may be at a time.
        forward: address of the pass of a tile.
    """
    n = rows.lanes(tile)
    n_tiles = -(-width // n)
    n_in, n_out, last = layers[0].n_in, layers[-1].n_out, layers[-1].y
    for s in numba.prange(n_slots):
        first, last_tile = part_of(np.int64(s), n_slots, n_tiles)  # numba has made it unsigned
        for t in range(first, last_tile):
            i = t if is_kept else np.int64(s)
            begin, n_valid = t * n, min(n, width - t * n)
            if is_rows:
                gather(memory[i], layers[0].x * n, x, starts, begin, n_valid, n_in, tile)
            else:
                pack(memory[i], layers[0].x * n, x, n_in, width, begin, n_valid, tile)
            run_forward(forward, (layers, memory[i], bits[i], begin, width, tile))
            unpack(memory[i], last * n, y, n_out, width, begin, n_valid, tile)


@parallel
def backward_tiles(
    layers,
    grad_y,
    y_is_rows,
    memory,
    bits,
    grads,
    sums,
    grad_x,
    x_is_rows,
    starts,
    width,
    n_slots,
    n_chunks,
    backward,
    tile,
):
    """The gradients of a batch: of the parameters into sums[0], and of the input. Those of weights
    that have room for another order take that, in the order of the links.

    Args:
        layers: as in :func:`backward_layers`.
        grad_y: (width, n_out) flat if y_is_rows, else (n_out, width), the gradient at the output.
        memory, bits: what :func:`forward_tiles` kept.
        grads: memory of each slot.
        sums: (n_sums, size): a tile's sums of each parameter.
        grad_x: (width, n_in) flat if x_is_rows, else (n_in, width), or empty.
        starts: numbers from 0 on, at least as many as examples and as inputs.
        n_slots, n_chunks: how many tiles run at a time, and parts of what is copied.
        backward: address of the pass of a tile.
    """
    n = rows.lanes(tile)
    for c in numba.prange(n_chunks):
        order_weights(layers, np.int64(c), n_chunks, tile)
    n_tiles, n_sums = -(-width // n), sums.shape[0]
    top, bottom, n_out = layers[-1].g * n, layers[0].g * n, layers[-1].n_out
    n_in, has_grad_x = layers[0].n_out, grad_x.shape[0] > 0
    start = 0
    while start < n_tiles:
        place, count = tiles_from(start, n_tiles, n_sums)
        n_parts = min(n_slots, count)
        for s in numba.prange(n_parts):
            slot = np.int64(s)
            first, last = part_of(slot, n_parts, count)
            for i in range(first, last):
                t = start + i
                begin, n_valid = t * n, min(n, width - t * n)
                if y_is_rows:
                    gather(grads[slot], top, grad_y, starts, begin, n_valid, n_out, tile)
                else:
                    pack(grads[slot], top, grad_y, n_out, width, begin, n_valid, tile)
                given = memory[t], grads[slot], bits[t], sums[place + i]
                run_backward(backward, (layers, len(layers) - 1, 0, *given, tile))
                if has_grad_x and x_is_rows:
                    scatter(grads[slot], bottom, grad_x, starts, begin, n_valid, n_in, tile)
                elif has_grad_x:
                    unpack(grads[slot], bottom, grad_x, n_in, width, begin, n_valid, tile)
        add_up(sums, place + count, n_chunks)
        start += count
    for c in numba.prange(n_chunks):
        finish_gradients(layers, sums[0], np.int64(c), n_chunks, tile)


@formula
def add_up(sums, n_sums, n_chunks):
    """sums[0] becomes the sum of the first n_sums rows, in their order."""
    size = sums.shape[1]
    if n_sums > 1 and size > 0:
        add_up_rows(sums, n_sums, n_chunks)


@parallel
def add_up_rows(sums, n_sums, n_chunks):
    """sums[0] becomes the sum of the first n_sums rows, at least two, in their order."""
    size = sums.shape[1]
    for c in numba.prange(n_chunks):
        begin, end = part_of(np.int64(c), n_chunks, size)
        whole_sum = sums[0, begin:end]
        for i in range(1, n_sums):
            one = sums[i, begin:end]
            for k in range(one.shape[0]):
                whole_sum[k] += one[k]


@formula
def make_pieces_gradients(sums, pieces, begin, end):
    """Sums (4, n) over the batch become the gradients of the parameters of SReLU, of the neurons
    begin to end.
    """
    for i in range(begin, end):
        below, below_x, above, above_x = sums[0, i], sums[1, i], sums[2, i], sums[3, i]
        four = pieces_gradient(below, below_x, above, above_x, pieces, i)
        sums[0, i], sums[1, i], sums[2, i], sums[3, i] = four


@serial
def order_weights(layers, chunk, n_chunks, tile):
    """Copy a chunk of the weights of each layer that has room for them into the order of the
    transposed index.
    """
    zero = rows.number(0, tile)
    for i in range(len(layers)):
        if layers[i].ordered != 0:
            n = layers[i].n_links
            perm, ordered = at(layers[i].perm, INDEX, n), at(layers[i].ordered, zero, n)
            values = at(layers[i].values, zero, n)
            begin, end = part_of(chunk, n_chunks, n)
            for k in range(begin, end):
                ordered[k] = values[perm[k]]


@serial
def finish_gradients(layers, sums, chunk, n_chunks, tile):
    """Make gradients of a chunk of the sums over the batch: those of weights in the order of the
    links, in the room of their copies; those of the parameters of SReLU, in place.
    """
    zero = rows.number(0, tile)
    for i in range(len(layers)):
        n, n_out = layers[i].n_links, layers[i].n_out
        if layers[i].ordered != 0 and layers[i].d_values >= 0:
            perm, grad = at(layers[i].perm, INDEX, n), at(layers[i].ordered, zero, n)
            d = sums[layers[i].d_values : layers[i].d_values + n]
            begin, end = part_of(chunk, n_chunks, n)
            for k in range(begin, end):
                grad[perm[k]] = d[k]
        if layers[i].unit == SRELU and layers[i].d_pieces >= 0:
            d = sums[layers[i].d_pieces : layers[i].d_pieces + 4 * n_out].reshape(4, n_out)
            pieces = at(layers[i].pieces, zero, (4, n_out))
            begin, end = part_of(chunk, n_chunks, n_out)
            make_pieces_gradients(d, pieces, begin, end)


@parallel
def pieces_gradients(sums, pieces):
    """Make the gradients of the parameters of SReLU, of all neurons."""
    for i in numba.prange(pieces.shape[1]):
        make_pieces_gradients(sums, pieces, np.int64(i), np.int64(i) + 1)


# ------------------------------------- activation and dropout alone, on feature-major columns


@formula
def unit_values(layer, pieces, r, x, y, place, index, tile):
    """Activation and dropout of some values of neuron r, x[place] and those after it; ``index``
    numbers the first for the dropout.
    """
    z = rows.load(x, place, tile)
    if layer.unit == RELU:
        z = relu(z)
    elif layer.unit == SRELU:
        low, left, high, right = pieces_of(pieces, r)
        z = srelu(z, low, left, high, right)
    if layer.is_dropped:
        mask = rows.kept(np.uint32(index), layer.flip, layer.threshold, tile)
        z = dropped(z, rows.number(layer.scale, tile), mask)
    rows.store(y, place, z)


@formula
def unit_gradients(layer, pieces, r, x, grad_y, grad_x, place, index, tile):
    """Their gradients, and what those of the parameters of an SReLU are sums of."""
    g = rows.load(grad_y, place, tile)
    if layer.is_dropped:
        mask = rows.kept(np.uint32(index), layer.flip, layer.threshold, tile)
        g = dropped(g, rows.number(layer.scale, tile), mask)
    parts = g, g, g, g
    if layer.unit == RELU:
        g = rows.where(rows.above(rows.load(x, place, tile), 0), g)
    elif layer.unit == SRELU:
        low, left, high, right = pieces_of(pieces, r)
        g, parts = srelu_gradient(rows.load(x, place, tile), g, low, left, high, right)
    rows.store(grad_x, place, g)
    return parts


@serial
def forward_chunk(layer, i, x, y, width, tile, one):
    """Chunk i of all of :func:`forward_unit`."""
    n, (r, _, place, together, size) = rows.lanes(tile), chunk_of(i, rows.lanes(tile), width)
    pieces = at(layer.pieces, rows.number(0, tile), (4, layer.n_out))
    for b in range(place, place + together, n):
        unit_values(layer, pieces, r, x, y, b, b + layer.key, tile)
    for b in range(place + together, place + size):
        unit_values(layer, pieces, r, x, y, b, b + layer.key, one)


@serial
def backward_chunk(layer, i, x, grad_y, grad_x, sums, width, tile, one):
    """Chunk i of all of :func:`backward_unit`."""
    n, (r, c, place, together, size) = rows.lanes(tile), chunk_of(i, rows.lanes(tile), width)
    pieces = at(layer.pieces, rows.number(0, tile), (4, layer.n_out))
    key = layer.key
    s0 = s1 = s2 = s3 = rows.filled(0, tile)
    for b in range(place, place + together, n):
        p0, p1, p2, p3 = unit_gradients(layer, pieces, r, x, grad_y, grad_x, b, b + key, tile)
        s0, s1, s2, s3 = rows.add(s0, p0), rows.add(s1, p1), rows.add(s2, p2), rows.add(s3, p3)
    t0, t1, t2, t3 = rows.total(s0), rows.total(s1), rows.total(s2), rows.total(s3)
    for b in range(place + together, place + size):
        p0, p1, p2, p3 = unit_gradients(layer, pieces, r, x, grad_y, grad_x, b, b + key, one)
        t0, t1 = t0 + rows.total(p0), t1 + rows.total(p1)
        t2, t3 = t2 + rows.total(p2), t3 + rows.total(p3)
    if sums.shape[0] > 0:
        sums[c, 0, r], sums[c, 1, r], sums[c, 2, r], sums[c, 3, r] = t0, t1, t2, t3


@formula
def chunk_of(i, n, width):
    """The neuron of chunk i of all, which chunk of that neuron it is, its first value, how many
    are in whole rows of n, and how many in all.
    """
    n_chunks = -(-width // CHUNK)
    r, c = i // n_chunks, i % n_chunks
    size = min(CHUNK, width - c * CHUNK)
    return r, c, r * width + c * CHUNK, size // n * n, size


@parallel
def forward_unit(layers, x, y, width, tile, one):
    """A layer without links, of columns (n, width), flat; ``one``: the tile of one example."""
    for i in numba.prange(layers[0].n_out * -(-width // CHUNK)):
        forward_chunk(layers[0], np.int64(i), x, y, width, tile, one)


@parallel
def backward_unit(layers, x, grad_y, grad_x, sums, width, tile, one):
    """Its gradients: at its input, flat, and if sums (chunks, 4, n) are not empty what
    :func:`pieces_gradient` takes, of each chunk of examples.
    """
    for i in numba.prange(layers[0].n_out * -(-width // CHUNK)):
        backward_chunk(layers[0], np.int64(i), x, grad_y, grad_x, sums, width, tile, one)
