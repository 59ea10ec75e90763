"""Votes, counted by hand and by their definition."""

from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from papers.pruning import ensembles


def test_votes_are_those_counted_one_by_one(rng):
    votes = rng.integers(0, 4, (6, 50))
    counted = []
    for column in votes.T:
        counts = Counter(column.tolist())
        most = max(counts.values())
        counted.append(min(label for label, n in counts.items() if n == most))
    assert_array_equal(ensembles.majority_vote(votes), counted)


def test_pairs_of_percentiles_are_the_published_ones():
    desired = [(50, 60), (55, 65), (60, 70), (65, 75), (70, 80), (75, 85), (80, 90), (85, 95)]
    assert list(ensembles.PERCENTILE_PAIRS) == desired


@pytest.mark.parametrize(("low", "high"), [(50, 60), (0, 100), (85, 95)])
def test_members_lie_between_the_percentiles(rng, low, high):
    accuracy = rng.permutation(101) / 100  # percentile p is p / 100
    actual = np.sort(accuracy[ensembles.members_between(accuracy, low, high)])
    assert_array_equal(actual, np.arange(low, high + 1) / 100)


def test_equal_heads_are_all_members():
    assert_array_equal(ensembles.members_between(np.full(4, 0.9), 50, 60), np.arange(4))


def test_pairs_with_fewer_than_two_members_are_left_out():
    found = ensembles.chosen(np.array([0.1, 0.2, 0.3]), [(0, 100), (60, 90)])
    assert list(found) == [(0, 100)]
