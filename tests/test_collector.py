"""What layers see while a model trains, against the gradients of autograd."""

import copy
import gc
import pickle

import pytest
import torch
from torch import nn

from lib.growth import Collector, Site, unseen
from lib.layers import SparseLinear
from papers.set.sharpness import SharpnessAware
from tests.oracles import seeded

BETA = 0.9


def full_layer():
    """A layer with a link everywhere, whose gradients are those of a dense one."""
    return SparseLinear(5, 4, density=1.0, generator=seeded(0))


def inputs(seed, n_steps=3, n_uses=2):
    """What a layer is used on: in each of so many steps of the optimiser so many batches."""
    generator = seeded(seed)
    return torch.rand(n_steps, n_uses, 6, 5, generator=generator)


def watch(layer, steps, at_once=True):
    """What was collected in these steps, and the (steps, n_out, n_in) gradients by autograd."""
    collector, gradients = Collector(), []
    collector.start({"layer": layer})
    for step, uses in enumerate(steps):
        collector.step = step
        layer.values.grad = None
        losses = [(1 + step) * (layer(x) ** 2).sum() for x in uses]
        for loss in [sum(losses)] if at_once else losses:
            loss.backward()
        gradients.append(layer.values.grad.view(layer.out_features, layer.in_features).clone())
    collector.stop()
    return collector, torch.stack(gradients)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copy_of_a_layer_that_is_watched_is_not_watched(copied, layer, collector):
    twin = copied(nn.Sequential(layer))
    twin(torch.rand(6, 5)).sum().backward()
    assert collector.batches == {"layer": []}
    assert not twin[0]._forward_hooks and twin[0].watched_as is None
    layer(torch.rand(6, 5)).sum().backward()
    assert len(collector.batches["layer"]) == 1
    collector.stop()


def test_copy_of_a_layer_keeps_hooks_of_the_user():
    layer, seen = full_layer(), []
    layer.register_forward_hook(lambda *_: seen.append(1))
    copy.deepcopy(layer)(torch.rand(6, 5))
    assert seen == [1]


def site_of(seen):
    return Site(5, 4, torch.arange(20), **seen["layer"])


def momentum(gradients):
    total = torch.zeros_like(gradients[0])
    for gradient in gradients:
        total = BETA * total + gradient
    return total


@pytest.mark.parametrize("at_once", [True, False])  # one loss of a layer used twice; two losses
def test_gradients_of_a_step_are_added_up(at_once):
    collector, gradients = watch(full_layer(), inputs(1), at_once)
    site = site_of(collector.collected())
    torch.testing.assert_close(site.link_gradient(), gradients.mean(0).flatten())
    torch.testing.assert_close(site.gradient(), gradients.sum(0))
    torch.testing.assert_close(site.gradient(smoothing=BETA), momentum(gradients))


@pytest.mark.parametrize("lost", [None, 1, 2])  # a step whose gradient is not finite in one process
def test_gradients_of_several_processes_are_their_mean_step_by_step(lost):
    layer, parts, dense = full_layer(), [], []
    for process in range(2):
        steps = inputs(process)
        if process == 0 and lost is not None:
            steps[lost] = float("inf")
        collector, gradients = watch(layer, steps)
        parts.append(collector.batches)
        dense.append(gradients.nan_to_num(0.0, 0.0, 0.0))
    mean = sum(dense) / 2
    site = site_of(collector.collected(parts))
    torch.testing.assert_close(site.link_gradient(), mean.mean(0).flatten())
    torch.testing.assert_close(site.gradient(smoothing=BETA), momentum(mean))


def test_momentum_decays_over_a_step_that_saw_no_batch():
    steps = inputs(0)
    steps[1] = float("inf")
    collector, gradients = watch(full_layer(), steps)
    gradients[1] = 0
    site = site_of(collector.collected())
    torch.testing.assert_close(site.gradient(smoothing=BETA), momentum(gradients))


@pytest.fixture
def layer():
    return full_layer()


@pytest.fixture
def collector(layer):
    """It has begun to watch the layer."""
    collector = Collector()
    collector.start({"layer": layer})
    return collector


def assert_sees_the_gradient(collector, layer):
    seen = collector.collected()["layer"]
    torch.testing.assert_close(seen["grad_y"] @ seen["x"].t(), layer.values.grad.view(4, 5))
    return seen


@pytest.mark.parametrize("shape", [(6, 5), (2, 3, 5)])
def test_operations_in_place_behind_a_layer_hide_no_gradient(shape, layer, collector):
    (layer(torch.rand(shape, generator=seeded(1))).mul_(3) ** 2).sum().backward()
    assert_sees_the_gradient(collector, layer)


def test_inputs_are_those_of_their_batch_whatever_is_written_over_them(layer, collector):
    buffer = torch.empty(6, 5)
    for x in inputs(2)[0]:
        layer(buffer.copy_(x)).square().sum().backward()
    assert_sees_the_gradient(collector, layer)


def test_hooks_of_the_user_that_change_the_output_count_in_the_gradient(layer):
    layer.register_forward_hook(lambda layer, args, y: 10 * y)
    collector = Collector()
    collector.start({"layer": layer})
    layer(input=inputs(3)[0, 0]).square().sum().backward()
    assert_sees_the_gradient(collector, layer)


def test_collector_that_nobody_has_any_more_keeps_nothing():
    layer, collector = full_layer(), Collector()
    collector.start({"layer": layer})
    batches = collector.batches["layer"]
    del collector
    gc.collect()
    layer(inputs(4)[0, 0]).sum().backward()
    assert batches == []


def test_nothing_is_seen_while_a_gradient_is_computed_that_no_step_takes(layer, collector):
    x, y = inputs(5)[0]
    with unseen():
        torch.autograd.grad(layer(x).sum(), [layer.values])
    SharpnessAware(0.05)(layer, y, torch.arange(6) % 4, seeded(0)).backward()
    assert assert_sees_the_gradient(collector, layer)["batch_sizes"] == (6,)


def test_a_batch_without_examples_counts_as_a_gradient_of_zero():
    collector, gradients = watch(full_layer(), [torch.rand(1, 6, 5), torch.rand(1, 0, 5)])
    site = site_of(collector.collected())
    torch.testing.assert_close(site.link_gradient(), gradients.mean(0).flatten())
