"""Speed and memory against dense, masked, torch.sparse, sparselab and SparseProp, all in one run.

Contenders take turns, so that a busy moment of the machine meets all of them, and a turn in which
others were busy is taken again. Median and range of the middle half are reported, and beside them
the *floor*: what the machine's arithmetic and cache allow.
"""

from lib.bench.contenders import BATCH, kept_mib
from lib.bench.points import (
    COLUMNS,
    HEADLINES,
    measure,
    measure_all,
    measure_points,
    obtain,
    points_of,
    stored,
)
from lib.bench.timing import compare

__all__ = [
    "BATCH",
    "COLUMNS",
    "HEADLINES",
    "compare",
    "kept_mib",
    "measure",
    "measure_all",
    "measure_points",
    "obtain",
    "points_of",
    "stored",
]
