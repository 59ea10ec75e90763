"""Records of runs: one writer and one reader.

An archive is a folder of records: ``data/runs/<record>`` holds the one that was made there,
``data/results/<experiment>`` those that a clone brings. Each line of its file ``records.jsonl`` is
one record: name, configuration, environment, table (as the text of a CSV file), the sha256 of its
file of arrays, if it has one, and a sha256 of all of that. Nothing that differs from what was
written is read. The order of the lines is free, so git merges what two branches have added.

The record of a run is made once. It appears whole or not at all: its folder is written under a
temporary name and renamed at the end. An interrupted run continues from its checkpoint, to the same
bits.
"""

import contextlib
import copy
import hashlib
import io
import json
import logging
import lzma
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib import _boundary, data
from lib._boundary import CUSTOM, PART, PROFILES, check_known, explained, is_damage, whole
from lib.runs.config import Run, UnknownFields, from_fields
from lib.runs.environment import environment, name_of
from lib.runs.experiment import CLOCK, Contents, Experiment, Workspace, choose
from lib.runs.progress import no_progress
from lib.runs.record import Record

RECORDS = "records.jsonl"
REMEDY = "restore the folder with git, or delete it and run again"
DAMAGE = (
    *(OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, RuntimeError),
    *(lzma.LZMAError, zlib.error, zipfile.BadZipFile),
)

Files = dict[str, bytes]  # of one record, by name


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Raise what damage raises in the block as a ValueError that names it and the remedy."""
    try:
        yield
    except UnknownFields as error:
        raise UnknownFields(f"{what} was written by another version: {error}") from error
    except DAMAGE as error:
        if not is_damage(error):
            raise
        raise ValueError(f"{what} cannot be read ({error}): {REMEDY}") from error


# ------------------------------------------------------------------------------------- archives


def archive(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of a folder by name, each as its line says; none if nothing is there.

    Raises: ValueError if the folder lacks a part, or holds one that differs from what was written.
    """
    with _named(f"records in {folder}"):
        if not (folder / RECORDS).exists():
            files = _files(folder)
            if not files:
                return {}
            if RECORDS not in files:  # else another process has just put it there
                raise ValueError(f"no {RECORDS} is there")
        status = (folder / RECORDS).stat()
        return _archive(folder, (status.st_mtime_ns, status.st_ino, status.st_size))


@lru_cache(maxsize=128)
def _archive(folder: Path, version: tuple[int, ...]) -> dict[str, dict[str, Any]]:
    files = _files(folder)  # first: a record that is added meanwhile has its line before its arrays
    entries: dict[str, dict[str, Any]] = {}
    text = (folder / RECORDS).read_text(encoding="utf-8")
    for line in text.removesuffix("\n").split("\n"):
        entry = json.loads(line)
        sha256 = entry.pop("sha256")
        name = entry["name"]
        if sha256 != _sha256(entry):
            raise ValueError(f"{name} is not as it was written")
        if name in entries:
            raise ValueError(f"{name} is there twice")
        entries[name] = entry
        files -= entry["arrays"].keys()
    if files - {RECORDS}:
        raise ValueError(f"{min(files - {RECORDS})} belongs to no record")
    return entries


@lru_cache(maxsize=10_000)
def _table(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


def _read_table(run: Run, text: str, folder: Path, *, is_checked: bool) -> pd.DataFrame:
    with _named(f"record {run.name} in {folder}"):
        metrics = _table(text).copy(deep=False)  # shared until one is changed
        if is_checked:
            run.check_table(metrics)
    return metrics


def _files(folder: Path) -> set[str]:
    """Names of the files of an archive, but for those that are being written."""
    names = os.listdir(folder) if folder.is_dir() else []
    return {name for name in names if not name.startswith(".") and not name.endswith(PART)}


def _sha256(entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry).encode()).hexdigest()


def line_of(entry: dict[str, Any]) -> str:
    """The line of a record: what it says, and the sha256 of that."""
    return json.dumps({**entry, "sha256": _sha256(entry)}) + "\n"


def files_of(run: Run, contents: Contents, *, small: bool = False) -> Files:
    """The files of a record; its arrays are compressed if they are to be small: that takes longer
    than all the rest.
    """
    files: Files = {}
    if contents.arrays:
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **contents.arrays)
        content = stream.getvalue()
        if small:
            files[f"{run.name}.npz.xz"] = lzma.compress(content)
        else:
            files[f"{run.name}.npz"] = content
    entry = {
        "name": run.name,
        "config": run.fields_to_write(),
        "environment": contents.facts,
        "table": run.table_text(contents.metrics),
        "arrays": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    return {RECORDS: line_of(entry).encode(), **files}


def add(folder: Path, records: Mapping[str, Files]) -> None:
    """Add records, by name, to an archive; the caller sees to it that nobody else does meanwhile.

    Arrays come last: if this is stopped before, the record is refused until it is added again,
    where its run does not lie in data/runs.
    """
    content = {name: line_of(entry).encode() for name, entry in archive(folder).items()}
    content |= {name: files[RECORDS] for name, files in records.items()}
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / RECORDS) as part:
        part.write_bytes(b"".join(content[name] for name in sorted(content)))
    for files in records.values():
        for name in files.keys() - {RECORDS}:
            with whole(folder / name) as part:
                part.write_bytes(files[name])


class Arrays(Mapping):
    """The arrays of a record by name, read when the first one is asked for.

    Args:
        folder: of the record.
        files: sha256 of its file of arrays, by name; empty if it has none.
    Raises: ValueError, then, if the file is missing or differs from what was written.
    """

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        self._folder, self._files = folder, files

    @cached_property
    def _read(self) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        for name, sha256 in self._files.items():
            path = self._folder / name
            with _named(str(path)):
                arrays |= read_arrays(path, sha256)
        return arrays

    def __getitem__(self, name: str) -> np.ndarray:
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


def read_arrays(path: Path, sha256: str) -> dict[str, np.ndarray]:
    """The arrays of a file. Raises ValueError if the file has another sha256, or holds pickles."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("it is not as it was written")
    if path.suffix == ".xz":
        content = lzma.decompress(content)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


@contextlib.contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside this one to write to, renamed to it at the end of the block."""
    part = folder.with_suffix(PART)
    shutil.rmtree(part, ignore_errors=True)
    try:
        with explained(folder):
            part.mkdir(parents=True)
            yield part
            shutil.rmtree(folder, ignore_errors=True)  # no record: at most hidden files
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


# ---------------------------------------------------------------------------------------- store


@dataclass(frozen=True)
class Store:
    """The records of some experiments: those of this machine, and those that a clone brings.

    Args:
        experiments: by name; whose records these are.
        runs: folder of the runs of this machine, whole.
        results: folder of what a clone needs of the runs of the profile "paper".
    """

    experiments: Mapping[str, Experiment]
    runs: Path = _boundary.RUNS
    results: Path = _boundary.RESULTS

    # ------------------------------------------------------------------------------- reading

    @property
    def shipped(self) -> "Store":
        """Records that a clone brings, without those of this machine."""
        return replace(self, runs=self.results)

    def stored(self, run: Run, *, whole: bool = False) -> Record | None:
        """The record of a run, or None if it was not run. ``whole`` asks for all of its arrays.

        Raises: ValueError naming a record that cannot be read.
        """
        shipped, made = self.results / run.experiment, self.runs / run.name
        if not whole and (entry := archive(shipped).get(run.name)):
            if _has_arrays(shipped, entry) or not archive(made):
                return self.read(shipped, run.name)
        return self.read(made, run.name) if archive(made) else None

    def records(self, runs: Iterable[Run], *, whole: bool = False) -> list[Record]:
        """The stored records (:meth:`stored`) of runs; what was not run is left out."""
        records = (self.stored(run.resolved(), whole=whole) for run in runs)
        return [record for record in records if record is not None]

    def of(self, experiment: str, profile: str) -> list[Record]:
        """The stored records of an experiment in a profile, or those that are in none ("custom").

        Raises: ValueError naming the nearest experiment or profile.
        """
        known = choose(self.experiments, experiment)
        check_known("profile", profile, (*PROFILES, CUSTOM))
        if profile != CUSTOM:
            return self.records(known.runs(profile))
        stored = self.everything(experiment)
        return self.records(record.config for record in stored if record.profile == CUSTOM)

    def read(self, folder: Path, name: str) -> Record:
        """The record of this name in an archive. Its table and its arrays are read when they are
        asked for.

        Raises: ValueError naming the record that cannot be read.
        """
        entries = archive(folder)
        with _named(f"record {name} in {folder}"):
            if name not in entries:
                raise ValueError(f"the folder holds {', '.join(entries) or 'nothing'}")
            entry = entries[name]
            run = from_fields(entry["config"])
            if run.name != name:
                raise ValueError(f"it is that of {run.name}")
            facts = copy.deepcopy(entry["environment"])  # a reader may change its own
        experiment = self.experiments.get(run.experiment)
        table = partial(_read_table, run, entry["table"], folder, is_checked=experiment is not None)
        record = Record(run, table, Arrays(folder, entry["arrays"]), facts, folder)
        if experiment is None:
            return record
        profile = experiment.profile_of(run)
        return replace(record, profile=profile, numbers=experiment.numbers)

    def holds(self, run: Run) -> bool:
        """True if the record of a run is stored, whose table is not read."""
        return run.name in archive(self.results / run.experiment) or bool(
            archive(self.runs / run.name)
        )

    def names(self) -> set[str]:
        """The names of all stored records."""
        return set(self._folders())

    def everything(self, *experiments: str) -> list[Record]:
        """All stored records of these experiments, or of all known ones, each once. One that
        another version wrote, with fields that this one does not know, is named in the log and left
        out.
        """
        records = []
        for name, folder in sorted(self._folders().items()):
            experiment, _, _ = name.rpartition("-")
            if experiment not in (experiments or self.experiments):
                continue
            try:
                records.append(self.read(folder, name))
            except UnknownFields as error:
                logging.getLogger(__name__).warning("%s; it is left out", error)
        return records

    def _folders(self) -> dict[str, Path]:
        """Folders of records by name; of what lies in both places, that in data/results, if it is
        whole there.
        """
        folders = {}
        for place in (self.runs, self.results):
            for folder in place.glob("[!.]*/"):  # no hidden ones
                if folder.suffix:  # of a checkpoint, or of what is being written
                    continue
                for name in archive(folder):
                    if name not in folders or _is_whole(folder, name):
                        folders[name] = folder
        return folders

    # ------------------------------------------------------------------------------- running

    def run(self, run: Run, *, progress: Callable[[int], None] = no_progress) -> Record:
        """The record of a run: the stored one, or the one that is made, see :meth:`make`.

        Args, Raises: as :meth:`make`; ValueError naming a record that cannot be read.
        """
        run = run.resolved()
        self.make(run, progress=progress)
        return self.read(self.runs / run.name, run.name)

    def make(self, run: Run, *, progress: Callable[[int], None] = no_progress) -> None:
        """Make the record of a run, from its checkpoint if there is one, unless it is stored.

        What another experiment has made with the same configuration is taken over, and named in
        the record's environment. Two processes that want the same run: one makes it, the other
        waits and then loads.

        Args:
            run: which.
            progress: called with the number of steps done.
        Raises: ValueError if the run is out of range, its experiment unknown or its record damaged,
            lib.data.DataUnavailable without data, and what its experiment raises.
        """
        experiment = choose(self.experiments, run.experiment)
        run = run.resolved()
        code = environment()  # now: by the end of the run the checkout may have moved on
        steps = 0  # repeated while a run that this one starts from is made: work goes on

        def watched(done: int) -> None:
            nonlocal steps
            steps = done
            progress(done)

        def record_of(parent: Run, holds_enough: Callable[[Record], bool]) -> Record:
            record = self.stored(parent)
            if record is not None and holds_enough(record):
                return record
            return self.run(parent, progress=lambda _: progress(steps))

        folder = self.runs / run.name
        self.remove_leftovers()
        if archive(folder):  # also where nothing can be written, so not even a lock
            return
        run.check()
        with _boundary.locked(folder.with_suffix(".lock")):
            if archive(folder):
                return
            work = self.work_of(run)
            contents = self._same_run(run)
            if contents is None:
                with explained(work):
                    work.mkdir(parents=True, exist_ok=True)
                contents = experiment.make(run, Workspace(work, watched, record_of))
                run.check_table(contents.metrics)
                contents.facts.update(code | {"device": name_of(run.device())})
            with _whole_folder(folder) as part:
                for name, content in files_of(run, contents).items():
                    (part / name).write_bytes(content)
            shutil.rmtree(work, ignore_errors=True)

    def work_of(self, run: Run) -> Path:
        """The folder of the checkpoint of a run."""
        return (self.runs / run.name).with_suffix(".work")

    def twins(self, run: Run) -> list[Run]:
        """The very same run as other experiments make it."""
        names = choose(self.experiments, run.experiment).same_runs_as
        return [run.with_changes({"experiment": name}) for name in names]

    def accept(self, run: Run, files: Files) -> None:
        """Store the record of a run that was made elsewhere, from its files, unless there is one.
        Where another process makes the run, that is waited for.

        Raises: ValueError if they are not those of this run, or differ from what was written;
            lib._boundary.NotWritten if there is no room for them.
        """
        folder = self.runs / run.name
        with _boundary.locked(folder.with_suffix(".lock")):
            if archive(folder):
                return
            with _whole_folder(folder) as part:
                for name, content in files.items():
                    (part / Path(name).name).write_bytes(content)  # never out of this folder
                try:
                    record = self.read(part, run.name)
                    _ = record.metrics, dict(record.arrays)
                except ValueError as error:
                    raise ValueError(f"record {run.name} came and is refused: {error}") from error
            shutil.rmtree(self.work_of(run), ignore_errors=True)

    def remove_leftovers(self) -> None:
        """Remove the checkpoints of runs whose record is there. A process that is killed right
        after writing a record leaves one.
        """
        for work in self.runs.glob("*.work"):
            with contextlib.suppress(OSError):  # a folder that this process may not look into
                if (work.with_suffix("") / RECORDS).exists():
                    shutil.rmtree(work)

    def _same_run(self, run: Run) -> Contents | None:
        """Record of the same run on the same data in another experiment, if there is one."""
        for twin in self.twins(run):
            other = self.stored(twin, whole=True)
            if other is None:
                continue
            if other.environment["data"]["sha256"] == data.origin(run.dataset)["sha256"]:
                facts = {**other.environment, "same_run_as": other.config.name}
                return Contents(other.metrics, dict(other.arrays), facts)
        return None

    def ship(self, record: Record) -> None:
        """Store in data/results, once, what a clone needs of a record."""
        run = record.config
        folder = self.results / run.experiment
        if _is_whole(folder, run.name):
            return
        with _boundary.locked(self.results / f".{run.experiment}.lock"):
            if _is_whole(folder, run.name):
                return
            keeps = self.experiments[run.experiment].keeps
            names = [name for name in record.arrays if keeps(record, name)]
            kept = {name: _narrow(record.arrays[name]) for name in names}
            facts = dict(record.environment)
            if not keeps(record, CLOCK):
                facts.pop(CLOCK, None)
            contents = Contents(record.metrics, kept, facts)
            add(folder, {run.name: files_of(run, contents, small=True)})


def _is_whole(folder: Path, name: str) -> bool:
    """True if an archive has the record of this name, and its arrays too."""
    entry = archive(folder).get(name)
    return entry is not None and _has_arrays(folder, entry)


def _has_arrays(folder: Path, entry: dict[str, Any]) -> bool:
    return all((folder / file).exists() for file in entry["arrays"])


def _narrow(array: np.ndarray) -> np.ndarray:
    """Whole numbers in two bytes where they fit."""
    fits = array.min(initial=0) >= -(2**15) and array.max(initial=0) < 2**15
    if array.dtype == np.int32 and fits:
        return array.astype(np.int16)
    return array
