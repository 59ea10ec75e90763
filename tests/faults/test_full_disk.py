"""A disk that is full at any write: said in one sentence, nothing is half-written, work goes on."""

import contextlib
import dataclasses
import json
import os
import resource
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt

import papers
from lib import _boundary, checkpoints
from lib._boundary import NotWritten
from lib.command import cli, fresh, gallery
from lib.report import publishing
from lib.runs.experiment import Contents
from tests.runs import counting
from tests.runs.counting import Counting
from tests.stored import contents

pytestmark = pytest.mark.faults("a full disk")
RUN = Counting("counting", seed=1)
FULL = "no space is left to write .*: free some and repeat the command, which goes on from there$"


def many_rows(run, workspace):
    """A record of files of many sizes, from a few hundred bytes to many thousand."""
    checkpoints.save(workspace.folder / "checkpoint.pt", {"state": torch.arange(10)})
    values = np.random.default_rng(run.seed).random(9000)
    table = pd.DataFrame({"value": values[:300]})
    facts = {"data": {"sha256": "of digits"}, "notes": ["a fact"] * 100}
    return Contents(table, {"values": values}, facts)


def check_nothing(run, table):
    """The table of `many_rows` is not that of counting."""


@pytest.fixture(autouse=True)
def no_check(monkeypatch):
    monkeypatch.setattr(Counting, "check_table", check_nothing)


@pytest.fixture
def made(tmp_path):
    """A store in a folder of its own."""
    return counting.store(tmp_path / "disk", counting.experiment(make=many_rows))


@pytest.fixture
def desired(tmp_path):
    """Bytes of the record that is made where there is room."""
    record = counting.store(tmp_path / "room", counting.experiment(make=many_rows)).run(RUN)
    return contents(record)


def assert_nothing_half(store):
    """There is no record, and nothing of one but what the next start goes on from."""
    assert store.stored(RUN) is None
    assert not [path for path in store.runs.rglob("*") if path.suffix == ".part"]


@contextlib.contextmanager
def largest_file(n):
    """No file may become larger than n bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("n", [0, 1400, 20_000])
def test_file_that_may_not_grow_leaves_no_half_record(n, made, desired):
    """A limit on the size of files is named, and without it the run goes on."""
    with largest_file(n), pytest.raises(NotWritten, match="larger than this process may write"):
        made.run(RUN)
    assert_nothing_half(made)
    assert contents(made.run(RUN)) == desired


@pytest.fixture
def disk(tmp_path):
    """A disk of so many KiB, which may be made larger; only root has one."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(kib, *more):
        options = ",".join((f"size={kib}k", *more))
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no disk can be mounted: {done.stderr.strip()}")

    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root mounts a disk")
    yield mount
    while subprocess.run(["umount", str(folder)], capture_output=True).returncode == 0:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("kib", [4, 8, 12, 16, 20, 28, 40, 60, 80])
def test_disk_that_runs_full_leaves_no_half_record(kib, disk, made, desired):
    """Whichever write finds the disk full, nothing is half-written, and with room it goes on."""
    disk(kib)
    with pytest.raises(NotWritten, match=FULL):
        made.run(RUN)
    assert_nothing_half(made)
    disk(4096, "remount")
    assert contents(made.run(RUN)) == desired


# ------------------------------------------------------------ each write of its own, without root


def fill(path):
    """Let the file that is written beside ``path`` find the disk full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / f"{path.name}.{os.getpid()}.part").symlink_to("/dev/full")


def test_checkpoint_that_finds_the_disk_full_leaves_the_last_one(tmp_path):
    """The checkpoint before stays, and is gone on from."""
    path = tmp_path / "checkpoint.pt"
    checkpoints.save(path, {"epoch": 1})
    fill(path)
    with pytest.raises(NotWritten, match=FULL):
        checkpoints.save(path, {"epoch": 2})
    assert checkpoints.load(path) == {"epoch": 1} and list(tmp_path.iterdir()) == [path]
    checkpoints.save(path, {"epoch": 2})
    assert checkpoints.load(path) == {"epoch": 2}


@pytest.mark.parametrize("name", ["{run}.npz.xz", "records.jsonl"])
def test_shipped_records_stay_whole_when_the_disk_is_full(name, made):
    """Records of a clone are as they were; the new one is added when there is room, and read from
    the run until then.
    """
    first, second = made.run(RUN), made.run(Counting("counting", seed=2))
    made.ship(first)
    fill(made.results / "counting" / name.format(run=second.config.name))
    with pytest.raises(NotWritten, match=FULL):
        made.ship(second)
    for record in (made.stored(second.config), made.everything()[-1]):
        assert record.path == second.path and list(record.arrays) == list(second.arrays)
    assert made.stored(RUN).metrics.equals(first.metrics)
    made.ship(second)
    shipped = made.stored(second.config)
    assert shipped.path == made.results / "counting"
    assert list(shipped.arrays) == list(second.arrays)


def test_figure_stays_as_it_was_when_the_disk_is_full(tmp_path, monkeypatch):
    """No file of a figure is ever half of one."""
    monkeypatch.setattr(publishing, "FIGURES", tmp_path)
    place = tmp_path / "smoke" / "90_try"
    place.mkdir(parents=True)
    path = place / "curve.png"
    path.write_bytes(b"as it was")
    fill(path)
    fig, _ = plt.subplots()
    table = pd.DataFrame({"x": range(20_000)})
    with pytest.raises(NotWritten, match=FULL):
        publishing.save_figure(fig, "curve", "90_try", "smoke", table)
    assert path.read_bytes() == b"as it was" and not list(tmp_path.rglob("*.part"))
    publishing.save_figure(fig, "curve", "90_try", "smoke", table)
    plt.close(fig)
    assert path.read_bytes() != b"as it was"


def test_gallery_stays_as_it_was_when_the_disk_is_full(tmp_path, monkeypatch):
    """So does the page of all figures."""
    monkeypatch.setattr(_boundary, "FIGURES", tmp_path)
    page = tmp_path / "smoke" / "README.md"
    page.parent.mkdir()
    page.write_text("as it was")
    fill(page)
    with pytest.raises(NotWritten, match=FULL):
        gallery.write("smoke")
    assert page.read_text() == "as it was"
    assert gallery.write("smoke").read_text().startswith("# Figures")


def test_stamp_of_a_rendering_is_whole_or_missing(tmp_path):
    """A stamp that could not be written is none: the notebook is rendered again."""
    fill(tmp_path / fresh.STAMP)
    with pytest.raises(NotWritten, match=FULL):
        fresh.stamp(tmp_path, "sources")
    assert not fresh.is_fresh(tmp_path, "sources")
    fresh.stamp(tmp_path, "sources")
    assert fresh.is_fresh(tmp_path, "sources")


@pytest.mark.slow
def test_answer_of_a_command_is_whole_or_as_it_was(tmp_path, capsys, monkeypatch):
    """``--json FILE`` says in one sentence that there is no room, and fails."""
    own = dataclasses.replace(papers.STORE, runs=tmp_path / "runs")
    monkeypatch.setattr(papers, "STORE", own)
    path = tmp_path / "claims.json"
    path.write_text("[]")
    fill(path)
    assert cli.main(["claims", "--profile", "smoke", "--json", str(path)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: no space is left to write {path}: free some and repeat the command, which goes on"
        " from there"
    )
    assert json.loads(path.read_text()) == []


# ------------------------------------------------------------------------- what comes by the wire


def test_record_that_comes_by_the_wire_is_whole_or_missing(made, tmp_path, monkeypatch):
    """No record is half of what a worker sent, and it is stored when there is room."""
    other = counting.store(tmp_path / "worker", counting.experiment(make=many_rows)).run(RUN)
    files = {path.name: path.read_bytes() for path in other.path.iterdir()}
    write = Path.write_bytes

    def fail(path, content):
        with open("/dev/full", "wb") as full:
            full.write(content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(NotWritten, match=FULL):
        made.accept(RUN, files)
    assert made.stored(RUN) is None
    assert_nothing_half(made)
    monkeypatch.setattr(Path, "write_bytes", write)
    made.accept(RUN, files)
    assert contents(made.stored(RUN)) == contents(other)
