"""Seconds and MiB of the contenders: calls in turn, whole epochs, the peak of a new process."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib import data, evolution, train
from lib.bench import contenders
from lib.bench.contenders import BATCH, ER_20, WIDTHS, Call
from lib.paths import ROOT

ROUNDS = 11
TURN = 0.1  # seconds
STATUS = Path("/proc/self/status")  # Linux; memory is not measured elsewhere
PEAK_PROGRAM = "import sys, json; from lib import bench; bench.print_peak(*json.loads(sys.argv[1]))"


def compare(
    calls: dict[str, Call],
    rounds: int = ROUNDS,
    turn: float = TURN,
) -> dict[str, np.ndarray]:
    """Seconds of each call, (rounds,): the calls take turns, each repeated for ``turn`` seconds.

    A turn begins with a rest, in which threads that another contender left spinning go to sleep,
    and with calls that are not timed, so that it finds its own data in the caches.
    """
    repeats = {}
    for name, call in calls.items():
        call()
        repeats[name] = max(1, int(turn / max(_seconds(call, 1), 1e-7)))
    seconds = {name: np.empty(rounds) for name in calls}
    for i in range(rounds):
        for name, call in calls.items():
            time.sleep(3 * turn)
            for _ in range(1 + repeats[name] // 5):
                call()
            seconds[name][i] = _seconds(call, repeats[name])
    return seconds


def _seconds(call: Call, repeats: int) -> float:
    """Mean seconds of a call."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def epochs(
    names: Sequence[str],
    widths: Sequence[int],
    examples: int,
    rounds: int,
) -> dict[str, np.ndarray]:
    """Seconds of a whole epoch, in turn: steps, evaluation of 10,000 test images, evolution.

    On random images; of two sparse epochs the first is timed, as the last does not evolve.
    """
    split = _random_images(widths, examples)
    seconds = {name: np.empty(rounds) for name in names}
    for i in range(rounds):
        for name in names:
            net = contenders.network(name, widths, **ER_20)
            history = train.fit(net, split, _epoch_settings(name), seed=0)
            seconds[name][i] = history.clock[0]
    return seconds


def _random_images(widths: Sequence[int], examples: int) -> data.Split:
    generator = torch.Generator().manual_seed(0)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        x = torch.rand(n, widths[0], generator=generator)
        y = torch.randint(widths[-1], (n,), generator=generator)
        return x, y

    training = draw(examples)
    test = draw(min(examples, 10_000))
    return data.Split(*training, *test, None, None, *["random"] * 4)


def _epoch_settings(contender: str) -> train.Settings:
    if contender != "fused":
        return train.Settings(1, learning_rate=0.01)
    rule = evolution.Evolution()
    return train.Settings(2, learning_rate=0.01, evolution=rule)


def peak_memory(
    contender: str,
    widths: Sequence[int] = WIDTHS,
    batch: int = BATCH,
    **links: float,
) -> float:
    """MiB by which building the network and training three steps raise a new process's peak."""
    arguments = json.dumps([contender, list(widths), batch, links])
    done = subprocess.run(
        [sys.executable, "-c", PEAK_PROGRAM, arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    return float(done.stdout)


def print_peak(
    contender: str,
    widths: Sequence[int],
    batch: int,
    links: dict[str, float],
) -> None:
    """What the process of :func:`peak_memory` does."""
    tiny = contenders.Trainer("fused", (8, 8, 8, 2), 4, er_epsilon=1.0)
    tiny()  # loads the kernels
    before = peak_so_far()
    step = contenders.Trainer(contender, widths, batch, **links)
    for _ in range(3):
        step()
    print(peak_so_far() - before)


def peak_so_far() -> float:
    """MiB of this process; not by getrusage, which reports the peak of the parent process too."""
    _, _, peak = STATUS.read_text().partition("VmHWM:")
    kilobytes = int(peak.split()[0])
    return kilobytes / 1024
