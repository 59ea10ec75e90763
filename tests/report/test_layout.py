"""Where things stand in a figure."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib import ticker

from lib.bench import COLUMNS
from lib.report import benchmark, layout, network_figures, pictures, takeaways

LONG = "An answer of many words, which stands in two lines of about the same length; here they end"


@pytest.mark.parametrize(
    ("n", "inches"),
    [(1, (4.0, 2)), (2, (6.0, 2)), (3, (8.0, 2)), (4, (8.0, 4))],
    ids=str,
)
def test_panels_wrap(n, inches):
    fig, axs = layout.panels(n, 2, 2, "title", margin=2)
    assert len(axs) == n and tuple(fig.get_size_inches()) == inches
    drawn = [ax for ax in fig.axes if ax.axison]
    assert drawn == axs


def test_figure_is_not_wider_than_a_page():
    fig, _ = layout.panels(3, 7, 2, "title")
    assert fig.get_figwidth() == layout.WIDTH


NO_ROWS = pd.DataFrame(columns=[*COLUMNS, "dataset", "name", "seen", "distance", "pixels"])
NO_IMAGES = np.zeros((0, 4, 4))
OF_NOTHING = {
    "panels": lambda: layout.panels(0, 3, 4, "title"),
    "step_bars": lambda: (benchmark.step_bars(NO_ROWS, "title"), None),
    "cost_curves": lambda: (benchmark.cost_curves(NO_ROWS, "n", "title"), None),
    "input_maps": lambda: network_figures.input_maps({}, "title"),
    "adjacency_pictures": lambda: network_figures.adjacency_pictures({}, "title"),
    "fooling_images": lambda: (pictures.fooling_images(NO_ROWS, "title"), None),
    "image_rows": lambda: pictures.image_rows({}, "title"),
    "seen_regions": lambda: (
        pictures.seen_regions(NO_IMAGES[:, None], NO_IMAGES, NO_IMAGES > 0, "title"),
        None,
    ),
}


@pytest.mark.parametrize("name", OF_NOTHING)
def test_picture_of_nothing_is_one_panel_that_says_so(name):
    fig, others = OF_NOTHING[name]()
    (ax,) = (ax for ax in fig.axes if ax.axison)
    assert [text.get_text() for text in ax.texts] == ["not run"] and len(ax.get_xticks()) == 0
    assert name == "panels" or others is None or others.empty


def test_logarithmic_axis_has_plain_numbers():
    fig, ax = plt.subplots()
    ax.plot([1, 1000], [1, 2])
    layout.log_x(ax, ticker.FixedLocator([5, 250]))
    fig.canvas.draw()
    shown = [label.get_text() for label in ax.get_xticklabels()]
    assert shown == ["5", "250"]


def test_figure_is_as_wide_as_its_heading():
    fig, _ = layout.panels(1, 2, 2, "a question that is longer than its only panel is wide")
    (title, _) = fig.texts
    assert title.get_window_extent().x1 <= fig.bbox.x1
    assert 2 < fig.get_figwidth() <= layout.WIDTH


@pytest.mark.parametrize(("top", "shown"), [(3, ["1", "2", "3"]), (300, ["1", "10", "100"])])
def test_logarithmic_axes_have_no_powers(top, shown):
    fig, ax = plt.subplots()
    ax.set(xscale="log", yscale="linear", xlim=(1, top))
    layout.plain_logs(ax)
    fig.canvas.draw()
    labels = [*ax.get_xticklabels(), *ax.get_xticklabels(minor=True)]
    inside = [label for label in labels if 1 <= label.get_position()[0] <= top]
    assert sorted((label.get_text() for label in inside if label.get_text()), key=float) == shown


@pytest.mark.parametrize(
    "number, text",
    [
        (1e-6, "0.000001"),
        (2.5e-10, "0.00000000025"),
        (0.001, "0.001"),
        (0, "0"),
        (123456789, "123,456,789"),
        (1e10, "10,000,000,000"),
        (3 * 1e-5, "0.00003"),
    ],
)
def test_ticks_are_plain_numbers(number, text):
    assert layout.plain(number) == text


def test_long_names_are_broken_beside_a_panel():
    assert layout.beside("MNIST\nfixed random support") == "MNIST\nfixed random support"
    assert layout.beside("digits (scikit-learn, 8 × 8)") == "digits (scikit-learn,\n8 × 8)"


@pytest.mark.parametrize("answer", ["", "an answer", LONG], ids=["none", "short", "long"])
@pytest.mark.parametrize("below", ["", "one line", "two\nlines"])
def test_heading_and_footer_overlap_nothing(below, answer):
    fig, axs = layout.panels(2, 3, 2, "a title", below)
    plt.setp(axs, xlabel="x", ylabel="y", title="panel")
    if answer:
        layout.retitle(fig, answer)
    layout.foot(fig, "where it comes from")
    fig.canvas.draw()
    title, under, foot = (text.get_window_extent() for text in fig.texts)
    panels = [ax.get_tightbbox() for ax in axs]
    assert title.y0 >= under.y1 or not below
    lowest = under.y0 if below else title.y0
    assert max(panel.y1 for panel in panels) <= lowest
    assert min(panel.y0 for panel in panels) >= foot.y1


@pytest.mark.parametrize("columns", [1, 3])
def test_panels_keep_their_size_below_an_answer_in_two_lines(columns):
    fig, axs = layout.panels(columns, 3, 2, "a title", "one line")
    fig.canvas.draw()
    before = [ax.get_window_extent().height for ax in axs]
    layout.retitle(fig, LONG)
    fig.canvas.draw()
    assert [ax.get_window_extent().height for ax in axs] == pytest.approx(before, abs=1)
    title, under = fig.texts
    assert len(title.get_text().splitlines()) == 2 and under.get_text() == "one line"
    assert title.get_text().replace("\n", " ") == LONG
    assert title.get_window_extent().x1 <= fig.bbox.x1


@pytest.mark.parametrize(
    "answer",
    [
        "Links that move",
        "Links that move gain accuracy on every data set;\nlinks that stay do not",
        "Yes, links that move from one place to another\ngain accuracy on every set that we have",
    ],
    ids=["short", "clauses", "middle"],
)
def test_long_answer_is_broken_between_clauses_near_its_middle(answer):
    fig, _ = layout.panels(1, 2, 2, "a title")
    layout.retitle(fig, answer.replace("\n", " "))
    assert fig.texts[0].get_text() == answer


def test_every_takeaway_fits_a_page_in_two_lines():
    fig, _ = layout.panels(1, layout.WIDTH, 2, "a title")
    for sentence in takeaways.read("paper").values():
        layout.retitle(fig, sentence)
        assert fig.texts[0].get_window_extent().x1 <= fig.bbox.x1, sentence


@pytest.mark.parametrize(
    ("heights", "places"),
    [
        ([0.1, 0.5], [0.1, 0.5]),
        ([0.5, 0.5], [0.45, 0.55]),
        ([0.1, 0.5, 0.52, 0.9], [0.1, 0.46, 0.56, 0.9]),
        ([0.5, 0.5, 0.6], [0.43333333, 0.53333333, 0.63333333]),
        ([], []),
    ],
    ids=str,
)
def test_labels_are_spread_as_little_as_it_takes(heights, places):
    np.testing.assert_allclose(layout.spread(heights, 0.1), places)


def test_names_stand_at_the_ends_of_curves():
    _, ax = plt.subplots()
    ax.set_ylim(0, 10)
    layout.label_ends(ax, [("upper", "red", 8.0), ("lower", "blue", 2.0)])
    texts = [(text.get_text(), text.get_color(), text.xy[1]) for text in ax.texts]
    assert texts == [("lower", "blue", 0.2), ("upper", "red", 0.8)]


def test_legend_has_each_label_once():
    fig, axs = layout.panels(2, 3, 2, "title")
    for ax in axs:
        ax.plot([0, 1], label="one")
    layout.legend_beside(fig, layout.handles_of(axs))
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["one"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.05, "0.05"),
        (1500, "1.5k"),
        (2048, "2048"),
        (8192, "8.2k"),
        (12_500, "12.5k"),
        (123_456, "120k"),
    ],
)
def test_thousands_are_short(number, text):
    assert layout.short(number) == text


def five_panels(n_labels):
    fig, axs = layout.panels(5, 3, 2, "title")
    for i in range(n_labels):
        axs[0].plot([0, 1], label=f"line {i}")
    layout.legend_beside(fig, layout.handles_of(axs))
    fig.draw_without_rendering()
    return fig


def test_legend_stands_where_the_last_row_has_room():
    few, none = five_panels(2), five_panels(0)
    spare = few.axes[-1]
    assert [text.get_text() for text in spare.get_legend().get_texts()] == ["line 0", "line 1"]
    assert not few.legends
    for ax, alone in zip(few.axes[:5], none.axes, strict=False):
        assert ax.get_position().height == pytest.approx(alone.get_position().height, rel=1e-3)
        assert ax.get_position().width == pytest.approx(alone.get_position().width, rel=1e-3)


def test_legend_that_does_not_fit_a_panel_stands_beside_them():
    fig = five_panels(14)
    assert len(fig.legends) == 1 and fig.axes[-1].get_legend() is None
