"""Products, passes and dropout as operations of the graphs that torch makes of a network."""

import copy
import io

import pytest
import torch
from torch import nn

from lib import kernels, models
from lib._compiled import launch
from lib.activations import Splash, SReLU
from lib.layers import Dropout, SparseLinear
from lib.support import random_support
from tests.oracles import seeded

OPERATIONS = torch.ops.sparse_adaptive
TORCH_WARNS = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

pytestmark = TORCH_WARNS


def drawn(*shape):
    return torch.randn(*shape, generator=seeded(len(shape))).requires_grad_()


def columns(*shape):
    """Like :func:`drawn`, feature-major."""
    return drawn(*shape[::-1]).detach().t().requires_grad_()


def links(density=0.4):
    return random_support(9, 6, density, generator=seeded())


# ------------------------------------------------------------------------- each operation


@pytest.mark.parametrize(
    ("density", "missing"),
    [(0.0186, 0), (0.4, 1), (1.0, 2)],  # one link, some, all
)
def test_a_product_is_an_operation(density, missing):
    support = links(density)
    factors = [drawn(support.nnz), drawn(9, 5), drawn(6, 5)]
    factors[missing] = None
    torch.library.opcheck(OPERATIONS.product.default, (*support, *factors))


@pytest.mark.parametrize(  # tiles of 1, 16 and 64, and two tiles
    ("keep", "width", "make"),
    [(True, 1, drawn), (False, 5, columns), (True, 20, columns), (True, 70, drawn)],
)
def test_a_chain_is_an_operation(keep, width, make):
    support = links()
    tensors = [*support[2:], drawn(support.nnz), drawn(6), drawn(4, 6)]
    parts = [9, 6, 0, 1, 1, 1, 0, 0]
    torch.library.opcheck(OPERATIONS.chain.default, (make(width, 9), tensors, parts, keep))


def test_a_chain_of_two_layers_is_one_operation():
    support, other = links(), random_support(6, 4, 0.5, generator=seeded())
    coefficients, places = drawn(2, 2), torch.tensor([0.0, 1.0], dtype=torch.float64)
    tensors = [*support[2:], drawn(support.nnz), coefficients, places]
    tensors += [*other[2:], drawn(other.nnz), drawn(4)]
    parts = [9, 6, 0, 1, 0, 0, 1, 1, 6, 4, 1, 1, 1, 0, 0, 0]
    torch.library.opcheck(OPERATIONS.chain.default, (drawn(5, 9), tensors, parts, True))


def test_an_activation_alone_is_an_operation():
    args = columns(5, 9), [drawn(4, 9)], [0, 0, 0, 0, 0, 1, 0, 0], True
    torch.library.opcheck(OPERATIONS.chain.default, args)


@pytest.mark.parametrize("shape", [(9,), (2, 5, 9)])
def test_dropout_is_an_operation(shape):
    args = drawn(*shape), torch.tensor(3), 0.3, 7
    torch.library.opcheck(OPERATIONS.dropout.default, args)
    law = launch.dropout_law(0.3, 7, 3)
    assert torch.equal(OPERATIONS.dropout(*args), kernels.dropout(args[0], law))


def test_what_a_layer_shows_its_watcher_is_an_operation():
    torch.library.opcheck(OPERATIONS.watched.default, (drawn(5, 6), drawn(5, 9), 0))


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_product_can_be_differentiated_twice(missing):
    support = links()
    factors = [drawn(support.nnz), drawn(9, 3), drawn(6, 3)]
    del factors[missing]

    def product(*two):
        three = [*two[:missing], None, *two[missing:]]
        return OPERATIONS.product(*support, *three)

    assert torch.autograd.gradcheck(product, factors)
    assert torch.autograd.gradgradcheck(product, factors)


# ----------------------------------------------------------------------------- whole networks


def layer(n_in, n_out, seed=0):
    return SparseLinear(n_in, n_out, density=0.3, generator=seeded(seed))


NETWORKS = {
    "a layer": lambda: layer(9, 6),
    "leading dimensions": lambda: nn.Sequential(nn.Unflatten(0, (-1, 1)), layer(9, 6)),
    "modules": lambda: nn.Sequential(
        nn.Linear(9, 9), layer(9, 6), SReLU(6), Dropout(0.3, seed=1), layer(6, 4)
    ),
    "passes": lambda: models.mlp((9, 6, 6, 4), density=0.3, seed=1),
    "splash": lambda: nn.Sequential(layer(9, 6), Splash(), nn.Linear(6, 4)),
    "splash in passes": lambda: models.mlp((9, 6, 4), density=0.3, activation="splash", seed=1),
    "plain torch": lambda: layer(9, 6).bfloat16(),
}


FAST = [name for name in NETWORKS if name == "modules"]
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS if name not in FAST]


@pytest.mark.parametrize("name", FAST + SLOW)
def test_a_network_is_compiled_into_one_graph(name):
    torch.compiler.reset()
    net = NETWORKS[name]()
    twin, like = copy.deepcopy(net), next(net.parameters())
    made = torch.compile(net, backend="aot_eager", fullgraph=True)
    for n_examples in (20, 17, 70, 20):  # each step another dropout
        x = drawn(n_examples, 9).to(like).detach()
        actual, desired = made(x), twin(x)
        torch.testing.assert_close(actual, desired)
        actual.sin().sum().backward()
        desired.sin().sum().backward()
    for one, other in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_other_steps_of_dropout_need_no_other_graph():
    torch.compiler.reset()
    net = nn.Sequential(Dropout(0.3, seed=1), nn.Linear(9, 6))
    counter = torch._dynamo.testing.CompileCounter()
    made = torch.compile(net, backend=counter, fullgraph=True)
    for _ in range(12):
        made(drawn(5, 9))
    assert counter.frame_count == 1 and net[0].step == 12
    other = nn.Sequential(Dropout(0.3, seed=1), nn.Linear(9, 6))
    other.load_state_dict(net.state_dict())
    torch.testing.assert_close(other(drawn(5, 9)), made(drawn(5, 9)))
    assert net[0].step == other[0].step == 13


@pytest.mark.slow
def test_a_network_is_compiled_by_inductor():
    torch.compiler.reset()
    net = models.mlp((9, 6, 6, 4), density=0.3, seed=1)
    twin, x = copy.deepcopy(net), drawn(20, 9).detach().float()
    made = torch.compile(net, fullgraph=True)
    actual, desired = made(x), twin(x)
    torch.testing.assert_close(actual, desired)
    actual.sum().backward()
    desired.sum().backward()
    torch.testing.assert_close(net.linear1.values.grad, twin.linear1.values.grad)


@pytest.mark.parametrize("strict", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_exported_network_holds_operations_and_can_be_saved_and_trained(strict):
    net, x = models.mlp((9, 6, 4), density=0.3, seed=1).eval(), drawn(20, 9)
    batch = ({0: torch.export.Dim("batch", min=2)},)
    program = torch.export.export(net, (x,), dynamic_shapes=batch, strict=strict)
    called = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert called.count(OPERATIONS.chain.default) == 1
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    torch.testing.assert_close(loaded(x[:7]), net(x[:7]))
    loaded(x[:7]).sin().sum().backward()
    net(x[:7]).sin().sum().backward()
    actual = dict(loaded.named_parameters())["linear1.values"].grad
    torch.testing.assert_close(actual, net.linear1.values.grad)
