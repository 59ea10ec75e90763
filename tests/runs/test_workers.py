"""A worker without a cluster: what it answers, and when it gives up."""

import json
import threading

import pytest

from lib.files import NotWritten
from lib.runs import locks, workers
from lib.runs.environment import environment
from lib.runs.workers import Abandoned, Delivery, Introduction, Job, UnknownClient
from tests import processes
from tests.runs import counting
from tests.runs.counting import Counting
from tests.runs.test_executors import contents

RUN = Counting("counting")
CHILD = Counting("further", parent=RUN)


@pytest.fixture
def theirs(tmp_path):
    """The store of the client."""
    child = counting.experiment("further", make=counting.count_further)
    store = counting.store(tmp_path / "theirs", counting.experiment(), child)
    store.runs.mkdir(parents=True)
    (store.runs / ".token").write_text("text")
    with locks.held(store.runs / ".token"):
        yield store


@pytest.fixture
def introduce(theirs, tmp_path, monkeypatch):
    """Introduces a client, which sees the store or not."""
    monkeypatch.setattr(workers, "_scratch", lambda: tmp_path / "scratch")
    monkeypatch.setattr(workers, "_secede", lambda: None)
    monkeypatch.setattr(workers, "_desks", {})

    def call(token=None, data=None, **changes):
        facts = environment() | changes
        shown = workers.shown_results(theirs)
        return workers.introduce(Introduction("me", theirs, token, shown, data or {}, facts))

    return call


def test_store_is_seen_by_what_its_token_holds(introduce):
    assert introduce(token=(".token", "text")).sees_store
    assert not introduce(token=(".token", "another")).sees_store
    assert not introduce(token=(".missing", "text")).sees_store
    assert not introduce(token=None).sees_store


def test_store_whose_locks_do_not_reach_the_worker_is_not_seen(introduce, theirs):
    (theirs.runs / ".another").write_text("text")  # as on another machine: nobody holds it
    assert not introduce(token=(".another", "text")).sees_store


def test_store_with_other_results_is_not_seen(introduce, theirs):
    assert introduce(token=(".token", "text")).sees_store
    text = Introduction("me", theirs, (".token", "text"), ["counting 100"], {}, environment())
    assert not workers.introduce(text).sees_store


def test_other_code_and_versions_are_told(introduce):
    answer = introduce(code_sha256="0", versions={"python": "2.7", "torch": "0.1"})
    code, python, torch = answer.differences
    assert code == "its code is another" and python.endswith("here 2.7")
    assert torch.startswith("its torch is 2") and torch.endswith("here 0.1")
    with pytest.raises(UnknownClient):
        workers.report("me", [], False)


@pytest.mark.parametrize("named", [{"numerics": 1}, {}], ids=["names 1", "names none"])
def test_other_numerics_are_told(named):
    theirs = {name: value for name, value in environment().items() if name != "numerics"}
    (difference,) = workers.differing(theirs | named, environment() | {"numerics": 2})
    assert difference == "its numerics is 2, here 1"


def test_data_sets_with_another_content_are_lacking(introduce, monkeypatch, tmp_path):
    monkeypatch.setenv("SPARSE_DATA_DIR", str(tmp_path))
    sha256 = workers.data.origin("digits")["sha256"]
    assert introduce(data={"digits": sha256}).lacking == ()
    assert introduce(data={"digits": "0", "madelon": "0"}).lacking == ("digits", "madelon")


def test_data_that_are_sent_stand_before_those_of_the_machine(introduce, monkeypatch, tmp_path):
    monkeypatch.setenv("SPARSE_DATA_DIR", str(tmp_path))
    (tmp_path / "dna.npz").write_bytes(b"of the machine")
    (tmp_path / "web.npz").write_bytes(b"of the machine")
    introduce()
    workers.receive_data("me", "dna", b"sent")
    places = [workers.data.sets.fetch.places(name)["SPARSE_DATA_DIR"] for name in ("dna", "web")]
    assert [place.read_bytes() for place in places] == [b"sent", b"of the machine"]
    assert (tmp_path / "dna.npz").read_bytes() == b"of the machine"


def test_record_comes_back_and_nothing_stays(introduce, theirs, tmp_path):
    introduce()
    ((outcome,), made) = workers.work("me", [Job(RUN)])
    assert made == {} and outcome.failure is None
    theirs.accept(RUN, outcome.record)
    alone = counting.store(tmp_path / "alone").run(RUN)
    assert contents(theirs.stored(RUN)) == contents(alone)
    assert [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()] == []


def test_record_that_a_run_has_started_from_is_sent_too(introduce, theirs):
    introduce()
    record = workers.parcels.packed(theirs.run(RUN).path)
    workers.report("me", [Delivery(RUN, "runs", record)], False)
    (first, second), _ = workers.work("me", [Job(CHILD), Job(RUN)])
    assert first.failure is None and second.record == record


def test_run_goes_on_from_the_checkpoint_that_was_sent(introduce, theirs):
    introduce()
    digests = ["first", "second"]
    ((outcome,), _) = workers.work(
        "me", [Job(RUN, {"checkpoint.json": json.dumps(digests).encode()})]
    )
    theirs.accept(RUN, outcome.record)
    assert theirs.stored(RUN).environment["begun"] == 2


def test_jobs_that_take_longer_than_a_batch_go_back(introduce, monkeypatch):
    monkeypatch.setattr(workers, "BATCH", 0.0)
    introduce()
    outcomes, _ = workers.work("me", [Job(RUN), Job(RUN), Job(RUN)])
    assert len(outcomes) == 1


def test_worker_that_is_not_asked_gives_up(introduce, monkeypatch):
    introduce()
    monkeypatch.setattr(workers, "LEASE", -1.0)
    with pytest.raises(Abandoned):
        workers.work("me", [Job(RUN)])


@pytest.mark.parametrize("ending", ["a record", "the word to make it", "nobody"])
def test_worker_waits_for_the_record_that_it_wished_for(ending, introduce, theirs):
    introduce()
    ended = []

    def work():
        try:
            ended.append(workers.work("me", [Job(CHILD)]))
        except Abandoned:
            ended.append(Abandoned)

    thread = threading.Thread(target=work)
    thread.start()
    processes.wait_until(lambda: workers.report("me", [], False).wishes)
    (wish,) = workers.report("me", [], False).wishes
    assert wish.run == RUN and not wish.whole
    if ending == "nobody":
        workers.leave("me")
        thread.join(10)
        assert ended == [Abandoned]
        return
    record = workers.parcels.packed(theirs.run(RUN).path)
    place, files = ("runs", record) if ending == "a record" else ("work", {})
    workers.report("me", [Delivery(RUN, place, files)], False)
    thread.join(10)
    ((outcome,), made) = ended[0]
    assert outcome.failure is None
    assert set(made) == (set() if place == "runs" else {RUN})


def test_records_that_runs_start_from_are_freed_but_for_the_last_ones(
    introduce, theirs, tmp_path, monkeypatch
):
    monkeypatch.setattr(workers, "KEPT", 2)
    introduce()
    parents = [Counting("counting", seed=seed) for seed in range(4)]
    for parent in (*parents[:3], parents[1], parents[3]):
        record = workers.parcels.packed(theirs.run(parent).path)
        workers.report("me", [Delivery(parent, "runs", record)], False)
        (outcome,), _ = workers.work("me", [Job(Counting("further", parent=parent))])
        assert outcome.failure is None
    left = {path.name for path in (tmp_path / "scratch" / "me" / "runs").glob("*/")}
    assert left == {parents[1].name, parents[3].name}


def test_records_of_a_client_whose_store_is_seen_are_never_freed(introduce, theirs, monkeypatch):
    monkeypatch.setattr(workers, "KEPT", 1)
    introduce(token=(".token", "text"))
    parents = [Counting("counting", seed=seed) for seed in range(2)]
    for parent in parents:
        workers.work("me", [Job(Counting("further", parent=parent))])
    assert all(theirs.stored(parent) for parent in parents)


# ------------------------------------------------------------------------------ sick machines


def fail_with(monkeypatch, error):
    """Let every run of a worker fail."""

    def run(*_, **__):
        raise error

    monkeypatch.setattr(workers.Away, "make", run)


@pytest.mark.parametrize(
    ("error", "of_the_place"),
    [
        (NotWritten("no space is left"), True),
        (MemoryError(), True),
        (workers.data.DataUnavailable("dna is not here"), True),
        (ValueError("epochs = 0 is out of range"), False),
        (RuntimeError("diverged"), False),
    ],
)
def test_failures_of_the_machine_are_told_apart(error, of_the_place, introduce, monkeypatch):
    fail_with(monkeypatch, error)
    introduce()
    outcomes, _ = workers.work("me", [Job(RUN), Job(RUN)])
    assert outcomes[0].failure == (str(error) or "MemoryError")
    assert [outcome.of_the_place for outcome in outcomes] == (
        [True] if of_the_place else [False, False]
    )


def test_checkpoint_that_cannot_be_unpacked_is_a_failure_of_the_machine(introduce, tmp_path):
    introduce()
    (tmp_path / "scratch" / "me").mkdir(parents=True)
    (tmp_path / "scratch" / "me" / "runs").write_text("no folder")
    ((outcome,), _) = workers.work("me", [Job(RUN, {"checkpoint.json": b"[]"})])
    assert outcome.of_the_place


def test_record_that_cannot_be_stored_fails_the_run_that_wished_for_it(introduce, theirs):
    introduce()
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.extend(workers.work("me", [Job(CHILD)])[0]))
    thread.start()
    processes.wait_until(lambda: workers.report("me", [], False).wishes)
    folder = workers._desks["me"].store.runs / RUN.name
    folder.write_text("no folder")
    record = workers.parcels.packed(theirs.run(RUN).path)
    workers.report("me", [Delivery(RUN, "runs", record)], False)
    thread.join(10)
    assert [outcome.of_the_place for outcome in outcomes] == [True]


def test_worker_that_sees_the_store_gives_up_while_it_makes_a_parent(introduce, monkeypatch):
    assert introduce(token=(".token", "text")).sees_store
    monkeypatch.setattr(workers, "LEASE", -1.0)
    with pytest.raises(Abandoned):
        workers.work("me", [Job(CHILD)])
    assert not workers._desks["me"].store.stored(RUN)


def test_nothing_stays_of_a_client_that_left(introduce, theirs, tmp_path):
    introduce()
    scratch = tmp_path / "scratch" / "me"
    workers.report("me", [Delivery(RUN, "runs", {"a": b""})], False)
    with workers._one:  # a run in hand
        workers.leave("me")
        assert (scratch / "runs").is_dir()
    processes.wait_until(lambda: not scratch.exists())
