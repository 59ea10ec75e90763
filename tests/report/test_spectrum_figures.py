"""Pictures of spectra draw the numbers they are given."""

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


def line(ax, label):
    [found] = [one for one in ax.lines if one.get_label() == label]
    return np.array(found.get_xydata())


def bars(ax, label):
    """The points of an errorbar, and the ends of its bars."""
    [found] = [one for one in ax.containers if one.get_label() == label]
    segments = [np.array(one.get_segments()[0]) for one in found.lines[2]]
    return np.array(found.lines[0].get_xydata()), segments


def table(**columns):
    return pd.DataFrame({"dataset": "cifar10", **columns})


def test_spectra_are_means_of_logarithms_over_seeds():
    rows = table(
        panel="test images",
        method="kh",
        seed=[0, 0, 1, 1],
        rank=[1, 2, 1, 2],
        share=[1.0, 0.1, 1.0, 0.001],
    )
    fig, data = spectrum_figures.spectra(rows, "title", ranks=(1, 2))
    np.testing.assert_allclose(line(fig.axes[0], "KH"), [[1, 0], [2, -2]])
    assert data["sd"].iloc[-1] == pytest.approx(np.std([-1, -3], ddof=1)) and set(data["n"]) == {2}
    assert fig.axes[0].get_title() == "test images"


def test_long_spectra_are_drawn_at_some_ranks_alone():
    ranks = np.arange(1, 2001)
    rows = table(panel="p", method="kh", seed=0, rank=ranks, share=1.0 / ranks)
    fig, data = spectrum_figures.spectra(rows, "title")
    assert len(data) < 70 and {1, 2000} <= set(data["rank"])
    x, y = line(fig.axes[0], "KH").T
    np.testing.assert_allclose(y, -np.log10(x))


@pytest.mark.parametrize(
    ("power", "text"), [(0, "1"), (-2, "0.01"), (-3, "0.001"), (-4, "$10^{-4}$")]
)
def test_powers_of_ten_are_short(power, text):
    assert spectrum_figures._power_of_ten(power) == text


def test_exponents_have_a_row_a_range_and_a_panel_a_weighting():
    rows = []
    for seed in range(2):
        for weighted in (False, True):
            rows.append((seed, "kh", "10 to 500", weighted, 2.0 + seed + weighted))
            rows.append((seed, "kh", "10 to 100", weighted, 1.0))
    columns = ["seed", "method", "range", "weighted", "value"]
    found = pd.DataFrame(rows, columns=columns).assign(dataset="cifar10")
    fig, _ = spectrum_figures.exponents_by_range(found, "title")
    ordinary, weighted = fig.axes
    assert [ax.get_title() for ax in fig.axes] == ["every rank alike", "weighted by 1 / rank"]
    points, (segment, *_) = bars(ordinary, "KH")
    np.testing.assert_allclose(points, [[2.5, 0], [1, -1]])
    np.testing.assert_allclose(segment[:, 0], 2.5 + np.sqrt(0.5) * np.array([-1, 1]))
    np.testing.assert_allclose(bars(weighted, "KH")[0][0], [3.5, 0])
    names = [text.get_text() for text in ordinary.get_yticklabels()]
    assert names == ["10 to 500", "10 to 100"]


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


def points(published):
    values = {"accuracy": 0.4, "pgd": 2.0}
    rows = []
    for method, factor in (("kh", 1.0), ("bp", 0.5)):
        for seed, shift in enumerate((0.9, 1.1)):
            for measure, value in values.items():
                rows.append(("corrected", method, seed, measure, value * factor * shift, False))
        if published:
            rows.append(("published", method, 0, "accuracy", 0.7, True))
            rows.append(("published", method, 0, "pgd", 3.0, True))
    columns = ["network", "method", "seed", "measure", "value", "published"]
    return pd.DataFrame(rows, columns=columns).assign(dataset="cifar10")


def test_accuracy_stands_over_norms_with_bars_over_seeds():
    fig, data = spectrum_figures.norms_against_accuracy(points(False), {"pgd": "PGD"}, "title")
    [ax] = fig.axes
    drawn, (horizontal, vertical) = bars(ax, "KH")
    np.testing.assert_allclose(drawn, [[2.0, 0.4]])
    spread = np.std([0.9, 1.1], ddof=1)
    np.testing.assert_allclose(horizontal[:, 0], 2 * (1 + spread * np.array([-1, 1])))
    np.testing.assert_allclose(vertical[:, 1], 0.4 * (1 + spread * np.array([-1, 1])))
    np.testing.assert_allclose(bars(ax, "BP")[0], [[1.0, 0.2]])
    assert ax.get_title() == "PGD" and set(data["n"]) == {2}


def test_published_points_are_hollow_and_have_no_name():
    fig, _ = spectrum_figures.norms_against_accuracy(points(True), {"pgd": "PGD"}, "title")
    hollow = [one for one in fig.axes[0].containers if one.get_label() == "_"]
    assert len(hollow) == 2
    for one in hollow:
        assert one.lines[0].get_markerfacecolor() == "white"
        np.testing.assert_allclose(one.lines[0].get_xydata(), [[3.0, 0.7]])


def test_a_network_without_a_median_has_no_point():
    found = points(False)
    found = found[(found["method"] == "bp") | (found["measure"] == "accuracy")]
    fig, _ = spectrum_figures.norms_against_accuracy(found, {"pgd": "PGD"}, "title")
    assert [one.get_label() for one in fig.axes[0].containers] == ["BP"]


def test_norms_of_different_data_sets_may_have_axes_of_their_own():
    both = pd.concat([points(False), points(False).assign(dataset="fashion_mnist")])
    shared, _ = spectrum_figures.norms_against_accuracy(both, {"pgd": "PGD"}, "title")
    own, _ = spectrum_figures.norms_against_accuracy(both, {"pgd": "PGD"}, "title", own_axes=True)
    assert {ax.get_xscale() for ax in shared.axes} == {"log"}
    assert {ax.get_xscale() for ax in own.axes} == {"linear"}
    for fig, together in ((shared, True), (own, False)):
        first, second = fig.axes
        first.set_xlim(1, 9)
        assert (second.get_xlim() == (1, 9)) == together


EMPTY = pd.DataFrame(
    columns="dataset network panel method seed rank share range weighted measure value"
    " steps norm published".split()
)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: spectrum_figures.spectra(EMPTY, "title"),
        lambda: spectrum_figures.exponents_by_range(EMPTY, "title"),
        lambda: spectrum_figures.courses(EMPTY, "steps", {"norm": "norm"}, "title", xlabel="x"),
        lambda: spectrum_figures.norms_against_accuracy(EMPTY, {"pgd": "PGD"}, "title"),
    ],
)
def test_without_rows_a_figure_says_so(draw):
    fig, _ = draw()
    assert fig.axes[0].texts[0].get_text() == "not run"
