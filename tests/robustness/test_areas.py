"""Areas under curves of accuracy against closed forms."""

import math

import pytest

from lib.robustness import areas

GRID = [0, 0.1, 0.4, 0.5, 0.9, 1]


@pytest.mark.parametrize(
    ("fractions", "accuracies", "n_classes", "area", "half"),
    [
        (GRID, [0.9 - 0.8 * f for f in GRID], 10, 1 / 2, 1 / 2),  # linear, down to chance
        (GRID, [0.9 - 0.4 * f for f in GRID], 10, 3 / 4, math.nan),  # down to one half, not below
        (GRID, [0.9] * 6, 10, 1, math.nan),
        ([0, 1], [1, 0], 2, 0, 1 / 4),  # as far below chance as it was above
        ([0, 0.5, 0.75, 1], [1, 1, 0.5, 0.5], 2, 5 / 8, 5 / 8),
        ([0, 0.2, 0.4, 0.6, 1], [1, 0.55, 0.8, 0.7, 0.7], 2, 0.44, 0.2 * 0.5 / 0.9),  # the first
        (GRID, [0.1, 0.1, 0.2, 0.1, 0.1, 0.1], 10, math.nan, math.nan),  # nothing to lose
    ],
)
def test_area_and_half_fraction_have_their_closed_form(
    fractions, accuracies, n_classes, area, half
):
    actual = areas.relative_area(fractions, accuracies, n_classes)
    assert actual == pytest.approx(area, nan_ok=True)
    actual = areas.half_fraction(fractions, accuracies, n_classes)
    assert actual == pytest.approx(half, nan_ok=True)


@pytest.mark.parametrize(
    ("fractions", "accuracies", "n_classes", "sentence"),
    [
        ([0, 0.5], [1, 0], 2, "ascending from 0 to 1"),
        ([0, 0.5, 0.5, 1], [1, 1, 0, 0], 2, "ascending from 0 to 1"),
        ([0, math.nan, 1], [1, 1, 0], 2, "ascending from 0 to 1"),
        ([0, 1], [1, 0, 0], 2, "give one per accuracy"),
        ([0, 1], [98.0, 10.0], 10, "accuracies = .* are out of range"),
        ([0, 1], [1, 0], 1, "n_classes = 1 is out of range"),
    ],
)
def test_curves_out_of_range_are_refused(fractions, accuracies, n_classes, sentence):
    for measure in (areas.relative_area, areas.half_fraction):
        with pytest.raises(ValueError, match=sentence):
            measure(fractions, accuracies, n_classes)
