"""The index of the links against scipy's, its transpose, what is refused; random supports."""

import math

import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.support import (
    INDEX,
    Support,
    erdos_renyi_density,
    local_support,
    make_support,
    random_support,
    shared_out,
    support_from_keys,
    whole_numbers,
)
from tests.oracles import is_valid, seeded, uniformity


@pytest.fixture(params=["none", "one", "some", "empty rows and columns", "full"])
def mask(request, generator):
    """(6, 5) bool, dense: where the links are."""
    some = torch.rand(6, 5, generator=generator) < 0.4
    hollow = some.clone()
    hollow[[0, 3, 5]], hollow[:, [0, 4]] = False, False
    one = torch.arange(30).view(6, 5) == 17
    masks = {"none": some & False, "one": one, "some": some, "full": some | True}
    return masks.get(request.param, hollow)


@pytest.fixture
def support(mask):
    return make_support(*mask.nonzero(as_tuple=True), 5, 6)


def test_index_is_that_of_scipy_and_its_keys_give_it_again(mask, support):
    csr, csc = scipy.sparse.csr_array(mask.numpy()), scipy.sparse.csc_array(mask.numpy())
    assert support.crow.tolist() == csr.indptr.tolist()
    assert support.col.tolist() == csr.indices.tolist()
    assert support.tcrow.tolist() == csc.indptr.tolist()
    assert support.trow.tolist() == csc.indices.tolist()
    rows, _ = mask.nonzero(as_tuple=True)
    assert support.row.tolist() == rows.tolist() and support.nnz == len(rows)
    assert support.keys.tolist() == mask.flatten().nonzero()[:, 0].tolist()
    again = support_from_keys(support.keys, 5, 6)
    assert (again.n_in, again.n_out) == (support.n_in, support.n_out) == (5, 6)
    assert all(torch.equal(a, b) for a, b in zip(again[2:], support[2:], strict=True))


def test_index_has_one_dtype_whatever_is_given():
    dtype = torch.int16
    support = make_support(torch.tensor([0, 1], dtype=dtype), torch.tensor([2, 0]), 3, 2)
    assert {tensor.dtype for tensor in (*support[2:], support.row)} == {INDEX}
    assert support.keys.tolist() == [2, 3] and support.keys.dtype == torch.int64


def test_keys_go_beyond_32_bits():
    n, last = 2**20, torch.tensor([2**20 - 1])
    assert make_support(last, last, n, n).keys.item() == 2**40 - 1


@pytest.mark.parametrize(
    ("rows", "cols", "n_in", "n_out", "sentence"),
    [
        ([0, 0], [1, 1], 3, 2, r"link \(0, 1\) is repeated"),
        ([0, 2], [1, 1], 3, 2, r"rows holds 2, outside \[0, 2\)"),
        ([0, 1], [-1, 1], 3, 2, r"cols holds -1, outside \[0, 3\)"),
        ([1, 0], [0, 0], 3, 2, "link 1 is out of order"),
        ([0, 0], [1, 0], 3, 2, "link 1 is out of order"),
        ([0], [0, 1], 3, 2, "two vectors of equal length"),
        ([0.5], [0], 3, 2, "rows has dtype torch.float64"),
        ([], [], 0, 2, "n_in = 0 is out of range"),
        ([], [], 3, -1, "n_out = -1 is out of range"),
        ([], [], 2**31 - 1, 2, "n_in = 2147483647 is out of range"),
    ],
)
def test_wrong_support_is_refused(rows, cols, n_in, n_out, sentence):
    def index(entries):
        return torch.tensor(entries, dtype=torch.float64 if 0.5 in entries else torch.int64)

    with pytest.raises(ValueError, match=sentence):
        make_support(index(rows), index(cols), n_in, n_out)


# random supports


def test_erdos_renyi_density_is_at_most_1():
    assert erdos_renyi_density(1000, 10, 20) == 1


@given(
    n_in=st.integers(1, 30),
    n_out=st.integers(1, 30),
    density=st.floats(0, 1, exclude_min=True),
    draw=st.sampled_from(["exact", "bernoulli", "with_replacement"]),
)
def test_random_support_is_valid_at_every_density(n_in, n_out, density, draw):
    support = random_support(n_in, n_out, density, generator=seeded(0), draw=draw)
    assert is_valid(support)
    assert draw != "exact" or support.nnz == round(density * n_in * n_out)


@pytest.mark.parametrize(("n_in", "n_out", "p"), [(10, 10, 0.05), (20, 30, 0.3), (20, 20, 0.9)])
def test_bernoulli_draw_has_a_binomial_number_of_links(n_in, n_out, p, generator):
    n_draws, n, how = 1000, n_in * n_out, {"generator": generator, "draw": "bernoulli"}
    counts = [random_support(n_in, n_out, p, **how).nnz for _ in range(n_draws)]
    counts, variance = torch.tensor(counts).double(), n * p * (1 - p)
    fourth = variance * (1 + 3 * (n - 2) * p * (1 - p))  # central moment of a binomial
    assert abs(counts.mean() - n * p) < 5 * math.sqrt(variance / n_draws)
    assert abs(counts.var() - variance) < 5 * math.sqrt((fourth - variance**2) / n_draws)


@pytest.mark.parametrize(("n_in", "n_out", "er_epsilon"), [(784, 1000, 20), (20, 33, 5)])
def test_draw_with_replacement_makes_as_many_draws_as_the_published_code(n_in, n_out, er_epsilon):
    density = erdos_renyi_density(n_in, n_out, er_epsilon)
    how = {"generator": seeded(0), "draw": "with_replacement"}
    support = random_support(n_in, n_out, density, **how)
    n_draws = er_epsilon * (n_in + n_out)
    keys = torch.randint(n_in * n_out, (n_draws,), generator=seeded(0)).unique()
    assert torch.equal(support.keys, keys)


@pytest.mark.gpu
def test_support_of_a_gpu_is_that_of_the_cpu(mask, support):
    moved = make_support(*mask.cuda().nonzero(as_tuple=True), 5, 6)
    assert {tensor.device.type for tensor in (*moved[2:], moved.row, moved.keys)} == {"cuda"}
    assert isinstance(moved, Support)
    assert all(torch.equal(a.cpu(), b) for a, b in zip(moved[2:], support[2:], strict=True))


# totals shared out


@given(
    sides=st.dictionaries(
        st.sampled_from("abcdef"),
        st.tuples(st.floats(0.01, 100), st.integers(1, 50)),
        min_size=1,
    ),
    part=st.floats(0, 1),
)
def test_a_total_is_shared_out_in_proportion_below_the_most(sides, part):
    weights = {name: weight for name, (weight, _) in sides.items()}
    most = {name: n for name, (_, n) in sides.items()}
    total = part * sum(most.values())
    shares = shared_out(total, weights, most)
    assert math.fsum(shares.values()) == pytest.approx(total)
    assert all(shares[name] <= most[name] * (1 + 1e-12) for name in sides)
    scales = {shares[name] / weights[name] for name in sides if shares[name] < most[name]}
    full = [most[name] / weights[name] for name in sides if shares[name] == most[name]]
    if scales:  # one factor for all that have room, that those without would exceed
        assert min(scales) == pytest.approx(max(scales))
        assert all(limit <= max(scales) * (1 + 1e-9) for limit in full)
    numbers = whole_numbers(shares)
    assert sum(numbers.values()) == round(sum(shares.values()))
    assert all(abs(numbers[name] - shares[name]) < 1 for name in sides)
    assert all(numbers[name] <= most[name] for name in sides)


def test_the_largest_remainders_go_up():
    assert whole_numbers({"a": 1.6, "b": 2.7, "c": 0.7}) == {"a": 1, "b": 3, "c": 1}
    assert shared_out(10, {"a": 1, "b": 1, "c": 2}, {"a": 2, "b": 9, "c": 9}) == {
        "a": 2,
        "b": pytest.approx(8 / 3),
        "c": pytest.approx(16 / 3),
    }


# receptive fields


def places(grid):
    """(channels · height · width, 2) int64, row and column of each neuron in a flattened image."""
    channels, height, width = grid
    index = torch.arange(channels * height * width).view(grid)
    row, column = index // width % height, index % width
    return torch.stack([row, column], dim=-1).view(-1, 2)


@pytest.mark.parametrize("reach", [0, 2.5, 9])
def test_as_many_local_links_as_there_are_near_pairs_are_all_of_these(reach, generator):
    inputs, outputs = (2, 5, 4), (3, 5, 4)
    apart = (places(outputs)[:, None] - places(inputs)).abs().amax(dim=2)
    is_near = apart <= reach
    density = is_near.double().mean().item()
    support = local_support(inputs, outputs, density, reach, generator=generator)
    assert support.keys.tolist() == is_near.flatten().nonzero()[:, 0].tolist()


@pytest.mark.parametrize(("n", "reach"), [(32, 2), (28, 4)])
def test_near_pairs_are_as_many_as_the_closed_form_says(n, reach, generator):
    pairs = ((2 * reach + 1) * n - reach * (reach + 1)) ** 2
    sizes = (1, n, n), (1, n, n)
    assert local_support(*sizes, pairs / n**4, reach, generator=generator).nnz == pairs
    sentence = f"reach = {reach} leaves {pairs} positions for {pairs + 1} links"
    with pytest.raises(ValueError, match=sentence):
        local_support(*sizes, (pairs + 1) / n**4, reach, generator=generator)


def test_local_links_are_drawn_uniformly_among_near_pairs(generator):
    grid, n_draws = (2, 4, 3), 4000
    pairs = torch.arange(24 * 24)
    apart = (places(grid)[:, None] - places(grid)).abs().amax(dim=2)
    is_near = (apart <= 1).flatten()
    counts = torch.zeros(len(pairs))
    for _ in range(n_draws):
        counts[local_support(grid, grid, 0.1, 1, generator=generator).keys] += 1
    assert counts[~is_near].sum() == 0
    assert uniformity(counts[is_near], n_draws, round(0.1 * 24 * 24)) > 0.001


def test_coarser_grid_of_outputs_covers_the_same_image(generator):
    support = local_support((1, 4, 4), (1, 2, 2), 0.25, 0.5, generator=generator)
    corners = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert support.col.view(4, 4).tolist() == corners


# what is refused


def random_of(n_in=3, n_out=4, density=0.5, **how):
    return lambda: random_support(n_in, n_out, density, generator=seeded(0), **how)


def local_of(density, reach):
    return lambda: local_support((1, 4, 4), (1, 4, 4), density, reach, generator=seeded(0))


REFUSED = [
    (random_of(density=0), "density = 0 is out of range"),
    (random_of(draw="poisson"), "unknown draw 'poisson'"),
    (lambda: erdos_renyi_density(3, 0, 20), "n_out = 0 is out of range: give"),
    (lambda: erdos_renyi_density(3, 4, 0), "er_epsilon = 0 is out of range"),
    (local_of(0, 1), "density = 0 is out of range"),
    (local_of(0.1, -1), "reach = -1 is out of range"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_what_cannot_be_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
