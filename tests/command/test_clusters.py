"""Clusters from the command line: a sweep that loses a worker, hosts by ssh, jobs of SLURM."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

import papers
from lib.command import cli, gallery, notebooks
from lib.runs import executors
from lib.runs.cluster import Cluster
from tests.checkouts import ROOT, started, variables
from tests.stored import contents_in

SWEEP = "-m lib run adaptive_topology --profile smoke".split()


# -------------------------------------------------------------------------------------- its words


@pytest.fixture
def asked(monkeypatch):
    """What the sweeps are asked for; none is made."""
    clusters = []
    monkeypatch.setattr(
        executors, "make_missing", lambda *_, cluster, **__: clusters.append(cluster) or []
    )
    return clusters


@pytest.mark.parametrize("command", ["run adaptive_topology", "figures --only 20"])
@pytest.mark.parametrize(
    ("words", "cluster"),
    [
        ("", None),
        ("--scheduler tcp://10.0.0.1:8786", Cluster("tcp://10.0.0.1:8786")),
        ("--scheduler slurm:8", Cluster("slurm", 8)),
    ],
)
def test_words_of_the_command_name_the_cluster(command, words, cluster, asked, monkeypatch):
    monkeypatch.setattr(notebooks, "execute_all", lambda *_: [])
    monkeypatch.setattr(gallery, "write", lambda _: "")
    assert cli.main([*command.split(), "--profile", "smoke", *words.split()]) == 0
    assert asked == [cluster]


def test_unknown_scheduler_is_refused(asked, capsys):
    words = "run adaptive_topology --profile smoke --scheduler slrum:2"
    assert cli.main(words.split()) == 1
    assert "did you mean 'slurm'" in capsys.readouterr().err and asked == []


def test_cluster_without_runs_to_make_is_refused(asked, capsys, monkeypatch):
    monkeypatch.setattr(notebooks, "execute_all", lambda *_: [])
    monkeypatch.setattr(gallery, "write", lambda _: "")
    assert cli.main(["figures", "--profile", "paper", "--scheduler", "local"]) == 1
    assert "a cluster goes with --train" in capsys.readouterr().err and asked == []
    assert cli.main("figures --profile paper --only 20 --train --scheduler local".split()) == 0
    assert asked == [Cluster("local")]


def test_scheduler_that_does_not_answer_is_named(monkeypatch, capsys):
    monkeypatch.setattr("lib.runs.cluster.PATIENCE", "100ms")
    monkeypatch.setattr(papers.STORE.__class__, "stored", lambda *_, **__: None)
    words = "run adaptive_topology --profile smoke --scheduler tcp://127.0.0.1:1"
    assert cli.main(words.split()) == 1
    said = capsys.readouterr().err
    sentence = "error: no scheduler answers at tcp://127.0.0.1:1: start one, or mend the address"
    assert sentence in said.splitlines()


# -------------------------------------------------------------------------------- a lost worker


def records(folder):
    """{name: contents} of the records in a folder."""
    found = {}
    for place in folder.glob("*-*"):
        if place.is_dir() and not place.suffix:
            found |= contents_in(place)
    return found


def run_alone(folder):
    words = [sys.executable, *SWEEP, "--jobs", "1"]
    done = subprocess.run(
        words, cwd=ROOT, env=variables(SPARSE_RUNS_DIR=str(folder)), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return records(folder)


def workers_of(process):
    """Processes of workers that a command has started."""
    children = psutil.Process(process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.slow
def test_sweep_that_loses_a_worker_ends_with_the_records_of_one_job(tmp_path):
    begun = time.monotonic()
    alone = run_alone(tmp_path / "alone")
    between = time.monotonic()
    words = (*SWEEP, "--scheduler", "local:2")
    with started(ROOT, *words, SPARSE_RUNS_DIR=str(tmp_path / "cluster")) as process:
        while len(records(tmp_path / "cluster")) < 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        _, worker = workers_of(process)
        worker.kill()
        _, said = process.communicate(timeout=600)
    seconds = time.monotonic() - between
    print(f"one job {between - begun:.0f} s, two workers of which one was lost {seconds:.0f} s")
    assert process.returncode == 0, said
    assert records(tmp_path / "cluster") == alone and len(alone) == 9


# -------------------------------------------------------------------------------- SLURM and ssh

SBATCH = """#!/usr/bin/env bash
[ "$1" != --test-only ] || exit 0
cp "${@: -1}" "$JOBS/script"
setsid bash "$JOBS/script" > "$JOBS/log" 2>&1 < /dev/null &
echo $! >> "$JOBS/started"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/usr/bin/env bash
for job in "$@"; do kill -KILL -- "-$job" 2>/dev/null; echo "$job" >> "$JOBS/cancelled"; done
exit 0
"""


@pytest.fixture
def slurm(tmp_path):
    """Variables of a machine on which SLURM's commands start jobs at once, on that machine."""
    place, jobs = tmp_path / "bin", tmp_path / "jobs"
    place.mkdir()
    jobs.mkdir()
    for name, text in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        (place / name).write_text(text)
        (place / name).chmod(0o755)
    yield jobs, {"PATH": f"{place}{os.pathsep}{os.environ['PATH']}", "JOBS": str(jobs)}
    for job in started_jobs(jobs):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job, signal.SIGKILL)


def started_jobs(jobs):
    path = jobs / "started"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def wait_for(true, process, seconds=300):
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.slow
def test_job_that_ends_too_early_is_started_again(slurm, tmp_path):
    jobs, changes = slurm
    words = (*SWEEP, "--scheduler", "slurm:1")
    folder = tmp_path / "runs"
    with started(ROOT, *words, **changes, SPARSE_RUNS_DIR=str(folder)) as process:
        wait_for(lambda: records(folder), process)
        os.killpg(started_jobs(jobs)[0], signal.SIGKILL)  # as at the end of its time
        _, said = process.communicate(timeout=500)
    assert process.returncode == 0, said
    assert len(records(folder)) == 9 and len(started_jobs(jobs)) == 2
    script = (jobs / "script").read_text()
    assert "#SBATCH --cpus-per-task=1\n" in script and "#SBATCH --mem=4G\n" in script
    assert f"{sys.executable} -m distributed.cli.dask_worker" in script
    wait_for_end(started_jobs(jobs)[1])


REFUSING = """#!/usr/bin/env bash
cat > "$JOBS/refused"
echo "sbatch: error: Batch job submission failed: Invalid account" >&2
exit 1
"""


@pytest.fixture
def taken():
    """The port that Dask prefers for its dashboard is another one's."""
    with contextlib.ExitStack() as opened:
        with contextlib.suppress(OSError):  # it is already
            opened.enter_context(socket.create_server(("", 8787)))
        yield


@pytest.mark.usefixtures("taken")
@pytest.mark.parametrize("sbatch", [REFUSING, None])
def test_jobs_that_slurm_refuses_are_one_sentence(sbatch, slurm, tmp_path, monkeypatch, capsys):
    jobs, changes = slurm
    place = tmp_path / "bin" / "sbatch"
    place.unlink()
    if sbatch:
        place.write_text(sbatch)
        place.chmod(0o755)
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SPARSE_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setattr(papers.STORE.__class__, "stored", lambda *_, **__: None)
    assert cli.main([*SWEEP[2:], "--scheduler", "slurm:20"]) == 1
    said = capsys.readouterr().err.splitlines()
    others = [line for line in said if not re.match(r"profile smoke|\d+/\d+ epochs", line)]
    reason = "Invalid account" if sbatch else "sbatch"
    pattern = rf"error: SLURM takes no job \(.*{reason}.*\): run the command where"
    assert [line for line in others if re.match(pattern, line)] and len(others) == 1
    if sbatch:
        script = (jobs / "refused").read_text()
        assert "#SBATCH --mem=4G\n" in script and "#SBATCH -t 24:00:00\n" in script


def wait_for_end(job, seconds=300):
    end = time.monotonic() + seconds
    while psutil.pid_exists(job) and psutil.Process(job).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, "the job goes on"
        time.sleep(0.1)


@pytest.fixture
def home(tmp_path):
    """A home whose ssh reaches this machine, by a server of its own."""
    place = tmp_path / "home" / ".ssh"
    place.mkdir(parents=True)
    with started(ROOT, "-m", "tests.ssh_server", str(place), PYTHONPATH=str(ROOT)) as process:
        wait_for((place / "config").exists, process)
        yield place.parent


@pytest.mark.slow
def test_hosts_are_reached_by_ssh(home, tmp_path):
    words = (*SWEEP, "--scheduler", "ssh:127.0.0.1:2")
    changes = {"HOME": str(home), "PYTHONPATH": str(ROOT)}
    with started(ROOT, *words, **changes, SPARSE_RUNS_DIR=str(tmp_path / "runs")) as process:
        _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "workers do not use" not in said and len(records(tmp_path / "runs")) == 9
