"""The benchmark's tables: ratios worked out by hand; its pictures: bars that are the numbers."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from lib.bench import BATCH, COLUMNS
from lib.bench.sweeps import RATIOS
from lib.report import benchmark, publishing


@pytest.fixture(autouse=True)
def style():
    publishing.use_style()
    yield
    plt.close("all")


def measured(rows: list[tuple]) -> pd.DataFrame:
    """A table of the benchmark with rows of measure, contender and median, on one machine."""
    table = pd.DataFrame(rows, columns=["measure", "contender", "median_ms"])
    median = table["median_ms"]
    spread = {"low_ms": 0.9 * median, "high_ms": 1.2 * median}
    ratios = {"ratio": median / 2, "ratio_low": 0.45 * median, "ratio_high": 0.6 * median}
    return table.assign(**spread, **ratios, threads=2, cpu="a cpu")


@pytest.fixture
def contenders():
    rows = [
        ("training_step", "fused", 2.0),
        ("training_step", "dense", 10.0),
        ("epoch", "dense", 3000.0),
        ("predict_1", "fused", 0.5),
        ("spmm", "fused", 0.1),
        ("latency, ns", "machine", 98.76),
        ("bandwidth, GB/s", "machine", 12.0),
    ]
    return measured(rows)


def says_not_run(fig) -> bool:
    return [text.get_text() for text in fig.axes[0].texts] == ["not run"]


# tables


def test_machines_are_named_once(contenders):
    other = contenders.assign(threads=1)
    assert benchmark.machines(contenders) == "2 threads, a cpu"
    assert (
        benchmark.machines(pd.concat([contenders, other])) == "2 threads, a cpu, 1 threads, a cpu"
    )
    assert benchmark.machines(contenders[:0]) == ""


def test_memory_is_told_in_its_units(contenders):
    assert benchmark.memory(contenders) == "memory: latency 98.8 ns, bandwidth 12 GB/s"
    assert benchmark.memory(contenders[:5]) == "memory: not measured"


def test_medians_are_of_whole_steps_in_a_fixed_order(contenders):
    table = benchmark.medians(contenders)
    assert [*table] == ["training_step", "epoch", "predict_1"]
    assert [*table.index] == ["dense", "fused"]
    assert table.loc["fused", "training_step"] == 2
    assert pd.isna(table.loc["fused", "epoch"])


def test_epoch_over_steps_counts_a_smaller_last_batch(contenders):
    medians = benchmark.medians(contenders)
    ratio = benchmark.epoch_over_steps(medians, n=2 * BATCH + 1)
    assert ratio.to_dict() == {"dense": pytest.approx(3000 / (3 * 10))}


def test_no_epochs_have_no_ratio(contenders):
    steps = contenders[contenders["measure"] == "training_step"]
    assert benchmark.epoch_over_steps(benchmark.medians(steps)).empty


def test_cost_of_a_link_is_that_of_our_steps():
    table = measured([("training_step", "fused", 2.0), ("peak_memory", "fused", 5.0)])
    dense = measured([("training_step", "dense", 9.0)])
    table = pd.concat([table, dense]).assign(n=100, links=4000)
    row = benchmark.cost_of_a_link(table).to_dict("records")
    assert row == [{"n": 100, "links": 4000, "median_ms": 2.0, "ns_a_link": 500.0}]


def test_speedup_is_dense_over_ours_for_every_product():
    rows = [("spmm", "fused", 2.0), ("spmm", "dense", 8.0)]
    rows += [("sddmm", "dense", 9.0), ("sddmm", "fused", 1.0)]
    table = benchmark.speedup(measured(rows).assign(density=0.1))
    assert table.to_dict("index") == {0.1: {"spmm": 4.0, "sddmm": 9.0}}


# pictures


def test_bars_of_a_step_name_time_and_multiple(contenders):
    steps = contenders[contenders["measure"] == "training_step"]
    (ax,) = benchmark.step_bars(steps, "title").axes
    assert [bar.get_width() for bar in ax.patches] == [2, 10]
    texts = [text.get_text().strip() for text in ax.texts]
    assert texts == ["2.00 ms · 1.0 × (0.9 to 1.2)", "10.00 ms · 5.0 × (4.5 to 6.0)"]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["this library", "dense"]


def test_bars_measured_without_rounds_have_the_multiple_of_the_medians(contenders):
    steps = contenders[contenders["measure"] == "training_step"]
    unknown = steps.assign(**dict.fromkeys(RATIOS, float("nan")))
    for table in (steps.drop(columns=RATIOS), unknown):
        (ax,) = benchmark.step_bars(table, "title").axes
        texts = [text.get_text().strip() for text in ax.texts]
        assert texts == ["2.00 ms · 1.0 ×", "10.00 ms · 5.0 ×"]


def test_parts_of_a_step_are_in_milliseconds():
    rows = [("products", "fused", 1.0), ("products", "dense", 6.0)]
    rows += [("optimiser", "fused", 3.0), ("optimiser", "dense", 2.0)]
    (ax,) = benchmark.parts_of_a_step(measured(rows), "title").axes
    assert sorted(bar.get_width() for bar in ax.patches) == [1, 2, 3, 6]
    names = [label.get_text() for label in ax.get_yticklabels()]
    texts = [text.get_text().strip() for text in ax.texts]
    wholes = dict(zip(names, texts, strict=True))
    assert wholes == {"this library": "4.00 ms", "dense": "8.00 ms"}


def test_parts_against_batch_are_shares_of_the_whole_step():
    names = ("batch", "forward", "loss", "backward", "optimiser")
    parts = measured([(name, "fused", 1.0) for name in names] + [("products", "fused", 1.5)])
    others = measured([(name, "dense", 50.0) for name in names])
    parts = pd.concat(
        [parts.assign(batch=1.0), parts.assign(batch=32.0), others.assign(batch=32.0)]
    )
    (ax,) = benchmark.parts_against_batch(parts, "title").axes
    shares = [bar.get_height() for bar in ax.patches[::2]]
    assert shares == pytest.approx([0.2, 0.3, 0.2, 0.1, 0.2])  # second products, fourth the rest
    assert [text.get_text() for text in ax.texts] == ["5 ms", "5 ms"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "32"]


DRAWN = [benchmark.step_bars, benchmark.parts_of_a_step, benchmark.parts_against_batch]


@pytest.mark.parametrize("draw", DRAWN)
def test_table_without_rows_says_so(draw):
    assert says_not_run(draw(pd.DataFrame(columns=COLUMNS), "title"))
