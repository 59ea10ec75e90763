"""Check whether stored records can be made again: their first epochs, trained anew and compared.

Nothing is stored. A record made from a tree with uncommitted changes ("dirty") is proven so, or
shown to differ. One of another numerics than that of this code (:mod:`lib.checkpoints`) is not
replayed: its note names the commit to replay it at.
"""

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pandas.testing import assert_series_equal

from lib import data, kernels, train
from lib.checkpoints import NUMERICS, place_of
from lib.runs.config import Run
from lib.runs.environment import DENSE_DEVICE, environment, name_of
from lib.runs.experiment import Contents, Workspace, choose
from lib.runs.progress import Progress, no_progress
from lib.runs.record import Record
from lib.runs.records import Store

SAME, ROUNDED, DIFFERS = "same bits", "same to rounding", "differs"
SKIPPED = "not replayed"
TOLERANCES = {  # of sums in another order, by the end of the name of a column
    "train_loss": {"rtol": 1e-3, "atol": 0},
    "_accuracy": {"rtol": 0, "atol": 0.002},
}
MACHINE = ("cpu", "capability")
LIBRARIES = ("torch", "numba", "numpy")


class CannotReplay(RuntimeError):
    """Something that a record was made from or by is not here."""


# ------------------------------------------------------------------------------------- choosing


def choose_records(
    store: Store, experiment: str, profile: str, *, dirty: bool = False, every: bool = False
) -> list[Record]:
    """Records of an experiment that are to be replayed.

    Args:
        store: of the records.
        experiment: its name.
        profile: one of :data:`lib._boundary.PROFILES`, or "custom" for the stored records of
            none.
        dirty: whether only those made from a tree with uncommitted changes.
        every: whether all of them; else, of each data set, method and variant, that of the lowest
            seed.
    Raises: ValueError naming the nearest experiment or profile.
    """
    records = store.of(experiment, profile)
    if dirty:
        records = [record for record in records if record.environment.get("dirty")]
    if every:
        return records
    lowest: dict[tuple[str, ...], Record] = {}
    for record in sorted(records, key=lambda record: record.config.seed):
        run = record.config
        lowest.setdefault((run.dataset, run.method, run.variant), record)
    return list(lowest.values())


# ------------------------------------------------------------------------------------ replaying


def replay(store: Store, records: Sequence[Record], epochs: int) -> list[dict[str, Any]]:
    """Replay records one after the other, and show how far it is and what became of each.

    Args:
        store: of the records; of experiments that can be replayed.
        records: which.
        epochs: how many of the first epochs, all where a run has fewer.
    Returns: for each record a flat row: the run, its outcome, a note, and what made it.
    """
    rows = []
    done, words = 0, ""
    total = sum(min(epochs, record.config.size) for record in records)
    with Progress(total, "epoch", shown=total > 0) as shown:

        def show(epoch: int) -> None:
            shown.show(done + epoch, words)

        for record in records:
            run = record.config
            words = f"{run.experiment} {run.method} {run.dataset} seed {run.seed}"
            row = replay_one(store, record, epochs, show)
            rows.append(row)
            done += min(epochs, run.size)
            shown.show(done, words)
            shown.say(f"{words}: {row['outcome']}")
    return rows


def replay_one(
    store: Store,
    record: Record,
    epochs: int,
    progress: Callable[[int], None] = no_progress,
) -> dict[str, Any]:
    """Train the first epochs of a record anew and compare them, see :func:`replay`.

    As many threads work as the record names. A training that fails now differs from the one that
    did not; one of another numerics, or whose data or parent are not here, is not replayed. The
    note says why.
    """
    run, facts = record.config, record.environment
    here, versions = environment(), facts.get("versions", {})
    changed = [name for name in LIBRARIES if versions.get(name) != here["versions"][name]]
    changed += [name for name in MACHINE if facts.get(name) != here[name]]
    epochs = min(epochs, run.size)
    labels = ("experiment", "dataset", "method", "variant", "seed")
    row = {name: getattr(run, name) for name in labels} | {
        "record": run.name,
        "epochs": epochs,
        "dirty": facts.get("dirty"),
        "commit": facts.get("commit"),
        "numerics": record.numerics,
        "torch": versions.get("torch"),
        "cpu": facts.get("cpu"),
        "changed_here": ", ".join(changed),
    }
    try:
        contents = first_epochs(store, record, epochs, progress)
    except (CannotReplay, data.DataUnavailable) as error:
        return row | {"epochs": 0, "outcome": SKIPPED, "note": str(error)}
    except train.Diverged as error:
        return row | {"epochs": 0, "outcome": DIFFERS, "note": f"training fails: {error}"}
    return row | compare(record, contents)


def first_epochs(
    store: Store, record: Record, epochs: int, progress: Callable[[int], None]
) -> Contents:
    """The first epochs of a record, trained anew.

    Raises: CannotReplay if it is of another numerics or device, or its data or its parent are not
        here.
    """
    run, commit = record.config, record.environment.get("commit")
    if record.numerics != NUMERICS:
        made = f", or at {commit}, which made it" if commit else ""
        raise CannotReplay(
            f"it is of numerics {record.numerics}, this code of {NUMERICS}: replay it"
            f" {place_of(record.numerics)}{made}"
        )
    try:
        run.check()
        device, here = name_of(run.device()), data.origin(run.dataset)["sha256"]
    except ValueError as error:  # as a reader's own rule, or own data, that is not here
        raise CannotReplay(str(error)) from error
    if here != record.environment["data"]["sha256"]:
        raise CannotReplay(f"{run.dataset} here is not what the record was made from")
    # earlier records name a GPU beside the CPU
    _, _, gpu = record.environment.get("cpu", "").partition(", trained on ")
    made_on = record.environment.get("device", gpu or "cpu")
    if made_on != device:
        raise CannotReplay(
            f"{made_on} made it, and {device} would train it here, which rounds sums otherwise:"
            f" {DENSE_DEVICE} says where dense networks are trained"
        )

    def stored_parent(parent: Run, holds_enough: Callable[[Record], bool]) -> Record:
        for whole in (False, True):
            stored = store.stored(parent, whole=whole)
            if stored is not None and holds_enough(stored):
                return stored
        raise CannotReplay(f"its parent {parent.name} is not stored whole on this machine")

    threads = record.environment.get("threads") or torch.get_num_threads()
    with kernels.on_threads(threads), tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder), progress, stored_parent)
        return choose(store.experiments, run.experiment).replay(run, workspace, epochs)


# ------------------------------------------------------------------------------------ comparing


def compare(record: Record, contents: Contents) -> dict[str, str]:
    """The outcome, and as a note what differs first.

    The table is compared as it is read again from a file, in the columns that are stored; arrays
    as far as both hold them. "same to rounding": losses within a thousandth and accuracies within
    .002, which sums in another order can explain; all else the same.

    Args:
        record: as stored.
        contents: its first epochs, made anew.
    """
    outcome, note = SAME, ""
    for worse, tolerances in ((ROUNDED, {}), (DIFFERS, TOLERANCES)):
        try:
            _assert_same(record, contents, tolerances)
            break
        except AssertionError as error:
            said = str(error).replace("[left]", "stored").replace("[right]", "now")
            outcome, note = worse, " ".join(said.split())
    return {"outcome": outcome, "note": note or None}


def _assert_same(record: Record, contents: Contents, tolerances: dict[str, Any]) -> None:
    n_rows = min(len(record.metrics), len(contents.metrics))
    stored = record.metrics.head(n_rows)
    text = record.config.table_text(contents.metrics)
    now = pd.read_csv(io.StringIO(text)).head(n_rows).reindex(columns=stored.columns)
    for column in stored:
        how = {"rtol": 0, "atol": 0, "check_dtype": False, "obj": column}
        for end, tolerance in tolerances.items():
            if column.endswith(end):
                how |= tolerance
        assert_series_equal(stored[column], now[column], **how)
    for name, array in contents.arrays.items():
        old = record.arrays.get(name, array)
        if not name.split(".")[-1].isdigit():  # one row an epoch; else it is of the epoch it names
            old = old[: len(array)]
        if not np.array_equal(old, array, equal_nan=array.dtype.kind == "f"):
            raise AssertionError(f"{name} is another array")
