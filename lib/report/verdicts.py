"""Published claims against records: a verdict with a sentence, a number and its interval for each.

A verdict has two axes. *Direction*: at what was run, a claim holds or fails if the whole 95 %
interval lies on one side of its threshold, and is open otherwise. *Scale*: how far what was run is
from what the paper ran. A claim is undecidable where the answer hangs on what the paper leaves out,
and not testable where its data are not here.

A claim is handed the records of the experiments that it names; it fetches nothing.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lib._boundary import PROFILES, REFERENCE, check_known
from lib.report.intervals import MIN_SEEDS, Measurement, direction
from lib.report.tables import minus
from lib.runs.progress import no_progress
from lib.runs.record import Record

TABLE = REFERENCE / "claims.csv"
COPIED = ("id", "paper", "statement")
JUDGED = ("sentence", "verdict", "direction", "scale", "reason")
MEASURED = ("value", "low", "high", "n")


class Claim(NamedTuple):
    """How a published claim is measured.

    Attributes:
        experiments: names of those whose records it is handed.
        measure: records -> what they say, None if nothing.
        says: what was measured, as one plain sentence that is true whichever way the claim goes,
            with the places {value}, {low}, {high}, {n} and {at} of :class:`Measurement`.
        scale: what the paper profile runs: "as published", "smaller: …", "toy: …" (far below the
            paper) or "setting ours".
        untestable: the data that are not here, without which nothing decides the claim.
        profiles: in which it can be judged.
        readings: records -> every fair reading of a claim that says less than it could, a row each
            with a column verdict; None where there is but one.
    """

    experiments: tuple[str, ...]
    measure: Callable[[Sequence[Record]], Measurement | None]
    says: str
    scale: str
    untestable: str = ""
    profiles: tuple[str, ...] = PROFILES
    readings: Callable[[Sequence[Record]], pd.DataFrame] | None = None


WORDS = ("holds", "fails", "open", "undecidable", "not testable", "not run")  # of verdicts


def published(*tables: Path) -> pd.DataFrame:
    """The claims as published, data/reference/claims.csv, and further tables of such columns."""
    read = partial(pd.read_csv, dtype=str, keep_default_na=False)
    return pd.concat(map(read, (TABLE, *tables)), ignore_index=True)


def check_claims(claims: Iterable[str], table: pd.DataFrame, papers: Iterable[str]) -> None:
    """Hold claims and the table of published ones together.

    Args:
        claims: ids of the claims that are measured.
        table: of :func:`published`.
        papers: of the table, those all of whose claims are known.
    Raises: ValueError naming an id that two rows have, a claim without a row or a row of these
        papers without a claim.
    """
    claims = set(claims)
    for row in table.loc[table["id"].duplicated(), "id"]:
        raise ValueError(f"two rows of the table of claims have the id {row}: give one another id")
    for claim in sorted(claims - set(table["id"])):
        raise ValueError(
            f"claim {claim} has no row in the table of claims: add one to the claims.csv of its"
            " room, or remove the claim"
        )
    of_papers = table.loc[table["paper"].isin(list(papers)), "id"]
    for row in sorted(set(of_papers) - claims):
        raise ValueError(f"row {row} of the table of claims has no claim in a room: add one")


def verdicts(
    claims: Mapping[str, Claim],
    records_of: Callable[[str, str], list[Record]],
    table: pd.DataFrame,
    profile: str = "paper",
    ids: Sequence[str] | None = None,
    progress: Callable[[int], None] = no_progress,
) -> pd.DataFrame:
    """Every claim with its verdict in a profile; see the command line.

    Args:
        claims: how each is measured; rows of the table without one are not run.
        records_of: (experiment, profile) -> its stored records.
        table: of :func:`published`.
        profile: whose records are judged.
        ids: which claims; None for all.
        progress: called with the number of claims judged so far.
    Returns: columns id, paper, statement, sentence (verdict and what was measured), verdict (one of
        :data:`WORDS`), direction, scale, reason (why it is open, undecidable or not testable),
        value, low, high, n, profile, published, readings (as "holds in 2 of 9 cases (1 open)";
        empty where there is but one).
    Raises: ValueError for an unknown profile or claim.
    """
    check_known("profile", profile, PROFILES)
    for claim in ids or ():
        check_known("claim", claim, list(table["id"]))
    if ids is not None:
        table = table[table["id"].isin(ids)]
    handed = cache(records_of)
    rows = []
    for row in table.to_dict("records"):
        claim = claims.get(row["id"])
        records = _handed(claim, handed, profile)
        measurement = claim.measure(records) if records is not None else None
        copied = {name: row[name] for name in COPIED}
        judged = _judged(claim, measurement, row, profile)
        ends = {"profile": profile, "published": row["printed_evidence"]}
        rows.append(copied | judged | ends | {"readings": _count(claim, records)})
        progress(len(rows))
    columns = [*COPIED, *JUDGED, *MEASURED, "profile", "published", "readings"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"value": float, "low": float, "high": float, "n": "Int64"})


def readings(
    claims: Mapping[str, Claim],
    records_of: Callable[[str, str], list[Record]],
    profile: str = "paper",
    ids: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Every reading of the claims that have several, in a profile; see :class:`Claim`.

    Args: as :func:`verdicts`.
    Raises: ValueError for an unknown profile or claim.
    """
    check_known("profile", profile, PROFILES)
    for name in ids or ():
        check_known("claim", name, claims)
    handed = cache(records_of)
    parts = []
    for claim in (claims[name] for name in (claims if ids is None else ids)):
        records = _handed(claim, handed, profile)
        if records is not None and claim.readings is not None:
            parts.append(claim.readings(records))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _handed(
    claim: Claim | None, records_of: Callable[[str, str], list[Record]], profile: str
) -> list[Record] | None:
    """The records that a claim is handed; None if it is not judged in the profile."""
    if claim is None or profile not in claim.profiles:
        return None
    return [record for name in claim.experiments for record in records_of(name, profile)]


def _count(claim: Claim | None, records: list[Record] | None) -> str:
    """In how many cases (a reading, of a method, on a data set) a claim holds, and how many decide
    nothing.
    """
    if records is None or claim.readings is None:
        return ""
    rows = claim.readings(records)
    if rows.empty:
        return ""
    holding, still_open = ((rows["verdict"] == word).sum() for word in ("holds", "open"))
    count = f"holds in {holding} of {len(rows)} cases"
    return f"{count} ({still_open} open)" if still_open else count


def _judged(
    claim: Claim | None, measurement: Measurement | None, row: dict[str, Any], profile: str
) -> dict[str, Any]:
    """The columns of a claim that follow from its measurement."""
    if claim is None or measurement is None:
        empty = dict.fromkeys(JUDGED, "") | dict.fromkeys(MEASURED)
        return empty | {"sentence": "Not run.", "verdict": "not run"}
    found = direction(measurement, row["comparison"], row["threshold"])
    verdict, reason = found, ""
    if claim.untestable:
        verdict, reason = "not testable", claim.untestable
    elif measurement.undecidable:
        verdict, reason = "undecidable", measurement.undecidable
    elif found == "open":
        reason = _why_open(measurement)
    numbers = {name: getattr(measurement, name) for name in MEASURED}
    says = minus(claim.says.format(at=measurement.at, **numbers))
    says = re.sub(r"(\d)%", r"\1 %", says)
    scale = claim.scale if profile == "paper" else f"toy: profile {profile}"
    judged = (f"{verdict.capitalize()}: {says}", verdict, found, scale, reason)
    return dict(zip(JUDGED, judged, strict=True)) | numbers


def _why_open(measurement: Measurement) -> str:
    if measurement.n is not None and measurement.n < MIN_SEEDS:
        return f"fewer than {MIN_SEEDS} seeds"
    if measurement.unrun or math.isinf(measurement.low) or math.isinf(measurement.high):
        return "runs that were not made could still decide it"
    return "the interval contains the threshold"


def in_full(row: dict[str, Any], claim: pd.Series) -> dict[str, str]:
    """All that is said of one claim, as texts: statement, found, scale, criterion, measured, n.

    Args:
        row: of :func:`verdicts`.
        claim: its row of :func:`published`.
    """
    criterion = f"{claim['comparison']} {claim['threshold']} ({claim['threshold_origin']})"
    measured = "" if pd.isna(row["value"]) else _written(row)
    found = row["sentence"]
    for more in (row["reason"], row["readings"]):
        if more:
            found = f"{found} {more[0].upper()}{more[1:]}."
    return {
        "statement": row["statement"],
        "found": found,
        "scale": row["scale"],
        "criterion": f"{claim['quantity']}: {criterion}",
        "measured": measured,
        "n": "" if pd.isna(row["n"]) else f"{row['n']:.0f}",
    }


def _written(row: dict[str, Any]) -> str:
    """Value and interval in three digits; in four where an end would be written as the value."""
    numbers = row["value"], row["low"], row["high"]
    texts = [f"{number:.3g}" for number in numbers]
    if len(set(texts)) < len(set(numbers)):
        texts = [f"{number:.4g}" for number in numbers]
    value, low, high = texts
    if row["n"] == 1 and row["high"] == math.inf:
        return f"{value} (no interval)"
    if row["low"] == row["high"]:
        return value
    return f"{value} [{low}, {high}]".replace("inf", "∞")
