"""Growth against full scores and the laws of its draws.

CH3-L3 scores against their definition, path by path, closed forms and tables worked by hand.
"""

import math

import networkx as nx
import pytest
import torch
from scipy import stats

from lib import growth
from lib.growth import Site, ch3_l3
from lib.support import make_support, random_support, support_from_keys
from tests.oracles import is_largest, on_one_and_two_threads, seeded, uniformity

LAYERS = [  # (n_out, n_in), links
    *[((6, 5), "some"), ((6, 5), "none"), ((5, 6), "few"), ((5, 6), "many"), ((3, 9), "many")],
    *[((9, 3), "some, and neurons without"), ((6, 5), "some, and neurons without")],
    *[((18, 25), "few"), ((18, 25), "many"), ((2, 2), "full"), ((1, 1), "none")],
    *[((1, 7), "some"), ((7, 1), "many")],
]
each_layer = pytest.mark.parametrize(("shape", "links"), LAYERS, ids=str)


def draw(shape, links):
    """(n_out, n_in) bool: where the links are."""
    density = {"none": 0.0, "few": 0.15, "some": 0.4, "many": 0.8, "full": 1.0}
    generator = torch.Generator().manual_seed(sum(shape))
    mask = torch.rand(shape, generator=generator) < density[links.split(",")[0]]
    if links.endswith("without"):
        mask[0], mask[:, -1] = False, False
    return mask


def support_of(mask):
    return make_support(*mask.nonzero(as_tuple=True), mask.shape[1], mask.shape[0])


def table(*rows):
    """Mask of rows such as "110", one for each output neuron."""
    return torch.tensor([[letter == "1" for letter in row] for row in rows])


# the definition


def graph_of(mask):
    """Bipartite graph: (0, j) is input neuron j, (1, i) output neuron i."""
    graph = nx.Graph(((1, i), (0, j)) for i, j in mask.nonzero().tolist())
    graph.add_nodes_from((side, k) for side in (0, 1) for k in range(mask.shape[1 - side]))
    return graph


def defined_score(graph, u, v):
    """CH3-L3 of two neurons by its definition; between the two sides the only paths of at most
    three links are the link itself and those of length 3.
    """
    paths = [] if graph.has_edge(u, v) else list(nx.all_simple_paths(graph, u, v, cutoff=3))
    community = {z for _, z1, z2, _ in paths for z in (z1, z2)}
    external = {z: len(set(graph[z]) - community - {u, v}) for z in community}
    return math.fsum(
        1 / math.sqrt((1 + external[z1]) * (1 + external[z2])) for _, z1, z2, _ in paths
    )


def defined_scores(mask):
    graph, (n_out, n_in) = graph_of(mask), mask.shape
    rows = [[defined_score(graph, (0, j), (1, i)) for j in range(n_in)] for i in range(n_out)]
    return torch.tensor(rows, dtype=torch.float64)


@each_layer
def test_scores_are_those_of_the_definition(shape, links):
    mask = draw(shape, links)
    actual = ch3_l3(support_of(mask))
    assert actual.dtype == torch.float64
    torch.testing.assert_close(actual, defined_scores(mask), rtol=1e-12, atol=0)


# tables worked by hand

HALF, ROOT = 0.5, math.sqrt(0.5)


@pytest.mark.parametrize(
    ("mask", "desired"),
    [
        # u1 – v0 – u0, u2 and v0 – u1 – v1, v2: v0 and u1 have one external link each
        (table("111", "010", "010"), [[0, 0, 0], [HALF, 0, HALF], [HALF, 0, HALF]]),
        # (v2, u0): three paths over v0, v1 and u1, u2, whose links stay among these; so (v1, u2)
        (table("111", "110", "011"), [[0, 0, 0], [0, 0, 3], [3, 0, 0]]),
        # and v0 – u3, external link of v0 on two of the three paths; (v1, u3) has a path over v0
        # and u0, where v0 has one external link, one over v0 and u1, where both have; so (v2, u3)
        (
            table("1111", "1100", "0110"),
            [[0, 0, 0, 0], [0, 0, 1 + 2 * ROOT, ROOT + HALF], [1 + 2 * ROOT, 0, 0, ROOT + HALF]],
        ),
    ],
)
def test_scores_follow_the_table(mask, desired):
    desired = torch.tensor(desired, dtype=torch.float64)
    torch.testing.assert_close(ch3_l3(support_of(mask)), desired, rtol=1e-15, atol=0)


@pytest.mark.parametrize("shape", [(2, 2), (40, 70)], ids=str)
def test_last_missing_link_closes_a_path_of_score_one_over_every_pair(shape):
    mask = torch.ones(shape, dtype=torch.bool)
    mask[1, 0] = False  # its community is all other neurons: no link leaves it
    desired = torch.zeros(shape, dtype=torch.float64)
    desired[1, 0] = (shape[0] - 1) * (shape[1] - 1)
    assert torch.equal(ch3_l3(support_of(mask)), desired)


# laws


def test_one_and_two_threads_give_the_same_bits(generator):
    support = random_support(200, 300, 0.05, generator=generator)
    one, two = on_one_and_two_threads(lambda: ch3_l3(support))
    assert one.any() and torch.equal(one, two)


# growth by gradient, and of every rule


def of_gradients(site):
    return (site.grad_y @ site.x.t()).abs().flatten().index_fill(0, site.occupied_keys, -1)


def of_ch3_l3(site):
    """0 at the links."""
    return ch3_l3(support_from_keys(site.occupied_keys, 12, 9)).flatten()


@pytest.mark.parametrize(  # a block in entries: a row, a row, two rows, all
    ("block", "n"), [(1, 20), (12, 60), (30, 1), (2**22, 0), (2**22, 20)]
)
@pytest.mark.parametrize(
    ("grow", "score_of"), [(growth.grow_gradient, of_gradients), (growth.grow_ch3_l3, of_ch3_l3)]
)
def test_growth_takes_the_largest_of_the_full_score(
    grow, score_of, block, n, monkeypatch, generator
):
    monkeypatch.setattr(growth, "DENSE_BLOCK", block)
    occupied = random_support(12, 9, 0.3, generator=generator).keys
    x, grad_y = torch.randn(12, 5, generator=generator), torch.randn(9, 5, generator=generator)
    site = Site(12, 9, occupied, x, grad_y)
    score = score_of(site)
    assert (score > 0).sum() >= 60
    assert is_largest(grow(site, n, generator=generator), score)


@pytest.mark.parametrize("grow", growth.GROW_RULES.values())
def test_growth_fills_the_last_free_positions_and_no_more(grow):
    taken = torch.tensor([0, 1, 3, 5])
    site = Site(3, 2, taken, torch.ones(3, 1), torch.ones(2, 1))
    assert grow(site, 2, generator=seeded(0)).tolist() == [2, 4]
    with pytest.raises(ValueError, match="3 new links do not fit into the 2 free positions"):
        grow(site, 3, generator=seeded(0))


@pytest.mark.parametrize(
    ("grow", "links", "scored"),
    [
        (growth.grow_ch3_l3, [], []),
        (growth.grow_ch3_l3, [0, 1, 2, 11], [10, 12]),
        (growth.grow_ch2_l3n, [0, 1, 11], [10]),
    ],
)
def test_growth_is_uniform_where_too_few_positions_score(grow, links, scored, generator):
    site, n_draws = Site(10, 10, torch.tensor(links, dtype=torch.int64)), 1000
    draws = [grow(site, 5, generator=generator) for _ in range(n_draws)]
    counts = torch.bincount(torch.cat(draws), minlength=100)
    rest = torch.ones(100, dtype=torch.bool)
    rest[links + scored] = False
    assert (counts[scored] == n_draws).all() and not counts[links].any()
    assert uniformity(counts[rest], n_draws, 5 - len(scored)) > 0.001


# growth by momentum


def test_growth_by_momentum_follows_the_table():
    x = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]])  # three batches of 1, 2, 1
    grad_y = torch.tensor([[-10.0, 4.0, 5.0, 8.0], [0.0, 6.0, 6.0, 0.0]])
    none = torch.empty(0, dtype=torch.int64)
    site = Site(2, 2, none, x, grad_y, batch_sizes=(1, 2, 1))
    momentum = torch.tensor([[-10 * 0.81 + 8, 9 * 0.9], [0, 12 * 0.9]])
    torch.testing.assert_close(site.gradient(smoothing=0.9), momentum)
    torch.testing.assert_close(site.gradient(), torch.tensor([[-2.0, 9.0], [0.0, 12.0]]))
    grown = [growth.grow_momentum(site, n, generator=seeded(0)).tolist() for n in range(4)]
    assert grown == [[], [3], [1, 3], [0, 1, 3]]


def test_momentum_of_growth_is_that_of_most_training():
    x, grad_y = torch.ones(1, 2), torch.tensor([[1.0, 0.0], [0.0, 0.905], [0.0, 0.895]])
    site = Site(1, 3, torch.empty(0, dtype=torch.int64), x, grad_y, batch_sizes=(1, 1))
    assert growth.grow_momentum(site, 1, generator=seeded(0)).tolist() == [1]  # .905 after .9
    assert growth.grow_momentum(site, 2, generator=seeded(0)).tolist() == [0, 1]  # .9, then .895


@pytest.mark.parametrize("rule", [growth.grow_momentum, growth.grow_gradient])
def test_growth_by_gradients_without_any_is_refused(rule):
    assert rule.needs_gradient
    with pytest.raises(ValueError, match="needs the inputs and gradients of the layer"):
        rule(Site(3, 2, torch.tensor([0])), 1, generator=seeded(0))


# growth by CH2-L3n


def defined_ch2_l3n(graph, u, v):
    """CH2-L3n of two neurons that are not linked, by its definition, neuron by neuron."""
    score = 0.0
    for seed, other in ((u, v), (v, u)):
        for z in graph[other]:  # on the side of the seed
            internal = len(set(graph[z]) & set(graph[seed]))
            if internal:
                score += (1 + internal) / (1 + len(set(graph[z]) - set(graph[seed]) - {other}))
    return score


@each_layer
def test_ch2_l3n_score_is_that_of_its_definition(shape, links):
    mask = draw(shape, links)
    graph, actual = graph_of(mask), growth.ch2_l3n(support_of(mask))
    assert actual.shape == shape
    for i, j in (~mask).nonzero().tolist():
        assert actual[i, j].item() == pytest.approx(defined_ch2_l3n(graph, (1, i), (0, j)))


def test_ch2_l3n_score_of_a_layer_worked_by_hand():
    mask = table("1100", "1011", "0100")
    # (2, 0): outputs with input 0 that share an input with output 2: output 0, by input 1, without
    # further links: 2 / 1. Inputs of output 2 that share an output with input 0: input 1, by output
    # 0, without further links: 2 / 1.
    # (0, 2): output 1 shares input 0 and has one further link: 2 / 2. Input 0 shares output 1 and
    # input 1 none: 2 / 1.
    # (2, 2): output 1 shares no input with output 2; input 1 shares no output with input 2.
    actual = growth.ch2_l3n(support_of(mask))
    assert [actual[2, 0], actual[0, 2], actual[2, 2]] == [4, 3, 0]


def test_soft_growth_draws_in_proportion_to_the_score(generator):
    mask = table("1100", "1011", "0100")
    score = growth.ch2_l3n(support_of(mask)).masked_fill(mask, 0).flatten()
    site = Site(4, 3, mask.flatten().nonzero()[:, 0])
    draws = [growth.grow_ch2_l3n(site, 1, generator=generator) for _ in range(1000)]
    assert goodness(torch.cat(draws), score / score.sum()) > 0.001


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
    return Site(4, 3, keys[0], kept_keys=keys[1]), (chance / chance.sum()).flatten()


def goodness(draws, chance):
    """Level at which the drawn indices follow their chances, by Pearson's chi-square."""
    counts, possible = torch.bincount(draws, minlength=len(chance)), chance > 0
    assert not counts[~possible].any()
    return stats.chisquare(counts[possible], len(draws) * chance[possible]).pvalue


@each_case
def test_two_links_are_drawn_one_after_the_other_without_replacement(case, generator):
    site, p = attachment(case)
    draws = [growth.grow_preferential(site, 2, generator=generator) for _ in range(2000)]
    first, second = torch.stack(draws).t()
    pairs = torch.outer(p, p / (1 - p))  # [a, b]: a, then b of what is left
    pairs = (pairs + pairs.t()).triu(1)
    assert (first < second).all()
    assert goodness(12 * first + second, pairs.flatten()) > 0.001


@pytest.mark.parametrize("rule", [growth.grow_preferential, growth.grow_ch2_l3n])
@pytest.mark.parametrize(("block", "n"), [(1, 20), (12, 60), (30, 1)])  # in entries
def test_growth_by_draws_does_not_depend_on_the_block(rule, block, n, monkeypatch, generator):
    site = Site(12, 9, random_support(12, 9, 0.3, generator=generator).keys)
    desired = rule(site, n, generator=seeded(1))
    monkeypatch.setattr(growth, "DENSE_BLOCK", block)
    assert torch.equal(rule(site, n, generator=seeded(1)), desired)
