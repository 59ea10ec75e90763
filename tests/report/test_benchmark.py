"""The benchmark's tables: ratios worked out by hand; its pictures: bars that are the numbers."""

import pandas as pd
import pytest

from lib.report import benchmark


def measured(rows: list[tuple]) -> pd.DataFrame:
    """A table of the benchmark with rows of measure, contender and median, on one machine."""
    table = pd.DataFrame(rows, columns=["measure", "contender", "median_ms"])
    median = table["median_ms"]
    spread = {"low_ms": 0.9 * median, "high_ms": 1.2 * median}
    ratios = {"ratio": median / 2, "ratio_low": 0.45 * median, "ratio_high": 0.6 * median}
    place = {"density": 0.01, "batch": 128, "n_in": 784, "n": 1000, "threads": 2, "cpu": "a cpu"}
    return table.assign(**spread, **ratios, **place)


@pytest.fixture
def steps():
    table = measured([("training_step", "dense", 10.0), ("training_step", "fused", 2.0)])
    ours = table["contender"] == "fused"
    table.loc[ours, ["ratio", "ratio_low", "ratio_high"]] = 1.0
    return table


# tables


def test_machines_are_named_once(steps):
    other = steps.assign(threads=1)
    assert benchmark.machines(steps) == "2 threads, a cpu"
    assert benchmark.machines(pd.concat([steps, other])) == "2 and 1 threads, a cpu"
    assert benchmark.machines(steps[:0]) == ""


def test_multiples_are_of_the_rounds_and_ours_are_milliseconds(steps):
    floor = measured([("training_step", "floor", 0.25)])
    table = benchmark.multiples(pd.concat([steps, floor]))
    assert table.index.to_list() == [(0.01, 128, 784, 1000, 2)]
    (row,) = table.to_dict("records")
    assert row == {
        "this library": "2 ms",
        "dense": "5 (4.5 to 6)",
        "floor: arithmetic, L2": "0.25 ms",
    }


def test_multiple_without_spread_is_no_time_of_ours(steps):
    same = steps.assign(ratio_low=steps["ratio"], ratio_high=steps["ratio"])
    assert benchmark.multiples(same)["dense"].tolist() == ["5 (5 to 5)"]


def test_multiples_have_a_row_a_point(steps):
    others = steps[steps["contender"] == "fused"].assign(batch=512, median_ms=4.0)
    table = benchmark.multiples(pd.concat([steps, others])).reset_index()
    assert table["batch"].tolist() == [128, 512]
    assert table["this library"].tolist() == ["2 ms", "4 ms"]
    assert table["dense"].tolist() == ["5 (4.5 to 6)", "–"]


# pictures


def test_bars_of_a_step_name_time_and_multiple(steps):
    (ax,) = benchmark.step_bars(steps, "title").axes
    assert [bar.get_width() for bar in ax.patches] == [2, 10]
    texts = [text.get_text().strip() for text in ax.texts]
    assert texts == ["2 ms", "10 ms · 5 ×"]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["this library", "dense"]


def test_bars_have_a_panel_a_density(steps):
    table = pd.concat([steps, steps.assign(density=0.046)])
    titles = [ax.get_title() for ax in benchmark.step_bars(table, "title").axes]
    assert titles == ["1 % of the links", "4.6 % of the links"]


# costs


def costs(measure, contender, n, median):
    row = {"measure": measure, "contender": contender, "n": n, "median_ms": median}
    return row | {"low_ms": median - 1, "high_ms": median + 2}


@pytest.fixture
def cost_table():
    rows = [
        costs("training_step", "fused", 1000, 5.0),
        costs("training_step", "fused", 250, 3.0),
        costs("training_step", "dense", 1000, 20.0),
        costs("peak_memory", "fused", 1000, 90.0),
    ]
    return pd.DataFrame(rows)


def test_costs_have_a_panel_a_measure_with_its_unit_and_name_the_contenders(cost_table):
    fig = benchmark.cost_curves(cost_table, "n", "title")
    step, memory = fig.axes
    assert step.get_title() == "training step"
    assert step.get_ylabel() == "milliseconds"
    assert memory.get_title() == "memory above torch and kernels"
    assert memory.get_ylabel() == "peak, MiB"
    assert step.get_xlabel() == "neurons of a layer"
    assert step.get_xticks().tolist() == [250, 1000]  # every width measured
    names = [text.get_text() for text in fig.legends[0].get_texts()]
    assert names == ["this library", "dense"]


def test_costs_are_drawn_from_left_to_right_with_quartiles(cost_table):
    ax = benchmark.cost_curves(cost_table, "n", "title").axes[0]
    assert ax.lines[0].get_xydata().tolist() == [[250, 3.0], [1000, 5.0]]
    bars = ax.collections[0].get_segments()
    assert bars[0][:, 1].tolist() == [2.0, 5.0]


@pytest.mark.parametrize("largest, between", [(90.0, True), (90_000.0, False)])
def test_costs_over_many_powers_of_ten_have_a_tick_each(largest, between):
    rows = [costs("training_step", "fused", n, cost) for n, cost in ((250, 3.0), (1000, largest))]
    ax = benchmark.cost_curves(pd.DataFrame(rows), "n", "title").axes[0]
    assert (20 in ax.get_yticks()) == between and 100 in ax.get_yticks()
