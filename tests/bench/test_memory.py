"""The chain of reads goes through all of the memory; what is measured is of the right order."""

import numpy as np

from lib.bench import memory


def test_chain_is_one_cycle_through_every_line():
    size = 64 * memory.LINE
    chain = memory._chain(size)
    assert chain.nbytes == size
    places = [0]
    for _ in range(63):
        places.append(int(chain[places[-1]]))
    assert sorted(places) == list(range(0, 512, 8))
    assert chain[places[-1]] == 0
    assert memory._follow(chain, 0, 10) == places[10]


def test_copying_and_chained_reads_are_timed_every_round(monkeypatch):
    monkeypatch.setattr(memory, "SIZE", 2**20)
    monkeypatch.setattr(memory, "READS", 1000)
    for measure in (memory.latency, memory.bandwidth):
        found = measure(3)
        assert found.shape == (3,) and (found > 0).all()


def test_numbers_are_nanoseconds_a_read_and_gigabytes_a_second(monkeypatch):
    clock = iter(np.arange(100.0))
    monkeypatch.setattr(memory.time, "perf_counter", lambda: next(clock))  # a second each
    monkeypatch.setattr(memory, "SIZE", 2**20)
    monkeypatch.setattr(memory, "READS", 1000)
    assert memory.latency(2).tolist() == [1e6, 1e6]
    assert memory.bandwidth(2).tolist() == [2**20 / 1e9] * 2
