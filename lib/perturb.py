r"""Perturbations of a trained network: links removed, weights shuffled, links rewired, noise.

Every function takes a model and returns a changed copy. The *links* of a layer are those of its
support, or all n_out · n_in weights of a dense layer, row after row; the output layer and biases
are left alone unless asked for. Of n links, a fraction f means :math:`\lfloor f n + 10^{-9}\rfloor`
(the small number keeps whole products whole).
"""

import copy
import math
from collections.abc import Collection
from typing import TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from lib import evolution, topology
from lib.layers import SparseLinear
from lib.support import Support

Layer = SparseLinear | nn.Linear
ORDERS = ("random", "ascending", "descending", "degree", "betweenness")
WITHIN = ("all", "sign", "inputs", "outputs")

# ------------------------------------------------------------------------- what is perturbed


class Choice(TypedDict, total=False):
    """Which links a perturbation may touch.

    Source: ours; [Jankowski2025] removes biases with the links.

    Args:
        layers, output: which layers, see :func:`perturbed_layers`.
        biases: whether the biases of a layer are perturbed as its links are, after which they
            stand; by default they stay as they are.
    """

    layers: Collection[str] | None
    output: bool
    biases: bool


def perturbed_layers(
    model: nn.Module, layers: Collection[str] | None = None, *, output: bool = False
) -> dict[str, Layer]:
    """The linear layers to perturb, by name, in the order of the network.

    Source: [Sulyok2026], the sparse layers; ours, the choice by name.

    Args:
        model: the network, in evaluation mode; its last linear layer is the output layer.
        layers: names of the layers to take; None takes all.
        output: whether the output layer may be taken too.
    Returns: name -> layer, the modules of ``model`` themselves.
    Raises: ValueError if the model is in training mode, a name is unknown or no layer is left.
    """
    if any(module.training for module in model.modules()):
        raise ValueError("the model is in training mode: call model.eval() first")
    linear = [(name, m) for name, m in model.named_modules() if isinstance(m, Layer)]
    known = dict(linear if output else linear[:-1])
    layers = list(known) if layers is None else layers
    if not layers:
        raise ValueError("no linear layer to perturb: name one, give another model or output=True")
    for name in layers:
        if name not in known:
            raise ValueError(f"layer {name!r} is unknown: give some of {', '.join(known)}")
    return {name: layer for name, layer in known.items() if name in layers}


def _parts(model: nn.Module, *, biases: bool = False, **which) -> list[tuple[Layer, str, Tensor]]:
    """(layer, name, flat view) of the weights of each chosen layer, and of its bias if asked
    for.
    """
    parts = []
    for layer in perturbed_layers(model, **which).values():
        names = ["values" if isinstance(layer, SparseLinear) else "weight"]
        if biases and layer.bias is not None:
            names.append("bias")
        parts += [(layer, name, getattr(layer, name).data.view(-1)) for name in names]
    return parts


def _count(fraction: float, n: int) -> int:
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction = {fraction} is out of range: give one in [0, 1]")
    return math.floor(fraction * n + 1e-9)


def _require_known(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} = {value!r} is unknown: {', '.join(known)}")


def _move_links_(layer: SparseLinear, keys: Tensor, origin: Tensor) -> None:
    """Give ``layer`` the links ``keys``; link k carries the weight of old link origin[k]."""
    layer.support = evolution.support_from_keys(keys, layer.n_in, layer.n_out)
    layer.replace_values_(layer.values.data[origin])


# --------------------------------------------------------------------------- order of links


def link_order(
    model: nn.Module, order: str, *, generator: torch.Generator, **choice: Unpack[Choice]
) -> Tensor:
    r"""The links of all chosen layers, pooled, in the order in which they are to be removed.

    ``"random"``; ``"ascending"`` or ``"descending"`` :math:`|w|`; ``"degree"`` or
    ``"betweenness"``, largest :func:`lib.topology.link_degree` or
    :func:`lib.topology.link_betweenness` first, in the whole network as it stands, not
    recalculated; a weight of zero is no link there and comes last. Ties are broken at random.

    Source: [Holme2002], initial edge degree and initial betweenness; [Sulyok2026], random;
    [Jankowski2025], smallest and largest weights.
    Departs: the layers are pooled; [Jankowski2025] takes the same fraction of each layer.

    Args:
        model: the network, in evaluation mode.
        order: one of ``ORDERS``.
        generator: source of randomness, on the CPU.
        choice: layers, output and biases, see :class:`Choice`; no biases with degree or
            betweenness.
    Returns: (n,) int64, positions in the pool: layer after layer, each in the order of its links.
    Raises: ValueError if the order is unknown or has no meaning for biases.
    """
    _require_known("order", order, ORDERS)
    parts = _parts(model, **choice)
    pool = torch.cat([values.cpu() for *_, values in parts])
    score = torch.ones(len(pool))  # absent links keep it and come last
    if order in ("degree", "betweenness"):
        if choice.get("biases"):
            raise ValueError(f"biases have no {order}: give biases=False or another order")
        score[pool != 0] = -_network_scores(model, order, [layer for layer, *_ in parts]).to(score)
    elif order != "random":
        score = pool.abs() if order == "ascending" else -pool.abs()
    shuffled = torch.randperm(len(pool), generator=generator)
    return shuffled[score[shuffled].argsort(stable=True)]


def _network_scores(model: nn.Module, order: str, chosen: list[Layer]) -> Tensor:
    """Degree or betweenness of the non-zero links of the chosen layers, pooled."""
    measure = topology.link_degree if order == "degree" else topology.link_betweenness
    layers = perturbed_layers(model, output=True).values()
    scores = zip(layers, measure(topology.adjacency(model)), strict=True)
    pooled = np.concatenate([score for layer, score in scores if layer in chosen])
    return torch.from_numpy(pooled).float()  # rounded, so that sums of equal terms tie


def _first_links(
    model: nn.Module,
    fraction: float,
    order: str | Tensor,
    generator: torch.Generator | None,
    choice: Choice,
) -> list[tuple[Layer, str, Tensor, Tensor]]:
    """The parts of the model, each with (n,) bool, True at the first links of the order."""
    parts = _parts(model, **choice)
    sizes = [len(values) for *_, values in parts]
    n, n_first = sum(sizes), _count(fraction, sum(sizes))
    if isinstance(order, str):
        if generator is None:
            raise ValueError(f"generator = None: give one to draw the order {order!r}")
        order = link_order(model, order, generator=generator, **choice)
    if not torch.equal(order.sort().values, torch.arange(n)):
        raise ValueError(f"order of {len(order)} links: give link_order's for these {n} links")
    first = torch.zeros(n, dtype=torch.bool).index_fill_(0, order[:n_first], True)
    return [(*part, mask) for part, mask in zip(parts, first.split(sizes), strict=True)]


def remove_links(
    model: nn.Module,
    fraction: float,
    *,
    order: str | Tensor = "random",
    generator: torch.Generator | None = None,
    **choice: Unpack[Choice],
) -> nn.Module:
    """The network without the first fraction of its links in the given order.

    A sparse layer loses the links, a dense one gets zeros in their place. One order, or one seed,
    at several fractions gives nested removals: a larger fraction removes the same links and more.

    Source: [Sulyok2026], random link removal; [Holme2002], by degree and betweenness;
    [Jankowski2025], by magnitude, and with ``biases``.
    Departs: removals are nested; [Jankowski2025] draws afresh for each fraction.

    Args:
        model: the network, in evaluation mode.
        fraction: part of the pooled links that goes, in [0, 1]: ⌊fraction · n + 1e-9⌋ of n.
        order: one of ``ORDERS``, or what :func:`link_order` returned for the same choice.
        generator: source of randomness, on the CPU; needed if ``order`` is a name.
        choice: layers, output and biases, see :class:`Choice`; a bias removed becomes 0.
    Returns: a changed copy.
    Raises: ValueError if the fraction is out of range or the order unknown or of other links.
    """
    model = copy.deepcopy(model)
    for layer, name, values, removed in _first_links(model, fraction, order, generator, choice):
        if name == "values":
            kept = (~removed).nonzero().squeeze(1).to(values.device)
            _move_links_(layer, layer.support.keys[kept], kept)
        else:
            values[removed] = 0
    return model


def flip_signs(
    model: nn.Module,
    fraction: float,
    *,
    order: str | Tensor = "random",
    generator: torch.Generator | None = None,
    **choice: Unpack[Choice],
) -> nn.Module:
    """The network with the signs of the first fraction of its links, in the given order, flipped.

    Source: [Jankowski2025], sign flips of random, smallest or largest weights.

    Arguments, result and errors as in :func:`remove_links`.
    """
    model = copy.deepcopy(model)
    for *_, values, flipped in _first_links(model, fraction, order, generator, choice):
        values[flipped] *= -1
    return model


# ---------------------------------------------------------------------- weights on their links


def shuffle_weights(
    model: nn.Module,
    fraction: float,
    *,
    within: str = "all",
    generator: torch.Generator,
    **choice: Unpack[Choice],
) -> nn.Module:
    """The network with the weights of some links of each layer permuted among these links.

    The links of a layer stay where they are; a fraction of them, chosen uniformly, exchange
    weights: over the whole layer (``"all"``), positive and negative apart (``"sign"``), within the
    inputs of each neuron (``"inputs"``, its total weight is kept) or within its outputs
    (``"outputs"``). All permutations are equally likely, so some links may keep their weight.

    Source: [Sulyok2026], weight shuffling; [Jankowski2025], its variants.
    Departs: on the support of a sparse layer; the chosen links are uniform over the layer also
    within signs, where [Jankowski2025] takes half of them positive and half negative.

    Args:
        model: the network, in evaluation mode.
        fraction: part of the links of each layer that is chosen, in [0, 1]: ⌊fraction · n + 1e-9⌋.
        within: one of ``WITHIN``.
        generator: source of randomness, on the CPU.
        choice: layers, output and biases, see :class:`Choice`; the biases of a layer move among
            themselves, within "all" and "sign" only.
    Returns: a changed copy.
    Raises: ValueError if the fraction is out of range or ``within`` unknown or without meaning for
        biases.
    """
    _require_known("within", within, WITHIN)
    if choice.get("biases") and within in ("inputs", "outputs"):
        raise ValueError(f"biases cannot move within {within!r}: give 'all' or 'sign'")
    model = copy.deepcopy(model)
    for layer, _, values in _parts(model, **choice):
        chosen = torch.randperm(len(values), generator=generator)[: _count(fraction, len(values))]
        source = chosen[torch.randperm(len(chosen), generator=generator)]
        group = _groups(layer, values, within).cpu()
        source = source[group[source].argsort(stable=True)]  # both by group, each at random in it
        values[chosen[group[chosen].argsort(stable=True)]] = values[source]
    return model


def _groups(layer: Layer, values: Tensor, within: str) -> Tensor:
    """(n,) number of the group of each entry; weights move within their group."""
    if within in ("all", "sign"):
        return values.sign() if within == "sign" else torch.zeros_like(values)
    if isinstance(layer, SparseLinear):
        return layer.support.row if within == "inputs" else layer.support.col
    links = torch.arange(len(values))
    return links // layer.in_features if within == "inputs" else links % layer.in_features


class InputNoise(nn.Module):
    r"""Pixels with Gaussian noise, clipped: :math:`\min(1, \max(0, x + \sigma \xi))`.

    Source: ours. Noise is drawn anew at each call, on the CPU, by the module's own generator.

    Args:
        noise_std: :math:`\sigma`, in units of the pixels, which are in [0, 1].
        seed: of the module's generator.
    """

    def __init__(self, noise_std: float, seed: int) -> None:
        super().__init__()
        self.noise_std, self.generator = noise_std, torch.Generator().manual_seed(seed)

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=self.generator, dtype=x.dtype).to(x.device)
        return (x + self.noise_std * noise).clamp(0, 1)


def add_noise(
    model: nn.Module,
    noise_std: float,
    *,
    where: str = "weights",
    generator: torch.Generator,
    **choice: Unpack[Choice],
) -> nn.Module:
    r"""The network with Gaussian noise on the weights of its links, or on its input.

    .. math:: w_k + \sigma \, s \, \xi_k, \qquad \xi_k \sim N(0, 1)

    with s the standard deviation of the weights of the layer (of its biases, for these); or, with
    ``where="inputs"``, :class:`InputNoise` before the network.

    Source: [Jankowski2025], noise on weights; ours, its unit.

    Args:
        model: the network, in evaluation mode.
        noise_std: :math:`\sigma`, at least 0.
        where: "weights" or "inputs".
        generator: source of randomness, on the CPU.
        choice: layers, output and biases, see :class:`Choice`; of no effect on the inputs.
    Returns: a changed copy; with noise on the inputs, in a Sequential behind the noise.
    Raises: ValueError if ``noise_std`` is negative or not finite, or ``where`` is unknown.
    """
    _require_known("where", where, ("weights", "inputs"))
    if not 0 <= noise_std < math.inf:
        raise ValueError(f"noise_std = {noise_std} is out of range: give 0 or a positive number")
    model = copy.deepcopy(model)
    parts = _parts(model, **choice)
    if where == "inputs":
        seed = int(torch.randint(2**62, (), generator=generator))
        return nn.Sequential(InputNoise(noise_std, seed), model).eval()
    for *_, values in parts:
        noise = torch.randn(len(values), generator=generator, dtype=values.dtype)
        std = values.std(correction=0) if len(values) else 0
        values += noise_std * std * noise.to(values.device)
    return model


# ------------------------------------------------------------------------------------- wiring


def switch_links(
    support: Support, switches_per_link: float = 10, *, generator: torch.Generator
) -> tuple[Support, Tensor]:
    """Links rewired at random with all degrees kept: pairs of links exchange their inputs.

    ⌊switches_per_link · nnz⌋ times, two links are drawn uniformly and exchange their input
    neurons, unless that repeats a link. The chain is symmetric, so that in the long run all
    networks with these degrees are equally likely.

    Source: [Maslov2002], the local rewiring algorithm.
    Departs: a fixed number of attempts; those that would repeat a link count.

    Args:
        support: the links.
        switches_per_link: attempts for each link, at least 0.
        generator: source of randomness, on the CPU.
    Returns: the new support, and (nnz,) int64 ``origin``: link k of the new support is old link
        origin[k] with another input neuron, so weights[origin] stay with their output neurons.
    Raises: ValueError if ``switches_per_link`` is negative or not finite.
    """
    if not 0 <= switches_per_link < math.inf:
        raise ValueError(f"switches_per_link = {switches_per_link} is out of range: give 0 or more")
    size = 2, int(switches_per_link * support.nnz)
    draws = torch.randint(max(1, support.nnz), size, generator=generator)
    base, col = (support.row.long() * support.n_in).tolist(), support.col.tolist()
    taken = set(support.keys.tolist())  # a key is base + col
    for a, b in zip(*draws.tolist(), strict=True):
        base_a, base_b, col_a, col_b = base[a], base[b], col[a], col[b]
        if base_a + col_b not in taken and base_b + col_a not in taken:
            taken ^= {base_a + col_a, base_b + col_b, base_a + col_b, base_b + col_a}
            col[a], col[b] = col_b, col_a
    keys, origin = (support.row.long() * support.n_in + support.col.new_tensor(col)).sort()
    return evolution.support_from_keys(keys, support.n_in, support.n_out), origin


def rewire(
    model: nn.Module,
    switches_per_link: float = 10,
    *,
    generator: torch.Generator,
    **choice: Unpack[Choice],
) -> nn.Module:
    """The network with the links of each layer switched, all degrees kept, and weights with them.

    Source: [Maslov2002], see :func:`switch_links`; [Jankowski2025], degree-preserving switching.
    Departs: a weight of either sign moves with its link; [Jankowski2025] switches positive links.

    Args:
        model: the network, in evaluation mode.
        switches_per_link: attempts for each link, at least 0.
        generator: source of randomness, on the CPU.
        choice: layers, all sparse, and output, see :class:`Choice`; biases have no links to move.
    Returns: a changed copy.
    Raises: ValueError if a layer is dense or ``switches_per_link`` is out of range.
    """
    model = copy.deepcopy(model)
    for layer in _sparse_layers(model, **choice):
        support, origin = switch_links(layer.support, switches_per_link, generator=generator)
        _move_links_(layer, support.keys, origin)
    return model


def random_rewire(
    model: nn.Module, *, generator: torch.Generator, **choice: Unpack[Choice]
) -> nn.Module:
    """The network with as many links in each layer, drawn anew, and the weights on them at random.

    Source: [Mocanu2018], the Erdős–Rényi start, with the number of links and the weights kept.

    Arguments, result and errors as in :func:`rewire`.
    """
    model = copy.deepcopy(model)
    for layer in _sparse_layers(model, **choice):
        positions = layer.n_in * layer.n_out
        # drawn before the keys: by the seed of the network, these would be its own again
        origin = torch.randperm(layer.nnz, generator=generator)
        keys = evolution.draw_free_keys(positions, layer.nnz, generator=generator)
        _move_links_(layer, keys.to(layer.values.device), origin)
    return model


def _sparse_layers(model: nn.Module, **which: Unpack[Choice]) -> list[SparseLinear]:
    chosen = perturbed_layers(model, **which)
    for name, layer in chosen.items():
        if not isinstance(layer, SparseLinear):
            raise ValueError(f"layer {name!r} is dense, its links cannot move: leave it out")
    return list(chosen.values())


# ------------------------------------------------------------------------------------ measures


def relative_area(fractions: ArrayLike, accuracies: ArrayLike, n_classes: int) -> float:
    r"""Robustness of accuracy: area under the relative accuracy above chance.

    .. math:: R_A = \int_0^1 \frac{A(f) - 1/K}{A(0) - 1/K} \, df

    by the trapezoid rule; 1 where nothing is lost.

    Source: ours, after the robustness R of [Schneider2011].

    Args:
        fractions: (n,) float, ascending from 0 to 1.
        accuracies: (n,) float, in [0, 1], at these fractions.
        n_classes: K, at least 2.
    Returns: :math:`R_A`; nan if A(0) is not above chance.
    Raises: ValueError if a value is out of range.
    """
    return float(np.trapezoid(_above_chance(fractions, accuracies, n_classes), fractions))


def half_fraction(fractions: ArrayLike, accuracies: ArrayLike, n_classes: int) -> float:
    """First fraction at which the relative accuracy above chance falls below one half.

    Source: ours. Interpolated linearly; arguments and errors as in :func:`relative_area`.

    Returns: the fraction, nan if the accuracy never falls so far or A(0) is not above chance.
    """
    relative = _above_chance(fractions, accuracies, n_classes)
    below = np.flatnonzero(relative < 0.5)
    if not len(below):
        return math.nan
    ends = [below[0], below[0] - 1]  # the relative accuracy falls here, and interp wants it to rise
    return float(np.interp(0.5, relative[ends], np.asarray(fractions)[ends]))


def _above_chance(fractions: ArrayLike, accuracies: ArrayLike, n_classes: int) -> np.ndarray:
    """(n,) accuracy above chance, relative to that at fraction 0; nan if there is none."""
    fractions, accuracies = np.asarray(fractions, float), np.asarray(accuracies, float)
    ascending = [*fractions[:1], *fractions[-1:]] == [0, 1] and (np.diff(fractions) > 0).all()
    if not ascending or fractions.shape != accuracies.shape:
        raise ValueError(f"fractions = {fractions}: give one per accuracy, ascending from 0 to 1")
    if not ((accuracies >= 0) & (accuracies <= 1)).all():
        raise ValueError(f"accuracies = {accuracies} are out of range: give fractions in [0, 1]")
    if n_classes < 2:
        raise ValueError(f"n_classes = {n_classes} is out of range: give at least 2")
    excess = accuracies - 1 / n_classes
    return excess / excess[0] if excess[0] > 0 else np.full_like(excess, np.nan)
