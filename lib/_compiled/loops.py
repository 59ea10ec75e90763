"""How the library's loops are compiled, and the threads that they run on."""

import hashlib
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import torch
from numba.core import event
from numba.extending import intrinsic

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


class _Announcement(event.Listener):
    """Says on a terminal, once, that a loop of ours is compiled: the first ones take a while."""

    is_due = sys.stderr.isatty() and multiprocessing.parent_process() is None

    def on_start(self, event: Any) -> None:
        module = event.data["dispatcher"].py_func.__module__
        if self.is_due and module.startswith(__package__):
            self.is_due = False
            print("compiling loops for this machine, once: up to a minute", file=sys.stderr)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcement())


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


def address_of(loop: Any, signature: Any) -> int:
    """Address of the loop compiled for these types, or loaded; for :func:`called`."""
    loop.compile(signature)
    compiled = loop.overloads[signature.args]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


def called(signature_of: Callable[[Any], Any]) -> Any:
    """A function for compiled code that calls a loop by its address, with a tuple of arguments. The
    last one says which types the loop was compiled for.

    numba optimises a loop anew in each loop that calls it by name, and in each that calls that.
    What is called by its address is compiled once.
    """

    def call(typing, address, arguments):
        signature = signature_of(arguments[-1])
        kinds = signature.args

        def generate(context, builder, whole, values):
            given = [
                context.cast(builder, builder.extract_value(values[1], i), *pair)
                for i, pair in enumerate(zip(arguments, kinds, strict=True))
            ]
            convention, result = context.call_conv, signature.return_type
            function = convention.get_function_type(result, kinds)
            loop = builder.inttoptr(values[0], function.as_pointer())
            convention.call_function(builder, loop, result, kinds, given)
            return context.get_dummy_value()

        return signature.return_type(numba.types.intp, arguments), generate

    return intrinsic(call)


@jit
def transposed(x, columns):
    for r in numba.prange(columns.shape[0]):
        for b in range(columns.shape[1]):
            columns[r, b] = x[b, r]
