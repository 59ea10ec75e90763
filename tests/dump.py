"""What one checkout says and makes, as JSON: a side of :mod:`tests.gate`.

Run as ``python dump.py PART FILE`` in a checkout, whose own library it imports, older or newer than
this file. So it uses few entrances: the command line, ``papers.EXPERIMENTS``, ``papers.obtain`` and
``papers.STORE``, and attributes of runs and records.

A dump has things by name (runs, records, claims, notebooks, tables), and each has values by name.
Numbers of tables and arrays are given as type, shape and a digest of their bytes.
"""

import dataclasses
import hashlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Values = dict[str, Any]
Dump = dict[str, Values]

PROFILES = ("smoke", "quick", "paper")
FAILED = "failed"  # the value of what could not be made
# facts of the process that made a record
OF_PROCESS = ("commit", "code_sha256", "dirty", "versions", "platform", "cpu", "capability")
OF_PROCESS += ("threads",)
OF_READING = ("claim", "reading", "rival", "rule", "dataset", "epochs")  # tell one from another
CLOCK = ("seconds", "clock")  # in the names of what is measured by one


def main(part: str, path: str) -> None:
    """Write the dump of a part to a file.

    Raises: ValueError if the library is not that of the checkout, but one that is installed.
    """
    import lib

    if lib.__file__ is None or not Path(lib.__file__).is_relative_to(Path.cwd()):
        raise ValueError(f"the library of {Path.cwd()} is not found, but {lib.__path__}")
    if not Path(_papers().__file__).is_relative_to(Path.cwd()):
        raise ValueError(f"the papers of {Path.cwd()} are not found, but {_papers().__file__}")
    dump = PARTS[part]()
    text = json.dumps(dump, indent=0)
    Path(path).write_text(text)


def _papers() -> Any:
    """The papers of the checkout: ``papers``, and ``lib.papers`` in an older one."""
    try:
        return importlib.import_module("lib.papers")
    except ModuleNotFoundError:
        return importlib.import_module("papers")


# --------------------------------------------------------------------------- runs and their records


def names() -> Dump:
    """The runs of all experiments and profiles."""
    papers = _papers()
    dump = {}
    for name, experiment in papers.EXPERIMENTS.items():
        for profile in PROFILES:
            for run in experiment.runs(profile):
                dump[f"{name}/{profile}/{run.name}"] = _configuration(run)
    return dump


def records() -> Dump:
    """The shipped records, all that they hold."""
    papers = _papers()
    dump = {}
    for known in papers.STORE.everything():  # without their arrays
        record = papers.STORE.stored(known.config)
        dump[_place(record)] = _contents(record, record.metrics)
    return dump


def smoke() -> Dump:
    """The records of the smoke profile, made now: what a clock or the process decides is left
    out, but for its name.
    """
    papers = _papers()
    dump = {}
    for name in papers.EXPERIMENTS:
        print(name, flush=True)
        try:
            made = papers.obtain(name, "smoke")
        except Exception as error:  # one that fails is a difference, and the others are compared
            dump[name] = {FAILED: f"{type(error).__name__}: {error}"}
            continue
        if not made:
            dump[name] = {FAILED: "it has no run"}
        for record in made:
            contents = _contents(record, _without_seconds(record.metrics))
            for key in contents:
                kind, _, field = key.partition(" ")
                of_process = kind == "fact" and field.split(".")[0] in OF_PROCESS
                if of_process or any(word in field for word in CLOCK):
                    contents[key] = "not compared"
            dump[_place(record)] = contents
    return dump


def _without_seconds(metrics: pd.DataFrame) -> pd.DataFrame:
    """A table without the numbers in its rows of seconds, if it has a column ``measure``."""
    if "measure" not in metrics:
        return metrics
    timed = metrics["measure"].astype(str).str.contains(CLOCK[0])
    numbers = metrics.select_dtypes("number").columns
    return metrics.assign(**{name: metrics[name].mask(timed) for name in numbers})


def _place(record: Any) -> str:
    return f"{record.config.experiment}/{record.config.name}"


def _configuration(run: Any) -> Values:
    """Kind and fields of a run, without those at their defaults; of other runs the names."""
    values: Values = {"kind": type(run).__name__}
    for field in dataclasses.fields(run):
        value = getattr(run, field.name)
        if dataclasses.is_dataclass(value):
            value = value.name
        if value != field.default:
            values[field.name] = json.dumps(value)
    return values


def _contents(record: Any, metrics: pd.DataFrame) -> Values:
    """Configuration, facts and arrays of a record, and this table."""
    values = {f"field {name}": value for name, value in _configuration(record.config).items()}
    for name, value in _flat(record.environment):
        values[f"fact {name}"] = value
    values["columns"] = ", ".join(metrics.columns)
    for name, column in metrics.items():
        values[f"column {name}"] = _digest_of_column(column)
    for name in record.arrays:
        values[f"array {name}"] = _digest(np.asarray(record.arrays[name]))
    return values


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Facts within facts, named with dots."""
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value)


def _digest_of_column(column: pd.Series) -> str:
    """Of text, whatever pandas calls its type, and of numbers."""
    if isinstance(column.dtype, np.dtype) and column.dtype != object:
        return _digest(column.to_numpy())
    values = column.astype(object).where(column.notna(), None).tolist()
    return f"text {column.shape} {_sha256(json.dumps(values).encode())}"


def _digest(array: np.ndarray) -> str:
    """Type, shape and bytes of an array."""
    return f"{array.dtype.str} {array.shape} {_sha256(np.ascontiguousarray(array).tobytes())}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


# -------------------------------------------------------------------------------- the command line


def listed() -> Dump:
    """The summaries of stored records."""
    return {f"{row['experiment']}/{row['record']}": row for row in _rows("list")}


def claims() -> Dump:
    """The verdicts."""
    return {row["id"]: row for row in _rows("claims")}


def readings() -> Dump:
    """The readings of claims that have several."""
    dump: Dump = {}
    for row in _rows("claims", "--readings"):
        thing = "/".join(str(row.get(label)) for label in OF_READING)
        if thing in dump:
            raise ValueError(f"two readings are {thing}")
        dump[thing] = row
    return dump


def _rows(*words: str) -> list[Values]:
    """What a command writes as JSON."""
    command = [sys.executable, "-m", "lib", *words, "--json", "-"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


# ----------------------------------------------------------------------------- notebooks and tables


def stored() -> Dump:
    """The text that notebooks store, and the tables that the repository brings: of figures, and
    what is published.
    """
    tables = _tables(Path("figures", "paper")) | _tables(Path("data"), "reference/*.csv")
    return _texts(Path("notebooks").glob("*.ipynb")) | tables


def figures() -> Dump:
    """Text and tables that the notebooks make of the records, executed now."""
    folder = Path(os.environ["SPARSE_FIGURES_DIR"], "paper")
    subprocess.run([sys.executable, "-m", "lib", "figures", "--profile", "paper"], check=True)
    return _texts(folder.glob("*/*.ipynb")) | _tables(folder)


def _texts(notebooks: Iterator[Path]) -> Dump:
    """Outputs of notebooks as nbval compares them: of each cell what is printed, and text and HTML
    of what is shown, without cells that are tagged for it to ignore.
    """
    dump = {}
    for path in sorted(notebooks):
        outputs = dump[path.name] = {}
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            if "nbval-ignore-output" in cell["metadata"].get("tags", []):
                continue
            name = cell.get("id", number)
            for i, shown in enumerate(_shown(cell.get("outputs", []))):
                for kind in ("stdout", "text/plain", "text/html"):
                    if kind in shown:
                        outputs[f"cell {name} output {i} {kind}"] = "".join(shown[kind])
    return dump


def _shown(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each output its forms by name. Where a kernel sends what is printed in several pieces they
    are one: where it cuts depends on the time.
    """
    shown: list[dict[str, Any]] = []
    before = None  # the stream that the last output was
    for output in outputs:
        if "text" not in output:
            shown.append(output.get("data", {}))
        elif output["name"] == before:
            shown[-1]["stdout"] += "".join(output["text"])
        else:
            shown.append({"stdout": "".join(output["text"])})
        before = output.get("name")
    return shown


def _tables(folder: Path, pattern: str = "*/*.csv") -> Dump:
    """Lines of tables."""
    dump = {}
    for path in sorted(folder.glob(pattern)):
        lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        dump[path.relative_to(folder).as_posix()] = {f"line {i}": line for i, line in lines}
    return dump


PARTS = {
    "names": names,
    "list": listed,
    "claims": claims,
    "readings": readings,
    "records": records,
    "notebooks": stored,
    "smoke": smoke,
    "figures": figures,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
