"""The runs that learn a layer locally: what is interrupted goes on."""

import numpy as np
import pandas as pd
import pytest

from lib.papers.local_learning import layers
from lib.papers.local_learning.layers import LocalLayer
from lib.runs.experiment import Workspace

RUNS = {
    "all links": LocalLayer("kh", dataset="digits", n_units=12, epochs=4, batch_size=500),
    "evolving links": LocalLayer(
        "kh_sparse",
        dataset="digits",
        n_units=12,
        epochs=4,
        batch_size=500,
        density=0.5,
        evolving=True,
    ),
}


@pytest.fixture(autouse=True)
def short_looks(monkeypatch):
    monkeypatch.setitem(layers.PROBE, "epochs", 2)


def made(run, folder, progress=lambda done: None):
    folder.mkdir(exist_ok=True)
    return layers.make_layer(run, Workspace(folder, progress, lambda run, enough: None))


def interrupt_after(epochs):
    def fail(done):
        if done == epochs:
            raise KeyboardInterrupt

    return fail


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_interrupted_layer_goes_on_to_the_same_bits(run, epochs, tmp_path):
    whole = made(run, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        made(run, tmp_path / "cut", interrupt_after(epochs))
    actual = made(run, tmp_path / "cut")
    pd.testing.assert_frame_equal(actual.metrics, whole.metrics, check_exact=True)
    assert actual.arrays.keys() == whole.arrays.keys()
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(actual.arrays[name], array, err_msg=name)
