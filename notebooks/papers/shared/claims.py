"""Readings of records that the claims of several papers need."""

from collections.abc import Sequence
from typing import Any

from lib.runs.record import Record


def chosen(records: Sequence[Record], **labels: Any) -> list[Record]:
    """The records whose run has these values of its fields."""
    matching = []
    for record in records:
        run = record.config
        if all(getattr(run, name) == value for name, value in labels.items()):
            matching.append(record)
    return matching
