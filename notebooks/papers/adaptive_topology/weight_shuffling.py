"""Accuracy of trained networks whose weights change places; the studies behind notebook 23."""

import copy
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import data, models, train
from lib.robustness import perturb
from lib.runs.record import Record
from papers.shared import trained
from papers.shared.study import Study, Table, images
from papers.shared.under_attack import right_under_pgd

SWITCHES = (0.1, 0.3, 1.0, 3.0, 10.0)  # a link
NOISE_STD = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)  # in standard deviations of the weights
CHANGES = {
    "shuffle": perturb.shuffle_weights,
    "switch links": perturb.rewire,
    "new links": lambda model, strength, **options: perturb.random_rewire(model, **options),
    "noise": perturb.add_noise,
    "flip signs": perturb.flip_signs,
}
SHUFFLED = partial(perturb.shuffle_weights, fraction=1)
NULL_MODELS: dict[str, Callable[..., nn.Module]] = {  # first those that keep signs on their links
    "as trained": lambda model, generator: model,
    "shuffled within signs and inputs": partial(SHUFFLED, within="sign and inputs"),
    "shuffled within signs": partial(SHUFFLED, within="sign"),
    "signs alone": lambda model, generator: perturb.binarise(model),
    "shuffled within inputs": partial(SHUFFLED, within="inputs"),
    "shuffled within outputs": partial(SHUFFLED, within="outputs"),
    "shuffled": SHUFFLED,
    "links switched": perturb.rewire,
    "new links": perturb.random_rewire,
}
DRAWN_ONCE = ("as trained", "signs alone")  # nothing is random there
FACTORS = (1.0, 0.5, 0.7, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)  # of equally good ones the first


def weight_shuffling(study: Study, parent: Record) -> Table:
    """Accuracy after shuffling weights on their links, rewiring, noise and flipped signs.

    Shuffles over all layers have all the draws, everything else a third of them.

    Returns: columns kind (of :data:`CHANGES`), within (of shuffles, see
        :func:`lib.robustness.perturb.shuffle_weights`), scope ("all" sparse layers or a layer),
        strength (fraction of links; switches a link; noise in standard deviations of a layer's
        weights), draw, accuracy.
    """
    model, (x, y) = trained.network(parent), images(study)
    fractions = np.linspace(0, 1, study.points)
    series = []
    for within in ("all", "sign", "inputs", "outputs"):
        series.append(("shuffle", within, "all", fractions))
    series += [("shuffle", "all", name, fractions) for name in perturb.perturbed_layers(model)]
    series.append(("noise", "", "all", (0.0, *NOISE_STD)))
    series.append(("flip signs", "", "all", fractions))
    if models.sparse_layers(model):
        series.append(("switch links", "", "all", (0.0, *SWITCHES)))
        series.append(("new links", "", "all", (1.0,)))
    rows = []
    for kind, within, scope, strengths in series:
        options = {"within": within} if within else {}
        options["layers"] = None if scope == "all" else [scope]
        is_main = kind == "shuffle" and scope == "all"
        for strength in strengths:
            for draw in range(study.draws if is_main else math.ceil(study.draws / 3)):
                generator = study.generator(draw)
                changed = CHANGES[kind](model, strength, generator=generator, **options)
                accuracy = train.accuracy(changed, x, y)
                rows.append((kind, within, scope, strength, draw, accuracy))
    columns = ["kind", "within", "scope", "strength", "draw", "accuracy"]
    return pd.DataFrame(rows, columns=columns), {}


def null_ladder(study: Study, parent: Record) -> Table:
    """Accuracy of null models of a sparse network, as trained and under attack.

    Biases, activations and the output layer stay as trained in all of them. A null model may fail
    only because its layers have become too weak. So its sparse layers are also scaled, all by one
    of :data:`FACTORS`: the one with the best accuracy on as many training images.

    Source: [Jankowski2025], binarisation and bipartite randomisation.
    Departs: on the support of a sparse layer, scaled, and under attack too.

    Returns: columns null_model (of :data:`NULL_MODELS`), measure, draw, value. Measures: "accuracy"
        of the null model, unscaled; "factor"; "accuracy, scaled" by it; "pgd, scaled" (the same
        under PGD of the first radius in L-infinity); "cosine" (between the trained weights and
        those of the null model, mean over sparse layers).
    """
    model, (x, y) = trained.network(parent), images(study)
    split = data.load_once(study.parent.dataset, validation=study.parent.validation)
    seen = data.stratified(split.x_train, split.y_train, study.images)
    rows = []
    for name, null_model in NULL_MODELS.items():
        for draw in range(1 if name in DRAWN_ONCE else study.draws):
            changed = null_model(model, generator=study.generator(draw))
            by_factor = {}
            for factor in FACTORS:
                by_factor[factor] = train.accuracy(_scaled(changed, factor), *seen)
            factor = max(by_factor, key=by_factor.__getitem__)
            best = _scaled(changed, factor)
            pairs = zip(_weights(model), _weights(changed), strict=True)
            cosines = [torch.cosine_similarity(*pair, dim=0) for pair in pairs]
            right = right_under_pgd(study, best, x, y, radius=study.radii[0], norm="linf")
            values = {
                "accuracy": train.accuracy(changed, x, y),
                "factor": factor,
                "accuracy, scaled": train.accuracy(best, x, y),
                "pgd, scaled": float(right.float().mean()),
                "cosine": float(torch.stack(cosines).mean()),
            }
            rows += [(name, measure, draw, value) for measure, value in values.items()]
    return pd.DataFrame(rows, columns=["null_model", "measure", "draw", "value"]), {}


def _scaled(model: nn.Module, factor: float) -> nn.Module:
    """The network with the weights of its sparse layers times a factor."""
    model = copy.deepcopy(model)
    for layer in perturb.perturbed_layers(model).values():
        layer.replace_values_(factor * layer.values.data)
    return model


def _weights(model: nn.Module) -> list[Tensor]:
    """The weights of each sparse layer, flat, with zeros for absent links."""
    layers = perturb.perturbed_layers(model).values()
    return [layer.to_dense().detach().flatten() for layer in layers]
