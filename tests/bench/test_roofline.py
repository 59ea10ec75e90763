"""The chain of reads goes through all of the memory; what is measured is of the right order."""

import numpy as np
import pytest
import torch

from lib.bench import roofline, timing


def test_chain_is_one_cycle_through_every_line():
    size = 64 * roofline.LINE
    chain = roofline._chain(size)
    assert chain.nbytes == size
    places = [0]
    for _ in range(63):
        places.append(int(chain[places[-1]]))
    assert sorted(places) == list(range(0, 512, 8))
    assert chain[places[-1]] == 0
    assert roofline._follow(chain, 0, 10) == places[10]


def test_every_measure_has_a_number_a_round(monkeypatch):
    monkeypatch.setattr(roofline, "SIZE", 2**20)
    monkeypatch.setattr(roofline, "READS", 1000)
    for measure in (
        roofline.latency,
        roofline.bandwidth,
        roofline.multiply_adds,
        roofline.l2_bandwidth,
    ):
        found = measure(3)
        assert found.shape == (3,) and (found > 0).all()


def test_numbers_are_nanoseconds_a_read_and_gigabytes_a_second(monkeypatch):
    clock = iter(np.arange(100.0))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))  # a second each
    monkeypatch.setattr(roofline, "SIZE", 2**20)
    monkeypatch.setattr(roofline, "READS", 1000)
    assert roofline.latency(2).tolist() == [1e6, 1e6]
    assert roofline.bandwidth(2).tolist() == [2**20 / 1e9] * 2
    monkeypatch.setattr(roofline, "SQUARE", 10)
    assert roofline.multiply_adds(2).tolist() == pytest.approx([2e-6] * 2)
    read = torch.get_num_threads() * 200 * roofline.IN_L2 / 1e9
    assert roofline.l2_bandwidth(2).tolist() == pytest.approx([read] * 2)
