"""The links of a layer on one index layout: compressed rows, and the transposed index beside.

A link is also known by its *key*, row · n_in + col: one int64, so that a sorted vector of keys is
a set of links.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ._boundary import check_known, check_number, check_whole
from ._compiled import links

INDEX = torch.int32
MOST = torch.iinfo(INDEX).max  # what a number of links is at most, and a width below it
DRAWS = ("exact", "bernoulli", "with_replacement")


class _Index(NamedTuple):
    n_in: int
    n_out: int
    crow: Tensor  # (n_out + 1,) int32, first link of each output neuron
    col: Tensor  # (nnz,) int32, input neuron of each link
    tcrow: Tensor  # (n_in + 1,) int32
    trow: Tensor  # (nnz,) int32
    perm: Tensor  # (nnz,) int32


class Support(_Index):
    """The links of a layer: CSR over output neurons (compressed sparse rows, as in scipy.sparse),
    and the transposed index of the same links.

    Made and checked by :func:`make_support`; ``perm[k]`` is the position, in the order of the CSR,
    of the k-th link in the order of the transposed index.
    """

    def __getstate__(self) -> None:
        """A copy makes its own arrays, of its own memory."""

    @property
    def by_row(self) -> tuple:
        """``crow``, ``col`` and no order of the values, for the compiled kernels."""
        return self._memory.by_row

    @property
    def by_column(self) -> tuple:
        """``tcrow``, ``trow``, ``perm``; unsigned, as numba then looks for no negative index."""
        return self._memory.by_column

    @property
    def place(self) -> tuple:
        """Sizes and addresses of the arrays, the first fields of a compiled ``Place``."""
        return self._memory.place

    @property
    def _memory(self) -> "_Memory":
        """Made again where ``share_memory_`` has moved the arrays."""
        known = self.__dict__.get("_known")
        addresses = [tensor.data_ptr() for tensor in self[2:]]
        if known is None or known.addresses != addresses:
            known = self._known = _Memory(self, addresses)
        return known

    @property
    def nnz(self) -> int:
        """Number of links."""
        return self.col.numel()

    @property
    def row(self) -> Tensor:
        """(nnz,) int32, output neuron of each link."""
        device = self.crow.device
        rows = torch.arange(self.n_out, dtype=INDEX, device=device)
        degrees = self.crow.diff()
        return rows.repeat_interleave(degrees, output_size=self.nnz)

    @property
    def keys(self) -> Tensor:
        """(nnz,) int64, ascending: row · n_in + col, one number for each link."""
        return self.row.long() * self.n_in + self.col


class _Memory:
    """The memory of a support, as the compiled loops take it."""

    def __init__(self, support: Support, addresses: list[int]) -> None:
        n_in, n_out, *index = support
        self.addresses = addresses
        self.index = [tensor.to(INDEX).contiguous() for tensor in index]  # held: they may be copies
        crow, col, tcrow, trow, perm = [tensor.numpy().view(np.uint32) for tensor in self.index]
        self.by_row = crow, col, None
        self.by_column = tcrow, trow, perm
        self.place = n_in, n_out, len(col), *[tensor.data_ptr() for tensor in self.index]


def make_support(rows: Tensor, cols: Tensor, n_in: int, n_out: int) -> Support:
    """Return the checked support of the links (rows[k], cols[k]).

    Args:
        rows: (nnz,) integer, output neuron of each link, in [0, n_out).
        cols: (nnz,) integer, input neuron of each link, in [0, n_in).
        n_in, n_out: widths, at least 1.
    Returns: the support, on the device of ``rows``; links keep their order.
    Raises: ValueError if a width, a dtype, a shape, an index, the order (by row, then column) or a
        repeat is wrong.
    """
    _check_widths(n_in, n_out)
    if rows.ndim != 1 or rows.shape != cols.shape or len(rows) > MOST:
        shapes = f"rows {tuple(rows.shape)} and cols {tuple(cols.shape)}"
        raise ValueError(f"{shapes}: give two vectors of equal length")
    _check_indices("rows", rows, n_out)
    _check_indices("cols", cols, n_in)
    keys = rows.long() * n_in + cols.long()
    _check_order(keys, n_in)
    return _of_keys(keys, n_in, n_out)


def support_from_csr(crow: Tensor, col: Tensor, n_in: int, n_out: int) -> Support:
    """Support of compressed rows, as a state dict holds them; checked as by :func:`make_support`.

    Args:
        crow: (n_out + 1,) integer, where the links of each output neuron begin, and their number.
        col: (nnz,) integer, input neuron of each link.
        n_in, n_out: widths, at least 1.
    Raises: ValueError also if ``crow`` does not index ``col``.
    """
    n_links = crow.diff()
    fits = len(crow) == n_out + 1 and crow[0] == 0 and crow[-1] == len(col)
    if not fits or (n_links < 0).any():
        raise ValueError(f"crow does not index the {len(col)} links of col")
    rows = torch.arange(n_out, device=crow.device).repeat_interleave(n_links)
    return make_support(rows, col, n_in, n_out)


def support_from_keys(keys: Tensor, n_in: int, n_out: int) -> Support:
    """Support of the links with the given keys, (nnz,) int64, ascending; checked as by
    :func:`make_support`.
    """
    is_vector = keys.ndim == 1 and keys.dtype == torch.int64
    if is_vector and min(n_in, n_out) >= 1 and max(n_in, n_out) < MOST >= len(keys):
        if links.are_keys(keys.cpu().contiguous().numpy(), n_in * n_out):
            return _of_keys(keys, n_in, n_out)
    return make_support(keys // n_in, keys % n_in, n_in, n_out)  # which says what is wrong


@functools.lru_cache(maxsize=8)
def every_link(n_in: int, n_out: int, device: torch.device | None = None) -> Support:
    """The support of a layer with every link; the same one at the next calls."""
    return support_from_keys(torch.arange(n_in * n_out, device=device), n_in, n_out)


def _of_keys(keys: Tensor, n_in: int, n_out: int) -> Support:
    index = links.index_of_keys(keys.cpu().contiguous().numpy(), n_in, n_out)
    return Support(n_in, n_out, *[torch.from_numpy(array).to(keys.device) for array in index])


# ----------------------------------------------------------------------------------- checks


def _check_widths(n_in: int, n_out: int) -> None:
    for name, width in (("n_in", n_in), ("n_out", n_out)):
        check_whole(name, width, least=1, most=MOST - 1)


def _check_indices(name: str, index: Tensor, width: int) -> None:
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise ValueError(f"{name} has dtype {index.dtype}: give integers")
    if len(index) == 0:
        return
    for value in (int(index.min()), int(index.max())):
        if not 0 <= value < width:
            raise ValueError(f"{name} holds {value}, outside [0, {width})")


def _check_order(keys: Tensor, n_in: int) -> None:
    steps = keys.diff()
    repeated = (steps == 0).nonzero()
    if len(repeated):
        link = divmod(int(keys[repeated[0]]), n_in)
        raise ValueError(f"link {link} is repeated: give each link once")
    backward = (steps < 0).nonzero()
    if len(backward):
        k = int(backward[0]) + 1
        raise ValueError(f"link {k} is out of order: sort the links by row, then by column")


# -------------------------------------------------------------------------- random supports


def erdos_renyi_density(n_in: int, n_out: int, er_epsilon: float) -> float:
    r"""Probability of a link in the Erdős–Rényi start of SET, at most 1.

    .. math:: p = \min\left(1, \frac{\epsilon \, (n^k + n^{k-1})}{n^k \, n^{k-1}}\right)

    Source: [Mocanu2018] Eq. (1).

    Raises: ValueError if ``er_epsilon`` is not a positive number or a width is below 1.
    """
    _check_widths(n_in, n_out)
    check_number("er_epsilon", er_epsilon, "(0, inf)", "a positive one, as 20")
    n_links = er_epsilon * (n_in + n_out)
    return min(1.0, n_links / (n_in * n_out))


def random_support(
    n_in: int,
    n_out: int,
    density: float,
    *,
    generator: torch.Generator,
    draw: str = "exact",
) -> Support:
    """Erdős–Rényi support: links drawn uniformly among all n_in · n_out positions.

    Source: [Mocanu2018] Eq. (1) with :func:`erdos_renyi_density`.
    Departs: ``"exact"`` draws round(density · n_in · n_out) links without replacement;
    ``"bernoulli"`` is Eq. (1) to the letter (the count is binomial); ``"with_replacement"`` is the
    authors' SciPy code (repeats are lost, so there are fewer links).

    Args:
        n_in, n_out: widths.
        density: fraction of positions with a link, in (0, 1].
        generator: source of randomness, on the CPU.
        draw: ``"exact"``, ``"bernoulli"`` or ``"with_replacement"``.
    Returns: the support.
    Raises: ValueError if the density or the draw is out of range.
    """
    check_known("draw", draw, DRAWS)
    check_number("density", density, "(0, 1]")
    _check_widths(n_in, n_out)
    positions = n_in * n_out
    if draw == "exact":
        n = round(density * positions)
        keys = draw_free_keys(positions, n, generator=generator)
    elif draw == "bernoulli":
        count, chance = torch.tensor([positions, density], dtype=torch.float64)
        n = int(torch.binomial(count, chance, generator))
        keys = draw_free_keys(positions, n, generator=generator)
    else:
        n = math.floor(density * positions + 1e-6)  # 1e-6: a whole number stays whole
        drawn = torch.randint(positions, (n,), generator=generator, device=generator.device)
        keys = drawn.unique()
    return support_from_keys(keys, n_in, n_out)


def local_support(
    inputs: Sequence[int],
    outputs: Sequence[int],
    density: float,
    reach: float,
    *,
    generator: torch.Generator,
) -> Support:
    r"""Support of receptive fields: neurons lie on grids over an image, and every link joins two
    that are near. Links are drawn uniformly among all near pairs.

    .. math:: |y_i - y_j| \le r, \quad |x_i - x_j| \le r

    with the places (y, x) of output neuron i and input neuron j, in steps of the grid of inputs,
    and r the ``reach``; the square is cut off at the border of the image. The neurons of all
    channels at a place see all channels of the inputs. Neuron (c, y, x) has the number that
    flattening an image (channels, height, width) gives it. A grid of outputs of another height or
    width covers the same image.

    Args:
        inputs, outputs: channels, height and width of the two grids; their products are the widths
            of the layer.
        density: fraction of *all* positions with a link, in (0, 1];
            round(density · n_in · n_out) links are drawn, without replacement.
        reach: largest distance of a link along each side of the image, at least 0.
        generator: source of randomness, on the CPU.
    Returns: the support. Time and memory O(near pairs).
    Raises: ValueError if a size, the density or the reach is out of range, or there are fewer near
        pairs than links.

    Example:
        >>> near = local_support((3, 32, 32), (3, 32, 32), 0.01, 2, generator=torch.Generator())
        >>> near.nnz  # SparseLinear(3072, 3072, support=near)
        94372
    """
    check_number("density", density, "(0, 1]")
    for name, grid in (("inputs", inputs), ("outputs", outputs)):
        if len(grid) != 3 or min(grid) < 1:
            raise ValueError(f"{name} = {tuple(grid)}: give channels, height and width")
    check_number("reach", reach, "[0, inf]", "0 or a positive number")
    n_in, n_out = math.prod(inputs), math.prod(outputs)
    rows = cols = torch.zeros(1, dtype=torch.int64)
    for below, above, furthest in zip(inputs, outputs, (math.inf, reach, reach), strict=True):
        place = (torch.arange(above, dtype=torch.float64) + 0.5) * below / above - 0.5
        is_near = (torch.arange(below) - place[:, None]).abs() <= furthest
        output, input_ = is_near.nonzero(as_tuple=True)
        rows = (rows[:, None] * above + output).flatten()
        cols = (cols[:, None] * below + input_).flatten()
    keys = (rows * n_in + cols).sort().values
    n = round(density * n_in * n_out)
    if n > len(keys):
        raise ValueError(
            f"reach = {reach} leaves {len(keys)} positions for {n} links: give a larger reach or a"
            " lower density"
        )
    drawn = draw_free_keys(len(keys), n, generator=generator)
    return support_from_keys(keys[drawn], n_in, n_out)


def shared_out(
    total: float, weights: Mapping[str, float], most: Mapping[str, int]
) -> dict[str, float]:
    """A total in shares that are in proportion to weights, but none above its most.

    Args:
        total: at most the sum of ``most``.
        weights: positive.
        most: of each name of the weights.
    """
    full: set[str] = set()
    while True:
        left = total - sum(most[name] for name in full)
        sides = sum(weight for name, weight in weights.items() if name not in full)
        scale = left / sides if sides else 0.0
        beyond = {n for n in weights if n not in full and scale * weights[n] > most[n]}
        if not beyond:
            break
        full |= beyond
    return {n: float(most[n]) if n in full else scale * weights[n] for n in weights}


def whole_numbers(shares: Mapping[str, float]) -> dict[str, int]:
    """Shares as whole numbers of the same sum, rounded; those of the largest remainders go up."""
    numbers = {name: math.floor(share + 1e-9) for name, share in shares.items()}
    left = round(sum(shares.values())) - sum(numbers.values())
    for name in sorted(shares, key=lambda name: numbers[name] - shares[name])[:left]:
        numbers[name] += 1
    return numbers


def draw_free_keys(
    positions: int,
    n: int,
    *,
    generator: torch.Generator,
    occupied: Tensor | None = None,
) -> Tensor:
    """Draw ``n`` distinct keys, uniformly from range(positions) without the occupied ones.

    The random growth of [Mocanu2018], Algorithm 1.

    Args:
        positions: number of positions, n_in · n_out.
        n: number of keys.
        generator: source of randomness, on the CPU.
        occupied: (m,) int64, ascending, keys that are taken.
    Returns: (n,) int64, ascending. Time and memory O(n + m), whatever ``positions`` is.
    Raises: ValueError if fewer than ``n`` positions are free.
    """
    free = positions - (0 if occupied is None else len(occupied))
    if n > free:
        raise ValueError(
            f"{n} new links do not fit into the {free} free positions of a layer:"
            " lower the density or the drop fraction, or let dropped links come back"
        )
    if occupied is None:
        keys = _drawn_keys(positions, n, generator)
    else:
        seed = torch.empty((), dtype=torch.int64, device="cpu").random_(generator=generator)
        keys = links.draw_free(positions, n, occupied.numpy(), int(seed))
    return torch.from_numpy(keys)


def _drawn_keys(positions: int, n: int, generator: torch.Generator) -> np.ndarray:
    """``n`` distinct keys, ascending, by draws of torch alone: the start of a network of a seed
    stays what it was.
    """
    device = generator.device  # whatever torch's default is
    if 2 * n > positions:
        candidates = np.arange(positions)
    else:  # at least n, drawn with replacement until enough are distinct
        candidates = np.empty(0, np.int64)
        while len(candidates) < n:
            missing = n - len(candidates)
            n_draws = int(1.1 * missing * positions / positions) + 16  # in this order: so it rounds
            drawn = torch.randint(positions, (n_draws,), generator=generator, device=device).numpy()
            candidates = links.union(candidates, links.ascending(drawn, positions))
    order = torch.randperm(len(candidates), generator=generator, device=device)
    return links.ascending(candidates[order[:n].numpy()], positions)
