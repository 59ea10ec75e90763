"""Which networks are trained with what on top, in three profiles.

The paper trains on all of CIFAR-10 for about 1,000 epochs. A step of 128 images takes a fifth of a
second of one core, so that the profile "paper" has 15 epochs on half of the images, evaluation
included 40 to 50 seconds an epoch: 4 core-hours for all experiments of this module.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from papers.set.cnn import channels, network
from papers.set.cnn.training import TOPS, CnnTraining, OnMaps, TopTraining
from papers.shared.methods import METHODS
from papers.shared.training import training

Fields = dict[str, Any]

RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
LEARNING_RATE = 0.05  # where none was chosen
CHOSEN_RATES = {"set": 0.05, "rigl": 0.05, "fixed": 0.05, "dense": 0.1}  # see `tuning`
SEEDS = {"smoke": 1, "quick": 1, "paper": 3}
SMALL: Fields = {  # digits, enlarged
    "dataset": "digits",
    "enlarge": 2,
    "filters": (8, 16, 32),
    "hidden": (64, 64),
    "er_epsilon": 5.0,
    "epochs": 3,
    "batch_size": 64,
}
CIFAR: Fields = {"dataset": "cifar10", "augmentation": 1.0, "er_epsilon": network.ER_EPSILON}
SCALES: dict[str, Fields] = {
    "smoke": SMALL,
    "quick": {**CIFAR, "epochs": 3, "limit": 1000, "test_images": 500},
    "paper": {**CIFAR, "epochs": 15, "limit": 25_000},  # half of the images
}


def with_tops(
    kind: type[OnMaps],
    experiment: str,
    seeds: int,
    fields: Fields,
    *,
    methods: Sequence[str] = TOPS,
    rates: dict[str, float] | None = None,
) -> list[OnMaps]:
    """A run for each seed and each top, paired by seed: the same first convolutions and order of
    examples.

    Args:
        fields: of all runs.
        rates: the learning rate of each top, where they differ.
    """
    runs = []
    for seed in range(seeds):
        for method in methods:
            own: Fields = {"variant": "one rate", "learning_rate": LEARNING_RATE}
            own |= {"schedule": "one_cycle", "seed": seed, **fields, **METHODS[method]}
            if rates:
                own["learning_rate"] = rates[method]
            if method == "rigl":
                own["decay"] = "cosine"  # as published [Evci2020]
            runs.append(kind(experiment, method=method, **own))
    return runs


def convolutional(profile: str) -> list[CnnTraining]:
    """All tops on the convolutions at the rate chosen for each."""

    def runs_on(scale: Fields) -> list[CnnTraining]:
        fields = {**scale, "variant": "chosen rate"}
        return with_tops(CnnTraining, "set_cnn", SEEDS[profile], fields, rates=CHOSEN_RATES)

    runs = runs_on(SCALES[profile])
    if profile == "quick":
        pairs = zip(runs, runs_on(SMALL), strict=True)
        runs = [dataclasses.replace(run, stand_in=digits) for run, digits in pairs]
    return runs


def long(profile: str) -> list[CnnTraining]:
    """The same on all images for some seven times the epochs, three seeds; one run in the small
    profiles.
    """
    if profile != "paper":
        return with_tops(CnnTraining, "set_cnn_long", 1, {**SMALL, "epochs": 1}, methods=("set",))
    fields = {**CIFAR, "epochs": 100, "variant": "all images"}
    return with_tops(CnnTraining, "set_cnn_long", SEEDS[profile], fields, rates=CHOSEN_RATES)


def tuning(profile: str) -> list[CnnTraining]:
    """Learning rates of every top on validation examples; no test examples."""
    fields: Fields = {"validation": 5000, "evaluate_test": False, "epochs": 5, "limit": 12_500}
    if profile == "paper":
        fields = {**CIFAR, **fields}
    else:
        fields = {**SMALL, **fields, "validation": 100, "epochs": 2, "limit": 300}
    runs = []
    for rate in RATES if profile == "paper" else RATES[:1]:
        at_rate = {**fields, "learning_rate": rate, "variant": f"rate {rate:g}"}
        runs += with_tops(CnnTraining, "set_cnn_tuning", 1, at_rate)
    return runs


TINY: Fields = {
    "dataset": "digits",
    "extractor": "tiny",
    "hidden": (64, 64),
    "er_epsilon": 5.0,
    "epochs": 5,
}
ON_FEATURES: dict[str, Fields] = {
    "smoke": TINY,
    "quick": {**TINY, "hidden": (256, 256), "epochs": 10},
    "paper": {"dataset": "cifar10", "epochs": 40, "er_epsilon": network.ER_EPSILON},
}


def on_features(profile: str) -> list[TopTraining]:
    """All tops on features of a frozen network."""
    seeds = 5 if profile == "paper" else 1
    return with_tops(TopTraining, "set_on_features", seeds, ON_FEATURES[profile])


# ------------------------------------------------------------------------------ the experiments


EXPERIMENTS = (
    training("set_cnn", convolutional, channels.keep),
    training("set_cnn_long", long, channels.keep),
    training("set_cnn_tuning", tuning, channels.keep),
    training("set_on_features", on_features, channels.keep),
)
