"""Speed and memory against dense, masked, torch.sparse and sparselab, all in one run.

Contenders take turns, so that a busy moment of the machine meets all of them; the median and the
range of the middle half are reported. A turn begins with a rest and, but for whole epochs, with
calls that are not timed.
"""

from lib.bench.contenders import (
    BATCH,
    UNIT_SHAPES,
    WIDTHS,
    MaskedLinear,
    PlainSReLU,
    TorchSparseLinear,
    Trainer,
    UnitPass,
    csr,
    kept_mib,
    network,
    products,
)
from lib.bench.machines import speedups
from lib.bench.scale import RUNS, measure_cluster
from lib.bench.sweeps import (
    COLUMNS,
    measure,
    measure_machine,
    measure_steps,
    measure_units,
    obtain,
    sweep_machines,
    sweep_products,
    sweep_steps,
)
from lib.bench.timing import (
    compare,
    epochs,
    peak_memory,
    print_peak,
)

__all__ = [
    "BATCH",
    "COLUMNS",
    "WIDTHS",
    "MaskedLinear",
    "RUNS",
    "PlainSReLU",
    "TorchSparseLinear",
    "Trainer",
    "UNIT_SHAPES",
    "UnitPass",
    "compare",
    "csr",
    "epochs",
    "kept_mib",
    "measure",
    "measure_cluster",
    "measure_machine",
    "measure_steps",
    "measure_units",
    "network",
    "obtain",
    "peak_memory",
    "print_peak",
    "products",
    "speedups",
    "sweep_machines",
    "sweep_products",
    "sweep_steps",
]
