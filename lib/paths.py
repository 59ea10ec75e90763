"""Where things lie: the repository, its data, its records and its figures.

Where the library was installed from a wheel there is no repository: what is downloaded goes into
the folder in which Python was started.
"""

import os
from pathlib import Path


def named_folder(variable: str) -> Path | None:
    """The folder that an environment variable names; None where it is unset or empty. The variable
    becomes absolute, as kernels and workers, which start in other folders, read it too.
    """
    if not os.environ.get(variable):
        return None
    named = Path(os.environ[variable]).expanduser().absolute()
    os.environ[variable] = str(named)
    return named


LIBRARY = Path(__file__).resolve().parent
IS_REPOSITORY = (LIBRARY.parent / "pyproject.toml").exists()
ROOT = LIBRARY.parent if IS_REPOSITORY else Path.cwd()
PAPERS = ROOT / "notebooks" / "papers"
REFERENCE = ROOT / "data" / "reference"
RAW = ROOT / "data" / "raw"
RUNS = named_folder("SPARSE_RUNS_DIR") or ROOT / "data" / "runs"
RESULTS = named_folder("SPARSE_RESULTS_DIR") or ROOT / "data" / "results"
FIGURES = named_folder("SPARSE_FIGURES_DIR") or ROOT / "figures"
named_folder("SPARSE_DATA_DIR")  # is read again whenever a data set is loaded
