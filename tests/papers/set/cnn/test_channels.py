"""Links and usefulness of channels, against another library and cases known by hand."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from sklearn.feature_selection import f_classif

from lib import layers
from lib.papers.set.cnn import channels, pictures
from lib.report import publishing
from lib.support import make_support
from tests.papers.set.cnn.made import watched


def test_usefulness_is_that_of_an_analysis_of_variance(generator):
    n, n_classes = 60, 4
    y = torch.arange(n) % n_classes
    maps = torch.randn(n, 5, 3, generator=generator)
    maps += y[:, None, None] * torch.linspace(0, 1, 5)[None, :, None]
    f, _ = f_classif(maps.mean(2).numpy(), y.numpy())
    ratio = f * (n_classes - 1) / (n - n_classes)
    actual = channels.usefulness(maps, y)
    np.testing.assert_allclose(actual, ratio / (1 + ratio), rtol=1e-9)


def test_usefulness_is_one_where_the_class_says_all_and_zero_where_nothing_varies():
    y = torch.tensor([0, 0, 1, 1])
    maps = torch.stack([y.double(), torch.ones(4), torch.tensor([0.0, 1, 0, 1])], dim=1)
    actual = channels.usefulness(maps.unsqueeze(2), y)
    torch.testing.assert_close(actual, torch.tensor([1.0, 0, 0]))


def test_links_of_channels_are_counted_by_hand():
    dense = torch.zeros(3, 6)
    dense[0, [0, 1, 4]] = 1
    dense[2, 1] = 1
    rows, cols = dense.nonzero(as_tuple=True)
    support = make_support(rows, cols, 6, 3)
    layer = layers.SparseLinear(6, 3, support=support)
    assert channels.links_of_channels(layer, 3).tolist() == [3, 0, 1]
    assert channels.links_of_channels(torch.nn.Linear(6, 3), 3).tolist() == [6, 6, 6]


def test_course_tells_whether_links_go_with_usefulness():
    useful = np.linspace(0.1, 0.9, 10)
    links = [np.full(10, 7), np.arange(10), np.arange(10)[::-1]]
    table = channels.course([watched("set", links, [useful] * 3)])
    assert table["epoch"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(table["correlation"], [np.nan, 1, -1])
    np.testing.assert_allclose(table["share"], [0.1, 9 / 45, 0])
    assert table["usefulness"].tolist() == pytest.approx([0.5] * 3)


@pytest.fixture
def style():
    publishing.use_style()
    yield
    plt.close("all")


def test_picture_has_the_most_useful_channel_at_the_top(style):
    record = watched("set", [[2, 2, 2], [1, 4, 1]], [[0, 0, 0], [0.1, 0.2, 0.3]])
    fig, table = pictures.links_of_channels([record], "title")
    last = table[table["epoch"] == 1].set_index("rank")["links"]
    assert last.tolist() == [0.5, 2, 0.5] and set(table["panel"]) == {"SET"}
    assert len(fig.axes) == 2


def test_picture_of_nothing_says_so(style):
    fig, table = pictures.links_of_channels([], "title")
    assert table.empty and "not run" in [text.get_text() for text in fig.axes[0].texts]
