"""The machines behind Fig. 2 to 4 and Table 2 of [Mocanu2018], and the studies of their links."""

from collections.abc import Callable
from functools import partial

from lib.runs.experiment import Experiment
from lib.runs.record import Record
from papers.set.rbm import studies, training
from papers.set.rbm.training import VISIBLE_STARTS, RBMTraining
from papers.set.studies import visible_connectivity
from papers.shared import study, trained
from papers.shared.methods import trainings
from papers.shared.study import studies_of
from papers.shared.tables import Fields

Runs = list[RBMTraining]

METHODS: dict[str, Fields] = {
    "set": {"er_epsilon": 11.0, "drop": "sign"},
    "fixed": {"er_epsilon": 11.0},
    "fixed_final": {"er_epsilon": 8.0},  # what SET's 11 leaves after the last update, rounded
    "dense": {},
}
ALL, WIDE_METHODS = [*METHODS], ["set", "fixed", "dense"]
ONE, THREE, FIVE = range(1), range(3), range(5)  # seeds
SMALL = {"batch_size": 10}  # sets of up to 5,000 training examples
LARGER = {"batch_size": 100}
SHORT = {"temperatures": 100, "final_temperatures": 1000}
DIGITS = {"dataset": "digits", "validation": 300}
TINY = {**DIGITS, **SHORT, "hidden": (20,), "epochs": 2, "limit": 200}


def machines(experiment: str, *parts: Fields, chosen: dict[str, Fields] | None = None) -> Runs:
    """The runs of tables of settings, see :func:`papers.shared.tables.grid`.

    Args:
        chosen: further settings by method.
    """
    differences = {name: {**METHODS[name], **(chosen or {}).get(name, {})} for name in METHODS}
    told = {"kind": RBMTraining, "differences": {"method": differences}}
    return [run for settings in parts for run in trainings(experiment, **told, **settings)]


# --------------------------------------------------------------------------------- DNA: Fig. 2

TRIED: dict[int, Fields] = {  # each with each, by number of hidden units
    250: {"learning_rate": [0.0003, 0.001, 0.003, 0.01, 0.03], "weight_decay": [2e-4, 2e-3, 2e-2]},
    500: {"learning_rate": [0.001, 0.003, 0.01], "weight_decay": [2e-4, 2e-3]},
}
TUNED: dict[int, dict[str, Fields]] = {  # what validation chooses of these
    250: {
        "set": {"learning_rate": 0.01, "weight_decay": 2e-4},
        "fixed": {"learning_rate": 0.003, "weight_decay": 2e-4},
        "fixed_final": {"learning_rate": 0.01, "weight_decay": 2e-4},
        "dense": {"learning_rate": 0.001, "weight_decay": 2e-3},
    },
    500: {
        "set": {"learning_rate": 0.003, "weight_decay": 2e-4},
        "fixed": {"learning_rate": 0.003, "weight_decay": 2e-4},
        "fixed_final": {"learning_rate": 0.003, "weight_decay": 2e-4},
        "dense": {"learning_rate": 0.001, "weight_decay": 2e-3},
    },
}
TUNED_EPOCHS = {250: 1000, 500: 600}  # as slow machines still improve at the end of 300
GRID: Fields = {  # the nine settings
    "variant": "grid",
    "dataset": "dna",
    "cd_steps": [1, 3, 10],
    "hidden": [(100,), (250,), (500,)],
}


def dna(profile: str) -> Runs:
    """Nine settings with the paper's rate and weight decay (*grid*); two of them for its 5,000
    epochs, one seed (*long*); other rates and decays with CD-3, one seed (*tried*), and those that
    validation chooses for each method (*tuned*).
    """
    name = "set_rbm_dna"
    if profile == "smoke":
        tried = {**TINY, "variant": "tried", "weight_decay": 0.02}
        return machines(
            name,
            {**TINY, "variant": "grid", "method": ["set", "fixed"], "seed": range(2)},
            {**TINY, "variant": "grid", "method": ["dense"], "seed": ONE},
            {**tried, "method": ["set", "dense"], "seed": ONE},
        )
    if profile == "quick":
        short = {**SHORT, "hidden": (100,), "epochs": 40, "variant": "grid", "dataset": "dna"}
        return machines(name, {**short, "method": ALL, "seed": ONE, "fallback": DIGITS})
    long = {**GRID, "variant": "long", "cd_steps": 1, "hidden": [(100,), (250,)], "epochs": 5000}
    runs = machines(
        name, {**GRID, "method": ALL, "seed": FIVE}, {**long, "method": ALL, "seed": ONE}
    )
    for hidden, tried in TRIED.items():
        machine = {"dataset": "dna", "hidden": (hidden,), "cd_steps": 3}
        tuned = {**machine, "variant": "tuned", "epochs": TUNED_EPOCHS[hidden]}
        runs += machines(name, {**machine, "variant": "tried", **tried, "method": ALL, "seed": ONE})
        runs += machines(name, {**tuned, "method": ALL, "seed": FIVE}, chosen=TUNED[hidden])
    return runs


def long_dna(profile: str) -> Runs:
    """SET in the nine settings of *grid* for the paper's 5,000 epochs. The seeds, which no shorter
    run has, were fixed before the first of them began.
    """
    settings = {**GRID, "method": ["set"], "seed": range(10, 13), "epochs": 5000}
    if profile != "paper":
        settings = {**TINY, "variant": "grid", "method": ["set"], "seed": ONE, "epochs": 1}
    return machines("set_rbm_dna_long", settings)


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
        return machines("set_rbm", {**TINY, **one, "method": ["set", "fixed"], "seed": ONE})
    if profile == "quick":
        mushrooms = {**one, **SHORT, "dataset": "mushrooms", "epochs": 20, "method": ALL}
        mushrooms["fallback"] = DIGITS
        mnist = {**one, **TABLE_2["mnist"], **SHORT, "dataset": "mnist", "epochs": 2}
        mnist |= {"validation": 1000, "limit": 10_000, "method": ["set"], "fallback": DIGITS}
        return machines("set_rbm", mushrooms, mnist)
    parts = []
    for dataset, fields in TABLE_2.items():
        seeds = FIVE if dataset in FIVE_SEEDS else THREE
        parts.append({**one, "dataset": dataset, **fields, "method": ALL, "seed": seeds})
    mnist = {**one, "dataset": "mnist", **TABLE_2["mnist"]}
    parts.append({**mnist, "method": ["set"], "seed": [3, 4]})
    for dataset in ("mnist", "caltech28"):
        means = {"dataset": dataset, **TABLE_2[dataset]}
        means |= {"variant": "means", "visible_start": "means", "method": ALL}
        parts.append({**means, "seed": {"set": FIVE, "others": THREE}})
    wide = {**mnist, **WIDE, "method": ["set", "fixed"]}
    parts.append({**wide, "seed": {"set": THREE, "fixed": ONE}})
    return machines("set_rbm", *parts)


# --------------------------------------------------------------- MNIST with 2,500 hidden units

WIDE_TRIED = {  # one seed, each with each
    "learning_rate": [0.003, 0.01, 0.03],
    "weight_decay": [2e-4, 2e-3],
    "visible_start": [*VISIBLE_STARTS],
}
# Further rates, one seed too. As long as the best rate of a method is its smallest or its largest,
# the next one beyond it is tried.
WIDE_RATES_BEYOND = {"set": [0.1], "fixed": [0.1, 0.3], "dense": [0.001, 0.0003, 0.0001, 0.00003]}
WIDE_EPOCHS = 120  # of the chosen setting, whose seeds were fixed before the first of them began
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
    name = "set_rbm_wide"
    tried = {"variant": "tried", "evaluate_test": False, "seed": ONE}
    if profile != "paper":
        return machines(name, {**TINY, **tried, "epochs": 1, "method": ["set"]})
    machine = {"dataset": "mnist", **WIDE}
    tried |= {**machine, "epochs": 20, **WIDE_TRIED, "method": WIDE_METHODS}
    beyond = {"method": WIDE_METHODS, **tried, "learning_rate": WIDE_RATES_BEYOND}
    tuned = {**machine, "variant": "tuned", "epochs": WIDE_EPOCHS, "method": WIDE_METHODS}
    chosen = machines(name, {**tuned, "seed": THREE}, chosen=WIDE_TUNED)
    return machines(name, tried, beyond) + chosen


# ------------------------------------------------------------- studies of the links: Fig. 3, 4

REPLICATES: dict[str, Fields] = {
    "smoke": {"draws": 10},
    "quick": {"draws": 50},
    "paper": {"draws": 200},
}


def evolved_on_dna(profile: str) -> Runs:
    """SET's machines in the nine settings on DNA."""
    return [run for run in dna(profile) if (run.method, run.variant) == ("set", "grid")]


def on_images(profile: str) -> Runs:
    """The machines of SET and of a fixed support whose visible units are pixels."""
    images = ("mnist", "caltech28", "digits")
    runs = table_2(profile)
    return [run for run in runs if run.method in ("set", "fixed") and run.dataset in images]


def study_numbers(record: Record) -> Fields:
    """What the summary says of a study: the machine it was made on."""
    n_links = record.environment["final"]["links"]
    return {"optimiser": "sgd", "epochs": record.config.parent.epochs, "links_final": n_links}


# ------------------------------------------------------------------------------ the experiments


def _training(
    name: str, configs: Callable[[str], Runs], keeps: Callable[[Record, str], bool] = training.keeps
) -> Experiment:
    return Experiment(name, configs, training.make, numbers=training.numbers, keeps=keeps)


def _study(name: str, measure: Callable, parents: Callable[[str], Runs], parent: str) -> Experiment:
    configs = partial(studies_of, name, parents, REPLICATES)
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
