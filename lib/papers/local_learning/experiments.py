"""What is measured on the layers and the networks, and all experiments of the room."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from lib.papers.adaptive_topology import experiments as adaptive_topology
from lib.papers.local_learning import layers, measuring, recipes, training
from lib.papers.local_learning.layers import LocalLayer
from lib.papers.local_learning.recipes import CORRECTED, RELEASED
from lib.papers.local_learning.training import HiddenNetwork
from lib.papers.shared import study, trained
from lib.papers.shared.study import Study, Table
from lib.runs.config import Run
from lib.runs.experiment import Contents, Experiment, Workspace, keep_all, keep_nothing
from lib.runs.record import Record

Fields = dict[str, Any]
Measure = Callable[[Study, Record], Table]

# --------------------------------------------------------------------------------------- studies

AMOUNTS: dict[str, dict[str, Fields]] = {
    "fooled": {
        "smoke": {"images": 30, "steps": 2, "points": 10},
        "quick": {"images": 100, "steps": 10, "points": 100},
        "paper": {"images": 400, "steps": 20, "points": 400},
    },
    "fooled for longer": {
        "smoke": {"images": 30, "steps": 2, "points": 10},
        "quick": {"images": 50, "steps": 10, "points": 50},
        "paper": {"images": 1000, "steps": 100, "points": 400},
    },
    "spectrum": {
        "smoke": {"images": 200, "draws": 2},
        "quick": {"images": 2000, "draws": 5},
        "paper": {"images": 10_000, "draws": 20},
    },
}
WIDE_DRAWS = 8
ALL_IMAGES = ("all_images_500", "all_images_2000")


def attacked(experiment: str, parents: str, profile: str, *, amount: str = "fooled") -> list[Study]:
    """Every network under the protocols that it stands for."""
    found = []
    for run in recipes.networks(parents, profile):
        for variant in run.variant.split(" and "):
            found.append(_study(experiment, amount, profile, run, variant))
    return found


def attacked_for_longer(profile: str) -> list[Study]:
    """The networks that are trained on all images, the wide ones in the profile "paper" alone."""
    widths = ALL_IMAGES if profile == "paper" else ALL_IMAGES[:1]
    found = []
    for parents in widths:
        found += attacked("all_images_attacks", parents, profile, amount="fooled for longer")
    return found


def spectral(profile: str) -> list[Study]:
    """The networks of the published width with a spectral penalty, on all images; in the small
    profiles a layer.
    """
    found = []
    for run in recipes.networks("all_images_2000", profile):
        if run.method == "specreg":
            found.append(_study("all_images_spectra", "spectrum", profile, run, CORRECTED))
    if profile != "paper":
        (layer,) = recipes.layers("kh_long", profile)
        found.append(_study("all_images_spectra", "spectrum", profile, layer, RELEASED))
    return found


def spectra_of(experiment: str, parents: str, profile: str) -> list[Study]:
    """Every locally learned layer, and every other network, as it is after the last epoch where it
    stands for what was released, else after the best.
    """
    found = []
    for layer in recipes.layers(recipes.SCALES[parents][profile].layers, profile):
        found.append(_study(experiment, "spectrum", profile, layer, RELEASED))
    for run in recipes.networks(parents, profile):
        if run.method != "kh":
            variant = run.variant.split(" and ")[0]
            found.append(_study(experiment, "spectrum", profile, run, variant))
    return found


def mnist_spectra(profile: str) -> list[Study]:
    """Of the layers of MNIST."""
    found = []
    for layer in recipes.layers("kh_mnist", profile):
        found.append(_study("mnist_spectra", "spectrum", profile, layer, RELEASED))
    return found


STORED = ("set", "rigl", "fixed")  # whose weights a clone has
DENSE = ("dense_small", "dense")  # are trained again


def of_sparse(experiment: str, what: str, methods: tuple[str, ...], profile: str) -> list[Study]:
    """Networks of ``adaptive_topology``, and read-outs on locally learned sparse layers beside the
    stored ones.
    """
    parents: list[Run] = []
    for run in adaptive_topology.configs(profile):
        if run.method in methods:
            parents.append(run)
    if methods == STORED:
        parents += recipes.readouts(profile)
    return [_study(experiment, what, profile, parent, parent.variant) for parent in parents]


def _study(experiment: str, what: str, profile: str, parent: Run, variant: str) -> Study:
    amounts = dict(AMOUNTS[what][profile])
    if what == "spectrum" and getattr(parent, "n_units", 0) >= 2000:
        amounts["draws"] = min(amounts["draws"], WIDE_DRAWS)

    def of(run: Run) -> Study:
        return Study(
            experiment,
            parent=dataclasses.replace(run, stand_in=None),
            dataset=run.dataset,
            method=run.method,
            variant=variant,
            seed=run.seed,
            hidden=getattr(run, "hidden", ()),
            **amounts,
        )

    return study.with_stand_in(of, parent)


def make_study(run: Study, workspace: Workspace, measure: Measure) -> Contents:
    """Measure the layer or the network of a run."""
    holds = trained.holds_network
    if isinstance(run.parent, LocalLayer):
        holds = layers.holds_layer
    elif isinstance(run.parent, HiddenNetwork):
        holds = training.holds_network
    return study.contents(run, workspace.record_of(run.parent, holds), measure)


def study_numbers(record: Record) -> dict[str, Any]:
    """What the summary says of a study: the network it was made on."""
    return {"epochs": record.config.parent.epochs}


# -------------------------------------------------------------------------------- the experiments


def _layers(name: str, configs: Callable[[str], list[LocalLayer]]) -> Experiment:
    return Experiment(name, configs, layers.make_layer, layers.layer_numbers, layers.keep_fields)


def _networks(
    name: str, configs: Callable[[str], list[HiddenNetwork]], *parents: str
) -> Experiment:
    numbers = training.network_numbers
    return Experiment(name, configs, training.make_network, numbers, keep_nothing, parents)


def _studies(
    name: str, configs: Callable[[str], list[Study]], measure: Measure, *parents: str
) -> Experiment:
    make = partial(make_study, measure=measure)
    return Experiment(name, configs, make, study_numbers, keep_all, parents)


SPARSE_PARENTS = ("adaptive_topology", "sparse_readouts")
EXPERIMENTS = (
    *(_layers(name, partial(recipes.layers, name)) for name in recipes.LAYERS),
    _layers("kh_sparse", recipes.sparse_layers),
    _networks("bio_tuning", recipes.tuning),
    *(
        _networks(name, partial(recipes.networks, name), scales["paper"].layers)
        for name, scales in recipes.SCALES.items()
    ),
    _networks("sparse_readouts", recipes.readouts, "kh_sparse"),
    _studies(
        "bio_attacks",
        partial(attacked, "bio_attacks", "bio_networks"),
        measuring.fooled,
        "bio_networks",
    ),
    _studies(
        "wide_attacks",
        partial(attacked, "wide_attacks", "wide_networks"),
        measuring.fooled,
        "wide_networks",
    ),
    _studies(
        "bio_spectra",
        partial(spectra_of, "bio_spectra", "bio_networks"),
        measuring.spectrum,
        "kh",
        "bio_networks",
    ),
    _studies(
        "wide_spectra",
        partial(spectra_of, "wide_spectra", "wide_networks"),
        measuring.spectrum,
        "kh_long",
        "wide_networks",
    ),
    _studies("all_images_attacks", attacked_for_longer, measuring.fooled, *ALL_IMAGES),
    _studies("all_images_spectra", spectral, measuring.spectrum, "kh_long", ALL_IMAGES[1]),
    _studies("mnist_spectra", mnist_spectra, measuring.spectrum, "kh_mnist"),
    _studies(
        "sparse_spectra",
        partial(of_sparse, "sparse_spectra", "spectrum", STORED),
        measuring.spectrum,
        *SPARSE_PARENTS,
    ),
    _studies(
        "sparse_attacks",
        partial(of_sparse, "sparse_attacks", "fooled", STORED),
        measuring.fooled,
        *SPARSE_PARENTS,
    ),
    _studies(
        "sparse_spectra_dense",
        partial(of_sparse, "sparse_spectra_dense", "spectrum", DENSE),
        measuring.spectrum,
        "adaptive_topology",
    ),
    _studies(
        "sparse_attacks_dense",
        partial(of_sparse, "sparse_attacks_dense", "fooled", DENSE),
        measuring.fooled,
        "adaptive_topology",
    ),
)
