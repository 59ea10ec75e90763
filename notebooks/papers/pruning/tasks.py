"""Tasks of a head: classes of one data set, and which images are strange to it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lib import data
from lib.data import Split
from papers.pruning import splits
from papers.shared import features

SETS = ("rsmas", "citrus_leaves", "rps28", "eye_fundus", "cifar10")
DIGITS = "digits"
LOW, HIGH = "digits_low", "digits_high"  # known digits, and those that are strange


@dataclass(frozen=True, eq=False)
class Task:
    """Features of one data set in three parts, and strangers to two of them.

    Args:
        x, y: {part: (N, n_features) float32 features, (N,) int64 classes}.
        strangers: {part: (M, n_features)} for "valid" and "test", images of no class.
        sha256: of the images.
        notice: one line to be said with every result; empty when there is nothing to say.
    """

    x: dict[str, Tensor]
    y: dict[str, Tensor]
    strangers: dict[str, Tensor]
    sha256: str
    notice: str = ""

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.x["train"].shape[1]

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.y["train"].max()) + 1


def load(
    dataset: str,
    extractor: str = "mobilenet_v2",
    *,
    train_images: int | None = None,
    valid_images: int | None = None,
    division: int = 0,
) -> Task:
    """The task of a data set.

    Strangers of a part are images of the same part of the other sets of :data:`SETS`, as many as
    the part has, see :func:`papers.shared.features.strangers`. Of "digits" 0 to 4 are known, 5
    to 9 strangers.

    Source: [Poyatos2023], as released, with the sets at hand.

    Args:
        dataset: of :data:`SETS`, or "digits".
        extractor: of the features, see :data:`papers.shared.backbone.EXTRACTORS`.
        train_images, valid_images: used of these parts, classes in proportion; None: all.
        division: into three parts, see :func:`papers.pruning.splits.divided`; 0: as it comes.
    Raises: lib.data.DataUnavailable where images cannot be had.
    """
    known, others = sources(dataset)
    split = features.load(known, extractor)
    if division:
        split = splits.divided(split, division)
    strange = [features.load(name, extractor) for name in others]
    return of_split(split, strange, train_images=train_images, valid_images=valid_images)


def sources(dataset: str) -> tuple[str, tuple[str, ...]]:
    """Names of the features of a data set, and of those that strangers are taken from."""
    if dataset == DIGITS:
        return LOW, (HIGH,)
    return dataset, tuple(name for name in SETS if name != dataset)


def is_here(dataset: str, extractor: str = "mobilenet_v2") -> bool:
    """True if all features of a task are on this machine, or made in a second."""
    known, others = sources(dataset)
    return all(features.is_here(name, extractor) for name in (known, *others))


def of_split(
    split: Split,
    others: Sequence[Split],
    *,
    train_images: int | None = None,
    valid_images: int | None = None,
) -> Task:
    """The task of a data set whose strangers come from others."""
    limits = {"train": train_images, "valid": valid_images, "test": None}
    x, y = {}, {}
    for part in splits.PARTS:
        of_part = getattr(split, f"y_{part}")
        order = data.stratified_order(len(of_part), of_part.numpy())
        rows = torch.from_numpy(np.sort(order[: limits[part]]))
        x[part], y[part] = getattr(split, f"x_{part}")[rows], of_part[rows]
    strangers = {}
    for part in ("valid", "test"):
        strangers[part] = features.strangers(others, len(x[part]), part)
    return Task(x, y, strangers, split.sha256, split.notice)
