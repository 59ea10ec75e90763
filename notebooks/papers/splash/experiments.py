"""Which networks are trained with which units, and what is measured on them, in three profiles.

The paper's tables are not public: every setting is our choice. Cells of CIFAR are cut to what two
cores do in an hour (fewer images and epochs); their claims are open for that reason.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from lib.runs.experiment import PROFILES, Contents, Experiment, Workspace
from papers.shared import study, trained
from papers.shared.methods import tabled
from papers.shared.study import Holds, Study
from papers.shared.tables import Fields, part
from papers.shared.training import training
from papers.splash import studies
from papers.splash.training import SET_MLP, UnitTraining, keep_units, numbers

Runs = list[UnitTraining]
made = partial(tabled, kind=UnitTraining)

TEN = ("splash", "relu", "leaky_relu", "prelu", "tanh", "sigmoid", "elu", "maxout", "swish", "apl")
UNITS = (*TEN, "srelu")
MAIN = ("relu", "splash", "swish", "prelu")
PAIR = ("relu", "splash")
DEFENDED = ("relu", "swish", "splash")
GREY = ("digits", "mnist", "fashion_mnist")


# -------------------------------------------------------------------------------- the networks

FIVE, THREE = range(5), range(3)  # seeds
# What the small profiles train, and what stands in for MNIST in "quick".
ON_DIGITS: Fields = {"epochs": 2, "enlarge": 4, "limit": 400}
ON_MNIST: Fields = {
    "dataset": ["mnist"],
    "epochs": 2,
    "limit": 5000,
    "fallback": {"dataset": "digits", "enlarge": 4},
}
LENET5: Fields = {
    "network": "lenet5",
    "dataset": ["mnist", "fashion_mnist"],
    "variant": "{network}",
    "learning_rate": 0.1,
    "epochs": 10,
    "method": [*UNITS],
    "seed": FIVE,
}
SPARSE: Fields = {
    **LENET5,
    "network": SET_MLP,
    "learning_rate": 0.03,  # at .1 SPLASH, not normalised here, diverges with some seeds
    "epochs": 40,
    "quantiles": True,  # no normalisation precedes its units
}
CIFAR10: Fields = {**LENET5, "dataset": ["cifar10"], "augmentation": 1.0}
CIFAR100: Fields = {**CIFAR10, "dataset": ["cifar100"]}
PART: Fields = {"epochs": 8, "limit": 5000, "test_images": 2000}


def _first(units: Sequence[str], others: int) -> Fields:
    """Five seeds of some units, fewer of the others."""
    seeds = {**dict.fromkeys(units, FIVE), "others": range(others)}
    return {"method": [*dict.fromkeys([*units, *UNITS])], "seed": seeds}


def accuracy(profile: str) -> Runs:
    """All units on all networks, paired by seed."""
    return made(
        "unit_accuracy",
        profile,
        part(LENET5, smoke={**ON_DIGITS, "method": [*DEFENDED]}, quick=ON_MNIST),
        part(
            {**SPARSE, **_first((*MAIN, "srelu"), 1)},
            smoke={"method": [*PAIR], "epochs": 2, "hidden": (100, 100)},
            quick={"dataset": ["mnist"], "method": [*PAIR], "limit": 5000},
        ),
        {"paper": {**CIFAR10, **_first(MAIN, 3), "epochs": 15}},
        {"paper": {**CIFAR10, **_first(MAIN, 1), "network": "resnet20", **PART, "epochs": 6}},
        {"paper": {**CIFAR10, **_first(PAIR, 1), "network": "all_cnn", **PART}},
        {"paper": {**CIFAR10, **_first(PAIR, 1), "network": "nin", **PART}},
        {"paper": {**CIFAR100, **_first(MAIN, 2), "epochs": 15}},
        {"paper": {**CIFAR100, **_first(PAIR, 1), "network": "resnet20", "test_images": 2000}},
    )


def long(profile: str) -> Runs:
    """ResNet-20 on all images of CIFAR-10 with three units, paired by seed; the seeds were fixed
    before the first of them began.
    """
    paper = {**CIFAR10, "network": "resnet20", "method": [*DEFENDED], "epochs": 30, "seed": THREE}
    few = {**ON_DIGITS, "network": "lenet5", "method": ["relu"], "epochs": 1, "augmentation": 0.0}
    return made("unit_long", profile, part(paper, smoke=few, quick="smoke"))


EVENLY_SPACED = "hinges evenly spaced"  # with which other numbers of hinges are compared
VARIANTS: dict[str, Fields] = {  # of SPLASH, one change each
    "S = 3": {"n_hinges": 3},
    "S = 5": {"n_hinges": 5},
    "S = 9": {"n_hinges": 9},
    EVENLY_SPACED: {"positions": (0.0, 2.5 / 3, 5 / 3, 2.5)},
    "hinges at quantiles": {"quantiles": True},
    "start: leaky ReLU": {"start": "leaky_relu"},
    "start: linear": {"start": "linear"},
    "slope at most 1": {"bounded": True},
    "coefficients decay": {"decayed": True},
    "no normalisation, quantiles": {"norm": False, "quantiles": True, "learning_rate": 0.03},
}
FEW_VARIANTS = ["S = 3", EVENLY_SPACED, "hinges at quantiles", "slope at most 1"]


def ablation(profile: str) -> Runs:
    """SPLASH with other hinges and starts, of LeNet-5."""
    paper: Fields = {
        **LENET5,
        "dataset": ["fashion_mnist"],
        "variant": [*VARIANTS],
        "differences": {"variant": VARIANTS},
        "method": ["splash"],
    }
    few: Fields = {"variant": FEW_VARIANTS}
    table = part(paper, smoke={**ON_DIGITS, **few}, quick={**ON_MNIST, **few})
    return made("unit_ablation", profile, table)


def lengths(profile: str) -> Runs:
    """ReLU and SPLASH trained for fewer epochs, so that they can be compared at equal accuracy and
    at equal slope over margin.
    """
    paper = {
        **LENET5,
        "variant": "{epochs} epochs",
        "epochs": [1, 2, 4],
        "method": ["splash", "relu"],
    }
    one: Fields = {"epochs": 1}
    table = part(paper, smoke={**ON_DIGITS, **one}, quick={**ON_MNIST, **one})
    return made("unit_lengths", profile, table)


def held(profile: str) -> Runs:
    """ReLU and SPLASH with norms held: every matrix of kernels has norm 1, no unit is steeper than
    1. The layers' own Lipschitz constants, which may differ, are measured by the studies.
    """
    paper: Fields = {
        **LENET5,
        "variant": "norms of kernels held",
        "method": ["splash", "relu"],
        "epochs": 5,
        "norm": False,
        "logit_scale": 10.0,
        "bounded": True,
        "quantiles": True,
        "learning_rate": 0.01,  # at .1 the loss of neither unit falls
        "weight_decay": 0.0,  # the norms are held
    }
    return made("unit_lipschitz", profile, part(paper, smoke=ON_DIGITS, quick=ON_MNIST))


def defended(profile: str) -> Runs:
    """Networks trained on attacked examples."""
    radii = {name: {"adversarial_radius": r} for name, r in studies.HEADLINE_RADIUS.items()}
    paper: Fields = {
        **LENET5,
        "variant": "attacked examples",
        "method": ["splash", "relu", "swish"],
        "epochs": 5,
        "differences": {"dataset": radii},
    }
    return made("unit_defended", profile, part(paper, smoke=ON_DIGITS, quick=ON_MNIST))


def tuning(profile: str) -> Runs:
    """Learning rates for every unit on validation examples; no test examples."""
    paper: Fields = {
        **LENET5,
        "dataset": ["fashion_mnist"],
        "variant": "rate {learning_rate:g}",
        "learning_rate": [0.03, 0.1, 0.3],
        "epochs": 3,
        "seed": THREE,
        "limit": 20_000,
        "validation": 5000,
        "evaluate_test": False,
    }
    few = {**ON_DIGITS, "learning_rate": 0.1, "method": [*PAIR], "validation": 200}
    return made("unit_tuning", profile, part(paper, smoke=few, quick="smoke"))


# The best of `tuning`, where that is not the rate of `accuracy`, .1.
OWN_RATES = {"splash": 0.3, "sigmoid": 0.3, "swish": 0.3, "srelu": 0.3}


def own_rates(profile: str) -> Runs:
    """Those of `accuracy` with LeNet-5 whose unit learns best at another rate, at that rate."""
    paper = {**LENET5, "variant": "own rate", "method": [*OWN_RATES], "learning_rate": OWN_RATES}
    small: Fields = {**ON_DIGITS, "method": ["swish", "splash"]}
    return made("unit_rates", profile, part(paper, smoke=small, quick=ON_MNIST))


# --------------------------------------------------------------------------------- the studies

AMOUNTS: dict[str, dict[str, Fields]] = {  # factors: how many radii, the headline one first
    "unit_robustness": {
        "smoke": {"images": 20, "steps": 3, "queries": 10, "factors": 2},
        "quick": {"images": 100, "steps": 10, "queries": 50, "factors": 3},
        "paper": {"images": 300, "factors": 5},
    },
    "unit_worst": {
        "smoke": {"images": 20, "steps": 3, "queries": 10, "restarts": 2, "factors": 1},
        "quick": {"images": 100, "steps": 10, "queries": 50, "restarts": 2, "factors": 1},
        "paper": {"images": 1000, "restarts": 5, "factors": 1},
    },
    "unit_minimal": {
        "smoke": {"images": 4, "steps": 1, "queries": 10, "bisections": 2, "factors": 5},
        "quick": {"images": 10, "steps": 20, "queries": 200, "bisections": 4, "factors": 5},
        "paper": {"images": 50, "queries": 20_000, "bisections": 8, "factors": 5},
    },
}


def attacked(profile: str) -> list[Study]:
    """Of the main units of `accuracy`, of two where networks are cut short, and of all networks
    that are compared with them.
    """
    parents = []
    for run in accuracy(profile):
        units = MAIN if run.dataset in GREY and run.network == "lenet5" else PAIR
        if run.method in units and run.network not in ("all_cnn", "nin"):
            parents.append(run)
    parents += lengths(profile) + held(profile) + defended(profile)
    return _studies("unit_robustness", profile, parents)


def attacked_again(profile: str) -> list[Study]:
    """ReLU and SPLASH in LeNet-5 on more images, with several restarts, at the headline radius
    alone.
    """
    return _studies("unit_worst", profile, _pairs(profile, (*GREY, "cifar10")))


def minimal(profile: str) -> list[Study]:
    """Of ReLU and SPLASH in LeNet-5 of `accuracy`."""
    return _studies("unit_minimal", profile, _pairs(profile, GREY))


def _pairs(profile: str, datasets: Sequence[str]) -> Runs:
    """ReLU and SPLASH in LeNet-5 of `accuracy`."""
    pairs = [run for run in accuracy(profile) if run.network == "lenet5" and run.method in PAIR]
    return [run for run in pairs if run.dataset in datasets]


def _studies(experiment: str, profile: str, parents: Runs) -> list[Study]:
    measured = partial(study_of, experiment, **AMOUNTS[experiment][profile])
    return [study.with_stand_in(measured, parent) for parent in parents]


def study_of(experiment: str, parent: UnitTraining, *, factors: int, **amounts: Any) -> Study:
    """The study of a network at the first of :data:`papers.splash.studies.FACTORS`."""
    radius = studies.HEADLINE_RADIUS[parent.dataset]
    return study.study_of(
        experiment,
        parent,
        variant=parent.variant,
        radii=tuple(factor * radius for factor in studies.FACTORS[:factors]),
        radii_l2=(studies.HEADLINE_RADIUS_L2[parent.dataset],),
        **amounts,
    )


SHARED = ("network", "dataset", "limit", "test_images", "enlarge", "hidden")


def substitute(run: UnitTraining, unit: str) -> UnitTraining:
    """The network with a unit of the next seed of `accuracy`, on which attacks to be transferred
    are found: the same one whatever unit is attacked. Another seed is trained where there is but
    one.
    """
    pool = []
    for one in _trained():
        if one.method == unit and all(getattr(one, name) == getattr(run, name) for name in SHARED):
            pool.append(one)
    if len(pool) < 2:
        first = pool[0] if pool else dataclasses.replace(run, method=unit)
        return dataclasses.replace(first, seed=first.seed + 10, stand_in=None)
    return dataclasses.replace(pool[(run.seed + 1) % len(pool)], stand_in=None)


@cache
def _trained() -> Runs:
    """The runs of `accuracy` in all profiles, with what stands in for them."""
    found = []
    for profile in PROFILES:
        for run in accuracy(profile):
            found += [run, run.stand_in] if run.stand_in else [run]
    return found


def make_study(run: Study, workspace: Workspace, measure: Callable, holds: Holds) -> Contents:
    """Measure the trained network of a run."""
    contents = study.make(run, workspace, measure, holds)
    contents.facts["network"] = run.parent.network
    return contents


def make_robustness(run: Study, workspace: Workspace, measure: Callable, holds: Holds) -> Contents:
    """The same, with points found on substitutes of both units that the claims compare."""
    substitutes = {}
    for unit in PAIR:
        source = workspace.record_of(substitute(run.parent, unit), holds)
        substitutes[unit] = trained.network(source)
    return make_study(run, workspace, partial(measure, substitutes=substitutes), holds)


# ------------------------------------------------------------------------------ the experiments


def _study(
    name: str, configs: Callable[[str], list[Study]], measure: Callable, make: Callable
) -> Experiment:
    told = {"make": make, "numbers": study.epochs_and_accuracy}
    return study.measuring(name, configs, measure, *TRAININGS, **told)


TRAININGS = ("unit_accuracy", "unit_lengths", "unit_lipschitz", "unit_defended")
EXPERIMENTS = (
    training("unit_accuracy", accuracy, keep_units, numbers),
    training("unit_long", long, keep_units, numbers),
    training("unit_tuning", tuning, keep_units, numbers),
    training("unit_rates", own_rates, keep_units, numbers),
    training("unit_ablation", ablation, keep_units, numbers),
    training("unit_lengths", lengths, keep_units, numbers),
    training("unit_lipschitz", held, keep_units, numbers),
    training("unit_defended", defended, keep_units, numbers),
    _study("unit_robustness", attacked, studies.robustness, make_robustness),
    _study("unit_worst", attacked_again, studies.robustness, make_robustness),
    _study("unit_minimal", minimal, studies.minimal, make_study),
)
