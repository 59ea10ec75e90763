"""Comparisons at equal accuracy, slope and Lipschitz constants, on curves whose answer is known."""

import pandas as pd
import pytest

from lib.papers.splash import matched, numbers
from tests.papers.splash.made import studied

LENGTHS = (1, 2, 4, 10)


def curve(method, kept_of, *, quality=1.0, seed=0):
    """Networks of four lengths: longer ones are more accurate and steeper."""
    records = []
    for number, epochs in enumerate(LENGTHS):
        clean = 0.8 + quality * 0.04 * number
        slope = 1.0 + number
        values = {"clean": clean, "slope": slope, "pgd": kept_of(clean, slope)}
        parent = "unit_accuracy" if epochs == 10 else "unit_lengths"
        records.append(studied(method, seed, values, parent=parent, epochs=epochs))
    return records


def gaps(records):
    table = matched.all_matches(records)
    return table.set_index("match")["value"]


def test_a_unit_that_is_only_more_accurate_is_no_more_robust_at_equal_accuracy():
    def keeps(clean, slope):
        return clean - 0.5

    found = gaps(curve("relu", keeps) + curve("splash", keeps, quality=1.5))
    assert found["equal accuracy without attack"] == pytest.approx(0)
    assert found["equal training"] == pytest.approx(100 * 0.06)


def test_a_unit_that_is_only_flatter_is_no_more_robust_at_equal_slope():
    def keeps(clean, slope):
        return 0.6 - 0.1 * slope

    relu = curve("relu", keeps)
    flat = []
    for record in curve("splash", keeps):
        rows = record.metrics.set_index("measure")["value"]
        values = {"clean": rows["clean"], "slope": rows["slope"] - 0.5}
        values["pgd"] = keeps(0, values["slope"])
        run = record.config.parent
        parent, epochs = run.experiment, run.epochs
        flat.append(studied("splash", 0, values, parent=parent, epochs=epochs))
    found = gaps(relu + flat)
    assert found["equal slope of the margin"] == pytest.approx(0)
    assert found["equal accuracy without attack"] == pytest.approx(5)


def test_curves_without_a_common_range_are_left_out():
    def keeps(clean, slope):
        return 0.5

    far = curve("splash", keeps)
    for record in far:
        rows = record.metrics
        rows.loc[rows["measure"] == "clean", "value"] -= 0.5
    found = gaps(curve("relu", keeps) + far)
    assert "equal accuracy without attack" not in found and "equal slope of the margin" in found


def test_held_constants_are_compared_by_seed():
    records = []
    for seed in range(3):
        for method, kept in (("relu", 0.3), ("splash", 0.35 + 0.01 * seed)):
            values = {"clean": 0.9, "pgd": kept}
            records.append(studied(method, seed, values, parent="unit_lipschitz"))
    found = matched.held(records)
    assert found["value"].tolist() == pytest.approx([5, 6, 7])
    assert set(found["match"]) == {"equal Lipschitz constants"}


def test_without_records_there_is_nothing_to_compare():
    assert matched.all_matches([]).empty


# tables


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
