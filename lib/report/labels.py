"""The one table of names that people read, and of the looks that go with them.

It starts with what belongs to no paper; the rooms of the papers add their :class:`Labels`.
The order of the tables is the order in tables and legends.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

GREY = "#aaaaaa"

Look = dict[str, Any]
Contrast = tuple[str, str]  # method, minus method


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
}
CONTENDERS = {  # of the benchmark
    "fused": look("this library", "#0173b2", "-", marker="o"),
    "modular": look("this library, by modules", "#56b4e9", "-", marker="o"),
    "torch_sparse": look("torch.sparse", "#de8f05", "--", marker="s"),
    "sparselab": look("sparselab", "#cc78bc", "--", marker="D"),
    "masked": look("masked dense", "#949494", ":", marker="v"),
    "dense_modules": look("dense, plain", "#555555", ":", marker="<"),
    "dense": look("dense", "#000000", ":", marker="^"),
    "floor": look("floor: products alone", "#029e73", "-", marker="."),
}
METHOD_LOOKS: dict[str, Look] = {}
NETWORK_NAMES: dict[str, str] = {}
CONTRASTS: dict[str, Contrast] = {}


@dataclass(frozen=True)
class Labels:
    """What a paper's room adds to the tables, each in the order of its legend.

    Args:
        methods: {name: its :func:`look`}.
        networks: {name of the experiment: text}.
        contrasts: {text of the question: (method, minus method)}.
    """

    methods: Mapping[str, Look] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)
    contrasts: Mapping[str, Contrast] = field(default_factory=dict)


def add(labels: Labels) -> None:
    """Add the labels of a room to the tables; equal entries may be added again.

    Raises: ValueError if one of the names is known with another look; then none is added.
    """
    additions = (
        ("method", METHOD_LOOKS, labels.methods),
        ("network", NETWORK_NAMES, labels.networks),
        ("contrast", CONTRASTS, labels.contrasts),
    )
    for kind, known, added in additions:
        _check_same(kind, known, added)
    for _, known, added in additions:
        known.update(added)


def _check_same(kind: str, known: Mapping[str, Any], added: Mapping[str, Any]) -> None:
    for name, label in added.items():
        if known.get(name, label) != label:
            raise ValueError(
                f"{kind} {name!r} is labelled {known[name]!r} already, "
                f"and cannot be labelled {label!r} too: choose another name"
            )


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
    return DATASET_NAMES.get(name, name)


def methods_in(names: Iterable[str]) -> list[str]:
    """The methods of a column, each once: in the order of METHOD_LOOKS, unknown ones behind."""
    return _in_order(names, METHOD_LOOKS)


def contrasts_in(names: Iterable[str]) -> list[str]:
    """The contrasts of a column, each once: in the order of CONTRASTS, unknown ones behind."""
    return _in_order(names, CONTRASTS)


def _in_order(names: Iterable[str], known: Iterable[str]) -> list[str]:
    different = dict.fromkeys(names)
    ordered = [name for name in known if name in different]
    unknown = [name for name in different if name not in ordered]
    return ordered + unknown
