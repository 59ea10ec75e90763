"""Robustness of trained networks in the few numbers that claims and comparisons of equal training
need: links removed, weights shuffled, attacks, margins. Further studies have files of their own.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import models
from lib.layers import SparseLinear
from lib.robustness import areas, perturb
from lib.robustness.lipschitz import margins_and_gradients
from lib.runs.record import Record
from papers.adaptive_topology.link_removal import SPARSE_DENSITY
from papers.shared import trained
from papers.shared.study import Study, Table, images
from papers.shared.under_attack import APGD_STEPS, is_right, right_under_ensemble, right_under_pgd

ENSEMBLE_IMAGES = 500  # the first ones
AREA_UNITS = 10**4  # of the stored area of an image

Change = Callable[..., nn.Module]  # (network, strength, *, generator) -> the changed network


def robustness_summary(study: Study, parent: Record) -> Table:
    """Kept accuracy of a network, its margins and its weights.

    The first radius in L-infinity is the headline one, at which the ensemble attacks too.

    Returns: columns measure, strength, draw, value. Measures: "accuracy"; those of
        :func:`changes_of` (accuracy at each fraction); "pgd linf" and "pgd l2" (accuracy at each
        radius); "ensemble linf" (accuracy of the first :data:`ENSEMBLE_IMAGES` images); those of
        :func:`margins` and :func:`weight_norms`. Arrays, one value an image: clean (bool); by the
        name of a series the area under its curve, the mean over draws, in ``1 / AREA_UNITS``
        (uint16); by "pgd linf 0.1" and the like, and "ensemble linf", whether the image is
        classified correctly after that attack (bool).
    """
    model, (x, y) = trained.network(parent), images(study)
    clean = is_right(model, x, y).numpy()
    rows = [("accuracy", 0.0, 0, clean.mean())]
    outcomes = {"clean": clean}
    fractions = np.linspace(0, 1, study.points)
    for measure, changed in changes_of(model, study.method).items():
        curves = np.zeros((study.points, len(y)))
        for i, fraction in enumerate(fractions.tolist()):
            for draw in range(study.draws):
                fewer = changed(model, fraction, generator=study.generator(draw))
                correct = is_right(fewer, x, y).numpy()
                rows.append((measure, fraction, draw, correct.mean()))
                curves[i] += correct / study.draws
        area = np.trapezoid(curves, fractions, axis=0)
        outcomes[measure] = np.round(AREA_UNITS * area).astype(np.uint16)
    for norm, radii in (("linf", study.radii), ("l2", study.radii_l2)):
        for radius in radii:
            kept = right_under_pgd(study, model, x, y, radius=radius, norm=norm).numpy()
            rows.append((f"pgd {norm}", radius, 0, kept.mean()))
            outcomes[f"pgd {norm} {radius:g}"] = kept
    first, steps = slice(ENSEMBLE_IMAGES), round(APGD_STEPS * study.steps)
    left = right_under_ensemble(
        study, model, x[first], y[first], radius=study.radii[0], steps=steps
    )
    outcomes["ensemble linf"] = left["square"].numpy()
    rows.append(("ensemble linf", study.radii[0], 0, outcomes["ensemble linf"].mean()))
    numbers = margins(model, x, y) | weight_norms(model)
    rows += [(measure, 0.0, 0, value) for measure, value in numbers.items()]
    return pd.DataFrame(rows, columns=["measure", "strength", "draw", "value"]), outcomes


def changes_of(model: nn.Module, method: str) -> dict[str, Change]:
    """Changes of growing strength, from 0 to 1, by name: random removal of links, as they are and
    with the weights left scaled up, and shuffles of all weights and within signs; of the dense
    network also removal down to the numbers of links that a sparse one has left.
    """
    changes: dict[str, Change] = {
        "removal": perturb.remove_links,
        "removal, rescaled": partial(perturb.remove_links, rescale=True),
        "shuffle": perturb.shuffle_weights,
        "shuffle within sign": partial(perturb.shuffle_weights, within="sign"),
    }
    if method == "dense" and not models.sparse_layers(model):
        changes["removal, equal number left"] = _down_to_sparse
    return changes


def _down_to_sparse(model: nn.Module, fraction: float, *, generator: torch.Generator) -> nn.Module:
    left = SPARSE_DENSITY * (1 - fraction)
    return perturb.remove_links(model, 1 - left, generator=generator)


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
    margin, gradient = margins_and_gradients(model, x.flatten(1), y)
    size = gradient.abs().sum(1)
    linear = margin / size.clamp(min=torch.finfo(size.dtype).tiny)
    return {
        "margin": float(margin.median()),
        "gradient of the margin": float(size.median()),
        "linear distance": float(linear.median()),
    }


def weight_norms(model: nn.Module) -> dict[str, float]:
    """Norms of each linear layer: the Frobenius norm "weights of ..." and the largest singular
    value "gain of ...".
    """
    norms = {}
    for name, layer in perturb.perturbed_layers(model, output=True).items():
        weight = layer.to_dense() if isinstance(layer, SparseLinear) else layer.weight
        weight = weight.detach()
        norms[f"weights of {name}"] = float(weight.norm())
        norms[f"gain of {name}"] = float(torch.linalg.matrix_norm(weight, ord=2))
    return norms


# ---------------------------------------------------------------------------- what a summary says


def outcomes(record: Record, name: str) -> np.ndarray:
    """(n_images,) float: of each image what an array of a summary says, areas as fractions."""
    array = record.arrays[name]
    return array.astype(float) if array.dtype == bool else array / AREA_UNITS


def relative_areas(record: Record, series: str) -> np.ndarray:
    r"""(n_images,) float whose mean is the relative area of a series, and whose spread is that of
    the area over images, to first order:

    .. math::
        \phi_i = R + \frac{(a_i - 1/K) - R (o_i - 1/K)}{\bar o - 1/K}, \qquad
        R = \frac{\bar a - 1/K}{\bar o - 1/K}

    with :math:`a_i` the area under the curve of an image and :math:`o_i` whether the whole network
    has it right.
    """
    chance = 1 / trained.widths(record)[-1]
    above = outcomes(record, series) - chance
    whole = outcomes(record, "clean") - chance
    relative = above.mean() / whole.mean()
    return relative + (above - relative * whole) / whole.mean()


def half_radius(record: Record, norm: str) -> float:
    """Radius at which PGD leaves half of the accuracy, interpolated; nan where more is left at the
    largest radius tried.
    """
    table = record.metrics
    attacked = table[table["measure"] == f"pgd {norm}"].groupby("strength")["value"].mean()
    radii = np.concatenate([[0.0], attacked.index])
    left = np.concatenate([[outcomes(record, "clean").mean()], attacked])
    below = np.flatnonzero(left < left[0] / 2)
    if not len(below):
        return math.nan
    ends = [below[0], below[0] - 1]  # np.interp wants rising abscissae
    return float(np.interp(left[0] / 2, left[ends], radii[ends]))


def areas_of(curves: pd.DataFrame) -> pd.DataFrame:
    """The relative area under each curve of accuracy, and where half of it is lost; see
    :mod:`lib.robustness.areas`.

    Args:
        curves: of :func:`papers.frame`, rows that differ in nothing but strength, from 0 to 1,
            and value are a curve; network ends with the number of classes.
    Returns: the columns without strength, measure being "area of …" and "half fraction of …".
    """
    keys = [name for name in curves if name not in ("strength", "value")]
    rows = []
    for place, curve in curves.groupby(keys, dropna=False, sort=False, observed=True):
        named = dict(zip(keys, place, strict=True))
        points = curve.sort_values("strength")[["strength", "value"]].to_numpy().T
        n_classes = int(named["network"].rpartition("-")[2])
        for name, measure in (
            ("area", areas.relative_area),
            ("half fraction", areas.half_fraction),
        ):
            value = measure(*points, n_classes)
            rows.append({**named, "measure": f"{name} of {named['measure']}", "value": value})
    return pd.DataFrame(rows, columns=[*keys, "value"])
