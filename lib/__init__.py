"""Sparse, adaptive and robust neural networks: the thin library behind the notebooks.

The module is the first word that says something: ``from lib import kernels``, then
``kernels.sddmm(...)``. At the top lies the core: ``support`` says which links a layer has,
``growth`` where new ones grow, ``evolution`` what is dropped, ``layers`` and ``models`` compute
with them, ``train`` is the one loop. Packages around it, each importing only those before it:
``data``, the core, ``topology``, ``robustness``, ``runs`` (what an experiment is), ``bench``,
``report``, ``command``. What was run for each paper is ``papers``, in the folder of the notebooks.
"""

import os
import sys
from pathlib import Path

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
