"""How the library's loops are compiled, and the threads that they run on."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import torch

numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]  # omp: the pool torch runs on
_threads = torch.get_num_threads()
numba.get_num_threads()  # starts the pool, and with it sets torch's number of threads to all cores
torch.set_num_threads(_threads)


def _cache_folder() -> str:
    """Where compiled loops are kept: a folder for each state of the modules beside this one.

    numba looks at the file of a loop alone before it takes that from its cache, not at the files of
    what the loop inlines.
    """
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    name = f"numba-{digest.hexdigest()[:16]}"
    if numba.config.CACHE_DIR:
        return str(Path(numba.config.CACHE_DIR) / name)
    return str(folder / "__pycache__" / name)


CACHE = _cache_folder()


def cached(**options: Any) -> Callable[[Callable], Callable]:
    """``numba.njit`` of these options that keeps what it compiles, in :data:`CACHE` where that can
    be written, else where numba does.
    """

    def decorate(function: Callable) -> Callable:
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = CACHE
        try:
            return numba.njit(cache=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = before

    return decorate


# Sums have the order in which they are written, so that a formula has the same bits wherever it is
# inlined, and products and sums are fused where it says so alone.
# Python does not call them: to compile no way for it saves a tenth of the time. What is serial is
# cached too, as several loops call it: that saves a quarter.
WITHIN = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
formula = numba.njit(forceinline=True, error_model="numpy", nogil=True, **WITHIN)
serial = cached(error_model="numpy", nogil=True, **WITHIN)  # of formulas, on one thread
parallel = cached(parallel=True, error_model="numpy", nogil=True)

# Of element-wise loops, whose sums LLVM may order: on each machine in one way. Their bodies are
# inlined. Otherwise numba runs, after compiling, a body that was optimised apart from its loop. It
# caches one that was optimised again with the loop, whose sums may have another order.
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}  # not nnan, ninf: a diverging run must be seen
jit = cached(parallel=True, fastmath=FASTMATH, forceinline=True, error_model="numpy", nogil=True)
inline = numba.njit(inline="always", fastmath=FASTMATH, error_model="numpy")


@jit
def transposed(x, columns):
    for r in numba.prange(columns.shape[0]):
        for b in range(columns.shape[1]):
            columns[r, b] = x[b, r]
