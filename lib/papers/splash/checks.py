"""Sanity checks of the attacks on each network: could a weak attack explain a number?"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from lib.papers.splash import numbers
from lib.papers.splash.attacking import LOGIT_SCALES, MINIMAL
from lib.runs.record import Record

TOLERANCE = 0.01  # of an accuracy, or of the images
FAR = 0.1  # how much farther than the nearest point of all attacks one may find its own
WHITE = ("pgd", "apgd_ce", "apgd_dlr")
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
            passed = round(worst, 6) <= TOLERANCE  # a difference of counts, rounded in floats
            rows.append({**named, "check": check, "worst": worst, "passed": passed})
    return pd.DataFrame(rows, columns=COLUMNS)


def _of(record: Record) -> dict[str, float]:
    rows = record.metrics
    accuracy = rows.pivot_table("value", "radius", "measure")
    kept = rows[(rows["measure"] == "pgd") & (rows["norm"] == "linf")].sort_values("radius")
    headline = numbers.at_headline([record]).groupby("measure")["value"].min()
    scaled = [headline[f"pgd, logits times {scale:g}"] for scale in LOGIT_SCALES]
    strongest = min(headline[name] for name in WHITE)
    return {
        "iterative attack as strong as one step": (accuracy["pgd"] - accuracy["fgsm"]).max(),
        "PGD as strong as any in L∞": headline["pgd"] - min(headline[n] for n in numbers.IN_LINF),
        "stronger with radius": float((kept["value"] - kept["value"].cummin()).max()),
        "all broken at radius 1": accuracy["pgd everywhere"].min(),
        "what Square breaks gradients break": _missed(record, "square"),
        "what transfer breaks gradients break": _missed(record, "transfer"),
        "no scale of the logits breaks more": strongest - min(scaled),
        "no zero gradients": headline["zero gradient"],
    }


def _missed(record: Record, attack: str) -> float:
    """Share of the images that an attack without gradients breaks and none with gradients does."""
    withstood = np.all([record.arrays[f"right.{name}"] for name in WHITE], axis=0)
    return float((withstood & ~record.arrays[f"right.{attack}"]).mean())


def check_distances(records: Iterable[Record]) -> pd.DataFrame:
    """Whether each attack of minimal norm came near the nearest point that any of them found.

    Args:
        records: of ``unit_minimal``.
    Returns: as :func:`check_attacks`, and attack; worst: by how much its median distance is larger,
        relative.
    """
    rows: list[dict[str, Any]] = []
    for record in records:
        named = {**numbers.key(record.config), "variant": record.config.variant}
        nearest = np.median(record.arrays["l2.smallest"])
        for attack in MINIMAL:
            excess = float(np.median(record.arrays[f"l2.{attack}"]) / nearest - 1)
            check = f"{numbers.ATTACK_NAMES[attack]}: near the nearest point"
            passed = excess <= FAR
            row = {**named, "attack": attack, "check": check, "worst": excess, "passed": passed}
            rows.append(row)
    return pd.DataFrame(rows, columns=[*COLUMNS, "attack"])


def counts(checks: pd.DataFrame) -> pd.DataFrame:
    """Of each check, how many networks there are and how many pass, and the worst violation."""
    by_check = checks.groupby("check", sort=False)
    return by_check.agg(
        networks=("passed", "size"),
        passed=("passed", "sum"),
        worst=("worst", "max"),
    )
