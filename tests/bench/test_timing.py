"""Seconds and MiB are those of the calls, in turn, and of a process of its own."""

import types

import numpy as np
import pytest

from lib import bench
from lib.bench import timing

# seconds


def test_compare_lets_the_calls_take_turns(monkeypatch):
    monkeypatch.setattr(timing.time, "sleep", lambda seconds: calls.append("rest"))
    monkeypatch.setattr(timing, "others_seconds", lambda: 0.0)
    calls = []
    pair = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    bench.compare(pair, rounds=2, turn=1e-9)  # a turn is two calls, after one that is not timed
    tried = ["a"] * 3 + ["b"] * 3
    turns = ["rest", "a", "a", "a", "rest", "b", "b", "b"]
    assert calls == tried + 2 * turns


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only by work and rest: [this process, the others]."""
    seconds = [0.0, 0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: seconds[0])
    monkeypatch.setattr(timing, "others_seconds", lambda: seconds[1])

    def rest(duration):
        seconds[0] += duration

    monkeypatch.setattr(timing.time, "sleep", rest)
    return seconds


def test_compare_measures_the_seconds_of_one_call(clock):
    calls = {"short": lambda: timing.time.sleep(0.25), "long": lambda: timing.time.sleep(2.0)}
    seconds = bench.compare(calls, rounds=2, turn=1.0)
    assert seconds["short"].tolist() == [0.25, 0.25]
    assert seconds["long"].tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("noise", "counts"),
    [([1.0, 0.5, 0.0], 3), ([1.0, 0.5, 0.9, 0.8], 2)],
    ids=["the third is quiet", "all are noisy"],
)
def test_noisy_turn_is_taken_again_and_the_least_noisy_counts(noise, counts, clock):
    others = iter(noise)

    def measure():
        clock[0] += 1
        clock[1] += next(others)
        return clock[0]

    assert timing.quietest(measure) == counts


def test_seconds_of_others_are_those_that_this_process_did_not_take(monkeypatch, tmp_path):
    stat = tmp_path / "stat"  # user nice system idle iowait irq softirq steal
    stat.write_text("cpu  100 20 30 9999 9999 4 5 6\ncpu0 1 1 1\n")
    monkeypatch.setattr(timing, "STAT", stat)
    monkeypatch.setattr(timing.time, "process_time", lambda: 0.5)
    assert timing.others_seconds() == pytest.approx(1.65 - 0.5)
    monkeypatch.setattr(timing, "STAT", tmp_path / "none")
    assert timing.others_seconds() == 0


def test_epochs_are_of_pixels_and_ours_evolves(monkeypatch):
    trained = []

    def fit(net, split, settings, *, seed):
        trained.append((split, settings))
        return types.SimpleNamespace(clock=[2.0])

    monkeypatch.setattr(timing.train, "fit", fit)
    monkeypatch.setattr(timing, "quietest", lambda once, tries: once())  # noisy or not
    sizes = {"examples": 50, "rounds": 1, "density": 0.5}
    assert timing.epochs(("fused", "dense"), (12, 20, 3), **sizes)["fused"].tolist() == [2.0]
    (split, ours), (_, dense) = trained
    assert ours.evolution is not None and ours.epochs == 2  # the last does not evolve
    assert dense.evolution is None and dense.epochs == 1
    assert split.x_train.shape == split.x_test.shape == (50, 12)
    assert 0 <= split.x_train.min() and split.x_train.max() <= 1
    assert set(split.y_train.tolist()) == {0, 1, 2}


# memory


@pytest.mark.skipif(not timing.STATUS.exists(), reason="memory is measured on Linux alone")
def test_peak_stays_when_memory_is_freed():
    held = np.ones(2**26)  # 512 MiB
    peak = timing.peak_so_far()
    del held
    assert peak > 512
    assert timing.peak_so_far() > peak - 16  # the kernel counts pages in batches


def test_peak_is_read_in_mib(monkeypatch, tmp_path):
    status = tmp_path / "status"
    status.write_text("VmPeak:\t  9999 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n")
    monkeypatch.setattr(timing, "STATUS", status)
    assert timing.peak_so_far() == 2.0


@pytest.mark.ci
def test_memory_grows_with_links_not_with_positions():
    """Three layers of 16,384 neurons: 2 GiB of dense weights, their gradient and momentum not
    counted. What the process that asks has held does not count either.
    """
    np.ones(2**27).sum()  # 1 GiB
    widths = (784, 16_384, 16_384, 16_384, 10)
    peak = timing.peak_memory("fused", widths, er_epsilon=10.0)
    assert 50 < peak < 500  # MiB


def test_peak_is_printed_for_the_process_that_asks(monkeypatch, capsys):
    peaks = iter([100.0, 130.0])
    monkeypatch.setattr(timing, "peak_so_far", lambda: next(peaks))
    timing.print_peak("dense", (12, 20, 3), 4, {"er_epsilon": 2.0})
    assert float(capsys.readouterr().out) == 30.0
