"""Which layers are learned, which networks trained, and what is measured of them.

Two widths of the paper's network on CIFAR-10: 500 units and part of the images, on which every
regulariser is compared, and the published 2,000 units, on which the claims are decided. At both
widths the networks that decide are also trained on all images.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

from lib.runs.config import Run
from lib.runs.experiment import Experiment, keep_nothing
from papers.adaptive_topology import experiments as adaptive_topology
from papers.local_learning import studies, training
from papers.local_learning.training import CORRECTED, RELEASED, HiddenNetwork, LocalLayer
from papers.shared import study
from papers.shared.methods import tabled
from papers.shared.study import Study
from papers.shared.tables import Fields, Table, part

THREE, FIVE = range(3), range(5)  # seeds

# -------------------------------------------------------------------------- layers learned locally

MNIST: Fields = {"dataset": ["mnist"], "rank": 7, "step_size": 0.04}  # of the released code
TINY: Fields = {"n_units": 30, "epochs": 2, "batch_size": 100}
SHORT: Fields = {"n_units": 100, "epochs": 30, "batch_size": 100, "limit": 10_000}  # 30 a unit
LINKS: dict[str, Fields] = {  # of units that see a part of the image, or all
    "evolving links": {"evolving": True},
    "fixed links": {},
    "all links": {"density": None},
}
LAYERS: dict[str, Table] = {
    "kh": part(
        {"dataset": ["cifar10"], "seed": FIVE}, smoke={**TINY, "seed": range(2)}, quick=SHORT
    ),
    "kh_mnist": part(
        {**MNIST, "n_units": 2000, "batch_size": 100, "epochs": 60, "seed": THREE},
        smoke=TINY,
        quick=SHORT,
    ),
    "kh_long": part(
        {"dataset": ["cifar10"], "n_units": 2000, "epochs": 1000, "seed": THREE},
        smoke={**TINY, "n_units": 40},
        quick={**SHORT, "n_units": 120},
    ),
    "kh_sparse": part(
        {
            **MNIST,
            "variant": [*LINKS],
            "differences": {"variant": LINKS},
            "n_units": 1000,
            "density": 0.05,
            "batch_size": 100,
            "epochs": 50,
            "seed": THREE,
        },
        smoke={**TINY, "density": 0.2},
        quick={**SHORT, "density": 0.1},
    ),
}


def layers(experiment: str, profile: str) -> list[LocalLayer]:
    """The layers of an experiment of :data:`LAYERS`."""
    return tabled(experiment, profile, LAYERS[experiment], kind=LocalLayer)


# ----------------------------------------------------------------------------------- the networks

METHODS: dict[str, Fields] = {
    "bp": {},
    "l2": {},
    "jreg": {},
    "jreg_units": {},
    "specreg": {"batch_norm": True, "law": "spectral"},
    "kh": {"power": 4.5, "law": "constant"},
}
PENALTIES: Fields = {
    "l2": ["weights"],
    "jreg": ["hidden, as released", "logits"],
    "jreg_units": ["activations"],
    "specreg": ["spectrum, as released", "spectrum"],
    "others": "none",
}
# Couplings of the corrected penalties were set before any network was trained: a fifth of the
# example of [Hoffman2019], which is 0.1 of half the squared norm, and those of the released code.
# What others do on validation images: `tuning`.
COUPLINGS: dict[str, Fields] = {
    "weights": {"coupling": 5e-4},
    "hidden, as released": {"coupling": 1e-3, "variant": RELEASED},
    "logits": {"coupling": 1e-2, "variant": CORRECTED},
    "activations": {"coupling": 1e-3, "variant": CORRECTED},
    "spectrum, as released": {"coupling": 1.0, "variant": RELEASED},
    "spectrum": {"coupling": 1.0, "variant": CORRECTED},
}
DIFFERENCES: Fields = {"method": METHODS, "penalty": COUPLINGS}
PRUNED: dict[str, Fields] = {name: {"pruned": name} for name in (RELEASED, CORRECTED)}
PAPER: Fields = {
    "dataset": ["cifar10"],
    "seed": FIVE,
    "method": ["bp", "l2", "jreg_units", "kh"],
    # back-propagated ones with a corrected penalty, or none, are measured under both protocols
    "variant": {"kh": [RELEASED, CORRECTED], "others": f"{RELEASED} and {CORRECTED}"},
    "penalty": PENALTIES,
    "differences": {**DIFFERENCES, "variant": PRUNED},
}
ALL_IMAGES = ("all_images_500", "all_images_2000")
OF_ALL_IMAGES: Fields = {
    **PAPER,
    "variant": {"kh": [CORRECTED], "others": CORRECTED},
    "penalty": {**PENALTIES, "specreg": ["spectrum"]},
    "epochs": {"kh": 1000, "others": 40},
    # batches as large as a spectrum needs: the released spectral code has 1.5 times the width
    "batch_size": {"kh": 1000, "specreg": 3500, "others": 500},
}
# In the small profiles nothing is pruned, as mixtures need more units.
ON_DIGITS: Fields = {"limit": 1000, "batch_size": 200, "validation": 200}  # equal batches
SMOKE: Fields = {
    **ON_DIGITS,
    "n_units": 30,
    "epochs": {"kh": 5, "others": 3},
    "differences": DIFFERENCES,
}
QUICK: Fields = {
    "n_units": 100,
    "limit": 5000,
    "epochs": {"kh": 50, "others": 10},
    "batch_size": {"kh": 1000, "specreg": 500, "others": 250},
    "differences": DIFFERENCES,
    "fallback": {"dataset": "digits", **ON_DIGITS},
}
ALONE: Fields = {"method": ["kh"], "epochs": 5}  # a read-out
NETWORKS: dict[str, Table] = {
    "bio_networks": part(
        {
            **PAPER,
            "method": [*METHODS],
            "n_units": 500,
            "limit": 10_000,
            "epochs": {"kh": 1000, "specreg": 60, "others": 30},
            "batch_size": {"kh": 1000, "specreg": 1000, "others": 250},
        },
        smoke=SMOKE,
        quick=QUICK,
    ),
    "wide_networks": part(
        {
            **PAPER,
            "n_units": 2000,
            "limit": 20_000,
            "epochs": {"kh": 300, "others": 15},
            "batch_size": {"kh": 1000, "others": 500},
        },
        smoke={**SMOKE, "n_units": 40},
        quick={**QUICK, "n_units": 120},
    ),
    "all_images_500": part(
        {**OF_ALL_IMAGES, "n_units": 500}, smoke={**SMOKE, **ALONE}, quick={**QUICK, **ALONE}
    ),
    "all_images_2000": part(
        {
            **OF_ALL_IMAGES,
            "method": ["bp", "l2", "jreg_units", "specreg", "kh"],
            "n_units": 2000,
            "seed": THREE,
        },
        smoke={**SMOKE, **ALONE, "n_units": 40},
        quick={**QUICK, **ALONE, "n_units": 120},
    ),
}
READ: dict[str, tuple[str, int]] = {  # the layers below the read-outs, and how many have some
    "bio_networks": ("kh", 3),
    "wide_networks": ("kh_long", 1),
    "all_images_500": ("kh", 5),
    "all_images_2000": ("kh_long", 3),
}


def networks(experiment: str, profile: str) -> list[HiddenNetwork]:
    """Networks trained by back-propagation, and read-outs on locally learned layers."""
    below, n = READ[experiment]
    pool = layers(below, profile)[:n]
    runs = tabled(experiment, profile, NETWORKS[experiment], kind=HiddenNetwork)
    return [_on(pool[run.seed % len(pool)], run) if run.method == "kh" else run for run in runs]


def sparse_readouts(profile: str) -> list[HiddenNetwork]:
    """Read-outs on the sparse layers."""
    paper: Fields = {
        "dataset": ["mnist"],
        "method": ["kh"],
        "variant": [*LINKS],
        "differences": DIFFERENCES,
        "n_units": 1000,
        "epochs": 100,
        "seed": THREE,
    }
    smoke = {**SMOKE, "limit": None, "epochs": 5}
    table = part(paper, smoke=smoke, quick={**QUICK, "limit": 10_000, "epochs": 100})
    runs = tabled("sparse_readouts", profile, table, kind=HiddenNetwork)
    pairs = zip(layers("kh_sparse", profile), runs, strict=True)
    return [_on(layer, run) for layer, run in pairs]


def _on(layer: LocalLayer, run: HiddenNetwork) -> HiddenNetwork:
    """The read-out on a layer, also of the run that stands in."""
    stand_in = run.stand_in
    if stand_in is not None:
        stand_in = dataclasses.replace(stand_in, parent=layer.stand_in)
    parent = dataclasses.replace(layer, stand_in=None)
    return dataclasses.replace(run, parent=parent, stand_in=stand_in)


TRIED: dict[str, list[float]] = {
    "weights": [5e-5, 5e-4, 5e-3],
    "logits": [1e-3, 1e-2, 1e-1],
    "activations": [1e-4, 1e-3, 1e-2],
    "spectrum": [1e-2, 1e-1, 1.0],
}


def tuning(profile: str) -> list[HiddenNetwork]:
    """Couplings of the penalties on validation images; no test images."""
    few = {penalty: {"coupling": couplings[:1]} for penalty, couplings in TRIED.items()}
    paper: Fields = {
        "dataset": ["cifar10"],
        "method": ["bp", "l2", "jreg", "jreg_units", "specreg"],
        "penalty": {**PENALTIES, "jreg": ["logits"], "specreg": ["spectrum"]},
        "variant": {"bp": "no penalty", "others": "{penalty}, {coupling:g}"},
        "differences": {
            "method": METHODS,
            "penalty": {penalty: {"coupling": couplings} for penalty, couplings in TRIED.items()},
        },
        "limit": 5000,
        "epochs": {"specreg": 60, "others": 30},
        "batch_size": {"specreg": 1000, "others": 250},
        "evaluate_test": False,
    }
    smoke = {**SMOKE, "differences": {"method": METHODS, "penalty": few}}
    table = part(paper, smoke=smoke, quick="smoke")
    return tabled("bio_tuning", profile, table, kind=HiddenNetwork)


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
DENSE = ("dense", "dense_small")  # are trained again

Measured = list[tuple[Run, str]]  # what is measured, and the variant of the study


def under_protocols(experiments: tuple[str, ...], profile: str) -> Measured:
    """Every network under the protocols that it stands for."""
    runs = [run for experiment in experiments for run in networks(experiment, profile)]
    return [(run, variant) for run in runs for variant in run.variant.split(" and ")]


def of_all_images(profile: str) -> Measured:
    """The networks that are trained on all images, the wide ones in the profile "paper" alone."""
    return under_protocols(ALL_IMAGES if profile == "paper" else ALL_IMAGES[:1], profile)


def with_spectra(below: str, experiments: tuple[str, ...], profile: str) -> Measured:
    """Every locally learned layer, and every network but read-outs, as it is after the last epoch
    where it stands for what was released, else after the best.
    """
    found: Measured = [(run, RELEASED) for run in layers(below, profile)]
    for experiment in experiments:
        for run in networks(experiment, profile):
            if run.method != "kh":
                found.append((run, run.variant.split(" and ")[0]))
    return found


def spectral(profile: str) -> Measured:
    """The networks of the published width with a spectral penalty, on all images; in the small
    profiles a layer.
    """
    if profile != "paper":
        return with_spectra("kh_long", (), profile)
    runs = under_protocols(("all_images_2000",), profile)
    return [(run, variant) for run, variant in runs if run.method == "specreg"]


def sparse(profile: str) -> Measured:
    """Sparse networks of ``adaptive_topology``, and read-outs on sparse layers."""
    runs = [*adaptive_topology.networks(profile, STORED), *sparse_readouts(profile)]
    return [(run, run.variant) for run in runs]


def dense(profile: str) -> Measured:
    """Dense networks of ``adaptive_topology``."""
    return [(run, run.variant) for run in adaptive_topology.networks(profile, DENSE)]


def studies_of(
    experiment: str, amount: str, measured: Callable[[str], Measured], profile: str
) -> list[Study]:
    """A study of each, of this entry of :data:`AMOUNTS`."""
    found = []
    for parent, variant in measured(profile):
        amounts = dict(AMOUNTS[amount][profile])
        if amount == "spectrum" and getattr(parent, "n_units", 0) >= 2000:
            amounts["draws"] = min(amounts["draws"], WIDE_DRAWS)
        found.append(study.study_of(experiment, parent, variant=variant, **amounts))
    return found


# -------------------------------------------------------------------------------- the experiments


def _networks(
    name: str, configs: Callable[[str], list[HiddenNetwork]], *parents: str
) -> Experiment:
    numbers = training.network_numbers
    return Experiment(name, configs, training.make_network, numbers, keep_nothing, parents)


def _studies(
    name: str, amount: str, measured: Callable[[str], Measured], *parents: str
) -> Experiment:
    measure = studies.spectrum if amount == "spectrum" else studies.fooled
    configs = partial(studies_of, name, amount, measured)
    told = {"holds": training.holds_layer_or_network, "numbers": study.epochs}
    return study.measuring(name, configs, measure, *parents, **told)


BIO, WIDE = ("bio_networks",), ("wide_networks",)
SPARSE = ("adaptive_topology", "sparse_readouts")
EXPERIMENTS = (
    *(
        Experiment(
            name, partial(layers, name), training.make_layer, study.epochs, training.keep_fields
        )
        for name in LAYERS
    ),
    _networks("bio_tuning", tuning),
    *(_networks(name, partial(networks, name), below) for name, (below, _) in READ.items()),
    _networks("sparse_readouts", sparse_readouts, "kh_sparse"),
    _studies("bio_attacks", "fooled", partial(under_protocols, BIO), *BIO),
    _studies("wide_attacks", "fooled", partial(under_protocols, WIDE), *WIDE),
    _studies("bio_spectra", "spectrum", partial(with_spectra, "kh", BIO), "kh", *BIO),
    _studies("wide_spectra", "spectrum", partial(with_spectra, "kh_long", WIDE), "kh_long", *WIDE),
    _studies("all_images_attacks", "fooled for longer", of_all_images, *ALL_IMAGES),
    _studies("all_images_spectra", "spectrum", spectral, "kh_long", "all_images_2000"),
    _studies("mnist_spectra", "spectrum", partial(with_spectra, "kh_mnist", ()), "kh_mnist"),
    _studies("sparse_spectra", "spectrum", sparse, *SPARSE),
    _studies("sparse_attacks", "fooled", sparse, *SPARSE),
    _studies("sparse_spectra_dense", "spectrum", dense, "adaptive_topology"),
    _studies("sparse_attacks_dense", "fooled", dense, "adaptive_topology"),
)
