"""Products and whole layers against their dense formulas, each other, finite differences and
thread counts.
"""

import functools

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad

from lib import kernels
from lib._compiled import launch
from lib.kernels import Layer
from lib.layers import Linear, SparseLinear
from lib.support import Support, make_support, random_support
from tests.oracles import on_one_and_two_threads

SHAPES = {  # name: (n_in, n_out, rows, cols)
    "no links": (4, 3, [], []),
    "one link": (4, 3, [1], [2]),
    "empty rows and columns": (5, 6, [0, 0, 3, 3, 3, 3, 3], [1, 3, 0, 1, 2, 3, 4]),
    "one neuron each": (1, 1, [0], [0]),
    "full": (7, 5, [i // 7 for i in range(35)], [i % 7 for i in range(35)]),
}
P = 0.4  # of the dropout of layers below
CASES = [  # shape, parts, number of examples: tiles of 1, 16 and 64, full and not
    *[("no links", "bias srelu law", 7), ("one link", "", 1), ("one neuron each", "srelu", 16)],
    *[("empty rows and columns", "bias relu law", 17), ("empty rows and columns", "srelu", 129)],
    *[("full", "bias srelu law", 130), ("full", "law", 64), ("full", "relu", 1), ("full", "", 65)],
]
each_parts = pytest.mark.parametrize("parts", ["", "bias srelu law", "bias relu law"])


def make(shape):
    n_in, n_out, rows, cols = SHAPES[shape]
    rows, cols = torch.tensor(rows, dtype=torch.int32), torch.tensor(cols, dtype=torch.int32)
    return make_support(rows, cols, n_in, n_out)


def dense(support, values):
    weights = torch.zeros(support.n_out, support.n_in, dtype=values.dtype)
    weights[support.row.long(), support.col.long()] = values
    return weights


@pytest.fixture(params=SHAPES)
def support(request):
    return make(request.param)


@pytest.fixture
def large(generator):
    support = random_support(300, 400, 0.05, generator=generator)
    values = torch.randn(support.nnz, generator=generator)
    return support, values, torch.randn(300, 129, generator=generator)


def products(support, values, x, grad_y, bias=None):
    """The three products of a layer: forwards, at its inputs, at its links."""
    return [
        kernels.spmm(support, values, x, bias),
        kernels.spmm_transposed(support, values, grad_y),
        kernels.sddmm(support, x, grad_y),
    ]


def dense_products(support, values, x, grad_y, bias=None):
    weights, links = dense(support, values), (support.row.long(), support.col.long())
    forwards = weights @ x + (0 if bias is None else bias[:, None])
    return [forwards, weights.t() @ grad_y, (grad_y @ x.t())[links]]


@pytest.mark.parametrize("width", [1, 129])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_products_are_the_dense_ones(dtype, support, width, implementation, generator):
    sizes = [(support.nnz,), (support.n_in, width), (support.n_out, width), (support.n_out,)]
    operands = [torch.randn(size, generator=generator).to(dtype) for size in sizes]
    for given in (operands, operands[:3]):
        actual = products(support, *given)
        assert {product.dtype for product in actual} == {dtype}
        torch.testing.assert_close(actual, dense_products(support, *given))


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
    assert torch.autograd.gradgradcheck(lambda *a: kernels.spmm(support, *a).square(), (values, x))


def test_one_and_two_threads_give_the_same_bits(large, generator):
    support, values, x = large
    grad_y = torch.randn(400, 129, generator=generator)
    results = on_one_and_two_threads(lambda: products(support, values, x, grad_y))
    assert all(map(torch.equal, *results))


def test_nan_and_infinity_are_not_hidden(large):
    support, values, x = large
    x[0, 0], x[1, 1] = torch.nan, torch.inf
    y = kernels.spmm(support, values, x)
    assert y[:, 0].isnan().any() and y[:, 1].isinf().any() and y[:, 2:].isfinite().all()


def operands(large, **change):
    support, values, x = large
    grad_y, bias = torch.zeros(400, 129), torch.zeros(400)
    return [
        support,
        *({"values": values, "x": x, "grad_y": grad_y, "bias": bias} | change).values(),
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x": torch.zeros(299, 129)}, "give"),
        ({"x": torch.zeros(300)}, "give"),
        ({"values": torch.zeros(5)}, r"the support has \d+ links"),
        ({"grad_y": torch.zeros(400, 3)}, "give one batch"),
        ({"bias": torch.zeros(3)}, r"bias has shape \(3,\)"),
        (
            {"x": torch.zeros(300, 129).half()},
            r"x is torch.float16 and the weights torch.float64: ",
        ),
        ({"grad_y": torch.zeros(400, 129).half()}, "grad_y is torch.float16 and the weights"),
        ({"bias": torch.zeros(400).half()}, "bias is torch.float16 and the weights torch.float64"),
    ],
    ids=str,
)
def test_products_of_what_does_not_fit_are_refused(change, sentence, large):
    change = {name: t if t.dtype == torch.float16 else t.double() for name, t in change.items()}
    with pytest.raises(ValueError, match=sentence):
        products(*operands(large, **change))


def test_products_of_no_example_are_empty(large):
    support, values, _ = large
    x, grad_y = torch.zeros(support.n_in, 0), torch.zeros(support.n_out, 0)
    assert kernels.spmm(support, values, x).shape == grad_y.shape
    assert kernels.spmm_transposed(support, values, grad_y).shape == x.shape
    assert not kernels.sddmm(support, x, grad_y).any()


def test_other_dtypes_run_in_torch(large):
    (support, values, x), dtype = large, torch.bfloat16
    desired = dense(support, values) @ x
    actual = kernels.spmm(support, values.to(dtype), x.to(dtype))
    assert actual.dtype == dtype
    torch.testing.assert_close(actual.double(), desired, rtol=0.1, atol=0.3)
    with launch.use_implementation("numba"), pytest.raises(RuntimeError, match="bfloat16"):
        kernels.spmm(support, values.to(dtype), x.to(dtype))


# whole layers in one pass


def make_layer(support, parts, generator, seed=0):
    return Layer(
        support,
        torch.randn(support.nnz, generator=generator),
        torch.randn(support.n_out, generator=generator) if "bias" in parts else None,
        torch.randn(4, support.n_out, generator=generator) if "srelu" in parts else None,
        launch.dropout_law(P, seed, step=3) if "law" in parts else None,
        "relu" in parts.split(),
    )


def two_layers(parts, generator):
    """5 to 6 to 4 neurons, some without links; both with the parts."""
    second = random_support(6, 4, 0.5, generator=generator)
    supports = make("empty rows and columns"), second
    return [make_layer(s, parts, generator, seed) for seed, s in enumerate(supports)]


def formula(x, layer):
    """One layer by its definition: dense product, SReLU as printed, the hash as published."""
    support, values, bias, srelu, law, is_relu, splash, hinges, _ = layer
    y = x if support is None else x @ dense(support, values).t()
    y = y if bias is None else y + bias
    y = y if srelu is None else printed_srelu(y, *srelu)
    y = y.clamp(min=0) if is_relu else y
    y = y if splash is None else printed_splash(y, hinges, *splash)
    return y if law is None else y * kept(law, *y.shape) / (1 - P)


def printed_srelu(x, t_left, a_left, width, a_right):
    """Jin2016, as printed: three pieces, the outer ones closed."""
    t_right = t_left + width.abs()
    middle = torch.where(x >= t_right, t_right + a_right * (x - t_right), x)
    return torch.where(x <= t_left, t_left + a_left * (x - t_left), middle)


def printed_splash(x, hinges, right, left):
    """Tavakoli2021: sums of hinges on both sides of the origin."""
    x = x[..., None]
    return ((x - hinges).relu() * right + (-x - hinges).relu() * left).sum(-1)


def kept(law, n_examples, n):
    """(B, n) bool: the published hash lowbias32 (Wellons, hash-prospector) of every index."""
    h = (np.arange(n * n_examples, dtype=np.uint64) + np.uint64(law.key)).astype(np.uint32)
    h = (h ^ h >> np.uint32(16)) * np.uint32(0x7FEB352D)
    h = (h ^ h >> np.uint32(15)) * np.uint32(0x846CA68B)
    h ^= h >> np.uint32(16)
    keep = (h ^ np.uint32(law.flip)) >= law.threshold
    return torch.from_numpy(keep).view(n, n_examples).t()


def composed(x, layers):
    return functools.reduce(formula, layers, x)


def as_leaves(x, layers):
    """Leaves of x and of all weights, biases and parameters, and the layers made of them."""
    tensors = [t for layer in layers for t in layer._replace(hinges=None) if torch.is_tensor(t)]
    leaves = {id(t): t.clone().requires_grad_() for t in tensors}
    layers = [Layer(*(leaves.get(id(part), part) for part in layer)) for layer in layers]
    return [x.clone().requires_grad_(), *leaves.values()], layers


def gradients(function, x, layers, **options):
    """Of a loss whose own gradient differs from value to value."""
    leaves, layers = as_leaves(x, layers)
    y = function(leaves[0], layers)
    return torch.autograd.grad(y.sin().sum(), leaves, **options)


def in_every_memory_format(x):
    """The same values batch-major, feature-major, and with gaps."""
    return x.contiguous(), x.t().contiguous().t(), x.repeat_interleave(2, 1)[:, ::2]


@pytest.mark.parametrize(("shape", "parts", "n_examples"), CASES)
def test_chain_and_its_gradients_are_those_of_the_dense_formula(
    shape, parts, n_examples, implementation, generator
):
    support = make(shape)
    layers = [make_layer(support, parts, generator)]
    x = torch.randn(n_examples, support.n_in, generator=generator)
    y, *others = (kernels.chain(format, layers) for format in in_every_memory_format(x))
    torch.testing.assert_close(y, composed(x, layers), rtol=1e-12, atol=1e-12)
    assert y.t().is_contiguous() and all(torch.equal(other, y) for other in others)
    actual, desired = gradients(kernels.chain, x, layers), gradients(composed, x, layers)
    torch.testing.assert_close(actual, desired, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("differentiable", [False, True])
def test_layers_with_and_without_links_follow_each_other(differentiable, implementation, generator):
    law, pieces = launch.dropout_law(P, 8, 1), torch.randn(4, 5, generator=generator)
    alone = [Layer(srelu=pieces), Layer(law=law), Layer(srelu=2 * pieces, law=law)]
    layers = [*alone, *two_layers("bias srelu", generator), Layer(law=law)]
    x = torch.randn(7, 5, generator=generator)
    torch.testing.assert_close(kernels.chain(x, layers), composed(x, layers))
    actual = gradients(kernels.chain, x, layers, create_graph=differentiable)
    torch.testing.assert_close(actual, gradients(composed, x, layers))


@pytest.mark.parametrize("layers", [[], [Layer(), Layer()]], ids=len)
def test_chain_without_parts_is_the_identity(layers, implementation, generator):
    x = torch.randn(7, 5, generator=generator)
    y, *others = (kernels.chain(format, layers) for format in in_every_memory_format(x))
    assert torch.equal(y, x) and all(torch.equal(other, x) for other in others)
    assert torch.equal(*gradients(kernels.chain, x, layers), x.cos())


@each_parts
def test_gradients_of_chain_agree_with_finite_differences(parts, implementation, generator):
    layers = two_layers(parts, generator)  # a kink within 10⁻⁶ would be a failure, and is unlikely
    leaves, layers = as_leaves(torch.randn(3, 5, generator=generator), layers)
    assert torch.autograd.gradcheck(lambda x, *_: kernels.chain(x, layers), leaves)
    assert torch.autograd.gradgradcheck(lambda x, *_: kernels.chain(x, layers).sin(), leaves)


@pytest.mark.parametrize(("factor", "differentiable"), [(1, False), (2, True)])
def test_layers_that_share_weights_add_their_gradients(
    factor, differentiable, implementation, generator
):
    support = random_support(5, 5, 0.5, generator=generator)
    values = torch.randn(support.nnz, generator=generator).requires_grad_()
    second = values if factor == 1 else factor * values
    layers = [Layer(support, values), Layer(support, second)]
    x = torch.randn(7, 5, generator=generator)
    y, desired = kernels.chain(x, layers).sin().sum(), composed(x, layers).sin().sum()
    (actual,) = torch.autograd.grad(y, values, retain_graph=True, create_graph=differentiable)
    torch.testing.assert_close(actual, torch.autograd.grad(desired, values)[0])


@pytest.mark.parametrize("frozen", range(7))
def test_frozen_tensor_gets_no_gradient_and_the_others_theirs(frozen, generator):
    leaves, layers = as_leaves(
        torch.randn(7, 5, generator=generator), two_layers("bias srelu law", generator)
    )
    desired = torch.autograd.grad(composed(leaves[0], layers).sin().sum(), leaves)
    leaves[frozen].requires_grad_(False)
    kernels.chain(leaves[0], layers).sin().sum().backward()
    assert leaves[frozen].grad is None
    actual = [leaf.grad for i, leaf in enumerate(leaves) if i != frozen]
    torch.testing.assert_close(actual, [g for i, g in enumerate(desired) if i != frozen])


@pytest.mark.parametrize(
    ("parts", "contiguous"), [("", True), ("bias srelu law", False), ("bias relu law", True)]
)
def test_retained_graph_gives_its_gradients_twice_and_changes_no_argument(
    contiguous, parts, generator
):
    x, layers = torch.randn(7, 5, generator=generator), two_layers(parts, generator)
    leaves, layers = as_leaves(x, layers)
    before, y = [leaf.detach().clone() for leaf in leaves], kernels.chain(leaves[0], layers)
    grad_y = torch.randn(4, 7, generator=generator).t()  # feature-major: needs no copy
    grad_y = grad_y.contiguous() if contiguous else grad_y
    value, given = y.detach().clone(), grad_y.clone()
    first = torch.autograd.grad(y, leaves, grad_y, retain_graph=True)
    first = [g.clone() for g in first]
    second = torch.autograd.grad(y, leaves, grad_y, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(grad_y, given) and torch.equal(y, value)
    assert all(torch.equal(a, b) for a, b in zip(leaves, before, strict=True))


@pytest.mark.parametrize("changed", ["x", "values", "srelu"])
def test_argument_changed_before_backward_is_noticed(changed, generator):
    leaves, layers = as_leaves(
        torch.randn(7, 5, generator=generator), two_layers("bias srelu", generator)
    )
    with launch.use_implementation("numba"):
        y = kernels.chain(leaves[0], layers)
    argument = leaves[0] if changed == "x" else getattr(layers[1], changed)
    with torch.no_grad():
        argument.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_output_of_chain_can_be_changed_in_place(implementation, generator):
    layers, x = two_layers("bias srelu law", generator), torch.randn(7, 5, generator=generator)
    actual = gradients(lambda x, layers: kernels.chain(x, layers).mul_(2), x, layers)
    desired = gradients(lambda x, layers: 2 * composed(x, layers), x, layers)
    torch.testing.assert_close(actual, desired)


LAYOUTS = {
    "strided": lambda t: torch.stack([t, t], dim=-1)[..., 0],
    "offset": lambda t: torch.cat([t.flatten(), t.flatten()])[t.numel() :].view(t.shape),
    "transposed": lambda t: t.t().contiguous().t() if t.ndim == 2 else t,
    "negative": lambda t: torch.complex(t, -t).conj().imag,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_may_have_any_layout(layout, generator):
    layers, x = two_layers("bias srelu law", generator), torch.randn(7, 5, generator=generator)

    def changed(x, layers):
        other = LAYOUTS[layout]
        layers = [layer._replace(**parts(layer, other)) for layer in layers]
        return kernels.chain(other(x), layers)

    def parts(layer, other):
        names = ("values", "bias", "srelu")
        return {name: other(getattr(layer, name)) for name in names}

    with launch.use_implementation("numba"):
        actual = gradients(changed, x, layers)
    torch.testing.assert_close(actual, gradients(kernels.plain_chain, x, layers))


def test_saved_tensors_may_come_back_in_another_layout(generator):
    layers, x = two_layers("bias srelu law", generator), torch.randn(7, 5, generator=generator)
    desired = gradients(kernels.plain_chain, x, layers)

    def pack(tensor):
        return tensor.t().contiguous() if tensor.ndim == 2 else tensor

    def unpack(tensor):
        return tensor.t() if tensor.ndim == 2 else tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        actual = gradients(kernels.chain, x, layers)
    torch.testing.assert_close(actual, desired)


def test_memory_stays_while_a_pass_reads_it(monkeypatch, generator):
    """Other weights may be given to a parameter while the loops run, by another thread."""
    support = random_support(5, 4, 0.5, generator=generator)
    values = torch.nn.Parameter(torch.randn(support.nnz, generator=generator))
    x, run = torch.randn(3, 5, generator=generator), launch.passes.forward_tiles
    desired = kernels.chain(x, [Layer(support, values)]).detach()
    freed = []

    def swapped(*arguments):
        values.data = torch.full_like(values, torch.nan)
        freed.append([torch.full_like(values, torch.nan) for _ in range(100)])
        run(*arguments)

    monkeypatch.setattr(launch.passes, "forward_tiles", swapped)
    assert torch.equal(kernels.chain(x, [Layer(support, values)]), desired)


def test_backward_after_the_links_were_replaced_is_refused(generator):
    layer = SparseLinear(6, 5, density=0.5, generator=generator)
    y = layer(torch.ones(2, 6))
    support = random_support(6, 5, 0.9, generator=generator)
    layer.support = support
    layer.replace_values_(torch.ones(support.nnz))
    with pytest.raises(RuntimeError, match="the links were replaced"):
        y.sum().backward()


@each_parts
def test_implementations_of_chain_agree_in_float32(parts, generator):
    layers, x = two_layers(parts, generator), torch.randn(129, 5, generator=generator)
    layers = [Layer(*(p.float() if torch.is_tensor(p) else p for p in part)) for part in layers]
    results = []
    for name in ("numba", "torch"):
        with launch.use_implementation(name):
            grads = gradients(kernels.chain, x.float(), layers)
            results.append([kernels.chain(x.float(), layers), *grads])
    assert {tensor.dtype for tensor in results[0]} == {torch.float32}
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-4)  # sums over 129 examples


def test_chain_of_other_dtypes_runs_in_torch(generator):
    dtype = torch.float16
    layers, x = two_layers("bias srelu law", generator), torch.randn(7, 5, generator=generator)
    rounded = [Layer(*(p.to(dtype) if torch.is_tensor(p) else p for p in part)) for part in layers]
    actual = kernels.chain(x.to(dtype), rounded)
    assert actual.dtype == dtype and actual.t().is_contiguous()
    torch.testing.assert_close(actual.double(), composed(x, layers), rtol=0.1, atol=0.3)


def test_chain_under_autocast_computes_in_the_dtype_of_its_weights(generator):
    layers = two_layers("bias srelu", generator)
    x = torch.randn(7, 5, generator=generator)
    desired = kernels.chain(x.bfloat16().double(), layers)
    with torch.autocast("cpu"):
        actual = kernels.chain(x.bfloat16(), layers)
    assert torch.equal(actual, desired) and actual.dtype == torch.float64


@pytest.mark.parametrize("shape", [(5,), (2, 1, 3, 5)], ids=str)
def test_units_take_any_leading_dimensions(shape, implementation, generator):
    law, pieces = launch.dropout_law(P, 8, 1), torch.randn(4, 5, generator=generator)
    x = torch.randn(shape, generator=generator)
    rows = x.reshape(-1, 5)
    desired = kernels.srelu(rows, pieces), kernels.dropout(rows, law)
    actual = kernels.srelu(x, pieces), kernels.dropout(x, law)
    assert all(torch.equal(a, d.view(shape)) for a, d in zip(actual, desired, strict=True))


@pytest.mark.parametrize("unit", ["srelu", "relu", "splash"])
def test_chain_of_one_and_two_threads_gives_the_same_bits(unit, large, generator):
    n_examples, (support, *_) = 4097, large
    layers = [make_layer(support, f"bias {unit} law", generator)]
    if unit == "splash":
        coefficients = torch.randn(2, 3, generator=generator)
        layers[0] = layers[0]._replace(splash=coefficients, hinges=torch.arange(3.0))
    layers.append(make_layer(random_support(400, 3, 0.5, generator=generator), "bias", generator))
    x = torch.randn(n_examples, 300, generator=generator)
    results = on_one_and_two_threads(
        lambda: [kernels.chain(x, layers), *gradients(kernels.chain, x, layers)]
    )
    assert all(map(torch.equal, *results))


@pytest.mark.parametrize(
    ("bad", "parts"), [(torch.nan, "bias srelu"), (torch.inf, ""), (-torch.inf, "srelu")]
)
def test_chain_hides_no_nan_and_no_infinity(bad, parts, implementation, generator):
    support = make("full")
    layers, x = [make_layer(support, parts, generator)], torch.randn(9, 7, generator=generator)
    x[3, 2] = bad
    leaves, layers = as_leaves(x, layers)
    y = kernels.chain(leaves[0], layers)
    assert not y[3].isfinite().any() and y[:3].isfinite().all() and y[4:].isfinite().all()
    (grad_values,) = torch.autograd.grad(y.sum(), leaves[1])
    assert not grad_values.view(5, 7)[:, 2].isfinite().any()


@pytest.mark.parametrize("name", ["values", "bias", "srelu"])
def test_chain_hides_no_nan_of_its_parameters(name, implementation, generator):
    layer = make_layer(make("full"), "bias srelu", generator)
    getattr(layer, name).fill_(torch.nan)
    assert kernels.chain(torch.randn(9, 7, generator=generator), [layer]).isnan().all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"values": torch.ones(6)}, r"values has shape \(6,\): the support has 7 links"),
        ({"values": torch.ones(7, 1)}, r"values has shape \(7, 1\)"),
        ({"bias": torch.ones(5)}, r"bias has shape \(5,\): give \(6,\)"),
        ({"srelu": torch.ones(4, 5)}, r"srelu has shape \(4, 5\): give \(4, 6\)"),
        ({"srelu": torch.ones(4)}, r"srelu has shape \(4,\): give \(4, 6\)"),
        ({"values": torch.ones(7).half()}, "torch.float16: give both in one dtype"),
        ({"bias": torch.ones(6).long()}, "torch.int64: give both in one dtype"),
        ({"srelu": torch.ones(4, 6).half()}, "torch.float16: give both in one dtype"),
        ({"bias": torch.ones(6, device="meta")}, "on meta: give both on one device"),
        ({"srelu": torch.ones(4, 6, device="meta")}, "on meta: give both on one device"),
    ],
    ids=str,
)
def test_wrong_layer_is_refused(change, sentence, implementation, generator):
    floats = {n: t.double() if t.dtype == torch.float32 else t for n, t in change.items()}
    layer = make_layer(make("empty rows and columns"), "bias srelu", generator)._replace(**floats)
    with pytest.raises(ValueError, match=sentence):
        kernels.chain(torch.zeros(2, 5), [layer])


def alone(**parts):
    return lambda *_: [Layer(**parts)]


X, PIECES, HINGES = torch.zeros(2, 5).double(), torch.ones(4, 5), torch.arange(3.0)
SPLASH, NO_LINKS = torch.ones(2, 3), "without a support: give the links too"
REFUSED = [  # an input, the layers made of two, and the sentence
    (X, alone(srelu=PIECES, is_relu=True), "a ReLU and an SReLU"),
    (X, alone(splash=SPLASH, hinges=HINGES, is_relu=True), "a ReLU or"),
    (X, alone(hinges=HINGES), "one of splash and hinges: give both"),
    (X, alone(splash=SPLASH), "one of splash and hinges: give both"),
    (X, alone(values=torch.ones(5)), NO_LINKS),
    (X, alone(bias=torch.ones(5)), NO_LINKS),
    (X, lambda first, _: [first, first], "6 values meet a layer of 5 inputs"),
    (X, lambda *two: [*two, Layer(srelu=two[0].srelu)], r"srelu has shape \(4, 6\): give \(4, 4"),
    (X[:, [0] * 6], lambda *two: two, "6 values meet a layer of 5 inputs"),
    (X.half(), lambda *two: two, "x is torch.float16 and the weights torch.float64: give both"),
    (X.long(), lambda *two: two, "x is torch.int64 and the weights torch.float64: give both"),
    (X.to("meta"), lambda *two: two, "x is on meta and the weights on cpu: give both on one"),
    (X[0], alone(srelu=PIECES), "give"),
    (X.expand(3, 2, 5), alone(), "give"),
]


@pytest.mark.parametrize(("x", "choose", "sentence"), REFUSED)
def test_chain_of_what_does_not_fit_is_refused(x, choose, sentence, implementation, generator):
    with pytest.raises(ValueError, match=sentence):
        kernels.chain(x, choose(*two_layers("bias srelu", generator)))


# dropout


@pytest.mark.parametrize(("step", "dtype"), [(0, torch.float64), (10**6, torch.float32)])
def test_dropout_keeps_what_the_published_hash_says(step, dtype, implementation, generator):
    law, x = launch.dropout_law(P, 2001, step), torch.rand(129, 50, generator=generator) + 1
    x = x.to(dtype)
    y = kernels.dropout(x, law)
    assert torch.equal(y, x * torch.tensor(1 / (1 - P), dtype=dtype) * kept(law, 129, 50))
    assert y.t().is_contiguous()


@pytest.mark.parametrize("threshold", [2**31, 2**15])  # decided by the high, and by the low bits
def test_index_of_the_dropout_goes_around_at_32_bits(threshold, implementation):
    law = launch.DropoutLaw(threshold, 2.0, 2**32 - 500_000, 0xABCD1234)
    y = kernels.dropout(torch.ones(1000, 1000), law)
    assert torch.equal(y != 0, kept(law, 1000, 1000)) and (y == 0).any()


def test_threshold_is_inclusive(implementation):
    law = launch.dropout_law(0.5, 0, 0)._replace(key=0, flip=2**31)
    x = torch.ones(1, 1)  # the hash of 0 is 0
    assert kernels.dropout(x, law).item() == 2 and law.threshold == 2**31
    assert kernels.dropout(x, law._replace(flip=2**31 - 1)).item() == 0


# on a GPU


def on_gpu(part):
    """A tensor, a support, a layer or a list of them, with all tensors moved."""
    if isinstance(part, Support | Layer):
        return type(part)(*map(on_gpu, part))
    if isinstance(part, list | tuple) and not isinstance(part, launch.DropoutLaw):
        return [on_gpu(member) for member in part]
    return part.cuda() if torch.is_tensor(part) else part


def on_cpu(tensors):
    return [tensor.cpu() for tensor in tensors]


@pytest.mark.gpu
def test_products_on_a_gpu_agree_with_the_cpu(support, generator):
    sizes = [(support.nnz,), (support.n_in, 129), (support.n_out, 129), (support.n_out,)]
    given = [support, *(torch.randn(size, generator=generator) for size in sizes)]
    torch.testing.assert_close(on_cpu(products(*on_gpu(given))), products(*given))


@pytest.mark.gpu
@each_parts
@pytest.mark.parametrize("differentiable", [False, True])
def test_chain_and_its_gradients_on_a_gpu_agree_with_the_cpu(differentiable, parts, generator):
    layers, x = two_layers(parts, generator), torch.randn(129, 5, generator=generator)
    moved, x_moved = on_gpu(layers), x.cuda()
    y = kernels.chain(x_moved, moved)
    assert y.device.type == "cuda" and y.t().is_contiguous()
    torch.testing.assert_close(y.cpu(), kernels.chain(x, layers))
    actual = gradients(kernels.chain, x_moved, moved, create_graph=differentiable)
    torch.testing.assert_close(on_cpu(actual), list(gradients(kernels.chain, x, layers)))


@pytest.mark.gpu
def test_dropout_on_a_gpu_keeps_the_same_values(generator):
    x, law = torch.randn(129, 50, generator=generator).float(), launch.dropout_law(P, 3, 4)
    assert torch.equal(kernels.dropout(x.cuda(), law).cpu(), kernels.dropout(x, law))


@pytest.mark.gpu
def test_compiled_kernels_refuse_a_gpu(generator):
    with launch.use_implementation("numba"), pytest.raises(RuntimeError, match="on cuda"):
        kernels.chain(torch.ones(2, 5).cuda(), on_gpu(two_layers("", generator)))


# the dense product


@pytest.mark.parametrize(
    ("shape", "transposed"), [((1, 1, 1), False), ((10, 1000, 128), True), ((43, 7, 5), False)]
)
def test_dense_product_is_that_of_torch_in_double_precision(shape, transposed, generator):
    m, k, n = shape
    a = torch.randn(m, k, generator=generator, dtype=torch.float32)
    b = torch.randn(k, n, generator=generator, dtype=torch.float32)
    if transposed:
        a, b = a.t().contiguous().t(), b.t().contiguous().t()
    desired = a.double() @ b.double()
    rounding = 1e-6 * (a.double().abs() @ b.double().abs())
    assert ((kernels.dense_product(a, b) - desired).abs() <= rounding).all()


def test_dense_product_has_second_gradients(generator):
    a, b = (torch.randn(6, 6, generator=generator).float().requires_grad_() for _ in range(2))

    def penalty(product, a, b):
        (grad,) = torch.autograd.grad(product(a, b).tanh().sum(), a, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), b)[0]

    actual = penalty(kernels.dense_product, a, b)
    desired = penalty(torch.matmul, a.double(), b.double())
    torch.testing.assert_close(actual.double(), desired, atol=1e-4, rtol=1e-4)


def test_dense_product_keeps_double_precision(generator):
    a, b = (torch.randn(5, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    assert torch.equal(kernels.dense_product(a, b), a @ b)


def test_dense_product_does_not_depend_on_threads(generator):
    a, b = (torch.randn(shape, generator=generator).float() for shape in ((300, 200), (200, 100)))
    assert torch.equal(*on_one_and_two_threads(lambda: kernels.dense_product(a, b)))


TORCH_WARNS = pytest.mark.filterwarnings("ignore")  # of its own scripts and traces


@TORCH_WARNS
def test_dense_layer_is_differentiated_forwards_and_a_sparse_one_refuses_it():
    layer, sparse = Linear(4, 3).float(), SparseLinear(4, 3, density=0.5).float()
    x, tangent = torch.rand(2, 5, 4).float()
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, tangent)
        found = forward_ad.unpack_dual(layer(dual)).tangent
        with torch.no_grad(), pytest.raises(NotImplementedError, match="jvp"):
            sparse(dual)
    torch.testing.assert_close(found, tangent @ layer.weight.T)


@TORCH_WARNS
def test_dense_layer_is_traced():
    layer, x = Linear(4, 3).float(), torch.rand(5, 4).float()
    torch.testing.assert_close(torch.jit.trace(layer, x)(x), layer(x))
