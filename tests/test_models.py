"""Networks: their modules, links, seeds and refusals."""

import copy

import pytest
import torch
from torch import nn

from lib import layers
from lib.activations import AllReLU, SReLU
from lib.models import count_links, mlp, sparse_layers

WIDTHS = (6, 9, 8, 3)


def same(a, b):
    """Whether two networks have the same state, to the bit."""
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(
        a[n].shape == b[n].shape and torch.equal(a[n], b[n]) for n in a
    )


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


@pytest.mark.parametrize("law", [{}, {"density": 0.3}, {"er_epsilon": 1.0}], ids=str)
@pytest.mark.parametrize("shape", [(5, 6), (1, 6), (5, 2, 3)])
def test_network_gives_a_row_of_logits_for_each_example(law, shape, generator):
    standardisation = torch.zeros(6), torch.ones(6)  # flattens
    net = mlp(WIDTHS, **law, standardisation=standardisation)
    assert net(torch.randn(shape, generator=generator)).shape == (shape[0], 3)


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


def test_output_layer_of_a_sparse_network_is_full():
    output = mlp(WIDTHS, er_epsilon=1.0).linear3
    assert isinstance(output, layers.SparseLinear) and output.density == 1
    assert isinstance(mlp(WIDTHS).linear3, layers.Linear)


@pytest.mark.parametrize("options", [{}, {"density": 0.4, "published_srelu": True}], ids=str)
def test_same_seed_gives_the_same_network_and_another_does_not(options):
    assert same(mlp(WIDTHS, **options, seed=3), mlp(WIDTHS, **options, seed=3))
    assert not same(mlp(WIDTHS, **options, seed=3), mlp(WIDTHS, **options, seed=4))


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


@pytest.mark.parametrize("training", [True, False])
def test_one_and_two_threads_give_the_same_bits(training, generator):
    net = mlp((50, 60, 70, 10), density=0.2).train(training)
    twin, x = copy.deepcopy(net), torch.randn(129, 50, generator=generator)
    one = net(x)
    torch.set_num_threads(2)
    two = twin(x)
    torch.set_num_threads(1)
    assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"widths": (6,)}, r"widths = \(6,\) is out of range: give at least two widths"),
        ({"widths": (6, 0, 3)}, r"widths = \(6, 0, 3\) is out of range"),
        ({"widths": (6, 9, -1)}, r"widths = \(6, 9, -1\) is out of range"),
        ({"density": 0.0}, "density = 0.0 is out of range"),
        ({"density": 1.5}, "density = 1.5 is out of range"),
        ({"er_epsilon": -1.0}, "er_epsilon = -1.0 is out of range"),
        ({"density": 0.5, "er_epsilon": 1.0}, "density = 0.5, er_epsilon = 1.0: give one of"),
        ({"dropout": 1.0}, "p = 1.0 is out of range"),
        ({"activation": "gelu"}, "activation 'gelu' is unknown"),
        ({"density": 0.5, "draw": "poisson"}, "draw 'poisson' is unknown"),
        ({"density": 0.5, "start": "xavier"}, "start 'xavier' is unknown"),
    ],
)
def test_network_out_of_range_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        mlp(**({"widths": WIDTHS} | options))
