"""Runs and records: identity, resume after kill -9, two processes at once, corruption."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import types
from concurrent import futures

import numpy as np
import pandas as pd
import pytest
import torch

from lib import __main__ as command_line
from lib import config, data, executors, experiments, records, train

BASE = experiments.Config(
    "test", dataset="digits", hidden=(40, 30), density=0.2, drop="sign", epochs=6, batch_size=64
)
GRADIENT = dataclasses.replace(
    BASE, drop="magnitude", grow="gradient", decay="cosine", validation=200, seed=3
)
RUN = """
import json, sys, torch
from lib import experiments, records
torch.set_num_threads(1)
fields = json.loads(sys.argv[1])
fields["hidden"] = tuple(fields["hidden"])
tell = lambda history: print(len(history.metrics), flush=True)
records.run(experiments.Config(**fields), on_epoch=tell)
"""


@pytest.fixture(autouse=True)
def float64():
    """Runs are made in float32, torch's default, as other processes make them."""


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    return tmp_path


def start(config, folder):
    """A process that runs the configuration and prints a line an epoch."""
    environment = {**os.environ, "SPARSE_RUNS_DIR": str(folder / "runs"), "OMP_NUM_THREADS": "1"}
    environment["SPARSE_RESULTS_DIR"] = str(folder / "results")
    command = [sys.executable, "-c", RUN, json.dumps(dataclasses.asdict(config))]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def contents(path):
    """What must not depend on interruptions: the bytes of all files but environment.json."""
    files = ("config.json", "metrics.csv", "arrays.npz")
    return [(path / name).read_bytes() for name in files]


def test_record_is_made_once_and_then_loaded(folders):
    first = records.run(BASE)
    stamp = (first.path / "metrics.csv").stat().st_mtime_ns
    again = records.run(BASE, on_epoch=lambda history: pytest.fail("trained again"))
    assert (again.path / "metrics.csv").stat().st_mtime_ns == stamp
    pd.testing.assert_frame_equal(first.metrics, again.metrics)


def test_record_holds_what_was_asked_for(folders):
    record = records.run(GRADIENT)
    summary = record.summary()
    assert list(record.metrics["epoch"]) == [1, 2, 3, 4, 5, 6]
    assert summary["architecture"] == "64-40-30-10" and summary["profile"] == "custom"
    assert summary["links_training"] == round(0.2 * 64 * 40) + round(0.2 * 40 * 30) + 300
    assert summary["best_accuracy"] is not None and summary["record"] == GRADIENT.name
    assert record.environment["data"]["sha256"] == data.load("digits").sha256
    state = {k for k in record.arrays if k.startswith(("state.", "best."))}
    assert {"state.linear1.values", "best.linear3.bias"} <= state


@pytest.mark.parametrize("kill_after", [0, 1, 3, 5])
@pytest.mark.parametrize("config", [BASE, GRADIENT], ids=["set", "rigl"])
def test_killed_run_resumes_to_the_same_bits(config, kill_after, folders, tmp_path):
    with start(config, tmp_path) as process:
        for _ in range(kill_after):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert not (records.RUNS / config.name).exists()
    resumed = contents(records.run(config).path)
    shutil.rmtree(records.RUNS)
    assert resumed == contents(records.run(config).path)


def test_two_processes_share_one_run(folders, tmp_path):
    processes = [start(BASE, tmp_path) for _ in range(2)]
    epochs = sum(len(process.communicate(timeout=60)[0].split()) for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert epochs == BASE.epochs
    assert records.stored(BASE).config == dataclasses.replace(BASE, fallback=None)


@pytest.mark.parametrize("name", ["config.json", "metrics.csv", "arrays.npz", "environment.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_damaged_record_is_named(name, damage, folders):
    path = records.run(BASE).path
    if damage == "missing":
        (path / name).unlink()
    else:
        (path / name).write_bytes((path / name).read_bytes()[:5])
    with pytest.raises(ValueError, match=f"record .*{BASE.name} cannot be read.*run again"):
        records.read(path)


def test_damaged_checkpoint_is_named(folders):
    work = (records.RUNS / BASE.name).with_suffix(".work")
    work.mkdir(parents=True)
    (work / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"checkpoint .*\.pt cannot be read"):
        records.run(BASE)


def test_identity_ignores_the_fallback_and_fields_at_their_default():
    same = dataclasses.replace(BASE, fallback="digits", momentum=0.9)
    assert same.name == BASE.name


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"dataset": "mnist"}, {"epochs": 7}, {"hidden": (40, 31)}, {"decay": "cosine"}],
)
def test_identity_covers_what_decides_a_result(change):
    assert dataclasses.replace(BASE, **change).name != BASE.name


def test_identity_covers_the_recipe(monkeypatch):
    before = BASE.name
    monkeypatch.setattr(config, "RECIPE", config.RECIPE + 1)
    assert BASE.name != before


def test_slim_record_keeps_degrees_links_and_metrics(folders):
    record = records.run(BASE)
    records.write_slim(record)
    slim = records.read(records.RESULTS / BASE.name)
    assert {k.split(".")[0] for k in slim.arrays} == {"linear1", "linear2", "state"}
    assert not any(k.endswith(".values") for k in slim.arrays)
    pd.testing.assert_frame_equal(slim.metrics, record.metrics)
    supports = slim.supports()
    assert {k: s.nnz for k, s in supports.items()} == {
        k: s.nnz for k, s in record.supports().items()
    }
    assert records.stored(BASE).path == slim.path
    assert records.stored(BASE, full=True).path == record.path


def test_slim_record_keeps_degrees_and_no_links_of_epochs(folders):
    record = records.run(dataclasses.replace(BASE, epochs=1))
    records.write_slim(record)
    slim = records.read(records.RESULTS / record.config.name)
    degrees = [name for name in record.arrays if "_degree." in name]
    assert {"linear1.links.0", "linear2.links.final"} < set(record.arrays) and degrees
    assert not any(".links." in name for name in slim.arrays)
    assert all(np.array_equal(slim.arrays[name], record.arrays[name]) for name in degrees)


@pytest.mark.parametrize(("experiment", "seed", "kept"), [("tuning", 0, 0), ("test", 1, 0)])
def test_slim_record_keeps_no_links_where_none_are_needed(experiment, seed, kept, folders):
    config = dataclasses.replace(BASE, experiment=experiment, seed=seed, epochs=1)
    records.write_slim(records.run(config))
    arrays = records.stored(config).arrays
    assert sum(name.startswith("state") for name in arrays) == kept


def test_slim_record_of_the_robustness_network_keeps_values(folders):
    config = dataclasses.replace(BASE, experiment="adaptive_topology", seed=2, epochs=1)
    record = records.run(config)
    records.write_slim(record)
    slim = records.stored(config)
    np.testing.assert_array_equal(
        slim.arrays["state.linear1.values"], record.arrays["state.linear1.values"]
    )


def test_sweep_in_processes_gives_the_records_of_the_loop(folders, monkeypatch):
    configs = [dataclasses.replace(BASE, seed=seed, epochs=2) for seed in range(3)]
    monkeypatch.setenv("SPARSE_RUNS_DIR", str(records.RUNS))
    monkeypatch.setenv("SPARSE_RESULTS_DIR", str(records.RESULTS))
    found = executors.sweep(configs, jobs=2, progress=False)
    parallel = [contents(record.path) for record in found]
    shutil.rmtree(records.RUNS)
    found = executors.sweep(configs, jobs=1, progress=False)
    assert parallel == [contents(record.path) for record in found]


def test_sweep_does_the_others_when_a_run_fails(folders):
    bad = dataclasses.replace(BASE, learning_rate=1e9, seed=1)
    with pytest.raises(executors.RunsFailed, match=r"1 of 2 runs failed.*seed 1.*epoch 1, step"):
        executors.sweep([bad, BASE], progress=False)
    assert records.stored(BASE) is not None


def test_obtain_trains_nothing_in_the_paper_profile(folders):
    assert executors.obtain("set_mlp", "paper") == []


def test_missing_data_fall_back_only_where_the_configuration_says_so(folders, monkeypatch):
    def unavailable(name, **options):
        if name != "digits" and options.get("fallback") is None:
            raise data.DataUnavailable(name)
        return original("digits")

    original = data.load
    monkeypatch.setattr(data, "load", unavailable)
    mnist = dataclasses.replace(BASE, dataset="mnist", epochs=1)
    with pytest.raises(data.DataUnavailable):
        records.run(mnist)
    record = records.run(dataclasses.replace(mnist, fallback="digits"))
    assert record.config.dataset == "digits"
    assert record.config.name == dataclasses.replace(mnist, dataset="digits").name


def test_lock_is_freed_when_its_process_dies(folders, tmp_path):
    config = dataclasses.replace(BASE, epochs=40)
    with start(config, tmp_path) as process:
        assert process.stdout.readline() and not (records.RUNS / config.name).exists()
        process.kill()
    begun = time.monotonic()
    assert len(records.run(config).metrics) == 40
    assert time.monotonic() - begun < 30


def test_failed_run_does_not_keep_others_from_data_results(folders, monkeypatch):
    bad = dataclasses.replace(BASE, learning_rate=1e9, seed=1)
    monkeypatch.setitem(experiments.EXPERIMENTS, "test", lambda name, profile: [bad, BASE])
    assert command_line.main(["run", "test", "--profile", "paper"]) == 1
    assert [path.name for path in records.RESULTS.iterdir()] == [BASE.name]


def test_machine_without_git_still_records(folders, monkeypatch):
    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(records.subprocess, "run", no_git)
    records.environment.cache_clear()
    facts = records.environment()
    records.environment.cache_clear()
    assert facts["commit"] is None and len(facts["code_sha256"]) == 64


VARIANTS = [  # the authors' own programs depart from their paper in these
    {"draw": "bernoulli"},
    {"draw": "with_replacement", "sparse_output": True},
    {"start": "glorot_uniform", "reset_state": True, "last_epoch": "evolve"},
    {"start": 0.1, "new_std": 0.1, "last_epoch": "keep"},
    {"published_srelu": True, "per_pixel": True, "schedule": "constant"},
    {"activation": "all_relu", "optimiser": "nesterov", "schedule": "step"},
    {"activation": "relu", "regrow_dropped": False, "limit": 500},
    {"drop": "random"},
    {"drop": "largest"},
    {"drop": None, "density": None},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda changes: "-".join(changes))
def test_variants_are_reachable_by_configuration(changes, folders):
    config = dataclasses.replace(BASE, epochs=2, **changes)
    record = records.run(config)
    assert record.config == config and record.config.name != BASE.name
    assert record.metrics["train_loss"].iloc[-1] < record.metrics["train_loss"].iloc[0]


def test_scheduler_maps_the_same_runs(folders, monkeypatch):
    class Client(contextlib.nullcontext):
        """What executors uses of distributed.Client."""

        def __init__(self, address, timeout):
            super().__init__(self)
            self.address = address

        def get_executor(self):
            return futures.ThreadPoolExecutor(1)

    monkeypatch.setitem(sys.modules, "distributed", types.SimpleNamespace(Client=Client))
    found = executors.sweep([BASE], scheduler="tcp://127.0.0.1:8786", progress=False)
    assert [record.config.name for record in found] == [BASE.name]


# runs that start from others, and studies


def child(inherits, **fields):
    """A static network that starts from the run of another method."""
    parent = BASE if inherits != "largest" else dataclasses.replace(BASE, density=None, drop=None)
    return dataclasses.replace(
        BASE, method="child", drop=None, parent=parent, inherits=inherits, **fields
    )


@pytest.mark.parametrize("inherits", ["support", "degrees"])
def test_run_inherits_links_or_degrees_with_new_weights(inherits, folders):
    record = records.run(child(inherits, epochs=1))
    parent = records.stored(BASE)  # was trained for it
    support, old = (r.supports()["linear1"] for r in (record, parent))
    assert (support.crow.diff() == old.crow.diff()).all()
    assert (support.tcrow.diff() == old.tcrow.diff()).all()
    assert (support.col == old.col).all() == (inherits == "support")
    weights = [r.state()["linear1.values"] for r in (record, parent)]
    assert not torch.isclose(*weights).any()


def test_pruned_network_keeps_the_largest_weights_and_the_rest(folders):
    config = child("largest", epochs=1)
    parent = records.run(config.parent)
    model = config.model(parent.widths, (torch.tensor(0.0), torch.tensor(1.0)))
    records.inherit_(model, parent, config)
    old = parent.state()
    dense = model.linear1.to_dense()
    n = model.linear1.nnz
    kept = old["linear1.weight"].abs() >= old["linear1.weight"].abs().flatten().topk(n).values[-1]
    assert torch.equal(dense, old["linear1.weight"] * kept)
    assert torch.equal(model.linear3.to_dense(), old["linear3.weight"])
    assert torch.equal(model.activation2.pieces, old["activation2.pieces"])
    assert torch.equal(model.linear1.bias, old["linear1.bias"])


def test_inheriting_another_word_is_refused_with_the_nearest(folders):
    with pytest.raises(ValueError, match="unknown inherits 'suport': did you mean 'support'"):
        records.run(child("suport"))


def test_changes_reach_the_parent():
    changed = child("support").with_changes({"seed": 7, "epochs": 2})
    assert (changed.parent.seed, changed.parent.epochs) == (7, 2)
    assert changed.parent.method == BASE.method and changed.method == "child"


def test_identity_covers_the_parent():
    other = dataclasses.replace(child("support"), parent=dataclasses.replace(BASE, epochs=7))
    assert other.name != child("support").name


def test_restored_network_has_the_accuracy_of_its_record(folders):
    record = records.run(BASE)
    split = data.load("digits")
    accuracy = train.accuracy(record.model(), split.x_test, split.y_test)
    assert accuracy == record.environment["final"]["test_accuracy"]


def test_network_is_not_restored_from_a_record_without_its_weights(folders):
    records.write_slim(records.run(BASE))
    slim = records.read(records.RESULTS / BASE.name)
    with pytest.raises(ValueError, match="does not hold the whole network"):
        slim.model()


STUDY = experiments.Study(
    "link_removal", dataset="digits", parent=BASE, images=30, draws=1, points=3
)


def test_study_trains_its_parent_and_is_made_once(folders):
    record = records.run(STUDY)
    assert records.stored(BASE, full=True) is not None
    assert type(record.config) is experiments.Study and record.config.parent == BASE
    stamp = (record.path / "metrics.csv").stat().st_mtime_ns
    assert (records.run(STUDY).path / "metrics.csv").stat().st_mtime_ns == stamp
    summary = record.summary()
    assert summary["architecture"] == "64-40-30-10" and summary["epochs"] == BASE.epochs
    assert summary["last_accuracy"] is None and summary["final_accuracy"] > 0.5


def test_study_is_measured_from_a_slim_record_of_the_robustness_network(folders):
    parent = dataclasses.replace(BASE, experiment="adaptive_topology", seed=1)
    records.write_slim(records.run(parent))
    shutil.rmtree(records.RUNS)
    record = records.run(dataclasses.replace(STUDY, parent=parent, seed=1))
    assert not (records.RUNS / parent.name).exists() and len(record.metrics) > 10


@pytest.mark.parametrize(
    ("experiment", "drop", "trained"),
    [
        ("scale_free", "sign", False),
        ("visible_connectivity", "sign", False),
        ("network_structure", "sign", True),  # of the links of every epoch
        ("network_structure", None, False),
    ],
)
def test_study_of_links_trains_its_parent_only_for_links(experiment, drop, trained, folders):
    parent = dataclasses.replace(BASE, experiment="adaptive_topology", drop=drop, epochs=1)
    records.write_slim(records.run(parent))
    shutil.rmtree(records.RUNS)
    records.run(dataclasses.replace(STUDY, experiment=experiment, parent=parent))
    assert (records.RUNS / parent.name).is_dir() == trained


def test_slim_study_keeps_its_table_and_arrays(folders):
    record = records.run(dataclasses.replace(STUDY, experiment="attack_curves", radii=(0.1,)))
    records.write_slim(record)
    slim = records.read(records.RESULTS / record.config.name)
    pd.testing.assert_frame_equal(slim.metrics, record.metrics)
    assert set(slim.arrays) == {"deepfool.linf", "deepfool.l2"}


def test_run_of_another_experiment_with_the_same_training_is_taken_over(folders, monkeypatch):
    first = config.Config("one", dataset="digits", hidden=(9,), density=0.2, epochs=1)
    second = dataclasses.replace(first, experiment="two", variant="published")
    monkeypatch.setattr(records, "twins", lambda asked: [first] if asked == second else [])
    done = records.run(first)
    monkeypatch.setattr(records.train, "fit", None)  # nothing is trained from here on
    actual = records.run(second)
    assert actual.config == second and actual.metrics.equals(done.metrics)
    assert actual.environment == {**done.environment, "same_run_as": first.name}
    assert contents(actual.path)[1:] == contents(done.path)[1:]
