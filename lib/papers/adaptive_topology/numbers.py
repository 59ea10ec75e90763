"""What the records of networks and of studies say of each network, one number a row."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from lib.papers.adaptive_topology.attacking import HEADLINE_RADIUS
from lib.papers.shared import trained
from lib.papers.shared.study import Study
from lib.robustness import areas, attacks
from lib.runs.config import Run
from lib.runs.record import Record

KEY = ["dataset", "network", "method", "seed"]
MEASURED = [  # columns of the tables of all studies
    "order",
    "scope",
    "draw",
    "fraction",
    "removed",
    "accuracy",
    "component",
    "paths",
    "kind",
    "within",
    "strength",
    "attack",
    "norm",
    "radius",
    "target",
]
SINGLE_ATTACKS = {  # as a table names them
    "fgsm": "FGSM",
    "pgd": "PGD, 10 restarts",
    "square alone": "Square alone",
    "apgd_ce": "APGD-CE",
    "apgd_dlr": "then APGD-DLR",
    "square": "then Square",
}
PIXELS = {
    "all": "all pixels",
    "linked": "those RigL keeps",
    "random": "as many at random",
}
Numbers = dict[str, float]


def key(run: Run) -> dict[str, Any]:
    """Which network: data set, the experiment that trained it, method and seed."""
    training = run.parent if isinstance(run, Study) else run
    return {
        "dataset": run.dataset,
        "network": training.experiment,
        "method": run.method,
        "seed": run.seed,
    }


def tables(records: Iterable[Record]) -> pd.DataFrame:
    """The tables of the records of a study in one, with data set, network, method and seed.

    Of no records an empty one, with the columns of every study.
    """
    parts = [record.metrics.assign(**key(record.config)) for record in records]
    if not parts:
        return pd.DataFrame(columns=KEY + MEASURED)
    return pd.concat(parts, ignore_index=True)


def sum_up(records: Iterable[Record]) -> pd.DataFrame:
    """What the records of studies say of each network, one number a row; draws are averaged.

    Args:
        records: of studies and of training; others say nothing.
    Returns: columns dataset, network, method, seed, measure, value. Measures: accuracy (of all test
        images, after training); removal area, removal f50 and each order; shuffle area and each
        ``within``; layer shuffle (accuracy after shuffling all weights of one layer, mean of the
        layers), also above chance and relative to the whole network; pgd and ensemble (accuracy at
        the headline radius); deepfool, minimal and norm, and of fewer images other attacks
        (median distance).
    """
    rows = []
    for record in records:
        measure = NUMBERS.get(record.config.experiment)
        if measure is not None:
            for name, value in measure(record).items():
                rows.append({**key(record.config), "measure": name, "value": value})
    return pd.DataFrame(rows, columns=[*KEY, "measure", "value"])


def in_points(numbers: pd.DataFrame, measures: Iterable[str]) -> pd.DataFrame:
    """The rows of :func:`sum_up` with some measures, which are fractions, in points."""
    fractions = numbers["measure"].isin(list(measures))
    points = 100 * numbers["value"]
    return numbers.assign(value=numbers["value"].where(~fractions, points))


def survival(records: Iterable[Record], name: str, distances: Iterable[float]) -> pd.DataFrame:
    """Share of images beyond each distance of their adversarial point, for each record.

    Args:
        records: with the array ``name``, the distance of each image; others say nothing.
        name: as "deepfool.l2".
        distances: at which the share is taken.
    Returns: columns dataset, network, method, seed, attack (``name``), distance, share.
    """
    rows = []
    for record in records:
        if name not in record.arrays:
            continue
        for distance in distances:
            share = float((record.arrays[name] > distance).mean())
            row = {"attack": name, "distance": distance, "share": share}
            rows.append({**key(record.config), **row})
    return pd.DataFrame(rows, columns=[*KEY, "attack", "distance", "share"])


# ----------------------------------------------------------- attacks, noise: rows as of sum_up


def ensemble_by_radius(ensembles: Iterable[Record]) -> pd.DataFrame:
    """Accuracy that the whole ensemble leaves at each radius, and that without attack.

    Args:
        ensembles: records of `attack_ensemble`.
    Returns: rows with the columns of :func:`sum_up`; measures "0 × headline", "1 × headline", ….
    """
    table = tables(ensembles)
    table = table[table["attack"].isin(["none", "square"])]
    multiple = table["radius"] / _headline(table)
    return _measured(table, multiple.map("{:g} × headline".format))


def attack_by_attack(ensembles: Iterable[Record]) -> pd.DataFrame:
    """Accuracy that each attack leaves at the headline radius, those of the ensemble in turn.

    Args:
        ensembles: records of `attack_ensemble`.
    Returns: rows with the columns of :func:`sum_up`.
    """
    table = tables(ensembles)
    table = table[table["radius"] == _headline(table)]
    table = table[table["attack"].isin(list(SINGLE_ATTACKS))]
    return _measured(table, table["attack"].map(SINGLE_ATTACKS))


def corruptions(curves: Iterable[Record]) -> pd.DataFrame:
    """Accuracy under noise and each corruption, mean over its severities.

    Args:
        curves: records of `attack_curves`.
    Returns: rows with the columns of :func:`sum_up`.
    """
    table = tables(curves)
    table = table[table["attack"].isin(["gaussian noise", *attacks.CORRUPTIONS])]
    rows = _measured(table, table["attack"])
    return rows.groupby([*KEY, "measure"], sort=False)["value"].mean().reset_index()


def pixels(records: Iterable[Record]) -> pd.DataFrame:
    """Accuracy of the dense network when all pixels may change, or those with links in a sparse
    one, or as many others.

    Args:
        records: of `attack_pixels`.
    Returns: rows with the columns of :func:`sum_up`; network: the length of training.
    """
    rows = []
    for record in records:
        network = f"{record.config.parent.epochs} epochs"
        accuracies = record.metrics.groupby("pixels", sort=False)["accuracy"].mean()
        for which, accuracy in accuracies.items():
            named = {"measure": PIXELS[which], "value": accuracy}
            rows.append({**key(record.config), "network": network, **named})
    return pd.DataFrame(rows, columns=[*KEY, "measure", "value"])


def _headline(table: pd.DataFrame) -> pd.Series:
    return table["dataset"].map(HEADLINE_RADIUS)


def _measured(table: pd.DataFrame, measure: pd.Series) -> pd.DataFrame:
    """The accuracies of a table under the names of their measures."""
    rows = table.assign(measure=measure, value=table["accuracy"])
    return rows[[*KEY, "measure", "value"]]


# ------------------------------------------------------------------------------- of each study


def _of_training(record: Record) -> Numbers:
    return {"accuracy": record.environment["final"]["test_accuracy"]}


def _of_removal(record: Record) -> Numbers:
    n_classes = trained.widths(record)[-1]
    table = record.metrics[record.metrics["scope"] == "all"]
    numbers = {}
    for order, rows in table.groupby("order", sort=False):
        curve = rows.groupby("fraction")["accuracy"].mean()
        numbers[f"removal area {order}"] = areas.relative_area(curve.index, curve, n_classes)
        numbers[f"removal f50 {order}"] = areas.half_fraction(curve.index, curve, n_classes)
    return numbers


def _of_shuffling(record: Record) -> Numbers:
    n_classes = trained.widths(record)[-1]
    shuffled = record.metrics[record.metrics["kind"] == "shuffle"]
    whole = shuffled["scope"] == "all"
    numbers = {}
    for within, rows in shuffled[whole].groupby("within", sort=False):
        curve = rows.groupby("strength")["accuracy"].mean()
        area = areas.relative_area(curve.index, curve, n_classes)
        numbers[f"shuffle area {within}"] = area
    of_layers = shuffled[~whole].groupby("strength")["accuracy"].mean()
    chance = 1 / n_classes
    numbers["layer shuffle"] = of_layers[1.0]
    above_chance = of_layers - chance
    numbers["layer shuffle, relative"] = above_chance[1.0] / above_chance[0.0]
    return numbers


def _of_curves(record: Record) -> Numbers:
    accuracy = record.metrics.set_index(["attack", "norm", "radius"])["accuracy"]
    headline = HEADLINE_RADIUS[record.config.dataset]
    numbers = {"accuracy of the images": accuracy["none"].iloc[0]}
    if ("pgd", "linf", headline) in accuracy.index:
        numbers["pgd"] = accuracy["pgd", "linf", headline]
    for name in ("deepfool.linf", "deepfool.l2", "minimal.linf", "minimal.l2"):
        if name in record.arrays:
            numbers[name.replace(".", " ")] = float(np.median(record.arrays[name]))
    return numbers


def _of_ensemble(record: Record) -> Numbers:
    table = record.metrics
    headline = table[table["radius"] == record.config.radii[0]]
    first = headline.groupby("attack")["accuracy"].first()
    return {"ensemble": first["square"]}


def _of_minimal(record: Record) -> Numbers:
    numbers = {}
    for name, distances in record.arrays.items():
        if not name.startswith("example."):
            numbers[f"{name} l2, few"] = float(np.median(distances))
    accuracy = record.metrics.set_index("attack")["accuracy"]
    numbers["accuracy, one pixel"] = accuracy["one pixel"]
    return numbers


NUMBERS: dict[str, Callable[[Record], Numbers]] = {
    "adaptive_topology": _of_training,
    "adaptive_topology_1568": _of_training,
    "link_removal": _of_removal,
    "weight_shuffling": _of_shuffling,
    "attack_curves": _of_curves,
    "attack_ensemble": _of_ensemble,
    "attack_minimal": _of_minimal,
}
