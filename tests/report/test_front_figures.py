"""What figures of fronts draw."""

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


def line(ax, label):
    [found] = [one for one in ax.lines if one.get_label() == label]
    return np.array(found.get_xydata())


RUNS = pd.DataFrame(
    {
        "dataset": "rsmas",
        "method": "nsga2",
        "seed": [0, 0, 1, 1, 2, 2],
        "density": [0.1, 1.0] * 3,
        "value": [0.5, 0.9, 0.7, 0.8, np.nan, 0.7],
    }
)


def test_attainment_draws_what_half_of_the_runs_attain_and_the_full_head():
    level = pd.DataFrame({"dataset": ["rsmas", "rsmas"], "value": [0.8, 0.9]})
    fig = front_figures.attainment(RUNS, level, "accuracy", "?")
    np.testing.assert_allclose(line(fig.axes[0], "NSGA-II"), [[0.1, 0.5], [1.0, 0.8]])
    np.testing.assert_allclose(line(fig.axes[0], "full head")[:, 1], 0.85)


def test_attainment_is_not_drawn_where_most_runs_found_nothing():
    few = RUNS.assign(value=[0.5, 0.9, np.nan, 0.8, np.nan, 0.7])
    fig = front_figures.attainment(few, pd.DataFrame({"dataset": [], "value": []}), "accuracy", "?")
    np.testing.assert_allclose(line(fig.axes[0], "NSGA-II"), [[1.0, 0.8]])


def test_what_runs_attain_never_falls_with_the_density():
    generator = np.random.default_rng(0)
    density = np.linspace(0.1, 1, 6)
    parts = []
    for seed in range(10):
        best = np.maximum.accumulate(generator.random(6))
        best[: seed % 4] = np.nan  # some runs found nothing so sparse
        run = {"dataset": "rsmas", "method": "nsga2", "seed": seed}
        parts.append(pd.DataFrame({"density": density, "value": best}).assign(**run))
    no_level = pd.DataFrame({"dataset": [], "value": []})
    fig = front_figures.attainment(pd.concat(parts), no_level, "accuracy", "?")
    drawn = line(fig.axes[0], "NSGA-II")[:, 1]
    assert len(drawn) == 5  # at the least density three of ten found something
    assert (np.diff(drawn) >= 0).all()


def test_band_of_attainment_is_what_nine_in_ten_and_one_in_ten_attain():
    values = [np.nan, *(k / 10 for k in range(1, 10))]  # of ten runs, at one density
    few = [np.nan] * 5 + [0.1, 0.2, 0.3, 0.4, 0.5]  # at a lower one, half of them
    rows = {"dataset": "rsmas", "method": "nsga2", "seed": [*range(10), *range(10)]}
    density = [0.2] * 10 + [0.1] * 10
    table = pd.DataFrame({**rows, "density": density, "value": values + few})
    fig = front_figures.attainment(table, pd.DataFrame({"dataset": [], "value": []}), "AUROC", "?")
    np.testing.assert_allclose(line(fig.axes[0], "NSGA-II"), [[0.1, 0.1], [0.2, 0.5]])
    [band] = fig.axes[0].collections
    corners = band.get_paths()[0].vertices
    ends = {x: (y.min(), y.max()) for x in (0.1, 0.2) for y in [corners[corners[:, 0] == x, 1]]}
    # 0.1: nobody but half, the band begins at the worst; 0.2: step of 0.1 and its own
    assert ends[0.1] == pytest.approx((0.1, 0.5))
    assert (corners[:, 1].min(), corners[:, 1].max()) == pytest.approx((0.1, 0.9))


def test_searches_are_drawn_over_evaluations_as_means():
    table = RUNS.assign(evaluations=[30, 200] * 3, value=[0.1, 0.2, 0.3, 0.4, 0.2, 0.6])
    fig = front_figures.over_evaluations(table, "hypervolume", "?")
    np.testing.assert_allclose(line(fig.axes[0], "NSGA-II"), [[30, 0.2], [200, 0.4]])


def test_clouds_show_every_head():
    table = RUNS.assign(test_auroc=np.arange(6) / 10)
    fig = front_figures.clouds(table, "test_auroc", "AUROC", "?")
    np.testing.assert_allclose(line(fig.axes[0], "_")[:, 1], np.arange(6) / 10)


def test_clouds_have_means_between_densities_that_three_heads_share():
    table = RUNS.assign(test_auroc=np.arange(6) / 10)  # three heads at .1, three at 1
    few = table[table["density"] == 0.1].head(2).assign(density=0.3)
    fig = front_figures.clouds(pd.concat([table, few]), "test_auroc", "AUROC", "?")
    np.testing.assert_allclose(line(fig.axes[0], "NSGA-II"), [[0.1, 0.2], [1.0, 0.3]])
    assert any("n = 3" in text.get_text() for text in fig.texts)


def test_full_head_is_a_level_among_clouds():
    table = RUNS.assign(test_auroc=0.5, method="full")
    fig = front_figures.clouds(table, "test_auroc", "AUROC", "?")
    np.testing.assert_allclose(line(fig.axes[0], "full head")[:, 1], 0.5)


def test_space_shows_a_point_for_each_mask():
    table = RUNS.assign(accuracy=np.arange(6) / 6, auroc=np.arange(6) / 6)
    other = table.assign(method="random_search").head(4)
    fig = front_figures.space(pd.concat([table, other]), "?")
    numbers = [len(ax.collections[0].get_offsets()) for ax in fig.axes]
    assert numbers == [6, 4]
    assert [ax.get_title() for ax in fig.axes] == ["NSGA-II", "random search"]
    assert fig.axes[0].get_zlim() == fig.axes[1].get_zlim()


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


def test_bins_without_features_are_not_drawn():
    table = pd.DataFrame(
        {"dataset": "rsmas", "line": "found", "kept": [0.1, 0.2], "features": [4.0, 0.0]}
    )
    fig = front_figures.kept_features(table, "?")
    y = fig.axes[0].lines[0].get_ydata()
    assert y[0] == 4 and np.isnan(y[-1])


def test_hidden_pixels_have_the_mean_colour(rng):
    images = rng.integers(0, 256, (1, 3, 6, 6), dtype=np.uint8)
    hidden = np.zeros((1, 6, 6), dtype=bool)
    hidden[0, :2] = True
    fig = front_figures.seen_regions(images, np.ones((1, 6, 6)), hidden, "?")
    shown = fig.axes[2].images[0].get_array()
    desired = images[0].mean(axis=(1, 2)).round()
    np.testing.assert_array_equal(shown[0, 0], desired)
    np.testing.assert_array_equal(shown[5, 5], images[0, :, 5, 5])


EMPTY = pd.DataFrame(columns=["dataset", "name", "series", "value", "method", "line", "seed"])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: front_figures.attainment(EMPTY, EMPTY, "accuracy", "?"),
        lambda: front_figures.over_evaluations(EMPTY.assign(evaluations=[]), "volume", "?"),
        lambda: front_figures.clouds(EMPTY, "value", "AUROC", "?"),
        lambda: front_figures.space(EMPTY, "?"),
        lambda: front_figures.gaps(EMPTY, "points", "?"),
        lambda: front_figures.kept_features(EMPTY, "?"),
        lambda: front_figures.seen_regions(
            np.zeros((0, 3, 4, 4), np.uint8), np.zeros((0, 4, 4)), np.zeros((0, 4, 4), bool), "?"
        ),
    ],
)
def test_what_was_not_run_is_said(draw):
    assert said(draw()) == ["not run"]
