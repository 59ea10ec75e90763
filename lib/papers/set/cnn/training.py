"""The runs that train a convolutional network, or top layers on frozen features, and what their
records hold.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from lib import data, train
from lib.convnets import count_parameters
from lib.names import check_known
from lib.papers.set.cnn import channels, network
from lib.papers.shared import features, trained
from lib.papers.shared.sparse_training import SparseTraining
from lib.runs.experiment import Contents, Workspace

TOPS = ("set", "rigl", "fixed", "dense")
WATCHED = 1000  # training examples on which channels are watched
WATCHES = ("links_of_channels", "usefulness")
ON_DIGITS = "digits_low"  # the features that stand for the data set "digits"


@dataclass(frozen=True)
class CnnTraining(SparseTraining):
    """Training of :func:`lib.papers.set.cnn.network.set_cnn`; the method is what lies on top.

    Args:
        hidden, er_epsilon, dropout: of the network.
        filters: of both convolutions of each block.
        enlarge: factor by which the sides of images are enlarged.
        test_images: of the test part, classes in proportion; None for all.
    """

    hidden: tuple[int, ...] = network.HIDDEN
    activation: str = "relu"
    filters: tuple[int, ...] = network.FILTERS
    enlarge: int = 1
    test_images: int | None = None

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        check_known("method", self.method, TOPS)
        super().check()

    def split(self) -> data.Split:
        """The images, as many as asked for."""
        split = data.load_once(self.dataset, validation=self.validation, limit=self.limit)
        if self.test_images is None:
            return split
        order = data.stratified_order(len(split.y_test), split.y_test.numpy())
        first = torch.from_numpy(order[: self.test_images].copy())
        return dataclasses.replace(split, x_test=split.x_test[first], y_test=split.y_test[first])

    def facts(self) -> dict[str, Any]:
        """What the record says of the data besides their source."""
        return {}

    def widths(self, split: data.Split) -> tuple[int, ...]:
        """The shape of an image, the widths of the top layers, the number of classes."""
        return (*split.x_train.shape[1:], *self.hidden, split.n_classes)

    def model(
        self, widths: Sequence[int], standardisation: tuple[Tensor, Tensor] | None = None
    ) -> nn.Sequential:
        """The untrained network, float32, for widths of :meth:`widths`."""
        *image, n_classes = widths[: -len(self.hidden) - 1] + widths[-1:]
        net = network.set_cnn(
            image,
            n_classes,
            er_epsilon=self.er_epsilon,
            filters=self.filters,
            hidden=self.hidden,
            dropout=self.dropout,
            enlarge=self.enlarge,
            standardisation=standardisation,
            seed=self.seed,
        )
        return net.float()

    def top(self, model: nn.Sequential) -> nn.Sequential:
        """The top layers of the network, the first of them named linear1."""
        return model.top

    def maps(self, model: nn.Sequential, x: Tensor) -> Tensor:
        """(N, channels, pixels) what the top layers see of examples (N, features...)."""
        seen = train.predict(model[:-1], x)
        return seen.view(len(x), self.filters[-1], -1)


@dataclass(frozen=True)
class TopTraining(SparseTraining):
    """Training of two layers and an output on the features of a frozen network.

    The fifth of the training part that :func:`lib.papers.shared.features.load` leaves for
    validation is trained on too.

    Args:
        extractor: of the features, one of :data:`lib.papers.shared.backbone.EXTRACTORS`.
    """

    hidden: tuple[int, ...] = network.HIDDEN
    activation: str = "relu"
    per_pixel: bool = True  # features differ in their scale
    extractor: str = "mobilenet_v2"

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        check_known("method", self.method, TOPS)
        if self.validation or self.limit is not None:
            raise ValueError(
                f"validation = {self.validation}, limit = {self.limit}: features are trained on as"
                " they are stored, leave both out"
            )
        super().check()

    def split(self) -> data.Split:
        """The features of all training and test images."""
        found = self._features()
        return data.Split(
            x_train=torch.cat([found.x_train, found.x_valid]),
            y_train=torch.cat([found.y_train, found.y_valid]),
            x_test=found.x_test,
            y_test=found.y_test,
            x_valid=None,
            y_valid=None,
            name=self.dataset,
            requested=self.dataset,
            source=self.extractor,
            sha256=data.origin(self.dataset)["sha256"],
            notice=found.notice,
        )

    def facts(self) -> dict[str, Any]:
        """Hashes of what the features were made of."""
        return self._features().sha256

    def _features(self) -> features.FeatureSplit:
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


# --------------------------------------------------------------------------------- what it makes

Training = CnnTraining | TopTraining


@dataclass(frozen=True)
class Watch:
    """What is noted of the channels after every epoch, on some training examples."""

    run: Training
    x: Tensor
    y: Tensor

    def __call__(self, model: nn.Sequential) -> dict[str, list]:
        """Links and usefulness of every channel."""
        maps = self.run.maps(model, self.x)
        links = channels.links_of_channels(self.run.top(model).linear1, maps.shape[1])
        useful = channels.usefulness(maps, self.y)
        return {"links_of_channels": links.tolist(), "usefulness": useful.tolist()}


def make(run: Training, workspace: Workspace) -> Contents:
    """Train the network of a run, from its checkpoint if there is one."""
    return _made(run, workspace)


def replay(run: Training, workspace: Workspace, epochs: int) -> Contents:
    """Train the network of a run for its first epochs: their rows, degrees and links."""
    contents = _made(run, workspace, stop_after=epochs)
    recorded = {}
    for name, array in contents.arrays.items():
        if "_degree." in name or ".links." in name:
            recorded[name] = array
    return Contents(contents.metrics, recorded, {})


def _made(run: Training, workspace: Workspace, stop_after: int | None = None) -> Contents:
    split = run.split()
    widths = run.widths(split)
    model = run.model(widths, run.standardisation(split))
    weights = {
        "convolutions": _convolutional(run, model),
        "top": network.top_weights(run.top(model)),
    }
    watch = Watch(run, split.x_train[:WATCHED], split.y_train[:WATCHED])
    start = watch(model)
    history = train.fit(
        model,
        split,
        run.settings(),
        seed=run.seed,
        evaluate_test=run.evaluate_test,
        checkpoint=workspace.folder / "checkpoint.pt",
        stop_after=stop_after,
        on_epoch=lambda history: workspace.progress(len(history.metrics)),
        measure=watch,
    )
    arrays = channels.arrays([start, *history.metrics])
    tensors = trained.named_degrees(history.degrees) | trained.named_links(history.links)
    for name, tensor in model.state_dict().items():
        tensors[trained.STATE + name] = tensor
    for name, tensor in tensors.items():
        arrays[name] = tensor.numpy()
    facts = {
        "architecture": "-".join(map(str, widths)),
        "weights": weights | {"top_final": network.top_weights(run.top(model))},
        "final": history.final,
        "seconds": round(history.seconds, 1),
        "clock": history.clock,
        "data": {"source": split.source, "sha256": split.sha256, **run.facts()},
    }
    metrics = pd.DataFrame(history.metrics).drop(columns=list(WATCHES))
    return Contents(metrics, arrays, facts)


def _convolutional(run: Training, model: nn.Sequential) -> int:
    """Weights and biases below the top layers."""
    return count_parameters(model) - count_parameters(run.top(model))
