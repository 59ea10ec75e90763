"""The run that trains the front of a search anew and sets it beside what it must beat."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from lib.papers.pruning import baselines, ensembles, evolving, heads, scores
from lib.papers.pruning.evolving import MaskSearch, trained
from lib.papers.pruning.heads import Head
from lib.papers.pruning.tasks import Task
from lib.runs.config import Run
from lib.runs.experiment import Contents, Workspace
from lib.runs.record import Record

FRESH = 1_000_000  # added to the seed of a search for those of heads it has not seen
PARTS = ("valid", "test")
COLUMNS = (
    "kind",
    "member",
    "seed",
    "n",
    "low",
    "density",
    "valid_accuracy",
    "test_accuracy",
    "valid_auroc",
    "test_auroc",
    "test_odin",
    "test_energy",
    "test_noise",
)


@dataclass(frozen=True)
class FrontStudy(Run):
    """The front of a search, its parent, trained anew and evaluated on test, once.

    Args:
        fresh: other seeds with which every mask of the front is trained.
        compared: masks of the front, evenly over their densities, that are set beside others of
            the same density: drawn at random, of the largest weights, of the first features as a
            penalty falls; 0: none.
        set_heads: how many of these densities a head evolved by SET has as well.
        votes: whether the members vote.
    Raises: ValueError if a field is of another type.
    """

    DIGITS: ClassVar[str] = "%.7g"

    fresh: int = 2
    compared: int = 8
    set_heads: int = 3
    votes: bool = True

    def check(self) -> None:
        """Refuse a parent that is out of range. Raises ValueError."""
        self.parent.check()

    def can_be_had(self) -> bool:
        """Whether the features of all images are here, or made in a second."""
        return self.parent.can_be_had()


def make(run: FrontStudy, workspace: Workspace) -> Contents:
    """Train and measure all heads of a study."""
    begin = time.perf_counter()
    parent = workspace.record_of(run.parent, evolving.holds_front)
    searched = run.parent
    task = searched.task()
    shape = searched.mask_shape(task)
    masks = evolving.front_masks(parent, int(np.prod(shape))).reshape(-1, *shape)
    seeds = [searched.training_seed, *fresh_seeds(searched, run.fresh)]
    measured = _Measured(searched, task)
    members = trained(searched, task, masks, [seeds[0]] * len(masks))
    measured.add("front", members, seeds[0])
    for seed in seeds[1:]:
        measured.add("fresh", trained(searched, task, masks, [seed] * len(masks)), seed)
    full = [_full(searched, task, shape, seed) for seed in seeds]
    for head, seed in zip(full, seeds, strict=True):
        measured.add("full", [head], seed, members=[-1])
    if run.compared:
        _add_baselines(measured, run, masks, full[0])
    if run.votes:
        _add_votes(measured, members, masks)
    table = pd.DataFrame(measured.rows, columns=list(COLUMNS))
    chosen = chosen_member(table)
    facts = {
        "architecture": parent.environment["architecture"],
        "final": {"test_accuracy": float(chosen["test_accuracy"])},
        "seconds": round(time.perf_counter() - begin, 1),
        "data": parent.environment["data"],
    }
    return Contents(table, {}, facts)


def fresh_seeds(searched: MaskSearch, n: int) -> list[int]:
    """Seeds of heads that no mask was chosen with."""
    return [FRESH + 1000 * searched.seed + i for i in range(n)]


def chosen_member(table: pd.DataFrame, objective: str = "accuracy") -> pd.Series:
    """The row of the member of the front that has the highest accuracy, or AUROC, on the part not
    for reporting; of several the one with fewest features.
    """
    front = table[table["kind"] == "front"]
    best_first = [f"valid_{objective}", "density"]
    order = front.sort_values(best_first, ascending=[False, True], kind="stable")
    return order.iloc[0]


def spread_over(densities: np.ndarray, n: int) -> np.ndarray:
    """Rows of n of the masks, evenly over the order of their densities, both ends among them."""
    order = np.argsort(densities, kind="stable")
    places = np.linspace(0, len(order) - 1, min(n, len(order))).round().astype(int)
    return order[np.unique(places)]


class _Measured:
    """The rows of a study's table so far."""

    def __init__(self, searched: MaskSearch, task: Task) -> None:
        self.searched = searched
        self.task = task
        self.rows: list[dict[str, Any]] = []

    def add(
        self, kind: str, found: Sequence[Head], seed: int, *, members: Sequence[int] | None = None
    ) -> None:
        """A row for each of some heads of one kind."""
        members = range(len(found)) if members is None else members
        for member, head in zip(members, found, strict=True):
            place = {"kind": kind, "member": int(member), "seed": seed, "n": 1}
            self.rows.append({**place, **self._measures(head)})

    def _measures(self, head: Head) -> dict[str, float]:
        exact = replace(self.searched, coarse=False)
        row = {"density": head.active_fraction}
        for part in PARTS:
            for objective in ("accuracy", "auroc"):
                value = evolving.measure(exact, self.task, head, part, objective)
                row[f"{part}_{objective}"] = value
        for score in ("odin", "energy"):
            scored = replace(exact, score=score)
            row[f"test_{score}"] = evolving.measure(scored, self.task, head, "test", "auroc")
        row["test_noise"] = evolving.measure(exact, self.task, head, "test", "noise")
        return row

    def add_together(self, kind: str, found: Sequence[Head], low: int) -> None:
        """One row for heads that answer by majority and score by their mean."""
        row: dict[str, Any] = {"kind": kind, "member": -1, "n": len(found), "low": low}
        row["density"] = float(np.mean([head.active_fraction for head in found]))
        for part in PARTS:
            x, y = self.task.x[part], self.task.y[part]
            found_class = ensembles.majority_vote(heads.predictions(found, x))
            inside = np.mean([scores.score(head, x) for head in found], axis=0)
            strangers = self.task.strangers[part]
            outside = np.mean([scores.score(head, strangers) for head in found], axis=0)
            row[f"{part}_accuracy"] = float((found_class == y.numpy()).mean())
            row[f"{part}_auroc"] = scores.auroc(inside, outside)
        self.rows.append(row)

    def add_voters(self, members: Sequence[int], low: int) -> None:
        """Rows for the member of a vote that is most accurate on validation images, and for the
        mean of all; the front must be measured.
        """
        rows = pd.DataFrame([row for row in self.rows if row["kind"] == "front"]).iloc[members]
        best = rows.loc[rows["valid_accuracy"].idxmax()].to_dict()
        mean = rows.drop(columns="kind").mean().to_dict()
        together = {"n": len(rows), "low": low}
        self.rows.append({**best, **together, "kind": "best"})
        self.rows.append({**mean, **together, "kind": "mean", "member": -1})


def _full(searched: MaskSearch, task: Task, shape: tuple[int, ...], seed: int) -> Head:
    return trained(searched, task, np.ones((1, *shape), dtype=bool), [seed])[0]


def _add_baselines(measured: _Measured, run: FrontStudy, masks: np.ndarray, full: Head) -> None:
    """Heads as sparse as some of the front, trained with a seed that no mask was chosen with."""
    searched, task = measured.searched, measured.task
    bits = masks.reshape(len(masks), -1)
    counts = bits.sum(axis=1)
    members = spread_over(counts, run.compared)
    members = members[counts[members] > 0]
    seed = fresh_seeds(searched, 1)[0]
    rng = np.random.default_rng(seed)
    asked = [int(count) for count in counts[members]]
    others = {"random": baselines.random_masks(asked, bits.shape[1], rng=rng)}
    if searched.mode == "features":
        by_penalty = baselines.penalty_order(task.x["train"], task.y["train"], task.n_classes)
        others["magnitude"] = baselines.leading_masks(baselines.magnitude_order(full), asked)
        others["penalty"] = baselines.leading_masks(by_penalty, asked)
    for kind, drawn in others.items():
        same = drawn.reshape(-1, *masks.shape[1:])
        found = trained(searched, task, same, [seed] * len(same))
        measured.add(kind, found, seed, members=members)
    for member in members[spread_over(counts[members], run.set_heads)] if run.set_heads else ():
        density = float(counts[member] / bits.shape[1])
        head = baselines.set_head(task, density, searched.head_settings(), seed=seed)
        measured.add("evolved_links", [head], seed, members=[int(member)])


def _add_votes(measured: _Measured, members: Sequence[Head], masks: np.ndarray) -> None:
    """Votes of members between percentiles of accuracy on validation images, and of as many heads
    of the most accurate mask that differ in their seeds alone.
    """
    searched, task = measured.searched, measured.task
    valid = heads.accuracies(members, task.x["valid"], task.y["valid"])
    voters = ensembles.chosen(valid)
    if not voters:
        return
    best = int(np.argmax(valid))
    most = max(len(chosen) for chosen in voters.values())
    alike = trained(searched, task, np.stack([masks[best]] * most), fresh_seeds(searched, most))
    for (low, _), chosen in voters.items():
        voting = [members[i] for i in chosen]
        measured.add_together("vote", voting, low)
        measured.add_together("alike", alike[: len(voting)], low)
        measured.add_voters(chosen, low)


def numbers(record: Record) -> dict[str, Any]:
    """What the summary says of a study."""
    final = record.environment["final"]
    return {"epochs": record.config.parent.epochs, "final_accuracy": final["test_accuracy"]}
