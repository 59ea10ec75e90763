"""Records of units that were never trained, with given numbers."""

import dataclasses
import types

import numpy as np
import pandas as pd

from papers.shared.study import Study
from papers.splash.studies import FACTORS, HEADLINE_RADIUS, HEADLINE_RADIUS_L2
from papers.splash.training import UnitTraining

SMALL = UnitTraining(
    "unit_accuracy",
    dataset="digits",
    method="splash",
    enlarge=4,
    epochs=3,
    batch_size=64,
    limit=200,
    test_images=50,
)


def trained(method, seed, accuracy, dataset="mnist", network="lenet5", **fields):
    """A record of a network with this test accuracy."""
    fields = {"epochs": 100, **fields}
    run = UnitTraining(
        "unit_accuracy", dataset=dataset, method=method, seed=seed, network=network, **fields
    )
    facts = {"final": {"test_accuracy": accuracy}}
    return types.SimpleNamespace(config=run, environment=facts, arrays={}, metrics=pd.DataFrame())


def studied(method, seed, kept, dataset="mnist", network="lenet5", **fields):
    """A record of a study with these accuracies by attack, at the headline radius in L-infinity."""
    experiment, accuracy = fields.pop("parent", "unit_accuracy"), fields.pop("accuracy", 0.9)
    study = fields.pop("study", "unit_robustness")
    parent = trained(method, seed, 0.9, dataset, network, **fields).config
    parent = dataclasses.replace(parent, experiment=experiment)
    radius = HEADLINE_RADIUS[dataset]
    run = Study(
        study,
        parent=parent,
        dataset=dataset,
        method=method,
        seed=seed,
        radii=tuple(factor * radius for factor in FACTORS),
        radii_l2=(HEADLINE_RADIUS_L2[dataset],),
    )
    rows = []
    for name, value in kept.items():
        if name in ("slope", "margin"):
            rows.append((name, "", np.nan, value))
        elif name == "clean":
            rows.append((name, "", 0.0, value))
        else:
            rows.append((name, "linf", radius, value))
    metrics = pd.DataFrame(rows, columns=["measure", "norm", "radius", "value"])
    facts = {"final": {"test_accuracy": accuracy}}
    return types.SimpleNamespace(config=run, metrics=metrics, arrays={}, environment=facts)
