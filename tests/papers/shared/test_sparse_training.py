"""Training of sparse networks as runs: what is recorded, resumed to the same bits, refused."""

import dataclasses

import pytest
import torch

from lib import data
from lib.runs import executors
from lib.runs.experiment import Workspace
from papers.shared.sparse_training import SparseTraining
from tests import processes
from tests.papers import made
from tests.papers.made import BASE, GRADIENT
from tests.stored import contents, rewrite

DENSE = dataclasses.replace(BASE, method="dense", density=None, drop=None)


def test_record_holds_what_was_asked_for(store):
    record = store.run(GRADIENT)
    summary = record.summary()
    assert list(record.metrics["epoch"]) == [1, 2, 3, 4, 5, 6]
    assert summary["architecture"] == "64-40-30-10" and summary["profile"] == "custom"
    assert summary["links_training"] == round(0.2 * 64 * 40) + round(0.2 * 40 * 30) + 300
    assert summary["best_accuracy"] is not None and summary["record"] == GRADIENT.name
    assert record.environment["data"]["sha256"] == data.load("digits").sha256
    state = {name for name in record.arrays if name.startswith(("state.", "best."))}
    assert {"state.linear1.values", "best.linear3.bias"} <= state


def test_dense_network_alone_is_trained_where_the_variable_says(store, monkeypatch):
    monkeypatch.setenv("SPARSE_DENSE_DEVICE", "no such device")
    assert store.run(BASE).environment["device"] == "cpu"
    with pytest.raises(ValueError, match="SPARSE_DENSE_DEVICE is 'no such device'"):
        store.run(DENSE)


def test_each_kind_of_device_goes_on_from_its_own_checkpoint(tmp_path):
    workspace = Workspace(tmp_path, progress=None, record_of=None)
    assert workspace.checkpoint(torch.device("cpu")) == tmp_path / "checkpoint.pt"
    assert workspace.checkpoint(torch.device("cuda:1")) == tmp_path / "checkpoint-cuda.pt"


@pytest.mark.gpu
def test_dense_network_on_a_gpu_learns_what_it_does_on_the_cpu(store, monkeypatch, tmp_path):
    here = store.run(DENSE)
    monkeypatch.setenv("SPARSE_DENSE_DEVICE", "cuda")
    there = made.store(tmp_path / "elsewhere").run(DENSE)
    assert there.environment["device"] == torch.cuda.get_device_name()
    columns = ["train_loss", "valid_accuracy", "test_accuracy"]
    actual, expected = there.metrics[columns].to_numpy(), here.metrics[columns].to_numpy()
    assert actual == pytest.approx(expected, rel=1e-3, abs=0.01)


@pytest.mark.parametrize(("run", "kill_after"), [(BASE, 5), (GRADIENT, 0), (GRADIENT, 3)])
def test_killed_run_resumes_to_the_same_bits(run, kill_after, store, tmp_path):
    processes.kill_after(store, run, kill_after)
    assert not (store.runs / run.name).exists()
    resumed = store.run(run)
    elsewhere = made.store(tmp_path / "elsewhere")
    assert contents(resumed) == contents(elsewhere.run(run))


def test_damaged_checkpoint_is_named(store):
    work = (store.runs / BASE.name).with_suffix(".work")
    work.mkdir(parents=True)
    (work / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"checkpoint .*\.pt cannot be read"):
        store.run(BASE)


def test_lost_epochs_are_named(store):
    path = store.run(BASE).path
    rewrite(path, BASE.name, table=lambda text: "".join(text.splitlines(keepends=True)[:-2]))
    with pytest.raises(ValueError, match=r"cannot be read \(its table holds 4 of 6 epochs\)"):
        len(store.stored(BASE).metrics)


def test_sweep_does_the_others_when_a_run_diverges(store):
    bad = dataclasses.replace(BASE, learning_rate=1e9, seed=1)
    sentence = r"1 of 2 runs failed.*seed 1.*epoch 1, step"
    with pytest.raises(executors.RunsFailed, match=sentence):
        executors.sweep(store, [bad, BASE], progress=False)
    assert store.stored(BASE) is not None


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
def test_variants_are_reachable_by_configuration(changes, store):
    run = dataclasses.replace(BASE, epochs=2, **changes)
    record = store.run(run)
    assert record.config == run and record.config.name != BASE.name
    assert record.metrics["train_loss"].iloc[-1] < record.metrics["train_loss"].iloc[0]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"density": 0.1, "er_epsilon": 2.0}, "give one of them"),
        ({"method": "dense", "density": 0.1}, "has all links"),
        ({"epochs": 0}, "epochs = 0"),
        ({"optimiser": "sdg"}, "did you mean 'sgd'"),
        ({"drop": "sgin"}, "did you mean 'sign'"),
        ({"validation": -5}, "validation = -5 is out of range"),
        ({"limit": -3}, "limit = -3 is out of range"),
        ({"density": 1.5}, "density = 1.5 is out of range"),
        ({"er_epsilon": -3}, "er_epsilon = -3.0 is out of range"),
        ({"activation": "reul"}, "unknown activation 'reul': did you mean 'relu'"),
        ({"dropout": 1.5}, "dropout = 1.5 is out of range"),
        ({"hidden": (9, 0)}, r"hidden\[1\] = 0 is out of range"),
        ({"hidden": (), "density": 0.1}, r"hidden = \(\) leaves no sparse layer to method 'set'"),
        ({"inherits": "support"}, "inherits = 'support' without a parent"),
        ({"parent": BASE}, "unknown inherits None"),
        ({"method": "fixed", "grow": "gradient"}, "grow = 'gradient' is not used by links that"),
        ({"method": "dense", "draw": "bernoulli"}, "draw = 'bernoulli' is not used by a dense net"),
        ({"activation": "relu", "published_srelu": True}, "is not used by activation 'relu'"),
    ],
)
def test_what_would_fail_or_mislead_is_refused_before_the_run(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        SparseTraining("x", **fields).check()


def test_store_refuses_such_a_run_before_it_writes_anything(store):
    run = dataclasses.replace(BASE, drop=None, grow="gradient")
    with pytest.raises(ValueError, match="grow = 'gradient' is not used by links that stay"):
        store.run(run)
    assert not list(store.runs.glob("*/"))


def test_links_of_the_start_do_not_depend_on_the_standardisation():
    run = SparseTraining("x", density=0.1, hidden=(20, 20))
    plain = run.model((64, 20, 20, 10))
    standardised = run.model((64, 20, 20, 10), (torch.tensor(0.5), torch.tensor(2.0)))
    assert torch.equal(plain.linear2.col, standardised.linear2.col)
    assert plain.linear1.values.dtype == torch.float32


def test_pixels_are_standardised_together_or_each_by_itself():
    split = data.load("digits")
    mean, std = BASE.standardisation(split)
    assert mean.numel() == std.numel() == 1
    mean, std = dataclasses.replace(BASE, per_pixel=True).standardisation(split)
    constant = split.x_train.flatten(1).std(0) == 0
    assert mean.shape == std.shape == (64,) and constant.any()
    assert (std[constant] == 1).all()
