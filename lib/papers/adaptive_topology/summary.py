"""What a trained network keeps, in the few numbers that claims and comparisons of equal training
need: links removed, weights shuffled, attacks, margins. One row a measurement, and how each image
fared.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import models
from lib.layers import SparseLinear
from lib.papers.adaptive_topology.attacking import right_under_ensemble, right_under_pgd
from lib.papers.adaptive_topology.removal import SPARSE_DENSITY, images
from lib.papers.shared import trained
from lib.papers.shared.study import Study, Table
from lib.robustness import perturb
from lib.runs.record import Record
from lib.train import predict

ENSEMBLE_IMAGES = 500  # the first ones
ENSEMBLE_STEPS = 2.5  # of each APGD, relative to those of PGD
AREA_UNITS = 10**4  # of the stored area of an image

Row = tuple[str, float, int, float]
Change = Callable[[nn.Module, float, torch.Generator], nn.Module]


class Series(NamedTuple):
    """A perturbation of growing strength, from 0 to 1."""

    measure: str
    changed: Change


def robustness_summary(study: Study, parent: Record) -> Table:
    """What a network keeps of its accuracy, and what its margins and weights are.

    The first radius in L-infinity is the headline one, at which the ensemble attacks too.

    Returns: columns measure, strength, draw, value. Measures: "accuracy"; those of
        :func:`series_of` (accuracy at each fraction); "pgd linf" and "pgd l2" (accuracy at each
        radius); "ensemble linf" (accuracy of the first :data:`ENSEMBLE_IMAGES` images); those of
        :func:`margins` and :func:`weight_norms`. Arrays, one value an image: clean (bool); by the
        name of a series the area under its curve, the mean over draws, in ``1 / AREA_UNITS``
        (uint16); by "pgd linf 0.1" and the like, and "ensemble linf", whether the image is
        classified correctly after that attack (bool).
    """
    model, (x, y) = trained.network(parent), images(study)
    clean = _correct(model, x, y)
    rows: list[Row] = [("accuracy", 0.0, 0, clean.mean())]
    outcomes = {"clean": clean}
    for series in series_of(model, study.method):
        curve, outcomes[series.measure] = _followed(study, series, model, x, y)
        rows += curve
    for norm, radii in (("linf", study.radii), ("l2", study.radii_l2)):
        for radius in radii:
            kept = right_under_pgd(study, model, x, y, radius=radius, norm=norm).numpy()
            rows.append((f"pgd {norm}", radius, 0, kept.mean()))
            outcomes[f"pgd {norm} {radius:g}"] = kept
    kept = _right_under_all(study, model, x[:ENSEMBLE_IMAGES], y[:ENSEMBLE_IMAGES])
    rows.append(("ensemble linf", study.radii[0], 0, kept.mean()))
    outcomes["ensemble linf"] = kept
    numbers = margins(model, x, y) | weight_norms(model)
    rows += [(measure, 0.0, 0, value) for measure, value in numbers.items()]
    return pd.DataFrame(rows, columns=["measure", "strength", "draw", "value"]), outcomes


# ------------------------------------------------------------------------------ links and weights


def series_of(model: nn.Module, method: str) -> list[Series]:
    """Random removal of links, as they are and with the weights left scaled up, and shuffles of
    all weights and within signs; of the dense network also removal down to the numbers of links
    that a sparse one has left.
    """
    series = [
        Series("removal", _removed),
        Series("removal, rescaled", _rescaled),
        Series("shuffle", _shuffled),
        Series("shuffle within sign", _shuffled_within_sign),
    ]
    if method == "dense" and not models.sparse_layers(model):
        series.append(Series("removal, equal number left", _down_to_sparse))
    return series


def _removed(model: nn.Module, fraction: float, generator: torch.Generator) -> nn.Module:
    return perturb.remove_links(model, fraction, generator=generator)


def _rescaled(model: nn.Module, fraction: float, generator: torch.Generator) -> nn.Module:
    return perturb.remove_links(model, fraction, rescale=True, generator=generator)


def _shuffled(model: nn.Module, fraction: float, generator: torch.Generator) -> nn.Module:
    return perturb.shuffle_weights(model, fraction, generator=generator)


def _shuffled_within_sign(
    model: nn.Module, fraction: float, generator: torch.Generator
) -> nn.Module:
    return perturb.shuffle_weights(model, fraction, within="sign", generator=generator)


def _down_to_sparse(model: nn.Module, fraction: float, generator: torch.Generator) -> nn.Module:
    left = SPARSE_DENSITY * (1 - fraction)
    return perturb.remove_links(model, 1 - left, generator=generator)


def _followed(
    study: Study, series: Series, model: nn.Module, x: Tensor, y: Tensor
) -> tuple[list[Row], np.ndarray]:
    """The accuracies of a series, and the area under the curve of each image."""
    fractions = np.linspace(0, 1, study.points)
    rows = []
    curves = np.zeros((study.points, len(y)))
    for i, fraction in enumerate(fractions.tolist()):
        for draw in range(study.draws):
            changed = series.changed(model, fraction, study.generator(draw))
            correct = _correct(changed, x, y)
            rows.append((series.measure, fraction, draw, correct.mean()))
            curves[i] += correct / study.draws
    area = np.trapezoid(curves, fractions, axis=0)
    return rows, np.round(AREA_UNITS * area).astype(np.uint16)


# ----------------------------------------------------------------------------------------- attacks


def _right_under_all(study: Study, model: nn.Module, x: Tensor, y: Tensor) -> np.ndarray:
    """(n,) bool, whether each image withstands the ensemble at the headline radius."""
    headline, steps = study.radii[0], round(ENSEMBLE_STEPS * study.steps)
    left = right_under_ensemble(study, model, x, y, radius=headline, steps=steps)
    return left["square"].numpy()


def _correct(model: nn.Module, x: Tensor, y: Tensor) -> np.ndarray:
    """(n,) bool, whether each image is classified correctly."""
    return (predict(model, x).argmax(1) == y).numpy()


# ------------------------------------------------------------------------------ margins and weights


def margins(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, float]:
    r"""Medians over the images of the margin, its gradient and their quotient.

    .. math:: m = z_y - \max_{j \ne y} z_j, \qquad \|\nabla_x m\|_1, \qquad m / \|\nabla_x m\|_1

    The quotient is the distance in L-infinity to the boundary of the linearised network, negative
    where the class is wrong.

    Args:
        model: in evaluation mode.
        x: (n, features...) float.
        y: (n,) classes.
    """
    pixels = x.flatten(1).clone().requires_grad_()
    z = model(pixels)
    others = z.masked_fill(nn.functional.one_hot(y, z.shape[1]).bool(), -torch.inf)
    margin = z.gather(1, y[:, None]).squeeze(1) - others.max(1).values
    (gradient,) = torch.autograd.grad(margin.sum(), pixels)
    size = gradient.abs().sum(1)
    linear = margin.detach() / size.clamp(min=torch.finfo(size.dtype).tiny)
    return {
        "margin": float(margin.detach().median()),
        "gradient of the margin": float(size.median()),
        "linear distance": float(linear.median()),
    }


def weight_norms(model: nn.Module) -> dict[str, float]:
    """Of each linear layer the Frobenius norm "weights of ..." and the largest singular value
    "gain of ...".
    """
    norms = {}
    for name, layer in perturb.perturbed_layers(model, output=True).items():
        weight = layer.to_dense() if isinstance(layer, SparseLinear) else layer.weight
        weight = weight.detach()
        norms[f"weights of {name}"] = float(weight.norm())
        norms[f"gain of {name}"] = float(torch.linalg.matrix_norm(weight, ord=2))
    return norms
