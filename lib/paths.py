"""Where things lie: the repository, its data, its records and its figures.

Where the library was installed from a wheel there is no repository: what is downloaded goes into
the folder in which Python was started.
"""

import os
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent
IS_REPOSITORY = (LIBRARY.parent / "pyproject.toml").exists()
ROOT = LIBRARY.parent if IS_REPOSITORY else Path.cwd()
REFERENCE = ROOT / "data" / "reference"
RAW = ROOT / "data" / "raw"
RUNS = Path(os.environ.get("SPARSE_RUNS_DIR", ROOT / "data" / "runs"))
RESULTS = Path(os.environ.get("SPARSE_RESULTS_DIR", ROOT / "data" / "results"))
FIGURES = Path(os.environ.get("SPARSE_FIGURES_DIR", ROOT / "figures"))
