"""Pictures of supports and degrees: shares, counts and neurons without links, as stated."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from lib import topology
from lib.report import network_figures, publishing
from lib.support import random_support, support_from_keys
from lib.topology import power_law


@pytest.fixture(autouse=True)
def style():
    publishing.use_style()
    yield
    plt.close("all")


def titles_of(fig) -> list[str]:
    return [ax.get_title() for ax in fig.axes]


def texts_of(legend) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


def says_only_not_run(fig) -> bool:
    return [text.get_text() for text in fig.axes[0].texts] == ["not run"]


# degrees


def test_ccdf_is_the_share_with_at_least_k_links():
    k, share = topology.ccdf(np.array([0, 1, 1, 3]))
    assert k.tolist() == [0, 1, 3]
    assert share.tolist() == [1, 0.75, 0.25]


# inputs


def test_input_maps_state_pixels_without_links():
    links = np.arange(784, dtype=np.int16) % 5
    fig, table = network_figures.input_maps({"made": {"start": links}}, "title")
    assert fig.axes[0].get_title() == "start\n157 unlinked"
    shown = table[["network", "shown"]].drop_duplicates()
    assert shown.values.tolist() == [["made", "start"]]
    assert table["value"].tolist() == links.tolist()
    assert table.loc[30, ["row", "column"]].tolist() == [1, 2]


def test_input_maps_of_another_quantity_count_no_links():
    ranks = np.arange(9)
    fig, _ = network_figures.input_maps({"made": {"start": ranks}}, "title", "rank of a pixel")
    assert fig.axes[0].get_title() == "start"
    assert fig.axes[1].get_ylabel() == "rank of a pixel"  # the colour bar


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


def test_input_maps_of_no_network_say_not_run():
    fig, table = network_figures.input_maps({}, "title")
    assert says_only_not_run(fig) and table.empty


# networks


@pytest.fixture
def graph(generator):
    """Two layers of links between three of 20 neurons."""
    supports = []
    for _ in range(2):
        supports.append(random_support(20, 20, 0.3, generator=generator))
    return topology.to_networkx(topology.to_matrices(supports))


# fits


def test_fitted_tail_states_exponent_and_tail(rng):
    degrees, others = rng.zipf(2.5, 1000), rng.poisson(4, 1000)
    sequences = {"panel": {"end": degrees, "random": others}}
    fig, table = network_figures.fitted_tails(sequences, "title")
    tail = power_law.fit_tail(degrees)
    stated = f"panel\nα = {tail.exponent:.1f} from\n{tail.n_tail} of 1000"
    assert fig.axes[0].get_title() == stated
    assert {"end", "random", "power law", *power_law.ALTERNATIVES} < set(table["law"])
    curves = power_law.fitted_curves(degrees, tail)["share"]
    np.testing.assert_array_equal(table["share"].tail(len(curves)), curves)
    assert sorted(texts_of(fig.legends[0])) == sorted(table["law"].unique())


def test_first_sequence_is_black_and_the_others_are_grey(rng):
    sequences = {"end": rng.poisson(9, 100), "random": rng.poisson(4, 100)}
    fig, _ = network_figures.fitted_tails({"panel": sequences}, "title")
    others, first, *_ = fig.axes[0].lines  # the first is drawn above the others
    assert first.get_color() == "black"
    assert others.get_color() == network_figures.GREY


def test_fitted_tail_begins_at_its_xmin(rng):
    degrees = rng.zipf(2.5, 1000)
    fig, table = network_figures.fitted_tails({"panel": {"end": degrees}}, "title")
    xmin = power_law.fit_tail(degrees).xmin
    marker = fig.axes[0].lines[-1]
    assert marker.get_xdata() == [xmin, xmin]
    fitted = table[table["law"] == "power law"]
    assert fitted["k"].min() == xmin


@pytest.mark.parametrize("degrees", [np.arange(1, 20), np.full(80, 7), np.zeros(80, int)])
def test_sequence_too_small_for_a_fit_is_said_to_be(degrees):
    fig, table = network_figures.fitted_tails({"panel": {"end": degrees}}, "title")
    linked = degrees[degrees > 0]
    stated = f"{len(linked)} neurons with links, of {len(set(linked))} different numbers of links"
    assert fig.axes[0].get_title() == f"panel\n{stated}"
    assert set(table["law"]) == {"end"}


def test_fitted_tails_of_nothing_say_not_run():
    fig, table = network_figures.fitted_tails({}, "title")
    assert says_only_not_run(fig) and table.empty
    assert list(table.columns) == ["panel", "law", "k", "share"]


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
    assert titles_of(fig) == ["a", "b", ""]  # the last is the colour bar
    assert all(ax.yaxis_inverted() for ax in fig.axes[:2])
    assert table.groupby("panel").size().to_dict() == {"a": 6, "b": 6}


def test_adjacency_pictures_of_nothing_say_not_run():
    fig, table = network_figures.adjacency_pictures({}, "title")
    assert says_only_not_run(fig) and table.empty


# evidence


EVIDENCE = pd.DataFrame(
    [
        ("SET", 2.4, 80, 0.5, True),
        ("SET", 7.0, 60, 0.5, False),  # an alternative is favoured
        ("SET", 9.0, 20, 0.02, True),  # not plausible
        ("SET", np.nan, np.nan, np.nan, np.nan),  # not fitted
        ("fixed", 12.0, 30, 0.1, True),
    ],
    columns=["group", "exponent", "n_tail", "p", "unbeaten"],
)


def test_evidence_map_fills_what_is_plausible_and_unbeaten():
    fig = network_figures.evidence_map(EVIDENCE, "title")
    assert titles_of(fig) == ["SET", "fixed"]
    _, empty, filled = fig.axes[0].lines  # the first marks a long tail
    assert filled.get_xdata().tolist() == [2.4]
    assert filled.get_markerfacecolor() != "none"
    assert empty.get_xdata()[:2].tolist() == [7.0, 9.0]
    assert empty.get_markerfacecolor() == "none"
    assert fig.axes[1].lines[2].get_ydata().tolist() == [30]


def test_evidence_map_has_the_band_of_scale_free_exponents():
    fig = network_figures.evidence_map(EVIDENCE, "title")
    (band,) = fig.axes[0].patches
    edges = (band.get_x(), band.get_x() + band.get_width())
    assert edges == power_law.SCALE_FREE
    assert fig.axes[0].lines[0].get_ydata()[0] == power_law.LONG_TAIL


def test_evidence_map_of_no_rows_says_not_run():
    fig = network_figures.evidence_map(EVIDENCE[:0], "title")
    assert says_only_not_run(fig)


# an update


def test_update_tells_links_apart():
    before = support_from_keys(torch.tensor([0, 1, 4]), 3, 2)
    after = support_from_keys(torch.tensor([0, 2, 4]), 3, 2)
    fig, table = network_figures.update_picture(before, after, "title")
    rows = set(table.itertuples(index=False, name=None))
    assert rows == {(0, 0, "kept"), (1, 1, "kept"), (0, 1, "dropped"), (0, 2, "grown")}
    assert texts_of(fig.legends[0]) == ["kept (2)", "dropped (1)", "grown (1)"]
