"""One record for each run of an experiment, made once.

The record of a run lies in a folder named by it, is written to a temporary name and renamed at the
end: present means complete, and what is present is never made again. An interrupted run goes on
from its checkpoint, to the same bits.
"""

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib import data, paths
from lib.files import explained
from lib.runs import locks, parcels, shelf, sums
from lib.runs.config import Run, from_fields
from lib.runs.environment import environment
from lib.runs.experiment import Contents, Experiment, Watched, Workspace, choose
from lib.runs.packing import Arrays, arrays_in, read_arrays, write_plain
from lib.runs.progress import no_progress
from lib.runs.record import Record

FILES = ("config.json", "environment.json", "metrics.csv", "arrays.npz")  # of a record


@dataclass(frozen=True)
class Store:
    """The records of some experiments: those of this machine, and those that a clone brings.

    Args:
        experiments: by name; whose records these are.
        runs: folder of the runs of this machine, whole.
        results: folder of what a clone needs of the runs of the profile "paper".
    """

    experiments: Mapping[str, Experiment]
    runs: Path = paths.RUNS
    results: Path = paths.RESULTS

    # ------------------------------------------------------------------------------- reading

    def stored(self, run: Run, *, whole: bool = False) -> Record | None:
        """The record of a run, or None if it was not run. ``whole`` asks for all of its arrays."""
        if not whole:
            folder = self.results / run.name
            if folder.is_dir():
                return self._read_as(run, folder)
            book = shelf.book(self.results / run.experiment)
            if book is not None and run.name in book.names:
                return self._from_book(book, run.name)
        folder = self.runs / run.name
        if folder.is_dir():
            return self._read_as(run, folder)
        return None

    def records(self, runs: Iterable[Run], *, whole: bool = False) -> list[Record]:
        """The stored records (:meth:`stored`) of runs; what was not run is left out."""
        records = (self.stored(run.resolved(), whole=whole) for run in runs)
        return [record for record in records if record is not None]

    def of(self, experiment: str, profile: str) -> list[Record]:
        """The stored records of an experiment in a profile.

        Raises: ValueError naming the nearest experiment or profile.
        """
        runs = choose(self.experiments, experiment).runs(profile)
        return self.records(runs)

    def read(self, folder: Path, *, arrays: bool = True) -> Record:
        """Read a record; its arrays, whose file is checked now, are read when one is asked for
        (:class:`lib.runs.packing.Arrays`). Without ``arrays`` it has none.

        Raises: ValueError naming the record that cannot be read.
        """
        try:
            known = sums.check(folder, FILES if arrays else FILES[:-1])
            fields = json.loads((folder / "config.json").read_text())
            facts = json.loads((folder / "environment.json").read_text())
            metrics = pd.read_csv(folder / "metrics.csv")
            path = folder / FILES[-1]
            loaded = {}
            if arrays and known:
                loaded = Arrays(path, known[path.name], "delete its folder and run again")
            elif arrays:  # of an earlier version: nothing else checks it
                loaded = read_arrays(path)
            return self._record(from_fields(fields), metrics, loaded, facts, folder)
        except shelf.DAMAGE as error:
            raise ValueError(
                f"record {folder} cannot be read ({error}): delete the folder and run again"
            ) from error

    def _read_as(self, run: Run, folder: Path) -> Record:
        """The record in the folder of a run, which must be that of this run."""
        record = self.read(folder)
        if record.config.name != run.name:
            raise ValueError(
                f"record {folder} holds {record.config.name}: delete the folder and run again"
            )
        return record

    def holds(self, run: Run) -> bool:
        """Whether the record of a run is stored, which is not read."""
        book = shelf.book(self.results / run.experiment)
        if book is not None and run.name in book.names:
            return True
        return any((place / run.name).is_dir() for place in (self.results, self.runs))

    def names(self) -> set[str]:
        """The names of all stored records."""
        return set(self._folders()) | set(shelf.names(self.results))

    def everything(self) -> list[Record]:
        """All stored records of known experiments, each once, without their arrays."""
        records = {}
        for name, folder in self._folders().items():
            experiment, _, _ = name.rpartition("-")
            if experiment in self.experiments:
                records[name] = self.read(folder, arrays=False)
        for experiment in self.experiments:
            book = shelf.book(self.results / experiment)
            if book is not None:
                for name in book.names:
                    records[name] = self._from_book(book, name)
        return [records[name] for name in sorted(records)]

    def _folders(self) -> dict[str, Path]:
        """Folders of records by name; of what lies in both places, that in data/results."""
        folders = {}
        for place in (self.runs, self.results):
            for path in place.glob("*-*"):
                if path.is_dir() and not path.suffix:
                    folders[path.name] = path
        return folders

    def _from_book(self, book: shelf.Book, name: str) -> Record:
        try:
            fields, facts, metrics = book.read(name)
            run = from_fields(fields)
            if run.name != name:
                raise ValueError(f"it is that of {run.name}")
            return self._record(run, metrics, book.arrays(name), facts, book.folder)
        except shelf.DAMAGE as error:
            raise ValueError(
                f"record {name} in {book.folder} cannot be read ({error}): restore the folder with"
                " git, or delete it and run again"
            ) from error

    def _record(self, run: Run, metrics, arrays, facts, path: Path) -> Record:
        experiment = self.experiments.get(run.experiment)
        if experiment is None:
            return Record(run, metrics, arrays, facts, path)
        run.check_table(metrics)
        profile = experiment.profile_of(run)
        return Record(run, metrics, arrays, facts, path, profile, experiment.numbers)

    # ------------------------------------------------------------------------------- running

    def run(self, run: Run, *, progress: Callable[[int], None] = no_progress) -> Record:
        """The record of a run: the stored one, or the one that is made, see :meth:`make`.

        Args, Raises: as :meth:`make`; ValueError naming a record that cannot be read.
        """
        run = run.resolved()
        self.make(run, progress=progress)
        return self._read_as(run, self.runs / run.name)

    def make(self, run: Run, *, progress: Callable[[int], None] = no_progress) -> None:
        """Make the record of a run, from its checkpoint if there is one, unless it is stored.

        What another experiment has made with the same configuration is taken over, and named in
        the record's environment. Two processes that want the same run: one makes it, the other
        waits and then loads.

        Args:
            run: which.
            progress: called with the number of steps done.
        Raises: ValueError if the run is out of range or its experiment unknown,
            lib.data.DataUnavailable without data, and what its experiment raises.
        """
        experiment = choose(self.experiments, run.experiment)
        run = run.resolved()
        code = environment()  # now: by the end of the run the checkout may have moved on
        folder = self.runs / run.name
        if folder.is_dir():  # also where nothing can be written, so not even a lock
            return
        with self._held(run):
            if folder.is_dir():
                return
            work = self.work_of(run)
            contents = self._same_run(run)
            if contents is None:
                with explained(work):
                    work.mkdir(parents=True, exist_ok=True)
                watched = Watched(progress)
                record_of = partial(self._record_of, heartbeat=watched.repeat)
                contents = experiment.make(run, Workspace(work, watched, record_of))
                run.check_table(contents.metrics)
                contents.facts.update(code)
            self._keep(run, _files(run, contents))
            shutil.rmtree(work, ignore_errors=True)

    def _held(self, run: Run) -> contextlib.AbstractContextManager[None]:
        """The lock of a run, for as long as it is made."""
        return locks.held((self.runs / run.name).with_suffix(".lock"))

    def _keep(self, run: Run, files: parcels.Files) -> None:
        """Store the record of a run that was made here."""
        _write(files, self.runs / run.name)

    def work_of(self, run: Run) -> Path:
        """The folder of the checkpoint of a run."""
        return (self.runs / run.name).with_suffix(".work")

    def has_twins(self, run: Run) -> bool:
        """Whether other experiments may make the very same run."""
        return bool(choose(self.experiments, run.experiment).same_runs_as)

    def twins(self, run: Run) -> list[Run]:
        """The very same run as other experiments make it."""
        names = choose(self.experiments, run.experiment).same_runs_as
        return [run.with_changes({"experiment": name}) for name in names]

    def take_over(self, run: Run) -> bool:
        """Whether another experiment has made the very same run, whose record is then this one's
        too (:meth:`run`).
        """
        if self._same_run(run.resolved()) is None:
            return False
        self.make(run)
        return True

    def accept(self, run: Run, files: parcels.Files) -> None:
        """Store the record of a run that was made elsewhere, from its files, unless there is one.

        Raises: ValueError if they are not those of this run, or hold what cannot be read;
            lib.files.NotWritten if there is no room for them.
        """
        folder = self.runs / run.name
        if folder.is_dir():
            return
        needed = {*FILES, sums.NAME}
        if set(files) != needed:
            raise ValueError(f"record {run.name} came with {sorted(files)}, not {sorted(needed)}")
        came = from_fields(json.loads(files["config.json"]))
        if came.name != run.name:
            raise ValueError(f"record {came.name} came in place of {run.name}")
        try:
            arrays_in(io.BytesIO(files[FILES[-1]]), FILES[-1])
        except ValueError as error:
            raise ValueError(f"record {run.name} came and cannot be read ({error})") from error
        parcels.unpack_new(files, folder)
        shutil.rmtree(self.work_of(run), ignore_errors=True)

    def slim_files(self, run: Run) -> parcels.Files | None:
        """The files of the record that a clone brings of a run, if it brings one."""
        record = self.stored(run)
        if record is None or record.path == self.runs / run.name:
            return None
        return _files(run, Contents(record.metrics, dict(record.arrays), record.environment))

    def _same_run(self, run: Run) -> Contents | None:
        """What another experiment left of the very same run on the same data, if it was made."""
        for twin in self.twins(run):
            other = self.stored(twin, whole=True)
            if other is None:
                continue
            if other.environment["data"]["sha256"] == data.origin(run.dataset)["sha256"]:
                facts = {**other.environment, "same_run_as": other.config.name}
                return Contents(other.metrics, dict(other.arrays), facts)
        return None

    def _record_of(
        self,
        run: Run,
        holds_enough: Callable[[Record], bool],
        *,
        heartbeat: Callable[[int], None],
    ) -> Record:
        """The record that another run starts from; ``heartbeat`` is called while it is made."""
        record = self.stored(run)
        if record is not None and holds_enough(record):
            return record
        return self.run(run, progress=heartbeat)

    def ship(self, record: Record) -> None:
        """Store in data/results, once, what a clone needs of a record; see the README."""
        run = record.config
        folder = self.results / run.experiment
        if _holds(folder, run):
            return
        with locks.held(self.results / f".{run.experiment}.lock"):
            if _holds(folder, run):
                return
            keeps = self.experiments[run.experiment].keeps
            kept = {}
            for name, array in record.arrays.items():
                if keeps(record, name):
                    kept[name] = _narrow(array)
            shelf.add(folder, run, record.metrics, record.environment, kept)


def _holds(folder: Path, run: Run) -> bool:
    """Whether the book in a folder has the record of a run."""
    book = shelf.book(folder)
    return book is not None and run.name in book.names


def _narrow(array: np.ndarray) -> np.ndarray:
    """Whole numbers in two bytes where they fit."""
    if array.dtype == np.int32 and array.max(initial=0) < 2**15:
        return array.astype(np.int16)
    return array


def _json_text(content: Any) -> str:
    return json.dumps(content, indent=1) + "\n"


def _files(run: Run, contents: Contents) -> parcels.Files:
    """The files of a record."""
    arrays = io.BytesIO()
    write_plain(arrays, contents.arrays)
    files = {
        "config.json": _json_text(run.fields_to_write()).encode(),
        "environment.json": _json_text(contents.facts).encode(),
        "metrics.csv": run.table_text(contents.metrics).encode(),
        "arrays.npz": arrays.getvalue(),
    }
    return {**files, sums.NAME: sums.text(files).encode()}


def _write(files: parcels.Files, folder: Path) -> None:
    """Write the files of a record, whole or not at all."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with explained(folder):
            part.mkdir(parents=True)
            for name, content in files.items():
                (part / name).write_bytes(content)
            part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
