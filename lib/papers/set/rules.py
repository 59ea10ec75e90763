"""Growth rules beside each other: the tables of notebook 16."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from lib import evolution, growth, models, topology
from lib.growth import Site
from lib.papers.shared import trained
from lib.papers.shared.inputs import input_links
from lib.report import labels
from lib.report.intervals import LEVEL, Measurement, direction, t_interval
from lib.runs.record import Record, summaries

Records = Sequence[Record]
KEYS = ["dataset", "method"]
FAMILY = 5  # methods whose intervals hold together (Bonferroni)
DECISIONS = {"holds": "reached", "fails": "missed"}
COURSE_ACCURACIES = {
    "last_accuracy": "last epoch",
    "final_accuracy": "after the last update",
}
GAIN = "cosine minus constant"
ACTIVE = [
    "hidden 1",
    "hidden 2",
    "hidden 3",
    "pixels",
    "most links in, 1",
    "most links in, 2",
    "most links in, 3",
]
MEASURES = {  # of costs
    "minutes": "median",
    "largest change": "max",
    "training loss": "mean",
}

# -------------------------------------------------------------------------------- demonstrations


def first_draws(site: Site, n: int, *, generator: torch.Generator) -> pd.DataFrame:
    """How often preferential attachment draws each free position (row, by key) first, beside what
    is expected, in proportion to (k_out + 1)(k_in + 1).
    """
    drawn: Counter[int] = Counter()
    for _ in range(n):
        (key,) = growth.grow_preferential(site, 1, generator=generator).tolist()
        drawn[key] += 1
    k_out, k_in = site.degrees()
    weights = torch.outer(k_out + 1, k_in + 1).flatten()
    weights[site.occupied_keys] = 0
    expected = weights / weights.sum()
    rows = {}
    for key in weights.nonzero().flatten().tolist():
        rows[key] = (drawn[key] / n, expected[key].item())
    columns = ["share drawn", "expected"]
    return pd.DataFrame.from_dict(rows, "index", columns=columns)


def shared_drops(record: Record, fraction: float, *, generator: torch.Generator) -> list[float]:
    """Of the links that either rule of SET and RigL drops in each sparse layer of a trained
    network, the share that both drop.
    """
    shares = []
    for layer in models.sparse_layers(trained.network(record)).values():
        values = layer.values.detach()
        of_sign = evolution.drop_per_sign(values, fraction, generator=generator)
        of_size = evolution.drop_magnitude(values, fraction, generator=generator)
        both = (of_sign & of_size).sum()
        either = (of_sign | of_size).sum()
        share = (both / either).item()
        shares.append(round(share, 3))
    return shares


def tuned_courses(grid: Records) -> pd.DataFrame:
    """The best validation accuracy of each method (row) with each course of the drop fraction,
    percent, among the runs of a grid that trained longest.
    """
    rows = []
    for record in grid:
        run = record.config
        accuracy = record.metrics["valid_accuracy"].iloc[-1]
        rows.append((run.method, run.epochs, run.decay, 100 * accuracy))
    columns = ["method", "epochs", "decay", "valid"]
    tried = pd.DataFrame(rows, columns=columns)
    longest = tried[tried["epochs"] == tried["epochs"].max()]
    groups = longest.groupby(["method", "decay"], sort=False)
    return groups["valid"].max().unstack()


# -------------------------------------------------------------------------------------- accuracy


def targets(records: Records, goals: Mapping[str, float]) -> pd.DataFrame:
    """Last accuracies beside a goal, percent: mean over seeds, its interval that holds for five
    methods together, whether the mean reaches the goal, and whether that is decided.

    Args:
        records: trained networks.
        goals: {data set: percent}; others are left out.
    """
    level = 1 - (1 - LEVEL) / FAMILY
    rows = []
    groups = summaries(records).groupby(KEYS, sort=False)
    for (dataset, method), group in groups:
        if dataset in goals:
            names = labels.dataset(dataset), labels.method_name(method)
            mean = t_interval(100 * group["last_accuracy"], level=level)
            rows.append((*names, *_beside(goals[dataset], mean)))
    columns = ["dataset", "method", "target", "mean", "low", "high", "n"]
    columns += ["mean reaches it", "decided"]
    return pd.DataFrame(rows, columns=columns).round(2)


def _beside(goal: float, mean: Measurement) -> tuple:
    """Goal, mean, bounds and n, whether the mean reaches the goal, and the decision."""
    bounds = None, None
    if mean.n > 1:
        bounds = mean.low, mean.high
    reaches = {True: "yes", False: "no"}[mean.value >= goal]
    verdict = direction(mean, ">=", str(goal))
    decision = DECISIONS.get(verdict, "open")
    return goal, mean.value, *bounds, mean.n, reaches, decision


def courses(records: Records) -> pd.DataFrame:
    """Accuracies of evolving networks that were trained with both courses of the drop fraction,
    percent, and their difference at the last epoch; a row a data set, method and seed.
    """
    evolving = [record for record in records if record.config.drop]
    table = summaries(evolving)
    table["decay"] = [record.config.decay for record in evolving]
    keys = [*KEYS, "seed"]
    parts = []
    for column, name in COURSE_ACCURACIES.items():
        accuracies = 100 * table.pivot_table(column, keys, "decay")
        parts.append(accuracies.add_suffix(f", {name}"))
    wide = pd.concat(parts, axis=1).dropna().rename_axis(columns=None)
    falling = wide.get("cosine, last epoch", 0)
    constant = wide.get("constant, last epoch", 0)
    wide[GAIN] = falling - constant
    return wide


def mean_courses(courses: pd.DataFrame) -> pd.DataFrame:
    """Means of the rows of :func:`courses` over seeds, n, and the sd of the difference."""
    groups = courses.groupby(KEYS, sort=False)
    means = groups.mean().assign(n=groups.size())
    means = means.rename(columns={GAIN: "mean"})
    return means.assign(sd=groups[GAIN].std())


def against_links(records: Records) -> pd.DataFrame:
    """Accuracy and links of each run, in one panel of
    :func:`lib.report.figures.perturbed_curves`.
    """
    columns = ["dataset", "method", "seed", "links_training", "last_accuracy"]
    points = summaries(records)[columns]
    return points.assign(panel="three hidden layers of equal width")


# ------------------------------------------------------------------------------- links and costs


def active_neurons(records: Records) -> pd.DataFrame:
    """Share of the neurons of each hidden layer with a link in and a link out, share of the pixels
    with a link, and most links into a neuron of each layer: mean over seeds, at the end.
    """
    rows = []
    for record in records:
        run = record.config
        degrees = trained.degrees(record)
        row = {"dataset": run.dataset, "method": run.method}
        row |= topology.active_neurons(degrees, "final")
        pixels = input_links(record, "final")
        row["pixels"] = (pixels > 0).mean()
        at_end = degrees[degrees["epoch"] == "final"]
        into = at_end.loc[at_end["side"] == "in", "links"]
        for layer, links in enumerate(into, start=1):
            row[f"most links in, {layer}"] = links.max()
        rows.append(row)
    table = pd.DataFrame(rows, columns=[*KEYS, *ACTIVE])
    return table.groupby(KEYS, sort=False).mean()


def costs(records: Records) -> pd.DataFrame:
    """Minutes of a run (median over seeds), the largest change of the number of links during
    training, and the training loss of the last epoch (mean).
    """
    rows = []
    for record in records:
        run, history = record.config, record.metrics
        minutes = record.environment["seconds"] / 60
        change = np.ptp(history["links"])
        loss = history["train_loss"].iloc[-1]
        rows.append((run.dataset, run.method, minutes, change, loss))
    table = pd.DataFrame(rows, columns=[*KEYS, *MEASURES])
    return table.groupby(KEYS, sort=False).agg(MEASURES)
