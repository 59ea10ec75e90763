"""Records that an earlier version wrote (tests/command/earlier, by f35d1d6) are converted."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lib.command import migrate
from lib.runs.records import archive
from tests.checkouts import ROOT
from tests.runs import counting
from tests.runs.counting import Counting

EARLIER = Path(__file__).parent / "earlier"
FIRST, SECOND = (Counting("counting", seed=seed, steps=3) for seed in (0, 1))


@pytest.fixture
def earlier(tmp_path):
    """A copy: both records in results, the first with its arrays; the second whole in runs."""
    return Path(shutil.copytree(EARLIER, tmp_path / "earlier"))


def assert_converted(folder, tmp_path):
    """The records are those that the same runs leave now."""
    store, now = counting.store(folder), counting.store(tmp_path / "now")
    for run in (FIRST, SECOND):
        actual, desired = store.stored(run), now.run(run)
        assert actual.config == run and actual.metrics.equals(desired.metrics)
        assert actual.environment.keys() | {"device"} == desired.environment.keys()  # it came later
        assert actual.environment["data"] == {"sha256": "of digits"}
    assert store.stored(SECOND).arrays == {}
    for record in (store.stored(FIRST), store.stored(SECOND, whole=True)):
        arrays = now.stored(record.config).arrays
        assert list(record.arrays) == list(arrays)
        for name, desired in arrays.items():
            np.testing.assert_array_equal(record.arrays[name], desired, strict=True)


def test_records_are_converted_where_they_lie(earlier, tmp_path, capsys):
    for place in ("runs", "results"):
        migrate.main(str(earlier / place))
    assert "counting: 2 records converted" in capsys.readouterr().out
    assert_converted(earlier, tmp_path)
    names = {path.name for path in earlier.rglob("*") if path.is_file()}
    arrays = {f"{FIRST.name}.npz.xz", f"{SECOND.name}.npz"}
    assert names == {"records.jsonl", *arrays}


def test_records_are_added_to_those_of_another_place(earlier, tmp_path):
    store = counting.store(tmp_path / "target")
    other = Counting("counting", seed=2)
    store.ship(store.run(other))
    before = [path.read_bytes() for path in sorted(EARLIER.rglob("*")) if path.is_file()]
    for place in ("runs", "results"):
        migrate.main(str(earlier / place), str(tmp_path / "target" / place))
    assert_converted(tmp_path / "target", tmp_path)
    assert other.name in archive(store.results / "counting")
    assert [path.read_bytes() for path in sorted(earlier.rglob("*")) if path.is_file()] == before


def test_what_is_converted_is_skipped(earlier, capsys):
    for _ in range(2):
        migrate.main(str(earlier / "results"), str(earlier / "target"))
    assert capsys.readouterr().out.count("records converted") == 1


def test_records_that_came_later_are_converted_too(earlier, tmp_path):
    """Files of an earlier version beside an archive, as a merge leaves them."""
    for place in ("runs", "results"):
        migrate.main(str(earlier / place))
    shutil.copytree(EARLIER / "results", earlier / "results", dirs_exist_ok=True)
    with pytest.raises(ValueError, match="belongs to no record"):
        archive(earlier / "results" / "counting")
    migrate.main(str(earlier / "results"))
    assert_converted(earlier, tmp_path)


@pytest.mark.parametrize("words", [[], ["--help"], ["data/nowhere", "target"]])
def test_what_is_no_folder_is_refused_in_a_sentence(words):
    asked = [sys.executable, "-m", "lib.command.migrate", *words]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    sentence = f"error: {' '.join(words) or 'nothing'} names no folder to convert: give python -m"
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(sentence) and done.stderr.count("\n") == 1


class Stopped(BaseException):
    """The conversion is stopped here."""


@pytest.mark.faults("killed at any moment")
@pytest.mark.parametrize("function", ["replace", "unlink"])
@pytest.mark.parametrize("number", range(5))
def test_stopped_conversion_goes_on(function, number, earlier, tmp_path, monkeypatch):
    """Stopped before a file is put in its place, or removed."""
    call, calls = getattr(os, function), itertools.count()

    def stopping(*args, **options):
        if next(calls) == number:
            raise Stopped
        return call(*args, **options)

    monkeypatch.setattr(os, function, stopping)
    for place in ("runs", "results"):
        try:
            migrate.main(str(earlier / place))
        except Stopped:
            pass
    monkeypatch.undo()
    for place in ("runs", "results"):
        migrate.main(str(earlier / place))
    assert_converted(earlier, tmp_path)
    assert not list(earlier.rglob("*.csv"))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("results/counting/metrics.csv", b"1,", b"9,"),
        ("results/counting/records.json", b'"seconds": 0.5', b'"seconds": 0.6'),
        (f"results/counting/{FIRST.name}.npz", b"PK", b"PQ"),
        (f"runs/{SECOND.name}/metrics.csv", b"1,", b"9,"),
        (f"runs/{SECOND.name}/arrays.npz", b"PK", b"PQ"),
    ],
)
def test_damaged_record_is_not_converted(file, old, new, earlier, capsys):
    path = earlier / file
    path.write_bytes(path.read_bytes().replace(old, new))
    assert migrate.main(str(earlier / file.split("/")[0])) == 1
    said = capsys.readouterr().err
    assert "not as it was written" in said or "not what SHA256SUMS says" in said


def test_damaged_folder_is_named_and_the_others_are_tried(tmp_path, capsys):
    for name in ("a-0", "b-0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / migrate.ONE).write_text("{")
    assert migrate.main(str(tmp_path)) == 1
    said = capsys.readouterr().err
    assert all(f"error: {tmp_path / name} is not converted" in said for name in ("a-0", "b-0"))
