"""Run what is missing: a loop, worker processes or a Dask cluster, each only maps
``records.run``.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

import torch
from tqdm import tqdm

from lib import experiments, records
from lib.config import Config
from lib.records import Record


class RunsFailed(RuntimeError):
    """Some runs failed; the others are stored."""


def obtain(
    experiment: str, profile: str, *, retrain: bool = False, jobs: int = 1, progress: bool = False
) -> list[Record]:
    """The records of an experiment, as notebooks want them.

    In the profile "paper" the stored records, without training: what was not run is left out. In
    another profile, or with ``retrain``, runs that this machine has not made yet are made.

    Raises: ValueError for an unknown experiment or profile; RunsFailed if a run failed.
    """
    configs = experiments.configs(experiment, profile)
    if profile == "paper" and not retrain:
        return records.records(configs)
    return sweep(configs, jobs=jobs, progress=progress, ignore_shipped=retrain)


def sweep(
    configs: Sequence[Config],
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    progress: bool = True,
    ignore_shipped: bool = False,
) -> list[Record]:
    """Run the configurations that have no record yet; return all records, in order.

    With several jobs each worker process has one thread. An interruption loses nothing: the next
    call loads what is finished and continues the rest from its checkpoints.

    Args:
        configs: the runs.
        jobs: worker processes; 1 runs them here, on all of torch's threads.
        scheduler: address of a Dask scheduler, instead of worker processes (it must share the
            disk).
        progress: whether to show a bar, in epochs, with what runs and the time left.
        ignore_shipped: whether records in data/results do not count, only those of data/runs.
    Raises: RunsFailed if a run failed, after all others are done, with the sentence of each.
    """
    resolved = list({config.name: config for config in map(experiments.resolve, configs)}.values())
    missing = [c for c in resolved if records.stored(c, full=ignore_shipped) is None]
    missing.sort(key=lambda config: config.seed)  # every method once before any method twice
    epochs = sum(config.epochs for config in missing)
    with tqdm(total=epochs, unit="epoch", disable=not progress or not missing) as bar:
        if scheduler is None and min(jobs, len(missing)) <= 1:
            failures = list(_loop(missing, bar))
        else:
            failures = list(_map(missing, jobs, scheduler, bar))
    if failures:
        raise RunsFailed(f"{len(failures)} of {len(missing)} runs failed. " + "; ".join(failures))
    return records.records(resolved, full=ignore_shipped)


def _loop(missing: list[Config], bar: tqdm) -> Iterator[str]:
    """Run one after the other; the sentences of those that fail."""
    for i, config in enumerate(missing):
        _show(bar, missing[i:], {config: 0})
        try:
            records.run(config, on_epoch=lambda history: bar.update())
        except (ValueError, RuntimeError) as error:
            yield _sentence(config, error)
        _show(bar, missing[i + 1 :], {})


def _map(missing: list[Config], jobs: int, scheduler: str | None, bar: tqdm) -> Iterator[str]:
    """Run side by side; the sentences of those that fail."""
    with _executor(min(jobs, len(missing)), scheduler) as submit:
        waiting: dict[Future, Config] = {submit(_work, config): config for config in missing}
        while waiting:
            done, _ = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
            for future in done:
                config = waiting.pop(future)
                if (error := future.exception()) is not None:
                    yield _sentence(config, error)
            left = list(waiting.values())
            _show(bar, left, {c: n for c in left if (n := _epochs_done(c)) is not None})


@contextlib.contextmanager
def _executor(jobs: int, scheduler: str | None) -> Iterator:
    if scheduler is not None:
        from distributed import Client  # optional extra "cluster"

        with Client(scheduler, timeout="10s") as client:
            yield client.get_executor().submit
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_start_worker) as pool:
        try:
            yield pool.submit
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()  # what they lose is in their checkpoints
            raise


def _start_worker() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends workers without a traceback


def _end_with_parent() -> None:
    """End this worker when its parent is gone; what it loses is in its checkpoint."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(config: Config) -> None:
    torch.set_num_threads(1)
    file = (records.RUNS / config.name).with_suffix(".work") / "epochs"
    records.run(config, on_epoch=lambda history: file.write_text(str(len(history.metrics))))


def _epochs_done(config: Config) -> int | None:
    """Epochs that a run in progress has done; None if it has not begun."""
    with contextlib.suppress(OSError, ValueError):
        return int((records.RUNS / config.name).with_suffix(".work").joinpath("epochs").read_text())
    return None


def _show(bar: tqdm, left: Sequence[Config], begun: dict[Config, int]) -> None:
    """Show the runs left, and the epochs done by those of them that have begun."""
    names = ", ".join(f"{c.method} {c.dataset} seed {c.seed}" for c in [*begun][:3])
    bar.set_description_str(f"{len(left)} runs left" + (f": {names}" if names else ""))
    epochs = bar.total - sum(config.epochs for config in left) + sum(begun.values())
    bar.update(max(0, epochs - bar.n))


def _sentence(config: Config, error: BaseException) -> str:
    return f"{config.experiment} ({config.method}, {config.dataset}, seed {config.seed}): {error}"
