"""Accuracy of trained networks whose links are removed; the study behind notebook 21."""

import math

import numpy as np
import pandas as pd
from torch import nn

from lib import topology, train
from lib.robustness import perturb
from lib.runs.record import Record
from papers.shared import trained
from papers.shared.study import Study, Table, images

SPARSE_DENSITY = 0.01  # of the sparse networks whose number of links a dense one loses


def link_removal(study: Study, parent: Record) -> Table:
    """Accuracy, largest component and input-output paths against the fraction of links removed.

    Every order of removal over all sparse layers, and "random" layer by layer (a third of the draws
    each). "random, equal number" takes from a dense network as many links as the fraction is of
    those of a sparse one of density .01.

    Returns: columns order, scope ("all" sparse layers or a layer), draw, fraction, removed (links),
        accuracy, component (share of all neurons), paths.
    """
    model, (x, y) = trained.network(parent), images(study)
    layers = perturb.perturbed_layers(model)
    sizes = {}  # links of each layer, and of all
    for name, layer in layers.items():
        sizes[name] = getattr(layer, perturb.name_of_weights(layer)).numel()
    sizes["all"] = sum(sizes.values())
    removals = [(order, "all", 1.0) for order in perturb.ORDERS]  # order, scope, largest share
    removals += [("random", name, 1.0) for name in layers]
    dense = [sizes[name] for name, layer in layers.items() if isinstance(layer, nn.Linear)]
    if dense and study.method == "dense":
        equal = sum(round(SPARSE_DENSITY * size) for size in dense)
        removals.append(("random, equal number", "all", equal / sizes["all"]))
    rows = []
    for name, scope, largest in removals:
        order, _, _ = name.partition(",")
        within = None if scope == "all" else [scope]
        draws = study.draws if scope == "all" else math.ceil(study.draws / 3)
        for draw in range(draws if order == "random" else 1):
            generator = study.generator(draw)
            ranked = perturb.link_order(model, order, layers=within, generator=generator)
            for fraction in np.linspace(0, 1, study.points):
                share = largest * fraction
                left = perturb.remove_links(model, share, order=ranked, layers=within)
                row = {"order": name, "scope": scope, "draw": draw, "fraction": fraction}
                row["removed"] = int(share * sizes[scope] + 1e-9)
                row["accuracy"] = train.accuracy(left, x, y)
                if scope == "all":
                    matrices = topology.adjacency(left)
                    row["component"] = topology.largest_component(matrices)
                    row["paths"] = topology.count_paths(matrices)
                rows.append(row)
    return pd.DataFrame(rows), {}
