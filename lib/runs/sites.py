"""The workers of a cluster, as their client knows them."""

import time
from dataclasses import dataclass, field

from lib.runs.config import Run
from lib.runs.workers import Delivery

CHECKPOINTS = 15.0  # seconds between two checkpoints of a worker, at least
SHARE = 0.05  # of its time that a worker may spend on sending them


@dataclass
class Site:
    """A worker that is used, and what it does.

    Attributes:
        address, name: of the worker.
        sees_store: whether it writes into the client's store.
        jobs: the runs that it was given.
        steps: done of them, by the name of the run.
        waits: whether it is being asked.
        asked, fetched: when it was asked last, and when for checkpoints.
        costs: seconds that the last checkpoints took.
        deliveries: for its wishes, to go with the next question.
    """

    address: str
    name: str
    sees_store: bool
    jobs: list[Run] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)
    waits: bool = False
    asked: float = 0.0
    fetched: float = field(default_factory=time.monotonic)
    costs: float = 0.0
    deliveries: list[Delivery] = field(default_factory=list)

    def wants_checkpoints(self, now: float) -> bool:
        """Whether it is time to fetch the checkpoints of its runs."""
        apart = max(CHECKPOINTS, self.costs / SHARE)
        return not self.sees_store and now - self.fetched > apart
