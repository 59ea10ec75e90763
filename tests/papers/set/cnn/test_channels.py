"""Links and usefulness of channels, against another library and cases known by hand."""

import numpy as np
import torch
from sklearn.feature_selection import f_classif

from lib import layers
from lib.support import make_support
from papers.set.cnn import channels
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


def test_table_has_a_row_for_each_channel_after_each_epoch():
    links, useful = [[2, 2, 2], [1, 4, 1]], [[0, 0, 0], [0.1, 0.2, 0.3]]
    records = [watched("set", links, useful), watched("rigl", links, useful, seed=1)]
    table = channels.by_epoch(records).set_index(["method", "seed", "epoch", "channel"])
    assert len(table) == 2 * 2 * 3
    row = table.loc["rigl", 1, 1, 1]
    assert (row["links"], row["usefulness"]) == (4, 0.2)
    assert table["links"].groupby(level="epoch").sum().tolist() == [12, 12]


def test_table_of_nothing_has_its_columns():
    assert [*channels.by_epoch([])] == [*channels.by_epoch([watched("set", [[1]], [[0.5]])])]
