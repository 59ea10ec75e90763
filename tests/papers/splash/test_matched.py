"""Comparisons at equal accuracy, at equal steepness and with norms held, on curves whose answer is
known.
"""

import pandas as pd
import pytest

from lib.papers.splash import matched, numbers
from tests.papers.splash.made import studied, trained

LENGTHS = (1, 2, 4, 10)


def network(method, seed, values, accuracy, epochs):
    parent = "unit_accuracy" if epochs == 10 else "unit_lengths"
    return studied(method, seed, values, parent=parent, epochs=epochs, accuracy=accuracy)


def curve(method, kept_of, *, quality=1.0, seed=0):
    """Networks of four lengths: longer ones are more accurate and steeper."""
    records = []
    for number, epochs in enumerate(LENGTHS):
        accuracy = 0.8 + quality * 0.04 * number
        slope = 1.0 + number
        values = {"margin": 1.0, "slope": slope, "worst case": kept_of(accuracy, slope)}
        records.append(network(method, seed, values, accuracy, epochs))
    return records


def gaps(records):
    table = matched.all_matches(records)
    return table.set_index("match")["value"]


def test_a_unit_that_is_only_more_accurate_is_no_more_robust_at_equal_accuracy():
    def keeps(accuracy, slope):
        return accuracy - 0.5

    found = gaps(curve("relu", keeps) + curve("splash", keeps, quality=1.5))
    assert found["equal accuracy without attack"] == pytest.approx(0)
    assert found["equal training"] == pytest.approx(100 * 0.06)


def test_a_unit_that_is_only_flatter_is_no_more_robust_at_equal_steepness():
    def keeps(accuracy, slope):
        return 0.6 - 0.1 * slope

    relu = curve("relu", keeps)
    flat = []
    for record in curve("splash", keeps):
        rows = record.metrics.set_index("measure")["value"]
        slope = rows["slope"] - 0.5
        values = {
            "margin": 3.0,
            "slope": 3 * slope,
            "worst case": keeps(0, slope),
        }  # of other scale
        accuracy = record.environment["final"]["test_accuracy"]
        flat.append(network("splash", 0, values, accuracy, record.config.parent.epochs))
    found = gaps(relu + flat)
    assert found["equal slope over margin"] == pytest.approx(0)
    assert found["equal accuracy without attack"] == pytest.approx(5)


def test_equal_accuracy_is_the_highest_that_both_reached():
    relu = curve("relu", lambda accuracy, slope: 0.5)
    splash = curve("splash", lambda accuracy, slope: accuracy, quality=0.5)  # up to .86
    found = matched.all_matches(relu + splash).set_index("match")
    assert found.loc["equal accuracy without attack", "at"] == pytest.approx(0.86)
    assert found.loc["equal accuracy without attack", "value"] == pytest.approx(36)


def test_lengths_of_training_stand_beside_held_norms():
    records = curve("relu", lambda accuracy, slope: 0.5) + curve("swish", lambda a, s: 0.1)
    values = {"clean": 0.9, "worst case": 0.3}
    records.append(studied("relu", 0, values, parent="unit_lipschitz", epochs=5, accuracy=0.7))
    found = matched.by_length(records)
    kept = found[found["measure"] == "kept in the worst case"].set_index(["training", "epochs"])
    assert kept["value"].to_dict() == {("plain", n): 50 for n in LENGTHS} | {("norms held", 5): 30}
    assert set(found["method"]) == {"relu"} and matched.by_length([]).empty


def test_equal_points_of_a_curve_are_averaged():
    relu = curve("relu", lambda accuracy, slope: 0.5)
    splash = []
    for epochs, kept in zip(LENGTHS, (0.5, 0.5, 0.7, 0.9), strict=True):
        values = {"margin": 1.0, "slope": 1.0, "worst case": kept}
        splash.append(network("splash", 0, values, 0.86, epochs))
    found = gaps(relu + splash)
    assert found["equal accuracy without attack"] == pytest.approx(15)


def test_curves_without_a_common_range_are_left_out():
    def keeps(accuracy, slope):
        return 0.5

    far = curve("splash", keeps)
    for record in far:
        record.environment["final"]["test_accuracy"] -= 0.5
    found = gaps(curve("relu", keeps) + far)
    assert "equal accuracy without attack" not in found and "equal slope over margin" in found


def test_held_constants_are_compared_by_seed():
    records = []
    for seed in range(3):
        for method, kept in (("relu", 0.3), ("splash", 0.35 + 0.01 * seed)):
            values = {"clean": 0.9, "worst case": kept}
            records.append(studied(method, seed, values, parent="unit_lipschitz"))
    found = matched.held(records)
    assert found["value"].tolist() == pytest.approx([5, 6, 7])
    assert set(found["match"]) == {"norms of kernels held"}


def test_without_records_there_is_nothing_to_compare():
    assert matched.all_matches([]).empty


# tables


def test_equal_accuracies_share_a_rank():
    records = [trained("relu", 0, 0.9), trained("swish", 0, 0.3), trained("splash", 0, 0.1 + 0.2)]
    table = numbers.accuracy_table(records)
    assert 0.1 + 0.2 != 0.3 and numbers.ranks(table)["rank of SPLASH"].tolist() == [2.5]


def test_rows_at_the_headline_radius_are_chosen():
    record = studied("relu", 0, {"pgd": 0.4, "clean": 0.9})
    extra = record.metrics.assign(radius=2 * record.config.radii[0], value=0.1)
    farther = extra[extra["measure"] == "pgd"]
    record.metrics = pd.concat([record.metrics, farther])
    table = numbers.under_attack([record])
    assert table["value"].tolist() == [0.4]


def test_cells_are_cut_short_by_images_or_epochs():
    def short(dataset, **fields):
        record = studied("relu", 0, {"pgd": 0.4}, dataset, **fields)
        return numbers.is_cut_short([record], dataset, "lenet5")

    assert short("cifar10", epochs=99) and short("mnist", limit=5000)
    assert not short("cifar10", epochs=100) and not short("mnist", epochs=10)
    assert not numbers.is_cut_short([], "mnist", "lenet5")


def test_units_with_a_rate_of_their_own_are_those_trained_at_it_alone():
    relu = [trained("relu", seed, 0.9) for seed in (0, 1)]
    splash = [trained("splash", seed, 0.9) for seed in (0, 1)]
    elsewhere = trained("relu", 0, 0.5, dataset="cifar10")
    own = trained("splash", 1, 0.95, learning_rate=0.3)  # seed 0 is still to come
    swish = [trained("swish", seed, 0.9) for seed in (0, 1)]  # all still to come
    plain = [*relu, *splash, *swish, elsewhere]
    assert numbers.at_own_rates(plain, [own], ("splash", "swish")) == [*relu, own]
    assert numbers.at_own_rates(relu, [], ("splash",)) == []


def test_median_distance_is_that_over_images():
    record = studied("relu", 0, {"clean": 0.9})
    record.arrays["l2.smallest"] = [0.0, 1.0, 3.0, float("inf"), 2.0]
    found = numbers.median_distances([record], {"smallest": "nearest"})
    assert found[["measure", "value"]].to_numpy().tolist() == [["nearest", 2.0]]
