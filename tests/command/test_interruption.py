"""Long work: what a log shows of it, and Ctrl-C, which is one sentence and loses nothing."""

import contextlib
import os
import re
import signal
import time
from itertools import pairwise

import psutil
import pytest

from tests.checkouts import ROOT, check_out, started, write_notebook

SENTENCE = "interrupted: nothing is lost, the same command continues\n"
SLEEP = 600  # seconds of the work that is interrupted
SLEEPING = """
import pathlib, time
pathlib.Path("begun").touch()
time.sleep({})
"""
WAITING = """
import pathlib, time
for _ in range({} * 20):
    if not pathlib.Path("enough").exists():
        time.sleep(0.05)
"""
QUICK_LOG = """
from lib.command import main
from lib.runs import progress

progress.SHORTEST = progress.LONGEST = 1.0
raise SystemExit(main())
"""


def wait_for(condition, process):
    """Return when the condition holds; the process must not end before."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def interrupt(process):
    """Those that a process had started when Ctrl-C came, and its words; it ends long before its
    work would have ended.
    """
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=SLEEP / 2)
    return children, words


def leaders(process):
    """The processes that it has started and that lead a group of their own, as kernels do."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(ProcessLookupError):  # it has ended just now
            if os.getpgid(child.pid) == child.pid:
                found.append(child)
    return found


def alive(processes):
    """Those that run on, long after their end was asked for."""
    _, left = psutil.wait_procs(processes, timeout=60)
    return [process for process in left if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.faults("killed at any moment")
@pytest.mark.slow
def test_interrupted_rendering_ends_at_once_and_leaves_no_kernel(tmp_path):
    folder = check_out(tmp_path / "checkout")
    for number in ("90", "91"):
        write_notebook(folder / "notebooks" / f"{number}_sleep.ipynb", SLEEPING.format(SLEEP))
    words = ("-m", "lib", "figures", "--profile", "smoke", "--jobs", "2")
    with started(folder, *words) as process:
        wait_for((folder / "begun").exists, process)
        wait_for(lambda: len(leaders(process)) == 2, process)
        children, words = interrupt(process)
    assert process.returncode == 130 and words.endswith(SENTENCE)
    assert [line for line in words.splitlines() if "notebooks" not in line] == [SENTENCE.strip()]
    assert alive(children) == []
    assert [path for path in (folder / "figures").rglob("*") if path.is_file()] == []


@pytest.mark.faults("killed at any moment")
def test_interruption_while_the_libraries_load_is_one_sentence(tmp_path):
    with started(check_out(tmp_path / "checkout"), "-m", "lib", "list") as process:
        files = psutil.Process(process.pid).memory_maps
        wait_for(lambda: any("numpy" in file.path for file in files()), process)
        _, words = interrupt(process)
    assert process.returncode == 130 and words == SENTENCE


@pytest.fixture
def training(tmp_path):
    """Two runs of many epochs in two worker processes, both begun."""
    words = "-m lib run set_mlp --jobs 2 --set method=set dataset=digits epochs=2000"
    words += " variant=tuned density=0.1 er_epsilon=None"
    words += " --seeds 2"
    with started(ROOT, *words.split(), SPARSE_RUNS_DIR=str(tmp_path)) as process:
        wait_for(lambda: len(list(tmp_path.glob("*.work/checkpoint.pt"))) == 2, process)
        yield process


@pytest.mark.faults("killed at any moment")
@pytest.mark.slow
def test_interrupted_runs_end_at_once_and_leave_checkpoints(training, tmp_path):
    workers, words = interrupt(training)
    assert training.returncode == 130
    expected = "epochs", "compile the loops"  # the latter where nothing has done so before
    others = [line for line in words.splitlines(True) if not any(map(line.__contains__, expected))]
    assert others == [SENTENCE]
    assert len(workers) >= 2 and alive(workers) == []
    assert len(list(tmp_path.glob("*.work/checkpoint.pt"))) == 2
    assert list(tmp_path.glob("*/records.jsonl")) == []


# a log


@pytest.mark.slow
def test_rendering_writes_lines_from_time_to_time(tmp_path):
    """The notebook ends when four lines have come, with a second at least between two of them."""
    folder = check_out(tmp_path / "checkout")
    write_notebook(folder / "notebooks" / "90_sleep.ipynb", WAITING.format(SLEEP))
    seconds, lines = [], []
    with started(folder, "-c", QUICK_LOG, "figures", "--profile", "smoke") as process:
        for line in process.stderr:
            lines.append(line)
            shown = re.fullmatch(r"0/1 notebooks.*\((\d+) s\)\n", line)
            seconds += [int(shown[1])] if shown else []
            if len(seconds) == 4:
                (folder / "enough").touch()
    assert process.wait() == 0 and len(seconds) >= 4
    assert all(earlier < later for earlier, later in pairwise(seconds))
    assert any("90_sleep" in line for line in lines)
    assert re.fullmatch(r"90_sleep  \d+ s\n", lines[-2]) and lines[-1].startswith("1/1 notebooks")
