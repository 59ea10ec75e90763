"""Sketches show the numbers they are given, on one honest scale."""

import numpy as np

from lib.report import labels, sketches

HALF = np.array([[0.0, 1.0], [np.nan, 2.0]])


def images_of(fig):
    return [ax.images[0] for ax in fig.axes if ax.images]


def test_matrices_share_one_scale_and_have_their_names_above():
    fig = sketches.matrices({"first": HALF, "second": 3 * HALF}, "title", "weight")
    images = images_of(fig)
    assert [image.axes.get_title() for image in images] == ["first", "second"]
    assert [image.get_clim() for image in images] == [(0, 6), (0, 6)]
    assert np.array_equal(images[1].get_array().filled(np.nan), 3 * HALF, equal_nan=True)
    assert images[0].get_cmap().name == labels.SEQUENTIAL


def test_nothing_is_drawn_where_there_is_no_number():
    (image,) = images_of(sketches.matrices({"one": HALF}, "title", "weight"))
    colours = image.to_rgba(image.get_array())
    assert colours[1, 0, 3] == 0 and (colours[[0, 0, 1], [0, 1, 1], 3] == 1).all()


def test_scale_of_numbers_of_both_signs_is_symmetric():
    (image,) = images_of(sketches.matrices({"one": HALF - 0.5}, "title", "weight"))
    assert image.get_clim() == (-1.5, 1.5)
    assert image.get_cmap().name == labels.SIGNED
