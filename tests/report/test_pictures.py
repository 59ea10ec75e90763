"""Images that fool networks, neurons at work, rows of images."""

import numpy as np
import pandas as pd
import pytest

from lib.report import pictures


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
    titles = [ax.get_title() for ax in fig.axes if ax.get_title()]
    assert titles == ["as it is\n7", "SET\n2\nL2 1.23", "bag\nbag\nL2 0.50"]
    image = fig.axes[0].images[0]
    assert image.get_array().shape == (4, 4) and image.get_clim() == (0, 1)


def test_below_what_fools_stands_its_change_ten_times():
    changed = row("SET", 2, 0.5)
    changed["pixels"] = changed["pixels"].copy()
    changed["pixels"][5] += 0.05
    fig = pictures.fooling_images(pd.DataFrame([row("as it is", 7, 0.0), changed]), "title")
    below = fig.axes[3].images[0].get_array()
    assert np.allclose(below, np.eye(16)[5].reshape(4, 4) / 2)
    assert not fig.axes[2].images  # the image as it is has no change


def test_numbers_of_rows_are_those_of_the_images_to_four_decimals(rng):
    images = rng.random((3, 4, 5))
    fig, table = pictures.image_rows({"one": images, "two": images}, "title")
    assert len(table) == 2 * 60
    row = table.query("name == 'two' and image == 1 and row == 2 and column == 3")
    assert row["value"].item() == round(images[1, 2, 3], 4)
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["one", "two"]


@pytest.mark.parametrize("n", [1, 3])
def test_images_of_a_row_stand_beside_each_other(rng, n):
    images = rng.random((n, 4, 5))
    fig, _ = pictures.image_rows({"one": images}, "title")
    image = fig.axes[0].images[0]
    strip = image.get_array()
    assert strip.shape == (4, 6 * n) and image.get_clim() == (0, 1)
    assert strip.mask[:, 5::6].all() and strip.mask.sum() == 4 * n
    assert np.array_equal(strip.compressed().reshape(4, n, 5).swapaxes(0, 1), images)


def test_images_of_a_wall_fill_line_by_line(rng):
    images = rng.random((6, 4, 5))
    fig, table = pictures.image_rows({"one": images}, "title", per_line=3)
    wall = fig.axes[0].images[0].get_array()
    assert wall.shape == (8, 18) and len(table) == 120
    assert np.array_equal(wall[4:, 6:11], images[4])


def test_signed_images_are_white_at_zero(rng):
    fig, _ = pictures.image_rows({"one": rng.normal(size=(2, 3, 3))}, "title", signed=True)
    image = fig.axes[0].images[0]
    low, high = image.get_clim()
    assert low == -high
    assert min(image.cmap(0.5)[:3]) > 0.95
    assert image.cmap(1.0)[0] > image.cmap(1.0)[2]
    assert fig.texts[1].get_text() == "red above 0, blue below"


def test_hidden_pixels_have_the_mean_colour(rng):
    images = rng.integers(0, 256, (1, 3, 6, 6), dtype=np.uint8)
    hidden = np.zeros((1, 6, 6), dtype=bool)
    hidden[0, :2] = True
    fig = pictures.seen_regions(images, np.ones((1, 6, 6)), hidden, "?")
    shown = fig.axes[2].images[0].get_array()
    desired = images[0].mean(axis=(1, 2)).round()
    np.testing.assert_array_equal(shown[0, 0], desired)
    np.testing.assert_array_equal(shown[5, 5], images[0, :, 5, 5])
