"""What of the library a notebook reaches: the modules that its code imports, and those of these.

Imports are read, not run: wherever they stand, in functions too.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

PACKAGE = "lib"
MAGICS = ("%", "!", "?")  # lines that are IPython's own


def modules(code: str, root: Path, also: Iterable[str] = ()) -> dict[str, Path]:
    """The modules of the library, by name, that code reaches.

    Args:
        code: of a notebook.
        root: folder that holds the library.
        also: further modules that it is known to reach, as "lib.papers.set".
    """
    found: dict[str, Path] = {}
    waiting = [*imported(code), *also]
    while waiting:
        for name in _with_parents(waiting.pop()):
            path = _file(name, root)
            if path is not None and name not in found:
                found[name] = path
                waiting += content(path).imports
    return dict(sorted(found.items()))


class Content(NamedTuple):
    """What a file holds: its text, the sha256 of that, and the names that it imports."""

    text: str
    sha256: str
    imports: frozenset[str]


def content(path: Path) -> Content:
    """What a module holds, read once until it is another."""
    status = path.stat()
    return _content(path, (status.st_mtime_ns, status.st_ino, status.st_size))


@functools.lru_cache(maxsize=2000)
def _content(path: Path, version: tuple[int, ...]) -> Content:
    raw = path.read_bytes()
    text = raw.decode()
    return Content(text, hashlib.sha256(raw).hexdigest(), frozenset(imported(text)))


def imported(code: str) -> set[str]:
    """Names of the library that code imports: of modules, and of what may be one."""
    lines = [line for line in code.splitlines() if not line.lstrip().startswith(MAGICS)]
    names: set[str] = set()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == PACKAGE}


def _with_parents(name: str) -> list[str]:
    """A name, and those of the packages around it, which importing it runs too."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts) + 1)]


def _file(name: str, root: Path) -> Path | None:
    """The file of a module; None if the name is that of something within one."""
    place = root.joinpath(*name.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None
