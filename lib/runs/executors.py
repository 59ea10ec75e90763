"""Make the runs that are missing: in a loop here, or side by side on the workers of a cluster."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

from lib._boundary import CUSTOM
from lib.runs import agenda
from lib.runs.config import Run
from lib.runs.experiment import choose
from lib.runs.progress import Progress
from lib.runs.record import Record
from lib.runs.records import Store

if TYPE_CHECKING:
    from lib.runs.cluster import Cluster

GONE = "the scheduler is gone: no record is lost, the same command continues"


class RunsFailed(RuntimeError):
    """Some runs failed; the others are stored."""


def obtain(store: Store, experiment: str, profile: str, *, retrain: bool = False) -> list[Record]:
    """The records of an experiment, as notebooks want them.

    In the profile "paper" the stored records, without training: what was not run is left out. In
    another profile, or with ``retrain``, runs that this machine has not made yet are made. The
    profile "custom" has the stored records of no profile, as of ``run EXPERIMENT KEY=VALUE``.

    Raises: ValueError for an unknown experiment or profile; RunsFailed if a run failed.
    """
    if profile == CUSTOM or (profile == "paper" and not retrain):
        return store.of(experiment, profile)
    runs = choose(store.experiments, experiment).runs(profile)
    return sweep(store, runs, progress=False, ignore_shipped=retrain)


def sweep(
    store: Store, runs: Sequence[Run], *, ignore_shipped: bool = False, **how: Any
) -> list[Record]:
    """Make the runs that have no record yet; return all records, in order.

    Args, Raises: as :func:`make_missing`.
    """
    made = make_missing(store, runs, ignore_shipped=ignore_shipped, **how)
    return store.records(made, whole=ignore_shipped)


def make_missing(
    store: Store,
    runs: Sequence[Run],
    *,
    jobs: int = 1,
    cluster: "Cluster | None" = None,
    progress: bool = True,
    ignore_shipped: bool = False,
) -> list[Run]:
    """Make the runs that have no record yet; return all of them, each once, as they were resolved.

    With several jobs each worker process has one thread, and runs that others start from are made
    before these (:mod:`lib.runs.agenda`). An interruption loses nothing: the next
    call loads what is finished and continues the others from their checkpoints.

    Args:
        store: of the records.
        runs: which.
        jobs: worker processes on this machine; 1 makes the runs here, on all of torch's threads.
        cluster: where the runs are made instead, see :mod:`lib.runs.cluster`.
        progress: whether to show how far they are, in epochs, and what is being run.
        ignore_shipped: whether records in data/results do not count, only those of data/runs.
    Raises: RunsFailed if a run failed, after all others are done, with the sentence of each;
        agenda.ClusterLost and OSError if the cluster cannot be used any more, or at all.
    """
    store.remove_leftovers()
    resolved = {run.name: run for run in (run.resolved() for run in runs)}
    missing = [run for run in resolved.values() if store.stored(run, whole=ignore_shipped) is None]
    missing.sort(key=lambda run: run.seed)  # every method once before any method twice
    asked = {run.name for run in missing}
    alone = cluster is None and min(jobs, len(missing)) <= 1
    if not alone:
        missing = agenda.with_parents(store, missing)
    total = sum(run.size for run in missing)
    failures: list[str] = []
    with Progress(total, "epoch", shown=progress and total > 0) as shown:
        if progress and missing and cluster is None:
            from lib._compiled.step import (
                is_compiled,  # starts threads, after which nothing may be forked
            )

            if not is_compiled():
                shown.say("The first runs compile the loops, once on this machine: some 20 s.")
        if alone:
            failures = list(_one_by_one(store, missing, shown))
        elif missing:
            from lib.runs import cluster as clusters  # imports Dask, which few commands need

            where = cluster or clusters.Cluster("local", min(jobs, len(missing)))
            workers = clusters.workers(store, missing, where, shown.say)
            failures = _side_by_side(store, missing, asked, workers, shown)
    if failures:
        sentences = "; ".join(failures)
        raise RunsFailed(f"{len(failures)} of {len(asked)} runs failed. {sentences}")
    return list(resolved.values())


def _one_by_one(store: Store, missing: list[Run], shown: Progress) -> Iterator[str]:
    """Run one after the other; the sentences of those that fail."""
    for i, run in enumerate(missing):
        left = missing[i:]
        _show(shown, left, {run: 0})
        try:
            store.make(run, progress=partial(_show_first, shown, left))
        except (ValueError, RuntimeError) as error:
            yield _sentence(run, error)
        _show(shown, missing[i + 1 :], {})


def _side_by_side(
    store: Store,
    missing: list[Run],
    asked: set[str],
    workers: AbstractContextManager[agenda.Pool],
    shown: Progress,
) -> list[str]:
    """Run some at a time; the sentences of those that fail and were asked for: whatever starts from
    another one fails too.

    Raises: agenda.ClusterLost, after what has come is stored, with the sentences of failures.
    """
    waiting = agenda.Agenda(store, missing)
    making: dict[Future[agenda.Answer], Run] = {}
    failures: list[str] = []
    with workers as pool:
        while waiting.left:
            lost = [] if pool.is_there() else [GONE]
            while not lost and len(making) < pool.slots() and (run := waiting.take()) is not None:
                making[pool.submit(run)] = run
            finished, _ = wait(making, timeout=1, return_when=FIRST_COMPLETED)
            for future in finished:
                run = making.pop(future)
                waiting.end(run)
                if future.cancelled():
                    lost.append(GONE)
                    continue
                answer = future.exception() or future.result()
                if isinstance(answer, agenda.ClusterLost):
                    lost.append(str(answer))
                elif isinstance(answer, dict):
                    store.accept(run, answer)
                elif answer is not None and run.name in asked:
                    failures.append(_sentence(run, answer))
            if lost:
                raise agenda.ClusterLost("; ".join([lost[0], *failures]))
            _show(shown, list(waiting.left.values()), agenda.begun(store, making.values()))
    return failures


def _show(shown: Progress, left: Sequence[Run], begun: dict[Run, int]) -> None:
    """Show the runs left, and the steps done by those of them that have begun."""
    text = f"{len(left)} runs left"
    if begun:
        names = [f"{run.method} {run.dataset} seed {run.seed}" for run in [*begun][:3]]
        text = f"{text}: {', '.join(names)}"
    missing = sum(run.size for run in left) - sum(begun.values())
    shown.show(shown.total - missing, text)


def _show_first(shown: Progress, left: Sequence[Run], done: int) -> None:
    """Show progress: runs left, and steps done by the current one."""
    _show(shown, left, {left[0]: done})


def _sentence(run: Run, error: BaseException | str) -> str:
    return f"{run.experiment} ({run.method}, {run.dataset}, seed {run.seed}): {error}"
