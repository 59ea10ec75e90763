"""Freshness of figures and verdicts: one digest of all that they come from.

Contents are compared, no dates. Any change of the library, its pinned packages or its tables makes
everything out of date; a change of records makes out of date what shows their experiments.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

import papers
from lib import _boundary
from lib._boundary import PART, sha256, whole
from lib.report import takeaways
from lib.runs.records import RECORDS, Store

STAMP = ".rendered.json"
QUOTED = re.compile(r'"(\w+)"')


def digest(*parts: str | Path) -> str:
    """sha256 of texts, and of the names and contents of files and of all files below folders, but
    for hidden ones and those that are being written or vanish meanwhile.
    """
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            found.update(f"{part}\0".encode())
            continue
        files = sorted(part.rglob("*")) if part.is_dir() else [part]
        for path in files:
            name = path.relative_to(part.parent).as_posix()
            if "/." in name or "/__pycache__/" in name or name.endswith(PART):
                continue
            if path.is_file():
                with contextlib.suppress(FileNotFoundError):
                    found.update(f"{name} {sha256(path)}\0".encode())
    return found.hexdigest()


def common() -> str:
    """Digest of the sources of all figures and verdicts: library, packages, and all tables."""
    # hidden files are locks
    tables = sorted(path for path in _boundary.RESULTS.glob("[!.]*.*") if path.is_file())
    code = _boundary.LIBRARY, _boundary.PAPERS, _boundary.ROOT / "requirements.txt"
    return digest(*code, _boundary.REFERENCE, *tables)


def of_records(experiments: Iterable[str], profile: str, store: Store | None = None) -> str:
    """Digest of the stored records of experiments: all that a clone brings, and those of a profile
    that were made here. Where a data set cannot be had, these are the runs on the one that stands
    in.

    Args:
        experiments: their names.
        profile: of the runs made here.
        store: of the records; None for that of the papers.
    """
    store, parts = store or papers.STORE, []
    for name in sorted(experiments):
        parts.append(store.results / name)
        for run in papers.EXPERIMENTS[name].runs(profile):
            stands_in = run.stand_in is not None and not run.can_be_had()
            shown = run.stand_in if stands_in else run
            parts += shown.name, store.runs / shown.name / RECORDS
    return digest(*parts)


def of_notebook(path: Path, profile: str, common: str) -> str:
    """Digest of what the figures of a notebook come from.

    Args:
        path: the notebook.
        profile: in which it is rendered.
        common: of :func:`common`.
    """
    cells = cells_of(path)
    lists_notebooks = any("lib.command" in source for _, source in cells)
    others = [path.parent] if lists_notebooks else []
    records = of_records(experiments_of(path), profile)
    answers = takeaways.read(profile)
    titles = [answers[place] for place in answers if place.startswith(f"{path.stem}/")]
    return digest(profile, json.dumps(cells), common, records, *titles, *others)


def experiments_of(path: Path) -> set[str]:
    """The experiments whose records a notebook may read: those that its code names, those behind
    the claims that it names, and their parents; all, where it reads the store itself.
    """
    code = code_of(path)
    if "STORE" in code:
        return set(papers.EXPERIMENTS)
    words = set(QUOTED.findall(code))
    for claim in words & papers.CLAIMS.keys():
        words.update(papers.CLAIMS[claim].experiments)
    named = words & papers.EXPERIMENTS.keys()
    waiting = list(named)
    while waiting:
        new = set(papers.EXPERIMENTS[waiting.pop()].parents) - named
        named |= new
        waiting += new
    return named


def cells_of(path: Path) -> list[tuple[str, str]]:
    """Kind and source of every cell of a notebook."""
    book = json.loads(path.read_text(encoding="utf-8"))
    return [(cell["cell_type"], "".join(cell["source"])) for cell in book["cells"]]


def code_of(path: Path) -> str:
    """The code of a notebook."""
    return "\n".join(source for kind, source in cells_of(path) if kind == "code")


def stamp(folder: Path, sources: str) -> None:
    """Say in a folder of figures what they come from, and what they are."""
    with whole(folder / STAMP) as part:
        part.write_text(json.dumps({"sources": sources, "files": _files(folder)}))


def is_fresh(folder: Path, sources: str) -> bool:
    """True if a folder holds the figures that were stamped, unchanged, and from these sources."""
    try:
        stamped = json.loads((folder / STAMP).read_text())
    except (OSError, ValueError):
        return False
    return stamped == {"sources": sources, "files": _files(folder)}


def _files(folder: Path) -> str:
    return digest(*(path for path in sorted(folder.iterdir()) if path.name != STAMP))
