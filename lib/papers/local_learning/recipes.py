"""Which layers are learned and which networks are trained, in three profiles.

Two widths of the paper's network on CIFAR-10: 500 units and part of the images, on which every
regulariser is compared, and the published 2,000 units, on which the claims are decided. At both
widths the networks that decide are also trained on all images.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from lib.papers.local_learning.layers import LocalLayer
from lib.papers.local_learning.training import HiddenNetwork

Fields = dict[str, Any]

RELEASED, CORRECTED = "as released", "corrected"

# -------------------------------------------------------------------------- layers learned locally

_DIGITS: Fields = {"dataset": "digits", "n_units": 30, "epochs": 2, "batch_size": 100}
_QUICK: Fields = {"n_units": 100, "epochs": 30, "batch_size": 100, "limit": 10_000}  # 30 a unit
_MNIST: Fields = {"rank": 7, "step_size": 0.04}  # of the released code
LAYERS: dict[str, dict[str, tuple[int, Fields]]] = {  # by experiment and profile: seeds, fields
    "kh": {
        "smoke": (2, _DIGITS),
        "quick": (1, {**_QUICK, "dataset": "cifar10"}),
        "paper": (5, {"dataset": "cifar10"}),
    },
    "kh_mnist": {
        "smoke": (1, {**_DIGITS, **_MNIST}),
        "quick": (1, {**_QUICK, **_MNIST, "dataset": "mnist"}),
        "paper": (
            3,
            {**_MNIST, "dataset": "mnist", "n_units": 2000, "batch_size": 100, "epochs": 60},
        ),
    },
    "kh_long": {
        "smoke": (1, {**_DIGITS, "n_units": 40}),
        "quick": (1, {**_QUICK, "dataset": "cifar10", "n_units": 120}),
        "paper": (3, {"dataset": "cifar10", "n_units": 2000, "epochs": 1000}),
    },
}
SPARSE: dict[str, tuple[int, Fields]] = {
    "smoke": (1, {**_DIGITS, **_MNIST, "density": 0.2}),
    "quick": (1, {**_QUICK, **_MNIST, "dataset": "mnist", "density": 0.1}),
    "paper": (
        3,
        {
            **_MNIST,
            "dataset": "mnist",
            "n_units": 1000,
            "batch_size": 100,
            "epochs": 50,
            "density": 0.05,
        },
    ),
}
SPARSE_VARIANTS: dict[str, Fields] = {
    "evolving links": {"evolving": True},
    "fixed links": {},
    "all links": {"density": None},
}


def layers(experiment: str, profile: str) -> list[LocalLayer]:
    """Layers of an experiment of :data:`LAYERS`."""
    seeds, fields = LAYERS[experiment][profile]
    runs = [LocalLayer(experiment, seed=seed, **fields) for seed in range(seeds)]
    return [_stood_in(run, profile) for run in runs]


def sparse_layers(profile: str) -> list[LocalLayer]:
    """Layers whose units see a part of the image: links that evolve, links that are fixed, and all
    links.
    """
    seeds, fields = SPARSE[profile]
    runs = []
    for variant, changes in SPARSE_VARIANTS.items():
        for seed in range(seeds):
            run = LocalLayer("kh_sparse", variant=variant, seed=seed, **{**fields, **changes})
            runs.append(_stood_in(run, profile))
    return runs


def _stood_in(run: LocalLayer, profile: str) -> LocalLayer:
    """The run; where its data cannot be had, the profile "quick" takes digits."""
    if profile != "quick":
        return run
    return dataclasses.replace(run, stand_in=dataclasses.replace(run, dataset="digits"))


# ----------------------------------------------------------------------------------- the networks


@dataclass(frozen=True)
class Kind:
    """A way in which a network is trained.

    Args:
        method: of :class:`lib.papers.local_learning.training.HiddenNetwork`.
        variants: what it stands for: the protocols under which it is measured.
        fields: of the run.
    """

    method: str
    variants: tuple[str, ...]
    fields: Fields

    @property
    def variant(self) -> str:
        """That of the run."""
        return " and ".join(self.variants)


BOTH = (RELEASED, CORRECTED)
# Couplings of the corrected penalties, set before any network was trained: a tenth of the example
# of [Hoffman2019], and those of the released code. What others do on validation images: `tuning`.
COUPLINGS = {"logits": 1e-2, "activations": 1e-3, "spectrum": 1.0}
_SPECTRAL: Fields = {"batch_norm": True, "law": "spectral"}
KINDS = (
    Kind("bp", BOTH, {}),
    Kind("l2", BOTH, {"penalty": "weights", "coupling": 5e-4}),
    Kind("jreg", (RELEASED,), {"penalty": "hidden, as released", "coupling": 1e-3}),
    Kind("jreg", (CORRECTED,), {"penalty": "logits", "coupling": COUPLINGS["logits"]}),
    Kind(
        "jreg_units",
        (CORRECTED,),
        {"penalty": "activations", "coupling": COUPLINGS["activations"]},
    ),
    Kind(
        "specreg",
        (RELEASED,),
        {
            "penalty": "spectrum, as released",
            "coupling": 1.0,
            **_SPECTRAL,
        },
    ),
    Kind(
        "specreg",
        (CORRECTED,),
        {
            "penalty": "spectrum",
            "coupling": COUPLINGS["spectrum"],
            **_SPECTRAL,
        },
    ),
)
WIDE_KINDS = tuple(kind for kind in KINDS if kind.method in ("bp", "l2", "jreg_units"))
CORRECTED_KINDS = tuple(dataclasses.replace(kind, variants=(CORRECTED,)) for kind in WIDE_KINDS)
SPECTRAL_KIND = next(k for k in KINDS if k.method == "specreg" and k.variants == (CORRECTED,))
READOUT: Fields = {"power": 4.5, "law": "constant"}
_SMALL: Fields = {  # batches of one size, as spectra need
    "dataset": "digits",
    "limit": 1000,
    "batch_size": 200,
    "validation": 200,
}


@dataclass(frozen=True)
class Scale:
    """Networks of one width.

    Args:
        layers: experiment of the layers that are learned locally.
        kinds: of the others.
        seeds: of each.
        fields: of all.
        trained: of those trained by back-propagation.
        spectral: of those with a spectral penalty, whose batches must be large.
        readouts: of those on learned layers.
        read: how many of the learned layers have read-outs; None: all.
        protocols: for which there are read-outs.
    """

    layers: str
    kinds: tuple[Kind, ...]
    seeds: int
    fields: Fields
    trained: Fields
    spectral: Fields
    readouts: Fields
    read: int | None = None
    protocols: tuple[str, ...] = BOTH


_SMALL_SCALE: tuple[Fields, ...] = ({"epochs": 3}, {}, {"epochs": 5})
_QUICK_SCALE: tuple[Fields, ...] = (
    {"epochs": 10, "batch_size": 250},
    {"epochs": 10, "batch_size": 500},
    {"epochs": 50},
)
_QUICK_CIFAR: Fields = {"dataset": "cifar10", "limit": 5000}
_ONE_READOUT: dict[str, Any] = {
    **dict.fromkeys(("trained", "spectral"), {}),
    "readouts": {"epochs": 5},
    "protocols": (CORRECTED,),
}
SCALES: dict[str, dict[str, Scale]] = {
    "bio_networks": {
        "smoke": Scale("kh", KINDS, 1, {**_SMALL, "n_units": 30}, *_SMALL_SCALE),
        "quick": Scale("kh", KINDS, 1, {**_QUICK_CIFAR, "n_units": 100}, *_QUICK_SCALE),
        "paper": Scale(
            "kh",
            KINDS,
            5,
            {"dataset": "cifar10", "n_units": 500, "limit": 10_000},
            trained={"epochs": 30, "batch_size": 250},
            spectral={"epochs": 60, "batch_size": 1000},
            readouts={"epochs": 1000},
            read=3,
        ),
    },
    "wide_networks": {
        "smoke": Scale("kh_long", WIDE_KINDS, 1, {**_SMALL, "n_units": 40}, *_SMALL_SCALE),
        "quick": Scale("kh_long", WIDE_KINDS, 1, {**_QUICK_CIFAR, "n_units": 120}, *_QUICK_SCALE),
        "paper": Scale(
            "kh_long",
            WIDE_KINDS,
            5,
            {"dataset": "cifar10", "n_units": 2000, "limit": 20_000},
            trained={"epochs": 15, "batch_size": 500},
            spectral={},
            readouts={"epochs": 300},
            read=1,
        ),
    },
    "all_images_500": {
        "smoke": Scale("kh", (), 1, {**_SMALL, "n_units": 30}, **_ONE_READOUT),
        "quick": Scale("kh", (), 1, {**_QUICK_CIFAR, "n_units": 100}, **_ONE_READOUT),
        "paper": Scale(
            "kh",
            CORRECTED_KINDS,
            5,
            {"dataset": "cifar10", "n_units": 500},
            trained={"epochs": 40, "batch_size": 500},
            spectral={},
            readouts={"epochs": 1000},
            protocols=(CORRECTED,),
        ),
    },
    "all_images_2000": {
        "smoke": Scale("kh_long", (), 1, {**_SMALL, "n_units": 40}, **_ONE_READOUT),
        "quick": Scale("kh_long", (), 1, {**_QUICK_CIFAR, "n_units": 120}, **_ONE_READOUT),
        "paper": Scale(
            "kh_long",
            (*CORRECTED_KINDS, SPECTRAL_KIND),
            3,
            {"dataset": "cifar10", "n_units": 2000},
            trained={"epochs": 40, "batch_size": 500},
            spectral={"batch_size": 3500},  # the released spectral code has 1.5 times the width
            readouts={"epochs": 1000},
            protocols=(CORRECTED,),
        ),
    },
}


def networks(experiment: str, profile: str) -> list[HiddenNetwork]:
    """Read-outs on locally learned layers, and networks trained by back-propagation."""
    scale = SCALES[experiment][profile]
    pool = layers(scale.layers, profile)[: scale.read]
    runs = []
    for seed in range(scale.seeds):
        for kind in scale.kinds:
            changes = {**scale.fields, **scale.trained, **kind.fields}
            if kind.method == "specreg":
                changes |= scale.spectral
            changes |= {"method": kind.method, "variant": kind.variant}
            runs.append(HiddenNetwork(experiment, seed=seed, **changes))
        parent = dataclasses.replace(pool[seed % len(pool)], stand_in=None)
        changes = {**scale.fields, **scale.readouts, **READOUT, "method": "kh", "parent": parent}
        for variant in scale.protocols:
            pruned = variant if profile == "paper" else ""  # mixtures need more units
            run = HiddenNetwork(experiment, seed=seed, variant=variant, pruned=pruned, **changes)
            runs.append(run)
    return [_network_stood_in(run, profile) for run in runs]


def readouts(profile: str) -> list[HiddenNetwork]:
    """Read-outs on the layers of :func:`sparse_layers`."""
    runs = []
    for layer in sparse_layers(profile):
        small = profile == "smoke"
        run = HiddenNetwork(
            "sparse_readouts",
            dataset=layer.dataset,
            method="kh",
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
        runs.append(_network_stood_in(run, profile))
    return runs


TRIED = {"weights": (5e-5, 5e-4, 5e-3), "logits": (1e-3, 1e-2, 1e-1)}
TRIED |= {"activations": (1e-4, 1e-3, 1e-2), "spectrum": (1e-2, 1e-1, 1.0)}


def tuning(profile: str) -> list[HiddenNetwork]:
    """Couplings of the penalties on validation images; no test images."""
    fields: Fields = {"dataset": "cifar10", "limit": 5000, "epochs": 30, "batch_size": 250}
    spectral: Fields = {"epochs": 60, "batch_size": 1000}
    if profile != "paper":
        fields, spectral = {**_SMALL, "n_units": 30, "epochs": 3}, {}
    fields["evaluate_test"] = False
    runs = []
    plain = Kind("bp", ("no penalty",), {})
    kinds = [plain]
    for kind in KINDS:
        penalty = kind.fields.get("penalty")
        for coupling in TRIED.get(penalty, ())[: 3 if profile == "paper" else 1]:
            changed = {**kind.fields, "coupling": coupling}
            kinds.append(Kind(kind.method, (f"{penalty}, {coupling:g}",), changed))
    for kind in kinds:
        changes = {**fields, **kind.fields, "method": kind.method, "variant": kind.variant}
        if kind.method == "specreg":
            changes |= spectral
        runs.append(HiddenNetwork("bio_tuning", **changes))
    return runs


def _network_stood_in(run: HiddenNetwork, profile: str) -> HiddenNetwork:
    if profile != "quick":
        return run
    changes: Fields = {"dataset": "digits", "validation": 200, "batch_size": 200, "limit": 1000}
    if run.parent is not None:
        changes["parent"] = dataclasses.replace(run.parent, dataset="digits")
    return dataclasses.replace(run, stand_in=dataclasses.replace(run, **changes))
