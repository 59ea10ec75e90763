"""Experiments as configurations in three profiles; what a run is, see :mod:`lib.records`."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import product
from typing import Any

from lib import data, tuning
from lib.config import Config, Study
from lib.methods import ADAPTIVE, CHOSEN, ER_20, GROWTH, NETWORKS, PUBLISHED, runs, small_widths
from lib.names import check_known

PROFILES = ("smoke", "quick", "paper")

_SCALES: dict[str, dict[str, Any]] = {
    "smoke": {"epochs": {"sparse": 3}, "seeds": 2, "datasets": ("digits",)},
    "quick": {"epochs": {"sparse": 10, "dense": 3}, "seeds": 1, "fallback": "digits"},
    "paper": {
        "epochs": {"sparse": 150, "dense": 20, "dense_small": 50, "dense_pruned": 50},
        "seeds": 5,
    },
}


def _profiled(
    experiment: str,
    profile: str,
    *,
    methods: Iterable[str],
    datasets: Sequence[str] | None = None,
    **quick: Any,
) -> list[Config]:
    """The profile's runs; ``datasets`` other than both; ``quick``: what the quick one changes."""
    scale, network = _SCALES[profile], NETWORKS[experiment]
    if datasets is not None and profile != "smoke":
        scale = scale | {"datasets": datasets}
    if profile == "quick":
        scale = scale | quick
    if profile == "smoke" and "density" in network:
        scale = scale | {"seeds": 1}
        network = network | {"hidden": tuple(n // 5 for n in network["hidden"])}
    return runs(experiment, network, methods, **scale)


_CIFAR10 = {
    **PUBLISHED,
    "hidden": (4000, 1000, 4000),
    "datasets": ("cifar10",),
    "augmentation": 1.0,
    "per_pixel": True,
}
_SMALL = {"seeds": 1, "datasets": ("digits",), "hidden": (400, 100, 400)}
_ALIKE = ("set", "fixed", "fixed_final", "dense")
_SET_MLP: dict[str, list[dict[str, Any]]] = {  # what is run besides MNIST and Fashion-MNIST, tuned
    "smoke": [{"methods": ("set", "fixed"), **_CIFAR10, **_SMALL}],
    "quick": [
        {"methods": ("set", "fixed"), "datasets": ("mnist",), **PUBLISHED},
        {
            "methods": _ALIKE,
            "datasets": ("higgs_sample",),
            "epochs": {"sparse": 5},
            "fallback": None,
        },
        {"methods": ("set", "fixed", "dense"), "limit": 5000, "fallback": None, **_CIFAR10},
    ],
    "paper": [
        {"methods": ("set_random_removal",), "datasets": ("mnist", "fashion_mnist")},
        {"methods": _ALIKE, "datasets": ("higgs_sample",), "epochs": {"sparse": 20}},
        {"methods": _ALIKE, "datasets": ("higgs",), "epochs": {"sparse": 20}},
        {
            "methods": ("set", "fixed"),
            "datasets": ("mnist",),
            "epochs": {"sparse": 100, "set": 300},
            **PUBLISHED,
        },
        {"methods": ("set", "fixed"), "seeds": 3, "epochs": {"sparse": 50}, **_CIFAR10},
        {"methods": ("dense",), "seeds": 1, "epochs": {"sparse": 10}, **_CIFAR10},
    ],
}


def _set_mlp(experiment: str, profile: str) -> list[Config]:
    """Table 3 and Fig. 5 of SET: tuned settings, and the published ones on MNIST and CIFAR-10.

    The full HIGGS set, and in the quick profile CIFAR-10 and the sample of HIGGS, are among them
    where they are on this machine already.
    """
    configs = _profiled(experiment, profile, methods=_ALIKE, seeds=2)
    for part in _SET_MLP[profile]:
        scale = _SCALES[profile] | part
        optional = scale["datasets"] == ("higgs",) or scale.get("fallback", "digits") is None
        if not optional or data.is_here(*scale["datasets"]):
            configs += runs(experiment, ER_20, **scale)
    return configs


def _growth(experiment: str, profile: str) -> list[Config]:
    """Growth rules at 1 % of the links, and a fixed random support."""
    datasets = ("mnist",) if profile == "quick" else None
    return _profiled(experiment, profile, methods=(*GROWTH, "fixed"), datasets=datasets)


def _other_decay(experiment: str, profile: str) -> list[Config]:
    """The growth rules again, each with the course of the drop fraction that was not chosen."""
    other = {"constant": "cosine", "cosine": "constant"}
    found = [c for c in _growth("adaptive_topology_1568", profile) if c.drop is not None]
    return [
        dataclasses.replace(c, experiment=experiment, decay=other[c.decay], variant=other[c.decay])
        for c in found
    ]


def _densities(experiment: str, profile: str) -> list[Config]:
    """Accuracy against links: density .005 to .05 at width 1568, MNIST."""
    densities = (0.005, 0.01, 0.02, 0.05) if profile == "paper" else (0.01, 0.02)
    scale = {**_SCALES[profile], "seeds": 3 if profile == "paper" else 1}
    scale["epochs"] = {"sparse": {"smoke": 1, "quick": 3, "paper": 20}[profile]}
    network = NETWORKS["adaptive_topology_1568"]
    if profile == "smoke":
        network = network | {"hidden": (300, 300, 300)}
    else:
        scale["datasets"] = ("mnist",)
    configs = []
    for density, method in product(densities, ("set", "rigl")):
        chosen = CHOSEN["adaptive_topology_1568", method]
        fields = {**network, "density": density, **chosen}
        configs += runs(experiment, fields, (method,), **scale)
    return configs


def _adaptive(experiment: str, profile: str) -> list[Config]:
    datasets = ("mnist",) if profile == "quick" else None
    return _profiled(experiment, profile, methods=ADAPTIVE, datasets=datasets)


# Radius at which the dense network keeps half its accuracy, on validation images: `attack_radius`.
HEADLINE_RADIUS = {"mnist": 0.095, "fashion_mnist": 0.04, "digits": 0.1}
_GRID = {
    "radii": (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3),
    "radii_l2": (0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0),
}
_FEW = {"radii": (0.01, 0.02, 0.05, 0.1, 0.3), "radii_l2": (0.2, 0.5, 1.0, 2.0, 4.0)}
_ONE = {"radii": (0.1, 0.3), "radii_l2": (0.5, 2.0)}
_STUDIES: dict[str, dict[str, dict[str, Any]]] = {  # how much of each study, by profile
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
        "smoke": {"images": 50, "steps": 5, **_ONE},
        "quick": {"images": 200, "steps": 20, **_FEW},
        "paper": {"images": 1000, **_GRID},
    },
    "attack_ensemble": {
        "smoke": {"images": 20, "steps": 5, "restarts": 2, "queries": 20},
        "quick": {"images": 50, "steps": 20, "restarts": 2, "queries": 100},
        "paper": {"images": 500, "steps": 100, "restarts": 10},
    },
    "attack_minimal": {
        "smoke": {"images": 4, "steps": 5, "queries": 5},
        "quick": {"images": 10, "steps": 20, "queries": 20},
        "paper": {"images": 100},
    },
}
_STUDIED_SEEDS = {"attack_ensemble": 3, "attack_minimal": 1}  # elsewhere all


def _studies(experiment: str, profile: str) -> list[Config]:
    """A study of every network of `adaptive_topology`; two draws for the dense networks, whose many
    links leave little to chance.
    """
    found = []
    parents = configs("adaptive_topology", profile)
    for parent in (c for c in parents if c.seed < _STUDIED_SEEDS.get(experiment, c.seed + 1)):
        fields = dict(_STUDIES[experiment][profile])
        headline = HEADLINE_RADIUS[parent.dataset]
        if experiment == "attack_curves":
            fields["radii"] = tuple(sorted({*fields["radii"], headline}))
        elif experiment == "attack_ensemble":
            fields["radii"] = tuple(headline * k for k in (1.0, 0.5, 1.5, 2.0))
        elif experiment == "attack_minimal":
            fields["radii"] = (headline,)
        elif parent.method == "dense" and profile == "paper":
            fields["draws"] = 2
        found.append(_study(experiment, parent, **fields))
    return found


def _study(experiment: str, parent: Config, **fields: Any) -> Study:
    same = {k: getattr(parent, k) for k in ("dataset", "method", "hidden", "seed", "fallback")}
    return Study(experiment, parent=parent, **same, **fields)


_LINKS: dict[str, dict[str, int]] = {  # replicates of a bootstrap, networks with the same degrees
    "scale_free": {"smoke": 10, "quick": 100, "paper": 1000},
    "network_structure": {"smoke": 2, "quick": 3, "paper": 20},
    "visible_connectivity": {"smoke": 1, "quick": 1, "paper": 1},
}


def _links(experiment: str, profile: str) -> list[Config]:
    """A study of the links of the sparse networks of `adaptive_topology`; in the profile "paper"
    the degrees of SET's own networks and of growth rules on MNIST too.
    """
    methods = {"adaptive_topology": ("set", "rigl", "set_random_removal", "fixed")}
    if (experiment, profile) == ("scale_free", "paper"):
        methods["set_mlp"] = ("set", "set_random_removal", "fixed")
        methods["adaptive_topology_1568"] = ("preferential", "ch3_l3", "fixed")
    found = [c for name in methods for c in configs(name, profile) if c.method in methods[name]]
    wide = "adaptive_topology_1568", "fashion_mnist"
    parents = [c for c in found if c.dataset[:5] != "higgs" and (c.experiment, c.dataset) != wide]
    draws = _LINKS[experiment][profile]
    return [_study(experiment, c, variant=c.variant, draws=draws) for c in parents]


def _radius(experiment: str, profile: str) -> list[Config]:
    """The attack curve of dense networks on the validation images of `tuning`."""
    dense = [c for c in tuning.tuning("tuning", profile) if c.variant == "epochs"]
    dense = [c for c in dense if c.epochs == max(c.epochs for c in dense)]
    return [_study(experiment, c, **_STUDIES["attack_curves"][profile]) for c in dense]


def _timed(experiment: str, profile: str) -> list[Config]:
    """SET, and dense for about as long on the clock, and dense for longer; the settings are those
    of ``set_mlp``, chosen at 40 and at 6 epochs.
    """
    sparse, equal, longer = {"smoke": (3, 1, 2), "quick": (6, 1, 2), "paper": (40, 5, 12)}[profile]
    configs = []
    for method, variant, epochs, seeds in (
        ("set", "tuned", sparse, 5),
        ("dense", "equal time", equal, 5),
        ("dense", "longer", longer, 2),
    ):
        scale = {**_SCALES[profile], "epochs": {"sparse": epochs}, "variant": variant}
        scale["seeds"] = seeds if profile == "paper" else 1
        configs += runs(experiment, ER_20, (method,), **scale)
    return configs


EXPERIMENTS: dict[str, Callable[[str, str], list[Config]]] = {
    "set_mlp": _set_mlp,
    "adaptive_topology": _adaptive,
    "adaptive_topology_1568": _growth,
    "other_decay": _other_decay,
    "densities": _densities,
    "time_to_accuracy": _timed,
    "tuning": tuning.tuning,
    **dict.fromkeys(_STUDIES, _studies),
    **dict.fromkeys(_LINKS, _links),
    "attack_radius": _radius,
}


def configs(experiment: str, profile: str) -> list[Config]:
    """The configurations of an experiment in a profile; ValueError names the nearest name."""
    check_known("experiment", experiment, list(EXPERIMENTS))
    check_known("profile", profile, PROFILES)
    return EXPERIMENTS[experiment](experiment, profile)


def siblings(config: Config) -> list[Config]:
    """The runs of the same experiment, profile, data set and seed; itself alone if it is custom."""
    for profile in PROFILES if config.experiment in EXPERIMENTS else ():
        found = [resolve(c) for c in configs(config.experiment, profile)]
        if config in found:
            return [c for c in found if (c.dataset, c.seed) == (config.dataset, config.seed)]
    return [config]


@cache
def _everything() -> tuple[tuple[str, Config], ...]:
    """Every configuration, with its profile."""
    pairs = product(PROFILES, EXPERIMENTS)
    return tuple((profile, c) for profile, name in pairs for c in configs(name, profile))


def twins(config: Config) -> list[Config]:
    """The configurations of other experiments that train the very same network; none for a study,
    and none where the time that it takes is what counts.
    """
    if isinstance(config, Study) or config.experiment == "time_to_accuracy":
        return []
    labels = {"experiment": config.experiment, "variant": config.variant, "fallback": None}
    found = (c for _, c in _everything() if c.seed == config.seed and c.method == config.method)
    others = (c for c in found if c.experiment != config.experiment and not isinstance(c, Study))
    return [c for c in others if dataclasses.replace(c, **labels) == config]


@cache
def _profiles() -> dict[str, str]:
    pairs = {}
    for profile, config in _everything():
        pairs[config.name] = profile
        if config.fallback is not None:
            pairs.setdefault(_stand_in(config, config.fallback).name, profile)
    return pairs


def profile_of(config: Config) -> str:
    """The profile a configuration belongs to, "custom" if none."""
    return _profiles().get(config.name, "custom")


def resolve(config: Config) -> Config:
    """The configuration with the data set that would be loaded, the fallback if need be."""
    if config.fallback is None:
        return config
    split = data.load(config.dataset, fallback=config.fallback)
    return _stand_in(config, split.name)


def _stand_in(config: Config, dataset: str) -> Config:
    """The configuration, and its parent, on another data set: with as small a small network, and
    attacked at the headline radius of that data set.
    """
    changes: dict[str, Any] = {"dataset": dataset, "fallback": None}
    if config.parent is not None:
        changes["parent"] = _stand_in(config.parent, dataset)
    if isinstance(config, Study):
        changes["hidden"] = changes["parent"].hidden
        old, new = HEADLINE_RADIUS[config.dataset], HEADLINE_RADIUS[dataset]
        if config.experiment == "attack_curves":
            changes["radii"] = tuple(sorted({*config.radii, new}))
        elif dataset != config.dataset:
            changes["radii"] = tuple(r / old * new for r in config.radii)
    elif config.method == "dense_small" and dataset != config.dataset:
        changes["hidden"] = small_widths(NETWORKS[config.experiment]["hidden"], dataset)
    return dataclasses.replace(config, **changes)
