"""Numbers of networks: what the tables of studies say of each, one number a row."""

import numpy as np
import pytest

from lib.papers.adaptive_topology import numbers as studies
from tests.papers.adaptive_topology.measuring import record


def test_area_of_link_removal_is_that_of_the_mean_curve():
    curve = {"fraction": [0, 0.5, 1] * 2, "draw": [0] * 3 + [1] * 3}
    curve |= {"accuracy": [0.9, 0.5, 0.1, 0.9, 0.7, 0.1], "scope": "all", "order": "random"}
    numbers = studies.sum_up([record("link_removal", curve)]).set_index("measure")["value"]
    assert numbers["removal area random"] == pytest.approx((1 + 2 * (0.5 / 0.8) + 0) / 4)
    assert numbers["removal f50 random"] == pytest.approx(0.5 + 0.5 * (0.1 / 0.5))


def test_layer_shuffle_is_the_mean_of_full_shuffles_of_single_layers():
    rows = {"scope": ["linear1", "linear1", "linear2", "linear2", "linear2", "all", "all"]}
    rows |= {"strength": [0.0, 1.0, 0.0, 0.5, 1.0, 0.0, 1.0], "kind": "shuffle", "within": "all"}
    rows |= {"accuracy": [0.9, 0.2, 0.9, 0.8, 0.4, 0.9, 0.1]}
    found = record("weight_shuffling", rows)
    numbers = studies.sum_up([found]).set_index("measure")["value"]
    assert numbers["layer shuffle"] == pytest.approx(0.3)
    assert numbers["layer shuffle, relative"] == pytest.approx(0.2 / 0.8)
    assert numbers["shuffle area all"] == pytest.approx(0.5)


def test_pgd_is_taken_at_the_headline_radius():
    rows = {"attack": ["none", "pgd", "pgd"], "norm": ["", "linf", "l2"]}
    rows |= {"radius": [0.0, 0.1, 0.1], "accuracy": [0.9, 0.5, 0.7]}
    distances = {"deepfool.l2": np.array([0, 1, np.inf]), "deepfool.linf": np.array([0, 0, 1])}
    found = record("attack_curves", rows, distances)
    numbers = studies.sum_up([found]).set_index("measure")["value"]
    assert numbers["pgd"] == 0.5 and numbers["deepfool l2"] == 1 and numbers["deepfool linf"] == 0


@pytest.mark.parametrize("kept", [[], ["deepfool.l2"], ["deepfool.l2", "minimal.l2"]], ids=len)
def test_medians_are_those_of_the_distances_that_a_record_has(kept):
    rows = {"attack": ["none"], "norm": [""], "radius": [0.0], "accuracy": [0.9]}
    distances = {name: np.array([0, 1, 2]) for name in kept}
    found = record("attack_curves", rows, distances)
    numbers = studies.sum_up([found]).set_index("measure")["value"]
    medians = numbers.drop("accuracy of the images").to_dict()
    assert medians == {name.replace(".", " "): 1 for name in kept}


def test_tables_name_the_network():
    table = studies.tables([record("link_removal", {"accuracy": [0.5]}, seed=3)])
    assert table.to_dict("records") == [
        {"accuracy": 0.5, "dataset": "digits", "network": "made", "method": "set", "seed": 3}
    ]
    assert studies.tables([]).empty


def test_records_of_other_experiments_say_nothing():
    assert studies.sum_up([record("scale_free", {"accuracy": [0.5]})]).empty
    assert list(studies.sum_up([])) == [*studies.KEY, "measure", "value"]


def test_survival_is_the_share_of_images_beyond_a_distance():
    distances = {"deepfool.l2": np.array([0, 1, 2, np.inf])}
    found = record("attack_curves", {"attack": []}, distances)
    table = studies.survival([found], "deepfool.l2", [0, 1, 5])
    assert table["share"].tolist() == [0.75, 0.5, 0.25]
    assert set(table["attack"]) == {"deepfool.l2"} and list(table)[:4] == studies.KEY


def test_records_without_a_distance_are_left_out_of_its_survival():
    old = record("attack_curves", {"attack": []}, {"deepfool.l2": np.ones(2)}, method="fixed")
    new = record("attack_curves", {"attack": []}, {"minimal.l2": np.ones(2)})
    table = studies.survival([old, new], "minimal.l2", [0, 5])
    assert table["method"].tolist() == ["set", "set"] and table["share"].tolist() == [1, 0]
    assert list(studies.survival([old], "minimal.l2", [0])) == list(table)
