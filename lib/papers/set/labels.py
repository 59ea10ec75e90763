"""Names and looks of what SET's room shows, and the columns that say what a row is of."""

from dataclasses import replace

from lib.papers.shared import labels

LABELS = replace(labels.LABELS, axes=("layer",))
