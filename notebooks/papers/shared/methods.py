"""Networks, methods and their settings, and the runs that they make.

A new method is an entry of :data:`METHODS`, its look in :mod:`papers.shared.labels`, and its
name in what an experiment compares, as ``COMPARED`` of
:mod:`papers.adaptive_topology.experiments`. Settings chosen for it stand in :data:`CHOSEN`;
without them it has the defaults of ``SparseTraining``.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import pairwise, product
from typing import Any

from papers.shared.sparse_training import SparseTraining

Fields = dict[str, Any]

# What each method changes; settings by network, chosen on validation data: see `tuning`.
METHODS: dict[str, Fields] = {
    "set": {"drop": "sign"},
    "rigl": {"drop": "magnitude", "grow": "gradient"},
    "preferential": {"drop": "sign", "grow": "preferential"},
    "ch3_l3": {"drop": "magnitude", "grow": "ch3_l3"},
    "set_random_removal": {"drop": "random"},
    "set_largest_removal": {"drop": "largest"},
    "fixed": {},
    "fixed_final": {},  # as fixed, with as many links as SET keeps at the end
    "dense": {"density": None, "er_epsilon": None},
    "dense_small": {"density": None, "er_epsilon": None},
    "set_retrained": {"inherits": "support"},
    "set_rewired": {"inherits": "degrees"},
    "dense_pruned": {"inherits": "largest"},
}
PARENTS = {
    "set_retrained": "set",
    "set_rewired": "set",
    "dense_pruned": "dense",
}
GROWTH = ("set", "rigl", "preferential", "ch3_l3")
ER_20 = {"hidden": (1000, 1000, 1000), "er_epsilon": 20.0}
NETWORKS: dict[str, Fields] = {
    "set_mlp": ER_20,
    "adaptive_topology": {"hidden": (1000, 1000, 1000), "density": 0.01},
    "adaptive_topology_1568": {"hidden": (1568, 1568, 1568), "density": 0.01},
    "time_to_accuracy": ER_20,
}
N_FEATURES = {"digits": 64, "mnist": 784, "fashion_mnist": 784}

_FAST = {"learning_rate": 0.3, "dropout": 0.1}
_FALLING = {**_FAST, "decay": "cosine"}
_STRONG_DROPOUT = {"learning_rate": 0.3, "dropout": 0.2}
_DENSE = {"learning_rate": 0.3, "dropout": 0.3}
_CONSTANT = {"learning_rate": 0.1, "schedule": "constant"}
CHOSEN: dict[tuple[str, str], Fields] = {
    ("set_mlp", "set"): _FAST,
    ("set_mlp", "fixed"): _FAST,
    ("set_mlp", "dense"): _DENSE,  # of adaptive_topology's dense network, the same
    ("set_mlp", "fixed_final"): _FAST,  # as fixed
    ("set_mlp", "set_random_removal"): _FAST,  # as SET
    ("time_to_accuracy", "set"): _FAST,  # of set_mlp's networks, the same
    ("time_to_accuracy", "dense"): _FAST,
    ("adaptive_topology_1568", "set"): {**_STRONG_DROPOUT, "decay": "cosine"},
    ("adaptive_topology_1568", "rigl"): _FALLING,
    ("adaptive_topology_1568", "preferential"): _STRONG_DROPOUT,
    ("adaptive_topology_1568", "ch3_l3"): {**_STRONG_DROPOUT, "decay": "cosine"},
    ("adaptive_topology_1568", "fixed"): _FAST,
    ("adaptive_topology", "set"): _FALLING,
    ("adaptive_topology", "rigl"): _FALLING,
    ("adaptive_topology", "set_random_removal"): _FALLING,
    ("adaptive_topology", "fixed"): _FAST,
    ("adaptive_topology", "dense"): _DENSE,
    ("adaptive_topology", "dense_small"): {"learning_rate": 0.1, "dropout": 0.1},
    ("adaptive_topology", "set_retrained"): _FAST,  # static supports: as fixed
    ("adaptive_topology", "set_rewired"): _FAST,
    ("adaptive_topology", "dense_pruned"): _FAST,
}
_FALLING_STRONG = {**_FALLING, "dropout": 0.3}
CHOSEN_ON: dict[tuple[str, str, str], Fields] = {  # where a data set has a grid of its own
    ("adaptive_topology", "set", "fashion_mnist"): _FALLING_STRONG,
    ("adaptive_topology", "set_random_removal", "fashion_mnist"): _FALLING_STRONG,  # as SET
    ("set_mlp", "set", "higgs_sample"): {**_CONSTANT, "dropout": 0.2},
    ("set_mlp", "fixed", "higgs_sample"): {**_CONSTANT, "dropout": 0.3},
    ("set_mlp", "fixed_final", "higgs_sample"): {**_CONSTANT, "dropout": 0.3},
    ("set_mlp", "dense", "higgs_sample"): {"learning_rate": 0.1, "dropout": 0.2},
}
for _network, _method, _dataset in list(CHOSEN_ON):
    if _dataset == "higgs_sample":
        CHOSEN_ON[_network, _method, "higgs"] = CHOSEN_ON[_network, _method, _dataset]
# The paper's own settings; what it leaves open, as the authors' released CIFAR-10 code has it.
PUBLISHED: Fields = {
    "variant": "published",
    "batch_size": 100,
    "learning_rate": 0.01,
    "schedule": "constant",
    "dropout": 0.3,
    "start": "glorot_uniform",
    "published_srelu": True,
}
SCALES: dict[str, Fields] = {  # of the runs of each profile
    "smoke": {"epochs": {"sparse": 3}, "seeds": 2, "datasets": ("digits",)},
    "quick": {"epochs": {"sparse": 3}, "seeds": 1, "fallback": "digits"},
    "paper": {
        "epochs": {"sparse": 150, "dense_pruned": 50},  # after the 150 of what is pruned
        "seeds": 5,
    },
}


def chosen_settings(experiment: str, method: str, dataset: str) -> Fields:
    """The settings of a method on the network of an experiment; {} if none were chosen."""
    of_network = CHOSEN.get((experiment, method), {})
    return CHOSEN_ON.get((experiment, method, dataset), of_network)


def training_runs(
    experiment: str,
    network: Fields,
    methods: Iterable[str],
    *,
    epochs: dict[str, int],
    seeds: int | range,
    datasets: Sequence[str] = ("mnist", "fashion_mnist"),
    fallback: str | None = None,
    **changes: Any,
) -> list[SparseTraining]:
    """One run for each data set, method and seed.

    Args:
        experiment: whose runs they are, and whose chosen settings they take.
        network: fields of the network.
        methods: names, see :data:`METHODS`.
        epochs: by method; ``epochs["sparse"]`` is that of the methods not named.
        seeds: their number, or which.
        datasets: names.
        fallback: data set that stands in where one cannot be had.
        changes: of other fields.
    """

    def of(method: str, dataset: str) -> list[SparseTraining]:
        fields = {**network, **METHODS[method], **chosen_settings(experiment, method, dataset)}
        if method == "dense_small":
            fields["hidden"] = small_widths(network["hidden"], dataset)
        elif method == "fixed_final":
            fields["er_epsilon"] *= 1 - SparseTraining.drop_fraction
        fields["epochs"] = epochs.get(method, epochs["sparse"])
        fields |= {"dataset": dataset, "method": method, **changes}
        chosen_seeds = range(seeds) if isinstance(seeds, int) else seeds
        parents = [None] * len(chosen_seeds)
        if method in PARENTS:
            parents = of(PARENTS[method], dataset)
        return [
            SparseTraining(experiment, seed=seed, parent=parent, **fields)
            for seed, parent in zip(chosen_seeds, parents, strict=True)
        ]

    runs = []
    for dataset, method in product(datasets, methods):
        of_method = of(method, dataset)
        if fallback is not None:
            pairs = zip(of_method, of(method, fallback), strict=True)
            of_method = [dataclasses.replace(run, stand_in=other) for run, other in pairs]
        runs += of_method
    return runs


def profiled(
    experiment: str, profile: str, methods: Iterable[str], **changes: Any
) -> list[SparseTraining]:
    """The runs of methods on the network of an experiment, in the scale of a profile.

    Args:
        experiment, methods: see :func:`training_runs`.
        profile: "smoke", in which networks of a density are narrow, "quick" or "paper".
        changes: of the scale; data sets are those of the profile "smoke" in any case.
    """
    scale = {**SCALES[profile], **changes}
    network = NETWORKS[experiment]
    if profile == "smoke":
        scale["datasets"] = SCALES["smoke"]["datasets"]
        if "density" in network:
            scale["seeds"] = 1
            network = narrowed(network)
    return training_runs(experiment, network, methods, **scale)


def narrowed(network: Fields) -> Fields:
    """The network with a fifth of the neurons in every hidden layer."""
    return {**network, "hidden": tuple(width // 5 for width in network["hidden"])}


def small_widths(hidden: Sequence[int], dataset: str, density: float = 0.01) -> tuple[int, ...]:
    """Hidden widths of ``dense_small``: the largest equal ones with no more links than the sparse
    network of this density (its dense output layer included) for a data set of ten classes.
    """
    n_in, depth = N_FEATURES[dataset], len(hidden)
    links = 10 * hidden[-1]
    for below, above in pairwise((n_in, *hidden)):
        links += round(density * below * above)
    width = 1
    while (n_in + 10) * (width + 1) + (depth - 1) * (width + 1) ** 2 <= links:
        width += 1
    return (width,) * depth
