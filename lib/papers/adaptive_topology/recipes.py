"""Recipes that make a network robust, for sparse and dense networks alike, and what they bring."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import pandas as pd

from lib import train
from lib.papers.adaptive_topology import summary
from lib.papers.adaptive_topology.networks import SHORTER, shorter
from lib.papers.adaptive_topology.readings import curve, outcomes, relative_areas
from lib.papers.shared import study, trained, tuning
from lib.papers.shared.methods import Fields, profiled
from lib.papers.shared.sparse_training import SparseTraining, training
from lib.papers.shared.study import Study, study_of, with_stand_in
from lib.report import labels
from lib.robustness import areas
from lib.robustness.defences import Adversarial, DropConnect
from lib.runs.experiment import Contents, Experiment, Workspace, keep_all, keep_nothing
from lib.runs.record import Record


@dataclass(frozen=True)
class RobustTraining(SparseTraining):
    """Training by a recipe; the variant names it.

    Args:
        drop_connect: largest fraction of the links left out of a step, see
            :class:`lib.robustness.defences.DropConnect`; 0: none.
        adversarial_radius: L-infinity radius of the points that are trained on, see
            :class:`lib.robustness.defences.Adversarial`; 0: the examples themselves.
        adversarial_steps: of the ascent.
        grow_radius: L-infinity radius of the points by whose gradient links grow; 0: as trained on.
    """

    drop_connect: float = 0.0
    adversarial_radius: float = 0.0
    adversarial_steps: int = 2
    grow_radius: float = 0.0

    def objectives(self) -> dict[str, train.Objective]:
        """What the steps lower, and growth follows."""
        given: dict[str, train.Objective] = {}
        attacked = None
        if self.adversarial_radius > 0:
            attacked = Adversarial(self.adversarial_radius, steps=self.adversarial_steps)
            given["objective"] = attacked
        if self.drop_connect > 0:
            given["objective"] = DropConnect(self.drop_connect, attacked)
        if self.grow_radius > 0:
            given["grow_objective"] = Adversarial(self.grow_radius, steps=self.adversarial_steps)
        return given


# ------------------------------------------------------------------------------------- networks

TRAINED_RADIUS = {"mnist": 0.1, "fashion_mnist": 0.04, "digits": 0.1}
MORE_RADII = {
    "mnist": (0.05, 0.15, 0.2),
    "fashion_mnist": (0.02, 0.06, 0.08),
    "digits": (0.2,),
}
AVERAGED: Fields = {"averaging": 0.999}
LEFT_OUT: Fields = {**AVERAGED, "drop_connect": 0.5, "learning_rate": 0.1, "dropout": 0.0}
ATTACKED: Fields = {**AVERAGED, "adversarial_radius": TRAINED_RADIUS, "dropout": 0.0}
RECIPES: dict[str, Fields] = {  # what differs from the tuned networks; see :func:`tried`
    "weights averaged": AVERAGED,
    "growth by attacked examples": {**AVERAGED, "grow_radius": TRAINED_RADIUS},
    "links left out": LEFT_OUT,
    "attacked examples": {**ATTACKED, "learning_rate": 0.3},
    "both": {**LEFT_OUT, **ATTACKED},
}
RECIPES_OF = {"rigl": tuple(RECIPES), "dense": ("links left out", "attacked examples")}
EPOCHS = {"attacked examples": 20, "both": 40}  # an epoch costs three; others as the tuned ones
TUNED = "tuned"  # the variant of the networks that recipes start from
SETTINGS = (
    *("epochs", "learning_rate", "dropout", "averaging"),
    *("drop_connect", "adversarial_radius", "grow_radius"),
)
TRIED: dict[str, tuple[Fields, ...]] = {
    "links left out": (
        {"drop_connect": 0.4},
        {"drop_connect": 0.5},
        {"drop_connect": 0.6},
        {"drop_connect": 0.5, "learning_rate": 0.03},
    ),
    "attacked examples": ({"learning_rate": 0.1}, {"learning_rate": 0.3}),
}


def configs(profile: str) -> list[RobustTraining]:
    """RigL by every recipe, the dense network by the main ones."""
    runs = []
    for run in tuned(profile):
        runs += [by_recipe(run, recipe, profile) for recipe in RECIPES_OF[run.method]]
    return runs


def tuned(profile: str) -> list[SparseTraining]:
    """The networks that recipes start from: those of ``training_length`` that train longest."""
    longest = max(SHORTER[profile])
    runs = [run for run in shorter(profile) if run.method in RECIPES_OF]
    return [run for run in runs if run.epochs == longest]


def tried(profile: str) -> list[RobustTraining]:
    """What was tried for RigL on validation examples: how many links are left out, and the learning
    rate. Leaving links out diverges at rates of .2 and above, which have no record.
    """
    scale = {**tuning.scale_of(profile), "epochs": {"sparse": max(SHORTER[profile])}}
    if profile == "paper":
        scale["datasets"] = "mnist", "fashion_mnist"
    runs = []
    for run in profiled("adaptive_topology", profile, ("rigl",), **scale):
        for recipe, points in TRIED.items():
            for point in points if profile == "paper" else points[:1]:
                changed = by_recipe(run, recipe, profile).with_changes(point)
                values = ", ".join(f"{name} {value:g}" for name, value in point.items())
                variant = f"{recipe}, {values}"
                runs.append(changed.with_changes({"variant": variant}))
    return [dataclasses.replace(run, experiment="recipe_tuning") for run in runs]


def by_recipe(run: SparseTraining, recipe: str, profile: str) -> RobustTraining:
    """The same training by a recipe."""
    changes: Fields = {"experiment": "make_it_robust", "variant": recipe}
    if profile == "paper":
        changes["epochs"] = EPOCHS.get(recipe, run.epochs)
    for name, value in RECIPES[recipe].items():  # a dict has a number for each data set
        changes[name] = value[run.dataset] if isinstance(value, dict) else value
    if run.stand_in is not None:
        changes["stand_in"] = by_recipe(run.stand_in, recipe, profile)
    return run.as_kind(RobustTraining, **changes)


# ---------------------------------------------------------------------------------- what it brings

AMOUNTS: dict[str, Fields] = {
    "smoke": {"images": 40, "draws": 1, "points": 5, "steps": 5, "queries": 20},
    "quick": {"images": 100, "draws": 1, "points": 5, "steps": 10, "queries": 50},
    "paper": {"images": 1000, "draws": 3, "points": 21},
}


def studies(profile: str) -> list[Study]:
    """A study of every network, of those that recipes start from, and of those tried."""
    parents = [*tuned(profile), *configs(profile), *tried(profile)]
    return [with_stand_in(partial(_study, profile), parent) for parent in parents]


def _study(profile: str, parent: SparseTraining) -> Study:
    radii = TRAINED_RADIUS[parent.dataset], *MORE_RADII[parent.dataset]
    fields = {**AMOUNTS[profile], "variant": parent.variant}
    return study_of("robust_summary", parent, radii=radii, **fields)


def make_study(run: Study, workspace: Workspace) -> Contents:
    """Measure the trained network of a run."""
    parent = workspace.record_of(run.parent, trained.holds_network)
    return study.contents(run, parent, summary.robustness_summary)


# ----------------------------------------------------------------------------------------- tables


def half_fraction(record: Record) -> float:
    """Fraction of the links, removed at random, at which half of the accuracy above chance is
    lost.
    """
    accuracies = curve(record, "removal")
    n_classes = trained.widths(record)[-1]
    return areas.half_fraction(accuracies.index, accuracies, n_classes)


def gains(records: Iterable[Record]) -> pd.DataFrame:
    """What each recipe brings, a number a row.

    Args:
        records: of ``robust_summary``.
    Returns: columns dataset, method, recipe ("tuned": none), seed, measure, value. Measures:
        accuracy (of all test images; on validation, of the images attacked), ensemble (accuracy at
        the radius trained for), half fraction (of the links, where half of the accuracy is lost),
        removal area.
    """
    rows = []
    for record in records:
        run = record.config
        place = run.dataset, run.method, run.variant, run.seed
        accuracy = record.environment["final"]["test_accuracy"]
        numbers = {
            "accuracy": outcomes(record, "clean").mean() if accuracy is None else accuracy,
            "ensemble": outcomes(record, "ensemble linf").mean(),
            "half fraction": half_fraction(record),
            "removal area": relative_areas(record, "removal").mean(),
        }
        rows += [(*place, *pair) for pair in numbers.items()]
    columns = ["dataset", "method", "recipe", "seed", "measure", "value"]
    return pd.DataFrame(rows, columns=columns)


def against_tuned(gains: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """What :func:`lib.report.intervals.contrasts` takes to compare each recipe with the tuned
    network of the same method.

    Args:
        gains: rows of :func:`gains`.
    Returns: the rows, the recipe as method and the method as network; the pairs.
    """
    rows = gains.rename(columns={"method": "network", "recipe": "method"})
    recipes = [recipe for recipe in RECIPES if (rows["method"] == recipe).any()]
    pairs = {f"{recipe} − {TUNED}": (recipe, TUNED) for recipe in recipes}
    return rows, pairs


def settings(records: Iterable[Record]) -> pd.DataFrame:
    """How the networks of summaries were trained, a row a recipe, data set and method."""
    rows = []
    for record in records:
        run = record.config.parent
        row = {"dataset": labels.dataset(run.dataset), "method": labels.method_name(run.method)}
        row["recipe"] = run.variant
        for name in SETTINGS:
            row[name] = getattr(run, name, 0)
        rows.append(row)
    columns = ["recipe", "dataset", "method", *SETTINGS]
    table = pd.DataFrame(rows, columns=columns)
    counts = table.groupby(columns, sort=False).size()
    return counts.rename("seeds").reset_index()


def of_tests(records: Iterable[Record]) -> list[Record]:
    """The summaries of networks whose test accuracy is reported."""
    return [record for record in records if record.config.parent.evaluate_test]


def of_validation(records: Iterable[Record]) -> list[Record]:
    """The summaries of networks that were tried on validation examples."""
    return [record for record in records if not record.config.parent.evaluate_test]


def beside_each_other(curves: pd.DataFrame) -> pd.DataFrame:
    """Curves of :func:`lib.papers.adaptive_topology.lengths.curves` with the recipe as method and
    the network as panel; without averaged weights, which are those of the tuned network nearly.
    """
    chosen = curves[curves["variant"] != "weights averaged"]
    return chosen.assign(panel=chosen["method"].map(labels.method_name), method=chosen["variant"])


LOOKS = {  # of recipes, as of methods
    TUNED: labels.look(TUNED, "#555555", "-"),
    "growth by attacked examples": labels.look("growth by attacked examples", "#ddaa33", "-."),
    "links left out": labels.look("links left out", "#44aaaa", "--"),
    "attacked examples": labels.look("attacked examples", "#cc3311", (0, (5, 1))),
    "both": labels.look("both", "#882255", ":"),
}

MAKE_IT_ROBUST = training("make_it_robust", configs, keep_nothing)
RECIPE_TUNING = training("recipe_tuning", tried, keep_nothing)
ROBUST_SUMMARY = Experiment(
    "robust_summary",
    configs=studies,
    make=make_study,
    numbers=study.numbers,
    keeps=keep_all,
    parents=("make_it_robust", "training_length", "recipe_tuning"),
)
