"""Which masks are searched and what is measured on their fronts, in three profiles.

Published: 200 evaluations, ten runs on each data set. The data sets are those at hand; of the
large ones 600 training and 300 validation images are used.
"""

from lib.runs.experiment import Experiment, keep_all
from papers.pruning import studies, training
from papers.pruning.studies import FrontStudy, RegionStudy
from papers.pruning.tasks import DIGITS
from papers.pruning.training import MaskSearch
from papers.shared import study
from papers.shared.methods import tabled
from papers.shared.tables import Fields, Table, part

CORALS = "rsmas"
CORRECTED, RELEASED = "corrected", "as released"
GROUPED = "near duplicates together"  # other divisions into parts of the sets whose test is small
GROUPED_SETS = (CORALS, "citrus_leaves")
PHOTOGRAPHS = (DIGITS, CORALS, "citrus_leaves", "rps28")  # whose regions are hidden

# ------------------------------------------------------------------------------- the searches

FEWER: Fields = {"train_images": 600, "valid_images": 300}
SETS: dict[str, Fields] = {
    CORALS: {},
    "citrus_leaves": {},
    "rps28": FEWER,
    "eye_fundus": FEWER,
    "cifar10": FEWER,
}
CHANGES: dict[str, Fields] = {  # of NSGA-II on the first data set, one each
    "30 offspring a step": {"offspring": 30},
    "three times the epochs": {"epochs": 120, "patience": 12},
    "noise as fourth objective": {"objectives": "accuracy density auroc noise"},
    "hidden units": {"mode": "hidden"},
    "links": {"mode": "links"},
}
FEW_CHANGES: Fields = {"variant": ["30 offspring a step", "links"]}
FIVE, TEN = range(5), range(10)  # seeds
BOTH: Fields = {"method": ["nsga2", "random_search"]}
SMOKE: Fields = {
    "extractor": "tiny",
    "n_hidden": 32,
    "epochs": 10,
    "population": 8,
    "evaluations": 24,
    "train_images": 200,
    "seed": range(2),
}
QUICK: Fields = {
    "dataset": [CORALS],
    "population": 20,
    "evaluations": 50,
    "epochs": 15,
    "seed": range(2),
    "fallback": {"dataset": DIGITS, "extractor": "tiny", "n_hidden": 64},
}
SEARCHES: tuple[Table, ...] = (  # those that decide most first
    part(
        {"dataset": [*SETS], "differences": {"dataset": SETS}, **BOTH, "seed": TEN},
        smoke=SMOKE,
        quick=QUICK,
    ),
    part(
        {
            "dataset": [CORALS, "citrus_leaves"],
            "variant": RELEASED,
            "fitness_part": "test",
            "stop_on": "training",
            "coarse": True,
            "stale": True,
            "seed": TEN,
        },
        smoke=SMOKE,
        quick=QUICK,
    ),
    part(
        {
            "dataset": [CORALS],
            "variant": [*CHANGES],
            "differences": {"variant": CHANGES},
            "seed": FIVE,
        },
        smoke={**SMOKE, **FEW_CHANGES},
        quick={**QUICK, **FEW_CHANGES},
    ),
    {
        "paper": {
            "dataset": [CORALS],
            "evaluations": 2000,
            "variant": "{evaluations:,} evaluations",
            **BOTH,
            "seed": FIVE,
        }
    },
    {
        "paper": {
            "dataset": [*GROUPED_SETS],
            "variant": GROUPED,
            "seed": FIVE,  # each with a division of its own
            "differences": {"seed": {seed: {"division": seed + 1} for seed in FIVE}},
        }
    },
)


def searches(profile: str) -> list[MaskSearch]:
    """Both methods on every data set; NSGA-II as released on the first two; with one change each,
    and both for longer, on the first; in other divisions.
    """
    return tabled("mask_search", profile, *SEARCHES, kind=MaskSearch)


# --------------------------------------------------------------------------------- the studies

AMOUNTS: dict[str, dict[str, Fields]] = {
    "mask_fronts": {
        "smoke": {"fresh": 1, "compared": 2, "set_heads": 1},
        "quick": {"fresh": 1, "compared": 4, "set_heads": 1},
        "paper": {},
    },
    "mask_regions": {
        "smoke": {"images": 20, "draws": 1},
        "quick": {"images": 20, "draws": 1},
        "paper": {},
    },
}
ALONE: Fields = {"compared": 0, "set_heads": 0, "votes": False}  # a front without rivals


def front_studies(profile: str) -> list[FrontStudy]:
    """The fronts of all searches; those of NSGA-II on every data set beside all that they must
    beat.
    """
    runs = []
    for parent in searches(profile):
        is_main = parent.method == "nsga2" and parent.variant in (CORRECTED, RELEASED, GROUPED)
        fields = AMOUNTS["mask_fronts"][profile] | ({} if is_main else ALONE)
        fields = {**fields, "variant": parent.variant}
        runs.append(study.study_of("mask_fronts", parent, FrontStudy, **fields))
    return runs


def region_studies(profile: str) -> list[RegionStudy]:
    """Regions hidden from the fronts of NSGA-II."""
    runs = []
    for parent in searches(profile):
        is_plain = parent.method == "nsga2" and parent.variant in (CORRECTED, GROUPED)
        if is_plain and parent.dataset in PHOTOGRAPHS:
            fields = {**AMOUNTS["mask_regions"][profile], "variant": parent.variant}
            runs.append(study.study_of("mask_regions", parent, RegionStudy, **fields))
    return runs


# ------------------------------------------------------------------------------ the experiments

OF_STUDIES = (study.epochs_and_accuracy, keep_all, ("mask_search",))
EXPERIMENTS = (
    Experiment("mask_search", searches, training.make, study.epochs, training.keep_front),
    Experiment("mask_fronts", front_studies, studies.make_front, *OF_STUDIES),
    Experiment("mask_regions", region_studies, studies.make_regions, *OF_STUDIES),
)
