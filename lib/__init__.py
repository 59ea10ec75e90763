"""Sparse, adaptive and robust neural networks: the thin library behind the notebooks.

The front door is ``__all__``: ``from lib import fit, mlp, sparsify_``. Behind it lies the core:
``support`` says which links a layer has, ``growth`` where new ones grow, ``evolution`` what is
dropped, ``layers`` and ``models`` compute with them, ``train`` is the one loop. Packages around it,
each importing only those before it: ``data``, the core, ``topology``, ``robustness``, ``runs``
(what an experiment is), ``bench``, ``report``, ``command``. What was run for each paper is
``papers``, in the folder of the notebooks.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

# How long a thread that waits for the others keeps its core busy: some 50 µs, then it sleeps. Else
# that is milliseconds, and beside another busy process all steps take ten times as long. It counts
# where torch is imported after this module, as by `python -m lib` and what it starts.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")

# Large tensors in pages of 2 MiB where the system allows it ("madvise", as most do): links read
# neurons anywhere, and the addresses of a million small pages do not fit what a processor remembers
# of them. A step of wide layers takes 1.2 to 1.9 times as long without.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

# `import papers` finds the papers of this checkout, also where another checkout is installed. The
# processes that Python starts for this one look in the same places.
_NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
if (_NOTEBOOKS / "papers").is_dir():
    sys.path.insert(0, str(_NOTEBOOKS))

# Names of the front door by their module, which is imported when a name is first asked for.
_NAMES = {
    "data": "Split from_arrays from_csv from_folder load",
    "support": "Support erdos_renyi_density local_support make_support random_support",
    "kernels": "on_threads sddmm spmm spmm_transposed use_implementation",
    "layers": "Dropout SparseConv2d SparseLinear Standardise",
    "activations": "AllReLU SReLU Splash",
    "models": "convnet count_links count_parameters mlp",
    "growth": "Site unseen",
    "evolution": "Evolution evolve_",
    "sparsify": "Evolver densify_ sparsify_ summary",
    "train": "CannotCompile Diverged History Settings WeightAverage accuracy compiled_step"
    " decay_groups fit predict",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
