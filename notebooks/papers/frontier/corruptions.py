"""Accuracy of trained networks on images that were changed by accident."""

import pandas as pd

from lib.robustness import attacks
from lib.robustness.attacks.corruptions import SEVERITIES
from lib.runs.record import Record
from lib.train import accuracy
from papers.shared import trained
from papers.shared.study import Study, Table, images


def corrupted(study: Study, parent: Record) -> Table:
    """Accuracy on images as they are, and with every kind of corruption at every severity.

    Networks of one seed see the same corrupted images.

    Returns: columns kind ("none": images as they are), severity (0 for these), measure
        ("accuracy"), value.
    """
    model, (x, y) = trained.network(parent), images(study)
    rows = [("none", 0, "accuracy", accuracy(model, x, y))]
    for kind in attacks.CORRUPTIONS:
        for severity in SEVERITIES:
            changed = attacks.corrupt(x, kind, severity, generator=study.generator())
            rows.append((kind, severity, "accuracy", accuracy(model, changed, y)))
    return pd.DataFrame(rows, columns=["kind", "severity", "measure", "value"]), {}
