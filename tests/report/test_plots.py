"""Seaborn in our style: what stands in a figure beside what seaborn draws."""

import itertools
import math

import pandas as pd
import pytest
import seaborn as sns

import papers
from lib.report import frames, plots, publishing
from lib.report.intervals import t_interval


@pytest.fixture
def rows():
    """Accuracies of two methods on two data sets, two epochs and three seeds, out of order."""
    places = itertools.product(["fashion_mnist", "mnist"], ["dense", "set"], [1, 2], [0, 1, 2])
    table = pd.DataFrame(places, columns=["dataset", "method", "epoch", "seed"])
    value = 0.9 + 0.01 * table["epoch"] + 0.02 * (table["method"] == "set")
    return frames.in_order(table.assign(value=value + 0.001 * table["seed"]))


assert papers.EXPERIMENTS  # whose rooms have added their labels

CURVES = {"x": "epoch", "y": "value", "hue": "method", "col": "dataset"}
POINTS = {"x": "value", "y": "method", "col": "dataset"}


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_options_of_seaborn_are_not_those_of_axes(rows):
    fig = plots.draw(sns.catplot, rows, "Best?", kind="strip", alpha=0.2, aspect=2, **POINTS)
    for ax in fig.axes:
        assert ax.get_alpha() is None and ax.get_aspect() == "auto"
        assert {points.get_alpha() for points in ax.collections} == {0.2}


def test_curves_are_named_at_their_ends(rows):
    fig = plots.draw(sns.relplot, rows, "Which is better?", **CURVES)
    assert [ax.get_title() for ax in fig.axes] == ["MNIST", "Fashion-MNIST"]
    assert not fig.legends and [words(ax) for ax in fig.axes] == [["dense", "SET"]] * 2


def test_names_at_the_ends_do_not_overlap(rows):
    fig = plots.draw(sns.relplot, rows, "Which is better?", ylim=(0, 100), **CURVES)
    places = [text.get_window_extent() for text in fig.axes[0].texts]
    assert places[0].y1 <= places[1].y0 + 1


BELOW = {  # which rows are there, and what is said of their seeds
    "seed < 3": "mean of 3 seeds, band: ± sd",
    "method == 'set' or epoch == 2 or seed < 2": "mean of 2 to 3 seeds, band: ± sd",
    "method == 'set' or seed == 0": "mean of 3 seeds (dense: one), band: ± sd",
    "method == 'set' or epoch == 2 or seed == 0": "mean of 1 to 3 seeds, band: ± sd",
}


@pytest.mark.parametrize("there", BELOW)
def test_seeds_and_what_a_band_is_stand_below_the_title(rows, there):
    fig = plots.draw(sns.relplot, rows.query(there), "Best?", "digits alone", **CURVES)
    below = f"digits alone · {BELOW[there]}"
    assert [text.get_text() for text in fig.texts] == ["Best?", below]


def twice(rows):
    return pd.concat([rows, rows.assign(network="wider")])


TWO = pd.DataFrame({"method": ["set", "set"], "dataset": "mnist", "value": [1.0, 2.0]})
TWO = TWO.assign(low=0.5, high=2.5, n=3)
AT_SEED = r"two numbers where one is expected, at \{.*'method': 'SET'.*'seed': 0\}: filter"
IN_CELL = "two numbers where one is expected, at {'"
REFUSED = [
    (lambda rows: plots.draw(sns.catplot, twice(rows), "Which is better?", **POINTS), AT_SEED),
    (lambda rows: plots.draw(sns.relplot, twice(rows), "Which is better?", **CURVES), AT_SEED),
    (lambda rows: plots.wide(twice(rows), ["dataset"], "method"), IN_CELL + "dataset': 'mnist"),
    (lambda _: plots.wide(TWO, ["method"], "dataset"), IN_CELL + "method': 'set'"),
    (lambda _: plots.wide(TWO.assign(density=[None, 0.01]), ["density"], "method"), "empty cells"),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_two_numbers_in_one_place_and_empty_cells_are_refused(call, sentence, rows):
    publishing.begin("10_set_mlp", "paper")
    with pytest.raises(ValueError, match=sentence):
        call(rows)


@pytest.mark.parametrize(
    "options, text",
    [
        ({"errorbar": "se"}, "mean of 3 seeds"),
        ({"errorbar": None}, "mean of 3 seeds"),
        ({"estimator": "median", "errorbar": ("pi", 50)}, "3 seeds"),
        ({"units": "seed", "estimator": None}, "3 seeds"),
    ],
)
def test_what_options_change_is_not_said_to_be_ours(rows, options, text):
    fig = plots.draw(sns.relplot, rows, "Which is better?", **CURVES, **options)
    assert fig.texts[1].get_text() == text


def test_seeds_of_points_are_counted_on_either_axis_where_they_have_a_number(rows):
    one = rows.query("epoch == 1")
    one = one.assign(value=one["value"].where(one["seed"] < 2))
    upright = {"x": "method", "y": "value", "col": "dataset"}
    for axes in (POINTS, upright):
        fig = plots.draw(sns.catplot, one, "Best?", **axes)
        assert fig.texts[1].get_text() == "mean of 2 seeds, bar: 95 % interval"
    fig = plots.draw(sns.catplot, one, "Best?", errorbar="sd", **POINTS)
    assert fig.texts[1].get_text() == "mean of 2 seeds"
    assert plots.draw(sns.catplot, one.assign(value=math.nan), "Best?", **POINTS).texts


def test_legend_stays_where_dashes_say_something_else_than_colours(rows):
    both = pd.concat([rows.assign(variant="a"), rows.assign(variant="b")])
    fig = plots.draw(sns.relplot, both, "Best?", style="variant", **CURVES)
    assert {"a", "b"} <= {text.get_text() for text in fig.legends[0].get_texts()}
    alone = {"x": "epoch", "y": "value", "style": "variant"}
    fig = plots.draw(
        sns.relplot, both.query("method == 'set' and dataset == 'mnist'"), "B?", **alone
    )
    assert "a" in {text.get_text() for text in fig.legends[0].get_texts()}


def test_curve_is_named_at_its_last_number(rows):
    last = (rows["method"] == "set") & (rows["epoch"] == 2)
    rows = rows.assign(value=rows["value"].mask(last))
    fig = plots.draw(sns.relplot, rows, "Best?", **CURVES)
    assert all(math.isfinite(text.xy[1]) for text in fig.axes[0].texts)
    fig = plots.draw(sns.relplot, rows.query("epoch == 2"), "Best?", **CURVES)
    assert words(fig.axes[0]) == ["dense"]


def test_orders_are_given_by_the_names_of_the_data_or_as_written(rows):
    one = rows.query("epoch == 1")
    for names, order in ((["mnist"], ["dense", "set"]), (["MNIST"], ["dense", "SET"])):
        fig = plots.draw(sns.catplot, one, "Best?", col_order=names, order=order, **POINTS)
        assert [ax.get_title() for ax in fig.axes] == ["MNIST"]
        assert [text.get_text() for text in fig.axes[0].get_yticklabels()] == ["dense", "SET"]
    fig = plots.draw(sns.catplot, one, "Best?", order=["set"], write=".1%", **POINTS)
    assert words(fig.axes[0]) == ["93.1 %"]


def test_fractions_on_a_logarithmic_axis_are_percent(rows):
    rows = rows.assign(epoch=rows["epoch"] / 100)
    fig = plots.draw(sns.relplot, rows, "Best?", percent="x", xscale="log", **CURVES)
    fig.draw_without_rendering()
    axis = fig.axes[0].xaxis
    shown = [text.get_text() for text in axis.get_ticklabels(which="both")]
    assert "1 %" in shown and all(text.endswith("%") for text in shown if text)


def test_intervals_of_a_family_are_wider():
    values = pd.Series([1.0, 2.0, 4.0])
    one, three = plots.bounds_of(1)(values), plots.bounds_of(3)(values)
    wanted = t_interval(values, level=1 - 0.05 / 3)
    assert three == pytest.approx((wanted.low, wanted.high)) and three[0] < one[0]


def test_value_is_written_within_its_interval():
    rows = pd.DataFrame({"value": [0.004], "low": [0.001], "high": [0.007], "n": [5]})
    assert plots.written(rows) == ["0.004 [0.001, 0.007] n=5"]


def test_star_is_that_of_the_corrected_p_and_a_number_without_randomness_has_no_n():
    rows = pd.DataFrame({"value": [1.0, 1.0], "low": 0.5, "high": 1.5, "n": [None, 3]})
    rows = rows.assign(p=0.01, p_holm=[0.06, 0.01])
    assert plots.written(rows) == ["1.00 [0.50, 1.50]", "1.00 [0.50, 1.50] n=3 *"]


def test_each_seed_may_stand_for_itself(rows):
    fig = plots.draw(sns.catplot, rows.query("epoch == 1"), "Best?", kind="strip", **POINTS)
    drawn = [len(dots.get_offsets()) for dots in fig.axes[0].collections]
    assert drawn == [3, 3] and fig.texts[1].get_text() == ""


def test_interval_shows_on_which_side_of_zero_its_bounds_lie():
    lows, highs = [-0.002, 0.1, -0.0004], [0.37, 0.3, 0.3]
    rows = pd.DataFrame({"value": [0.19, 0.2, 0.1], "low": lows, "high": highs, "n": 5})
    assert plots.written(rows) == [
        "0.19 [-0.002, 0.370] n=5",
        "0.20 [0.10, 0.30] n=5",
        "0.10 [-0.0004, 0.3000] n=5",
    ]


def test_fractions_are_written_as_percent_on_the_axis_named(rows):
    fig = plots.draw(sns.relplot, rows, "Best?", percent="y", ylim=(0, 1), **CURVES)
    fig.draw_without_rendering()
    labels = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    assert labels == ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]
    assert {label.get_text() for label in fig.axes[0].get_xticklabels()} >= {"1", "2"}


def test_methods_keep_their_colours(rows):
    both = plots.draw(sns.catplot, rows.query("epoch == 1"), "Best?", **POINTS)
    one = plots.draw(sns.catplot, rows.query("epoch == 1 and method == 'dense'"), "B?", **POINTS)
    colors = [line.get_color() for line in both.axes[0].lines]
    assert one.axes[0].lines[0].get_color() in colors and len(set(colors)) == 2


def test_points_keep_their_shapes_where_others_were_not_run(rows):
    names = ["MNIST", "Fashion-MNIST", "CIFAR-10"]
    options = {"x": "value", "y": "method", "hue": "dataset", "hue_order": names, "dodge": 0.4}
    options["palette"] = ["#aaaaaa", "#777777", "#444444"]
    shapes = []
    rows = rows.query("epoch == 2")
    for data in (rows, rows.query("dataset == 'fashion_mnist'")):
        fig = plots.draw(sns.catplot, data, "Best?", **options)
        lines = fig.axes[0].lines
        shapes.append({line.get_marker() for line in lines} - {"None", ""})
    assert shapes[0] == shapes[1] and len(shapes[0]) == len(names)  # those of the legend too


def test_curves_of_other_things_than_methods_differ_in_dashes(rows):
    of_set = rows.query("method == 'set'")
    fig = plots.draw(sns.relplot, of_set, "Best?", x="epoch", y="value", hue="dataset", ends=False)
    assert len({line.get_linestyle() for line in fig.axes[0].lines[:2]}) == 2
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["MNIST", "Fashion-MNIST"]


@pytest.mark.parametrize(
    "name, lines", [("end", 1), ("share of the neurons in the largest component", 2)]
)
def test_titles_wider_than_their_panels_have_two_lines(rows, name, lines):
    options = CURVES | {"row": "when", "ends": False}
    fig = plots.draw(sns.relplot, rows.assign(when=name), "title", **options)
    assert [len(ax.get_title().splitlines()) for ax in fig.axes] == [lines] * 2


def test_means_are_written_clear_of_the_row_above(rows):
    fig = plots.draw(sns.catplot, rows.query("epoch == 1"), "Best?", write=".1%", **POINTS)
    fig.draw_without_rendering()
    ax = fig.axes[0]
    first, second = ax.transData.transform([(0.9, 0), (0.9, 1)])[:, 1]
    assert ax.texts[1].get_window_extent().y1 < first - 3 and second < first


def test_percents_below_panels_side_by_side_stand_apart():
    """As the norms gained in notebook 31, where long names leave little room for three panels."""
    names = ["published", "as released, and after it"]
    places = itertools.product(["local learning (KH)", "BP + Jacobian of units"], "abc", names)
    table = pd.DataFrame(places, columns=["row", "panel", "variant"]).assign(seed=0, value=2.0)
    options = {"x": "value", "y": "row", "hue": "variant", "col": "panel", "percent": "x"}
    fig = plots.draw(sns.catplot, table, "title", **options, kind="strip", xlim=(-1, 3))
    fig.draw_without_rendering()
    for ax in fig.axes[:3]:
        shown = [text for text in ax.get_xticklabels() if -1 <= text.get_position()[0] <= 3]
        boxes = [text.get_window_extent() for text in shown]
        assert len(boxes) > 1
        assert all(left.x1 + 10 < right.x0 for left, right in itertools.pairwise(boxes))


def test_of_no_rows_the_picture_says_what_is_missing(rows):
    for missing in ("", "Not run: dense networks"):
        fig = plots.draw(sns.relplot, rows[:0], "Which is better?", **CURVES, missing=missing)
        assert words(fig.axes[0]) == [missing or "not run"]
