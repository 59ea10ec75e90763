"""Seeds, and what tests of several modules hold a support or a draw against."""

import torch
from scipy import stats

from lib._compiled import launch
from lib.layers import SparseLinear
from lib.support import make_support


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def on_one_and_two_threads(compute):
    """What is computed on one thread, and anew on two."""
    results = []
    for threads in (1, 2):
        with launch.on_threads(threads):
            results.append(compute())
    return results


def same(first, second):
    """Whether as many tensors agree to the bit."""
    return all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def links_of(net):
    """The keys of all links, layer by layer."""
    return [layer.support.keys for layer in net.modules() if isinstance(layer, SparseLinear)]


def is_valid(support):
    """Whether the links, checked anew (order, repeats, range), give the same index."""
    again = make_support(support.row, support.col, support.n_in, support.n_out)
    pairs = zip(again[2:], support[2:], strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def uniformity(counts, n_draws, n):
    """Level at which equal chances of all keys hold, where a draw takes n of them, all different.

    A count is binomial with variance smaller than Poisson's, and the counts of a draw exclude
    each other: (K - 1) / (K - n) times Pearson's sum is asymptotically chi-square with K - 1.
    """
    n_keys = len(counts)
    mean = n_draws * n / n_keys
    pearson = ((counts - mean) ** 2).sum().item() / mean
    return stats.chi2.sf(pearson * (n_keys - 1) / (n_keys - n), n_keys - 1)


def is_largest(keys, score):
    """Whether the scores at the keys, all different, are the largest; of equals any may be there.

    Where no score ties with the smallest of them, one set of keys only has these scores.
    """
    desired = score.topk(len(keys)).values
    return (keys.diff() > 0).all() and torch.equal(score[keys].sort(descending=True)[0], desired)
