"""Make the runs that are missing: in a loop here, or side by side.

Side by side a run is a future: of a process of this machine, or of a worker of a Dask cluster
(:mod:`lib.runs.cluster`), whose record comes back and is stored here.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from contextlib import AbstractContextManager
from typing import Any

from lib._boundary import CUSTOM
from lib.runs.config import Run
from lib.runs.experiment import choose
from lib.runs.progress import Progress
from lib.runs.record import Record
from lib.runs.records import Files, Store
from lib.runs.workers import Pool, WorkersLost, begun, parent_of, processes, sources

KILLED = (
    "a worker process was killed, perhaps because memory is short: no record is lost, the same"
    " command continues, with fewer --jobs if it happens again"
)
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
    scheduler: str | None = None,
    progress: bool = True,
    ignore_shipped: bool = False,
) -> list[Run]:
    """Make the runs that have no record yet; return all of them, each once, as they were resolved.

    Side by side each worker has one thread, and runs that others start from are made before these.
    An interruption loses nothing: the next call loads what is finished and continues the others
    from their checkpoints.

    Args:
        store: of the records.
        runs: which.
        jobs: worker processes on this machine; 1 makes the runs here, on all of torch's threads.
        scheduler: address of a Dask cluster that makes the runs instead.
        progress: whether to show how far they are, in epochs, and what is being run.
        ignore_shipped: whether records in data/results do not count, only those of data/runs.
    Raises: RunsFailed if a run failed, after all others are done, with the sentence of each;
        WorkersLost and OSError if the workers cannot be used any more, or at all.
    """
    store.remove_leftovers()
    resolved = {run.name: run for run in (run.resolved() for run in runs)}
    missing = [run for run in resolved.values() if store.stored(run, whole=ignore_shipped) is None]
    missing.sort(key=lambda run: run.seed)  # every method once before any method twice
    asked = {run.name for run in missing}
    jobs = min(jobs, len(missing))
    alone = scheduler is None and jobs <= 1
    if not alone:
        missing = with_parents(store, missing)
    total = sum(run.size for run in missing)
    failures: list[str] = []
    with Progress(total, "epoch", shown=progress and total > 0) as shown:
        if progress and not alone and scheduler is None:  # alone, the loops say so themselves
            from lib._compiled.step import is_compiled  # starts threads: fork nothing after it

            if not is_compiled():
                shown.say("The first runs compile the loops, once on this machine: some 20 s.")
        if alone:
            failures = list(_one_by_one(store, missing, shown))
        elif missing:
            if scheduler is None:
                workers = processes(store, jobs)
            else:
                from lib.runs.cluster import connected  # imports Dask, which few commands need

                workers = connected(store, scheduler, shown.say)
            failures = _side_by_side(store, missing, asked, workers, shown)
    if failures:
        sentences = "; ".join(failures)
        raise RunsFailed(f"{len(failures)} of {len(asked)} runs failed. {sentences}")
    return list(resolved.values())


def _one_by_one(store: Store, missing: list[Run], shown: Progress) -> Iterator[str]:
    """Run one after the other; the sentences of those that fail."""
    n_runs = len(missing)
    for i, run in enumerate(missing):
        left = missing[i:]
        _show(shown, n_runs, left, {run: 0})
        try:
            store.make(
                run,
                progress=lambda done, left=left: _show(shown, n_runs, left, {left[0]: done}),
            )
        except (ValueError, RuntimeError) as error:
            yield _sentence(run, error)
        _show(shown, n_runs, missing[i + 1 :], {})


def _side_by_side(
    store: Store,
    missing: list[Run],
    asked: set[str],
    workers: AbstractContextManager[Pool],
    shown: Progress,
) -> list[str]:
    """Run some at a time; the sentences of those that fail and were asked for: whatever starts from
    another one fails too.

    Raises: WorkersLost, after what has come is stored, with the sentences of failures.
    """
    left = {run.name: run for run in missing}  # not made yet
    waiting: dict[str, set[str]] = {}  # names of earlier runs, by that of a run that needs them
    for run in missing:
        waiting[run.name] = {one.name for one in sources(store, run)} & waiting.keys()
    making: dict[Future[Files | None], Run] = {}
    failures: list[str] = []
    with workers as pool:
        while left:
            lost = [] if pool.is_there() else [GONE]
            ready = [name for name, needs in waiting.items() if needs.isdisjoint(left)]
            room = 0 if lost else max(0, pool.slots() - len(making))
            for name in ready[:room]:
                try:
                    making[pool.submit(left[name])] = left[name]
                except BrokenExecutor:  # since the last wait
                    lost.append(KILLED)
                    break
                del waiting[name]
            finished, _ = wait(making, timeout=1, return_when=FIRST_COMPLETED)
            for future in finished:
                run = making.pop(future)
                del left[run.name]
                try:
                    files = future.result()
                except CancelledError:
                    lost.append(GONE)
                except BrokenExecutor:
                    lost.append(KILLED)
                except WorkersLost as error:
                    lost.append(str(error))
                except Exception as error:
                    if run.name in asked:
                        failures.append(_sentence(run, error))
                else:
                    if files is not None:
                        store.accept(run, files)
            if lost:
                raise WorkersLost("; ".join([lost[0], *failures]))
            _show(shown, len(missing), list(left.values()), begun(store, making.values()))
    return failures


def with_parents(store: Store, runs: Iterable[Run]) -> list[Run]:
    """The runs, each once, and before each the ones that it starts from and that are not stored."""
    found: dict[str, Run] = {}
    for run in runs:
        parent = parent_of(run)
        if parent is not None and not store.holds(parent):
            found |= {one.name: one for one in with_parents(store, [parent])}
        found.setdefault(run.name, run)
    return list(found.values())


def _show(shown: Progress, n_runs: int, left: Sequence[Run], begun: dict[Run, int]) -> None:
    """Show the runs left, and the steps done by those of them that have begun. All runs count alike
    for the time left: epochs differ more in what they take.
    """
    text = f"{len(left)} runs left"
    if begun:
        names = [f"{run.method} {run.dataset} seed {run.seed}" for run in [*begun][:3]]
        text = f"{text}: {', '.join(names)}"
    missing = sum(run.size for run in left) - sum(begun.values())
    runs_left = len(left) - sum(done / run.size for run, done in begun.items())
    shown.show(shown.total - missing, text, 1 - runs_left / n_runs)


def _sentence(run: Run, error: Exception) -> str:
    return f"{run.experiment} ({run.method}, {run.dataset}, seed {run.seed}): {error}"
