"""Measurements of searches: their fronts trained anew beside what these must beat, images of
which a part is hidden, and what tables of records say of fronts, choices and votes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lib import data
from lib._boundary import check_number, check_whole
from lib.report.frames import NETWORK, facts
from lib.report.tables import Records
from lib.runs.config import Run
from lib.runs.experiment import Contents, Workspace
from papers.pruning import (
    baselines,
    ensembles,
    fronts,
    heads,
    influence,
    occlusion,
    splits,
    tasks,
    training,
)
from papers.pruning.heads import Head
from papers.pruning.ood_detection import auroc, largest_softmax
from papers.pruning.tasks import Task
from papers.pruning.training import MaskSearch, measure, minimised, trained
from papers.shared import backbone, features

FRESH = 1_000_000  # added to the seed of a search for those of heads it has not seen
HIDING = 2_000_000  # added to the seed of a search for the draws of regions
PARTS = ("valid", "test")
OBJECTIVES = ["accuracy", "density", "auroc"]
COLUMNS = (  # of a table of heads
    *("kind", "member", "seed", "n", "low", "density"),
    *("valid_accuracy", "test_accuracy", "valid_auroc", "test_auroc"),
)
JUDGED = ("accuracy", "auroc")  # of a member, of a vote
LICENSED = (tasks.DIGITS, "citrus_leaves", "rps28")  # data sets whose images may be shown
EXAMPLES, EXAMPLE_SIDE = 4, 128  # images that are shown, pixels at most

# ------------------------------------------------------------- fronts beside what they must beat


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
        """Refuse what is out of range, here or in the parent. Raises ValueError."""
        for name in ("fresh", "compared", "set_heads"):
            check_whole(name, getattr(self, name), least=0)
        if self.set_heads > self.compared:
            raise ValueError(
                f"set_heads = {self.set_heads} of {self.compared} densities compared: give no more"
            )
        self.parent.check()

    def can_be_had(self) -> bool:
        """True if the features of all images are here, or made in a second."""
        return self.parent.can_be_had()


def make_front(run: FrontStudy, workspace: Workspace) -> Contents:
    """Train and measure all heads of a study: a table with a row a head or a vote.

    Columns: kind ("front": a member, trained as it was searched, with other heads
    beside it, so that rounding may change when it stops; "fresh": with another seed;
    "full"; "random", "magnitude", "penalty", "evolved_links": of the same density as a member;
    "vote", "alike", "best", "mean": see :data:`RIVALS`), member, seed (of the training), n (heads
    that vote), low (percentile from which on members vote), density, and accuracy and AUROC on
    validation and test images.
    """
    begin = time.perf_counter()
    parent = workspace.record_of(run.parent, training.holds_front)
    searched = run.parent
    task = searched.task()
    shape = searched.mask_shape(task)
    masks = training.front_masks(parent, int(np.prod(shape))).reshape(-1, *shape)
    seeds = [searched.training_seed, *fresh_seeds(searched, run.fresh)]
    table = _HeadTable(searched, task)
    members = table.train("front", masks, seeds[0])
    for seed in seeds[1:]:
        table.train("fresh", masks, seed)
    whole = np.ones((1, *shape), dtype=bool)
    full = [table.train("full", whole, seed, members=[-1])[0] for seed in seeds]
    if run.compared:
        _add_baselines(table, run, masks, full[0])
    if run.votes:
        _add_votes(table, members, masks)
    metrics = pd.DataFrame(table.rows, columns=list(COLUMNS))
    facts = {
        "architecture": parent.environment["architecture"],
        "final": {"test_accuracy": float(chosen_member(metrics)["test_accuracy"])},
        "seconds": round(time.perf_counter() - begin, 1),
        "data": parent.environment["data"],
    }
    return Contents(metrics, {}, facts)


def fresh_seeds(searched: MaskSearch, n: int) -> list[int]:
    """Seeds of heads that no mask was chosen with."""
    return [FRESH + 1000 * searched.seed + i for i in range(n)]


def chosen_member(table: pd.DataFrame, objective: str = "accuracy") -> pd.Series:
    """The row of the member of the front that has the highest accuracy, or AUROC, on validation
    images; of several the one with fewest features.

    Args:
        table: of :func:`make_front`.
        objective: "accuracy" or "auroc".
    """
    front = table[table["kind"] == "front"]
    best_first = [f"valid_{objective}", "density"]
    return front.sort_values(best_first, ascending=[False, True], kind="stable").iloc[0]


def spread_over(densities: np.ndarray, n: int) -> np.ndarray:
    """Rows of n of the masks, evenly over the order of their densities, both ends among them."""
    order = np.argsort(densities, kind="stable")
    places = np.linspace(0, len(order) - 1, min(n, len(order))).round().astype(int)
    return order[np.unique(places)]


class _HeadTable:
    """The rows of a study's table so far."""

    def __init__(self, searched: MaskSearch, task: Task) -> None:
        self.searched = replace(searched, coarse=False)  # AUROC without a grid
        self.task = task
        self.rows: list[dict[str, Any]] = []

    def train(
        self, kind: str, masks: np.ndarray, seed: int, *, members: Sequence[int] | None = None
    ) -> list[Head]:
        """Heads of some masks, all trained with one seed, and a row for each."""
        found = trained(self.searched, self.task, masks, [seed] * len(masks))
        self.add(kind, found, seed, range(len(found)) if members is None else members)
        return found

    def add(self, kind: str, found: Sequence[Head], seed: int, members: Sequence[int]) -> None:
        """A row for each of some heads of one kind."""
        for member, head in zip(members, found, strict=True):
            row = {"kind": kind, "member": int(member), "seed": seed, "n": 1}
            row["density"] = head.active_fraction
            for part in PARTS:
                for objective in JUDGED:
                    value = measure(self.searched, self.task, head, part, objective)
                    row[f"{part}_{objective}"] = value
            self.rows.append(row)

    def add_vote(self, kind: str, found: Sequence[Head], low: int) -> None:
        """One row for heads that answer by majority and score by their mean."""
        row: dict[str, Any] = {"kind": kind, "member": -1, "n": len(found), "low": low}
        row["density"] = float(np.mean([head.active_fraction for head in found]))
        for part in PARTS:
            x, y, strangers = (of[part] for of in (self.task.x, self.task.y, self.task.strangers))
            answers = ensembles.majority_vote(heads.predictions(found, x))
            inside, outside = (
                np.mean([largest_softmax(head.logits(images)) for head in found], axis=0)
                for images in (x, strangers)
            )
            row[f"{part}_accuracy"] = float((answers == y.numpy()).mean())
            row[f"{part}_auroc"] = auroc(inside, outside)
        self.rows.append(row)

    def add_voters(self, members: Sequence[int], low: int) -> None:
        """Rows for the member of a vote that is most accurate on validation images, of several
        the one evaluated first, and for the mean of all; the front must be measured.
        """
        rows = pd.DataFrame([row for row in self.rows if row["kind"] == "front"]).iloc[members]
        best = rows.loc[rows["valid_accuracy"].idxmax()].to_dict()
        mean = rows.drop(columns="kind").mean().to_dict()
        together = {"n": len(rows), "low": low}
        self.rows.append({**best, **together, "kind": "best"})
        self.rows.append({**mean, **together, "kind": "mean", "member": -1})


def _add_baselines(table: _HeadTable, run: FrontStudy, masks: np.ndarray, full: Head) -> None:
    """Heads as sparse as some of the front, trained with a seed that no mask was chosen with."""
    searched, task = run.parent, table.task
    bits = masks.reshape(len(masks), -1)
    counts = bits.sum(axis=1)
    members = spread_over(counts, run.compared)
    members = members[counts[members] > 0]
    seed = fresh_seeds(searched, 1)[0]
    rng = np.random.default_rng(seed)
    orders = {"random": [rng.permutation(bits.shape[1]) for _ in members]}
    if searched.mode == "features":
        by_penalty = baselines.penalty_order(task.x["train"], task.y["train"], task.n_classes)
        orders["magnitude"] = [baselines.magnitude_order(full)] * len(members)
        orders["penalty"] = [by_penalty] * len(members)
    for kind, of_kind in orders.items():
        pairs = zip(of_kind, counts[members], strict=True)
        drawn = np.array([baselines.leading_mask(order, count) for order, count in pairs])
        table.train(kind, drawn.reshape(-1, *masks.shape[1:]), seed, members=members)
    for member in members[spread_over(counts[members], run.set_heads)] if run.set_heads else ():
        density = float(counts[member] / bits.shape[1])
        head = baselines.set_head(task, density, searched.head_settings(), seed=seed)
        table.add("evolved_links", [head], seed, [member])


def _add_votes(table: _HeadTable, members: Sequence[Head], masks: np.ndarray) -> None:
    """Votes of members between percentiles of accuracy on validation images, and of as many heads
    of the most accurate mask, of several the one evaluated first, that differ in their seeds alone.
    """
    searched, task = table.searched, table.task
    valid = heads.accuracies(members, task.x["valid"], task.y["valid"])
    voters = ensembles.chosen(valid)
    if not voters:
        return
    best = int(np.argmax(valid))
    most = max(len(chosen) for chosen in voters.values())
    alike = trained(searched, task, np.stack([masks[best]] * most), fresh_seeds(searched, most))
    for (low, _), chosen in voters.items():
        table.add_vote("vote", [members[i] for i in chosen], low)
        table.add_vote("alike", alike[: len(chosen)], low)
        table.add_voters(chosen, low)


# --------------------------------------------------------------------- what kept features see


@dataclass(frozen=True)
class RegionStudy(Run):
    """Study of a member of the front of a search, its parent: regions of test images are hidden.

    The member is the one most accurate on validation images, of several the one evaluated first;
    :func:`chosen_member` takes the one with fewest features. A region is where the mean map of
    ``kept`` features is largest; hidden pixels are grey, the mean of the image.

    Args:
        kept: features that most masks of the front keep, at most half of all.
        images: of the test part, in stratified order; all where there are fewer.
        area: share of an image that is hidden.
        draws: regions at random, of the same shapes.
    Raises: ValueError if a field is of another type.
    """

    DIGITS: ClassVar[str] = "%.7g"

    kept: int = 10
    images: int = 60
    area: float = 0.2
    draws: int = 3

    def check(self) -> None:
        """Refuse what is out of range. Raises ValueError."""
        check_number("area", self.area, "(0, 1)")
        for name in ("kept", "images", "draws"):
            check_whole(name, getattr(self, name), least=1)
        self.parent.check()
        _check_features(self.parent)

    def can_be_had(self) -> bool:
        """True if the features of all images are here, or made in a second."""
        return self.parent.can_be_had()


def _check_features(run: training.MaskSearch) -> None:
    """Refuse masks of anything but features. Raises ValueError."""
    if run.mode != "features":
        raise ValueError(f"mode = {run.mode!r}: give a search whose masks are of features")


def make_regions(run: RegionStudy, workspace: Workspace) -> Contents:
    """Hide and measure: a table with the accuracy where "nothing" is hidden, what the "kept"
    features see, the same regions "moved" elsewhere, and what as many "others" see.
    """
    begin = time.perf_counter()
    searched = run.parent
    task = searched.task()
    if 2 * run.kept > task.n_features:
        raise ValueError(
            f"kept = {run.kept} of {task.n_features} features leaves fewer others: give at most"
            f" {task.n_features // 2}"
        )
    parent = workspace.record_of(searched, training.holds_front)
    masks = training.front_masks(parent, task.n_features)
    members = trained(searched, task, masks, [searched.training_seed] * len(masks))
    head = members[int(np.argmax(heads.accuracies(members, task.x["valid"], task.y["valid"])))]
    images, y = test_images(searched, run.images)
    rng = np.random.default_rng(HIDING + searched.seed)
    kept = influence.most_kept(masks, run.kept)
    others = rng.permutation(np.setdiff1d(np.arange(task.n_features), kept))[: run.kept]
    maps = occlusion.mean_maps(images, kept, searched.extractor)
    of_others = occlusion.mean_maps(images, others, searched.extractor)
    marked = occlusion.largest_share(maps, run.area)
    hidden = {
        "nothing": [torch.zeros_like(marked)],
        "kept": [marked],
        "moved": [occlusion.moved(marked, rng=rng) for _ in range(run.draws)],
        "others": [occlusion.largest_share(of_others, run.area)],
    }
    rows = []
    for kind, regions in hidden.items():
        for draw, region in enumerate(regions):
            x = occlusion.pooled(occlusion.covered(images, region), searched.extractor)
            accuracy = float(heads.accuracies([head], x, y)[0])
            area = float(region.double().mean())
            rows.append({"kind": kind, "draw": draw, "area": area, "accuracy": accuracy})
    facts = {
        "architecture": parent.environment["architecture"],
        "images": len(y),
        "final": {"test_accuracy": rows[0]["accuracy"]},
        "seconds": round(time.perf_counter() - begin, 1),
        "data": parent.environment["data"],
    }
    arrays = {"kept": kept, "others": np.sort(others)}
    if run.dataset in LICENSED and run.seed == 0:
        step = -(-images.shape[-1] // EXAMPLE_SIDE)  # small enough to be stored
        small = (slice(EXAMPLES), ..., slice(None, None, step), slice(None, None, step))
        arrays["example images"] = images[small].numpy()
        arrays["example maps"] = maps[small].numpy().astype(np.float16)
        arrays["example hidden"] = marked[small].numpy()
    return Contents(pd.DataFrame(rows), arrays, facts)


def test_images(searched: MaskSearch, n: int) -> tuple[Tensor, Tensor]:
    """(N, channels, H, W) uint8 images of the test part of a search in stratified order, of the
    size that the extractor is given, and their classes.
    """
    known, _ = tasks.sources(searched.dataset)
    parts = features.in_parts(known, features.images(known).arrays)
    x, y = parts["x_test"], parts["y_test"]
    if searched.division:
        rows = splits.rows_of_test(features.load(known, searched.extractor), searched.division)
        x, y = (
            np.concatenate([parts[f"{name}_{part}"] for part in splits.PARTS])[rows]
            for name in ("x", "y")
        )
    order = data.stratified_order(len(y), y)[:n]
    images = torch.from_numpy(x[order])
    side = features.SOURCES[known].side
    if side is not None:
        images = backbone.enlarged(images, side)
    return images, torch.from_numpy(y[order])


# ------------------------------------------------------------------------ what searches found

PAIRS = {
    "accuracy and density": ("accuracy", "density"),
    "AUROC and density": ("auroc", "density"),
    "accuracy and AUROC": ("accuracy", "auroc"),
}
HELD = "accuracy and AUROC, density held"
NAMED = ["experiment", *NETWORK]  # columns of facts


def hypervolumes(records: Records, steps: int = 25) -> pd.DataFrame:
    """Hypervolume of the three published objectives after more and more evaluations, from the
    initial population on, up to the point at which all are 1.

    Returns: columns of :func:`lib.report.frames.facts`, evaluations, measure, value.
    """
    rows = []
    for record in records:
        objectives = minimised(record.metrics[OBJECTIVES].to_numpy(), tuple(OBJECTIVES))
        at = np.linspace(record.config.population, len(objectives), steps).round().astype(int)
        for n in at:
            row = {"evaluations": int(n), "measure": "hypervolume"}
            row["value"] = fronts.hypervolume(objectives[:n])
            rows.append(facts(record) | row)
    return pd.DataFrame(rows, columns=[*NAMED, "evaluations", "measure", "value"])


def relations(records: Records, *, of_front: bool = True) -> pd.DataFrame:
    """Spearman's correlation of every pair of objectives on the front of every run, or over all
    masks that it evaluated, as shares (accuracy, AUROC: more is better; density: less is), and that
    of accuracy and AUROC when the density is held.

    A front presses the last below 0 however the objectives are related: of two masks of one density
    neither dominates the other only if each is better in one of the two.

    Returns: columns of :func:`lib.report.frames.facts`, pair, value.
    """
    rows = []
    for record in records:
        masks = record.metrics
        if of_front:
            masks = masks.iloc[record.arrays[training.FRONT]]
        for pair, value in _correlations(masks).items():
            rows.append(facts(record) | {"pair": pair, "value": value})
    return pd.DataFrame(rows, columns=[*NAMED, "pair", "value"])


def pooled_relations(records: Records) -> pd.DataFrame:
    """Relations on the front of the fronts of all runs of a data set together: one number, which
    stands in a row of "seed" 0.

    Source: [Poyatos2023] Section 5, the super-Pareto front.
    """
    of_runs = [pd.DataFrame(columns=[*NAMED, *OBJECTIVES])]
    for record in records:
        front = record.metrics.iloc[record.arrays[training.FRONT]]
        of_runs.append(front.assign(**facts(record)))
    together = pd.concat(of_runs[1:] or of_runs, ignore_index=True)
    named = [name for name in NAMED if name != "seed"]
    rows = []
    for key, masks in together.groupby(named, sort=False, dropna=False):
        objectives = minimised(masks[OBJECTIVES].to_numpy(), tuple(OBJECTIVES))
        for pair, value in _correlations(masks.iloc[fronts.front(objectives)]).items():
            rows.append((*key, 0, pair, value))
    return pd.DataFrame(rows, columns=[*named, "seed", "pair", "value"])


def _correlations(masks: pd.DataFrame) -> dict[str, float]:
    """Correlations of :data:`PAIRS`, and what is left of the last when the density is held."""
    values = {name: masks[name].to_numpy() for name in OBJECTIVES}
    found = {pair: fronts.rank_correlation(values[x], values[y]) for pair, (x, y) in PAIRS.items()}
    found[HELD] = fronts.partial_rank_correlation(
        values["accuracy"], values["auroc"], given=values["density"]
    )
    return found


# ----------------------------------------------------------------------- what one would choose


def chosen_gains(records: Records) -> pd.DataFrame:
    """The member of every front that is most accurate on validation images minus the full head of
    the same training seed, on test: as it was searched, and the mean of both with fresh seeds.

    Returns: columns of :func:`lib.report.frames.facts`, seeds ("as searched", "fresh seeds"),
        density (of the member), value (points).
    """
    rows = []
    for record in records:
        table = record.metrics
        member = chosen_member(table)
        full = table[table["kind"] == "full"]
        is_searched = full["seed"] == record.config.parent.training_seed
        fresh = table[(table["kind"] == "fresh") & (table["member"] == member["member"])]
        compared = {
            "as searched": (member["test_accuracy"], full[is_searched]),
            "fresh seeds": (fresh["test_accuracy"].mean(), full[~is_searched]),
        }
        for seeds, (accuracy, of_full) in compared.items():
            gain = 100 * accuracy - 100 * of_full["test_accuracy"].mean()
            row = {"seeds": seeds, "density": member["density"], "value": gain}
            rows.append(facts(record) | row)
    return pd.DataFrame(rows, columns=[*NAMED, "seeds", "density", "value"])


def overstatement(records: Records) -> pd.DataFrame:
    """How much better a front looks on the images on which its masks were judged.

    For every run the most accurate member on these images and the highest AUROC there, of several
    the one evaluated first, each minus that of the full head on the same images, minus the same
    difference of the same member on images that judged nothing; points. Judged on validation images
    the others are those of test; judged on test, as released, they are those of validation.

    Returns: columns of :func:`lib.report.frames.facts`, measure, value.
    """
    rows = []
    for record in records:
        table = record.metrics
        judged = record.config.parent.fitness_part
        other = "valid" if judged == "test" else "test"
        front = table[table["kind"] == "front"]
        is_searched = table["seed"] == record.config.parent.training_seed
        full = table[(table["kind"] == "full") & is_searched].iloc[0]
        for objective in JUDGED:
            member = front.loc[front[f"{judged}_{objective}"].idxmax()]
            seen, unseen = (
                100 * (member[f"{part}_{objective}"] - full[f"{part}_{objective}"])
                for part in (judged, other)
            )
            value = seen - unseen
            rows.append(facts(record) | {"measure": objective, "value": value})
    return pd.DataFrame(rows, columns=[*NAMED, "measure", "value"])


RIVALS = {  # of a vote
    "front_accuracy": "the front's most accurate",
    "front_auroc": "the front's best in AUROC",
    "best": "the most accurate that votes",
    "mean": "the mean of those that vote",
    "alike": "as many seeds of one mask",
}


def chosen_votes(records: Records, by: str = "accuracy") -> pd.DataFrame:
    """Chosen votes: of every run the one that has the highest accuracy, or AUROC, on validation
    images, of several the first, and :data:`RIVALS`: the members of the whole front that are best
    in one of the two on validation images; of those that vote, the most accurate there, and their
    mean; and as many heads of one mask.

    Returns: columns of :func:`lib.report.frames.facts`, voters (their number), who ("vote" or a
        rival), measure ("accuracy" or "auroc"), value (percent on test).
    """
    rows = []
    for record in records:
        table = record.metrics
        votes = table[table["kind"] == "vote"]
        if votes.empty:
            continue
        vote = votes.loc[votes[f"valid_{by}"].idxmax()]
        together = table[table["low"] == vote["low"]].set_index("kind")
        compared = {name: together.loc[name] for name in ("vote", "best", "mean", "alike")}
        compared |= {f"front_{name}": chosen_member(table, name) for name in JUDGED}
        for who, head in compared.items():
            for name in JUDGED:
                value = 100 * head[f"test_{name}"]
                row = {"voters": int(vote["n"]), "who": who, "measure": name, "value": value}
                rows.append(facts(record) | row)
    return pd.DataFrame(rows, columns=[*NAMED, "voters", "who", "measure", "value"])


# ------------------------------------------------------------------------ features that are kept


def masks_by_run(records: Records) -> dict[str, list[np.ndarray]]:
    """{data set: (M, n_features) bool masks of the front of each run}.

    Raises: ValueError if masks are not of features.
    """
    found: dict[str, list[np.ndarray]] = {}
    for record in records:
        _check_features(record.config)
        n_features = int(record.environment["architecture"].split("-")[0])
        masks = training.front_masks(record, n_features)
        found.setdefault(record.config.dataset, []).append(masks)
    return found
