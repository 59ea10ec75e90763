"""A residual network whose convolutions have links that are fixed, or evolve."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lib import data, models
from lib._boundary import check_known
from lib.sparsify import sparsify_
from papers.shared.sparse_training import SparseTraining

METHODS = ("set", "rigl", "fixed", "dense")
NOT_TAKEN = ("hidden", "er_epsilon", "activation", "dropout", "draw", "start", "sparse_output")
BLOCKS = "block*"  # names of the layers that have links


@dataclass(frozen=True)
class ResNetTraining(SparseTraining):
    """Training of ResNet-20 [He2016]. The convolutions of its blocks have links of one density; the
    first convolution and the linear layer have all.
    """

    def check(self) -> None:
        """Refuse what is out of range, or would change nothing. Raises ValueError."""
        check_known("method", self.method, METHODS)
        self.check_unused(NOT_TAKEN, "ResNet-20")
        super().check()

    def widths(self, split: data.Split) -> tuple[int, ...]:
        """The shape of an image and the number of classes."""
        return (*split.x_train.shape[1:], split.n_classes)

    def model(
        self, widths: Sequence[int], standardisation: tuple[Tensor, Tensor] | None = None
    ) -> nn.Sequential:
        """The untrained network, float32, for widths of :meth:`widths`."""
        *image, n_classes = widths
        net = models.convnet(
            "resnet20", tuple(image), n_classes, standardisation=standardisation, seed=self.seed
        )
        if self.density is not None:
            generator = torch.Generator().manual_seed(self.seed)
            sparsify_(net, density={BLOCKS: self.density}, start="new", generator=generator)
        return net
