"""Recipes that make a network robust, for sparse and dense networks alike, and what they bring."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import pandas as pd

from lib import train
from lib.papers.adaptive_topology import summary
from lib.papers.adaptive_topology.readings import curve, outcomes, relative_areas
from lib.papers.shared import study, trained
from lib.papers.shared.methods import Fields, profiled
from lib.papers.shared.sparse_training import SparseTraining, training
from lib.papers.shared.study import Study, study_of, with_stand_in
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
BASE: Fields = {"averaging": 0.999, "dropout": 0.0, "learning_rate": 0.1}
AT_THE_RADIUS: Fields = {"adversarial_radius": TRAINED_RADIUS}
RECIPES: dict[str, Fields] = {  # each changes one thing of the plain one, for all methods alike
    "plain": {},
    "weights not averaged": {"averaging": 0.0},
    "growth by attacked examples": {"grow_radius": TRAINED_RADIUS},
    "links left out": {"drop_connect": 0.5},
    "attacked examples": AT_THE_RADIUS,
    "both": {"drop_connect": 0.5, **AT_THE_RADIUS},
}
MAIN = ("plain", "links left out", "attacked examples")
RECIPES_OF = {"rigl": tuple(RECIPES), "set": MAIN, "dense": MAIN}
EPOCHS = {"smoke": 1, "quick": 2, "paper": 40}


def configs(profile: str) -> list[RobustTraining]:
    """RigL by every recipe, SET and the dense network by the main ones."""
    changes = {"datasets": ("mnist",)} if profile == "quick" else {}
    changes["epochs"] = {"sparse": EPOCHS[profile]}
    runs = []
    for run in profiled("adaptive_topology", profile, ("set", "rigl", "dense"), **changes):
        runs += [by_recipe(run, recipe) for recipe in RECIPES_OF[run.method]]
    return runs


def by_recipe(run: SparseTraining, recipe: str) -> RobustTraining:
    """The same training by a recipe."""
    fields = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
    for name, value in (BASE | RECIPES[recipe]).items():  # a dict has a number for each data set
        fields[name] = value[run.dataset] if isinstance(value, dict) else value
    if run.stand_in is not None:
        fields["stand_in"] = by_recipe(run.stand_in, recipe)
    return RobustTraining(**{**fields, "experiment": "make_it_robust", "variant": recipe})


# ---------------------------------------------------------------------------------- what it brings

AMOUNTS: dict[str, Fields] = {
    "smoke": {"images": 40, "draws": 1, "points": 5, "steps": 5, "queries": 20},
    "quick": {"images": 200, "draws": 1, "points": 9, "steps": 20, "queries": 100},
    "paper": {"images": 1000, "draws": 3, "points": 21},
}


def studies(profile: str) -> list[Study]:
    """A study of every network."""
    return [with_stand_in(partial(_study, profile), parent) for parent in configs(profile)]


def _study(profile: str, parent: RobustTraining) -> Study:
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
    Returns: columns dataset, method, recipe, seed, measure, value. Measures: accuracy (of all test
        images), ensemble (accuracy at the radius trained for), half fraction (of the links, where
        half of the accuracy is lost), removal area.
    """
    rows = []
    for record in records:
        run = record.config
        place = run.dataset, run.method, run.variant, run.seed
        numbers = {
            "accuracy": record.environment["final"]["test_accuracy"],
            "ensemble": outcomes(record, "ensemble linf").mean(),
            "half fraction": half_fraction(record),
            "removal area": relative_areas(record, "removal").mean(),
        }
        rows += [(*place, *pair) for pair in numbers.items()]
    columns = ["dataset", "method", "recipe", "seed", "measure", "value"]
    return pd.DataFrame(rows, columns=columns)


MAKE_IT_ROBUST = training("make_it_robust", configs, keep_nothing)
ROBUST_SUMMARY = Experiment(
    "robust_summary",
    configs=studies,
    make=make_study,
    numbers=study.numbers,
    keeps=keep_all,
    parents=("make_it_robust",),
)
