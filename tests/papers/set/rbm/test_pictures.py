"""What SET gains over its rivals, as a picture: hollow where nothing is decided."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from lib.papers.set.rbm import pictures, tables
from lib.report import publishing
from tests.papers.set.rbm.records import seeds


@pytest.fixture(autouse=True)
def style():
    publishing.use_style()
    yield
    plt.close("all")


@pytest.fixture
def ranked():
    runs = seeds("set", [-82.0, -83.0]) + seeds("dense", [-90.0, -91.5])
    runs += seeds("fixed", [-82.0, -83.1])  # .05 nats, less than three standard errors
    return tables.ranked(tables.outcomes(runs))


def test_points_are_the_gains_and_hollow_where_not_told_apart(ranked):
    ax = pictures.differences(ranked, "title").axes[0]
    drawn = {line.get_xdata()[0]: line.get_mfc() for line in ax.lines if line.get_marker() in "sDo"}
    gains = dict(zip(ranked["nats"], ranked["told apart"], strict=True))
    assert set(drawn) == set(gains) and len(drawn) == 2
    for gain, is_apart in gains.items():
        assert (to_rgb(drawn[gain]) != (1, 1, 1)) == is_apart
    assert [label.get_text() for label in ax.get_yticklabels()] == ["DNA"]


def test_interval_of_one_seed_is_not_drawn():
    one = tables.ranked(tables.outcomes(seeds("set", [-82.0]) + seeds("dense", [-90.0])))
    ax = pictures.differences(one, "title").axes[0]
    (bar,) = ax.collections
    assert np.isnan(np.array(bar.get_segments())).any() or len(bar.get_segments()[0]) == 0


def test_nothing_run_is_said():
    fig = pictures.differences(pd.DataFrame(columns=["dataset"]), "title")
    assert "not run" in [text.get_text() for text in fig.axes[0].texts]
