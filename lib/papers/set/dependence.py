"""What SET depends on, as notebook 11 draws it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.papers.set.experiments import LONG_DENSE, SETTINGS
from lib.report import labels
from lib.report.intervals import LEVEL, Measurement, t_interval
from lib.report.tables import compared_epochs
from lib.runs.record import Record

Records = Sequence[Record]
ByName = dict[str, dict[int, float]]  # percent, by name and seed

EFFECTS = {  # of a choice in Fig. 6, over another
    "ReLU − SReLU": ("ReLU", "SReLU"),
    "Nesterov − momentum": ("Nesterov", "momentum"),
    "L1 − none": ("L1", "none"),
    "L2 − none": ("L2", "none"),
}

RIVALS = {"fixed": "SET − fixed support", "dense": "SET − dense"}
GAP_COLUMNS = ["name", "series", "value", "low", "high", "n"]

# ------------------------------------------------------------------------------------- accuracies


def by_variant(records: Records, method: str, epoch: int | None = None, over: int = 1) -> ByName:
    """Test accuracy of a method after an epoch, the last unless given, or the mean over several
    epochs that end there: {variant: {seed: %}}; of the runs that reached it.
    """
    found: ByName = {}
    for record in records:
        run = record.config
        accuracies = record.metrics["test_accuracy"]
        if run.method == method and len(accuracies) >= (epoch or 1):
            end = epoch or len(accuracies)
            mean = accuracies.iloc[max(0, end - over) : end].mean()
            found.setdefault(run.variant, {})[run.seed] = 100 * mean
    return found


def table(records: Records) -> pd.DataFrame:
    """Test accuracy of every run at its last epoch: dataset, variant, method, seed, epochs, value
    (percent), and final (percent), after what the last epoch's rule does.
    """
    rows = []
    for record in records:
        run, last = record.config, record.metrics["test_accuracy"].iloc[-1]
        final = record.environment["final"]["test_accuracy"]
        rows.append(
            {
                "dataset": run.dataset,
                "variant": run.variant,
                "method": run.method,
                "seed": run.seed,
                "epochs": run.epochs,
                "value": 100 * last,
                "final": 100 * final,
            }
        )
    columns = ["dataset", "variant", "method", "seed", "epochs", "value", "final"]
    return pd.DataFrame(rows, columns=columns)


def rival_gaps(
    records: Records, rival: str, level: float = LEVEL, epoch: int | None = None
) -> dict[str, Measurement]:
    """SET minus a rival in every setting, points, paired by seed, after an epoch, in each setting
    the last that both reached unless given.
    """
    gaps = {}
    for name, by_seed in _leads(records, rival, epoch).items():
        gaps[name] = t_interval(list(by_seed.values()), level=level)
    return gaps


def _leads(records: Records, rival: str, epoch: int | None = None, over: int = 1) -> ByName:
    """SET minus a rival by setting and seed, see :func:`rival_gaps`, :func:`by_variant`."""
    both = _of(records, ("set", rival))
    leads: ByName = {}
    for name in dict.fromkeys(record.config.variant for record in both):
        of_setting = [record for record in both if record.config.variant == name]
        after = epoch or min(compared_epochs(of_setting))
        ours = by_variant(of_setting, "set", after, over).get(name, {})
        theirs = by_variant(of_setting, rival, after, over).get(name, {})
        seeds = sorted(ours.keys() & theirs.keys())
        if seeds:
            leads[name] = {seed: ours[seed] - theirs[seed] for seed in seeds}
    return leads


def _differences(first: dict[int, float], second: dict[int, float]) -> list[float]:
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def gap_rows(records: Records) -> pd.DataFrame:
    """SET minus the fixed support and minus the dense network in every setting of Fig. 6, after
    every number of epochs that a rival was trained for: columns dataset, rival ("SET − dense"),
    name, series ("epoch 8"), value, low, high, n; intervals hold for all of a rival's settings
    after as many epochs together.
    """
    rows = []
    level = _simultaneous(len(SETTINGS))
    for rival, written in RIVALS.items():
        lengths = sorted({len(record.metrics) for record in _of(records, (rival,))})
        for epoch in lengths:
            for name, gap in rival_gaps(records, rival, level, epoch).items():
                rows.append((written, *_gap_row(name, f"epoch {epoch}", gap)))
    return _with_data_set(rows, records, ["rival", *GAP_COLUMNS])


def _gap_row(name: str, series: str, gap: Measurement) -> tuple:
    """Of the columns :data:`GAP_COLUMNS`."""
    return name, series, gap.value, gap.low, gap.high, gap.n


def _with_data_set(
    rows: list[tuple], records: Records, columns: Sequence[str] = GAP_COLUMNS
) -> pd.DataFrame:
    """Rows as a table, with the one data set that the records are of."""
    dataset = next((record.config.dataset for record in records), "")
    return pd.DataFrame(rows, columns=columns).assign(dataset=dataset)


def lead_rows(
    records: Records, variants: Sequence[str] = LONG_DENSE, first: int = 1
) -> pd.DataFrame:
    """SET's lead against epochs in some settings: columns dataset, variant, method (the rival),
    seed, epoch (from ``first`` on), value (points, paired by seed).
    """
    rows = []
    chosen = [record for record in records if record.config.variant in variants]
    for rival in RIVALS:
        longest = max((len(record.metrics) for record in _of(chosen, (rival,))), default=0)
        for epoch in range(first, longest + 1):
            for name, by_seed in _leads(chosen, rival, epoch).items():
                for seed, lead in by_seed.items():
                    rows.append((name, rival, seed, epoch, lead))
    return _with_data_set(rows, records, ["variant", "method", "seed", "epoch", "value"])


def effect_rows(records: Records, over: int = 1) -> pd.DataFrame:
    """What each of :data:`EFFECTS` changes, points, by method: the mean over the settings of Fig. 6
    with it minus that over those with the other, paired by seed, at the last epoch that all runs of
    the method reached; and what it changes of SET's lead over the fixed support. Columns dataset,
    name, series, value, low, high, n; intervals hold for all of a series together. A method that
    lacks a setting, or stopped before SET, is left out.

    Args:
        records: of ``set_ablation``.
        over: epochs at the end whose mean counts.
    """
    rows = []
    level = _simultaneous(len(EFFECTS))
    for series, by_name in _compared(records, over).items():
        for name, (choice, other) in EFFECTS.items():
            differences = _differences(_mean_with(by_name, choice), _mean_with(by_name, other))
            effect = t_interval(differences, level=level)
            rows.append(_gap_row(name, series, effect))
    return _with_data_set(rows, records)


def _compared(records: Records, over: int) -> dict[str, ByName]:
    """Of every method with all settings the accuracies by setting and seed, and SET's lead."""
    found = {}
    last = _epochs_of_set(records)
    if not last:
        return found
    for method in dict.fromkeys(record.config.method for record in records):
        by_name = by_variant(_of(records, (method,)), method, last, over)
        if set(SETTINGS) <= set(by_name):
            found[f"{labels.method_name(method)} (epoch {last})"] = by_name
    leads = _leads(records, "fixed", last, over)
    if set(SETTINGS) <= leads.keys():
        found[f"{RIVALS['fixed']} (epoch {last})"] = leads
    return found


def _epochs_of_set(records: Records) -> int:
    """That all runs of SET reached; 0 without any."""
    return min((len(record.metrics) for record in _of(records, ("set",))), default=0)


def _mean_with(by_name: ByName, choice: str) -> dict[int, float]:
    """Mean over the settings with a choice, of the seeds that all of them have."""
    chosen = [by_name[name] for name in SETTINGS if choice in name.split(", ")]
    seeds = set.intersection(*(set(by_seed) for by_seed in chosen))
    return {seed: float(np.mean([by_seed[seed] for by_seed in chosen])) for seed in sorted(seeds)}


def _of(records: Records, methods: Sequence[str]) -> list[Record]:
    return [record for record in records if record.config.method in methods]


def variant_rows(records: Records, base: str = "as in the paper") -> pd.DataFrame:
    """Every variant of SET minus a base, points at the end, paired by seed: columns dataset, name,
    series ("last epoch", of what trains otherwise, and "after the last update", which drops links),
    value, low, high, n; all intervals hold together.
    """
    compared = []
    runs = table(records)
    rules = {record.config.variant: record.config.last_epoch for record in records}
    for series, column in {"last epoch": "value", "after the last update": "final"}.items():
        by_seed = runs.pivot_table(column, "seed", "variant")
        for name, rule in rules.items():
            trains_otherwise = rule == rules[base]
            if name != base and (trains_otherwise or column == "final"):
                compared.append((name, series, (by_seed[name] - by_seed[base]).dropna()))
    level = _simultaneous(max(1, len(compared)))
    rows = []
    for name, series, differences in compared:
        gap = t_interval(differences, level=level)
        rows.append(_gap_row(name, series, gap))
    return _with_data_set(rows, records)


def sensitivity_rows(records: Records) -> pd.DataFrame:
    """Accuracy of SET by links and drop fraction, a row a run: dataset, method, seed, er_epsilon,
    drop_fraction, links (in training), value (percent), panel ("ε = 20").
    """
    rows = []
    for record in records:
        run = record.config
        rows.append(
            {
                "dataset": run.dataset,
                "method": run.method,
                "seed": run.seed,
                "er_epsilon": run.er_epsilon,
                "drop_fraction": run.drop_fraction,
                "links": int(record.metrics["links"].iloc[-1]),
                "value": 100 * record.metrics["test_accuracy"].iloc[-1],
                "panel": f"ε = {run.er_epsilon:g}",
            }
        )
    columns = ["dataset", "method", "seed", "er_epsilon", "drop_fraction", "links", "value"]
    return pd.DataFrame(rows, columns=[*columns, "panel"])


PERCENT = 0.0, 100.0
POINTS = -100.0, 100.0  # of differences


def around(values: pd.Series, within: tuple[float, float] = PERCENT) -> tuple[float, float]:
    """The axis of accuracies, or of their differences: a little more than they span."""
    lowest, highest = within
    if values.empty:
        return within
    margin = 0.1 * (values.max() - values.min()) + 0.2
    return max(lowest, values.min() - margin), min(highest, values.max() + margin)


def _simultaneous(comparisons: int) -> float:
    """The level of each of several intervals that are to hold together."""
    return 1 - (1 - LEVEL) / comparisons
