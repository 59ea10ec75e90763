"""Run what is missing: a loop, worker processes or a Dask cluster, each only maps
``records.run``.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

import torch
from tqdm import tqdm

from lib import experiments, records, train
from lib.experiments import Config
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
    failures: list[str] = []
    with tqdm(
        total=sum(c.epochs for c in missing), unit="epoch", disable=not progress or not missing
    ) as bar:
        if scheduler is None and min(jobs, len(missing)) <= 1:
            for i, config in enumerate(missing):
                _show(bar, sum(c.epochs for c in missing[:i]), [config], len(missing) - i)
                try:
                    records.run(config, on_epoch=lambda history: bar.update())
                except (ValueError, RuntimeError) as error:
                    failures.append(_sentence(config, error))
        else:
            _map(missing, jobs, scheduler, bar, failures)
    if failures:
        raise RunsFailed(f"{len(failures)} of {len(missing)} runs failed. " + "; ".join(failures))
    return records.records(resolved, full=ignore_shipped)


def _map(
    missing: list[Config], jobs: int, scheduler: str | None, bar: tqdm, failures: list[str]
) -> None:
    with _executor(min(jobs, len(missing)), scheduler) as submit:
        waiting: dict[Future, Config] = {submit(_work, config): config for config in missing}
        finished = 0
        while waiting:
            done, _ = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
            for future in done:
                config = waiting.pop(future)
                finished += config.epochs
                if (error := future.exception()) is not None:
                    failures.append(_sentence(config, error))
            epochs = {c.name: _epochs_done(c) for c in waiting.values()}
            running = [c for c in waiting.values() if epochs[c.name] is not None]
            done_epochs = finished + sum(epochs[c.name] for c in running)
            _show(bar, done_epochs, running, len(waiting))


@contextlib.contextmanager
def _executor(jobs: int, scheduler: str | None) -> Iterator:
    if scheduler is not None:
        from distributed import Client  # optional extra "cluster"

        with Client(scheduler, timeout="10s") as client:
            yield client.get_executor().submit
        return
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), initializer=_start_worker
    )
    try:
        yield pool.submit
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()  # what they lose is in their checkpoints
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends workers without a traceback
    torch.set_num_threads(1)


def _end_with(parent: int) -> None:
    """End this worker when its parent is gone; what it loses is in its checkpoint."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _work(config: Config) -> None:
    torch.set_num_threads(1)
    work = (records.RUNS / config.name).with_suffix(".work")

    def tell(history: train.History) -> None:
        (work / "epochs").write_text(str(len(history.metrics)))

    records.run(config, on_epoch=tell)


def _epochs_done(config: Config) -> int | None:
    """Epochs that a run in progress has done; None if it has not begun."""
    with contextlib.suppress(OSError, ValueError):
        return int((records.RUNS / config.name).with_suffix(".work").joinpath("epochs").read_text())
    return None


def _show(bar: tqdm, epochs: int, running: list[Config], left: int) -> None:
    names = ", ".join(f"{c.method} {c.dataset} seed {c.seed}" for c in running[:3])
    bar.set_description_str(f"{left} runs left: {names}" if names else f"{left} runs left")
    bar.update(max(0, epochs - bar.n))


def _sentence(config: Config, error: BaseException) -> str:
    return f"{config.experiment} ({config.method}, {config.dataset}, seed {config.seed}): {error}"
