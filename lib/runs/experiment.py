"""An experiment: everything that running, storing and listing its runs needs to know of it.

It is handed to whatever runs, so that nothing here or below imports science. A paper's room makes
its experiments, see :mod:`papers`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from lib._boundary import PROFILES, check_known
from lib.runs.config import Run
from lib.runs.record import Record, no_numbers

CLOCK = "clock"  # fact of a record: the seconds at the end of each epoch


class Contents(NamedTuple):
    """Contents of the record of a run.

    Attributes:
        metrics: its table, one row an epoch or a measurement.
        arrays: by name.
        facts: go into the record's environment; ``architecture``, ``final`` and ``seconds`` of
            what was trained among them.
    """

    metrics: pd.DataFrame
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Workspace:
    """Tools that a run has while it is made.

    Attributes:
        folder: for checkpoints, emptied when the run is complete.
        progress: to be called with the number of steps done, see :attr:`lib.runs.config.Run.size`.
        record_of: (run, whether its record holds enough) -> its record; made where no stored one
            does.
    """

    folder: Path
    progress: Callable[[int], None]
    record_of: Callable[[Run, Callable[[Record], bool]], Record]

    def checkpoint(self, device: torch.device) -> Path:
        """The file of the checkpoint of a training on a device. Each kind of device has its own: a
        network that was trained on two would be the result of neither.
        """
        kind = "" if device.type == "cpu" else f"-{device.type}"
        return self.folder / f"checkpoint{kind}.pt"


def keep_all(record: Record, name: str) -> bool:
    """Names of all arrays, for an experiment whose shipped records hold every one."""
    return True


def keep_nothing(record: Record, name: str) -> bool:
    """No names, for an experiment whose shipped records hold no array."""
    return False


@dataclass(frozen=True)
class Experiment:
    """Runs that belong together.

    Functions are those of a module, so that an experiment can be sent to another process.

    Args:
        name: first part of the names of its records.
        configs: profile -> its runs.
        make: (run, :class:`Workspace`) -> :class:`Contents`, from the start or from a checkpoint.
        numbers: record -> columns of its summary, see :data:`lib.runs.record.SUMMARY`.
        keeps: (record, name of an array or :data:`CLOCK`) -> whether the record shipped in
            data/results holds it.
        parents: names of the experiments that its runs start from, or are read beside.
        same_runs_as: names of experiments that may have made the very same run: it is taken over.
        replay: (run, :class:`Workspace`, number of epochs) -> the first rows of its table and the
            arrays of these epochs, made anew and from what is stored, see
            :mod:`lib.runs.replay`; None where its runs have no epochs.
    """

    name: str
    configs: Callable[[str], list[Run]]
    make: Callable[[Run, Workspace], Contents]
    numbers: Callable[[Record], dict[str, Any]] = no_numbers
    keeps: Callable[[Record, str], bool] = keep_nothing
    parents: tuple[str, ...] = ()
    same_runs_as: tuple[str, ...] = ()
    replay: Callable[[Run, Workspace, int], Contents] | None = None

    def runs(self, profile: str) -> list[Run]:
        """Its runs in a profile. Raises ValueError naming the nearest profile."""
        check_known("profile", profile, PROFILES)
        return list(_runs(self, profile))

    def profile_of(self, run: Run) -> str:
        """The profile a run belongs to, "custom" if none."""
        return _profiles(self).get(run.name, "custom")


@cache
def _runs(experiment: Experiment, profile: str) -> tuple[Run, ...]:
    """Made once: a paper has thousands, and each computes the hash in its name."""
    return tuple(experiment.configs(profile))


@cache
def _profiles(experiment: Experiment) -> dict[str, str]:
    profiles: dict[str, str] = {}
    for profile in PROFILES:
        for run in _runs(experiment, profile):
            profiles[run.name] = profile
            if run.stand_in is not None:
                profiles.setdefault(run.stand_in.name, profile)
    return profiles


def catalogue(experiments: Iterable[Experiment]) -> dict[str, Experiment]:
    """Experiments by name.

    Raises: ValueError if a name, of which files are named, has other signs than letters, digits,
        "_" and "-", if two have one name, or one names an unknown experiment.
    """
    by_name: dict[str, Experiment] = {}
    for experiment in experiments:
        if not re.fullmatch(r"[\w-]+", experiment.name):
            raise ValueError(
                f"an experiment is named {experiment.name!r}: take letters, digits, '_' and '-'"
                " alone"
            )
        if experiment.name in by_name:
            raise ValueError(f"two experiments are named {experiment.name!r}: rename one")
        by_name[experiment.name] = experiment
    for experiment in by_name.values():
        for other in (*experiment.parents, *experiment.same_runs_as):
            check_known(f"experiment that {experiment.name!r} names,", other, by_name)
    return by_name


def choose(experiments: Mapping[str, Experiment], name: str) -> Experiment:
    """The experiment of this name. Raises ValueError with the nearest one."""
    check_known("experiment", name, experiments)
    return experiments[name]


def chosen(runs: list[Run], changes: Mapping[str, Any]) -> tuple[list[Run], dict[str, Any]]:
    """The runs of the method, variant and data set that the changes name, and the other changes. A
    data set that the experiment does not have changes the runs on its first one.

    Raises: ValueError naming the nearest method or variant.
    """
    others = dict(changes)
    for label in ("method", "variant", "dataset"):
        if label not in changes:
            continue
        known = list(dict.fromkeys(getattr(run, label) for run in runs))
        if label == "dataset" and changes[label] not in known:
            return [run for run in runs if run.dataset == known[0]], others
        value = others.pop(label)
        check_known(label, value, known)
        runs = [run for run in runs if getattr(run, label) == value]
    return runs, others
