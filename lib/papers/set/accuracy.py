"""Accuracy at 1 % of the links: what raises it, and whether it raises dense networks too."""

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from lib.papers.set.regularised import RegularisedTraining
from lib.papers.shared import tuning
from lib.papers.shared.methods import Fields, profiled
from lib.papers.shared.sparse_training import SparseTraining, training
from lib.report import labels, tables
from lib.report.intervals import contrasts
from lib.runs.experiment import keep_nothing
from lib.runs.record import Record

METHODS: dict[str, tuple[str, ...]] = {  # by network: where each was tuned
    "adaptive_topology_1568": ("rigl", "set", "fixed"),  # 77,145 links, 15,680 of them the output's
    "adaptive_topology": ("dense",),
}
TUNED, LONGER = "as tuned", "twice the epochs"
RECIPES: dict[str, Fields] = {  # one change each of the settings chosen for a method
    TUNED: {},
    "weights averaged": {"averaging": 0.999},
    "labels softened": {"label_smoothing": 0.1},
    "sharpness-aware": {"sharpness": 0.05},
    "five times the decay": {"weight_decay": 1e-3},
    "no decay": {"weight_decay": 0.0},
    "dropout .3": {"dropout": 0.3},
    "images moved": {"augmentation": 0.5},
    LONGER: {},  # for what takes two gradients a step
}
FEW_RECIPES = (TUNED, "labels softened", "sharpness-aware")
TOGETHER = "what helps, together"
HELP = 0.1  # points on validation images that a recipe brings at equal epochs, to be one of these
HELPFUL: dict[tuple[str, str], tuple[str, ...]] = {  # by method and data set
    ("rigl", "mnist"): ("labels softened", "sharpness-aware", "images moved"),
    ("rigl", "fashion_mnist"): ("labels softened", "sharpness-aware"),
}
FINAL: dict[tuple[str, str], tuple[str, ...]] = {  # what did best there, and what costs as much
    ("rigl", "mnist"): ("labels softened", TOGETHER, LONGER),  # two did equally well
    ("rigl", "fashion_mnist"): ("sharpness-aware", LONGER),
    ("set", "fashion_mnist"): ("no decay",),  # costs no more than as tuned
    ("fixed", "mnist"): ("no decay",),
    ("fixed", "fashion_mnist"): ("no decay",),
}
FINAL_SMALL = ("sharpness-aware", LONGER)  # of the small profiles


def tried(profile: str) -> list[RegularisedTraining]:
    """Every recipe on validation examples, for every method for which it changes something; then
    those that help RigL, the first that was tried, together.
    """
    scale = {**tuning.scale_of(profile), "epochs": {"sparse": 2}}
    if profile == "paper":
        scale |= {"epochs": {"sparse": 60}, "datasets": ("mnist", "fashion_mnist")}
    recipes = RECIPES if profile == "paper" else FEW_RECIPES
    runs = []
    for network, methods in METHODS.items():
        for run in profiled(network, profile, methods, **scale):
            tuned = by_recipe(run, TUNED, "accuracy_tuning")
            runs.append(tuned)
            for recipe in recipes:
                other = by_recipe(run, recipe, "accuracy_tuning")
                if replace(other, variant=TUNED) != tuned:
                    runs.append(other)
            if (run.method, run.dataset) in HELPFUL:
                runs.append(by_recipe(run, TOGETHER, "accuracy_tuning"))
    return runs


def final(profile: str) -> list[RegularisedTraining]:
    """By the recipes that did best on validation examples, on all training examples; where a step
    is aware of sharpness, and so takes two gradients, also as tuned for twice the epochs. The same
    networks as tuned are those of the experiments :data:`METHODS`.
    """
    changes: Fields = {"datasets": ("mnist",)} if profile == "quick" else {}
    runs = []
    for network, methods in METHODS.items():
        for run in profiled(network, profile, methods, **changes):
            recipes = FINAL_SMALL if run.method == "rigl" else ()
            if profile == "paper":
                recipes = FINAL.get((run.method, run.dataset), ())
            runs += [by_recipe(run, recipe, "accuracy_by_recipe") for recipe in recipes]
    return runs


def by_recipe(run: SparseTraining, recipe: str, experiment: str) -> RegularisedTraining:
    """The same training by a recipe.

    Args:
        run: with the settings tuned for its method.
        recipe: of :data:`RECIPES`, or :data:`TOGETHER` where :data:`HELPFUL` says which.
        experiment: of which it becomes a run.
    """
    changes: Fields = {"experiment": experiment, "variant": recipe}
    parts = HELPFUL[run.method, run.dataset] if recipe == TOGETHER else (recipe,)
    for part in parts:
        changes |= RECIPES[part]
    if recipe == LONGER:
        changes["epochs"] = 2 * run.epochs
    if run.stand_in is not None:
        changes["stand_in"] = by_recipe(run.stand_in, recipe, experiment)
    return run.as_kind(RegularisedTraining, **changes)


def gains(records: Iterable[Record]) -> pd.DataFrame:
    """Validation accuracy at the last epoch, and how far it lies above the same method as tuned.

    Args:
        records: of ``accuracy_tuning``.
    Returns: columns recipe, dataset, method, seed, value (percent), gain (points; NaN where the
        method as tuned was not run).
    """
    rows = []
    for record in records:
        run = record.config
        value = 100 * record.metrics["valid_accuracy"].iloc[-1]
        rows.append((run.variant, run.dataset, run.method, run.seed, value))
    place = ["dataset", "method", "seed"]
    table = pd.DataFrame(rows, columns=["recipe", *place, "value"])
    tuned = table[table["recipe"] == TUNED].set_index(place)["value"].rename("tuned")
    table = table.join(tuned, on=place)
    return table.assign(gain=table["value"] - table["tuned"]).drop(columns="tuned")


def gap_rows(gains: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`gains`, what every recipe brings every method, points, with its interval over
    seeds: columns dataset, name (the recipe), series (the method), value, low, high, n.
    """
    gained = gains[gains["recipe"] != TUNED].dropna(subset="gain").assign(value=gains["gain"])
    found = tables.means(gained, ["dataset", "recipe", "method"])
    order = labels.methods_in(found["method"])
    found = found.sort_values("method", key=lambda names: names.map(order.index), kind="stable")
    found["method"] = found["method"].map(labels.method_name)
    return found.rename(columns={"recipe": "name", "method": "series", "mean": "value"})


def beside_each_other(gains: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`gains`, a row a recipe, a column a data set and method, as texts."""
    columns = [
        f"{labels.dataset(dataset)}, {labels.method_name(method)}"
        for dataset, method in zip(gains["dataset"], gains["method"], strict=True)
    ]
    texts = [
        f"{value:.2f} ({gain:+.2f})"
        for value, gain in zip(gains["value"], gains["gain"], strict=True)
    ]
    wide = gains.assign(column=columns, text=texts)
    wide = wide.pivot_table(
        index="recipe", columns="column", values="text", aggfunc="; ".join, sort=False
    )
    return wide.fillna("not run")


def outcomes(records: Iterable[Record]) -> pd.DataFrame:
    """Test accuracy at the last epoch of every run.

    Args:
        records: of ``accuracy_by_recipe``, and of the same networks as tuned.
    Returns: columns dataset, network (a method), method (a recipe), seed, measure, value (percent).
    """
    rows = []
    for record in records:
        run = record.config
        recipe = run.variant if isinstance(run, RegularisedTraining) else TUNED
        last = 100 * record.metrics["test_accuracy"].iloc[-1]
        name = labels.method_name(run.method)
        rows.append((run.dataset, name, recipe, run.seed, "accuracy", last))
    columns = ["dataset", "network", "method", "seed", "measure", "value"]
    return pd.DataFrame(rows, columns=columns)


def above_tuned(outcomes: pd.DataFrame) -> pd.DataFrame:
    """What each recipe brings over the same method as tuned, for as many epochs and for twice as
    many, points, paired by seed, as :func:`lib.report.intervals.contrasts` has it.

    Args:
        outcomes: of :func:`outcomes`.
    """
    recipes = [recipe for recipe in outcomes["method"].unique() if recipe != TUNED]
    pairs = {f"{recipe} − {TUNED}": (recipe, TUNED) for recipe in recipes}
    for recipe in recipes:
        if recipe != LONGER:
            pairs[f"{recipe} − {LONGER}"] = recipe, LONGER
    return contrasts(outcomes, pairs)


ACCURACY_BY_RECIPE = training("accuracy_by_recipe", final, keep_nothing)
ACCURACY_TUNING = training("accuracy_tuning", tried, keep_nothing)
