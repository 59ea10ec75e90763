"""A disk that is full at any write: said in one sentence, nothing is half-written, work goes on."""

import contextlib
import dataclasses
import os
import re
import resource
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


@pytest.fixture(autouse=True)
def no_check(monkeypatch):
    """The table of `many_rows` is not that of counting."""
    monkeypatch.setattr(Counting, "check_table", lambda run, table: None)


def store_in(folder):
    return counting.store(folder, counting.experiment(make=many_rows))


@pytest.fixture
def made(tmp_path):
    """A store in a folder of its own."""
    return store_in(tmp_path / "disk")


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
def test_file_that_may_not_grow_leaves_no_half_record(n, made, tmp_path):
    """A limit on the size of files is named, and without it the run goes on."""
    desired = contents(store_in(tmp_path / "room").run(RUN))
    with largest_file(n), pytest.raises(NotWritten, match="larger than this process may write"):
        made.run(RUN)
    assert_nothing_half(made)
    assert contents(made.run(RUN)) == desired


# ------------------------------------------------------------ each write of its own, without root


def fill(path):
    """Let the file that is written beside ``path`` find the disk full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / f"{path.name}.{os.getpid()}.part").symlink_to("/dev/full")


def write_figure(path, monkeypatch):
    monkeypatch.setattr(publishing, "FIGURES", path.parents[2])
    fig, _ = plt.subplots()
    table = pd.DataFrame({"x": range(20_000)})
    try:
        publishing.save_figure(fig, path.stem, path.parent.name, "smoke", table)
    finally:
        plt.close(fig)


def write_gallery(path, monkeypatch):
    monkeypatch.setattr(_boundary, "FIGURES", path.parents[1])
    gallery.write("smoke")


def write_answer(path, monkeypatch):
    monkeypatch.setattr(papers, "STORE", dataclasses.replace(papers.STORE, runs=path.parent))
    if cli.main(["claims", "--profile", "smoke", "--json", str(path)]) == 1:
        raise NotWritten("what the command says")


WRITERS = {
    "checkpoint.pt": lambda path, _: checkpoints.save(path, {"epoch": 2}),
    "smoke/90_try/curve.png": write_figure,
    "smoke/README.md": write_gallery,
    fresh.STAMP: lambda path, _: fresh.stamp(path.parent, "sources"),
}


SLOW = pytest.param("claims.json", marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [*WRITERS, SLOW])
def test_file_stays_as_it_was_when_the_disk_is_full(name, tmp_path, monkeypatch, capsys):
    """It is never half of one, and is written when there is room."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"as it was")
    fill(path)
    write = WRITERS.get(name, write_answer)
    with pytest.raises(NotWritten) as error:
        write(path, monkeypatch)
    said = f"{error.value}\n{capsys.readouterr().err}"
    assert re.search(FULL, said, re.MULTILINE)
    assert path.read_bytes() == b"as it was" and not list(tmp_path.rglob("*.part"))
    write(path, monkeypatch)
    assert path.read_bytes() != b"as it was"


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


# ------------------------------------------------------------------------- what comes by the wire


def test_record_that_comes_by_the_wire_is_whole_or_missing(made, tmp_path, monkeypatch):
    """No record is half of what a worker sent, and it is stored when there is room."""
    other = store_in(tmp_path / "worker").run(RUN)
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
