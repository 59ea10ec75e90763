"""Certified accuracy of trained networks, beside their accuracy under attack."""

import copy

import pandas as pd
import torch

from lib.robustness.certified import is_certified
from lib.runs.record import Record
from papers.shared import trained
from papers.shared.study import Study, Table, images
from papers.shared.under_attack import is_right, right_under_pgd, share

CHECKED = 500  # the first images, whose certificates are attacked


def certificates(study: Study, parent: Record) -> Table:
    """Accuracy without an attack, certified accuracy, and accuracy under PGD, by radius in
    L-infinity.

    Certificates are computed in float64. PGD attacks the images without one, and counts the others
    as kept; of the first :data:`CHECKED` images it attacks all.

    Returns: columns measure, radius, value. Measures: "clean"; "certified"; "pgd"; "broken", the
        share of images whose class PGD changed in spite of a certificate. Arrays, whether each
        image (bool) is classified correctly: clean, and "certified 0.1", "pgd 0.1" and the like.
    """
    model, (x, y) = trained.network(parent), images(study)
    exact = copy.deepcopy(model).double()
    right = is_right(model, x, y)
    rows, outcomes = [("clean", 0.0, share(right))], {"clean": right.numpy()}
    for radius in study.radii:
        certified = is_certified(exact, x.double(), y, radius=radius)
        attacked = ~certified
        attacked[:CHECKED] = True
        kept = torch.ones_like(certified)
        kept[attacked] = right_under_pgd(
            study, model, x[attacked], y[attacked], radius=radius, norm="linf"
        )
        of_images = {"certified": certified, "pgd": kept, "broken": certified & ~kept}
        for measure, holds in of_images.items():
            rows.append((measure, radius, share(holds)))
        outcomes |= {f"{name} {radius:g}": of_images[name].numpy() for name in ("certified", "pgd")}
    return pd.DataFrame(rows, columns=["measure", "radius", "value"]), outcomes
