"""Accuracy of trained networks whose inputs are attacked; the studies behind notebook 22, and
sanity checks of the attacks.

Accuracy is the fraction of a fixed stratified subset of images that is classified correctly; an
image misclassified before the attack counts as lost at every radius.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib.report.frames import facts
from lib.robustness import attacks
from lib.runs.record import Record
from lib.train import accuracy
from papers.shared import trained
from papers.shared.study import Study, Table, images
from papers.shared.under_attack import (
    is_right,
    right_under_ensemble,
    right_under_pgd,
    sanity,
    share,
)

PIXEL_NOISE_STD = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
KINDS = (  # of corruptions
    *("shot_noise", "impulse_noise", "brightness", "stripe"),
    *("rotate", "shear", "scale", "translate"),
)
SEVERITIES = (1, 3, 5)
STEPS = (1, 5, 10, 20, 40, 100)
EXAMPLES = 10  # images of which the nearest adversarial points are kept
TOLERANCE = 0.01  # of an accuracy: a few images on which a random start had bad luck
FARTHEST = {"linf": 0.5, "l2": 8.0}  # where PGD starts to look for what DeepFool did not break

TRANSFER = ["dataset", "seed", "target"]  # of each target of attacks that transfer


def _distances(model: nn.Module, x: Tensor, y: Tensor, x_adv: Tensor, norm: str) -> np.ndarray:
    """Distance of the adversarial points; inf where the attack found none."""
    return attacks.adversarial_distance(model, x, y, x_adv, norm).float().numpy()


# --------------------------------------------------------------------------------------- curves


def attack_curves(study: Study, parent: Record) -> Table:
    """Accuracy under FGSM, PGD, noise and corruptions against their strength; minimal distances.

    Returns: columns attack, norm, radius (or standard deviation, or severity), accuracy; arrays

        - clean, pgd.linf.radius and pgd.l2.radius: whether each image is classified correctly,
          before and after PGD;
        - deepfool.linf and deepfool.l2: the distance of the first half of the images to the
          adversarial point of DeepFool (0: misclassified, inf: none found);
        - minimal.linf and minimal.l2: the same where PGD with a bisected radius goes on from there,
          if the study has bisections.
    """
    model, (x, y) = trained.network(parent), images(study)
    clean = is_right(model, x, y)
    rows: list[tuple] = [("none", "", 0.0, share(clean))]
    arrays = {"clean": clean.numpy()}
    for norm, radii in (("linf", study.radii), ("l2", study.radii_l2)):
        for radius in radii:
            fast = attacks.fgsm(model, x, y, radius=radius, norm=norm)
            rows.append(("fgsm", norm, radius, accuracy(model, fast, y)))
            pgd = right_under_pgd(study, model, x, y, radius=radius, norm=norm)
            rows.append(("pgd", norm, radius, share(pgd)))
            arrays[f"pgd.{norm}.{radius:g}"] = pgd.numpy()
    for std in PIXEL_NOISE_STD:
        noisy = attacks.gaussian_noise(x, std, generator=study.generator())
        rows.append(("gaussian noise", "", std, accuracy(model, noisy, y)))
    for name, severity in product(KINDS, SEVERITIES):
        corrupted = attacks.corrupt(x, name, severity, generator=study.generator())
        rows.append((name, "", severity, accuracy(model, corrupted, y)))
    half = slice(max(1, len(x) // 2))
    x, y = x[half], y[half]
    for norm in ("linf", "l2"):
        first = attacks.deepfool(model, x, y, norm=norm)
        arrays[f"deepfool.{norm}"] = _distances(model, x, y, first, norm)
        if study.bisections:
            closer = _bisected(study, model, x, y, first, norm)
            arrays[f"minimal.{norm}"] = _distances(model, x, y, closer, norm)
    return pd.DataFrame(rows, columns=["attack", "norm", "radius", "accuracy"]), arrays


def _bisected(
    study: Study, model: nn.Module, x: Tensor, y: Tensor, start: Tensor, norm: str
) -> Tensor:
    """The points that PGD with a bisected radius finds from those of another attack."""
    how = {"bisections": study.bisections, "generator": study.generator()}
    return attacks.bisected_pgd(model, x, y, norm=norm, radius=FARTHEST[norm], start=start, **how)


# ------------------------------------------------------------------------------------- ensemble


def attack_ensemble(study: Study, parent: Record) -> Table:
    """Accuracy under the ensemble at a few L-infinity radii; restarted PGD and sanity checks.

    The first radius is the headline one, at which all but the ensemble is done.

    Returns: columns attack, radius, strength (of a check: steps, scale of the logits), accuracy;
        arrays ensemble.radius, whether each image is classified correctly after the ensemble.
    """
    model, (x, y) = trained.network(parent), images(study)
    rows: list[tuple] = [("none", 0.0, np.nan, accuracy(model, x, y))]
    arrays = {}
    for radius in study.radii:
        left = right_under_ensemble(study, model, x, y, radius=radius, steps=study.steps)
        for attack, right in left.items():
            rows.append((attack, radius, np.nan, share(right)))
        arrays[f"ensemble.{radius:g}"] = left["square"].numpy()
    headline = study.radii[0]
    ball = {"radius": headline, "generator": study.generator()}  # one stream of random numbers
    single = {
        "square alone": attacks.square(model, x, y, queries=study.queries, **ball),
        "pgd": attacks.pgd(model, x, y, restarts=study.restarts, **ball),
        "fgsm": attacks.fgsm(model, x, y, radius=headline),
    }
    for attack, x_adv in single.items():
        rows.append((attack, headline, np.nan, accuracy(model, x_adv, y)))
    for steps in STEPS:
        if steps <= study.steps:
            ball = {"radius": headline, "generator": study.generator()}
            step_size = max(headline / 10, 2.5 * headline / steps)
            x_adv = attacks.pgd(model, x, y, steps=steps, step_size=step_size, **ball)
            rows.append(("pgd steps", headline, steps, accuracy(model, x_adv, y)))
    everywhere, by_scale, zero = sanity(study, model, x, y)
    rows.append(("pgd", 1.0, np.nan, everywhere))
    rows += [("pgd, logits scaled", headline, *scaled) for scaled in by_scale.items()]
    rows.append(("zero gradient", 0.0, np.nan, zero))
    return pd.DataFrame(rows, columns=["attack", "radius", "strength", "accuracy"]), arrays


# ----------------------------------------------------------------------------------- some pixels


def attack_pixels(study: Study, parent: Record, *, kept: np.ndarray) -> Table:
    """Accuracy under PGD in L-infinity that may change only some pixels.

    Args:
        study, parent: what to measure, and the record of the network.
        kept: (n_pixels,) bool, those that a sparse network has links to.
    Returns: columns pixels ("all", "linked": those kept; "random": as many), number, radius,
        accuracy.
    """
    model, (x, y) = trained.network(parent), images(study)
    order = torch.randperm(len(kept), generator=study.generator())
    drawn = torch.zeros(len(kept), dtype=torch.bool)
    drawn[order[: int(kept.sum())]] = True
    allowed = {
        "all": torch.ones(len(kept), dtype=torch.bool),
        "linked": torch.from_numpy(kept),
        "random": drawn,
    }
    rows = []
    for name, pixels in allowed.items():
        for radius in study.radii:
            ball = {"radius": radius, "pixels": pixels, "generator": study.generator()}
            x_adv = attacks.pgd(model, x, y, steps=study.steps, **ball)
            rows.append((name, int(pixels.sum()), radius, accuracy(model, x_adv, y)))
    return pd.DataFrame(rows, columns=["pixels", "number", "radius", "accuracy"]), {}


# ------------------------------------------------------------------------------- minimal norms


def attack_minimal(
    study: Study, parent: Record, *, others: Callable[[], Mapping[str, nn.Module]]
) -> Table:
    """Accuracy under the one-pixel attack, smallest L2 norms by Carlini-Wagner, DeepFool, PGD with
    a bisected radius and the boundary attack, and how PGD found on this network transfers to the
    others.

    Points to transfer are those of highest loss after all steps; ``accuracy`` is then that of the
    target on images which both networks classify correctly before.

    Args:
        study, parent: what to measure, and the record of the network.
        others: () -> the networks of the same seed, by method.
    Returns: columns attack, target (method of the network attacked), radius, accuracy; arrays
        carlini_wagner, deepfool, boundary, if the study has bisections bisected_pgd (from
        DeepFool's points), and smallest (of all), the L2 distance of each image, see
        :func:`attack_curves`; of the first :data:`EXAMPLES` images example.pixels and
        example.changed, the image and its nearest adversarial point ((EXAMPLES, n_pixels)
        float32), example.classes and example.seen, the true class and the one that the network
        sees in that point ((EXAMPLES,) uint8).
    """
    model, (x, y) = trained.network(parent), images(study)
    generator = study.generator()
    first = attacks.deepfool(model, x, y)
    points = {
        "carlini_wagner": attacks.carlini_wagner(
            model, x, y, steps=study.queries, start_margin=1e-6
        ),
        "deepfool": first,
        "boundary": attacks.boundary(model, x, y, steps=5 * study.queries, generator=generator),
    }
    if study.bisections:
        points["bisected_pgd"] = _bisected(study, model, x, y, first, "l2")
    points["smallest"], _ = attacks.closest(model, x, y, points, "l2")
    nearest = points["smallest"][:EXAMPLES]
    arrays = {
        "example.pixels": x[:EXAMPLES].flatten(1).numpy(),
        "example.changed": nearest.flatten(1).numpy(),
        "example.classes": y[:EXAMPLES].numpy().astype(np.uint8),
        "example.seen": model(nearest).argmax(1).numpy().astype(np.uint8),
    }
    for name, x_adv in points.items():
        arrays[name] = _distances(model, x, y, x_adv, "l2")
    pixel = accuracy(model, attacks.one_pixel(model, x, y), y)
    rows: list[tuple] = [("one pixel", study.method, np.nan, pixel)]
    for radius in study.radii:
        rows += _transfers(study, model, others(), radius)
    return pd.DataFrame(rows, columns=["attack", "target", "radius", "accuracy"]), arrays


def _transfers(
    study: Study, model: nn.Module, targets: Mapping[str, nn.Module], radius: float
) -> list[tuple]:
    x, y = images(study, 5 * study.images)
    x_adv = attacks.pgd(
        model, x, y, radius=radius, steps=study.steps, early_stop=False, generator=study.generator()
    )
    right = is_right(model, x, y)
    rows = []
    for method, target in targets.items():
        both = right & is_right(target, x, y)
        kept = np.nan
        if both.any():
            kept = accuracy(target, x_adv[both], y[both])
        rows.append(("transfer", method, radius, kept))
    return rows


# --------------------------------------------------------------------------------- sanity checks


def check_attacks(
    curves: Iterable[Record], ensembles: Iterable[Record], minimal: Iterable[Record] = ()
) -> pd.DataFrame:
    """Sanity checks of [Carlini2019] on each attacked network, a row each.

    Accuracies may exceed what a check asks for by :data:`TOLERANCE`.

    Args:
        curves: records of ``attack_curves``.
        ensembles: records of ``attack_ensemble``; networks without one lack its checks.
        minimal: records of ``attack_minimal``, of all networks between which attacks transfer.
    Returns: columns dataset, method, seed, check, worst (how much an accuracy is too high, or the
        share of zero gradients), passed.
    """
    rows = []
    checked = [(record, _of_curves(record) | _of_distances(record)) for record in curves]
    checked += [(record, _of_ensemble(record)) for record in ensembles]
    for record, checks in checked:
        run = record.config
        rows += [(run.dataset, run.method, run.seed, *check) for check in checks.items()]
    rows += _of_transfer(minimal)
    table = pd.DataFrame(rows, columns=["dataset", "method", "seed", "check", "worst"])
    return table.assign(passed=table["worst"].round(6) <= TOLERANCE)


def _of_curves(record: Record) -> dict[str, float]:
    accuracy = record.metrics.pivot_table("accuracy", ["norm", "radius"], "attack")
    accuracy = accuracy.dropna(subset=["fgsm", "pgd"]).reset_index().sort_values("radius")
    rises = accuracy.groupby("norm")["pgd"].apply(_rise)
    return {
        "iterative attack as strong as one step": (accuracy["pgd"] - accuracy["fgsm"]).max(),
        "stronger with radius": rises.max(),
    }


def _of_distances(record: Record) -> dict[str, float]:
    """Share of images beyond a radius, less what PGD leaves of the same images: the largest of all
    radii. Nothing of a record without distances or outcomes of PGD, as of earlier versions.
    """
    too_far = []
    for norm, radii in (("linf", record.config.radii), ("l2", record.config.radii_l2)):
        distances = record.arrays.get(f"minimal.{norm}", [])
        for radius in radii:
            right = record.arrays.get(f"pgd.{norm}.{radius:g}")
            if len(distances) and right is not None:
                kept = right[: len(distances)].mean()
                too_far.append((distances > radius).mean() - kept)
    return {"minimal norms as small as PGD's": max(too_far)} if too_far else {}


def _rise(accuracies: pd.Series) -> float:
    """The largest rise of an accuracy that should fall."""
    return float((accuracies - accuracies.cummin()).max())


def _of_ensemble(record: Record) -> dict[str, float]:
    table = record.metrics
    headline = table[table["radius"] == record.config.radii[0]]
    more_steps = headline[headline["attack"] == "pgd steps"]
    everywhere = table[table["radius"] == 1]
    least = headline.groupby("attack")["accuracy"].min()
    white_box = least["square"]  # after both APGD and Square
    return {
        "stronger with steps": _rise(more_steps["accuracy"]),
        "all broken at radius 1": everywhere["accuracy"].max(),
        "white box as strong as black box": least["apgd_dlr"] - least["square alone"],
        "ensemble as strong as PGD with restarts": white_box - least["pgd"],
        "no scale of the logits breaks more": white_box - least["pgd, logits scaled"],
        "no zero gradients": table.set_index("attack")["accuracy"]["zero gradient"],
    }


def _of_transfer(minimal: Iterable[Record]) -> list[tuple]:
    """Cost of a transferred attack for each target: what its own attack leaves, less the least that
    another network's leaves.
    """
    parts = [record.metrics.assign(**facts(record)) for record in minimal]
    table = pd.concat(parts) if parts else pd.DataFrame(columns=["attack", *TRANSFER])
    transfer = table[table["attack"] == "transfer"]
    rows = []
    for (dataset, seed, target), part in transfer.groupby(TRANSFER, sort=False):
        own = part["method"] == target
        if own.any() and not own.all():
            worst = part["accuracy"][own].max() - part["accuracy"][~own].min()
            rows.append((dataset, target, seed, "white box as strong as transfer", worst))
    return rows
