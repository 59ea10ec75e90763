"""Smoke runs of every experiment: the same bits on one thread and on two, interrupted and not.

Runs are interrupted by ``kill -9`` half-way and go on from their checkpoint. Threads may differ
where all that a run learns is in layers with compiled loops; what else is computed, dense products
and convolutions, promises its bits on one thread.
"""

import dataclasses
import functools
import shutil
import time

import pytest
import torch

from lib import models
from lib._compiled import launch
from lib.runs.records import Store
from papers import EXPERIMENTS
from papers.set.rbm.training import RBMTraining
from papers.shared import trained
from papers.shared.sparse_training import SparseTraining
from papers.splash.training import UnitTraining
from tests.processes import CONTEXT
from tests.runs import counting
from tests.runs.counting import Counting
from tests.stored import contents, rewrite

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def float64():
    """Runs are made in float32, torch's default."""


def chosen_runs(experiment):
    """The first smoke run of each method where networks are trained, else the first of all."""
    runs = experiment.runs("smoke")
    if runs[0].parent is not None or runs[0].size == 1:
        return runs[:1]
    return list({run.method: run for run in reversed(runs)}.values())


def promises_any_threads(record):
    """Whether the bits of a run do not depend on the number of threads."""
    run = record.config
    if isinstance(run, RBMTraining):
        return run.er_epsilon is not None
    if isinstance(run, UnitTraining | SparseTraining):
        return models.runs_on_any_threads(trained.network(record))
    return False


def unlike(record, other):
    """What of two records has other bytes: columns of the tables, arrays, or another file."""
    names = [f"column {name}" for name in columns_unlike(record.metrics, other.metrics)]
    for name in sorted({*record.arrays, *other.arrays}):
        if bits(record.arrays.get(name)) != bits(other.arrays.get(name)):
            names.append(f"array {name}")
    if not names:
        if contents(record)[1:] != contents(other)[1:]:
            names.append("file")
    return names


def columns_unlike(table, other):
    if list(table) != list(other) or len(table) != len(other):
        return ["names, or the number of rows"]
    return [name for name in table if not table[name].equals(other[name])]


def bits(array):
    return None if array is None else (array.dtype, array.shape, array.tobytes())


# ---------------------------------------------------------------------------------- interruptions


def killed(store, run, seconds):
    """Begin a run in a process that is killed half-way: of the steps, or where there is but one,
    of the seconds that it takes or as soon as it has a checkpoint.

    Returns: whether it was killed before it was done.
    """
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_make, args=(store, run, theirs))
    process.start()
    theirs.close()
    ours.recv()  # its libraries are loaded
    if run.size > 1:
        while ours.recv() < run.size // 2:
            ours.send("go on")
    else:
        wait_for_checkpoint(store.work_of(run), seconds / 2)
    process.kill()
    process.join()
    return store.stored(run) is None


def wait_for_checkpoint(work, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not list(work.glob("*")):
        time.sleep(0.001)


def _make(store, run, pipe):
    torch.set_num_threads(1)
    pipe.send("loaded")

    def tell(done):
        if run.size > 1:
            pipe.send(done)
            pipe.recv()

    store.run(run, progress=tell)


# ----------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_smoke_runs_have_the_same_bits_on_two_threads_and_interrupted(name, tmp_path):
    for number, run in enumerate(chosen_runs(EXPERIMENTS[name])):
        store_in = functools.partial(Store, EXPERIMENTS)
        places = {word: tmp_path / f"{word} {number}" for word in ("one", "two", "cut")}
        stores = {word: store_in(place / "runs", place / "none") for word, place in places.items()}
        run = run.resolved()
        if run.parent is not None:
            for store in stores.values():
                store.run(run.parent)
        begun = time.monotonic()
        record = stores["one"].run(run)
        seconds = time.monotonic() - begun
        where = f"{name}, method {run.method}"
        if promises_any_threads(record):
            with launch.on_threads(2):
                other = stores["two"].run(run)
            assert unlike(record, other) == [], f"{where}: on two threads"
        was_killed = killed(stores["cut"], run, seconds)
        assert was_killed or run.size == 1, f"{where}: it was done before it was killed"
        assert unlike(record, stores["cut"].run(run)) == [], f"{where}: interrupted"


def test_runs_of_sparse_networks_promise_any_threads(tmp_path):
    """The check of threads above is not passed over where it matters."""
    store = Store(EXPERIMENTS, tmp_path / "runs", tmp_path / "none")
    for name in ("adaptive_topology", "set_mlp", "make_it_robust", "set_rbm_dna"):
        run = EXPERIMENTS[name].runs("smoke")[0]
        assert promises_any_threads(store.run(run)), name


def test_what_is_unlike_is_named(tmp_path):
    """The check above can fail."""
    store = counting.store(tmp_path)
    record, other = store.run(Counting("counting")), store.run(Counting("counting", seed=1))
    assert unlike(record, record) == []
    assert unlike(record, other) == ["column digest"]
    arrays = {**record.arrays, "large": record.arrays["large"] + 1}
    assert unlike(record, dataclasses.replace(record, arrays=arrays)) == ["array large"]
    shutil.copytree(record.path, tmp_path / "copy")
    copy = store.read(tmp_path / "copy", record.config.name)
    assert unlike(record, copy) == []
    rewrite(copy.path, record.config.name, table=lambda text: text + "\n")
    assert unlike(record, copy) == ["file"]
