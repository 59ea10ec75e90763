"""Records that runs start from: what a worker that wishes for one is sent, and who makes those
that nobody has.
"""

from lib.runs import parcels
from lib.runs.config import Run
from lib.runs.locks import Locks
from lib.runs.records import Store
from lib.runs.workers import Delivery, Wish


class Wishes:
    """The wishes of the workers of a client.

    Args:
        store: the client's.
        locks: of the runs that are on their way to it.
    """

    def __init__(self, store: Store, locks: Locks) -> None:
        self.store, self.locks = store, locks
        self._makers: dict[str, str] = {}  # addresses of workers, by the run that they make

    def is_made(self, run: Run) -> bool:
        """Whether somebody else has made a run by now, be it for another experiment. What is on
        its way is not taken over, as that would wait for its lock.
        """
        if (self.store.runs / run.name).is_dir():
            return True
        if not self.store.has_twins(run):
            return False
        if not self.locks.take(run.name):
            return False
        self.locks.free(run.name)
        return self.store.take_over(run)

    def answer(self, wish: Wish, address: str, *, own: bool) -> Delivery | None:
        """A record, or the word to make it; None while somebody makes it.

        Args:
            wish: of a worker.
            address: of that worker.
            own: whether the run is among its jobs: its turn would come after that of the run that
                waits for it.
        """
        run = wish.run
        if not wish.whole:
            slim = self.store.slim_files(run)
            if slim is not None:
                return Delivery(run, "results", slim)
        if self.is_made(run):
            return Delivery(run, "runs", parcels.packed(self.store.runs / run.name))
        if run.name in self._makers or not (own or self.locks.take(run.name)):
            return None
        self._makers[run.name] = address
        return Delivery(run, "work", parcels.packed(self.store.work_of(run)))

    def take(self, run: Run, files: parcels.Files) -> None:
        """Store a record that was made because another run starts from it."""
        self.store.accept(run, files)
        self._makers.pop(run.name, None)
        self.locks.free(run.name)

    def forget(self, address: str) -> None:
        """Let others make what a worker has not: it is gone, or the run failed."""
        for name, maker in list(self._makers.items()):
            if maker == address:
                del self._makers[name]
                self.locks.free(name)
