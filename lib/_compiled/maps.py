"""The convolutional part of a network on tiles of 16 examples, forward and backward.

An operation reads a *value*: a unit of a sum of one or two *terms*. A term is what another
operation wrote, times a factor and plus a constant for each channel: those of a batch
normalisation. The value is made anew from its terms wherever it is read, in memory of the thread,
so that the normalised maps and those behind a unit never go to main memory.

    value   = unit(sum over terms: a_c · maps + b_c)
    forward   maps = convolution of the value, or its pooling, or the value itself
    backward  gradient at the maps -> gradient at the value -> gradients at the terms

The gradient of a term is that behind its normalisation. What a batch normalisation needs of the
whole batch are sums over each tile, which the operation before it takes. They are added up where
all tiles are done.
"""

import functools

import numba
import numpy as np

from . import passes, rows
from .convolution import (
    MAPS,
    SHAPE,
    Index,
    backward_band,
    forward_tile,
    move_maps,
)
from .loops import address_of, called, formula, parallel, serial
from .memory import INDEX, NONE, at, record
from .passes import part_of
from .rows import Tile

LANES = 16  # examples of a tile, numbers of a pixel
TILE = Tile("float32", LANES)  # of rows the loops take four pixels at a time, or one
ZERO = np.float32(0)
INPUT, CONVOLUTION, MAX, MEAN, KEEP, OUTPUT = range(6)  # what an operation does
LINEAR_PIECES = 0  # the unit of slope 1 above 0, and another one below; others are of passes


INDEXES = record(("first", "n_first", "offset", "perm", "ordered"))
# a term of a value: where its maps and their gradient begin, and how many numbers further those of
# the next tile; factors and constants, the mean that was taken off, sums of each tile; its size,
# and which of the value's channels it begins with; how many of its rows and columns make one of the
# value's; whether its gradient has begun; whether sums are taken as it is handed on, as those of a
# first term are taken with the unit
TERM = record((
    "maps", "gradient", "size", "affine", "mean", "sums", "channels", "height", "width", "first",
    "stride_y", "stride_x", "adds", "wants_sums",
))  # fmt: skip
# an operation; x, g and d: places in the memory of each thread, and how far apart these are; what
# begins with "grad" or "running", gamma, beta and deviations: addresses, 0 for what is not wanted
OPERATION = np.dtype(
    [(name, np.intp) for name in (
        "kind", "term", "n_terms", "unit", "x", "x_size", "g", "g_size", "d", "d_size", "maps",
        "size", "gradient", "value_gradient", "value_size", "is_shared", "adds", "passes_on",
        "affine", "mean", "sums", "normal", "has_norm", "moments", "values", "n_links", "bias",
        "links", "links_size", "kernel_y", "kernel_x", "top", "left", "gamma", "beta",
        "running_mean", "running_variance", "deviations", "grad_values", "grad_bias", "grad_gamma",
        "grad_beta",
    )]
    + [("slope", np.float32), ("epsilon", np.float64), ("share", np.float64)]
    + [("value", MAPS), ("shape", SHAPE)]
    + [("forward", INDEXES), ("backward", INDEXES)]
)  # fmt: skip

# ------------------------------------------------------------------------------- the value


@formula
def sum_of_terms(memory, i, a, b, has_second, j, a2, b2, tile):
    """a · maps + b of one term or two, from the numbers i and j on."""
    z = rows.fma(a, rows.load(memory, i, tile), rows.filled(b, tile))
    if has_second:
        z = rows.add(z, rows.fma(a2, rows.load(memory, j, tile), rows.filled(b2, tile)))
    return z


@formula
def factors(o, one, two, memory, c):
    """Of channel c of a value: factor and constant of its first term, whether it has a second term,
    the channel of that, and its factor and constant.
    """
    other = c - two.first
    has_second = o.n_terms == 2 and 0 <= other < two.channels
    a2 = b2 = np.float32(0)
    if has_second:
        a2, b2 = memory[two.affine + other], memory[two.affine + two.channels + other]
    a, b = memory[one.affine + c], memory[one.affine + one.channels + c]
    return a, b, has_second, other, a2, b2


@serial
def write_value(memory, i, a, b, has_second, j, step, a2, b2, slope, to, begin, end, tile):
    """Numbers begin to end of a row of the value."""
    for k in range(begin, end, rows.lanes(tile)):
        z = sum_of_terms(memory, i + k, a, b, has_second, j + step * k, a2, b2, tile)
        rows.store(memory, to + k, rows.either(rows.above(z, 0), z, rows.mul(z, slope)))


@serial
def smooth_value(unit, constant, memory, begin, end, tile):
    for k in range(begin, end, rows.lanes(tile)):
        y, _ = passes.smooth(unit, constant, rows.load(memory, k, tile), tile)
        rows.store(memory, k, y)


@serial
def make_value(o, terms, memory, t, x, pixel):
    """The value that an operation reads of tile t, into maps that begin at x."""
    wide = rows.several(pixel, 4)
    m, one, two = o.value, terms[o.term], terms[o.term + o.n_terms - 1]
    size, step = m.width * LANES, two.stride_x
    whole = size // rows.lanes(wide) * rows.lanes(wide) if step == 1 else 0
    slope = o.slope if o.unit == LINEAR_PIECES else np.float32(1)
    for c in range(m.channels):
        a, b, has_second, other, a2, b2 = factors(o, one, two, memory, c)
        for row in range(m.height):
            i = one.maps + t * one.size + (c * m.height + row) * size
            j = (other * two.height + row * two.stride_y) * two.width * LANES
            j += two.maps + t * two.size
            to = x + (c * m.rows * m.columns + m.place + row * m.columns) * LANES
            at_ = memory, i, a, b, has_second, j, step, a2, b2, slope, to
            write_value(*at_, 0, whole, wide)
            write_value(*at_, whole, size, pixel)
            if o.unit != LINEAR_PIECES:
                smooth_value(o.unit, o.slope, memory, to, to + size, pixel)


@serial
def write_gradient(
    memory, i, a, b, has_second, j, step, a2, b2, unit, slope, e, mean, begin, end, tile
):
    """The gradient before the unit in place of that behind it, its sum, and that of its product
    with the first term less its mean.
    """
    s, q = rows.filled(np.float32(0), tile), rows.filled(np.float32(0), tile)
    for k in range(begin, end, rows.lanes(tile)):
        z = sum_of_terms(memory, i + k, a, b, has_second, j + step * k, a2, b2, tile)
        g = rows.load(memory, e + k, tile)
        if unit == LINEAR_PIECES:
            g = rows.either(rows.above(z, 0), g, rows.mul(g, slope))
        rows.store(memory, e + k, g)
        s, q = rows.add(s, g), rows.fma(g, rows.sub(rows.load(memory, i + k, tile), mean), q)
    return rows.total(s), rows.total(q)


@serial
def smooth_gradient(memory, i, a, b, has_second, j, step, a2, b2, unit, slope, e, size, tile):
    """As :func:`write_gradient`, for a smooth unit and without sums."""
    for k in range(0, size, rows.lanes(tile)):
        z = sum_of_terms(memory, i + k, a, b, has_second, j + step * k, a2, b2, tile)
        _, change = passes.smooth(unit, slope, z, tile)
        rows.store(memory, e + k, rows.mul(rows.load(memory, e + k, tile), change))


@serial
def pass_unit(o, terms, memory, t, e, pixel):
    """The gradient at the sum of the terms in place of that at the value, which begins at e; and
    the sums of the first term.
    """
    wide = rows.several(pixel, 4)
    m, one, two = o.value, terms[o.term], terms[o.term + o.n_terms - 1]
    step = two.stride_x
    is_strided = step > 1 or two.stride_y > 1
    n_rows, size = m.height, m.width * LANES
    if not is_strided:  # rows follow each other
        n_rows, size = 1, m.height * m.width * LANES
    whole = size // rows.lanes(wide) * rows.lanes(wide) if step == 1 else 0
    for c in range(m.channels):
        a, b, has_second, other, a2, b2 = factors(o, one, two, memory, c)
        mean = memory[one.mean + c]
        total = product = np.float32(0)
        for row in range(n_rows):
            i = (c * n_rows + row) * size
            j = (other * two.height + row * two.stride_y) * two.width * LANES
            j += two.maps + t * two.size
            at_ = memory, one.maps + t * one.size + i, a, b, has_second, j, step, a2, b2
            if o.unit != LINEAR_PIECES:
                smooth_gradient(*at_, o.unit, o.slope, e + i, size, pixel)
            of_row = *at_, o.unit, o.slope, e + i, mean
            s0, q0 = write_gradient(*of_row, 0, whole, wide)
            s1, q1 = write_gradient(*of_row, whole, size, pixel)
            total += s0 + s1
            product += q0 + q1
        place = one.sums + 2 * t * one.channels + c
        memory[place] += total
        memory[place + one.channels] += product


@serial
def add_gradient(memory, e, to, i, step, mean, begin, end, adds, wants_sums, tile):
    """Numbers of a gradient to a term, where there is one already or not; if they are wanted, their
    sums as in :func:`write_gradient`.
    """
    s, q = rows.filled(np.float32(0), tile), rows.filled(np.float32(0), tile)
    for k in range(begin, end, rows.lanes(tile)):
        g = rows.load(memory, e + k, tile)
        if wants_sums:
            s = rows.add(s, g)
            q = rows.fma(g, rows.sub(rows.load(memory, i + step * k, tile), mean), q)
        if adds:
            g = rows.add(g, rows.load(memory, to + step * k, tile))
        rows.store(memory, to + step * k, g)
    return rows.total(s), rows.total(q)


@serial
def hand_gradient(o, term, memory, t, e, pixel):
    """The gradient at the sum, which begins at e, to that of a term; and its sums, if it wants
    them.
    """
    wide = rows.several(pixel, 4)
    m, wants_sums = o.value, term.wants_sums != 0
    size, step = m.width * LANES, term.stride_x
    target = term.gradient + t * term.size
    is_part = step > 1 or term.stride_y > 1 or term.height > m.height
    if is_part and not term.adds:
        memory[target : target + term.channels * term.height * term.width * LANES] = 0
    whole = size // rows.lanes(wide) * rows.lanes(wide) if step == 1 else 0
    adds = term.adds != 0 or is_part
    for c in range(term.channels):
        total = product = np.float32(0)
        mean = memory[term.mean + c]
        for row in range(m.height):
            i = ((c + term.first) * m.height + row) * size
            place = (c * term.height + row * term.stride_y) * term.width * LANES
            of_row = memory, e + i, target + place, term.maps + t * term.size + place, step, mean
            s0, q0 = add_gradient(*of_row, 0, whole, adds, wants_sums, wide)
            s1, q1 = add_gradient(*of_row, whole, size, adds, wants_sums, pixel)
            total += s0 + s1
            product += q0 + q1
        if wants_sums:
            at_ = term.sums + 2 * t * term.channels + c
            memory[at_] += total
            memory[at_ + term.channels] += product


# -------------------------------------------------------------------------- normalisation


@serial
def add_moments(o, memory, t, n_valid, pixel):
    """Of each output map of a tile the mean, and the sum of the squares of what differs from it."""
    wide = rows.several(pixel, 4)
    m = o.shape.y
    size = m.height * m.width * LANES
    for c in range(m.channels):
        place = o.maps + t * o.size + c * size
        if n_valid == LANES:
            mean, squares = moments(memory, place, size, LANES, wide, pixel)
        else:
            mean, squares = moments(memory, place, size, n_valid, pixel, pixel)
        at_ = o.moments + 2 * t * m.channels + c
        memory[at_], memory[at_ + m.channels] = mean, squares


@formula
def lanes_with(x, n_valid, tile):
    """Numbers of pixels, 0 in lanes without an example; a wide tile has all examples."""
    return x if rows.lanes(tile) > LANES else rows.where(rows.first(n_valid, tile), x)


@serial
def moments(memory, place, size, n_valid, wide, pixel):
    whole = size // rows.lanes(wide) * rows.lanes(wide)
    n = size // LANES * n_valid
    s = rows.filled(np.float32(0), wide)
    for k in range(place, place + whole, rows.lanes(wide)):
        s = rows.add(s, lanes_with(rows.load(memory, k, wide), n_valid, wide))
    total = rows.total(s)
    for k in range(place + whole, place + size, LANES):
        total += rows.total(lanes_with(rows.load(memory, k, pixel), n_valid, pixel))
    mean = total / np.float32(n)
    s = rows.filled(np.float32(0), wide)
    for k in range(place, place + whole, rows.lanes(wide)):
        d = lanes_with(rows.sub(rows.load(memory, k, wide), mean), n_valid, wide)
        s = rows.fma(d, d, s)
    squares = rows.total(s)
    for k in range(place + whole, place + size, LANES):
        d = lanes_with(rows.sub(rows.load(memory, k, pixel), mean), n_valid, pixel)
        squares += rows.total(rows.mul(d, d))
    return mean, squares


@serial
def write_affine(o, memory, c, mean, variance):
    """Factor and constant of a channel's normalisation by this mean and this variance."""
    n = o.shape.y.channels
    deviation = np.sqrt(variance + o.epsilon)
    factor = (at(o.gamma, ZERO, n)[c] if o.gamma else np.float32(1)) / deviation
    beta = at(o.beta, ZERO, n)[c] if o.beta else ZERO
    at(o.deviations, 0.0, n)[c] = deviation
    memory[o.mean + c] = mean
    memory[o.affine + c], memory[o.affine + n + c] = factor, beta - mean * factor


@serial
def take_running_numbers(o, memory):
    """Normalise by the mean and the variance that were kept."""
    n = o.shape.y.channels
    for c in range(n):
        mean, variance = at(o.running_mean, ZERO, n)[c], at(o.running_variance, ZERO, n)[c]
        write_affine(o, memory, c, np.float64(mean), np.float64(variance))


@serial
def take_statistics(o, memory, width):
    """Normalise by the mean and the variance of each channel over the batch, from those of its
    tiles; the running ones follow. Source: [Ioffe2015].
    """
    channels, n_pixels = o.shape.y.channels, o.shape.y.height * o.shape.y.width
    n, n_tiles = width * n_pixels, -(-width // LANES)
    for c in range(channels):
        mean = variance = 0.0
        for t in range(n_tiles):
            count = min(LANES, width - LANES * t) * n_pixels
            mean += count * np.float64(memory[o.moments + 2 * t * channels + c])
        mean /= n
        for t in range(n_tiles):
            count = min(LANES, width - LANES * t) * n_pixels
            place = o.moments + 2 * t * channels + c
            variance += memory[place + channels] + count * (memory[place] - mean) ** 2
        variance /= n
        write_affine(o, memory, c, mean, variance)
        if o.share > 0:
            kept = at(o.running_mean, ZERO, channels)
            kept[c] += o.share * (mean - kept[c])
            kept = at(o.running_variance, ZERO, channels)
            kept[c] += o.share * (variance * n / (n - 1) - kept[c])


@serial
def sums_of(o, memory, c, n_tiles):
    """Over the batch, of a channel's gradient behind the normalisation; and of its product with
    what was normalised, less its mean.
    """
    n, total, product = o.shape.y.channels, 0.0, 0.0
    for t in range(n_tiles):
        place = o.sums + 2 * t * n + c
        total += memory[place]
        product += memory[place + n]
    return total, product


@serial
def take_sums(o, memory, width):
    r"""What makes the gradient before a normalisation of that behind it: a g + p y + q.

    .. math:: p = -\frac{a}{n} \frac{\sum g (y - \mu)}{\sigma^2 + \epsilon}, \qquad
        q = -\frac{a}{n} \sum g - p \mu

    By running numbers p and q are 0. Source: [Ioffe2015].
    """
    channels = o.shape.y.channels
    n, n_tiles = width * o.shape.y.height * o.shape.y.width, -(-width // LANES)
    for c in range(channels):
        a, p, q = np.float64(memory[o.affine + c]), 0.0, 0.0
        if o.moments != NONE:
            total, product = sums_of(o, memory, c, n_tiles)
            p = -a / n * product / at(o.deviations, 0.0, channels)[c] ** 2
            q = -a / n * total - p * memory[o.mean + c]
        place = o.normal + c
        memory[place], memory[place + channels], memory[place + 2 * channels] = a, p, q


@serial
def write_gradients(o, memory, n_tiles):
    """Gradients of the bias of a convolution and of its normalisation."""
    n = o.shape.y.channels
    for c in range(n):
        total, product = sums_of(o, memory, c, n_tiles)
        if o.grad_gamma:
            at(o.grad_gamma, ZERO, n)[c] = product / at(o.deviations, 0.0, n)[c]
        if o.grad_beta:
            at(o.grad_beta, ZERO, n)[c] = total
        if o.grad_bias:
            of_bias = total * memory[o.affine + c]  # the factor is 1 without a normalisation
            if o.moments != NONE:  # which takes off whatever all pixels have in common
                of_bias = 0.0
            at(o.grad_bias, ZERO, n)[c] = of_bias


@serial
def write_normal(memory, e, y, a, p, q, has_norm, to, n_valid, begin, end, tile):
    """a e + p y + q, or e."""
    for k in range(begin, end, rows.lanes(tile)):
        g = rows.load(memory, e + k, tile)
        if has_norm:
            own = rows.fma(p, rows.load(memory, y + k, tile), rows.filled(q, tile))
            g = lanes_with(rows.fma(a, g, own), n_valid, tile)
        rows.store(memory, to + k, g)


@serial
def make_output_gradient(o, memory, t, n_valid, g, pixel):
    """The gradient at the output of a convolution, through its normalisation, within a border."""
    wide = rows.several(pixel, 4)
    m, inner = o.shape.g, o.shape.y
    size = inner.width * LANES
    is_whole = n_valid == LANES
    whole = size // rows.lanes(wide) * rows.lanes(wide) if is_whole else 0
    for c in range(m.channels):
        a, p, q = np.float32(1), np.float32(0), np.float32(0)
        if o.has_norm:
            a, p = memory[o.normal + c], memory[o.normal + m.channels + c]
            q = memory[o.normal + 2 * m.channels + c]
        for row in range(inner.height):
            i = t * o.size + (c * inner.height + row) * size
            to = g + (c * m.rows * m.columns + m.place + row * m.columns) * LANES
            of_row = memory, o.gradient + i, o.maps + i, a, p, q, o.has_norm, to, n_valid
            write_normal(*of_row, 0, whole, wide)
            write_normal(*of_row, whole, size, pixel)


# --------------------------------------------------------------------------------- pooling


@formula
def window_of(o, row, column):
    """First and last rows and columns of the value that a pixel of the output pools."""
    y, x = row * o.shape.run.stride_y - o.top, column * o.shape.run.stride_x - o.left
    end_y, end_x = min(y + o.kernel_y, o.value.height), min(x + o.kernel_x, o.value.width)
    return max(y, 0), end_y, max(x, 0), end_x


@serial
def pool(o, memory, t, x, pixel):
    """Maxima or means over windows of the value at x, into the maps of the operation."""
    m, out = o.value, o.shape.y
    for c in range(m.channels):
        for row in range(out.height):
            for column in range(out.width):
                top, bottom, left, right = window_of(o, row, column)
                first = x + ((c * m.height + top) * m.width + left) * LANES
                y = rows.load(memory, first, pixel)
                if o.kind == MEAN:
                    y = rows.filled(np.float32(0), pixel)
                for i in range(top, bottom):
                    for j in range(left, right):
                        at_ = x + ((c * m.height + i) * m.width + j) * LANES
                        value = rows.load(memory, at_, pixel)
                        if o.kind == MAX:
                            y = rows.either(rows.at_least(rows.sub(value, y), 0), value, y)
                        else:
                            y = rows.add(y, value)
                if o.kind == MEAN:
                    y = rows.mul(y, np.float32(1 / (o.kernel_y * o.kernel_x)))
                place = o.maps + t * o.size + ((c * out.height + row) * out.width + column) * LANES
                rows.store(memory, place, y)


@serial
def pool_gradient(o, memory, t, x, e, pixel):
    """The gradient at the value at x, added to what is at e; that of a maximum goes to the first
    number that is as large.
    """
    m, out = o.value, o.shape.y
    share = np.float32(1 / (o.kernel_y * o.kernel_x))
    for c in range(m.channels):
        for row in range(out.height):
            for column in range(out.width):
                top, bottom, left, right = window_of(o, row, column)
                place = t * o.size + ((c * out.height + row) * out.width + column) * LANES
                g = rows.load(memory, o.gradient + place, pixel)
                largest = rows.load(memory, o.maps + place, pixel)
                for i in range(top, bottom):
                    for j in range(left, right):
                        at_ = ((c * m.height + i) * m.width + j) * LANES
                        own = rows.mul(g, share)
                        if o.kind == MAX:
                            less = rows.sub(rows.load(memory, x + at_, pixel), largest)
                            own = rows.where(rows.at_least(less, 0), g)
                            g = rows.sub(g, own)
                        rows.store(
                            memory, e + at_, rows.add(rows.load(memory, e + at_, pixel), own)
                        )


# ------------------------------------------------------------------------- the operations


@serial
def index_of(o, index):
    """Index of a convolution in the order of a pass, and room for its weights in this order."""
    first = at(index.first, np.uint64(0), index.n_first)
    offset = at(index.offset, np.int32(0), o.n_links)
    ordered = at(index.ordered, np.float32(0), o.n_links)
    return Index(first, offset, at(index.perm, INDEX, o.n_links)), ordered


@serial
def order_weights(ops, is_backward, part, n_parts):
    for i in range(len(ops)):
        o = ops[i]
        if o.kind == CONVOLUTION:
            values = at(o.values, ZERO, o.n_links)
            index, ordered = index_of(o, o.backward if is_backward else o.forward)
            begin, end = part_of(part, n_parts, o.n_links)
            for k in range(begin, end):
                ordered[k] = values[index.perm[k]]


@serial
def add_up_links(ops, memory, n_tiles, part, n_parts):
    """Gradients of links: sums of the tiles, in their order."""
    for i in range(len(ops)):
        o = ops[i]
        if o.grad_values:
            grad = at(o.grad_values, ZERO, o.n_links)
            index, _ = index_of(o, o.backward)
            begin, end = part_of(part, n_parts, o.n_links)
            for k in range(begin, end):
                whole = memory[o.links + k]
                for t in range(1, n_tiles):
                    whole += memory[o.links + t * o.links_size + k]
                grad[index.perm[k]] = whole


@serial
def run_forward(o, terms, memory, images, outputs, t, slot, n_valid, tile):
    """An operation on tile t."""
    maps = o.maps + t * o.size
    if o.kind == INPUT:
        move_maps(images, t * LANES, n_valid, memory[maps:], o.shape.y, False, LANES)
        return
    if o.kind == OUTPUT:
        term = terms[o.term]
        own = memory[term.maps + t * term.size :]
        move_maps(outputs, t * LANES, n_valid, own, o.value, True, LANES)
        return
    x = maps if o.kind == KEEP else o.x + slot * o.x_size
    make_value(o, terms, memory, t, x, tile)
    if o.kind == CONVOLUTION:
        index, ordered = index_of(o, o.forward)
        bias = at(o.bias, np.float32(0), o.shape.y.channels)
        given = o.shape, memory[x:], memory[maps:], index, ordered, bias
        if o.shape.run.stride_x == 1:
            forward_tile(*given, tile)
        else:
            forward_tile(*given, rows.every_second(tile))
        if o.moments != NONE:
            add_moments(o, memory, t, n_valid, tile)
    elif o.kind != KEEP:
        pool(o, memory, t, x, tile)


@serial
def convolve_backward(o, memory, t, slot, x, e, n_valid, tile):
    """Gradients of the links, and at the value, which begins at e."""
    run, g = o.shape.run, o.g + slot * o.g_size
    make_output_gradient(o, memory, t, n_valid, g, tile)
    index, ordered = index_of(o, o.backward)
    sums = memory[o.links + t * o.links_size : o.links + (t + 1) * o.links_size]
    sums[:] = 0
    d = memory[o.d + slot * o.d_size : o.d + (slot + 1) * o.d_size]
    given = memory[x:], memory[e:], memory[g:], index, ordered, d, sums
    for group in range(run.n_out_groups):
        begins = group == 0 and o.adds == 0
        for top in range(0, o.value.height, run.band):
            where = group, top, min(top + run.band, o.value.height), begins
            if run.stride_x == 1:
                backward_band(o.shape, *given, *where, tile)
            else:
                backward_band(o.shape, *given, *where, rows.every_second(tile))


@serial
def run_backward(o, terms, memory, grad_outputs, t, slot, n_valid, tile):
    """An operation on tile t, backwards."""
    if o.kind == INPUT:
        return
    e = o.value_gradient + (slot if o.is_shared else t) * o.value_size
    if o.kind == OUTPUT:
        move_maps(grad_outputs, t * LANES, n_valid, memory[e:], o.value, False, LANES)
        return
    if o.kind != KEEP:
        x = o.x + slot * o.x_size
        make_value(o, terms, memory, t, x, tile)
        if o.kind == CONVOLUTION:
            convolve_backward(o, memory, t, slot, x, e, n_valid, tile)
        else:
            if not o.adds:
                memory[e : e + o.value.channels * o.value.height * o.value.width * LANES] = 0
            pool_gradient(o, memory, t, x, e, tile)
    if o.passes_on:
        pass_unit(o, terms, memory, t, e, tile)
        for i in range(o.n_terms):
            term = terms[o.term + i]
            if term.gradient + t * term.size != e:
                hand_gradient(o, term, memory, t, e, tile)


@serial
def forward_part(ops, begin, end, terms, memory, images, outputs, width, slot, n_slots, tile):
    """Operations begin to end on the tiles of a slot, a tile after the other."""
    first, last = part_of(slot, n_slots, -(-width // LANES))
    for t in range(first, last):
        n_valid = min(LANES, width - t * LANES)
        for k in range(begin, end):
            given = memory, images, outputs, t, slot, n_valid, tile
            run_forward(ops[k], terms, *given)


@serial
def backward_part(ops, begin, end, terms, memory, grad_outputs, width, slot, n_slots, tile):
    """The same backwards, from the last operation to the first."""
    first, last = part_of(slot, n_slots, -(-width // LANES))
    for t in range(first, last):
        n_valid = min(LANES, width - t * LANES)
        for k in range(end - 1, begin - 1, -1):
            given = memory, grad_outputs, t, slot, n_valid, tile
            run_backward(ops[k], terms, *given)


def _signature(n_arrays):
    """Of a part of a pass with so many arrays besides the terms."""
    ops, terms = (numba.typeof(np.zeros(0, kind)) for kind in (OPERATION, TERM))
    numbers, n = (numba.float32[::1],) * n_arrays, numba.intp
    return numba.void(ops, n, n, terms, *numbers, n, n, n, numba.typeof(TILE))


FORWARD, BACKWARD = _signature(3), _signature(2)
call_forward, call_backward = called(lambda tile: FORWARD), called(lambda tile: BACKWARD)


@functools.cache
def parts():
    """Addresses of :func:`forward_part` and :func:`backward_part`."""
    return address_of(forward_part, FORWARD), address_of(backward_part, BACKWARD)


@parallel
def forward_pass(ops, regions, terms, memory, images, outputs, width, n_slots, address, tile):
    """A backbone on all tiles of a batch of ``width`` examples.

    Args:
        ops, terms: of OPERATION and TERM.
        regions: (n, 2) first and last of the operations that run on a tile one after the other,
            before the next tile; then come the normalisations.
        memory: float32, in which all places are.
        images, outputs: (B, C, H, W), flat, of the input and of the output.
        n_slots: how many tiles run at a time.
        address: of :func:`forward_part`.
    """
    for k in range(len(ops)):
        if ops[k].has_norm and ops[k].moments == NONE:
            take_running_numbers(ops[k], memory)
    for i in numba.prange(n_slots):
        order_weights(ops, False, np.int64(i), n_slots)
    for r in range(len(regions)):
        begin, end = regions[r]
        for i in numba.prange(n_slots):
            given = terms, memory, images, outputs, width, np.int64(i), n_slots
            call_forward(address, (ops, begin, end, *given, tile))
        for k in range(begin, end):
            if ops[k].moments != NONE:
                take_statistics(ops[k], memory, width)


@parallel
def backward_pass(ops, regions, terms, memory, grad_outputs, width, n_slots, address, tile):
    """The same operations backwards, from the last to the first; see :func:`forward_pass`. The
    gradients of parameters are written at their addresses.
    """
    n_tiles = -(-width // LANES)
    for k in range(len(ops)):
        o = ops[k]
        memory[o.sums : o.sums + 2 * n_tiles * o.shape.y.channels] = 0
    for i in numba.prange(n_slots):
        order_weights(ops, True, np.int64(i), n_slots)
    for r in range(len(regions)):
        begin, end = regions[r]
        for k in range(begin, end):
            if ops[k].has_norm:
                take_sums(ops[k], memory, width)
        for i in numba.prange(n_slots):
            given = terms, memory, grad_outputs, width, np.int64(i), n_slots
            call_backward(address, (ops, begin, end, *given, tile))
    for i in numba.prange(n_slots):
        add_up_links(ops, memory, n_tiles, np.int64(i), n_slots)
    for k in range(len(ops)):
        write_gradients(ops[k], memory, n_tiles)
