"""Seconds and MiB of the contenders: calls in turn, whole epochs, the peak of a new process."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lib import data, evolution, train
from lib._boundary import ROOT
from lib.bench import contenders
from lib.bench.contenders import BATCH, WIDTHS, Call

ROUNDS = 11
TURN = 0.1  # seconds
REST = 0.03  # seconds: longer than a thread that waits keeps its core busy
OTHERS = 0.15  # of a core: others that are busier make a turn noisy
GRAIN = 0.02  # seconds to which that is known
TRIES = 4  # of a noisy turn
STAT = Path("/proc/stat")  # Linux; elsewhere no turn is known to be noisy
STATUS = Path("/proc/self/status")  # Linux; memory is not measured elsewhere
TICKS = 100  # of STAT a second
WORK = (0, 1, 2, 5, 6, 7)  # user, nice, system, interrupts (2), and what other machines took
PEAK_PROGRAM = (
    "import sys, json; from lib.bench import {0}; {0}.print_peak(*json.loads(sys.argv[1]))"
)


def compare(
    calls: Mapping[str, Call], rounds: int = ROUNDS, turn: float = TURN, tries: int = TRIES
) -> dict[str, np.ndarray]:
    """Seconds of each call, (rounds,): the calls take turns, each repeated for ``turn`` seconds,
    of which the median counts.

    A turn begins with a rest, in which threads that another contender left spinning go to sleep,
    and with calls that are not timed, so that it finds its own data in the caches. One in which
    other processes were busy is taken again, up to ``tries`` times, see :func:`quietest`.
    """
    repeats = {}
    for name, call in calls.items():
        (once,) = seconds_of(call, 1, untimed=2)
        repeats[name] = max(2, int(turn / max(once, 1e-7)))
    seconds = {name: np.empty(rounds) for name in calls}
    for i in range(rounds):
        for name, call in calls.items():
            seconds[name][i] = quietest(partial(_turn, call, repeats[name]), tries)
    return seconds


def _turn(call: Call, repeats: int) -> float:
    time.sleep(REST)
    return float(np.median(seconds_of(call, repeats, untimed=1 + repeats // 5)))


def seconds_of(call: Call, repeats: int, *, untimed: int = 0) -> np.ndarray:
    """Seconds of each of some calls, after some that are not timed, (repeats,)."""
    for _ in range(untimed):
        call()
    seconds = np.empty(repeats)
    for i in range(repeats):
        start = time.perf_counter()
        call()
        seconds[i] = time.perf_counter() - start
    return seconds


def quietest(measure: Callable[[], float], tries: int = TRIES) -> float:
    """A measurement made while other processes are quiet; of as many noisy tries the least noisy
    one.
    """
    noisy = []
    for _ in range(tries):
        start, before = time.perf_counter(), others_seconds()
        found = measure()
        elapsed = max(time.perf_counter() - start, 1e-9)
        busy = others_seconds() - before
        if busy <= OTHERS * elapsed + GRAIN:
            return found
        noisy.append((busy / elapsed, found))
    return min(noisy)[1]


def others_seconds() -> float:
    """Processor seconds so far of all that is not this process, other virtual machines included;
    0 where that is not known.
    """
    if not STAT.exists():
        return 0.0
    line = STAT.read_text().split("\n", 1)[0].split()[1:]
    return sum(int(line[i]) for i in WORK) / TICKS - time.process_time()


def epochs(
    names: Sequence[str],
    widths: Sequence[int],
    examples: int,
    rounds: int,
    **links: float,
) -> dict[str, np.ndarray]:
    """Seconds of a whole epoch, in turn: steps, evaluation of as many test images (at most 10,000),
    evolution; of plain dense torch, ``"dense_modules"``, the steps alone. A noisy epoch is taken
    again once.

    On random images; of two sparse epochs the first is timed, as the last does not evolve.
    """
    generator = torch.Generator().manual_seed(0)
    tensors = []
    for n in (examples, min(examples, 10_000)):  # of the training and of the test part
        tensors.append(torch.rand(n, widths[0], generator=generator))
        tensors.append(torch.randint(widths[-1], (n,), generator=generator))
    split = data.Split(*tensors, None, None, *["random"] * 4)

    def one(name: str) -> float:
        if name == "dense_modules":
            trainer = contenders.Trainer(name, widths)
            return float(seconds_of(trainer, -(-examples // trainer.batch)).sum())
        settings = train.Settings(1, learning_rate=0.01)
        if name == "fused":
            settings = train.Settings(2, learning_rate=0.01, evolution=evolution.Evolution())
        net = contenders.network(name, widths, **links)
        return train.fit(net, split, settings, seed=0).clock[0]

    seconds = {name: np.empty(rounds) for name in names}
    for i in range(rounds):
        for name in names:
            seconds[name][i] = quietest(partial(one, name), tries=2)
    return seconds


def peak_memory(
    contender: str,
    widths: Sequence[int] = WIDTHS,
    batch: int = BATCH,
    **links: float,
) -> float:
    """MiB by which building the network and training it raise a new process's peak: three steps,
    an update of its links if it is sparse, and another step. It holds the examples of one batch.
    """
    return of_new_process("timing", contender, list(widths), batch, links)


def of_new_process(module: str, *arguments: Any) -> float:
    """What ``print_peak`` of a module of this package prints in a process of its own."""
    program = PEAK_PROGRAM.format(module)
    command = [sys.executable, "-c", program, json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


def print_peak(
    contender: str,
    widths: Sequence[int],
    batch: int,
    links: dict[str, float],
) -> None:
    """Measure and print the peak, in the process that :func:`peak_memory` starts."""
    load_loops()
    before = peak_so_far()
    trainer = contenders.Trainer(contender, widths, batch, examples=batch, **links)
    _train_a_little(trainer)
    print(peak_so_far() - before)


def load_loops() -> None:
    """Load the compiled loops, which are no part of what a network takes."""
    _train_a_little(contenders.Trainer("fused", (8, 8, 8, 2), BATCH, er_epsilon=1.0))


def _train_a_little(trainer: contenders.Trainer) -> None:
    for _ in range(3):
        trainer()
    trainer.move_links(torch.Generator().manual_seed(0))
    trainer()


def peak_so_far() -> float:
    """MiB of this process; not by getrusage, which reports the peak of the parent process too."""
    _, _, peak = STATUS.read_text().partition("VmHWM:")
    kilobytes = int(peak.split()[0])
    return kilobytes / 1024
