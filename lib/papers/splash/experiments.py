"""Which networks are trained with which units, and what is measured on them, in three profiles.

The paper's tables are not public: every setting is our choice. Cells of CIFAR are cut to what two
cores do in an hour (fewer images and epochs); their claims are open for that reason.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from lib.papers.shared import study
from lib.papers.shared.study import Study
from lib.papers.splash import attacking, training
from lib.papers.splash.training import SET_MLP, UnitTraining, holds_network, make
from lib.runs.experiment import PROFILES, Contents, Experiment, Workspace, keep_all
from lib.runs.record import Record

Fields = dict[str, Any]
Runs = list[UnitTraining]

TEN = ("splash", "relu", "leaky_relu", "prelu", "tanh", "sigmoid", "elu", "maxout", "swish", "apl")
UNITS = (*TEN, "srelu")
MAIN = ("relu", "splash", "swish", "prelu")
PAIR = ("relu", "splash")
DEFENDED = ("relu", "swish", "splash")

# -------------------------------------------------------------------------------- the networks


@dataclass(frozen=True)
class Cell:
    """A network on a data set, with several units.

    Args:
        network, dataset: names.
        units: {name: number of seeds}.
        fields: others of :class:`lib.papers.splash.training.UnitTraining`.
    """

    network: str
    dataset: str
    units: dict[str, int]
    fields: Fields

    def runs(self, experiment: str, variant: str | None = None, **changes: Any) -> Runs:
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
                runs.append(run)
        return runs


def _seeds(units: Sequence[str], n: int, others: int = 0) -> dict[str, int]:
    """n seeds of some units, fewer of the others."""
    seeds = dict.fromkeys(units, n)
    if others:
        for unit in UNITS:
            seeds.setdefault(unit, others)
    return seeds


_DIGITS = {"epochs": 2, "enlarge": 4, "limit": 400}
_CIFAR = {"augmentation": 1.0}
_SET_MLP = {"learning_rate": 0.03}  # at .1 SPLASH, not normalised here, diverges with some seeds
CELLS: dict[str, tuple[Cell, ...]] = {
    "smoke": (
        Cell("lenet5", "digits", _seeds(DEFENDED, 1), _DIGITS),
        Cell(SET_MLP, "digits", _seeds(PAIR, 1), {**_SET_MLP, "epochs": 2, "hidden": (100, 100)}),
    ),
    "quick": (
        Cell("lenet5", "mnist", _seeds(UNITS, 1), {"epochs": 2, "limit": 5000}),
        Cell(SET_MLP, "mnist", _seeds(PAIR, 1), {**_SET_MLP, "epochs": 3, "limit": 5000}),
    ),
    "paper": (
        Cell("lenet5", "mnist", _seeds(UNITS, 5), {"epochs": 10}),
        Cell("lenet5", "fashion_mnist", _seeds(UNITS, 5), {"epochs": 10}),
        Cell(SET_MLP, "mnist", _seeds((*MAIN, "srelu"), 5, 1), {**_SET_MLP, "epochs": 40}),
        Cell(SET_MLP, "fashion_mnist", _seeds((*MAIN, "srelu"), 5, 1), {**_SET_MLP, "epochs": 40}),
        Cell("lenet5", "cifar10", _seeds(MAIN, 5, 3), {**_CIFAR, "epochs": 15}),
        Cell(
            "resnet20",
            "cifar10",
            _seeds(MAIN, 5, 1),
            {**_CIFAR, "epochs": 6, "limit": 5000, "test_images": 2000},
        ),
        Cell(
            "all_cnn",
            "cifar10",
            _seeds(PAIR, 5, 1),
            {**_CIFAR, "epochs": 8, "limit": 5000, "test_images": 2000},
        ),
        Cell(
            "nin",
            "cifar10",
            _seeds(PAIR, 5, 1),
            {**_CIFAR, "epochs": 8, "limit": 5000, "test_images": 2000},
        ),
        Cell("lenet5", "cifar100", _seeds(MAIN, 5, 2), {**_CIFAR, "epochs": 15}),
        Cell(
            "resnet20",
            "cifar100",
            _seeds(PAIR, 5, 1),
            {**_CIFAR, "epochs": 10, "test_images": 2000},
        ),
    ),
}


def stood_in(runs: Runs, profile: str) -> Runs:
    """The runs; in the profile "quick" digits stand in for data that cannot be had."""
    if profile != "quick":
        return runs
    return [dataclasses.replace(run, stand_in=_on_digits(run)) for run in runs]


def _on_digits(run: UnitTraining) -> UnitTraining:
    enlarge = 1 if run.network == SET_MLP else _DIGITS["enlarge"]
    return dataclasses.replace(run, dataset="digits", enlarge=enlarge)


def accuracy(profile: str) -> Runs:
    """All units on all networks, paired by seed."""
    runs = []
    for cell in CELLS[profile]:
        runs += cell.runs("unit_accuracy")
    return stood_in(runs, profile)


LONG: dict[str, Cell] = {  # seeds fixed before the first of them began
    "smoke": Cell("lenet5", "digits", _seeds(PAIR[:1], 1), {**_DIGITS, "epochs": 1}),
    "quick": Cell("lenet5", "digits", _seeds(PAIR[:1], 1), {**_DIGITS, "epochs": 1}),
    "paper": Cell("resnet20", "cifar10", _seeds(DEFENDED, 3), {**_CIFAR, "epochs": 30}),
}


def long(profile: str) -> Runs:
    """ResNet-20 on all images of CIFAR-10 with three units, paired by seed."""
    return LONG[profile].runs("unit_long")


def chosen(profile: str, units: Sequence[str], datasets: Sequence[str]) -> list[Cell]:
    """The cells of LeNet-5 on some data sets, with those of some units that a profile trains there,
    as many seeds.
    """
    cells = []
    for cell in CELLS[profile]:
        if cell.network == "lenet5" and cell.dataset in datasets:
            seeds = {unit: n for unit, n in cell.units.items() if unit in units}
            cells.append(dataclasses.replace(cell, units=seeds))
    return cells


GREY = ("digits", "mnist", "fashion_mnist")
ABLATED = ("digits", "fashion_mnist")
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


def ablation(profile: str) -> Runs:
    """SPLASH with other hinges and starts, of LeNet-5."""
    datasets = ABLATED if profile != "quick" else ("mnist",)
    variants = VARIANTS if profile == "paper" else FEW_VARIANTS
    runs = []
    for cell in chosen(profile, ("splash",), datasets):
        for variant in variants:
            runs += cell.runs("unit_ablation", variant, **VARIANTS[variant])
    return stood_in(runs, profile)


LENGTHS = {"smoke": (1,), "quick": (1,), "paper": (1, 2, 4)}  # epochs, besides those of `accuracy`


def lengths(profile: str) -> Runs:
    """ReLU and SPLASH trained for fewer epochs, so that they can be compared at equal accuracy and
    at equal slope over margin.
    """
    runs = []
    for cell in chosen(profile, PAIR, GREY):
        for epochs in LENGTHS[profile]:
            runs += cell.runs("unit_lengths", f"{epochs} epochs", epochs=epochs)
    return stood_in(runs, profile)


LOGIT_SCALE = 10.0
HELD: Fields = {
    "norm": False,
    "logit_scale": LOGIT_SCALE,
    "bounded": True,
    "quantiles": True,
    "learning_rate": 0.01,  # at .1 the loss of neither unit falls
    "weight_decay": 0.0,  # the norms are held
}


def held(profile: str) -> Runs:
    """ReLU and SPLASH with norms held: every matrix of kernels has norm 1, no unit is steeper than
    1. The layers' own Lipschitz constants, which may differ, are measured by the studies.
    """
    changes = dict(HELD)
    if profile == "paper":
        changes["epochs"] = 5
    runs = []
    for cell in chosen(profile, PAIR, GREY):
        runs += cell.runs("unit_lipschitz", "norms of kernels held", **changes)
    return stood_in(runs, profile)


def defended(profile: str) -> Runs:
    """Networks trained on attacked examples."""
    runs = []
    for cell in chosen(profile, DEFENDED, GREY):
        changes: Fields = {"adversarial_radius": attacking.HEADLINE_RADIUS[cell.dataset]}
        if profile == "paper":
            changes["epochs"] = 5
        runs += cell.runs("unit_defended", "attacked examples", **changes)
    return stood_in(runs, profile)


RATES = (0.03, 0.1, 0.3)


def tuning(profile: str) -> Runs:
    """Learning rates for every unit on validation examples; no test examples."""
    fields: Fields = {"epochs": 3, "limit": 20_000, "validation": 5000}
    cell = Cell("lenet5", "fashion_mnist", _seeds(UNITS, 3), fields)
    rates: Sequence[float] = RATES
    if profile != "paper":
        cell = Cell("lenet5", "digits", _seeds(PAIR, 1), {**_DIGITS, "validation": 200})
        rates = RATES[1:2]
    runs = []
    for rate in rates:
        variant = f"rate {rate:g}"
        runs += cell.runs("unit_tuning", variant, learning_rate=rate, evaluate_test=False)
    return runs


# The best of `tuning`, where that is not the rate of `accuracy`, .1.
OWN_RATES = {"splash": 0.3, "swish": 0.3, "sigmoid": 0.3, "srelu": 0.3}


def own_rates(profile: str) -> Runs:
    """Those of `accuracy` with LeNet-5 whose unit learns best at another rate, at that rate."""
    runs = []
    for cell in chosen(profile, tuple(OWN_RATES), GREY):
        for unit, seeds in cell.units.items():
            of_unit = dataclasses.replace(cell, units={unit: seeds})
            runs += of_unit.runs("unit_rates", "own rate", learning_rate=OWN_RATES[unit])
    return stood_in(runs, profile)


# --------------------------------------------------------------------------------- the studies

AMOUNTS: dict[str, dict[str, Fields]] = {  # factors: how many radii beside the headline one
    "unit_robustness": {
        "smoke": {"images": 20, "steps": 3, "queries": 10, "factors": 2},
        "quick": {"images": 100, "steps": 10, "queries": 50, "factors": 3},
        "paper": {"images": 300, "steps": 40, "queries": 1000},
    },
    "unit_worst": {
        "smoke": {"images": 20, "steps": 2, "queries": 10, "restarts": 2, "factors": 1},
        "quick": {"images": 20, "steps": 2, "queries": 10, "restarts": 2, "factors": 1},
        "paper": {"images": 1000, "steps": 40, "queries": 1000, "restarts": 5, "factors": 1},
    },
    "unit_minimal": {
        "smoke": {"images": 4, "steps": 1, "queries": 10, "bisections": 2},
        "quick": {"images": 10, "steps": 20, "queries": 200, "bisections": 4},
        "paper": {"images": 50, "steps": 40, "queries": 20_000, "bisections": 8},
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
    return studies("unit_robustness", profile, parents)


WORST_ON = ("mnist", "fashion_mnist", "cifar10")


def attacked_again(profile: str) -> list[Study]:
    """ReLU and SPLASH in LeNet-5 on more images, with several restarts, at the headline radius
    alone; one network in the small profiles.
    """
    datasets = WORST_ON if profile == "paper" else (accuracy(profile)[0].dataset,)
    parents = []
    for cell in chosen(profile, PAIR, datasets):
        parents += stood_in(cell.runs("unit_accuracy"), profile)
    return studies("unit_worst", profile, parents if profile == "paper" else parents[:1])


def minimal(profile: str) -> list[Study]:
    """Of ReLU and SPLASH in LeNet-5 of `accuracy`."""
    parents = []
    for run in accuracy(profile):
        if run.network == "lenet5" and run.method in PAIR and run.dataset in GREY:
            parents.append(run)
    return studies("unit_minimal", profile, parents)


def studies(experiment: str, profile: str, parents: Runs) -> list[Study]:
    """A study of every network."""
    measured = partial(_study, experiment, AMOUNTS[experiment][profile])
    return [study.with_stand_in(measured, parent) for parent in parents]


def _study(experiment: str, amounts: Fields, parent: UnitTraining) -> Study:
    radius = attacking.HEADLINE_RADIUS[parent.dataset]
    amounts = dict(amounts)
    factors = attacking.FACTORS[: amounts.pop("factors", None)]
    return Study(
        experiment,
        parent=dataclasses.replace(parent, stand_in=None),
        dataset=parent.dataset,
        method=parent.method,
        variant=parent.variant,
        seed=parent.seed,
        radii=tuple(factor * radius for factor in factors),
        radii_l2=(attacking.HEADLINE_RADIUS_L2[parent.dataset],),
        **amounts,
    )


SHARED = ("network", "dataset", "limit", "test_images", "enlarge", "hidden")


def substitute(run: UnitTraining, unit: str) -> UnitTraining:
    """The network with a unit of the next seed of `accuracy`, on which attacks to be transferred
    are found: the same one whatever unit is attacked. Another seed is trained where there is but
    one.
    """
    pool = [one for one in _trained() if one.method == unit and _alike(one, run)]
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


def _alike(run: UnitTraining, other: UnitTraining) -> bool:
    """Whether both train the same network on the same data."""
    return all(getattr(run, name) == getattr(other, name) for name in SHARED)


def make_study(run: Study, workspace: Workspace, measure: Callable) -> Contents:
    """Measure the trained network of a run."""
    parent = workspace.record_of(run.parent, holds_network)
    contents = study.contents(run, parent, measure)
    contents.facts["network"] = run.parent.network
    return contents


def make_robustness(run: Study, workspace: Workspace) -> Contents:
    """The same, with points found on substitutes of both units that the claims compare."""
    substitutes = {}
    for unit in PAIR:
        source = workspace.record_of(substitute(run.parent, unit), holds_network)
        substitutes[unit] = training.network(source)
    measure = partial(attacking.robustness, substitutes=substitutes)
    return make_study(run, workspace, measure)


def study_numbers(record: Record) -> dict[str, Any]:
    """What the summary says of a study: the network it was made on."""
    final = record.environment["final"]
    return {"epochs": record.config.parent.epochs, "final_accuracy": final["test_accuracy"]}


# ------------------------------------------------------------------------------ the experiments


def _training(name: str, configs: Callable[[str], Runs]) -> Experiment:
    return Experiment(
        name,
        configs,
        make,
        numbers=training.numbers,
        keeps=training.keep_units,
        replay=training.replay,
    )


TRAININGS = ("unit_accuracy", "unit_lengths", "unit_lipschitz", "unit_defended")
ACCURACY = _training("unit_accuracy", accuracy)
ABLATION = _training("unit_ablation", ablation)
LENGTH = _training("unit_lengths", lengths)
LIPSCHITZ = _training("unit_lipschitz", held)
DEFENCE = _training("unit_defended", defended)
TUNING = _training("unit_tuning", tuning)
OWN_RATE = _training("unit_rates", own_rates)
LONG_TRAINING = _training("unit_long", long)
ROBUSTNESS = Experiment(
    "unit_robustness",
    attacked,
    make_robustness,
    numbers=study_numbers,
    keeps=keep_all,
    parents=TRAININGS,
)
WORST = dataclasses.replace(ROBUSTNESS, name="unit_worst", configs=attacked_again)
MINIMAL = Experiment(
    "unit_minimal",
    minimal,
    partial(make_study, measure=attacking.minimal),
    numbers=study_numbers,
    keeps=keep_all,
    parents=TRAININGS,
)
