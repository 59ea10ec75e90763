"""How settings are chosen: grids, the same for every method of a network, on validation images."""

from itertools import product
from typing import Any

from lib.config import Config
from lib.methods import CHOSEN, GROWTH, METHODS, NETWORKS, runs

_SPARSE_40 = {"sparse": 40, "dense": 6}
_LOW, _HIGH = (0.01, 0.03, 0.1), (0.03, 0.1, 0.3)
_BOTH_SCHEDULES = ("constant", "cosine")
GRIDS: list[dict[str, Any]] = [  # grids: a network, a data set, methods, epochs, values tried
    {
        "network": "set_mlp", "methods": ("set", "fixed", "dense"), "epochs": _SPARSE_40,
        "learning_rate": _HIGH, "dropout": (0.1, 0.2, 0.3),
    },
    {
        "network": "set_mlp", "methods": ("set", "fixed", "dense"), "epochs": _SPARSE_40,
        "learning_rate": _LOW, "dropout": (0.2, 0.3), "schedule": _BOTH_SCHEDULES,
    },
    {
        "network": "set_mlp", "methods": ("set", "fixed", "dense"), "epochs": _SPARSE_40,
        "learning_rate": (0.1, 0.3), "dropout": (0.1,), "schedule": ("constant",),
    },
    {
        "network": "set_mlp", "dataset": "higgs_sample", "methods": ("set", "fixed", "dense"),
        "epochs": {"sparse": 20}, "learning_rate": _LOW, "dropout": (0.2, 0.3),
        "schedule": _BOTH_SCHEDULES,
    },
    {
        "network": "adaptive_topology_1568", "methods": (*GROWTH, "fixed"),
        "epochs": {"sparse": 20}, "learning_rate": (0.1, 0.3), "dropout": (0.1, 0.2),
        "decay": ("constant", "cosine"),
    },
    {
        "network": "adaptive_topology_1568", "methods": (*GROWTH, "fixed"),
        "epochs": {"sparse": 60}, "learning_rate": (0.3,), "dropout": (0.1, 0.2),
        "decay": ("constant", "cosine"),
    },
    {
        "network": "adaptive_topology_1568", "dataset": "fashion_mnist",
        "methods": ("set", "rigl"), "epochs": {"sparse": 60},
        "learning_rate": (0.1, 0.3), "dropout": (0.1, 0.2, 0.3), "decay": ("cosine",),
    },
    {
        "network": "adaptive_topology_1568", "dataset": "fashion_mnist",
        "methods": ("preferential",), "epochs": {"sparse": 60},
        "learning_rate": (0.3,), "dropout": (0.1, 0.2, 0.3), "decay": ("constant",),
    },
    {
        "network": "adaptive_topology", "epochs": {"sparse": 20},
        "methods": ("set", "rigl", "set_random_removal", "fixed", "dense_small"),
        "learning_rate": (0.1, 0.3), "dropout": (0.1, 0.2), "decay": ("constant", "cosine"),
    },
]  # fmt: skip


VALIDATED = {
    "paper": {"datasets": ("mnist",), "validation": 5000, "seeds": 1, "evaluate_test": False}
}
for _profile in ("smoke", "quick"):
    VALIDATED[_profile] = {**VALIDATED["paper"], "datasets": ("digits",), "validation": 200}
DENSE_EPOCHS = (10, 20)  # tried on validation images


def tuned_methods(experiment: str, dataset: str = "mnist") -> set[str]:
    """The methods whose settings were tuned on the network of an experiment and a data set."""
    return {c.method for c in grid(experiment, dataset, "paper")}


def tuned(experiment: str, method: str, dataset: str = "mnist") -> list[Config]:
    """The configurations that decide a method's settings at the network of an experiment: of the
    grid, those that trained longest.
    """
    found = [c for c in grid(experiment, dataset, "paper") if c.method == method]
    if experiment == "adaptive_topology":  # after a constant fraction links would be fewer
        found = [c for c in found if c.drop is None or c.decay == "cosine"]
    return [c for c in found if c.epochs == max(c.epochs for c in found)]


def tuning(experiment: str, profile: str) -> list[Config]:
    """The grids, the same for every method of a network, on 5,000 validation examples; no test
    examples.

    A learning rate of 1 was tried as well: there every method diverges within the first epoch, as
    the small dense network does at .3 (these points have no record). What was not best for any
    method of the first network, the lowest learning rate and the strongest dropout, is left out at
    the others. SET and RigL are also tried with both courses of the drop fraction there; at the
    wide network the better rate is tried once more for 60 epochs, and the choice is checked on
    Fashion-MNIST for three rules. Last, the dense network for several numbers of epochs, on both
    data sets.
    """
    tried = dict.fromkeys((part["network"], part.get("dataset", "mnist")) for part in GRIDS)
    configs = [c for network, dataset in tried for c in grid(network, dataset, profile)]
    scale, epochs = VALIDATED[profile], DENSE_EPOCHS if profile == "paper" else (1,)
    scale = {**scale, "variant": "epochs", **CHOSEN["adaptive_topology", "dense"]}
    if profile == "paper":
        scale["datasets"] = ("mnist", "fashion_mnist")
    for n in epochs:
        configs += runs(experiment, {}, ("dense",), epochs={"sparse": n}, **scale)
    return list({c.name: c for c in configs}.values())


def grid(network: str, dataset: str, profile: str) -> list[Config]:
    """Every point of the grids of a network on a data set, once."""
    configs = []
    for part in GRIDS:
        values = {k: v for k, v in part.items() if isinstance(v, tuple) and k != "methods"}
        if (part["network"], part.get("dataset", "mnist")) != (network, dataset):
            continue
        epochs = part["epochs"]
        if profile != "paper":
            epochs, values = {"sparse": 1}, {k: v[:1] for k, v in values.items()}
        for method, *point in product(part["methods"], *values.values()):
            point = dict(zip(values, point, strict=True))
            if point.get("decay") == "cosine" and "drop" not in METHODS[method]:
                continue
            scale = VALIDATED[profile] | {"variant": "grid", "epochs": epochs, **point}
            if profile == "paper":
                scale["datasets"] = (dataset,)
            configs += runs("tuning", NETWORKS[network], (method,), **scale)
    return list({c.name: c for c in configs}.values())
