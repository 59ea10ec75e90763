"""The runs that train a convolutional network, or top layers on frozen features."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lib import data, train
from lib._boundary import check_known
from lib.models import count_parameters
from papers.set.cnn import channels, network
from papers.shared import backbone, features
from papers.shared.sparse_training import SparseTraining
from papers.shared.training import Watch

TOPS = ("set", "rigl", "fixed", "dense")
WATCHED = 1000  # training examples on which channels are watched
NOT_TAKEN = ("density", "activation", "draw", "start", "sparse_output", "published_srelu")
ON_DIGITS = "digits_low"  # the features that stand for the data set "digits"


@dataclass(frozen=True)
class OnMaps(SparseTraining):
    """Training of two layers and an output on top of maps, whose channels are watched: how many
    links each has and how much it says of the class. The method is what lies on top.

    A kind must have ``top`` (the network -> its top layers, the first of them named linear1) and
    ``maps`` (network, examples -> (N, channels, pixels), what the top layers see of them).

    Args:
        hidden: widths of the two layers.
    """

    hidden: tuple[int, ...] = network.HIDDEN
    activation: str = "relu"

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        check_known("method", self.method, TOPS)
        super().check()

    def watch(self, split: data.Split) -> Watch:
        """Notes links and usefulness of every channel, on some training examples."""
        x, y = split.x_train[:WATCHED], split.y_train[:WATCHED]

        def channels_of(model: nn.Sequential) -> dict[str, list]:
            maps = self.maps(model, x)
            links = channels.links_of_channels(self.top(model).linear1, maps.shape[1])
            useful = channels.usefulness(maps, y)
            return {"links_of_channels": links.tolist(), "usefulness": useful.tolist()}

        return channels_of

    def watched(self, rows: list[dict[str, Any]], model: nn.Sequential) -> dict[str, np.ndarray]:
        """Links and usefulness of every channel, (epochs + 1, channels)."""
        links = np.array([row["links_of_channels"] for row in rows], np.int32)
        useful = np.array([row["usefulness"] for row in rows], np.float32)
        return {"channels.links": links, "channels.usefulness": useful}

    def facts(self, split: data.Split, model: nn.Sequential) -> dict[str, Any]:
        """The weights in training: those of the top, as Fig. 7 counts them, and those below."""
        top = self.top(model)
        below = count_parameters(model) - count_parameters(top)
        weights = {"convolutions": below, "top": network.top_weights(top)}
        return {**super().facts(split, model), "weights": weights}


@dataclass(frozen=True)
class CnnTraining(OnMaps):
    """Training of :func:`papers.set.cnn.network.set_cnn`; the method is what lies on top.

    Args:
        hidden, er_epsilon, dropout: of the network.
        filters: of both convolutions of each block.
        enlarge: factor by which the sides of images are enlarged.
    """

    filters: tuple[int, ...] = network.FILTERS
    enlarge: int = 1

    def check(self) -> None:
        """Refuse what is out of range, or would change nothing. Raises ValueError."""
        self.check_unused(NOT_TAKEN, "this convolutional network")
        super().check()

    def widths(self, split: data.Split) -> tuple[int, ...]:
        """The shape of an image, the widths of the top layers, the number of classes."""
        return (*split.x_train.shape[1:], *self.hidden, split.n_classes)

    def model(
        self, widths: Sequence[int], standardisation: tuple[Tensor, Tensor] | None = None
    ) -> nn.Sequential:
        """The untrained network, float32, for widths of :meth:`widths`."""
        *image, n_classes = widths[: -len(self.hidden) - 1] + widths[-1:]
        fields = self.fields_of(network.set_cnn)
        net = network.set_cnn(image, n_classes, **fields, standardisation=standardisation)
        return net.float()

    def top(self, model: nn.Sequential) -> nn.Sequential:
        """The top layers of the network, the first of them named linear1."""
        return model.top

    def maps(self, model: nn.Sequential, x: Tensor) -> Tensor:
        """(N, channels, pixels) what the top layers see of examples (N, features...)."""
        seen = train.predict(model[:-1], x)
        return seen.view(len(x), self.filters[-1], -1)


@dataclass(frozen=True)
class TopTraining(OnMaps):
    """Training of two layers and an output on the features of a frozen network.

    The fifth of the training part that :func:`papers.shared.features.load` leaves for
    validation is trained on too.

    Args:
        extractor: of the features, one of :data:`papers.shared.backbone.EXTRACTORS`.
    """

    per_pixel: bool = True  # features differ in their scale
    extractor: str = "mobilenet_v2"

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        self.check_unused(["validation", "limit", "test_images"], "training on stored features")
        super().check()

    def split(self) -> data.Split:
        """The features of all training and test images."""
        found = self._features()
        return replace(
            found,
            x_train=torch.cat([found.x_train, found.x_valid]),
            y_train=torch.cat([found.y_train, found.y_valid]),
            x_valid=None,
            y_valid=None,
            name=self.dataset,
            sha256=data.origin(self.dataset)["sha256"],
        )

    def facts(self, split: data.Split, model: nn.Sequential) -> dict[str, Any]:
        """The weights counted, and hashes of what the features were made of."""
        facts = super().facts(split, model)
        facts["data"]["weights"] = backbone.extractor(self.extractor).sha256
        facts["data"]["images"] = self._features().sha256
        return facts

    def _features(self) -> data.Split:
        name = ON_DIGITS if self.dataset == "digits" else self.dataset
        return features.load(name, self.extractor)

    def model(
        self, widths: Sequence[int], standardisation: tuple[Tensor, Tensor] | None = None
    ) -> nn.Sequential:
        """The untrained layers, float32."""
        network.check_top(widths, self.er_epsilon)
        return super().model(widths, standardisation)

    def top(self, model: nn.Sequential) -> nn.Sequential:
        """The layers themselves."""
        return model

    def maps(self, model: nn.Sequential, x: Tensor) -> Tensor:
        """(N, n_features, 1), the features: each is a channel of one pixel."""
        return x.unsqueeze(2)
