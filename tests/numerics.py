"""Whether another numerics changed anything but rounding: the table of data/results/numerics.csv.

    python -m tests.numerics FOLDER [--jobs 2] [--write]

trains the sparse networks of ``adaptive_topology`` and ``set_mlp`` anew in a store of their own in
FOLDER, each run on one thread, and compares them with the stored records of the same names, which
are of an earlier numerics (:mod:`lib.checkpoints`). What is done is skipped: interrupted, it goes
on.

Stored records may be older than other changes, as of dropout's mask, and differ by these too. A
store that the last commit of the earlier numerics has filled (``SPARSE_RUNS_DIR=FOLDER/runs``)
differs by numerics alone: ``--stored FOLDER`` compares with it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

import papers
from lib import _boundary
from lib._boundary import whole
from lib.report.intervals import t_interval
from lib.runs import executors
from lib.runs.config import Run
from lib.runs.experiment import PROFILES
from lib.runs.record import Record
from lib.runs.records import Store

EXPERIMENTS = ("adaptive_topology", "set_mlp")
METHODS = ("set", "rigl", "fixed")
DATASETS = ("mnist", "fashion_mnist", "digits")  # the last one is that of the profile smoke
VARIANT = "tuned"  # the published settings train for other numbers of epochs
BY = ["experiment", "dataset", "method"]
TABLE = _boundary.RESULTS / "numerics.csv"
COLUMNS = (
    *BY,
    "n",
    "stored_accuracy",
    "new_accuracy",
    "points",  # mean difference, new - stored
    "points_low",
    "points_high",
    "points_largest",  # of all differences the one furthest from 0, without its sign
)


def headline(profile: str) -> list[Run]:
    """The runs that are compared."""
    runs = []
    for name in EXPERIMENTS:
        for run in papers.EXPERIMENTS[name].runs(profile):
            is_chosen = run.method in METHODS and run.dataset in DATASETS
            if is_chosen and run.variant == VARIANT:
                runs.append(run)
    return runs


def store_in(folder: Path) -> Store:
    """A store of its own, which knows of no other record.

    Raises: ValueError if the folder is one of the checkout's data.
    """
    folder = folder.resolve()
    for taken in (_boundary.ROOT / "data", _boundary.RUNS, _boundary.RESULTS):
        if folder.is_relative_to(taken.resolve()) or folder == taken.resolve().parent:
            raise ValueError(f"{folder} is where the checkout keeps its records: name another one")
    return Store(papers.EXPERIMENTS, folder / "runs", folder / "results")


def pairs(stored: Store, new: Store, runs: Sequence[Run]) -> pd.DataFrame:
    """The last accuracies of the runs that both stores hold, one row a run.

    Raises: ValueError if the records of a run are of one numerics, or of other data.
    """
    rows = []
    for run in runs:
        before, after = stored.stored(run), new.stored(run)
        if before is None or after is None:
            continue
        _check_pair(before, after)
        row = {name: getattr(run, name) for name in (*BY, "seed")}
        row["stored"] = before.summary()["last_accuracy"]
        row["new"] = after.summary()["last_accuracy"]
        rows.append(row)
    return pd.DataFrame(rows, columns=[*BY, "seed", "stored", "new"])


def _check_pair(before: Record, after: Record) -> None:
    name = after.config.name
    if before.numerics == after.numerics:
        raise ValueError(f"both records of {name} are of numerics {after.numerics}: compare others")
    if before.environment["data"]["sha256"] != after.environment["data"]["sha256"]:
        raise ValueError(f"the records of {name} were made from other data: compare others")


def differences(accuracies: pd.DataFrame) -> pd.DataFrame:
    """What lies between the accuracies of :func:`pairs`, a row for each experiment, data set and
    method, and last one of all runs; intervals are 95 % ones of paired differences (Student's t).
    """
    rows = [[*key, *_row(group)] for key, group in accuracies.groupby(BY, sort=False)]
    if rows:
        rows.append(["all", "all", "all", *_row(accuracies)])
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(accuracies: pd.DataFrame) -> list[float]:
    points = 100 * (accuracies["new"] - accuracies["stored"])
    mean = t_interval(points)
    accuracy = accuracies[["stored", "new"]].mean()
    return [len(points), *accuracy, mean.value, mean.low, mean.high, points.abs().max()]


def main(words: Sequence[str] | None = None) -> int:
    """Train what is missing, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.numerics", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="of the store of the networks trained anew")
    parser.add_argument("--jobs", type=int, default=1, choices=(1, 2), help="runs side by side")
    parser.add_argument("--profile", default="paper", choices=PROFILES)
    parser.add_argument("--stored", type=Path, help="folder of a store to compare with")
    parser.add_argument("--table", action="store_true", help="train nothing: what is there so far")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}, if all is there")
    chosen = parser.parse_args(words)
    torch.set_num_threads(1)  # before the first record asks for them
    new, stored = store_in(chosen.folder), papers.STORE
    if chosen.stored is not None:
        stored = Store(papers.EXPERIMENTS, chosen.stored / "runs", chosen.stored / "results")
    runs = headline(chosen.profile)
    if not chosen.table:
        executors.make_missing(new, runs, jobs=chosen.jobs)
    accuracies = pairs(stored, new, runs)
    table = differences(accuracies)
    print(table.to_string(index=False, float_format="%.4f"))
    print(f"{len(accuracies)} of {len(runs)} runs are in both stores")
    is_complete = len(accuracies) == len(runs)
    if chosen.write and is_complete:
        with whole(TABLE) as part:
            table.to_csv(part, index=False, float_format="%.5f")
    return int(not is_complete)


if __name__ == "__main__":
    sys.exit(main())
