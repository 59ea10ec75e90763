"""Which networks are trained with which units, and what is measured on them, in three profiles.

The paper's tables are not public: every setting is our choice. Cells of CIFAR are cut to what two
cores do in an hour (fewer images and epochs); their claims are open for that reason.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from lib.runs.experiment import PROFILES, Contents, Experiment, Workspace
from papers.shared import study, trained
from papers.shared.study import Holds, Study
from papers.shared.training import training
from papers.splash import studies
from papers.splash.training import SET_MLP, UnitTraining, keep_units, numbers

Fields = dict[str, Any]
Runs = list[UnitTraining]

TEN = ("splash", "relu", "leaky_relu", "prelu", "tanh", "sigmoid", "elu", "maxout", "swish", "apl")
UNITS = (*TEN, "srelu")
MAIN = ("relu", "splash", "swish", "prelu")
PAIR = ("relu", "splash")
DEFENDED = ("relu", "swish", "splash")
GREY = ("digits", "mnist", "fashion_mnist")


# -------------------------------------------------------------------------------- the networks


@dataclass(frozen=True)
class Cell:
    """A network on a data set, with several units, paired by seed.

    Args:
        network, dataset: names.
        units: {name: number of seeds}.
        fields: others of :class:`papers.splash.training.UnitTraining`.
        stand_in: whether digits stand in for data that cannot be had.
    """

    network: str
    dataset: str
    units: dict[str, int]
    fields: Fields = field(default_factory=dict)
    stand_in: bool = False

    def runs(self, experiment: str, variant: str = "", **changes: Any) -> Runs:
        """A run for each unit and seed; the variant names the network unless it is given."""
        fields = {**self.fields, **changes}
        if self.network == SET_MLP:
            fields["quantiles"] = True  # no normalisation precedes its units
        runs = []
        for unit, seeds in self.units.items():
            for seed in range(seeds):
                run = UnitTraining(
                    experiment,
                    dataset=self.dataset,
                    method=unit,
                    variant=variant or self.network,
                    network=self.network,
                    seed=seed,
                    **fields,
                )
                if self.stand_in:
                    enlarge = run.enlarge if self.network == SET_MLP else DIGITS["enlarge"]
                    other = dataclasses.replace(run, dataset="digits", enlarge=enlarge)
                    run = dataclasses.replace(run, stand_in=other)
                runs.append(run)
        return runs


def _seeds(units: Sequence[str], n: int, others: int = 0) -> dict[str, int]:
    """n seeds of some units, fewer of the others."""
    seeds = dict.fromkeys(units, n)
    if others:
        for unit in UNITS:
            seeds.setdefault(unit, others)
    return seeds


DIGITS = {"epochs": 2, "enlarge": 4, "limit": 400}
COLOUR = {"augmentation": 1.0}
PART = {**COLOUR, "epochs": 8, "limit": 5000, "test_images": 2000}
SPARSE = {"learning_rate": 0.03}  # at .1 SPLASH, not normalised here, diverges with some seeds
CELLS: dict[str, tuple[Cell, ...]] = {
    "smoke": (
        Cell("lenet5", "digits", _seeds(DEFENDED, 1), DIGITS),
        Cell(SET_MLP, "digits", _seeds(PAIR, 1), {**SPARSE, "epochs": 2, "hidden": (100, 100)}),
    ),
    "quick": (
        Cell("lenet5", "mnist", _seeds(UNITS, 1), {"epochs": 2, "limit": 5000}, stand_in=True),
        Cell(
            SET_MLP, "mnist", _seeds(PAIR, 1), {**SPARSE, "epochs": 3, "limit": 5000}, stand_in=True
        ),
    ),
    "paper": (
        Cell("lenet5", "mnist", _seeds(UNITS, 5), {"epochs": 10}),
        Cell("lenet5", "fashion_mnist", _seeds(UNITS, 5), {"epochs": 10}),
        Cell(SET_MLP, "mnist", _seeds((*MAIN, "srelu"), 5, 1), {**SPARSE, "epochs": 40}),
        Cell(SET_MLP, "fashion_mnist", _seeds((*MAIN, "srelu"), 5, 1), {**SPARSE, "epochs": 40}),
        Cell("lenet5", "cifar10", _seeds(MAIN, 5, 3), {**COLOUR, "epochs": 15}),
        Cell("resnet20", "cifar10", _seeds(MAIN, 5, 1), {**PART, "epochs": 6}),
        Cell("all_cnn", "cifar10", _seeds(PAIR, 5, 1), PART),
        Cell("nin", "cifar10", _seeds(PAIR, 5, 1), PART),
        Cell("lenet5", "cifar100", _seeds(MAIN, 5, 2), {**COLOUR, "epochs": 15}),
        Cell(
            "resnet20",
            "cifar100",
            _seeds(PAIR, 5, 1),
            {**COLOUR, "epochs": 10, "test_images": 2000},
        ),
    ),
}
ONE = Cell("lenet5", "digits", _seeds(PAIR[:1], 1), {**DIGITS, "epochs": 1})
LONG = {  # seeds fixed before the first of them began
    "smoke": ONE,
    "quick": ONE,
    "paper": Cell("resnet20", "cifar10", _seeds(DEFENDED, 3), {**COLOUR, "epochs": 30}),
}
FEW = Cell("lenet5", "digits", _seeds(PAIR, 1), {**DIGITS, "validation": 200})
RATES = {"smoke": (0.1,), "quick": (0.1,), "paper": (0.03, 0.1, 0.3)}
TUNED = {
    "smoke": FEW,
    "quick": FEW,
    "paper": Cell(
        "lenet5",
        "fashion_mnist",
        _seeds(UNITS, 3),
        {"epochs": 3, "limit": 20_000, "validation": 5000},
    ),
}
# The best of `tuning`, where that is not the rate of `accuracy`, .1.
OWN_RATES = {"splash": 0.3, "swish": 0.3, "sigmoid": 0.3, "srelu": 0.3}
LENGTHS = {"smoke": (1,), "quick": (1,), "paper": (1, 2, 4)}  # epochs, besides those of `accuracy`
SHORTER = {"smoke": {}, "quick": {}, "paper": {"epochs": 5}}
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
FEW_VARIANTS = ("S = 3", EVENLY_SPACED, "hinges at quantiles", "slope at most 1")
ABLATED = {  # data sets and variants
    "smoke": (("digits",), FEW_VARIANTS),
    "quick": (("mnist",), FEW_VARIANTS),
    "paper": (("fashion_mnist",), tuple(VARIANTS)),
}
HELD: Fields = {
    "norm": False,
    "logit_scale": 10.0,
    "bounded": True,
    "quantiles": True,
    "learning_rate": 0.01,  # at .1 the loss of neither unit falls
    "weight_decay": 0.0,  # the norms are held
}


def accuracy(profile: str) -> Runs:
    """All units on all networks, paired by seed."""
    return [run for cell in CELLS[profile] for run in cell.runs("unit_accuracy")]


def long(profile: str) -> Runs:
    """ResNet-20 on all images of CIFAR-10 with three units, paired by seed."""
    return LONG[profile].runs("unit_long")


def lenet5(profile: str, units: Sequence[str], datasets: Sequence[str] = GREY) -> list[Cell]:
    """The cells of LeNet-5 on some data sets, with those of some units that a profile trains there,
    as many seeds.
    """
    cells = []
    for cell in CELLS[profile]:
        if cell.network == "lenet5" and cell.dataset in datasets:
            seeds = {unit: n for unit, n in cell.units.items() if unit in units}
            cells.append(dataclasses.replace(cell, units=seeds))
    return cells


def ablation(profile: str) -> Runs:
    """SPLASH with other hinges and starts, of LeNet-5."""
    datasets, variants = ABLATED[profile]
    runs = []
    for cell in lenet5(profile, ("splash",), datasets):
        for variant in variants:
            runs += cell.runs("unit_ablation", variant, **VARIANTS[variant])
    return runs


def lengths(profile: str) -> Runs:
    """ReLU and SPLASH trained for fewer epochs, so that they can be compared at equal accuracy and
    at equal slope over margin.
    """
    runs = []
    for cell in lenet5(profile, PAIR):
        for epochs in LENGTHS[profile]:
            runs += cell.runs("unit_lengths", f"{epochs} epochs", epochs=epochs)
    return runs


def held(profile: str) -> Runs:
    """ReLU and SPLASH with norms held: every matrix of kernels has norm 1, no unit is steeper than
    1. The layers' own Lipschitz constants, which may differ, are measured by the studies.
    """
    changes = {**HELD, **SHORTER[profile]}
    runs = []
    for cell in lenet5(profile, PAIR):
        runs += cell.runs("unit_lipschitz", "norms of kernels held", **changes)
    return runs


def defended(profile: str) -> Runs:
    """Networks trained on attacked examples."""
    runs = []
    for cell in lenet5(profile, DEFENDED):
        radius = studies.HEADLINE_RADIUS[cell.dataset]
        changes = {"adversarial_radius": radius, **SHORTER[profile]}
        runs += cell.runs("unit_defended", "attacked examples", **changes)
    return runs


def tuning(profile: str) -> Runs:
    """Learning rates for every unit on validation examples; no test examples."""
    runs = []
    for rate in RATES[profile]:
        changes = {"learning_rate": rate, "evaluate_test": False}
        runs += TUNED[profile].runs("unit_tuning", f"rate {rate:g}", **changes)
    return runs


def own_rates(profile: str) -> Runs:
    """Those of `accuracy` with LeNet-5 whose unit learns best at another rate, at that rate."""
    runs = []
    for cell in lenet5(profile, tuple(OWN_RATES)):
        for unit, seeds in cell.units.items():
            of_unit = dataclasses.replace(cell, units={unit: seeds})
            runs += of_unit.runs("unit_rates", "own rate", learning_rate=OWN_RATES[unit])
    return runs


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
WORST_ON = {
    "smoke": ("digits",),
    "quick": ("mnist",),
    "paper": ("mnist", "fashion_mnist", "cifar10"),
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
    parents = []
    for cell in lenet5(profile, PAIR, WORST_ON[profile]):
        parents += cell.runs("unit_accuracy")
    return _studies("unit_worst", profile, parents)


def minimal(profile: str) -> list[Study]:
    """Of ReLU and SPLASH in LeNet-5 of `accuracy`."""
    parents = []
    for cell in lenet5(profile, PAIR):
        parents += cell.runs("unit_accuracy")
    return _studies("unit_minimal", profile, parents)


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
