"""The benchmark of machines: contenders that learn the same, tables that say what was measured."""

import numpy as np
import pandas as pd
import pytest
import torch

from lib import bench
from lib.bench import machines

SMALL = {"n_hidden": 16, "density": 0.5, "n_visible": 20}


def parameters(machine):
    if machine._twin is not None:
        return [machine._twin.components_.copy()]
    return [p.detach().clone().numpy() for p in machine.links.parameters()]


@pytest.mark.parametrize("contender", machines.STEPS)
def test_every_contender_learns(contender):
    machine = machines.Machine(contender, **SMALL)
    machine()
    before = parameters(machine)
    machine()
    moved = [not np.array_equal(a, b) for a, b in zip(before, parameters(machine), strict=True)]
    assert moved[0]


def test_dense_contenders_take_steps_of_the_same_mean():
    """Ours and plain torch draw other samples: mean steps over 300 batches agree, on examples
    whose pixels are mostly 1 and so pull the weights up.
    """
    means = []
    for contender in ("dense", "dense_modules"):
        torch.manual_seed(0)
        machine = machines.Machine(contender, **SMALL)
        machine.x = (torch.rand(machine.x.shape) < 0.9).to(machine.x.dtype)
        machine.optimiser.param_groups[0].update(lr=1e-4, momentum=0.0)
        before = machine.links.weight.detach().clone()
        for _ in range(300):
            machine()
        means.append((machine.links.weight.detach() - before) / 0.03)
    assert means[0].min() > 0.1  # about .9 / 2 - .5 / 2
    assert (means[0] - means[1]).abs().max() < 0.03


def test_epoch_evolves_the_sparse_links(monkeypatch):
    monkeypatch.setattr(machines, "EPOCH", 2)
    machine = machines.Machine("fused", **SMALL)
    keys = machine.links.support.keys.clone()
    machine.epoch()
    assert len(machine.links.support.keys) == len(keys)
    assert not torch.equal(machine.links.support.keys, keys)


@pytest.fixture
def unmeasured(monkeypatch):
    monkeypatch.setattr(machines, "HIDDEN", {"smoke": (8,), "paper": (8, 16)})
    monkeypatch.setattr(machines, "DENSITIES", {"smoke": (0.5,), "paper": (0.1, 0.5)})
    monkeypatch.setattr(
        machines.timing, "compare", lambda calls, *rest: dict.fromkeys(calls, np.ones(3))
    )
    monkeypatch.setitem(machines.ROUNDS, "paper", (1, 0.0))


def test_tables_say_hidden_units_and_density(unmeasured):
    table = bench.obtain("machines", "smoke")
    assert set(table["measure"]) == {"cd1_step", "cd1_step_at_density"}
    steps = table[table["measure"] == "cd1_step"]
    assert set(steps["contender"]) == set(machines.STEPS) and set(steps["n"]) == {8}
    assert set(table["kind"]) == {"machines"} and (table["median_ms"] == 1000).all()


def test_epochs_are_measured_in_the_paper_profile(unmeasured):
    table = bench.sweep_machines("paper")
    epochs = table[table["measure"] == "cd1_epoch"]
    assert sorted(set(epochs["n"])) == [8, 16]


def test_speedups_are_ratios_to_ours():
    rows = {"measure": "cd1_step", "n": 500, "density": 0.04, "contender": ["fused", "dense"]}
    table = pd.DataFrame(rows).assign(median_ms=[2.0, 10.0])
    assert machines.speedups(table)["dense"].tolist() == [5]


def test_unknown_contender_is_refused():
    with pytest.raises(ValueError, match="did you mean 'dense'"):
        machines.Machine("dens", **SMALL)
