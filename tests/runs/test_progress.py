"""Progress: a bar on a terminal, lines that are neither many nor long apart in a log."""

import io
import re
import time
from itertools import pairwise
from types import SimpleNamespace

import pytest

from lib.runs import progress
from lib.runs.progress import Progress

LINE = re.compile(r"(\d+)/(\d+) epochs(?:, (.*))? \((\d+) s(?:, about (\d+) s left)?\)")


@pytest.fixture(autouse=True)
def seconds(monkeypatch):
    """Seconds pass forty times as fast."""
    monkeypatch.setattr(progress, "SHORTEST", 0.25)
    monkeypatch.setattr(progress, "LONGEST", 0.75)


class Log(io.StringIO):
    """What is written, and when."""

    def __init__(self):
        super().__init__()
        self.times = []

    def write(self, text):
        if text.strip():
            self.times.append(time.monotonic())
        return super().write(text)


class Terminal(io.StringIO):
    """A screen."""

    def isatty(self):
        return True


@pytest.fixture
def log(monkeypatch):
    log = Log()
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


def test_quiet_work_has_one_line_at_the_end_and_no_second(log):
    with Progress(10, "epoch"):
        pass
    assert lines(log) == [(0, "")]


def test_last_line_is_written_when_work_is_interrupted(log):
    with pytest.raises(KeyboardInterrupt), Progress(10, "epoch") as shown:
        shown.show(4, "set")
        raise KeyboardInterrupt
    assert lines(log) == [(0, ""), (4, "set")]


def test_changes_are_written_now_and_then(log):
    with Progress(10, "epoch") as shown:
        for done in range(1, 11):
            shown.show(done, "set")
            time.sleep(0.1)
    gaps = [later - earlier for earlier, later in pairwise(log.times)]
    assert 3 <= len(gaps) <= 5
    assert min(gaps[:-1]) >= progress.SHORTEST  # the last line does not wait


def test_long_silence_is_broken(log):
    with Progress(10, "epoch") as shown:
        shown.show(3, "set")
        time.sleep(2.1)
    assert lines(log)[-1] == (3, "set")
    gaps = [later - earlier for earlier, later in pairwise(log.times)]
    assert 2 <= len(gaps) <= 4
    assert max(gaps) <= 1.5 * progress.LONGEST


def test_nothing_is_written_after_the_end(log):
    with Progress(10, "epoch") as shown:
        shown.show(3, "set")
    written = log.getvalue()
    time.sleep(0.3)
    assert log.getvalue() == written


def test_work_that_is_not_shown_is_silent(log):
    with Progress(10, "epoch", shown=False) as shown:
        shown.show(3, "set")
        time.sleep(0.3)
    assert log.getvalue() == ""


def test_line_of_its_own_is_written_in_any_case(log):
    with Progress(10, "epoch", shown=False) as shown:
        shown.say("digits stands in for mnist")
    assert log.getvalue() == "digits stands in for mnist\n"


def test_steps_done_never_fall(log):
    with Progress(10, "epoch") as shown:
        shown.show(5, "set")
        shown.show(2, "fixed")
    assert lines(log)[-1] == (5, "fixed")


@pytest.fixture
def terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=terminal))
    return terminal


def test_terminal_has_a_bar(terminal):
    with Progress(10, "epoch") as shown:
        shown.show(3, "set")
        shown.show(10, "fixed")
        shown.say("a line")
    screen = terminal.getvalue()
    assert "\rset:" in screen and "fixed: 100%|" in screen and "10/10" in screen
    assert "a line\n" in screen and not any(map(LINE.search, screen.splitlines()))


def test_terminal_has_no_bar_where_none_is_to_be_shown(terminal):
    with Progress(10, "epoch", shown=False) as shown:
        shown.show(3, "set")
    assert terminal.getvalue() == ""
