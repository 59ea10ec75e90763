"""The tables of the benchmark hold what they say, in the sizes of their profile."""

import numpy as np
import pandas as pd
import pytest
import torch

from lib import bench
from lib.bench import sweeps

ONE = {"relu": np.ones(1)}
KINDS = ["contenders", "products", "steps"]


class FakeTrainer:
    """Counts what would be trained."""

    made = []

    def __init__(self, name, widths, batch=bench.BATCH, **links):
        self.made.append((name, widths, batch, links))
        self.net = None
        self.parts = {"forward": [0.001, 0.003], "backward": [0.002, 0.002]}


@pytest.fixture
def unmeasured(monkeypatch):
    """Every sample is one second or one MiB; nothing is trained."""
    monkeypatch.setattr(FakeTrainer, "made", [])
    monkeypatch.setattr(sweeps.contenders, "Trainer", FakeTrainer)
    monkeypatch.setattr(sweeps.models, "count_links", lambda net: 7)
    ones = np.ones(3)
    monkeypatch.setattr(sweeps.timing, "compare", lambda calls, *rest: dict.fromkeys(calls, ones))
    monkeypatch.setattr(sweeps.timing, "epochs", lambda names, *rest: dict.fromkeys(names, ones))
    monkeypatch.setattr(sweeps.timing, "peak_memory", lambda *arguments, **links: 1.0)
    return FakeTrainer


# rows


def test_rows_hold_median_and_quartiles_in_milliseconds():
    samples = {"fused": np.array([0.001, 0.002, 0.003, 0.004, 0.009])}
    table = sweeps.quartiles("training_step", samples)
    (row,) = table.to_dict("records")
    assert list(table.columns) == bench.COLUMNS
    assert (row["measure"], row["contender"]) == ("training_step", "fused")
    assert row["median_ms"] == pytest.approx(3.0)
    assert (row["low_ms"], row["high_ms"]) == pytest.approx((2.0, 4.0))


def test_ratios_are_of_the_same_round():
    samples = {"dense": np.array([8.0, 6.0, 30.0]), "fused": np.array([2.0, 1.0, 3.0])}
    table = sweeps.quartiles("training_step", samples).set_index("contender")
    columns = ["ratio_low", "ratio", "ratio_high"]
    assert table.loc["dense", columns].tolist() == [5, 6, 8]  # of 4, 6 and 10
    assert table.loc["fused", columns].tolist() == [1, 1, 1]


def test_samples_without_ours_have_no_ratio():
    others = sweeps.quartiles("latency, ns", {"machine": np.ones(3)})
    fewer = sweeps.quartiles("epoch", {"fused": np.ones(3), "dense": np.ones(2)})
    single = sweeps.quartiles("peak_memory", {"fused": np.ones(1), "dense": np.ones(1)})
    calls = {"fused": np.ones(3), "dense": np.ones(3)}
    assert others["ratio"].isna().all() and single["ratio"].isna().all()
    assert sweeps.quartiles("forward", calls, in_rounds=False)["ratio"].isna().all()
    assert fewer["ratio"].isna().tolist() == [False, True]


def test_rows_of_memory_are_not_scaled():
    table = sweeps.quartiles("peak_memory", {"fused": np.array([90.0])}, scale=1)
    assert table["median_ms"].tolist() == [90.0]


@pytest.mark.parametrize("kind", KINDS)
def test_tables_state_threads_and_processor(kind, monkeypatch):
    monkeypatch.setattr(sweeps.timing, "peak_memory", lambda *arguments, **links: 1.0)
    table = bench.obtain(kind, "smoke")
    assert set(bench.COLUMNS) <= set(table.columns)
    assert (table["low_ms"] <= table["median_ms"]).all()
    assert (table["threads"] >= 1).all()


# the floor


def test_floor_is_the_sum_of_the_faster_products(monkeypatch):
    seconds = {
        "0 spmm modular": np.array([1.0, 3.0]),
        "0 spmm torch_sparse": np.array([2.0, 2.5]),
        "1 sddmm modular": np.array([4.0, 4.0]),
        "1 sddmm torch_sparse": np.array([1.0, 1.0]),
    }
    floor = dict.fromkeys(seconds)
    monkeypatch.setattr(sweeps.contenders, "names", list)
    monkeypatch.setattr(sweeps.contenders, "floor_calls", lambda widths: floor)
    monkeypatch.setattr(sweeps.timing, "compare", lambda *arguments: seconds)
    row = bench.measure_steps().iloc[0]
    assert (row["contender"], row["median_ms"]) == ("floor", 3000.0)


def test_benchmark_has_every_measure_of_the_command_line(unmeasured, monkeypatch):
    monkeypatch.setattr(sweeps.contenders, "floor_calls", lambda widths: {"0 spmm modular": None})
    monkeypatch.setattr(sweeps.contenders, "network", lambda name, **links: torch.nn.Identity())
    monkeypatch.setattr(sweeps, "measure_units", lambda rounds: sweeps.quartiles("unit", ONE))
    monkeypatch.setattr(sweeps.memory, "SIZE", 2**16)
    table = bench.measure()
    desired = ["latency, ns", "bandwidth, GB/s", "training_step", "predict_1", "predict_1024"]
    desired += ["spmm", "spmm_transposed", "sddmm", "epoch", "unit"]
    assert table["measure"].unique().tolist() == desired
    steps = table[table["measure"] == "training_step"]
    assert steps["contender"].tolist()[-1] == "floor"


# sweeps


def test_wide_layers_are_measured_for_ours_alone(unmeasured):
    table = bench.sweep_steps("quick")
    wide = table[table["n"] == 16_384]
    assert set(wide["contender"]) == {"fused"}
    others = table[table["n"] == 2000]
    assert set(others["contender"]) == {"fused", "torch_sparse", "dense"}


def test_sweep_of_steps_varies_one_quantity_at_a_time(unmeasured):
    table = bench.sweep_steps("quick")
    varied = {"width": "n", "density": "density", "batch": "batch"}
    sizes = sweeps.SIZES["quick"]
    values = {}
    for sweep, column in varied.items():
        values[sweep] = table.loc[table["sweep"] == sweep, column].unique().tolist()
    assert values["width"] == [*sizes.widths, *sizes.wide]
    assert values["density"] == list(sizes.densities)
    assert values["batch"] == list(sizes.batches)


def test_one_quantity_alone_is_measured_or_loaded(unmeasured):
    table = bench.obtain("steps", "quick", varied="density")
    assert set(table["sweep"]) == {"density"}
    assert table["density"].unique().tolist() == list(sweeps.SIZES["quick"].densities)
    stored = bench.obtain("steps", "paper")
    alone = bench.obtain("steps", "paper", varied="density")
    assert len(alone) == (stored["sweep"] == "density").sum() > 0
    with pytest.raises(ValueError, match="quantity 'dense'"):
        bench.obtain("steps", "quick", varied="dense")
    with pytest.raises(ValueError, match="varied = 'density' with 'products'"):
        bench.obtain("products", "quick", varied="density")


def test_steps_are_trained_with_the_links_of_their_sweep(unmeasured):
    bench.sweep_steps("smoke")
    ours = [made[1:] for made in unmeasured.made if made[0] == "fused"]
    assert ours == [
        ((784, 64, 64, 64, 10), 128, {"er_epsilon": 10.0}),
        ((784, 128, 128, 128, 10), 128, {"er_epsilon": 10.0}),
        ((784, 128, 128, 128, 10), 128, {"density": 0.05}),
        ((784, 128, 128, 128, 10), 8, {"er_epsilon": 20.0}),
        ((784, 128, 128, 128, 10), 128, {"er_epsilon": 20.0}),
    ]


def test_parts_of_steps_are_ours_at_every_batch_and_the_rivals_at_the_usual_one(unmeasured):
    table = bench.sweep_steps("quick")
    parts = table[table["sweep"] == "parts"]
    assert parts["measure"].unique().tolist() == ["products", "forward", "backward"]
    ours = parts[parts["contender"] == "fused"]
    assert ours["batch"].unique().tolist() == list(sweeps.SIZES["quick"].batches)
    assert ours["median_ms"].tolist() == 3 * [1000.0, 2.0, 2.0]  # products take turns with steps
    rivals = parts[parts["contender"] != "fused"]
    assert set(rivals["batch"]) == {bench.BATCH}
    assert rivals["median_ms"].tolist() == [2.0] * 4


@pytest.mark.skipif(not sweeps.timing.STATUS.exists(), reason="memory is measured on Linux alone")
def test_memory_is_measured_against_width_for_ours_and_dense(unmeasured):
    table = bench.sweep_steps("quick")
    memory = table[table["measure"] == "peak_memory"]
    assert set(memory["sweep"]) == {"width"}
    narrow = memory[memory["n"] == 500]
    assert narrow["contender"].tolist() == ["fused", "dense"]


def test_cifar_network_is_measured_in_five_rounds_of_the_paper_alone(unmeasured):
    paper = bench.sweep_steps("paper")
    rounds = paper[paper["sweep"] == "cifar10_mlp"]
    counts = rounds.groupby(["measure", "contender"]).size()
    assert counts.tolist() == [5, 5, 5, 5]
    assert "cifar10_mlp" not in set(bench.sweep_steps("quick")["sweep"])


def test_sweep_of_products_varies_width_and_density(unmeasured, monkeypatch):
    monkeypatch.setattr(sweeps.contenders, "products", lambda support: {"spmm": {"dense": None}})
    table = bench.sweep_products("smoke")
    assert set(table["kind"]) == {"products"}
    points = table[["sweep", "n", "density"]].values.tolist()
    desired = [["width", 64, 0.04], ["width", 128, 0.04], ["density", 128, 0.05]]
    assert points == desired


# stored tables


def test_tables_that_were_not_measured_are_empty(monkeypatch, tmp_path):
    monkeypatch.setattr(sweeps, "STORED", tmp_path / "none.json")
    monkeypatch.setattr(sweeps, "SWEEPS", tmp_path / "none.json")
    for kind in KINDS:
        table = bench.obtain(kind, "paper")
        assert table.empty
        assert {"sweep", *bench.COLUMNS} <= set(table.columns)


def test_stored_tables_are_told_apart_by_kind(monkeypatch, tmp_path):
    rows = [{"kind": kind, "sweep": "width", "median_ms": 1.0} for kind in KINDS[1:]]
    path = tmp_path / "sweeps.json"
    pd.DataFrame(rows).to_json(path, orient="records")
    monkeypatch.setattr(sweeps, "SWEEPS", path)
    assert list(bench.obtain("steps", "paper")["kind"]) == ["steps"]


def test_stored_contenders_have_a_file_of_their_own(monkeypatch, tmp_path):
    path = tmp_path / "bench.json"
    pd.DataFrame({"measure": ["epoch"], "median_ms": [1.5]}).to_json(path)
    monkeypatch.setattr(sweeps, "STORED", path)
    table = bench.obtain("contenders", "paper")
    assert table.to_dict("records") == [{"measure": "epoch", "median_ms": 1.5}]


def test_retraining_measures_in_the_profile_paper_too(unmeasured, monkeypatch):
    monkeypatch.setattr(sweeps, "_load", None)
    table = bench.obtain("steps", "paper", retrain=True)
    assert set(table["n"].dropna()) >= {250, 65_536}


def test_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="did you mean 'paper'"):
        bench.obtain("steps", "papr")


def test_unknown_table_is_refused():
    with pytest.raises(ValueError, match="did you mean 'steps'"):
        bench.obtain("step", "smoke")


# units


def test_units_of_a_profile_are_measured_or_loaded(unmeasured):
    table = bench.obtain("units", "smoke")
    assert set(table["contender"]) == {"relu", "splash"}
    stored = bench.obtain("units", "paper")
    assert list(stored["measure"].unique()) == list(table["measure"].unique())
    contenders = bench.obtain("contenders", "paper")
    assert len(stored) and not set(stored["measure"]) & set(contenders["measure"])


def test_units_are_measured_in_turn_on_every_shape():
    table = bench.measure_units(2, 0.001, ((30, 8), (2, 3, 4, 4)))
    shapes = ["30 x 8", "2 x 3 x 4 x 4"]
    measures = [f"unit{kind} ({shape})" for shape in shapes for kind in (", ms", " memory, MiB")]
    assert list(table["measure"].unique()) == measures
    assert set(table["contender"]) == {"relu", "splash"} and (table["median_ms"] > 0).all()


@pytest.mark.parametrize("shape", [(1000, 128), (8, 64, 32, 32)])
def test_splash_keeps_at_most_twice_the_memory_of_relu(shape):
    relu, splash = (bench.UnitPass(unit, shape).kept_mib() for unit in ("relu", "splash"))
    one = np.prod(shape) * 4 / 2**20
    assert relu == pytest.approx(one)  # its output, of which the derivative can be read
    assert splash <= 2 * relu
    assert splash == pytest.approx(2 * one)  # input and output, nothing for a hinge


def test_memory_of_a_unit_that_stores_its_hinges_is_seen():
    apl = bench.UnitPass("apl", (1000, 128)).kept_mib()
    assert apl > 3 * 1000 * 128 * 4 / 2**20
