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


def differences(run, other):
    """Names of the fields in which two runs differ, but for what stands in for them."""
    names = {field.name for field in dataclasses.fields(run)}
    names |= {field.name for field in dataclasses.fields(other)}
    absent = object()
    differ = {n for n in names if getattr(run, n, absent) != getattr(other, n, absent)}
    return differ - {"stand_in"}


def same_but(run, names):
    """The fields of a run but for some."""
    fields = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
    return {name: value for name, value in fields.items() if name not in names}


def no_runs(profile: str) -> list[SparseTraining]:
    return []


MADE = training("made", no_runs)


def store(folder) -> Store:
    return Store(EXPERIMENTS | {"made": MADE}, folder / "runs", folder / "results")
