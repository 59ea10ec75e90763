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


BEGIN = "import runpy, sys\nsys.argv = ['lib', '--help']\n"
END = "\nassert not [name for name in sys.modules if name.startswith('torchvision')]"
HELP = "try: runpy.run_module('lib', run_name='__main__')\nexcept SystemExit: pass"


@pytest.mark.parametrize(
    "code",
    [
        "import lib",
        "from lib import data; data.load('digits')",
        "from lib import train",
        "import papers",
        "from lib.report import pictures",
        HELP,
    ],
)
def test_torchvision_is_not_imported_where_it_is_not_used(code):
    subprocess.run([sys.executable, "-c", BEGIN + code + END], check=True, capture_output=True)


def test_statistics_are_not_imported_with_the_papers():
    """They take a seventh of the time of all that is."""
    code = "import sys\nimport papers\nassert 'scipy.stats' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
