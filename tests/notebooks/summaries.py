"""What the summaries of trained networks say, by other means than the notebooks."""

from functools import cache

import numpy as np
import pandas as pd
from scipy import stats

import papers
from lib._boundary import RESULTS
from papers.adaptive_topology.experiments import HEADLINE_RADIUS
from tests.prose import Prose

SERIES = {
    "area": "removal",
    "rescaled": "removal, rescaled",
    "shuffled": "shuffle",
    "within signs": "shuffle within sign",
}


@cache
def ends() -> pd.DataFrame:
    """A row a network: what it is, percent right as trained, of the attacked images and with .3 of
    the links removed, and the relative area under each of :data:`SERIES`.
    """
    rows = []
    for record in papers.obtain("robustness_summary", "paper"):
        run, table = record.config, record.metrics
        row = {name: getattr(run.parent, name) for name in ("epochs", "dropout", "weight_decay")}
        row |= {"trained": run.parent.experiment, "dataset": run.dataset, "method": run.method}
        row |= {"seed": run.seed, "accuracy": 100 * record.environment["final"]["test_accuracy"]}
        curves = {name: rows for name, rows in table.groupby("measure")}
        attacked = curves["pgd linf"].set_index("strength")["value"]
        row["pgd"] = 100 * attacked[HEADLINE_RADIUS[run.dataset]]
        removed = curves["removal"]
        row["removed"] = 100 * removed[np.isclose(removed["strength"], 0.3)]["value"].mean()
        for name, series in SERIES.items():
            row[name] = _relative_area(curves[series], curves[series])
        if "removal, equal number left" in curves:  # of dense, against what it was before
            row["equal number"] = _relative_area(curves["removal, equal number left"], removed)
        for name in ("margin", "gradient of the margin", "linear distance"):
            row[name] = curves[name]["value"].iloc[0]
        rows.append(row)
    return pd.DataFrame(rows)


def last_accuracy(record) -> float:
    """Test accuracy at the last epoch, percent."""
    return 100 * record.metrics["test_accuracy"].iloc[-1]


def best_accuracy(record) -> float:
    """Test accuracy at the epoch that is best by it, percent."""
    return 100 * record.metrics["test_accuracy"].max()


def final_accuracy(record) -> float:
    """Test accuracy after the last removal of links, percent."""
    return 100 * record.environment["final"]["test_accuracy"]


def first_links(record) -> int:
    """Links after the first epoch."""
    return record.metrics["links"].iloc[0]


def last_valid_accuracy(record) -> float:
    """Accuracy on validation images at the last epoch, percent."""
    return 100 * record.metrics["valid_accuracy"].iloc[-1]


def by_fields(experiment, fields, number=last_accuracy, **where) -> dict:
    """A number of each record of an experiment, by fields of its run, seeds in order.

    Args:
        experiment: its name.
        fields: names of fields, with spaces between; a single one is a key by itself.
        number: a function of the record.
        where: fields whose values are given.
    """
    found = {}
    for record in papers.STORE.of(experiment, "paper"):
        run = record.config
        if all(getattr(run, name) == value for name, value in where.items()):
            key = tuple(getattr(run, name) for name in fields.split())
            of_seed = found.setdefault(key if len(key) > 1 else key[0], {})
            assert run.seed not in of_seed, f"{key} has two records of seed {run.seed}"
            of_seed[run.seed] = number(record)
    return {key: np.array([of[seed] for seed in sorted(of)]) for key, of in found.items()}


def interval(values, level: float = 0.95) -> tuple[float, float, float]:
    """Mean, and ends of its interval (Student's t)."""
    values = np.asarray(values, float)
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values)
    return values.mean(), values.mean() - half, values.mean() + half


def differs(values, level: float = 0.95) -> bool:
    """Whether the interval of a mean excludes zero."""
    _, low, high = interval(values, level)
    return low > 0 or high < 0


def _relative_area(rows: pd.DataFrame, whole: pd.DataFrame) -> float:
    """The area under what is left above chance, relative to what the whole network has of it."""
    left, before = (part.groupby("strength")["value"].mean() - 0.1 for part in (rows, whole))
    return np.trapezoid(left, left.index) / before.iloc[0]


def mean(rows: pd.DataFrame, measure: str, dataset: str, method: str, **others) -> float:
    """The mean over seeds of one network."""
    for name, value in {"dataset": dataset, "method": method, **others}.items():
        rows = rows[rows[name] == value]
    assert len(rows) == rows["seed"].nunique() > 0
    return rows[measure].mean()


def with_both_decays(
    rows: pd.DataFrame, dataset: str, method: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A sparse network with the SET paper's weight decay and with the chosen one, of equal dropout:
    of each a row a seed.
    """
    rows = rows.query("dataset == @dataset and method == @method and epochs == 150")
    new = rows.query("trained == 'regularisation'").set_index("seed").sort_index()
    old = rows.query("trained in ['adaptive_topology', 'other_dropouts']")
    old = old[old["dropout"] == new["dropout"].iloc[0]].set_index("seed").sort_index()
    assert list(old.index) == list(new.index) == list(range(5))
    return old, new


def reading(claim: str, name: str, **where: str) -> pd.DataFrame:
    """Value and interval of a reading of a claim, as the table of verdicts has them, by data set
    and rule.
    """
    rows = papers.readings("paper", [claim]).query("reading == @name")
    for field, value in where.items():
        rows = rows[rows[field] == value]
    return rows.set_index(["dataset", "rule"])[["value", "low", "high"]]


def p_values(rows: pd.DataFrame) -> np.ndarray:
    """Two-sided p of the means of readings whose intervals are Student's t."""
    error = (rows["high"] - rows["value"]) / stats.t.ppf(0.975, rows["n"] - 1)
    return 2 * stats.t.sf((rows["value"] / error).abs(), rows["n"] - 1)


def reruns():
    """How many networks were trained a second time, and the standard deviation of the change,
    points: from the interval of its mean.
    """
    every = pd.read_csv(RESULTS / "numerics.csv").query("experiment == 'all'").iloc[0]
    half = (every["points_high"] - every["points_low"]) / 2
    return int(every["n"]), half / stats.t.ppf(0.975, every["n"] - 1) * np.sqrt(every["n"])


def says_reruns(text: Prose) -> None:
    """Assert that a notebook says how much a second training changes."""
    words = "When we trained {} networks a second time, the accuracy of a network changed by {:.2f}"
    text.says(f"{words} points (standard deviation)", *reruns())


def dropouts_on_fashion_mnist() -> dict[str, float]:
    """Of the networks with one link in a hundred, by method."""
    at = {"dataset": "fashion_mnist", "variant": "tuned", "density": 0.01}
    places = [*by_fields("adaptive_topology", "method dropout", **at)]
    assert len(dict(places)) == len(places)
    return dict(places)


def says_dropouts(text: Prose) -> None:
    """Assert that a notebook says which of these networks have more dropout."""
    text.says("RigL and fixed links have 0.1")
    desired = {"set": 0.3, "set_random_removal": 0.3, "rigl": 0.1, "fixed": 0.1}
    assert desired.items() <= dropouts_on_fashion_mnist().items()
