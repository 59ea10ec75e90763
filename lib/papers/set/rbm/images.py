"""Examples as a machine takes them, 0 or 1, and states of its units as pictures."""

import numpy as np
import torch
from torch import Tensor

from lib import data
from lib.papers.set.rbm.model import check_binary

PARTS = ("train", "valid", "test")
BY_COLUMN = ("caltech28",)  # images stored column by column
INVERTED = ("caltech28",)  # 1 is the background


def binarised(split: data.Split) -> dict[str, Tensor]:
    """Every part of a data set as rows (N, n_features) float32 of 0 and 1.

    Grey values are sampled once, as the probabilities of a 1, every part by seed 0: all runs see
    the same test part. Nats of other binarisations (a threshold, a new sample at every
    presentation) are nats of other data.

    Raises: ValueError if a set is neither binary nor grey values in [0, 1].
    """
    parts = {}
    for part in PARTS:
        x = getattr(split, f"x_{part}")
        if x is not None:
            generator = torch.Generator().manual_seed(0)
            parts[part] = _binary_rows(x.flatten(1), f"x_{part} of {split.name}", generator)
    return parts


def _binary_rows(x: Tensor, name: str, generator: torch.Generator) -> Tensor:
    is_grey = ((x >= 0) & (x <= 1)).all() and ((x != 0) & (x != 1)).any()
    if is_grey:
        x = torch.bernoulli(x.double(), generator=generator).float()
    check_binary(x, name)
    return x


def turned(numbers: np.ndarray, dataset: str) -> np.ndarray:
    """(n,) numbers of the pixels of square images row by row, however they are stored."""
    side = round(len(numbers) ** 0.5)
    if dataset in BY_COLUMN:
        return numbers.reshape(side, side).T.ravel()
    return numbers


def upright(rows: Tensor, dataset: str) -> Tensor:
    """Images (N, side, side), as people look at them, of rows (N, n_features) of a data set.

    Raises: ValueError if the rows are no images that are square, or of letters of 16 x 8 pixels.
    """
    n = rows.shape[-1]
    side = round(n**0.5)
    if dataset == "ocr_letters":
        return rows.reshape(-1, 16, 8)
    if side * side != n:
        raise ValueError(f"{dataset} has {n} features: its rows are no square images")
    images = rows.reshape(-1, side, side)
    if dataset in BY_COLUMN:
        images = images.mT
    return 1 - images if dataset in INVERTED else images
