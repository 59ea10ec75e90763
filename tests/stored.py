"""Stored records as tests compare and change them."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib.runs.record import Record
from lib.runs.records import RECORDS, archive, line_of


def contents_in(folder: Path) -> dict[str, list[Any]]:
    """:func:`contents` of the records of an archive, by name."""
    found = {}
    for name, entry in archive(folder).items():
        found[name] = [entry["config"], entry["table"], list(entry["arrays"].values())]
    return found


def contents(record: Record) -> list[Any]:
    """What must not depend on interruptions: configuration, table, and sums of the arrays."""
    return contents_in(record.path)[record.config.name]


def rewrite(folder: Path, name: str, **changes: Callable[[Any], Any]) -> None:
    """Change parts of a record, each by a function of what it was, as if it was written so."""
    entries = copy.deepcopy(archive(folder))
    for part, change in changes.items():
        entries[name][part] = change(entries[name][part])
    (folder / RECORDS).write_text("".join(line_of(entry) for entry in entries.values()))
