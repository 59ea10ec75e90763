"""Figures: files that do not change, numbers that are those of the records, panels that say so."""

import io

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lib import evolution, experiments, methods, plotting, records, topology


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(plotting, "FIGURES", tmp_path)
    plotting.use_style()
    yield tmp_path
    plt.close("all")


def record(method, seed, accuracies, dataset="mnist"):
    """A record with given test accuracies by epoch."""
    config = experiments.Config("made", dataset=dataset, method=method, seed=seed)
    metrics = pd.DataFrame(
        {"epoch": range(1, len(accuracies) + 1), "test_accuracy": accuracies, "links": 100}
    ).assign(valid_accuracy=np.nan)
    degrees = np.arange(784, dtype=np.int16) % 5
    environment = {"architecture": "784-10-10", "seconds": 1.0}
    environment["final"] = {"test_accuracy": accuracies[-1], "links": 70}
    arrays = {"linear1.out_degree.final": degrees}
    return records.Record(config, metrics, arrays, environment, None)


@pytest.fixture
def found():
    return [
        record("set", 0, [0.90, 0.92, 0.94]),
        record("set", 1, [0.92, 0.94, 0.98]),
        record("fixed", 0, [0.80, 0.85, 0.90]),
    ]


def test_same_figure_gives_the_same_files(found, folder):
    names = ("a.svg", "a.png", "a.csv")
    files = []
    for _ in range(2):
        fig = plotting.accuracy_curves(found, "title")
        plotting.save_figure(fig, "a", "book", "smoke", plotting.curves(found))
        files.append([(folder / "smoke" / "book" / name).read_bytes() for name in names])
    assert files[0] == files[1]


def test_curves_are_mean_and_sample_deviation_over_seeds(found):
    table = plotting.curves(found).set_index(["method", "epoch"])
    row = table.loc["set", 3]
    assert row["mean"] == pytest.approx(0.96) and row["n"] == 2
    assert row["sd"] == pytest.approx(np.std([0.94, 0.98], ddof=1))


def test_accuracy_figure_names_data_set_methods_and_n(found):
    fig = plotting.accuracy_curves(found, "title")
    ax = fig.axes[0]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert ax.get_title() == "MNIST" and texts == [
        "SET (n = 2)",
        "fixed random support (n = 1)",
    ]


def test_figures_without_records_say_not_run():
    figures = [plotting.accuracy_curves([], "t"), plotting.input_maps([], "t")[0]]
    figures.append(
        plotting.cost_curves(pd.DataFrame(columns=["measure", "contender", "n"]), "n", "t")
    )
    assert all("not run" in [t.get_text() for t in fig.axes[0].texts] for fig in figures)


def test_summary_states_links_accuracy_and_n(found):
    table = plotting.summary_table(found).set_index("method")
    assert table.loc["SET", "last epoch"] == "96.00 ± 2.83" and table.loc["SET", "n"] == 2
    assert table.loc["fixed random support", "last epoch"] == "90.00"
    assert table.loc["SET", "links at the end"] == "70"


def test_ccdf_is_the_share_with_at_least_k_links():
    k, share = plotting.ccdf(np.array([0, 1, 1, 3]))
    assert k.tolist() == [0, 1, 3] and share.tolist() == [1, 0.75, 0.25]


def test_isolated_neurons_are_stated():
    fig = plotting.degree_distributions({"panel": {"line": np.array([0, 0, 1, 2])}}, "title")
    assert fig.axes[0].get_legend().get_texts()[0].get_text() == "line, 2 without links"


def test_input_maps_state_pixels_without_links(found):
    fig, table = plotting.input_maps(found[:1], "title")
    assert "157 pixels without links" in fig.axes[0].get_title()
    assert len(table) == 784 and table["links"].sum() == sum(i % 5 for i in range(784))


def test_network_picture_counts_the_links_it_shows(generator):
    supports = [evolution.random_support(20, 20, 0.3, generator=generator) for _ in range(2)]
    graph = topology.to_networkx(supports)
    fig, nodes = plotting.network_pictures({"start": graph}, n_shown=5, title="title")
    shown = graph.subgraph(nodes[["layer", "index"]].itertuples(index=False, name=None))
    assert len(nodes) == 15 and f"{shown.number_of_edges():,} links" in fig.axes[0].get_title()
    assert nodes["degree"].max() == max(degree for _, degree in nx.degree(graph))


def test_paired_table_gives_points(found):
    table = plotting.paired_table(found, [("set", "fixed"), ("set", "dense")])
    assert table["points"].tolist() == [4.0] and table["n"].tolist() == [1]


# perturbations


@pytest.fixture
def perturbed():
    """Two draws of each of two seeds of SET, one of a fixed support, at one strength."""
    rows = [("set", 0, 0.9), ("set", 0, 0.7), ("set", 1, 0.4), ("set", 1, 0.6), ("fixed", 0, 0.1)]
    table = pd.DataFrame(rows, columns=["method", "seed", "accuracy"])
    return table.assign(dataset="mnist", kind="one", strength=0.5)


def test_perturbed_curves_average_draws_within_seeds(perturbed):
    columns = "strength", "accuracy", "kind"
    fig, numbers = plotting.perturbed_curves(perturbed, *columns, "title", ylabel="accuracy")
    row = numbers.set_index("method").loc["set"]
    assert row["mean"] == pytest.approx(0.65) and row["n"] == 2
    assert row["sd"] == pytest.approx(np.std([0.8, 0.5], ddof=1))
    assert fig.axes[0].get_title() == "one" and "MNIST" in fig.axes[0].get_ylabel()
    assert fig.axes[0].get_ylim()[0] == 0
    assert "n = 1 or 2 seeds" in fig.get_suptitle()


def test_perturbed_curves_without_records_say_not_run(perturbed):
    fig, numbers = plotting.perturbed_curves(perturbed[:0], "strength", "accuracy", "kind", "t")
    assert "not run" in fig.get_suptitle() and numbers.empty


def test_effects_are_drawn_with_their_intervals():
    contrast = next(iter(plotting.CONTRASTS))
    row = {"dataset": "mnist", "measure": "pgd", "contrast": contrast, "value": 1.0}
    table = pd.DataFrame([row | {"low": 0.5, "high": 1.7, "n": 5}])
    fig = plotting.effects(table, {"pgd": "PGD", "other": "other"}, "title")
    (ax,) = fig.axes
    (bar,) = ax.collections
    assert bar.get_segments()[0][:, 0].tolist() == [0.5, 1.7]
    assert [t.get_text() for t in ax.get_yticklabels()] == [contrast]
    assert ax.get_xlabel() == "PGD"


def test_every_contrast_is_between_known_methods():
    assert {m for pair in plotting.CONTRASTS.values() for m in pair} <= set(plotting.METHODS)
    assert set(plotting.METHODS) == set(methods.METHODS)


def test_transfer_matrix_puts_the_source_in_the_row():
    rows = [("set", "set", 0.1), ("set", "fixed", 0.6), ("fixed", "set", 0.7)]
    table = pd.DataFrame(rows, columns=["source", "target", "accuracy"]).assign(dataset="mnist")
    ax = plotting.transfer_matrices(table, "title").axes[0]
    drawn = ax.collections[0].get_array().reshape(2, 2)
    assert drawn[0].tolist() == [0.1, 0.6] and drawn[1, 0] == 0.7 and drawn.mask[1, 1]


def test_shown_figure_is_a_small_picture_of_the_same_size(found, monkeypatch):
    shown = []
    monkeypatch.setattr(plotting.display, "display", shown.append)
    fig = plotting.accuracy_curves(found, "title")
    pixels = tuple(int(side) for side in fig.get_size_inches() * fig.dpi)
    plotting.show(fig)
    picture = Image.open(io.BytesIO(shown[0].data))
    assert picture.size == pixels and len(picture.convert("RGB").getcolors()) <= 64
    assert not plt.fignum_exists(fig.number)
