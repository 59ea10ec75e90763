"""What a trained network keeps when its inputs are attacked, with and without knowledge of it, and
how steep it is: the tables behind notebook 51, one row a measurement.

Accuracy is the share of a fixed stratified subset of images that is classified correctly; an image
misclassified before the attack counts as lost at every radius.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import data
from lib.layers import Scale
from lib.papers.shared.study import Study, Table
from lib.papers.splash.training import network, stratified
from lib.robustness import attacks, lipschitz
from lib.runs.record import Record

# Set before any network of this room was attacked: the usual .1 of MNIST, where undefended networks
# keep part of their accuracy, less where images are harder; in L2 as usual for these images.
HEADLINE_RADIUS = {
    "digits": 0.1,
    "mnist": 0.1,
    "fashion_mnist": 0.03,
    "cifar10": 2 / 255,
    "cifar100": 2 / 255,
}
HEADLINE_RADIUS_L2 = {
    "digits": 0.5,
    "mnist": 1.5,
    "fashion_mnist": 0.5,
    "cifar10": 0.25,
    "cifar100": 0.25,
}
FACTORS = (1.0, 0.25, 0.5, 1.5, 2.0)  # of the headline radius
OPEN = ("fgsm", "pgd", "apgd_ce", "apgd_dlr", "pgd l2", "carlini_wagner", "deepfool")
BLACK = ("square", "transfer", "one pixel", "boundary")
MINIMAL = ("carlini_wagner", "deepfool", "boundary")
LOGIT_SCALES = (0.01, 100.0)
CARLINI_WAGNER_STEPS = 25  # times the steps of PGD: pixels of a black background move late
CARLINI_WAGNER_RATE = 0.05
FARTHEST = 8.0  # in L2, where PGD starts to look for what DeepFool did not break
COLUMNS = ["measure", "norm", "radius", "value"]

Row = tuple[str, str, float, float]


def images(study: Study) -> tuple[Tensor, Tensor]:
    """The images of a study and their labels: of the validation part where the data have one."""
    parent = study.parent
    split = data.load_once(parent.dataset, validation=parent.validation)
    if split.x_valid is not None:
        return stratified(split.x_valid, split.y_valid, study.images)
    return stratified(split.x_test, split.y_test, study.images)


def _right(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """(n,) bool, whether each image is classified correctly."""
    return ~attacks.is_adversarial(model, x, y)


def _share(right: Tensor) -> float:
    return right.double().mean().item()


# --------------------------------------------------------------------------- attacks of a radius


def robustness(study: Study, parent: Record, *, substitutes: Mapping[str, nn.Module]) -> Table:
    """Accuracy under attacks of a radius; Lipschitz constants, margins and slopes; sanity checks.

    Args:
        study, parent: what to measure, and the record of the network.
        substitutes: networks by unit on which points to be transferred are found; an image is kept
            if it withstands the points of all.
    Returns: columns measure, norm, radius, value; arrays right.clean and right.attack at the first
        radius, (n,) bool; margin and slope, (n,) float32.
    """
    model, (x, y) = network(parent), images(study)
    rights = {"clean": _right(model, x, y)}
    rows: list[Row] = [("clean", "", 0.0, _share(rights["clean"]))]
    headline = study.radii[0]
    for radius in study.radii:
        for name, right in _by_radius(study, model, x, y, radius):
            rows.append((name, "linf", radius, _share(right)))
            if radius == headline:
                rights[name] = right
    for name, norm, radius, right in _at_headline(study, model, substitutes, x, y):
        rows.append((name, norm, radius, _share(right)))
        rights[name] = right
    rows += _sanity(study, model, x, y)
    rows += _steepness(study, model, x)
    margin, slope = lipschitz.margins_and_slopes(model, x, y)
    rows += [
        ("margin", "", np.nan, margin.median().item()),
        ("slope", "l2", np.nan, slope.median().item()),
        ("distance to first order", "l2", np.nan, (margin / slope).median().item()),
    ]
    arrays = {f"right.{name}": right.numpy() for name, right in rights.items()}
    arrays |= {"margin": margin.numpy(), "slope": slope.numpy()}
    return pd.DataFrame(rows, columns=COLUMNS), arrays


def _by_radius(
    study: Study, model: nn.Module, x: Tensor, y: Tensor, radius: float
) -> Iterator[tuple[str, Tensor]]:
    yield "fgsm", _right(model, attacks.fgsm(model, x, y, radius=radius), y)
    moved = attacks.pgd(
        model,
        x,
        y,
        radius=radius,
        steps=study.steps,
        restarts=study.restarts,
        generator=study.generator(),
    )
    yield "pgd", _right(model, moved, y)


def _at_headline(
    study: Study,
    model: nn.Module,
    substitutes: Mapping[str, nn.Module],
    x: Tensor,
    y: Tensor,
) -> Iterator[tuple[str, str, float, Tensor]]:
    """(attack, norm, radius, whether each image is still classified correctly)."""
    radius, again = study.radii[0], {"restarts": study.restarts}

    def ball(radius: float = radius) -> dict[str, Any]:
        return {"radius": radius, "generator": study.generator()}

    for loss in ("ce", "dlr"):
        moved = attacks.apgd(model, x, y, loss=loss, steps=2 * study.steps, **again, **ball())
        yield f"apgd_{loss}", "linf", radius, _right(model, moved, y)
    moved = attacks.square(model, x, y, queries=study.queries, **ball())
    yield "square", "linf", radius, _right(model, moved, y)
    kept = _right(model, x, y)
    for unit, substitute in substitutes.items():
        moved = attacks.pgd(substitute, x, y, steps=study.steps, early_stop=False, **ball())
        withstood = _right(model, moved, y)
        yield f"transfer from {unit}", "linf", radius, _right(model, x, y) & withstood
        kept = kept & withstood
    yield "transfer", "linf", radius, kept
    for far in study.radii_l2:
        moved = attacks.pgd(model, x, y, norm="l2", steps=study.steps, **again, **ball(far))
        yield "pgd l2", "l2", far, _right(model, moved, y)


def _sanity(study: Study, model: nn.Module, x: Tensor, y: Tensor) -> list[Row]:
    """An attack that must break everything, other scales of the logits, and missing gradients."""
    everywhere = attacks.pgd(model, x, y, radius=1.0, generator=study.generator())
    rows: list[Row] = [("pgd everywhere", "linf", 1.0, _share(_right(model, everywhere, y)))]
    for scale in LOGIT_SCALES:
        scaled = nn.Sequential(model, Scale(scale)).eval()
        moved = attacks.pgd(
            scaled,
            x,
            y,
            radius=study.radii[0],
            steps=study.steps,
            generator=study.generator(),
        )
        kept = _share(_right(model, moved, y))
        rows.append((f"pgd, logits times {scale:g}", "linf", study.radii[0], kept))
    inputs = x.clone().requires_grad_()
    (grad_x,) = torch.autograd.grad(attacks.log_odds(model(inputs), y).sum(), inputs)
    zero = (grad_x.flatten(1) == 0).all(1)
    return [*rows, ("zero gradient", "", np.nan, _share(zero))]


def _steepness(study: Study, model: nn.Module, x: Tensor) -> list[Row]:
    """The Lipschitz constant of every layer and unit."""
    found = lipschitz.lipschitz_constants(model, x[:1], generator=study.generator())
    rows: list[Row] = []
    for kind, constants in found.items():
        for name, value in constants.items():
            rows.append((f"{kind} {name}", "l2", np.nan, value))
        rows.append((f"{kind} product", "l2", np.nan, lipschitz.product(constants)))
    return rows


# ------------------------------------------------------------------------- attacks of minimal norm


def minimal(study: Study, parent: Record) -> Table:
    """Smallest L2 norms that each of several attacks finds, and accuracy at the headline radius in
    L2; accuracy after the one-pixel attack (grey images).

    Returns: columns as :func:`robustness`; arrays l2.attack, (n,) float: the distance of each image
        (0: misclassified, inf: none found), l2.smallest: of all attacks, and right.attack, (n,)
        bool, whether it is farther than the headline radius.
    """
    model, (x, y) = network(parent), images(study)
    generator = study.generator()
    first = attacks.deepfool(model, x, y)
    points = {
        "carlini_wagner": attacks.carlini_wagner(
            model,
            x,
            y,
            steps=CARLINI_WAGNER_STEPS * study.steps,
            learning_rate=CARLINI_WAGNER_RATE,
        ),
        "deepfool": first,
        "boundary": attacks.boundary(model, x, y, steps=study.queries // 2, generator=generator),
        "bisected_pgd": attacks.bisected_pgd(
            model,
            x,
            y,
            radius=FARTHEST,
            start=first,
            bisections=study.bisections,
            generator=generator,
        ),
    }
    points["smallest"], _ = attacks.closest(model, x, y, points, "l2")
    rows: list[Row] = []
    arrays: dict[str, np.ndarray] = {}
    radius = study.radii_l2[0]
    for name, moved in points.items():
        distances = attacks.adversarial_distance(model, x, y, moved, "l2")
        arrays[f"l2.{name}"] = distances.float().numpy()
        arrays[f"right.{name}"] = (distances > radius).numpy()
        rows.append((name, "l2", radius, _share(distances > radius)))
        rows.append((f"median of {name}", "l2", np.nan, distances.median().item()))
    if x.ndim == 3:
        right = _right(model, attacks.one_pixel(model, x, y), y)
        arrays["right.one pixel"] = right.numpy()
        rows.append(("one pixel", "l0", 1.0, _share(right)))
    return pd.DataFrame(rows, columns=COLUMNS), arrays
