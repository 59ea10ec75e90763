"""Names and looks of the starts, and the axis of corruptions."""

import dataclasses

from lib.papers.shared import labels
from lib.report.labels import look

STARTS = {
    "random start": look("random start", "#de8f05", "-."),
    "local start": look("local start", "#0173b2", "-"),
    "places shuffled": look("places shuffled", "#cc78bc", "--"),
    "power law": look("power law", "#882255", "--"),
    "degrees of the end": look("degrees of the end", "#0173b2", "-"),
    "links of the end": look("links of the end", "#029e73", ":"),
}
LABELS = dataclasses.replace(
    labels.LABELS, methods={**labels.LABELS.methods, **STARTS}, axes=("severity",)
)
