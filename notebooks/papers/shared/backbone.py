"""Frozen networks that turn images into features: MobileNetV2, and a tiny one trained here.

An :class:`Extractor` knows how images become its input, its last convolutional map, whose mean
over the image are the features, and the hash of its weights.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib import data
from lib._boundary import check_known, refusing_damage, sha256
from lib.data import fetch

EXTRACTORS = ("mobilenet_v2", "tiny")
N_FEATURES = 1280
WEIGHTS = "mobilenet_v2_imagenet"  # name of the file
STRIDE = 32  # pixels a side of an image is a multiple of


@dataclass(frozen=True, eq=False)
class Extractor:
    """A frozen network.

    Args:
        name: one of :data:`EXTRACTORS`.
        network: (B, channels, H, W) input -> (B, n_features, h, w) last convolutional map.
        prepare: uint8 images (B, channels, H, W) -> input.
        n_features: channels of the map.
        sha256: of the weights.
        turned: whether the map is that of the image turned by 180 degrees.
    """

    name: str
    network: nn.Module
    prepare: Callable[[Tensor], Tensor]
    n_features: int
    sha256: str
    turned: bool = False

    def maps(self, images: Tensor) -> Tensor:
        """(B, n_features, h, w) last convolutional map of uint8 images, as the images stand."""
        maps = self.network(self.prepare(images))
        return maps.flip(-2, -1) if self.turned else maps

    def pooled(self, images: Tensor) -> Tensor:
        """(B, n_features) mean of the map over the image."""
        return self.network(self.prepare(images)).mean((2, 3))


def extractor(name: str) -> Extractor:
    """The frozen network of this name.

    "mobilenet_v2" is looked for as ``mobilenet_v2_imagenet.npz`` where data sets are; "tiny" is
    trained in a second.

    Raises:
        ValueError: if the name is unknown, or the file holds no such network.
        lib.data.DataUnavailable: if the weights cannot be had.
    """
    check_known("extractor", name, EXTRACTORS)
    if name == "tiny":
        return _tiny()
    for path in fetch.places(WEIGHTS).values():
        if path.exists():
            return _from_npz(path.resolve())
    raise data.DataUnavailable(
        f"{WEIGHTS}.npz is not here: set SPARSE_DATA_DIR to a folder holding it, or put it in"
        " data/raw"
    )


def is_here(name: str) -> bool:
    """True if the weights are on this machine, or made in a second."""
    check_known("extractor", name, EXTRACTORS)
    return name == "tiny" or any(path.exists() for path in fetch.places(WEIGHTS).values())


# --------------------------------------------------------------------------------- MobileNetV2


def turned_to_unit_range(images: Tensor) -> Tensor:
    r"""Images as the weights of ``mobilenet_v2_imagenet.npz`` take them: in [-1, 1], turned by 180
    degrees.

    .. math:: x_{ij} = p_{H-1-i, W-1-j} / 127.5 - 1

    These weights were trained with padding at the bottom and the right. Their kernels are stored
    turned by 180 degrees: with the images turned too, padding on all sides gives the same result,
    for sides that are multiples of 32.

    Args:
        images: (B, 3, H, W) uint8.
    Raises: ValueError for other images.
    """
    shape = tuple(images.shape)
    right = images.dtype == torch.uint8 and len(shape) == 4 and shape[1] == 3
    if not right or shape[2] % STRIDE or shape[3] % STRIDE:
        raise ValueError(
            f"images are {images.dtype} of shape {shape}: give uint8 (B, 3, H, W) with sides that "
            f"are multiples of {STRIDE}"
        )
    return (images.float() / 127.5 - 1).flip(-2, -1)


def enlarged(images: Tensor, side: int) -> Tensor:
    """Square images of this side, uint8, by bilinear interpolation; themselves if they have it."""
    if images.shape[-2:] == (side, side):
        return images
    from lib.data.vision import transforms

    large = transforms.resize(images.float(), [side, side], antialias=False)
    return large.round().to(torch.uint8)


@lru_cache(maxsize=1)
def _from_npz(path: Path) -> Extractor:
    """The network of a file, in single precision. Source: [Sandler2018] Table 2."""
    from lib.data.vision import mobilenet_v2  # two seconds to import, for this network alone

    def no_network(error: BaseException) -> str:
        reason = str(error).partition("\n")[0]
        return f"{path} holds no MobileNetV2: delete or replace it ({reason})"

    network = mobilenet_v2().float()
    with refusing_damage(no_network):
        with np.load(path, allow_pickle=False) as file:
            state = {key: torch.from_numpy(np.array(file[key])) for key in file.files}
        for key, value in state.items():
            whole = key.endswith("num_batches_tracked")
            state[key] = value.long() if whole else value.float()
        network.load_state_dict(state)
    convolutions = network.eval().requires_grad_(False).features
    made_of = turned_to_unit_range, N_FEATURES, sha256(path)
    return Extractor("mobilenet_v2", convolutions, *made_of, turned=True)


# ------------------------------------------------------------------------------ the tiny one

TINY_CHANNELS = (16, 32)
TINY_EPOCHS = 10


def in_sixteenths(images: Tensor) -> Tensor:
    """Digits, grey and stored in 0 ... 16, as the tiny network takes them: in [0, 1]."""
    return images.float() / 16


@lru_cache(maxsize=1)
def _tiny() -> Extractor:
    """Two convolutions, trained on the digits 5 to 9: for tests and the profile smoke."""
    generator = torch.Generator().manual_seed(0)
    split = data.load("digits", scaled=False)
    chosen = split.y_train >= 5
    x, y = in_sixteenths(split.x_train[chosen][:, None]), split.y_train[chosen] - 5
    network, n_in = nn.Sequential(), 1
    for n_out in TINY_CHANNELS:
        convolution = nn.Conv2d(n_in, n_out, 3, padding=1, dtype=torch.float32)
        nn.init.kaiming_uniform_(convolution.weight, generator=generator)
        nn.init.zeros_(convolution.bias)
        network.extend([convolution, nn.ReLU()])
        n_in = n_out
    readout = torch.zeros(5, TINY_CHANNELS[-1], dtype=torch.float32, requires_grad=True)
    optimiser = torch.optim.Adam([*network.parameters(), readout], lr=0.01)
    for _ in range(TINY_EPOCHS):
        for batch in torch.randperm(len(x), generator=generator).split(50):
            optimiser.zero_grad()
            pooled = network(x[batch]).mean((2, 3))
            F.cross_entropy(pooled @ readout.T, y[batch]).backward()
            optimiser.step()
    network.zero_grad()
    network.requires_grad_(False)
    weights = [parameter.numpy().tobytes() for parameter in network.parameters()]
    digest = hashlib.sha256(b"".join(weights)).hexdigest()
    return Extractor("tiny", network.eval(), in_sixteenths, TINY_CHANNELS[-1], digest)
