"""Numbers that notebooks show, from made-up records."""

import numpy as np
import pytest

from lib.papers.splash import numbers
from lib.papers.splash.experiments import EVENLY_SPACED
from lib.report.intervals import t_interval
from tests.papers.splash.made import trained

SEEDS = np.array([-0.002, -0.001, 0.0, 0.001, 0.002])


def five(accuracy, unit="splash", network="lenet5", **fields):
    return [
        trained(unit, seed, accuracy + noise, network=network, **fields)
        for seed, noise in enumerate(SEEDS)
    ]


@pytest.fixture
def gaps():
    plain = five(0.9) + five(0.5, "relu") + five(0.6, network="set_mlp")
    changed = five(0.91, variant=EVENLY_SPACED) + five(0.94, variant="start: linear")
    changed += five(0.93, variant="S = 3")
    return numbers.ablation_gaps(numbers.ablation_table(plain, changed)).set_index("name")


def test_a_changed_unit_is_compared_with_splash_as_it_is(gaps):
    assert gaps["value"][EVENLY_SPACED] == pytest.approx(1)
    assert gaps["value"]["start: linear"] == pytest.approx(4)


def test_other_numbers_of_hinges_are_compared_with_seven_evenly_spaced(gaps):
    assert gaps["value"]["S = 3"] == pytest.approx(2)
    assert list(gaps["n"]) == [5, 5, 5]


def test_intervals_hold_for_all_changes_together():
    plain = five(0.9) + five(0.9, dataset="fashion_mnist")
    shifted = []
    for seed in range(5):
        for dataset in ("mnist", "fashion_mnist"):
            fields = {"dataset": dataset, "variant": "start: linear"}
            shifted.append(trained("splash", seed, 0.9 + seed**2 / 100, **fields))
        shifted.append(trained("splash", seed, 0.9, variant="S = 3"))  # nothing to compare with
    found = numbers.ablation_gaps(numbers.ablation_table(plain, shifted))
    assert list(found["name"]) == ["start: linear"] * 2 and set(found["series"]) == {"last epoch"}
    differences = [100 * (seed**2 / 100 - noise) for seed, noise in enumerate(SEEDS)]
    desired = t_interval(differences, level=0.975)
    for row in found.itertuples():
        assert (row.low, row.high) == pytest.approx((desired.low, desired.high))


def test_the_plain_unit_stands_first_on_the_data_of_the_changed_ones_alone():
    plain = five(0.9) + five(0.8, "relu") + five(0.7, dataset="fashion_mnist")
    table = numbers.ablation_table(plain, five(0.94, variant="start: linear"))
    means = table.groupby(["variant", "dataset"], sort=False)["value"].mean()
    assert means.to_dict() == pytest.approx(
        {(numbers.PLAIN, "mnist"): 90, ("start: linear", "mnist"): 94}
    )


def test_nothing_changed_has_no_gaps():
    table = numbers.ablation_table(five(0.9), [])
    assert table.empty and numbers.ablation_gaps(table).empty
