"""The notebooks: which there are, what they need, and how papermill renders them to figures."""

import ast
import contextlib
import fcntl
import json
import logging
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import psutil

from lib import _boundary
from lib._boundary import FULL, ROOT, TOO_LARGE, NotWritten, check_known, explained
from lib.command import fresh
from lib.runs.progress import Progress

FOLDER = ROOT / "notebooks"
FIGURES = (".csv", ".png", ".svg")  # what a notebook publishes
TRAINING = ("03_your_own_network", "quickstart")  # they train in every profile
FIRST = ("quickstart", "18_do_moving_links_help")  # in every list
CELL_SECONDS = 3600  # a cell that takes longer is given up


class NotebookFailed(RuntimeError):
    """A cell of a notebook raised or ended it, or its kernel ended."""


def find(only: Sequence[str] | None = None) -> list[Path]:
    """The notebooks, :data:`FIRST` and then by number; ``only`` chooses by number ("10") or name
    ("10_set_mlp").

    Raises: ValueError naming the nearest notebook.
    """
    books = sorted([*FOLDER.glob("[0-9][0-9]_*.ipynb"), *FOLDER.glob("quickstart.ipynb")])
    places = {name: place for place, name in enumerate(FIRST)}
    books.sort(key=lambda path: places.get(path.stem, len(FIRST)))
    if only is None:
        return books
    numbers = {path.stem[:2] for path in books}
    for word in only:
        if word not in numbers:
            check_known("notebook", word, [path.stem for path in books])
    return [path for path in books if path.stem in only or path.stem[:2] in only]


def needed(path: Path) -> list[str]:
    """The experiments a notebook shows, from its metadata. Raises ValueError for an unknown one,
    naming the nearest.
    """
    import papers

    book = json.loads(path.read_text(encoding="utf-8"))
    names = list(book["metadata"].get("experiments", []))
    for name in names:
        check_known(f"experiment in the metadata of {path.name},", name, papers.EXPERIMENTS)
    return names


def title(path: Path) -> str:
    """The first heading of a notebook."""
    _, source = fresh.cells_of(path)[0]
    return source.splitlines()[0].lstrip("# ")


def pictures(path: Path) -> list[str]:
    """The names of the figures that a notebook publishes, in order, as far as they are literals."""
    tree = ast.parse(fresh.code_of(path))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = []
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        if ast.unparse(call.func) in ("report.publish", "report.publish_animation"):
            names += [arg.value for arg in call.args[1:2] if isinstance(arg, ast.Constant)]
    return names


def naming(words: Sequence[str]) -> dict[str, Path]:
    """For each word, the last notebook whose code has it as a string."""
    found = {}
    for path in find():
        code = fresh.code_of(path)
        found |= {word: path for word in words if f'"{word}"' in code}
    return found


def check_parameters(path: Path, parameters: dict[str, object]) -> None:
    """Refuse a parameter that the notebook does not declare; papermill alone would only warn.

    Raises: ValueError naming the nearest parameter.
    """
    import papermill  # a second to import, and only rendering needs it

    with warnings.catch_warnings(action="ignore"):
        declared = list(papermill.inspect_notebook(path))
    for name in parameters:
        check_known(f"parameter of {path.stem}", name, declared)


def folder_of(path: Path, profile: str) -> Path:
    """Where the figures of a notebook lie."""
    return _boundary.FIGURES / profile / path.stem


def out_of_date(books: Sequence[Path], profile: str) -> list[Path]:
    """The notebooks whose figures are missing, or come from something that has changed."""
    common = fresh.common()
    found = []
    for path in books:
        sources = fresh.of_notebook(path, profile, common)
        if not fresh.is_fresh(folder_of(path, profile), sources):
            found.append(path)
    return found


def execute(
    path: Path,
    profile: str,
    parameters: Mapping[str, object] | None = None,
    *,
    fork: bool = False,
) -> Path:
    """Execute one notebook with papermill, from the root of the repository.

    Figures that it published before and does no more are removed.

    Args:
        path: the notebook, which is not changed.
        profile: "smoke", "quick" or "paper".
        parameters: further values for its parameters cell.
        fork: whether its kernel is forked, see :mod:`lib.command.forked`.
    Returns: the executed copy, figures/<profile>/<name>/<name>.ipynb, written when it is complete.
    Raises: ValueError for an undeclared parameter; NotebookFailed naming notebook, cell and error,
        or saying that another process renders it; lib._boundary.NotWritten if there is no room.
    """
    given = {"profile": profile, **(parameters or {})}
    check_parameters(path, given)
    folder = folder_of(path, profile)
    with _locked(folder, path):
        (folder / fresh.STAMP).unlink(missing_ok=True)
        sources = fresh.of_notebook(path, profile, fresh.common())
        before = _versions(folder)
        executed = _rendered(path, folder, given, fork)
        for name, version in _versions(folder).items():
            if before.get(name) == version:
                (folder / name).unlink()
        if not parameters:  # with others the figures are not those that are asked for again
            fresh.stamp(folder, sources)
    return executed


@contextlib.contextmanager
def _locked(folder: Path, path: Path) -> Iterator[None]:
    """Keep other processes off the figures of a notebook; freed when this one ends, however."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            sentence = f"notebook {path.stem} is being rendered into {folder} by another process"
            raise NotebookFailed(f"{sentence}: wait for it") from error
        yield
    finally:
        os.close(handle)


def _versions(folder: Path) -> dict[str, tuple[int, int]]:
    """Marks of published files, by name: a file that is written again has another one."""
    versions = {}
    for path in folder.iterdir():
        if path.suffix in FIGURES:
            status = path.stat()
            versions[path.name] = (status.st_ino, status.st_mtime_ns)
    return versions


def _rendered(path: Path, folder: Path, parameters: dict[str, object], fork: bool) -> Path:
    """Execute a notebook; its copy takes its place when it is complete."""
    import papermill
    from traitlets.config import Config

    from lib.command import forked

    os.environ.setdefault("PYTHONUTF8", "1")  # of the kernel, whatever the locale is
    os.environ["SPARSE_RENDERS"] = "1"  # its figures are not those of a notebook run by hand
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what fails is raised
    kernel = {"kernel_manager_class": forked.Manager} if fork else {}
    own = folder / ".rendering"
    shutil.rmtree(own, ignore_errors=True)  # of one that was killed
    output = own / path.name
    try:
        with explained(folder):
            own.mkdir()
        executed = papermill.execute_notebook(
            path,
            output,
            parameters=parameters,
            kernel_name="python3",
            progress_bar=False,
            execution_timeout=CELL_SECONDS,
            cwd=ROOT,
            config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            shutdown_kernel="immediate",  # its files are written, it has started no process
            **kernel,
        )
        for cell in executed.cells:  # papermill takes sys.exit() for the end of the notebook
            if cell.metadata.get("papermill", {}).get("exception"):
                ended = f"notebook {path.stem}, cell {cell.execution_count}"
                raise NotebookFailed(f"{ended}: SystemExit: what comes after it did not run")
        with explained(folder):
            return output.replace(folder / path.name)
    except papermill.exceptions.PapermillExecutionError as error:
        cell = f"notebook {path.stem}, cell {error.exec_count}"
        raise NotebookFailed(f"{cell}: {error.ename}: {error.evalue}") from error
    except (NotWritten, NotebookFailed):
        raise
    except (RuntimeError, OSError) as error:  # a kernel ended, was not started, or took too long
        if getattr(error, "errno", None) in (*FULL, *TOO_LARGE):  # of the notebook's copy
            with explained(output):
                raise
        raise NotebookFailed(f"notebook {path.stem}: {error}") from error
    finally:
        shutil.rmtree(own, ignore_errors=True)
        for part in folder.glob("*.part"):  # what a kernel was writing when it ended
            part.unlink()


def execute_all(books: Sequence[Path], profile: str, jobs: int) -> list[str]:
    """Execute notebooks, some at a time; return the sentences of those that failed.

    An interruption ends the kernels at once; notebooks that are complete stay.
    """
    from lib.command import forked

    fork = min(jobs, len(books)) > 1 and forked.is_possible()

    def timed(path: Path) -> float:
        start = time.perf_counter()
        execute(path, profile, fork=fork)
        return time.perf_counter() - start

    failed = []
    with ThreadPoolExecutor(jobs) as pool, Progress(len(books), "notebook") as shown:
        waiting = {pool.submit(timed, path): path for path in books}
        try:
            while waiting:
                finished, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in finished:
                    path = waiting.pop(future)
                    try:
                        shown.say(f"{path.stem}  {future.result():.0f} s")
                    except (NotebookFailed, ValueError, OSError) as error:
                        failed.append(str(error))
                left = [path.stem for path in waiting.values()]
                shown.show(len(books) - len(waiting), ", ".join(left[:3]))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in waiting):
                end_kernels()  # again and again: one may be about to start
                time.sleep(0.2)
            raise
    return failed


def end_kernels() -> None:
    """End the processes that this one has started, and theirs."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(children, timeout=0.5)
