"""Which networks are trained with what on top, in three profiles, and what a step of them costs.

The paper trains on all of CIFAR-10 for about 1,000 epochs. A step of 128 images takes a fifth of a
second of one core, so that the profile "paper" has 15 epochs on half of the images, evaluation
included 40 to 50 seconds an epoch: 4 core-hours for all experiments of this module.
"""

import dataclasses
from typing import Any

from lib.papers.set.cnn import channels, costs, network, training
from lib.papers.set.cnn.costs import StepCosts
from lib.papers.set.cnn.training import TOPS, CnnTraining, TopTraining, Training
from lib.papers.shared import trained
from lib.papers.shared.methods import METHODS
from lib.runs.experiment import Experiment, keep_nothing

Fields = dict[str, Any]

LEARNING_RATE = 0.05  # where none was chosen
CHOSEN_RATES = {"set": 0.05, "rigl": 0.05, "fixed": 0.05, "dense": 0.1}  # see `tuning`
FALLING: Fields = {
    "variant": "one rate",
    "learning_rate": LEARNING_RATE,
    "schedule": "one_cycle",
}
ER_20: Fields = {"er_epsilon": network.ER_EPSILON}
SMALL: Fields = {  # digits, enlarged
    "dataset": "digits",
    "enlarge": 2,
    "filters": (8, 16, 32),
    "hidden": (64, 64),
    "er_epsilon": 5.0,
    "epochs": 3,
    "batch_size": 64,
}
CIFAR: Fields = {"dataset": "cifar10", "augmentation": 1.0, **ER_20}
QUICK: Fields = {**CIFAR, "epochs": 3, "limit": 1000, "test_images": 500}
PAPER: Fields = {**CIFAR, "epochs": 15, "limit": 25_000}  # half of the images
SEEDS = {"smoke": 1, "quick": 1, "paper": 3}
SCALES = {"smoke": SMALL, "quick": QUICK, "paper": PAPER}


def of_method(kind: type[Training], experiment: str, method: str, fields: Fields) -> Training:
    """A run with this on top; RigL's drop fraction falls, as published [Evci2020]."""
    decay = {"decay": "cosine"} if method == "rigl" else {}
    fields = {**FALLING, **fields, **METHODS[method], **decay}
    return kind(experiment, method=method, **fields)


def convolutional(profile: str) -> list[CnnTraining]:
    """All tops on the convolutions at the rate chosen for each, paired by seed: the same first
    convolutions and order of examples.
    """
    runs = []
    for seed in range(SEEDS[profile]):
        for method in TOPS:
            rate = CHOSEN_RATES[method]
            shared: Fields = {"seed": seed, "variant": "chosen rate", "learning_rate": rate}
            run = of_method(CnnTraining, "set_cnn", method, {**SCALES[profile], **shared})
            if profile == "quick":
                digits = of_method(CnnTraining, "set_cnn", method, {**SMALL, **shared})
                run = dataclasses.replace(run, stand_in=digits)
            runs.append(run)
    return runs


LONG: Fields = {**CIFAR, "epochs": 100, "variant": "all images"}


def long(profile: str) -> list[CnnTraining]:
    """The same on all images for some seven times the epochs, three seeds; one run in the small
    profiles.
    """
    if profile != "paper":
        return [of_method(CnnTraining, "set_cnn_long", "set", {**SMALL, "epochs": 1})]
    runs = []
    for seed in range(SEEDS[profile]):
        for method in TOPS:
            fields = {**LONG, "seed": seed, "learning_rate": CHOSEN_RATES[method]}
            runs.append(of_method(CnnTraining, "set_cnn_long", method, fields))
    return runs


RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
TUNING: Fields = {"epochs": 5, "limit": 12_500, "validation": 5000, "evaluate_test": False}
SMALL_TUNING: Fields = {**TUNING, "epochs": 2, "limit": 300, "validation": 100}


def tuning(profile: str) -> list[CnnTraining]:
    """Learning rates of every top on validation examples; no test examples."""
    fields = {**CIFAR, **TUNING} if profile == "paper" else {**SMALL, **SMALL_TUNING}
    runs = []
    for rate in RATES if profile == "paper" else RATES[:1]:
        for method in TOPS:
            changes = {**fields, "learning_rate": rate, "variant": f"rate {rate:g}"}
            runs.append(of_method(CnnTraining, "set_cnn_tuning", method, changes))
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
    "paper": {"dataset": "cifar10", "epochs": 40, **ER_20},
}
FEATURE_SEEDS = {"smoke": 1, "quick": 1, "paper": 5}


def on_features(profile: str) -> list[TopTraining]:
    """All tops on features of a frozen network."""
    runs = []
    for seed in range(FEATURE_SEEDS[profile]):
        for method in TOPS:
            fields = {**ON_FEATURES[profile], "seed": seed}
            runs.append(of_method(TopTraining, "set_on_features", method, fields))
    return runs


MEASURED: dict[str, Fields] = {
    "smoke": {
        "image": (1, 16, 16),
        "filters": (8, 16, 32),
        "hidden": (64, 64),
        "er_epsilon": 5.0,
        "rounds": 2,
        "turn": 0.005,
    },
    "quick": {"batch_size": 32, "rounds": 2, "turn": 0.01},
    "paper": {},
}


def measured(profile: str) -> list[StepCosts]:
    """The parts of a training step, in turn."""
    return [StepCosts("set_cnn_costs", method="set", **MEASURED[profile])]


# ------------------------------------------------------------------------------ the experiments


def _training(name: str, configs) -> Experiment:
    return Experiment(
        name,
        configs,
        training.make,
        numbers=trained.numbers,
        keeps=channels.keep,
        replay=training.replay,
    )


SET_CNN = _training("set_cnn", convolutional)
SET_CNN_LONG = _training("set_cnn_long", long)
SET_CNN_TUNING = _training("set_cnn_tuning", tuning)
SET_ON_FEATURES = _training("set_on_features", on_features)
SET_CNN_COSTS = Experiment("set_cnn_costs", measured, costs.make, keeps=keep_nothing)
