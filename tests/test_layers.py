"""Layers against their dense twins in torch.nn, their laws, and the statistics of dropout."""

import copy
import gc
import itertools
import math
import re
import tracemalloc
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

from lib import evolution
from lib._compiled import launch
from lib.layers import Dropout, Linear, SparseLinear, Standardise, initial_values
from lib.support import make_support, random_support
from tests.oracles import seeded


def sparse(n_in=7, n_out=5, density=0.4, seed=0, **options):
    return SparseLinear(n_in, n_out, density=density, generator=seeded(seed), **options)


def dense_twin(layer):
    """nn.Linear with the weight matrix, zeros and all, of a sparse layer."""
    twin = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    twin.weight.data = layer.to_dense().detach()
    if layer.bias is not None:
        twin.bias.data = layer.bias.detach().clone()
    return twin


def same(a, b):
    """Whether two layers hold the same links, weights and biases, to the bit."""
    tensors = (*a.support[2:], a.values, a.bias), (*b.support[2:], b.values, b.bias)
    return all(torch.equal(one, other) for one, other in zip(*tensors, strict=True))


# the sparse layer as a drop-in for nn.Linear


@pytest.mark.parametrize(("shape", "bias"), [((7,), True), ((6, 7), True), ((2, 3, 7), False)])
def test_output_and_gradients_are_those_of_the_dense_layer(shape, bias, generator):
    layer = sparse(bias=bias)
    twin = dense_twin(layer)
    x = torch.randn(shape, generator=generator).requires_grad_()
    x_twin = x.detach().clone().requires_grad_()
    y, y_twin = layer(x), twin(x_twin)
    torch.testing.assert_close(y, y_twin)
    grad_y = torch.randn(y.shape, generator=generator)
    y.backward(grad_y)
    y_twin.backward(grad_y)
    torch.testing.assert_close(x.grad, x_twin.grad)
    on_support = twin.weight.grad.flatten()[layer.support.keys]
    torch.testing.assert_close(layer.values.grad, on_support)
    assert not bias or torch.allclose(layer.bias.grad, twin.bias.grad)


@pytest.mark.parametrize("make", [sparse, lambda: Linear(7, 5), Dropout])
def test_output_is_feature_major(make, generator):
    y = make()(torch.randn(6, 7, generator=generator))
    assert y.shape[0] == 6 and y.t().is_contiguous()


def test_weight_matrix_holds_the_values_at_the_links_and_zero_elsewhere():
    rows, cols = torch.tensor([0, 0, 2]), torch.tensor([1, 3, 0])
    layer = SparseLinear(4, 3, support=make_support(rows, cols, 4, 3))
    layer.values.data = torch.tensor([1.0, 2.0, 3.0])
    desired = [[0, 1, 0, 2], [0, 0, 0, 0], [3, 0, 0, 0]]
    assert layer.to_dense().tolist() == desired
    layer.to_dense().square().sum().backward()
    assert layer.values.grad.tolist() == [2, 4, 6]


def test_repr_names_widths_links_and_density():
    assert repr(sparse(10, 5, 0.2)) == (
        "SparseLinear(in_features=10, out_features=5, links=10, density=20.00%, bias=True)"
    )


@pytest.mark.parametrize(("shape", "bias"), [((0, 7), True), ((2, 0, 7), False)], ids=str)
def test_empty_batch_gives_no_rows_and_gradients_of_zero(shape, bias, implementation):
    layer, x = sparse(bias=bias), torch.ones(shape, requires_grad=True)
    y = layer(x)
    assert y.shape == (*shape[:-1], 5) and y.dtype == x.dtype
    y.sum().backward()
    assert x.grad.shape == shape and not layer.values.grad.any()
    assert layer.values.grad.shape == layer.values.shape
    assert not bias or not layer.bias.grad.any()


# transforms, graphs and exports, as of nn.Linear


def test_layer_whose_memory_is_empty_keeps_its_links_or_is_refused():
    layer = sparse().to_empty(device="cpu")
    assert layer.support.keys.equal(sparse().support.keys)
    assert layer.col.equal(layer.support.col)
    layer = sparse().to("meta").to_empty(device="cpu")
    for name in ("crow", "col"):
        layer.get_buffer(name).fill_(-1)
    with pytest.raises(ValueError, match="crow does not index the 14 links of col"):
        layer(torch.randn(6, 7))
    layer.load_state_dict(sparse(seed=1).state_dict())
    assert same(layer, sparse(seed=1))


# copies, files and dtypes


@pytest.mark.parametrize("density", [0.4, 0.9, 0.01])  # as many, more, and no links
def test_state_dict_brings_its_own_links(density, generator):
    support = random_support(7, 5, density, generator=generator)
    layer, other = sparse(), SparseLinear(7, 5, support=support)
    nn.init.normal_(layer.bias, generator=generator)
    assert set(layer.state_dict()) == {"values", "bias", "crow", "col"}
    other.load_state_dict(layer.state_dict())
    x = torch.randn(6, 7, generator=generator)
    assert same(other, layer) and torch.equal(other(x), layer(x))
    other(x).sum().backward()
    assert other.values.grad.shape == layer.values.shape


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_training_goes_on_after_other_links_are_loaded_while_the_last_loss_is_kept(
    dtype, generator
):
    layer, x = sparse().to(dtype), torch.randint(9, (6, 7), generator=generator).to(dtype)
    loss = layer(x).sum()
    loss.backward()  # the graph of this loss lives on with its name
    layer.load_state_dict(sparse(density=0.9, seed=1).to(dtype).state_dict())
    layer.zero_grad()
    layer(x).sum().backward()
    torch.testing.assert_close(layer.values.grad, x.sum(0)[layer.col.long()])


@pytest.mark.parametrize("name", ["crow", "col", "perm"])
def test_layer_follows_each_array_to_shared_memory(name, generator):
    layer = SparseLinear(50, 40, density=0.3)
    x = torch.randn(3, 50, generator=generator, requires_grad=True)
    layer(x).sum().backward()
    before, x.grad = x.grad, None
    getattr(layer.support, name).share_memory_()
    layer(x).sum().backward()
    assert torch.equal(x.grad, before)


def test_loaded_layer_shares_no_memory_with_the_state_dict():
    layer, state = sparse(seed=1), sparse().state_dict()
    layer.load_state_dict(state)
    places = [{t.data_ptr() for t in one.values()} for one in (layer.state_dict(), state)]
    assert places[0].isdisjoint(places[1])


def test_deep_copy_is_the_same_layer_apart(generator):
    layer = sparse()
    twin = copy.deepcopy(layer)
    assert same(twin, layer)
    x, before = torch.randn(6, 7, generator=generator), layer.to_dense()
    evolution.evolve_(twin, evolution.Evolution(), fraction=0.5, generator=generator)
    twin.values.data += 1
    assert torch.equal(layer.to_dense(), before) and not torch.equal(layer(x), twin(x))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1), (torch.float64, 1e-12)]
)
def test_layer_moves_between_dtypes(dtype, tolerance, generator):
    layer, x = sparse(), torch.randn(6, 7, generator=generator)
    desired = layer(x)
    actual = layer.to(dtype)(x.to(dtype))
    actual.sum().backward()
    assert actual.dtype == layer.values.grad.dtype == layer.to_dense().dtype == dtype
    assert {tensor.dtype for tensor in layer.support[2:]} == {torch.int32}
    torch.testing.assert_close(actual.double(), desired, rtol=tolerance, atol=tolerance)
    assert layer.double()(x).dtype == torch.float64


def test_deep_copy_of_a_layer_with_gradients_starts_without(generator):
    """As that of nn.Linear does."""
    layer, x = sparse(), torch.randn(6, 7, generator=generator)
    layer(x).sum().backward()
    before = layer.values.grad.clone()
    twin = copy.deepcopy(layer)
    assert twin.values.grad is None and copy.deepcopy(dense_twin(layer)).weight.grad is None
    twin(x).sum().backward()
    assert torch.equal(twin.values.grad, before) and torch.equal(layer.values.grad, before)


@pytest.mark.parametrize(
    ("of_layer", "of_input"), [(torch.float16, torch.float64), (torch.float32, torch.int64)]
)
def test_input_of_another_dtype_is_refused(of_layer, of_input):
    layer, x = sparse(dtype=of_layer), torch.ones(6, 7, dtype=of_input)
    sentence = f"x is {of_input} and the weights {of_layer}: give both in one dtype, as x.to"
    with pytest.raises(ValueError, match=re.escape(f"{sentence}({of_layer})")):
        layer(x)


@pytest.mark.ci
def test_memory_does_not_grow_with_the_steps(generator):
    layer, x = sparse(30, 20), torch.randn(16, 30, generator=generator)
    optimiser = torch.optim.AdamW(layer.parameters())

    def train(n_steps):
        for _ in range(n_steps):
            optimiser.zero_grad()
            layer(x).square().mean().backward()
            optimiser.step()
        gc.collect()
        live = sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())
        return live, tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    tensors, traced = zip(*(train(150) for _ in range(5)), strict=True)
    tracemalloc.stop()
    assert tensors[-1] <= tensors[1]
    # What Python and torch keep once comes with some of the rounds; a leak comes with each.
    growth = min(after - before for before, after in itertools.pairwise(traced))
    assert growth < 7_500  # bytes; a tensor kept a step would be some 75,000


# start


@pytest.fixture
def fans():
    """A support whose output neuron i has i inputs, from none to 200."""
    rows, cols = torch.ones(201, 200).tril(-1).nonzero(as_tuple=True)
    return make_support(rows, cols, 200, 201)


@pytest.mark.parametrize("largest", [10, 200])
def test_weights_start_with_variance_two_by_the_inputs_of_each_neuron(largest, fans, generator):
    values, n_inputs = initial_values(fans, generator=generator), fans.row.double()
    chosen = fans.row <= largest
    normal = (values * (n_inputs / 2).sqrt())[chosen]  # N(0, 1)
    n = len(normal)
    assert abs(normal.mean()) < 5 / math.sqrt(n)  # 5 standard errors
    assert abs(normal.square().mean() - 1) < 5 * math.sqrt(2 / n)
    squares = initial_values(fans, 0.1, generator=generator).square()  # of a standard deviation
    assert abs(squares.mean() - 0.01) < 5 * 0.01 * math.sqrt(2 / fans.nnz)


def test_glorot_start_is_uniform_within_the_bounds_of_the_dense_layer(fans, generator):
    values, limit = initial_values(fans, "glorot_uniform", generator=generator), math.sqrt(6 / 401)
    assert 0.999 * limit < values.abs().max() <= limit
    assert abs(values.mean()) < 5 * limit / math.sqrt(3 * fans.nnz)  # 5 standard errors
    spread = limit**2 * math.sqrt(4 / 45 / fans.nnz)  # of the mean of squares of a uniform
    assert abs(values.square().mean() - limit**2 / 3) < 5 * spread


def test_layers_follow_their_generator_and_without_one_the_seed_of_torch():
    assert same(sparse(seed=3), sparse(seed=3))
    assert not torch.equal(sparse(seed=3).to_dense(), sparse(seed=4).to_dense())
    pairs = []
    with torch.random.fork_rng():
        for _ in range(2):
            torch.manual_seed(3)
            pairs.append([SparseLinear(70, 50, density=0.4) for _ in range(2)])
    assert same(pairs[0][0], pairs[1][0]) and same(pairs[0][1], pairs[1][1])
    assert not torch.equal(pairs[0][0].values, pairs[0][1].values)


def test_dropout_layers_without_a_seed_differ():
    x = torch.ones(64, 32)
    assert not torch.equal(Dropout(0.5)(x), Dropout(0.5)(x))


# dense layer and standardisation


def test_dense_layer_is_the_linear_function(generator):
    layer = Linear(7, 5, generator=generator)
    nn.init.normal_(layer.bias, generator=generator)
    x = torch.randn(6, 7, generator=generator).requires_grad_()
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))
    tensors = (x, layer.weight, layer.bias)
    actual = torch.autograd.grad(layer(x).square().sum(), tensors)
    desired = torch.autograd.grad(F.linear(*tensors).square().sum(), tensors)
    torch.testing.assert_close(actual, desired)


@pytest.mark.parametrize("n", [(), (12,)])
def test_standardised_training_part_has_mean_0_and_variance_1(n, generator):
    x = 3 + 2 * torch.randn(50, 3, 4, generator=generator)
    dims = (0, 1) if n else None
    mean, std = x.flatten(1).mean(dims and 0), x.flatten(1).std(dims and 0)
    y = Standardise(mean, std)(x)
    assert y.shape == (50, 12) and mean.shape == n
    torch.testing.assert_close(y.mean(dims and 0), torch.zeros(n))
    torch.testing.assert_close(y.std(dims and 0), torch.ones(n))


# dropout

N = 1_000_000  # elements of the masks below


def masks(p, n_steps, seed=0):
    """(n_steps, 1000, 1000) bool in feature-major memory: what n_steps forward passes keep."""
    dropout = Dropout(p, seed)
    return torch.stack([dropout(torch.ones(1000, 1000)).t() != 0 for _ in range(n_steps)])


def correlation(a, b):
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]).double())[0, 1].abs()


@pytest.mark.parametrize("p", [0.05, 0.5])
def test_dropout_keeps_the_fraction_and_the_mean(p):
    y = Dropout(p, seed=0)(torch.ones(1000, 1000))
    assert abs((y == 0).double().mean() - p) < 5 * math.sqrt(p * (1 - p) / N)  # 5 standard errors
    assert abs(y.mean() - 1) < 5 * math.sqrt(p / (1 - p) / N)
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 1 / (1 - p)))


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("shift", [0, 1])
def test_steps_and_layers_drop_independently_and_are_no_shifted_copies(p, shift):
    first, second = masks(p, 2)
    others = (second, *(masks(p, 1, seed)[0] for seed in (1, 1000)))
    found = [correlation(first.flatten(), mask.flatten().roll(shift)) for mask in others]
    assert max(found) < 5 / math.sqrt(N)


def test_law_is_counted_in_training_only():
    dropout, off = Dropout(0.3, seed=7), Dropout(0.0, seed=7)
    laws = [dropout.next_law(), dropout.next_law()]
    assert laws == [launch.dropout_law(0.3, 7, 0), launch.dropout_law(0.3, 7, 1)]
    assert off.next_law() is None and dropout.eval().next_law() is None
    assert (dropout.step, off.step) == (2, 0)


def test_dropout_is_the_identity_in_evaluation_and_at_0(generator):
    x = torch.randn(6, 7, generator=generator)
    off, dropout = Dropout(0.0, seed=0), Dropout(0.5, seed=0)
    assert off(x) is x and dropout.eval()(x) is x
    assert off.step == dropout.step == 0


def test_state_dict_carries_the_step(generator):
    x = torch.randn(60, 70, generator=generator)
    dropout, resumed = Dropout(0.5, seed=0), Dropout(0.5, seed=0)
    outputs = [dropout(x), dropout(x)]
    assert not torch.equal(*outputs) and torch.equal(resumed(x), outputs[0])
    resumed.load_state_dict(dropout.state_dict())
    assert torch.equal(resumed(x), dropout(x))


BAD_STATES = [  # of a layer of 7 inputs and 14 links: the change of its state, and the sentence
    (lambda state: state.update(col=state["col"] + 7), r"cols holds \d+, outside \[0, 7\)"),
    (lambda state: state.update(crow=state["crow"] + 1), "does not index"),
    (lambda state: state.pop("values"), "the layer: the state has 14 links and none for them"),
    (
        lambda state: state.update(values=state["values"][:3]),
        r"has 14 links and values of shape \(3,\) for them",
    ),
    (
        lambda state: (state.pop("crow"), state.pop("col")),
        "the layer: the state has values without their links",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), BAD_STATES)
def test_state_that_is_not_that_of_a_layer_is_refused(change, sentence):
    layer, state = sparse(), sparse(seed=1).state_dict()
    change(state)
    with pytest.raises(ValueError, match=sentence):
        layer.load_state_dict(state, strict=False)
    assert same(layer, sparse())


def test_state_of_a_layer_of_another_width_is_refused(tmp_path, generator):
    narrow, wide = (SparseLinear(n, 5, density=0.4, generator=generator) for n in (6, 7))
    torch.save(nn.Sequential(narrow).state_dict(), tmp_path / "state.pt")
    state, before = torch.load(tmp_path / "state.pt", weights_only=True), wide.to_dense().clone()
    with pytest.raises(ValueError, match="0: the state is of a layer of 6 inputs, not 7"):
        nn.Sequential(wide).load_state_dict(state)
    assert torch.equal(wide.to_dense(), before)


def test_state_that_does_not_tell_its_width_is_loaded():
    layer = sparse()
    layer.load_state_dict(dict(sparse(seed=1).state_dict()))
    assert same(layer, sparse(seed=1))


def test_pruned_layer_loads_its_own_state(generator):
    layer = SparseLinear(6, 5, density=0.4, generator=generator)
    prune.l1_unstructured(layer, "values", amount=0.5)
    state, x = copy.deepcopy(layer.state_dict()), torch.randn(3, 6, generator=generator)
    desired = layer(x)
    with torch.no_grad():
        layer.values_orig.zero_()
    for _ in range(2):
        layer.load_state_dict(state)
    torch.testing.assert_close(layer(x), desired)


def test_backward_pass_after_an_update_of_links_is_refused(generator):
    layer, x = SparseLinear(6, 5, density=0.4, generator=generator), torch.rand(2, 6)
    y = layer(x.requires_grad_())
    evolution.evolve_(layer, evolution.Evolution(), fraction=0.3, generator=generator)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sums_of_half_precision_are_those_of_float32(dtype):
    layer = SparseLinear(4096, 2, density=1.0, bias=False, dtype=dtype)
    layer.values.data.fill_(1)
    x = torch.ones(1, 4096, dtype=dtype, requires_grad=True)
    y = layer(x)
    assert y.tolist() == [[4096, 4096]] and y.dtype == dtype


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_dropout_is_not_drawn_again_in_the_backward_pass(use_reentrant):
    dropout, x = Dropout(0.5, seed=1).train(), torch.rand(4, 8, requires_grad=True)
    y = checkpoint(lambda x: dropout(x) ** 2, x, use_reentrant=use_reentrant)
    with pytest.raises(ValueError, match="would draw another mask"):
        y.sum().backward()


def test_links_are_not_what_is_written_into_buffers_or_the_state(generator):
    shift, layer, x = 1000, sparse(), torch.randn(6, 7, generator=generator)
    before, state = layer(x), copy.deepcopy(layer.state_dict())
    for buffer in layer.buffers():
        buffer.add_(shift)
    assert torch.equal(layer(x), before) and layer.col.equal(sparse().col)
    for buffer in layer.buffers():
        buffer.data.add_(shift)  # which torch does not count
    assert torch.equal(layer(x), before)
    given = layer.state_dict()
    torch.testing.assert_close(given, state, rtol=0, atol=0)
    given["crow"].add_(1), given["col"].zero_()
    assert torch.equal(layer(x), before)


def test_buffers_of_other_links_are_refused(generator):
    layer, other, x = sparse(), sparse(seed=1), torch.randn(6, 7, generator=generator)
    for buffer, sent in zip(layer.buffers(), other.buffers(), strict=True):
        buffer.copy_(sent)  # as DistributedDataParallel does
    for use in (lambda: layer(x), layer.state_dict):
        with pytest.raises(ValueError, match=r"same links on every process, by torch.manual_seed"):
            use()
    layer.load_state_dict(other.state_dict())
    assert torch.equal(layer(x), other(x))


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_links_that_are_given_for_a_call_are_taken(compiled, generator):
    layer, other, x = sparse(), sparse(seed=1), torch.randn(6, 7, generator=generator)
    given = dict(other.named_parameters()) | dict(other.named_buffers())

    def call(x):
        return torch.func.functional_call(layer, given, (x,))

    call = torch.compile(call, backend="aot_eager") if compiled else call
    inputs = x.clone().requires_grad_(), *other.parameters()
    for actual, desired in zip(
        torch.autograd.grad(call(inputs[0]).sin().sum(), inputs),
        torch.autograd.grad(other(inputs[0]).sin().sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(actual, desired)
    torch.testing.assert_close(call(x), other(x))
    assert torch.equal(layer(x), sparse()(x))


def test_networks_of_different_links_are_stacked(generator):
    nets, x = [sparse(seed=seed) for seed in range(3)], torch.randn(6, 7, generator=generator)
    base, stacked = copy.deepcopy(nets[0]).to("meta"), torch.func.stack_module_state(nets)

    def member(*state):
        return torch.func.functional_call(base, state, (x,))

    with warnings.catch_warnings(action="ignore"):  # torch: repeat_interleave is slow under vmap
        actual = torch.func.vmap(member)(*stacked)
    torch.testing.assert_close(actual, torch.stack([net(x) for net in nets]))


def test_layer_made_in_inference_mode_runs(generator):
    with torch.inference_mode():
        layer = SparseLinear(6, 5, density=0.4, generator=generator)
        x = torch.randn(7, 6, generator=generator)
        torch.testing.assert_close(layer(x), x @ layer.to_dense().t())


@pytest.mark.parametrize(
    ("start", "std"), [("he", (2 / 300) ** 0.5), ("glorot_uniform", (2 / 500) ** 0.5), (0.1, 0.1)]
)
def test_dense_layer_starts_with_the_law_of_the_sparse_one(start, std, generator):
    weight = Linear(300, 200, start=start, generator=generator).weight
    assert weight.std().item() == pytest.approx(std, rel=0.02)  # 60,000 weights: sd .3 %
    assert abs(weight.mean().item()) < 5 * std / 60_000**0.5
    if start == "glorot_uniform":
        assert weight.abs().max() <= (6 / 500) ** 0.5


# refusals


def layer_of(n_in=7, n_out=5, **options):
    return lambda: SparseLinear(n_in, n_out, **options)


def called_with(*shape):
    return lambda: sparse()(torch.zeros(shape))


REFUSED = [  # fields out of range: faults/test_bad_values
    (layer_of(), "give one of density, er_epsilon, support"),
    (layer_of(density=0.5, er_epsilon=2), "density = 0.5, er_epsilon = 2: give one of"),
    (layer_of(density=0.5, start="xavier"), "start 'xavier' is unknown"),
    (layer_of(support=torch.eye(3)), "is of the wrong type: give a Support"),
    (layer_of(support=sparse(5, 7).support), "the support is 5 to 7, not 7 to 5"),
    (layer_of(density=0.5, device="meta"), "links need memory, and the device meta has none"),
    (layer_of(density=0.5, dtype=torch.int64), "dtype = torch.int64 has no gradients"),
    (called_with(6, 8), "input has 8 features: this layer takes 7$"),
    (called_with(0, 8, 8), r"in examples of shape \(8, 8\): this layer takes 7$"),
    (called_with(5, 7, 1), r"of shape \(7, 1\): this layer takes 7, so flatten them first$"),
    (lambda: Linear(3, 2, start="hee"), "start 'hee' is unknown"),
    (lambda: Standardise(torch.tensor(0.0), torch.tensor(0.0)), "std holds 0.0: give positive"),
    (lambda: Standardise(torch.tensor(0.0), torch.tensor(math.nan)), "std holds nan: give pos"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_what_cannot_be_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
