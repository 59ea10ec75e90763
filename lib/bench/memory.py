"""How fast the machine's memory is: what a benchmark's times are read beside."""

import time

import numpy as np
import torch
from numba import njit

MIB = 2**20
SIZE = 256 * MIB  # bytes: more than caches hold
LINE = 64  # bytes that come from memory together
READS = 200_000  # of a chain, each of which waits for the one before


def latency(rounds: int) -> np.ndarray:
    """Nanoseconds of a read of which the next one's address is the result, somewhere in
    :data:`SIZE` bytes, (rounds,).
    """
    chain = _chain(SIZE)
    place = _follow(chain, 0, 1)  # compiled before it is timed
    found = np.empty(rounds)
    for i in range(rounds):
        start = time.perf_counter()
        place = _follow(chain, place, READS)
        found[i] = 1e9 * (time.perf_counter() - start) / READS
    return found


def bandwidth(rounds: int) -> np.ndarray:
    """GB a second, read and written together, of copying half of :data:`SIZE` bytes onto the other
    half, on all threads of torch, (rounds,).
    """
    source, target = torch.zeros(2, SIZE // 8, dtype=torch.float32)
    found = np.empty(rounds)
    for i in range(rounds):
        start = time.perf_counter()
        target.copy_(source)
        found[i] = 1e-9 * SIZE / (time.perf_counter() - start)
    return found


def _chain(size: int) -> np.ndarray:
    """Addresses, a cache line apart, each of the next in one cycle through all: (size / 8,)."""
    order = np.random.default_rng(0).permutation(size // LINE)
    chain = np.zeros(size // 8, dtype=np.int64)
    step = LINE // 8
    chain[step * order] = step * np.roll(order, -1)
    return chain


@njit(cache=True, nogil=True)
def _follow(chain, place, reads):
    for _ in range(reads):
        place = chain[place]
    return place
