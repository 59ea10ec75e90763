"""The client of a cluster without a cluster: what it makes of what its workers send."""

import contextlib
import dataclasses
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from lib.runs import clusters, dispatch, locks, parcels
from lib.runs.executors import sweep
from lib.runs.progress import Progress
from lib.runs.workers import Answer, Outcome, Report, Wish
from tests.runs import counting
from tests.runs.counting import Counting

RUN = Counting("counting")
PARENT = Counting("counting", seed=7)
CHILDREN = [Counting("further", seed=seed, parent=PARENT) for seed in range(2)]


class Nobody:
    """A client without a cluster."""

    status = "running"


class Calls:
    """Keeps what is sent, and answers nothing."""

    def __init__(self):
        self.sent = []

    def send(self, address, function, *arguments, **_):
        self.sent.append((address, function.__name__, arguments))

    def forget(self, address):
        pass

    def end(self, *_):
        pass

    def given(self):
        """Names of the runs of each batch that was sent."""
        batches = [arguments[1] for _, name, arguments in self.sent if name == "work"]
        return [[job.run.name for job in batch] for batch in batches]


@pytest.fixture
def theirs(tmp_path):
    """The store of the client."""
    twin = counting.experiment("twin", same_runs_as=("counting",), make=counting.count_and_load)
    first = counting.experiment(make=counting.count_and_load)
    child = counting.experiment("further", make=counting.count_further, parents=("counting",))
    return counting.store(tmp_path, first, twin, child)


@pytest.fixture
def dispatched(theirs):
    """A dispatch of runs to two workers that do not see the store, all still to be given."""
    begun = []

    theirs.runs.mkdir()
    (theirs.runs / ".token").write_text("text")

    def start(runs, names=("one", "two")):
        shown = Progress(1, "step", shown=False)
        made = dispatch.Dispatch(Nobody(), theirs, runs, shown, lambda *_: None)
        made.calls = Calls()
        made.introduction = made._introduction(theirs.runs / ".token")
        for name in names:
            made.sites[name] = dispatch.Site(name, name, sees_store=False)
        begun.append(made)
        return made

    yield start
    for made in begun:
        made.locks.free_all()


def in_time(function):
    """Call a function that might wait for ever."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it waits for ever"


def wishing(site, run):
    """The word of a worker that wishes for the record of a run."""
    return Report({job.name: 0 for job in site.jobs}, (Wish(run, whole=False),))


# ------------------------------------------------------------------- records that runs start from


def test_failed_run_is_made_by_the_next_that_starts_from_it(dispatched):
    made = dispatched(CHILDREN)
    made._assign()
    one, two = made.sites.values()
    for site in (one, two):
        made._hear(site, False, wishing(site, PARENT))
    assert [len(site.deliveries) for site in (one, two)] == [1, 0]
    made._take(one, ([Outcome(0.1, failure="the parent failed")], {}))
    made._hear(two, False, wishing(two, PARENT))
    (delivery,) = two.deliveries
    assert (delivery.run, delivery.place) == (PARENT, "work")


def test_record_that_comes_after_its_maker_was_forgotten_is_stored(dispatched, theirs, tmp_path):
    alone = dataclasses.replace(theirs, runs=tmp_path / "alone")
    made = dispatched(CHILDREN)
    made._assign()
    one, _ = made.sites.values()
    made._hear(one, False, wishing(one, PARENT))
    made._take(one, ([Outcome(0.1, failure="the child failed")], {}))
    made._hear(one, False, Report({}, made={PARENT: parcels.packed(alone.run(PARENT).path)}))
    assert theirs.stored(PARENT) is not None and PARENT.name not in made.locks


def test_run_that_is_wished_for_and_was_made_by_a_twin_is_taken_over(dispatched, theirs):
    twin = dataclasses.replace(PARENT, experiment="twin")
    child = Counting("further", parent=twin)
    made = dispatched([child])
    made._assign()
    theirs.run(PARENT)
    one, _ = made.sites.values()
    in_time(lambda: made._hear(one, False, wishing(one, twin)))
    (delivery,) = one.deliveries
    assert delivery.place == "runs"
    assert theirs.stored(twin).environment["same_run_as"] == PARENT.name


def test_twin_of_a_run_on_its_way_is_not_waited_for(dispatched, theirs):
    twin = dataclasses.replace(PARENT, experiment="twin")
    made = dispatched([Counting("further", parent=twin), twin], names=("one",))
    made._assign()
    (site,) = made.sites.values()
    made._hear(site, False, wishing(site, twin))  # its maker has the lock
    theirs.run(PARENT)
    made.sites["two"] = dispatch.Site("two", "two", sees_store=False)
    in_time(made._assign)
    assert list(made.pending) == [twin]


def test_twin_of_a_run_that_another_process_makes_is_not_waited_for(dispatched, theirs):
    twin = dataclasses.replace(PARENT, experiment="twin")
    theirs.run(PARENT)
    made = dispatched([twin])
    with locks.held(theirs.runs / f"{twin.name}.lock"):
        in_time(made._assign)
    assert list(made.pending) == [twin]


# --------------------------------------------------------------------------------- what gets lost


def test_run_that_loses_three_workers_is_given_up(dispatched):
    made = dispatched([RUN], names=())
    for times in range(dispatch.LOSSES):
        assert made.failures == [] and made.losses[RUN.name] == times
        made.pending.clear()
        made.sites["one"] = dispatch.Site("tcp://1", "one", sees_store=False, jobs=[RUN])
        made._lose("one", "killed")
    assert made.failures == [(RUN, "3 workers were lost with it, the last one: killed")]
    assert made.missing == {}


def lose(made, name, steps):
    """Give the next batch to a worker of this name, which is lost with it after so many steps."""
    made.sites[name] = dispatch.Site(name, name, sees_store=False)
    made._assign()
    made._hear(made.sites[name], False, Report(dict.fromkeys(made.calls.given()[-1], steps)))
    made._lose(name, "out of time")


def test_run_that_gets_further_each_time_is_never_given_up(dispatched):
    made = dispatched([RUN], names=())
    for times in range(3 * dispatch.LOSSES):
        lose(made, f"worker {times}", steps=times + 1)
    assert made.failures == [] and list(made.pending) == [RUN]


def test_run_that_stops_where_it_was_is_given_up(dispatched):
    made = dispatched([RUN], names=())
    for times, steps in enumerate([1, 3, 3, 2]):
        assert made.failures == []
        lose(made, f"worker {times}", steps=steps)
    assert [run for run, _ in made.failures] == [RUN]


def test_run_that_kills_its_workers_condemns_no_other_of_its_batch(dispatched):
    runs = [Counting("counting", seed=seed) for seed in range(8)]
    made = dispatched(runs, names=())
    made.seconds["counting"] = 0.01
    for times in range(dispatch.LOSSES):
        lose(made, f"worker {times}", steps=0)
    batch, *later = made.calls.given()
    assert len(batch) > 1 and later == [[RUN.name], [RUN.name]]
    lose(made, "the last", steps=0)
    assert [run for run, _ in made.failures] == [RUN]


FULL = Outcome(0.1, "no space is left to write /scratch", of_the_place=True)


def test_worker_whose_machine_fails_is_refused_and_its_run_goes_on_uncharged(dispatched):
    others = [Counting("counting", seed=seed) for seed in range(2, 4)]
    made = dispatched([RUN, *others], names=("one",))
    made._assign()
    made._take(made.sites["one"], ([FULL], {}))
    assert made.sites == {} and made.failures == []
    assert made.refused == {"one": f"worker one is refused: {FULL.failure}"}
    assert list(made.pending) == [*others, RUN] and RUN.name not in made.losses
    assert RUN.name not in made.locks
    assert made.calls.sent[-1] == ("one", "leave", (made.name,))


def test_sweep_ends_with_the_reasons_when_all_machines_fail(dispatched):
    made = dispatched([RUN])
    for site in list(made.sites.values()):
        site.jobs = [RUN]
        made._take(site, ([FULL], {}))
    with pytest.raises(dispatch.ClusterLost, match="one is refused: no space .* two is refused"):
        made._compare({"one": {}, "two": {}})


def test_run_whose_data_nobody_has_fails_and_spares_the_worker(dispatched, monkeypatch):
    def unavailable(name):
        raise dispatch.data.DataUnavailable(name)

    monkeypatch.setattr(dispatch.data, "origin", unavailable)
    run = Counting("counting", dataset="madelon")
    made = dispatched([run], names=("one",))
    made._assign()
    made._take(made.sites["one"], ([Outcome(0.1, "no madelon", of_the_place=True)], {}))
    assert made.failures == [(run, "no madelon")] and list(made.sites) == ["one"]


def test_failed_runs_are_told_also_when_the_cluster_is_lost(theirs, monkeypatch):
    class Losing(dispatch.Dispatch):
        def failed(self):
            yield RUN, "cannot count"
            self.failures.append((PARENT, "neither"))
            raise dispatch.ClusterLost("the scheduler is gone")

    monkeypatch.setattr(dispatch, "Dispatch", Losing)
    client = SimpleNamespace(dashboard_link="", status="running")
    monkeypatch.setattr(clusters, "connected", lambda _: contextlib.nullcontext(client))
    told = r"the scheduler is gone; 2 runs failed before\. .*: cannot count; .*: neither$"
    with pytest.raises(dispatch.ClusterLost, match=told):
        sweep(theirs, [RUN], cluster=clusters.Cluster("tcp://a:1"), progress=False)


def test_where_to_look_is_said_once_when_no_worker_comes(dispatched, monkeypatch):
    made, lines = dispatched([RUN], names=()), []
    made.look = "see squeue"
    monkeypatch.setattr(made.shown, "say", lines.append)
    made._show()
    assert lines == []
    monkeypatch.setattr(dispatch.clusters, "ALONE", -1.0)
    made._show()
    made._show()
    assert lines == ["no worker has come for -1 s: see squeue"]


@pytest.mark.parametrize("kind", [None, *dispatch.clusters.KINDS])
def test_every_kind_of_cluster_says_where_to_look(kind):
    more = {"ssh": {"hosts": ("a",)}, "slurm": {"workers": 1}, None: {"address": "tcp://a:1"}}
    look = dispatch.clusters.Cluster(kind=kind, **more.get(kind, {})).look
    assert "see" in look and "{" not in look


@pytest.mark.faults("stale locks")
def test_sweep_removes_the_half_records_of_killed_clients(dispatched, theirs):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    half = theirs.runs / f"{RUN.name}.{gone.pid}.part"
    parcels.unpack({"records.jsonl": b"half"}, half)
    assert list(dispatched([]).failed()) == [] and not half.exists()


def test_record_that_is_present_is_not_replaced(theirs):
    record = theirs.run(RUN)
    written = record.path.stat().st_mtime_ns
    theirs.accept(RUN, parcels.packed(record.path))
    assert record.path.stat().st_mtime_ns == written


# ------------------------------------------------------------------------------------------ data


@pytest.fixture
def lacking(dispatched, tmp_path, monkeypatch):
    """A dispatch to three workers that have come and lack a data set of one file."""
    (tmp_path / "dna.npz").write_bytes(b"content")
    monkeypatch.setattr(dispatch.data, "origin", lambda _: {"path": str(tmp_path / "dna.npz")})
    made = dispatched([], names=())
    made.calls.sent.clear()
    for name in ("one", "two", "three"):
        made.coming[name] = name
        made._welcome(name, Answer((), lacking=("dna", "web")))
    return made


def receivers(made):
    return [(address, words[1]) for address, name, words in made.calls.sent if "data" in name]


def test_data_are_sent_to_one_worker_after_the_other(lacking):
    one, two = (dispatch.Site(name, name, sees_store=False) for name in ("one", "two"))
    assert receivers(lacking) == [("one", "dna")]
    lacking._send_data(one, ["web"])
    assert receivers(lacking)[1:] == [("one", "web")]
    lacking._send_data(one, [])
    assert receivers(lacking)[2:] == [("two", "dna")] and list(lacking.sites) == ["one"]
    lacking._refuse(two.address, two.name, "its disk is full")
    assert receivers(lacking)[3:] == [("three", "dna")]
    lacking._lose("three", "killed")
    assert lacking.sending is None and not lacking.queue


def test_data_without_a_file_are_refused_by_name(dispatched, monkeypatch):
    monkeypatch.setattr(dispatch.data, "origin", lambda _: {"path": None})
    made = dispatched([], names=())
    made.coming["one"] = "one"
    made._welcome("one", Answer((), lacking=("digits",)))
    assert made.refused == {
        "one": "worker one is refused: its digits is another, and no file to be sent"
    }
