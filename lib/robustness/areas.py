"""How much of its accuracy a network keeps, as one number of a curve."""

import math

import numpy as np
from numpy.typing import ArrayLike

from .._boundary import check_whole


def relative_area(fractions: ArrayLike, accuracies: ArrayLike, n_classes: int) -> float:
    r"""Robustness of accuracy: area under the relative accuracy above chance.

    .. math:: R_A = \int_0^1 \frac{A(f) - 1/K}{A(0) - 1/K} \, df

    by the trapezoid rule; 1 where nothing is lost. After the robustness R of [Schneider2011].

    Args:
        fractions: (n,) float, ascending from 0 to 1.
        accuracies: (n,) float, in [0, 1], at these fractions.
        n_classes: K, at least 2.
    Returns: :math:`R_A`; nan if A(0) is not above chance.
    Raises: ValueError if a value is out of range.
    """
    relative = _relative_accuracy(fractions, accuracies, n_classes)
    return float(np.trapezoid(relative, fractions))


def half_fraction(fractions: ArrayLike, accuracies: ArrayLike, n_classes: int) -> float:
    """First fraction at which the relative accuracy above chance falls below one half.

    Interpolated linearly; arguments and errors as in :func:`relative_area`.

    Returns: the fraction, nan if the accuracy never falls so far or A(0) is not above chance.
    """
    relative = _relative_accuracy(fractions, accuracies, n_classes)
    below = np.flatnonzero(relative < 0.5)
    if not len(below):
        return math.nan
    first = below[0]
    ends = [first, first - 1]  # the relative accuracy falls here, and interp wants it to rise
    fractions = np.asarray(fractions)
    return float(np.interp(0.5, relative[ends], fractions[ends]))


def _relative_accuracy(
    fractions: ArrayLike,
    accuracies: ArrayLike,
    n_classes: int,
) -> np.ndarray:
    """(n,) accuracy above chance, relative to that at fraction 0; nan if there is none."""
    fractions = np.asarray(fractions, float)
    accuracies = np.asarray(accuracies, float)
    ends = [*fractions[:1], *fractions[-1:]]
    ascending = ends == [0, 1] and (np.diff(fractions) > 0).all()
    if not ascending or fractions.shape != accuracies.shape:
        raise ValueError(f"fractions = {fractions}: give one per accuracy, ascending from 0 to 1")
    in_range = (accuracies >= 0) & (accuracies <= 1)
    if not in_range.all():
        raise ValueError(f"accuracies = {accuracies} are out of range: give fractions in [0, 1]")
    check_whole("n_classes", n_classes, least=2)
    above_chance = accuracies - 1 / n_classes
    at_first = above_chance[0]
    if at_first <= 0:
        return np.full_like(above_chance, np.nan)
    return above_chance / at_first
