"""Ctrl-C while something is in use that must not be left half started or half ended."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from types import TracebackType
from typing import Any, Self


class Patience:
    """While the block runs, Ctrl-C waits until it is allowed, at the latest for the end of the
    block; a second one waits for nothing. Only the main thread is ever interrupted: elsewhere
    nothing changes.

    Args:
        sentence: of the KeyboardInterrupt, what is kept.
    """

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        self._allowed = self._came = False
        self._before: Callable[..., Any] | int | None = None

    def __enter__(self) -> Self:
        handler = signal.getsignal(signal.SIGINT)
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and handler is not signal.SIG_IGN:
            self._before = handler
            signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if self._came and error is None:
            raise KeyboardInterrupt(self.sentence)

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Ctrl-C interrupts this block, also one that came before it."""
        self._allowed = True
        try:
            if self._came:
                raise KeyboardInterrupt(self.sentence)
            yield
        finally:
            self._allowed = False

    def _hear(self, *_: object) -> None:
        again, self._came = self._came, True
        if again or self._allowed:
            raise KeyboardInterrupt(self.sentence)


@contextlib.contextmanager
def unseen() -> Iterator[None]:
    """Threads that are started in the block, and the processes that they start, see no Ctrl-C."""
    resource_tracker.ensure_running()  # else the first process would, and unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
