"""Whether a notebook must be rendered again: a stamp beside its figures says what they came from.

They come from the notebook, the modules of the library that it reaches, the tables that these
name, the records of its experiments and the profile. What is compared are contents, no dates.
"""

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lib import papers, paths
from lib.command import sources
from lib.files import sha256, whole
from lib.runs import sums
from lib.runs.experiment import Experiment

STAMP = ".rendered.json"
NEW = "not rendered before"
PAPERS, NOTEBOOKS = "lib.papers", "lib.command.notebooks"
QUOTED = re.compile(r'"(\w+)"')
STORE = re.compile(r"\bSTORE\b")  # from which code may read any record

Sums = dict[str, str]  # sha256 by name


def state(book: Mapping[str, Any], profile: str) -> dict[str, Any]:
    """What the figures of a notebook come from, now.

    Args:
        book: the notebook, as its file holds it.
        profile: in which it is rendered.
    """
    code = code_of(book)
    experiments = _experiments(book, code)
    modules = sources.modules(code, paths.ROOT, _rooms(code, experiments))
    return {
        "profile": profile,
        "notebook": _sources_sha256(book),
        "modules": {name: sources.content(path).sha256 for name, path in modules.items()},
        "tables": _tables(code, modules),
        "records": {name: _records(papers.EXPERIMENTS[name], profile) for name in experiments},
    }


def code_of(book: Mapping[str, Any]) -> str:
    """The code of a notebook."""
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    return "\n".join("".join(cell["source"]) for cell in cells)


def reason(folder: Path, now: Mapping[str, Any]) -> str:
    """Why the notebook with figures in this folder must be rendered again; "" if it need not."""
    try:
        stamp = json.loads((folder / STAMP).read_text())
        before, files = stamp["from"], stamp["files"]
        if not isinstance(before, dict):
            return NEW
    except (OSError, ValueError, KeyError, TypeError):
        return NEW
    for part, content in {**now, "figures": written(folder)}.items():
        known = files if part == "figures" else before.get(part)
        if known != content:
            return f"{part} changed{_first_difference(known, content)}"
    return ""


def _first_difference(before: Any, now: Any) -> str:
    """The first name whose content is another, where contents have names."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return ""
    names = sorted({*before, *now})
    different = [name for name in names if before.get(name) != now.get(name)]
    return f": {different[0]}"


def stamp(folder: Path, state_before: Mapping[str, Any]) -> None:
    """Say in the folder of the figures what they come from."""
    content = {"from": state_before, "files": written(folder)}
    with whole(folder / STAMP) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")


def written(folder: Path) -> Sums:
    """What lies beside the figures, and they themselves."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return {path.name: sha256(path) for path in files if path.name != STAMP}


# ------------------------------------------------------------------------- what it depends on


def _sources_sha256(book: Mapping[str, Any]) -> str:
    """Of the cells as they are written: what they put out is not compared."""
    cells = []
    for cell in book["cells"]:
        source = "".join(cell["source"])
        tags = cell.get("metadata", {}).get("tags", [])
        cells.append([cell["cell_type"], source, tags])
    text = json.dumps([cells, book["metadata"].get("experiments", [])])
    return hashlib.sha256(text.encode()).hexdigest()


def _experiments(book: Mapping[str, Any], code: str) -> list[str]:
    """The experiments that a notebook names or whose claims it names, and their parents; all of
    them if it reads the store itself, or asks for papers and names none.
    """
    if STORE.search(code):
        return list(papers.EXPERIMENTS)
    quoted = set(QUOTED.findall(code))
    named = {*book["metadata"].get("experiments", []), *(quoted & papers.EXPERIMENTS.keys())}
    for claim in quoted & papers.CLAIMS.keys():
        named |= set(papers.CLAIMS[claim].experiments)
    if not named and sources.imports(code, PAPERS):
        return list(papers.EXPERIMENTS)
    return sorted(_with_ancestors(named))


def _with_ancestors(names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in papers.EXPERIMENTS and name not in found:
            found.add(name)
            waiting += papers.EXPERIMENTS[name].parents
    return found


def _rooms(code: str, experiments: Iterable[str]) -> list[str]:
    """The rooms of experiments, which are imported by their names in a list."""
    if not sources.imports(code, PAPERS):
        return []
    rooms = papers.rooms_of(experiments)
    return [f"{PAPERS}.{room}" for room in rooms]


def _tables(code: str, modules: Mapping[str, Path]) -> Sums:
    """The files that a module of these, or the notebook, names: references, measured times, the
    claims of a room; all notebooks where they are listed.
    """
    texts = [code, *(sources.content(path).text for path in modules.values())]
    candidates = [*paths.REFERENCE.glob("*"), *paths.RESULTS.glob("*.*")]
    found = {}
    for path in candidates:
        if path.is_file() and any(f'"{path.name}"' in text for text in texts):
            found[path.name] = path
    for module in modules.values():
        table = module.with_name("claims.csv")
        if table.is_file():
            found[f"{module.parent.name}/{table.name}"] = table
    if sources.imports(code, NOTEBOOKS):
        for path in (paths.ROOT / "notebooks").glob("*.ipynb"):
            found[path.name] = path
    return {name: sha256(path) for name, path in sorted(found.items())}


def _records(experiment: Experiment, profile: str) -> str:
    """Of the stored records of an experiment: those of a clone, and those of the profile that were
    made here.
    """
    digest = hashlib.sha256()
    store = papers.STORE
    folder = store.results / experiment.name
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            status = path.stat()
            text = _sha256(path, (status.st_mtime_ns, status.st_ino, status.st_size))
            digest.update(f"{path.name} {text}\n".encode())
    for name in _names(experiment, profile):
        for place in (store.results, store.runs):
            digest.update(_record(place / name).encode())
    return digest.hexdigest()


@functools.cache
def _names(experiment: Experiment, profile: str) -> list[str]:
    """The names that the records of an experiment in a profile may have."""
    names = []
    for run in experiment.runs(profile):
        names.append(run.name)
        if run.stand_in is not None:
            names.append(run.stand_in.name)
    return names


@functools.lru_cache(maxsize=10_000)
def _sha256(path: Path, version: tuple[int, ...]) -> str:
    """Of a file, read once until it is another."""
    return sha256(path)


def _record(folder: Path) -> str:
    """What tells a record in a folder of its own from another; "" if there is none."""
    if not folder.is_dir():
        return ""
    own = folder / sums.NAME
    if own.is_file():
        return own.read_text()
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    return "".join(f"{sha256(path)}  {path.name}\n" for path in files)
