"""Work that tests kill at random moments: each entry of :data:`VICTIMS` is one kind.

A victim does its work in a folder, and goes on there when it is started again. A new kind is one
function and one entry.
"""

import hashlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch

from tests.checkouts import write_notebook
from tests.processes import CONTEXT
from tests.stored import contents_in

Left = dict[str, Any]  # contents by the name of a record, or sha256 by that of a file
FIGURES = (".csv", ".png", ".svg")
DRAWING = """
import pandas as pd
from lib import report
from matplotlib import pyplot as plt
report.begin("90_drawing", profile)
for name in ("first", "second", "third"):
    table = pd.DataFrame({"x": range(200), name: range(200)})
    fig, ax = plt.subplots()
    ax.plot(table["x"], table[name])
    report.publish(fig, name, table)
"""


class Victim(NamedTuple):
    """Work and what it leaves.

    Attributes:
        work: does it in a folder, from the start or from where it was stopped.
        left: of a folder, what must not depend on interruptions.
    """

    work: Callable[[Path], None]
    left: Callable[[Path], Left]


# ------------------------------------------------------------------------------- kinds of work


def _run(folder: Path, experiment: str, **changes: Any) -> None:
    import papers  # in the process that is killed: it starts threads
    from lib.runs.records import Store

    store = Store(papers.EXPERIMENTS, folder / "runs", folder / "results")
    run = papers.EXPERIMENTS[experiment].runs("smoke")[0]
    store.run(run.with_changes({"dataset": "digits", **changes}))


def train(folder: Path) -> None:
    """Sparse training, whose links evolve; a checkpoint after every epoch."""
    _run(folder, "adaptive_topology", epochs=12)


def study(folder: Path) -> None:
    """A measurement on a trained network, which is trained first."""
    _run(folder, "link_removal", draws=4)


def anneal(folder: Path) -> None:
    """A restricted Boltzmann machine and its likelihood, by annealed importance sampling."""
    _run(folder, "set_rbm_dna", epochs=3, temperatures=300, final_temperatures=2000)


def search(folder: Path) -> None:
    """An evolutionary search for masks of a head; a checkpoint after every generation."""
    _run(folder, "mask_search", evaluations=120)


def render(folder: Path) -> None:
    """A notebook that publishes figures."""
    from lib import _boundary
    from lib.command import notebooks

    _boundary.FIGURES = folder / "figures"
    os.environ["SPARSE_FIGURES_DIR"] = str(_boundary.FIGURES)
    book = folder / "90_drawing.ipynb"
    if not book.exists():
        write_notebook(book, DRAWING)
    notebooks.execute(book, "smoke")


def records(folder: Path) -> Left:
    """What every record holds; a record that is there must be whole."""
    found = {}
    for record in sorted((folder / "runs").glob("*/")):
        if not record.suffix:
            found |= contents_in(record)
    return found


def figures(folder: Path) -> Left:
    """The figures of a notebook."""
    place = folder / "figures" / "smoke" / "90_drawing"
    return {path.name: sha256(path) for path in place.glob("*") if path.suffix in FIGURES}


VICTIMS = {
    "training": Victim(train, records),
    "study": Victim(study, records),
    "annealing": Victim(anneal, records),
    "search": Victim(search, records),
    "rendering": Victim(render, figures),
}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ------------------------------------------------------------------------------------- killing


def start(victim: str, folder: Path):
    """A process at work, from the moment on at which its libraries are loaded, and its pipe."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_work, args=(victim, folder, theirs))
    process.start()
    theirs.close()
    ours.recv()
    return process, ours


def _work(victim: str, folder: Path, pipe) -> None:
    torch.set_num_threads(1)
    import lib.command.notebooks  # noqa: F401  all that the kinds of work import

    pipe.send("loaded")
    begun = time.perf_counter()
    VICTIMS[victim].work(folder)
    pipe.send(time.perf_counter() - begun)


def finish(victim: str, folder: Path) -> float:
    """Let the work be done; the seconds it takes."""
    process, pipe = start(victim, folder)
    try:
        seconds = pipe.recv()
    except EOFError:
        raise AssertionError(f"{victim} failed in {folder}") from None
    process.join()
    return seconds


def kill(victim: str, folder: Path, seconds: float) -> bool:
    """Kill the work after so many seconds, with what it has started; whether it was still on."""
    process, _ = start(victim, folder)
    process.join(seconds)
    children = []
    with suppress(psutil.NoSuchProcess):  # it ends just now
        children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.join()
    psutil.wait_procs(children, timeout=30)  # a kernel ends by itself when its parent is gone
    assert [child for child in children if child.is_running()] == []
    return process.exitcode == -signal.SIGKILL


def shares(seed: str) -> Iterator[float]:
    """Random moments without end, as shares of the time that the work takes."""
    draw = random.Random(seed)
    while True:
        yield draw.random()
