"""Layers and networks of one hidden layer: their formulas, starts and training; as runs, what is
recorded, read back and refused.
"""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lib import data, train
from lib.layers import SparseLinear
from papers.local_learning import experiments, krotov_hopfield, networks, training
from papers.local_learning.regularizers import Spectral
from papers.local_learning.training import HiddenNetwork, Published

SETTINGS = Published(epochs=3, batch_size=100)


@pytest.fixture
def x(generator):
    return torch.rand(7, 1, 2, 3, generator=generator)


@pytest.fixture
def split():
    return networks.mapped(data.load("digits", limit=300), networks.unit_norm)


# --------------------------------------------------------------------------------- the inputs


def test_images_have_norm_one_and_their_direction(x):
    actual = networks.unit_norm(x)
    assert actual.abs().pow(3).sum(1) == pytest.approx(1)
    cosine = F.cosine_similarity(actual, x.flatten(1))
    torch.testing.assert_close(cosine, torch.ones(7))


def test_image_of_zeros_is_refused(x):
    x[4] = 0
    with pytest.raises(ValueError, match="image 4 has norm 0: .* leave it out"):
        networks.unit_norm(x)


def test_every_part_of_a_split_is_scaled(split):
    for part in (split.x_train, split.x_test):
        assert part.ndim == 2
        assert part.double().pow(3).sum(1) == pytest.approx(1, abs=1e-5)


def test_network_on_pixels_divides_first(x, generator):
    network = networks.perceptron(6, 5, 3, generator=generator)
    desired = network(networks.unit_norm(x))
    torch.testing.assert_close(networks.on_pixels(network)(x), desired)
    torch.testing.assert_close(networks.on_pixels(network)(10 * x), desired)


# ------------------------------------------------------------------------------- the networks


def test_network_of_local_units_is_powers_of_overlaps_and_a_readout(x, generator):
    weight = torch.randn(5, 6, generator=generator)
    network = networks.krotov_hopfield_network(weight, 3, generator=generator)
    overlap = krotov_hopfield.overlaps(x.flatten(1), weight)
    torch.testing.assert_close(network.hidden(x), overlap)
    positive = torch.where(overlap > 0, overlap, 0)
    desired = positive**4.5 @ network.readout.weight.t() + network.readout.bias
    torch.testing.assert_close(network(x), desired)


def test_only_the_readout_of_local_units_learns(generator):
    network = networks.krotov_hopfield_network(torch.randn(5, 6), 3, generator=generator)
    assert [name for name, _ in network.named_parameters()] == ["readout.weight", "readout.bias"]
    assert "linear.weight" in network.state_dict()


def test_network_of_sparse_local_units_is_the_dense_one_of_its_weights(x, generator):
    layer = SparseLinear(6, 5, density=0.5, bias=False, start=1.0, generator=generator)
    sparse = networks.krotov_hopfield_network(layer, 3, generator=generator)
    weight = layer.to_dense().detach()
    dense = networks.krotov_hopfield_network(weight, 3, generator=generator)
    torch.testing.assert_close(sparse.hidden(x), dense.hidden(x))
    trained = [name for name, p in sparse.named_parameters() if p.requires_grad]
    assert trained == ["readout.weight", "readout.bias"]
    assert sparse.linear.nnz == layer.nnz


def test_perceptron_is_its_formula(x, generator):
    network = networks.perceptron(6, 5, 3, generator=generator)
    hidden = x.flatten(1) @ network.linear.weight.t()
    torch.testing.assert_close(network.hidden(x), hidden)
    desired = hidden.clamp(min=0) @ network.readout.weight.t() + network.readout.bias
    torch.testing.assert_close(network(x), desired)


def test_perceptron_starts_as_published(generator):
    network = networks.perceptron(3072, 200, 10, generator=generator)
    assert network.linear.weight.std().item() == pytest.approx(math.sqrt(2 / 3072), rel=0.01)
    assert network.linear.bias is None
    assert network.readout.weight.abs().max().item() == pytest.approx(1 / math.sqrt(200), rel=0.01)


def test_normalisation_follows_the_activation(x, generator):
    network = networks.perceptron(6, 5, 3, batch_norm=True, generator=generator)
    activations = network.activations(x)
    centred = activations - activations.mean(0)
    normalised = centred / (centred.square().mean(0) + 1e-5).sqrt()
    torch.testing.assert_close(network(x), network.readout(normalised))


def test_power_below_one_is_refused():
    with pytest.raises(ValueError, match="n = 0.5 is out of range"):
        networks.Power(0.5)


# ------------------------------------------------------------------------------- the training


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [(1, 1e-3), (30, 1e-3), (31, 5e-4), (90, 5e-4), (120, 2e-4), (160, 1e-4), (161, 1e-5)],
)
def test_rates_fall_as_published(epoch, rate):
    assert Published(epochs=1000).learning_rate_at_epoch(epoch) == rate
    assert Published(epochs=200).learning_rate_at_epoch(epoch) == rate


def test_rates_of_the_spectral_network_decay_from_epoch_90():
    settings = Published(epochs=1000, law="spectral")
    actual = [settings.learning_rate_at_epoch(epoch) for epoch in (1, 90, 120, 150)]
    assert actual == pytest.approx([1e-3, 1e-3, 1e-3 / math.e, 1e-3 / math.e**2])


def trained(split, penalty=None):
    generator = torch.Generator().manual_seed(0)
    network = networks.perceptron(64, 20, 10, batch_norm=True, generator=generator)
    training.fit_network(network, split, SETTINGS, seed=1, penalty=penalty)
    return network


def test_first_step_is_that_of_adam(split):
    """Every parameter moves by the rate against the sign of its gradient."""
    settings = dataclasses.replace(SETTINGS, epochs=1, batch_size=len(split.x_train))
    network = networks.perceptron(64, 20, 10, generator=torch.Generator().manual_seed(0))
    before = network.linear.weight.detach().clone()
    loss = F.cross_entropy(network(split.x_train.double()), split.y_train)
    (grad,) = torch.autograd.grad(loss, network.linear.weight)
    training.fit_network(network, split, settings, seed=1)
    moved = network.linear.weight.detach() - before
    clear = grad.abs() > 1e-5
    torch.testing.assert_close(moved[clear], -1e-3 * grad[clear].sign(), rtol=2e-3, atol=0)


def test_spectral_penalty_brings_the_spectrum_nearer_its_law(split):
    def distance(network):
        penalty = Spectral(first=2)
        penalty.begin(split.x_train.double())
        x = split.x_train.double()
        return penalty(network, x).item()

    assert distance(trained(split, Spectral(first=2))) < 0.9 * distance(trained(split))


def test_readout_on_stored_activations_learns_what_it_learns_in_the_network(split):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(20, 64, generator=generator)
    both = []
    for _ in range(2):
        start = torch.Generator().manual_seed(5)
        both.append(networks.krotov_hopfield_network(weight, 10, generator=start))
    alone, whole = both
    history = training.fit_readout(alone, split, SETTINGS, seed=1)
    desired = training.fit_network(whole, split, SETTINGS, seed=1)
    torch.testing.assert_close(alone.readout.weight, whole.readout.weight)
    accuracies = [row["test_accuracy"] for row in history.metrics]
    assert accuracies == [row["test_accuracy"] for row in desired.metrics]
    x, y = split.x_test.double(), split.y_test
    assert train.accuracy(alone, x, y) == history.final["test_accuracy"]
    assert np.isfinite(history.final["test_accuracy"])


# ---------------------------------------------------------------------- what records hold


(LAYER, _) = experiments.layers("kh", "smoke")
SPARSE = experiments.layers("kh_sparse", "smoke")[0]
NETWORKS = experiments.networks("bio_networks", "smoke")


@pytest.fixture
def float32():
    """Layers and networks are learned in it."""
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def of_method():
    return {run.method: run for run in NETWORKS}


@pytest.mark.usefixtures("float32")
def test_a_layer_is_looked_at_from_its_start_to_its_last_epoch(store):
    record = store.run(LAYER)
    assert list(record.metrics["epoch"]) == [0, 1, 2]
    assert record.metrics["exponent"].notna().all()
    assert record.metrics["changed"].iloc[0] == 0
    fields = record.arrays[f"{training.FIELDS}2"]
    learned = training.layer_of(record)
    np.testing.assert_allclose(fields, learned[: len(fields)].numpy(), rtol=1e-3, atol=1e-6)


@pytest.mark.usefixtures("float32")
def test_the_start_is_that_of_the_rule():
    start = LAYER.untrained(64)
    desired = torch.randn(30, 64, generator=torch.Generator().manual_seed(LAYER.seed))
    assert torch.equal(start, desired)


@pytest.mark.usefixtures("float32")
def test_a_sparse_layer_is_read_back_with_its_links(store):
    record = store.run(SPARSE)
    layer = training.layer_of(record)
    assert layer.density == pytest.approx(SPARSE.density, abs=1e-3)
    np.testing.assert_array_equal(layer.values.detach(), record.arrays["layer.values"])


@pytest.mark.usefixtures("float32")
def test_a_read_out_keeps_the_layer_of_its_parent(store, of_method):
    run = dataclasses.replace(of_method["kh"], power=1.0)
    record = store.run(run)
    weight = training.layer_of(store.run(run.parent))
    network = training.network_of(record)
    x = torch.rand(5, 64)
    torch.testing.assert_close(network.hidden(x), x @ (weight * weight.abs()).T)


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("which", ["last", "best"])
def test_a_network_is_read_back_as_it_was_evaluated(store, of_method, which):
    run = of_method["l2"]
    record = store.run(run)
    split = run.split()
    actual = train.accuracy(training.network_of(record, which), split.x_test, split.y_test)
    name = {"last": "test_accuracy", "best": "best_test_accuracy"}[which]
    assert actual == record.environment["final"][name]


def test_a_record_without_weights_is_refused(store, of_method):
    record = dataclasses.replace(store.run(of_method["bp"]), arrays={})
    with pytest.raises(ValueError, match="does not hold the network"):
        training.network_of(record)


READ_OUT = HiddenNetwork("bio_networks", method="kh", parent=LAYER)
PLAIN = HiddenNetwork("bio_networks", method="bp")


@pytest.mark.parametrize(
    ("run", "fields", "sentence"),
    [
        (LAYER, {"density": 2.0}, "density = 2.0 is out of range"),
        (LAYER, {"limit": -5}, "limit = -5 is out of range"),
        (LAYER, {"evolving": True}, "evolving = True without a density: give one"),
        (READ_OUT, {"parent": None}, "give a layer to 'kh' alone"),
        (READ_OUT, {"batch_norm": True}, "batch_norm = True is not used by"),
        (PLAIN, {"power": 4.5}, "power = 4.5 is not used by method 'bp'"),
        (PLAIN, {"pruned": "corrected"}, "pruned = 'corrected' is not used by"),
        (PLAIN, {"coupling": 0.1}, "coupling = 0.1 is not used by penalty 'none'"),
        (PLAIN, {"method": "l2"}, "'l2' without a penalty: give it one"),
        (PLAIN, {"law": "step"}, "law 'step'"),
    ],
)
def test_what_would_fail_or_mislead_is_refused_before_the_run(run, fields, sentence):
    run.check()
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(run, **fields).check()
