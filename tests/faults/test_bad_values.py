"""Values out of range are refused at once, in one sentence that names them and what to give."""

import dataclasses
import math
import re
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from lib import _boundary, activations, data, layers, models, support, train
from lib._boundary import NotWritten
from lib.data import augment
from lib.evolution import Evolution, evolve_
from lib.layers import SparseLinear
from lib.robustness import attacks, defences
from lib.runs.config import Run
from lib.sparsify import Evolver, densify_, sparsify_
from lib.train import Settings, WeightAverage
from papers.set.rbm.model import RBM
from papers.set.sharpness import SharpnessAware
from tests.oracles import seeded


def mlp(**options):
    return models.mlp((6, 5, 3), **{"density": 0.5, **options})


def sparse(*widths, **options):
    return SparseLinear(*(widths or (6, 5)), **({"density": 0.5} | options))


def updated(layer, **options):
    return evolve_(layer, Evolution(), **{"fraction": 0.3, "generator": seeded(), **options})


def network(**options):
    return models.convnet("lenet5", (32, 32), **{"n_classes": 10, **options})


def evolver(**options):
    net = mlp()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    return Evolver(net, optimiser, **{"every": 1, "steps": 2, "generator": seeded(), **options})


def sparsified(**options):
    model = nn.Sequential(nn.Linear(6, 5))
    return sparsify_(model, start="magnitude", **{"density": 0.5, **options})


def attacked(**options):
    net, x = nn.Sequential(nn.Linear(6, 3)).eval(), torch.zeros(2, 6)
    return attacks.pgd(net, x, net(x).argmax(1), radius=0.1, generator=seeded(), **options)


def rbm(n_visible=6, n_hidden=5, **options):
    return RBM(n_visible, n_hidden, **{"generator": seeded(), **options})


CHECKS = {  # of each: a check, and what does not pass
    "whole": (
        lambda value: _boundary.check_whole("it", value, least=1),
        (1.5, 0, -1, True, "3", None, math.nan),
    ),
    "seed": (_boundary.check_seed, (-1, 2**63, 2**70, 0.5, "0", True)),
    "positive": (
        lambda value: _boundary.check_number("it", value, "(0, inf)"),
        (0, -0.5, math.nan, math.inf, "x", None, True),
    ),
    "fraction": (
        lambda value: _boundary.check_number("it", value, "[0, 1)"),
        (-0.1, 1, 1.1, math.nan, "x", None, True),
    ),
    "type": (
        lambda value: _boundary.check_type("it", value, torch.Generator),
        (None, 3, "x", torch.Generator),
    ),
}


@pytest.mark.parametrize(
    ("check", "value"), [(check, value) for check, bad in CHECKS.values() for value in bad]
)
def test_check_refuses_what_is_out_of_range(check, value):
    with pytest.raises(ValueError, match=f"{re.escape(repr(value))} is .*: give "):
        check(value)


# fields of each place beside a value that one of the checks, or one of their own, refuses
SETTINGS = {
    "epochs": 0, "batch_size": 1.5, "learning_rate": 0, "momentum": 1, "weight_decay": -1,
    "augmentation": 1.1, "averaging": 1, "schedule": "linear", "evolution": {}, "nesterov": 1,
}  # fmt: skip
EVOLUTION = {
    "drop": "signs", "grow": 3, "decay": None, "last_epoch": "stop", "drop_fraction": 1,
    "new_std": math.inf, "regrow_dropped": 1, "reset_state": "yes", "gradient_batches": 0,
    "density_schedule": "linear", "final_share": 0.5, "schedule_end": 0, "redistribution": "weight",
}  # fmt: skip
EVOLVER = {
    "every": 0, "steps": 1.5, "until": 0, "evolution": "set", "generator": 3, "scaler": 1024.0,
}  # fmt: skip


def of_fields(make, fields):
    return {name: partial(make, **{name: value}) for name, value in fields.items()}


REFUSED = {
    "train": {
        **of_fields(lambda **field: Settings(**({"epochs": 1} | field)), SETTINGS),
        "split": lambda: fit("digits"),
        "settings": lambda: train.fit(mlp(), data.load("digits", limit=20), None, seed=0),
        "optimiser": lambda: fit(data.load("digits", limit=20), optimiser="adam"),
        "seed": lambda: fit(data.load("digits", limit=20), seed=0.5),
        "stop_after": lambda: fit(data.load("digits", limit=20), stop_after=0),
        "decay": lambda: WeightAverage(mlp(), torch.optim.SGD(mlp().parameters()), 1),
    },
    "evolution": {
        **of_fields(Evolution, EVOLUTION),
        "final_share of a schedule": lambda: Evolution(density_schedule="cubic", final_share=2),
        "fraction": lambda: updated(sparse(), fraction=1),
        "generator": lambda: updated(sparse(), generator=None),
    },
    "sparsify": {
        **of_fields(evolver, EVOLVER),
        "state": lambda: evolver().load_state_dict({"steps_taken": 3}),
        "model of an evolver": lambda: Evolver(
            {}, torch.optim.SGD(mlp().parameters()), every=1, steps=2
        ),
        "density": lambda: sparsified(density=1e-9),
        "er_epsilon": lambda: sparsified(density=None, er_epsilon=-1),
        "density of links of er_epsilon": lambda: sparsified(density=None, er_epsilon=1e-12),
        "model of sparsify_": lambda: sparsify_([nn.Linear(6, 5)], start="new", density=0.5),
        "model of densify_": lambda: densify_(None),
        "generator of sparsify_": lambda: sparsified(generator=3),
    },
    "layers": {
        "in_features": lambda: sparse(0, 5),
        "out_features": lambda: sparse(5, 1.5),
        "density": lambda: sparse(density=1e-9),
        "density of er_epsilon": lambda: sparse(density=None, er_epsilon=1e-12),
        "er_epsilon": lambda: sparse(density=None, er_epsilon=0),
        "dtype": lambda: sparse(dtype="float32"),
        "generator": lambda: sparse(generator=3),
        "in_features of a dense layer": lambda: layers.Linear(0, 5),
        "p": lambda: layers.Dropout(1),
        "seed of dropout": lambda: layers.Dropout(0.5, seed=-1),
        "mean": lambda: layers.Standardise(0.0, torch.ones(2)),
        "std": lambda: layers.Standardise(torch.zeros(2), [1.0, 1.0]),
        "n_in": lambda: support.random_support(0, 5, 0.5, generator=seeded()),
    },
    "models": {
        "widths": lambda: models.mlp((6,), density=0.5),
        "widths[1]": lambda: models.mlp((6, 0, 3), density=0.5),
        "widths[1] of a dense network": lambda: models.mlp((6, "3", 3)),
        "density": lambda: mlp(density=1.5),
        "activation": lambda: mlp(activation="srelus"),
        "seed": lambda: mlp(seed=-1),
        "n_classes": lambda: network(n_classes=0),
        "enlarge": lambda: network(enlarge=1.5),
        "seed of a convolutional network": lambda: network(seed=0.5),
        "image": lambda: models.convnet("lenet5", 32, n_classes=3),
        "n_hinges of Splash": lambda: activations.Splash(0),
        "n": lambda: activations.SReLU(1.5),
        "n of APL": lambda: activations.APL(0),
        "n_hinges": lambda: activations.APL(3, 0),
        "k": lambda: activations.Maxout(0),
    },
    "data": {
        "validation": lambda: data.load("digits", validation=0.2),
        "limit": lambda: data.load("digits", limit=0),
        "side": lambda: data.from_folder(".", side=8.5),
        "strength": lambda: augment.augment(
            torch.zeros(1, 1, 2, 2), generator=seeded(), strength=1.1
        ),
        "seed of a run": lambda: Run("one", seed=-1),
    },
    "papers": {
        "n_visible": lambda: rbm(n_visible=0),
        "n_hidden": lambda: rbm(n_hidden=1.5, density=0.5),
        "generator": lambda: rbm(generator=None),
        "dtype": lambda: rbm(dtype=torch.int64),
        "radius": lambda: SharpnessAware(0),
        "label_smoothing": lambda: SharpnessAware(1.0, 1.1),
    },
    "robustness": {
        "largest": lambda: defences.DropConnect(1.1),
        "pixels": lambda: attacked(pixels=torch.ones(6)),
    },
}


def refusal(call):
    """The sentence by which a call is refused; None if it is not."""
    try:
        call()
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("place", REFUSED)
def test_value_out_of_range_is_refused_with_what_to_give(place):
    unclear = {}
    for field, call in REFUSED[place].items():
        sentence, name = refusal(call) or "", field.split(" of ")[0]
        has_remedy = re.fullmatch(".*(give |known are |Known: ).*", sentence)
        if name not in sentence or not has_remedy:
            unclear[field] = sentence
    assert unclear == {}


@pytest.mark.parametrize("value", [1, np.int32(7), np.int64(1)])
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


TAKES_A_BATCH = {
    "network": lambda: models.MLP(SparseLinear(6, 5, density=0.5), nn.ReLU()),
    "dense": lambda: layers.Linear(6, 5),
    "standardise": lambda: layers.Standardise(torch.zeros(6), torch.ones(6)),
    "dropout": lambda: layers.Dropout(0.5),
    "srelu": lambda: activations.SReLU(6),
    "predict": lambda: lambda x: train.predict(mlp(), x),
}
WRONG = [(lambda: SparseLinear(6, 5, density=0.5), *case) for case in BAD_INPUTS.values()]
WRONG += [(make, *BAD_INPUTS["list"]) for make in TAKES_A_BATCH.values()]


@pytest.mark.parametrize(("make", "x", "message"), WRONG)
def test_what_is_no_batch_is_refused_by_all_that_take_one(make, x, message):
    with pytest.raises(ValueError, match=message):
        make()(x)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (torch.zeros(5), torch.ones(6), r"shapes \(5,\) and \(6,\)"),
        (torch.zeros(2, 3), torch.ones(2, 3), r"shapes \(2, 3\)"),
        (torch.zeros(2), torch.tensor([1.0, math.inf]), "std holds inf"),
    ],
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


def class_10(y):
    return y.index_fill(0, torch.tensor([3]), 10)


SPLITS = {  # of a part of a split: what it becomes, and the sentence
    "x_train": (lambda x: x[:-1], r"x_train of digits has \d+ examples and y_"),
    "y_valid": (lambda y: y[:-1], r"x_valid of digits has \d+ examples and y_"),
    "y_test": (lambda y: y[:-1], r"x_test of digits has \d+ examples and y_"),
    "y_train beyond": (class_10, "y_train holds class 10, .* 10 outputs, .* 0 to 9"),
    "y_valid beyond": (class_10, "y_valid holds class 10, .* 10 outputs, .* 0 to 9"),
    "y_test beyond": (class_10, "y_test holds class 10, .* 10 outputs, .* 0 to 9"),
    "y_train as floats": (torch.Tensor.float, "y_train is torch.float32: give classes as torch"),
    "y_test as bool": (torch.Tensor.bool, "y_test is torch.bool: give classes as torch.int64"),
}


@pytest.mark.parametrize("case", SPLITS)
def test_split_that_does_not_fit_is_refused(digits, case):
    (part, *_), (change, message) = case.split(), SPLITS[case]
    with pytest.raises(ValueError, match=message):
        fit(dataclasses.replace(digits, **{part: change(getattr(digits, part))}))


def test_training_part_of_no_example_is_refused(digits):
    empty = dataclasses.replace(digits, x_train=digits.x_train[:0], y_train=digits.y_train[:0])
    with pytest.raises(ValueError, match="x_train of digits has no example"):
        fit(empty)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.NLLLoss(ignore_index=3)])
def test_label_beyond_the_outputs_is_refused_by_every_loss_of_classes(digits, loss):
    with pytest.raises(ValueError, match="y_train holds class .* 3 outputs, for classes 0 to 2"):
        fit(digits, n_classes=3, loss=loss)


def test_one_output_for_two_classes_is_told_of_the_loss_that_takes_it(digits):
    y = {f"y_{part}": getattr(digits, f"y_{part}") % 2 for part in ("train", "test")}
    with pytest.raises(ValueError, match="holds class 1, but .* one output: .*BCEWithLogitsLoss"):
        fit(dataclasses.replace(digits, **y), n_classes=1)


def test_labels_1_and_2_are_refused_by_a_binary_cross_entropy(digits):
    """Torch lowers such a loss without end."""
    y = {f"y_{part}": getattr(digits, f"y_{part}") % 2 + 1 for part in ("train", "test")}
    split = dataclasses.replace(digits, **y)
    with pytest.raises(ValueError, match=r"y_train holds 2: .* give \(y_train == 2\)\.float"):
        fit(split, n_classes=1, loss=nn.BCEWithLogitsLoss())


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
