"""Figures: numbers that are those of the tables, names that people read, panels that say so."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib import colors

from lib.papers.shared.labels import LABELS
from lib.report import figures, labels, layout, publishing

labels.add(LABELS)


@pytest.fixture(autouse=True)
def style():
    publishing.use_style()
    yield
    plt.close("all")


def texts_of(legend) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


def says_not_run(fig) -> bool:
    texts = [text.get_text() for text in fig.axes[0].texts]
    return "not run" in texts


# accuracy


@pytest.fixture
def curves():
    """Two seeds of SET, one of a fixed support."""
    rows = [
        ("set", 1, 0.91, 0.01, 2),
        ("set", 2, 0.96, 0.03, 2),
        ("fixed", 2, 0.9, None, 1),
    ]
    columns = ["method", "epoch", "mean", "sd", "n"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(dataset="mnist")


def test_accuracy_figure_names_data_set_and_curves_at_their_ends_with_n(curves):
    ax = figures.accuracy_curves(curves, "title").axes[0]
    assert ax.get_title() == "MNIST"
    names = ["fixed random support, one seed", "SET, n = 2"]
    assert [text.get_text() for text in ax.texts] == names


def test_number_of_seeds_stands_below_the_title_where_it_is_one_for_all(curves):
    fig = figures.accuracy_curves(curves.assign(n=5), "title", "below")
    assert [text.get_text() for text in fig.texts] == ["title", "below · n = 5"]


def test_curves_that_end_below_the_axis_are_named_there(curves):
    others = ["rigl", "dense", "dense_small"]
    speaking = pd.concat(curves[curves["method"] == "set"].assign(method=m) for m in others)
    late = {"method": ["set_random_removal"] * 2, "epoch": [1, 2], "mean": [0.1, 0.2]}
    low = pd.DataFrame(late).assign(sd=0.01, n=2, dataset="mnist")
    fig = figures.accuracy_curves(pd.concat([curves, speaking, low]), "title")
    assert fig.axes[0].texts[-1].get_text() == "below:\nSET, random drop (20.0%)"
    assert fig.texts[1].get_text().endswith("grey: SET, random drop, n = 2")


def test_accuracy_curve_is_the_mean(curves):
    line = figures.accuracy_curves(curves, "title").axes[0].lines[0]
    assert line.get_xdata().tolist() == [1, 2]
    assert line.get_ydata().tolist() == [0.91, 0.96]


def test_accuracy_band_is_a_standard_deviation_to_either_side(curves):
    band = figures.accuracy_curves(curves, "title").axes[0].collections[0]
    heights = band.get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([heights.min(), heights.max()], [0.9, 0.99])


def test_accuracy_below_the_late_epochs_is_cut_off(curves):
    epochs = pd.DataFrame({"epoch": range(1, 41), "sd": 0.01, "n": 2})
    late = epochs["epoch"] > 4
    table = epochs.assign(method="set", dataset="mnist", mean=0.1 + 0.8 * late)
    ax = figures.accuracy_curves(table, "title").axes[0]
    np.testing.assert_allclose(ax.get_ylim(), (0.898, 0.912))


def test_published_accuracies_are_open_circles_as_far_as_ours_go(curves):
    rows = [
        ("mnist", "set", 2, 0.97),
        ("mnist", "set", 3, 0.98),  # later than ours
        ("mnist", "dense", 2, 0.95),  # not ours
        ("cifar10", "set", 2, 0.5),
    ]
    columns = ["dataset", "method", "epoch", "accuracy"]
    published = pd.DataFrame(rows, columns=columns)
    ax = figures.accuracy_curves(curves, "title", published=published).axes[0]
    *_, circles = ax.lines
    assert circles.get_xydata().tolist() == [[2, 0.97]]
    assert circles.get_marker() == "o" and circles.get_markerfacecolor() == "none"
    assert circles.get_color() == labels.method("set")["color"]
    assert len(ax.lines) == 3


def test_of_many_methods_few_speak_and_the_others_are_grey(curves):
    ours = curves[curves["method"] == "set"]
    many = pd.concat(ours.assign(method=name) for name in LABELS.methods)
    ax = figures.accuracy_curves(many, "title").axes[0]
    by_method = dict(zip(labels.methods_in(many["method"]), ax.lines, strict=True))
    spoken = {method for method, line in by_method.items() if line.get_color() != labels.GREY}
    assert spoken == {*LABELS.speaking}
    assert [text.get_text() for text in ax.texts if "SET" in text.get_text()] == ["SET"]


def test_single_seed_is_drawn_fainter(curves):
    many, one = figures.accuracy_curves(curves, "title").axes[0].lines
    assert many.get_alpha() is None and one.get_alpha() == 0.5


def test_method_without_a_label_is_drawn_in_grey_under_its_raw_name(curves):
    curves["method"] = "krotov"
    ax = figures.accuracy_curves(curves, "title").axes[0]
    assert "krotov" in ax.texts[0].get_text()
    assert ax.lines[0].get_color() == labels.GREY


def test_figures_without_numbers_say_not_run(curves):
    assert says_not_run(figures.accuracy_curves(curves[:0], "t"))


# perturbations


@pytest.fixture
def perturbed():
    """Two draws of each of two seeds of SET, one of a fixed support, at one strength."""
    rows = [
        ("set", 0, 0.9),
        ("set", 0, 0.7),
        ("set", 1, 0.4),
        ("set", 1, 0.6),
        ("fixed", 0, 0.1),
    ]
    table = pd.DataFrame(rows, columns=["method", "seed", "accuracy"])
    return table.assign(dataset="mnist", kind="one", strength=0.5)


COLUMNS = ("strength", "accuracy", "kind")


def test_perturbed_curves_average_draws_within_seeds(perturbed):
    fig, numbers = figures.perturbed_curves(perturbed, *COLUMNS, "title", ylabel="accuracy")
    row = numbers.set_index("method").loc["set"]
    assert row["mean"] == pytest.approx(0.65)
    assert row["n"] == 2
    assert row["sd"] == pytest.approx(np.std([0.8, 0.5], ddof=1))
    ax = fig.axes[0]
    assert ax.get_title() == "one"
    assert "MNIST" in ax.get_ylabel()
    assert ax.get_ylim()[0] == 0
    assert texts_of(fig.legends[0]) == ["SET, n = 2", "fixed random support, one seed"]


def test_perturbed_curves_without_records_say_not_run(perturbed):
    fig, numbers = figures.perturbed_curves(perturbed[:0], *COLUMNS, "t")
    assert says_not_run(fig) and numbers.empty


def test_perturbed_curves_are_a_grid_of_data_sets_and_kinds(perturbed):
    kinds = [perturbed, perturbed.assign(kind="two")]
    others = [table.assign(dataset="digits") for table in kinds]
    table = pd.concat(kinds + others)
    fig, _ = figures.perturbed_curves(table, *COLUMNS, "t", ylabel="accuracy")
    titles = [ax.get_title() for ax in fig.axes]
    names = [ax.get_ylabel().rpartition("\n")[0] for ax in fig.axes]
    assert titles == ["one", "two"] * 2
    assert names == ["MNIST", "", layout.beside(labels.dataset("digits")), ""]


def test_perturbed_curves_are_in_the_order_of_the_labels(perturbed):
    table = pd.concat([perturbed.assign(method="krotov"), perturbed[::-1]])
    fig, _ = figures.perturbed_curves(table, *COLUMNS, "t")
    seeds = ["n = 2", "one seed", "n = 2"]
    names = ["SET", "fixed random support", "krotov"]
    desired = [f"{name}, {n}" for name, n in zip(names, seeds, strict=True)]
    assert texts_of(fig.legends[0]) == desired
    assert [line.get_label() for line in fig.axes[0].lines] == desired


def test_perturbed_curves_of_chosen_axes_keep_their_limits(perturbed):
    limits = {"ylim": (0.2, 0.8)}
    fig, _ = figures.perturbed_curves(perturbed, *COLUMNS, "t", **limits)
    assert fig.axes[0].get_ylim() == (0.2, 0.8)


def test_perturbed_curves_on_a_logarithmic_axis_have_plain_numbers(perturbed):
    fig, _ = figures.perturbed_curves(perturbed, *COLUMNS, "t", xscale="log")
    axis = fig.axes[0].xaxis
    assert axis.get_scale() == "log"
    assert axis.get_major_formatter()(0.5) == "0.5"


# names and colours


def test_every_colour_is_one_that_matplotlib_knows():
    looks = [*labels.METHOD_LOOKS.values(), *labels.CONTENDERS.values()]
    assert all(colors.is_color_like(look["color"]) for look in looks)


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ([[1]], "one seed"),
        ([[5, 5]], "n = 5"),
        ([[3, 5]], "n = 3 to 5"),
        ([[5], [3]], "n = 5 and 3"),
        ([[1, 5], [1, 5]], "n = 1 to 5"),
    ],
    ids=str,
)
def test_numbers_of_seeds_are_written(counts, text):
    assert figures.seeds(*counts) == text
