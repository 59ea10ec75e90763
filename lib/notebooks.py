"""The notebooks: which there are, what they need, and how papermill renders them to figures."""

import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pandas as pd
import papermill
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from lib import claims, executors, tables
from lib.names import check_known
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
    for word in only or ():
        if not any(word == path.stem[:2] for path in paths):
            check_known("notebook", word, [path.stem for path in paths])
    return [p for p in paths if only is None or p.stem in only or p.stem[:2] in only]


def needed(path: Path) -> list[str]:
    """The experiments a notebook shows, from its metadata."""
    return list(nbformat.read(path, 4).metadata.get("experiments", []))


def check_parameters(path: Path, parameters: dict[str, object]) -> None:
    """Refuse a parameter that the notebook does not declare; papermill alone would only warn.

    Raises: ValueError naming the nearest parameter.
    """
    with warnings.catch_warnings(action="ignore"):
        declared = list(papermill.inspect_notebook(path))
    for name in parameters:
        check_known(f"parameter of {path.stem}", name, declared)


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
                path,
                output,
                parameters=parameters,
                kernel_name="python3",
                progress_bar=False,
                execution_timeout=CELL_SECONDS,
                cwd=ROOT,
                config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            )
        except PapermillExecutionError as error:
            cell = f"notebook {path.stem}, cell {error.exec_count}"
            raise NotebookFailed(f"{cell}: {error.ename}: {error.evalue}") from error
        return output.replace(folder / path.name)


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


def write_index(profile: str) -> Path:
    """Write figures/<profile>/README.md, which shows every figure of every notebook."""
    lines = [f"# Figures, profile {profile}", ""]
    lines += ["Beside each picture lie its vector form (svg) and the numbers behind it (csv).", ""]
    for path in find():
        pictures = sorted((FIGURES / profile / path.stem).glob("*.png"))
        numbers = sorted((FIGURES / profile / path.stem).glob("*.csv"))
        if numbers:
            lines += [f"## {path.stem}: {title(path)}", ""]
            lines += [f"![{p.stem}]({path.stem}/{p.name})" for p in pictures]
            names = ", ".join(f"[{t.stem}]({path.stem}/{t.name})" for t in numbers)
            lines += ["", f"Tables: {names}", ""]
    index = FIGURES / profile / "README.md"
    index.parent.mkdir(parents=True, exist_ok=True)
    index.write_text("\n".join(lines).rstrip() + "\n")
    return index


def update_readme(path: Path = ROOT / "README.md") -> None:
    """Write the generated tables of the README anew, from the records of the paper profile."""
    text = path.read_text()
    for name, new in readme_tables().items():
        text = claims.replace_between(text, name, new)
    path.write_text(text)


def readme_tables() -> dict[str, str]:
    """The tables of the README by name: accuracies and verdicts of the paper profile."""
    shown = ("set_mlp", "adaptive_topology", "adaptive_topology_1568")
    parts = [_accuracies(tables.summary(executors.obtain(n, "paper"))) for n in shown]
    table = pd.concat(parts).fillna("–")
    header = "| " + " | ".join(table.columns) + " |\n" + "|---" * len(table.columns) + "|\n"
    rows = "\n".join("| " + " | ".join(map(str, row)) + " |" for row in table.to_numpy())
    return {"accuracies": header + rows, "verdicts": claims.markdown(claims.verdicts("paper"))}


def _accuracies(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of an experiment at the last epoch, a row a method and a column a data set."""
    table = table.assign(text=table["last epoch"] + " (" + table["n"].astype(str) + ")")
    if "settings" in table:
        table["method"] += table["settings"].map(lambda s: "" if s == "tuned" else f", {s}")
    rows = ["network", "method", "epochs"]
    links = table.groupby(rows, sort=False)["links in training"].first().rename("links")
    wide = table.set_index([*rows, "dataset"])["text"].unstack()
    wide = wide.reindex(index=links.index, columns=list(dict.fromkeys(table["dataset"])))
    return pd.concat([links, wide], axis=1).reset_index()
