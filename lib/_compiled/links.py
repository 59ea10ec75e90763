"""Compiled loops over the links of a layer, for updates of them: which are the smallest, which
positions are free, and the index. All is O(links), without comparisons of pairs.

Links are *keys*, row · n_in + col, int64 and ascending, one after the other in one thread: results
depend on the arguments alone.
"""

import numpy as np

from .loops import cached

loop = cached(error_model="numpy", nogil=True)

DIGIT = 11  # bits of a number that are counted at a time: the counts stay in the cache
DIGITS = 2**DIGIT


@loop
def _digit(number, shift):
    """Digit of an unsigned number, from bit ``shift`` on."""
    return np.int64((number >> np.uint64(shift)) & np.uint64(DIGITS - 1))


# ------------------------------------------------------------------------------------ smallest


@loop
def mark_smallest_(scores, is_candidate, fraction, is_marked):
    """Mark the ⌊fraction · n⌋ smallest of the scores of the n candidates; of equals the earlier.

    Args:
        scores: (nnz,) uint32 or uint64.
        is_candidate, is_marked: (nnz,) bool.
        fraction: in [0, 1].
    """
    candidates, n = np.empty_like(scores), 0
    for k in range(len(scores)):
        candidates[n] = scores[k]
        n += is_candidate[k]
    n_marked = int(fraction * n + 1e-9)  # 1e-9: a whole number stays whole
    if n_marked == 0:
        return
    limit, n_equal = _nth_smallest(candidates[:n], n_marked)
    for k in range(len(scores)):
        is_marked[k] |= is_candidate[k] & (scores[k] < limit)
    k = 0
    while n_equal > 0:
        if is_candidate[k] and scores[k] == limit:
            is_marked[k] = True
            n_equal -= 1
        k += 1


@loop
def _nth_smallest(scores, n):
    """The n-th smallest score, from 1, and how many of its equals are among the n smallest.

    Counted digit by digit from the highest, among those that have the digits before; the scores are
    used up.
    """
    shift = 8 * scores.itemsize
    while shift > 0:
        shift = max(0, shift - DIGIT)
        counts = np.zeros(DIGITS, np.int64)
        for score in scores:
            counts[_digit(score, shift)] += 1
        digit = 0
        while n > counts[digit]:
            n -= counts[digit]
            digit += 1
        m = 0
        for score in scores:
            scores[m] = score
            m += _digit(score, shift) == digit
        scores = scores[:m]
    return scores[0], n


# --------------------------------------------------------------------------------- random keys


@loop
def _below(state, bound):
    """A random number in range(bound), and the next state; each number has the same chance.

    The remainder of a number of SplitMix64 [Steele2014], a hash of a counter; the largest numbers
    are left out, as they are fewer than the bound.
    """
    bound = np.uint64(bound)
    while True:
        state += np.uint64(0x9E3779B97F4A7C15)
        z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        remainder = z % bound
        if z - remainder <= np.uint64(0) - bound:  # 2⁶⁴ - bound
            return np.int64(remainder), state


@loop
def draw_distinct(n, positions, seed):
    """``n`` distinct numbers of range(positions), ascending; every such set has the same chance.

    Few of many are drawn with replacement and sorted, and repeats drawn again: as many at a time as
    are missing, so that none drawn is left out. Of few positions each in turn is taken with the
    chance of (numbers missing) / (positions left).

    Args:
        n: at most ``positions``.
        seed: int64.
    Returns: (n,) int64. Time and memory O(n).
    """
    state = np.uint64(seed)
    if positions < 4 * n:
        numbers, k = np.empty(n, np.int64), 0
        for position in range(positions):
            draw, state = _below(state, positions - position)
            if draw < n - k:
                numbers[k] = position
                k += 1
        return numbers
    numbers = np.empty(0, np.int64)
    while len(numbers) < n:
        drawn = np.empty(n - len(numbers), np.int64)
        for k in range(len(drawn)):
            drawn[k], state = _below(state, positions)
        numbers = union(numbers, ascending(drawn, positions))
    return numbers


@loop
def ascending(numbers, positions):
    """The numbers, of range(positions), ascending, by radix sort; may change the argument."""
    other = np.empty_like(numbers)
    shift = 0
    while (positions - 1) >> shift > 0:
        place = np.zeros(DIGITS + 1, np.int64)
        for number in numbers:
            place[_digit(np.uint64(number), shift) + 1] += 1
        for digit in range(DIGITS):
            place[digit + 1] += place[digit]
        for number in numbers:
            digit = _digit(np.uint64(number), shift)
            other[place[digit]] = number
            place[digit] += 1
        numbers, other = other, numbers
        shift += DIGIT
    return numbers


@loop
def union(first, second):
    """Two ascending vectors as one, ascending and without repeats."""
    together, n, i, j = np.empty(len(first) + len(second), np.int64), 0, 0, 0
    while i < len(first) or j < len(second):
        if j == len(second) or (i < len(first) and first[i] <= second[j]):
            number = first[i]
            i += 1
        else:
            number = second[j]
            j += 1
        if n == 0 or together[n - 1] < number:
            together[n] = number
            n += 1
    return together[:n]


@loop
def draw_free(positions, n, occupied, seed):
    """``n`` distinct keys of range(positions) without the occupied ones, ascending; every such set
    has the same chance.

    Drawn are places in the list of the free positions, which is not written down.
    """
    keys = draw_distinct(n, positions - len(occupied), seed)
    j = 0
    for k in range(n):
        while j < len(occupied) and occupied[j] - j <= keys[k]:
            j += 1
        keys[k] += j
    return keys


# -------------------------------------------------------------------------------- keys and index


@loop
def kept_links(crow, col, n_in, is_dropped):
    """Keys, int64, and places, int32, of the links that are not dropped."""
    keys, places, n = np.empty(len(col), np.int64), np.empty(len(col), np.int32), 0
    for row in range(len(crow) - 1):
        for k in range(crow[row], crow[row + 1]):
            keys[n], places[n] = row * n_in + col[k], k
            n += not is_dropped[k]
    return keys[:n], places[:n]


@loop
def merge(keys, places, grown):
    """Keys of links kept and grown together, ascending; the place of each among the old links,
    int32, 0 for those grown; and which links these are, int64.
    """
    n = len(keys) + len(grown)
    merged, origin = np.empty(n, np.int64), np.zeros(n, np.int32)
    new, i, j = np.empty(len(grown), np.int64), 0, 0
    while i < len(keys) and j < len(grown):
        is_new = grown[j] < keys[i]
        merged[i + j] = grown[j] if is_new else keys[i]
        origin[i + j] = 0 if is_new else places[i]
        new[j] = i + j
        i, j = i + (not is_new), j + is_new
    while j < len(grown):
        merged[i + j], new[j] = grown[j], i + j
        j += 1
    merged[i + j :], origin[i + j :] = keys[i:], places[i:]
    return merged, origin, new


@loop
def are_keys(keys, positions):
    """True if the keys are ascending, without repeats and in range(positions)."""
    if len(keys) == 0:
        return True
    is_ascending = True
    for k in range(1, len(keys)):
        is_ascending &= keys[k - 1] < keys[k]
    return is_ascending and keys[0] >= 0 and keys[-1] < positions


@loop
def index_of_keys(keys, n_in, n_out):
    """``crow``, ``col``, ``tcrow``, ``trow`` and ``perm`` of :class:`lib.support.Support`."""
    crow, col = np.zeros(n_out + 1, np.int32), np.empty(len(keys), np.int32)
    row, first = 0, 0  # and its first key
    for k in range(len(keys)):
        while keys[k] >= first + n_in:
            row, first = row + 1, first + n_in
            crow[row] = k
        col[k] = keys[k] - first
    crow[row + 1 :] = len(keys)
    tcrow, trow, perm = transposed_index(crow, col, n_in)
    return crow, col, tcrow, trow, perm


@loop
def transposed_index(crow, col, n_in):
    """``tcrow``, ``trow`` and ``perm`` of :class:`lib.support.Support`, by counting."""
    tcrow = np.zeros(n_in + 1, np.int32)
    for k in range(len(col)):
        tcrow[col[k] + 1] += 1
    for column in range(n_in):
        tcrow[column + 1] += tcrow[column]
    place, trow, perm = tcrow.copy(), np.empty_like(col), np.empty_like(col)
    for row in range(len(crow) - 1):
        for k in range(crow[row], crow[row + 1]):
            at = place[col[k]]
            trow[at], perm[at] = row, k
            place[col[k]] = at + 1
    return tcrow, trow, perm
