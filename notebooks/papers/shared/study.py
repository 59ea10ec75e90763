"""A study: something measured on a trained network."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lib import data
from lib._boundary import check_number, check_whole
from lib.runs.config import Run
from lib.runs.experiment import Contents, Experiment, Workspace, keep_all
from lib.runs.record import Record
from papers.shared import trained

Table = tuple[pd.DataFrame, dict[str, np.ndarray]]
Holds = Callable[[Record], bool]  # whether a record of a parent holds what is needed of it


@dataclass(frozen=True)
class Study(Run):
    """A measurement on a trained network, its ``parent``.

    What is measured is named by ``experiment``; data set, method and seed are those of the parent.
    The measurement decides which part of the data its images come from, see :func:`images`.

    Args:
        hidden: widths of the hidden layers of the parent.
        images: number of images, a stratified subset that is the same for every network.
        draws: repetitions where the perturbation is random.
        points: of a grid of fractions from 0 to 1.
        radii, radii_l2: of attacks in L-infinity and in L2.
        steps, restarts, queries: of the attacks.
        bisections: of the radius of PGD, for minimal distances; 0: those of other attacks alone.
    """

    RECIPES: ClassVar[dict[str, int]] = {**Run.RECIPES, "study_recipe": 1}
    DIGITS: ClassVar[str] = "%.7g"

    hidden: tuple[int, ...] = (1000, 1000, 1000)
    images: int = 2000
    draws: int = 10
    points: int = 21
    radii: tuple[float, ...] = ()
    radii_l2: tuple[float, ...] = ()
    steps: int = 40
    restarts: int = 1
    queries: int = 1000
    bisections: int = 0

    def check(self) -> None:
        """Refuse what is out of range, here or in the parent. Raises ValueError."""
        for name in ("images", "draws", "steps", "restarts", "queries"):
            check_whole(name, getattr(self, name), least=1)
        check_whole("points", self.points, least=2)  # a curve has two ends
        check_whole("bisections", self.bisections, least=0)
        for name in ("radii", "radii_l2"):
            for radius in getattr(self, name):
                check_number(name, radius, "[0, inf)")
        self.parent.check()

    def generator(self, draw: int = 0) -> torch.Generator:
        """The source of randomness of one draw."""
        return torch.Generator().manual_seed(10**6 + 1000 * self.seed + draw)


def study_of(experiment: str, parent: Run, kind: type[Run] = Study, **fields: Any) -> Run:
    """The study of a run, on its data set, with its method and seed. If another run stands in where
    the data set cannot be had, so does the study of that run.
    """
    if kind is Study:
        fields["hidden"] = getattr(parent, "hidden", ())
    stand_in = parent.stand_in and study_of(experiment, parent.stand_in, kind, **fields)
    same = {name: getattr(parent, name) for name in ("dataset", "method", "seed")}
    alone = dataclasses.replace(parent, stand_in=None)
    return kind(experiment, parent=alone, stand_in=stand_in, **same, **fields)


def with_stand_in(make: Callable[[Run], Run], parent: Run) -> Run:
    """The study of a run whose fields depend on the data set, made for the run and for the run that
    stands in for it.
    """
    study = make(parent)
    if parent.stand_in is None:
        return study
    return dataclasses.replace(study, stand_in=make(parent.stand_in))


def studies_of(
    experiment: str,
    parents: Callable[[str], list[Run]],
    amounts: dict[str, dict[str, Any]],
    profile: str,
) -> list[Run]:
    """A study of each run of a profile, with its variant.

    Args:
        experiment: whose studies they are.
        parents: profile -> the runs.
        amounts: by profile, how much is measured.
    """
    return [
        study_of(experiment, parent, variant=parent.variant, **amounts[profile])
        for parent in parents(profile)
    ]


def images(study: Study, n: int | None = None) -> tuple[Tensor, Tensor]:
    """The images of a study and their labels, classes in proportion, the same ones for every
    network; smaller numbers of images lie within larger ones.

    They come from the validation part where the parent has one, else from the test part.

    Args:
        study: whose images.
        n: how many; None for those of the study.
    """
    split = data.load_once(study.parent.dataset, validation=study.parent.validation)
    x, y = split.x_test, split.y_test
    if split.x_valid is not None:
        x, y = split.x_valid, split.y_valid
    return data.stratified(x, y, n or study.images)


def make(
    study: Study,
    workspace: Workspace,
    measure: Callable[[Study, Record], Table],
    holds: Holds = trained.holds_network,
) -> Contents:
    """Measure the network of a study, whose record must hold what is needed: a table, arrays, and
    the facts of its parent.
    """
    parent = workspace.record_of(study.parent, holds)
    start = time.perf_counter()
    metrics, arrays = measure(study, parent)
    facts = {name: parent.environment[name] for name in ("architecture", "final", "data")}
    facts["seconds"] = round(time.perf_counter() - start, 1)
    return Contents(metrics, arrays, facts)


def numbers(record: Record) -> dict[str, Any]:
    """Numbers of a study for the summary: the network it was made on."""
    final = record.environment["final"]
    parent = record.config.parent
    return {
        "optimiser": parent.optimiser,
        "epochs": parent.epochs,
        "final_accuracy": final["test_accuracy"],
        "links_final": final["links"],
    }


def epochs(record: Record) -> dict[str, Any]:
    """Epochs for the summary: of a study those of its parent."""
    return {"epochs": (record.config.parent or record.config).epochs}


def epochs_and_accuracy(record: Record) -> dict[str, Any]:
    """Numbers for the summary of a study whose network is told by less."""
    final = record.environment["final"]
    return {"epochs": record.config.parent.epochs, "final_accuracy": final["test_accuracy"]}


def measuring(
    name: str,
    configs: Callable[[str], list[Study]],
    measure: Callable[..., Table],
    *parents: str,
    holds: Holds = trained.holds_network,
    make: Callable[..., Contents] = make,
    numbers: Callable[[Record], dict[str, Any]] = numbers,
) -> Experiment:
    """The experiment that makes these studies of networks of its parents.

    Args:
        name, configs, numbers: as :class:`lib.runs.experiment.Experiment` takes them.
        measure, holds: see :func:`make`.
        parents: names of the experiments that train the networks.
        make: (study, workspace, measure, holds) -> contents; one that is not :func:`make` hands
            ``measure`` what else it takes.
    """
    making = partial(make, measure=measure, holds=holds)
    return Experiment(name, configs, making, numbers=numbers, keeps=keep_all, parents=parents)
