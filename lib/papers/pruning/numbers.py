"""What the records of searches and of studies say, one number a row."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lib.papers.pruning import evolving, fronts, studying
from lib.papers.pruning.experiments import CORRECTED
from lib.report import labels
from lib.report.intervals import t_interval
from lib.report.statistics import holm, p_value
from lib.runs.config import Run
from lib.runs.record import Record

KEY = ["dataset", "method", "variant", "seed"]
GRID = np.geomspace(0.01, 1, 61)  # densities
MAIN = ["accuracy", "density", "auroc"]
JUDGED = ("accuracy", "auroc")  # of a vote and of its rivals
PAIRS = {
    "accuracy and density": ("accuracy", "density"),
    "AUROC and density": ("auroc", "density"),
    "accuracy and AUROC": ("accuracy", "auroc"),
}
HELD = "accuracy and AUROC, density held"
SPARSE = 0.05  # density below which a mask is not compared: its head fails on any data set
KINDS = ("random", "magnitude", "penalty", "evolved_links")  # set beside a front


def key(run: Run) -> dict[str, Any]:
    """What names a run in a table."""
    return {name: getattr(run, name) for name in KEY}


def chosen(records: Iterable[Record], **labels: Any) -> list[Record]:
    """The records of some runs; of the corrected variant unless another is named."""
    labels = {"variant": CORRECTED, **labels}
    found = []
    for record in records:
        if all(getattr(record.config, name) == value for name, value in labels.items()):
            found.append(record)
    return found


def of_experiment(records: Iterable[Record], name: str) -> list[Record]:
    """The records of one experiment."""
    return [record for record in records if record.config.experiment == name]


# -------------------------------------------------------------------------------- of searches


def evaluated(records: Iterable[Record]) -> pd.DataFrame:
    """Every mask evaluated: columns of :data:`KEY`, evaluation, those of the table, and front,
    whether nothing that the search found dominates it.
    """
    parts = []
    for record in records:
        is_on_front = np.zeros(len(record.metrics), dtype=bool)
        is_on_front[record.arrays[evolving.FRONT]] = True
        parts.append(record.metrics.assign(**key(record.config), front=is_on_front))
    columns = [*KEY, "evaluation", *MAIN, "repeated", "front"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def volumes(records: Iterable[Record], steps: int = 25) -> pd.DataFrame:
    """Hypervolume of the three published objectives after more and more evaluations, from the
    initial population on, up to the point at which all are 1: columns of :data:`KEY`, evaluations,
    value.
    """
    rows = []
    for record in records:
        values = evolving.minimised(record.metrics[MAIN].to_numpy(), tuple(MAIN))
        at = np.linspace(record.config.population, len(values), steps).round().astype(int)
        for n, volume in zip(at, fronts.hypervolumes(values, at), strict=True):
            rows.append({**key(record.config), "evaluations": int(n), "value": volume})
    return pd.DataFrame(rows, columns=[*KEY, "evaluations", "value"])


def last_volumes(records: Iterable[Record]) -> pd.DataFrame:
    """Hypervolume at the end of every search."""
    return volumes(records, steps=2).groupby(KEY, sort=False).tail(1)


def attained(
    records: Iterable[Record], y: str, at: Sequence[float] | None = None, x: str = "density"
) -> pd.DataFrame:
    """The best y of every run within each limit of x: columns of :data:`KEY`, x, value; nan where
    a run found nothing there.
    """
    at = GRID if at is None else at
    parts = []
    for record in records:
        small = 1 - record.metrics[y].to_numpy()
        best = 1 - fronts.attained(record.metrics[x].to_numpy(), small, np.asarray(at))
        parts.append(pd.DataFrame({x: at, "value": best}).assign(**key(record.config)))
    columns = [*KEY, x, "value"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def relations(records: Iterable[Record], *, of_front: bool = True) -> pd.DataFrame:
    """Spearman's correlation of every pair of objectives on the front of every run, or over all
    masks that it evaluated, as shares (accuracy, AUROC: more is better; density: less is), and that
    of accuracy and AUROC when the density is held.

    A front presses the last below 0 however the objectives are related: of two masks of one density
    neither dominates the other only if each is better in one of the two.

    Returns: columns of :data:`KEY`, pair, value, n (masks).
    """
    rows = []
    for record in records:
        masks = record.metrics
        if of_front:
            masks = masks.iloc[record.arrays[evolving.FRONT]]
        named = {**key(record.config), "n": len(masks)}
        for pair, value in _correlations(masks).items():
            rows.append({**named, "pair": pair, "value": value})
    return pd.DataFrame(rows, columns=[*KEY, "pair", "value", "n"])


def pooled_relations(records: Iterable[Record]) -> pd.DataFrame:
    """Spearman's correlation of every pair of objectives on the front of the fronts of all runs of
    a data set together: columns dataset, pair, value, n (masks). One number, without an interval.

    Source: [Poyatos2023] Section 5, the super-Pareto front.
    """
    found = evaluated(records)
    rows = []
    for dataset, masks in found[found["front"].astype(bool)].groupby("dataset", sort=False):
        objectives = evolving.minimised(masks[MAIN].to_numpy(), tuple(MAIN))
        pooled = masks.iloc[fronts.front(objectives)]
        for pair, value in _correlations(pooled).items():
            rows.append({"dataset": dataset, "pair": pair, "value": value, "n": len(pooled)})
    return pd.DataFrame(rows, columns=["dataset", "pair", "value", "n"])


def _correlations(masks: pd.DataFrame) -> dict[str, float]:
    """Those of :data:`PAIRS`, and that which is left of the last when the density is held."""
    values = {name: masks[name].to_numpy() for name in MAIN}
    found = {pair: fronts.rank_correlation(values[x], values[y]) for pair, (x, y) in PAIRS.items()}
    found[HELD] = fronts.partial_rank_correlation(
        values["accuracy"], values["auroc"], given=values["density"]
    )
    return found


# ---------------------------------------------------------------------------------- of studies


def heads(records: Iterable[Record]) -> pd.DataFrame:
    """Every head of studies: their tables with the columns of :data:`KEY`."""
    parts = []
    for record in records:
        named = {name: value for name, value in key(record.config).items() if name != "seed"}
        table = record.metrics.rename(columns={"seed": "training_seed"})
        parts.append(table.assign(**named, seed=record.config.seed))
    columns = [*KEY, "training_seed", *studying.COLUMNS]
    if parts:
        return pd.concat(parts, ignore_index=True)
    return pd.DataFrame(columns=list(dict.fromkeys(columns)))


def selected(records: Iterable[Record]) -> pd.DataFrame:
    """The member of every front that is most accurate on validation images, beside the full head.

    Returns: columns of :data:`KEY`, density, and in percent for the member as it was searched
        (``test``), trained with fresh seeds (``fresh``), and the full head with the same seeds
        (``full``, ``full_fresh``); ``gain`` and ``gain_fresh`` are their differences in points.
    """
    rows = []
    for record in records:
        table = record.metrics
        member = studying.chosen_member(table)
        full = table[table["kind"] == "full"]
        same = full["seed"] == record.config.parent.training_seed
        of_member = table["member"] == member["member"]
        fresh = table[(table["kind"] == "fresh") & of_member]["test_accuracy"]
        accuracies = {
            "test": member["test_accuracy"],
            "fresh": fresh.mean(),
            "full": full[same]["test_accuracy"].mean(),
            "full_fresh": full[~same]["test_accuracy"].mean(),
        }
        row = {name: 100 * value for name, value in accuracies.items()}
        row |= {
            "density": member["density"],
            "gain": row["test"] - row["full"],
            "gain_fresh": row["fresh"] - row["full_fresh"],
        }
        rows.append({**key(record.config), **row})
    columns = ["density", "test", "fresh", "full", "full_fresh", "gain", "gain_fresh"]
    return pd.DataFrame(rows, columns=[*KEY, *columns])


def at_equal_density(records: Iterable[Record], least: float = SPARSE) -> pd.DataFrame:
    """Members of a front, trained with a seed that they were not chosen with, minus heads of the
    same density and seed that no search found, mean over the densities of a run that are not below
    the least.

    Returns: columns of :data:`KEY`, kind, accuracy and auroc, points on test.
    """
    rows = []
    for record in records:
        table = record.metrics
        for kind in KINDS:
            others = table[table["kind"] == kind]
            fresh = table[table["kind"] == "fresh"]
            both = others.merge(fresh, on=["member", "seed"], suffixes=("", "_fresh"))
            both = both[both["density"] >= least]
            if both.empty:
                continue
            row = {**key(record.config), "kind": kind}
            for name in JUDGED:
                gap = both[f"test_{name}_fresh"] - both[f"test_{name}"]
                row[name] = 100 * gap.mean()
            rows.append(row)
    return pd.DataFrame(rows, columns=[*KEY, "kind", "accuracy", "auroc"])


def votes(records: Iterable[Record]) -> pd.DataFrame:
    """Votes of members between percentiles, in percent, and what they are compared with.

    Returns: a row a run and pair of percentiles: columns of :data:`KEY`, low, n, the vote's
        valid_accuracy and valid_auroc, and of accuracy and auroc on test each: vote, front_accuracy
        and front_auroc (the members of the whole front that are best in one of them on validation
        images), best (of those that vote, the most accurate on validation images), mean (of those
        that vote), alike (as many heads of one mask).
    """
    rows = []
    for record in records:
        table = record.metrics
        of_front = {f"front_{name}": studying.chosen_member(table, name) for name in JUDGED}
        for low, together in table[table["low"].notna()].groupby("low"):
            by_kind = {**dict(iter(together.set_index("kind").iterrows())), **of_front}
            vote = by_kind["vote"]
            row = {**key(record.config), "low": int(low), "n": int(vote["n"])}
            for name in JUDGED:
                row[f"valid_{name}"] = 100 * vote[f"valid_{name}"]
                for who in VOTERS:
                    row[f"{name} {who}"] = 100 * by_kind[who][f"test_{name}"]
            rows.append(row)
    of_both = [f"{name} {who}" for name in JUDGED for who in VOTERS]
    of_vote = ["low", "n", *(f"valid_{name}" for name in JUDGED)]
    return pd.DataFrame(rows, columns=[*KEY, *of_vote, *of_both])


RIVALS = {
    "front_accuracy": "the front's most accurate",
    "front_auroc": "the front's best in AUROC",
    "best": "the most accurate that votes",
    "mean": "the mean of those that vote",
    "alike": "as many seeds of one mask",
}
VOTERS = ("vote", *RIVALS)


def chosen_votes(records: Iterable[Record], by: str = "accuracy") -> pd.DataFrame:
    """Of every run the vote that has the highest accuracy, or AUROC, on validation images; of
    several the first.
    """
    table = votes(records)
    best = table.sort_values(f"valid_{by}", ascending=False, kind="stable")
    return best.drop_duplicates(KEY).sort_index(ignore_index=True)


def overstatement(records: Iterable[Record]) -> pd.DataFrame:
    """How much better a front looks on the images on which its masks were judged.

    For every run the most accurate member on these images and the highest AUROC there, each minus
    that of the full head on the same images, minus the same difference of the same member on
    images that judged nothing; points. Judged on validation images the others are those of test;
    judged on test, as released, they are those of validation.

    Returns: columns of :data:`KEY`, objective, seen, unseen (gains over the full head), value.
    """
    rows = []
    for record in records:
        table = record.metrics
        judged = record.config.parent.fitness_part
        other = "valid" if judged == "test" else "test"
        front = table[table["kind"] == "front"]
        same = table["seed"] == record.config.parent.training_seed
        full = table[(table["kind"] == "full") & same].iloc[0]
        for objective in JUDGED:
            member = front.loc[front[f"{judged}_{objective}"].idxmax()]
            gains = {}
            for place, part in (("seen", judged), ("unseen", other)):
                column = f"{part}_{objective}"
                gains[place] = 100 * (member[column] - full[column])
            row = {**key(record.config), "objective": objective, **gains}
            rows.append({**row, "value": gains["seen"] - gains["unseen"]})
    return pd.DataFrame(rows, columns=[*KEY, "objective", "seen", "unseen", "value"])


# ------------------------------------------------------------------------------- as figures take


def full_level(records: Iterable[Record], objective: str) -> pd.DataFrame:
    """Accuracy or AUROC of full heads on validation images: columns dataset, value."""
    table = heads(records)
    full = table[table["kind"] == "full"]
    return full[["dataset"]].assign(value=full[f"valid_{objective}"])


def on_test(records: Iterable[Record]) -> pd.DataFrame:
    """Heads trained with seeds that no mask was chosen with: columns dataset, method (NSGA-II for
    members of the front), seed, density, test_accuracy, test_auroc.
    """
    table = heads(records).replace({"kind": {"fresh": "nsga2"}})
    fresh = table["training_seed"] >= studying.FRESH
    chosen_kinds = table["kind"].isin(["nsga2", "full", *KINDS])
    shown = table[fresh & chosen_kinds].drop(columns="method").rename(columns={"kind": "method"})
    columns = ["dataset", "method", "seed", "density", "test_accuracy", "test_auroc"]
    return shown[columns].reset_index(drop=True)


def with_intervals(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Mean of a value over runs with its 95 % t-interval: columns of keys, value, low, high, n, and
    p_holm, of the mean being 0, corrected for all rows of the table.

    Args:
        table: columns of keys and value; what is not known is left out.
        keys: columns of the groups.
    """
    rows, p_values = [], []
    known = table.dropna(subset=["value"])
    for place, values in known.groupby(list(keys), sort=False)["value"]:
        mean = t_interval(values)
        rows.append((*place, mean.value, mean.low, mean.high, mean.n))
        p_values.append(p_value(values))
    found = pd.DataFrame(rows, columns=[*keys, "value", "low", "high", "n"])
    return found.assign(p_holm=holm(p_values))


def density_gaps(records: Iterable[Record]) -> pd.DataFrame:
    """:func:`at_equal_density` with intervals, for :func:`lib.report.front_figures.gaps`."""
    table = at_equal_density(records)
    long = table.melt(["dataset", "seed", "kind"], ["accuracy", "auroc"], "series")
    long["name"] = "minus " + long["kind"].map(labels.method_name)
    return with_intervals(_written(long), ["dataset", "name", "series"])


def relation_gaps(records: Iterable[Record]) -> pd.DataFrame:
    """:func:`relations` with intervals, for :func:`lib.report.front_figures.gaps`: on the fronts of
    NSGA-II, and over all masks of random search, which nothing selected.
    """
    records = list(records)
    on_fronts = relations(chosen(records, method="nsga2"))
    over_all = relations(chosen(records, method="random_search"), of_front=False)
    series = ("fronts of NSGA-II", "all masks of random search")
    parts = [on_fronts.assign(series=series[0]), over_all.assign(series=series[1])]
    table = pd.concat(parts).rename(columns={"pair": "name"})
    return with_intervals(table, ["dataset", "name", "series"])


def vote_gaps(records: Iterable[Record]) -> pd.DataFrame:
    """Gains of :func:`chosen_votes` over :data:`RIVALS` with intervals, for
    :func:`lib.report.front_figures.gaps`.
    """
    table = chosen_votes(records)
    parts = []
    for rival, words in RIVALS.items():
        for name in JUDGED:
            gain = table[f"{name} vote"] - table[f"{name} {rival}"]
            part = table[["dataset", "seed"]].assign(value=gain)
            parts.append(part.assign(name=f"minus {words}", series=name))
    return with_intervals(_written(pd.concat(parts)), ["dataset", "name", "series"])


def stated_gaps(records: Iterable[Record]) -> pd.DataFrame:
    """:func:`overstatement` with intervals, for :func:`lib.report.front_figures.gaps`."""
    table = overstatement(records).replace({"variant": JUDGING})
    table = table.rename(columns={"variant": "name", "objective": "series"})
    return with_intervals(_written(table), ["dataset", "name", "series"])


JUDGING = {"corrected": "judged on validation", "as released": "judged on test, as released"}


def _written(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(series=table["series"].replace({"auroc": "AUROC"}))
