"""Any model made sparse, links that evolve in a loop of one's own, and back."""

import contextlib
import copy
import math
import pickle
import warnings
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from lib import models
from lib._compiled.step import CompiledStep
from lib.evolution import Evolution, evolve_
from lib.growth import unseen
from lib.layers import SparseLinear
from lib.sparsify import Evolver, densify_, sparsify_
from lib.train import WeightAverage
from tests.oracles import links_of, same, seeded

RIGL = Evolution(drop="magnitude", grow="gradient", gradient_batches=2)
FEWER = replace(RIGL, density_schedule="sigmoid", final_share=0.5)
MOVING = replace(RIGL, grow="momentum", redistribution="momentum")
MEST = Evolution("weight_and_gradient", "gradient", gradient_batches=2)
MOMENTUM = replace(RIGL, grow="momentum")
PLAIN = torch.amp.GradScaler("cpu", enabled=False)


def mlp(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 5))


def evolver_of(net, evolution=None, every=1, steps=4):
    """Plain SGD and an Evolver of all that a network has."""
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    return optimiser, Evolver(
        net, optimiser, evolution, every=every, steps=steps, generator=seeded()
    )


# ------------------------------------------------------------------------------------ layers


class Listed(nn.Module):
    """Calls its layers by a collection of Python."""

    def __init__(self, kind):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self._order = kind([self.first, self.second])


@pytest.mark.parametrize("kind", [set, lambda layers: [(layer, F.relu) for layer in layers]])
def test_layers_in_a_plain_collection_are_refused_for_they_would_stay_dense(kind):
    net = nn.Sequential(Listed(kind))
    with pytest.raises(ValueError, match=r"0\._order is a (list|set) that holds layers"):
        sparsify_(net, start="magnitude", density=0.5)
    assert type(net[0].first) is nn.Linear


def test_layers_that_share_their_values_do_not_evolve():
    net = nn.Sequential(*[SparseLinear(8, 8, density=0.3, generator=seeded()) for _ in range(2)])
    net[1].support, net[1].values = net[0].support, net[0].values
    with pytest.raises(ValueError, match="layers 0 and 1 share their values"):
        evolver_of(net)
    with pytest.raises(ValueError, match="layers 0 and 1 share their weights: untie them"):
        densify_(net)


def test_layer_that_gets_fewer_links_later_evolves_then():
    net = nn.Sequential(SparseLinear(8, 8, density=1.0))
    optimiser, evolver = evolver_of(net)
    optimiser.step()
    assert evolver.step() == 0
    net[0].load_state_dict(SparseLinear(8, 8, density=0.5).state_dict())
    optimiser.step()
    assert evolver.step() > 0


def test_frozen_and_full_layers_may_share_their_values():
    net = nn.Sequential(*[SparseLinear(8, 8, density=d) for d in (0.5, 1.0, 1.0)])
    net[2].values = net[1].values
    optimiser, evolver = evolver_of(net)
    optimiser.step()
    assert evolver.step() > 0


@pytest.mark.parametrize("density", [0.05, 0.3])
def test_a_scaled_start_keeps_the_sum_of_squares_of_each_neuron(density):
    net = nn.Sequential(nn.Linear(200, 30)).double()
    net[0].weight.data *= torch.linspace(0.1, 3, 30)[:, None]
    net[0].weight.data[3] = 0
    before, weight = net[0].weight.square().sum(1), net[0].weight.detach().clone()
    sparsify_(net, density=density, start="scaled", generator=seeded())
    dense = net[0].to_dense().detach()
    torch.testing.assert_close(dense.square().sum(1), before)
    kept, links = weight[dense != 0], dense[dense != 0]
    assert torch.equal(kept.sign(), links.sign())


def test_a_scaled_start_takes_half_precision():
    net = nn.Sequential(nn.Linear(512, 300)).half()
    before = net[0].weight.double().square().sum(1)
    sparsify_(net, density=0.1, start="scaled", generator=seeded())
    after = net[0].to_dense().double().square().sum(1)
    torch.testing.assert_close(after, before, rtol=0.02, atol=0)


def test_largest_weights_stay():
    net = mlp()
    weight = net[0].weight.detach().clone()
    sparsify_(net, start="magnitude", density=0.1)
    kept = weight.abs() >= weight.abs().flatten().sort(descending=True).values[59]
    assert net[0].nnz == 60
    torch.testing.assert_close(net[0].to_dense(), torch.where(kept, weight, 0.0))


def test_links_of_a_model_do_not_depend_on_the_default_device():
    first, second = mlp(), mlp()
    sparsify_(first, density=0.2, start="new", generator=seeded())
    with torch.device("meta"):
        sparsify_(second, density=0.2, start="new", generator=seeded())
    assert torch.equal(first[0].to_dense(), second[0].to_dense())


def test_weights_at_random_positions_stay_or_are_drawn_anew():
    dense, kept, new = mlp(), mlp(), mlp()
    sparsify_(kept, density=0.1, start="random", generator=seeded())
    sparsify_(new, density=0.1, start="new", generator=seeded())
    there = kept[0].to_dense() != 0
    torch.testing.assert_close(kept[0].to_dense()[there], dense[0].weight[there])
    assert torch.equal(kept[0].support.keys, new[0].support.keys)
    assert not torch.isclose(new[0].values, kept[0].values).any()


@pytest.mark.parametrize(
    ("distribution", "density"), [("uniform", 0.013), ("erdos_renyi", 0.2), ("erdos_renyi", 0.77)]
)
def test_density_counts_the_links_of_all_layers(distribution, density):
    net = mlp()
    sparsify_(net, start="magnitude", density=density, distribution=distribution)
    assert net[0].nnz + net[2].nnz == round(density * 750)


def test_a_layer_used_at_two_places_stays_one():
    shared = nn.Linear(8, 8)
    net = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared, nn.ReLU())})
    assert sparsify_(net, start="magnitude", density=0.5) == ["a"]
    assert net["a"] is net["b"][0] and isinstance(net["a"], SparseLinear)


def test_bias_mode_dtype_and_frozen_weights_are_kept():
    net = mlp().double().eval()
    net[0].weight.requires_grad_(False)
    bias = net[0].bias
    sparsify_(net, start="magnitude", density=0.5)
    assert net[0].bias is bias and net[0].values.dtype == torch.float64
    assert not net[0].values.requires_grad and net[2].values.requires_grad
    assert not net[0].training


def tied():
    net = nn.ModuleDict({"words": nn.Embedding(5, 8), "head": nn.Linear(8, 5)})
    net["head"].weight = net["words"].weight
    return net


def changed(change):
    def make():
        net = mlp()
        change(net)
        return net

    return make


def wrapped():
    """In stand-in for a wrapper, whose making needs other processes."""
    return nn.parallel.DistributedDataParallel.__new__(nn.parallel.DistributedDataParallel)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (tied, "layer head shares its weight with another module"),
        (
            changed(lambda net: parametrizations.weight_norm(net[0])),
            "layer 0 is a ParametrizedLinear, which may compute something else",
        ),
        (
            changed(lambda net: prune.l1_unstructured(net[0], "weight", 0.5)),
            "layer 0 has no parameter weight",
        ),
        (changed(lambda net: net[0].register_forward_hook(print)), "layer 0 has hooks"),
        (
            changed(lambda net: setattr(net[0], "forward", F.relu)),
            "layer 0 has a forward of its own, which would be lost",
        ),
        (lambda: mlp().to("meta"), "the model has parameters on the device meta"),
        (wrapped, "wrapped in DistributedDataParallel.* change it first, then wrap it"),
        (nn.ReLU, "no layer of the model is an nn.Linear"),
        (lambda: nn.Linear(3, 3), "the model is itself a linear layer"),
        (lambda: sparsified(mlp()), "to replace: its layers are sparse already"),
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 3)), "to replace: by default 0 stays dense"),
        (lambda: nn.Sequential(nn.Conv1d(1, 2, 3)), "to replace: it has none, and other layers"),
        (lambda: nn.MultiheadAttention(8, 2), "to replace: nn.MultiheadAttention reads the weigh"),
    ],
)
def test_layers_that_cannot_be_replaced_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        sparsify_(make(), start="magnitude", density=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give one of the two"),
        ({"density": 0.5, "er_epsilon": 2}, "give one of the two"),
        ({"density": 1.5}, r"density = 1\.5 is out of range"),
        ({"density": 1e-9}, "layer 0 of 600 positions would have no link"),
        ({"density": 0.5, "start": "biggest"}, "start 'biggest'"),
        ({"density": 0.5, "filter": lambda *_: False}, r"to replace: the filter leaves out 0, \d"),
    ],
)
def test_bad_values_of_a_start_are_refused_and_nothing_is_replaced(options, message):
    net = mlp()
    with pytest.raises(ValueError, match=message):
        sparsify_(net, **{"start": "magnitude", **options})
    assert type(net[0]) is nn.Linear


def test_layer_without_a_shape_is_refused_until_the_model_has_seen_a_batch():
    net = nn.Sequential(nn.LazyLinear(30))
    with pytest.raises(ValueError, match="layer 0 has no shape yet: call the model on a batch"):
        sparsify_(net, start="magnitude", density=0.5)
    net(torch.zeros(2, 20))
    assert sparsify_(net, start="magnitude", density=0.5) == ["0"]


# --------------------------------------------------------------------------------- evolution


def sparsified(net, density=0.2, **how):
    sparsify_(net, density=density, start="magnitude", **how)
    return net


def data(seed=0):
    x = torch.rand(64, 20, generator=seeded(seed))
    return x, (x[:, 0] * 5).long().clamp(max=4)


def train(net, optimiser, evolver, steps, first=0, scaler=PLAIN):
    x, y = data()
    for step in range(first, first + steps):
        index = torch.arange(16) + 16 * (step % 4)
        optimiser.zero_grad()
        scaler.scale(F.cross_entropy(net(x[index]), y[index])).backward()
        scaler.step(optimiser)
        scaler.update()
        evolver.step()


def made(optimiser=torch.optim.SGD, evolution=RIGL, every=3, steps=12, until=0.75, **how):
    net = sparsified(mlp())
    optimiser = optimiser(net.parameters(), lr=0.05)
    how |= {"every": every, "steps": steps, "until": until}
    return net, optimiser, Evolver(net, optimiser, evolution, generator=seeded(), **how)


def with_momentum(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9)


def test_links_are_updated_after_every_so_many_steps_until_they_stand_still():
    net, optimiser, evolver = made()
    before, updated = links_of(net), []
    for step in range(12):
        train(net, optimiser, evolver, 1, step)
        if not same(before, links_of(net)):
            updated.append(step + 1)
        before = links_of(net)
    assert updated == [3, 6, 9]


def test_links_become_fewer_until_the_schedule_ends():
    steps = 9
    rules = replace(FEWER, schedule_end=0.5)
    net, optimiser, evolver = made(evolution=rules, every=1, steps=steps, until=1)
    start, numbers = [len(keys) for keys in links_of(net)], []
    for step in range(steps):
        train(net, optimiser, evolver, 1, step)
        numbers.append([len(keys) for keys in links_of(net)])
        share = rules.share_at((step + 1) / steps)
        assert numbers[-1] == [round(share * n) for n in start]
    assert numbers[-1] == [n / 2 for n in start] and numbers[0] != numbers[1]


@pytest.mark.parametrize(
    ("every", "schedule_end", "until"), [(1, 0.75, 0.5), (40, 1, None), (7, 0.75, 1), (40, 1, 0.75)]
)
def test_the_final_share_is_what_is_left(every, schedule_end, until):
    rules = Evolution(
        "magnitude", density_schedule="cubic", final_share=0.1, schedule_end=schedule_end
    )
    net, optimiser, evolver = made(evolution=rules, every=every, steps=100, until=until)
    for _ in range(100):
        optimiser.step()
        evolver.step()
    assert [layer.nnz for layer in evolver.layers.values()] == [12, 3]  # of 120 and 30


@pytest.mark.parametrize("is_compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_batches_of_a_frozen_network_are_not_seen(is_compiled):
    net, _, evolver = made()
    model = torch.compile(net, backend="aot_eager") if is_compiled else net
    evolver.collector.start(evolver.layers)
    x = torch.rand(4, 20, requires_grad=True)
    for learns in (True, False, True):
        net.requires_grad_(learns)
        model(x).sum().backward()
    assert [len(batches) for batches in evolver.collector.batches.values()] == [2, 2]


@pytest.mark.parametrize("learns", [True, False])
def test_layer_frozen_or_not_since_collecting_began_waits_for_the_next_update(learns):
    net, optimiser, evolver = made(until=None)
    net[0].requires_grad_(not learns)
    train(net, optimiser, evolver, 2)
    before = links_of(net)
    net[0].requires_grad_(learns)
    train(net, optimiser, evolver, 1)
    is_same = list(map(torch.equal, before, links_of(net)))
    assert is_same == [True, False]
    net[0].requires_grad_(True)
    train(net, optimiser, evolver, 3)
    assert not torch.equal(before[0], links_of(net)[0])


def test_gradient_that_is_differentiated_is_no_gradient_of_a_step():
    net, _, evolver = made(every=1)
    x = torch.rand(4, 20, requires_grad=True)
    with pytest.raises(
        ValueError, match="a gradient that is to be differentiated .* lib.growth.unseen"
    ):
        torch.autograd.grad(net(x).sum(), x, create_graph=True)
    with unseen():
        (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    (net(x).sum() + slope.square().sum()).backward()
    assert [len(batches) for batches in evolver.collector.batches.values()] == [1, 1]


@pytest.mark.parametrize(("rules", "every", "saved"), [(RIGL, 2, 5), (FEWER, 3, 6), (MOVING, 3, 5)])
def test_training_resumes_to_the_same_bits(rules, every, saved):
    net, optimiser, evolver = made(torch.optim.AdamW, rules, every=every)
    train(net, optimiser, evolver, saved)
    states = copy.deepcopy([part.state_dict() for part in (net, optimiser, evolver)])
    train(net, optimiser, evolver, 12 - saved, first=saved)
    again = made(torch.optim.AdamW, rules, every=every)
    for part, state in zip(again, states, strict=True):
        part.load_state_dict(state)
    train(*again, 12 - saved, first=saved)
    assert same(links_of(net), links_of(again[0]))
    assert same(net.parameters(), again[0].parameters())


def test_an_evolver_of_a_network_that_was_loaded_before_goes_on_with_the_schedule():
    net, optimiser, evolver = made(with_momentum, FEWER)
    train(net, optimiser, evolver, 4)
    states = copy.deepcopy([part.state_dict() for part in (net, optimiser, evolver)])
    train(net, optimiser, evolver, 8, first=4)
    again = sparsified(mlp())
    again.load_state_dict(states[0])  # with fewer links than at the start
    other = with_momentum(again.parameters(), 0.05)
    other.load_state_dict(states[1])
    resumed = Evolver(again, other, FEWER, every=3, steps=12, generator=seeded(1))
    resumed.load_state_dict(states[2])
    train(again, other, resumed, 8, first=4)
    assert same(links_of(net), links_of(again))
    assert same(net.parameters(), again.parameters())


@pytest.mark.parametrize("layers", [{"0": nn.Linear(20, 31)}, {"hidden": nn.Linear(20, 30)}])
def test_a_state_of_another_model_is_refused(layers):
    _, _, evolver = made()
    other = sparsified(nn.ModuleDict({**layers, "2": nn.Linear(30, 5)}))
    optimiser = torch.optim.SGD(other.parameters(), lr=0.05)
    another = Evolver(other, optimiser, RIGL, every=3, steps=12, generator=seeded())
    with pytest.raises(ValueError, match="the state is of a model with other sparse layers"):
        another.load_state_dict(evolver.state_dict())
    assert another.steps_taken == 0


def test_a_state_of_another_plan_is_refused_and_one_without_every_is_loaded():
    _, _, evolver = made(every=3)
    _, _, other = made(every=2)
    evolver.steps_taken = 5
    state = evolver.state_dict()
    with pytest.raises(ValueError, match="with every = 3, and this one has every = 2: give every"):
        other.load_state_dict(state)
    with pytest.raises(ValueError, match="the state is of step 13, and this Evolver plans 12"):
        evolver.load_state_dict(state | {"steps_taken": 13})
    assert repr(other) == "Evolver(every=2, steps=12, until=0.75, steps_taken=0)"
    del state["every"]  # as it was stored before
    other.load_state_dict(state)
    assert other.steps_taken == 5


def test_without_a_generator_draws_follow_the_seed_of_torch():
    links = []
    for seed in (0, 0, 1):
        net = sparsified(mlp(), generator=seeded())
        optimiser = torch.optim.SGD(net.parameters(), lr=0.05)
        torch.manual_seed(seed)
        evolver = Evolver(net, optimiser, every=1, steps=2)
        optimiser.step()
        evolver.step()
        links.append(links_of(net))
    assert same(links[0], links[1]) and not same(links[0], links[2])


@pytest.mark.parametrize(
    ("kind", "how", "is_scaled"),
    [
        (torch.optim.Adam, {}, False),
        (torch.optim.AdamW, {"amsgrad": True}, False),
        (torch.optim.AdamW, {"fused": True}, True),
    ],
)
def test_a_link_grown_late_takes_the_steps_of_a_new_adam(kind, how, is_scaled):
    """But for those that a scaler skips."""
    net = nn.Sequential(nn.Linear(4, 3, bias=False)).double()
    sparsify_(net, start="magnitude", density=0.5, generator=seeded())
    optimiser = kind(net.parameters(), lr=0.01, **how)
    scaler = torch.amp.GradScaler("cpu", enabled=is_scaled)
    rule = Evolution(drop_fraction=0.5)
    evolver = Evolver(net, optimiser, rule, every=50, steps=100, generator=seeded())
    gradients = torch.rand(60, 6, generator=seeded(), dtype=torch.float64)
    gradients[[52, 55]] *= math.inf if is_scaled else 1
    for step, gradient in enumerate(gradients):
        optimiser.zero_grad()
        scaler.scale((net[0].values * gradient).sum()).backward()
        scaler.step(optimiser)
        scaler.update()
        evolver.step()
        if step == 49:
            new = (net[0].values == 0).nonzero().squeeze(1)
            single = nn.Parameter(torch.zeros(len(new), dtype=torch.float64))
            fresh = kind([single], lr=0.01, **how)
        elif step > 49 and gradient.isfinite().all():
            single.grad = gradient[new].clone()
            fresh.step()
        if step > 49:
            torch.testing.assert_close(net[0].values.detach()[new], single.detach())
    assert len(new) > 0 and (not is_scaled or scaler.get_scale() == 2.0**14)  # halved twice


def test_several_evolvers_of_one_adam_correct_a_link_once():
    one, many = made(torch.optim.Adam), made(torch.optim.Adam)
    Evolver(many[0], many[1], RIGL, every=100, steps=100, until=1, generator=seeded(1))
    for net, optimiser, evolver in (one, many):
        train(net, optimiser, evolver, 8)
    assert same(one[0].parameters(), many[0].parameters())


def test_layers_of_like_names_all_evolve():
    net = nn.ModuleDict(
        {"module": nn.ModuleDict({"head": nn.Linear(9, 9)}), "head": nn.Linear(9, 9)}
    )
    names = sparsify_(net, start="magnitude", density=0.5)
    assert [*evolver_of(net)[1].layers] == names


def test_averages_are_copies_made_after_sparsify():
    net, optimiser, _ = made()
    how = {"every": 1, "steps": 5}
    other = sparsified(nn.Sequential(nn.Linear(3, 3)), density=0.5)
    refused = {
        "averages holds the model itself: give a copy": net,
        "no sparse layer: copy the model after sparsify_": mlp(),
        "other sparse layers than the model": other,
        "averages holds a WeightAverage: give modules alone": WeightAverage(net, optimiser, 0.9),
    }
    for sentence, average in refused.items():
        with pytest.raises(ValueError, match=sentence):
            Evolver(net, optimiser, **how, averages=[average])
    state = Evolver(net, optimiser, **how, averages=[copy.deepcopy(net)]).state_dict()
    with pytest.raises(ValueError, match="with averages = 1 models, and this one has 0"):
        Evolver(net, optimiser, **how).load_state_dict(state)


@pytest.mark.parametrize("is_made_first", [False, True])
def test_compiled_steps_count(is_made_first):
    torch.set_default_dtype(torch.float32)
    net = models.mlp([20, 30, 4], density=0.2, seed=0)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x, y = torch.rand(16, 20), torch.randint(4, (16,))
    if is_made_first:
        evolver = Evolver(net, optimiser, every=1, steps=9, generator=seeded())
    step = CompiledStep(net, optimiser)
    if not is_made_first:
        step(x, y)
        evolver = Evolver(net, optimiser, every=1, steps=9, generator=seeded())
    for _ in range(2):
        step(x, y)
        assert evolver.step() > 0
    step(x, y)
    step(x, y)
    with pytest.raises(ValueError, match="taken 2 steps"):
        evolver.step()


def test_averages_with_other_links_are_refused():
    net, optimiser, _ = made()
    average = copy.deepcopy(net)
    how = {"every": 3, "steps": 12, "averages": [average]}
    evolver = Evolver(net, optimiser, **how, generator=seeded())
    train(net, optimiser, evolver, 4)
    saved = net.state_dict(), average.state_dict(), evolver.state_dict()

    net, optimiser, _ = made()
    average = copy.deepcopy(net)
    evolver = Evolver(net, optimiser, **how | {"averages": [average]}, generator=seeded())
    net.load_state_dict(saved[0])
    evolver.load_state_dict(saved[2])
    with pytest.raises(ValueError, match="layer 0 has other links in a model of averages"):
        train(net, optimiser, evolver, 1)
    with pytest.raises(ValueError, match="load the states of both"):
        Evolver(net, optimiser, **how | {"averages": [average]})
    average.load_state_dict(saved[1])
    evolver.load_state_dict(saved[2])
    train(net, optimiser, evolver, 2, 4)
    assert evolver.steps_taken == 6 and same(links_of(net), links_of(average))


@pytest.mark.parametrize(("is_scaled", "fused"), [(False, False), (True, False), (True, True)])
def test_an_update_leaves_out_layers_whose_gradients_all_overflow(is_scaled, fused):
    rules = Evolution("magnitude", "gradient", gradient_batches=1)
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0, enabled=is_scaled)
    net, optimiser, _ = made(partial(torch.optim.SGD, fused=fused))
    how = {"scaler": scaler} if is_scaled else {}
    evolver = Evolver(net, optimiser, rules, every=3, steps=12, generator=seeded(), **how)
    before = links_of(net)
    train(net, optimiser, evolver, 2, scaler=scaler)
    optimiser.zero_grad()
    scaler.scale(net(data()[0]).sum() * math.inf).backward()
    scaler.step(optimiser)
    scaler.update()
    if not is_scaled:
        with pytest.raises(ValueError, match="saw no batch with a finite gradient"):
            evolver.step()
        return
    assert evolver.step() == 0 and same(before, links_of(net))
    assert evolver.steps_taken == 2  # the step that was skipped does not count
    train(net, optimiser, evolver, 4, 3, scaler)
    assert not same(before, links_of(net))


def test_layers_are_left_as_they_were_by_an_evolver_that_is_dropped():
    net, optimiser, evolver = made(every=2)
    other = Evolver(net, optimiser, RIGL, every=2, steps=12, generator=seeded())
    assert all(len(layer._forward_hooks) == 2 for layer in (net[0], net[2]))
    del evolver
    assert all(len(layer._forward_hooks) == 1 for layer in (net[0], net[2]))
    assert net[0].watched_as is not None
    del other
    assert not net[0]._forward_hooks and net[0].watched_as is None


def test_a_state_past_the_plan_is_taken_where_links_never_stand_still():
    net, optimiser, evolver = made(steps=5, until=None)
    train(net, optimiser, evolver, 8)
    evolver.load_state_dict(evolver.state_dict())
    train(net, optimiser, evolver, 1)
    assert evolver.steps_taken == 9


def test_model_whose_layers_an_evolver_collects_of_is_made_dense():
    net, x = sparsified(mlp(), density=0.5), torch.randn(5, 20)
    _, evolver = evolver_of(net, Evolution(grow="gradient"))
    assert evolver.layers["0"] is net[0] and net[0]._forward_hooks
    desired = net(x)
    copied = copy.deepcopy(net)
    for model in (copied, net):
        densify_(model)
        torch.testing.assert_close(model(x), desired)


class Holding(nn.Module):
    """Holds the Evolver that moves its links, as a module of Lightning does."""

    def __init__(self):
        super().__init__()
        self.layer = SparseLinear(6, 5, density=0.5)
        optimiser = torch.optim.SGD(self.parameters(), lr=0.1)
        self.evolver = Evolver(self, optimiser, every=1, steps=4)


def pickled(value):
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled, torch.optim.swa_utils.AveragedModel])
def test_a_module_that_holds_an_evolver_is_copied(copied):
    net, x = Holding(), torch.rand(3, 6)
    twin = copied(net)
    twin = getattr(twin, "module", twin)
    torch.testing.assert_close(twin.layer(x), net.layer(x))
    with pytest.raises(AttributeError, match="copy of an Evolver has no model.*make another"):
        twin.evolver.step()
    net.evolver.optimiser.step()
    assert net.evolver.step() > 0


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, pickled])
def test_the_copy_of_an_evolver_is_of_no_use(copied):
    with pytest.raises(AttributeError, match="load the state_dict of the first into it"):
        copied(Holding().evolver).state_dict()
    assert repr(copied(Holding().evolver)) == "Evolver(a copy, without model and optimiser)"
    with pytest.raises(AttributeError, match="an Evolver has no attribute 'stride'"):
        _ = Holding().evolver.stride


class Wrapped:
    """Holds an optimiser, as those of Lightning and accelerate do."""

    def __init__(self, optimiser):
        self.optimizer = optimiser

    def step(self):
        self.optimizer.step()


def test_a_wrapped_optimiser_is_looked_into():
    net, optimiser, _ = made(with_momentum)
    wrapped = Wrapped(Wrapped(optimiser))
    average = WeightAverage(net, wrapped, 0.9)
    evolver = Evolver(net, wrapped, every=3, steps=12, generator=seeded())
    train(net, optimiser, evolver, 3)
    new = net[0].values == 0
    assert new.any() and (optimiser.state[net[0].values]["momentum_buffer"][new] == 0).all()
    n = evolve_(net[0], Evolution(), fraction=0.5, generator=seeded(), optimiser=wrapped)
    assert n > 0 and average.is_even
    with pytest.raises(ValueError, match="what a Rprop remembers of a link is not known"):
        Evolver(net, Wrapped(torch.optim.Rprop(net.parameters())), every=3, steps=12)


def compiled(net):
    return torch.compile(copy.deepcopy(net), backend="eager")


class Average(nn.Module):
    """Holds a copy of a model as ``module``, as averages of timm do."""

    def __init__(self, model):
        super().__init__()
        self.module = copy.deepcopy(model)


@pytest.mark.parametrize("wrap", [lambda net: Average(Average(net)), compiled])
def test_averages_in_a_wrapper_move_along(wrap):
    net, optimiser, _ = made()
    average = wrap(net)
    evolver = Evolver(net, optimiser, every=3, steps=12, averages=[average], generator=seeded())
    train(net, optimiser, evolver, 3)
    assert same(links_of(net), links_of(average))


def test_an_evolver_of_a_frozen_model_says_that_nothing_will_move():
    net, optimiser, _ = made()
    net.requires_grad_(False)
    with pytest.warns(UserWarning, match="all sparse layers of the model are frozen"):
        Evolver(net, optimiser, every=3, steps=12)
    net[0].requires_grad_(True)
    with warnings.catch_warnings(action="error"):
        Evolver(net, optimiser, every=3, steps=12)


class Reading(nn.Module):
    """Reads the weight of its layer itself, as attention of Swin and BEiT does."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(6, 6)

    def forward(self, x):
        return F.linear(x, self.qkv.weight)


def test_a_model_that_reads_a_weight_is_told_its_layer_and_the_filter():
    net = nn.Sequential(Reading(), nn.Linear(6, 2))
    sparsify_(net, density=0.5, start="random")
    said = r"layer 0\.qkv is a SparseLinear and has no weight.*leave the layer out by the filter"
    for model in (net, copy.deepcopy(net)):
        with pytest.raises(AttributeError, match=said):
            model(torch.rand(2, 6))
    net = nn.Sequential(Reading(), nn.Linear(6, 2))
    sparsify_(net, density=0.5, start="random", filter=lambda name, _: "qkv" not in name)
    assert net(torch.rand(2, 6)).shape == (2, 2)


def test_tracing_names_what_to_do_instead():
    net = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.0), nn.Linear(6, 2))
    x = torch.rand(3, 6)
    sparsify_(net, density=0.5, start="random")
    with warnings.catch_warnings(action="ignore"):  # torch.jit.trace is deprecated
        with pytest.raises(ValueError, match="trace a copy after densify_, or use torch.export"):
            torch.jit.trace(net, x)
        densify_(net)
        torch.testing.assert_close(torch.jit.trace(net, x)(x), net(x))


def test_an_evolver_does_not_outlive_the_layers_it_was_made_for():
    model = nn.Sequential(SparseLinear(8, 8, density=0.5), nn.Linear(8, 3))
    optimiser, evolver = evolver_of(model, every=2, steps=100)
    optimiser.step()
    assert evolver.step() == 0
    optimiser.step()
    densify_(model)
    with pytest.raises(ValueError, match="layer 0 is no longer in the model.*train on without one"):
        evolver.step()


def walk(loop, times, net, optimiser, evolver, to_none=True):
    """What the letters of a loop say, so many times."""
    parts = {
        "z": lambda: optimiser.zero_grad(set_to_none=to_none),
        "b": lambda: net(data()[0]).sum().backward(),
        "o": optimiser.step,
        "e": evolver.step,
    }
    for part in loop * times:
        parts[part]()


@pytest.mark.parametrize(
    ("kind", "to_none", "loop", "counted"),
    [
        (torch.optim.SGD, True, "zboe", 12),
        (torch.optim.AdamW, False, "zboe", 12),
        (torch.optim.Adagrad, True, "boez", 12),
        (torch.optim.SGD, False, "boze", 12),
        (torch.optim.SGD, False, "beeboez", 12),  # sums up the gradients of two batches
        (torch.optim.Adagrad, False, "zbeboee", 12),
        (torch.optim.SGD, False, "ze", 0),
        (torch.optim.AdamW, True, "ze", 0),
    ],
)
def test_the_steps_of_the_optimiser_are_counted(kind, to_none, loop, counted):
    together = made(kind, every=5)
    walk(loop, 12, *together, to_none)
    assert together[-1].steps_taken == counted


@pytest.mark.parametrize(("fused", "loop"), [(False, "zbeo"), (True, "zbebo"), (False, "bezo")])
def test_an_update_that_would_throw_gradients_away_is_refused(fused, loop):
    net, optimiser, evolver = made(partial(torch.optim.SGD, fused=fused), every=2)
    before = links_of(net)
    with pytest.raises(ValueError, match=r"layer 0 has a gradient.*before the next loss.backward"):
        walk(loop, 4, net, optimiser, evolver)
    assert evolver.steps_taken == 1 and same(before, links_of(net))


def test_an_evolver_whose_optimiser_was_replaced_says_so():
    net, optimiser, evolver = made()
    train(net, optimiser, evolver, 2)
    later = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="without a step of the Evolver's optimiser"):
        train(net, later, evolver, 1)
    assert evolver.steps_taken == 2


def test_an_evolver_that_is_made_late_throws_no_gradient_away():
    net, optimiser, other = made()
    walk("zbo" * 3 + "b", 1, net, optimiser, other)
    evolver = Evolver(net, optimiser, every=1, steps=12, generator=seeded())
    gradient = net[0].values.grad.clone()
    assert evolver.step() == 0 and evolver.steps_taken == 0
    assert torch.equal(net[0].values.grad, gradient)
    optimiser.step()
    assert evolver.step() > 0 and evolver.steps_taken == 1


def test_a_call_after_several_steps_of_the_optimiser_is_refused():
    net, optimiser, evolver = made()
    before = links_of(net)
    walk("bo", 3, net, optimiser, evolver)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"taken 3 steps since the last evolver\.step\(\)"):
            evolver.step()
    assert same(before, links_of(net)) and evolver.steps_taken == 0
    evolver.load_state_dict(evolver.state_dict())  # as one that goes on from here
    train(net, optimiser, evolver, 3)
    assert evolver.steps_taken == 3


def test_evolvers_of_one_optimiser_count_its_steps_alike():
    net, optimiser, first = made()
    train(net, optimiser, first, 2)
    second = Evolver(net, optimiser, every=3, steps=12)
    train(net, optimiser, first, 1)
    second.step()
    with pytest.raises(ValueError, match="taken 2 steps"):
        train(net, optimiser, first, 2)
        second.step()


def test_a_layer_that_no_longer_learns_keeps_its_gradient():
    net, optimiser, evolver = made()
    train(net, optimiser, evolver, 2)
    net[0].values.requires_grad_(False)
    rest = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(rest, lr=0.05)
    evolver = Evolver(net, optimiser, RIGL, every=3, steps=12, generator=seeded())
    kept, moving = links_of(net)
    train(net, optimiser, evolver, 3)
    assert net[0].values.grad is not None and torch.equal(links_of(net)[0], kept)
    assert not torch.equal(links_of(net)[1], moving)


@pytest.mark.parametrize("rules", [RIGL, FEWER, MOVING])
def test_averages_follow_their_links(rules):
    net, optimiser, _ = made(with_momentum)
    average = torch.optim.swa_utils.AveragedModel(net)
    evolver = Evolver(
        net, optimiser, rules, every=3, steps=12, averages=[average], generator=seeded()
    )
    dense = torch.zeros(30, 20)
    for step in range(9):
        train(net, optimiser, evolver, 1, step)
        there = net[0].to_dense() != 0
        dense = torch.where(there, dense, 0.0)  # links that went are forgotten
        average.update_parameters(net)
        dense = dense + (net[0].to_dense().detach() - dense) / (step + 1)
        assert same(links_of(net), links_of(average))
    torch.testing.assert_close(average.module[0].to_dense(), dense, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("rules", "scale", "interval"),
    [(RIGL, 2.0**16, 1000), (MEST, 2.0**10, 1), (MOMENTUM, 2.0**10, 2)],
)
def test_links_do_not_depend_on_the_scale_of_the_gradients(rules, scale, interval):
    plain = made(with_momentum, rules)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=interval)
    scaled = made(with_momentum, rules, scaler=scaler)
    train(*plain, 9)
    train(*scaled, 9, scaler=scaler)
    assert scaler.get_scale() == scale * 2 ** (9 // interval)
    assert same(links_of(plain[0]), links_of(scaled[0]))
    assert same(plain[0].parameters(), scaled[0].parameters())


def evolving(make, change=lambda net: net, optimiser=torch.optim.SGD):
    """Make the Evolver of a model that is changed after its optimiser was made."""
    net = make()
    optimiser = optimiser(net.parameters(), lr=0.1)
    Evolver(change(net), optimiser, every=1, steps=5)


def changed_layer(change):
    layer = SparseLinear(4, 3, density=0.5)
    change(layer)
    return nn.Sequential(layer)


REFUSED = [  # values out of range: faults/test_bad_values
    (lambda: made(every=9, steps=11), "every = 9 leaves no update within 8 steps"),
    (lambda: made(every=12, steps=11, until=None), "every = 12 leaves no update within 11"),
    (lambda: made(torch.optim.Rprop), "what a Rprop remembers of a link is not known"),
    (lambda: evolving(mlp), "the model has no sparse layer: call sparsify_ first"),
    (lambda: evolving(mlp, sparsified), "does not hold the values of layer 0: make it after"),
    (
        lambda: evolving(lambda: sparsified(mlp().bfloat16()), optimiser=torch.optim.Adam),
        "values of layer 0 are torch.bfloat16, in which Adam",
    ),
    (lambda: densify_(SparseLinear(4, 3, density=0.5)), "the model is itself a sparse layer"),
    (
        lambda: densify_(changed_layer(lambda layer: layer.register_forward_hook(print))),
        "layer 0 has hooks",
    ),
    (
        lambda: densify_(changed_layer(lambda layer: prune.identity(layer, "values"))),
        "layer 0 has hooks, .* prune.remove",
    ),
    (
        lambda: densify_(changed_layer(lambda layer: setattr(layer, "forward", F.relu))),
        "layer 0 has a forward of its own",
    ),
    (
        lambda: sparsify_(Mixed(), density={"encode.*": 0.1}, start="new"),
        "'encode..' fits the name of no layer: there are conv, encoder.0",
    ),
    (lambda: sparsify_(Mixed(), density={"head": 0.0}, start="new"), "density of 'head' = 0.0"),
    (
        lambda: sparsify_(Mixed(), density=0.5, start="new", filter="head"),
        "filter = 'head': give a function, as lambda name, layer:",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_what_cannot_be_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


# ------------------------------------------------------------------------- several processes


N_STEPS = 10
SHARED = (Evolution(), RIGL, MEST, MOMENTUM)


def train_on_parts(ranks, rules, wrap=lambda net: net):
    """A network after ten steps, each on the examples of these processes together."""
    net = sparsified(mlp())
    wrapped = wrap(net)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    generator = seeded(ranks[0])
    evolver = Evolver(wrapped, optimiser, rules, every=3, steps=12, generator=generator)
    for step in range(N_STEPS):
        x, y = map(torch.cat, zip(*(data(100 * rank + step) for rank in ranks), strict=True))
        optimiser.zero_grad()
        F.cross_entropy(wrapped(x), y).backward()
        optimiser.step()
        evolver.step()
    return [links_of(net), [p.detach() for p in net.parameters()]]


def join(rank, folder, world_size):
    how = {"init_method": f"file://{folder}/store", "rank": rank, "world_size": world_size}
    torch.distributed.init_process_group("gloo", **how)


def distributed(rank, folder):
    join(rank, folder, world_size=2)
    torch.set_num_threads(1)
    wrap = nn.parallel.DistributedDataParallel
    with pytest.raises(ValueError, match="a layer keeps its number of links"):
        train_on_parts([rank], FEWER, wrap)
    with pytest.raises(ValueError, match="a layer keeps its number of links"):
        train_on_parts([rank], MOVING, wrap)
    net = wrap(sparsified(mlp(seed=rank)))  # which gives the values of the first process to all
    is_refused = pytest.raises(ValueError, match="same links on every process, by torch.manual_se")
    with is_refused if rank == 1 else contextlib.nullcontext():
        net(data()[0])
    runs = [train_on_parts([rank], rules, wrap) for rules in SHARED]
    torch.save(runs, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_a_process_by_itself_does_as_without_the_wrapper(tmp_path):
    join(0, tmp_path, world_size=1)
    try:
        links, weights = train_on_parts([0], RIGL, nn.parallel.DistributedDataParallel)
    finally:
        torch.distributed.destroy_process_group()
    desired_links, desired_weights = train_on_parts([0], RIGL)
    assert same(links, desired_links)
    torch.testing.assert_close(weights, desired_weights)


@pytest.mark.slow
def test_processes_that_train_together_do_as_one_on_all_examples(tmp_path):
    torch.multiprocessing.spawn(distributed, (str(tmp_path),), nprocs=2)
    firsts, seconds = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    torch.set_default_dtype(torch.float32)  # as in the processes
    net = sparsified(mlp())
    for rules, first, second in zip(SHARED, firsts, seconds, strict=True):
        links, weights = train_on_parts([0, 1], rules)
        assert same(first[0], second[0]) and same(first[1], second[1])
        assert same(first[0], links) and not same(first[0], links_of(net))
        torch.testing.assert_close(first[1], weights)


# the report, and densities by name


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.encoder = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10))
        self.attention = nn.MultiheadAttention(10, 2)
        self.head = nn.Linear(10, 5)


def test_report_says_what_became_sparse_and_what_stayed_dense():
    """20 · 30 · .1 + 30 · 10 · .1 = 90 links; 108 + 400 + 50 weights of 1,458 stay dense."""
    model = Mixed()
    report = sparsify_(model, density={"encoder.*": 0.1, "head": 1}, start="scaled")
    assert report == ["encoder.0", "encoder.2"]
    assert report.density == pytest.approx((90 + 108 + 400 + 50) / (900 + 108 + 400 + 50))
    rows = {line.split()[0]: line for line in str(report).splitlines()}
    assert "10.00%" in rows["encoder.0"] and "dense" not in rows["encoder.0"]
    assert "dense: the first convolution" in rows["conv"] and "108" in rows["conv"]
    assert "attention reads the weights" in rows["attention"] and "400" in rows["attention"]
    assert "left out by kinds, the filter or the density" in rows["head"]


def test_first_name_that_fits_gives_the_density():
    model = Mixed()
    sparsify_(model, density={"encoder.2": 0.5, "[eh]*": 0.1}, start="new")
    assert model.encoder[2].nnz == 150 and model.encoder[0].nnz == 60 and model.head.nnz == 5


def test_a_density_of_a_layer_that_stays_dense_is_refused():
    with pytest.raises(ValueError, match="density of 'conv' = 0.5, but this layer stays dense"):
        sparsify_(Mixed(), density={"conv": 0.5, "head": 0.1}, start="new", kinds=("linear",))
    sparsify_(model := Mixed(), density={"*": 0.5}, start="new", kinds=("linear",))
    assert isinstance(model.conv, nn.Conv2d)  # a pattern may fit layers of other kinds


def test_a_step_of_rate_zero_counts():
    net, optimiser, evolver = made()
    optimiser.param_groups[0]["lr"] = 0.0
    walk("boe", 1, net, optimiser, evolver)
    assert evolver.steps_taken == 1
