"""What numbers with intervals about 0 draw."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib.papers.pruning.labels import LABELS
from lib.report import front_figures, labels, publishing

labels.add(LABELS)


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        publishing.use_style()
        yield
    plt.close("all")


def said(fig):
    return [text.get_text() for ax in fig.axes for text in ax.texts]


def test_gaps_stand_at_their_values_first_name_above():
    table = pd.DataFrame(
        {
            "dataset": "rsmas",
            "name": ["first", "second"],
            "series": "accuracy",
            "value": [1.0, -2.0],
            "low": [0.5, -np.inf],
            "high": [1.5, np.inf],
            "n": [10, 10],
        }
    )
    fig = front_figures.gaps(table, "points", "?")
    drawn = fig.axes[0].lines[1].get_xydata()  # the first is that at 0
    np.testing.assert_allclose(drawn, [[1, 0], [-2, -1]])
    assert [tick.get_text() for tick in fig.axes[0].get_yticklabels()] == ["first", "second"]
    assert any(text.get_text().endswith("n = 10") for text in fig.texts)


def test_series_of_gaps_stand_beside_each_other_and_look_different():
    row = {"dataset": "rsmas", "name": "first", "low": -1.0, "high": 3.0, "n": 10}
    series = ("a", "b", "c", "d")
    table = pd.DataFrame([{"series": one, "value": i, **row} for i, one in enumerate(series)])
    fig = front_figures.gaps(table, "points", "?")
    lines = [line for line in fig.axes[0].lines if line.get_marker() in ("o", "s", "^", "D")]
    places = [line.get_ydata()[0] for line in lines]
    assert places == sorted(places, reverse=True) and len(set(places)) == 4
    assert max(places) == -min(places) < 0.5
    assert len({line.get_marker() for line in lines}) == 4


def test_a_name_without_numbers_on_a_data_set_says_so():
    row = {"series": "accuracy", "value": 1.0, "low": 0.5, "high": 1.5, "n": 10}
    places = [("rsmas", "first"), ("rsmas", "second"), ("citrus_leaves", "first")]
    rows = [{"dataset": dataset, "name": name, **row} for dataset, name in places]
    fig = front_figures.gaps(pd.DataFrame(rows), "points", "?")
    said = {ax.get_title(): [text.get_text() for text in ax.texts] for ax in fig.axes}
    assert said == {"RSMAS corals": [], "citrus leaves": ["no number"]}


def test_panels_of_gaps_by_another_column_have_axes_of_their_own():
    row = {"name": "first", "series": "epoch 8", "low": -5.0, "high": 0.2, "n": 5}
    rows = [{"rival": "near", "value": 0.1, **row}, {"rival": "far", "value": -4.0, **row}]
    rows[0]["low"] = 0.0
    fig = front_figures.gaps(pd.DataFrame(rows), "points", "?", panel="rival", sharex=False)
    near, far = fig.axes[:2]
    assert [near.get_title(), far.get_title()] == ["near", "far"]
    assert near.get_xlim()[0] > -1 and far.get_xlim()[0] < -5
    fig = front_figures.gaps(pd.DataFrame(rows), "points", "?", panel="rival")
    assert fig.axes[0].get_xlim() == fig.axes[1].get_xlim()


def test_series_of_gaps_are_centred_in_their_panel_and_look_alike_in_all():
    row = {"name": "first", "value": 1.0, "low": 0.0, "high": 2.0}
    places = [("rsmas", "a", 5), ("rsmas", "b", 5), ("citrus_leaves", "b", 3)]
    rows = [{"dataset": d, "series": s, "n": n, **row} for d, s, n in places]
    fig = front_figures.gaps(pd.DataFrame(rows), "points", "?")
    drawn = []
    for ax in fig.axes[:2]:
        lines = [line for line in ax.lines if line.get_marker() in ("o", "s")]
        drawn.append([(line.get_marker(), line.get_ydata()[0]) for line in lines])
    assert drawn == [[("o", 0.13), ("s", -0.13)], [("s", 0.0)]]
    assert any(text.get_text().endswith("n = 5 and 3") for text in fig.texts)


def test_names_of_many_series_do_not_run_into_each_other():
    row = {"dataset": "rsmas", "value": 1.0, "low": 0.0, "high": 2.0, "n": 5}
    rows = [{"name": name, "series": one, **row} for one in "abcd" for name in ("first", "second")]
    fig = front_figures.gaps(pd.DataFrame(rows), "points", "?")
    lines = [line for line in fig.axes[0].lines if line.get_marker() in ("o", "s", "^", "D")]
    above = min(line.get_ydata()[0] for line in lines)
    below = max(line.get_ydata()[1] for line in lines)
    apart = lines[0].get_ydata()[0] - lines[1].get_ydata()[0]
    assert above - below > 1.5 * apart > 0


def test_every_panel_of_gaps_has_numbers_below_it():
    row = {"name": "first", "series": "accuracy", "value": 1.0, "low": 0.5, "high": 1.5, "n": 10}
    datasets = ("rsmas", "citrus_leaves", "rps28", "eye_fundus", "cifar10")
    fig = front_figures.gaps(pd.DataFrame([{"dataset": d, **row} for d in datasets]), "points", "?")
    fig.draw_without_rendering()
    panels = [ax for ax in fig.axes if ax.get_title()]
    assert len(panels) == 5
    for ax in panels:
        assert any(tick.label1.get_visible() for tick in ax.xaxis.get_major_ticks())


def test_what_was_not_run_is_said():
    empty = pd.DataFrame(columns=["dataset", "name", "series", "value"])
    assert said(front_figures.gaps(empty, "points", "?")) == ["not run"]
