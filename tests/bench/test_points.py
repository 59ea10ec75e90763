"""The table of the benchmark holds what it says, at the points of its profile."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lib import activations, bench, models
from lib.bench import contenders, points, timing
from lib.bench.points import Point

PEAKS = {"multiply-adds, Gflop/s": np.full(3, 100.0), "L2, GB/s": np.full(3, 40.0)}
SMALL = (12, 20, 20, 20, 3)


@pytest.fixture
def unmeasured(monkeypatch):
    """Every sample is one second or one MiB; nothing is trained or timed."""

    def ones(calls, rounds=3, turn=0.0, tries=1):
        return {name: np.ones(rounds) for name in calls}

    monkeypatch.setattr(timing, "compare", ones)
    monkeypatch.setattr(timing, "epochs", lambda names, *sizes, **links: ones(names, sizes[-1]))
    monkeypatch.setattr(timing, "peak_memory", lambda *arguments, **links: 1.0)
    monkeypatch.setattr(points.roofline, "peaks", lambda rounds: dict(PEAKS))
    memory = {"bandwidth, GB/s": np.ones(3), "latency, ns": np.ones(3)}
    monkeypatch.setattr(points.roofline, "memory", lambda rounds: memory)


# rows


def test_rows_hold_median_and_quartiles_in_milliseconds():
    samples = {"fused": np.array([0.001, 0.002, 0.003, 0.004, 0.009])}
    (row,) = points.quartiles("training_step", samples).to_dict("records")
    assert (row["measure"], row["contender"], row["rounds"]) == ("training_step", "fused", 5)
    assert row["median_ms"] == pytest.approx(3.0)
    assert (row["low_ms"], row["high_ms"]) == pytest.approx((2.0, 4.0))


def test_ratios_are_of_the_same_round():
    samples = {"dense": np.array([8.0, 6.0, 30.0]), "fused": np.array([2.0, 1.0, 3.0])}
    table = points.quartiles("training_step", samples).set_index("contender")
    columns = ["ratio_low", "ratio", "ratio_high"]
    assert table.loc["dense", columns].tolist() == [5, 6, 8]  # of 4, 6 and 10
    assert table.loc["fused", columns].tolist() == [1, 1, 1]


def test_samples_without_ours_have_no_ratio():
    others = points.quartiles("latency, ns", {"machine": np.ones(3)})
    single = points.quartiles("peak_memory", {"fused": np.ones(1), "dense": np.ones(1)})
    assert others["ratio"].isna().all() and single["ratio"].isna().all()


@pytest.mark.parametrize("measure", ["peak_memory", "L2, GB/s", "unit memory, MiB (3 x 4)"])
def test_other_units_than_seconds_are_not_scaled(measure):
    table = points.quartiles(measure, {"fused": np.array([90.0])})
    assert table["median_ms"].tolist() == [90.0]


def test_measured_points_have_every_column():
    layer = Point(
        "layers", points.layer_passes, (12, 20), density=0.5, batch=4, rounds=2, turn=0.001
    )
    table = bench.measure_points([layer])
    assert list(table.columns) == bench.COLUMNS
    assert (table["low_ms"] <= table["median_ms"]).all() and (table["threads"] >= 1).all()
    assert set(table["n_in"]) == {12} and set(table["n"]) == {20}
    assert set(table["links"]) == {120}
    assert bench.measure_points([]).empty


def test_points_that_want_it_are_measured_on_one_thread_too(unmeasured):
    layer = Point("layers", points.layer_passes, (12, 20), density=0.5)
    table = bench.measure_points([layer, replace(layer, on_one=True, batch=4)], [2, 1])
    places = table[["threads", "batch"]].drop_duplicates()
    assert places.values.tolist() == [[2, 128], [2, 4], [1, 4]]


# links and floor


def test_links_are_those_of_the_network():
    for links in ({"density": 0.1}, {"er_epsilon": 2.0}):
        net = contenders.network("fused", SMALL, **links)
        point = Point("steps", points.training_steps, SMALL, **links)
        assert point.n_links == models.count_links(net)


def test_floor_counts_three_products_a_link_but_at_the_pixels():
    point = Point("steps", points.training_steps, SMALL, density=0.1, batch=8)
    links = 24 + 40 + 40 + 60
    reading = 4 * 2 * links * (8 + 2) / 40e9  # weight and place of a link are read too
    assert points.floor_seconds(point, PEAKS) == pytest.approx(reading)
    slow = PEAKS | {"multiply-adds, Gflop/s": np.array([0.2, 1.0, 0.5])}  # the best counts
    arithmetic = 2 * (3 * links - 24) * 8 / 1e9
    assert points.floor_seconds(point, slow) == pytest.approx(arithmetic)


def test_floor_of_a_prediction_is_one_product():
    point = Point("predictions", points.predictions, SMALL, density=0.1, batch=8)
    slow = PEAKS | {"multiply-adds, Gflop/s": np.full(3, 1.0)}
    assert points.floor_seconds(point, slow) == pytest.approx(2 * 164 * 8 / 1e9)


# points


def test_benchmark_has_every_measure_of_the_command_line(unmeasured):
    table = bench.measure()
    desired = {"training_step", "epoch", "predict_1", "predict_1024", "update_links"}
    desired |= {"spmm", "spmm_transposed", "sddmm", *PEAKS, "bandwidth, GB/s", "latency, ns"}
    assert set(table["measure"]) == desired
    steps = table[table["measure"] == "training_step"]
    assert {*contenders.names(), "floor"} == set(steps["contender"])
    assert set(steps["density"]) == set(bench.HEADLINES)


@pytest.mark.parametrize("profile", ["smoke", "quick"])
def test_smaller_profiles_have_every_part_but_what_takes_minutes(profile):
    parts = {point.sweep for point in bench.points_of(profile)}
    assert parts == {point.sweep for point in bench.points_of("paper")} - {
        *("epochs", "cifar10_mlp", "peaks", "convolutions"),
    }


def test_cifar_network_is_measured_a_row_a_round(unmeasured):
    chosen = [point for point in bench.points_of("paper") if point.sweep == "cifar10_mlp"]
    table = bench.measure_points(chosen)
    counts = table.groupby(["measure", "contender"]).size()
    if timing.STATUS.exists():
        assert counts.tolist() == [5, 5, 5, 5]


# the stored table


def test_table_that_was_not_measured_is_empty(monkeypatch, tmp_path):
    monkeypatch.setattr(points, "STORED", tmp_path / "none.json")
    table = bench.obtain("steps", profile="paper")
    assert table.empty and list(table.columns) == bench.COLUMNS


def test_parts_of_the_stored_table_are_told_apart(monkeypatch, tmp_path):
    rows = {"sweep": ["steps", "steps", "width"], "contender": ["fused", "dense", "fused"]}
    path = tmp_path / "bench.json"
    pd.DataFrame(rows).assign(median_ms=1.0).to_json(path, orient="records")
    monkeypatch.setattr(points, "STORED", path)
    assert bench.obtain("steps", profile="paper")["contender"].tolist() == ["fused", "dense"]
    assert len(bench.obtain("steps", "width", profile="paper")) == 3


def test_stored_table_has_the_columns_of_a_measured_one():
    assert list(bench.stored().columns) == bench.COLUMNS


@pytest.mark.parametrize(("profile", "retrain"), [("smoke", False), ("paper", True)])
def test_other_profiles_and_retraining_measure_now(profile, retrain, unmeasured, monkeypatch):
    monkeypatch.setattr(points, "stored", None)
    table = bench.obtain("updates", profile=profile, retrain=retrain)
    assert table["density"].tolist() == list(bench.HEADLINES)


def test_unknown_profile_and_part_are_refused():
    with pytest.raises(ValueError, match="did you mean 'paper'"):
        bench.obtain("steps", profile="papr")
    with pytest.raises(ValueError, match="did you mean 'steps'"):
        bench.obtain("step", profile="paper")


# units


def test_units_are_measured_in_turn_with_the_memory_they_keep():
    shapes = ((30, 8), (2, 3, 4, 4))
    units = [Point("units", points.unit_passes, shape, rounds=2, turn=0.001) for shape in shapes]
    table = bench.measure_points(units)
    names = ["30 x 8", "2 x 3 x 4 x 4"]
    measures = [f"unit{kind} ({shape})" for shape in names for kind in (", ms", " memory, MiB")]
    assert list(table["measure"].unique()) == measures
    assert set(table["contender"]) == {"relu", "splash"} and (table["median_ms"] > 0).all()


def kept_mib(unit, shape):
    """MiB that a pass of an activation keeps."""
    x = torch.randn(shape, requires_grad=True)
    return bench.kept_mib(activations.make(unit, shape[1]), x)


@pytest.mark.parametrize("shape", [(1000, 128), (8, 64, 32, 32)])
def test_splash_keeps_at_most_twice_the_memory_of_relu(shape):
    relu, splash = (kept_mib(unit, shape) for unit in ("relu", "splash"))
    one = np.prod(shape) * 4 / 2**20
    assert relu == pytest.approx(one)  # its output, of which the derivative can be read
    assert splash <= 2 * relu
    assert splash == pytest.approx(2 * one)  # input and output, nothing for a hinge


def test_memory_of_a_unit_that_stores_its_hinges_is_seen():
    apl = kept_mib("apl", (1000, 128))
    assert apl > 3 * 1000 * 128 * 4 / 2**20
