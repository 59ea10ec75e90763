"""Pictures of supports and degrees: shares, counts and neurons without links, as stated."""

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

from lib import evolution, network_plots, plotting, power_law, topology


@pytest.fixture(autouse=True)
def style():
    plotting.use_style()
    yield
    plt.close("all")


def test_ccdf_is_the_share_with_at_least_k_links():
    k, share = topology.ccdf(np.array([0, 1, 1, 3]))
    assert k.tolist() == [0, 1, 3] and share.tolist() == [1, 0.75, 0.25]


def test_isolated_neurons_are_stated():
    fig = network_plots.degree_distributions({"panel": {"line": np.array([0, 0, 1, 2])}}, "title")
    assert fig.axes[0].get_legend().get_texts()[0].get_text() == "line, 2 without links"


def test_input_maps_state_pixels_without_links():
    links = np.arange(784, dtype=np.int16) % 5
    fig, table = network_plots.input_maps({"made": {"start": links}}, "title")
    assert fig.axes[0].get_title() == "start\n157 without links"
    assert table[["network", "shown"]].drop_duplicates().values.tolist() == [["made", "start"]]
    assert table["value"].tolist() == links.tolist()
    assert table.loc[30, ["row", "column"]].tolist() == [1, 2]


def test_input_maps_are_a_grid_of_networks_and_columns_with_one_scale(rng):
    columns = {f"{n} epochs": rng.integers(0, 4 + n, 64) for n in (0, 5, 9)}
    fig, table = network_plots.input_maps({"one": columns, "two": columns}, "title")
    *panels, _ = fig.axes  # the last is the colour bar
    assert [ax.get_ylabel() for ax in panels] == ["one", "", "", "two", "", ""]
    assert [ax.get_title().partition("\n")[0] for ax in panels] == [*columns, *columns]
    desired = [(0, max(links.max() for links in columns.values()))] * 6
    assert [ax.images[0].get_clim() for ax in panels] == desired
    assert len(table) == 6 * 64


def test_input_maps_leave_a_panel_free_where_a_network_has_fewer():
    links = np.arange(9)
    maps = {"one": {"start": links}, "two": {"start": links, "end": links}}
    fig, table = network_plots.input_maps(maps, "title")
    assert [len(ax.images) for ax in fig.axes[:4]] == [1, 0, 1, 1] and len(table) == 27


def test_input_maps_of_no_network_say_not_run():
    fig, table = network_plots.input_maps({}, "title")
    assert [t.get_text() for t in fig.axes[0].texts] == ["not run"] and table.empty


def test_network_picture_counts_the_links_it_shows(generator):
    supports = [evolution.random_support(20, 20, 0.3, generator=generator) for _ in range(2)]
    graph = topology.to_networkx(topology.to_matrices(supports))
    fig, nodes = network_plots.network_pictures({"start": graph}, n_shown=5, title="title")
    shown = graph.subgraph(nodes[["layer", "index"]].itertuples(index=False, name=None))
    assert len(nodes) == 15 and f"{shown.number_of_edges():,} links" in fig.axes[0].get_title()
    assert nodes["degree"].max() == max(degree for _, degree in nx.degree(graph))


# fits


def test_fitted_tail_states_exponent_and_tail(rng):
    degrees, others = rng.zipf(2.5, 1000), rng.poisson(4, 1000)
    fig, table = network_plots.fitted_tails({"panel": {"end": degrees, "random": others}}, "title")
    tail = power_law.fit_tail(degrees)
    stated = f"panel\nα = {tail.exponent:.1f}, {tail.n_tail} of 1000 in tail"
    assert fig.axes[0].get_title() == stated
    assert {"end", "random", "power law", *power_law.ALTERNATIVES} < set(table["law"])
    curves = power_law.fitted_curves(degrees, tail)["share"]
    np.testing.assert_array_equal(table["share"].tail(len(curves)), curves)
    texts = [text.get_text() for text in fig.legends[0].get_texts()]
    assert sorted(texts) == sorted(table["law"].unique())


@pytest.mark.parametrize("degrees", [np.arange(1, 20), np.full(80, 7), np.zeros(80, int)])
def test_sequence_too_small_for_a_fit_is_said_to_be(degrees):
    fig, table = network_plots.fitted_tails({"panel": {"end": degrees}}, "title")
    n, m = (degrees > 0).sum(), len(set(degrees[degrees > 0]))
    stated = f"{n} neurons with links, of {m} different numbers of links"
    assert fig.axes[0].get_title() == f"panel\n{stated}"
    assert set(table["law"]) == {"end"}


def test_fitted_tails_of_nothing_say_not_run():
    fig, table = network_plots.fitted_tails({}, "title")
    assert [t.get_text() for t in fig.axes[0].texts] == ["not run"] and table.empty
    assert list(table.columns) == ["panel", "law", "k", "share"]


@pytest.mark.parametrize(("n_in", "n_out"), [(60, 30), (25, 50), (7, 8)])
def test_adjacency_pictures_show_every_link_in_its_cell(n_in, n_out, generator):
    (matrix,) = topology.to_matrices(
        [evolution.random_support(n_in, n_out, 0.1, generator=generator)]
    )
    fig, table = network_plots.adjacency_pictures({"layer": matrix}, "title")
    starts = [range(0, n, 25) for n in (n_out, n_in)]
    dense = matrix.toarray()
    desired = [[dense[i : i + 25, j : j + 25].mean() for j in starts[1]] for i in starts[0]]
    cells = table.set_index(["row", "column"])["density"].unstack()
    np.testing.assert_allclose(cells.astype(float), desired, rtol=1e-12)
    drawn = fig.axes[0].collections[0].get_array().filled(0)  # white where there are none
    np.testing.assert_allclose(drawn, desired, rtol=1e-12)


def test_adjacency_pictures_have_a_panel_a_layer():
    matrices = topology.to_matrices([evolution.support_from_keys(torch.tensor([0]), 60, 30)])
    fig, table = network_plots.adjacency_pictures(dict.fromkeys("ab", matrices[0]), "title")
    assert [ax.get_title() for ax in fig.axes] == ["a", "b", ""]  # the last is the colour bar
    assert all(ax.yaxis_inverted() for ax in fig.axes[:2])
    assert table.groupby("panel").size().to_dict() == {"a": 6, "b": 6}


def test_adjacency_pictures_of_nothing_say_not_run():
    fig, table = network_plots.adjacency_pictures({}, "title")
    assert [t.get_text() for t in fig.axes[0].texts] == ["not run"] and table.empty


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
    fig = network_plots.evidence_map(EVIDENCE, "title")
    assert [ax.get_title() for ax in fig.axes] == ["SET", "fixed"]
    _, empty, filled = fig.axes[0].lines  # the first marks a long tail
    assert filled.get_xdata().tolist() == [2.4] and filled.get_markerfacecolor() != "none"
    assert empty.get_xdata()[:2].tolist() == [7.0, 9.0] and empty.get_markerfacecolor() == "none"
    assert fig.axes[1].lines[2].get_ydata().tolist() == [30]


def test_evidence_map_has_the_band_of_scale_free_exponents():
    fig = network_plots.evidence_map(EVIDENCE, "title")
    (band,) = fig.axes[0].patches
    assert (band.get_x(), band.get_x() + band.get_width()) == power_law.SCALE_FREE
    assert fig.axes[0].lines[0].get_ydata()[0] == power_law.LONG_TAIL


def test_evidence_map_of_no_rows_says_not_run():
    fig = network_plots.evidence_map(EVIDENCE[:0], "title")
    assert [t.get_text() for t in fig.axes[0].texts] == ["not run"]
