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
from typing import Any

import torch
from torch import Tensor

from lib.growth import GROW_RULES, Site
from lib.layers import SparseLinear
from lib.names import check_known
from lib.support import support_from_keys

AVERAGE = "average"  # of a weight, in the optimiser's state: it is of the network, not of the steps


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
    magnitude = values.abs()
    positive = _smallest(magnitude, values > 0, fraction)
    negative = _smallest(magnitude, values < 0, fraction)
    return (values == 0) | positive | negative


def drop_magnitude(values: Tensor, fraction: float, *, generator: torch.Generator) -> Tensor:
    """RigL: drop the weights of smallest magnitude, ⌊ζ·n⌋ of the non-zero ones, and exact zeros
    first.

    Source: [Evci2020], Section 3 (drop criterion). Arguments and result as in
    :func:`drop_per_sign`.
    """
    is_zero = values == 0
    return is_zero | _smallest(values.abs(), ~is_zero, fraction)


def drop_largest(values: Tensor, fraction: float, *, generator: torch.Generator) -> Tensor:
    """Control: drop the ⌊ζ·nnz⌋ weights of largest magnitude.

    Source: [Mocanu2018], Discussion. Arguments and result as in :func:`drop_per_sign`.
    """
    every_link = torch.ones_like(values, dtype=torch.bool)
    return _smallest(-values.abs(), every_link, fraction)


def drop_random(values: Tensor, fraction: float, *, generator: torch.Generator) -> Tensor:
    """Control: drop ⌊ζ·nnz⌋ links at random.

    Source: [Mocanu2018], Discussion. Arguments and result as in :func:`drop_per_sign`.
    """
    every_link = torch.ones_like(values, dtype=torch.bool)
    order = torch.randperm(len(values), generator=generator)
    return _smallest(order.to(values.device), every_link, fraction)


def _smallest(score: Tensor, eligible: Tensor, fraction: float) -> Tensor:
    """True at the ⌊fraction·n⌋ smallest scores among the n eligible; ties go to the earlier
    link.
    """
    candidates = eligible.nonzero().squeeze(1)
    n = math.floor(fraction * len(candidates) + 1e-9)  # 1e-9: a whole number stays whole
    order = score[candidates].sort(stable=True).indices
    is_smallest = torch.zeros_like(eligible)
    is_smallest[candidates[order[:n]]] = True
    return is_smallest


DROP_RULES: dict[str, Callable[..., Tensor]] = {
    "sign": drop_per_sign,
    "magnitude": drop_magnitude,
    "largest": drop_largest,
    "random": drop_random,
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
        check_known("drop", self.drop, DROP_RULES)
        check_known("grow", self.grow, GROW_RULES)
        check_known("decay", self.decay, ("constant", "cosine"))
        check_known("last_epoch", self.last_epoch, ("remove", "evolve", "keep"))
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
        cosine = math.cos(math.pi * epoch / epochs)
        return self.drop_fraction * (1 + cosine) / 2


def evolve_(
    layer: SparseLinear,
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
    kept, n = _survivors(layer, evolution, fraction, generator)
    keys = layer.support.keys
    occupied = keys
    if evolution.regrow_dropped:
        occupied = keys[kept]
    site = Site(
        layer.support.n_in,
        layer.support.n_out,
        occupied,
        x=x,
        grad_y=grad_y,
        kept_keys=keys[kept],
    )
    grow = GROW_RULES[evolution.grow]
    grown = grow(site, n, generator=generator).to(keys.device)
    merged, order = torch.cat([keys[kept], grown]).sort()
    no_origin = kept.new_full((n,), -1)
    origin = torch.cat([kept, no_origin])[order]
    noise = torch.randn(n, generator=generator, dtype=torch.float64)
    _replace_(layer, merged, origin, noise * evolution.new_std, optimiser)
    if evolution.reset_state:
        _reset_state_(layer, optimiser)
    return n


def remove_(
    layer: SparseLinear,
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
    kept, n = _survivors(layer, evolution, fraction, generator)
    keys = layer.support.keys[kept]
    none_grown = torch.empty(0, dtype=torch.float64)
    _replace_(layer, keys, kept, none_grown, optimiser)
    return n


def _survivors(
    layer: SparseLinear,
    evolution: Evolution,
    fraction: float,
    generator: torch.Generator,
) -> tuple[Tensor, int]:
    """Positions of the links that stay, and the number of those that go."""
    if not 0 <= fraction < 1:
        raise ValueError(f"drop fraction {fraction} is out of range: give one in [0, 1)")
    drop = DROP_RULES[evolution.drop]
    is_dropped = drop(layer.values.detach(), fraction, generator=generator)
    kept = (~is_dropped).nonzero().squeeze(1)
    return kept, int(is_dropped.sum())


def _replace_(
    layer: SparseLinear,
    keys: Tensor,
    origin: Tensor,
    start: Tensor,
    optimiser: torch.optim.Optimizer | None,
) -> None:
    """Give ``layer`` the links ``keys``; link k continues old link origin[k], or is new where that
    is -1, and starts at the next entry of ``start``.
    """
    support = layer.support
    layer.support = support_from_keys(keys, support.n_in, support.n_out)
    is_new = origin < 0
    source = origin.clamp(min=0)
    state = _state(layer, optimiser)
    for name, entry in state.items():
        if _has_one_number_a_link(entry, layer):
            state[name] = entry[source].masked_fill_(is_new, 0)
    values = layer.values.detach()[source]
    values[is_new] = start.to(values)
    if AVERAGE in state:
        state[AVERAGE][is_new] = start.to(values)
    layer.replace_values_(values)


def _reset_state_(layer: SparseLinear, optimiser: torch.optim.Optimizer | None) -> None:
    for name, entry in _state(layer, optimiser).items():
        if name != AVERAGE and _has_one_number_a_link(entry, layer):
            entry.zero_()


def _state(layer: SparseLinear, optimiser: torch.optim.Optimizer | None) -> dict[str, Any]:
    """What the optimiser remembers of the weights of ``layer``."""
    if optimiser is None:
        return {}
    return optimiser.state.get(layer.values, {})


def _has_one_number_a_link(entry: Any, layer: SparseLinear) -> bool:
    return torch.is_tensor(entry) and entry.shape == layer.values.shape
