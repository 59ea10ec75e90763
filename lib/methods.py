"""Networks, methods and their settings, and the runs that they make."""

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import pairwise, product
from typing import Any

from lib.config import Config

# What each method changes; settings by network, chosen on validation data: see `tuning`.
METHODS: dict[str, dict[str, Any]] = {
    "set": {"drop": "sign"},
    "rigl": {"drop": "magnitude", "grow": "gradient"},
    "preferential": {"drop": "sign", "grow": "preferential"},
    "ch3_l3": {"drop": "magnitude", "grow": "ch3_l3"},
    "set_random_removal": {"drop": "random"},
    "fixed": {},
    "fixed_final": {},  # as fixed, with as many links as SET keeps at the end
    "dense": {"density": None, "er_epsilon": None},
    "dense_small": {"density": None, "er_epsilon": None},
    "set_retrained": {"inherits": "support"},
    "set_rewired": {"inherits": "degrees"},
    "dense_pruned": {"inherits": "largest"},
}
ER_20 = {"hidden": (1000, 1000, 1000), "er_epsilon": 20.0}
PARENTS = {"set_retrained": "set", "set_rewired": "set", "dense_pruned": "dense"}
ADAPTIVE = ("set", "rigl", "set_random_removal", "fixed", "dense", "dense_small", *PARENTS)
GROWTH = ("set", "rigl", "preferential", "ch3_l3")
NETWORKS = {
    "set_mlp": ER_20,
    "adaptive_topology": {"hidden": (1000, 1000, 1000), "density": 0.01},
    "adaptive_topology_1568": {"hidden": (1568, 1568, 1568), "density": 0.01},
    "time_to_accuracy": ER_20,
}
N_FEATURES = {"digits": 64, "mnist": 784, "fashion_mnist": 784}
_FAST = {"learning_rate": 0.3, "dropout": 0.1}
_FALLING = {**_FAST, "decay": "cosine"}
_CONSTANT = {"learning_rate": 0.1, "schedule": "constant"}
CHOSEN: dict[tuple[str, str], dict[str, Any]] = {
    ("set_mlp", "set"): _FAST,
    ("set_mlp", "fixed"): _FAST,
    ("set_mlp", "dense"): _FAST,
    ("adaptive_topology_1568", "set"): {"learning_rate": 0.3, "dropout": 0.2, "decay": "cosine"},
    ("adaptive_topology_1568", "rigl"): _FALLING,
    ("adaptive_topology_1568", "preferential"): {"learning_rate": 0.3, "dropout": 0.2},
    ("adaptive_topology_1568", "ch3_l3"): {**_FALLING, "dropout": 0.2},
    ("adaptive_topology_1568", "fixed"): _FAST,
    ("adaptive_topology", "set"): _FALLING,
    ("adaptive_topology", "rigl"): _FALLING,
    ("adaptive_topology", "set_random_removal"): _FALLING,
    ("adaptive_topology", "fixed"): _FAST,
    ("adaptive_topology", "dense"): _FAST,  # of set_mlp's dense network, the same
    ("adaptive_topology", "dense_small"): {"learning_rate": 0.1, "dropout": 0.1},
}
CHOSEN["set_mlp", "fixed_final"] = CHOSEN["set_mlp", "fixed"]
CHOSEN["set_mlp", "set_random_removal"] = CHOSEN["set_mlp", "set"]
for _method in ("set", "dense"):
    CHOSEN["time_to_accuracy", _method] = CHOSEN["set_mlp", _method]
for _method in PARENTS:  # static supports: as fixed
    CHOSEN["adaptive_topology", _method] = CHOSEN["adaptive_topology", "fixed"]
CHOSEN_ON: dict[tuple[str, str, str], dict[str, Any]] = {  # where a data set has a grid of its own
    ("set_mlp", "set", "higgs_sample"): {**_CONSTANT, "dropout": 0.2},
    ("set_mlp", "fixed", "higgs_sample"): {**_CONSTANT, "dropout": 0.3},
    ("set_mlp", "fixed_final", "higgs_sample"): {**_CONSTANT, "dropout": 0.3},
    ("set_mlp", "dense", "higgs_sample"): {"learning_rate": 0.1, "dropout": 0.2},
}
CHOSEN_ON |= {(*key[:2], "higgs"): settings for key, settings in CHOSEN_ON.items()}
# The paper's own settings; what it leaves open, as the authors' released CIFAR-10 code has it.
PUBLISHED = {
    "variant": "published", "batch_size": 100, "learning_rate": 0.01, "schedule": "constant",
    "dropout": 0.3, "start": "glorot_uniform", "published_srelu": True,
}  # fmt: skip


def runs(
    experiment: str,
    network: dict[str, Any],
    methods: Iterable[str],
    *,
    epochs: dict[str, int],
    seeds: int,
    datasets: Sequence[str] = ("mnist", "fashion_mnist"),
    **changes: Any,
) -> list[Config]:
    """One configuration for each data set, method and seed; ``epochs["sparse"]`` is the rest's."""
    configs = []
    for dataset, method in product(datasets, methods):
        chosen = CHOSEN.get((experiment, method), {})
        chosen = CHOSEN_ON.get((experiment, method, dataset), chosen)
        fields = {**network, **METHODS[method], **chosen}
        if method == "dense_small":
            fields["hidden"] = small_widths(network["hidden"], dataset)
        elif method == "fixed_final":
            fields["er_epsilon"] *= 1 - Config.drop_fraction
        fields["epochs"] = epochs.get(method, epochs["sparse"])
        fields.update(dataset=dataset, method=method, **changes)
        found = [Config(experiment, seed=seed, **fields) for seed in range(seeds)]
        if method in PARENTS:
            scale = {"epochs": epochs, "seeds": seeds, "datasets": (dataset,), **changes}
            parents = runs(experiment, network, (PARENTS[method],), **scale)
            found = [dataclasses.replace(c, parent=p) for c, p in zip(found, parents, strict=True)]
        configs += found
    return configs


def small_widths(hidden: Sequence[int], dataset: str) -> tuple[int, ...]:
    """Hidden widths of ``dense_small``: the largest equal ones with no more links than the sparse
    network of density .01 (its dense output layer included) for a data set of ten classes.
    """
    n_in, depth = N_FEATURES[dataset], len(hidden)
    links = sum(round(0.01 * a * b) for a, b in pairwise((n_in, *hidden))) + 10 * hidden[-1]
    width = 1
    while (n_in + 10) * (width + 1) + (depth - 1) * (width + 1) ** 2 <= links:
        width += 1
    return (width,) * depth
