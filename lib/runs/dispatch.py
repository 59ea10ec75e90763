"""Runs on the workers of a cluster, from the side of the client that wants their records.

The client gives each worker one batch of runs at a time and asks it, every second or so, how far
they are. It keeps the latest checkpoint of every run in its own store, so that a run whose worker
is lost goes on from there on another one, and so does, later, every run whose scheduler was lost.
"""

import contextlib
import math
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lib import data
from lib.files import explained, remove_all_halves, whole
from lib.runs import clusters, parcels, workers
from lib.runs.calls import Calls
from lib.runs.config import Run
from lib.runs.environment import environment
from lib.runs.locks import Locks, held
from lib.runs.progress import Progress
from lib.runs.records import Store
from lib.runs.sites import Site
from lib.runs.wishes import Wishes
from lib.runs.workers import Answer, Introduction, Job, Outcome, Report

WAIT = 0.2  # seconds for an answer before other things are looked after
LOOKING = 1.0  # seconds between two looks for workers that came or are gone
ASKING = 0.5  # seconds between two questions to a worker, where there are few
QUESTIONS = 50  # a second, to all workers together
SHORT = 1.0  # seconds of work in a batch of short runs
LARGEST = 50  # runs in a batch
LOSSES = 3  # workers that a run may lose, without a step further, before it is given up
Show = Callable[[Sequence[Run], dict[Run, int]], None]


class ClusterLost(RuntimeError):
    """The scheduler is gone, or none of its workers can be used."""


class Dispatch:
    """Makes runs on a cluster.

    Args:
        client: of the cluster, a ``distributed.Client``.
        store: where the records go.
        missing: the runs, of which none has a record.
        shown: says what happens.
        show: called with the runs left, and the steps done by those that have begun.
        wire: whether records come over the wire also from workers that see the store.
        look: where it is said why no worker comes.
    """

    def __init__(
        self,
        client: Any,
        store: Store,
        missing: Sequence[Run],
        shown: Progress,
        show: Show,
        *,
        wire: bool = False,
        look: str = "",
    ) -> None:
        self.client, self.store, self.shown, self.show = client, store, shown, show
        self.wire, self.look = wire, look
        self.alone = time.monotonic()  # since when there is no worker; inf: it was said
        self.name = f"sweep-{uuid.uuid4().hex[:12]}"
        self.missing = {run.name: run for run in missing}
        self.pending = deque(missing)
        self.calls = Calls(client)
        self.locks = Locks(store.runs)  # of the runs that are on their way
        self.coming: dict[str, str] = {}  # names of workers by address, until they are used
        self.sending: str | None = None  # address of the worker that is being sent data
        self.queue: deque[tuple[Site, list[str]]] = deque()  # others, and the data that they lack
        self.sites: dict[str, Site] = {}
        self.refused: dict[str, str] = {}  # sentences by address
        self.wishes = Wishes(store, self.locks)
        self.losses: Counter[str] = Counter()  # of workers; with 0 for one lost among others
        self.reached: dict[str, int] = {}  # steps, of runs whose workers were lost
        self.seconds: dict[str, float] = {}  # of the last run of an experiment
        self.failures: list[tuple[Run, str]] = []
        self.looked = -math.inf
        self.introduction: Introduction

    def failed(self) -> Iterator[tuple[Run, str]]:
        """Make the runs; those that fail, each with the reason.

        Raises: ClusterLost if the scheduler is gone, or all workers are refused.
        """
        token = self.store.runs / f".{self.name}"
        with explained(token):
            token.parent.mkdir(parents=True, exist_ok=True)
        remove_all_halves(token.parent)
        try:
            with whole(token) as part:
                part.write_text(self.name)
            with held(token):  # by which workers tell whether locks reach them
                self.introduction = self._introduction(token)
                while self.missing:
                    self._look_for_workers()
                    self._assign()
                    self._ask()
                    self.calls.handle(WAIT)
                    self._show()
                    yield from self.failures
                    self.failures.clear()
        finally:
            token.unlink(missing_ok=True)
            self.locks.free_all()
            self.calls.end(list(self.sites), workers.leave, self.name)

    def _show(self) -> None:
        if not self.sites:
            self._show_nobody()
            return
        self.alone = time.monotonic()
        begun: dict[Run, int] = {}
        for site in self.sites.values():
            for run in site.jobs:
                if run.name in site.steps:
                    begun[run] = site.steps[run.name]
        self.show(list(self.missing.values()), begun)

    def _show_nobody(self) -> None:
        """Show that there is no worker; after a while, say once where to look."""
        self.shown.show(self.shown.done, "waiting for workers")
        if time.monotonic() - self.alone > clusters.ALONE:
            self.shown.say(f"no worker has come for {clusters.ALONE:.0f} s: {self.look}")
            self.alone = math.inf

    # ----------------------------------------------------------------------------- the workers

    def _introduction(self, token: Path) -> Introduction:
        hashes: dict[str, str] = {}
        for name in sorted(_datasets(self.missing.values())):
            with contextlib.suppress(data.DataUnavailable):  # the run that needs it says so
                hashes[name] = data.origin(name)["sha256"]
        return Introduction(
            self.name,
            self.store,
            None if self.wire else (token.name, token.read_text()),
            workers.shown_results(self.store),
            hashes,
            environment(),
        )

    def _look_for_workers(self) -> None:
        now = time.monotonic()
        if now - self.looked > LOOKING:
            self.looked = now
            with contextlib.suppress(OSError):  # then the status is another
                self._compare(clusters.workers_of(self.client))
        if self.client.status != "running":
            raise ClusterLost(
                "the scheduler is gone: nothing is lost, the same command continues with what came"
                " back"
            )

    def _compare(self, present: dict[str, dict[str, Any]]) -> None:
        """Lose the workers that are gone, introduce ourselves to those that are new."""
        for address in [*self.sites, *self.coming]:
            if address not in present:
                self._lose(address, "its connection ended")
        for address, facts in present.items():
            if address not in self.sites | self.coming | self.refused:
                self._introduce(address, facts)
        if present and self.refused.keys() >= present.keys():
            raise ClusterLost(f"no worker can be used: {'; '.join(self.refused.values())}")

    def _introduce(self, address: str, facts: dict[str, Any]) -> None:
        name = str(facts["name"])
        self.coming[address] = name if name == address else f"{name} ({address})"
        threads = facts["nthreads"]
        if threads > 1:
            self.shown.say(
                f"worker {self.coming[address]} has {threads} threads and makes one run at a time:"
                f" start it with --nthreads 1 --nworkers {threads}"
            )
        self.calls.send(
            address,
            workers.introduce,
            self.introduction,
            then=partial(self._welcome, address),
            otherwise=partial(self._refuse, address, self.coming[address]),
        )

    def _welcome(self, address: str, answer: Answer) -> None:
        name = self.coming[address]
        if answer.differences:
            self._refuse(address, name, " and ".join(answer.differences))
            return
        if answer.sees_store:
            self.shown.say(f"worker {name} sees {self.store.runs} and stores its records there")
        else:
            self.shown.say(f"worker {name} does not use {self.store.runs} and sends its records")
        self._send_data(Site(address, name, answer.sees_store), list(answer.lacking))

    def _send_data(self, site: Site, lacking: list[str]) -> None:
        """Send what a worker lacks, one data set after the other; then it is used."""
        if not lacking:
            del self.coming[site.address]
            self.sites[site.address] = site
            self._send_to_next(site.address)
            return
        if self.sending not in (None, site.address):  # one at a time: data may be of gigabytes
            self.queue.append((site, lacking))
            return
        name, *others = lacking
        path = data.origin(name)["path"]
        if path is None:
            self._refuse(site.address, site.name, f"its {name} is another, and no file to be sent")
            return
        self.sending = site.address
        content = Path(path).read_bytes()
        self.shown.say(f"worker {site.name} is sent {name} ({len(content) / 1e6:.1f} MB)")
        self.calls.send(
            site.address,
            workers.receive_data,
            self.name,
            name,
            content,
            then=lambda _: self._send_data(site, others),
            otherwise=partial(self._refuse, site.address, site.name),
        )

    def _send_to_next(self, address: str) -> None:
        """Send data to the worker that has waited longest, if this one, or none, had its turn."""
        if self.sending != address:
            return
        self.sending = None
        while self.queue and self.sending is None:
            site, lacking = self.queue.popleft()
            if site.address in self.coming:
                self._send_data(site, lacking)

    def _refuse(self, address: str, name: str, reason: str) -> None:
        self.coming.pop(address, None)
        self.refused[address] = f"worker {name} is refused: {reason}"
        self.shown.say(self.refused[address])
        self._send_to_next(address)

    def _dismiss(self, site: Site, run: Run, reason: str) -> None:
        """Use a worker no more whose machine failed; its run goes on elsewhere, after the others,
        as no other machine may do for it either.
        """
        del self.sites[site.address]
        self.calls.forget(site.address)
        self.calls.send(site.address, workers.leave, self.name, then=str, otherwise=str)
        self._refuse(site.address, site.name, reason)
        self.locks.free(run.name)
        self.pending.append(run)

    def _lose(self, address: str, reason: str) -> None:
        """A worker is gone, or knows nothing of us any more: its runs go on elsewhere."""
        self.calls.forget(address)
        self.coming.pop(address, None)
        self._send_to_next(address)
        site = self.sites.pop(address, None)
        if site is None:
            return
        self.wishes.forget(address)
        self.shown.say(f"worker {site.name} is lost: {reason}")
        alone = len(site.jobs) == 1
        for run in reversed(site.jobs):
            self._take_back(run, site.steps.get(run.name, 0), reason, alone=alone)

    def _take_back(self, run: Run, done: int, reason: str, *, alone: bool) -> None:
        """Let somebody else go on with a run. A loss counts against a run that was alone, and
        against one that has come no further than at the losses before.
        """
        self.locks.free(run.name)
        if done > self.reached.get(run.name, 0):
            self.reached[run.name] = done
            self.losses[run.name] = 0
        self.losses[run.name] += alone
        if self.losses[run.name] >= LOSSES:
            self._fail(run, f"{LOSSES} workers were lost with it, the last one: {reason}")
            return
        steps = f"{done} of {run.size} steps done"
        self.shown.say(f"{run.name} ({steps}) goes on elsewhere, from its last checkpoint")
        self.pending.appendleft(run)

    # -------------------------------------------------------------------------------- the runs

    def _assign(self) -> None:
        for site in self.sites.values():
            if not site.jobs and self.pending:
                site.jobs = self._batch(site)
                if site.jobs:
                    self._give(site)

    def _batch(self, site: Site) -> list[Run]:
        """The next runs: several where they are short, start from nothing and lost no worker."""
        batch: list[Run] = []
        expected = 0.0
        share = math.ceil(len(self.pending) / (2 * len(self.sites)))
        for _ in range(len(self.pending)):
            run = self.pending[0]
            expected += self.seconds.get(run.experiment, math.inf)
            alone = run.parent is not None or run.name in self.losses
            if batch and (alone or expected > SHORT):
                break
            self.pending.popleft()
            if self.wishes.is_made(run):
                self.missing.pop(run.name)
            elif not site.sees_store and not self.locks.take(run.name):
                self.pending.append(run)  # somebody else makes it
            else:
                batch.append(run)
                if alone or len(batch) >= min(share, LARGEST):
                    break
        return batch

    def _give(self, site: Site) -> None:
        """Send a worker its jobs."""
        site.steps = {}
        jobs = []
        for run in site.jobs:
            checkpoint = {} if site.sees_store else parcels.packed(self.store.work_of(run))
            jobs.append(Job(run, checkpoint))
        self.calls.send(
            site.address,
            workers.work,
            self.name,
            jobs,
            label=site.jobs[0].name,
            then=partial(self._take, site),
            otherwise=partial(self._lose, site.address),
        )

    def _take(self, site: Site, came: tuple[list[Outcome], dict[Run, parcels.Files]]) -> None:
        """Take what became of jobs; those that had not begun are anybody's again."""
        outcomes, made = came
        jobs, site.jobs = site.jobs, []
        for run, files in made.items():
            self.wishes.take(run, files)
        self.wishes.forget(site.address)  # what it was to make besides failed
        for run in reversed(jobs[len(outcomes) :]):
            self.locks.free(run.name)
            self.pending.appendleft(run)
        done = list(zip(jobs, outcomes, strict=False))
        run, last = done[-1]
        if last.of_the_place and _datasets([run]) <= self.introduction.data.keys():
            done.pop()  # else nobody has its data
            self._dismiss(site, run, last.failure)
        for run, outcome in done:
            self.seconds[run.experiment] = outcome.seconds
        self._assign()  # the worker goes on while its records are stored
        for run, outcome in done:
            if outcome.failure is not None:
                self._fail(run, outcome.failure)
                continue
            if outcome.record is not None:
                self.store.accept(run, outcome.record)
            self._done(run)

    def _fail(self, run: Run, reason: str) -> None:
        self.failures.append((run, reason))
        self._done(run)

    def _done(self, run: Run) -> None:
        self.locks.free(run.name)
        self.missing.pop(run.name, None)

    # --------------------------------------------------------------------------- the questions

    def _ask(self) -> None:
        """Ask the workers how far they are, and give them what they wished for."""
        now = time.monotonic()
        apart = max(ASKING, len(self.sites) / QUESTIONS)
        for site in self.sites.values():
            if not site.jobs or site.waits or now - site.asked < apart:
                continue
            site.asked, site.waits = now, True
            deliveries, site.deliveries = site.deliveries, []
            checkpoints = site.wants_checkpoints(now)
            self.calls.send(
                site.address,
                workers.report,
                self.name,
                deliveries,
                checkpoints,
                then=partial(self._hear, site, checkpoints),
                otherwise=partial(self._lose, site.address),
            )

    def _hear(self, site: Site, fetched: bool, report: Report) -> None:
        now = time.monotonic()
        site.waits = False
        if fetched:
            site.fetched, site.costs = now, now - site.asked
        site.steps |= report.steps
        for run, files in report.made.items():
            self.wishes.take(run, files)
        for name, files in report.checkpoints.items():
            if name in self.locks:
                parcels.unpack(files, self.store.runs / f"{name}.work")
        for wish in report.wishes:
            own = wish.run in site.jobs
            delivery = self.wishes.answer(wish, site.address, own=own)
            if delivery is not None:
                site.deliveries.append(delivery)


def _datasets(runs: Sequence[Run]) -> set[str]:
    """The data sets of runs and of those that they start from."""
    names: set[str] = set()
    for run in runs:
        while run is not None:
            names.add(run.dataset)
            run = run.parent
    return names
