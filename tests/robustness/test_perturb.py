"""Removal, shuffling and rewiring against tables, closed forms and the statistics of the draws."""

import itertools
import math
from fractions import Fraction
from functools import partial

import pytest
import torch
from torch import nn

from lib import models
from lib.layers import SparseLinear
from lib.robustness import perturb
from lib.support import make_support
from tests.oracles import seeded
from tests.topology.test_nulls import uniformity

WIDTHS = (12, 10, 8, 5)


def random_rewire(model, _, **settings):
    """As the others, with a strength, which it has not."""
    return perturb.random_rewire(model, **settings)


PERTURBATIONS = {
    "flip signs": perturb.flip_signs,
    "noise": perturb.add_noise,
    "rewire": perturb.rewire,
    "random rewire": random_rewire,
}
for order in perturb.ORDERS:
    PERTURBATIONS[f"remove {order}"] = partial(perturb.remove_links, order=order)
for within in perturb.WITHIN:
    PERTURBATIONS[f"shuffle {within}"] = partial(perturb.shuffle_weights, within=within)
on_links = [name for name in PERTURBATIONS if "rewire" not in name]
each_density = pytest.mark.parametrize("density", [0.3, None], ids=["sparse", "dense"])
each_within = pytest.mark.parametrize("within", perturb.WITHIN)
each_perturbation = pytest.mark.parametrize("name", PERTURBATIONS)


def net(density=0.3):
    """Three layers whose biases are not zero."""
    model = models.mlp(WIDTHS, density=density, activation="relu").eval()
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    torch.nn.utils.vector_to_parameters(torch.randn(10 + 8 + 5, generator=seeded(1)), biases)
    return model


def twins():
    """A sparse network with every link, and the dense network of the same weights."""
    sparse, dense = net(1.0), net(None)
    weights = dense.state_dict()
    for name, layer in linear(sparse).items():
        weights[f"{name}.weight"] = layer.to_dense()
        weights[f"{name}.bias"] = layer.bias
    dense.load_state_dict(weights)
    return sparse, dense


def linear(model):
    return perturb.perturbed_layers(model, output=True)


def single(weights):
    """A network of one dense layer below its output layer."""
    weights = torch.tensor(weights)
    n_out, n_in = weights.shape
    model = nn.Sequential(nn.Linear(n_in, n_out), nn.Linear(n_out, 1)).eval()
    model[0].weight.data = weights
    return model


def matrix(layer):
    """(n_out, n_in) weights of a layer of either kind."""
    if isinstance(layer, SparseLinear):
        return layer.to_dense().detach()
    return layer.weight.detach()


def weights(model):
    """(n,) weights of the hidden layers, with zeros for absent links."""
    layers = perturb.perturbed_layers(model).values()
    return torch.cat([matrix(layer).flatten() for layer in layers])


def pixels():
    return torch.rand(7, WIDTHS[0], generator=seeded(2))


def floor(fraction, n):
    """⌊fraction · n⌋ for the fraction as it is written."""
    return math.floor(Fraction(str(fraction)) * n)


# what every perturbation keeps


@each_perturbation
def test_perturbation_follows_its_generator_and_leaves_the_model(name):
    model, before, change = net(), net(), PERTURBATIONS[name]
    first, again, other = (change(model, 0.5, generator=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first(pixels()), again(pixels()))
    ranked = name.startswith("remove") and name != "remove random"  # these draw ties only
    assert ranked or not torch.equal(other(pixels()), first(pixels()))
    assert not torch.allclose(first(pixels()), before(pixels()))
    torch.testing.assert_close(model.state_dict(), before.state_dict(), rtol=0, atol=0)


@each_perturbation
def test_strength_zero_is_the_identity(name):
    model = net()
    changed = PERTURBATIONS[name](model, 0, generator=seeded(0))
    assert torch.equal(changed(pixels()), model(pixels())) == (name != "random rewire")


@pytest.mark.parametrize("name", on_links)
def test_dense_layers_are_perturbed_as_sparse_layers_with_every_link(name):
    sparse, dense = twins()
    before = dense(pixels())
    actual = PERTURBATIONS[name](dense, 0.4, generator=seeded(0))
    desired = PERTURBATIONS[name](sparse, 0.4, generator=seeded(0))
    torch.testing.assert_close(actual(pixels()), desired(pixels()))
    assert torch.equal(dense(pixels()), before)


@each_perturbation
def test_layers_that_are_not_chosen_the_output_layer_and_biases_stay(name):
    model, change = net(), PERTURBATIONS[name]
    whole = change(model, 1, generator=seeded(0))
    chosen = change(model, 0.5, generator=seeded(0), layers=["linear2"])
    assert torch.equal(matrix(whole.linear3), matrix(model.linear3))
    for layer, before in linear(model).items():
        assert torch.equal(linear(whole)[layer].bias, before.bias)
    assert torch.equal(matrix(chosen.linear1), matrix(model.linear1))
    assert not torch.equal(matrix(chosen.linear2), matrix(model.linear2))


# layers and orders


@each_density
def test_layers_come_in_the_order_of_the_network_without_the_output(density):
    model = net(density)
    assert list(perturb.perturbed_layers(model)) == ["linear1", "linear2"]
    assert list(perturb.perturbed_layers(model, output=True)) == ["linear1", "linear2", "linear3"]
    chosen = perturb.perturbed_layers(model, ["linear2", "linear1"])
    assert list(chosen.items()) == [("linear1", model.linear1), ("linear2", model.linear2)]
    with pytest.raises(ValueError, match=r"layers = 'linear1' is a text: give a list of names"):
        perturb.perturbed_layers(model, "linear1")


def small():
    """Inputs 0, 1, 2, hidden neurons 0, 1 and 0, 1: seven links, worked by hand, and two that join
    each of the last to an output of its own.

    Degrees are 1, 2, 1 of the inputs, 3, 4 and 3, 2 of the hidden neurons. Paths from input 1 to
    output 0 go through either hidden neuron, all other pairs have one path or none.
    """
    support = make_support(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 2]), 3, 2)
    first = SparseLinear(3, 2, support=support)
    first.replace_values_(torch.tensor([0.5, -0.1, -2.0, 1.0]))
    first.bias.data = torch.tensor([0.3, -4.0])
    support = make_support(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), 2, 2)
    second = SparseLinear(2, 2, support=support)
    second.replace_values_(torch.tensor([0.2, -3.0, 0.7]))
    last = SparseLinear(2, 2, support=make_support(torch.arange(2), torch.arange(2), 2, 2))
    return nn.Sequential(first, nn.ReLU(), second, last).eval()


@pytest.mark.parametrize(
    ("order", "layers", "desired"),
    [
        ("ascending", ["0"], [1, 0, 3, 2]),
        ("descending", ["0"], [2, 3, 0, 1]),
        ("degree", ["0"], [2, 1, 3, 0]),  # 1·3, 2·3, 2·4, 1·4
        ("betweenness", ["0"], [3, 2, 0, 1]),  # 1, 1/2, 1/2 + 1, 2
        ("ascending", None, [1, 4, 0, 6, 3, 2, 5]),
        ("descending", ["2"], [1, 2, 0]),
        ("degree", ["2"], [1, 0, 2]),  # 3·3, 4·3, 4·2
        ("betweenness", ["2"], [2, 1, 0]),  # 1 + 1/2, 1/2 + 1, 2
    ],
)
def test_orders_follow_the_table(order, layers, desired):
    actual = perturb.link_order(small(), order, layers=layers, generator=seeded(0))
    if (order, layers) == ("betweenness", ["2"]):
        actual[1:] = actual[1:].sort(descending=True).values  # the last two tie
    assert actual.tolist() == desired


@pytest.mark.parametrize("order", ["random", "descending", "betweenness"])
def test_ties_are_broken_uniformly(order):
    first = SparseLinear(2, 2, density=1.0, start=0)
    last = SparseLinear(2, 3, density=1.0, start=0)
    first.replace_values_(torch.tensor([1.0, -1.0, 1.0, -1.0]))
    last.replace_values_(torch.ones(6))
    model = nn.Sequential(first, last).eval()
    generator = seeded(0)
    draws = []
    for _ in range(720):  # 30 of each expected
        ranked = perturb.link_order(model, order, generator=generator)
        draws.append(tuple(ranked.tolist()))
    chances = dict.fromkeys(itertools.permutations(range(4)), 1 / 24)
    assert uniformity(draws, chances) > 0.001


def test_betweenness_that_differs_by_rounding_only_ties():
    model = nn.Sequential(nn.Linear(7, 7), nn.Linear(7, 2), nn.Linear(2, 2)).eval()
    model[0].weight.data = torch.block_diag(torch.ones(6, 6), torch.ones(1, 1))
    model[1].weight.data = torch.block_diag(torch.ones(1, 6), torch.ones(1, 1))
    model[2].weight.data = torch.eye(2)
    generator = seeded(0)
    first = set()
    for _ in range(200):  # six times 1/6, or 1
        ranked = perturb.link_order(model, "betweenness", layers=["1"], generator=generator)
        first.add(int(ranked[0]))
    assert first == {0, 1, 2, 3, 4, 5, 13}


@pytest.mark.parametrize("order", ["degree", "betweenness"])
def test_absent_weights_of_a_dense_layer_come_last(order):
    model = perturb.remove_links(net(None), 0.7, generator=seeded(0))
    ranked = perturb.link_order(model, order, generator=seeded(0))
    n_left = int((weights(model) != 0).sum())
    assert (weights(model)[ranked[:n_left]] != 0).all()


# removal


@pytest.mark.parametrize(
    ("density", "fraction", "order"),
    [
        (0.3, 0.29, "random"),
        (None, 0.5, "ascending"),
        (0.3, 0.95, "descending"),
        (None, 0, "degree"),
        (0.3, 1, "betweenness"),
    ],
)
def test_removal_takes_the_first_links_of_the_order(density, fraction, order):
    model = net(density)
    pool = weights(model)[weights(model) != 0]
    ranked = perturb.link_order(model, order, generator=seeded(0))
    removed = perturb.remove_links(model, fraction, order=order, generator=seeded(0))
    desired = pool.index_fill(0, ranked[: floor(fraction, len(pool))], 0)
    assert torch.equal(weights(removed)[weights(model) != 0], desired)
    assert models.count_links(removed) == (5 * 8 + (desired != 0).sum() if density else 240)


@pytest.mark.parametrize("order", ["random", "degree"])
def test_removals_from_one_seed_are_nested_and_equal_those_of_the_order(order):
    model = net()
    ranked = perturb.link_order(model, order, generator=seeded(3))
    few = weights(perturb.remove_links(model, 0.3, order=order, generator=seeded(3)))
    many = weights(perturb.remove_links(model, 0.6, order=order, generator=seeded(3)))
    in_order = weights(perturb.remove_links(model, 0.6, order=ranked))
    assert torch.equal(few * (many != 0), many)
    assert torch.equal(in_order, many)


@pytest.mark.parametrize(("density", "fraction"), [(0.3, 0.29), (None, 1)])
def test_flipped_signs_are_those_of_the_links_that_are_removed(density, fraction):
    model = net(density)
    removed = perturb.remove_links(model, fraction, generator=seeded(0))
    flipped = perturb.flip_signs(model, fraction, generator=seeded(0))
    desired = torch.where(weights(removed) == 0, -weights(model), weights(model))
    assert torch.equal(weights(flipped), desired)


# weights shuffled on their links


@pytest.mark.parametrize(("density", "fraction"), [(0.3, 1), (None, 0.29)])
@each_within
def test_shuffling_keeps_links_and_weights_of_each_group(density, fraction, within):
    model = net(density)
    shuffled = perturb.shuffle_weights(model, fraction, within=within, generator=seeded(0))
    after, before = matrix(shuffled.linear1), matrix(model.linear1)
    assert torch.equal(after != 0, before != 0)
    assert (after != before).sum() <= floor(fraction, (before != 0).sum().item())
    groups = {
        "all": lambda w: w.flatten().sort().values,
        "sign": lambda w: (w.sign(), w.flatten().sort().values),
        "inputs": lambda w: w.sort(dim=1).values,
        "outputs": lambda w: w.sort(dim=0).values,
        "sign and inputs": lambda w: (w.sign(), w.sort(dim=1).values),
    }
    torch.testing.assert_close(groups[within](after), groups[within](before), rtol=0, atol=0)


def shuffle_often(model, fraction, within):
    """The weights of one layer, shuffled 1200 times."""
    generator = seeded(0)
    draws = []
    for _ in range(1200):
        changed = perturb.shuffle_weights(model, fraction, within=within, generator=generator)
        draws.append(tuple(changed[0].weight.flatten().tolist()))
    return draws


EVERY = dict.fromkeys(itertools.permutations((1, 2, 3)), 1 / 6)
TWO_OF_THREE = {(1, 2, 3): 1 / 2, (1, 3, 2): 1 / 6, (3, 2, 1): 1 / 6, (2, 1, 3): 1 / 6}
OF_EACH_SIGN = [(1, -1, 2, -2), (1, -2, 2, -1), (2, -1, 1, -2), (2, -2, 1, -1)]


@pytest.mark.parametrize(
    ("within", "fraction", "weights", "chances"),
    [
        ("all", 2 / 3, [[1.0, 2.0, 3.0]], TWO_OF_THREE),  # half the time they keep their weights
        ("inputs", 1, [[1.0, 2.0, 3.0]], EVERY),
        ("outputs", 2 / 3, [[1.0], [2.0], [3.0]], TWO_OF_THREE),
        ("sign", 1, [[1.0, -1.0, 2.0, -2.0]], dict.fromkeys(OF_EACH_SIGN, 1 / 4)),
    ],
)
def test_every_permutation_is_equally_likely(within, fraction, weights, chances):
    draws = shuffle_often(single(weights), fraction, within)
    assert uniformity(draws, chances) > 0.001


# signs alone


@each_density
def test_binarised_weights_are_signs_times_the_mean_magnitude(density):
    model = net(density)
    binarised = perturb.binarise(model)
    for name, layer in perturb.perturbed_layers(model).items():
        before = matrix(layer)
        scale = before.abs().sum() / before.count_nonzero()
        actual = matrix(getattr(binarised, name))
        torch.testing.assert_close(actual, scale * before.sign())
        assert not torch.equal(actual, before)
    assert torch.equal(matrix(binarised.linear3), matrix(model.linear3))
    assert torch.equal(binarised.linear1.bias, model.linear1.bias)
    chosen = perturb.binarise(model, layers=["linear2"])
    assert torch.equal(matrix(chosen.linear1), matrix(model.linear1))


def test_binarised_zeros_and_layers_without_links_stay():
    binarised = perturb.binarise(single([[0.0, 3.0, -1.0, 0.0]]))
    assert binarised[0].weight.tolist() == [[0, 1, -1, 0]]
    empty = perturb.remove_links(net(), 1, generator=seeded(0))
    assert torch.equal(perturb.binarise(empty)(pixels()), empty(pixels()))


# noise


@pytest.mark.parametrize(("noise_std", "density"), [(0.1, 0.5), (2.0, None)])
def test_noise_on_weights_has_the_standard_deviation_asked_for(noise_std, density):
    model = models.mlp((100, 200, 3), density=density).eval()
    noisy = perturb.add_noise(model, noise_std, generator=seeded(0))
    before, after = weights(model), weights(noisy)
    links = before != 0
    assert torch.equal(links, after != 0)
    noise = (after - before)[links] / before[links].std(correction=0)
    n = len(noise)
    assert abs(noise.mean()) < 5 * noise_std / math.sqrt(n)  # 5 standard errors
    assert abs(noise.var() - noise_std**2) < 5 * noise_std**2 * math.sqrt(2 / n)


def test_layer_without_links_takes_noise_and_wiring():
    empty = perturb.remove_links(net(), 1, generator=seeded(0))
    noisy = perturb.add_noise(empty, 1.0, generator=seeded(0))
    switched = perturb.rewire(noisy, generator=seeded(0))
    rewired = perturb.random_rewire(switched, generator=seeded(0))
    assert torch.equal(rewired(pixels()), empty(pixels()))


# wiring


def test_rewired_weights_stay_with_their_output_neuron():
    model = net()
    rewired = perturb.rewire(model, generator=seeded(0))
    after, before = matrix(rewired.linear1), matrix(model.linear1)
    assert torch.equal(after.sort(dim=1).values, before.sort(dim=1).values)
    assert torch.equal((after != 0).sum(0), (before != 0).sum(0))
    assert not torch.equal(after != 0, before != 0)


def test_random_rewiring_keeps_links_and_weights_of_each_layer():
    model = net()
    rewired = perturb.random_rewire(model, generator=seeded(0))
    after, before = rewired.linear1, model.linear1
    assert after.nnz == before.nnz and rewired.linear2.nnz == model.linear2.nnz
    assert torch.equal(after.values.sort().values, before.values.sort().values)
    assert not torch.equal(after.values, before.values)
    assert not torch.equal(after.support.keys, before.support.keys)  # though of the net's own seed


def test_random_rewiring_draws_every_support_and_order_equally_often():
    layer = SparseLinear(2, 2, density=0.5)
    layer.replace_values_(torch.tensor([1.0, 2.0]))
    model = nn.Sequential(layer, nn.Linear(2, 1)).eval()
    generator = seeded(0)
    draws = []
    for _ in range(600):
        rewired = perturb.random_rewire(model, generator=generator)
        draws.append(tuple(matrix(rewired[0]).flatten().tolist()))
    chances = dict.fromkeys(itertools.permutations((0, 0, 1, 2)), 1 / 12)
    assert uniformity(draws, chances) > 0.001


# refusals


def test_weights_that_are_computed_or_shared_are_refused():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)).eval()
    model[1].weight = model[0].weight
    with pytest.raises(ValueError, match="layers '0' and '1' share their weights: name one"):
        perturb.flip_signs(model, 1.0, generator=seeded(0))
    assert len(perturb.perturbed_layers(model, (name for name in ["1"]))) == 1
    nn.utils.parametrizations.spectral_norm(model[1])
    model.eval()
    with pytest.raises(ValueError, match="weights of layer '1' are computed from other param"):
        perturb.remove_links(model, 1.0, layers=["1"], generator=seeded(0))


def test_weights_column_after_column_are_perturbed_row_after_row():
    model, turned = nn.Linear(3, 4), nn.Linear(3, 4)
    turned.weight = nn.Parameter(model.weight.data.t().contiguous().t())
    with_output = nn.Linear(4, 2)
    networks = [nn.Sequential(layer, with_output).eval() for layer in (model, turned)]
    orders = [perturb.link_order(net, "ascending", generator=seeded(0)) for net in networks]
    assert torch.equal(*orders)
    for change in (perturb.remove_links, perturb.flip_signs, perturb.add_noise):
        changed = [change(net, 0.5, generator=seeded(0))[0].weight for net in networks]
        assert torch.equal(*changed) and not torch.equal(changed[0], model.weight)
    assert not turned.weight.is_contiguous()


def in_training():
    model = net()
    model.dropout1.train()
    return model


REFUSED = [  # the perturbation, its strength, changes of how it is called, the sentence
    ("remove_links", 1.1, {}, "fraction = 1.1 is out of range"),
    ("shuffle_weights", -0.1, {}, "fraction = -0.1 is out of range"),
    ("flip_signs", math.nan, {}, "fraction = nan is out of range"),
    ("add_noise", math.inf, {}, "noise_std = inf is out of range"),
    ("rewire", -1, {}, "switches_per_link = -1 is out of range"),
    ("remove_links", 0.5, {"order": "largest"}, "unknown order 'largest'.* random, asc"),
    ("remove_links", 0.5, {"order": torch.arange(9)}, "of 9 links: give link_order's"),
    ("remove_links", 0.5, {"order": torch.zeros(60).long()}, "of 60 links: give link_or"),
    ("shuffle_weights", 0.5, {"within": "rows"}, "unknown within 'rows': known"),
    ("remove_links", 0.5, {"generator": None}, "None: give one to draw the order"),
    ("add_noise", 0.5, {"layers": ["linear9"]}, "'linear9': did .* Known: linear1, linear2$"),
    ("flip_signs", 0.5, {"layers": ["linear1", "linear3"]}, "unknown layer 'linear3': did you"),
    ("shuffle_weights", 0.5, {"layers": []}, "no linear layer to perturb"),
    ("remove_links", 0.5, {"model": nn.Linear(1, 1).eval()}, "with one below the output layer"),
    ("rewire", 1, {"model": net(None)}, "layer 'linear1' is dense, its links cannot move"),
    ("add_noise", 0.5, {"model": in_training()}, r"in training mode: call model.eval\(\) first"),
]


@pytest.mark.parametrize(("name", "strength", "how", "sentence"), REFUSED)
def test_what_cannot_be_perturbed_is_refused(name, strength, how, sentence):
    call = {"model": net(), "generator": seeded(0), **how}
    with pytest.raises(ValueError, match=sentence):
        getattr(perturb, name)(call.pop("model"), strength, **call)


# what is left, scaled up


@pytest.mark.parametrize("density", [None, 0.5])
def test_rescaled_removal_keeps_the_expected_input_of_every_neuron(density):
    model = models.mlp((6, 4, 3), density=density, seed=1).eval()
    x = torch.rand(6)
    draws = []
    for seed in range(200):
        left = perturb.remove_links(model, 0.5, rescale=True, generator=seeded(seed))
        draws.append(left.linear1(x[None])[0].detach())
    draws = torch.stack(draws)
    error = draws.std(0) / 200**0.5
    assert ((draws.mean(0) - model.linear1(x[None])[0]).abs() <= 5 * error + 1e-9).all()


def test_rescaled_removal_of_nothing_is_the_network_and_of_everything_leaves_nothing():
    model = net()
    same, bare = (perturb.remove_links(model, f, rescale=True, generator=seeded(0)) for f in (0, 1))
    assert torch.equal(same(pixels()), model(pixels()))
    assert bare.linear1.nnz == 0
