"""torchvision, beside a torch for CPUs too.

torchvision's default wheel is made for CUDA. Beside a torch for CPUs its compiled operators cannot
be loaded. Then its import fails, as it describes two of them, ``nms`` and ``qnms``, which nobody
has defined. Their schemas are enough for the import: data sets, transforms, models and grids need
none of these operators.

The import takes two seconds: import this module in the functions that use it.
"""

import sys

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError as error:
    if "torchvision::nms does not exist" not in str(error):
        raise
    for name in list(sys.modules):
        if name.startswith("torchvision."):  # what the import has left, half made
            del sys.modules[name]
    _operators = torch.library.Library("torchvision", "FRAGMENT")  # defined as long as it is kept
    for name in ("nms", "qnms"):
        _operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from torchvision import datasets
from torchvision.models import mobilenet_v2
from torchvision.transforms.v2 import functional as transforms
from torchvision.utils import make_grid

__all__ = ["datasets", "make_grid", "mobilenet_v2", "transforms"]
