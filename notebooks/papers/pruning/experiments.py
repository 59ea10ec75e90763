"""Which masks are searched and what is measured on their fronts, in three profiles.

Published: 200 evaluations, ten runs on each data set. The data sets are those at hand; of the
large ones 600 training and 300 validation images are used.
"""

from dataclasses import replace
from typing import Any

from lib.runs.experiment import Experiment, keep_all
from papers.pruning import studies, training
from papers.pruning.studies import FrontStudy, RegionStudy
from papers.pruning.tasks import DIGITS
from papers.pruning.training import MaskSearch
from papers.shared.study import epochs_and_accuracy

Fields = dict[str, Any]

CORALS = "rsmas"
METHODS = ("nsga2", "random_search")
CORRECTED = "corrected"
RELEASED = "as released"
AS_RELEASED: Fields = {
    "fitness_part": "test",
    "stop_on": "training",
    "coarse": True,
    "stale": True,
}
CHANGES: dict[str, Fields] = {  # of NSGA-II on the first data set, one each
    "30 offspring a step": {"offspring": 30},
    "three times the epochs": {"epochs": 120, "patience": 12},
    "noise as fourth objective": {"objectives": "accuracy density auroc noise"},
    "hidden units": {"mode": "hidden"},
    "links": {"mode": "links"},
}
GROUPED = "near duplicates together"  # other divisions into parts of the sets whose test is small
GROUPED_SETS = (CORALS, "citrus_leaves")
DIVISIONS = 5  # each with a search of its own, whose seed numbers it
PHOTOGRAPHS = (DIGITS, CORALS, "citrus_leaves", "rps28")  # whose regions are hidden

TINY: Fields = {"extractor": "tiny", "n_hidden": 32, "epochs": 10, "population": 8}
FEWER: Fields = {"train_images": 600, "valid_images": 300}
SMALL: Fields = {
    "sets": {},  # {data set: fields of its searches}, the first of them varied
    "runs": 2,
    "runs of changes": 2,
    "changes": ("30 offspring a step", "links"),
    "evaluations": (),  # further numbers, of both methods
    "divided": (),
    "front": {"fresh": 1, "compared": 4, "set_heads": 1},
    "regions": {"images": 20, "draws": 1},
}
PROFILES: dict[str, Fields] = {
    "smoke": SMALL
    | {
        "sets": {DIGITS: {**TINY, "evaluations": 24, "train_images": 200}},
        "front": {"fresh": 1, "compared": 2, "set_heads": 1},
    },
    "quick": SMALL | {"sets": {CORALS: {"population": 20, "evaluations": 50, "epochs": 15}}},
    "paper": {
        "sets": {
            CORALS: {},
            "citrus_leaves": {},
            "rps28": FEWER,
            "eye_fundus": FEWER,
            "cifar10": FEWER,
        },
        "runs": 10,  # as published
        "runs of changes": 5,
        "changes": tuple(CHANGES),
        "evaluations": (2000,),
        "divided": GROUPED_SETS,
        "front": {},
        "regions": {},
    },
}
ALONE: Fields = {"compared": 0, "set_heads": 0, "votes": False}  # a front without rivals


# ------------------------------------------------------------------------------- the searches


def searches(profile: str) -> list[MaskSearch]:
    """Every search, those that decide most first: both methods on every data set; the search as
    released, on the first two; with one change each, and longer, on the first; in other divisions.
    """
    size = PROFILES[profile]
    sets = [{"dataset": name, **fields} for name, fields in size["sets"].items()]
    n, n_of_changes = size["runs"], size["runs of changes"]
    runs = []
    for fields in sets:
        for method in METHODS:
            runs += _seeds(n, **fields, method=method)
    for fields in sets[:2]:
        runs += _seeds(n, **fields | AS_RELEASED, variant=RELEASED)
    for name in size["changes"]:
        runs += _seeds(n_of_changes, **sets[0] | CHANGES[name], variant=name)
    for evaluations in size["evaluations"]:
        for method in METHODS:
            fields = sets[0] | {"evaluations": evaluations, "method": method}
            runs += _seeds(n_of_changes, **fields, variant=f"{evaluations:,} evaluations")
    for dataset in size["divided"]:
        for seed in range(DIVISIONS):
            fields = {"dataset": dataset, "seed": seed, "division": seed + 1}
            runs.append(MaskSearch("mask_search", variant=GROUPED, **fields))
    if profile == "quick":
        on_digits = {"dataset": DIGITS, "extractor": "tiny", "n_hidden": 64}
        runs = [replace(run, stand_in=replace(run, **on_digits)) for run in runs]
    return runs


def _seeds(n: int, **fields: Any) -> list[MaskSearch]:
    return [MaskSearch("mask_search", seed=seed, **fields) for seed in range(n)]


# --------------------------------------------------------------------------------- the studies


def front_studies(profile: str) -> list[FrontStudy]:
    """The fronts of all searches; those of NSGA-II on every data set beside all that they must
    beat.
    """
    runs = []
    for parent in searches(profile):
        fields = PROFILES[profile]["front"]
        if parent.method != "nsga2" or parent.variant not in (CORRECTED, RELEASED, GROUPED):
            fields = fields | ALONE
        runs.append(_study(FrontStudy, "mask_fronts", parent, fields))
    return runs


def region_studies(profile: str) -> list[RegionStudy]:
    """Regions hidden from the fronts of NSGA-II."""
    runs = []
    for parent in searches(profile):
        is_plain = parent.method == "nsga2" and parent.variant in (CORRECTED, GROUPED)
        if is_plain and parent.dataset in PHOTOGRAPHS:
            fields = PROFILES[profile]["regions"]
            runs.append(_study(RegionStudy, "mask_regions", parent, fields))
    return runs


def _study(
    kind: type[FrontStudy | RegionStudy], experiment: str, parent: MaskSearch, fields: Fields
) -> FrontStudy | RegionStudy:
    """The study of a search, and where its data cannot be had that of the one that stands in."""
    stand_in = parent.stand_in and _study(kind, experiment, parent.stand_in, fields)
    return kind(
        experiment,
        parent=replace(parent, stand_in=None),
        dataset=parent.dataset,
        method=parent.method,
        variant=parent.variant,
        seed=parent.seed,
        stand_in=stand_in,
        **fields,
    )


# ------------------------------------------------------------------------------ the experiments

SEARCH = Experiment(
    "mask_search",
    searches,
    training.make,
    numbers=training.numbers,
    keeps=training.keep_front,
)
FRONTS = Experiment(
    "mask_fronts",
    front_studies,
    studies.make_front,
    numbers=epochs_and_accuracy,
    keeps=keep_all,
    parents=("mask_search",),
)
REGIONS = Experiment(
    "mask_regions",
    region_studies,
    studies.make_regions,
    numbers=epochs_and_accuracy,
    keeps=keep_all,
    parents=("mask_search",),
)
EXPERIMENTS = (SEARCH, FRONTS, REGIONS)
