"""SparseConv2d: its function, its links, its state, and what it refuses."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import (
    Evolution,
    SparseConv2d,
    densify_,
    evolve_,
    random_support,
    sparsify_,
    summary,
    use_implementation,
)
from lib.support import support_from_keys
from tests.oracles import on_one_and_two_threads, seeded


def layer_of(*sizes, density=0.3, dtype=torch.float32, **options):
    return SparseConv2d(*sizes, density=density, dtype=dtype, generator=seeded(), **options)


def images(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=seeded(1), dtype=dtype)


KERNELS = [(1, 1), (3, 3), (5, 5), (1, 3), (4, 2)]
STRIDES = [(1, 1), (2, 2), (1, 2), (3, 1)]  # loops are compiled anew for each second number
BATCHES = (1, 2, 15, 16, 17, 33, 128, 200)


def random_case(seed):
    """A layer of random sizes and links, its input, and a gradient at its output."""
    rng = np.random.default_rng(seed)
    kernel, stride = KERNELS[seed % 5], STRIDES[seed // 5 % 4]
    padding = tuple(int(rng.integers(k + 1)) for k in kernel)
    if stride == (1, 1) and seed > 20:
        padding = "same"  # to one side more, of an even kernel
    n_in, n_out = (int(n) for n in rng.integers(1, 10, 2))
    mask = rng.random((n_out, n_in * math.prod(kernel))) < rng.choice([0.02, 0.2, 0.6, 1])
    mask[rng.integers(n_out)] &= rng.random() < 0.5  # a map without links
    mask[0, 0] = True
    keys = torch.from_numpy(np.flatnonzero(mask))
    links = {"support": support_from_keys(keys, *mask.shape[::-1]), "density": None}
    layer = layer_of(n_in, n_out, kernel, stride, padding, **links)
    nn.init.normal_(layer.bias, generator=seeded(seed))
    height, width = int(rng.integers(5, 14)), int(rng.choice([5, 7, 8, 16, 17, 32]))
    x = images(BATCHES[seed % len(BATCHES)], n_in, height, width)
    return layer, x, images(*layer(x).shape)


def computed(layer, x, grad_y):
    """The output, and the gradients at input, links and biases."""
    x = x.requires_grad_()
    y = layer(x)
    return [y.detach(), *torch.autograd.grad(y, (x, layer.values, layer.bias), grad_y)]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even")  # torch's, on its own copy
@pytest.mark.parametrize("seed", range(40))
def test_values_and_gradients_are_those_of_torch_in_float64(seed):
    """To 1e-5 of the largest number: float32 has 1e-7 of it a sum."""
    layer, x, grad_y = random_case(seed)
    leaves = [each.detach().double() for each in (x, layer.to_dense(), layer.bias)]
    y = F.conv2d(*(leaf.requires_grad_() for leaf in leaves), layer.stride, layer.padding)
    grad_x, grad, grad_bias = torch.autograd.grad(y, leaves, grad_y.double())
    desired = [y.detach(), grad_x, grad.flatten()[layer.support.keys], grad_bias]
    for one, other in zip(computed(layer, x, grad_y), desired, strict=True):
        assert (one - other).abs().max() <= 1e-5 * max(float(other.abs().max()), 1.0)


@pytest.mark.parametrize("seed", [3, 5, 6, 7])  # of several tiles
def test_two_threads_give_the_bits_of_one(seed):
    case = random_case(seed)
    assert all(map(torch.equal, *on_one_and_two_threads(lambda: computed(*case))))


def test_gradients_of_gradients_are_those_of_finite_differences():
    layer = layer_of(2, 3, 3, padding=1, dtype=torch.float64)
    x = images(2, 2, 4, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradgradcheck(layer, x)


def test_compiled_loops_give_the_gradients_of_gradients_of_plain_torch():
    layer, penalties = layer_of(2, 3, 3), []
    for implementation in ("numba", "torch"):
        x = images(2, 2, 6, 6).requires_grad_()
        with use_implementation(implementation):
            (grad,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
            penalties.append(torch.autograd.grad(grad.square().sum(), layer.values)[0])
    torch.testing.assert_close(*penalties, rtol=1e-4, atol=1e-3)


def test_one_image_is_a_batch_of_one_and_none_gives_no_output():
    layer, x = layer_of(3, 4, 3), images(3, 8, 8)
    torch.testing.assert_close(layer(x), layer(x[None])[0], rtol=0, atol=0)
    assert layer(images(0, 3, 8, 8)).shape == (0, 4, 6, 6)


def test_state_brings_its_links_and_a_copy_computes_the_same():
    layer, other, x = layer_of(3, 4, 3), layer_of(3, 4, 3, density=0.6), images(2, 3, 8, 8)
    y = layer(x)
    other.load_state_dict(layer.state_dict())
    assert other(x).equal(y) and other.nnz == layer.nnz
    assert copy.deepcopy(layer)(x).equal(y)


def test_from_dense_keeps_weights_at_the_links():
    dense = nn.Conv2d(3, 4, 3, 2, 1)
    support = random_support(27, 4, 0.5, generator=seeded())
    sparse = SparseConv2d.from_dense(dense, support=support)
    is_kept = sparse.to_dense() != 0
    assert sparse.to_dense().equal(dense.weight.detach() * is_kept) and is_kept.sum() == 54
    assert sparse.bias is dense.bias and sparse.stride == (2, 2)


def test_repr_says_the_density():
    text = repr(SparseConv2d(4, 5, 3, density=0.1))  # 18 of 180
    assert "4, 5, kernel_size=(3, 3)" in text and "links=18, density=10.00%" in text


def test_gradient_growth_takes_the_positions_of_largest_dense_gradient():
    layer, x = layer_of(2, 3, 3, padding=1), images(4, 2, 6, 6)
    dense = layer.to_dense().detach().requires_grad_()
    grad_y = images(4, 3, 6, 6)
    F.conv2d(x, dense, padding=1).backward(grad_y)
    before = layer.support.keys
    rows, grads = layer.as_rows(x, grad_y)
    evolve_(
        layer, Evolution(grow="gradient"), fraction=0.3, generator=seeded(),
        x=rows.t().contiguous(), grad_y=grads.t().contiguous(),
    )  # fmt: skip
    keys = layer.support.keys
    grown = keys[~torch.isin(keys, before)]
    free = dense.grad.flatten().abs().index_fill(0, before, 0)
    assert grown.sort().values.equal(free.topk(len(grown)).indices.sort().values)


REFUSED = [
    (lambda: layer_of(3, 6, 3, dilation=2), "dilation = 2"),
    (lambda: layer_of(3, 6, 3, groups=3), "groups = 3"),
    (lambda: layer_of(3, 6, 3, padding="same", stride=2), "stride"),
    (lambda: layer_of(3, 6, 3, padding=-1), "padding"),
    (lambda: layer_of(3, 6, 3, padding="full"), "'full': give a number, 'same' or 'valid'"),
    (
        lambda: SparseConv2d(3, 4, 3, support=random_support(75, 4, 0.1, generator=seeded())),
        "75 to 4, not 27 to 4",
    ),
    (lambda: layer_of(3, 4, 3)(images(2, 4, 8, 8)), r"give \(B, 3"),
    (lambda: layer_of(3, 4, 3)(images(2, 3, 2, 8)), "larger than the padded"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_what_does_not_fit_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


# ------------------------------------------------------------------------ sparsify_, densify_


def network():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.Conv2d(16, 8, 1),
        nn.Flatten(),
        nn.Linear(8 * 16, 10),
    ).float()


def test_first_convolution_and_depthwise_ones_stay_dense():
    model = network()
    assert sparsify_(model, density=0.2, start="scaled", generator=seeded()) == ["2", "3", "5"]
    assert isinstance(model[2], SparseConv2d) and model[2].nnz == 230  # .2 · 16 · 8 · 9 = 230.4
    assert model(images(2, 3, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ({"kinds": ("conv",)}, ["2", "3"]),
        ({"kinds": ("linear",)}, ["5"]),
        ({"filter": lambda name, _: name == "0"}, ["0"]),
    ],
)
def test_kinds_and_a_filter_choose_the_layers(how, names):
    assert sparsify_(network(), density=0.2, start="new", **how) == names


# sides 8 + 16 + 3 + 3 = 30 and 16 + 8 + 1 + 1 = 26; positions 16 · 8 · 9 = 1152 and 128;
# a tenth of 1280 is 128, in the ratio 30 : 26 that is 68.57 and 59.43
@pytest.mark.parametrize(
    ("how", "links"),
    [({"density": 0.1, "distribution": "erdos_renyi"}, (69, 59)), ({"er_epsilon": 2}, (60, 52))],
)
def test_erdos_renyi_counts_the_sides_of_a_kernel_as_worked_by_hand(how, links):
    model = network()
    sparsify_(model, start="new", kinds=("conv",), **how)
    assert (model[2].nnz, model[3].nnz) == links


@pytest.mark.parametrize("padding", [1, "same"])
def test_densified_model_computes_the_same(padding):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3, padding=padding)).float()
    sparsify_(model, density=0.3, start="scaled", generator=seeded())
    x = images(2, 3, 8, 8)
    before = model(x).detach()
    assert densify_(model) == ["1"] and type(model[1]) is nn.Conv2d
    torch.testing.assert_close(model(x), before, rtol=1e-4, atol=1e-4)


def test_summary_counts_the_multiply_adds_of_links():
    model = nn.Sequential(layer_of(3, 4, 3, padding=1, density=0.25)).float()
    row = summary(model, (2, 3, 8, 8)).table.iloc[0]
    of_links = 2 * 8 * 8 * model[0].nnz
    assert (row["forward"], row["step"]) == (of_links, 2 * of_links)  # no gradient at the input
    assert row["forward_share"] == pytest.approx(model[0].nnz / (4 * 3 * 9))
