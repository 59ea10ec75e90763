"""Links of the inputs: read from the degrees of the first layer, and put in rows and columns."""

import pytest

from papers.shared.inputs import alive, input_links, maps_at_end, maps_over_epochs
from tests.papers.untrained import linked

LAYERS = [[[1, 0, 1], [1, 0, 0]], [[1, 1]]]


@pytest.mark.parametrize("epoch", [0, "final"])
def test_links_of_inputs_are_the_sums_of_columns(epoch):
    record = linked(LAYERS, (0, "final"))
    assert input_links(record, epoch).tolist() == [2, 0, 1]


def test_epoch_that_was_not_recorded_is_refused():
    with pytest.raises(ValueError, match="after epoch 5"):
        input_links(linked(LAYERS), 5)


@pytest.mark.parametrize("measure", [input_links, alive])
def test_record_without_sparse_layers_is_refused(measure):
    with pytest.raises(ValueError, match="holds no degrees"):
        measure(linked([], method="dense"), "final")


@pytest.mark.parametrize("maps", [maps_at_end, maps_over_epochs])
def test_maps_of_two_seeds_are_refused(maps):
    with pytest.raises(ValueError, match="two records of SET"):
        maps([linked(LAYERS, seed=seed) for seed in (0, 1)])


def test_maps_have_a_row_a_data_set_and_a_column_a_method():
    fields = [("mnist", "set"), ("mnist", "fixed"), ("fashion_mnist", "set")]
    records = [linked(LAYERS, dataset=dataset, method=method) for dataset, method in fields]
    maps = maps_at_end(records)
    headings = {row: list(columns) for row, columns in maps.items()}
    assert headings == {"MNIST": ["SET", "fixed random support"], "Fashion-MNIST": ["SET"]}
    assert maps["MNIST"]["SET"].tolist() == [2, 0, 1]


def test_maps_of_no_records_are_none():
    assert maps_at_end([]) == {} == maps_over_epochs([])


def test_maps_over_epochs_show_the_recorded_ones_in_order():
    records = [linked(LAYERS, ("final", 0, 1, 10), method=method) for method in ("set", "rigl")]
    maps = maps_over_epochs(records)
    assert {name: list(row) for name, row in maps.items()} == {
        "SET": ["epoch 0", "epoch 10", "end"],
        "RigL": ["epoch 0", "epoch 10", "end"],
    }
    assert maps["RigL"]["end"].tolist() == [2, 0, 1]


def test_hidden_neurons_work_with_links_to_both_sides():
    first = [[1, 0, 1], [0, 0, 0], [0, 0, 1]]  # the second has no input
    second = [[1, 1, 0], [0, 0, 0]]  # the third leads nowhere
    found = alive(linked([first, second]), "final")
    assert found["inputs"].tolist() == [True, False, True]
    assert found["hidden 1"].tolist() == [True, False, False]
    assert found["hidden 2"].tolist() == [True, False]
