"""Values out of range are refused at once, in one sentence that names them and what to give."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from torch import nn

from lib import activations, convnets, data, layers, models, names, train
from lib.layers import SparseLinear
from lib.runs.config import Run
from lib.settings import Settings

NOT_WHOLE = (1.5, 0, -1, True, "3", None, float("nan"))
NOT_POSITIVE = (0, -0.5, float("nan"), float("inf"), "x", None)
NOT_FRACTION = (-0.1, 1.1, float("nan"), "x", None)
NOT_SEED = (-1, 2**63, 2**70, 0.5, "0", True)


def mlp(**options):
    return models.mlp((6, 5, 3), **{"density": 0.5, **options})


def network(**options):
    return convnets.convnet("lenet5", (32, 32), **{"n_classes": 10, **options})


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
    "n": (activations.SReLU, NOT_WHOLE),
    "n of APL": (activations.APL, NOT_WHOLE),
    "n_hinges": (lambda value: activations.APL(3, value), NOT_WHOLE),
    "k": (activations.Maxout, NOT_WHOLE),
    "n_classes": (lambda value: network(n_classes=value), NOT_WHOLE),
    "enlarge": (lambda value: network(enlarge=value), NOT_WHOLE),
    "seed of a convolutional network": (lambda value: network(seed=value), NOT_SEED),
    "density": (lambda value: SparseLinear(6, 5, density=value), (1e-9, 0, 1.5)),
    "density of er_epsilon": (lambda value: SparseLinear(6, 5, er_epsilon=value), (1e-12,)),
    "density of a network": (lambda value: mlp(density=value), (1e-9, 0, 1.5)),
    "in_features": (lambda value: SparseLinear(value, 5, density=0.5), (2.5, 7.0)),
    "out_features": (lambda value: SparseLinear(5, value, density=0.5), (2.5, 7.0)),
    "dtype": (lambda value: SparseLinear(6, 5, density=0.5, dtype=value), (torch.int64,)),
    "widths[1]": (lambda value: models.mlp((6, value, 3), density=0.5), (2.5, 5.0)),
    "seed": (lambda value: mlp(seed=value), NOT_SEED),
    "seed of dropout": (lambda value: layers.Dropout(0.5, seed=value), (-1, 2**70, 0.5)),
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
    assert re.search(r"give |expected", sentence)
    assert "\n" not in sentence


@pytest.mark.parametrize("value", [1, 7, np.int32(7), np.int64(1)])
def test_whole_numbers_of_any_kind_pass(value):
    names.check_whole("n", value, least=1, most=7)
    assert activations.Maxout(value).k == value


# ------------------------------------------------------------------------------ what goes in

BAD_INPUTS = {
    "list": ([0.0] * 6, "input is a list: give a tensor"),
    "array": (np.zeros((2, 6), np.float32), "input is a ndarray: give a tensor"),
    "number": (1.0, "input is a float: give a tensor"),
    "scalar": (torch.tensor(1.0), r"input is a single number: give \(B, n_in\)"),
    "whole numbers": (torch.zeros(2, 6, dtype=torch.int64), "give both in one dtype"),
    "width": (torch.zeros(2, 7), "7 features"),
}


@pytest.mark.parametrize(("x", "message"), BAD_INPUTS.values(), ids=BAD_INPUTS)
@pytest.mark.parametrize("is_network", [False, True])
def test_input_that_is_no_batch_is_refused(x, message, is_network):
    layer = SparseLinear(6, 5, density=0.5)
    with pytest.raises(ValueError, match="7|give" if is_network else message):
        (models.MLP(layer, nn.ReLU()) if is_network else layer)(x)


BAD_STANDARDISATIONS = {
    "lengths": (torch.zeros(5), torch.ones(6), r"shapes \(5,\) and \(6,\)"),
    "matrix": (torch.zeros(2, 3), torch.ones(2, 3), r"shapes \(2, 3\)"),
    "zero": (torch.zeros(2), torch.tensor([1.0, 0]), "std holds 0.0"),
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


def fit(split, *, n_classes=10, seed=0, stop_after=None):
    net = models.mlp((64, 8, n_classes), density=0.5).float()
    return train.fit(net, split, Settings(epochs=1), seed=seed, stop_after=stop_after)


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
