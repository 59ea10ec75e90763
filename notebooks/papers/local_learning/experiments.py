"""Which layers are learned, which networks trained, and what is measured of them.

Two widths of the paper's network on CIFAR-10: 500 units and part of the images, on which every
regulariser is compared, and the published 2,000 units, on which the claims are decided. At both
widths the networks that decide are also trained on all images.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from lib.runs.config import Run
from lib.runs.experiment import Experiment, keep_all, keep_nothing
from papers.adaptive_topology import experiments as adaptive_topology
from papers.local_learning import studies, training
from papers.local_learning.training import CORRECTED, RELEASED, HiddenNetwork, LocalLayer
from papers.shared import study
from papers.shared.study import Study

Fields = dict[str, Any]

# -------------------------------------------------------------------------- layers learned locally

DIGITS: Fields = {"dataset": "digits", "n_units": 30, "epochs": 2, "batch_size": 100}
QUICK: Fields = {"n_units": 100, "epochs": 30, "batch_size": 100, "limit": 10_000}  # 30 a unit
MNIST: Fields = {"rank": 7, "step_size": 0.04}  # of the released code
LAYERS: dict[str, dict[str, tuple[int, Fields]]] = {  # by experiment and profile: seeds, fields
    "kh": {
        "smoke": (2, DIGITS),
        "quick": (1, {**QUICK, "dataset": "cifar10"}),
        "paper": (5, {"dataset": "cifar10"}),
    },
    "kh_mnist": {
        "smoke": (1, {**DIGITS, **MNIST}),
        "quick": (1, {**QUICK, **MNIST, "dataset": "mnist"}),
        "paper": (
            3,
            {**MNIST, "dataset": "mnist", "n_units": 2000, "batch_size": 100, "epochs": 60},
        ),
    },
    "kh_long": {
        "smoke": (1, {**DIGITS, "n_units": 40}),
        "quick": (1, {**QUICK, "dataset": "cifar10", "n_units": 120}),
        "paper": (3, {"dataset": "cifar10", "n_units": 2000, "epochs": 1000}),
    },
    "kh_sparse": {
        "smoke": (1, {**DIGITS, **MNIST, "density": 0.2}),
        "quick": (1, {**QUICK, **MNIST, "dataset": "mnist", "density": 0.1}),
        "paper": (
            3,
            {
                **MNIST,
                "dataset": "mnist",
                "n_units": 1000,
                "batch_size": 100,
                "epochs": 50,
                "density": 0.05,
            },
        ),
    },
}
SPARSE_VARIANTS: dict[str, Fields] = {
    "evolving links": {"evolving": True},
    "fixed links": {},
    "all links": {"density": None},
}


def layers(experiment: str, profile: str) -> list[LocalLayer]:
    """The layers of an experiment of :data:`LAYERS`; of the sparse one, layers whose units see a
    part of the image, by links that evolve or are fixed, and such that see all.
    """
    seeds, fields = LAYERS[experiment][profile]
    variants = SPARSE_VARIANTS if experiment == "kh_sparse" else {RELEASED: {}}
    runs = []
    for variant, changes in variants.items():
        for seed in range(seeds):
            run = LocalLayer(experiment, variant=variant, seed=seed, **{**fields, **changes})
            stand_in = dataclasses.replace(run, dataset="digits")
            runs.append(_with_stand_in(run, stand_in, profile))
    return runs


def _with_stand_in(run: Run, stand_in: Run, profile: str) -> Run:
    """The run; where its data cannot be had, the profile "quick" takes another."""
    return dataclasses.replace(run, stand_in=stand_in) if profile == "quick" else run


# ----------------------------------------------------------------------------------- the networks

BOTH = f"{RELEASED} and {CORRECTED}"  # of networks that are measured under both protocols
SPECTRAL: Fields = {"method": "specreg", "batch_norm": True, "law": "spectral"}
# Couplings of the corrected penalties were set before any network was trained: a fifth of the
# example of [Hoffman2019], which is 0.1 of half the squared norm, and those of the released code.
# What others do on validation images: `tuning`.
KINDS: tuple[Fields, ...] = (
    {"method": "bp", "variant": BOTH},
    {"method": "l2", "variant": BOTH, "penalty": "weights", "coupling": 5e-4},
    {"method": "jreg", "variant": RELEASED, "penalty": "hidden, as released", "coupling": 1e-3},
    {"method": "jreg", "variant": CORRECTED, "penalty": "logits", "coupling": 1e-2},
    {"method": "jreg_units", "variant": CORRECTED, "penalty": "activations", "coupling": 1e-3},
    {**SPECTRAL, "variant": RELEASED, "penalty": "spectrum, as released", "coupling": 1.0},
    {**SPECTRAL, "variant": CORRECTED, "penalty": "spectrum", "coupling": 1.0},
)
WIDE_KINDS = tuple(kind for kind in KINDS if kind["method"] in ("bp", "l2", "jreg_units"))
CORRECTED_KINDS = tuple({**kind, "variant": CORRECTED} for kind in WIDE_KINDS)
READOUT: Fields = {"method": "kh", "power": 4.5, "law": "constant"}
ALL_IMAGES = ("all_images_500", "all_images_2000")


@dataclass(frozen=True)
class Scale:
    """Networks of one width.

    Args:
        layers: experiment of the layers that are learned locally.
        kinds: fields of the other networks.
        seeds: of each.
        fields: of all.
        trained: of those trained by back-propagation.
        spectral: of those with a spectral penalty, whose batches must be large.
        readouts: of those on learned layers.
        read: how many of the learned layers have read-outs; None: all.
        protocols: for which there are read-outs.
    """

    layers: str
    kinds: tuple[Fields, ...]
    seeds: int
    fields: Fields
    trained: Fields
    spectral: Fields
    readouts: Fields
    read: int | None = None
    protocols: tuple[str, ...] = (RELEASED, CORRECTED)


SCALES = {  # of the profile "paper"
    "bio_networks": Scale(
        "kh",
        KINDS,
        5,
        {"dataset": "cifar10", "n_units": 500, "limit": 10_000},
        trained={"epochs": 30, "batch_size": 250},
        spectral={"epochs": 60, "batch_size": 1000},
        readouts={"epochs": 1000},
        read=3,
    ),
    "wide_networks": Scale(
        "kh_long",
        WIDE_KINDS,
        5,
        {"dataset": "cifar10", "n_units": 2000, "limit": 20_000},
        trained={"epochs": 15, "batch_size": 500},
        spectral={},
        readouts={"epochs": 300},
        read=1,
    ),
    "all_images_500": Scale(
        "kh",
        CORRECTED_KINDS,
        5,
        {"dataset": "cifar10", "n_units": 500},
        trained={"epochs": 40, "batch_size": 500},
        spectral={},
        readouts={"epochs": 1000},
        protocols=(CORRECTED,),
    ),
    "all_images_2000": Scale(
        "kh_long",
        (*CORRECTED_KINDS, KINDS[-1]),
        3,
        {"dataset": "cifar10", "n_units": 2000},
        trained={"epochs": 40, "batch_size": 500},
        spectral={"batch_size": 3500},  # the released spectral code has 1.5 times the width
        readouts={"epochs": 1000},
        protocols=(CORRECTED,),
    ),
}
SMALL_DIGITS: Fields = {  # batches of one size, as spectra need
    "dataset": "digits",
    "limit": 1000,
    "batch_size": 200,
    "validation": 200,
}
SMALL: dict[str, dict[str, Fields]] = {  # what the small profiles change of each scale
    "smoke": {
        "fields": SMALL_DIGITS,
        "trained": {"epochs": 3},
        "spectral": {},
        "readouts": {"epochs": 5},
    },
    "quick": {
        "fields": {"dataset": "cifar10", "limit": 5000},
        "trained": {"epochs": 10, "batch_size": 250},
        "spectral": {"epochs": 10, "batch_size": 500},
        "readouts": {"epochs": 50},
    },
}


def scale_of(experiment: str, profile: str) -> Scale:
    """The scale of an experiment; in the small profiles one seed, of the width that the layers have
    there, and of the networks that see all images a read-out.
    """
    scale = SCALES[experiment]
    if profile == "paper":
        return scale
    changes = SMALL[profile]
    fields = changes["fields"] | {"n_units": LAYERS[scale.layers][profile][1]["n_units"]}
    scale = dataclasses.replace(scale, seeds=1, **{**changes, "fields": fields})
    if experiment in ALL_IMAGES:
        return dataclasses.replace(scale, kinds=(), readouts={"epochs": 5})
    return scale


def networks(experiment: str, profile: str) -> list[HiddenNetwork]:
    """Read-outs on locally learned layers, and networks trained by back-propagation."""
    scale = scale_of(experiment, profile)
    pool = layers(scale.layers, profile)[: scale.read]
    runs = []
    for seed in range(scale.seeds):
        for kind in scale.kinds:
            changes = {**scale.fields, **scale.trained, **kind}
            if kind["method"] == "specreg":
                changes |= scale.spectral
            runs.append(HiddenNetwork(experiment, seed=seed, **changes))
        parent = dataclasses.replace(pool[seed % len(pool)], stand_in=None)
        changes = {**scale.fields, **scale.readouts, **READOUT, "parent": parent}
        for variant in scale.protocols:
            pruned = variant if profile == "paper" else ""  # mixtures need more units
            run = HiddenNetwork(experiment, seed=seed, variant=variant, pruned=pruned, **changes)
            runs.append(run)
    return [_with_digits(run, profile) for run in runs]


def sparse_readouts(profile: str) -> list[HiddenNetwork]:
    """Read-outs on the sparse layers."""
    small = profile == "smoke"
    runs = []
    for layer in layers("kh_sparse", profile):
        run = HiddenNetwork(
            "sparse_readouts",
            dataset=layer.dataset,
            variant=layer.variant,
            n_units=layer.n_units,
            parent=dataclasses.replace(layer, stand_in=None),
            seed=layer.seed,
            epochs=5 if small else 100,
            validation=200 if small else 5000,
            limit=layer.limit,
            batch_size=200 if small else 1000,
            **READOUT,
        )
        runs.append(_with_digits(run, profile))
    return runs


def _with_digits(run: HiddenNetwork, profile: str) -> HiddenNetwork:
    changes: Fields = {"dataset": "digits", "validation": 200, "batch_size": 200, "limit": 1000}
    if run.parent is not None:
        changes["parent"] = dataclasses.replace(run.parent, dataset="digits")
    return _with_stand_in(run, dataclasses.replace(run, **changes), profile)


TRIED = {
    "weights": (5e-5, 5e-4, 5e-3),
    "logits": (1e-3, 1e-2, 1e-1),
    "activations": (1e-4, 1e-3, 1e-2),
    "spectrum": (1e-2, 1e-1, 1.0),
}


def tuning(profile: str) -> list[HiddenNetwork]:
    """Couplings of the penalties on validation images; no test images."""
    fields: Fields = {"dataset": "cifar10", "limit": 5000, "epochs": 30, "batch_size": 250}
    spectral: Fields = {"epochs": 60, "batch_size": 1000}
    if profile != "paper":
        fields, spectral = {**SMALL_DIGITS, "n_units": 30, "epochs": 3}, {}
    fields["evaluate_test"] = False
    kinds = [{"method": "bp", "variant": "no penalty"}]
    for kind in KINDS:
        penalty = kind.get("penalty")
        for coupling in TRIED.get(penalty, ())[: 3 if profile == "paper" else 1]:
            variant = f"{penalty}, {coupling:g}"
            kinds.append({**kind, "variant": variant, "coupling": coupling})
    runs = []
    for kind in kinds:
        changes = {**fields, **kind} | (spectral if kind["method"] == "specreg" else {})
        runs.append(HiddenNetwork("bio_tuning", **changes))
    return runs


# ------------------------------------------------------------------------------------ the studies

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
STORED = ("set", "rigl", "fixed")  # networks of adaptive_topology whose weights a clone has
DENSE = ("dense_small", "dense")  # are trained again


def attacked(experiment: str, parents: str, profile: str, amount: str = "fooled") -> list[Study]:
    """Every network under the protocols that it stands for."""
    return [
        _study(experiment, amount, profile, run, variant)
        for run in networks(parents, profile)
        for variant in run.variant.split(" and ")
    ]


def attacked_for_longer(experiment: str, profile: str) -> list[Study]:
    """The networks that are trained on all images, the wide ones in the profile "paper" alone."""
    found = []
    for parents in ALL_IMAGES if profile == "paper" else ALL_IMAGES[:1]:
        found += attacked(experiment, parents, profile, "fooled for longer")
    return found


def spectra_of_layers(experiment: str, parents: str, profile: str) -> list[Study]:
    """Every layer that is learned locally."""
    runs = layers(parents, profile)
    return [_study(experiment, "spectrum", profile, run, RELEASED) for run in runs]


def spectra_of(experiment: str, parents: str, profile: str) -> list[Study]:
    """Every locally learned layer, and every other network, as it is after the last epoch where it
    stands for what was released, else after the best.
    """
    found = spectra_of_layers(experiment, SCALES[parents].layers, profile)
    for run in networks(parents, profile):
        if run.method != "kh":
            variant = run.variant.split(" and ")[0]
            found.append(_study(experiment, "spectrum", profile, run, variant))
    return found


def spectral(experiment: str, profile: str) -> list[Study]:
    """The networks of the published width with a spectral penalty, on all images; in the small
    profiles a layer.
    """
    if profile != "paper":
        return spectra_of_layers(experiment, "kh_long", profile)
    return [
        _study(experiment, "spectrum", profile, run, CORRECTED)
        for run in networks("all_images_2000", profile)
        if run.method == "specreg"
    ]


def of_sparse(experiment: str, amount: str, methods: tuple[str, ...], profile: str) -> list[Study]:
    """Networks of ``adaptive_topology``; beside those that are stored read-outs on locally learned
    sparse layers.
    """
    runs: list[Run] = [r for r in adaptive_topology.networks(profile) if r.method in methods]
    if methods == STORED:
        runs += sparse_readouts(profile)
    return [_study(experiment, amount, profile, run, run.variant) for run in runs]


def _study(experiment: str, amount: str, profile: str, parent: Run, variant: str) -> Study:
    amounts = dict(AMOUNTS[amount][profile])
    if amount == "spectrum" and getattr(parent, "n_units", 0) >= 2000:
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


# -------------------------------------------------------------------------------- the experiments


def _layers(name: str) -> Experiment:
    configs = partial(layers, name)
    numbers = training.layer_numbers
    return Experiment(name, configs, training.make_layer, numbers, training.keep_fields)


def _networks(
    name: str, configs: Callable[[str], list[HiddenNetwork]], *parents: str
) -> Experiment:
    numbers = training.network_numbers
    return Experiment(name, configs, training.make_network, numbers, keep_nothing, parents)


def _studies(
    name: str,
    measure: studies.Measure,
    configs: Callable[..., list[Study]],
    arguments: tuple[Any, ...],
    *parents: str,
) -> Experiment:
    """What is measured of the networks that ``configs`` finds, given name, arguments, profile."""
    make = partial(studies.make_study, measure=measure)
    found = partial(configs, name, *arguments)
    return Experiment(name, found, make, studies.study_numbers, keep_all, parents)


FOOLED, SPECTRUM = studies.fooled, studies.spectrum
SPARSE = ("adaptive_topology", "sparse_readouts")
EXPERIMENTS = (
    *map(_layers, LAYERS),
    _networks("bio_tuning", tuning),
    *(_networks(name, partial(networks, name), scale.layers) for name, scale in SCALES.items()),
    _networks("sparse_readouts", sparse_readouts, "kh_sparse"),
    _studies("bio_attacks", FOOLED, attacked, ("bio_networks",), "bio_networks"),
    _studies("wide_attacks", FOOLED, attacked, ("wide_networks",), "wide_networks"),
    _studies("bio_spectra", SPECTRUM, spectra_of, ("bio_networks",), "kh", "bio_networks"),
    _studies("wide_spectra", SPECTRUM, spectra_of, ("wide_networks",), "kh_long", "wide_networks"),
    _studies("all_images_attacks", FOOLED, attacked_for_longer, (), *ALL_IMAGES),
    _studies("all_images_spectra", SPECTRUM, spectral, (), "kh_long", "all_images_2000"),
    _studies("mnist_spectra", SPECTRUM, spectra_of_layers, ("kh_mnist",), "kh_mnist"),
    _studies("sparse_spectra", SPECTRUM, of_sparse, ("spectrum", STORED), *SPARSE),
    _studies("sparse_attacks", FOOLED, of_sparse, ("fooled", STORED), *SPARSE),
    _studies("sparse_spectra_dense", SPECTRUM, of_sparse, ("spectrum", DENSE), "adaptive_topology"),
    _studies("sparse_attacks_dense", FOOLED, of_sparse, ("fooled", DENSE), "adaptive_topology"),
)
