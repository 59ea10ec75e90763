r"""Which links a sparse layer has, and how they change: drop, then grow, between epochs.

One update rule: of the links of a layer a fraction :math:`\zeta` is dropped by a *drop rule* and
as many are grown by a *grow rule*; survivors keep weight and optimiser state, new links start at
zero (or as a variant asks) without momentum. SET drops the smallest weights of each sign and grows
at random; RigL drops by magnitude and grows where the gradient is largest. Cost and memory are
O(links).

Links are handled as *keys*, row · n_in + col, sorted: one int64 for each link.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib import links
from lib.growth import GROW_RULES, Site
from lib.layers import SparseLinear
from lib.names import check_known
from lib.support import support_from_keys

AVERAGE = "average"  # begins the names of averages of weights in the optimiser's state


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
    weights, magnitude = _weights(values)
    is_dropped = weights == 0
    for is_of_sign in (weights > 0, weights < 0):
        links.mark_smallest_(magnitude, is_of_sign, float(fraction), is_dropped)
    return torch.from_numpy(is_dropped).to(values.device)


def drop_magnitude(values: Tensor, fraction: float, *, generator: torch.Generator) -> Tensor:
    """RigL: drop the weights of smallest magnitude, ⌊ζ·n⌋ of the non-zero ones, and exact zeros
    first.

    Source: [Evci2020], Section 3 (drop criterion). Arguments and result as in
    :func:`drop_per_sign`.
    """
    weights, magnitude = _weights(values)
    is_dropped = weights == 0
    links.mark_smallest_(magnitude, ~is_dropped, float(fraction), is_dropped)
    return torch.from_numpy(is_dropped).to(values.device)


def drop_largest(values: Tensor, fraction: float, *, generator: torch.Generator) -> Tensor:
    """Control: drop the ⌊ζ·nnz⌋ weights of largest magnitude.

    Source: [Mocanu2018], Discussion. Arguments and result as in :func:`drop_per_sign`.
    """
    _, magnitude = _weights(values)
    every_link = np.ones(len(magnitude), bool)
    is_dropped = ~every_link
    links.mark_smallest_(~magnitude, every_link, float(fraction), is_dropped)
    return torch.from_numpy(is_dropped).to(values.device)


def drop_random(values: Tensor, fraction: float, *, generator: torch.Generator) -> Tensor:
    """Control: drop ⌊ζ·nnz⌋ links at random.

    Source: [Mocanu2018], Discussion. Arguments and result as in :func:`drop_per_sign`.
    """
    n = math.floor(fraction * len(values) + 1e-9)  # 1e-9: a whole number stays whole
    seed = torch.empty((), dtype=torch.int64).random_(generator=generator)
    is_dropped = np.zeros(len(values), bool)
    is_dropped[links.draw_distinct(n, len(values), int(seed))] = True
    return torch.from_numpy(is_dropped).to(values.device)


def _weights(values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The weights on the CPU, and the bits of their magnitudes, which are in the same order."""
    weights = values.detach().cpu()
    if weights.dtype not in (torch.float32, torch.float64):
        weights = weights.float()
    weights = weights.numpy()
    bits = f"u{weights.itemsize}"
    return weights, np.abs(weights).view(bits)


DropRule = Callable[..., Tensor]  # (values, fraction, generator=) -> (nnz,) bool
GrowRule = Callable[..., Tensor]  # (site, n, generator=) -> (n,) int64
DROP_RULES: dict[str, DropRule] = {
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
        drop: ``"sign"`` (SET), ``"magnitude"``, ``"largest"`` or ``"random"``; or a function of
            your own with the arguments and result of :func:`drop_per_sign`.
        grow: ``"random"`` (SET), ``"gradient"`` (RigL), ``"preferential"`` (attachment) or
            ``"ch3_l3"`` (Cannistraci-Hebb); or a function of your own with those of
            :func:`lib.growth.grow_random`. It gets inputs and gradients of the layer if it has the
            attribute ``needs_gradient = True``.
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

    drop: str | DropRule = "sign"
    grow: str | GrowRule = "random"
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
        if not callable(self.drop):
            check_known("drop", self.drop, DROP_RULES)
        if not callable(self.grow):
            check_known("grow", self.grow, GROW_RULES)
        check_known("decay", self.decay, ("constant", "cosine"))
        check_known("last_epoch", self.last_epoch, ("remove", "evolve", "keep"))
        if not 0 <= self.new_std < math.inf:
            raise ValueError(f"new_std = {self.new_std} is out of range: give 0 or a positive one")
        if self.gradient_batches < 1:
            raise ValueError(
                f"gradient_batches = {self.gradient_batches} is out of range: give at least 1"
            )

    @property
    def needs_gradient(self) -> bool:
        """Whether the grow rule asks for what the layers saw."""
        return self.grow == "gradient" or getattr(self.grow, "needs_gradient", False)

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
    Raises: ValueError if there is no room for the new links, or the grow rule gives keys that are
        taken, not ascending or not as many as were dropped.
    """
    keys, origin = _survivors(layer, evolution, fraction, generator)
    n = layer.nnz - len(keys)
    kept_keys = occupied = torch.from_numpy(keys)
    if not evolution.regrow_dropped:
        occupied = layer.support.keys.cpu()
    n_in, n_out = layer.support.n_in, layer.support.n_out
    site = Site(n_in, n_out, occupied, x=x, grad_y=grad_y, kept_keys=kept_keys)
    grow = evolution.grow if callable(evolution.grow) else GROW_RULES[evolution.grow]
    grown = grow(site, n, generator=generator).cpu().numpy()
    if len(grown) != n:
        name = getattr(evolution.grow, "__name__", evolution.grow)
        raise ValueError(f"growth by {name} gave {len(grown)} keys: {n} are needed")
    keys, origin, new = links.merge(keys, origin, grown)
    start = torch.zeros(n)
    if evolution.new_std > 0:
        start = evolution.new_std * torch.randn(n, generator=generator, dtype=torch.float64)
    _replace_(layer, keys, origin, new, start, optimiser)
    if evolution.reset_state:
        _reset_state_(layer, optimiser)
    return n


def evolve_layers_(
    layers: Mapping[str, SparseLinear],
    evolution: Evolution,
    epoch: int,
    epochs: int,
    *,
    generator: torch.Generator,
    optimiser: torch.optim.Optimizer | None = None,
    seen: Mapping[str, dict[str, Tensor]] | None = None,
) -> int:
    """Update the links of all layers of a network, one after the other, by :func:`evolve_`.

    Args:
        layers: by name, changed in place.
        evolution: the rules.
        epoch, epochs: when: after that epoch, from 1, of so many; or step.
        generator, optimiser: as in :func:`evolve_`.
        seen: of each layer, what :meth:`lib.watch.Watch.seen` says, where a rule asks for it.
    Returns: number of links dropped in all.
    """
    fraction = evolution.fraction_at_epoch(epoch, epochs)
    how = {"fraction": fraction, "generator": generator, "optimiser": optimiser}
    n_replaced = 0
    for name, layer in layers.items():
        n_replaced += evolve_(layer, evolution, **how, **(seen or {}).get(name, {}))
    return n_replaced


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
    keys, origin = _survivors(layer, evolution, fraction, generator)
    n = layer.nnz - len(keys)
    none = np.empty(0, np.int64)
    _replace_(layer, keys, origin, none, torch.zeros(0), optimiser)
    return n


def _survivors(
    layer: SparseLinear,
    evolution: Evolution,
    fraction: float,
    generator: torch.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the links that stay, and their places among all."""
    if not 0 <= fraction < 1:
        raise ValueError(f"drop fraction {fraction} is out of range: give one in [0, 1)")
    drop = evolution.drop if callable(evolution.drop) else DROP_RULES[evolution.drop]
    is_dropped = drop(layer.values.detach(), fraction, generator=generator).cpu().numpy()
    if is_dropped.shape != (layer.nnz,) or is_dropped.dtype != bool:
        name = getattr(evolution.drop, "__name__", evolution.drop)
        raise ValueError(
            f"drop rule {name} gave {is_dropped.dtype} of shape {is_dropped.shape}: bool of shape"
            f" ({layer.nnz},) is needed, True where a link is dropped"
        )
    crow, col = layer.support.crow.cpu().numpy(), layer.support.col.cpu().numpy()
    return links.kept_links(crow, col, layer.support.n_in, is_dropped)


def _replace_(
    layer: SparseLinear,
    keys: np.ndarray,
    origin: np.ndarray,
    new: np.ndarray,
    start: Tensor,
    optimiser: torch.optim.Optimizer | None,
) -> None:
    """Give ``layer`` the links ``keys``; link k continues old link origin[k], but the links ``new``
    start at ``start``, without state.
    """
    values = layer.values.detach()
    keys, origin, new = [torch.from_numpy(array).to(values.device) for array in (keys, origin, new)]
    layer.support = support_from_keys(keys, layer.support.n_in, layer.support.n_out)

    def moved(entry: Tensor, start: Tensor) -> Tensor:
        return entry.index_select(0, origin).index_copy_(0, new, start.to(entry))

    state = _state(layer, optimiser)
    for name, entry in state.items():
        if _has_one_number_a_link(entry, layer):
            is_average = name.startswith(AVERAGE)
            state[name] = moved(entry, start if is_average else torch.zeros_like(start))
    layer.replace_values_(moved(values, start))


def _reset_state_(layer: SparseLinear, optimiser: torch.optim.Optimizer | None) -> None:
    for name, entry in _state(layer, optimiser).items():
        if not name.startswith(AVERAGE) and _has_one_number_a_link(entry, layer):
            entry.zero_()


def _state(layer: SparseLinear, optimiser: torch.optim.Optimizer | None) -> dict[str, Any]:
    """What the optimiser remembers of the weights of ``layer``."""
    if optimiser is None:
        return {}
    return optimiser.state.get(layer.values, {})


def _has_one_number_a_link(entry: Any, layer: SparseLinear) -> bool:
    return torch.is_tensor(entry) and entry.shape == layer.values.shape
