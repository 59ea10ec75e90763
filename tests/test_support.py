"""The index of the links against scipy's, its transpose, and what is refused."""

import pytest
import scipy.sparse
import torch

from lib.support import INDEX, Support, make_support


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


def test_index_is_that_of_scipy(mask, support):
    csr, csc = scipy.sparse.csr_array(mask.numpy()), scipy.sparse.csc_array(mask.numpy())
    assert support.crow.tolist() == csr.indptr.tolist()
    assert support.col.tolist() == csr.indices.tolist()
    assert support.tcrow.tolist() == csc.indptr.tolist()
    assert support.trow.tolist() == csc.indices.tolist()


def test_rows_and_keys_are_the_positions_of_the_links(mask, support):
    rows, cols = mask.nonzero(as_tuple=True)
    assert support.row.tolist() == rows.tolist() and support.col.tolist() == cols.tolist()
    assert support.keys.tolist() == mask.flatten().nonzero()[:, 0].tolist()
    assert support.nnz == int(mask.sum()) and (support.n_in, support.n_out) == (5, 6)


def test_transposed_index_lists_the_same_links(support):
    columns = torch.arange(support.n_in).repeat_interleave(support.tcrow.diff())
    order = support.perm.long()
    assert torch.equal(support.col[order], columns.to(torch.int32))
    assert torch.equal(support.row[order], support.trow)
    assert torch.equal(order.sort().values, torch.arange(support.nnz))


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
def test_index_has_one_dtype_whatever_is_given(dtype):
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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_support_of_a_gpu_is_that_of_the_cpu(mask, support):
    moved = make_support(*mask.cuda().nonzero(as_tuple=True), 5, 6)
    assert {tensor.device.type for tensor in (*moved[2:], moved.row, moved.keys)} == {"cuda"}
    assert isinstance(moved, Support)
    assert all(torch.equal(a.cpu(), b) for a, b in zip(moved[2:], support[2:], strict=True))
