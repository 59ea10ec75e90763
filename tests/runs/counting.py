"""An experiment of the tests' own: it counts, from a checkpoint, as slowly as it is asked to."""

import dataclasses
import hashlib
import json
import os
import signal
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib import data
from lib.runs.config import Run
from lib.runs.experiment import Contents, Experiment, Workspace, keep_all
from lib.runs.record import Record
from lib.runs.records import Store


@dataclass(frozen=True)
class Counting(Run):
    """Counts so many steps, with a pause of so many seconds after each."""

    dataset: str = "digits"
    steps: int = 4
    pause: float = 0.0
    fails_at: int | None = None

    @property
    def size(self) -> int:
        return self.steps

    def check_table(self, metrics: pd.DataFrame) -> None:
        if len(metrics) != self.steps:
            raise ValueError(f"its table holds {len(metrics)} of {self.steps} steps")


def count(run: Counting, workspace: Workspace) -> Contents:
    """A table of digests, each made from the one before, which a checkpoint keeps."""
    checkpoint = workspace.folder / "checkpoint.json"
    (workspace.folder / "pid").write_text(str(os.getpid()))
    digests = json.loads(checkpoint.read_text()) if checkpoint.exists() else []
    begun = len(digests)
    for step in range(begun + 1, run.steps + 1):
        if step == run.fails_at:
            raise ValueError(f"cannot count to {step}")
        before = digests[-1] if digests else run.seed
        digests.append(hashlib.sha256(f"{before}".encode()).hexdigest())
        checkpoint.with_suffix(".part").write_text(json.dumps(digests))
        checkpoint.with_suffix(".part").rename(checkpoint)
        workspace.progress(step)
        time.sleep(run.pause)
    table = pd.DataFrame({"step": range(1, run.steps + 1), "digest": digests})
    arrays = {"step": np.arange(run.steps), "large": np.arange(3.0)}
    facts = {"begun": begun, "seconds": 0.5, "data": {"sha256": "of digits"}}
    return Contents(table, arrays, facts)


def count_further(run: Counting, workspace: Workspace) -> Contents:
    """Counts, and names the last digest of the parent, whose arrays it needs whole."""
    parent = workspace.record_of(run.parent, holds_large)
    contents = count(run, workspace)
    contents.facts["parent"] = parent.metrics["digest"].iloc[-1]
    return contents


def count_and_kill(run: Counting, workspace: Workspace) -> Contents:
    """Counts to three, and ends the process as a lack of memory does."""

    def progress(done: int) -> None:
        workspace.progress(done)
        if done == 3 and run.method == "killer":
            os.kill(os.getpid(), signal.SIGKILL)

    return count(run, dataclasses.replace(workspace, progress=progress))


def holds_large(record: Record) -> bool:
    """Whether a record holds the array that :func:`keep_steps` leaves out."""
    return "large" in record.arrays


def keep_steps(record: Record, name: str) -> bool:
    """Of an experiment whose shipped records hold one array of two."""
    return name == "step"


def count_and_load(run: Counting, workspace: Workspace) -> Contents:
    """Counts, with the data set at hand."""
    contents = count(run, workspace)
    split = data.load(run.dataset)
    contents.facts["data"] = {"sha256": split.sha256, "n_train": len(split.x_train)}
    return contents


def no_runs(profile: str) -> list[Counting]:
    """Of an experiment without a profile."""
    return []


def experiment(name: str = "counting", **fields) -> Experiment:
    """An experiment that counts."""
    return Experiment(name, **{"configs": no_runs, "make": count, "keeps": keep_all, **fields})


def store(folder, *experiments: Experiment) -> Store:
    """A store of experiments, of one that counts if none is given, in a folder."""
    known = {one.name: one for one in experiments or [experiment()]}
    return Store(known, folder / "runs", folder / "results")
