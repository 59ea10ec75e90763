"""Values out of range are refused at once, in one sentence that names them and what to give."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from torch import nn

from lib import _boundary, activations, data, layers, models, support, train
from lib._boundary import NotWritten
from lib.data import augment
from lib.evolution import Evolution, evolve_
from lib.layers import SparseLinear
from lib.robustness import attacks, defences, perturb
from lib.runs.config import Run
from lib.sparsify import Evolver, densify_, sparsify_
from lib.train import Settings, WeightAverage
from papers.set.rbm.model import RBM
from papers.set.sharpness import SharpnessAware

NOT_WHOLE = (1.5, 0, -1, True, "3", None, float("nan"))
NOT_POSITIVE = (0, -0.5, float("nan"), float("inf"), "x", None)
NOT_FRACTION = (-0.1, 1.1, float("nan"), "x", None)
NOT_SEED = (-1, 2**63, 2**70, 0.5, "0", True)


def mlp(**options):
    return models.mlp((6, 5, 3), **{"density": 0.5, **options})


def updated(**options):
    layer = SparseLinear(6, 5, density=0.5)
    return evolve_(layer, Evolution(), **{"fraction": 0.3, "generator": seeded(), **options})


def network(**options):
    return models.convnet("lenet5", (32, 32), **{"n_classes": 10, **options})


NOT_NUMBER = (float("nan"), "x", None, True)
NOT_GENERATOR = (None, 3, "x")
NOT_MODEL = (None, [nn.Linear(6, 5)], {})
FALLING = {"density_schedule": "cubic"}


def seeded():
    return torch.Generator().manual_seed(0)


def evolver(**options):
    net = mlp()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    return Evolver(net, optimiser, **{"every": 1, "steps": 2, "generator": seeded(), **options})


def sparsified(**options):
    return sparsify_(
        nn.Sequential(nn.Linear(6, 5)), start="magnitude", **{"density": 0.5, **options}
    )


def attacked(**options):
    net, x = nn.Sequential(nn.Linear(6, 3)).eval(), torch.zeros(2, 6)
    return attacks.pgd(net, x, net(x).argmax(1), radius=0.1, generator=seeded(), **options)


def rbm(n_visible=6, n_hidden=5, **options):
    return RBM(n_visible, n_hidden, **{"generator": seeded(), **options})


FIELDS = {
    "epochs": (lambda value: Settings(epochs=value), NOT_WHOLE),
    "batch_size": (lambda value: Settings(epochs=1, batch_size=value), NOT_WHOLE),
    "learning_rate": (lambda value: Settings(epochs=1, learning_rate=value), NOT_POSITIVE),
    "momentum": (lambda value: Settings(epochs=1, momentum=value), (*NOT_FRACTION, 1)),
    "weight_decay": (lambda value: Settings(epochs=1, weight_decay=value), (-1, "x", None)),
    "augmentation": (lambda value: Settings(epochs=1, augmentation=value), NOT_FRACTION),
    "averaging": (lambda value: Settings(epochs=1, averaging=value), (*NOT_FRACTION, 1)),
    "schedule": (lambda value: Settings(epochs=1, schedule=value), ("linear", 3, None)),
    "evolution": (lambda value: Settings(epochs=1, evolution=value), (3, "set", {})),
    "nesterov": (lambda value: Settings(epochs=1, nesterov=value), (1, "yes", None)),
    "drop": (lambda value: Evolution(drop=value), ("signs", 3, None)),
    "grow": (lambda value: Evolution(grow=value), ("randomly", 3, None)),
    "decay": (lambda value: Evolution(decay=value), ("linear", 3, None)),
    "last_epoch": (lambda value: Evolution(last_epoch=value), ("stop", 3, None)),
    "drop_fraction": (lambda value: Evolution(drop_fraction=value), (*NOT_FRACTION, 1, True)),
    "new_std": (lambda value: Evolution(new_std=value), (-1, float("inf"), *NOT_NUMBER)),
    "regrow_dropped": (lambda value: Evolution(regrow_dropped=value), (1, "yes", None)),
    "reset_state": (lambda value: Evolution(reset_state=value), (1, "yes", None)),
    "gradient_batches": (lambda value: Evolution(gradient_batches=value), NOT_WHOLE),
    "density_schedule": (lambda value: Evolution(density_schedule=value), ("linear", 3, None)),
    "final_share": (lambda value: Evolution(final_share=value, **FALLING), (0, 1, 2, *NOT_NUMBER)),
    "final_share of constant": (lambda value: Evolution(final_share=value), (0.5, *NOT_NUMBER)),
    "schedule_end": (lambda value: Evolution(schedule_end=value), (0, 1.5, *NOT_NUMBER)),
    "redistribution": (lambda value: Evolution(redistribution=value), ("weight", 3)),
    "every": (lambda value: evolver(every=value), NOT_WHOLE),
    "steps": (lambda value: evolver(steps=value), NOT_WHOLE),
    "until": (lambda value: evolver(until=value), (0, 1.5, float("nan"), "x", True)),
    "evolution of an evolver": (lambda value: evolver(evolution=value), (3, "set", {})),
    "generator": (lambda value: evolver(generator=value), NOT_GENERATOR[1:]),  # None: a default
    "scaler": (lambda value: evolver(scaler=value), (1024.0, "x")),
    "averages": (lambda value: evolver(averages=value), (SparseLinear(6, 5, density=0.5),)),
    "state": (lambda value: evolver().load_state_dict(value), ({}, {"steps_taken": 3})),
    "model of an evolver": (
        lambda value: Evolver(value, torch.optim.SGD(mlp().parameters()), every=1, steps=2),
        NOT_MODEL,
    ),
    "fraction": (lambda value: updated(fraction=value), (*NOT_FRACTION, 1, True)),
    "layer": (
        lambda value: evolve_(value, Evolution(), fraction=0.3, generator=seeded()),
        (None, nn.Linear(6, 5), "linear1"),
    ),
    "generator of an update": (lambda value: updated(generator=value), NOT_GENERATOR),
    "density of sparsify_": (lambda value: sparsified(density=value), (1e-9, 0, 1.5, *NOT_NUMBER)),
    "er_epsilon of sparsify_": (
        lambda value: sparsified(density=None, er_epsilon=value),
        (-1, 0, float("inf"), *NOT_NUMBER),
    ),
    "density of links of er_epsilon": (
        lambda value: sparsified(density=None, er_epsilon=value),
        (1e-12,),
    ),
    "model of sparsify_": (
        lambda value: sparsify_(value, start="magnitude", density=0.5),
        NOT_MODEL,
    ),
    "model of densify_": (densify_, NOT_MODEL),
    "filter": (lambda value: sparsified(filter=value), (["0"], "0")),
    "generator of sparsify_": (lambda value: sparsified(generator=value), NOT_GENERATOR[1:]),
    "generator of a layer": (
        lambda value: SparseLinear(6, 5, density=0.5, generator=value),
        NOT_GENERATOR[1:],
    ),
    "in_features of a dense layer": (lambda value: layers.Linear(value, 5), NOT_WHOLE),
    "out_features of a dense layer": (lambda value: layers.Linear(5, value), NOT_WHOLE),
    "p": (layers.Dropout, (*NOT_FRACTION, 1, True)),
    "n_visible": (lambda value: rbm(n_visible=value), NOT_WHOLE),
    "n_hidden": (lambda value: rbm(n_hidden=value), NOT_WHOLE),
    "n_visible of a sparse machine": (lambda value: rbm(n_visible=value, density=0.5), NOT_WHOLE),
    "n_hidden of a sparse machine": (lambda value: rbm(n_hidden=value, density=0.5), NOT_WHOLE),
    "generator of a machine": (lambda value: rbm(generator=value), NOT_GENERATOR),
    "dtype of a machine": (lambda value: rbm(dtype=value), (torch.int64, torch.complex64)),
    "n_hinges of Splash": (activations.Splash, NOT_WHOLE),
    "n": (activations.SReLU, NOT_WHOLE),
    "n of APL": (activations.APL, NOT_WHOLE),
    "n_hinges": (lambda value: activations.APL(3, value), NOT_WHOLE),
    "k": (activations.Maxout, NOT_WHOLE),
    "n_classes": (lambda value: network(n_classes=value), NOT_WHOLE),
    "enlarge": (lambda value: network(enlarge=value), NOT_WHOLE),
    "seed of a convolutional network": (lambda value: network(seed=value), NOT_SEED),
    "density": (lambda value: SparseLinear(6, 5, density=value), (1e-9, 0, 1.5, "x", True)),
    "density of er_epsilon": (lambda value: SparseLinear(6, 5, er_epsilon=value), (1e-12,)),
    "er_epsilon": (lambda value: SparseLinear(6, 5, er_epsilon=value), (0, -1, "x", True)),
    "density of a network": (lambda value: mlp(density=value), (1e-9, 0, 1.5, "x", True)),
    "in_features": (lambda value: SparseLinear(value, 5, density=0.5), NOT_WHOLE),
    "out_features": (lambda value: SparseLinear(5, value, density=0.5), NOT_WHOLE),
    "dtype": (
        lambda value: SparseLinear(6, 5, density=0.5, dtype=value),
        (torch.int64, torch.complex64, "float32"),
    ),
    "widths": (lambda value: models.mlp(value, density=0.5), ((), (6,), 6, None)),
    "widths[1]": (lambda value: models.mlp((6, value, 3), density=0.5), NOT_WHOLE),
    "widths[1] of a dense network": (lambda value: models.mlp((6, value, 3)), NOT_WHOLE),
    "activation": (lambda value: mlp(activation=value), ("srelus", 3, None)),
    "standardisation": (lambda value: mlp(standardisation=value), (3, "x", (1,))),
    "image": (
        lambda value: models.convnet("lenet5", value, n_classes=3),
        (32, None),
    ),
    "mean": (lambda value: layers.Standardise(value, torch.ones(2)), (0.0, [0.0, 0.0])),
    "std": (lambda value: layers.Standardise(torch.zeros(2), value), (1.0, [1.0, 1.0])),
    "seed": (lambda value: mlp(seed=value), NOT_SEED),
    "seed of dropout": (lambda value: layers.Dropout(0.5, seed=value), (-1, 2**70, 0.5)),
    "validation": (lambda value: data.load("digits", validation=value), (-1, 0.2, "x", None)),
    "limit": (lambda value: data.load("digits", limit=value), (0, 1.5, "x")),
    "side": (lambda value: data.from_folder(".", side=value), (0, -1, 8.5, "8", (8, 8))),
    "split": (lambda value: fit(value), ("digits", (1, 2), None)),
    "settings": (
        lambda value: train.fit(mlp(), data.load("digits", limit=20), value, seed=0),
        (None, {"epochs": 1}, Settings),
    ),
    "optimiser": (
        lambda value: fit(data.load("digits", limit=20), optimiser=value),
        ("adam", torch.optim.SGD),
    ),
    "decay of an average": (
        lambda value: WeightAverage(mlp(), torch.optim.SGD(mlp().parameters()), value),
        (*NOT_FRACTION, 0, 1, "0.5", True),
    ),
    "radius of SharpnessAware": (SharpnessAware, (*NOT_POSITIVE, True)),
    "label_smoothing": (lambda value: SharpnessAware(1.0, value), (*NOT_FRACTION, True)),
    "largest": (defences.DropConnect, (*NOT_FRACTION, True)),
    "fraction of links": (
        lambda value: perturb.remove_links(mlp().eval(), value, generator=seeded()),
        (*NOT_FRACTION, True),
    ),
    "noise_std": (
        lambda value: perturb.add_noise(mlp().eval(), value, generator=seeded()),
        (-1, float("inf"), *NOT_NUMBER),
    ),
    "strength": (
        lambda value: augment.augment(torch.zeros(1, 1, 2, 2), generator=seeded(), strength=value),
        (*NOT_FRACTION, True),
    ),
    "switches_per_link": (
        lambda value: perturb.rewire(mlp().eval(), value, generator=seeded()),
        (-1, float("inf"), *NOT_NUMBER),
    ),
    "n_in": (
        lambda value: support.random_support(value, 5, 0.5, generator=seeded()),
        NOT_WHOLE,
    ),
    "pixels": (
        lambda value: attacked(pixels=value),
        ([True] * 6, torch.ones(6), torch.ones(5, dtype=torch.bool)),
    ),
    "seed of a run": (lambda value: Run("one", seed=value), NOT_SEED),
}
CASES = [(name, make, value) for name, (make, values) in FIELDS.items() for value in values]


@pytest.mark.parametrize(
    ("name", "make", "value"), CASES, ids=[f"{name}-{value!r}" for name, _, value in CASES]
)
def test_value_out_of_range_is_refused_with_what_to_give(name, make, value):
    with pytest.raises(ValueError) as refusal:
        make(value)
    field, sentence = name.split(" of ")[0], str(refusal.value)
    assert field in sentence
    assert re.search("give |known are |Known: ", sentence)
    assert "\n" not in sentence


@pytest.mark.parametrize("value", [1, 7, np.int32(7), np.int64(1)])
def test_whole_numbers_of_any_kind_pass(value):
    _boundary.check_whole("n", value, least=1, most=7)
    assert activations.Maxout(value).k == value


# ------------------------------------------------------------------------------ what goes in

BAD_INPUTS = {
    "list": ([0.0] * 6, "input is a list: give a tensor"),
    "array": (np.zeros((2, 6), np.float32), "input is a ndarray: give a tensor"),
    "number": (1.0, "input is a float: give a tensor"),
    "scalar": (torch.tensor(1.0), r"input is a single number: give \(B, n_in\)"),
    "whole numbers": (torch.zeros(2, 6, dtype=torch.int64), "give both in one dtype"),
    "width": (torch.zeros(2, 7), "7 features"),
    "sparse": (torch.eye(6).to_sparse(), r"layout torch.sparse_coo: .* x.to_dense\(\)"),
}


@pytest.mark.parametrize(("x", "message"), BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_input_that_is_no_batch_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        SparseLinear(6, 5, density=0.5)(x)


TAKES_A_BATCH = {
    "network": lambda: models.MLP(SparseLinear(6, 5, density=0.5), nn.ReLU()),
    "dense": lambda: layers.Linear(6, 5),
    "standardise": lambda: layers.Standardise(torch.zeros(6), torch.ones(6)),
    "dropout": lambda: layers.Dropout(0.5),
    "srelu": lambda: activations.SReLU(6),
    "predict": lambda: lambda x: train.predict(mlp(), x),
}


@pytest.mark.parametrize("kind", ["list", "array", "number", "scalar", "sparse"])
@pytest.mark.parametrize("make", TAKES_A_BATCH.values(), ids=TAKES_A_BATCH)
def test_what_is_no_batch_is_refused_by_all_that_take_one(make, kind):
    x, message = BAD_INPUTS[kind]
    with pytest.raises(ValueError, match=message):
        make()(x)


BAD_STANDARDISATIONS = {
    "lengths": (torch.zeros(5), torch.ones(6), r"shapes \(5,\) and \(6,\)"),
    "matrix": (torch.zeros(2, 3), torch.ones(2, 3), r"shapes \(2, 3\)"),
    "zero": (torch.zeros(2), torch.tensor([1.0, 0]), "std holds 0.0"),
    "infinite": (torch.zeros(2), torch.tensor([1.0, float("inf")]), "std holds inf"),
    "nan": (torch.tensor([0, float("nan")]), torch.ones(2), "mean holds nan"),
}


@pytest.mark.parametrize(
    ("mean", "std", "message"), BAD_STANDARDISATIONS.values(), ids=BAD_STANDARDISATIONS
)
def test_standardisation_out_of_range_is_refused(mean, std, message):
    with pytest.raises(ValueError, match=message):
        layers.Standardise(mean, std)


@pytest.mark.parametrize("n", [5, 7])
def test_standardisation_of_another_length_than_the_input_is_refused(n):
    with pytest.raises(ValueError, match=f"input has 6 features: this standardisation is of {n}"):
        layers.Standardise(torch.zeros(n), torch.ones(n))(torch.zeros(2, 6))
    with pytest.raises(ValueError, match=f"the standardisation is of {n} features, but .* with 6"):
        mlp(standardisation=(torch.zeros(n), torch.ones(n)))


# ----------------------------------------------------------------------------------- fit


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", limit=100, validation=50)


def fit(split, *, n_classes=10, seed=0, **options):
    net = models.mlp((64, 8, n_classes), density=0.5).float()
    return train.fit(net, split, Settings(epochs=1), seed=seed, **options)


@pytest.mark.parametrize("part", ["x_train", "y_train", "x_valid", "y_valid", "y_test"])
def test_parts_of_unequal_lengths_are_refused(digits, part):
    shorter = dataclasses.replace(digits, **{part: getattr(digits, part)[:-1]})
    with pytest.raises(ValueError, match=rf"x_{part[2:]} of digits has \d+ examples and y_"):
        fit(shorter)


def test_training_part_of_no_example_is_refused(digits):
    empty = dataclasses.replace(digits, x_train=digits.x_train[:0], y_train=digits.y_train[:0])
    with pytest.raises(ValueError, match="x_train of digits has no example"):
        fit(empty)


@pytest.mark.parametrize("part", ["train", "valid", "test"])
def test_label_beyond_the_outputs_is_refused(digits, part):
    y = getattr(digits, f"y_{part}").clone()
    y[3] = 10
    with pytest.raises(ValueError, match=f"y_{part} holds class 10, .* 10 outputs, .* 0 to 9"):
        fit(dataclasses.replace(digits, **{f"y_{part}": y}))


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.NLLLoss(ignore_index=3)])
def test_label_beyond_the_outputs_is_refused_by_every_loss_of_classes(digits, loss):
    with pytest.raises(ValueError, match="y_train holds class .* 3 outputs, for classes 0 to 2"):
        fit(digits, n_classes=3, loss=loss)


def test_label_that_a_loss_leaves_out_passes(digits):
    y = digits.y_train.clone()
    y[0] = 10
    split = dataclasses.replace(digits, y_train=y)
    (row,) = fit(split, loss=nn.CrossEntropyLoss(ignore_index=10)).metrics
    assert 0 < row["train_loss"] < 10


@pytest.mark.parametrize("place", ["none/file.pt", "."])
def test_checkpoint_that_cannot_be_written_is_refused_before_the_first_step(
    digits, tmp_path, place
):
    net = models.mlp((64, 8, 10), density=0.5).float()
    before = net.linear1.values.detach().clone()
    with pytest.raises(NotWritten, match="no folder: make it first|is no regular file"):
        train.fit(net, digits, Settings(epochs=1), seed=0, checkpoint=f"{tmp_path}/{place}")
    assert net.linear1.values.equal(before)


def test_checkpoint_is_named_by_a_string_too(digits, tmp_path):
    fit(digits, checkpoint=f"{tmp_path}/file.pt")
    assert (tmp_path / "file.pt").is_file()


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.uint64, torch.bool])
@pytest.mark.parametrize("part", ["train", "test"])
def test_labels_that_are_no_int64_are_refused(digits, part, dtype):
    y = getattr(digits, f"y_{part}").to(dtype)
    with pytest.raises(ValueError, match=f"y_{part} is {dtype}: give classes as torch.int64"):
        fit(dataclasses.replace(digits, **{f"y_{part}": y}))


def test_network_with_fewer_outputs_than_classes_is_refused(digits):
    with pytest.raises(ValueError, match="the model has 5 outputs, for classes 0 to 4"):
        fit(digits, n_classes=5)


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5])
def test_fit_refuses_what_is_no_seed(digits, seed):
    with pytest.raises(ValueError, match=f"seed = {seed} is out of range"):
        fit(digits, seed=seed)


@pytest.mark.parametrize("stop_after", [0, 1.5])
def test_fit_refuses_to_stop_before_an_epoch(digits, stop_after):
    with pytest.raises(ValueError, match=f"stop_after = {stop_after} is out of range"):
        fit(digits, stop_after=stop_after)
