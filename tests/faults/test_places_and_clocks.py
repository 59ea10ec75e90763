"""Read-only places, two writers, stale locks and a clock that was set back."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import papers
from lib import _boundary, data
from lib._boundary import NotWritten
from lib.command import cli, fresh, notebooks
from tests.checkouts import write_notebook
from tests.runs import counting
from tests.runs.counting import Counting

RUN = Counting("counting", seed=5)


# ----------------------------------------------------------------------------------- read-only


@pytest.fixture
def read_only():
    """Make folders read-only until the test ends: root needs a mount for that."""
    with contextlib.ExitStack() as stack:
        yield lambda folder: stack.enter_context(protected(folder))


@contextlib.contextmanager
def protected(folder):
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    place = str(folder)
    if shutil.which("mount") is None:
        pytest.skip("there is no mount, and root writes everywhere else")
    done = subprocess.run(["mount", "--bind", place, place], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no folder can be made read-only: {done.stderr.strip()}")
    subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
    yield
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def made(tmp_path):
    store = counting.store(tmp_path, counting.experiment(configs=lambda profile: [RUN]))
    store.ship(store.run(RUN))
    return store


SENTENCE = "cannot be written, as its place is read-only: .* SPARSE_RUNS_DIR"


@pytest.mark.faults("a read-only store")
def test_records_of_a_read_only_store_are_read(made, read_only):
    """What is stored is loaded, though not even a lock can be written."""
    read_only(made.runs)
    read_only(made.results)
    assert made.run(RUN, progress=lambda done: pytest.fail("made again")).config == RUN
    assert made.stored(RUN).path == made.results / "counting"


@pytest.mark.faults("a read-only store")
def test_run_that_a_read_only_store_lacks_is_refused_in_a_sentence(made, read_only):
    """A run that would have to be made is refused, with the way out."""
    read_only(made.runs)
    with pytest.raises(NotWritten, match=SENTENCE):
        made.run(Counting("counting", seed=6))


@pytest.mark.faults("a read-only store")
def test_shipping_into_a_read_only_folder_is_refused_unless_it_is_there(made, read_only):
    """A record that is shipped already is no reason to write."""
    other = made.run(Counting("counting", seed=6))
    read_only(made.results)
    made.ship(made.stored(RUN, whole=True))
    with pytest.raises(NotWritten, match=SENTENCE):
        made.ship(other)


@pytest.mark.faults("a read-only store")
@pytest.mark.parametrize(("words", "status"), [((), 0), (("--seeds", "7"), 1)])
def test_command_on_a_read_only_store(words, status, made, read_only, monkeypatch, capsys):
    """A command loads what is there, and says in one line what it cannot make."""
    monkeypatch.setattr(papers, "STORE", made)
    monkeypatch.setattr(papers, "EXPERIMENTS", made.experiments)
    read_only(made.runs)
    read_only(made.results)
    assert cli.main(["run", "counting", "--profile", "paper", *words]) == status
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(errors) == status and all("read-only" in line for line in errors)


# --------------------------------------------------------------------------- two writers, locks


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A notebook, and an empty folder for its figures."""
    monkeypatch.setattr(_boundary, "FIGURES", tmp_path / "figures")
    book = tmp_path / "99_fine.ipynb"
    write_notebook(book, "1 + 1")
    notebooks.folder_of(book, "smoke").mkdir(parents=True)
    return book


@pytest.mark.faults("two writers")
def test_notebook_that_another_process_renders_is_refused_by_name(book):
    """Two renderers never write the same figures."""
    folder = notebooks.folder_of(book, "smoke")
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        (sentence,) = notebooks.execute_all([book], "smoke", 1)
    finally:
        os.close(handle)
    assert "99_fine is being rendered into" in sentence and "another process: wait" in sentence
    assert list(folder.iterdir()) == []


@pytest.mark.faults("stale locks")
def test_what_a_dead_renderer_left_is_no_obstacle(book):
    """Halves of figures and of a notebook are removed by the next rendering."""
    folder = notebooks.folder_of(book, "smoke")
    (folder / ".rendering").mkdir()
    (folder / ".rendering" / book.name).write_text("{")
    (folder / "curve.svg.part").write_text("<svg")
    assert notebooks.execute_all([book], "smoke", 1) == []
    assert sorted(path.name for path in folder.iterdir()) == [fresh.STAMP, book.name]


# ------------------------------------------------------------------------------------- the clock


HOUR = 3600 * 10**9


def set_back(path, hours=24):
    """Let a file have been written so many hours ago."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - hours * HOUR))


@pytest.mark.faults("a clock that was set back")
@pytest.mark.parametrize("hours", [24, 0, -24])
def test_archive_that_was_written_before_it_was_read_is_read_again(hours, tmp_path):
    """Records that are shipped while the clock is set back or forward are seen."""
    store = counting.store(tmp_path)
    store.ship(store.run(RUN))
    first = store.stored(RUN).path / "records.jsonl"
    stamp = first.stat().st_mtime_ns
    other = Counting("counting", seed=6)
    store.ship(store.run(other))
    os.utime(first, ns=(stamp, stamp - hours * HOUR))
    assert store.stored(other).path == store.results / "counting"


@pytest.mark.faults("a clock that was set back")
def test_notebook_that_was_changed_in_the_past_is_rendered_again(book):
    """What must be rendered follows from contents; dates are not looked at."""
    folder = notebooks.folder_of(book, "smoke")
    fresh.stamp(folder, fresh.of_notebook(book, "smoke", fresh.common()))
    for path in (book, folder / fresh.STAMP):
        set_back(path, -24)
    assert notebooks.out_of_date([book], "smoke") == []
    write_notebook(book, "1 + 2")
    set_back(book)
    assert notebooks.out_of_date([book], "smoke") == [book]


@pytest.mark.faults("a clock that was set back")
def test_no_module_reads_the_clock_on_the_wall():
    """Durations come from clocks that cannot be set; dates decide nothing."""
    reading = re.compile(r"\btime\.time\(|\btime_ns\(\)|\b(datetime|date)\.(now|today|utcnow)\(")
    modules = sorted((_boundary.ROOT / "lib").rglob("*.py"))
    found = [path for path in modules if reading.search(path.read_text(encoding="utf-8"))]
    assert len(modules) > 50 and found == []


@pytest.mark.faults("a read-only store")
def test_data_folder_that_is_read_only_is_read(tmp_path, read_only, monkeypatch):
    """Data are read where they are; nothing is written beside them."""
    x = np.zeros((20, 500))
    y = np.resize([-1, 1], 20)
    np.savez(Path(tmp_path, "madelon.npz"), x_train=x, y_train=y, x_test=x, y_test=y)
    monkeypatch.setenv("SPARSE_DATA_DIR", str(tmp_path))
    read_only(tmp_path)
    assert data.load("madelon").source == "SPARSE_DATA_DIR"
