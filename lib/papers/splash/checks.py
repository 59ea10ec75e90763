"""Sanity checks of the attacks on each network: could a weak attack explain a number?"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from lib.papers.splash import numbers
from lib.papers.splash.attacking import LOGIT_SCALES
from lib.runs.record import Record

TOLERANCE = 0.02  # of an accuracy on some hundred images
COLUMNS = [*numbers.KEY, "variant", "check", "worst", "passed"]


def check_attacks(records: Iterable[Record]) -> pd.DataFrame:
    """Sanity checks of [Carlini2019] on each attacked network, a row each.

    Args:
        records: of ``unit_robustness``.
    Returns: columns of :data:`lib.papers.splash.numbers.KEY`, variant, check, worst (how much an
        accuracy is too high, or the share of zero gradients), passed.
    """
    rows: list[dict[str, Any]] = []
    for record in records:
        named = {**numbers.key(record.config), "variant": record.config.variant}
        for check, worst in _of(record).items():
            passed = worst <= TOLERANCE
            rows.append({**named, "check": check, "worst": worst, "passed": passed})
    return pd.DataFrame(rows, columns=COLUMNS)


def _of(record: Record) -> dict[str, float]:
    rows = record.metrics
    accuracy = rows.pivot_table("value", "radius", "measure")
    kept = rows[(rows["measure"] == "pgd") & (rows["norm"] == "linf")].sort_values("radius")
    headline = numbers.at_headline([record]).groupby("measure")["value"].min()
    scaled = [headline[f"pgd, logits times {scale:g}"] for scale in LOGIT_SCALES]
    strongest = min(headline["apgd_ce"], headline["apgd_dlr"], headline["pgd"])
    return {
        "iterative attack as strong as one step": (accuracy["pgd"] - accuracy["fgsm"]).max(),
        "stronger with radius": float((kept["value"] - kept["value"].cummin()).max()),
        "all broken at radius 1": accuracy["pgd everywhere"].min(),
        "white box as strong as Square": strongest - headline["square"],
        "white box as strong as transfer": strongest - headline["transfer"],
        "no scale of the logits breaks more": strongest - min(scaled),
        "no zero gradients": headline["zero gradient"],
    }


def counts(checks: pd.DataFrame) -> pd.DataFrame:
    """Of each check, how many networks there are and how many pass, and the worst violation."""
    by_check = checks.groupby("check", sort=False)
    return by_check.agg(
        networks=("passed", "size"),
        passed=("passed", "sum"),
        worst=("worst", "max"),
    )
