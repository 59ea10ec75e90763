"""Records on a shelf: read as they were added, in any order, and never half of one."""

import io
import itertools
import json
import os
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies

from lib.runs import packing, shelf
from lib.runs.config import from_fields
from tests.runs.counting import Counting

PLAIN = pd.DataFrame({"epoch": [1, 2, 3], "accuracy": [0.1, 1 / 3, 0.9]})
MIXED = pd.DataFrame(
    {
        "epoch": [0, 10, "final"],
        "text": ['a, "quoted" comma', "two\nlines", "ünïcode − "],
        "whole": [3, -4, 2**40],
        "gaps": [1.5, np.nan, np.inf],
    }
)
EMPTY = pd.DataFrame(columns=["epoch", "accuracy"])
TABLES = {"plain": PLAIN, "mixed": MIXED, "empty": EMPTY, "other": PLAIN[["accuracy"]] * 2}
ARRAYS = {"degrees": np.arange(7, dtype=np.int16), "weights": np.float32([0.5, -0.0])}
RUNS = {name: Counting("counting", seed=seed) for seed, name in enumerate(TABLES)}


def add(folder, name, arrays=None):
    shelf.add(folder, RUNS[name], TABLES[name], {"seconds": 1.5, "of": name}, arrays or {})


@pytest.fixture
def folder(tmp_path):
    """Where two records are: "plain" with arrays, "mixed" without."""
    path = tmp_path / "counting"
    add(path, "plain", ARRAYS)
    add(path, "mixed")
    return path


def as_read(run, table):
    """A table as it comes from a file of its own."""
    return pd.read_csv(io.StringIO(run.table_text(table)))


def assert_holds(folder, *names):
    """The records with these names, and no others, are there to the last digit."""
    book = shelf.book(folder)
    assert set(book.names) == {RUNS[name].name for name in names}
    for name in names:
        fields, facts, table = book.read(RUNS[name].name)
        assert from_fields(fields) == RUNS[name]
        assert facts == {"seconds": 1.5, "of": name}
        desired = as_read(RUNS[name], TABLES[name])
        pd.testing.assert_frame_equal(table, desired, check_exact=True)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ------------------------------------------------------------------------------------- reading


def test_folder_without_records_is_no_book(tmp_path):
    assert shelf.book(tmp_path) is None and shelf.book(tmp_path / "missing") is None
    assert list(shelf.books(tmp_path)) == list(shelf.names(tmp_path)) == []


@pytest.mark.parametrize("name", TABLES)
def test_record_is_read_as_it_was_added(name, tmp_path):
    add(tmp_path / "counting", name)
    assert_holds(tmp_path / "counting", name)


def test_tables_of_different_columns_lie_together(tmp_path):
    for name in TABLES:
        add(tmp_path / "counting", name)
    assert_holds(tmp_path / "counting", *TABLES)


def test_whole_numbers_stay_whole_beside_gaps_of_other_tables(folder):
    _, _, plain = shelf.book(folder).read(RUNS["plain"].name)
    assert plain["epoch"].dtype == int and list(plain) == ["epoch", "accuracy"]
    _, _, mixed = shelf.book(folder).read(RUNS["mixed"].name)
    assert mixed["whole"].tolist() == [3, -4, 2**40]
    assert mixed["gaps"].tolist()[::2] == [1.5, np.inf] and np.isnan(mixed["gaps"][1])


CELLS = strategies.one_of(
    strategies.integers(-(2**53), 2**53),
    strategies.floats(allow_nan=False),
    strategies.text(strategies.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8),
    strategies.none(),
)
ROWS = strategies.lists(strategies.tuples(CELLS, CELLS), min_size=1, max_size=5)


@hypothesis.given(ROWS, ROWS)
@hypothesis.settings(max_examples=40)
def test_any_two_tables_are_read_as_from_files_of_their_own(tmp_path_factory, first, second):
    folder = tmp_path_factory.mktemp("shelf")
    tables = [pd.DataFrame(first, columns=["a", "b"]), pd.DataFrame(second, columns=["b", "c"])]
    runs = [Counting("counting", seed=seed) for seed in range(2)]
    for run, table in zip(runs, tables, strict=True):
        shelf.add(folder, run, table, {}, {})
    for run, table in zip(runs, tables, strict=True):
        _, _, actual = shelf.book(folder).read(run.name)
        pd.testing.assert_frame_equal(actual, as_read(run, table), check_exact=True)


def test_arrays_are_read_as_they_were_added(folder):
    book = shelf.book(folder)
    actual = book.arrays(RUNS["plain"].name)
    assert list(actual) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert actual[name].dtype == array.dtype
        np.testing.assert_array_equal(actual[name], array)
    assert book.arrays(RUNS["mixed"].name) == {}


def test_arrays_are_read_once_when_the_first_is_asked_for(folder, monkeypatch):
    read = []
    original = packing.read_arrays
    monkeypatch.setattr(packing, "read_arrays", lambda path: read.append(path) or original(path))
    arrays = shelf.book(folder).arrays(RUNS["plain"].name)
    assert read == []
    assert "degrees" in arrays and len(arrays) == 2 and arrays["weights"][0] == 0.5
    assert read == [folder / f"{RUNS['plain'].name}.npz"]
    with pytest.raises(KeyError):
        arrays["unknown"]


def test_record_without_arrays_has_no_file(folder):
    files = [f"{RUNS['plain'].name}.npz", "metrics.csv", "records.json"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)


def test_names_of_all_books_are_known(folder, tmp_path):
    add(tmp_path / "later", "other")
    desired = [RUNS[name].name for name in ("mixed", "plain", "other")]
    assert sorted(shelf.names(tmp_path)) == sorted(desired)
    assert [book.folder.name for book in shelf.books(tmp_path)] == ["counting", "later"]


def test_added_record_is_seen_by_who_has_read_before(folder):
    before = shelf.book(folder)
    add(folder, "other")
    assert_holds(folder, "plain", "mixed", "other")
    assert RUNS["other"].name not in before.names


# -------------------------------------------------------------------------------------- adding


def test_order_of_adding_does_not_matter(tmp_path):
    for order in itertools.permutations(["plain", "mixed", "other"]):
        folder = tmp_path / "-".join(order)
        for name in order:
            add(folder, name)
        assert_holds(folder, "plain", "mixed", "other")


def test_records_are_listed_by_name_whatever_came_first(folder, tmp_path):
    add(folder, "other")
    written = json.loads((folder / shelf.RECORDS).read_text())
    assert list(written) == sorted(written)
    column = pd.read_csv(folder / shelf.METRICS, dtype=str)["run"].drop_duplicates()
    assert column.tolist() == [name.rpartition("-")[2] for name in written]


def test_books_to_which_two_branches_added_can_be_put_together_by_lines(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder, name in ((ours, "mixed"), (theirs, "other")):
        for run in (RUNS["plain"], RUNS[name]):
            shelf.add(folder, run, TABLES["plain"], {"seconds": 1.5}, {})
    rows = (ours / shelf.METRICS).read_text()
    for line in (theirs / shelf.METRICS).read_text().splitlines(keepends=True):
        rows += "" if line in rows else line
    (ours / shelf.METRICS).write_text(rows)
    lines = (theirs / shelf.RECORDS).read_text().splitlines()
    (theirs_alone,) = [line for line in lines if RUNS["other"].name in line]
    first, *others = (ours / shelf.RECORDS).read_text().splitlines()
    merged = [first, theirs_alone.rstrip(",") + ",", *others]
    (ours / shelf.RECORDS).write_text("\n".join(merged))
    book = shelf.book(ours)
    assert set(book.names) == {RUNS[name].name for name in ("plain", "mixed", "other")}
    desired = as_read(RUNS["plain"], TABLES["plain"])
    for name in book.names:
        pd.testing.assert_frame_equal(book.read(name)[2], desired, check_exact=True)


def test_record_that_was_taken_away_can_be_added_again(folder):
    entries = json.loads((folder / shelf.RECORDS).read_text())
    del entries[RUNS["plain"].name]
    (folder / shelf.RECORDS).write_text(json.dumps(entries))
    add(folder, "other")
    assert_holds(folder, "mixed", "other")
    add(folder, "plain")
    assert_holds(folder, "mixed", "other", "plain")


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
@pytest.mark.parametrize("number", [0, 1, 2], ids=["arrays", "rows", "entry"])
def test_stopped_writer_loses_nothing_and_shows_nothing_half(
    number, when, folder, stop_at, monkeypatch
):
    stop_at(number, when)
    with pytest.raises(Stopped):
        add(folder, "other", ARRAYS)
    monkeypatch.undo()
    complete = (number, when) == (2, "after")
    assert_holds(folder, "plain", "mixed", *["other"] * complete)
    add(folder, "other", ARRAYS)
    add(folder, "empty")
    assert_holds(folder, "plain", "mixed", "other", "empty")
    assert set(shelf.book(folder).arrays(RUNS["other"].name)) == set(ARRAYS)


def test_rows_without_an_entry_go_with_the_next_record(folder, stop_at, monkeypatch):
    stop_at(1, "before")  # without arrays: after the rows, before the entry
    with pytest.raises(Stopped):
        add(folder, "other")
    assert len(pd.read_csv(folder / shelf.METRICS)) == 9
    monkeypatch.undo()
    add(folder, "empty")
    assert_holds(folder, "plain", "mixed", "empty")
    assert len(pd.read_csv(folder / shelf.METRICS)) == 6


def test_nothing_is_left_behind(folder):
    assert not [path for path in folder.iterdir() if path.suffix == ".part"]


# -------------------------------------------------------------------------------------- damage


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "half":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "without its last digits":
        path.write_bytes(content[:-3])
    elif kind == "no text":
        path.write_bytes(b"\xff\xfe" + content)
    elif kind == "something else":
        path.write_text("[1, 2]\n")


DAMAGES = ["missing", "empty", "half", "without its last digits", "no text", "something else"]
CASES = [*itertools.product([shelf.METRICS, shelf.RECORDS], DAMAGES)]
CASES.remove((shelf.RECORDS, "missing"))  # no book at all


@pytest.mark.faults("damaged records")
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_damaged_book_is_named_with_the_remedy(name, kind, folder):
    damage(folder / name, kind)
    sentence = rf"records in {folder} cannot be read \(.*\): restore the folder with git, or delete"
    with pytest.raises(ValueError, match=sentence):
        shelf.book(folder)


@pytest.mark.faults("damaged records")
def test_lost_row_is_named(folder):
    lines = (folder / shelf.METRICS).read_text().splitlines(keepends=True)
    (folder / shelf.METRICS).write_text("".join(lines[:-1]))
    name = max(RUNS["plain"].name, RUNS["mixed"].name)
    with pytest.raises(ValueError, match=rf"\(2 of 3 rows of {name}\)"):
        shelf.book(folder)


def test_damaged_book_is_not_written_to(folder):
    damage(folder / shelf.METRICS, "half")
    before = contents(folder)
    with pytest.raises(ValueError, match="cannot be read"):
        add(folder, "other", ARRAYS)
    assert contents(folder) == before
