"""The networks of [Sulyok2026]: how they are trained, in three profiles."""

import dataclasses
import math

from lib.papers.shared import trained
from lib.papers.shared.methods import PARENTS, profiled
from lib.papers.shared.sparse_training import SparseTraining, training
from lib.runs.experiment import PROFILES, keep_nothing

COMPARED = ("set", "rigl", "set_random_removal", "fixed", "dense", "dense_small", *PARENTS)
LENGTHENED = ("set", "rigl", "fixed", "dense", "dense_small")
SHORTER_SEEDS = {"dense": 3}  # an epoch takes ten times as long; others have all seeds
SHORTER = {"smoke": (1,), "quick": (2,), "paper": (20, 60)}  # epochs
VARIED = {  # assumptions, one at a time; density .01 and drop fraction .3 are those of all others
    "smoke": {"density": (0.05,)},
    "quick": {"density": (0.02,)},
    "paper": {"density": (0.005, 0.02, 0.05), "drop_fraction": (0.1, 0.5)},
}
DROPOUTS = {"smoke": (0.3,), "quick": (0.3,), "paper": (0.1, 0.3)}  # between which SET's choice lay

# ------------------------------------------------------------------------------ the networks


def configs(profile: str) -> list[SparseTraining]:
    """Three sparse layers and a dense one, trained in every way that is compared."""
    changes = {"datasets": ("mnist",)} if profile == "quick" else {}
    return profiled("adaptive_topology", profile, COMPARED, **changes)


def shorter(profile: str) -> list[SparseTraining]:
    """The methods of :data:`LENGTHENED` for fewer epochs, each a training of its own, the dense one
    with fewer seeds.
    """
    changes = {"datasets": ("mnist",)} if profile == "quick" else {}
    runs = []
    for epochs in SHORTER[profile]:
        scale = {"epochs": {"sparse": epochs}, **changes}
        for run in profiled("adaptive_topology", profile, LENGTHENED, **scale):
            if run.seed < SHORTER_SEEDS.get(run.method, math.inf):
                runs.append(_moved(run, "training_length"))
    return runs


def varied(profile: str) -> list[SparseTraining]:
    """SET and RigL, trained as the shortest of :func:`shorter`, under other assumptions."""
    changes = {"datasets": ("mnist",)} if profile == "quick" else {}
    changes["epochs"] = {"sparse": SHORTER[profile][0]}
    runs = []
    for field, values in VARIED[profile].items():
        for value in values:
            for run in profiled("adaptive_topology", profile, ("set", "rigl"), **changes):
                changed = run.with_changes({field: value, "variant": f"{field} {value}"})
                runs.append(_moved(changed, "varied"))
    return runs


def other_dropouts(profile: str) -> list[SparseTraining]:
    """SET, RigL and the fixed support of :func:`configs` with the dropout that was not chosen for
    them, so that all three are there with each.
    """
    changes = {"datasets": ("mnist",)} if profile == "quick" else {}
    runs = []
    for run in profiled("adaptive_topology", profile, ("set", "rigl", "fixed"), **changes):
        for dropout in DROPOUTS[profile]:
            if run.dropout != dropout:
                changed = run.with_changes({"dropout": dropout, "variant": f"dropout {dropout}"})
                runs.append(_moved(changed, "other_dropouts"))
    return runs


def wide(profile: str) -> list[SparseTraining]:
    """SET, RigL and a fixed support at width 1568, of ``adaptive_topology_1568``."""
    changes = {"datasets": ("mnist",)} if profile == "quick" else {}
    return profiled("adaptive_topology_1568", profile, ("set", "rigl", "fixed"), **changes)


def _moved(run: SparseTraining | None, experiment: str) -> SparseTraining | None:
    """The same training as a run of another experiment, and what it inherits from."""
    if run is None:
        return None
    moved = {name: _moved(getattr(run, name), experiment) for name in ("parent", "stand_in")}
    return dataclasses.replace(run, experiment=experiment, **moved)


def siblings(run: SparseTraining) -> list[SparseTraining]:
    """The networks of the same profile, data set and seed; itself alone if it is custom."""
    for profile in PROFILES:
        networks = []
        for other in configs(profile):
            networks += [other, other.stand_in] if other.stand_in else [other]
        if run in networks:
            place = run.dataset, run.seed
            return [other for other in networks if (other.dataset, other.seed) == place]
    return [run]


def twin(run: SparseTraining, method: str) -> SparseTraining:
    """The run of another method on the same data, with the same seed and length.

    Raises: ValueError if no profile has one.
    """
    wanted = run.experiment, run.dataset, run.seed, run.epochs, method
    for profile in PROFILES:
        networks = configs(profile) + shorter(profile)
        networks += [other.stand_in for other in networks if other.stand_in]
        if run not in networks:
            continue
        for other in networks:
            if (other.experiment, other.dataset, other.seed, other.epochs, other.method) == wanted:
                return other
    raise ValueError(f"no profile trains {method} on {run.dataset} for {run.epochs} epochs")


ADAPTIVE_TOPOLOGY = training(
    "adaptive_topology",
    configs,
    trained.keep_sparse_networks,
    parents=("adaptive_topology",),  # of what inherits from a trained network
    same_runs_as=("set_mlp",),
)
TRAINING_LENGTH = training(
    "training_length",
    shorter,
    keep_nothing,
    parents=("training_length",),
)
VARIED_NETWORKS = training("varied", varied, keep_nothing)
OTHER_DROPOUTS = training("other_dropouts", other_dropouts, keep_nothing)
