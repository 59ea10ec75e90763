"""Small networks on digits, and a store of the papers' experiments with one of the tests' own."""

import dataclasses

from lib.runs.records import Store
from papers import EXPERIMENTS
from papers.shared.sparse_training import SparseTraining
from papers.shared.study import Study
from papers.shared.training import training

BASE = SparseTraining(
    "made", dataset="digits", hidden=(40, 30), density=0.2, drop="sign", epochs=6, batch_size=64
)
GRADIENT = dataclasses.replace(
    BASE, drop="magnitude", grow="gradient", decay="cosine", validation=200, seed=3
)
STUDY = Study("link_removal", dataset="digits", parent=BASE, images=30, draws=1, points=3)


def no_runs(profile: str) -> list[SparseTraining]:
    return []


MADE = training("made", no_runs)


def store(folder) -> Store:
    return Store(EXPERIMENTS | {"made": MADE}, folder / "runs", folder / "results")
