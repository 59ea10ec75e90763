"""Moving pictures: frames, order, files that do not change."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from lib.report import animation


@pytest.fixture
def maps():
    """Two networks at two and three epochs."""
    steps = {f"epoch {k}": np.arange(16) * k for k in range(3)}
    return {"SET": steps, "RigL": {name: steps[name] for name in ("epoch 0", "epoch 2")}}


def test_frames_are_the_epochs_that_all_networks_have(maps):
    frames = list(animation.input_frames(maps, "title"))
    titles = [[ax.get_title() for ax in fig.axes[:2]] for fig in frames]
    assert titles == [["SET: epoch 0", "RigL: epoch 0"], ["SET: epoch 2", "RigL: epoch 2"]]


def test_all_frames_have_one_colour_scale(maps):
    for fig in animation.input_frames(maps, "title"):
        assert {ax.images[0].get_clim() for ax in fig.axes[:2]} == {(0, 30)}


def test_rows_of_images_move_under_the_names_of_their_frames():
    images = np.zeros((2, 2, 3, 3))
    images[1, 1, 0, 0] = 1
    moving = dict(zip(("1 sweep", "2 sweeps"), images, strict=True))
    first, second = animation.image_frames(moving, "title")
    assert [fig.axes[0].get_title(loc="left") for fig in (first, second)] == list(moving)
    strip = second.axes[0].images[0].get_array()
    assert strip[0, 4] == 1 and strip.sum() == 1


def test_picture_holds_every_frame_and_ends_slowly(maps, tmp_path):
    path = tmp_path / "a.png"
    animation.write_animation(animation.input_frames(maps, "title"), path)
    with Image.open(path) as picture:
        assert picture.n_frames == 3  # what stands where nothing moves, and two frames
        pictures, shown = [], []
        for k in range(3):
            picture.seek(k)
            pictures.append(np.asarray(picture.convert("RGB")))
            shown.append(picture.info.get("duration"))
    assert shown[1:] == [animation.MILLISECONDS, animation.LAST]
    assert np.array_equal(pictures[0], pictures[2]) and (pictures[1] != pictures[2]).any()
    assert not plt.get_fignums()


def test_unchanged_maps_give_an_unchanged_file(maps, tmp_path):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        animation.write_animation(animation.input_frames(maps, "title"), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
