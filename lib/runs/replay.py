"""Whether stored records can be made again: their first epochs, trained anew and compared.

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
LOSS, ACCURACY = "train_loss", "_accuracy"  # a column, and the end of the names of columns
LOSS_TOLERANCE = 1e-3  # relative
ACCURACY_TOLERANCE = 0.002  # absolute
MACHINE = ("cpu", "capability")
LIBRARIES = ("torch", "numba", "numpy")

COLUMNS = (
    "experiment",
    "record",
    "dataset",
    "method",
    "variant",
    "seed",
    "epochs",
    "outcome",
    "column",
    "epoch",
    "stored",
    "replayed",
    "loss_difference",
    "dirty",
    "commit",
    "numerics",
    "torch",
    "cpu",
    "changed_here",
    "note",
)


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


def replay(
    store: Store, records: Sequence[Record], epochs: int, *, progress: bool = True
) -> list[dict[str, Any]]:
    """Replay records one after the other.

    Args:
        store: of the records; of experiments that can be replayed.
        records: which.
        epochs: how many of the first epochs, all where a run has fewer.
        progress: whether to show how far it is, and what became of each.
    Returns: a flat row for each record, with the keys :data:`COLUMNS`.
    """
    rows = []
    done, words = 0, ""
    total = sum(min(epochs, record.config.size) for record in records)
    with Progress(total, "epoch", shown=progress and total > 0) as shown:

        def show(epoch: int) -> None:
            shown.show(done + epoch, words)

        for record in records:
            run = record.config
            words = f"{run.experiment} {run.method} {run.dataset} seed {run.seed}"
            row = replay_one(store, record, epochs, show)
            rows.append(row)
            done += min(epochs, run.size)
            shown.show(done, words)
            sentence = f"{words}: {row['outcome']}"
            if row["column"] is not None:
                sentence += (
                    f", {row['column']} of epoch {row['epoch']} of {run.name} was stored as"
                    f" {row['stored']} and is {row['replayed']}"
                )
            if progress:
                shown.say(sentence)
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
    row = dict.fromkeys(COLUMNS)
    row |= {
        "experiment": run.experiment,
        "record": run.name,
        "dataset": run.dataset,
        "method": run.method,
        "variant": run.variant,
        "seed": run.seed,
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


def compare(record: Record, contents: Contents) -> dict[str, Any]:
    """Outcome, first difference and largest relative difference of the training loss.

    The table is compared as it is read again from a file, in the columns that are stored; arrays
    as far as both hold them. "same to rounding": losses within a thousandth and accuracies within
    .002, which sums in another order can explain; all else the same. The first difference is that
    of the earliest epoch.

    Args:
        record: as stored.
        contents: its first epochs, made anew.
    """
    text = record.config.table_text(contents.metrics)
    replayed = pd.read_csv(io.StringIO(text))
    n_rows = min(len(record.metrics), len(replayed))
    stored = record.metrics.head(n_rows).reset_index(drop=True)
    replayed = replayed.head(n_rows).reindex(columns=stored.columns)
    differences = []  # (column, epoch, stored, replayed): the first of each column or array
    is_rounding, loss_difference = True, 0.0
    unlike = stored.compare(replayed, result_names=("stored", "replayed"))
    for column in unlike.columns.unique(level=0):
        rows = unlike[column].dropna(how="all")  # those in which this column differs
        first = rows.index[0]
        values = stored[column].tolist()[first], replayed[column].tolist()[first]
        differences.append((column, first + 1, *values))
        if column == LOSS:
            relative, absolute = LOSS_TOLERANCE, 0.0
            change = (rows["replayed"] - rows["stored"]).abs()
            loss_difference = float((change / rows["stored"].abs()).max())
        elif column.endswith(ACCURACY):
            relative, absolute = 0.0, ACCURACY_TOLERANCE
        else:  # sums in another order cannot change it
            is_rounding = False
            continue
        is_rounding &= np.allclose(rows["replayed"], rows["stored"], relative, absolute)
    for name, new in contents.arrays.items():
        old = record.arrays.get(name, new)
        *_, last = name.split(".")
        has_rows = not last.isdigit()  # one an epoch, from 0 on; else it is of the epoch it names
        if has_rows:
            old = old[: len(new)]
        if old.shape != new.shape:
            epoch = len(new) - 1 if has_rows else int(last)
            differences.append((name, epoch, str(old.shape), str(new.shape)))
            is_rounding = False
            continue
        places = np.argwhere(~np.isclose(new, old, rtol=0, atol=0, equal_nan=True))
        if len(places):
            first = tuple(places[0])
            epoch = first[0] if has_rows else int(last)
            differences.append((name, epoch, old[first].item(), new[first].item()))
            is_rounding = False
    if not differences:
        return {"outcome": SAME, "loss_difference": 0.0}
    column, epoch, old, new = min(differences, key=lambda difference: difference[1])
    return {
        "outcome": ROUNDED if is_rounding else DIFFERS,
        "column": column,
        "epoch": int(epoch),
        "stored": old,
        "replayed": new,
        "loss_difference": loss_difference,
    }
