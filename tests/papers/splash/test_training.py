"""Training with a unit as a run: what is recorded, resumed to the same bits, read back, refused."""

import dataclasses

import numpy as np
import pytest
import torch

from lib import data, train
from lib.robustness.defences import Adversarial
from lib.runs import replay
from papers.shared import trained
from papers.splash import training
from tests.papers.splash.made import SMALL

MLP = dataclasses.replace(SMALL, network="sparse_mlp", enlarge=1, hidden=(40, 30), quantiles=True)


@pytest.fixture(autouse=True)
def float32():
    """Networks are trained in it."""
    torch.set_default_dtype(torch.float32)


def test_record_holds_shapes_after_every_epoch_from_the_start_on(store):
    record = store.run(SMALL)
    names = [name for name in record.arrays if name.startswith("units.")]
    assert len(names) == 4
    for name in names:
        shapes = record.arrays[name]
        assert shapes.shape == (4, 2, 4)
        assert shapes[0].tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]
        assert not np.array_equal(shapes[-1], shapes[0])
    assert list(record.metrics["epoch"]) == [1, 2, 3] and "units" not in record.metrics
    assert record.summary()["architecture"] == "lenet5" and record.environment["classes"] == 10


def test_network_of_a_record_is_the_one_that_was_trained(store):
    record = store.run(SMALL)
    split = SMALL.split()
    actual = train.accuracy(trained.network(record), split.x_test, split.y_test)
    assert actual == record.environment["final"]["test_accuracy"]
    learned = training.learned_units(record)["activation1"]
    desired = trained.network(record).activation1
    x = torch.linspace(-3, 3, 50)
    torch.testing.assert_close(learned(x), desired(x))


def test_hinges_of_the_sparse_network_lie_at_quantiles_of_its_inputs(store):
    record = store.run(dataclasses.replace(MLP, epochs=1))
    split = MLP.split()
    net = MLP.model((8, 8, 10), split.standardisation()).eval()
    seen = net.linear1(net.standardise(split.x_train)).abs().flatten()
    hinges = torch.from_numpy(record.arrays["hinges.activation1"])
    parts = torch.bucketize(seen, hinges, right=True).bincount()[1:]
    assert hinges[0] == 0 and (parts / len(seen) - 0.25).abs().max() < 0.01


def test_relu_and_splash_of_a_seed_start_alike(store):
    nets = [
        dataclasses.replace(SMALL, method=method).model((8, 8, 10)) for method in ("relu", "splash")
    ]
    x = torch.rand(5, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(nets[0](x), nets[1](x))


def test_training_on_attacked_examples_has_its_objective():
    run = dataclasses.replace(SMALL, adversarial_radius=0.1)
    assert run.objectives() == {"objective": Adversarial(0.1, steps=2)}
    assert SMALL.objectives() == {}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"network": "lenet"}, "unknown network 'lenet': did you mean 'lenet5'"),
        ({"method": "splsh"}, "unknown activation 'splsh': did you mean 'splash'"),
        ({"n_hinges": 4}, "S = 4 hinges cannot be symmetric"),
        ({"positions": (0, 2, 1, 3)}, "do not ascend from 0"),
        ({"epochs": 0}, "epochs = 0 is out of range"),
        ({"adversarial_radius": -1.0}, "radius = -1.0 is out of range"),
        (
            {"network": "sparse_mlp", "enlarge": 3},
            "enlarge = 3 is not used by network",
        ),
        ({"hidden": (40, 30)}, r"hidden = \(40, 30\) is not used by network 'lenet5'"),
        ({"er_epsilon": 5.0}, "er_epsilon = 5.0 is not used by network 'lenet5'"),
        ({"method": "relu", "n_hinges": 5}, "n_hinges = 5 is not used by unit 'relu'"),
        (
            {"positions": (0.0, 1.0, 2.0, 3.0), "quantiles": True},
            "is not used by hinges at quantiles",
        ),
        ({"adversarial_steps": 5}, "adversarial_steps = 5 is not used by training without an adv"),
    ],
)
def test_what_is_out_of_range_is_refused_before_anything_is_run(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(SMALL, **change).check()


def test_record_of_learned_units_is_replayed_epoch_by_epoch(store):
    record = store.run(SMALL)
    (row,) = replay.replay(store, [record], 2)
    assert row["outcome"] == "same bits"
    changed = {name: array.copy() for name, array in record.arrays.items()}
    changed["units.activation1"][2, 0, 1] += 1
    altered = dataclasses.replace(record, arrays=changed)
    (row,) = replay.replay(store, [altered], 2)
    assert (row["outcome"], row["note"]) == ("differs", "units.activation1 is another array")


def test_test_images_are_a_stratified_part():
    split = dataclasses.replace(SMALL, test_images=100).split()
    whole = data.load("digits")
    counts = split.y_test.bincount()
    desired = whole.y_test.bincount() * 100 / len(whole.y_test)
    assert len(split.x_test) == 100 and (counts - desired).abs().max() <= 1
