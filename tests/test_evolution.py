"""Laws of drop and grow, tables worked by hand, and the statistics of the draws."""

import copy
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode

from lib import evolution
from lib.evolution import Evolution, evolve_, remove_
from lib.layers import SparseLinear
from lib.link_prediction import ch3_l3
from lib.support import make_support

OPTIMISERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.0, momentum=0.9),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.0),
}
each_drop = pytest.mark.parametrize("drop", evolution.DROP_RULES)
each_grow = pytest.mark.parametrize("grow", evolution.GROW_RULES)
each_optimiser = pytest.mark.parametrize("optimiser_name", OPTIMISERS)
each_wrong_width = pytest.mark.parametrize(
    ("n_in", "n_out"), [(0, 4), (3, 0), (0, 0), (-3, 4), (-3, -4)]
)
fractions = st.sampled_from([0, 0.125, 0.3, 0.5, 0.9, 0.99])


@st.composite
def layers(draw):
    """A small layer, perhaps without links; its weights are 0 or ±1, ±2, ±3, so that many tie."""
    n_in, n_out = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    generator = seeded(draw(st.integers(0, 2**32)))
    layer = SparseLinear(n_in, n_out, density=draw(st.floats(0.01, 1)), generator=generator)
    layer.values.data = torch.randint(-3, 4, (layer.nnz,), generator=generator).double()
    return layer


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def mark(layer, optimiser_name):
    """An optimiser that changed no weight and whose state is positive at every link."""
    optimiser = OPTIMISERS[optimiser_name]([layer.values])
    layer.values.grad = torch.arange(1.0, layer.nnz + 1)
    optimiser.step()
    return optimiser


def update(layer, rules, fraction, optimiser=None, seed=0):
    x, grad_y = (torch.randn(n, 3, generator=seeded(7)) for n in (layer.n_in, layer.n_out))
    how = {"fraction": fraction, "generator": seeded(seed), "optimiser": optimiser}
    return evolve_(layer, rules, **how, x=x, grad_y=grad_y)


def scattered(layer, optimiser):
    """Weights and optimiser state as full (n_in · n_out,) vectors, 0 where there is no link."""
    state = optimiser.state[layer.values].values()
    vectors = [layer.values.detach(), *(s for s in state if s.shape == layer.values.shape)]
    zeros = torch.zeros(layer.n_in * layer.n_out)
    return [zeros.index_put((layer.support.keys,), vector) for vector in vectors]


def n_dropped(drop, values, fraction):
    """Number of links a rule drops, by its definition and with the fraction as it is written."""
    zeros, positive, negative = ((values.sign() == s).sum().item() for s in (0, 1, -1))
    zeta = Fraction(str(fraction))
    if drop == "sign":
        return zeros + math.floor(zeta * positive) + math.floor(zeta * negative)
    if drop == "magnitude":
        return zeros + math.floor(zeta * (positive + negative))
    return math.floor(zeta * len(values))


def is_valid(support):
    """Whether the links, checked anew (order, repeats, range), give the same index."""
    again = make_support(support.row, support.col, support.n_in, support.n_out)
    return all(torch.equal(a, b) for a, b in zip(again[2:], support[2:], strict=True))


# the update


@each_drop
@each_grow
@each_optimiser
@given(layer=layers(), fraction=fractions)
def test_evolve_keeps_number_of_links_and_survivors(drop, grow, optimiser_name, layer, fraction):
    optimiser, nnz = mark(layer, optimiser_name), layer.nnz
    desired, before = n_dropped(drop, layer.values, fraction), scattered(layer, optimiser)
    assert update(layer, Evolution(drop, grow), fraction, optimiser) == desired
    assert layer.nnz == nnz and is_valid(layer.support) and layer.values.grad is None
    after = scattered(layer, optimiser)
    survived = after[1] != 0  # new links have no state
    assert survived.sum() == nnz - desired
    assert all(torch.equal(a, b * survived) for a, b in zip(after, before, strict=True))


@each_drop
@each_optimiser
@given(layer=layers(), fraction=fractions)
def test_remove_drops_links_and_keeps_survivors(drop, optimiser_name, layer, fraction):
    optimiser, nnz = mark(layer, optimiser_name), layer.nnz
    desired, before = n_dropped(drop, layer.values, fraction), scattered(layer, optimiser)
    how = {"fraction": fraction, "generator": seeded(0), "optimiser": optimiser}
    assert remove_(layer, Evolution(drop), **how) == desired
    assert layer.nnz == nnz - desired and is_valid(layer.support)
    after = scattered(layer, optimiser)
    assert (after[1] != 0).sum() == layer.nnz
    assert all(torch.equal(a, b * (after[1] != 0)) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("sign", [-1, 1])
@given(layer=layers(), fraction=fractions)
def test_final_removal_takes_the_share_of_each_sign_that_is_weakest(sign, layer, fraction):
    def magnitudes():
        return layer.values[layer.values.sign() == sign].abs().sort().values

    before = magnitudes()
    remove_(layer, Evolution("sign"), fraction=fraction, generator=seeded(0))
    assert torch.equal(magnitudes(), before[math.floor(Fraction(str(fraction)) * len(before)) :])
    assert layer.values.all()  # and every exact zero


@each_optimiser
@given(layer=layers(), fraction=fractions)
def test_reset_state_forgets_the_state_of_every_link(optimiser_name, layer, fraction):
    optimiser = mark(layer, optimiser_name)
    update(layer, Evolution(reset_state=True), fraction, optimiser)
    assert not any(state.any() for state in scattered(layer, optimiser)[1:])


@each_drop
@each_grow
@given(layer=layers(), fraction=fractions)
def test_dropped_links_do_not_come_back_at_once(drop, grow, layer, fraction):
    assume(n_dropped(drop, layer.values, fraction) <= layer.n_in * layer.n_out - layer.nnz)
    optimiser, old = mark(layer, "SGD"), layer.support.keys
    n = update(layer, Evolution(drop, grow, regrow_dropped=False), fraction, optimiser)
    is_new = scattered(layer, optimiser)[1][layer.support.keys] == 0
    assert is_new.sum() == n
    assert not torch.isin(layer.support.keys[is_new], old).any()


@each_drop
@each_grow
def test_same_generator_gives_the_same_links_and_another_does_not(drop, grow, generator):
    layer = SparseLinear(30, 20, density=0.2, generator=generator)
    twin, other = copy.deepcopy(layer), copy.deepcopy(layer)
    rules = Evolution(drop, grow, new_std=1.0)
    update(layer, rules, 0.3, seed=1)
    update(twin, rules, 0.3, seed=1)
    update(other, rules, 0.3, seed=2)
    assert torch.equal(layer.support.keys, twin.support.keys)
    assert torch.equal(layer.values, twin.values)
    assert not torch.equal(layer.values, other.values)


def test_new_links_have_the_standard_deviation_asked_for(generator):
    layer = SparseLinear(100, 200, density=0.5, generator=generator)
    layer.values.data.zero_()  # every link is dropped, so every link is new
    assert update(layer, Evolution(new_std=0.5), 0.3) == layer.nnz == 10_000
    assert abs(layer.values.mean()) < 5 * 0.5 / math.sqrt(10_000)  # 5 standard errors
    assert abs(layer.values.var() - 0.25) < 5 * 0.25 * math.sqrt(2 / 10_000)


@each_grow
def test_update_without_room_is_refused(grow):
    full = SparseLinear(4, 5, density=1.0)
    with pytest.raises(ValueError, match="do not fit into the 0 free positions"):
        update(full, Evolution(grow=grow, regrow_dropped=False), 0.5)


@pytest.mark.parametrize("fraction", [-0.1, 1, math.nan])
def test_drop_fraction_out_of_range_is_refused(fraction):
    layer = SparseLinear(4, 5, density=0.5)
    with pytest.raises(ValueError, match=f"drop fraction {fraction} is out of range"):
        update(layer, Evolution(), fraction)
    with pytest.raises(ValueError, match=f"drop fraction {fraction} is out of range"):
        remove_(layer, Evolution(), fraction=fraction, generator=seeded(0))


def test_training_goes_on_after_a_removal_while_the_last_loss_is_kept():
    layer, x = SparseLinear(6, 5, density=1.0), torch.rand(3, 6)
    loss = layer(x).sum()
    loss.backward()  # the graph of this loss lives on with its name
    remove_(layer, Evolution(), fraction=0.5, generator=seeded(0))
    layer(x).sum().backward()
    desired = x.sum(0)[layer.col.long()]
    torch.testing.assert_close(layer.values.grad, desired)


# drop rules: 4 positive weights, 4 negative ones, 2 zeros; .2 and -.1 twice

WEIGHTS = [0.5, -0.1, 0.0, 0.2, -0.4, 0.2, -0.1, 0.9, 0.0, -0.3]


@pytest.mark.parametrize(
    ("drop", "fraction", "desired"),
    [
        ("sign", 0, [2, 8]),  # exact zeros go, besides the fraction
        ("sign", 0.24, [2, 8]),  # ⌊.96⌋ of each sign
        ("sign", 0.3, [1, 2, 3, 8]),  # ⌊1.2⌋ of each sign; of equals the earlier
        ("sign", 0.5, [1, 2, 3, 5, 6, 8]),
        ("sign", 0.75, [0, 1, 2, 3, 5, 6, 8, 9]),
        ("magnitude", 0, [2, 8]),
        ("magnitude", 0.3, [1, 2, 6, 8]),  # ⌊2.4⌋ of the eight that are not zero
        ("magnitude", 0.4, [1, 2, 3, 6, 8]),
        ("magnitude", 0.5, [1, 2, 3, 5, 6, 8]),
        ("magnitude", 0.75, [1, 2, 3, 4, 5, 6, 8, 9]),
        ("largest", 0, []),
        ("largest", 0.3, [0, 4, 7]),  # ⌊3⌋ of all ten
        ("largest", 0.5, [0, 3, 4, 7, 9]),
    ],
)
def test_drop_rules_follow_the_table(drop, fraction, desired):
    rule = evolution.DROP_RULES[drop]
    dropped = rule(torch.tensor(WEIGHTS), fraction, generator=seeded(0))
    assert dropped.nonzero().squeeze(1).tolist() == desired


def test_signs_are_counted_apart():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, -1.0, -2.0, -3.0])
    dropped = evolution.drop_per_sign(values, 0.5, generator=seeded(0))  # ⌊2.5⌋ and ⌊1.5⌋
    assert dropped.nonzero().squeeze(1).tolist() == [0, 1, 5]


def test_random_drop_takes_every_link_equally_often():
    values, n_draws = torch.tensor(WEIGHTS), 4000
    generator = seeded(0)
    draws = [evolution.drop_random(values, 0.3, generator=generator) for _ in range(n_draws)]
    assert {int(dropped.sum()) for dropped in draws} == {3}
    assert uniformity(torch.stack(draws).sum(0), n_draws, 3) > 0.001


def uniformity(counts, n_draws, n):
    """Level at which equal chances of all keys hold, where a draw takes n of them, all different.

    A count is binomial with variance smaller than Poisson's, and the counts of a draw exclude
    each other: (K - 1) / (K - n) times Pearson's sum is asymptotically chi-square with K - 1.
    """
    n_keys, mean = len(counts), n_draws * n / len(counts)
    pearson = ((counts - mean) ** 2).sum().item() / mean
    return stats.chi2.sf(pearson * (n_keys - 1) / (n_keys - n), n_keys - 1)


# grow rules


@pytest.mark.parametrize("block", [1, 12, 30, 2**22])  # entries: a row, a row, two rows, all
@pytest.mark.parametrize("n", [0, 1, 20, 78])
def test_growth_by_gradient_takes_the_largest_of_the_full_gradient(
    block, n, monkeypatch, generator
):
    monkeypatch.setattr(evolution, "DENSE_BLOCK", block)
    occupied = torch.randperm(108, generator=generator)[:30].sort().values
    x, grad_y = torch.randn(12, 5, generator=generator), torch.randn(9, 5, generator=generator)
    site = evolution.Site(12, 9, occupied, x, grad_y)
    score = (grad_y @ x.t()).abs().flatten()
    score[occupied] = -1
    actual = evolution.grow_gradient(site, n, generator=generator)
    assert torch.equal(actual, score.topk(n).indices.sort().values)


def test_evolution_by_gradient_links_the_largest_free_gradients(generator):
    layer = SparseLinear(12, 9, density=0.3, generator=generator)
    x, grad_y = torch.randn(12, 5, generator=generator), torch.randn(9, 5, generator=generator)
    rules, old = Evolution("magnitude", "gradient"), layer.support.keys
    dropped = evolution.drop_magnitude(layer.values, 0.3, generator=generator)
    score = (grad_y @ x.t()).abs().flatten()
    score[old[~dropped]] = -1  # a position just dropped is free
    grown = score.topk(int(dropped.sum())).indices
    evolve_(layer, rules, fraction=0.3, generator=generator, x=x, grad_y=grad_y)
    assert torch.equal(layer.support.keys, torch.cat([old[~dropped], grown]).sort().values)


def test_growth_by_gradient_without_gradients_is_refused():
    layer = SparseLinear(12, 9, density=0.3)
    with pytest.raises(ValueError, match="needs the inputs and gradients of the layer"):
        evolve_(layer, Evolution(grow="gradient"), fraction=0.3, generator=seeded(0))


@pytest.mark.parametrize("grow", evolution.GROW_RULES.values())
def test_growth_fills_the_last_free_positions_and_no_more(grow):
    taken = torch.tensor([0, 1, 3, 5])
    site = evolution.Site(3, 2, taken, torch.ones(3, 1), torch.ones(2, 1))
    assert grow(site, 2, generator=seeded(0)).tolist() == [2, 4]
    with pytest.raises(ValueError, match="3 new links do not fit into the 2 free positions"):
        grow(site, 3, generator=seeded(0))


@pytest.mark.parametrize("n_occupied", [0, 10])
@pytest.mark.parametrize("n", [8, 45])  # roomy and crowded
def test_free_keys_are_drawn_uniformly(n, n_occupied, generator):
    occupied, n_draws = torch.randperm(60, generator=generator)[:n_occupied].sort().values, 4000
    how = {"generator": generator, "occupied": occupied}
    draws = torch.stack([evolution.draw_free_keys(60, n, **how) for _ in range(n_draws)])
    assert (draws.diff(dim=1) > 0).all()  # ascending, so without repeats
    counts = torch.bincount(draws.flatten(), minlength=60)
    free = torch.ones(60, dtype=torch.bool).index_fill_(0, occupied, False)
    assert counts[occupied].sum() == 0
    assert uniformity(counts[free], n_draws, n) > 0.001


# growth by CH3-L3


def is_largest(keys, score):
    """Whether the scores at the keys, all different, are the largest; of equals any may be there.

    Where no score ties with the smallest of them, one set of keys only has these scores.
    """
    desired = score.topk(len(keys)).values
    return (keys.diff() > 0).all() and torch.equal(score[keys].sort(descending=True)[0], desired)


@pytest.mark.parametrize("block", [1, 12, 30, 2**22])  # entries: a row, a row, two rows, all
@pytest.mark.parametrize("n", [0, 1, 20, 60])
def test_growth_by_ch3_l3_takes_the_largest_of_the_full_score(block, n, monkeypatch, generator):
    monkeypatch.setattr(evolution, "DENSE_BLOCK", block)
    support = evolution.random_support(12, 9, 0.3, generator=generator)
    score = ch3_l3(support).flatten()  # 0 at the links
    assert (score > 0).sum() >= 60
    actual = evolution.grow_ch3_l3(evolution.Site(12, 9, support.keys), n, generator=generator)
    assert is_largest(actual, score)


@pytest.mark.parametrize(("n", "desired"), [(1, [23]), (5, [5, 7, 10, 12, 23])])
def test_growth_by_ch3_l3_links_the_best_of_a_layer_worked_by_hand(n, desired):
    rows = ["11100", "01000", "01000", "00011", "00001"]  # outputs
    links = torch.tensor([[letter == "1" for letter in row] for row in rows]).flatten().nonzero()
    site = evolution.Site(5, 5, links[:, 0])  # (4, 3) scores 1; (1 or 2, 0 or 2) score 1/2
    assert evolution.grow_ch3_l3(site, n, generator=seeded(0)).tolist() == desired


@pytest.mark.parametrize("regrow", [True, False])
def test_evolution_by_ch3_l3_scores_by_the_links_kept(regrow, generator):
    layer = SparseLinear(12, 9, density=0.3, generator=generator)
    rules, old = Evolution("magnitude", "ch3_l3", regrow_dropped=regrow), layer.support.keys
    dropped = evolution.drop_magnitude(layer.values, 0.3, generator=generator)
    score = ch3_l3(evolution.support_from_keys(old[~dropped], 12, 9)).flatten()
    score[old[dropped]] *= regrow
    evolve_(layer, rules, fraction=0.3, generator=generator)
    new = layer.support.keys[~torch.isin(layer.support.keys, old[~dropped])]
    assert len(new) == dropped.sum() and score[new].all() and is_largest(new, score)


@pytest.mark.parametrize(
    ("links", "scored"), [([], []), ([0, 55], []), ([0, 1, 11], [10]), ([0, 1, 2, 11], [10, 12])]
)
def test_growth_by_ch3_l3_is_uniform_where_too_few_paths_are(links, scored, generator):
    site, n_draws = evolution.Site(10, 10, torch.tensor(links, dtype=torch.int64)), 1000
    draws = [evolution.grow_ch3_l3(site, 5, generator=generator) for _ in range(n_draws)]
    counts = torch.bincount(torch.cat(draws), minlength=100)
    rest = torch.ones(100, dtype=torch.bool)
    rest[links + scored] = False
    assert (counts[scored] == n_draws).all() and not counts[links].any()
    assert uniformity(counts[rest], n_draws, 5 - len(scored)) > 0.001


# growth by preferential attachment

HUBS = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]]).bool()
CASES = {  # links, those of them that were just dropped and may not come back
    "hubs": (HUBS, HUBS & False),
    "no links": (HUBS & False, HUBS & False),
    "hubs, just dropped": (HUBS, HUBS & torch.tensor([1, 1, 0, 0]).bool()),
    "all just dropped": (HUBS, HUBS),
}
each_case = pytest.mark.parametrize("case", CASES)


def attachment(case):
    """The site, and the chance of every position to be drawn first, (12,), by its definition."""
    links, dropped = CASES[case]
    kept = links & ~dropped
    chance = torch.outer(kept.sum(1) + 1.0, kept.sum(0) + 1.0) * ~links
    keys = [mask.flatten().nonzero()[:, 0] for mask in (links, kept)]
    return evolution.Site(4, 3, keys[0], kept=keys[1]), (chance / chance.sum()).flatten()


def goodness(draws, chance):
    """Level at which the drawn indices follow their chances, by Pearson's chi-square."""
    counts, possible = torch.bincount(draws, minlength=len(chance)), chance > 0
    assert not counts[~possible].any()
    return stats.chisquare(counts[possible], len(draws) * chance[possible]).pvalue


@each_case
def test_first_link_is_drawn_in_proportion_to_both_degrees(case, generator):
    site, chance = attachment(case)
    draws = [evolution.grow_preferential(site, 1, generator=generator) for _ in range(2000)]
    assert goodness(torch.cat(draws), chance) > 0.001


@each_case
def test_two_links_are_drawn_one_after_the_other_without_replacement(case, generator):
    site, p = attachment(case)
    draws = [evolution.grow_preferential(site, 2, generator=generator) for _ in range(2000)]
    first, second = torch.stack(draws).t()
    pairs = torch.outer(p, p / (1 - p))  # [a, b]: a, then b of what is left
    pairs = (pairs + pairs.t()).triu(1)
    assert (first < second).all()
    assert goodness(12 * first + second, pairs.flatten()) > 0.001


@pytest.mark.parametrize("block", [1, 12, 30])  # entries: a row, a row, two rows
@pytest.mark.parametrize("n", [0, 1, 20, 78])
def test_preferential_growth_does_not_depend_on_the_block(block, n, monkeypatch, generator):
    occupied = torch.randperm(108, generator=generator)[:30].sort().values
    site = evolution.Site(12, 9, occupied)
    desired = evolution.grow_preferential(site, n, generator=seeded(1))
    monkeypatch.setattr(evolution, "DENSE_BLOCK", block)
    assert torch.equal(evolution.grow_preferential(site, n, generator=seeded(1)), desired)


@pytest.mark.parametrize("grow", ["random", "preferential"])
def test_growth_at_random_depends_on_the_seed_only(grow, generator):
    rule = evolution.GROW_RULES[grow]
    site = evolution.Site(30, 20, torch.arange(0, 600, 7))
    first, same, other = (rule(site, 40, generator=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)


# initial support


@pytest.mark.parametrize(
    ("n_in", "n_out", "links"),
    [  # er_epsilon 20: the widths of Mocanu2018, Table 3, in Eq. (1)
        (784, 1000, 35_680),
        (1000, 1000, 40_000),
        (3072, 4000, 141_440),
        (4000, 1000, 100_000),
        (28, 1000, 20_560),
    ],
)
def test_published_networks_start_with_the_links_of_equation_1(n_in, n_out, links, generator):
    density = evolution.erdos_renyi_density(n_in, n_out, 20)
    assert density == pytest.approx(20 * (n_out + n_in) / (n_out * n_in), rel=1e-15)
    support = evolution.random_support(n_in, n_out, density, generator=generator)
    assert support.nnz == links and is_valid(support)


def test_density_of_equation_1_is_at_most_one():
    assert evolution.erdos_renyi_density(1000, 10, 20) == 1


@given(
    n_in=st.integers(1, 30),
    n_out=st.integers(1, 30),
    density=st.floats(0, 1, exclude_min=True),
    draw=st.sampled_from(["exact", "bernoulli", "with_replacement"]),
)
def test_random_support_is_valid_at_every_density(n_in, n_out, density, draw):
    support = evolution.random_support(n_in, n_out, density, generator=seeded(0), draw=draw)
    assert is_valid(support)
    assert draw != "exact" or support.nnz == round(density * n_in * n_out)


@pytest.mark.parametrize(("n_in", "n_out", "p"), [(10, 10, 0.05), (20, 30, 0.3), (20, 20, 0.9)])
def test_bernoulli_draw_has_a_binomial_number_of_links(n_in, n_out, p, generator):
    n_draws, n, how = 1000, n_in * n_out, {"generator": generator, "draw": "bernoulli"}
    counts = [evolution.random_support(n_in, n_out, p, **how).nnz for _ in range(n_draws)]
    counts, variance = torch.tensor(counts).double(), n * p * (1 - p)
    fourth = variance * (1 + 3 * (n - 2) * p * (1 - p))  # central moment of a binomial
    assert abs(counts.mean() - n * p) < 5 * math.sqrt(variance / n_draws)
    assert abs(counts.var() - variance) < 5 * math.sqrt((fourth - variance**2) / n_draws)


@pytest.mark.parametrize("density", [0.05, 0.5, 1.0])
def test_draw_with_replacement_loses_the_expected_repeats(density, generator):
    n_draws, n, m = 200, 2000, round(2000 * density)
    how = {"generator": generator, "draw": "with_replacement"}
    counts = [evolution.random_support(50, 40, density, **how).nnz for _ in range(n_draws)]
    missed, both = (1 - 1 / n) ** m, (1 - 2 / n) ** m  # chance that one, that two keys are missed
    variance = n * (n - 1) * both + n * missed - (n * missed) ** 2
    mean = torch.tensor(counts).double().mean()
    assert abs(mean - n * (1 - missed)) < 5 * math.sqrt(variance / n_draws)


@pytest.mark.parametrize(
    ("n_in", "n_out", "er_epsilon"), [(784, 1000, 20), (1000, 1000, 11), (20, 33, 5), (20, 72, 5)]
)
def test_draw_with_replacement_makes_as_many_draws_as_the_published_code(n_in, n_out, er_epsilon):
    density = evolution.erdos_renyi_density(n_in, n_out, er_epsilon)
    how = {"generator": seeded(0), "draw": "with_replacement"}
    support = evolution.random_support(n_in, n_out, density, **how)
    n_draws = er_epsilon * (n_in + n_out)
    keys = torch.randint(n_in * n_out, (n_draws,), generator=seeded(0)).unique()
    assert torch.equal(support.keys, keys)


@pytest.mark.parametrize("density", [0, -0.1, 1.5, math.nan, math.inf])
def test_density_out_of_range_is_refused(density):
    with pytest.raises(ValueError, match=f"density = {density} is out of range"):
        evolution.random_support(3, 4, density, generator=seeded(0))


@pytest.mark.parametrize("er_epsilon", [0, -1, math.inf, math.nan])
def test_er_epsilon_out_of_range_is_refused(er_epsilon):
    with pytest.raises(ValueError, match=f"er_epsilon = {er_epsilon} is out of range"):
        evolution.erdos_renyi_density(3, 4, er_epsilon)


@each_wrong_width
def test_support_of_widths_out_of_range_is_refused(n_in, n_out):
    with pytest.raises(ValueError, match="out of range: give"):
        evolution.random_support(n_in, n_out, 0.5, generator=seeded(0))


@each_wrong_width
def test_density_of_widths_out_of_range_is_refused(n_in, n_out):
    with pytest.raises(ValueError, match="out of range: give"):
        evolution.erdos_renyi_density(n_in, n_out, 20)


def test_unknown_draw_is_refused():
    with pytest.raises(ValueError, match="draw 'poisson' is unknown"):
        evolution.random_support(3, 4, 0.5, generator=seeded(0), draw="poisson")


# settings


@pytest.mark.parametrize(
    ("epoch", "constant", "cosine"), [(0, 0.4, 0.4), (50, 0.4, 0.2), (100, 0.4, 0.0)]
)
def test_drop_fraction_is_constant_or_falls_by_a_cosine(epoch, constant, cosine):
    actual = Evolution(drop_fraction=0.4).fraction_at_epoch(epoch, 100)
    assert actual == constant
    actual = Evolution(drop_fraction=0.4, decay="cosine").fraction_at_epoch(epoch, 100)
    assert actual == pytest.approx(cosine, abs=1e-15)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"drop": "smallest"}, "unknown drop 'smallest': did you mean 'largest'"),
        ({"grow": "gradients"}, "unknown grow 'gradients': did you mean 'gradient'"),
        ({"decay": "linear"}, "unknown decay 'linear': did you mean 'cosine'"),
        ({"last_epoch": "drop"}, "unknown last_epoch 'drop': did you mean 'remove'"),
        ({"drop_fraction": -0.1}, "drop_fraction = -0.1 is out of range"),
        ({"drop_fraction": 1}, "drop_fraction = 1 is out of range"),
        ({"drop_fraction": math.nan}, "drop_fraction = nan is out of range"),
        ({"new_std": -1.0}, "new_std = "),
        ({"new_std": math.nan}, "new_std = "),
        ({"gradient_batches": 0}, "gradient_batches = 0"),
    ],
)
def test_rules_out_of_range_are_refused(value, sentence):
    with pytest.raises(ValueError, match=sentence):
        Evolution(**value)


# memory


class Largest(TorchDispatchMode):
    """Records the number of elements of the largest tensor made in the block."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        made = out if isinstance(out, tuple | list) else (out,)
        self.numel = max(self.numel, *(t.numel() for t in made if torch.is_tensor(t)), 0)
        return out


def test_memory_grows_with_links_and_not_with_positions(generator):
    with Largest() as largest:
        layer = SparseLinear(100_000, 100_000, density=1e-4, generator=generator)
        assert update(layer, Evolution(), 0.3) > 0
    assert layer.nnz == 1_000_000 and is_valid(layer.support)
    assert largest.numel < 2_000_000  # of 10¹⁰ positions
