r"""Which links a sparse layer has, and how they change: drop, then grow, between epochs.

One update rule: of the links of a layer a fraction :math:`\zeta` is dropped by a *drop rule* and
as many are grown by a *grow rule*; survivors keep weight and optimiser state, new links start at
zero (or as a variant asks) without momentum. SET drops the smallest weights of each sign and grows
at random; RigL drops by magnitude and grows where the gradient is largest. Cost and memory are
O(links).

Links are handled as *keys*, row · n_in + col, sorted: one int64 for each link.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lib import kernels
from lib.link_prediction import ch3_l3
from lib.names import check_known
from lib.support import Support, make_support

if TYPE_CHECKING:
    from lib.layers import SparseLinear

DENSE_BLOCK = 2**22  # scores of a layer's positions that growth holds at a time

# -------------------------------------------------------------------------- initial support


def erdos_renyi_density(n_in: int, n_out: int, er_epsilon: float) -> float:
    r"""Probability of a link in the Erdős–Rényi start of SET, at most 1.

    .. math:: p = \min\left(1, \frac{\epsilon \, (n^k + n^{k-1})}{n^k \, n^{k-1}}\right)

    Source: [Mocanu2018] Eq. (1).

    Raises: ValueError if ``er_epsilon`` is not a positive number or a width is below 1.
    """
    if min(n_in, n_out) < 1:
        raise ValueError(f"widths {n_in} and {n_out} are out of range: give widths of at least 1")
    if not 0 < er_epsilon < math.inf:
        raise ValueError(
            f"er_epsilon = {er_epsilon} is out of range: give a positive number, as 20"
        )
    return min(1.0, er_epsilon * (n_in + n_out) / (n_in * n_out))


def random_support(
    n_in: int, n_out: int, density: float, *, generator: torch.Generator, draw: str = "exact"
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
    if not 0 < density <= 1:
        raise ValueError(f"density = {density} is out of range: give a fraction in (0, 1]")
    positions = n_in * n_out
    if min(n_in, n_out) < 1:
        raise ValueError(f"widths {n_in} and {n_out} are out of range: give widths of at least 1")
    if draw == "exact":
        keys = draw_free_keys(positions, round(density * positions), generator=generator)
    elif draw == "bernoulli":
        n = torch.tensor(float(positions), dtype=torch.float64)
        p = torch.tensor(density, dtype=torch.float64)
        keys = draw_free_keys(positions, int(torch.binomial(n, p, generator)), generator=generator)
    elif draw == "with_replacement":
        n_draws = math.floor(density * positions + 1e-6)  # 1e-6: a whole number stays whole
        keys = torch.randint(positions, (n_draws,), generator=generator).unique()
    else:
        raise ValueError(f"draw {draw!r} is unknown: 'exact', 'bernoulli' or 'with_replacement'")
    return support_from_keys(keys, n_in, n_out)


def support_from_keys(keys: Tensor, n_in: int, n_out: int) -> Support:
    """Support of the links with the given keys, (nnz,) int64, ascending.

    Source: ours.
    """
    return make_support(keys // n_in, keys % n_in, n_in, n_out)


def draw_free_keys(
    positions: int, n: int, *, generator: torch.Generator, occupied: Tensor | None = None
) -> Tensor:
    """Draw ``n`` distinct keys, uniformly from range(positions) without the occupied ones.

    Source: ours; the random growth of [Mocanu2018], Algorithm 1.

    Args:
        positions: number of positions, n_in · n_out.
        n: number of keys.
        generator: source of randomness, on the CPU.
        occupied: (m,) int64, ascending, keys that are taken.
    Returns: (n,) int64, ascending. Memory O(n + m), whatever ``positions`` is.
    Raises: ValueError if fewer than ``n`` positions are free.
    """
    if occupied is None:
        occupied = torch.empty(0, dtype=torch.int64)
    free = positions - len(occupied)
    if n > free:
        raise ValueError(
            f"{n} new links do not fit into the {free} free positions of a layer: lower the density"
            " or the drop fraction, or let dropped links come back"
        )
    if 2 * (len(occupied) + n) > positions:  # crowded: list what is free
        is_free = torch.ones(positions, dtype=torch.bool).index_fill_(0, occupied, False)
        found = is_free.nonzero().squeeze(1)
    else:  # roomy: draw with replacement until enough distinct ones are found
        found = torch.empty(0, dtype=torch.int64)
        while len(found) < n:
            missing = int(1.1 * (n - len(found)) * positions / free) + 16
            drawn = torch.randint(positions, (missing,), generator=generator)
            found = torch.cat([found, drawn]).unique()
            found = found[~_contains(occupied, found)]
    chosen = torch.randperm(len(found), generator=generator)[:n]
    return found[chosen].sort().values


def _contains(sorted_keys: Tensor, keys: Tensor) -> Tensor:
    if not len(sorted_keys):
        return torch.zeros(len(keys), dtype=torch.bool)
    at = torch.searchsorted(sorted_keys, keys).clamp_(max=len(sorted_keys) - 1)
    return sorted_keys[at] == keys


# ------------------------------------------------------------------------------- drop rules


def drop_per_sign(values: Tensor, fraction: float, *, generator: torch.Generator) -> Tensor:
    r"""SET: drop the smallest positive and the largest negative weights, ⌊ζ·n_sign⌋ of each sign.

    Source: [Mocanu2018], Algorithm 1 and Methods.
    Departs: exact zeros (links that never learned) are dropped first, besides the fraction.

    Args:
        values: (nnz,) float, weights.
        fraction: :math:`\zeta`, in [0, 1).
        generator: not used; all drop rules have one signature.
    Returns: (nnz,) bool, True where the link is dropped.
    """
    score = values.abs()
    return (
        (values == 0)
        | _smallest(score, values > 0, fraction)
        | _smallest(score, values < 0, fraction)
    )


def drop_magnitude(values: Tensor, fraction: float, *, generator: torch.Generator) -> Tensor:
    """RigL: drop the weights of smallest magnitude, ⌊ζ·n⌋ of the non-zero ones, and exact zeros
    first.

    Source: [Evci2020], Section 3 (drop criterion). Arguments and result as in
    :func:`drop_per_sign`.
    """
    return (values == 0) | _smallest(values.abs(), values != 0, fraction)


def drop_largest(values: Tensor, fraction: float, *, generator: torch.Generator) -> Tensor:
    """Control: drop the ⌊ζ·nnz⌋ weights of largest magnitude.

    Source: [Mocanu2018], Discussion. Arguments and result as in :func:`drop_per_sign`.
    """
    return _smallest(-values.abs(), torch.ones_like(values, dtype=torch.bool), fraction)


def drop_random(values: Tensor, fraction: float, *, generator: torch.Generator) -> Tensor:
    """Control: drop ⌊ζ·nnz⌋ links at random.

    Source: [Mocanu2018], Discussion. Arguments and result as in :func:`drop_per_sign`.
    """
    order = torch.randperm(len(values), generator=generator).to(values.device)
    return _smallest(order, torch.ones_like(values, dtype=torch.bool), fraction)


def _smallest(score: Tensor, eligible: Tensor, fraction: float) -> Tensor:
    """True at the ⌊fraction·n⌋ smallest scores among the n eligible; ties go to the earlier
    link.
    """
    candidates = eligible.nonzero().squeeze(1)
    order = score[candidates].sort(stable=True).indices
    dropped = candidates[order[: math.floor(fraction * len(candidates) + 1e-9)]]
    return torch.zeros_like(eligible).index_fill_(0, dropped, True)


# ------------------------------------------------------------------------------- grow rules


@dataclass(frozen=True)
class Site:
    """Where links can grow: the layer's widths, the keys that are taken, and what its neurons saw.

    Source: ours. ``occupied`` are the keys where no link can grow, ``kept`` those of the links that
    the layer still has, the same unless links just dropped may not come back. ``x`` (n_in, B) and
    ``grad_y`` (n_out, B) are inputs of the layer and gradients at its output over a few batches;
    only growth by gradient needs them.
    """

    n_in: int
    n_out: int
    occupied: Tensor
    x: Tensor | None = None
    grad_y: Tensor | None = None
    kept: Tensor | None = None

    def support(self) -> Support:
        """The links that the layer still has."""
        keys = self.occupied if self.kept is None else self.kept
        return support_from_keys(keys, self.n_in, self.n_out)


def grow_random(site: Site, n: int, *, generator: torch.Generator) -> Tensor:
    """SET: ``n`` new links, uniformly among the free positions; (n,) int64 keys, ascending.

    Source: [Mocanu2018], Algorithm 1. Raises ValueError if they do not fit.
    """
    return draw_free_keys(
        site.n_in * site.n_out, n, generator=generator, occupied=site.occupied.cpu()
    )


def grow_gradient(site: Site, n: int, *, generator: torch.Generator) -> Tensor:
    r"""RigL: the ``n`` free positions of largest absolute gradient; (n,) int64 keys, ascending.

    .. math:: \left| \sum_b g_{i,b} \, x_{j,b} \right|

    Source: [Evci2020], Section 3 (grow criterion).
    Departs: the gradient is that of a few batches together; it is computed block by block of output
    neurons, never stored whole. Raises ValueError if the links do not fit or no gradient was
    collected.
    """
    if site.x is None or site.grad_y is None:
        raise ValueError(
            "growth by gradient needs the inputs and gradients of the layer: none given"
        )
    with kernels.one_thread():
        return _largest(site, n, lambda rows: (site.grad_y[rows] @ site.x.t()).abs_())[0]


def grow_preferential(site: Site, n: int, *, generator: torch.Generator) -> Tensor:
    r"""Preferential attachment: ``n`` free positions drawn one after the other without replacement,
    with chances in proportion to the links, plus one, that their two neurons have after the drop;
    (n,) int64 keys, ascending.

    .. math:: P(i, j) \propto (k_i + 1) \, (k_j + 1)

    with :math:`k_i, k_j` the links of output neuron i and input neuron j, the same during the draw.

    Source: suggested in [Mocanu2018], Discussion; the law of [Barabasi1999], for both ends of a
    link. Drawn by adding Gumbel noise to log P and taking the n largest [Yellott1977], block by
    block. Raises ValueError if the links do not fit.
    Departs: the one lets neurons without links come back.
    """
    support = site.support()
    log_out, log_in = (d.diff().add(1.0).log() for d in (support.crow, support.tcrow))

    def noisy(rows: slice) -> Tensor:
        log_p = log_out[rows, None] + log_in
        uniform = torch.rand(log_p.shape, generator=generator, dtype=torch.float64)
        return log_p - uniform.log_().neg_().log_().to(log_p)

    return _largest(site, n, noisy)[0]


def grow_ch3_l3(site: Site, n: int, *, generator: torch.Generator) -> Tensor:
    """Cannistraci-Hebb: the ``n`` free positions of largest CH3-L3 score, see
    :func:`lib.link_prediction.ch3_l3`; (n,) int64 keys, ascending.

    Source: [Zhang2024], epitopological growth. Positions without a path of length 3 score 0: where
    too few have one, the rest is drawn at random. Raises ValueError if the links do not fit.
    """
    support = site.support()
    keys, score = _largest(site, n, lambda rows: ch3_l3(support, rows.start, rows.stop))
    keys = keys[score > 0].cpu()
    taken = torch.cat([site.occupied.cpu(), keys]).sort().values
    rest = draw_free_keys(
        site.n_in * site.n_out, n - len(keys), generator=generator, occupied=taken
    )
    return torch.cat([keys, rest]).sort().values


def _largest(site: Site, n: int, score: Callable[[slice], Tensor]) -> tuple[Tensor, Tensor]:
    """Keys, ascending, and scores of the ``n`` free positions of largest score.

    ``score`` gives the scores (rows, n_in) of a block of output neurons; they are never stored
    whole. Raises ValueError if there are fewer free positions.
    """
    free = site.n_in * site.n_out - len(site.occupied)
    if n > free:
        raise ValueError(f"{n} new links do not fit into the {free} free positions of a layer")
    best, keys = None, site.occupied.new_empty(0)
    step = max(1, DENSE_BLOCK // site.n_in)
    for start in range(0, site.n_out, step):
        block = score(slice(start, min(start + step, site.n_out))).flatten()
        base = start * site.n_in
        first, last = torch.searchsorted(
            site.occupied, torch.tensor([base, base + len(block)], device=site.occupied.device)
        )
        block[site.occupied[first:last].to(block.device) - base] = -math.inf
        top = block.topk(min(n, len(block)))
        best = top.values if best is None else torch.cat([best, top.values])
        keys = torch.cat([keys.to(block.device), top.indices + base])
        best, kept = best.topk(min(n, len(best)))
        keys = keys[kept]
    keys, order = keys.sort()
    return keys, best[order]


# ------------------------------------------------------------------------------- the update

DROP_RULES: dict[str, Callable[..., Tensor]] = {
    "sign": drop_per_sign,
    "magnitude": drop_magnitude,
    "largest": drop_largest,
    "random": drop_random,
}
GROW_RULES: dict[str, Callable[..., Tensor]] = {
    "random": grow_random,
    "gradient": grow_gradient,
    "preferential": grow_preferential,
    "ch3_l3": grow_ch3_l3,
}


@dataclass(frozen=True)
class Evolution:
    r"""How the links of a network evolve. The defaults are SET; ``None`` in its place is a static
    support.

    Source: [Mocanu2018], Algorithm 1; [Evci2020] for ``drop="magnitude", grow="gradient"``.

    Args:
        drop: ``"sign"`` (SET), ``"magnitude"``, ``"largest"`` or ``"random"``.
        grow: ``"random"`` (SET), ``"gradient"`` (RigL), ``"preferential"`` (attachment) or
            ``"ch3_l3"`` (Cannistraci-Hebb).
        drop_fraction: :math:`\zeta`, in [0, 1).
        decay: ``"constant"``, or ``"cosine"``: the drop fraction falls to 0 over the epochs.
        new_std: standard deviation of the weight of a new link; 0: new links start at zero.
        regrow_dropped: whether a link just dropped may come back at once.
        reset_state: whether the optimiser state of all links is set to zero (the authors' Keras
            code).
        last_epoch: after the last epoch ``"remove"`` only (the paper), ``"evolve"`` or ``"keep"``.
        gradient_batches: batches over which growth by gradient sums.
    Raises: ValueError if a value is out of range.
    """

    drop: str = "sign"
    grow: str = "random"
    drop_fraction: float = 0.3
    decay: str = "constant"
    new_std: float = 0.0
    regrow_dropped: bool = True
    reset_state: bool = False
    last_epoch: str = "remove"
    gradient_batches: int = 8

    def __post_init__(self) -> None:
        if not 0 <= self.drop_fraction < 1:
            raise ValueError(
                f"drop_fraction = {self.drop_fraction} is out of range: give one in [0, 1)"
            )
        choices = {
            "drop": DROP_RULES,
            "grow": GROW_RULES,
            "decay": ("constant", "cosine"),
            "last_epoch": ("remove", "evolve", "keep"),
        }
        for name, known in choices.items():
            check_known(name, getattr(self, name), known)
        if not 0 <= self.new_std < math.inf:
            raise ValueError(f"new_std = {self.new_std} is out of range: give 0 or a positive one")
        if self.gradient_batches < 1:
            raise ValueError(
                f"gradient_batches = {self.gradient_batches} is out of range: give at least 1"
            )

    def fraction_at_epoch(self, epoch: int, epochs: int) -> float:
        r"""Drop fraction after epoch ``epoch`` (from 1) of ``epochs``.

        .. math:: \zeta_t = \tfrac{1}{2} \zeta \left(1 + \cos \frac{\pi t}{T}\right)

        for ``decay="cosine"``, :math:`\zeta` otherwise.

        Source: [Evci2020], Section 3 (update schedule).
        Departs: T is the end of training; there the updates stop before it.
        """
        if self.decay == "constant":
            return self.drop_fraction
        return self.drop_fraction * (1 + math.cos(math.pi * epoch / epochs)) / 2


def evolve_(
    layer: "SparseLinear",
    evolution: Evolution,
    *,
    fraction: float,
    generator: torch.Generator,
    optimiser: torch.optim.Optimizer | None = None,
    x: Tensor | None = None,
    grad_y: Tensor | None = None,
) -> int:
    """Drop a fraction of the links of ``layer`` and grow as many; return how many were replaced.

    Source: [Mocanu2018], Algorithm 1 (steps of the sparse layer after each epoch).

    Args:
        layer: the layer, changed in place.
        evolution: the rules.
        fraction: drop fraction of this update, in [0, 1).
        generator: source of randomness, on the CPU.
        optimiser: its state for the links moves with them; new links have none (zero).
        x, grad_y: (n_in, B), (n_out, B), needed by growth by gradient.
    Returns: number of links dropped, equal to the number grown.
    Raises: ValueError if there is no room for the new links.
    """
    support = layer.support
    keys = support.keys
    kept, n = _keep(layer, evolution, fraction, generator)
    occupied = keys[kept] if evolution.regrow_dropped else keys
    site = Site(support.n_in, support.n_out, occupied, x, grad_y, keys[kept])
    new = GROW_RULES[evolution.grow](site, n, generator=generator).to(keys.device)
    merged, order = torch.cat([keys[kept], new]).sort()
    origin = torch.cat([kept, kept.new_full((n,), -1)])[order]
    start = torch.randn(n, generator=generator, dtype=torch.float64) * evolution.new_std
    _replace_(layer, merged, origin, start, optimiser, evolution.reset_state)
    return n


def remove_(
    layer: "SparseLinear",
    evolution: Evolution,
    *,
    fraction: float,
    generator: torch.Generator,
    optimiser: torch.optim.Optimizer | None = None,
) -> int:
    """Drop a fraction of the links of ``layer`` and grow none; return how many were dropped.

    Source: [Mocanu2018], Methods ("the last weight removal step, without adding new random
    connections"). Arguments as in :func:`evolve_`.
    """
    kept, n = _keep(layer, evolution, fraction, generator)
    start = torch.empty(0, dtype=torch.float64)
    _replace_(layer, layer.support.keys[kept], kept, start, optimiser, False)
    return n


def _keep(
    layer: "SparseLinear", evolution: Evolution, fraction: float, generator: torch.Generator
) -> tuple[Tensor, int]:
    if not 0 <= fraction < 1:
        raise ValueError(f"drop fraction {fraction} is out of range: give one in [0, 1)")
    dropped = DROP_RULES[evolution.drop](layer.values.detach(), fraction, generator=generator)
    return (~dropped).nonzero().squeeze(1), int(dropped.sum())


def _replace_(
    layer: "SparseLinear",
    keys: Tensor,
    origin: Tensor,
    start: Tensor,
    optimiser: torch.optim.Optimizer | None,
    reset_state: bool,
) -> None:
    """Give ``layer`` the links ``keys``; link k continues old link origin[k], or is new where that
    is -1.
    """
    support = layer.support
    parameter = layer.values
    layer.support = support_from_keys(keys, support.n_in, support.n_out)
    is_new = origin < 0
    state = optimiser.state.get(parameter, {}) if optimiser else {}
    for name, old in state.items():
        if torch.is_tensor(old) and old.shape == parameter.shape:
            moved = old[origin.clamp(min=0)]
            state[name] = moved.zero_() if reset_state else moved.masked_fill_(is_new, 0)
    values = parameter.detach()[origin.clamp(min=0)]
    values[is_new] = start.to(values)
    layer.replace_values_(values)
