"""Where things lie: the repository, its data, its records and its figures."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "data" / "reference"
RAW = ROOT / "data" / "raw"
RUNS = Path(os.environ.get("SPARSE_RUNS_DIR", ROOT / "data" / "runs"))
RESULTS = Path(os.environ.get("SPARSE_RESULTS_DIR", ROOT / "data" / "results"))
FIGURES = Path(os.environ.get("SPARSE_FIGURES_DIR", ROOT / "figures"))
