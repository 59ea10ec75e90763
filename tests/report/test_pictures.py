"""Images that fool networks, beside the image as it is."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib import colors

from lib.report import pictures, publishing


@pytest.fixture(autouse=True)
def style():
    publishing.use_style()
    yield
    plt.close("all")


def row(name, seen, distance, dataset="mnist"):
    pixels = np.linspace(0, 1, 16)
    return {
        "dataset": dataset,
        "name": name,
        "seen": seen,
        "distance": distance,
        "pixels": pixels,
    }


def test_each_picture_says_network_class_and_distance():
    rows = [row("as it is", 7, 0.0), row("SET", 2, 1.234), row("bag", 8, 0.5, "fashion_mnist")]
    fig = pictures.fooling_images(pd.DataFrame(rows), "title")
    titles = [ax.get_title() for ax in fig.axes if ax.images]
    assert titles == ["as it is\n7", "SET\n2\nL2 1.23", "bag\nbag\nL2 0.50"]
    image = fig.axes[0].images[0]
    assert image.get_array().shape == (4, 4) and image.get_clim() == (0, 1)


def test_no_pictures_say_not_run():
    nothing = pd.DataFrame([row("SET", 1, 0.0)])[:0]
    fig = pictures.fooling_images(nothing, "title")
    assert fig.axes[0].texts[0].get_text() == "not run"


def test_neurons_at_work_are_dark_and_counted():
    layers = {"inputs": np.array([True, False, True]), "hidden 1": np.ones(50, bool)}
    fig, table = pictures.neurons({"SET": layers}, "title")
    assert table.to_numpy().tolist() == [["SET", "inputs", 3, 2], ["SET", "hidden 1", 50, 50]]
    inputs, hidden = fig.axes[0].images
    assert inputs.get_array().compressed().tolist() == [1, 0, 1]
    assert [colors.to_hex(color) for color in inputs.cmap.colors] == [pictures.DEAD, pictures.ALIVE]
    assert hidden.get_array().count() == 50 and hidden.get_extent()[2] > inputs.get_extent()[3]
    assert [t.get_text() for t in fig.axes[0].texts] == ["inputs: 2 of 3", "hidden 1: 50 of 50"]
