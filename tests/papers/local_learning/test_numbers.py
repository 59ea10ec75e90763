"""Numbers of records with given tables."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from lib.papers.local_learning import numbers
from lib.papers.local_learning.layers import FIELDS
from lib.papers.local_learning.spectra import AS_RELEASED

from .made import (
    ATTACKS,
    CORRECTED,
    RELEASED,
    attacked,
    learned,
    local,
    network,
    spectrum,
    study,
)

RANKS = np.arange(1.0, 601.0)


# layers


@pytest.mark.parametrize(
    ("fields", "per_epoch"),
    [
        ({}, 50 / 2000),  # 50,000 images in batches of 1,000
        ({"n_units": 500, "limit": 10_000, "batch_size": 250}, 40 / 500),
    ],
)
def test_steps_are_minibatches_for_each_unit(fields, per_epoch):
    table = numbers.learning([learned(epochs=10, **fields)])
    assert table["steps"].tolist() == pytest.approx([0, 10 * per_epoch])


@pytest.mark.parametrize(
    ("off_norm", "lowest_mean", "accepted"),
    [(0.0, 0.0, True), (0.0999, -0.5, True), (0.1, 0.0, False), (0.0, -0.501, False)],
)
def test_a_layer_passes_the_released_test(off_norm, lowest_mean, accepted):
    record = learned(off_norm=off_norm, lowest_mean=lowest_mean)
    assert numbers.is_accepted(record) is accepted
    assert numbers.accepted([record])["accepted"].tolist() == [accepted]


def test_receptive_fields_are_images_with_colours_averaged():
    weights = np.arange(2 * 3 * 4.0).reshape(2, 12)  # two units, 2 x 2 pixels of three colours
    arrays = {f"{FIELDS}10": weights, f"{FIELDS}2": weights + 1, "layer.weight": weights}
    record = dataclasses.replace(learned(), arrays=arrays)
    found = numbers.fields(record, n=1)
    assert list(found) == ["epoch 2", "epoch 10"]
    np.testing.assert_allclose(found["epoch 10"], [[[4, 5], [6, 7]]])


@pytest.mark.parametrize(
    ("run", "seed"),
    [
        (local(3), 3),
        (network("kh", 4, layer=1), 1),
        (attacked("kh", 4, 1.0, layer=1).config, 1),
        (network("bp", 4), None),
        (None, None),
    ],
)
def test_the_local_layer_is_found_below_a_network_and_a_study(run, seed):
    layer = numbers.local_layer(run)
    assert (None if layer is None else layer.seed) == seed


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (learned(n_units=500), "CIFAR-10, 500 units"),
        (attacked("bp", 0, 1.0), "CIFAR-10, 2,000 units"),
    ],
)
def test_records_are_described_by_their_data_and_width(record, text):
    assert numbers.described([record]) == text and numbers.described([]) == ""


# networks


def test_accuracy_is_that_of_the_epoch_of_the_protocol():
    fields = {"accuracy": 0.6, "last_accuracy": 0.5}
    records = [attacked("bp", 0, 1.0, variant=name, **fields) for name in (CORRECTED, RELEASED)]
    assert numbers.accuracies(records)["value"].tolist() == [0.6, 0.5]


def test_without_a_best_epoch_accuracy_is_that_of_the_last():
    record = attacked("bp", 0, 1.0, last_accuracy=0.5)
    del record.environment["final"]["best_test_accuracy"]
    assert numbers.accuracies([record])["value"].tolist() == [0.5]


@pytest.mark.parametrize(
    ("variant", "reached", "value"), [(CORRECTED, True, 3.0), (CORRECTED, False, 6.0)]
)
def test_a_median_that_is_not_reached_is_the_largest_norm_tried(variant, reached, value):
    table = numbers.medians([attacked("bp", 0, 3.0, variant=variant, reached=reached)])
    assert table["value"].tolist() == [value] * 3 and set(table["reached"]) == {reached}


def test_as_released_medians_are_of_the_images_that_were_fooled():
    table = numbers.medians([attacked("bp", 0, 3.0, variant=RELEASED, reached=False)])
    assert table["value"].tolist() == [3.0] * 3


def test_shares_of_fooled_images_are_read_for_each_attack():
    table = numbers.fooled_shares([attacked("bp", 0, 1.0, reached=False)])
    assert table.set_index("measure")["value"].to_dict() == dict.fromkeys(ATTACKS, 0.3)


def test_survival_is_read_at_norms_between_those_of_images():
    arrays = {
        "norm.pgd": np.array([1.0, 2.0, 3.0, 4.0]),
        "fooled.pgd": np.array([True, True, False, True]),
    }
    record = study("wide_attacks", network("bp", 0), attacked("bp", 0, 1.0).metrics, arrays)
    table = numbers.survival([record], [0.5, 1.0, 1.5, 2.5, 3.5, 4.0])
    assert set(table["attack"]) == {"pgd"}
    np.testing.assert_allclose(table["share"], [1, 0.75, 0.75, 0.5, 0.5, 0])


# spectra


def test_exponents_are_of_the_input_that_is_asked_for():
    record = spectrum(network("bp", 0), {"images": 2.0, "noise": 1.0, "start": 1.5})
    found = numbers.released_range([record], "start")
    assert found["value"].tolist() == [1.5] and set(found["range"]) == {AS_RELEASED}


def test_on_noise_the_released_ranks_are_fewer():
    record = spectrum(network("bp", 0), {"noise": 1.0})
    record.metrics.loc[len(record.metrics)] = (
        *("linear1", "noise", "10 to 100", 10, 100, False),
        *("exponent", 0.5),
    )
    assert numbers.released_range([record], "noise")["value"].tolist() == [0.5]


def test_eigenvalues_are_relative_to_the_largest_as_far_as_they_are_drawn():
    record = spectrum(local(), {"images": 2.0}, eigenvalues=[4.0, 1.0, 1e-9, 0.0])
    table = numbers.eigenvalues([record])
    assert table["rank"].tolist() == [1, 2] and table["share"].tolist() == [1, 0.25]


@pytest.mark.parametrize(
    ("eigenvalues", "supported"),
    [(RANKS**-2.0, True), (np.exp(-RANKS / 40), False)],
    ids=["power law", "exponential"],
)
def test_laws_are_compared_on_the_stored_eigenvalues(eigenvalues, supported):
    record = spectrum(local(), {"images": 2.0}, eigenvalues=eigenvalues)
    table = numbers.laws([record])
    power = table[table["law"] == "power law"]
    assert power["supported"].tolist() == [supported] * 2  # ordinary and weighted


def test_the_interval_for_other_seeds_and_images_is_in_closed_form():
    values, draws = [0.90, 0.94, 0.98], [-0.03, 0.0, 0.03]
    records = []
    for seed, value in enumerate(values):
        records.append(spectrum(local(seed), {"images": 2.0}, r_squared=value, draws=draws))
    found = numbers.over_seeds_and_images(records, "r_squared")
    half = stats.t.ppf(0.975, 2) * math.sqrt(0.04**2 / 3 + 0.03**2)
    assert (found.low, found.high) == pytest.approx((0.94 - half, 0.94 + half))
    assert numbers.over_seeds_and_images([], "r_squared") is None


@pytest.mark.parametrize(
    "table",
    [
        numbers.learning,
        numbers.accepted,
        numbers.accuracies,
        numbers.medians,
        numbers.fooled_shares,
        numbers.exponents,
        numbers.released_range,
        numbers.eigenvalues,
        numbers.laws,
    ],
)
def test_without_records_tables_have_their_columns(table):
    found = table([])
    assert found.empty and set(numbers.KEY) <= set(found)
