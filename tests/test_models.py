"""Networks: their modules, links, seeds and refusals; the fused against the modular path."""

import contextlib
import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils import prune

from lib import kernels, layers
from lib.activations import AllReLU, SReLU
from lib.kernels import use_implementation
from lib.layers import Dropout, SparseLinear
from lib.models import MLP, count_links, evaluating, mlp, runs_on_any_threads, sparse_layers
from lib.support import random_support

WIDTHS = (6, 9, 8, 3)
each_activation = pytest.mark.parametrize("activation", ["relu", "srelu", "all_relu", "splash"])

# torch warns of its own doings in the first transform of forward mode, and in dynamo
TORCH_WARNS = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated", "ignore:The .grad attribute of a Tensor"
)


def same(a, b):
    """Whether two networks have the same state, to the bit."""
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_modules_are_named_by_kind_and_layer():
    standardisation = torch.tensor(0.5), torch.tensor(2.0)
    net = mlp(WIDTHS, density=0.5, standardisation=standardisation)
    names = ["standardise", "linear1", "activation1", "dropout1", "linear2", "activation2"]
    assert list(dict(net.named_children())) == [*names, "dropout2", "linear3"]
    assert list(dict(mlp(WIDTHS).named_children()))[0] == "linear1"


def test_network_is_the_composition_of_its_modules(generator):
    x, mean, std = torch.randn(5, 6, generator=generator), torch.tensor(0.5), torch.tensor(2.0)
    net = mlp(WIDTHS, density=0.5, activation="relu", standardisation=(mean, std)).eval()
    hidden = ((x - mean) / std @ net.linear1.to_dense().t()).relu()
    hidden = (hidden @ net.linear2.to_dense().t()).relu()  # biases start at 0
    torch.testing.assert_close(net(x), hidden @ net.linear3.to_dense().t())


@pytest.mark.parametrize(
    ("law", "shape"),
    [({}, (5, 3, 4)), ({"density": 0.3}, (5, 3, 2, 2)), ({"density": 0.3}, (5, 1, 12))],
    ids=str,
)
def test_images_are_flattened(law, shape, generator):
    x = torch.randn(shape, generator=generator)
    plain = mlp((12, 9, 3), **law).eval()
    assert torch.equal(plain(x), plain(x.view(5, 12)))
    standardised = mlp((12, 9, 3), **law, standardisation=(torch.zeros(12), torch.ones(12))).eval()
    assert torch.equal(standardised(x), plain(x))


@pytest.mark.parametrize(
    ("law", "scale"), [({}, None), ({"density": 0.3}, (torch.zeros(12), torch.ones(12)))], ids=str
)
def test_one_example_gives_its_logits(law, scale, generator):
    x = torch.randn(12, generator=generator)
    net = mlp((12, 9, 3), **law, standardisation=scale).eval()
    torch.testing.assert_close(net(x), net(x[None])[0])


def test_convolution_gets_its_images(generator):
    x = torch.randn(5, 1, 4, 4, generator=generator)
    net = MLP(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), SparseLinear(8, 3, density=0.5))
    torch.testing.assert_close(net(x), modular(net)(x))


def test_network_without_modules_is_the_identity():
    x = torch.ones(5, 3, 4)
    assert MLP()(x) is x


@pytest.mark.parametrize("shape", [(5, 3, 5), (5, 13)], ids=str)
def test_images_of_other_sizes_are_refused(shape):
    with pytest.raises(ValueError, match=f"input has 5 features|{shape[-1]} values meet"):
        mlp((12, 9, 3), density=0.5)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("widths", "law", "links"),
    [  # Mocanu2018, Table 3 and Eq. (1); Sulyok2026 at 1 %, rounded layer by layer
        ((784, 1000, 1000, 1000, 10), {"er_epsilon": 20}, 35_680 + 2 * 40_000 + 10_000),
        ((784, 1000, 1000, 1000, 10), {"density": 0.01}, 7_840 + 2 * 10_000 + 10_000),
        ((784, 1568, 1568, 1568, 10), {"density": 0.01}, 12_293 + 2 * 24_586 + 15_680),
        ((28, 1000, 1000, 1000, 10), {"er_epsilon": 20}, 20_560 + 2 * 40_000 + 10_000),
        ((784, 1000, 1000, 1000, 10), {}, 2_794_000),
        ((28, 1000, 1000, 1000, 10), {}, 2_038_000),
    ],
)
def test_networks_of_the_papers_have_their_number_of_links(widths, law, links):
    assert count_links(mlp(widths, **law)) == links


def test_links_exclude_biases_and_parameters_of_activations():
    net = nn.Sequential(nn.Linear(4, 3), SReLU(3), layers.SparseLinear(3, 2, density=0.5))
    assert count_links(net) == 12 + 3


def test_networks_of_compiled_loops_alone_run_on_any_threads():
    for activation in ("relu", "srelu", "splash"):
        assert runs_on_any_threads(mlp(WIDTHS, density=0.5, activation=activation))
    sparse = SparseLinear(6, 5, density=0.5)
    for net in (mlp(WIDTHS), nn.Sequential(sparse, nn.Linear(5, 3)), nn.Sequential(nn.ReLU())):
        assert not runs_on_any_threads(net)
    assert not runs_on_any_threads(nn.Sequential(sparse, nn.Softmax(1)))
    assert not runs_on_any_threads(sparse.to("meta"))


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"density": 0.5}, ["linear1", "linear2"]),  # not the dense output
        ({"density": 0.5, "sparse_output": True}, ["linear1", "linear2", "linear3"]),
        ({"density": 1.0}, []),  # no room for another link
        ({}, []),
    ],
    ids=str,
)
def test_layers_that_evolve_are_those_with_room(options, names):
    net = mlp(WIDTHS, **options)
    assert list(sparse_layers(net)) == names
    assert all(layer is net.get_submodule(name) for name, layer in sparse_layers(net).items())


@pytest.mark.parametrize("options", [{}, {"density": 0.4, "published_srelu": True}], ids=str)
def test_same_seed_gives_the_same_network_and_another_does_not(options):
    assert same(mlp(WIDTHS, **options, seed=3), mlp(WIDTHS, **options, seed=3))
    assert not same(mlp(WIDTHS, **options, seed=3), mlp(WIDTHS, **options, seed=4))


def test_seed_of_numpy_is_a_seed():
    nets = [mlp((6, 5, 3), density=0.5, seed=seed) for seed in (3, np.int64(3))]
    assert torch.equal(nets[0].linear1.to_dense(), nets[1].linear1.to_dense())
    assert type(nets[1].dropout1.seed) is int


def test_every_dropout_has_its_own_seed():
    nets = [mlp((6, 9, 8, 7, 3), density=0.5, seed=seed) for seed in range(3)]
    seeds = [m.seed for net in nets for m in net.modules() if isinstance(m, layers.Dropout)]
    assert len(seeds) == len(set(seeds)) == 9


def test_options_reach_the_layers():
    net = mlp(WIDTHS, density=0.5, activation="all_relu", dropout=0.1, start=1e-9)
    assert [net.activation1.negative_slope, net.activation2.negative_slope] == [0.6, -0.6]
    assert isinstance(net.activation1, AllReLU) and net.dropout2.p == 0.1
    assert net.linear1.values.abs().max() < 1e-7 and net.linear3.values.abs().max() < 1e-7
    assert (mlp(WIDTHS, published_srelu=True).activation2.a_right == 1).all()
    assert mlp((40, 50, 3), density=0.5, draw="with_replacement").linear1.nnz < 1000


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"density": 0.5, "er_epsilon": 1.0}, "density = 0.5, er_epsilon = 1.0: give one of"),
        ({"sparse_output": True}, "sparse_output = True for a dense network: give density or er"),
        ({"draw": "poisson"}, "unknown draw 'poisson'"),
    ],
)
def test_network_out_of_range_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        mlp(**({"widths": WIDTHS} | options))


# the fused path against the modules one by one


@pytest.fixture
def passes(monkeypatch):
    """What each pass of the kernels consists of, a list of its layers, in the order they run."""
    seen, chain = [], kernels.chain

    def watched(x, layers):
        parts = (
            [n for n, part in layer._asdict().items() if part is not None and part is not False]
            for layer in layers
        )
        seen.append([" ".join(names) for names in parts])
        return chain(x, layers)

    monkeypatch.setattr(kernels, "chain", watched)
    return seen


LINEAR = "support values bias"


def modular(net):
    """A copy of the network that runs its modules one by one."""
    return nn.Sequential(*copy.deepcopy(net))


def examples(n, n_in, n_classes):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, n_in, generator=generator)
    return x, torch.randint(n_classes, (n,), generator=generator)


def train_steps(net, n_steps, x, y):
    """Losses of SGD with momentum and weight decay on one batch."""
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)

    def step():
        optimiser.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimiser.step()
        return loss.item()

    return [step() for _ in range(n_steps)]


def output_and_gradients(net, x):
    x = x.clone().requires_grad_()
    y = net(x)
    return [y, *torch.autograd.grad(y.sin().sum(), (x, *net.parameters()))]


@each_activation
def test_output_and_gradients_are_those_of_the_modules(activation, implementation, generator):
    net = mlp(WIDTHS, density=0.5, activation=activation)
    x = torch.randn(33, 6, generator=generator)
    desired = output_and_gradients(modular(net), x)
    torch.testing.assert_close(output_and_gradients(net, x), desired, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("activation", "training"),
    [("relu", True), ("srelu", True), ("srelu", False), ("all_relu", True), ("splash", False)],
)
def test_whole_network_is_one_pass(activation, training, passes, generator):
    standardisation = torch.zeros(6), torch.ones(6)
    net = mlp(WIDTHS, density=0.5, activation=activation, standardisation=standardisation)
    net.train(training)(torch.randn(5, 2, 3, generator=generator))
    hidden = [LINEAR, "srelu"] if activation in ("srelu", "all_relu") else [LINEAR]
    hidden += ["law"] if training else []
    hidden += {"relu": ["is_relu"], "splash": ["splash hinges"]}.get(activation, [])
    hidden = " ".join(hidden)
    assert passes == [[hidden, hidden, LINEAR]]


def test_foreign_modules_run_by_themselves(passes, generator):
    first, second = (SparseLinear(6, 6, density=0.5, generator=generator) for _ in range(2))
    net = MLP(first, nn.Tanh(), Dropout(0.3, seed=1), second, SReLU(6), SReLU(6))
    x = torch.randn(5, 6, generator=generator)
    desired = output_and_gradients(modular(net), x)
    passes.clear()
    torch.testing.assert_close(output_and_gradients(net, x), desired)
    assert passes == [[LINEAR], ["law"], [f"{LINEAR} srelu"], ["srelu"]]


@pytest.mark.parametrize(
    "order", ["dropout activation", "dropout dropout", "activation dropout activation"]
)
def test_modules_out_of_the_usual_order_keep_their_meaning(order, generator):
    made = {"activation": lambda i: SReLU(6), "dropout": lambda i: Dropout(0.3, seed=i)}
    units = [made[name](i) for i, name in enumerate(order.split())]
    first, last = (SparseLinear(6, 6, density=0.5, generator=generator) for _ in range(2))
    net, x = MLP(*units, first, *units, last, *units), torch.randn(5, 6, generator=generator)
    desired = output_and_gradients(modular(net), x)
    torch.testing.assert_close(output_and_gradients(net, x), desired)


def test_modules_run_one_by_one_on_more_than_two_dimensions(passes, generator):
    net = mlp(WIDTHS, density=0.5, activation="relu", dropout=0.0)
    x = torch.randn(2, 5, 6, generator=generator)
    actual = net(x)
    assert passes == [[LINEAR]] * 3
    torch.testing.assert_close(actual, net(x.view(10, 6)).view(2, 5, 3))


def test_dense_network_runs_its_modules(passes, generator):
    mlp(WIDTHS, activation="relu", dropout=0.0)(torch.randn(5, 6, generator=generator))
    assert passes == []


# hooks, frozen parameters, evaluation


def hooked(net, kind, index, x):
    """What a hook on one module sees, the output and the gradients."""
    seen = []

    def hook(module, *arguments):
        tensors = (t for a in arguments for t in (a if isinstance(a, tuple) else (a,)))
        seen.extend(t.detach().clone() for t in tensors if t is not None)

    handle = getattr(net[index], f"register_{kind}_hook")(hook)
    results = output_and_gradients(net, x)
    handle.remove()
    return [*seen, *results]


@pytest.mark.parametrize(
    ("kind", "index"),
    [
        *(("forward", index) for index in range(7)),
        *[("forward_pre", 1), ("full_backward", 2), ("full_backward", 3), ("full_backward_pre", 4)],
    ],
)
def test_hook_sees_what_it_sees_on_the_modules(kind, index, generator):
    net, x = mlp(WIDTHS, density=0.5), torch.randn(5, 6, generator=generator)
    twin = modular(net)
    actual, desired = hooked(net, kind, index, x), hooked(twin, kind, index, x)
    assert len(actual) > len(output_and_gradients(net, x))
    torch.testing.assert_close(actual, desired, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "desired"),
    [
        ("linear2", [[f"{LINEAR} srelu law"], [LINEAR], ["srelu"], ["law"], [LINEAR]]),
        ("activation1", [[LINEAR], ["srelu"], ["law"], [f"{LINEAR} srelu law", LINEAR]]),
        ("dropout1", [[f"{LINEAR} srelu"], ["law"], [f"{LINEAR} srelu law", LINEAR]]),
    ],
)
def test_only_what_a_hook_watches_leaves_its_pass(name, desired, passes):
    net, x = mlp(WIDTHS, density=0.5), torch.ones(5, 6)
    handle = net.get_submodule(name).register_forward_hook(lambda *_: None)
    net(x)
    assert passes == desired
    handle.remove()
    passes.clear()
    net(x)
    assert passes == [[f"{LINEAR} srelu law", f"{LINEAR} srelu law", LINEAR]]


class Failing(nn.Module):
    def forward(self, x):
        raise RuntimeError("failed")


@pytest.mark.parametrize("last", [nn.Identity(), Failing()])
def test_every_module_is_evaluated_and_has_its_mode_again(last):
    net = nn.Sequential(nn.Dropout(), nn.Dropout(), last)
    net[0].eval()
    with contextlib.suppress(RuntimeError), evaluating(net):
        assert not any(module.training for module in net.modules())
        net[0].train()
        net(torch.ones(1))
    assert [module.training for module in net] == [False, True, True]
    assert net.training
    net.eval()
    net[1].train()
    with evaluating(net):
        assert not net[1].training
    assert net[1].training and not net.training


@pytest.mark.parametrize("make", [lambda net: net, modular])
def test_every_pass_in_training_is_one_step_of_every_dropout(make, generator):
    net, x = make(mlp(WIDTHS, density=0.5)), torch.randn(50, 6, generator=generator)
    first, second = net(x), net(x)
    assert not torch.equal(first, second) and (net[2].step, net[5].step) == (2, 2)


def saved(net, x):
    """Tensors the network keeps for its backward pass, and its output."""
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = net(x)
    return kept, y


def moved_(net):
    """Give the second layer other links."""
    support = random_support(9, 8, density=0.5, generator=torch.Generator().manual_seed(7))
    net.linear2.replace_links_(support, torch.ones(support.nnz))


def halved_(net):
    net.linear1.values.data = net.linear1.values.data / 2  # in other memory


def strided_(net):
    net.linear1.values.data = torch.ones(2 * net.linear1.nnz)[::2]


def hooked_(net, name="activation1"):
    return net.get_submodule(name).register_forward_hook(lambda module, inputs, y: y + 1)


def predicted_otherwise_(net):
    """A hook that is there for one prediction."""
    handle = hooked_(net, "linear1")
    net(torch.zeros(1, net.linear1.in_features))
    handle.remove()


def predicted_by_another_unit_(net):
    unit, net.activation2 = net.activation2, nn.GELU()
    net(torch.zeros(1, net.linear1.in_features))
    net.activation2 = unit


CHANGES = {
    "in place": lambda net: net.linear1.values.data.mul_(2),
    "other memory": halved_,
    "evolved": moved_,
    "pruned": lambda net: prune.random_unstructured(net.linear1, "values", amount=0.5),
    "hook": hooked_,
    "forward": lambda net: setattr(net.linear2, "forward", lambda x: x[:, :8] * 2),
    "forward of a unit": lambda net: setattr(net.activation1, "forward", lambda x: x * 0),
    "dropout": lambda net: net.dropout1.train(),
    "other unit": lambda net: setattr(net, "activation1", nn.ReLU()),
    "shorter": lambda net: net.__delitem__(slice(-3, -1)),
    "float32": lambda net: net.float(),
    "shared memory": lambda net: net.share_memory(),
    "strided": strided_,
    "hook and back": predicted_otherwise_,
    "other unit and back": predicted_by_another_unit_,
}


@torch.no_grad()
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("widths", [WIDTHS, (9, 9, 8, 3)])
def test_network_that_was_changed_predicts_anew(change, widths, generator):
    """A network that has predicted goes the same way again, until something of it is another."""
    standardisation = (torch.tensor(0.5), torch.tensor(2.0)) if widths == WIDTHS else None
    net = mlp(widths, density=0.5, standardisation=standardisation).eval()
    x = torch.randn(1, widths[0], generator=generator)
    before = net(x)
    assert torch.equal(net(x), before)
    change(net)
    x = x.to(next(net.parameters()).dtype)
    for _ in range(2):
        by_modules = nn.Sequential(*copy.deepcopy(net))
        torch.testing.assert_close(net(x), by_modules(x))
        next(net.parameters()).add_(1)


@torch.no_grad()
def test_links_given_for_one_call_are_those_of_the_call(generator):
    net = mlp((200, 200, 4), density=0.5).eval()
    x = torch.randn(1, 200, generator=generator)
    for seed in range(5):
        other = mlp((200, 200, 4), density=0.5, seed=seed)
        links = {f"linear1.{name}": getattr(other.linear1, name) for name in ("crow", "col")}
        desired = copy.deepcopy(net)
        desired.linear1.support = other.linear1.support
        torch.testing.assert_close(functional_call(net, links, (x,)), desired(x))


@torch.no_grad()
def test_memory_of_a_prediction_is_let_go(generator):
    net = mlp(WIDTHS, density=0.5).eval()
    net(torch.randn(1, 6, generator=generator))
    assert net._ready is not None
    net.half()(torch.randn(1, 6, generator=generator).half())
    assert net._ready is None


@torch.no_grad()
def test_prediction_is_that_of_the_batch_that_is_given(generator):
    net = mlp(WIDTHS, density=0.5).eval()
    for n in (1, 1, 3, 1):
        x = torch.randn(n, 6, generator=generator)
        torch.testing.assert_close(net(x), nn.Sequential(*net)(x))
    with pytest.raises(ValueError, match="make them equal"):
        net(torch.randn(1, 7))
    with use_implementation("torch"):
        assert torch.equal(net(x), nn.Sequential(*net)(x))


def test_nothing_is_kept_without_gradients(generator):
    net, x = mlp(WIDTHS, density=0.5), torch.randn(5, 6, generator=generator)
    assert len(saved(net, x)[0]) > 0
    with torch.no_grad():
        kept, y = saved(net, x)
    assert kept == [] and not y.requires_grad and y.grad_fn is None
    assert saved(net.requires_grad_(False), x)[0] == []


@pytest.mark.parametrize("activation", ["srelu", "tanh", "splash"])
def test_batch_of_no_example_gives_no_row(activation):
    net = mlp(WIDTHS, density=0.5, activation=activation).train()
    x = torch.zeros(0, WIDTHS[0]).to(net[0].values.dtype).requires_grad_()
    y = net(x)
    y.sum().backward()
    assert y.shape == (0, WIDTHS[-1]) and x.grad.shape == x.shape
    for module in net:
        x = module(x)
    assert x.shape == y.shape


# copies, transforms, graphs and exports


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copy_of_a_network_trains_as_the_network_and_predicts_by_its_own_weights(duplicate):
    net = mlp(WIDTHS, density=0.5)
    data = examples(33, 6, 3)
    train_steps(net, 2, *data)  # with gradients, and dropout on its way
    twin = duplicate(net)
    assert train_steps(net, 3, *data) == train_steps(twin, 3, *data) and same(net, twin)
    with torch.no_grad():
        x = data[0][:1]
        before = net.eval()(x)
        copied = duplicate(net)
        net.linear1.values.zero_()
        assert torch.equal(copied(x), before) and not torch.equal(net(x), before)


def test_gradient_of_each_example_is_that_of_the_example(generator):
    net = mlp(WIDTHS, density=0.5, dropout=0.0)
    x = torch.randn(5, 6, generator=generator)
    parameters = {name: p.detach() for name, p in net.named_parameters()}

    def loss(parameters, x):
        return torch.func.functional_call(net, parameters, (x,)).sin().sum()

    of_one = torch.func.grad(loss)
    actual = torch.func.vmap(of_one, in_dims=(None, 0))(parameters, x)
    summed = {name: grad.sum(0) for name, grad in actual.items()}
    torch.testing.assert_close(summed, of_one(parameters, x))
    _, _, *desired = output_and_gradients(net, x)
    torch.testing.assert_close(list(summed.values()), desired)


@TORCH_WARNS
@pytest.mark.parametrize("transform", [torch.func.jacrev, torch.func.jacfwd])
def test_jacobian_is_that_of_the_modules(transform, generator):
    net, x = mlp(WIDTHS, density=0.5).eval(), torch.randn(5, 6, generator=generator)
    desired = torch.autograd.functional.jacobian(modular(net), x)
    torch.testing.assert_close(transform(net)(x), desired)


@pytest.mark.gpu
@each_activation
def test_training_on_a_gpu_agrees_with_the_cpu(activation):
    net = mlp((20, 50, 40, 5), density=0.2, activation=activation)
    moved, (x, y) = copy.deepcopy(net).cuda(), examples(64, 20, 5)
    assert {t.device.type for t in moved.state_dict().values() if t.ndim} == {"cuda"}
    assert train_steps(moved, 5, x.cuda(), y.cuda()) == pytest.approx(train_steps(net, 5, x, y))
    actual = [parameter.cpu() for parameter in moved.parameters()]
    torch.testing.assert_close(actual, list(net.parameters()))
