"""What a trained network keeps when links are removed and weights shuffled: the tables behind
notebooks 21 and 23, one row a measurement.

Accuracy is the fraction of a fixed stratified subset of images that is classified correctly.
"""

import math
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import data, models, topology, train
from lib.data import Split
from lib.papers.shared import trained
from lib.papers.shared.study import Study, Table
from lib.robustness import perturb
from lib.runs.record import Record

SWITCHES = (0.1, 0.3, 1.0, 3.0, 10.0)  # a link
NOISE_STD = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)  # in standard deviations of the weights
SPARSE_DENSITY = 0.01  # of the sparse networks whose number of links a dense one loses
ALL = "all"  # layers


def subset(split: Split, n: int) -> tuple[Tensor, Tensor]:
    """n images and their labels, classes in proportion, the same ones for every network.

    Smaller subsets lie within larger ones. They come from the validation part where the data have
    one, else from the test part.
    """
    x, y = split.x_test, split.y_test
    if split.x_valid is not None:
        x, y = split.x_valid, split.y_valid
    order = data.stratified_order(len(y), y.numpy())
    first = torch.from_numpy(order[:n].copy())
    return x[first], y[first]


def images(study: Study) -> tuple[Tensor, Tensor]:
    """The images of a study and their labels."""
    parent = study.parent
    split = data.load_once(parent.dataset, validation=parent.validation)
    return subset(split, study.images)


# -------------------------------------------------------------------------------------- removal


class Removal(NamedTuple):
    """One series of removals: the order, "all" or the name of a layer, and the largest share of
    the links that is removed.
    """

    order: str
    scope: str
    share: float = 1.0


def link_removal(study: Study, parent: Record) -> Table:
    """Accuracy, largest component and input-output paths against the fraction of links removed.

    Every order of removal over all sparse layers, and "random" layer by layer (a third of the draws
    each). "random, equal number" takes from a dense network as many links as the fraction is of
    those of a sparse one of density .01.

    Returns: columns order, scope, draw, fraction, removed (links), accuracy, component (share of
        all neurons), paths.
    """
    model, (x, y) = trained.network(parent), images(study)
    sizes = _numbers_of_links(model)
    rows = []
    for removal in _removals(study, model, sizes):
        order, _, _ = removal.order.partition(",")
        draws = _draws(study, removal.scope) if order == "random" else 1
        layers = _chosen(removal.scope)
        for draw in range(draws):
            generator = study.generator(draw)
            ranked = perturb.link_order(model, order, layers=layers, generator=generator)
            for fraction in np.linspace(0, 1, study.points):
                share = removal.share * fraction
                left = perturb.remove_links(model, share, order=ranked, layers=layers)
                row = {
                    "order": removal.order,
                    "scope": removal.scope,
                    "draw": draw,
                    "fraction": fraction,
                    "removed": int(share * sizes[removal.scope] + 1e-9),
                    "accuracy": train.accuracy(left, x, y),
                }
                if removal.scope == ALL:
                    row |= _connections(left)
                rows.append(row)
    return pd.DataFrame(rows), {}


def _removals(study: Study, model: nn.Module, sizes: dict[str, int]) -> list[Removal]:
    layers = perturb.perturbed_layers(model)
    removals = [Removal(order, ALL) for order in perturb.ORDERS]
    removals += [Removal("random", name) for name in layers]
    equal = 0
    for layer in layers.values():
        if isinstance(layer, nn.Linear):
            equal += round(SPARSE_DENSITY * layer.weight.numel())
    if equal and study.method == "dense":
        removals.append(Removal("random, equal number", ALL, equal / sizes[ALL]))
    return removals


def _numbers_of_links(model: nn.Module) -> dict[str, int]:
    """Links of each layer that is perturbed, and of all."""
    sizes = {}
    for name, layer in perturb.perturbed_layers(model).items():
        sizes[name] = getattr(layer, perturb.name_of_weights(layer)).numel()
    return {**sizes, ALL: sum(sizes.values())}


def _connections(model: nn.Module) -> dict[str, float]:
    matrices = topology.adjacency(model)
    return {
        "component": topology.largest_component(matrices),
        "paths": topology.count_paths(matrices),
    }


def _chosen(scope: str) -> Collection[str] | None:
    return None if scope == ALL else [scope]


def _draws(study: Study, scope: str) -> int:
    """All draws over the whole network, a third of them for a single layer."""
    return study.draws if scope == ALL else math.ceil(study.draws / 3)


# ------------------------------------------------------------------------------------ shuffling


class Change(NamedTuple):
    """One change of the weights or links, see :func:`weight_shuffling`."""

    kind: str
    within: str
    scope: str
    strength: float


def weight_shuffling(study: Study, parent: Record) -> Table:
    """Accuracy after shuffling weights on their links, rewiring, noise and flipped signs.

    Shuffles over all layers have all the draws, everything else a third of them.

    Returns: columns kind ("shuffle", "switch links", "new links", "noise", "flip signs"), within
        (of shuffles, see :func:`lib.robustness.perturb.shuffle_weights`), scope ("all" sparse
        layers or a layer), strength (fraction of links; switches a link; noise in standard
        deviations of a layer's weights), draw, accuracy.
    """
    model, (x, y) = trained.network(parent), images(study)
    rows = []
    for change in _changes(study, model):
        draws = math.ceil(study.draws / 3)
        if (change.kind, change.scope) == ("shuffle", ALL):
            draws = study.draws
        for draw in range(draws):
            changed = _changed(model, change, study.generator(draw))
            rows.append((*change, draw, train.accuracy(changed, x, y)))
    columns = [*Change._fields, "draw", "accuracy"]
    return pd.DataFrame(rows, columns=columns), {}


def _changes(study: Study, model: nn.Module) -> list[Change]:
    fractions = np.linspace(0, 1, study.points)
    changes = []
    for within in perturb.WITHIN:
        changes += _series("shuffle", fractions, within=within)
    for layer in perturb.perturbed_layers(model):
        changes += _series("shuffle", fractions, within=ALL, scope=layer)
    changes += _series("noise", (0.0, *NOISE_STD))
    changes += _series("flip signs", fractions)
    if models.sparse_layers(model):
        changes += _series("switch links", (0.0, *SWITCHES))
        changes += _series("new links", (1.0,))
    return changes


def _series(
    kind: str, strengths: Collection[float], *, within: str = "", scope: str = ALL
) -> list[Change]:
    return [Change(kind, within, scope, strength) for strength in strengths]


PERTURBATIONS: dict[str, Callable[..., nn.Module]] = {
    "shuffle": perturb.shuffle_weights,
    "switch links": perturb.rewire,
    "noise": perturb.add_noise,
    "flip signs": perturb.flip_signs,
}


def _changed(model: nn.Module, change: Change, generator: torch.Generator) -> nn.Module:
    options: dict[str, Any] = {"layers": _chosen(change.scope), "generator": generator}
    if change.within:
        options["within"] = change.within
    if change.kind == "new links":
        return perturb.random_rewire(model, **options)
    return PERTURBATIONS[change.kind](model, change.strength, **options)
