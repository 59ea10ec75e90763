"""Figures: files that do not change, numbers that are those of the tables, panels that say so."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lib import methods, plotting


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(plotting, "FIGURES", tmp_path)
    plotting.use_style()
    yield tmp_path
    plt.close("all")


@pytest.fixture
def curves():
    """Two seeds of SET, one of a fixed support."""
    rows = [("set", 1, 0.91, 0.01, 2), ("set", 2, 0.96, 0.03, 2), ("fixed", 2, 0.9, None, 1)]
    table = pd.DataFrame(rows, columns=["method", "epoch", "mean", "sd", "n"])
    return table.assign(dataset="mnist")


def test_same_figure_gives_the_same_files(curves, folder):
    names = ("a.svg", "a.png", "a.csv")
    files = []
    for _ in range(2):
        fig = plotting.accuracy_curves(curves, "title")
        plotting.save_figure(fig, "a", "book", "smoke", curves)
        files.append([(folder / "smoke" / "book" / name).read_bytes() for name in names])
    assert files[0] == files[1]


def test_accuracy_figure_names_data_set_methods_and_n(curves):
    fig = plotting.accuracy_curves(curves, "title")
    ax = fig.axes[0]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert ax.get_title() == "MNIST" and texts == ["SET (n = 2)", "fixed random support (n = 1)"]


def test_figures_without_numbers_say_not_run(curves):
    costs = pd.DataFrame(columns=["measure", "contender", "n"])
    figures = plotting.accuracy_curves(curves[:0], "t"), plotting.cost_curves(costs, "n", "t")
    assert all("not run" in [t.get_text() for t in fig.axes[0].texts] for fig in figures)


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


def test_shown_figure_is_a_small_picture_of_the_same_size(curves, monkeypatch):
    shown = []
    monkeypatch.setattr(plotting.display, "display", shown.append)
    fig = plotting.accuracy_curves(curves, "title")
    pixels = tuple(int(side) for side in fig.get_size_inches() * fig.dpi)
    plotting.show(fig)
    picture = Image.open(io.BytesIO(shown[0].data))
    assert picture.size == pixels and len(picture.convert("RGB").getcolors()) <= 64
    assert not plt.fignum_exists(fig.number)
