"""Other divisions of a data set into three parts, in which near duplicates stay together.

Some leaves and corals were photographed more than once: in parts drawn image by image a head is
tested on pictures that it was trained on, all but the angle.
"""

from dataclasses import replace

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from lib.data import Split

# Cosine of centred features from which on two images count as near duplicates: that of an image and
# its nearest neighbour is .6 for most leaves, and above .8 for a quarter, of which 92 % are of one
# class. No group has more than 18 of the 766 corals or 4 of the 594 leaves.
NEAR = 0.8
PARTS = ("train", "valid", "test")
SHARE = 5  # of the images of a class one in so many is for each of validation and test


def divided(split: Split, number: int) -> Split:
    """The images of a data set in other parts.

    Args:
        split: the features, in the parts that the set comes in.
        number: of the division, from 1.
    """
    x, y = together(split)
    parts = {}
    for part, of_part in rows_of_parts(near_duplicates(x), y.numpy(), number).items():
        chosen = torch.from_numpy(of_part)
        parts |= {f"x_{part}": x[chosen], f"y_{part}": y[chosen]}
    return replace(split, **parts)


def together(split: Split) -> tuple[Tensor, Tensor]:
    """Features and classes of all images: those that train, that validate, that test."""
    x, y = ([getattr(split, f"{name}_{part}") for part in PARTS] for name in ("x", "y"))
    return torch.cat(x), torch.cat(y)


def rows_of_test(split: Split, number: int) -> np.ndarray:
    """Which of the images of :func:`together` test in a division."""
    x, y = together(split)
    return rows_of_parts(near_duplicates(x), y.numpy(), number)["test"]


def near_duplicates(x: Tensor) -> np.ndarray:
    """(N,) int64, the group of each image: two are in one if their features, from which the mean is
    taken, have a cosine of :data:`NEAR` or more, or a chain of such pairs leads from one to the
    other.
    """
    directions = torch.nn.functional.normalize(x.double() - x.double().mean(0), dim=1)
    near = (directions @ directions.T >= NEAR).numpy()
    return connected_components(csr_array(near), directed=False)[1].astype(np.int64)


def rows_of_parts(group: np.ndarray, y: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """The rows of each part, ascending: whole groups, in a random order that the number decides,
    first for testing, then for validation, until each has a fifth of the class of the group (that
    of its first image); the others train.
    """
    rng = np.random.default_rng(number)
    _, first, member = np.unique(group, return_index=True, return_inverse=True)
    sizes = np.bincount(member)
    part_of = np.full(len(first), "train", dtype="U5")
    for label in np.unique(y):
        groups = rng.permutation(np.flatnonzero(y[first] == label))
        wanted = sizes[groups].sum() / SHARE
        before = np.cumsum(sizes[groups]) - sizes[groups]
        tested = before < wanted
        begun = sizes[groups][tested].sum()
        validated = ~tested & (before < begun + wanted)
        part_of[groups[tested]], part_of[groups[validated]] = "test", "valid"
    return {part: np.flatnonzero(part_of[member] == part) for part in PARTS}
