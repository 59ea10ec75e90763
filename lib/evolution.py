r"""Which links a sparse layer has, and how they change: drop, then grow, between epochs.

One update rule: of the links of a layer a fraction :math:`\zeta` is dropped by a *drop rule* and
as many are grown by a *grow rule*; survivors keep weight and optimiser state, new links start at
zero (or as a variant asks) without momentum. SET drops the smallest weights of each sign and grows
at random; RigL drops by magnitude and grows where the gradient is largest. Cost and memory are
O(links).

Links are handled as *keys*, row · n_in + col, sorted: one int64 for each link.
"""

import dis
import hashlib
import inspect
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from lib import links
from lib.growth import GROW_RULES, GrowRule, Site
from lib.layers import SparseLinear
from lib.names import check_known
from lib.support import support_from_keys

AVERAGE = "average"  # begins the names of averages of weights in the optimiser's state
LITERALS = (int, float, complex, str, bytes, type(None), tuple)


def drop_per_sign(site: Site | Tensor, fraction: float, *, generator: torch.Generator) -> Tensor:
    r"""SET: drop the smallest positive and the largest negative weights, ⌊ζ·n_sign⌋ of each sign.

    Source: [Mocanu2018], Algorithm 1 and Methods.
    Departs: exact zeros (links that never learned) are dropped first, besides the fraction.

    Args:
        site: the layer; or its weights alone, (nnz,) float.
        fraction: :math:`\zeta`, in [0, 1).
        generator: not used; all drop rules have one signature.
    Returns: (nnz,) bool, True where the link is dropped.
    """
    weights, magnitude = _weights(site)
    is_dropped = weights == 0
    for is_of_sign in (weights > 0, weights < 0):
        links.mark_smallest_(magnitude, is_of_sign, float(fraction), is_dropped)
    return torch.from_numpy(is_dropped)


def drop_magnitude(site: Site | Tensor, fraction: float, *, generator: torch.Generator) -> Tensor:
    """RigL: drop the weights of smallest magnitude, ⌊ζ·n⌋ of the non-zero ones, and exact zeros
    first.

    Source: [Evci2020], Section 3 (drop criterion). Arguments and result as in
    :func:`drop_per_sign`.
    """
    weights, magnitude = _weights(site)
    is_dropped = weights == 0
    links.mark_smallest_(magnitude, ~is_dropped, float(fraction), is_dropped)
    return torch.from_numpy(is_dropped)


def drop_largest(site: Site | Tensor, fraction: float, *, generator: torch.Generator) -> Tensor:
    """Control: drop the ⌊ζ·nnz⌋ weights of largest magnitude.

    Source: [Mocanu2018], Discussion. Arguments and result as in :func:`drop_per_sign`.
    """
    _, magnitude = _weights(site)
    every_link = np.ones(len(magnitude), bool)
    is_dropped = ~every_link
    links.mark_smallest_(~magnitude, every_link, float(fraction), is_dropped)
    return torch.from_numpy(is_dropped)


def drop_random(site: Site | Tensor, fraction: float, *, generator: torch.Generator) -> Tensor:
    """Control: drop ⌊ζ·nnz⌋ links at random.

    Source: [Mocanu2018], Discussion. Arguments and result as in :func:`drop_per_sign`.
    """
    nnz = len(_values(site))
    seed = torch.empty((), dtype=torch.int64).random_(generator=generator)
    is_dropped = np.zeros(nnz, bool)
    is_dropped[links.draw_distinct(_floor(fraction * nnz), nnz, int(seed))] = True
    return torch.from_numpy(is_dropped)


def _floor(number: float) -> int:
    return math.floor(number + 1e-9)  # 1e-9: a whole number stays whole


def _values(site: Site | Tensor) -> Tensor:
    return site if torch.is_tensor(site) else site.values


def _weights(site: Site | Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The weights on the CPU, and the bits of their magnitudes, which are in the same order."""
    weights = _values(site).detach().cpu()
    if weights.dtype not in (torch.float32, torch.float64):
        weights = weights.float()
    weights = weights.numpy()
    bits = f"u{weights.itemsize}"
    return weights, np.abs(weights).view(bits)


DropRule = Callable[..., Tensor]  # (site, fraction, generator=) -> (nnz,) bool
DROP_RULES: dict[str, DropRule] = {
    "sign": drop_per_sign,
    "magnitude": drop_magnitude,
    "largest": drop_largest,
    "random": drop_random,
}


class OwnRule(str):
    """A rule of your own as a run holds it: its name and a digest of its source, that can be called
    as the function it was made of. One that was read from a record is a plain string.
    """

    function: Callable[..., Tensor]

    @classmethod
    def of(cls, function: Callable[..., Tensor]) -> Self:
        """Name and digest of a function.

        The digest covers the source of the function, that of functions beside it that it calls,
        and the numbers and names from outside that it uses.

        Raises: ValueError for a lambda, for a function whose source cannot be read, or one that
            uses a variable from outside that is neither a number, a name nor a function.
        """
        name = getattr(function, "__name__", type(function).__name__)
        if name == "<lambda>":
            raise ValueError("a rule of a run has a name: give a function made by def, no lambda")
        digest = hashlib.sha256("\n".join(_sources(function, set())).encode()).hexdigest()
        rule = cls(f"{name}-{digest[:12]}")
        rule.function = function
        return rule

    def __call__(self, *args: Any, **options: Any) -> Tensor:
        """What the function gives."""
        return self.function(*args, **options)

    @property
    def needs_gradient(self) -> bool:
        """Whether it asks for inputs and gradients."""
        return needs_gradient(self.function)


def _sources(function: Callable[..., Any], known: set[str]) -> Iterator[str]:
    """What a result of the function may depend on, besides its arguments and other packages."""
    name = getattr(function, "__name__", type(function).__name__)
    known.add(name)
    try:
        yield textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError) as error:
        raise ValueError(
            f"the source of rule {name}, which identifies a run, cannot be read: give a function of"
            " a file or of a notebook's cell"
        ) from error
    yield f"needs_gradient = {needs_gradient(function)}"
    for variable, value in sorted(_from_outside(function).items()):
        if isinstance(value, LITERALS):
            yield f"{variable} = {value!r}"
        elif inspect.isfunction(value) and value.__module__ == function.__module__:
            if variable not in known:
                yield from _sources(value, known)
        elif not (callable(value) or inspect.ismodule(value)):
            raise ValueError(
                f"rule {name} uses {variable}, a {type(value).__name__} from outside, which its"
                " source does not show: make it within the function"
            )


def _from_outside(function: Callable[..., Any]) -> dict[str, Any]:
    """Variables that the function reads and that are not its own."""
    variables = dict(inspect.getclosurevars(function).nonlocals)
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += filter(inspect.iscode, code.co_consts)  # functions within
        for step in dis.get_instructions(code):
            if step.opname == "LOAD_GLOBAL" and step.argval in function.__globals__:
                variables[step.argval] = function.__globals__[step.argval]
    return variables


def needs_gradient(rule: Callable[..., Tensor]) -> bool:
    """Whether a rule asks for inputs and gradients of the layer."""
    return getattr(rule, "needs_gradient", False)


@dataclass(frozen=True)
class Evolution:
    r"""How the links of a network evolve. The defaults are SET; ``None`` in its place is a static
    support.

    Source: [Mocanu2018], Algorithm 1; [Evci2020] for ``drop="magnitude", grow="gradient"``.

    Args:
        drop: ``"sign"`` (SET), ``"magnitude"``, ``"largest"`` or ``"random"``; or a function of
            your own, (site, fraction, *, generator) -> (nnz,) bool, True where a link is dropped.
        grow: ``"random"`` (SET), ``"gradient"`` (RigL), ``"preferential"`` (attachment) or
            ``"ch3_l3"`` (Cannistraci-Hebb); or a function of your own, (site, n, *, generator) ->
            (n,) int64, the keys of the new links, ascending. Both are given a
            :class:`lib.growth.Site`, with inputs and gradients of the layer if the function has the
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
    def drop_rule(self) -> DropRule:
        """The function."""
        return self.drop if callable(self.drop) else DROP_RULES[self.drop]

    @property
    def grow_rule(self) -> GrowRule:
        """The function."""
        return self.grow if callable(self.grow) else GROW_RULES[self.grow]

    @property
    def needs_gradient(self) -> bool:
        """Whether one of the rules asks for what the layers saw."""
        return needs_gradient(self.drop_rule) or needs_gradient(self.grow_rule)

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
    **seen: Any,
) -> int:
    """Drop a fraction of the links of ``layer`` and grow as many; return how many were replaced.

    Source: [Mocanu2018], Algorithm 1 (steps of the sparse layer after each epoch).

    Args:
        layer: the layer, changed in place.
        evolution: the rules.
        fraction: drop fraction of this update, in [0, 1).
        generator: source of randomness, on the CPU.
        optimiser: its state for the links moves with them; new links have none (zero).
        seen: ``x`` (n_in, B) and ``grad_y`` (n_out, B), which rules by gradient need, and
            ``batch_sizes`` and ``done``, as in :class:`lib.growth.Site`.
    Returns: number of links dropped, equal to the number grown.
    Raises: ValueError if there is no room for the new links, or the grow rule gives keys that are
        taken, not ascending or not as many as were dropped.
    """
    site = _site(layer, optimiser, seen)
    keys, origin = _survivors(layer, evolution, site, fraction, generator)
    n = layer.nnz - len(keys)
    kept = torch.from_numpy(origin).to(site.values.device)
    left = replace(
        site,
        occupied_keys=torch.from_numpy(keys) if evolution.regrow_dropped else site.occupied_keys,
        kept_keys=torch.from_numpy(keys),
        values=site.values.index_select(0, kept),
        state={name: entry.index_select(0, kept) for name, entry in site.state.items()},
    )
    grown = evolution.grow_rule(left, n, generator=generator).cpu().numpy()
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
    seen: Mapping[str, dict[str, Any]] | None = None,
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
    how["done"] = epoch / epochs
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
    **seen: Any,
) -> int:
    """Drop a fraction of the links of ``layer`` and grow none; return how many were dropped.

    Source: [Mocanu2018], Methods ("the last weight removal step, without adding new random
    connections"). Arguments as in :func:`evolve_`.
    """
    site = _site(layer, optimiser, seen)
    keys, origin = _survivors(layer, evolution, site, fraction, generator)
    n = layer.nnz - len(keys)
    none = np.empty(0, np.int64)
    _replace_(layer, keys, origin, none, torch.zeros(0), optimiser)
    return n


def _site(
    layer: SparseLinear, optimiser: torch.optim.Optimizer | None, seen: dict[str, Any]
) -> Site:
    """The layer as it is, for its rules."""
    state = {}
    for name, entry in _state(layer, optimiser).items():
        if _has_one_number_a_link(entry, layer) and not name.startswith(AVERAGE):
            state[name] = entry
    n_in, n_out = layer.support.n_in, layer.support.n_out
    keys = layer.support.keys.cpu()
    return Site(n_in, n_out, keys, values=layer.values.detach(), state=state, **seen)


def _survivors(
    layer: SparseLinear,
    evolution: Evolution,
    site: Site,
    fraction: float,
    generator: torch.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the links that stay, and their places among all."""
    if not 0 <= fraction < 1:
        raise ValueError(f"drop fraction {fraction} is out of range: give one in [0, 1)")
    is_dropped = evolution.drop_rule(site, fraction, generator=generator).cpu().numpy()
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
