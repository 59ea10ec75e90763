"""The order in which several workers make runs, and how far they are."""

import contextlib
import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import NamedTuple

from lib.data import DataUnavailable
from lib.runs.config import Run
from lib.runs.records import Files, Store

Answer = Files | str | None  # a record that is not in the store yet, or why a run fails


class ClusterLost(RuntimeError):
    """The scheduler is gone, or a worker of a cluster cannot be used."""


class Pool(NamedTuple):
    """Processes that make runs.

    Attributes:
        submit: makes a run; gives the files of its record if it does not lie in the store yet, or a
            sentence if the run fails.
        slots: how many runs can be made side by side now.
        is_there: whether what has been submitted can still end.
    """

    submit: Callable[[Run], Future[Answer]]
    slots: Callable[[], int]
    is_there: Callable[[], bool]


def note(store: Store, run: Run, done: int) -> None:
    """Write how far a run is where other processes can read it, if there is room for it."""
    with contextlib.suppress(OSError):  # the run itself says what it cannot write
        (store.work_of(run) / "progress").write_text(str(done))


def begun(store: Store, runs: Iterable[Run]) -> dict[Run, int]:
    """Steps done by each run in progress, as it has noted."""
    steps = {}
    for run in runs:
        with contextlib.suppress(OSError, ValueError):
            steps[run] = int((store.work_of(run) / "progress").read_text())
    return steps


def with_parents(store: Store, runs: Iterable[Run]) -> list[Run]:
    """The runs, each once, and before each the ones that it starts from and that are not stored."""
    found: dict[str, Run] = {}
    for run in runs:
        line = [run]
        while (parent := parent_of(line[-1])) is not None:
            if parent.name in found or store.holds(parent):
                break
            line.append(parent)
        for one in reversed(line):
            found.setdefault(one.name, one)
    return list(found.values())


def parent_of(run: Run) -> Run | None:
    """The run that one starts from; None if there is none, or no data for it, as it will say."""
    if run.parent is None:
        return None
    try:
        return run.parent.resolved()
    except DataUnavailable:
        return None


class Agenda:
    """Runs that are to be made, and which of them comes next.

    A run waits for the one that it starts from, and for an earlier one that is the very same for
    another experiment. The first run of a kind compiles what the others load: while it is made, a
    run of another kind is preferred. Of runs of one seed those that took longest for another seed
    come first, so that no long one is left for the end.

    Args:
        store: of the records.
        runs: in the order in which they are made otherwise.
    """

    def __init__(self, store: Store, runs: Iterable[Run]) -> None:
        self.left = {run.name: run for run in runs}  # not made yet
        self._begun: dict[str, float] = {}  # when, by name
        self._known: set[type[Run]] = set()  # kinds of which one was made
        self._seconds: dict[tuple[str, ...], float] = {}
        self._needs: dict[str, set[str]] = {}
        earlier: set[str] = set()
        for run in self.left.values():
            twins = {twin.name for twin in store.twins(run)}
            self._needs[run.name] = twins & earlier
            parent = parent_of(run)
            if parent is not None:
                self._needs[run.name].add(parent.name)
            earlier.add(run.name)

    def take(self) -> Run | None:
        """The next run, which is being made from now on; None if all others wait for such ones."""
        ready = []
        for run in self.left.values():
            if run.name not in self._begun and self.left.keys().isdisjoint(self._needs[run.name]):
                ready.append(run)
        if not ready:
            return None
        compiling = {type(self.left[name]) for name in self._begun} - self._known
        others = [run for run in ready if type(run) not in compiling]
        chosen = min(others or ready, key=self._place)
        self._begun[chosen.name] = time.monotonic()
        return chosen

    def end(self, run: Run) -> None:
        """A run that was taken has ended, however."""
        seconds = time.monotonic() - self._begun.pop(run.name)
        self._seconds[_label(run)] = seconds
        self._known.add(type(run))
        del self.left[run.name]

    def _place(self, run: Run) -> tuple[float, float]:
        """By what the first of the runs that can be begun is chosen."""
        return run.seed, -self._seconds.get(_label(run), math.inf)


def _label(run: Run) -> tuple[str, ...]:
    """What runs share that differ in nothing but their seed."""
    return run.experiment, run.dataset, run.method, run.variant
