"""Steps of Boltzmann machines: all contenders learn, and take steps of the same mean."""

import numpy as np
import pytest
import torch

from lib.bench import boltzmann

SMALL = {"n_hidden": 16, "density": 0.5, "n_visible": 20}


def parameters(machine):
    if machine.twin is not None:
        return [machine.twin.components_.copy()]
    return [p.detach().clone().numpy() for p in machine.links.parameters()]


@pytest.mark.parametrize("contender", boltzmann.STEPS)
def test_every_contender_learns(contender):
    machine = boltzmann.Machine(contender, **SMALL)
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
        machine = boltzmann.Machine(contender, **SMALL)
        machine.x = (torch.rand(machine.x.shape) < 0.9).to(machine.x.dtype)
        machine.optimiser.param_groups[0].update(lr=1e-4, momentum=0.0)
        before = machine.links.weight.detach().clone()
        for _ in range(300):
            machine()
        means.append((machine.links.weight.detach() - before) / 0.03)
    assert means[0].min() > 0.1  # about .9 / 2 - .5 / 2
    assert (means[0] - means[1]).abs().max() < 0.03
