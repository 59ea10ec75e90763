"""Compile the loops that most tests call, once, before the processes of pytest-xdist start: else
each of them compiles the same loops at the same time.

Run as ``python -m tests.compile_loops``: in as many processes as there are cores. What is in the
cache is only loaded.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import nn

from lib import (
    Evolution,
    SparseConv2d,
    SparseLinear,
    compiled_step,
    evolve_,
    kernels,
    sampling,
)
from lib._compiled.hinges import hinge_sum

BATCHES = (1, 16, 64)  # of each a kind of tile


def passes(dtype: torch.dtype) -> None:
    """Layers forwards and backwards, units alone, and what moves links."""
    generator = torch.Generator().manual_seed(0)
    layer = SparseLinear(8, 6, density=0.5, generator=generator, dtype=dtype)
    pieces = torch.rand(4, 6, generator=generator).to(dtype).requires_grad_()
    chain = [layer.links()._replace(srelu=pieces)]
    for batch in BATCHES:
        x = torch.rand(batch, 8, generator=generator).to(dtype).requires_grad_()
        kernels.chain(x, chain).sum().backward()
    x = torch.rand(16, 6, generator=generator).to(dtype).requires_grad_()
    kernels.srelu(x, pieces).sum().backward()
    coefficients = torch.ones(2, 3, dtype=dtype)
    for needed in (False, True):
        hinge_sum(
            x, torch.arange(3).to(dtype), coefficients.requires_grad_(needed)
        ).sum().backward()
    for grow in ("random", "gradient", "ch3_l3"):
        seen = {"x": torch.rand(8, 5, dtype=dtype), "grad_y": torch.rand(6, 5, dtype=dtype)}
        evolve_(layer, Evolution(grow=grow), fraction=0.3, generator=generator, **seen)


def steps(dtype: torch.dtype) -> None:
    """The training step in one call."""
    model, step = _trained(dtype)
    for batch in BATCHES:
        step(*_batch(batch, dtype))


def input_gradients(dtype: torch.dtype) -> None:
    """The gradient at the input, for attacks."""
    model, step = _trained(dtype)
    for batch in BATCHES:
        step.gradient_at(*_batch(batch, dtype))


def _trained(dtype):
    """A network and its step in one call."""
    layer = SparseLinear(8, 6, density=0.5, dtype=dtype)
    model = nn.Sequential(layer, nn.ReLU(), SparseLinear(6, 3, density=1.0, dtype=dtype))
    return model, compiled_step(model, torch.optim.SGD(model.parameters(), lr=0.1))


def _batch(n, dtype):
    return torch.rand(n, 8, dtype=dtype), torch.zeros(n, dtype=torch.int64)


def convolutions(dtype: torch.dtype) -> None:
    """Convolutions of each kind of tile: of 1 and 16 examples, of stride 1 and 2."""
    for stride, batch in ((1, 1), (1, 3), (2, 3)):
        layer = SparseConv2d(2, 2, 1, stride, density=0.5, dtype=dtype)
        layer(torch.rand(batch, 2, 16, 16, dtype=dtype)).sum().backward()


def backbones(dtype: torch.dtype) -> None:
    """The training step of networks with convolutions."""
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        SparseConv2d(2, 2, 3, density=0.5),
        nn.Flatten(),
    )
    step = compiled_step(model, torch.optim.SGD(model.parameters(), lr=0.1))
    step(torch.rand(3, 1, 8, 8, dtype=dtype), torch.zeros(3, dtype=torch.int64))


@torch.no_grad()
def binary_units(dtype: torch.dtype) -> None:
    """The loops of layers of binary units: sparse ones, and dense ones of few units."""
    law, x = sampling.sampling_law(0, 0), torch.ones(8, 20, dtype=dtype)
    for one in (SparseLinear(8, 6, density=0.5, dtype=dtype), nn.Linear(8, 6, dtype=dtype)):
        weights = one.values if isinstance(one, SparseLinear) else one.weight
        down_bias = nn.Parameter(torch.zeros(8, dtype=dtype))
        sampling.probabilities(one, x, one.bias)
        _, up = sampling.probabilities_and_sample(one, x, one.bias, law)
        sampling.sample(one, up, down_bias, law, down=True)
        sampling.tempered(one, x, one.bias, (0.5, 1.0), law)
        optimiser = torch.optim.SGD([weights, one.bias, down_bias], lr=0.1, momentum=0.9)
        examples, order = torch.ones(20, 8, dtype=torch.uint8), torch.arange(20)
        laws = sampling.laws_of(0, 1, (2, 3))
        for particles in (None, x.clone()):
            given = {"particles": particles}
            sampling.descend_(one, down_bias, examples, order, 10, laws, optimiser, **given)


PARTS = [  # two that run at a time compile no loop of each other
    (steps, torch.float32),
    (passes, torch.float64),
    (convolutions, torch.float32),
    (passes, torch.float32),
    (binary_units, torch.float64),
    (input_gradients, torch.float32),
    (binary_units, torch.float32),
    (backbones, torch.float32),
]


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context) as pool:
        for done in [pool.submit(part, dtype) for part, dtype in PARTS]:
            done.result()
