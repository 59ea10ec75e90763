"""A record of which a file is damaged, lost or another's is named, and never half-read."""

import errno
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from lib import checkpoints
from lib.runs.records import RECORDS
from tests.runs import counting
from tests.runs.counting import Counting
from tests.stored import rewrite

pytestmark = pytest.mark.faults("damaged records")
RUN, OTHER = Counting("counting", seed=3), Counting("counting", seed=4)
FILES = (RECORDS, "{}.npz")  # of a record that was made, with its name
SHIPPED = (RECORDS, "{}.npz.xz")


def count_with_seed(run, workspace):
    """A record of which every file is another for another seed."""
    contents = counting.count(run, workspace)
    contents.facts["seed"] = run.seed
    contents.arrays["step"] += run.seed
    return contents


def store_in(folder):
    return counting.store(folder, counting.experiment(make=count_with_seed))


@pytest.fixture
def made(tmp_path):
    """A store with two records."""
    store = store_in(tmp_path)
    for run in (RUN, OTHER):
        store.run(run)
    return store


def flip(path, share):
    """Change a few bits of one byte, at this share of a file."""
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 0x55
    path.write_bytes(content)


KINDS = {  # of damage, done to a file beside another
    "truncated": lambda path, _: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path, _: path.write_bytes(b""),
    "bit-flipped": lambda path, _: flip(path, 0.5),
    "swapped": lambda path, other: shutil.copy(other, path),
}


def everything(store):
    """All that the record of the run says; None if it reads as one that was not made."""
    record = store.stored(RUN)
    if record is None:
        return None
    arrays = {name: array.tolist() for name, array in record.arrays.items()}
    return record.metrics.to_csv(), arrays, record.environment, record.config


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_file_of_a_record_is_named(name, kind, made):
    """Of a record on this machine, every file, in every way."""
    path = made.stored(RUN).path
    other = made.stored(OTHER).path / name.format(OTHER.name)
    KINDS[kind](path / name.format(RUN.name), other)
    with pytest.raises(ValueError, match=f"{RUN.name}.* cannot be read.*run again"):
        everything(made)
    assert len(made.stored(OTHER).metrics) == OTHER.steps
    shutil.rmtree(path)
    assert made.run(RUN).config == RUN


@pytest.mark.parametrize("name", FILES)
def test_missing_file_of_a_record_is_named(name, made):
    """A file that is gone."""
    (made.stored(RUN).path / name.format(RUN.name)).unlink()
    with pytest.raises(ValueError, match="cannot be read .*: restore the folder with git, or del"):
        everything(made)


def fail_by(error):
    """What raises this error, whatever it is asked."""

    def fail(*_, **__):
        raise error

    return fail


SCARCE = [OSError(number, os.strerror(number)) for number in (errno.EMFILE, errno.EACCES)]
SCARCE += [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]


@pytest.mark.parametrize("error", SCARCE, ids=repr)
def test_file_that_cannot_be_opened_now_is_not_called_damaged(error, made, tmp_path, monkeypatch):
    """Of a record or a checkpoint: nobody is told to delete a good file."""
    path = tmp_path / "checkpoint.pt"
    checkpoints.save(path, {"epoch": 3})
    record = made.stored(RUN)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail_by(error))
        patch.setattr(zipfile, "ZipFile", fail_by(error))
        for read in (lambda: dict(record.arrays), lambda: checkpoints.load(path)):
            with pytest.raises(type(error)):
                read()
    assert len(record.arrays) == 2 and checkpoints.load(path) == {"epoch": 3}


def test_damaged_record_is_not_made_again_over_what_is_there(made):
    """Who asks for the run is told of the damage."""
    path = made.stored(RUN).path
    flip(path / FILES[0], 0.5)
    before = (path / FILES[0]).read_bytes()
    with pytest.raises(ValueError, match="cannot be read"):
        made.make(RUN)
    assert (path / FILES[0]).read_bytes() == before


def test_record_in_the_folder_of_another_is_named(made):
    """A whole record that lies where another belongs."""
    path = made.stored(RUN).path
    shutil.rmtree(path)
    shutil.copytree(made.stored(OTHER).path, path)
    for read in (made.stored, made.run):
        with pytest.raises(ValueError, match=rf"{RUN.name} .*the folder holds {OTHER.name}"):
            read(RUN)


# ----------------------------------------------------------------------- records that were shipped


@pytest.fixture
def shipped(made):
    """The store, whose records lie in one archive."""
    for run in (RUN, OTHER):
        made.ship(made.stored(run))
    shutil.rmtree(made.runs)
    return made


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_file_of_shipped_records_is_named(name, kind, shipped, tmp_path):
    """Of records that a clone brings, every file, in every way."""
    folder = shipped.results / "counting"
    elsewhere = store_in(tmp_path / "elsewhere")
    elsewhere.ship(elsewhere.run(OTHER))
    other = elsewhere.results / "counting" / name.format(OTHER.name)
    KINDS[kind](folder / name.format(RUN.name), other)
    with pytest.raises(ValueError, match="cannot be read .*: restore .* with git, or delete"):
        everything(shipped)


def test_missing_arrays_of_a_shipped_record_are_named(shipped):
    """A record whose arrays are gone still lists, and says what it lacks."""
    (shipped.results / "counting" / SHIPPED[1].format(RUN.name)).unlink()
    record = shipped.stored(RUN)
    assert list(record.metrics["step"]) == [1, 2, 3, 4] and len(shipped.everything()) == 2
    with pytest.raises(ValueError, match=f"{RUN.name}.npz.xz cannot be read .*: restore"):
        record.arrays["step"]


def test_kind_of_a_shipped_record_that_nobody_knows_is_named(shipped):
    """As one of a later version."""
    folder = shipped.results / "counting"
    rewrite(folder, RUN.name, config=lambda fields: fields | {"kind": "Countin"})
    with pytest.raises(ValueError, match=f"record {RUN.name} in .*unknown kind of run 'Countin'"):
        shipped.stored(RUN)


# ------------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("share", [0, 0.25, 0.45, 0.75, 0.999])
def test_flipped_bits_of_a_checkpoint_are_never_read(share, tmp_path):
    """What is read after bits were flipped is what was written, or an error."""
    path = tmp_path / "checkpoint.pt"
    state = {"format": "one", "values": list(range(300))}
    checkpoints.save(path, state)
    flip(path, share)
    try:
        assert checkpoints.load(path, "one") == state
    except ValueError as error:
        assert str(path) in str(error)
