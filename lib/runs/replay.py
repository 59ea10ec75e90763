"""Whether stored records can be made again: their first epochs, trained anew and compared.

Nothing is stored. A record made from a tree with uncommitted changes ("dirty") is proven so, or
shown to differ. One of another numerics than that of this code (:mod:`lib.numerics`) is not
replayed: its note names the commit to replay it at.
"""

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from lib import compiled, data, train
from lib.names import check_known
from lib.numerics import NUMERICS, place_of
from lib.runs.config import Run
from lib.runs.environment import environment
from lib.runs.experiment import PROFILES, Contents, Workspace, choose
from lib.runs.progress import Progress, no_progress
from lib.runs.record import Record
from lib.runs.records import Store

SAME, ROUNDED, DIFFERS = "same bits", "same to rounding", "differs"
SKIPPED = "not replayed"
CUSTOM = "custom"  # the profile of records that are in no other
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


class Difference(NamedTuple):
    """A value that is not the same: where it stands, as stored, and made anew."""

    column: str
    epoch: int
    stored: Any
    replayed: Any

    @property
    def relative(self) -> float:
        """The difference over the stored value."""
        if self.stored == self.replayed:
            return 0.0
        return abs(self.replayed - self.stored) / max(abs(self.stored), 1e-300)

    @property
    def is_rounding(self) -> bool:
        """Whether sums in another order can explain it: that of a count or an array none can."""
        if self.column == LOSS:
            return self.relative <= LOSS_TOLERANCE
        if self.column.endswith(ACCURACY):
            return abs(self.replayed - self.stored) <= ACCURACY_TOLERANCE
        return False


# ------------------------------------------------------------------------------------- choosing


def choose_records(
    store: Store, experiment: str, profile: str, *, dirty: bool = False, every: bool = False
) -> list[Record]:
    """Records of an experiment that are to be replayed.

    Args:
        store: of the records.
        experiment: its name.
        profile: one of :data:`lib.runs.experiment.PROFILES`, or "custom" for the stored records of
            none.
        dirty: whether only those made from a tree with uncommitted changes.
        every: whether all of them; else, of each data set, method and variant, that of the lowest
            seed.
    Raises: ValueError naming the nearest experiment or profile.
    """
    records = _stored(store, experiment, profile)
    if dirty:
        records = [record for record in records if record.environment.get("dirty")]
    if every:
        return records
    lowest: dict[tuple[str, ...], Record] = {}
    for record in sorted(records, key=lambda record: record.config.seed):
        run = record.config
        lowest.setdefault((run.dataset, run.method, run.variant), record)
    return list(lowest.values())


def _stored(store: Store, experiment: str, profile: str) -> list[Record]:
    choose(store.experiments, experiment)
    check_known("profile", profile, (*PROFILES, CUSTOM))
    if profile != CUSTOM:
        return store.of(experiment, profile)
    runs = []
    for record in store.everything():
        if record.config.experiment == experiment and record.profile == CUSTOM:
            runs.append(record.config)
    return store.records(runs)


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
    total = sum(min(epochs, record.config.size) for record in records)
    with Progress(total, "epoch", shown=progress and total > 0) as shown:
        done = 0
        for record in records:
            words = _words(record.config)
            row = replay_one(store, record, epochs, partial(_show, shown, done, words))
            rows.append(row)
            done += min(epochs, record.config.size)
            shown.show(done, words)
            if progress:
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
    row = dict.fromkeys(COLUMNS) | _origin(record)
    epochs = min(epochs, record.config.size)
    try:
        threads = record.environment.get("threads") or torch.get_num_threads()
        with compiled.on_threads(threads):
            contents = _first_epochs(store, record, epochs, progress)
    except (CannotReplay, data.DataUnavailable) as error:
        return row | {"epochs": 0, "outcome": SKIPPED, "note": str(error)}
    except train.Diverged as error:
        return row | {"epochs": 0, "outcome": DIFFERS, "note": f"training fails: {error}"}
    return row | {"epochs": epochs} | compare(record, contents)


def _first_epochs(
    store: Store, record: Record, epochs: int, progress: Callable[[int], None]
) -> Contents:
    run = record.config
    if record.numerics != NUMERICS:
        raise CannotReplay(_of_another_numerics(record))
    if data.origin(run.dataset)["sha256"] != record.environment["data"]["sha256"]:
        raise CannotReplay(f"{run.dataset} here is not what the record was made from")
    experiment = choose(store.experiments, run.experiment)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder), progress, partial(_stored_record, store))
        return experiment.replay(run, workspace, epochs)


def _of_another_numerics(record: Record) -> str:
    """What to do with a record that this code does not make again."""
    commit = record.environment.get("commit")
    made = f", or at {commit}, which made it" if commit else ""
    return (
        f"it is of numerics {record.numerics}, this code of {NUMERICS}: replay it"
        f" {place_of(record.numerics)}{made}"
    )


def _stored_record(store: Store, run: Run, holds_enough: Callable[[Record], bool]) -> Record:
    """The record of a parent, which is not made where it is missing."""
    for whole in (False, True):
        record = store.stored(run, whole=whole)
        if record is not None and holds_enough(record):
            return record
    raise CannotReplay(f"its parent {run.name} is not stored whole on this machine")


def _show(shown: Progress, before: int, words: str, done: int) -> None:
    shown.show(before + done, words)


def _words(run: Run) -> str:
    return f"{run.experiment} {run.method} {run.dataset} seed {run.seed}"


def _origin(record: Record) -> dict[str, Any]:
    """What a record is, and where it was made."""
    run, facts = record.config, record.environment
    versions = facts.get("versions", {})
    here = environment()
    changed = [name for name in LIBRARIES if versions.get(name) != here["versions"][name]]
    changed += [name for name in MACHINE if facts.get(name) != here[name]]
    return {
        "experiment": run.experiment,
        "record": run.name,
        "dataset": run.dataset,
        "method": run.method,
        "variant": run.variant,
        "seed": run.seed,
        "dirty": facts.get("dirty"),
        "commit": facts.get("commit"),
        "numerics": record.numerics,
        "torch": versions.get("torch"),
        "cpu": facts.get("cpu"),
        "changed_here": ", ".join(changed),
    }


# ------------------------------------------------------------------------------------ comparing


def compare(record: Record, contents: Contents) -> dict[str, Any]:
    """Outcome, first difference and largest relative difference of the training loss.

    The table is compared as a file has it, arrays as far as both hold them. "same to rounding":
    losses within a thousandth, accuracies within .002, all else the same. The first difference is
    that of the earliest epoch.

    Args:
        record: as stored.
        contents: its first epochs, made anew.
    """
    metrics = _as_written(record.config, contents.metrics)
    differences = [*_of_tables(record.metrics, metrics)]
    differences += _of_arrays(record.arrays, contents.arrays)
    losses = [one.relative for one in differences if one.column == LOSS]
    row = {"outcome": SAME, "loss_difference": max(losses, default=0.0)}
    if differences:
        first = min(differences, key=lambda one: one.epoch)
        is_rounding = all(one.is_rounding for one in differences)
        row |= first._asdict()
        row["outcome"] = ROUNDED if is_rounding else DIFFERS
    return row


def _as_written(run: Run, metrics: pd.DataFrame) -> pd.DataFrame:
    """The table as it is read again from a file."""
    return pd.read_csv(io.StringIO(run.table_text(metrics)))


def _of_tables(stored: pd.DataFrame, replayed: pd.DataFrame) -> Iterator[Difference]:
    """What differs in the rows that were made anew, in the columns that are stored."""
    replayed = replayed.reindex(columns=stored.columns)
    for column in stored.columns:
        old = stored[column].tolist()
        new = replayed[column].tolist()
        for epoch, pair in enumerate(zip(old, new, strict=False), start=1):
            if not _are_same(*pair):
                yield Difference(column, epoch, *pair)


def _are_same(stored: Any, replayed: Any) -> bool:
    return stored == replayed or bool(pd.isna(stored) and pd.isna(replayed))


def _of_arrays(
    stored: Mapping[str, np.ndarray], replayed: Mapping[str, np.ndarray]
) -> Iterator[Difference]:
    """What differs in arrays named as ``layer.links.epoch``, or with a row an epoch from 0 on:
    their first unlike entries, or their shapes.
    """
    for name, new in replayed.items():
        old = stored.get(name, new)
        last = name.rpartition(".")[2]
        by_row = not last.isdigit()
        if by_row:
            old = old[: len(new)]
        if old.shape != new.shape:
            epoch = len(new) - 1 if by_row else int(last)
            yield Difference(name, epoch, str(old.shape), str(new.shape))
            continue
        unlike = np.flatnonzero(old != new)
        if len(unlike):
            first = int(unlike[0])
            epoch = np.unravel_index(first, new.shape)[0] if by_row else last
            yield Difference(name, int(epoch), old.flat[first].item(), new.flat[first].item())
