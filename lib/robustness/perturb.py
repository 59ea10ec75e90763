r"""Perturbations of a trained network: links removed, weights shuffled, links rewired, noise.

Every function takes a model and returns a changed copy. The *links* of a layer are those of its
support, or all n_out · n_in weights of a dense layer, row after row; the output layer and biases
are left alone unless asked for. Of n links, a fraction f means :math:`\lfloor f n + 10^{-9}\rfloor`
(the small number keeps whole products whole).
"""

import copy
import math
from collections.abc import Collection
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from .. import topology
from ..layers import SparseLinear
from ..models import check_evaluating
from ..names import check_number
from ..support import draw_free_keys, support_from_keys
from ..topology.nulls import switch_links

LinearLayer = SparseLinear | nn.Linear

ORDERS = ("random", "ascending", "descending", "degree", "betweenness")
NETWORK_MEASURES = {
    "degree": topology.link_degree,
    "betweenness": topology.link_betweenness,
}
WITHIN = ("all", "sign", "inputs", "outputs", "sign and inputs")


class Choice(TypedDict, total=False):
    """Which links a perturbation may touch; [Jankowski2025] removes biases with the links.

    Args:
        layers, output: which layers, see :func:`perturbed_layers`.
        biases: whether the biases of a layer are perturbed as its links are, after which they
            stand; by default they stay as they are.
    """

    layers: Collection[str] | None
    output: bool
    biases: bool


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
        model: the network, in evaluation mode; its last linear layer is the output layer.
        layers: names of the layers to take; None takes all.
        output: whether the output layer may be taken too.
    Returns: name -> layer, the modules of ``model`` themselves.
    Raises: ValueError if the model is in training mode, a name is unknown or no layer is left.
    """
    check_evaluating(model)
    known = linear_layers(model, output=output)
    if layers is None:
        layers = list(known)
    if not layers:
        raise ValueError("no linear layer to perturb: name one, give another model or output=True")
    for name in layers:
        if name not in known:
            raise ValueError(f"layer {name!r} is unknown: give some of {', '.join(known)}")
    return {name: layer for name, layer in known.items() if name in layers}


def linear_layers(model: nn.Module, *, output: bool = False) -> dict[str, LinearLayer]:
    """The linear layers by name, in the order of the network, the last of them only with
    ``output``.
    """
    known = {}
    for name, module in model.named_modules():
        if isinstance(module, LinearLayer):
            known[name] = module
    if known and not output:
        known.popitem()  # the last one
    return known


def name_of_weights(layer: LinearLayer) -> str:
    """What a layer calls the parameter that holds the weights of its links."""
    return "values" if isinstance(layer, SparseLinear) else "weight"


class _Parameter(NamedTuple):
    """The weights or the biases of a layer, as a flat view (n,) of its memory."""

    layer: LinearLayer
    name: str  # in the layer
    values: Tensor


def _parameters(
    model: nn.Module,
    *,
    biases: bool = False,
    **which_layers: Any,
) -> list[_Parameter]:
    """The weights of each chosen layer, followed by its biases if asked for."""
    parameters = []
    for layer in perturbed_layers(model, **which_layers).values():
        parameters.append(_flat(layer, name_of_weights(layer)))
        if biases and layer.bias is not None:
            parameters.append(_flat(layer, "bias"))
    return parameters


def _flat(layer: LinearLayer, name: str) -> _Parameter:
    values = getattr(layer, name).data
    return _Parameter(layer, name, values.view(-1))


def _sparse_layers(model: nn.Module, **choice: Unpack[Choice]) -> list[SparseLinear]:
    chosen = perturbed_layers(model, **choice)
    for name, layer in chosen.items():
        if not isinstance(layer, SparseLinear):
            raise ValueError(f"layer {name!r} is dense, its links cannot move: leave it out")
    return list(chosen.values())


def _count(fraction: float, n: int) -> int:
    check_number("fraction", fraction, "[0, 1]")
    return math.floor(fraction * n + 1e-9)


def _require_known(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} = {value!r} is unknown: {', '.join(known)}")


def _move_links_(layer: SparseLinear, keys: Tensor, origin: Tensor) -> None:
    """Give ``layer`` the links ``keys``; link k carries the weight of old link origin[k]."""
    n_in = layer.support.n_in
    n_out = layer.support.n_out
    layer.support = support_from_keys(keys, n_in, n_out)
    layer.replace_values_(layer.values.data[origin])


# --------------------------------------------------------------------------- order of links


def link_order(
    model: nn.Module,
    order: str,
    *,
    generator: torch.Generator,
    **choice: Unpack[Choice],
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
        generator: source of randomness, on the CPU.
        choice: layers, output and biases, see :class:`Choice`; no biases with degree or
            betweenness.
    Returns: (n,) int64, positions in the pool: layer after layer, each in the order of its links.
    Raises: ValueError if the order is unknown or has no meaning for biases.
    """
    _require_known("order", order, ORDERS)
    parameters = _parameters(model, **choice)
    if order in NETWORK_MEASURES and choice.get("biases"):
        raise ValueError(f"biases have no {order}: give biases=False or another order")
    n = sum(len(parameter.values) for parameter in parameters)
    shuffled = torch.randperm(n, generator=generator)
    if order == "random":
        return shuffled
    score = _removal_score(model, order, parameters)
    by_score = score[shuffled].argsort(stable=True)
    return shuffled[by_score]


def _removal_score(model: nn.Module, order: str, parameters: list[_Parameter]) -> Tensor:
    """(n,) float of the pooled links, lowest where links are to be removed first."""
    pool = torch.cat([parameter.values.cpu() for parameter in parameters])
    if order == "ascending":
        return pool.abs()
    if order == "descending":
        return -pool.abs()
    score = torch.ones(len(pool))  # absent links keep it and come last
    if order in NETWORK_MEASURES:
        layers = [parameter.layer for parameter in parameters]
        importance = _network_scores(model, order, layers)
        score[pool != 0] = -importance.to(score)
    return score


def _network_scores(model: nn.Module, order: str, chosen: list[LinearLayer]) -> Tensor:
    """Degree or betweenness of the non-zero links of the chosen layers, pooled."""
    measure = NETWORK_MEASURES[order]
    all_scores = measure(topology.adjacency(model))
    all_layers = perturbed_layers(model, output=True).values()
    scores = []
    for layer, layer_scores in zip(all_layers, all_scores, strict=True):
        if layer in chosen:
            scores.append(layer_scores)
    pooled = np.concatenate(scores)
    return torch.from_numpy(pooled).float()  # rounded, so that sums of equal terms tie


def _first_links(
    model: nn.Module,
    fraction: float,
    order: str | Tensor,
    generator: torch.Generator | None,
    choice: Choice,
) -> list[tuple[_Parameter, Tensor]]:
    """The parameters of the model, each with (n,) bool, True at the first links of the order."""
    parameters = _parameters(model, **choice)
    sizes = [len(parameter.values) for parameter in parameters]
    n = sum(sizes)
    n_first = _count(fraction, n)
    if isinstance(order, str):
        if generator is None:
            raise ValueError(f"generator = None: give one to draw the order {order!r}")
        order = link_order(model, order, generator=generator, **choice)
    elif not torch.equal(order.sort().values, torch.arange(n)):
        raise ValueError(f"order of {len(order)} links: give link_order's for these {n} links")
    first = torch.zeros(n, dtype=torch.bool)
    first[order[:n_first]] = True
    return list(zip(parameters, first.split(sizes), strict=True))


def remove_links(
    model: nn.Module,
    fraction: float,
    *,
    order: str | Tensor = "random",
    rescale: bool = False,
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
        rescale: whether the weights that are left grow by n / (number left), so that in random
            order every neuron keeps its expected input: what is lost is then information, not
            scale.
        generator: source of randomness, on the CPU; needed if ``order`` is a name.
        choice: layers, output and biases, see :class:`Choice`; a bias removed becomes 0.
    Returns: a changed copy.
    Raises: ValueError if the fraction is out of range or the order unknown or of other links.
    """
    model = copy.deepcopy(model)
    marked = _first_links(model, fraction, order, generator, choice)
    factor = _rescaling([removed for _, removed in marked]) if rescale else 1
    for parameter, removed in marked:
        layer, name, values = parameter
        values *= factor
        if name == "values":
            kept = (~removed).nonzero().squeeze(1).to(values.device)
            _move_links_(layer, layer.support.keys[kept], kept)
        else:
            values[removed] = 0
    return model


def _rescaling(removed: list[Tensor]) -> float:
    """Number of links over the number left of them, 1 where none is left; of bools, True where a
    link is removed.
    """
    pool = torch.cat(removed)
    n_left = int((~pool).sum())
    return len(pool) / n_left if n_left else 1


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
    for parameter, flipped in _first_links(model, fraction, order, generator, choice):
        parameter.values[flipped] *= -1
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
        generator: source of randomness, on the CPU.
        choice: layers, output and biases, see :class:`Choice`; the biases of a layer move among
            themselves, within "all" and "sign" only.
    Returns: a changed copy.
    Raises: ValueError if the fraction is out of range or ``within`` unknown or without meaning for
        biases.
    """
    _require_known("within", within, WITHIN)
    if choice.get("biases") and within not in ("all", "sign"):
        raise ValueError(f"biases cannot move within {within!r}: give 'all' or 'sign'")
    model = copy.deepcopy(model)
    for layer, _, values in _parameters(model, **choice):
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
    row, col = _ends(layer)
    if within == "inputs":
        return row
    if within == "outputs":
        return col
    return 3 * row + values.sign().to(row)


def _ends(layer: LinearLayer) -> tuple[Tensor, Tensor]:
    """(n,) output neuron and (n,) input neuron of each link."""
    if isinstance(layer, SparseLinear):
        return layer.support.row, layer.support.col
    links = torch.arange(layer.weight.numel())
    return links // layer.in_features, links % layer.in_features


def binarise(model: nn.Module, **choice: Unpack[Choice]) -> nn.Module:
    r"""The network with the signs of its weights alone: those of a layer have one magnitude.

    .. math:: w'_k = s \, sign(w_k), \qquad s = \frac{1}{n} \sum_k |w_k|

    Without weights of zero, which stay zero, no other s is nearer to the weights of the layer in
    the sum of squares.

    Source: [Jankowski2025], binarisation.
    Departs: with the scale s, and neither biases nor the output layer unless asked for;
    [Jankowski2025] takes the signs of all of them.

    Args:
        model: the network, in evaluation mode.
        choice: layers, output and biases, see :class:`Choice`; the biases of a layer have a
            magnitude of their own.
    Returns: a changed copy.
    """
    model = copy.deepcopy(model)
    for parameter in _parameters(model, **choice):
        values = parameter.values
        if len(values):
            values.copy_(values.abs().mean() * values.sign())
    return model


class InputNoise(nn.Module):
    r"""Pixels with Gaussian noise, clipped: :math:`\min(1, \max(0, x + \sigma \xi))`.

    Noise is drawn anew at each call, on the CPU, by the module's own generator.

    Args:
        noise_std: :math:`\sigma`, in units of the pixels, which are in [0, 1].
        seed: of the module's generator.
    """

    def __init__(self, noise_std: float, seed: int) -> None:
        super().__init__()
        self.noise_std = noise_std
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=self.generator, dtype=x.dtype)
        noisy = x + self.noise_std * noise.to(x.device)
        return noisy.clamp(0, 1)


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

    Source: [Jankowski2025], noise on weights.
    Departs: its unit is the standard deviation of the weights of the layer.

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
    check_number("noise_std", noise_std, "[0, inf)")
    model = copy.deepcopy(model)
    parameters = _parameters(model, **choice)
    if where == "inputs":
        seed = int(torch.randint(2**62, (), generator=generator))
        noise = InputNoise(noise_std, seed)
        return nn.Sequential(noise, model).eval()
    for parameter in parameters:
        values = parameter.values
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
    model: nn.Module,
    *,
    generator: torch.Generator,
    **choice: Unpack[Choice],
) -> nn.Module:
    """The network with as many links in each layer, drawn anew, and the weights on them at random.

    Source: [Mocanu2018], the Erdős–Rényi start, with the number of links and the weights kept.

    Arguments, result and errors as in :func:`rewire`.
    """
    model = copy.deepcopy(model)
    for layer in _sparse_layers(model, **choice):
        nnz = layer.support.nnz
        positions = layer.support.n_in * layer.support.n_out
        # drawn before the keys: by the seed of the network, these would be its own again
        origin = torch.randperm(nnz, generator=generator)
        keys = draw_free_keys(positions, nnz, generator=generator)
        _move_links_(layer, keys.to(layer.values.device), origin)
    return model
