"""Networks, methods and their settings, and the runs that they make.

A new method is an entry of :data:`METHODS`, its look in :mod:`papers.shared.labels`, and its
name in what an experiment compares, as ``COMPARED`` of
:mod:`papers.adaptive_topology.experiments`. Settings chosen for it stand in :data:`CHOSEN`;
without them it has the defaults of ``SparseTraining``.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from lib import data
from lib.runs.config import Run
from papers.shared.sparse_training import SparseTraining
from papers.shared.tables import Fields, Table, grid, part

# What each method changes; settings by network, chosen on validation data: see `tuning`.
METHODS: dict[str, Fields] = {
    "set": {"drop": "sign"},
    "rigl": {"drop": "magnitude", "grow": "gradient"},
    "preferential": {"drop": "sign", "grow": "preferential"},
    "ch3_l3": {"drop": "magnitude", "grow": "ch3_l3"},
    "set_random_removal": {"drop": "random"},
    "set_largest_removal": {"drop": "largest"},
    "fixed": {},
    "fixed_final": {"er_epsilon": 14.0},  # of the 20 those that SET keeps at the end
    "dense": {"density": None, "er_epsilon": None},
    "dense_small": {},
    "dense_working": {},  # dense, of the widths that RigL leaves working
    "set_retrained": {"inherits": "support"},
    "set_rewired": {"inherits": "degrees"},
    "dense_pruned": {"inherits": "largest"},
}
PARENTS = {"set_retrained": "set", "set_rewired": "set", "dense_pruned": "dense"}
GROWTH = ("set", "rigl", "preferential", "ch3_l3")
NARROW, WIDE = "adaptive_topology", "adaptive_topology_1568"
ER_20 = {"hidden": (1000, 1000, 1000), "er_epsilon": 20.0}
NETWORKS: dict[str, Fields] = {
    "set_mlp": ER_20,
    NARROW: {"hidden": (1000, 1000, 1000), "density": 0.01},
    WIDE: {"hidden": (1568, 1568, 1568), "density": 0.01},
}
N_FEATURES = {"digits": 64, "mnist": 784, "fashion_mnist": 784}

# Chosen on validation data, by network and method, see `tuning`.
CHOSEN: dict[tuple[str, str], Fields] = {
    ("set_mlp", "set"): {"learning_rate": 0.3, "dropout": 0.1},
    ("set_mlp", "fixed"): {"learning_rate": 0.3, "dropout": 0.1},
    ("set_mlp", "dense"): {"learning_rate": 0.3, "dropout": 0.3},  # as adaptive_topology's
    ("set_mlp", "fixed_final"): {"learning_rate": 0.3, "dropout": 0.1},  # as fixed
    ("set_mlp", "set_random_removal"): {"learning_rate": 0.3, "dropout": 0.1},  # as SET
    ("time_to_accuracy", "set"): {"learning_rate": 0.3, "dropout": 0.1},  # as set_mlp's
    ("time_to_accuracy", "dense"): {"learning_rate": 0.3, "dropout": 0.1},
    (WIDE, "set"): {"learning_rate": 0.3, "dropout": 0.2, "decay": "cosine"},
    (WIDE, "rigl"): {"learning_rate": 0.3, "dropout": 0.1, "decay": "cosine"},
    (WIDE, "preferential"): {"learning_rate": 0.3, "dropout": 0.2},
    (WIDE, "ch3_l3"): {"learning_rate": 0.3, "dropout": 0.2, "decay": "cosine"},
    (WIDE, "fixed"): {"learning_rate": 0.3, "dropout": 0.1},
    (NARROW, "set"): {"learning_rate": 0.3, "dropout": 0.1, "decay": "cosine"},
    (NARROW, "rigl"): {"learning_rate": 0.3, "dropout": 0.1, "decay": "cosine"},
    (NARROW, "set_random_removal"): {"learning_rate": 0.3, "dropout": 0.1, "decay": "cosine"},
    (NARROW, "fixed"): {"learning_rate": 0.3, "dropout": 0.1},
    (NARROW, "dense"): {"learning_rate": 0.3, "dropout": 0.3},
    (NARROW, "dense_small"): {"learning_rate": 0.1, "dropout": 0.1},
    (NARROW, "set_retrained"): {"learning_rate": 0.3, "dropout": 0.1},  # links stay: as fixed
    (NARROW, "set_rewired"): {"learning_rate": 0.3, "dropout": 0.1},
    (NARROW, "dense_pruned"): {"learning_rate": 0.3, "dropout": 0.1},
}
FIXED_ON_HIGGS: Fields = {"learning_rate": 0.1, "dropout": 0.3, "schedule": "constant"}
# What differs where a data set has a grid of its own.
CHOSEN_ON: dict[tuple[str, str, str], Fields] = {
    (NARROW, "set", "fashion_mnist"): {"dropout": 0.3},
    (NARROW, "set_random_removal", "fashion_mnist"): {"dropout": 0.3},  # as SET
    ("set_mlp", "set", "higgs"): {"learning_rate": 0.1, "dropout": 0.2, "schedule": "constant"},
    ("set_mlp", "fixed", "higgs"): FIXED_ON_HIGGS,
    ("set_mlp", "fixed_final", "higgs"): FIXED_ON_HIGGS,
    ("set_mlp", "dense", "higgs"): {"learning_rate": 0.1, "dropout": 0.2},
}
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


def chosen_settings(network: str, method: str, dataset: str) -> Fields:
    """The settings of a method on a network; {} if none were chosen."""
    place = network, method, dataset.removesuffix("_sample")  # of HIGGS, on which they were chosen
    return {**CHOSEN.get((network, method), {}), **CHOSEN_ON.get(place, {})}


def trainings(
    experiment: str,
    *,
    kind: type[Run] = SparseTraining,
    tuned_as: str = "",
    fallback: Fields | None = None,
    differences: dict[str, dict[Any, Fields]] | None = None,
    if_here: bool = False,
    **settings: Any,
) -> list:
    """The runs of a table of settings.

    Args:
        experiment: whose runs they are.
        kind: of the runs.
        tuned_as: the network whose :data:`CHOSEN` settings they take.
        fallback: what differs in the run that stands in where a data set cannot be had.
        differences, settings: see :func:`papers.shared.tables.grid`; methods differ by
            :data:`METHODS` besides, and small dense networks in their widths.
        if_here: leave the runs out where their data would have to be fetched first.
    """
    if if_here and not data.is_here(*settings["dataset"]):
        return []
    told = {"kind": kind, "tuned_as": tuned_as, "differences": differences}

    def made(point: Fields) -> Run:
        method, dataset = point.get("method"), point["dataset"]
        fields = {**point, **chosen_settings(tuned_as, method, dataset)}
        if method == "dense_small":
            fields["hidden"] = small_widths(point["hidden"], dataset, point["density"])
            fields["density"] = None
        if method in PARENTS:
            of_parent = {"method": [PARENTS[method]], "dataset": [dataset], "seed": [point["seed"]]}
            (fields["parent"],) = trainings(experiment, **told, **{**settings, **of_parent})
        return kind(experiment, **fields)

    runs = []
    differences = {"method": METHODS, **(differences or {})}
    for point in grid(settings, differences):
        run = made(point)
        if fallback is not None:
            of_method = differences["method"].get(run.method, {})
            run = dataclasses.replace(run, stand_in=made({**point, **fallback, **of_method}))
        runs.append(run)
    return runs


QUICK: Fields = {"limit": 10_000}  # examples of large data sets, in the profile "quick"


def tabled(experiment: str, profile: str, *parts: Table, kind: type[Run] = SparseTraining) -> list:
    """The runs of the parts of an experiment that have some in a profile, see
    :func:`trainings`.
    """
    runs = []
    for table in parts:
        if profile in table:
            runs += trainings(experiment, **{"kind": kind, **table[profile]})
    return runs


def profiled(
    network: str, profile: str, methods: Iterable[str], **changes: Any
) -> list[SparseTraining]:
    """Methods on a network, with the settings chosen for them, in the scale of a profile.

    Args:
        network: of :data:`NETWORKS`, with narrow layers in the profile "smoke".
        methods: names, see :data:`METHODS`.
        changes: of other settings.
    """
    paper: Fields = {
        **NETWORKS[network],
        "tuned_as": network,
        "dataset": ["mnist", "fashion_mnist"],
        "method": [*methods],
        "epochs": {"dense_pruned": 50, "others": 150},  # after the 150 of what is pruned
        "seed": range(5),
    }
    narrow = {"hidden": tuple(width // 5 for width in paper["hidden"])}
    table = part(paper, smoke=narrow, quick={**QUICK, "dataset": ["mnist"]})
    return trainings(network, **{**table[profile], **changes})


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
