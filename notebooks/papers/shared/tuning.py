"""How settings are chosen: on validation images, by grids; each says for which methods it is."""

from dataclasses import dataclass
from itertools import product
from typing import Any

from lib.runs.experiment import keep_nothing
from papers.shared.methods import GROWTH, METHODS, NETWORKS, Fields, training_runs
from papers.shared.sparse_training import SparseTraining
from papers.shared.training import training

Runs = list[SparseTraining]


@dataclass(frozen=True)
class Grid:
    """The values that are tried for all methods of a network on one data set.

    Args:
        network: of an experiment, see :data:`papers.shared.methods.NETWORKS`.
        methods: names.
        epochs: by method, see :func:`papers.shared.methods.training_runs`.
        tried: values by field.
        dataset: name.
    """

    network: str
    methods: tuple[str, ...]
    epochs: dict[str, int]
    tried: dict[str, tuple]
    dataset: str = "mnist"


_SPARSE_40 = {"sparse": 40, "dense": 6}
_LOW, _HIGH = (0.01, 0.03, 0.1), (0.03, 0.1, 0.3)
_SCHEDULES = ("constant", "cosine")
_COURSES = ("constant", "cosine")  # of the drop fraction
_BASIC = ("set", "fixed", "dense")


def _crosses(network: str, methods: tuple[str, ...], dataset: str) -> list[Grid]:
    """Five settings for 60 epochs, where a product of values would take the dense network hours:
    the dropout at the middle rate, and the rate at the middle dropout.
    """
    evolving = {"decay": ("cosine",)} if "drop" in METHODS[methods[0]] else {}
    rates = {"learning_rate": (0.1, 0.5), "dropout": (0.3,)}
    dropouts = {"learning_rate": (0.3,), "dropout": (0.1, 0.3, 0.5)}
    return [
        Grid(network, methods, {"sparse": 60}, {**tried, **evolving}, dataset)
        for tried in (dropouts, rates)
    ]


GRIDS = (
    Grid(
        "set_mlp",
        _BASIC,
        _SPARSE_40,
        {"learning_rate": _HIGH, "dropout": (0.1, 0.2, 0.3)},
    ),
    Grid(
        "set_mlp",
        _BASIC,
        _SPARSE_40,
        {"learning_rate": _LOW, "dropout": (0.2, 0.3), "schedule": _SCHEDULES},
    ),
    Grid(
        "set_mlp",
        _BASIC,
        _SPARSE_40,
        {"learning_rate": (0.1, 0.3), "dropout": (0.1,), "schedule": ("constant",)},
    ),
    Grid(
        "set_mlp",
        _BASIC,
        {"sparse": 20},
        {"learning_rate": _LOW, "dropout": (0.2, 0.3), "schedule": _SCHEDULES},
        dataset="higgs_sample",
    ),
    Grid(
        "adaptive_topology_1568",
        (*GROWTH, "fixed"),
        {"sparse": 20},
        {"learning_rate": (0.1, 0.3), "dropout": (0.1, 0.2), "decay": _COURSES},
    ),
    Grid(
        "adaptive_topology_1568",
        (*GROWTH, "fixed"),
        {"sparse": 60},
        {"learning_rate": (0.3,), "dropout": (0.1, 0.2), "decay": _COURSES},
    ),
    Grid(
        "adaptive_topology_1568",
        ("set", "rigl"),
        {"sparse": 60},
        {"learning_rate": (0.1, 0.3), "dropout": (0.1, 0.2, 0.3), "decay": ("cosine",)},
        dataset="fashion_mnist",
    ),
    Grid(
        "adaptive_topology_1568",
        ("preferential",),
        {"sparse": 60},
        {"learning_rate": (0.3,), "dropout": (0.1, 0.2, 0.3), "decay": ("constant",)},
        dataset="fashion_mnist",
    ),
    Grid(
        "adaptive_topology",
        ("set", "rigl", "set_random_removal", "fixed", "dense_small"),
        {"sparse": 20},
        {"learning_rate": (0.1, 0.3), "dropout": (0.1, 0.2), "decay": _COURSES},
    ),
    *_crosses("set_mlp", ("dense",), "mnist"),  # the same dense network
    *_crosses("adaptive_topology", ("dense",), "mnist"),
    *_crosses("adaptive_topology", ("dense", "fixed"), "fashion_mnist"),
    *_crosses("adaptive_topology", ("set", "rigl"), "fashion_mnist"),
    *(
        Grid(
            "adaptive_topology",
            ("dense_small",),
            {"sparse": 60},
            {"learning_rate": (0.03, 0.1), "dropout": (0.1, 0.2, 0.3)},
            dataset,
        )
        for dataset in ("mnist", "fashion_mnist")
    ),
)

VALIDATED: Fields = {
    "datasets": ("mnist",),
    "validation": 5000,
    "seeds": 1,
    "evaluate_test": False,
}
VALIDATED_SMALL: Fields = {**VALIDATED, "datasets": ("digits",), "validation": 200}
DENSE_EPOCHS = (10, 20)  # tried on validation images


def scale_of(profile: str) -> Fields:
    """How the runs of a profile are validated."""
    return VALIDATED if profile == "paper" else VALIDATED_SMALL


def configs(profile: str) -> Runs:
    """The grids of every network, on 5,000 validation examples; no test examples.

    A learning rate of 1 was tried as well: there every method diverges within the first epoch, as
    the small dense network does at .3 (these points have no record). The lowest rate of the first
    network, .01, was best for no method, and is left out at the others. SET and RigL are also tried
    with both courses of the drop fraction there; at the wide network the better rate is tried once
    more for 60 epochs, and the choice is checked on Fashion-MNIST for three rules. Last, the dense
    network for several numbers of epochs, on both data sets.
    """
    tried = dict.fromkeys((part.network, part.dataset) for part in GRIDS)
    runs: Runs = []
    for network, dataset in tried:
        runs += grid(network, dataset, profile)
    return _distinct(runs + dense_epochs(profile))


def dense_epochs(profile: str) -> Runs:
    """The dense network for several numbers of epochs, as chosen at 6 epochs."""
    scale = {**scale_of(profile), "learning_rate": 0.3, "dropout": 0.1, "variant": "epochs"}
    epochs: tuple[int, ...] = (1,)
    if profile == "paper":
        scale["datasets"] = ("mnist", "fashion_mnist")
        epochs = DENSE_EPOCHS
    runs: Runs = []
    for n in epochs:
        runs += training_runs("tuning", {}, ("dense",), epochs={"sparse": n}, **scale)
    return runs


def grid(network: str, dataset: str, profile: str) -> Runs:
    """Every point of the grids of a network on a data set, once."""
    runs: Runs = []
    for part in GRIDS:
        if (part.network, part.dataset) == (network, dataset):
            runs += _points(part, profile)
    return _distinct(runs)


def _points(part: Grid, profile: str) -> Runs:
    epochs, tried, scale = part.epochs, part.tried, scale_of(profile)
    if profile == "paper":
        scale = {**scale, "datasets": (part.dataset,)}
    else:
        epochs = {"sparse": 1}
        tried = {field: values[:1] for field, values in tried.items()}
    runs: Runs = []
    for method, *values in product(part.methods, *tried.values()):
        point = dict(zip(tried, values, strict=True))
        if point.get("decay") == "cosine" and "drop" not in METHODS[method]:
            continue  # a support that is fixed has no drop fraction
        changes: dict[str, Any] = {**scale, "variant": "grid", "epochs": epochs, **point}
        runs += training_runs("tuning", NETWORKS[part.network], (method,), **changes)
    return runs


def _distinct(runs: Runs) -> Runs:
    return list({run.name: run for run in runs}.values())


TUNING = training("tuning", configs, keep_nothing)
