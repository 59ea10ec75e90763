"""The products against their dense formulas, each other, finite differences and thread counts."""

import pytest
import torch

from lib import evolution, kernels

SHAPES = {  # name: (n_in, n_out, rows, cols)
    "no links": (4, 3, [], []),
    "one link": (4, 3, [1], [2]),
    "empty rows and columns": (5, 6, [0, 0, 3, 3, 3, 3, 3], [1, 3, 0, 1, 2, 3, 4]),
    "one neuron each": (1, 1, [0], [0]),
    "full": (7, 5, [i // 7 for i in range(35)], [i % 7 for i in range(35)]),
}
WIDTHS = (1, 7, 128, 129)


def make(shape):
    n_in, n_out, rows, cols = SHAPES[shape]
    rows, cols = torch.tensor(rows, dtype=torch.int32), torch.tensor(cols, dtype=torch.int32)
    return kernels.make_support(rows, cols, n_in, n_out)


def dense(support, values):
    weights = torch.zeros(support.n_out, support.n_in, dtype=values.dtype)
    weights[support.row.long(), support.col.long()] = values
    return weights


@pytest.fixture(params=["numba", "torch"])
def implementation(request):
    with kernels.use_implementation(request.param):
        yield request.param


@pytest.fixture(params=SHAPES)
def support(request):
    return make(request.param)


@pytest.fixture(params=WIDTHS)
def width(request):
    return request.param


@pytest.fixture
def large(generator):
    support = evolution.random_support(300, 400, 0.05, generator=generator)
    values = torch.randn(support.nnz, generator=generator)
    return support, values, torch.randn(300, 129, generator=generator)


def test_spmm_is_the_dense_product(support, width, implementation, generator):
    values, bias = torch.randn(support.nnz), torch.randn(support.n_out)
    x = torch.randn(support.n_in, width, generator=generator)
    desired = dense(support, values) @ x
    torch.testing.assert_close(kernels.spmm(support, values, x), desired)
    torch.testing.assert_close(kernels.spmm(support, values, x, bias), desired + bias[:, None])


def test_spmm_transposed_is_the_dense_product(support, width, implementation, generator):
    values = torch.randn(support.nnz, generator=generator)
    grad_y = torch.randn(support.n_out, width, generator=generator)
    actual = kernels.spmm_transposed(support, values, grad_y)
    torch.testing.assert_close(actual, dense(support, values).t() @ grad_y)


def test_sddmm_is_the_dense_gradient_on_the_support(support, width, implementation, generator):
    x = torch.randn(support.n_in, width, generator=generator)
    grad_y = torch.randn(support.n_out, width, generator=generator)
    desired = (grad_y @ x.t())[support.row.long(), support.col.long()]
    torch.testing.assert_close(kernels.sddmm(support, x, grad_y), desired)


def test_gradients_agree_with_finite_differences(support, implementation, generator):
    def leaf(*shape):
        return torch.randn(*shape, generator=generator).requires_grad_()

    values, bias, x = leaf(support.nnz), leaf(support.n_out), leaf(support.n_in, 3)
    grad_y = leaf(support.n_out, 3)
    assert torch.autograd.gradcheck(lambda *a: kernels.spmm(support, *a), (values, x, bias))
    assert torch.autograd.gradcheck(
        lambda *a: kernels.spmm_transposed(support, *a), (values, grad_y)
    )
    assert torch.autograd.gradcheck(lambda *a: kernels.sddmm(support, *a), (x, grad_y))


def test_second_gradients_agree_with_finite_differences(implementation, generator):
    support = make("empty rows and columns")
    values = torch.randn(support.nnz, generator=generator).requires_grad_()
    x = torch.randn(support.n_in, 2, generator=generator).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda *a: kernels.spmm(support, *a).square(), (values, x))


@pytest.mark.parametrize("product", ["spmm", "spmm_transposed", "sddmm"])
def test_implementations_agree_in_float32(product, large, generator):
    support, values, x = (t.float() if torch.is_tensor(t) else t for t in large)
    grad_y = torch.randn(400, 129, generator=generator, dtype=torch.float32)
    arguments = {
        "spmm": (support, values, x),
        "spmm_transposed": (support, values, grad_y),
        "sddmm": (support, x, grad_y),
    }[product]
    results = []
    for name in ("numba", "torch"):
        with kernels.use_implementation(name):
            results.append(getattr(kernels, product)(*arguments))
    assert results[0].dtype == torch.float32
    torch.testing.assert_close(*results)


def test_one_and_two_threads_give_the_same_bits(large, generator):
    support, values, x = large
    grad_y = torch.randn(400, 129, generator=generator)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(
            (
                kernels.spmm(support, values, x),
                kernels.spmm_transposed(support, values, grad_y),
                kernels.sddmm(support, x, grad_y),
            )
        )
    torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_nan_and_infinity_are_not_hidden(large):
    support, values, x = large
    x[0, 0], x[1, 1] = torch.nan, torch.inf
    y = kernels.spmm(support, values, x)
    assert y[:, 0].isnan().any() and y[:, 1].isinf().any() and y[:, 2:].isfinite().all()


def test_transposed_index_lists_the_same_links(support):
    columns = torch.arange(support.n_in).repeat_interleave(support.tcrow.diff())
    order = support.perm.long()
    assert torch.equal(support.col[order], columns.to(torch.int32))
    assert torch.equal(support.row[order], support.trow)
    assert torch.equal(order.sort().values, torch.arange(support.nnz))


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
    ],
)
def test_wrong_support_is_refused(rows, cols, n_in, n_out, sentence):
    def index(entries):
        return torch.tensor(entries, dtype=torch.float64 if 0.5 in entries else torch.int64)

    with pytest.raises(ValueError, match=sentence):
        kernels.make_support(index(rows), index(cols), n_in, n_out)


@pytest.mark.parametrize(
    ("shape", "sentence"), [((300, 0), "batch width 0"), ((299, 5), "give"), ((300,), "give")]
)
def test_wrong_batch_is_refused(shape, sentence, large):
    support, values, _ = large
    with pytest.raises(ValueError, match=sentence):
        kernels.spmm(support, values, torch.zeros(shape))


def test_wrong_values_and_unequal_batches_are_refused(large):
    support, values, x = large
    with pytest.raises(ValueError, match=f"the support has {support.nnz} links"):
        kernels.spmm(support, values[1:], x)
    with pytest.raises(ValueError, match="give one batch"):
        kernels.sddmm(support, x, torch.zeros(400, 3))


def test_wrong_bias_and_rows_outside_the_data_are_refused(large):
    support, values, x = large
    with pytest.raises(ValueError, match=r"bias has shape \(3,\)"):
        kernels.spmm(support, values, x, torch.zeros(3))
    with pytest.raises(IndexError, match=r"outside \[0, 300\)"):
        kernels.gather(x, torch.tensor([0, 300]))


def test_unknown_implementation_is_refused():
    with pytest.raises(ValueError, match="'cython' is unknown"):  # noqa: SIM117
        with kernels.use_implementation("cython"):
            pass


def test_compiled_kernels_refuse_other_dtypes(large):
    support, values, x = large
    with kernels.use_implementation("numba"), pytest.raises(RuntimeError, match="float16"):
        kernels.spmm(support, values.half(), x.half())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_other_dtypes_run_in_torch(dtype, large):
    support, values, x = large
    desired = dense(support, values) @ x
    actual = kernels.spmm(support, values.to(dtype), x.to(dtype))
    assert actual.dtype == dtype
    torch.testing.assert_close(actual.double(), desired, rtol=0.1, atol=0.3)


@pytest.mark.parametrize("name", ["numba", "torch"])
def test_gather_is_the_transposed_rows(name, generator):
    data, index = torch.randn(50, 37, generator=generator), torch.tensor([3, 49, 3, 0])
    with kernels.use_implementation(name):
        actual = kernels.gather(data, index)
    assert torch.equal(actual, data[index].t()) and actual.is_contiguous()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_products_on_a_gpu_agree_with_the_cpu(large):
    support, values, x = large
    moved = kernels.Support(300, 400, *(t.cuda() for t in support[2:]))
    actual = kernels.spmm(moved, values.cuda(), x.cuda())
    torch.testing.assert_close(actual.cpu(), kernels.spmm(support, values, x))
