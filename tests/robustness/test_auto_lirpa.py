"""Bounds and certificates beside auto_LiRPA, an independent implementation. It is not among the
packages of this project, and this test is skipped without it. To install it:

    .venv/bin/python -m pip install --no-deps auto_LiRPA==0.3 appdirs==1.4.4
"""

import importlib
import importlib.util
import sys
import types

import numpy as np
import pytest
import torch

from lib.robustness.certified import bounds, is_certified, margins
from lib.sparsify import densify_
from papers.frontier import recipes

is_installed = importlib.util.find_spec("auto_LiRPA") is not None
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not is_installed, reason="auto_LiRPA is not installed"),
]


@pytest.fixture(scope="module")
def lirpa():
    """auto_LiRPA 0.3 looks for four names of numpy and torch where they were in 2022."""
    exporter = importlib.import_module("torch.onnx._internal.torchscript_exporter.utils")
    settings = exporter.GLOBALS
    old_utils = importlib.import_module("torch.onnx.utils")
    old_helper = importlib.import_module("torch.onnx.symbolic_helper")

    def set_version(version):
        settings.export_onnx_opset_version = version

    def attribute(node, key):
        return getattr(node, node.kindOf(key))(key)

    moved = types.ModuleType("numpy.lib.arraysetops")
    moved.isin = np.isin
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "numpy.lib.arraysetops", moved)
        patch.setattr(old_utils, "_optimize_graph", exporter._optimize_graph, raising=False)
        patch.setattr(old_helper, "_set_opset_version", set_version, raising=False)
        patch.setattr(torch._C.Node, "__getitem__", attribute, raising=False)
        yield importlib.import_module("auto_LiRPA")


@pytest.mark.parametrize("radius", [0.02, 0.1, 0.15])
def test_certificates_of_a_trained_network_are_those_of_auto_lirpa(lirpa, radius, generator):
    network = recipes.load("mnist-certified-1pct").double().eval()
    twin = recipes.load("mnist-certified-1pct").double().eval()
    densify_(twin)
    x = torch.rand(100, 784, generator=generator, dtype=torch.float64)
    y = network(x).argmax(1)
    box = {"x_L": (x - radius).clamp(0, 1), "x_U": (x + radius).clamp(0, 1)}
    around = lirpa.PerturbationLpNorm(norm=float("inf"), eps=radius, **box)
    bounded = lirpa.BoundedModule(twin, x[:1], device="cpu")
    ball = lirpa.BoundedTensor(x, around)
    for actual, desired in zip(
        bounds(network, x, radius), bounded.compute_bounds((ball,), method="IBP"), strict=True
    ):
        torch.testing.assert_close(actual, desired)
    differences = torch.eye(10)[y][:, None] - torch.eye(10)
    desired, _ = bounded.compute_bounds((ball,), C=differences, method="IBP")
    torch.testing.assert_close(margins(network, x, y, radius), desired)
    others = desired.scatter(1, y[:, None], torch.inf)
    assert is_certified(network, x, y, radius=radius).equal((others > 0).all(1))
