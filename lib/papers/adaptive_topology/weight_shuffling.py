"""What a trained network keeps when its weights change places; the study behind notebook 23."""

import math

import numpy as np
import pandas as pd

from lib import models, train
from lib.papers.shared import trained
from lib.papers.shared.study import Study, Table, images
from lib.robustness import perturb
from lib.runs.record import Record

SWITCHES = (0.1, 0.3, 1.0, 3.0, 10.0)  # a link
NOISE_STD = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)  # in standard deviations of the weights
CHANGES = {
    "shuffle": perturb.shuffle_weights,
    "switch links": perturb.rewire,
    "new links": lambda model, strength, **options: perturb.random_rewire(model, **options),
    "noise": perturb.add_noise,
    "flip signs": perturb.flip_signs,
}


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
    series = [("shuffle", within, "all", fractions) for within in perturb.WITHIN]
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
