"""Ranks, hypervolumes and correlations against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from papers.pruning import fronts

POINTS = arrays(float, st.tuples(st.integers(1, 25), st.integers(2, 4)), elements=st.integers(0, 4))


def dominates(a, b):
    return (a <= b).all() and (a < b).any()


def ranks_by_definition(points):
    """The longest chain of rows that dominate one another and lead to each row."""
    above = [[j for j, b in enumerate(points) if dominates(b, a)] for a in points]
    found = {}

    def rank(i):
        if i not in found:
            found[i] = 1 + max((rank(j) for j in above[i]), default=-1)
        return found[i]

    return [rank(i) for i in range(len(points))]


@given(points=POINTS)
def test_ranks_are_those_of_the_definition(points):
    np.testing.assert_array_equal(fronts.ranks(points), ranks_by_definition(points))


@given(points=POINTS)
def test_front_has_every_undominated_vector_once(points):
    kept = {tuple(a) for a in points if not any(dominates(b, a) for b in points)}
    found = points[fronts.front(points)]
    assert {*map(tuple, found)} == kept and len(found) == len(kept)


@pytest.mark.parametrize("function", [fronts.ranks, fronts.front, fronts.hypervolume])
@pytest.mark.parametrize(
    ("points", "named"),
    [
        ([[np.nan, 0.01], [0.1, 0.1]], "nan in 1 of 2 rows, the first in row 0"),
        ([[0.1, 0.1], [0.2, np.nan], [np.nan, np.nan]], "nan in 2 of 3 rows, the first in row 1"),
    ],
)
def test_a_row_that_is_nan_is_named_and_dominates_nothing(function, points, named):
    with pytest.raises(ValueError, match=named):
        function(np.array(points))


def test_hypervolume_of_one_point_is_its_box():
    assert fronts.hypervolume(np.array([[0.5, 0.2, 0.9]])) == pytest.approx(0.5 * 0.8 * 0.1)


def test_hypervolume_is_the_share_of_points_dominated(rng):
    points = rng.random((6, 3))
    drawn = rng.random((200_000, 3))
    is_covered = np.zeros(len(drawn), dtype=bool)
    for point in points:
        is_covered |= (drawn >= point).all(axis=1)
    error = np.sqrt(0.25 / len(drawn))
    assert fronts.hypervolume(points) == pytest.approx(is_covered.mean(), abs=4 * error)


def test_hypervolume_of_nothing_is_zero():
    assert fronts.hypervolume(np.zeros((0, 3))) == 0


def test_partial_correlation_is_that_of_the_residuals(rng):
    given_ = rng.permutation(50).astype(float)
    x, y = given_ + 20 * rng.normal(size=50), given_ + 20 * rng.normal(size=50)
    rank = [stats.rankdata(values) for values in (x, y, given_)]
    line = np.stack([rank[2], np.ones(50)], axis=1)
    left = [r - line @ np.linalg.lstsq(line, r)[0] for r in rank[:2]]
    desired = np.corrcoef(*left)[0, 1]
    assert fronts.partial_rank_correlation(x, y, given_) == pytest.approx(desired)


def test_correlation_of_what_does_not_vary_is_unknown():
    assert np.isnan(fronts.rank_correlation(np.ones(5), np.arange(5.0)))
    assert np.isnan(fronts.partial_rank_correlation(np.arange(5.0), np.ones(5), np.ones(5)))
