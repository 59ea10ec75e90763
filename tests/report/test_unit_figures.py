"""Pictures of units draw the numbers they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib.report import labels, publishing, unit_figures
from lib.report.labels import look


@pytest.fixture(autouse=True)
def looks(monkeypatch):
    known = {"splash": look("SPLASH", "#0173b2", "-"), "relu": look("ReLU", "#000000", ":")}
    monkeypatch.setattr(labels, "METHOD_LOOKS", known)
    publishing.use_style()
    yield
    plt.close("all")


@pytest.fixture
def shapes():
    x = np.linspace(-2, 2, 5)
    parts = []
    for layer in ("activation1", "activation2"):
        for epoch in range(3):
            part = pd.DataFrame({"x": x, "y": np.maximum(x, -0.1 * epoch * x)})
            parts.append(part.assign(layer=layer, epoch=epoch))
    return pd.concat(parts)


def drawn(ax):
    """Curves of a panel, without the lines of its axes."""
    return [line for line in ax.lines if len(line.get_xdata()) > 2]


def test_learned_shapes_have_a_panel_a_layer_and_a_line_an_epoch(shapes):
    fig = unit_figures.learned_shapes(shapes, "title")
    panels = [ax for ax in fig.axes if drawn(ax)]
    assert [ax.get_title() for ax in panels] == ["unit 1", "unit 2"]
    last = drawn(panels[1])[2]
    assert len(drawn(panels[1])) == 3 and last.get_ydata().tolist() == [0.4, 0.2, 0, 1, 2]


def test_frames_show_the_start_and_the_shape_after_each_epoch(shapes):
    frames = list(unit_figures.shapes_over_epochs(shapes, "title", "digits"))
    assert len(frames) == 3
    start, now = drawn(frames[2].axes[0])
    assert start.get_ydata().tolist() == [0, 0, 0, 1, 2]
    assert now.get_ydata().tolist() == [0.4, 0.2, 0, 1, 2]
    assert [text.get_text() for text in frames[2].texts] == ["title", "digits · epoch 2"]


def test_constants_are_means_over_seeds_in_the_order_of_the_network():
    rows = []
    for seed, value in enumerate((1.0, 3.0)):
        for layer in ("conv2", "conv1"):
            rows.append(("digits", "relu", seed, "linear", layer, value))
    columns = ["dataset", "method", "seed", "kind", "layer", "value"]
    fig = unit_figures.layer_constants(pd.DataFrame(rows, columns=columns), "title")
    (line,) = fig.axes[0].lines
    assert line.get_ydata().tolist() == [2, 2] and line.get_label() == "ReLU"
    assert [text.get_text() for text in fig.axes[0].get_xticklabels()] == ["conv2", "conv1"]
    assert fig.texts[1].get_text() == "mean ± sd over seeds · n = 2"


def test_gaps_are_drawn_with_their_intervals():
    table = pd.DataFrame(
        {
            "dataset": ["digits", "digits"],
            "match": ["equal training", "equal slope"],
            "mean": [3.0, 1.0],
            "low": [1.0, -np.inf],
            "high": [5.0, np.inf],
        }
    )
    fig = unit_figures.matched_gaps(table, "title")
    ax = fig.axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["equal training", "equal slope"]
    (bars,) = ax.collections
    assert bars.get_segments()[0][:, 0].tolist() == [1, 5]  # and of one seed no bar
    assert bars.get_segments()[1][:, 0].tolist() == [1, 1]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: unit_figures.learned_shapes(EMPTY, "title"),
        lambda: next(unit_figures.shapes_over_epochs(EMPTY, "title")),
        lambda: unit_figures.layer_constants(EMPTY, "title"),
        lambda: unit_figures.matched_gaps(EMPTY, "title"),
    ],
)
def test_without_rows_a_figure_says_so(draw):
    assert draw().axes[0].texts[0].get_text() == "not run"


def test_gaps_stand_beside_their_names_where_a_panel_lacks_some():
    rows = [("fashion_mnist", "norms held", 1.0), ("mnist", "equal slope", 2.0)]
    rows.append(("mnist", "norms held", 3.0))
    table = pd.DataFrame(rows, columns=["dataset", "match", "mean"])
    fig = unit_figures.matched_gaps(table.assign(low=table["mean"], high=table["mean"]), "title")
    names = [text.get_text() for text in fig.axes[0].get_yticklabels()]
    heights = fig.axes[0].get_yticks().tolist()
    found = {}
    for ax in fig.axes:
        x, y = ax.containers[0].lines[0].get_data()
        places = [names[heights.index(height)] for height in y]
        found[ax.get_title()] = dict(zip(places, x, strict=True))
    assert list(found) == ["MNIST", "Fashion-MNIST"]
    assert found["MNIST"] == {"equal slope": 2, "norms held": 3}
    assert found["Fashion-MNIST"] == {"norms held": 1}


EMPTY = pd.DataFrame(columns="dataset method seed kind layer value epoch match x y".split())
