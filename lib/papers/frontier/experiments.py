"""Every run of this room: on CIFAR-10, where links start."""

from itertools import product

from lib.papers.frontier.training import StartTraining
from lib.papers.shared import trained
from lib.papers.shared.methods import METHODS, Fields
from lib.papers.shared.training import training
from lib.runs.experiment import keep_nothing
from lib.runs.record import Record

RANDOM, LOCAL, SHUFFLED = STARTS = ("random start", "local start", "places shuffled")
SETTINGS: Fields = {  # of all starts, fixed before the first run began
    "dropout": 0.0,
    "learning_rate": 0.1,
    "weight_decay": 1e-4,
    "augmentation": 1.0,
    "averaging": 0.999,
}
RULES: dict[str, Fields] = {
    "rigl": {**METHODS["rigl"], "decay": "cosine"},
    "fixed": METHODS["fixed"],
}
SMALL: Fields = {"dataset": "digits", "hidden": (128, 128, 128), "density": 0.05, "epochs": 2}
LARGE: Fields = {"dataset": "cifar10", "hidden": (3072, 3072, 3072), "density": 0.01}
SCALES: dict[str, Fields] = {
    "smoke": SMALL,
    "quick": {**LARGE, "epochs": 3, "limit": 5000, "test_images": 2000},
    "paper": {**LARGE, "epochs": 100},
}
IMAGES = {"digits": (8, 8), "cifar10": (3, 32, 32)}  # shapes of examples
REACHES = {"digits": (1, 1, 2), "cifar10": (2, 2, 3)}
SEEDS = {  # by method
    "smoke": {"rigl": 1, "fixed": 1},
    "quick": {"rigl": 1},
    "paper": {"rigl": 5, "fixed": 3},
}
RATES = (0.1, 0.05)  # tried on validation images


def begun(experiment: str, profile: str, start: str, method: str, **fields) -> StartTraining:
    """The training by a method from a start, in the scale of a profile; in the profile "quick"
    digits stand in for CIFAR-10.
    """
    scale, places, stand_in = SCALES[profile], {}, None
    if start != RANDOM:
        places = {"reaches": REACHES[scale["dataset"]], "shuffled": start == SHUFFLED}
    if profile == "quick":
        stand_in = begun(experiment, "smoke", start, method, **fields)
    names = {"method": method, "variant": start, "stand_in": stand_in}
    return StartTraining(
        experiment, **names, **SETTINGS, **RULES[method], **scale, **places, **fields
    )


def on_test(profile: str) -> list[StartTraining]:
    """Both methods from every start, on all training images."""
    runs = []
    for method, seeds in SEEDS[profile].items():
        for start, seed in product(STARTS, range(seeds)):
            runs.append(begun("cifar10_start", profile, start, method, seed=seed))
    return runs


def on_validation(profile: str) -> list[StartTraining]:
    """RigL from every start, at two learning rates and for two seeds, on validation images."""
    if profile == "paper":
        tried, validation = product(RATES, STARTS, range(2)), 5000
    else:
        profile, tried, validation = "smoke", product(RATES[:1], STARTS, range(1)), 200
    runs = []
    for rate, start, seed in tried:
        run = begun("cifar10_start_tuning", profile, start, "rigl", seed=seed)
        changes = {"learning_rate": rate, "validation": validation, "evaluate_test": False}
        runs.append(run.with_changes(changes))
    return runs


def keep_one(record: Record, name: str) -> bool:
    """What is shipped: of seed 0 what is shipped of any trained network, and the network that RigL
    made of a local start whole; of other seeds no array.
    """
    run = record.config
    if run.seed > 0:
        return False
    if (run.method, run.variant) == ("rigl", LOCAL) and name.startswith(trained.STATE):
        return True
    return trained.keep_links(record, name)


EXPERIMENTS = (
    training("cifar10_start_tuning", on_validation, keep_nothing),
    training("cifar10_start", on_test, keep_one),
)
