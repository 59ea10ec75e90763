"""A record of which a file is damaged, lost or another's is named, and never half-read."""

import shutil

import numpy as np
import pytest

from lib import checkpoints
from lib.runs import shelf
from tests.runs import counting
from tests.runs.counting import Counting

pytestmark = pytest.mark.faults("damaged records")
RUN, OTHER = Counting("counting", seed=3), Counting("counting", seed=4)
FILES = ("config.json", "environment.json", "metrics.csv", "arrays.npz", "SHA256SUMS")
BOOK = ("records.json", "metrics.csv", f"{RUN.name}.npz")


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


def damage(path, kind, other):
    """Damage a file in one of the ways below."""
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "bit-flipped":
        flip(path, 0.5)
    elif kind == "swapped":
        shutil.copy(other, path)


KINDS = ("truncated", "empty", "bit-flipped", "swapped")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_file_of_a_record_is_named(name, kind, made):
    """Of a record on this machine, every file, in every way."""
    path = made.stored(RUN).path
    damage(path / name, kind, made.stored(OTHER).path / name)
    with pytest.raises(ValueError, match=f"record .*{RUN.name} cannot be read.*run again"):
        made.stored(RUN)
    assert len(made.stored(OTHER).metrics) == OTHER.steps
    shutil.rmtree(path)
    assert made.run(RUN).config == RUN


@pytest.mark.parametrize("name", FILES[:-1])
@pytest.mark.parametrize("share", [0, 0.2, 0.7, 0.999])
def test_flipped_bits_of_a_record_are_named(name, share, made):
    """Wherever in a file the bits lie."""
    path = made.stored(RUN).path
    flip(path / name, share)
    with pytest.raises(ValueError, match=f"{name} is not what SHA256SUMS says"):
        made.stored(RUN)


@pytest.mark.parametrize("name", FILES[:-1])
def test_missing_file_of_a_record_is_named(name, made):
    """A file that is gone."""
    path = made.stored(RUN).path
    (path / name).unlink()
    with pytest.raises(ValueError, match=f"record {path} cannot be read .*{name}"):
        made.stored(RUN)


def test_record_in_the_folder_of_another_is_named(made):
    """A whole record that lies where another belongs."""
    path = made.stored(RUN).path
    shutil.rmtree(path)
    shutil.copytree(made.stored(OTHER).path, path)
    for read in (made.stored, made.run):
        with pytest.raises(ValueError, match=f"record {path} holds {OTHER.name}: delete"):
            read(RUN)


def test_record_without_checksums_is_read_and_its_damage_named(made):
    """Records of earlier versions have no checksums; what contradicts itself is named."""
    path = made.stored(RUN).path
    (path / "SHA256SUMS").unlink()
    assert len(made.stored(RUN).metrics) == RUN.steps
    lines = (path / "metrics.csv").read_text().splitlines(keepends=True)
    (path / "metrics.csv").write_text("".join(lines[:-1]))
    with pytest.raises(ValueError, match=r"cannot be read \(metrics.csv holds 3 of 4 steps\)"):
        made.stored(RUN)


# ----------------------------------------------------------------------- records that were shipped


@pytest.fixture
def shipped(made):
    """The store, whose records lie in one book."""
    for run in (RUN, OTHER):
        made.ship(made.stored(run))
    shutil.rmtree(made.runs)
    return made


def everything(store):
    """All that the record of the run says."""
    record = store.stored(RUN)
    arrays = {name: array.tolist() for name, array in record.arrays.items()}
    return record.metrics.to_csv(), arrays, record.environment, record.config


@pytest.mark.parametrize("name", BOOK)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_file_of_shipped_records_is_named(name, kind, shipped, tmp_path):
    """Of records that a clone brings, every file, in every way."""
    folder = shipped.results / "counting"
    elsewhere = store_in(tmp_path / "elsewhere")
    elsewhere.ship(elsewhere.run(OTHER))
    other = elsewhere.results / "counting" / name.replace(RUN.name, OTHER.name)
    damage(folder / name, kind, other)
    if (name, kind) == ("records.json", "swapped"):
        assert shipped.stored(RUN) is None  # whole, but another's: it has no such record
        return
    with pytest.raises(ValueError, match="cannot be read .*: restore .* with git, or delete"):
        everything(shipped)


@pytest.mark.parametrize("name", BOOK)
@pytest.mark.parametrize("share", np.linspace(0, 0.999, 12).round(3).tolist())
def test_flipped_bits_of_shipped_records_are_never_read(name, share, shipped):
    """What is read after bits were flipped is what was written, or an error."""
    desired = everything(shipped)
    flip(shipped.results / "counting" / name, share)
    shelf._load.cache_clear()
    try:
        assert everything(shipped) == desired  # the bits belonged to the other record
    except ValueError as error:
        assert "cannot be read" in str(error)
    except AttributeError:
        assert shipped.stored(RUN) is None  # its name is another


def test_missing_arrays_of_a_shipped_record_are_named(shipped):
    """A record whose arrays are gone still lists, and says what it lacks."""
    (shipped.results / "counting" / f"{RUN.name}.npz").unlink()
    record = shipped.stored(RUN)
    assert list(record.metrics["step"]) == [1, 2, 3, 4] and len(shipped.everything()) == 2
    with pytest.raises(ValueError, match=f"{RUN.name}.npz cannot be read .*: restore it with git"):
        record.arrays["step"]


def test_damaged_fields_of_a_shipped_record_are_named(shipped):
    """A kind of run that nobody knows."""
    path = shipped.results / "counting" / "records.json"
    path.write_text(path.read_text().replace('"Counting"', '"Countin"'))
    with pytest.raises(ValueError, match=f"record {RUN.name} in .*: restore the folder with git"):
        shipped.stored(RUN)


# ------------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("kind", KINDS[:2])
def test_damaged_checkpoint_is_named(kind, tmp_path):
    """It is never gone on from, and the sentence says how to start anew."""
    path = tmp_path / "checkpoint.pt"
    checkpoints.save(path, {"format": "one", "epoch": 3})
    damage(path, kind, None)
    with pytest.raises(ValueError, match=f"checkpoint {path} cannot be read .*delete it to start"):
        checkpoints.load(path, "one")


@pytest.mark.parametrize("share", np.linspace(0, 0.999, 8).round(3).tolist())
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
