"""The one table of names that people read, and of the looks that go with them.

It starts with what belongs to no paper; the rooms of the papers add their :class:`Labels`.
The order of the tables is the order in tables and legends.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lib import data

GREY = "#aaaaaa"
SEQUENTIAL = "cividis"  # of every map: the brighter the more
SIGNED = "PuOr"  # of numbers of both signs: orange below 0, violet above

Look = dict[str, Any]


def look(label: str, color: str, ls: str | tuple, **others: Any) -> Look:
    """How a line is drawn, as :meth:`matplotlib.axes.Axes.plot` takes it."""
    return {"label": label, "color": color, "ls": ls, **others}


DATASET_NAMES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "higgs": "HIGGS",
    "higgs_sample": "HIGGS, sample of 25,977",
    "digits": "digits (scikit-learn, 8 × 8)",
    "adult": "Adult",
    "connect4": "Connect4",
    "dna": "DNA",
    "mushrooms": "Mushrooms",
    "nips": "NIPS",
    "ocr_letters": "OCR-letters",
    "web": "Web, own split",
    "caltech28": "CalTech silhouettes, own split",
    "rsmas": "RSMAS corals",
    "citrus_leaves": "citrus leaves",
    "rps28": "rock–paper–scissors, 28 × 28",
    "eye_fundus": "eye fundus",
}
FASHION = (
    "T-shirt",
    "trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "boot",
)
CONTENDERS = {  # of the benchmark
    "fused": look("this library", "#aa3377", "-", marker="o"),
    "modular": look("this library, by autograd", "#dd99bb", "-", marker="o"),
    "torch_sparse": look("torch.sparse", "#997700", "--", marker="s"),
    "sparseprop": look("SparseProp", "#b35900", "--", marker="X"),
    "sparselab": look("sparselab", "#4a3fa0", "--", marker="D"),
    "masked": look("masked dense", "#777777", ":", marker="v"),
    "dense_modules": look("dense, plain", "#555555", ":", marker="<"),
    "channels_last": look("dense, channels last", "#222222", ":", marker=">"),
    "dense": look("dense", "#000000", ":", marker="^"),
    "scikit_learn": look("scikit-learn", "#7a9a01", "--", marker="P"),
    "floor": look("floor: arithmetic, L2", "#66ccbb", "-", marker="."),
}
# What says what a row is of, in order; a room adds its own.
AXES = dict.fromkeys(("epoch", "radius", "strength", "fraction", "number", "draw"))
METHOD_LOOKS: dict[str, Look] = {}
NETWORK_NAMES: dict[str, str] = {}


@dataclass(frozen=True)
class Labels:
    """Additions of a paper's room to the tables, each in the order of its legend.

    Args:
        methods: {name: its :func:`look`}.
        networks: {name of the experiment: text}.
        axes: columns of its metrics whose numbers say what a row is of, as an epoch does
            (:func:`lib.report.frames.tidy`).
    """

    methods: Mapping[str, Look] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)
    axes: tuple[str, ...] = ()


def add(labels: Labels) -> None:
    """Add the labels of a room to the tables; equal entries may be added again.

    Raises: ValueError if one of the names is known with another look; then none is added.
    """
    additions = (
        ("method", METHOD_LOOKS, labels.methods),
        ("network", NETWORK_NAMES, labels.networks),
    )
    for kind, known, added in additions:
        for name, label in added.items():
            if known.get(name, label) != label:
                raise ValueError(
                    f"{kind} {name!r} is labelled {known[name]!r} already, "
                    f"and cannot be labelled {label!r} too: choose another name"
                )
    for _, known, added in additions:
        known.update(added)
    AXES.update(dict.fromkeys(labels.axes))


def method(name: str) -> Look:
    """The look of a method; grey and solid, under its raw name, where none was added."""
    plain = look(name, GREY, "-")
    return dict(METHOD_LOOKS.get(name, plain))


def method_name(name: str) -> str:
    """How a method is written."""
    return method(name)["label"]


def network(name: str) -> str:
    """How the network of an experiment is written; its raw name where none was added."""
    return NETWORK_NAMES.get(name, name)


def dataset(name: str) -> str:
    """How a data set is written in a figure."""
    return DATASET_NAMES.get(name, data.label(name))


def class_name(dataset: str, number: int) -> str:
    """How a class is written."""
    return FASHION[number] if dataset == "fashion_mnist" else str(number)


def datasets_in(names: Iterable[str]) -> list[str]:
    """The data sets of a column, each once: in the order of DATASET_NAMES, unknown ones behind."""
    return _in_order(names, DATASET_NAMES)


def methods_in(names: Iterable[str]) -> list[str]:
    """The methods of a column, each once: in the order of METHOD_LOOKS, unknown ones behind."""
    return _in_order(names, METHOD_LOOKS)


def _in_order(names: Iterable[str], known: Iterable[str]) -> list[str]:
    different = dict.fromkeys(names)
    ordered = [name for name in known if name in different]
    unknown = [name for name in different if name not in ordered]
    return ordered + unknown
