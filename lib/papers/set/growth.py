"""Where links grow: growth rules at 1 % of the links, and accuracy against links."""

from lib.papers.shared.methods import (
    CHOSEN,
    GROWTH,
    NETWORKS,
    SCALES,
    profiled,
    training_runs,
)
from lib.papers.shared.sparse_training import SparseTraining, training

WIDE = "adaptive_topology_1568"
OTHER = {"constant": "cosine", "cosine": "constant"}
DENSITIES = {"smoke": (0.01, 0.02), "quick": (0.01, 0.02), "paper": (0.005, 0.01, 0.02, 0.05)}
DENSITIES_EPOCHS = {"smoke": 1, "quick": 3, "paper": 20}


def growth_rules(profile: str) -> list[SparseTraining]:
    """Growth rules at 1 % of the links, and a fixed random support."""
    changes = {"datasets": ("mnist",)} if profile == "quick" else {}
    return profiled(WIDE, profile, (*GROWTH, "fixed"), **changes)


def other_decay(profile: str) -> list[SparseTraining]:
    """The growth rules again, each with the course of the drop fraction that was not chosen."""
    runs = []
    for run in growth_rules(profile):
        if run.drop is not None:
            runs.append(_turned(run))
    return runs


def _turned(run: SparseTraining) -> SparseTraining:
    other = OTHER[run.decay]
    changes = {"experiment": "other_decay", "decay": other, "variant": other}
    return run.with_changes(changes)


def densities(profile: str) -> list[SparseTraining]:
    """Accuracy against links: density .005 to .05 at width 1568, MNIST."""
    network = NETWORKS[WIDE]
    scale = {**SCALES[profile], "epochs": {"sparse": DENSITIES_EPOCHS[profile]}}
    scale["seeds"] = 3 if profile == "paper" else 1
    if profile == "smoke":
        network = {**network, "hidden": (300, 300, 300)}
    else:
        scale["datasets"] = ("mnist",)
    runs = []
    for density in DENSITIES[profile]:
        for method in ("set", "rigl"):
            fields = {**network, "density": density, **CHOSEN[WIDE, method]}
            runs += training_runs("densities", fields, (method,), **scale)
    return runs


GROWTH_RULES = training(WIDE, growth_rules)
OTHER_DECAY = training("other_decay", other_decay)
DENSITIES_STUDIED = training("densities", densities)
