"""The benchmark measures what it says; its contenders compute the same."""

import pytest
import torch

from lib import bench, models


@pytest.fixture(autouse=True)
def float64():
    """The benchmark runs in float32, torch's default."""


@pytest.mark.parametrize("product", ["spmm", "spmm_transposed"])
def test_contenders_compute_the_same_product(product):
    calls = bench.products(60, 0.1)[product]
    desired = calls["dense"]()
    torch.testing.assert_close(calls["modular"](), desired)
    torch.testing.assert_close(calls["torch_sparse"](), desired)


def test_contenders_compute_the_same_weight_gradient():
    calls = bench.products(60, 0.1)["sddmm"]
    sampled = calls["torch_sparse"]()
    torch.testing.assert_close(calls["modular"](), sampled.values())
    rows = torch.arange(60).repeat_interleave(sampled.crow_indices().diff().long())
    desired = calls["dense"]()[rows, sampled.col_indices().long()]
    torch.testing.assert_close(calls["modular"](), desired)


def test_compare_times_each_call_every_round():
    seconds = bench.compare({"a": lambda: None, "b": lambda: None}, rounds=3)
    assert {name: times.shape for name, times in seconds.items()} == {"a": (3,), "b": (3,)}
    assert all((times > 0).all() for times in seconds.values())


def test_training_steps_train_every_contender():
    steps = bench.training_steps(dropout=0.0)
    assert set(steps) == {"modular", "dense", "dense_modules", "masked"}
    losses = {name: [step() for _ in range(10)] for name, step in steps.items()}
    assert all(line[-1] < line[0] for line in losses.values())


def test_plain_srelu_is_ours():
    x = torch.linspace(-2, 2, 101)[:, None].repeat(1, 3)
    ours = models.activations.SReLU(3)
    torch.testing.assert_close(bench.PlainSReLU(3)(x), ours(x))


def test_masked_layer_has_no_gradient_off_its_mask():
    layer = bench._masked(30, 20)
    layer(torch.randn(5, 30)).sum().backward()
    assert (layer.weight.grad[layer.mask == 0] == 0).all()


def test_rows_state_threads_and_processor():
    table = bench.obtain("smoke")
    assert {"n", "density", "threads", "cpu", "median_ms"} <= set(table.columns)
    assert (table["low_ms"] <= table["median_ms"]).all() and (table["threads"] >= 1).all()


def test_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="did you mean 'paper'"):
        bench.obtain("papr")
