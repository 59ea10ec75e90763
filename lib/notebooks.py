"""The notebooks: which there are, what they need, and how papermill renders them to figures."""

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from lib import experiments
from lib.plotting import FIGURES
from lib.records import ROOT

FOLDER = ROOT / "notebooks"
CELL_SECONDS = 3600  # a cell that takes longer is given up


class NotebookFailed(RuntimeError):
    """A cell of a notebook raised."""


def find(only: Sequence[str] | None = None) -> list[Path]:
    """The notebooks, in order; ``only`` chooses by number ("10") or name ("10_set_mlp").

    Raises: ValueError naming the nearest notebook.
    """
    paths = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
    if only is None:
        return paths
    for word in only:
        if not any(word in (path.stem, path.stem[:2]) for path in paths):
            raise ValueError(experiments.unknown("notebook", word, [path.stem for path in paths]))
    return [path for path in paths if path.stem in only or path.stem[:2] in only]


def needed(path: Path) -> list[str]:
    """The experiments a notebook shows, from its metadata."""
    return list(nbformat.read(path, 4).metadata.get("experiments", []))


def check_parameters(path: Path, parameters: dict[str, object]) -> None:
    """Refuse a parameter that the notebook does not declare; papermill alone would only warn.

    Raises: ValueError naming the nearest parameter.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        declared = list(papermill.inspect_notebook(str(path)))
    for name in parameters:
        if name not in declared:
            raise ValueError(experiments.unknown(f"parameter of {path.stem}", name, declared))


def execute(path: Path, profile: str, **parameters: object) -> Path:
    """Execute one notebook with papermill, from the root of the repository.

    Args:
        path: the notebook, which is not changed.
        profile: "smoke", "quick" or "paper".
        parameters: further values for its parameters cell.
    Returns: the executed copy, figures/<profile>/<name>/<name>.ipynb, written when it is complete.
    Raises: ValueError for an undeclared parameter; NotebookFailed naming notebook, cell and error.
    """
    parameters = {"profile": profile, **parameters}
    check_parameters(path, parameters)
    folder = FIGURES / profile / path.stem
    folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger("papermill").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(dir=folder) as part:
        output = Path(part) / path.name
        try:
            papermill.execute_notebook(
                str(path),
                str(output),
                parameters=parameters,
                kernel_name="python3",
                progress_bar=False,
                execution_timeout=CELL_SECONDS,
                cwd=str(ROOT),
                config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            )
        except PapermillExecutionError as error:
            raise NotebookFailed(
                f"notebook {path.stem}, cell {error.exec_count}: {error.ename}: {error.evalue}"
            ) from error
        os.replace(output, folder / path.name)
    return folder / path.name


def execute_all(
    paths: Sequence[Path], profile: str, jobs: int, done: Callable[[Path, float], None]
) -> list[str]:
    """Execute notebooks, some at a time; return the sentences of those that failed.

    Args:
        paths: the notebooks.
        profile: see :func:`execute`.
        jobs: how many at a time.
        done: called with notebook and seconds when one is finished.
    """

    def one(path: Path) -> str | None:
        start = time.perf_counter()
        try:
            execute(path, profile)
        except NotebookFailed as error:
            return str(error)
        done(path, time.perf_counter() - start)
        return None

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        return [sentence for sentence in pool.map(one, paths) if sentence]


def title(path: Path) -> str:
    """The first heading of a notebook."""
    return nbformat.read(path, 4).cells[0].source.splitlines()[0].lstrip("# ")
