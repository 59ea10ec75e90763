r"""Perturbations of a trained network: links removed, weights shuffled, links rewired, noise.

Every function takes a model and returns a changed copy. The *links* of a layer are those of its
support, or all n_out · n_in weights of a dense layer, row after row; the output layer and biases
are left alone. Of n links, a fraction f means :math:`\lfloor f n + 10^{-9}\rfloor`
(the small number keeps whole products whole).
"""

import copy
import math
from collections.abc import Collection, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from .. import topology
from .._boundary import check_known, check_number, names_of_one
from ..layers import SparseLinear
from ..models import check_evaluating
from ..support import draw_free_keys, support_from_keys
from ..topology.nulls import switch_links

LinearLayer = SparseLinear | nn.Linear

ORDERS = ("random", "ascending", "descending", "degree", "betweenness")
NETWORK_MEASURES = {
    "degree": topology.link_degree,
    "betweenness": topology.link_betweenness,
}
WITHIN = ("all", "sign", "inputs", "outputs", "sign and inputs")


# ------------------------------------------------------------------------- what is perturbed


def perturbed_layers(
    model: nn.Module,
    layers: Collection[str] | None = None,
    *,
    output: bool = False,
) -> dict[str, LinearLayer]:
    """The linear layers to perturb, by name, in the order of the network.

    Source: [Sulyok2026], the sparse layers.

    Args:
        model: the network, in evaluation mode; the linear layer that was registered last counts as
            the output layer.
        layers: names of the layers to take, as ["1"]; None takes all. Name them if another
            layer is the output, or if the model has attention: of the projections of
            ``nn.MultiheadAttention`` only ``out_proj`` is a linear layer.
        output: whether the output layer may be taken too.
    Returns: name -> layer, the modules of ``model`` themselves.
    Raises: ValueError if the model is in training mode, ``layers`` is a text, a name is unknown, no
        layer is left, the weights of one are computed from others or two share them.
    """
    check_evaluating(model)
    known = linear_layers(model, output=output)
    if isinstance(layers, str):
        raise ValueError(f"layers = {layers!r} is a text: give a list of names, as [{layers!r}]")
    layers = list(known if layers is None else layers)
    if not layers:
        raise ValueError(
            "no linear layer to perturb: name one, or give a model with one below the output layer"
        )
    for name in layers:
        check_known("layer", name, known)
    chosen = {name: layer for name, layer in known.items() if name in layers}
    check_own_weights(chosen)
    return chosen


def check_own_weights(layers: Mapping[str, LinearLayer]) -> None:
    """Raise ValueError if the weights of a layer are computed from others or two share them."""
    weights = {}
    for name, layer in layers.items():
        weights[name] = layer._parameters.get(name_of_weights(layer))
        if weights[name] is None:
            raise ValueError(
                f"the weights of layer {name!r} are computed from other parameters: remove its"
                " parametrization first"
            )
    tied = names_of_one(weights)
    if tied is not None:
        first, second = tied
        raise ValueError(
            f"layers {first!r} and {second!r} share their weights: name one of them, or give each"
            " its own"
        )


def linear_layers(model: nn.Module, *, output: bool = False) -> dict[str, LinearLayer]:
    """The linear layers by name, in the order of the network, the last of them only with
    ``output``.
    """
    modules = model.named_modules()
    known = {name: module for name, module in modules if isinstance(module, LinearLayer)}
    if known and not output:
        known.popitem()  # the last one
    return known


def name_of_weights(layer: LinearLayer) -> str:
    """Name of the parameter of a layer that holds the weights of its links."""
    return "values" if isinstance(layer, SparseLinear) else "weight"


def _weights(layer: LinearLayer) -> Tensor:
    """(n,) weights of its links, a view of the layer's memory where that holds row after row."""
    return getattr(layer, name_of_weights(layer)).data.reshape(-1)


def _copied(model: nn.Module) -> nn.Module:
    """A copy whose dense layers hold their weights row after row, as :func:`_weights` sees them."""
    model = copy.deepcopy(model)
    for layer in linear_layers(model, output=True).values():
        if isinstance(layer, nn.Linear):
            layer.weight.data = layer.weight.data.contiguous()
    return model


def _sparse_layers(model: nn.Module, layers: Collection[str] | None) -> list[SparseLinear]:
    chosen = perturbed_layers(model, layers)
    for name, layer in chosen.items():
        if not isinstance(layer, SparseLinear):
            raise ValueError(f"layer {name!r} is dense, its links cannot move: leave it out")
    return list(chosen.values())


def _count(fraction: float, n: int) -> int:
    check_number("fraction", fraction, "[0, 1]")
    return math.floor(fraction * n + 1e-9)


def _move_links_(layer: SparseLinear, keys: Tensor, origin: Tensor) -> None:
    """Give ``layer`` the links ``keys``; link k carries the weight of old link origin[k]."""
    support = support_from_keys(keys, layer.in_features, layer.out_features)
    layer.replace_links_(support, layer.values.data[origin])


# --------------------------------------------------------------------------- order of links


def link_order(
    model: nn.Module,
    order: str,
    *,
    layers: Collection[str] | None = None,
    generator: torch.Generator,
) -> Tensor:
    r"""The links of all chosen layers, pooled, in the order in which they are to be removed.

    ``"random"``; ``"ascending"`` or ``"descending"`` :math:`|w|`; ``"degree"`` or
    ``"betweenness"``, largest :func:`lib.topology.graphs.link_degree` or
    :func:`lib.topology.graphs.link_betweenness` first, in the whole network as it stands, not
    recalculated; a weight of zero is no link there and comes last. Ties are broken at random.

    Source: [Holme2002], initial edge degree and initial betweenness; [Sulyok2026], random;
    [Jankowski2025], smallest and largest weights.
    Departs: the layers are pooled; [Jankowski2025] takes the same fraction of each layer.

    Args:
        model: the network, in evaluation mode.
        order: one of ``ORDERS``.
        layers: which layers, see :func:`perturbed_layers`.
        generator: source of randomness, on the CPU.
    Returns: (n,) int64, positions in the pool: layer after layer, each in the order of its links.
    Raises: ValueError if the order is unknown.
    """
    check_known("order", order, ORDERS)
    chosen = list(perturbed_layers(model, layers).values())
    n = sum(len(_weights(layer)) for layer in chosen)
    shuffled = torch.randperm(n, generator=generator)
    if order == "random":
        return shuffled
    score = _removal_score(model, order, chosen)
    by_score = score[shuffled].argsort(stable=True)
    return shuffled[by_score]


def _removal_score(model: nn.Module, order: str, chosen: list[LinearLayer]) -> Tensor:
    """(n,) float of the pooled links, lowest where links are to be removed first."""
    pool = torch.cat([_weights(layer).cpu() for layer in chosen])
    if order == "ascending":
        return pool.abs()
    if order == "descending":
        return -pool.abs()
    all_scores = NETWORK_MEASURES[order](topology.adjacency(model))
    all_layers = linear_layers(model, output=True).values()
    of_layers = zip(all_layers, all_scores, strict=True)
    of_links = np.concatenate([scores for layer, scores in of_layers if layer in chosen])
    rounded = torch.from_numpy(of_links).float()  # so that sums of equal terms tie
    score = torch.ones(len(pool))  # absent links keep it and come last
    score[pool != 0] = -rounded.to(score)
    return score


def _first_links(
    model: nn.Module,
    fraction: float,
    order: str | Tensor,
    layers: Collection[str] | None,
    generator: torch.Generator | None,
) -> list[tuple[LinearLayer, Tensor]]:
    """The chosen layers, each with (n,) bool, True at the first links of the order."""
    chosen = list(perturbed_layers(model, layers).values())
    sizes = [len(_weights(layer)) for layer in chosen]
    n = sum(sizes)
    n_first = _count(fraction, n)
    if not isinstance(order, Tensor):
        if generator is None:
            drawn = "the" if order == "random" else "which of equal links comes first in the"
            raise ValueError(f"generator = None: give one to draw {drawn} order {order!r}")
        order = link_order(model, order, layers=layers, generator=generator)
    elif not torch.equal(order.sort().values, torch.arange(n)):
        raise ValueError(f"order of {len(order)} links: give link_order's for these {n} links")
    first = torch.zeros(n, dtype=torch.bool)
    first[order[:n_first]] = True
    return list(zip(chosen, first.split(sizes), strict=True))


def remove_links(
    model: nn.Module,
    fraction: float,
    *,
    order: str | Tensor = "random",
    rescale: bool = False,
    layers: Collection[str] | None = None,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """The network without the first fraction of its links in the given order.

    A sparse layer loses the links, a dense one gets zeros in their place. One order, or one seed,
    at several fractions gives nested removals: a larger fraction removes the same links and more.

    Source: [Sulyok2026], random link removal; [Holme2002], by degree and betweenness;
    [Jankowski2025], by magnitude.
    Departs: removals are nested; [Jankowski2025] draws afresh for each fraction, and removes biases
        with the links.

    Args:
        model: the network, in evaluation mode.
        fraction: part of the pooled links that goes, in [0, 1]: ⌊fraction · n + 1e-9⌋ of n.
        order: one of ``ORDERS``, or what :func:`link_order` returned for the same layers.
        rescale: whether the weights that are left grow by n / (number left), so that in random
            order every neuron keeps its expected input: what is lost is then information, not
            scale.
        layers: which layers, see :func:`perturbed_layers`.
        generator: source of randomness, on the CPU; needed if ``order`` is a name.
    Returns: a changed copy.
    Raises: ValueError if the fraction is out of range or the order unknown or of other links.
    """
    model = _copied(model)
    marked = _first_links(model, fraction, order, layers, generator)
    factor = 1.0
    if rescale:
        pool = torch.cat([removed for _, removed in marked])
        n_left = int((~pool).sum())
        factor = len(pool) / n_left if n_left else 1.0
    for layer, removed in marked:
        values = _weights(layer)
        values *= factor
        if isinstance(layer, SparseLinear):
            kept = (~removed).nonzero().squeeze(1).to(values.device)
            _move_links_(layer, layer.support.keys[kept], kept)
        else:
            values[removed] = 0
    return model


def flip_signs(
    model: nn.Module,
    fraction: float,
    *,
    layers: Collection[str] | None = None,
    generator: torch.Generator,
) -> nn.Module:
    """The network with the signs of a fraction of its links, drawn at random, flipped.

    Source: [Jankowski2025], sign flips of random weights.

    Arguments, result and errors as in :func:`remove_links`: one seed flips the links that it
    removes.
    """
    model = _copied(model)
    for layer, flipped in _first_links(model, fraction, "random", layers, generator):
        _weights(layer)[flipped] *= -1
    return model


# ---------------------------------------------------------------------- weights on their links


def shuffle_weights(
    model: nn.Module,
    fraction: float,
    *,
    within: str = "all",
    layers: Collection[str] | None = None,
    generator: torch.Generator,
) -> nn.Module:
    """The network with the weights of some links of each layer permuted among these links.

    The links of a layer stay where they are; a fraction of them, chosen uniformly, exchange
    weights: over the whole layer (``"all"``), positive and negative apart (``"sign"``), within the
    inputs of each neuron (``"inputs"``, its total weight is kept), within its outputs
    (``"outputs"``), or within its inputs with positive and negative apart (``"sign and inputs"``).
    All permutations are equally likely, so some links may keep their weight.

    Source: [Sulyok2026], weight shuffling; [Jankowski2025], its variants.
    Departs: on the support of a sparse layer; the chosen links are uniform over the layer also
    within signs, where [Jankowski2025] takes half of them positive and half negative.

    Args:
        model: the network, in evaluation mode.
        fraction: part of the links of each layer that is chosen, in [0, 1]: ⌊fraction · n + 1e-9⌋.
        within: one of ``WITHIN``.
        layers: which layers, see :func:`perturbed_layers`.
        generator: source of randomness, on the CPU.
    Returns: a changed copy.
    Raises: ValueError if the fraction is out of range or ``within`` unknown.
    """
    check_known("within", within, WITHIN)
    model = _copied(model)
    for layer in perturbed_layers(model, layers).values():
        values = _weights(layer)
        n = len(values)
        n_chosen = _count(fraction, n)
        target = torch.randperm(n, generator=generator)[:n_chosen]
        source = target[torch.randperm(n_chosen, generator=generator)]
        group = _groups(layer, values, within).cpu()
        # both by group, each at random in it
        target = target[group[target].argsort(stable=True)]
        source = source[group[source].argsort(stable=True)]
        values[target] = values[source]
    return model


def _groups(layer: LinearLayer, values: Tensor, within: str) -> Tensor:
    """(n,) number of the group of each entry; weights move within their group."""
    if within == "all":
        return torch.zeros_like(values)
    if within == "sign":
        return values.sign()
    if isinstance(layer, SparseLinear):
        row, col = layer.support.row, layer.support.col
    else:
        links = torch.arange(layer.weight.numel())
        row, col = links // layer.in_features, links % layer.in_features
    if within == "inputs":
        return row
    if within == "outputs":
        return col
    return 3 * row + values.sign().to(row)


def binarise(model: nn.Module, *, layers: Collection[str] | None = None) -> nn.Module:
    r"""The network with the signs of its weights alone: those of a layer have one magnitude.

    .. math:: w'_k = s \, sign(w_k), \qquad s = \frac{1}{n} \sum_k |w_k|

    Without weights of zero, which stay zero, no other s is nearer to the weights of the layer in
    the sum of squares.

    Source: [Jankowski2025], binarisation.
    Departs: with the scale s, and without biases and the output layer; [Jankowski2025] takes the
        signs of all of them.

    Args:
        model: the network, in evaluation mode.
        layers: which layers, see :func:`perturbed_layers`.
    Returns: a changed copy.
    """
    model = _copied(model)
    for layer in perturbed_layers(model, layers).values():
        values = _weights(layer)
        if len(values):
            values.copy_(values.abs().mean() * values.sign())
    return model


def add_noise(
    model: nn.Module,
    noise_std: float,
    *,
    layers: Collection[str] | None = None,
    generator: torch.Generator,
) -> nn.Module:
    r"""The network with Gaussian noise on the weights of its links.

    .. math:: w_k + \sigma \, s \, \xi_k, \qquad \xi_k \sim N(0, 1)

    with s the standard deviation of the weights of the layer.

    Source: [Jankowski2025], noise on weights.
    Departs: its unit is the standard deviation of the weights of the layer.

    Args:
        model: the network, in evaluation mode.
        noise_std: :math:`\sigma`, at least 0.
        layers: which layers, see :func:`perturbed_layers`.
        generator: source of randomness, on the CPU.
    Returns: a changed copy.
    Raises: ValueError if ``noise_std`` is negative or not finite.
    """
    check_number("noise_std", noise_std, "[0, inf)")
    model = _copied(model)
    for layer in perturbed_layers(model, layers).values():
        values = _weights(layer)
        if len(values):
            noise = torch.randn(len(values), generator=generator, dtype=values.dtype)
            std = values.std(correction=0)
            values += noise_std * std * noise.to(values.device)
    return model


# ------------------------------------------------------------------------------------- wiring


def rewire(
    model: nn.Module,
    switches_per_link: float = 10,
    *,
    layers: Collection[str] | None = None,
    generator: torch.Generator,
) -> nn.Module:
    """The network with the links of each layer switched, all degrees kept, and weights with them.

    Source: [Maslov2002], see :func:`switch_links`; [Jankowski2025], degree-preserving switching.
    Departs: a weight of either sign moves with its link; [Jankowski2025] switches positive links.

    Args:
        model: the network, in evaluation mode.
        switches_per_link: attempts for each link, at least 0.
        layers: which layers, all sparse, see :func:`perturbed_layers`.
        generator: source of randomness, on the CPU.
    Returns: a changed copy.
    Raises: ValueError if a layer is dense or ``switches_per_link`` is out of range.
    """
    model = _copied(model)
    for layer in _sparse_layers(model, layers):
        support, origin = switch_links(layer.support, switches_per_link, generator=generator)
        layer.replace_links_(support, layer.values.data[origin])
    return model


def random_rewire(
    model: nn.Module,
    *,
    layers: Collection[str] | None = None,
    generator: torch.Generator,
) -> nn.Module:
    """The network with as many links in each layer, drawn anew, and the weights on them at random.

    Source: [Mocanu2018], the Erdős–Rényi start, with the number of links and the weights kept.

    Arguments, result and errors as in :func:`rewire`.
    """
    model = _copied(model)
    for layer in _sparse_layers(model, layers):
        nnz = layer.support.nnz
        positions = layer.support.n_in * layer.support.n_out
        # drawn before the keys: by the seed of the network, these would be its own again
        origin = torch.randperm(nnz, generator=generator)
        keys = draw_free_keys(positions, nnz, generator=generator)
        _move_links_(layer, keys.to(layer.values.device), origin)
    return model
