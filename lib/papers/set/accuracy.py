"""Accuracy at 1 % of the links: what raises it, and whether it raises dense networks too."""

from collections.abc import Iterable

import pandas as pd

from lib.papers.set.experiments import LONGER, TUNED
from lib.papers.set.training import RegularisedTraining
from lib.report import labels, tables
from lib.report.intervals import contrasts
from lib.runs.record import Record


def gains(records: Iterable[Record]) -> pd.DataFrame:
    """Validation accuracy at the last epoch, and how far it lies above the same method as tuned.

    Args:
        records: of ``accuracy_tuning``.
    Returns: columns recipe, dataset, method, seed, value (percent), gain (points; NaN where the
        method as tuned was not run).
    """
    rows = []
    for record in records:
        run = record.config
        value = 100 * record.metrics["valid_accuracy"].iloc[-1]
        rows.append((run.variant, run.dataset, run.method, run.seed, value))
    place = ["dataset", "method", "seed"]
    table = pd.DataFrame(rows, columns=["recipe", *place, "value"])
    tuned = table[table["recipe"] == TUNED].set_index(place)["value"].rename("tuned")
    table = table.join(tuned, on=place)
    return table.assign(gain=table["value"] - table["tuned"]).drop(columns="tuned")


def gap_rows(gains: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`gains`, what every recipe brings every method, points, with its interval over
    seeds: columns dataset, name (the recipe), series (the method), value, low, high, n.
    """
    gained = gains[gains["recipe"] != TUNED].dropna(subset="gain").assign(value=gains["gain"])
    found = tables.means(gained, ["dataset", "recipe", "method"])
    order = labels.methods_in(found["method"])
    found = found.sort_values("method", key=lambda names: names.map(order.index), kind="stable")
    found["method"] = found["method"].map(labels.method_name)
    return found.rename(columns={"recipe": "name", "method": "series", "mean": "value"})


def beside_each_other(gains: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`gains`, a row a recipe, a column a data set and method, as texts."""
    columns = [
        f"{labels.dataset(dataset)}, {labels.method_name(method)}"
        for dataset, method in zip(gains["dataset"], gains["method"], strict=True)
    ]
    texts = [
        f"{value:.2f} ({gain:+.2f})"
        for value, gain in zip(gains["value"], gains["gain"], strict=True)
    ]
    wide = gains.assign(column=columns, text=texts)
    wide = wide.pivot_table(
        index="recipe", columns="column", values="text", aggfunc="; ".join, sort=False
    )
    return wide.fillna("not run")


def outcomes(records: Iterable[Record]) -> pd.DataFrame:
    """Test accuracy at the last epoch of every run.

    Args:
        records: of ``accuracy_by_recipe``, and of the same networks as tuned.
    Returns: columns dataset, network (a method), method (a recipe), seed, measure, value (percent).
    """
    rows = []
    for record in records:
        run = record.config
        recipe = run.variant if isinstance(run, RegularisedTraining) else TUNED
        last = 100 * record.metrics["test_accuracy"].iloc[-1]
        name = labels.method_name(run.method)
        rows.append((run.dataset, name, recipe, run.seed, "accuracy", last))
    columns = ["dataset", "network", "method", "seed", "measure", "value"]
    return pd.DataFrame(rows, columns=columns)


def above_tuned(outcomes: pd.DataFrame) -> pd.DataFrame:
    """What each recipe brings over the same method as tuned, for as many epochs and for twice as
    many, points, paired by seed, as :func:`lib.report.intervals.contrasts` has it.

    Args:
        outcomes: of :func:`outcomes`.
    """
    recipes = [recipe for recipe in outcomes["method"].unique() if recipe != TUNED]
    pairs = {f"{recipe} − {TUNED}": (recipe, TUNED) for recipe in recipes}
    for recipe in recipes:
        if recipe != LONGER:
            pairs[f"{recipe} − {LONGER}"] = recipe, LONGER
    return contrasts(outcomes, pairs)
