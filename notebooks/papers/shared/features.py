"""Frozen features of images: computed once, and stored with what they were made of.

The features of a data set lie where data sets do, as ``features_<extractor>_<data set>.npz``, with
the hash of the extractor's weights and of the images: an archive of other weights or other images
is refused. They are computed batch by batch; what is interrupted goes on from its last checkpoint.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib import checkpoints, data
from lib._boundary import RAW, check_known, explained, refusing_damage, whole
from lib.data import Split, fetch
from papers.shared import backbone
from papers.shared.backbone import Extractor

BATCH = 16  # images
SECONDS = 20.0  # between checkpoints


@dataclass(frozen=True)
class Source:
    """How a data set enters the extractor.

    Args:
        side: of the square images, to which smaller ones are enlarged; None: as stored.
        n_train, n_test: at most, in stratified order; None: all.
    """

    side: int | None = None
    n_train: int | None = None
    n_test: int | None = None


SOURCES = {
    "rsmas": Source(),
    "citrus_leaves": Source(),
    "rps28": Source(side=128),
    "eye_fundus": Source(),
    "cifar10": Source(side=64, n_train=4000, n_test=1000),
    "cifar100": Source(side=64, n_train=4000, n_test=1000),
    "digits_low": Source(),
    "digits_high": Source(),
}
DIGITS = {"digits_low": range(5), "digits_high": range(5, 10)}  # the tiny network saw the high ones


@dataclass(frozen=True, eq=False)
class Images:
    """Images as stored, and their classes.

    Args:
        arrays: x_train, x_test (N, channels, H, W) uint8; y_train, y_test (N,) int64; group (N,)
            of the training part, where the set has groups.
        sha256: of the arrays x_train and x_test, and of the side that they are enlarged to.
        notice: as :attr:`lib.data.Split.notice`.
    """

    arrays: dict[str, np.ndarray]
    sha256: str
    notice: str


def images(dataset: str) -> Images:
    """The images of a data set whose features are taken, in a training and a test part.

    Raises:
        ValueError: if the data set is not one of :data:`SOURCES`.
        lib.data.DataUnavailable: if it cannot be had.
    """
    check_known("data set with features", dataset, SOURCES)
    source = SOURCES[dataset]
    if dataset in DIGITS:
        split = data.load("digits", scaled=False)
    else:
        split = data.load(dataset, limit=source.n_train, scaled=False)
    arrays = {}
    for key in ("x_train", "y_train", "x_test", "y_test", "group"):
        tensor = getattr(split, key)
        if tensor is not None:
            arrays[key] = tensor.numpy()
    if source.n_test is not None:
        order = data.stratified_order(len(arrays["y_test"]), arrays["y_test"])
        kept = np.sort(order[: source.n_test])
        arrays["x_test"], arrays["y_test"] = arrays["x_test"][kept], arrays["y_test"][kept]
    if dataset in DIGITS:
        digits = DIGITS[dataset]
        for part in ("train", "test"):  # their classes counted from 0, images of one channel
            rows = np.isin(arrays[f"y_{part}"], digits)
            arrays[f"x_{part}"] = arrays[f"x_{part}"][rows][:, None]
            arrays[f"y_{part}"] = arrays[f"y_{part}"][rows] - digits.start
    digest = hashlib.sha256(f"side {source.side}".encode())
    for key in ("x_train", "x_test"):
        digest.update(np.ascontiguousarray(arrays[key]))
    return Images(arrays, digest.hexdigest(), split.notice)


@lru_cache(maxsize=16)
def load(dataset: str, extractor: str = "mobilenet_v2") -> Split:
    """The features of a data set, computed where they are not stored; not to be modified.

    Its source is the extractor, and its hash that of the images.

    A fifth of the training part is for validation, drawn as :func:`lib.data.load` draws. Features
    of the tiny network are made anew each time, in a second.

    Args:
        dataset: one of :data:`SOURCES`.
        extractor: one of :data:`papers.shared.backbone.EXTRACTORS`.

    Raises:
        ValueError: if a name is unknown, the stored features were made of other weights or other
            images, or a class has too few images for three parts.
        lib.data.DataUnavailable: if the images or the weights cannot be had.
    """
    pictures = images(dataset)
    network = backbone.extractor(extractor)
    features = _features(dataset, network, pictures)
    arrays = in_parts(dataset, {**pictures.arrays, **features})
    labels = np.union1d(arrays["y_train"], arrays["y_test"])
    tensors = {}
    for part in ("train", "valid", "test"):
        missing = np.setdiff1d(labels, arrays[f"y_{part}"])
        if len(missing):
            raise ValueError(
                f"class {missing[0]} of {dataset} has no image in the {part} part: it needs"
                " at least one in each of three"
            )
        for values in ("x", "y"):
            tensors[f"{values}_{part}"] = torch.from_numpy(arrays[f"{values}_{part}"])
    told = {"sha256": pictures.sha256, "notice": pictures.notice}
    return Split(**tensors, name=dataset, source=extractor, **told)


def in_parts(dataset: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of images, or of their features, when a fifth of the training part has left for
    validation.
    """
    n_valid = round(len(arrays["x_train"]) / 5)
    name = "digits" if dataset in DIGITS else dataset
    return data.divide(name, arrays, n_valid, "valid")


def is_here(dataset: str, extractor: str = "mobilenet_v2") -> bool:
    """True if the images are on this machine and their features are stored, or to be computed from
    weights that are here too.
    """
    check_known("data set with features", dataset, SOURCES)
    name = "digits" if dataset in DIGITS else dataset
    if not data.is_here(name):
        return False
    stored = any(path.exists() for path in _places(dataset, extractor))
    return stored or backbone.is_here(extractor)


def strangers(splits: Sequence[Split], n: int, part: str) -> Tensor:
    """Features of images of other data sets, evenly by data set and, within each, by class.

    Source: [Poyatos2023] Section 4, the set that is out of the distribution.
    Departs: drawn from the same part, so that strangers that choose a head do not report on it.

    Args:
        splits: of the other data sets, by the same extractor.
        n: number of strangers: fewer come where a set has less than its share.
        part: "train", "valid" or "test".
    Returns: (n, n_features) float32.
    """
    chosen = []
    for number, split in enumerate(splits):
        share = n // len(splits) + (number < n % len(splits))
        x, y = getattr(split, f"x_{part}"), getattr(split, f"y_{part}")
        chosen.append(x[_evenly(y.numpy())[:share]])
    return torch.cat(chosen)


def _evenly(y: np.ndarray) -> np.ndarray:
    """Fixed random order of examples in which the classes take turns."""
    order = np.random.default_rng(0).permutation(len(y))
    rank = np.empty(len(y), np.int64)  # of an example in its class
    for label in np.unique(y):
        members = order[y[order] == label]
        rank[members] = np.arange(len(members))
    return order[np.argsort(rank[order], kind="stable")]


# ------------------------------------------------------------------------------- the archive


def _places(dataset: str, extractor: str) -> list[Path]:
    return list(fetch.places(f"features_{extractor}_{dataset}").values())


def _features(dataset: str, network: Extractor, pictures: Images) -> dict[str, np.ndarray]:
    """x_train and x_test, float32, stored or computed and then stored."""
    if network.name == "tiny":
        return _computed(dataset, network, pictures, None)
    for path in _places(dataset, network.name):
        if path.exists():
            return _stored(path, network, pictures)
    path = _writable(dataset, network.name)
    arrays = _computed(dataset, network, pictures, path.with_suffix(".part"))
    made_of = {"weights_sha256": network.sha256, "images_sha256": pictures.sha256}
    with whole(path) as part, part.open("wb") as file:
        np.savez(file, **made_of, **arrays)
    path.with_suffix(".part").unlink(missing_ok=True)
    return arrays


def _writable(dataset: str, extractor: str) -> Path:
    """Where new features are put: beside the data sets of this machine, or in data/raw."""
    for path in _places(dataset, extractor):
        if path.parent.is_dir() and os.access(path.parent, os.W_OK):
            return path
    with explained(path):
        RAW.mkdir(parents=True, exist_ok=True)
    return path


def _stored(path: Path, network: Extractor, pictures: Images) -> dict[str, np.ndarray]:
    """Raises ValueError unless the file is whole and of these weights and images."""
    desired = {"weights": network.sha256, "images": pictures.sha256}
    with (
        refusing_damage(lambda _: f"{path} is no whole archive of features: delete it"),
        np.load(path, allow_pickle=False) as file,
    ):
        actual = {kind: str(file[f"{kind}_sha256"]) for kind in desired}
        arrays = {key: file[key] for key in ("x_train", "x_test")}
    for kind, sha256 in desired.items():
        if actual[kind] != sha256:
            raise ValueError(
                f"{path} was made of other {kind} (sha256 {actual[kind][:8]}…, not {sha256[:8]}…): "
                "delete it to have the features computed anew"
            )
    return arrays


def _computed(
    dataset: str, network: Extractor, pictures: Images, checkpoint: Path | None
) -> dict[str, np.ndarray]:
    """The features of both parts, from the checkpoint on where there is one of this very work."""
    x_train, x_test = pictures.arrays["x_train"], pictures.arrays["x_test"]
    n_train = len(x_train)
    whole = torch.from_numpy(np.concatenate([x_train, x_test]))
    rows = torch.empty(len(whole), network.n_features, dtype=torch.float32)
    form = f"features of {network.sha256} on {pictures.sha256}"
    begin = 0
    if checkpoint is not None and checkpoint.exists():
        with contextlib.suppress(ValueError):  # of other work, or damaged
            done = checkpoints.load(checkpoint, form)["rows"]
            begin = len(done)
            rows[:begin] = done
    side = SOURCES[dataset].side
    saved_at = time.monotonic()
    with torch.inference_mode():
        for start in range(begin, len(whole), BATCH):
            batch = whole[start : start + BATCH]
            if side is not None:
                batch = backbone.enlarged(batch, side)
            rows[start : start + BATCH] = network.pooled(batch)
            if checkpoint is not None and time.monotonic() - saved_at > SECONDS:
                done = rows[: start + BATCH].clone()
                checkpoints.save(checkpoint, {"format": form, "rows": done})
                saved_at = time.monotonic()
    return {"x_train": rows[:n_train].numpy(), "x_test": rows[n_train:].numpy()}
