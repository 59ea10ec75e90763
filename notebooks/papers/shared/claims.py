"""Readings of records that the claims of several papers need."""

from collections.abc import Sequence
from typing import Any

from lib.runs.record import Record

NARROWS = 0.9  # of a gap at three quarters of the epochs, or less, is left at the end


def chosen(records: Sequence[Record], **labels: Any) -> list[Record]:
    """The records whose run has these values of its fields."""
    matching = []
    for record in records:
        run = record.config
        if all(getattr(run, name) == value for name, value in labels.items()):
            matching.append(record)
    return matching


def still_narrows(end: float, sooner: float) -> bool:
    """True if a gap above 0 narrows with the epochs still, so that more of them could close it: the
    gap at the end and at three quarters of the epochs.
    """
    return bool(0 < end < NARROWS * sooner)
