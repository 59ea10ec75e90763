"""What of the library a notebook reaches: the modules that its code imports, and those of these.

Imports are read, not run: wherever they stand, in functions too. Code that cannot be read may
import anything.
"""

import ast
import contextlib
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

PACKAGE = "lib"
CELL_MAGIC = "%%"  # begins a cell that may be in any language
EVERYTHING = "lib.*"  # stands for every module of the library


def modules(code: str, root: Path, also: Iterable[str] = ()) -> dict[str, Path]:
    """The modules of the library, by name, that code reaches.

    Args:
        code: of a notebook.
        root: folder that holds the library.
        also: further modules that it is known to reach, as "lib.papers.set".
    """
    known = _all(root)
    found: dict[str, Path] = {}
    waiting = [*imported(code), *also]
    if EVERYTHING in waiting:
        waiting = list(known)
    while waiting:
        for name in _with_parents(waiting.pop()):
            if name in known and name not in found:  # else it is that of something in a module
                found[name] = known[name]
                waiting += content(known[name]).imports
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
    """Names of the library that code imports: of modules, and of what may be one;
    :data:`EVERYTHING` of what is no Python, also without the words of IPython.
    """
    tree = _parsed(code)
    if tree is None:
        return {EVERYTHING}
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == PACKAGE}


def imports(code: str, name: str) -> bool:
    """Whether code imports a module or package, or something within it."""
    for one in imported(code):
        if one in (name, EVERYTHING) or one.startswith(f"{name}."):
            return True
    return False


def _parsed(code: str) -> ast.AST | None:
    """The tree of Python, or of a notebook's code; None if it is neither."""
    with contextlib.suppress(SyntaxError):
        return ast.parse(code)
    if any(line.startswith(CELL_MAGIC) for line in code.splitlines()):
        return None
    from IPython.core.inputtransformer2 import TransformerManager  # half a second to import

    with contextlib.suppress(SyntaxError):
        return ast.parse(TransformerManager().transform_cell(code))
    return None


def _all(root: Path) -> dict[str, Path]:
    """All modules of the library by name; where two files would be one, the plain one."""
    files = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        place = path.parent if path.stem == "__init__" else path.with_suffix("")
        name = ".".join(place.relative_to(root).parts)
        if path.stem != "__init__" or name not in files:
            files[name] = path
    return files


def _with_parents(name: str) -> list[str]:
    """A name, and those of the packages around it, which importing it runs too."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
