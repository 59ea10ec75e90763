"""The kit of the claims: from a tidy frame (:mod:`lib.report.frames`) to the number that a claim is
judged by. Differences paired by seed, their intervals, the largest or smallest of them, a share.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from lib.report.frames import check_cells, check_unique
from lib.report.intervals import (
    MIN_SEEDS,
    Measurement,
    direction,
    family_level,
    holm,
    p_value,
    t_interval,
)

CELL = ["dataset", "network"]
BOUNDS = ["value", "low", "high"]


def against(
    frame: pd.DataFrame, other: str, *, by: str = "method", keys: Sequence[str] = (*CELL, "measure")
) -> pd.DataFrame:
    """Every method minus another, paired by seed.

    Args:
        frame: columns keys, seed, by and value; one number of a method and a seed for each key.
        other: the value of the column by that is subtracted.
        by: what is compared, as "method" or "variant".
        keys: columns within which methods are compared.
    Returns: columns keys, seed, by, value, base (the number of the other); pairs that lack one
        side are left out. Categories keep their order.
    Raises: ValueError if a method has two numbers of a seed, or a key an empty cell.
    """
    check_cells(frame, keys)
    cells = [*keys, "seed", by]
    check_unique(frame, cells)
    categories = frame[cells].select_dtypes("category")
    frame = frame.assign(**categories.astype(object))
    wide = frame.pivot(index=[*keys, "seed"], columns=by, values="value")
    base = wide.reindex(columns=[other])[other].rename("base")
    gaps = wide.drop(columns=other, errors="ignore").sub(base, axis=0)
    rows = gaps.stack().dropna().rename("value").reset_index().merge(base.reset_index())
    return rows.astype(categories.dtypes.to_dict())


def intervals(
    rows: pd.DataFrame,
    by: Sequence[str],
    *,
    family: int | None = None,
    estimate: Callable[[pd.DataFrame, float], Measurement] | None = None,
) -> pd.DataFrame:
    """Mean over the rows of each group with its interval and p of 0.

    Args:
        rows: column value, a row a seed.
        by: columns of the groups.
        family: how many intervals hold together (Bonferroni); None: all of the table.
        estimate: (rows of a group, level) -> measurement; the mean and its t-interval.
    Returns: columns by, value, low, high, n, p, p_holm (of the whole table); of an estimate of
        another kind both p are nan, as nothing tests it.
    Raises: ValueError if a column of the groups has an empty cell, a group two rows of a seed, or
        family is below 1.
    """
    check_cells(rows, by)
    if "seed" in rows:
        check_unique(rows, [*by, "seed"])
    groups = rows.groupby(list(by), sort=False, observed=True)
    level = family_level(max(1, len(groups)) if family is None else family)
    lines = []
    for key, group in groups:
        one = estimate(group, level) if estimate else t_interval(group["value"], level=level)
        p = math.nan if estimate else p_value(group["value"])
        lines.append((*key, one.value, one.low, one.high, one.n, p))
    table = pd.DataFrame(lines, columns=[*by, *BOUNDS, "n", "p"])
    return table.assign(p_holm=holm(table["p"]))


def at_common(
    frame: pd.DataFrame, x: str, y: str, ours: str, other: str, *, at: float = 1.0
) -> pd.DataFrame:
    """Ours minus the other where both curves reach the same x: by linear interpolation, at a
    fraction of the range that they have in common (1: at its end), a row a seed; seeds without
    such a range are left out.

    Args:
        frame: columns dataset, network, seed, method, x, y; points of equal x are averaged.
    Returns: columns dataset, network, seed, at, value.
    Raises: ValueError if a data set or network has an empty cell.
    """
    check_cells(frame, CELL)
    rows = []
    for key, group in frame.groupby([*CELL, "seed"], sort=False, observed=True):
        parts = group.groupby("method", observed=True)
        curves = {name: part.groupby(x)[y].mean() for name, part in parts}
        if {ours, other} <= curves.keys():
            pair = [curves[ours], curves[other]]
            low, high = max(c.index[0] for c in pair), min(c.index[-1] for c in pair)
            if low <= high:
                place = low + at * (high - low)
                first, second = (np.interp(place, c.index, c) for c in pair)
                rows.append((*key, place, first - second))
    return pd.DataFrame(rows, columns=[*CELL, "seed", "at", "value"])


def largest(
    rows: pd.DataFrame,
    at: Mapping[str, Callable[[str], str]] | None = None,
    *,
    total: int | None = None,
) -> Measurement | None:
    """The largest value of a table of :func:`intervals`, with the largest bounds; None if empty.

    Args:
        rows: of :func:`intervals`, a row a member that was run.
        at: {column: how its value is written} that say where it is, for the sentence of the claim.
        total: members in all; where one was not run, it could be larger: high is infinite. None:
            those of the table.
    """
    found = _extreme(rows, "max", at or {})
    return replace(found, high=math.inf) if found and _lacks_some(rows, total) else found


def smallest(
    rows: pd.DataFrame,
    at: Mapping[str, Callable[[str], str]] | None = None,
    *,
    total: int | None = None,
) -> Measurement | None:
    """The smallest value and bounds, as :func:`largest`: low is -inf where one was not run."""
    found = _extreme(rows, "min", at or {})
    return replace(found, low=-math.inf) if found and _lacks_some(rows, total) else found


def _lacks_some(rows: pd.DataFrame, total: int | None) -> bool:
    """True if there are more members than rows."""
    return total is not None and total > len(rows)


def _extreme(
    rows: pd.DataFrame, which: str, at: Mapping[str, Callable[[str], str]]
) -> Measurement | None:
    if rows.empty:
        return None
    rows = rows.reset_index(drop=True)  # joined tables repeat their rows' names
    known = rows[rows["value"].notna()]
    place = rows.loc[known["value"].agg(f"idx{which}")] if len(known) else rows.iloc[0]
    where = ", ".join(written(place[name]) for name, written in at.items())
    value = float(known["value"].agg(which)) if len(known) else math.nan
    bounds = (float(rows[name].agg(which, skipna=False)) for name in ("low", "high"))
    return Measurement(value, *bounds, _fewest(rows["n"]), at=where)  # unknown if one is


def _fewest(n: pd.Series) -> int | None:
    """The fewest seeds of those that have any; None where nothing is random."""
    known = n.dropna()
    return None if known.empty else int(known.min())


def share(rows: pd.DataFrame, comparison: str, threshold: float, total: int) -> Measurement | None:
    """How many of so many members meet a threshold, with the bounds that the intervals leave: at
    least those that certainly do, at most all but those that certainly do not. A member that was
    not run may or may not.

    Args:
        rows: of :func:`intervals`, a row a member that was run.
        comparison, threshold: of a member.
        total: members in all.
    Returns: value counts the estimates that meet it; n is the fewest seeds of the members that have
        enough to decide, or of all if none has. None if nothing was run.
    """
    if rows.empty:
        return None
    n = rows["n"].dropna()
    enough = n[n >= MIN_SEEDS]
    certain = directions(rows, comparison, threshold)
    estimates = [
        direction(Measurement(value, value, value), comparison, str(threshold)) == "holds"
        for value in rows["value"]
    ]
    low, high = certain.count("holds"), total - certain.count("fails")
    fewest = _fewest(n if enough.empty else enough)
    unrun = _lacks_some(rows, total) or has_unbounded(rows)
    return Measurement(float(sum(estimates)), low, high, fewest, unrun=unrun)


def has_unbounded(rows: pd.DataFrame) -> bool:
    """True if a row of a table of :func:`intervals` has an infinite bound."""
    return bool(np.isinf(rows[["low", "high"]].astype(float)).any(axis=None))


def directions(rows: pd.DataFrame, comparison: str, threshold: float) -> list[str]:
    """holds, fails or open, of each row of :func:`intervals`."""
    lines = rows[[*BOUNDS, "n"]].itertuples(index=False)
    return [direction(Measurement(*line), comparison, str(threshold)) for line in lines]


def readings(rows: pd.DataFrame, claim: str, comparison: str, threshold: float) -> pd.DataFrame:
    """Rows of intervals as readings of a claim: columns claim, "holds if" and verdict are added.

    Args:
        rows: columns value, low, high, n and what names a reading.
    """
    written = {"claim": claim, "holds if": f"{comparison} {threshold:g}"}
    return rows.assign(**written, verdict=directions(rows, comparison, threshold))


def by_reading(found: Mapping[str, Measurement], **labels: Any) -> pd.DataFrame:
    """Measurements, by the reading that each is of, as rows for :func:`readings`, with these labels
    in each row.
    """
    rows = []
    for reading, one in found.items():
        numbers = {name: getattr(one, name) for name in (*BOUNDS, "n")}
        rows.append({"reading": reading, **labels, **numbers})
    return pd.DataFrame(rows, columns=["reading", *labels, *BOUNDS, "n"])


def scaled(found: Measurement | None, factor: float) -> Measurement | None:
    """The measurement in another unit, as 100 for points."""
    if found is None:
        return None
    return replace(
        found, value=factor * found.value, low=factor * found.low, high=factor * found.high
    )
