"""The run that hides what the most often kept features see, and what as many others see."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from lib import data
from lib.papers.pruning import evolving, explain, heads, splits, tasks
from lib.papers.pruning.evolving import MaskSearch, trained
from lib.papers.shared import backbone, features
from lib.runs.config import Run
from lib.runs.experiment import Contents, Workspace

BATCH = 16  # images
LICENSED = (tasks.DIGITS, "citrus_leaves", "rps28")  # data sets whose images may be shown
EXAMPLES, EXAMPLE_SIDE = 4, 128  # images that are shown, pixels at most
SEED = 2_000_000  # added to that of a search for the draws of regions


@dataclass(frozen=True)
class RegionStudy(Run):
    """What hiding regions of test images does to a member of the front of a search, its parent.

    The member is the one most accurate on validation images. A region is where the mean map of
    ``kept`` features is largest; hidden pixels are grey, the mean of the image.

    Args:
        kept: features that most masks of the front keep.
        images: of the test part, in stratified order; all where there are fewer.
        area: share of an image that is hidden.
        draws: regions at random, of the same shapes.
    Raises: ValueError if a field is of another type.
    """

    DIGITS: ClassVar[str] = "%.7g"

    kept: int = 10
    images: int = 60
    area: float = 0.2
    draws: int = 3

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        if not 0 < self.area < 1:
            raise ValueError(f"area = {self.area} is out of range: give one between 0 and 1")
        self.parent.check()

    def can_be_had(self) -> bool:
        """Whether the features of all images are here, or made in a second."""
        return self.parent.can_be_had()


def make(run: RegionStudy, workspace: Workspace) -> Contents:
    """Hide and measure."""
    begin = time.perf_counter()
    parent = workspace.record_of(run.parent, evolving.holds_front)
    searched = run.parent
    task = searched.task()
    masks = evolving.front_masks(parent, task.n_features)
    members = trained(searched, task, masks, [searched.training_seed] * len(masks))
    valid = heads.accuracies(members, *(values["valid"] for values in (task.x, task.y)))
    head = members[int(np.argmax(valid))]
    pictures, y = test_images(searched, run.images)
    rng = np.random.default_rng(SEED + searched.seed)
    kept = most_kept(masks, run.kept)
    others = rng.permutation(np.setdiff1d(np.arange(task.n_features), kept))[: run.kept]
    marked = regions(pictures, kept, searched.extractor, run.area)
    hidden = {"nothing": [torch.zeros_like(marked)], "kept": [marked]}
    hidden["moved"] = [moved(marked, rng=rng) for _ in range(run.draws)]
    hidden["others"] = [regions(pictures, others, searched.extractor, run.area)]
    rows = []
    for kind, choices in hidden.items():
        for draw, region in enumerate(choices):
            x = pooled(covered(pictures, region), searched.extractor)
            accuracy = float((head.logits(x).argmax(1) == y).double().mean())
            area = float(region.double().mean())
            rows.append({"kind": kind, "draw": draw, "area": area, "accuracy": accuracy})
    facts = {
        "architecture": parent.environment["architecture"],
        "images": len(y),
        "final": {"test_accuracy": rows[0]["accuracy"]},
        "seconds": round(time.perf_counter() - begin, 1),
        "data": parent.environment["data"],
    }
    arrays = {"kept": kept, "others": np.sort(others)}
    if run.dataset in LICENSED and run.seed == 0:
        arrays |= examples(pictures, kept, searched.extractor, marked)
    return Contents(pd.DataFrame(rows), arrays, facts)


def most_kept(masks: np.ndarray, n: int) -> np.ndarray:
    """The n features that most of (M, n_features) masks keep; of several the first, ascending."""
    counts = masks.sum(axis=0)
    return np.sort(np.argsort(-counts, kind="stable")[:n])


def test_images(searched: MaskSearch, n: int) -> tuple[Tensor, Tensor]:
    """(N, channels, H, W) uint8 images of the test part of a search in stratified order, of the
    size that the extractor is given, and their classes.
    """
    known, _ = tasks.sources(searched.dataset)
    parts = features.in_parts(known, features.images(known).arrays)
    x, y = parts["x_test"], parts["y_test"]
    if searched.division:
        rows = splits.rows_of_test(features.load(known, searched.extractor), searched.division)
        x, y = (
            np.concatenate([parts[f"{name}_{part}"] for part in splits.PARTS])[rows]
            for name in ("x", "y")
        )
    order = data.stratified_order(len(y), y)[:n]
    images = torch.from_numpy(x[order])
    side = features.SOURCES[known].side
    if side is not None:
        images = backbone.enlarged(images, side)
    return images, torch.from_numpy(y[order])


def regions(images: Tensor, chosen: Sequence[int], extractor: str, area: float) -> Tensor:
    """(B, H, W) bool, the share ``area`` of each image where :func:`mean_maps` is largest."""
    return largest_share(mean_maps(images, chosen, extractor), area)


def mean_maps(images: Tensor, chosen: Sequence[int], extractor: str) -> Tensor:
    """(B, H, W) mean of the maps of some features, each first divided by its largest value."""
    parts = []
    for batch in images.split(BATCH):
        maps = explain.feature_maps(batch, np.asarray(chosen), extractor)  # (B, n, h, w)
        largest = maps.amax(dim=(2, 3), keepdim=True).clamp(min=1e-12)
        parts.append((maps / largest).mean(dim=1))
    mean = torch.cat(parts)[:, None].float()
    wide = F.interpolate(mean, size=images.shape[-2:], mode="bilinear", align_corners=False)
    return wide[:, 0]


def examples(
    images: Tensor, kept: Sequence[int], extractor: str, marked: Tensor
) -> dict[str, np.ndarray]:
    """Some images, the mean map of the kept features on them, and what was hidden, small enough to
    be stored.
    """
    images = images[:EXAMPLES]
    step = -(-images.shape[-1] // EXAMPLE_SIDE)
    maps = mean_maps(images, kept, extractor)[:, ::step, ::step]
    return {
        "example images": images[:, :, ::step, ::step].numpy(),
        "example maps": maps.numpy().astype(np.float16),
        "example hidden": marked[:EXAMPLES, ::step, ::step].numpy(),
    }


def largest_share(maps: Tensor, area: float) -> Tensor:
    """(B, H, W) bool, True at the round(area · H · W) largest entries of each map, ties by
    position.
    """
    flat = maps.flatten(1)
    n = round(area * flat.shape[1])
    order = flat.argsort(dim=1, descending=True, stable=True)[:, :n]
    marked = torch.zeros_like(flat, dtype=torch.bool)
    marked.scatter_(1, order, torch.ones_like(order, dtype=torch.bool))
    return marked.reshape(maps.shape)


def moved(marked: Tensor, *, rng: np.random.Generator) -> Tensor:
    """The regions of (B, H, W), each moved around its image by a random distance and, by chance,
    mirrored: of the same shape and area, wherever it falls.
    """
    placed = []
    for region in marked:
        if rng.random() < 0.5:
            region = region.flip(1)
        shifts = [int(rng.integers(side)) for side in region.shape]
        placed.append(region.roll(shifts, dims=(0, 1)))
    return torch.stack(placed)


def covered(images: Tensor, marked: Tensor) -> Tensor:
    """uint8 images whose marked pixels have the mean colour of their image."""
    mean = images.double().mean(dim=(2, 3), keepdim=True).round().to(torch.uint8)
    return torch.where(marked[:, None], mean, images)


def pooled(images: Tensor, extractor: str) -> Tensor:
    """(B, n_features) features of uint8 images of the size that the extractor is given."""
    network = backbone.extractor(extractor)
    with torch.inference_mode():
        parts = [network.pooled(batch) for batch in images.split(BATCH)]
    return torch.cat(parts).clone()
