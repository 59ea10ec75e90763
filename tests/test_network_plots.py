"""Pictures of supports and degrees: shares, counts and neurons without links, as stated."""

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pytest

from lib import evolution, network_plots, plotting, topology


@pytest.fixture(autouse=True)
def style():
    plotting.use_style()
    yield
    plt.close("all")


def test_ccdf_is_the_share_with_at_least_k_links():
    k, share = network_plots.ccdf(np.array([0, 1, 1, 3]))
    assert k.tolist() == [0, 1, 3] and share.tolist() == [1, 0.75, 0.25]


def test_isolated_neurons_are_stated():
    fig = network_plots.degree_distributions({"panel": {"line": np.array([0, 0, 1, 2])}}, "title")
    assert fig.axes[0].get_legend().get_texts()[0].get_text() == "line, 2 without links"


def test_input_maps_state_pixels_without_links():
    links = np.arange(784, dtype=np.int16) % 5
    fig, table = network_plots.input_maps({"made": links}, "title")
    assert fig.axes[0].get_title() == "made\n157 pixels without links"
    assert table["panel"].unique().tolist() == ["made"]
    assert table["links"].tolist() == links.tolist()
    assert table.loc[30, ["row", "column"]].tolist() == [1, 2]


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
