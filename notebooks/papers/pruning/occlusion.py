"""Images of which a part is hidden: what some features see, the same regions elsewhere, and what
is left for the features of a network.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from papers.pruning import grad_cam
from papers.shared import backbone

BATCH = 16  # images


def mean_maps(images: Tensor, chosen: Sequence[int] | np.ndarray, extractor: str) -> Tensor:
    """(B, H, W) mean of the maps of some pooled features, see
    :func:`papers.pruning.grad_cam.of_pooled_features`, each first divided by its largest value.

    Args:
        images: (B, channels, H, W) uint8, of the size that the extractor is given.
        chosen: n features.
        extractor: by name.
    """
    network = backbone.extractor(extractor)
    parts = []
    for batch in images.split(BATCH):
        with torch.no_grad():
            maps = grad_cam.of_pooled_features(network.maps(batch), chosen)  # (B, n, h, w)
        largest = maps.amax(dim=(2, 3), keepdim=True).clamp(min=1e-12)
        parts.append((maps / largest).mean(dim=1))
    mean = torch.cat(parts)[:, None].float()
    wide = F.interpolate(mean, size=images.shape[-2:], mode="bilinear", align_corners=False)
    return wide[:, 0]


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
