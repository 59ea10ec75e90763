"""What torch's FlopCounterMode counts of sparse layers and of models.mlp: by hand, two operations a
link and example, and by torch's own count of nn.Linear.
"""

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

from lib import kernels, models
from lib._compiled import launch
from lib.layers import Linear, SparseLinear

LINKS = 60  # a tenth of 30 x 20


# in which the dense product is that of oneDNN
pytestmark = pytest.mark.usefixtures("float32")


@pytest.fixture
def layer(generator):
    return SparseLinear(30, 20, density=0.1, generator=generator)


def flops(call):
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def step(net, *shape, needs_x=False):
    """Flops of a forward and a backward pass."""
    x = torch.rand(shape, requires_grad=needs_x)
    return flops(lambda: net(x).sum().backward())


@pytest.mark.parametrize(
    ("shape", "needs_x", "passes", "implementation"),
    [
        ((7, 30), False, 2, "numba"),
        ((2, 3, 30), True, 3, "numba"),
        ((30,), True, 3, "torch"),
        ((1, 30), False, 2, "torch"),
    ],
)
def test_step_has_two_operations_a_link_example_and_product(
    shape, needs_x, passes, implementation, layer
):
    n_examples = torch.Size(shape[:-1]).numel()
    with launch.use_implementation(implementation):
        assert step(layer, *shape, needs_x=needs_x) == passes * 2 * LINKS * n_examples


@pytest.mark.parametrize("make", [Linear, lambda *widths: SparseLinear(*widths, density=1.0)])
@pytest.mark.parametrize(("shape", "needs_x"), [((7, 30), False), ((2, 3, 30), True)])
def test_layer_of_all_links_counts_as_that_of_torch(make, shape, needs_x):
    assert step(make(30, 20), *shape, needs_x=needs_x) == step(
        nn.Linear(30, 20), *shape, needs_x=needs_x
    )


@pytest.mark.parametrize(
    ("mode", "dtype"),
    [
        (torch.no_grad, torch.float32),
        (torch.inference_mode, torch.float64),
        (torch.enable_grad, torch.bfloat16),
    ],
)
def test_prediction_is_counted(mode, dtype, layer):
    layer, x = layer.to(dtype).eval(), torch.rand(7, 30, dtype=dtype)
    with mode():
        assert flops(lambda: layer(x)) == 2 * LINKS * 7


def test_frozen_weights_have_no_product(layer):
    layer.requires_grad_(False)
    assert step(layer, 7, 30, needs_x=True) == 2 * (2 * LINKS * 7)


def test_gradient_of_each_example_counts_as_that_of_all(layer):
    def loss(values, x):
        return kernels.chain(x[None], [layer.links()._replace(values=values)]).sum()

    of_each = torch.func.vmap(torch.func.grad(loss), (None, 0))
    assert flops(lambda: of_each(layer.values, torch.rand(7, 30))) == 2 * 2 * LINKS * 7


def test_exported_program_counts_the_pass_that_it_computes_again(layer):
    x = torch.rand(7, 30)
    program = torch.export.export(layer, (x,)).module()
    assert flops(lambda: program(x)) == 2 * LINKS * 7
    assert flops(lambda: program(x).sum().backward()) == 3 * 2 * LINKS * 7


def test_counted_step_is_the_step():
    x = torch.rand(7, 30)
    counted, plain = (models.mlp([30, 20, 10], density=0.3, dropout=0.3, seed=0) for _ in range(2))
    plain(x).square().sum().backward()
    flops(lambda: counted(x).square().sum().backward())
    for actual, desired in zip(counted.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, desired.grad)


def test_graph_of_make_fx_computes_the_layer(layer):
    x, other = torch.rand(2, 7, 30)
    torch.testing.assert_close(make_fx(layer)(x)(other), layer(other))
