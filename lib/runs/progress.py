"""How far long work is: a bar on a terminal, a line from time to time in a log."""

import sys
import threading
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

SHORTEST, LONGEST = 10.0, 30.0  # seconds between two lines of a log
ENOUGH = 0.1  # of the work done, before what is left can be estimated


def no_progress(done: int) -> None:
    """Tell nobody how many steps are done."""


class Progress:
    """Steps done of a known number, with what is going on.

    On a terminal a bar. Elsewhere lines: at the start, when something has changed at most every 10
    seconds, and every 30 seconds at least, so that a log shows that work goes on.

    Args:
        total: number of steps.
        unit: their name.
        shown: False for no output at all.
    """

    def __init__(self, total: int, unit: str, *, shown: bool = True) -> None:
        self.total, self.unit, self.done = total, unit, 0
        self.text = ""
        on_terminal = sys.stderr.isatty()
        silent = not (shown and on_terminal)
        self._bar = tqdm(total=total, unit=unit, disable=silent, file=sys.stderr)
        self._logs = shown and not on_terminal
        self._ended = threading.Event()
        self._writer = threading.Thread(target=self._write_regularly, daemon=True)
        self._begun = self._written = time.monotonic()
        self._share = 0.0  # of the work that is done
        self._first = 0.0, self._begun  # the share when it first was above 0, and when
        self._last_line = ""

    def __enter__(self) -> Self:
        if self._logs:
            self._write()
            self._writer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._bar.close()
        if self._logs:
            self._writer.join()
            if self._line() != self._last_line:
                self._write()

    def show(self, done: int, text: str, share: float | None = None) -> None:
        """So many steps are done now, and this is going on.

        Args:
            share: of the work that is done, for the estimate of what is left, where steps take
                unlike times; None: that of the steps.
        """
        self.done, self.text = max(self.done, done), text
        self._share = self.done / self.total if share is None else share
        if self._first[0] == 0:
            self._first = self._share, time.monotonic()
        self._bar.set_description_str(text)
        self._bar.update(self.done - self._bar.n)

    def say(self, line: str) -> None:
        """Write a line of its own."""
        if self._bar.disable:
            _print(line)
        else:
            self._bar.write(line, file=sys.stderr)

    def _write_regularly(self) -> None:
        while not self._ended.wait(SHORTEST / 20):
            silent = time.monotonic() - self._written
            changed = self._line() != self._last_line
            if silent >= LONGEST or (changed and silent >= SHORTEST):
                self._write()

    def _line(self) -> str:
        steps = f"{self.done}/{self.total} {self.unit}s"
        return f"{steps}, {self.text}" if self.text else steps

    def _write(self) -> None:
        self._last_line, self._written = self._line(), time.monotonic()
        seconds = self._written - self._begun
        times = f"{seconds:.0f} s"
        earlier, since = self._first  # a checkpoint may hold many steps
        if earlier < self._share < 1 and self._share >= ENOUGH:
            pace = (self._written - since) / (self._share - earlier)
            left = pace * (1 - self._share)
            times = f"{times}, about {left:.0f} s left"
        _print(f"{self._last_line} ({times})")


def _print(line: str) -> None:
    """Write a line at once, whole where another thread writes too."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
