"""Compile the loops that most tests call, once, before the processes of pytest-xdist start: else
each of them compiles the same loops at the same time.

Run as ``python -m tests.compile_loops``. What is in the cache is only loaded.
"""

import subprocess
import sys

import torch
from torch.nn import functional as F

from lib import (
    Evolution,
    SparseConv2d,
    SparseLinear,
    compiled_step,
    evolve_,
    kernels,
    mlp,
    sampling,
)
from lib._compiled.hinges import hinge_sum

DTYPES = ("float32", "float64")
BATCHES = (1, 16, 64)  # of each a kind of tile


def compile_for(dtype: torch.dtype) -> None:
    """The loops on tensors of a dtype."""
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
    compile_units(layer, dtype)
    if dtype == torch.float32:
        compile_step()
        compile_convolutions()


def compile_convolutions() -> None:
    """Convolutions of each kind of tile: of 1 and 16 examples, of stride 1 and 2."""
    for stride, batch in ((1, 1), (1, 3), (2, 3)):
        layer = SparseConv2d(2, 2, 1, stride, density=0.5, dtype=torch.float32)
        layer(torch.rand(batch, 2, 16, 16)).sum().backward()


@torch.no_grad()
def compile_units(layer: SparseLinear, dtype: torch.dtype) -> None:
    """The loops of layers of binary units: sparse ones, and dense ones of few units."""
    law, x = sampling.sampling_law(0, 0), torch.ones(8, 20, dtype=dtype)
    for one in (layer, torch.nn.Linear(8, 6, dtype=dtype)):
        weights = one.values if one is layer else one.weight
        down_bias = torch.nn.Parameter(torch.zeros(8, dtype=dtype))
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


def compile_step() -> None:
    """The training step in one call."""
    model = mlp((8, 6, 3), density=0.5, activation="srelu", dropout=0.3).float()
    step = compiled_step(model, torch.optim.SGD(model.parameters(), lr=0.1))
    for batch in BATCHES:
        x, y = torch.rand(batch, 8), torch.zeros(batch, dtype=torch.int64)
        step(x, y)
        step.gradient_at(x, y)
        F.cross_entropy(model(x), y).backward()


if __name__ == "__main__":
    if sys.argv[1:]:
        compile_for(getattr(torch, sys.argv[1]))
    else:
        words = [sys.executable, "-m", "tests.compile_loops"]
        running = [subprocess.Popen([*words, dtype]) for dtype in DTYPES]
        sys.exit(max(process.wait() for process in running))
