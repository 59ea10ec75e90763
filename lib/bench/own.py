"""Models as people write them, of torch's own modules: plain, made sparse, by the compiled step."""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.bench import timing
from lib.bench.contenders import BATCH, DROPOUT, Step
from lib.sparsify import sparsify_

OURS = "our network, SReLU and dropout"  # beside them, see lib.bench.contenders
WAYS = ("fused", "modular", "dense_modules")  # compiled, made sparse by autograd, plain dense


class Written(nn.Module):
    """A network as a class with a forward."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(map(nn.Linear, widths, widths[1:-1]))
        self.last = nn.Linear(*widths[-2:])

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(x.size(0), -1)
        for linear in self.hidden:
            x = F.relu(linear(x))
        return self.last(x)


def sequence(*after: Callable[[int], nn.Module]) -> Callable[[Sequence[int]], nn.Module]:
    """What makes an ``nn.Sequential`` of such widths, with these modules after hidden layers."""

    def make(widths: Sequence[int]) -> nn.Module:
        net = nn.Sequential()
        for n_in, n_out in itertools.pairwise(widths[:-1]):
            net.extend([nn.Linear(n_in, n_out), *[module(n_out) for module in after]])
        return net.append(nn.Linear(*widths[-2:]))

    return make


def relu(n: int) -> nn.Module:
    return nn.ReLU()


MODELS = {
    "Sequential": sequence(relu),
    "Sequential, dropout": sequence(relu, lambda n: nn.Dropout(DROPOUT)),
    "class": Written,
    "BatchNorm": sequence(nn.BatchNorm1d, relu),
    "LayerNorm and GELU": sequence(nn.LayerNorm, lambda n: nn.GELU()),
    "Sequential, Adam": sequence(relu),
    "Sequential, regression": sequence(relu),
}


class OwnStep(Step):
    """A call is one training step of a model of :data:`MODELS`, with SGD unless its name says Adam.

    Args:
        name: of the model.
        way: see :data:`WAYS`.
        widths: n_in, hidden widths, n_out; a regression has one output.
        density: of the hidden layers, where it is made sparse; the last one stays dense.
        batch: examples.
    """

    def __init__(
        self, name: str, way: str, widths: Sequence[int], density: float, batch: int
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        is_regression = name.endswith("regression")
        widths = (*widths[:-1], 1) if is_regression else widths
        net = MODELS[name](widths)
        last = list(net.modules())[-1]
        if way != "dense_modules":
            hidden = {"filter": lambda _, linear: linear is not last, "generator": generator}
            sparsify_(net, density=density, start="new", **hidden)
        if name.endswith("Adam"):
            optimiser = torch.optim.Adam(net.parameters(), lr=1e-4)
        else:
            optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
        x = torch.rand(batch, widths[0], generator=generator)
        y, loss = torch.randint(widths[-1], (batch,), generator=generator), F.cross_entropy
        if is_regression:
            y, loss = torch.rand(batch, 1, generator=generator), F.mse_loss
        super().__init__(net, optimiser, x, y, is_compiled=way == "fused", loss=loss)


def peak_memory(way: str, widths: Sequence[int], density: float) -> float:
    """MiB by which making a model and three training steps raise a new process's peak. The model is
    dense at first, also where it then becomes sparse.
    """
    return timing.of_new_process("own", way, list(widths), density)


def print_peak(way: str, widths: Sequence[int], density: float) -> None:
    """Measure and print the peak, in the process that :func:`peak_memory` starts."""
    timing.load_loops()
    before = timing.peak_so_far()
    step = OwnStep("Sequential", way, widths, density, BATCH)
    for _ in range(3):
        step()
    print(timing.peak_so_far() - before)
