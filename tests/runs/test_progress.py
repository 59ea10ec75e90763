"""Progress: a bar on a terminal, lines that are neither many nor long apart in a log."""

import io
import re
import threading
from types import SimpleNamespace

import pytest

from lib.runs import progress
from lib.runs.progress import Progress

LINE = re.compile(r"(\d+)/(\d+) epochs(?:, (.*))? \((\d+) s(?:, about (\d+) s left)?\)")


class Clock:
    """A clock that goes on only while the test sleeps, half a second at a time; after each the
    thread that writes looks once. It is also the event that this thread waits for.
    """

    TICK = progress.SHORTEST / 20  # as often as it looks

    def __init__(self):
        self.now, self.is_set = 0.0, False
        self.ticks, self.waits = threading.Semaphore(0), threading.Semaphore(0)

    def monotonic(self):
        return self.now

    def wait(self, seconds):
        assert seconds == self.TICK
        self.waits.release()
        self.ticks.acquire()
        return self.is_set

    def set(self):
        self.is_set = True
        self.ticks.release()

    def sleep(self, seconds):
        for _ in range(round(seconds / self.TICK)):
            self.waits.acquire()
            self.now += self.TICK
            self.ticks.release()
        self.waits.acquire()  # until it has looked for the last time
        self.waits.release()


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    of_writer = SimpleNamespace(Event=lambda: clock, Thread=threading.Thread)
    monkeypatch.setattr(progress, "threading", of_writer)
    return clock


class Log(io.StringIO):
    """What is written, and when."""

    def __init__(self, clock):
        super().__init__()
        self.clock, self.times = clock, []

    def write(self, text):
        if text.strip():
            self.times.append(self.clock.now)
        return super().write(text)


class Terminal(io.StringIO):
    """A screen."""

    def isatty(self):
        return True


@pytest.fixture
def log(monkeypatch, clock):
    log = Log(clock)
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=log))
    return log


def lines(log):
    """Steps done and text of every line."""
    matches = [LINE.fullmatch(line) for line in log.getvalue().splitlines()]
    assert all(matches) and {match[2] for match in matches} == {"10"}
    return [(int(match[1]), match[3] or "") for match in matches]


def test_log_has_a_first_and_a_last_line(log):
    with Progress(10, "epoch") as shown:
        shown.show(10, "done")
    assert lines(log) == [(0, ""), (10, "done")]


def test_last_line_is_written_when_work_is_interrupted(log):
    with pytest.raises(KeyboardInterrupt), Progress(10, "epoch") as shown:
        shown.show(4, "set")
        raise KeyboardInterrupt
    assert lines(log) == [(0, ""), (4, "set")]


def test_changes_are_written_every_ten_seconds(log, clock):
    with Progress(10, "epoch") as shown:
        for done in range(1, 11):
            shown.show(done, "set")
            clock.sleep(3.5)
    assert log.times == [0, 10, 20, 30, 35]  # the last line does not wait


def test_silence_is_broken_after_thirty_seconds(log, clock):
    with Progress(10, "epoch") as shown:
        shown.show(3, "set")
        clock.sleep(84)
    assert lines(log)[-1] == (3, "set")
    assert log.times == [0, 10, 40, 70]


def test_time_left_counts_no_steps_of_an_earlier_sitting(log, clock):
    with Progress(10, "epoch") as shown:
        shown.show(0, "set")
        clock.sleep(5)  # while a checkpoint is read
        shown.show(4, "set")
        clock.sleep(10)
        shown.show(6, "set")
        clock.sleep(20)
    written = [LINE.fullmatch(line) for line in log.getvalue().splitlines()]
    assert [(match[1], match[5]) for match in written[-2:]] == [("4", None), ("6", "30")]


def test_time_left_follows_the_share_of_the_work_where_that_is_known(log, clock):
    with Progress(100, "epoch") as shown:
        shown.show(1, "set", 0.1)
        clock.sleep(10)
        shown.show(90, "set", 0.3)  # short epochs
        clock.sleep(20)
    match = LINE.fullmatch(log.getvalue().splitlines()[-1])
    assert (match[1], match[5]) == ("90", "70")  # a fifth in 20 s, and seven tenths are left


def test_nothing_is_written_after_the_end(log):
    threads = threading.enumerate()
    with Progress(10, "epoch") as shown:
        shown.show(3, "set")
        (writer,) = {*threading.enumerate()} - {*threads}
    assert not writer.is_alive()


def test_work_that_is_not_shown_is_silent(log):
    threads = threading.enumerate()
    with Progress(10, "epoch", shown=False) as shown:
        shown.show(3, "set")
        assert threading.enumerate() == threads  # so nobody writes later
    assert log.getvalue() == ""


def test_line_of_its_own_is_written_in_any_case(log):
    with Progress(10, "epoch", shown=False) as shown:
        shown.say("digits stands in for mnist")
    assert log.getvalue() == "digits stands in for mnist\n"


def test_terminal_has_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=terminal))
    with Progress(10, "epoch") as shown:
        shown.show(3, "set")
        shown.show(10, "fixed")
        shown.say("a line")
    screen = terminal.getvalue()
    assert "\rset:" in screen and "fixed: 100%|" in screen and "10/10" in screen
    assert "a line\n" in screen and not any(map(LINE.search, screen.splitlines()))
