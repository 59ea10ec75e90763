"""The compiled loops of an update of links: against sorts, and all sets that can be drawn."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st
from scipy import stats

from lib import growth
from lib._compiled import links
from lib.evolution import Evolution, evolve_
from lib.layers import SparseLinear
from lib.support import draw_free_keys
from tests.oracles import is_valid, seeded

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, size=st.integers(0, 300), bits=st.integers(0, 62))
def test_radix_sort_and_union_are_those_of_numpy(seed, size, bits):
    numbers = np.random.default_rng(seed).integers(2**bits, size=size)
    actual = links.ascending(numbers.copy(), 2**bits)
    assert np.array_equal(actual, np.sort(numbers))
    halves = np.sort(numbers[: size // 2]), np.sort(numbers[size // 2 :])
    assert np.array_equal(links.union(*halves), np.unique(numbers))


# draws


def level_of_sets(draws, possible, n):
    """Level at which every set of ``n`` of the possible numbers is equally likely."""
    counts = dict.fromkeys(combinations(possible, n), 0)
    for draw in draws:
        counts[tuple(draw.tolist())] += 1  # a set that is not possible, or not in order, is no key
    return stats.chisquare(list(counts.values())).pvalue


@pytest.mark.parametrize(("positions", "n"), [(3, 1), (6, 5), (12, 3)])
def test_every_set_of_distinct_numbers_is_equally_likely(positions, n, rng):
    n_draws = 40 * comb(positions, n)
    draws = [links.draw_distinct(n, positions, seed) for seed in rng.integers(2**63, size=n_draws)]
    assert level_of_sets(draws, range(positions), n) > 0.001  # fails for one good draw in 1,000


@pytest.mark.parametrize(
    ("occupied", "n"), [([], 2), ([11], 1), ([0, 1, 2], 2), ([3, 5, 6, 7, 10, 11], 5)]
)
def test_every_set_of_free_keys_is_equally_likely(occupied, n, generator):
    free = [key for key in range(12) if key not in occupied]
    how = {"generator": generator, "occupied": torch.tensor(occupied, dtype=torch.int64)}
    draws = [draw_free_keys(12, n, **how) for _ in range(40 * comb(len(free), n))]
    assert level_of_sets(draws, free, n) > 0.001  # fails for one good draw in 1,000


@given(seed=seeds, positions=st.integers(1, 400), data=st.data())
def test_distinct_numbers_are_as_many_as_asked_for(seed, positions, data):
    n = data.draw(st.integers(0, positions))
    numbers = links.draw_distinct(n, positions, seed)
    assert len(numbers) == n and links.are_keys(numbers, positions)


def test_numbers_of_a_range_that_is_no_power_of_two_are_equally_likely(rng):
    bound, n_draws = 3 * 2**61, 3000  # a third of all numbers of 64 bits is above any multiple
    draws = [links.draw_distinct(1, bound, seed)[0] for seed in rng.integers(2**63, size=n_draws)]
    thirds = np.bincount(np.array(draws) >> 61, minlength=3)
    assert stats.chisquare(thirds).pvalue > 0.001


@pytest.mark.parametrize("n", [0, 50, 5000, 6000])
def test_start_of_a_network_is_drawn_by_torch_alone(n):
    generator, keys = seeded(3), torch.arange(10_000)
    if 2 * n <= 10_000:
        keys = torch.empty(0, dtype=torch.int64)
        while len(keys) < n:
            n_draws = int(1.1 * (n - len(keys))) + 16
            more = torch.randint(10_000, (n_draws,), generator=generator)
            keys = torch.cat([keys, more]).unique()
    order = torch.randperm(len(keys), generator=generator)
    desired = keys[order[:n]].sort().values
    assert torch.equal(draw_free_keys(10_000, n, generator=seeded(3)), desired)


# a whole update


def smallest(score, eligible, fraction):
    candidates = eligible.nonzero()[:, 0]
    order = score[candidates].sort(stable=True).indices
    return candidates[order[: int(fraction * len(candidates) + 1e-9)]]


def plain_drop(values, drop, fraction):
    """Links that stay, by stable sorts."""
    stays = values != 0 if drop in ("sign", "magnitude") else torch.ones_like(values).bool()
    groups = {"sign": (values > 0, values < 0), "magnitude": (values != 0,)}
    score = -values.abs() if drop == "largest" else values.abs()
    for group in groups.get(drop, (stays.clone(),)):
        stays[smallest(score, group, fraction)] = False
    return stays.nonzero()[:, 0]


@of_hypothesis(max_examples=200)
@given(
    drop=st.sampled_from(["sign", "magnitude", "largest"]),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
    seed=seeds,
    density=st.floats(0.05, 0.9),
    fraction=st.sampled_from([0, 0.3, 0.5, 0.99]),
    ties=st.booleans(),
)
def test_update_is_that_of_plain_sorts_for_equal_draws(drop, dtype, seed, density, fraction, ties):
    generator = seeded(seed)
    layer = SparseLinear(25, 16, density=density, generator=generator, dtype=dtype)
    values = torch.randn(layer.nnz, generator=generator)
    values = layer.values.data = (values.round() if ties else values).to(dtype)
    optimiser = torch.optim.SGD([layer.values], lr=0.0, momentum=0.9)
    layer.values.grad = torch.randn(layer.nnz, generator=generator).to(dtype)
    optimiser.step()
    momentum = optimiser.state[layer.values]["momentum_buffer"]
    old, grown = layer.support.keys, []

    def recorded(site, n, *, generator):
        grown.append(growth.grow_random(site, n, generator=generator))
        return grown[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(growth.GROW_RULES, "random", recorded)
        evolve_(
            layer, Evolution(drop), fraction=fraction, generator=seeded(seed), optimiser=optimiser
        )
    kept = plain_drop(values, drop, fraction)
    keys, order = torch.cat([old[kept], grown[0]]).sort()
    new = torch.zeros(len(grown[0]), dtype=dtype)
    assert torch.equal(layer.support.keys, keys) and is_valid(layer.support)
    assert torch.equal(layer.values, torch.cat([values[kept], new])[order])
    state = optimiser.state[layer.values]["momentum_buffer"]
    assert torch.equal(state, torch.cat([momentum[kept], new])[order])
