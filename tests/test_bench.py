"""The benchmark measures what it says; its contenders compute the same."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lib import bench, models
from lib.activations import SReLU

LAW = {"er_epsilon": 2.0}
WIDTHS = (12, 20, 20, 20, 3)


@pytest.fixture(autouse=True)
def float64():
    """The benchmark runs in float32, torch's default."""


@pytest.fixture
def support():
    return bench._support(60, 50, 0.1)


@pytest.mark.parametrize("product", ["spmm", "spmm_transposed"])
def test_contenders_compute_the_same_product(product, support):
    calls = bench.products(support)[product]
    desired = calls["dense"]()
    torch.testing.assert_close(calls["modular"](), desired)
    torch.testing.assert_close(calls["torch_sparse"](), desired)


def test_contenders_compute_the_same_weight_gradient(support):
    calls = bench.products(support)["sddmm"]
    desired = calls["dense"]()[support.row.long(), support.col.long()]
    torch.testing.assert_close(calls["modular"](), desired)
    torch.testing.assert_close(calls["torch_sparse"]().values(), desired)


def test_torch_sparse_layer_is_ours(support, generator):
    theirs = bench.TorchSparseLinear(60, 50, support=support, generator=generator)
    ours = bench.layers.SparseLinear(60, 50, support=support)
    ours.load_state_dict(theirs.state_dict())
    x = [torch.randn(7, 60, generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    results = []
    for layer, inputs in zip((theirs, ours), x, strict=True):
        inputs.requires_grad_()
        y = layer(inputs)
        y.square().sum().backward()
        results.append([y, inputs.grad, layer.values.grad, layer.bias.grad])
    torch.testing.assert_close(*results)


def test_compare_times_each_call_every_round():
    seconds = bench.compare({"a": lambda: None, "b": lambda: None}, rounds=3, turn=0.001)
    assert {name: times.shape for name, times in seconds.items()} == {"a": (3,), "b": (3,)}
    assert all((times > 0).all() for times in seconds.values())


@pytest.mark.parametrize("contender", bench.contenders())
def test_every_contender_trains(contender):
    torch.manual_seed(0)
    step = bench.Trainer(contender, WIDTHS, **LAW)
    for module in step.net.modules():
        if isinstance(module, bench.layers.Dropout | nn.Dropout):
            module.p = 0.0
    step.x, step.y = step.x[:3], torch.arange(3)  # three examples can be learned by heart
    step.optimiser.param_groups[0]["lr"] = 0.1
    losses = [step() for _ in range(150)]
    assert losses[-1] < 0.5 * losses[0]
    assert {part: len(times) for part, times in step.parts.items()} == dict.fromkeys(
        ("batch", "forward", "loss", "backward", "optimiser"), 150
    )


@pytest.mark.parametrize("contender", ["modular", "torch_sparse", "masked"])
def test_sparse_contenders_have_the_links_of_ours(contender):
    desired = models.count_links(bench.network("fused", WIDTHS, **LAW))
    net = bench.network(contender, WIDTHS, **LAW)
    masked = [m for m in net if isinstance(m, bench.MaskedLinear)]
    spared = sum(int((m.mask == 0).sum()) for m in masked)
    assert models.count_links(net) - spared == desired


def test_dense_contenders_have_all_links():
    desired = sum(a * b for a, b in zip(WIDTHS[:-1], WIDTHS[1:], strict=True))
    for contender in ("dense", "dense_modules"):
        assert models.count_links(bench.network(contender, WIDTHS, **LAW)) == desired


def test_plain_srelu_is_ours():
    x = torch.linspace(-2, 2, 101)[:, None].repeat(1, 3)
    torch.testing.assert_close(bench.PlainSReLU(3)(x), SReLU(3)(x))


def test_masked_layer_has_no_gradient_off_its_mask():
    layer = bench.MaskedLinear(30, 20, density=0.2)
    layer(torch.randn(5, 30)).sum().backward()
    assert (layer.weight.grad[layer.mask == 0] == 0).all()


def test_floor_is_the_sum_of_the_faster_products(monkeypatch):
    seconds = {"0 spmm modular": [1.0, 3.0], "0 spmm torch_sparse": [2.0, 2.5]}
    seconds |= {"1 sddmm modular": [4.0, 4.0], "1 sddmm torch_sparse": [1.0, 1.0]}
    found = {name: np.array(times) for name, times in seconds.items()}
    monkeypatch.setattr(bench, "contenders", list)
    monkeypatch.setattr(bench, "_floor_calls", lambda widths: dict.fromkeys(seconds))
    monkeypatch.setattr(bench, "compare", lambda *arguments: found)
    row = bench.measure_steps().iloc[0]
    assert (row["contender"], row["median_ms"]) == ("floor", 3000.0)


def test_floor_has_every_product_but_the_gradient_at_the_pixels():
    calls = bench._floor_calls((12, 20, 20, 10))
    assert len(calls) == 2 * (3 * 3 - 1) and "0 spmm_transposed modular" not in calls


def test_epochs_are_timed_for_each_contender():
    seconds = bench.epochs(("fused", "dense"), (12, 20, 20, 3), examples=300, rounds=2)
    assert {name: len(times) for name, times in seconds.items()} == {"fused": 2, "dense": 2}


def test_memory_grows_with_links_not_with_positions():
    """Three layers of 16,384 neurons: 2 GiB of dense weights, their gradient and momentum not
    counted. What the process that asks has held does not count either.
    """
    np.ones(2**27).sum()  # 1 GiB
    peak = bench.peak_memory("fused", (784, 16_384, 16_384, 16_384, 10), er_epsilon=10.0)
    assert 50 < peak < 500  # MiB


@pytest.mark.slow
def test_a_million_neurons_train_evolve_and_resume_within_4_gib(tmp_path):
    program = """
import sys
from pathlib import Path
import torch
from lib import bench, data, evolution, models, train
n, generator = 333_000, torch.Generator().manual_seed(0)
x, y = torch.rand(64, 784, generator=generator), torch.randint(10, (64,), generator=generator)
split = data.Split(x, y, x, y, None, None, *["random"] * 4)
settings = train.Settings(2, 32, 0.05, evolution=evolution.Evolution())

def stop(history):
    if sys.argv[2] == "stop" and len(history.metrics) == 1:
        raise KeyboardInterrupt

net = models.mlp((784, n, n, n, 10), er_epsilon=10)
assert models.count_links(net) > 19_000_000
try:
    train.fit(net, split, settings, seed=0, checkpoint=Path(sys.argv[1]), on_epoch=stop)
    print(bench._peak(), net.linear2.values.double().sum().item(), net.linear2.col.sum().item())
except KeyboardInterrupt:
    print(bench._peak())
"""

    def run(checkpoint, *words):
        command = [sys.executable, "-c", program, str(tmp_path / checkpoint), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [float(word) for word in done.stdout.split()]

    whole, stopped, resumed = run("a", "go"), run("b", "stop"), run("b", "go")
    assert whole[1:] == resumed[1:]
    assert max(whole[0], stopped[0], resumed[0]) < 4096


@pytest.mark.parametrize("kind", ["contenders", "products", "steps"])
def test_tables_state_threads_and_processor(kind):
    table = bench.obtain(kind, "smoke")
    assert set(bench.COLUMNS) <= set(table.columns)
    assert (table["low_ms"] <= table["median_ms"]).all() and (table["threads"] >= 1).all()


def test_tables_that_were_not_measured_are_empty(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "STORED", tmp_path / "none.json")
    monkeypatch.setattr(bench, "SWEEPS", tmp_path / "none.json")
    for kind in ("contenders", "products", "steps"):
        table = bench.obtain(kind, "paper")
        assert table.empty and {"sweep", *bench.COLUMNS} <= set(table.columns)


def test_stored_tables_are_told_apart_by_kind(monkeypatch, tmp_path):
    rows = [{"kind": kind, "sweep": "width", "median_ms": 1.0} for kind in ("products", "steps")]
    pd.DataFrame(rows).to_json(tmp_path / "sweeps.json", orient="records")
    monkeypatch.setattr(bench, "SWEEPS", tmp_path / "sweeps.json")
    assert list(bench.obtain("steps", "paper")["kind"]) == ["steps"]


def test_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="did you mean 'paper'"):
        bench.obtain("steps", "papr")
