"""Random layers keep what they should keep, and are drawn with equal chances."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import stats

from lib import topology
from lib.support import make_support, random_support, support_from_keys
from lib.topology.degrees import from_names
from tests.topology.conftest import names_of


def uniformity(outcomes, chances):
    """Level at which the outcomes have these chances, by Pearson's chi-square test."""
    counts = [sum(outcome == key for outcome in outcomes) for key in chances]
    assert sum(counts) == len(outcomes)
    return stats.chisquare(counts, [len(outcomes) * p for p in chances.values()]).pvalue


# links switched


@pytest.mark.parametrize("density", [0.01, 0.5, 0.99])
def test_switching_keeps_degrees_and_repeats_no_link(density, generator):
    support = random_support(30, 20, density, generator=generator)
    switched, origin = topology.switch_links(support, generator=generator)
    again = make_support(switched.row, switched.col, 30, 20)  # sorted, without repeats
    assert torch.equal(again.crow, support.crow)
    assert torch.equal(again.tcrow, support.tcrow)
    assert torch.equal(origin.sort().values, torch.arange(support.nnz))
    assert torch.equal(support.row[origin], switched.row)
    assert not torch.equal(switched.keys, support.keys)


def test_shuffled_inputs_leave_the_layer_the_same_graph(generator):
    support = random_support(30, 20, 0.2, generator=generator)
    shuffled = topology.shuffle_inputs(support, generator=generator)
    before, after = torch.zeros(2, 20, 30, dtype=torch.int64)
    before[support.row.long(), support.col.long()] = 1
    after[shuffled.row.long(), shuffled.col.long()] = 1
    assert not torch.equal(after, before)
    assert torch.equal(after @ after.T, before @ before.T)  # links, and inputs that two share
    assert sorted(after.T.tolist()) == sorted(before.T.tolist())


def test_every_input_takes_every_place_equally_often(generator):
    support = make_support(torch.tensor([0]), torch.tensor([2]), 4, 1)
    places = [int(topology.shuffle_inputs(support, generator=generator).col) for _ in range(400)]
    assert uniformity(places, dict.fromkeys(range(4), 0.25)) > 0.001


def graphs(row_degrees, column_degrees):
    """Keys of every 3 × 3 graph with these degrees."""
    every = []
    for entries in itertools.product((0, 1), repeat=9):
        matrix = torch.tensor(entries).view(3, 3)
        rows, columns = matrix.sum(dim=1), matrix.sum(dim=0)
        if rows.tolist() == list(row_degrees) and columns.tolist() == list(column_degrees):
            keys = matrix.flatten().nonzero().squeeze(1)
            every.append(tuple(keys.tolist()))
    return every


@pytest.mark.parametrize(
    ("rows", "columns", "n_graphs"),
    [((1, 1, 1), (1, 1, 1), 6), ((2, 1, 1), (2, 1, 1), 5), ((2, 2, 1), (1, 2, 2), 5)],
)
def test_all_graphs_with_the_degrees_are_equally_likely(rows, columns, n_graphs):
    generator = torch.Generator().manual_seed(0)
    known = graphs(rows, columns)
    assert len(known) == n_graphs
    support = support_from_keys(torch.tensor(known[0]), 3, 3)
    outcomes = []
    for _ in range(1000):
        switched, _ = topology.switch_links(support, 20, generator=generator)
        outcomes.append(tuple(switched.keys.tolist()))
    chances = dict.fromkeys(known, 1 / n_graphs)
    assert uniformity(outcomes, chances) > 0.001


@pytest.mark.parametrize("density", [0, 1], ids=["empty", "complete"])
def test_support_with_nothing_to_switch_stays(density, generator):
    support = support_from_keys(torch.arange(12 * density), 3, 4)
    switched, origin = topology.switch_links(support, generator=generator)
    assert torch.equal(switched.keys, support.keys)
    assert torch.equal(switched.keys, origin)


@pytest.mark.parametrize("switches", [-1, float("inf")])
def test_number_of_switches_out_of_range_is_refused(switches, generator):
    support = random_support(3, 4, 0.5, generator=generator)
    with pytest.raises(ValueError, match=f"switches_per_link = {switches} is out of range"):
        topology.switch_links(support, switches, generator=generator)


# links of given degrees


def test_links_have_the_degrees_asked_for_and_are_drawn_anew(generator, rng):
    into, out = rng.integers(0, 12, 30), np.full(20, 1)
    out[:8] = 20  # eight input neurons are joined to most output neurons
    out[8] += into.sum() - out.sum()
    known = topology.support_of_degrees(into, out, generator=generator)
    again = topology.support_of_degrees(into, out, generator=generator)
    for support in (known, again):
        assert_array_equal(support.crow.diff(), into)
        assert_array_equal(support.tcrow.diff(), out)
    assert not torch.equal(known.keys, again.keys)


def test_links_are_found_exactly_where_some_exist(generator):
    exist = set()
    for entries in itertools.product((0, 1), repeat=9):
        matrix = np.array(entries).reshape(3, 3)
        exist.add((tuple(matrix.sum(1).tolist()), tuple(matrix.sum(0).tolist())))
    every = list(itertools.product(range(4), repeat=3))
    for into, out in itertools.product(every, every):
        degrees = np.array(into), np.array(out)
        if (into, out) in exist:
            support = topology.support_of_degrees(*degrees, generator=generator)
            assert_array_equal(support.tcrow.diff(), out, f"{into}, {out}")
        elif abs(sum(into) - sum(out)) < 2:
            with pytest.raises(ValueError, match="no support has these degrees"):
                topology.support_of_degrees(*degrees, generator=generator)


# random degrees


def table_of(supports, epoch):
    """Degrees of layers, as records hold them."""
    return from_names(names_of(supports, epoch))


@pytest.fixture
def degrees(supports):
    """Of two layers, after epoch 7."""
    return table_of(supports, 7)


def test_random_degrees_are_of_the_epoch_asked_for(degrees, generator):
    thinner = degrees.assign(epoch="final", links=[k // 2 for k in degrees["links"]])
    both = pd.concat([thinner, degrees], ignore_index=True)
    drawn = topology.random_degrees(both, 7, generator=generator)
    assert len(drawn) == 4 and set(drawn["epoch"]) == {7}
    assert drawn["links"][0].sum() == degrees["links"][0].sum()
    assert topology.random_degrees(degrees, "final", generator=generator).empty


def test_random_degrees_are_those_of_random_supports_drawn_in_order(degrees):
    seeded = torch.Generator().manual_seed(3)
    drawn = topology.random_degrees(degrees, 7, generator=seeded)
    again = torch.Generator().manual_seed(3)
    supports = [
        random_support(12, 15, 36 / (12 * 15), generator=again),
        random_support(15, 9, 27 / (15 * 9), generator=again),
    ]
    for actual, desired in zip(drawn["links"], table_of(supports, 7)["links"], strict=True):
        assert_array_equal(actual, desired)


def test_random_degrees_of_a_layer_without_links_draw_nothing(degrees, generator):
    state = generator.get_state()
    empty = degrees.assign(links=[k * 0 for k in degrees["links"]])
    drawn = topology.random_degrees(empty, 7, generator=generator)
    assert not np.concatenate(drawn["links"].tolist()).any()
    assert torch.equal(generator.get_state(), state)
