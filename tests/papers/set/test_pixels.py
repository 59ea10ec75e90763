"""Maps, correlations, agreement and ranks of pixels."""

import numpy as np
import pandas as pd
import pytest

from lib.papers.set import links, pixels
from tests.papers.untrained import linked

PAIRS = [("set", "set"), ("set", "rigl")]


def network(degrees, method="set", seed=0, epochs=("final",)):
    """A network whose pixels have these links."""
    rows = np.arange(max(degrees))[:, None]
    matrix = (rows < np.array(degrees)).astype(int)
    return linked([matrix], epochs, dataset="mnist", method=method, seed=seed)


@pytest.fixture
def runs():
    """Of SET two seeds that agree, of RigL one that prefers the other pixels."""
    first, second = network([4, 3, 2, 1]), network([4, 3, 2, 1], seed=1)
    return links.by_run([first, second, network([1, 2, 3, 4], "rigl")])


def test_maps_show_the_recorded_epochs_in_order():
    record = network([2, 0, 1, 1], epochs=("final", 0, 1, 10))
    maps = pixels.maps_over_epochs(links.by_run([record]), "mnist", ["set"], 0)
    assert list(maps["SET"]) == ["epoch 0", "epoch 10", "end"]
    assert maps["SET"]["end"].tolist() == [2, 0, 1, 1]


def test_correlations_leave_out_the_start_and_the_end():
    rows = [
        ("0", "correlation with variance", 0.0),
        ("2", "correlation with variance", 0.5),
        ("2", "pixels without links", 3.0),
        ("final", "correlation with variance", 0.9),
    ]
    table = pd.DataFrame(rows, columns=["epoch", "measure", "value"])
    chosen = pixels.correlations(table)
    rows = chosen[["epoch", "short", "value"]]
    assert rows.values.tolist() == [[2, "with variance", 0.5]]


def test_agreement_takes_pairs_of_seeds_and_all_pairs_of_two_methods(runs):
    table = pixels.agreement(runs, PAIRS)
    assert table["networks"].tolist() == ["SET", "SET and RigL", "SET and RigL"]
    assert table["rank correlation"].tolist() == pytest.approx([1, -1, -1])
    assert table["best quarter"].tolist() == [1, 0, 0]


def test_agreement_of_one_network_is_empty(runs):
    assert pixels.agreement(runs, [("rigl", "rigl")]).empty


def test_ranks_are_of_the_mean_over_seeds_and_ties_share_the_lowest(runs):
    arrays = {"variance": np.array([0, 5, 5, 9]), "f_value": np.array([0, 1, 2, 3])}
    study = linked([], dataset="mnist")
    study.arrays.update(arrays)
    maps = pixels.rank_maps([study], runs, ["set", "rigl"])
    ranks = {name: values.tolist() for name, values in maps["MNIST"].items()}
    assert ranks == {
        "variance": [0, 1, 1, 3],
        "F value of the classes": [0, 1, 2, 3],
        "links, SET": [3, 2, 1, 0],
        "links, RigL": [0, 1, 2, 3],
    }


def test_data_sets_are_named_once(runs):
    assert pixels.datasets(runs) == ["mnist"]


def test_maps_as_a_table_have_a_row_a_pixel():
    maps = {"SET": {"start": np.array([1, 2]), "end": np.array([0, 3])}}
    table = pixels.long(maps)
    assert table["links"].tolist() == [1, 2, 0, 3] and table["pixel"].tolist() == [0, 1] * 2
    assert table["shown"].tolist() == ["start"] * 2 + ["end"] * 2
