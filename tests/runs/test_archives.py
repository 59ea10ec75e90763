"""Archives: read as they were written, added to in any order, never half, never anything else."""

import dataclasses
import io
import itertools
import os
import shutil
import subprocess

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies
from hypothesis.extra import numpy as arrays_of

from lib._boundary import ROOT
from lib.runs.experiment import Contents
from lib.runs.records import RECORDS, Store, add, archive, files_of, line_of
from tests.runs import counting
from tests.runs.counting import Counting

PLAIN = pd.DataFrame({"epoch": [1, 2, 3], "accuracy": [0.1, 1 / 3, 0.9]})
MIXED = pd.DataFrame(
    {
        "epoch": [0, 10, "final"],
        "text": ['a, "quoted" comma', "two\nlines", "ünïcode − \u2028"],
        "whole": [3, -4, 2**40],
        "gaps": [1.5, np.nan, np.inf],
    }
)
EMPTY = pd.DataFrame(columns=["epoch", "accuracy"])
TABLES = {"plain": PLAIN, "mixed": MIXED, "empty": EMPTY, "other": PLAIN[["accuracy"]] * 2}
ARRAYS = {"degrees": np.arange(7, dtype=np.int16), "weights": np.float32([0.5, -0.0])}
RUNS = {name: Counting("counting", seed=seed) for seed, name in enumerate(TABLES)}
NAMES = {name: run.name for name, run in RUNS.items()}
STORE = Store({})  # without experiments no table is checked


def add_one(folder, name, arrays=None):
    facts = {"seconds": 1.5, "of": name}
    files = files_of(RUNS[name], Contents(TABLES[name], arrays or {}, facts), small=True)
    add(folder, {NAMES[name]: files})


@pytest.fixture
def folder(tmp_path):
    """Where two records are: "plain" with arrays, "mixed" without."""
    path = tmp_path / "counting"
    add_one(path, "plain", ARRAYS)
    add_one(path, "mixed")
    return path


def as_read(run, table):
    """A table as it comes from a file of its own."""
    return pd.read_csv(io.StringIO(run.table_text(table)))


def assert_holds(folder, *names):
    """The records with these names, and no others, are there to the last digit."""
    assert set(archive(folder)) == {NAMES[name] for name in names}
    for name in names:
        record = STORE.read(folder, NAMES[name])
        assert record.config == RUNS[name] and record.path == folder
        assert record.environment == {"seconds": 1.5, "of": name}
        desired = as_read(RUNS[name], TABLES[name])
        pd.testing.assert_frame_equal(record.metrics, desired, check_exact=True)


def assert_same_bits(actual, desired):
    assert (actual.shape, actual.dtype) == (desired.shape, desired.dtype)
    assert actual.tobytes() == desired.tobytes()


# ------------------------------------------------------------------------------------- reading


def test_missing_or_empty_folder_holds_no_record(tmp_path):
    assert archive(tmp_path) == archive(tmp_path / "missing") == {}


CELLS = strategies.one_of(
    strategies.integers(-(2**53), 2**53),
    strategies.floats(allow_nan=False),
    strategies.text(strategies.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8),
    strategies.none(),
)
ROWS = strategies.lists(strategies.tuples(CELLS, CELLS), min_size=1, max_size=5)


@hypothesis.given(ROWS)
@hypothesis.settings(max_examples=25)
def test_any_table_is_read_as_from_a_file_of_its_own(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("archive")
    table = pd.DataFrame(rows, columns=["a", "b"])
    run = RUNS["plain"]
    add(folder, {run.name: files_of(run, Contents(table, {}, {}))})
    actual = STORE.read(folder, run.name).metrics
    pd.testing.assert_frame_equal(actual, as_read(run, table), check_exact=True)


DTYPES = strategies.sampled_from("? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 >i4 >f8".split())
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)
WORDS = strategies.from_regex(r"[a-z.]{1,9}[0-9]", fullmatch=True)
STATES = strategies.dictionaries(WORDS, arrays_of.arrays(DTYPES, SHAPES), max_size=4)


@hypothesis.given(STATES, strategies.booleans())
@hypothesis.settings(max_examples=25)
def test_any_arrays_are_read_to_the_bit(tmp_path_factory, arrays, small):
    folder = tmp_path_factory.mktemp("archive")
    run = RUNS["plain"]
    add(folder, {run.name: files_of(run, Contents(PLAIN, arrays, {}), small=small)})
    actual = STORE.read(folder, run.name).arrays
    assert list(actual) == list(arrays)
    for name, desired in arrays.items():
        assert_same_bits(actual[name], desired)


def test_made_arrays_are_read_by_numpy_alone(tmp_path):
    path = counting.store(tmp_path).run(RUNS["plain"]).path
    with np.load(path / f"{NAMES['plain']}.npz") as arrays:
        assert {name: array.tolist() for name, array in arrays.items()} == {
            "step": [0, 1, 2, 3],
            "large": [0, 1, 2],
        }


def test_equal_records_give_equal_files():
    contents = Contents(PLAIN, ARRAYS, {})
    copies = Contents(PLAIN.copy(), {name: array.copy() for name, array in ARRAYS.items()}, {})
    assert files_of(RUNS["plain"], contents) == files_of(RUNS["plain"], copies)


def test_objects_are_no_arrays():
    with pytest.raises(ValueError, match="Object arrays"):
        files_of(RUNS["plain"], Contents(PLAIN, {"objects": np.array([None])}, {}))


def test_record_without_arrays_has_no_file(folder):
    assert STORE.read(folder, NAMES["mixed"]).arrays == {}
    assert {path.name for path in folder.iterdir()} == {RECORDS, f"{NAMES['plain']}.npz.xz"}


def test_added_record_is_seen_by_who_has_read_before(folder):
    before = archive(folder)
    add_one(folder, "other")
    assert_holds(folder, "plain", "mixed", "other")
    assert NAMES["other"] not in before


# -------------------------------------------------------------------------------------- adding


def test_order_of_adding_does_not_matter(tmp_path):
    texts = set()
    for order in itertools.permutations(["plain", "mixed", "other"]):
        folder = tmp_path / "-".join(order)
        for name in order:
            add_one(folder, name)
        assert_holds(folder, "plain", "mixed", "other")
        texts.add((folder / RECORDS).read_text())
    assert len(texts) == 1


def git(folder, *words):
    options = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *options, *words], cwd=folder, check=True, capture_output=True)


def test_records_that_two_branches_added_are_merged_by_git(tmp_path):
    """Side by side as well: no line depends on the one before."""
    folder = tmp_path / "data" / "results" / "counting"
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    add_one(folder, "plain")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "plain")
    for branch, names in (("ours", ["mixed"]), ("theirs", ["other", "empty"])):
        git(tmp_path, "checkout", "-q", "-b", branch, "main")
        for name in names:
            add_one(folder, name)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", branch)
    git(tmp_path, "merge", "-q", "ours", "-m", "both")
    assert_holds(folder, *TABLES)


def test_damaged_archive_is_not_added_to(folder):
    path = folder / RECORDS
    path.write_text(path.read_text()[:-10])
    before = path.read_bytes()
    with pytest.raises(ValueError, match="cannot be read"):
        add_one(folder, "other", ARRAYS)
    assert path.read_bytes() == before and len([*folder.iterdir()]) == 2


class Stopped(BaseException):
    """A writer is stopped here."""


@pytest.fixture
def stop_at(monkeypatch):
    """Let a writer be stopped just before, or just after, it puts a file in its place."""
    replace = os.replace

    def choose(number, when):
        calls = itertools.count()

        def stopped(source, target):
            now = next(calls) == number
            if now and when == "before":
                raise Stopped
            replace(source, target)
            if now:
                raise Stopped

        monkeypatch.setattr(os, "replace", stopped)

    yield choose
    monkeypatch.undo()


@pytest.mark.faults("killed at any moment")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [0, 1], ids=["line", "arrays"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "third"])
def test_stopped_shipper_loses_nothing_and_ends_when_it_is_called_again(
    first, number, when, tmp_path, stop_at, monkeypatch
):
    store = counting.store(tmp_path)
    others = [] if first else [RUNS["mixed"], RUNS["other"]]
    for run in others:
        store.ship(store.run(run))
    record = store.run(RUNS["plain"])
    stop_at(number, when)
    with pytest.raises(Stopped):
        store.ship(record)
    monkeypatch.undo()
    half = (number, when) in [(0, "after"), (1, "before")]
    assert list(store.stored(record.config).arrays) == ["step", "large"]
    if half:  # its line is there, its arrays are not: where no run is, they are named
        elsewhere = dataclasses.replace(store, runs=tmp_path / "none")
        with pytest.raises(ValueError, match=r"npz\.xz cannot be read .*delete it and run again"):
            dict(elsewhere.stored(record.config).arrays)
    for run in others:
        assert len(store.stored(run).arrays) == 2
    store.ship(record)
    again = store.stored(record.config)
    assert again.path == store.results / "counting" and list(again.arrays) == ["step", "large"]
    assert not list(tmp_path.rglob("*.part"))


# -------------------------------------------------------------------------------------- damage


@pytest.mark.faults("damaged records")
@pytest.mark.parametrize("file", [RECORDS, "{}.npz.xz"])
def test_every_flipped_bit_is_refused_or_harmless(file, tmp_path):
    """Not one reads as a record that is absent, or as other numbers."""
    add_one(tmp_path, "plain", {"degrees": np.arange(3, dtype=np.int16)})
    path = tmp_path / file.format(NAMES["plain"])
    written = path.read_bytes()
    desired = as_read(RUNS["plain"], PLAIN)
    outcomes = {"refused": 0, "harmless": 0}
    for place, bit in itertools.product(range(len(written)), range(8)):
        damaged = bytearray(written)
        damaged[place] ^= 1 << bit
        path.unlink()
        path.write_bytes(damaged)
        try:
            record = STORE.read(tmp_path, NAMES["plain"])
            assert list(archive(tmp_path)) == [NAMES["plain"]] and record.config == RUNS["plain"]
            assert record.environment == {"seconds": 1.5, "of": "plain"}
            assert record.metrics.equals(desired) and list(record.arrays) == ["degrees"]
            assert record.arrays["degrees"].tolist() == [0, 1, 2]
            outcomes["harmless"] += 1
        except ValueError as error:
            assert "cannot be read" in str(error)
            outcomes["refused"] += 1
    assert outcomes["refused"] > 0.99 * 8 * len(written), outcomes


DAMAGES = {
    "no text": lambda content: b"\xff\xfe" + content,
    "something else": lambda content: b"[1, 2]\n",
    "another line": lambda content: content + b"{}\n",
    "a line twice": lambda content: content + content,
}


@pytest.mark.faults("damaged records")
@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_lines_are_named_with_the_remedy(kind, folder):
    path = folder / RECORDS
    path.write_bytes(DAMAGES[kind](path.read_bytes()))
    sentence = rf"records in {folder} cannot be read \(.*\): restore the folder with git, or delete"
    with pytest.raises(ValueError, match=sentence):
        archive(folder)


@pytest.mark.faults("damaged records")
def test_lines_that_are_lost_are_named_by_their_arrays(folder):
    (line,) = [line for line in archive(folder).values() if line["name"] == NAMES["mixed"]]
    (folder / RECORDS).write_text(line_of(line))
    with pytest.raises(ValueError, match=f"{NAMES['plain']}.npz.xz belongs to no record"):
        archive(folder)


@pytest.mark.faults("damaged records")
def test_arrays_without_lines_are_refused(folder):
    (folder / RECORDS).unlink()
    with pytest.raises(ValueError, match=f"no {RECORDS} is there"):
        archive(folder)
