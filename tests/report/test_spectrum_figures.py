"""Courses of training draw the numbers they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib.report import labels, publishing, spectrum_figures
from lib.report.labels import look


@pytest.fixture(autouse=True)
def looks(monkeypatch):
    known = {"kh": look("KH", "#cc3311", "-"), "bp": look("BP", "#000000", ":")}
    monkeypatch.setattr(labels, "METHOD_LOOKS", known)
    with plt.rc_context():
        publishing.use_style()
        yield
    plt.close("all")


def table(**columns):
    return pd.DataFrame({"dataset": "cifar10", **columns})


def test_courses_have_a_panel_a_measure():
    rows = table(
        method="kh", seed=[0, 0, 1, 1], steps=[0, 10, 0, 10], changed=[0, 1, 0, 0.5], norm=2.0
    )
    measures = {"changed": "units that changed", "norm": "mean norm"}
    fig, data = spectrum_figures.courses(rows, "steps", measures, "title", xlabel="steps a unit")
    first, second = fig.axes
    np.testing.assert_allclose(first.lines[0].get_xydata(), [[0, 0], [10, 0.75]])
    np.testing.assert_allclose(second.lines[0].get_ydata(), [2, 2])
    assert [ax.get_title() for ax in fig.axes] == list(measures.values())
    assert [ax.get_ylabel() for ax in fig.axes] == ["CIFAR-10", ""]
    assert set(data["measure"]) == set(measures)


def test_a_logarithmic_course_leaves_out_zero():
    rows = table(method="kh", seed=0, steps=[0, 1, 10], norm=[9.0, 2.0, 1.0])
    options = {"xlabel": "steps", "log": True}
    fig, data = spectrum_figures.courses(rows, "steps", {"norm": "norm"}, "title", **options)
    assert data["steps"].tolist() == [1, 10] and fig.axes[0].get_xscale() == "log"


def test_without_rows_a_figure_says_so():
    empty = pd.DataFrame(columns=["dataset", "method", "seed", "steps", "norm"])
    fig, _ = spectrum_figures.courses(empty, "steps", {"norm": "norm"}, "title", xlabel="x")
    assert fig.axes[0].texts[0].get_text() == "not run"
