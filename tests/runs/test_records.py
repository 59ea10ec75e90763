"""Stores: a run is made once, by whom- and whenever, and what is stored is whole or named."""

import dataclasses
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from lib import _boundary, data
from lib.runs import records
from lib.runs.records import RECORDS
from tests import processes
from tests.runs import counting
from tests.runs.counting import Counting
from tests.stored import contents, rewrite

RUN = Counting("counting", seed=3)
ARRAYS = f"{RUN.name}.npz"


@pytest.fixture
def made(tmp_path):
    """A store of an experiment that counts."""
    return counting.store(tmp_path)


def assert_same(actual, desired):
    """The records say the same, to the last digit."""
    assert actual.config == desired.config and actual.environment == desired.environment
    pd.testing.assert_frame_equal(actual.metrics, desired.metrics, check_exact=True)
    assert list(actual.arrays) == list(desired.arrays)
    for name, array in desired.arrays.items():
        np.testing.assert_array_equal(actual.arrays[name], array)


# -------------------------------------------------------------------------------------- making


def test_record_is_made_once_and_then_loaded(made):
    first = made.run(RUN)
    stamp = (first.path / RECORDS).stat().st_mtime_ns
    again = made.run(RUN, progress=lambda done: pytest.fail("made again"))
    assert (again.path / RECORDS).stat().st_mtime_ns == stamp
    assert_same(again, first)


def test_facts_that_a_reader_changes_stay_as_they_are_stored(made):
    made.run(RUN).environment["seconds"] = "mine"
    assert made.stored(RUN).environment["seconds"] != "mine"


def test_nothing_but_the_record_and_its_lock_is_left(made):
    made.run(RUN)
    assert {path.name for path in made.runs.iterdir()} == {RUN.name, f"{RUN.name}.lock"}
    assert {path.name for path in (made.runs / RUN.name).iterdir()} == {RECORDS, ARRAYS}


def test_checkpoint_left_beside_a_record_is_removed(made):
    """A process that is killed between the two leaves both. The checkpoint goes when any run is
    made; that of a run without a record stays.
    """
    other = dataclasses.replace(RUN, seed=4)
    with pytest.raises(ValueError, match="cannot count to 3"):
        made.run(dataclasses.replace(RUN, fails_at=3))
    (unfinished,) = made.runs.glob("*.work")
    made.run(RUN)
    made.work_of(RUN).mkdir()
    (made.work_of(RUN) / "checkpoint.json").write_text("{}")
    made.run(other)
    assert list(made.runs.glob("*.work")) == [unfinished]


def test_record_of_somebody_else_that_may_not_be_looked_into_stops_nothing(made, monkeypatch):
    made.work_of(RUN).mkdir(parents=True)
    exists = records.Path.exists

    def refuse(path, **how):
        if path.parent.name == RUN.name:
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path, **how)

    with monkeypatch.context() as patch:
        patch.setattr(records.Path, "exists", refuse)
        made.run(dataclasses.replace(RUN, seed=4))
    assert made.work_of(RUN).exists()


def test_unknown_experiment_is_refused_with_the_nearest(made):
    sentence = "unknown experiment 'countin': did you mean 'counting'"
    with pytest.raises(ValueError, match=sentence):
        made.run(Counting("countin"))
    with pytest.raises(ValueError, match=sentence):
        made.of("countin", "paper")


def test_failed_run_leaves_no_record_and_goes_on_later(made):
    failing = Counting("counting", fails_at=3)
    with pytest.raises(ValueError, match="cannot count to 3"):
        made.run(failing)
    assert made.stored(failing) is None
    checkpoint = json.loads((made.runs / f"{failing.name}.work" / "checkpoint.json").read_text())
    assert len(checkpoint) == 2


@pytest.mark.faults("killed at any moment")
@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.ci
def test_killed_run_resumes_to_the_same_bits(steps, made, tmp_path):
    processes.kill_after(made, RUN, steps)
    assert not (made.runs / RUN.name).exists()
    resumed = made.run(RUN)
    assert resumed.environment["begun"] == steps + (steps > 0)  # it was killed while it told
    elsewhere = counting.store(tmp_path / "elsewhere")
    assert contents(resumed) == contents(elsewhere.run(RUN))


@pytest.mark.faults("two writers")
def test_two_processes_share_one_run(made):
    slow = dataclasses.replace(RUN, pause=0.05)
    started = [processes.start_run(made, slow) for _ in range(2)]
    told = [processes.messages(pipe) for _, pipe in started]
    for process, _ in started:
        process.join(60)
        assert process.exitcode == 0
    assert sorted(told) == [[], [1, 2, 3, 4]]
    assert made.stored(slow).config == slow


@pytest.mark.faults("two writers")
def test_record_that_comes_while_its_run_is_made_here_waits_and_gives_way(made, tmp_path):
    came = counting.store(tmp_path / "elsewhere").run(RUN).path
    files = {path.name: path.read_bytes() for path in came.iterdir()}
    folder = made.runs / RUN.name
    with ThreadPoolExecutor() as thread:
        with _boundary.locked(folder.with_suffix(".lock")):
            accepting = thread.submit(made.accept, RUN, files)
            with pytest.raises(TimeoutError):
                accepting.result(timeout=0.5)
            shutil.copytree(came, folder)
            before = folder.stat().st_ino
        accepting.result(timeout=60)
    assert folder.stat().st_ino == before


@pytest.mark.faults("killed at any moment")
def test_half_written_record_is_written_again(made):
    part = (made.runs / RUN.name).with_suffix(".part")
    part.mkdir(parents=True)
    (part / RECORDS).write_text("half")
    assert_same(made.run(RUN), made.stored(RUN))
    assert not part.exists()


def test_hidden_file_where_a_record_comes_is_no_obstacle(made):
    folder = made.runs / RUN.name
    folder.mkdir(parents=True)
    (folder / ".DS_Store").write_text("of a file browser")
    made.make(RUN)
    assert made.stored(RUN) is not None


def test_code_is_that_of_the_start(made, monkeypatch):
    now = {"commit": "at the start"}
    monkeypatch.setattr(records, "environment", lambda: dict(now))

    def moved_on(done):
        now["commit"] = "later"

    assert made.run(RUN, progress=moved_on).environment["commit"] == "at the start"


def test_missing_data_are_replaced_only_where_the_run_says_so(made, monkeypatch):
    def unavailable(name):
        raise data.DataUnavailable(name)

    monkeypatch.setattr(data, "origin", unavailable)
    asked = Counting("counting", dataset="mnist", stand_in=RUN)
    assert made.run(asked).config == RUN
    assert [record.config for record in made.records([asked])] == [RUN]


# ---------------------------------------------------------------------------- runs taken over


@pytest.fixture
def twins(tmp_path, monkeypatch):
    """A store of two experiments, of which the second takes over what the first has made."""
    monkeypatch.setattr(data, "origin", lambda name: {"sha256": "of digits"})
    second = counting.experiment("two", same_runs_as=("one",))
    return counting.store(tmp_path, counting.experiment("one"), second)


FIRST, SECOND = Counting("one"), Counting("two")


def not_made(done):
    pytest.fail("made again")


def test_run_of_another_experiment_with_the_same_training_is_taken_over(twins):
    done = twins.run(FIRST)
    actual = twins.run(SECOND, progress=not_made)
    assert actual.config == SECOND and actual.metrics.equals(done.metrics)
    assert actual.environment == {**done.environment, "same_run_as": FIRST.name}
    assert contents(actual)[1:] == contents(done)[1:]


def test_run_on_other_data_is_not_taken_over(twins, monkeypatch):
    twins.run(FIRST)
    monkeypatch.setattr(data, "origin", lambda name: {"sha256": "of others"})
    told = []
    actual = twins.run(SECOND, progress=told.append)
    assert told == [1, 2, 3, 4] and "same_run_as" not in actual.environment


def test_shipped_part_of_a_run_is_not_taken_over(twins):
    twins.ship(twins.run(FIRST))
    shutil.rmtree(twins.runs)
    assert "same_run_as" not in twins.run(SECOND).environment


# ------------------------------------------------------------------------------------- parents


@pytest.fixture
def family(tmp_path):
    """A store of an experiment, and of one whose runs start from it."""
    parent = counting.experiment("parent", keeps=counting.keep_steps)
    child = counting.experiment("child", make=counting.count_further, parents=("parent",))
    return counting.store(tmp_path, parent, child)


CHILD = Counting("child", parent=Counting("parent"))


def test_progress_of_a_parent_is_a_sign_of_life_and_no_step(family):
    told = []
    family.run(CHILD, progress=told.append)
    assert told == [0, 0, 0, 0, 1, 2, 3, 4]


def test_parent_is_made_where_it_is_absent(family):
    made = family.run(CHILD).environment["parent"]
    assert made == family.stored(CHILD.parent).metrics["digest"].iloc[-1]
    stamp = (family.runs / CHILD.parent.name).stat().st_mtime_ns
    family.run(dataclasses.replace(CHILD, seed=1))
    assert (family.runs / CHILD.parent.name).stat().st_mtime_ns == stamp


def test_parent_is_made_again_where_what_was_shipped_is_not_enough(family):
    family.ship(family.run(CHILD.parent))
    shutil.rmtree(family.runs)
    family.run(CHILD)
    assert (family.runs / CHILD.parent.name).is_dir()


# ------------------------------------------------------------------------------------ shipping


def test_shipped_record_holds_what_the_experiment_keeps(family):
    record = family.run(CHILD.parent)
    family.ship(record)
    shipped = family.stored(CHILD.parent)
    assert shipped.path == family.results / "parent"
    assert set(shipped.arrays) == {"step"} and shipped.arrays["step"].dtype == np.int64
    pd.testing.assert_frame_equal(shipped.metrics, record.metrics)
    assert (shipped.config, shipped.environment) == (record.config, record.environment)


def test_whole_record_is_that_of_this_machine(made):
    record = made.run(RUN)
    made.ship(record)
    assert made.stored(RUN).path == made.results / "counting"
    assert made.stored(RUN, whole=True).path == record.path
    shutil.rmtree(made.runs)
    assert made.stored(RUN) is not None and made.stored(RUN, whole=True) is None
    assert made.records([RUN], whole=True) == []


def test_record_is_shipped_once(made):
    record = made.run(RUN)
    made.ship(record)
    stamp = (made.results / "counting" / RECORDS).stat().st_mtime_ns
    made.ship(record)
    assert (made.results / "counting" / RECORDS).stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.int32([0, 2**15 - 1]), np.int16),
        (np.int32([0, 2**15]), np.int32),
        (np.int32([-(2**15), 3]), np.int16),
        (np.int32([-(2**15) - 1, 3]), np.int32),
        (np.int32([]), np.int16),
        (np.int64([5]), np.int64),
        (np.float32([5]), np.float32),
    ],
)
def test_small_whole_numbers_are_shipped_in_two_bytes(array, dtype, made):
    record = dataclasses.replace(made.run(RUN), arrays={"array": array})
    made.ship(record)
    shipped = made.stored(RUN).arrays["array"]
    assert shipped.dtype == dtype
    np.testing.assert_array_equal(shipped, array)


@pytest.mark.faults("two writers")
def test_two_processes_ship_into_one_archive(made, tmp_path):
    written = [made.run(dataclasses.replace(RUN, seed=seed)) for seed in range(8)]
    shippers = []
    for half in (written[::2], written[1::2]):
        runs = [record.config for record in half]
        shippers.append(processes.CONTEXT.Process(target=ship_all, args=(made, runs)))
    for shipper in shippers:
        shipper.start()
    for shipper in shippers:
        shipper.join(60)
        assert shipper.exitcode == 0
    shipped = records.archive(made.results / "counting")
    assert set(shipped) == {record.config.name for record in written}
    for record in written:
        assert_same(made.stored(record.config), record)


def ship_all(made, runs):
    for record in made.records(runs, whole=True):
        made.ship(record)


# ------------------------------------------------------------------------------------- reading


def profiled(profile):
    """Two runs in the profile "paper", one of them in "smoke"."""
    seeds = {"smoke": (0,), "quick": (), "paper": (0, 1)}[profile]
    return [Counting("profiled", seed=seed) for seed in seeds]


def test_records_of_a_profile_are_those_that_were_made(tmp_path):
    made = counting.store(tmp_path, counting.experiment("profiled", configs=profiled))
    second = made.run(Counting("profiled", seed=1))
    assert [record.config for record in made.of("profiled", "paper")] == [second.config]
    assert made.of("profiled", "smoke") == [] and second.profile == "paper"
    other = made.run(Counting("profiled", seed=2))
    assert other.profile == "custom"
    assert [record.config for record in made.of("profiled", "custom")] == [other.config]
    with pytest.raises(ValueError, match="unknown profile 'papr': did you mean 'paper'"):
        made.of("profiled", "papr")


def test_everything_lists_each_record_once_and_reads_no_arrays(made, monkeypatch):
    both = made.run(RUN)
    made.ship(both)
    other = made.run(dataclasses.replace(RUN, seed=4))
    monkeypatch.setattr(records, "read_arrays", lambda path, _: pytest.fail(f"read {path}"))
    listed = made.everything()
    assert [record.config.name for record in listed] == sorted([RUN.name, other.config.name])
    assert {record.path for record in listed} == {made.results / "counting", other.path}
    assert made.names() == {RUN.name, other.config.name}


def test_record_with_unknown_fields_is_named_and_left_out(made, caplog):
    made.run(RUN)
    other = made.run(dataclasses.replace(RUN, seed=4))
    rewrite(other.path, other.config.name, config=lambda fields: {**fields, "temperature": 3})
    assert [record.config for record in made.everything()] == [RUN]
    [said] = caplog.messages
    assert said.startswith(f"record {other.config.name} in {other.path} was written by another")
    reason = "unknown field of Counting 'temperature'"
    assert reason in said and said.endswith("; it is left out")
    with pytest.raises(ValueError, match=reason):
        made.read(other.path, other.config.name)


def test_record_of_an_unknown_experiment_is_read(made, tmp_path):
    record = counting.store(tmp_path, counting.experiment("later")).run(Counting("later"))
    assert_same(made.read(record.path, record.config.name), record)
