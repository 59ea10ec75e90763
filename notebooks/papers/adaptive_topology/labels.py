"""Names and looks: those of the usual methods, and of recipes of robust training."""

import dataclasses

from lib.report.labels import look
from papers.shared import labels

RECIPES = {
    "tuned": look("as tuned", "#555555", "-"),
    "growth by attacked examples": look("growth by attacked examples", "#ddaa33", "-."),
    "links left out": look("links left out", "#44aaaa", "--"),
    "attacked examples": look("attacked examples", "#cc3311", (0, (5, 1))),
    "both": look("both", "#882255", ":"),
}
LABELS = dataclasses.replace(labels.LABELS, methods={**labels.LABELS.methods, **RECIPES})
