"""Sanity checks of the attacks, and which numbers they put in doubt."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from lib.papers.adaptive_topology.numbers import KEY, key, tables
from lib.report import labels
from lib.runs.record import Record

TOLERANCE = 0.01  # of an accuracy: a few images on which a random start had bad luck
NETWORK = ["dataset", "network", "method"]


def check_attacks(
    curves: Iterable[Record], ensembles: Iterable[Record], minimal: Iterable[Record] = ()
) -> pd.DataFrame:
    """Sanity checks of [Carlini2019] on each attacked network, a row each.

    Accuracies may exceed what a check asks for by ``TOLERANCE``.

    Args:
        curves: records of `attack_curves`.
        ensembles: records of `attack_ensemble`; networks without one lack its checks.
        minimal: records of `attack_minimal`, of all networks between which attacks transfer.
    Returns: columns dataset, network, method, seed, check, worst (how much an accuracy is too high,
        or the share of zero gradients), passed.
    """
    rows = []
    for record in curves:
        rows += _rows(record, _of_curves(record) | _of_distances(record))
    for record in ensembles:
        rows += _rows(record, _of_ensemble(record))
    rows += _of_transfer(tables(minimal))
    checks = pd.DataFrame(rows, columns=[*KEY, "check", "worst"])
    return checks.assign(passed=checks["worst"].round(6) <= TOLERANCE)


def _rows(record: Record, checks: dict[str, float]) -> list[dict[str, Any]]:
    network = key(record.config)
    return [{**network, "check": check, "worst": worst} for check, worst in checks.items()]


def _of_curves(record: Record) -> dict[str, float]:
    accuracy = record.metrics.pivot_table("accuracy", ["norm", "radius"], "attack")
    accuracy = accuracy.dropna(subset=["fgsm", "pgd"]).reset_index().sort_values("radius")
    rises = accuracy.groupby("norm")["pgd"].apply(_rise)
    return {
        "iterative attack as strong as one step": (accuracy["pgd"] - accuracy["fgsm"]).max(),
        "stronger with radius": rises.max(),
    }


def _of_distances(record: Record) -> dict[str, float]:
    """Share of images beyond a radius, less what PGD leaves of the same images: the largest of all
    radii. Nothing of a record without distances or outcomes of PGD, as of earlier versions.
    """
    too_far = []
    for norm, radii in (("linf", record.config.radii), ("l2", record.config.radii_l2)):
        distances = record.arrays.get(f"minimal.{norm}", [])
        for radius in radii:
            right = record.arrays.get(f"pgd.{norm}.{radius:g}")
            if len(distances) and right is not None:
                kept = right[: len(distances)].mean()
                too_far.append((distances > radius).mean() - kept)
    if not too_far:
        return {}
    return {"minimal norms as small as PGD's": max(too_far)}


def _rise(accuracies: pd.Series) -> float:
    """The largest rise of an accuracy that should fall."""
    return float((accuracies - accuracies.cummin()).max())


def _of_ensemble(record: Record) -> dict[str, float]:
    table = record.metrics
    headline = table[table["radius"] == record.config.radii[0]]
    more_steps = headline[headline["attack"] == "pgd steps"]
    everywhere = table[table["radius"] == 1]
    least = headline.groupby("attack")["accuracy"].min()
    white_box = least["square"]  # after both APGD and Square
    return {
        "stronger with steps": _rise(more_steps["accuracy"]),
        "all broken at radius 1": everywhere["accuracy"].max(),
        "white box as strong as black box": least["apgd_dlr"] - least["square alone"],
        "ensemble as strong as PGD with restarts": white_box - least["pgd"],
        "no scale of the logits breaks more": white_box - least["pgd, logits scaled"],
        "no zero gradients": table.set_index("attack")["accuracy"]["zero gradient"],
    }


def _of_transfer(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Of each target: what its own attack leaves, less the least that another network's leaves."""
    transfer = table[table["attack"] == "transfer"]
    rows = []
    groups = ["dataset", "network", "seed", "target"]
    for (dataset, network, seed, target), part in transfer.groupby(groups, sort=False):
        own = part["method"] == target
        if own.any() and not own.all():
            worst = part["accuracy"][own].max() - part["accuracy"][~own].min()
            row = {"dataset": dataset, "network": network, "method": target, "seed": seed}
            check = "white box as strong as transfer"
            rows.append({**row, "check": check, "worst": worst})
    return rows


def counts(checks: pd.DataFrame) -> pd.DataFrame:
    """Of each check, how many networks there are and how many pass, and the worst violation.

    Args:
        checks: rows of :func:`check_attacks`.
    Returns: columns networks, passed, worst; index check.
    """
    by_check = checks.groupby("check", sort=False)
    return by_check.agg(
        networks=("passed", "size"),
        passed=("passed", "sum"),
        worst=("worst", "max"),
    )


# ------------------------------------------------------------------------------ flags of tables


def flags(numbers: pd.DataFrame, checks: pd.DataFrame) -> list[str]:
    """For each row of :func:`lib.report.tables.mean_table` the checks that a network of it fails;
    "none" where all pass.
    """
    failed = _failed(checks)
    named: dict[tuple[str, str, str], list[str]] = {}
    for row in failed.itertuples():
        method = labels.method_name(row.method)
        place = labels.dataset(row.dataset), labels.network(row.network), method
        named.setdefault(place, []).append(row.check)
    flags = []
    for place in numbers[NETWORK].itertuples(index=False, name=None):
        of_network = dict.fromkeys(named.get(place, []))
        flags.append("; ".join(of_network) or "none")
    return flags


def flagged(differences: pd.DataFrame, checks: pd.DataFrame) -> list[bool]:
    """For each row of :func:`lib.report.intervals.contrasts` whether a network of either side fails
    a check.
    """
    failed = set(_failed(checks)[NETWORK].itertuples(index=False, name=None))
    rows = differences[["dataset", "network", "contrast"]]
    flags = []
    for dataset, network, contrast in rows.itertuples(index=False, name=None):
        sides = [(dataset, network, method) for method in labels.CONTRASTS[contrast]]
        flags.append(not failed.isdisjoint(sides))
    return flags


def _failed(checks: pd.DataFrame) -> pd.DataFrame:
    return checks[~checks["passed"].astype(bool)]
