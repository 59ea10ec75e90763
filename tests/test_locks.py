"""Locks of files; two openings of a file stand for two processes."""

import errno
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import _boundary
from lib._boundary import NotWritten


def hold_for_a_moment(path):
    with _boundary.locked(path, waiting="it is waited for"):
        return "held"


def test_who_waits_says_so_once(tmp_path, caplog):
    path = tmp_path / "run.lock"
    assert hold_for_a_moment(path) == "held" and caplog.messages == []
    with ThreadPoolExecutor() as thread:
        with _boundary.locked(path):
            other = thread.submit(hold_for_a_moment, path)
            with pytest.raises(TimeoutError):
                other.result(timeout=0.5)
        assert other.result(timeout=60) == "held"
    assert caplog.messages == ["it is waited for"]


def test_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(NotWritten, match="run.lock cannot be locked, as its file system has no"),
        _boundary.locked(tmp_path / "run.lock"),
    ):
        pass
