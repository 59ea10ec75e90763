r"""Which links a sparse layer has, and how they change: drop, then grow, between epochs.

One update rule: of the links of a layer a fraction :math:`\zeta` is dropped by a *drop rule* and
as many are grown by a *grow rule*; survivors keep weight and optimiser state, new links start at
zero (or as a variant asks) without momentum. SET drops the smallest weights of each sign and grows
at random; RigL drops by magnitude and grows where the gradient is largest. Cost and memory are
O(links).

Links are handled as *keys*, row · n_in + col, sorted: one int64 for each link.

A new drop rule with a name is a function here and an entry of :data:`DROP_RULES`. Rules that grow
links are in :mod:`lib.growth`.
"""

import gc
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, NoReturn
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from ._boundary import check_known, check_number, check_type, check_whole, names_of_one
from ._compiled import links
from .growth import GROW_RULES, GrowRule, Site, gumbel
from .layers import SparseLinear
from .support import shared_out, support_from_keys, whole_numbers

ADAM = (torch.optim.Adam, torch.optim.AdamW)  # they count steps, for all links of a layer at once
OPTIMISERS = (torch.optim.SGD, *ADAM, torch.optim.RMSprop, torch.optim.Adagrad)
AVERAGE = "average"  # begins the names of averages of weights in the optimiser's state
LINK_STEPS = "link_steps"  # of each link, in Adam's state: steps since it was grown
MEST_LAMBDA = 0.01
SOFTNESS = 1.0, 9.0  # of CHTs, at the start and at the end of training
STEEPNESS = 6.0  # of the sigmoid of CHTss
SCHEDULES = ("constant", "cubic", "sigmoid")
STEPS: WeakKeyDictionary[torch.optim.Optimizer, int] = WeakKeyDictionary()  # where they are counted
MOST_REGROWN = 0.99  # of the free positions of a layer, where links move between layers


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
    nnz = len(site if torch.is_tensor(site) else site.values)
    seed = torch.empty((), dtype=torch.int64).random_(generator=generator)
    is_dropped = np.zeros(nnz, bool)
    is_dropped[links.draw_distinct(_floor(fraction * nnz), nnz, int(seed))] = True
    return torch.from_numpy(is_dropped)


def drop_weight_and_gradient(site: Site, fraction: float, *, generator: torch.Generator) -> Tensor:
    r"""MEST: drop the ⌊ζ·nnz⌋ links whose weight and gradient are smallest together.

    .. math:: |w_k| + \lambda |g_k|, \qquad \lambda = .01

    with :math:`g_k` the mean gradient of the collected steps.

    Source: [Yuan2021], Elastic Mutation; the formula as in ``prune_utils/utils_pr.py`` of
    neu-spiral/SparCL, which goes on from the authors' code, and in ``llm/dst_scheduler.py`` of
    [Zhang2025], whose :math:`\lambda` this is (.5 in the former).
    Arguments and result as in :func:`drop_per_sign`.
    """
    score = site.values.abs() + MEST_LAMBDA * site.link_gradient().abs()
    return _smallest(score, _floor(fraction * len(score)))


drop_weight_and_gradient.needs_gradient = True


def drop_soft(site: Site, fraction: float, *, generator: torch.Generator) -> Tensor:
    r"""CHTs: the links that stay are drawn one after the other without replacement, with chances in
    proportion to a power of their weight that grows from 1 to 9 over the training.

    .. math:: P(k) \propto |w_k|^T, \qquad T = 1 + 8 t

    with t the share of the training that is done; ⌊ζ·nnz⌋ links go.

    Source: [Zhang2025], Section 3.1 (soft removal, by weight magnitude); the formula and T as in
    ``llm/dst_scheduler.py`` and the commands of the authors' repository
    (biomedical-cybernetics/Cannistraci-Hebb-Training-Soft-Rule-), as the text at hand leaves out
    equations.
    Departs: links of weight 0 go first, in the order of their keys, so that those of the first
    output neurons go before others. The authors' code takes them as 10⁻¹², and draws among them.
    Arguments and result as in :func:`drop_per_sign`.
    """
    first, last = SOFTNESS
    power = first + (last - first) * site.done
    weights = site.values.detach().cpu().double()
    noisy = power * weights.abs().log() + gumbel(weights.shape, generator)
    return _smallest(noisy, _floor(fraction * len(weights)))


def _smallest(scores: Tensor, n: int) -> Tensor:
    """(nnz,) bool, True at the n smallest; of equals the earlier."""
    is_dropped = torch.zeros(len(scores), dtype=torch.bool)
    is_dropped[scores.cpu().argsort(stable=True)[:n]] = True
    return is_dropped


def _floor(number: float) -> int:
    return math.floor(number + 1e-9)  # 1e-9: a whole number stays whole


def _weights(site: Site | Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The weights on the CPU, and the bits of their magnitudes, which are in the same order."""
    weights = (site if torch.is_tensor(site) else site.values).detach().cpu()
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
    "weight_and_gradient": drop_weight_and_gradient,
    "soft": drop_soft,
}


def needs_gradient(rule: Callable[..., Tensor]) -> bool:
    """True if a rule asks for inputs and gradients of the layer."""
    return getattr(rule, "needs_gradient", False)


@dataclass(frozen=True)
class Evolution:
    r"""How the links of a network evolve. The defaults are SET; ``None`` in its place is a static
    support.

    Source: [Mocanu2018], Algorithm 1; [Evci2020] for ``drop="magnitude", grow="gradient"``.

    Args:
        drop: ``"sign"`` (SET), ``"magnitude"`` (RigL), ``"weight_and_gradient"`` (MEST), ``"soft"``
            (CHTs), ``"largest"`` or ``"random"``; or a function of your own,
            ``(site, fraction, *, generator)`` -> (nnz,) bool, True where a link is dropped.
        grow: ``"random"`` (SET), ``"gradient"`` (RigL), ``"momentum"`` (sparse momentum),
            ``"preferential"`` (attachment), ``"ch3_l3"`` (CHT) or ``"ch2_l3n"`` (CHTs); or a
            function of your own, ``(site, n, *, generator)`` -> (n,) int64, the keys of the new
            links, ascending. Both are given a :class:`lib.growth.Site`, with inputs and gradients
            of the layer if the function has the attribute ``needs_gradient = True``.
        drop_fraction: :math:`\zeta`, in [0, 1).
        decay: ``"constant"``, or ``"cosine"``: the drop fraction falls to 0 over the epochs.
        new_std: standard deviation of the weight of a new link; 0: new links start at zero.
        regrow_dropped: whether a link just dropped may come back at once.
        reset_state: whether the optimiser state of all links is set to what it was at the start
            (the authors' Keras code).
        last_epoch: after the last epoch ``"remove"`` only (the paper), ``"evolve"`` or ``"keep"``.
            With a ``density_schedule``, which alone says how many links are left, ``"remove"``
            does what ``"keep"`` does.
        gradient_batches: batches over which growth by gradient sums; in an Evolver, steps of the
            optimiser.
        density_schedule: ``"constant"``; ``"cubic"`` (GraNet) or ``"sigmoid"`` (CHTss): the links
            become fewer, see :meth:`share_at`. :func:`lib.train.fit` leaves layers that are full at
            the start as they are.
        final_share: of the links of each layer at the start, those that are left in the end, in
            (0, 1): .1 takes a network from a density of .5 to .05.
        schedule_end: share of the training, or of the steps till an Evolver stands still, after
            which their number stays, in (0, 1]; that of the last update, if this comes before.
        redistribution: None: each layer grows as many links as it drops; ``"momentum"``: all layers
            together do, each in proportion to the mean momentum of its links.
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
    density_schedule: str = "constant"
    final_share: float = 1.0
    schedule_end: float = 0.75
    redistribution: str | None = None

    def __post_init__(self) -> None:
        for name, interval in (
            ("drop_fraction", "[0, 1)"),
            ("new_std", "[0, inf)"),
            ("final_share", "(0, 1]"),
            ("schedule_end", "(0, 1]"),
        ):
            check_number(name, getattr(self, name), interval)
        check_whole("gradient_batches", self.gradient_batches, least=1)
        check_type("regrow_dropped", self.regrow_dropped, bool)
        check_type("reset_state", self.reset_state, bool)
        advice = 'SET is Evolution(), RigL is Evolution("magnitude", "gradient", decay="cosine")'
        if not callable(self.drop):
            check_known("drop", self.drop, DROP_RULES, advice)
        if not callable(self.grow):
            check_known("grow", self.grow, GROW_RULES, advice)
        check_known("decay", self.decay, ("constant", "cosine"))
        check_known("last_epoch", self.last_epoch, ("remove", "evolve", "keep"))
        check_known("density_schedule", self.density_schedule, SCHEDULES)
        if self.redistribution is not None:
            check_known("redistribution", self.redistribution, ("momentum",))
        if self.density_schedule == "constant" and self.final_share != 1:
            raise ValueError(
                f"final_share = {self.final_share} with a constant density_schedule: give 'cubic'"
                " or 'sigmoid'"
            )

    @property
    def after_last_epoch(self) -> str:
        """Update after the last epoch: "remove", "evolve" or "keep"."""
        if self.density_schedule != "constant" and self.last_epoch == "remove":
            return "keep"
        return self.last_epoch

    @property
    def changes_numbers(self) -> bool:
        """True if a layer may have another number of links after an update."""
        return self.density_schedule != "constant" or self.redistribution is not None

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
        """True if one of the rules asks for what the layers saw."""
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

    def share_at(self, done: float, last: float = 1.0) -> float:
        r"""Share of the links at the start that a layer has when a share of the training is done.

        .. math:: f + (1 - f) (1 - u)^3 \quad \text{cubic}, \qquad
            1 - (1 - f) \left( \frac{\sigma(k (2 u - 1)) - 1/2}{\sigma(k) - \sigma(-k)}
            + \frac{1}{2} \right) \quad \text{sigmoid}, \; k = 6

        with u = done / ``schedule_end``, at most 1, and f the ``final_share``. Where the last
        update comes before ``schedule_end``, when a share ``last`` of the training is done, u is
        done / ``last``.

        Source: [Liu2021], gradual pruning, as ``pruning_uniform`` in
        ``CIFAR/sparselearning/core.py`` of the authors' repository (VITA-Group/GraNet);
        [Zhang2025], Section 3.3, as ``s_shape`` in ``llm/dst_scheduler.py`` of theirs.
        Departs: by layer, in proportion to its links at the start. GraNet's main variant ranks the
        weights of all layers together; ``pruning_uniform`` holds the last layer at a density of .2
        from a sparsity of .8 on, and prunes the others more for that.
        """
        u = min(1.0, done / min(self.schedule_end, last))
        if self.density_schedule == "cubic":
            return self.final_share + (1 - self.final_share) * (1 - u) ** 3
        if self.density_schedule == "sigmoid":
            rise = (_sigmoid(STEEPNESS * (2 * u - 1)) - 0.5) / (2 * _sigmoid(STEEPNESS) - 1) + 0.5
            return 1 - (1 - self.final_share) * rise
        return 1.0


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


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
        optimiser: its state for the links moves with them; new links have none (zero). SGD, Adam,
            AdamW, RMSprop or Adagrad; None where no optimiser remembers anything of the links.
        seen: ``x`` (n_in, B) and ``grad_y`` (n_out, B), which rules by gradient need, and
            ``batch_sizes``, ``steps`` and ``done``, as in :class:`lib.growth.Site`.
    Returns: number of links dropped, equal to the number grown.
    Raises: ValueError if there is no room for the new links, a rule gives something else than it
        should, the grow rule gives keys that are taken, not ascending or not as many as were
        dropped, or the evolution changes the number of links, which :func:`evolve_layers_` does;
        if the optimiser is of another kind, or is not given although there is one.
    """
    if evolution.changes_numbers:
        raise ValueError(
            "a density_schedule or a redistribution is of all layers and of the whole training:"
            " use evolve_layers_"
        )
    optimiser = unwrapped_optimiser(optimiser)
    left = _drop(layer, evolution, fraction, generator, optimiser, seen)
    n = layer.nnz - len(left.keys)
    _grow_(layer, evolution, left, n, generator, optimiser)
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
    n_at_start: Mapping[str, int] | None = None,
    last: int | None = None,
) -> int:
    r"""Update the links of all layers of a network: drop a fraction of them, and grow as many, or
    fewer where their number falls.

    Of n links that shall become m, :math:`n - (1 - \zeta) m` are dropped: those that are pruned
    and a fraction :math:`\zeta` of the others, by one call of the drop rule. As
    ``"sign"`` rounds down for each sign, a layer of few links may keep one more.

    Departs: CHTss [Zhang2025] first prunes n - m links for good, those of smallest relative
    importance, and then removes the fraction by a soft draw; with ``drop="soft"`` one soft draw
    does both here.

    Args:
        layers: by name, changed in place.
        evolution: the rules.
        epoch, epochs: when: after that epoch, from 1, of so many; or step.
        generator, optimiser: as in :func:`evolve_`.
        seen: of each layer, what :meth:`lib.growth.Collector.collected` says, where a rule asks
            for it.
        n_at_start: numbers of links before training, which a ``density_schedule`` needs.
        last: epoch, or step, of the last update, at which a ``density_schedule`` has ended; None:
            ``epochs``.
    Returns: number of links grown in all.
    Raises: ValueError as :func:`evolve_` does, if ``epoch`` is none of ``epochs``, or if
        redistribution finds no momentum.
    """
    check_whole("epochs", epochs, least=1)
    check_whole("epoch", epoch, least=1, most=epochs)
    optimiser = unwrapped_optimiser(optimiser)
    fraction = evolution.fraction_at_epoch(epoch, epochs)
    done = epoch / epochs
    numbers = {name: layer.nnz for name, layer in layers.items()}
    share = evolution.share_at(done, (last or epochs) / epochs)
    targets = _targets(evolution, numbers, n_at_start, share)
    lefts: dict[str, _Left] = {}
    n_grown = 0
    for name, layer in layers.items():
        to_drop = fraction
        if 0 < layer.nnz != targets[name]:
            to_drop = max(0.0, 1 - (1 - fraction) * targets[name] / layer.nnz)
        what = {"done": done, **(seen or {}).get(name, {})}
        left = _drop(layer, evolution, to_drop, generator, optimiser, what)
        n = max(0, targets[name] - len(left.keys))
        n_grown += n
        if evolution.redistribution is None:
            _grow_(layer, evolution, left, n, generator, optimiser)
        else:
            lefts[name] = left
    if lefts:
        for name, n in _redistributed(n_grown, lefts).items():
            _grow_(layers[name], evolution, lefts[name], n, generator, optimiser)
    return n_grown


def _targets(
    evolution: Evolution,
    numbers: dict[str, int],
    n_at_start: Mapping[str, int] | None,
    share: float,
) -> dict[str, int]:
    """Number of links that each layer shall have; where links move between layers, as if none
    moved in this update.
    """
    if evolution.density_schedule == "constant":
        return numbers
    if n_at_start is None:
        raise ValueError(
            f"a {evolution.density_schedule} density_schedule needs the numbers of links before"
            " training: give n_at_start"
        )
    if evolution.redistribution is None:
        return {name: max(1, round(share * n_at_start[name])) for name in numbers}
    share *= sum(n_at_start[name] for name in numbers) / max(1, sum(numbers.values()))
    return {name: max(1, round(share * n)) for name, n in numbers.items()}


class _Remembered(dict[str, Tensor]):
    """Memory of the optimiser about each link, by its names, as a rule sees it."""

    def __missing__(self, name: str) -> NoReturn:
        known = ", ".join(map(repr, self)) or "nothing"
        raise ValueError(
            f"a rule asks for {name!r}, and the optimiser remembers {known} of a link: give another"
            " optimiser, as SGD with momentum, or a rule that does not need it"
        )


class _Left(NamedTuple):
    """A layer after a drop: as its grow rule sees it, keys and old places of its links."""

    site: Site
    keys: np.ndarray
    origin: np.ndarray
    before: Site  # as its drop rule saw it


def _redistributed(n: int, lefts: Mapping[str, _Left]) -> dict[str, int]:
    """How many of n links grow in each layer: in proportion to the mean momentum of its links.

    Source: [Dettmers2019]; as ``sparselearning/core.py`` and ``funcs.py`` of the authors'
    repository (TimDettmers/sparse_learning), 99 % of the free positions at most.
    Departs: what a layer has no room for goes to the others in proportion too, not evenly.
    """
    momenta, most = {}, {}
    for name, left in lefts.items():
        momenta[name] = _mean_momentum(left.before)
        if not math.isfinite(momenta[name]):
            raise ValueError(
                f"the momentum of layer {name} is not finite, so no links can be shared out by it:"
                " clip gradients, or lower the learning rate"
            )
        free = left.site.positions - len(left.site.occupied_keys)
        most[name] = _floor(MOST_REGROWN * free)
    if sum(most.values()) < n:
        raise ValueError(f"{n} new links do not fit into the free positions of the layers")
    tiny = 1e-12 * max(momenta.values()) or 1.0  # so that what others have no room for goes there
    weights = {name: momentum + tiny for name, momentum in momenta.items()}
    return whole_numbers(shared_out(n, weights, most))


def _mean_momentum(site: Site) -> float:
    """Mean magnitude of what the optimiser moves the links of a layer by."""
    state = site.state
    if "exp_avg" in state:
        momentum = state["exp_avg"] / (state["exp_avg_sq"].sqrt() + 1e-8)
    elif "momentum_buffer" in state:
        momentum = state["momentum_buffer"]
    else:
        raise ValueError(
            "redistribution by momentum needs an optimiser with one: SGD with momentum, or Adam"
        )
    return momentum.abs().sum().item() / max(1, len(momentum))


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
    optimiser = unwrapped_optimiser(optimiser)
    left = _drop(layer, evolution, fraction, generator, optimiser, seen)
    n = layer.nnz - len(left.keys)
    none = np.empty(0, np.int64)
    _replace_(layer, left.keys, left.origin, none, torch.zeros(0), optimiser)
    return n


def _drop(
    layer: SparseLinear,
    evolution: Evolution,
    fraction: float,
    generator: torch.Generator,
    optimiser: torch.optim.Optimizer | None,
    seen: dict[str, Any],
) -> _Left:
    """The layer after a drop, which is not carried out yet."""
    check_number("fraction", fraction, "[0, 1)")
    check_type("generator", generator, torch.Generator)
    if optimiser is None:
        _check_that_none_remembers(layer)
    else:
        check_optimiser(optimiser)
        check_held("the layer", layer, optimiser)
    state = {}
    for name, entry in _state(layer, optimiser).items():
        if _has_one_number_a_link(entry, layer) and not name.startswith(AVERAGE):
            state[name] = entry
    n_in, n_out = layer.support.n_in, layer.support.n_out
    keys = layer.support.keys.cpu()
    site = Site(n_in, n_out, keys, values=layer.values.detach(), state=state, **seen)
    is_dropped = evolution.drop_rule(_copy(site), fraction, generator=generator)
    if not _is_vector(is_dropped, layer.nnz, torch.bool):
        raise ValueError(
            f"drop rule {_gave(evolution.drop, is_dropped)}: bool of shape ({layer.nnz},) is"
            " needed, True where a link is dropped"
        )
    is_dropped = is_dropped.cpu().numpy()
    crow, col = layer.support.crow.cpu().numpy(), layer.support.col.cpu().numpy()
    kept_keys, origin = links.kept_links(crow, col, n_in, is_dropped)
    kept = torch.from_numpy(origin).to(site.values.device)
    left = replace(
        site,
        occupied_keys=torch.from_numpy(kept_keys) if evolution.regrow_dropped else keys,
        kept_keys=torch.from_numpy(kept_keys),
        values=site.values.index_select(0, kept),
        state={name: entry.index_select(0, kept) for name, entry in state.items()},
    )
    return _Left(left, kept_keys, origin, site)


def _grow_(
    layer: SparseLinear,
    evolution: Evolution,
    left: _Left,
    n: int,
    generator: torch.Generator,
    optimiser: torch.optim.Optimizer | None,
) -> None:
    """Give the layer the links that are left and n that grow."""
    grown = evolution.grow_rule(_copy(left.site), n, generator=generator)
    if not _is_vector(grown, n, torch.int64):
        raise ValueError(
            f"grow rule {_gave(evolution.grow, grown)}: {n} keys, a tensor of int64, are needed"
        )
    if callable(evolution.grow):
        _check_keys(evolution.grow, grown.cpu(), left)
    keys, origin, new = links.merge(left.keys, left.origin, grown.cpu().numpy())
    start = torch.zeros(n)
    if evolution.new_std > 0:
        noise = torch.randn(n, generator=generator, dtype=torch.float64, device=generator.device)
        start = evolution.new_std * noise
    before = layer._fingerprint
    _replace_(layer, keys, origin, new, start, optimiser)
    layer.leave_behind(before)
    if evolution.reset_state:
        for name, entry in _state(layer, optimiser).items():
            if not name.startswith(AVERAGE) and _has_one_number_a_link(entry, layer):
                entry.fill_(_at_start(name, layer, optimiser))


def _copy(site: Site) -> Site:
    """The site for a rule, which may write to what it sees of the links."""
    return replace(
        site,
        occupied_keys=site.occupied_keys.clone(),
        kept_keys=None if site.kept_keys is None else site.kept_keys.clone(),
        values=site.values.clone(),
        state=_Remembered((name, entry.clone()) for name, entry in site.state.items()),
    )


def _is_vector(result: Any, length: int, dtype: torch.dtype) -> bool:
    return torch.is_tensor(result) and result.shape == (length,) and result.dtype == dtype


def _check_keys(rule: Callable[..., Tensor], keys: Tensor, left: "_Left") -> None:
    """Raise ValueError unless links can grow at the keys that a rule of one's own gave."""
    gave = f"grow rule {getattr(rule, '__name__', rule)} gave"
    positions = left.site.positions
    beyond = keys[(keys < 0) | (keys >= positions)]
    if len(beyond):
        raise ValueError(f"{gave} key {int(beyond[0])}: keys go from 0 to {positions - 1}")
    if (keys.diff() <= 0).any():
        raise ValueError(f"{gave} keys that are not ascending: sort them, and give each once")
    taken = keys[torch.isin(keys, torch.from_numpy(left.keys))]
    if len(taken):
        raise ValueError(f"{gave} key {int(taken[0])}, where a link is: see site.occupied_keys")


def _gave(rule: str | Callable[..., Tensor], result: Any) -> str:
    """The name of a rule, and what it gave."""
    what = f"a {type(result).__name__}"
    if torch.is_tensor(result):
        what = f"{str(result.dtype).removeprefix('torch.')} of shape {tuple(result.shape)}"
    return f"{getattr(rule, '__name__', rule)} gave {what}"


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
        if len(entry) == 0:  # every link is new
            return start.to(entry)
        return entry.index_select(0, origin).index_copy_(0, new, start.to(entry))

    state = _state(layer, optimiser)
    for name, entry in state.items():
        if name.startswith(AVERAGE) and _has_one_number_a_link(entry, layer):
            state[name] = moved(entry, start)
        elif _has_one_number_a_link(entry, layer):
            state[name] = moved(entry, torch.full_like(start, _at_start(name, layer, optimiser)))
    layer.replace_values_(moved(values, start))


def _at_start(name: str, layer: SparseLinear, optimiser: torch.optim.Optimizer) -> float:
    """Value of an entry of the optimiser's state before the first step."""
    if name != "sum":  # of Adagrad
        return 0.0
    groups = optimiser.param_groups
    group = next(group for group in groups if any(p is layer.values for p in group["params"]))
    return group["initial_accumulator_value"]


def unwrapped_optimiser(optimiser: Any) -> torch.optim.Optimizer:
    """The optimiser of torch within a wrapper, as accelerate and Lightning put around it."""
    while type(optimiser) not in OPTIMISERS and hasattr(optimiser, "optimizer"):
        optimiser = optimiser.optimizer
    return optimiser


@torch.no_grad()
def correct_new_links(optimiser: torch.optim.Optimizer, *_: Any) -> None:
    r"""Give links that are younger than their layer the step that they would take by their own
    count a instead of the layer's t: :math:`\hat m = m / (1 - \beta_1^a)`, and so for v.

    Source: [Kingma2015], Algorithm 1.
    """
    if _is_skipped(optimiser):
        return
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            state = optimiser.state.get(parameter, {})
            if LINK_STEPS in state and parameter.grad is not None:
                state[LINK_STEPS] += 1
                own, whole = state[LINK_STEPS], float(state["step"])
                young = own < whole
                parameter[young] += _adam_step(state, group, whole, young)
                parameter[young] -= _adam_step(state, group, own[young], young)


def _is_skipped(optimiser: torch.optim.Optimizer) -> bool:
    """True if a gradient scaler skips this step of a fused optimiser."""
    found_inf = getattr(optimiser, "found_inf", None)
    return found_inf is not None and float(found_inf) > 0


def _adam_step(
    state: dict[str, Any], group: dict[str, Any], count: float | Tensor, young: Tensor
) -> Tensor:
    """lr · m̂ / (√v̂ + ε) of some links, bias-corrected by a count of steps."""
    beta1, beta2 = group["betas"]
    second = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"][young]
    mean = state["exp_avg"][young] / (1 - beta1**count)
    return group["lr"] * mean / ((second / (1 - beta2**count)).sqrt() + group["eps"])


def count_steps(optimiser: torch.optim.Optimizer) -> None:
    """Count the steps of an optimiser in :data:`STEPS` from now on, if they are not counted yet."""
    if optimiser not in STEPS:
        STEPS[optimiser] = 0
        optimiser.register_step_post_hook(count)


def count(optimiser: torch.optim.Optimizer, *_: Any) -> None:
    """Count a step, after it, and mark the gradients that it has used."""
    if _is_skipped(optimiser):
        return
    STEPS[optimiser] = STEPS.get(optimiser, 0) + 1
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.used_at = parameter.grad._version


def waits(parameter: nn.Parameter) -> bool:
    """True if a parameter has a gradient that no counted step of its optimiser has used."""
    grad = parameter.grad
    if grad is None or getattr(grad, "used_at", None) == grad._version:
        return False
    return bool(grad.any())  # zero_grad(set_to_none=False) writes zeros


def check_optimiser(optimiser: torch.optim.Optimizer) -> None:
    """Raise ValueError unless what it remembers of a link can move with the link."""
    if type(optimiser) not in OPTIMISERS:
        known = ", ".join(kind.__name__ for kind in OPTIMISERS)
        raise ValueError(
            f"what a {type(optimiser).__name__} remembers of a link is not known, so that it"
            f" cannot move with it: give one of {known}"
        )


def check_untied(layers: Mapping[str, SparseLinear]) -> None:
    """Raise ValueError if two layers share their values: the links of one cannot move alone."""
    tied = names_of_one({name: layer.values for name, layer in layers.items()})
    if tied is not None:
        raise ValueError(
            f"layers {tied[0]} and {tied[1]} share their values, so their links cannot move: use"
            " one layer twice, or give each its own"
        )


def held_by(optimiser: torch.optim.Optimizer) -> set[int]:
    """The ids of its parameters."""
    return {id(p) for group in optimiser.param_groups for p in group["params"]}


def check_held(name: str, layer: SparseLinear, optimiser: torch.optim.Optimizer) -> None:
    """Raise ValueError if the values of a layer learn, but not by this optimiser, or are masked."""
    layer.check_movable()
    if not layer.values.requires_grad or id(layer.values) in held_by(optimiser):
        return
    raise ValueError(
        f"the optimiser does not hold the values of {name}: make it after sparsify_, of all"
        " parameters of the model, or freeze that layer"
    )


def _check_that_none_remembers(layer: SparseLinear) -> None:
    """Raise ValueError if a living optimiser remembers something of each link of the layer: links
    that move without it would go on with the momentum of others.

    Only where somebody besides the layer holds its values are the holders looked for, which takes
    hundredths of a second. An optimiser that nobody can reach any more does not count.
    """
    if sys.getrefcount(layer.values) <= 2:  # the layer's own, and the one of this call
        return
    if _is_remembered(layer):
        gc.collect()
        if _is_remembered(layer):
            raise ValueError(
                "an optimiser remembers something of each link, as momentum, which would stay"
                " behind: give it as optimiser"
            )


def _is_remembered(layer: SparseLinear) -> bool:
    states = [
        holder[layer.values]
        for holder in gc.get_referrers(layer.values)
        if isinstance(holder, defaultdict) and layer.values in holder  # an optimiser's state
    ]
    return any(_has_one_number_a_link(entry, layer) for state in states for entry in state.values())


def _state(layer: SparseLinear, optimiser: torch.optim.Optimizer | None) -> dict[str, Any]:
    """State of the optimiser for the weights of ``layer``."""
    if optimiser is None:
        return {}
    return optimiser.state.get(layer.values, {})


def _has_one_number_a_link(entry: Any, layer: SparseLinear) -> bool:
    return torch.is_tensor(entry) and entry.shape == layer.values.shape
