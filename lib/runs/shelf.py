"""Records as a clone brings them: those of one experiment together in one folder.

``records.json`` has the configuration, the facts and the columns of each record; ``metrics.csv``
their tables, one after the other, with the hash in the name of the record (``run``) in front of
every row; ``<name>.npz`` the arrays of a record that keeps some. A record is lines of its own, so
that books to which different records were added can be merged line by line.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lib.files import explained, sha256, whole
from lib.runs.config import Run
from lib.runs.packing import Arrays, write_packed

RECORDS, METRICS = "records.json", "metrics.csv"

Rows = list[dict[str, str]]
DAMAGE = (OSError, ValueError, TypeError, KeyError, AttributeError, csv.Error)


class Book(NamedTuple):
    """The records of one folder: by name what ``records.json`` says, and the rows as text."""

    folder: Path
    entries: dict[str, dict[str, Any]]
    rows: dict[str, Rows]

    @property
    def names(self) -> list[str]:
        """The names of the records."""
        return list(self.entries)

    def read(self, name: str) -> tuple[dict[str, Any], dict[str, Any], pd.DataFrame]:
        """Fields of the configuration, facts, and table of a record."""
        entry = self.entries[name]
        text = _text(entry["columns"], self.rows[name])
        if "sha256" in entry and entry["sha256"] != _digest(entry, text):
            raise ValueError("its sha256 is another")
        return entry["config"], entry["environment"], pd.read_csv(io.StringIO(text))

    def arrays(self, name: str) -> Arrays:
        """The arrays of a record, none if it keeps none."""
        entry = self.entries[name]
        path = self.folder / f"{name}.npz" if entry["arrays"] else None
        remedy = "restore it with git, or delete its folder and run again"
        return Arrays(path, entry.get("arrays_sha256"), remedy)


def book(folder: Path) -> Book | None:
    """The records in a folder; None if it holds none. Raises ValueError if it is damaged."""
    try:
        written = (folder / RECORDS).stat()
    except FileNotFoundError:
        return None
    return _load(folder, (written.st_mtime_ns, written.st_ino))


def books(place: Path) -> Iterator[Book]:
    """The books of all experiments, in the order of their names."""
    for path in sorted(place.glob(f"*/{RECORDS}")):
        yield book(path.parent)


def names(place: Path) -> Iterator[str]:
    """The names of all records in books."""
    for one in books(place):
        yield from one.names


@lru_cache(maxsize=64)
def _load(folder: Path, version: tuple[int, int]) -> Book:
    try:
        entries = json.loads((folder / RECORDS).read_text())
        rows = _rows_by_record(folder / METRICS, entries)
        for name, entry in entries.items():
            if len(rows[name]) != entry["rows"]:
                raise ValueError(f"{len(rows[name])} of {entry['rows']} rows of {name}")
    except DAMAGE as error:
        raise ValueError(
            f"records in {folder} cannot be read ({error}): restore the folder with git, or delete"
            " it and run again"
        ) from error
    return Book(folder, entries, rows)


def _rows_by_record(path: Path, entries: dict[str, dict[str, Any]]) -> dict[str, Rows]:
    names = {_hash(name): name for name in entries}
    rows: dict[str, Rows] = {name: [] for name in entries}
    with path.open(newline="") as file:
        text = file.read()
    if not text.endswith("\n"):
        raise ValueError(f"the last row of {path.name} is cut short")
    for row in csv.DictReader(io.StringIO(text, newline="")):
        name = names.get(row.pop("run"))
        if name is not None:  # else it was being added when its writer was stopped
            rows[name].append(row)
    return rows


def add(
    folder: Path,
    run: Run,
    metrics: pd.DataFrame,
    facts: dict[str, Any],
    arrays: dict[str, np.ndarray],
) -> None:
    """Add a record; the caller sees to it that nobody else does at the same time.

    What belongs to a record is written before its entry: without one it is not looked at.
    """
    known = book(folder) or Book(folder, {}, {})
    rows = list(csv.DictReader(io.StringIO(run.table_text(metrics))))
    entry = {
        "config": run.fields_to_write(),
        "environment": facts,
        "columns": list(metrics.columns),
        "rows": len(rows),
        "arrays": bool(arrays),
    }
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if arrays:
        path = folder / f"{run.name}.npz"
        with whole(path) as part:
            write_packed(part, arrays)
        entry["arrays_sha256"] = sha256(path)
    entry["sha256"] = _digest(entry, _text(entry["columns"], rows))
    entries = {**known.entries, run.name: entry}
    tables = {**known.rows, run.name: rows}
    _replace(folder / METRICS, _joined(entries, tables))
    _replace(folder / RECORDS, _lines(entries))


def _digest(entry: dict[str, Any], text: str) -> str:
    """The sha256 of all that an entry says, but this, and of its table."""
    said = {key: value for key, value in entry.items() if key != "sha256"}
    return hashlib.sha256(f"{json.dumps(said)}\n{text}".encode()).hexdigest()


def _hash(name: str) -> str:
    """The last part of the name of a record."""
    return name.rpartition("-")[2]


def _lines(entries: dict[str, dict[str, Any]]) -> str:
    """A line for each record."""
    lines = [f"{json.dumps(name)}: {json.dumps(entries[name])}" for name in sorted(entries)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _joined(entries: dict[str, dict[str, Any]], tables: dict[str, Rows]) -> str:
    columns = dict.fromkeys(["run"])
    rows = []
    for name in sorted(entries):
        columns |= dict.fromkeys(entries[name]["columns"])
        for row in tables[name]:
            rows.append({"run": _hash(name), **row})
    return _text(list(columns), rows)


def _text(columns: list[str], rows: Rows) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _replace(path: Path, text: str) -> None:
    with whole(path) as part:
        part.write_text(text)
