"""What a worker of a cluster does. Its client sends jobs and asks, from time to time, how far they
are; a worker that is not asked for long ends what it does.

A worker that sees the client's store makes its runs there. Another one has a store of its own, in
its scratch folder: checkpoints and records travel, and a record that a run starts from is sent by
the client when it is wished for, or made here where nobody has it.
"""

import contextlib
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lib import data
from lib.numerics import UNNAMED
from lib.runs import parcels
from lib.runs.config import Run
from lib.runs.environment import environment
from lib.runs.parcels import Files
from lib.runs.record import Record
from lib.runs.records import RECORDS, Store, archive

LEASE = 120.0  # seconds without a question of the client after which it is taken for gone
OF_THE_PLACE = (OSError, MemoryError, data.DataUnavailable)  # not the run's own failures
KEPT = 4  # records of a client that runs start from, the last ones used: others can come again
BATCH = 2.0  # seconds after which the jobs of a batch that have not begun go back


class Abandoned(Exception):
    """The client has not asked for long, or has left: no error of the run."""


class UnknownClient(RuntimeError):
    """The worker has not been introduced to the client, or was restarted since."""


@dataclass(frozen=True)
class Introduction:
    """What a client sends first.

    Attributes:
        client: name of the client, of its own.
        store: the client's.
        token: name of a file in the folder of its runs, which the client has locked, and what it
            holds; None: the store is not to be used.
        results: what its folder of results holds, see :func:`shown_results`.
        data: sha256 of the data sets that its runs use, by name.
        environment: the client's.
    """

    client: str
    store: Store
    token: tuple[str, str] | None
    results: list[str]
    data: dict[str, str]
    environment: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a worker says to an introduction.

    Attributes:
        differences: from the client's code, numerics and versions; none: it can be used.
        sees_store: whether it sees the client's store.
        lacking: names of the data sets that it has not, or with other contents.
    """

    differences: tuple[str, ...]
    sees_store: bool = False
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """A run to be made, from the files of its checkpoint if there are any."""

    run: Run
    checkpoint: Files = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        seconds: that it took.
        failure: the sentence of its error; None without one.
        of_the_place: whether that is an error of this machine, so that the run may do elsewhere.
        record: the files of the record; None if they lie in the client's store.
    """

    seconds: float
    failure: str | None = None
    of_the_place: bool = False
    record: Files | None = None


@dataclass(frozen=True)
class Wish:
    """A record that a run starts from and that is not here.

    Attributes:
        run: whose record it is.
        whole: whether what a clone brings of it is here and not enough.
    """

    run: Run
    whole: bool


@dataclass(frozen=True)
class Delivery:
    """What answers a wish: the files of a record, or of a checkpoint to make it from.

    Attributes:
        run: of the wish.
        place: "runs" for a whole record, "results" for what a clone brings, "work" for a
            checkpoint: then the record is to be made here.
        files: by name.
    """

    run: Run
    place: str
    files: Files


@dataclass(frozen=True)
class Report:
    """How far a worker is.

    Attributes:
        steps: done of the runs in hand, by the name of the run.
        wishes: for records.
        checkpoints: files of the runs in hand, by the name of the run, where they are newer.
        made: records that were made to fulfil a wish, by the run.
    """

    steps: dict[str, int]
    wishes: tuple[Wish, ...] = ()
    checkpoints: dict[str, Files] = field(default_factory=dict)
    made: dict[Run, Files] = field(default_factory=dict)


# ------------------------------------------------------------------------------------- its state


class Desk:
    """What a worker has in hand for one client."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.heard = time.monotonic()
        self.steps: dict[str, int] = {}
        self.sent: dict[str, dict[str, int]] = {}  # times of the checkpoints that were sent
        self.wishes: dict[str, Wish] = {}
        self.to_make: set[str] = set()  # wished for, and to be made here
        self.made: dict[Run, Files] = {}
        self.refused: dict[str, OSError] = {}  # what was wished for and could not be stored
        self.in_hand: Run | None = None  # the job, whose record is sent and not kept here
        self.record: Files | None = None  # that record
        self.used: dict[str, None] = {}  # names of the records that runs have started from, in turn
        self.changed = threading.Condition()

    def listen(self) -> None:
        """Note that the client has asked."""
        self.heard = time.monotonic()

    def check_client(self) -> None:
        """Raises Abandoned if the client has not asked for long."""
        if time.monotonic() - self.heard > LEASE:
            raise Abandoned

    def note(self, name: str, done: int) -> None:
        """Note the steps of a run."""
        self.steps[name] = done
        self.check_client()

    def wait_for(self, wish: Wish) -> None:
        """Return when a wish was answered. Raises Abandoned without a client, OSError if what
        came could not be stored.
        """
        name = wish.run.name
        with self.changed:
            self.wishes[name] = wish
            while name in self.wishes:
                self.changed.wait(1.0)
                self.check_client()
        if name in self.refused:
            raise self.refused.pop(name)

    def made_since(self) -> dict[Run, Files]:
        """The records that were made to fulfil a wish since this was asked last."""
        return {run: self.made.pop(run) for run in list(self.made)}

    def take(self, delivery: Delivery) -> None:
        """Store what was delivered, and let the run that waits for it go on."""
        name = delivery.run.name
        try:
            self._store(delivery)
        except OSError as error:
            self.refused[name] = error
        with self.changed:
            self.wishes.pop(name, None)
            self.changed.notify_all()

    def note_use(self, record: Record) -> Record:
        """A record that a run starts from, which is thereby the last one used."""
        name = record.config.name
        self.used.pop(name, None)
        self.used[name] = None
        return record

    def free(self) -> None:
        """Remove records that runs have started from, but for the last ones used; to be called
        when no run is in hand.
        """
        for name in list(self.used)[:-KEPT]:
            del self.used[name]
            for place in (self.store.runs, self.store.results):
                shutil.rmtree(place / name, ignore_errors=True)

    def _store(self, delivery: Delivery) -> None:
        name = delivery.run.name
        if delivery.place == "work":
            parcels.unpack(delivery.files, self.store.work_of(delivery.run))
            self.to_make.add(name)
        elif delivery.place == "runs":
            parcels.unpack_new(delivery.files, self.store.runs / name)
        else:
            parcels.unpack_new(delivery.files, self.store.results / name)


@dataclass(frozen=True)
class Away(Store):
    """A store in the scratch folder of a worker; records come from the client."""

    desk: Callable[[], Desk] = field(default=None, kw_only=True)

    def stored(self, run: Run, *, whole: bool = False) -> Record | None:
        """Records that the client sent of its results lie in folders of their own."""
        sent = self.results / run.name
        if not whole and archive(sent):
            return self.read(sent, run.name)
        return super().stored(run, whole=whole)

    def _record_of(
        self,
        run: Run,
        holds_enough: Callable[[Record], bool],
        *,
        heartbeat: Callable[[int], None],
    ) -> Record:
        desk = self.desk()
        while True:
            slim = self.stored(run)
            if slim is not None and holds_enough(slim):
                return desk.note_use(slim)
            whole = self.stored(run, whole=True)
            if whole is not None:
                return desk.note_use(whole)
            if run.name in desk.to_make:
                return desk.note_use(self._made_here(run, desk))
            desk.wait_for(Wish(run, whole=slim is not None))

    def _held(self, run: Run) -> contextlib.AbstractContextManager[None]:
        """No lock: nobody else knows this store, and its process makes one run at a time."""
        return contextlib.nullcontext()

    def _keep(self, run: Run, files: Files) -> None:
        desk = self.desk()
        if run == desk.in_hand:
            desk.record = files
        else:
            super()._keep(run, files)

    def _made_here(self, run: Run, desk: Desk) -> Record:
        try:
            record = self.run(run, progress=partial(desk.note, run.name))
        finally:
            desk.steps.pop(run.name, None)
            desk.to_make.discard(run.name)  # if it failed, another worker may have the word
        desk.made[run] = parcels.packed(self.runs / run.name)
        return record


_desks: dict[str, Desk] = {}
_one = threading.Lock()  # a process makes one run at a time, whatever threads it has


def _desk(client: str) -> Desk:
    if client not in _desks:
        raise UnknownClient(client)
    _desks[client].listen()
    return _desks[client]


def _scratch() -> Path:
    from distributed import get_worker  # optional extra "cluster"

    return Path(get_worker().local_directory)


# ------------------------------------------------------------------------------- what it is asked


def introduce(text: Introduction) -> Answer:
    """Compare code, numerics and versions; see which data are here, and whether the store is."""
    torch.set_num_threads(1)
    differences = tuple(differing(text.environment, environment()))
    if differences:
        return Answer(differences)
    _forget_others()
    shared = sees(text)
    if shared:
        desk = Desk(text.store)
    else:
        place = _scratch() / text.client
        own = Away(
            text.store.experiments,
            place / "runs",
            place / "results",
            desk=partial(_desk, text.client),
        )
        desk = Desk(own)
    _desks[text.client] = desk
    lacking = [name for name, sha256 in text.data.items() if not _has(name, sha256)]
    return Answer((), shared, tuple(lacking))


def receive_data(client: str, name: str, content: bytes) -> None:
    """Keep the file of a data set, for all runs of this process from now on."""
    _desk(client)
    folder = _own_data()
    parcels.unpack({f"{name}.npz": content}, folder)


def work(client: str, jobs: list[Job]) -> tuple[list[Outcome], dict[Run, Files]]:
    """Make runs, one after the other. When they take longer than expected, or this machine fails,
    those that have not begun have no outcome.

    Returns: the outcomes, and records that were made to fulfil a wish and not reported yet.
    """
    _secede()
    outcomes: list[Outcome] = []
    with _one:
        torch.set_num_threads(1)
        desk = _desk(client)
        begun = time.monotonic()
        for job in jobs:
            if outcomes and time.monotonic() - begun > BATCH:
                break
            outcomes.append(_outcome(desk, job))
            desk.free()
            if outcomes[-1].of_the_place:
                break
    return outcomes, desk.made_since()


def report(client: str, deliveries: list[Delivery], checkpoints: bool) -> Report:
    """Say how far the runs in hand are; take what was wished for.

    Args:
        client: its name.
        deliveries: answers to wishes.
        checkpoints: whether to send those that are newer than the ones sent before.
    """
    desk = _desk(client)
    for delivery in deliveries:
        desk.take(delivery)
    newer = _newer_checkpoints(desk) if checkpoints else {}
    return Report(dict(desk.steps), tuple(desk.wishes.values()), newer, desk.made_since())


def leave(client: str) -> None:
    """End what is done for a client, as soon as it has made its next step, and remove what it
    left here.
    """
    desk = _desks.pop(client, None)
    if desk is not None:
        desk.heard = float("-inf")
        folder = _scratch() / client  # known in the thread of this call alone
        threading.Thread(target=_clean, args=(folder,), daemon=True).start()


def _clean(folder: Path) -> None:
    """Remove a folder as soon as no run is made."""
    with _one:
        shutil.rmtree(folder, ignore_errors=True)


def differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """In words, where the environment of a worker (ours) is another than that of a client."""
    words = []
    if theirs["code_sha256"] != ours["code_sha256"]:
        words.append("its code is another")
    numerics = theirs.get("numerics", UNNAMED)
    if numerics != ours["numerics"]:
        words.append(f"its numerics is {ours['numerics']}, here {numerics}")
    for name, version in theirs["versions"].items():
        own = ours["versions"].get(name)
        if own != version:
            words.append(f"its {name} is {own}, here {version}")
    return words


def shown_results(store: Store) -> list[str]:
    """The names and sizes of the archives in the folder of results."""
    shipped = sorted(store.results.glob(f"*/{RECORDS}"))
    return [f"{path.parent.name} {path.stat().st_size}" for path in shipped]


def sees(text: Introduction) -> bool:
    """Whether this process sees the store of a client, and can lock its files."""
    if text.token is None:
        return False
    name, content = text.token
    with contextlib.suppress(OSError):
        if (text.store.runs / name).read_text() != content:
            return False
        with (text.store.runs / name).open("a") as file:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False  # the client holds it: locks of this disk do not reach other machines
        return shown_results(text.store) == text.results
    return False


# --------------------------------------------------------------------------------------- inside


def _secede() -> None:
    """Leave the pool of threads, so that this worker can answer while it works."""
    from distributed import secede

    secede()


def _outcome(desk: Desk, job: Job) -> Outcome:
    begun = time.monotonic()
    try:
        record = _made(desk, job)
    except Abandoned:
        raise
    except Exception as error:
        seconds = time.monotonic() - begun
        reason = str(error) or type(error).__name__
        return Outcome(seconds, reason, isinstance(error, OF_THE_PLACE))
    finally:
        desk.steps.pop(job.run.name, None)
        desk.sent.pop(job.run.name, None)
    return Outcome(time.monotonic() - begun, record=record)


def _made(desk: Desk, job: Job) -> Files | None:
    """Make a run; the files of its record, if they do not lie in the client's store."""
    run, store = job.run, desk.store
    desk.steps[run.name] = 0
    away = isinstance(store, Away)
    if away and job.checkpoint:
        parcels.unpack(job.checkpoint, store.work_of(run))
    desk.in_hand, desk.record = run, None
    store.make(run, progress=partial(desk.note, run.name))
    if not away:
        return None
    record, desk.record = desk.record, None
    if record is None:  # another run has started from it
        record = parcels.packed(store.runs / run.name)
    return record


def _newer_checkpoints(desk: Desk) -> dict[str, Files]:
    newer: dict[str, Files] = {}
    if not isinstance(desk.store, Away):
        return newer
    for name in list(desk.steps):
        folder = desk.store.runs / f"{name}.work"
        stamps = parcels.stamps(folder)
        if stamps and stamps != desk.sent.get(name):
            with contextlib.suppress(FileNotFoundError):  # the run has just ended
                newer[name] = parcels.packed(folder)
                desk.sent[name] = stamps
    return newer


def _forget_others() -> None:
    """Remove what clients left that are gone."""
    for client, desk in list(_desks.items()):
        if time.monotonic() - desk.heard > LEASE:
            leave(client)


def _has(name: str, sha256: str) -> bool:
    """Whether a data set with this content is on this machine."""
    if not data.is_here(name):
        return False
    try:
        return data.origin(name)["sha256"] == sha256
    except (ValueError, data.DataUnavailable):
        return False


def _own_data() -> Path:
    """The folder for data that are sent, in which data are looked for first; what was found in the
    place of before is found through it.
    """
    folder = _scratch() / "data"
    before = os.environ.get("SPARSE_DATA_DIR")
    if before != str(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if before is not None:
            for path in Path(before).glob("*.npz"):
                (folder / path.name).symlink_to(path.resolve())
        os.environ["SPARSE_DATA_DIR"] = str(folder)
    return folder
