"""What would corrupt a network without a word works, or is refused in one sentence."""

import copy
import itertools
import multiprocessing

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from lib import data, models, train
from lib._compiled import launch
from lib.evolution import Evolution, evolve_, remove_
from lib.layers import SparseLinear
from lib.sparsify import Evolver, densify_, sparsify_
from lib.train import Settings


@pytest.fixture
def layer(generator):
    return SparseLinear(12, 9, density=0.4, generator=generator)


@pytest.fixture
def net(layer):
    return nn.Sequential(layer)


def mlp(*widths):
    return models.mlp((64, *(widths or (16,)), 10), density=0.5).float()


def fit(net, evolution=None, **options):
    settings = Settings(epochs=1, evolution=evolution)
    return train.fit(net, data.load("digits", limit=50), settings, seed=0, **options)


def sgd(net):
    return torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)


@pytest.fixture
def x(generator):
    return torch.randn(7, 12, generator=generator, dtype=torch.get_default_dtype())


# ------------------------------------------------------------------------ torch.nn.utils


def test_pruned_layer_computes_without_the_pruned_links(layer, x):
    prune.l1_unstructured(layer, "values", amount=0.5)
    mask = layer.values_mask.bool()
    assert mask.sum() == layer.nnz - round(0.5 * layer.nnz)
    desired = x @ layer.to_dense().T + layer.bias
    torch.testing.assert_close(models.MLP(layer)(x), desired)
    layer(x).sum().backward()
    assert (layer.values_orig.grad[~mask] == 0).all()


@pytest.mark.parametrize(
    ("change", "update"), [(prune.identity, evolve_), (nn.utils.weight_norm, remove_)]
)
@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_links_of_pruned_values_do_not_move(layer, generator, change, update):
    change(layer, "values")
    before = copy.deepcopy(layer.support.keys)
    with pytest.raises(ValueError, match="pruned or normalised .* prune.remove"):
        update(layer, Evolution(), fraction=0.3, generator=generator)
    assert layer.support.keys.equal(before)


def pruned():
    net = mlp()
    prune.identity(net.linear1, "values")
    return net


def test_links_move_once_pruning_is_permanent(layer, generator):
    prune.l1_unstructured(layer, "values", amount=0.5)
    prune.remove(layer, "values")
    n_pruned = int((layer.values == 0).sum())
    assert evolve_(layer, Evolution(), fraction=0.0, generator=generator) == n_pruned


def test_parametrization_of_a_weight_names_what_is_missing(layer):
    with pytest.raises(ValueError, match="SparseLinear.* with name 'weight'"):
        nn.utils.parametrizations.weight_norm(layer)


@pytest.mark.parametrize(
    "use",
    [
        lambda layer: layer.weight,
        lambda layer: prune.identity(layer, "weight"),
        lambda layer: setattr(layer, "weight", torch.ones(9, 12)),
        lambda layer: layer.register_parameter("weight", None),
    ],
)
def test_weight_says_what_to_read_instead(layer, use):
    with pytest.raises(AttributeError, match=r"values \(nnz,\).* to_dense\(\)"):
        use(layer)
    assert not hasattr(layer, "weight")
    assert set(dict(layer.named_parameters())) == {"values", "bias"}


# ------------------------------------------------------------------------------- averages


@pytest.mark.parametrize("averaged", [2, 1])
def test_average_that_is_older_than_the_links_is_refused(layer, net, x, generator, averaged):
    average = AveragedModel(net)
    for _ in range(averaged):
        average.update_parameters(net)
    average(x)
    evolve_(layer, Evolution(), fraction=0.5, generator=generator)
    average.update_parameters(net)
    uses = (
        lambda: average(x),
        lambda: densify_(average),
        average.state_dict,
        lambda: net.load_state_dict(average.module.state_dict()),
    )
    assert_refused("a copy of this layer was averaged with it after the links", *uses)


def assert_refused(sentence, *uses):
    for use in uses:
        with pytest.raises(ValueError, match=sentence):
            use()


MIXED = "mixes values of different links"


def averaged_by_buffers(average, net):
    """Averages as torch's AveragedModel does with ``use_buffers``, timm's in the state."""
    for old, new in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        old.copy_(0.9 * old + 0.1 * new)
    for old, new in zip(average.buffers(), net.buffers(), strict=True):
        old.detach().copy_(0.9 * old + 0.1 * new)


def exchanged(average, net):
    """Exchanges models without that torch counts it, as Lightning's callback does."""
    tensors = [[*model.parameters(), *model.buffers()] for model in (average, net)]
    for old, new in zip(*tensors, strict=True):
        kept = old.data.clone()
        old.data.copy_(new.data)
        new.data.copy_(kept)


def test_average_of_buffers_of_links_that_stand_still_is_right(layer, net, x, generator):
    average = copy.deepcopy(net)
    values = layer.values.detach().clone()
    for _ in range(20):
        averaged_by_buffers(average, net)
        exchanged(average, net)
        exchanged(average, net)
    torch.testing.assert_close(average[0].values, values)
    torch.testing.assert_close(average(x), net(x))
    torch.testing.assert_close(average.state_dict(), net.state_dict())


def averaged_by_data(average, net):
    """As most averages that are written by hand; torch does not count it."""
    average[0].values.data.mul_(0.9).add_(net[0].values.data, alpha=0.1)


def averaged_by_other_data(average, net):
    average[0].values.data = 0.9 * average[0].values.data + 0.1 * net[0].values.data


@pytest.mark.parametrize(
    "averages", [averaged_by_buffers, averaged_by_data, averaged_by_other_data]
)
def test_average_of_links_that_moved_is_refused(net, x, generator, averages):
    average = copy.deepcopy(net)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    evolver = Evolver(net, optimiser, every=1, steps=9, generator=generator)
    net(x).sum().backward()
    optimiser.step()
    assert evolver.step() > 0
    net(x), average(x), copy.deepcopy(average)(x)  # nothing is mixed yet
    averages(average, net)
    optimiser.step()
    uses = evolver.step, lambda: net(x), lambda: average(x), average.state_dict
    assert_refused(r"give the copy to Evolver\(averages=\[...\]\)", *uses)


def second_network(net):
    """As the target network of a student, made by itself."""
    target = nn.Sequential(SparseLinear(12, 9, density=0.4))
    target.load_state_dict(net.state_dict())
    return target


@pytest.mark.parametrize(("make", "moves"), [(copy.deepcopy, "loads"), (second_network, "evolves")])
def test_average_of_any_network_of_the_links_of_before_is_refused(
    layer, net, x, generator, make, moves
):
    average = make(net)
    other = copy.deepcopy(net)
    evolve_(other[0], Evolution(), fraction=0.5, generator=generator)
    if moves == "evolves":
        evolve_(layer, Evolution(), fraction=0.5, generator=generator)
    else:
        net.load_state_dict(other.state_dict())
    averaged_by_data(average, net)
    assert_refused(MIXED, lambda: average(x), lambda: net(x))


def test_average_that_a_later_evolver_does_not_know_is_refused(net, x, generator):
    average = copy.deepcopy(net)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    for averages in ([average], []):
        how = {"averages": averages, "generator": generator}
        evolver = Evolver(net, optimiser, every=1, steps=9, **how)
        optimiser.step()
        assert evolver.step() > 0
    averaged_by_data(average, net)
    assert_refused(MIXED, lambda: average(x))


def test_average_that_loads_a_mixed_state_is_refused(layer, net, x, generator):
    average = copy.deepcopy(net)
    evolve_(layer, Evolution(), fraction=0.5, generator=generator)
    new = net.state_dict()
    old = average.state_dict()
    mixed = {k: 0.9 * v + 0.1 * new[k] if v.is_floating_point() else new[k] for k, v in old.items()}
    assert_refused(MIXED, lambda: average.load_state_dict(mixed))


def disturbed(values):
    values.add_(torch.randn_like(values))


@pytest.mark.parametrize("change", [disturbed, nn.init.zeros_])
def test_an_older_copy_may_be_disturbed(layer, net, x, generator, change):
    older = copy.deepcopy(net)
    evolve_(layer, Evolution(), fraction=0.5, generator=generator)
    with torch.no_grad():
        change(older[0].values)
    assert net(x).shape == older(x).shape


def test_average_of_whole_states_is_that_of_the_values(layer, net, x, generator):
    average = copy.deepcopy(net)
    layer.values.data.mul_(3)
    states = average.state_dict(), net.state_dict()
    mean = {name: 0.9 * states[0][name] + 0.1 * states[1][name] for name in states[0]}
    average.load_state_dict(mean)
    torch.testing.assert_close(average[0].values, layer.values * 0.4)
    assert average[0].support.keys.equal(layer.support.keys)
    evolve_(layer, Evolution(), fraction=0.5, generator=generator)
    mean["0.col"] = 0.9 * mean["0.col"] + 0.1 * layer.col
    sentence = "an average of states of other links: give the copy to"
    assert_refused(sentence, lambda: average.load_state_dict(mean))


def test_copies_of_another_dtype_are_no_averages(layer, net, x, generator):
    best = copy.deepcopy(net)
    evolve_(layer, Evolution(), fraction=0.5, generator=generator)
    best.half()
    assert net(x).shape == best.double()(x).shape


def test_copies_that_learn_by_themselves_are_no_averages(layer, x, generator):
    nets = [nn.Sequential(layer)]
    nets.append(copy.deepcopy(nets[0]))
    for _ in range(3):
        for net in nets:
            optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
            net(x).square().sum().backward()
            optimiser.step()
            optimiser.zero_grad()
            evolve_(net[0], Evolution(), fraction=0.5, generator=generator, optimiser=optimiser)
    assert not nets[0][0].support.keys.equal(nets[1][0].support.keys)


def test_copies_that_are_pruned_are_no_averages(layer, net, x, generator):
    pruned = copy.deepcopy(net)
    prune.l1_unstructured(pruned[0], "values", 0.5)
    evolve_(layer, Evolution(), fraction=0.5, generator=generator)
    before = pruned(x).detach()
    assert torch.equal(pruned(x), before) and net(x).shape == before.shape


def test_older_copies_that_load_a_state_are_used(layer, net, x, generator):
    best, saved = copy.deepcopy(net), copy.deepcopy(net.state_dict())
    evolve_(layer, Evolution(), fraction=0.5, generator=generator)
    best.load_state_dict(saved)  # its own links
    net(x), best(x)
    best.load_state_dict(net.state_dict())
    torch.testing.assert_close(best(x), net(x))


# ------------------------------------------------------------------------------ optimisers


def evolver(layer, evolution, *, fraction, optimiser, generator):
    Evolver(nn.Sequential(layer), optimiser, evolution, every=1, steps=2, generator=generator)


@pytest.mark.parametrize(
    ("kind", "update"),
    [
        (torch.optim.Rprop, evolve_),
        (torch.optim.LBFGS, remove_),
        (torch.optim.NAdam, evolver),
    ],
)
def test_links_do_not_move_under_optimisers_whose_state_is_not_known(
    layer, generator, kind, update
):
    before = copy.deepcopy(layer.support.keys)
    optimiser = kind(layer.parameters())
    with pytest.raises(ValueError, match=f"what a {kind.__name__} remembers .* is not known"):
        update(layer, Evolution(), fraction=0.3, generator=generator, optimiser=optimiser)
    assert layer.support.keys.equal(before)


def of_kind(kind):
    return lambda net: kind(net.parameters())


def of_second(net):
    return torch.optim.SGD(net.linear2.parameters(), lr=0.1)


def deep():
    return mlp(16, 16)


def dense():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).float()


def sparse():
    return nn.Sequential(nn.Flatten(), SparseLinear(64, 10, density=0.5)).float()


def sparsified(net):
    sparsify_(net, start="magnitude", density=0.5)


NOT_ALL = "all weights of layer 1, .* after sparsify_ or densify_"
FIT_REFUSES = [  # the network, its optimiser, what is done to it then, the rules, the sentence
    (pruned, None, None, Evolution(), "pruned or normalised .* prune.remove"),
    (mlp, of_kind(torch.optim.Rprop), None, Evolution(), "what a Rprop remembers"),
    (mlp, of_kind(torch.optim.LBFGS), None, None, "asks for the loss several times in a step"),
    (dense, sgd, sparsified, None, NOT_ALL),
    (sparse, sgd, densify_, None, NOT_ALL),
    (dense, None, None, Evolution(), "no sparse layer, .* call sparsify_ first"),
    (deep, of_second, None, Evolution(), "values of layer linear1: .* or freeze that layer"),
]


@pytest.mark.parametrize(("make", "optimiser", "change", "rules", "sentence"), FIT_REFUSES)
def test_fit_refuses_what_cannot_train_before_the_first_step(
    make, optimiser, change, rules, sentence
):
    net = make()
    given = {} if optimiser is None else {"optimiser": optimiser(net)}
    if change is not None:
        change(net)
    before = copy.deepcopy(net.float().state_dict())
    assert_refused(sentence, lambda: fit(net, rules, **given))
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("kind", "rates", "words"),
    [
        (torch.optim.SGD, (0.2, 0.001), "0.001 and 0.2"),
        (torch.optim.Adam, (0.001, 0.001), "0.001"),
    ],
)
def test_fit_refuses_a_new_optimiser_whose_rates_it_would_replace(kind, rates, words):
    net = mlp()
    groups = zip(net.parameters(), itertools.cycle(rates))
    optimiser = kind([{"params": [weight], "lr": rate} for weight, rate in groups])
    sentence = f"the optimiser has the learning rate {words}, and the settings have 0.1"
    assert_refused(sentence, lambda: fit(net, optimiser=optimiser))


def test_fit_takes_a_rate_that_is_a_tensor():
    net = mlp()
    optimiser = torch.optim.Adam(net.parameters(), lr=torch.tensor(0.001))
    split, how = data.load("digits", limit=50), Settings(epochs=1, learning_rate=0.001)
    assert len(train.fit(net, split, how, seed=0, optimiser=optimiser).metrics) == 1


# of each: how it is made, and whether it remembers something of each link after a step
STEPS = {
    "momentum": (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), True),
    "adam": (torch.optim.Adam, True),
    "plain": (lambda p: torch.optim.SGD(p, lr=0.1), False),
}


@pytest.mark.parametrize("update", [evolve_, remove_])
def test_update_refuses_an_optimiser_of_other_weights(layer, generator, update):
    net = nn.Sequential(nn.Linear(12, 9))
    optimiser = sgd(net)
    sparsify_(net, start="magnitude", density=0.5)
    before = net[0].support.keys.clone()
    options = {"fraction": 0.3, "generator": generator, "optimiser": optimiser}
    with pytest.raises(ValueError, match="does not hold the values .* make it after sparsify_"):
        update(net[0], Evolution(), **options)
    assert net[0].support.keys.equal(before)
    net[0].values.requires_grad_(False)  # what does not learn is in no optimiser
    update(net[0], Evolution(), **options)
    assert not net[0].support.keys.equal(before)


@pytest.mark.parametrize("update", [evolve_, remove_])
@pytest.mark.parametrize(("make", "remembers"), STEPS.values(), ids=STEPS)
def test_update_asks_for_the_optimiser_that_remembers_the_links(
    layer, x, generator, make, remembers, update
):
    optimiser = make(layer.parameters())
    options = {"fraction": 0.3, "generator": generator}
    layer(x).sum().backward()
    optimiser.step()
    before = layer.support.keys.clone()
    if remembers:
        with pytest.raises(ValueError, match="would stay behind: give it as optimiser"):
            update(layer, Evolution(), **options)
        assert layer.support.keys.equal(before)
        update(layer, Evolution(), **options, optimiser=optimiser)
    else:
        update(layer, Evolution(), **options)
    assert not layer.support.keys.equal(before)


def test_update_asks_for_no_optimiser_that_has_made_no_step_or_is_gone(layer, x, generator):
    optimiser = torch.optim.Adam(layer.parameters())
    evolve_(layer, Evolution(), fraction=0.3, generator=generator)
    layer(x).sum().backward()
    optimiser.step()
    del optimiser
    before = layer.support.keys.clone()
    evolve_(layer, Evolution(), fraction=0.3, generator=generator)
    assert not layer.support.keys.equal(before)


def test_update_asks_for_the_optimiser_of_a_compiled_step(x, generator):
    net = small(0)
    optimiser = sgd(net)
    train.compiled_step(net, optimiser)(x.float(), torch.arange(7) % 3)
    with pytest.raises(ValueError, match="would stay behind: give it as optimiser"):
        evolve_(net.linear1, Evolution(), fraction=0.3, generator=generator)


@pytest.mark.parametrize("adam", [False, True])
def test_an_optimiser_of_before_the_layers_were_replaced_does_not_step(x, adam):
    make = torch.optim.Adam if adam else torch.optim.SGD
    net = nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 3))
    for change in (lambda: sparsify_(net, start="new", density=0.5), lambda: densify_(net)):
        optimiser = make(net.parameters(), lr=0.1)
        net(x).sum().backward()
        optimiser.step()
        change()
        optimiser.zero_grad()
        net(x).sum().backward()
        with pytest.raises(ValueError, match="sparsify_ or densify_ has replaced: make it after"):
            optimiser.step()
        before = [parameter.detach().clone() for parameter in net.parameters()]
        make(net.parameters(), lr=0.1).step()
        assert not any(map(torch.equal, before, net.parameters()))


def test_weights_that_do_not_learn_may_be_replaced_under_an_optimiser(x):
    net = nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 3))
    net[0].requires_grad_(False)
    optimiser = sgd(net)
    sparsify_(net, start="new", density=0.5, filter=lambda name, layer: name == "0")
    net(x).sum().backward()
    before = net[2].weight.detach().clone()
    optimiser.step()
    assert not net[2].weight.equal(before)


def test_fit_takes_an_optimiser_of_some_layers():
    net = mlp()
    before = net.linear1.values.detach().clone()
    with pytest.warns(UserWarning, match="by autograd.*: the optimiser has not just the param"):
        fit(net, optimiser=of_second(net))
    assert net.linear1.values.equal(before)


def test_fit_takes_an_optimiser_of_the_last_layer_and_of_the_loss():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)).float()
    scale = nn.Parameter(torch.ones(()))
    optimiser = torch.optim.SGD([*net[3].parameters(), scale], lr=0.1)

    def loss(y, classes):
        return nn.functional.cross_entropy(y * scale, classes)

    fit(net, loss=loss, optimiser=optimiser)
    assert scale != 1


def test_loss_of_ones_own_classes_is_taken():
    class Parity(nn.CrossEntropyLoss):
        def forward(self, y, classes):
            return super().forward(y, classes % 2)

    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).float()
    settings = Settings(epochs=20, learning_rate=0.1)
    history = train.fit(net, data.load("digits", limit=50), settings, seed=0, loss=Parity())
    losses = [row["train_loss"] for row in history.metrics]
    assert losses[-1] < losses[0]


# ---------------------------------------------------------------------------------- links


def small(seed):
    return models.mlp((12, 9, 3), density=0.4, dropout=0, seed=seed).float()


# ---------------------------------------------------------------------------------- forks


@pytest.mark.filterwarnings("ignore:.*fork")
def test_worker_of_a_data_loader_computes_what_its_parent_does():
    net = models.mlp((64, 32, 10), density=0.3).eval()
    x = torch.rand(40, 64)
    desired = net(x).detach()  # the threads of the loops have run
    how = {"batch_size": None, "num_workers": 1, "multiprocessing_context": "fork"}
    loader = DataLoader(x.split(10), collate_fn=lambda part: net(part).detach(), **how)
    torch.testing.assert_close(torch.cat([*loader]), desired)
    assert net(x).equal(desired)


@pytest.mark.parametrize("density", [0.3, None], ids=["sparse", "dense"])
def test_forked_process_goes_on_where_torch_has_run_on_several_threads(density):
    net, x = models.mlp((64, 32, 10), density=density).eval(), torch.rand(1000, 64)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with launch.on_threads(2), torch.no_grad():
        desired = net(x).sum().item()
        torch.rand(500, 500) @ torch.rand(500, 500)
        worker = context.Process(target=lambda: answers.put(net(x).sum().item()))
        worker.start()
        worker.join(60)
    worker.kill()
    assert worker.exitcode == 0
    assert answers.get() == pytest.approx(desired, rel=1e-4)


def test_forked_process_refuses_what_must_run_compiled(monkeypatch, x):
    net = small(0)
    step = train.compiled_step(net, sgd(net))
    monkeypatch.setattr(launch, "_is_forked", True)
    with pytest.raises(train.CannotCompile, match="this process was forked"):
        step(x.float(), torch.arange(7) % 3)
    with pytest.raises(train.CannotCompile, match="this process was forked"):
        train.compiled_step(net, sgd(net))
    with launch.use_implementation("numba"), pytest.raises(RuntimeError, match="by spawn"):
        net(x.float())
