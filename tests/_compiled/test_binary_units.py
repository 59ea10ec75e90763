"""Rows of binary units against numpy; steps of contrastive divergence against torch's."""

from functools import partial
from itertools import count

import pytest
import torch
from numpy.testing import assert_allclose

from lib import layers, sampling
from lib._compiled import launch
from lib.support import make_support
from tests.oracles import seeded


def _machine(dtype, n_in=64, n_out=48):
    """Of 960 links: of numbers after a multiple of 16 torch's fused SGD rounds otherwise."""
    layer = layers.SparseLinear(n_in, n_out, density=0.3125, generator=seeded(2), dtype=dtype)
    down_bias = torch.nn.Parameter(torch.randn(n_in, generator=seeded(3)).to(dtype))
    layer.bias.data = torch.randn(n_out, generator=seeded(4)).to(dtype)
    groups = [
        {"params": [layer.values], "weight_decay": 0.01},
        {"params": [layer.bias, down_bias]},
    ]
    return layer, down_bias, torch.optim.SGD(groups, lr=0.05, momentum=0.9, fused=True)


def _examples(n=90, n_in=64):
    x = torch.randint(2, (n, n_in), generator=seeded(5), dtype=torch.uint8)
    return x, torch.randperm(n, generator=seeded(6))


def _in_one_call(machine, batch_size, steps, particles):
    layer, down_bias, optimiser = machine
    x, order = _examples()
    shape = -(-len(order) // batch_size), sampling.passes(steps, particles)
    laws = sampling.laws_of(7, 1, shape)
    with torch.no_grad():
        return sampling.descend_(
            layer, down_bias, x, order, batch_size, laws, optimiser, particles=particles
        )


def _step_by_step(machine, batch_size, steps, particles):
    layer, down_bias, optimiser = machine
    x, order = _examples()
    next_law = partial(next, map(partial(sampling.sampling_law, 7), count(1)))
    chains = particles
    with torch.no_grad():
        for index in order.split(batch_size):
            v = sampling.batch(x, index, layer.bias.dtype)
            options = {"steps": steps, "particles": chains}
            descent = sampling.contrastive_divergence(
                layer, down_bias, layer.bias, v, next_law, **options
            )
            _weights(layer).grad = descent.weights
            down_bias.grad, layer.bias.grad = descent.down_bias, descent.up_bias
            optimiser.step()
            chains = None if particles is None else descent.particles
    return descent.particles


def _weights(layer):
    return layer.values if isinstance(layer, layers.SparseLinear) else layer.weight


def _numbers(machine):
    layer, down_bias, optimiser = machine
    parameters = _weights(layer), down_bias, layer.bias
    momenta = [optimiser.state[parameter]["momentum_buffer"] for parameter in parameters]
    return [parameter.detach() for parameter in parameters] + momenta


WAYS = [(10, 1, None), (16, 3, None), (40, 1, None), (40, 2, 40), (7, 2, 20), (90, 1, 5)]


def _particles(n, dtype):
    if n is None:
        return None
    return torch.randint(2, (64, n), generator=seeded(8)).to(dtype)


@pytest.mark.parametrize(("batch_size", "steps", "n_particles"), WAYS[::3])
def test_steps_in_one_call_have_the_bits_of_fused_sgd(batch_size, steps, n_particles):
    options = batch_size, steps, _particles(n_particles, torch.float32)
    machine, twin = _machine(torch.float32), _machine(torch.float32)
    assert torch.equal(_in_one_call(machine, *options), _step_by_step(twin, *options))
    assert all(map(torch.equal, _numbers(machine), _numbers(twin)))


def _dense(dtype):
    """A small machine whose layer is dense."""
    layer = layers.Linear(64, 48, generator=seeded(2)).to(dtype)
    down_bias = torch.nn.Parameter(torch.zeros(64, dtype=dtype))
    optimiser = torch.optim.SGD([*layer.parameters(), down_bias], 0.05, 0.9, fused=True)
    assert sampling.descends_in_one_call(layer, 10)
    return layer, down_bias, optimiser


@pytest.mark.parametrize(
    ("make", "batch_size", "steps", "n_particles"),
    [*((_machine, *way) for way in WAYS), (_dense, 10, 2, None)],
)
def test_steps_in_one_call_are_those_of_plain_torch(make, batch_size, steps, n_particles):
    options = batch_size, steps, _particles(n_particles, torch.float64)
    machine, twin = make(torch.float64), make(torch.float64)
    actual = _in_one_call(machine, *options)
    with launch.use_implementation("torch"):
        desired = _step_by_step(twin, *options)
    assert torch.equal(actual, desired)
    for one, other in zip(_numbers(machine), _numbers(twin), strict=True):
        assert_allclose(one, other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("batch_size", "steps", "n_particles"), WAYS[1:5:3])
def test_steps_have_the_bits_of_one_thread_on_two(batch_size, steps, n_particles):
    options = batch_size, steps, _particles(n_particles, torch.float32)
    machine, twin = _machine(torch.float32), _machine(torch.float32)
    _in_one_call(machine, *options)
    with launch.on_threads(2):
        _in_one_call(twin, *options)
    assert all(map(torch.equal, _numbers(machine), _numbers(twin)))


@pytest.mark.parametrize("n_hidden, batch_size", [(2100, 10), (48, 17)])
def test_larger_dense_layers_take_products(n_hidden, batch_size):
    layer = layers.Linear(64, n_hidden, generator=seeded(2))
    assert not sampling.descends_in_one_call(layer, batch_size)


@pytest.mark.parametrize("links", [[], [(0, 0)], [(0, 0), (2, 1), (2, 2), (2, 3)]], ids=len)
def test_units_of_few_links_descend(links):
    """Outputs of no link, one and three: the dense formula of the step."""
    row, col = (torch.tensor([pair[i] for pair in links], dtype=torch.int64) for i in (0, 1))
    support = make_support(row, col, 5, 3)
    machine = layers.SparseLinear(5, 3, support=support, generator=seeded(0))
    v = torch.randint(2, (5, 6), generator=seeded(1)).double()
    laws = [sampling.sampling_law(0, i) for i in range(2)]
    biases = torch.zeros(5), torch.zeros(3)
    with torch.no_grad():
        actual = sampling.contrastive_divergence(machine, *biases, v, partial(next, iter(laws)))
        weight, w = machine.to_dense(), actual.particles
    p, q = torch.sigmoid(weight @ v), torch.sigmoid(weight @ w)
    assert_allclose(actual.weights, ((q @ w.t() - p @ v.t()) / 6)[row, col], atol=1e-14)
    assert_allclose(actual.up_bias, (q - p).mean(1), atol=1e-14)


NESTEROV = torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9, nesterov=True)
MAXIMISING = torch.optim.SGD([torch.zeros(1)], lr=0.1, maximize=True)


def test_laws_are_those_of_their_steps():
    laws = sampling.laws_of(5, 3, (2, 3)).reshape(-1, 2)
    assert [tuple(law) for law in laws] == [sampling.sampling_law(5, 3 + i) for i in range(6)]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"order": torch.tensor([0, 90])}, "order holds 0 to 90: name some of the 90 examples"),
        ({"order": torch.tensor([-1, 3])}, "order holds -1 to 3: name"),
        ({"x": torch.zeros(90, 65, dtype=torch.uint8)}, r"x has shape \(90, 65\): give \(N, 64\)"),
        ({"laws": sampling.laws_of(0, 0, (2, 2))}, r"shape \(2, 2, 2\): give \(1, passes, 2\)"),
        (
            {"down_bias": torch.zeros(63).double()},
            r"of shape \(63,\): give torch.float64 of \(64,\)",
        ),
        ({"batch_size": 0}, "batch_size = 0 is out of range"),
        ({"optimiser": NESTEROV}, "the optimiser has Nesterov's momentum or dampening"),
        ({"optimiser": MAXIMISING}, "the optimiser has maximize=True: give SGD without it"),
    ],
)
def test_what_does_not_fit_is_refused(change, sentence):
    layer, down_bias, optimiser = _machine(torch.float64)
    operands = {"down_bias": down_bias, "x": _examples()[0], "order": torch.arange(2)}
    operands |= {"batch_size": 2, "laws": sampling.laws_of(0, 0, (1, 2)), "optimiser": optimiser}
    with pytest.raises(ValueError, match=sentence):
        sampling.descend_(layer, **(operands | change))
