"""Pictures of what machines of images have learned: samples, weights, chains that go on."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lib.papers.set.rbm import experiments
from lib.papers.set.rbm.images import upright
from lib.papers.set.rbm.model import RBM, gibbs
from lib.papers.shared.claims import chosen
from lib.report import labels
from lib.runs.record import Record

SHOWN = 12  # images a row
SWEEPS = 1000  # before samples are shown
Rows = dict[str, np.ndarray]  # {name: (n, height, width)}


def machines(records: Sequence[Record], seed: int) -> list[Record]:
    """The records of SET of one seed that hold their machine: of each data set of images one for
    each start of the visible units' biases.
    """
    found: dict[tuple[str, str], Record] = {}
    for record in chosen(records, method="set", seed=seed):
        holds_machine = any(name.startswith(experiments.BEST) for name in record.arrays)
        if holds_machine and record.config.dataset in experiments.DRAWN:
            found.setdefault((record.config.dataset, record.config.visible_start), record)
    return list(found.values())


def samples(records: Sequence[Record]) -> Rows:
    """Probabilities of the visible units of chains that started from noise, 1,000 sweeps ago."""
    rows = {}
    for record in records:
        rbm, v = _begun(record)
        v = gibbs(rbm, v, SWEEPS, seed=record.config.seed)
        rows[_name(record)] = _pictures(rbm, v, record)
    return rows


def weights(records: Sequence[Record]) -> Rows:
    """The weights of the hidden units with the most links; 0 where there is none."""
    rows = {}
    for record in records:
        rbm = experiments.machine_of(record)
        matrix = rbm.to_dense()
        order = (matrix != 0).sum(1).argsort(descending=True, stable=True)
        images = upright(matrix[order[:SHOWN]], record.config.dataset)
        if record.config.dataset in experiments.images.INVERTED:
            images = images - 1  # of weights there is nothing to invert but the sign
        rows[_name(record)] = images.numpy()
    return rows


def dream(record: Record, frames: int = 12, sweeps: int = 10) -> Rows:
    """Probabilities of the visible units of chains that start from noise and go on: a row a frame,
    some sweeps after the one before, named by the sweeps since the start.
    """
    rbm, v = _begun(record)
    rows = {}
    for frame in range(frames):
        v = gibbs(rbm, v, sweeps, seed=record.config.seed, step=frame * sweeps)
        rows[f"{(frame + 1) * sweeps} sweeps"] = _pictures(rbm, v, record)
    return rows


def percentages(rows: Rows) -> pd.DataFrame:
    """Rows of images as a table, in whole percent: columns name, image, row, and one for each
    column of pixels.
    """
    parts = []
    for name, images in rows.items():
        n, height, width = images.shape
        place = {
            "name": name,
            "image": np.repeat(np.arange(n), height),
            "row": np.tile(np.arange(height), n),
        }
        percent = np.round(100 * images).astype(int).reshape(n * height, width)
        parts.append(pd.concat([pd.DataFrame(place), pd.DataFrame(percent)], axis=1))
    return pd.concat(parts, ignore_index=True)


def _name(record: Record) -> str:
    return f"{labels.dataset(record.config.dataset)}, first biases: {record.config.visible_start}"


def _begun(record: Record) -> tuple[RBM, Tensor]:
    """The machine of a record, and noise (n, n_visible)."""
    rbm = experiments.machine_of(record)
    generator = torch.Generator().manual_seed(record.config.seed)
    noise = torch.rand(SHOWN, rbm.n_visible, generator=generator, dtype=torch.float32)
    return rbm, noise.round()


def _pictures(rbm: RBM, v: Tensor, record: Record) -> np.ndarray:
    p = rbm.visible_probabilities(rbm.hidden_probabilities(v))
    return upright(p, record.config.dataset).numpy()
