"""The networks of [Sulyok2026] and what is measured on them, in three profiles."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from lib.papers.adaptive_topology import attacking, removal
from lib.papers.shared import study, trained, tuning
from lib.papers.shared.methods import PARENTS, profiled
from lib.papers.shared.sparse_training import SparseTraining, training
from lib.papers.shared.study import Study, study_of, with_stand_in
from lib.runs.experiment import Contents, Experiment, Workspace, keep_all

COMPARED = ("set", "rigl", "set_random_removal", "fixed", "dense", "dense_small", *PARENTS)

# ------------------------------------------------------------------------------ the networks


def configs(profile: str) -> list[SparseTraining]:
    """Three sparse layers and a dense one, trained in every way that is compared."""
    changes = {"datasets": ("mnist",)} if profile == "quick" else {}
    return profiled("adaptive_topology", profile, COMPARED, **changes)


def siblings(run: SparseTraining) -> list[SparseTraining]:
    """The networks of the same profile, data set and seed; itself alone if it is custom."""
    for profile in ("smoke", "quick", "paper"):
        networks = []
        for other in configs(profile):
            networks += [other, other.stand_in] if other.stand_in else [other]
        if run in networks:
            place = run.dataset, run.seed
            return [other for other in networks if (other.dataset, other.seed) == place]
    return [run]


# ------------------------------------------------------------- how much of each study, by profile

GRID = {
    "radii": (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3),
    "radii_l2": (0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0),
}
FEW_RADII = {"radii": (0.01, 0.02, 0.05, 0.1, 0.3), "radii_l2": (0.2, 0.5, 1.0, 2.0, 4.0)}
TWO_RADII = {"radii": (0.1, 0.3), "radii_l2": (0.5, 2.0)}
AMOUNTS: dict[str, dict[str, dict[str, Any]]] = {
    "link_removal": {
        "smoke": {"images": 100, "draws": 2, "points": 5},
        "quick": {"images": 1000, "draws": 2, "points": 11},
        "paper": {},
    },
    "weight_shuffling": {
        "smoke": {"images": 100, "draws": 1, "points": 3},
        "quick": {"images": 1000, "draws": 1, "points": 6},
        "paper": {"points": 11},
    },
    "attack_curves": {
        "smoke": {"images": 50, "bisections": 2, "steps": 5, **TWO_RADII},
        "quick": {"images": 200, "bisections": 2, "steps": 20, **FEW_RADII},
        "paper": {"images": 1000, **GRID},
    },
    "attack_ensemble": {
        "smoke": {"images": 20, "steps": 5, "restarts": 2, "queries": 20},
        "quick": {"images": 50, "steps": 20, "restarts": 2, "queries": 100},
        "paper": {"images": 500, "steps": 100, "restarts": 10},
    },
    "attack_minimal": {
        "smoke": {"images": 4, "bisections": 2, "steps": 5, "queries": 5},
        "quick": {"images": 10, "bisections": 4, "steps": 20, "queries": 20},
        "paper": {"images": 100},
    },
}


def _perturbed(experiment: str, profile: str, parent: SparseTraining) -> Study:
    """Two draws for the dense networks, whose many links leave little to chance."""
    fields = dict(AMOUNTS[experiment][profile])
    if parent.method == "dense" and profile == "paper":
        fields["draws"] = 2
    return study_of(experiment, parent, **fields)


def _curves(experiment: str, profile: str, parent: SparseTraining) -> Study:
    fields = dict(AMOUNTS[experiment][profile])
    headline = attacking.HEADLINE_RADIUS[parent.dataset]
    fields["radii"] = tuple(sorted({*fields["radii"], headline}))
    return study_of(experiment, parent, **fields)


def _ensemble(experiment: str, profile: str, parent: SparseTraining) -> Study:
    headline = attacking.HEADLINE_RADIUS[parent.dataset]
    radii = tuple(headline * factor for factor in (1.0, 0.5, 1.5, 2.0))
    return study_of(experiment, parent, radii=radii, **AMOUNTS[experiment][profile])


def _minimal(experiment: str, profile: str, parent: SparseTraining) -> Study:
    radii = (attacking.HEADLINE_RADIUS[parent.dataset],)
    return study_of(experiment, parent, radii=radii, **AMOUNTS[experiment][profile])


def studies(
    profile: str,
    experiment: str,
    make: Callable[[str, str, SparseTraining], Study],
    seeds: int | None = None,
) -> list[Study]:
    """A study of every network of ``adaptive_topology``, of the first seeds or of all."""
    studied = []
    for parent in configs(profile):
        if seeds is None or parent.seed < seeds:
            studied.append(with_stand_in(partial(make, experiment, profile), parent))
    return studied


def radius(profile: str) -> list[Study]:
    """The attack curve of dense networks on the validation images of ``tuning``."""
    dense = tuning.dense_epochs(profile)
    longest = max(run.epochs for run in dense)
    fields = AMOUNTS["attack_curves"][profile]
    return [study_of("attack_radius", run, **fields) for run in dense if run.epochs == longest]


# ----------------------------------------------------------------------------- the experiments


def make_study(run: Study, workspace: Workspace, measure: Callable) -> Contents:
    """Measure the trained network of a run."""
    parent = workspace.record_of(run.parent, trained.holds_network)
    return study.contents(run, parent, measure)


def make_minimal(run: Study, workspace: Workspace) -> Contents:
    """Minimal distances, and how attacks transfer to the networks of the same seed."""

    def others() -> dict[str, Any]:
        records = {}
        for other in siblings(run.parent):
            records[other.method] = workspace.record_of(other, trained.holds_network)
        return {method: trained.network(record) for method, record in records.items()}

    return make_study(run, workspace, partial(attacking.attack_minimal, others=others))


def _study(name: str, measure: Callable, configs: Callable[[str], list[Study]]) -> Experiment:
    return Experiment(
        name,
        configs=configs,
        make=partial(make_study, measure=measure),
        numbers=study.numbers,
        keeps=keep_all,
        parents=("adaptive_topology",),
    )


def _studies(name: str, make: Callable, seeds: int | None = None) -> Callable:
    return partial(studies, experiment=name, make=make, seeds=seeds)


ADAPTIVE_TOPOLOGY = training(
    "adaptive_topology",
    configs,
    trained.keep_sparse_networks,
    parents=("adaptive_topology",),  # of what inherits from a trained network
    same_runs_as=("set_mlp",),
)
REMOVAL = _study(
    "link_removal",
    removal.link_removal,
    _studies("link_removal", _perturbed),
)
SHUFFLING = _study(
    "weight_shuffling",
    removal.weight_shuffling,
    _studies("weight_shuffling", _perturbed),
)
CURVES = _study(
    "attack_curves",
    attacking.attack_curves,
    _studies("attack_curves", _curves),
)
ENSEMBLE = _study(
    "attack_ensemble",
    attacking.attack_ensemble,
    _studies("attack_ensemble", _ensemble, seeds=3),
)
MINIMAL = dataclasses.replace(
    _study("attack_minimal", attacking.attack_minimal, _studies("attack_minimal", _minimal, 1)),
    make=make_minimal,
)
RADIUS = dataclasses.replace(
    _study("attack_radius", attacking.attack_curves, radius),
    parents=("tuning",),
)
