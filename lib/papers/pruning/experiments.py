"""Which masks are searched and what is measured on their fronts, in three profiles.

Published: 200 evaluations, ten runs on each data set. The data sets are those at hand; of the
large ones 600 training and 300 validation images are used.
"""

from dataclasses import replace
from typing import Any

from lib.papers.pruning import evolving, regions, studying
from lib.papers.pruning.evolving import MaskSearch
from lib.papers.pruning.regions import RegionStudy
from lib.papers.pruning.studying import FrontStudy
from lib.papers.pruning.tasks import DIGITS
from lib.runs.experiment import Experiment, keep_all

Fields = dict[str, Any]

CORALS = "rsmas"
RUNS = 10  # of every cell, as published
FEW_RUNS = 5  # of what only the corals are asked
FEWER: Fields = {"train_images": 600, "valid_images": 300}
SETS: dict[str, Fields] = {
    CORALS: {},
    "citrus_leaves": {},
    "rps28": FEWER,
    "eye_fundus": FEWER,
    "cifar10": FEWER,
}
METHODS = ("nsga2", "random_search")
CORRECTED = "corrected"
AS_RELEASED: Fields = {
    "fitness_part": "test",
    "stop_on": "training",
    "coarse": True,
    "stale": True,
}
VARIANTS: dict[str, Fields] = {  # of NSGA-II on the corals, one change each
    "30 offspring a step": {"offspring": 30},
    "three times the epochs": {"epochs": 120, "patience": 12},
    "noise as fourth objective": {"objectives": "accuracy density auroc noise"},
    "hidden units": {"mode": "hidden"},
    "links": {"mode": "links"},
}
FEW_VARIANTS = ("30 offspring a step", "links")
LONG = "2,000 evaluations"
GROUPED = "near duplicates together"  # other divisions into parts of the sets whose test is small
GROUPED_SETS = (CORALS, "citrus_leaves")
DIVISIONS = 5  # each with a search of its own, whose seed numbers it

SMALL: dict[str, Fields] = {  # what stands for the published scale
    "smoke": {
        "dataset": DIGITS,
        "extractor": "tiny",
        "n_hidden": 32,
        "epochs": 10,
        "population": 8,
        "evaluations": 24,
        "train_images": 200,
    },
    "quick": {"dataset": CORALS, "population": 20, "evaluations": 50, "epochs": 15},
    "paper": {},
}
ON_DIGITS: Fields = {"dataset": DIGITS, "extractor": "tiny", "n_hidden": 64}
SMALL_RUNS = {"smoke": 2, "quick": 2}


def cells(profile: str) -> list[Fields]:
    """The data sets of a profile, the corals first, with how much of each is used."""
    if profile != "paper":
        return [SMALL[profile]]
    return [{"dataset": name, **fields} for name, fields in SETS.items()]


def searches(
    profile: str, fields: Fields, *, variant: str = CORRECTED, method: str = "nsga2", runs: int
) -> list[MaskSearch]:
    """Runs of one method that differ in their seeds."""
    found = []
    for seed in range(SMALL_RUNS.get(profile, runs)):
        run = MaskSearch("mask_search", method=method, variant=variant, seed=seed, **fields)
        if profile == "quick":
            run = replace(run, stand_in=replace(run, **ON_DIGITS))
        found.append(run)
    return found


def compared(profile: str) -> list[MaskSearch]:
    """NSGA-II and random search on every data set, paired by seed."""
    found = []
    for fields in cells(profile):
        for method in METHODS:
            found += searches(profile, fields, method=method, runs=RUNS)
    return found


def released(profile: str) -> list[MaskSearch]:
    """The search as released, on the corals and the leaves."""
    found = []
    for fields in cells(profile)[:2]:
        fields = {**fields, **AS_RELEASED}
        found += searches(profile, fields, variant="as released", runs=RUNS)
    return found


def varied(profile: str) -> list[MaskSearch]:
    """NSGA-II on the corals with one change, and both methods with ten times the evaluations."""
    first = cells(profile)[0]
    names = list(VARIANTS) if profile == "paper" else FEW_VARIANTS
    found = []
    for name in names:
        fields = {**first, **VARIANTS[name]}
        found += searches(profile, fields, variant=name, runs=FEW_RUNS)
    if profile == "paper":
        for method in METHODS:
            fields = {**first, "evaluations": 2000}
            found += searches(profile, fields, variant=LONG, method=method, runs=FEW_RUNS)
    return found


def grouped(profile: str) -> list[MaskSearch]:
    """NSGA-II on other divisions into parts; of the profile "paper" alone."""
    found = []
    for dataset in GROUPED_SETS if profile == "paper" else ():
        for seed in range(DIVISIONS):
            fields = {"dataset": dataset, "seed": seed, "division": seed + 1}
            found.append(MaskSearch("mask_search", variant=GROUPED, **fields))
    return found


def all_searches(profile: str) -> list[MaskSearch]:
    """Every search, those that decide most first."""
    return compared(profile) + released(profile) + varied(profile) + grouped(profile)


# --------------------------------------------------------------------------------- the studies

AMOUNTS: dict[str, Fields] = {
    "smoke": {"fresh": 1, "compared": 2, "set_heads": 1},
    "quick": {"fresh": 1, "compared": 4, "set_heads": 1},
    "paper": {},
}
ALONE: Fields = {"compared": 0, "set_heads": 0, "votes": False}


def studied(profile: str) -> list[FrontStudy]:
    """The fronts of all searches; those of NSGA-II on every data set beside all that they must
    beat.
    """
    return [study(profile, run) for run in all_searches(profile)]


def study(profile: str, parent: MaskSearch) -> FrontStudy:
    """The study of a search."""
    amounts = dict(AMOUNTS[profile])
    if parent.method != "nsga2" or parent.variant not in (CORRECTED, "as released", GROUPED):
        amounts |= ALONE
    run = FrontStudy(
        "mask_fronts",
        parent=replace(parent, stand_in=None),
        dataset=parent.dataset,
        method=parent.method,
        variant=parent.variant,
        seed=parent.seed,
        **amounts,
    )
    if parent.stand_in is None:
        return run
    return replace(run, stand_in=study(profile, parent.stand_in))


PHOTOGRAPHS = (DIGITS, CORALS, "citrus_leaves", "rps28")  # whose regions are hidden
HIDDEN: dict[str, Fields] = {
    "smoke": {"images": 20, "draws": 1},
    "quick": {"images": 20, "draws": 1},
    "paper": {},
}


def hiding(profile: str) -> list[RegionStudy]:
    """Regions hidden from the fronts of NSGA-II."""
    found = []
    for parent in compared(profile) + grouped(profile):
        if parent.method == "nsga2" and parent.dataset in PHOTOGRAPHS:
            found.append(region_study(profile, parent))
    return found


def region_study(profile: str, parent: MaskSearch) -> RegionStudy:
    """The study of what the front of a search sees."""
    run = RegionStudy(
        "mask_regions",
        parent=replace(parent, stand_in=None),
        dataset=parent.dataset,
        method=parent.method,
        variant=parent.variant,
        seed=parent.seed,
        **HIDDEN[profile],
    )
    if parent.stand_in is None:
        return run
    return replace(run, stand_in=region_study(profile, parent.stand_in))


# ------------------------------------------------------------------------------ the experiments

SEARCH = Experiment(
    "mask_search",
    all_searches,
    evolving.make,
    numbers=evolving.numbers,
    keeps=evolving.keep_front,
)
FRONTS = Experiment(
    "mask_fronts",
    studied,
    studying.make,
    numbers=studying.numbers,
    keeps=keep_all,
    parents=("mask_search",),
)
REGIONS = Experiment(
    "mask_regions",
    hiding,
    regions.make,
    numbers=studying.numbers,
    keeps=keep_all,
    parents=("mask_search",),
)
