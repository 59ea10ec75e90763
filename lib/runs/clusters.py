"""Clusters of Dask: one that runs already, or one that is started on this machine, on others by
ssh, or by SLURM. The packages are those of the optional extra "cluster".
"""

import atexit
import contextlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lib.names import check_known
from lib.runs.interruption import Patience, unseen

KINDS = ("local", "ssh", "slurm")
PATIENCE = "10s"  # in which a scheduler must answer
SETTINGS = {
    "distributed.admin.large-graph-warning-threshold": "4 GiB",  # a job has a checkpoint
    "distributed.admin.tick.interval": "1s",  # in place of 20 ms, in every process
    "distributed.worker.profile.enabled": False,  # it looks at every process 100 times a second
}
ALONE = 60.0  # seconds without a worker after which is said where to look
LOOK = {  # where it is said why workers do not come, by kind
    None: "see that its workers run, `dask worker {address}`",
    "local": "see what its memory and processors do",
    "ssh": "see that `ssh HOST {python} --version` answers without a question",
    "slurm": "see `squeue --me`, and the logs of the jobs (log-directory in jobqueue.yaml)",
}
LOGGERS = ("distributed", "asyncio", "tornado")
KEPT = "records and checkpoints that came back are kept"
SLURM = {"cores": 1, "memory": "4 GiB"}  # of a job, where the configuration of Dask does not say


@dataclass(frozen=True)
class Cluster:
    """Where runs are made.

    Args:
        address: of a scheduler that runs already; then there is no ``kind``.
        kind: what is started otherwise, one of :data:`KINDS`.
        workers: how many: of "local" (default: a core each), of "slurm", on each host of "ssh"
            (default: 1).
        hosts: of "ssh"; the scheduler runs on the first one too.
        wire: whether records come over the wire also from workers that see the store.
    Raises: ValueError for an unknown kind, or if hosts or workers are missing or too many.
    """

    address: str | None = None
    kind: str | None = None
    workers: int | None = None
    hosts: tuple[str, ...] = ()
    wire: bool = False

    def __post_init__(self) -> None:
        if (self.address is None) == (self.kind is None):
            raise ValueError("give either --scheduler ADDRESS or --cluster KIND")
        if self.kind is not None:
            check_known("cluster", self.kind, KINDS)
        if (self.kind == "ssh") != bool(self.hosts):
            raise ValueError("--cluster ssh and --hosts A,B go together: give both")
        if self.kind == "slurm" and self.workers is None:
            raise ValueError("--cluster slurm asks for --workers N, how many runs side by side")
        if self.kind is None and self.workers is not None:
            raise ValueError("--workers goes with --cluster; a scheduler has the workers it has")

    @property
    def words(self) -> str:
        """As one says it."""
        return self.address or f"the {self.kind} cluster"

    @property
    def look(self) -> str:
        """Where it is said why no worker comes."""
        return LOOK[self.kind].format(address=self.address, python=sys.executable)


@contextlib.contextmanager
def connected(cluster: Cluster) -> Iterator[Any]:
    """A ``distributed.Client`` of a cluster; what was started for it ends with the block, also
    when Ctrl-C interrupts it.

    Raises: OSError if no scheduler answers; RuntimeError if SLURM takes no job; ImportError without
        the extra "cluster".
    """
    import dask
    from distributed import Client
    from distributed.deploy.spec import close_clusters
    from distributed.utils import LoopRunner

    atexit.unregister(close_clusters)  # it would end once more, with tracebacks, what ends here
    with contextlib.ExitStack() as opened:
        opened.enter_context(dask.config.set(SETTINGS))
        _silence()
        patience = opened.enter_context(Patience(KEPT))
        runner = LoopRunner()
        with unseen():
            runner.start()
        opened.callback(runner.stop)
        place = cluster.address
        if place is None:
            place = opened.enter_context(STARTERS[cluster.kind](cluster, runner.loop))
        try:
            client = Client(place, timeout=PATIENCE, set_as_default=False, loop=runner.loop)
        except OSError as error:
            raise OSError(f"no scheduler answers at {cluster.words}: {error}") from error
        opened.enter_context(client)
        with patience.allowed():
            yield client


def workers_of(client: Any) -> dict[str, dict[str, Any]]:
    """What the scheduler knows of its workers, by address.

    Raises: OSError if it does not answer.
    """
    # client.scheduler_info() may return, without any, what a callback of its own has just fetched
    return client.sync(client.scheduler.identity, n_workers=-1)["workers"]


def _local(cluster: Cluster, loop: Any) -> Any:
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=cluster.workers or os.cpu_count(),
        threads_per_worker=1,
        memory_limit=None,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
        loop=loop,
    )


def _ssh(cluster: Cluster, loop: Any) -> Any:
    from distributed import SSHCluster

    return SSHCluster(
        [cluster.hosts[0], *cluster.hosts],
        worker_options={"nthreads": 1, "n_workers": cluster.workers or 1, "memory_limit": None},
        scheduler_options={"port": 0, "dashboard_address": ":0"},
        remote_python=sys.executable,
        silence_logs=logging.CRITICAL,
        loop=loop,
    )


def _slurm(cluster: Cluster, loop: Any) -> Any:
    import dask
    from dask_jobqueue import SLURMCluster

    said = {}
    for name, default in SLURM.items():
        said[name] = dask.config.get(f"jobqueue.slurm.{name}", None) or default
    jobs = SLURMCluster(
        **said,
        processes=said["cores"],
        python=sys.executable,
        silence_logs=logging.CRITICAL,
        loop=loop,
    )
    try:
        _check_job(jobs.job_script())
    except BaseException:
        jobs.close()
        raise
    jobs.adapt(minimum=cluster.workers, maximum=cluster.workers)  # what ends is started again
    return jobs


def _check_job(script: str) -> None:
    """Raises RuntimeError with what SLURM says if it would not take a job."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        try:
            words = ["sbatch", "--test-only", file.name]
            done = subprocess.run(words, capture_output=True, text=True)
        except OSError as error:
            raise RuntimeError(f"{error}: run the command where SLURM's commands are") from error
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise RuntimeError(f"SLURM takes no job ({said}): mend jobqueue.yaml, see docs/CLUSTER.md")


STARTERS: dict[str, Callable[[Cluster, Any], Any]] = {"local": _local, "ssh": _ssh, "slurm": _slurm}


def _silence() -> None:
    """Let Dask, and the loop that it runs in, log nothing below critical: what goes wrong is said
    in a sentence of ours, and what it does at its end, in other threads, is nobody's trouble.
    """
    for name in (*LOGGERS, *logging.root.manager.loggerDict):
        if name.partition(".")[0] in LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
