"""Ctrl-C while something is started, in use and ended."""

import signal
import subprocess
import sys
import threading

import pytest

from lib.runs.interruption import Patience, unseen

SHOW = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"


def press():
    """Ctrl-C in this process."""
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def handler():
    """Python's own, which must be there again at last."""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_start_is_ended_before_it_is_interrupted():
    done = []
    with pytest.raises(KeyboardInterrupt, match="what is kept"), Patience("what is kept") as held:
        press()
        done.append("started")
        with held.allowed():
            done.append("used")
    assert done == ["started"]


def test_use_is_interrupted_at_once_and_its_end_is_not():
    done = []
    with pytest.raises(KeyboardInterrupt, match="what is kept"), Patience("what is kept") as held:
        try:
            with held.allowed():
                press()
                done.append("used")
        finally:
            done.append("ended")
    assert done == ["ended"]


def test_end_of_what_was_used_is_not_interrupted_but_what_comes_after():
    done = []
    with pytest.raises(KeyboardInterrupt, match="what is kept"), Patience("what is kept") as held:
        with held.allowed():
            done.append("used")
        press()
        done.append("ended")
    assert done == ["used", "ended"]


@pytest.mark.parametrize("before", [True, False])
def test_second_interruption_waits_for_nothing(before):
    with pytest.raises(KeyboardInterrupt), Patience("what is kept") as held:
        if before:
            press()
        else:
            with pytest.raises(KeyboardInterrupt), held.allowed():
                press()
        press()
        pytest.fail("it was waited for")


def test_error_within_is_not_hidden_by_an_interruption():
    with pytest.raises(OSError, match="no scheduler"), Patience("what is kept"):
        press()
        raise OSError("no scheduler answers")


def test_ignored_interruptions_stay_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Patience("what is kept") as held, held.allowed():
            press()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_other_threads_change_nothing():
    left = []

    def use():
        with Patience("what is kept") as held, held.allowed():
            left.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert left == [signal.default_int_handler]


def test_processes_of_unseeing_threads_do_not_see_it():
    said = []

    def start():
        said.append(subprocess.run([sys.executable, "-c", SHOW], capture_output=True).stdout)

    with unseen():
        thread = threading.Thread(target=start)
        thread.start()
    thread.join()
    start()
    assert [words.strip() for words in said] == [b"True", b"False"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
