"""Convert records that earlier versions wrote, with the same contents.

    python -m lib.command.migrate FOLDER [TARGET]

converts what lies in the folders of FOLDER, as data/runs or data/results. With TARGET the records
are added to those of TARGET, and FOLDER stays as it is: so those of another checkout are brought
over. What is converted already is skipped, and an interrupted conversion goes on.

Earlier versions wrote in data/runs/<record> the files config.json, environment.json, metrics.csv
and arrays.npz, with their sums in SHA256SUMS; in data/results/<experiment> the file records.json,
one metrics.csv for all records, and the packed arrays of each in <record>.npz.
"""

import csv
import hashlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import papers  # noqa: F401  it has the kinds of runs
from lib._boundary import sha256, whole
from lib.runs.config import from_fields
from lib.runs.records import RECORDS, line_of, lines, with_arrays

ONE, MANY = "config.json", "records.json"  # the file that says what kind of folder it is
OLD = {ONE, MANY, "environment.json", "metrics.csv", "arrays.npz", "SHA256SUMS"}

Entry = dict[str, Any]  # what an earlier version says of a record, its name, and its table as text
Old = Iterator[tuple[Entry, dict[str, np.ndarray]]]  # records and their arrays


def convert(source: Path, target: Path) -> list[str]:
    """Convert the records of a folder into an archive, which may be the same folder.

    Returns: names of the records that were converted.
    Raises: ValueError naming a record that is damaged.
    """
    is_one = (source / ONE).exists()
    if not is_one and not (source / MANY).exists():
        return []
    path = target / RECORDS
    known = lines(path) if path.exists() else {}
    content = {name: line_of(entry).encode() for name, entry in known.items()}
    read = _of_one if is_one else _of_many
    for entry, arrays in read(source, set(known)):
        name = from_fields(entry["config"]).name
        if entry["name"] != name:
            raise ValueError(f"{entry['name']} in {source} is the record of {name}")
        ordered = {key: entry[key] for key in ("name", "config", "environment", "table")}
        files = with_arrays(ordered, arrays, small=not is_one)
        content[name] = files.pop(RECORDS)
        target.mkdir(parents=True, exist_ok=True)
        for file, array in files.items():
            with whole(target / file) as part:
                part.write_bytes(array)
    names = sorted(content.keys() - known.keys())
    if names:
        with whole(path) as part:
            part.write_bytes(b"".join(content[name] for name in sorted(content)))
    if source.resolve() == target.resolve():
        _remove_old(source)
    return names


def _remove_old(folder: Path) -> None:
    """Remove the files of earlier versions; last the one that says that there are some."""
    kept = {RECORDS}.union(*(entry["arrays"] for entry in lines(folder / RECORDS).values()))
    for path in sorted(folder.iterdir(), key=lambda path: path.name in (ONE, MANY)):
        if path.name not in kept and (path.name in OLD or path.suffix == ".npz"):
            path.unlink()


# ----------------------------------------------------------------------------- earlier versions


def _of_one(folder: Path, known: set[str]) -> Old:
    """The record in a folder of its own, unless it is known."""
    if folder.name in known:
        return
    if (folder / "SHA256SUMS").exists():
        for line in _text(folder / "SHA256SUMS").splitlines():
            digest, _, name = line.partition("  ")
            if sha256(folder / name) != digest:
                raise ValueError(f"{folder / name} is not what SHA256SUMS says")
    entry = {
        "name": folder.name,
        "config": json.loads(_text(folder / ONE)),
        "environment": json.loads(_text(folder / "environment.json")),
        "table": _text(folder / "metrics.csv"),
    }
    yield entry, _arrays(folder / "arrays.npz")


def _of_many(folder: Path, known: set[str]) -> Old:
    """The records of an experiment, but those that are known."""
    entries = json.loads(_text(folder / MANY))
    missing = [name for name in entries if name not in known]
    if not missing:
        return
    rows: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(_text(folder / "metrics.csv"), newline="")):
        rows.setdefault(row.pop("run"), []).append(row)
    for name in missing:
        entry, path = entries[name], folder / f"{name}.npz"
        own = rows.get(name.rpartition("-")[2], [])
        table = _table(entry["columns"], own)
        if len(own) != entry["rows"] or entry.pop("sha256", None) not in (None, _sum(entry, table)):
            raise ValueError(f"{name} in {folder} is not as it was written")
        arrays = {}
        if entry["arrays"]:
            if entry.get("arrays_sha256") not in (None, sha256(path)):
                raise ValueError(f"{path} is not as it was written")
            arrays = _arrays(path)
        yield {**entry, "name": name, "table": table}, arrays


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def _table(columns: list[str], rows: list[dict[str, str]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _sum(entry: dict[str, Any], table: str) -> str:
    return hashlib.sha256(f"{json.dumps(entry)}\n{table}".encode()).hexdigest()


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a plain npz, or of one that is packed: their bytes of equal weight side by
    side, of numbers that rise their differences.
    """
    with np.load(path, allow_pickle=False) as entries:
        arrays = dict(entries)
    if set(arrays) != {"index", "bytes"}:
        return arrays
    unpacked, start = {}, 0
    for entry in json.loads(arrays["index"].tobytes()):
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
        stop = start + dtype.itemsize * int(np.prod(shape))
        planes = arrays["bytes"][start:stop].reshape(dtype.itemsize, -1)
        array = np.ascontiguousarray(planes.T).ravel().view(dtype)
        if entry["differences"]:
            array = np.cumsum(array, dtype=dtype)
        unpacked[entry["name"]] = array.reshape(shape)
        start = stop
    return unpacked


def main(source: str, target: str | None = None) -> int:
    """Convert what lies in the folders of a folder, and say so; 1 if one is damaged, else 0."""
    status = 0
    for folder in sorted(path for path in Path(source).iterdir() if path.is_dir()):
        if not folder.suffix:  # else of a checkpoint, or of what is being written
            try:
                names = convert(folder, Path(target or source) / folder.name)
            except ValueError as error:
                print(f"error: {folder} is not converted: {error}", file=sys.stderr)
                status = 1
                continue
            if names:
                print(f"{folder}: {len(names)} records converted")
    return status


if __name__ == "__main__":
    words = sys.argv[1:]
    if len(words) not in (1, 2) or not Path(words[0]).is_dir():
        given = " ".join(words) or "nothing"
        usage = "python -m lib.command.migrate FOLDER [TARGET], as of data/runs"
        print(f"error: {given} names no folder to convert: give {usage}", file=sys.stderr)
        raise SystemExit(2)
    raise SystemExit(main(*words))
