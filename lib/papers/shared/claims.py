"""What the claims of several papers need of their records."""

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


def longer_training(records: Sequence[Record], dataset: str) -> float | None:
    """Points that the last doubling of its epochs gained the dense network on validation images, an
    allowance for training it for longer; None if it was not tried.
    """
    tried = chosen(records, experiment="tuning", variant="epochs", dataset=dataset)
    tried.sort(key=lambda record: record.config.epochs)
    if len(tried) < 2:
        return None
    shorter, longer = (record.metrics["valid_accuracy"].iloc[-1] for record in tried[-2:])
    return max(0.0, 100 * longer - 100 * shorter)
