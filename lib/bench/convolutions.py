"""Convolutions by their links, in tiles and by themselves, beside dense ones and SparseProp's."""

import importlib
import importlib.util
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from lib import layers, models
from lib._compiled import maps
from lib._compiled.backbone import Backbone, Program
from lib.bench.contenders import Pass, Step
from lib.sparsify import sparsify_

LAYERS = {  # channels in and out, side of the images, stride
    "16 x 32²": (16, 16, 32, 1),
    "16 to 32, stride 2": (16, 32, 32, 2),
    "32 x 16²": (32, 32, 16, 1),
    "64 x 8²": (64, 64, 8, 1),
    "96 x 32²": (96, 96, 32, 1),
    "192 x 16²": (192, 192, 16, 1),
    "256 x 8²": (256, 256, 8, 1),
}
DENSITIES = (0.01, 0.05, 0.1, 0.2, 0.5)
PASS, IMAGE, STEP = "convolution: ", "convolution of an image: ", "convolutional step: "
# in a chain of tiles, by itself from and to NCHW, dense in both memory formats,
# and SparseProp's
WAYS = ("fused", "modular", "channels_last", "dense_modules", "sparseprop")


class ChainPass:
    """A call is a forward and a backward pass of a convolution whose input, output and gradients
    are maps on tiles: what it takes within a chain.
    """

    def __init__(self, layer: layers.SparseConv2d, x: Tensor) -> None:
        model = nn.Sequential(layer, nn.Flatten())
        n_slots = min(torch.get_num_threads(), -(-len(x) // maps.LANES))
        self.program = Program(Backbone(model), tuple(x.shape), n_slots)
        y = self.program.forward(x.numpy())
        self.program.backward(torch.rand(y.shape).numpy())
        self.images, self.outputs = x.numpy().reshape(-1), y.reshape(-1)

    def __call__(self) -> None:
        program = self.program
        given = program.rows[1:2], np.array([[0, 1]]), program.terms, program.memory
        how = program.width, program.n_slots
        forward, backward = maps.parts()
        maps.forward_pass(*given, self.images, self.outputs, *how, forward, maps.TILE)
        maps.backward_pass(*given, self.outputs, *how, backward, maps.TILE)


def modules_of(
    name: str, density: float, batch: int
) -> tuple[dict[str, nn.Module], dict[str, Tensor]]:
    """A layer of :data:`LAYERS` by the ways of :data:`WAYS` that are modules, and their inputs."""
    n_in, n_out, side, stride = LAYERS[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, n_in, side, side, generator=generator)
    sizes = n_in, n_out, 3, stride, 1
    sparse = layers.SparseConv2d(*sizes, density=density, bias=False, generator=generator)
    last = nn.Conv2d(*sizes, bias=False).to(memory_format=torch.channels_last)
    modules = {"modular": sparse, "channels_last": last}
    modules["dense_modules"] = nn.Conv2d(*sizes, bias=False)
    if importlib.util.find_spec("sparseprop"):  # see `make bench-rivals`
        kind = importlib.import_module("sparseprop.modules").SparseConv2d
        modules["sparseprop"] = kind(sparse.to_dense().detach(), padding=1, stride=stride)
    inputs = dict.fromkeys(modules, x)
    inputs["channels_last"] = x.contiguous(memory_format=torch.channels_last)
    return modules, inputs


def passes(name: str, density: float, batch: int) -> dict[str, Callable[[], object]]:
    """Forward and backward passes of a layer of :data:`LAYERS`."""
    modules, inputs = modules_of(name, density, batch)
    generator = torch.Generator().manual_seed(0)
    calls: dict[str, Callable[[], object]] = {
        "fused": ChainPass(modules["modular"], inputs["modular"])
    }
    for way, module in modules.items():
        calls[way] = Pass(module, inputs[way], generator=generator)
    return calls


def predictions(name: str, density: float) -> dict[str, Callable[[], object]]:
    """Outputs of a layer of :data:`LAYERS` for one image."""
    modules, inputs = modules_of(name, density, 1)

    def call(way: str) -> Callable[[], object]:
        return lambda: torch.no_grad()(modules[way])(inputs[way])

    return {way: call(way) for way in modules}


def vgg() -> nn.Sequential:
    """Six convolutions with normalisation and ReLU, the mean of each map, a linear layer."""
    net, n_in = nn.Sequential(), 3
    for n_out, stride in ((64, 1), (64, 2), (128, 1), (128, 2), (256, 1), (256, 1)):
        convolution = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        net.extend([convolution, nn.BatchNorm2d(n_out), nn.ReLU()])
        n_in = n_out
    return net.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_in, 10)])


NETWORKS = {"VGG": vgg, "ResNet-20": lambda: models.convnet("resnet20", (3, 32, 32), 10)}


class NetworkStep(Step):
    """A call is one training step of a network of :data:`NETWORKS`, with SGD and momentum, on
    images of CIFAR's size; sparse ones have all links in the first convolution and the last layer.
    """

    def __init__(self, name: str, way: str, density: float, batch: int) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(batch, 3, 32, 32, generator=generator)
        y = torch.randint(10, (batch,), generator=generator)
        net = NETWORKS[name]().to(memory_format=torch.contiguous_format)
        if way in ("fused", "modular"):
            links = {"density": density, "kinds": ["conv"], "start": "new"}
            sparsify_(net, **links, generator=generator)
        elif way == "channels_last":
            net = net.to(memory_format=torch.channels_last)
            x = x.contiguous(memory_format=torch.channels_last)
        optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
        super().__init__(net, optimiser, x, y, is_compiled=way == "fused")
