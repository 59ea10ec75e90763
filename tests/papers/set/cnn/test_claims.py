"""Claims on convolutional networks: numbers of weights, differences, what bounds them."""

import math

from papers import CLAIMS
from tests.papers.judging import judged
from tests.papers.set.cnn.made import trained

LEARNING = (0.5, 0.8, 0.79)


def networks(gains, rival, **fields):
    """SET beside a rival that it beats by so many points, a pair a seed."""
    records = []
    for seed, gain in enumerate(gains):
        above = [accuracy + gain / 100 for accuracy in LEARNING]
        records += [trained("set", seed, above, **fields), trained(rival, seed, LEARNING, **fields)]
    return records


def test_runs_on_digits_say_nothing_of_the_claims():
    records = networks([1.0, 2.0], "dense", dataset="digits")
    assert CLAIMS["S36"].measure(records) is None and CLAIMS["S39"].measure(records) is None


def test_overfitting_is_open_where_all_are_best_at_their_last_epoch():
    records = []
    for seed in range(5):
        records.append(trained("dense", seed, (0.5, 0.7, 0.8)))
        records.append(trained("set", seed, (0.5, 0.7, 0.8)))
    found = CLAIMS["S39"].measure(records)
    assert (found.value, found.low, found.high, found.n) == (0, -math.inf, math.inf, 5)
    assert judged("S39", found) == "open"
    records.append(trained("set", 5, (0.5, 0.8, 0.7)))
    records.append(trained("dense", 5, (0.5, 0.7, 0.8)))
    assert CLAIMS["S39"].measure(records).high < math.inf  # one could lose, and did
