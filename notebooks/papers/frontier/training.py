"""Training from links that start within receptive fields or with chosen degrees, and training that
can be certified.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from lib import activations, data, models, train
from lib._boundary import check_number
from lib.layers import initial_values
from lib.robustness.defences import Certified
from lib.runs.experiment import Workspace
from lib.support import local_support, shared_out, whole_numbers
from lib.topology.nulls import shuffle_inputs, support_of_degrees
from papers.shared.sparse_training import SparseTraining


@dataclass(frozen=True)
class StartTraining(SparseTraining):
    """Training on images. The hidden neurons lie on a grid over the image, equally many at each
    pixel. Links start near their neuron, see :func:`lib.support.local_support`, with the density of
    the layer.

    Args:
        reaches: of each hidden layer, in pixels; empty: links start anywhere.
        shuffled: whether the inputs of every layer then change places, see
            :func:`lib.topology.nulls.shuffle_inputs`: a control of the same degrees.
    Raises: ValueError if there are not as many reaches as hidden layers, no density, or a parent
        whose links the reaches would replace.
    """

    reaches: tuple[int, ...] = ()
    shuffled: bool = False

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        super().check()
        if self.reaches and len(self.reaches) != len(self.hidden):
            raise ValueError(
                f"reaches = {self.reaches} for hidden layers of {self.hidden}: give one each"
            )
        if self.reaches and self.density is None:
            raise ValueError(f"reaches = {self.reaches} without a density: give one")
        if self.reaches and self.parent is not None:
            raise ValueError(f"reaches = {self.reaches} and a parent: give one of them")
        if self.shuffled and not self.reaches:
            raise ValueError("shuffled = True without reaches: a random start has no places")

    def prepare_(self, model: nn.Sequential, split: data.Split, workspace: Workspace) -> None:
        """Give the hidden layers links that start near.

        Raises: ValueError if examples are no images, or hidden neurons do not share out over the
            pixels.
        """
        super().prepare_(model, split, workspace)
        if not self.reaches:
            return
        generator = torch.Generator().manual_seed(2 * 10**6 + self.seed)  # not of random links
        places = torch.Generator().manual_seed(3 * 10**6 + self.seed)  # so all else is the same
        grids = list(pairwise(self.grids(split.x_train.shape[1:])))
        for i, (inputs, outputs) in enumerate(grids):
            layer = model.get_submodule(f"linear{i + 1}")
            near = inputs, outputs, self.density, self.reaches[i]
            support = local_support(*near, generator=generator)
            if self.shuffled:
                support = shuffle_inputs(support, generator=places)
            values = initial_values(support, self.start, generator=generator)
            layer.replace_links_(support, values)

    def grids(self, image: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Channels, height and width of the input and of each hidden layer.

        Args:
            image: shape of an example, (height, width) or (channels, height, width).
        """
        if len(image) not in (2, 3):
            raise ValueError(f"an example has shape {tuple(image)}: receptive fields need images")
        *channels, height, width = image
        grids = [(*(channels or [1]), height, width)]
        for n in self.hidden:
            if n % (height * width):
                raise ValueError(
                    f"{n} hidden neurons do not share out over {height} x {width} pixels: give a"
                    f" multiple of {height * width}"
                )
            grids.append((n // (height * width), height, width))
        return grids


@dataclass(frozen=True)
class DegreeTraining(SparseTraining):
    r"""Training from links whose degrees are chosen, as many links in each layer as usual.

    On each side of each layer that evolves, every neuron gets a weight drawn from a Pareto law, and
    a number of links in proportion to it, rounded, at most one to each neuron of the other side.
    Which neurons are joined is random.

    .. math:: p(w) \propto w^{-\alpha}, \quad w \ge 1

    Args:
        exponent: :math:`\alpha`, above 1; None: links start anywhere, or are inherited.
    """

    exponent: float | None = None

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        super().check()
        if self.exponent is None:
            return
        check_number("exponent", self.exponent, "(1, inf)")
        if self.density is None and self.er_epsilon is None:
            raise ValueError(
                f"exponent = {self.exponent} without a density or er_epsilon: give one"
            )
        if self.parent is not None:
            raise ValueError(f"exponent = {self.exponent} and a parent: give one of them")

    def prepare_(self, model: nn.Sequential, split: data.Split, workspace: Workspace) -> None:
        """Give the layers that evolve links with the degrees that were drawn."""
        super().prepare_(model, split, workspace)
        if self.exponent is None:
            return
        rng = np.random.default_rng(2 * 10**6 + self.seed)
        generator = torch.Generator().manual_seed(2 * 10**6 + self.seed)  # not of random links
        for layer in models.sparse_layers(model).values():
            sides = []
            for n, most in (
                (layer.out_features, layer.in_features),
                (layer.in_features, layer.out_features),
            ):
                weights = dict(enumerate(1 + rng.pareto(self.exponent - 1, n)))
                shares = shared_out(layer.nnz, weights, dict.fromkeys(weights, most))
                sides.append(np.array(list(whole_numbers(shares).values())))
            support = support_of_degrees(*sides, generator=generator)
            values = initial_values(support, self.start, generator=generator)
            layer.replace_links_(support, values)


@dataclass(frozen=True)
class CertifiedTraining(SparseTraining):
    """Training of a network whose answers can be proved within a radius, see
    :class:`lib.robustness.defences.Certified`.

    Args:
        certified_radius: in L-infinity; 0: plain training.
        kappa: share of the plain cross-entropy in the objective at the end of training; the rest is
            that of the worst logits.
        plain_epochs: epochs at the beginning, on the plain cross-entropy alone.
        growing_epochs: epochs after these, in which the radius grows to its full size and the share
            of the plain cross-entropy falls to kappa.
    """

    certified_radius: float = 0.0
    kappa: float = 0.5
    plain_epochs: int = 0
    growing_epochs: int = 1

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        super().check()
        self.objectives()
        if self.certified_radius == 0:
            self.check_unused(["kappa"], "training without a certified_radius")
            return
        unit = activations.make(self.activation, 1)
        if activations.as_srelu(unit, 1, torch.zeros(1)) is None:
            raise ValueError(
                f"activation = {self.activation!r} has no bounds, which a certified_radius needs:"
                " give 'relu', 'leaky_relu', 'all_relu' or 'srelu'"
            )
        if self.plain_epochs + self.growing_epochs > self.epochs:
            raise ValueError(
                f"plain_epochs = {self.plain_epochs} and growing_epochs = {self.growing_epochs} of"
                f" {self.epochs} epochs: give no more together"
            )

    def objectives(self) -> dict[str, train.Objective]:
        """Objectives that the steps lower."""
        schedule = self.kappa, self.plain_epochs, self.growing_epochs
        objective = Certified(self.certified_radius, *schedule)
        return {"objective": objective} if self.certified_radius > 0 else {}
