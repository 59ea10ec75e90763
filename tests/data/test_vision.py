"""torchvision is there beside a torch for CPUs, and imported only by what uses it."""

import subprocess
import sys

import pytest
import torch

from lib.data import vision
from tests.test_repository import MODULES, imports


def test_two_operators_that_a_torch_for_cpus_lacks_do_not_stop_the_import():
    assert hasattr(torch.ops.torchvision, "nms") and hasattr(torch.ops.torchvision, "qnms")
    images = vision.datasets.FakeData(3, image_size=(3, 8, 8))
    tiles = [vision.transforms.to_image(image) for image, _ in images]
    assert vision.make_grid(tiles, padding=1).shape == (3, 10, 28)


def test_torchvision_is_imported_in_one_module():
    users = {name for name, path in MODULES.items() if "torchvision" in imports(path)}
    assert users == {"lib.data.vision"}


NOT_USING_IT = """
import runpy, sys
import lib, papers
from lib import data, train
assert "scipy.stats" not in sys.modules, "a seventh of the time of all that is imported"
from lib.report import pictures
data.load("digits")
sys.argv = ["lib", "--help"]
try:
    runpy.run_module("lib", run_name="__main__")
except SystemExit:
    pass
assert not [name for name in sys.modules if name.startswith("torchvision")]
"""


@pytest.mark.ci
def test_torchvision_and_statistics_are_not_imported_where_they_are_not_used():
    subprocess.run([sys.executable, "-c", NOT_USING_IT], check=True, capture_output=True)
