"""CH3-L3 scores against their definition, path by path, closed forms and tables worked by hand."""

import math

import networkx as nx
import pytest
import torch

from lib import evolution
from lib.link_prediction import ch3_l3
from lib.support import make_support

SHAPES = [(6, 5), (5, 6), (3, 9), (9, 3), (1, 7), (7, 1), (2, 2), (1, 1)]  # (n_out, n_in)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
LINKS = ["none", "few", "some", "many", "full", "some, and neurons without"]
each_links = pytest.mark.parametrize("links", LINKS)


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


@each_shape
@each_links
def test_scores_are_those_of_the_definition(shape, links):
    mask = draw(shape, links)
    actual = ch3_l3(support_of(mask))
    torch.testing.assert_close(actual, defined_scores(mask), rtol=1e-12, atol=0)


@pytest.mark.parametrize("density", [0.1, 0.3, 0.6])
def test_scores_of_a_larger_layer_are_those_of_the_definition(density, generator):
    mask = torch.rand(18, 25, generator=generator) < density
    actual = ch3_l3(support_of(mask))
    assert (actual > 0).sum() > 60  # most score, and not all alike
    torch.testing.assert_close(actual, defined_scores(mask), rtol=1e-12, atol=0)


# tables worked by hand

HALF, ROOT = 0.5, math.sqrt(0.5)


@pytest.mark.parametrize(
    ("mask", "desired"),
    [
        # path u0 – v0 – u1 – v1: v0 and u1 have no links but those of the path
        (table("11", "01"), [[0, 0], [1, 0]]),
        # and v0 – u2, so that v0 has one external link, to u2 seen from u0 and to u0 from u2
        (table("111", "010"), [[0, 0, 0], [ROOT, 0, ROOT]]),
        # and u1 – v2: v0 and u1 have one external link each
        (table("111", "010", "010"), [[0, 0, 0], [HALF, 0, HALF], [HALF, 0, HALF]]),
        # (v2, u0): three paths over v0, v1 and u1, u2, whose links stay among these; so (v1, u2)
        (table("111", "110", "011"), [[0, 0, 0], [0, 0, 3], [3, 0, 0]]),
        # and v0 – u3, external link of v0 on two of the three paths; (v1, u3) has a path over v0
        # and u0, where v0 has one external link, one over v0 and u1, where both have; so (v2, u3)
        (
            table("1111", "1100", "0110"),
            [[0, 0, 0, 0], [0, 0, 1 + 2 * ROOT, ROOT + HALF], [1 + 2 * ROOT, 0, 0, ROOT + HALF]],
        ),
        # two pairs apart, and neurons without links: no path at all
        (table("100", "010", "000"), [[0, 0, 0]] * 3),
        # a star: all inputs at one output
        (table("111", "000"), [[0, 0, 0]] * 2),
    ],
)
def test_scores_follow_the_table(mask, desired):
    desired = torch.tensor(desired, dtype=torch.float64)
    torch.testing.assert_close(ch3_l3(support_of(mask)), desired, rtol=1e-15, atol=0)


@pytest.mark.parametrize("shape", [(2, 2), (3, 5), (5, 3), (40, 70)], ids=str)
def test_last_missing_link_closes_a_path_of_score_one_over_every_pair(shape):
    mask = torch.ones(shape, dtype=torch.bool)
    mask[1, 0] = False  # its community is all other neurons: no link leaves it
    desired = torch.zeros(shape, dtype=torch.float64)
    desired[1, 0] = (shape[0] - 1) * (shape[1] - 1)
    assert torch.equal(ch3_l3(support_of(mask)), desired)


# laws


@each_shape
@each_links
def test_positions_with_a_link_score_zero(shape, links):
    mask = draw(shape, links)
    score = ch3_l3(support_of(mask))
    assert (score.shape, score.dtype) == (mask.shape, torch.float64)
    assert not score[mask].any() and (score >= 0).all()


@each_shape
@each_links
def test_scores_of_the_transposed_layer_are_the_transposed_scores(shape, links):
    mask = draw(shape, links)
    actual, desired = ch3_l3(support_of(mask.t())), ch3_l3(support_of(mask)).t()
    torch.testing.assert_close(actual, desired, rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, None), (0, 0), (0, 1), (3, 8), (8, 9), (9, None), (29, 30), (30, None)]
)
def test_blocks_are_rows_of_the_whole(start, stop, generator):
    support = evolution.random_support(20, 30, 0.2, generator=generator)
    assert torch.equal(ch3_l3(support, start, stop), ch3_l3(support)[start:stop])


def test_one_and_two_threads_give_the_same_bits(generator):
    support, results = evolution.random_support(200, 300, 0.05, generator=generator), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(ch3_l3(support))
    torch.set_num_threads(1)
    assert results[0].any() and torch.equal(*results)
