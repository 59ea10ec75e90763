"""Pictures of supports and degrees: shares, counts and neurons without links, as stated."""

import itertools

import numpy as np
import pytest
import torch

from lib import topology
from lib.report import network_figures
from lib.support import random_support, support_from_keys

# inputs


def test_input_maps_state_pixels_without_links():
    links = np.arange(784, dtype=np.int16) % 5
    fig, table = network_figures.input_maps({"made": {"start": links}}, "title")
    assert fig.axes[0].get_title() == "start\n157 unlinked"
    assert fig.axes[1].get_ylabel() == "links of a pixel"  # the colour bar
    shown = table[["network", "shown"]].drop_duplicates()
    assert shown.values.tolist() == [["made", "start"]]
    assert table["value"].tolist() == links.tolist()
    assert table.loc[30, ["row", "column"]].tolist() == [1, 2]


def test_input_maps_break_names_that_are_wider_than_their_panel():
    names = [f"CalTech silhouettes, own split\nfirst biases: {name}" for name in "abcd"]
    fig, table = network_figures.input_maps({"SET": dict.fromkeys(names, np.ones(4))}, "title")
    fig.draw_without_rendering()
    boxes = [ax.title.get_window_extent() for ax in fig.axes[:4]]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert list(table["shown"].unique()) == names


def test_input_maps_are_a_grid_of_networks_and_columns_with_one_scale(rng):
    columns = {}
    for n in (0, 5, 9):
        columns[f"{n} epochs"] = rng.integers(0, 4 + n, 64)
    fig, table = network_figures.input_maps({"one": columns, "two": columns}, "title")
    *panels, _ = fig.axes  # the last is the colour bar
    assert [ax.get_ylabel() for ax in panels] == ["one", "", "", "two", "", ""]
    titles = [ax.get_title().partition("\n")[0] for ax in panels]
    assert titles == [*columns, *columns]
    top = np.max([*columns.values()])
    assert [ax.images[0].get_clim() for ax in panels] == [(0, top)] * 6
    assert len(table) == 6 * 64


def test_input_maps_leave_a_panel_free_where_a_network_has_fewer():
    links = np.arange(9)
    maps = {"one": {"start": links}, "two": {"start": links, "end": links}}
    fig, table = network_figures.input_maps(maps, "title")
    assert [len(ax.images) for ax in fig.axes[:4]] == [1, 0, 1, 1]
    assert len(table) == 27


# adjacency


@pytest.mark.parametrize(("n_in", "n_out"), [(60, 30), (25, 50), (7, 8)])
def test_adjacency_pictures_show_every_link_in_its_cell(n_in, n_out, generator):
    support = random_support(n_in, n_out, 0.1, generator=generator)
    (matrix,) = topology.to_matrices([support])
    fig, table = network_figures.adjacency_pictures({"layer": matrix}, "title")
    dense = matrix.toarray()
    desired = []
    for i in range(0, n_out, 25):
        rows = dense[i : i + 25]
        desired.append([rows[:, j : j + 25].mean() for j in range(0, n_in, 25)])
    cells = table.set_index(["row", "column"])["density"].unstack()
    np.testing.assert_allclose(cells.astype(float), desired, rtol=1e-12)
    drawn = fig.axes[0].collections[0].get_array().filled(0)  # white where there are none
    np.testing.assert_allclose(drawn, desired, rtol=1e-12)


def test_adjacency_pictures_have_a_panel_a_layer():
    support = support_from_keys(torch.tensor([0]), 60, 30)
    (matrix,) = topology.to_matrices([support])
    layers = {"a": matrix, "b": matrix}
    fig, table = network_figures.adjacency_pictures(layers, "title")
    assert [ax.get_title() for ax in fig.axes] == ["a", "b", ""]  # the last is the colour bar
    assert all(ax.yaxis_inverted() for ax in fig.axes[:2])
    assert table.groupby("panel").size().to_dict() == {"a": 6, "b": 6}
