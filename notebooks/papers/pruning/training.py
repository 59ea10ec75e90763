"""The search for masks of a head as a run: how its heads are trained, what they are judged by, and
what its record holds.
"""

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch

from lib._boundary import check_known, check_number, check_whole
from lib.runs.config import Run
from lib.runs.experiment import Contents, Workspace
from lib.runs.record import Record
from papers.pruning import fronts, heads, search, tasks
from papers.pruning.heads import Head, HeadSettings
from papers.pruning.ood_detection import auroc, auroc_released, largest_softmax, noise_accuracy
from papers.pruning.tasks import Task
from papers.shared import backbone

OBJECTIVES = ("accuracy", "density", "auroc", "noise")
SMALL_IS_GOOD = "density"  # of the others 1 minus is minimised
TRAINING = 10_000  # added to the seed of a search for that of its heads
FRONT = "front"  # array of rows of the table
MASKS = "masks"  # array of packed bits, a row for each of the front


@dataclass(frozen=True)
class MaskSearch(Run):
    """A search for masks; the method is one of :data:`papers.pruning.search.METHODS`.

    Args:
        mode: what is masked, of :data:`papers.pruning.heads.MODES`.
        extractor: of the features, of :data:`papers.shared.backbone.EXTRACTORS`.
        objectives: names of :data:`OBJECTIVES` with spaces between.
        fitness_part: images on which a mask is judged, "valid", or "test" as released.
        score: by which strangers are told: "softmax", see
            :mod:`papers.pruning.ood_detection`.
        coarse: whether the area under the curve is taken on the released grid.
        stale: whether a repeated mask keeps its parent's area, as released.
        population, offspring, evaluations: see :class:`papers.pruning.search.Settings`.
        train_images, valid_images: used of these parts; None: all.
        n_hidden, learning_rate, weight_decay, batch_size, epochs, patience, stop_on: see
            :class:`papers.pruning.heads.HeadSettings`.
        noise_std: of the objective "noise", in units of the features.
        division: of the images into parts, see :func:`papers.pruning.tasks.load`.
    Raises: ValueError if a field is of another type.
    """

    DIGITS: ClassVar[str] = "%.7g"

    dataset: str = "rsmas"
    method: str = "nsga2"
    variant: str = "corrected"
    mode: str = "features"
    extractor: str = "mobilenet_v2"
    objectives: str = "accuracy density auroc"
    fitness_part: str = "valid"
    score: str = "softmax"
    coarse: bool = False
    stale: bool = False
    population: int = 30
    offspring: int = 2
    evaluations: int = 200
    train_images: int | None = None
    valid_images: int | None = None
    n_hidden: int = HeadSettings.n_hidden
    learning_rate: float = HeadSettings.learning_rate
    weight_decay: float = HeadSettings.weight_decay
    batch_size: int = HeadSettings.batch_size
    epochs: int = HeadSettings.epochs
    patience: int = HeadSettings.patience
    stop_on: str = HeadSettings.stop_on
    noise_std: float = 0.5
    division: int = 0

    @property
    def size(self) -> int:
        """Progress is counted in masks evaluated."""
        return self.evaluations

    @property
    def measured(self) -> tuple[str, ...]:
        """The objectives in order."""
        return tuple(self.objectives.split())

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError with the nearest name."""
        for objective in self.measured:
            check_known("objective", objective, OBJECTIVES)
        check_known("part", self.fitness_part, ("valid", "test"))
        check_known("score", self.score, ("softmax",))
        check_known("extractor", self.extractor, backbone.EXTRACTORS)
        check_known("mode", self.mode, heads.MODES)
        check_known("data set", self.dataset, (*tasks.SETS, tasks.DIGITS))
        if not self.measured or len({*self.measured}) < len(self.measured):
            raise ValueError(
                f"objectives = {self.objectives!r} names none, or one twice: give each of some of"
                f" {', '.join(OBJECTIVES)} once"
            )
        if "auroc" not in self.measured:
            self.check_unused(["coarse", "stale"], "objectives without 'auroc'")
        if self.method == "random_search":
            self.check_unused(["stale"], "method 'random_search'")
        for name in ("train_images", "valid_images"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), least=1)
        check_whole("division", self.division, least=0)
        check_number("noise_std", self.noise_std, "[0, inf)")
        if "noise" not in self.measured:
            self.check_unused(["noise_std"], "objectives without 'noise'")
        self.search_settings()
        self.head_settings()

    def can_be_had(self) -> bool:
        """True if the features of all images are here, or made in a second."""
        return tasks.is_here(self.dataset, self.extractor)

    def search_settings(self) -> search.Settings:
        """How masks are searched. Raises ValueError if a value is out of range."""
        stale = (self.measured.index("auroc"),) if self.stale else ()
        return search.Settings(**self.fields_of(search.Settings) | {"stale": stale})

    def head_settings(self) -> HeadSettings:
        """How every head is trained. Raises ValueError if a value is out of range."""
        return HeadSettings(**self.fields_of(HeadSettings))

    @property
    def training_seed(self) -> int:
        """Seed of the weights of all heads of the search, so that a mask has one fitness."""
        return TRAINING + self.seed

    def task(self) -> Task:
        """Task of its heads."""
        return tasks.load(**self.fields_of(tasks.load))

    def mask_shape(self, task: Task) -> tuple[int, ...]:
        """Shape of one mask."""
        return heads.mask_shape(self.mode, task.n_features, self.n_hidden)

    def check_table(self, metrics: pd.DataFrame) -> None:
        """Refuse a table that lacks evaluations. Raises ValueError."""
        if len(metrics) != self.evaluations:
            raise ValueError(f"its table holds {len(metrics)} of {self.evaluations} evaluations")


def trained(run: MaskSearch, task: Task, masks: np.ndarray, seeds: list[int]) -> list[Head]:
    """Heads of (P, *shape) masks, trained as a search trains them."""
    return heads.train(
        task.x["train"],
        task.y["train"],
        masks,
        seeds,
        mode=run.mode,
        n_classes=task.n_classes,
        settings=run.head_settings(),
        valid=(task.x["valid"], task.y["valid"]),
    )


def measure(run: MaskSearch, task: Task, head: Head, part: str, objective: str) -> float:
    """One objective of a head on a part, as a share: of right answers, of active bits, or the
    probability that an image of the data scores above a stranger.
    """
    x, y = task.x[part], task.y[part]
    if objective == "accuracy":
        return float(heads.accuracies([head], x, y)[0])
    if objective == "density":
        return head.active_fraction
    if objective == "noise":
        generator = torch.Generator().manual_seed(run.training_seed)
        return noise_accuracy(head, x, y, noise_std=run.noise_std, generator=generator)
    inside = largest_softmax(head.logits(x))
    outside = largest_softmax(head.logits(task.strangers[part]))
    area = auroc_released if run.coarse else auroc
    return area(inside, outside)


def minimised(values: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """(E, m) shares as objectives that are minimised; and back."""
    columns = []
    for name, column in zip(names, np.transpose(values), strict=True):
        columns.append(column if name == SMALL_IS_GOOD else 1 - column)
    return np.stack(columns, axis=1)


def make(run: MaskSearch, workspace: Workspace) -> Contents:
    """Search the masks of a run, from its checkpoint if there is one."""
    begin = time.perf_counter()
    task = run.task()
    shape = run.mask_shape(task)

    def fitness(bits: np.ndarray) -> np.ndarray:
        masks = bits.reshape(-1, *shape)
        rows = []
        for head in trained(run, task, masks, [run.training_seed] * len(masks)):
            rows.append([measure(run, task, head, run.fitness_part, n) for n in run.measured])
        return minimised(np.array(rows), run.measured)

    found = search.run(
        fitness,
        int(np.prod(shape)),
        run.search_settings(),
        seed=run.seed,
        checkpoint=workspace.folder / "search.pt",
        on_step=lambda state: workspace.progress(state.evaluations),
    )
    table = pd.DataFrame(minimised(found.objectives, run.measured), columns=list(run.measured))
    table.insert(0, "evaluation", np.arange(1, len(table) + 1))
    table["repeated"] = found.repeated.astype(int)
    rows = fronts.front(found.objectives)
    facts = {
        "architecture": f"{task.n_features}-{run.n_hidden}-{task.n_classes}",
        "images": {part: len(x) for part, x in task.x.items()},
        "strangers": {part: len(x) for part, x in task.strangers.items()},
        "final": {"front": len(rows), "repeated": int(found.repeated.sum())},
        "seconds": round(time.perf_counter() - begin, 1),
        "data": {
            "source": run.extractor,
            "sha256": task.sha256,
            "weights": backbone.extractor(run.extractor).sha256,
        },
        "notice": task.notice,
    }
    return Contents(table, {FRONT: rows, MASKS: found.packed[rows]}, facts)


# --------------------------------------------------------------------------- what a record holds


def holds_front(record: Record) -> bool:
    """True if a record holds the masks of its front."""
    return MASKS in record.arrays


def keep_front(record: Record, name: str) -> bool:
    """Shipped arrays: the front with its masks, unless every bit is a link."""
    return name == FRONT or record.config.mode != "links"


def front_masks(record: Record, length: int) -> np.ndarray:
    """(M, length) bool, the masks of the front."""
    return search.unpack(record.arrays[MASKS], length)
