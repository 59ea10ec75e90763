"""What is measured on the networks of [Sulyok2026], in three profiles."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from lib.papers.adaptive_topology import attacking, regularisation, removal, summary
from lib.papers.adaptive_topology.networks import (
    configs,
    other_dropouts,
    shorter,
    siblings,
    twin,
    varied,
    wide,
)
from lib.papers.shared import inputs, study, trained, tuning
from lib.papers.shared.sparse_training import SparseTraining
from lib.papers.shared.study import Study, study_of, with_stand_in
from lib.runs.experiment import Contents, Experiment, Workspace, keep_all

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
        "quick": {"images": 500, "draws": 1, "points": 5},
        "paper": {},
    },
    "weight_shuffling": {
        "smoke": {"images": 100, "draws": 1, "points": 3},
        "quick": {"images": 500, "draws": 1, "points": 5},
        "paper": {"points": 11},
    },
    "attack_curves": {
        "smoke": {"images": 50, "bisections": 2, "steps": 5, **TWO_RADII},
        "quick": {"images": 100, "bisections": 2, "steps": 10, **FEW_RADII},
        "paper": {"images": 1000, "bisections": 8, **GRID},
    },
    "attack_ensemble": {
        "smoke": {"images": 20, "steps": 5, "restarts": 2, "queries": 20},
        "quick": {"images": 50, "steps": 20, "restarts": 2, "queries": 50},
        "paper": {"images": 500, "steps": 100, "restarts": 10},
    },
    "robustness_summary": {
        "smoke": {"images": 60, "draws": 1, "points": 3, "steps": 5, "queries": 20},
        "quick": {"images": 100, "draws": 1, "points": 5, "steps": 10, "queries": 50},
        "paper": {"images": 1000, "draws": 3, "points": 11},
    },
    "attack_pixels": {
        "smoke": {"images": 40, "steps": 5},
        "quick": {"images": 200, "steps": 20},
        "paper": {"images": 1000},
    },
    "attack_minimal": {
        "smoke": {"images": 4, "bisections": 2, "steps": 5, "queries": 5},
        "quick": {"images": 6, "bisections": 4, "steps": 20, "queries": 20},
        "paper": {"images": 100, "bisections": 8},
    },
}


def _amount(experiment: str, profile: str, parent: SparseTraining) -> dict[str, Any]:
    """Two draws for the dense networks, whose measurements take a hundred times as long."""
    fields = dict(AMOUNTS[experiment][profile])
    if parent.method == "dense" and profile == "paper":
        fields["draws"] = 2
    return fields


def _perturbed(experiment: str, profile: str, parent: SparseTraining) -> Study:
    return study_of(experiment, parent, **_amount(experiment, profile, parent))


def _curves(experiment: str, profile: str, parent: SparseTraining) -> Study:
    fields = dict(AMOUNTS[experiment][profile])
    headline = attacking.HEADLINE_RADIUS[parent.dataset]
    fields["radii"] = tuple(sorted({*fields["radii"], headline}))
    return study_of(experiment, parent, **fields)


def _ensemble(experiment: str, profile: str, parent: SparseTraining) -> Study:
    headline = attacking.HEADLINE_RADIUS[parent.dataset]
    radii = tuple(headline * factor for factor in (1.0, 0.5, 1.5, 2.0))
    return study_of(experiment, parent, radii=radii, **AMOUNTS[experiment][profile])


# Around the radii of half accuracy of all methods, which lie where they do on validation images.
SUMMARY_RADII = {
    "mnist": (0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15),
    "fashion_mnist": (0.01, 0.02, 0.03, 0.05, 0.06, 0.08),
    "digits": (0.05, 0.2),
}
SUMMARY_RADII_L2 = {
    "mnist": (0.5, 1.0, 1.5, 2.0, 2.5, 3.0),
    "fashion_mnist": (0.2, 0.4, 0.7, 1.0, 1.5),
    "digits": (0.5, 1.0),
}


def _summary(experiment: str, profile: str, parent: SparseTraining) -> Study:
    fields = _amount(experiment, profile, parent)
    headline = attacking.HEADLINE_RADIUS[parent.dataset]
    fields["radii"] = (headline, *SUMMARY_RADII[parent.dataset])
    fields["radii_l2"] = SUMMARY_RADII_L2[parent.dataset]
    return study_of(experiment, parent, **fields)


def summaries(profile: str) -> list[Study]:
    """Of every network of ``adaptive_topology``, of those trained for fewer epochs, with the other
    dropout, of other widths, with other assumptions, and with decay and dropout chosen together.
    """
    studied = []
    parents = configs(profile) + shorter(profile) + other_dropouts(profile)
    parents += wide(profile) + varied(profile) + regularisation.chosen(profile)
    for parent in parents:
        studied.append(with_stand_in(partial(_summary, "robustness_summary", profile), parent))
    return studied


def _at_headline(experiment: str, profile: str, parent: SparseTraining) -> Study:
    radii = (attacking.HEADLINE_RADIUS[parent.dataset],)
    return study_of(experiment, parent, radii=radii, **AMOUNTS[experiment][profile])


def dense_on_pixels(profile: str) -> list[Study]:
    """Every dense network, attacked on the pixels that RigL of the same length and seed keeps."""
    studied = []
    for parent in configs(profile) + shorter(profile):
        if parent.method == "dense":
            studied.append(with_stand_in(partial(_at_headline, "attack_pixels", profile), parent))
    return studied


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
    fields = {**AMOUNTS["attack_curves"][profile], "bisections": 0}
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


def make_pixels(run: Study, workspace: Workspace) -> Contents:
    """Attack the network of a run on the pixels that RigL keeps."""
    rigl = workspace.record_of(twin(run.parent, "rigl"), trained.holds_degrees)
    kept = inputs.input_links(rigl, "final") > 0
    return make_study(run, workspace, partial(attacking.attack_pixels, kept=kept))


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
SUMMARY = dataclasses.replace(
    _study("robustness_summary", summary.robustness_summary, summaries),
    parents=(
        *("adaptive_topology", "training_length", "other_dropouts"),
        *("adaptive_topology_1568", "varied", "regularisation"),
    ),
)
PIXELS = dataclasses.replace(
    _study("attack_pixels", attacking.attack_pixels, dense_on_pixels),
    make=make_pixels,
    parents=("adaptive_topology", "training_length"),
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
    _study("attack_minimal", attacking.attack_minimal, _studies("attack_minimal", _at_headline, 1)),
    make=make_minimal,
)
RADIUS = dataclasses.replace(
    _study("attack_radius", attacking.attack_curves, radius),
    parents=("tuning",),
)
