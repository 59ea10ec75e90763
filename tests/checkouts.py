"""Checkouts of the repository in folders of a test, and commands started there."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def check_out(folder: Path) -> Path:
    """The library, the papers and the reference data in a folder, without notebooks and records."""
    for code in ("lib", "notebooks/papers"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / code, folder / code, ignore=ignored)
    shutil.copytree(ROOT / "data" / "reference", folder / "data" / "reference")
    for name in ("pyproject.toml", "Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def write_notebook(path: Path, *sources: str) -> None:
    """A notebook with a title, a parameters cell and these code cells."""
    parameters = new_code_cell('profile = "paper"', metadata={"tags": ["parameters"]})
    cells = [new_code_cell(source) for source in sources]
    cells = [new_markdown_cell("# Try"), parameters, *cells]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)


def variables(**changes: str | None) -> dict[str, str]:
    """The environment of a command in a checkout; None removes a variable."""
    others = ("SPARSE_", "PYTEST_", "MAKE", "MFLAGS")  # of the tests themselves
    kept = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    kept |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", **changes}
    return {name: value for name, value in kept.items() if value is not None}


@contextlib.contextmanager
def started(folder: Path, *words: str, **changes: str | None) -> Iterator[subprocess.Popen]:
    """``python *words`` in a folder, writing to pipes; it is ended at last, whatever it does."""
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=variables(**changes),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
