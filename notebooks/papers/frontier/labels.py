"""Names and looks of the starts and of other rules, and the axis of corruptions."""

import dataclasses

from lib.report.labels import look
from papers.shared import labels

STARTS = {
    "random start": look("random start", "#de8f05", "-."),
    "local start": look("local start", "#0173b2", "-"),
    "places shuffled": look("places shuffled", "#cc78bc", "--"),
    "links that stay": look("links stay, 200 epochs", "#555555", "-"),
    "links that stay, smaller reach": look(
        "links stay, smaller reach, 200 epochs", "#999999", "--"
    ),
    "links that move, smaller reach": look(
        "links move, smaller reach, 200 epochs", "#029e73", "-."
    ),
    "power law": look("power law", "#882255", "--"),
    "degrees of the end": look("degrees of the end", "#0173b2", "-"),
    "links of the end": look("links of the end", "#029e73", ":"),
}
RULES = {
    "mest": look("MEST", "#cc3311", (0, (3, 1, 1, 1))),
    "chts": look("CHTs", "#882255", (0, (5, 1, 1, 1))),
    "granet": look("GraNet, from five times the links", "#332288", (0, (4, 2))),
    "gradual_pruning": look("gradual pruning, from five times the links", "#8c510a", (0, (2, 1))),
}
LABELS = dataclasses.replace(
    labels.LABELS, methods={**labels.LABELS.methods, **STARTS, **RULES}, axes=("severity",)
)
