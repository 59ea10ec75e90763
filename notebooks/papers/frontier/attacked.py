"""Accuracy of trained networks whose inputs are attacked, or whose links are removed."""

import pandas as pd

from lib.robustness import perturb
from lib.runs.record import Record
from papers.shared import trained
from papers.shared.study import Study, Table, images
from papers.shared.under_attack import (
    APGD_STEPS,
    is_right,
    right_under_ensemble,
    right_under_pgd,
    share,
)

FRACTIONS = (0.1, 0.2, 0.3, 0.5)  # of links removed


def under_attacks(study: Study, parent: Record) -> Table:
    """Accuracy without an attack, under PGD at every radius in L-infinity, under all attacks at the
    first one, and after the removal of random links.

    All attacks are PGD and those of :func:`lib.robustness.attacks.ensemble`: an image is kept only
    if none of them breaks it.

    Returns: columns measure, strength, draw, value. Measures: "accuracy" (strength 0); "pgd",
        "apgd_ce", "apgd_dlr" (what the one before and this one leave) and "all attacks" (strength:
        the radius); "links removed" (strength: the fraction).
    """
    model, (x, y) = trained.network(parent), images(study)
    kept = [("accuracy", 0.0, 0, is_right(model, x, y))]
    for radius in study.radii:
        by_pgd = right_under_pgd(study, model, x, y, radius=radius, norm="linf")
        kept.append(("pgd", radius, 0, by_pgd))
        if radius == study.radii[0]:
            steps = round(APGD_STEPS * study.steps)
            left = right_under_ensemble(study, model, x, y, radius=radius, steps=steps)
            for attack in ("apgd_ce", "apgd_dlr"):
                kept.append((attack, radius, 0, left[attack]))
            kept.append(("all attacks", radius, 0, left["square"] & by_pgd))
    for fraction in FRACTIONS:
        for draw in range(study.draws):
            fewer = perturb.remove_links(model, fraction, generator=study.generator(draw))
            kept.append(("links removed", fraction, draw, is_right(fewer, x, y)))
    rows = [(*names, share(of_images)) for *names, of_images in kept]
    return pd.DataFrame(rows, columns=["measure", "strength", "draw", "value"]), {}
