"""Seconds and memory of the parts of a training step: convolutions, top layers, the update of their
links.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import bench, models, train
from lib.evolution import Evolution, evolve_
from lib.optimisers import make_optimiser
from lib.papers.set.cnn import network
from lib.papers.shared.methods import METHODS
from lib.report import labels
from lib.runs.config import Run
from lib.runs.experiment import Contents, Workspace
from lib.runs.record import Record
from lib.settings import Settings

N_CLASSES = 10
EXAMPLES = 50_000  # of an epoch on CIFAR-10
DENSE, SPARSE = "dense", "sparse"
KIND = {"dense": DENSE, "fixed": SPARSE, "set": SPARSE, "rigl": SPARSE}  # top layers of a method
COPIES = 3  # of the weights: themselves, gradients, momentum
MS, MIB = "milliseconds", "MiB"


@dataclass(frozen=True)
class StepCosts(Run):
    """Measurement of the network on random images, everything in turn in one process.

    Args:
        image: shape of an example.
        filters, hidden, er_epsilon: see :func:`lib.papers.set.cnn.network.set_cnn`.
        batch_size: examples a step.
        rounds, turn: see :func:`lib.bench.compare`.
    """

    dataset: str = "cifar10"
    image: tuple[int, ...] = (3, 32, 32)
    filters: tuple[int, ...] = network.FILTERS
    hidden: tuple[int, ...] = network.HIDDEN
    er_epsilon: float = network.ER_EPSILON
    batch_size: int = 128
    rounds: int = 7
    turn: float = 1.5

    def model(self, kind: str) -> nn.Sequential:
        """A network whose top layers are "dense" or "sparse", float32."""
        net = network.set_cnn(
            self.image,
            N_CLASSES,
            er_epsilon=self.er_epsilon if kind == SPARSE else None,
            filters=self.filters,
            hidden=self.hidden,
            seed=self.seed,
        )
        return net.float()


class PartStep:
    """A call is a forward and a backward pass of a part of a network and a step of SGD with
    momentum.

    Args:
        part: the part.
        x: its input, whose gradient is taken if it requires one.
    """

    def __init__(self, part: nn.Module, x: Tensor) -> None:
        self.part = part.train()
        self.x = x
        self.optimiser = make_optimiser(part, Settings(epochs=1, learning_rate=1e-6))
        self.grad_y = torch.ones_like(part(x))

    def __call__(self) -> None:
        self.optimiser.zero_grad()
        self.part(self.x).backward(self.grad_y)
        self.optimiser.step()
        self.x.grad = None


class Update:
    """A call replaces links of the top layers, as after an epoch; weights are drawn anew, since
    those of links that were never trained are 0.

    Args:
        net: the network.
        method: "set" or "rigl", whose gradients are those of some batches.
        x: (B, image...) a batch.
    """

    def __init__(self, net: nn.Sequential, method: str, x: Tensor) -> None:
        self.net = net
        self.evolution = Evolution(**METHODS[method])
        self.x = x
        self.y = torch.arange(len(x)) % N_CLASSES
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self) -> None:
        for layer in models.sparse_layers(self.net).values():
            layer.values.data.normal_(generator=self.generator)
        seen = self._seen()
        for name, layer in models.sparse_layers(self.net).items():
            update = {"fraction": self.evolution.drop_fraction, "generator": self.generator}
            evolve_(layer, self.evolution, **update, **seen.get(name, {}))

    def _seen(self) -> dict[str, dict[str, Tensor]]:
        if self.evolution.grow != "gradient":
            return {}
        n_batches = self.evolution.gradient_batches
        return train.collect(self.net, self.x, self.y, len(self.x), n_batches, self.generator)


def make(run: StepCosts, workspace: Workspace) -> Contents:
    """Measure."""
    begin = time.perf_counter()
    generator = torch.Generator().manual_seed(run.seed)
    x = torch.rand(run.batch_size, *run.image, generator=generator)
    nets = {kind: run.model(kind) for kind in (DENSE, SPARSE)}
    convolutions = nets[DENSE][:-1]
    seen = convolutions(x).detach().requires_grad_()
    calls = {"convolutions": PartStep(convolutions, x)}
    for kind, net in nets.items():
        calls[f"top, {kind}"] = PartStep(net.top, seen)
        calls[f"step, {kind}"] = PartStep(net, x)
    for method in ("set", "rigl"):
        calls[f"update, {method}"] = Update(run.model(SPARSE).train(), method, x)
    rows = []
    for part, seconds in bench.compare(calls, run.rounds, run.turn).items():
        low, median, high = 1e3 * np.quantile(seconds, [0.25, 0.5, 0.75])
        rows.append((MS, part, median, low, high))
    memory = {"convolutions": (convolutions, x)}
    for kind, net in nets.items():
        memory[f"top, {kind}"] = net.top, seen
    for part, (module, given) in memory.items():
        rows.append((MIB, part, *[held_mib(module) + bench.kept_mib(module, given)] * 3))
    facts = {
        "architecture": "-".join(map(str, (*run.image, *run.hidden, N_CLASSES))),
        "final": {},
        "seconds": round(time.perf_counter() - begin, 1),
    }
    workspace.progress(run.size)
    columns = ["measure", "part", "median", "low", "high"]
    return Contents(pd.DataFrame(rows, columns=columns), {}, facts)


def held_mib(module: nn.Module) -> float:
    """MiB of weights, their gradients and momentum, and of what says where links are."""
    weights = COPIES * sum(p.numel() * p.element_size() for p in module.parameters())
    index = sum(b.numel() * b.element_size() for b in module.buffers())
    return (weights + index) / 2**20


# --------------------------------------------------------------------------------------- table


def table(records: Sequence[Record]) -> pd.DataFrame:
    """What a step, an update of the links and an epoch cost with each method.

    Returns: by method: milliseconds (median) of the convolutions, the top layers and the whole
        step, and of the update; seconds of an epoch of 50,000 images, without evaluation; MiB held
        and kept between passes by the convolutions and by the top layers.
    """
    rows = []
    for record in records:
        costs = record.metrics.set_index(["measure", "part"])["median"]
        steps = EXAMPLES / record.config.batch_size
        for method, kind in KIND.items():
            step = costs[MS, f"step, {kind}"]
            update = costs.get((MS, f"update, {method}"), 0.0)
            row = {
                "method": labels.method_name(method),
                "convolutions, ms": costs[MS, "convolutions"],
                "top, ms": costs[MS, f"top, {kind}"],
                "step, ms": step,
                "update, ms": update,
                "epoch, s": (steps * step + update) / 1e3,
                "convolutions, MiB": costs[MIB, "convolutions"],
                "top, MiB": costs[MIB, f"top, {kind}"],
            }
            rows.append(row)
    return pd.DataFrame(rows)
