"""Rows of images, and rows that move."""

import io

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from lib.report import image_figures, publishing


def test_numbers_are_those_of_the_images(rng):
    images = rng.random((3, 4, 5))
    fig, table = image_figures.image_rows({"one": images, "two": images}, "title")
    plt.close(fig)
    assert len(table) == 2 * 60
    row = table.query("name == 'two' and image == 1 and row == 2 and column == 3")
    assert row["value"].item() == images[1, 2, 3]
    assert len(fig.axes) == 2


def test_signed_images_are_white_at_zero(rng):
    fig, _ = image_figures.image_rows({"one": rng.normal(size=(2, 3, 3))}, "title", signed=True)
    low, high = fig.axes[0].images[0].get_clim()
    plt.close(fig)
    assert low == -high


def test_no_images_say_not_run():
    fig, table = image_figures.image_rows({}, "title")
    plt.close(fig)
    assert table.empty and fig.axes[0].texts[0].get_text() == "not run"


def test_animation_shows_every_frame():
    frames = np.zeros((4, 2, 3, 5))
    for k in range(4):
        frames[k, 1, 2, k] = 1
    gif = Image.open(io.BytesIO(image_figures.animation(frames)))
    assert gif.n_frames == 4 and gif.size == (3 * 12, 3 * 3)
    for k in range(4):
        gif.seek(k)
        page = np.asarray(gif.convert("L"))
        assert page[7, 3 * (6 + k) + 1] == 0 and (page == 0).sum() == 9


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "FIGURES", tmp_path)
    return tmp_path


def test_animation_is_published_beside_figures(folder):
    publishing.begin("99_new", "smoke")
    gif = image_figures.animation(np.zeros((2, 1, 3, 3)))
    publishing.publish_animation(gif, "moving")
    assert (folder / "smoke" / "99_new" / "moving.gif").read_bytes() == gif
