"""Peaks of the machine: multiply-adds, reading from the L2 cache, reading from memory.

A step of sparse layers cannot be shorter than its multiply-adds take at the speed of a dense
product, nor than its rows of examples take to come from the L2 cache: its *floor*.
"""

import numpy as np
import torch
from numba import njit

from lib import kernels
from lib.bench.timing import seconds_of

MIB = 2**20
SIZE = 256 * MIB  # bytes: more than caches hold
IN_L2 = MIB // 4  # bytes: more than the L1 cache holds
LINE = 64  # bytes that come from memory together
READS = 200_000  # of a chain, each of which waits for the one before
SQUARE = 1024  # rows and columns of the dense product


def peaks(rounds: int) -> dict[str, np.ndarray]:
    """Measured peaks, from which floors follow, on torch's threads: {measure: (rounds,)}."""
    return {"multiply-adds, Gflop/s": multiply_adds(rounds), "L2, GB/s": l2_bandwidth(rounds)}


def memory(rounds: int) -> dict[str, np.ndarray]:
    """How fast the memory is, beyond the caches, {measure: (rounds,)}."""
    return {"bandwidth, GB/s": bandwidth(rounds), "latency, ns": latency(rounds)}


def multiply_adds(rounds: int) -> np.ndarray:
    """Gflop a second, two a multiply-add, of a dense product by oneDNN on torch's threads."""
    a = torch.rand(SQUARE, SQUARE, dtype=torch.float32)
    return 2e-9 * SQUARE**3 / seconds_of(lambda: kernels.dense_product(a, a), rounds, untimed=1)


def l2_bandwidth(rounds: int) -> np.ndarray:
    """GB a second that torch's threads read from L2: of one core, times threads, as every core has
    its own.
    """
    x, repeats = np.ones(IN_L2 // 4, dtype=np.float32), 200
    seconds = seconds_of(lambda: _total(x, repeats), rounds, untimed=1)
    return torch.get_num_threads() * 1e-9 * repeats * IN_L2 / seconds


def latency(rounds: int) -> np.ndarray:
    """Nanoseconds of a read of which the next one's address is the result, somewhere in
    :data:`SIZE` bytes, (rounds,).
    """
    chain = _chain(SIZE)
    return 1e9 / READS * seconds_of(lambda: _follow(chain, 0, READS), rounds, untimed=1)


def bandwidth(rounds: int) -> np.ndarray:
    """GB a second, read and written together, of copying half of :data:`SIZE` bytes onto the other
    half, on all threads of torch, (rounds,).
    """
    source, target = torch.zeros(2, SIZE // 8, dtype=torch.float32)
    return 1e-9 * SIZE / seconds_of(lambda: target.copy_(source), rounds, untimed=1)


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


@njit(cache=True, nogil=True, fastmath=True)
def _total(x, repeats):
    total = np.float32(0)
    for _ in range(repeats):
        for i in range(x.size):
            total += x[i]
    return total
