"""The machines behind Fig. 2 to 4 and Table 2 of [Mocanu2018], and the studies of their links."""

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from typing import Any

from lib.runs.experiment import Experiment
from lib.runs.record import Record
from papers.set.rbm import studies, training
from papers.set.rbm.training import VISIBLE_STARTS, RBMTraining
from papers.set.studies import visible_connectivity
from papers.shared import study, trained
from papers.shared.study import Study, Table, study_of, with_stand_in

Fields = dict[str, Any]
Part = tuple[Iterable[str], Iterable[int], Fields]  # methods, seeds and settings of some runs
Runs = list[RBMTraining]

METHODS: dict[str, Fields] = {
    "set": {"er_epsilon": 11.0, "drop": "sign"},
    "fixed": {"er_epsilon": 11.0},
    "fixed_final": {"er_epsilon": 8.0},  # what SET's 11 leaves after the last update, rounded
    "dense": {},
}
SMALL = {"batch_size": 10}  # sets of up to 5,000 training examples
LARGER = {"batch_size": 100}
SHORT = {"temperatures": 100, "final_temperatures": 1000}
DIGITS = {"dataset": "digits", "validation": 300}
TINY = {**DIGITS, **SHORT, "hidden": (20,), "epochs": 2, "limit": 200}


def _runs(experiment: str, parts: Iterable[Part]) -> Runs:
    """A run for every method and seed of each part."""
    runs = []
    for methods, seeds, fields in parts:
        for method, seed in product(methods, seeds):
            own = {**METHODS[method], **fields}
            runs.append(RBMTraining(experiment, method=method, seed=seed, **own))
    return runs


def _with_digits(runs: Runs) -> Runs:
    """The runs, digits standing in where their data set cannot be had."""
    return [dataclasses.replace(run, stand_in=dataclasses.replace(run, **DIGITS)) for run in runs]


# --------------------------------------------------------------------------------- DNA: Fig. 2

HIDDEN = (100, 250, 500)
CD_STEPS = (1, 3, 10)
DNA = {"dataset": "dna"}
TRIED = {  # rates and weight decays, each with each, by number of hidden units; every method, CD-3
    250: ((0.0003, 0.001, 0.003, 0.01, 0.03), (2e-4, 2e-3, 2e-2)),
    500: ((0.001, 0.003, 0.01), (2e-4, 2e-3)),
}
TUNED = {  # rate and decay that validation chooses of these
    250: {
        "set": (0.01, 2e-4),
        "fixed": (0.003, 2e-4),
        "fixed_final": (0.01, 2e-4),
        "dense": (0.001, 2e-3),
    },
    500: {
        "set": (0.003, 2e-4),
        "fixed": (0.003, 2e-4),
        "fixed_final": (0.003, 2e-4),
        "dense": (0.001, 2e-3),
    },
}
TUNED_EPOCHS = {250: 1000, 500: 600}  # as slow machines still improve at the end of 300


def dna(profile: str) -> Runs:
    """Nine settings with the paper's rate and weight decay (*grid*); two of them for its 5,000
    epochs, one seed (*long*); other rates and decays, one seed (*tried*), and those that validation
    chooses for each method (*tuned*).
    """
    if profile == "smoke":
        grid, tried = {**TINY, "variant": "grid"}, {**TINY, "variant": "tried"}
        parts = [
            (("set", "fixed"), (0, 1), grid),
            (("dense",), (0,), grid),
            (("set", "dense"), (0,), {**tried, "weight_decay": 0.02}),
        ]
        return _runs("set_rbm_dna", parts)
    if profile == "quick":
        short = {**DNA, **SHORT, "variant": "grid", "hidden": (100,), "epochs": 40}
        return _with_digits(_runs("set_rbm_dna", [(METHODS, (0,), short)]))
    parts = []
    for cd_steps, hidden in product(CD_STEPS, HIDDEN):
        grid = {**DNA, "variant": "grid", "hidden": (hidden,), "cd_steps": cd_steps}
        parts.append((METHODS, range(5), grid))
    for hidden in (100, 250):
        long = {**DNA, "variant": "long", "hidden": (hidden,), "epochs": 5000}
        parts.append((METHODS, (0,), long))
    for hidden, (rates, decays) in TRIED.items():
        machine = {**DNA, "hidden": (hidden,), "cd_steps": 3}
        for rate, decay in product(rates, decays):
            setting = {**machine, "learning_rate": rate, "weight_decay": decay}
            parts.append((METHODS, (0,), {**setting, "variant": "tried"}))
        for method, (rate, decay) in TUNED[hidden].items():
            setting = {**machine, "learning_rate": rate, "weight_decay": decay}
            setting |= {"variant": "tuned", "epochs": TUNED_EPOCHS[hidden]}
            parts.append(((method,), range(5), setting))
    return _runs("set_rbm_dna", parts)


LONG_SEEDS = range(10, 13)  # fixed before the first of them began; no shorter run has them


def long_dna(profile: str) -> Runs:
    """SET in the nine settings of *grid* for the paper's 5,000 epochs."""
    if profile != "paper":
        tiny = {**TINY, "variant": "grid", "epochs": 1}
        return _runs("set_rbm_dna_long", [(("set",), (0,), tiny)])
    parts = []
    for cd_steps, hidden in product(CD_STEPS, HIDDEN):
        grid = {**DNA, "variant": "grid", "hidden": (hidden,), "cd_steps": cd_steps, "epochs": 5000}
        parts.append((("set",), LONG_SEEDS, grid))
    return _runs("set_rbm_dna_long", parts)


# ------------------------------------------------------------------- the other sets of Table 2

TABLE_2: dict[str, Fields] = {
    "nips": {"hidden": (500,), "cd_steps": 3, "epochs": 100, **SMALL},
    "mushrooms": {"hidden": (250,), "cd_steps": 3, "epochs": 500, "temperatures": 10_000, **SMALL},
    "adult": {"hidden": (500,), "cd_steps": 3, "epochs": 300, **SMALL},
    "connect4": {"hidden": (500,), "cd_steps": 3, "epochs": 100, **LARGER},
    "ocr_letters": {"hidden": (500,), "cd_steps": 3, "epochs": 100, **LARGER},
    "web": {"hidden": (500,), "cd_steps": 3, "epochs": 100, **LARGER},
    "caltech28": {"hidden": (500,), "cd_steps": 1, "epochs": 100, **SMALL},
    "mnist": {"hidden": (500,), "epochs": 120, "validation": 5000, **LARGER},
}
FIVE_SEEDS = ("mushrooms", "nips")  # of the others 3, and 5 of SET on MNIST, for S24
WIDE = {"hidden": (2500,), "epochs": 60, "validation": 5000, **LARGER}  # MNIST


def table_2(profile: str) -> Runs:
    """Every set of Table 2 but DNA that can be had: one setting each, and where images are drawn
    also with first biases at the log odds of the means.
    """
    one = {"variant": "one setting"}
    if profile == "smoke":
        return _runs("set_rbm", [(("set", "fixed"), (0,), {**TINY, **one})])
    if profile == "quick":
        mushrooms = {**one, **SHORT, "dataset": "mushrooms", "epochs": 20}
        mnist = {**TABLE_2["mnist"], **one, **SHORT, "dataset": "mnist", "epochs": 2}
        mnist |= {"validation": 1000, "limit": 10_000}
        parts = [(METHODS, (0,), mushrooms), (("set",), (0,), mnist)]
        return _with_digits(_runs("set_rbm", parts))
    parts = []
    for dataset, fields in TABLE_2.items():
        seeds = range(5 if dataset in FIVE_SEEDS else 3)
        parts.append((METHODS, seeds, {**fields, **one, "dataset": dataset}))
    mnist = {**one, "dataset": "mnist"}
    parts.append((("set",), (3, 4), {**mnist, **TABLE_2["mnist"]}))
    for dataset in ("mnist", "caltech28"):
        means = {**TABLE_2[dataset], "dataset": dataset}
        means |= {"variant": "means", "visible_start": "means"}
        parts.append((("set",), range(5), means))
        parts.append((("fixed", "fixed_final", "dense"), range(3), means))
    parts.append((("set",), range(3), {**mnist, **WIDE}))
    parts.append((("fixed",), (0,), {**mnist, **WIDE}))
    return _runs("set_rbm", parts)


# --------------------------------------------------------------- MNIST with 2,500 hidden units

WIDE_TRIED = {  # one seed, each with each
    "learning_rate": (0.003, 0.01, 0.03),
    "weight_decay": (2e-4, 2e-3),
    "visible_start": VISIBLE_STARTS,
}
# Further rates, one seed too. As long as the best rate of a method is its smallest or its largest,
# the next one beyond it is tried.
WIDE_RATES_BEYOND = {"set": (0.1,), "fixed": (0.1, 0.3), "dense": (0.001, 0.0003, 0.0001, 0.00003)}
WIDE_TRIED_EPOCHS, WIDE_EPOCHS = 20, 120
WIDE_METHODS = ("set", "fixed", "dense")
WIDE_SEEDS = 3  # of the chosen setting, fixed before the first of them began
# Filled in from the records of what was tried, by method; a test compares both.
WIDE_TUNED: dict[str, Fields] = {
    "set": {"learning_rate": 0.03, "weight_decay": 2e-4, "visible_start": "zeros"},
    "fixed": {"learning_rate": 0.1, "weight_decay": 2e-4, "visible_start": "zeros"},
    "dense": {"learning_rate": 0.0001, "weight_decay": 2e-3, "visible_start": "means"},
}


def wide(profile: str) -> Runs:
    """2,500 hidden units on MNIST, CD-1: rates, weight decays and first biases of the visible units
    by validation, and the chosen ones for each method.
    """
    if profile != "paper":
        tiny = {**TINY, "variant": "tried", "epochs": 1, "evaluate_test": False}
        return _runs("set_rbm_wide", [(("set",), (0,), tiny)])
    machine = {**WIDE, "dataset": "mnist"}
    parts = []
    tried = [(WIDE_METHODS, WIDE_TRIED)]
    for method, rates in WIDE_RATES_BEYOND.items():
        tried.append(((method,), {**WIDE_TRIED, "learning_rate": rates}))
    for methods, grid in tried:
        for values in product(*grid.values()):
            setting = {**machine, **dict(zip(grid, values, strict=True))}
            setting |= {"variant": "tried", "epochs": WIDE_TRIED_EPOCHS, "evaluate_test": False}
            parts.append((methods, (0,), setting))
    for method, chosen in WIDE_TUNED.items():
        setting = {**machine, **chosen, "variant": "tuned", "epochs": WIDE_EPOCHS}
        parts.append(((method,), range(WIDE_SEEDS), setting))
    return _runs("set_rbm_wide", parts)


# ------------------------------------------------------------- studies of the links: Fig. 3, 4

REPLICATES = {"smoke": 10, "quick": 50, "paper": 200}


def evolved_on_dna(profile: str) -> Runs:
    """SET's machines in the nine settings on DNA."""
    return [run for run in dna(profile) if (run.method, run.variant) == ("set", "grid")]


def on_images(profile: str) -> Runs:
    """The machines of SET and of a fixed support whose visible units are pixels."""
    images = ("mnist", "caltech28", "digits")
    runs = table_2(profile)
    return [run for run in runs if run.method in ("set", "fixed") and run.dataset in images]


def configs_of_studies(
    profile: str, experiment: str, parents: Callable[[str], Runs]
) -> list[Study]:
    """A study of each of these machines."""

    def make(parent: RBMTraining) -> Study:
        draws = REPLICATES[profile]
        return study_of(experiment, parent, variant=parent.variant, draws=draws)

    return [with_stand_in(make, parent) for parent in parents(profile)]


def study_numbers(record: Record) -> Fields:
    """What the summary says of a study: the machine it was made on."""
    n_links = record.environment["final"]["links"]
    return {"optimiser": "sgd", "epochs": record.config.parent.epochs, "links_final": n_links}


# ------------------------------------------------------------------------------ the experiments


def _training(
    name: str,
    configs: Callable[[str], Runs],
    keeps: Callable[[Record, str], bool] = training.keeps,
) -> Experiment:
    return Experiment(name, configs, training.make, numbers=training.numbers, keeps=keeps)


def _study(
    name: str,
    measure: Callable[[Study, Record], Table],
    parents: Callable[[str], Runs],
    parent: str,
) -> Experiment:
    configs = partial(configs_of_studies, experiment=name, parents=parents)
    told = {"holds": trained.holds_degrees, "numbers": study_numbers}
    return study.measuring(name, configs, measure, parent, **told)


EXPERIMENTS = (
    _training("set_rbm_dna", dna),
    _training("set_rbm_dna_long", long_dna),
    _training("set_rbm", table_2),
    _training("set_rbm_wide", wide, training.keeps_reported),
    _study("rbm_scale_free", studies.scale_free, evolved_on_dna, "set_rbm_dna"),
    _study("rbm_visible", visible_connectivity, on_images, "set_rbm"),
)
